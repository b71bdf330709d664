//! nginx itself, with the configuration that is shipped, run by its own `start`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub fn configuration() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/nginx")
}

pub fn start(directory: &Path, address: SocketAddr, origins: &[SocketAddr], settings: &dyn Fn(&mut Command)) -> Child {
    let web: Vec<String> = origins.iter().map(SocketAddr::to_string).collect();
    let mut command = Command::new("sh");
    command.arg(configuration().join("start")).env("WEB", web.join(" ")).env("LISTEN", address.to_string());
    command.env("EDGE_DIR", written(directory)).stdin(Stdio::null()).stdout(Stdio::null());
    settings(&mut command);
    command.spawn().expect("sh runs")
}

pub fn pid_file(directory: &Path) -> PathBuf {
    written(directory).join("nginx.pid")
}

fn written(directory: &Path) -> PathBuf {
    directory.join("edge")
}

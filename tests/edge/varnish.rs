//! Varnish itself, with the file that is shipped and the settings that it asks for.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const SHIPPED: &str = include_str!("../../deploy/varnish/groundswell.vcl");

pub fn start(directory: &Path, address: SocketAddr, origin: SocketAddr) -> Child {
    let file = directory.join("groundswell.vcl");
    std::fs::write(&file, before(origin)).expect("it can be written");
    let mut command = Command::new("varnishd");
    // In front, by hand, with its working files where ours are; the rest as the head of the file says.
    command.args(["-F", "-j", "none", "-T", "none", "-n"]).arg(directory.join("varnish")).arg("-a").arg(address.to_string()).arg("-f").arg(&file);
    command.args(settings()).env("PATH", "/usr/sbin:/usr/local/sbin:/usr/bin:/bin");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("varnishd runs")
}

/// With this origin for the one that it names.
fn before(origin: SocketAddr) -> String {
    let (host, port) = (r#".host = "web";"#, r#".port = "8080";"#);
    assert!(SHIPPED.contains(host) && SHIPPED.contains(port), "it names its origin in another way");
    SHIPPED.replace(host, &format!(r#".host = "{}";"#, origin.ip())).replace(port, &format!(r#".port = "{}";"#, origin.port()))
}

/// What stands behind the file's name in the head of the file.
fn settings() -> impl Iterator<Item = &'static str> {
    let line = SHIPPED.lines().find(|line| line.starts_with("#   varnishd ")).expect("it says how it is to be run");
    line.split_once(".vcl ").expect("with settings").1.split(' ')
}

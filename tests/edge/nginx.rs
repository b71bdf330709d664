//! nginx itself, with the configuration that is shipped, on a free port.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::client::Line;
use crate::support::{Answer, services_are_there, until};

/// Gone, with all it wrote, when dropped.
pub struct Edge {
    pub address: SocketAddr,
    start: Child,
    directory: TempDir,
}

/// Where all tests are run, there is an nginx too: only a quick run does without.
pub fn nginx_is_there() -> bool {
    let there = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"].iter().any(|path| Path::new(path).exists());
    if !there {
        assert!(!services_are_there(), "services are there for all tests, and nginx is not");
        eprintln!("not run: there is no nginx");
    }
    there
}

/// Makes tests of functions that need an nginx.
#[macro_export]
macro_rules! with_nginx {
    ($($name:ident),* $(,)?) => {
        mod with_nginx {
            $(#[test] fn $name() {
                if $crate::nginx::nginx_is_there() {
                    super::$name()
                }
            })*
        }
    };
}

pub fn configuration() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/nginx")
}

impl Edge {
    pub fn before(origins: &[SocketAddr]) -> Edge {
        Edge::set_up(origins, &|_| {})
    }

    pub fn set_up(origins: &[SocketAddr], settings: &dyn Fn(&mut Command)) -> Edge {
        // A port that was free a moment ago may be taken: then another one.
        (0..5).find_map(|_| Edge::try_before(origins, settings)).expect("nginx starts")
    }

    fn try_before(origins: &[SocketAddr], settings: &dyn Fn(&mut Command)) -> Option<Edge> {
        let directory = TempDir::new().expect("a directory");
        // Its workers are nobody.
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).expect("it is ours");
        let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
        let web: Vec<String> = origins.iter().map(SocketAddr::to_string).collect();
        let mut command = Command::new("sh");
        command.arg(configuration().join("start")).env("WEB", web.join(" ")).env("LISTEN", address.to_string());
        command.env("EDGE_DIR", directory.path().join("edge")).stdin(Stdio::null()).stdout(Stdio::null());
        settings(&mut command);
        let mut edge = Edge { address, start: command.spawn().expect("sh runs"), directory };
        let mut ended = false;
        until("the edge answers, or could not start", || {
            ended = edge.start.try_wait().expect("it can be asked").is_some();
            ended || edge.answers()
        });
        (!ended).then_some(edge)
    }

    fn answers(&self) -> bool {
        Line::try_at(self.address).is_ok_and(|mut line| line.ask("GET", "/edge/livez", &[], None).status == 200)
    }

    /// One request over a connection of its own.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
        Line::at(self.address).ask(method, path, headers, body)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], None)
    }

    fn nginx(&self) -> Option<String> {
        std::fs::read_to_string(self.directory.path().join("edge/nginx.pid")).ok().map(|pid| pid.trim().to_owned())
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // At once; told to stop, `start` would let streams come to their end.
        if let Some(nginx) = self.nginx() {
            let _ = Command::new("kill").args(["-TERM", &nginx]).stderr(Stdio::null()).status();
        }
        let _ = self.start.wait();
    }
}

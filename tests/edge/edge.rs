//! An edge as it is shipped, started on a free port: which one, where it is, and how it ends.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command};

use tempfile::TempDir;

use crate::client::Line;
use crate::support::{Answer, not_run, until};
use crate::{nginx, varnish};

/// What is shipped below `deploy/`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    Nginx,
    Varnish,
}

/// Gone, with all it wrote, when dropped.
pub struct Edge {
    pub address: SocketAddr,
    kind: Kind,
    child: Child,
    directory: TempDir,
}

/// Makes tests of functions that need an edge: once for each kind.
#[macro_export]
macro_rules! on_each_edge {
    ($($name:ident),* $(,)?) => {
        mod on_nginx {
            $(#[test] fn $name() {
                if $crate::edge::Kind::Nginx.is_there() {
                    super::$name($crate::edge::Kind::Nginx)
                }
            })*
        }
        mod on_varnish {
            $(#[test] fn $name() {
                if $crate::edge::Kind::Varnish.is_there() {
                    super::$name($crate::edge::Kind::Varnish)
                }
            })*
        }
    };
}

/// Makes tests of functions that are about nginx alone.
#[macro_export]
macro_rules! with_nginx {
    ($($name:ident),* $(,)?) => {
        mod with_nginx {
            $(#[test] fn $name() {
                if $crate::edge::Kind::Nginx.is_there() {
                    super::$name()
                }
            })*
        }
    };
}

impl Kind {
    pub fn is_there(self) -> bool {
        let name = match self {
            Kind::Nginx => "nginx",
            Kind::Varnish => "varnishd",
        };
        let there = ["/usr/sbin", "/usr/local/sbin", "/usr/bin"].iter().any(|place| Path::new(place).join(name).exists());
        if !there {
            not_run(&format!("there is no {name}"));
        }
        there
    }

    /// In front of this one.
    pub fn before(self, origin: SocketAddr) -> Edge {
        match self {
            Kind::Nginx => Edge::before(&[origin]),
            Kind::Varnish => Edge::started(self, &|directory, address| varnish::start(directory, address, origin)),
        }
    }
}

impl Edge {
    /// nginx, in front of several.
    pub fn before(origins: &[SocketAddr]) -> Edge {
        Edge::set_up(origins, &|_| {})
    }

    /// nginx, with settings of its own.
    pub fn set_up(origins: &[SocketAddr], settings: &dyn Fn(&mut Command)) -> Edge {
        Edge::started(Kind::Nginx, &|directory, address| nginx::start(directory, address, origins, settings))
    }

    fn started(kind: Kind, start: &dyn Fn(&Path, SocketAddr) -> Child) -> Edge {
        // A port that was free a moment ago may be taken: then another one.
        (0..5).find_map(|_| Edge::try_start(kind, start)).expect("the edge starts")
    }

    fn try_start(kind: Kind, start: &dyn Fn(&Path, SocketAddr) -> Child) -> Option<Edge> {
        let directory = TempDir::new().expect("a directory");
        // Its workers are nobody.
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).expect("it is ours");
        let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
        let mut edge = Edge { address, kind, child: start(directory.path(), address), directory };
        let mut ended = false;
        until("the edge answers, or could not start", || {
            ended = edge.child.try_wait().expect("it can be asked").is_some();
            ended || edge.answers()
        });
        (!ended).then_some(edge)
    }

    /// Something that it says by itself.
    fn answers(&self) -> bool {
        let (method, path, status) = match self.kind {
            Kind::Nginx => ("GET", "/edge/livez", 200),
            Kind::Varnish => ("TRACE", "/", 405),
        };
        Line::try_at(self.address).is_ok_and(|mut line| line.ask(method, path, &[], None).status == status)
    }

    /// One request over a connection of its own.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
        Line::at(self.address).ask(method, path, headers, body)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], None)
    }

    /// Of whom to tell that it is over.
    fn pid(&self) -> Option<String> {
        match self.kind {
            // At once; told to stop, `start` would let streams come to their end.
            Kind::Nginx => std::fs::read_to_string(nginx::pid_file(self.directory.path())).ok().map(|pid| pid.trim().to_owned()),
            Kind::Varnish => Some(self.child.id().to_string()),
        }
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = Command::new("kill").args(["-TERM", &pid]).stderr(std::process::Stdio::null()).status();
        }
        let _ = self.child.wait();
    }
}

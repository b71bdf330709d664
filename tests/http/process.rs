//! The binary itself, as an operator runs it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::support::TOKEN;

/// Nothing of the test run's environment leaks in.
pub fn command(directory: &Path, args: &[&str]) -> Command {
    command_of(Path::new(env!("CARGO_BIN_EXE_groundswell")), directory, args)
}

/// The same of another binary.
pub fn command_of(binary: &Path, directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command.env_clear().current_dir(directory).args(args).env("DATA_DIR", directory).env("RUST_LOG", "warn");
    command.env("HOST", "127.0.0.1").env("PORT", "0").env("METRICS_PORT", "0").env("GROUNDSWELL_API_TOKEN", TOKEN);
    command
}

pub fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("the binary runs")
}

/// A server in a process of its own; killed when dropped.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    pub said: String,
}

impl Process {
    pub fn start(directory: &Path) -> Process {
        Process::of(&mut command(directory, &[]))
    }

    pub fn of(command: &mut Command) -> Process {
        Process::logging(command, Stdio::null())
    }

    /// Its log goes there.
    pub fn logging(command: &mut Command, log: Stdio) -> Process {
        Process::try_logging(command, log).unwrap_or_else(|said| panic!("it ended: {said}"))
    }

    /// The same for one that may end at its start; then, what it had said until then.
    pub fn try_logging(command: &mut Command, log: Stdio) -> Result<Process, String> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().expect("the binary runs");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let mut said = String::new();
        // The announcement ends with its data and metrics lines; before, the process may have ended.
        while !said.contains("metrics http") {
            if out.read_line(&mut said).expect("text") == 0 {
                child.wait().expect("it ended");
                return Err(said);
            }
        }
        // One that only counts has no address.
        let join = said.lines().find_map(|l| l.trim().strip_prefix("join")).unwrap_or("http://0.0.0.0:0/").trim();
        let address = join.trim_start_matches("http://").trim_end_matches('/').parse().expect("an address");
        Ok(Process { child, address, said })
    }

    pub fn metrics(&self) -> SocketAddr {
        let line = self.said.lines().find_map(|l| l.trim().strip_prefix("metrics http://")).expect("said");
        line.trim_end_matches("/metrics").parse().expect("an address")
    }

    /// Sends it a signal by name, as `kill` takes it.
    pub fn signal(&self, name: &str) {
        let told = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().expect("kill runs");
        assert!(told.success(), "{name} was sent");
    }

    /// SIGKILL, and nothing left of it.
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// For whoever looks into it from outside.
    #[allow(dead_code, reason = "the tests of failing disks share this file")]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM.
    pub fn tell_to_stop(&self) {
        self.signal("TERM");
    }

    /// Its exit code, once it has ended.
    pub fn wait(mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }

    /// SIGTERM; its exit code.
    pub fn stop(self) -> Option<i32> {
        self.tell_to_stop();
        self.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

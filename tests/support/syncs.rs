//! A disk that fails, or that is slow, as one process sees it: strace stands between it and its syncs, from a moment on.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::not_run;

/// Attaching to a dozen threads on a busy machine.
const ATTACHED_WITHIN: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug)]
pub enum Syncs {
    /// EIO.
    Fail,
    /// Each takes so much longer.
    Take(Duration),
}

/// Until dropped, or until the process ends.
pub struct Strace(Child);

/// Also says so where it is not.
pub fn strace_is_there() -> bool {
    let there = Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !there {
        not_run("there is no strace");
    }
    there
}

impl Syncs {
    /// `None` where strace may not attach: whoever asked says that this was not run, once nothing waits for it.
    pub fn of(self, process: u32) -> Option<Strace> {
        let what = match self {
            Syncs::Fail => "error=EIO".to_owned(),
            Syncs::Take(longer) => format!("delay_enter={}", longer.as_micros()),
        };
        let mut strace = Command::new("strace");
        strace.args([
            "-f",
            "-q",
            "-o",
            "/dev/null",
            "-e",
            "trace=fdatasync,fsync",
            "-e",
            &format!("inject=fdatasync,fsync:{what}"),
            "-p",
            &process.to_string(),
        ]);
        let mut child = strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().ok()?;
        let said = BufReader::new(child.stderr.take().expect("piped"));
        let (says, hears) = std::sync::mpsc::channel();
        // Read to its end: a full pipe would stop strace, and with it the process.
        std::thread::spawn(move || said.lines().map_while(Result::ok).for_each(|line| _ = says.send(line)));
        let mut strace = Strace(child);
        strace.attaches(process).then_some(strace).or_else(|| {
            eprintln!("strace may not attach here: {:?}", hears.try_iter().collect::<Vec<_>>());
            None
        })
    }
}

impl Strace {
    /// To every thread: the one that syncs is among them. A process that has ended meanwhile has met its fault already.
    fn attaches(&mut self, process: u32) -> bool {
        let deadline = Instant::now() + ATTACHED_WITHIN;
        while Instant::now() < deadline {
            let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return true };
            let statuses: Vec<String> = threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join("status")).ok()).collect();
            let is = |status: &String, what: &str, not: &str| status.lines().any(|l| l.starts_with(what) && !l.starts_with(not));
            if statuses.iter().all(|s| is(s, "TracerPid:", "TracerPid:\t0") || is(s, "State:\tZ", "-")) {
                return true;
            }
            if !matches!(self.0.try_wait(), Ok(None)) {
                return false;
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        false
    }

    /// For a process that is about to end.
    pub fn wait(mut self) {
        let _ = self.0.wait();
    }
}

impl Drop for Strace {
    /// Told, not killed: it lets go in good order, and no sync is cut in two.
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).stderr(Stdio::null()).status();
        let _ = self.0.wait();
    }
}

//! Viewers, in a process of their own, and what one asks them.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

use crate::common::server::{PATIENCE, Server, TOKEN, now_us};
use crate::common::setting;

/// A process full of viewers.
pub struct Viewers {
    child: Child,
    say: ChildStdin,
    hear: BufReader<ChildStdout>,
}

impl Viewers {
    /// Of the poll that `open_poll` opened last.
    pub fn start(server: &Server, count: usize) -> Viewers {
        Viewers::start_at(server.address, &server.poll.stream, count)
    }

    /// Of these streams, separated by commas, in turn.
    pub fn start_at(address: SocketAddr, streams: &str, count: usize) -> Viewers {
        let mut command = Command::new(std::env::current_exe().expect("this benchmark has a path"));
        command.args(["--viewers", &address.to_string(), streams, &count.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the process starts");
        let mut viewers = Viewers { say: child.stdin.take().expect("piped"), hear: BufReader::new(child.stdout.take().expect("piped")), child };
        assert_eq!(viewers.line(), "open");
        viewers
    }

    /// When the last of those who read had this version, in microseconds.
    pub fn all_at(&mut self, version: u64) -> i64 {
        self.ask(&format!("all {version}")).parse().expect("a time")
    }

    pub fn counted(&mut self, voters: u64) {
        assert_eq!(self.ask(&format!("counted {voters}")), "yes");
    }

    pub fn stop_reading(&mut self, count: usize) {
        assert_eq!(self.ask(&format!("stop {count}")), "stopped");
    }

    /// The first viewer's frames: when, and how many voters.
    pub fn frames(&mut self) -> Vec<(i64, u64)> {
        let line = self.ask("frames");
        line.split(' ').filter_map(|f| f.split_once(':')).map(|(at, voters)| (at.parse().expect("a time"), voters.parse().expect("a number"))).collect()
    }

    /// How many frames each viewer has had.
    pub fn frames_of_all(&mut self) -> Vec<u64> {
        self.ask("tally").split(' ').map(|n| n.parse().expect("a number")).collect()
    }

    fn ask(&mut self, what: &str) -> String {
        writeln!(self.say, "{what}").expect("the viewers listen");
        self.line()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.hear.read_line(&mut line).expect("text") > 0, "the viewers' process ended");
        line.trim().to_owned()
    }
}

impl Drop for Viewers {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the server keeps of its files for other things than viewers.
const KEPT_FILES: u64 = 500;

/// As many as are asked for, or as one process may hold.
pub fn wanted() -> usize {
    let (_, hard) = rlimit::Resource::NOFILE.get().expect("there is a limit");
    setting("BENCH_VIEWERS", hard.saturating_sub(KEPT_FILES).min(19_500)) as usize
}

/// What one viewer has seen.
#[derive(Clone, Default)]
struct Seen {
    id: u64,
    at_us: i64,
    frames: u64,
    reads: bool,
}

/// The process full of viewers: opens them, reads what comes, and answers questions on standard input.
pub fn viewers(address: SocketAddr, path: &str, count: usize) {
    /// Opened at once.
    const OPENING: usize = 100;
    /// Ports of one address.
    const PER_ADDRESS: usize = 5_000;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let seen = Rc::new(RefCell::new(vec![Seen { reads: true, ..Seen::default() }; count]));
        let frames = Rc::new(RefCell::new(Vec::<(i64, u64)>::new()));
        let buffer = Rc::new(RefCell::new(vec![0u8; 256 * 1_024]));
        let paths: Vec<&str> = path.split(',').collect();
        // Addresses of this process alone: another one's ports may not be free again for a minute.
        let [high, low] = (std::process::id() as u16).to_be_bytes();
        let opening = Arc::new(tokio::sync::Semaphore::new(OPENING));
        for viewer in 0..count {
            let permit = opening.clone().acquire_owned().await.expect("open");
            let socket = TcpSocket::new_v4().expect("a socket");
            let source = if address.ip().is_loopback() { [127, high, low, 2 + (viewer / PER_ADDRESS) as u8] } else { [0; 4] };
            socket.bind(SocketAddr::from((source, 0))).expect("an address");
            let (seen, frames, buffer) = (seen.clone(), frames.clone(), buffer.clone());
            let path = paths[viewer % paths.len()];
            // A presenter's stream is for who is signed in; the audience's does not look.
            let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {TOKEN}\r\naccept: text/event-stream\r\n\r\n");
            tokio::task::spawn_local(async move {
                let mut stream = socket.connect(address).await.expect("the server listens");
                stream.write_all(request.as_bytes()).await.expect("the server reads");
                drop(request);
                let mut permit = Some(permit);
                loop {
                    stream.readable().await.expect("the stream goes on");
                    if !seen.borrow()[viewer].reads {
                        std::future::pending::<()>().await;
                    }
                    let mut buffer = buffer.borrow_mut();
                    let read = match stream.try_read(&mut buffer) {
                        Ok(0) => panic!("a stream ended"),
                        Ok(read) => read,
                        Err(why) if why.kind() == std::io::ErrorKind::WouldBlock => continue,
                        Err(why) => panic!("{why}"),
                    };
                    let bytes = &buffer[..read];
                    if let Some(id) = last_number(bytes, b"\nid: ") {
                        permit = None;
                        let seen = &mut seen.borrow_mut()[viewer];
                        seen.frames += 1;
                        if id > seen.id {
                            (seen.id, seen.at_us) = (id, now_us());
                        }
                    }
                    if viewer == 0
                        && let Some(voters) = last_number(bytes, b"\"voters\":")
                    {
                        frames.borrow_mut().push((now_us(), voters));
                    }
                    assert!(permit.is_none() || !bytes.starts_with(b"HTTP/1.1 5"), "refused: {}", String::from_utf8_lossy(bytes));
                }
            });
        }
        let _ = opening.acquire_many(OPENING as u32).await.expect("open");
        println!("open");
        let mut questions = tokio_lines();
        while let Some(question) = questions.recv().await {
            let (what, number) = question.split_once(' ').unwrap_or((&question, "0"));
            let number: u64 = number.parse().expect("a number");
            match what {
                "all" => {
                    until(|| seen.borrow().iter().all(|s| !s.reads || s.id >= number)).await;
                    println!("{}", seen.borrow().iter().filter(|s| s.reads).map(|s| s.at_us).max().expect("somebody"));
                }
                "stop" => {
                    // The first one reads on.
                    seen.borrow_mut().iter_mut().skip(1).take(number as usize).for_each(|s| s.reads = false);
                    println!("stopped");
                }
                "counted" => {
                    until(|| frames.borrow().last().is_some_and(|f| f.1 >= number)).await;
                    println!("yes");
                }
                "tally" => println!("{}", seen.borrow().iter().map(|s| s.frames.to_string()).collect::<Vec<_>>().join(" ")),
                _ => println!("{}", frames.borrow().iter().map(|(at, voters)| format!("{at}:{voters}")).collect::<Vec<_>>().join(" ")),
            }
        }
    });
}

async fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "the viewers did not get there within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn tokio_lines() -> tokio::sync::mpsc::Receiver<String> {
    let (sender, receiver) = tokio::sync::mpsc::channel(16);
    std::thread::spawn(move || std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| sender.blocking_send(line)));
    receiver
}

/// The number behind the last of these names.
fn last_number(bytes: &[u8], name: &[u8]) -> Option<u64> {
    let at = bytes.windows(name.len()).rposition(|w| w == name)? + name.len();
    let digits = bytes[at..].iter().take_while(|b| b.is_ascii_digit()).count();
    std::str::from_utf8(&bytes[at..at + digits]).ok()?.parse().ok()
}

//! What viewers cost and how fresh they are, side by side with a plain actix-web stream and a plain actix-web GET.
//!
//! `cargo bench --bench watching`. Server, viewers and voters are processes of their own on the same cores. Settings: `BENCH_ONLY`
//! (crowd,votes,snapshot,files,fresh,many), `BENCH_VIEWERS` (19500, or what the limit of open files allows), `BENCH_SECONDS` (5), `BENCH_ROUNDS` (3).
//! `fresh` also runs distributed where `GROUNDSWELL_TEST_DATABASE_URL` and `GROUNDSWELL_TEST_AMQP_URL` are set.

mod common;

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use actix_web::web::{Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use groundswell::clock::now_ms;
use groundswell::http::{Asset, PassKey, assets};
use groundswell::rehearsal::load::{Request, exchange, fire, vote_request};
use groundswell::store::Store;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use uuid::Uuid;

use common::{execute, runtime, setting};

const TOKEN: &str = "a-token-for-benchmarks-of-32-characters";
const GENERATOR_THREADS: usize = 2;
/// What the server keeps of its files for other things than viewers.
const KEPT_FILES: u64 = 500;
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    rlimit::increase_nofile_limit(u64::MAX).expect("the limit of open files can be raised to the hard one");
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("--plain-server") => return plain_server(),
        Some("--viewers") => return viewers(args[2].parse().expect("an address"), &args[3], args[4].parse().expect("a number")),
        _ => {}
    }
    let only = std::env::var("BENCH_ONLY").unwrap_or_else(|_| "crowd,votes,snapshot,files,fresh,many".into());
    for (name, part) in [("crowd", crowd as fn()), ("votes", votes), ("snapshot", snapshot), ("files", files), ("fresh", fresh), ("many", many)] {
        if only.contains(name) {
            part();
        }
    }
}

/// Memory for each viewer, time until all have the newest frame, and what those cost who stop reading.
fn crowd() {
    let (_, hard) = rlimit::Resource::NOFILE.get().expect("there is a limit");
    let count = setting("BENCH_VIEWERS", hard.saturating_sub(KEPT_FILES).min(19_500)) as usize;
    println!(
        "\n{count} viewers\n{:<14} {:>11} {:>13} {:>10} {:>12} {:>12} {:>16}",
        "side", "KiB/viewer", "kernel KiB", "opened s", "all fresh s", "median s", "not reading KiB"
    );
    for side in [Side::Plain, Side::Embedded] {
        let place = Place::start(side);
        place.change();
        let (before, kernel) = (place.resident_kib(), kernel_kib());
        let started = Instant::now();
        let mut viewers = Viewers::start(&place, count);
        let opened = started.elapsed();
        // Every buffer has been used at least once.
        for _ in 0..3 {
            let version = place.change();
            viewers.all_at(version);
        }
        let each = place.resident_kib().saturating_sub(before) as f64 / count as f64;
        // The kernel holds both ends of each connection here.
        let kernel = kernel_kib().saturating_sub(kernel) as f64 / count as f64 / 2.0;
        let mut fresh: Vec<f64> = (0..5)
            .map(|_| {
                let changed = now_us();
                let version = place.change();
                (viewers.all_at(version) - changed) as f64 / 1e6
            })
            .collect();
        fresh.sort_by(f64::total_cmp);
        let reading = place.resident_kib();
        let stopped = (count / 4).max(1);
        viewers.stop_reading(stopped);
        for _ in 0..100 {
            let version = place.change();
            viewers.all_at(version);
        }
        let held = (place.resident_kib() as f64 - reading as f64) / stopped as f64;
        println!(
            "{:<14} {each:>11.2} {kernel:>13.2} {:>10.1} {:>12.3} {:>12.3} {held:>16.2}",
            format!("{side:?}"),
            opened.as_secs_f64(),
            fresh[fresh.len() - 1],
            fresh[fresh.len() / 2]
        );
    }
}

/// Votes per second with 1,000 viewers and without.
fn votes() {
    const VIEWERS: usize = 1_000;
    let (seconds, rounds) = (setting("BENCH_SECONDS", 5), setting("BENCH_ROUNDS", 3));
    for connections in [64, 1_024] {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            for (watched, rates) in [(false, &mut without), (true, &mut with)] {
                let place = Place::start(Side::Embedded);
                let requests = place.requests(100_000 * seconds as usize);
                let viewers = watched.then(|| Viewers::start(&place, VIEWERS));
                let outcome = fire(place.address, requests, connections, GENERATOR_THREADS, Duration::from_secs(seconds));
                rates.push(outcome.per_second());
                assert_eq!(outcome.failed, 0, "votes failed");
                drop(viewers);
            }
        }
        let (without, with) = (median(without), median(with));
        println!("\n{connections} voting connections: {without:.0} votes/s without viewers, {with:.0} with {VIEWERS}: {:.3}", with / without);
    }
}

/// Snapshots read per second, and answers that nothing changed.
fn snapshot() {
    const CONNECTIONS: usize = 64;
    let (seconds, rounds) = (setting("BENCH_SECONDS", 5), setting("BENCH_ROUNDS", 3));
    let (plain, place) = (Place::start(Side::Plain), Place::start(Side::Embedded));
    let tagged = || {
        let (head, body) = place.raw("GET", &place.snapshot, "", None);
        (head.lines().find_map(|l| l.strip_prefix("etag: ")).expect("a tag").to_owned(), body)
    };
    // The document settles first: a tag that stays is asked for.
    let (tag, body) = loop {
        let before = tagged();
        std::thread::park_timeout(Duration::from_secs(3));
        let after = tagged();
        if before.0 == after.0 {
            break after;
        }
    };
    plain.raw("POST", "/same", "", Some(&body));
    println!("\nsnapshots of {} bytes, {CONNECTIONS} connections\n{:<14} {:>10} {:>10} {:>7}", body.len(), "answer", "plain/s", "ours/s", "ratio");
    for (what, more, status) in [("200", String::new(), 200), ("304", format!("if-none-match: {tag}\r\n"), 304)] {
        let (mut plains, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            for (side, rates) in [(&plain, &mut plains), (&place, &mut ours)] {
                rates.push(read_rate(side.address, format!("GET {} HTTP/1.1\r\nhost: bench\r\n{more}\r\n", side.snapshot), status, CONNECTIONS, seconds));
            }
        }
        let (plain, ours) = (median(plains), median(ours));
        println!("{what:<14} {plain:>10.0} {ours:>10.0} {:>7.3}", ours / plain);
    }
}

/// The app's script, as a phone asks for it, and a bare answer of the same bytes.
fn files() {
    const CONNECTIONS: usize = 64;
    let (seconds, rounds) = (setting("BENCH_SECONDS", 5), setting("BENCH_ROUNDS", 3));
    let (plain, place) = (Place::start(Side::Plain), Place::start(Side::Embedded));
    let file = script();
    println!("\na file of {} bytes, {CONNECTIONS} connections\n{:<14} {:>10} {:>10} {:>7}", file.brotli.len(), "answer", "plain/s", "ours/s", "ratio");
    let coded = "accept-encoding: gzip, deflate, br\r\n";
    for (what, more, status) in [("200", coded.to_owned(), 200), ("304", format!("{coded}if-none-match: {}\r\n", file.etag), 304)] {
        let (mut plains, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            for (address, path, rates) in [(plain.address, "/file", &mut plains), (place.address, file.url, &mut ours)] {
                rates.push(read_rate(address, format!("GET {path} HTTP/1.1\r\nhost: bench\r\n{more}\r\n"), status, CONNECTIONS, seconds));
            }
        }
        let (plain, ours) = (median(plains), median(ours));
        println!("{what:<14} {plain:>10.0} {ours:>10.0} {:>7.3}", ours / plain);
    }
}

fn script() -> &'static Asset {
    let is_it = |asset: &&Asset| asset.url.starts_with("/assets/vote/vote.") && asset.url.ends_with(".js");
    assets().iter().find(is_it).expect("the audience app has a script")
}

/// From a vote's sending to the frame that counts it, at 10,000 votes a second.
fn fresh() {
    const RATE: usize = 10_000;
    let seconds = setting("BENCH_SECONDS", 5) as usize;
    let mut sides = vec![Side::Embedded];
    if std::env::var("GROUNDSWELL_TEST_DATABASE_URL").is_ok() && std::env::var("GROUNDSWELL_TEST_AMQP_URL").is_ok() {
        sides.push(Side::Distributed);
    } else {
        println!("\ndistributed: not run (GROUNDSWELL_TEST_DATABASE_URL and GROUNDSWELL_TEST_AMQP_URL are not set)");
    }
    println!(
        "\nfrom a vote to the frame that counts it, {RATE} votes/s\n{:<14} {:>8} {:>8} {:>8} {:>8} {:>9}",
        "side", "p50 ms", "p90 ms", "p99 ms", "max ms", "frames/s"
    );
    for side in sides {
        let place = Place::start(side);
        let mut viewers = Viewers::start(&place, 1);
        let mut sent = paced(&place, RATE, seconds);
        sent.sort_unstable();
        viewers.counted(sent.len() as u64);
        let frames = viewers.frames();
        let mut waits: Vec<f64> = sent
            .iter()
            .enumerate()
            .map(|(at, sent)| {
                let shown = frames.iter().find(|(_, voters)| *voters > at as u64).expect("all are counted").0;
                (shown - sent) as f64 / 1e3
            })
            .collect();
        waits.sort_by(f64::total_cmp);
        let at = |q: f64| waits[((waits.len() - 1) as f64 * q) as usize];
        let during = frames.iter().filter(|(when, _)| (sent[0]..=sent[sent.len() - 1]).contains(when)).count();
        println!("{:<14} {:>8.0} {:>8.0} {:>8.0} {:>8.0} {:>9.1}", format!("{side:?}"), at(0.5), at(0.9), at(0.99), at(1.0), during as f64 / seconds as f64);
    }
}

/// How often each of 1,000 watched documents is redrawn while votes for all of them come in as fast as they are taken.
fn many() {
    let events = setting("BENCH_EVENTS", 1_000) as usize;
    let seconds = setting("BENCH_SECONDS", 5);
    let mut place = Place::start(Side::Embedded);
    let mut polls = vec![(place.event.clone(), place.poll.clone())];
    let mut streams = vec![place.stream.clone()];
    while polls.len() < events {
        place.open_poll();
        polls.push((place.event.clone(), place.poll.clone()));
        streams.push(place.stream.clone());
    }
    let requests = place.requests_for(&polls, 60_000 * seconds as usize);
    place.stream = streams.join(",");
    let mut viewers = Viewers::start(&place, events);
    let before = viewers.frames_of_all();
    let outcome = fire(place.address, requests, 256, GENERATOR_THREADS, Duration::from_secs(seconds));
    let after = viewers.frames_of_all();
    let mut rates: Vec<f64> = after.iter().zip(&before).map(|(a, b)| (a - b) as f64 / outcome.elapsed.as_secs_f64()).collect();
    rates.sort_by(f64::total_cmp);
    println!(
        "\n{events} watched events, {:.0} votes/s over all: {:.1} frames a second for the slowest, {:.1} for the median",
        outcome.per_second(),
        rates[0],
        rates[rates.len() / 2]
    );
}

/// Votes at their intended times; returns when each was sent, in microseconds.
fn paced(place: &Place, rate: usize, seconds: usize) -> Vec<i64> {
    const CONNECTIONS: usize = 256;
    let requests = place.requests(rate * seconds);
    let gap = Duration::from_secs_f64(CONNECTIONS as f64 / rate as f64);
    runtime().block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        let begin = tokio::time::Instant::now() + Duration::from_millis(200);
        for connection in 0..CONNECTIONS {
            let own: Vec<Request> = requests.iter().skip(connection).step_by(CONNECTIONS).cloned().collect();
            let mut stream = TcpStream::connect(place.address).await.expect("the server listens");
            stream.set_nodelay(true).expect("it can be set");
            tasks.spawn(async move {
                let mut buffer = vec![0; 8_192];
                let mut sent = Vec::with_capacity(own.len());
                for (n, request) in own.iter().enumerate() {
                    tokio::time::sleep_until(begin + gap * n as u32 + gap * connection as u32 / CONNECTIONS as u32).await;
                    sent.push(now_us());
                    assert_eq!(exchange(&mut stream, request, &mut buffer).await.expect("an answer").0.status, 202);
                }
                sent
            });
        }
        tasks.join_all().await.concat()
    })
}

fn read_rate(address: SocketAddr, request: String, status: u16, connections: usize, seconds: u64) -> f64 {
    let threads: Vec<_> = (0..GENERATOR_THREADS)
        .map(|_| {
            let request = request.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(async move {
                    let mut tasks = tokio::task::JoinSet::new();
                    let until = Instant::now() + Duration::from_secs(seconds);
                    for _ in 0..connections / GENERATOR_THREADS {
                        let request = request.clone();
                        tasks.spawn(async move {
                            let mut stream = TcpStream::connect(address).await.expect("the server listens");
                            let mut buffer = vec![0; 65_536];
                            let mut answers = 0u64;
                            while Instant::now() < until {
                                stream.write_all(request.as_bytes()).await.expect("the server reads");
                                assert_eq!(read_answer(&stream, &mut buffer).await, status);
                                answers += 1;
                            }
                            answers
                        });
                    }
                    tasks.join_all().await.iter().sum::<u64>()
                })
            })
        })
        .collect();
    threads.into_iter().map(|t| t.join().expect("no panic")).sum::<u64>() as f64 / seconds as f64
}

async fn read_answer(stream: &TcpStream, buffer: &mut [u8]) -> u16 {
    let mut filled = 0;
    loop {
        stream.readable().await.expect("an answer");
        match stream.try_read(&mut buffer[filled..]) {
            Ok(0) => panic!("the server hung up"),
            Ok(n) => filled += n,
            Err(_) => continue,
        }
        let Some(end) = find(&buffer[..filled], b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&buffer[..end]).expect("ASCII");
        let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")).map_or(0, |l| l.parse().expect("a number"));
        if filled >= end + 4 + length {
            return head[9..12].parse().expect("a status");
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

/// A process full of viewers.
struct Viewers {
    child: Child,
    say: ChildStdin,
    hear: BufReader<ChildStdout>,
}

impl Viewers {
    fn start(place: &Place, count: usize) -> Viewers {
        let mut command = Command::new(std::env::current_exe().expect("this benchmark has a path"));
        command.args(["--viewers", &place.address.to_string(), &place.stream, &count.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the process starts");
        let mut viewers = Viewers { say: child.stdin.take().expect("piped"), hear: BufReader::new(child.stdout.take().expect("piped")), child };
        assert_eq!(viewers.line(), "open");
        viewers
    }

    /// When the last of those who read had this version, in microseconds.
    fn all_at(&mut self, version: u64) -> i64 {
        self.ask(&format!("all {version}")).parse().expect("a time")
    }

    fn counted(&mut self, voters: u64) {
        assert_eq!(self.ask(&format!("counted {voters}")), "yes");
    }

    fn stop_reading(&mut self, count: usize) {
        assert_eq!(self.ask(&format!("stop {count}")), "stopped");
    }

    /// The first viewer's frames: when, and how many voters.
    fn frames(&mut self) -> Vec<(i64, u64)> {
        let line = self.ask("frames");
        line.split(' ').filter_map(|f| f.split_once(':')).map(|(at, voters)| (at.parse().expect("a time"), voters.parse().expect("a number"))).collect()
    }

    /// How many frames each viewer has had.
    fn frames_of_all(&mut self) -> Vec<u64> {
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

/// What one viewer has seen.
#[derive(Clone, Default)]
struct Seen {
    id: u64,
    at_us: i64,
    frames: u64,
    reads: bool,
}

/// The process full of viewers: opens them, reads what comes, and answers questions on standard input.
fn viewers(address: SocketAddr, path: &str, count: usize) {
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
        let opening = Arc::new(tokio::sync::Semaphore::new(OPENING));
        for viewer in 0..count {
            let permit = opening.clone().acquire_owned().await.expect("open");
            let socket = TcpSocket::new_v4().expect("a socket");
            let source = if address.ip().is_loopback() { [127, 0, 0, 2 + (viewer / PER_ADDRESS) as u8] } else { [0; 4] };
            socket.bind(SocketAddr::from((source, 0))).expect("an address");
            let (seen, frames, buffer) = (seen.clone(), frames.clone(), buffer.clone());
            let path = paths[viewer % paths.len()];
            let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\naccept: text/event-stream\r\n\r\n");
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

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Plain,
    Embedded,
    Distributed,
}

/// Processes of one side.
struct Place {
    side: Side,
    address: SocketAddr,
    children: Vec<Child>,
    database_url: String,
    database: Option<(String, String)>,
    stream: String,
    snapshot: String,
    event: String,
    poll: String,
    _directory: tempfile::TempDir,
}

impl Place {
    fn start(side: Side) -> Place {
        let directory = tempfile::TempDir::new().expect("a directory");
        let mut place = Place {
            side,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            children: Vec::new(),
            database_url: format!("sqlite://{}/groundswell.db", directory.path().display()),
            database: None,
            stream: "/stream".into(),
            snapshot: "/same".into(),
            event: String::new(),
            poll: String::new(),
            _directory: directory,
        };
        match side {
            Side::Plain => {
                let mut command = Command::new(std::env::current_exe().expect("this benchmark has a path"));
                command.arg("--plain-server");
                place.spawn(command, true);
            }
            Side::Embedded => {
                let command = place.groundswell("serve", &[]);
                place.spawn(command, true);
            }
            Side::Distributed => {
                let admin = std::env::var("GROUNDSWELL_TEST_DATABASE_URL").expect("checked");
                let name = format!("gs_bench_{}", Uuid::new_v4().simple());
                execute(&admin, format!("create database {name}"));
                place.database_url = format!("{}/{name}", admin.rsplit_once('/').expect("a database name").0);
                place.database = Some((admin, name.clone()));
                let amqp = std::env::var("GROUNDSWELL_TEST_AMQP_URL").expect("checked");
                for role in ["web", "tally"] {
                    let command = place.groundswell(role, &["--amqp-url", &amqp, "--amqp-prefix", &name]);
                    place.spawn(command, role == "web");
                }
            }
        }
        if side != Side::Plain {
            place.open_poll();
        }
        place
    }

    fn groundswell(&self, role: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_groundswell"));
        command
            .args([role, "--host", "127.0.0.1", "--port", "0", "--metrics-port", "0", "--database-url", &self.database_url, "--api-token", TOKEN])
            .args(more);
        command.env_remove("DATABASE_URL").env_remove("AMQP_URL").env("RUST_LOG", "error");
        command
    }

    fn spawn(&mut self, mut command: Command, web: bool) {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the process starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let last_line = if web { "  join    http://" } else { "  metrics " };
        let line = lines.by_ref().map_while(Result::ok).find(|l| l.starts_with(last_line)).expect("the process says that it runs");
        if web {
            self.address = line.trim_start_matches(last_line).trim_end_matches('/').parse().expect("an address");
        }
        // Read on, or the child blocks on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        self.children.push(child);
        let deadline = Instant::now() + PATIENCE;
        while self.side != Side::Plain && !self.raw("GET", "/readyz", "", None).0.contains(" 200 ") {
            assert!(Instant::now() < deadline, "the server is not ready");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    fn open_poll(&mut self) {
        let event = self.office("POST", "/api/v1/events", r#"{"title":"Benchmark"}"#);
        self.event = event["id"].as_str().expect("an event").to_owned();
        let code = event["code"].as_str().expect("a code");
        self.snapshot = format!("/api/v1/live/{code}");
        self.stream = format!("/api/v1/live/{code}/stream");
        let poll = r#"{"kind":"single","question":"How should the film end?","choices":["They ride into the sunset","The dog saves everyone","It was all a dream","To be continued"]}"#;
        let poll = self.office("POST", &format!("/api/v1/events/{}/polls", self.event), poll);
        self.poll = poll["id"].as_str().expect("a poll").to_owned();
        self.office("PUT", &format!("/api/v1/polls/{}/state", self.poll), r#"{"state":"open"}"#);
    }

    /// Changes the document; its version afterwards.
    fn change(&self) -> u64 {
        match self.side {
            Side::Plain => self.raw("POST", "/change", "", Some("")).1.parse().expect("a number"),
            _ => {
                self.office("PATCH", &format!("/api/v1/events/{}", self.event), &format!("{{\"title\":\"Benchmark {}\"}}", now_us()));
                let live: serde_json::Value = serde_json::from_str(&self.raw("GET", &self.snapshot, "", None).1).expect("JSON");
                live["version"].as_u64().expect("a version")
            }
        }
    }

    fn requests(&self, count: usize) -> Vec<Request> {
        self.requests_for(&[(self.event.clone(), self.poll.clone())], count)
    }

    /// Votes for these polls of these events in turn, each from a voter of its own.
    fn requests_for(&self, polls: &[(String, String)], count: usize) -> Vec<Request> {
        let url = self.database_url.clone();
        let key =
            runtime().block_on(async { Store::open(&url, 1).await.expect("the database opens").secret("pass_key", Vec::new()).await.expect("there is a key") });
        let key = PassKey::new(&key);
        let now = now_ms();
        let vote = |n: usize| {
            let (event, poll) = &polls[n % polls.len()];
            let pass = key.mint_open(event.parse().expect("an id"), Uuid::new_v4(), now);
            vote_request(self.address, poll, &pass, Uuid::new_v4(), 1, &format!("{poll}-{}", n % 4 + 1))
        };
        (0..count).map(vote).collect()
    }

    fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.children[0].id())).expect("it runs");
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("Linux");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    fn office(&self, method: &str, path: &str, body: &str) -> serde_json::Value {
        let (head, body) = self.raw(method, path, &format!("authorization: Bearer {TOKEN}\r\n"), Some(body));
        assert!(head.starts_with("HTTP/1.1 20"), "{method} {path}: {head} {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    fn raw(&self, method: &str, path: &str, more: &str, body: Option<&str>) -> (String, String) {
        use std::io::Read;
        let Ok(mut stream) = std::net::TcpStream::connect(self.address) else { return Default::default() };
        let length = body.map_or(String::new(), |b| format!("content-type: application/json\r\ncontent-length: {}\r\n", b.len()));
        let request = format!("{method} {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n{more}{length}\r\n{}", body.unwrap_or_default());
        let mut answer = String::new();
        if stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer)).is_err() {
            return Default::default();
        }
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        (head.to_owned(), body.to_owned())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some((admin, name)) = &self.database {
            execute(admin, format!("drop database if exists {name} with (force)"));
        }
    }
}

/// What ratios are taken against: a stream as the documentation of actix-web has it, and a GET of bytes that are there.
fn plain_server() {
    struct Plain {
        frames: watch::Sender<(u64, Bytes)>,
        same: watch::Sender<Bytes>,
    }
    fn frame(id: u64) -> (u64, Bytes) {
        // As long as the document of an event with one poll.
        (id, format!("event: live\nid: {id}\ndata: {}\n\n", "x".repeat(900)).into())
    }
    async fn stream(plain: Data<Plain>) -> HttpResponse {
        let mut frames = plain.frames.subscribe();
        frames.mark_changed();
        HttpResponse::Ok().insert_header(("content-type", "text/event-stream")).streaming(futures_util::stream::unfold(frames, |mut frames| async move {
            tokio::select! {
                changed = frames.changed() => changed.ok()?,
                () = tokio::time::sleep(Duration::from_secs(15)) => {}
            }
            let bytes = frames.borrow_and_update().1.clone();
            Some((Ok::<_, std::convert::Infallible>(bytes), frames))
        }))
    }
    async fn change(plain: Data<Plain>) -> String {
        let id = plain.frames.borrow().0 + 1;
        plain.frames.send_replace(frame(id));
        id.to_string()
    }
    async fn set_same(plain: Data<Plain>, body: Bytes) -> HttpResponse {
        plain.same.send_replace(body);
        HttpResponse::NoContent().finish()
    }
    async fn same(request: HttpRequest, plain: Data<Plain>) -> HttpResponse {
        if request.headers().contains_key("if-none-match") {
            return HttpResponse::NotModified().finish();
        }
        HttpResponse::Ok().insert_header(("content-type", "application/json")).body(plain.same.borrow().clone())
    }
    async fn file(request: HttpRequest) -> HttpResponse {
        if request.headers().contains_key("if-none-match") {
            return HttpResponse::NotModified().finish();
        }
        HttpResponse::Ok().insert_header(("content-type", "text/javascript")).body(Bytes::from_static(script().brotli))
    }
    actix_web::rt::System::new().block_on(async {
        use actix_web::web::{get, post};
        let plain = Data::new(Plain { frames: watch::Sender::new(frame(1)), same: watch::Sender::new(Bytes::new()) });
        let server = HttpServer::new(move || {
            App::new()
                .app_data(plain.clone())
                .route("/same", get().to(same))
                .route("/same", post().to(set_same))
                .route("/file", get().to(file))
                .route("/stream", get().to(stream))
                .route("/change", post().to(change))
        })
        .workers(std::thread::available_parallelism().map_or(2, usize::from))
        .max_connections(100_000)
        .bind(("127.0.0.1", 0))
        .expect("a free port");
        println!("  join    http://{}/", server.addrs()[0]);
        server.run().await.expect("the server runs");
    });
}

/// Memory of the kernel for sockets: slab and buffers, of the whole machine.
fn kernel_kib() -> u64 {
    const PAGE_KIB: u64 = 4;
    let number = |text: &str, name: &str| text.lines().find(|l| l.starts_with(name)).and_then(|l| l.split_whitespace().find_map(|w| w.parse::<u64>().ok()));
    let slab = number(&std::fs::read_to_string("/proc/meminfo").expect("Linux"), "Slab:").unwrap_or(0);
    let sockets = std::fs::read_to_string("/proc/net/sockstat").expect("Linux");
    let buffers = sockets.lines().find(|l| l.starts_with("TCP:")).and_then(|l| l.rsplit("mem ").next()?.trim().parse::<u64>().ok()).unwrap_or(0);
    slab + buffers * PAGE_KIB
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros() as i64
}

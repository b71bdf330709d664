//! Crowds that come all at once, at the binary itself: who finds a place, who is told to come back and when, what it costs in memory, and what
//! voters notice of it.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::{Connection, Executor, SqliteConnection};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{Events, Line};
use crate::door::{Door, Voter};
use crate::overload::are_refused_at_once;
use crate::process::{Process, command};
use crate::support::{Answer, runtime, until};

/// Nobody of a crowd waits longer.
const PATIENCE: Duration = Duration::from_secs(20);

fn real(directory: &TempDir, args: &[&str]) -> Process {
    rlimit::increase_nofile_limit(16_384).expect("files for thousands of connections");
    Process::of(&mut command(directory.path(), args))
}

/// Tells others to stop, however its scope ends: who is left in a loop would keep a failed test from ending.
struct Stops<'s>(&'s AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What the process has of the machine's memory.
fn resident_kib(process: &Process) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).expect("it runs");
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("it has memory");
    line.trim_end_matches("kB").trim().parse().expect("a number")
}

/// Fewer say nothing of how long they take: on a fast machine a crowd is there sooner.
const VOTES_LEAST: usize = 10;

/// Somebody votes all the time while something happens: each vote is accepted. How long they took, sorted.
fn while_somebody_votes<T>(door: &Door, something: impl FnOnce() -> T) -> (T, Vec<Duration>) {
    let voters: Vec<_> = (0..100).map(|_| door.voter()).collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let voting = scope.spawn(|| {
            let (mut line, mut took) = (Line::at(door.address), Vec::new());
            for voter in voters.iter().cycle() {
                if stop.load(Ordering::Relaxed) && took.len() > VOTES_LEAST {
                    break;
                }
                let began = Instant::now();
                door.vote_on(&mut line, voter).expect(202);
                took.push(began.elapsed());
                std::thread::park_timeout(Duration::from_millis(5));
            }
            took.sort_unstable();
            took
        });
        let outcome = {
            let _stops = Stops(&stop);
            something()
        };
        (outcome, voting.join().expect("every vote is accepted"))
    })
}

/// Two cores carry server and crowd, in test builds: most votes are quick, and none waits for the crowd's end.
#[track_caller]
fn are_quick(took: &[Duration]) {
    let (median, slowest) = (took[took.len() / 2], took[took.len() - 1]);
    assert!(
        took.len() > VOTES_LEAST && median < Duration::from_millis(400) && slowest < Duration::from_secs(5),
        "{} votes, {median:?}, {slowest:?}",
        took.len()
    );
}

struct Viewer {
    head: Answer,
    stream: tokio::net::TcpStream,
}

/// So many open a stream in the same moment.
async fn arrive(address: SocketAddr, path: &str, many: usize) -> Vec<Viewer> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    let one = async |request: String| {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("nobody is turned away without a word");
        stream.write_all(request.as_bytes()).await.expect("the server reads");
        let (mut said, mut piece) = (Vec::new(), [0; 2_048]);
        while !said.windows(4).any(|w| w == b"\r\n\r\n") {
            match stream.read(&mut piece).await {
                Ok(read) if read > 0 => said.extend_from_slice(&piece[..read]),
                // Hung up on, as who was not heard for 10 s: on a machine that has too much else to do.
                _ => break,
            }
        }
        Viewer { head: Answer::of(&said), stream }
    };
    let crowd: Vec<_> = (0..many).map(|_| tokio::time::timeout(PATIENCE, one(request.clone()))).collect();
    let crowd = futures_util::future::join_all(crowd).await;
    crowd.into_iter().map(|viewer| viewer.expect("everybody is answered in time")).collect()
}

#[test]
fn a_crowd_of_viewers_that_comes_back_at_once_fills_the_places_and_the_rest_comes_later_one_by_one() {
    const CROWD: usize = 4_000;
    const PLACES: usize = 3_000;
    /// Of the process, after a storm: what thousands of questions needed at once is not given back at once.
    const KIB_EACH_MAX: usize = 32;
    let directory = TempDir::new().unwrap();
    let settings = ["--viewers-max", "3000", "--connections-max", "6000"];
    // They were watching when the server died; nothing is warm.
    let mut process = real(&directory, &settings);
    let door = Door::open(process.address).settled();
    process.kill();
    let process = real(&directory, &settings);
    let door = door.at(process.address);
    until("it is ready", || door.is_ready());
    let path = format!("/api/v1/live/{}/stream", door.code);
    let (memory, runtime) = (resident_kib(&process), runtime());

    let ((mut seated, mut refused), took) = while_somebody_votes(&door, || {
        let crowd = runtime.block_on(arrive(process.address, &path, CROWD));
        crowd.into_iter().partition::<Vec<_>, _>(|viewer| viewer.head.status == 200)
    });
    are_quick(&took);
    refused.retain(|viewer| viewer.head.status > 0);
    let without_a_word = CROWD - seated.len() - refused.len();
    assert!(without_a_word <= CROWD / 20, "{without_a_word} were turned away without a word");
    assert!(seated.len() <= PLACES && !refused.is_empty(), "{} of {CROWD}", seated.len());
    assert!(refused.iter().all(|viewer| viewer.head.status == 503 && viewer.head.header("content-type") == Some("application/problem+json")));
    let when = |viewer: &Viewer| viewer.head.header("retry-after").expect("when to come back").parse::<u32>().expect("seconds");
    let seconds: BTreeSet<u32> = refused.iter().map(when).collect();
    assert!(seconds.len() > 10 && seconds.iter().all(|s| (5..=20).contains(s)), "spread over seconds: {seconds:?}");

    until("whoever comes back finds a place, if there is one", || {
        let more = runtime.block_on(arrive(process.address, &path, (PLACES - seated.len()).min(500)));
        seated.extend(more.into_iter().filter(|viewer| viewer.head.status == 200));
        seated.len() == PLACES
    });
    door.get(&path).expect(503);
    let each = resident_kib(&process).saturating_sub(memory) / PLACES;
    assert!(each <= KIB_EACH_MAX, "{each} KiB for each viewer");

    door.owner("PATCH", &format!("/api/v1/events/{}", door.event), json!({"title": "The newest"})).expect(200);
    let reads = |viewer: Viewer| async move {
        let (mut stream, mut said, mut piece) = (viewer.stream, Vec::new(), [0; 4_096]);
        while !said.windows(10).any(|w| w == b"The newest") {
            let read = stream.read(&mut piece).await.expect("the stream goes on");
            assert!(read > 0, "the stream ended");
            said.extend_from_slice(&piece[..read]);
        }
    };
    let all = futures_util::future::join_all(seated.into_iter().map(reads));
    runtime.block_on(async { tokio::time::timeout(PATIENCE, all).await }).expect("everybody sees the newest in time");
    assert_eq!(process.stop(), Some(0));
}

#[test]
fn viewers_who_do_not_read_cost_no_memory_and_voters_no_time() {
    const SLEEPERS: usize = 200;
    const CHANGES: usize = 60;
    /// A queue for each, or a frame for each, would be far beyond.
    const KIB_MAX: usize = 12 * 1_024;
    let directory = TempDir::new().unwrap();
    let process = real(&directory, &[]);
    let door = Door::open(process.address).settled();
    let polls = format!("/api/v1/events/{}/polls", door.event);
    for n in 0..8 {
        let choices: Vec<String> = (0..20).map(|c| format!("{c} {}", "a long choice ".repeat(7))).collect();
        let poll = door.owner("POST", &polls, json!({"kind": "single", "question": format!("Question {n}?"), "choices": choices})).expect(201).json();
        let poll = poll["id"].as_str().expect("an id").to_owned();
        door.owner("PUT", &format!("/api/v1/polls/{poll}/state"), json!({"state": "open"})).expect(200);
    }
    let path = format!("/api/v1/live/{}/stream", door.code);
    let document = door.get(&format!("/api/v1/live/{}", door.code)).expect(200).body.len();
    let mut awake = Events::at(process.address, &path, &[]);
    let sleepers: Vec<TcpStream> = (0..SLEEPERS).map(|_| asleep(process.address, &format!("GET {path} HTTP/1.0\r\n\r\n"))).collect();
    until("all have a place", || crate::door::figure(process.metrics(), "groundswell_viewers{kind=\"audience\"}") as usize > SLEEPERS);
    let memory = resident_kib(&process);
    let (grown, took) = while_somebody_votes(&door, || {
        let mut grown = 0;
        for n in 1..=CHANGES {
            let title = format!("Title {n}");
            door.owner("PATCH", &format!("/api/v1/events/{}", door.event), json!({"title": title})).expect(200);
            awake.until("who reads gets every change", |live| live["event"]["title"] == title.as_str());
            grown = grown.max(resident_kib(&process).saturating_sub(memory));
        }
        grown
    });
    are_quick(&took);
    assert!(KIB_MAX * 1_024 < SLEEPERS * CHANGES * document / 8, "the test could not fail");
    assert!(grown < KIB_MAX, "{grown} KiB more, for {SLEEPERS} who do not read {CHANGES} documents of {document} bytes");
    drop(sleepers);
    assert_eq!(process.stop(), Some(0));
}

/// Asks, and takes no more than the kernel must.
fn asleep(address: SocketAddr, request: &str) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("it may be small");
    socket.connect(&address.into()).expect("the server listens");
    let mut stream = TcpStream::from(socket);
    stream.write_all(request.as_bytes()).expect("the server reads");
    stream
}

/// All of them at once, each on a line of their own; then what each was told.
fn vote_together<'l>(door: &Door, lines: &'l mut [Line], voters: &[Voter]) -> Vec<(&'l mut Line, Answer)> {
    for (line, voter) in lines.iter_mut().zip(voters) {
        let request = door.request(line, voter);
        line.send(&request);
    }
    let answered = |line: &'l mut Line| {
        let answer = line.read(false).unwrap_or_default().0;
        (line, answer)
    };
    lines.iter_mut().map(answered).collect()
}

/// The disk hangs while a whole crowd votes and sends again at once what is refused: all that stands is bounded.
#[test]
fn a_crowd_that_is_refused_again_and_again_costs_no_memory_and_is_counted_in_the_end() {
    const CROWD: usize = 600;
    const KIB_MAX: usize = 16 * 1_024;
    let directory = TempDir::new().unwrap();
    let process = real(&directory, &["--web-threads", "1"]);
    let door = Door::open(process.address).settled();
    let voters: Vec<_> = (0..CROWD).map(|_| door.voter()).collect();
    let mut lines: Vec<Line> = voters.iter().map(|_| Line::at(process.address)).collect();
    lines.iter_mut().for_each(|line| _ = line.ask("GET", "/livez", &[], None).expect(200));
    let memory = resident_kib(&process);

    let runtime = runtime();
    let journal = format!("sqlite://{}/groundswell.journal.db", directory.path().display());
    let mut hung = runtime.block_on(async {
        let mut connection = SqliteConnection::connect(&journal).await.expect("it opens");
        connection.execute("pragma busy_timeout = 20000").await.expect("SQLite obeys");
        connection.execute("begin immediate").await.expect("SQLite obeys");
        connection
    });
    let (stop, refused) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (seconds, grown) = std::thread::scope(|scope| {
        let share = CROWD / 8;
        let crowd: Vec<_> = lines
            .chunks_mut(share)
            .zip(voters.chunks(share))
            .map(|(lines, voters)| {
                scope.spawn(|| {
                    let mut seconds = BTreeSet::new();
                    while !stop.load(Ordering::Relaxed) {
                        for (line, answer) in vote_together(&door, lines, voters) {
                            match answer.status {
                                503 => {
                                    refused.fetch_add(1, Ordering::Relaxed);
                                    assert_eq!(answer.code(), "busy");
                                    seconds.insert(answer.header("retry-after").expect("when to come back").parse::<u32>().expect("seconds"));
                                }
                                // It was on its way to the disk when that hung.
                                504 => {}
                                other => panic!("{other} while nothing can be made safe: {answer:?}"),
                            }
                            if answer.header("connection") == Some("close") {
                                *line = Line::at(door.address);
                            }
                        }
                    }
                    seconds
                })
            })
            .collect();
        let mut grown = 0;
        {
            let _stops = Stops(&stop);
            let began = Instant::now();
            while refused.load(Ordering::Relaxed) < 6 * CROWD && !crowd.iter().any(|thread| thread.is_finished()) {
                assert!(began.elapsed() < PATIENCE * 3, "only {} refusals", refused.load(Ordering::Relaxed));
                grown = grown.max(resident_kib(&process).saturating_sub(memory));
                std::thread::park_timeout(Duration::from_millis(20));
            }
        }
        let seconds: BTreeSet<u32> = crowd.into_iter().flat_map(|thread| thread.join().expect("nothing but refusals")).collect();
        (seconds, grown)
    });
    assert!(seconds.len() > 1 && seconds.iter().all(|s| (1..=3).contains(s)), "each at a time of their own: {seconds:?}");
    assert!(grown < KIB_MAX, "{grown} KiB more after {} refusals", refused.into_inner());
    // The crowd is silent, the disk hangs still: this is what a refusal takes by itself.
    let mut line = Line::at(process.address);
    let turns = (0..20).map(|_| (door.vote_on(&mut lines[0], &voters[0]).expect(503).took, line.ask("GET", "/livez", &[], None).expect(200).took));
    let (refused, bare) = turns.unzip();
    are_refused_at_once(refused, bare);

    runtime.block_on(async { hung.execute("rollback").await.expect("SQLite obeys") });
    until("votes are taken", || door.vote(&voters[0]).status == 202);
    for (line, voter) in lines.iter_mut().zip(&voters) {
        until("everybody gets through", || door.vote_on(line, voter).status == 202);
    }
    until("each is counted, once", || door.counted() == CROWD as i64);
    assert_eq!(process.stop(), Some(0));
}

/// A password takes a core for most of a second in a test build. On the one thread that answers votes, no vote would be answered meanwhile.
#[test]
fn while_a_password_is_computed_votes_are_answered() {
    let directory = TempDir::new().unwrap();
    let process = real(&directory, &["--web-threads", "1"]);
    let door = Door::open(process.address).settled();
    let (voter, answered, stop) = (door.voter(), AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut line = Line::at(process.address);
            while !stop.load(Ordering::Relaxed) {
                door.vote_on(&mut line, &voter).expect(202);
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
        let headers = [("content-type", "application/json"), ("sec-fetch-site", "same-origin")];
        let credentials = json!({"email": "nobody@example.org", "password": "a password that nobody has"}).to_string();
        let meanwhile = (0..3).map(|_| {
            let before = answered.load(Ordering::Relaxed);
            door.call("POST", "/api/v1/session", &headers, Some(&credentials)).expect(401);
            answered.load(Ordering::Relaxed) - before
        });
        let _stops = Stops(&stop);
        let most = meanwhile.max().expect("some");
        assert!(most > 5, "{most} votes while a password was computed");
    });
    assert_eq!(process.stop(), Some(0));
}

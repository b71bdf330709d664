//! A crowd that watches, through the edge: what of it reaches the origin.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::edge::Kind;
use crate::hall::{Hall, votes};
use crate::relay::{LATE, Manners, Relay};
use crate::support::{Backend, runtime, until};
use crate::{on_each_edge, with_nginx};

on_each_edge![
    thousands_of_readers_cost_the_origin_one_question_a_second,
    a_crowd_at_a_cold_edge_is_one_question,
    a_crowd_at_a_cold_edge_is_not_let_through_to_an_origin_that_hangs,
];
with_nginx![more_questions_than_an_origin_can_bear_are_told_to_come_back];

/// As `refresh_ms` says, and the phone's jitter.
const REFRESH_MS: std::ops::Range<u64> = 800..1_200;

/// How many read, and for how many seconds. nginx is the one that everybody is told to take.
fn crowd_of(kind: Kind) -> (u64, u64) {
    match kind {
        Kind::Nginx => (2_000, 20),
        Kind::Varnish => (1_000, 6),
    }
}

/// One crowd after the other: an edge that gets no processor for a second goes by the time of a second ago.
static CROWD: Mutex<()> = Mutex::new(());

fn thousands_of_readers_cost_the_origin_one_question_a_second(kind: Kind) {
    let _turn = CROWD.lock().unwrap_or_else(PoisonError::into_inner);
    let (readers, watched_s) = crowd_of(kind);
    let hall = Hall::open(Backend::Embedded);
    let relay = Relay::before(hall.address);
    let edge = kind.before(relay.address);
    let events: Vec<_> = (0..2).map(|_| hall.event()).collect();
    let polls: Vec<_> = events.iter().map(|event| event.poll(&hall, json!({}))).collect();
    let ended = Instant::now() + Duration::from_secs(watched_s);
    let (read, oldest_ms) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    std::thread::scope(|scope| {
        // The document moves all the time: people vote, through the same edge.
        scope.spawn(|| {
            let voters: Vec<_> = polls.iter().zip(&events).map(|(poll, event)| (event.voter(&hall), poll)).collect();
            for ballot in 1.. {
                for (voter, poll) in &voters {
                    let body = crate::hall::ballot_of(poll, ballot, ballot as u32, &[1]).to_string();
                    edge.ask("POST", &format!("/api/v1/polls/{poll}/ballots"), &voter.headers(), Some(&body)).expect(202);
                }
                if Instant::now() > ended {
                    break;
                }
                std::thread::park_timeout(Duration::from_millis(200));
            }
        });
        runtime().block_on(async {
            let reading: Vec<_> = (0..readers)
                .map(|n| {
                    let code = events[n as usize % events.len()].code.clone();
                    tokio::spawn(watch(edge.address, code, n, ended, read.clone(), oldest_ms.clone()))
                })
                .collect();
            for reader in reading {
                reader.await.expect("no reader was let down");
            }
        });
    });
    // Each of them asked about once a second; on a slow machine less often.
    let read = read.load(Ordering::Relaxed);
    assert!(read >= readers * watched_s / 4, "only {read} answers were read");
    for event in &events {
        let questions: Vec<_> = relay.asked().into_iter().filter(|asked| asked.line == format!("GET /api/v1/live/{}", event.code)).collect();
        // One a second, and the one at the beginning.
        assert!((2..=watched_s as usize + 1).contains(&questions.len()), "{} questions for {read} answers", questions.len());
        // One may be written down late, by a thread among two thousand readers: three seconds hold four questions and no more.
        if let Some(closest) = questions.windows(4).min_by_key(|four| four[3].at - four[0].at) {
            let apart = closest[3].at - closest[0].at;
            assert!(
                apart > Duration::from_millis(2_500),
                "four questions within {apart:?}, the first {:?} after the beginning: {closest:?}",
                closest[0].at - questions[0].at
            );
        }
    }
    let oldest = oldest_ms.load(Ordering::Relaxed);
    assert!(oldest < 6_000, "a document was {oldest} ms old");
    eprintln!("{kind:?}: {readers} readers, {read} answers, {} questions to the origin, oldest document {oldest} ms", relay.count("GET /api/v1/live/"));
}

/// One phone: asks, waits, asks again, on one connection; sends junk behind the question mark, as links in mails have it.
async fn watch(edge: std::net::SocketAddr, code: String, n: u64, ended: Instant, read: Arc<AtomicU64>, oldest_ms: Arc<AtomicU64>) {
    // They arrive within a second.
    tokio::time::sleep(Duration::from_millis(n % 1_000)).await;
    let mut line = BufReader::new(TcpStream::connect(edge).await.expect("the edge takes it"));
    while Instant::now() < ended {
        let age = look(&mut line, &code, n).await;
        oldest_ms.fetch_max(age.max(0) as u64, Ordering::Relaxed);
        read.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(fastrand::u64(REFRESH_MS))).await;
    }
}

/// Asks once; how old the document is.
async fn look(line: &mut BufReader<TcpStream>, code: &str, n: u64) -> i64 {
    let coding = ["br, gzip", "gzip", "identity", "deflate, zstd;q=0.3"][n as usize % 4];
    let request = format!("GET /api/v1/live/{code}?utm_source=mail{n} HTTP/1.1\r\nhost: edge\r\naccept-encoding: {coding}\r\n\r\n");
    line.get_mut().write_all(request.as_bytes()).await.expect("the edge reads");
    let (mut head, mut length) = (String::new(), 0);
    while line.read_line(&mut head).await.expect("the edge answers") > 2 {
        let last = head.lines().last().expect("one was read").to_lowercase();
        length = last.strip_prefix("content-length:").map_or(length, |v| v.trim().parse().expect("a number"));
    }
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let mut body = vec![0; length];
    line.read_exact(&mut body).await.expect("a whole body");
    let document: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(document["event"]["code"], code, "somebody else's document");
    groundswell::clock::now_ms() - document["now"].as_i64().expect("a time")
}

fn a_crowd_at_a_cold_edge_is_one_question(kind: Kind) {
    const AT_ONCE: usize = 300;
    let hall = Hall::open(Backend::Embedded);
    let relay = Relay::before(hall.address);
    let edge = kind.before(relay.address);
    let event = hall.event();
    let poll = event.poll(&hall, json!({}));
    event.voter(&hall).vote(&hall, &poll, 1, 1, &[1]).expect(202);
    until("it is counted", || votes(&hall, &poll)[0] == 1);
    let path = format!("/api/v1/live/{}", event.code);
    relay.behave(Manners::Late);
    runtime().block_on(async {
        let mut lines = Vec::new();
        for _ in 0..AT_ONCE {
            lines.push(BufReader::new(TcpStream::connect(edge.address).await.expect("the edge takes it")));
        }
        let crowd: Vec<_> = lines
            .into_iter()
            .zip(0..)
            .map(|(mut line, n)| {
                let code = event.code.clone();
                tokio::spawn(async move { look(&mut line, &code, n).await })
            })
            .collect();
        for one in crowd {
            one.await.expect("everybody is answered");
        }
    });
    let began: Vec<Instant> = relay.asked().iter().filter(|asked| asked.line == format!("GET {path}")).map(|asked| asked.at).collect();
    let since: Vec<Duration> = began.iter().map(|at| *at - began[0]).collect();
    // As long as the first is not answered, there is no other; from then on there is one a second for whoever comes late.
    assert_eq!(since.iter().filter(|since| **since < LATE * 9 / 10).count(), 1, "questions after {since:?}");
    let seconds = since.last().expect("there is one").saturating_sub(LATE).as_secs_f64().ceil() as usize;
    assert!(since.len() <= 1 + seconds, "questions after {since:?}");
}

/// An edge that has nothing kept and gets no answer may try again now and then. Those who wait stay where they are, for as long as they like.
fn a_crowd_at_a_cold_edge_is_not_let_through_to_an_origin_that_hangs(kind: Kind) {
    const WAITING: usize = 300;
    /// A phone gives up after 15 s. Longer than an edge that lets its crowd through would take for it.
    const PATIENCE: Duration = Duration::from_secs(12);
    let hall = Hall::open(Backend::Embedded);
    let relay = Relay::before(hall.address);
    let edge = kind.before(relay.address);
    let event = hall.event();
    relay.behave(Manners::Hangs);
    runtime().block_on(async {
        let crowd: Vec<_> = (0..WAITING).map(|_| tokio::spawn(timeout(PATIENCE, ask_for(edge.address, event.code.clone())))).collect();
        for one in crowd {
            // Whether it is told to come back or gives up.
            let _ = one.await.expect("no panic");
        }
    });
    let questions = relay.count(&format!("GET /api/v1/live/{}", event.code));
    // One, and one more every three seconds.
    assert!((1..=1 + PATIENCE.as_secs() as usize / 3).contains(&questions), "{questions} questions");
}

/// A thousand events, none of them kept, and an origin that hangs: so many at once are asked for. Votes are not in that queue.
fn more_questions_than_an_origin_can_bear_are_told_to_come_back() {
    const EVENTS: usize = 1_000;
    const AT_ONCE_MAX: usize = 256;
    let hall = Hall::open(Backend::Embedded);
    let relay = Relay::before(hall.address);
    let edge = Kind::Nginx.before(relay.address);
    relay.behave(Manners::Hangs);
    runtime().block_on(async {
        let (told, mut answers) = tokio::sync::mpsc::channel(EVENTS);
        let asking: Vec<_> = (0..EVENTS)
            .map(|n| {
                let (told, address) = (told.clone(), edge.address);
                tokio::spawn(async move { told.send(ask_for(address, format!("{}", 100_000 + n)).await).await })
            })
            .collect();
        for n in 0..EVENTS - AT_ONCE_MAX {
            let head = timeout(Duration::from_secs(5), answers.recv()).await.unwrap_or_else(|_| panic!("only {n} were told"));
            let head = head.expect("they still ask").to_lowercase();
            assert!(head.starts_with("http/1.1 503") && head.contains("\r\nretry-after: "), "{head}");
        }
        until("the others are asked", || relay.count("GET /api/v1/live/") >= AT_ONCE_MAX);
        assert_eq!(relay.count("GET /api/v1/live/"), AT_ONCE_MAX);
        asking.iter().for_each(|one| one.abort());
    });
    let vote = "POST /api/v1/polls/0/ballots";
    std::thread::scope(|scope| {
        scope.spawn(|| edge.ask("POST", "/api/v1/polls/0/ballots", &[], Some("{}")));
        until("a vote gets through", || relay.count(vote) == 1);
    });
}

/// Asks once, on a connection of its own; the head of the answer.
async fn ask_for(edge: std::net::SocketAddr, code: String) -> String {
    let mut line = BufReader::new(TcpStream::connect(edge).await.expect("the edge takes it"));
    let request = format!("GET /api/v1/live/{code} HTTP/1.1\r\nhost: edge\r\n\r\n");
    line.get_mut().write_all(request.as_bytes()).await.expect("the edge reads");
    let mut head = String::new();
    while line.read_line(&mut head).await.expect("the edge answers") > 2 {}
    head
}

//! How long a connection is waited for: what is begun and not ended, what nobody takes, and who says nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::client::Line;
use crate::hall::{Hall, ballot_of, books};
use crate::heads::{bearer, is_last_word};
use crate::support::stalls::Disk;
use crate::support::{Answer, Backend, until};

/// What the server promises to slow clients, and some for a shared machine.
pub const PATIENCE: Duration = Duration::from_secs(13);

#[test]
fn a_body_of_a_byte_a_second_is_given_up() {
    let hall = Hall::open(Backend::Embedded);
    let event = hall.event();
    let poll = event.poll(&hall, serde_json::json!({}));
    let voter = event.voter(&hall);
    let body = ballot_of(&poll, 1, 1, &[1]).to_string();
    let [pass, json] = voter.headers();
    let line = Line::to(&hall);
    let length = body.len().to_string();
    let head = line.request("POST", &format!("/api/v1/polls/{poll}/ballots"), &[pass, json, ("content-length", &length)], None);
    let (answer, took) = trickle(&hall, &head, body.as_bytes());
    assert!(took < PATIENCE, "hung up after {took:?}");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    assert_eq!(books(&hall, &poll), [0; 5]);
    voter.vote(&hall, &poll, 1, 1, &[1]).expect(202);
}

#[test]
fn a_head_of_a_byte_a_second_is_given_up() {
    let hall = Hall::open(Backend::Embedded);
    let starts: [(&str, &[u8], &[u8]); 2] = [
        ("a slow head", b"GET /livez HTTP/1.1\r\n", b"host: x\r\nx-slow: 777777777777777777777777777777777777\r\n\r\n"),
        ("a connection that says nothing", b"", b""),
    ];
    std::thread::scope(|scope| {
        for (what, first, rest) in starts {
            let hall = &hall;
            scope.spawn(move || {
                let (answer, took) = trickle(hall, first, rest);
                assert!(took < PATIENCE, "{what}: hung up after {took:?}");
                if !answer.is_empty() {
                    is_last_word(what, &Answer::of(answer.as_bytes()), 408, "body_slow");
                }
            });
        }
    });
    until("others are served", || hall.get("/livez").status == 200);
}

#[test]
fn a_connection_that_was_answered_once_has_no_more_patience() {
    let hall = Hall::open(Backend::Embedded);
    let chunked: &[u8] = b"GET /livez HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n";
    let whole: &[u8] = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    let ended: &[u8] = b"GET /livez HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    let with_half_a_head = [ended, b"GET /livez HTTP/1.1\r\nhost"].concat();
    let poll = hall.event().poll(&hall, serde_json::json!({}));
    let export = Line::to(&hall).request("GET", &format!("/api/v1/polls/{poll}/ballots.csv"), &[("authorization", &bearer())], None);
    let export_with_half_a_head = [&export[..], b"GET /livez HTTP/1.1\r\nhost"].concat();
    // Asked for so that only HTTP can tell where the question ends.
    let export_in_chunks = String::from_utf8_lossy(&export).replace("\r\n\r\n", "\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
    let in_chunks_with_half_a_head = [export_in_chunks.as_bytes(), b"GET /livez HTTP/1.1\r\nhost"].concat();
    let starts: [(&str, &[u8], &[u8]); 9] = [
        ("a slow second head", whole, b"GET /livez HTTP/1.1\r\nx-slow: 777777777777777777777777777777777777\r\n\r\n"),
        ("a byte of a second head, and silence", whole, b"G"),
        ("a slow second head after a request in chunks", ended, b"GET /livez HTTP/1.1\r\nx-slow: 777777777777777777777777777777777777\r\n\r\n"),
        ("half a head behind a request in chunks, and silence", &with_half_a_head, b""),
        ("half a head behind an export, and silence", &export_with_half_a_head, b""),
        ("half a head behind an export asked for in chunks, and silence", &in_chunks_with_half_a_head, b""),
        ("a slow second head after an export", &export, b"GET /livez HTTP/1.1\r\nx-slow: 777777777777777777777777777777777777\r\n\r\n"),
        ("half a body that nobody asked for, and silence", chunked, b""),
        ("a slow body that nobody asked for", chunked, b"1\r\nx\r\n1\r\nx\r\n1\r\nx\r\n1\r\nx\r\n1\r\nx\r\n1\r\nx\r\n"),
    ];
    std::thread::scope(|scope| {
        for (what, first, rest) in starts {
            let hall = &hall;
            scope.spawn(move || {
                let (answer, took) = trickle(hall, first, rest);
                let whole = answer.ends_with("ok\n") || (answer.contains("text/csv") && answer.ends_with("\r\n0\r\n\r\n"));
                assert!(answer.starts_with("HTTP/1.1 200") && whole, "{what}: {answer}");
                assert!(took > Duration::from_secs(9) && took < PATIENCE, "{what}: hung up after {took:?}");
            });
        }
        scope.spawn(|| {
            let (started, piece) = (Instant::now(), format!("2000\r\n{}\r\n", "7".repeat(0x2000)));
            let mut line = Line::to(&hall);
            line.send(chunked);
            assert_eq!(line.read(false).expect("answered before the body ends").0.status, 200);
            while started.elapsed() < Duration::from_secs(30) && line.send(piece.as_bytes()) {
                std::thread::park_timeout(Duration::from_millis(1));
            }
            assert!(started.elapsed() < PATIENCE, "an endless body: hung up after {:?}", started.elapsed());
        });
        // Who is silent between requests is not who leaves one unfinished.
        scope.spawn(|| {
            let mut line = Line::to(&hall);
            for _ in 0..2 {
                line.ask("GET", "/livez", &[], None).expect(200);
                let answered_at = Instant::now();
                until("a pause", || answered_at.elapsed() > Duration::from_secs(11));
            }
            line.ask("GET", "/livez", &[], None).expect(200);
        });
        // Nor is who says nothing after an export; and what came behind it is answered.
        scope.spawn(|| {
            let mut line = Line::to(&hall);
            line.send(&[&export[..], whole, &export, &export].concat());
            for answer in ["voter,", "ok\n", "voter,", "voter,"] {
                assert!(line.read(false).expect("an answer").0.expect(200).body.starts_with(answer), "{answer}");
            }
            let answered_at = Instant::now();
            until("a pause", || answered_at.elapsed() > Duration::from_secs(11));
            line.ask("GET", "/livez", &[], None).expect(200);
        });
    });
}

/// Votes are heard before HTTP is asked. Who begins one and does not end it, or takes no answer, holds a connection no longer there than anywhere.
#[test]
fn a_voter_who_begins_and_does_not_end_or_takes_no_answer_is_given_up_and_others_vote_on() {
    let hall = Hall::open(Backend::Embedded);
    let event = hall.event();
    let poll = event.poll(&hall, serde_json::json!({}));
    let (slow, honest) = (event.voter(&hall), event.voter(&hall));
    // The first vote of each thread for a poll goes another way.
    (0..16).for_each(|_| _ = honest.vote(&hall, &poll, 1, 1, &[1]).expect(202));
    let vote = Line::to(&hall).request("POST", &format!("/api/v1/polls/{poll}/ballots"), &slow.headers(), Some(&ballot_of(&poll, 2, 1, &[1]).to_string()));
    let vote = vote.as_slice();
    let chunked = String::from_utf8_lossy(vote).replace("content-length: ", "transfer-encoding: chunked\r\nx-length: ");
    let chunked = format!("{}\r\n\r\n1\r\n{{\r\n", chunked.split_once("\r\n\r\n").expect("a head").0);
    event.live(&hall);
    let document = format!("GET /api/v1/live/{} HTTP/1.1\r\nhost: x\r\n\r\n", event.code);
    let question: &[u8] = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    let (half, to_body) = (vote.len() / 3, vote.len() - 20);
    // What is sent at once, what then comes a byte each second, and what is answered.
    let cases: [(&str, Vec<u8>, &[u8], &[&str]); 10] = [
        ("half a head, a byte a second", vote[..half].to_vec(), &vote[half..], &["408"]),
        ("half a head, and silence", vote[..half].to_vec(), b"", &["408"]),
        ("a body, a byte a second", vote[..to_body].to_vec(), &vote[to_body..], &["422"]),
        ("a body that never ends", chunked.clone().into_bytes(), b"1\r\n \r\n1\r\n \r\n1\r\n \r\n", &["422"]),
        ("a vote, then half a head, a byte a second", vote.to_vec(), vote, &["202"]),
        ("a vote with half a head behind it, and silence", [vote, &vote[..half]].concat(), b"", &["202", "408"]),
        ("a vote with most of a body behind it, and silence", [vote, &vote[..to_body]].concat(), b"", &["202", "422"]),
        ("a document with half a head behind it, and silence", [document.as_bytes(), &vote[..half]].concat(), b"", &["200", "408"]),
        ("a question and a vote with half a head behind them, and silence", [question, vote, &vote[..half]].concat(), b"", &["200", "202"]),
        ("two questions, and half of a third, and silence", [question, question, &question[..9]].concat(), b"", &["200", "200"]),
    ];
    std::thread::scope(|scope| {
        let hall = &hall;
        let slow: Vec<_> = cases
            .into_iter()
            .map(|(what, first, rest, answers)| {
                scope.spawn(move || {
                    let (heard, took) = trickle(hall, &first, rest);
                    let statuses: Vec<&str> = heard.lines().filter_map(|l| l.strip_prefix("HTTP/1.1 ")?.get(..3)).collect();
                    // HTTP may or may not find a last word.
                    assert!(statuses == answers || statuses == answers[..answers.len() - 1], "{what}: {statuses:?}");
                    assert!(took > Duration::from_secs(9) && took < PATIENCE, "{what}: hung up after {took:?}");
                })
            })
            .chain([scope.spawn(move || {
                let mut greedy = takes_little(hall);
                let began = Instant::now();
                // Until the server reads no more, because nobody takes what it says.
                while greedy.write_all(&vote.repeat(100)).is_ok() {
                    assert!(began.elapsed() < PATIENCE, "votes without end are read, and no answer is taken");
                }
                while greedy.take_error().expect("a socket").is_none() {
                    assert!(began.elapsed() < PATIENCE + Duration::from_secs(3), "it is held for ever");
                    std::thread::park_timeout(Duration::from_millis(100));
                }
                assert!(began.elapsed() > Duration::from_secs(9), "hung up after {:?}", began.elapsed());
            })])
            .collect();
        let mut line = Line::to(hall);
        let (disk, began) = (Disk::watch(), Instant::now());
        let mut slowest = Duration::ZERO;
        for revision in 2.. {
            if slow.iter().all(|thread| thread.is_finished()) {
                break;
            }
            let body = ballot_of(&poll, u128::from(revision), revision, &[1]).to_string();
            let sent = Instant::now();
            line.ask("POST", &format!("/api/v1/polls/{poll}/ballots"), &honest.headers(), Some(&body)).expect(202);
            slowest = slowest.max(sent.elapsed());
            std::thread::park_timeout(Duration::from_millis(50));
        }
        let disk = disk.slowest_since(began);
        assert!(slowest < Duration::from_secs(2) + disk, "an honest voter waited {slowest:?}, and a page for the disk {disk:?}");
        slow.into_iter().for_each(|thread| thread.join().expect("said above"));
    });
    // A slow voter's whole votes count, once; halves do not.
    until("two voters are counted", || books(&hall, &poll)[1] == 2);
}

/// Nobody wakes the connection when its vote is answered; its time runs all the same.
#[test]
fn a_connection_that_has_voted_and_says_nothing_more_is_kept_for_a_while_and_not_for_ever() {
    let hall = Hall::open(Backend::Embedded);
    let event = hall.event();
    let poll = event.poll(&hall, serde_json::json!({}));
    let voter = event.voter(&hall);
    let mut line = Line::to(&hall);
    let body = ballot_of(&poll, 1, 1, &[1]).to_string();
    for _ in 0..8 {
        // The first one on each thread goes another way.
        voter.send(&hall, &poll, &body).expect(202);
    }
    line.ask("POST", &format!("/api/v1/polls/{poll}/ballots"), &voter.headers(), Some(&body)).expect(202);
    let answered = Instant::now();
    line.wait_for_the_end(Duration::from_secs(100));
    assert!(answered.elapsed() > Duration::from_secs(60) && answered.elapsed() < Duration::from_secs(95), "{:?}", answered.elapsed());
}

#[test]
fn when_places_become_few_a_connection_is_not_kept_after_its_answer() {
    let hall = Hall::open_with(Backend::Embedded, &["--connections-max", "40"]);
    let kept = |line: &mut Line| line.ask("GET", "/livez", &[], None).expect(200).header("connection") != Some("close");
    let mut early = Line::to(&hall);
    assert!(kept(&mut early) && kept(&mut early), "there is room");
    let mut idle: Vec<Line> = (0..33).map(|_| Line::to(&hall)).collect();
    until("the places are few", || !kept(&mut Line::to(&hall)));
    assert!(!kept(&mut early), "who was here before, too");
    assert!(early.read(false).is_none(), "and it ends");
    idle.clear();
    until("there is room again", || kept(&mut Line::to(&hall)));
}

/// A connection of which neither side's kernel takes much. The server is in this process, so its side can be found here.
pub fn takes_little(hall: &Hall) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("it may be small");
    socket.connect(&hall.address.into()).expect("the server listens");
    let stream = TcpStream::from(socket);
    stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a timeout can be set");
    let client = stream.local_addr().expect("connected");
    until("the server's side is small", || {
        let files = std::fs::read_dir("/proc/self/fd").expect("Linux").flatten();
        files.filter_map(|file| file.file_name().to_str()?.parse().ok()).any(|number| {
            // SAFETY: it is only asked whether it is the one; any other, closed or not, says no.
            let file = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
            let side = socket2::SockRef::from(&file);
            side.peer_addr().is_ok_and(|peer| peer.as_socket() == Some(client)) && side.set_send_buffer_size(4_096).is_ok()
        })
    });
    stream
}

/// Sends the first part, then a byte each second in which nothing is heard; what was heard, and when the connection ended.
fn trickle(hall: &Hall, first: &[u8], mut rest: &[u8]) -> (String, Duration) {
    let started = Instant::now();
    let mut stream = TcpStream::connect(hall.address).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout can be set");
    stream.write_all(first).expect("the server reads");
    let mut heard = Vec::new();
    let mut piece = [0; 4_096];
    while started.elapsed() < Duration::from_secs(30) {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => heard.extend_from_slice(&piece[..n]),
            Err(why) if matches!(why.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                if let Some((byte, after)) = rest.split_first() {
                    rest = after;
                    if stream.write_all(&[*byte]).is_err() {
                        break;
                    }
                }
            }
            Err(_) => break,
        }
    }
    (String::from_utf8_lossy(&heard).into_owned(), started.elapsed())
}

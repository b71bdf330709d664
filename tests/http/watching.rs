//! Viewers in numbers: who finds a place and who is told to come back, what happens to those who do not read, and when a stream ends.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::account::{browser, set_up};
use crate::client::{Events, Line};
use crate::hall::{Event, Hall, votes_in};
use crate::on_both;
use crate::support::{Answer, Backend, Place, Server, TOKEN, until};

on_both![a_presenters_stream_ends_with_its_session, viewers_of_two_processes_see_the_same];

fn public(event: &Event) -> String {
    format!("/api/v1/live/{}/stream", event.code)
}

fn presenter(server: &Server, event: &Event) -> Events {
    Events::open(server, &format!("/api/v1/events/{}/stream", event.id), &[("authorization", &format!("Bearer {TOKEN}"))])
}

/// A stream that was refused: a whole answer at once.
#[track_caller]
fn is_told_to_come_back(answer: Answer) {
    let answer = answer.expect(503);
    assert_eq!((answer.code().as_str(), answer.header("content-type")), ("busy", Some("application/problem+json")));
    let after: u32 = answer.header("retry-after").expect("when to come back").parse().expect("seconds");
    assert!((1..=60).contains(&after), "{after}");
    assert!(answer.header("content-security-policy").is_some(), "{answer:?}");
    assert!(answer.took < Duration::from_secs(1), "{:?}", answer.took);
}

#[test]
fn viewers_beyond_their_number_come_back_later_and_push_nobody_out() {
    let hall = Hall::open_with(Backend::Embedded, &["--viewers-max", "3"]);
    let event = hall.event();
    let poll = event.poll(&hall, json!({}));
    let mut watching: Vec<Events> = (0..3).map(|_| Events::open(&hall, &public(&event), &[])).collect();
    assert!(watching.iter().all(|w| w.head.status == 200));
    let again: Vec<Answer> = (0..20).map(|_| hall.get(&public(&event))).collect();
    let seconds: std::collections::BTreeSet<&str> = again.iter().filter_map(|a| a.header("retry-after")).collect();
    assert!(seconds.len() > 2, "each at a time of their own: {seconds:?}");
    again.into_iter().for_each(is_told_to_come_back);
    event.voter(&hall).vote(&hall, &poll, 1, 1, &[1]).expect(202);
    hall.get(&format!("/api/v1/live/{}", event.code)).expect(200);
    let mut screen = presenter(&hall, &event);
    screen.until("the presenter has a place", |live| votes_in(&live["polls"][0]["results"])[0] == 1);
    watching[2].until("those who are in stay in", |live| votes_in(&live["polls"][0]["results"])[0] == 1);
    watching.pop();
    until("a place that is left is free again", || Events::open(&hall, &public(&event), &[]).head.status == 200);
}

#[test]
fn one_address_does_not_take_every_place() {
    let hall = Hall::open_with(Backend::Embedded, &["--viewers-per-address-max", "2", "--trusted-proxies", "127.0.0.1"]);
    let event = hall.event();
    let from = |address: &str| Events::open(&hall, &public(&event), &[("x-forwarded-for", address)]);
    let held = [from("192.0.2.1"), from("192.0.2.1")];
    assert_eq!(from("192.0.2.1").head.status, 503);
    assert_eq!(from("6.6.6.6, 192.0.2.1").head.status, 503, "what a client makes up is not believed");
    assert_eq!(from("192.0.2.2").head.status, 200);
    assert_eq!([from("2001:db8::1"), from("2001:db8::2"), from("2001:db8::3")].map(|s| s.head.status), [200, 200, 503], "one household");
    drop(held);
    until("places are given back", || from("192.0.2.1").head.status == 200);
}

#[test]
fn a_hall_behind_a_proxy_nobody_told_of_is_not_limited_as_one() {
    let hall = Hall::open_with(Backend::Embedded, &["--viewers-max", "6"]);
    let event = hall.event();
    let watching: Vec<Events> = (0..6).map(|_| Events::open(&hall, &public(&event), &[])).collect();
    assert!(watching.iter().all(|w| w.head.status == 200));
}

#[test]
fn a_connection_beyond_the_last_is_answered_at_once_and_those_in_go_on() {
    let hall = Hall::open_with(Backend::Embedded, &["--connections-max", "12"]);
    let event = hall.event();
    let poll = event.poll(&hall, json!({}));
    let voter = event.voter(&hall);
    until("earlier connections are closed", || {
        let lines: Vec<Line> = (0..12).map(|_| Line::to(&hall)).collect();
        lines.into_iter().all(|mut line| line.ask("GET", "/livez", &[], None).status == 200)
    });
    let mut lines: Vec<Line> = Vec::new();
    until("nine are in", || {
        let mut line = Line::to(&hall);
        let answer = line.ask("GET", "/livez", &[], None);
        if answer.status == 200 && answer.header("connection") != Some("close") {
            lines.push(line);
        }
        lines.len() == 9
    });
    // Of the last quarter, none would be kept after an answer: these have not asked yet.
    let mut undecided: Vec<TcpStream> = Vec::new();
    until("twelve are in", || {
        let mut stream = TcpStream::connect(hall.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        if stream.read(&mut [0]).is_err_and(|why| matches!(why.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)) {
            undecided.push(stream);
        }
        undecided.len() == 3
    });
    // Whatever it wants, and before it says so.
    let mut silent = TcpStream::connect(hall.address).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut said = String::new();
    silent.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("retry-after: "), "{said}");
    is_told_to_come_back(hall.get("/livez"));
    let body = crate::hall::ballot_of(&poll, 1, 1, &[1]).to_string();
    lines[0].ask("POST", &format!("/api/v1/polls/{poll}/ballots"), &voter.headers(), Some(&body)).expect(202);
    // A quarter is kept for votes: of twelve, a viewer gets none of the last three.
    assert_eq!(lines[1].ask("GET", &public(&event), &[], None).status, 503);
    lines.truncate(4);
    until("there is room again", || Events::open(&hall, &public(&event), &[]).head.status == 200);
}

/// A viewer whose machine has taken so much and no more; the kernel's own room is made small.
fn reluctant(hall: &Hall, event: &Event) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(&hall.address.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    write!(stream, "GET {} HTTP/1.0\r\n\r\n", public(event)).unwrap();
    stream
}

/// An event whose document fills a buffer soon.
fn long_event(hall: &Hall) -> Event {
    let event = hall.event();
    for n in 0..8 {
        let choices: Vec<String> = (0..20).map(|c| format!("{c} {}", "a long choice ".repeat(7))).collect();
        event.poll(hall, json!({"question": format!("Question {n}?"), "choices": choices}));
    }
    event
}

fn retitle(hall: &Hall, event: &Event, title: &str) {
    hall.office("PATCH", &format!("/api/v1/events/{}", event.id), json!({"title": title})).expect(200);
}

#[test]
fn who_stops_reading_and_reads_on_skips_to_the_newest() {
    const CHANGES: usize = 60;
    let hall = Hall::open(Backend::Embedded);
    let event = long_event(&hall);
    let mut slow = reluctant(&hall, &event);
    let mut other = Events::open(&hall, &public(&event), &[]);
    for n in 1..=CHANGES {
        let title = format!("Title {n}");
        retitle(&hall, &event, &title);
        other.until("who reads gets every change meanwhile", |live| live["event"]["title"] == title.as_str());
    }
    let mut text = String::new();
    let mut piece = [0; 65_536];
    let last = format!("\"title\":\"Title {CHANGES}\"");
    while !text.contains(&last) || !text.ends_with("\n\n") {
        let read = slow.read(&mut piece).expect("the newest comes");
        assert!(read > 0, "the stream ended before the newest");
        text.push_str(std::str::from_utf8(&piece[..read]).expect("ASCII"));
    }
    let (_, body) = text.split_once("\r\n\r\n").expect("a head");
    let events: Vec<&str> = body.split("\n\n").filter(|e| e.contains("data: ")).collect();
    assert!(events.len() < CHANGES / 2, "{} events: nothing was kept for them", events.len());
    let mut version = 0;
    for event in events {
        let data = event.lines().find_map(|l| l.strip_prefix("data: ")).expect("data");
        let live: serde_json::Value = serde_json::from_str(data).expect("each document is whole");
        assert!(live["version"].as_u64().unwrap() >= version, "they never go back");
        version = live["version"].as_u64().unwrap();
    }
}

#[test]
fn who_never_reads_is_hung_up_on() {
    let hall = Hall::open_with(Backend::Embedded, &["--viewers-max", "1"]);
    let event = long_event(&hall);
    let mut slow = reluctant(&hall, &event);
    // Not before it is in: whoever asks first has the place.
    let mut status = [0; 12];
    slow.read_exact(&mut status).expect("an answer");
    assert_eq!(&status[8..], b" 200");
    until("it has the one place", || hall.get(&public(&event)).status == 503);
    for n in 1..=40 {
        retitle(&hall, &event, &format!("Title {n}"));
    }
    until("the place is free again", || Events::open(&hall, &public(&event), &[]).head.status == 200);
    drop(slow);
}

/// Not only streams: an answer that nobody takes holds nothing for ever.
#[test]
fn who_asks_and_never_takes_the_answers_is_hung_up_on() {
    const QUESTIONS: usize = 2_000;
    let hall = Hall::open(Backend::Embedded);
    let event = long_event(&hall);
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(&hall.address.into()).unwrap();
    let mut greedy = TcpStream::from(socket);
    greedy.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let question = format!("GET /api/v1/live/{} HTTP/1.1\r\nhost: x\r\n\r\n", event.code);
    // The server stops reading before it has all.
    let _ = greedy.write_all(question.repeat(QUESTIONS).as_bytes());
    let gone = Instant::now();
    while gone.elapsed() < Duration::from_secs(13) {
        std::thread::park_timeout(Duration::from_millis(500));
    }
    greedy.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut taken = 0;
    let mut piece = [0; 65_536];
    loop {
        match greedy.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => taken += n,
            Err(why) => {
                assert_eq!(why.kind(), std::io::ErrorKind::ConnectionReset, "still being answered after {taken} bytes");
                break;
            }
        }
    }
    let document = hall.get(&format!("/api/v1/live/{}", event.code)).expect(200).body.len();
    assert!(taken < document * QUESTIONS / 4, "{taken} bytes came after all");
}

#[test]
fn a_stream_has_the_headers_of_every_answer_and_speaks_old_http() {
    let hall = Hall::open(Backend::Embedded);
    let event = hall.event();
    let stream = Events::open(&hall, &public(&event), &[]);
    let document = hall.get(&format!("/api/v1/live/{}", event.code)).expect(200);
    for name in ["content-security-policy", "x-content-type-options", "referrer-policy", "permissions-policy"] {
        assert!(stream.head.header(name).is_some() && stream.head.header(name) == document.header(name), "{name}: {:?}", stream.head);
    }
    assert_eq!((stream.head.header("connection"), stream.head.header("transfer-encoding")), (Some("close"), Some("chunked")));
    let mut old = TcpStream::connect(hall.address).unwrap();
    old.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(old, "GET {} HTTP/1.0\r\n\r\n", public(&event)).unwrap();
    let Hall { server, place: _place } = hall;
    let mut text = Vec::new();
    let mut piece = [0; 4_096];
    while !String::from_utf8_lossy(&text).contains("\n\n") {
        let read = old.read(&mut piece).unwrap();
        text.extend_from_slice(&piece[..read]);
    }
    server.stop();
    old.read_to_end(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert!(!head.to_lowercase().contains("transfer-encoding"), "{head}");
    assert!(body.starts_with("retry: ") && !body.contains('\r'), "no chunks: {body}");
}

/// On a stop, all come back at once: each is told when.
#[test]
fn a_stop_ends_streams_in_good_order_and_spreads_their_return() {
    let hall = Hall::open(Backend::Embedded);
    let event = hall.event();
    let mut watching: Vec<Events> = (0..20).map(|_| Events::open(&hall, &public(&event), &[])).collect();
    let mut raw = TcpStream::connect(hall.address).unwrap();
    raw.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(raw, "GET {} HTTP/1.1\r\nhost: x\r\n\r\n", public(&event)).unwrap();
    watching.iter_mut().for_each(|w| assert!(w.next().is_some()));
    let mut begun = [0; 4_096];
    assert!(raw.read(&mut begun).unwrap() > 0);
    let Hall { server, place: _place } = hall;
    let started = Instant::now();
    server.stop();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let mut retries = std::collections::BTreeSet::new();
    for stream in &mut watching {
        let mut last = None;
        while let Some(event) = stream.next() {
            last = Some(event);
        }
        let last = last.expect("a word before the end");
        assert!(last.data.is_empty(), "{last:?}");
        retries.insert(last.retry.parse::<u32>().expect("milliseconds"));
    }
    assert!(retries.len() > 10 && retries.iter().all(|ms| (500..=20_000).contains(ms)), "{retries:?}");
    let mut text = String::new();
    raw.read_to_string(&mut text).unwrap();
    assert!(text.ends_with("\r\n0\r\n\r\n"), "the body has an end: {text}");
}

fn a_presenters_stream_ends_with_its_session(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    let cookie = set_up(&hall);
    let path = format!("/api/v1/events/{}/stream", event.id);
    let mut signed_in = Events::open(&hall, &path, &[("cookie", &cookie)]);
    let mut by_token = presenter(&hall, &event);
    let mut everybody = Events::open(&hall, &public(&event), &[]);
    assert!(signed_in.next().is_some());
    browser(&hall, "DELETE", "/api/v1/session", Some(&cookie), json!(null)).expect(204);
    let out = Instant::now();
    while signed_in.next().is_some() {}
    assert!(out.elapsed() < Duration::from_secs(5), "{:?} after signing out", out.elapsed());

    // Signed out by another process, or by time: only the database knows.
    let credentials = json!({"email": crate::account::EMAIL, "password": crate::account::PASSWORD});
    let cookie = crate::account::cookie(&browser(&hall, "POST", "/api/v1/session", None, credentials).expect(201));
    let mut signed_in = Events::open(&hall, &path, &[("cookie", &cookie)]);
    assert!(signed_in.next().is_some());
    let token = cookie.split_once('=').expect("a name").1;
    let hash = groundswell::http::sha256(token.as_bytes());
    crate::support::runtime().block_on(async {
        let store = hall.place.store().await;
        store.delete_session(hash).await.expect("it is deleted");
        store.close().await;
    });
    while signed_in.next().is_some() {}

    retitle(&hall, &event, "Still on");
    for others in [&mut by_token, &mut everybody] {
        others.until("others watch on", |live| live["event"]["title"] == "Still on");
    }
}

fn viewers_of_two_processes_see_the_same(backend: Backend) {
    if backend == Backend::Embedded {
        // One process is all there is.
        return;
    }
    let place = Place::new(backend);
    // Each keeps votes of its own while the broker is away.
    let other_disk = TempDir::new().expect("a directory");
    let two = ["--data-dir", other_disk.path().to_str().expect("UTF-8")];
    let (one, two) = (Server::start_as(&place, "web", &[]), Server::start_as(&place, "web", &two));
    let _tally = Server::start_as(&place, "tally", &[]);
    let event = Event::create(&one);
    let poll = event.poll(&one, json!({}));
    let watch = |server: &Server| {
        until("the event has reached it", || server.get(&format!("/api/v1/live/{}", event.code)).status == 200);
        Events::open(server, &public(&event), &[])
    };
    let (mut at_one, mut at_two) = (watch(&one), watch(&two));
    for (n, server) in (1..=6u64).zip([&one, &two].into_iter().cycle()) {
        event.voter(server).vote(server, &poll, n.into(), 1, &[2]).expect(202);
        let shows = |live: &serde_json::Value| votes_in(&live["polls"][0]["results"]).get(1) == Some(&n);
        let (a, b) = (at_one.until("the vote shows at one", shows), at_two.until("and at the other", shows));
        assert_eq!(crate::hall::at_rest(a.json()), crate::hall::at_rest(b.json()), "the same document");
        assert_eq!(a.id, b.id);
    }
}

//! An origin that is gone, comes back, or dies with a vote in its hands.

use std::fs::Permissions;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::Line;
use crate::edge::{Edge, Kind};
use crate::hall::{Event, Hall, Voter, ballot_of, text};
use crate::kept::is_ours;
use crate::process::{Process, command};
use crate::relay::{Manners, Relay};
use crate::support::{Answer, Backend, Place, TOKEN, until};
use crate::{on_both, on_each_edge, with_nginx};

on_both![behind_nginx_while_the_origin_is_gone_the_page_and_the_last_document_stay];
on_each_edge![
    while_the_origin_is_gone_the_page_and_the_last_document_stay,
    a_vote_that_one_server_took_and_did_not_answer_is_in_doubt_and_sent_once,
    where_the_origin_says_no_what_is_kept_is_better,
    a_cold_edge_without_an_origin_says_so_to_people_and_programs,
];
with_nginx![
    a_vote_that_was_sent_and_not_answered_is_in_doubt_and_sent_once,
    a_vote_that_reached_nobody_was_not_accepted_and_goes_to_another_server,
    under_a_journal_whose_socket_is_standard_output_the_edge_starts_and_what_went_wrong_is_told,
];

/// How soon the edge must notice that its origin is back.
const BACK_WITHIN: Duration = Duration::from_secs(2);

/// On SQLite it is among the tests of each edge.
fn behind_nginx_while_the_origin_is_gone_the_page_and_the_last_document_stay(backend: Backend) {
    if backend == Backend::Distributed && Kind::Nginx.is_there() {
        the_origin_goes_and_comes_back(Kind::Nginx, backend);
    }
}

fn while_the_origin_is_gone_the_page_and_the_last_document_stay(kind: Kind) {
    the_origin_goes_and_comes_back(kind, Backend::Embedded);
}

fn the_origin_goes_and_comes_back(kind: Kind, backend: Backend) {
    let place = Place::new(backend);
    let mut origin = start(&place, 0);
    let edge = kind.before(origin.address);
    let (event, poll, voter) = prepare(&edge);
    let page = edge.get(&format!("/{}", event.code)).expect(200);
    vote(&edge, &voter, &poll, 1).expect(202);
    let path = format!("/api/v1/live/{}", event.code);
    until("the vote shows", || edge.get(&path).json()["polls"][0]["results"]["voters"] == 1);

    origin.kill();
    // Kept for a second; from then on it is known to be old, and shown all the same.
    until("the document is old", || edge.get(&path).expect(200).header("x-cache") == Some("STALE"));
    // From the first moment on, a vote hears that it is not known or not accepted: "saved", on the phone.
    until("it is known that nobody is there", || {
        let answer = vote(&edge, &voter, &poll, 2);
        is_later("a vote", &answer);
        assert!(matches!(answer.status, 503 | 504), "{answer:?}");
        answer.status == 503
    });
    for _ in 0..20 {
        let last = edge.get(&path).expect(200);
        let document = last.json();
        assert_eq!(document["polls"][0]["results"]["voters"], 1);
        assert!(document["now"].as_i64().is_some_and(|then| then < groundswell::clock::now_ms()), "it says itself how old it is");
        assert_eq!(edge.get("/999999").expect(200).body, page.body, "a page that cannot go blank");
        assert!(last.took < Duration::from_secs(1));
    }
    for ballot in 2..5 {
        // What makes the phone say "saved": no 202 and no refusal, but a 503 or 504.
        let answer = vote(&edge, &voter, &poll, ballot).expect(503);
        is_later("a vote", &answer);
    }
    is_later("a pass", &edge.ask("POST", &format!("{path}/passes"), &[], None).expect(503));
    is_later("a stream", &edge.get(&format!("{path}/stream")).expect(503));

    let back = start(&place, origin.address.port());
    let began = Instant::now();
    // The disk of the origin is not the edge's: a pass is answered without one.
    until("the origin is asked again", || edge.ask("POST", &format!("{path}/passes"), &[], None).status == 201);
    let took = began.elapsed();
    assert!(took < BACK_WITHIN, "it took {took:?} after the origin was back");
    until("votes are taken again", || vote(&edge, &voter, &poll, 5).status == 202);
    until("and shown", || edge.get(&path).json()["polls"][0]["results"]["voters"] == 1 && edge.get(&path).header("x-cache") != Some("STALE"));
    let mine = edge.ask("GET", &format!("/api/v1/polls/{poll}/ballots/mine"), &voter.headers(), None);
    assert!(mine.status == 404 || mine.json()["revision"].as_i64() <= Some(5), "{mine:?}");
    until("the last one counts", || {
        let mine = edge.ask("GET", &format!("/api/v1/polls/{poll}/ballots/mine"), &voter.headers(), None);
        mine.status == 200 && mine.json()["revision"] == 5
    });
    drop(back);
}

/// Whether it was accepted, nobody knows: so it is not told "not accepted", nor sent to another server, whose answer would hide that.
fn a_vote_that_was_sent_and_not_answered_is_in_doubt_and_sent_once() {
    let hall = Hall::open(Backend::Embedded);
    let (dying, healthy) = (Relay::before(hall.address), Relay::before(hall.address));
    let edge = Edge::before(&[dying.address, healthy.address]);
    let event = hall.event();
    let poll = event.poll(&hall, json!({}));
    let voter = event.voter(&hall);
    let ballots = format!("POST /api/v1/polls/{poll}/ballots");
    dying.behave(Manners::Dies);
    let mut in_doubt = 0;
    for ballot in 1..=20 {
        let (before, seen) = (dying.count(&ballots), healthy.count(&ballots));
        let answer = vote(&edge, &voter, &poll, ballot);
        let (died, went) = (dying.count(&ballots) - before, healthy.count(&ballots) - seen);
        assert_eq!(died + went, 1, "a ballot is sent to one server, once");
        if died == 1 {
            assert_eq!(answer.code(), "unknown");
            is_later("a vote that was sent", &answer.expect(504));
            in_doubt += 1;
        } else {
            answer.expect(202);
        }
    }
    assert!(in_doubt > 0, "some went to the server that dies");
    // One that is silent for longer than a phone waits is the same.
    dying.behave(Manners::Hangs);
    healthy.behave(Manners::Hangs);
    let answer = vote(&edge, &voter, &poll, 21).expect(504);
    assert!(answer.took < Duration::from_secs(10), "before the phone gives up: {:?}", answer.took);
    assert_eq!(answer.code(), "unknown");
    is_later("a vote that nobody answers", &answer);
    // What changes nothing may be asked of another one.
    healthy.behave(Manners::Relays);
    dying.behave(Manners::Dies);
    until("the servers are tried again", || edge.get("/api/v1/live/300000").status == 404);
    for n in 1..10 {
        assert_eq!(edge.get(&format!("/api/v1/live/{}", 300_000 + n)).status, 404, "a question goes to the next server");
    }
}

/// A server that is known to be away when it has failed may have been there when the vote was sent: that is no "not accepted".
fn a_vote_that_one_server_took_and_did_not_answer_is_in_doubt_and_sent_once(kind: Kind) {
    let hall = Hall::open(Backend::Embedded);
    let relay = Relay::before(hall.address);
    let edge = kind.before(relay.address);
    let event = hall.event();
    let poll = event.poll(&hall, json!({}));
    let voter = event.voter(&hall);
    vote(&edge, &voter, &poll, 1).expect(202);
    let ballots = format!("POST /api/v1/polls/{poll}/ballots");
    // One that is silent for longer than a phone waits is the same; behind nginx, that is tried with two servers.
    let manners: &[Manners] = if kind == Kind::Varnish { &[Manners::Dies, Manners::Hangs] } else { &[Manners::Dies] };
    for (&manners, ballot) in manners.iter().zip(2..) {
        relay.behave(manners);
        let before = relay.count(&ballots);
        let answer = vote(&edge, &voter, &poll, ballot).expect(504);
        assert!(answer.took < Duration::from_secs(10), "before the phone gives up: {:?}", answer.took);
        assert_eq!((answer.code(), relay.count(&ballots) - before), ("unknown".into(), 1), "{manners:?}");
        is_later("a vote that was sent", &answer);
        relay.behave(Manners::Relays);
        until("votes are taken again", || vote(&edge, &voter, &poll, 1).status == 202);
    }
}

/// An origin that is there and refuses, as under pressure.
fn where_the_origin_says_no_what_is_kept_is_better(kind: Kind) {
    let hall = Hall::open(Backend::Embedded);
    let relay = Relay::before(hall.address);
    let edge = kind.before(relay.address);
    let event = hall.event();
    let kept = ["/".to_owned(), format!("/api/v1/live/{}", event.code), format!("/results/{}", event.code)];
    for path in &kept {
        edge.get(path).expect(200);
    }
    relay.behave(Manners::Refuses);
    // One that is kept for a second, and asked for anew behind it.
    until("it is old and still there", || kept[1..].iter().all(|path| edge.get(path).expect(200).header("x-cache") != Some("HIT")));
    for path in &kept {
        edge.get(path).expect(200);
    }
    relay.behave(Manners::Relays);
    until("and new again", || edge.get(&kept[1]).header("x-cache") == Some("HIT"));
}

fn a_vote_that_reached_nobody_was_not_accepted_and_goes_to_another_server() {
    let hall = Hall::open(Backend::Embedded);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port that nobody listens on");
    let event = hall.event();
    let poll = event.poll(&hall, json!({}));
    let voter = event.voter(&hall);
    let half = Edge::before(&[nobody, hall.address]);
    for ballot in 1..=20 {
        vote(&half, &voter, &poll, ballot).expect(202);
    }
    let none = Edge::before(&[nobody]);
    for ballot in 21..=25 {
        let answer = vote(&none, &voter, &poll, ballot).expect(503);
        assert_eq!(answer.code(), "busy");
        is_later("a vote", &answer);
    }
}

fn a_cold_edge_without_an_origin_says_so_to_people_and_programs(kind: Kind) {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port that nobody listens on");
    let edge = kind.before(nobody);
    until("it knows that nobody is there", || edge.get("/readyz").status == 503);
    for path in ["/", "/482913", "/embed/482913", "/results/482913"] {
        let page = edge.get(path).expect(503);
        assert_eq!((page.header("content-type"), page.header("cache-control")), (Some("text/html; charset=utf-8"), Some("no-store")), "{path}");
        assert!(page.body.contains("<h1>") && page.header("refresh").is_some() && page.header("retry-after").is_some(), "{path}: {page:?}");
    }
    for path in ["/api/v1/live/482913", "/api/v1/events", "/assets/x.js", "/readyz", "/api/v1/live/482913/stream"] {
        is_later(path, &edge.get(path).expect(503));
    }
}

#[track_caller]
fn is_later(what: &str, answer: &Answer) {
    assert!(answer.header("retry-after").and_then(|s| s.parse::<u32>().ok()).is_some_and(|s| (1..=3).contains(&s)), "{what}: {answer:?}");
    is_ours(what, answer);
}

fn vote(edge: &Edge, voter: &Voter, poll: &str, ballot: u128) -> Answer {
    let body = ballot_of(poll, ballot, ballot as u32, &[1]).to_string();
    edge.ask("POST", &format!("/api/v1/polls/{poll}/ballots"), &voter.headers(), Some(&body))
}

/// The binary itself, to be killed; `port` 0 is any.
fn start(place: &Place, port: u16) -> Process {
    let mut command = command(place.directory.path(), &[]);
    command.env("PORT", port.to_string()).env("DATABASE_URL", &place.database_url).env("AMQP_PREFIX", &place.amqp_prefix);
    command.envs(place.amqp_url.iter().map(|url| ("AMQP_URL", url)));
    let process = Process::of(&mut command);
    until("it is ready", || Line::try_at(process.address).is_ok_and(|mut line| line.ask("GET", "/readyz", &[], None).status == 200));
    process
}

/// An event with an open poll and a voter: all of it through the edge.
fn prepare(edge: &Edge) -> (Event, String, Voter) {
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let office =
        |method: &str, path: &str, body: serde_json::Value, status: u16| edge.ask(method, path, &headers, Some(&body.to_string())).expect(status).json();
    let event = office("POST", "/api/v1/events", json!({"title": "Friday"}), 201);
    let event = Event { id: text(&event["id"]), code: text(&event["code"]) };
    let poll = json!({"kind": "single", "question": "Which?", "choices": ["A", "B"]});
    let poll = text(&office("POST", &format!("/api/v1/events/{}/polls", event.id), poll, 201)["id"]);
    office("PUT", &format!("/api/v1/polls/{poll}/state"), json!({"state": "open"}), 200);
    let pass = edge.ask("POST", &format!("/api/v1/live/{}/passes", event.code), &[], None).expect(201).json();
    let voter = Voter { bearer: format!("Bearer {}", text(&pass["pass"])), id: text(&pass["voter"]) };
    (event, poll, voter)
}

/// systemd gives its units a socket, which cannot be opened by a path such as /dev/stdout.
fn under_a_journal_whose_socket_is_standard_output_the_edge_starts_and_what_went_wrong_is_told() {
    let directory = tempfile::TempDir::new().expect("a directory");
    // nginx's workers are nobody.
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("it is ours");
    let path = directory.path().join("log");
    let journal = UnixDatagram::bind(&path).expect("a socket");
    std::fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("it is ours");
    journal.set_read_timeout(Some(Duration::from_secs(20))).expect("it has one");
    let (output, _unit) = UnixStream::pair().expect("a socket");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port that nobody listens on");
    let edge = Edge::set_up(&[nobody], &|command| {
        command.env("EDGE_SYSLOG", &path).stdout(OwnedFd::from(output.try_clone().expect("one more")));
    });
    edge.get("/readyz?gotcha=1").expect(503);
    let mut line = [0; 1_000];
    let length = journal.recv(&mut line).expect("a line within 20 s");
    let line = String::from_utf8_lossy(&line[..length]);
    // What was asked, not where the refusal of the edge is written; and nothing of what stands behind the question mark.
    assert!(line.contains(" 503 GET /readyz upstream=") && line.contains(&format!(" upstream={nobody},")), "{line}");
}

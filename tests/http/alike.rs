//! A vote in plain words and a live document in memory are answered on the line; everything else goes through HTTP and the router. To the client
//! there is no difference: the same request gets the same answer either way, however it is cut into packets and whatever comes before and after it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::client::Line;
use crate::hall::{Event, Hall, Voter, ballot_of, drained, set_state, votes};
use crate::on_both;
use crate::support::{Answer, Backend, until};

on_both![
    a_vote_gets_the_same_answer_on_the_line_and_through_the_router,
    a_document_gets_the_same_answer_on_the_line_and_through_the_router,
    who_asks_much_and_reads_late_gets_every_answer,
    a_vote_is_answered_however_it_is_cut,
    requests_that_come_together_are_answered_in_their_order,
    who_hangs_up_while_waiting_has_voted,
];

/// Sent along, it changes nothing but the way: the line leaves to HTTP whatever says something of its body's coding.
const ROUTED: &str = "content-encoding: identity\r\n";

struct Room {
    hall: Hall,
    event: Event,
    poll: String,
    voter: Voter,
}

impl Room {
    fn open(backend: Backend) -> Room {
        let hall = Hall::open(backend);
        let event = hall.event();
        let poll = event.poll(&hall, json!({}));
        let voter = event.voter(&hall);
        // The first vote of each thread for a poll asks the database; from then on it is remembered.
        for n in 1..=16 {
            voter.vote(&hall, &poll, n, 1, &[1]).expect(202);
        }
        Room { hall, event, poll, voter }
    }

    fn vote(&self, more: &str, ballot: u128) -> Vec<u8> {
        request(&self.poll, &self.voter.bearer, more, &ballot_of(&self.poll, ballot, 1, &[2]).to_string())
    }
}

fn request(poll: &str, bearer: &str, more: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST /api/v1/polls/{poll}/ballots HTTP/1.1\r\nhost: x\r\nauthorization: {bearer}\r\ncontent-type: application/json\r\n{more}content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Without what is different each time.
fn essence(answer: &Answer) -> (u16, Vec<(String, String)>, Value) {
    let mut headers = answer.headers.clone();
    headers.retain(|(name, _)| name != "date");
    for (name, value) in &mut headers {
        if name == "retry-after" {
            value.clear();
        }
    }
    headers.sort();
    let mut body = answer.json();
    for key in ["accepted_at", "status"] {
        body.as_object_mut().expect("an object").remove(key);
    }
    (answer.status, headers, body)
}

fn say(line: &mut Line, bytes: &[u8]) -> Answer {
    line.send(bytes);
    line.read(false).expect("an answer").0
}

fn a_vote_gets_the_same_answer_on_the_line_and_through_the_router(backend: Backend) {
    let room = Room::open(backend);
    let Room { hall, event, poll, voter } = &room;
    let closed = event.poll(hall, json!({}));
    set_state(hall, &closed, "closed");
    // Until then, a vote that comes after the close is in doubt whenever others are on their way.
    until("all that came before the close is counted", || {
        hall.office("GET", &format!("/api/v1/polls/{closed}/results"), Value::Null).expect(200).json()["results"]["status"] == "final"
    });
    let draft = event.draft(hall, json!({}));
    let final_poll = event.poll(hall, json!({"change": false}));
    let other = hall.event().voter(hall);
    let good = |poll: &str, n: u128| ballot_of(poll, n, 1, &[1]).to_string();
    let forged = format!("{}AAAA", &voter.bearer[..voter.bearer.len() - 4]);
    let mut pairs = vec![
        ("good", request(poll, &voter.bearer, "", &good(poll, 100)), 202),
        ("once more", request(poll, &voter.bearer, "", &good(poll, 100)), 202),
        ("with all that browsers add", request(poll, &voter.bearer, "Origin: http://x\r\nConnection: keep-alive\r\nCookie: a=b\r\n", &good(poll, 101)), 202),
        ("same id, other picks", request(poll, &voter.bearer, "", &ballot_of(poll, 100, 1, &[2]).to_string()), 409),
        ("an escaped id", request(poll, &voter.bearer, "", &good(poll, 102).replace("ballot\"", "b\\u0061llot\"")), 202),
        ("spaces around", request(poll, &voter.bearer, "", &format!(" \r\n{} ", good(poll, 103))), 202),
        ("a cleared vote", request(poll, &voter.bearer, "", &ballot_of(poll, 104, 2, &[]).to_string()), 202),
        ("a change where there is none", request(&final_poll, &voter.bearer, "", &ballot_of(&final_poll, 1, 2, &[1]).to_string()), 409),
        ("closed", request(&closed, &voter.bearer, "", &good(&closed, 200)), 409),
        ("draft", request(&draft, &voter.bearer, "", &good(&draft, 1)), 409),
        ("no such poll", request("0000000000001", &voter.bearer, "", &good(poll, 1)), 404),
        ("not an id", request("x", &voter.bearer, "", &good(poll, 1)), 404),
        ("a pass of another event", request(poll, &other.bearer, "", &good(poll, 1)), 403),
        ("a forged pass", request(poll, &forged, "", &good(poll, 1)), 401),
        ("another scheme", request(poll, "Basic YTpi", "", &good(poll, 1)), 401),
        ("bearer in small letters", request(poll, &voter.bearer.replace("Bearer", "bEARER"), "", &good(poll, 105)), 202),
        ("not JSON", request(poll, &voter.bearer, "", "{"), 422),
        ("a list", request(poll, &voter.bearer, "", "[]"), 422),
        ("nothing", request(poll, &voter.bearer, "", ""), 422),
        ("an unknown field", request(poll, &voter.bearer, "", &good(poll, 1).replacen('{', "{\"x\":1,", 1)), 422),
        ("an unknown pick", request(poll, &voter.bearer, "", &ballot_of(poll, 1, 1, &[9]).to_string()), 422),
        ("4,096 bytes", request(poll, &voter.bearer, "", &format!("{:4096}", good(poll, 106))), 202),
        ("4,097 bytes", request(poll, &voter.bearer, "", &format!("{:4097}", good(poll, 107))), 413),
    ];
    for bearer in ["", "Bearer", "Bearer "] {
        pairs.push((bearer, request(poll, bearer, "", &good(poll, 1)), 401));
    }
    let lines = || (Line::to(hall), Line::to(hall));
    let (mut plain, mut routed) = lines();
    for (what, bytes, status) in pairs {
        let text = String::from_utf8(bytes).expect("ASCII");
        let by_router = text.replacen("content-length", &format!("{ROUTED}content-length"), 1);
        let answers = (say(&mut plain, text.as_bytes()), say(&mut routed, by_router.as_bytes()));
        assert_eq!(answers.0.status, status, "{what}: {:?}", answers.0);
        assert_eq!(essence(&answers.0), essence(&answers.1), "{what}");
        let date = answers.0.header("date").expect("a date");
        assert!(date.ends_with(" GMT") && date.len() == 29, "{date}");
        if status == 413 {
            // The rest of a body that is too large may cost the connection, on either way.
            (plain, routed) = lines();
        }
    }
    // The witness that two ways were compared: the router puts the length first.
    let first_header = |more: &str| say(&mut Line::to(hall), &room.vote(more, 300)).headers[0].0.clone();
    assert_eq!((first_header("").as_str(), first_header(ROUTED).as_str()), ("content-type", "content-length"));
}

fn get(path: &str, more: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n{more}\r\n").into_bytes()
}

/// As it is, and with its first digit escaped, which only the router reads.
fn paths_of_document(code: &str) -> [String; 2] {
    [format!("/api/v1/live/{code}"), format!("/api/v1/live/%{:02x}{}", code.as_bytes()[0], &code[1..])]
}

fn a_document_gets_the_same_answer_on_the_line_and_through_the_router(backend: Backend) {
    let room = Room::open(backend);
    drained(&room.hall, &room.poll, 16);
    let [plain, routed] = paths_of_document(&room.event.code);
    let sorted = |answer: &Answer| {
        let mut headers = answer.headers.clone();
        headers.retain(|(name, _)| name != "date");
        headers.sort();
        (answer.status, headers, answer.body.clone())
    };
    let ask = |line: &mut Line, path: &str, more: &str| say(line, &get(path, more));
    let mut lines = [Line::to(&room.hall), Line::to(&room.hall)];
    let tag = || room.hall.get(&plain).expect(200).header("etag").expect("a tag").to_owned();
    for (what, header, status) in [
        ("as it is", "", 200),
        ("with all that browsers add", "Accept-Encoding: br, gzip\r\nOrigin: http://x\r\nConnection: keep-alive\r\nCookie: a=b\r\n", 200),
        ("with an empty body", "content-length: 0\r\n", 200),
        ("unchanged", "if-none-match: TAG\r\n", 304),
        ("unchanged, strongly", "if-none-match: STRONG\r\n", 304),
        ("unchanged, among others", "If-None-Match: \"other\", TAG\r\n", 304),
        ("any", "if-none-match: *\r\n", 304),
        ("changed", "if-none-match: W/\"other\"\r\n", 200),
        ("not a tag", "if-none-match: \u{e9}\r\n", 200),
    ] {
        // Drawn anew between the two, a document is another one.
        until(what, || {
            let tag = tag();
            let more = header.replace("TAG", &tag).replace("STRONG", tag.trim_start_matches("W/"));
            let answers = [ask(&mut lines[0], &plain, &more), ask(&mut lines[1], &routed, &more)];
            let is_same = answers[0].header("etag") == answers[1].header("etag") && answers.iter().all(|answer| answer.status == status);
            if is_same {
                assert_eq!(sorted(&answers[0]), sorted(&answers[1]), "{what}");
            }
            is_same
        });
    }
    for code in ["999999", "no-such-name", "x"] {
        let [plain, routed] = paths_of_document(code);
        assert_eq!(sorted(&ask(&mut lines[0], &plain, "")), sorted(&ask(&mut lines[1], &routed, "")), "{code}");
    }
    let first_header = |path: &str| say(&mut Line::to(&room.hall), &get(path, "")).headers[0].0.clone();
    assert_eq!((first_header(&plain).as_str(), first_header(&routed).as_str()), ("content-type", "content-length"), "two ways were compared");
}

/// Thirty megabytes are more than the kernel keeps for a connection: what it does not take waits, and so does everything after it.
fn who_asks_much_and_reads_late_gets_every_answer(backend: Backend) {
    const ASKED: usize = 20_000;
    let room = Room::open(backend);
    let [document, _] = paths_of_document(&room.event.code);
    let mut stream = TcpStream::connect(room.hall.address).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout can be set");
    let mut asking = stream.try_clone().expect("a second handle");
    let vote = room.vote("connection: close\r\n", 700);
    let asks = std::thread::spawn(move || {
        (0..ASKED).for_each(|_| asking.write_all(&get(&document, "")).expect("the server reads on"));
        asking.write_all(&vote).expect("the server reads on");
    });
    // Others are served meanwhile.
    let answered = || {
        let metrics = Line::at(room.hall.metrics).ask("GET", "/metrics", &[], None).expect(200).body;
        let line = metrics.lines().find(|line| line.starts_with("groundswell_http_requests_total") && line.contains("live") && line.contains("2xx"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    let mut before = 0;
    until("the kernel takes no more", || {
        room.hall.get("/livez").expect(200);
        answered() > 1_000 && std::mem::replace(&mut before, answered()) == before
    });
    let mut answers = Vec::new();
    stream.read_to_end(&mut answers).expect("the last answer ends the connection");
    asks.join().expect("all of it is sent");
    let text = String::from_utf8(answers).expect("text");
    assert_eq!(text.matches("HTTP/1.1 200 OK\r\n").count(), ASKED);
    assert_eq!(text.matches("HTTP/1.1 202 Accepted\r\n").count(), 1);
    assert!(text.contains("00000000-0000-0000-0000-0000000002bc"), "the vote after them is taken");
}

fn a_vote_is_answered_however_it_is_cut(backend: Backend) {
    let room = Room::open(backend);
    let bytes = room.vote("", 100);
    // On each line a cut one, and then a whole one: nobody is left in a state that takes no more votes.
    let step = if backend == Backend::Embedded { 1 } else { 7 };
    let cuts: Vec<usize> = (1..bytes.len()).step_by(step).collect();
    for cuts in cuts.chunks(64) {
        let mut lines: Vec<Line> = cuts.iter().map(|_| Line::to(&room.hall)).collect();
        for (line, cut) in lines.iter_mut().zip(cuts) {
            line.send(&bytes[..*cut]);
        }
        // Others are served meanwhile, and by then the first part has been looked at.
        room.hall.get("/livez").expect(200);
        for (line, cut) in lines.iter_mut().zip(cuts) {
            assert_eq!(say(line, &bytes[*cut..]).status, 202, "cut at {cut}");
            assert_eq!(say(line, &bytes).status, 202, "after a cut at {cut}");
        }
    }
}

fn requests_that_come_together_are_answered_in_their_order(backend: Backend) {
    let room = Room::open(backend);
    let [document, document_routed] = paths_of_document(&room.event.code);
    let chunked = format!(
        "POST /api/v1/polls/{}/ballots HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n",
        room.poll, room.voter.bearer
    );
    const CHUNKED: usize = 9;
    // A request of each kind, and what tells its answer from the others.
    let kinds: Vec<(Vec<u8>, u16, &str)> = vec![
        (room.vote("", 500), 202, "00000000-0000-0000-0000-0000000001f4"),
        (room.vote(ROUTED, 501), 202, "00000000-0000-0000-0000-0000000001f5"),
        (get(&document, ""), 200, "\"polls\""),
        (get(&document_routed, ""), 200, "\"polls\""),
        (get(&document, "if-none-match: *\r\n"), 304, ""),
        (get("/livez", ""), 200, "ok\n"),
        (get("/nothing/here", ""), 404, "not_found"),
        (request(&room.poll, "Bearer x", "", "{}"), 401, "pass_invalid"),
        (room.vote("connection: keep-alive, x\r\n", 502), 202, "00000000-0000-0000-0000-0000000001f6"),
        (chunked.into_bytes(), 422, "json_invalid"),
    ];
    let sequences = prop::collection::vec(0..kinds.len(), 1..12);
    let cuts = prop::collection::vec(any::<prop::sample::Index>(), 0..4);
    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    runner
        .run(&(sequences, cuts), |(sequence, cuts)| {
            let bytes: Vec<u8> = sequence.iter().flat_map(|kind| kinds[*kind].0.iter().copied()).collect();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort();
            let mut line = Line::to(&room.hall);
            for pair in cuts.windows(2) {
                line.send(&bytes[pair[0]..pair[1]]);
                std::thread::yield_now();
            }
            for (position, kind) in sequence.iter().enumerate() {
                let (_, status, mark) = &kinds[*kind];
                let (answer, _) = line.read(false).unwrap_or_else(|| panic!("no answer {position} of {sequence:?}, cut at {cuts:?}"));
                prop_assert_eq!(answer.status, *status, "{} of {:?}: {:?}", position, &sequence, answer);
                prop_assert!(answer.body.contains(mark), "{} of {:?}: {:?}", position, &sequence, answer);
                if answer.header("connection") == Some("close") {
                    // HTTP reads ahead, and says that nothing more is heard when it answers while a body is still on its way: a chunked one, whose
                    // end it has not looked for, or one that a cut has kept back, be it of a later request.
                    let is_cut = |at: usize| {
                        let begins: usize = sequence[..at].iter().map(|kind| kinds[*kind].0.len()).sum();
                        let length = kinds[sequence[at]].0.len();
                        kinds[sequence[at]].0.starts_with(b"POST") && cuts.iter().any(|cut| (begins + 1..begins + length).contains(cut))
                    };
                    let excused = *kind == CHUNKED || (position..sequence.len()).any(is_cut);
                    prop_assert!(excused, "{} of {:?}, cut at {:?}", position, &sequence, &cuts);
                    break;
                }
            }
            Ok(())
        })
        .expect("in their order");
}

fn who_hangs_up_while_waiting_has_voted(backend: Backend) {
    let room = Room::open(backend);
    let voters: Vec<Voter> = (0..20).map(|_| room.event.voter(&room.hall)).collect();
    for (n, voter) in voters.iter().enumerate() {
        let body = ballot_of(&room.poll, n as u128 + 1, 1, &[3]).to_string();
        let mut stream = TcpStream::connect(room.hall.address).expect("the server listens");
        stream.write_all(&request(&room.poll, &voter.bearer, "", &body)).expect("the server reads");
        if n % 2 == 0 {
            stream.shutdown(std::net::Shutdown::Write).expect("half is closed");
            stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout can be set");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("the connection ends");
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 202"), "{answer}");
        }
    }
    drained(&room.hall, &room.poll, 16 + 20);
    assert_eq!(votes(&room.hall, &room.poll), [1, 0, 20]);
}

/// A body may hold anything, another vote among it: that is no request of its own.
#[test]
fn a_vote_inside_a_body_is_no_vote() {
    let room = Room::open(Backend::Embedded);
    let other = room.event.voter(&room.hall);
    let inner = request(&room.poll, &other.bearer, "", &ballot_of(&room.poll, 9, 1, &[3]).to_string());
    let inner = String::from_utf8(inner).expect("ASCII");
    let length = inner.len();
    let chunk = format!("{length:x}\r\n{inner}\r\n0\r\n\r\n");
    for (path, head, body) in [
        ("/nothing", format!("content-length: {length}"), inner.as_str()),
        ("/nothing", "transfer-encoding: chunked".into(), chunk.as_str()),
        ("/api/v1/session", format!("content-type: application/json\r\ncontent-length: {length}"), inner.as_str()),
        ("/api/v1/session", format!("expect: 100-continue\r\ncontent-length: {length}"), inner.as_str()),
    ] {
        for apart in [false, true] {
            let mut line = Line::to(&room.hall);
            let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n");
            if apart {
                line.send(head.as_bytes());
                room.hall.get("/livez").expect(200);
                line.send(body.as_bytes());
            } else {
                line.send(format!("{head}{body}").as_bytes());
            }
            while let Some((answer, _)) = line.read(false) {
                assert_ne!(answer.status, 202, "{path}: {answer:?}");
                if answer.status != 100 {
                    line.finish();
                }
            }
        }
    }
    assert_eq!(votes(&room.hall, &room.poll), [1, 0, 0]);
}

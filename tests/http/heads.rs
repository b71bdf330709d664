//! Requests no browser sends: heads that are too large, two-faced or odd. Answered once and hung up on, or read as what they are;
//! never as two requests. Slow ones are in `patience`.

use std::time::Duration;

use crate::bad_input::is_problem;
use crate::client::Line;
use crate::hall::{Hall, ballot_of};
use crate::patience::takes_little;
use crate::support::{Answer, Backend, TOKEN};

/// A refusal takes well under a millisecond, also in a debug build.
const AT_ONCE: Duration = Duration::from_millis(50);
#[test]
fn a_head_that_is_too_large_or_two_faced_is_answered_once_and_hung_up_on() {
    let hall = Hall::open(Backend::Embedded);
    let many: String = (0..97).map(|n| format!("x-{n}: gotcha\r\n")).collect();
    let large = format!("x-large: {}\r\n", "7".repeat(129 * 1_024));
    let endless = format!("x-large: {}\r\n", "7".repeat(1_024 * 1_024));
    let post = "POST /api/v1/session HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    for (what, head, status, code) in [
        ("97 headers", format!("GET /livez HTTP/1.1\r\nhost: x\r\n{many}\r\n"), 431, "too_large"),
        ("129 KiB", format!("GET /livez HTTP/1.1\r\nhost: x\r\n{large}\r\n"), 431, "too_large"),
        ("a megabyte", format!("GET /livez HTTP/1.1\r\nhost: x\r\n{endless}\r\n"), 431, "too_large"),
        ("a path of 129 KiB", format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "7".repeat(129 * 1_024)), 431, "too_large"),
        ("a path of 70 KB", format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "7".repeat(70_000)), 400, "request_invalid"),
        ("empty lines without end", "\r\n".repeat(70_000), 431, "too_large"),
        ("two lengths", format!("{post}content-length: 2\r\ncontent-length: 40\r\n\r\n{{}}"), 400, "request_invalid"),
        ("two equal lengths", format!("{post}content-length: 2\r\ncontent-length: 2\r\n\r\n{{}}"), 400, "request_invalid"),
        ("a list of lengths", format!("{post}content-length: 2, 2\r\n\r\n{{}}"), 400, "request_invalid"),
        ("length and coding", format!("{post}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"), 400, "request_invalid"),
        ("an unknown coding", format!("{post}transfer-encoding: gotcha\r\n\r\n{{}}"), 400, "request_invalid"),
        ("chunked, but not last", format!("{post}transfer-encoding: chunked, gzip\r\n\r\n{{}}"), 400, "request_invalid"),
        ("a length below zero", format!("{post}content-length: -2\r\n\r\n{{}}"), 400, "request_invalid"),
        ("a length with a sign", format!("{post}content-length: +2\r\n\r\n{{}}"), 400, "request_invalid"),
        ("a length of 2^64", format!("{post}content-length: 18446744073709551616\r\n\r\n{{}}"), 400, "request_invalid"),
        ("a chunk of 2^64", format!("{post}transfer-encoding: chunked\r\n\r\n10000000000000000\r\n"), 422, "body_broken"),
        ("a space before the colon", "GET /livez HTTP/1.1\r\nhost : x\r\n\r\n".into(), 400, "request_invalid"),
        ("a folded line", "GET /livez HTTP/1.1\r\nhost: x\r\n folded: gotcha\r\n\r\n".into(), 400, "request_invalid"),
        ("NUL in a header", "GET /livez HTTP/1.1\r\nhost: x\r\nx-nul: a\0b\r\n\r\n".into(), 400, "request_invalid"),
        ("two hosts", "GET /livez HTTP/1.1\r\nhost: x\r\nhost: gotcha\r\n\r\n".into(), 400, "request_invalid"),
        ("no host", "GET /livez HTTP/1.1\r\n\r\n".into(), 400, "request_invalid"),
        ("HTTP/0.9", "GET /livez\r\n\r\n".into(), 400, "request_invalid"),
        ("HTTP/1.0 with two hosts", "GET /livez HTTP/1.0\r\nhost: x\r\nhost: x\r\n\r\n".into(), 400, "request_invalid"),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), 400, "request_invalid"),
        ("TLS", "\u{16}\u{3}\u{1}\r\n\r\n".into(), 400, "request_invalid"),
        ("a space in the path", "GET /livez x HTTP/1.1\r\nhost: x\r\n\r\n".into(), 400, "request_invalid"),
        ("no path", "GET [ HTTP/1.1\r\nhost: x\r\n\r\n".into(), 400, "request_invalid"),
    ] {
        // What follows must not be taken for a request of its own. Asked again where the machine was busy with others.
        let ask = || hall.raw(format!("{head}GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes());
        let answer = (0..5).map(|_| ask()).find(|answer| answer.took < AT_ONCE).unwrap_or_else(ask);
        is_last_word(what, &answer, status, code);
        assert!(answer.took < AT_ONCE, "{what}: {:?}", answer.took);
        assert_eq!(hall.get("/livez").expect(200).body, "ok\n", "{what}");
    }
}

/// A problem like every other, after which the connection ends and nothing more is said.
#[track_caller]
pub fn is_last_word(what: &str, answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    is_problem(what, answer);
    assert_eq!(answer.code(), code, "{what}");
    assert_eq!(answer.header("connection"), Some("close"), "{what}: {answer:?}");
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()), "{what}: {answer:?}");
    is_secured(what, answer);
}

#[track_caller]
fn is_secured(what: &str, answer: &Answer) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("permissions-policy", "camera=(), microphone=(), geolocation=()"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{what}: {answer:?}");
    }
    assert!(answer.header("content-security-policy").is_some_and(|policy| policy.starts_with("default-src 'none'; ")), "{what}: {answer:?}");
    assert!(answer.header("date").is_some_and(|date| date.ends_with(" GMT")), "{what}: {answer:?}");
}

/// What came before is answered as ever, whoever answered it, and however slowly that is taken.
#[test]
fn a_bad_head_behind_good_ones_is_answered_in_its_turn() {
    let hall = Hall::open(Backend::Embedded);
    let event = hall.event();
    let poll = event.poll(&hall, serde_json::json!({}));
    let voter = event.voter(&hall);
    (0..16).for_each(|_| _ = voter.vote(&hall, &poll, 1, 1, &[1]).expect(202));
    let plain: &[u8] = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    let chunked: &[u8] = b"GET /livez HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let old: &[u8] = b"GET /livez HTTP/1.0\r\nconnection: keep-alive\r\n\r\n";
    let page: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let vote = Line::to(&hall).request("POST", &format!("/api/v1/polls/{poll}/ballots"), &voter.headers(), Some(&ballot_of(&poll, 2, 1, &[1]).to_string()));
    let export = Line::to(&hall).request("GET", &format!("/api/v1/polls/{poll}/ballots.csv"), &[("authorization", &bearer())], None);
    let bad: &[u8] = b"GET /livez HTTP/1.1\r\nhost: x\r\nhost: x\r\n\r\n";
    let (four_pages, many) = (page.repeat(4), b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(200));
    let cases: [(&str, &[u8], usize, u16); 9] = [
        ("alone", b"", 0, 0),
        ("behind a question", plain, 1, 200),
        ("behind a vote", &vote, 1, 202),
        ("behind one in chunks", chunked, 1, 200),
        ("behind an old one", old, 1, 200),
        ("behind a page", page, 1, 200),
        ("behind pages", &four_pages, 4, 200),
        ("behind an export", &export, 1, 200),
        ("behind more than fits into a connection", &many, 200, 200),
    ];
    for (what, before, answers, status) in cases {
        let mut line = if answers > 9 { Line::on(takes_little(&hall)).expect("a connection") } else { Line::to(&hall) };
        line.send(&[before, bad, plain].concat());
        for _ in 0..answers {
            assert_eq!(line.read(false).expect("an answer").0.status, status, "{what}");
        }
        is_last_word(what, &line.read(false).unwrap_or_default().0, 400, "request_invalid");
        assert!(line.read(false).is_none(), "{what}: nothing follows");
    }
}

#[test]
fn who_asks_for_a_head_gets_no_body_either_where_the_head_is_bad() {
    let hall = Hall::open(Backend::Embedded);
    let answer = hall.raw(b"HEAD /livez HTTP/1.1\r\nhost: x\r\nhost: x\r\n\r\n");
    assert_eq!((answer.status, answer.body.as_str(), answer.header("connection")), (400, "", Some("close")), "{answer:?}");
    assert!(answer.header("content-length").is_some_and(|length| length != "0"), "{answer:?}");
    is_secured("HEAD", &answer);
}

/// What HTTP says by itself is told by its bytes; the same bytes in an answer of ours are what was asked for.
#[test]
fn a_picture_that_ends_like_an_answer_of_http_is_given_out_as_it_is() {
    let hall = Hall::open(Backend::Embedded);
    let event = hall.event();
    let end = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\ndate: Thu, 26 Nov 2026 04:19:40 GMT\r\n\r\n";
    let chunks = [b"WEBPVP8X\x0a\0\0\0\0\0\0\0\x0f\0\0\x0f\0\0XMP ".as_slice(), &(end.len() as u32).to_le_bytes(), end].concat();
    let picture = [b"RIFF".as_slice(), &(chunks.len() as u32).to_le_bytes(), &chunks].concat();
    let mut line = Line::to(&hall);
    let length = picture.len().to_string();
    let headers = [("authorization", bearer()), ("content-type", "image/webp".into()), ("content-length", length)];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let request = line.request("PUT", &format!("/api/v1/events/{}/logo", event.id), &headers, None);
    line.send(&[request, picture.clone()].concat());
    let url = line.read(false).expect("an answer").0.expect(200).json()["logo"].as_str().expect("an address").to_owned();
    for (what, more) in [("plain", "\r\n"), ("in chunks", "transfer-encoding: chunked\r\n\r\n0\r\n\r\n"), ("the last", "connection: close\r\n\r\n")] {
        let mut line = Line::to(&hall);
        for round in 0..if what == "the last" { 1 } else { 2 } {
            line.send(format!("GET {url} HTTP/1.1\r\nhost: x\r\n{more}").as_bytes());
            let (answer, body) = line.read(false).unwrap_or_default();
            assert_eq!(answer.status, 200, "{what}, {round}: {answer:?}");
            assert!(body == picture, "{what}, {round}: {}", String::from_utf8_lossy(&body));
        }
    }
}

#[test]
fn what_only_looks_odd_is_read_as_what_it_is() {
    let hall = Hall::open(Backend::Embedded);
    let ok = |what: &str, head: &str| {
        let answer = hall.raw(head.as_bytes());
        assert!(matches!(answer.status, 200 | 400), "{what}: {answer:?}");
    };
    ok("bare line feeds", "GET /livez HTTP/1.1\nhost: x\nconnection: close\n\n");
    ok("HTTP/1.0", "GET /livez HTTP/1.0\r\n\r\n");
    ok("no host", "GET /livez HTTP/1.1\r\nconnection: close\r\n\r\n");
    let page = hall.get("/482913").expect(200);
    let other = hall.raw(b"GET /482913 HTTP/1.1\r\nhost: gotcha.example\r\nx-forwarded-host: gotcha.example\r\nconnection: close\r\n\r\n");
    assert_eq!((other.status, other.body), (200, page.body), "another host changes nothing");
    let event = hall.event();
    let presenter = event.presenter(&hall);
    let document = hall.raw(
        format!("GET /api/v1/events/{}/live HTTP/1.1\r\nhost: gotcha.example\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n", event.id, TOKEN)
            .as_bytes(),
    );
    assert_eq!(document.expect(200).json()["join_url"], presenter["join_url"], "the join link is not taken from the request");
}

/// Wrong codes are limited by address: whose address, a client must not be able to say.
#[test]
fn an_address_that_a_client_makes_up_is_not_believed() {
    let wrong = |hall: &Hall, line: &mut Line, forwarded: &[(&str, &str)]| {
        let answer = line.ask("GET", "/api/v1/live/999", forwarded, None);
        if answer.status == 0 {
            *line = Line::to(hall);
        }
        answer.status
    };
    let limited = |hall: &Hall, forwarded: &dyn Fn(u8) -> Vec<(&'static str, String)>| {
        let mut line = Line::to(hall);
        (0..70).any(|n| {
            let forwarded = forwarded(n);
            let headers: Vec<(&str, &str)> = forwarded.iter().map(|(name, value)| (*name, value.as_str())).collect();
            wrong(hall, &mut line, &headers) == 429
        })
    };
    let hall = Hall::open(Backend::Embedded);
    assert!(limited(&hall, &|n| vec![("x-forwarded-for", format!("10.0.0.{n}"))]), "nobody is trusted here");
    let event = hall.event();
    hall.get(&format!("/api/v1/live/{}", event.code)).expect(200);

    let trusting = || Hall::open_with(Backend::Embedded, &["--trusted-proxies", "127.0.0.1"]);
    assert!(!limited(&trusting(), &|n| vec![("x-forwarded-for", format!("10.0.0.{n}"))]), "the proxy says who it is");
    assert!(limited(&trusting(), &|n| vec![("x-forwarded-for", format!("10.0.0.{n}, 8.8.8.8"))]), "only what the proxy added counts");
    assert!(limited(&trusting(), &|n| vec![("x-forwarded-for", format!("10.0.0.{n}")), ("x-forwarded-for", "8.8.8.8".into())]), "as a line of its own, too");
}

pub fn bearer() -> String {
    format!("Bearer {TOKEN}")
}

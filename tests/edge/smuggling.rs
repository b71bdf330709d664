//! Request smuggling: what a client sends as one request is one for the edge and one for the origin, or none. Through the edge and to the
//! server itself.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::json;

use crate::edge::Kind;
use crate::hall::Hall;
use crate::on_each_edge;
use crate::relay::Relay;
use crate::support::Backend;

on_each_edge![a_request_is_one_request_for_the_edge_and_for_the_origin];

/// What is hidden inside; nobody may ever be asked for it.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nhost: x\r\n\r\n";

#[test]
fn a_request_is_one_request_for_the_server() {
    let hall = Hall::open(Backend::Embedded);
    let post = place(&hall);
    for Payload { what, bytes, whole } in payloads(&post) {
        let answers = exchange(hall.address, &bytes);
        // Behind a whole request that ends the connection, actix still answers one that came with it: as a request of its own, which it is.
        let most = if whole { 2 } else { 1 };
        assert!(statuses(&answers).len() <= most, "{what}: {answers}");
        assert!(!answers.contains("gotcha"), "{what}: {answers}");
    }
    hall.get("/livez").expect(200);
}

fn a_request_is_one_request_for_the_edge_and_for_the_origin(kind: Kind) {
    let hall = Hall::open(Backend::Embedded);
    let relay = Relay::before(hall.address);
    let edge = kind.before(relay.address);
    let post = place(&hall);
    for Payload { what, bytes, .. } in payloads(&post) {
        let before = relay.asked().len();
        let answers = exchange(edge.address, &bytes);
        let asked = &relay.asked()[before..];
        let answered = statuses(&answers).len();
        if kind == Kind::Varnish && what.contains("folded") {
            // It joins the lines, as it may, and passes them on as one: then these are two requests, for everybody.
            assert!(answered <= 2 && asked.len() <= answered, "{what}: {answers} became {asked:?}");
            assert!(asked.iter().all(|a| !a.head.contains("\r\n ")), "{what}: {asked:?}");
        } else {
            assert!(answered <= 1, "{what}: {answers}");
            assert!(asked.len() <= 1, "{what}: became {asked:?}");
            assert!(asked.iter().all(|a| !a.line.contains("GET /hidden")), "{what}: {asked:?}");
        }
        // The next one on the connection to the origin has its own answer, not one that was left over.
        let after = edge.get("/readyz").expect(200);
        assert_eq!(after.body, "ready\n", "{what}");
    }
    // And what is two requests is two.
    let two = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\nGET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    for address in [edge.address, hall.address] {
        let answers = exchange(address, two.as_bytes());
        assert_eq!(statuses(&answers), ["200", "200"], "{answers}");
        assert!(answers.contains("\r\n\r\nok\n") && answers.ends_with("ready\n"), "{answers}");
    }
}

/// The head of a vote, as far as what says how long its body is.
fn place(hall: &Hall) -> String {
    let event = hall.event();
    let poll = event.poll(hall, json!({}));
    let voter = event.voter(hall);
    format!("POST /api/v1/polls/{poll}/ballots HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nauthorization: {}\r\n", voter.bearer)
}

struct Payload {
    what: String,
    bytes: Vec<u8>,
    /// A whole request, which says that it is the last one; then comes another.
    whole: bool,
}

/// Each is at most one request to whoever reads it right; a second one is hidden where somebody else would find it.
fn payloads(post: &str) -> Vec<Payload> {
    let hidden = HIDDEN.len();
    let mut all: Vec<Payload> = Vec::new();
    let mut add = |what: &str, bytes: String, whole: bool| all.push(Payload { what: what.to_owned(), bytes: bytes.into_bytes(), whole });
    for (what, lines) in [
        ("two lengths", format!("content-length: 2\r\ncontent-length: {}\r\n", 2 + hidden)),
        ("two lengths, the longer first", format!("content-length: {}\r\ncontent-length: 2\r\n", 2 + hidden)),
        ("two equal lengths", "content-length: 2\r\ncontent-length: 2\r\n".into()),
        ("a list of lengths", format!("content-length: 2, {}\r\n", 2 + hidden)),
        ("a length with a sign", "content-length: +2\r\n".into()),
        ("a length below zero", "content-length: -1\r\n".into()),
        ("a length in octal", "content-length: 0o2\r\n".into()),
        ("a length in hexadecimal", "content-length: 0x2\r\n".into()),
        ("a length with a space inside", "content-length: 1 2\r\n".into()),
        ("a length of letters", "content-length: gotcha\r\n".into()),
        ("an empty length", "content-length: \r\n".into()),
        ("a length of 2^64 + 2", "content-length: 18446744073709551618\r\n".into()),
        ("a space before the colon", "content-length : 2\r\n".into()),
        ("a tab before the colon", "content-length\t: 2\r\n".into()),
        ("a length with NUL", "content-length: 2\0\r\n".into()),
        ("a length in a folded line", "x: y\r\n content-length: 2\r\ncontent-length: 2\r\n".into()),
        ("a length in a bare LF", format!("x: y\ncontent-length: 2\r\ncontent-length: {}\r\n", 2 + hidden)),
        ("a length behind a bare CR", "x: y\rcontent-length: 2\r\ncontent-length: 2\r\n".into()),
    ] {
        add(what, format!("{post}{lines}\r\n{{}}{HIDDEN}"), false);
    }
    for (what, coding) in [
        ("both", "transfer-encoding: chunked"),
        ("both, in capitals", "TRANSFER-ENCODING: CHUNKED"),
        ("a coding nobody knows", "transfer-encoding: gotcha"),
        ("a coding with a tab", "transfer-encoding:\tchunked"),
        ("a coding with a vertical tab", "transfer-encoding: \x0bchunked"),
        ("a coding with a space before the colon", "transfer-encoding : chunked"),
        ("a coding in quotes", "transfer-encoding: \"chunked\""),
        ("two codings", "transfer-encoding: chunked\r\ntransfer-encoding: identity"),
        ("two codings, the other first", "transfer-encoding: identity\r\ntransfer-encoding: chunked"),
        ("a list of codings", "transfer-encoding: chunked, identity"),
        ("chunked twice", "transfer-encoding: chunked, chunked"),
        ("a folded coding", "transfer-encoding:\r\n chunked"),
        ("a coding behind a folded line", "x: y\r\n transfer-encoding: chunked"),
        ("a coding with an underscore", "transfer_encoding: chunked"),
        ("xchunked", "transfer-encoding: xchunked"),
        ("chunked with NUL", "transfer-encoding: chunked\0"),
        ("a coding behind a bare CR", "x: y\rtransfer-encoding: chunked"),
        ("a coding behind a bare LF", "x: y\ntransfer-encoding: chunked"),
    ] {
        // Whoever believes the length reads the end of the chunks and what follows as the body; whoever believes the coding finds two requests.
        add(&format!("length and coding: {what}"), format!("{post}content-length: {}\r\n{coding}\r\n\r\n0\r\n\r\n{HIDDEN}", 5 + hidden), false);
    }
    for (what, body) in [
        ("a chunk's size with a sign", "+2\r\n{}\r\n0\r\n\r\n"),
        ("a chunk's size with 0x", "0x2\r\n{}\r\n0\r\n\r\n"),
        ("a chunk's size of 2^64 + 2", "10000000000000002\r\n{}\r\n0\r\n\r\n"),
        ("a chunk's size with a space", "2 \r\n{}\r\n 0\r\n\r\n"),
        ("a chunk's end without CR", "2\n{}\n0\n\n"),
        ("a chunk longer than it says", "1\r\n{}\r\n0\r\n\r\n"),
        ("a chunk's extension with a bare LF", "2;x\ny\r\n{}\r\n0\r\n\r\n"),
        ("no size at all", "\r\n{}\r\n0\r\n\r\n"),
        ("a negative size", "-1\r\n{}\r\n0\r\n\r\n"),
        ("letters for a size", "gotcha\r\n{}\r\n0\r\n\r\n"),
    ] {
        let ends_early = format!("{post}transfer-encoding: chunked\r\nconnection: close\r\n\r\n{body}{HIDDEN}");
        add(&format!("chunks: {what}"), ends_early, false);
    }
    for (what, bytes) in [
        ("HTTP/0.9", format!("GET /livez\r\n\r\n{HIDDEN}")),
        ("HTTP/0.9 with a version that is none", format!("GET /livez HTTP/0.9\r\n\r\n{HIDDEN}")),
        ("HTTP/1.2", format!("GET /livez HTTP/1.2\r\nhost: x\r\nconnection: close\r\n\r\n{HIDDEN}")),
        ("HTTP/2.0", format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{HIDDEN}")),
        ("bare line feeds", "GET /livez HTTP/1.1\nhost: x\nconnection: close\n\n".to_owned() + HIDDEN),
        ("two hosts", format!("GET /livez HTTP/1.1\r\nhost: x\r\nhost: y\r\nconnection: close\r\n\r\n{HIDDEN}")),
        ("no host", format!("GET /livez HTTP/1.1\r\nconnection: close\r\n\r\n{HIDDEN}")),
        ("a host with a path", format!("GET /livez HTTP/1.1\r\nhost: x/hidden\r\nconnection: close\r\n\r\n{HIDDEN}")),
        ("an absolute address", format!("GET http://gotcha.example/livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n{HIDDEN}")),
        ("a line break in the path", format!("GET /livez%0d%0aGET%20/hidden HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n{HIDDEN}")),
        ("a raw CR in the path", format!("GET /livez\rx HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n{HIDDEN}")),
        ("a space in the path", format!("GET /livez /hidden HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n{HIDDEN}")),
        ("a tunnel", format!("CONNECT x:80 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n{HIDDEN}")),
        (
            "an upgrade to another protocol",
            format!("GET /livez HTTP/1.1\r\nhost: x\r\nconnection: upgrade, close\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n{HIDDEN}"),
        ),
        ("Expect", format!("{post}content-length: {hidden}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n{HIDDEN}")),
        ("a body with a GET", format!("GET /livez HTTP/1.1\r\nhost: x\r\ncontent-length: {hidden}\r\nconnection: close\r\n\r\n{HIDDEN}")),
        ("a body with a GET of something kept", format!("GET / HTTP/1.1\r\nhost: x\r\ncontent-length: {hidden}\r\nconnection: close\r\n\r\n{HIDDEN}")),
        (
            "chunks with a HEAD",
            format!("HEAD /livez HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n{hidden:x}\r\n{HIDDEN}\r\n0\r\n\r\n"),
        ),
        ("connection names the length", format!("{post}connection: close, content-length\r\ncontent-length: {hidden}\r\n\r\n{HIDDEN}")),
        ("connection names the pass", format!("{post}connection: close, authorization\r\ncontent-length: {hidden}\r\n\r\n{HIDDEN}")),
    ] {
        add(what, bytes, true);
    }
    all
}

/// Sends all of it and reads until the other side has finished, or is silent: then it waits for the rest of a body that does not come, or
/// for a next request.
fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    const SILENT: Duration = Duration::from_millis(400);
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(SILENT)).expect("a timeout can be set");
    let _ = stream.write_all(bytes);
    let mut answers = Vec::new();
    let _ = stream.read_to_end(&mut answers);
    String::from_utf8_lossy(&answers).into_owned()
}

/// Of all answers but those that ask to go on.
fn statuses(answers: &str) -> Vec<&str> {
    let heads = answers.split("HTTP/1.").skip(1);
    heads.filter_map(|head| head.split(' ').nth(1)).filter(|status| *status != "100").collect()
}

//! What the edge keeps, in how many copies; what it says by itself; and that its configuration says the same as the sources.

use serde_json::json;

use crate::client::{Events, Line};
use crate::edge::{Edge, Kind};
use crate::hall::{Hall, set_state};
use crate::nginx::configuration;
use crate::relay::Relay;
use crate::support::{Answer, Backend, TOKEN, until};
use crate::{on_each_edge, with_nginx};

on_each_edge![
    of_a_thousand_accept_encodings_three_copies_are_kept,
    one_page_is_kept_for_all_codes,
    what_is_known_is_not_sent_again,
    a_deleted_event_is_gone_from_the_edge,
    a_stream_is_passed_on_as_it_comes,
];
with_nginx![refusals_of_the_edge_look_like_those_of_the_server];

fn of_a_thousand_accept_encodings_three_copies_are_kept(kind: Kind) {
    let hall = Hall::open(Backend::Embedded);
    let relay = Relay::before(hall.address);
    let edge = kind.before(relay.address);
    let mut line = Line::at(edge.address);
    for (accepted, coding) in [
        ("br", Some("br")),
        ("gzip, deflate, br, zstd", Some("br")),
        ("BR;q=0.7", Some("br")),
        ("gzip", Some("gzip")),
        ("gzip;q=1.0, br;q=0", Some("gzip")),
        ("br;q=0.000,gzip", Some("gzip")),
        ("deflate", None),
        ("identity", None),
        ("", None),
        ("gotcha, brotli, xgzip", None),
        ("gzip;q=0", None),
    ]
    .into_iter()
    .chain((0..100).map(|n| (["br, x", "gzip, y", "z"][n % 3], [Some("br"), Some("gzip"), None][n % 3])))
    {
        let answer = line.ask("GET", "/", &[("accept-encoding", accepted)], None).expect(200);
        assert_eq!(answer.header("content-encoding"), coding, "{accepted}");
        assert!(answer.header("vary").is_some_and(|v| v.eq_ignore_ascii_case("accept-encoding")), "other caches need to know: {answer:?}");
    }
    assert_eq!(relay.count("GET / ") + relay.count("GET /"), 3, "{:?}", relay.asked());
}

fn one_page_is_kept_for_all_codes(kind: Kind) {
    let hall = Hall::open(Backend::Embedded);
    let relay = Relay::before(hall.address);
    let edge = kind.before(relay.address);
    let page = edge.get("/").expect(200);
    assert_eq!(page.body, hall.get("/").body, "the origin's own");
    for path in ["/482913", "/482%20913", "/final", "/FINAL-2026", "/482913?x=gotcha", "/?fbclid=1"] {
        let answer = edge.get(path).expect(200);
        assert_eq!((answer.body == page.body, answer.header("x-cache")), (true, Some("HIT")), "{path}");
    }
    for path in ["/overlay/482913?layout=full", "/overlay/1", "/embed/2", "/embed/3"] {
        assert!(edge.get(path).expect(200).header("content-security-policy").is_some_and(|csp| csp.ends_with("frame-ancestors *")), "{path}");
    }
    assert_eq!(relay.asked().len(), 3, "{:?}", relay.asked());
    for reserved in groundswell::domain::RESERVED_PATHS {
        let (path, loud) = (format!("/{reserved}"), format!("/{}", reserved.to_uppercase()));
        for path in [&path, &loud] {
            let (ours, theirs) = (edge.get(path), hall.get(path));
            assert_eq!((ours.status, ours.body == theirs.body || *path == "/status"), (theirs.status, true), "{path}");
            assert_ne!(ours.body, page.body, "{path} is no code");
        }
    }
    // A slash at the end is taken away by the origin: the edge neither keeps a page under it nor sends anybody to a place of its own.
    for path in ["/482913", "/results/482913", "/poster/482913", "/embed/482913"] {
        assert_eq!(edge.get(&format!("{path}/")).expect(308).header("location"), Some(path), "{path}");
    }
}

fn what_is_known_is_not_sent_again(kind: Kind) {
    let hall = Hall::open(Backend::Embedded);
    let relay = Relay::before(hall.address);
    let edge = kind.before(relay.address);
    let event = hall.event();
    let asset = groundswell::http::assets().iter().find(|a| !a.named).expect("there are files").url;
    for path in [asset, "/", &format!("/api/v1/live/{}", event.code)] {
        let first = edge.get(path).expect(200);
        let tag = first.header("etag").expect("a tag").to_owned();
        let known = edge.ask("GET", path, &[("if-none-match", &tag)], None);
        let later = edge.get(path).expect(200);
        // The document may have been drawn anew in between.
        assert!(known.status == 304 && known.body.is_empty() || later.header("etag") != Some(&tag), "{path}: {known:?}");
        let (head, nothing) = Line::at(edge.address).ask_bytes("HEAD", path, &[], None);
        assert_eq!((head.status, nothing.len(), head.header("content-type")), (200, 0, first.header("content-type")), "HEAD {path}");
        let piece = edge.ask("GET", path, &[("range", "bytes=0-3")], None);
        assert_eq!((piece.status, piece.header("content-range")), (200, None), "{path}: whole or not at all");
    }
    assert_eq!(relay.count("HEAD"), 0, "a HEAD asks for what can be kept");
    assert_eq!(relay.count(&format!("GET {asset}")), 1);
}

fn a_deleted_event_is_gone_from_the_edge(kind: Kind) {
    let hall = Hall::open(Backend::Embedded);
    let edge = kind.before(hall.address);
    let event = hall.event();
    let path = format!("/api/v1/live/{}", event.code);
    edge.get(&path).expect(200);
    edge.get(&format!("/results/{}", event.code)).expect(200);
    hall.office("DELETE", &format!("/api/v1/events/{}", event.id), json!(null)).expect(204);
    until("the edge knows it too", || edge.get(&path).status == 404);
    let gone = edge.get(&path).expect(404);
    assert_eq!(gone.code(), "event_unknown");
    let page = format!("/results/{}", event.code);
    until("so does the page", || edge.get(&page).status == 404);
}

fn a_stream_is_passed_on_as_it_comes(kind: Kind) {
    let hall = Hall::open(Backend::Embedded);
    let edge = kind.before(hall.address);
    let event = hall.event();
    let poll = event.poll(&hall, json!({}));
    let bearer = format!("Bearer {TOKEN}");
    let office = [("authorization", bearer.as_str())];
    for (path, headers) in [(format!("/api/v1/live/{}/stream", event.code), &[][..]), (format!("/api/v1/events/{}/stream", event.id), &office[..])] {
        let mut events = Events::at(edge.address, &path, headers);
        assert_eq!((events.head.status, events.head.header("content-type")), (200, Some("text/event-stream")), "{path}");
        assert_eq!(events.head.header("cache-control"), Some("no-store"), "{path}");
        events.until("the document as it is", |live| live["polls"][0]["id"] == poll.as_str());
        for state in ["closed", "open"] {
            set_state(&hall, &poll, state);
            events.until(state, |live| live["polls"][0]["state"] == state);
        }
    }
}

fn refusals_of_the_edge_look_like_those_of_the_server() {
    let hall = Hall::open(Backend::Embedded);
    let relay = Relay::before(hall.address);
    let edge = Edge::before(&[relay.address]);
    let event = hall.event();
    let poll = event.poll(&hall, json!({}));
    let voter = event.voter(&hall);
    let ballots = format!("/api/v1/polls/{poll}/ballots");
    let passes = format!("/api/v1/live/{}/passes", event.code);
    let large = "gotcha".repeat(1_000);
    let json_of = ("content-type", "application/json");
    let head = ("x-large", &*"gotcha".repeat(8_000));
    let long = format!("/{}", "gotcha".repeat(2_000));
    for (what, answer, status, code) in [
        ("a large ballot", edge.ask("POST", &ballots, &voter.headers(), Some(&large)), 413, "too_large"),
        ("a large body for a pass", edge.ask("POST", &passes, &[json_of], Some(&large)), 413, "too_large"),
        ("a head of 48 KB", edge.ask("GET", "/", &[head], None), 431, "too_large"),
        ("a long address", edge.get(&long), 414, "too_large"),
        ("a POST to a page", edge.ask("POST", "/482913", &[json_of], Some("{}")), 405, "method_not_allowed"),
        ("a PUT to a document", edge.ask("PUT", &format!("/api/v1/live/{}", event.code), &[json_of], Some("{}")), 405, "method_not_allowed"),
        ("a method nobody knows", edge.ask("GOTCHA", "/", &[], None), 405, "method_not_allowed"),
        ("TRACE", edge.ask("TRACE", "/", &[], None), 405, "method_not_allowed"),
        ("the edge's own pages", edge.get("/edge/away"), 404, "not_found"),
        ("a coding nobody knows", edge.ask("POST", &ballots, &[("transfer-encoding", "gotcha")], None), 501, "request_invalid"),
        ("no HTTP", edge.ask("GET", "/ gotcha", &[], None), 400, "request_invalid"),
    ] {
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert_eq!(answer.code(), code, "{what}");
        is_ours(what, &answer);
    }
    assert_eq!(relay.asked().len(), 0, "none of it reached the origin");
    // A 4 KiB ballot does, and the origin says what it thinks of it.
    let full = format!("{}{}", crate::hall::ballot_of(&poll, 1, 1, &[1]), " ".repeat(3_800));
    edge.ask("POST", &ballots, &voter.headers(), Some(&full)).expect(202);
}

/// A problem as the server writes them, with the headers of every answer, and nothing of the question in it.
#[track_caller]
pub fn is_ours(what: &str, answer: &Answer) {
    let problem = answer.json();
    assert_eq!((problem["status"].as_u64(), answer.header("content-type")), (Some(u64::from(answer.status)), Some("application/problem+json")), "{what}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
    assert!(problem["title"].is_string() && problem["detail"].is_string() && problem["type"] == "about:blank", "{what}: {answer:?}");
    assert!(!answer.body.contains("gotcha"), "{what}: {answer:?}");
    for (name, value) in [("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer")] {
        assert_eq!(answer.header(name), Some(value), "{what}");
    }
    assert!(answer.header("content-security-policy").is_some_and(|csp| csp.starts_with("default-src 'none'")), "{what}");
}

#[test]
fn the_configuration_names_the_same_things_as_the_sources() {
    let read = |name: &str| std::fs::read_to_string(configuration().join(name)).expect("it is shipped");
    let (site, nginx) = (read("site.conf"), read("nginx.conf"));
    let reserved = groundswell::domain::RESERVED_PATHS.join("|");
    assert!(site.contains(&format!("^/(?:{reserved})$")), "site.conf: these are nobody's short name: {reserved}");
    let varnish = include_str!("../../deploy/varnish/groundswell.vcl");
    assert!(varnish.contains(&format!("^/({reserved})(")), "groundswell.vcl: these are nobody's short name: {reserved}");
    // Every phone that joins asks for it, and not the origin.
    assert!(site.contains("location = /sw.js {") && varnish.contains(r"^/sw\.js(\?|$)"), "the service worker is kept");
    let languages = "de|en|es|fr|ar";
    assert!(nginx.contains(&format!("(?<tongue>{languages})")), "nginx.conf: a page in another language is another page");
    for language in languages.split('|') {
        let phrases = include_str!("../../src/http/phrases.rs");
        assert!(phrases.contains(&format!("tag: \"{language}\"")), "there are no pages in {language}");
    }
    assert_eq!(include_str!("../../src/http/phrases.rs").matches("tag: \"").count(), languages.split('|').count());
    // Every file that is included is there, and every file that is there is included or an example.
    let everything: String =
        std::fs::read_dir(configuration()).expect("it is there").flatten().map(|f| std::fs::read_to_string(f.path()).expect("text")).collect();
    for entry in std::fs::read_dir(configuration()).expect("it is there").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let known = ["nginx.conf", "start", "tls.conf.example"].contains(&name.as_str());
        assert!(known || everything.contains(&format!("include {name};")), "{name} is not included anywhere");
    }
}

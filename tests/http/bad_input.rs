//! Bad input to the voting path: the right status, a problem without an echo of the input, nothing changed, nobody kept waiting.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::Line;
use crate::hall::{Event, Hall, Voter, ballot_of, books, set_state};
use crate::on_both;
use crate::support::{Answer, Backend};

on_both![
    a_wrong_method_or_type_is_refused,
    a_body_that_is_not_the_right_json_is_refused,
    a_ballot_with_impossible_numbers_is_refused,
    a_poll_or_code_that_cannot_be_is_not_found,
    picks_that_break_the_rules_are_refused,
    a_poll_that_takes_no_votes_says_why,
    a_pass_that_is_not_right_is_refused,
    an_address_nobody_knows_is_never_a_page,
    a_query_that_cannot_be_is_refused_as_a_problem,
    an_early_refusal_leaves_the_connection_in_order,
];

/// Stands in every input that is text. It must not come back.
pub const MARKER: &str = "gotcha";
/// Debug builds on a shared machine; released, a refusal takes well under a millisecond.
const AT_ONCE: Duration = Duration::from_millis(250);

/// Asks up to three times, because others use the machine too, and checks all that is true of every refusal.
#[track_caller]
pub fn refused(what: &str, status: u16, code: &str, mut ask: impl FnMut() -> Answer) {
    let mut answer = ask();
    for _ in 0..2 {
        if answer.took > AT_ONCE {
            answer = ask();
        }
    }
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    is_problem(what, &answer);
    assert_eq!(answer.code(), code, "{what}");
    assert!(answer.took <= AT_ONCE, "{what}: took {:?}", answer.took);
}

#[track_caller]
pub fn is_problem(what: &str, answer: &Answer) {
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}: {answer:?}");
    // Of an event that nobody knows, the edge keeps that for a second.
    let kept = answer.code() == "event_unknown" && answer.header("cache-control") == Some("public, max-age=1, s-maxage=1");
    assert!(kept || answer.header("cache-control") == Some("no-store"), "{what}: {answer:?}");
    assert!(answer.header("set-cookie").is_none(), "{what}");
    let problem = answer.json();
    // Under what number it stands in the log is only said where something is wrong on our side.
    let keys: Vec<&String> = problem.as_object().expect("an object").keys().filter(|key| answer.status < 500 || *key != "request").collect();
    assert_eq!(keys, ["code", "detail", "status", "title", "type"], "{what}");
    assert_eq!(problem["status"], answer.status, "{what}");
    assert!(problem["detail"].as_str().is_some_and(|d| d.ends_with('.')), "{what}: a sentence for people: {problem}");
    assert!(!answer.body.contains(MARKER), "{what}: the input comes back: {}", answer.body);
}

/// A hall with everything a vote can be wrong about.
struct Room {
    hall: Hall,
    event: Event,
    open: String,
    multiple: String,
    other_event: Event,
    voter: Voter,
    before: Value,
}

impl Room {
    fn open(backend: Backend) -> Room {
        let hall = Hall::open(backend);
        let (event, other_event) = (hall.event(), hall.event());
        let open = event.poll(&hall, json!({}));
        let multiple = event.poll(&hall, json!({"kind": "multiple", "choices": ["A", "B", "C", "D"], "min": 2, "max": 3}));
        let voter = event.voter(&hall);
        let mut room = Room { hall, event, open, multiple, other_event, voter, before: Value::Null };
        room.before = room.state();
        room
    }

    /// Everything that bad input must leave alone.
    fn state(&self) -> Value {
        let office = |path: String| self.hall.office("GET", &path, json!(null)).expect(200).json();
        json!([
            office("/api/v1/events".into()),
            office(format!("/api/v1/events/{}", self.event.id)),
            books(&self.hall, &self.open),
            books(&self.hall, &self.multiple),
        ])
    }

    fn is_unchanged(&self) {
        assert_eq!(self.state(), self.before);
        self.hall.get("/livez").expect(200);
        // And honest people are served as ever.
        self.event.voter(&self.hall).vote(&self.hall, &self.open, 77, 1, &[1]).expect(202);
    }

    fn path(&self) -> String {
        format!("/api/v1/polls/{}/ballots", self.open)
    }

    fn send(&self, body: &str) -> Answer {
        self.voter.send(&self.hall, &self.open, body)
    }
}

fn a_wrong_method_or_type_is_refused(backend: Backend) {
    let room = Room::open(backend);
    let body = ballot_of(&room.open, 1, 1, &[1]).to_string();
    for method in ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "GOTCHA"] {
        refused(method, 405, "method_not_allowed", || room.hall.call(method, &room.path(), &room.voter.headers(), Some(&body)));
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=gotcha", "application/jsonx", "gotcha", ""] {
        let headers = [("authorization", room.voter.bearer.as_str()), ("content-type", kind)];
        refused(kind, 415, "not_json", || room.hall.call("POST", &room.path(), &headers, Some(&body)));
    }
    refused("no type", 415, "not_json", || room.hall.call("POST", &room.path(), &[("authorization", &room.voter.bearer)], Some(&body)));
    for coding in ["gzip", "br", "deflate", "gotcha"] {
        let headers = [("authorization", room.voter.bearer.as_str()), ("content-type", "application/json"), ("content-encoding", coding)];
        refused(coding, 415, "not_json", || room.hall.call("POST", &room.path(), &headers, Some(&body)));
    }
    room.is_unchanged();
    let headers = [("authorization", room.voter.bearer.as_str()), ("content-type", "Application/JSON; charset=utf-8")];
    room.hall.call("POST", &room.path(), &headers, Some(&body)).expect(202);
}

fn a_body_that_is_not_the_right_json_is_refused(backend: Backend) {
    let room = Room::open(backend);
    let good = format!(r#"{{"ballot":"00000000-0000-0000-0000-000000000001","revision":1,"picks":["{}-1"]}}"#, room.open);
    let with = |from: &str, to: &str| good.replace(from, to);
    let id = "\"00000000-0000-0000-0000-000000000001\"";
    let deep = format!("{}{}", "[".repeat(2_000), "]".repeat(2_000));
    let deep_pick = with("[\"", &format!("{}\"", "[".repeat(1_500)));
    let bodies = [
        "",
        "null",
        "[]",
        "{}",
        "true",
        "0",
        "\"gotcha\"",
        "{",
        "gotcha",
        "{\"gotcha\":1}",
        "\u{feff}{}",
        "\0",
        "{}{}",
        &deep,
        &deep_pick,
        &with("}", ",}"),
        &with("]", ",]"),
        &with("\"revision\":1", "\"revision\":1e999"),
        &with("\"revision\":1", "\"revision\":NaN"),
        &with("\"revision\":1", "\"revision\":1,\"revision\":2"),
        &with("\"revision\":1", "\"revision\":1,\"gotcha\":2"),
        &with("\"revision\":1,", ""),
        &with(id, "\"\\ud800\""),
        &with("-1\"]", "-1\\udc00\"]"),
        &with(id, "null"),
        &with(id, "1"),
        &with(id, "\"gotcha\""),
        &with(id, "\"\""),
        &with("[\"", "[null,\""),
        &with("[\"", "[1,\""),
        &with("[\"", "[{},\""),
        &with("[\"", "[{\"choice\":\"gotcha\"},\""),
        &format!(r#"["00000000-0000-0000-0000-000000000001",1,["{}-1"]]"#, room.open),
        &format!("\u{feff}{good}"),
        &format!("{good}\0"),
        &format!("{good}gotcha"),
        &good.replace('"', "'"),
    ];
    for body in bodies {
        refused(&body[..body.len().min(90)], 422, "json_invalid", || room.send(body));
    }
    let large = format!("{good}{}", " ".repeat(4_097 - good.len()));
    refused("4 KiB and one byte", 413, "too_large", || room.send(&large));
    let [pass, kind] = room.voter.headers();
    let answered = |headers: &[(&str, &str)], body: &str| {
        let mut line = Line::to(&room.hall);
        let request = line.request("POST", &room.path(), &[&[pass, kind], headers].concat(), None);
        line.send(&[&request, body.as_bytes()].concat());
        line.read(false).expect("an answer").0
    };
    refused("a hundred megabytes, announced", 413, "too_large", || answered(&[("content-length", "104857600")], ""));
    let mut chunks = format!("10000\r\n{}\r\n", " ".repeat(0x10000)).repeat(16);
    chunks.push_str("0\r\n\r\n");
    refused("a megabyte in chunks, not announced", 413, "too_large", || answered(&[("transfer-encoding", "chunked")], &chunks));
    // A body that ends before it is complete: refused, or the connection ends without a word. Never taken for the whole.
    let mut line = Line::to(&room.hall);
    let request = line.request("POST", &room.path(), &[pass, kind, ("content-length", "4000")], None);
    line.send(&[&request[..], good.as_bytes()].concat());
    line.finish();
    if let Some((answer, _)) = line.read(false) {
        assert!(matches!(answer.status, 400 | 422), "{answer:?}");
    }
    room.is_unchanged();
    let largest = format!("{good}{}", " ".repeat(4_096 - good.len()));
    room.send(&largest).expect(202);
}

fn a_ballot_with_impossible_numbers_is_refused(backend: Backend) {
    let room = Room::open(backend);
    let good = ballot_of(&room.open, 1, 1, &[1]).to_string();
    for (revision, code) in [
        ("0", "revision_invalid"),
        ("1000001", "revision_invalid"),
        ("4294967295", "revision_invalid"),
        ("-1", "json_invalid"),
        ("4294967296", "json_invalid"),
        ("18446744073709551616", "json_invalid"),
        ("1.0", "json_invalid"),
        ("1e0", "json_invalid"),
        ("\"1\"", "json_invalid"),
        ("null", "json_invalid"),
    ] {
        refused(revision, 422, code, || room.send(&good.replace("\"revision\":1", &format!("\"revision\":{revision}"))));
    }
    refused("the nil id", 422, "ballot_invalid", || room.voter.vote(&room.hall, &room.open, 0, 1, &[1]));
    room.is_unchanged();
}

fn a_poll_or_code_that_cannot_be_is_not_found(backend: Backend) {
    let room = Room::open(backend);
    let body = ballot_of(&room.open, 1, 1, &[1]).to_string();
    let long = "7".repeat(10_000);
    let upper = room.open.to_uppercase();
    let names = [
        "0",
        "-1",
        "18446744073709551616",
        "9223372036854775807",
        "%00",
        "..%2f..%2fgotcha",
        "%2e%2e",
        "gotcha",
        "%ff%fe",
        "%d9%a1%d9%a2%d9%a3",
        "'%20or%201=1",
        "{}",
        &upper,
        &long,
    ];
    for name in names {
        let what = &name[..name.len().min(40)];
        refused(what, 404, "poll_unknown", || room.voter.send(&room.hall, name, &body));
        refused(what, 404, "poll_unknown", || room.voter.mine(&room.hall, name));
        refused(what, 404, "event_unknown", || room.hall.get(&format!("/api/v1/live/{name}")));
        refused(what, 404, "event_unknown", || room.hall.call("POST", &format!("/api/v1/live/{name}/passes"), &[], None));
        refused(what, 404, "poll_unknown", || room.hall.office("GET", &format!("/api/v1/polls/{name}"), Value::Null));
        refused(what, 404, "not_found", || room.hall.office("GET", &format!("/api/v1/events/{name}"), Value::Null));
    }
    let headers = room.voter.headers();
    refused("no name at all", 404, "not_found", || room.hall.call("POST", "/api/v1/polls//ballots", &headers, Some(&body)));
    room.is_unchanged();
}

fn picks_that_break_the_rules_are_refused(backend: Backend) {
    let room = Room::open(backend);
    let send = |poll: &str, picks: Value| {
        let body = json!({"ballot": uuid::Uuid::from_u128(1), "revision": 1, "picks": picks});
        room.voter.send(&room.hall, poll, &body.to_string())
    };
    let (open, multiple) = (room.open.as_str(), room.multiple.as_str());
    let id = |poll: &str, n: &str| format!("{poll}-{n}");
    for number in ["0", "4", "01", "+1", "-1", "65536", "65537", "18446744073709551616", "", " 1", "1 ", "\u{661}", "gotcha", "1-1"] {
        refused(number, 422, "picks_unknown", || send(open, json!([id(open, number)])));
    }
    let long = "7".repeat(3_000);
    for pick in ["", "-", "-1", "gotcha", "1", &long, &id(multiple, "1"), &id(&open.to_uppercase(), "1"), "\u{0}", "../x-1"] {
        refused(&pick[..pick.len().min(40)], 422, "picks_unknown", || send(open, json!([pick])));
    }
    refused("two of one", 422, "picks_many", || send(open, json!([id(open, "1"), id(open, "2")])));
    refused("the same twice", 422, "picks_twice", || send(multiple, json!([id(multiple, "1"), id(multiple, "1")])));
    refused("too few", 422, "picks_few", || send(multiple, json!([id(multiple, "1")])));
    refused("too many", 422, "picks_many", || send(multiple, json!((1..=4).map(|n| id(multiple, &n.to_string())).collect::<Vec<_>>())));
    refused("a hundred and one", 422, "picks_many", || send(multiple, json!(vec![id(multiple, "1"); 101])));
    for weight in [json!(0), json!(2), json!(4_294_967_295u32)] {
        refused("a weight", 422, "picks_weight", || send(open, json!([{"choice": id(open, "1"), "weight": weight}])));
    }
    for weight in [json!(-1), json!(4_294_967_296u64), json!(1.5), json!("1"), json!(null)] {
        refused("not a weight", 422, "json_invalid", || send(open, json!([{"choice": id(open, "1"), "weight": weight}])));
    }
    room.is_unchanged();
}

fn a_poll_that_takes_no_votes_says_why(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    let (draft, closed, gone) = (event.draft(&hall, json!({})), event.poll(&hall, json!({})), event.poll(&hall, json!({})));
    set_state(&hall, &closed, "closed");
    hall.office("DELETE", &format!("/api/v1/polls/{gone}"), json!(null)).expect(204);
    let voter = event.voter(&hall);
    refused("before open", 409, "poll_draft", || voter.vote(&hall, &draft, 1, 1, &[1]));
    refused("deleted", 404, "poll_unknown", || voter.vote(&hall, &gone, 1, 1, &[1]));
    // Where other processes may have accepted it, there is doubt for as long as the grace lasts: not counted so far, ask again.
    let at_once = voter.vote(&hall, &closed, 1, 1, &[1]);
    assert!(matches!((backend, at_once.status), (_, 409) | (Backend::Distributed, 504)), "{at_once:?}");
    is_problem("closed", &at_once);
    assert_eq!(at_once.header("retry-after").is_some(), at_once.status == 504, "{at_once:?}");
    crate::support::until("the result is final", || event.live(&hall)["polls"][0]["results"]["status"] == "final");
    refused("after final", 409, "poll_closed", || voter.vote(&hall, &closed, 1, 1, &[1]));
    assert_eq!([books(&hall, &draft), books(&hall, &closed)], [[0; 5]; 2]);
}

fn a_pass_that_is_not_right_is_refused(backend: Backend) {
    use groundswell::domain::EventId;
    use groundswell::http::PassKey;
    let room = Room::open(backend);
    let body = ballot_of(&room.open, 1, 1, &[1]).to_string();
    let send = |authorization: &str| {
        let headers = [("authorization", authorization), ("content-type", "application/json")];
        room.hall.call("POST", &room.path(), &headers, Some(&body))
    };
    refused("none", 401, "pass_missing", || room.hall.call("POST", &room.path(), &[("content-type", "application/json")], Some(&body)));
    let pass = room.voter.bearer.strip_prefix("Bearer ").unwrap();
    for authorization in ["", "Bearer", "gotcha", "Basic Z290Y2hh", pass, "Bearer \u{e9}"] {
        refused(authorization, 401, "pass_missing", || send(authorization));
    }
    let (event, voter): (EventId, uuid::Uuid) = (room.event.id.parse().unwrap(), room.voter.id.parse().unwrap());
    let now = groundswell::clock::now_ms();
    let key = crate::support::runtime().block_on(room.hall.store.secret("pass_key", Vec::new())).expect("the key is there");
    assert!(!key.is_empty());
    let foreign = PassKey::new(b"another key").mint_open(event, voter, now);
    let flipped = format!("{}{}", &pass[..pass.len() - 2], if pass.ends_with("AA") { "BA" } else { "AA" });
    for (what, bad) in [
        ("forged", flipped),
        ("truncated", pass[..pass.len() - 1].into()),
        ("longer", format!("{pass}A")),
        ("other key", foreign),
        ("8 kB", "A".repeat(8_192)),
        ("gotcha", MARKER.into()),
        ("the API token", crate::support::TOKEN.into()),
    ] {
        refused(what, 401, "pass_invalid", || send(&format!("Bearer {bad}")));
    }
    const DAY_MS: i64 = 24 * 3_600 * 1_000;
    for (what, at) in [("expired", now - 91 * DAY_MS), ("from the future", now + DAY_MS)] {
        let pass = PassKey::new(&key).mint_open(event, voter, at);
        refused(what, 401, "pass_expired", || send(&format!("Bearer {pass}")));
    }
    let other = room.other_event.voter(&room.hall);
    refused("other event", 403, "pass_other_event", || send(&other.bearer));
    room.is_unchanged();
    send(&format!("bearer {}", PassKey::new(&key).mint_open(event, voter, now))).expect(202);
}

fn an_address_nobody_knows_is_never_a_page(backend: Backend) {
    let room = Room::open(backend);
    for path in [
        "/api/v1/x.css",
        "//",
        "///",
        "/api",
        "/api/",
        "/api/v1",
        "/api/v1/",
        "/api/v2/events",
        "/api/v1/live",
        "/assets",
        "/assets/",
        "/assets/gotcha.css",
        "/assets/..%2f..%2fetc/passwd",
        "/assets/../Cargo.toml",
        "/assets/vote/index.html",
        "/vote/index.html",
        "/present",
        "/metrics",
        "/static",
        "/favicon.ico",
        "/x.css",
        "/482913.css",
        "/482913/x",
        "/482913/gotcha.js",
        "/.env",
        "/%00",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/a",
        "/gotcha%0d%0aset-cookie:x=1",
        "/robots.txt",
    ] {
        refused(path, 404, "not_found", || room.hall.get(path));
    }
    room.is_unchanged();
}

fn a_query_that_cannot_be_is_refused_as_a_problem(backend: Backend) {
    let room = Room::open(backend);
    let read = |what: &str, query: &str| room.hall.office("GET", &format!("/api/v1/polls/{}/{what}?{query}", room.open), Value::Null);
    for what in ["results", "results.csv", "books"] {
        for query in
            ["round=-1", "round=gotcha", "round=", "round=1.5", "round=4294967296", "round=18446744073709551616", "round=1&round=2", "gotcha=1", "round=%00"]
        {
            refused(&format!("{what}?{query}"), 422, "query_invalid", || read(what, query));
        }
        for query in ["round=0", "round=2", "round=4294967295"] {
            refused(&format!("{what}?{query}"), 404, "round_unknown", || read(what, query));
        }
        read(what, "round=1").expect(200);
    }
    room.is_unchanged();
}

fn an_early_refusal_leaves_the_connection_in_order(backend: Backend) {
    let room = Room::open(backend);
    let body = format!("{}{}", ballot_of(&room.open, 1, 1, &[1]), " ".repeat(3_000));
    let huge = " ".repeat(300_000);
    let [pass, json] = room.voter.headers();
    let ballots = room.path();
    let passes = format!("/api/v1/live/{}/passes", room.event.code);
    let cases: [(&str, &str, &[(&str, &str)], &str, u16); 8] = [
        ("POST", &ballots, &[json], &body, 401),
        ("POST", &ballots, &[pass], &body, 415),
        ("POST", &ballots, &[pass, json], &huge, 413),
        ("PUT", &ballots, &[pass, json], &body, 405),
        ("POST", "/api/v1/polls/0/ballots", &[pass, json], &body, 404),
        ("POST", &passes, &[json], &huge, 413),
        ("POST", "/api/v1/events", &[json], &body, 401),
        ("GET", "/api/v1/x", &[], &body, 404),
    ];
    for (method, path, headers, body, status) in cases {
        let mut line = Line::to(&room.hall);
        let first = line.ask(method, path, headers, Some(body));
        assert_eq!(first.status, status, "{method} {path}: {first:?}");
        // What is left of the body must not be read as a request: the next one is answered, or the connection is closed.
        let next = line.ask("GET", "/livez", &[], None);
        assert!(matches!((next.status, next.body.as_str()), (200, "ok\n") | (0, "")), "{method} {path}: {next:?}");
        if method == "POST" && path.starts_with("/api/v1/polls/") && status != 413 {
            assert_eq!(next.status, 200, "{method} {path} {status}: a phone keeps its connection");
        }
    }
    room.is_unchanged();
}

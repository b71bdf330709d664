//! One table of all routes, and what is true of each: who may, what may be kept, what is in the body. A route in the sources that
//! is not in the table fails the first test here.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::bad_input::is_problem;
use crate::client::Line;
use crate::hall::{Event, Hall};
use crate::on_both;
use crate::support::{Answer, Backend, TOKEN, until};

on_both![the_back_office_is_closed_without_a_session, a_field_nobody_knows_is_refused_everywhere, every_answer_has_its_cache_and_security_headers,];

#[derive(Clone, Copy, PartialEq, Debug)]
enum Who {
    Anyone,
    /// Has a pass.
    Voter,
    Owner,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Keep {
    Never,
    Live,
    Hour,
    Page,
    Forever,
}

use Keep::*;

/// As `groundswell rehearse` writes it.
pub const REPORT: &str = include_str!("report.json");
use Who::*;

/// Method, path, who may, what caches may do, status, and a body that is right.
type Row = (&'static str, &'static str, Who, Keep, u16, Option<&'static str>);

/// In an order in which each finds what it needs: deleting comes last.
const ROUTES: &[Row] = &[
    ("GET", "/", Anyone, Page, 200, None),
    ("GET", "/admin", Anyone, Page, 200, None),
    ("GET", "/admin/{rest:.*}", Anyone, Page, 200, None),
    ("GET", "/present/{event}", Anyone, Page, 200, None),
    ("GET", "/{code:[0-9A-Za-z][0-9A-Za-z -]{2,39}}", Anyone, Page, 200, None),
    ("GET", "/assets/{path:.*}", Anyone, Forever, 200, None),
    ("GET", "/sw.js", Anyone, Page, 200, None),
    ("GET", "/assets/logos/{name}", Anyone, Never, 404, None),
    ("GET", "/results/{code}", Anyone, Live, 200, None),
    ("GET", "/results/{code}/{poll}.svg", Anyone, Live, 200, None),
    ("GET", "/results/{code}/{poll}.csv", Anyone, Live, 200, None),
    ("GET", "/poster/{code}", Anyone, Hour, 200, None),
    ("GET", "/overlay/{code}", Anyone, Page, 200, None),
    ("GET", "/embed/{code}", Anyone, Page, 200, None),
    ("GET", "/oembed", Anyone, Never, 422, None),
    ("GET", "/livez", Anyone, Never, 200, None),
    ("GET", "/readyz", Anyone, Never, 200, None),
    ("GET", "/status", Anyone, Never, 200, None),
    ("GET", "/api/v1/live/{code}", Anyone, Live, 200, None),
    ("GET", "/api/v1/live/{code}/stream", Anyone, Never, 200, None),
    ("GET", "/api/v1/live/{code}/qr.svg", Anyone, Hour, 200, None),
    ("POST", "/api/v1/live/{code}/passes", Anyone, Never, 201, Some("{}")),
    ("POST", "/api/v1/polls/{poll}/ballots", Voter, Never, 202, Some(r#"{"ballot":"00000000-0000-0000-0000-000000000001","revision":1,"picks":["{poll}-1"]}"#)),
    ("GET", "/api/v1/polls/{poll}/ballots/mine", Voter, Never, 200, None),
    ("GET", "/api/v1/setup", Anyone, Never, 200, None),
    ("POST", "/api/v1/setup", Anyone, Never, 403, Some(r#"{"token":"x","email":"a@b","password":"a long password"}"#)),
    ("POST", "/api/v1/session", Anyone, Never, 401, Some(r#"{"email":"a@b","password":"a long password"}"#)),
    ("GET", "/api/v1/session", Anyone, Never, 200, None),
    ("DELETE", "/api/v1/session", Anyone, Never, 204, None),
    // Of the API token, which has none.
    ("PUT", "/api/v1/password", Owner, Never, 409, Some(r#"{"current":"a long password","password":"another long one"}"#)),
    ("GET", "/api/v1/events", Owner, Never, 200, None),
    ("POST", "/api/v1/events", Owner, Never, 201, Some(r#"{"title":"Friday"}"#)),
    ("GET", "/api/v1/events/{event}", Owner, Never, 200, None),
    ("PATCH", "/api/v1/events/{event}", Owner, Never, 200, Some(r#"{"title":"Saturday"}"#)),
    ("POST", "/api/v1/events/{event}/polls", Owner, Never, 201, Some(r#"{"kind":"single","question":"Which?","choices":["A","B"]}"#)),
    ("PUT", "/api/v1/events/{event}/logo", Owner, Never, 415, Some("{}")),
    ("DELETE", "/api/v1/events/{event}/logo", Owner, Never, 200, None),
    ("GET", "/api/v1/events/{event}/results.xlsx", Owner, Never, 200, None),
    ("PUT", "/api/v1/events/{event}/current", Owner, Never, 200, Some(r#"{"poll":null}"#)),
    ("PATCH", "/api/v1/events/{event}/view", Owner, Never, 200, Some(r#"{"blank":true}"#)),
    ("GET", "/api/v1/events/{event}/remote.svg", Owner, Never, 200, None),
    ("GET", "/api/v1/events/{event}/live", Owner, Never, 200, None),
    ("GET", "/api/v1/events/{event}/stream", Owner, Never, 200, None),
    // Of an event that is no rehearsal.
    ("PUT", "/api/v1/events/{event}/rehearsal", Owner, Never, 409, Some(REPORT)),
    ("GET", "/api/v1/rehearsals", Owner, Never, 200, None),
    ("GET", "/api/v1/rehearsals/{report}", Owner, Never, 404, None),
    ("GET", "/api/v1/polls/{poll}", Owner, Never, 200, None),
    ("PATCH", "/api/v1/polls/{poll}", Owner, Never, 200, Some(r#"{"question":"Which one?"}"#)),
    ("PUT", "/api/v1/polls/{poll}/state", Owner, Never, 200, Some(r#"{"state":"closed"}"#)),
    ("PUT", "/api/v1/polls/{poll}/visibility", Owner, Never, 200, Some(r#"{"revealed":true}"#)),
    ("GET", "/api/v1/polls/{poll}/results", Owner, Never, 200, None),
    ("GET", "/api/v1/polls/{poll}/results.csv", Owner, Never, 200, None),
    ("GET", "/api/v1/polls/{poll}/results.xlsx", Owner, Never, 200, None),
    ("GET", "/api/v1/polls/{poll}/ballots.csv", Owner, Never, 200, None),
    ("GET", "/api/v1/polls/{poll}/books", Owner, Never, 200, None),
    ("POST", "/api/v1/polls/{poll}/rounds", Owner, Never, 201, Some("{}")),
    ("DELETE", "/api/v1/polls/{poll}", Owner, Never, 204, None),
    ("DELETE", "/api/v1/events/{event}", Owner, Never, 204, None),
];

/// An address of each route, and whether a file answers there, the same for everybody.
pub fn file_or_not() -> Vec<(String, bool)> {
    let one = |path: &str| path.split('/').map(|part| if part.starts_with('{') { "482913" } else { part }).collect::<Vec<_>>().join("/");
    ROUTES.iter().map(|(_, path, _, keep, ..)| (one(path), matches!(keep, Page | Forever))).collect()
}

/// Of a listener of its own.
const ELSEWHERE: &[&str] = &["GET /metrics"];

#[test]
fn every_route_in_the_sources_is_in_the_table() {
    let mut found = BTreeSet::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http"), &mut found);
    let table: BTreeSet<String> = ROUTES.iter().map(|(method, path, ..)| format!("{method} {path}")).chain(ELSEWHERE.iter().map(|r| (*r).to_owned())).collect();
    let missing: Vec<&String> = found.difference(&table).collect();
    let gone: Vec<&String> = table.difference(&found).collect();
    assert!(missing.is_empty(), "routes without a row in this table: who may use them, and what may caches do? {missing:?}");
    assert!(gone.is_empty(), "rows without a route: {gone:?}");
}

/// `#[get("…")]` and its kin, `#[route("…", method = "GET", …)]`, and `.route("…", …)`, which is for pages.
fn collect(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).expect("the sources are there").flatten() {
        if entry.path().is_dir() {
            collect(&entry.path(), found);
            continue;
        }
        let source = std::fs::read_to_string(entry.path()).expect("a source file");
        // Attributes may be broken over lines.
        let source = source.split_ascii_whitespace().collect::<Vec<_>>().join(" ").replace("( \"", "(\"");
        for (opening, method) in [
            ("#[get(\"", "GET"),
            ("#[post(\"", "POST"),
            ("#[put(\"", "PUT"),
            ("#[patch(\"", "PATCH"),
            ("#[delete(\"", "DELETE"),
            (".route(\"", "GET"),
            ("#[head(\"", "HEAD"),
        ] {
            for piece in source.split(opening).skip(1) {
                found.insert(format!("{method} {}", piece.split('"').next().unwrap()));
            }
        }
        for piece in source.split("#[route(\"").skip(1) {
            let attribute = &piece[..piece.find(")]").expect("an attribute ends")];
            let path = attribute.split('"').next().unwrap();
            for method in attribute.split("method = \"").skip(1).map(|m| m.split('"').next().unwrap()).filter(|m| *m != "HEAD") {
                found.insert(format!("{method} {path}"));
            }
        }
        for other in ["web::resource(", "web::scope(", ".guard(guard::Post", "web::post()", "web::put()", "web::delete()", "web::patch()"] {
            assert!(!source.contains(other), "{}: teach this test about {other}", entry.path().display());
        }
    }
}

struct Place {
    event: Event,
    poll: String,
    pass: String,
}

impl Place {
    fn new(hall: &Hall) -> Place {
        let event = hall.event();
        let poll = event.poll(hall, json!({}));
        let pass = event.voter(hall).bearer;
        Place { event, poll, pass }
    }

    fn fill(&self, text: &str) -> String {
        let asset = groundswell::http::assets().iter().find(|a| !a.named).expect("there are assets").url;
        let text = text.replace("/assets/{path:.*}", asset).replace("{rest:.*}", "new").replace("{code:[0-9A-Za-z][0-9A-Za-z -]{2,39}}", &self.event.code);
        text.replace("{name}", "gotcha.png").replace("{event}", &self.event.id).replace("{poll}", &self.poll).replace("{code}", &self.event.code)
    }

    fn bearer(&self, who: Who) -> Option<String> {
        match who {
            Anyone => None,
            Voter => Some(self.pass.clone()),
            Owner => Some(format!("Bearer {TOKEN}")),
        }
    }

    fn ask(&self, hall: &Hall, method: &str, path: &str, bearer: Option<&str>, body: Option<&str>) -> Answer {
        let mut headers = vec![];
        headers.extend(bearer.map(|b| ("authorization", b)));
        headers.extend(body.map(|_| ("content-type", "application/json")));
        if path.ends_with("/stream") {
            // A stream does not end; its head says what is asked here.
            return crate::client::Events::open(hall, &self.fill(path), &headers).head;
        }
        Line::to(hall).ask(method, &self.fill(path), &headers, body.map(|b| self.fill(b)).as_deref())
    }
}

fn the_back_office_is_closed_without_a_session(backend: Backend) {
    let hall = Hall::open(backend);
    let place = Place::new(&hall);
    for (method, path, who, _, _, body) in ROUTES {
        let what = format!("{method} {path}");
        let strangers = [None, Some("Bearer gotcha"), Some(place.pass.as_str()), Some("Basic Z290Y2hh")];
        for bearer in strangers.into_iter().filter(|b| *who != Voter || *b != Some(place.pass.as_str())) {
            let answer = place.ask(&hall, method, path, bearer, *body);
            if *who == Anyone {
                assert!(answer.status != 401 || *path == "/api/v1/session", "{what}: {answer:?}");
                continue;
            }
            assert_eq!(answer.status, 401, "{what} with {bearer:?}: {answer:?}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{what}");
            if !path.ends_with("/stream") {
                is_problem(&what, &answer);
            }
        }
        if *who == Owner {
            let cookie = Line::to(&hall).ask(
                method,
                &place.fill(path),
                &[("cookie", "groundswell=gotcha; __Host-groundswell=gotcha"), ("content-type", "application/json"), ("sec-fetch-site", "same-origin")],
                *body,
            );
            assert_eq!(cookie.status, 401, "{what} with a made-up cookie: {cookie:?}");
        }
    }
    assert_eq!(hall.office("GET", "/api/v1/events", Value::Null).expect(200).json()["events"].as_array().map(Vec::len), Some(1), "nothing was done");
    assert_eq!(place.event.live(&hall)["polls"][0]["state"], "open");
}

fn a_field_nobody_knows_is_refused_everywhere(backend: Backend) {
    let hall = Hall::open(backend);
    let place = Place::new(&hall);
    // A logo is no JSON: look.rs says what becomes of others.
    let with_body = ROUTES.iter().filter(|(method, path, ..)| matches!(*method, "POST" | "PUT" | "PATCH") && !path.ends_with("/logo"));
    for (method, path, who, _, _, body) in with_body {
        let what = format!("{method} {path}");
        let good = body.unwrap_or_else(|| panic!("{what} needs a right body in the table"));
        let bearer = place.bearer(*who);
        let extra = if good == "{}" { r#"{"gotcha":1}"#.to_owned() } else { good.replacen('{', r#"{"gotcha":1,"#, 1) };
        let twice = if good == "{}" { "{}{}".to_owned() } else { good.replacen('{', &format!("{{{},", &good[1..good.rfind('}').unwrap()]), 1) };
        for bad in [extra.as_str(), twice.as_str(), "[]", "null", "\"gotcha\"", "{", "[[[[", "\u{feff}{}", "{\"\\ud800\":1}"] {
            let answer = place.ask(&hall, method, path, bearer.as_deref(), Some(bad));
            assert_eq!(answer.status, 422, "{what} {bad}: {answer:?}");
            is_problem(&what, &answer);
            assert_eq!(answer.code(), "json_invalid", "{what} {bad}");
        }
        let deep = format!("{{\"gotcha\":{}", "[".repeat(if *who == Owner && good != "{}" { 100_000 } else { 4_000 }));
        assert_eq!(place.ask(&hall, method, path, bearer.as_deref(), Some(&deep)).code(), "json_invalid", "{what}, deep");
        let headers = [("authorization", bearer.as_deref().unwrap_or("")), ("content-type", "text/plain")];
        let plain = Line::to(&hall).ask(method, &place.fill(path), &headers, Some(&place.fill(&extra)));
        assert_eq!((plain.status, plain.code().as_str()), (415, "not_json"), "{what} as text");
        let large = Line::to(&hall).ask(method, &place.fill(path), &[headers[0], ("content-type", "application/json"), ("content-length", "104857600")], None);
        assert_eq!((large.status, large.code().as_str()), (413, "too_large"), "{what} of 100 MB");
    }
    assert_eq!(hall.office("GET", "/api/v1/events", Value::Null).expect(200).json()["events"].as_array().map(Vec::len), Some(1), "nothing was done");
}

fn every_answer_has_its_cache_and_security_headers(backend: Backend) {
    let hall = Hall::open(backend);
    let place = Place::new(&hall);
    for (method, path, who, keep, status, body) in ROUTES {
        let what = format!("{method} {path}");
        let bearer = place.bearer(*who);
        if path.ends_with("/mine") {
            until("the ballot is counted", || place.ask(&hall, method, path, bearer.as_deref(), *body).status == 200);
        }
        let answer = place.ask(&hall, method, path, bearer.as_deref(), *body);
        assert_eq!(answer.status, *status, "{what}: {answer:?}");
        let cache = answer.header("cache-control").unwrap_or_else(|| panic!("{what}: no cache header"));
        match keep {
            Never => assert_eq!(cache, "no-store", "{what}"),
            Live => assert_eq!(cache, "public, max-age=1, s-maxage=1, stale-while-revalidate=5, stale-if-error=86400", "{what}"),
            Hour => assert_eq!(cache, "public, max-age=60", "{what}"),
            Page => assert!(cache.starts_with("public, max-age=60,") && cache.contains("stale-if-error="), "{what}: {cache}"),
            Forever => assert_eq!(cache, "public, max-age=31536000, immutable", "{what}"),
        }
        assert!(*keep == Never || answer.header("set-cookie").is_none(), "{what}: what is cached by many sets no cookie");
        assert!(*keep == Never || *who == Anyone, "{what}: what is private is kept nowhere");
        is_guarded(&what, &answer);
        if *method == "GET" && *who == Anyone && !path.ends_with("/stream") && !path.starts_with("/api/v1/setup") && *path != "/api/v1/session" {
            let (head, bytes) = Line::to(&hall).ask_bytes("HEAD", &place.fill(path), &[], None);
            assert_eq!((head.status, bytes.len()), (answer.status, 0), "HEAD {path}");
            assert_eq!(
                (head.header("content-type"), head.header("cache-control")),
                (answer.header("content-type"), answer.header("cache-control")),
                "HEAD {path}"
            );
        }
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            if !ROUTES.iter().any(|(m, p, ..)| (*m, *p) == (method, *path)) {
                let wrong = place.ask(&hall, method, path.strip_suffix("/stream").map_or(*path, |_| "/api/v1/x"), bearer.as_deref(), None);
                assert!(matches!(wrong.status, 405 | 404), "{method} {path}: {wrong:?}");
                is_problem(&format!("{method} {path}"), &wrong);
                is_guarded(&format!("{method} {path}"), &wrong);
                if wrong.status == 405 {
                    let allowed: BTreeSet<&str> = wrong.header("allow").unwrap_or_else(|| panic!("{path}: what then?")).split(", ").collect();
                    let mut takes: BTreeSet<&str> = ROUTES.iter().filter(|(_, p, ..)| p == path).map(|(m, ..)| *m).collect();
                    if place.ask(&hall, "HEAD", path, bearer.as_deref(), None).status != 405 {
                        takes.insert("HEAD");
                    }
                    assert_eq!(allowed, takes, "{method} {path}");
                }
            }
        }
    }
    // Refusals of every kind.
    for (method, path, status) in
        [("GET", "/api/v1/x.css", 404), ("GET", "//", 404), ("GET", "/api/v1/live/1", 404), ("GET", "/api/v1/events", 401), ("POST", "/", 405)]
    {
        let answer = place.ask(&hall, method, path, None, None);
        assert_eq!(answer.status, status, "{method} {path}");
        is_problem(path, &answer);
        is_guarded(path, &answer);
    }
}

#[track_caller]
fn is_guarded(what: &str, answer: &Answer) {
    let header = |name: &str| answer.header(name).unwrap_or_else(|| panic!("{what}: no {name}: {answer:?}")).to_owned();
    let policy = header("content-security-policy");
    // Two pages are made for other people's frames; what they refuse is not.
    let framed = answer.status == 200 && [" /overlay/", " /embed/"].iter().any(|path| what.contains(path));
    let ancestors = if framed { "frame-ancestors *" } else { "frame-ancestors 'none'" };
    assert!(policy.starts_with("default-src 'none';") && policy.ends_with(ancestors) && !policy.contains("unsafe"), "{what}: {policy}");
    assert_eq!(header("x-content-type-options"), "nosniff", "{what}");
    assert!(!header("referrer-policy").is_empty() && header("permissions-policy").contains("camera=()"), "{what}");
    assert!(answer.header("server").is_none() && answer.header("x-powered-by").is_none(), "{what}: says what it is made of");
    let once = answer.headers.iter().filter(|(name, _)| name == "content-security-policy").count();
    assert_eq!(once, 1, "{what}");
}

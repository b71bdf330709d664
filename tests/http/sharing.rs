//! Pages under another name: who may read what. And the exported app, which is what such pages are.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Events, Line};
use crate::hall::{Hall, ballot_of};
use crate::on_both;
use crate::process::{command, run};
use crate::routes::file_or_not;
use crate::support::{Answer, Backend, TOKEN};

on_both![listed_sites_may_read_what_the_audience_reads_and_nobody_else];

const SITE: &str = "https://vote.example.org";
const OTHER_SITE: &str = "http://localhost:8000";
const STRANGERS: [&str; 6] = [
    "https://gotcha.example",
    "null",
    "https://vote.example.org.gotcha.example",
    "http://vote.example.org",
    "https://vote.example.org:444",
    "HTTPS://VOTE.EXAMPLE.ORG",
];

#[track_caller]
fn allows(what: &str, answer: &Answer) -> Option<String> {
    assert!(answer.header("access-control-allow-credentials").is_none(), "{what}: never with credentials");
    answer.header("access-control-allow-origin").map(str::to_owned)
}

fn listed_sites_may_read_what_the_audience_reads_and_nobody_else(backend: Backend) {
    let sites = format!("{SITE}, {OTHER_SITE}");
    let hall = Hall::open_with(backend, &["--allowed-origins", &sites]);
    let event = hall.event();
    let poll = event.poll(&hall, json!({}));
    let voter = event.voter(&hall);
    let (live, ballots) = (format!("/api/v1/live/{}", event.code), format!("/api/v1/polls/{poll}/ballots"));
    let ballot = ballot_of(&poll, 1, 1, &[1]).to_string();
    let json_of = ("content-type", "application/json");
    let bearer = ("authorization", voter.bearer.as_str());
    // Hot paths and routed ones, answers and refusals.
    let public: [(&str, &str, &[(&str, &str)], Option<&str>, u16); 9] = [
        ("GET", &live, &[], None, 200),
        ("GET", "/api/v1/live/999999", &[], None, 404),
        ("GET", &format!("{live}/qr.svg"), &[], None, 200),
        ("POST", &format!("{live}/passes"), &[json_of], Some("{}"), 201),
        ("POST", &ballots, &[json_of, bearer], Some(&ballot), 202),
        ("POST", &ballots, &[json_of], Some(&ballot), 401),
        ("POST", &ballots, &[json_of, bearer], Some("gotcha"), 422),
        ("POST", &ballots, &[bearer], Some(&ballot), 415),
        ("GET", "/api/v1/polls/x/ballots/mine", &[bearer], None, 404),
    ];
    for (method, path, headers, body, status) in public {
        let what = format!("{method} {path} {status}");
        let mut line = Line::to(&hall);
        let mut ask = |origin: &str| line.ask(method, path, &[headers, &[("origin", origin)]].concat(), body).expect(status);
        for site in [SITE, OTHER_SITE] {
            let answer = ask(site);
            assert_eq!(allows(&what, &answer).as_deref(), Some(site), "{what}");
            assert!(answer.header("access-control-expose-headers").is_some_and(|e| e.contains("Retry-After")), "{what}");
            assert!(answer.headers.iter().any(|(n, v)| n == "vary" && v == "Origin"), "{what}: caches must know: {answer:?}");
        }
        for stranger in STRANGERS {
            let answer = ask(stranger);
            assert_eq!(allows(&what, &answer), None, "{what} from {stranger}");
            assert!(answer.headers.iter().any(|(n, v)| n == "vary" && v == "Origin"), "{what} from {stranger}: {answer:?}");
        }
        let asks_first = |origin| Line::to(&hall).ask("OPTIONS", path, &[("origin", origin), ("access-control-request-method", method)], None);
        let may = asks_first(SITE).expect(204);
        assert_eq!(allows(&what, &may).as_deref(), Some(SITE), "{what}");
        assert!(may.header("access-control-allow-headers").is_some_and(|h| h == "authorization, content-type"), "{what}");
        assert!(may.header("access-control-allow-methods").is_some_and(|m| m == "GET, POST"), "{what}");
        assert_eq!(allows(&what, &asks_first(STRANGERS[0])), None, "{what}");
        assert!(asks_first(STRANGERS[0]).status >= 400, "{what}");
    }
    let stream = Events::open(&hall, &format!("{live}/stream"), &[("origin", SITE)]);
    assert_eq!(allows("a stream", &stream.head).as_deref(), Some(SITE));

    let owner = format!("Bearer {TOKEN}");
    for (method, path) in [
        ("GET", "/api/v1/events".to_owned()),
        ("GET", "/api/v1/session".into()),
        ("GET", format!("/api/v1/polls/{poll}/results")),
        ("GET", format!("/api/v1/polls/{poll}/ballots.csv")),
        ("GET", format!("/api/v1/events/{}/live", event.id)),
        ("PUT", format!("/api/v1/polls/{poll}/state")),
        ("GET", "/admin".into()),
        ("GET", "/".into()),
    ] {
        for asked in [method, "OPTIONS"] {
            let answer = Line::to(&hall).ask(asked, &path, &[("origin", SITE), ("authorization", &owner), ("access-control-request-method", method)], None);
            assert_eq!(allows(&path, &answer), None, "{asked} {path}: the back office is nobody else's");
            assert_ne!(answer.status, 204, "{asked} {path}");
        }
    }
}

#[test]
fn one_site_is_named_whoever_asks_so_that_no_cache_has_to_vary() {
    let hall = Hall::open_with(Backend::Embedded, &["--allowed-origins", SITE]);
    let event = hall.event();
    let live = format!("/api/v1/live/{}", event.code);
    for origin in [SITE, STRANGERS[0]] {
        let answer = Line::to(&hall).ask("GET", &live, &[("origin", origin)], None).expect(200);
        assert_eq!((allows("a document", &answer).as_deref(), answer.header("vary")), (Some(SITE), None), "{origin}");
    }
    assert_eq!(allows("a document", &hall.get(&live)).as_deref(), Some(SITE), "without an origin, too: it may be kept for one who has");
}

#[test]
fn without_a_list_no_other_site_may_read_anything() {
    let hall = Hall::open(Backend::Embedded);
    let event = hall.event();
    for path in [format!("/api/v1/live/{}", event.code), format!("/api/v1/live/{}/passes", event.code), "/api/v1/polls/x/ballots".into(), "/".into()] {
        for method in ["GET", "POST", "OPTIONS"] {
            let answer = Line::to(&hall).ask(method, &path, &[("origin", SITE), ("access-control-request-method", "POST")], None);
            assert!(!answer.headers.iter().any(|(name, _)| name.starts_with("access-control-")), "{method} {path}: {answer:?}");
            assert!(answer.header("vary").is_none_or(|v| !v.contains("Origin")), "{method} {path}");
        }
    }
}

/// What a CDN sends from the exported files is what the server would have sent.
#[test]
fn the_exported_app_is_what_the_server_answers() {
    let hall = Hall::open(Backend::Embedded);
    let place = TempDir::new().unwrap();
    let manifest = export(&place, &[]);
    let files = manifest["files"].as_array().unwrap();
    assert_eq!(manifest["origin"], Value::Null);
    assert_eq!(
        files.iter().filter(|f| f["address"].as_str().unwrap().starts_with("/assets/")).count(),
        groundswell::http::assets().iter().filter(|a| !a.named && a.url.starts_with("/assets/")).count()
    );
    let mut line = Line::to(&hall);
    let mut compare = |address: &str, file: &Value| {
        for (coding, key) in [("identity", "file"), ("br", "br"), ("gzip", "gzip")] {
            let (served, body) = line.ask_bytes("GET", address, &[("accept-encoding", coding)], None);
            assert_eq!(served.status, 200, "{address}");
            let written = std::fs::read(place.path().join(file[key].as_str().unwrap())).expect("it is in the manifest, so it is there");
            assert!(body == written, "{address} {coding}: other bytes");
            let mut headers: BTreeMap<String, String> = served.headers.iter().cloned().collect();
            for of_the_moment in ["date", "content-length", "content-encoding", "etag"] {
                headers.remove(of_the_moment);
            }
            let said: BTreeMap<String, String> = serde_json::from_value(file["headers"].clone()).unwrap();
            assert_eq!(said, headers, "{address} {coding}");
        }
    };
    for file in files.iter().filter(|f| !f["address"].as_str().unwrap().ends_with(".html")) {
        compare(file["address"].as_str().unwrap(), file);
    }
    // Addresses lead where the server leads, in their order.
    for address in ["/", "/482913", "/final", "/admin", "/admin/events/x", "/present/x", "/overlay/482913", "/embed/482913"] {
        compare(address, leads_to(&manifest, address));
    }
    // What no file can answer goes to the servers, logos among files too.
    for (address, is_file) in file_or_not() {
        let goes = manifest["servers"].as_array().unwrap().iter().any(|of_servers| fits(of_servers.as_str().unwrap(), &address));
        assert_eq!(goes, !is_file, "{address}");
    }
}

#[test]
fn an_export_for_another_origin_is_the_audiences_alone_and_asks_there() {
    const API: &str = "https://api.example.org";
    let place = TempDir::new().unwrap();
    let manifest = export(&place, &["--origin", API]);
    assert_eq!((&manifest["origin"], &manifest["servers"]), (&json!(API), &json!([])));
    for address in ["/", "/482913", "/overlay/482913", "/embed/482913"] {
        let file = leads_to(&manifest, address);
        let page = std::fs::read_to_string(place.path().join(file["file"].as_str().unwrap())).unwrap();
        assert!(page.contains(&format!("<meta name=\"api\" content=\"{API}\">")), "{address}");
        let policy = file["headers"]["content-security-policy"].as_str().unwrap();
        assert!(policy.contains(&format!("connect-src 'self' {API};")), "{address}: {policy}");
        assert!(policy.contains(&format!("img-src 'self' {API} data:;")), "{address}: a logo is not among the files: {policy}");
        assert_eq!(policy.ends_with("frame-ancestors *"), address.len() > 8, "{address}: {policy}");
        // Only where people vote somebody reads why nothing comes of it; a picture on air must not talk about its connection.
        assert_eq!(page.contains("/assets/vote/elsewhere."), address.len() < 8, "{address}");
        let mut plain = Vec::new();
        std::io::Read::read_to_end(
            &mut flate2::read::GzDecoder::new(std::fs::File::open(place.path().join(file["gzip"].as_str().unwrap())).unwrap()),
            &mut plain,
        )
        .unwrap();
        assert!(plain == page.as_bytes(), "{address}: the compressed form is another page");
        plain.clear();
        brotli::BrotliDecompress(&mut std::fs::File::open(place.path().join(file["br"].as_str().unwrap())).unwrap(), &mut plain).unwrap();
        assert!(plain == page.as_bytes(), "{address}: the compressed form is another page");
        // Every script and style it names was written.
        for name in page.split("\"/assets/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(place.path().join("assets").join(name).exists(), "{address} names {name}");
        }
    }
    assert!(!place.path().join("admin").exists() && !place.path().join("present").exists(), "they work by cookie, and so from the server alone");
    let refused = run(&mut command(place.path(), &["export", "static", "x", "--origin", "https://api.example.org/path"]));
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("--origin"));
}

/// The first rewrite that fits, as a CDN would go through them.
fn leads_to<'m>(manifest: &'m Value, address: &str) -> &'m Value {
    let rewrites = manifest["rewrites"].as_array().unwrap();
    let to = rewrites.iter().find(|r| fits(r["from"].as_str().unwrap(), address)).unwrap_or_else(|| panic!("{address} leads nowhere"));
    manifest["files"].as_array().unwrap().iter().find(|f| f["address"] == to["to"]).expect("a rewrite leads to a file")
}

fn fits(from: &str, address: &str) -> bool {
    from.strip_suffix('*').map_or(from == address, |beginning| address.starts_with(beginning))
}

fn export(place: &TempDir, more: &[&str]) -> Value {
    let directory = place.path().display().to_string();
    let output = run(&mut command(place.path(), &[&["export", "static", &directory], more].concat()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("headers.json"));
    serde_json::from_slice(&std::fs::read(place.path().join("headers.json")).expect("it says how to send them")).expect("JSON")
}

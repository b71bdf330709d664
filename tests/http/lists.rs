//! What the back office lists: events as they are looked for, and what rehearsals came to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use groundswell::clock::now_ms;
use groundswell::rehearsal::{Moment, Plan};
use groundswell::wire::rehearsal::Outcome;
use serde_json::{Value, json};

use crate::bad_input::refused;
use crate::hall::Hall;
use crate::on_both;
use crate::process::{Process, command, run};
use crate::rehearsal::{plan, rehearsal_event, rehearse};
use crate::routes::REPORT;
use crate::support::{Backend, Server, until};

on_both![
    events_are_looked_for_in_their_address,
    a_list_says_how_it_goes_on,
    a_list_says_where_votes_are_taken_now,
    what_cannot_be_looked_for_is_refused,
    a_report_is_kept_and_shown_when_the_rehearsal_is_gone,
    what_is_no_report_is_refused_and_not_kept,
    a_rehearsal_hands_its_report_in,
    a_server_that_keeps_no_reports_costs_no_rehearsal,
];

fn make(hall: &Hall, title: &str) -> String {
    hall.office("POST", "/api/v1/events", json!({"title": title})).expect(201).json()["id"].as_str().unwrap().to_owned()
}

#[track_caller]
fn list(hall: &Hall, query: &str) -> (Vec<String>, Value) {
    let answer = hall.office("GET", &format!("/api/v1/events{query}"), Value::Null).expect(200).json();
    let titles = answer["events"].as_array().unwrap().iter().map(|e| e["title"].as_str().unwrap().to_owned()).collect();
    (titles, answer["next"].clone())
}

fn events_are_looked_for_in_their_address(backend: Backend) {
    let hall = Hall::open(backend);
    for title in ["Friday all-hands", "Résumé workshop", "100 % sure", "Straße, أمسية الفيلم"] {
        make(&hall, title);
    }
    rehearsal_event(&hall);
    for (query, found) in [
        ("?search=hands+FRIDAY", &["Friday all-hands"][..]),
        ("?search=resume", &["Résumé workshop"]),
        ("?search=R%C3%89SUM%C3%89", &["Résumé workshop"]),
        ("?search=%25", &["100 % sure"]),
        ("?search=STRASSE", &["Straße, أمسية الفيلم"]),
        ("?search=%D8%A7%D9%84%D9%81%D9%8A%D9%84%D9%85", &["Straße, أمسية الفيلم"]),
        ("?search=", &["Straße, أمسية الفيلم", "100 % sure", "Résumé workshop", "Friday all-hands"]),
        ("?search=nothing+like+it", &[]),
        ("?search=dry&rehearsal=true", &["Dry run"]),
        ("?search=dry&rehearsal=false", &[]),
    ] {
        assert_eq!(list(&hall, query), (found.iter().map(|t| (*t).to_owned()).collect(), Value::Null), "{query}");
    }
    let code = hall.office("GET", "/api/v1/events?search=sure", Value::Null).expect(200).json()["events"][0]["code"].as_str().unwrap().to_owned();
    assert_eq!(list(&hall, &format!("?search={}%20{}", &code[..3], &code[3..])).0, ["100 % sure"], "by its code, as it is read aloud");
    let event = make(&hall, "Monday");
    hall.office("POST", &format!("/api/v1/events/{event}/polls"), json!({"kind": "single", "question": "Which pizza?", "choices": ["A", "B"]})).expect(201);
    let found = hall.office("GET", "/api/v1/events?search=PIZZA+mon", Value::Null).expect(200).json()["events"].clone();
    assert_eq!((&found[0]["title"], &found[0]["question"], &found[1]), (&json!("Monday"), &json!("Which pizza?"), &Value::Null));
    let all = hall.office("GET", "/api/v1/events", Value::Null).expect(200).json()["events"].clone();
    assert!(all.as_array().unwrap().iter().all(|e| e.get("question").is_none()), "nothing was looked for");
}

fn a_list_says_where_votes_are_taken_now(backend: Backend) {
    let hall = Hall::open(backend);
    let event = make(&hall, "Friday");
    let open = || hall.office("GET", "/api/v1/events", Value::Null).expect(200).json()["events"][0]["open"].clone();
    let polls: Vec<String> = (0..3)
        .map(|_| {
            let body = json!({"kind": "single", "question": "Which?", "choices": ["A", "B"]});
            let poll = hall.office("POST", &format!("/api/v1/events/{event}/polls"), body).expect(201).json()["id"].as_str().unwrap().to_owned();
            assert_eq!(open(), 0, "a draft");
            poll
        })
        .collect();
    let set = |poll: &str, state: &str| drop(hall.office("PUT", &format!("/api/v1/polls/{poll}/state"), json!({"state": state})).expect(200));
    set(&polls[0], "open");
    assert_eq!(open(), 1);
    // Published ahead: the clock opens it.
    hall.office("PATCH", &format!("/api/v1/polls/{}", polls[1]), json!({"opens_at": now_ms() + 600_000})).expect(200);
    set(&polls[1], "open");
    assert_eq!(open(), 1);
    set(&polls[2], "open");
    assert_eq!(open(), 2);
    set(&polls[0], "closed");
    hall.office("DELETE", &format!("/api/v1/polls/{}", polls[2]), Value::Null).expect(204);
    assert_eq!(open(), 0);
}

fn a_list_says_how_it_goes_on(backend: Backend) {
    let hall = Hall::open(backend);
    (0..5).for_each(|n| drop(make(&hall, &format!("Class {n}"))));
    make(&hall, "Other");
    let (first, next) = list(&hall, "?search=class&limit=2");
    assert_eq!(first, ["Class 4", "Class 3"]);
    let (second, next) = list(&hall, &format!("?search=class&limit=2&after={}", next.as_str().expect("there are more")));
    assert_eq!(second, ["Class 2", "Class 1"]);
    let (last, next) = list(&hall, &format!("?search=class&limit=2&after={}", next.as_str().expect("there is one more")));
    assert_eq!((last, next), (vec!["Class 0".to_owned()], Value::Null));
    assert_eq!(list(&hall, "?limit=6").1, Value::Null, "as many as there are is all of them");
}

fn what_cannot_be_looked_for_is_refused(backend: Backend) {
    let hall = Hall::open(backend);
    make(&hall, "Friday");
    let get = |query: &str| hall.office("GET", &format!("/api/v1/events?{query}"), Value::Null);
    for (query, status, code) in [
        (format!("search={}", "gotcha".repeat(51)), 422, "search_long"),
        (format!("search={}", "%CC%81".repeat(4_000)), 422, "search_long"),
        ("limit=0".into(), 422, "query_invalid"),
        ("limit=501".into(), 422, "query_invalid"),
        ("limit=-1".into(), 422, "query_invalid"),
        ("limit=gotcha".into(), 422, "query_invalid"),
        ("gotcha=1".into(), 422, "query_invalid"),
        ("after=gotcha".into(), 404, "not_found"),
        ("after=0000000000001".into(), 404, "event_unknown"),
    ] {
        refused(&query, status, code, || get(&query));
    }
    // Signs without a form, and bytes that are no text, are nothing to look for or nothing that is found; never an error of ours.
    for query in ["search=%00", "search=%E2%80%8B%CC%81", "search=%F0%9F%98%80", "search='%3B--"] {
        get(query).expect(200);
    }
    assert!(matches!(get("search=%FF%FE").status, 200 | 422));
}

fn reports(server: &Server) -> Vec<Value> {
    server.office("GET", "/api/v1/rehearsals", Value::Null).expect(200).json()["rehearsals"].as_array().expect("a list").clone()
}

/// So that the back office can say where to rehearse, also when it was opened on an address that only this machine has.
#[test]
fn a_rehearsal_is_told_where_the_audience_comes_in_if_that_is_known() {
    let listed = |hall: &Hall| hall.office("GET", "/api/v1/rehearsals", Value::Null).expect(200).json();
    let known = Hall::open_with(Backend::Embedded, &["--public-url", "https://vote.example.org"]);
    assert_eq!(listed(&known), json!({"rehearsals": [], "public_url": "https://vote.example.org"}));
    assert_eq!(listed(&Hall::open(Backend::Embedded)), json!({"rehearsals": []}), "a guess is nothing to be told");
}

fn report() -> Value {
    serde_json::from_str(REPORT).expect("JSON")
}

fn a_report_is_kept_and_shown_when_the_rehearsal_is_gone(backend: Backend) {
    let hall = Hall::open(backend);
    assert!(reports(&hall).is_empty());
    let event = rehearsal_event(&hall);
    let path = format!("/api/v1/events/{}/rehearsal", event.id);
    let id = hall.office("PUT", &path, report()).expect(200).json()["id"].as_str().unwrap().to_owned();
    hall.office("DELETE", &format!("/api/v1/events/{}", event.id), Value::Null).expect(204);
    let listed = reports(&hall);
    let mut line = listed[0].clone();
    let kept_at = line.as_object_mut().unwrap().remove("kept_at").and_then(|at| at.as_i64());
    assert!(listed.len() == 1 && kept_at.is_some_and(|at| at > 1_700_000_000_000), "{listed:?}");
    assert_eq!(
        line,
        json!({"id": id, "event": event.id, "title": "Dry run", "at": 1_764_000_000_000i64, "groundswell": "0.1.0", "verdict": "kept", "fit": "fits",
            "voters": 3_000, "over_ms": 1_000, "counted_ms": 2_179, "lost": 0})
    );
    let shown = hall.office("GET", &format!("/api/v1/rehearsals/{id}"), Value::Null).expect(200);
    assert_eq!(shown.header("content-type"), Some("application/json"));
    assert_eq!(shown.json(), report(), "as it was handed in");
    assert_eq!(hall.office("GET", "/api/v1/rehearsals/0000000000007", Value::Null).expect(404).code(), "report_unknown");
    assert_eq!(hall.office("PUT", &path, report()).expect(404).code(), "event_unknown", "there is nothing left to report on");
}

fn what_is_no_report_is_refused_and_not_kept(backend: Backend) {
    let hall = Hall::open(backend);
    let (event, people) = (rehearsal_event(&hall), hall.event());
    let put = |event: &str, body: &Value| hall.office("PUT", &format!("/api/v1/events/{event}/rehearsal"), body.clone());
    let with = |pointer: &str, value: Value| {
        let mut report = report();
        *report.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is in a report")) = value;
        report
    };
    let long: Vec<String> = vec!["w".repeat(1_000); 70];
    for (what, body, status, code) in [
        ("of another version", with("/report", json!(2)), 422, "report_version"),
        ("clean and broken", with("/verdict", json!("broken")), 422, "report_invalid"),
        ("before all times", with("/at", json!(-1)), 422, "report_invalid"),
        ("of tomorrow's tomorrow", with("/at", json!(4_000_000_000_000i64)), 422, "report_invalid"),
        ("within less than no time", with("/plan/over_s", json!(-1.0)), 422, "report_invalid"),
        ("counted after the end of all things", with("/counting/last_counted_s", json!(1e308)), 422, "report_invalid"),
        ("of answers before their questions", with("/answers/from_tap/p99", json!(-3.5)), 422, "report_invalid"),
        ("with books below zero", with("/books/received", json!(-1)), 422, "report_invalid"),
        ("too long", with("/warnings", json!(long)), 413, "report_large"),
        ("with a word nobody knows", with("/fit/word", json!("gotcha")), 422, "json_invalid"),
        ("with a bottleneck nobody knows", with("/limit/what", json!("gotcha")), 422, "json_invalid"),
        ("with fewer than no voters", with("/plan/voters", json!(-3)), 422, "json_invalid"),
        ("with a part nobody knows", with("/check", json!({"gotcha": 1})), 422, "json_invalid"),
        ("with half a point", with("/timeline", json!([{"s": 1.0}])), 422, "json_invalid"),
        ("without anything", json!({}), 422, "json_invalid"),
    ] {
        refused(what, status, code, || put(&event.id, &body));
    }
    refused("of people's event", 409, "not_rehearsal", || put(&people.id, &report()));
    refused("of no event", 404, "event_unknown", || put("0000000000001", &report()));
    assert!(reports(&hall).is_empty());
    put(&event.id, &report()).expect(200);
}

fn a_rehearsal_hands_its_report_in(backend: Backend) {
    let hall = Hall::open(backend);
    let place = std::sync::Mutex::new(String::new());
    let plan = Plan { voters: 60, metrics_url: Some(format!("http://{}/metrics", hall.metrics)), ..plan(&hall) };
    let report = rehearse(&plan, |moment| {
        if let Moment::HandedIn { url } = moment {
            *place.lock().unwrap() = url.clone();
        }
    });
    let report = report.expect("it runs");
    assert!(report.clean && !report.warnings.iter().any(|w| w.contains("back office")), "{:?}", report.warnings);
    let listed = reports(&hall);
    let [line] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!(
        (&line["verdict"], &line["voters"], &line["lost"], &line["title"]),
        (&json!("kept"), &json!(60), &json!(0), &json!("Rehearsal: 60 within 400 ms"))
    );
    let id = line["id"].as_str().unwrap();
    let url = place.into_inner().unwrap();
    assert!(url.starts_with("http://") && url.ends_with(&format!("/admin/rehearsals/{id}")), "{url}");
    let shown = hall.office("GET", &format!("/api/v1/rehearsals/{id}"), Value::Null).expect(200).json();
    let files = serde_json::to_value(&report).unwrap();
    for part in ["at", "plan", "check", "books", "fit", "limit", "verdict"] {
        assert_eq!(shown[part].to_string(), files[part].to_string(), "what the files would say");
    }
    let lengths = |report: &Value| ["timeline", "curve", "staleness"].map(|part| report[part].as_array().map(Vec::len));
    assert_eq!((lengths(&shown), shown["metrics"].as_object().map(|m| m.len())), (lengths(&files), Some(report.metrics.len())));
}

/// Answers what an older server answers to a report, and passes everything else on.
fn older(server: SocketAddr) -> SocketAddr {
    let door = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = door.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut inside in door.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut begin = [0; 256];
                let read = inside.peek(&mut begin).unwrap_or(0);
                let head = String::from_utf8_lossy(&begin[..read]).into_owned();
                if head.starts_with("PUT ") && head.contains("/rehearsal ") {
                    let mut body = vec![0; 256 * 1_024];
                    let _ = inside.read(&mut body);
                    let problem =
                        r#"{"type":"about:blank","title":"Not Found","status":404,"code":"not_found","detail":"There is nothing under this address."}"#;
                    let answer = format!("HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{problem}", problem.len());
                    let _ = inside.write_all(answer.as_bytes());
                    // Until the other side has read it: an early close would reset it.
                    while inside.read(&mut body).is_ok_and(|read| read > 0) {}
                    return;
                }
                let outside = TcpStream::connect(server).expect("the server is there");
                let (mut up, mut down) = ((inside.try_clone().unwrap(), outside.try_clone().unwrap()), (outside, inside));
                std::thread::spawn(move || (std::io::copy(&mut up.0, &mut up.1), up.1.shutdown(std::net::Shutdown::Both)));
                let _ = (std::io::copy(&mut down.0, &mut down.1), down.1.shutdown(std::net::Shutdown::Both));
            });
        }
    });
    address
}

fn a_server_that_keeps_no_reports_costs_no_rehearsal(backend: Backend) {
    let hall = Hall::open(backend);
    let report = rehearse(&Plan { url: format!("http://{}", older(hall.address)), voters: 50, ..plan(&hall) }, |_| {}).expect("it runs");
    assert_eq!((report.verdict, report.clean), (Outcome::Kept, true), "{report:?}");
    let [warning] = &report.warnings[..] else { panic!("{:?}", report.warnings) };
    assert!(warning.contains("back office") && warning.contains("older than this command"), "{warning}");
    assert!(reports(&hall).is_empty());
    until("the rehearsal is removed all the same", || {
        hall.office("GET", "/api/v1/events?rehearsal=true", Value::Null).expect(200).json()["events"].as_array().is_some_and(Vec::is_empty)
    });
}

/// The command: one line, and the exit code of the rehearsal.
#[test]
fn the_command_says_in_one_line_where_its_report_is_or_why_not() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let server = Process::start(directory.path());
    for (address, wanted, never) in [
        (server.address, "report    in the back office: http://", "warning"),
        (older(server.address), "warning: The server does not show this report", "report    in"),
    ] {
        let done = run(&mut command(directory.path(), &["rehearse", "--url", &format!("http://{address}"), "--voters", "50", "--over", "100ms"]));
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(0), "{said}");
        assert_eq!(said.lines().filter(|line| line.starts_with(wanted)).count(), 1, "{said}");
        assert!(!said.contains(never), "{said}");
    }
}

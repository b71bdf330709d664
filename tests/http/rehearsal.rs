//! Rehearsals, end to end: an audience votes through the front door, and every answer is checked. Also what a rehearsal must never do.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use groundswell::rehearsal::{self, Moment, Plan, Report, Shape};
use groundswell::wire::rehearsal::{Fits, Outcome};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::client::Line;
use crate::hall::{Event, Hall, drained};
use crate::on_both;
use crate::process::{Process, command, run};
use crate::support::{Backend, Place, Server, TOKEN, runtime, until};

on_both![
    a_rehearsal_votes_watches_and_finds_nothing_lost,
    a_ballot_that_disappears_is_found_lost,
    a_ballot_that_nobody_sent_is_found_unexpected,
    a_rehearsal_that_is_stopped_checks_what_was_sent,
    changes_of_mind_that_a_stop_prevents_are_named,
    an_event_that_is_no_rehearsal_is_refused_and_stays_as_it_was,
    what_fails_around_a_rehearsal_costs_no_report,
    a_rehearsal_that_cannot_be_set_up_leaves_nothing,
    a_rehearsal_that_nobody_answers_proves_nothing,
    streams_that_break_off_break_no_promise,
    a_removed_rehearsal_leaves_nothing_and_touches_nothing_else,
    ballots_come_as_a_table_of_any_length,
];

pub fn plan(server: &Server) -> Plan {
    Plan {
        url: format!("http://{}", server.address),
        token: TOKEN.into(),
        voters: 500,
        over: Duration::from_millis(400),
        shape: Shape::Wave,
        viewers: 12,
        connections: 40,
        threads: 2,
        change: 20.0,
        repeat: 10.0,
        choices: 4,
        seed: 7,
        event: None,
        metrics_url: None,
        keep: false,
        i_operate_this_server: false,
    }
}

pub fn rehearse(plan: &Plan, look: impl Fn(&Moment) + Sync) -> anyhow::Result<Report> {
    runtime().block_on(rehearsal::run(plan, CancellationToken::new(), &|moment| look(&moment)))
}

fn rehearsals(server: &Server) -> Vec<Value> {
    server.office("GET", "/api/v1/events?rehearsal=true", Value::Null).expect(200).json()["events"].as_array().expect("a list").clone()
}

fn events(server: &Server) -> Vec<Value> {
    server.office("GET", "/api/v1/events", Value::Null).expect(200).json()["events"].as_array().expect("a list").clone()
}

fn a_rehearsal_votes_watches_and_finds_nothing_lost(backend: Backend) {
    let hall = Hall::open(backend);
    let listed = Mutex::new((0, 0));
    let plan = Plan { metrics_url: Some(format!("http://{}/metrics", hall.metrics)), ..plan(&hall) };
    let report = rehearse(&plan, |moment| {
        if let Moment::Final { .. } = moment {
            *listed.lock().unwrap() = (events(&hall).len(), rehearsals(&hall).len());
        }
    })
    .expect("it runs");
    assert_eq!(*listed.lock().unwrap(), (0, 1), "not among people's events, but among rehearsals");
    let (a, c, b) = (&report.answers, &report.check, &report.books);
    assert!(report.clean && report.is_clean(), "{report:?}");
    assert_eq!((c.voters, c.answered, c.lost, c.wrong, c.unexpected, c.phantom, c.doubled, c.books), (500, 500, 0, 0, 0, 0, 0, 0));
    assert_eq!((report.joining.people, a.people, b.counted), (500, 500, 500));
    // A fifth changed their mind, a tenth sent twice: all of it is in the books.
    assert!(a.accepted > 560 && a.accepted < 640 && a.repeats > 25, "{a:?}");
    assert_eq!(b.received, b.counted + b.superseded + b.duplicate, "{b:?}");
    assert!(b.superseded as u64 >= a.accepted - a.people && b.received as u64 >= a.accepted, "{b:?}");
    assert_eq!((a.not_sent, a.given_up, a.contradicted, report.stopped_early), (0, 0, 0, false));
    assert!(a.from_tap.count == a.accepted && a.from_tap.p50 > 0.0 && a.from_tap.p50 <= a.from_tap.p99 && a.from_tap.p99 <= a.from_tap.max, "{a:?}");
    assert!(report.freshness.viewers == 12 && report.freshness.sampled == 8 && report.freshness.events >= 12, "{:?}", report.freshness);
    assert_eq!(report.freshness.from_accepted.count, 8 * 500, "every vote was shown to every sampled viewer");
    assert!(report.timeline.last().is_some_and(|p| (p.tapped, p.accepted, p.counted) == (500, 500, 500)), "{:?}", report.timeline.last());
    assert!(report.timeline.is_sorted_by(|a, b| a.s < b.s && a.accepted <= b.accepted && a.counted <= b.counted));
    assert!(report.metrics.keys().any(|name| name.contains("accepted_total")), "{:?}", report.metrics);
    assert!(report.counting.finished && report.fit.word != Fits::Unproven && !report.limit.why.is_empty());
    assert!(rehearsals(&hall).is_empty() && events(&hall).is_empty(), "it went as it came");

    let directory = tempfile::TempDir::new().expect("a directory");
    report.write(directory.path()).expect("the report is written");
    let json: Value = serde_json::from_slice(&std::fs::read(directory.path().join("report.json")).unwrap()).expect("JSON");
    assert_eq!((&json["report"], &json["check"]["lost"], &json["clean"]), (&json!(1), &json!(0), &json!(true)));
    let html = std::fs::read_to_string(directory.path().join("report.html")).unwrap();
    assert!(html.contains("<svg") && html.contains("500 people voting within 400 ms") && html.contains("prefers-color-scheme: dark"));
    // It opens from a disk: nothing is loaded, nothing runs.
    for never in ["<script", "src=", "@import", "url(", "NaN", "inf"] {
        assert!(!html.contains(never), "{never}");
    }
}

/// Behind the server's back, when all is counted and nothing has been checked.
fn tampered(backend: Backend, sql: fn(i64) -> String) -> Report {
    let hall = Hall::open(backend);
    let report = rehearse(&plan(&hall), |moment| {
        if let Moment::Final { poll } = moment {
            assert_eq!(hall.place.execute(&sql(number_of(poll))), 1);
        }
    });
    report.expect("it runs to its end")
}

/// What the database calls a poll or an event.
fn number_of(id: &str) -> i64 {
    id.parse::<groundswell::domain::PollId>().expect("an id").0
}

fn a_ballot_that_disappears_is_found_lost(backend: Backend) {
    let report = tampered(backend, |poll| {
        format!("delete from ballot where poll = {poll} and voter = (select voter from ballot where poll = {poll} order by voter limit 1)")
    });
    assert_eq!((report.check.lost, report.clean), (1, false), "{:?}", report.check);
    assert!(report.check.doubled > 0 && report.check.examples.iter().any(|e| e.starts_with("lost: voter ")), "{:?}", report.check);
    assert_eq!(report.fit.word, Fits::TooMany);
}

fn a_ballot_that_nobody_sent_is_found_unexpected(backend: Backend) {
    // A voter whose id was never given out: the id of a ballot.
    let report = tampered(backend, |poll| {
        format!(
            "insert into ballot (poll, round, voter, ballot, revision, picks, accepted_at)
             select poll, round, ballot, voter, revision, picks, accepted_at from ballot where poll = {poll} order by voter limit 1"
        )
    });
    assert_eq!((report.check.unexpected, report.check.lost, report.clean), (1, 0, false), "{:?}", report.check);
}

fn a_rehearsal_that_is_stopped_checks_what_was_sent(backend: Backend) {
    let hall = Hall::open(backend);
    let plan = Plan { voters: 2_000, over: Duration::from_secs(600), change: 0.0, repeat: 0.0, shape: Shape::Step, ..plan(&hall) };
    let stop = CancellationToken::new();
    let report = runtime().block_on(rehearsal::run(&plan, stop.clone(), &|moment| {
        if let Moment::Storm { reading, .. } = moment
            && reading.accepted >= 3
        {
            stop.cancel();
        }
    }));
    let report = report.expect("it ends in good order");
    assert!(report.clean && report.stopped_early && report.fit.word == Fits::Unproven, "{report:?}");
    let answered = report.check.answered;
    assert!((3..2_000).contains(&answered) && report.books.counted as u64 == answered, "{:?}", report.check);
    assert_eq!(report.answers.not_sent, 2_000 - answered);
    assert!(rehearsals(&hall).is_empty());
}

fn changes_of_mind_that_a_stop_prevents_are_named(backend: Backend) {
    let hall = Hall::open(backend);
    let plan = Plan { voters: 400, over: Duration::from_secs(600), change: 100.0, repeat: 0.0, shape: Shape::Step, ..plan(&hall) };
    let stop = CancellationToken::new();
    let report = runtime().block_on(rehearsal::run(&plan, stop.clone(), &|moment| {
        if matches!(moment, Moment::Storm { reading, .. } if reading.accepted >= 2) {
            stop.cancel();
        }
    }));
    let a = report.expect("it ends in good order").answers;
    // Everybody wanted to: those who had tapped either did, or are named.
    assert!(a.changes_not_sent > 0 && a.accepted + a.changes_not_sent == 2 * a.people, "{a:?}");
}

fn an_event_that_is_no_rehearsal_is_refused_and_stays_as_it_was(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    let poll = event.poll(&hall, json!({}));
    let voter = event.voter(&hall);
    voter.vote(&hall, &poll, 1, 1, &[1]).expect(202);
    drained(&hall, &poll, 1);
    let before = hall.office("GET", &format!("/api/v1/events/{}", event.id), Value::Null).expect(200).json();
    let refused = rehearse(&Plan { event: Some(event.id.clone()), ..plan(&hall) }, |_| {}).expect_err("refused").to_string();
    assert!(refused.contains("is not a rehearsal"), "{refused}");
    assert_eq!(hall.office("GET", &format!("/api/v1/events/{}", event.id), Value::Null).expect(200).json(), before);
    // A real event keeps its rule: deleted, it hides, and its ballots stay.
    hall.office("DELETE", &format!("/api/v1/events/{}", event.id), Value::Null).expect(204);
    assert_eq!(hall.place.number("select count(*) from ballot"), 1);
    assert_eq!(hall.place.number("select count(*) from poll"), 1);
}

fn a_removed_rehearsal_leaves_nothing_and_touches_nothing_else(backend: Backend) {
    let hall = Hall::open(backend);
    let (event, other) = (hall.event(), rehearsal_event(&hall));
    let (poll, other_poll) = (event.poll(&hall, json!({})), other.poll(&hall, json!({})));
    for (event, poll) in [(&event, &poll), (&other, &other_poll)] {
        (0..3).for_each(|n| drop(event.voter(&hall).vote(&hall, poll, n + 1, 1, &[1]).expect(202)));
        drained(&hall, poll, 3);
    }
    let kept = rehearse(&Plan { voters: 50, keep: true, ..plan(&hall) }, |_| {}).expect("it runs");
    assert!(kept.clean);
    assert_eq!(rehearsals(&hall).len(), 2, "kept, because that was asked for");
    let kept = rehearsals(&hall).into_iter().find(|e| e["id"] != other.id.as_str()).expect("the new one");
    let id = kept["id"].as_str().unwrap();
    assert_eq!((kept["polls"].as_u64(), hall.place.number("select count(*) from ballot")), (Some(1), 56));
    // More than two steps of the removal.
    let poll_of = hall.office("GET", &format!("/api/v1/events/{id}"), Value::Null).expect(200).json()["polls"][0]["id"].as_str().unwrap().to_owned();
    fill(&hall, &poll_of, 12_003);
    hall.office("DELETE", &format!("/api/v1/events/{id}"), Value::Null).expect(204);
    assert_eq!(hall.office("GET", &format!("/api/v1/events/{id}"), Value::Null).expect(404).code(), "event_unknown");
    assert_eq!(hall.office("DELETE", &format!("/api/v1/events/{id}"), Value::Null).expect(404).code(), "event_unknown", "there is nothing left to remove");
    for (table, left) in [("ballot", 6), ("poll", 2), ("choice", 6), ("round", 2), ("late_ballot", 0)] {
        assert_eq!(hall.place.number(&format!("select count(*) from {table}")), left, "{table}");
    }
    for table in ["tally", "book"] {
        assert_eq!(hall.place.number(&format!("select count(distinct poll) from {table}")), 2, "{table}");
    }
    for (event, poll) in [(&event, &poll), (&other, &other_poll)] {
        assert_eq!(event.live(&hall)["polls"][0]["results"]["voters"], 3, "{poll}");
    }
    // One whose removal was broken off after it was hidden: the same call takes it up again.
    let broken_off = rehearsal_event(&hall);
    fill(&hall, &broken_off.draft(&hall, json!({})), 10);
    let hidden = number_of(&broken_off.id);
    assert_eq!(hall.place.execute(&format!("update event set deleted_at = 1 where id = {hidden}")), 1);
    hall.office("DELETE", &format!("/api/v1/events/{}", broken_off.id), Value::Null).expect(204);
    assert_eq!((hall.place.number("select count(*) from ballot"), hall.place.number("select count(*) from poll")), (6, 2));
    // Also while it is open, with a vote just accepted: nothing of it may come in behind the removal.
    other.voter(&hall).vote(&hall, &other_poll, 9, 1, &[1]).expect(202);
    hall.office("DELETE", &format!("/api/v1/events/{}", other.id), Value::Null).expect(204);
    assert_eq!(hall.place.number("select count(*) from ballot"), 3);
    assert_eq!(event.live(&hall)["polls"][0]["results"]["voters"], 3);
}

fn what_fails_around_a_rehearsal_costs_no_report(backend: Backend) {
    let hall = Hall::open(backend);
    // Figures that can be read once, and then no more.
    let once = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let metrics_url = Some(format!("http://{}/metrics", once.local_addr().unwrap()));
    let figures = std::thread::spawn(move || {
        let (mut line, _) = once.accept().expect("somebody asks");
        let _ = line.read(&mut [0; 1_024]).expect("a request");
        line.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 22\r\n\r\ngroundswell_a_total 1\n").expect("an answer");
    });
    let report = rehearse(&Plan { voters: 50, metrics_url, ..plan(&hall) }, |moment| {
        if let Moment::Removing { .. } = moment {
            // Somebody else was faster.
            let id = rehearsals(&hall)[0]["id"].as_str().unwrap().to_owned();
            hall.office("DELETE", &format!("/api/v1/events/{id}"), Value::Null).expect(204);
        }
    });
    let report = report.expect("there is a report");
    figures.join().expect("it was asked");
    assert!(report.clean && report.answers.people == 50, "{report:?}");
    let warned = |of: &str| report.warnings.iter().any(|w| w.contains(of));
    assert!(report.warnings.len() == 2 && warned("--metrics-url") && warned("is still there"), "{:?}", report.warnings);
}

fn a_rehearsal_that_cannot_be_set_up_leaves_nothing(backend: Backend) {
    let hall = Hall::open(backend);
    // More choices than a poll may have: the event is made before anybody says so.
    let refused = rehearse(&Plan { choices: 999, ..plan(&hall) }, |_| {}).expect_err("refused").to_string();
    assert!(refused.contains("/polls"), "{refused}");
    assert!(rehearsals(&hall).is_empty() && events(&hall).is_empty());
    let kept = rehearse(&Plan { choices: 999, keep: true, ..plan(&hall) }, |_| {}).expect_err("refused").to_string();
    assert!(kept.contains(rehearsals(&hall)[0]["id"].as_str().unwrap()), "{kept}");
}

fn a_rehearsal_that_nobody_answers_proves_nothing(backend: Backend) {
    let hall = Hall::open(backend);
    let report = rehearse(&Plan { voters: 50, ..plan(&hall) }, |moment| {
        // Everybody comes too late.
        if let Moment::Watching { .. } = moment {
            let id = rehearsals(&hall)[0]["id"].as_str().unwrap().to_owned();
            let event = hall.office("GET", &format!("/api/v1/events/{id}"), Value::Null).expect(200).json();
            let poll = event["polls"][0]["id"].as_str().unwrap().to_owned();
            hall.office("PUT", &format!("/api/v1/polls/{poll}/state"), json!({"state": "closed"})).expect(200);
        }
    });
    let report = report.expect("there is a report");
    assert_eq!((report.answers.accepted, report.verdict, report.is_clean()), (0, Outcome::Unchecked, false), "{report:?}");
}

/// Passes everything on, until the streams are cut; from then on only what is no stream.
struct Between {
    address: std::net::SocketAddr,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Between {
    fn before(server: std::net::SocketAddr) -> Between {
        let door = TcpListener::bind("127.0.0.1:0").expect("a port");
        let between = Between { address: door.local_addr().unwrap(), streams: Arc::default() };
        let streams = between.streams.clone();
        std::thread::spawn(move || {
            for inside in door.incoming().map_while(Result::ok) {
                let (streams, outside) = (streams.clone(), TcpStream::connect(server).expect("the server is there"));
                std::thread::spawn(move || {
                    let mut begin = [0; 256];
                    let read = inside.peek(&mut begin).unwrap_or(0);
                    if String::from_utf8_lossy(&begin[..read]).contains("/stream ") {
                        streams.lock().unwrap().push(inside.try_clone().unwrap());
                    }
                    let (mut up, mut down) = ((inside.try_clone().unwrap(), outside.try_clone().unwrap()), (outside, inside));
                    std::thread::spawn(move || (std::io::copy(&mut up.0, &mut up.1), up.1.shutdown(Shutdown::Both)));
                    let _ = (std::io::copy(&mut down.0, &mut down.1), down.1.shutdown(Shutdown::Both));
                });
            }
        });
        between
    }

    fn cut(&self) {
        self.streams.lock().unwrap().drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    }
}

fn streams_that_break_off_break_no_promise(backend: Backend) {
    let hall = Hall::open(backend);
    let between = Between::before(hall.address);
    let plan = Plan { url: format!("http://{}", between.address), voters: 100, ..plan(&hall) };
    let report = rehearse(&plan, |moment| {
        if let Moment::Storm { .. } = moment {
            between.cut();
        }
    });
    let report = report.expect("there is a report");
    assert_eq!((report.verdict, report.check.doubled, report.books.counted, report.freshness.broken), (Outcome::Kept, 0, 100, 13), "{report:?}");
    assert!(report.counting.finished && report.warnings.iter().any(|w| w.contains("not compared")), "{:?}", report.warnings);
}

pub fn rehearsal_event(hall: &Hall) -> Event {
    let event = hall.office("POST", "/api/v1/events", json!({"title": "Dry run", "rehearsal": true})).expect(201).json();
    assert_eq!(event["rehearsal"], true);
    let text = |name: &str| event[name].as_str().expect("text").to_owned();
    Event { id: text("id"), code: text("code") }
}

/// Ballots behind the server's back: many more than a test could cast.
fn fill(hall: &Hall, poll: &str, ballots: i64) {
    let (from, chance) = match hall.place.backend {
        Backend::Embedded => {
            (format!("(with recursive n(i) as (select 1 union all select i + 1 from n where i < {ballots}) select i from n) n"), "randomblob(16)")
        }
        Backend::Distributed => (format!("generate_series(1, {ballots}) n"), "gen_random_uuid()"),
    };
    let insert = "insert into ballot (poll, round, voter, ballot, revision, picks, accepted_at)";
    let id = number_of(poll);
    assert_eq!(hall.place.execute(&format!("{insert} select {id}, 1, {chance}, {chance}, 1, '2', 0 from {from}")), ballots as u64);
}

fn ballots_come_as_a_table_of_any_length(backend: Backend) {
    // More than two pages of the export, and not a whole number of them.
    const BALLOTS: i64 = 17_003;
    let hall = Hall::open(backend);
    let event = hall.event();
    let poll = event.poll(&hall, json!({"kind": "multiple"}));
    let voter = event.voter(&hall);
    voter.vote(&hall, &poll, 1, 3, &[3, 1]).expect(202);
    drained(&hall, &poll, 1);
    fill(&hall, &poll, BALLOTS - 1);
    let table = |path: &str| Line::to(&hall).ask("GET", path, &[("authorization", &format!("Bearer {TOKEN}"))], None).expect(200);
    let answer = table(&format!("/api/v1/polls/{poll}/ballots.csv"));
    assert_eq!((answer.header("content-type"), answer.header("cache-control")), (Some("text/csv; charset=utf-8"), Some("no-store")));
    let mut reader = csv::Reader::from_reader(answer.body.as_bytes());
    assert_eq!(reader.headers().unwrap(), vec!["voter", "ballot", "revision", "picks", "accepted_at"]);
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len() as i64, BALLOTS);
    assert!(rows.windows(2).all(|w| w[0][0] < w[1][0]), "each voter once, in order");
    let mine = rows.iter().find(|r| r[0] == *voter.id).expect("my ballot");
    assert_eq!((&mine[2], &mine[3]), ("3", format!("{poll}-1 {poll}-3").as_str()));
    let empty = table(&format!("/api/v1/polls/{}/ballots.csv", event.poll(&hall, json!({}))));
    assert_eq!(empty.body, "voter,ballot,revision,picks,accepted_at\r\n");
    for round in ["0", "2", "4294967295"] {
        assert_eq!(hall.office("GET", &format!("/api/v1/polls/{poll}/ballots.csv?round={round}"), Value::Null).expect(404).code(), "round_unknown");
    }
}

/// The quiet kind of show: longer than a server waits for the first word on a connection.
#[test]
fn a_slow_audience_on_many_connections_is_answered_to_the_last() {
    let hall = Hall::open(Backend::Embedded);
    let plan = Plan { voters: 50, connections: 50, over: Duration::from_secs(15), shape: Shape::Step, change: 0.0, repeat: 0.0, ..plan(&hall) };
    let a = rehearse(&plan, |_| {}).expect("it runs").answers;
    assert_eq!((a.people, a.refused, a.resets, a.timeouts, a.statuses.get(&408)), (50, 0, 0, 0, None), "{a:?}");
}

#[test]
fn a_host_that_is_not_this_machine_is_refused_unless_it_is_ones_own() {
    let directory = tempfile::TempDir::new().expect("a directory");
    // TEST-NET-1: nobody is there, and nothing may be sent to find out.
    let args = ["rehearse", "--url", "http://192.0.2.1:8080", "--voters", "10"];
    let refused = run(&mut command(directory.path(), &args));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("--i-operate-this-server"), "{said}");
}

#[test]
fn impossible_rehearsals_are_refused_with_the_name_of_the_setting() {
    let directory = tempfile::TempDir::new().expect("a directory");
    for (args, name) in [
        (&["--voters", "0"][..], "--voters"),
        (&["--over", "soon"], "--over"),
        (&["--shape", "circle"], "--shape"),
        (&["--change", "110%"], "--change"),
        (&["--choices", "1"], "--choices"),
        (&["--url", "ftp://127.0.0.1"], "--url"),
        // Nobody listens there: the directory is looked at first.
        (&["--url", "http://127.0.0.1:9", "--report", "/dev/null/report"], "--report"),
        (&["--url", "http://127.0.0.1:9", "--viewers", "100000000"], "--viewers"),
    ] {
        let refused = run(&mut command(directory.path(), &[&["rehearse"], args].concat()));
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(name), "{args:?}: {said}");
    }
    let mut without = command(directory.path(), &["rehearse"]);
    let refused = run(without.env_remove("GROUNDSWELL_API_TOKEN"));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--token"), "{refused:?}");
}

/// The command itself: progress, a page, files, and an exit code.
#[test]
fn the_command_reports_and_exits_as_the_check_says() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let server = Process::start(directory.path());
    let url = format!("http://{}", server.address);
    let report = directory.path().join("report");
    let args = ["rehearse", "--url", &url, "--voters", "200", "--over", "300ms", "--shape", "ramp", "--viewers", "5", "--report", report.to_str().unwrap()];
    let done = run(&mut command(directory.path(), &args));
    let (page, progress) = (String::from_utf8_lossy(&done.stdout).into_owned(), String::from_utf8_lossy(&done.stderr).into_owned());
    assert_eq!(done.status.code(), Some(0), "{page}\n{progress}");
    assert!(page.contains("lost 0") && page.contains("An audience of 200 voting within 300 ms") && page.contains("nothing lost, nothing invented"), "{page}");
    for step in ["rehearsal ", "joined ", "watching ", "answered ", "final ", "removing "] {
        assert!(progress.lines().any(|line| line.starts_with(step)), "{step}: {progress}");
    }
    assert!(!progress.contains('\r') && !progress.contains('\u{1b}'), "nobody looks: plain lines");
    assert!(report.join("report.json").exists() && report.join("report.html").exists());
    // A row goes missing while it runs: the exit code says so.
    let mut child = command(directory.path(), &["rehearse", "--url", &url, "--voters", "300", "--over", "300ms"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("runs");
    let mut place = Place::new(Backend::Embedded);
    place.database_url = format!("sqlite://{}/groundswell.db", directory.path().display());
    until("a ballot is counted, and taken away behind the server's back", || {
        place.execute("delete from ballot where voter = (select max(voter) from ballot) and (select count(*) from ballot) = 300") == 1
    });
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
}

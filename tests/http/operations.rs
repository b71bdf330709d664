//! What operators rely on: probes and metrics, refusals that name the setting, commands.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use groundswell::rehearsal::served::Office;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::client::Line;
use crate::hall::{Hall, drained};
use crate::on_both;
use crate::overload::Hung;
use crate::process::{Process, command, run};
use crate::show::as_owner;
use crate::support::{Backend, Place, Server, TOKEN, until};

on_both![
    probes_and_metrics_tell_how_it_is,
    every_metric_is_in_the_documentation_and_nothing_else,
    a_recount_compares_what_a_running_server_shows,
    a_wrong_number_of_lanes_is_refused,
    an_owner_from_the_settings_can_sign_in,
];

fn probes_and_metrics_tell_how_it_is(backend: Backend) {
    let hall = Hall::open(backend);
    assert_eq!(hall.get("/livez").expect(200).body, "ok\n");
    assert_eq!(hall.get("/readyz").expect(200).body, "ready\n");
    let event = hall.event();
    let poll = event.poll(&hall, json!({}));
    event.voter(&hall).vote(&hall, &poll, 1, 1, &[1]).expect(202);
    drained(&hall, &poll, 1);
    let status = hall.get("/status").expect(200);
    assert!(status.header("content-type") == Some("text/html; charset=utf-8") && status.body.contains(env!("CARGO_PKG_VERSION")), "{status:?}");
    let metrics = Line::at(hall.metrics).ask("GET", "/metrics", &[], None).expect(200);
    assert!(metrics.header("content-type").is_some_and(|t| t.starts_with("text/plain")), "{metrics:?}");
    for name in [
        "groundswell_ballots_accepted_total",
        "groundswell_ballots_tallied_total{fate=\"counted\"}",
        "groundswell_batch_safe_seconds_bucket",
        "groundswell_live_age_seconds",
        "groundswell_viewers{kind=\"audience\"}",
        "groundswell_viewers_refused_total{why=\"full\"}",
    ] {
        assert!(metrics.body.lines().any(|line| line.starts_with(name)), "no {name}");
    }
    // Nothing that tells who voted or how.
    assert!(!metrics.body.contains(&poll) && !metrics.body.contains(&event.code) && !metrics.body.contains("127.0.0.1"));
    assert_eq!(hall.get("/metrics").expect(404).code(), "not_found", "not for the public");
    assert_eq!(Line::at(hall.metrics).ask("GET", "/api/v1/events", &[], None).status, 404, "and nothing else is on the other listener");
}

fn every_metric_is_in_the_documentation_and_nothing_else(backend: Backend) {
    type Row = (String, String, BTreeSet<String>);
    let documented: Vec<(Row, String)> = include_str!("../../docs/metrics.md")
        .lines()
        .filter(|line| line.starts_with("| `groundswell_"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [name, kind, _, labels, place, meaning] = cells[..] else { panic!("six columns: {line}") };
            assert!(!meaning.is_empty(), "{line}");
            let labels = labels.split(", ").filter(|label| !label.is_empty()).map(|label| label.trim_matches('`').to_owned()).collect();
            ((name.trim_matches('`').to_owned(), kind.to_owned(), labels), place.to_owned())
        })
        .collect();
    let hall = Hall::open(backend);
    let event = hall.event();
    let poll = event.poll(&hall, json!({}));
    event.voter(&hall).vote(&hall, &poll, 1, 1, &[1]).expect(202);
    drained(&hall, &poll, 1);
    // One more word where it is not everywhere; and what there is only after a fault.
    let elsewhere = if backend == Backend::Distributed { "sqlite" } else { "broker" };
    let here = |place: &str, name: &str| !place.contains(elsewhere) && name != "groundswell_spill_commit_seconds";
    let expected: BTreeSet<&Row> = documented.iter().filter(|((name, ..), place)| here(place, name)).map(|(row, _)| row).collect();
    let all: BTreeSet<&Row> = documented.iter().map(|(row, _)| row).collect();
    let mut last = BTreeSet::new();
    until("every documented metric is exposed", || {
        last = exposed(&Line::at(hall.metrics).ask("GET", "/metrics", &[], None).expect(200).body);
        let unknown: Vec<&Row> = last.iter().filter(|row| !all.contains(row)).collect();
        assert!(unknown.is_empty(), "not in docs/metrics.md, or otherwise: {unknown:?}");
        let missing: Vec<&&Row> = expected.iter().filter(|row| !last.contains(**row)).collect();
        if !missing.is_empty() {
            eprintln!("not yet: {missing:?}");
        }
        missing.is_empty()
    });
}

/// In words, and from memory: whoever looks when something is wrong must not make it worse.
#[test]
fn the_status_page_says_what_is_wrong_and_what_to_do() {
    let hall = Hall::open(Backend::Embedded);
    let event = hall.event();
    let poll = event.poll(&hall, json!({}));
    let voter = event.voter(&hall);
    let page = || hall.get("/status").expect(200).body;
    until("all is well", || page().contains("<h1>All is well</h1>"));
    let hung = Hung::at(&hall.place);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| voter.vote(&hall, &poll, 1, 1, &[1]));
        until("it says that votes are refused, and what to look at", || {
            let page = page();
            page.contains("<h1>Votes cannot be taken right now</h1>") && page.contains("Is there room on its disk?")
        });
        let took = (0..10).map(|_| hall.get("/status").expect(200).took).min().expect("ten");
        assert!(took < std::time::Duration::from_millis(50), "{took:?}");
        hung.let_go();
        waiting.join().unwrap();
    });
    until("all is well again", || page().contains("<h1>All is well</h1>"));
    // Somebody fell silent an hour ago, with votes.
    let silent = Uuid::new_v4();
    hall.place.execute(&format!(
        "insert into lane_mark (instance, lane, through, ahead, last, clock, counted_to, ended, heard) values (x'{}', 0, 1, '', 3, 1, 1, false, 1)",
        silent.simple()
    ));
    until("it says who has not reported", || page().contains(&format!("<code>{silent}</code>")) && page().contains("groundswell forget"));
}

/// What a server shows is compared too: while nobody votes, while everybody does, and when somebody has changed a number behind its back.
fn a_recount_compares_what_a_running_server_shows(backend: Backend) {
    let hall = Hall::open(backend);
    let (event, quiet) = (hall.event(), hall.event());
    let still = quiet.poll(&hall, json!({"kind": "multiple"}));
    for n in 1..=3 {
        quiet.voter(&hall).vote(&hall, &still, n, 1, &[1, 2]).expect(202);
    }
    drained(&hall, &still, 3);
    let poll = event.poll(&hall, json!({}));
    let recount = || {
        crate::support::runtime().block_on(async {
            let office = Office::at(&hall.url(""), TOKEN).await.unwrap();
            let store = hall.place.store().await;
            let outcome = groundswell::recount::recount(&store, Some(&office)).await.unwrap();
            store.close().await;
            outcome
        })
    };
    let stop = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let voter = event.voter(&hall);
            for revision in 1.. {
                if stop.load(Ordering::Relaxed) > 0 {
                    break;
                }
                voter.vote(&hall, &poll, u128::from(revision), revision, &[(revision % 3 + 1) as u16]).expect(202);
            }
        });
        until("votes flow", || crate::hall::books(&hall, &poll)[0] > 20);
        let outcome = recount();
        stop.store(1, Ordering::Relaxed);
        assert_eq!(outcome.differences, [], "nothing differs while people vote");
        assert!(outcome.shown > 0, "the one at rest was compared: {outcome:?}");
    });
    until("everything is at rest", || {
        let outcome = recount();
        assert_eq!(outcome.differences, []);
        outcome.moving.is_empty() && outcome.ballots == 4
    });
    // A document drawn from a number that no ballot bears out.
    let number = still.parse::<groundswell::domain::PollId>().unwrap().0;
    hall.place.execute(&format!("update tally set votes = votes + 5 where poll = {number} and choice = 2"));
    hall.office("PATCH", &format!("/api/v1/polls/{still}"), json!({"question": "Which ones?"})).expect(200);
    until("it is found on every screen", || {
        let told: String = groundswell::recount::told(&recount()).join("\n");
        ["votes for choice 2 is", "in the live document", "in the presenter's document", "in results is", "in results.csv"]
            .iter()
            .all(|place| told.contains(place))
    });
}

#[test]
fn what_goes_wrong_on_our_side_has_a_number_that_stands_in_the_log() {
    let directory = TempDir::new().unwrap();
    let log = directory.path().join("log");
    let file = std::fs::File::create(&log).unwrap();
    let process = Process::logging(command(directory.path(), &[]).env("RUST_LOG", "info"), file.into());
    let answered = as_owner(&process, "GET", "/api/v1/events", Value::Null).expect(200);
    let number = answered.header("x-request-id").expect("a number").to_owned();
    assert!(number.len() == 8 && number.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{number}");
    let page = Line::at(process.address).ask("GET", "/", &[], None).expect(200);
    assert_eq!(page.header("x-request-id"), None, "what caches keep is everybody's");
    // A table is gone: nobody expected that.
    crate::support::runtime().block_on(async {
        use sqlx::Connection;
        let url = format!("sqlite://{}/groundswell.db", directory.path().display());
        let mut db = sqlx::SqliteConnection::connect(&url).await.unwrap();
        sqlx::query("alter table audit rename to gone").execute(&mut db).await.unwrap();
    });
    let failed = as_owner(&process, "POST", "/api/v1/events", json!({"title": "Friday"})).expect(500);
    let number = failed.json()["request"].as_str().expect("a number to quote").to_owned();
    assert_eq!(failed.header("x-request-id"), Some(number.as_str()));
    until("it stands in the log with its cause", || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let ours = |line: &&Value| line["span"]["id"] == json!(number) || line["request"] == json!(number);
        let ours: Vec<&Value> = lines.iter().filter(ours).collect();
        ours.iter().any(|line| line["level"] == "ERROR" && line["cause"].as_str().is_some_and(|cause| cause.contains("audit")))
            && ours.iter().any(|line| line["status"] == 500 && line["span"]["path"] == "/api/v1/events")
    });
    assert!(!failed.body.contains("audit"), "the cause is not for strangers: {}", failed.body);
}

/// Name, kind and labels of all that is exposed.
fn exposed(text: &str) -> BTreeSet<(String, String, BTreeSet<String>)> {
    let mut kinds: Vec<(&str, &str)> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    // The longest name first: one may begin as another does.
    kinds.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    let row = |line: &str| {
        let (name, labels) = line.rsplit_once(' ').expect("a value").0.split_once('{').unwrap_or((line.split_once(' ').expect("a value").0, ""));
        let fits = |known: &str, kind: &str| {
            name == known || (kind == "histogram" && ["_bucket", "_sum", "_count"].iter().any(|end| name.strip_suffix(end) == Some(known)))
        };
        let (name, kind) = kinds.iter().find(|(known, kind)| fits(known, kind)).unwrap_or_else(|| panic!("of no kind: {line}"));
        let labels = labels.trim_end_matches('}').split("\",").filter(|label| !label.is_empty());
        let labels = labels.map(|label| label.split_once('=').expect("a label").0.to_owned()).filter(|label| label != "le").collect();
        ((*name).to_owned(), (*kind).to_owned(), labels)
    };
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(row).collect()
}

fn a_wrong_number_of_lanes_is_refused(backend: Backend) {
    let place = Place::new(backend);
    Server::start_as(&place, "serve", &["--lanes", "4"]).stop();
    let mut args = place.args("serve");
    args.extend(["--lanes", "5"].map(str::to_owned));
    let config = groundswell::config::Config::from_args(args).expect("each for itself is right");
    let refused = crate::support::runtime().block_on(async { groundswell::app::Application::build(&config).await.err().expect("refused") });
    let sentence = format!("{refused:#}");
    assert!(sentence.contains("LANES") && sentence.contains('4'), "{sentence}");
    Server::start_as(&place, "serve", &["--lanes", "4"]).stop();
    Server::start(&place).get("/livez").expect(200);
}

fn an_owner_from_the_settings_can_sign_in(backend: Backend) {
    let place = Place::new(backend);
    let owner = ["--owner-email", "Ada@example.org", "--owner-password", "a few words in a row"];
    for _ in 0..2 {
        let server = Server::start_as(&place, "serve", &owner);
        assert!(!server.setup_link.contains("setup="), "{}", server.setup_link);
        assert_eq!(server.get("/api/v1/setup").expect(200).json(), json!({"needed": false}));
        let body = json!({"email": "ada@example.org", "password": "a few words in a row"}).to_string();
        server.call("POST", "/api/v1/session", &[("content-type", "application/json")], Some(&body)).expect(201);
    }
}

/// Starts the binary with these settings; it must refuse with a sentence that names the setting.
#[track_caller]
fn refuses(directory: &TempDir, settings: &[(&str, &str)], args: &[&str], names: &str) {
    let output = run(command(directory.path(), args).envs(settings.iter().copied()));
    let sentence = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{settings:?} {args:?} was taken");
    assert!(sentence.contains(names), "{settings:?} {args:?}: does not name {names}: {sentence}");
    assert!(!sentence.contains("panicked") && !sentence.contains("hush"), "{settings:?} {args:?}: {sentence}");
}

#[test]
fn an_impossible_setting_stops_the_start_by_name() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("nothing");
    let path = path.to_str().unwrap();
    for (settings, args, names) in [
        (&[("GROUNDSWELL_X", "hush")][..], &[][..], "GROUNDSWELL_X"),
        (&[("GROUNDSWELL_OWNER_PASWORD", "hush")], &[], "GROUNDSWELL_OWNER_PASWORD"),
        (&[("AMQP_URL", "amqp://hush@127.0.0.1:1")], &[], "AMQP_URL"),
        (&[("AMQP_URL", "http://hush@x")], &[], "AMQP_URL"),
        (&[("DATABASE_URL", "mysql://hush@x")], &[], "DATABASE_URL"),
        (&[("DATABASE_URL", "postgres://u:hush@127.0.0.1:1/x")], &[], "DATABASE_URL"),
        (&[("DATABASE_URL_FILE", path)], &[], "DATABASE_URL_FILE"),
        (&[("DATABASE_URL", "sqlite://x"), ("DATABASE_URL_FILE", path)], &[], "DATABASE_URL"),
        (&[("GROUNDSWELL_API_TOKEN", "hush")], &[], "GROUNDSWELL_API_TOKEN"),
        (&[("GROUNDSWELL_OWNER_EMAIL", "ada@example.org")], &[], "GROUNDSWELL_OWNER_PASSWORD"),
        (&[("GROUNDSWELL_OWNER_EMAIL", "ada@example.org"), ("GROUNDSWELL_OWNER_PASSWORD", "hush")], &[], "GROUNDSWELL_OWNER_PASSWORD"),
        (&[("PUBLIC_URL", "vote.example.org")], &[], "PUBLIC_URL"),
        (&[("TRUSTED_PROXIES", "nonsense")], &[], "TRUSTED_PROXIES"),
        (&[("PORT", "70000")], &[], "port"),
        (&[("PORT", "eighty")], &[], "port"),
        (&[("LANES", "0")], &[], "lanes"),
        (&[("HOST", "nonsense")], &[], "host"),
        (&[("VIEWERS_MAX", "some")], &[], "viewers-max"),
        (&[("VIEWERS_MAX", "1000000000")], &[], "VIEWERS_MAX"),
        (&[("CONNECTIONS_MAX", "100000000000")], &[], "CONNECTIONS_MAX"),
        (&[], &["--colour", "red"], "--colour"),
        (&[], &["serv"], "serv"),
        (&[], &["web"], "AMQP_URL"),
        (&[], &["tally"], "AMQP_URL"),
    ] {
        refuses(&directory, settings, args, names);
    }
    let help = run(&mut command(directory.path(), &["--help"]));
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    for name in [
        "DATABASE_URL",
        "AMQP_URL",
        "HOST",
        "PORT",
        "METRICS_PORT",
        "DATA_DIR",
        "PUBLIC_URL",
        "TRUSTED_PROXIES",
        "GROUNDSWELL_OWNER_EMAIL",
        "GROUNDSWELL_API_TOKEN_FILE",
        "LANES",
        "CONNECTIONS_MAX",
        "VIEWERS_MAX",
        "VIEWERS_PER_ADDRESS_MAX",
    ] {
        assert!(help.contains(name), "--help does not tell of {name}");
    }
    assert!(!help.contains(TOKEN), "--help shows a secret");
}

#[test]
fn a_place_that_is_taken_is_refused() {
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let running = Process::start(one.path());
    refuses(&one, &[], &[], "another groundswell process");
    let port = running.address.port().to_string();
    refuses(&two, &[("PORT", &port)], &[], "PORT");
    refuses(&two, &[("METRICS_PORT", &running.metrics().port().to_string())], &[], "METRICS_PORT");
    assert_eq!(Line::at(running.address).ask("GET", "/livez", &[], None).status, 200, "the first one goes on");
    let place = Place::new(Backend::Embedded);
    let _first = Server::start(&place);
    let config = groundswell::config::Config::from_args(place.args("serve")).unwrap();
    let refused = crate::support::runtime().block_on(async { groundswell::app::Application::build(&config).await.err().expect("refused") });
    assert!(format!("{refused:#}").contains("DATA_DIR"), "{refused:#}");
}

#[test]
fn the_commands_do_what_they_say() {
    let directory = TempDir::new().unwrap();
    let said = |args: &[&str]| {
        let output = run(&mut command(directory.path(), args));
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    for _ in 0..2 {
        let (code, text) = said(&["migrate"]);
        assert!(code == Some(0) && text.contains("newest version"), "{text}");
    }
    assert_eq!(said(&["recount"]), (Some(0), "0 counting ballots (one per voter and round) recounted, 0 differences\n".into()));
    assert_eq!(said(&["--version"]), (Some(0), format!("groundswell {}\n", env!("CARGO_PKG_VERSION"))));
    let mut running = Process::start(directory.path());
    let port = running.address.port().to_string();
    assert_eq!(said(&["healthcheck", "--port", &port]).0, Some(0));
    assert!(running.said.contains("/admin#setup=") && running.said.contains("one-time"), "{}", running.said);
    running.kill();
    assert_eq!(said(&["healthcheck", "--port", &port]).0, Some(1), "nobody is there");
    let again = Process::start(directory.path());
    assert_eq!(again.stop(), Some(0), "told to stop, it stops in good order");
}

#[test]
fn a_crowd_that_arrives_while_the_server_is_busy_waits_at_the_door() {
    // More than the 128 that a listener holds unless it is told otherwise.
    const CROWD: usize = 1_000;
    let directory = TempDir::new().unwrap();
    let process = Process::start(directory.path());
    process.signal("STOP");
    // A connection that finds no place is tried again by the kernel after one second, and then after two.
    let patience = std::time::Duration::from_millis(900);
    let crowd: Vec<_> =
        (0..CROWD).map(|n| std::net::TcpStream::connect_timeout(&process.address, patience).unwrap_or_else(|why| panic!("number {n}: {why}"))).collect();
    process.signal("CONT");
    assert_eq!(crowd.len(), CROWD);
    assert_eq!(Line::at(process.address).ask("GET", "/livez", &[], None).status, 200);
}

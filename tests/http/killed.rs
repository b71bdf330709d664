//! A server that is killed again and again while people vote.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::client::Line;
use crate::process::{Process, command, run};
use crate::show::{Show, as_owner};
use crate::support::until;

/// What a voter sent and what became of it, as far as the voter knows.
struct Attempt {
    bearer: String,
    body: String,
    revision: u64,
    accepted: bool,
}

#[test]
fn whatever_was_accepted_survives_a_kill() {
    const KILLS: usize = 10;
    const VOTERS: usize = 3;
    const ACCEPTED_PER_LIFE: usize = 120;
    let directory = TempDir::new().unwrap();
    let mut process = Process::start(directory.path());
    let Show { code, poll, .. } = Show::prepare(&process);
    let history: Mutex<Vec<Attempt>> = Mutex::default();
    for life in 0..KILLS {
        let (accepted, address) = (AtomicUsize::new(0), process.address);
        std::thread::scope(|scope| {
            for _ in 0..VOTERS {
                scope.spawn(|| vote_until_it_ends(&mut Line::at(address), &code, &poll, &accepted, &history));
            }
            // Another moment of the batch each time.
            until("votes are under way", || accepted.load(Ordering::Relaxed) >= ACCEPTED_PER_LIFE + life * 7);
            process.kill();
        });
        process = Process::start(directory.path());
    }
    let history = history.into_inner().unwrap();
    let mut line = Line::at(process.address);
    let mut unknown = 0;
    for attempt in &history {
        let headers = [("authorization", attempt.bearer.as_str()), ("content-type", "application/json")];
        let mine = line.ask("GET", &format!("/api/v1/polls/{poll}/ballots/mine"), &headers[..1], None);
        if attempt.accepted {
            assert!(mine.status == 200 && mine.json()["revision"].as_u64() >= Some(attempt.revision), "lost: {} {mine:?}", attempt.body);
        } else {
            // Unknown: the same ballot again settles it.
            unknown += 1;
            assert_eq!(line.ask("POST", &format!("/api/v1/polls/{poll}/ballots"), &headers, Some(&attempt.body)).status, 202);
        }
    }
    let voters: std::collections::BTreeSet<&str> = history.iter().map(|a| a.bearer.as_str()).collect();
    as_owner(&process, "PUT", &format!("/api/v1/polls/{poll}/state"), json!({"state": "closed"})).expect(200);
    let results = || as_owner(&process, "GET", &format!("/api/v1/polls/{poll}/results"), Value::Null).json();
    until("everything is counted", || results()["results"]["status"] == "final");
    let results = results();
    let books = &results["books"];
    let number = |key: &str| books[key].as_i64().expect("a number");
    assert_eq!(
        (number("counted") as usize, results["results"]["voters"].as_u64()),
        (voters.len(), Some(voters.len() as u64)),
        "{KILLS} kills, {unknown} unknown: {books}"
    );
    assert_eq!(number("received"), number("counted") + number("superseded") + number("duplicate") + number("late"), "{books}");
    assert!(number("duplicate") <= unknown && number("late") == 0 && number("received") >= history.len() as i64, "{unknown} unknown: {books}");
    assert_eq!(process.stop(), Some(0));
    let recount = run(&mut command(directory.path(), &["recount"]));
    assert_eq!(
        (recount.status.code(), String::from_utf8_lossy(&recount.stdout).into_owned()),
        (Some(0), format!("{} counting ballots (one per voter and round) recounted, 0 differences\n", voters.len()))
    );
}

/// One new voter after the other, each voting once and then differently, until the server is gone.
fn vote_until_it_ends(line: &mut Line, code: &str, poll: &str, accepted: &AtomicUsize, history: &Mutex<Vec<Attempt>>) {
    loop {
        let pass = line.ask("POST", &format!("/api/v1/live/{code}/passes"), &[], None);
        if pass.status != 201 {
            return;
        }
        let bearer = format!("Bearer {}", pass.json()["pass"].as_str().unwrap());
        for revision in 1..=2 {
            let body = json!({"ballot": Uuid::new_v4(), "revision": revision, "picks": [format!("{poll}-{revision}")]}).to_string();
            let answer =
                line.ask("POST", &format!("/api/v1/polls/{poll}/ballots"), &[("authorization", &bearer), ("content-type", "application/json")], Some(&body));
            let is_accepted = answer.status == 202;
            assert!(is_accepted || answer.status == 0, "{answer:?}");
            accepted.fetch_add(usize::from(is_accepted), Ordering::Relaxed);
            history.lock().unwrap().push(Attempt { bearer: bearer.clone(), body, revision, accepted: is_accepted });
            if !is_accepted {
                return;
            }
        }
    }
}

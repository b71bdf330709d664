//! Everything in one process on SQLite, killed with -9 again and again in the midst of its group commits.

use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use fastrand::Rng;
use groundswell::rehearsal::checker::Outcome;
use serde_json::json;
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

use crate::door::Door;
use crate::judge::{Report, Viewer, judge, keep_history, say};
use crate::one_at_a_time;
use crate::process::{Process, command_of, run};
use crate::support::{runtime, until};
use crate::voters::{Addresses, Crowd, Habits};

const KILLS: usize = 60;
/// Of the file as it was left, before anybody opened it.
const LOOK_EVERY: usize = 6;

pub fn kill_in_a_loop(binary: &Path, planted: Option<&str>, kills: usize, seed: u64) -> Report {
    let directory = TempDir::new().expect("a directory");
    let start = || {
        let mut command = command_of(binary, directory.path(), &[]);
        if let Some(planted) = planted {
            command.env("GROUNDSWELL_TEST_MISTAKE", planted);
        }
        Process::of(&mut command)
    };
    let mut rng = Rng::with_seed(seed);
    let mut process = start();
    let addresses: Addresses = Arc::new(vec![RwLock::new(process.address)]);
    let mut door = Door::nowhere().at(process.address);
    let event = door.owner("POST", "/api/v1/events", json!({"title": "Nemesis", "rehearsal": true})).expect(201).json();
    let text = |value: &serde_json::Value| value.as_str().expect("a string").to_owned();
    (door.event, door.code) = (text(&event["id"]), text(&event["code"]));
    let choices: Vec<String> = (1..=3).map(groundswell::rehearsal::evidence::choice_text).collect();
    let poll = json!({"kind": "single", "question": "Which?", "choices": choices});
    door.poll = text(&door.owner("POST", &format!("/api/v1/events/{}/polls", door.event), poll).expect(201).json()["id"]);
    door.set_state("open");
    let crowd = Crowd::join(&door, addresses.clone(), Habits { people: 8_000, per_second: 800, connections: 32, seed });
    let viewer = Viewer::watch(&door, addresses.clone());
    crowd.begin();
    let mut slowest = Duration::ZERO;
    for kill in 1..=kills {
        // Some votes, and then at any moment of a commit.
        let enough = crowd.answers().accepted + rng.u64(20..120);
        until("votes are accepted", || crowd.answers().accepted >= enough);
        process.kill();
        if kill % LOOK_EVERY == 0 {
            assert_eq!(integrity_of_copy(directory.path()), "ok");
        }
        let began = Instant::now();
        process = start();
        door = door.at(process.address);
        until("it is ready", || door.is_ready());
        slowest = slowest.max(began.elapsed());
        *addresses[0].write().expect("never poisoned") = process.address;
        // Whose answer came last, of those from before; a later one may have come since.
        if planted.is_none() {
            let (bearer, ballot, revision) = crowd.last_safe().expect("somebody was answered");
            let mine = door.call("GET", &format!("/api/v1/polls/{}/ballots/mine", door.poll), &[("authorization", &bearer)], None).expect(200).json();
            let held = mine["revision"].as_u64().expect("a number");
            assert!(held >= u64::from(revision), "the last acknowledged vote is there: {mine}, revision {revision} of {ballot} was called safe");
        }
    }
    crowd.stop();
    let mut report = judge(&door, &crowd, &viewer);
    (report.faults, report.seed) = (kills, seed);
    if !report.is_clean() && planted.is_none() {
        let at = keep_history(seed, &crowd, |_| {});
        say(format_args!("seed {seed} FAILED; its history is in {}", at.display()));
    }
    say(format_args!("embedded, {kills} times killed, ready again within {:.2} s, {} answers unknown", slowest.as_secs_f64(), unknown(&crowd)));
    if planted.is_none() {
        assert_eq!(process.stop(), Some(0));
        assert!(run(&mut command_of(binary, directory.path(), &["recount"])).status.success());
    }
    report
}

fn unknown(crowd: &Crowd) -> usize {
    crowd.attempts().iter().filter(|a| a.outcome == Outcome::Unknown).count()
}

/// A copy, so that it is the server that mends the file and not the one who looks.
fn integrity_of_copy(directory: &Path) -> String {
    let copy = TempDir::new().expect("a directory");
    for name in ["groundswell.db", "groundswell.db-wal"] {
        std::fs::copy(directory.join(name), copy.path().join(name)).expect("it is there");
    }
    runtime().block_on(async {
        let mut db = SqliteConnection::connect(&format!("sqlite://{}", copy.path().join("groundswell.db").display())).await.expect("it opens");
        sqlx::query_scalar("pragma integrity_check").fetch_one(&mut db).await.expect("SQLite answers")
    })
}

#[test]
fn an_embedded_server_killed_in_its_commits_again_and_again_has_every_vote_it_acknowledged() {
    let _turn = one_at_a_time();
    let seed = std::env::var("GROUNDSWELL_TEST_NEMESIS_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(groundswell::clock::now_ms() as u64 % 1_000_000);
    let report = kill_in_a_loop(Path::new(env!("CARGO_BIN_EXE_groundswell")), None, KILLS, seed);
    say(format_args!("embedded: {report}"));
    assert!(report.is_clean(), "{:?}", report.verdict);
}

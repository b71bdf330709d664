//! Everything in one process on SQLite, killed with -9 again and again in the midst of its group commits.

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use fastrand::Rng;
use groundswell::domain::BallotId;
use groundswell::rehearsal::checker::Outcome;
use serde_json::json;
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

use crate::cluster::are_soon_ready;
use crate::distributed::{number, seed};
use crate::door::Door;
use crate::judge::{Report, Viewer, judge, keep_history, say};
use crate::one_at_a_time;
use crate::process::{Process, command_of, run};
use crate::support::syncs::Syncs;
use crate::support::{runtime, unless_shed, until};
use crate::voters::{Addresses, Crowd, Habits};

const KILLS: usize = 60;
/// Of the files as they were left, before anybody opened them.
const LOOK_EVERY: usize = 6;
/// One poll of a long run.
const ACT: Duration = Duration::from_secs(75);

/// A server by itself, in a directory that outlives it.
struct Lone {
    binary: PathBuf,
    planted: Option<&'static str>,
    directory: TempDir,
    process: Option<Process>,
    addresses: Addresses,
    /// How long it took to be ready, each time.
    starts: Vec<Duration>,
}

impl Lone {
    fn start(binary: &Path, planted: Option<&'static str>) -> Lone {
        let addresses: Addresses = Arc::new(vec![RwLock::new(([127, 0, 0, 1], 9).into())]);
        let directory = TempDir::new().expect("a directory");
        let mut lone = Lone { binary: binary.to_owned(), planted, directory, process: None, addresses, starts: Vec::new() };
        lone.up();
        lone
    }

    /// After this nobody finds it anywhere else.
    fn up(&mut self) {
        let mut command = command_of(&self.binary, self.directory.path(), &[]);
        if let Some(planted) = self.planted {
            command.env("GROUNDSWELL_TEST_MISTAKE", planted);
        }
        let began = Instant::now();
        let process = Process::of(&mut command);
        let door = Door::nowhere().at(process.address);
        until("it is ready", || door.is_ready());
        self.starts.push(began.elapsed());
        *self.addresses[0].write().expect("never poisoned") = process.address;
        self.process = Some(process);
    }

    fn address(&self) -> std::net::SocketAddr {
        *self.addresses[0].read().expect("never poisoned")
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("it runs")
    }

    /// kill -9.
    fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// An event with one open poll.
    fn open_poll(&self) -> Door {
        let mut door = Door::nowhere().at(self.address());
        let event = door.owner("POST", "/api/v1/events", json!({"title": "Nemesis", "rehearsal": true})).expect(201).json();
        let text = |value: &serde_json::Value| value.as_str().expect("a string").to_owned();
        (door.event, door.code) = (text(&event["id"]), text(&event["code"]));
        let choices: Vec<String> = (1..=3).map(groundswell::rehearsal::evidence::choice_text).collect();
        let poll = json!({"kind": "single", "question": "Which?", "choices": choices});
        door.poll = text(&door.owner("POST", &format!("/api/v1/events/{}/polls", door.event), poll).expect(201).json()["id"]);
        door.set_state("open");
        door
    }

    /// `last` was said before the process died: what its successor says later may be in its lane still.
    fn has_acknowledged(&self, door: &Door, last: Option<(String, BallotId, u16)>) {
        let (bearer, ballot, revision) = last.expect("somebody was answered");
        let door = door.at(self.address());
        let ask = || door.call("GET", &format!("/api/v1/polls/{}/ballots/mine", door.poll), &[("authorization", &bearer)], None);
        let mine = unless_shed(ask).expect(200).json();
        let held = mine["revision"].as_u64().expect("a number");
        assert!(held >= u64::from(revision), "the last acknowledged vote is there: {mine}, revision {revision} of {ballot} was called safe");
    }

    /// By the command of that name, whether or not the server runs and people vote.
    fn recount(&self, more: &[&str]) {
        let done = run(&mut command_of(&self.binary, self.directory.path(), &[&["recount"], more].concat()));
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && said.contains(", 0 differences"), "{said}{}", String::from_utf8_lossy(&done.stderr));
    }

    /// A copy of what lies there, so that it is the server that mends it and not the one who looks. Only of a dead server, and before anybody else
    /// opens or closes the files: who closes a database last writes its log into it, and a copy made meanwhile has some of both and is not whole.
    /// Tried on purpose, on writers killed in their commits: 2 of 25 copies of a living one and 1 of 25 beside such a close, none of 25 of a dead one.
    fn copy(&self) -> TempDir {
        let copy = TempDir::new().expect("a directory");
        for name in FILES.iter().flat_map(|name| [(*name).to_owned(), format!("{name}-wal")]) {
            let copied = std::fs::copy(self.directory.path().join(&name), copy.path().join(&name));
            // There may be no log; half of one would look like a fault of the server.
            assert!(copied.is_ok() || copied.is_err_and(|why| why.kind() == std::io::ErrorKind::NotFound), "{name} can be copied");
        }
        copy
    }
}

/// Database and journal.
const FILES: [&str; 2] = ["groundswell.db", "groundswell.journal.db"];

fn are_whole(copy: &Path, after: Fate) {
    runtime().block_on(async {
        for name in FILES {
            let mut db = SqliteConnection::connect(&format!("sqlite://{}", copy.join(name).display())).await.expect("it opens");
            let said: String = sqlx::query_scalar("pragma integrity_check").fetch_one(&mut db).await.expect("SQLite answers");
            assert_eq!(said, "ok", "{name}, {after:?}");
        }
    });
}

pub fn kill_in_a_loop(binary: &Path, planted: Option<&'static str>, kills: usize, seed: u64) -> Report {
    let mut rng = Rng::with_seed(seed);
    let mut lone = Lone::start(binary, planted);
    let door = lone.open_poll();
    let crowd = Crowd::join(&door, lone.addresses.clone(), Habits { people: 8_000, per_second: 800, connections: 32, seed, round: None });
    let viewer = Viewer::watch(&door, lone.addresses.clone());
    crowd.begin();
    for kill in 1..=kills {
        // Some votes, and then at any moment of a commit.
        let enough = crowd.answers().accepted + rng.u64(20..120);
        until("votes are accepted", || crowd.answers().accepted >= enough);
        lone.kill();
        let (last, left) = (crowd.last_safe(), (kill % LOOK_EVERY == 0).then(|| lone.copy()));
        lone.up();
        if planted.is_none() {
            lone.has_acknowledged(&door, last);
        }
        if let Some(left) = left {
            are_whole(left.path(), Fate::Killed);
        }
        if planted.is_none() && kill % (LOOK_EVERY * 2) == 0 {
            lone.recount(&[]);
        }
    }
    crowd.stop();
    let report = Report { faults: kills, seed, ..judge(&door.at(lone.address()), &crowd, &viewer) };
    if planted.is_none() {
        explain(&report, &crowd);
    }
    say(format_args!(
        "embedded, {kills} times killed, ready again within {:.2} s, {} answers unknown",
        are_soon_ready(&lone.starts).as_secs_f64(),
        unknown(&crowd)
    ));
    if planted.is_none() {
        assert_eq!(lone.process.take().expect("it runs").stop(), Some(0));
        lone.recount(&[]);
    }
    report
}

/// Where a run that failed is to be looked into.
fn explain(report: &Report, crowd: &Crowd) {
    if !report.is_clean() {
        let at = keep_history(report.seed, crowd, |_| {});
        say(format_args!("seed {} FAILED; its history is in {}", report.seed, at.display()));
    }
}

fn unknown(crowd: &Crowd) -> usize {
    crowd.attempts().iter().filter(|a| a.outcome == Outcome::Unknown).count()
}

/// How a life ends, or what comes before it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Killed,
    /// Each sync takes long; then killed.
    SlowDisk,
    /// Each sync fails: it ends by itself.
    FailingDisk,
    /// Nothing can be counted; then killed.
    DatabaseHeld,
    /// Five times as many people; then killed.
    Crowded,
    /// SIGTERM.
    Stopped,
}

/// So many of a hundred lives end like this.
const FATES: [(Fate, usize); 6] =
    [(Fate::Killed, 62), (Fate::SlowDisk, 12), (Fate::DatabaseHeld, 10), (Fate::Crowded, 6), (Fate::FailingDisk, 5), (Fate::Stopped, 5)];

fn draw(rng: &mut Rng) -> Fate {
    let lots: Vec<Fate> = FATES.iter().flat_map(|(fate, many)| vec![*fate; *many]).collect();
    lots[rng.usize(..lots.len())]
}

/// What a long run adds up beside its report.
#[derive(Default)]
struct Sums {
    kills: usize,
    fates: Vec<Fate>,
    /// Votes accepted a second before a surge and in it, added up.
    usual: f64,
    crowded: f64,
}

/// Votes accepted a second, for so long.
fn pace(crowd: &Crowd, seconds: f64, times: u64) -> f64 {
    let (before, began) = (crowd.answers().accepted, Instant::now());
    crowd.go_on_for(seconds * times as f64);
    (crowd.answers().accepted - before) as f64 / began.elapsed().as_secs_f64()
}

impl Lone {
    /// Until it is dead; what it left.
    fn meet(&mut self, fate: Fate, crowd: &Crowd, rng: &mut Rng, sums: &mut Sums) -> TempDir {
        const SURGE: u64 = 5;
        sums.fates.push(fate);
        crowd.go_on_for(0.05 + rng.f64() * 0.5);
        match fate {
            Fate::Killed => {}
            Fate::SlowDisk => {
                let strace = Syncs::Take(Duration::from_millis(rng.u64(20..400))).of(self.running().id()).expect("strace attaches to our own process");
                crowd.go_on_for(1.0 + rng.f64());
                // Killed while it syncs slowly, and not when all is well again.
                self.kill();
                sums.kills += 1;
                drop(strace);
            }
            Fate::FailingDisk => {
                let strace = Syncs::Fail.of(self.running().id()).expect("strace attaches to our own process");
                assert_ne!(self.process.take().expect("it runs").wait(), Some(0), "it ends, and not as if all were well");
                drop(strace);
            }
            Fate::DatabaseHeld => {
                let runtime = runtime();
                let held = runtime.block_on(hold(self.directory.path()));
                crowd.go_on_for(rng.f64());
                self.kill();
                sums.kills += 1;
                // Before it is closed: whoever closes a database last tidies it up.
                let left = self.copy();
                runtime.block_on(held.close()).expect("SQLite obeys");
                return left;
            }
            Fate::Crowded => {
                sums.usual += pace(crowd, 1.5, 1);
                crowd.surge(SURGE);
                sums.crowded += pace(crowd, 1.5, SURGE);
                crowd.surge(1);
            }
            Fate::Stopped => assert_eq!(self.process.take().expect("it runs").stop(), Some(0), "it stops in good order"),
        }
        if self.process.is_some() {
            self.kill();
            sums.kills += 1;
        }
        self.copy()
    }
}

/// Nobody else writes into the database until this is dropped.
async fn hold(directory: &Path) -> SqliteConnection {
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}/groundswell.db", directory.display())).await.expect("it opens");
    for statement in ["pragma busy_timeout = 30000", "begin immediate"] {
        sqlx::query(statement).execute(&mut connection).await.expect("SQLite obeys");
    }
    connection
}

#[test]
fn an_embedded_server_that_dies_at_random_for_as_long_as_asked_has_every_vote_it_acknowledged() {
    let Some(minutes) = number("GROUNDSWELL_TEST_NEMESIS_EMBEDDED_MINUTES") else { return };
    let _turn = one_at_a_time();
    let binary = std::env::var_os("GROUNDSWELL_TEST_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_groundswell").into());
    let (seed, began) = (seed(), Instant::now());
    let end = began + Duration::from_secs(minutes * 60);
    let per_second = number("GROUNDSWELL_TEST_NEMESIS_RATE").unwrap_or(1_000);
    say(format_args!("embedded, {minutes} minutes, {per_second} votes a second, seed {seed}"));
    let mut lone = Lone::start(Path::new(&binary), None);
    let (mut total, mut sums) = (Report { seed, drained: true, ..Report::default() }, Sums::default());
    for act in 0.. {
        if Instant::now() >= end {
            break;
        }
        let (act_end, act_seed) = (end.min(Instant::now() + ACT), seed + act);
        let mut rng = Rng::with_seed(act_seed);
        let door = lone.open_poll();
        let habits = Habits { people: (per_second * ACT.as_secs() / 6) as usize, per_second, connections: 128, seed: act_seed, round: None };
        let crowd = Crowd::join(&door, lone.addresses.clone(), habits);
        let viewer = Viewer::watch(&door, lone.addresses.clone());
        crowd.begin();
        let faults = sums.fates.len();
        while Instant::now() < act_end {
            let fate = draw(&mut rng);
            let left = lone.meet(fate, &crowd, &mut rng, &mut sums);
            let last = crowd.last_safe();
            lone.up();
            lone.has_acknowledged(&door, last);
            are_whole(left.path(), fate);
            // People vote meanwhile; now and then it is also asked what the server shows.
            let url = format!("http://{}", lone.address());
            let shown = ["--url", url.as_str()];
            lone.recount(&shown[..if rng.u8(..8) == 0 { 2 } else { 0 }]);
        }
        crowd.stop();
        let report = Report { faults: sums.fates.len() - faults, seed: act_seed, ..judge(&door.at(lone.address()), &crowd, &viewer) };
        explain(&report, &crowd);
        say(format_args!("act {}: {report}, {} answers unknown", act + 1, unknown(&crowd)));
        let clean = report.is_clean();
        total.add(&report);
        total.faults += report.faults;
        assert!(clean, "{:?}", report.verdict);
        assert_eq!(crowd.strange(), [0u16; 0], "answers that nobody should get");
    }
    assert_eq!(lone.process.take().expect("it runs").stop(), Some(0));
    lone.recount(&[]);
    let told = FATES.map(|(fate, _)| format!("{fate:?} {}", sums.fates.iter().filter(|met| **met == fate).count())).join(", ");
    say(format_args!("{} times killed, ready again within {:.2} s ({told})", sums.kills, are_soon_ready(&lone.starts).as_secs_f64()));
    say(format_args!("{:.1} minutes: {total}", began.elapsed().as_secs_f64() / 60.0));
    say(format_args!("with 95 % confidence fewer than {:.1e} of the acknowledged are lost", 3.0 / total.acked.max(1) as f64));
    if sums.usual > 0.0 {
        say(format_args!("with five times as many people {:.0} % of the votes a second of before were accepted", 100.0 * sums.crowded / sums.usual));
        assert!(sums.crowded >= 0.9 * sums.usual, "a surge costs nothing that was accepted before");
    }
}

#[test]
fn an_embedded_server_killed_in_its_commits_again_and_again_has_every_vote_it_acknowledged() {
    let _turn = one_at_a_time();
    let report = kill_in_a_loop(Path::new(env!("CARGO_BIN_EXE_groundswell")), None, KILLS, seed());
    say(format_args!("embedded: {report}"));
    assert!(report.is_clean(), "{:?}", report.verdict);
}

//! The broker or the database away, killed, silent or blocked, as phones and operators live through it: real processes, real services.

use std::io::Write;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::client::Line;
use crate::door::{Door, Voter, figure};
use crate::process::{Process, command, run};
use crate::support::stalls::Disk;
use crate::support::{Place, until};
use crate::trouble::{Broker, RESTART, with_own_broker};

/// A server told to stop is gone by then, or an orchestrator kills it.
const STOP_WITHIN: Duration = Duration::from_secs(25);
/// A vote while the broker is away, on a disk that takes no time of note: 99 of 100 are through by then.
const AWAY_P99: Duration = Duration::from_millis(50);

pub fn place_at(broker: &Broker) -> Place {
    Place::at(Some((broker.database_url.clone(), broker.amqp_url.clone())))
}

pub fn server(place: &Place, directory: &Path, args: &[&str]) -> Command {
    let mut command = command(directory, args);
    command.env("DATABASE_URL", &place.database_url).env("AMQP_URL", place.amqp_url.as_deref().expect("a broker")).env("AMQP_PREFIX", &place.amqp_prefix);
    command.env("WEB_THREADS", "2");
    command
}

pub fn start(place: &Place) -> Process {
    Process::of(&mut server(place, place.directory.path(), &[]))
}

/// Waits longer than tests usually do: a broker restarts meanwhile.
#[track_caller]
pub fn until_within(patience: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// For longer than the grace after a close: nothing on a disk may be left out of a result that calls itself final.
#[track_caller]
pub fn stays_provisional(door: &Door) {
    let deadline = Instant::now() + Duration::from_secs(4);
    while Instant::now() < deadline {
        assert_eq!(door.status(), "provisional");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[track_caller]
pub fn all_in(door: &Door, voters: usize) {
    let deadline = Instant::now() + RESTART;
    let books = loop {
        let books = door.books();
        if books["counted"] == voters && books["in_flight"] == 0 {
            break books;
        }
        assert!(Instant::now() < deadline, "{voters} were accepted, and are not counted within {RESTART:?}: {books}; the server: {}", door.status());
        std::thread::park_timeout(Duration::from_millis(20));
    };
    assert_eq!((&books["superseded"], &books["late"]), (&Value::from(0), &Value::from(0)), "{books}");
}

/// Voters, each with one ballot, until told to stop.
struct Crowd {
    stop: AtomicBool,
    accepted: AtomicUsize,
    /// Anything but a 202, and when it was answered.
    others: Mutex<Vec<(Instant, u16)>>,
    disk: Disk,
    /// How long each took, and when it was sent.
    took: Mutex<Vec<(Instant, Duration)>>,
}

impl Crowd {
    fn new() -> Crowd {
        Crowd { stop: AtomicBool::new(false), accepted: AtomicUsize::new(0), others: Mutex::default(), disk: Disk::watch(), took: Mutex::default() }
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    fn vote(&self, door: &Door) {
        let mut line = Line::at(door.address);
        while !self.stop.load(Ordering::Relaxed) {
            let voter = door.voter();
            // The same ballot until it is safe, as phones do.
            loop {
                let began = Instant::now();
                let answer = door.vote_on(&mut line, &voter);
                self.took.lock().unwrap().push((began, began.elapsed()));
                if answer.status == 202 {
                    self.accepted.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                self.others.lock().unwrap().push((Instant::now(), answer.status));
                let seconds: f32 = answer.header("retry-after").and_then(|s| s.parse().ok()).unwrap_or(0.1);
                std::thread::park_timeout(Duration::from_secs_f32(seconds));
            }
        }
    }

    /// Nobody was refused because of the broker or the database: only where the disk itself stood still may there be a 503, and while it did.
    #[track_caller]
    fn all_were_accepted(&self) {
        /// A refusal comes when somebody has stood in line for so long, or tries to join behind, and a little after.
        const BEFORE: Duration = Duration::from_secs(3);
        const STOOD_STILL: Duration = Duration::from_secs(1);
        let others = self.others.lock().unwrap();
        let excused = |(at, status): &(Instant, u16)| *status == 503 && self.disk.stood_still(*at - BEFORE, *at, STOOD_STILL);
        let refused: Vec<u16> = others.iter().filter(|other| !excused(other)).map(|(_, status)| *status).collect();
        let excused = others.len() - refused.len();
        assert_eq!(refused, [0u16; 0], "each of {} was accepted; {excused} more were refused while the disk stood still", self.accepted());
        if excused > 0 {
            eprintln!("{excused} of {} were refused while the disk stood still, and accepted when they came again", self.accepted());
        }
    }

    /// What it took those that were sent within this time.
    fn took_within(&self, time: Range<Instant>) -> Vec<Duration> {
        self.took.lock().unwrap().iter().filter(|(sent, _)| time.contains(sent)).map(|(_, took)| *took).collect()
    }

    /// Votes while `events` happen.
    fn during(door: &Door, events: impl FnOnce(&Crowd)) -> Crowd {
        let crowd = Crowd::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| crowd.vote(door));
            }
            until("votes are under way", || crowd.accepted() > 100);
            let events = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| events(&crowd)));
            crowd.stop.store(true, Ordering::Relaxed);
            if let Err(panic) = events {
                std::panic::resume_unwind(panic);
            }
        });
        crowd
    }

    #[track_caller]
    fn more(&self, count: usize) {
        let before = self.accepted();
        until("votes go on", || self.accepted() >= before + count);
    }
}

#[test]
fn a_server_starts_and_accepts_without_its_broker_and_counts_when_it_comes() {
    with_own_broker(|broker| {
        broker.crash();
        let place = place_at(broker);
        let process = start(&place);
        let door = Door::open(process.address);
        door.get("/readyz").expect(200);
        let voters: Vec<Voter> = (0..20).map(|_| door.voter()).collect();
        for voter in &voters {
            assert_eq!(door.vote(voter).expect(202).json()["status"], "received");
        }
        assert_eq!(figure(process.metrics(), "groundswell_spill_ballots"), 20.0);
        door.set_state("closed");
        stays_provisional(&door);
        assert_eq!(door.counted(), 0);
        until("the age of the oldest is shown", || figure(process.metrics(), "groundswell_spill_oldest_seconds") >= 3.0);
        assert!(figure(process.metrics(), "groundswell_circuit_open_lanes") >= 1.0);
        // The same ballot again: its fate is not known to the database, so nobody may say that it will not count.
        door.vote(&voters[0]).expect(504);

        broker.control(&["restart", "rabbitmq"]);
        all_in(&door, 20);
        until_within(RESTART, "the result is final", || door.status() == "final");
        assert_eq!(door.vote(&voters[0]).expect(202).json()["status"], "counted");
        for figures in ["groundswell_spill_ballots", "groundswell_spill_bytes"] {
            until_within(RESTART, "nothing lies in the spill", || figure(process.metrics(), figures) == 0.0);
        }
        until_within(RESTART, "the circuit is closed", || figure(process.metrics(), "groundswell_circuit_open_lanes") == 0.0);
        assert_eq!(process.stop(), Some(0));
    });
}

#[test]
fn a_broker_killed_under_load_costs_no_vote_and_no_refusal() {
    with_own_broker(|broker| {
        let place = place_at(broker);
        let process = start(&place);
        let door = Door::open(process.address).settled();
        let crowd = Crowd::during(&door, |crowd| {
            for _ in 0..2 {
                broker.crash();
                crowd.more(500);
                broker.control(&["restart", "rabbitmq"]);
                until_within(RESTART, "the spill is empty", || figure(process.metrics(), "groundswell_spill_batches") == 0.0);
                crowd.more(100);
            }
        });
        crowd.all_were_accepted();
        assert!(figure(process.metrics(), "groundswell_spill_ballots_written_total") >= 1_000.0);
        all_in(&door, crowd.accepted());
        assert_eq!(process.stop(), Some(0));
        let recount = run(&mut server(&place, place.directory.path(), &["recount"]));
        assert!(recount.status.success(), "{recount:?}");
    });
}

#[test]
fn while_the_broker_is_away_a_vote_takes_as_long_as_the_disk() {
    /// Of so many votes the hundredth slowest says something.
    const VOTES: usize = 2_000;
    /// Bare syncs beside them, one every so often.
    const PAUSE: Duration = Duration::from_millis(5);
    with_own_broker(|broker| {
        let place = place_at(broker);
        let process = start(&place);
        let door = Door::open(process.address).settled();
        let (mut away, mut syncs) = (Instant::now()..Instant::now(), Vec::new());
        let crowd = Crowd::during(&door, |crowd| {
            broker.crash();
            until("the circuit is open", || figure(process.metrics(), "groundswell_circuit_open_lanes") > 0.0);
            let mut file = std::fs::File::create(place.directory.path().join("bare")).unwrap();
            let enough = crowd.accepted() + VOTES;
            away.start = Instant::now();
            while crowd.accepted() < enough {
                let began = Instant::now();
                file.write_all(&[7; 4_096]).and_then(|()| file.sync_data()).unwrap();
                syncs.push(began.elapsed());
                std::thread::park_timeout(PAUSE);
            }
            away.end = Instant::now();
            broker.control(&["restart", "rabbitmq"]);
        });
        crowd.all_were_accepted();
        let (votes, disk) = (p99(crowd.took_within(away)), p99(syncs));
        // Its own sync, and the one that was under way when it came.
        assert!(votes <= AWAY_P99 + 2 * disk, "a vote took {votes:?}, a bare sync {disk:?}");
        all_in(&door, crowd.accepted());
        assert_eq!(process.stop(), Some(0));
    });
}

fn p99(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

#[test]
fn a_broker_that_falls_silent_or_blocks_costs_no_vote_and_no_refusal() {
    struct Watermark<'a>(&'a Broker);
    impl Drop for Watermark<'_> {
        fn drop(&mut self) {
            self.0.control(&["rabbitmqctl", "set_vm_memory_high_watermark", "0.4"]);
        }
    }
    with_own_broker(|broker| {
        let place = place_at(broker);
        let process = start(&place);
        let door = Door::open(process.address).settled();
        let began = Instant::now();
        let crowd = Crowd::during(&door, |crowd| {
            broker.control(&["pause", "rabbitmq"]);
            crowd.more(500);
            broker.control(&["resume", "rabbitmq"]);
            until_within(RESTART, "the spill is empty", || figure(process.metrics(), "groundswell_spill_batches") == 0.0);

            let watermark = Watermark(broker);
            broker.control(&["rabbitmqctl", "set_vm_memory_high_watermark", "0.00001"]);
            until("the circuit is open", || figure(process.metrics(), "groundswell_circuit_open_lanes") > 0.0);
            crowd.more(500);
            drop(watermark);
            until_within(RESTART, "the spill is empty", || figure(process.metrics(), "groundswell_spill_batches") == 0.0);
        });
        crowd.all_were_accepted();
        // A silent broker is given a second; nobody waits for it twice.
        let slowest = crowd.took.lock().unwrap().iter().map(|(_, took)| *took).max().unwrap_or_default();
        let disk = crowd.disk.slowest_since(began);
        assert!(slowest < Duration::from_secs(4) + 2 * disk, "somebody waited {slowest:?}, and a page for the disk {disk:?}");
        all_in(&door, crowd.accepted());
        assert_eq!(process.stop(), Some(0));
    });
}

#[test]
fn what_a_killed_process_spilled_is_passed_on_by_the_next_in_its_directory() {
    with_own_broker(|broker| {
        let (place, elsewhere) = (place_at(broker), TempDir::new().unwrap());
        let mut first = start(&place);
        let door = Door::open(first.address).settled();
        broker.crash();
        let mut accepted = 0;
        std::thread::scope(|scope| {
            let voting = scope.spawn(|| {
                let mut line = Line::at(door.address);
                (0..).take_while(|_| door.try_voter().is_some_and(|voter| door.vote_on(&mut line, &voter).status == 202)).count()
            });
            until("votes lie in the spill", || figure(first.metrics(), "groundswell_spill_ballots") > 200.0);
            // In the middle of a commit.
            first.kill();
            accepted = voting.join().unwrap();
        });
        broker.control(&["restart", "rabbitmq"]);
        // Another server goes on; it has none of these votes and knows that they may exist.
        let other = Process::of(&mut server(&place, elsewhere.path(), &[]));
        let there = door.at(other.address);
        until("it is ready", || there.is_ready());
        there.set_state("closed");
        stays_provisional(&there);
        assert!(there.counted() < accepted as i64);

        let again = start(&place);
        let door = door.at(again.address);
        // One more may have been written whose answer was lost with the process.
        until_within(RESTART, "all that was accepted is counted", || door.counted() >= accepted as i64);
        assert!(door.counted() <= accepted as i64 + 1, "{accepted} accepted, {} counted", door.counted());
        until_within(RESTART, "the books of the dead are closed", || {
            let books = door.books();
            books["in_flight"] == 0 && books["unreported"].as_array().is_some_and(Vec::is_empty)
        });
        until_within(RESTART, "the result is final", || door.status() == "final");
        assert_eq!((again.stop(), other.stop()), (Some(0), Some(0)));
    });
}

#[test]
fn a_full_spill_is_said_at_the_door_and_empties_when_the_broker_is_back() {
    with_own_broker(|broker| {
        let place = place_at(broker);
        let process = Process::of(server(&place, place.directory.path(), &[]).env("SPILL_BYTES_MAX", "65536"));
        let door = Door::open(process.address).settled();
        broker.crash();
        let mut accepted = 0;
        let refused = loop {
            let answer = door.vote(&door.voter());
            if answer.status != 202 {
                break answer;
            }
            accepted += 1;
            assert!(accepted < 5_000, "a spill is bounded");
        };
        assert_eq!((refused.status, refused.code().as_str(), refused.header("retry-after").is_some()), (503, "busy", true));
        let mut quickest = refused.took;
        for _ in 0..5 {
            let answer = door.vote(&door.voter());
            if answer.status == 202 {
                accepted += 1;
            } else {
                quickest = quickest.min(answer.took);
            }
        }
        assert!(quickest < Duration::from_millis(500), "a refusal is quick: {quickest:?}");
        // It finds out whether there is room again by and by; somebody who votes tells it again.
        until("it is not ready", || {
            accepted += usize::from(door.vote(&door.voter()).status == 202);
            door.get("/readyz").status == 503
        });
        broker.control(&["restart", "rabbitmq"]);
        until_within(RESTART, "the circuits are closed", || figure(process.metrics(), "groundswell_circuit_open_lanes") == 0.0);
        until_within(RESTART, "the spill is empty", || figure(process.metrics(), "groundswell_spill_batches") == 0.0);
        until_within(RESTART, "it is ready", || door.is_ready());
        all_in(&door, accepted);
        door.vote(&door.voter()).expect(202);
        all_in(&door, accepted + 1);
        assert_eq!(process.stop(), Some(0));
    });
}

/// The broker is there and answers, and takes nothing.
#[test]
fn lanes_that_are_full_and_a_full_spill_are_said_at_the_door() {
    with_own_broker(|broker| {
        let place = place_at(broker);
        // Nobody counts, and a lane that holds one message is full.
        let mut web = server(&place, place.directory.path(), &["web"]);
        let process = Process::of(web.env("SPILL_BYTES_MAX", "65536"));
        let door = Door::open(process.address);
        let lanes = format!("^{}\\.lane", place.amqp_prefix);
        broker.control(&["rabbitmqctl", "set_policy", "full", &lanes, r#"{"max-length":1}"#, "--apply-to", "queues"]);
        let mut accepted = 0;
        until_within(RESTART, "no vote can be made safe", || {
            accepted += usize::from(door.vote(&door.voter()).status == 202);
            door.get("/readyz").status == 503
        });
        assert!(door.get("/status").body.contains("Votes are refused"), "and people are told");
        broker.control(&["rabbitmqctl", "clear_policy", "full"]);
        until_within(RESTART, "it is ready", || {
            accepted += usize::from(door.vote(&door.voter()).status == 202);
            door.is_ready()
        });
        let beside = TempDir::new().unwrap();
        let tally = Process::of(&mut server(&place, beside.path(), &["tally"]));
        until_within(RESTART, "the spill is empty", || figure(process.metrics(), "groundswell_spill_batches") == 0.0);
        all_in(&door, accepted);
        assert_eq!((process.stop(), tally.stop()), (Some(0), Some(0)));
    });
}

#[test]
fn a_server_told_to_stop_serves_on_for_a_while_and_then_leaves_nothing_undone() {
    with_own_broker(|broker| {
        let place = place_at(broker);
        let process = Process::of(server(&place, place.directory.path(), &[]).env("SHUTDOWN_DELAY", "4"));
        let door = Door::open(process.address).settled();
        let mut line = Line::at(door.address);
        let (told, mut accepted) = (Instant::now(), 0);
        process.tell_to_stop();
        until("it says that it is not ready", || door.get("/readyz").status == 503);
        while told.elapsed() < Duration::from_millis(1_500) {
            door.vote_on(&mut line, &door.voter()).expect(202);
            accepted += 1;
        }
        assert_eq!(process.wait(), Some(0));
        assert!(told.elapsed() < STOP_WITHIN, "it took {:?}", told.elapsed());
        // And with the broker gone: what it holds stays, and the next one passes it on.
        let process = start(&place);
        let door = door.at(process.address);
        broker.crash();
        for _ in 0..10 {
            door.vote(&door.voter()).expect(202);
        }
        let told = Instant::now();
        assert_eq!(process.stop(), Some(0));
        assert!(told.elapsed() < STOP_WITHIN, "it took {:?}", told.elapsed());
        broker.control(&["restart", "rabbitmq"]);
        let process = start(&place);
        let door = door.at(process.address);
        all_in(&door, accepted + 10);
        until_within(RESTART, "the books of those before are closed", || door.books()["unreported"].as_array().is_some_and(Vec::is_empty));
        assert_eq!(process.stop(), Some(0));
    });
}

#[test]
fn a_database_killed_under_load_costs_no_vote_and_the_lag_goes_back() {
    with_own_broker(|broker| {
        let place = place_at(broker);
        let process = start(&place);
        let door = Door::open(process.address).settled();
        let age = |metrics: SocketAddr| figure(metrics, "groundswell_live_age_seconds");
        let crowd = Crowd::during(&door, |crowd| {
            broker.control(&["kill", "postgres"]);
            until("the age of what is shown grows", || age(process.metrics()) > 2.0);
            crowd.more(500);
            door.get("/readyz").expect(200);
            broker.control(&["restart", "postgres"]);
            until_within(RESTART, "the age goes back", || age(process.metrics()) < 1.0);
            crowd.more(100);
        });
        crowd.all_were_accepted();
        assert!(figure(process.metrics(), "groundswell_tally_retries_total") >= 1.0);
        all_in(&door, crowd.accepted());
        assert_eq!(process.stop(), Some(0));
    });
}

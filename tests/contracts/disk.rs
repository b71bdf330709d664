//! Disks that are full, that fail, and that are slow: what the real binary says meanwhile, and what it has afterwards.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::door::{Door, Voter, figure};
use crate::outage::until_within;
use crate::process::{Process, command, run};
use crate::support::stalls::Disk;
use crate::support::syncs::{Syncs, strace_is_there};
use crate::support::{Place, not_run, until};
use crate::trouble::{Broker, RESTART, with_own_broker};

/// A small disk of its own. `None` where this user may not mount one.
pub struct SmallDisk {
    directory: TempDir,
}

const DISK_BYTES: usize = 16 << 20;

impl SmallDisk {
    pub fn mount() -> Option<SmallDisk> {
        let directory = TempDir::new().unwrap();
        let options = format!("size={DISK_BYTES}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "groundswell-test"]).arg(directory.path()).stderr(Stdio::null()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(SmallDisk { directory });
        }
        not_run("no small disk may be mounted here: that takes root");
        None
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Leaves nothing.
    fn fill(&self) -> Ballast {
        let path = self.path().join("ballast");
        let mut file = File::create(&path).unwrap();
        for size in [1 << 20, 4_096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        Ballast(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

struct Ballast(PathBuf);

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn beside_the_broker(broker: &Broker, place: &Place, directory: &Path) -> Command {
    let mut command = command(directory, &[]);
    command.env("DATABASE_URL", &place.database_url).env("AMQP_URL", &broker.amqp_url).env("AMQP_PREFIX", &place.amqp_prefix);
    command.env("SPILL_FREE_BYTES_MIN", "0").env("RUST_LOG", "warn");
    command
}

/// Votes until one is not accepted; who was, what was said of the other, and who that is, if the server lived long enough to give out a pass.
fn vote_until_refused(door: &Door) -> (Vec<Voter>, u16, Option<Voter>) {
    let mut accepted = Vec::new();
    loop {
        let Some(voter) = door.try_voter() else { return (accepted, 0, None) };
        match door.vote(&voter).status {
            202 => accepted.push(voter),
            other => return (accepted, other, Some(voter)),
        }
        assert!(accepted.len() < 100_000, "a full disk is full");
    }
}

#[test]
fn a_full_disk_under_the_database_is_said_at_the_door_and_forgotten_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else { return };
    let process = Process::start(disk.path());
    let door = Door::open(process.address);
    let before = door.voter();
    door.vote(&before).expect(202);
    let ballast = disk.fill();
    let (accepted, said, _) = vote_until_refused(&door);
    // The one that met it waits for as long as it may; those behind it are refused at once.
    assert!(matches!(said, 503 | 504), "{said}");
    until("it says that it is not ready", || door.get("/readyz").status == 503);
    let refused = door.vote(&door.voter());
    assert_eq!((refused.status, refused.code().as_str()), (503, "busy"));
    drop(ballast);
    until("it is ready again", || door.is_ready());
    door.vote(&before).expect(202);
    let last = door.voter();
    door.vote(&last).expect(202);
    // The one whose fate was unknown may have been counted.
    let least = accepted.len() as i64 + 2;
    until("all are counted", || (least..=least + 1).contains(&door.counted()));
    assert_eq!(process.stop(), Some(0));
    assert!(run(&mut command(disk.path(), &["recount"])).status.success());
}

#[test]
fn a_full_disk_under_the_spill_is_said_at_the_door_and_forgotten_when_there_is_room() {
    with_own_broker(|broker| {
        let Some(disk) = SmallDisk::mount() else { return };
        let place = Place::at(Some((broker.database_url.clone(), broker.amqp_url.clone())));
        let process = Process::of(&mut beside_the_broker(broker, &place, disk.path()));
        let door = Door::open(process.address).settled();
        let ballast = disk.fill();
        // With a broker, nobody needs the disk.
        let first = door.voter();
        until("the broker takes it", || door.vote(&first).status == 202);
        assert!(door.is_ready());

        broker.crash();
        let (accepted, said, _) = vote_until_refused(&door);
        // Neither with the broker nor on the disk; of the first one, the broker may know more.
        assert!(matches!(said, 503 | 504), "{said}");
        until("it says that it is not ready", || door.get("/readyz").status == 503);
        door.vote(&door.voter()).expect(503);
        drop(ballast);
        until("it is ready again", || door.is_ready());
        let more: Vec<Voter> = (0..10).map(|_| door.voter()).collect();
        for voter in &more {
            door.vote(voter).expect(202);
        }
        broker.control(&["restart", "rabbitmq"]);
        let least = (1 + accepted.len() + more.len()) as i64;
        until_within(RESTART, "all are counted", || (least..=least + 1).contains(&door.counted()) && door.books()["in_flight"] == 0);
        assert_eq!(process.stop(), Some(0));
    });
}

#[test]
fn a_server_that_starts_on_a_full_disk_takes_votes_with_the_broker_and_keeps_them_there_once_there_is_room() {
    with_own_broker(|broker| {
        let Some(disk) = SmallDisk::mount() else { return };
        let place = Place::at(Some((broker.database_url.clone(), broker.amqp_url.clone())));
        let mut before = Process::of(&mut beside_the_broker(broker, &place, disk.path()));
        let door = Door::open(before.address).settled();
        // It leaves votes behind, and is killed when the disk is full.
        broker.crash();
        let left = door.voter();
        door.vote(&left).expect(202);
        let ballast = disk.fill();
        before.kill();
        broker.control(&["restart", "rabbitmq"]);

        let process = Process::of(&mut beside_the_broker(broker, &place, disk.path()));
        let door = door.at(process.address);
        let first = door.voter();
        until_within(RESTART, "the broker takes votes", || door.vote(&first).status == 202);
        assert_eq!(figure(process.metrics(), "groundswell_spill_writable"), 0.0);
        until("it is counted", || door.counted() == 1);
        assert!(door.is_ready(), "the broker is there");

        drop(ballast);
        until("votes can be kept here", || figure(process.metrics(), "groundswell_spill_writable") == 1.0);
        until("what the other left is counted", || door.counted() == 2);
        broker.crash();
        let last = door.voter();
        until("it is kept", || door.vote(&last).status == 202);
        broker.control(&["restart", "rabbitmq"]);
        until_within(RESTART, "and counted", || {
            door.counted() == 3 && door.books()["in_flight"] == 0 && door.books()["unreported"].as_array().is_none_or(Vec::is_empty)
        });
        assert_eq!(process.stop(), Some(0));
    });
}

const NO_STRACE: &str = "strace may not attach to a process here";

/// So much longer does a sync take. Less than it takes until votes are refused (1,250 ms), even if two are needed.
const SLOW: Duration = Duration::from_millis(300);
/// And here, more.
const VERY_SLOW: Duration = Duration::from_secs(3);

/// People who vote at the same moment, once each; all are accepted, and nobody before a sync is over. The longest wait. Where the disk itself
/// stands still, too, somebody may be told to come again.
#[track_caller]
fn all_wait_for_the_disk(door: &Door, voters: &[Voter], disk: &Disk) -> Duration {
    let waits = std::thread::scope(|scope| {
        let vote = |voter| {
            let first = Instant::now();
            loop {
                let began = Instant::now();
                assert!(first.elapsed() < VERY_SLOW * 20, "nobody takes it");
                let (status, took) = (door.vote(voter).status, began.elapsed());
                if status != 503 || !disk.stood_still(began - VERY_SLOW, Instant::now(), SLOW * 2) {
                    break (status, took);
                }
            }
        };
        let voting: Vec<_> = voters.iter().map(|voter| scope.spawn(move || vote(voter))).collect();
        voting.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(waits.iter().all(|(status, took)| *status == 202 && *took >= SLOW), "202 after a sync, and not before: {waits:?}");
    waits.into_iter().map(|(_, took)| took).max().expect("somebody")
}

#[test]
fn on_a_slow_disk_a_vote_is_called_safe_when_it_is_and_what_was_called_safe_outlives_a_kill() {
    if !strace_is_there() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let mut process = Process::start(directory.path());
    let door = Door::open(process.address).settled();
    let voters: Vec<Voter> = (0..24).map(|_| door.voter()).collect();
    let Some(_strace) = Syncs::Take(SLOW).of(process.id()) else { return not_run(NO_STRACE) };
    let disk = Disk::watch();
    let quickest = voters.chunks(8).map(|together| all_wait_for_the_disk(&door, together, &disk)).min().expect("some");
    // In one commit or in two, and not one after the other.
    assert!(quickest < SLOW * 6, "{quickest:?}");
    // Pages and documents do not wait for it, and it is no reason to look elsewhere.
    until("a document comes meanwhile", || {
        let document = door.get(&format!("/api/v1/live/{}", door.code));
        document.status == 200 && document.took < SLOW / 2
    });
    assert!(door.is_ready());
    // In the midst of commits.
    let others: Vec<Voter> = (0..20).map(|_| door.voter()).collect();
    let accepted = std::thread::scope(|scope| {
        let voting = scope.spawn(|| others.iter().take_while(|voter| door.vote(voter).status == 202).count());
        std::thread::park_timeout(SLOW * 4);
        process.kill();
        voting.join().unwrap()
    });
    assert!(accepted < others.len(), "it was killed too late");
    let again = Process::start(directory.path());
    let door = door.at(again.address);
    let least = (voters.len() + accepted) as i64;
    assert!((least..=least + 1).contains(&door.counted()), "{least} called safe, {} counted", door.counted());
    assert_eq!(again.stop(), Some(0));
}

#[test]
fn behind_a_disk_that_hardly_moves_votes_are_refused_at_the_door_and_taken_again_when_it_does() {
    if !strace_is_there() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let process = Process::of(command(directory.path(), &[]).env("WEB_THREADS", "1"));
    let door = Door::open(process.address).settled();
    let (first, second) = (door.voter(), door.voter());
    let Some(strace) = Syncs::Take(VERY_SLOW).of(process.id()) else { return not_run(NO_STRACE) };
    let (waited, refused) = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let began = Instant::now();
            (door.vote(&first).status, began.elapsed())
        });
        until("it has waited for longer than anybody may be made to stand", || figure(process.metrics(), "groundswell_ballots_oldest_wait_seconds") > 1.3);
        let refused = door.vote(&second);
        drop(strace);
        (waiting.join().unwrap(), refused)
    });
    assert_eq!((refused.status, refused.code().as_str(), refused.header("retry-after").is_some()), (503, "busy", true));
    assert!(refused.took < SLOW, "a refusal does not wait for the disk: {:?}", refused.took);
    // It was told when its sync was over, or that nobody knows.
    assert!(matches!(waited.0, 202 | 504) && waited.1 > Duration::from_secs(1), "{waited:?}");
    for voter in [&first, &second] {
        until("votes are taken again", || door.vote(voter).status == 202);
    }
    until("each is counted once", || door.counted() == 2);
    assert_eq!(process.stop(), Some(0));
}

#[test]
fn on_a_slow_disk_under_the_spill_a_vote_is_called_safe_when_it_is_and_all_come_to_the_count() {
    if !strace_is_there() {
        return;
    }
    with_own_broker(|broker| {
        let directory = TempDir::new().unwrap();
        let place = Place::at(Some((broker.database_url.clone(), broker.amqp_url.clone())));
        let mut process = Process::of(&mut beside_the_broker(broker, &place, directory.path()));
        let door = Door::open(process.address).settled();
        broker.crash();
        // The circuit opens with the first of them.
        door.vote(&door.voter()).expect(202);
        let voters: Vec<Voter> = (0..16).map(|_| door.voter()).collect();
        let strace = Syncs::Take(SLOW).of(process.id());
        if strace.is_some() {
            let disk = Disk::watch();
            voters.chunks(8).for_each(|together| _ = all_wait_for_the_disk(&door, together, &disk));
            process.kill();
        } else {
            not_run(NO_STRACE);
        }
        broker.control(&["restart", "rabbitmq"]);
        let again = Process::of(&mut beside_the_broker(broker, &place, directory.path()));
        let expected = 1 + if strace.is_some() { voters.len() as i64 } else { 0 };
        let door = door.at(again.address);
        until_within(RESTART, "all that was called safe is counted", || door.counted() == expected && door.books()["in_flight"] == 0);
        assert_eq!(again.stop(), Some(0));
    });
}

/// What the process wrote to its log.
fn log_of(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn a_disk_that_fails_under_the_database_ends_the_process_and_the_next_one_starts_clean() {
    if !strace_is_there() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let log = directory.path().join("log");
    let process = Process::logging(&mut command(directory.path(), &[]), File::create(&log).unwrap().into());
    let door = Door::open(process.address).settled();
    let voters: Vec<Voter> = (0..20).map(|_| door.voter()).collect();
    for voter in &voters {
        door.vote(voter).expect(202);
    }
    // Several, so that one waits for the disk when the first sync fails, whichever file that is of.
    let (crowd, Some(strace)) = std::thread::scope(|scope| {
        let voting: Vec<_> = (0..4).map(|_| scope.spawn(|| vote_until_refused(&door))).collect();
        let strace = Syncs::Fail.of(process.id());
        if strace.is_none() {
            process.tell_to_stop();
        }
        (voting.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>(), strace)
    }) else {
        return not_run(NO_STRACE);
    };
    let said: Vec<u16> = crowd.iter().map(|(_, said, _)| *said).collect();
    assert!(said.contains(&504), "nobody may say whether it is on the disk: {said:?}");
    assert!(said.iter().all(|said| matches!(said, 0 | 503 | 504)), "{said:?}");
    let (refused, in_doubt): (Vec<_>, Vec<_>) = crowd.iter().partition(|(_, said, _)| *said == 503);
    let in_doubt: Vec<&Voter> = in_doubt.into_iter().filter_map(|(.., last)| last.as_ref()).collect();
    let refused: Vec<&Voter> = refused.into_iter().filter_map(|(.., last)| last.as_ref()).collect();
    let accepted: Vec<&Voter> = crowd.iter().flat_map(|(accepted, ..)| accepted).chain(&voters).collect();
    assert!(process.wait().is_some_and(|code| code != 0), "it ends, and not as if all were well");
    strace.wait();
    let said = log_of(&log);
    assert!(said.lines().any(|l| l.starts_with("groundswell: ") && l.contains("disk")), "{said}");

    let again = Process::start(directory.path());
    let door = door.at(again.address);
    let (least, doubts) = (accepted.len() as i64, in_doubt.len() as i64);
    assert!((least..=least + doubts).contains(&door.counted()), "what was accepted is counted before it answers, what was refused is not");
    // The same ballot settles it, whatever it came to.
    for voter in accepted.iter().chain(&in_doubt).chain(&refused) {
        door.vote(voter).expect(202);
    }
    let all = least + doubts + refused.len() as i64;
    until("each is counted, once", || door.counted() == all);
    assert_eq!(again.stop(), Some(0));
    assert!(run(&mut command(directory.path(), &["recount"])).status.success());
}

#[test]
fn a_disk_that_fails_under_an_edit_ends_the_process_and_what_was_saved_before_stays() {
    if !strace_is_there() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let log = directory.path().join("log");
    let process = Process::logging(&mut command(directory.path(), &[]), File::create(&log).unwrap().into());
    let door = Door::open(process.address).settled();
    let Some(strace) = Syncs::Fail.of(process.id()) else {
        process.tell_to_stop();
        return not_run(NO_STRACE);
    };
    let renamed = door.owner("PATCH", &format!("/api/v1/events/{}", door.event), json!({"title": "Saturday"}));
    assert!(matches!(renamed.status, 0 | 504), "nobody may say whether it is on the disk: {}", renamed.status);
    assert!(process.wait().is_some_and(|code| code != 0), "it ends, and not as if all were well");
    strace.wait();
    let said = log_of(&log);
    assert!(said.lines().any(|l| l.starts_with("groundswell: ") && l.contains("disk")), "{said}");

    let again = Process::start(directory.path());
    let door = door.at(again.address);
    let title = door.owner("GET", &format!("/api/v1/events/{}", door.event), Value::Null).expect(200).json()["title"].clone();
    assert!(title == "Friday" || title == "Saturday", "{title}");
    door.vote(&door.voter()).expect(202);
    assert_eq!(again.stop(), Some(0));
}

#[test]
fn a_disk_that_fails_under_the_spill_ends_the_process_and_what_was_kept_before_is_counted() {
    if !strace_is_there() {
        return;
    }
    with_own_broker(|broker| {
        let directory = TempDir::new().unwrap();
        let log = directory.path().join("log");
        let place = Place::at(Some((broker.database_url.clone(), broker.amqp_url.clone())));
        let process = Process::logging(&mut beside_the_broker(broker, &place, directory.path()), File::create(&log).unwrap().into());
        let door = Door::open(process.address).settled();
        broker.crash();
        let voters: Vec<Voter> = (0..20).map(|_| door.voter()).collect();
        for voter in &voters {
            door.vote(voter).expect(202);
        }
        let doubtful = door.voter();
        let Some(strace) = Syncs::Fail.of(process.id()) else { return not_run(NO_STRACE) };
        assert_eq!(door.vote(&doubtful).status, 504);
        assert!(process.wait().is_some_and(|code| code != 0));
        strace.wait();
        let said = log_of(&log);
        assert!(said.lines().any(|l| l.starts_with("groundswell: ") && l.contains("DATA_DIR")), "{said}");

        broker.control(&["restart", "rabbitmq"]);
        let again = Process::of(&mut beside_the_broker(broker, &place, directory.path()));
        let door = door.at(again.address);
        until_within(RESTART, "what was kept is counted", || door.counted() >= 20);
        door.vote(&doubtful).expect(202);
        until("and the doubtful one, once", || door.counted() == 21);
        assert_eq!(again.stop(), Some(0));
    });
}

//! A checker that has never failed proves nothing. Each mistake of `groundswell::planted` is switched on in a real server, is given the
//! fault that brings it out, and must be caught; without it, the same scenario is clean. `GROUNDSWELL_TEST_PLANTED` is the binary.

use std::path::{Path, PathBuf};

use groundswell::rehearsal::checker::Outcome;

use crate::cluster::{Cluster, Plan, REDELIVERED, SPILLED, until_within};
use crate::distributed::open_with;
use crate::door::Door;
use crate::embedded::kill_in_a_loop;
use crate::faults::{delete_queues, kill_tallies_before_ack, start_tallies};
use crate::judge::{Report, judge, say};
use crate::one_at_a_time;
use crate::proxy::Weather;
use crate::services::Services;
use crate::support::syncs::{Syncs, strace_is_there};
use crate::support::{setting, until};
use crate::voters::{Crowd, Habits};

/// One by one, by hand: what must come first comes first.
const HABITS: Habits = Habits { people: 30, per_second: 0, connections: 0, seed: 1, round: None };

fn binary() -> Option<PathBuf> {
    setting("GROUNDSWELL_TEST_PLANTED").map(PathBuf::from)
}

type Scenario = fn(&mut Cluster, &Door, &Crowd);

/// What becomes of a scenario, with a mistake or without.
fn play(services: &'static Services, binary: &Path, planted: Option<&'static str>, scenario: Scenario) -> Report {
    let mut cluster = Cluster::start(services, Plan { binary: binary.to_owned(), planted, webs: 2, tallies: 1 });
    let (door, crowd, viewer) = open_with(&cluster, HABITS);
    scenario(&mut cluster, &door, &crowd);
    cluster.heal();
    let door = door.at(cluster.address());
    cluster.until_flowing();
    let report = judge(&door, &crowd, &viewer);
    Report { redelivered: cluster.sum(REDELIVERED), spilled: cluster.sum(SPILLED), ..report }
}

fn caught(planted: &'static str, report: &Report, by: fn(&Report) -> i64) {
    assert!(by(report) > 0 && !report.is_clean(), "{planted} goes unnoticed: {report}");
    say(format_args!("planted {planted}: caught: {report}"));
}

fn is_caught(planted: &'static str, scenario: Scenario, by: fn(&Report) -> i64) {
    let (_turn, Some(binary)) = (one_at_a_time(), binary()) else { return };
    let Some(services) = Services::shared() else { return };
    let honest = play(services, &binary, None, scenario);
    assert!(honest.is_clean(), "without {planted}, nothing is wrong: {honest} {:?}", honest.verdict.examples);
    caught(planted, &play(services, &binary, Some(planted), scenario), by);
}

fn all_vote(crowd: &Crowd, revision: u16, server: usize) {
    for person in 0..HABITS.people {
        assert_eq!(crowd.vote(person, revision, server), Outcome::Ok);
    }
}

#[test]
fn planted_a_batch_acknowledged_before_its_commit_is_caught() {
    is_caught(
        "ack-before-commit",
        |cluster, _, crowd| {
            // Whoever counts cannot commit, and dies with what it took.
            cluster.tally_database.set(Weather::Held { up: true, down: true });
            all_vote(crowd, 1, 0);
            until_taken(cluster);
            cluster.kill_tally(0);
        },
        |report| report.verdict.lost as i64,
    );
}

/// Nothing waits in the broker for somebody to take it.
fn until_taken(cluster: &Cluster) {
    until_within("the tally has taken what there is", || {
        let listed = cluster.services.control(&["rabbitmqctl", "-q", "list_queues", "--no-table-headers", "messages_ready", "name"]);
        let mine = listed.lines().filter(|line| line.contains(&cluster.prefix));
        mine.clone().count() > 0 && mine.map(|line| line.split_whitespace().next().expect("a number").to_owned()).all(|ready| ready == "0")
    });
}

#[test]
fn planted_a_batch_struck_off_the_journal_before_its_commit_is_caught() {
    let (_turn, Some(binary)) = (one_at_a_time(), binary()) else { return };
    caught("ack-before-commit, embedded", &kill_in_a_loop(&binary, Some("ack-before-commit"), 12, 1), |report| report.verdict.lost as i64);
}

#[test]
fn planted_a_publish_that_is_not_mandatory_is_caught() {
    is_caught(
        "publish-without-mandatory",
        |cluster, _, crowd| {
            delete_queues(cluster);
            // A broker that takes everything closes the circuits; an honest server finds out and declares again.
            cluster.until_flowing();
            all_vote(crowd, 1, 0);
            start_tallies(cluster);
        },
        |report| report.verdict.lost as i64,
    );
}

#[test]
fn planted_a_batch_applied_twice_is_caught() {
    is_caught("no-dedupe", |cluster, door, crowd| kill_tallies_before_ack(cluster, door, || all_vote(crowd, 1, 0)), |report| report.verdict.doubled as i64);
}

#[test]
fn planted_a_replay_over_a_newer_ballot_is_caught() {
    is_caught(
        "replay-overwrites",
        |cluster, door, crowd| {
            // One server is cut off and keeps the first ballots; the second ones go through the other.
            cluster.webs[0].broker.set(Weather::Torn);
            all_vote(crowd, 1, 0);
            all_vote(crowd, 2, 1);
            until("the newer ballots are counted", || door.books()["counted"] == HABITS.people as i64);
            cluster.webs[0].broker.set(Weather::Fair);
            cluster.until_flowing();
        },
        |report| report.verdict.wrong as i64,
    );
}

#[test]
fn planted_an_entry_released_without_its_confirm_is_caught() {
    is_caught(
        "release-unconfirmed",
        |cluster, _, crowd| {
            cluster.webs[0].broker.set(Weather::Torn);
            all_vote(crowd, 1, 0);
            // The broker seems to be back, and is gone again in the midst of the first replay.
            cluster.webs[0].broker.tear_at_ballots();
            until_within("replay has begun, and come to nothing", || cluster.webs[0].broker.is_torn());
        },
        |report| report.verdict.lost as i64,
    );
}

#[test]
fn planted_a_tally_of_what_was_sent_is_caught() {
    is_caught("tally-of-the-sent", |_, _, crowd| (1..=3).for_each(|revision| all_vote(crowd, revision, 0)), |report| report.verdict.doubled as i64);
}

#[test]
fn planted_a_refusal_of_what_the_broker_took_is_caught() {
    is_caught(
        "silence-is-refusal",
        |cluster, _, crowd| {
            // The broker takes everything, and its confirms do not come.
            cluster.webs[0].broker.set(Weather::Held { up: false, down: true });
            // An honest server has the disk. Nobody here sends again what was refused.
            (0..HABITS.people).for_each(|person| _ = crowd.vote(person, 1, 0));
        },
        |report| report.verdict.phantom as i64,
    );
}

/// The page cache outlives kill -9, so the power is cut by hand: from a moment on no sync succeeds, and what the disk holds when the
/// lights go on again is what it held then.
#[test]
fn planted_a_spill_that_does_not_sync_is_caught() {
    if !strace_is_there() {
        return;
    }
    is_caught(
        "spill-without-sync",
        |cluster, _, crowd| {
            cluster.webs[0].broker.set(Weather::Torn);
            for person in 0..HABITS.people / 2 {
                assert_eq!(crowd.vote(person, 1, 0), Outcome::Ok);
            }
            let disk = tempfile::TempDir::new().expect("a directory");
            copy_all(&cluster.webs[0].data, disk.path());
            let strace = Syncs::Fail.of(cluster.webs[0].process.as_ref().expect("it runs").id()).expect("strace attaches to our own process");
            // An honest server answers none of these with a 202, and ends.
            (HABITS.people / 2..HABITS.people).for_each(|person| _ = crowd.vote(person, 1, 0));
            cluster.kill_web(0);
            strace.wait();
            std::fs::remove_dir_all(&cluster.webs[0].data).expect("the power is cut");
            copy_all(disk.path(), &cluster.webs[0].data);
        },
        |report| report.verdict.lost as i64,
    );
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory").flatten() {
        if entry.path().is_dir() {
            copy_all(&entry.path(), &to.join(entry.file_name()));
        } else {
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("it is copied");
        }
    }
}

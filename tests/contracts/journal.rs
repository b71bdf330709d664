//! Lanes in one process and their journal: a vote is safe once it is on the disk, and counted after that, whatever happens in between.

use std::path::Path;
use std::sync::Arc;

use groundswell::domain::InstanceId;
use groundswell::queue::{Memory, NotSafe, Queue, Safe, Spill, SpillSettings};
use serde_json::Value;
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

use crate::craft::{ballot, batch, instance, poll_id, soon};
use crate::door::{Door, Voter, figure};
use crate::process::{Process, command, run};
use crate::support::{runtime, until};

/// Nobody else writes into the database until this is dropped; who counts has to wait.
struct Held {
    _connection: SqliteConnection,
}

impl Held {
    async fn of(directory: &Path) -> Held {
        let url = format!("sqlite://{}/groundswell.db", directory.display());
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        // Somebody may be writing at this very moment.
        for statement in ["pragma busy_timeout = 30000", "begin immediate"] {
            sqlx::query(statement).execute(&mut connection).await.unwrap();
        }
        Held { _connection: connection }
    }
}

fn vote(door: &Door) -> (Voter, Value) {
    let voter = door.voter();
    let answer = door.vote(&voter).expect(202).json();
    (voter, answer)
}

#[test]
fn votes_are_accepted_while_the_database_cannot_be_written_and_counted_when_it_can() {
    let directory = TempDir::new().unwrap();
    let process = Process::start(directory.path());
    let door = Door::open(process.address).settled();
    let runtime = runtime();
    let held = runtime.block_on(Held::of(directory.path()));
    let voters: Vec<Voter> = (1..=20)
        .map(|votes| {
            let (voter, answer) = vote(&door);
            assert_eq!(answer["status"], "received");
            assert_eq!(figure(process.metrics(), "groundswell_journal_ballots"), f64::from(votes), "what is answered is in the figures");
            voter
        })
        .collect();
    assert!(door.is_ready());
    runtime.block_on(async { drop(held) });
    until("all are counted", || door.counted() == 20);
    until("nothing is kept any more", || figure(process.metrics(), "groundswell_journal_ballots") == 0.0);
    for voter in &voters {
        door.vote(voter).expect(202);
    }
    until("their repeats are in the books", || door.books()["duplicate"] == 20);
    assert_eq!((door.counted(), process.stop()), (20, Some(0)));
}

#[test]
fn what_was_accepted_and_not_counted_when_the_process_was_killed_is_counted_before_the_next_one_answers() {
    let directory = TempDir::new().unwrap();
    let mut process = Process::start(directory.path());
    let door = Door::open(process.address).settled();
    let runtime = runtime();
    vote(&door);
    until("it is counted", || door.counted() == 1);
    let held = runtime.block_on(Held::of(directory.path()));
    (0..10).for_each(|_| _ = vote(&door));
    process.kill();
    runtime.block_on(async { drop(held) });

    let mut process = Process::start(directory.path());
    let door = door.at(process.address);
    assert_eq!(door.counted(), 11);
    door.set_state("closed");
    until("nothing is missing", || door.status() == "final");
    // Nothing is left to be counted another time.
    process.kill();
    let process = Process::start(directory.path());
    let books = door.at(process.address).books();
    assert_eq!((&books["received"], &books["counted"], &books["duplicate"]), (&11.into(), &11.into(), &0.into()));
    assert_eq!(process.stop(), Some(0));
    assert!(run(&mut command(directory.path(), &["recount"])).status.success());
}

#[test]
fn a_stop_that_cannot_wait_for_the_database_leaves_its_votes_to_the_next_start() {
    let directory = TempDir::new().unwrap();
    let process = Process::start(directory.path());
    let door = Door::open(process.address).settled();
    let runtime = runtime();
    let held = runtime.block_on(Held::of(directory.path()));
    (0..10).for_each(|_| _ = vote(&door));
    process.tell_to_stop();
    process.wait();
    runtime.block_on(async { drop(held) });
    let process = Process::start(directory.path());
    assert_eq!((door.at(process.address).counted(), process.stop()), (10, Some(0)));
}

/// Lanes with a journal in a directory of their own.
fn with_lanes(test: impl AsyncFnOnce(&dyn Fn(InstanceId) -> Spill)) {
    let directory = TempDir::new().unwrap();
    let database = directory.path().join("groundswell.db");
    let open = |instance| Spill::open(SpillSettings::journal(&database, 1 << 30, 0), instance).unwrap();
    runtime().block_on(test(&open));
}

#[test]
fn a_batch_stays_in_the_journal_until_it_is_acknowledged() {
    with_lanes(async |open| {
        let id = instance();
        let journal = open(id);
        let queue = Queue::Memory(Memory::with_journal(2, journal.clone()));
        let one = Arc::new(batch(id, 1, 1, vec![ballot(poll_id(), 1, 1, "1")]));
        assert_eq!(queue.publish(one.clone()).await, Ok(Safe::Queued), "nobody has taken it");
        assert!(queue.may_hold_ballots());
        let mut consumer = queue.consume(vec![0, 1]);
        drop(soon("it is delivered", consumer.take(100)).await.unwrap());
        assert_eq!(journal.holding().ballots, 1, "it was not acknowledged");
        let taken = soon("it is delivered", consumer.take(100)).await.unwrap();
        assert!(taken.deliveries()[0].redelivered);
        taken.ack().await;
        while journal.holding().batches > 0 {
            tokio::task::yield_now().await;
        }
        assert!(!queue.may_hold_ballots());
        journal.close().await;
        assert_eq!(open(instance()).holding().batches, 0);
    });
}

#[test]
fn who_stops_waiting_for_the_disk_does_not_keep_a_batch_out_of_its_lane() {
    with_lanes(async |open| {
        let id = instance();
        let queue = Queue::Memory(Memory::with_journal(1, open(id)));
        let publish = |number| queue.publish(Arc::new(batch(id, 0, number, vec![ballot(poll_id(), 1, 1, "1")])));
        let mut numbers = 1..100;
        // Given up at the first wait. A disk may be faster than that; not each time.
        let given_up = numbers.find(|number| futures_util::FutureExt::now_or_never(publish(*number)).is_none());
        let mut consumer = queue.consume(vec![0]);
        let mut delivered = 0;
        while delivered < given_up.expect("disks take their time") {
            delivered += soon("it is delivered", consumer.take(100)).await.unwrap().deliveries().len() as u64;
        }
    });
}

/// A lane once held 1,024 batches at most, which a quick disk fills within a second of a stall.
#[test]
fn small_batches_do_not_fill_a_lane_before_their_ballots_do() {
    with_lanes(async |open| {
        let id = instance();
        let queue = Queue::Memory(Memory::with_journal(1, open(id)));
        let poll = poll_id();
        let publishes = (1..=2_000).map(|number| queue.publish(Arc::new(batch(id, 0, number, vec![ballot(poll, number as u32, 1, "1")]))));
        let outcomes = futures_util::future::join_all(publishes).await;
        assert!(outcomes.iter().all(|outcome| *outcome == Ok(Safe::Queued)), "nobody counts, and there is room");
        assert!(queue.is_ready());
    });
}

#[test]
fn databases_have_journals_of_their_own() {
    let directory = TempDir::new().unwrap();
    runtime().block_on(async {
        let id = instance();
        for (name, held) in [("show.db", 0), ("show.sqlite", 0), ("show.db", 1)] {
            let journal = Spill::open(SpillSettings::journal(&directory.path().join(name), 1 << 30, 0), id).unwrap();
            assert_eq!(journal.holding().batches, held, "{name}");
            if name == "show.db" {
                journal.keep(Arc::new(batch(id, 0, held + 1, vec![ballot(poll_id(), 1, 1, "1")]))).await.unwrap();
            }
            journal.close().await;
        }
    });
}

#[test]
fn a_database_that_is_away_for_long_has_votes_refused_and_not_the_memory_filled() {
    with_lanes(async |open| {
        let id = instance();
        let queue = Queue::Memory(Memory::with_journal(1, open(id)));
        let poll = poll_id();
        let many = |number: u64| Arc::new(batch(id, 0, number, (0..4_096).map(|n| ballot(poll, number as u32 * 4_096 + n, 1, "1")).collect()));
        let mut accepted = 0;
        let refused = loop {
            match queue.publish(many(accepted + 1)).await {
                Ok(_) => accepted += 1,
                Err(why) => break why,
            }
            assert!(accepted < 100, "lanes are bounded");
        };
        assert!(matches!(refused, NotSafe::Refused(_)), "{refused:?}");
        assert!(accepted * 4_096 >= 250_000 && !queue.is_ready());
        let mut consumer = queue.consume(vec![0]);
        soon("it is delivered", consumer.take(20_000)).await.unwrap().ack().await;
        assert!(queue.is_ready());
        assert_eq!(queue.publish(many(accepted + 1)).await, Ok(Safe::Queued));
    });
}

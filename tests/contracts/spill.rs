//! The spill by itself, and between intake and a broker that returns what it is given.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use groundswell::clock::now_ms;
use groundswell::domain::{Batch, InstanceId};
use groundswell::intake::Intake;
use groundswell::queue::{Held, NotSafe, Spill, SpillSettings};
use groundswell::tally::Worker;
use groundswell::wire::batch::decode;
use lapin::options::QueueDeleteOptions;
use tempfile::TempDir;
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

use crate::craft::{ballot, batch, eventually, instance, poll_id, soon, tally};
use crate::disk::SmallDisk;
use crate::queue::{LANES, lanes};
use crate::support::{Backend, Place, runtime, services_are_there};

pub fn settings(directory: &Path) -> SpillSettings {
    SpillSettings::spill(directory.to_owned(), 1 << 30, 0)
}

fn small(from: InstanceId, lane: u16, number: u64) -> Arc<Batch> {
    Arc::new(batch(from, lane, number, vec![ballot(poll_id(), number as u32, 1, "1")]))
}

fn with_spill(test: impl AsyncFnOnce(&Path)) {
    let directory = TempDir::new().unwrap();
    runtime().block_on(test(directory.path()));
}

fn numbers(held: &[Held]) -> Vec<(u16, u64)> {
    held.iter().map(|h| (h.lane, h.number)).collect()
}

#[test]
fn what_is_kept_is_there_after_a_restart_as_it_was_and_oldest_first() {
    with_spill(async |directory| {
        let (first, second) = (instance(), instance());
        let spill = Spill::open(settings(directory), first).unwrap();
        let batches: Vec<_> = (1..=5).map(|n| small(first, (n % 2) as u16, n)).collect();
        for batch in &batches {
            spill.keep(batch.clone()).await.unwrap();
        }
        assert_eq!((spill.holding().batches, spill.holding().ballots), (5, 5));
        let before = spill.holding();
        // Not closed in good order.
        drop(spill);

        let spill = Spill::open(settings(directory), second).unwrap();
        let holding = spill.holding();
        assert_eq!((holding.batches, holding.bytes, holding.oldest), (before.batches, before.bytes, before.oldest));
        assert_eq!((holding.by_instance[&first], holding.by_instance[&second]), (5, 0));
        let held = spill.oldest(vec![], 100).await.unwrap();
        for (held, batch) in held.iter().zip(&batches) {
            assert_eq!((decode(&held.body).unwrap(), held.instance, held.accepted_at), ((**batch).clone(), first, batch.accepted_at));
        }
        assert_eq!(numbers(&held), [(1, 1), (0, 2), (1, 3), (0, 4), (1, 5)]);
        assert_eq!(numbers(&spill.oldest(vec![1], 100).await.unwrap()), [(0, 2), (0, 4)], "lanes that take nothing are left out");
        assert_eq!(numbers(&spill.oldest(vec![], 2).await.unwrap()), [(1, 1), (0, 2)]);
    });
}

#[test]
fn only_what_is_released_goes_and_the_sums_follow() {
    with_spill(async |directory| {
        let from = instance();
        let spill = Spill::open(settings(directory), from).unwrap();
        let keeps = (1..=200).map(|n| spill.keep(small(from, 0, n)));
        // Together: in as few commits as it takes.
        assert!(futures_util::future::join_all(keeps).await.iter().all(Result::is_ok));
        let held = spill.oldest(vec![], 150).await.unwrap();
        spill.release(Arc::new(held)).await.unwrap();
        assert_eq!((spill.holding().batches, spill.holding().by_instance[&from]), (50, 50));
        let rest = spill.oldest(vec![], 1_000).await.unwrap();
        assert_eq!(rest.len(), 50);
        spill.release(Arc::new(rest)).await.unwrap();
        let holding = spill.holding();
        assert_eq!((holding.batches, holding.ballots, holding.bytes, holding.oldest), (0, 0, 0, None));
        // Its own books are open until it is struck off.
        assert_eq!(holding.by_instance[&from], 0);
        spill.strike(from).await.unwrap();
        spill.close().await;
        let next = Spill::open(settings(directory), instance()).unwrap();
        assert!(!next.holding().by_instance.contains_key(&from));
    });
}

#[test]
fn a_full_spill_refuses_and_takes_again_once_there_is_room() {
    with_spill(async |directory| {
        let from = instance();
        let spill = Spill::open(SpillSettings::spill(directory.to_owned(), 10_000, 0), from).unwrap();
        let mut kept = 0;
        let refused = loop {
            match spill.keep(small(from, 0, kept + 1)).await {
                Ok(_) => kept += 1,
                Err(refused) => break refused,
            }
            assert!(kept < 1_000, "a spill is bounded");
        };
        // Certainly not written: whoever asked may be told so.
        assert!(matches!(refused, NotSafe::Refused(_)), "{refused:?}");
        assert!(spill.holding().bytes < 10_000);
        // It looks again by itself, and there is room for something, but not for a batch.
        let looked_again = Instant::now() + Duration::from_millis(1_500);
        while Instant::now() < looked_again {
            assert!(!spill.is_writable());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let held = spill.oldest(vec![], 1_000).await.unwrap();
        assert_eq!(held.len() as u64, kept);
        spill.release(Arc::new(held)).await.unwrap();
        assert!(spill.is_writable());
        spill.keep(small(from, 0, 2_000)).await.unwrap();
    });
}

/// About 100 KB.
fn large(from: InstanceId, number: u64) -> Arc<Batch> {
    let poll = poll_id();
    Arc::new(batch(from, 0, number, (0..800).map(|voter| ballot(poll, voter, 1, "1")).collect()))
}

#[test]
fn an_empty_spill_gives_the_disk_its_space_back() {
    with_spill(async |directory| {
        let from = instance();
        let file_bytes = || std::fs::metadata(directory.join("spill.db")).unwrap().len();
        let spill = Spill::open(settings(directory), from).unwrap();
        let mut number = 0;
        while spill.holding().bytes < 20 << 20 {
            number += 1;
            spill.keep(large(from, number)).await.unwrap();
        }
        while spill.holds_anything() {
            spill.release(Arc::new(spill.oldest(vec![], 1_000).await.unwrap())).await.unwrap();
        }
        eventually("the file is small again", async || file_bytes() < 1 << 20).await;
        spill.keep(small(from, 0, number + 1)).await.unwrap();
        assert_eq!(spill.oldest(vec![], 10).await.unwrap().len(), 1);
    });
}

#[test]
fn what_is_free_in_the_file_is_room_while_others_are_still_held() {
    let Some(disk) = SmallDisk::mount() else { return };
    runtime().block_on(async {
        let from = instance();
        let spill = Spill::open(SpillSettings::spill(disk.path().to_owned(), 1 << 30, 4 << 20), from).unwrap();
        let mut kept = 0;
        while spill.keep(large(from, kept + 1)).await.is_ok() {
            kept += 1;
            assert!(kept < 1_000, "a disk is bounded");
        }
        assert!(kept > 20 && !spill.is_writable(), "{kept}");
        let held = spill.oldest(vec![], (kept / 2) as usize).await.unwrap();
        spill.release(Arc::new(held)).await.unwrap();
        assert!(spill.holds_anything() && spill.is_writable());
        spill.keep(large(from, 1_000)).await.unwrap();
    });
}

#[test]
fn nothing_is_kept_that_would_fill_the_disk() {
    with_spill(async |directory| {
        let spill = Spill::open(SpillSettings::spill(directory.to_owned(), 1 << 30, u64::MAX / 2), instance()).unwrap();
        assert!(!spill.is_writable());
        assert!(matches!(spill.keep(small(instance(), 0, 1)).await, Err(NotSafe::Refused(_))));
        assert_eq!(spill.holding().batches, 0);
    });
}

#[test]
fn a_batch_the_broker_returns_is_kept_and_passed_on_when_the_lane_is_there_again() {
    if !services_are_there() {
        return;
    }
    let place = Place::new(Backend::Distributed);
    runtime().block_on(LocalSet::new().run_until(async {
        let store = place.store().await;
        let queue = lanes(&place);
        soon("lanes", queue.until_ready()).await;
        let (id, poll, stop) = (instance(), poll_id(), CancellationToken::new());
        store.register_instance(id, LANES, now_ms() - 1).await.unwrap();
        let spill = Spill::open(settings(place.directory.path()), id).unwrap();
        let intake = Intake::with_spill(queue.clone(), Some(spill.clone()), id, LANES, now_ms() - 1);
        let desk = intake.desk();

        let connection = lapin::Connection::connect(place.amqp_url.as_deref().unwrap(), lapin::ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.queue_delete(format!("{}.lane.00", place.amqp_prefix).into(), QueueDeleteOptions::default()).await.unwrap();
        // Nobody probes yet: what follows goes straight to the disk.
        for n in 0..3 {
            let receipt = soon("a receipt", desk.accept(0, ballot(poll, n, 1, "1"))).await.expect("accepted all the same");
            assert!(!receipt.counted);
        }
        assert_eq!(spill.holding().ballots, 3);
        // The other lanes do not care, once the connection that met the failure is built anew.
        soon("lanes", queue.until_ready()).await;
        soon("a receipt", desk.accept(1, ballot(poll, 7, 1, "1"))).await.expect("accepted");

        let probing = tokio::spawn({
            let (intake, stop) = (intake.clone(), stop.clone());
            async move { intake.probe_until(stop).await }
        });
        let replaying = tokio::spawn({
            let (intake, stop) = (intake.clone(), stop.clone());
            async move { intake.replay_until(stop).await }
        });
        eventually("the spill is empty", async || spill.holding().batches == 0).await;
        let counting = tokio::spawn(Worker::new(store.clone(), queue.consume((0..LANES).collect()), 0).run(stop.clone(), || {}));
        eventually("all four are counted, once", async || tally(&store, poll).await.books.received == 4).await;
        eventually("no number is missing", async || {
            intake.beat().await;
            store.standing().await.unwrap().in_flight() == 0
        })
        .await;
        assert_eq!(tally(&store, poll).await.books.counted, 4);
        stop.cancel();
        for task in [probing, replaying] {
            soon("an end", task).await.unwrap();
        }
        soon("an end", counting).await.unwrap().unwrap();
        intake.end().await;
        queue.close().await;
        store.close().await;
        let _ = connection.close(200, "done".into()).await;
    }));
}

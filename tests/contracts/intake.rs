//! Micro-batches: who waits for what, what is refused, and what a beat may say. The desk stays on one thread, as in a web worker.

use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use groundswell::clock::now_ms;
use groundswell::domain::{Ballot, InstanceId, Millis, PollId, PollState};
use groundswell::error::Error;
use groundswell::intake::{Desk, Intake, Receipt, WAITING_MAX};
use groundswell::queue::{Memory, Queue, Spill};
use groundswell::store::Store;
use groundswell::tally::Worker;
use lapin::options::QueueDeleteOptions;
use tokio::task::{JoinHandle, LocalSet};
use tokio_util::sync::CancellationToken;

use crate::craft::{PATIENCE, assert_proven, ballot, batch, event_with_poll, eventually, eventually_within, instance, poll_id, soon, stamp, tally, voter};
use crate::on_both;
use crate::outage::place_at;
use crate::queue::{LANES, lanes};
use crate::spill::settings;
use crate::support::{Backend, Place, runtime};
use crate::trouble::{Broker, with_own_broker};

on_both![
    waiters_of_one_batch_hear_the_same_time,
    a_ballot_whose_waiter_has_gone_is_counted_all_the_same,
    a_full_waiting_room_refuses_at_once_and_empties,
    the_number_of_a_refused_batch_is_made_good_by_the_next_beat,
    counted_through_never_passes_a_receipt_that_is_not_in_the_tally,
    the_last_beat_ends_the_instance,
    a_receipt_is_later_than_every_beat_before_it,
];

/// A ballot stands in line behind a batch that takes three seconds, and the poll closes right after it was let in. It is refused: a
/// receipt stamped when it leaves would be late, and its vote not counted.
#[test]
fn a_vote_accepted_behind_a_stalled_batch_is_never_late() {
    with_intake(Backend::Embedded, async |scene| {
        let (event, poll) = event_with_poll(&scene.store).await;
        let desk = scene.desk();
        let mut consumer = scene.queue.consume((0..LANES).collect());
        let first = spawn_local(&desk, ballot(poll, 1, 1, "1"));
        let held = soon("the first batch", consumer.take(10_000)).await.expect("it is there");
        let second = spawn_local(&desk, ballot(poll, 2, 1, "2"));
        eventually("both wait", async || scene.intake.waiting() == 2).await;
        scene.store.set_poll_state(event.id, poll, PollState::Closed, stamp()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        // Back into the lane, and on to somebody who counts.
        drop(held);
        consumer.close().await;
        let counting = scene.count();
        let answers = [soon("the first", first).await.unwrap(), soon("the second", second).await.unwrap()];
        let accepted = answers.iter().filter(|answer| answer.is_ok()).count() as i64;
        let unknown = answers.iter().filter(|answer| matches!(answer, Err(Error::Unknown(_)))).count() as i64;
        counting.end().await;
        let books = tally(&scene.store, poll).await.books;
        assert!(books.late == 0 && (accepted..=accepted + unknown).contains(&books.counted), "what was accepted is counted: {answers:?} {books:?}");
        assert!(matches!(answers[1], Err(Error::Busy(_))), "{:?}", answers[1]);
    });
}

/// A batch that waits longer for its confirm counts as lost by the broker.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(1);
/// What other tests write at the same time comes to an end.
const DISK_IS_SLOW_MAX: Duration = Duration::from_secs(120);

/// A broker that takes long, though not so long that it counts as away: whoever votes meanwhile has the disk, and is told before the first.
#[test]
fn votes_behind_a_batch_that_the_broker_is_slow_to_confirm_go_to_the_disk() {
    with_own_broker(|broker| {
        // While even the disk takes longer than a batch is waited for, nothing can be told of who went first.
        let began = Instant::now();
        while !somebody_behind_a_slow_batch_is_told_before_it_is_overdue(broker) {
            assert!(began.elapsed() < DISK_IS_SLOW_MAX, "nobody has the disk before the first batch counts as lost");
        }
    });
}

fn somebody_behind_a_slow_batch_is_told_before_it_is_overdue(broker: &Broker) -> bool {
    let place = place_at(broker);
    runtime().block_on(LocalSet::new().run_until(async {
        let (queue, instance) = (lanes(&place), instance());
        soon("lanes", queue.until_ready()).await;
        let spill = Spill::open(settings(place.directory.path()), instance).unwrap();
        let intake = Intake::with_spill(queue.clone(), Some(spill.clone()), instance, LANES, now_ms() - 1);
        let desk = Rc::new(intake.desk());
        let vote = |n| spawn_local(&desk, ballot(poll_id(), n, 1, "1"));
        broker.control(&["pause", "rabbitmq"]);
        let (first, began) = (vote(1), Instant::now());
        // The first of these may still join its batch.
        let mut others = Vec::new();
        eventually("somebody is told", async || {
            others.push(vote(others.len() as u32 + 2));
            others.iter().any(JoinHandle::is_finished)
        })
        .await;
        let (overtook, in_time) = (!first.is_finished(), began.elapsed() < CONFIRMED_WITHIN);
        broker.control(&["resume", "rabbitmq"]);
        for answer in others.into_iter().chain([first]) {
            match soon("an answer", answer).await.unwrap() {
                Ok(_) => {}
                // Where even the disk takes longer than that, nobody may join any more.
                Err(Error::Busy(_)) if !in_time => {}
                Err(why) => panic!("accepted, and not {why:?}"),
            }
        }
        assert!(overtook || !in_time, "nobody waits behind a batch that is overdue");
        assert!(spill.holding().ballots > 0);
        queue.close().await;
        in_time
    }))
}

fn spawn_local(desk: &Rc<Desk>, ballot: Ballot) -> JoinHandle<Result<Receipt, Error>> {
    let desk = desk.clone();
    tokio::task::spawn_local(async move { desk.accept(0, ballot).await })
}

/// The queue has one lane and the intake two, so whoever carries a batch of the second one panics.
#[test]
fn a_carrier_that_panics_leaves_nobody_standing_in_line() {
    runtime().block_on(LocalSet::new().run_until(async {
        let intake = Intake::new(Queue::Memory(Memory::new(1)), instance(), 2);
        let desk = Rc::new(intake.desk());
        for n in 0..3 {
            let answer = soon("an answer", desk.accept(1, ballot(poll_id(), n, 1, "1"))).await;
            assert!(matches!(answer, Err(Error::Unknown(_) | Error::Busy(_))), "{answer:?}");
        }
        assert_eq!(intake.waiting(), 0);
    }));
}

struct Scene {
    place: Place,
    store: Store,
    queue: Queue,
    intake: Intake,
    instance: InstanceId,
}

impl Scene {
    fn desk(&self) -> Rc<Desk> {
        Rc::new(self.intake.desk())
    }

    /// Two workers, each with half of the lanes.
    fn count(&self) -> Counting {
        let stop = CancellationToken::new();
        let workers = (0..2u16).map(|home| {
            let own = (0..LANES).filter(|lane| lane % 2 == home).collect();
            tokio::spawn(Worker::new(self.store.clone(), self.queue.consume(own), home).run(stop.clone(), || {}))
        });
        Counting { workers: workers.collect(), stop }
    }

    async fn in_flight(&self) -> u64 {
        self.store.standing().await.unwrap().in_flight()
    }
}

struct Counting {
    workers: Vec<JoinHandle<Result<(), Error>>>,
    stop: CancellationToken,
}

impl Counting {
    async fn end(self) {
        self.stop.cancel();
        for worker in self.workers {
            soon("the worker's end", worker).await.expect("no panic").expect("the disk is well");
        }
    }
}

fn with_intake(backend: Backend, test: impl AsyncFnOnce(&Scene)) {
    let place = Place::new(backend);
    runtime().block_on(LocalSet::new().run_until(async {
        let store = place.store().await;
        let queue = lanes(&place);
        soon("lanes", queue.until_ready()).await;
        let instance = instance();
        store.register_instance(instance, LANES, now_ms() - 1).await.unwrap();
        let intake = Intake::new(queue.clone(), instance, LANES);
        let scene = Scene { place, store, queue, intake, instance };
        test(&scene).await;
        scene.queue.close().await;
        scene.store.close().await;
    }));
}

/// Polled once, so that it stands in the batch.
async fn join<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    poll_fn(|context| match std::pin::Pin::new(&mut *future).poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

fn waiters_of_one_batch_hear_the_same_time(backend: Backend) {
    with_intake(backend, async |scene| {
        let (desk, poll, counting) = (scene.desk(), poll_id(), scene.count());
        let waiters = (0..50).map(|n| desk.accept(1, ballot(poll, n, 1, "1")));
        let receipts: Vec<Receipt> = soon("receipts", futures_util::future::join_all(waiters)).await.into_iter().map(Result::unwrap).collect();
        let times: HashSet<Millis> = receipts.iter().map(|r| r.accepted_at).collect();
        assert_eq!(times.len(), 1);
        assert!(receipts.iter().all(|r| r.counted == (backend == Backend::Embedded)), "safe is counted where there is no broker");
        let row = async || scene.store.ballot_of(poll, 1, voter(7)).await.unwrap();
        eventually("the ballot is counted", async || row().await.is_some()).await;
        assert_eq!(row().await.unwrap().accepted_at, receipts[0].accepted_at);
        assert_eq!(tally(&scene.store, poll).await.books.received, 50);
        assert_eq!(scene.intake.waiting(), 0);
        counting.end().await;
    });
}

fn a_ballot_whose_waiter_has_gone_is_counted_all_the_same(backend: Backend) {
    with_intake(backend, async |scene| {
        let (desk, poll, counting) = (scene.desk(), poll_id(), scene.count());
        {
            // A phone that loses its network: the request is dropped while it waits.
            let mut gone = pin!(desk.accept(0, ballot(poll, 1, 1, "1")));
            assert!(join(&mut gone).await.is_none());
        }
        accepted(&desk, 0, &ballot(poll, 2, 1, "1")).await;
        eventually("both are counted", async || tally(&scene.store, poll).await.books.counted == 2).await;
        eventually("nobody waits", async || scene.intake.waiting() == 0).await;
        counting.end().await;
    });
}

fn a_full_waiting_room_refuses_at_once_and_empties(backend: Backend) {
    with_intake(backend, async |scene| {
        let (desk, poll) = (scene.desk(), poll_id());
        // Nothing is on its way before this thread pauses, and those who went away count too: of two who stand side by side in a batch,
        // one does.
        let mut stayed = Vec::new();
        for n in 0..WAITING_MAX as u32 {
            let mut waiter = Box::pin(desk.accept((n % u32::from(LANES)) as u16, ballot(poll, n, 1, "1")));
            assert!(join(&mut waiter).await.is_none());
            if n / u32::from(LANES) % 2 == 0 {
                stayed.push((n, waiter));
            }
        }
        assert_eq!(scene.intake.waiting(), WAITING_MAX);
        let mut refused = pin!(desk.accept(0, ballot(poll, u32::MAX, 1, "1")));
        assert!(matches!(join(&mut refused).await, Some(Err(Error::Busy(_)))), "without waiting");

        let counting = scene.count();
        eventually("the room empties", async || scene.intake.waiting() == 0).await;
        // Where the disk stands still for longer than a ballot may stand in line, those in line are refused; nobody else is. Of a broker that
        // takes longer than a vote waits, nobody can say what it has.
        let (mut kept, mut unknown) = (HashSet::new(), HashSet::new());
        for (n, waiter) in stayed {
            match soon("an answer", waiter).await {
                Ok(_) => kept.extend([n, n + u32::from(LANES)]),
                Err(Error::Unknown(_)) => unknown.extend([n, n + u32::from(LANES)]),
                Err(why) => assert!(matches!(why, Error::Busy(_)), "{why:?}"),
            }
        }
        assert!(!kept.is_empty());
        // So many, written by a build that is not optimised.
        let enough = async || tally(&scene.store, poll).await.books.counted >= kept.len() as i64;
        eventually_within(3 * PATIENCE, "as many as were accepted are counted", enough).await;
        eventually("nobody else is on its way", async || {
            let counted = voters_in(scene, poll).await;
            assert!(counted.iter().all(|n| kept.contains(n) || unknown.contains(n)), "who was refused is not counted");
            counted.is_superset(&kept)
        })
        .await;
        accepted(&desk, 0, &ballot(poll, 1, 2, "2")).await;
        counting.end().await;
        assert_proven(scene.store.recount().await.unwrap());
    });
}

/// Sent again until it is safe, as a phone does.
async fn accepted(desk: &Desk, lane: u16, ballot: &Ballot) -> Receipt {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match desk.accept(lane, ballot.clone()).await {
            Ok(receipt) => return receipt,
            Err(why) => assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {why:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Makes lane 0 refuse the next batch: full where it is in the process, gone where it is on the broker.
async fn obstruct(scene: &Scene) {
    if let Some(url) = &scene.place.amqp_url {
        let connection = lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.queue_delete(format!("{}.lane.00", scene.place.amqp_prefix).into(), QueueDeleteOptions::default()).await.unwrap();
        connection.close(200, "done".into()).await.unwrap();
        return;
    }
    let somebody = instance();
    for number in 1.. {
        let queue = scene.queue.clone();
        let mut publish = Box::pin(async move { queue.publish(Arc::new(batch(somebody, 0, number, vec![]))).await });
        if join(&mut publish).await.is_some() {
            return;
        }
        tokio::spawn(publish);
    }
}

fn the_number_of_a_refused_batch_is_made_good_by_the_next_beat(backend: Backend) {
    with_intake(backend, async |scene| {
        let (desk, poll) = (scene.desk(), poll_id());
        obstruct(scene).await;
        let refused = soon("an answer", desk.accept(0, ballot(poll, 1, 1, "1"))).await;
        assert!(matches!(refused, Err(Error::Busy(_))), "{refused:?}");

        let counting = scene.count();
        soon("lanes", scene.queue.until_ready()).await;
        // The same ballot again, as the phone does: it gets the next number.
        eventually("accepted", async || desk.accept(0, ballot(poll, 1, 1, "1")).await.is_ok()).await;
        eventually("counted", async || tally(&scene.store, poll).await.books.received == 1).await;
        eventually("no number is missing", async || {
            scene.intake.beat().await;
            scene.in_flight().await == 0
        })
        .await;
        let standing = scene.store.standing().await.unwrap();
        assert_eq!(standing.missing, []);
        counting.end().await;
    });
}

fn counted_through_never_passes_a_receipt_that_is_not_in_the_tally(backend: Backend) {
    with_intake(backend, async |scene| {
        let (desk, poll, counting) = (scene.desk(), poll_id(), scene.count());
        let stop = CancellationToken::new();
        let beating = tokio::spawn({
            let (intake, stop) = (scene.intake.clone(), stop.clone());
            async move {
                while !stop.is_cancelled() {
                    intake.beat().await;
                }
            }
        });
        let voting: Vec<JoinHandle<Vec<(u32, Millis)>>> = (0..8)
            .map(|phone| {
                let desk = desk.clone();
                tokio::task::spawn_local(async move {
                    let mut receipts = Vec::new();
                    for n in 0..40 {
                        let number = phone * 1_000 + n;
                        let receipt = accepted(&desk, (number % u32::from(LANES)) as u16, &ballot(poll, number, 1, "1")).await;
                        receipts.push((number, receipt.accepted_at));
                    }
                    receipts
                })
            })
            .collect();
        // First what is said to be counted, then who really is.
        let mut looks: Vec<(Millis, HashSet<u32>)> = Vec::new();
        while voting.iter().any(|v| !v.is_finished()) {
            let said = scene.store.standing().await.unwrap().counted_through;
            looks.push((said, voters_in(scene, poll).await));
        }
        let mut receipts = Vec::new();
        for phone in voting {
            receipts.extend(soon("receipts", phone).await.unwrap());
        }
        for (said, counted) in &looks {
            let missing: Vec<_> = receipts.iter().filter(|(number, at)| at <= said && !counted.contains(number)).collect();
            assert!(missing.is_empty(), "counted through {said}, yet not in the tally: {missing:?}");
        }
        // It passes each of them in the end: every phone gets to show "Counted".
        let last = receipts.iter().map(|(_, at)| *at).max().unwrap();
        eventually("all are counted through", async || scene.store.standing().await.unwrap().counted_through >= last).await;
        assert_eq!(voters_in(scene, poll).await.len(), 320);
        stop.cancel();
        soon("the last beat", beating).await.unwrap();
        counting.end().await;
    });
}

async fn voters_in(scene: &Scene, poll: PollId) -> HashSet<u32> {
    let sql = format!("select voter from ballot where poll = {}", poll.0);
    crate::craft::uuids(&scene.place, &sql).await.into_iter().map(|voter| voter.as_u128() as u32).collect()
}

fn the_last_beat_ends_the_instance(backend: Backend) {
    with_intake(backend, async |scene| {
        let (desk, poll, counting) = (scene.desk(), poll_id(), scene.count());
        accepted(&desk, 2, &ballot(poll, 1, 1, "1")).await;
        // Another one goes on for much longer; the one that ended holds nothing back and is not missed.
        let other = instance();
        let later = now_ms() + 90_000;
        scene.store.register_instance(other, LANES, later).await.unwrap();
        assert_eq!(scene.store.standing().await.unwrap().unreported.iter().map(|u| u.0).collect::<Vec<_>>(), [scene.instance]);
        soon("the last beat", scene.intake.end()).await;
        eventually("ended", async || scene.store.standing().await.unwrap().unreported.is_empty()).await;
        let standing = scene.store.standing().await.unwrap();
        assert_eq!((standing.counted_through, standing.in_flight()), (later, 0));
        assert_eq!(tally(&scene.store, poll).await.books.counted, 1);
        counting.end().await;
    });
}

fn a_receipt_is_later_than_every_beat_before_it(backend: Backend) {
    with_intake(backend, async |scene| {
        let (desk, poll, counting) = (scene.desk(), poll_id(), scene.count());
        for n in 0..20 {
            soon("a beat", scene.intake.beat()).await;
            let before = now_ms();
            let receipt = soon("a receipt", desk.accept(0, ballot(poll, n, 1, "1"))).await.unwrap();
            // The beat spoke for everything up to its clock; even in the same millisecond this one comes after it.
            assert!(receipt.accepted_at >= before);
        }
        let mut said = 0;
        eventually("the beats arrive in their order", async || {
            scene.intake.beat().await;
            let now = scene.store.standing().await.unwrap().counted_through;
            assert!(now >= said, "counted through never goes back");
            said = now;
            tally(&scene.store, poll).await.books.counted == 20
        })
        .await;
        counting.end().await;
    });
}

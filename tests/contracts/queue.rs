//! What every lane promises, in the process or on RabbitMQ: in order, one at a time, until acknowledged.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use groundswell::domain::{Batch, InstanceId};
use groundswell::queue::{Consumer, Content, Memory, NotSafe, Queue, Rabbit, RabbitSettings, Safe, Taken};
use groundswell::wire::batch::encode;
use tokio::task::JoinHandle;

use crate::craft::{PATIENCE, ballot, batch, eventually, instance, poll_id, soon};
use crate::on_both;
use crate::support::{Backend, Place, runtime};

on_both![
    a_lane_is_delivered_in_its_order,
    a_take_collects_what_is_waiting,
    a_take_is_bounded_by_ballots,
    what_is_acknowledged_does_not_come_again,
    what_is_dropped_unacknowledged_comes_again_in_order,
    what_comes_back_again_and_again_is_never_given_up,
    an_acknowledgement_speaks_only_for_what_was_taken,
    what_a_gone_consumer_held_goes_to_the_next,
    a_lane_has_one_active_consumer_at_a_time,
    each_of_two_consumers_is_woken_for_its_own_lanes,
    a_waiting_take_can_be_given_up_without_loss,
    safe_means_confirmed_or_counted,
    many_publishers_at_once_are_all_served_once,
    a_closed_queue_refuses,
];

pub const LANES: u16 = 4;

/// Runs a test with lanes of its own.
pub fn with_lanes(backend: Backend, test: impl AsyncFnOnce(Queue)) {
    let place = Place::lanes_only(backend);
    runtime().block_on(async {
        let queue = lanes(&place);
        soon("lanes", queue.until_ready()).await;
        test(queue.clone()).await;
        queue.close().await;
    });
}

pub fn lanes(place: &Place) -> Queue {
    match &place.amqp_url {
        None => Queue::Memory(Memory::new(LANES)),
        Some(url) => Queue::Rabbit(Rabbit::start(RabbitSettings { url: url.clone(), prefix: place.amqp_prefix.clone(), lanes: LANES }, true).unwrap()),
    }
}

/// Publishes and returns once the batch stands in its lane. In process it is safe only when counted, so that is left to wait.
pub async fn put(queue: &Queue, batch: Batch) -> JoinHandle<Result<Safe, NotSafe>> {
    let (queue, in_process) = (queue.clone(), queue.is_in_process());
    if !in_process {
        // A broker on a machine that does much else may take longer than a vote would wait.
        assert_eq!(queue.publish_message(batch.lane, &encode(&batch), PATIENCE).await, Ok(Safe::Queued));
        return tokio::spawn(async { Ok(Safe::Queued) });
    }
    let mut publish = Box::pin(async move { queue.publish(Arc::new(batch)).await });
    poll_fn(|context| {
        assert!(publish.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
    tokio::spawn(publish)
}

async fn put_all(queue: &Queue, from: InstanceId, lane: u16, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        put(queue, small(from, lane, number)).await;
    }
}

/// One ballot in it.
fn small(from: InstanceId, lane: u16, number: u64) -> Batch {
    batch(from, lane, number, vec![ballot(poll_id(), number as u32, 1, "1")])
}

pub async fn take(consumer: &mut Consumer) -> Taken {
    soon("a delivery", consumer.take(100_000)).await.expect("the queue is open")
}

/// (lane, number) of each batch.
pub fn numbers(taken: &Taken) -> Vec<(u16, u64)> {
    let number = |content: &Content| match content {
        Content::Batch(batch) => batch.number,
        Content::Poison { reason, .. } => panic!("poison: {reason}"),
    };
    taken.deliveries().iter().map(|d| (d.lane, number(&d.content))).collect()
}

/// Takes and acknowledges until there are as many.
pub async fn drain(consumer: &mut Consumer, count: usize) -> Vec<(u16, u64)> {
    let mut all = Vec::new();
    while all.len() < count {
        let taken = take(consumer).await;
        all.extend(numbers(&taken));
        taken.ack().await;
    }
    all
}

/// Takes without acknowledging until there are as many.
async fn hold(consumer: &mut Consumer, count: usize) -> Vec<Taken> {
    let mut held: Vec<Taken> = Vec::new();
    while held.iter().map(|t| t.deliveries().len()).sum::<usize>() < count {
        held.push(take(consumer).await);
    }
    held
}

fn in_lane(lane: u16, numbers: std::ops::RangeInclusive<u64>) -> Vec<(u16, u64)> {
    numbers.map(|n| (lane, n)).collect()
}

fn a_lane_is_delivered_in_its_order(backend: Backend) {
    with_lanes(backend, async |queue| {
        let from = instance();
        let mut consumer = queue.consume((0..LANES).collect());
        for number in 1..=20 {
            for lane in 0..3 {
                put(&queue, small(from, lane, number)).await;
            }
        }
        let all = drain(&mut consumer, 60).await;
        for lane in 0..3 {
            let of_lane: Vec<_> = all.iter().copied().filter(|(l, _)| *l == lane).collect();
            assert_eq!(of_lane, in_lane(lane, 1..=20));
        }
    });
}

fn a_take_collects_what_is_waiting(backend: Backend) {
    with_lanes(backend, async |queue| {
        let from = instance();
        put_all(&queue, from, 1, 1..=30).await;
        let mut consumer = queue.consume(vec![0, 1]);
        let mut takes = 0;
        let mut seen = 0;
        while seen < 30 {
            let taken = take(&mut consumer).await;
            (takes, seen) = (takes + 1, seen + taken.deliveries().len());
            taken.ack().await;
        }
        assert!(takes < 30, "one statement for each batch would be slow");
    });
}

fn a_take_is_bounded_by_ballots(backend: Backend) {
    with_lanes(backend, async |queue| {
        let (from, poll) = (instance(), poll_id());
        for number in 1..=8 {
            put(&queue, batch(from, 0, number, (0..3).map(|n| ballot(poll, n, 1, "1")).collect())).await;
        }
        let mut consumer = queue.consume(vec![0]);
        let mut all = Vec::new();
        while all.len() < 8 {
            let taken = soon("a delivery", consumer.take(5)).await.unwrap();
            assert!(taken.deliveries().len() <= 2, "six ballots are enough, a batch is not cut in two");
            all.extend(numbers(&taken));
            taken.ack().await;
        }
        assert_eq!(all, in_lane(0, 1..=8));
    });
}

/// In process, where all of it is there before the first look.
#[test]
fn a_long_lane_does_not_stand_in_front_of_the_others() {
    with_lanes(Backend::Embedded, async |queue| {
        let from = instance();
        put_all(&queue, from, 0, 1..=40).await;
        put_all(&queue, from, 1, 1..=2).await;
        let mut consumer = queue.consume(vec![0, 1]);
        assert_eq!(consumer.waiting(), 42);
        let taken = soon("a take", consumer.take(3)).await.expect("deliveries");
        let mut lanes: Vec<u16> = numbers(&taken).into_iter().map(|(lane, _)| lane).collect();
        lanes.sort_unstable();
        assert!(lanes == [0, 0, 1] || lanes == [0, 1, 1], "{lanes:?}");
        assert_eq!(consumer.waiting(), 39);
        taken.ack().await;
    });
}

fn what_is_acknowledged_does_not_come_again(backend: Backend) {
    with_lanes(backend, async |queue| {
        let from = instance();
        put_all(&queue, from, 0, 1..=5).await;
        let mut first = queue.consume(vec![0]);
        assert_eq!(drain(&mut first, 5).await, in_lane(0, 1..=5));
        first.close().await;

        put_all(&queue, from, 0, [6]).await;
        let mut second = queue.consume(vec![0]);
        assert_eq!(drain(&mut second, 1).await, [(0, 6)]);
    });
}

fn what_is_dropped_unacknowledged_comes_again_in_order(backend: Backend) {
    with_lanes(backend, async |queue| {
        let from = instance();
        put_all(&queue, from, 0, 1..=5).await;
        let mut consumer = queue.consume(vec![0]);
        drop(hold(&mut consumer, 5).await);
        // The same consumer, still alive: a step that failed is tried again.
        put_all(&queue, from, 0, [6]).await;
        let mut again = Vec::new();
        while again.last() != Some(&(0, 6)) {
            let taken = take(&mut consumer).await;
            assert!(taken.deliveries().iter().all(|d| d.redelivered || numbers(&taken).contains(&(0, 6))));
            again.extend(numbers(&taken));
            taken.ack().await;
        }
        assert_eq!(again, in_lane(0, 1..=6));
    });
}

fn what_comes_back_again_and_again_is_never_given_up(backend: Backend) {
    with_lanes(backend, async |queue| {
        put_all(&queue, instance(), 0, [1]).await;
        let mut consumer = queue.consume(vec![0]);
        // RabbitMQ 4 throws a message away after 20 returns unless told otherwise.
        for _ in 0..22 {
            assert_eq!(numbers(&take(&mut consumer).await), [(0, 1)]);
        }
        assert_eq!(drain(&mut consumer, 1).await, [(0, 1)]);
    });
}

fn an_acknowledgement_speaks_only_for_what_was_taken(backend: Backend) {
    with_lanes(backend, async |queue| {
        let from = instance();
        put_all(&queue, from, 0, 1..=2).await;
        let mut consumer = queue.consume(vec![0]);
        let first = soon("a delivery", consumer.take(1)).await.unwrap();
        let second = soon("a delivery", consumer.take(1)).await.unwrap();
        assert_eq!((numbers(&first), numbers(&second)), (vec![(0, 1)], vec![(0, 2)]));
        // The later one is done with, the earlier one is not: it must not go with it.
        drop(first);
        second.ack().await;
        let mut seen = Vec::new();
        while !seen.contains(&(0, 1)) {
            let taken = take(&mut consumer).await;
            seen.extend(numbers(&taken));
            taken.ack().await;
        }
    });
}

fn what_a_gone_consumer_held_goes_to_the_next(backend: Backend) {
    with_lanes(backend, async |queue| {
        let from = instance();
        put_all(&queue, from, 2, 1..=6).await;
        let mut gone = queue.consume(vec![2]);
        let done = soon("a delivery", gone.take(1)).await.unwrap();
        assert_eq!(numbers(&done), [(2, 1)]);
        done.ack().await;
        let held = hold(&mut gone, 5).await;
        drop(held);
        drop(gone);

        let mut next = queue.consume(vec![2]);
        assert_eq!(drain(&mut next, 5).await, in_lane(2, 2..=6));
    });
}

fn a_lane_has_one_active_consumer_at_a_time(backend: Backend) {
    with_lanes(backend, async |queue| {
        let from = instance();
        let mut first = queue.consume(vec![0]);
        put_all(&queue, from, 0, [1]).await;
        let held = take(&mut first).await;
        let mut second = queue.consume(vec![0]);
        put_all(&queue, from, 0, 2..=20).await;
        {
            // The second stands in line as long as the first lives, whatever is waiting and whoever holds what.
            let mut none = pin!(second.take(1));
            let mut held_on = vec![held];
            while held_on.iter().map(|t| t.deliveries().len()).sum::<usize>() < 20 {
                tokio::select! {
                    biased;
                    _ = &mut none => panic!("two consumers of one lane"),
                    taken = take(&mut first) => held_on.push(taken),
                }
            }
        }
        first.close().await;
        assert_eq!(drain(&mut second, 20).await, in_lane(0, 1..=20));
    });
}

fn each_of_two_consumers_is_woken_for_its_own_lanes(backend: Backend) {
    with_lanes(backend, async |queue| {
        let from = instance();
        let (mut even, mut odd) = (queue.consume(vec![0, 2]), queue.consume(vec![1, 3]));
        for number in 1..=12u64 {
            let lane = (number % 4) as u16;
            let (mine, other) = if lane.is_multiple_of(2) { (&mut even, &mut odd) } else { (&mut odd, &mut even) };
            // Both wait before anything comes, the one it is not for first in line.
            let (mut other, mut mine) = (pin!(take(other)), pin!(take(mine)));
            poll_fn(|context| {
                assert!(other.as_mut().poll(context).is_pending());
                assert!(mine.as_mut().poll(context).is_pending());
                Poll::Ready(())
            })
            .await;
            put_all(&queue, from, lane, [number]).await;
            tokio::select! {
                biased;
                _ = &mut other => panic!("a batch of a lane it has not"),
                taken = &mut mine => {
                    assert_eq!(numbers(&taken), [(lane, number)]);
                    taken.ack().await;
                }
            }
        }
    });
}

fn a_waiting_take_can_be_given_up_without_loss(backend: Backend) {
    with_lanes(backend, async |queue| {
        let from = instance();
        let mut consumer = queue.consume(vec![0]);
        let mut all = Vec::new();
        for number in 1..=20 {
            put_all(&queue, from, 0, [number]).await;
            // Given up at a moment of its own choosing, as a worker that is told to stop does.
            for _ in 0..number {
                let polled = poll_fn(|context| Poll::Ready(pin!(consumer.take(10)).as_mut().poll(context))).await;
                if let Poll::Ready(taken) = polled {
                    let taken = taken.unwrap();
                    all.extend(numbers(&taken));
                    taken.ack().await;
                }
                tokio::task::yield_now().await;
            }
        }
        let rest = 20 - all.len();
        all.extend(drain(&mut consumer, rest).await);
        assert_eq!(all, in_lane(0, 1..=20));
    });
}

fn safe_means_confirmed_or_counted(backend: Backend) {
    with_lanes(backend, async |queue| {
        assert!(queue.is_ready());
        let waiting = put(&queue, small(instance(), 0, 1)).await;
        if backend == Backend::Distributed {
            assert_eq!(waiting.await.unwrap(), Ok(Safe::Queued), "with nobody there to count");
            return;
        }
        let mut consumer = queue.consume(vec![0]);
        drop(take(&mut consumer).await);
        let taken = take(&mut consumer).await;
        assert!(taken.deliveries()[0].redelivered);
        assert!(!waiting.is_finished(), "taken is not counted");
        taken.ack().await;
        assert_eq!(soon("safe", waiting).await.unwrap(), Ok(Safe::Counted));
    });
}

fn many_publishers_at_once_are_all_served_once(backend: Backend) {
    with_lanes(backend, async |queue| {
        let mut consumer = queue.consume((0..LANES).collect());
        let publishing: Vec<_> = (0..200u64)
            .map(|n| {
                let (queue, batch) = (queue.clone(), Arc::new(small(instance(), (n % 4) as u16, n + 1)));
                tokio::spawn(async move { queue.publish(batch).await })
            })
            .collect();
        let mut all = drain(&mut consumer, 200).await;
        for publish in publishing {
            assert!(soon("safe", publish).await.unwrap().is_ok());
        }
        all.sort_unstable_by_key(|(_, number)| *number);
        assert_eq!(all.into_iter().map(|(_, number)| number).collect::<Vec<_>>(), (1..=200).collect::<Vec<_>>());
    });
}

fn a_closed_queue_refuses(backend: Backend) {
    with_lanes(backend, async |queue| {
        put(&queue, small(instance(), 0, 1)).await;
        queue.close().await;
        assert!(!queue.is_ready());
        assert!(matches!(queue.publish(Arc::new(small(instance(), 0, 1))).await, Err(NotSafe::Refused(_))));
        // What was there is still consumed; in process, somebody waits for it, and then the end is told.
        let mut consumer = queue.consume(vec![0]);
        assert_eq!(drain(&mut consumer, 1).await, [(0, 1)]);
        if queue.is_in_process() {
            assert!(soon("the end", consumer.take(1)).await.is_none());
        }
    });
}

#[test]
fn a_full_lane_in_the_process_refuses_and_the_others_do_not() {
    with_lanes(Backend::Embedded, async |queue| {
        let from = instance();
        let mut number = 0;
        let refused = loop {
            number += 1;
            let mut publish = Box::pin(queue.publish(Arc::new(small(from, 0, number))));
            let outcome = poll_fn(|context| Poll::Ready(publish.as_mut().poll(context))).await;
            if let Poll::Ready(outcome) = outcome {
                break outcome;
            }
            assert!(number < 10_000, "a lane is bounded");
        };
        assert!(matches!(refused, Err(NotSafe::Refused(_))));
        put_all(&queue, from, 1, [1]).await;
        let mut consumer = queue.consume(vec![0]);
        drain(&mut consumer, number as usize - 1).await;
        put_all(&queue, from, 0, [number]).await;
        eventually("the lane takes again", async || queue.is_ready()).await;
    });
}

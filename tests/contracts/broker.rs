//! RabbitMQ's traps, one test each, on the shared broker: nothing here disturbs anybody else's lanes.

use std::process::Command;
use std::sync::Arc;

use groundswell::domain::Batch;
use groundswell::queue::{NotSafe, Queue, Safe};
use groundswell::tally::Worker;
use groundswell::wire::batch::encode;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use serde_json::Value;

use crate::craft::{PATIENCE, ballot, batch, eventually, instance, number, poll_id, soon, tally};
use crate::queue::{LANES, drain, lanes, numbers, put, take};
use crate::support::{Backend, Place, runtime, services_are_there, setting};

/// The script that commands the services of this run.
pub fn control(directory: &str, args: &[&str]) -> Option<String> {
    let script = setting("GROUNDSWELL_TEST_SERVICES")?;
    let output = Command::new(script).arg(args[0]).arg(directory).args(&args[1..]).output().expect("scripts/services runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).expect("text"))
}

fn shared_broker(args: &[&str]) -> Option<String> {
    let directory = setting("GROUNDSWELL_TEST_SERVICES_DIR")?;
    control(&directory, &[&["rabbitmqctl"], args].concat())
}

fn with_rabbit(test: impl AsyncFnOnce(&Place, Queue)) {
    if !services_are_there() {
        return;
    }
    let place = Place::lanes_only(Backend::Distributed);
    runtime().block_on(async {
        let queue = lanes(&place);
        soon("lanes", queue.until_ready()).await;
        test(&place, queue.clone()).await;
        queue.close().await;
    });
}

/// A door to the broker beside ours.
async fn side_door(place: &Place) -> (Connection, Channel) {
    let connection = Connection::connect(place.amqp_url.as_deref().expect("a broker"), ConnectionProperties::default()).await.expect("the broker answers");
    let channel = connection.create_channel().await.expect("a channel");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    (connection, channel)
}

fn queue_name(place: &Place, lane: u16) -> lapin::types::ShortString {
    format!("{}.lane.{lane:02}", place.amqp_prefix).into()
}

async fn slip_in(place: &Place, channel: &Channel, lane: u16, body: &[u8]) {
    let publish = channel.basic_publish("".into(), queue_name(place, lane), BasicPublishOptions::default(), body, BasicProperties::default());
    publish.await.expect("published").await.expect("confirmed");
}

fn small(lane: u16, number: u64) -> Batch {
    batch(instance(), lane, number, vec![ballot(poll_id(), 1, 1, "1")])
}

#[test]
fn all_lanes_are_declared_durable_and_bounded_before_the_first_batch() {
    with_rabbit(async |place, _| {
        let Some(listed) = shared_broker(&["-q", "list_queues", "--formatter", "json", "name", "type", "durable", "arguments"]) else { return };
        let listed: Vec<Value> = serde_json::from_str(&listed).expect("JSON");
        let ours: Vec<&Value> = listed.iter().filter(|q| q["name"].as_str().is_some_and(|n| n.starts_with(&format!("{}.lane.", place.amqp_prefix)))).collect();
        assert_eq!(ours.len(), usize::from(LANES));
        for queue in ours {
            // A classic queue confirms before it has synced; a second consumer would break the order; a full queue must say so.
            assert_eq!((queue["type"].as_str(), queue["durable"].as_bool()), (Some("quorum"), Some(true)), "{queue}");
            let arguments = queue["arguments"].to_string();
            for (name, value) in
                [("x-single-active-consumer", "true"), ("x-overflow", "reject-publish"), ("x-queue-type", "quorum"), ("x-max-length-bytes", "4294967296")]
            {
                assert!(arguments.contains(name) && arguments.contains(value), "{name}: {arguments}");
            }
            assert!(!arguments.contains("-1"), "3.10 reads a limit of -1 as none left: {arguments}");
        }
    });
}

#[test]
fn a_batch_whose_queue_is_gone_is_refused_and_the_lane_made_again() {
    with_rabbit(async |place, queue| {
        let mut consumer = queue.consume(vec![1]);
        put(&queue, small(1, 1)).await;
        drain(&mut consumer, 1).await;
        let (connection, channel) = side_door(place).await;
        channel.queue_delete(queue_name(place, 1), QueueDeleteOptions::default()).await.expect("deleted");

        // The broker *acknowledges* what it cannot route. Whoever is declaring again may be faster than us, so until then only "not lost" holds.
        let mut refused = false;
        let mut safe = Vec::new();
        let deadline = std::time::Instant::now() + PATIENCE;
        for number in 2.. {
            assert!(std::time::Instant::now() < deadline, "the lane is usable again: {safe:?}, refused: {refused}");
            match soon("an answer", queue.publish(Arc::new(small(1, number)))).await {
                Ok(Safe::Queued) => safe.push((1, number)),
                Ok(Safe::Counted) => panic!("nobody counts here"),
                Err(_) => refused = true,
            }
            if refused && safe.len() >= 3 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        // All that was called safe comes, through the same consumer.
        assert_eq!(drain(&mut consumer, safe.len()).await, safe);
        let _ = connection.close(200, "done".into()).await;
    });
}

#[test]
fn a_batch_to_a_deleted_queue_is_never_called_safe() {
    with_rabbit(async |place, queue| {
        // No consumer here that would declare it again first: the very next publish finds no queue.
        let (connection, channel) = side_door(place).await;
        channel.queue_delete(queue_name(place, 2), QueueDeleteOptions::default()).await.expect("deleted");
        assert_eq!(soon("an answer", queue.publish(Arc::new(small(2, 1)))).await, Err(NotSafe::Refused("the queue is gone")));
        eventually("the lane is declared again", async || queue.publish(Arc::new(small(2, 2))).await == Ok(Safe::Queued)).await;
        let _ = connection.close(200, "done".into()).await;
    });
}

#[test]
fn a_queue_of_another_kind_in_a_lanes_place_is_not_used() {
    if !services_are_there() {
        return;
    }
    let place = Place::lanes_only(Backend::Distributed);
    runtime().block_on(async {
        // Somebody made a classic queue of that name: its confirms promise less.
        let (connection, channel) = side_door(&place).await;
        let declare = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(queue_name(&place, 0), declare, FieldTable::default()).await.expect("declared");
        let queue = lanes(&place);
        assert!(tokio::time::timeout(std::time::Duration::from_millis(700), queue.until_ready()).await.is_err());
        assert!(matches!(queue.publish(Arc::new(small(0, 1))).await, Err(NotSafe::Refused(_))));
        channel.queue_delete(queue_name(&place, 0), QueueDeleteOptions::default()).await.expect("deleted");
        soon("lanes, once it is gone", queue.until_ready()).await;
        assert_eq!(queue.publish(Arc::new(small(0, 1))).await, Ok(Safe::Queued));
        queue.close().await;
        let _ = connection.close(200, "done".into()).await;
    });
}

#[test]
fn a_full_lane_is_not_safe_and_the_others_are() {
    with_rabbit(async |place, queue| {
        let policy = place.amqp_prefix.as_str();
        let pattern = format!("^{}\\.lane\\.03$", place.amqp_prefix);
        let set = ["set_policy", policy, &pattern, r#"{"max-length":3}"#, "--apply-to", "queues"];
        if shared_broker(&set).is_none() {
            return;
        }
        // The bound is soft: a few more may be taken, and all that were called safe must come.
        let mut safe = Vec::new();
        let refused = loop {
            let number = safe.len() as u64 + 1;
            match soon("an answer", queue.publish(Arc::new(small(3, number)))).await {
                Ok(_) => safe.push((3, number)),
                Err(refused) => break refused,
            }
            assert!(number < 5_000, "a bounded lane is full some day");
        };
        // It may stand on some node all the same: the number must not be given to other ballots.
        assert!(matches!(refused, NotSafe::Unknown(_)), "{refused:?}");
        put(&queue, small(0, 1)).await;
        assert!(queue.is_ready());
        shared_broker(&["clear_policy", policy]);

        let mut consumer = queue.consume(vec![3]);
        let mut seen = Vec::new();
        while !safe.iter().all(|s| seen.contains(s)) {
            seen.extend(drain(&mut consumer, 1).await);
        }
        eventually("the lane takes again", async || queue.publish(Arc::new(small(3, 9_999))).await.is_ok()).await;
    });
}

#[test]
fn what_nobody_can_read_goes_to_quarantine_and_the_next_batch_flows() {
    if !services_are_there() {
        return;
    }
    let place = Place::new(Backend::Distributed);
    runtime().block_on(async {
        let store = place.store().await;
        let queue = lanes(&place);
        soon("lanes", queue.until_ready()).await;
        let (connection, channel) = side_door(&place).await;
        let poll = poll_id();
        let good = batch(instance(), 0, 1, vec![ballot(poll, 1, 1, "1")]);
        let mut of_the_future = encode(&good);
        let version = of_the_future.windows(3).position(|three| three == b"\xa1v\x02").expect("its version, as packed") + 2;
        of_the_future[version] = 3;
        let of_another_lane = encode(&Batch { lane: 1, ..good.clone() });
        let huge = vec![b'x'; 10 << 20];
        for body in [&b"\xff\x00 not a batch"[..], b"", &of_the_future, &of_another_lane, &huge] {
            slip_in(&place, &channel, 0, body).await;
        }
        put(&queue, good).await;

        let mut worker = Worker::new(store.clone(), queue.consume(vec![0]), 0);
        let (mut quarantined, mut counted) = (0, 0);
        while counted == 0 {
            let step = soon("a step", worker.step()).await.expect("poison is no error").expect("the queue is open");
            (quarantined, counted) = (quarantined + step.quarantined, counted + step.applied.total().counted);
            assert!(quarantined <= 5, "what was put away comes again: it was not acknowledged");
        }
        assert_eq!((quarantined, counted), (5, 1));
        assert_eq!(tally(&store, poll).await.books.counted, 1);
        assert_eq!(number(&place, "select count(*) from quarantine where lane = 0 and reason <> ''").await, 5);
        assert_eq!(number(&place, "select max(length(body))::bigint from quarantine").await, 10 << 20, "kept as it came");
        assert_eq!(number(&place, "select count(distinct reason) from quarantine").await, 3);
        // All of it was acknowledged: the next worker finds an empty lane.
        drop(worker);
        put(&queue, small(0, 7)).await;
        let mut next = queue.consume(vec![0]);
        assert_eq!(numbers(&take(&mut next).await), [(0, 7)]);
        queue.close().await;
        store.close().await;
        let _ = connection.close(200, "done".into()).await;
    });
}

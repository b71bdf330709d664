//! Brokers of one's own, to be blocked, killed and missed. One is started when a test finds none idle; one test at a time breaks it.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::panic::AssertUnwindSafe;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use groundswell::domain::Batch;
use groundswell::queue::{Content, NotSafe, Queue, Safe};
use serde_json::Value;

use crate::broker::control;
use crate::craft::{ballot, batch, eventually, eventually_within, instance, poll_id, soon};
use crate::queue::{drain, lanes, put, take};
use crate::support::{Backend, Place, runtime, services_are_there, setting};

/// Broker restarts on two cores that also compile.
pub const RESTART: Duration = Duration::from_secs(60);
/// Tests that break one wait most of their time, so that two go side by side; more would be short of processors.
const BROKERS_MAX: usize = 2;
/// A refusal is an answer, not a wait.
const AT_ONCE: Duration = Duration::from_secs(1);

pub struct Broker {
    directory: String,
    pub amqp_url: String,
    /// The database that came with it.
    pub database_url: String,
    /// Ends the broker when this process ends, however it does: its standard input is then closed.
    _keeper: Child,
}

impl Broker {
    fn start() -> Broker {
        let directory = tempfile::TempDir::new().expect("a directory").keep().to_str().expect("a name in ASCII").to_owned();
        let script = std::env::var("GROUNDSWELL_TEST_SERVICES").expect("checked by the caller");
        let mut keeper = Command::new("bash");
        keeper.args(["-c", r#"read -r _; exec "$0" stop "$1""#, &script, &directory]);
        // A group of its own: an interrupt that ends the tests must not end the one who cleans up.
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let keeper = keeper.spawn().expect("bash");
        control(&directory, &["start"]);
        let environment = control(&directory, &["env"]).expect("the script is there");
        let url = |name: &str| {
            let begin = format!("export GROUNDSWELL_TEST_{name}_URL=");
            environment.lines().find_map(|l| l.strip_prefix(begin.as_str())).expect("an address").to_owned()
        };
        Broker { directory, amqp_url: url("AMQP"), database_url: url("DATABASE"), _keeper: keeper }
    }

    pub fn control(&self, args: &[&str]) -> String {
        control(&self.directory, args).expect("the script is there")
    }

    /// Killed, as one that has had its queues for a while. It writes down where it keeps a new queue only some seconds after it has made it
    /// (`dets` with `auto_save`); killed before that, it has a queue that is in nobody's hands.
    pub fn crash(&self) {
        self.control(&["rabbitmqctl", "-q", "eval", "[dets:sync(Table) || Table <- dets:all()]."]);
        self.control(&["kill", "rabbitmq"]);
    }

    fn memory_watermark(&self, fraction: &str) {
        self.control(&["rabbitmqctl", "set_vm_memory_high_watermark", fraction]);
    }
}

pub fn with_own_broker(test: impl FnOnce(&Broker)) {
    if !services_are_there() || setting("GROUNDSWELL_TEST_SERVICES").is_none() {
        return;
    }
    let broker = borrow();
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| test(&broker)));
    if outcome.is_err() {
        // Whole again for the next test, whatever this one came to.
        broker.control(&["resume", "rabbitmq"]);
        broker.control(&["resume", "postgres"]);
        broker.control(&["restart", "rabbitmq"]);
        broker.control(&["restart", "postgres"]);
    }
    put_back(Some(broker));
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

struct Brokers {
    idle: Vec<Broker>,
    /// Idle, in use, or starting.
    number: usize,
}

static BROKERS: Mutex<Brokers> = Mutex::new(Brokers { idle: Vec::new(), number: 0 });
static ONE_CAME_BACK: Condvar = Condvar::new();

fn borrow() -> Broker {
    let mut brokers = BROKERS.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(broker) = brokers.idle.pop() {
            return broker;
        }
        if brokers.number < BROKERS_MAX {
            brokers.number += 1;
            break;
        }
        brokers = ONE_CAME_BACK.wait(brokers).unwrap_or_else(PoisonError::into_inner);
    }
    drop(brokers);
    std::panic::catch_unwind(Broker::start).unwrap_or_else(|panic| {
        put_back(None);
        std::panic::resume_unwind(panic)
    })
}

/// Or nothing, where one did not start.
fn put_back(broker: Option<Broker>) {
    let mut brokers = BROKERS.lock().unwrap_or_else(PoisonError::into_inner);
    match broker {
        Some(broker) => brokers.idle.push(broker),
        None => brokers.number -= 1,
    }
    ONE_CAME_BACK.notify_one();
}

fn place_at(broker: &Broker, database: bool) -> Place {
    let mut place = if database { Place::new(Backend::Distributed) } else { Place::lanes_only(Backend::Distributed) };
    place.amqp_url = Some(broker.amqp_url.clone());
    place
}

fn small(lane: u16, number: u64) -> Batch {
    batch(instance(), lane, number, vec![ballot(poll_id(), 1, 1, "1")])
}

#[test]
fn publishing_and_consuming_stand_on_connections_of_their_own() {
    with_own_broker(|broker| {
        let place = place_at(broker, false);
        runtime().block_on(async {
            let queue = lanes(&place);
            soon("lanes", queue.until_ready()).await;
            let mut consumer = queue.consume(vec![0, 1]);
            put(&queue, small(0, 1)).await;
            drain(&mut consumer, 1).await;
            let listed = broker.control(&["rabbitmqctl", "-q", "list_connections", "--formatter", "json", "client_properties"]);
            let listed: Vec<Value> = serde_json::from_str(&listed).expect("JSON");
            let name = |connection: &Value| {
                let text = connection.to_string();
                ["groundswell publish", "groundswell consume"].into_iter().find(|name| text.contains(name)).unwrap_or("somebody else")
            };
            let mut names: Vec<&str> = listed.iter().map(name).collect();
            names.sort_unstable();
            names.dedup();
            // A blocked connection writes nothing: acknowledgements must not be on it.
            assert_eq!(names, ["groundswell consume", "groundswell publish"]);
            queue.close().await;
        });
    });
}

#[test]
fn a_broker_short_of_memory_is_refused_at_once_while_counting_goes_on() {
    struct Watermark<'a>(&'a Broker);
    impl Drop for Watermark<'_> {
        fn drop(&mut self) {
            self.0.memory_watermark("0.4");
        }
    }
    with_own_broker(|broker| {
        let place = place_at(broker, false);
        runtime().block_on(async {
            let queue = lanes(&place);
            soon("lanes", queue.until_ready()).await;
            let mut consumer = queue.consume(vec![0]);
            for number in 1..=3 {
                put(&queue, small(0, number)).await;
            }
            let held = take(&mut consumer).await;
            let mut expected = 3 - held.deliveries().len();

            let watermark = Watermark(broker);
            broker.memory_watermark("0.00001");
            // The broker says so on the first publish; the others on their way then hang.
            let mut on_their_way = Vec::new();
            eventually("not ready", async || {
                for _ in 0..20 {
                    let (publisher, number) = (queue.clone(), 100 + on_their_way.len() as u64);
                    on_their_way.push(tokio::spawn(async move { publisher.publish(Arc::new(small(0, number))).await }));
                }
                !queue.is_ready()
            })
            .await;
            assert_refused_at_once(&queue).await;

            // Taking and acknowledging go on meanwhile.
            held.ack().await;
            drain(&mut consumer, expected).await;

            // Those that hang end as unknown, and nobody takes that for a reason to try the next ones.
            expected = 0;
            for publish in on_their_way {
                match soon("an answer", publish).await.unwrap() {
                    Ok(safe) => expected += usize::from(safe == Safe::Queued),
                    Err(why) => assert_ne!(why, NotSafe::Unknown("the channel does not confirm")),
                }
                assert_refused_at_once(&queue).await;
            }
            // A new connection would look ready, and let the next ones hang.
            let until = Instant::now() + Duration::from_secs(3);
            while Instant::now() < until {
                assert_refused_at_once(&queue).await;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            drain(&mut consumer, expected).await;

            drop(watermark);
            eventually("ready again", async || queue.is_ready()).await;
            eventually("takes batches again", async || queue.publish(Arc::new(small(0, 999))).await == Ok(Safe::Queued)).await;
            // What hung and was counted after all comes before it, once; what was acknowledged under the alarm does not come again.
            let mut seen = Vec::new();
            while !seen.contains(&(0, 999)) {
                seen.extend(drain(&mut consumer, 1).await);
            }
            assert!(seen.iter().all(|(_, number)| *number >= 100), "{seen:?}");
            queue.close().await;
        });
    });
}

async fn assert_refused_at_once(queue: &Queue) {
    let asked = Instant::now();
    assert!(!queue.is_ready());
    assert!(matches!(queue.publish(Arc::new(small(0, 500))).await, Err(NotSafe::Refused(_))));
    assert!(asked.elapsed() < AT_ONCE);
}

#[test]
fn a_lane_whose_queue_is_broken_keeps_no_other_lane_from_being_counted() {
    with_own_broker(|broker| {
        let place = place_at(broker, false);
        runtime().block_on(async {
            let queue = lanes(&place);
            soon("lanes", queue.until_ready()).await;
            // One that says so, with which the connection ends; and one that says nothing.
            let ways = [("ra:stop_server(quorum_queues, Queue)", "ra:restart_server(quorum_queues, Queue)"), ("sys:suspend(Queue)", "sys:resume(Queue)")];
            for (number, (broken, mended)) in (1..).zip(ways) {
                for lane in 0..3 {
                    put(&queue, small(lane, number)).await;
                }
                let now =
                    |what: &str| broker.control(&["rabbitmqctl", "-q", "eval", &format!("Queue = {{'%2F_{}.lane.01', node()}}, {what}.", place.amqp_prefix)]);
                now(broken);
                let mut consumer = queue.consume(vec![0, 1, 2]);
                let mut counted = BTreeSet::new();
                let mut until_counted = async |wanted: &[u16]| {
                    while !wanted.iter().all(|lane| counted.contains(lane)) {
                        let taken = tokio::time::timeout(RESTART, consumer.take(10)).await.expect("another lane").expect("the queue is open");
                        counted.extend(taken.deliveries().iter().map(|delivery| delivery.lane));
                        taken.ack().await;
                    }
                    counted.contains(&1)
                };
                assert!(!until_counted(&[0, 2]).await, "{broken}: it is not broken");
                now(mended);
                until_counted(&[1]).await;
            }
            queue.close().await;
        });
    });
}

#[test]
fn nothing_that_was_called_safe_is_lost_when_the_broker_is_killed() {
    with_own_broker(|broker| {
        let place = place_at(broker, false);
        runtime().block_on(async {
            let queue = lanes(&place);
            soon("lanes", queue.until_ready()).await;
            let (safe, seen) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(Mutex::new(BTreeSet::new())));
            let stop = Arc::new(AtomicBool::new(false));
            let publishers: Vec<_> = (0..3u16)
                .map(|lane| {
                    let (queue, safe, stop) = (queue.clone(), safe.clone(), stop.clone());
                    tokio::spawn(async move {
                        for number in 1.. {
                            if stop.load(Ordering::Relaxed) {
                                break;
                            }
                            match queue.publish(Arc::new(small(lane, number))).await {
                                Ok(_) => _ = safe.lock().unwrap().insert((lane, number)),
                                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                            }
                        }
                    })
                })
                .collect();
            let (sink, mut consumer) = (seen.clone(), queue.consume(vec![0, 1, 2]));
            let counting = tokio::spawn(async move {
                while let Some(taken) = consumer.take(1_000).await {
                    for delivery in taken.deliveries() {
                        let Content::Batch(batch) = &delivery.content else { panic!("poison") };
                        sink.lock().unwrap().insert((batch.lane, batch.number));
                    }
                    taken.ack().await;
                }
            });
            let count = |set: &Mutex<BTreeSet<(u16, u64)>>| set.lock().unwrap().len();

            eventually("votes flow", async || count(&seen) > 200).await;
            broker.crash();
            eventually("not ready", async || !queue.is_ready()).await;
            let before = count(&safe);
            broker.control(&["restart", "rabbitmq"]);
            eventually_within(RESTART, "ready again", async || queue.is_ready()).await;
            eventually_within(RESTART, "votes flow again", async || count(&safe) > before + 200).await;
            stop.store(true, Ordering::Relaxed);
            for publisher in publishers {
                soon("the publisher's end", publisher).await.unwrap();
            }
            let all = safe.lock().unwrap().clone();
            eventually_within(RESTART, "all that was safe has come", async || all.is_subset(&seen.lock().unwrap())).await;
            counting.abort();
            queue.close().await;
        });
    });
}

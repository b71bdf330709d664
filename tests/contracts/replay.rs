//! From the spill back to the broker, while people vote: what was accepted first goes first, and whoever votes now does not wait for it.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use groundswell::clock::now_ms;
use groundswell::domain::{Batch, InstanceId};
use groundswell::intake::{Desk, Intake};
use groundswell::queue::{Content, Queue, Rabbit, RabbitSettings, Spill};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

use crate::craft::{ballot, batch, eventually, eventually_within, instance, poll_id, soon};
use crate::outage::place_at;
use crate::queue::{LANES, lanes, take};
use crate::spill::settings;
use crate::support::{Backend, Place, median, runtime, services_are_there};
use crate::trouble::{RESTART, with_own_broker};

/// So many votes at least are compared with as many before.
const VOTES: u32 = 60;
/// Two cores carry server, broker and test: a vote meanwhile may take so much longer, and this.
const TIMES: u32 = 3;
const BESIDE: Duration = Duration::from_millis(10);

fn small(from: InstanceId, lane: u16, number: u64) -> Arc<Batch> {
    Arc::new(batch(from, lane, number, vec![ballot(poll_id(), number as u32, 1, "1")]))
}

async fn keep(spill: &Spill, from: InstanceId, count: u64) {
    let keeps = (1..=count).map(|n| spill.keep(small(from, (n % u64::from(LANES)) as u16, n)));
    assert!(futures_util::future::join_all(keeps).await.iter().all(Result::is_ok));
}

/// One vote after the other, and how long it took each.
async fn vote(desk: &Desk, number: u32) -> Duration {
    let began = Instant::now();
    let receipt = desk.accept((number % u32::from(LANES)) as u16, ballot(poll_id(), number, 1, "1"));
    soon("a receipt", receipt).await.expect("accepted");
    began.elapsed()
}

fn start_replay(intake: &Intake, stop: &CancellationToken) -> tokio::task::JoinHandle<()> {
    let (intake, stop) = (intake.clone(), stop.clone());
    tokio::spawn(async move { intake.replay_until(stop).await })
}

fn start_probing(intake: &Intake, stop: &CancellationToken) -> tokio::task::JoinHandle<()> {
    let (intake, stop) = (intake.clone(), stop.clone());
    tokio::spawn(async move { intake.probe_until(stop).await })
}

#[test]
fn while_thousands_are_replayed_in_their_order_who_votes_has_the_broker_as_before() {
    const SPILLED: u64 = 4_000;
    with_own_broker(|broker| {
        let place = place_at(broker);
        runtime().block_on(LocalSet::new().run_until(async {
            let (queue, me, dead, stop) = (lanes(&place), instance(), instance(), CancellationToken::new());
            soon("lanes", queue.until_ready()).await;
            let spill = Spill::open(settings(place.directory.path()), me).unwrap();
            let intake = Intake::with_spill(queue.clone(), Some(spill.clone()), me, LANES, now_ms() - 1);
            let desk = intake.desk();
            let mut before = Vec::new();
            for number in 0..VOTES {
                before.push(vote(&desk, number).await);
            }
            // In good order: a queue that is killed while it is new may never confirm again.
            broker.control(&["rabbitmqctl", "-q", "stop_app"]);
            // What another process accepted meanwhile, before this one opened its disk.
            keep(&spill, dead, SPILLED).await;
            broker.control(&["rabbitmqctl", "-q", "start_app"]);
            tokio::time::timeout(RESTART, queue.until_ready()).await.expect("the broker comes back");

            for lane in 0..LANES {
                eventually_within(RESTART, "every lane confirms", async || queue.publish(small(instance(), lane, 1)).await.is_ok()).await;
            }
            let (replaying, probing) = (start_replay(&intake, &stop), start_probing(&intake, &stop));
            eventually("replay has begun", async || spill.holding().batches < SPILLED).await;
            let (mut during, mut number) = (Vec::new(), VOTES);
            while spill.holding().by_instance.get(&dead).is_some_and(|held| *held > 0) {
                during.push(vote(&desk, number).await);
                number += 1;
            }
            // Each of them would stand behind all that was accepted before it.
            let on_disk = spill.holding().by_instance[&me];
            stop.cancel();
            for task in [replaying, probing] {
                soon("an end", task).await.unwrap();
            }
            // A machine that holds its breath for half a second sends one there.
            assert!(on_disk * 10 <= u64::from(number - VOTES), "{on_disk} of {} votes were not for the broker", number - VOTES);
            assert!(during.len() >= VOTES as usize, "only {} votes meanwhile", during.len());
            let (before, during) = (median(before), median(during));
            assert!(during <= TIMES * before + BESIDE, "a vote took {during:?} meanwhile, {before:?} before");

            let mut consumer = queue.consume((0..LANES).collect());
            // What is not confirmed in time comes again, though the broker has it: it is where it came first that is in order.
            let (mut seen, mut replayed) = (BTreeMap::<u16, Vec<u64>>::new(), 0);
            while replayed < SPILLED {
                let taken = take(&mut consumer).await;
                for delivery in taken.deliveries() {
                    let Content::Batch(batch) = &delivery.content else { panic!("nobody wrote anything else") };
                    let seen = seen.entry(delivery.lane).or_default();
                    if batch.instance == dead && !seen.contains(&batch.number) {
                        replayed += 1;
                        seen.push(batch.number);
                    }
                }
                taken.ack().await;
            }
            assert!(seen.values().all(|numbers| numbers.is_sorted()), "oldest first");
            queue.close().await;
        }));
    });
}

/// A way to the broker on which everything it says comes so much later, and nothing waits for what came before.
async fn late_by(delay: Duration, broker: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|l| l.set_nonblocking(true).map(|()| l)).expect("a free port");
    let (address, listener) = (listener.local_addr().expect("bound"), tokio::net::TcpListener::from_std(listener).expect("inside a runtime"));
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = tokio::net::TcpStream::connect(broker).await.expect("the broker listens");
            _ = (near.set_nodelay(true), far.set_nodelay(true));
            let ((mut near_read, mut near_write), (mut far_read, mut far_write)) = (near.into_split(), far.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut near_read, &mut far_write).await });
            let (says, mut hears) = tokio::sync::mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
            tokio::spawn(async move {
                let mut piece = vec![0; 65_536];
                while let Ok(read) = far_read.read(&mut piece).await
                    && read > 0
                    && says.send((Instant::now() + delay, piece[..read].to_vec())).is_ok()
                {}
            });
            tokio::spawn(async move {
                while let Some((at, piece)) = hears.recv().await {
                    tokio::time::sleep_until(at.into()).await;
                    if near_write.write_all(&piece).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Chunks stay as few as they begin while the broker does not answer at once, and behind each the broker has as long for others.
#[test]
fn replay_leaves_a_broker_that_answers_late_half_of_its_time() {
    const LATE: Duration = Duration::from_millis(150);
    const CHUNKS: u64 = 8;
    const CHUNK: u64 = 8;
    if !services_are_there() {
        return;
    }
    let place = Place::lanes_only(Backend::Distributed);
    runtime().block_on(async {
        let url = place.amqp_url.as_deref().expect("a broker");
        let (scheme, rest) = url.split_once("://").expect("a URL");
        let authority = rest.split('/').next().expect("a host");
        let host = authority.rsplit('@').next().expect("a host");
        let broker = tokio::net::lookup_host(host).await.expect("a host and a port").next().expect("an address");
        let near = late_by(LATE, broker).await.to_string();
        let url = format!("{scheme}://{}", rest.replacen(host, &near, 1));
        let queue = Queue::Rabbit(Rabbit::start(RabbitSettings { url, prefix: place.amqp_prefix.clone(), lanes: LANES }, true).unwrap());
        soon("lanes", queue.until_ready()).await;
        let (me, stop) = (instance(), CancellationToken::new());
        let spill = Spill::open(settings(place.directory.path()), me).unwrap();
        let intake = Intake::with_spill(queue.clone(), Some(spill.clone()), me, LANES, now_ms() - 1);
        keep(&spill, instance(), CHUNKS * CHUNK).await;
        let began = Instant::now();
        let replaying = start_replay(&intake, &stop);
        eventually_within(RESTART, "all of it is replayed", async || !spill.holds_anything()).await;
        let took = began.elapsed();
        // Each of them waits for its confirms, and all but the last are followed by a pause as long.
        assert!(took >= LATE * (2 * CHUNKS - 1) as u32, "{CHUNKS} chunks took {took:?} where a confirm takes {LATE:?}");
        stop.cancel();
        soon("an end", replaying).await.unwrap();
        queue.close().await;
    });
}

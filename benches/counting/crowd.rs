//! One poll has 99 % of all votes and a backlog; 10,000 others have a vote each now and then. How long do those wait until they are counted?

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use groundswell::clock::now_ms;
use groundswell::domain::{Batch, InstanceId, PollId};
use groundswell::queue::Safe;
use groundswell::tally::Worker;
use uuid::Uuid;

use crate::place::{Place, Side, numbers, runtime};
use crate::traffic::{LANES, connect, publish_all, remove, vote, votes_for};

const SMALL_POLLS: usize = 10_000;
const SMALL_EVERY: Duration = Duration::from_millis(5);

pub fn run() {
    let ballots = numbers("BENCH_BALLOTS", "1000000")[0];
    println!("\ncrowd: one poll with {ballots} ballots waiting, {SMALL_POLLS} others with one each while it is worked off");
    for choices in [4, 100] {
        measure(ballots, choices);
    }
}

/// When a small poll's ballot was accepted, and when it was counted.
type Waits = Arc<Mutex<HashMap<PollId, (Instant, Option<Instant>)>>>;

fn measure(ballots: usize, choices: usize) {
    let place = Place::new(Side::Postgres);
    let amqp = std::env::var("GROUNDSWELL_TEST_AMQP_URL").expect("checked by the caller");
    let prefix = format!("gs_bench_{}", Uuid::new_v4().simple());
    runtime(2).block_on(async {
        let store = place.store(Side::Postgres).await;
        let queue = connect(&amqp, &prefix).await;
        let (big, small) = (InstanceId(Uuid::new_v4()), InstanceId(Uuid::new_v4()));
        for instance in [big, small] {
            store.register_instance(instance, LANES, now_ms()).await.expect("registered");
        }
        let poll = PollId::compose(now_ms(), fastrand::u32(..));
        publish_all(&queue, votes_for(&[poll], ballots, choices, big)).await;

        let waits: Waits = Arc::default();
        let started = Instant::now();
        let big_done: Arc<Mutex<(usize, Option<Instant>)>> = Arc::default();
        let workers: Vec<_> = (0..Side::Postgres.workers())
            .map(|home| {
                let own = (0..LANES).filter(|lane| lane % Side::Postgres.workers() == home).collect();
                let mut worker = Worker::new(store.clone(), queue.consume(own), home);
                let (waits, big_done) = (waits.clone(), big_done.clone());
                tokio::spawn(async move {
                    while let Ok(Some(step)) = worker.step().await {
                        let now = Instant::now();
                        let mut waits = waits.lock().expect("no panic");
                        for ((counted, _), books) in &step.applied.books {
                            if *counted == poll {
                                let mut big = big_done.lock().expect("no panic");
                                big.0 += books.counted as usize;
                                if big.0 == ballots {
                                    big.1 = Some(now);
                                }
                            } else if let Some(wait) = waits.get_mut(counted) {
                                wait.1 = Some(now);
                            }
                        }
                    }
                })
            })
            .collect();

        let mut last = HashMap::new();
        let mut sent = 0;
        while sent < SMALL_POLLS {
            // A handful of polls at a time, a ballot each, as many as keep the share at one in a hundred over the drain.
            let mut by_lane: HashMap<u16, Vec<_>> = HashMap::new();
            for n in 0..(SMALL_POLLS / 400).min(SMALL_POLLS - sent) {
                let id = PollId(poll.0 + 1_000 + (sent + n) as i64);
                let (lane, ballot) = vote(id, 0);
                by_lane.entry(lane).or_default().push(ballot);
            }
            sent += by_lane.values().map(Vec::len).sum::<usize>();
            for (lane, ballots) in by_lane {
                let number = last.entry(lane).or_insert(0);
                *number += 1;
                let polls: Vec<PollId> = ballots.iter().map(|b| b.poll).collect();
                let batch = Batch { instance: small, lane, number: *number, accepted_at: now_ms(), ballots, beat: None };
                {
                    // From before it is published: it may be counted before the confirm is back.
                    let mut waits = waits.lock().expect("no panic");
                    polls.iter().for_each(|p| _ = waits.insert(*p, (Instant::now(), None)));
                }
                assert_eq!(queue.publish(Arc::new(batch)).await, Ok(Safe::Queued));
            }
            tokio::time::sleep(SMALL_EVERY).await;
        }
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let all = waits.lock().expect("no panic").values().all(|(_, counted)| counted.is_some());
            if all && big_done.lock().expect("no panic").1.is_some() {
                break;
            }
            assert!(Instant::now() < deadline, "not counted after two minutes");
        }
        workers.iter().for_each(|w| w.abort());
        let done = big_done.lock().expect("no panic").1.expect("done");
        // Only those accepted while the big one was being worked off say something.
        let mut during: Vec<f64> = {
            let waits = waits.lock().expect("no panic");
            let counted = waits.values().filter(|(at, _)| *at < done);
            counted.map(|(at, counted)| counted.expect("counted").duration_since(*at).as_secs_f64() * 1e3).collect()
        };
        during.sort_unstable_by(f64::total_cmp);
        let at = |q: f64| during.get(((during.len() as f64 * q) as usize).min(during.len().saturating_sub(1))).copied().unwrap_or(0.0);
        println!(
            "  {choices:>3} choices: the big one took {:.1} s; {} small ballots accepted meanwhile were counted after p50 {:.0} ms, p99 {:.0} ms, at most {:.0} ms",
            done.duration_since(started).as_secs_f64(),
            during.len(),
            at(0.5),
            at(0.99),
            at(1.0)
        );
        queue.close().await;
        store.close().await;
        remove(&amqp, &prefix).await;
    });
}

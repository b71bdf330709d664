//! Votes on the broker's lanes, as web processes put them there.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::iter;
use groundswell::clock::now_ms;
use groundswell::domain::{Ballot, BallotId, Batch, InstanceId, Picks, PollId, VoterId};
use groundswell::queue::{Queue, Rabbit, RabbitSettings, Safe};
use uuid::Uuid;

pub const LANES: u16 = 16;
const MESSAGE: usize = 4_096;
const ON_THEIR_WAY: usize = 32;

pub async fn connect(amqp: &str, prefix: &str) -> Queue {
    let queue = Queue::Rabbit(Rabbit::start(RabbitSettings { url: amqp.to_owned(), prefix: prefix.to_owned(), lanes: LANES }, true).expect("settings"));
    queue.until_ready().await;
    queue
}

/// `count` first votes, spread evenly over polls and choices, in messages as a backlog has them.
pub fn votes_for(polls: &[PollId], count: usize, choices: usize, instance: InstanceId) -> Vec<Batch> {
    let mut open: HashMap<u16, Vec<Ballot>> = HashMap::new();
    let mut numbers = HashMap::new();
    let mut batches = Vec::new();
    let mut close = |lane: u16, ballots: Vec<Ballot>| {
        let number = numbers.entry(lane).or_insert(0);
        *number += 1;
        batches.push(Batch { instance, lane, number: *number, accepted_at: now_ms(), ballots, beat: None });
    };
    for n in 0..count {
        let poll = polls[n % polls.len()];
        let (lane, ballot) = vote(poll, (n / polls.len()) % choices);
        let ballots = open.entry(lane).or_default();
        ballots.push(ballot);
        if ballots.len() == MESSAGE {
            close(lane, open.remove(&lane).expect("just filled"));
        }
    }
    open.into_iter().for_each(|(lane, ballots)| close(lane, ballots));
    batches
}

/// A new voter's vote, and the lane it stands in.
pub fn vote(poll: PollId, choice: usize) -> (u16, Ballot) {
    let picks = Picks::parse(&(choice + 1).to_string()).expect("picks");
    let lane = (poll.0 as u64).wrapping_add(choice as u64) % u64::from(LANES);
    (lane as u16, Ballot { poll, round: 1, voter: VoterId(Uuid::new_v4()), ballot: BallotId(Uuid::new_v4()), revision: 1, picks })
}

pub async fn publish_all(queue: &Queue, batches: Vec<Batch>) {
    let publish = iter(batches).map(|batch| async { assert_eq!(queue.publish(Arc::new(batch)).await, Ok(Safe::Queued)) });
    publish.buffer_unordered(ON_THEIR_WAY).for_each(|()| async {}).await;
}

/// The lanes are gone with all that is in them.
pub async fn remove(amqp: &str, prefix: &str) {
    let connection = lapin::Connection::connect(amqp, lapin::ConnectionProperties::default()).await.expect("the broker answers");
    let channel = connection.create_channel().await.expect("a channel");
    for lane in 0..LANES {
        let _ = channel.queue_delete(format!("{prefix}.lane.{lane:02}").into(), lapin::options::QueueDeleteOptions::default()).await;
    }
    let _ = connection.close(200, "done".into()).await;
}

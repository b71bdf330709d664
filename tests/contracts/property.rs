//! The promise the design rests on: order does not matter. Any ballots, cut into any batches, on any lanes, in any order, delivered any number
//! of times, applied by one worker or two: the same rows, the same tally, and books that balance.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use groundswell::domain::{Ballot, BallotId, Batch, Books, Count, InstanceId, PollId, VoterId, delta};
use groundswell::store::{RoundTally, Store};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::craft::{NOON, assert_proven, ballot, batch, beat, instance, line, poll_id, tally, voter};
use crate::on_both;
use crate::support::{Backend, Place, runtime};

on_both![any_order_of_any_batches_gives_the_same_rows_and_the_same_tally, a_voter_who_changes_their_mind_twenty_times_counts_once];

const CASES: u32 = 96;
/// Enough cases by then on a slow machine; the rest is let through.
const ENOUGH: Duration = Duration::from_secs(15);

const POLLS: usize = 2;
const INSTANCES: usize = 2;
const LANES: u16 = 3;

/// A ballot as drawn: which poll, voter, revision, which of the voter's tabs, and where it is sent.
#[derive(Clone, Debug)]
struct Cast {
    poll: usize,
    voter: u32,
    revision: u32,
    tab: u32,
    instance: usize,
    lane: u16,
    /// The batch ends after this one.
    cut: bool,
}

/// How the batches reach the store: shuffled, some of them again, in groups, to one of two workers.
#[derive(Clone, Debug)]
struct Case {
    casts: Vec<Cast>,
    order: Vec<prop::sample::Index>,
    again: Vec<prop::sample::Index>,
    groups: Vec<usize>,
    workers: Vec<bool>,
}

fn casts() -> impl Strategy<Value = Cast> {
    (0..POLLS, 1u32..6, 1u32..5, 0u32..2, 0..INSTANCES, 0..LANES, prop::bool::weighted(0.4))
        .prop_map(|(poll, voter, revision, tab, instance, lane, cut)| Cast { poll, voter, revision, tab, instance, lane, cut })
}

fn cases() -> impl Strategy<Value = Case> {
    let indices = |range| prop::collection::vec(any::<prop::sample::Index>(), range);
    (prop::collection::vec(casts(), 1..60), indices(60..61), indices(0..12), prop::collection::vec(1usize..6, 1..80), prop::collection::vec(any::<bool>(), 80))
        .prop_map(|(casts, order, again, groups, workers)| Case { casts, order, again, groups, workers })
}

impl Cast {
    /// The picks follow from the ballot: the same ballot id never comes with other picks.
    fn ballot(&self, polls: &[PollId]) -> Ballot {
        const PICKS: [&str; 7] = ["1", "2", "1,3", "2:4,1:2", "", "3", "4:0"];
        let picks = PICKS[(self.voter + 3 * self.revision + 2 * self.tab) as usize % PICKS.len()];
        let mut ballot = ballot(polls[self.poll], self.voter, self.revision, picks);
        // Two tabs of one voter number their revisions alike; the id decides. Its first bit too: it is no sign.
        ballot.ballot = BallotId(Uuid::from_u128(ballot.ballot.0.as_u128() | u128::from(self.tab) << 127));
        ballot
    }
}

impl Case {
    /// Numbered per instance and lane, as a web process does.
    fn batches(&self, polls: &[PollId], instances: &[InstanceId]) -> Vec<Batch> {
        let mut open: BTreeMap<(usize, u16), Vec<Ballot>> = BTreeMap::new();
        let mut numbers: BTreeMap<(usize, u16), u64> = BTreeMap::new();
        let mut batches = Vec::new();
        let mut close = |key: (usize, u16), ballots: Vec<Ballot>| {
            let number = numbers.entry(key).or_default();
            *number += 1;
            batches.push(batch(instances[key.0], key.1, *number, ballots));
        };
        for cast in &self.casts {
            let key = (cast.instance, cast.lane);
            open.entry(key).or_default().push(cast.ballot(polls));
            if cast.cut {
                close(key, open.remove(&key).expect("just made"));
            }
        }
        open.into_iter().for_each(|(key, ballots)| close(key, ballots));
        batches
    }

    /// Groups of batches for each of two workers, in any order and some of them again.
    fn deliveries(&self, batches: &[Batch]) -> [Vec<Vec<Batch>>; 2] {
        let mut rest: Vec<Batch> = batches.to_vec();
        let mut stream = Vec::new();
        for index in self.order.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let at = index.index(rest.len());
            stream.push(rest.swap_remove(at));
        }
        for (step, index) in self.again.iter().enumerate() {
            let again = index.get(batches).clone();
            stream.insert((step * 7) % (stream.len() + 1), again);
        }
        let mut hands = [Vec::new(), Vec::new()];
        let (mut groups, mut workers) = (self.groups.iter().cycle(), self.workers.iter().cycle());
        while !stream.is_empty() {
            let size = (*groups.next().expect("a cycle")).min(stream.len());
            let group: Vec<Batch> = stream.drain(..size).collect();
            hands[usize::from(*workers.next().expect("a cycle"))].push(group);
        }
        hands
    }
}

/// The answer by the rules alone: per poll the row of each voter, and what follows from the rows.
fn expected(polls: &[PollId], batches: &[Batch]) -> HashMap<PollId, (BTreeMap<VoterId, Ballot>, BTreeMap<u16, Count>, i64)> {
    let mut answer: HashMap<PollId, (BTreeMap<VoterId, Ballot>, BTreeMap<u16, Count>, i64)> = polls.iter().map(|p| (*p, Default::default())).collect();
    for ballot in batches.iter().flat_map(|b| &b.ballots) {
        let (rows, _, received) = answer.get_mut(&ballot.poll).expect("one of the polls");
        *received += 1;
        let row = rows.entry(ballot.voter).or_insert_with(|| ballot.clone());
        if ballot.rank() > row.rank() {
            *row = ballot.clone();
        }
    }
    for (rows, counts, _) in answer.values_mut() {
        rows.values().for_each(|row| delta(counts, &row.picks, None, 1));
    }
    answer
}

/// As `Worker` does: the same deliveries until they are committed.
async fn work(store: &Store, home: u16, groups: Vec<Vec<Batch>>) {
    for group in groups {
        let deadline = Instant::now() + crate::craft::PATIENCE;
        while let Err(error) = store.apply(home, &group, NOON).await {
            assert!(Instant::now() < deadline, "{error}");
        }
    }
}

/// What stands in the store, compared with the answer. A sentence where they differ.
async fn differs(store: &Store, polls: &[PollId], batches: &[Batch]) -> Result<(), String> {
    for (poll, (rows, counts, received)) in expected(polls, batches) {
        let RoundTally { counts: counted, books } = tally(store, poll).await;
        let answered = rows.values().filter(|r| !r.picks.is_empty()).count() as i64;
        let Books { superseded, duplicate, .. } = books;
        let right = Books { received, counted: rows.len() as i64, superseded, duplicate, late: 0, voters: answered };
        if books != right || books.imbalance() != 0 || superseded < 0 || duplicate < 0 {
            return Err(format!("books: {books:?}, not {right:?}"));
        }
        let without_zeros = |counts: BTreeMap<u16, Count>| counts.into_iter().filter(|(_, c)| *c != Count::default()).collect::<BTreeMap<_, _>>();
        let (counted, counts) = (without_zeros(counted), without_zeros(counts));
        if counted != counts {
            return Err(format!("tally: {counted:?}, not {counts:?}"));
        }
        for number in 1..6 {
            let row = store.ballot_of(poll, 1, voter(number)).await.map_err(|e| e.to_string())?.map(|r| r.ballot);
            if row.as_ref() != rows.get(&voter(number)) {
                return Err(format!("row of voter {number}: {row:?}"));
            }
        }
    }
    let (_, differences) = store.recount().await.map_err(|e| e.to_string())?;
    let in_flight = store.standing().await.map_err(|e| e.to_string())?.in_flight();
    if differences.is_empty() && in_flight == 0 { Ok(()) } else { Err(format!("recount: {differences:?}; in flight: {in_flight}")) }
}

async fn play(store: &Store, case: &Case) -> Result<(), String> {
    let polls: Vec<PollId> = (0..POLLS).map(|_| poll_id()).collect();
    let instances: Vec<InstanceId> = (0..INSTANCES).map(|_| instance()).collect();
    let batches = case.batches(&polls, &instances);
    let [left, right] = case.deliveries(&batches);
    tokio::join!(work(store, 0, left), work(store, 1, right));
    // The ends of the lines: what was given out and not applied would show now.
    let mut last: HashMap<(InstanceId, u16), u64> = HashMap::new();
    batches.iter().for_each(|b| _ = last.insert((b.instance, b.lane), b.number));
    let beats: Vec<Batch> = last.into_iter().map(|((from, lane), number)| beat(from, lane, NOON, number)).collect();
    store.apply(0, &beats, NOON).await.map_err(|e| e.to_string())?;
    differs(store, &polls, &batches).await
}

fn any_order_of_any_batches_gives_the_same_rows_and_the_same_tally(backend: Backend) {
    let mut place = Place::new(backend);
    place.amqp_url = None;
    let runtime: Runtime = runtime();
    let store = runtime.block_on(place.store());
    let (started, played) = (Instant::now(), std::cell::Cell::new(0));
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, max_shrink_iters: 200, ..Config::default() });
    let outcome = runner.run(&cases(), |case| {
        if started.elapsed() < ENOUGH {
            played.set(played.get() + 1);
            runtime.block_on(play(&store, &case)).map_err(TestCaseError::fail)?;
        }
        Ok(())
    });
    runtime.block_on(store.close());
    if let Err(TestError::Fail(why, case)) = outcome {
        panic!("{why}\n{case:#?}");
    }
    assert!(played.get() >= 8, "only {} cases in {ENOUGH:?}: too few to mean anything", played.get());
}

fn a_voter_who_changes_their_mind_twenty_times_counts_once(backend: Backend) {
    let mut place = Place::new(backend);
    place.amqp_url = None;
    runtime().block_on(async {
        let store = place.store().await;
        let poll = poll_id();
        // Across four lanes, each change sent twice, and every batch delivered again to another worker.
        let from = instance();
        let mut numbers = [0; 4];
        let mut batches = Vec::new();
        for revision in 1..=20 {
            let lane = revision as u16 % 4;
            for _ in 0..2 {
                numbers[usize::from(lane)] += 1;
                batches.push(batch(from, lane, numbers[usize::from(lane)], vec![ballot(poll, 1, revision, &(revision % 4 + 1).to_string())]));
            }
        }
        let backwards: Vec<Vec<Batch>> = batches.iter().rev().map(|b| vec![b.clone()]).collect();
        let forwards: Vec<Vec<Batch>> = batches.chunks(3).map(<[Batch]>::to_vec).collect();
        tokio::join!(work(&store, 0, forwards), work(&store, 1, backwards));

        let counted = tally(&store, poll).await;
        assert_eq!(counted.counts.values().map(|c| c.votes).sum::<i64>(), 1);
        assert_eq!(counted.counts[&1].votes, 1, "the twentieth says 1");
        assert_eq!((counted.books.received, counted.books.counted, counted.books.voters, counted.books.imbalance()), (40, 1, 1, 0));
        assert_proven(store.recount().await.unwrap());
        store.close().await;
    });
}

#[test]
fn the_property_can_fail() {
    // The checker is tried on a store somebody has meddled with: a batch nobody sent.
    runtime().block_on(async {
        let place = Place::new(Backend::Embedded);
        let store = place.store().await;
        let poll = poll_id();
        let sent = line([vec![ballot(poll, 1, 1, "1")]]);
        store.apply(0, &sent, NOON).await.unwrap();
        assert_eq!(differs(&store, &[poll], &sent).await, Ok(()));
        store.apply(0, &line([vec![ballot(poll, 1, 2, "2")]]), NOON).await.unwrap();
        assert!(differs(&store, &[poll], &sent).await.is_err());
        store.close().await;
    });
}

//! Ballots per second through `Store::apply`, by commit size: new ones, the same voters changing their minds, and a crowd as it comes: most of
//! it new, some changing their minds, some sending again what was received long ago.

use std::sync::Arc;
use std::time::Instant;

use groundswell::clock::now_ms;
use groundswell::domain::{Ballot, BallotId, Batch, InstanceId, Picks, PollId, VoterId};
use groundswell::store::Store;
use uuid::Uuid;

use crate::place::{Place, Side, cpu, cpu_since, numbers, runtime, words};

const LANES: u16 = 16;
const CHOICES: usize = 4;
/// Ballots in one message of a backlog.
const MESSAGE: usize = 4_000;
/// Of a crowd, as many in a hundred change their mind, and as many send the same ballot again: what a rehearsal does.
const CHANGING: usize = 10;
const REPEATING: usize = 5;

/// What one worker is going to do: commits of batches.
type Work = Vec<Vec<Arc<Batch>>>;

pub fn run(sides: &[Side]) {
    let most = numbers("BENCH_BALLOTS", "1000000")[0];
    println!("\n{:<9} {:>7} {:<8} {:>10} {:>9} {:>10} {:>9} {:>9}", "side", "/commit", "ballots", "ballots/s", "commits/s", "own µs/b", "PG µs/b", "both µs/b");
    for side in sides {
        let place = Place::new(*side);
        runtime(2).block_on(async {
            let store = place.store(*side).await;
            for per_commit in numbers("BENCH_PER_COMMIT", "20000,512,64,8") {
                // Small commits are slow commits: fewer of them say as much.
                let count = most.min(per_commit * 4_000).max(per_commit);
                measure(*side, &store, per_commit, count).await;
            }
            store.close().await;
        });
    }
}

async fn measure(side: Side, store: &Store, per_commit: usize, count: usize) {
    let mut voters: Vec<Uuid> = (0..count).map(|_| Uuid::new_v4()).collect();
    if words("BENCH_ORDER", "random")[0] == "sorted" {
        voters.sort_unstable();
    }
    // A process registers itself before its first vote.
    let (poll, instance) = (PollId::compose(now_ms(), fastrand::u32(..)), InstanceId(Uuid::new_v4()));
    store.register_instance(instance, LANES, now_ms()).await.expect("registered");
    let mut numbers = [0; LANES as usize];
    for (name, revision) in [("new", 1), ("changed", 2)] {
        let ballots: Vec<Ballot> = voters.iter().map(|voter| vote(poll, *voter, revision)).collect();
        let counted = count_all(side, store, name, per_commit, work(side, ballots, instance, &mut numbers, per_commit)).await;
        assert_eq!(counted, count as i64, "every ballot is new or takes another's place");
        if words("BENCH_ORDER", "random")[0] != "sorted" {
            fastrand::shuffle(&mut voters);
        }
    }
    let crowd = crowd(poll, &voters);
    let repeats = (count * REPEATING / 100) as i64;
    let counted = count_all(side, store, "crowd", per_commit, work(side, crowd, instance, &mut numbers, per_commit)).await;
    assert_eq!(counted, count as i64 - repeats, "a repeat is a duplicate");
    let tally = store.tallies(vec![poll]).await.expect("tallies").remove(&poll).expect("counted");
    let books = tally.rounds[&1].books;
    let changes = (count * CHANGING / 100) as i64;
    let count = count as i64;
    assert_eq!((books.received, books.counted), (3 * count, 2 * count - changes - repeats));
    assert_eq!((books.superseded, books.duplicate, books.imbalance()), (count + changes, repeats, 0));
}

/// Prints what it took.
async fn count_all(side: Side, store: &Store, name: &str, per_commit: usize, work: Vec<Work>) -> i64 {
    let commits: usize = work.iter().map(Vec::len).sum();
    let ballots = work.iter().flatten().flatten().map(|batch| batch.ballots.len()).sum();
    let (before, started) = (cpu(), Instant::now());
    let workers = work.into_iter().zip(0..).map(|(work, home)| tokio::spawn(apply_all(store.clone(), home, work)));
    let mut counted = 0;
    for worker in workers.collect::<Vec<_>>() {
        counted += worker.await.expect("no panic");
    }
    let (took, cpu) = (started.elapsed().as_secs_f64(), cpu_since(&before, ballots));
    println!(
        "{:<9} {per_commit:>7} {name:<8} {:>10.0} {:>9.0} {:>10.2} {:>9.2} {:>9.2}",
        format!("{side:?}"),
        ballots as f64 / took,
        commits as f64 / took,
        cpu["own"],
        cpu["postgres"],
        cpu["own"] + cpu["postgres"]
    );
    counted
}

/// The same voter always begins with the same choice, and picks another with each change: so that a change stands in another lane than the
/// vote it changes.
fn vote(poll: PollId, voter: Uuid, revision: u32) -> Ballot {
    let choice = (voter.as_u128() as usize + revision as usize) % CHOICES;
    let picks = Picks::parse(&(choice + 1).to_string()).expect("picks");
    Ballot { poll, round: 1, voter: VoterId(voter), ballot: BallotId(Uuid::new_v4()), revision, picks }
}

/// As many ballots as there are known voters: a few of them change their mind, the rest are people who had not voted yet, and some of those
/// send their ballot a second time, a good while after the first.
fn crowd(poll: PollId, known: &[Uuid]) -> Vec<Ballot> {
    let (changing, repeating) = (known.len() * CHANGING / 100, known.len() * REPEATING / 100);
    let mut ballots: Vec<Ballot> = known[..changing].iter().map(|voter| vote(poll, *voter, 3)).collect();
    ballots.extend((0..known.len() - changing - repeating).map(|_| vote(poll, Uuid::new_v4(), 1)));
    fastrand::shuffle(&mut ballots);
    let again: Vec<Ballot> = ballots[..known.len() / 2].iter().filter(|b| b.revision == 1).take(repeating).cloned().collect();
    for ballot in again {
        // Into the second half, so that it is seldom in the commit of the first.
        let (half, all) = (ballots.len() / 2, ballots.len());
        ballots.push(ballot);
        ballots.swap(fastrand::usize(half..all), all);
    }
    ballots
}

async fn apply_all(store: Store, home: u16, work: Work) -> i64 {
    let mut counted = 0;
    for batches in work {
        let total = store.apply(home, &batches, now_ms()).await.expect("applied").total();
        counted += total.counted + total.superseded;
    }
    counted
}

/// In batches by lane, in commits by worker.
fn work(side: Side, ballots: Vec<Ballot>, instance: InstanceId, numbers: &mut [u64], per_commit: usize) -> Vec<Work> {
    let workers = side.workers();
    let mut open: Vec<Vec<Ballot>> = vec![Vec::new(); usize::from(LANES)];
    let mut works: Vec<Work> = vec![Vec::new(); usize::from(workers)];
    let mut commits: Vec<(usize, Vec<Arc<Batch>>)> = vec![(0, Vec::new()); usize::from(workers)];
    let mut close = |lane: usize, ballots: Vec<Ballot>| {
        numbers[lane] += 1;
        let worker = lane % usize::from(workers);
        let (size, commit) = &mut commits[worker];
        *size += ballots.len();
        commit.push(Arc::new(Batch { instance, lane: lane as u16, number: numbers[lane], accepted_at: now_ms(), ballots, beat: None }));
        if *size >= per_commit {
            *size = 0;
            works[worker].push(std::mem::take(commit));
        }
    };
    for ballot in ballots {
        let first = ballot.picks.as_str().parse::<usize>().expect("one pick");
        let lane = (ballot.poll.0 as usize + first - 1) % usize::from(LANES);
        open[lane].push(ballot);
        if open[lane].len() >= MESSAGE.min(per_commit) {
            close(lane, std::mem::take(&mut open[lane]));
        }
    }
    open.into_iter().enumerate().filter(|(_, ballots)| !ballots.is_empty()).for_each(|(lane, ballots)| close(lane, ballots));
    for (worker, (_, rest)) in commits.into_iter().enumerate() {
        if !rest.is_empty() {
            works[worker].push(rest);
        }
    }
    works
}

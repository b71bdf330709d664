//! Counting: batches in, rows and tallies out, in one transaction. This is the only writer of `ballot`, `tally`, `book` and
//! `lane_mark`. Applying the same batches twice, or in any order, leaves the same rows and the same tally.
//!
//! The rules stand here, as functions of what was read. The two databases are asked the same questions in the same order, each
//! in the way it is fast: `postgres` with arrays in one statement, `sqlite` row by row without leaving the thread.

mod postgres;
pub(super) mod sqlite;

pub(super) use postgres::{Desk, settle_session};
pub(super) use sqlite::{Ledger, stop_counting_bytes};

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::Store;
use crate::domain::{Batch, Beat, Books, CLOSE_GRACE_MS, Count, GAPS_MANY, InstanceId, Mark, Millis, Picks, PollId, SignedBallot, VoterId, collapse, delta};
use crate::error::{Error, Result};

/// What one call of `apply` did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Applied {
    /// Numbered batches that were new, and ones that had been applied before and were skipped whole.
    pub batches: u64,
    pub redelivered: u64,
    /// Of the new batches, per poll and round.
    pub books: BTreeMap<(PollId, u32), Books>,
}

impl Applied {
    pub fn total(&self) -> Books {
        let mut total = Books::default();
        self.books.values().for_each(|b| total.add(b));
        total
    }
}

/// The writing end of counting. Cheap to clone.
#[derive(Clone)]
pub(super) enum Counter {
    Postgres(Desk),
    Sqlite(Ledger),
}

/// One transaction of counting takes tenths of a second. After this long the database is taken for gone, the connection is thrown away and
/// the caller tries again: a line that swallows everything would otherwise hold a worker until TCP gives up, a quarter of an hour later.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

type MarkKey = (InstanceId, u16);

/// Marks of instances that have been silent this long are dropped. Should one of their batches turn up after all, the rank of its ballots
/// still decides what counts.
const MARK_KEPT_MS: Millis = 30 * 24 * 3_600 * 1_000;

type Marks = BTreeMap<MarkKey, Mark>;
type RoundKey = (PollId, u32);
type VoterKey = (PollId, u32, VoterId);
type Tallies = BTreeMap<RoundKey, BTreeMap<u16, Count>>;

impl Store {
    /// Applies batches of the lanes of one worker in one transaction and returns once it is committed. `home` is the worker's first
    /// lane: the tally rows it alone writes.
    ///
    /// Not cancel-safe on purpose: callers own the task and finish it.
    pub async fn apply<B: Borrow<Batch> + Clone + Send + 'static>(&self, home: u16, batches: &[B], now: Millis) -> Result<Applied> {
        match &self.counter {
            Counter::Postgres(desk) => desk.apply(home, batches, now).await,
            Counter::Sqlite(ledger) => ledger.apply(home, batches.to_vec(), now).await,
        }
    }

    /// Takes in beats that no lane carried: who lives and how far it got is known, but not that what waits in the lanes has gone by.
    ///
    /// Not cancel-safe, like `apply`.
    pub async fn sign(&self, beats: &[(InstanceId, u16, Beat)]) -> Result<()> {
        match &self.counter {
            Counter::Postgres(desk) => desk.sign(beats).await,
            Counter::Sqlite(ledger) => ledger.sign(beats.to_vec()).await,
        }
    }

    /// Makes an instance known on all its lanes before it accepts anything, so that `counted_through` never runs ahead of it.
    pub async fn register_instance(&self, instance: InstanceId, lanes: u16, clock: Millis) -> Result<()> {
        let (pool, counter) = (self.count.clone(), self.counter.clone());
        self.owned(async move {
            let marks: Marks = (0..lanes).map(|lane| ((instance, lane), Mark::born(clock))).collect();
            super::writing!(&pool, db => {
                sqlx::query("delete from lane_mark where clock < $1").bind(clock - MARK_KEPT_MS).execute(db).await?;
            });
            match &counter {
                Counter::Postgres(desk) => desk.register(&marks).await,
                Counter::Sqlite(ledger) => ledger.register(marks).await,
            }
        })
        .await
    }

    /// Keeps a message nobody could decode, so that it can be acknowledged without being lost.
    pub async fn quarantine(&self, lane: u16, reason: &str, body: &[u8], now: Millis) -> Result<()> {
        // By its content: a message that is delivered again is kept once.
        let mut hasher = DefaultHasher::new();
        (lane, body).hash(&mut hasher);
        let id = (hasher.finish() >> 1) as i64;
        super::writing!(&self.count, db => { sqlx::query("insert into quarantine (id, lane, arrived_at, reason, body) values ($1, $2, $3, $4, $5) on conflict (id) do nothing")
            .bind(id).bind(i32::from(lane)).bind(now).bind(reason).bind(body).execute(db).await?; });
        Ok(())
    }
}

/// Which (instance, lane) these batches speak of, sorted: the order in which marks are locked.
fn mark_keys<B: Borrow<Batch>>(batches: &[B]) -> Vec<MarkKey> {
    in_order(batches.iter().map(|b| (b.borrow().instance, b.borrow().lane)))
}

fn in_order(keys: impl Iterator<Item = MarkKey>) -> Vec<MarkKey> {
    let keys: HashSet<MarkKey> = keys.collect();
    let mut keys: Vec<MarkKey> = keys.into_iter().collect();
    keys.sort_unstable();
    keys
}

fn sign_marks(beats: &[(InstanceId, u16, Beat)], marks: &mut Marks) {
    for (instance, lane, beat) in beats {
        marks.entry((*instance, *lane)).or_default().sign(beat);
    }
}

/// Notes the batches in their marks and takes the ballots of those that are new.
fn take_new<B: Borrow<Batch>>(batches: &[B], marks: &mut Marks) -> (Applied, Vec<SignedBallot>) {
    let mut applied = Applied::default();
    let mut ballots = Vec::new();
    for batch in batches.iter().map(Borrow::borrow) {
        let mark = marks.entry((batch.instance, batch.lane)).or_default();
        if batch.number > 0 {
            let is_new = mark.note(batch.number);
            #[cfg(feature = "planted")]
            let is_new = is_new || crate::planted::is(crate::planted::Planted::NoDedupe);
            if is_new && mark.gaps() == GAPS_MANY {
                tracing::warn!(instance = %batch.instance.0, lane = batch.lane, "{GAPS_MANY} batches of a lane are missing between others: a spill is far behind");
            }
            if is_new {
                applied.batches += 1;
                ballots.extend(batch.ballots.iter().map(|b| SignedBallot { ballot: b.clone(), accepted_at: batch.accepted_at }));
            } else {
                applied.redelivered += 1;
            }
        }
        if let Some(beat) = &batch.beat {
            mark.beat(beat);
        }
    }
    for ballot in &ballots {
        applied.books.entry(round_of(ballot)).or_default().received += 1;
    }
    (applied, ballots)
}

fn round_of(ballot: &SignedBallot) -> RoundKey {
    (ballot.ballot.poll, ballot.ballot.round)
}

fn polls_of(ballots: &[SignedBallot]) -> HashSet<i64> {
    ballots.iter().map(|b| b.ballot.poll.0).collect()
}

/// What the polls of some ballots say about them.
#[derive(Default)]
struct Rules {
    /// When rounds closed.
    closed: HashMap<RoundKey, Millis>,
    /// Polls whose votes are final. The door refuses revisions there; counting refuses the rest: the first to be counted stays.
    finals: HashSet<i64>,
}

/// (poll, votes are final, a closed round of it, when it closed)
type RuleRow = (i64, bool, Option<i32>, Option<Millis>);

impl Rules {
    fn take_in(&mut self, (poll, is_final, round, closed_at): RuleRow) {
        if is_final {
            self.finals.insert(poll);
        }
        if let (Some(round), Some(at)) = (round, closed_at) {
            self.closed.insert((PollId(poll), round as u32), at);
        }
    }
}

/// Takes out what was accepted too long after the close.
fn set_late_aside(ballots: &mut Vec<SignedBallot>, rules: &Rules, applied: &mut Applied) -> Vec<SignedBallot> {
    if rules.closed.is_empty() {
        return Vec::new();
    }
    let mut late: Vec<SignedBallot> =
        ballots.extract_if(.., |b| rules.closed.get(&round_of(b)).is_some_and(|at| b.accepted_at > at + CLOSE_GRACE_MS)).collect();
    // In one order for all workers, as every row that two of them may write.
    late.sort_unstable_by_key(|b| (b.ballot.key(), b.ballot.ballot));
    for ballot in &late {
        applied.books.entry(round_of(ballot)).or_default().late += 1;
    }
    late
}

/// One ballot per voter, sorted by key; what is left out goes into the books.
fn highest_of_each(ballots: Vec<SignedBallot>, applied: &mut Applied) -> Vec<SignedBallot> {
    let (rows, left_out) = collapse(ballots);
    for (key, count) in left_out {
        let books = applied.books.entry(key).or_default();
        books.superseded += count.superseded;
        books.duplicate += count.duplicate;
    }
    rows
}

/// Takes in that `times` voters' rows went from `prior` to `picks`.
fn take_written(round: RoundKey, picks: &Picks, prior: Option<&Picks>, times: i64, applied: &mut Applied, tallies: &mut Tallies) {
    let books = applied.books.entry(round).or_default();
    match prior {
        None => books.counted += times,
        // The row counts as before; the ballot it held gave way.
        Some(_) => books.superseded += times,
    }
    let had_picks = prior.is_some_and(|p| !p.is_empty());
    if !picks.is_empty() && !had_picks {
        books.voters += times;
    } else if picks.is_empty() && had_picks {
        books.voters -= times;
    }
    delta(tallies.entry(round).or_default(), picks, prior, times);
}

#[cfg(feature = "planted")]
fn tallies_as_sent(rows: &[SignedBallot], honest: Tallies) -> Tallies {
    if !crate::planted::is(crate::planted::Planted::TallyOfTheSent) {
        return honest;
    }
    let mut tallies = Tallies::new();
    rows.iter().for_each(|row| delta(tallies.entry(round_of(row)).or_default(), &row.ballot.picks, None, 1));
    tallies
}

/// (poll, round, choice, votes, weight) of every tally that really changes.
fn changes(tallies: &Tallies) -> Vec<(i64, i32, i32, i64, i64)> {
    let all =
        tallies.iter().flat_map(|((poll, round), counts)| counts.iter().map(move |(choice, n)| (poll.0, *round as i32, i32::from(*choice), n.votes, n.weight)));
    all.filter(|(.., votes, weight)| *votes != 0 || *weight != 0).collect()
}

fn read_mark(through: i64, ahead: &str, last: i64, clock: Millis, counted_to: Millis, ended: bool, heard: Millis) -> Result<Mark> {
    Mark::from_columns(through, ahead, last, clock, counted_to, ended, heard).ok_or_else(|| Error::internal(anyhow::anyhow!("a lane mark cannot be read")))
}

// --- SQL that both databases share; where the rows come from is each one's own ------------------------------------

const INSERT_BALLOT: &str = "insert into ballot as b (poll, round, voter, ballot, revision, picks, accepted_at) ";
/// Followed by each database's way to say that this poll's votes are not final.
const ON_KNOWN_VOTER: &str = " on conflict (poll, round, voter) do update set
        prior = b.picks, picks = excluded.picks, ballot = excluded.ballot, revision = excluded.revision, accepted_at = excluded.accepted_at
    where (excluded.revision, excluded.ballot) > (b.revision, b.ballot) and ";
/// Followed by which polls.
const READ_RULES: &str = "select p.id, not p.change, r.round, r.closed_at
    from poll p left join round r on r.poll = p.id and r.closed_at is not null
    where (not p.change or r.closed_at is not null) and p.id ";
const INSERT_LATE: &str = "insert into late_ballot (poll, round, voter, ballot, revision, picks, accepted_at) ";
const ON_KNOWN_LATE: &str = " on conflict (poll, round, voter, ballot) do nothing";
const ADD_TALLY: &str = "insert into tally as t (poll, round, lane, choice, votes, weight) ";
const ON_KNOWN_TALLY: &str = " on conflict (poll, round, choice, lane) do update set votes = t.votes + excluded.votes, weight = t.weight + excluded.weight";
const ADD_BOOK: &str = "insert into book as b (poll, round, lane, received, counted, superseded, duplicate, late, voters, changed_at) ";
const ON_KNOWN_BOOK: &str = " on conflict (poll, round, lane) do update set
        received = b.received + excluded.received, counted = b.counted + excluded.counted, superseded = b.superseded + excluded.superseded,
        duplicate = b.duplicate + excluded.duplicate, late = b.late + excluded.late, voters = b.voters + excluded.voters, changed_at = excluded.changed_at";
const SET_MARK: &str = "insert into lane_mark (instance, lane, through, ahead, last, clock, counted_to, ended, heard) ";
const ON_KNOWN_MARK: &str = " on conflict (instance, lane) do update set through = excluded.through, ahead = excluded.ahead, last = excluded.last,
        clock = excluded.clock, counted_to = excluded.counted_to, ended = excluded.ended, heard = excluded.heard";

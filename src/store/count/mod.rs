//! Counting: batches in, rows and tallies out, in one transaction. This is the only writer of `ballot`, `tally`, `book` and
//! `lane_mark`. Applying the same batches twice, or in any order, leaves the same rows and the same tally.
//!
//! The rules stand in `domain::counting`, as functions of what was read. The two databases are asked the same questions in the same order,
//! each in the way it is fast: `postgres` with arrays in one statement, `sqlite` row by row without leaving the thread.

mod postgres;
pub(super) mod sqlite;

pub(super) use postgres::{Desk, settle_session};
pub(super) use sqlite::{Ledger, stop_counting_bytes};

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::Store;
use crate::domain::counting::{self, Applied, MarkKey, Marks, Rules, Tallies};
use crate::domain::{Batch, GAPS_MANY, InstanceId, Mark, MarkColumns, Millis, PollId, Sign, SignedBallot};
use crate::error::{Error, Result};

/// The writing end of counting. Cheap to clone.
#[derive(Clone)]
pub(super) enum Counter {
    Postgres(Desk),
    Sqlite(Ledger),
}

/// One transaction of counting takes tenths of a second. After this long the database is taken for gone, the connection is thrown away and
/// the caller tries again: a line that swallows everything would otherwise hold a worker until TCP gives up, a quarter of an hour later.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Marks of instances that have been silent this long are dropped. Should one of their batches turn up after all, the rank of its ballots
/// still decides what counts.
const MARK_KEPT_MS: Millis = 30 * 24 * 3_600 * 1_000;

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

    /// Takes in what no lane carried: who lives, and how far it got where it says so itself; not that what waits in the lanes has gone by.
    ///
    /// Not cancel-safe, like `apply`.
    pub async fn sign(&self, signs: &[(InstanceId, u16, Sign)]) -> Result<()> {
        match &self.counter {
            Counter::Postgres(desk) => desk.sign(signs).await,
            Counter::Sqlite(ledger) => ledger.sign(signs.to_vec()).await,
        }
    }

    /// Makes an instance known on all its lanes before it accepts anything, so that `counted_through` never runs ahead of it.
    pub async fn register_instance(&self, instance: InstanceId, lanes: u16, clock: Millis) -> Result<()> {
        let (pool, counter) = (self.count.clone(), self.counter.clone());
        self.owned(async move {
            let marks: Marks = (0..lanes).map(|lane| ((instance, lane), Mark::born(clock))).collect();
            super::writing!(&pool, db => {
                sqlx::query("delete from lane_mark where clock < $1 and vouched < $1").bind(clock - MARK_KEPT_MS).execute(db).await?;
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

fn sign_marks(signs: &[(InstanceId, u16, Sign)], marks: &mut Marks) {
    for (instance, lane, sign) in signs {
        marks.entry((*instance, *lane)).or_default().sign(sign);
    }
}

/// `counting::take_new`, and a word where a spill has fallen far behind.
fn take_new<B: Borrow<Batch>>(batches: &[B], marks: &mut Marks) -> (Applied, Vec<SignedBallot>) {
    let gaps_many = |marks: &Marks| -> Vec<MarkKey> { marks.iter().filter(|(_, mark)| mark.gaps() >= GAPS_MANY).map(|(key, _)| *key).collect() };
    let known = gaps_many(marks);
    let taken = counting::take_new(batches, marks);
    for (instance, lane) in gaps_many(marks).into_iter().filter(|key| !known.contains(key)) {
        tracing::warn!(instance = %instance.0, lane, "{GAPS_MANY} batches of a lane are missing between others: a spill is far behind");
    }
    taken
}

/// (poll, votes are final, a closed round of it, when it closed)
type RuleRow = (i64, bool, Option<i32>, Option<Millis>);

fn rules_of(rows: Vec<RuleRow>) -> Rules {
    let mut rules = Rules::default();
    for (poll, is_final, round, closed_at) in rows {
        if is_final {
            rules.finals.insert(PollId(poll));
        }
        if let (Some(round), Some(at)) = (round, closed_at) {
            rules.closed.insert((PollId(poll), round as u32), at);
        }
    }
    rules
}

#[cfg(feature = "planted")]
fn tallies_as_sent(rows: &[SignedBallot], honest: Tallies) -> Tallies {
    if !crate::planted::is(crate::planted::Planted::TallyOfTheSent) {
        return honest;
    }
    let mut tallies = Tallies::new();
    rows.iter().for_each(|row| crate::domain::delta(tallies.entry(counting::round_of(row)).or_default(), &row.ballot.picks, None, 1));
    tallies
}

/// (poll, round, choice, votes, weight) of every tally that really changes.
fn changes(tallies: &Tallies) -> Vec<(i64, i32, i32, i64, i64)> {
    let all =
        tallies.iter().flat_map(|((poll, round), counts)| counts.iter().map(move |(choice, n)| (poll.0, *round as i32, i32::from(*choice), n.votes, n.weight)));
    all.filter(|(.., votes, weight)| *votes != 0 || *weight != 0).collect()
}

pub(super) fn read_mark(columns: MarkColumns) -> Result<Mark> {
    Mark::from_columns(columns).ok_or_else(|| Error::internal(anyhow::anyhow!("a lane mark cannot be read")))
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
const SET_MARK: &str = "insert into lane_mark (instance, lane, through, ahead, last, clock, counted_to, ended, heard, vouched) ";
const ON_KNOWN_MARK: &str = " on conflict (instance, lane) do update set through = excluded.through, ahead = excluded.ahead, last = excluded.last,
        clock = excluded.clock, counted_to = excluded.counted_to, ended = excluded.ended, heard = excluded.heard, vouched = excluded.vouched";

//! Counting: batches in, rows and tallies out, in one transaction. This is the only writer of `ballot`, `tally`, `book` and
//! `lane_mark`. Applying the same batches twice, or in any order, leaves the same rows and the same tally.

use std::collections::{BTreeMap, HashMap, HashSet};

use sqlx::{AssertSqlSafe, Postgres, Sqlite, Transaction};
use uuid::Uuid;

use super::{Pool, Store};
use crate::domain::{Batch, Books, CLOSE_GRACE_MS, Count, InstanceId, Mark, Millis, Picks, PollId, SignedBallot, collapse, delta};
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

type MarkKey = (InstanceId, u16);

/// Marks of instances that have been silent this long are dropped. Should one of their batches turn up after all, the rank of its ballots
/// still decides what counts.
const MARK_KEPT_MS: Millis = 30 * 24 * 3_600 * 1_000;

/// Rows the upsert really wrote, summed up by what they changed: (poll, round, picks, prior) and how many voters.
type Written = Vec<(i64, i32, String, Option<String>, i64)>;

impl Store {
    /// Applies batches of the lanes of one worker in one transaction and returns once it is committed. `home` is the worker's first
    /// lane: the tally rows it alone writes.
    ///
    /// Not cancel-safe on purpose: callers own the task and finish it.
    pub async fn apply(&self, home: u16, batches: &[Batch], now: Millis) -> Result<Applied> {
        match &self.count {
            Pool::Postgres(db) => {
                let mut tx = db.begin().await?;
                let applied = apply_with(&mut Tx::Postgres(&mut tx), home, batches, now).await?;
                tx.commit().await?;
                Ok(applied)
            }
            Pool::Sqlite { write, .. } => {
                let mut tx = write.begin().await?;
                let applied = apply_with(&mut Tx::Sqlite(&mut tx), home, batches, now).await?;
                tx.commit().await?;
                Ok(applied)
            }
        }
    }

    /// Makes an instance known on all its lanes before it accepts anything, so that `counted_through` never runs ahead of it.
    pub async fn register_instance(&self, instance: InstanceId, lanes: u16, clock: Millis) -> Result<()> {
        let store = self.clone();
        self.owned(async move {
            let keys: Vec<MarkKey> = (0..lanes).map(|lane| (instance, lane)).collect();
            let marks: BTreeMap<MarkKey, Mark> = keys.into_iter().map(|key| (key, Mark::born(clock))).collect();
            super::writing!(&store.count, db => {
                sqlx::query("delete from lane_mark where clock < $1").bind(clock - MARK_KEPT_MS).execute(db).await?;
            });
            match &store.count {
                Pool::Postgres(db) => {
                    let mut tx = db.begin().await?;
                    write_marks(&mut Tx::Postgres(&mut tx), &marks).await?;
                    tx.commit().await?;
                }
                Pool::Sqlite { write, .. } => {
                    let mut tx = write.begin().await?;
                    write_marks(&mut Tx::Sqlite(&mut tx), &marks).await?;
                    tx.commit().await?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Keeps a message nobody could decode, so that it can be acknowledged without being lost.
    pub async fn quarantine(&self, id: i64, lane: u16, reason: &str, body: &[u8], now: Millis) -> Result<()> {
        super::writing!(&self.count, db => { sqlx::query("insert into quarantine (id, lane, arrived_at, reason, body) values ($1, $2, $3, $4, $5)")
            .bind(id).bind(i32::from(lane)).bind(now).bind(reason).bind(body).execute(db).await?; });
        Ok(())
    }
}

/// A transaction of either database, where their SQL differs for the sake of speed: arrays there, many values here.
enum Tx<'t, 'c> {
    Postgres(&'t mut Transaction<'c, Postgres>),
    Sqlite(&'t mut Transaction<'c, Sqlite>),
}

async fn apply_with(tx: &mut Tx<'_, '_>, home: u16, batches: &[Batch], now: Millis) -> Result<Applied> {
    let mut applied = Applied::default();

    // 1. Which batches are new? The marks are locked first: after a failover two workers may hold the same batch.
    let keys: HashSet<MarkKey> = batches.iter().map(|b| (b.instance, b.lane)).collect();
    let mut marks = lock_marks(tx, keys).await?;
    let mut ballots = Vec::new();
    for batch in batches {
        let mark = marks.get_mut(&(batch.instance, batch.lane)).expect("every key was loaded");
        if batch.number > 0 {
            if mark.note(batch.number) {
                applied.batches += 1;
                ballots.extend(batch.ballots.iter().map(|b| SignedBallot { ballot: b.clone(), accepted_at: batch.accepted_at }));
            } else {
                applied.redelivered += 1;
            }
        }
        if let Some(beat) = batch.beat {
            mark.beat(beat);
        }
    }

    // 2. Every ballot of a new batch ends as exactly one of: counted, superseded, duplicate, late.
    if !ballots.is_empty() {
        for ballot in &ballots {
            applied.books.entry((ballot.ballot.poll, ballot.ballot.round)).or_default().received += 1;
        }
        let late = split_late(tx, &mut ballots).await?;
        for ballot in &late {
            applied.books.entry((ballot.ballot.poll, ballot.ballot.round)).or_default().late += 1;
        }
        let (rows, left_out) = collapse(ballots);
        for (key, count) in left_out {
            let books = applied.books.entry(key).or_default();
            books.superseded += count.superseded;
            books.duplicate += count.duplicate;
        }
        write_ballots(tx, home, &rows, &mut applied).await?;
        write_books(tx, home, &applied, now).await?;
    }

    // 3. Note it.
    write_marks(tx, &marks).await?;
    Ok(applied)
}

async fn lock_marks(tx: &mut Tx<'_, '_>, keys: HashSet<MarkKey>) -> Result<BTreeMap<MarkKey, Mark>> {
    type Row = (Uuid, i32, i64, String, i64, i64, i64, bool);
    let mut sorted: Vec<MarkKey> = keys.into_iter().collect();
    sorted.sort_unstable();
    let rows: Vec<Row> = match tx {
        Tx::Postgres(tx) => {
            let (instances, lanes): (Vec<Uuid>, Vec<i32>) = sorted.iter().map(|(i, l)| (i.0, i32::from(*l))).unzip();
            sqlx::query_as(
                "select m.instance, m.lane, m.through, m.ahead, m.last, m.clock, m.counted_to, m.ended
                 from lane_mark m join unnest($1::uuid[], $2::int[]) as k (instance, lane) on m.instance = k.instance and m.lane = k.lane
                 order by m.instance, m.lane
                 for update of m",
            )
            .bind(instances)
            .bind(lanes)
            .fetch_all(&mut ***tx)
            .await?
        }
        Tx::Sqlite(tx) => {
            let mut rows = Vec::new();
            for (instance, lane) in &sorted {
                let row: Option<Row> = sqlx::query_as(
                    "select instance, lane, through, ahead, last, clock, counted_to, ended
                     from lane_mark where instance = $1 and lane = $2",
                )
                .bind(instance.0)
                .bind(i32::from(*lane))
                .fetch_optional(&mut ***tx)
                .await?;
                rows.extend(row);
            }
            rows
        }
    };
    // An instance that never registered (its database was restored from before its birth) begins at zero.
    let mut marks: BTreeMap<MarkKey, Mark> = sorted.into_iter().map(|key| (key, Mark::default())).collect();
    for (instance, lane, through, ahead, last, clock, counted_to, ended) in rows {
        let mark = Mark::from_columns(through, &ahead, last, clock, counted_to, ended)
            .ok_or_else(|| Error::internal(anyhow::anyhow!("lane_mark ({instance}, {lane}) cannot be read")))?;
        marks.insert((InstanceId(instance), lane as u16), mark);
    }
    Ok(marks)
}

/// Takes out what was accepted too long after the close, and keeps it on the side.
async fn split_late(tx: &mut Tx<'_, '_>, ballots: &mut Vec<SignedBallot>) -> Result<Vec<SignedBallot>> {
    let polls: HashSet<i64> = ballots.iter().map(|b| b.ballot.poll.0).collect();
    let closed: Vec<(i64, i32, i64)> = match tx {
        Tx::Postgres(tx) => {
            let polls: Vec<i64> = polls.into_iter().collect();
            sqlx::query_as("select poll, round, closed_at from round where closed_at is not null and poll = any($1)").bind(polls).fetch_all(&mut ***tx).await?
        }
        Tx::Sqlite(tx) => {
            let mut closed = Vec::new();
            for poll in polls {
                closed.extend(
                    sqlx::query_as::<_, (i64, i32, i64)>("select poll, round, closed_at from round where closed_at is not null and poll = $1")
                        .bind(poll)
                        .fetch_all(&mut ***tx)
                        .await?,
                );
            }
            closed
        }
    };
    if closed.is_empty() {
        return Ok(Vec::new());
    }
    let closed: HashMap<(i64, i32), Millis> = closed.into_iter().map(|(poll, round, at)| ((poll, round), at)).collect();
    let is_late = |b: &mut SignedBallot| closed.get(&(b.ballot.poll.0, b.ballot.round as i32)).is_some_and(|at| b.accepted_at > at + CLOSE_GRACE_MS);
    let late: Vec<SignedBallot> = ballots.extract_if(.., is_late).collect();
    for b in &late {
        const INSERT: &str = "insert into late_ballot (poll, round, voter, ballot, revision, picks, accepted_at) values ($1, $2, $3, $4, $5, $6, $7)
             on conflict (poll, round, voter, ballot) do nothing";
        macro_rules! run {
            ($tx:expr) => {
                sqlx::query(INSERT)
                    .bind(b.ballot.poll.0)
                    .bind(b.ballot.round as i32)
                    .bind(b.ballot.voter.0)
                    .bind(b.ballot.ballot.0)
                    .bind(b.ballot.revision as i32)
                    .bind(b.ballot.picks.as_str())
                    .bind(b.accepted_at)
                    .execute(&mut ***$tx)
                    .await?
            };
        }
        match tx {
            Tx::Postgres(tx) => _ = run!(tx),
            Tx::Sqlite(tx) => _ = run!(tx),
        }
    }
    Ok(late)
}

/// Upserts one row per voter, adds what really changed to the tallies, and sorts out the rest.
async fn write_ballots(tx: &mut Tx<'_, '_>, home: u16, rows: &[SignedBallot], applied: &mut Applied) -> Result<()> {
    let written = match tx {
        Tx::Postgres(tx) => upsert_postgres(tx, rows).await?,
        Tx::Sqlite(tx) => upsert_sqlite(tx, rows).await?,
    };
    let mut tallies: BTreeMap<(i64, i32), BTreeMap<u16, Count>> = BTreeMap::new();
    let mut written_per_round: HashMap<(i64, i32), i64> = HashMap::new();
    for (poll, round, picks, prior, times) in written {
        let (picks, prior) = (Picks::parse(&picks)?, prior.as_deref().map(Picks::parse).transpose()?);
        let books = applied.books.entry((PollId(poll), round as u32)).or_default();
        *written_per_round.entry((poll, round)).or_default() += times;
        match &prior {
            None => books.counted += times,
            // The row counts as before; the ballot it held gave way.
            Some(_) => books.superseded += times,
        }
        let had_picks = prior.as_ref().is_some_and(|p| !p.is_empty());
        if !picks.is_empty() && !had_picks {
            books.voters += times;
        } else if picks.is_empty() && had_picks {
            books.voters -= times;
        }
        delta(tallies.entry((poll, round)).or_default(), &picks, prior.as_ref(), times);
    }
    // Ballots that met a higher or the same one. Rare, so only then is it asked which.
    let mut sent_per_round: HashMap<(i64, i32), i64> = HashMap::new();
    for row in rows {
        *sent_per_round.entry((row.ballot.poll.0, row.ballot.round as i32)).or_default() += 1;
    }
    for (key, sent) in sent_per_round {
        let written = written_per_round.get(&key).copied().unwrap_or(0);
        if sent > written {
            let mine: Vec<&SignedBallot> = rows.iter().filter(|r| (r.ballot.poll.0, r.ballot.round as i32) == key).collect();
            // A row now holding the ballot sent was either written by us or held it before.
            let duplicate = count_held(tx, key, &mine).await? - written;
            let books = applied.books.entry((PollId(key.0), key.1 as u32)).or_default();
            books.duplicate += duplicate;
            books.superseded += sent - written - duplicate;
        }
    }
    write_tallies(tx, home, &tallies).await
}

const UPSERT_HEAD: &str = "insert into ballot as b (poll, round, voter, ballot, revision, picks, accepted_at) ";
const UPSERT_TAIL: &str = " on conflict (poll, round, voter) do update set
        prior = b.picks, picks = excluded.picks, ballot = excluded.ballot, revision = excluded.revision, accepted_at = excluded.accepted_at
    where (excluded.revision, excluded.ballot) > (b.revision, b.ballot)
    returning poll, round, picks, prior";

/// One statement for any number of rows, in the order given: sorted by key, or two workers deadlock. What came of it is
/// summed up by the database: a million single votes come back as a handful of lines.
async fn upsert_postgres(tx: &mut Transaction<'_, Postgres>, rows: &[SignedBallot]) -> Result<Written> {
    let column = |f: fn(&SignedBallot) -> i64| rows.iter().map(f).collect::<Vec<i64>>();
    let statement = format!(
        "with written as (
            {UPSERT_HEAD} select * from unnest($1::bigint[], $2::int[], $3::uuid[], $4::uuid[], $5::int[], $6::text[], $7::bigint[]) {UPSERT_TAIL}
        )
        select poll, round, picks, prior, count(*) from written group by poll, round, picks, prior"
    );
    let written = sqlx::query_as(AssertSqlSafe(statement))
        .bind(column(|r| r.ballot.poll.0))
        .bind(rows.iter().map(|r| r.ballot.round as i32).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.ballot.voter.0).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.ballot.ballot.0).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.ballot.revision as i32).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.ballot.picks.as_str()).collect::<Vec<_>>())
        .bind(column(|r| r.accepted_at))
        .fetch_all(&mut **tx)
        .await?;
    Ok(written)
}

/// SQLite has no arrays: as many rows of values as fit, in few sizes so that each statement is prepared once.
async fn upsert_sqlite(tx: &mut Transaction<'_, Sqlite>, rows: &[SignedBallot]) -> Result<Written> {
    const SIZES: [usize; 4] = [512, 64, 8, 1];
    const COLUMNS: usize = 7;
    let mut written: HashMap<(i64, i32, String, Option<String>), i64> = HashMap::new();
    let mut rest = rows;
    while !rest.is_empty() {
        let size = SIZES.into_iter().find(|size| *size <= rest.len()).expect("the last size is one");
        let (chunk, after) = rest.split_at(size);
        rest = after;
        let mut statement = String::from(UPSERT_HEAD);
        for row in 0..size {
            statement.push_str(if row == 0 { "values (" } else { ", (" });
            for column in 1..=COLUMNS {
                statement.push_str(if column == 1 { "?" } else { ", ?" });
            }
            statement.push(')');
        }
        statement.push_str(UPSERT_TAIL);
        let mut query = sqlx::query_as::<_, (i64, i32, String, Option<String>)>(AssertSqlSafe(statement));
        for row in chunk {
            let b = &row.ballot;
            query =
                query.bind(b.poll.0).bind(b.round as i32).bind(b.voter.0).bind(b.ballot.0).bind(b.revision as i32).bind(b.picks.as_str()).bind(row.accepted_at);
        }
        for row in query.fetch_all(&mut **tx).await? {
            *written.entry(row).or_default() += 1;
        }
    }
    Ok(written.into_iter().map(|((poll, round, picks, prior), times)| (poll, round, picks, prior, times)).collect())
}

/// How many of these voters' rows hold exactly the ballot sent.
async fn count_held(tx: &mut Tx<'_, '_>, (poll, round): (i64, i32), rows: &[&SignedBallot]) -> Result<i64> {
    match tx {
        Tx::Postgres(tx) => {
            let (held,): (i64,) = sqlx::query_as(
                "select count(*) from ballot b join unnest($3::uuid[], $4::uuid[]) as s (voter, ballot) on b.voter = s.voter and b.ballot = s.ballot
                 where b.poll = $1 and b.round = $2",
            )
            .bind(poll)
            .bind(round)
            .bind(rows.iter().map(|r| r.ballot.voter.0).collect::<Vec<_>>())
            .bind(rows.iter().map(|r| r.ballot.ballot.0).collect::<Vec<_>>())
            .fetch_one(&mut ***tx)
            .await?;
            Ok(held)
        }
        Tx::Sqlite(tx) => {
            let mut held = 0;
            for row in rows {
                let (found,): (i64,) = sqlx::query_as("select count(*) from ballot where poll = $1 and round = $2 and voter = $3 and ballot = $4")
                    .bind(poll)
                    .bind(round)
                    .bind(row.ballot.voter.0)
                    .bind(row.ballot.ballot.0)
                    .fetch_one(&mut ***tx)
                    .await?;
                held += found;
            }
            Ok(held)
        }
    }
}

async fn write_tallies(tx: &mut Tx<'_, '_>, home: u16, tallies: &BTreeMap<(i64, i32), BTreeMap<u16, Count>>) -> Result<()> {
    let changes: Vec<(i64, i32, i32, i64, i64)> = tallies
        .iter()
        .flat_map(|((poll, round), counts)| counts.iter().map(move |(choice, count)| (*poll, *round, i32::from(*choice), count.votes, count.weight)))
        .filter(|(.., votes, weight)| *votes != 0 || *weight != 0)
        .collect();
    const TAIL: &str = " on conflict (poll, round, choice, lane) do update set votes = t.votes + excluded.votes, weight = t.weight + excluded.weight";
    match tx {
        _ if changes.is_empty() => {}
        Tx::Postgres(tx) => {
            let statement = format!(
                "insert into tally as t (poll, round, lane, choice, votes, weight)
                 select p, r, $1, c, v, w from unnest($2::bigint[], $3::int[], $4::int[], $5::bigint[], $6::bigint[]) as i (p, r, c, v, w) {TAIL}"
            );
            sqlx::query(AssertSqlSafe(statement))
                .bind(i32::from(home))
                .bind(changes.iter().map(|c| c.0).collect::<Vec<_>>())
                .bind(changes.iter().map(|c| c.1).collect::<Vec<_>>())
                .bind(changes.iter().map(|c| c.2).collect::<Vec<_>>())
                .bind(changes.iter().map(|c| c.3).collect::<Vec<_>>())
                .bind(changes.iter().map(|c| c.4).collect::<Vec<_>>())
                .execute(&mut ***tx)
                .await?;
        }
        Tx::Sqlite(tx) => {
            let statement = format!("insert into tally as t (poll, round, lane, choice, votes, weight) values ($1, $2, $3, $4, $5, $6) {TAIL}");
            for (poll, round, choice, votes, weight) in changes {
                sqlx::query(AssertSqlSafe(statement.clone()))
                    .bind(poll)
                    .bind(round)
                    .bind(i32::from(home))
                    .bind(choice)
                    .bind(votes)
                    .bind(weight)
                    .execute(&mut ***tx)
                    .await?;
            }
        }
    }
    Ok(())
}

async fn write_books(tx: &mut Tx<'_, '_>, home: u16, applied: &Applied, now: Millis) -> Result<()> {
    const TAIL: &str = " on conflict (poll, round, lane) do update set
        received = b.received + excluded.received, counted = b.counted + excluded.counted, superseded = b.superseded + excluded.superseded,
        duplicate = b.duplicate + excluded.duplicate, late = b.late + excluded.late, voters = b.voters + excluded.voters, changed_at = excluded.changed_at";
    const HEAD: &str = "insert into book as b (poll, round, lane, received, counted, superseded, duplicate, late, voters, changed_at) ";
    match tx {
        Tx::Postgres(tx) => {
            let statement = format!(
                "{HEAD} select p, r, $1, a, c, s, d, l, v, $2
                 from unnest($3::bigint[], $4::int[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[]) as i (p, r, a, c, s, d, l, v) {TAIL}"
            );
            let column = |f: fn(&Books) -> i64| applied.books.values().map(f).collect::<Vec<i64>>();
            sqlx::query(AssertSqlSafe(statement))
                .bind(i32::from(home))
                .bind(now)
                .bind(applied.books.keys().map(|k| k.0.0).collect::<Vec<_>>())
                .bind(applied.books.keys().map(|k| k.1 as i32).collect::<Vec<_>>())
                .bind(column(|b| b.received))
                .bind(column(|b| b.counted))
                .bind(column(|b| b.superseded))
                .bind(column(|b| b.duplicate))
                .bind(column(|b| b.late))
                .bind(column(|b| b.voters))
                .execute(&mut ***tx)
                .await?;
        }
        Tx::Sqlite(tx) => {
            let statement = format!("{HEAD} values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) {TAIL}");
            for ((poll, round), books) in &applied.books {
                sqlx::query(AssertSqlSafe(statement.clone()))
                    .bind(poll.0)
                    .bind(*round as i32)
                    .bind(i32::from(home))
                    .bind(books.received)
                    .bind(books.counted)
                    .bind(books.superseded)
                    .bind(books.duplicate)
                    .bind(books.late)
                    .bind(books.voters)
                    .bind(now)
                    .execute(&mut ***tx)
                    .await?;
            }
        }
    }
    Ok(())
}

async fn write_marks(tx: &mut Tx<'_, '_>, marks: &BTreeMap<MarkKey, Mark>) -> Result<()> {
    const HEAD: &str = "insert into lane_mark (instance, lane, through, ahead, last, clock, counted_to, ended) ";
    const TAIL: &str = " on conflict (instance, lane) do update set through = excluded.through, ahead = excluded.ahead, last = excluded.last,
        clock = excluded.clock, counted_to = excluded.counted_to, ended = excluded.ended";
    match tx {
        Tx::Postgres(tx) => {
            let statement = format!(
                "{HEAD} select * from unnest($1::uuid[], $2::int[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::boolean[]) {TAIL}"
            );
            sqlx::query(AssertSqlSafe(statement))
                .bind(marks.keys().map(|k| k.0.0).collect::<Vec<_>>())
                .bind(marks.keys().map(|k| i32::from(k.1)).collect::<Vec<_>>())
                .bind(marks.values().map(|m| m.through() as i64).collect::<Vec<_>>())
                .bind(marks.values().map(Mark::ahead).collect::<Vec<_>>())
                .bind(marks.values().map(|m| m.last() as i64).collect::<Vec<_>>())
                .bind(marks.values().map(Mark::clock).collect::<Vec<_>>())
                .bind(marks.values().map(Mark::counted_to).collect::<Vec<_>>())
                .bind(marks.values().map(Mark::ended).collect::<Vec<_>>())
                .execute(&mut ***tx)
                .await?;
        }
        Tx::Sqlite(tx) => {
            let statement = format!("{HEAD} values ($1, $2, $3, $4, $5, $6, $7, $8) {TAIL}");
            for ((instance, lane), mark) in marks {
                sqlx::query(AssertSqlSafe(statement.clone()))
                    .bind(instance.0)
                    .bind(i32::from(*lane))
                    .bind(mark.through() as i64)
                    .bind(mark.ahead())
                    .bind(mark.last() as i64)
                    .bind(mark.clock())
                    .bind(mark.counted_to())
                    .bind(mark.ended())
                    .execute(&mut ***tx)
                    .await?;
            }
        }
    }
    Ok(())
}

//! Counting into Postgres: every step one statement, whatever the number of rows, with arrays.

use std::borrow::Borrow;
use std::collections::HashMap;

use sqlx::{AssertSqlSafe, PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::{
    ADD_BOOK, ADD_TALLY, Applied, INSERT_LATE, MarkKey, Marks, ON_KNOWN_BOOK, ON_KNOWN_MARK, ON_KNOWN_TALLY, ON_KNOWN_VOTER, RoundKey, SET_MARK, Tallies,
    UPSERT_BALLOT, changes, highest_of_each, mark_keys, polls_of, read_mark, round_of, set_late_aside, take_new, take_written,
};
use crate::domain::{Batch, Books, InstanceId, Mark, Millis, Picks, PollId, SignedBallot};
use crate::error::Result;

type Tx<'c> = Transaction<'c, Postgres>;

pub(super) async fn apply<B: Borrow<Batch>>(db: &PgPool, home: u16, batches: &[B], now: Millis) -> Result<Applied> {
    let mut tx = db.begin().await?;
    // Locked first: after a failover two workers may hold the same batch.
    let mut marks = lock_marks(&mut tx, &mark_keys(batches)).await?;
    let (mut applied, mut ballots) = take_new(batches, &mut marks);
    if !ballots.is_empty() {
        let polls: Vec<i64> = polls_of(&ballots).into_iter().collect();
        let closed: Vec<(i64, i32, i64)> =
            sqlx::query_as("select poll, round, closed_at from round where closed_at is not null and poll = any($1)").bind(polls).fetch_all(&mut *tx).await?;
        keep_late(&mut tx, &set_late_aside(&mut ballots, &closed, &mut applied)).await?;
        let rows = highest_of_each(ballots, &mut applied);
        let tallies = upsert(&mut tx, &rows, &mut applied).await?;
        add_tallies(&mut tx, home, &tallies).await?;
        add_books(&mut tx, home, &applied, now).await?;
    }
    set_marks(&mut tx, &marks).await?;
    tx.commit().await?;
    Ok(applied)
}

pub(super) async fn register(db: &PgPool, marks: &Marks) -> Result<()> {
    let mut tx = db.begin().await?;
    set_marks(&mut tx, marks).await?;
    Ok(tx.commit().await?)
}

async fn lock_marks(tx: &mut Tx<'_>, keys: &[MarkKey]) -> Result<Marks> {
    type Row = (Uuid, i32, i64, String, i64, i64, i64, bool);
    const LOCK: &str = "select m.instance, m.lane, m.through, m.ahead, m.last, m.clock, m.counted_to, m.ended
         from lane_mark m join unnest($1::uuid[], $2::int[]) as k (instance, lane) on m.instance = k.instance and m.lane = k.lane
         order by m.instance, m.lane
         for update of m";
    let (instances, lanes): (Vec<Uuid>, Vec<i32>) = keys.iter().map(|(i, l)| (i.0, i32::from(*l))).unzip();
    let mut rows: Vec<Row> = sqlx::query_as(LOCK).bind(&instances).bind(&lanes).fetch_all(&mut **tx).await?;
    if rows.len() < keys.len() {
        // Of an instance that never registered there is no row to lock, and two workers would both take its batch for new.
        sqlx::query(
            "insert into lane_mark (instance, lane, through, ahead, last, clock, counted_to, ended)
             select i, l, 0, '', 0, 0, 0, false from unnest($1::uuid[], $2::int[]) as k (i, l)
             on conflict (instance, lane) do nothing",
        )
        .bind(&instances)
        .bind(&lanes)
        .execute(&mut **tx)
        .await?;
        rows = sqlx::query_as(LOCK).bind(&instances).bind(&lanes).fetch_all(&mut **tx).await?;
    }
    let mark = |(instance, lane, through, ahead, last, clock, counted_to, ended): Row| {
        Ok(((InstanceId(instance), lane as u16), read_mark(through, &ahead, last, clock, counted_to, ended)?))
    };
    rows.into_iter().map(mark).collect()
}

async fn keep_late(tx: &mut Tx<'_>, late: &[SignedBallot]) -> Result<()> {
    for b in late {
        let values = sqlx::query(INSERT_LATE).bind(b.ballot.poll.0).bind(b.ballot.round as i32).bind(b.ballot.voter.0).bind(b.ballot.ballot.0);
        values.bind(b.ballot.revision as i32).bind(b.ballot.picks.as_str()).bind(b.accepted_at).execute(&mut **tx).await?;
    }
    Ok(())
}

/// Rows go in sorted by key, or two workers deadlock. What came of it is summed up by the database: a million single votes come back as
/// a handful of lines.
async fn upsert(tx: &mut Tx<'_>, rows: &[SignedBallot], applied: &mut Applied) -> Result<Tallies> {
    let statement = format!(
        "with written as (
            {UPSERT_BALLOT} select * from unnest($1::bigint[], $2::int[], $3::uuid[], $4::uuid[], $5::int[], $6::text[], $7::bigint[]) {ON_KNOWN_VOTER}
        )
        select poll, round, picks, prior, count(*) from written group by poll, round, picks, prior"
    );
    let written: Vec<(i64, i32, String, Option<String>, i64)> = sqlx::query_as(AssertSqlSafe(statement))
        .bind(rows.iter().map(|r| r.ballot.poll.0).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.ballot.round as i32).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.ballot.voter.0).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.ballot.ballot.0).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.ballot.revision as i32).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.ballot.picks.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.accepted_at).collect::<Vec<_>>())
        .fetch_all(&mut **tx)
        .await?;
    let mut tallies = Tallies::new();
    let mut written_in: HashMap<RoundKey, i64> = HashMap::new();
    for (poll, round, picks, prior, times) in written {
        let (picks, prior) = (Picks::parse(&picks)?, prior.as_deref().map(Picks::parse).transpose()?);
        let round = (PollId(poll), round as u32);
        *written_in.entry(round).or_default() += times;
        take_written(round, &picks, prior.as_ref(), times, applied, &mut tallies);
    }
    sort_out_unwritten(tx, rows, &written_in, applied).await?;
    Ok(tallies)
}

/// Ballots that met a higher or the same one. Rare, so only then is it asked which.
async fn sort_out_unwritten(tx: &mut Tx<'_>, rows: &[SignedBallot], written_in: &HashMap<RoundKey, i64>, applied: &mut Applied) -> Result<()> {
    for round_rows in rows.chunk_by(|a, b| round_of(a) == round_of(b)) {
        let round = round_of(&round_rows[0]);
        let (sent, written) = (round_rows.len() as i64, written_in.get(&round).copied().unwrap_or(0));
        if sent == written {
            continue;
        }
        // A row that now holds the ballot sent was either written by us or held it before.
        let (held,): (i64,) = sqlx::query_as(
            "select count(*) from ballot b join unnest($3::uuid[], $4::uuid[]) as s (voter, ballot) on b.voter = s.voter and b.ballot = s.ballot
             where b.poll = $1 and b.round = $2",
        )
        .bind(round.0.0)
        .bind(round.1 as i32)
        .bind(round_rows.iter().map(|r| r.ballot.voter.0).collect::<Vec<_>>())
        .bind(round_rows.iter().map(|r| r.ballot.ballot.0).collect::<Vec<_>>())
        .fetch_one(&mut **tx)
        .await?;
        let books = applied.books.entry(round).or_default();
        books.duplicate += held - written;
        books.superseded += sent - held;
    }
    Ok(())
}

async fn add_tallies(tx: &mut Tx<'_>, home: u16, tallies: &Tallies) -> Result<()> {
    let changes = changes(tallies);
    if changes.is_empty() {
        return Ok(());
    }
    let statement = format!(
        "{ADD_TALLY} select p, r, $1, c, v, w from unnest($2::bigint[], $3::int[], $4::int[], $5::bigint[], $6::bigint[]) as i (p, r, c, v, w) {ON_KNOWN_TALLY}"
    );
    sqlx::query(AssertSqlSafe(statement))
        .bind(i32::from(home))
        .bind(changes.iter().map(|c| c.0).collect::<Vec<_>>())
        .bind(changes.iter().map(|c| c.1).collect::<Vec<_>>())
        .bind(changes.iter().map(|c| c.2).collect::<Vec<_>>())
        .bind(changes.iter().map(|c| c.3).collect::<Vec<_>>())
        .bind(changes.iter().map(|c| c.4).collect::<Vec<_>>())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn add_books(tx: &mut Tx<'_>, home: u16, applied: &Applied, now: Millis) -> Result<()> {
    let statement = format!(
        "{ADD_BOOK} select p, r, $1, a, c, s, d, l, v, $2
         from unnest($3::bigint[], $4::int[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[]) as i (p, r, a, c, s, d, l, v)
         {ON_KNOWN_BOOK}"
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
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn set_marks(tx: &mut Tx<'_>, marks: &Marks) -> Result<()> {
    let statement = format!(
        "{SET_MARK} select * from unnest($1::uuid[], $2::int[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::boolean[]) {ON_KNOWN_MARK}"
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
        .execute(&mut **tx)
        .await?;
    Ok(())
}

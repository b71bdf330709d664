//! Counting into SQLite: row by row, on one thread, inside the connection that sqlx owns.
//!
//! sqlx hands every row over a channel to another thread; a vote would pay for two context switches. So the counting borrows the
//! raw handle of sqlx's one writing connection (which sqlx keeps locked meanwhile) and talks to it through rusqlite.

use std::borrow::Borrow;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use sqlx::SqlitePool;
use tokio::runtime::Handle;

use super::{
    ADD_BOOK, ADD_TALLY, Applied, INSERT_LATE, MarkKey, Marks, ON_KNOWN_BOOK, ON_KNOWN_MARK, ON_KNOWN_TALLY, ON_KNOWN_VOTER, SET_MARK, Tallies, UPSERT_BALLOT,
    changes, highest_of_each, mark_keys, polls_of, read_mark, round_of, set_late_aside, take_new, take_written,
};
use crate::domain::{Batch, Millis, Picks, SignedBallot};
use crate::error::{Error, Result};

pub(super) async fn apply<B: Borrow<Batch> + Send + 'static>(pool: &SqlitePool, home: u16, batches: Vec<B>, now: Millis) -> Result<Applied> {
    with_connection(pool, move |db| {
        let mut marks = read_marks(db, &mark_keys(&batches))?;
        let (mut applied, mut ballots) = take_new(&batches, &mut marks);
        if !ballots.is_empty() {
            let closed = closed_rounds(db, &ballots)?;
            keep_late(db, &set_late_aside(&mut ballots, &closed, &mut applied))?;
            let rows = highest_of_each(ballots, &mut applied);
            let tallies = upsert(db, &rows, &mut applied)?;
            add_tallies(db, home, &tallies)?;
            add_books(db, home, &applied, now)?;
        }
        set_marks(db, &marks)?;
        Ok(applied)
    })
    .await
}

pub(super) async fn register(pool: &SqlitePool, marks: Marks) -> Result<()> {
    with_connection(pool, move |db| set_marks(db, &marks)).await
}

/// Runs `work` in one transaction on the writing connection, off the event loop, to its end: a caller that goes away changes nothing.
async fn with_connection<T: Send + 'static>(pool: &SqlitePool, work: impl FnOnce(&Connection) -> Result<T> + Send + 'static) -> Result<T> {
    let mut connection = pool.acquire().await?;
    let runtime = Handle::current();
    let task = move || {
        let mut locked = runtime.block_on(connection.lock_handle())?;
        // SAFETY: the handle is open and stays so while `locked` lives, which outlives `db`; sqlx does not touch it meanwhile.
        // rusqlite does not close a connection that it was handed.
        let mut db = unsafe { Connection::from_handle(locked.as_raw_handle().as_ptr()) }?;
        // Takes the write lock at once: a transaction that reads first may find that it may not write any more.
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let result = work(&tx)?;
        tx.commit()?;
        Ok(result)
    };
    tokio::task::spawn_blocking(task).await.map_err(Error::internal)?
}

fn read_marks(db: &Connection, keys: &[MarkKey]) -> Result<Marks> {
    let mut select = db.prepare("select through, ahead, last, clock, counted_to, ended from lane_mark where instance = $1 and lane = $2")?;
    let mut marks = Marks::new();
    for key in keys {
        let columns = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?));
        if let Some((through, ahead, last, clock, counted_to, ended)) = select.query_row(params![key.0.0.as_bytes(), key.1], columns).optional()? {
            marks.insert(*key, read_mark(through, &ahead, last, clock, counted_to, ended)?);
        }
    }
    Ok(marks)
}

fn closed_rounds(db: &Connection, ballots: &[SignedBallot]) -> Result<Vec<(i64, i32, Millis)>> {
    let mut select = db.prepare("select poll, round, closed_at from round where closed_at is not null and poll = $1")?;
    let mut closed = Vec::new();
    for poll in polls_of(ballots) {
        for row in select.query_map([poll], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))? {
            closed.push(row?);
        }
    }
    Ok(closed)
}

fn keep_late(db: &Connection, late: &[SignedBallot]) -> Result<()> {
    let mut insert = db.prepare(INSERT_LATE)?;
    for SignedBallot { ballot: b, accepted_at } in late {
        insert.execute(params![b.poll.0, b.round, b.voter.0.as_bytes(), b.ballot.0.as_bytes(), b.revision, b.picks.as_str(), accepted_at])?;
    }
    Ok(())
}

fn upsert(db: &Connection, rows: &[SignedBallot], applied: &mut Applied) -> Result<Tallies> {
    let mut upsert = db.prepare(&format!("{UPSERT_BALLOT} values ($1, $2, $3, $4, $5, $6, $7) {ON_KNOWN_VOTER}"))?;
    // To SQLite, `$4` is a name, numbered by where it first stands; `?4` is the fourth. Shared statements name theirs in order.
    let mut held = db.prepare("select ballot = ?4 from ballot where poll = ?1 and round = ?2 and voter = ?3")?;
    let mut tallies = Tallies::new();
    for row in rows {
        let SignedBallot { ballot: b, accepted_at } = row;
        let values = params![b.poll.0, b.round, b.voter.0.as_bytes(), b.ballot.0.as_bytes(), b.revision, b.picks.as_str(), accepted_at];
        // `None`: nothing was written. `Some(None)`: the voter's first.
        let prior: Option<Option<String>> = upsert.query_row(values, |row| row.get(3)).optional()?;
        if let Some(prior) = prior {
            let prior = prior.as_deref().map(Picks::parse).transpose()?;
            take_written(round_of(row), &b.picks, prior.as_ref(), 1, applied, &mut tallies);
            continue;
        }
        let same: bool = held.query_row(params![b.poll.0, b.round, b.voter.0.as_bytes(), b.ballot.0.as_bytes()], |row| row.get(0))?;
        let books = applied.books.entry(round_of(row)).or_default();
        if same {
            books.duplicate += 1;
        } else {
            books.superseded += 1;
        }
    }
    Ok(tallies)
}

fn add_tallies(db: &Connection, home: u16, tallies: &Tallies) -> Result<()> {
    let mut add = db.prepare(&format!("{ADD_TALLY} values ($1, $2, $3, $4, $5, $6) {ON_KNOWN_TALLY}"))?;
    for (poll, round, choice, votes, weight) in changes(tallies) {
        add.execute(params![poll, round, home, choice, votes, weight])?;
    }
    Ok(())
}

fn add_books(db: &Connection, home: u16, applied: &Applied, now: Millis) -> Result<()> {
    let mut add = db.prepare(&format!("{ADD_BOOK} values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) {ON_KNOWN_BOOK}"))?;
    for ((poll, round), b) in &applied.books {
        add.execute(params![poll.0, round, home, b.received, b.counted, b.superseded, b.duplicate, b.late, b.voters, now])?;
    }
    Ok(())
}

fn set_marks(db: &Connection, marks: &Marks) -> Result<()> {
    let mut set = db.prepare(&format!("{SET_MARK} values ($1, $2, $3, $4, $5, $6, $7, $8) {ON_KNOWN_MARK}"))?;
    for ((instance, lane), mark) in marks {
        let (through, last) = (mark.through() as i64, mark.last() as i64);
        set.execute(params![instance.0.as_bytes(), lane, through, mark.ahead(), last, mark.clock(), mark.counted_to(), mark.ended()])?;
    }
    Ok(())
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Error {
        Error::internal(error)
    }
}

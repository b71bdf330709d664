//! Counting into SQLite: row by row, on one thread, over a connection of its own whose statements stay prepared.
//!
//! sqlx hands every row over a channel to another thread; a vote would pay for two context switches. So counting speaks to SQLite through
//! rusqlite. There is still one writer at a time: who counts holds sqlx's one writing connection meanwhile, idle, as one holds a key.

use std::borrow::Borrow;
use std::path::Path;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use anyhow::ensure;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, ffi, params};
use sqlx::SqlitePool;

use super::{
    ADD_BOOK, ADD_TALLY, INSERT_BALLOT, INSERT_LATE, ON_KNOWN_BOOK, ON_KNOWN_LATE, ON_KNOWN_MARK, ON_KNOWN_TALLY, ON_KNOWN_VOTER, READ_RULES, SET_MARK,
    changes, in_order, mark_keys, read_mark, rules_of, sign_marks, take_new,
};
use crate::domain::counting::{Applied, MarkKey, Marks, Rules, Tallies, highest_of_each, polls_of, round_of, set_late_aside, take_unwritten, take_written};
use crate::domain::{Batch, Collapsed, InstanceId, Millis, Picks, Sign, SignedBallot};
use crate::error::{Error, Result};

/// Pages of counting stay in memory up to this: a voter's row may be on any of the poll's pages. About 1.5 million ballots.
const CACHE_KIB: i64 = 128 * 1_024;
/// Pages of the log (64 MiB) after which they go to the file. A page that many commits have changed goes there once.
const PAGES_PER_CHECKPOINT: i64 = 16_000;
const STATEMENTS_KEPT: usize = 32;

#[derive(Clone)]
pub(in crate::store) struct Ledger {
    /// Held while writing, never written through.
    key: SqlitePool,
    /// `None` once closed.
    connection: Arc<Mutex<Option<Connection>>>,
}

impl Ledger {
    /// Of a database that is there and in order. `key` is sqlx's one writing connection to the same file.
    pub(in crate::store) fn open(path: &Path, key: SqlitePool, busy_timeout: Duration) -> anyhow::Result<Ledger> {
        // Without its mutex: ours is around it.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(busy_timeout)?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update(None, "wal_autocheckpoint", PAGES_PER_CHECKPOINT)?;
        let journal: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
        ensure!(journal == "wal" && synchronous == 2, "SQLite refused WAL with synchronous=FULL; votes would not be safe on this file system");
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        Ok(Ledger { key, connection: Arc::new(Mutex::new(Some(connection))) })
    }

    pub(super) async fn apply<B: Borrow<Batch> + Send + 'static>(&self, home: u16, batches: Vec<B>, now: Millis) -> Result<Applied> {
        self.in_transaction(move |db| {
            let mut marks = read_marks(db, &mark_keys(&batches))?;
            let (mut applied, mut ballots) = take_new(&batches, &mut marks);
            if !ballots.is_empty() {
                let rules = read_rules(db, &ballots)?;
                keep_late(db, &set_late_aside(&mut ballots, &rules, &mut applied))?;
                let rows = highest_of_each(ballots, &mut applied);
                let tallies = upsert(db, &rows, &rules, &mut applied)?;
                add_tallies(db, home, &tallies)?;
                add_books(db, home, &applied, now)?;
            }
            set_marks(db, &marks)?;
            Ok(applied)
        })
        .await
    }

    pub(super) async fn sign(&self, signs: Vec<(InstanceId, u16, Sign)>) -> Result<()> {
        self.in_transaction(move |db| {
            let mut marks = read_marks(db, &in_order(signs.iter().map(|(instance, lane, _)| (*instance, *lane))))?;
            sign_marks(&signs, &mut marks);
            set_marks(db, &marks)
        })
        .await
    }

    pub(super) async fn register(&self, marks: Marks) -> Result<()> {
        self.in_transaction(move |db| set_marks(db, &marks)).await
    }

    /// After the pools: the last connection to close writes the log back.
    pub(in crate::store) fn close(&self) {
        let connection = self.connection.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        drop(connection);
    }

    /// Runs `work` in one transaction, off the event loop, to its end: a caller that goes away changes nothing.
    async fn in_transaction<T: Send + 'static>(&self, work: impl FnOnce(&Connection) -> Result<T> + Send + 'static) -> Result<T> {
        let key = self.key.acquire().await?;
        let connection = self.connection.clone();
        let task = move || {
            // A panic in the midst of a transaction has rolled it back on its way out.
            let mut connection = connection.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let Some(db) = connection.as_mut() else { return Err(Error::Busy("the database is closed")) };
            // Takes the write lock at once: a transaction that reads first may find that it may not write any more.
            let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&tx)?;
            tx.commit()?;
            drop(key);
            Ok(result)
        };
        tokio::task::spawn_blocking(task).await.map_err(Error::internal)?
    }
}

/// SQLite counts every byte it allocates, under one lock for all connections; nobody asks it how many. Before the first connection.
pub(in crate::store) fn stop_counting_bytes() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: this option takes one int. Refused, without effect, when SQLite is already at work.
        let _refused = unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_MEMSTATUS, 0) };
    });
}

fn read_marks(db: &Connection, keys: &[MarkKey]) -> Result<Marks> {
    let mut select =
        db.prepare_cached("select through, ahead, last, clock, counted_to, ended, heard, vouched from lane_mark where instance = $1 and lane = $2")?;
    let mut marks = Marks::new();
    for key in keys {
        let columns = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?));
        if let Some(columns) = select.query_row(params![key.0.0.as_bytes(), key.1], columns).optional()? {
            marks.insert(*key, read_mark(columns)?);
        }
    }
    Ok(marks)
}

fn read_rules(db: &Connection, ballots: &[SignedBallot]) -> Result<Rules> {
    let mut select = db.prepare_cached(&format!("{READ_RULES} = $1"))?;
    let mut rows = Vec::new();
    for poll in polls_of(ballots) {
        for row in select.query_map([poll.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))? {
            rows.push(row?);
        }
    }
    Ok(rules_of(rows))
}

fn keep_late(db: &Connection, late: &[SignedBallot]) -> Result<()> {
    let mut insert = db.prepare_cached(&format!("{INSERT_LATE} values ($1, $2, $3, $4, $5, $6, $7) {ON_KNOWN_LATE}"))?;
    for SignedBallot { ballot: b, accepted_at } in late {
        insert.execute(params![b.poll.0, b.round, b.voter.0.as_bytes(), b.ballot.0.as_bytes(), b.revision, b.picks.as_str(), accepted_at])?;
    }
    Ok(())
}

fn upsert(db: &Connection, rows: &[SignedBallot], rules: &Rules, applied: &mut Applied) -> Result<Tallies> {
    let mut upsert = db.prepare_cached(&format!("{INSERT_BALLOT} values ($1, $2, $3, $4, $5, $6, $7) {ON_KNOWN_VOTER} not $8 returning prior"))?;
    // To SQLite, `$4` is a name, numbered by where it first stands; `?4` is the fourth. Shared statements name theirs in order.
    let mut held = db.prepare_cached("select ballot = ?4 from ballot where poll = ?1 and round = ?2 and voter = ?3")?;
    let mut tallies = Tallies::new();
    for row in rows {
        let SignedBallot { ballot: b, accepted_at } = row;
        let is_final = rules.finals.contains(&b.poll);
        let values = params![b.poll.0, b.round, b.voter.0.as_bytes(), b.ballot.0.as_bytes(), b.revision, b.picks.as_str(), accepted_at, is_final];
        // `None`: nothing was written. `Some(None)`: the voter's first.
        let prior: Option<Option<Picks>> =
            upsert.query_row(values, |row| Ok(row.get_ref(0)?.as_str_or_null()?.map(Picks::parse))).optional()?.map(Option::transpose).transpose()?;
        if let Some(prior) = prior {
            take_written(round_of(row), &b.picks, prior.as_ref(), 1, applied, &mut tallies);
            continue;
        }
        let same: bool = held.query_row(params![b.poll.0, b.round, b.voter.0.as_bytes(), b.ballot.0.as_bytes()], |row| row.get(0))?;
        take_unwritten(round_of(row), Collapsed { superseded: i64::from(!same), duplicate: i64::from(same) }, applied);
    }
    Ok(tallies)
}

fn add_tallies(db: &Connection, home: u16, tallies: &Tallies) -> Result<()> {
    let mut add = db.prepare_cached(&format!("{ADD_TALLY} values ($1, $2, $3, $4, $5, $6) {ON_KNOWN_TALLY}"))?;
    for (poll, round, choice, votes, weight) in changes(tallies) {
        add.execute(params![poll, round, home, choice, votes, weight])?;
    }
    Ok(())
}

fn add_books(db: &Connection, home: u16, applied: &Applied, now: Millis) -> Result<()> {
    let mut add = db.prepare_cached(&format!("{ADD_BOOK} values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) {ON_KNOWN_BOOK}"))?;
    for ((poll, round), b) in &applied.books {
        add.execute(params![poll.0, round, home, b.received, b.counted, b.superseded, b.duplicate, b.late, b.voters, now])?;
    }
    Ok(())
}

fn set_marks(db: &Connection, marks: &Marks) -> Result<()> {
    let mut set = db.prepare_cached(&format!("{SET_MARK} values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) {ON_KNOWN_MARK}"))?;
    for ((instance, lane), mark) in marks {
        let (through, last) = (mark.through() as i64, mark.last() as i64);
        let (clock, heard, vouched) = (mark.clock(), mark.heard(), mark.vouched());
        set.execute(params![instance.0.as_bytes(), lane, through, mark.ahead(), last, clock, mark.counted_to(), mark.ended(), heard, vouched])?;
    }
    Ok(())
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Error {
        match error.sqlite_error() {
            Some(code) if is_disk_failure(code.extended_code) => Error::Disk(error.into()),
            _ => Error::internal(error),
        }
    }
}

/// After a failed read, write or sync the file may not be what memory says it is. A full disk is none of these: SQLite rolls back.
pub(in crate::store) fn is_disk_failure(extended_code: i32) -> bool {
    use libsqlite3_sys::{SQLITE_IOERR, SQLITE_IOERR_SHMSIZE};
    // The index of the WAL in shared memory could not grow: a full disk again.
    extended_code & 0xff == SQLITE_IOERR && extended_code != SQLITE_IOERR_SHMSIZE
}

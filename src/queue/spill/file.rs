//! The file in which batches lie: all of its SQL, and what its failures mean.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, ffi, params};
use uuid::Uuid;

use super::writer::Keeping;
use super::{Held, Holding, Kept, ROW_BYTES};
use crate::domain::{InstanceId, Millis};
use crate::error::Error;

/// Bytes of one read for replay, whatever the number of batches.
const READ_BYTES_MAX: usize = 4 << 20;
/// Pages given back to the disk in one turn (16 MiB): votes that come meanwhile wait no longer than that.
const PAGES_PER_TURN: u32 = 4_096;
/// Pages of the log from which on they are copied into the file (16 MiB): what is held for a moment only is seldom copied at all.
const CHECKPOINT_PAGES: u32 = 4_096;
const VERSION: i64 = 1;
/// Read into memory from it, so that counting what is held does not need the bodies.
const SCHEMA: &str = "
    -- What is held, oldest first. A row goes once the broker has confirmed it, or it is counted.
    create table held (
        id integer primary key,
        instance blob not null,
        lane integer not null,
        number integer not null,
        accepted_at integer not null,
        ballots integer not null,
        body blob not null
    );
    -- Processes that worked in this directory and whose books are not closed: each writes itself down before it accepts anything.
    create table instance (id blob primary key) without rowid;
    -- Written to find out whether anything can be written.
    create table look (id integer primary key check (id = 1), at integer not null);
";

/// What goes wrong with it, before `meaning_of` says what that means.
pub(super) use rusqlite::Error as FileError;

pub(super) struct File {
    db: Connection,
}

impl File {
    /// Opens the file, or makes it.
    pub(super) fn open(path: &Path) -> anyhow::Result<File> {
        let db = Connection::open(path)?;
        // Before the first table, so that what is released can be given back.
        db.execute_batch("pragma auto_vacuum = incremental")?;
        let journal: String = db.query_row("pragma journal_mode = wal", [], |row| row.get(0))?;
        // FULL: a commit is on the disk when it returns.
        db.execute_batch("pragma synchronous = full; pragma journal_size_limit = 67108864")?;
        db.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        let synchronous: i64 = db.query_row("pragma synchronous", [], |row| row.get(0))?;
        anyhow::ensure!(journal == "wal" && synchronous == 2, "SQLite refused WAL with synchronous=FULL; votes would not be safe on this file system");
        #[cfg(feature = "planted")]
        if crate::planted::is(crate::planted::Planted::SpillWithoutSync) {
            db.execute_batch("pragma synchronous = off")?;
        }
        match db.query_row("pragma user_version", [], |row| row.get::<_, i64>(0))? {
            0 => db.execute_batch(&format!("begin immediate; {SCHEMA} pragma user_version = {VERSION}; commit"))?,
            VERSION => {}
            _ => anyhow::bail!("it was written by a newer version"),
        }
        Ok(File { db })
    }

    /// Does it hold anything: votes, or books that are open?
    pub(super) fn holds_something(path: &Path) -> rusqlite::Result<bool> {
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // Made, and nothing written down yet.
        if db.query_row("pragma user_version", [], |row| row.get::<_, i64>(0))? == 0 {
            return Ok(false);
        }
        db.query_row("select exists (select 1 from instance) or exists (select 1 from held)", [], |row| row.get(0))
    }

    pub(super) fn write_down(&self, instance: InstanceId) -> rusqlite::Result<()> {
        self.db.execute("insert into instance (id) values (?1) on conflict (id) do nothing", [instance.0.as_bytes()]).map(|_| ())
    }

    pub(super) fn strike(&self, instance: InstanceId) -> rusqlite::Result<()> {
        self.db.execute("delete from instance where id = ?1", [instance.0.as_bytes()]).map(|_| ())
    }

    /// Can anything be written? By writing.
    pub(super) fn try_out(&self) -> rusqlite::Result<()> {
        self.db.execute("insert into look (id, at) values (1, 1) on conflict (id) do update set at = at + 1", []).map(|_| ())
    }

    pub(super) fn count(&self) -> rusqlite::Result<Holding> {
        let mut holding = Holding::default();
        let mut instances = self.db.prepare("select id from instance")?;
        for id in instances.query_map([], |row| row.get::<_, [u8; 16]>(0))? {
            holding.by_instance.insert(InstanceId(Uuid::from_bytes(id?)), 0);
        }
        let mut held = self.db.prepare("select instance, lane, number, accepted_at, ballots, length(body) from held order by id")?;
        let mut rows = held.query([])?;
        while let Some(row) = rows.next()? {
            let (number, ballots, bytes): (i64, i64, i64) = (row.get(2)?, row.get(4)?, row.get(5)?);
            let lane = (InstanceId(Uuid::from_bytes(row.get(0)?)), row.get(1)?);
            holding.add(lane, number as u64, ballots as u64, bytes as u64 + ROW_BYTES, row.get(3)?);
        }
        Ok(holding)
    }

    /// The ids of the new rows, in the order of the group.
    pub(super) fn write(&mut self, group: &[Keeping], gone: &[Kept]) -> rusqlite::Result<Vec<i64>> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut ids = Vec::with_capacity(group.len());
        {
            let mut delete = tx.prepare_cached("delete from held where id = ?1")?;
            for kept in gone {
                delete.execute([kept.id])?;
            }
            let mut insert = tx.prepare_cached("insert into held (instance, lane, number, accepted_at, ballots, body) values (?1, ?2, ?3, ?4, ?5, ?6)")?;
            for Keeping { batch, body, .. } in group {
                ids.push(insert.insert(params![
                    batch.instance.0.as_bytes(),
                    batch.lane,
                    batch.number as i64,
                    batch.accepted_at,
                    batch.ballots.len() as i64,
                    body
                ])?);
            }
        }
        tx.commit()?;
        Ok(ids)
    }

    pub(super) fn oldest_accepted_at(&self) -> rusqlite::Result<Option<Millis>> {
        self.db.prepare_cached("select accepted_at from held order by id limit 1")?.query_row([], |row| row.get(0)).optional()
    }

    pub(super) fn oldest(&self, without: &[u16], batches_max: usize) -> rusqlite::Result<Vec<Held>> {
        let without = without.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
        // Numbers, not text from outside; lanes are at most 256.
        let select = format!("select id, instance, lane, number, ballots, accepted_at, body from held where lane not in ({without}) order by id limit ?1");
        let mut select = self.db.prepare(&select)?;
        let mut rows = select.query([batches_max as i64])?;
        let (mut held, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let one = Held {
                id: row.get(0)?,
                instance: InstanceId(Uuid::from_bytes(row.get(1)?)),
                lane: row.get(2)?,
                number: row.get::<_, i64>(3)? as u64,
                ballots: row.get::<_, i64>(4)? as u64,
                accepted_at: row.get(5)?,
                body: row.get(6)?,
            };
            bytes += one.body.len();
            held.push(one);
            if bytes >= READ_BYTES_MAX {
                break;
            }
        }
        Ok(held)
    }

    pub(super) fn release(&mut self, held: &[Held]) -> rusqlite::Result<()> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut delete = tx.prepare("delete from held where id = ?1")?;
            for one in held {
                delete.execute([one.id])?;
            }
        }
        tx.commit()
    }

    /// How many pages are left to give back.
    pub(super) fn give_back(&self) -> rusqlite::Result<u64> {
        {
            // Each step gives back one page.
            let mut vacuum = self.db.prepare(&format!("pragma incremental_vacuum({PAGES_PER_TURN})"))?;
            let mut steps = vacuum.query([])?;
            while steps.next()?.is_some() {}
        }
        let left = self.number("pragma freelist_count")?;
        if left == 0 {
            self.db.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))?;
        }
        Ok(left)
    }

    fn number(&self, pragma: &str) -> rusqlite::Result<u64> {
        self.db.query_row(pragma, [], |row| row.get::<_, i64>(0)).map(|number| number as u64)
    }

    /// Bytes in the file that hold nothing: they are written before the file grows. What cannot be read is not counted upon.
    pub(super) fn reusable_bytes(&self) -> u64 {
        let bytes = || -> rusqlite::Result<u64> { Ok(self.number("pragma freelist_count")? * self.number("pragma page_size")?) };
        bytes().unwrap_or(0)
    }
}

#[derive(Debug)]
pub(super) enum Trouble {
    /// Rolled back, so certainly not written.
    Full,
    /// The commit may be in the log already: its index in memory, which comes after, found no room.
    FullInDoubt,
    /// After a failed sync nobody knows what of the file is on the disk and what only in memory.
    Failed(Error),
    /// Locked by another program, or read-only: nothing was written, and it may pass.
    Passing(Error),
}

/// What a failure of the disk is, is answered in one place for all files.
pub(super) fn meaning_of(why: rusqlite::Error) -> Trouble {
    let code = why.sqlite_error_code();
    match (code, Error::from(why)) {
        (_, why @ Error::Disk(_)) | (Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase), why) => Trouble::Failed(why),
        (Some(ErrorCode::DiskFull), _) => Trouble::Full,
        // Of the failures of a file, the one that is none: its index in memory could not grow.
        (Some(ErrorCode::SystemIoFailure), _) => Trouble::FullInDoubt,
        (_, why) => Trouble::Passing(why),
    }
}

/// Is that all that is wrong: the disk is full?
pub(super) fn lacks_room(why: &anyhow::Error) -> bool {
    let code = why.downcast_ref::<FileError>().and_then(FileError::sqlite_error).map(|found| found.extended_code);
    matches!(code, Some(ffi::SQLITE_FULL | ffi::SQLITE_IOERR_SHMSIZE))
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn only_a_full_disk_is_worth_waiting_for() {
        let of = |code| lacks_room(&anyhow::Error::from(FileError::SqliteFailure(ffi::Error::new(code), None)).context("DATA_DIR"));
        assert!(of(ffi::SQLITE_FULL) && of(ffi::SQLITE_IOERR_SHMSIZE));
        assert!(
            !of(ffi::SQLITE_IOERR)
                && !of(ffi::SQLITE_CORRUPT)
                && !of(ffi::SQLITE_CANTOPEN)
                && !lacks_room(&anyhow::anyhow!("it was written by a newer version"))
        );
    }

    #[test]
    fn a_disk_without_room_is_not_taken_for_one_that_fails() {
        let of = |code| meaning_of(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        assert!(matches!(of(ffi::SQLITE_FULL), Trouble::Full));
        assert!(matches!(of(ffi::SQLITE_IOERR_SHMSIZE), Trouble::FullInDoubt), "the commit comes before its index");
        for code in [ffi::SQLITE_IOERR, ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_SHORT_READ, ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB] {
            assert!(matches!(of(code), Trouble::Failed(_)), "{code}");
        }
        for code in [ffi::SQLITE_BUSY, ffi::SQLITE_READONLY, ffi::SQLITE_LOCKED] {
            assert!(matches!(of(code), Trouble::Passing(_)), "{code}");
        }
    }
}

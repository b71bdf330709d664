//! Batches on the local disk until somebody else has them: those that the broker could not be given (the spill), or those of lanes in this
//! process until they are counted (the journal). A SQLite file of its own in the data directory, with one writer thread, which commits what
//! has come meanwhile in one go. All of its SQL is in here; when to spill and when to replay is decided in `intake`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, params};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Content, Delivery, NotSafe};
use crate::domain::{Batch, InstanceId, Millis};
use crate::error::Error;
use crate::wire::batch::encode;

/// Requests that may wait for the writer. Each lane has one batch on its way, and replay one request: it takes a disk that does not
/// answer, and batches whose waiters have given up, to fill this.
const REQUESTS_MAX: usize = 4_096;
/// Batches and bytes of one commit. The bytes bound how long everybody else waits for it.
const GROUP_BATCHES_MAX: usize = 512;
const GROUP_BYTES_MAX: usize = 8 << 20;
/// Bytes of one read for replay, whatever the number of batches.
const READ_BYTES_MAX: usize = 4 << 20;
/// How often a writer with nothing to do looks whether the disk has room again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Pages given back to the disk in one turn (16 MiB): votes that come meanwhile wait no longer than that.
const PAGES_PER_TURN: u32 = 4_096;
/// What counting takes of the disk for each byte in the journal: a row is larger than its line in a message, and goes through a log.
const COUNTING_BYTES: u64 = 8;
/// An idle journal with as much room in it gives it back (16 MiB).
const IDLE_BYTES_MAX: u64 = 16 << 20;
/// What a row costs beside its message.
const ROW_BYTES: u64 = 64;
const FILE: &str = "spill.db";
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

/// What batches wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Keeps {
    /// For a broker that is away.
    Spill,
    /// For being counted, by this very process.
    Journal,
}

impl Keeps {
    /// Written out, so that they are found by who looks for them.
    fn metrics(self) -> MetricNames {
        match self {
            Keeps::Spill => MetricNames {
                batches: "groundswell_spill_batches",
                ballots: "groundswell_spill_ballots",
                bytes: "groundswell_spill_bytes",
                writable: "groundswell_spill_writable",
                commit_seconds: "groundswell_spill_commit_seconds",
                written: "groundswell_spill_ballots_written_total",
            },
            Keeps::Journal => MetricNames {
                batches: "groundswell_journal_batches",
                ballots: "groundswell_journal_ballots",
                bytes: "groundswell_journal_bytes",
                writable: "groundswell_journal_writable",
                commit_seconds: "groundswell_journal_commit_seconds",
                written: "groundswell_journal_ballots_written_total",
            },
        }
    }
}

struct MetricNames {
    batches: &'static str,
    ballots: &'static str,
    bytes: &'static str,
    writable: &'static str,
    commit_seconds: &'static str,
    written: &'static str,
}

#[derive(Clone, Debug)]
pub struct SpillSettings {
    keeps: Keeps,
    file: PathBuf,
    /// Locked by this process: nobody else writes here.
    pub directory: PathBuf,
    /// More than this is not held: votes are refused.
    pub bytes_max: u64,
    /// Nothing is written that would leave less than this on the disk.
    pub free_bytes_min: u64,
}

impl SpillSettings {
    pub fn spill(directory: PathBuf, bytes_max: u64, free_bytes_min: u64) -> SpillSettings {
        SpillSettings { keeps: Keeps::Spill, file: directory.join(FILE), directory, bytes_max, free_bytes_min }
    }

    /// The same for another directory.
    pub fn at(&self, directory: PathBuf) -> SpillSettings {
        SpillSettings::spill(directory, self.bytes_max, self.free_bytes_min)
    }

    /// Beside the database that its batches are counted into, and named after it: another one's votes must not be counted here.
    pub fn journal(database: &Path, bytes_max: u64, free_bytes_min: u64) -> SpillSettings {
        let directory = database.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
        // Of the whole name, unless it ends as usual: `show.db` and `show.sqlite` are two.
        let name = database.file_name().unwrap_or_default().to_string_lossy();
        let file = directory.join(format!("{}.journal.db", name.strip_suffix(".db").unwrap_or(&name)));
        SpillSettings { keeps: Keeps::Journal, file, directory, bytes_max, free_bytes_min }
    }
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Spill {
    requests: SyncSender<Request>,
    state: Arc<State>,
}

/// What others read without asking the writer.
struct State {
    writable: AtomicBool,
    holding: Mutex<Holding>,
    /// Counted, and to be struck off with the next commit.
    gone: Mutex<Vec<Kept>>,
    /// The disk failed: what it holds is not known any more, and the process must not go on.
    failed: CancellationToken,
}

/// What lies in the spill.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Holding {
    pub batches: u64,
    pub ballots: u64,
    pub bytes: u64,
    /// When the oldest was accepted.
    pub oldest: Option<Millis>,
    /// Batches by the process that numbered them; processes that came before and whose books are open are in it with 0.
    pub by_instance: HashMap<InstanceId, u64>,
    /// Of each lane of a process that holds some.
    pub by_lane: HashMap<(InstanceId, u16), LaneHolding>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LaneHolding {
    pub batches: u64,
    /// The highest number since the lane last held nothing; that one may be with the broker by now.
    pub highest: u64,
}

/// One batch in the spill, as the message it would have been.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    pub id: i64,
    pub instance: InstanceId,
    pub lane: u16,
    pub number: u64,
    pub ballots: u64,
    pub accepted_at: Millis,
    pub body: Vec<u8>,
}

/// A batch that is on the disk, as its keeper knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kept {
    id: i64,
    lane: (InstanceId, u16),
    ballots: u64,
    bytes: u64,
}

type Answer<T> = oneshot::Sender<Result<T, NotSafe>>;

enum Request {
    Keep(Arc<Batch>, Answer<Kept>),
    Oldest {
        without: Vec<u16>,
        batches_max: usize,
        answer: Answer<Vec<Held>>,
    },
    Release(Arc<Vec<Held>>, Answer<()>),
    Strike(InstanceId, Answer<()>),
    /// Something is to be struck off, whenever there is time.
    Gone,
    Close(oneshot::Sender<()>),
}

const DISK_FULL: NotSafe = NotSafe::Refused("the disk of this server is full");
const SPILL_FULL: NotSafe = NotSafe::Refused("this server holds as many votes as it may");
const DISK_FAILED: NotSafe = NotSafe::Unknown("the disk of this server failed");
const WRITER_BUSY: NotSafe = NotSafe::Refused("too many votes wait for the disk");
const WRITER_GONE: NotSafe = NotSafe::Unknown("the spill is closed");

impl Spill {
    /// Opens the file, or makes it, and writes this process down. What an earlier process left is held on.
    pub fn open(settings: SpillSettings, instance: InstanceId) -> anyhow::Result<Spill> {
        Spill::start(settings, Some(instance))
    }

    /// Processes whose books are open here, but for this one.
    pub fn others(&self, this: InstanceId) -> Vec<InstanceId> {
        self.state.lock().by_instance.keys().copied().filter(|id| *id != this).collect()
    }

    /// Opens what a process left that is gone, only to pass it on: nothing more is kept there.
    pub fn adopt(settings: SpillSettings) -> anyhow::Result<Spill> {
        Spill::start(settings, None)
    }

    fn start(settings: SpillSettings, instance: Option<InstanceId>) -> anyhow::Result<Spill> {
        let path = settings.file.clone();
        let open = || -> anyhow::Result<(Connection, Holding)> {
            let db = open_file(&path)?;
            if let Some(instance) = instance {
                db.execute("insert into instance (id) values (?1) on conflict (id) do nothing", [instance.0.as_bytes()])?;
            }
            let holding = count(&db)?;
            Ok((db, holding))
        };
        let (db, holding) = open().with_context(|| format!("DATA_DIR: {} cannot be used", path.display()))?;
        if holding.batches > 0 {
            tracing::info!(
                batches = holding.batches,
                ballots = holding.ballots,
                "votes of an earlier process lie on the disk; they follow now, or as soon as the broker takes them"
            );
        }
        let state =
            Arc::new(State { writable: AtomicBool::new(false), holding: Mutex::new(holding), gone: Mutex::default(), failed: CancellationToken::new() });
        let (requests, receiver) = sync_channel(REQUESTS_MAX);
        // Known to the metrics from the start, not only when it has happened.
        metrics::counter!(settings.keeps.metrics().written).increment(0);
        // An earlier process may have had no time to.
        let shrinks = state.lock().batches == 0;
        let mut writer = Writer { db, names: settings.keeps.metrics(), state: state.clone(), settings, keeps: instance.is_some(), full: false, shrinks };
        writer.look();
        let alive = Alive(state.clone());
        std::thread::Builder::new().name("spill".into()).spawn(move || {
            writer.run(&receiver);
            drop(alive);
        })?;
        Ok(Spill { requests, state })
    }

    /// Does a spill lie in this directory, with something in it or not?
    pub fn is_in(directory: &Path) -> bool {
        directory.join(FILE).exists()
    }

    /// Did a process leave something in this directory: votes, or books that are open? Whoever asks holds the lock.
    pub fn is_left(directory: &Path) -> anyhow::Result<bool> {
        if !Spill::is_in(directory) {
            return Ok(false);
        }
        let path = directory.join(FILE);
        let look = || -> rusqlite::Result<bool> {
            let db = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            // Made, and nothing written down yet.
            if db.query_row("pragma user_version", [], |row| row.get::<_, i64>(0))? == 0 {
                return Ok(false);
            }
            db.query_row("select exists (select 1 from instance) or exists (select 1 from held)", [], |row| row.get(0))
        };
        look().with_context(|| format!("DATA_DIR: {} cannot be used", path.display()))
    }

    /// Resolves when the batch is on the disk.
    pub async fn keep(&self, batch: Arc<Batch>) -> Result<Kept, NotSafe> {
        self.ask(|answer| Request::Keep(batch, answer)).await
    }

    /// These have been counted. They are struck off with the next commit, or soon; what a crash leaves of them comes again, and is skipped by
    /// its number.
    pub fn let_go(&self, kept: impl IntoIterator<Item = Kept>) {
        self.state.gone().extend(kept);
        // A writer with so much to do that this does not fit commits before long.
        let _ = self.requests.try_send(Request::Gone);
    }

    /// The oldest batches, oldest first, but for those of some lanes.
    pub async fn oldest(&self, without: Vec<u16>, batches_max: usize) -> Result<Vec<Held>, NotSafe> {
        self.ask(|answer| Request::Oldest { without, batches_max, answer }).await
    }

    /// The broker has confirmed them.
    pub async fn release(&self, held: Arc<Vec<Held>>) -> Result<(), NotSafe> {
        self.ask(|answer| Request::Release(held, answer)).await
    }

    /// The books of this instance are closed: nothing of it is here, and everybody has been told so.
    pub async fn strike(&self, instance: InstanceId) -> Result<(), NotSafe> {
        self.ask(|answer| Request::Strike(instance, answer)).await
    }

    /// Would a batch find room?
    pub fn is_writable(&self) -> bool {
        self.state.writable.load(Ordering::Relaxed)
    }

    pub fn holding(&self) -> Holding {
        self.state.lock().clone()
    }

    pub fn holds_anything(&self) -> bool {
        self.state.lock().batches > 0
    }

    /// Nothing is left here, nobody's books are open; or the disk failed, and what is left is read anew.
    pub fn is_done(&self) -> bool {
        let holding = self.state.lock();
        (holding.batches == 0 && holding.by_instance.is_empty()) || self.has_failed()
    }

    pub fn has_failed(&self) -> bool {
        self.state.failed.is_cancelled()
    }

    pub fn is_same(&self, other: &Spill) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
    }

    /// Resolves when the disk has failed. Then the process must end: after a failed sync, nobody knows what the file holds.
    pub async fn until_failed(&self) {
        self.state.failed.cancelled().await;
    }

    /// Everything asked before is done when this returns.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.requests.try_send(Request::Close(done)).is_ok() {
            let _ = closed.await;
        }
    }

    async fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Result<T, NotSafe> {
        let (answer, answered) = oneshot::channel();
        self.requests.try_send(request(answer)).map_err(|why| match why {
            std::sync::mpsc::TrySendError::Full(_) => WRITER_BUSY,
            // Nothing was written, and nothing will be.
            std::sync::mpsc::TrySendError::Disconnected(_) => NotSafe::Refused("the spill is closed"),
        })?;
        answered.await.unwrap_or(Err(WRITER_GONE))
    }
}

impl State {
    fn holds_anything(&self) -> bool {
        self.lock().batches > 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Holding> {
        self.holding.lock().expect("nothing panics while holding the sums")
    }

    fn gone(&self) -> std::sync::MutexGuard<'_, Vec<Kept>> {
        self.gone.lock().expect("nothing panics while holding the list")
    }
}

/// A writer that panics is as good as a disk that failed: nobody would write any more.
struct Alive(Arc<State>);

impl Drop for Alive {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.writable.store(false, Ordering::Relaxed);
            self.0.failed.cancel();
        }
    }
}

struct Writer {
    db: Connection,
    names: MetricNames,
    state: Arc<State>,
    settings: SpillSettings,
    /// Batches come here; from an adopted one they only go.
    keeps: bool,
    /// The last write found no room, whatever the file system says of itself.
    full: bool,
    /// All that was held is gone; the disk gets its space back whenever nobody asks for anything.
    shrinks: bool,
}

impl Writer {
    fn run(mut self, requests: &Receiver<Request>) {
        let mut looked = Instant::now();
        loop {
            let patience = if self.shrinks { Duration::ZERO } else { LOOK_EVERY };
            let first = match requests.recv_timeout(patience) {
                Ok(request) => Some(request),
                Err(RecvTimeoutError::Timeout) if self.shrinks => {
                    self.shrink();
                    if self.state.failed.is_cancelled() {
                        return;
                    }
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.shrinks = !self.state.holds_anything() && self.reusable_bytes() > IDLE_BYTES_MAX;
                    None
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if looked.elapsed() >= LOOK_EVERY || first.is_none() {
                looked = Instant::now();
                self.look();
            }
            // What has come meanwhile goes into the same commit.
            let mut next = first;
            let mut group = Vec::new();
            let mut bytes = 0;
            while let Some(request) = next {
                match request {
                    Request::Keep(batch, answer) => {
                        let body = encode(&batch);
                        bytes += body.len();
                        group.push((batch, body, answer));
                        next = if group.len() < GROUP_BATCHES_MAX && bytes < GROUP_BYTES_MAX { requests.try_recv().ok() } else { None };
                        continue;
                    }
                    // With the group, whichever comes first.
                    Request::Gone => next = requests.try_recv().ok(),
                    other => {
                        // In the order they were asked for.
                        self.keep_group(std::mem::take(&mut group));
                        if self.serve(other) {
                            return;
                        }
                        bytes = 0;
                        next = requests.try_recv().ok();
                    }
                }
            }
            self.keep_group(group);
            if self.state.failed.is_cancelled() {
                // Whoever still waits hears that the fate of its batch is unknown.
                return;
            }
        }
    }

    /// True when that was the last.
    fn serve(&mut self, request: Request) -> bool {
        match request {
            Request::Keep(..) | Request::Gone => unreachable!("dealt with in groups"),
            Request::Oldest { without, batches_max, answer } => {
                let read = self.oldest(&without, batches_max).map_err(|why| self.note(why));
                let _ = answer.send(read);
            }
            Request::Release(held, answer) => {
                let done = self.release(&held).map_err(|why| self.note(why));
                let _ = answer.send(done);
            }
            Request::Strike(instance, answer) => {
                let done = self.db.execute("delete from instance where id = ?1", [instance.0.as_bytes()]).map_err(|why| self.note(why));
                if done.is_ok() {
                    self.state.lock().by_instance.remove(&instance);
                }
                let _ = answer.send(done.map(|_| ()));
            }
            Request::Close(done) => {
                let _ = done.send(());
                return true;
            }
        }
        false
    }

    /// One commit, one sync, however many batches; then each is answered. What has been let go goes with it.
    fn keep_group(&mut self, group: Vec<(Arc<Batch>, Vec<u8>, Answer<Kept>)>) {
        if self.state.failed.is_cancelled() {
            group.into_iter().for_each(|(_, _, answer)| _ = answer.send(Err(DISK_FAILED)));
            return;
        }
        let gone = std::mem::take(&mut *self.state.gone());
        if group.is_empty() && gone.is_empty() {
            return;
        }
        let bytes: u64 = group.iter().map(|(_, body, _)| body.len() as u64 + ROW_BYTES).sum();
        let started = Instant::now();
        // What is let go needs no room of its own: a file that is full must be able to empty itself.
        let room = if group.is_empty() { Ok(()) } else { self.room_for(bytes) };
        let group = match room {
            Ok(()) => group,
            Err(why) => {
                self.state.writable.store(false, Ordering::Relaxed);
                group.into_iter().for_each(|(_, _, answer)| _ = answer.send(Err(why)));
                if gone.is_empty() {
                    return self.show();
                }
                Vec::new()
            }
        };
        match self.write(&group, &gone).map_err(|why| self.note(why)) {
            Ok(ids) => {
                metrics::histogram!(self.names.commit_seconds).record(started.elapsed().as_secs_f64());
                let kept: Vec<Kept> = group.iter().zip(ids).map(|((batch, body, _), id)| Kept::of(id, batch, body)).collect();
                self.take_in(&group, &gone, &kept);
                group.into_iter().zip(kept).for_each(|((_, _, answer), kept)| _ = answer.send(Ok(kept)));
            }
            Err(why) => {
                self.state.gone().extend(gone);
                self.state.writable.store(false, Ordering::Relaxed);
                group.into_iter().for_each(|(_, _, answer)| _ = answer.send(Err(why)));
            }
        }
        self.show();
    }

    /// Before anybody is answered: whoever asks afterwards finds what was kept.
    fn take_in(&mut self, group: &[(Arc<Batch>, Vec<u8>, Answer<Kept>)], gone: &[Kept], kept: &[Kept]) {
        let oldest = if gone.is_empty() { None } else { self.oldest_accepted_at().ok() };
        let mut holding = self.state.lock();
        for ((batch, ..), kept) in group.iter().zip(kept) {
            holding.add(kept.lane, batch.number, kept.ballots, kept.bytes, batch.accepted_at);
        }
        for kept in gone {
            holding.take_off(kept);
        }
        if let Some(oldest) = oldest {
            holding.oldest = oldest;
        }
        let ballots: u64 = kept.iter().map(|kept| kept.ballots).sum();
        metrics::counter!(self.names.written).increment(ballots);
    }

    /// The ids of the new rows, in the order of the group.
    fn write(&mut self, group: &[(Arc<Batch>, Vec<u8>, Answer<Kept>)], gone: &[Kept]) -> rusqlite::Result<Vec<i64>> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut ids = Vec::with_capacity(group.len());
        {
            let mut delete = tx.prepare_cached("delete from held where id = ?1")?;
            for kept in gone {
                delete.execute([kept.id])?;
            }
            let mut insert = tx.prepare_cached("insert into held (instance, lane, number, accepted_at, ballots, body) values (?1, ?2, ?3, ?4, ?5, ?6)")?;
            for (batch, body, _) in group {
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

    fn oldest_accepted_at(&self) -> rusqlite::Result<Option<Millis>> {
        self.db.prepare_cached("select accepted_at from held order by id limit 1")?.query_row([], |row| row.get(0)).optional()
    }

    fn oldest(&self, without: &[u16], batches_max: usize) -> rusqlite::Result<Vec<Held>> {
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

    fn release(&mut self, held: &[Held]) -> rusqlite::Result<()> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut delete = tx.prepare("delete from held where id = ?1")?;
            for one in held {
                delete.execute([one.id])?;
            }
        }
        tx.commit()?;
        // They are gone whatever this says; who hears of a failure now would release them again, and others may have their ids by then.
        let oldest = self.oldest_accepted_at().ok();
        let is_empty = {
            let mut holding = self.state.lock();
            for one in held {
                holding.take_off(&one.kept());
            }
            if let Some(oldest) = oldest {
                holding.oldest = oldest;
            }
            holding.batches == 0
        };
        self.shrinks = is_empty;
        // Pages that are free in the file are room, too.
        self.look();
        Ok(())
    }

    /// One turn of giving back.
    fn shrink(&mut self) {
        self.shrinks = false;
        if self.state.lock().batches > 0 {
            // What is free in the file is used again.
            return;
        }
        match self.give_back() {
            Ok(0) => self.look(),
            Ok(_) => self.shrinks = true,
            Err(why) => _ = self.note(why),
        }
    }

    /// How many pages are left to give back.
    fn give_back(&self) -> rusqlite::Result<u64> {
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
    fn reusable_bytes(&self) -> u64 {
        let bytes = || -> rusqlite::Result<u64> { Ok(self.number("pragma freelist_count")? * self.number("pragma page_size")?) };
        bytes().unwrap_or(0)
    }

    /// Is there room again? What refused a write is asked by writing.
    fn look(&mut self) {
        if self.state.failed.is_cancelled() || !self.keeps {
            return;
        }
        let mut room = self.room_for(0);
        if room.is_ok() && self.full {
            let written = self.db.execute("insert into look (id, at) values (1, 1) on conflict (id) do update set at = at + 1", []);
            match written {
                Ok(_) => self.full = false,
                Err(why) => room = Err(self.note(why)),
            }
        }
        if room.is_ok() != self.state.writable.swap(room.is_ok(), Ordering::Relaxed) {
            match room {
                Ok(()) => tracing::info!("votes can be kept on the local disk"),
                Err(why) => tracing::warn!(?why, "no vote can be kept on the local disk"),
            }
        }
        self.show();
    }

    fn room_for(&self, bytes: u64) -> Result<(), NotSafe> {
        if self.state.lock().bytes + bytes >= self.settings.bytes_max {
            return Err(SPILL_FULL);
        }
        let free = free_bytes(&self.settings.directory).map_err(|why| {
            tracing::warn!(%why, "the free space of the disk cannot be read");
            DISK_FULL
        })?;
        let wanted = match self.settings.keeps {
            Keeps::Spill => self.settings.free_bytes_min.saturating_add(bytes),
            // Pages that are free in this file are no room for the database, which has to take what is held.
            Keeps::Journal if free < self.settings.free_bytes_min.saturating_add(COUNTING_BYTES * self.state.lock().bytes) => return Err(DISK_FULL),
            Keeps::Journal => bytes,
        };
        if free.saturating_add(self.reusable_bytes()) < wanted { Err(DISK_FULL) } else { Ok(()) }
    }

    /// What an error of SQLite means for whoever waits.
    fn note(&mut self, why: rusqlite::Error) -> NotSafe {
        match meaning_of(why) {
            Trouble::Full => {
                self.full = true;
                DISK_FULL
            }
            Trouble::FullInDoubt => {
                self.full = true;
                NotSafe::Unknown("the disk of this server is full")
            }
            Trouble::Failed(why) => {
                tracing::error!(%why, "the spill failed");
                self.state.writable.store(false, Ordering::Relaxed);
                self.state.failed.cancel();
                DISK_FAILED
            }
            Trouble::Passing(why) => {
                tracing::warn!(%why, "nothing can be written to the spill");
                self.full = true;
                NotSafe::Refused("the spill cannot be written")
            }
        }
    }

    fn show(&self) {
        if !self.keeps {
            return;
        }
        let holding = self.state.lock();
        metrics::gauge!(self.names.batches).set(holding.batches as f64);
        metrics::gauge!(self.names.ballots).set(holding.ballots as f64);
        metrics::gauge!(self.names.bytes).set(holding.bytes as f64);
        let writable = self.state.writable.load(Ordering::Relaxed);
        metrics::gauge!(self.names.writable).set(f64::from(u8::from(writable)));
    }
}

#[derive(Debug)]
enum Trouble {
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
fn meaning_of(why: rusqlite::Error) -> Trouble {
    let code = why.sqlite_error_code();
    match (code, Error::from(why)) {
        (_, why @ Error::Disk(_)) | (Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase), why) => Trouble::Failed(why),
        (Some(ErrorCode::DiskFull), _) => Trouble::Full,
        // Of the failures of a file, the one that is none: its index in memory could not grow.
        (Some(ErrorCode::SystemIoFailure), _) => Trouble::FullInDoubt,
        (_, why) => Trouble::Passing(why),
    }
}

impl Holding {
    fn add(&mut self, lane: (InstanceId, u16), number: u64, ballots: u64, bytes: u64, accepted_at: Millis) {
        self.batches += 1;
        self.ballots += ballots;
        self.bytes += bytes;
        self.oldest.get_or_insert(accepted_at);
        *self.by_instance.entry(lane.0).or_default() += 1;
        let of_lane = self.by_lane.entry(lane).or_default();
        of_lane.batches += 1;
        of_lane.highest = of_lane.highest.max(number);
    }

    fn take_off(&mut self, kept: &Kept) {
        self.batches -= 1;
        self.ballots -= kept.ballots;
        self.bytes -= kept.bytes;
        *self.by_instance.entry(kept.lane.0).or_default() -= 1;
        if let Entry::Occupied(mut of_lane) = self.by_lane.entry(kept.lane) {
            of_lane.get_mut().batches -= 1;
            if of_lane.get().batches == 0 {
                of_lane.remove();
            }
        }
    }
}

impl Kept {
    fn of(id: i64, batch: &Batch, body: &[u8]) -> Kept {
        Kept { id, lane: (batch.instance, batch.lane), ballots: batch.ballots.len() as u64, bytes: body.len() as u64 + ROW_BYTES }
    }
}

impl Held {
    fn kept(&self) -> Kept {
        Kept { id: self.id, lane: (self.instance, self.lane), ballots: self.ballots, bytes: self.body.len() as u64 + ROW_BYTES }
    }

    /// As it would have come off its lane.
    pub fn into_delivery(self) -> Delivery {
        Delivery { lane: self.lane, redelivered: true, content: Content::of(self.lane, self.body) }
    }
}

fn open_file(path: &Path) -> anyhow::Result<Connection> {
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
    Ok(db)
}

fn count(db: &Connection) -> rusqlite::Result<Holding> {
    let mut holding = Holding::default();
    let mut instances = db.prepare("select id from instance")?;
    for id in instances.query_map([], |row| row.get::<_, [u8; 16]>(0))? {
        holding.by_instance.insert(InstanceId(Uuid::from_bytes(id?)), 0);
    }
    let mut held = db.prepare("select instance, lane, number, accepted_at, ballots, length(body) from held order by id")?;
    let mut rows = held.query([])?;
    while let Some(row) = rows.next()? {
        let (number, ballots, bytes): (i64, i64, i64) = (row.get(2)?, row.get(4)?, row.get(5)?);
        let lane = (InstanceId(Uuid::from_bytes(row.get(0)?)), row.get(1)?);
        holding.add(lane, number as u64, ballots as u64, bytes as u64 + ROW_BYTES, row.get(3)?);
    }
    Ok(holding)
}

fn free_bytes(directory: &Path) -> std::io::Result<u64> {
    let found = rustix::fs::statvfs(directory)?;
    Ok(found.f_bavail * found.f_frsize)
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

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

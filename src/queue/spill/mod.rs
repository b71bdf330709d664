//! Batches on the local disk until somebody else has them: those that the broker could not be given (the spill), or those of lanes in this
//! process until they are counted (the journal). A SQLite file of its own in the data directory, with one writer thread, which commits what
//! has come meanwhile in one go. When to spill and when to replay is decided in `intake`.

mod file;
mod writer;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use anyhow::Context;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use self::file::File;
use self::writer::{Alive, Answer, Request, Writer};
use super::{Content, Delivery, NotSafe};
use crate::domain::{Batch, InstanceId, Millis};

/// Requests that may wait for the writer. Each lane has one batch on its way, and replay one request: it takes a disk that does not
/// answer, and batches whose waiters have given up, to fill this.
const REQUESTS_MAX: usize = 4_096;
/// What a row costs beside its message.
const ROW_BYTES: u64 = 64;
const FILE: &str = "spill.db";

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
#[derive(Default)]
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

const WRITER_BUSY: NotSafe = NotSafe::Refused("too many votes wait for the disk");
const WRITER_GONE: NotSafe = NotSafe::Unknown("the spill is closed");

impl Spill {
    /// Opens the file, or makes it, and writes this process down. What an earlier process left is held on. A spill that finds no room for that
    /// does so once there is some: until then it keeps nothing, and the broker alone takes votes.
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
        let state = Arc::new(State::default());
        let (requests, receiver) = sync_channel(REQUESTS_MAX);
        // Known to the metrics from the start, not only when it has happened.
        metrics::counter!(settings.keeps.metrics().written).increment(0);
        let opened = match open_file(&settings, instance, &state) {
            Ok(file) => Some(Writer::of(file, settings.clone(), instance.is_some(), state.clone())),
            Err(why) if settings.keeps == Keeps::Spill && instance.is_some() && file::lacks_room(&why) => {
                tracing::warn!(%why, "no room on the local disk: until there is some, votes are accepted with the broker alone");
                None
            }
            Err(why) => return Err(why),
        };
        let alive = Alive(state.clone());
        std::thread::Builder::new().name("spill".into()).spawn(move || {
            let writer = opened.or_else(|| {
                let file = writer::until_there_is_room(&receiver, &settings, &alive.0, || open_file(&settings, instance, &alive.0))?;
                Some(Writer::of(file, settings.clone(), instance.is_some(), alive.0.clone()))
            });
            if let Some(writer) = writer {
                writer.run(&receiver);
            }
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
        File::holds_something(&path).with_context(|| format!("DATA_DIR: {} cannot be used", path.display()))
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

/// What lies in it is known to the state from then on.
fn open_file(settings: &SpillSettings, instance: Option<InstanceId>, state: &State) -> anyhow::Result<File> {
    let open = || -> anyhow::Result<(File, Holding)> {
        let file = File::open(&settings.file)?;
        if let Some(instance) = instance {
            file.write_down(instance)?;
        }
        let holding = file.count()?;
        Ok((file, holding))
    };
    let (file, holding) = open().with_context(|| format!("DATA_DIR: {} cannot be used", settings.file.display()))?;
    if holding.batches > 0 {
        tracing::info!(
            batches = holding.batches,
            ballots = holding.ballots,
            "votes of an earlier process lie on the disk; they follow now, or as soon as the broker takes them"
        );
    }
    *state.lock() = holding;
    Ok(file)
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

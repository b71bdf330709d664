//! The one thread that writes the file. It commits what has come meanwhile in one go, and knows whether there is room.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::file::{File, FileError, Trouble, lacks_room, meaning_of};
use super::{Held, Keeps, Kept, MetricNames, ROW_BYTES, SpillSettings, State};
use crate::domain::{Batch, InstanceId};
use crate::queue::NotSafe;
use crate::wire::batch::encode;

/// Batches and bytes of one commit. The bytes bound how long everybody else waits for it.
const GROUP_BATCHES_MAX: usize = 512;
const GROUP_BYTES_MAX: usize = 8 << 20;
/// How often a writer with nothing to do looks whether the disk has room again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What counting takes of the disk for each byte in the journal: a row is larger than its line in a message, and goes through a log.
const COUNTING_BYTES: u64 = 8;
/// An idle journal with as much room in it gives it back (16 MiB).
const IDLE_BYTES_MAX: u64 = 16 << 20;

const DISK_FULL: NotSafe = NotSafe::Refused("the disk of this server is full");
const SPILL_FULL: NotSafe = NotSafe::Refused("this server holds as many votes as it may");
const DISK_FAILED: NotSafe = NotSafe::Unknown("the disk of this server failed");

pub(super) type Answer<T> = oneshot::Sender<Result<T, NotSafe>>;

pub(super) enum Request {
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

/// A batch on its way into the file.
pub(super) struct Keeping {
    pub(super) batch: Arc<Batch>,
    /// As the message it would have been.
    pub(super) body: Vec<u8>,
    answer: Answer<Kept>,
}

/// A writer that panics is as good as a disk that failed: nobody would write any more.
pub(super) struct Alive(pub(super) Arc<State>);

impl Drop for Alive {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.writable.store(false, Ordering::Relaxed);
            self.0.failed.cancel();
        }
    }
}

pub(super) struct Writer {
    file: File,
    names: MetricNames,
    state: Arc<State>,
    settings: SpillSettings,
    /// Batches come here; from an adopted one they only go.
    keeps: bool,
    /// The last write found no room, whatever the file system says of itself.
    full: bool,
    /// The smallest batch of those that the last write found no room for. Where not even that fits, there is no room again.
    refused_bytes: u64,
    /// All that was held is gone; the disk gets its space back whenever nobody asks for anything.
    shrinks: bool,
}

/// Refuses what comes meanwhile. `None` when the process stops before, or there is room and the file cannot be used all the same: votes may lie in it.
pub(super) fn until_there_is_room(
    requests: &Receiver<Request>,
    settings: &SpillSettings,
    state: &State,
    open: impl Fn() -> anyhow::Result<File>,
) -> Option<File> {
    let names = settings.keeps.metrics();
    metrics::gauge!(names.writable).set(0.0);
    let mut looked = Instant::now();
    loop {
        match requests.recv_timeout(LOOK_EVERY.saturating_sub(looked.elapsed())) {
            Ok(Request::Keep(_, answer)) => _ = answer.send(Err(DISK_FULL)),
            Ok(Request::Oldest { answer, .. }) => _ = answer.send(Ok(Vec::new())),
            Ok(Request::Release(_, answer) | Request::Strike(_, answer)) => _ = answer.send(Err(DISK_FULL)),
            Ok(Request::Gone) => {}
            Ok(Request::Close(done)) => {
                let _ = done.send(());
                return None;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
        }
        if looked.elapsed() < LOOK_EVERY {
            continue;
        }
        looked = Instant::now();
        match open() {
            Ok(file) => return Some(file),
            Err(why) if lacks_room(&why) => {}
            Err(why) => {
                tracing::error!(why = format!("{why:#}"), "the spill failed");
                state.failed.cancel();
                return None;
            }
        }
    }
}

impl Writer {
    /// Known from the start: is there room?
    pub(super) fn of(file: File, settings: SpillSettings, keeps: bool, state: Arc<State>) -> Writer {
        // An earlier process may have had no time to.
        let shrinks = !state.holds_anything();
        let mut writer = Writer { file, names: settings.keeps.metrics(), state, settings, keeps, full: false, refused_bytes: 0, shrinks };
        writer.look();
        writer
    }

    pub(super) fn run(mut self, requests: &Receiver<Request>) {
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
                    self.shrinks = !self.state.holds_anything() && self.file.reusable_bytes() > IDLE_BYTES_MAX;
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
                        group.push(Keeping { batch, body, answer });
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
                let read = self.file.oldest(&without, batches_max).map_err(|why| self.note(why));
                let _ = answer.send(read);
            }
            Request::Release(held, answer) => {
                let done = self.release(&held).map_err(|why| self.note(why));
                let _ = answer.send(done);
            }
            Request::Strike(instance, answer) => {
                let done = self.file.strike(instance).map_err(|why| self.note(why));
                if done.is_ok() {
                    self.state.lock().by_instance.remove(&instance);
                }
                let _ = answer.send(done);
            }
            Request::Close(done) => {
                let _ = done.send(());
                return true;
            }
        }
        false
    }

    /// One commit, one sync, however many batches; then the figures are set, then each is answered: whoever reads them after an answer finds it in
    /// them. What has been let go goes with it.
    fn keep_group(&mut self, group: Vec<Keeping>) {
        if self.state.failed.is_cancelled() {
            group.into_iter().for_each(|one| _ = one.answer.send(Err(DISK_FAILED)));
            return;
        }
        let gone = std::mem::take(&mut *self.state.gone());
        if group.is_empty() && gone.is_empty() {
            return;
        }
        let sizes = group.iter().map(|one| one.body.len() as u64 + ROW_BYTES);
        let (bytes, smallest) = (sizes.clone().sum(), sizes.min().unwrap_or(0));
        let started = Instant::now();
        // What is let go needs no room of its own: a file that is full must be able to empty itself.
        let room = if group.is_empty() { Ok(()) } else { self.room_for(bytes) };
        let group = match room {
            Ok(()) => group,
            Err(why) => {
                self.refused_bytes = smallest;
                self.state.writable.store(false, Ordering::Relaxed);
                self.show();
                group.into_iter().for_each(|one| _ = one.answer.send(Err(why)));
                if gone.is_empty() {
                    return;
                }
                Vec::new()
            }
        };
        match self.file.write(&group, &gone).map_err(|why| self.note(why)) {
            Ok(ids) => {
                if !group.is_empty() {
                    self.refused_bytes = 0;
                }
                metrics::histogram!(self.names.commit_seconds).record(started.elapsed().as_secs_f64());
                let kept: Vec<Kept> = group.iter().zip(ids).map(|(one, id)| Kept::of(id, &one.batch, &one.body)).collect();
                self.take_in(&group, &gone, &kept);
                self.show();
                group.into_iter().zip(kept).for_each(|(one, kept)| _ = one.answer.send(Ok(kept)));
            }
            Err(why) => {
                self.state.gone().extend(gone);
                self.state.writable.store(false, Ordering::Relaxed);
                self.show();
                group.into_iter().for_each(|one| _ = one.answer.send(Err(why)));
            }
        }
    }

    /// Before anybody is answered: whoever asks afterwards finds what was kept.
    fn take_in(&mut self, group: &[Keeping], gone: &[Kept], kept: &[Kept]) {
        let oldest = if gone.is_empty() { None } else { self.file.oldest_accepted_at().ok() };
        let mut holding = self.state.lock();
        for (one, kept) in group.iter().zip(kept) {
            holding.add(kept.lane, one.batch.number, kept.ballots, kept.bytes, one.batch.accepted_at);
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

    fn release(&mut self, held: &[Held]) -> Result<(), FileError> {
        self.file.release(held)?;
        // They are gone whatever this says; who hears of a failure now would release them again, and others may have their ids by then.
        let oldest = self.file.oldest_accepted_at().ok();
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
        match self.file.give_back() {
            Ok(0) => self.look(),
            Ok(_) => self.shrinks = true,
            Err(why) => _ = self.note(why),
        }
    }

    /// Is there room again? What refused a write is asked by writing.
    pub(super) fn look(&mut self) {
        if self.state.failed.is_cancelled() || !self.keeps {
            return;
        }
        // A batch larger than all that may lie here must not close it for smaller ones.
        let wanted = if self.state.lock().bytes == 0 { 0 } else { self.refused_bytes };
        let mut room = self.room_for(wanted);
        if room.is_ok() && self.full {
            match self.file.try_out() {
                Ok(()) => self.full = false,
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
        if free.saturating_add(self.file.reusable_bytes()) < wanted { Err(DISK_FULL) } else { Ok(()) }
    }

    /// What an error of SQLite means for whoever waits.
    fn note(&mut self, why: FileError) -> NotSafe {
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

fn free_bytes(directory: &Path) -> std::io::Result<u64> {
    let found = rustix::fs::statvfs(directory)?;
    Ok(found.f_bavail * found.f_frsize)
}

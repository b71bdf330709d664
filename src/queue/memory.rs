//! Lanes inside one process. They are not durable themselves. With a journal, a batch is safe once that is on the disk, and stays in it until
//! its consumer has acknowledged it; so nobody waits for the counting, which takes large commits. Without one, a batch is safe when it is
//! acknowledged, which the tally does after its commit.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, oneshot};

use super::spill::Kept;
use super::{Content, Delivery, NotSafe, Safe, Spill};
use crate::domain::Batch;

/// Batches waiting in one lane, where each has somebody waiting for it. With batches that grow under load this is seconds of votes, not a hope.
const BATCHES_PER_LANE_MAX: usize = 256;
/// Ballots accepted and not counted, in memory: about 60 MB. A database that is away that long has votes refused, not the process killed. With a
/// journal this is the only bound: batches may be as small as one ballot.
const BALLOTS_MAX: usize = 250_000;

#[derive(Clone)]
pub struct Memory {
    shared: Arc<Shared>,
}

struct Shared {
    lanes: Mutex<Lanes>,
    /// Where batches lie until they are counted.
    journal: Option<Spill>,
    /// Wakes the consumers; each looks into its own lanes.
    arrived: Notify,
    /// The consumer cannot get rid of what it took (the database is away, or its disk is full), or all is closed. Without a journal it is read for every vote, so
    /// not behind the lock.
    stuck: AtomicBool,
    /// Ballots in the lanes, or taken and not acknowledged. Whoever published them may have stopped waiting.
    held: Arc<AtomicUsize>,
}

struct Lanes {
    waiting: Vec<VecDeque<Waiting>>,
    /// The one consumer of each lane, while it lives.
    owners: Vec<Option<u64>>,
    consumers: u64,
    places: u64,
    closed: bool,
}

impl Lanes {
    /// The lanes that nobody has go to whoever asks; another's stay another's.
    fn claim(&mut self, lane: u16, consumer: u64) -> bool {
        *self.owners[usize::from(lane)].get_or_insert(consumer) == consumer
    }
}

struct Waiting {
    /// Where it stands in its lane, for when it comes back.
    place: u64,
    batch: Arc<Batch>,
    redelivered: bool,
    counted: oneshot::Sender<()>,
    /// In the journal.
    kept: Option<Kept>,
    _held: Held,
}

/// Counts the ballots of a batch until it is acknowledged or thrown away.
struct Held(Arc<AtomicUsize>, usize);

impl Held {
    fn new(held: &Arc<AtomicUsize>, ballots: usize) -> Held {
        held.fetch_add(ballots, Ordering::AcqRel);
        Held(held.clone(), ballots)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::AcqRel);
    }
}

impl Memory {
    pub fn new(lanes: u16) -> Memory {
        Memory::start(lanes, None)
    }

    /// What the journal holds from before is not in these lanes: it must have been counted.
    pub fn with_journal(lanes: u16, journal: Spill) -> Memory {
        Memory::start(lanes, Some(journal))
    }

    fn start(lanes: u16, journal: Option<Spill>) -> Memory {
        let waiting = (0..lanes).map(|_| VecDeque::new()).collect();
        let lanes = Lanes { waiting, owners: vec![None; usize::from(lanes)], consumers: 0, places: 0, closed: false };
        let (arrived, stuck, held) = (Notify::new(), AtomicBool::new(false), Arc::default());
        Memory { shared: Arc::new(Shared { lanes: Mutex::new(lanes), journal, arrived, stuck, held }) }
    }

    pub(super) async fn publish(&self, batch: Arc<Batch>) -> Result<Safe, NotSafe> {
        self.has_room(&batch)?;
        let held = Held::new(&self.shared.held, batch.ballots.len());
        match &self.shared.journal {
            // A beat is only worth what it says of the batches before it: after a crash there is nothing left that it could speak for.
            Some(journal) if !batch.ballots.is_empty() => {
                let (memory, journal) = (self.clone(), journal.clone());
                // In a task of its own: once it is on the disk it must come into its lane, whether or not anybody still waits.
                let safe = tokio::spawn(async move {
                    let kept = journal.keep(batch.clone()).await?;
                    memory.line_up(batch, Some(kept), held);
                    Ok(Safe::Queued)
                });
                safe.await.unwrap_or(Err(NotSafe::Unknown("the server stopped")))
            }
            _ => {
                let counted = self.line_up(batch, None, held);
                counted.await.map(|()| Safe::Counted).map_err(|_| NotSafe::Unknown("the tally stopped"))
            }
        }
    }

    fn has_room(&self, batch: &Batch) -> Result<(), NotSafe> {
        let lanes = self.shared.lock();
        if lanes.closed {
            return Err(NotSafe::Refused("the server is stopping"));
        }
        let batches_max = if self.shared.journal.is_some() { BALLOTS_MAX } else { BATCHES_PER_LANE_MAX };
        if lanes.waiting[usize::from(batch.lane)].len() >= batches_max {
            return Err(NotSafe::Refused("the lane is full"));
        }
        if self.shared.held.load(Ordering::Acquire) >= BALLOTS_MAX && !batch.ballots.is_empty() {
            return Err(NotSafe::Refused("too many votes wait to be counted"));
        }
        Ok(())
    }

    fn line_up(&self, batch: Arc<Batch>, kept: Option<Kept>, held: Held) -> oneshot::Receiver<()> {
        let (counted, is_counted) = oneshot::channel();
        let mut lanes = self.shared.lock();
        lanes.places += 1;
        let waiting = Waiting { place: lanes.places, batch, redelivered: false, counted, kept, _held: held };
        lanes.waiting[usize::from(waiting.batch.lane)].push_back(waiting);
        drop(lanes);
        self.shared.arrived.notify_waiters();
        is_counted
    }

    pub(super) fn consume(&self, lanes: Vec<u16>) -> Consumer {
        let mut shared = self.shared.lock();
        shared.consumers += 1;
        let id = shared.consumers;
        for lane in &lanes {
            shared.claim(*lane, id);
        }
        Consumer { shared: self.shared.clone(), id, lanes, next: 0 }
    }

    pub(super) fn is_ready(&self) -> bool {
        match &self.shared.journal {
            Some(journal) => journal.is_writable() && self.shared.held.load(Ordering::Relaxed) < BALLOTS_MAX,
            None => !self.shared.stuck.load(Ordering::Relaxed),
        }
    }

    pub(super) fn holds_ballots(&self) -> bool {
        self.shared.held.load(Ordering::Acquire) > 0
    }

    /// Takes no more. What is there is still consumed: somebody waits for it, or was told that it is safe.
    pub(super) fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.stuck.store(true, Ordering::Relaxed);
        self.shared.arrived.notify_waiters();
    }
}

impl Memory {
    /// The consumer may be gone for good: who waits for it is told. What is in the journal waits for the next start.
    pub(super) fn give_up(&self) {
        self.close();
        let mut lanes = self.shared.lock();
        lanes.waiting.iter_mut().for_each(forget);
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Lanes> {
        self.lanes.lock().expect("nothing panics while holding the lanes")
    }
}

/// Who waits learns that the fate of the batch is unknown. What is in the journal is safe and still held: until the process ends, nobody
/// may be told that it was not accepted.
fn forget(lane: &mut VecDeque<Waiting>) {
    lane.retain(|waiting| waiting.kept.is_some());
}

pub struct Consumer {
    shared: Arc<Shared>,
    id: u64,
    lanes: Vec<u16>,
    /// Where the next look begins, so that the first lane does not starve the last.
    next: usize,
}

impl Consumer {
    pub(super) async fn take(&mut self, ballots_max: usize) -> Option<Taken> {
        loop {
            // In line before looking, so that what comes in between wakes us.
            let arrived = self.shared.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            {
                let mut lanes = self.shared.lock();
                let mut taken = Taken { shared: self.shared.clone(), deliveries: Vec::new(), waiting: Vec::new() };
                let mut ballots = 0;
                let count = self.lanes.len();
                let mut empty = 0;
                // One batch of each lane in turn: a long lane must not stand in front of the others.
                while ballots < ballots_max && empty < count {
                    let lane = self.lanes[self.next % count];
                    self.next = (self.next + 1) % count;
                    let first = if lanes.claim(lane, self.id) { lanes.waiting[usize::from(lane)].pop_front() } else { None };
                    let Some(waiting) = first else {
                        empty += 1;
                        continue;
                    };
                    empty = 0;
                    ballots += waiting.batch.ballots.len();
                    taken.deliveries.push(Delivery { lane, redelivered: waiting.redelivered, content: Content::Batch(waiting.batch.clone()) });
                    taken.waiting.push((lane, waiting));
                }
                if !taken.deliveries.is_empty() {
                    return Some(taken);
                }
                if lanes.closed {
                    return None;
                }
            }
            arrived.await;
        }
    }
}

impl Consumer {
    /// What lies here is safe already.
    pub(super) fn has_journal(&self) -> bool {
        self.shared.journal.is_some()
    }

    /// Batches that lie in these lanes.
    pub(super) fn waiting(&self) -> u64 {
        let lanes = self.shared.lock();
        self.lanes.iter().map(|lane| lanes.waiting[usize::from(*lane)].len() as u64).sum()
    }

    pub(super) fn set_stuck(&self, stuck: bool) {
        // After the close, nothing makes it ready again.
        if stuck || !self.shared.lock().closed {
            self.shared.stuck.store(stuck, Ordering::Relaxed);
        }
    }
}

impl Drop for Consumer {
    /// Whoever waits in line is next.
    fn drop(&mut self) {
        let mut lanes = self.shared.lock();
        lanes.owners.iter_mut().filter(|owner| **owner == Some(self.id)).for_each(|owner| *owner = None);
        if lanes.closed {
            // Nobody comes after.
            self.lanes.iter().for_each(|lane| forget(&mut lanes.waiting[usize::from(*lane)]));
        }
        drop(lanes);
        self.shared.arrived.notify_waiters();
    }
}

pub struct Taken {
    shared: Arc<Shared>,
    deliveries: Vec<Delivery>,
    waiting: Vec<(u16, Waiting)>,
}

impl Taken {
    pub(super) fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }

    pub(super) fn ack(mut self) {
        self.ack_all();
    }

    pub(super) fn ack_all(&mut self) {
        let mut kept = Vec::new();
        for (_, waiting) in self.waiting.drain(..) {
            kept.extend(waiting.kept);
            // The waiter may have given up; the batch is counted all the same.
            let _ = waiting.counted.send(());
        }
        if let (Some(journal), false) = (&self.shared.journal, kept.is_empty()) {
            journal.let_go(kept);
        }
    }
}

impl Drop for Taken {
    /// Not acknowledged: back to where they stood in their lanes.
    fn drop(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let mut lanes = self.shared.lock();
        if lanes.closed && self.shared.journal.is_none() {
            // Nobody will consume it any more: its waiters learn that its fate is unknown.
            return;
        }
        for (lane, mut waiting) in self.waiting.drain(..).rev() {
            waiting.redelivered = true;
            let lane = &mut lanes.waiting[usize::from(lane)];
            let at = lane.partition_point(|other| other.place < waiting.place);
            lane.insert(at, waiting);
        }
        drop(lanes);
        self.shared.arrived.notify_waiters();
    }
}

//! Micro-batches: ballots of one lane become one message, and each waiter is answered when its batch is safe.
//!
//! HTTP is the only cost per vote; broker, disk and database see batches. A batch closes when an earlier one of its lane
//! has come back, so that an idle system adds almost no delay and a busy one forms large batches by itself. No rules of voting,
//! no database, no HTTP.

mod desk;
mod line;

pub use desk::Desk;
pub use line::Receipt;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::clock::now_ms;
use crate::domain::{Ballot, Batch, Beat, InstanceId, Millis};
use crate::error::Error;
use crate::queue::{NotSafe, Queue, Safe};
use line::Line;

/// Ballots waiting in this process to become safe; about 300 bytes each. More are refused with 503.
pub const WAITING_MAX: usize = 100_000;
/// Ballots in one batch: 400 KB as a message, one statement in the database.
pub const BATCH_BALLOTS_MAX: usize = 4_096;
/// A batch that is not safe by then has an unknown fate; phones are told, and send the same again.
const SAFE_WITHIN: Duration = Duration::from_secs(8);
/// How often every lane hears how far this process has got.
pub const BEAT_EVERY: Duration = Duration::from_secs(1);

/// What all desks of a process share. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Queue,
    instance: InstanceId,
    lanes: Vec<LaneEnd>,
    /// Where batches are carried, whichever thread their ballots came from.
    runtime: Handle,
    /// One per desk: who waits there.
    waiting: RwLock<Vec<Arc<Waiting>>>,
    desks: AtomicUsize,
}

/// The near end of a lane.
#[derive(Default)]
struct LaneEnd {
    line: Line,
    /// Locked once per batch, and once a second for the beat.
    numbers: Mutex<Numbers>,
}

/// Ballots that wait at one desk. On a cache line of its own: its thread writes it with each vote.
#[derive(Default)]
#[repr(align(128))]
struct Waiting(AtomicUsize);

impl Waiting {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Load and store instead of one locked instruction: only the desk's own thread writes.
    fn add(&self, count: usize) {
        self.0.store(self.count() + count, Ordering::Release);
    }

    fn sub(&self, count: usize) {
        self.0.store(self.count() - count, Ordering::Release);
    }
}

#[derive(Default)]
struct Numbers {
    last: u64,
    /// Time of the last beat: what is accepted later is stamped later.
    beat_clock: Millis,
    /// Numbers (first, last) of batches that were refused or whose fate is unknown: the next beat says so, or their absence would look
    /// like a loss.
    void: Vec<(u64, u64)>,
}

/// Ranges of void numbers kept per lane; beyond, the books show a gap, which is the honest thing to show.
const VOID_RANGES_MAX: usize = 10_000;

impl Intake {
    /// Batches are carried on the runtime this is called in.
    pub fn new(queue: Queue, instance: InstanceId, lanes: u16) -> Intake {
        let lanes = (0..lanes).map(|_| LaneEnd::default()).collect();
        let shared = Shared { queue, instance, lanes, runtime: Handle::current(), waiting: RwLock::default(), desks: AtomicUsize::new(0) };
        Intake { shared: Arc::new(shared) }
    }

    pub fn lanes(&self) -> u16 {
        self.shared.lanes.len() as u16
    }

    pub fn is_ready(&self) -> bool {
        self.shared.queue.is_ready()
    }

    /// Ballots that wait to become safe.
    pub fn waiting(&self) -> usize {
        let desks = self.shared.waiting.read().expect("never poisoned");
        desks.iter().map(|desk| desk.0.load(Ordering::Acquire)).sum()
    }

    /// A desk takes ballots on one thread. Each web worker has its own.
    pub fn desk(&self) -> Desk {
        Desk::new(self.clone())
    }

    fn new_desk(&self) -> Arc<Waiting> {
        let waiting = Arc::<Waiting>::default();
        let mut desks = self.shared.waiting.write().expect("never poisoned");
        desks.push(waiting.clone());
        self.shared.desks.store(desks.len(), Ordering::Relaxed);
        waiting
    }

    fn close_desk(&self, waiting: &Arc<Waiting>) {
        let mut desks = self.shared.waiting.write().expect("never poisoned");
        desks.retain(|desk| !Arc::ptr_eq(desk, waiting));
        self.shared.desks.store(desks.len(), Ordering::Relaxed);
    }

    fn desks(&self) -> usize {
        self.shared.desks.load(Ordering::Relaxed).max(1)
    }

    fn line(&self, lane: u16) -> &Line {
        &self.shared.lanes[usize::from(lane)].line
    }

    /// Tells every lane how far this process has got, and which numbers will never come.
    pub async fn beat(&self, ended: bool) {
        let beats = (0..self.lanes()).map(|lane| self.beat_lane(lane, ended));
        futures_util::future::join_all(beats).await;
    }

    async fn beat_lane(&self, lane: u16, ended: bool) {
        let beat = {
            let mut numbers = self.numbers(lane);
            numbers.beat_clock = now_ms().max(numbers.beat_clock);
            Beat { clock: numbers.beat_clock, last: numbers.last, void: std::mem::take(&mut numbers.void), ended }
        };
        let message = Arc::new(self.batch(lane, 0, beat.clock, Vec::new(), Some(beat.clone())));
        let publish = tokio::time::timeout(SAFE_WITHIN, self.shared.queue.publish(message));
        if !matches!(publish.await, Ok(Ok(_))) {
            // The next beat says it again; a clock needs no repeating, void numbers do.
            for (from, to) in beat.void {
                self.void(lane, from, to);
            }
        }
    }

    /// Numbers the batch, stamps it, and waits until it is safe.
    async fn send(&self, lane: u16, ballots: Vec<Ballot>) -> Result<Receipt, Error> {
        if !self.shared.queue.is_ready() {
            // Before a number is given: during an outage every phone tries again and again.
            metrics::counter!("groundswell_ballots_refused_total").increment(ballots.len() as u64);
            return Err(Error::Busy("no vote can be made safe at the moment"));
        }
        let (number, accepted_at) = {
            let mut numbers = self.numbers(lane);
            numbers.last += 1;
            // Later than the last beat, which spoke for everything up to its clock.
            (numbers.last, now_ms().max(numbers.beat_clock + 1))
        };
        let count = ballots.len();
        let batch = Arc::new(self.batch(lane, number, accepted_at, ballots, None));
        let started = std::time::Instant::now();
        let publish = tokio::time::timeout(SAFE_WITHIN, self.shared.queue.publish(batch));
        let outcome = publish.await.unwrap_or(Err(NotSafe::Unknown("nothing was heard of the batch")));
        metrics::histogram!("groundswell_batch_safe_seconds").record(started.elapsed().as_secs_f64());
        metrics::histogram!("groundswell_batch_ballots").record(count as f64);
        match outcome {
            Ok(safe) => {
                metrics::counter!("groundswell_ballots_accepted_total").increment(count as u64);
                Ok(Receipt { accepted_at, counted: safe == Safe::Counted })
            }
            Err(NotSafe::Refused(why)) => {
                self.void(lane, number, number);
                metrics::counter!("groundswell_ballots_refused_total").increment(count as u64);
                Err(Error::Busy(why))
            }
            Err(NotSafe::Unknown(why)) => {
                // If the batch did not arrive, this empty one fills its place; if it did, this one is skipped.
                self.void(lane, number, number);
                metrics::counter!("groundswell_ballots_unknown_total").increment(count as u64);
                Err(Error::Unknown(why))
            }
        }
    }

    fn batch(&self, lane: u16, number: u64, accepted_at: Millis, ballots: Vec<Ballot>, beat: Option<Beat>) -> Batch {
        Batch { instance: self.shared.instance, lane, number, accepted_at, ballots, beat }
    }

    fn void(&self, lane: u16, from: u64, to: u64) {
        let void = &mut self.numbers(lane).void;
        if let Some(last) = void.last_mut()
            && last.1 + 1 == from
        {
            // Refusals come in rows: they stay one range.
            last.1 = to;
        } else if void.len() < VOID_RANGES_MAX {
            void.push((from, to));
        }
    }

    fn numbers(&self, lane: u16) -> std::sync::MutexGuard<'_, Numbers> {
        self.shared.lanes[usize::from(lane)].numbers.lock().expect("nothing panics while holding the numbers")
    }
}

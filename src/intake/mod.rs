//! Micro-batches: ballots of one lane become one message, and each waiter is answered when its batch is safe: with the broker, or on
//! the local disk while the broker is away.
//!
//! HTTP is the only cost per vote; broker, disk and database see batches. A batch closes when an earlier one of its lane
//! has come back, so that an idle system adds almost no delay and a busy one forms large batches by itself. No rules of voting,
//! no database, no HTTP.

mod batcher;
mod circuit;
mod desk;
mod figures;
mod lane;
mod line;
mod replay;

pub use batcher::{Batcher, IN_LINE_MAX, LEARN_MS, Leaving, Part};
pub use circuit::Circuit;
pub use desk::{Desk, Listener};
pub use lane::{Lane, Ticket, worse};
pub use line::Receipt;
pub use replay::{Replay, Replayed, Turn};

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::now_ms;
use crate::domain::{Ballot, Batch, Beat, InstanceId, Millis, Sign};
use crate::error::Error;
use crate::queue::{Holding, NotSafe, Queue, Safe, Spill};
use crate::traces;
use figures::{Figures, LaneFigures, Refused};
use line::Line;

/// Ballots waiting in this process to become safe; about 150 bytes each. More are refused with 503.
pub const WAITING_MAX: usize = 100_000;
/// Ballots in one batch: 400 KB as a message, one statement in the database.
pub const BATCH_BALLOTS_MAX: usize = 4_096;
/// A batch that is not safe by then has an unknown fate; phones are told, and send the same again.
const SAFE_WITHIN: Duration = Duration::from_secs(8);
/// How often every lane hears how far this process has got.
pub const BEAT_EVERY: Duration = Duration::from_secs(1);
/// Probes of all lanes together are not closer than this.
const PROBE_PAUSE_MIN_MS: Millis = 20;
/// A clock that was set back must not put them off.
const PROBE_PAUSE_MAX_MS: Millis = 3_000;

/// How intake is, for people.
#[derive(Clone, Copy, Debug)]
pub struct Condition {
    /// Could a vote be made safe now?
    pub ready: bool,
    /// Ballots that wait to become safe.
    pub waiting: usize,
    pub lanes: u16,
    /// `None` with lanes in this process.
    pub broker: Option<BrokerCondition>,
}

/// How the broker is, and the disk behind it.
#[derive(Clone, Copy, Debug)]
pub struct BrokerCondition {
    /// Lanes whose votes go to the disk.
    pub open_lanes: usize,
    pub spilled_ballots: u64,
    /// When the oldest of them was accepted.
    pub oldest: Option<Millis>,
    /// Would another batch find room on the disk?
    pub writable: bool,
}

/// What all desks of a process share. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Queue,
    /// Where batches go while the broker does not take them; none where lanes are in this process.
    spill: Option<Spill>,
    /// What dead processes left and this one passes on.
    adopted: RwLock<Vec<Spill>>,
    instance: InstanceId,
    lanes: Vec<LaneEnd>,
    /// Where batches are carried, whichever thread their ballots came from.
    runtime: Handle,
    /// One per desk: who waits there.
    waiting: RwLock<Vec<Arc<Waiting>>>,
    desks: AtomicUsize,
    /// A circuit opened: somebody has to probe.
    opened: Notify,
    figures: Figures,
}

/// The near end of a lane.
struct LaneEnd {
    line: Line,
    /// Locked once per batch, and once a second for the beat.
    lane: Mutex<Lane>,
    figures: LaneFigures,
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

impl Intake {
    /// Batches are carried on the runtime this is called in.
    pub fn new(queue: Queue, instance: InstanceId, lanes: u16) -> Intake {
        Intake::with_spill(queue, None, instance, lanes, now_ms())
    }

    /// `born` is when the database was told of this instance.
    pub fn with_spill(queue: Queue, spill: Option<Spill>, instance: InstanceId, lanes: u16, born: Millis) -> Intake {
        let end = |lane| LaneEnd { line: Line::default(), lane: Mutex::new(Lane::born(born)), figures: LaneFigures::of(lane) };
        let lanes = (0..lanes).map(end).collect();
        let (waiting, desks, opened, figures) = (RwLock::default(), AtomicUsize::new(0), Notify::new(), Figures::new(spill.is_some()));
        let adopted = RwLock::default();
        Intake { shared: Arc::new(Shared { queue, spill, adopted, instance, lanes, runtime: Handle::current(), waiting, desks, opened, figures }) }
    }

    /// From now on it is passed on, and vouched for.
    pub fn adopt(&self, spill: Spill) {
        self.shared.adopted.write().expect("never poisoned").push(spill);
    }

    pub fn dismiss(&self, spill: &Spill) {
        self.shared.adopted.write().expect("never poisoned").retain(|one| !one.is_same(spill));
    }

    /// Its own, and those it has adopted.
    fn spills(&self) -> Vec<Spill> {
        let adopted = self.shared.adopted.read().expect("never poisoned");
        self.shared.spill.iter().chain(adopted.iter()).cloned().collect()
    }

    pub fn lanes(&self) -> u16 {
        self.shared.lanes.len() as u16
    }

    /// Is there anybody who could make a batch safe? Two loads; asked for every vote.
    pub fn is_ready(&self) -> bool {
        self.shared.queue.is_ready() || self.shared.spill.as_ref().is_some_and(Spill::is_writable)
    }

    pub fn condition(&self) -> Condition {
        let broker = self.shared.spill.as_ref().map(|spill| {
            let held: Vec<Holding> = self.spills().iter().map(Spill::holding).collect();
            BrokerCondition {
                open_lanes: self.open_lanes(),
                spilled_ballots: held.iter().map(|one| one.ballots).sum(),
                oldest: held.iter().filter_map(|one| one.oldest).min(),
                writable: spill.is_writable(),
            }
        });
        Condition { ready: self.could_make_safe(), waiting: self.waiting(), lanes: self.lanes(), broker }
    }

    /// Could a vote be made safe now, as far as the last ones tell? Looks at each lane: for probes and people, not for every vote.
    pub fn could_make_safe(&self) -> bool {
        let by_broker = self.shared.queue.is_ready() && self.open_lanes() < usize::from(self.lanes());
        by_broker || self.shared.spill.as_ref().is_some_and(Spill::is_writable)
    }

    fn open_lanes(&self) -> usize {
        (0..self.lanes()).filter(|lane| !self.lane(*lane).circuit().is_closed()).count()
    }

    /// Ballots that wait to become safe.
    pub fn waiting(&self) -> usize {
        let desks = self.shared.waiting.read().expect("never poisoned");
        desks.iter().map(|desk| desk.0.load(Ordering::Acquire)).sum()
    }

    /// May a ballot be on its way to the tally? First those who wait, then the queue: a ballot goes from here to there.
    pub fn may_hold_ballots(&self) -> bool {
        self.waiting() > 0 || self.shared.queue.may_hold_ballots()
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

    fn figures(&self, lane: u16) -> &LaneFigures {
        &self.shared.lanes[usize::from(lane)].figures
    }

    fn line(&self, lane: u16) -> &Line {
        &self.shared.lanes[usize::from(lane)].line
    }

    /// Tells every lane how far this process has got, and which numbers will never come. What comes back is for the database, directly: beats
    /// that nobody may have heard (they name no void numbers; the next ones do); and, whatever is heard, a word for each lane of a process
    /// that died and whose batches lie here.
    pub async fn beat(&self) -> Vec<(InstanceId, u16, Sign)> {
        let lanes = (0..self.lanes()).map(|lane| self.beat_lane(lane, false));
        let unheard = futures_util::future::join_all(lanes).await.into_iter().filter_map(Result::err);
        let mut signs: Vec<(InstanceId, u16, Sign)> = unheard.map(|(lane, beat)| (self.shared.instance, lane, Sign::Beat(beat))).collect();
        self.show();
        for spill in self.spills() {
            signs.extend(Replay::signs_for_the_dead(self.shared.instance, &spill.holding(), now_ms()));
        }
        signs
    }

    /// The last beat. Only said when nothing of this process lies in the spill; else whoever passes that on says it.
    pub async fn end(&self) {
        if let Some(spill) = &self.shared.spill
            && spill.holding().by_instance.get(&self.shared.instance).is_some_and(|held| *held > 0)
        {
            tracing::warn!(ballots = spill.holding().ballots, "votes stay in the spill; another process on this DATA_DIR passes them on");
            return;
        }
        let lanes = (0..self.lanes()).map(|lane| self.beat_lane(lane, true));
        let all_heard = futures_util::future::join_all(lanes).await.iter().all(Result::is_ok);
        if let (true, Some(spill)) = (all_heard, &self.shared.spill) {
            let _ = spill.strike(self.shared.instance).await;
        }
    }

    async fn beat_lane(&self, lane: u16, ended: bool) -> Result<(), (u16, Beat)> {
        let (beat, is_closed) = {
            let mut end = self.lane(lane);
            (end.beat(now_ms(), ended), end.circuit().is_closed())
        };
        // An open circuit is probed at a pace of its own.
        if is_closed {
            if self.publish_beat(lane, &beat).await.is_ok() {
                return Ok(());
            }
            self.open(lane);
        }
        self.lane(lane).beat_lost(&beat);
        Err((lane, Beat { void: Vec::new(), ended: false, ..beat }))
    }

    async fn publish_beat(&self, lane: u16, beat: &Beat) -> Result<(), ()> {
        let message = Arc::new(self.batch(lane, 0, beat.clock, Vec::new(), Some(beat.clone())));
        let publish = tokio::time::timeout(SAFE_WITHIN, self.shared.queue.publish(message));
        if matches!(publish.await, Ok(Ok(_))) { Ok(()) } else { Err(()) }
    }

    /// Probes the lanes whose circuit is open, until told to stop. A probe is a beat that comes early.
    pub async fn probe_until(&self, stop: CancellationToken) {
        if self.shared.spill.is_none() {
            return;
        }
        loop {
            let due = (0..self.lanes()).filter_map(|lane| self.lane(lane).circuit().probe_at()).min();
            let wait = async {
                match due {
                    // Not more often than this, whatever the lanes say.
                    Some(at) => {
                        tokio::time::sleep(Duration::from_millis(at.saturating_sub(now_ms()).clamp(PROBE_PAUSE_MIN_MS, PROBE_PAUSE_MAX_MS) as u64)).await
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = wait => {}
                // Another one is due sooner, perhaps.
                () = self.shared.opened.notified() => continue,
            }
            let now = now_ms();
            let due: Vec<u16> = (0..self.lanes()).filter(|lane| self.lane(*lane).circuit().take_probe(now)).collect();
            tokio::select! {
                () = stop.cancelled() => return,
                _ = futures_util::future::join_all(due.into_iter().map(|lane| self.probe(lane))) => {}
            }
        }
    }

    async fn probe(&self, lane: u16) {
        let beat = self.lane(lane).beat(now_ms(), false);
        let heard = self.publish_beat(lane, &beat).await.is_ok();
        let mut end = self.lane(lane);
        if !heard {
            end.beat_lost(&beat);
        }
        if end.circuit().probed(heard, now_ms(), fastrand::f64()) {
            drop(end);
            tracing::info!(lane, "the broker takes votes again");
        }
    }

    /// A number and a time for a batch of so many ballots.
    fn begin(&self, lane: u16, count: usize) -> Result<Ticket, Error> {
        if !self.is_ready() {
            // Before a number is given: during an outage every phone tries again and again.
            self.shared.figures.refuse(Refused::NotReady, count);
            return Err(Error::Busy("no vote can be made safe at the moment"));
        }
        Ok(self.lane(lane).begin(now_ms(), self.shared.spill.is_some()))
    }

    /// Waits until the batch is safe.
    async fn send(&self, lane: u16, ticket: Ticket, ballots: Vec<Ballot>) -> Result<Receipt, Error> {
        let Ticket { number, accepted_at, to_spill } = ticket;
        let count = ballots.len();
        let batch = Arc::new(self.batch(lane, number, accepted_at, ballots, None));
        let mut work = traces::work("batch publish", || {
            [("groundswell.lane", lane.into()), ("groundswell.ballots", count as i64), ("groundswell.to_spill", to_spill.into())]
        });
        let started = std::time::Instant::now();
        let safe = tokio::time::timeout(SAFE_WITHIN, self.make_safe(batch, to_spill));
        let outcome = safe.await.unwrap_or(Err(NotSafe::Unknown("nothing was heard of the batch")));
        self.figures(lane).safe.record(started.elapsed().as_secs_f64());
        self.shared.figures.batch.record(count as f64);
        match outcome {
            Ok(safe) => {
                self.figures(lane).accepted.increment(count as u64);
                Ok(Receipt { accepted_at, counted: safe == Safe::Counted })
            }
            Err(NotSafe::Refused(why)) => {
                self.lane(lane).give_up(number);
                work.failed("refused");
                self.shared.figures.refuse(Refused::Queue, count);
                Err(Error::Busy(why))
            }
            Err(NotSafe::Unknown(why)) => {
                self.lane(lane).give_up(number);
                work.failed("unknown");
                self.figures(lane).unknown.increment(count as u64);
                Err(Error::Unknown(why))
            }
        }
    }

    /// The broker first, the disk behind it. A batch whose fate at the broker is unknown goes to the disk under the same number: should
    /// it be in both places, one of them is skipped.
    async fn make_safe(&self, batch: Arc<Batch>, to_spill: bool) -> Result<Safe, NotSafe> {
        let lane = batch.lane;
        let of_broker = if to_spill {
            NotSafe::Refused("the broker is away")
        } else {
            match self.shared.queue.publish(batch.clone()).await {
                Ok(safe) => return Ok(safe),
                Err(why) => why,
            }
        };
        let Some(spill) = &self.shared.spill else { return Err(of_broker) };
        if !to_spill {
            self.open(lane);
            #[cfg(feature = "planted")]
            if crate::planted::is(crate::planted::Planted::SilenceIsRefusal) {
                return Err(NotSafe::Refused("the broker is silent"));
            }
        }
        match spill.keep(batch).await {
            Ok(_) => Ok(Safe::Queued),
            Err(of_spill) => Err(worse(of_broker, of_spill)),
        }
    }

    /// Something did not get through on this lane.
    fn open(&self, lane: u16) {
        if self.shared.spill.is_none() {
            return;
        }
        if self.lane(lane).circuit().fail(now_ms(), fastrand::f64()) {
            tracing::warn!(lane, "the broker does not take votes; they are kept on the local disk");
            self.shared.opened.notify_one();
        }
    }

    fn show(&self) {
        self.shared.figures.waiting.set(self.waiting() as f64);
        let Some(spill) = &self.shared.spill else { return };
        metrics::gauge!("groundswell_circuit_open_lanes").set(self.open_lanes() as f64);
        let adopted: Vec<Holding> = self.shared.adopted.read().expect("never poisoned").iter().map(Spill::holding).collect();
        metrics::gauge!("groundswell_spill_adopted_ballots").set(adopted.iter().map(|held| held.ballots).sum::<u64>() as f64);
        let oldest = adopted.iter().filter_map(|held| held.oldest).chain(spill.holding().oldest).min();
        let age_ms = oldest.map_or(0, |oldest| (now_ms() - oldest).max(0));
        metrics::gauge!("groundswell_spill_oldest_seconds").set(age_ms as f64 / 1_000.0);
    }

    fn batch(&self, lane: u16, number: u64, accepted_at: Millis, ballots: Vec<Ballot>, beat: Option<Beat>) -> Batch {
        Batch { instance: self.shared.instance, lane, number, accepted_at, ballots, beat }
    }

    fn lane(&self, lane: u16) -> std::sync::MutexGuard<'_, Lane> {
        self.shared.lanes[usize::from(lane)].lane.lock().expect("nothing panics while holding a lane")
    }
}

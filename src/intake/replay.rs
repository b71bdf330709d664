//! From the spill back to the broker: oldest first, at a pace that leaves the broker to the living, and each batch under the number
//! and the name it was accepted with, also when it was another process that accepted it. What to do next is decided by `Replay`, a state
//! machine without IO that a seeded simulator drives, too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{Intake, SAFE_WITHIN};
use crate::clock::now_ms;
use crate::domain::{Batch, Beat, InstanceId, Millis, Sign};
use crate::queue::{Holding, Spill};
use crate::traces;

/// Nobody waits for what is replayed; a broker that has just come back may need a while for its first confirms.
const PATIENCE: Duration = Duration::from_secs(8);
/// Batches published at once and then waited for: few at first, more for as long as the broker answers at once.
const CHUNK_FIRST: usize = 8;
const CHUNK_MAX: usize = 256;
/// To one that is far away: votes stand behind these, and what is not confirmed in time comes again out of its turn.
const CHUNK_SLOW_MAX: usize = 16;
const AT_ONCE: Duration = Duration::from_millis(100);
/// Slower than this, and votes behind the chunk would feel it.
const SLOW: Duration = Duration::from_millis(300);
/// At most so many a second, however fast the broker is.
const BATCHES_PER_S_MAX: u32 = 4_000;
/// A look into an empty spill, or at circuits that are open.
const IDLE: Duration = Duration::from_millis(250);

/// How much of the broker replay may have: at most half of its time, and less where more makes it slower. A broker that is far away answers
/// late whatever it is sent; to send it little would only take for ever.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    chunk: usize,
    /// The last slow chunk, and how long it took.
    slow: Option<(usize, Duration)>,
}

impl Pace {
    pub fn new() -> Pace {
        Pace { chunk: CHUNK_FIRST, slow: None }
    }

    /// How many batches to publish now.
    pub fn chunk(&self) -> usize {
        self.chunk
    }

    /// What came of a chunk; how long to leave the broker to the living now.
    pub fn after(&mut self, batches: usize, took: Duration, all_confirmed: bool) -> Duration {
        if !all_confirmed || (took > SLOW && self.is_size_to_blame(batches, took)) {
            self.chunk = (self.chunk / 2).max(1);
        } else if batches == self.chunk && (took < AT_ONCE || took > SLOW) {
            self.chunk = (self.chunk * 2).min(if took > SLOW { CHUNK_SLOW_MAX } else { CHUNK_MAX });
        }
        self.slow = (all_confirmed && took > SLOW).then_some((batches, took));
        took.max(Duration::from_secs(1) * batches as u32 / BATCHES_PER_S_MAX)
    }
}

impl Pace {
    /// Told by the last slow chunk, where that had another size: did the larger of the two take longer? The first one tells nothing and is
    /// blamed; and one batch alone can only be compared with more.
    fn is_size_to_blame(&self, batches: usize, took: Duration) -> bool {
        let longer = |large: Duration, small: Duration| large > small * 3 / 2;
        match self.slow {
            Some((before, then)) if before < batches => longer(took, then),
            Some((before, then)) if before > batches => longer(then, took),
            _ => batches > 1,
        }
    }
}

impl Default for Pace {
    fn default() -> Pace {
        Pace::new()
    }
}

/// What to do with one spill now.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Turn {
    /// Processes that worked in this directory before, and of which nothing is left here: their books are to be closed.
    pub finished: Vec<InstanceId>,
    /// So many batches are to be published, the oldest first.
    pub batches_max: usize,
    /// But not of these lanes: the broker does not take their batches.
    pub without: Vec<u16>,
}

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replayed<H> {
    /// They may leave the spill. The others come again.
    pub confirmed: Vec<H>,
    /// Until the next turn.
    pub pause: Duration,
}

/// Of one process, for its own spill and those it has adopted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replay {
    own: InstanceId,
    pace: Pace,
}

impl Replay {
    pub fn new(own: InstanceId) -> Replay {
        Replay { own, pace: Pace::new() }
    }

    /// `open` are the lanes of `lanes` whose circuit is open. `None` when the broker takes nothing, or nothing is to be done.
    pub fn turn(&self, lanes: u16, open: Vec<u16>, holding: &Holding) -> Option<Turn> {
        if open.len() == usize::from(lanes) {
            return None;
        }
        let is_finished = |(id, held): (&InstanceId, &u64)| (*id != self.own && *held == 0).then_some(*id);
        // Only where every lane will hear of it.
        let mut finished: Vec<InstanceId> = if open.is_empty() { holding.by_instance.iter().filter_map(is_finished).collect() } else { Vec::new() };
        // A seed of the simulator is to run the same way twice.
        finished.sort_unstable();
        let batches_max = if holding.batches > 0 { self.pace.chunk() } else { 0 };
        (batches_max > 0 || !finished.is_empty()).then_some(Turn { finished, batches_max, without: open })
    }

    /// Of those that were published, who was confirmed.
    pub fn after<H>(&mut self, outcomes: Vec<(H, bool)>, took: Duration) -> Replayed<H> {
        let pause = self.pace.after(outcomes.len(), took, outcomes.iter().all(|(_, confirmed)| *confirmed));
        Replayed { confirmed: outcomes.into_iter().filter_map(|(held, confirmed)| confirmed.then_some(held)).collect(), pause }
    }

    /// Who died gives no sign; while batches of it are here, it is not silent, and nothing is counted past them.
    pub fn signs_for_the_dead(own: InstanceId, holding: &Holding, at: Millis) -> Vec<(InstanceId, u16, Sign)> {
        let of_dead = holding.by_lane.iter().filter(|((id, _), _)| *id != own);
        of_dead.map(|((instance, lane), held)| (*instance, *lane, Sign::Vouch { at, highest: held.highest })).collect()
    }

    /// What closes the books of a process that died, down one of its lanes.
    pub fn last_word(of: InstanceId, lane: u16, clock: Millis) -> Batch {
        let beat = Beat { clock, last: 0, void: Vec::new(), ended: true, abandoned: true };
        Batch { instance: of, lane, number: 0, accepted_at: clock, ballots: Vec::new(), beat: Some(beat) }
    }
}

impl Intake {
    /// Replays for as long as the process runs: its own spill and those it has adopted, a chunk of each in turn.
    pub async fn replay_until(&self, stop: CancellationToken) {
        if self.shared.spill.is_none() {
            return;
        }
        let mut replay = Replay::new(self.shared.instance);
        loop {
            let mut rest = IDLE;
            for spill in self.spills() {
                let pause = tokio::select! {
                    () = stop.cancelled() => return,
                    pause = self.replay(&spill, &mut replay) => pause,
                };
                let Some(pause) = pause else { continue };
                rest = Duration::ZERO;
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(rest) => {}
            }
        }
    }

    /// One chunk; `None` when nothing could be replayed. Given up half-way, it is replayed again: what the broker has twice is skipped once.
    async fn replay(&self, spill: &Spill, replay: &mut Replay) -> Option<Duration> {
        if !self.shared.queue.is_ready() {
            return None;
        }
        let open = (0..self.lanes()).filter(|lane| !self.lane(*lane).circuit().is_closed()).collect();
        let turn = replay.turn(self.lanes(), open, &spill.holding())?;
        for finished in turn.finished {
            self.close_books(spill, finished).await;
        }
        if turn.batches_max == 0 {
            return None;
        }
        let chunk = spill.oldest(turn.without, turn.batches_max).await.ok()?;
        let mut work = traces::work("spill replay", || [("groundswell.batches", chunk.len() as i64)]);
        let started = Instant::now();
        let publishes = chunk.into_iter().map(async |held| {
            let confirmed = self.shared.queue.publish_message(held.lane, &held.body, PATIENCE).await.is_ok();
            if !confirmed {
                self.open(held.lane);
            }
            #[cfg(feature = "planted")]
            let confirmed = confirmed || crate::planted::is(crate::planted::Planted::ReleaseUnconfirmed);
            (held, confirmed)
        });
        let outcomes = futures_util::future::join_all(publishes).await;
        let Replayed { confirmed, pause } = replay.after(outcomes, started.elapsed());
        if confirmed.is_empty() {
            work.failed("nothing_confirmed");
            return None;
        }
        let ballots: u64 = confirmed.iter().map(|held| held.ballots).sum();
        work.note("groundswell.ballots", ballots as i64);
        // A disk too full to strike them off: until it is not, they would only be sent again and again.
        let confirmed = Arc::new(confirmed);
        while spill.release(confirmed.clone()).await.is_err() {
            if spill.has_failed() {
                return None;
            }
            tokio::time::sleep(IDLE).await;
        }
        metrics::counter!("groundswell_spill_ballots_replayed_total").increment(ballots);
        Some(pause)
    }

    /// Says down every lane that nothing of that process will come any more.
    async fn close_books(&self, spill: &Spill, of: InstanceId) {
        let lanes = (0..self.lanes()).map(async |lane| {
            let message = Replay::last_word(of, lane, now_ms());
            let publish = tokio::time::timeout(SAFE_WITHIN, self.shared.queue.publish(Arc::new(message)));
            matches!(publish.await, Ok(Ok(_)))
        });
        if futures_util::future::join_all(lanes).await.into_iter().all(|heard| heard) && spill.strike(of).await.is_ok() {
            tracing::info!(instance = %of.0, "the books of an earlier process are closed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replay_leaves_the_broker_at_least_half_of_its_time() {
        let mut pace = Pace::new();
        assert_eq!(pace.after(8, Duration::from_millis(400), true), Duration::from_millis(400));
        // And a fast broker is not flooded.
        assert_eq!(pace.after(400, Duration::from_millis(1), true), Duration::from_millis(100));
    }

    #[test]
    fn replay_grows_while_the_broker_is_quick_and_shrinks_when_it_is_not() {
        let mut pace = Pace::new();
        for _ in 0..20 {
            pace.after(pace.chunk(), Duration::from_millis(5), true);
        }
        assert_eq!(pace.chunk(), CHUNK_MAX);
        pace.after(CHUNK_MAX, Duration::from_millis(5), false);
        assert_eq!(pace.chunk(), CHUNK_MAX / 2);
        pace.after(pace.chunk(), Duration::from_secs(1), true);
        assert_eq!(pace.chunk(), CHUNK_MAX / 4, "the first slow one is blamed");
    }

    /// Batches a second that replay comes to, once it has found its pace, with a broker that takes this long for so many.
    fn rate_with(took: impl Fn(usize) -> Duration) -> f64 {
        let (mut pace, mut batches, mut time) = (Pace::new(), 0, Duration::ZERO);
        for round in 0..60 {
            let (chunk, took) = (pace.chunk(), took(pace.chunk()));
            let pause = pace.after(chunk, took, true);
            if round >= 20 {
                (batches, time) = (batches + chunk, time + took + pause);
            }
        }
        batches as f64 / time.as_secs_f64()
    }

    #[test]
    fn a_broker_that_is_far_away_is_sent_more_and_one_that_chokes_less() {
        let far = rate_with(|_| Duration::from_millis(400));
        assert!(far > 12.0, "{far} batches a second, a spill of an hour would take days");
        // Half a second for each batch: more at a time only makes the votes behind them wait.
        let mut pace = Pace::new();
        let largest = (0..60).map(|_| (pace.after(pace.chunk(), Duration::from_millis(500) * pace.chunk() as u32, true), pace.chunk()).1).skip(10).max();
        assert!(largest <= Some(2), "{largest:?} at a time");
    }
}

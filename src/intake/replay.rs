//! From the spill back to the broker: oldest first, at a pace that leaves the broker to the living, and each batch under the number
//! and the name it was accepted with, also when it was another process that accepted it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{Intake, SAFE_WITHIN};
use crate::clock::now_ms;
use crate::domain::{Batch, Beat, InstanceId};
use crate::queue::{Held, LaneHolding, Spill};
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

impl Intake {
    /// Replays for as long as the process runs: its own spill and those it has adopted, a chunk of each in turn.
    pub async fn replay_until(&self, stop: CancellationToken) {
        if self.shared.spill.is_none() {
            return;
        }
        let mut pace = Pace::new();
        loop {
            let mut rest = IDLE;
            for spill in self.spills() {
                let pause = tokio::select! {
                    () = stop.cancelled() => return,
                    pause = self.replay(&spill, &mut pace) => pause,
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
    async fn replay(&self, spill: &Spill, pace: &mut Pace) -> Option<Duration> {
        let open: Vec<u16> = (0..self.lanes()).filter(|lane| !self.lane(*lane).circuit().is_closed()).collect();
        if open.len() == usize::from(self.lanes()) || !self.shared.queue.is_ready() {
            return None;
        }
        if open.is_empty() {
            self.close_books(spill).await;
        }
        if !spill.holds_anything() {
            return None;
        }
        let chunk = spill.oldest(open, pace.chunk()).await.ok()?;
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
        let pause = pace.after(outcomes.len(), started.elapsed(), outcomes.iter().all(|(_, confirmed)| *confirmed));
        let confirmed: Vec<Held> = outcomes.into_iter().filter(|(_, confirmed)| *confirmed).map(|(held, _)| held).collect();
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

    /// Who died here gives no sign; while batches of it are here, it is not silent, and nothing is counted past them.
    pub(super) fn signs_of_orphans(&self, spill: &Spill) -> Vec<Batch> {
        let clock = now_ms();
        let of_orphans = spill.holding().by_lane.into_iter().filter(|((id, _), _)| *id != self.shared.instance);
        let sign = |((instance, lane), held): ((InstanceId, u16), LaneHolding)| {
            let beat = Beat { clock, last: held.highest, void: Vec::new(), ended: false, abandoned: false };
            Batch { instance, lane, number: 0, accepted_at: clock, ballots: Vec::new(), beat: Some(beat) }
        };
        of_orphans.map(sign).collect()
    }

    /// Of each process that worked in this directory before and of which nothing is left here: says so down every lane.
    async fn close_books(&self, spill: &Spill) {
        let orphans: Vec<InstanceId> =
            spill.holding().by_instance.into_iter().filter(|(id, held)| *id != self.shared.instance && *held == 0).map(|(id, _)| id).collect();
        for orphan in orphans {
            let lanes = (0..self.lanes()).map(async |lane| {
                let clock = now_ms();
                let beat = Beat { clock, last: 0, void: Vec::new(), ended: true, abandoned: true };
                let message = Batch { instance: orphan, lane, number: 0, accepted_at: clock, ballots: Vec::new(), beat: Some(beat) };
                let publish = tokio::time::timeout(SAFE_WITHIN, self.shared.queue.publish(Arc::new(message)));
                matches!(publish.await, Ok(Ok(_)))
            });
            if futures_util::future::join_all(lanes).await.into_iter().all(|heard| heard) && spill.strike(orphan).await.is_ok() {
                tracing::info!(instance = %orphan.0, "the books of an earlier process are closed");
            }
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

//! Counting: takes batches off its lanes, writes them in one transaction, and acknowledges after the commit. No HTTP, no
//! documents. The rules of what counts are the store's upsert and `domain`.

mod recover;

pub use recover::recover;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::now_ms;
use crate::domain::counting::Applied;
use crate::domain::{Batch, Books, Millis};
use crate::error::{Error, Result};
use crate::queue::{Consumer, Content, Delivery, KeptBy, Taken};
use crate::store::Store;
use crate::traces;

/// Ballots in one transaction: a backlog is written in large statements, a trickle at once.
const BALLOTS_PER_COMMIT_MAX: usize = 20_000;
/// After a small commit on durable lanes, the next one begins no sooner than this after it began: ballots gather meanwhile, and a commit costs the
/// same for eight as for eighty. What comes after a pause is counted at once; screens are redrawn less often than this.
const GATHER: Duration = Duration::from_millis(20);
/// A commit of so many is large enough: a backlog does not wait.
const GATHERED: usize = 2_000;
/// As `GATHER`, for SQLite, and as often as screens are redrawn: it writes every page a commit has touched whole, and a crowd's ballots lie on pages of
/// their own until many come together. The journal, for which votes wait, is on the same disk.
const GATHER_ON_DISK: Duration = Duration::from_millis(100);
/// A commit that fails after this long may have been too much for this database: the next try takes half.
const TOO_MUCH_AFTER: Duration = Duration::from_secs(10);
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// One worker and its lanes.
pub struct Worker {
    store: Store,
    consumer: Consumer,
    /// Its first lane: names the tally rows that it alone writes.
    home: u16,
}

/// What one step did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Step {
    pub applied: Applied,
    pub quarantined: u64,
}

impl Worker {
    pub fn new(store: Store, consumer: Consumer, home: u16) -> Worker {
        Worker { store, consumer, home }
    }

    /// Counts until told to stop or the queue is closed and empty. What is in hand when the stop comes is finished. An error is a disk
    /// that failed: whoever runs this must end the process.
    pub async fn run(mut self, stop: CancellationToken, applied: impl Fn()) -> Result<()> {
        let waiting = metrics::gauge!("groundswell_tally_waiting_batches", "worker" => self.home.to_string());
        let lag = metrics::gauge!("groundswell_tally_lag_seconds", "worker" => self.home.to_string());
        // Known from the start, not only when it has happened.
        record(&Applied::default());
        metrics::counter!("groundswell_tally_retries_total").increment(0);
        metrics::counter!("groundswell_quarantined_total").increment(0);
        waiting.set(0.0);
        lag.set(0.0);
        let mut gathered = Instant::now();
        loop {
            let taken = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                taken = async {
                    tokio::time::sleep_until(gathered).await;
                    self.consumer.take(BALLOTS_PER_COMMIT_MAX).await
                } => taken,
            };
            let Some(taken) = taken else { break };
            let begun = Instant::now();
            let ballots: usize = taken.deliveries().iter().map(Delivery::ballots).sum();
            waiting.set((self.consumer.waiting() + taken.deliveries().len() as u64) as f64);
            lag.set(oldest(&taken).map_or(0.0, |at| (now_ms() - at).max(0) as f64 / 1_000.0));
            if !self.finish(taken, &stop).await? {
                break;
            }
            waiting.set(self.consumer.waiting() as f64);
            metrics::histogram!("groundswell_tally_commit_seconds").record(begun.elapsed().as_secs_f64());
            metrics::histogram!("groundswell_tally_commit_ballots").record(ballots as f64);
            // Where lanes are not durable, somebody waits for each commit.
            gathered = match self.consumer.kept_by() {
                KeptBy::Broker if ballots < GATHERED => begun + GATHER,
                KeptBy::Journal if ballots < BALLOTS_PER_COMMIT_MAX => begun + GATHER_ON_DISK,
                _ => begun,
            };
            applied();
        }
        self.consumer.close().await;
        Ok(())
    }

    /// Waits for deliveries and counts them. `None` once the queue is closed and empty.
    pub async fn step(&mut self) -> Result<Option<Step>> {
        let Some(taken) = self.consumer.take(BALLOTS_PER_COMMIT_MAX).await else { return Ok(None) };
        let step = self.count(taken.deliveries()).await?;
        taken.ack().await;
        Ok(Some(step))
    }

    /// Tries the same deliveries until they are committed: the database may be away for as long as it likes.
    /// False when stopped before that; they will be delivered again.
    async fn finish(&self, taken: Taken, stop: &CancellationToken) -> Result<bool> {
        #[cfg(feature = "planted")]
        let taken = taken.acked_if_planted().await;
        let mut pause = RETRY_FIRST;
        let mut rest = taken.deliveries();
        let mut at_once = rest.len();
        while !rest.is_empty() {
            let (part, after) = rest.split_at(at_once.min(rest.len()));
            let begun = Instant::now();
            let mut work = traces::work("batch commit", || {
                let ballots: usize = part.iter().map(Delivery::ballots).sum();
                [("groundswell.batches", part.len() as i64), ("groundswell.ballots", ballots as i64), ("groundswell.worker", self.home.into())]
            });
            let counted = self.count(part).await;
            if let Err(failed) = &counted {
                work.failed(if matches!(failed, Error::Disk(_)) { "disk" } else { "not_committed" });
            }
            // It ends here, not with the pause before the next attempt.
            drop(work);
            match counted {
                Ok(step) => {
                    self.consumer.set_stuck(false);
                    record(&step.applied);
                    pause = RETRY_FIRST;
                    rest = after;
                    continue;
                }
                // To try again would be to believe a file of which nobody knows what is on the disk.
                Err(failed @ Error::Disk(_)) => {
                    self.consumer.set_stuck(true);
                    return Err(failed);
                }
                Err(error) => {
                    self.consumer.set_stuck(true);
                    metrics::counter!("groundswell_tally_retries_total").increment(1);
                    tracing::warn!(%error, "a batch could not be counted yet; trying again");
                }
            }
            if begun.elapsed() > TOO_MUCH_AFTER {
                at_once = (part.len() / 2).max(1);
            }
            tokio::select! {
                () = tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())) => {}
                () = stop.cancelled() => return Ok(false),
            }
            pause = (pause * 2).min(RETRY_MAX);
        }
        taken.ack().await;
        Ok(true)
    }

    async fn count(&self, deliveries: &[Delivery]) -> Result<Step> {
        count(&self.store, self.home, deliveries).await
    }
}

async fn count(store: &Store, home: u16, deliveries: &[Delivery]) -> Result<Step> {
    let now = now_ms();
    let mut batches: Vec<Arc<Batch>> = Vec::with_capacity(deliveries.len());
    let mut quarantined = 0;
    for delivery in deliveries {
        match &delivery.content {
            Content::Batch(batch) => batches.push(batch.clone()),
            Content::Poison { reason, body } => {
                tracing::error!(lane = delivery.lane, reason, "a message cannot be read; it goes to quarantine");
                store.quarantine(delivery.lane, reason, body, now).await?;
                metrics::counter!("groundswell_quarantined_total").increment(1);
                quarantined += 1;
            }
        }
    }
    let applied = if batches.is_empty() { Applied::default() } else { store.apply(home, &batches, now).await? };
    Ok(Step { applied, quarantined })
}

/// When the oldest of it was accepted.
fn oldest(taken: &Taken) -> Option<Millis> {
    let accepted = taken.deliveries().iter().filter_map(|delivery| match &delivery.content {
        Content::Batch(batch) => Some(batch.accepted_at),
        Content::Poison { .. } => None,
    });
    accepted.min()
}

fn record(applied: &Applied) {
    let Books { received, counted, superseded, duplicate, late, .. } = applied.total();
    for (fate, count) in [("received", received), ("counted", counted), ("superseded", superseded), ("duplicate", duplicate), ("late", late)] {
        metrics::counter!("groundswell_ballots_tallied_total", "fate" => fate).increment(count as u64);
    }
    metrics::counter!("groundswell_batches_applied_total").increment(applied.batches);
    metrics::counter!("groundswell_batches_redelivered_total").increment(applied.redelivered);
}

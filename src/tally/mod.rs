//! Counting: takes batches off its lanes, writes them in one transaction, and acknowledges after the commit. No HTTP, no
//! documents. The rules of what counts are the store's upsert and `domain`.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::now_ms;
use crate::domain::{Batch, Books};
use crate::error::Result;
use crate::queue::{Consumer, Content, Taken};
use crate::store::{Applied, Store};

/// Ballots in one transaction: a backlog is written in large statements, a trickle at once.
const BALLOTS_PER_COMMIT_MAX: usize = 20_000;
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

    /// Counts until told to stop or the queue is closed and empty. What is in hand when the stop comes is finished.
    pub async fn run(mut self, stop: CancellationToken, applied: impl Fn()) {
        loop {
            let taken = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                taken = self.consumer.take(BALLOTS_PER_COMMIT_MAX) => taken,
            };
            let Some(taken) = taken else { break };
            if !self.finish(taken, &stop).await {
                break;
            }
            applied();
        }
        self.consumer.close().await;
    }

    /// Waits for deliveries and counts them. `None` once the queue is closed and empty.
    pub async fn step(&mut self) -> Result<Option<Step>> {
        let Some(taken) = self.consumer.take(BALLOTS_PER_COMMIT_MAX).await else { return Ok(None) };
        let step = self.count(&taken).await?;
        taken.ack().await;
        Ok(Some(step))
    }

    /// Tries the same deliveries until they are committed: the database may be away for as long as it likes.
    /// False when stopped before that; they will be delivered again.
    async fn finish(&self, taken: Taken, stop: &CancellationToken) -> bool {
        let mut pause = RETRY_FIRST;
        loop {
            match self.count(&taken).await {
                Ok(step) => {
                    self.consumer.set_stuck(false);
                    record(&step.applied);
                    taken.ack().await;
                    return true;
                }
                Err(error) => {
                    self.consumer.set_stuck(true);
                    metrics::counter!("groundswell_tally_retries_total").increment(1);
                    tracing::warn!(%error, "a batch could not be counted yet; trying again");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())) => {}
                () = stop.cancelled() => return false,
            }
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    async fn count(&self, taken: &Taken) -> Result<Step> {
        let now = now_ms();
        let mut batches: Vec<Arc<Batch>> = Vec::with_capacity(taken.deliveries().len());
        let mut quarantined = 0;
        for delivery in taken.deliveries() {
            match &delivery.content {
                Content::Batch(batch) => batches.push(batch.clone()),
                Content::Poison { reason, body } => {
                    tracing::error!(lane = delivery.lane, reason, "a message cannot be read; it goes to quarantine");
                    self.store.quarantine(delivery.lane, reason, body, now).await?;
                    metrics::counter!("groundswell_quarantined_total").increment(1);
                    quarantined += 1;
                }
            }
        }
        let applied = if batches.is_empty() { Applied::default() } else { self.store.apply(self.home, &batches, now).await? };
        Ok(Step { applied, quarantined })
    }
}

fn record(applied: &Applied) {
    let Books { received, counted, superseded, duplicate, late, .. } = applied.total();
    for (fate, count) in [("received", received), ("counted", counted), ("superseded", superseded), ("duplicate", duplicate), ("late", late)] {
        metrics::counter!("groundswell_ballots_tallied_total", "fate" => fate).increment(count as u64);
    }
    metrics::counter!("groundswell_batches_applied_total").increment(applied.batches);
    metrics::counter!("groundswell_batches_redelivered_total").increment(applied.redelivered);
}

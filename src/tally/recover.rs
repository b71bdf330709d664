//! What a process that died had accepted and not counted: it lies in the journal, and is counted before anything new is accepted. No worker runs
//! yet, so this one may write any row.

use std::sync::Arc;

use super::{count, record};
use crate::domain::InstanceId;
use crate::error::{Error, Result};
use crate::queue::{Held, NotSafe, Spill};
use crate::store::Store;

/// Batches in one commit. What was counted before the process died is skipped by its number.
const BATCHES_PER_COMMIT: usize = 256;
/// The worker in whose name it is counted.
const HOME: u16 = 0;

/// Counts what the journal holds and empties it. Returns how many ballots lay there.
pub async fn recover(store: &Store, journal: &Spill, this: InstanceId) -> Result<u64> {
    let mut ballots = 0;
    loop {
        let held = journal.oldest(Vec::new(), BATCHES_PER_COMMIT).await.map_err(of_journal)?;
        if held.is_empty() {
            break;
        }
        ballots += held.iter().map(|one| one.ballots).sum::<u64>();
        let deliveries: Vec<_> = held.iter().cloned().map(Held::into_delivery).collect();
        record(&count(store, HOME, &deliveries).await?.applied);
        journal.release(Arc::new(held)).await.map_err(of_journal)?;
    }
    for other in journal.others(this) {
        journal.strike(other).await.map_err(of_journal)?;
    }
    Ok(ballots)
}

fn of_journal(why: NotSafe) -> Error {
    let (NotSafe::Refused(why) | NotSafe::Unknown(why)) = why;
    Error::Busy(why)
}

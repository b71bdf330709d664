//! What the process knows of the whole: asked of the database once a second by one task, whoever looks at `/status`, and shown in the metrics.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::site::Shared;
use crate::clock::now_ms;
use crate::store::Standing;

const ASK_EVERY: Duration = Duration::from_secs(1);
/// The books of all polls are a few rows each, and there may be many polls.
const BOOKS_EVERY_ASKS: u64 = 10;

/// The last that was heard. Empty until the database has answered once.
#[derive(Default)]
pub struct Health {
    standing: RwLock<Option<Arc<Standing>>>,
}

impl Health {
    pub fn standing(&self) -> Option<Arc<Standing>> {
        self.standing.read().expect("never poisoned").clone()
    }
}

/// Asks until told to stop. While the database is away, what was heard last stays; how old it is, the live documents' age says.
pub async fn watch_health(shared: Arc<Shared>, stop: CancellationToken) {
    let in_flight = metrics::gauge!("groundswell_batches_in_flight");
    let unreported = metrics::gauge!("groundswell_instances_unreported");
    let imbalance = metrics::gauge!("groundswell_books_imbalance_ballots");
    let counted_age = metrics::gauge!("groundswell_counted_age_seconds");
    let (files, files_max) = (metrics::gauge!("groundswell_open_files"), metrics::gauge!("groundswell_open_files_max"));
    let (connections, connections_max) = (metrics::gauge!("groundswell_connections"), metrics::gauge!("groundswell_connections_max"));
    connections_max.set(shared.limits.budget().connections_max as f64);
    files_max.set(shared.limits.budget().files as f64);
    for asked in 0u64.. {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(if asked == 0 { Duration::ZERO } else { ASK_EVERY }) => {}
        }
        connections.set(shared.limits.connections() as f64);
        counted_age.set((now_ms() - shared.live.counted_through()).max(0) as f64 / 1_000.0);
        if let Some(open) = open_files() {
            files.set(open as f64);
        }
        match shared.store.standing().await {
            Ok(standing) => {
                in_flight.set(standing.in_flight() as f64);
                unreported.set(standing.unreported.len() as f64);
                *shared.health.standing.write().expect("never poisoned") = Some(Arc::new(standing));
            }
            Err(error) => tracing::debug!(%error, "it could not be asked how far counting is"),
        }
        if asked % BOOKS_EVERY_ASKS == 0
            && let Ok(off) = shared.store.imbalance().await
        {
            imbalance.set(off as f64);
        }
    }
}

/// Of this process. A directory of the kernel's; elsewhere than on Linux there is none, and no figure.
fn open_files() -> Option<usize> {
    const DIRECTORY: &str = "/proc/self/fd";
    // Its size is their number, since Linux 6.2; before, it has none, and they have to be counted.
    match std::fs::metadata(DIRECTORY).ok()?.len() {
        0 => std::fs::read_dir(DIRECTORY).ok().map(Iterator::count),
        open => Some(open as usize),
    }
}

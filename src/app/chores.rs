//! What a process does again and again until it stops, whoever asks for something or not.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::now_ms;
use crate::domain::{EventId, InstanceId, Sign};
use crate::http::{self, Shared};
use crate::intake::{BEAT_EVERY, Intake};
use crate::live::Live;
use crate::store::{Stamp, Store};

/// How soon the end of a countdown is written down.
const CLOCK_EVERY: Duration = Duration::from_millis(500);
/// For telling the database what the broker cannot be told.
const SIGN_TIMEOUT: Duration = Duration::from_secs(3);

/// Beats once a second. What the broker cannot be told the database is told directly (`signs`): that this process lives, and how many
/// batches it has given out; and always, that it holds batches of those that died. So that nobody takes it for gone, and no result for final, while votes lie in its spill.
pub async fn beat_until(intake: Intake, signs: Option<Store>, stop: CancellationToken) {
    let mut out = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(BEAT_EVERY) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            to_sign = intake.beat() => if let (Some(store), false) = (&signs, to_sign.is_empty()) {
                sign(store, to_sign, &mut out).await;
            }
        }
    }
}

/// A transaction that has begun is left to end by itself, however long it takes; until then nothing else is signed.
async fn sign(store: &Store, signs: Vec<(InstanceId, u16, Sign)>, out: &mut Option<JoinHandle<bool>>) {
    if out.as_ref().is_some_and(|before| !before.is_finished()) {
        return;
    }
    let store = store.clone();
    let signing = out.insert(tokio::spawn(async move { store.sign(&signs).await.is_ok() }));
    if !matches!(tokio::time::timeout(SIGN_TIMEOUT, signing).await, Ok(Ok(true))) {
        tracing::debug!("neither broker nor database hear this process");
    }
}

pub async fn end_old_sessions_until(shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(http::SESSIONS_EVERY) => {}
        }
        shared.limits.end_old_sessions(&shared.store).await;
    }
}

/// Polls with a time to open or to close. People vote between the two, whatever this does; it puts on stage what opens, makes a close known, and
/// the result final.
pub async fn obey_the_clock(store: Store, live: Live, stop: CancellationToken) {
    let stamp = || {
        let at = now_ms();
        Stamp { actor: "clock".into(), at, audit_id: EventId::compose(at, http::chance()).0 }
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(CLOCK_EVERY) => {}
        }
        match store.close_by_clock(stamp).await {
            Ok(0) => {}
            Ok(_) => live.nudge(),
            Err(error) => tracing::warn!(%error, "polls whose time is over could not be closed; voting in them has ended all the same"),
        }
        match store.open_by_clock(stamp).await {
            Ok(0) => {}
            Ok(_) => live.nudge(),
            Err(error) => tracing::warn!(%error, "polls whose time has come could not be put on stage; votes for them are taken all the same"),
        }
    }
}

pub async fn every(period: Duration, stop: CancellationToken, work: impl Fn()) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(period) => work(),
        }
    }
}

//! Server-sent events: the newest document, whole, and then every change. No queue per reader: who is slow skips to the newest.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::web::Bytes;
use futures_util::stream::unfold;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::live::Frame;

/// Proxies close what is silent; browsers notice a dead line by it.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
static HEARTBEAT: Bytes = Bytes::from_static(b": still here\n\n");
/// How long a browser waits before it reconnects, spread so that a restart does not bring all back at once.
const RETRY_MS: std::ops::RangeInclusive<u32> = 500..=3_000;

pub fn answer(frames: watch::Receiver<Arc<Frame>>, cache: &'static str, stop: CancellationToken) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/event-stream"))
        .insert_header((CACHE_CONTROL, cache))
        // nginx would otherwise hold events back until its buffer is full.
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(unfold(Reader { frames, stop, begun: false }, |reader| async move {
            let (reader, bytes) = reader.next().await?;
            Some((Ok::<_, Infallible>(bytes), reader))
        }))
}

struct Reader {
    frames: watch::Receiver<Arc<Frame>>,
    stop: CancellationToken,
    begun: bool,
}

impl Reader {
    async fn next(mut self) -> Option<(Reader, Bytes)> {
        if !self.begun {
            self.begun = true;
            let frame = self.frames.borrow_and_update().event.clone();
            let mut first = format!("retry: {}\n", fastrand::u32(RETRY_MS)).into_bytes();
            first.extend_from_slice(&frame);
            return Some((self, first.into()));
        }
        let bytes = tokio::select! {
            () = self.stop.cancelled() => return None,
            changed = self.frames.changed() => match changed {
                Ok(()) => self.frames.borrow_and_update().event.clone(),
                // The event is gone.
                Err(_) => return None,
            },
            () = tokio::time::sleep(HEARTBEAT_EVERY) => HEARTBEAT.clone(),
        };
        Some((self, bytes))
    }
}

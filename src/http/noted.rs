//! What is noted of a request: a line in the log for what people do in pages and back office, and a number under which it is found again. Of votes
//! and live documents nothing is noted; the metrics count them.

use std::fmt;
use std::time::Instant;

use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use serde::{Serialize, Serializer};
use tracing::Instrument;

use super::audience::NO_STORE;
use super::traffic::Route;

/// Eight letters and digits that a person can read out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestId([u8; RequestId::CHARS]);

tokio::task_local! {
    static CURRENT: RequestId;
}

pub static HEADER: HeaderName = HeaderName::from_static("x-request-id");

impl RequestId {
    const CHARS: usize = 8;

    pub fn new() -> RequestId {
        // Without those that are taken for one another.
        const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        RequestId([(); RequestId::CHARS].map(|()| LETTERS[fastrand::usize(..LETTERS.len())]))
    }

    /// Of the request that is being answered here, if it is one that is noted.
    pub fn current() -> Option<RequestId> {
        CURRENT.try_with(|id| *id).ok()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).expect("letters and digits"))
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Is it noted? Files and probes come too often to say anything.
pub fn is_noted(route: Route) -> bool {
    matches!(route, Route::Office | Route::Session | Route::Results | Route::Page | Route::Other)
}

/// Answers under a number: everything that is logged meanwhile bears it, and so do the answer and its errors.
pub async fn under_a_number<B>(
    request: ServiceRequest,
    route: Route,
    answer: impl AsyncFnOnce(ServiceRequest) -> Result<ServiceResponse<B>, actix_web::Error>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let (id, began) = (RequestId::new(), Instant::now());
    // The path alone: what stands behind the question mark is not ours to keep, and neither is who asks.
    let span = tracing::info_span!("request", %id, method = %request.method(), path = request.path());
    let mut answered = CURRENT.scope(id, answer(request)).instrument(span.clone()).await?;
    let status = answered.status().as_u16();
    let _in = span.enter();
    let ms = began.elapsed().as_millis() as u64;
    match route {
        Route::Office | Route::Session => tracing::info!(status, ms, "answered"),
        _ => tracing::debug!(status, ms, "answered"),
    }
    // What a cache keeps is the answer to others, too.
    if answered.headers().get(CACHE_CONTROL).is_none_or(|kept| kept != NO_STORE) {
        return Ok(answered);
    }
    let text = HeaderValue::from_bytes(&id.0).expect("letters and digits");
    answered.headers_mut().insert(HEADER.clone(), text);
    Ok(answered)
}

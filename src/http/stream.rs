//! Server-sent events: the newest document, whole, and then every change. HTTP writes the head and the first event; then the connection is
//! taken out of it and joins the others that watch the same (`stands`).

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::Version;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use tokio::sync::watch;

use super::audience::NO_STORE;
use super::limits::Place;
use super::seat::Seat;
use super::sessions::SessionHash;
use super::site::Site;
use super::stands::{Newcomer, Topic};
use crate::domain::EventId;
use crate::error::{Error, Result};
use crate::live::Frame;

/// How long a browser waits before it reconnects, spread so that a restart does not bring all back at once.
const RETRY_MS: std::ops::RangeInclusive<u32> = 500..=3_000;
/// Who finds no place comes back later than who was told to wait for a vote: watching gives way.
const REFUSED_RETRY_AFTER_S: std::ops::RangeInclusive<u32> = 5..=20;

/// The public document, for whoever asks from this address.
pub async fn to_audience(request: &HttpRequest, site: &Site, event: EventId, client: IpAddr) -> Result<HttpResponse> {
    let frames = site.live.public(event).await?;
    Ok(answer(request, site, Topic::Public(event), frames, || site.limits.audience(client)))
}

/// The presenter's document; with a session, until that ends.
pub async fn to_presenter(request: &HttpRequest, site: &Site, event: EventId, session: Option<SessionHash>) -> Result<HttpResponse> {
    let frames = site.live.presenter(event).await?;
    Ok(answer(request, site, Topic::Presenter(event), frames, || site.limits.presenter(session)))
}

fn answer(request: &HttpRequest, site: &Site, topic: Topic, frames: watch::Receiver<Arc<Frame>>, place: impl FnOnce() -> Result<Place>) -> HttpResponse {
    if site.stop.is_cancelled() {
        return refused(&Error::Busy("the server is stopping"));
    }
    let place = match place() {
        Ok(place) => place,
        Err(full) => return refused(&full),
    };
    let seat = request.conn_data::<Rc<Seat>>().expect("the door gives every connection a seat");
    let frame = frames.borrow().clone();
    let mut first = format!("retry: {}\n", fastrand::u32(RETRY_MS)).into_bytes();
    first.extend_from_slice(&frame.event);
    let stands = site.stands.clone();
    // HTTP/1.0 knows no chunks: there, the end of the connection is the end of the stream.
    let chunked = request.version() >= Version::HTTP_11;
    let newcomer = Newcomer { place, seen: frame.order(), chunked };
    seat.promise(move |wire| stands.admit(topic, frames, wire, newcomer));
    let mut answer = HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/event-stream"))
        .insert_header((CACHE_CONTROL, NO_STORE))
        // nginx would otherwise hold events back until its buffer is full.
        .insert_header(("X-Accel-Buffering", "no"))
        // The connection does not come back to HTTP.
        .force_close()
        .body(First(Some(first.into())));
    answer.head_mut().no_chunking(!chunked);
    answer.map_into_boxed_body()
}

/// Whoever is not let in.
pub fn refused(why: &Error) -> HttpResponse {
    let mut answer = why.error_response();
    answer.headers_mut().insert(RETRY_AFTER, fastrand::u32(REFUSED_RETRY_AFTER_S).into());
    answer
}

/// The first event, and then nothing more from here.
struct First(Option<Bytes>);

impl MessageBody for First {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        self.0.take().map_or(Poll::Pending, |first| Poll::Ready(Some(Ok(first))))
    }
}

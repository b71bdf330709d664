//! Bodies: how large, how long, of what type. actix has no body timer of its own, so every body is read here.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use actix_web::web::{Bytes, BytesMut};
use actix_web::{FromRequest, HttpRequest};
use futures_util::{FutureExt, StreamExt};
use serde::de::DeserializeOwned;

use crate::domain::LOGO_BYTES_MAX;
use crate::error::{Error, Result, reason};

pub const BALLOT_BYTES_MAX: usize = 4 * 1_024;
/// A hundred choices of the longest text fit.
const OFFICE_BYTES_MAX: usize = 512 * 1_024;
/// A body that trickles in slower than this is given up.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// What that is called.
pub const BODY_SLOW: &str = "body_slow";
/// What one is called of which the rest cannot be read. HTTP has lost its place in what the client says, so the connection ends with it, too.
pub const BODY_BROKEN: &str = "body_broken";

/// Goes with the answer to such a body: the connection ends, and nobody hears out what is left of it.
pub struct TooSlow;

/// The raw body of a ballot, at most 4 KiB, said to be JSON.
pub async fn read_ballot(request: &HttpRequest, payload: Payload) -> Result<Bytes> {
    check_length(request, BALLOT_BYTES_MAX)?;
    let json = check_type(request);
    // Read before it is refused: what is left unread would cost the phone its connection.
    let body = read(payload, BALLOT_BYTES_MAX).await?;
    json.map(|()| body)
}

/// The raw body of a logo. Of what type it is said to be does not matter, except that no page of another site can send it as a form.
pub async fn read_picture(request: &HttpRequest, payload: Payload) -> Result<Bytes> {
    check_length(request, LOGO_BYTES_MAX)?;
    let picture = request.headers().get(CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"image/"));
    if !picture {
        return Err(Error::Unsupported(reason("not_picture", "Send a picture, with Content-Type: image/png or image/webp.")));
    }
    read(payload, LOGO_BYTES_MAX).await
}

/// A JSON body of the back office.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (short, json) = (check_length(request, OFFICE_BYTES_MAX), check_type(request));
        let payload = payload.take();
        Box::pin(async move {
            short?;
            json?;
            let body = read(payload, OFFICE_BYTES_MAX).await?;
            parse(&body).map(Json)
        })
    }
}

/// No body, or `{}`: for calls that need to say nothing.
pub struct Nothing;

impl FromRequest for Nothing {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (short, json) = (check_length(request, BALLOT_BYTES_MAX), check_type(request));
        let payload = payload.take();
        Box::pin(async move {
            short?;
            let body = read(payload, BALLOT_BYTES_MAX).await?;
            if !body.is_empty() {
                json?;
                parse::<crate::wire::office::EmptyBody>(&body)?;
            }
            Ok(Nothing)
        })
    }
}

/// JSON, whole, with no unknown field. A refusal never repeats the input.
pub fn parse<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T> {
    let invalid = || Error::invalid("json_invalid", "The body is not the JSON this address takes. See the API description for its fields.");
    // serde would take a list for an object, its fields in order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(invalid());
    }
    serde_json::from_slice(body).map_err(|_| invalid())
}

/// What is announced too large is refused before it is sent.
fn check_length(request: &HttpRequest, bytes_max: usize) -> Result<()> {
    let length = request.headers().get("content-length").and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    if length.is_some_and(|length| length > bytes_max as u64) { Err(too_large()) } else { Ok(()) }
}

fn check_type(request: &HttpRequest) -> Result<()> {
    let headers = request.headers();
    // Nobody sends four kilobytes compressed, but for a bomb.
    if headers.get(CONTENT_ENCODING).is_some_and(|v| v != "identity") {
        return Err(Error::Unsupported(reason("not_json", "Send the body uncompressed.")));
    }
    match headers.get(CONTENT_TYPE).map(|v| v.as_bytes()) {
        Some(b"application/json") => Ok(()),
        Some(other) if is_json(other) => Ok(()),
        _ => Err(Error::Unsupported(reason("not_json", "Send JSON, with Content-Type: application/json."))),
    }
}

pub fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type.split(|b| *b == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

async fn read(mut payload: Payload, bytes_max: usize) -> Result<Bytes> {
    let mut pieces = Pieces::default();
    // Nearly always the body came with its head: then no timer is needed.
    while let Some(piece) = payload.next().now_or_never() {
        match piece {
            Some(piece) => pieces.add(piece, bytes_max)?,
            None => return Ok(pieces.whole()),
        }
    }
    let rest = Box::pin(async {
        while let Some(piece) = payload.next().await {
            pieces.add(piece, bytes_max)?;
        }
        Ok(pieces.whole())
    });
    tokio::time::timeout(BODY_TIMEOUT, rest).await.map_err(|_| Error::invalid(BODY_SLOW, "The body took too long to arrive."))?
}

/// A body as it arrives. One that comes in one piece is handed on as it is.
#[derive(Default)]
struct Pieces {
    first: Bytes,
    all: BytesMut,
}

impl Pieces {
    fn add(&mut self, piece: Result<Bytes, PayloadError>, bytes_max: usize) -> Result<()> {
        let piece = piece.map_err(|_| Error::invalid(BODY_BROKEN, "The body ended before it was complete."))?;
        if self.first.len() + self.all.len() + piece.len() > bytes_max {
            return Err(too_large());
        }
        if self.first.is_empty() && self.all.is_empty() {
            self.first = piece;
            return Ok(());
        }
        let first = std::mem::take(&mut self.first);
        self.all.extend_from_slice(&first);
        self.all.extend_from_slice(&piece);
        Ok(())
    }

    fn whole(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.freeze() }
    }
}

fn too_large() -> Error {
    Error::TooLarge(reason("too_large", "The body is larger than this address takes."))
}

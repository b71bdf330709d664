//! Logos of events: taken in by the back office, given out to everybody under a name that is their content.

use std::collections::HashMap;
use std::sync::Mutex;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use actix_web::web::{Bytes, Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse, delete, put, route};

use super::assets::ASSET_CACHE;
use super::body::{Nothing, read_picture};
use super::office::event_answer;
use super::problem::nothing_here;
use super::sessions::{Owner, sha256};
use super::site::Site;
use crate::domain::{LogoKind, LogoName};
use crate::error::{Error, Result};

/// Opened by itself it is a picture, whatever else a browser might find in it.
static PICTURE_CSP: HeaderValue = HeaderValue::from_static("default-src 'none'; sandbox; frame-ancestors 'none'");

#[put("/api/v1/events/{event}/logo")]
pub async fn set(request: HttpRequest, owner: Owner, site: Data<Site>, event: Path<String>, payload: Payload) -> Result<HttpResponse> {
    let body = read_picture(&request, payload.into_inner()).await?;
    let (kind, picture) = LogoKind::of(&body)?;
    let name = LogoName::compose(&sha256(picture), kind);
    let event = site.store.set_logo(event.parse()?, Some((name, picture.to_vec())), owner.stamp()).await?;
    event_answer(&site, &event).await
}

#[delete("/api/v1/events/{event}/logo")]
pub async fn take_away(owner: Owner, site: Data<Site>, event: Path<String>, _body: Nothing) -> Result<HttpResponse> {
    let event = site.store.set_logo(event.parse()?, None, owner.stamp()).await?;
    event_answer(&site, &event).await
}

#[route("/assets/logos/{name}", method = "GET", method = "HEAD")]
pub async fn show(request: HttpRequest, name: Path<String>, site: Data<Site>) -> Result<HttpResponse> {
    let Some(name) = LogoName::parse(&name) else { return Ok(nothing_here()) };
    // A guess costs a query, so guesses are limited as wrong codes are.
    let Some(bytes) = find(&site, &name).await? else {
        site.guard.wrong_code(site.settings.trusted_proxies.client_of(&request))?;
        return Ok(nothing_here());
    };
    let mut answer = HttpResponse::Ok();
    answer
        .insert_header((CONTENT_TYPE, content_type(&name)))
        .insert_header((CACHE_CONTROL, ASSET_CACHE))
        .insert_header((CONTENT_SECURITY_POLICY, PICTURE_CSP.clone()));
    Ok(answer.body(bytes))
}

/// What the document's address of a logo leads to, and what it is.
pub async fn of_address(site: &Site, address: &str) -> Result<Option<(&'static str, Bytes)>> {
    let Some(name) = address.rsplit('/').next().and_then(LogoName::parse) else { return Ok(None) };
    Ok(find(site, &name).await?.map(|bytes| (content_type(&name), bytes)))
}

async fn find(site: &Site, name: &LogoName) -> Result<Option<Bytes>> {
    if let Some(bytes) = site.logos.find(name) {
        return Ok(Some(bytes));
    }
    let _permit = site.guard.ballot_reads.try_acquire().map_err(|_| Error::Busy("many pictures are being looked up"))?;
    Ok(site.store.logo(name.clone()).await?.map(|bytes| site.logos.keep(name.clone(), bytes.into())))
}

fn content_type(name: &LogoName) -> &'static str {
    match name.kind() {
        LogoKind::Png => "image/png",
        LogoKind::Webp => "image/webp",
    }
}

/// Pictures that were asked for, so that an audience without a CDN does not ask the database a thousand times.
#[derive(Default)]
pub struct Logos(Mutex<HashMap<LogoName, Bytes>>);

/// 4 MiB in all at 64 KiB each.
const LOGOS_KEPT_MAX: usize = 64;

impl Logos {
    fn find(&self, name: &LogoName) -> Option<Bytes> {
        self.0.lock().expect("never poisoned").get(name).cloned()
    }

    fn keep(&self, name: LogoName, bytes: Bytes) -> Bytes {
        let mut kept = self.0.lock().expect("never poisoned");
        // Hardly ever full; then all are fetched once more.
        if kept.len() >= LOGOS_KEPT_MAX {
            kept.clear();
        }
        kept.insert(name, bytes.clone());
        bytes
    }
}

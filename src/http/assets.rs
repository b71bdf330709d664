//! The apps and their files, embedded when the binary is built: hashed names, compressed once.

use std::collections::HashMap;
use std::sync::LazyLock;

use actix_web::dev::ServiceRequest;
use actix_web::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, VARY,
};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{Bytes, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Route, guard, route, web};

use super::CSP;
use super::audience::matches_etag;
use super::card::{card, is_previewer};
use super::problem::nothing_here;
use super::site::Site;
use crate::domain::RESERVED_PATHS;

pub struct Asset {
    pub url: &'static str,
    /// A page keeps its name, and the service worker; everything else is named by its content.
    pub named: bool,
    /// Hash of the style that stands in the page itself.
    pub style: Option<&'static str>,
    pub content_type: &'static str,
    pub etag: &'static str,
    pub plain: &'static [u8],
    pub brotli: &'static [u8],
    pub gzip: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// All embedded files.
pub fn assets() -> &'static [Asset] {
    ASSETS
}

/// The name is the content: it can be kept for ever.
pub const ASSET_CACHE: &str = "public, max-age=31536000, immutable";
/// Short, so that a new version arrives; and a page that cannot go blank: stale for a day when the origin is away.
pub const PAGE_CACHE: &str = "public, max-age=60, s-maxage=60, stale-while-revalidate=600, stale-if-error=86400";
/// A phone that has an old one finds the next within a minute, whatever went wrong with the old one.
pub const WORKER_CACHE: &str = "public, max-age=60, s-maxage=60, stale-if-error=86400";
pub const WORKER: &str = "/sw.js";

/// Files named by their content, by their address, with what their answers say: written once, and cloned without a copy.
static FILES: LazyLock<HashMap<&str, NamedFile>> = LazyLock::new(|| {
    let named = |asset: &'static Asset| {
        let [content_type, etag, cache] = [asset.content_type, asset.etag, ASSET_CACHE].map(HeaderValue::from_static);
        (asset.url, NamedFile { asset, content_type, etag, cache })
    };
    ASSETS.iter().filter(|a| a.url.starts_with("/assets/")).map(named).collect()
});

struct NamedFile {
    asset: &'static Asset,
    content_type: HeaderValue,
    etag: HeaderValue,
    cache: HeaderValue,
}

/// What spells the address in another way finds it here.
#[route("/assets/{path:.*}", method = "GET", method = "HEAD")]
pub async fn embedded_file(request: HttpRequest, path: Path<String>) -> HttpResponse {
    FILES.get(format!("/assets/{path}").as_str()).map_or_else(nothing_here, |file| file.answer(request.headers()))
}

/// The same ahead of the router: without a CDN, a crowd that joins asks for little else.
pub fn file_at_hand(request: &ServiceRequest) -> Option<HttpResponse> {
    if request.method() != Method::GET || !request.path().starts_with("/assets/") {
        return None;
    }
    Some(FILES.get(request.path())?.answer(request.headers()))
}

impl NamedFile {
    fn answer(&self, headers: &HeaderMap) -> HttpResponse {
        static CODINGS: HeaderValue = HeaderValue::from_static("Accept-Encoding");
        let known = headers.get(IF_NONE_MATCH).and_then(|v| v.to_str().ok()).is_some_and(|tags| matches_etag(tags, self.asset.etag));
        let (coding, body) = if known { (None, &[][..]) } else { self.asset.coded(headers) };
        let status = if known { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
        let mut answer = HttpResponse::with_body(status, Bytes::from_static(body)).map_into_boxed_body();
        let said = answer.headers_mut();
        for (name, value) in [(ETAG, &self.etag), (CACHE_CONTROL, &self.cache), (VARY, &CODINGS)] {
            said.insert(name, value.clone());
        }
        if !known {
            said.insert(CONTENT_TYPE, self.content_type.clone());
        }
        if let Some(coding) = coding {
            said.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        answer
    }
}

impl Asset {
    /// In the best form that the client takes.
    fn coded(&self, headers: &HeaderMap) -> (Option<&'static str>, &'static [u8]) {
        match encoding(headers) {
            Some("br") => (Some("br"), self.brotli),
            Some("gzip") => (Some("gzip"), self.gzip),
            _ => (None, self.plain),
        }
    }
}

/// Of the audience app. At the top, because it may answer only for pages beside or below it.
#[route("/sw.js", method = "GET", method = "HEAD")]
pub async fn service_worker(request: HttpRequest) -> HttpResponse {
    named(request, WORKER, WORKER_CACHE)
}

pub fn pages(config: &mut ServiceConfig) {
    config
        .route("/", readable().to(|request: HttpRequest| page(request, "/vote/index.html")))
        .route("/admin", readable().to(|request: HttpRequest| page(request, "/admin/index.html")))
        .route("/admin/{rest:.*}", readable().to(|request: HttpRequest| page(request, "/admin/index.html")))
        .route("/present/{event}", readable().to(|request: HttpRequest| page(request, "/present/index.html")))
        // A code or a short name; whether there is such an event, the page asks itself. The same bytes for all.
        .route("/{code:[0-9A-Za-z][0-9A-Za-z -]{2,39}}", readable().to(join_page));
}

/// GET, and HEAD for link previews and caches that only ask.
fn readable() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// Our own names are nobody's short name: `/metrics` and `/api` are not pages.
async fn join_page(request: HttpRequest, code: Path<String>, site: Data<Site>) -> HttpResponse {
    if RESERVED_PATHS.iter().any(|ours| code.eq_ignore_ascii_case(ours)) {
        return nothing_here();
    }
    if is_previewer(&request)
        && let Ok(card) = card(&request, &site, &code).await
    {
        return card;
    }
    page(request, "/vote/index.html").await
}

pub async fn page(request: HttpRequest, url: &'static str) -> HttpResponse {
    named(request, url, PAGE_CACHE)
}

fn named(request: HttpRequest, url: &'static str, cache: &'static str) -> HttpResponse {
    match ASSETS.iter().find(|a| a.url == url) {
        Some(asset) => answer(&request, asset, cache),
        None => nothing_here(),
    }
}

/// What a page may load. One that has its style in it, so that it cannot be there without, may have that, and no other inline style.
pub fn policy_of(asset: &Asset) -> String {
    match asset.style {
        Some(style) => CSP.replace("style-src 'self'", &format!("style-src 'self' '{style}'")),
        None => CSP.to_owned(),
    }
}

/// Of the one page with a style.
static STYLED_CSP: LazyLock<Option<HeaderValue>> = LazyLock::new(|| {
    let mut styled = ASSETS.iter().filter(|asset| asset.style.is_some());
    let policy = policy_of(styled.next()?);
    assert!(styled.next().is_none(), "each page with a style needs a policy of its own");
    Some(HeaderValue::from_str(&policy).expect("the policy is a header"))
});

fn answer(request: &HttpRequest, asset: &'static Asset, cache: &'static str) -> HttpResponse {
    let headers = request.headers();
    let known = headers.get(IF_NONE_MATCH).and_then(|v| v.to_str().ok()).is_some_and(|tags| matches_etag(tags, asset.etag));
    let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header((ETAG, asset.etag)).insert_header((CACHE_CONTROL, cache)).insert_header((VARY, "Accept-Encoding"));
    if let Some(policy) = asset.style.and(STYLED_CSP.as_ref()) {
        response.insert_header((CONTENT_SECURITY_POLICY, policy.clone()));
    }
    if known {
        return response.finish();
    }
    response.insert_header((CONTENT_TYPE, asset.content_type));
    let (coding, body) = asset.coded(headers);
    if let Some(coding) = coding {
        response.insert_header((CONTENT_ENCODING, coding));
    }
    response.body(Bytes::from_static(body))
}

/// The best we have of what the client takes. A weight of zero means "not that one".
fn encoding(headers: &HeaderMap) -> Option<&'static str> {
    let accepted = headers.get(ACCEPT_ENCODING)?.to_str().ok()?;
    let takes = |name: &str| {
        accepted.split(',').any(|item| {
            let mut parts = item.split(';').map(str::trim);
            let named = parts.next().is_some_and(|n| n.eq_ignore_ascii_case(name));
            named && !parts.any(|p| matches!(p, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        })
    };
    ["br", "gzip"].into_iter().find(|name| takes(name))
}

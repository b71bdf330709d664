//! For operators: alive, ready, metrics, and a page in words.

use actix_web::web::{Data, ServiceConfig};
use actix_web::{HttpResponse, route, web};
use askama::Template;
use metrics_exporter_prometheus::PrometheusHandle;

use super::audience::NO_STORE;
use super::office::private;
use super::site::Site;
use crate::clock::now_ms;
use crate::error::{Error, Result};

/// The event loop answers.
#[route("/livez", method = "GET", method = "HEAD")]
pub async fn livez() -> HttpResponse {
    private(HttpResponse::Ok()).content_type("text/plain; charset=utf-8").body("ok\n")
}

/// Can a vote be made durable now? With a broker, the database has no part in that.
#[route("/readyz", method = "GET", method = "HEAD")]
pub async fn readyz(site: Data<Site>) -> HttpResponse {
    let ready = site.desk.is_ready() && !site.leaving.is_cancelled();
    let (mut answer, word) = if ready { (HttpResponse::Ok(), "ready\n") } else { (HttpResponse::ServiceUnavailable(), "not ready\n") };
    answer.insert_header(("Cache-Control", NO_STORE)).content_type("text/plain; charset=utf-8").body(word)
}

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    ready: bool,
    live_age_s: i64,
    counted_age_s: i64,
    in_flight: Option<u64>,
    unreported: usize,
    version: &'static str,
}

/// A document older than this means that the database does not answer.
const STALE_AFTER_S: i64 = 5;

#[route("/status", method = "GET", method = "HEAD")]
pub async fn status(site: Data<Site>) -> Result<HttpResponse> {
    // Without the database the page still says what it can.
    let standing = site.store.standing().await.ok();
    let page = StatusPage {
        ready: site.desk.is_ready(),
        live_age_s: site.live.age_ms() / 1_000,
        counted_age_s: (now_ms() - site.live.counted_through()) / 1_000,
        in_flight: standing.as_ref().map(|s| s.in_flight()),
        unreported: standing.as_ref().map_or(0, |s| s.unreported.len()),
        version: env!("CARGO_PKG_VERSION"),
    };
    let html = page.render().map_err(Error::internal)?;
    Ok(private(HttpResponse::Ok()).content_type("text/html; charset=utf-8").body(html))
}

/// The routes of the metrics listener: figures, and a sign of life for processes that have no other listener.
pub fn metrics_routes(config: &mut ServiceConfig, handle: PrometheusHandle) {
    config.service(livez).route(
        "/metrics",
        web::get().to(move || {
            let text = handle.render() + &super::traffic::render();
            async move { HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(text) }
        }),
    );
}

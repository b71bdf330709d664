//! For operators: alive, ready, metrics, and a page in words.

use actix_web::web::{Data, Query, ServiceConfig};
use actix_web::{HttpResponse, route, web};
use askama::Template;
use metrics_exporter_prometheus::PrometheusHandle;

use super::audience::NO_STORE;
use super::office::private;
use super::pages::asset;
use super::site::Site;
use crate::clock::now_ms;
use crate::domain::Millis;
use crate::error::{Error, Result};
use crate::intake::Condition;
use crate::wire::shown::Wishes;

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
    watched: bool,
    leaving: bool,
    votes: Condition,
    /// How long the oldest vote in the spill has lain there.
    spill_age_s: Option<i64>,
    live_age_s: i64,
    counted_age_s: i64,
    /// `None` until the database has answered once.
    in_flight: Option<u64>,
    /// Who has not reported, and for how long.
    unreported: Vec<(String, i64)>,
    shedding: usize,
    connections: usize,
    connections_max: usize,
    viewers: usize,
    version: &'static str,
    style: &'static str,
    icon: &'static str,
}

/// A document older than this means that the database does not answer.
const STALE_AFTER_S: i64 = 5;
/// Further behind than this, and nobody counts, or not fast enough.
const BEHIND_AFTER_S: i64 = 15;

impl StatusPage {
    fn is_stale(&self) -> bool {
        self.live_age_s >= STALE_AFTER_S
    }

    /// What is known of counting is no newer than what the database last said.
    fn is_behind(&self) -> bool {
        self.counted_age_s - self.live_age_s >= BEHIND_AFTER_S
    }

    fn spills(&self) -> bool {
        self.votes.broker.is_some_and(|broker| broker.open_lanes > 0 || broker.spilled_ballots > 0)
    }

    fn is_well(&self) -> bool {
        self.votes.ready && !self.leaving && !self.is_stale() && !self.is_behind() && !self.spills() && self.unreported.is_empty() && self.shedding == 0
    }
}

/// Asks nobody: everybody may look, as often as they like, and mostly will when something is wrong.
#[route("/status", method = "GET", method = "HEAD")]
pub async fn status(site: Data<Site>, wishes: Query<Wishes>) -> Result<HttpResponse> {
    let (now, votes, standing) = (now_ms(), site.desk.condition(), site.health.standing());
    let seconds = |since: Millis| (now - since).max(0) / 1_000;
    let page = StatusPage {
        watched: wishes.watch.is_some(),
        leaving: site.leaving.is_cancelled(),
        votes,
        spill_age_s: votes.broker.and_then(|broker| broker.oldest).map(seconds),
        live_age_s: site.live.age_ms() / 1_000,
        counted_age_s: seconds(site.live.counted_through()),
        in_flight: standing.as_ref().map(|s| s.in_flight()),
        unreported: standing.iter().flat_map(|s| &s.unreported).map(|(instance, sign)| (instance.0.to_string(), seconds(*sign))).collect(),
        shedding: site.pressure.level(),
        connections: site.limits.connections(),
        connections_max: site.limits.budget().connections_max,
        viewers: site.limits.viewers(),
        version: env!("CARGO_PKG_VERSION"),
        style: asset("shared/paper."),
        icon: asset("shared/favicon."),
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

//! What rehearsals came to: handed in by `groundswell rehearse`, shown to whoever prepares the evening.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get, put};

use super::body::Json;
use super::office::private;
use super::sessions::Owner;
use super::site::{Site, chance};
use crate::clock::now_ms;
use crate::domain::ReportId;
use crate::error::Result;
use crate::wire::rehearsal::{KeptAnswer, Report, ReportsAnswer};

/// The same report again is kept once.
#[put("/api/v1/events/{event}/rehearsal")]
pub async fn keep(owner: Owner, site: Data<Site>, event: Path<String>, body: Json<Report>) -> Result<HttpResponse> {
    let now = now_ms();
    let draft = body.0.into_draft(ReportId::compose(now, chance()), now)?;
    let id = site.store.keep_report(event.parse()?, draft, owner.stamp()).await?;
    Ok(private(HttpResponse::Ok()).json(KeptAnswer { id: id.to_string() }))
}

#[get("/api/v1/rehearsals")]
pub async fn list(_owner: Owner, site: Data<Site>) -> Result<HttpResponse> {
    let reports = site.store.reports().await?;
    let public_url = site.settings.public_url_is_set.then(|| site.settings.public_url.clone());
    Ok(private(HttpResponse::Ok()).json(ReportsAnswer::of(reports, public_url)))
}

#[get("/api/v1/rehearsals/{report}")]
pub async fn show(_owner: Owner, site: Data<Site>, report: Path<String>) -> Result<HttpResponse> {
    let report = site.store.report(report.parse()?).await?;
    Ok(private(HttpResponse::Ok()).content_type("application/json").body(report))
}

//! What phones ask for besides voting itself (`voting`). No cookies.

use std::rc::Rc;
use std::sync::Arc;

use actix_web::dev::ServiceRequest;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse, ResponseError, get, post, route};

use super::body::Nothing;
use super::pass::{Level, Pass};
use super::plain::code_of;
use super::sessions::bearer;
use super::site::{Site, voter_id};
use super::stream;
use super::traffic::Route;
use super::voting::{ended_by, may_come_yet};
use crate::clock::now_ms;
use crate::domain::{Millis, PollId, VoterId};
use crate::error::{Error, Result, reason};
use crate::live::{Found, Frame};
use crate::wire::vote::{MineQuery, MyBallot, PassAnswer};

/// Shared caches ask once a second; while the origin is away they go on showing what they have, for a day.
pub static LIVE_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=1, s-maxage=1, stale-while-revalidate=5, stale-if-error=86400");
/// "There is no such event" is kept as long as a document: an edge that may not keep it would go on showing the document it has of an event
/// that is gone. And a wrong code that a crowd types is one question, too.
static UNKNOWN_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=1, s-maxage=1");
static JSON: HeaderValue = HeaderValue::from_static("application/json");
/// A short name may be given to another event; a picture of it must not outlive that for long.
pub const QR_CACHE: &str = "public, max-age=60";
pub const NO_STORE: &str = "no-store";

/// The voter's ballot that counts, for a phone that lost its memory of it, or was answered by a closed door.
#[get("/api/v1/polls/{poll}/ballots/mine")]
pub async fn mine(request: HttpRequest, poll: Path<String>, query: Query<MineQuery>, site: Data<Site>) -> Result<HttpResponse> {
    let now = now_ms();
    let pass = pass_of(&request, &site, now)?;
    let found = find_poll(&site, &pass, &poll, now).await?;
    let poll = found.poll();
    let round = query.round.unwrap_or(poll.round);
    if !(1..=poll.round).contains(&round) {
        return Err(Error::invalid("round_invalid", "This poll has no such round."));
    }
    // Before it is looked up, as for a vote that comes after the close.
    let in_doubt = ended_by(&found.event, poll, round, now).is_some_and(|at| may_come_yet(&site, at));
    let _permit = site.guard.ballot_reads.try_acquire().map_err(|_| Error::Busy("many ballots are being looked up"))?;
    let held = site.store.ballot_of(poll.id, round, pass.voter).await?;
    let none = || {
        if in_doubt { Error::Unknown("the last votes are being counted") } else { Error::not_found("no_ballot", "No vote of yours is counted in this poll.") }
    };
    let held = held.ok_or_else(none)?;
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, NO_STORE)).json(MyBallot::of(&held.ballot)))
}

/// A voter id for this event. No database: a million of these cost what their signatures cost.
#[post("/api/v1/live/{code}/passes")]
pub async fn mint(request: HttpRequest, code: Path<String>, site: Data<Site>, _body: Nothing) -> Result<HttpResponse> {
    let event = find_event(&site, &request, &code)?;
    let pass = Pass { event, voter: VoterId(voter_id()), level: Level::Open };
    let text = site.passes.mint(pass, now_ms());
    let answer = PassAnswer { pass: &text, voter: pass.voter.0, level: pass.level.as_str() };
    Ok(HttpResponse::Created().insert_header((CACHE_CONTROL, NO_STORE)).json(answer))
}

/// The live document: bytes drawn once, whoever asks.
#[route("/api/v1/live/{code}", method = "GET", method = "HEAD")]
pub async fn document(request: HttpRequest, code: Path<String>, site: Data<Site>) -> Result<HttpResponse> {
    let event = match find_event(&site, &request, &code) {
        Ok(event) => event,
        Err(unknown @ Error::NotFound(_)) => {
            let mut answer = unknown.error_response();
            answer.headers_mut().insert(CACHE_CONTROL, UNKNOWN_CACHE.clone());
            return Ok(answer);
        }
        Err(other) => return Err(other),
    };
    let frame = site.live.newest(event).await?;
    Ok(snapshot(request.headers(), &frame))
}

/// The same ahead of the router, for who asks in the plain way for what is in memory: nearly everybody.
pub fn document_at_hand(request: &ServiceRequest) -> Option<HttpResponse> {
    let code = code_of(request.path()).filter(|_| request.method() == Method::GET)?;
    let site = request.app_data::<Data<Site>>()?;
    let frame = site.live.at_hand(site.live.find(code).ok()?)?;
    Some(snapshot(request.headers(), &frame))
}

/// The same on the line, ahead of HTTP. Whatever else there is to say, such as that there is no time or no such event, HTTP says it.
pub fn document_at_once(site: &Site, code: &str) -> Option<Arc<Frame>> {
    let plain = site.settings.allowed_origins.is_empty() && site.pressure.has_time_for(Route::Live);
    site.live.at_hand(site.live.find(code).ok().filter(|_| plain)?)
}

fn snapshot(headers: &HeaderMap, frame: &Frame) -> HttpResponse {
    let known = headers.get(IF_NONE_MATCH).and_then(|v| v.to_str().ok()).is_some_and(|tags| matches_etag(tags, &frame.etag));
    let mut answer = HttpResponse::build(if known { StatusCode::NOT_MODIFIED } else { StatusCode::OK });
    answer.insert_header((ETAG, frame.etag.as_str())).insert_header((CACHE_CONTROL, LIVE_CACHE.clone()));
    if known { answer.finish() } else { answer.insert_header((CONTENT_TYPE, JSON.clone())).body(frame.json.clone()) }
}

/// Weak comparison, as RFC 9110 asks for in `If-None-Match`.
pub fn matches_etag(tags: &str, etag: &str) -> bool {
    fn bare(tag: &str) -> &str {
        tag.trim().trim_start_matches("W/")
    }
    tags.trim() == "*" || tags.split(',').any(|tag| bare(tag) == bare(etag))
}

#[get("/api/v1/live/{code}/stream")]
pub async fn document_stream(request: HttpRequest, code: Path<String>, site: Data<Site>) -> Result<HttpResponse> {
    let event = find_event(&site, &request, &code)?;
    stream::to_audience(&request, &site, event, site.settings.trusted_proxies.client_of(&request)).await
}

/// Where to vote as a picture, and in words within it: for screens that say it, wherever they were opened themselves.
#[route("/api/v1/live/{code}/qr.svg", method = "GET", method = "HEAD")]
pub async fn qr(request: HttpRequest, code: Path<String>, site: Data<Site>) -> Result<HttpResponse> {
    let id = find_event(&site, &request, &code)?;
    let link = site.live.lasting_url(&*site.live.event(id).await?);
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "image/svg+xml")).insert_header((CACHE_CONTROL, QR_CACHE)).body(qr_of(&link)?))
}

/// `link` is our own address and an id or code of ours, letters and digits: nothing in it comes from a stranger.
pub(super) fn qr_of(link: &str) -> Result<String> {
    use fast_qr::convert::{Builder, Shape, svg::SvgBuilder};
    let code = fast_qr::QRBuilder::new(link).ecl(fast_qr::ECL::M).build().map_err(|why| Error::internal(anyhow::anyhow!("qr: {why}")))?;
    Ok(SvgBuilder::default().shape(Shape::Square).to_str(&code).replacen('>', &format!("><title>{link}</title>"), 1))
}

pub fn find_event(site: &Site, request: &HttpRequest, code: &str) -> Result<crate::domain::EventId> {
    site.live
        .find(code)
        .inspect_err(|_| {
            metrics::counter!("groundswell_wrong_codes_total").increment(1);
        })
        .or_else(|unknown| {
            site.guard.wrong_code(site.settings.trusted_proxies.client_of(request))?;
            Err(unknown)
        })
}

pub(super) fn pass_of(request: &HttpRequest, site: &Site, now: Millis) -> Result<Pass> {
    let text = bearer(request).ok_or(Error::Unauthorized(reason("pass_missing", "A vote needs a pass. Join with the code first.")))?;
    site.passes.verify(text, now)
}

/// The poll, if it is in the pass's event. Only when it is not there is the database asked why.
pub(super) async fn find_poll(site: &Site, pass: &Pass, poll: &str, now: Millis) -> Result<Rc<Found>> {
    let unknown = || Error::not_found("poll_unknown", "There is no such poll.");
    let poll: PollId = poll.parse().map_err(|_| unknown())?;
    if let Some(found) = site.glance.poll(pass.event, poll, now).await? {
        return Ok(found);
    }
    let _permit = site.guard.ballot_reads.try_acquire().map_err(|_| Error::Busy("many polls are being looked up"))?;
    match Box::pin(site.store.event_of_poll(poll)).await? {
        // The phone heard of it from a faster process.
        Some(same) if same == pass.event => Err(Error::Busy("a question is just being added")),
        Some(_) => Err(Error::Forbidden(reason("pass_other_event", "This pass is for another event. Join this one with its code."))),
        None => Err(unknown()),
    }
}

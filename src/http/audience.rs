//! What phones ask for. No cookies; the voting call comes first, because everything else may wait.

use std::cmp::Ordering;
use std::fmt::Write;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, get, post, route};

use super::body::{BallotBody, Nothing, parse};
use super::pass::{Level, Pass};
use super::recent::Seen;
use super::sessions::bearer;
use super::site::{Site, voter_id};
use super::stream;
use crate::clock::now_ms;
use crate::domain::{Ballot, CLOSE_GRACE_MS, Event, EventState, Millis, Poll, PollId, VoterId};
use crate::error::{Error, Result, reason};
use crate::wire::vote::{BallotBody as BallotJson, MyBallot, PassAnswer};

/// Shared caches ask once a second; while the origin is away they go on showing what they have, for a day.
const LIVE_CACHE: &str = "public, max-age=1, s-maxage=1, stale-while-revalidate=5, stale-if-error=86400";
/// A short name may be given to another event; a picture of it must not outlive that for long.
const QR_CACHE: &str = "public, max-age=60";
pub const NO_STORE: &str = "no-store";

/// A vote. 202 means safe.
#[post("/api/v1/polls/{poll}/ballots")]
pub async fn cast(request: HttpRequest, poll: Path<String>, site: Data<Site>, body: BallotBody) -> Result<HttpResponse> {
    let now = now_ms();
    let pass = pass_of(&request, &site, now)?;
    let (event, at) = find_poll(&site, &pass, &poll).await?;
    let poll = &event.polls[at];
    let ballot = parse::<BallotJson<'_>>(&body.0)?.into_ballot(poll, pass.voter)?;
    match check_open(&event, poll, &ballot, now) {
        Ok(()) => {}
        Err(closed @ Error::Conflict(_)) => return repeat_after_close(&site, &event, poll, &ballot, closed).await,
        Err(other) => return Err(other),
    }
    if site.recent.note(&ballot) == Seen::Differs {
        return Err(Error::conflict("ballot_differs", "This ballot was sent before with other picks. A change of mind needs a new ballot id."));
    }
    let (id, lane) = (ballot.ballot, poll.lane(&ballot.picks, site.desk.lanes()));
    let receipt = site.desk.accept(lane, ballot).await?;
    Ok(receipt_answer(id.0, receipt.accepted_at, receipt.counted))
}

fn check_open(event: &Event, poll: &Poll, ballot: &Ballot, now: Millis) -> Result<()> {
    if event.state == EventState::Ended {
        return Err(Error::conflict("poll_closed", "This event has ended. Your vote was not counted."));
    }
    match ballot.round.cmp(&poll.round) {
        Ordering::Less => Err(Error::conflict("round_over", "This vote was for an earlier round, which is over. It was not counted.")),
        // The phone heard of it from a faster process.
        Ordering::Greater if ballot.round == poll.round + 1 => Err(Error::Busy("a new round is just beginning")),
        Ordering::Greater => Err(Error::invalid("round_invalid", "This poll has no such round.")),
        Ordering::Equal => poll.check_open(now),
    }
}

/// The same ballot again always gets the same success, also when the poll was closed between the vote and its answer.
async fn repeat_after_close(site: &Site, event: &Event, poll: &Poll, ballot: &Ballot, closed: Error) -> Result<HttpResponse> {
    // When this round ended at the latest.
    let ended_by = if ballot.round < poll.round { Some(event.updated_at) } else { poll.closed_at };
    let Some(ended_by) = ended_by else { return Err(closed) };
    // Unknown, not busy: this ballot may be on its way, and nobody may say that it will not be counted.
    let _permit = site.guard.ballot_reads.try_acquire().map_err(|_| Error::Unknown("many ballots are being looked up"))?;
    if let Some(held) = site.store.ballot_of(poll.id, ballot.round, ballot.voter).await.map_err(|_| Error::Unknown("the database is away"))? {
        // The same one; or one that had to give way to this voter's later one, which it would again.
        if held.ballot == *ballot || held.ballot.rank() > ballot.rank() {
            return Ok(receipt_answer(ballot.ballot.0, held.accepted_at, true));
        }
    }
    // It may have been accepted by another process, or by this one a moment ago, and still be on its way. Once all that was accepted
    // in time is counted, there is no doubt left. With lanes in this process, nothing is on its way once nobody waits.
    let may_be_on_its_way = !site.settings.in_process || site.desk.waiting() > 0;
    if may_be_on_its_way && site.live.counted_through() < ended_by + CLOSE_GRACE_MS {
        return Err(Error::Unknown("the last votes are being counted"));
    }
    Err(closed)
}

/// Written by hand: the answer of every vote is two values in a constant frame.
fn receipt_answer(ballot: uuid::Uuid, accepted_at: Millis, counted: bool) -> HttpResponse {
    let status = if counted { "counted" } else { "received" };
    let mut body = String::with_capacity(112);
    write!(body, "{{\"ballot\":\"{ballot}\",\"accepted_at\":{accepted_at},\"status\":\"{status}\"}}").expect("writing to a String cannot fail");
    HttpResponse::build(StatusCode::ACCEPTED).insert_header((CONTENT_TYPE, "application/json")).insert_header((CACHE_CONTROL, NO_STORE)).body(body)
}

/// The voter's ballot that counts, for a phone that lost its memory of it.
#[get("/api/v1/polls/{poll}/ballots/mine")]
pub async fn mine(request: HttpRequest, poll: Path<String>, site: Data<Site>) -> Result<HttpResponse> {
    let pass = pass_of(&request, &site, now_ms())?;
    let (event, at) = find_poll(&site, &pass, &poll).await?;
    let _permit = site.guard.ballot_reads.try_acquire().map_err(|_| Error::Busy("many ballots are being looked up"))?;
    let held = site.store.ballot_of(event.polls[at].id, event.polls[at].round, pass.voter).await?;
    let held = held.ok_or(Error::not_found("no_ballot", "No vote of yours is counted in this poll."))?;
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
    let event = find_event(&site, &request, &code)?;
    let frame = site.live.public(event).await?.borrow().clone();
    let known = request.headers().get(IF_NONE_MATCH).and_then(|v| v.to_str().ok()).is_some_and(|tags| matches_etag(tags, &frame.etag));
    let mut answer = HttpResponse::build(if known { StatusCode::NOT_MODIFIED } else { StatusCode::OK });
    answer.insert_header((ETAG, frame.etag.as_str())).insert_header((CACHE_CONTROL, LIVE_CACHE));
    Ok(if known { answer.finish() } else { answer.insert_header((CONTENT_TYPE, "application/json")).body(frame.json.clone()) })
}

/// Weak comparison, as RFC 9110 asks for in `If-None-Match`.
pub fn matches_etag(tags: &str, etag: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    tags.trim() == "*" || tags.split(',').any(|tag| bare(tag) == bare(etag))
}

#[get("/api/v1/live/{code}/stream")]
pub async fn document_stream(request: HttpRequest, code: Path<String>, site: Data<Site>) -> Result<HttpResponse> {
    let event = find_event(&site, &request, &code)?;
    Ok(stream::answer(site.live.public(event).await?, NO_STORE, site.stop.clone()))
}

/// The join link as a picture.
#[route("/api/v1/live/{code}/qr.svg", method = "GET", method = "HEAD")]
pub async fn qr(request: HttpRequest, code: Path<String>, site: Data<Site>) -> Result<HttpResponse> {
    use fast_qr::convert::{Builder, Shape, svg::SvgBuilder};
    let id = find_event(&site, &request, &code)?;
    let event = site.live.event(id).await?;
    let code = fast_qr::QRBuilder::new(site.live.join_url(&event)).ecl(fast_qr::ECL::M).build().map_err(|why| Error::internal(anyhow::anyhow!("qr: {why}")))?;
    let svg = SvgBuilder::default().shape(Shape::Square).to_str(&code);
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "image/svg+xml")).insert_header((CACHE_CONTROL, QR_CACHE)).body(svg))
}

fn find_event(site: &Site, request: &HttpRequest, code: &str) -> Result<crate::domain::EventId> {
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

fn pass_of(request: &HttpRequest, site: &Site, now: Millis) -> Result<Pass> {
    let text = bearer(request).ok_or(Error::Unauthorized(reason("pass_missing", "A vote needs a pass. Join with the code first.")))?;
    site.passes.verify(text, now)
}

/// The poll, if it is in the pass's event. Only when it is not there is the database asked why.
async fn find_poll(site: &Site, pass: &Pass, poll: &str) -> Result<(std::sync::Arc<Event>, usize)> {
    let unknown = || Error::not_found("poll_unknown", "There is no such poll.");
    let poll: PollId = poll.parse().map_err(|_| unknown())?;
    if let Some(found) = site.live.poll(pass.event, poll).await? {
        return Ok(found);
    }
    let _permit = site.guard.ballot_reads.try_acquire().map_err(|_| Error::Busy("many polls are being looked up"))?;
    match site.store.event_of_poll(poll).await? {
        Some(other) if other != pass.event => Err(Error::Forbidden(reason("pass_other_event", "This pass is for another event. Join this one with its code."))),
        _ => Err(unknown()),
    }
}

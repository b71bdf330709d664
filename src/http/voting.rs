//! The voting call. Nearly every vote is taken on the line (`talk`), without HTTP; the others go ahead of the router and of everything that
//! other answers share. At a million votes a second, what is convenient elsewhere would be most of the work here.

use std::cmp::Ordering;
use std::time::Instant;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, ResponseError, post, web};

use super::assets::file_at_hand;
use super::audience::{document_at_hand, find_poll, pass_of};
use super::body::{parse, read_ballot};
use super::noted::{HEADER as NUMBER, is_noted, under_a_number};
use super::plain::{Vote, poll_of};
use super::recent::Seen;
use super::reply::write_receipt;
use super::sharing::Sharing;
use super::site::Site;
use super::traffic::{Route, answered};
use super::{SECURITY_HEADERS, stream};
use crate::clock::now_ms;
use crate::domain::{Ballot, CLOSE_GRACE_MS, Event, EventState, Millis, Poll, PollState};
use crate::error::{Error, Result};
use crate::traces::{self, Asked, Work};
use crate::wire::vote::BallotBody;

static JSON: HeaderValue = HeaderValue::from_static("application/json");
static NO_STORE: HeaderValue = HeaderValue::from_static(super::audience::NO_STORE);

/// Answers votes itself, and snapshots and files that are at hand; lets everything else pass.
pub async fn votes_first<B: MessageBody + 'static>(request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<EitherBody<B>>, actix_web::Error> {
    let (began, route) = (Instant::now(), Route::of(request.method(), request.path()));
    // Here, because whatever answers must say the same about who may read it.
    let sharing = request.app_data::<Data<Site>>().map(|site| site.settings.allowed_origins.say(&request)).unwrap_or_default();
    if route != Route::Ballots || poll_of(request.path()).is_none() {
        let mut answer = others(request, next, route, &sharing).await;
        let status = answer.as_ref().map_or_else(|error| error.as_response_error().status_code(), ServiceResponse::status);
        answered(route, status, began);
        if let Ok(answer) = &mut answer {
            sharing.mark(answer.headers_mut());
        }
        return answer;
    }
    let (request, payload) = request.into_parts();
    // Boxed, or every open connection would hold the room that a vote takes while it is under way. What a vote seldom needs is boxed
    // further in: a large future is copied here each time.
    let mut answer = Box::pin(answer(&request, payload)).await;
    answered(route, answer.status(), began);
    sharing.mark(answer.headers_mut());
    Ok(ServiceResponse::new(request, answer).map_into_right_body())
}

/// What is not a vote: if there is time for it.
async fn others<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
    route: Route,
    sharing: &Sharing,
) -> Result<ServiceResponse<EitherBody<B>>, actix_web::Error> {
    let site: &Site = request.app_data::<Data<Site>>().expect("every worker has one");
    let at_hand = match site.pressure.check(route) {
        Ok(()) => document_at_hand(&request).or_else(|| file_at_hand(&request)).or_else(|| sharing.preflight(&request)),
        Err(shed) if route == Route::Stream => Some(stream::refused(&shed)),
        Err(shed) => Some(shed.error_response()),
    };
    if let Some(answer) = at_hand {
        return Ok(ServiceResponse::new(request.into_parts().0, secured(answer)).map_into_right_body());
    }
    let mut work = traced(&request, route);
    let answer = if is_noted(route) { under_a_number(request, route, async |request| next.call(request).await).await } else { next.call(request).await };
    match &answer {
        Ok(answer) => work.answered(answer.status().as_u16(), || Asked {
            method: answer.request().method().as_str(),
            pattern: answer.request().match_pattern(),
            number: answer.headers().get(&NUMBER).and_then(|number| number.to_str().ok()),
        }),
        Err(error) => work.answered(error.as_response_error().status_code().as_u16(), Asked::default),
    }
    Ok(answer?.map_into_left_body())
}

/// Probes come too often to say anything, and a vote has its batch.
fn traced(request: &ServiceRequest, route: Route) -> Work {
    match route {
        Route::Ballots | Route::Operations => Work::none(),
        _ => traces::request(request.method().as_str(), || request.headers().get("traceparent").and_then(|parent| parent.to_str().ok())),
    }
}

/// What spells the address in another way (`%30` for `0`) finds it through the router.
#[post("/api/v1/polls/{poll}/ballots")]
pub async fn routed(request: HttpRequest, poll: web::Path<String>, payload: web::Payload) -> Result<HttpResponse> {
    cast(&request, &poll, payload.into_inner()).await
}

async fn answer(request: &HttpRequest, payload: Payload) -> HttpResponse {
    let poll = poll_of(request.path()).expect("checked at the door");
    secured(cast(request, poll, payload).await.unwrap_or_else(|error| error.error_response()))
}

/// With the headers of every answer.
fn secured(mut answer: HttpResponse) -> HttpResponse {
    let headers = answer.headers_mut();
    for (name, value) in &SECURITY_HEADERS {
        headers.insert(name.clone(), value.clone());
    }
    answer
}

/// A vote. 202 means safe.
async fn cast(request: &HttpRequest, poll: &str, payload: Payload) -> Result<HttpResponse> {
    let site: &Site = request.app_data::<Data<Site>>().expect("every worker has one");
    let pass = pass_of(request, site, now_ms());
    // Read before anything is refused: what is left unread would cost the phone its connection.
    let body = read_ballot(request, payload).await?;
    let pass = pass?;
    let found = find_poll(site, &pass, poll, now_ms()).await?;
    let poll = found.poll();
    let ballot = parse::<BallotBody<'_>>(&body)?.into_ballot(poll, pass.voter)?;
    // What came before took its time, a slow phone's body up to ten seconds: only now is the vote cast.
    match check_open(&found.event, poll, &ballot, now_ms()) {
        Ok(()) => {}
        Err(closed @ Error::Conflict(_)) => return Box::pin(repeat_after_close(site, &found.event, poll, &ballot, closed)).await,
        Err(other) => return Err(other),
    }
    check_new(site, &ballot)?;
    let (id, lane) = (ballot.ballot, poll.lane(&ballot.picks, site.desk.lanes()));
    let receipt = site.desk.accept(lane, ballot).await?;
    Ok(receipt_answer(id.0, receipt.accepted_at, receipt.counted))
}

/// A vote that is good as far as this thread's memory tells, and its lane. Whatever is wrong with it, or has to be looked up, `cast` says it.
pub fn at_once(site: &Site, vote: &Vote<'_>) -> Option<(u16, Ballot)> {
    // Where other sites may vote, an answer also says to whom it may be shown: HTTP says that, too.
    if !site.settings.allowed_origins.is_empty() {
        return None;
    }
    let now = now_ms();
    let pass = site.passes.verify(vote.pass, now).ok()?;
    let found = site.glance.remembered(pass.event, vote.poll.parse().ok()?, now)?;
    let ballot = parse::<BallotBody<'_>>(vote.body).ok()?.into_ballot(found.poll(), pass.voter).ok()?;
    check_open(&found.event, found.poll(), &ballot, now).ok()?;
    check_new(site, &ballot).ok()?;
    Some((found.poll().lane(&ballot.picks, site.desk.lanes()), ballot))
}

fn check_new(site: &Site, ballot: &Ballot) -> Result<()> {
    if site.recent.note(ballot) == Seen::Differs {
        return Err(Error::conflict("ballot_differs", "This ballot was sent before with other picks. A change of mind needs a new ballot id."));
    }
    Ok(())
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
    let now = now_ms();
    let Some(ended_by) = ended_by(event, poll, ballot.round, now) else { return Err(not_open_yet(site, event, poll, closed).await) };
    // Asked before the ballot is looked up: what is counted in between would be in neither answer.
    // Where nobody has voted yet, a tap that comes before its time is told so at once.
    let waits = ballot.round == poll.round && is_scheduled(poll, now);
    let in_doubt = may_come_yet(site, ended_by) && (poll.locked || !waits);
    // Unknown, not busy: this ballot may be on its way, and nobody may say that it will not be counted.
    let _permit = site.guard.ballot_reads.try_acquire().map_err(|_| Error::Unknown("many ballots are being looked up"))?;
    if let Some(held) = site.store.ballot_of(poll.id, ballot.round, ballot.voter).await.map_err(|_| Error::Unknown("the database is away"))? {
        // The same one; or one that had to give way to this voter's later one, which it would again.
        if held.ballot == *ballot || held.ballot.rank() > ballot.rank() {
            return Ok(receipt_answer(ballot.ballot.0, held.accepted_at, true));
        }
    }
    Err(match in_doubt {
        true => Error::Unknown("the last votes are being counted"),
        false if waits => not_open_yet(site, event, poll, closed).await,
        false => closed,
    })
}

/// When this round ended at the latest; `None` while it goes on, or has not begun.
pub(super) fn ended_by(event: &Event, poll: &Poll, round: u32, now: Millis) -> Option<Millis> {
    if round < poll.round {
        return Some(event.updated_at);
    }
    // Open before, and now waiting for the clock: then it ended when that was set, and has yet to begin again.
    poll.closed_at.or(poll.closes_at.filter(|at| now >= *at)).or(is_scheduled(poll, now).then_some(event.updated_at))
}

fn is_scheduled(poll: &Poll, now: Millis) -> bool {
    poll.state == PollState::Open && poll.opens_at.is_some_and(|at| now < at)
}

/// May a ballot of a round that ended then still be on its way, accepted by another process, or by this one a moment ago? Once all that was
/// accepted in time is counted, there is no doubt left. With lanes in this process there is none either once the lanes are empty.
pub(super) fn may_come_yet(site: &Site, ended_by: Millis) -> bool {
    site.desk.may_hold_ballots() && site.live.settled_through() < ended_by + CLOSE_GRACE_MS
}

/// Never opened, as far as this process knows. A faster one may have opened it, and the phone heard of it there: only the database can tell
/// that from a tap that comes too early.
async fn not_open_yet(site: &Site, event: &Event, poll: &Poll, unopened: Error) -> Error {
    let Ok(_permit) = site.guard.ballot_reads.try_acquire() else { return Error::Busy("many polls are being looked up") };
    match site.store.event(event.id).await {
        Ok(newest) if newest.poll(poll.id).is_some_and(|newest| newest.check_open(now_ms()).is_ok()) => Error::Busy("a question is just being opened"),
        Ok(_) | Err(Error::NotFound(_)) => unopened,
        Err(away) => away,
    }
}

fn receipt_answer(ballot: uuid::Uuid, accepted_at: Millis, counted: bool) -> HttpResponse {
    let mut body = String::with_capacity(112);
    write_receipt(&mut body, ballot, accepted_at, counted);
    let mut answer = HttpResponse::with_body(StatusCode::ACCEPTED, body).map_into_boxed_body();
    answer.headers_mut().insert(CONTENT_TYPE, JSON.clone());
    answer.headers_mut().insert(CACHE_CONTROL, NO_STORE.clone());
    answer
}

//! The back office: setting up, signing in, preparing events and polls, running them.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Data, Path, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post, put};
use subtle::ConstantTimeEq;

use super::audience::{NO_STORE, qr_of};
use super::body::{Json, Nothing};
use super::guard::DeviceId;
use super::phrases::{Phrases, phrases};
use super::sessions::{self, Owner, bearer, check_same_site};
use super::site::{Site, chance};
use super::stream;
use crate::clock::now_ms;
use crate::domain::{AccountId, Email, Event, EventId, JoinCode, Kind, Limits, Millis, Poll, PollId, Question, Slug, Title, Visibility};
use crate::error::{Error, Result, reason};
use crate::store::{Account, EventDraft, PollDraft};
use crate::wire::office::{
    CurrentBody, EventAnswer, EventBody, EventPatch, EventsAnswer, EventsQuery, PasswordBody, PollAnswer, PollBody, PollPatch, SessionAnswer, SetupAnswer,
    SetupBody, SignInBody, StateBody, ViewPatch, VisibilityBody,
};

pub fn routes(config: &mut ServiceConfig) {
    config
        .service(setup_needed)
        .service(set_up)
        .service(sign_in)
        .service(show_session)
        .service(sign_out)
        .service(change_password)
        .service(list_events)
        .service(create_event)
        .service(presenter_document)
        .service(presenter_stream)
        .service(show_event)
        .service(edit_event)
        .service(delete_event)
        .service(create_poll)
        .service(set_current)
        .service(set_view)
        .service(remote_qr)
        .service(show_poll)
        .service(edit_poll)
        .service(delete_poll)
        .service(set_state)
        .service(set_visibility)
        .service(new_round)
        .service(super::export::results)
        .service(super::export::books)
        .service(super::export::ballots_csv);
}

#[get("/api/v1/setup")]
async fn setup_needed(site: Data<Site>) -> Result<HttpResponse> {
    let needed = !site.store.has_account().await?;
    Ok(private(HttpResponse::Ok()).json(SetupAnswer { needed }))
}

#[post("/api/v1/setup")]
async fn set_up(request: HttpRequest, site: Data<Site>, body: Json<SetupBody>) -> Result<HttpResponse> {
    check_same_site(&request, false)?;
    site.guard.set_up(site.settings.trusted_proxies.client_of(&request))?;
    if site.store.has_account().await? {
        return Err(Error::conflict("already_set_up", "There is an account already. Sign in instead."));
    }
    if !bool::from(body.0.token.as_bytes().ct_eq(site.settings.setup_token.as_bytes())) {
        return Err(Error::Forbidden(reason("setup_token_invalid", "This setup link is not valid. Use the one printed when the server started.")));
    }
    let email = Email::parse(&body.0.email)?;
    sessions::check_password(&body.0.password)?;
    let hash = sessions::hash_password(&site, body.0.password).await?;
    let now = now_ms();
    let account = site.store.create_owner(AccountId::compose(now, chance()), email.clone(), hash, now).await?;
    signed_in(&site, account, &email, None).await
}

#[post("/api/v1/session")]
async fn sign_in(request: HttpRequest, site: Data<Site>, body: Json<SignInBody>) -> Result<HttpResponse> {
    check_same_site(&request, false)?;
    let failed = || Error::Unauthorized(reason("login_failed", "Email and password do not fit together."));
    let email = Email::parse(&body.0.email).map_err(|_| failed())?;
    let device = sessions::device_of(&request, &site, &email);
    site.guard.sign_in(site.settings.trusted_proxies.client_of(&request), &email, device)?;
    let (account, hash) = site.store.account_by_email(email.clone()).await?.unzip();
    let fits = sessions::verify_password(&site, body.0.password, hash).await?;
    let account = account.filter(|_| fits).ok_or_else(failed)?;
    // A session that the browser brought along is not taken over: the new one has a token of its own.
    signed_in(&site, account, &email, device).await
}

async fn signed_in(site: &Site, account: Account, email: &Email, device: Option<DeviceId>) -> Result<HttpResponse> {
    let cookie = sessions::open(site, &account).await?;
    let known = sessions::device_cookie(site, email, device);
    Ok(private(HttpResponse::Created()).cookie(cookie).cookie(known).json(SessionAnswer::of(&account)))
}

/// Nobody is an answer, too: a page that asks whether somebody is signed in did nothing wrong. A token that is named and not known is an error; a cookie
/// that has run out is nobody.
#[get("/api/v1/session")]
async fn show_session(request: HttpRequest, owner: Result<Owner>) -> Result<HttpResponse> {
    let owner = match owner {
        Err(Error::Unauthorized(_)) if bearer(&request).is_none() => return Ok(private(HttpResponse::Ok()).json(SessionAnswer::NOBODY)),
        owner => owner?,
    };
    let by_token = Account { id: AccountId(1), email: owner.name, role: crate::store::Role::Owner };
    Ok(private(HttpResponse::Ok()).json(SessionAnswer::of(&owner.account.unwrap_or(by_token))))
}

/// Who only found the browser open cannot do this: it wants the password there is.
#[put("/api/v1/password")]
async fn change_password(request: HttpRequest, owner: Owner, site: Data<Site>, body: Json<PasswordBody>) -> Result<HttpResponse> {
    let (stamp, session) = (owner.stamp(), owner.session);
    let by_token = || Error::conflict("token_only", "An API token has no password. Sign in with email and password to change it.");
    let account = owner.account.ok_or_else(by_token)?;
    let email = Email::parse(&account.email)?;
    // Guessing here is guessing as at the sign-in, and waits as long.
    site.guard.sign_in(site.settings.trusted_proxies.client_of(&request), &email, sessions::device_of(&request, &site, &email))?;
    sessions::check_password(&body.0.password)?;
    let (_, hash) = site.store.account_by_email(email.clone()).await?.unzip();
    if !sessions::verify_password(&site, body.0.current, hash).await? {
        return Err(Error::Forbidden(reason("password_wrong", "This is not the password of this account.")));
    }
    let hash = sessions::hash_password(&site, body.0.password).await?;
    site.store.set_password(email, hash, session, stamp).await?;
    Ok(private(HttpResponse::NoContent()).finish())
}

#[delete("/api/v1/session")]
async fn sign_out(request: HttpRequest, site: Data<Site>) -> Result<HttpResponse> {
    let cookie = sessions::close(&site, &request).await?;
    Ok(private(HttpResponse::NoContent()).cookie(cookie).finish())
}

#[get("/api/v1/events")]
async fn list_events(_owner: Owner, site: Data<Site>, query: Query<EventsQuery>) -> Result<HttpResponse> {
    let listed = site.store.events(query.into_inner().into_listing(now_ms())?).await?;
    Ok(private(HttpResponse::Ok()).json(EventsAnswer::of(listed)))
}

#[post("/api/v1/events")]
async fn create_event(owner: Owner, site: Data<Site>, body: Json<EventBody>) -> Result<HttpResponse> {
    /// With a million codes and thousands of events, twenty draws do not all fail.
    const CODES_TRIED: usize = 20;
    let copied = match &body.0.copy_of {
        Some(event) => Some(site.store.event(event.parse()?).await?),
        None => None,
    };
    let polls = match &copied {
        Some(event) => (now_ms()..).zip(&event.polls).map(|(born, poll)| draft_like(poll, born)).collect::<Result<_>>()?,
        None if body.0.demo => demo_polls(phrases(body.0.lang.as_deref()))?,
        None => Vec::new(),
    };
    let draft = EventDraft {
        id: EventId::compose(now_ms(), chance()),
        codes: (0..CODES_TRIED).map(|_| JoinCode::compose(chance())).collect(),
        slug: body.0.slug.as_deref().filter(|s| !s.trim().is_empty()).map(Slug::parse).transpose()?,
        title: Title::parse(&body.0.title)?,
        rehearsal: body.0.rehearsal,
        accent: copied.as_ref().and_then(|event| event.accent),
        copy_of: copied.as_ref().map(|event| event.id),
        logo: copied.and_then(|event| event.logo),
        polls,
    };
    let event = site.store.create_event(draft, owner.stamp()).await?;
    show_now(&site).await;
    Ok(private(HttpResponse::Created()).json(EventAnswer::of(&event)))
}

/// The same question, not asked yet: no votes, no times. A hundred are made at once: each with a time of its own, as chance alone gives two
/// the same id once in a thousand times.
fn draft_like(poll: &Poll, born: Millis) -> Result<PollDraft> {
    Ok(PollDraft {
        id: PollId::compose(born, chance()),
        kind: poll.kind,
        question: Question::parse(&poll.question)?,
        choices: poll.choices.iter().map(|choice| choice.text.clone()).collect(),
        limits: poll.limits,
        change: poll.change,
        visibility: poll.visibility,
    })
}

/// Two polls to try, one of each kind.
fn demo_polls(words: &Phrases) -> Result<Vec<PollDraft>> {
    let draft = |kind, question: &str, choices: &[&str], max| -> Result<PollDraft> {
        let choices = Poll::parse_choices(choices.iter().copied())?;
        Ok(PollDraft {
            id: PollId::compose(now_ms(), chance()),
            kind,
            question: Question::parse(question)?,
            limits: Limits::parse(kind, None, max, choices.len())?,
            choices,
            change: true,
            visibility: Visibility::Live,
        })
    };
    Ok(vec![draft(Kind::Single, words.demo_film.0, words.demo_film.1, None)?, draft(Kind::Multiple, words.demo_pizza.0, words.demo_pizza.1, Some(3))?])
}

#[get("/api/v1/events/{event}")]
async fn show_event(_owner: Owner, site: Data<Site>, event: Path<String>) -> Result<HttpResponse> {
    let event = site.store.event(event.parse()?).await?;
    Ok(private(HttpResponse::Ok()).json(EventAnswer::of(&event)))
}

#[patch("/api/v1/events/{event}")]
async fn edit_event(owner: Owner, site: Data<Site>, event: Path<String>, body: Json<EventPatch>) -> Result<HttpResponse> {
    let event = site.store.edit_event(event.parse()?, body.0.into_edit()?, owner.stamp()).await?;
    event_answer(&site, &event).await
}

#[delete("/api/v1/events/{event}")]
async fn delete_event(owner: Owner, site: Data<Site>, event: Path<String>, _body: Nothing) -> Result<HttpResponse> {
    let id: EventId = event.parse()?;
    // A removal that was broken off has left a hidden rehearsal behind; asked again, it goes on.
    if site.store.hidden_rehearsal(id).await?.is_none() {
        site.store.delete_event(id, owner.stamp()).await?;
        site.live.unlearn(id);
        show_now(&site).await;
    }
    if let Some(hidden) = site.store.hidden_rehearsal(id).await? {
        site.store.remove_rehearsal(hidden).await?;
    }
    Ok(private(HttpResponse::NoContent()).finish())
}

#[put("/api/v1/events/{event}/current")]
async fn set_current(owner: Owner, site: Data<Site>, event: Path<String>, body: Json<CurrentBody>) -> Result<HttpResponse> {
    let poll = body.0.poll.as_deref().map(str::parse).transpose()?;
    let event = site.store.set_current(event.parse()?, poll, owner.stamp()).await?;
    event_answer(&site, &event).await
}

#[patch("/api/v1/events/{event}/view")]
async fn set_view(owner: Owner, site: Data<Site>, event: Path<String>, body: Json<ViewPatch>) -> Result<HttpResponse> {
    let event = site.store.set_view(event.parse()?, body.0.into_edit()?, owner.stamp()).await?;
    event_answer(&site, &event).await
}

/// For the phone that is to be the remote: it need not type, and signs in there.
#[get("/api/v1/events/{event}/remote.svg")]
async fn remote_qr(_owner: Owner, site: Data<Site>, event: Path<String>) -> Result<HttpResponse> {
    let event = site.live.event(event.parse()?).await?;
    Ok(private(HttpResponse::Ok()).content_type("image/svg+xml").body(qr_of(&site.live.present_url(event.id))?))
}

#[get("/api/v1/events/{event}/live")]
async fn presenter_document(_owner: Owner, site: Data<Site>, event: Path<String>) -> Result<HttpResponse> {
    let frame = site.live.presenter(event.parse()?).await?.borrow().clone();
    Ok(private(HttpResponse::Ok()).content_type("application/json").body(frame.json.clone()))
}

#[get("/api/v1/events/{event}/stream")]
async fn presenter_stream(request: HttpRequest, owner: Owner, site: Data<Site>, event: Path<String>) -> Result<HttpResponse> {
    stream::to_presenter(&request, &site, event.parse()?, owner.session).await
}

#[post("/api/v1/events/{event}/polls")]
async fn create_poll(owner: Owner, site: Data<Site>, event: Path<String>, body: Json<PollBody>) -> Result<HttpResponse> {
    let id = PollId::compose(now_ms(), chance());
    let event = site.store.create_poll(event.parse()?, body.0.into_draft(id)?, owner.stamp()).await?;
    show_edited(&site, &event).await;
    Ok(private(HttpResponse::Created()).json(PollAnswer::of(find(&event, id)?)))
}

#[get("/api/v1/polls/{poll}")]
async fn show_poll(_owner: Owner, site: Data<Site>, poll: Path<String>) -> Result<HttpResponse> {
    let (event, poll) = event_of(&site, &poll).await?;
    let event = site.store.event(event).await?;
    Ok(private(HttpResponse::Ok()).json(PollAnswer::of(find(&event, poll)?)))
}

#[patch("/api/v1/polls/{poll}")]
async fn edit_poll(owner: Owner, site: Data<Site>, poll: Path<String>, body: Json<PollPatch>) -> Result<HttpResponse> {
    let (event, poll) = event_of(&site, &poll).await?;
    let event = site.store.edit_poll(event, poll, body.0.into_edit(poll)?, owner.stamp()).await?;
    poll_answer(&site, &event, poll).await
}

#[delete("/api/v1/polls/{poll}")]
async fn delete_poll(owner: Owner, site: Data<Site>, poll: Path<String>, _body: Nothing) -> Result<HttpResponse> {
    let (event, poll) = event_of(&site, &poll).await?;
    let event = site.store.delete_poll(event, poll, owner.stamp()).await?;
    show_edited(&site, &event).await;
    Ok(private(HttpResponse::NoContent()).finish())
}

#[put("/api/v1/polls/{poll}/state")]
async fn set_state(owner: Owner, site: Data<Site>, poll: Path<String>, body: Json<StateBody>) -> Result<HttpResponse> {
    let (event, poll) = event_of(&site, &poll).await?;
    let event = site.store.set_poll_state(event, poll, body.0.parse()?, owner.stamp()).await?;
    poll_answer(&site, &event, poll).await
}

#[put("/api/v1/polls/{poll}/visibility")]
async fn set_visibility(owner: Owner, site: Data<Site>, poll: Path<String>, body: Json<VisibilityBody>) -> Result<HttpResponse> {
    let (event, poll) = event_of(&site, &poll).await?;
    let event = site.store.set_visibility(event, poll, body.0.parse()?, body.0.revealed, owner.stamp()).await?;
    poll_answer(&site, &event, poll).await
}

#[post("/api/v1/polls/{poll}/rounds")]
async fn new_round(owner: Owner, site: Data<Site>, poll: Path<String>, _body: Nothing) -> Result<HttpResponse> {
    let (event, poll) = event_of(&site, &poll).await?;
    let event = site.store.new_round(event, poll, owner.stamp()).await?;
    show_edited(&site, &event).await;
    Ok(private(HttpResponse::Created()).json(PollAnswer::of(find(&event, poll)?)))
}

/// An answer that no cache may keep.
pub fn private(mut answer: actix_web::HttpResponseBuilder) -> actix_web::HttpResponseBuilder {
    answer.insert_header((CACHE_CONTROL, NO_STORE));
    answer
}

/// Shows the edit in this process's documents before it answers: who edits sees what was edited. The edit is committed, so a failure to
/// show it is no failure of the call.
async fn show_edited(site: &Site, event: &Event) {
    site.live.learn(event);
    show_now(site).await;
}

/// The same of what was written without an event in hand.
async fn show_now(site: &Site) {
    if let Err(error) = site.live.tick().await {
        tracing::warn!(%error, "an edit will show a little later");
        site.live.nudge();
    }
}

pub async fn event_answer(site: &Site, event: &Event) -> Result<HttpResponse> {
    show_edited(site, event).await;
    Ok(private(HttpResponse::Ok()).json(EventAnswer::of(event)))
}

async fn poll_answer(site: &Site, event: &Event, poll: PollId) -> Result<HttpResponse> {
    show_edited(site, event).await;
    Ok(private(HttpResponse::Ok()).json(PollAnswer::of(find(event, poll)?)))
}

pub fn find(event: &Event, poll: PollId) -> Result<&Poll> {
    event.poll(poll).ok_or(Error::not_found("poll_unknown", "There is no such poll."))
}

pub async fn event_of(site: &Site, poll: &str) -> Result<(EventId, PollId)> {
    let unknown = || Error::not_found("poll_unknown", "There is no such poll.");
    let poll: PollId = poll.parse().map_err(|_| unknown())?;
    let event = site.store.event_of_poll(poll).await?.ok_or_else(unknown)?;
    Ok((event, poll))
}

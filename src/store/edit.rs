//! What the back office changes. Every edit is one transaction: it takes the next edition first, which serialises edits and makes
//! them visible to web processes in order, and ends in the audit log.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::live::through_if_any;
use super::read::{event_unknown, load_event, poll_unknown};
use super::{Store, is_taken, reading, writing};
use crate::domain::{
    Accent, CLOSE_GRACE_MS, Choice, Event, EventId, EventState, JoinCode, Kind, Limits, Millis, Poll, PollId, PollState, Question, Slug, Title, Visibility,
};
use crate::error::{Error, Result};

/// Who does it and when; `audit_id` names the line in the log.
#[derive(Clone, Debug)]
pub struct Stamp {
    pub actor: String,
    pub at: Millis,
    pub audit_id: i64,
}

/// An edit that waited longer than this for the database moves its time on. Less is covered by the grace after a close, together with
/// what the other processes take to hear of it (two ticks of 150 ms): 500 ms in all, and the rest of the grace is the line's.
const WAIT_COVERED: Duration = Duration::from_millis(200);

impl Stamp {
    /// With the lock of all edits in hand: a close that had to wait must not bear an earlier time than the votes accepted meanwhile.
    pub(super) fn after(self, waited: Duration) -> Stamp {
        let late = if waited > WAIT_COVERED { waited.as_millis() as Millis } else { 0 };
        Stamp { at: self.at + late, ..self }
    }
}

#[derive(Clone, Debug)]
pub struct EventDraft {
    pub id: EventId,
    /// Join codes to try, in order: the first that is free is taken.
    pub codes: Vec<JoinCode>,
    pub slug: Option<Slug>,
    pub title: Title,
    /// A load test: not in lists, and removable with its ballots.
    pub rehearsal: bool,
    pub polls: Vec<PollDraft>,
}

#[derive(Clone, Debug)]
pub struct PollDraft {
    pub id: PollId,
    pub kind: Kind,
    pub question: Question,
    pub choices: Vec<String>,
    pub limits: Limits,
    pub change: bool,
    pub visibility: Visibility,
}

#[derive(Clone, Debug, Default)]
pub struct EventEdit {
    pub title: Option<Title>,
    /// `Some(None)` takes the short name away.
    pub slug: Option<Option<Slug>>,
    pub state: Option<EventState>,
    /// `Some(None)` takes it away.
    pub accent: Option<Option<Accent>>,
}

#[derive(Clone, Debug, Default)]
pub struct PollEdit {
    pub question: Option<Question>,
    /// The whole list in its new order.
    pub choices: Option<Vec<ChoiceEdit>>,
    pub min: Option<u16>,
    pub max: Option<u16>,
    pub change: Option<bool>,
    pub position: Option<u32>,
    /// `Some(None)` takes the time away.
    pub opens_at: Option<Option<Millis>>,
    pub closes_at: Option<Option<Millis>>,
}

#[derive(Clone, Debug)]
pub struct ChoiceEdit {
    /// `None` is a new choice.
    pub number: Option<u16>,
    pub text: String,
}

/// Most polls in one event: the live document carries all of them.
pub const POLLS_MAX: usize = 100;

/// One edit of one event. `$before` is the event as it was, `$work` may use `$tx`; the answer is the event as it is now.
macro_rules! edit_event {
    ($pool:expr, $event:expr, $stamp:ident, $action:expr, $subject:expr, |$tx:ident, $before:ident| $work:block) => {{
        let began = Instant::now();
        writing!($pool, db => {
            let mut $tx = db.begin().await?;
            let (edition,): (i64,) = sqlx::query_as("update edition set number = number + 1 where id = 1 returning number").fetch_one(&mut *$tx).await?;
            let $stamp = $stamp.after(began.elapsed());
            let $before: Event = load_event!($tx, $event).ok_or_else(event_unknown)?;
            let detail: String = $work;
            sqlx::query("update event set edition = $2, updated_at = $3 where id = $1").bind($event.0).bind(edition).bind($stamp.at).execute(&mut *$tx).await?;
            sqlx::query("insert into audit (id, at, actor, action, subject, detail) values ($1, $2, $3, $4, $5, $6)")
                .bind($stamp.audit_id).bind($stamp.at).bind(&$stamp.actor).bind($action).bind($subject).bind(detail).execute(&mut *$tx).await?;
            let after = load_event!($tx, $event);
            $tx.commit().await?;
            after
        })
    }};
}

pub(super) use edit_event;

macro_rules! insert_poll {
    ($tx:expr, $event:expr, $position:expr, $draft:expr, $now:expr) => {{
        sqlx::query(
            "insert into poll (id, event, position, kind, question, state, round, min_picks, max_picks, change, visibility, revealed, created_at)
             values ($1, $2, $3, $4, $5, 'draft', 1, $6, $7, $8, $9, $10, $11)",
        )
        .bind($draft.id.0)
        .bind($event.0)
        .bind($position)
        .bind($draft.kind.as_str())
        .bind($draft.question.as_str())
        .bind(i32::from($draft.limits.min))
        .bind(i32::from($draft.limits.max))
        .bind($draft.change)
        .bind($draft.visibility.as_str())
        .bind($draft.visibility.revealed_at_first())
        .bind($now)
        .execute(&mut *$tx)
        .await?;
        for (index, text) in $draft.choices.iter().enumerate() {
            sqlx::query("insert into choice (poll, number, position, text) values ($1, $2, $3, $4)")
                .bind($draft.id.0)
                .bind(index as i32 + 1)
                .bind(index as i32)
                .bind(text)
                .execute(&mut *$tx)
                .await?;
        }
    }};
}

macro_rules! close_round {
    ($tx:expr, $poll:expr, $now:expr) => {{
        sqlx::query("update poll set state = 'closed' where id = $1").bind($poll.id.0).execute(&mut *$tx).await?;
        sqlx::query("update round set closed_at = $3 where poll = $1 and round = $2")
            .bind($poll.id.0)
            .bind($poll.round as i32)
            .bind($now)
            .execute(&mut *$tx)
            .await?;
    }};
}

fn slug_taken(error: sqlx::Error) -> Error {
    if is_taken(&error) { Error::conflict("slug_taken", "Another event has this short name already. Pick another one.") } else { error.into() }
}

fn find(event: &Event, poll: PollId) -> Result<&Poll> {
    event.poll(poll).ok_or_else(poll_unknown)
}

impl Store {
    pub async fn create_event(&self, draft: EventDraft, stamp: Stamp) -> Result<Event> {
        let pool = self.office.clone();
        self.owned(async move {
            writing!(&pool, db => {
                let mut tx = db.begin().await?;
                let (edition,): (i64,) = sqlx::query_as("update edition set number = number + 1 where id = 1 returning number").fetch_one(&mut *tx).await?;
                let mut code_found = false;
                for code in &draft.codes {
                    let inserted = sqlx::query(
                        "insert into event (id, code, slug, title, state, edition, created_at, updated_at, rehearsal)
                         values ($1, $2, $3, $4, 'live', $5, $6, $6, $7) on conflict (code) do nothing")
                        .bind(draft.id.0).bind(code.as_str()).bind(draft.slug.as_ref().map(Slug::as_str)).bind(draft.title.as_str()).bind(edition).bind(stamp.at)
                        .bind(draft.rehearsal).execute(&mut *tx).await.map_err(slug_taken)?;
                    code_found = inserted.rows_affected() == 1;
                    if code_found {
                        break;
                    }
                }
                if !code_found {
                    return Err(Error::Busy("no join code is free"));
                }
                for (position, poll) in (0i32..).zip(&draft.polls) {
                    insert_poll!(tx, draft.id, position, poll, stamp.at);
                }
                sqlx::query("insert into audit (id, at, actor, action, subject, detail) values ($1, $2, $3, 'event.create', $4, $5)")
                    .bind(stamp.audit_id).bind(stamp.at).bind(&stamp.actor).bind(draft.id.to_string()).bind(draft.title.as_str()).execute(&mut *tx).await?;
                let event = load_event!(tx, draft.id);
                tx.commit().await?;
                event
            })
            .ok_or_else(event_unknown)
        })
        .await
    }

    pub async fn edit_event(&self, id: EventId, edit: EventEdit, stamp: Stamp) -> Result<Event> {
        let pool = self.office.clone();
        self.owned(async move {
            edit_event!(&pool, id, stamp, "event.edit", id.to_string(), |tx, before| {
                let title = edit.title.as_ref().map_or(before.title.as_str(), Title::as_str);
                let slug = edit.slug.as_ref().map_or(before.slug.as_ref(), Option::as_ref);
                let state = edit.state.unwrap_or(before.state);
                let accent = edit.accent.unwrap_or(before.accent);
                sqlx::query("update event set title = $2, slug = $3, state = $4, accent = $5 where id = $1")
                    .bind(id.0)
                    .bind(title)
                    .bind(slug.map(Slug::as_str))
                    .bind(state.as_str())
                    .bind(accent.map(Accent::text))
                    .execute(&mut *tx)
                    .await
                    .map_err(slug_taken)?;
                if state == EventState::Ended {
                    for poll in before.polls.iter().filter(|p| p.state == PollState::Open) {
                        close_round!(tx, poll, stamp.at);
                    }
                }
                format!("{} | {} -> {}", before.title, before.state.as_str(), state.as_str())
            })
            .ok_or_else(event_unknown)
        })
        .await
    }

    /// Hides the event; its ballots stay. Open polls are closed first, so that nothing is accepted for it any more.
    pub async fn delete_event(&self, id: EventId, stamp: Stamp) -> Result<()> {
        let pool = self.office.clone();
        self.owned(async move {
            edit_event!(&pool, id, stamp, "event.delete", id.to_string(), |tx, before| {
                for poll in before.polls.iter().filter(|p| p.state == PollState::Open) {
                    close_round!(tx, poll, stamp.at);
                }
                // The short name is free for another event; the code stays taken, because it may still stand on a slide.
                sqlx::query("update event set deleted_at = $2, slug = null, logo = null where id = $1").bind(id.0).bind(stamp.at).execute(&mut *tx).await?;
                sqlx::query("delete from logo where not exists (select 1 from event where logo = name)").execute(&mut *tx).await?;
                before.title.clone()
            });
            Ok(())
        })
        .await
    }

    pub async fn create_poll(&self, event: EventId, draft: PollDraft, stamp: Stamp) -> Result<Event> {
        let pool = self.office.clone();
        self.owned(async move {
            edit_event!(&pool, event, stamp, "poll.create", draft.id.to_string(), |tx, before| {
                if before.polls.len() >= POLLS_MAX {
                    return Err(Error::conflict("polls_many", "An event has at most 100 polls."));
                }
                let (position,): (i32,) =
                    sqlx::query_as("select coalesce(max(position), -1) + 1 from poll where event = $1").bind(event.0).fetch_one(&mut *tx).await?;
                insert_poll!(tx, event, position, draft, stamp.at);
                draft.question.as_str().to_owned()
            })
            .ok_or_else(event_unknown)
        })
        .await
    }

    pub async fn edit_poll(&self, event: EventId, poll: PollId, edit: PollEdit, stamp: Stamp) -> Result<Event> {
        let pool = self.office.clone();
        self.owned(async move {
            // Before the poll is read: what was settled by then stands in the row that locks it.
            let (_, settled_through) = through_if_any(&pool).await?;
            edit_event!(&pool, event, stamp, "poll.edit", poll.to_string(), |tx, before| {
                let now = find(&before, poll)?;
                let (last_close,): (Option<i64>,) = sqlx::query_as("select max(closed_at) from round where poll = $1").bind(poll.0).fetch_one(&mut *tx).await?;
                let is_settled = |closed_at: Option<Millis>| closed_at.zip(settled_through).is_none_or(|(at, through)| through >= at + CLOSE_GRACE_MS);
                let plan = PlannedEdit::of(now, &edit, Settled { this_round: is_settled(now.closed_at), all_rounds: is_settled(last_close) })?;
                let (opens_at, closes_at) = planned_times(now, &edit, stamp.at)?;
                sqlx::query("update poll set question = $2, min_picks = $3, max_picks = $4, change = $5, opens_at = $6, closes_at = $7 where id = $1")
                    .bind(poll.0)
                    .bind(plan.question)
                    .bind(i32::from(plan.limits.min))
                    .bind(i32::from(plan.limits.max))
                    .bind(plan.change)
                    .bind(opens_at)
                    .bind(closes_at)
                    .execute(&mut *tx)
                    .await?;
                if let Some(choices) = &edit.choices {
                    let (highest,): (i32,) = sqlx::query_as("select max(number) from choice where poll = $1").bind(poll.0).fetch_one(&mut *tx).await?;
                    sqlx::query("update choice set removed = true where poll = $1").bind(poll.0).execute(&mut *tx).await?;
                    let mut fresh = highest;
                    for (position, choice) in choices.iter().enumerate() {
                        let number = choice.number.map_or_else(
                            || {
                                fresh += 1;
                                fresh
                            },
                            i32::from,
                        );
                        sqlx::query(
                            "insert into choice (poll, number, position, text) values ($1, $2, $3, $4)
                             on conflict (poll, number) do update set position = excluded.position, text = excluded.text, removed = false",
                        )
                        .bind(poll.0)
                        .bind(number)
                        .bind(position as i32)
                        .bind(&choice.text)
                        .execute(&mut *tx)
                        .await?;
                    }
                }
                if let Some(to) = edit.position {
                    let mut order: Vec<PollId> = before.polls.iter().map(|p| p.id).filter(|id| *id != poll).collect();
                    order.insert((to as usize).min(order.len()), poll);
                    for (position, id) in order.iter().enumerate() {
                        sqlx::query("update poll set position = $2 where id = $1").bind(id.0).bind(position as i32).execute(&mut *tx).await?;
                    }
                }
                plan.was
            })
            .ok_or_else(event_unknown)
        })
        .await
    }

    /// Hides the poll; its ballots stay.
    pub async fn delete_poll(&self, event: EventId, poll: PollId, stamp: Stamp) -> Result<()> {
        let pool = self.office.clone();
        self.owned(async move {
            edit_event!(&pool, event, stamp, "poll.delete", poll.to_string(), |tx, before| {
                let now = find(&before, poll)?;
                if now.state == PollState::Open {
                    close_round!(tx, now, stamp.at);
                }
                sqlx::query("update poll set deleted_at = $2 where id = $1").bind(poll.0).bind(stamp.at).execute(&mut *tx).await?;
                now.question.clone()
            });
            Ok(())
        })
        .await
    }

    /// Opens or closes. The first opening also puts the poll on stage.
    pub async fn set_poll_state(&self, event: EventId, poll: PollId, state: PollState, stamp: Stamp) -> Result<Event> {
        let pool = self.office.clone();
        self.owned(async move {
            edit_event!(&pool, event, stamp, "poll.state", poll.to_string(), |tx, before| {
                let now = find(&before, poll)?;
                match (now.state, state) {
                    (_, PollState::Draft) => return Err(Error::invalid("state_invalid", "A poll can be set open or closed.")),
                    (PollState::Draft, PollState::Closed) => {
                        return Err(Error::conflict("poll_draft", "This poll was never opened, so there is nothing to close."));
                    }
                    (PollState::Open, PollState::Open) | (PollState::Closed, PollState::Closed) => {}
                    (PollState::Open, PollState::Closed) => close_round!(tx, now, stamp.at),
                    (PollState::Draft | PollState::Closed, PollState::Open) => {
                        if before.state == EventState::Ended {
                            return Err(Error::conflict("event_ended", "This event has ended. Make it live again to open a poll."));
                        }
                        // A time that has passed would close it again at once.
                        sqlx::query("update poll set state = 'open', closes_at = case when closes_at > $2 then closes_at end where id = $1")
                            .bind(poll.0)
                            .bind(stamp.at)
                            .execute(&mut *tx)
                            .await?;
                        sqlx::query(
                            "insert into round (poll, round, opened_at) values ($1, $2, $3)
                             on conflict (poll, round) do update set closed_at = null",
                        )
                        .bind(poll.0)
                        .bind(now.round as i32)
                        .bind(stamp.at)
                        .execute(&mut *tx)
                        .await?;
                        if now.state == PollState::Draft || before.current.is_none() {
                            sqlx::query("update event set current = $2 where id = $1").bind(event.0).bind(poll.0).execute(&mut *tx).await?;
                        }
                    }
                }
                format!("{} -> {}", now.state.as_str(), state.as_str())
            })
            .ok_or_else(event_unknown)
        })
        .await
    }

    /// Closes what the clock has closed: voting ended at `closes_at` on every phone and server, and here it is written down, with that time.
    /// Every web process does this; the first one wins. Says how many this one closed.
    pub async fn close_by_clock(&self, stamp: impl Fn() -> Stamp) -> Result<usize> {
        let pool = self.office.clone();
        let now = stamp().at;
        let due: Vec<(i64, i64)> = self.owned(async move {
            Ok(reading!(&pool, db => {
                sqlx::query_as("select p.event, p.id from poll p join event e on e.id = p.event
                                where p.state = 'open' and p.closes_at <= $1 and p.deleted_at is null and e.deleted_at is null order by p.closes_at limit 100")
                    .bind(now).fetch_all(db).await?
            }))
        }).await?;
        let mut done = 0;
        for (event, poll) in due {
            let (pool, stamp, poll) = (self.office.clone(), stamp(), PollId(poll));
            let closed = self.owned(async move {
                edit_event!(&pool, EventId(event), stamp, "poll.clock", poll.to_string(), |tx, before| {
                    let now = find(&before, poll)?;
                    let at = now.closes_at.filter(|at| now.state == PollState::Open && *at <= stamp.at).ok_or_else(already_done)?;
                    close_round!(tx, now, at);
                    "open -> closed".to_owned()
                });
                Ok(())
            });
            match closed.await {
                Ok(()) => done += 1,
                // Another process was faster, or it was deleted meanwhile.
                Err(Error::Conflict(_) | Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    pub async fn set_visibility(&self, event: EventId, poll: PollId, visibility: Option<Visibility>, revealed: Option<bool>, stamp: Stamp) -> Result<Event> {
        let pool = self.office.clone();
        self.owned(async move {
            edit_event!(&pool, event, stamp, "poll.visibility", poll.to_string(), |tx, before| {
                let now = find(&before, poll)?;
                let visibility = visibility.unwrap_or(now.visibility);
                let revealed = revealed.unwrap_or(now.revealed);
                sqlx::query("update poll set visibility = $2, revealed = $3 where id = $1")
                    .bind(poll.0)
                    .bind(visibility.as_str())
                    .bind(revealed)
                    .execute(&mut *tx)
                    .await?;
                format!("{} revealed={} -> {} revealed={revealed}", now.visibility.as_str(), now.revealed, visibility.as_str())
            })
            .ok_or_else(event_unknown)
        })
        .await
    }

    pub async fn set_current(&self, event: EventId, poll: Option<PollId>, stamp: Stamp) -> Result<Event> {
        let pool = self.office.clone();
        self.owned(async move {
            edit_event!(&pool, event, stamp, "event.current", event.to_string(), |tx, before| {
                if let Some(poll) = poll {
                    find(&before, poll)?;
                }
                sqlx::query("update event set current = $2 where id = $1").bind(event.0).bind(poll.map(|p| p.0)).execute(&mut *tx).await?;
                poll.map(|p| p.to_string()).unwrap_or_default()
            })
            .ok_or_else(event_unknown)
        })
        .await
    }

    /// Starts a new round, closed and empty; the old one stays for export.
    pub async fn new_round(&self, event: EventId, poll: PollId, stamp: Stamp) -> Result<Event> {
        let pool = self.office.clone();
        self.owned(async move {
            edit_event!(&pool, event, stamp, "poll.round", poll.to_string(), |tx, before| {
                let now = find(&before, poll)?;
                if now.state == PollState::Draft {
                    return Err(Error::conflict("poll_draft", "This poll was never opened, so there is nothing to reset."));
                }
                if now.state == PollState::Open {
                    close_round!(tx, now, stamp.at);
                }
                sqlx::query("update poll set round = round + 1, state = 'closed', revealed = $2, opens_at = null, closes_at = null where id = $1")
                    .bind(poll.0)
                    .bind(now.visibility.revealed_at_first())
                    .execute(&mut *tx)
                    .await?;
                format!("{} -> {}", now.round, now.round + 1)
            })
            .ok_or_else(event_unknown)
        })
        .await
    }
}

fn already_done() -> Error {
    Error::conflict("poll_closed", "This poll is closed already.")
}

fn unsettled() -> Error {
    Error::conflict("poll_unsettled", "The poll was closed a moment ago, and its last votes may still be on their way. Try again in a few seconds.")
}

/// A vote accepted before the close must not turn late afterwards: so a poll is never closed for a time that has passed.
fn planned_times(now: &Poll, edit: &PollEdit, at: Millis) -> Result<(Option<Millis>, Option<Millis>)> {
    let opens_at = edit.opens_at.unwrap_or(now.opens_at);
    let closes_at = edit.closes_at.unwrap_or(now.closes_at);
    if edit.closes_at.flatten().is_some_and(|closes| closes <= at) {
        return Err(Error::invalid("closes_at_past", "The time at which voting closes has passed already."));
    }
    if (edit.opens_at.is_some() || edit.closes_at.is_some()) && opens_at.zip(closes_at).is_some_and(|(opens, closes)| closes <= opens) {
        return Err(Error::invalid("closes_before_opens", "Voting would close before it opens."));
    }
    Ok((opens_at, closes_at))
}

/// Is every vote counted that was ever accepted, but for those that the poll takes now?
#[derive(Clone, Copy)]
struct Settled {
    this_round: bool,
    all_rounds: bool,
}

/// What an edit comes to after the rules have had their say.
struct PlannedEdit<'a> {
    question: &'a str,
    limits: Limits,
    change: bool,
    was: String,
}

impl<'a> PlannedEdit<'a> {
    fn of(now: &'a Poll, edit: &'a PollEdit, settled: Settled) -> Result<PlannedEdit<'a>> {
        let locked = || Error::conflict("poll_locked", "Votes have been cast: texts can be corrected, but choices and rules stay until a new round.");
        let mut count = now.choices.len();
        if let Some(choices) = &edit.choices {
            let known = |number: u16| now.choices.iter().any(|c: &Choice| c.number == number);
            // Named twice, one would stand in for another that goes unseen.
            let mut named = BTreeSet::new();
            if choices.iter().filter_map(|c| c.number).any(|n| !known(n) || !named.insert(n)) {
                return Err(Error::invalid("picks_unknown", "One of the choices does not belong to this poll, or stands there twice."));
            }
            let kept = choices.iter().filter(|c| c.number.is_some()).count();
            if kept != now.choices.len() || choices.len() != kept {
                if now.locked {
                    return Err(locked());
                }
                // A vote may be on its way while the poll is open, though none is counted yet.
                if now.state == PollState::Open {
                    return Err(Error::conflict("poll_open", "Close the poll before adding or removing choices."));
                }
                if !settled.this_round {
                    return Err(unsettled());
                }
            }
            count = choices.len();
        }
        let rules_change =
            edit.min.is_some_and(|m| m != now.limits.min) || edit.max.is_some_and(|m| m != now.limits.max) || edit.change.is_some_and(|c| c != now.change);
        if rules_change {
            if now.locked {
                return Err(locked());
            }
            // Votes on their way were accepted under the rules as they are.
            if now.state == PollState::Open {
                return Err(Error::conflict("poll_open", "Close the poll before changing its rules."));
            }
            // Whether a vote may be changed, counting asks the poll, whatever round the vote is of.
            if !settled.this_round || (edit.change.is_some_and(|c| c != now.change) && !settled.all_rounds) {
                return Err(unsettled());
            }
        }
        // A limit nobody set follows the number of choices.
        let followed = |limit: u16| if usize::from(limit) >= now.choices.len() { count as u16 } else { limit.min(count as u16) };
        let (min, max) = match now.kind {
            Kind::Single => (edit.min, edit.max),
            Kind::Multiple => (Some(edit.min.unwrap_or(now.limits.min.min(count as u16))), Some(edit.max.unwrap_or(followed(now.limits.max)))),
        };
        let was = format!("{} | {}", now.question, now.choices.iter().map(|c| c.text.as_str()).collect::<Vec<_>>().join(" / "));
        Ok(PlannedEdit {
            question: edit.question.as_ref().map_or(now.question.as_str(), Question::as_str),
            limits: Limits::parse(now.kind, min, max, count)?,
            change: edit.change.unwrap_or(now.change),
            was,
        })
    }
}

//! Polls: written into an event, changed as the rules allow, hidden.

use super::plan::{PlannedEdit, Settled, planned_times};
use super::{Stamp, close_round, edit_event, find};
use crate::domain::{CLOSE_GRACE_MS, Event, EventId, Kind, Limits, Millis, PollId, PollState, Question, Visibility};
use crate::error::{Error, Result};
use crate::store::live::through_if_any;
use crate::store::read::{event_unknown, load_event};
use crate::store::{Store, writing};

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
pub struct PollEdit {
    pub kind: Option<Kind>,
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

pub(super) use insert_poll;

impl Store {
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
                let (voted,): (bool,) = sqlx::query_as("select exists (select 1 from book where poll = $1)").bind(poll.0).fetch_one(&mut *tx).await?;
                let settled = Settled { this_round: is_settled(now.closed_at), all_rounds: is_settled(last_close), no_votes: !voted };
                let plan = PlannedEdit::of(now, &edit, settled)?;
                let (opens_at, closes_at) = planned_times(now, &edit, stamp.at)?;
                sqlx::query(
                    "update poll set question = $2, min_picks = $3, max_picks = $4, change = $5, opens_at = $6, closes_at = $7, kind = $8 where id = $1",
                )
                .bind(poll.0)
                .bind(plan.question)
                .bind(i32::from(plan.limits.min))
                .bind(i32::from(plan.limits.max))
                .bind(plan.change)
                .bind(opens_at)
                .bind(closes_at)
                .bind(plan.kind.as_str())
                .execute(&mut *tx)
                .await?;
                if now.state == PollState::Open && now.opens_at.is_some_and(|at| at > stamp.at) && opens_at.is_none() {
                    // Opened by hand after all: it waits no longer.
                    sqlx::query("update event set current = $2 where id = $1").bind(event.0).bind(poll.0).execute(&mut *tx).await?;
                }
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
    pub async fn delete_poll(&self, event: EventId, poll: PollId, stamp: Stamp) -> Result<Event> {
        let pool = self.office.clone();
        self.owned(async move {
            edit_event!(&pool, event, stamp, "poll.delete", poll.to_string(), |tx, before| {
                let now = find(&before, poll)?;
                if now.state == PollState::Open {
                    close_round!(tx, now, stamp.at);
                }
                sqlx::query("update poll set deleted_at = $2 where id = $1").bind(poll.0).bind(stamp.at).execute(&mut *tx).await?;
                now.question.clone()
            })
            .ok_or_else(event_unknown)
        })
        .await
    }
}

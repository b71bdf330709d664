//! Events: made with their polls, changed, hidden. Not what is shown of them at the moment (`stage`).

use super::poll::{PollDraft, insert_poll};
use super::{Closing, Stamp, close_round, edit_event};
use crate::domain::{Accent, Event, EventId, EventState, JoinCode, LogoName, PollState, Slug, Title};
use crate::error::{Error, Result};
use crate::store::read::{event_unknown, load_event};
use crate::store::{Store, is_taken, writing};

#[derive(Clone, Debug)]
pub struct EventDraft {
    pub id: EventId,
    /// Join codes to try, in order: the first that is free is taken.
    pub codes: Vec<JoinCode>,
    pub slug: Option<Slug>,
    pub title: Title,
    /// A load test: not in lists, and removable with its ballots.
    pub rehearsal: bool,
    pub accent: Option<Accent>,
    /// Of a picture that another event has; none if that has lost it by then.
    pub logo: Option<LogoName>,
    /// What the above was taken from.
    pub copy_of: Option<EventId>,
    pub polls: Vec<PollDraft>,
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
                        "insert into event (id, code, slug, title, state, edition, created_at, updated_at, rehearsal, accent, logo)
                         values ($1, $2, $3, $4, 'live', $5, $6, $6, $7, $8, (select name from logo where name = $9)) on conflict (code) do nothing")
                        .bind(draft.id.0).bind(code.as_str()).bind(draft.slug.as_ref().map(Slug::as_str)).bind(draft.title.as_str()).bind(edition).bind(stamp.at)
                        .bind(draft.rehearsal).bind(draft.accent.map(Accent::text)).bind(draft.logo.as_ref().map(LogoName::as_str)).execute(&mut *tx).await.map_err(slug_taken)?;
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
                let detail = draft.copy_of.map_or_else(|| draft.title.as_str().to_owned(), |copied| format!("{} | copy of {copied}", draft.title.as_str()));
                sqlx::query("insert into audit (id, at, actor, action, subject, detail) values ($1, $2, $3, 'event.create', $4, $5)")
                    .bind(stamp.audit_id).bind(stamp.at).bind(&stamp.actor).bind(draft.id.to_string()).bind(detail).execute(&mut *tx).await?;
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
            let (closing, mut closes) = (Closing::begin(&stamp), false);
            let event = edit_event!(&pool, id, stamp, "event.edit", id.to_string(), |tx, before| {
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
                        closes = true;
                        close_round!(tx, poll, closing.ahead);
                    }
                }
                format!("{} | {} -> {}", before.title, before.state.as_str(), state.as_str())
            })
            .ok_or_else(event_unknown)?;
            Ok(if closes { closing.date(&pool, event).await } else { event })
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
}

fn slug_taken(error: sqlx::Error) -> Error {
    if is_taken(&error) { Error::conflict("slug_taken", "Another event has this short name already. Pick another one.") } else { error.into() }
}

//! What a presenter does while people vote: opens, closes, shows, reveals, starts again. And the clock, which closes like one.

use super::{Closing, Stamp, close_round, edit_event, find};
use crate::domain::{Event, EventId, EventState, PollId, PollState, ViewEdit, Visibility};
use crate::error::{Error, Result};
use crate::store::read::{event_unknown, load_event};
use crate::store::{Store, reading, writing};

impl Store {
    /// Opens or closes. The first opening also puts the poll on stage; one that waits for the clock comes there when its time has come, unless
    /// nothing else is there.
    pub async fn set_poll_state(&self, event: EventId, poll: PollId, state: PollState, stamp: Stamp) -> Result<Event> {
        let pool = self.office.clone();
        self.owned(async move {
            let (closing, mut closes) = (Closing::begin(&stamp), false);
            let event = edit_event!(&pool, event, stamp, "poll.state", poll.to_string(), |tx, before| {
                let now = find(&before, poll)?;
                match (now.state, state) {
                    (_, PollState::Draft) => return Err(Error::invalid("state_invalid", "A poll can be set open or closed.")),
                    (PollState::Draft, PollState::Closed) => {
                        return Err(Error::conflict("poll_draft", "This poll was never opened, so there is nothing to close."));
                    }
                    (PollState::Open, PollState::Open) | (PollState::Closed, PollState::Closed) => {}
                    (PollState::Open, PollState::Closed) => {
                        closes = true;
                        close_round!(tx, now, closing.ahead);
                    }
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
                        let waits = now.opens_at.is_some_and(|at| at > stamp.at);
                        if (now.state == PollState::Draft && !waits) || before.current.is_none() {
                            sqlx::query("update event set current = $2 where id = $1").bind(event.0).bind(poll.0).execute(&mut *tx).await?;
                        }
                    }
                }
                format!("{} -> {}", now.state.as_str(), state.as_str())
            })
            .ok_or_else(event_unknown)?;
            Ok(if closes { closing.date(&pool, event).await } else { event })
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

    /// Puts on stage what the clock has opened. Votes were taken from `opens_at` on, whatever this does; it has no time to wait for any more.
    /// Every web process does this; the first one wins. Says how many this one put there.
    pub async fn open_by_clock(&self, stamp: impl Fn() -> Stamp) -> Result<usize> {
        let pool = self.office.clone();
        let now = stamp().at;
        let due: Vec<(i64, i64)> = self.owned(async move {
            Ok(reading!(&pool, db => {
                sqlx::query_as("select p.event, p.id from poll p join event e on e.id = p.event
                                where p.state = 'open' and p.opens_at <= $1 and p.deleted_at is null and e.deleted_at is null order by p.opens_at limit 100")
                    .bind(now).fetch_all(db).await?
            }))
        }).await?;
        let mut done = 0;
        for (event, poll) in due {
            let (pool, stamp, poll) = (self.office.clone(), stamp(), PollId(poll));
            let opened = self.owned(async move {
                edit_event!(&pool, EventId(event), stamp, "poll.clock", poll.to_string(), |tx, before| {
                    let now = find(&before, poll)?;
                    now.opens_at.filter(|at| now.state == PollState::Open && *at <= stamp.at).ok_or_else(already_done)?;
                    sqlx::query("update poll set opens_at = null where id = $1").bind(poll.0).execute(&mut *tx).await?;
                    sqlx::query("update event set current = $2 where id = $1").bind(event).bind(poll.0).execute(&mut *tx).await?;
                    "opens_at -> open".to_owned()
                });
                Ok(())
            });
            match opened.await {
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
                let revealed = revealed.unwrap_or_else(|| now.stays_revealed(visibility));
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

    /// What the presenter's screens show beside the poll. To the audience it is as if nothing had happened.
    pub async fn set_view(&self, event: EventId, edit: ViewEdit, stamp: Stamp) -> Result<Event> {
        let pool = self.office.clone();
        self.owned(async move {
            edit_event!(&pool, event, stamp, "event.view", event.to_string(), |tx, before, edition| {
                let view = before.view.with(edit, edition as u64)?;
                sqlx::query(
                    "insert into stage_view (event, edition, joining, blank, sorted, earlier, numbers, size) values ($1, $2, $3, $4, $5, $6, $7, $8)
                     on conflict (event) do update set edition = excluded.edition, joining = excluded.joining, blank = excluded.blank,
                         sorted = excluded.sorted, earlier = excluded.earlier, numbers = excluded.numbers, size = excluded.size",
                )
                .bind(event.0)
                .bind(edition)
                .bind(view.joining)
                .bind(view.blank)
                .bind(view.sorted)
                .bind(view.earlier)
                .bind(view.numbers.as_str())
                .bind(i32::from(view.size))
                .execute(&mut *tx)
                .await?;
                format!("{view:?}")
            })
            .ok_or_else(event_unknown)
        })
        .await
    }

    /// Starts a new round, closed and empty; the old one stays for export.
    pub async fn new_round(&self, event: EventId, poll: PollId, stamp: Stamp) -> Result<Event> {
        let pool = self.office.clone();
        self.owned(async move {
            let (closing, mut closes) = (Closing::begin(&stamp), false);
            let event = edit_event!(&pool, event, stamp, "poll.round", poll.to_string(), |tx, before| {
                let now = find(&before, poll)?;
                if now.state == PollState::Draft {
                    return Err(Error::conflict("poll_draft", "This poll was never opened, so there is nothing to reset."));
                }
                if now.state == PollState::Open {
                    closes = true;
                    close_round!(tx, now, closing.ahead);
                }
                sqlx::query("update poll set round = round + 1, state = 'closed', revealed = $2, opens_at = null, closes_at = null where id = $1")
                    .bind(poll.0)
                    .bind(now.visibility.revealed_at_first())
                    .execute(&mut *tx)
                    .await?;
                format!("{} -> {}", now.round, now.round + 1)
            })
            .ok_or_else(event_unknown)?;
            Ok(if closes { closing.date(&pool, event).await } else { event })
        })
        .await
    }
}

fn already_done() -> Error {
    Error::conflict("poll_closed", "This poll is closed already.")
}

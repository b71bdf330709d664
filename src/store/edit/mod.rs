//! What the back office changes. Every edit is one transaction: it takes the next edition first, which serialises edits and makes
//! them visible to web processes in order, and ends in the audit log.
//!
//! `event` and `poll` make, change and hide what people are asked; `stage` is what a presenter does while they are: opening, closing,
//! revealing, resetting. What a change of a poll comes to is `plan`, without the database.

mod event;
mod plan;
mod poll;
mod stage;

pub use event::{EventDraft, EventEdit};
pub use poll::{ChoiceEdit, PollDraft, PollEdit};

use std::time::{Duration, Instant};

use super::read::{load_event, poll_unknown};
use super::{Pool, writing};
use crate::domain::{Event, EventId, Millis, Poll, PollId};
use crate::error::Result;

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
    /// With the lock of all edits in hand: its time is not earlier than that of the edits before it.
    pub(super) fn after(self, waited: Duration) -> Stamp {
        Stamp { at: self.at + moved_on(waited), ..self }
    }
}

fn moved_on(waited: Duration) -> Millis {
    if waited > WAIT_COVERED { waited.as_millis() as Millis } else { 0 }
}

/// A close is written down twice. Votes are accepted until all processes know of it, and how long its own commit takes nobody knows before:
/// so first it bears a time that lies ahead, with which nothing is late and nothing final; then, when the commit is over, its own. Whoever dies
/// in between leaves a close whose result is final so much later.
struct Closing {
    began: Instant,
    asked: Millis,
    /// What it bears at first.
    ahead: Millis,
}

const CLOSING_AHEAD_MS: Millis = 60_000;
/// Whoever closed is answered after this: it is closed, and that is what they wait to hear.
const DATED_WITHIN: Duration = Duration::from_secs(1);
/// Where a close took long, all know of it after so many times as long: of the dozen statements and the commit it was, another process asks about
/// eight in each of its looks (the pulse, the event, its numbers), and the look that is going on is too early.
const KNOWN_AFTER: Millis = 3;

impl Closing {
    fn begin(stamp: &Stamp) -> Closing {
        Closing { began: Instant::now(), asked: stamp.at, ahead: stamp.at + CLOSING_AHEAD_MS }
    }

    /// It is committed, and the other processes have yet to read it.
    async fn date(self, pool: &Pool, closed: Event) -> Event {
        let at = self.asked + moved_on(self.began.elapsed()) * KNOWN_AFTER;
        let (pool, event, ahead) = (pool.clone(), closed.id, self.ahead);
        let dating = tokio::spawn(async move {
            let dated = write_close(&pool, event, ahead, at).await;
            dated.inspect_err(|error| {
                tracing::warn!(%error, %event, "a poll is closed, but when could not be written down: its result will be final a minute later");
            })
        });
        match tokio::time::timeout(DATED_WITHIN, dating).await {
            Ok(Ok(Ok(Some(dated)))) => dated,
            // It goes on by itself. Whoever asked hears the time that it is going to bear.
            Err(_elapsed) => {
                let mut closed = closed;
                // That is not what is written yet: the edition before it is read again as soon as it can be.
                closed.edition -= 1;
                closed.polls.iter_mut().filter(|poll| poll.closed_at == Some(ahead)).for_each(|poll| poll.closed_at = Some(at));
                closed
            }
            // Not dated, or deleted meanwhile.
            Ok(_) => closed,
        }
    }
}

async fn write_close(pool: &Pool, event: EventId, ahead: Millis, at: Millis) -> Result<Option<Event>> {
    Ok(writing!(pool, db => {
        let mut tx = db.begin().await?;
        let (edition,): (i64,) = sqlx::query_as("update edition set number = number + 1 where id = 1 returning number").fetch_one(&mut *tx).await?;
        sqlx::query("update round set closed_at = $3 where closed_at = $2 and poll in (select id from poll where event = $1)")
            .bind(event.0).bind(ahead).bind(at).execute(&mut *tx).await?;
        sqlx::query("update event set edition = $2 where id = $1").bind(event.0).bind(edition).execute(&mut *tx).await?;
        let after = load_event!(tx, event);
        tx.commit().await?;
        after
    }))
}

/// One edit of one event. `$before` is the event as it was, `$work` may use `$tx`; the answer is the event as it is now.
macro_rules! edit_event {
    ($pool:expr, $event:expr, $stamp:ident, $action:expr, $subject:expr, |$tx:ident, $before:ident| $work:block) => {
        edit_event!($pool, $event, $stamp, $action, $subject, |$tx, $before, edition| $work)
    };
    ($pool:expr, $event:expr, $stamp:ident, $action:expr, $subject:expr, |$tx:ident, $before:ident, $edition:ident| $work:block) => {{
        let began = std::time::Instant::now();
        writing!($pool, db => {
            let mut $tx = db.begin().await?;
            let ($edition,): (i64,) = sqlx::query_as("update edition set number = number + 1 where id = 1 returning number").fetch_one(&mut *$tx).await?;
            let $stamp = $stamp.after(began.elapsed());
            let $before: $crate::domain::Event = load_event!($tx, $event).ok_or_else($crate::store::read::event_unknown)?;
            let detail: String = $work;
            sqlx::query("update event set edition = $2, updated_at = $3 where id = $1").bind($event.0).bind($edition).bind($stamp.at).execute(&mut *$tx).await?;
            sqlx::query("insert into audit (id, at, actor, action, subject, detail) values ($1, $2, $3, $4, $5, $6)")
                .bind($stamp.audit_id).bind($stamp.at).bind(&$stamp.actor).bind($action).bind($subject).bind(detail).execute(&mut *$tx).await?;
            let after = load_event!($tx, $event);
            $tx.commit().await?;
            after
        })
    }};
}

pub(super) use edit_event;

/// Ends the round a poll is in.
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

use close_round;

fn find(event: &Event, poll: PollId) -> Result<&Poll> {
    event.poll(poll).ok_or_else(poll_unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_that_waited_long_bears_a_later_time() {
        let at = |waited| Stamp { actor: String::new(), at: 1_000, audit_id: 1 }.after(Duration::from_millis(waited)).at;
        assert_eq!((at(0), at(200), at(201)), (1_000, 1_000, 1_201));
    }
}

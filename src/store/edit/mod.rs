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

use std::time::Duration;

use super::read::poll_unknown;
use crate::domain::{Event, Millis, Poll, PollId};
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
    /// With the lock of all edits in hand: a close that had to wait must not bear an earlier time than the votes accepted meanwhile.
    pub(super) fn after(self, waited: Duration) -> Stamp {
        let late = if waited > WAIT_COVERED { waited.as_millis() as Millis } else { 0 };
        Stamp { at: self.at + late, ..self }
    }
}

/// One edit of one event. `$before` is the event as it was, `$work` may use `$tx`; the answer is the event as it is now.
macro_rules! edit_event {
    ($pool:expr, $event:expr, $stamp:ident, $action:expr, $subject:expr, |$tx:ident, $before:ident| $work:block) => {{
        let began = std::time::Instant::now();
        writing!($pool, db => {
            let mut $tx = db.begin().await?;
            let (edition,): (i64,) = sqlx::query_as("update edition set number = number + 1 where id = 1 returning number").fetch_one(&mut *$tx).await?;
            let $stamp = $stamp.after(began.elapsed());
            let $before: $crate::domain::Event = load_event!($tx, $event).ok_or_else($crate::store::read::event_unknown)?;
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

//! Removing a rehearsal with everything that was counted in it. The one place that deletes ballots; it finds only events that are
//! flagged as rehearsals and already hidden.

use std::time::Duration;

use uuid::Uuid;

use super::live::through;
use super::{Pool, Store, reading, writing};
use crate::domain::{CLOSE_GRACE_MS, EventId, Millis};
use crate::error::{Error, Result};

/// Ballots deleted in one transaction: a fraction of a second, so that counting, which may share the one writer, goes on between two.
const STEP_ROWS: i64 = 5_000;
/// Votes may still be on their way into a poll that closed just now: grace and beat come to three seconds.
const LAST_VOTES_WITHIN: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A rehearsal that nobody can reach any more.
#[derive(Clone, Debug)]
pub struct HiddenRehearsal {
    pub id: EventId,
    /// (poll, its newest round)
    polls: Vec<(i64, i32)>,
    closed_at: Millis,
}

impl Store {
    /// `None` for events people made, and for rehearsals that are not deleted or have nothing left to remove.
    pub async fn hidden_rehearsal(&self, id: EventId) -> Result<Option<HiddenRehearsal>> {
        let pool = self.office.clone();
        self.owned(async move {
            let rows: Vec<(i64, i32, i64)> = reading!(&pool, db => sqlx::query_as(
                "select p.id, p.round, coalesce((select max(r.closed_at) from round r where r.poll = p.id), 0)
                 from event e join poll p on p.event = e.id
                 where e.id = $1 and e.rehearsal and e.deleted_at is not null")
                .bind(id.0).fetch_all(db).await)?;
            let closed_at = rows.iter().map(|r| r.2).max().unwrap_or(0);
            let polls: Vec<(i64, i32)> = rows.into_iter().map(|(poll, round, _)| (poll, round)).collect();
            Ok((!polls.is_empty()).then_some(HiddenRehearsal { id, polls, closed_at }))
        })
        .await
    }

    /// Deletes the ballots, tallies, books and polls of a hidden rehearsal in steps. Its line in `event` stays, as the sign by which web
    /// processes learn that it is gone. Broken off, it can be asked for again.
    pub async fn remove_rehearsal(&self, rehearsal: HiddenRehearsal) -> Result<()> {
        let (office, live) = (self.office.clone(), self.live.clone());
        self.owned(async move {
            // A batch that is counted after the removal would leave rows that belong to nothing.
            let waited = tokio::time::timeout(LAST_VOTES_WITHIN, async {
                while rehearsal.closed_at > 0 && through(&live).await?.0 < rehearsal.closed_at + CLOSE_GRACE_MS {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Ok::<(), Error>(())
            });
            waited.await.map_err(|_| Error::Busy("the last votes of this rehearsal are being counted"))??;
            for (poll, newest_round) in &rehearsal.polls {
                for round in 1..=*newest_round {
                    remove_ballots(&office, *poll, round).await?;
                }
                remove_poll(&office, *poll).await?;
            }
            Ok(())
        })
        .await
    }
}

async fn remove_ballots(pool: &Pool, poll: i64, round: i32) -> Result<()> {
    let mut from = Uuid::nil();
    loop {
        // By keys, and not by `limit`: each step begins where the last one ended, and does not look at what is already gone.
        let next: Option<(Uuid,)> = reading!(pool, db => sqlx::query_as(
            "select voter from ballot where poll = $1 and round = $2 and voter >= $3 order by voter limit 1 offset $4")
            .bind(poll).bind(round).bind(from).bind(STEP_ROWS).fetch_optional(db).await)?;
        let to = next.map_or(Uuid::max(), |(voter,)| voter);
        writing!(pool, db => {
            sqlx::query("delete from ballot where poll = $1 and round = $2 and voter >= $3 and (voter < $4 or $5)")
                .bind(poll).bind(round).bind(from).bind(to).bind(next.is_none()).execute(db).await?;
        });
        match next {
            Some((voter,)) => from = voter,
            None => return Ok(()),
        }
    }
}

/// What is left is a few rows per lane and choice.
async fn remove_poll(pool: &Pool, poll: i64) -> Result<()> {
    writing!(pool, db => {
        let mut tx = db.begin().await?;
        for table in [
            "delete from late_ballot where poll = $1",
            "delete from tally where poll = $1",
            "delete from book where poll = $1",
            "delete from round where poll = $1",
            "delete from choice where poll = $1",
            "delete from poll where id = $1",
        ] {
            sqlx::query(table).bind(poll).execute(&mut *tx).await?;
        }
        tx.commit().await?;
    });
    Ok(())
}

//! The rows of one round, page by page in the order of their voters: for whoever wants to count again.

use uuid::Uuid;

use super::{Store, reading};
use crate::domain::{BallotId, Millis, Picks, PollId, VoterId};
use crate::error::Result;

/// A ballot that counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BallotRow {
    pub voter: VoterId,
    pub ballot: BallotId,
    pub revision: u32,
    pub picks: Picks,
    pub accepted_at: Millis,
}

impl Store {
    /// At most `rows_max` rows behind `after`, in the order of voters; fewer mean that these are the last. Each page is read by itself:
    /// while people vote, a later one may hold ballots that an earlier one could not.
    pub async fn ballots(&self, poll: PollId, round: u32, after: Option<VoterId>, rows_max: u32) -> Result<Vec<BallotRow>> {
        type Row = (Uuid, Uuid, i32, String, i64);
        let pool = self.office.clone();
        self.owned(async move {
            let rows: Vec<Row> = match after {
                None => reading!(&pool, db => sqlx::query_as(
                    "select voter, ballot, revision, picks, accepted_at from ballot
                     where poll = $1 and round = $2
                     order by voter limit $3")
                    .bind(poll.0).bind(round as i32).bind(i64::from(rows_max)).fetch_all(db).await)?,
                Some(VoterId(after)) => reading!(&pool, db => sqlx::query_as(
                    "select voter, ballot, revision, picks, accepted_at from ballot
                     where poll = $1 and round = $2 and voter > $3
                     order by voter limit $4")
                    .bind(poll.0).bind(round as i32).bind(after).bind(i64::from(rows_max)).fetch_all(db).await)?,
            };
            let row = |(voter, ballot, revision, picks, accepted_at): Row| {
                Ok(BallotRow { voter: VoterId(voter), ballot: BallotId(ballot), revision: revision as u32, picks: Picks::parse(&picks)?, accepted_at })
            };
            rows.into_iter().map(row).collect()
        })
        .await
    }
}

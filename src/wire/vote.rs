//! What a phone sends and gets.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{Ballot, BallotId, ChoiceId, Millis, Pick, Poll, VoterId};
use crate::error::{Error, Result};

/// Body of `POST /polls/{poll}/ballots`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BallotBody<'a> {
    ballot: Uuid,
    revision: u32,
    #[serde(borrow)]
    picks: Vec<PickBody<'a>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PickBody<'a> {
    Plain(#[serde(borrow)] Cow<'a, str>),
    #[serde(borrow)]
    Weighted(WeightedPick<'a>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WeightedPick<'a> {
    #[serde(borrow)]
    choice: Cow<'a, str>,
    weight: u32,
}

/// Revisions go into a signed 32-bit column; nobody changes their mind that often.
const REVISION_MAX: u32 = 1_000_000;

impl BallotBody<'_> {
    /// The ballot this body means in this poll, its picks checked by the poll's rules.
    pub fn into_ballot(self, poll: &Poll, voter: VoterId) -> Result<Ballot> {
        if self.ballot.is_nil() {
            return Err(Error::invalid("ballot_invalid", "A ballot needs an id of its own."));
        }
        if self.revision == 0 || self.revision > REVISION_MAX {
            return Err(Error::invalid("revision_invalid", "The revision of a ballot lies between 1 and 1000000."));
        }
        if self.revision > 1 && !poll.change {
            return Err(Error::conflict("change_not_allowed", "A vote in this poll cannot be changed."));
        }
        let mut picks = Vec::with_capacity(self.picks.len());
        for pick in &self.picks {
            let (choice, weight) = match pick {
                PickBody::Plain(choice) => (choice, 1),
                PickBody::Weighted(WeightedPick { choice, weight }) => (choice, *weight),
            };
            let choice: ChoiceId = choice.parse()?;
            if choice.poll != poll.id {
                return Err(Error::invalid("picks_unknown", "One of the picks is not a choice of this poll."));
            }
            picks.push(Pick { choice: choice.number, weight });
        }
        Ok(Ballot { poll: poll.id, round: poll.round, voter, ballot: BallotId(self.ballot), revision: self.revision, picks: poll.accept(&picks)? })
    }
}

/// The 202.
#[derive(Serialize)]
pub struct Receipt {
    pub ballot: Uuid,
    pub accepted_at: Millis,
    /// `received`, or `counted` where it already is in the tally.
    pub status: &'static str,
}

#[derive(Serialize)]
pub struct PassAnswer<'a> {
    pub pass: &'a str,
    pub voter: Uuid,
    pub level: &'static str,
}

#[derive(Serialize)]
pub struct MyBallot {
    ballot: Uuid,
    revision: u32,
    picks: Vec<String>,
    status: &'static str,
}

impl MyBallot {
    pub fn of(ballot: &Ballot) -> MyBallot {
        MyBallot {
            ballot: ballot.ballot.0,
            revision: ballot.revision,
            picks: ballot.picks.iter().map(|p| super::choice_id(ballot.poll, p.choice)).collect(),
            status: "counted",
        }
    }
}

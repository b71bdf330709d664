//! What a phone sends and gets.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::domain::{Ballot, BallotId, ChoiceId, Pick, Poll, VoterId};
use crate::error::{Error, Result};

/// Body of `POST /polls/{poll}/ballots`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BallotBody<'a> {
    ballot: Uuid,
    revision: u32,
    #[serde(borrow)]
    picks: Vec<PickBody<'a>>,
    /// The round the voter saw. Without it, a tap that was on its way for long would count in a round it was not meant for.
    round: Option<u32>,
}

/// `"<choice>"`, or `{"choice":"<choice>","weight":3}`.
struct PickBody<'a> {
    choice: Cow<'a, str>,
    weight: u32,
}

/// By hand: serde's untagged enum would copy every pick first, and take a list for an object.
impl<'de: 'a, 'a> Deserialize<'de> for PickBody<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PickVisitor;

        impl<'de> Visitor<'de> for PickVisitor {
            type Value = PickBody<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a choice, or a choice with its weight")
            }

            fn visit_borrowed_str<E>(self, choice: &'de str) -> Result<Self::Value, E> {
                Ok(PickBody { choice: Cow::Borrowed(choice), weight: 1 })
            }

            fn visit_str<E>(self, choice: &str) -> Result<Self::Value, E> {
                Ok(PickBody { choice: Cow::Owned(choice.to_owned()), weight: 1 })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let WeightedPick { choice, weight } = WeightedPick::deserialize(MapAccessDeserializer::new(map))?;
                Ok(PickBody { choice, weight })
            }
        }

        deserializer.deserialize_any(PickVisitor)
    }
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
    /// The ballot this body means in this poll, its picks checked by the poll's rules. Its round need not be the poll's any more: then its picks
    /// are as they came, for the rules of a round that is over are not known, and choices may have gone since. What was accepted by them
    /// is to be found again.
    pub fn into_ballot(self, poll: &Poll, voter: VoterId) -> Result<Ballot> {
        if self.ballot.is_nil() {
            return Err(Error::invalid("ballot_invalid", "A ballot needs an id of its own."));
        }
        if self.revision == 0 || self.revision > REVISION_MAX {
            return Err(Error::invalid("revision_invalid", "The revision of a ballot lies between 1 and 1000000."));
        }
        let mut picks = Vec::with_capacity(self.picks.len());
        for PickBody { choice, weight } in &self.picks {
            let choice: ChoiceId = choice.parse()?;
            if choice.poll != poll.id {
                return Err(Error::invalid("picks_unknown", "One of the picks is not a choice of this poll."));
            }
            picks.push(Pick { choice: choice.number, weight: *weight });
        }
        let round = self.round.unwrap_or(poll.round);
        if round == 0 || i32::try_from(round).is_err() {
            return Err(Error::invalid("round_invalid", "Rounds are numbered from 1."));
        }
        let picks = if round < poll.round {
            Poll::written(picks)
        } else if self.revision > 1 && !poll.change {
            return Err(Error::conflict("change_not_allowed", "A vote in this poll cannot be changed."));
        } else {
            poll.accept(&picks)?
        };
        Ok(Ballot { poll: poll.id, round, voter, ballot: BallotId(self.ballot), revision: self.revision, picks })
    }
}

/// Which of a voter's ballots is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MineQuery {
    /// The round the poll is in, where it is not said.
    pub round: Option<u32>,
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

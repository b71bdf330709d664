//! `votes.batch.v1`: the message on a lane, as JSON, so that any consumer can read it.
//!
//! ```json
//! {"v":1,"instance":"<uuid>","lane":3,"number":17,"accepted_at":1764000000000,
//!  "ballots":[["<poll>",1,"<voter>","<ballot>",2,"1,4"]],
//!  "beat":{"clock":1764000000000,"last":17,"void":[[4,6]],"ended":false}}
//! ```
//!
//! A ballot is `[poll, round, voter, ballot, revision, picks]`; picks are written `choice[:weight]` with commas between.
//! A beat without `void` has none; `"abandoned":true` stands in one that speaks for a process that died, and is left out otherwise.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{Ballot, BallotId, Batch, Beat, InstanceId, Picks, PollId, VoterId};
use crate::error::{Error, Result};

pub const CONTENT_TYPE: &str = "application/json";
pub const MESSAGE_TYPE: &str = "votes.batch.v1";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Message<'a> {
    v: u32,
    instance: Uuid,
    lane: u16,
    number: u64,
    accepted_at: i64,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    ballots: Vec<Row<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    beat: Option<BeatMessage>,
}

#[derive(Serialize, Deserialize)]
struct Row<'a>(i64, u32, Uuid, Uuid, u32, #[serde(borrow)] Cow<'a, str>);

#[derive(Serialize, Deserialize)]
struct BeatMessage {
    clock: i64,
    last: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    void: Vec<(u64, u64)>,
    ended: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    abandoned: bool,
}

pub fn encode(batch: &Batch) -> Vec<u8> {
    let row = |b: &'_ Ballot| -> Row<'static> { Row(b.poll.0, b.round, b.voter.0, b.ballot.0, b.revision, Cow::Owned(b.picks.as_str().to_owned())) };
    let message = Message {
        v: VERSION,
        instance: batch.instance.0,
        lane: batch.lane,
        number: batch.number,
        accepted_at: batch.accepted_at,
        ballots: batch.ballots.iter().map(row).collect(),
        beat: batch.beat.as_ref().map(|b| BeatMessage { clock: b.clock, last: b.last, void: b.void.clone(), ended: b.ended, abandoned: b.abandoned }),
    };
    serde_json::to_vec(&message).expect("a message of strings and numbers can be written")
}

/// Reads a message back. What cannot be read goes to quarantine with the reason given here.
pub fn decode(body: &[u8]) -> Result<Batch> {
    let unreadable = || Error::invalid("batch_unreadable", "This is not a batch of votes that this version can read.");
    let message: Message<'_> = serde_json::from_slice(body).map_err(|_| unreadable())?;
    if message.v != VERSION {
        return Err(Error::invalid("batch_version", "This batch was written by a newer version."));
    }
    // Numbers go into signed columns.
    let fits = |n: u64| i64::try_from(n).is_ok();
    if !fits(message.number)
        || message.beat.as_ref().is_some_and(|b| !fits(b.last) || !b.void.iter().all(|(from, to)| (1..=b.last).contains(from) && (*from..=b.last).contains(to)))
        || (message.number == 0 && !message.ballots.is_empty())
    {
        return Err(unreadable());
    }
    let ballots = message.ballots.into_iter().map(|Row(poll, round, voter, ballot, revision, picks)| {
        if i32::try_from(round).is_err() || i32::try_from(revision).is_err() {
            return Err(unreadable());
        }
        Ok(Ballot { poll: PollId(poll), round, voter: VoterId(voter), ballot: BallotId(ballot), revision, picks: Picks::parse(&picks)? })
    });
    Ok(Batch {
        instance: InstanceId(message.instance),
        lane: message.lane,
        number: message.number,
        accepted_at: message.accepted_at,
        ballots: ballots.collect::<Result<_>>()?,
        beat: message.beat.map(|b| Beat { clock: b.clock, last: b.last, void: b.void, ended: b.ended, abandoned: b.abandoned }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn ballots()(poll in 1i64.., round in 1u32..9, voter: u128, ballot: u128, revision in 1u32..99, picks in "[1-9](,[1-9](:[1-9])?){0,3}") -> Ballot {
            Ballot { poll: PollId(poll), round, voter: VoterId(Uuid::from_u128(voter)), ballot: BallotId(Uuid::from_u128(ballot)), revision, picks: Picks::parse(&picks).unwrap() }
        }
    }

    proptest! {
        #[test]
        fn a_batch_reads_back_as_it_was_written(instance: u128, lane: u16, number in 1u64..1 << 62, accepted_at in 0i64.., ballots in prop::collection::vec(ballots(), 0..20)) {
            let batch = Batch { instance: InstanceId(Uuid::from_u128(instance)), lane, number, accepted_at, ballots, beat: Some(Beat { clock: accepted_at, last: number, void: vec![(number, number)], ended: false, abandoned: number % 2 == 0 }) };
            prop_assert_eq!(decode(&encode(&batch)).unwrap(), batch);
        }

        #[test]
        fn bytes_of_any_kind_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(decode(&bytes).is_err());
        }
    }

    #[test]
    fn a_message_of_a_later_version_is_left_alone() {
        let body = br#"{"v":2,"instance":"00000000-0000-0000-0000-000000000001","lane":0,"number":1,"accepted_at":0}"#;
        assert!(matches!(decode(body), Err(Error::Invalid(reason)) if reason.code == "batch_version"));
    }
}

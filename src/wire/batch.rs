//! `votes.batch.v2`: the message on a lane, as MessagePack, which any language reads and which takes half the bytes of JSON. Each field stands in
//! `docs/batches.md`. Written as JSON:
//!
//! ```json
//! {"v":2,"instance":"<16 bytes>","lane":3,"number":17,"accepted_at":1764000000000,
//!  "ballots":[[7012,1,"<16 bytes>","<16 bytes>",2,"1,4"]],
//!  "beat":{"clock":1764000000000,"last":17,"void":[[4,6]],"ended":false}}
//! ```
//!
//! A ballot is `[poll, round, voter, ballot, revision, picks]`; `instance`, `voter` and `ballot` are UUIDs, as 16 bytes (`bin`); picks are written
//! `choice[:weight]` with commas between. A batch without ballots has no `ballots`, one without a beat no `beat`, a beat without void numbers no
//! `void`; `"abandoned":true` stands in one that speaks for a process that died, and is left out otherwise.
//!
//! `votes.batch.v1` is the same as JSON, with `"v":1` and UUIDs as text. It is still read: a queue or a spill may hold some.

use std::borrow::Cow;

use rmp_serde::Serializer;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{Ballot, BallotId, Batch, Beat, InstanceId, Picks, PollId, VoterId};
use crate::error::{Error, Result};

/// What a message says of itself beside its body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kind {
    pub content_type: &'static str,
    pub name: &'static str,
    version: u32,
}

const PACKED: Kind = Kind { content_type: "application/vnd.msgpack", name: "votes.batch.v2", version: 2 };
const JSON: Kind = Kind { content_type: "application/json", name: "votes.batch.v1", version: 1 };

/// Of a ballot and of all that stands around them, in the shapes they mostly have.
const ROW_BYTES: usize = 56;
const ENVELOPE_BYTES: usize = 160;

/// Which of the two a body is. No packed message begins as an object of JSON does.
pub fn kind_of(body: &[u8]) -> Kind {
    if body.first() == Some(&b'{') { JSON } else { PACKED }
}

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

impl Row<'_> {
    fn of(ballot: &Ballot) -> Row<'_> {
        Row(ballot.poll.0, ballot.round, ballot.voter.0, ballot.ballot.0, ballot.revision, Cow::Borrowed(ballot.picks.as_str()))
    }
}

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
    let message = Message {
        v: PACKED.version,
        instance: batch.instance.0,
        lane: batch.lane,
        number: batch.number,
        accepted_at: batch.accepted_at,
        ballots: batch.ballots.iter().map(Row::of).collect(),
        beat: batch.beat.as_ref().map(|b| BeatMessage { clock: b.clock, last: b.last, void: b.void.clone(), ended: b.ended, abandoned: b.abandoned }),
    };
    let mut body = Vec::with_capacity(ENVELOPE_BYTES + ROW_BYTES * batch.ballots.len());
    message.serialize(&mut Serializer::new(&mut body).with_struct_map()).expect("a message of strings, bytes and numbers can be written");
    body
}

/// Reads a message back. What cannot be read goes to quarantine with the reason given here.
pub fn decode(body: &[u8]) -> Result<Batch> {
    let unreadable = || Error::invalid("batch_unreadable", "This is not a batch of votes that this version can read.");
    let kind = kind_of(body);
    let message: Message<'_> = match kind {
        JSON => serde_json::from_slice(body).map_err(|_| unreadable())?,
        _ => rmp_serde::from_slice(body).map_err(|_| unreadable())?,
    };
    if message.v != kind.version {
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

    fn one() -> Batch {
        let ballot = Ballot {
            poll: PollId(7_012),
            round: 1,
            voter: VoterId(Uuid::from_u128(2)),
            ballot: BallotId(Uuid::from_u128(3)),
            revision: 2,
            picks: Picks::parse("1,4").unwrap(),
        };
        let beat = Beat { clock: 1_764_000_000_000, last: 17, void: vec![(4, 6)], ended: false, abandoned: false };
        Batch { instance: InstanceId(Uuid::from_u128(1)), lane: 3, number: 17, accepted_at: 1_764_000_000_000, ballots: vec![ballot], beat: Some(beat) }
    }

    /// Byte for byte: other programs read this, too.
    #[test]
    fn a_message_is_packed_as_documented() {
        let uuid = |last: u8| [&[0xc4, 16][..], &[0; 15], &[last]].concat();
        let text = |text: &str| [&[0xa0 | text.len() as u8], text.as_bytes()].concat();
        let millis = [&[0xcf][..], &1_764_000_000_000u64.to_be_bytes()].concat();
        let expected = [
            [vec![0x87], text("v"), vec![2], text("instance"), uuid(1), text("lane"), vec![3], text("number"), vec![17]].concat(),
            [text("accepted_at"), millis.clone()].concat(),
            [text("ballots"), vec![0x91, 0x96, 0xcd, 0x1b, 0x64, 1], uuid(2), uuid(3), vec![2], text("1,4")].concat(),
            [text("beat"), vec![0x84], text("clock"), millis, text("last"), vec![17], text("void"), vec![0x91, 0x92, 4, 6], text("ended"), vec![0xc2]].concat(),
        ];
        assert_eq!(encode(&one()), expected.concat());
        assert_eq!(kind_of(&expected[0]).name, "votes.batch.v2");
    }

    /// As versions before wrote it: a lane or a spill may hold some.
    #[test]
    fn a_message_in_json_is_still_read() {
        let body = br#"{"v":1,"instance":"00000000-0000-0000-0000-000000000001","lane":3,"number":17,"accepted_at":1764000000000,
            "ballots":[[7012,1,"00000000-0000-0000-0000-000000000002","00000000-0000-0000-0000-000000000003",2,"1,4"]],
            "beat":{"clock":1764000000000,"last":17,"void":[[4,6]],"ended":false}}"#;
        assert_eq!(decode(body).unwrap(), one());
        assert_eq!(kind_of(body).name, "votes.batch.v1");
    }

    #[test]
    fn a_message_of_a_later_version_is_left_alone() {
        let is_left_alone = |body: &[u8]| matches!(decode(body), Err(Error::Invalid(reason)) if reason.code == "batch_version");
        assert!(is_left_alone(br#"{"v":2,"instance":"00000000-0000-0000-0000-000000000001","lane":0,"number":1,"accepted_at":0}"#));
        let mut later = encode(&one());
        later[3] = 3;
        assert!(is_left_alone(&later));
    }

    /// A length in it that promises more than there is takes no memory.
    #[test]
    fn a_message_that_lies_about_its_length_is_refused() {
        let mut body = encode(&one());
        let ballots = body.windows(2).position(|two| two == [0x91, 0x96]).unwrap();
        body.splice(ballots..=ballots, [0xdd, 0xff, 0xff, 0xff, 0xff]);
        assert!(decode(&body).is_err());
        assert!((0..body.len()).all(|end| decode(&body[..end]).is_err()));
    }
}

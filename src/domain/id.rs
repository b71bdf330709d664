//! Identifiers. Event and poll ids are 63-bit numbers that sort by time and are written as 13 characters;
//! a choice id carries its poll, so that a choice of another poll is recognised without looking anything up.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::error::Error;

/// Crockford's base 32 in lower case: no i, l, o, u, so that an id survives being read aloud.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const ID_CHARS: usize = 13;

fn encode(id: i64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = [0u8; ID_CHARS];
    let mut rest = id as u64;
    for slot in text.iter_mut().rev() {
        *slot = ALPHABET[(rest & 31) as usize];
        rest >>= 5;
    }
    f.write_str(std::str::from_utf8(&text).expect("the alphabet is ascii"))
}

fn decode(text: &str) -> Option<i64> {
    if text.len() != ID_CHARS {
        return None;
    }
    let mut id: u128 = 0;
    for byte in text.bytes() {
        // A position in a table of 32 is at most five comparisons of a cache line; ids are parsed once per request.
        let digit = ALPHABET.iter().position(|a| *a == byte)?;
        id = id << 5 | digit as u128;
    }
    i64::try_from(id).ok().filter(|id| *id > 0)
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub i64);

        impl $name {
            /// 41 bits of time and 22 of chance: sorts by creation, so that new rows land at one end of an index.
            /// Time and chance come from the caller; this room has neither.
            pub fn compose(now_ms: i64, chance: u32) -> Self {
                const BITS_OF_CHANCE: u32 = 22;
                Self((now_ms & ((1 << 41) - 1)) << BITS_OF_CHANCE | i64::from(chance & ((1 << BITS_OF_CHANCE) - 1)))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                encode(self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                encode(self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                decode(text).map($name).ok_or(Error::not_found("not_found", "There is nothing under this address."))
            }
        }
    };
}

number_id!(EventId);
number_id!(PollId);
number_id!(AccountId);
number_id!(
    /// What one rehearsal came to.
    ReportId
);

/// One choice: its poll, and its number inside the poll (from 1, never used twice).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ChoiceId {
    pub poll: PollId,
    pub number: u16,
}

impl fmt::Display for ChoiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.poll, self.number)
    }
}

impl FromStr for ChoiceId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let unknown = || Error::invalid("picks_unknown", "One of the picks is not a choice of this poll.");
        let (poll, number) = text.split_once('-').ok_or_else(unknown)?;
        // `+1` and `01` parse as numbers but are not ids of ours: one thing has one name.
        if number.starts_with(['0', '+']) {
            return Err(unknown());
        }
        Ok(ChoiceId { poll: decode(poll).map(PollId).ok_or_else(unknown)?, number: number.parse().map_err(|_| unknown())? })
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

uuid_id!(
    /// An anonymous voter, valid inside one event.
    VoterId
);
uuid_id!(
    /// Made by the phone; the same for every resend.
    BallotId
);
uuid_id!(
    /// One run of one web process: the owner of a sequence of batch numbers per lane.
    InstanceId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_it_was_written_and_sorts_by_time() {
        let early = PollId::compose(1_764_000_000_000, 7);
        let late = PollId::compose(1_764_000_000_001, 0);
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse::<PollId>().unwrap(), early);
        assert_eq!(early.to_string().len(), ID_CHARS);
    }

    #[test]
    fn what_is_not_an_id_is_not_found() {
        for text in ["", "0", "-1", "18446744073709551616", "0000000000000", "zzzzzzzzzzzzz", "٣٣٣٣٣٣٣٣٣٣٣٣٣", "8F3K2M9QX1C7V"] {
            assert!(text.parse::<PollId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_choice_names_its_poll() {
        let choice = ChoiceId { poll: PollId::compose(1_764_000_000_000, 9), number: 12 };
        assert_eq!(choice.to_string().parse::<ChoiceId>().unwrap(), choice);
        for text in
            ["", "-", "1", &format!("{}-", choice.poll), &format!("{}-01", choice.poll), &format!("{}-+1", choice.poll), &format!("{}-65536", choice.poll)]
        {
            assert!(text.parse::<ChoiceId>().is_err(), "{text}");
        }
    }
}

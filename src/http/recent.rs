//! Ballot ids seen lately, in fixed memory and without locks: tells a resend from an id that is used twice for different picks.
//! A convenience for clients with a bug; what counts is decided by the store, which keeps the first.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::Ballot;

/// 2 MiB: the last quarter of a million ballots, more or less.
const SLOTS: usize = 1 << 18;
const CONTENT_BITS: u32 = 24;

pub struct Recent {
    /// 40 bits that name the ballot, 24 that name its content.
    slots: Box<[AtomicU64]>,
    hasher: RandomState,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    New,
    /// The same id with the same picks.
    Again,
    /// The same id with other picks.
    Differs,
}

impl Default for Recent {
    fn default() -> Recent {
        Recent { slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(), hasher: RandomState::new() }
    }
}

impl Recent {
    /// Notes the ballot and tells whether it was here before.
    pub fn note(&self, ballot: &Ballot) -> Seen {
        let (slot, mark, content) = self.place(ballot);
        match slot.load(Ordering::Relaxed) {
            held if held >> CONTENT_BITS != mark => {
                slot.store(mark << CONTENT_BITS | content, Ordering::Relaxed);
                Seen::New
            }
            held if held & ((1 << CONTENT_BITS) - 1) == content => Seen::Again,
            _ => Seen::Differs,
        }
    }

    fn place(&self, ballot: &Ballot) -> (&AtomicU64, u64, u64) {
        let name = self.hasher.hash_one((ballot.poll, ballot.round, ballot.voter, ballot.ballot));
        let content = self.hasher.hash_one((ballot.revision, &ballot.picks)) & ((1 << CONTENT_BITS) - 1);
        // Low bits choose the slot, high bits name the ballot in it; never 0, which means empty.
        (&self.slots[name as usize % SLOTS], (name >> CONTENT_BITS).max(1), content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{BallotId, Picks, PollId, VoterId};
    use uuid::Uuid;

    #[test]
    fn a_resend_is_told_from_an_id_used_twice() {
        let recent = Recent::default();
        let ballot = |picks: &str| Ballot {
            poll: PollId(1),
            round: 1,
            voter: VoterId(Uuid::from_u128(1)),
            ballot: BallotId(Uuid::from_u128(2)),
            revision: 1,
            picks: Picks::parse(picks).unwrap(),
        };
        assert_eq!(recent.note(&ballot("1")), Seen::New);
        assert_eq!(recent.note(&ballot("1")), Seen::Again);
        assert_eq!(recent.note(&ballot("2")), Seen::Differs);
    }
}

//! Ballots, their picks, and batches of them. Which ballot of a voter counts is decided by `Rank` alone.

use std::collections::HashMap;
use std::fmt::Write;

use super::{BallotId, InstanceId, Millis, PollId, VoterId};
use crate::error::Error;

/// One choice inside a ballot, with a weight where the kind needs one (rank, points, rating). `1` otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pick {
    pub choice: u16,
    pub weight: u32,
}

/// The picks of a ballot in their one written form, `1` or `1,4` or `1:3,2:2` (`choice[:weight]`), as it stands in the database
/// and in batches. Kept as text because that is what both databases compare, group and hand back; empty means cleared.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Picks(Box<str>);

/// Most picks one ballot may hold: a ranking has at most 10 choices, multiple choice at most as many as a poll has.
pub const PICKS_MAX: usize = 100;

impl Picks {
    /// From picks in the order the voter gave them. The rules of the poll have been checked by `Poll::accept`.
    pub fn from_slice(picks: &[Pick]) -> Picks {
        let mut text = String::with_capacity(picks.len() * 3);
        for (index, pick) in picks.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            write!(text, "{}", pick.choice).expect("writing to a String cannot fail");
            if pick.weight != 1 {
                write!(text, ":{}", pick.weight).expect("writing to a String cannot fail");
            }
        }
        Picks(text.into())
    }

    /// From the written form, out of a batch or a row.
    pub fn parse(text: &str) -> Result<Picks, Error> {
        let broken = || Error::invalid("picks_invalid", "These picks cannot be read.");
        if !text.is_empty() {
            let mut seen = 0;
            for item in text.split(',') {
                let (choice, weight) = item.split_once(':').unwrap_or((item, "1"));
                choice.parse::<u16>().map_err(|_| broken())?;
                weight.parse::<u32>().map_err(|_| broken())?;
                seen += 1;
            }
            if seen > PICKS_MAX {
                return Err(broken());
            }
        }
        Ok(Picks(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = Pick> + '_ {
        self.0.split(',').filter(|item| !item.is_empty()).map(|item| {
            let (choice, weight) = item.split_once(':').unwrap_or((item, "1"));
            Pick { choice: choice.parse().expect("checked by parse"), weight: weight.parse().expect("checked by parse") }
        })
    }
}

/// What decides which of a voter's ballots counts: the higher one, whatever arrives first.
pub type Rank = (u32, BallotId);

/// One voter's ballot for one round of one poll.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ballot {
    pub poll: PollId,
    pub round: u32,
    pub voter: VoterId,
    pub ballot: BallotId,
    pub revision: u32,
    pub picks: Picks,
}

impl Ballot {
    pub fn rank(&self) -> Rank {
        (self.revision, self.ballot)
    }

    /// Where this voter's one row stands. Statements sort by it, or two lanes deadlock.
    pub fn key(&self) -> (PollId, u32, VoterId) {
        (self.poll, self.round, self.voter)
    }
}

/// A ballot and when its batch was closed: the `accepted_at` of its 202.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedBallot {
    pub ballot: Ballot,
    pub accepted_at: Millis,
}

/// Many ballots of one lane in one message, numbered by the web process that made it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    pub instance: InstanceId,
    pub lane: u16,
    /// From 1 per (instance, lane); 0 for a message that carries only a beat.
    pub number: u64,
    /// One time for the whole batch: taken under the same lock as its number, so that a beat can speak for all before it.
    pub accepted_at: Millis,
    pub ballots: Vec<Ballot>,
    pub beat: Option<Beat>,
}

/// "Every ballot I accepted up to `clock` stands in batches up to `last`." Sent down every lane once a second.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Beat {
    pub clock: Millis,
    pub last: u64,
    /// Numbers (first, last) whose batches were refused, or may never have arrived: to be taken for applied, unless they are.
    pub void: Vec<(u64, u64)>,
    /// The last beat of an instance that stops in good order: nothing more will come.
    pub ended: bool,
    /// Said in the name of an instance that died, by the process that took over its directory, after everything that lay there: what
    /// has not come by now was never called safe.
    pub abandoned: bool,
}

/// Ballots that changed no row, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Collapsed {
    pub superseded: i64,
    pub duplicate: i64,
}

/// The one ballot per voter that may count, sorted by key; and, per poll and round, how many were left out and why.
/// One SQL statement may not touch a row twice, so this happens before it.
pub fn collapse(ballots: Vec<SignedBallot>) -> (Vec<SignedBallot>, HashMap<(PollId, u32), Collapsed>) {
    let mut left_out: HashMap<(PollId, u32), Collapsed> = HashMap::new();
    let mut ballots = ballots;
    // Highest rank first within a key; the rest of the key is left out.
    ballots.sort_unstable_by(|a, b| a.ballot.key().cmp(&b.ballot.key()).then(b.ballot.rank().cmp(&a.ballot.rank())).then(a.accepted_at.cmp(&b.accepted_at)));
    ballots.dedup_by(|later, kept| {
        if later.ballot.key() != kept.ballot.key() {
            return false;
        }
        let count = left_out.entry((kept.ballot.poll, kept.ballot.round)).or_default();
        if later.ballot.ballot == kept.ballot.ballot {
            count.duplicate += 1;
        } else {
            count.superseded += 1;
        }
        true
    });
    (ballots, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn ballot(voter: u128, revision: u32, id: u128) -> SignedBallot {
        SignedBallot {
            ballot: Ballot {
                poll: PollId(1),
                round: 1,
                voter: VoterId(Uuid::from_u128(voter)),
                ballot: BallotId(Uuid::from_u128(id)),
                revision,
                picks: Picks::parse("1").unwrap(),
            },
            accepted_at: 0,
        }
    }

    #[test]
    fn picks_keep_order_and_weight() {
        let picks = [Pick { choice: 3, weight: 1 }, Pick { choice: 1, weight: 40 }];
        let written = Picks::from_slice(&picks);
        assert_eq!(written.as_str(), "3,1:40");
        assert_eq!(Picks::parse("3,1:40").unwrap().iter().collect::<Vec<_>>(), picks);
        assert_eq!(Picks::parse("").unwrap().iter().count(), 0);
    }

    #[test]
    fn picks_that_cannot_be_read_are_refused() {
        for text in [",", "1,", "a", "1:", "1:-1", "70000", "-1", "1;2"] {
            assert!(Picks::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_highest_rank_of_a_voter_stays_whatever_came_first() {
        let (kept, left_out) = collapse(vec![ballot(1, 2, 20), ballot(2, 1, 5), ballot(1, 3, 30), ballot(1, 1, 10), ballot(1, 3, 30)]);
        assert_eq!(kept.iter().map(|b| b.ballot.revision).collect::<Vec<_>>(), [3, 1]);
        assert_eq!(left_out[&(PollId(1), 1)], Collapsed { superseded: 2, duplicate: 1 });
    }
}

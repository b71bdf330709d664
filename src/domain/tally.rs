//! Counting: what one row's change adds to a tally, what a result is, and the books that prove nothing was lost.

use std::collections::BTreeMap;

use super::{Kind, Millis, Picks, largest_remainder, of_voters};

/// What is known of one choice in one round.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Count {
    /// Ballots that pick it.
    pub votes: i64,
    /// Sum of the weights; equals `votes` for kinds without weights.
    pub weight: i64,
}

/// How a tally changes when a voter's row goes from `prior` to `picks`, `times` over: taken off first, then added.
pub fn delta(changes: &mut BTreeMap<u16, Count>, picks: &Picks, prior: Option<&Picks>, times: i64) {
    let signed = prior.into_iter().map(|p| (p, -times)).chain([(picks, times)]);
    for (picks, times) in signed {
        for pick in picks.iter() {
            let count = changes.entry(pick.choice).or_default();
            count.votes += times;
            count.weight += times * i64::from(pick.weight);
        }
    }
}

/// `received = counted + superseded + duplicate + late`, per poll and round, at rest and in between.
/// Signed, because the same shape carries a change: clearing votes takes `voters` off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Books {
    /// Ballots that arrived in applied batches.
    pub received: i64,
    /// Voters with a row: one ballot of each counts.
    pub counted: i64,
    /// Gave way to a higher revision of the same voter.
    pub superseded: i64,
    /// The same ballot again.
    pub duplicate: i64,
    /// Accepted more than `CLOSE_GRACE_MS` after the close by a process that was cut off.
    pub late: i64,
    /// Of the counted: those with at least one pick. What "voters" means on every screen.
    pub voters: i64,
}

impl Books {
    /// 0, or something is lost or invented.
    pub fn imbalance(&self) -> i64 {
        self.received - (self.counted + self.superseded + self.duplicate + self.late)
    }

    pub fn add(&mut self, other: &Books) {
        self.received += other.received;
        self.counted += other.counted;
        self.superseded += other.superseded;
        self.duplicate += other.duplicate;
        self.late += other.late;
        self.voters += other.voters;
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResultStatus {
    Provisional,
    Final,
}

impl ResultStatus {
    /// Final once the poll is closed and everything accepted in time is in the tally.
    pub fn of(closed_at: Option<Millis>, counted_through: Millis) -> ResultStatus {
        match closed_at {
            Some(at) if counted_through >= at + super::CLOSE_GRACE_MS => ResultStatus::Final,
            _ => ResultStatus::Provisional,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            ResultStatus::Provisional => "provisional",
            ResultStatus::Final => "final",
        }
    }
}

/// What a screen shows of one round: votes and percent per choice, in the order of the choices.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PollResult {
    pub voters: u64,
    /// (choice number, votes, percent)
    pub choices: Vec<(u16, u64, u32)>,
}

impl PollResult {
    pub fn draw(kind: Kind, choices: impl Iterator<Item = u16>, counts: &BTreeMap<u16, Count>, voters: u64) -> PollResult {
        let numbers: Vec<u16> = choices.collect();
        // A tally below zero is a bug elsewhere that the recount names; a screen shows 0, not a minus sign.
        let votes: Vec<u64> = numbers.iter().map(|n| counts.get(n).map_or(0, |c| c.votes.max(0) as u64)).collect();
        let percents = match kind {
            Kind::Single => largest_remainder(&votes),
            Kind::Multiple => votes.iter().map(|v| of_voters(*v, voters)).collect(),
        };
        let choices = numbers.into_iter().zip(votes).zip(percents).map(|((n, v), p)| (n, v, p)).collect();
        PollResult { voters, choices }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_takes_the_old_picks_off() {
        let mut changes = BTreeMap::new();
        delta(&mut changes, &Picks::parse("2,3").unwrap(), Some(&Picks::parse("1,2").unwrap()), 5);
        assert_eq!(changes.into_iter().map(|(c, n)| (c, n.votes)).collect::<Vec<_>>(), [(1, -5), (2, 0), (3, 5)]);
    }

    #[test]
    fn weights_are_summed() {
        let mut changes = BTreeMap::new();
        delta(&mut changes, &Picks::parse("1:3,2:2").unwrap(), None, 2);
        assert_eq!(changes[&1], Count { votes: 2, weight: 6 });
    }

    #[test]
    fn nobody_voted_is_zero_and_never_not_a_number() {
        for kind in [Kind::Single, Kind::Multiple] {
            let result = PollResult::draw(kind, [1, 2].into_iter(), &BTreeMap::new(), 0);
            assert_eq!(result.choices, [(1, 0, 0), (2, 0, 0)]);
        }
    }

    #[test]
    fn a_result_is_final_only_after_the_grace_has_been_counted() {
        assert_eq!(ResultStatus::of(None, i64::MAX), ResultStatus::Provisional);
        assert_eq!(ResultStatus::of(Some(1_000), 2_999), ResultStatus::Provisional);
        assert_eq!(ResultStatus::of(Some(1_000), 3_000), ResultStatus::Final);
    }
}

//! The people of a rehearsal, a hundred bytes each: pass, voter id, and what became of their two ballots. Who taps when, picks what,
//! changes their mind or sends twice follows from the seed and the person's number, so that nothing of it is stored.

use uuid::Uuid;

use super::checker::{Attempt, Outcome};
use crate::domain::{BallotId, Millis, Pick, Picks, VoterId};
pub use crate::wire::rehearsal::Shape;

impl Shape {
    pub fn parse(text: &str) -> Option<Shape> {
        Shape::ALL.iter().copied().find(|shape| shape.as_str() == text)
    }

    /// When the part `done` (0 to 1) of all people has tapped, as a part of the time.
    fn time(self, done: f64) -> f64 {
        match self {
            Shape::Step => done,
            Shape::Ramp => done.sqrt(),
            Shape::Wave => (1.0 - 2.0 * done).acos() / std::f64::consts::PI,
        }
    }
}

/// What everybody in the crowd has in common. Cheap to copy into each generator thread.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Habits {
    pub people: u32,
    pub over_us: u64,
    pub shape: Shape,
    /// Parts of 10,000.
    pub change: u32,
    pub repeat: u32,
    pub choices: u16,
    pub seed: u64,
}

/// The second thought of those who have one comes within the time given, but that within these: a show of an hour must not wait another
/// hour for one, and what comes after everything was given up would not be sent.
const SECOND_THOUGHT_US: std::ops::RangeInclusive<u64> = 1_000_000..=60_000_000;
const SECOND_THOUGHT_LEAST_US: u64 = 200_000;

impl Habits {
    /// Microseconds from the start to the tap of person `n`.
    pub fn taps_at(&self, n: u32) -> u64 {
        (self.shape.time((f64::from(n) + 0.5) / f64::from(self.people)) * self.over_us as f64) as u64
    }

    pub fn changes(&self, n: u32) -> bool {
        self.choices > 1 && self.chance(n, 1) % 10_000 < u64::from(self.change)
    }

    pub fn repeats(&self, n: u32) -> bool {
        self.chance(n, 2) % 10_000 < u64::from(self.repeat)
    }

    /// Between a tap (or its answer) and the same person's next.
    pub fn thinks_us(&self, n: u32) -> u64 {
        SECOND_THOUGHT_LEAST_US + self.chance(n, 3) % self.over_us.clamp(*SECOND_THOUGHT_US.start(), *SECOND_THOUGHT_US.end())
    }

    /// Microseconds from the start to the last tap of all, second thoughts included.
    pub fn last_tap_at(&self) -> u64 {
        (0..self.people).map(|n| self.taps_at(n) + if self.changes(n) { self.thinks_us(n) } else { 0 }).max().unwrap_or(0)
    }

    pub fn choice(&self, n: u32, revision: u32) -> u16 {
        let choices = u64::from(self.choices);
        let first = self.chance(n, 4) % choices;
        // A change of mind is one: never the same again.
        let step = if revision == 1 { 0 } else { 1 + self.chance(n, 5) % (choices - 1) };
        ((first + step) % choices) as u16 + 1
    }

    pub fn ballot(&self, n: u32, revision: u32) -> Uuid {
        let mut bytes = [0u8; 16];
        bytes[..8].copy_from_slice(&self.chance(n, 16 + u64::from(revision)).to_be_bytes());
        bytes[8..].copy_from_slice(&self.chance(n, 32 + u64::from(revision)).to_be_bytes());
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// Always the same for the same person and purpose (splitmix64).
    fn chance(&self, n: u32, purpose: u64) -> u64 {
        let mut z = self.seed.wrapping_add((u64::from(n) << 8 | purpose).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// What became of one ballot, over all its attempts.
#[derive(Clone, Copy, Default, Debug)]
pub struct Fate {
    pub ok: u8,
    pub unknown: u8,
    pub refused: u8,
    /// From the intended time to the first success, in units of 10 µs: eleven hours fit.
    pub latency: u32,
    /// Of the first success, in milliseconds of the server's clock since the rehearsal's `epoch`.
    pub accepted: u32,
}

impl Fate {
    pub fn note(&mut self, outcome: Outcome) {
        let count = match outcome {
            Outcome::Ok => &mut self.ok,
            Outcome::Unknown => &mut self.unknown,
            Outcome::Refused => &mut self.refused,
        };
        // The checker asks whether, not how often.
        *count = count.saturating_add(1);
    }

    pub fn was_sent(&self) -> bool {
        self.ok > 0 || self.unknown > 0 || self.refused > 0
    }

    pub fn latency_us(&self) -> Option<u64> {
        (self.ok > 0).then_some(u64::from(self.latency) * 10)
    }
}

/// One generator thread's share of the people: every `threads`-th, so that all threads have something to do all the time.
#[derive(Debug)]
pub struct Share {
    pub thread: u32,
    pub threads: u32,
    pass_bytes: usize,
    passes: Vec<u8>,
    voters: Vec<Uuid>,
    /// Of the first ballot, and of the changed one.
    pub fates: Vec<[Fate; 2]>,
}

impl Share {
    pub fn empty(thread: u32, threads: u32, people: u32) -> Share {
        let own = people / threads + u32::from(thread < people % threads);
        Share { thread, threads, pass_bytes: 0, passes: Vec::new(), voters: Vec::with_capacity(own as usize), fates: vec![[Fate::default(); 2]; own as usize] }
    }

    /// How many people belong here.
    pub fn wanted(&self) -> usize {
        self.fates.len()
    }

    /// How many have joined.
    pub fn joined(&self) -> usize {
        self.voters.len()
    }

    /// The ids they were given.
    pub fn voters(&self) -> impl Iterator<Item = VoterId> + '_ {
        self.voters.iter().copied().map(VoterId)
    }

    /// The number of a person in the whole crowd.
    pub fn number(&self, at: usize) -> u32 {
        self.thread + self.threads * at as u32
    }

    /// Somebody has joined. False: this pass has another length than the others, which no server of ours makes.
    #[must_use]
    pub fn join(&mut self, voter: Uuid, pass: &str) -> bool {
        if self.voters.is_empty() {
            self.pass_bytes = pass.len();
            self.passes.reserve_exact(pass.len() * self.wanted());
        }
        let fits = self.pass_bytes == pass.len();
        if fits && self.voters.len() < self.wanted() {
            self.voters.push(voter);
            self.passes.extend_from_slice(pass.as_bytes());
        }
        fits
    }

    pub fn pass(&self, at: usize) -> &[u8] {
        &self.passes[at * self.pass_bytes..(at + 1) * self.pass_bytes]
    }

    /// Once passes have done their work, memory is better spent on checking.
    pub fn forget_passes(&mut self) {
        self.passes = Vec::new();
    }

    /// Every ballot that was sent, with every outcome it had, for the checker.
    pub fn attempts<'a>(&'a self, habits: &'a Habits) -> impl Iterator<Item = Attempt> + 'a {
        self.voters.iter().enumerate().flat_map(move |(at, voter)| {
            let n = self.number(at);
            (1..=2u32).flat_map(move |revision| {
                let fate = self.fates[at][revision as usize - 1];
                let seen = [(Outcome::Ok, fate.ok), (Outcome::Unknown, fate.unknown), (Outcome::Refused, fate.refused)];
                seen.into_iter().filter(|(_, times)| *times > 0).map(move |(outcome, _)| Attempt {
                    voter: VoterId(*voter),
                    ballot: BallotId(habits.ballot(n, revision)),
                    revision,
                    picks: Picks::from_slice(&[Pick { choice: habits.choice(n, revision), weight: 1 }]),
                    outcome,
                })
            })
        })
    }

    /// (intended, answered), in microseconds since the start, of each first ballot that was answered with a success.
    pub fn answers<'a>(&'a self, habits: &'a Habits) -> impl Iterator<Item = (u64, u64)> + 'a {
        self.fates.iter().enumerate().filter_map(|(at, fates)| {
            let intended = habits.taps_at(self.number(at));
            Some((intended, intended + fates[0].latency_us()?))
        })
    }

    /// Microseconds from the start to each success, changes of mind included.
    pub fn answered_at<'a>(&'a self, habits: &'a Habits) -> impl Iterator<Item = u64> + 'a {
        self.fates.iter().enumerate().flat_map(move |(at, fates)| {
            let n = self.number(at);
            let first = habits.taps_at(n);
            [(first, fates[0]), (first + habits.thinks_us(n), fates[1])].into_iter().filter_map(|(intended, fate)| Some(intended + fate.latency_us()?))
        })
    }

    /// When each person's first safe ballot was accepted, by the server's clock.
    pub fn accepted_at(&self, epoch: Millis) -> impl Iterator<Item = Millis> + '_ {
        self.fates.iter().filter_map(move |fates| fates.iter().filter(|f| f.ok > 0).map(|f| epoch + Millis::from(f.accepted)).min())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn habits(shape: Shape) -> Habits {
        Habits { people: 10_000, over_us: 2_000_000, shape, change: 1_000, repeat: 500, choices: 4, seed: 7 }
    }

    #[test]
    fn everybody_taps_within_the_time_and_in_order() {
        for shape in [Shape::Step, Shape::Ramp, Shape::Wave] {
            let habits = habits(shape);
            let times: Vec<u64> = (0..habits.people).map(|n| habits.taps_at(n)).collect();
            assert!(times.is_sorted() && *times.last().unwrap() < habits.over_us, "{shape:?}");
            let in_first_half = times.iter().filter(|t| **t < habits.over_us / 2).count();
            let expected = if shape == Shape::Ramp { 2_500 } else { 5_000 };
            assert!(in_first_half.abs_diff(expected) <= 1, "{shape:?}: {in_first_half}");
        }
        let peak = |shape| {
            let times: Vec<u64> = (0..10_000).map(|n| habits(shape).taps_at(n)).collect();
            times.iter().filter(|t| (900_000..1_100_000).contains(*t)).count()
        };
        assert!(peak(Shape::Wave) > peak(Shape::Step) * 3 / 2, "a wave has a crest");
    }

    #[test]
    fn a_second_thought_comes_before_everything_is_given_up() {
        for over_us in [1, 2_000_000, 3_600_000_000] {
            let habits = Habits { over_us, ..habits(Shape::Step) };
            let longest = (0..habits.people).map(|n| habits.thinks_us(n)).max().unwrap();
            assert!((SECOND_THOUGHT_LEAST_US..=60_200_000).contains(&longest), "{over_us}: {longest}");
        }
    }

    #[test]
    fn the_last_tap_may_be_a_second_thought() {
        let habits = Habits { over_us: 60_000_000, ..habits(Shape::Step) };
        assert!((110_000_000..120_300_000).contains(&habits.last_tap_at()), "{}", habits.last_tap_at());
        let resolved = Habits { change: 0, ..habits };
        assert_eq!(resolved.last_tap_at(), resolved.taps_at(resolved.people - 1));
    }

    #[test]
    fn shares_of_people_do_what_was_asked_for() {
        let habits = habits(Shape::Step);
        let count = |f: &dyn Fn(u32) -> bool| (0..habits.people).filter(|n| f(*n)).count();
        assert!((900..1_100).contains(&count(&|n| habits.changes(n))) && (420..580).contains(&count(&|n| habits.repeats(n))));
        assert!((0..habits.people).all(|n| habits.choice(n, 1) != habits.choice(n, 2)), "a change of mind changes something");
        let ballots: std::collections::HashSet<Uuid> = (0..habits.people).flat_map(|n| [habits.ballot(n, 1), habits.ballot(n, 2)]).collect();
        assert_eq!(ballots.len(), 20_000);
        for choice in 1..=4 {
            assert!((2_300..2_700).contains(&count(&|n| habits.choice(n, 1) == choice)));
        }
    }

    #[test]
    fn a_person_takes_a_hundred_bytes_and_every_number_has_one_owner() {
        assert!(std::mem::size_of::<[Fate; 2]>() + std::mem::size_of::<Uuid>() + 62 <= 104);
        let shares: Vec<Share> = (0..3).map(|thread| Share::empty(thread, 3, 10)).collect();
        let mut numbers: Vec<u32> = shares.iter().flat_map(|s| (0..s.wanted()).map(|at| s.number(at))).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..10).collect::<Vec<u32>>());
    }

    #[test]
    fn the_history_tells_each_outcome_once() {
        let habits = habits(Shape::Step);
        let mut share = Share::empty(0, 1, 2);
        assert!(share.join(Uuid::from_u128(1), "pass") && share.join(Uuid::from_u128(2), "pass") && !share.join(Uuid::from_u128(3), "longer"));
        for outcome in [Outcome::Refused, Outcome::Refused, Outcome::Unknown, Outcome::Ok] {
            share.fates[1][0].note(outcome);
        }
        let attempts: Vec<Attempt> = share.attempts(&habits).collect();
        assert_eq!(attempts.iter().map(|a| a.outcome).collect::<Vec<_>>(), [Outcome::Ok, Outcome::Unknown, Outcome::Refused]);
        assert!(attempts.iter().all(|a| a.voter == VoterId(Uuid::from_u128(2)) && a.ballot.0 == habits.ballot(1, 1)));
    }
}

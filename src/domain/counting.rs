//! The rules of counting, as functions of what was read: which batches are new, which ballots are late, which one of a voter counts, and what
//! goes into the books. `store::count` asks the databases and writes; a seeded simulator drives these very functions with rows of its own.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Batch, Books, CLOSE_GRACE_MS, Collapsed, Count, InstanceId, Mark, Millis, Picks, PollId, SignedBallot, VoterId, collapse, delta};

pub type MarkKey = (InstanceId, u16);
pub type Marks = BTreeMap<MarkKey, Mark>;
pub type RoundKey = (PollId, u32);
pub type VoterKey = (PollId, u32, VoterId);
/// How tallies change.
pub type Tallies = BTreeMap<RoundKey, BTreeMap<u16, Count>>;

/// What one transaction of counting did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Applied {
    /// Numbered batches that were new, and ones that had been applied before and were skipped whole.
    pub batches: u64,
    pub redelivered: u64,
    /// Of the new batches, per poll and round.
    pub books: BTreeMap<RoundKey, Books>,
}

impl Applied {
    pub fn total(&self) -> Books {
        let mut total = Books::default();
        self.books.values().for_each(|b| total.add(b));
        total
    }

    fn books_of(&mut self, ballot: &SignedBallot) -> &mut Books {
        self.books.entry(round_of(ballot)).or_default()
    }
}

pub fn round_of(ballot: &SignedBallot) -> RoundKey {
    (ballot.ballot.poll, ballot.ballot.round)
}

/// Notes the batches in their marks and takes the ballots of those that are new.
pub fn take_new<B: Borrow<Batch>>(batches: &[B], marks: &mut Marks) -> (Applied, Vec<SignedBallot>) {
    let mut applied = Applied::default();
    let mut ballots = Vec::new();
    for batch in batches.iter().map(Borrow::borrow) {
        let mark = marks.entry((batch.instance, batch.lane)).or_default();
        if batch.number > 0 {
            let is_new = mark.note(batch.number);
            #[cfg(feature = "planted")]
            let is_new = is_new || crate::planted::is(crate::planted::Planted::NoDedupe);
            if is_new {
                applied.batches += 1;
                ballots.extend(batch.ballots.iter().map(|b| SignedBallot { ballot: b.clone(), accepted_at: batch.accepted_at }));
            } else {
                applied.redelivered += 1;
            }
        }
        if let Some(beat) = &batch.beat {
            mark.beat(beat);
        }
    }
    for ballot in &ballots {
        applied.books_of(ballot).received += 1;
    }
    (applied, ballots)
}

pub fn polls_of(ballots: &[SignedBallot]) -> HashSet<PollId> {
    ballots.iter().map(|b| b.ballot.poll).collect()
}

/// What the polls of some ballots say about them.
#[derive(Default)]
pub struct Rules {
    /// When rounds closed.
    pub closed: HashMap<RoundKey, Millis>,
    /// Polls whose votes are final. The door refuses revisions there; counting refuses the rest: the first to be counted stays.
    pub finals: HashSet<PollId>,
}

/// Takes out what was accepted too long after the close.
pub fn set_late_aside(ballots: &mut Vec<SignedBallot>, rules: &Rules, applied: &mut Applied) -> Vec<SignedBallot> {
    if rules.closed.is_empty() {
        return Vec::new();
    }
    let mut late: Vec<SignedBallot> =
        ballots.extract_if(.., |b| rules.closed.get(&round_of(b)).is_some_and(|at| b.accepted_at > at + CLOSE_GRACE_MS)).collect();
    // In one order for all workers, as every row that two of them may write.
    late.sort_unstable_by_key(|b| (b.ballot.key(), b.ballot.ballot));
    late.iter().for_each(|ballot| applied.books_of(ballot).late += 1);
    late
}

/// One ballot per voter, sorted by key; what is left out goes into the books.
pub fn highest_of_each(ballots: Vec<SignedBallot>, applied: &mut Applied) -> Vec<SignedBallot> {
    let (rows, left_out) = collapse(ballots);
    left_out.into_iter().for_each(|(round, count)| take_unwritten(round, count, applied));
    rows
}

/// Takes in that `times` voters' rows went from `prior` to `picks`.
pub fn take_written(round: RoundKey, picks: &Picks, prior: Option<&Picks>, times: i64, applied: &mut Applied, tallies: &mut Tallies) {
    let books = applied.books.entry(round).or_default();
    match prior {
        None => books.counted += times,
        // The row counts as before; the ballot it held gave way.
        Some(_) => books.superseded += times,
    }
    let had_picks = prior.is_some_and(|p| !p.is_empty());
    if !picks.is_empty() && !had_picks {
        books.voters += times;
    } else if picks.is_empty() && had_picks {
        books.voters -= times;
    }
    delta(tallies.entry(round).or_default(), picks, prior, times);
}

/// Takes in that ballots changed no row: they met the same one, or a higher one, of their voter.
pub fn take_unwritten(round: RoundKey, left_out: Collapsed, applied: &mut Applied) {
    let books = applied.books.entry(round).or_default();
    books.superseded += left_out.superseded;
    books.duplicate += left_out.duplicate;
}

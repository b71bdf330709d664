//! The checker: what voters were told, against what a poll holds and shows. Pure: a history and what was read go in, a verdict comes
//! out. Rehearsals use it, and whoever injects faults can. It knows only what a phone can know, and trusts no number of the server's.

use std::collections::BTreeMap;

use crate::domain::{BallotId, Books, Picks, VoterId};
pub use crate::wire::rehearsal::Verdict;

/// How an attempt to vote ended. In this order: what is surer of being counted is greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Outcome {
    /// 4xx or 503: it will not be counted.
    Refused,
    /// Timeout, reset, 504, any other 5xx: nobody knows.
    Unknown,
    /// 2xx: it is safe.
    Ok,
}

/// One ballot sent once, or several sendings of it with the same outcome.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    pub voter: VoterId,
    pub ballot: BallotId,
    pub revision: u32,
    pub picks: Picks,
    pub outcome: Outcome,
}

/// A ballot that counts, as the poll holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    pub voter: VoterId,
    pub ballot: BallotId,
    pub revision: u32,
    pub picks: Picks,
}

/// The numbers one place shows: people with at least one pick, and votes by the number of the choice.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    pub voters: i64,
    pub votes: BTreeMap<u16, i64>,
}

impl Counts {
    /// Counted again from the rows.
    pub fn of(rows: &[Row]) -> Counts {
        let mut counts = Counts::default();
        for row in rows {
            counts.voters += i64::from(!row.picks.is_empty());
            for pick in row.picks.iter() {
                *counts.votes.entry(pick.choice).or_default() += 1;
            }
        }
        counts
    }

    /// By how many votes two places differ; 0 when they show the same. A choice nobody picked may be left out.
    pub fn distance(&self, other: &Counts) -> u64 {
        let votes = |counts: &Counts, choice: &u16| counts.votes.get(choice).copied().unwrap_or(0);
        let only_there = other.votes.keys().filter(|choice| !self.votes.contains_key(choice));
        let differ = self.votes.keys().chain(only_there).map(|choice| votes(self, choice).abs_diff(votes(other, choice)));
        differ.sum::<u64>() + self.voters.abs_diff(other.voters)
    }
}

/// Every place that shows the result, read when the poll was at rest.
#[derive(Clone, Debug, Default)]
pub struct Published {
    pub tally: Counts,
    /// The live document.
    pub live: Counts,
    /// The last server-sent event, where somebody watched.
    pub stream: Option<Counts>,
    pub export: Counts,
    pub books: Books,
}

/// Enough to look one up; a report is one page.
const EXAMPLES_MAX: usize = 8;

impl Verdict {
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.wrong == 0 && self.unexpected == 0 && self.phantom == 0 && self.doubled == 0 && self.books == 0
    }

    fn example(&mut self, word: &str, voter: VoterId, ballot: Option<BallotId>) {
        if self.examples.len() < EXAMPLES_MAX {
            let ballot = ballot.map(|b| format!(", ballot {b}")).unwrap_or_default();
            self.examples.push(format!("{word}: voter {voter}{ballot}"));
        }
    }
}

/// Both lists may come in any order.
pub fn check(mut attempts: Vec<Attempt>, mut rows: Vec<Row>, published: &Published) -> Verdict {
    let mut verdict = Verdict { books: published.books.imbalance(), ..Verdict::default() };
    let recount = Counts::of(&rows);
    verdict.doubled += published.tally.distance(&recount) + published.books.counted.abs_diff(rows.len() as i64);
    verdict.doubled += published.live.distance(&published.tally) + published.export.distance(&recount);
    verdict.doubled += published.stream.as_ref().map_or(0, |stream| stream.distance(&published.tally));

    attempts.sort_unstable_by_key(|a| (a.voter, a.revision, a.ballot, a.outcome));
    rows.sort_unstable_by_key(|row| row.voter);
    let mut people = attempts.chunk_by(|a, b| a.voter == b.voter).peekable();
    let mut holds = rows.chunk_by(|a, b| a.voter == b.voter).peekable();
    // Both in the order of voters: who is only on one side shows as such.
    loop {
        match (people.peek(), holds.peek()) {
            (None, None) => break,
            (Some(sent), held) if held.is_none_or(|held| sent[0].voter < held[0].voter) => {
                check_voter(&mut verdict, people.next().expect("peeked"), &[]);
            }
            (sent, Some(held)) if sent.is_none_or(|sent| held[0].voter < sent[0].voter) => {
                verdict.unexpected += held.len() as u64;
                verdict.example("unexpected", held[0].voter, Some(held[0].ballot));
                holds.next();
            }
            _ => check_voter(&mut verdict, people.next().expect("peeked"), holds.next().expect("peeked")),
        }
    }
    verdict
}

/// Two people with one id have one row between them: whoever came first in it is lost, and a comparison by id alone does not see it.
pub fn people(verdict: &mut Verdict, mut joined: Vec<VoterId>) {
    joined.sort_unstable();
    for same in joined.chunk_by(|a, b| a == b).filter(|same| same.len() > 1) {
        verdict.lost += same.len() as u64 - 1;
        verdict.example("given to more than one person", same[0], None);
    }
}

/// What the books say they received, against what was sent: each ballot that was called safe stood in a batch at least once, and no sending
/// can have stood in two. So a loss that a later ballot of the same voter hides is seen all the same, and a batch that was counted twice.
/// `safe` are different ballots, `sendings` those not refused: where it is known that nobody on the way sends anything again.
pub fn received(verdict: &mut Verdict, received: i64, safe: u64, sendings: Option<u64>) {
    let (least, most) = (safe as i64, sendings.map_or(i64::MAX, |sendings| sendings as i64));
    if received < least {
        // People without a row are among them.
        verdict.lost = verdict.lost.max((least - received) as u64);
        verdict.examples.push(format!("lost: {least} ballots were called safe, the books received {received}"));
    }
    if received > most {
        verdict.doubled += (received - most) as u64;
        verdict.examples.push(format!("doubled: {most} ballots were sent and not refused, the books received {received}"));
    }
}

/// `sent` is one voter's, sorted by (revision, ballot, outcome); `held` are the rows of the same voter.
fn check_voter(verdict: &mut Verdict, sent: &[Attempt], held: &[Row]) {
    verdict.voters += 1;
    let highest_safe = sent.iter().filter(|a| a.outcome == Outcome::Ok).map(|a| (a.revision, a.ballot)).max();
    verdict.answered += u64::from(highest_safe.is_some());
    if let (Some((_, ballot)), true) = (highest_safe, held.is_empty()) {
        verdict.lost += 1;
        verdict.example("lost", sent[0].voter, Some(ballot));
    }
    verdict.doubled += held.len().saturating_sub(1) as u64;
    for row in held {
        let same: Vec<&Attempt> = sent.iter().filter(|a| (a.revision, a.ballot) == (row.revision, row.ballot)).collect();
        match same.iter().map(|a| a.outcome).max() {
            None => {
                verdict.unexpected += 1;
                verdict.example("unexpected", row.voter, Some(row.ballot));
            }
            Some(Outcome::Refused) => {
                verdict.phantom += 1;
                verdict.example("phantom", row.voter, Some(row.ballot));
            }
            Some(_) => {
                let sent_so = same.iter().any(|a| a.outcome != Outcome::Refused && a.picks == row.picks);
                if highest_safe > Some((row.revision, row.ballot)) || !sent_so {
                    verdict.wrong += 1;
                    verdict.example("wrong", row.voter, Some(row.ballot));
                } else {
                    verdict.recovered += u64::from(same.iter().any(|a| a.outcome == Outcome::Unknown));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome::{Ok, Refused, Unknown};
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn attempt(voter: u128, revision: u32, choice: u16, outcome: Outcome) -> Attempt {
        let row = row(voter, revision, choice);
        Attempt { voter: row.voter, ballot: row.ballot, revision, picks: row.picks, outcome }
    }

    fn row(voter: u128, revision: u32, choice: u16) -> Row {
        Row {
            voter: VoterId(Uuid::from_u128(voter)),
            ballot: BallotId(Uuid::from_u128(voter << 32 | u128::from(revision))),
            revision,
            picks: Picks::parse(&choice.to_string()).unwrap(),
        }
    }

    /// What an honest poll with these rows shows.
    fn honest(rows: &[Row]) -> Published {
        let counts = Counts::of(rows);
        let n = rows.len() as i64;
        let books = Books { received: n, counted: n, voters: n, ..Books::default() };
        Published { tally: counts.clone(), live: counts.clone(), stream: Some(counts.clone()), export: counts, books }
    }

    fn verdict(attempts: &[Attempt], rows: &[Row]) -> Verdict {
        check(attempts.to_vec(), rows.to_vec(), &honest(rows))
    }

    #[test]
    fn what_was_answered_and_is_held_is_clean() {
        let attempts = [attempt(2, 1, 1, Ok), attempt(1, 1, 1, Ok), attempt(1, 2, 2, Ok), attempt(3, 1, 1, Refused), attempt(1, 2, 2, Ok)];
        let verdict = verdict(&attempts, &[row(1, 2, 2), row(2, 1, 1)]);
        assert!(verdict.is_clean(), "{verdict:?}");
        assert_eq!((verdict.voters, verdict.answered, verdict.recovered), (3, 2, 0));
    }

    #[test]
    fn an_answered_voter_without_a_row_is_lost() {
        let verdict = verdict(&[attempt(1, 1, 1, Ok), attempt(2, 1, 1, Ok), attempt(3, 1, 1, Unknown)], &[row(2, 1, 1)]);
        assert_eq!(verdict, Verdict { voters: 3, answered: 2, lost: 1, examples: verdict.examples.clone(), ..Verdict::default() });
        assert!(!verdict.is_clean() && verdict.examples[0].starts_with("lost: voter 00000000-0000-0000-0000-000000000001"));
    }

    #[test]
    fn a_voter_id_that_two_people_were_given_is_a_loss() {
        let (one, two) = (VoterId(Uuid::from_u128(1)), VoterId(Uuid::from_u128(2)));
        // Both were told that their vote is safe, and the later one's row stands.
        let mut verdict = verdict(&[attempt(1, 1, 1, Ok), attempt(1, 1, 1, Ok), attempt(2, 1, 1, Ok)], &[row(1, 1, 1), row(2, 1, 1)]);
        assert!(verdict.is_clean(), "{verdict:?}");
        people(&mut verdict, vec![one, two, one]);
        assert_eq!((verdict.lost, verdict.is_clean(), verdict.examples.len()), (1, false, 1), "{verdict:?}");
        let mut honest = Verdict::default();
        people(&mut honest, vec![two, one]);
        assert!(honest.is_clean());
    }

    #[test]
    fn a_row_below_the_highest_safe_ballot_is_wrong() {
        for unknown in [false, true] {
            // A higher attempt of unknown fate excuses itself, not the lower row.
            let mut attempts = vec![attempt(1, 1, 1, Ok), attempt(1, 2, 2, Ok)];
            attempts.extend(unknown.then(|| attempt(1, 3, 1, Unknown)));
            let verdict = verdict(&attempts, &[row(1, 1, 1)]);
            assert_eq!((verdict.wrong, verdict.lost, verdict.is_clean()), (1, 0, false), "{verdict:?}");
        }
    }

    #[test]
    fn a_row_with_other_picks_than_were_sent_is_wrong() {
        assert_eq!(verdict(&[attempt(1, 1, 1, Ok)], &[row(1, 1, 2)]).wrong, 1);
    }

    #[test]
    fn an_unknown_attempt_may_count_and_is_reported() {
        let higher = verdict(&[attempt(1, 1, 1, Ok), attempt(1, 2, 2, Unknown)], &[row(1, 2, 2)]);
        assert!(higher.is_clean() && higher.recovered == 1, "{higher:?}");
        let alone = verdict(&[attempt(1, 1, 1, Unknown)], &[row(1, 1, 1)]);
        assert!(alone.is_clean() && alone.recovered == 1 && alone.answered == 0, "{alone:?}");
        let in_the_end = verdict(&[attempt(1, 1, 1, Refused), attempt(1, 1, 1, Unknown), attempt(1, 1, 1, Ok)], &[row(1, 1, 1)]);
        assert!(in_the_end.is_clean() && in_the_end.recovered == 1, "an answer was lost, and the vote was not: {in_the_end:?}");
        let at_once = verdict(&[attempt(1, 1, 1, Refused), attempt(1, 1, 1, Ok)], &[row(1, 1, 1)]);
        assert!(at_once.is_clean() && at_once.recovered == 0, "{at_once:?}");
    }

    #[test]
    fn a_row_nobody_sent_is_unexpected() {
        assert_eq!(verdict(&[], &[row(9, 1, 1)]).unexpected, 1);
        assert_eq!(verdict(&[attempt(1, 1, 1, Ok)], &[row(1, 1, 1), row(9, 1, 1)]).unexpected, 1);
        let other_ballot = verdict(&[attempt(1, 1, 1, Ok)], &[row(1, 7, 1)]);
        assert_eq!((other_ballot.unexpected, other_ballot.is_clean()), (1, false));
    }

    #[test]
    fn a_row_that_was_only_ever_refused_is_a_phantom() {
        let verdict = verdict(&[attempt(1, 1, 1, Refused), attempt(1, 1, 1, Refused)], &[row(1, 1, 1)]);
        assert_eq!((verdict.phantom, verdict.is_clean()), (1, false));
    }

    #[test]
    fn every_place_that_shows_another_number_is_doubled() {
        let rows = [row(1, 1, 1), row(2, 1, 2)];
        let attempts = [attempt(1, 1, 1, Ok), attempt(2, 1, 2, Ok)];
        let one_more = |counts: &mut Counts| *counts.votes.entry(1).or_default() += 1;
        type Spoil = Box<dyn Fn(&mut Published)>;
        let spoils: [(Spoil, u64); 6] = [
            // The live document and the stream show the wrong tally, too, or they would differ from it.
            (Box::new(move |p| one_more(&mut p.tally)), 3),
            (Box::new(move |p| one_more(&mut p.live)), 1),
            (Box::new(move |p| one_more(p.stream.as_mut().unwrap())), 1),
            (Box::new(move |p| one_more(&mut p.export)), 1),
            (Box::new(|p| p.live.voters -= 1), 1),
            (Box::new(|p| (p.books.counted, p.books.received) = (3, 3)), 1),
        ];
        for (at, (spoil, doubled)) in spoils.into_iter().enumerate() {
            let mut published = honest(&rows);
            spoil(&mut published);
            let verdict = check(attempts.to_vec(), rows.to_vec(), &published);
            assert_eq!((verdict.doubled, verdict.is_clean()), (doubled, false), "spoil {at}");
        }
        assert_eq!(verdict(&attempts, &[rows[0].clone(), rows[0].clone(), rows[1].clone()]).doubled, 1, "two rows of one voter");
    }

    #[test]
    fn books_that_do_not_balance_are_named() {
        let mut published = honest(&[row(1, 1, 1)]);
        published.books.received += 2;
        let verdict = check(vec![attempt(1, 1, 1, Ok)], vec![row(1, 1, 1)], &published);
        assert_eq!((verdict.books, verdict.is_clean()), (2, false));
    }

    #[test]
    fn books_that_received_less_than_was_safe_or_more_than_was_sent_are_named() {
        for (in_books, lost, doubled) in [(10, 0, 0), (12, 0, 0), (9, 1, 0), (14, 0, 2)] {
            let mut verdict = Verdict::default();
            received(&mut verdict, in_books, 10, Some(12));
            assert_eq!((verdict.lost, verdict.doubled, verdict.examples.len() as u64), (lost, doubled, (lost + doubled).min(1)), "{in_books}");
        }
    }

    proptest! {
        /// A poll that keeps its promises passes whatever happened on the way; taking away any row of an answered voter does not.
        #[test]
        fn an_honest_poll_is_always_clean_and_a_dishonest_one_never(
            sent in prop::collection::vec((0u128..6, 1u32..4, 0u8..3, any::<bool>()), 1..60),
            which in any::<prop::sample::Index>(),
        ) {
            let outcomes = [Refused, Unknown, Ok];
            let attempts: Vec<Attempt> = sent.iter().map(|(v, r, o, _)| attempt(*v, *r, (*r % 3) as u16 + 1, outcomes[usize::from(*o)])).collect();
            let mut held: BTreeMap<VoterId, Row> = BTreeMap::new();
            for (attempt, (.., arrives)) in attempts.iter().zip(&sent) {
                let counts = attempt.outcome == Ok || attempt.outcome == Unknown && *arrives;
                if counts && held.get(&attempt.voter).is_none_or(|row| row.revision < attempt.revision) {
                    let row = Row { voter: attempt.voter, ballot: attempt.ballot, revision: attempt.revision, picks: attempt.picks.clone() };
                    held.insert(attempt.voter, row);
                }
            }
            let rows: Vec<Row> = held.into_values().collect();
            let fair = verdict(&attempts, &rows);
            prop_assert!(fair.is_clean(), "{:?}", fair);
            let answered: Vec<VoterId> = attempts.iter().filter(|a| a.outcome == Ok).map(|a| a.voter).collect();
            if !answered.is_empty() {
                let victim = answered[which.index(answered.len())];
                let fewer: Vec<Row> = rows.into_iter().filter(|r| r.voter != victim).collect();
                prop_assert_eq!(verdict(&attempts, &fewer).lost, 1);
            }
        }
    }
}

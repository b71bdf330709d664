//! The batcher of one lane, as a state machine without IO or clock: who stands in line, which of them make up the next batch, who has stood for
//! too long, and when nobody may join any more. A seeded simulator drives this very code.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::BATCH_BALLOTS_MAX;
use crate::domain::{Ballot, CLOSE_GRACE_MS, Millis};

/// How long a web process may take to learn of a close: see `store::edit::WAIT_COVERED` and the ticks of `live`.
pub const LEARN_MS: Millis = 500;
/// Ballots that stood in line for longer are refused instead of sent. Their poll was open when they joined; the batch is stamped when it
/// leaves, and must not turn out later than the grace after a close allows.
pub const IN_LINE_MAX: Duration = Duration::from_millis((CLOSE_GRACE_MS - LEARN_MS) as u64);
/// Behind a ballot that has waited for this long, nobody joins: newcomers are refused at the door, at once, instead of standing in a line that
/// would refuse them later. Longer than a broker may take to confirm (1 s; then the disk takes what is in line, and the line moves).
pub(super) const FULL_AFTER: Duration = Duration::from_millis(1_250);
/// Open again when the oldest has waited for less than this.
const OPEN_BELOW: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub struct Batcher<W> {
    parts: VecDeque<Part<W>>,
    /// Somebody carries batches to the queue, one after the other.
    carried: bool,
    /// Since when the oldest ballot of the batch on its way has waited.
    on_its_way_since: Option<Instant>,
}

/// What one thread handed over in one turn; `waiting` is told what becomes of it.
#[derive(Debug)]
pub struct Part<W> {
    pub ballots: Vec<Ballot>,
    pub joined: Instant,
    pub waiting: W,
}

/// What leaves the line.
#[derive(Debug)]
pub struct Leaving<W> {
    /// They make up a batch; none at all when only the late left.
    pub batch: Vec<Part<W>>,
    /// They stood here for too long and are refused: none of them has a number yet.
    pub late: Vec<Part<W>>,
    /// How long the oldest of both has waited.
    pub waited: Duration,
}

/// May nobody join? `was_full` is the last answer: a line that was full opens again only when it moves well.
pub(super) fn is_full(was_full: bool, waited: Duration) -> bool {
    waited >= if was_full { OPEN_BELOW } else { FULL_AFTER }
}

impl<W> Default for Batcher<W> {
    fn default() -> Batcher<W> {
        Batcher { parts: VecDeque::new(), carried: false, on_its_way_since: None }
    }
}

impl<W> Batcher<W> {
    /// At most `BATCH_BALLOTS_MAX` ballots. True for the one who finds nobody carrying, and must.
    #[must_use]
    pub fn join(&mut self, part: Part<W>) -> bool {
        debug_assert!(part.ballots.len() <= BATCH_BALLOTS_MAX, "it would stand here for ever");
        self.parts.push_back(part);
        !std::mem::replace(&mut self.carried, true)
    }

    /// The batch before has come back, or is left behind: as many parts as fit into the next one. None ends the carrying.
    pub fn next(&mut self, now: Instant) -> Option<Leaving<W>> {
        let mut ballots = 0;
        let fitting = self.parts.iter().take_while(|part| {
            ballots += part.ballots.len();
            ballots <= BATCH_BALLOTS_MAX
        });
        let count = fitting.count();
        self.carried = count > 0;
        self.on_its_way_since = self.parts.front().map(|oldest| oldest.joined);
        let waited = self.on_its_way_since.map_or(Duration::ZERO, |since| now - since);
        // Under the lock of the line: one allocation of the right size, and none for the late, who are rare.
        let mut batch: Vec<Part<W>> = self.parts.drain(..count).collect();
        let late = batch.extract_if(.., |part| now - part.joined > IN_LINE_MAX).collect();
        (count > 0).then_some(Leaving { batch, late, waited })
    }

    /// How long the oldest ballot that is not safe yet has waited, on its way or in line (but not one left behind, for which nobody waits); and
    /// who stood here for too long. They are refused now, rather than when the batch before them comes back.
    pub fn look(&mut self, now: Instant) -> (Duration, Vec<Part<W>>) {
        let late = self.parts.iter().take_while(|part| now - part.joined > IN_LINE_MAX).count();
        let late: Vec<Part<W>> = self.parts.drain(..late).collect();
        let oldest = self.on_its_way_since.into_iter().chain(self.parts.front().map(|part| part.joined)).min();
        (oldest.map_or(Duration::ZERO, |since| now - since), late)
    }

    /// Nobody carries any more: who stands here would stand for ever.
    pub fn abandon(&mut self) -> impl Iterator<Item = Part<W>> + use<W> {
        std::mem::take(self).parts.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{BallotId, Picks, PollId, VoterId};

    fn part(ballots: usize, joined: Instant) -> Part<usize> {
        let (voter, id) = (VoterId(Uuid::nil()), BallotId(Uuid::nil()));
        let ballot = Ballot { poll: PollId(1), round: 1, voter, ballot: id, revision: 1, picks: Picks::default() };
        Part { ballots: vec![ballot; ballots], joined, waiting: ballots }
    }

    fn sizes(parts: &[Part<usize>]) -> Vec<usize> {
        parts.iter().map(|part| part.waiting).collect()
    }

    #[test]
    fn a_line_that_was_full_opens_only_when_it_moves_well() {
        let ms = Duration::from_millis;
        let mut full = false;
        for (waited, expected) in [(1_000, false), (1_249, false), (1_250, true), (1_000, true), (250, true), (249, false), (1_249, false)] {
            full = is_full(full, ms(waited));
            assert_eq!(full, expected, "{waited} ms");
        }
        assert!(FULL_AFTER < IN_LINE_MAX, "refused at the door before anybody is refused in line");
    }

    #[test]
    fn what_comes_while_a_batch_is_on_its_way_makes_up_the_next_as_far_as_it_fits() {
        let (mut line, now) = (Batcher::default(), Instant::now());
        assert!(line.join(part(1, now)), "nobody carries yet");
        assert_eq!(sizes(&line.next(now).unwrap().batch), [1]);
        for ballots in [4_000, 96, 1] {
            assert!(!line.join(part(ballots, now)), "somebody does");
        }
        assert_eq!(sizes(&line.next(now).unwrap().batch), [4_000, 96]);
        assert_eq!(sizes(&line.next(now).unwrap().batch), [1]);
        assert!(line.next(now).is_none(), "the carrying ends");
        assert!(line.join(part(2, now)), "and begins with the next one");
    }

    #[test]
    fn who_has_stood_for_too_long_leaves_without_a_batch() {
        let (mut line, began) = (Batcher::default(), Instant::now());
        let _ = line.join(part(1, began));
        let _ = line.join(part(2, began + IN_LINE_MAX));
        let leaving = line.next(began + IN_LINE_MAX + Duration::from_millis(1)).unwrap();
        assert_eq!((sizes(&leaving.batch), sizes(&leaving.late)), (vec![2], vec![1]));
        assert_eq!(leaving.waited, IN_LINE_MAX + Duration::from_millis(1));
        // Behind a batch that does not come back, too.
        let _ = line.join(part(3, began + IN_LINE_MAX));
        let (waited, late) = line.look(began + 3 * IN_LINE_MAX);
        assert_eq!((waited, sizes(&late)), (3 * IN_LINE_MAX, vec![3]));
    }
}

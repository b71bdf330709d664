//! How far one lane of one web process has been worked off: the memory by which a redelivered batch is skipped and a
//! missing one is proven. A watermark and its exceptions, so that it stays small for ever.

use super::{Beat, Millis};

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mark {
    /// Every number up to here has been applied.
    through: u64,
    /// Applied numbers beyond, as sorted, disjoint, non-adjacent ranges (first, last).
    ahead: Vec<(u64, u64)>,
    /// From the newest beat: the last number given out, at this time.
    last: u64,
    clock: Millis,
    /// Every ballot accepted up to here has been applied.
    counted_to: Millis,
    ended: bool,
    /// The newest beat that came through the lane, behind everything that was queued before it.
    heard: Millis,
    /// Somebody else holds batches of this process, which died, and said so then.
    vouched: Millis,
}

/// As they stand in the database: through, ahead, last, clock, counted_to, ended, heard, vouched.
pub type MarkColumns = (i64, String, i64, Millis, Millis, bool, Millis, Millis);

/// What a database is told directly, past everything that waits in a lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sign {
    /// By a process, of itself.
    Beat(Beat),
    /// In the name of a process that died, by the one that holds batches of it, up to this number. How far it got, and what else of it stands
    /// in line, nobody knows: nothing is counted past it until its books are closed.
    Vouch { at: Millis, highest: u64 },
}

/// More gaps than this are worth a word: each is a batch that went to a disk while those around it did not, so there are at most as many as
/// batches lie in spills, and those are capped. They are closed as spills are replayed.
pub const GAPS_MANY: usize = 10_000;

impl Mark {
    /// The first sign of an instance, written by itself before it accepts anything: nothing was heard through the lane yet.
    pub fn born(clock: Millis) -> Mark {
        Mark { clock, counted_to: clock, ..Mark::default() }
    }

    /// Reads back what `columns` wrote.
    pub fn from_columns((through, ahead, last, clock, counted_to, ended, heard, vouched): MarkColumns) -> Option<Mark> {
        let mut ranges = Vec::new();
        for item in ahead.split_ascii_whitespace() {
            let (from, to) = item.split_once('-').unwrap_or((item, item));
            ranges.push((from.parse().ok()?, to.parse().ok()?));
        }
        Some(Mark { through: through.try_into().ok()?, ahead: ranges, last: last.try_into().ok()?, clock, counted_to, ended, heard, vouched })
    }

    pub fn through(&self) -> u64 {
        self.through
    }

    pub fn ahead(&self) -> String {
        let mut text = String::new();
        for (from, to) in &self.ahead {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&if from == to { from.to_string() } else { format!("{from}-{to}") });
        }
        text
    }

    /// How many stretches of numbers are missing before the last one that was applied.
    pub fn gaps(&self) -> usize {
        self.ahead.len()
    }

    pub fn last(&self) -> u64 {
        self.last
    }

    pub fn clock(&self) -> Millis {
        self.clock
    }

    pub fn counted_to(&self) -> Millis {
        self.counted_to
    }

    pub fn ended(&self) -> bool {
        self.ended
    }

    pub fn heard(&self) -> Millis {
        self.heard
    }

    pub fn vouched(&self) -> Millis {
        self.vouched
    }

    /// The last sign of it, by itself or by who holds its batches.
    pub fn last_sign(&self) -> Millis {
        self.clock.max(self.vouched)
    }

    /// Notes that batch `number` is applied now. False: it already was, skip it whole.
    #[must_use]
    pub fn note(&mut self, number: u64) -> bool {
        assert!(number > 0, "batches are numbered from 1");
        if number <= self.through {
            return false;
        }
        let at = self.ahead.partition_point(|(_, to)| *to < number);
        if self.ahead.get(at).is_some_and(|(from, _)| *from <= number) {
            return false;
        }
        let touches_before = if at > 0 { self.ahead[at - 1].1 + 1 == number } else { false };
        let touches_after = self.ahead.get(at).is_some_and(|(from, _)| *from == number + 1);
        match (touches_before, touches_after) {
            (true, true) => {
                self.ahead[at - 1].1 = self.ahead[at].1;
                self.ahead.remove(at);
            }
            (true, false) => self.ahead[at - 1].1 = number,
            (false, true) => self.ahead[at].0 = number,
            (false, false) => self.ahead.insert(at, (number, number)),
        }
        if self.ahead[0].0 == self.through + 1 {
            self.through = self.ahead.remove(0).1;
        }
        self.settle();
        true
    }

    /// Takes in what did not come through the lane: it says nothing of what waits there.
    pub fn sign(&mut self, sign: &Sign) {
        match sign {
            Sign::Beat(beat) => {
                let heard = self.heard;
                self.beat(beat);
                self.heard = heard;
            }
            Sign::Vouch { at, highest } => {
                self.vouched = self.vouched.max(*at);
                self.last = self.last.max(*highest);
            }
        }
    }

    /// Takes in a beat. An older one than already known changes nothing.
    pub fn beat(&mut self, beat: &Beat) {
        self.heard = self.heard.max(beat.clock);
        for (from, to) in &beat.void {
            for number in *from..=*to {
                let _already_applied = !self.note(number);
            }
        }
        if beat.abandoned {
            // A lane is a line: whatever was called safe has gone by before this.
            let known = self.ahead.last().map_or(self.through, |(_, to)| *to);
            self.through = known.max(self.last).max(beat.last);
            self.last = self.through;
            self.ahead.clear();
            self.ended = true;
        }
        if beat.clock >= self.clock {
            // Who was taken for dead and speaks is waited for again. (Of one millisecond, the last word is the one that ends.)
            self.ended = beat.ended || (self.ended && beat.clock == self.clock);
            self.clock = beat.clock;
            self.last = self.last.max(beat.last);
        }
        self.settle();
    }

    /// Numbers known to have been given out and not applied: in flight, or lost.
    pub fn missing(&self) -> Vec<(u64, u64)> {
        let mut gaps = Vec::new();
        let mut next = self.through + 1;
        for (from, to) in self.ahead.iter().copied() {
            gaps.push((next, from - 1));
            next = to + 1;
        }
        if next <= self.last {
            gaps.push((next, self.last));
        }
        gaps
    }

    fn settle(&mut self) {
        if self.through >= self.last {
            self.counted_to = self.counted_to.max(self.clock);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn beat(clock: Millis, last: u64) -> Beat {
        Beat { clock, last, void: Vec::new(), ended: false, abandoned: false }
    }

    #[test]
    fn a_beat_speaks_only_once_all_before_it_is_applied() {
        let mut mark = Mark::born(100);
        assert!(mark.note(2));
        mark.beat(&beat(200, 2));
        assert_eq!(mark.counted_to(), 100, "batch 1 is still on its way");
        assert_eq!(mark.missing(), [(1, 1)]);
        assert!(mark.note(1));
        assert_eq!((mark.counted_to(), mark.through(), mark.missing().len()), (200, 2, 0));
    }

    #[test]
    fn a_refused_batch_leaves_no_gap() {
        let mut mark = Mark::born(0);
        assert!(mark.note(1) && mark.note(5));
        mark.beat(&Beat { void: vec![(2, 4)], ..beat(10, 5) });
        assert_eq!((mark.through(), mark.counted_to()), (5, 10));
        assert!(!mark.note(3), "should it arrive after all, it is skipped: nobody was told that it is safe");
    }

    #[test]
    fn what_a_dead_instance_never_called_safe_is_no_gap_once_its_heir_has_said_so() {
        let mut mark = Mark::born(0);
        assert!(mark.note(1) && mark.note(4));
        mark.beat(&beat(20, 6));
        assert_eq!(mark.missing(), [(2, 3), (5, 6)]);
        // By another process, whose clock may be behind.
        mark.beat(&Beat { abandoned: true, ended: true, ..beat(10, 0) });
        assert_eq!((mark.through(), mark.missing().len(), mark.ended(), mark.ahead().as_str()), (6, 0, true, ""));
    }

    /// It died when 4 and 5 stood in line and nobody had heard of them; 3 came from its spill and goes by before them.
    #[test]
    fn who_vouches_for_a_dead_process_does_not_say_how_far_it_got() {
        let mut mark = Mark::born(10);
        assert!(mark.note(1) && mark.note(2));
        mark.sign(&Sign::Vouch { at: 900, highest: 3 });
        assert!(mark.note(3));
        assert_eq!((mark.counted_to(), mark.last_sign(), mark.through()), (10, 900, 3), "4 and 5 were accepted before 900");
        mark.beat(&Beat { abandoned: true, ended: true, ..beat(901, 0) });
        assert!(mark.ended() && mark.missing().is_empty());
    }

    #[test]
    fn a_lost_batch_stays_visible() {
        let mut mark = Mark::born(0);
        assert!(mark.note(1) && mark.note(3) && mark.note(4));
        mark.beat(&beat(10, 6));
        assert_eq!(mark.missing(), [(2, 2), (5, 6)]);
        assert_eq!(mark.ahead(), "3-4");
    }

    #[test]
    fn however_many_are_missing_counting_goes_on_and_they_are_taken_when_they_come() {
        let mut mark = Mark::born(0);
        let numbers = 2 * GAPS_MANY as u64 + 2;
        assert!((2..=numbers).step_by(2).all(|number| mark.note(number)));
        assert_eq!((mark.through(), mark.gaps()), (0, GAPS_MANY + 1));
        assert!((1..=numbers).step_by(2).all(|number| mark.note(number)));
        assert_eq!((mark.through(), mark.gaps()), (numbers, 0));
    }

    proptest! {
        #[test]
        fn each_number_is_fresh_exactly_once_in_any_order_and_after_any_restart(numbers in prop::collection::vec(1u64..40, 0..120)) {
            let mut mark = Mark::default();
            let mut seen = std::collections::BTreeSet::new();
            for number in numbers {
                prop_assert_eq!(mark.note(number), seen.insert(number));
                let read_back = Mark::from_columns((mark.through as i64, mark.ahead(), mark.last as i64, mark.clock, mark.counted_to, mark.ended, mark.heard, mark.vouched));
                prop_assert_eq!(read_back.as_ref(), Some(&mark));
            }
            let contiguous = (1..).take_while(|n| seen.contains(n)).count() as u64;
            prop_assert_eq!(mark.through(), contiguous);
        }
    }
}

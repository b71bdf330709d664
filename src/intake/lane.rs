//! The near end of one lane, as a state machine without IO: which number a batch gets, whether it goes to the broker or to the spill,
//! what is said when both failed, and what a beat may claim. A seeded simulator drives this very code.

use super::circuit::Circuit;
use crate::domain::{Beat, Millis};
use crate::queue::NotSafe;

/// Ranges of void numbers kept per lane; beyond, the books show a gap, which is the honest thing to show.
const VOID_RANGES_MAX: usize = 10_000;

#[derive(Clone, Debug, Default)]
pub struct Lane {
    /// The last number given out.
    last: u64,
    /// Time of the last beat, or of the birth: what is accepted later is stamped later.
    beat_clock: Millis,
    /// Numbers (first, last) of batches that were refused or whose fate is unknown: the next beat says so, or their absence would look
    /// like a loss. A batch whose waiters gave up while the disk was slow may lie in the spill all the same: it is skipped when it comes,
    /// and nobody was told that it is safe.
    void: Vec<(u64, u64)>,
    circuit: Circuit,
    /// A batch is with the broker, and its confirm is late: those behind it do not wait for it.
    overdue: bool,
}

/// What a batch goes on its way with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticket {
    pub number: u64,
    pub accepted_at: Millis,
    /// Not to the broker: straight to the disk.
    pub to_spill: bool,
}

impl Lane {
    /// `clock` is the time under which the database knows the instance: what is accepted is later, even if the clock goes back.
    pub fn born(clock: Millis) -> Lane {
        Lane { beat_clock: clock, ..Lane::default() }
    }

    /// Gives a batch its number and its time. Both in one step, so that a beat speaks for all before it.
    pub fn begin(&mut self, now: Millis, has_spill: bool) -> Ticket {
        self.last += 1;
        // Later than the last beat, which spoke for everything up to its clock.
        let accepted_at = now.max(self.beat_clock + 1);
        Ticket { number: self.last, accepted_at, to_spill: has_spill && (self.overdue || !self.circuit.is_closed()) }
    }

    /// The batch is in neither place, as far as anybody knows: its waiters are told so, and an empty batch fills its place. If the
    /// batch is somewhere after all, whichever comes first stays; nobody was told that it is safe.
    pub fn give_up(&mut self, number: u64) {
        self.void(number, number);
    }

    /// "Every ballot I accepted up to `clock` stands in batches up to `last`."
    pub fn beat(&mut self, now: Millis, ended: bool) -> Beat {
        self.beat_clock = now.max(self.beat_clock);
        Beat { clock: self.beat_clock, last: self.last, void: std::mem::take(&mut self.void), ended, abandoned: false }
    }

    /// Nobody may have heard that beat. A clock needs no repeating, void numbers do.
    pub fn beat_lost(&mut self, beat: &Beat) {
        for (from, to) in &beat.void {
            self.void(*from, *to);
        }
    }

    /// The broker is slow, not silent: no failure that would open the circuit, but until it has answered batches go to the disk.
    pub fn set_overdue(&mut self, overdue: bool) {
        self.overdue = overdue;
    }

    pub fn circuit(&mut self) -> &mut Circuit {
        &mut self.circuit
    }

    fn void(&mut self, from: u64, to: u64) {
        if let Some(last) = self.void.last_mut()
            && last.1 + 1 == from
        {
            // Refusals come in rows: they stay one range.
            last.1 = to;
        } else if self.void.len() < VOID_RANGES_MAX {
            self.void.push((from, to));
        }
    }
}

/// What is said of a batch that is neither with the broker nor in the spill. One doubt is enough to make it doubtful.
pub fn worse(of_broker: NotSafe, of_spill: NotSafe) -> NotSafe {
    match of_broker {
        NotSafe::Unknown(_) => of_broker,
        NotSafe::Refused(_) => of_spill,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubt_on_either_side_is_never_called_a_refusal() {
        let (refused, unknown) = (NotSafe::Refused("full"), NotSafe::Unknown("silent"));
        assert_eq!(worse(refused, refused), refused);
        for (of_broker, of_spill) in [(refused, unknown), (unknown, refused), (unknown, unknown)] {
            assert_eq!(worse(of_broker, of_spill), unknown);
        }
    }

    #[test]
    fn a_receipt_is_later_than_every_beat_before_it_even_when_the_clock_goes_back() {
        let mut lane = Lane::default();
        assert_eq!(lane.beat(100, false).clock, 100);
        let ticket = lane.begin(50, true);
        assert_eq!((ticket.number, ticket.accepted_at, ticket.to_spill), (1, 101, false));
        assert_eq!(lane.beat(60, false).clock, 100);
    }

    #[test]
    fn while_the_circuit_is_open_batches_go_to_the_disk_if_there_is_one() {
        let mut lane = Lane::default();
        lane.circuit().fail(0, 0.0);
        assert!(lane.begin(1, true).to_spill);
        assert!(!lane.begin(1, false).to_spill);
    }

    #[test]
    fn while_a_confirm_is_overdue_batches_go_to_the_disk_and_the_circuit_stays_closed() {
        let mut lane = Lane::default();
        assert!(!lane.begin(1, true).to_spill);
        lane.set_overdue(true);
        assert!(lane.begin(1, true).to_spill && lane.circuit().is_closed());
        lane.set_overdue(false);
        assert!(!lane.begin(1, true).to_spill);
    }

    #[test]
    fn void_numbers_are_said_until_they_are_heard() {
        let mut lane = Lane::default();
        for _ in 0..3 {
            let number = lane.begin(1, false).number;
            lane.give_up(number);
        }
        let lost = lane.beat(2, false);
        assert_eq!(lost.void, [(1, 3)]);
        assert_eq!(lane.beat(3, false).void, []);
        lane.beat_lost(&lost);
        assert_eq!(lane.beat(4, false).void, [(1, 3)]);
    }
}

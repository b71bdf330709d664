//! The circuit of one lane between broker and spill: open as soon as one batch does not get through, closed again by a probe that
//! does. A state machine without IO, clock or chance: the time and a random number are arguments.

use crate::domain::Millis;

/// The first probe after the circuit opened; most outages of one lane are over by then.
const PROBE_FIRST_MS: Millis = 100;
/// Between probes of a broker that stays away. Each is one small message per lane.
const PROBE_MAX_MS: Millis = 2_000;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Circuit {
    open: Option<Open>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Open {
    since: Millis,
    /// When the next probe is due; while one is on its way, there is none.
    probe_at: Option<Millis>,
    pause: Millis,
}

impl Circuit {
    pub fn is_closed(&self) -> bool {
        self.open.is_none()
    }

    pub fn open_since(&self) -> Option<Millis> {
        self.open.as_ref().map(|open| open.since)
    }

    /// A batch did not get through. `chance` is between 0 and 1. True when this opened the circuit.
    pub fn fail(&mut self, now: Millis, chance: f64) -> bool {
        if self.open.is_some() {
            // The last of those that were on their way: they tell nothing new.
            return false;
        }
        self.open = Some(Open { since: now, probe_at: Some(now + jittered(PROBE_FIRST_MS, chance)), pause: PROBE_FIRST_MS });
        true
    }

    /// When to probe next, if at all.
    pub fn probe_at(&self) -> Option<Millis> {
        self.open.as_ref()?.probe_at
    }

    /// True when a probe is due: whoever asked sends it, and comes back with `probed`.
    pub fn take_probe(&mut self, now: Millis) -> bool {
        let Some(Open { probe_at, .. }) = &mut self.open else { return false };
        // One that lies further ahead than any pause was put there before the clock was set back.
        let is_due = probe_at.is_some_and(|at| at <= now || at > now + 2 * PROBE_MAX_MS);
        if is_due {
            *probe_at = None;
        }
        is_due
    }

    /// What became of the probe. True when the circuit is closed again.
    pub fn probed(&mut self, confirmed: bool, now: Millis, chance: f64) -> bool {
        let Some(open) = &mut self.open else { return false };
        if confirmed {
            self.open = None;
            return true;
        }
        open.pause = (open.pause * 2).min(PROBE_MAX_MS);
        open.probe_at = Some(now + jittered(open.pause, chance));
        false
    }
}

/// Between half and one and a half of it: a hundred processes do not probe as one.
fn jittered(pause: Millis, chance: f64) -> Millis {
    (pause as f64 * (0.5 + chance)) as Millis
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_opens_it_and_one_confirmed_probe_closes_it() {
        let mut circuit = Circuit::default();
        assert!(circuit.fail(1_000, 0.5));
        assert!(!circuit.fail(1_001, 0.5), "what was on its way fails too, and is no news");
        assert_eq!((circuit.open_since(), circuit.probe_at()), (Some(1_000), Some(1_100)));
        assert!(!circuit.take_probe(1_099));
        assert!(circuit.take_probe(1_100));
        assert!(!circuit.take_probe(9_000), "one at a time");
        assert!(circuit.probed(true, 1_110, 0.5));
        assert!(circuit.is_closed());
        assert_eq!(circuit.probe_at(), None);
    }

    #[test]
    fn probes_of_a_broker_that_stays_away_grow_rare_but_never_cease() {
        let mut circuit = Circuit::default();
        circuit.fail(0, 0.999);
        let (mut now, mut longest) = (0, 0);
        for _ in 0..40 {
            let at = circuit.probe_at().expect("there is always a next one");
            longest = longest.max(at - now);
            now = at;
            assert!(circuit.take_probe(now));
            assert!(!circuit.probed(false, now, 0.999));
        }
        assert!((PROBE_MAX_MS..PROBE_MAX_MS * 3 / 2).contains(&longest), "{longest}");
    }

    #[test]
    fn a_clock_that_is_set_back_puts_no_probe_off() {
        let mut circuit = Circuit::default();
        circuit.fail(1_000_000, 0.5);
        assert!(circuit.take_probe(5), "an hour later it would be too late");
    }

    #[test]
    fn a_probe_that_comes_home_to_a_closed_circuit_changes_nothing() {
        let mut circuit = Circuit::default();
        assert!(!circuit.probed(false, 5, 0.0));
        assert!(!circuit.probed(true, 5, 0.0));
        assert!(circuit.is_closed());
    }
}

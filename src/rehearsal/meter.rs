//! What a generator thread lets others see while it works.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Each on cache lines of its own: threads must not slow each other down by counting.
#[repr(align(128))]
#[derive(Default, Debug)]
pub struct Meter {
    pub joined: AtomicU64,
    /// Attempts on the wire so far, and of these now.
    pub sent: AtomicU64,
    pub in_flight: AtomicU64,
    /// Taps that wait for a free connection.
    pub queued: AtomicU64,
    /// Ballots answered with a success for the first time.
    pub accepted: AtomicU64,
    pub refused: AtomicU64,
    pub unknown: AtomicU64,
}

/// The sum of all threads at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Reading {
    pub joined: u64,
    pub sent: u64,
    pub in_flight: u64,
    pub queued: u64,
    pub accepted: u64,
    pub refused: u64,
    pub unknown: u64,
}

pub fn read(meters: &[Arc<Meter>]) -> Reading {
    let sum = |of: fn(&Meter) -> &AtomicU64| meters.iter().map(|m| of(m).load(Ordering::Relaxed)).sum();
    Reading {
        joined: sum(|m| &m.joined),
        sent: sum(|m| &m.sent),
        in_flight: sum(|m| &m.in_flight),
        queued: sum(|m| &m.queued),
        accepted: sum(|m| &m.accepted),
        refused: sum(|m| &m.refused),
        unknown: sum(|m| &m.unknown),
    }
}

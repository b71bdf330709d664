//! What the figures of the process say of intake. Kept as handles, and touched once a batch: to look one up by name costs more than a vote may.

use metrics::{Counter, Gauge, Histogram};

/// Of one lane.
pub(super) struct LaneFigures {
    pub accepted: Counter,
    pub unknown: Counter,
    /// How long the oldest ballot of a batch stood in line before the batch went on its way.
    pub in_line: Histogram,
    /// From there until it was safe.
    pub safe: Histogram,
}

impl LaneFigures {
    pub fn of(lane: u16) -> LaneFigures {
        let lane = lane.to_string();
        let figures = LaneFigures {
            accepted: metrics::counter!("groundswell_ballots_accepted_total", "lane" => lane.clone()),
            unknown: metrics::counter!("groundswell_ballots_unknown_total", "lane" => lane.clone()),
            in_line: metrics::histogram!("groundswell_line_wait_seconds", "lane" => lane.clone()),
            safe: metrics::histogram!("groundswell_batch_safe_seconds", "lane" => lane),
        };
        // Known from the start, not only when it has happened.
        figures.accepted.increment(0);
        figures.unknown.increment(0);
        figures
    }
}

/// Why ballots are refused.
#[derive(Clone, Copy)]
pub(super) enum Refused {
    /// Neither broker nor disk would take a batch.
    NotReady,
    /// At the door: the line before its lane does not move.
    LineFull,
    /// Too many wait to become safe.
    RoomFull,
    /// Stood in line for too long.
    Waited,
    /// By broker and disk.
    Queue,
}

impl Refused {
    const ALL: [(Refused, &'static str); 5] = [
        (Refused::NotReady, "not_ready"),
        (Refused::LineFull, "line_full"),
        (Refused::RoomFull, "room_full"),
        (Refused::Waited, "waited"),
        (Refused::Queue, "queue"),
    ];
}

/// Of all lanes together.
pub(super) struct Figures {
    refused: Vec<Counter>,
    pub batch: Histogram,
    /// Batches that were left behind because the broker took long.
    pub overdue: Counter,
    pub waiting: Gauge,
    /// How long the oldest ballot that is not safe yet has waited.
    pub oldest: Gauge,
}

impl Figures {
    pub fn new(has_spill: bool) -> Figures {
        let refused = Refused::ALL.map(|(_, why)| metrics::counter!("groundswell_ballots_refused_total", "why" => why));
        refused.iter().for_each(|counter| counter.increment(0));
        let overdue = metrics::counter!("groundswell_batches_overdue_total");
        if has_spill {
            overdue.increment(0);
            metrics::counter!("groundswell_spill_ballots_replayed_total").increment(0);
        }
        Figures {
            refused: refused.into(),
            batch: metrics::histogram!("groundswell_batch_ballots"),
            overdue,
            waiting: metrics::gauge!("groundswell_ballots_waiting"),
            oldest: metrics::gauge!("groundswell_ballots_oldest_wait_seconds"),
        }
    }

    pub fn refuse(&self, why: Refused, ballots: usize) {
        self.refused[why as usize].increment(ballots as u64);
    }
}

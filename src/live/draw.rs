//! From an event and its counts to its two documents.

use std::collections::HashMap;

use super::Frame;
use crate::domain::{Event, Millis, Poll, PollId, PollResult, ResultStatus};
use crate::store::{PollTally, RoundTally};
use crate::wire::document::{Counted, Document, Moment};

/// Up to when everything accepted is in the tally.
#[derive(Clone, Copy)]
pub(super) struct Through {
    pub counted: Millis,
    pub settled: Millis,
}

pub(super) struct Drawn {
    pub public: Frame,
    pub presenter: Frame,
}

pub(super) fn draw(event: &Event, tallies: &HashMap<PollId, PollTally>, now: Millis, through: Through, refresh_ms: u32, join_url: String) -> Drawn {
    let received: u64 = event.all_polls().filter_map(|id| tallies.get(&id)).map(PollTally::received).sum();
    // Both parts only ever rise, and every process reads them from the same rows.
    let version = event.edition + received;
    let moment = Moment { now, version, counted_through: through.counted, refresh_ms };
    let nothing = RoundTally::default();
    let counted = |poll: &Poll| {
        let round = tallies.get(&poll.id).and_then(|t| t.rounds.get(&poll.round)).unwrap_or(&nothing);
        counted_of(poll, round, poll.closed_at, through.settled)
    };
    let public = Document::public(event, moment, counted).to_json();
    let presenter = Document::presenter(event, moment, join_url, counted).to_json();
    let seen = event.polls.iter().filter(|p| p.audience_sees_result(now)).count();
    let all = event.polls.len();
    // Becoming final is a change that neither version nor time need tell.
    let finals = event.polls.iter().filter(|p| ResultStatus::of(p.closed_at, through.settled) == ResultStatus::Final).count();
    Drawn { public: Frame::new(moment, seen + finals, public), presenter: Frame::new(moment, all + finals, presenter) }
}

/// The numbers of one round of a poll.
pub fn counted_of(poll: &Poll, round: &RoundTally, closed_at: Option<Millis>, settled_through: Millis) -> Counted {
    let voters = round.books.voters.max(0) as u64;
    Counted {
        result: PollResult::draw(poll.kind, poll.choices.iter().map(|c| c.number), &round.counts, voters),
        books: round.books,
        status: ResultStatus::of(closed_at, settled_through),
    }
}

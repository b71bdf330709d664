//! From an event and its counts to its two documents.

use std::collections::HashMap;

use super::Frame;
use crate::domain::{Event, Millis, Poll, PollId, PollResult, ResultStatus};
use crate::store::{PollTally, RoundTally};
use crate::wire::document::{Before, Counted, Document, Moment};

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
    let nothing = PollTally::default();
    let counted = |poll: &Poll| counted_of(poll, tallies.get(&poll.id).unwrap_or(&nothing), poll.closed_at, through.settled);
    let public = Document::public(event, moment, counted).to_json();
    let presenter = Document::presenter(event, moment, join_url, counted).to_json();
    let seen = event.polls.iter().filter(|p| p.audience_sees_result(now)).count();
    let all = event.polls.len();
    // Becoming final is a change that neither version nor time need tell.
    let is_final = |closed_at: &Option<Millis>| ResultStatus::of(*closed_at, through.settled) == ResultStatus::Final;
    let finals = event.polls.iter().flat_map(|p| [p.closed_at, p.earlier_closed_at]).filter(is_final).count();
    Drawn { public: Frame::new(moment, seen + finals, public), presenter: Frame::new(moment, all + finals, presenter) }
}

/// The numbers of the round that the poll is in, and of the last one before it in which anybody voted: once that is final, and its close known to
/// everybody, for a new round may begin while votes of the old one are on their way.
pub fn counted_of(poll: &Poll, tally: &PollTally, closed_at: Option<Millis>, settled_through: Millis) -> Counted {
    let nothing = RoundTally::default();
    let round = tally.rounds.get(&poll.round).unwrap_or(&nothing);
    let is_settled = ResultStatus::of(poll.earlier_closed_at, settled_through) == ResultStatus::Final;
    let before = tally.rounds.range(..poll.round).rev().find(|(_, earlier)| is_settled && earlier.books.voters > 0);
    Counted {
        result: result_of(poll, round),
        books: round.books,
        status: ResultStatus::of(closed_at, settled_through),
        before: before.map(|(number, earlier)| Before { round: *number, result: result_of(poll, earlier) }),
    }
}

/// Of the poll's choices. Those that were removed since have no place, but their votes were votes: percents are of all.
fn result_of(poll: &Poll, round: &RoundTally) -> PollResult {
    let has_place = |number: &u16| poll.choices.iter().any(|c| c.number == *number);
    let removed = round.counts.keys().copied().filter(|number| !has_place(number));
    let numbers = poll.choices.iter().map(|c| c.number).chain(removed);
    let mut result = PollResult::draw(poll.kind, numbers, &round.counts, round.books.voters.max(0) as u64);
    result.choices.truncate(poll.choices.len());
    result
}

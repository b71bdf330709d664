//! What an edit of a poll comes to after the rules have had their say: votes that were cast, or are on their way, lock what they rest on.
//! No database here.

use std::collections::BTreeSet;

use super::poll::PollEdit;
use crate::domain::{Choice, Kind, Limits, Millis, Poll, PollState, Question};
use crate::error::{Error, Result};

/// Is every vote counted that was ever accepted, but for those that the poll takes now?
#[derive(Clone, Copy)]
pub(super) struct Settled {
    pub this_round: bool,
    pub all_rounds: bool,
    /// Nobody has ever voted, in any round.
    pub no_votes: bool,
}

/// What an edit comes to after the rules have had their say.
pub(super) struct PlannedEdit<'a> {
    pub kind: Kind,
    pub question: &'a str,
    pub limits: Limits,
    pub change: bool,
    pub was: String,
}

impl<'a> PlannedEdit<'a> {
    pub fn of(now: &'a Poll, edit: &'a PollEdit, settled: Settled) -> Result<PlannedEdit<'a>> {
        let locked = || Error::conflict("poll_locked", "Votes have been cast: texts can be corrected, but choices and rules stay until a new round.");
        let mut count = now.choices.len();
        if let Some(choices) = &edit.choices {
            let known = |number: u16| now.choices.iter().any(|c: &Choice| c.number == number);
            // Named twice, one would stand in for another that goes unseen.
            let mut named = BTreeSet::new();
            if choices.iter().filter_map(|c| c.number).any(|n| !known(n) || !named.insert(n)) {
                return Err(Error::invalid("picks_unknown", "One of the choices does not belong to this poll, or stands there twice."));
            }
            let kept = choices.iter().filter(|c| c.number.is_some()).count();
            if kept != now.choices.len() || choices.len() != kept {
                if now.locked {
                    return Err(locked());
                }
                // A vote may be on its way while the poll is open, though none is counted yet.
                if now.state == PollState::Open {
                    return Err(Error::conflict("poll_open", "Close the poll before adding or removing choices."));
                }
                if !settled.this_round {
                    return Err(unsettled());
                }
            }
            count = choices.len();
        }
        let kind = edit.kind.unwrap_or(now.kind);
        // Phones that have drawn it would go on with what they have, and rounds that are over are read by it.
        if kind != now.kind && now.state != PollState::Draft {
            return Err(Error::conflict(
                "kind_fixed",
                "Whether people pick one choice or several can be changed in a draft, and no more once voting was opened.",
            ));
        }
        let rules_change =
            edit.min.is_some_and(|m| m != now.limits.min) || edit.max.is_some_and(|m| m != now.limits.max) || edit.change.is_some_and(|c| c != now.change);
        if rules_change {
            if now.locked {
                return Err(locked());
            }
            // Votes on their way were accepted under the rules as they are.
            if now.state == PollState::Open {
                return Err(Error::conflict("poll_open", "Close the poll before changing its rules."));
            }
            let changes_change = edit.change.is_some_and(|c| c != now.change);
            // Counting asks the poll, whatever round a vote is of, and votes of an earlier one may come after a day from the disk of a server
            // that nobody waited for any more.
            if changes_change && !settled.no_votes {
                return Err(Error::conflict(
                    "change_fixed",
                    "People have voted on this question, and whether a vote can be changed holds for all its rounds. Duplicate the question to ask it otherwise.",
                ));
            }
            if !settled.this_round || (changes_change && !settled.all_rounds) {
                return Err(unsettled());
            }
        }
        // A limit nobody set follows the number of choices.
        let followed = |limit: u16| if usize::from(limit) >= now.choices.len() { count as u16 } else { limit.min(count as u16) };
        let (min, max) = match kind {
            Kind::Single => (edit.min, edit.max),
            Kind::Multiple if now.kind == Kind::Single => (edit.min, edit.max),
            Kind::Multiple => (Some(edit.min.unwrap_or(now.limits.min.min(count as u16))), Some(edit.max.unwrap_or(followed(now.limits.max)))),
        };
        let choices = now.choices.iter().map(|c| c.text.as_str()).collect::<Vec<_>>().join(" / ");
        let was = format!("{} | {choices} | {} {} to {}", now.question, now.kind.as_str(), now.limits.min, now.limits.max);
        Ok(PlannedEdit {
            kind,
            question: edit.question.as_ref().map_or(now.question.as_str(), Question::as_str),
            limits: Limits::parse(kind, min, max, count)?,
            change: edit.change.unwrap_or(now.change),
            was,
        })
    }
}

fn unsettled() -> Error {
    Error::conflict("poll_unsettled", "The poll was closed a moment ago, and its last votes may still be on their way. Try again in a few seconds.")
}

/// A vote accepted before the close must not turn late afterwards: so a poll is never closed for a time that has passed.
pub(super) fn planned_times(now: &Poll, edit: &PollEdit, at: Millis) -> Result<(Option<Millis>, Option<Millis>)> {
    let opens_at = edit.opens_at.unwrap_or(now.opens_at);
    let closes_at = edit.closes_at.unwrap_or(now.closes_at);
    if edit.closes_at.flatten().is_some_and(|closes| closes <= at) {
        return Err(Error::invalid("closes_at_past", "The time at which voting closes has passed already."));
    }
    if (edit.opens_at.is_some() || edit.closes_at.is_some()) && opens_at.zip(closes_at).is_some_and(|(opens, closes)| closes <= opens) {
        return Err(Error::invalid("closes_before_opens", "Voting would close before it opens."));
    }
    Ok((opens_at, closes_at))
}

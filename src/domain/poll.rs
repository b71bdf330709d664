//! One question with its rules and its choices, and what it makes of a ballot.

use std::collections::BTreeSet;

use super::ballot::PICKS_MAX;
use super::text::ChoiceText;
use super::{EventId, Millis, Pick, Picks, PollId, tidy};
use crate::error::Error;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Single,
    Multiple,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Single => "single",
            Kind::Multiple => "multiple",
        }
    }

    pub fn parse(text: &str) -> Result<Kind, Error> {
        match text {
            "single" => Ok(Kind::Single),
            "multiple" => Ok(Kind::Multiple),
            _ => Err(Error::invalid("kind_unknown", "The kind of a poll is single or multiple.")),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PollState {
    Draft,
    Open,
    Closed,
}

impl PollState {
    pub fn as_str(self) -> &'static str {
        match self {
            PollState::Draft => "draft",
            PollState::Open => "open",
            PollState::Closed => "closed",
        }
    }

    pub fn parse(text: &str) -> Result<PollState, Error> {
        match text {
            "draft" => Ok(PollState::Draft),
            "open" => Ok(PollState::Open),
            "closed" => Ok(PollState::Closed),
            _ => Err(Error::invalid("state_invalid", "A poll can be set open or closed.")),
        }
    }
}

/// When the audience may see results.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Visibility {
    Live,
    /// In the public document, because that is the same bytes for all; the phone holds it back until it has voted.
    AfterVote,
    AfterClose,
    Hidden,
}

impl Visibility {
    pub fn as_str(self) -> &'static str {
        match self {
            Visibility::Live => "live",
            Visibility::AfterVote => "after_vote",
            Visibility::AfterClose => "after_close",
            Visibility::Hidden => "hidden",
        }
    }

    pub fn parse(text: &str) -> Result<Visibility, Error> {
        match text {
            "live" => Ok(Visibility::Live),
            "after_vote" => Ok(Visibility::AfterVote),
            "after_close" => Ok(Visibility::AfterClose),
            "hidden" => Ok(Visibility::Hidden),
            _ => Err(Error::invalid("visibility_unknown", "Results are shown live, after_vote, after_close or hidden.")),
        }
    }

    /// Where the presenter's bars stand when a poll is made: what everybody may see at once, the room may see too. What only those see who
    /// have voted would be seen there by those who have not.
    pub fn revealed_at_first(self) -> bool {
        self == Visibility::Live
    }
}

/// How many picks a ballot may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    pub min: u16,
    pub max: u16,
}

impl Limits {
    /// Defaults: exactly one for a single choice, one to all for a multiple one.
    pub fn parse(kind: Kind, min: Option<u16>, max: Option<u16>, choices: usize) -> Result<Limits, Error> {
        let all = choices as u16;
        let limits = match kind {
            Kind::Single => Limits { min: min.unwrap_or(1), max: max.unwrap_or(1) },
            Kind::Multiple => Limits { min: min.unwrap_or(1), max: max.unwrap_or(all) },
        };
        match kind {
            Kind::Single if limits != (Limits { min: 1, max: 1 }) => {
                Err(Error::invalid("limits_single", "A single choice takes exactly one pick; leave min and max out, or make it multiple."))
            }
            _ if limits.min < 1 || limits.min > limits.max || limits.max > all => {
                Err(Error::invalid("limits_invalid", "The least and the most picks must lie between 1 and the number of choices."))
            }
            _ => Ok(limits),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Choice {
    /// From 1, never used twice in a poll; stable when texts or positions change.
    pub number: u16,
    pub text: String,
}

pub const CHOICES_MIN: usize = 2;
pub const CHOICES_MAX: usize = 100;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Poll {
    pub id: PollId,
    pub event: EventId,
    pub position: u32,
    pub kind: Kind,
    pub question: String,
    pub state: PollState,
    pub round: u32,
    /// Of this round.
    pub closed_at: Option<Millis>,
    /// When the last of the rounds before this one closed.
    pub earlier_closed_at: Option<Millis>,
    pub opens_at: Option<Millis>,
    pub closes_at: Option<Millis>,
    pub limits: Limits,
    /// May a voter change their mind?
    pub change: bool,
    pub visibility: Visibility,
    pub revealed: bool,
    /// A ballot exists: choices may be corrected, not added or removed.
    pub locked: bool,
    /// In order.
    pub choices: Vec<Choice>,
}

impl Poll {
    /// The texts of choices as typed: tidied, empty lines dropped. The same text twice would be two bars nobody can tell apart.
    pub fn parse_choices<'a>(raw: impl Iterator<Item = &'a str>) -> Result<Vec<String>, Error> {
        let mut texts = Vec::new();
        let mut seen = BTreeSet::new();
        for line in raw.filter(|line| line.len() > 4_096 || !tidy(line).is_empty()) {
            let text = ChoiceText::parse(line)?.as_str().to_owned();
            if !seen.insert(text.to_lowercase()) {
                return Err(Error::invalid("choice_twice", "The same choice stands there twice. Take one of them out."));
            }
            texts.push(text);
            if texts.len() > CHOICES_MAX {
                return Err(Error::invalid("choices_many", "A poll has at most 100 choices."));
            }
        }
        if texts.len() < CHOICES_MIN {
            return Err(Error::invalid("choices_few", "A poll needs at least two choices, one on each line."));
        }
        Ok(texts)
    }

    /// Is it voting time? By state, and by the clock where a closing time is set.
    pub fn check_open(&self, now: Millis) -> Result<(), Error> {
        match self.state {
            PollState::Draft => Err(Error::conflict("poll_draft", "This poll is not open yet. Your vote was not counted.")),
            PollState::Closed => Err(Error::conflict("poll_closed", "This poll is closed. Your vote was not counted.")),
            PollState::Open if self.opens_at.is_some_and(|at| now < at) => {
                Err(Error::conflict("poll_draft", "This poll is not open yet. Your vote was not counted."))
            }
            PollState::Open if self.closes_at.is_some_and(|at| now >= at) => {
                Err(Error::conflict("poll_closed", "This poll is closed. Your vote was not counted."))
            }
            PollState::Open => Ok(()),
        }
    }

    /// Checks a ballot's picks against the rules and gives them their one written form. None at all clears the vote.
    pub fn accept(&self, picks: &[Pick]) -> Result<Picks, Error> {
        if picks.len() > PICKS_MAX {
            return Err(Error::invalid("picks_many", "These are more picks than this poll allows."));
        }
        for (index, pick) in picks.iter().enumerate() {
            if !self.choices.iter().any(|c| c.number == pick.choice) {
                return Err(Error::invalid("picks_unknown", "One of the picks is not a choice of this poll."));
            }
            if picks[..index].iter().any(|p| p.choice == pick.choice) {
                return Err(Error::invalid("picks_twice", "A choice was picked twice."));
            }
            if pick.weight != 1 {
                return Err(Error::invalid("picks_weight", "This kind of poll has no weights."));
            }
        }
        if picks.is_empty() {
            return if self.change { Ok(Picks::default()) } else { Err(Error::conflict("change_not_allowed", "A vote in this poll cannot be cleared.")) };
        }
        if picks.len() < usize::from(self.limits.min) {
            return Err(Error::invalid("picks_few", "These are fewer picks than this poll asks for."));
        }
        if picks.len() > usize::from(self.limits.max) {
            return Err(Error::invalid("picks_many", "These are more picks than this poll allows."));
        }
        if let [only] = picks {
            return Ok(Picks::from_slice(&[*only]));
        }
        Ok(Poll::written(picks.to_vec()))
    }

    /// Without weights or ranks the order says nothing: one set, one written form.
    pub fn written(mut picks: Vec<Pick>) -> Picks {
        picks.sort_unstable_by_key(|p| p.choice);
        Picks::from_slice(&picks)
    }

    /// The lane of a ballot: choices of a poll stand in different lines, and polls start at different ones.
    pub fn lane(&self, picks: &Picks, lanes: u16) -> u16 {
        let position = picks.iter().next().and_then(|first| self.choices.iter().position(|c| c.number == first.choice)).unwrap_or(0);
        // Poll ids carry chance in their low bits, which spreads the bases.
        ((self.id.0 as u64).wrapping_add(position as u64) % u64::from(lanes)) as u16
    }

    /// Whether the bars stay where they are when results are to be shown otherwise. Whoever wants them shown later does not want them shown now.
    pub fn stays_revealed(&self, visibility: Visibility) -> bool {
        let is_as_open = visibility == self.visibility || visibility.revealed_at_first();
        let is_over = self.state == PollState::Closed && visibility != Visibility::Hidden;
        self.revealed && (is_as_open || is_over)
    }

    /// May the audience see this poll's result? `after_close` waits until the close has reached everybody.
    pub fn audience_sees_result(&self, now: Millis) -> bool {
        let closed_for_all = self.closed_at.is_some_and(|at| self.state == PollState::Closed && now >= at + super::CLOSE_GRACE_MS);
        match self.visibility {
            Visibility::Live | Visibility::AfterVote => true,
            Visibility::AfterClose => closed_for_all,
            // A reveal after the close waits for it too.
            Visibility::Hidden => self.revealed && (self.closed_at.is_none() || closed_for_all),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn poll(kind: Kind, min: u16, max: u16) -> Poll {
        Poll {
            id: PollId(1_000),
            event: EventId(1),
            position: 0,
            kind,
            question: "Which ending?".into(),
            state: PollState::Open,
            round: 1,
            closed_at: None,
            earlier_closed_at: None,
            opens_at: None,
            closes_at: None,
            limits: Limits { min, max },
            change: true,
            visibility: Visibility::Live,
            revealed: true,
            locked: false,
            choices: (1..=4).map(|number| Choice { number, text: format!("choice {number}") }).collect(),
        }
    }

    fn picks(numbers: &[u16]) -> Vec<Pick> {
        numbers.iter().map(|n| Pick { choice: *n, weight: 1 }).collect()
    }

    fn code(result: Result<Picks, Error>) -> &'static str {
        match result {
            Err(Error::Invalid(reason) | Error::Conflict(reason)) => reason.code,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    #[test]
    fn a_single_choice_takes_exactly_one() {
        let poll = poll(Kind::Single, 1, 1);
        assert_eq!(poll.accept(&picks(&[3])).unwrap().as_str(), "3");
        assert_eq!(code(poll.accept(&picks(&[1, 2]))), "picks_many");
        assert_eq!(code(poll.accept(&picks(&[9]))), "picks_unknown");
        assert_eq!(code(poll.accept(&[Pick { choice: 1, weight: 2 }])), "picks_weight");
    }

    #[test]
    fn a_multiple_choice_keeps_its_limits_and_forgets_the_order() {
        let poll = poll(Kind::Multiple, 2, 3);
        assert_eq!(poll.accept(&picks(&[4, 1])).unwrap().as_str(), "1,4");
        assert_eq!(code(poll.accept(&picks(&[1]))), "picks_few");
        assert_eq!(code(poll.accept(&picks(&[1, 2, 3, 4]))), "picks_many");
        assert_eq!(code(poll.accept(&picks(&[2, 2]))), "picks_twice");
    }

    #[test]
    fn no_picks_clear_the_vote_where_it_may_be_changed() {
        let mut poll = poll(Kind::Single, 1, 1);
        assert!(poll.accept(&[]).unwrap().is_empty());
        poll.change = false;
        assert_eq!(code(poll.accept(&[])), "change_not_allowed");
    }

    #[test]
    fn the_choices_of_a_poll_stand_in_different_lines() {
        let poll = poll(Kind::Single, 1, 1);
        let lanes: BTreeSet<u16> = (1..=4).map(|n| poll.lane(&poll.accept(&picks(&[n])).unwrap(), 16)).collect();
        assert_eq!(lanes.len(), 4);
        assert!(lanes.iter().all(|lane| *lane < 16));
    }

    #[test]
    fn pasted_lines_become_choices() {
        let lines = "Cowboys\n\n  Indians \r\n";
        assert_eq!(Poll::parse_choices(lines.split('\n')).unwrap(), ["Cowboys", "Indians"]);
        assert!(Poll::parse_choices(["A", "a "].into_iter()).is_err());
        assert!(Poll::parse_choices(["A"].into_iter()).is_err());
        assert!(Poll::parse_choices((0..101).map(|n| format!("c{n}")).collect::<Vec<_>>().iter().map(String::as_str)).is_err());
    }

    #[test]
    fn hidden_results_stay_hidden_until_the_close_has_reached_everybody() {
        let mut poll = poll(Kind::Single, 1, 1);
        poll.visibility = Visibility::AfterClose;
        assert!(!poll.audience_sees_result(10_000));
        (poll.state, poll.closed_at) = (PollState::Closed, Some(10_000));
        assert!(!poll.audience_sees_result(11_999) && poll.audience_sees_result(12_000));
        poll.visibility = Visibility::Hidden;
        poll.revealed = true;
        assert!(!poll.audience_sees_result(11_999) && poll.audience_sees_result(12_000));
        poll.revealed = false;
        assert!(!poll.audience_sees_result(12_000));
    }
}

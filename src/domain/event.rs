//! What an audience joins: a title, a join code, an ordered list of polls.

use super::{Accent, EventId, LogoName, Millis, Poll, PollId, StageView};
use crate::error::Error;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventState {
    Live,
    Ended,
}

impl EventState {
    pub fn as_str(self) -> &'static str {
        match self {
            EventState::Live => "live",
            EventState::Ended => "ended",
        }
    }

    pub fn parse(text: &str) -> Result<EventState, Error> {
        match text {
            "live" => Ok(EventState::Live),
            "ended" => Ok(EventState::Ended),
            _ => Err(Error::invalid("state_invalid", "An event is either live or ended.")),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    pub id: EventId,
    pub code: JoinCode,
    pub slug: Option<Slug>,
    pub title: String,
    pub state: EventState,
    /// A load test: not in lists, and removable with its ballots.
    pub rehearsal: bool,
    pub accent: Option<Accent>,
    pub logo: Option<LogoName>,
    /// The poll on stage.
    pub current: Option<PollId>,
    pub view: StageView,
    /// Rises with every edit of anything in the event; half of the live document's version.
    pub edition: u64,
    pub created_at: Millis,
    pub updated_at: Millis,
    /// In order; deleted ones left out.
    pub polls: Vec<Poll>,
    /// Deleted polls: their ballots still count towards the document's version, which must never fall.
    pub retired: Vec<PollId>,
}

impl Event {
    pub fn poll(&self, id: PollId) -> Option<&Poll> {
        self.polls.iter().find(|p| p.id == id)
    }

    /// Nothing that goes to the audience is different: an edit of what the presenter's screens show is no news to a million phones.
    pub fn is_the_same_to_the_audience(&self, other: &Event) -> bool {
        let Event { view, edition, updated_at, .. } = *other;
        let view = StageView { earlier: self.view.earlier, ..view }; // that one is theirs, too
        Event { view, edition, updated_at, ..self.clone() } == *other
    }

    pub fn all_polls(&self) -> impl Iterator<Item = PollId> + '_ {
        self.polls.iter().map(|p| p.id).chain(self.retired.iter().copied())
    }
}

/// Six digits; spaces and dashes are forgiven when typed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct JoinCode(String);

pub const CODE_DIGITS: usize = 6;

impl JoinCode {
    /// `chance` comes from the caller. The first digit is never 0, so that nobody reads a code as a shorter number.
    pub fn compose(chance: u32) -> JoinCode {
        JoinCode((100_000 + chance % 900_000).to_string())
    }

    pub fn parse(raw: &str) -> Option<JoinCode> {
        let code: String = raw.chars().filter(|c| !matches!(c, ' ' | '-' | '\u{a0}')).collect();
        (code.len() == CODE_DIGITS && code.bytes().all(|b| b.is_ascii_digit())).then_some(JoinCode(code))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A name instead of digits, for television: `/final`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Slug(String);

const SLUG_CHARS: std::ops::RangeInclusive<usize> = 3..=40;

/// First path segments that are ours. A slug stands at the same place in the URL.
pub const RESERVED_PATHS: [&str; 17] = [
    "admin", "api", "assets", "present", "overlay", "embed", "poster", "status", "livez", "readyz", "metrics", "setup", "login", "static", "results", "help",
    "oembed",
];

impl Slug {
    pub fn parse(raw: &str) -> Result<Slug, Error> {
        let slug = raw.trim().to_ascii_lowercase();
        let plain = slug.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let has_letter = slug.bytes().any(|b| b.is_ascii_lowercase());
        if !SLUG_CHARS.contains(&slug.len()) || !plain || !has_letter || slug.starts_with('-') || slug.ends_with('-') {
            return Err(Error::invalid("slug_invalid", "A short name has 3 to 40 letters, digits and dashes, with at least one letter."));
        }
        if RESERVED_PATHS.contains(&slug.as_str()) {
            return Err(Error::invalid("slug_reserved", "This short name is used by the software itself. Pick another one."));
        }
        Ok(Slug(slug))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_forgives_spaces_and_nothing_else() {
        assert_eq!(JoinCode::parse("482 913").unwrap().as_str(), "482913");
        for raw in ["", "48291", "4829131", "48291a", "٤٨٢٩١٣", "..%2f"] {
            assert!(JoinCode::parse(raw).is_none(), "{raw}");
        }
        assert_eq!(JoinCode::compose(0).as_str(), "100000");
        assert_eq!(JoinCode::compose(u32::MAX).as_str().len(), CODE_DIGITS);
    }

    #[test]
    fn a_slug_never_hides_a_page_or_looks_like_a_code() {
        assert_eq!(Slug::parse("Final").unwrap().as_str(), "final");
        for raw in ["ab", "admin", "123456", "-a-b", "a/b", "<b>", "ünï"] {
            assert!(Slug::parse(raw).is_err(), "{raw}");
        }
    }
}

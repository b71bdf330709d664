//! The live document: the one public JSON of an event, and the presenter's, which is the same shape with everything in it.

use serde::Serialize;

use super::choice_id;
use crate::domain::{Accent, Books, Event, LogoName, Millis, Poll, PollResult, PollState, ResultStatus, StageView};

#[derive(Serialize)]
pub struct Document<'a> {
    event: EventPart<'a>,
    now: Millis,
    version: u64,
    counted_through: Millis,
    refresh_ms: u32,
    current: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    join_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    view: Option<ViewPart>,
    polls: Vec<PollPart<'a>>,
}

#[derive(Serialize)]
struct EventPart<'a> {
    code: &'a str,
    slug: Option<&'a str>,
    title: &'a str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    accent: Option<AccentPart>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logo: Option<String>,
    /// Only there when it is one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    rehearsal: bool,
}

/// The event's colour as it can be read in each theme.
#[derive(Serialize)]
struct AccentPart {
    light: String,
    dark: String,
}

/// Where a logo is fetched. The name is the content, so it can be kept for ever.
pub fn logo_url(name: &LogoName) -> String {
    format!("/assets/logos/{}", name.as_str())
}

/// What the presenter's screens show beside the poll.
#[derive(Serialize)]
pub struct ViewPart {
    edition: u64,
    joining: bool,
    blank: bool,
    sorted: bool,
    earlier: bool,
    numbers: &'static str,
    size: u8,
}

#[derive(Serialize)]
pub struct PollPart<'a> {
    id: String,
    kind: &'static str,
    question: &'a str,
    state: &'static str,
    round: u32,
    opens_at: Option<Millis>,
    closes_at: Option<Millis>,
    closed_at: Option<Millis>,
    visibility: &'static str,
    revealed: bool,
    rules: RulesPart,
    choices: Vec<ChoicePart<'a>>,
    results: Option<ResultsPart>,
    #[serde(skip_serializing_if = "Option::is_none")]
    books: Option<BooksPart>,
}

#[derive(Serialize)]
struct RulesPart {
    min: u16,
    max: u16,
    change: bool,
}

#[derive(Serialize)]
pub struct ChoicePart<'a> {
    id: String,
    text: &'a str,
}

#[derive(Serialize)]
pub struct ResultsPart {
    voters: u64,
    status: &'static str,
    choices: Vec<ChoiceResultPart>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<BeforePart>,
}

/// The last round before this one in which anybody voted.
#[derive(Serialize)]
struct BeforePart {
    round: u32,
    voters: u64,
    choices: Vec<ChoiceResultPart>,
}

#[derive(Serialize)]
struct ChoiceResultPart {
    id: String,
    votes: u64,
    percent: u32,
}

/// The balance of one poll's round, without what is known of the lanes.
#[derive(Serialize)]
pub struct BooksPart {
    received: i64,
    counted: i64,
    superseded: i64,
    duplicate: i64,
    late: i64,
    status: &'static str,
}

/// One poll's numbers as a document needs them.
pub struct Counted {
    pub result: PollResult,
    pub books: Books,
    pub status: ResultStatus,
    pub before: Option<Before>,
}

/// The numbers of an earlier round, in the order of the choices of this one.
pub struct Before {
    pub round: u32,
    pub result: PollResult,
}

/// What all polls of a document share.
#[derive(Clone, Copy)]
pub struct Moment {
    pub now: Millis,
    pub version: u64,
    pub counted_through: Millis,
    pub refresh_ms: u32,
}

impl<'a> Document<'a> {
    /// The same bytes for everybody: what the audience may not see is not in it.
    pub fn public(event: &'a Event, moment: Moment, counted: impl Fn(&Poll) -> Counted) -> Document<'a> {
        let polls = event.polls.iter().filter(|p| p.state != PollState::Draft).map(|poll| {
            let results = poll.audience_sees_result(moment.now).then(|| {
                let counted = counted(poll);
                ResultsPart::of(poll, &Counted { before: counted.before.filter(|_| event.view.earlier), ..counted })
            });
            PollPart::of(poll, results, None)
        });
        let current = event.current.filter(|id| event.poll(*id).is_some_and(|p| p.state != PollState::Draft));
        Document {
            event: EventPart::of(event),
            now: moment.now,
            version: moment.version,
            counted_through: moment.counted_through,
            refresh_ms: moment.refresh_ms,
            current: current.map(|id| id.to_string()),
            join_url: None,
            view: None,
            polls: polls.collect(),
        }
    }

    /// Every result whatever the visibility, drafts, and the books.
    pub fn presenter(event: &'a Event, moment: Moment, join_url: String, counted: impl Fn(&Poll) -> Counted) -> Document<'a> {
        let polls = event.polls.iter().map(|poll| {
            let counted = counted(poll);
            PollPart::of(poll, Some(ResultsPart::of(poll, &counted)), Some(BooksPart::of(&counted.books, counted.status)))
        });
        Document {
            event: EventPart::of(event),
            now: moment.now,
            version: moment.version,
            counted_through: moment.counted_through,
            refresh_ms: moment.refresh_ms,
            current: event.current.map(|id| id.to_string()),
            join_url: Some(join_url),
            view: Some(ViewPart::of(&event.view)),
            polls: polls.collect(),
        }
    }

    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a document of strings and numbers can be written")
    }
}

impl<'a> EventPart<'a> {
    fn of(event: &'a Event) -> EventPart<'a> {
        EventPart {
            code: event.code.as_str(),
            slug: event.slug.as_ref().map(|s| s.as_str()),
            title: &event.title,
            state: event.state.as_str(),
            accent: event.accent.map(Accent::shades).map(|shades| AccentPart { light: shades.light, dark: shades.dark }),
            logo: event.logo.as_ref().map(logo_url),
            rehearsal: event.rehearsal,
        }
    }
}

impl ViewPart {
    pub fn of(view: &StageView) -> ViewPart {
        let StageView { edition, joining, blank, sorted, earlier, numbers, size } = *view;
        ViewPart { edition, joining, blank, sorted, earlier, numbers: numbers.as_str(), size }
    }
}

impl<'a> PollPart<'a> {
    pub fn of(poll: &'a Poll, results: Option<ResultsPart>, books: Option<BooksPart>) -> PollPart<'a> {
        PollPart {
            id: poll.id.to_string(),
            kind: poll.kind.as_str(),
            question: &poll.question,
            state: poll.state.as_str(),
            round: poll.round,
            opens_at: poll.opens_at,
            closes_at: poll.closes_at,
            closed_at: poll.closed_at,
            visibility: poll.visibility.as_str(),
            revealed: poll.revealed,
            rules: RulesPart { min: poll.limits.min, max: poll.limits.max, change: poll.change },
            choices: ChoicePart::all(poll),
            results,
            books,
        }
    }
}

impl<'a> ChoicePart<'a> {
    pub fn all(poll: &'a Poll) -> Vec<ChoicePart<'a>> {
        poll.choices.iter().map(|c| ChoicePart { id: choice_id(poll.id, c.number), text: &c.text }).collect()
    }
}

impl ResultsPart {
    pub fn of(poll: &Poll, counted: &Counted) -> ResultsPart {
        let before = counted.before.as_ref().map(|before| BeforePart {
            round: before.round,
            voters: before.result.voters,
            choices: ChoiceResultPart::all(poll, &before.result),
        });
        ResultsPart { voters: counted.result.voters, status: counted.status.as_str(), choices: ChoiceResultPart::all(poll, &counted.result), before }
    }
}

impl ChoiceResultPart {
    fn all(poll: &Poll, result: &PollResult) -> Vec<ChoiceResultPart> {
        let part = |(number, votes, percent): &(u16, u64, u32)| ChoiceResultPart { id: choice_id(poll.id, *number), votes: *votes, percent: *percent };
        result.choices.iter().map(part).collect()
    }
}

impl BooksPart {
    pub fn of(books: &Books, status: ResultStatus) -> BooksPart {
        BooksPart {
            received: books.received,
            counted: books.counted,
            superseded: books.superseded,
            duplicate: books.duplicate,
            late: books.late,
            status: status.as_str(),
        }
    }
}

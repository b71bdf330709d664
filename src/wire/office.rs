//! What the back office sends and gets.

use serde::{Deserialize, Deserializer, Serialize};

use super::document::{BooksPart, ChoicePart, PollPart, ResultsPart, ViewPart, logo_url};
use crate::domain::{
    Accent, ChoiceId, Event, InstanceId, Kind, Limits, Millis, Numbers, Poll, PollId, PollState, Question, Search, Slug, Title, ViewEdit, Visibility,
};
use crate::error::{Error, Result};
use crate::store::{Account, ChoiceEdit, EVENTS_LISTED_MAX, EventEdit, EventSummary, Listed, Listing, PollDraft, PollEdit, Standing};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetupBody {
    pub token: String,
    pub email: String,
    pub password: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignInBody {
    pub email: String,
    pub password: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventBody {
    pub title: String,
    #[serde(default)]
    pub slug: Option<String>,
    #[serde(default)]
    pub demo: bool,
    /// Of the polls to try; English for one that we do not have.
    #[serde(default)]
    pub lang: Option<String>,
    /// The event whose look and questions this one begins with.
    #[serde(default)]
    pub copy_of: Option<String>,
    /// A load test: not in lists, and removable with its ballots.
    #[serde(default)]
    pub rehearsal: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    #[serde(default)]
    rehearsal: bool,
    #[serde(default)]
    search: String,
    /// The last event of the answer before.
    after: Option<String>,
    limit: Option<usize>,
}

impl EventsQuery {
    pub fn into_listing(self, at: Millis) -> Result<Listing> {
        let limit = self.limit.unwrap_or(EVENTS_LISTED_MAX);
        if !(1..=EVENTS_LISTED_MAX).contains(&limit) {
            return Err(Error::invalid("query_invalid", "`limit` is a number from 1 to 500."));
        }
        let after = self.after.as_deref().map(str::parse).transpose()?;
        Ok(Listing { rehearsals: self.rehearsal, search: Search::parse(&self.search)?, after, limit, at })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventPatch {
    title: Option<String>,
    /// `null` takes the short name away; leaving it out leaves it as it is.
    #[serde(default, deserialize_with = "present")]
    slug: Option<Option<String>>,
    state: Option<String>,
    /// `null` takes it away.
    #[serde(default, deserialize_with = "present")]
    accent: Option<Option<String>>,
}

fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

impl EventPatch {
    pub fn into_edit(self) -> Result<EventEdit> {
        let slug = self.slug.map(|slug| slug.filter(|s| !s.trim().is_empty()).as_deref().map(Slug::parse).transpose()).transpose()?;
        Ok(EventEdit {
            title: self.title.as_deref().map(Title::parse).transpose()?,
            slug,
            state: self.state.as_deref().map(crate::domain::EventState::parse).transpose()?,
            accent: self.accent.map(|accent| accent.as_deref().map(Accent::parse).transpose()).transpose()?,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PollBody {
    kind: String,
    question: String,
    choices: Vec<String>,
    min: Option<u16>,
    max: Option<u16>,
    change: Option<bool>,
    visibility: Option<String>,
}

impl PollBody {
    pub fn into_draft(self, id: PollId) -> Result<PollDraft> {
        let kind = Kind::parse(&self.kind)?;
        let choices = Poll::parse_choices(self.choices.iter().map(String::as_str))?;
        Ok(PollDraft {
            id,
            kind,
            question: Question::parse(&self.question)?,
            limits: Limits::parse(kind, self.min, self.max, choices.len())?,
            choices,
            change: self.change.unwrap_or(true),
            visibility: self.visibility.as_deref().map_or(Ok(Visibility::Live), Visibility::parse)?,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PollPatch {
    kind: Option<String>,
    question: Option<String>,
    choices: Option<Vec<ChoicePatch>>,
    min: Option<u16>,
    max: Option<u16>,
    change: Option<bool>,
    position: Option<u32>,
    /// `null` takes the time away; leaving it out leaves it as it is.
    #[serde(default, deserialize_with = "present")]
    opens_at: Option<Option<Millis>>,
    #[serde(default, deserialize_with = "present")]
    closes_at: Option<Option<Millis>>,
}

/// The end of the year 9999: what calendars, and the numbers of JavaScript, hold exactly.
const TIME_MAX: Millis = 253_402_300_799_999;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChoicePatch {
    id: Option<String>,
    text: String,
}

impl PollPatch {
    pub fn into_edit(self, poll: PollId) -> Result<PollEdit> {
        if [self.opens_at, self.closes_at].into_iter().flatten().flatten().any(|at| !(0..=TIME_MAX).contains(&at)) {
            return Err(Error::invalid("time_invalid", "A time is in milliseconds since 1970, and not after the year 9999."));
        }
        let choices = self
            .choices
            .map(|choices| {
                let mut edits = Vec::with_capacity(choices.len());
                for choice in &choices {
                    let id = choice.id.as_deref().map(str::parse::<ChoiceId>).transpose()?;
                    if id.is_some_and(|id| id.poll != poll || edits.iter().any(|e: &ChoiceEdit| e.number == Some(id.number))) {
                        return Err(Error::invalid("picks_unknown", "One of the choices does not belong to this poll, or stands there twice."));
                    }
                    edits.push(ChoiceEdit { number: id.map(|id| id.number), text: String::new() });
                }
                let texts = Poll::parse_choices(choices.iter().map(|c| c.text.as_str()))?;
                if texts.len() != edits.len() {
                    return Err(Error::invalid("choice_missing", "A choice has no text."));
                }
                edits.iter_mut().zip(texts).for_each(|(edit, text)| edit.text = text);
                Ok(edits)
            })
            .transpose()?;
        Ok(PollEdit {
            kind: self.kind.as_deref().map(Kind::parse).transpose()?,
            question: self.question.as_deref().map(Question::parse).transpose()?,
            choices,
            min: self.min,
            max: self.max,
            change: self.change,
            position: self.position,
            opens_at: self.opens_at,
            closes_at: self.closes_at,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateBody {
    state: String,
}

impl StateBody {
    pub fn parse(&self) -> Result<PollState> {
        PollState::parse(&self.state)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisibilityBody {
    visibility: Option<String>,
    pub revealed: Option<bool>,
}

impl VisibilityBody {
    pub fn parse(&self) -> Result<Option<Visibility>> {
        self.visibility.as_deref().map(Visibility::parse).transpose()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurrentBody {
    /// Required, and may be `null`: an empty stage is said, not implied.
    #[serde(deserialize_with = "Option::deserialize")]
    pub poll: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewPatch {
    joining: Option<bool>,
    blank: Option<bool>,
    sorted: Option<bool>,
    earlier: Option<bool>,
    numbers: Option<String>,
    size: Option<u8>,
}

impl ViewPatch {
    pub fn into_edit(self) -> Result<ViewEdit> {
        let ViewPatch { joining, blank, sorted, earlier, numbers, size } = self;
        Ok(ViewEdit { joining, blank, sorted, earlier, numbers: numbers.as_deref().map(Numbers::parse).transpose()?, size })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordBody {
    pub current: String,
    pub password: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmptyBody {}

#[derive(Serialize)]
pub struct SetupAnswer {
    pub needed: bool,
}

#[derive(Serialize)]
pub struct SessionAnswer<'a> {
    user: Option<UserPart<'a>>,
}

#[derive(Serialize)]
struct UserPart<'a> {
    id: String,
    email: &'a str,
    role: &'static str,
}

impl<'a> SessionAnswer<'a> {
    pub const NOBODY: SessionAnswer<'static> = SessionAnswer { user: None };

    pub fn of(account: &'a Account) -> SessionAnswer<'a> {
        SessionAnswer { user: Some(UserPart { id: account.id.to_string(), email: &account.email, role: account.role.as_str() }) }
    }
}

#[derive(Serialize)]
pub struct EventsAnswer {
    events: Vec<EventLine>,
    /// There are more: ask for those `after` it.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
struct EventLine {
    id: String,
    code: String,
    slug: Option<String>,
    title: String,
    state: &'static str,
    polls: u64,
    open: u64,
    created_at: Millis,
    updated_at: Millis,
    #[serde(skip_serializing_if = "Option::is_none")]
    question: Option<String>,
}

impl EventsAnswer {
    pub fn of(Listed { events, more }: Listed) -> EventsAnswer {
        let line = |e: EventSummary| EventLine {
            id: e.id.to_string(),
            code: e.code,
            slug: e.slug,
            title: e.title,
            state: e.state.as_str(),
            polls: e.polls,
            open: e.open,
            created_at: e.created_at,
            updated_at: e.updated_at,
            question: e.question,
        };
        let next = events.last().filter(|_| more).map(|last| last.id.to_string());
        EventsAnswer { events: events.into_iter().map(line).collect(), next }
    }
}

#[derive(Serialize)]
pub struct EventAnswer<'a> {
    id: String,
    code: &'a str,
    slug: Option<&'a str>,
    title: &'a str,
    state: &'static str,
    rehearsal: bool,
    accent: Option<String>,
    logo: Option<String>,
    current: Option<String>,
    view: ViewPart,
    created_at: Millis,
    updated_at: Millis,
    polls: Vec<PollAnswer<'a>>,
}

impl<'a> EventAnswer<'a> {
    pub fn of(event: &'a Event) -> EventAnswer<'a> {
        EventAnswer {
            id: event.id.to_string(),
            code: event.code.as_str(),
            slug: event.slug.as_ref().map(Slug::as_str),
            title: &event.title,
            state: event.state.as_str(),
            rehearsal: event.rehearsal,
            accent: event.accent.map(Accent::text),
            logo: event.logo.as_ref().map(logo_url),
            current: event.current.map(|id| id.to_string()),
            view: ViewPart::of(&event.view),
            created_at: event.created_at,
            updated_at: event.updated_at,
            polls: event.polls.iter().map(PollAnswer::of).collect(),
        }
    }
}

#[derive(Serialize)]
pub struct PollAnswer<'a> {
    #[serde(flatten)]
    poll: PollPart<'a>,
    event: String,
    position: u32,
    locked: bool,
}

impl<'a> PollAnswer<'a> {
    pub fn of(poll: &'a Poll) -> PollAnswer<'a> {
        PollAnswer { poll: PollPart::of(poll, None, None), event: poll.event.to_string(), position: poll.position, locked: poll.locked }
    }
}

#[derive(Serialize)]
pub struct ResultsAnswer<'a> {
    pub poll: String,
    pub round: u32,
    pub rounds: Vec<u32>,
    pub question: &'a str,
    /// Of that round: with choices that were removed since, if anybody picked them.
    pub choices: Vec<ChoicePart<'a>>,
    pub results: ResultsPart,
    /// What the result proves: `open`, anyone with the link could vote.
    pub level: &'static str,
    pub books: BooksAnswer,
}

#[derive(Serialize)]
pub struct BooksAnswer {
    #[serde(flatten)]
    books: BooksPart,
    /// Batches given out and not applied yet, over all polls.
    in_flight: u64,
    missing: Vec<MissingPart>,
    unreported: Vec<UnreportedPart>,
}

#[derive(Serialize)]
struct MissingPart {
    instance: InstanceText,
    lane: u16,
    first: u64,
    last: u64,
}

#[derive(Serialize)]
struct UnreportedPart {
    instance: InstanceText,
    last_sign: Millis,
}

type InstanceText = uuid::Uuid;

/// Most gaps and instances an answer lists; `in_flight` has the sum of all gaps.
const GAPS_LISTED_MAX: usize = 100;

impl BooksAnswer {
    pub fn of(books: BooksPart, standing: &Standing) -> BooksAnswer {
        let part = |&(InstanceId(instance), lane, first, last): &(InstanceId, u16, u64, u64)| MissingPart { instance, lane, first, last };
        BooksAnswer {
            books,
            in_flight: standing.in_flight(),
            missing: standing.missing.iter().take(GAPS_LISTED_MAX).map(part).collect(),
            unreported: standing
                .unreported
                .iter()
                .take(GAPS_LISTED_MAX)
                .map(|&(InstanceId(instance), last_sign)| UnreportedPart { instance, last_sign })
                .collect(),
        }
    }
}

//! Events and polls as they stand.

use std::collections::HashMap;

use super::{Pool, Store, reading};
use crate::domain::{
    Accent, Choice, Event, EventId, EventState, FoundIn, JoinCode, Kind, Limits, LogoName, Millis, Numbers, Poll, PollId, PollState, Search, Slug, StageView,
    Visibility,
};
use crate::error::{Error, Result};

/// A line of the list of events.
#[derive(Clone, Debug)]
pub struct EventSummary {
    pub id: EventId,
    pub code: String,
    pub slug: Option<String>,
    pub title: String,
    pub state: EventState,
    pub polls: u64,
    /// Of these, where votes are taken now.
    pub open: u64,
    pub created_at: Millis,
    pub updated_at: Millis,
    /// In which of its questions it was found, where its name alone was not enough.
    pub question: Option<String>,
}

/// What every web process keeps of every event, so that a wrong code costs no query.
#[derive(Clone, Debug)]
pub struct IndexEntry {
    pub id: EventId,
    pub code: String,
    pub slug: Option<String>,
    pub edition: u64,
    pub deleted: bool,
}

/// Which events to list.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Rehearsals, and nothing else; or what people made.
    pub rehearsals: bool,
    pub search: Option<Search>,
    /// Those that stand behind this one.
    pub after: Option<EventId>,
    pub limit: usize,
    /// What is open is open then.
    pub at: Millis,
}

impl Listing {
    /// What people made, all that one list shows, for who does not ask what is open.
    pub fn of_people() -> Listing {
        Listing { rehearsals: false, search: None, after: None, limit: EVENTS_LISTED_MAX, at: 0 }
    }

    pub fn of_rehearsals() -> Listing {
        Listing { rehearsals: true, ..Listing::of_people() }
    }
}

/// Newest first.
#[derive(Clone, Debug)]
pub struct Listed {
    pub events: Vec<EventSummary>,
    /// There are more behind the last one.
    pub more: bool,
}

/// Most events one list shows.
pub const EVENTS_LISTED_MAX: usize = 500;
/// Read at once while looking for something, with all their questions: a hundred of 300 characters each would be 7 MB, and 250 events of a few
/// questions are some 100 KB. No connection is held for longer, and no thread.
const EVENTS_LOOKED_THROUGH: usize = 250;
/// A control character, of which no text has any.
const BETWEEN_QUESTIONS: char = '\u{1f}';

#[derive(sqlx::FromRow)]
pub(super) struct EventRow {
    id: i64,
    code: String,
    slug: Option<String>,
    title: String,
    state: String,
    rehearsal: bool,
    accent: Option<String>,
    logo: Option<String>,
    current: Option<i64>,
    edition: i64,
    created_at: i64,
    updated_at: i64,
    #[sqlx(flatten)]
    view: ViewRow,
}

/// Nothing where nobody has changed it.
#[derive(sqlx::FromRow)]
struct ViewRow {
    view_edition: Option<i64>,
    joining: Option<bool>,
    blank: Option<bool>,
    sorted: Option<bool>,
    earlier: Option<bool>,
    numbers: Option<String>,
    size: Option<i32>,
}

impl ViewRow {
    fn into_view(self) -> Result<StageView> {
        let ViewRow {
            view_edition: Some(edition),
            joining: Some(joining),
            blank: Some(blank),
            sorted: Some(sorted),
            earlier: Some(earlier),
            numbers: Some(numbers),
            size: Some(size),
        } = self
        else {
            return Ok(StageView::default());
        };
        Ok(StageView { edition: edition as u64, joining, blank, sorted, earlier, numbers: Numbers::parse(&numbers)?, size: size as u8 })
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct PollRow {
    id: i64,
    event: i64,
    position: i32,
    kind: String,
    question: String,
    state: String,
    round: i32,
    min_picks: i32,
    max_picks: i32,
    change: bool,
    visibility: String,
    revealed: bool,
    opens_at: Option<i64>,
    closes_at: Option<i64>,
    closed_at: Option<i64>,
    earlier_closed_at: Option<i64>,
    locked: bool,
    deleted: bool,
}

impl PollRow {
    fn into_poll(self, choices: Vec<Choice>) -> Result<Poll> {
        Ok(Poll {
            id: PollId(self.id),
            event: EventId(self.event),
            position: self.position as u32,
            kind: Kind::parse(&self.kind)?,
            question: self.question,
            state: PollState::parse(&self.state)?,
            round: self.round as u32,
            closed_at: self.closed_at,
            earlier_closed_at: self.earlier_closed_at,
            opens_at: self.opens_at,
            closes_at: self.closes_at,
            limits: Limits { min: self.min_picks as u16, max: self.max_picks as u16 },
            change: self.change,
            visibility: Visibility::parse(&self.visibility)?,
            revealed: self.revealed,
            locked: self.locked,
            choices,
        })
    }
}

/// The event and its polls, or `None`. Takes a connection or a transaction of either database.
macro_rules! load_event {
    ($connection:expr, $id:expr) => {{
        let event: Option<$crate::store::read::EventRow> = sqlx::query_as(
            "select e.id, e.code, e.slug, e.title, e.state, e.rehearsal, e.accent, e.logo, e.current, e.edition, e.created_at, e.updated_at,
                    v.edition as view_edition, v.joining, v.blank, v.sorted, v.earlier, v.numbers, v.size
             from event e left join stage_view v on v.event = e.id where e.id = $1 and e.deleted_at is null",
        )
        .bind($id.0)
        .fetch_optional(&mut *$connection)
        .await?;
        match event {
            None => None,
            Some(event) => {
                // A ballot in the current round fixes the choices.
                let polls: Vec<$crate::store::read::PollRow> = sqlx::query_as(
                    "select p.id, p.event, p.position, p.kind, p.question, p.state, p.round, p.min_picks, p.max_picks, p.change,
                            p.visibility, p.revealed, p.opens_at, p.closes_at, r.closed_at,
                            (select max(e.closed_at) from round e where e.poll = p.id and e.round < p.round) as earlier_closed_at,
                            exists (select 1 from book b where b.poll = p.id and b.round = p.round) as locked,
                            p.deleted_at is not null as deleted
                     from poll p left join round r on r.poll = p.id and r.round = p.round
                     where p.event = $1
                     order by p.position, p.id",
                )
                .bind($id.0)
                .fetch_all(&mut *$connection)
                .await?;
                let choices: Vec<(i64, i32, String)> = sqlx::query_as(
                    "select c.poll, c.number, c.text from choice c join poll p on p.id = c.poll
                     where p.event = $1 and p.deleted_at is null and not c.removed
                     order by c.poll, c.position, c.number",
                )
                .bind($id.0)
                .fetch_all(&mut *$connection)
                .await?;
                Some($crate::store::read::assemble(event, polls, choices)?)
            }
        }
    }};
}
pub(super) use load_event;

pub(super) fn assemble(event: EventRow, polls: Vec<PollRow>, choices: Vec<(i64, i32, String)>) -> Result<Event> {
    let mut by_poll: HashMap<i64, Vec<Choice>> = HashMap::new();
    for (poll, number, text) in choices {
        by_poll.entry(poll).or_default().push(Choice { number: number as u16, text });
    }
    let (polls, retired): (Vec<PollRow>, Vec<PollRow>) = polls.into_iter().partition(|p| !p.deleted);
    // The column may have gaps where polls were deleted; people count places.
    let place = |(place, row): (usize, PollRow)| {
        let choices = by_poll.remove(&row.id).unwrap_or_default();
        PollRow { position: place as i32, ..row }.into_poll(choices)
    };
    let polls = polls.into_iter().enumerate().map(place).collect::<Result<Vec<Poll>>>()?;
    let damaged = || Error::internal(anyhow::anyhow!("event {} has a join code that is none", event.id));
    Ok(Event {
        id: EventId(event.id),
        code: JoinCode::parse(&event.code).ok_or_else(damaged)?,
        slug: event.slug.as_deref().map(Slug::parse).transpose()?,
        title: event.title,
        state: EventState::parse(&event.state)?,
        rehearsal: event.rehearsal,
        accent: event.accent.as_deref().map(Accent::parse).transpose()?,
        logo: event.logo.as_deref().and_then(LogoName::parse),
        current: event.current.map(PollId).filter(|current| polls.iter().any(|p| p.id == *current)),
        view: event.view.into_view()?,
        edition: event.edition as u64,
        created_at: event.created_at,
        updated_at: event.updated_at,
        polls,
        retired: retired.into_iter().map(|p| PollId(p.id)).collect(),
    })
}

impl Store {
    pub async fn event(&self, id: EventId) -> Result<Event> {
        let pool = self.live.clone();
        self.owned(async move { find_event(&pool, id).await?.ok_or(event_unknown()) }).await
    }

    /// The event a poll belongs to; `None` when there is no such poll, or it was deleted.
    pub async fn event_of_poll(&self, poll: PollId) -> Result<Option<EventId>> {
        let pool = self.live.clone();
        self.owned(async move {
            let found: Option<(i64,)> =
                reading!(&pool, db => sqlx::query_as("select event from poll where id = $1 and deleted_at is null").bind(poll.0).fetch_optional(db).await)?;
            Ok(found.map(|(event,)| EventId(event)))
        })
        .await
    }

    /// Events as they are listed. What is looked for is compared here and not by the database: the two would fold letters differently,
    /// and a column of folded texts would be a second truth. The database would look at every text, too: parts of words are in no
    /// index. 10,000 accented titles without the one looked for take 0.3 s of a core in an unoptimised build.
    pub async fn events(&self, listing: Listing) -> Result<Listed> {
        let pool = self.office.clone();
        self.owned(async move {
            let Listing { rehearsals, search, after, limit, at } = listing;
            let mut place = match after {
                None => (i64::MAX, i64::MAX),
                Some(after) => place_of(&pool, after).await?,
            };
            // One more than is shown says whether there are more.
            let step = if search.is_some() { EVENTS_LOOKED_THROUGH } else { limit + 1 };
            let mut events = Vec::new();
            while events.len() <= limit {
                let rows = listed(&pool, rehearsals, place, step, at, search.is_some()).await?;
                let is_last = rows.len() < step;
                place = rows.last().map_or(place, |row| (row.created_at, row.id));
                for row in rows {
                    events.extend(row.found(search.as_ref())?);
                }
                if is_last {
                    break;
                }
                // Others have their turn: what was read was folded and compared in one go.
                tokio::task::yield_now().await;
            }
            let more = events.len() > limit;
            events.truncate(limit);
            Ok(Listed { events, more })
        })
        .await
    }

    /// Events edited after `edition`, deleted ones included; everything there is for 0.
    pub async fn index_since(&self, edition: u64) -> Result<Vec<IndexEntry>> {
        let pool = self.live.clone();
        self.owned(async move { index_since(&pool, edition).await }).await
    }
}

pub(super) async fn index_since(pool: &Pool, edition: u64) -> Result<Vec<IndexEntry>> {
    let rows: Vec<(i64, String, Option<String>, i64, bool)> = reading!(pool, db => sqlx::query_as(
        "select id, code, slug, edition, deleted_at is not null from event where edition > $1 order by edition")
        .bind(edition as i64).fetch_all(db).await)?;
    let entry = |(id, code, slug, edition, deleted)| IndexEntry { id: EventId(id), code, slug, edition: edition as u64, deleted };
    Ok(rows.into_iter().map(entry).collect())
}

#[derive(sqlx::FromRow)]
struct SummaryRow {
    id: i64,
    code: String,
    slug: Option<String>,
    title: String,
    state: String,
    polls: i64,
    open: i64,
    created_at: i64,
    updated_at: i64,
    /// Of all its polls, where they are searched.
    questions: Option<String>,
}

impl SummaryRow {
    /// `None` where it is not what is looked for.
    fn found(self, search: Option<&Search>) -> Result<Option<EventSummary>> {
        let SummaryRow { id, code, slug, title, state, polls, open, created_at, updated_at, questions } = self;
        let questions = questions.iter().flat_map(|questions| questions.split(BETWEEN_QUESTIONS));
        let found_in = search.map_or(Some(FoundIn::Name), |search| search.finds(&title, slug.as_deref(), &code, questions));
        let question = match found_in {
            None => return Ok(None),
            Some(FoundIn::Name) => None,
            Some(FoundIn::Question(question)) => Some(question.to_owned()),
        };
        Ok(Some(EventSummary {
            id: EventId(id),
            code,
            slug,
            title,
            state: EventState::parse(&state)?,
            polls: polls as u64,
            open: open as u64,
            created_at,
            updated_at,
            question,
        }))
    }
}

/// Where an event stands in the list, also one that was deleted since.
async fn place_of(pool: &Pool, event: EventId) -> Result<(i64, i64)> {
    let place: Option<(i64, i64)> =
        reading!(pool, db => sqlx::query_as("select created_at, id from event where id = $1").bind(event.0).fetch_optional(db).await)?;
    place.ok_or_else(event_unknown)
}

/// Newest first, from behind a place on.
async fn listed(pool: &Pool, rehearsals: bool, (created_at, id): (i64, i64), limit: usize, at: Millis, with_questions: bool) -> Result<Vec<SummaryRow>> {
    Ok(reading!(pool, db => sqlx::query_as(
        "select e.id, e.code, e.slug, e.title, e.state,
                (select count(*) from poll p where p.event = e.id and p.deleted_at is null) as polls,
                (select count(*) from poll p where p.event = e.id and p.deleted_at is null and p.state = 'open'
                 and coalesce(p.opens_at, 0) <= $5 and coalesce(p.closes_at, $5 + 1) > $5) as open,
                e.created_at, e.updated_at,
                case when $6 then (select string_agg(p.question, $7 order by p.position) from poll p where p.event = e.id and p.deleted_at is null) end as questions
         from event e
         where e.deleted_at is null and e.rehearsal = $1 and (e.created_at, e.id) < ($2, $3)
         order by e.created_at desc, e.id desc limit $4")
        .bind(rehearsals).bind(created_at).bind(id).bind(limit as i64).bind(at).bind(with_questions).bind(BETWEEN_QUESTIONS.to_string())
        .fetch_all(db).await)?)
}

async fn find_event(pool: &Pool, id: EventId) -> Result<Option<Event>> {
    Ok(reading!(pool, db => {
        // One transaction, so that the statements share a connection. On Postgres polls may be newer than the edition read
        // first; the next pulse then shows a newer edition and the event is read again.
        let mut transaction = db.begin().await?;
        let event = load_event!(transaction, id);
        transaction.commit().await?;
        event
    }))
}

pub(super) fn event_unknown() -> Error {
    Error::not_found("event_unknown", "There is no such event. Check the code.")
}

pub(super) fn poll_unknown() -> Error {
    Error::not_found("poll_unknown", "There is no such poll.")
}

//! Makers of what the contracts are tried with: ids, ballots, batches, events, and a store to put them in.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use groundswell::clock::now_ms;
use groundswell::domain::{
    Ballot, BallotId, Batch, Beat, Books, Event, EventId, InstanceId, JoinCode, Kind, Limits, Millis, Picks, PollId, PollState, Question, Title, Visibility,
    VoterId,
};
use groundswell::store::{EventDraft, PollDraft, RoundTally, Stamp, Store};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use uuid::Uuid;

use crate::support::{Backend, Place, runtime};

/// An arbitrary moment: contracts that are told the time need no clock.
pub const NOON: Millis = 1_764_000_000_000;

/// Runs a test with a store of its own. The broker has no part in it.
pub fn with_store(backend: Backend, test: impl AsyncFnOnce(&Place, Store)) {
    let mut place = Place::new(backend);
    place.amqp_url = None;
    runtime().block_on(async {
        let store = place.store().await;
        test(&place, store.clone()).await;
        store.close().await;
    });
}

/// Never the same number twice in a run.
fn next() -> i64 {
    static NEXT: AtomicI64 = AtomicI64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub fn poll_id() -> PollId {
    PollId::compose(NOON, next() as u32)
}

pub fn event_id() -> EventId {
    EventId::compose(NOON, next() as u32)
}

pub fn instance() -> InstanceId {
    InstanceId(Uuid::new_v4())
}

pub fn voter(number: u32) -> VoterId {
    VoterId(Uuid::from_u128(u128::from(number)))
}

/// The ballot id follows from voter and revision: the same arguments are the same ballot again.
pub fn ballot(poll: PollId, voter_number: u32, revision: u32, picks: &str) -> Ballot {
    let id = Uuid::from_u128(u128::from(voter_number) << 64 | u128::from(revision));
    Ballot { poll, round: 1, voter: voter(voter_number), ballot: BallotId(id), revision, picks: Picks::parse(picks).expect("picks of a test") }
}

pub fn batch(instance: InstanceId, lane: u16, number: u64, ballots: Vec<Ballot>) -> Batch {
    Batch { instance, lane, number, accepted_at: NOON, ballots, beat: None }
}

pub fn beat(instance: InstanceId, lane: u16, clock: Millis, last: u64) -> Batch {
    Batch {
        instance,
        lane,
        number: 0,
        accepted_at: clock,
        ballots: Vec::new(),
        beat: Some(Beat { clock, last, void: Vec::new(), ended: false, abandoned: false }),
    }
}

pub fn last_beat(instance: InstanceId, lane: u16, clock: Millis, last: u64) -> Batch {
    Batch { beat: Some(Beat { clock, last, void: Vec::new(), ended: true, abandoned: false }), ..beat(instance, lane, clock, last) }
}

/// A line of batches from one instance in lane 0, one batch for each list of ballots.
pub fn line(batches: impl IntoIterator<Item = Vec<Ballot>>) -> Vec<Batch> {
    let instance = instance();
    batches.into_iter().zip(1..).map(|(ballots, number)| batch(instance, 0, number, ballots)).collect()
}

/// What the store says of round 1 of a poll.
pub async fn tally(store: &Store, poll: PollId) -> RoundTally {
    tally_of_round(store, poll, 1).await
}

pub async fn tally_of_round(store: &Store, poll: PollId, round: u32) -> RoundTally {
    let mut tallies = store.tallies(vec![poll]).await.expect("tallies");
    tallies.remove(&poll).and_then(|mut t| t.rounds.remove(&round)).unwrap_or_default()
}

/// (choice, votes), choices without votes left out.
pub fn votes(tally: &RoundTally) -> Vec<(u16, i64)> {
    tally.counts.iter().filter(|(_, count)| count.votes != 0).map(|(choice, count)| (*choice, count.votes)).collect()
}

pub fn books(received: i64, counted: i64, superseded: i64, duplicate: i64, late: i64, voters: i64) -> Books {
    Books { received, counted, superseded, duplicate, late, voters }
}

/// Every published number follows from the ballots, and the books balance.
#[track_caller]
pub fn assert_proven(recount: (u64, Vec<groundswell::store::Discrepancy>)) {
    assert_eq!(recount.1, [], "the recount differs");
}

pub fn stamp() -> Stamp {
    stamp_at(now_ms())
}

pub fn stamp_at(at: Millis) -> Stamp {
    Stamp { actor: "a test".into(), at, audit_id: next() }
}

/// When the poll closed, which is written down a moment after it has. At noon; on a machine that is busy with other things, a little later.
pub async fn closed_at(store: &Store, event: EventId, poll: PollId) -> Millis {
    let mut at = None;
    eventually("the close is dated", async || {
        let event = store.event(event).await.expect("an event");
        at = event.polls.iter().find(|other| other.id == poll).expect("its poll").closed_at;
        at.is_some_and(|at| at < NOON + 30_000)
    })
    .await;
    at.expect("just seen")
}

pub async fn close_at_noon(store: &Store, event: EventId, poll: PollId) -> Millis {
    store.set_poll_state(event, poll, PollState::Closed, stamp_at(NOON)).await.expect("it closes");
    closed_at(store, event, poll).await
}

pub fn code(number: u32) -> JoinCode {
    JoinCode::compose(number)
}

pub fn event_draft(codes: Vec<JoinCode>) -> EventDraft {
    EventDraft {
        id: event_id(),
        codes,
        slug: None,
        title: Title::parse("Friday").expect("a title"),
        rehearsal: false,
        accent: None,
        logo: None,
        copy_of: None,
        polls: Vec::new(),
    }
}

pub fn poll_draft(choices: &[&str]) -> PollDraft {
    PollDraft {
        id: poll_id(),
        kind: Kind::Single,
        question: Question::parse("Which ending?").expect("a question"),
        choices: choices.iter().map(|c| (*c).to_owned()).collect(),
        limits: Limits { min: 1, max: 1 },
        change: true,
        visibility: Visibility::Live,
    }
}

/// An event with one poll of the choices A, B and C, as a draft.
pub async fn event_with_draft(store: &Store) -> (Event, PollId) {
    let poll = poll_draft(&["A", "B", "C"]);
    let id = poll.id;
    let event = store.create_event(EventDraft { polls: vec![poll], ..event_draft(vec![code(next() as u32)]) }, stamp()).await.expect("an event");
    (event, id)
}

/// The same, open.
pub async fn event_with_poll(store: &Store) -> (Event, PollId) {
    let (event, poll) = event_with_draft(store).await;
    (store.set_poll_state(event.id, poll, PollState::Open, stamp()).await.expect("opens"), poll)
}

/// The code of a refusal.
#[track_caller]
pub fn refusal<T: std::fmt::Debug>(result: Result<T, groundswell::error::Error>) -> &'static str {
    use groundswell::error::Error;
    match result {
        Err(Error::Conflict(r) | Error::Invalid(r) | Error::NotFound(r) | Error::Unauthorized(r) | Error::Forbidden(r)) => r.code,
        other => panic!("a refusal was expected, not {other:?}"),
    }
}

/// Behind the store's back.
pub async fn execute(place: &Place, sql: &str) -> u64 {
    match place.backend {
        Backend::Embedded => {
            let mut db = SqliteConnection::connect(&place.database_url).await.expect("the file opens");
            sqlx::query(AssertSqlSafe(sql)).execute(&mut db).await.expect("SQLite obeys").rows_affected()
        }
        Backend::Distributed => {
            let mut db = PgConnection::connect(&place.database_url).await.expect("Postgres answers");
            sqlx::query(AssertSqlSafe(sql)).execute(&mut db).await.expect("Postgres obeys").rows_affected()
        }
    }
}

/// One number behind the store's back.
pub async fn number(place: &Place, sql: &str) -> i64 {
    match place.backend {
        Backend::Embedded => {
            let mut db = SqliteConnection::connect(&place.database_url).await.expect("the file opens");
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut db).await.expect("SQLite answers")
        }
        Backend::Distributed => {
            let mut db = PgConnection::connect(&place.database_url).await.expect("Postgres answers");
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut db).await.expect("Postgres answers")
        }
    }
}

/// A column of ids behind the store's back.
pub async fn uuids(place: &Place, sql: &str) -> Vec<Uuid> {
    match place.backend {
        Backend::Embedded => {
            let mut db = SqliteConnection::connect(&place.database_url).await.expect("the file opens");
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut db).await.expect("SQLite answers")
        }
        Backend::Distributed => {
            let mut db = PgConnection::connect(&place.database_url).await.expect("Postgres answers");
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut db).await.expect("Postgres answers")
        }
    }
}

/// No wait in a test is longer than this.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Fails when the future is not done in time.
#[track_caller]
pub fn soon<T>(what: &str, future: impl Future<Output = T>) -> impl Future<Output = T> {
    let from = std::panic::Location::caller();
    async move { tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what} ({from})")) }
}

/// Asks until it is so.
pub async fn eventually(what: &str, condition: impl AsyncFnMut() -> bool) {
    eventually_within(PATIENCE, what, condition).await;
}

pub async fn eventually_within(patience: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

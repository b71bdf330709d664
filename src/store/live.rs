//! What live documents, results and rejoining phones read; and the recount that proves the rest.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use uuid::Uuid;

use super::count::read_mark;
use super::{IndexEntry, Pool, Store, read, reading, writing};
use crate::domain::{Ballot, BallotId, Books, Choice, Count, EventId, InstanceId, Millis, Picks, PollId, SignedBallot, VoterId, delta};
use crate::error::{Error, Result};

/// What has happened since the last look. Asked a few times a second by every web process.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    pub edited: Vec<IndexEntry>,
    /// Ballots received so far in each poll that was counted lately; unchanged numbers mean nothing to redraw.
    pub received: Vec<(PollId, u64)>,
    /// Every ballot accepted up to here is in the tally, as far as the instances that report go.
    pub counted_through: Millis,
    /// The same, with those that fell silent without having ended: what lies in their spill is still to come.
    pub settled_through: Millis,
}

/// Counts of one poll, all rounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PollTally {
    pub rounds: BTreeMap<u32, RoundTally>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoundTally {
    pub counts: BTreeMap<u16, Count>,
    pub books: Books,
}

impl PollTally {
    /// Rises with every ballot that arrives, whatever becomes of it: half of the live document's version.
    pub fn received(&self) -> u64 {
        self.rounds.values().map(|r| r.books.received as u64).sum()
    }
}

/// Where the lanes stand: what is on its way, what is missing, and who has not reported.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    pub counted_through: Millis,
    pub settled_through: Millis,
    /// (instance, lane, first, last): batch numbers given out and not applied. In this order, so that who looks twice sees what has changed.
    pub missing: Vec<(InstanceId, u16, u64, u64)>,
    /// Instances that neither ended nor gave a sign lately, and their last sign.
    pub unreported: Vec<(InstanceId, Millis)>,
}

impl Standing {
    /// Batches on their way, or lost.
    pub fn in_flight(&self) -> u64 {
        self.missing.iter().map(|(_, _, from, to)| to - from + 1).sum()
    }
}

/// What became of the wish to wait no longer for a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forgetting {
    Forgotten,
    /// Nobody of that name is waited for.
    Unknown,
    /// It gave a sign a moment ago: what it accepts would be in no result that is called final meanwhile.
    Alive,
    /// Another process holds votes of it and is about to pass them on: a result without them would be final too early.
    Vouched,
}

/// What a poll once was.
#[derive(Clone, Debug)]
pub struct History {
    /// Removed ones last, marked `true`.
    pub choices: Vec<(Choice, bool)>,
    /// Rounds that were opened, and when they closed.
    pub rounds: BTreeMap<u32, Option<Millis>>,
}

/// A published number that the ballots do not bear out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discrepancy {
    pub poll: PollId,
    pub round: u32,
    pub what: String,
    pub published: i64,
    pub recounted: i64,
}

/// Everything again from the ballots, in one snapshot.
#[derive(Clone, Debug)]
pub struct Recount {
    pub ballots: u64,
    /// Where the database publishes something else.
    pub differences: Vec<Discrepancy>,
    pub published: BTreeMap<(PollId, u32), RoundTally>,
    /// Of the books, what follows from ballots: counted and voters.
    pub recounted: BTreeMap<(PollId, u32), RoundTally>,
    pub events: BTreeMap<EventId, RecountedEvent>,
}

#[derive(Clone, Debug)]
pub struct RecountedEvent {
    pub code: String,
    /// Which a document drawn from these rows has.
    pub version: u64,
}

type CountRow = (i64, i32, i32, i64, i64);
type BookRow = (i64, i32, i64, i64, i64, i64, i64, i64);

/// Lanes summed; grouped by poll, round and choice.
const COUNTS: &str = "select poll, round, choice, cast(sum(votes) as bigint), cast(sum(weight) as bigint) from tally";
/// Lanes summed; grouped by poll and round.
const BOOKS: &str = "select poll, round, cast(sum(received) as bigint), cast(sum(counted) as bigint), cast(sum(superseded) as bigint),
                     cast(sum(duplicate) as bigint), cast(sum(late) as bigint), cast(sum(voters) as bigint) from book";
/// On Postgres; on SQLite every transaction that reads has one.
const ONE_SNAPSHOT: &str = "begin isolation level repeatable read read only";

/// A transaction's time stamp is older than its commit by at most this much; looking back that far misses none.
const LOOK_BACK_MS: Millis = 60_000;
/// An instance silent for this long no longer holds `counted_through` back; it is listed as unreported instead.
pub const SILENT_AFTER_MS: Millis = 30_000;
/// For so long a silent instance keeps results provisional: votes may lie in its spill, waiting for somebody to start it again. Then it
/// is taken for gone, with its disk; `groundswell forget` says so earlier.
pub const GONE_AFTER_MS: Millis = 24 * 3_600 * 1_000;

impl Store {
    pub async fn pulse(&self, edition: u64, now: Millis) -> Result<Pulse> {
        let pool = self.live.clone();
        self.owned(async move {
            let edited = read::index_since(&pool, edition).await?;
            let received: Vec<(i64, i64)> = reading!(&pool, db => sqlx::query_as(
                "select poll, cast(sum(received) as bigint) from book
                 where poll in (select poll from book where changed_at > $1)
                 group by poll").bind(now - LOOK_BACK_MS).fetch_all(db).await)?;
            let (counted_through, settled_through) = through(&pool).await?;
            Ok(Pulse { edited, received: received.into_iter().map(|(poll, n)| (PollId(poll), n as u64)).collect(), counted_through, settled_through })
        })
        .await
    }

    /// All counts of these polls, lanes summed. Polls nobody voted in are left out.
    pub async fn tallies(&self, polls: Vec<PollId>) -> Result<HashMap<PollId, PollTally>> {
        let pool = self.live.clone();
        self.owned(async move {
            let ids: Vec<i64> = polls.iter().map(|p| p.0).collect();
            let safe = sqlx::AssertSqlSafe::<String>;
            let (counts, books): (Vec<CountRow>, Vec<BookRow>) = match &pool {
                Pool::Postgres(db) => {
                    // One snapshot: a result never shows more votes than voters.
                    let mut tx = db.begin_with(ONE_SNAPSHOT).await?;
                    let counts =
                        sqlx::query_as(safe(format!("{COUNTS} where poll = any($1) group by poll, round, choice"))).bind(&ids).fetch_all(&mut *tx).await?;
                    let books = sqlx::query_as(safe(format!("{BOOKS} where poll = any($1) group by poll, round"))).bind(&ids).fetch_all(&mut *tx).await?;
                    tx.commit().await?;
                    (counts, books)
                }
                Pool::Sqlite { read, .. } => {
                    let ids = serde_json::to_string(&ids).map_err(Error::internal)?;
                    let mut tx = read.begin().await?;
                    let one = "where poll in (select value from json_each($1))";
                    let counts = sqlx::query_as(safe(format!("{COUNTS} {one} group by poll, round, choice"))).bind(&ids).fetch_all(&mut *tx).await?;
                    let books = sqlx::query_as(safe(format!("{BOOKS} {one} group by poll, round"))).bind(&ids).fetch_all(&mut *tx).await?;
                    tx.commit().await?;
                    (counts, books)
                }
            };
            Ok(by_poll(counts, books))
        })
        .await
    }

    /// The ballot that counts for this voter.
    pub async fn ballot_of(&self, poll: PollId, round: u32, voter: VoterId) -> Result<Option<SignedBallot>> {
        let pool = self.live.clone();
        self.owned(async move {
            let row: Option<(Uuid, i32, String, i64)> = reading!(&pool, db => sqlx::query_as(
                "select ballot, revision, picks, accepted_at from ballot where poll = $1 and round = $2 and voter = $3")
                .bind(poll.0).bind(round as i32).bind(voter.0).fetch_optional(db).await)?;
            let Some((ballot, revision, picks, accepted_at)) = row else { return Ok(None) };
            let ballot = Ballot { poll, round, voter, ballot: BallotId(ballot), revision: revision as u32, picks: Picks::parse(&picks)? };
            Ok(Some(SignedBallot { ballot, accepted_at }))
        })
        .await
    }

    /// All choices a poll ever had, in order, and when its rounds closed: for results of earlier rounds.
    pub async fn history(&self, poll: PollId) -> Result<History> {
        let pool = self.office.clone();
        self.owned(async move {
            let choices: Vec<(i32, String, bool)> = reading!(&pool, db => sqlx::query_as(
                "select number, text, removed from choice where poll = $1 order by removed, position, number").bind(poll.0).fetch_all(db).await)?;
            let rounds: Vec<(i32, Option<i64>)> = reading!(&pool, db => sqlx::query_as(
                "select round, closed_at from round where poll = $1 order by round").bind(poll.0).fetch_all(db).await)?;
            Ok(History {
                choices: choices.into_iter().map(|(number, text, removed)| (Choice { number: number as u16, text }, removed)).collect(),
                rounds: rounds.into_iter().map(|(round, closed_at)| (round as u32, closed_at)).collect(),
            })
        })
        .await
    }

    pub async fn standing(&self) -> Result<Standing> {
        type Row = (Uuid, i32, i64, String, i64, i64, i64, bool, i64, i64);
        let pool = self.live.clone();
        self.owned(async move {
            let rows: Vec<Row> = reading!(&pool, db => sqlx::query_as(
                "select instance, lane, through, ahead, last, clock, counted_to, ended, heard, vouched from lane_mark
                 where not ended or through < last or ahead <> ''
                 order by instance, lane").fetch_all(db).await)?;
            let (counted_through, settled_through) = through(&pool).await?;
            let mut standing = Standing { counted_through, settled_through, ..Standing::default() };
            let newest = rows.iter().map(|r| r.5).max().unwrap_or(0);
            let mut last_signs: BTreeMap<InstanceId, Millis> = BTreeMap::new();
            for (instance, lane, through, ahead, last, clock, counted_to, ended, heard, vouched) in rows {
                let instance = InstanceId(instance);
                let mark = read_mark((through, ahead, last, clock, counted_to, ended, heard, vouched))?;
                standing.missing.extend(mark.missing().into_iter().map(|(from, to)| (instance, lane as u16, from, to)));
                if !ended {
                    // On any of its lanes: who holds batches of it vouches only for those lanes that some lie in.
                    let last_sign = last_signs.entry(instance).or_default();
                    *last_sign = mark.last_sign().max(*last_sign);
                }
            }
            standing.unreported = last_signs.into_iter().filter(|(_, last_sign)| *last_sign <= newest - SILENT_AFTER_MS).collect();
            Ok(standing)
        })
        .await
    }

    /// By how many ballots the books of all polls and rounds are out of balance, in either direction. 0 is what must come back.
    pub async fn imbalance(&self) -> Result<u64> {
        let pool = self.live.clone();
        self.owned(async move {
            let (sum,): (i64,) = reading!(&pool, db => sqlx::query_as(
                "select cast(coalesce(sum(abs(off)), 0) as bigint) from
                 (select sum(received - counted - superseded - duplicate - late) as off from book group by poll, round) each")
                .fetch_one(db).await)?;
            Ok(sum as u64)
        })
        .await
    }

    /// With in-process lanes there is one process: whoever came before is gone, and nothing of theirs is on its way. Numbers still missing were
    /// never called safe: a batch that was on its way to the disk, or refused with nobody left to say so.
    pub async fn end_other_instances(&self, except: InstanceId) -> Result<()> {
        let pool = self.count.clone();
        self.owned(async move {
            writing!(&pool, db => { sqlx::query("update lane_mark set ended = true, through = case when through < last then last else through end, ahead = '' where instance <> $1 and not ended").bind(except.0).execute(db).await?; });
            Ok(())
        })
        .await
    }

    /// Somebody knows that this instance will not come back, nor its disk.
    pub async fn forget_instance(&self, instance: InstanceId, now: Millis) -> Result<Forgetting> {
        let pool = self.count.clone();
        self.owned(async move {
            let (alive, vouched): (bool, bool) = reading!(&pool, db => sqlx::query_as(
                "select count(case when clock > $2 then 1 end) > 0, count(case when vouched > $2 then 1 end) > 0
                 from lane_mark where instance = $1 and not ended")
                .bind(instance.0).bind(now - SILENT_AFTER_MS).fetch_one(db).await)?;
            if alive || vouched {
                return Ok(if alive { Forgetting::Alive } else { Forgetting::Vouched });
            }
            let ended = writing!(&pool, db => { sqlx::query("update lane_mark set ended = true where instance = $1 and not ended").bind(instance.0).execute(db).await?.rows_affected() });
            Ok(if ended > 0 { Forgetting::Forgotten } else { Forgetting::Unknown })
        })
        .await
    }

    /// Counts the ballots again and compares with every published number. Empty is what must come back, while votes are being counted too:
    /// everything is read in one snapshot.
    pub async fn recount(&self) -> Result<(u64, Vec<Discrepancy>)> {
        let all = self.recount_all().await?;
        Ok((all.ballots, all.differences))
    }

    /// The same with what was counted, for whoever compares more than the database publishes.
    pub async fn recount_all(&self) -> Result<Recount> {
        let pool = self.office.clone();
        self.owned(async move {
            let begin = match &pool {
                Pool::Postgres(_) => ONE_SNAPSHOT,
                Pool::Sqlite { .. } => "begin",
            };
            let safe = sqlx::AssertSqlSafe::<String>;
            type Group = (i64, i32, String, i64);
            type EventRow = (i64, String, i64);
            let (groups, counts, books, events, polls): (Vec<Group>, Vec<CountRow>, Vec<BookRow>, Vec<EventRow>, Vec<(i64, i64)>) = reading!(&pool, db => {
                let mut tx = db.begin_with(begin).await?;
                // Grouped by what was picked, so that a billion ballots come back as a few lines.
                let groups = sqlx::query_as("select poll, round, picks, count(*) from ballot group by poll, round, picks").fetch_all(&mut *tx).await?;
                let counts = sqlx::query_as(safe(format!("{COUNTS} group by poll, round, choice"))).fetch_all(&mut *tx).await?;
                let books = sqlx::query_as(safe(format!("{BOOKS} group by poll, round"))).fetch_all(&mut *tx).await?;
                let events = sqlx::query_as("select id, code, edition from event where deleted_at is null").fetch_all(&mut *tx).await?;
                let polls = sqlx::query_as("select id, event from poll").fetch_all(&mut *tx).await?;
                tx.commit().await?;
                (groups, counts, books, events, polls)
            });
            let mut ballots = 0;
            let mut recounted: BTreeMap<(PollId, u32), RoundTally> = BTreeMap::new();
            for (poll, round, picks, times) in groups {
                let picks = Picks::parse(&picks)?;
                let tally = recounted.entry((PollId(poll), round as u32)).or_default();
                delta(&mut tally.counts, &picks, None, times);
                tally.books.counted += times;
                tally.books.voters += if picks.is_empty() { 0 } else { times };
                ballots += times as u64;
            }
            let published = by_poll(counts, books);
            let received = |event: i64| -> u64 {
                polls.iter().filter(|(_, of)| *of == event).filter_map(|(poll, _)| Some(published.get(&PollId(*poll))?.received())).sum()
            };
            // As every web process draws it: see `live`.
            let events = events.into_iter().map(|(id, code, edition)| (EventId(id), RecountedEvent { code, version: edition as u64 + received(id) })).collect();
            let published: BTreeMap<(PollId, u32), RoundTally> =
                published.into_iter().flat_map(|(poll, tally)| tally.rounds.into_iter().map(move |(round, tally)| ((poll, round), tally))).collect();
            Ok(Recount { ballots, differences: compare(&published, &recounted), published, recounted, events })
        })
        .await
    }
}

fn by_poll(counts: Vec<CountRow>, books: Vec<BookRow>) -> HashMap<PollId, PollTally> {
    let mut tallies: HashMap<PollId, PollTally> = HashMap::new();
    for (poll, round, choice, votes, weight) in counts {
        let round = tallies.entry(PollId(poll)).or_default().rounds.entry(round as u32).or_default();
        round.counts.insert(choice as u16, Count { votes, weight });
    }
    for (poll, round, received, counted, superseded, duplicate, late, voters) in books {
        let round = tallies.entry(PollId(poll)).or_default().rounds.entry(round as u32).or_default();
        round.books = Books { received, counted, superseded, duplicate, late, voters };
    }
    tallies
}

/// `counted_through` and `settled_through`.
pub(super) async fn through(pool: &Pool) -> Result<(Millis, Millis)> {
    let (counted, settled) = through_if_any(pool).await?;
    Ok((counted.unwrap_or(0), settled.unwrap_or(0)))
}

/// The same; none where no process is known that might hold votes.
pub(super) async fn through_if_any(pool: &Pool) -> Result<(Option<Millis>, Option<Millis>)> {
    let through: (Option<Millis>, Option<Millis>) = reading!(pool, db => sqlx::query_as(
        // Silence is judged inside a lane: a lane is a line, so another instance's later beat in it proves that everything that was
        // queued before went by; one that was signed directly proves nothing. A lane that stands still holds all back, as it must. Only
        // what a silent one has spilled is not in the line; who is vouched for is not silent: somebody holds that, and passes it on.
        "select min(m.counted_to) filter (where m.clock > newest.heard - $1 or m.vouched > newest.heard - $1),
                min(m.counted_to) filter (where m.clock > newest.heard - $2 or m.vouched > newest.heard - $2)
         from lane_mark m join (select lane, max(heard) as heard from lane_mark group by lane) newest on newest.lane = m.lane
         where not m.ended").bind(SILENT_AFTER_MS).bind(GONE_AFTER_MS).fetch_one(db).await)?;
    Ok(through)
}

fn compare(published: &BTreeMap<(PollId, u32), RoundTally>, recounted: &BTreeMap<(PollId, u32), RoundTally>) -> Vec<Discrepancy> {
    let nothing = RoundTally::default();
    let mut found = Vec::new();
    let keys: BTreeSet<_> = published.keys().chain(recounted.keys()).copied().collect();
    for (poll, round) in keys {
        let said = published.get(&(poll, round)).unwrap_or(&nothing);
        let is = recounted.get(&(poll, round)).unwrap_or(&nothing);
        let mut check = |what: String, published: i64, recounted: i64| {
            if published != recounted {
                found.push(Discrepancy { poll, round, what, published, recounted });
            }
        };
        let choices: BTreeSet<u16> = said.counts.keys().chain(is.counts.keys()).copied().collect();
        for choice in choices {
            let (said, is) = (said.counts.get(&choice).copied().unwrap_or_default(), is.counts.get(&choice).copied().unwrap_or_default());
            check(format!("votes for choice {choice}"), said.votes, is.votes);
            check(format!("weight of choice {choice}"), said.weight, is.weight);
        }
        check("counted".into(), said.books.counted, is.books.counted);
        check("voters".into(), said.books.voters, is.books.voters);
        check("imbalance of the books".into(), said.books.imbalance(), 0);
    }
    found
}

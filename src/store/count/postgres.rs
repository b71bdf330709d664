//! Counting into Postgres: every step one statement, whatever the number of rows, with arrays; prepared once per connection.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, Postgres, Transaction};
use tokio::time::timeout;
use uuid::Uuid;

use super::{
    ADD_BOOK, ADD_TALLY, INSERT_BALLOT, INSERT_LATE, ON_KNOWN_BOOK, ON_KNOWN_LATE, ON_KNOWN_MARK, ON_KNOWN_TALLY, ON_KNOWN_VOTER, READ_RULES, RuleRow,
    SET_MARK, changes, in_order, mark_keys, read_mark, rules_of, sign_marks, take_new,
};
use crate::domain::counting::{
    Applied, MarkKey, Marks, RoundKey, Rules, Tallies, VoterKey, highest_of_each, polls_of, round_of, set_late_aside, take_unwritten, take_written,
};
use crate::domain::{Batch, Books, Collapsed, InstanceId, Mark, Millis, Picks, PollId, Sign, SignedBallot, VoterId};
use crate::error::{Error, Result};

type Tx<'c> = Transaction<'c, Postgres>;

/// Ballots from which on it pays to suppose that all of them are new.
const SUPPOSED_NEW_MIN: usize = 256;
/// Where that was wrong, so many commits suppose nothing: somebody is sending the same ballots again.
const WARY_COMMITS: u32 = 32;

/// Where the workers of a process keep their connections.
#[derive(Clone)]
pub(in crate::store) struct Desk {
    pool: PgPool,
    /// Connections between two commits. The pool would ask each whether it lives, twice per commit.
    held: Arc<Mutex<Vec<PoolConnection<Postgres>>>>,
    held_max: usize,
    patience: Duration,
    /// Commits left that suppose nothing.
    wary: Arc<AtomicU32>,
}

/// What the server of a counting connection is told. A commit that we have given up must not keep its locks from the next try.
pub(in crate::store) async fn settle_session(connection: &mut PgConnection, patience: Duration) -> sqlx::Result<()> {
    let ms = patience.as_millis();
    // Numbers of our own. The generic plan is the one we want: keys by index, whatever the statistics of a table that was empty a moment ago.
    let sql = format!("set statement_timeout = {}; set idle_in_transaction_session_timeout = {}; set plan_cache_mode = force_generic_plan", ms * 5 / 6, ms / 3);
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
}

impl Desk {
    /// `workers` of them write at once; the pool has one connection more.
    pub(in crate::store) fn new(pool: PgPool, workers: u32, patience: Duration) -> Desk {
        Desk { pool, held: Arc::default(), held_max: workers as usize, patience, wary: Arc::default() }
    }

    pub(super) async fn apply<B: Borrow<Batch>>(&self, home: u16, batches: &[B], now: Millis) -> Result<Applied> {
        self.on_connection(async |connection| {
            if !self.is_wary() {
                match attempt(connection, home, batches, now, true).await {
                    Err(Error::Conflict(_)) => self.wary.store(WARY_COMMITS, Ordering::Relaxed),
                    outcome => return outcome,
                }
            }
            attempt(connection, home, batches, now, false).await
        })
        .await
    }

    pub(super) async fn sign(&self, signs: &[(InstanceId, u16, Sign)]) -> Result<()> {
        self.on_connection(async |connection| {
            let mut tx = connection.begin().await?;
            let mut marks = lock_marks(&mut tx, &in_order(signs.iter().map(|(instance, lane, _)| (*instance, *lane)))).await?;
            sign_marks(signs, &mut marks);
            settle(&mut tx, 0, &Tallies::new(), &Applied::default(), &marks, 0).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    pub(super) async fn register(&self, marks: &Marks) -> Result<()> {
        self.on_connection(async |connection| {
            let mut tx = connection.begin().await?;
            settle(&mut tx, 0, &Tallies::new(), &Applied::default(), marks, 0).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// While the pool closes: it waits for all of its connections.
    pub(in crate::store) fn let_go(&self) {
        self.held().clear();
    }

    fn is_wary(&self) -> bool {
        self.wary.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Vec<PoolConnection<Postgres>>> {
        self.held.lock().expect("nothing panics while holding the connections")
    }

    /// Runs `work` to its end, or for as long as anybody can be patient. A connection that did not answer in time is not used again.
    async fn on_connection<T>(&self, work: impl AsyncFnOnce(&mut PgConnection) -> Result<T>) -> Result<T> {
        let held = self.held().pop();
        let mut connection = match held {
            Some(connection) => connection,
            None => self.pool.acquire().await?,
        };
        match timeout(self.patience, work(&mut connection)).await {
            Ok(Ok(done)) => {
                let mut held = self.held();
                if held.len() < self.held_max && !self.pool.is_closed() {
                    held.push(connection);
                }
                Ok(done)
            }
            // Back to the pool, which finds out whether it still lives.
            Ok(Err(error)) => Err(error),
            Err(_) => {
                drop(connection.detach());
                Err(Error::Busy("the database does not answer"))
            }
        }
    }
}

/// One transaction. `Conflict` when all ballots were supposed to be new and one was not.
async fn attempt<B: Borrow<Batch>>(connection: &mut PgConnection, home: u16, batches: &[B], now: Millis, suppose_new: bool) -> Result<Applied> {
    let mut tx = connection.begin().await?;
    // Locked first: after a failover two workers may hold the same batch.
    let mut marks = lock_marks(&mut tx, &mark_keys(batches)).await?;
    let (mut applied, mut ballots) = take_new(batches, &mut marks);
    let mut tallies = Tallies::new();
    if !ballots.is_empty() {
        let rules = read_rules(&mut tx, &ballots).await?;
        keep_late(&mut tx, &set_late_aside(&mut ballots, &rules, &mut applied)).await?;
        let rows = highest_of_each(ballots, &mut applied);
        #[cfg(feature = "planted")]
        let sent = rows.clone();
        tallies = if suppose_new && rows.len() >= SUPPOSED_NEW_MIN && rows.iter().all(|r| r.ballot.revision == 1) {
            insert_all(&mut tx, &rows, &mut applied).await?
        } else {
            write(&mut tx, rows, &rules, &mut applied).await?
        };
        #[cfg(feature = "planted")]
        (tallies = super::tallies_as_sent(&sent, tallies));
    }
    settle(&mut tx, home, &tallies, &applied, &marks, now).await?;
    tx.commit().await?;
    Ok(applied)
}

async fn lock_marks(tx: &mut Tx<'_>, keys: &[MarkKey]) -> Result<Marks> {
    type Row = (Uuid, i32, i64, String, i64, i64, i64, bool, i64, i64);
    const LOCK: &str = "select m.instance, m.lane, m.through, m.ahead, m.last, m.clock, m.counted_to, m.ended, m.heard, m.vouched
         from lane_mark m join unnest($1::uuid[], $2::int[]) as k (instance, lane) on m.instance = k.instance and m.lane = k.lane
         order by m.instance, m.lane
         for update of m";
    let (instances, lanes): (Vec<Uuid>, Vec<i32>) = keys.iter().map(|(i, l)| (i.0, i32::from(*l))).unzip();
    let mut rows: Vec<Row> = sqlx::query_as(LOCK).bind(&instances).bind(&lanes).fetch_all(&mut **tx).await?;
    if rows.len() < keys.len() {
        // Of an instance that never registered there is no row to lock, and two workers would both take its batch for new.
        sqlx::query(
            "insert into lane_mark (instance, lane, through, ahead, last, clock, counted_to, ended)
             select i, l, 0, '', 0, 0, 0, false from unnest($1::uuid[], $2::int[]) as k (i, l)
             on conflict (instance, lane) do nothing",
        )
        .bind(&instances)
        .bind(&lanes)
        .execute(&mut **tx)
        .await?;
        rows = sqlx::query_as(LOCK).bind(&instances).bind(&lanes).fetch_all(&mut **tx).await?;
    }
    let mark = |(instance, lane, through, ahead, last, clock, counted_to, ended, heard, vouched): Row| {
        Ok(((InstanceId(instance), lane as u16), read_mark((through, ahead, last, clock, counted_to, ended, heard, vouched))?))
    };
    rows.into_iter().map(mark).collect()
}

async fn read_rules(tx: &mut Tx<'_>, ballots: &[SignedBallot]) -> Result<Rules> {
    static READ: LazyLock<String> = LazyLock::new(|| format!("{READ_RULES} = any($1)"));
    let polls: Vec<i64> = polls_of(ballots).into_iter().map(|poll| poll.0).collect();
    let rows: Vec<RuleRow> = sqlx::query_as(AssertSqlSafe(READ.as_str())).bind(polls).fetch_all(&mut **tx).await?;
    Ok(rules_of(rows))
}

/// The columns of ballots, as arrays. Unnested side by side in a list of results they flow; as a function in `from` each is first written out.
const ROWS: &str =
    "select unnest($1::bigint[]), unnest($2::int[]), unnest($3::uuid[]), unnest($4::uuid[]), unnest($5::int[]), unnest($6::text[]), unnest($7::bigint[])";

/// Binds them.
macro_rules! bind_rows {
    ($query:expr, $rows:expr) => {
        $query
            .bind($rows.iter().map(|r| r.ballot.poll.0).collect::<Vec<i64>>())
            .bind($rows.iter().map(|r| r.ballot.round as i32).collect::<Vec<i32>>())
            .bind($rows.iter().map(|r| r.ballot.voter.0).collect::<Vec<Uuid>>())
            .bind($rows.iter().map(|r| r.ballot.ballot.0).collect::<Vec<Uuid>>())
            .bind($rows.iter().map(|r| r.ballot.revision as i32).collect::<Vec<i32>>())
            .bind($rows.iter().map(|r| r.ballot.picks.as_str()).collect::<Vec<&str>>())
            .bind($rows.iter().map(|r| r.accepted_at).collect::<Vec<i64>>())
    };
}

async fn keep_late(tx: &mut Tx<'_>, late: &[SignedBallot]) -> Result<()> {
    static KEEP: LazyLock<String> = LazyLock::new(|| format!("{INSERT_LATE} {ROWS} {ON_KNOWN_LATE}"));
    if !late.is_empty() {
        bind_rows!(sqlx::query(AssertSqlSafe(KEEP.as_str())), late).execute(&mut **tx).await?;
    }
    Ok(())
}

/// First revisions, supposed to be of voters without a row: no row is looked for, and there is nothing to hand back. Half the work.
async fn insert_all(tx: &mut Tx<'_>, rows: &[SignedBallot], applied: &mut Applied) -> Result<Tallies> {
    static INSERT: LazyLock<String> = LazyLock::new(|| format!("{INSERT_BALLOT} {ROWS}"));
    match bind_rows!(sqlx::query(AssertSqlSafe(INSERT.as_str())), rows).execute(&mut **tx).await {
        Ok(_) => {}
        Err(error) if super::super::is_taken(&error) => return Err(Error::conflict("voter_known", "One of these voters has a ballot already.")),
        Err(error) => return Err(error.into()),
    }
    let mut written: HashMap<(RoundKey, &Picks), i64> = HashMap::new();
    for row in rows {
        *written.entry((round_of(row), &row.ballot.picks)).or_default() += 1;
    }
    let mut tallies = Tallies::new();
    for ((round, picks), times) in written {
        take_written(round, picks, None, times, applied, &mut tallies);
    }
    Ok(tallies)
}

/// Most voters of a crowd are new, and a row that may replace another is more work. So all rows are tried as new, and only those that met their
/// voter's row are weighed against it.
///
/// Workers do not lock each other out. A first step (or `insert_all`) waits for others' first and second steps, and holds only rows that nobody
/// else sees yet; a second step waits for others' second steps alone, as what it met was seen; each goes by key. The exceptions, which
/// Postgres finds and the tally tries again: a commit of changes alone skips the first step, and what somebody removes between the two is
/// written anew by the second.
async fn write(tx: &mut Tx<'_>, mut rows: Vec<SignedBallot>, rules: &Rules, applied: &mut Applied) -> Result<Tallies> {
    let mut tallies = Tallies::new();
    // Where all are changes, hardly one is new.
    if rows.iter().any(|r| r.ballot.revision == 1) {
        let new = insert_new(tx, &rows, applied, &mut tallies).await?;
        if new.len() == rows.len() {
            return Ok(tallies);
        }
        let new: HashSet<VoterKey> = new.into_iter().collect();
        rows.retain(|r| !new.contains(&r.ballot.key()));
    }
    upsert(tx, &rows, rules, applied, &mut tallies).await?;
    Ok(tallies)
}

/// Whose first row was written.
async fn insert_new(tx: &mut Tx<'_>, rows: &[SignedBallot], applied: &mut Applied, tallies: &mut Tallies) -> Result<Vec<VoterKey>> {
    // What was written comes back by who picked the same: a line for each choice, mostly, instead of one for each vote.
    static INSERT: LazyLock<String> = LazyLock::new(|| {
        format!(
            "with written as ({INSERT_BALLOT} {ROWS} on conflict (poll, round, voter) do nothing returning poll, round, voter, picks)
             select poll, round, picks, array_agg(voter) from written group by poll, round, picks"
        )
    });
    let written: Vec<(i64, i32, String, Vec<Uuid>)> = bind_rows!(sqlx::query_as(AssertSqlSafe(INSERT.as_str())), rows).fetch_all(&mut **tx).await?;
    let mut new = Vec::with_capacity(rows.len());
    for (poll, round, picks, voters) in written {
        let round = (PollId(poll), round as u32);
        take_written(round, &Picks::parse(&picks)?, None, voters.len() as i64, applied, tallies);
        new.extend(voters.into_iter().map(|voter| (round.0, round.1, VoterId(voter))));
    }
    Ok(new)
}

/// What came of it is summed up by the database, too.
async fn upsert(tx: &mut Tx<'_>, rows: &[SignedBallot], rules: &Rules, applied: &mut Applied, tallies: &mut Tallies) -> Result<()> {
    static UPSERT: LazyLock<String> = LazyLock::new(|| {
        format!(
            "with written as ({INSERT_BALLOT} {ROWS} {ON_KNOWN_VOTER} b.poll <> all($8::bigint[]) returning poll, round, picks, prior)
             select poll, round, picks, prior, count(*) from written group by poll, round, picks, prior"
        )
    });
    let sql = UPSERT.as_str();
    #[cfg(feature = "planted")]
    let sql = crate::planted::overwriting(sql);
    let written: Vec<(i64, i32, String, Option<String>, i64)> =
        bind_rows!(sqlx::query_as(AssertSqlSafe(sql)), rows).bind(rules.finals.iter().map(|poll| poll.0).collect::<Vec<i64>>()).fetch_all(&mut **tx).await?;
    let mut written_in: HashMap<RoundKey, i64> = HashMap::new();
    for (poll, round, picks, prior, times) in written {
        let (picks, prior) = (Picks::parse(&picks)?, prior.as_deref().map(Picks::parse).transpose()?);
        let round = (PollId(poll), round as u32);
        *written_in.entry(round).or_default() += times;
        take_written(round, &picks, prior.as_ref(), times, applied, tallies);
    }
    sort_out_unwritten(tx, rows, &written_in, applied).await
}

/// Ballots that met a higher or the same one. Rare, so only then is it asked which.
async fn sort_out_unwritten(tx: &mut Tx<'_>, rows: &[SignedBallot], written_in: &HashMap<RoundKey, i64>, applied: &mut Applied) -> Result<()> {
    for round_rows in rows.chunk_by(|a, b| round_of(a) == round_of(b)) {
        let round = round_of(&round_rows[0]);
        let (sent, written) = (round_rows.len() as i64, written_in.get(&round).copied().unwrap_or(0));
        if sent == written {
            continue;
        }
        // A row that now holds the ballot sent was either written by us or held it before. Looked up voter by voter, as a subquery of one
        // row never becomes a join: that one would read every ballot of the poll for each commit with a repeat in it.
        let (held,): (i64,) = sqlx::query_as(
            "select count(*) from unnest($3::uuid[], $4::uuid[]) as s (voter, ballot)
             where s.ballot = (select b.ballot from ballot b where b.poll = $1 and b.round = $2 and b.voter = s.voter)",
        )
        .bind(round.0.0)
        .bind(round.1 as i32)
        .bind(round_rows.iter().map(|r| r.ballot.voter.0).collect::<Vec<_>>())
        .bind(round_rows.iter().map(|r| r.ballot.ballot.0).collect::<Vec<_>>())
        .fetch_one(&mut **tx)
        .await?;
        take_unwritten(round, Collapsed { superseded: sent - held, duplicate: held - written }, applied);
    }
    Ok(())
}

/// Tallies, books and marks in one go: a commit of a few ballots costs as much as its turns to and fro.
async fn settle(tx: &mut Tx<'_>, home: u16, tallies: &Tallies, applied: &Applied, marks: &Marks, now: Millis) -> Result<()> {
    static SETTLE: LazyLock<String> = LazyLock::new(|| {
        format!(
            "with tallies as (
                {ADD_TALLY} select p, r, $1, c, v, w from unnest($3::bigint[], $4::int[], $5::int[], $6::bigint[], $7::bigint[]) as i (p, r, c, v, w)
                {ON_KNOWN_TALLY}
             ), books as (
                {ADD_BOOK} select p, r, $1, a, c, s, d, l, v, $2
                from unnest($8::bigint[], $9::int[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[])
                    as i (p, r, a, c, s, d, l, v)
                {ON_KNOWN_BOOK}
             )
             {SET_MARK} select * from unnest($16::uuid[], $17::int[], $18::bigint[], $19::text[], $20::bigint[], $21::bigint[], $22::bigint[], $23::boolean[], $24::bigint[], $25::bigint[])
             {ON_KNOWN_MARK}"
        )
    });
    let changes = changes(tallies);
    let book = |f: fn(&Books) -> i64| applied.books.values().map(f).collect::<Vec<i64>>();
    sqlx::query(AssertSqlSafe(SETTLE.as_str()))
        .bind(i32::from(home))
        .bind(now)
        .bind(changes.iter().map(|c| c.0).collect::<Vec<_>>())
        .bind(changes.iter().map(|c| c.1).collect::<Vec<_>>())
        .bind(changes.iter().map(|c| c.2).collect::<Vec<_>>())
        .bind(changes.iter().map(|c| c.3).collect::<Vec<_>>())
        .bind(changes.iter().map(|c| c.4).collect::<Vec<_>>())
        .bind(applied.books.keys().map(|k| k.0.0).collect::<Vec<_>>())
        .bind(applied.books.keys().map(|k| k.1 as i32).collect::<Vec<_>>())
        .bind(book(|b| b.received))
        .bind(book(|b| b.counted))
        .bind(book(|b| b.superseded))
        .bind(book(|b| b.duplicate))
        .bind(book(|b| b.late))
        .bind(book(|b| b.voters))
        .bind(marks.keys().map(|k| k.0.0).collect::<Vec<_>>())
        .bind(marks.keys().map(|k| i32::from(k.1)).collect::<Vec<_>>())
        .bind(marks.values().map(|m| m.through() as i64).collect::<Vec<_>>())
        .bind(marks.values().map(Mark::ahead).collect::<Vec<_>>())
        .bind(marks.values().map(|m| m.last() as i64).collect::<Vec<_>>())
        .bind(marks.values().map(Mark::clock).collect::<Vec<_>>())
        .bind(marks.values().map(Mark::counted_to).collect::<Vec<_>>())
        .bind(marks.values().map(Mark::ended).collect::<Vec<_>>())
        .bind(marks.values().map(Mark::heard).collect::<Vec<_>>())
        .bind(marks.values().map(Mark::vouched).collect::<Vec<_>>())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

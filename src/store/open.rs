//! Opening a database by its URL, with the settings that durability rests on set and read back.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, PgPool, SqlitePool};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::count::{Counter, Desk, Ledger, PATIENCE, settle_session, stop_counting_bytes};
use super::{Pool, Store, migrate};
use crate::error::{Error, Result};

/// How long a call waits for a free connection before it answers "busy".
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// Per process and purpose. Three pools of this size times the number of processes must fit `max_connections`.
const OFFICE_CONNECTIONS: u32 = 4;
const LIVE_CONNECTIONS: u32 = 4;
const SQLITE_READERS: u32 = 4;
/// Edits and readers touch few pages; counting has a cache of its own.
const SQLITE_CACHE_KIB: u32 = 16 * 1_024;
/// Another program may look into the file (a backup, the sqlite3 shell); wait for it this long.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The WAL-reset bug before this version can lose committed pages.
const SQLITE_VERSION_MIN: (u32, u32, u32) = (3, 51, 3);

impl Store {
    /// Opens `sqlite://path` or `postgres://…` and brings it to the newest version. `tally_connections` is the number of workers, and one.
    pub async fn open(url: &str, tally_connections: u32) -> Result<Store> {
        Store::open_patiently(url, tally_connections, PATIENCE).await
    }

    /// The same with another limit for one transaction of counting on Postgres.
    pub async fn open_patiently(url: &str, tally_connections: u32, patience: Duration) -> Result<Store> {
        let runtime = Handle::current();
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => {
                stop_counting_bytes();
                let (path, write, read) = open_sqlite(url).await.map_err(Error::Internal)?;
                let pool = Pool::Sqlite { write: write.clone(), read };
                migrate::migrate(&pool).await?;
                let counter = Counter::Sqlite(Ledger::open(&path, write, SQLITE_BUSY_TIMEOUT).map_err(Error::Internal)?);
                Ok(Store { office: pool.clone(), count: pool.clone(), live: pool, counter, runtime, disk_failed: CancellationToken::new() })
            }
            Some("postgres" | "postgresql") => {
                let office = Pool::Postgres(open_postgres(url, "office", OFFICE_CONNECTIONS, None).await.map_err(Error::Internal)?);
                let count = open_postgres(url, "tally", tally_connections, Some(patience)).await.map_err(Error::Internal)?;
                let live = Pool::Postgres(open_postgres(url, "live", LIVE_CONNECTIONS, None).await.map_err(Error::Internal)?);
                migrate::migrate(&office).await?;
                let counter = Counter::Postgres(Desk::new(count.clone(), tally_connections.saturating_sub(1), patience));
                Ok(Store { office, count: Pool::Postgres(count), live, counter, runtime, disk_failed: CancellationToken::new() })
            }
            _ => Err(Error::Internal(anyhow!("DATABASE_URL must begin with sqlite:// or postgres://"))),
        }
    }

    /// Where an embedded database lies.
    pub fn sqlite_path(url: &str) -> Option<PathBuf> {
        let rest = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"))?;
        Some(PathBuf::from(rest.split('?').next().unwrap_or(rest)))
    }

    /// Waits for running statements and closes all connections.
    pub async fn close(&self) {
        if let (Counter::Postgres(desk), Pool::Postgres(db)) = (&self.counter, &self.count) {
            // Closed from here on, so that a worker that is just done gives its connection back; then it waits for all of them.
            let closing = db.close();
            desk.let_go();
            closing.await;
        }
        for pool in [&self.live, &self.count, &self.office] {
            match pool {
                Pool::Postgres(db) => db.close().await,
                Pool::Sqlite { write, read } => {
                    read.close().await;
                    write.close().await;
                }
            }
        }
        if let Counter::Sqlite(ledger) = &self.counter {
            ledger.close();
        }
    }
}

/// `patience` for connections that count: how long the server may take over one of their transactions.
async fn open_postgres(url: &str, purpose: &str, connections: u32, patience: Option<Duration>) -> anyhow::Result<PgPool> {
    let options = PgConnectOptions::from_str(url)
        .context("DATABASE_URL cannot be read")?
        .application_name(&format!("groundswell {purpose}"))
        .log_slow_statements(log::LevelFilter::Warn, Duration::from_secs(2));
    // Once outside the pool, which says only that it waited in vain, and not for what.
    options.connect().await.context("the database of DATABASE_URL does not answer")?.close().await?;
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                match patience {
                    Some(patience) => settle_session(connection, patience).await,
                    None => Ok(()),
                }
            })
        })
        .connect_with(options)
        .await
        .context("the database of DATABASE_URL does not answer")
}

/// Where it lies, the one writing connection, and the readers.
async fn open_sqlite(url: &str) -> anyhow::Result<(PathBuf, SqlitePool, SqlitePool)> {
    let path = Store::sqlite_path(url).context("DATABASE_URL cannot be read")?;
    if let Some(directory) = path.parent().filter(|d| *d != Path::new("")) {
        std::fs::create_dir_all(directory).with_context(|| format!("cannot make the directory {}", directory.display()))?;
    }
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // FULL: a commit is on the disk when it returns. WAL with NORMAL would lose the last ones in a power cut.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(SQLITE_BUSY_TIMEOUT)
        .statement_cache_capacity(100)
        .pragma("cache_size", format!("-{SQLITE_CACHE_KIB}"))
        .log_slow_statements(log::LevelFilter::Warn, Duration::from_secs(2));
    let write = SqlitePoolOptions::new()
        .max_connections(1)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(Duration::from_secs(10))
        // A file does not go away; the question would cost two changes of thread per commit.
        .test_before_acquire(false)
        .connect_with(options.clone())
        .await
        .with_context(|| format!("cannot open {}", path.display()))?;
    let (journal,): (String,) = sqlx::query_as("pragma journal_mode").fetch_one(&write).await?;
    let (synchronous,): (i64,) = sqlx::query_as("pragma synchronous").fetch_one(&write).await?;
    ensure!(journal == "wal" && synchronous == 2, "SQLite refused WAL with synchronous=FULL; votes would not be safe on this file system");
    let (version,): (String,) = sqlx::query_as("select sqlite_version()").fetch_one(&write).await?;
    ensure!(parse_version(&version) >= Some(SQLITE_VERSION_MIN), "SQLite {version} can lose committed votes; 3.51.3 or newer is needed");
    let read = SqlitePoolOptions::new()
        .max_connections(SQLITE_READERS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options.read_only(true).create_if_missing(false))
        .await?;
    Ok((path, write, read))
}

fn parse_version(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.split('.').map(|p| p.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

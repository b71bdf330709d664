//! Opening a database by its URL, with the settings that durability rests on set and read back.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use tokio::runtime::Handle;

use super::{Pool, Store, migrate};
use crate::error::{Error, Result};

/// How long a call waits for a free connection before it answers "busy".
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// Per process and purpose. Three pools of this size times the number of processes must fit `max_connections`.
const OFFICE_CONNECTIONS: u32 = 4;
const LIVE_CONNECTIONS: u32 = 4;
const SQLITE_READERS: u32 = 4;
/// Another program may look into the file (a backup, the sqlite3 shell); wait for it this long.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The WAL-reset bug before this version can lose committed pages.
const SQLITE_VERSION_MIN: (u32, u32, u32) = (3, 51, 3);

impl Store {
    /// Opens `sqlite://path` or `postgres://…` and brings it to the newest version. `tally_connections` is the number of workers.
    pub async fn open(url: &str, tally_connections: u32) -> Result<Store> {
        let (office, count, live) = match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("sqlite") => {
                let pool = open_sqlite(url).await.map_err(Error::Internal)?;
                (pool.clone(), pool.clone(), pool)
            }
            Some("postgres" | "postgresql") => {
                let office = open_postgres(url, "office", OFFICE_CONNECTIONS).await.map_err(Error::Internal)?;
                let count = open_postgres(url, "tally", tally_connections).await.map_err(Error::Internal)?;
                let live = open_postgres(url, "live", LIVE_CONNECTIONS).await.map_err(Error::Internal)?;
                (office, count, live)
            }
            _ => return Err(Error::Internal(anyhow!("DATABASE_URL must begin with sqlite:// or postgres://"))),
        };
        migrate::migrate(&office).await?;
        Ok(Store { office, count, live, runtime: Handle::current() })
    }

    /// Where an embedded database lies.
    pub fn sqlite_path(url: &str) -> Option<PathBuf> {
        let rest = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"))?;
        Some(PathBuf::from(rest.split('?').next().unwrap_or(rest)))
    }

    /// Waits for running statements and closes all connections.
    pub async fn close(&self) {
        for pool in [&self.live, &self.count, &self.office] {
            match pool {
                Pool::Postgres(db) => db.close().await,
                Pool::Sqlite { write, read } => {
                    read.close().await;
                    write.close().await;
                }
            }
        }
    }
}

async fn open_postgres(url: &str, purpose: &str, connections: u32) -> anyhow::Result<Pool> {
    let options = PgConnectOptions::from_str(url)
        .context("DATABASE_URL cannot be read")?
        .application_name(&format!("groundswell {purpose}"))
        .log_slow_statements(log::LevelFilter::Warn, Duration::from_secs(2));
    // Once outside the pool, which says only that it waited in vain, and not for what.
    options.connect().await.context("the database of DATABASE_URL does not answer")?.close().await?;
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options)
        .await
        .context("the database of DATABASE_URL does not answer")?;
    Ok(Pool::Postgres(pool))
}

async fn open_sqlite(url: &str) -> anyhow::Result<Pool> {
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
        .pragma("cache_size", "-65536")
        .log_slow_statements(log::LevelFilter::Warn, Duration::from_secs(2));
    let write = SqlitePoolOptions::new()
        .max_connections(1)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(Duration::from_secs(10))
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
    Ok(Pool::Sqlite { write, read })
}

fn parse_version(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.split('.').map(|p| p.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

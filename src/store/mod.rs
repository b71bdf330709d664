//! All SQL, and all of sqlx. Postgres and SQLite behind one contract; SQL is shared wherever both agree (`text`, `bigint`, `$1`,
//! `on conflict`, `returning`). No rules of voting, no JSON, no HTTP.
//!
//! Every call made for a request runs in an owned task on the main runtime: a request that is dropped half-way must not leave a
//! transaction open in a pooled connection.

mod account;
mod ballots;
mod count;
mod edit;
mod live;
mod logo;
mod migrate;
mod open;
mod read;
mod remove;
mod reports;

pub use account::{Account, Role};
pub use ballots::BallotRow;
pub use edit::{ChoiceEdit, EventDraft, EventEdit, PollDraft, PollEdit, Stamp};
pub use live::{Discrepancy, Forgetting, History, PollTally, Pulse, Recount, RecountedEvent, RoundTally, Standing};
pub use read::{EVENTS_LISTED_MAX, EventSummary, IndexEntry, Listed, Listing};
pub use remove::HiddenRehearsal;
pub use reports::{REPORTS_KEPT_MAX, ReportDraft, ReportFigures, ReportSummary};

use std::future::Future;

use sqlx::error::DatabaseError;
use sqlx::sqlite::SqliteError;
use sqlx::{PgPool, SqlitePool};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};

/// One database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    /// Back office, login, pages.
    office: Pool,
    /// The tally alone: a slow report must not take a connection from counting.
    count: Pool,
    /// What the tally writes through.
    counter: count::Counter,
    /// Live documents and phones that rejoin.
    live: Pool,
    runtime: Handle,
    /// Set by an edit that met it; what counting meets, its worker says.
    disk_failed: CancellationToken,
}

#[derive(Clone)]
pub(crate) enum Pool {
    Postgres(PgPool),
    Sqlite {
        /// One connection: SQLite has one writer, and two would only wait for each other.
        write: SqlitePool,
        read: SqlitePool,
    },
}

/// Runs the same body on whichever database there is; the body is compiled once for each.
macro_rules! reading {
    ($pool:expr, $db:ident => $body:expr) => {
        match $pool {
            $crate::store::Pool::Postgres($db) => $body,
            $crate::store::Pool::Sqlite { read: $db, .. } => $body,
        }
    };
}

macro_rules! writing {
    ($pool:expr, $db:ident => $body:expr) => {
        match $pool {
            $crate::store::Pool::Postgres($db) => $body,
            $crate::store::Pool::Sqlite { write: $db, .. } => $body,
        }
    };
}

pub(crate) use {reading, writing};

impl Store {
    async fn owned<T: Send + 'static>(&self, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let done = self.runtime.spawn(work).await.map_err(Error::internal)?;
        if matches!(done, Err(Error::Disk(_))) {
            self.disk_failed.cancel();
        }
        done
    }

    /// Returns when an embedded database could not be read, written or synced: what memory says of it may not be on the disk.
    pub async fn until_disk_fails(&self) {
        self.disk_failed.cancelled().await;
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Error {
        match error {
            sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::WorkerCrashed | sqlx::Error::PoolClosed => {
                tracing::warn!(%error, "the database is away");
                Error::Busy("the database is away")
            }
            sqlx::Error::Database(ref cause)
                if cause.try_downcast_ref::<SqliteError>().is_some_and(|e| e.code().is_some_and(|code| is_disk_failure(&code))) =>
            {
                Error::Disk(error.into())
            }
            other => Error::internal(other),
        }
    }
}

fn is_disk_failure(code: &str) -> bool {
    code.parse().is_ok_and(count::sqlite::is_disk_failure)
}

/// True when the error is a broken unique constraint: the caller knows what that means.
fn is_taken(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|e| e.is_unique_violation())
}

//! One sequence of migration files for both databases. A line that ends in `-- postgres` or `-- sqlite` is for that one alone.

use std::borrow::Cow;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr};

use super::Pool;
use crate::error::{Error, Result};

const FILES: [(i64, &str, &str); 8] = [
    (1, "spine", include_str!("../../migrations/0001_spine.sql")),
    (2, "rehearsal", include_str!("../../migrations/0002_rehearsal.sql")),
    (3, "heard", include_str!("../../migrations/0003_heard.sql")),
    (4, "look", include_str!("../../migrations/0004_look.sql")),
    (5, "lists", include_str!("../../migrations/0005_lists.sql")),
    (6, "vouched", include_str!("../../migrations/0006_vouched.sql")),
    (7, "stage_view", include_str!("../../migrations/0007_stage_view.sql")),
    (8, "earlier_round", include_str!("../../migrations/0008_earlier_round.sql")),
];

/// Brings the database to the newest version. Several processes may try at once: sqlx takes an advisory lock on Postgres, and
/// an embedded database has one process.
pub(super) async fn migrate(pool: &Pool) -> Result<()> {
    let (mine, other) = match pool {
        Pool::Postgres(_) => ("-- postgres", "-- sqlite"),
        Pool::Sqlite { .. } => ("-- sqlite", "-- postgres"),
    };
    let migrations = FILES.iter().map(|(version, name, sql)| {
        let sql = dialect(sql, mine, other);
        // Only our own files, embedded at build time.
        Migration::new(*version, Cow::Borrowed(*name), MigrationType::Simple, AssertSqlSafe(sql).into_sql_str(), false)
    });
    let migrator = Migrator::with_migrations(migrations.collect());
    match pool {
        Pool::Postgres(db) => migrator.run(db).await,
        Pool::Sqlite { write, .. } => migrator.run(write).await,
    }
    .map_err(Error::internal)
}

fn dialect(sql: &str, mine: &str, other: &str) -> String {
    let lines = sql.lines().map(str::trim_end).filter(|line| !line.ends_with(other));
    lines.map(|line| line.strip_suffix(mine).unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_marked_line_is_for_one_database_alone() {
        let sql = "a -- postgres\nb -- sqlite\nc -- why";
        assert_eq!(super::dialect(sql, "-- sqlite", "-- postgres"), "b \nc -- why");
    }
}

//! What rehearsals came to: the newest reports, apart from the events they are about, because a rehearsal is removed when it is over.
//! What stands in a report is nothing the store knows.

use super::read::event_unknown;
use super::{Stamp, Store, reading, writing};
use crate::domain::{EventId, Millis, ReportId};
use crate::error::{Error, Result};

/// Most reports that are kept, of all rehearsals together: weeks of trying, and 3 MiB at their largest. The oldest goes first.
pub const REPORTS_KEPT_MAX: i64 = 50;

/// A report on its way in.
#[derive(Clone, Debug)]
pub struct ReportDraft {
    pub id: ReportId,
    pub figures: ReportFigures,
    /// JSON.
    pub report: String,
}

/// What a list shows of a report.
#[derive(Clone, PartialEq, Eq, Debug, sqlx::FromRow)]
pub struct ReportFigures {
    /// The first tap.
    pub at: Millis,
    /// The version of the software.
    pub groundswell: String,
    pub verdict: String,
    pub fit: String,
    pub voters: i64,
    /// The time over which they tapped, and when the last of them was counted.
    pub over_ms: i64,
    pub counted_ms: i64,
    pub lost: i64,
}

#[derive(Clone, Debug, sqlx::FromRow)]
pub struct ReportSummary {
    pub id: i64,
    pub event: i64,
    /// Of the event, when the report was handed in.
    pub title: String,
    pub kept_at: Millis,
    #[sqlx(flatten)]
    pub figures: ReportFigures,
}

impl Store {
    /// Keeps the report of a rehearsal that is still there. One of the same run (event and first tap) takes the place of the one before
    /// it, and its id.
    pub async fn keep_report(&self, event: EventId, draft: ReportDraft, stamp: Stamp) -> Result<ReportId> {
        let pool = self.office.clone();
        self.owned(async move {
            let ReportDraft { id, figures, report } = draft;
            writing!(&pool, db => {
                let mut tx = db.begin().await?;
                let found: Option<(String, bool)> = sqlx::query_as("select title, rehearsal from event where id = $1 and deleted_at is null")
                    .bind(event.0).fetch_optional(&mut *tx).await?;
                let (title, is_rehearsal) = found.ok_or_else(event_unknown)?;
                if !is_rehearsal {
                    return Err(Error::conflict("not_rehearsal", "This event is no rehearsal, so there is no report of one to keep."));
                }
                let (kept,): (i64,) = sqlx::query_as(
                    "insert into rehearsal_report (id, event, title, at, kept_at, groundswell, verdict, fit, voters, over_ms, counted_ms, lost, report)
                     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
                     on conflict (event, at) do update set
                       title = excluded.title, kept_at = excluded.kept_at, groundswell = excluded.groundswell, verdict = excluded.verdict,
                       fit = excluded.fit, voters = excluded.voters, over_ms = excluded.over_ms, counted_ms = excluded.counted_ms,
                       lost = excluded.lost, report = excluded.report
                     returning id")
                    .bind(id.0).bind(event.0).bind(title).bind(figures.at).bind(stamp.at).bind(figures.groundswell).bind(&figures.verdict)
                    .bind(figures.fit).bind(figures.voters).bind(figures.over_ms).bind(figures.counted_ms).bind(figures.lost).bind(report)
                    .fetch_one(&mut *tx).await?;
                sqlx::query("delete from rehearsal_report where id not in (select id from rehearsal_report order by id desc limit $1)")
                    .bind(REPORTS_KEPT_MAX).execute(&mut *tx).await?;
                sqlx::query("insert into audit (id, at, actor, action, subject, detail) values ($1, $2, $3, 'rehearsal.report', $4, $5)")
                    .bind(stamp.audit_id).bind(stamp.at).bind(stamp.actor).bind(event.to_string()).bind(figures.verdict).execute(&mut *tx).await?;
                tx.commit().await?;
                Ok(ReportId(kept))
            })
        })
        .await
    }

    /// All that are kept, the last one first.
    pub async fn reports(&self) -> Result<Vec<ReportSummary>> {
        let pool = self.office.clone();
        self.owned(async move {
            Ok(reading!(&pool, db => sqlx::query_as(
                "select id, event, title, at, kept_at, groundswell, verdict, fit, voters, over_ms, counted_ms, lost
                 from rehearsal_report order by id desc limit $1")
                .bind(REPORTS_KEPT_MAX).fetch_all(db).await)?)
        })
        .await
    }

    /// The whole of one, as it was kept.
    pub async fn report(&self, id: ReportId) -> Result<String> {
        let pool = self.office.clone();
        self.owned(async move {
            let found: Option<(String,)> =
                reading!(&pool, db => sqlx::query_as("select report from rehearsal_report where id = $1").bind(id.0).fetch_optional(db).await)?;
            found.map(|(report,)| report).ok_or(Error::not_found("report_unknown", "This report is not kept any more: the newest 50 are."))
        })
        .await
    }
}

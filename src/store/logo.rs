//! Pictures of events. Their names are hashes of what they are, so a row never changes.

use super::edit::edit_event;
use super::read::{event_unknown, load_event};
use super::{Stamp, Store, reading, writing};
use crate::domain::{Event, EventId, LogoName};
use crate::error::Result;

impl Store {
    /// Sets the event's logo, or takes it away. A picture that no event uses any more goes.
    pub async fn set_logo(&self, event: EventId, logo: Option<(LogoName, Vec<u8>)>, stamp: Stamp) -> Result<Event> {
        let pool = self.office.clone();
        self.owned(async move {
            edit_event!(&pool, event, stamp, "event.logo", event.to_string(), |tx, before| {
                if let Some((name, bytes)) = &logo {
                    sqlx::query("insert into logo (name, bytes, created_at) values ($1, $2, $3) on conflict (name) do nothing")
                        .bind(name.as_str())
                        .bind(bytes)
                        .bind(stamp.at)
                        .execute(&mut *tx)
                        .await?;
                }
                let name = logo.as_ref().map(|(name, _)| name.as_str());
                sqlx::query("update event set logo = $2 where id = $1").bind(event.0).bind(name).execute(&mut *tx).await?;
                if let Some(old) = &before.logo {
                    sqlx::query("delete from logo where name = $1 and not exists (select 1 from event where logo = $1)")
                        .bind(old.as_str())
                        .execute(&mut *tx)
                        .await?;
                }
                format!("{} -> {}", before.logo.as_ref().map_or("none", LogoName::as_str), name.unwrap_or("none"))
            })
            .ok_or_else(event_unknown)
        })
        .await
    }

    pub async fn logo(&self, name: LogoName) -> Result<Option<Vec<u8>>> {
        let pool = self.live.clone();
        self.owned(async move {
            let found: Option<(Vec<u8>,)> =
                reading!(&pool, db => sqlx::query_as("select bytes from logo where name = $1").bind(name.as_str()).fetch_optional(db).await)?;
            Ok(found.map(|(bytes,)| bytes))
        })
        .await
    }
}

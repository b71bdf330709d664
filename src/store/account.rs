//! Accounts, sessions, and the few secrets every web process must share.

use super::edit::Stamp;
use super::{Store, is_taken, reading, writing};
use crate::domain::{AccountId, Email, Millis};
use crate::error::{Error, Result, reason};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    Owner,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Owner => "owner",
        }
    }

    fn parse(text: &str) -> Result<Role> {
        match text {
            "owner" => Ok(Role::Owner),
            other => Err(Error::internal(anyhow::anyhow!("unknown role {other}"))),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Account {
    pub id: AccountId,
    pub email: String,
    pub role: Role,
}

/// Expired sessions are swept when somebody signs in: rare, and right beside the table they are in.
const SWEEP: &str = "delete from session where expires_at <= $1";

impl Store {
    pub async fn has_account(&self) -> Result<bool> {
        let pool = self.office.clone();
        self.owned(async move {
            let (exists,): (bool,) = reading!(&pool, db => sqlx::query_as("select exists (select 1 from account)").fetch_one(db).await)?;
            Ok(exists)
        })
        .await
    }

    /// The first account of the house. Refused once there is one: two browsers may hold the setup link.
    pub async fn create_owner(&self, id: AccountId, email: Email, password_hash: String, now: Millis) -> Result<Account> {
        let pool = self.office.clone();
        self.owned(async move {
            let inserted = writing!(&pool, db => {
                let mut tx = db.begin().await?;
                // The edition row is the lock all edits share; without it two set-ups could both see an empty table.
                sqlx::query("update edition set number = number + 1 where id = 1").execute(&mut *tx).await?;
                let inserted = sqlx::query(
                    "insert into account (id, email, password_hash, role, created_at)
                     select $1, $2, $3, 'owner', $4 where not exists (select 1 from account)")
                    .bind(id.0).bind(email.as_str()).bind(&password_hash).bind(now)
                    .execute(&mut *tx).await?.rows_affected();
                tx.commit().await?;
                inserted
            });
            if inserted == 0 {
                return Err(Error::conflict("already_set_up", "There is an account already. Sign in instead."));
            }
            Ok(Account { id, email: email.as_str().to_owned(), role: Role::Owner })
        })
        .await
    }

    /// The account and its password hash, for a sign-in to check.
    pub async fn account_by_email(&self, email: Email) -> Result<Option<(Account, String)>> {
        let pool = self.office.clone();
        self.owned(async move {
            let row: Option<(i64, String, String, String)> = reading!(&pool, db => sqlx::query_as(
                "select id, email, role, password_hash from account where email = $1").bind(email.as_str()).fetch_optional(db).await)?;
            row.map(|(id, email, role, hash)| Ok((Account { id: AccountId(id), email, role: Role::parse(&role)? }, hash))).transpose()
        })
        .await
    }

    /// Signs out everybody who is signed in to this account, but for `keep`: who changes a password often does so because somebody else knows it.
    pub async fn set_password(&self, email: Email, password_hash: String, keep: Option<[u8; 32]>, stamp: Stamp) -> Result<()> {
        let pool = self.office.clone();
        self.owned(async move {
            writing!(&pool, db => {
                let mut tx = db.begin().await?;
                let account: Option<(i64,)> = sqlx::query_as("update account set password_hash = $2 where email = $1 returning id")
                    .bind(email.as_str()).bind(&password_hash).fetch_optional(&mut *tx).await?;
                let (account,) = account.ok_or_else(|| Error::not_found("account_unknown", "There is no account with this email address."))?;
                sqlx::query("delete from session where account = $1 and token_hash <> $2")
                    .bind(account).bind(keep.map(|hash| hash.to_vec()).unwrap_or_default()).execute(&mut *tx).await?;
                sqlx::query("insert into audit (id, at, actor, action, subject, detail) values ($1, $2, $3, 'account.password', $4, '')")
                    .bind(stamp.audit_id).bind(stamp.at).bind(&stamp.actor).bind(AccountId(account).to_string()).execute(&mut *tx).await?;
                tx.commit().await?;
            });
            Ok(())
        })
        .await
    }

    pub async fn create_session(&self, account: AccountId, token_hash: [u8; 32], now: Millis, expires_at: Millis) -> Result<()> {
        let pool = self.office.clone();
        self.owned(async move {
            writing!(&pool, db => {
                sqlx::query(SWEEP).bind(now).execute(db).await?;
                sqlx::query("insert into session (token_hash, account, created_at, expires_at) values ($1, $2, $3, $4)")
                    .bind(token_hash.to_vec()).bind(account.0).bind(now).bind(expires_at).execute(db).await?;
            });
            Ok(())
        })
        .await
    }

    pub async fn account_of_session(&self, token_hash: [u8; 32], now: Millis) -> Result<Account> {
        let pool = self.office.clone();
        self.owned(async move {
            let row: Option<(i64, String, String)> = reading!(&pool, db => sqlx::query_as(
                "select a.id, a.email, a.role from session s join account a on a.id = s.account
                 where s.token_hash = $1 and s.expires_at > $2").bind(token_hash.to_vec()).bind(now).fetch_optional(db).await)?;
            let (id, email, role) =
                row.ok_or(Error::Unauthorized(reason("not_signed_in", "You are not signed in, or your session has ended. Sign in again.")))?;
            Ok(Account { id: AccountId(id), email, role: Role::parse(&role)? })
        })
        .await
    }

    pub async fn delete_session(&self, token_hash: [u8; 32]) -> Result<()> {
        let pool = self.office.clone();
        self.owned(async move {
            writing!(&pool, db => { sqlx::query("delete from session where token_hash = $1").bind(token_hash.to_vec()).execute(db).await?; });
            Ok(())
        })
        .await
    }

    /// Which of these sessions are over, by sign-out or by time.
    pub async fn ended_sessions(&self, token_hashes: Vec<[u8; 32]>, now: Millis) -> Result<Vec<[u8; 32]>> {
        let pool = self.office.clone();
        self.owned(async move {
            let mut ended = Vec::new();
            // Presenters are few, and the key is the primary one.
            for hash in token_hashes {
                let alive: Option<(i64,)> = reading!(&pool, db => sqlx::query_as(
                    "select 1 from session where token_hash = $1 and expires_at > $2").bind(hash.to_vec()).bind(now).fetch_optional(db).await)?;
                if alive.is_none() {
                    ended.push(hash);
                }
            }
            Ok(ended)
        })
        .await
    }

    /// The secret of this name; `fresh` becomes it when there is none yet. Whoever comes first decides for all processes.
    pub async fn secret(&self, name: &'static str, fresh: Vec<u8>) -> Result<Vec<u8>> {
        let pool = self.office.clone();
        self.owned(async move {
            let (value,): (Vec<u8>,) = writing!(&pool, db => {
                let inserted = sqlx::query("insert into secret (name, value) values ($1, $2) on conflict (name) do nothing").bind(name).bind(fresh).execute(db).await;
                // Two processes at their first start: the loser reads what the winner wrote.
                if let Err(error) = inserted && !is_taken(&error) {
                    return Err(error.into());
                }
                sqlx::query_as("select value from secret where name = $1").bind(name).fetch_one(db).await
            })?;
            Ok(value)
        })
        .await
    }
}

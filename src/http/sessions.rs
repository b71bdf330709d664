//! Who may use the back office: a signed-in account, or the API token. A handler that takes an `Owner` cannot be reached without.

use std::future::Future;
use std::pin::Pin;

use actix_web::cookie::{Cookie, SameSite, time::Duration as CookieDuration};
use actix_web::dev::Payload;
use actix_web::http::header::{AUTHORIZATION, HOST, ORIGIN};
use actix_web::http::{Method, Uri};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Argon2, PasswordHash};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::guard::DeviceId;
use super::plain::token_of;
use super::site::{Site, SiteSettings, chance, secret_bytes};
use crate::clock::now_ms;
use crate::domain::{Email, EventId, Millis};
use crate::error::{Error, Result, reason};
use crate::store::{Account, Role, Stamp, Store};

const SESSION_MS: Millis = 30 * 24 * 3_600 * 1_000;
/// A year: people who run one show a season are known again.
const DEVICE_SECONDS: i64 = 365 * 24 * 3_600;
pub const PASSWORD_CHARS_MIN: usize = 12;
/// argon2 hashes any length; nobody types this much. In characters, for people are told it.
pub const PASSWORD_CHARS_MAX: usize = 1_024;

/// SHA-256 of a session's token: what the database knows of it.
pub type SessionHash = [u8; 32];

/// Somebody who may do everything in the back office.
pub struct Owner {
    /// As it stands in the audit log.
    pub name: String,
    pub account: Option<Account>,
    /// `None` for the API token, which has no end.
    pub session: Option<SessionHash>,
}

impl Owner {
    pub fn stamp(&self) -> Stamp {
        let at = now_ms();
        Stamp { actor: self.name.clone(), at, audit_id: EventId::compose(at, chance()).0 }
    }
}

impl FromRequest for Owner {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let site = request.app_data::<Data<Site>>().expect("every worker has a site").clone();
            if let Some(token) = bearer(&request) {
                let known = site.settings.api_token_hash.is_some_and(|hash| bool::from(hash.ct_eq(&sha256(token.as_bytes()))));
                return if known {
                    Ok(Owner { name: "api token".into(), account: None, session: None })
                } else {
                    Err(Error::Unauthorized(reason("token_invalid", "This API token is not known here.")))
                };
            }
            let token =
                session_token(&request, &site.settings).ok_or(Error::Unauthorized(reason("not_signed_in", "You are not signed in. Sign in and try again.")))?;
            if !matches!(*request.method(), Method::GET | Method::HEAD) {
                check_same_site(&request, true)?;
            }
            let session = sha256(token.as_bytes());
            let account = site.store.account_of_session(session, now_ms()).await?;
            match account.role {
                Role::Owner => Ok(Owner { name: account.email.clone(), account: Some(account), session: Some(session) }),
            }
        })
    }
}

pub fn bearer(request: &HttpRequest) -> Option<&str> {
    let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    token_of(value)
}

/// A cookie is sent by the browser whoever asks it to; so the browser must say that this site asked.
pub fn check_same_site(request: &HttpRequest, proof_needed: bool) -> Result<()> {
    let cross_site = || Error::Forbidden(reason("cross_site", "This request came from another site, so it was not carried out."));
    let header = |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok());
    match header("sec-fetch-site") {
        Some("same-origin" | "none") => return Ok(()),
        Some(_) => return Err(cross_site()),
        None => {}
    }
    match header(ORIGIN.as_str()) {
        Some(origin) => {
            let origin: Uri = origin.parse().map_err(|_| cross_site())?;
            let same = origin.authority().is_some_and(|a| Some(a.as_str()) == header(HOST.as_str()));
            if same { Ok(()) } else { Err(cross_site()) }
        }
        None if proof_needed => Err(cross_site()),
        None => Ok(()),
    }
}

fn cookie_name(settings: &SiteSettings) -> &'static str {
    // The prefix makes browsers insist on Secure and on this very host; over plain http on a laptop they would refuse it.
    if settings.is_https() { "__Host-groundswell" } else { "groundswell" }
}

fn session_token(request: &HttpRequest, settings: &SiteSettings) -> Option<String> {
    request.cookie(cookie_name(settings)).map(|c| c.value().to_owned())
}

/// Opens a session and returns its cookie.
pub async fn open(site: &Site, account: &Account) -> Result<Cookie<'static>> {
    let token = URL_SAFE_NO_PAD.encode(secret_bytes::<32>());
    let now = now_ms();
    site.store.create_session(account.id, sha256(token.as_bytes()), now, now + SESSION_MS).await?;
    Ok(cookie(&site.settings, token, SESSION_MS / 1_000))
}

/// Ends the session of this request, if it has one, and returns the cookie that removes it.
pub async fn close(site: &Site, request: &HttpRequest) -> Result<Cookie<'static>> {
    if let Some(token) = session_token(request, &site.settings) {
        check_same_site(request, true)?;
        let session = sha256(token.as_bytes());
        site.store.delete_session(session).await?;
        site.limits.end_session(&session);
    }
    Ok(cookie(&site.settings, String::new(), 0))
}

fn device_cookie_name(settings: &SiteSettings) -> &'static str {
    if settings.is_https() { "__Host-groundswell-device" } else { "groundswell-device" }
}

/// The browser this comes from, if this account has signed in with it before.
pub fn device_of(request: &HttpRequest, site: &Site, account: &Email) -> Option<DeviceId> {
    let cookie = request.cookie(device_cookie_name(&site.settings))?;
    let bytes = URL_SAFE_NO_PAD.decode(cookie.value()).ok()?;
    let (id, tag) = bytes.split_first_chunk::<16>()?;
    site.passes.signs_device(account, id, tag).then_some(*id)
}

/// Tells this browser that the account knows it. It proves nothing else: who has it still needs the password.
pub fn device_cookie(site: &Site, account: &Email, device: Option<DeviceId>) -> Cookie<'static> {
    let id = device.unwrap_or_else(secret_bytes::<16>);
    let text = URL_SAFE_NO_PAD.encode([id, site.passes.sign_device(account, &id)].concat());
    made_cookie(device_cookie_name(&site.settings), &site.settings, text, DEVICE_SECONDS)
}

fn cookie(settings: &SiteSettings, token: String, seconds: i64) -> Cookie<'static> {
    made_cookie(cookie_name(settings), settings, token, seconds)
}

fn made_cookie(name: &'static str, settings: &SiteSettings, value: String, seconds: i64) -> Cookie<'static> {
    Cookie::build(name, value)
        .path("/")
        .http_only(true)
        .secure(settings.is_https())
        .same_site(SameSite::Strict)
        .max_age(CookieDuration::seconds(seconds))
        .finish()
}

pub fn check_password(password: &str) -> Result<()> {
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Err(Error::invalid("password_short", "A password needs at least 12 characters. A few words in a row are easy to remember."));
    }
    if password.chars().count() > PASSWORD_CHARS_MAX {
        return Err(Error::invalid("password_long", "This password is too long: at most 1,024 characters."));
    }
    Ok(())
}

/// argon2id with 19 MiB and two passes, the crate's default and OWASP's floor. Takes a core for a while: few at once.
pub async fn hash_password(site: &Site, password: String) -> Result<String> {
    let _permit = site.guard.password_check().await?;
    tokio::task::spawn_blocking(move || hash_password_now(&password)).await.map_err(Error::internal)?
}

pub fn hash_password_now(password: &str) -> Result<String> {
    let hash = Argon2::default().hash_password(password.as_bytes()).map_err(|why| Error::internal(anyhow::anyhow!("argon2: {why}")))?;
    Ok(hash.to_string())
}

/// For who has the database in hand, and needs no password of before.
pub async fn set_password(store: &Store, email: Email, password: &str) -> Result<()> {
    check_password(password)?;
    let now = now_ms();
    let stamp = Stamp { actor: "command line".into(), at: now, audit_id: EventId::compose(now, chance()).0 };
    store.set_password(email, hash_password_now(password)?, None, stamp).await
}

/// Of nothing anybody can type.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$Z3JvdW5kc3dlbGwtbm9ib2R5$3T2wI9Nzv0mRzPpQ3nWwTq0O8gqJQY6v9f8Q2QGmV1k";

/// Does the password fit? Takes as long when there is no such account.
pub async fn verify_password(site: &Site, password: String, hash: Option<String>) -> Result<bool> {
    if password.chars().count() > PASSWORD_CHARS_MAX {
        return Ok(false);
    }
    let _permit = site.guard.password_check().await?;
    let known = hash.is_some();
    let verify = move || {
        let hash = hash.unwrap_or_else(|| NOBODY.to_owned());
        PasswordHash::new(&hash).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
    };
    Ok(tokio::task::spawn_blocking(verify).await.map_err(Error::internal)? && known)
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guess_is_dear_and_costs_the_same_where_there_is_no_account() {
        let hash = hash_password_now("correct horse battery").expect("any password can be hashed");
        let cost = |hash: &str| hash.split('$').take(4).collect::<Vec<_>>().join("$");
        assert_eq!(cost(&hash), "$argon2id$v=19$m=19456,t=2,p=1");
        assert_eq!(cost(NOBODY), cost(&hash));
        // One that cannot be read would be refused without being computed.
        let of_nobody = PasswordHash::new(NOBODY).expect("it can be read");
        let refused = Argon2::default().verify_password(b"correct horse battery", &of_nobody).expect_err("nobody's");
        let wrong = PasswordHash::new(&hash).expect("it can be read");
        let wrong = Argon2::default().verify_password(b"another", &wrong).expect_err("not this one's");
        assert_eq!(format!("{refused:?}"), format!("{wrong:?}"), "refused for what it is, not for how it is written");
    }
}

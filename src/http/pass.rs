//! Passes: a signed voter id. Verified without a database, by any web process that shares the key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

use crate::domain::{Email, EventId, Millis, VoterId};
use crate::error::{Error, Result, reason};

/// version, event, voter, level, issued (seconds), then the first 16 bytes of HMAC-SHA-256 over all before it.
const SIGNED_BYTES: usize = 1 + 8 + 16 + 1 + 4;
const MAC_BYTES: usize = 16;
const PASS_BYTES: usize = SIGNED_BYTES + MAC_BYTES;
const PASS_CHARS: usize = PASS_BYTES.div_ceil(3) * 4 - (3 - PASS_BYTES % 3) % 3;
const VERSION: u8 = 1;
/// An event's passes outlive the event; a lost phone's pass does not live for ever.
const LIFETIME_MS: Millis = 90 * 24 * 3_600 * 1_000;
/// Clocks of web processes may differ by this much.
const SKEW_MS: Millis = 60_000;

/// How sure it is that a voter is one person.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Anyone with the link.
    Open,
}

impl Level {
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Open => "open",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pass {
    pub event: EventId,
    pub voter: VoterId,
    pub level: Level,
}

/// The key all web processes share. A copy of it can invent voters; it is a secret.
#[derive(Clone)]
pub struct PassKey {
    /// Already keyed: a verification clones two SHA-256 states instead of deriving them.
    mac: Hmac<Sha256>,
}

impl std::fmt::Debug for PassKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PassKey(…)")
    }
}

impl PassKey {
    pub fn new(key: &[u8]) -> PassKey {
        PassKey { mac: Hmac::new_from_slice(key).expect("HMAC takes a key of any length") }
    }

    pub fn mint(&self, pass: Pass, now: Millis) -> String {
        let mut bytes = [0u8; PASS_BYTES];
        bytes[0] = VERSION;
        bytes[1..9].copy_from_slice(&pass.event.0.to_be_bytes());
        bytes[9..25].copy_from_slice(pass.voter.0.as_bytes());
        bytes[25] = 0;
        bytes[26..30].copy_from_slice(&((now / 1_000) as u32).to_be_bytes());
        let mut mac = self.mac.clone();
        mac.update(&bytes[..SIGNED_BYTES]);
        bytes[SIGNED_BYTES..].copy_from_slice(&mac.finalize().into_bytes()[..MAC_BYTES]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Under which a browser is known to an account. No pass begins as this does.
    pub fn sign_device(&self, account: &Email, id: &[u8; 16]) -> [u8; MAC_BYTES] {
        let tag = self.device_mac(account, id).finalize().into_bytes();
        tag[..MAC_BYTES].try_into().expect("SHA-256 has 32 bytes")
    }

    pub fn signs_device(&self, account: &Email, id: &[u8; 16], tag: &[u8]) -> bool {
        tag.len() == MAC_BYTES && self.device_mac(account, id).verify_truncated_left(tag).is_ok()
    }

    fn device_mac(&self, account: &Email, id: &[u8; 16]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(b"device");
        mac.update(id);
        mac.update(account.as_str().as_bytes());
        mac
    }

    /// A pass of anyone with the link.
    pub fn mint_open(&self, event: EventId, voter: Uuid, now: Millis) -> String {
        self.mint(Pass { event, voter: VoterId(voter), level: Level::Open }, now)
    }

    pub fn verify(&self, text: &str, now: Millis) -> Result<Pass> {
        let invalid = || Error::Unauthorized(reason("pass_invalid", "This pass is not valid here. Join again with the code."));
        if text.len() != PASS_CHARS {
            return Err(invalid());
        }
        // On the stack: this runs for every vote.
        let mut bytes = [0u8; PASS_BYTES];
        let written = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).map_err(|_| invalid())?;
        if written != PASS_BYTES || bytes[0] != VERSION || bytes[25] != 0 {
            return Err(invalid());
        }
        let mut mac = self.mac.clone();
        mac.update(&bytes[..SIGNED_BYTES]);
        mac.verify_truncated_left(&bytes[SIGNED_BYTES..]).map_err(|_| invalid())?;
        let issued = i64::from(u32::from_be_bytes(bytes[26..30].try_into().expect("four bytes"))) * 1_000;
        if issued > now + SKEW_MS || now - issued > LIFETIME_MS {
            return Err(Error::Unauthorized(reason("pass_expired", "This pass has expired. Join again with the code.")));
        }
        Ok(Pass {
            event: EventId(i64::from_be_bytes(bytes[1..9].try_into().expect("eight bytes"))),
            voter: VoterId(Uuid::from_slice(&bytes[9..25]).expect("sixteen bytes")),
            level: Level::Open,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_764_000_000_000;

    fn pass() -> Pass {
        Pass { event: EventId(7), voter: VoterId(Uuid::from_u128(9)), level: Level::Open }
    }

    #[test]
    fn a_pass_proves_its_event_and_voter() {
        let key = PassKey::new(b"k");
        let text = key.mint(pass(), NOW);
        assert_eq!(text.len(), PASS_CHARS);
        assert_eq!(key.verify(&text, NOW + 1).unwrap(), pass());
    }

    #[test]
    fn forged_truncated_and_foreign_passes_are_refused() {
        let key = PassKey::new(b"k");
        let text = key.mint(pass(), NOW);
        for at in 0..text.len() {
            let mut forged = text.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            assert!(key.verify(std::str::from_utf8(&forged).unwrap(), NOW).is_err(), "byte {at}");
        }
        for bad in ["", &text[1..], &text[..text.len() - 1], &format!("{text}A"), &"A".repeat(8_192), "é"] {
            assert!(key.verify(bad, NOW).is_err());
        }
        assert!(PassKey::new(b"other").verify(&text, NOW).is_err());
    }

    #[test]
    fn a_browser_is_known_to_the_account_that_signed_in_with_it_and_to_no_other() {
        let (key, [ada, eve]) = (PassKey::new(b"k"), ["ada@example.org", "eve@example.org"].map(|email| Email::parse(email).unwrap()));
        let tag = key.sign_device(&ada, &[7; 16]);
        assert!(key.signs_device(&ada, &[7; 16], &tag));
        assert!(!key.signs_device(&eve, &[7; 16], &tag) && !key.signs_device(&ada, &[8; 16], &tag) && !PassKey::new(b"l").signs_device(&ada, &[7; 16], &tag));
        assert!(!key.signs_device(&ada, &[7; 16], &tag[..15]) && !key.signs_device(&ada, &[7; 16], b""));
    }

    #[test]
    fn a_pass_expires_and_none_is_from_the_future() {
        let key = PassKey::new(b"k");
        let text = key.mint(pass(), NOW);
        assert!(key.verify(&text, NOW + LIFETIME_MS - 1_000).is_ok());
        assert!(key.verify(&text, NOW + LIFETIME_MS + 2_000).is_err());
        assert!(key.verify(&text, NOW - SKEW_MS - 2_000).is_err());
    }
}

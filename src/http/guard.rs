//! Against those who try too often: rate limiters bounded in memory, and the few password checks that may run at once.
//! Never keyed by address alone where honest people share one.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::DefaultClock;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use tokio::sync::Semaphore;

use super::limits::household;
use crate::domain::Email;
use crate::error::{Error, Result};

type Keyed<K> = RateLimiter<K, DefaultKeyedStateStore<K>, DefaultClock>;

/// Addresses count by household.
pub struct Guard {
    wrong_codes: Keyed<IpAddr>,
    sign_ins_by_address: Keyed<IpAddr>,
    sign_ins_by_account: Keyed<Email>,
    /// argon2 takes a core and 19 MiB each time.
    pub password_checks: Semaphore,
    /// Reads of single ballots: for phones that rejoin, or send again after the close.
    pub ballot_reads: Semaphore,
}

const WRONG_CODES_PER_MINUTE: NonZeroU32 = NonZeroU32::new(60).expect("not zero");
const SIGN_INS_PER_MINUTE_AND_ADDRESS: NonZeroU32 = NonZeroU32::new(20).expect("not zero");
const SIGN_INS_PER_MINUTE_AND_ACCOUNT: NonZeroU32 = NonZeroU32::new(10).expect("not zero");
const PASSWORD_CHECKS_AT_ONCE: usize = 2;
const BALLOT_READS_AT_ONCE: usize = 64;
/// Idle keys are dropped this often; between, an attacker's keys are at most requests per minute times 100 bytes.
pub const SWEEP_EVERY: Duration = Duration::from_secs(60);

impl Default for Guard {
    fn default() -> Guard {
        Guard {
            wrong_codes: RateLimiter::keyed(Quota::per_minute(WRONG_CODES_PER_MINUTE)),
            sign_ins_by_address: RateLimiter::keyed(Quota::per_minute(SIGN_INS_PER_MINUTE_AND_ADDRESS)),
            sign_ins_by_account: RateLimiter::keyed(Quota::per_minute(SIGN_INS_PER_MINUTE_AND_ACCOUNT)),
            password_checks: Semaphore::new(PASSWORD_CHECKS_AT_ONCE),
            ballot_reads: Semaphore::new(BALLOT_READS_AT_ONCE),
        }
    }
}

impl Guard {
    /// Counts a wrong code. Right ones are never limited: a hall full of people shares one address.
    pub fn wrong_code(&self, client: IpAddr) -> Result<()> {
        self.wrong_codes.check_key(&household(client)).map_err(|_| Error::TooMany)
    }

    pub fn sign_in(&self, client: IpAddr, account: Option<&Email>) -> Result<()> {
        self.sign_ins_by_address.check_key(&household(client)).map_err(|_| Error::TooMany)?;
        account.map_or(Ok(()), |email| self.sign_ins_by_account.check_key(email).map_err(|_| Error::TooMany))
    }

    pub fn sweep(&self) {
        self.wrong_codes.retain_recent();
        self.wrong_codes.shrink_to_fit();
        self.sign_ins_by_address.retain_recent();
        self.sign_ins_by_address.shrink_to_fit();
        self.sign_ins_by_account.retain_recent();
        self.sign_ins_by_account.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_household_has_one_number_of_tries_however_many_addresses_it_has() {
        let guard = Guard::default();
        let at = |household: u16, address: u64| {
            IpAddr::from(std::net::Ipv6Addr::from((0x2001_0db8_u128 << 96) | (u128::from(household) << 64) | u128::from(address)))
        };
        let tries = |of: &dyn Fn(u64) -> Result<()>| (1..=1_000).take_while(|n| of(*n).is_ok()).count();
        // The quota comes back while we count.
        assert!((60..70).contains(&tries(&|n| guard.wrong_code(at(1, n)))));
        assert!((20..30).contains(&tries(&|n| guard.sign_in(at(1, n), None))));
        assert!(guard.wrong_code(at(2, 1)).is_ok() && guard.sign_in(at(2, 1), None).is_ok(), "the neighbours have their own");
        let v4 = |n: u64| IpAddr::from([192, 0, 2, n as u8]);
        assert_eq!((1..=100).filter(|n| guard.wrong_code(v4(*n)).is_err()).count(), 0, "of IPv4, an address is one household");
    }
}

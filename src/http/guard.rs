//! Against those who try too often: rate limiters bounded in memory, and the few password checks that may run at once.
//! Never keyed by address alone where honest people share one.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::DefaultClock;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::limits::household;
use crate::domain::Email;
use crate::error::{Error, Result};

/// Addresses count by household.
pub struct Guard {
    wrong_codes: Bounded<IpAddr>,
    sign_ins_by_address: Bounded<IpAddr>,
    sign_ins_by_account_and_address: Bounded<(Email, IpAddr)>,
    sign_ins_by_account: Bounded<Email>,
    sign_ins_by_device: Bounded<DeviceId>,
    /// argon2 takes a core and 19 MiB each time.
    password_checks: Semaphore,
    /// Reads of single ballots: for phones that rejoin, or send again after the close.
    pub ballot_reads: Semaphore,
}

/// A browser in which an account has signed in before.
pub type DeviceId = [u8; 16];

const WRONG_CODES_PER_MINUTE: NonZeroU32 = NonZeroU32::new(60).expect("not zero");
const SIGN_INS_PER_MINUTE_AND_ADDRESS: NonZeroU32 = NonZeroU32::new(20).expect("not zero");
const SIGN_INS_PER_MINUTE_ACCOUNT_AND_ADDRESS: NonZeroU32 = NonZeroU32::new(10).expect("not zero");
/// From all addresses together, by browsers that do not know the account: 86,000 guesses a day find no password of 12 characters.
const SIGN_INS_PER_MINUTE_AND_ACCOUNT: NonZeroU32 = NonZeroU32::new(60).expect("not zero");
const SIGN_INS_PER_MINUTE_AND_DEVICE: NonZeroU32 = NonZeroU32::new(10).expect("not zero");
const PASSWORD_CHECKS_AT_ONCE: usize = 2;
/// Who does not get a turn by then is told to come again.
const PASSWORD_CHECK_WITHIN: Duration = Duration::from_secs(3);
const BALLOT_READS_AT_ONCE: usize = 64;
/// Idle keys are dropped this often.
pub const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Keys of one limiter between two sweeps, some 10 MB. A botnet has more addresses; those beyond share what ten have.
const KEYS_MAX: usize = 100_000;
const BEYOND: NonZeroU32 = NonZeroU32::new(10).expect("not zero");

impl Default for Guard {
    fn default() -> Guard {
        Guard {
            wrong_codes: Bounded::per_minute(WRONG_CODES_PER_MINUTE, KEYS_MAX),
            sign_ins_by_address: Bounded::per_minute(SIGN_INS_PER_MINUTE_AND_ADDRESS, KEYS_MAX),
            sign_ins_by_account_and_address: Bounded::per_minute(SIGN_INS_PER_MINUTE_ACCOUNT_AND_ADDRESS, KEYS_MAX),
            sign_ins_by_account: Bounded::per_minute(SIGN_INS_PER_MINUTE_AND_ACCOUNT, KEYS_MAX),
            sign_ins_by_device: Bounded::per_minute(SIGN_INS_PER_MINUTE_AND_DEVICE, KEYS_MAX),
            password_checks: Semaphore::new(PASSWORD_CHECKS_AT_ONCE),
            ballot_reads: Semaphore::new(BALLOT_READS_AT_ONCE),
        }
    }
}

impl Guard {
    /// Counts a wrong code. Right ones are never limited: a hall full of people shares one address.
    pub fn wrong_code(&self, client: IpAddr) -> Result<()> {
        self.wrong_codes.check(household(client))
    }

    /// Somebody tries the setup link.
    pub fn set_up(&self, client: IpAddr) -> Result<()> {
        self.sign_ins_by_address.check(household(client))
    }

    /// Somebody tries to sign in. A browser that has done so before has tries of its own: whoever knows the e-mail address, from wherever they
    /// guess, the same hall included, cannot use them up. (OWASP calls that a device cookie.)
    pub fn sign_in(&self, client: IpAddr, account: &Email, device: Option<DeviceId>) -> Result<()> {
        if let Some(device) = device {
            return self.sign_ins_by_device.check(device);
        }
        let client = household(client);
        self.sign_ins_by_address.check(client)?;
        self.sign_ins_by_account_and_address.check((account.clone(), client))?;
        self.sign_ins_by_account.check(account.clone())
    }

    /// One of the few turns there are.
    pub async fn password_check(&self) -> Result<SemaphorePermit<'_>> {
        let turn = tokio::time::timeout(PASSWORD_CHECK_WITHIN, self.password_checks.acquire());
        turn.await.map_err(|_| Error::Busy("many sign in"))?.map_err(Error::internal)
    }

    pub fn sweep(&self) {
        self.wrong_codes.sweep();
        self.sign_ins_by_address.sweep();
        self.sign_ins_by_account_and_address.sweep();
        self.sign_ins_by_account.sweep();
        self.sign_ins_by_device.sweep();
    }
}

/// Tries per key, for so many keys; governor's own store grows with whoever comes.
struct Bounded<K: Hash + Eq + Clone> {
    each: RateLimiter<K, DefaultKeyedStateStore<K>, DefaultClock>,
    beyond: DefaultDirectRateLimiter,
    keys_max: usize,
}

impl<K: Hash + Eq + Clone> Bounded<K> {
    fn per_minute(tries: NonZeroU32, keys_max: usize) -> Bounded<K> {
        let beyond = RateLimiter::direct(Quota::per_minute(tries.saturating_mul(BEYOND)));
        Bounded { each: RateLimiter::keyed(Quota::per_minute(tries)), beyond, keys_max }
    }

    fn check(&self, key: K) -> Result<()> {
        let held = if self.each.len() < self.keys_max { self.each.check_key(&key).is_ok() } else { self.beyond.check().is_ok() };
        if held { Ok(()) } else { Err(Error::TooMany) }
    }

    fn sweep(&self) {
        self.each.retain_recent();
        self.each.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v6(household: u16, address: u64) -> IpAddr {
        IpAddr::from(std::net::Ipv6Addr::from((0x2001_0db8_u128 << 96) | (u128::from(household) << 64) | u128::from(address)))
    }

    fn tries(of: impl Fn(u64) -> Result<()>) -> usize {
        (1..=1_000).take_while(|n| of(*n).is_ok()).count()
    }

    #[test]
    fn a_household_has_one_number_of_tries_however_many_addresses_it_has() {
        let guard = Guard::default();
        // The quota comes back while we count.
        assert!((60..70).contains(&tries(|n| guard.wrong_code(v6(1, n)))));
        assert!((20..30).contains(&tries(|n| guard.set_up(v6(1, n)))));
        assert!(guard.wrong_code(v6(2, 1)).is_ok() && guard.set_up(v6(2, 1)).is_ok(), "the neighbours have their own");
        let v4 = |n: u64| IpAddr::from([192, 0, 2, n as u8]);
        assert_eq!((1..=100).filter(|n| guard.wrong_code(v4(*n)).is_err()).count(), 0, "of IPv4, an address is one household");
    }

    #[test]
    fn who_knows_the_address_of_an_account_cannot_lock_its_owner_out() {
        let guard = Guard::default();
        let ada = Email::parse("ada@example.org").unwrap();
        let guesses = tries(|_| guard.sign_in(v6(1, 1), &ada, None));
        assert!((10..15).contains(&guesses), "{guesses}");
        assert!(guard.sign_in(v6(2, 1), &ada, None).is_ok(), "from elsewhere, even with a new browser");
        let many = tries(|n| guard.sign_in(v6(100 + n as u16, 1), &ada, None));
        assert!((40..60).contains(&many), "but not from everywhere without end: {many}");
        assert!(guard.sign_in(v6(1, 1), &ada, Some([7; 16])).is_ok(), "her own browser, from the guesser's very address");
        assert!((9..15).contains(&tries(|_| guard.sign_in(v6(1, 1), &ada, Some([7; 16])))), "and that has a limit too");
    }

    #[test]
    fn what_is_remembered_of_strangers_is_bounded() {
        let limiter = Bounded::per_minute(NonZeroU32::new(2).unwrap(), 5);
        let passed = (0..1_000u32).filter(|key| limiter.check(*key).is_ok()).count();
        assert_eq!(limiter.each.len(), 5);
        assert!((25..30).contains(&passed), "five of their own, and twenty for all the others: {passed}");
    }
}

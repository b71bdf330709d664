//! How many connections and viewers one process takes. Each is a file; what the operating system grants is shared out at the start, so that
//! viewers leave room for votes, and both for the database.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use super::sessions::SessionHash;
use crate::clock::now_ms;
use crate::error::{Error, Result};
use crate::store::Store;

/// Files for database, broker, spilled votes, metrics and the rest that is no connection of the public.
const FILES_RESERVED: usize = 200;
/// Connections that no viewer gets: votes come over them.
const VOTES_RESERVED: usize = 236;
/// Streams of presenters beyond those of the audience: a crowd of viewers cannot push the presenter out.
const PRESENTERS_RESERVED: usize = 64;
/// Without a word from the operator. A connection costs the kernel 4 KiB and more; some systems grant a thousand million files.
const CONNECTIONS_DEFAULT_MAX: usize = 250_000;
/// Fewer viewers than this are worth a word at the start.
const VIEWERS_COMFORTABLE: usize = 10_000;
/// How often it is looked whether presenters are still signed in.
pub const SESSIONS_EVERY: Duration = Duration::from_secs(1);

/// What the operator set.
#[derive(Clone, Copy, Default, Debug)]
pub struct Wanted {
    pub connections_max: Option<usize>,
    pub viewers_max: Option<usize>,
    pub viewers_per_address_max: Option<usize>,
}

/// The process's share of everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// Open files the operating system grants.
    pub files: usize,
    /// Open connections, viewers among them.
    pub connections_max: usize,
    pub viewers_max: usize,
    viewers_per_address_max: usize,
    /// This very machine is a proxy that nobody told us of, or a test: it is limited only where the operator says so.
    loopback_is_limited: bool,
}

impl Budget {
    /// From the limit that holds for this process now.
    pub fn of_this_process(wanted: Wanted) -> Result<Budget, String> {
        let (soft, _) = rlimit::Resource::NOFILE.get().map_err(|why| format!("the limit of open files cannot be read: {why}"))?;
        Budget::of(usize::try_from(soft).unwrap_or(usize::MAX), wanted)
    }

    fn of(files: usize, wanted: Wanted) -> Result<Budget, String> {
        // Of very few files, a quarter.
        let granted = files - FILES_RESERVED.min(files / 4);
        let connections_max = wanted.connections_max.unwrap_or(granted.min(CONNECTIONS_DEFAULT_MAX));
        if connections_max > granted {
            return Err(format!("CONNECTIONS_MAX: {files} files may be open, which is room for {granted} connections. {HOW_TO_RAISE}"));
        }
        let room = connections_max - (VOTES_RESERVED + PRESENTERS_RESERVED).min(connections_max / 3);
        let viewers_max = wanted.viewers_max.unwrap_or(room);
        if viewers_max > room {
            return Err(format!(
                "VIEWERS_MAX: of {connections_max} connections, {room} may be viewers, so that votes get through ({files} files may be open). {HOW_TO_RAISE}"
            ));
        }
        // One address may be a whole hall; it is not the whole audience.
        let viewers_per_address_max = wanted.viewers_per_address_max.unwrap_or(viewers_max.div_ceil(2));
        Ok(Budget { files, connections_max, viewers_max, viewers_per_address_max, loopback_is_limited: wanted.viewers_per_address_max.is_some() })
    }

    /// What an operator should know before the show.
    pub fn warning(&self) -> Option<String> {
        // A limit of the operator's own is no surprise.
        let by_files = self.connections_max == self.files - FILES_RESERVED.min(self.files / 4);
        (by_files && self.viewers_max < VIEWERS_COMFORTABLE).then(|| {
            format!(
                "only {} files may be open: this process has room for {} viewers and {} other connections at once. {HOW_TO_RAISE}",
                self.files,
                self.viewers_max,
                self.connections_max - self.viewers_max
            )
        })
    }
}

const HOW_TO_RAISE: &str =
    "To raise that: `ulimit -n 65536` before the start, LimitNOFILE=65536 in a systemd unit, or --ulimit nofile=65536:65536 for a container.";

const REFUSED: &str = "groundswell_viewers_refused_total";
const CONNECTIONS_REFUSED: &str = "groundswell_connections_refused_total";
const FULL: &str = "full";
const ADDRESS: &str = "address";

/// Who is here now.
pub struct Limits {
    budget: Budget,
    connections: AtomicUsize,
    viewers: Mutex<Viewers>,
    sessions: Mutex<HashMap<SessionHash, Weak<()>>>,
}

#[derive(Default)]
struct Viewers {
    audience: usize,
    presenters: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One open connection. Its place is free again when dropped.
pub struct Connection(Arc<Limits>);

/// One viewer. The place is free again when dropped.
pub struct Place {
    limits: Arc<Limits>,
    whose: Whose,
}

enum Whose {
    /// Counted under this address, if it is limited.
    Audience(Option<IpAddr>),
    /// Ends with the session.
    Presenter(Option<Session>),
}

/// Somebody signed in, held by each of their streams. Signed out when the list of sessions no longer leads here.
struct Session {
    hash: SessionHash,
    alive: Arc<()>,
}

impl Limits {
    pub fn new(budget: Budget) -> Arc<Limits> {
        // Known to the metrics from the start, not only when it has happened.
        Viewers::default().show();
        for why in [FULL, ADDRESS] {
            metrics::counter!(REFUSED, "why" => why).increment(0);
        }
        metrics::counter!(CONNECTIONS_REFUSED).increment(0);
        metrics::counter!("groundswell_wrong_codes_total").increment(0);
        Arc::new(Limits { budget, connections: AtomicUsize::new(0), viewers: Mutex::default(), sessions: Mutex::default() })
    }

    /// `None` when no more fit.
    pub fn connection(self: &Arc<Limits>) -> Option<Connection> {
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        let place = Connection(self.clone());
        if before >= self.budget.connections_max {
            metrics::counter!(CONNECTIONS_REFUSED).increment(1);
            return None;
        }
        Some(place)
    }

    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Of the last quarter of all connections, none is kept for what its client may ask later: idle ones hold no places that others need.
    pub fn places_are_few(&self) -> bool {
        self.connections() > self.budget.connections_max - self.budget.connections_max / 4
    }

    /// A place for somebody of the audience.
    pub fn audience(self: &Arc<Limits>, client: IpAddr) -> Result<Place> {
        let address = (self.budget.loopback_is_limited || !client.is_loopback()).then(|| household(client));
        let mut viewers = self.viewers.lock().expect("never poisoned");
        // The connection is there already; those that votes come over are not to be had.
        if viewers.of_the_audience() >= self.budget.viewers_max || self.connections() > self.budget.connections_max.saturating_sub(self.budget.reserved()) {
            return Err(refused(FULL));
        }
        if let Some(address) = address {
            let here = viewers.by_address.get(&address).copied().unwrap_or(0);
            if here >= self.budget.viewers_per_address_max {
                return Err(refused(ADDRESS));
            }
            viewers.by_address.insert(address, here + 1);
        }
        viewers.audience += 1;
        viewers.show();
        Ok(Place { limits: self.clone(), whose: Whose::Audience(address) })
    }

    /// A place for a presenter: one of those that are theirs alone, or like anybody's. With a session, it ends when that does.
    pub fn presenter(self: &Arc<Limits>, session: Option<SessionHash>) -> Result<Place> {
        let mut viewers = self.viewers.lock().expect("never poisoned");
        if viewers.presenters >= PRESENTERS_RESERVED && viewers.of_the_audience() >= self.budget.viewers_max {
            return Err(refused(FULL));
        }
        viewers.presenters += 1;
        viewers.show();
        drop(viewers);
        let session = session.map(|hash| Session { hash, alive: self.alive(hash) });
        Ok(Place { limits: self.clone(), whose: Whose::Presenter(session) })
    }

    /// Of presenters and audience together.
    pub fn viewers(&self) -> usize {
        let viewers = self.viewers.lock().expect("never poisoned");
        viewers.audience + viewers.presenters
    }

    fn alive(&self, hash: SessionHash) -> Arc<()> {
        let mut sessions = self.sessions.lock().expect("never poisoned");
        if let Some(alive) = sessions.get(&hash).and_then(Weak::upgrade) {
            return alive;
        }
        let alive = Arc::new(());
        sessions.insert(hash, Arc::downgrade(&alive));
        alive
    }

    /// The session has ended: so do its streams, at their next look.
    pub fn end_session(&self, hash: &SessionHash) {
        self.sessions.lock().expect("never poisoned").remove(hash);
    }

    /// Ends the streams of sessions that were ended elsewhere, or by time. A database that is away ends nothing.
    pub async fn end_old_sessions(&self, store: &Store) {
        let watched: Vec<SessionHash> = {
            let mut sessions = self.sessions.lock().expect("never poisoned");
            sessions.retain(|_, alive| alive.strong_count() > 0);
            sessions.keys().copied().collect()
        };
        if watched.is_empty() {
            return;
        }
        match store.ended_sessions(watched, now_ms()).await {
            Ok(ended) => ended.iter().for_each(|hash| self.end_session(hash)),
            Err(error) => tracing::debug!(%error, "it could not be looked whether presenters are still signed in"),
        }
    }

    /// Waits until the last viewer is gone, for so long.
    pub async fn viewers_gone(&self, patience: Duration) {
        const LOOK_EVERY: Duration = Duration::from_millis(5);
        let empty = async {
            while self.viewers() > 0 {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let _ = tokio::time::timeout(patience, empty).await;
    }
}

impl Budget {
    fn reserved(&self) -> usize {
        VOTES_RESERVED.min(self.connections_max / 4)
    }
}

impl Viewers {
    /// All but those who sit on presenters' own places.
    fn of_the_audience(&self) -> usize {
        self.audience + self.presenters.saturating_sub(PRESENTERS_RESERVED)
    }

    fn show(&self) {
        metrics::gauge!("groundswell_viewers", "kind" => "audience").set(self.audience as f64);
        metrics::gauge!("groundswell_viewers", "kind" => "presenter").set(self.presenters as f64);
    }
}

impl Place {
    /// May it go on? Presenters who have signed out may not.
    pub fn holds(&self) -> bool {
        match &self.whose {
            Whose::Presenter(Some(session)) => {
                let sessions = self.limits.sessions.lock().expect("never poisoned");
                sessions.get(&session.hash).is_some_and(|held| std::ptr::eq(held.as_ptr(), Arc::as_ptr(&session.alive)))
            }
            _ => true,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut viewers = self.limits.viewers.lock().expect("never poisoned");
        match &self.whose {
            Whose::Presenter(_) => viewers.presenters -= 1,
            Whose::Audience(address) => {
                viewers.audience -= 1;
                if let Some(address) = address
                    && let Some(here) = viewers.by_address.get_mut(address)
                {
                    *here -= 1;
                    if *here == 0 {
                        viewers.by_address.remove(address);
                    }
                }
            }
        }
        viewers.show();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

fn refused(why: &'static str) -> Error {
    metrics::counter!(REFUSED, "why" => why).increment(1);
    Error::Busy("as many watch already as may at once")
}

/// A household has 2^64 addresses of IPv6, or one of IPv4.
pub fn household(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(files: usize) -> Budget {
        Budget::of(files, Wanted::default()).unwrap()
    }

    #[test]
    fn viewers_leave_room_for_votes_and_both_for_the_database() {
        let here = budget(20_000);
        assert_eq!((here.connections_max, here.viewers_max), (19_800, 19_500));
        assert_eq!(here.warning(), None);
        for files in [0, 1, 16, 64, 256, 1_024, 4_096, 65_536, usize::MAX] {
            let Budget { connections_max, viewers_max, viewers_per_address_max, .. } = budget(files);
            assert!(connections_max <= files && viewers_max <= connections_max && viewers_per_address_max <= viewers_max, "{files}");
            assert!(files < 16 || (connections_max < files && viewers_max < connections_max && viewers_max > 0), "{files}");
        }
    }

    #[test]
    fn few_files_are_named_with_what_they_are_good_for_and_how_to_raise_them() {
        let sentence = budget(1_024).warning().expect("few");
        for word in ["1024 files", "550 viewers", "274 other connections", "ulimit -n", "LimitNOFILE", "nofile"] {
            assert!(sentence.contains(word), "{word}: {sentence}");
        }
        let chosen = Wanted { connections_max: Some(500), ..Wanted::default() };
        assert_eq!(Budget::of(20_000, chosen).unwrap().warning(), None, "the operator wanted it so");
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let refused = |wanted: Wanted| Budget::of(1_024, wanted).unwrap_err();
        let sentence = refused(Wanted { connections_max: Some(1_000), ..Wanted::default() });
        assert!(sentence.contains("CONNECTIONS_MAX") && sentence.contains("824"), "{sentence}");
        let sentence = refused(Wanted { viewers_max: Some(600), ..Wanted::default() });
        assert!(sentence.contains("VIEWERS_MAX") && sentence.contains("550"), "{sentence}");
    }

    #[test]
    fn one_address_does_not_take_all_places_and_presenters_have_their_own() {
        let wanted = Wanted { viewers_max: Some(4), viewers_per_address_max: Some(2), ..Wanted::default() };
        let limits = Limits::new(Budget::of(1_024, wanted).unwrap());
        let from = |address: &str| limits.audience(address.parse().unwrap());
        let held = [from("2001:db8::1").ok().unwrap(), from("2001:db8::2").ok().unwrap()];
        assert!(from("2001:db8::3").is_err(), "one household");
        let others = [from("192.0.2.1").ok().unwrap(), from("192.0.2.2").ok().unwrap()];
        assert!(from("192.0.2.3").is_err(), "full");
        let presenters: Vec<Place> = (0..PRESENTERS_RESERVED).map(|_| limits.presenter(None).ok().unwrap()).collect();
        assert!(limits.presenter(None).is_err(), "theirs are taken too");
        drop(held);
        let one_more = limits.presenter(None).ok().unwrap();
        assert!(from("192.0.2.3").is_ok());
        drop((others, presenters, one_more));
        assert_eq!((limits.viewers(), limits.viewers.lock().unwrap().by_address.len()), (0, 0), "nothing is kept of who has gone");
    }

    #[test]
    fn a_place_ends_with_its_session() {
        let limits = Limits::new(budget(1_024));
        let (one, other) = (limits.presenter(Some([1; 32])).ok().unwrap(), limits.presenter(Some([2; 32])).ok().unwrap());
        assert!(one.holds() && other.holds());
        limits.end_session(&[1; 32]);
        assert!(!one.holds() && other.holds());
        let again = limits.presenter(Some([1; 32])).ok().unwrap();
        assert!(again.holds() && !one.holds());
    }
}

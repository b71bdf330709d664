//! What handlers need, one per web worker: the shared rooms, and what is this thread's own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use uuid::Uuid;

use super::address::TrustedProxies;
use super::guard::Guard;
use super::health::Health;
use super::limits::Limits;
use super::logo::Logos;
use super::pass::PassKey;
use super::pressure::Pressure;
use super::recent::Recent;
use super::sharing::AllowedOrigins;
use super::stands::Stands;
use crate::intake::Desk;
use crate::live::{Glance, Live};
use crate::store::Store;

#[derive(Clone, Debug)]
pub struct SiteSettings {
    /// Without a slash at its end.
    pub public_url: String,
    /// Somebody said so. Otherwise it is this machine's address, as far as it can be told from within.
    pub public_url_is_set: bool,
    pub trusted_proxies: TrustedProxies,
    pub allowed_origins: AllowedOrigins,
    /// SHA-256 of the API token that acts as an owner.
    pub api_token_hash: Option<[u8; 32]>,
    /// The one-time setup link's token.
    pub setup_token: String,
}

impl SiteSettings {
    pub fn is_https(&self) -> bool {
        self.public_url.starts_with("https://")
    }
}

/// Shared by all workers.
pub struct Shared {
    pub settings: SiteSettings,
    pub store: Store,
    pub live: Live,
    pub passes: PassKey,
    pub recent: Recent,
    pub guard: Guard,
    pub logos: Logos,
    pub limits: Arc<Limits>,
    pub health: Health,
    /// Web threads that have a site.
    threads: AtomicUsize,
    /// How much each of them refuses.
    pressed: Mutex<Vec<usize>>,
    /// The process is about to end: it goes on serving, and says that it is not ready.
    pub leaving: tokio_util::sync::CancellationToken,
    pub stop: tokio_util::sync::CancellationToken,
}

impl Shared {
    pub fn new(
        settings: SiteSettings,
        store: Store,
        live: Live,
        passes: PassKey,
        limits: Arc<Limits>,
        leaving: tokio_util::sync::CancellationToken,
        stop: tokio_util::sync::CancellationToken,
    ) -> Arc<Shared> {
        Arc::new(Shared {
            settings,
            store,
            live,
            passes,
            recent: Recent::default(),
            guard: Guard::default(),
            logos: Logos::default(),
            limits,
            health: Health::default(),
            threads: AtomicUsize::new(0),
            pressed: Mutex::default(),
            leaving,
            stop,
        })
    }
}

impl Shared {
    /// A thread refuses more, or less, than before. Phones are told to ask as seldom as the one that is pressed most would have it: which
    /// thread they will ask, nobody knows.
    pub fn pressed(&self, thread: usize, level: usize) {
        let mut levels = self.pressed.lock().expect("never poisoned");
        let threads = levels.len().max(thread + 1);
        levels.resize(threads, 0);
        levels[thread] = level;
        self.live.ask_less(levels.iter().max().map_or(0, |most| *most as u32));
    }
}

/// One worker's view.
pub struct Site {
    pub shared: Arc<Shared>,
    pub desk: Desk,
    pub glance: Glance,
    pub stands: Stands,
    pub pressure: Pressure,
}

impl Site {
    pub fn new(shared: Arc<Shared>, desk: Desk) -> Site {
        let (glance, stands) = (Glance::new(shared.live.clone()), Stands::new(shared.stop.clone()));
        let thread = shared.threads.fetch_add(1, Ordering::Relaxed);
        let pressure = Pressure::watch(desk.clone(), thread, shared.clone());
        Site { shared, desk, glance, stands, pressure }
    }
}

impl std::ops::Deref for Site {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

/// Chance for new ids. `domain` has none of its own.
pub fn chance() -> u32 {
    fastrand::u32(..)
}

/// An unguessable id: voters are told apart by nothing else.
pub fn voter_id() -> Uuid {
    Uuid::new_v4()
}

/// Bytes nobody can guess.
pub fn secret_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0u8; N];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    bytes
}

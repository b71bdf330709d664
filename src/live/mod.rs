//! Live documents: events held in memory, their results redrawn a few times a second, as bytes shared by every reader. Also where the
//! voting path looks up a poll, so that a vote needs no database. No queue, no HTTP.
//!
//! Every web process draws for itself from the same rows; version and counts are functions of those rows alone, so they agree.

mod draw;
mod frame;
mod glance;
mod index;

pub use draw::counted_of;
pub use frame::Frame;
pub use glance::{Found, Glance};

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::sync::{Notify, OnceCell, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::now_ms;
use crate::domain::{CLOSE_GRACE_MS, Event, EventId, Millis, PollId};
use crate::error::{Error, Result};
use crate::store::{PollTally, Pulse, Store};
use draw::Through;
use index::Index;

/// How often the database is asked what changed. Closing a poll reaches every process within two of these.
const TICK: Duration = Duration::from_millis(150);
/// A nudge from the same process is answered at once, but not more often than this: each redraw is written to every viewer, and people see
/// no more than ten a second.
const TICK_MIN: Duration = Duration::from_millis(100);
/// An event nobody has read for this long is forgotten until somebody does.
const FORGET_AFTER_MS: Millis = 300_000;
/// Events held in memory; each is a few kilobytes. Beyond, new ones are refused until others are forgotten.
const EVENTS_MAX: usize = 20_000;
/// What phones are told to wait between two looks, while there is no hurry.
const REFRESH_MS: u32 = 1_000;
/// How often that is doubled at most: 8 s, or a question would open for half the hall only.
const DOUBLED_MAX: u32 = 3;

/// Cheap to clone.
#[derive(Clone)]
pub struct Live {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    public_url: String,
    index: RwLock<Index>,
    entries: RwLock<HashMap<EventId, Arc<Entry>>>,
    nudge: Notify,
    /// Grows with every edit taken in: what was remembered before it is to be looked up again.
    changes: AtomicU64,
    counted_through: AtomicI64,
    settled_through: AtomicI64,
    refresh_ms: AtomicU32,
    /// When the last pulse came back: how old everything here may be.
    pulse_at: AtomicI64,
}

/// One event in memory.
pub struct Entry {
    loaded: OnceCell<Loaded>,
    read_at: AtomicI64,
}

struct Loaded {
    event: RwLock<Arc<Event>>,
    /// Of the counts that the last document showed.
    fingerprint: AtomicU64,
    /// Last time something changed, and up to where a document has been drawn since: it is drawn until it has told everybody
    /// that what they sent is counted.
    dirty_at: AtomicI64,
    drawn_to: AtomicI64,
    /// Only the presenter's screens changed: theirs alone is drawn, and nothing is written to a million phones.
    view_changed: AtomicBool,
    /// Up to where the last document knew everything to be settled.
    settled_to: AtomicI64,
    /// What the last document told phones to wait.
    refresh_ms: AtomicU32,
    /// A poll closed; its result shows when this time has come.
    next_flip: AtomicI64,
    public: watch::Sender<Arc<Frame>>,
    presenter: watch::Sender<Arc<Frame>>,
}

impl Live {
    /// Reads the index of events. `public_url` has no slash at its end.
    pub async fn open(store: Store, public_url: String) -> Result<Live> {
        let mut index = Index::default();
        index.take_in(&store.index_since(0).await?);
        let shared = Shared {
            store,
            public_url,
            index: RwLock::new(index),
            entries: RwLock::default(),
            nudge: Notify::new(),
            changes: AtomicU64::new(1),
            counted_through: AtomicI64::new(0),
            settled_through: AtomicI64::new(0),
            refresh_ms: AtomicU32::new(REFRESH_MS),
            pulse_at: AtomicI64::new(0),
        };
        let live = Live { shared: Arc::new(shared) };
        live.tick().await?;
        // Known to the metrics from the start.
        metrics::gauge!("groundswell_live_age_seconds").set(0.0);
        metrics::counter!("groundswell_redraws_total").increment(0);
        Ok(live)
    }

    /// The event behind a join code or a short name. No query: a wrong one costs nothing.
    pub fn find(&self, name: &str) -> Result<EventId> {
        self.shared.index.read().expect("never poisoned").find(name).ok_or_else(event_unknown)
    }

    /// As it is printed: a short name can be changed, a code never is.
    pub fn lasting_url(&self, event: &Event) -> String {
        format!("{}/{}", self.shared.public_url, event.code.as_str())
    }

    /// The big screen, which is a remote control where it is opened on a phone.
    pub fn present_url(&self, event: EventId) -> String {
        format!("{}/present/{event}", self.shared.public_url)
    }

    /// The event as web processes see it now.
    pub async fn event(&self, id: EventId) -> Result<Arc<Event>> {
        let entry = self.entry(id)?;
        Ok(self.loaded(id, &entry).await?.event())
    }

    /// The event and one of its polls, from what all threads share; see `Glance`.
    async fn poll(&self, event: EventId, poll: PollId) -> Result<Option<(Arc<Event>, usize)>> {
        // A pass outlives its event; asking the database for it each time would be a way to keep it busy.
        if self.shared.index.read().expect("never poisoned").edition_of(event).is_none() {
            return Err(event_unknown());
        }
        let event = self.event(event).await?;
        let position = event.polls.iter().position(|p| p.id == poll);
        Ok(position.map(|at| (event, at)))
    }

    /// The public document, newest first and then every change.
    pub async fn public(&self, id: EventId) -> Result<watch::Receiver<Arc<Frame>>> {
        let entry = self.entry(id)?;
        Ok(self.loaded(id, &entry).await?.public.subscribe())
    }

    /// The public document as it is now, if it is in memory. What nearly every reader gets, without waiting for anything.
    pub fn at_hand(&self, id: EventId) -> Option<Arc<Frame>> {
        let entries = self.shared.entries.read().expect("never poisoned");
        let entry = entries.get(&id)?;
        entry.read_at.store(now_ms(), Ordering::Relaxed);
        Some(entry.loaded.get()?.public.borrow().clone())
    }

    /// The public document as it is now.
    pub async fn newest(&self, id: EventId) -> Result<Arc<Frame>> {
        let entry = self.entry(id)?;
        Ok(self.loaded(id, &entry).await?.public.borrow().clone())
    }

    /// The presenter's document.
    pub async fn presenter(&self, id: EventId) -> Result<watch::Receiver<Arc<Frame>>> {
        let entry = self.entry(id)?;
        Ok(self.loaded(id, &entry).await?.presenter.subscribe())
    }

    /// Every ballot accepted up to here is in the tally.
    pub fn counted_through(&self) -> Millis {
        self.shared.counted_through.load(Ordering::Relaxed)
    }

    /// The same, with what may lie in the spill of instances that fell silent: what is not in the tally then will never be.
    pub fn settled_through(&self) -> Millis {
        self.shared.settled_through.load(Ordering::Relaxed)
    }

    /// How long ago the database last answered.
    pub fn age_ms(&self) -> Millis {
        now_ms() - self.shared.pulse_at.load(Ordering::Relaxed)
    }

    /// This process is under pressure, so phones are told to ask less often: twice as long for each `degree`. Each process says so for itself, as
    /// it draws for itself; it is no part of which document is newer, and who asks another process next time does as that one says.
    pub fn ask_less(&self, degree: u32) {
        let wanted = REFRESH_MS << degree.min(DOUBLED_MAX);
        if self.shared.refresh_ms.swap(wanted, Ordering::Relaxed) != wanted {
            self.nudge();
        }
    }

    fn refresh_ms(&self) -> u32 {
        self.shared.refresh_ms.load(Ordering::Relaxed)
    }

    /// What this process has just written itself, whatever becomes of its next look at the database: who closed a poll takes no more votes for it.
    pub fn learn(&self, event: &Event) {
        let entries = self.shared.entries.read().expect("never poisoned");
        if let Some(loaded) = entries.get(&event.id).and_then(|entry| entry.loaded.get()) {
            loaded.take(event.clone(), now_ms());
            self.shared.changes.fetch_add(1, Ordering::Release);
        }
    }

    /// It was hidden by this process: whoever asks for it asks the database.
    pub fn unlearn(&self, event: EventId) {
        self.shared.entries.write().expect("never poisoned").remove(&event);
        self.shared.changes.fetch_add(1, Ordering::Release);
    }

    /// Something was just edited or counted in this process: look now.
    pub fn nudge(&self) {
        self.shared.nudge.notify_one();
    }

    /// Redraws until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut begun = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.shared.nudge.notified() => tokio::time::sleep_until(begun + TICK_MIN).await,
                () = tokio::time::sleep_until(begun + TICK) => {}
            }
            begun = Instant::now();
            if let Err(error) = self.tick().await {
                // The last documents stay; their age shows.
                tracing::warn!(%error, "the live documents could not be brought up to date");
                tokio::time::sleep(TICK).await;
            }
            metrics::gauge!("groundswell_live_age_seconds").set(self.age_ms() as f64 / 1_000.0);
        }
    }

    /// Takes in what changed since the last time, and redraws what that touches. Public so that tests need not wait for a clock.
    pub async fn tick(&self) -> Result<()> {
        let now = now_ms();
        let edition = self.shared.index.read().expect("never poisoned").edition();
        let pulse = self.shared.store.pulse(edition, now).await?;
        self.shared.pulse_at.store(now, Ordering::Relaxed);
        self.shared.counted_through.store(pulse.counted_through, Ordering::Relaxed);
        self.shared.settled_through.store(pulse.settled_through, Ordering::Relaxed);
        self.take_in_edits(&pulse, now).await;
        let due = self.due(&pulse, now);
        let began = Instant::now();
        let polls: Vec<PollId> = due.iter().flat_map(|(loaded, _)| loaded.event().all_polls().collect::<Vec<_>>()).collect();
        // An event without polls has a title all the same.
        let tallies = if polls.is_empty() { HashMap::new() } else { self.shared.store.tallies(polls).await? };
        for (entry, who) in &due {
            self.draw(entry, *who, &tallies, Through { counted: pulse.counted_through, settled: pulse.settled_through });
        }
        if !due.is_empty() {
            metrics::histogram!("groundswell_redraw_seconds").record(began.elapsed().as_secs_f64());
            metrics::counter!("groundswell_redraws_total").increment(due.len() as u64);
        }
        self.forget(now);
        Ok(())
    }

    async fn take_in_edits(&self, pulse: &Pulse, now: Millis) {
        // Which events are older here than the index says? Not only those of this pulse: one may have been edited while it was
        // being loaded for the first time.
        let stale: Vec<(EventId, Arc<Entry>)> = {
            if !pulse.edited.is_empty() {
                self.shared.index.write().expect("never poisoned").take_in(&pulse.edited);
            }
            // Every reader passes here: they are kept waiting only when an entry must go.
            let index = self.shared.index.read().expect("never poisoned");
            let is_deleted = |id: &EventId, entry: &Entry| entry.loaded.initialized() && index.edition_of(*id).is_none();
            let any = self.shared.entries.read().expect("never poisoned").iter().any(|(id, entry)| is_deleted(id, entry));
            if any {
                self.shared.entries.write().expect("never poisoned").retain(|id, entry| !is_deleted(id, entry));
            }
            let entries = self.shared.entries.read().expect("never poisoned");
            let is_stale = |id: &EventId, entry: &Entry| entry.loaded.get().is_some_and(|l| Some(l.event().edition) < index.edition_of(*id));
            entries.iter().filter(|(id, entry)| is_stale(id, entry)).map(|(id, entry)| (*id, entry.clone())).collect()
        };
        if !pulse.edited.is_empty() {
            // Deleted ones are gone from here on; the others follow one by one.
            self.shared.changes.fetch_add(1, Ordering::Release);
        }
        for (id, entry) in stale {
            let Some(loaded) = entry.loaded.get() else { continue };
            match self.shared.store.event(id).await {
                Ok(event) => {
                    loaded.take(event, now);
                    self.shared.changes.fetch_add(1, Ordering::Release);
                }
                // It stays stale and is tried again; the others must not wait for it.
                Err(error) => tracing::warn!(%error, event = %id, "an edited event could not be read"),
            }
        }
    }

    /// The events whose document has something new to say, and to whom.
    fn due(&self, pulse: &Pulse, now: Millis) -> Vec<(LoadedRef, Readers)> {
        let received: HashMap<PollId, u64> = pulse.received.iter().copied().collect();
        let entries = self.shared.entries.read().expect("never poisoned");
        let all_due = |loaded: &Loaded| {
            let event = loaded.event();
            // Only polls counted lately are in the pulse: a fingerprint says "changed", not "how much in all".
            let lately = event.polls.iter().filter_map(|p| Some((p.id, *received.get(&p.id)?)));
            let fingerprint = lately.fold(0u64, |sum, (id, n)| sum.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(id.0 as u64 ^ n.rotate_left(32)));
            if fingerprint != 0 && loaded.fingerprint.swap(fingerprint, Ordering::Relaxed) != fingerprint {
                loaded.dirty_at.store(settles_after(&event, now), Ordering::Relaxed);
                return true;
            }
            let drawn_to = loaded.drawn_to.load(Ordering::Relaxed);
            let until = loaded.dirty_at.load(Ordering::Relaxed) + CLOSE_GRACE_MS;
            let settled_to = loaded.settled_to.load(Ordering::Relaxed);
            let flip = loaded.next_flip.load(Ordering::Relaxed);
            let counts = drawn_to < until && pulse.counted_through > drawn_to;
            let settles = settled_to < until && pulse.settled_through > settled_to;
            // Longer waits are told with the next change, of which there are many under pressure; shorter ones at once, or phones would wait on.
            let calmer = loaded.refresh_ms.load(Ordering::Relaxed) > self.refresh_ms();
            calmer || drawn_to == 0 || counts || settles || (flip > 0 && flip <= now)
        };
        let due = |entry| {
            let loaded = LoadedRef::of(entry)?;
            let view_changed = loaded.view_changed.load(Ordering::Relaxed);
            if all_due(&loaded) { Some((loaded, Readers::All)) } else { view_changed.then_some((loaded, Readers::Presenters)) }
        };
        entries.values().filter_map(due).collect()
    }

    fn draw(&self, loaded: &Loaded, who: Readers, tallies: &HashMap<PollId, PollTally>, through: Through) {
        // Before the event is read: what changes from here on is drawn again.
        loaded.view_changed.store(false, Ordering::Relaxed);
        let event = loaded.event();
        let now = now_ms();
        let refresh_ms = self.refresh_ms();
        let drawn = draw::draw(&event, tallies, now, through, refresh_ms, join_url(&self.shared.public_url, &event));
        if who == Readers::Presenters {
            replace_if_newer(&loaded.presenter, drawn.presenter);
            // The same to whoever reads it, under the version that both have; nobody is woken for it.
            loaded.public.send_if_modified(|held| {
                if drawn.public.order() >= held.order() {
                    *held = Arc::new(drawn.public);
                }
                false
            });
            return;
        }
        loaded.refresh_ms.store(refresh_ms, Ordering::Relaxed);
        loaded.drawn_to.store(through.counted.max(1), Ordering::Relaxed);
        loaded.settled_to.store(through.settled, Ordering::Relaxed);
        loaded.next_flip.store(next_flip(&event, now), Ordering::Relaxed);
        // In this order: what the audience sees, the presenter can see too.
        replace_if_newer(&loaded.presenter, drawn.presenter);
        replace_if_newer(&loaded.public, drawn.public);
        if loaded.event().edition != event.edition {
            // Taken in while this was drawn, and owed.
            loaded.drawn_to.store(0, Ordering::Relaxed);
        }
    }

    fn entry(&self, id: EventId) -> Result<Arc<Entry>> {
        let now = now_ms();
        if let Some(entry) = self.shared.entries.read().expect("never poisoned").get(&id) {
            entry.read_at.store(now, Ordering::Relaxed);
            return Ok(entry.clone());
        }
        let mut entries = self.shared.entries.write().expect("never poisoned");
        if entries.len() >= EVENTS_MAX {
            return Err(Error::Busy("too many events are being watched"));
        }
        Ok(entries.entry(id).or_insert_with(|| Arc::new(Entry { loaded: OnceCell::new(), read_at: AtomicI64::new(now) })).clone())
    }

    /// Loads and draws the event the first time; many readers at once wait for the one that does.
    async fn loaded<'e>(&self, id: EventId, entry: &'e Entry) -> Result<&'e Loaded> {
        let loaded = entry.loaded.get_or_try_init(|| async {
            // Before the counts: the other way round, the last votes could fall between the two, and a result be called final without them.
            let through = Through { counted: self.counted_through(), settled: self.settled_through() };
            let event = self.shared.store.event(id).await?;
            let polls: Vec<PollId> = event.all_polls().collect();
            let tallies = self.shared.store.tallies(polls).await?;
            let now = now_ms();
            let refresh_ms = self.refresh_ms();
            let drawn = draw::draw(&event, &tallies, now, through, refresh_ms, join_url(&self.shared.public_url, &event));
            Ok::<_, Error>(Loaded {
                fingerprint: AtomicU64::new(0),
                dirty_at: AtomicI64::new(settles_after(&event, now)),
                drawn_to: AtomicI64::new(through.counted),
                view_changed: AtomicBool::new(false),
                settled_to: AtomicI64::new(through.settled),
                refresh_ms: AtomicU32::new(refresh_ms),
                next_flip: AtomicI64::new(next_flip(&event, now)),
                public: watch::Sender::new(Arc::new(drawn.public)),
                presenter: watch::Sender::new(Arc::new(drawn.presenter)),
                event: RwLock::new(Arc::new(event)),
            })
        });
        let result = loaded.await;
        if result.is_err() {
            // An entry that could not be loaded holds no place.
            self.shared.entries.write().expect("never poisoned").remove(&id);
        }
        result
    }

    fn forget(&self, now: Millis) {
        let idle = |entry: &Entry| {
            let watched = entry.loaded.get().is_some_and(|l| l.public.receiver_count() + l.presenter.receiver_count() > 0);
            !watched && entry.read_at.load(Ordering::Relaxed) < now - FORGET_AFTER_MS
        };
        let any = self.shared.entries.read().expect("never poisoned").values().any(|e| idle(e));
        if any {
            self.shared.entries.write().expect("never poisoned").retain(|_, entry| !idle(entry));
        }
    }
}

impl Loaded {
    /// Two ticks may run at once, one of them for an edit; the older read does not win.
    fn take(&self, event: Event, now: Millis) {
        let mut held = self.event.write().expect("never poisoned");
        if held.edition <= event.edition {
            if held.is_the_same_to_the_audience(&event) {
                self.view_changed.store(true, Ordering::Relaxed);
            } else {
                self.dirty_at.store(settles_after(&event, now), Ordering::Relaxed);
                self.drawn_to.store(0, Ordering::Relaxed);
            }
            *held = Arc::new(event);
        }
    }

    fn event(&self) -> Arc<Event> {
        self.event.read().expect("never poisoned").clone()
    }
}

/// Of two ticks at once, the one that read later stays, whichever draws last.
fn replace_if_newer(shown: &watch::Sender<Arc<Frame>>, drawn: Frame) {
    shown.send_if_modified(|held| {
        let newer = drawn.order() >= held.order();
        if newer {
            *held = Arc::new(drawn);
        }
        newer
    });
}

/// Whose document is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Readers {
    All,
    Presenters,
}

/// An entry that is known to be loaded.
struct LoadedRef(Arc<Entry>);

impl LoadedRef {
    fn of(entry: &Arc<Entry>) -> Option<LoadedRef> {
        entry.loaded.initialized().then(|| LoadedRef(entry.clone()))
    }
}

impl std::ops::Deref for LoadedRef {
    type Target = Loaded;

    fn deref(&self) -> &Loaded {
        self.0.loaded.get().expect("checked when it was made")
    }
}

fn event_unknown() -> Error {
    Error::not_found("event_unknown", "There is no such event. Check the code.")
}

fn join_url(public_url: &str, event: &Event) -> String {
    format!("{public_url}/{}", event.slug.as_ref().map_or(event.code.as_str(), |slug| slug.as_str()))
}

/// What happened up to here must still be told as counted, and closed polls as final; a close may bear the time of a faster clock.
fn settles_after(event: &Event, now: Millis) -> Millis {
    event.polls.iter().flat_map(|p| [p.closed_at, p.earlier_closed_at]).flatten().fold(now, Millis::max)
}

/// When a result appears without anybody doing anything: the grace after a close has passed. 0 for never.
fn next_flip(event: &Event, now: Millis) -> Millis {
    event.polls.iter().filter_map(|p| p.closed_at).map(|at| at + CLOSE_GRACE_MS).filter(|at| *at > now).min().unwrap_or(0)
}

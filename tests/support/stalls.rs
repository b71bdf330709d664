//! How long the disk itself makes everybody wait: a file of our own, synced beside all else. Where votes are turned away because they cannot be
//! written down, this tells a machine that stood still from a server that was slow.

use std::fs::File;
use std::io::{Seek, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const SYNC_EVERY: Duration = Duration::from_millis(50);
/// Shorter ones are what a disk does.
const NOTED_FROM: Duration = Duration::from_millis(100);

pub struct Disk {
    syncs: Arc<Mutex<Syncs>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Syncs {
    /// The long ones: when each began, and how long it took.
    long: Vec<(Instant, Duration)>,
    /// When the one began that goes on.
    going_on: Option<Instant>,
}

impl Disk {
    /// The one that temporary files lie on, as those of broker, database and servers do.
    pub fn watch() -> Disk {
        let mut file: File = tempfile::tempfile().expect("a file");
        let (syncs, over) = (Arc::new(Mutex::new(Syncs::default())), Arc::new(AtomicBool::new(false)));
        let (own, ends) = (syncs.clone(), over.clone());
        let thread = std::thread::spawn(move || {
            let lock = || own.lock().expect("never poisoned");
            while !ends.load(Ordering::Relaxed) {
                let began = Instant::now();
                lock().going_on = Some(began);
                // As small as a commit can be.
                file.rewind().and_then(|()| file.write_all(&[0; 4_096])).and_then(|()| file.sync_data()).expect("there is room for a page");
                let took = began.elapsed();
                let mut syncs = lock();
                syncs.going_on = None;
                if took >= NOTED_FROM {
                    syncs.long.push((began, took));
                }
                drop(syncs);
                std::thread::park_timeout(SYNC_EVERY);
            }
        });
        Disk { syncs, over, thread: Some(thread) }
    }

    /// The slowest sync of those that were under way at some time since then; zero where none was slow.
    pub fn slowest_since(&self, then: Instant) -> Duration {
        self.under_way(then, Instant::now()).into_iter().max().unwrap_or_default()
    }

    /// Did one that was under way at some time between these take as long as that?
    pub fn stood_still(&self, from: Instant, to: Instant, least: Duration) -> bool {
        self.under_way(from, to).into_iter().any(|took| took >= least)
    }

    fn under_way(&self, from: Instant, to: Instant) -> Vec<Duration> {
        assert!(self.thread.as_ref().is_some_and(|thread| !thread.is_finished()), "the disk is not watched any more");
        let syncs = self.syncs.lock().expect("never poisoned");
        let going_on = syncs.going_on.map(|began| (began, began.elapsed()));
        let all = syncs.long.iter().copied().chain(going_on);
        all.filter(|(began, took)| *began <= to && *began + *took >= from).map(|(_, took)| took).collect()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

//! How long the disk itself makes everybody wait: a file of our own, synced beside all else. Where votes are turned away because they cannot be
//! written down, this tells a machine that stood still from a server that was slow.

use std::fs::File;
use std::io::{Seek, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const SYNC_EVERY: Duration = Duration::from_millis(200);

pub struct Disk {
    syncs: Arc<Syncs>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Syncs {
    /// What the times below count from.
    born: Instant,
    slowest_us: AtomicU64,
    /// When the one began that goes on; 0 where none does.
    began_us: AtomicU64,
}

impl Syncs {
    fn now_us(&self) -> u64 {
        self.born.elapsed().as_micros() as u64
    }
}

impl Disk {
    /// The one that temporary files lie on, as those of broker, database and servers do.
    pub fn watch() -> Disk {
        let mut file: File = tempfile::tempfile().expect("a file");
        let syncs = Arc::new(Syncs { born: Instant::now(), slowest_us: AtomicU64::new(0), began_us: AtomicU64::new(0) });
        let over = Arc::new(AtomicBool::new(false));
        let (own, ends) = (syncs.clone(), over.clone());
        let thread = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let began = own.now_us().max(1);
                own.began_us.store(began, Ordering::Relaxed);
                // As small as a commit can be.
                file.rewind().and_then(|()| file.write_all(&[0; 4_096])).and_then(|()| file.sync_data()).expect("there is room for a page");
                own.slowest_us.fetch_max(own.now_us() - began, Ordering::Relaxed);
                own.began_us.store(0, Ordering::Relaxed);
                std::thread::park_timeout(SYNC_EVERY);
            }
        });
        Disk { syncs, over, thread: Some(thread) }
    }

    /// Since it was last asked, the one that goes on among them.
    pub fn slowest_sync(&self) -> Duration {
        assert!(self.thread.as_ref().is_some_and(|thread| !thread.is_finished()), "the disk is not watched any more");
        let going_on = match self.syncs.began_us.load(Ordering::Relaxed) {
            0 => 0,
            began => self.syncs.now_us().saturating_sub(began),
        };
        Duration::from_micros(self.syncs.slowest_us.swap(0, Ordering::Relaxed).max(going_on))
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

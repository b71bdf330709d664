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
    slowest_us: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Disk {
    /// The one that temporary files lie on, as those of broker, database and servers do.
    pub fn watch() -> Disk {
        let mut file: File = tempfile::tempfile().expect("a file");
        let (slowest_us, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (slowest, ends) = (slowest_us.clone(), over.clone());
        let thread = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let began = Instant::now();
                // As small as a commit can be.
                file.rewind().and_then(|()| file.write_all(&[0; 4_096])).and_then(|()| file.sync_data()).expect("there is room for a page");
                slowest.fetch_max(began.elapsed().as_micros() as u64, Ordering::Relaxed);
                std::thread::park_timeout(SYNC_EVERY);
            }
        });
        Disk { slowest_us, over, thread: Some(thread) }
    }

    /// Since it was last asked.
    pub fn slowest_sync(&self) -> Duration {
        Duration::from_micros(self.slowest_us.swap(0, Ordering::Relaxed))
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

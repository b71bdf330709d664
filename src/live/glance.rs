//! One thread's own memory of the polls it was lately asked for: the lookup of the voting path. All threads read one number to know whether it
//! still holds; taking locks and counting references instead, they would hand the same cache lines from core to core with every vote.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Live;
use crate::domain::{Event, EventId, Millis, Poll, PollId};
use crate::error::Result;

/// Polls a thread remembers; about 100 bytes each, besides the events, which all threads share.
const POLLS_MAX: usize = 10_000;
/// After that the shared index is asked again, so that it knows who is still being voted for.
const REMEMBERED_MS: Millis = 60_000;

/// Of one thread.
pub struct Glance {
    live: Live,
    /// What is remembered was read at this state of the index.
    changes: Cell<u64>,
    polls: RefCell<HashMap<(EventId, PollId), Remembered>>,
}

struct Remembered {
    found: Rc<Found>,
    at: Millis,
}

/// A poll within its event.
pub struct Found {
    pub event: Arc<Event>,
    position: usize,
}

impl Found {
    pub fn poll(&self) -> &Poll {
        &self.event.polls[self.position]
    }
}

impl Glance {
    pub fn new(live: Live) -> Glance {
        Glance { live, changes: Cell::new(0), polls: RefCell::default() }
    }

    /// The poll, if it is in this event and this thread remembers it.
    pub fn remembered(&self, event: EventId, poll: PollId, now: Millis) -> Option<Rc<Found>> {
        let changes = self.live.shared.changes.load(Ordering::Acquire);
        if self.changes.replace(changes) != changes {
            self.polls.borrow_mut().clear();
        }
        let polls = self.polls.borrow();
        polls.get(&(event, poll)).filter(|known| now - known.at < REMEMBERED_MS).map(|known| known.found.clone())
    }

    /// The poll, if it is in this event. From memory, but for the first time.
    pub async fn poll(&self, event: EventId, poll: PollId, now: Millis) -> Result<Option<Rc<Found>>> {
        if let Some(known) = self.remembered(event, poll, now) {
            return Ok(Some(known));
        }
        // As of before the events are read: what changes while they are being read makes it forget again.
        let changes = self.changes.get();
        // Boxed, or every vote would carry the room for a query with it.
        let Some((found, position)) = Box::pin(self.live.poll(event, poll)).await? else { return Ok(None) };
        let found = Rc::new(Found { event: found, position });
        let mut polls = self.polls.borrow_mut();
        if polls.len() >= POLLS_MAX {
            polls.clear();
        }
        // Another request of this thread may have seen a change while this one read.
        if self.changes.get() == changes {
            polls.insert((event, poll), Remembered { found: found.clone(), at: now });
        }
        Ok(Some(found))
    }
}

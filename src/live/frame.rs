//! One drawn document as the bytes that go out: encoded once, shared by every reader.

use bytes::Bytes;

use crate::domain::Millis;
use crate::wire::document::Moment;

pub struct Frame {
    pub version: u64,
    counted_through: Millis,
    /// Results in it: one appears by itself when the grace after a close has passed.
    results: usize,
    /// The snapshot's body.
    pub json: Bytes,
    /// The same as one server-sent event.
    pub event: Bytes,
    /// Weak: two processes draw the same version with clocks of their own. How long to wait is in it, or "not modified" would keep phones waiting.
    pub etag: String,
}

impl Frame {
    pub(super) fn new(moment: Moment, results: usize, json: Vec<u8>) -> Frame {
        let Moment { version, counted_through, refresh_ms, .. } = moment;
        let mut event = Vec::with_capacity(json.len() + 48);
        event.extend_from_slice(format!("event: live\nid: {version}\ndata: ").as_bytes());
        // JSON has no raw line breaks, so one data line holds it.
        event.extend_from_slice(&json);
        event.extend_from_slice(b"\n\n");
        let etag = format!("W/\"{version}-{counted_through}-{results}-{refresh_ms}\"");
        Frame { version, counted_through, results, json: json.into(), event: event.into(), etag }
    }

    /// Which of two documents is the newer one, the same on phones.
    pub fn order(&self) -> (u64, Millis, usize) {
        (self.version, self.counted_through, self.results)
    }
}

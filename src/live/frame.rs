//! One drawn document as the bytes that go out: encoded once, shared by every reader.

use bytes::Bytes;

use crate::domain::Millis;

pub struct Frame {
    pub version: u64,
    counted_through: Millis,
    /// Results in it: one appears by itself when the grace after a close has passed.
    results: usize,
    /// The snapshot's body.
    pub json: Bytes,
    /// The same as one server-sent event.
    pub event: Bytes,
    /// Weak: two processes draw the same version with clocks of their own.
    pub etag: String,
}

impl Frame {
    pub(super) fn new(version: u64, counted_through: Millis, results: usize, json: Vec<u8>) -> Frame {
        let mut event = Vec::with_capacity(json.len() + 48);
        event.extend_from_slice(format!("event: live\nid: {version}\ndata: ").as_bytes());
        // JSON has no raw line breaks, so one data line holds it.
        event.extend_from_slice(&json);
        event.extend_from_slice(b"\n\n");
        Frame { version, counted_through, results, json: json.into(), event: event.into(), etag: format!("W/\"{version}-{counted_through}-{results}\"") }
    }

    /// Which of two documents is the newer one, the same on phones.
    pub fn order(&self) -> (u64, Millis, usize) {
        (self.version, self.counted_through, self.results)
    }
}

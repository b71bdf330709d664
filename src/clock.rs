//! The wall clock, in the one unit everything uses. `domain` does not know it: there, time is an argument.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::Millis;

/// Unix milliseconds now. A clock before 1970 is a machine nobody can vote on; it reads as 0.
pub fn now_ms() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as Millis)
}

//! What each room promises at its door: store, queue, intake, tally; and the fence between rooms. On both backends.

#[path = "../support/mod.rs"]
mod support;

//! What each room promises at its door: store, queue, intake, tally; and the fence between rooms. On both backends.

#[path = "../support/mod.rs"]
mod support;

mod broker;
mod counting;
mod craft;
mod edits;
mod fence;
mod intake;
mod marks;
mod property;
mod queue;
mod recount;
mod store;
mod trouble;

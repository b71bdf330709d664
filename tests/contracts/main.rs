//! What each room promises at its door: store, queue, intake, tally; and the fence between rooms. On both backends.

#[path = "../support/mod.rs"]
mod support;

#[path = "../http/client.rs"]
#[allow(dead_code)]
mod client;
#[path = "../http/process.rs"]
#[allow(dead_code)]
mod process;

mod accounts;
mod broker;
mod counting;
mod craft;
mod disk;
mod door;
mod edits;
mod fence;
mod intake;
mod journal;
mod lists;
mod marks;
mod observing;
mod outage;
mod places;
mod property;
mod queue;
mod recount;
mod refresh;
mod replay;
mod simulation;
mod spill;
mod store;
mod trouble;

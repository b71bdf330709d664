//! Groundswell: live polls for crowds that arrive all at once. The map of the rooms is in docs/architecture.md.

pub mod app;
pub mod clock;
pub mod config;
pub mod domain;
pub mod error;
pub mod http;
pub mod intake;
pub mod live;
#[cfg(feature = "planted")]
pub mod planted;
pub mod queue;
pub mod recount;
pub mod rehearsal;
pub mod store;
pub mod tally;
pub mod traces;
pub mod wire;

//! Groundswell: live polls for crowds that arrive all at once. The map of the rooms is in docs/architecture.md.

pub mod clock;
pub mod domain;
pub mod error;
pub mod intake;
pub mod queue;
pub mod store;
pub mod tally;
pub mod wire;

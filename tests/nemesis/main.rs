//! The nemesis: faults on purpose, under load, in the real binary on a real broker and a real database; at the end, everything voters were
//! told is checked against everything the poll shows. `scripts/nemesis --minutes N` lets it go on.

#[path = "../support/mod.rs"]
mod support;

#[path = "../http/client.rs"]
#[allow(dead_code)]
mod client;
#[path = "../contracts/door.rs"]
#[allow(dead_code)]
mod door;
#[path = "../http/process.rs"]
#[allow(dead_code)]
mod process;

mod cluster;
mod distributed;
mod embedded;
mod faults;
mod judge;
mod mistakes;
mod proxy;
mod services;
mod voters;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Two cores carry one of these at a time.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

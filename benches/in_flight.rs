//! Memory of votes in flight: as many ballots as may wait in one process, in their lanes, with somebody waiting for each, as a connection does.
//!
//! `cargo bench --bench in_flight`. Half of them stand in batches that nobody confirms, the rest in line behind those. What a connection costs,
//! voting or not, is not in it.

mod common;

use std::cell::Cell;
use std::rc::Rc;

use groundswell::clock::now_ms;
use groundswell::domain::{Ballot, BallotId, InstanceId, Picks, PollId, VoterId};
use groundswell::error::Error;
use groundswell::intake::{Intake, Listener, Receipt, WAITING_MAX};
use groundswell::queue::{Memory, Queue};
use tokio::task::{LocalSet, yield_now};
use uuid::Uuid;

use common::resident_kib;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LANES: u16 = 16;
/// Votes that one thread takes in one turn of its event loop, as with about a thousand connections.
const PER_TURN: usize = 64;

/// What waits for a ballot; the real one writes the answer.
struct Waiting {
    told: Cell<bool>,
}

impl Listener for Waiting {
    fn told(self: Rc<Self>, outcome: Result<Receipt, Error>) {
        drop(outcome);
        self.told.set(true);
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let lanes = Queue::Memory(Memory::new(LANES));
        let intake = Intake::new(lanes, InstanceId(Uuid::new_v4()), LANES);
        let desk = intake.desk();
        let (before, began) = (resident_kib(std::process::id()), now_ms());
        let mut waiting = Vec::with_capacity(WAITING_MAX);
        for n in 0..WAITING_MAX {
            let ballot = Ballot {
                poll: PollId(7_012_345_678_901),
                round: 1,
                voter: VoterId(Uuid::new_v4()),
                ballot: BallotId(Uuid::new_v4()),
                revision: 1,
                picks: Picks::parse(if n % 2 == 0 { "1" } else { "2" }).expect("a pick"),
            };
            let one = Rc::new(Waiting { told: Cell::new(false) });
            // A storm upon one poll of four choices.
            desk.accept_for((n % 4) as u16, ballot, one.clone()).expect("there is room");
            waiting.push(one);
            if n % PER_TURN == PER_TURN - 1 {
                yield_now().await;
            }
        }
        let own = waiting.capacity() * (size_of::<Rc<Waiting>>() + size_of::<Waiting>() + 2 * size_of::<usize>()) / 1_024;
        let grown = resident_kib(std::process::id()).saturating_sub(before).saturating_sub(own as u64);
        assert_eq!(intake.waiting(), WAITING_MAX);
        assert!(waiting.iter().all(|one| !one.told.get()), "all are in flight");
        println!(
            "{WAITING_MAX} votes in flight, joined within {} ms: {:.1} MB, {:.0} bytes each",
            now_ms() - began,
            grown as f64 * 1_024.0 / 1e6,
            grown as f64 * 1_024.0 / WAITING_MAX as f64
        );
    });
}

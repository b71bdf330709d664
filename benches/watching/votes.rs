//! What viewers cost those who vote.

use std::time::Duration;

use groundswell::rehearsal::load::fire;

use crate::common::server::{Server, Side};
use crate::common::setting;
use crate::rates::{GENERATOR_THREADS, median};
use crate::viewers::Viewers;

/// Votes per second with 1,000 viewers and without.
pub fn votes() {
    const VIEWERS: usize = 1_000;
    let (seconds, rounds) = (setting("BENCH_SECONDS", 5), setting("BENCH_ROUNDS", 3));
    for (side, connections) in Side::available().into_iter().flat_map(|side| [(side, 64), (side, 1_024)]) {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            for (watched, rates) in [(false, &mut without), (true, &mut with)] {
                let server = Server::start(side);
                let requests = server.requests(100_000 * seconds as usize);
                let viewers = watched.then(|| Viewers::start(&server, VIEWERS));
                let outcome = fire(server.address, requests, connections, GENERATOR_THREADS, Duration::from_secs(seconds));
                rates.push(outcome.per_second());
                assert_eq!(outcome.failed, 0, "votes failed");
                drop(viewers);
            }
        }
        let (without, with) = (median(without), median(with));
        println!("\n{side:?}, {connections} voting connections: {without:.0} votes/s without viewers, {with:.0} with {VIEWERS}: {:.3}", with / without);
    }
}

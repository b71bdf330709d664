//! Many events, each with its viewer, at the same time.

use std::time::Duration;

use groundswell::rehearsal::load::fire;

use crate::common::server::{Server, Side};
use crate::common::setting;
use crate::rates::GENERATOR_THREADS;
use crate::viewers::Viewers;

/// How often each of 1,000 watched documents is redrawn while votes for all of them come in as fast as they are taken.
pub fn many() {
    let events = setting("BENCH_EVENTS", 1_000) as usize;
    let seconds = setting("BENCH_SECONDS", 5);
    let mut server = Server::start(Side::Embedded);
    let mut polls = vec![server.poll.clone()];
    while polls.len() < events {
        server.open_poll();
        polls.push(server.poll.clone());
    }
    let streams: Vec<&str> = polls.iter().map(|poll| poll.stream.as_str()).collect();
    let requests = server.requests_for(&polls, 60_000 * seconds as usize);
    let mut viewers = Viewers::start_at(server.address, &streams.join(","), events);
    let before = viewers.frames_of_all();
    let outcome = fire(server.address, requests, 256, GENERATOR_THREADS, Duration::from_secs(seconds));
    let after = viewers.frames_of_all();
    let mut rates: Vec<f64> = after.iter().zip(&before).map(|(a, b)| (a - b) as f64 / outcome.elapsed.as_secs_f64()).collect();
    rates.sort_by(f64::total_cmp);
    println!(
        "\n{events} watched events, {:.0} votes/s over all: {:.1} frames a second for the slowest, {:.1} for the median",
        outcome.per_second(),
        rates[0],
        rates[rates.len() / 2]
    );
}

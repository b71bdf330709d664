//! Ten thousand polls open at once, and one of them that nearly everybody votes in.

use std::cell::Cell;
use std::time::{Duration, Instant};

use groundswell::rehearsal::load::{Outcome, Request, fire};

use crate::common::server::{CHOICES, OpenPoll, Server, Side};
use crate::common::setting;
use crate::fresh::{Waits, paced, quantile};
use crate::rates::{GENERATOR_THREADS, median};
use crate::viewers::Viewers;

const PER_EVENT: usize = 100;
const CONNECTIONS: usize = 1_024;
/// Enough for any rate this machine reaches.
const RATE_MAX: usize = 120_000;
/// Polls that are watched beside the big one.
const QUIET: usize = 16;
/// Of all votes, in the poll that nearly everybody votes in.
const SHARE_OF_THE_BIG_ONE: usize = 99;

/// Votes per second over all of them and into one alone; then how soon a quiet poll's votes are on its screens while a big one is being stormed.
pub fn polls() {
    let polls = setting("BENCH_POLLS", 10_000) as usize;
    for side in Side::available() {
        let crowd = Crowd::new(Server::start(side), polls);
        crowd.evenly();
        for choices in [CHOICES.len(), 100] {
            crowd.beside_a_big_one(choices);
        }
    }
}

/// A server with many polls open.
struct Crowd {
    server: Server,
    polls: Vec<OpenPoll>,
    /// Votes in them so far.
    accepted: Cell<u64>,
    seconds: u64,
}

impl Crowd {
    fn new(server: Server, count: usize) -> Crowd {
        let began = Instant::now();
        let choices = CHOICES.map(String::from);
        let polls: Vec<OpenPoll> =
            (0..count.div_ceil(PER_EVENT)).flat_map(|event| server.open_polls(PER_EVENT.min(count - event * PER_EVENT), &choices)).collect();
        println!("\n{:?}: {count} polls open, {PER_EVENT} to an event, made within {:.0} s", server.side(), began.elapsed().as_secs_f64());
        Crowd { server, polls, accepted: Cell::new(0), seconds: setting("BENCH_SECONDS", 5) }
    }

    fn fire(&self, requests: Vec<Request>) -> Outcome {
        let outcome = fire(self.server.address, requests, CONNECTIONS, GENERATOR_THREADS, Duration::from_secs(self.seconds));
        assert_eq!((outcome.failed, outcome.refused), (0, 0), "votes failed, or were refused");
        outcome
    }

    /// Votes for all polls in turn, and as many for one, round by round; and the time until those for all are counted.
    fn evenly(&self) {
        let (mut all, mut one, mut counted) = (Vec::new(), Vec::new(), Vec::new());
        let snapshots = snapshots(&self.polls);
        for _ in 0..setting("BENCH_ROUNDS", 3) {
            let alone = self.server.open_polls(1, &CHOICES.map(String::from)).remove(0);
            let outcome = self.fire(self.server.requests_for(std::slice::from_ref(&alone), RATE_MAX * self.seconds as usize));
            self.server.drain_all(&[alone.snapshot], outcome.accepted);
            one.push(outcome.per_second());

            let outcome = self.fire(self.server.requests_for(&self.polls, RATE_MAX * self.seconds as usize));
            let stopped = Instant::now();
            self.accepted.set(self.accepted.get() + outcome.accepted);
            self.server.drain_all(&snapshots, self.accepted.get());
            counted.push(stopped.elapsed().as_secs_f64());
            all.push(outcome.per_second());
        }
        let (all, one, counted) = (median(all), median(one), median(counted));
        println!("  over all of them {all:.0} votes/s, in one alone {one:.0}: {:.2}; all counted {counted:.1} s after the last was accepted", all / one);
    }

    /// Quiet polls get a few votes a second each: first with nothing beside them, then while a big one gets nearly all there are, as fast as they
    /// are taken, and the others the rest.
    fn beside_a_big_one(&self, choices: usize) {
        let texts: Vec<String> = (1..=choices).map(|n| format!("Choice {n}")).collect();
        let big = self.server.open_polls(1, &texts).remove(0);
        let storm = self.storm(&big);
        let (before, snapshots) = (self.accepted.get(), [snapshots(&self.polls), vec![big.snapshot]].concat());
        let alone = self.quiet(|| ());
        let mut rate = 0.0;
        let beside = self.quiet(|| {
            let outcome = self.fire(storm);
            rate = outcome.per_second();
            self.server.drain_all(&snapshots, before + outcome.accepted);
        });
        // What went to the crowd stays in its polls, what went to the big one does not count next time.
        self.accepted.set(self.server.voters_of(&snapshots[..snapshots.len() - 1]));
        println!("  one poll of {choices} choices takes {SHARE_OF_THE_BIG_ONE} % of {rate:.0} votes/s; those of {QUIET} quiet ones are on their screens after");
        for (what, ms) in [("alone", alone), ("beside it", beside)] {
            let at = |q| quantile(&ms, q);
            println!("    {what:<10} p50 {:>5.0} ms, p99 {:>5.0} ms, at most {:>5.0} ms; {} votes", at(0.5), at(0.99), at(1.0), ms.len());
        }
    }

    fn storm(&self, big: &OpenPoll) -> Vec<Request> {
        let count = RATE_MAX * self.seconds as usize;
        let mut few = self.server.requests_for(&self.polls, count * (100 - SHARE_OF_THE_BIG_ONE) / 100).into_iter();
        let many = self.server.requests_for(std::slice::from_ref(big), count * SHARE_OF_THE_BIG_ONE / 100);
        many.chunks(SHARE_OF_THE_BIG_ONE).flat_map(|chunk| chunk.iter().cloned().chain(few.next()).collect::<Vec<_>>()).collect()
    }

    /// How long the votes of quiet polls wait for their screens while this goes on. All of a poll go to one choice, so that they stand in one
    /// line; and there are several polls, so that it does not hang on one whether it shares a lane with the big one.
    fn quiet(&self, meanwhile: impl FnOnce()) -> Vec<f64> {
        const RATE: usize = 10;
        let quiet: Vec<OpenPoll> = (0..QUIET).map(|_| OpenPoll { choices: 1, ..self.server.open_polls(1, &CHOICES.map(String::from)).remove(0) }).collect();
        let sent: Vec<_> = quiet
            .into_iter()
            .map(|poll| {
                let viewers = Viewers::start_at(self.server.address, &poll.stream, 1);
                let requests = self.server.requests_for(std::slice::from_ref(&poll), RATE * self.seconds as usize);
                let address = self.server.address;
                (std::thread::spawn(move || paced(address, &requests, RATE)), viewers)
            })
            .collect();
        meanwhile();
        let waits =
            |(sent, mut viewers): (std::thread::JoinHandle<Vec<i64>>, Viewers)| Waits::of(&sent.join().expect("the votes are answered"), &mut viewers).ms;
        let mut all: Vec<f64> = sent.into_iter().flat_map(waits).collect();
        all.sort_by(f64::total_cmp);
        all
    }
}

fn snapshots(polls: &[OpenPoll]) -> Vec<String> {
    let mut all: Vec<String> = polls.iter().map(|poll| poll.snapshot.clone()).collect();
    all.dedup();
    all
}

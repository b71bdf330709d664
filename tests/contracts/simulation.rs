//! Batcher, circuit, spill, replay, dedupe, close and finality under a seeded simulator (`simulation/world.rs` says of what it runs the real code,
//! and what it models): what must hold after every step and at rest, and the seeds. Each run begins at another one and says at which.
//! `GROUNDSWELL_TEST_SEED` runs one seed, `GROUNDSWELL_TEST_SEEDS` that many.

mod world;

use std::fmt;
use std::io::Write;

use groundswell::clock::now_ms;
use groundswell::domain::{BallotId, Books, CLOSE_GRACE_MS};

use world::{ALL_PLANTED, Planted, World};

const SEEDS: u64 = 10_000;
const STEPS: usize = 400;
/// Until everything has drained; it never takes nearly as many.
const TURNS_MAX: usize = 20_000;

fn run(seed: u64, planted: Option<Planted>) -> Result<World, String> {
    let mut world = World::new(seed, planted);
    for _ in 0..STEPS {
        world.step();
        check_always(&mut world)?;
    }
    come_to_rest(&mut world)?;
    check_at_rest(&world)?;
    Ok(world)
}

fn come_to_rest(world: &mut World) -> Result<(), String> {
    world.heal();
    for _ in 0..TURNS_MAX {
        world.drain();
        check_always(world)?;
        if world.is_at_rest() {
            return Ok(());
        }
    }
    Err(format!("it never comes to rest: {}", world.left()))
}

/// What may be said at any moment.
fn check_always(world: &mut World) -> Result<(), String> {
    let settled = world.settled();
    for (ballot, accepted_at) in &world.safe {
        if *accepted_at <= settled && !world.received.contains_key(ballot) {
            return Err(format!("final too early: all up to {settled} is called counted, and {ballot:?} of {accepted_at} is not"));
        }
    }
    if let Some(published) = &world.published
        && *published != world.rows
    {
        return Err(format!("not final: {published:?} was published as final, and now there is {:?}", world.rows));
    }
    if std::mem::take(&mut world.has_applied) && (world.books.imbalance(), world.doubled()) != (0, 0) {
        return Err(format!("doubled: tally and rows differ by {} votes; books: {:?}", world.doubled(), world.books));
    }
    Ok(())
}

fn check_at_rest(world: &World) -> Result<(), String> {
    for ballot in world.safe.keys() {
        match world.received.get(ballot) {
            Some(1) => {}
            None => return Err(format!("lost: {ballot:?}")),
            Some(times) => return Err(format!("doubled: {ballot:?} was applied {times} times")),
        }
    }
    if let Some((ballot, times)) = world.received.iter().find(|(_, times)| **times > 1) {
        return Err(format!("doubled: {ballot:?} was applied {times} times"));
    }
    if let Some(ballot) = world.refused.iter().find(|ballot| world.received.contains_key(ballot)) {
        return Err(format!("phantom: {ballot:?} was refused and counts"));
    }
    if let Some(ballot) = world.late.iter().find(|ballot| world.safe.get(ballot).is_some_and(|at| *at <= world.closed_at + CLOSE_GRACE_MS)) {
        return Err(format!("late: {ballot:?} was accepted in time"));
    }
    if let Some((ballot, at)) = world.safe.iter().find(|(b, at)| **at > world.closed_at + CLOSE_GRACE_MS && !world.late.contains(b)) {
        return Err(format!("late: {ballot:?} was accepted at {at}, the poll was closed at {}, and it counts", world.closed_at));
    }
    if let Some(ballot) = world.late.iter().find(|_| !world.may_be_late) {
        return Err(format!("late: {ballot:?}, though its process was never cut off and no clock was set back"));
    }
    let received = world.received.values().map(|times| i64::from(*times)).sum::<i64>();
    let Books { received: booked, counted, late, .. } = world.books;
    if (received, world.rows.len(), world.late.len()) != (booked, counted as usize, late as usize) {
        return Err(format!("books: {received} received, {} rows, {} late, and {:?}", world.rows.len(), world.late.len(), world.books));
    }
    if world.published.is_none() {
        return Err("the result never becomes final".into());
    }
    for (voter, row) in &world.rows {
        let counts = |ballot: &&BallotId| world.sent[*ballot].voter == *voter && !world.late.contains(*ballot);
        let highest = world.received.keys().filter(counts).map(|ballot| world.sent[ballot].revision).max();
        if highest != Some(row.revision) {
            return Err(format!("wrong: voter {voter:?} has revision {}, the highest is {highest:?}", row.revision));
        }
    }
    Ok(())
}

/// Past the test harness, which would keep it to itself when all is well.
fn say(line: impl fmt::Display) {
    let _ = writeln!(std::io::stderr(), "simulation: {line}");
}

#[test]
fn whatever_fails_when_nothing_safe_is_lost_doubled_or_left_out_of_a_final_result() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let (first, seeds) = match (number("GROUNDSWELL_TEST_SEED"), number("GROUNDSWELL_TEST_SEEDS")) {
        (Some(seed), _) => (seed, 1),
        // Never the same ones again.
        (None, seeds) => (now_ms() as u64, seeds.unwrap_or(SEEDS)),
    };
    let (mut safe, mut refused, mut instances, mut late) = (0, 0, 0, 0);
    for seed in first..first + seeds {
        let world = run(seed, None).unwrap_or_else(|why| panic!("seed {seed}: {why}\nGROUNDSWELL_TEST_SEED={seed} runs it alone"));
        (safe, refused) = (safe + world.safe.len(), refused + world.refused.len());
        (instances, late) = (instances + world.deaths as usize + 1, late + world.late.len());
    }
    say(format_args!(
        "{seeds} seeds from {first}, {instances} processes, {safe} ballots called safe, {refused} refused, {late} late: lost 0, doubled 0, phantom 0, wrong 0, books 0"
    ));
    // A simulator in which nothing happens proves nothing.
    if seeds >= SEEDS {
        assert!(safe > 400_000 && refused > 1_000 && instances > SEEDS as usize && late > 100, "{safe} {refused} {instances} {late}");
    }
}

/// By the same seeds in every run: that a mistake is caught must not be luck.
#[test]
fn every_planted_mistake_is_caught() {
    const SEEDS_MAX: u64 = 5_000;
    for planted in ALL_PLANTED {
        let caught = (0..SEEDS_MAX).find_map(|seed| run(seed, Some(planted)).err().map(|why| (seed, why)));
        let (seed, why) = caught.unwrap_or_else(|| panic!("{planted:?} was not caught in {SEEDS_MAX} seeds"));
        say(format_args!("planted {planted:?}: caught by seed {seed}: {why}"));
    }
}

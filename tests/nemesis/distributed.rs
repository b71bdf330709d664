//! Two web and two tally processes on RabbitMQ and Postgres. Short: every fault once, in a seeded order, in each test run. Long: faults
//! at random, for as long as asked, act after act; each act is a poll of its own that ends with the checker.

use std::path::Path;
use std::time::{Duration, Instant};

use fastrand::Rng;
use groundswell::clock::now_ms;
use serde_json::Value;

use crate::client::Line;
use crate::cluster::{Cluster, PATIENCE, Plan, REDELIVERED, SPILLED, are_soon_ready};
use crate::door::Door;
use crate::faults::{ALL, Costs, Fault, Ground};
use crate::judge::{Report, Viewer, judge, judge_round, keep_history, say};
use crate::one_at_a_time;
use crate::proxy::Weather;
use crate::services::Services;
use crate::support::stalls::Disk;
use crate::support::{TOKEN, not_run};
use crate::voters::{Answers, Crowd, Habits};

/// Of a short run. A test build on two cores that also carry broker and database.
const SHORT: Habits = Habits { people: 12_000, per_second: 400, connections: 64, seed: 0, round: None };
const SHORT_FAULT_S: f64 = 1.6;
/// One poll of a long run: short enough to be held in memory and looked through.
const ACT: Duration = Duration::from_secs(180);
/// A disk on which one page waits for so long takes nobody's vote within the time that a vote may stand in line; spills are on that very disk.
const STOOD_STILL: Duration = Duration::from_secs(1);
/// Until all who stood in line then, and who came behind them, have been answered.
const FELT_FOR: Duration = Duration::from_secs(3);
/// Of so many faults one is long.
const LONG_ONE_IN: u32 = 10;

fn plan() -> Plan {
    let binary = std::env::var_os("GROUNDSWELL_TEST_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_groundswell").into());
    Plan { binary: binary.into(), planted: None, webs: 2, tallies: 2 }
}

pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

pub fn seed() -> u64 {
    number("GROUNDSWELL_TEST_NEMESIS_SEED").unwrap_or(now_ms() as u64 % 1_000_000)
}

/// One poll, with faults while people vote. `next` says which fault, and when it is over.
fn act(cluster: &mut Cluster, disk: &Disk, habits: Habits, poisons: &mut u64, mut next: impl FnMut(&mut Rng) -> Option<(&'static Fault, f64, f64)>) -> Report {
    let seed = habits.seed;
    let mut rng = Rng::with_seed(seed);
    let door = cluster.open_poll();
    let crowd = Crowd::join(&door, cluster.addresses.clone(), habits);
    let viewer = Viewer::watch(&door, cluster.addresses.clone());
    let mut faults = 0;
    // Of the faults that must cost nothing.
    let (mut accepted_meanwhile, mut turned_away, mut on_a_still_disk) = (0, 0, 0);
    let run = std::panic::AssertUnwindSafe(|| {
        crowd.begin();
        while let Some((fault, seconds, pause)) = next(&mut rng) {
            let (before, given_up, began) = (crowd.answers(), crowd.given_up(), Instant::now());
            let refused_before = cluster.refused_by_reason();
            let door = door.at(cluster.address());
            let mut ground = Ground { cluster, crowd: &crowd, door: &door, rng: &mut rng, seconds, poisons, not_done: None };
            (fault.inflict)(&mut ground);
            if let Some(why) = ground.not_done {
                not_run(&format!("{}: {why}", fault.name));
                say(format_args!("{:<40} NOT DONE: {why}", fault.name));
                continue;
            }
            if pause == 0.0 {
                cluster.until_flowing();
            }
            crowd.go_on_for(pause);
            faults += 1;
            let after = crowd.answers();
            let [accepted, refused, unknown] = [after.accepted - before.accepted, after.refused - before.refused, after.unknown - before.unknown];
            say(format_args!("{:<40} {:5.1} s: {accepted} accepted, {refused} refused, {unknown} unknown", fault.name, began.elapsed().as_secs_f64()));
            // A phone sends again what was not called safe: people notice nothing, not of a rolling restart and not of a process that is killed.
            let in_vain = crowd.given_up() - given_up;
            assert!(pause > 0.0 || in_vain == 0, "{}: {in_vain} votes did not get through by being sent again", fault.name);
            if refused > 0 {
                let more = cluster.refused_by_reason().into_iter().zip(refused_before).map(|((why, now), (_, before))| (why, now - before));
                let why: Vec<String> = more.filter(|(_, more)| *more > 0.0).map(|(why, more)| format!("{why} {more}")).collect();
                say(format_args!("{:<40} refused: {}", fault.name, why.join(", ")));
            }
            let waited = disk.slowest_since(began);
            if waited >= STOOD_STILL {
                say(format_args!("{:<40} the disk made a page wait for {:.2} s meanwhile", fault.name, waited.as_secs_f64()));
            }
            if fault.costs == Costs::Nothing {
                let excused = |at: Instant, status: u16| status == 503 && disk.stood_still(at - FELT_FOR, at, STOOD_STILL);
                let (without, with) = if refused + unknown > 0 { crowd.turned_away_since(began, excused) } else { (0, 0) };
                (accepted_meanwhile, turned_away, on_a_still_disk) = (accepted_meanwhile + accepted, turned_away + without, on_a_still_disk + with);
            }
        }
        cluster.heal();
        crowd.stop();
        let door = door.at(cluster.address());
        cluster.until_flowing();
        let mut report = judge(&door, &crowd, &viewer);
        (report.seed, report.faults) = (seed, faults);
        (report.accepted_meanwhile, report.turned_away) = (accepted_meanwhile, turned_away);
        if on_a_still_disk > 0 {
            say(format_args!("{on_a_still_disk} more were refused while the disk stood still"));
        }
        assert_eq!(crowd.strange(), [0u16; 0], "answers that nobody should get");
        report
    });
    let outcome = std::panic::catch_unwind(run);
    if !outcome.as_ref().is_ok_and(Report::is_clean) {
        let at = keep_history(seed, &crowd, |at: &Path| cluster.keep_logs(at));
        say(format_args!("seed {seed} FAILED; GROUNDSWELL_TEST_NEMESIS_SEED={seed} runs it again; its history is in {}", at.display()));
    }
    if crowd.not_sent() > 0 {
        say(format_args!("{} votes were meant to be sent and were not: the generator was the limit", crowd.not_sent()));
    }
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn sums(cluster: &Cluster, report: &mut Report) {
    (report.redelivered, report.spilled) = (cluster.sum(REDELIVERED), cluster.sum(SPILLED));
    say(format_args!("a killed web process was ready again within {:.2} s", are_soon_ready(&cluster.starts).as_secs_f64()));
}

#[test]
fn every_fault_once_under_load_costs_no_vote_and_nothing_is_counted_twice() {
    let _turn = one_at_a_time();
    let Some(services) = Services::shared() else { return };
    let seed = seed();
    let mut cluster = Cluster::start(services, plan());
    let mut order: Vec<&Fault> = ALL.iter().collect();
    Rng::with_seed(seed).shuffle(&mut order);
    let only = std::env::var("GROUNDSWELL_TEST_NEMESIS_FAULT").ok();
    order.retain(|fault| only.as_ref().is_none_or(|only| fault.name.contains(only)));
    let mut order = order.into_iter();
    let mut poisons = 0;
    let mut report = act(&mut cluster, &Disk::watch(), Habits { seed, ..SHORT }, &mut poisons, |_| Some((order.next()?, SHORT_FAULT_S, 0.0)));
    sums(&cluster, &mut report);
    say(&report);
    cluster.recount();
    assert!(report.is_clean(), "{:?}", report.verdict);
    report.accepting_went_on();
    if only.is_none() {
        // A nemesis in which nothing happens proves nothing.
        let bites = report.acked > 5_000 && report.spilled > 500 && report.redelivered > 0 && report.absorbed > 0 && report.unanswered > 0;
        assert!(bites, "{} sendings unanswered, {report}", report.unanswered);
    }
}

/// Slow, not silent, and more votes than it confirms in time: the lines before the lanes would fill, though there is a disk.
#[test]
fn a_broker_too_slow_for_the_load_costs_no_refusal() {
    const SLOW: Habits = Habits { people: 20_000, per_second: 1_500, connections: 256, seed: 0, round: None };
    const SECONDS: f64 = 8.0;
    let _turn = one_at_a_time();
    let Some(services) = Services::shared() else { return };
    let seed = seed();
    let mut cluster = Cluster::start(services, plan());
    let mut faults = ALL.iter().filter(|fault| fault.name == "broker late");
    let mut poisons = 0;
    let mut report = act(&mut cluster, &Disk::watch(), Habits { seed, ..SLOW }, &mut poisons, |_| Some((faults.next()?, SECONDS, 0.0)));
    sums(&cluster, &mut report);
    say(&report);
    cluster.recount();
    assert!(report.is_clean(), "{:?}", report.verdict);
    report.accepting_went_on();
    assert!(report.spilled > 0, "the broker kept up, so nothing is proven: {report}");
}

/// The connection is gone, and for half a minute every word to and from the broker is late: longer than it takes to give up asking for lanes.
/// What was given up must not go on holding one, as each lane has one consumer at a time.
#[test]
fn lanes_that_were_asked_for_in_vain_are_counted_when_the_broker_is_quick_again() {
    const LATE_S: f64 = 35.0;
    let _turn = one_at_a_time();
    let Some(services) = Services::shared() else { return };
    let cluster = Cluster::start(services, plan());
    let (door, crowd, viewer) = open_with(&cluster, Habits { seed: seed(), ..SHORT });
    crowd.begin();
    crowd.go_on_for(1.0);
    cluster.tally_broker.set(Weather::Torn);
    crowd.go_on_for(0.5);
    cluster.tally_broker.set(Weather::Late(Duration::from_millis(200)));
    crowd.go_on_for(LATE_S);
    cluster.tally_broker.set(Weather::Fair);
    cluster.until_flowing();
    crowd.stop();
    let report = judge(&door, &crowd, &viewer);
    say(&report);
    assert!(report.is_clean(), "{:?}", report.verdict);
}

/// A database so far away that a close takes seconds until all know of it, while people go on voting and are told 202: those votes are not late.
#[test]
fn a_close_through_a_slow_database_makes_no_vote_late() {
    let _turn = one_at_a_time();
    let Some(services) = Services::shared() else { return };
    let mut cluster = Cluster::start(services, plan());
    let (door, crowd, viewer) = open_with(&cluster, Habits { seed: seed(), ..SHORT });
    crowd.begin();
    crowd.go_on_for(1.0);
    cluster.database_proxies().into_iter().for_each(|proxy| proxy.set(Weather::Late(Duration::from_millis(150))));
    let (before, asked) = (crowd.answers(), Instant::now());
    // Longer than a test usually waits for an answer.
    let mut line = Line::at(door.address);
    line.patience(PATIENCE);
    let headers = [("authorization", &*format!("Bearer {TOKEN}")), ("content-type", "application/json")];
    line.ask("PUT", &format!("/api/v1/polls/{}/state", door.poll), &headers, Some(r#"{"state":"closed"}"#)).expect(200);
    let took = asked.elapsed();
    crowd.go_on_for(1.0);
    let accepted = crowd.answers().accepted - before.accepted;
    cluster.heal();
    crowd.stop();
    cluster.until_flowing();
    let report = judge(&door, &crowd, &viewer);
    say(&report);
    assert!(report.is_clean(), "{:?}", report.verdict);
    assert_eq!(door.books()["late"], 0, "of {accepted} that were accepted after the close was asked for");
    assert!(took > Duration::from_secs(2) && accepted > 0, "nothing is proven: it took {took:?}, {accepted} accepted");
}

/// The last votes of the first round lie on the disks of servers that the broker has left, and one of those dies, while people vote in the second.
#[test]
fn each_round_keeps_its_own_votes_whatever_fails_between_them() {
    let _turn = one_at_a_time();
    let Some(services) = Services::shared() else { return };
    let mut cluster = Cluster::start(services, plan());
    let habits = |round| Habits { seed: seed() + u64::from(round), people: 4_000, round: Some(round), ..SHORT };
    let (door, first, viewer) = open_with(&cluster, habits(1));
    let second = Crowd::join(&door, cluster.addresses.clone(), habits(2));
    first.begin();
    first.go_on_for(1.0);
    cluster.webs.iter().for_each(|web| web.broker.set(Weather::Torn));
    first.go_on_for(1.0);
    first.while_closed(|| {
        door.set_state("closed");
        door.owner("POST", &format!("/api/v1/polls/{}/rounds", door.poll), Value::Null).expect(201);
        door.set_state("open");
        second.begin();
        second.go_on_for(1.0);
        cluster.kill_web(0);
        second.go_on_for(1.0);
        cluster.heal();
        first.stop();
    });
    second.stop();
    let door = door.at(cluster.address());
    cluster.until_flowing();
    let reports = [judge(&door, &second, &viewer), judge_round(&door, 1, &first)];
    cluster.recount();
    for (report, crowd) in reports.iter().zip([&second, &first]) {
        say(report);
        assert!(report.is_clean(), "{:?}", report.verdict);
        assert_eq!(crowd.strange(), [0u16; 0], "answers that nobody should get");
        assert!(report.acked > 300, "nothing is proven: {report}");
    }
    // Told so, or left in doubt, while nobody could know whether an earlier sending lies on a disk.
    let Answers { refused, unknown, .. } = first.answers();
    assert!(refused + unknown > 0 && cluster.sum(SPILLED) > 0, "nothing is proven: nobody came too late, or nothing was on a disk");
}

#[test]
fn random_faults_for_as_long_as_asked_cost_no_vote() {
    let Some(minutes) = number("GROUNDSWELL_TEST_NEMESIS_MINUTES") else { return };
    let _turn = one_at_a_time();
    let services = Services::shared().expect("scripts/nemesis starts services");
    let (seed, began) = (seed(), Instant::now());
    let end = began + Duration::from_secs(minutes * 60);
    let per_second = number("GROUNDSWELL_TEST_NEMESIS_RATE").unwrap_or(3_000);
    say(format_args!("{minutes} minutes, {per_second} votes a second, seed {seed}"));
    let mut cluster = Cluster::start(services, plan());
    let disk = Disk::watch();
    let (mut total, mut poisons) = (Report { seed, drained: true, ..Report::default() }, 0);
    for number in 0.. {
        if Instant::now() >= end {
            break;
        }
        let act_end = end.min(Instant::now() + ACT);
        let habits = Habits { people: (per_second * ACT.as_secs() / 6) as usize, per_second, connections: 256, seed: seed + number, round: None };
        let report = act(&mut cluster, &disk, habits, &mut poisons, |rng| {
            let fault = &ALL[rng.usize(..ALL.len())];
            // Every 10 to 30 s, and most last a good part of that; now and then one lasts as long as it takes to restart a machine.
            let seconds = if rng.u32(..LONG_ONE_IN) == 0 { 30.0 + rng.f64() * 30.0 } else { 2.0 + rng.f64() * 10.0 };
            (Instant::now() < act_end).then_some((fault, seconds, (8.0 + rng.f64() * 10.0 - seconds / 2.0).max(1.0)))
        });
        say(format_args!("act {}: {report}", number + 1));
        let clean = report.is_clean();
        total.add(&report);
        (total.faults, total.drained) = (total.faults + report.faults, total.drained && report.drained);
        assert!(clean, "{:?}", report.verdict);
    }
    sums(&cluster, &mut total);
    say(format_args!("{:.1} minutes: {total}", began.elapsed().as_secs_f64() / 60.0));
    say(format_args!("with 95 % confidence fewer than {:.1e} of the acknowledged are lost", 3.0 / total.acked.max(1) as f64));
    cluster.recount();
    assert!(total.is_clean());
    total.accepting_went_on();
}

/// For scenarios that need no crowd of their own.
pub fn open_with(cluster: &Cluster, habits: Habits) -> (Door, Crowd, Viewer) {
    let door = cluster.open_poll();
    let crowd = Crowd::join(&door, cluster.addresses.clone(), habits);
    let viewer = Viewer::watch(&door, cluster.addresses.clone());
    (door, crowd, viewer)
}

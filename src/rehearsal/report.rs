//! From what a rehearsal measured to what it means: figures, what limited the run, whether the audience fits. Pure; how it looks is in
//! `page` and `terminal`. The shape of `report.json` is in `wire`, and docs/rehearsal.md describes it.

use hdrhistogram::Histogram;

use super::crowd::{Habits, Share};
use super::machine::{OURSELVES, Spent};
use super::viewers::Frame;
use crate::domain::{Books, Millis};
pub use crate::wire::rehearsal::*;

/// Points of a plot over time; more are finer than a line.
const POINTS: usize = 160;
/// Everybody is patient for this long.
const PATIENCE_S: f64 = 5.0;
/// A run of nearly that length says what an installation takes for as long; so much of it.
const LASTED: f64 = 0.9;
/// An answer within this is an answer at once.
const AT_ONCE_MS: f64 = 1_000.0;

impl From<&Books> for BooksPart {
    fn from(b: &Books) -> BooksPart {
        BooksPart { received: b.received, counted: b.counted, superseded: b.superseded, duplicate: b.duplicate, late: b.late }
    }
}

impl Percentiles {
    /// Of sorted values.
    pub fn of_sorted(sorted: &[f64]) -> Percentiles {
        let at = |part: f64| sorted.get(((sorted.len() as f64 * part).ceil() as usize).clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(0.0);
        Percentiles { count: sorted.len() as u64, p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: at(1.0) }
    }

    /// Of a histogram in so many units a millisecond.
    pub fn of(histogram: &Histogram<u64>, units_per_ms: f64) -> Percentiles {
        let at = |part: f64| histogram.value_at_quantile(part) as f64 / units_per_ms;
        Percentiles { count: histogram.len(), p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: histogram.max() as f64 / units_per_ms }
    }
}

/// All latencies from the tap, sorted, in milliseconds.
pub fn latencies(shares: &[&Share]) -> Vec<f64> {
    let mut all: Vec<u64> = shares.iter().flat_map(|s| s.fates.iter().flatten().filter_map(|f| f.latency_us())).collect();
    all.sort_unstable();
    all.into_iter().map(|us| us as f64 / 1_000.0).collect()
}

/// Successes a second, from the first tap until 95 % of them had come: the last few are people who think, or who were sent away.
pub fn pace(mut answered_at_us: Vec<u64>) -> f64 {
    const MOST: f64 = 0.95;
    answered_at_us.sort_unstable();
    let most = (answered_at_us.len() as f64 * MOST).ceil() as usize;
    answered_at_us.get(most.saturating_sub(1)).map_or(0.0, |us| most as f64 / (*us as f64 / 1e6).max(1e-6))
}

/// Percent of ballots and milliseconds, closer together towards the end: where the patience of people is decided.
pub fn curve(sorted: &[f64]) -> Vec<(f64, f64)> {
    const STEPS_PER_NINE: i32 = 24;
    if sorted.is_empty() {
        return Vec::new();
    }
    // Each step leaves less than the one before: 90 %, 99 %, 99.9 %, as far as there are ballots behind it.
    let left = (0..).map(|step| 10f64.powf(-f64::from(step) / f64::from(STEPS_PER_NINE))).take_while(|left| left * sorted.len() as f64 >= 1.0);
    let mut points: Vec<(f64, f64)> =
        left.map(|left| (100.0 * (1.0 - left), sorted[((sorted.len() as f64 * (1.0 - left)) as usize).min(sorted.len() - 1)])).collect();
    points.push((100.0, *sorted.last().expect("not empty")));
    points
}

/// People who had tapped, had been answered, and were in the document, over time. `frames` are the presenter's.
pub fn timeline(habits: &Habits, shares: &[&Share], frames: &[Frame], start: Millis, until_s: f64) -> Vec<Point> {
    let mut answered: Vec<u64> = shares.iter().flat_map(|s| s.answers(habits).map(|(_, answered)| answered)).collect();
    answered.sort_unstable();
    let end_us = (until_s.max(0.001) * 1e6) as u64;
    let mut tapped = 0u32;
    (0..=POINTS)
        .map(|point| {
            let us = end_us * point as u64 / POINTS as u64;
            while tapped < habits.people && habits.taps_at(tapped) <= us {
                tapped += 1;
            }
            let seen = frames.partition_point(|f| f.at <= start + (us / 1_000) as Millis);
            let counted = frames[..seen].last().and_then(|f| f.books).map_or(0, |b| b.counted);
            Point { s: us as f64 / 1e6, tapped: u64::from(tapped), accepted: answered.partition_point(|a| *a <= us) as u64, counted: counted.max(0) as u64 }
        })
        .collect()
}

/// From the acceptance of each vote to the frame that first showed so many votes. `accepted` is sorted, in milliseconds of the server's
/// clock; `offset` is what the server's clock is ahead of ours.
pub fn freshness(accepted: &[Millis], viewers: &[Vec<Frame>], start: Millis, offset: Millis) -> (Percentiles, Vec<(f64, f64)>) {
    const MAX_MS: u64 = 3_600_000;
    let mut all = Histogram::<u64>::new_with_max(MAX_MS, 3).expect("the bounds are right");
    let mut ages = Vec::new();
    for (viewer, frames) in viewers.iter().enumerate() {
        let mut shown = 0usize;
        for frame in frames {
            let now = (frame.counts.voters.max(0) as usize).min(accepted.len());
            if now <= shown {
                continue;
            }
            let age = |at: &Millis| (frame.at + offset - at).max(0) as u64;
            accepted[shown..now].iter().for_each(|at| all.saturating_record(age(at)));
            if viewer == 0 {
                ages.push(((frame.at - start) as f64 / 1_000.0, age(&accepted[shown]) as f64));
            }
            shown = now;
        }
    }
    (Percentiles::of(&all, 1.0), thinned(ages))
}

/// The worst of each stretch: a report is one page, and a long rehearsal has thousands of frames.
fn thinned(ages: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    const AGES_MAX: usize = 320;
    let stretch = ages.len().div_ceil(AGES_MAX).max(1);
    ages.chunks(stretch).filter_map(|part| part.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1))).collect()
}

/// What the decision about the limit rests on.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// When the last vote was meant, second thoughts included; and when it was accepted.
    pub last_tap_s: f64,
    pub last_accepted_s: f64,
    /// Everybody had an answer: what `storm` and `generator_busy` reach to.
    pub answered_s: f64,
    pub from_tap: Percentiles,
    pub on_the_wire: Percentiles,
    pub attempts: u64,
    pub sheds: u64,
    pub troubles: u64,
    pub connections: usize,
    pub per_second: f64,
    pub cores: usize,
    pub server_seen: bool,
    pub storm: Spent,
    pub generator_busy: f64,
}

/// More than this of what there is, is all of it: the rest goes to the kernel's own work and to gaps between two looks.
pub const FULL: f64 = 0.85;
const MANY_SHEDS: f64 = 0.05;
const MANY_TROUBLES: f64 = 0.01;

/// Decided in this order; the first that holds. Each says by which figures.
pub fn limit(c: &Circumstances) -> Limit {
    let attempts = c.attempts.max(1) as f64;
    let (sheds, troubles) = (c.sheds as f64 / attempts, c.troubles as f64 / attempts);
    let busy: f64 = c.storm.values().sum::<f64>() / (c.cores as f64 * c.answered_s.max(0.001));
    let rest_ms = (c.last_accepted_s - c.last_tap_s) * 1_000.0;
    if c.from_tap.count == 0 {
        return Limit { what: Bottleneck::Nothing, why: "No vote was accepted, so nothing was measured.".into() };
    }
    if troubles > MANY_TROUBLES {
        let why = format!("{:.1} % of all attempts ended in a timeout, a reset or an error. Look at the server's log before anything else.", troubles * 100.0);
        return Limit { what: Bottleneck::Errors, why };
    }
    if sheds > MANY_SHEDS {
        let why = format!("The server sent {:.0} % of all attempts away with 503 to keep the rest fast: its waiting room was full.", sheds * 100.0);
        return Limit { what: Bottleneck::Shedding, why };
    }
    if c.from_tap.p99 <= AT_ONCE_MS && rest_ms <= 2.0 * AT_ONCE_MS {
        let why = format!(
            "Nothing did: the server kept up with the taps. Of all answers, 99 % came within {} of the tap. It may be able to take more.",
            ms(c.from_tap.p99)
        );
        return Limit { what: Bottleneck::Taps, why };
    }
    if c.server_seen && busy >= FULL {
        let mut shares: Vec<(&String, &f64)> = c.storm.iter().collect();
        shares.sort_by(|a, b| b.1.total_cmp(a.1));
        let total: f64 = c.storm.values().sum::<f64>().max(1e-9);
        let list: Vec<String> = shares.iter().map(|(name, s)| format!("{name} {:.0} %", **s / total * 100.0)).collect();
        let own = c.storm.get(OURSELVES).copied().unwrap_or(0.0) / total;
        let more = if own >= 0.2 { " On a machine of its own, the rehearsal would leave its part to the server." } else { "" };
        let why = format!(
            "The processors of this machine: its {} cores were {:.0} % busy until everybody had an answer. Of that: {}.{more}",
            c.cores,
            busy.min(1.0) * 100.0,
            list.join(", ")
        );
        return Limit { what: Bottleneck::Processor, why };
    }
    if c.generator_busy >= FULL {
        let why = format!(
            "The rehearsal itself: its busiest thread had its core to {:.0} %. The server may be able to take more; rehearse from a machine with more cores, or from several.",
            c.generator_busy.min(1.0) * 100.0
        );
        return Limit { what: Bottleneck::Generator, why };
    }
    let why = format!(
        "{} connections, each busy for {} with the middle vote, come to {} votes a second, and neither the rehearsal's threads ({:.0} % busy) nor {} were full. Disk, broker or network decide; more --connections may show more.",
        count(c.connections as u64),
        ms(c.on_the_wire.p50),
        count(c.per_second as u64),
        c.generator_busy.min(1.0) * 100.0,
        if c.server_seen { format!("the machine's cores ({:.0} %)", busy.min(1.0) * 100.0) } else { "anything else that can be seen from here".into() },
    );
    Limit { what: Bottleneck::Waiting, why }
}

/// What the verdict on an audience rests on.
#[derive(Clone, Debug)]
pub struct Audience {
    pub people: u64,
    pub over_s: f64,
    pub answered: u64,
    pub from_tap: Percentiles,
    pub last_accepted_s: f64,
    pub per_second: f64,
    /// The taps set the pace, not the server: it may take more.
    pub kept_up: bool,
    /// Everybody was answered, and every promise was kept.
    pub complete: bool,
    /// Whether promises were kept is not known.
    pub unchecked: bool,
    pub stopped: bool,
}

/// Whether every promise was kept. What is not counted yet may be missing without being lost, and where nothing was promised nothing was
/// proven: neither is called broken, nor kept. `complete`: all was counted, and all could be read.
pub fn verdict(check: &Verdict, answers: &Answers, complete: bool) -> Outcome {
    // These no later counting puts right.
    if answers.contradicted + check.unexpected + check.phantom > 0 {
        return Outcome::Broken;
    }
    if !complete || answers.accepted == 0 {
        return Outcome::Unchecked;
    }
    // Whoever was told that a vote is safe is somebody the check has looked at.
    if check.is_clean() && check.answered == answers.people { Outcome::Kept } else { Outcome::Broken }
}

pub fn fit(audience: &Audience) -> Fit {
    let Audience { people, over_s, answered, from_tap, last_accepted_s, per_second, kept_up, complete, unchecked, stopped } = audience.clone();
    let whole = format!("An audience of {} voting within {}", count(people), seconds(over_s));
    let needed = people as f64 / (over_s + PATIENCE_S);
    // What arrives over the time given, and what is still worked off within everybody's patience.
    let lasted = last_accepted_s >= PATIENCE_S * LASTED;
    let within = (per_second * (over_s + PATIENCE_S)) as u64;
    let within = lasted.then_some(if kept_up { within.max(people) } else { within });
    let took = if kept_up { "at least " } else { "" };
    let enough = match within {
        Some(within) => format!("which is enough for {took}{} people", count(within)),
        None => format!("for {}: too short a time to say for how many people that would be enough", seconds(last_accepted_s)),
    };
    let plan = format!(
        "For everyone answered within {PATIENCE_S:.0} s, this audience needs about {} votes a second; this installation took {took}{}, {enough}.",
        count(needed.ceil() as u64),
        count(per_second as u64),
    );
    let (word, sentence) = if stopped {
        (Fits::Unproven, format!("{whole} was not put to the proof: the rehearsal was stopped after {} people.", count(answered)))
    } else if unchecked && answered >= people {
        (Fits::Unproven, format!("{whole} was answered, but whether every answer was kept could not be checked."))
    } else if !complete {
        let why =
            if answered < people { format!("{} of them were never answered", count(people - answered)) } else { "a promise was broken, see below".into() };
        (Fits::TooMany, format!("{whole} does not fit: {why}."))
    } else if from_tap.p99 <= AT_ONCE_MS {
        (Fits::Fits, format!("{whole} fits: 99 % of all votes were answered within {} of the tap, the slowest within {}.", ms(from_tap.p99), ms(from_tap.max)))
    } else if from_tap.max <= PATIENCE_S * 1_000.0 {
        (
            Fits::Waits,
            format!("{whole} fits, with some waiting: half of all votes were answered within {}, the slowest within {}.", ms(from_tap.p50), ms(from_tap.max)),
        )
    } else {
        (Fits::TooMany, format!("{whole} is more than this installation answers within {PATIENCE_S:.0} s; it took them all, in {}.", seconds(last_accepted_s)))
    };
    let sentence = if stopped { sentence } else { format!("{sentence} {plan}") };
    Fit { word, sentence, took_per_second: per_second, needed_per_second: needed, people_within_patience: within }
}

/// 1,234,567
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Milliseconds in the unit people think in.
pub fn ms(value: f64) -> String {
    if value >= 1_000.0 {
        seconds(value / 1_000.0)
    } else if value >= 10.0 {
        format!("{value:.0} ms")
    } else {
        format!("{value:.1} ms")
    }
}

pub fn seconds(value: f64) -> String {
    match value {
        v if v >= 120.0 => format!("{:.0} min", v / 60.0),
        v if v >= 10.0 => format!("{v:.1} s"),
        v if v.fract() == 0.0 => format!("{v:.0} s"),
        v if v < 1.0 => format!("{:.0} ms", v * 1_000.0),
        v => format!("{v:.2} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearsal::checker::Counts;

    fn circumstances() -> Circumstances {
        let slow = Percentiles { count: 1_000_000, p50: 8_000.0, p90: 15_000.0, p99: 16_500.0, p999: 16_900.0, max: 17_000.0 };
        Circumstances {
            last_tap_s: 2.2,
            last_accepted_s: 17.0,
            answered_s: 17.0,
            from_tap: slow,
            on_the_wire: Percentiles { count: 1_000_000, p50: 17.0, ..Percentiles::default() },
            attempts: 1_150_000,
            sheds: 0,
            troubles: 0,
            connections: 1_024,
            per_second: 59_000.0,
            cores: 2,
            server_seen: true,
            storm: Spent::from([("rehearsal".into(), 9.0), ("server".into(), 24.0)]),
            generator_busy: 0.3,
        }
    }

    #[test]
    fn what_limited_a_run_is_decided_by_figures_and_says_which() {
        let base = circumstances();
        let quick = Percentiles { count: 10, p50: 3.0, p99: 20.0, max: 30.0, ..Percentiles::default() };
        for (c, what, says) in [
            (base.clone(), Bottleneck::Processor, "server 73 %, rehearsal 27 %"),
            (Circumstances { server_seen: false, generator_busy: 0.97, ..base.clone() }, Bottleneck::Generator, "97 %"),
            (Circumstances { storm: Spent::from([("server".into(), 5.0)]), ..base.clone() }, Bottleneck::Waiting, "1,024 connections"),
            (Circumstances { sheds: 200_000, ..base.clone() }, Bottleneck::Shedding, "17 %"),
            (Circumstances { troubles: 20_000, ..base.clone() }, Bottleneck::Errors, "1.7 %"),
            (Circumstances { from_tap: quick, last_accepted_s: 1.1, ..base.clone() }, Bottleneck::Taps, "20 ms"),
            // A show of a minute: whoever changes their mind does so up to a minute later, and that is no slowness of the server's.
            (Circumstances { from_tap: quick, last_tap_s: 119.8, last_accepted_s: 119.9, answered_s: 60.0, ..base.clone() }, Bottleneck::Taps, "20 ms"),
            (Circumstances { last_tap_s: 119.8, last_accepted_s: 124.0, answered_s: 17.0, ..base.clone() }, Bottleneck::Processor, "97 % busy"),
            (Circumstances { from_tap: Percentiles::default(), ..base }, Bottleneck::Nothing, "No vote"),
        ] {
            let found = limit(&c);
            assert!(found.what == what && found.why.contains(says), "{what}: {found:?}");
        }
    }

    #[test]
    fn the_verdict_on_an_audience_is_a_plain_sentence() {
        let slow = circumstances().from_tap;
        let fit = |p: &Percentiles, complete, stopped| {
            super::fit(&Audience {
                people: 1_000_000,
                over_s: 1.0,
                answered: if complete { 1_000_000 } else { 999_990 },
                from_tap: *p,
                last_accepted_s: 17.0,
                per_second: 58_800.0,
                kept_up: false,
                complete,
                unchecked: false,
                stopped,
            })
        };
        let too_many = fit(&slow, true, false);
        assert_eq!((too_many.word, too_many.people_within_patience), (Fits::TooMany, Some(352_800)));
        assert!(too_many.sentence.contains("An audience of 1,000,000 voting within 1 s is more than") && too_many.sentence.contains("in 17.0 s"));
        assert!(too_many.sentence.contains("about 166,667 votes a second"), "{}", too_many.sentence);
        let waits = Percentiles { p50: 900.0, p99: 3_000.0, max: 4_900.0, ..slow };
        let fits = Percentiles { p50: 9.0, p99: 300.0, max: 2_900.0, ..slow };
        assert_eq!((fit(&waits, true, false).word, fit(&fits, true, false).word), (Fits::Waits, Fits::Fits));
        assert_eq!((fit(&fits, false, false).word, fit(&fits, true, true).word), (Fits::TooMany, Fits::Unproven));
    }

    #[test]
    fn what_could_not_be_checked_is_neither_kept_nor_broken() {
        let answers = Answers { accepted: 12, people: 10, ..Answers::default() };
        let check = Verdict { voters: 10, answered: 10, ..Verdict::default() };
        let lost = Verdict { lost: 1, ..check.clone() };
        assert_eq!((verdict(&check, &answers, true), verdict(&lost, &answers, true)), (Outcome::Kept, Outcome::Broken));
        assert_eq!((verdict(&check, &answers, false), verdict(&lost, &answers, false)), (Outcome::Unchecked, Outcome::Unchecked));
        assert_eq!(verdict(&Verdict { phantom: 1, ..check.clone() }, &answers, false), Outcome::Broken);
        assert_eq!(verdict(&Verdict { answered: 9, ..check.clone() }, &answers, true), Outcome::Broken, "somebody was not looked at");
        assert_eq!(verdict(&Verdict::default(), &Answers::default(), true), Outcome::Unchecked, "nobody was promised anything");
    }

    #[test]
    fn a_burst_makes_no_promise_for_more_people_than_there_were() {
        let fit = |last_accepted_s, over_s, kept_up| {
            super::fit(&Audience {
                people: 1_000,
                over_s,
                answered: 1_000,
                from_tap: Percentiles { p50: 9.0, p99: 30.0, max: 40.0, ..circumstances().from_tap },
                last_accepted_s,
                per_second: 1_000.0 / last_accepted_s,
                kept_up,
                complete: true,
                unchecked: false,
                stopped: false,
            })
        };
        for kept_up in [true, false] {
            let burst = fit(0.2, 0.2, kept_up);
            assert!(burst.people_within_patience.is_none() && burst.sentence.contains("too short") && !burst.sentence.contains("enough for"), "{burst:?}");
            // The number in the sentence is the one in the file.
            let long = fit(10.0, 10.0, kept_up);
            let said = format!("{}{} people", if kept_up { "enough for at least " } else { "enough for " }, count(long.people_within_patience.unwrap()));
            assert!(long.sentence.contains(&said), "{long:?}");
        }
    }

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let values: Vec<f64> = (1..=1_000).map(f64::from).collect();
        let p = Percentiles::of_sorted(&values);
        assert_eq!((p.p50, p.p99, p.p999, p.max, p.count), (500.0, 990.0, 999.0, 1_000.0, 1_000));
        assert_eq!(Percentiles::of_sorted(&[]), Percentiles::default());
        let curve = curve(&values);
        assert!(curve.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1) && curve.last() == Some(&(100.0, 1_000.0)));
    }

    #[test]
    fn the_pace_is_not_that_of_the_last_one() {
        let mut times: Vec<u64> = (1..=1_000).map(|n| n * 1_000).collect();
        times[999] = 60_000_000;
        assert!((pace(times) - 1_000.0).abs() < 1.0);
        assert_eq!(pace(Vec::new()), 0.0);
    }

    #[test]
    fn freshness_is_the_age_of_each_vote_when_it_is_first_shown() {
        let frame = |at, voters| Frame { at, counted_through: 0, counts: Counts { voters, ..Counts::default() }, is_final: false, books: None };
        let accepted = [1_000, 1_100, 1_200, 5_000];
        // The fourth is never shown; the clock of the server is 10 ms ahead.
        let (p, ages) = freshness(&accepted, &[vec![frame(1_090, 0), frame(1_150, 2), frame(1_190, 2), frame(1_290, 3)]], 1_000, 10);
        assert_eq!((p.count, p.p50, p.max), (3, 100.0, 160.0));
        assert_eq!(ages, [(0.15, 160.0), (0.29, 100.0)]);
    }

    #[test]
    fn numbers_are_written_as_people_read_them() {
        assert_eq!((count(7), count(1_000), count(1_234_567)), ("7".into(), "1,000".into(), "1,234,567".into()));
        assert_eq!(
            (ms(0.42), ms(42.4), ms(1_500.0), seconds(17.04), seconds(1.0), seconds(0.25)),
            ("0.4 ms".into(), "42 ms".into(), "1.50 s".into(), "17.0 s".into(), "1 s".into(), "250 ms".into())
        );
    }
}

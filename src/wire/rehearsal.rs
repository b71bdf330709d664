//! The report of a rehearsal: what `groundswell rehearse` writes to `report.json` and hands in, what the server keeps, and what the back
//! office is told of it. docs/rehearsal.md describes every field; how figures become a report is in `rehearsal`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::{EventId, Millis, ReportId};
use crate::error::{Error, Result, reason};
use crate::store::{ReportDraft, ReportFigures, ReportSummary};

/// Rises when a field of a report changes its meaning or goes.
pub const REPORT_VERSION: u32 = 1;
/// Most bytes of a report that a server keeps. One with the most points its plots may have comes to some 40 KB; the rest is for `metrics`.
pub const REPORT_BYTES_MAX: usize = 64 * 1_024;
/// Clocks of two machines are not further apart than this, or a time is none.
const AHEAD_MS_MAX: Millis = 24 * 3_600 * 1_000;
/// Of seconds, milliseconds, percent and rates alike: more than a rehearsal of any length or size comes to.
const FIGURE_MAX: f64 = 1e12;

/// A closed set of words, the same in JSON, in CSS and in the catalogues of the screens.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$meaning:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
        pub enum $name {
            $($(#[$meaning])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            pub const ALL: &[$name] = &[$($name::$variant),*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// Whether every promise was kept.
    Outcome {
        Kept = "kept",
        Broken = "broken",
        /// Not known: counting did not end, nothing could be read, or nobody was answered.
        Unchecked = "unchecked",
    }
}

words! {
    /// Whether the audience fits.
    Fits {
        Fits = "fits",
        Waits = "waits",
        TooMany = "too_many",
        Unproven = "unproven",
    }
}

words! {
    /// What limited a run.
    Bottleneck {
        Nothing = "nothing",
        Errors = "errors",
        Shedding = "shedding",
        Taps = "taps",
        Processor = "processor",
        Generator = "generator",
        Waiting = "waiting",
    }
}

words! {
    /// How taps spread over the time given.
    Shape {
        /// All at once, and then evenly: a presenter says "now".
        Step = "step",
        /// More and more: word gets round.
        Ramp = "ramp",
        /// Rises and falls.
        Wave = "wave",
    }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    pub report: u32,
    pub groundswell: String,
    /// When the storm began, unix milliseconds.
    pub at: Millis,
    pub url: String,
    /// Somebody stopped it before everybody had voted.
    pub stopped_early: bool,
    pub plan: PlanPart,
    pub joining: Joining,
    pub answers: Answers,
    pub counting: Counting,
    pub freshness: Freshness,
    pub cpu: Cpu,
    pub limit: Limit,
    pub fit: Fit,
    pub check: Verdict,
    pub books: BooksPart,
    /// Nothing lost, wrong, invented or doubled; the books balance; the same ballot always got the same success; all was counted.
    pub clean: bool,
    /// `clean` is kept.
    pub verdict: Outcome,
    /// What went wrong around it, in sentences: figures that are missing, a rehearsal that could not be removed.
    pub warnings: Vec<String>,
    pub timeline: Vec<Point>,
    /// So many percent of the ballots were answered within so many milliseconds of the tap.
    pub curve: Vec<(f64, f64)>,
    /// Seconds, and the age in milliseconds of the oldest vote that was new on a viewer's screen.
    pub staleness: Vec<(f64, f64)>,
    /// From `--metrics-url`: before and after.
    pub metrics: BTreeMap<String, (f64, f64)>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PlanPart {
    pub voters: u64,
    pub over_s: f64,
    pub shape: Shape,
    pub connections: u64,
    pub viewers: u64,
    pub change: f64,
    pub repeat: f64,
    pub choices: u16,
    pub seed: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Joining {
    pub people: u64,
    pub seconds: f64,
    pub per_second: f64,
}

/// Milliseconds.
#[derive(Clone, Copy, PartialEq, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Percentiles {
    pub count: u64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// Ballots that were answered with a success: first ones, and changes of mind.
    pub accepted: u64,
    pub people: u64,
    /// Attempts that were sent, of all kinds.
    pub attempts: u64,
    /// 503: "later, please".
    pub sheds: u64,
    /// Other refusals.
    pub refused: u64,
    pub unknown: u64,
    pub timeouts: u64,
    pub resets: u64,
    pub connect_failures: u64,
    /// Ballots that were tried and given up without a success.
    pub given_up: u64,
    /// People who were not reached, and of those who were, changes of mind that were not sent.
    pub not_sent: u64,
    pub changes_not_sent: u64,
    pub repeats: u64,
    /// Ballots that had a success and were refused when they came again.
    pub contradicted: u64,
    pub statuses: BTreeMap<u16, u64>,
    /// From the intended tap to the success.
    pub from_tap: Percentiles,
    /// From sending to the answer, each attempt.
    pub on_the_wire: Percentiles,
    pub last_accepted_s: f64,
    pub per_second: f64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Counting {
    /// The first document that showed the last ballot.
    pub last_counted_s: f64,
    pub per_second: f64,
    /// All that was accepted was counted in time.
    pub finished: bool,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Freshness {
    pub viewers: u64,
    pub refused: u64,
    pub broken: u64,
    pub events: u64,
    pub bytes: u64,
    pub sampled: usize,
    /// From the acceptance of a vote to the document that shows it, over all votes and sampled viewers.
    pub from_accepted: Percentiles,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cpu {
    pub cores: usize,
    /// Whether the server's processes could be seen.
    pub server_seen: bool,
    /// Seconds of processor time from the first tap until everybody had an answer, and to the last counted ballot. By process; what else ran on
    /// the machine is `others`.
    pub storm: BTreeMap<String, f64>,
    pub whole: BTreeMap<String, f64>,
    /// How long `storm` lasted. Reports before it was there have 0: theirs reached to the last answer of all.
    #[serde(default)]
    pub storm_s: f64,
    /// Of `whole`, per accepted ballot.
    pub us_per_vote: BTreeMap<String, f64>,
    /// The busiest generator thread: 1 is a whole core.
    pub generator_busy: f64,
    /// The thread that watches for all viewers, likewise.
    #[serde(default)]
    pub watcher_busy: f64,
    pub peak_memory_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    pub what: Bottleneck,
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Fit {
    pub word: Fits,
    pub sentence: String,
    /// What this installation took, and what this audience needs if everybody is to be answered within five seconds.
    pub took_per_second: f64,
    pub needed_per_second: f64,
    /// Most people who are all answered within five seconds when they vote over the same time, as far as this run can tell: none where it
    /// was shorter than that patience, because what a burst finds in empty queues says nothing about the seconds after it.
    pub people_within_patience: Option<u64>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BooksPart {
    pub received: i64,
    pub counted: i64,
    pub superseded: i64,
    pub duplicate: i64,
    pub late: i64,
}

/// People, so many seconds after the first tap.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    pub s: f64,
    pub tapped: u64,
    pub accepted: u64,
    pub counted: u64,
}

/// All zero but `voters`, `answered` and `recovered`, or the poll has broken a promise.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// People who tried at all.
    pub voters: u64,
    /// People who were told that a ballot of theirs is safe.
    pub answered: u64,
    /// Of these, people without a row.
    pub lost: u64,
    /// Rows that hold less than the highest safe ballot of their voter, or other picks than were sent.
    pub wrong: u64,
    /// Rows of a voter or a ballot that nobody sent.
    pub unexpected: u64,
    /// Rows whose every attempt was refused.
    pub phantom: u64,
    /// Votes by which rows, tally, live document, stream and export differ; and second rows of a voter.
    pub doubled: u64,
    /// received - counted - superseded - duplicate - late
    pub books: i64,
    /// Attempts that nobody knew the end of, and that did count.
    pub recovered: u64,
    /// Some of the voters behind the numbers, in words.
    pub examples: Vec<String>,
}

impl Report {
    /// What a server keeps of it. What is no report of this version, or contradicts itself, is refused.
    pub fn into_draft(self, id: ReportId, now: Millis) -> Result<ReportDraft> {
        if self.report != REPORT_VERSION {
            return Err(Error::invalid("report_version", "This report is of another version. Rehearse with the same version of groundswell as the server's."));
        }
        if !(0..=now + AHEAD_MS_MAX).contains(&self.at) || self.clean != (self.verdict == Outcome::Kept) || !self.is_possible() {
            return Err(Error::invalid("report_invalid", "This report contradicts itself: send it as `groundswell rehearse` wrote it."));
        }
        let report = serde_json::to_string(&self).map_err(Error::internal)?;
        if report.len() > REPORT_BYTES_MAX {
            return Err(Error::TooLarge(reason("report_large", "A report is at most 64 KiB. Leave `metrics` empty.")));
        }
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let millis = |seconds: f64| (seconds * 1_000.0).round() as i64;
        let figures = ReportFigures {
            at: self.at,
            verdict: self.verdict.to_string(),
            fit: self.fit.word.to_string(),
            voters: whole(self.plan.voters),
            over_ms: millis(self.plan.over_s),
            counted_ms: millis(self.counting.last_counted_s),
            lost: whole(self.check.lost),
            groundswell: self.groundswell,
        };
        Ok(ReportDraft { id, figures, report })
    }

    /// Times, rates and numbers of ballots: none is below zero, and none so large that no rehearsal can have it.
    fn is_possible(&self) -> bool {
        let of = |p: &Percentiles| [p.p50, p.p90, p.p99, p.p999, p.max];
        let mut figures = vec![self.plan.over_s, self.plan.change, self.plan.repeat, self.joining.seconds, self.joining.per_second];
        figures.extend([self.answers.last_accepted_s, self.answers.per_second, self.counting.last_counted_s, self.counting.per_second]);
        figures.extend([self.cpu.generator_busy, self.cpu.watcher_busy, self.cpu.storm_s, self.fit.took_per_second, self.fit.needed_per_second]);
        figures.extend([&self.answers.from_tap, &self.answers.on_the_wire, &self.freshness.from_accepted].into_iter().flat_map(of));
        let BooksPart { received, counted, superseded, duplicate, late } = self.books;
        figures.iter().all(|figure| (0.0..=FIGURE_MAX).contains(figure)) && [received, counted, superseded, duplicate, late].iter().all(|count| *count >= 0)
    }

    /// As it is handed in: the figures of the server's own meters are the first to stay behind when it is too long.
    pub fn bounded(&self) -> Report {
        let fits = serde_json::to_vec(self).is_ok_and(|report| report.len() <= REPORT_BYTES_MAX);
        Report { metrics: if fits { self.metrics.clone() } else { BTreeMap::new() }, ..self.clone() }
    }
}

#[derive(Serialize)]
pub struct KeptAnswer {
    pub id: String,
}

#[derive(Serialize)]
pub struct ReportsAnswer {
    rehearsals: Vec<ReportLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_url: Option<String>,
}

#[derive(Serialize)]
struct ReportLine {
    id: String,
    event: String,
    title: String,
    at: Millis,
    kept_at: Millis,
    groundswell: String,
    verdict: String,
    fit: String,
    voters: i64,
    over_ms: i64,
    counted_ms: i64,
    lost: i64,
}

impl ReportsAnswer {
    /// With where the audience comes in, if that is known.
    pub fn of(reports: Vec<ReportSummary>, public_url: Option<String>) -> ReportsAnswer {
        let line = |ReportSummary { id, event, title, kept_at, figures: f }: ReportSummary| ReportLine {
            id: ReportId(id).to_string(),
            event: EventId(event).to_string(),
            title,
            at: f.at,
            kept_at,
            groundswell: f.groundswell,
            verdict: f.verdict,
            fit: f.fit,
            voters: f.voters,
            over_ms: f.over_ms,
            counted_ms: f.counted_ms,
            lost: f.lost,
        };
        ReportsAnswer { rehearsals: reports.into_iter().map(line).collect(), public_url }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        serde_json::from_str(include_str!("../../tests/http/report.json")).expect("a report as it is written")
    }

    fn bytes(report: &Report) -> usize {
        serde_json::to_vec(report).expect("JSON").len()
    }

    const NOW: Millis = 1_764_000_060_000;

    #[test]
    fn a_report_says_the_same_when_it_was_read_and_written_again() {
        let text = include_str!("../../tests/http/report.json");
        let draft = report().into_draft(ReportId(7), NOW).expect("it is one");
        let (before, after): (serde_json::Value, serde_json::Value) = (serde_json::from_str(text).unwrap(), serde_json::from_str(&draft.report).unwrap());
        assert_eq!(before, after);
        let f = draft.figures;
        assert_eq!(
            (f.at, f.verdict.as_str(), f.fit.as_str(), f.voters, f.over_ms, f.counted_ms, f.lost),
            (before["at"].as_i64().unwrap(), "kept", "fits", 3_000, 1_000, 2_179, 0)
        );
    }

    #[test]
    fn the_longest_report_there_can_be_is_kept_but_for_the_figures_of_meters() {
        // More digits than any figure has, and as many points as the plots take.
        let long = 1.0 / 3.0 * 1e6;
        let mut report = report();
        report.timeline = vec![Point { s: long, tapped: 20_000_000, accepted: 20_000_000, counted: 20_000_000 }; 161];
        report.curve = vec![(long / 1e4, long); 200];
        report.staleness = vec![(long, long); 320];
        report.check.examples = vec!["wrong: voter 0190f3c4-7b1e-7c2a-9d3e-4f5a6b7c8d9e, ballot 0190f3c4-7b1e-7c2a-9d3e-4f5a6b7c8d9e".into(); 8];
        report.warnings = vec!["w".repeat(500); 8];
        report.metrics = (0..2_000).map(|n| (format!("groundswell_metric_number_{n}"), (long, long))).collect();
        assert!(bytes(&report) > REPORT_BYTES_MAX);
        let bounded = report.bounded();
        assert!(bytes(&bounded) < REPORT_BYTES_MAX && bounded.metrics.is_empty(), "{}", bytes(&bounded));
        assert_eq!((bounded.timeline.len(), bounded.curve.len(), bounded.staleness.len()), (161, 200, 320), "nothing else is left out");
        bounded.into_draft(ReportId(7), NOW).expect("it is kept");
        let Err(Error::TooLarge(why)) = report.into_draft(ReportId(7), NOW) else { panic!("it is too long") };
        assert_eq!(why.code, "report_large");
        assert!(!self::report().bounded().metrics.is_empty(), "a usual one is handed in whole");
    }
}

//! Everything that one run measured, gathered and handed over to `report`.

use std::sync::atomic::Ordering;

use super::Plan;
use super::checker::Verdict;
use super::crowd::{Habits, Share};
use super::machine::{self, Look, Spent};
use super::report::{self, Bottleneck, Circumstances, Outcome, Percentiles, Report};
use super::storm::Sent;
use super::viewers::{self, Frame};
use crate::domain::Millis;

/// Shorter than this, and two looks at a thread tell nothing of it.
const WATCHED_S_LEAST: f64 = 1.0;

/// Everything that was measured, on its way into a report.
pub(super) struct Measured<'a> {
    pub habits: &'a Habits,
    pub sent: &'a [Sent],
    pub accepted: &'a [Millis],
    pub presenter: &'a [Frame],
    pub audience: &'a [Vec<Frame>],
    pub seen: &'a viewers::Seen,
    pub looks: &'a [Look],
    pub start_ms: Millis,
    pub offset: Millis,
    pub finished: bool,
    pub has_evidence: bool,
    pub server_seen: bool,
}

impl Measured<'_> {
    pub fn into_report(
        self,
        plan: &Plan,
        joining: report::Joining,
        check: Verdict,
        books: report::BooksPart,
        metrics: std::collections::BTreeMap<String, (f64, f64)>,
        mut warnings: Vec<String>,
    ) -> Report {
        let answers = self.answers();
        let last_received = self.presenter.last().and_then(|f| f.books).map_or(0, |b| b.received);
        let last_counted = self.presenter.iter().find(|f| f.books.is_some_and(|b| b.received == last_received && last_received > 0));
        let last_counted_s = last_counted.map_or(0.0, |f| (f.at - self.start_ms) as f64 / 1_000.0);
        let shares: Vec<&Share> = self.sent.iter().map(|s| &s.share).collect();
        let (from_accepted, staleness) = report::freshness(self.accepted, self.audience, self.start_ms, self.offset);
        let answered_s = shares.iter().flat_map(|s| s.answers(self.habits)).map(|(_, answered)| answered).max().unwrap_or(0) as f64 / 1e6;
        let cpu = self.cpu(answered_s, last_counted_s.max(answers.last_accepted_s), answers.accepted);
        // Of a moment nobody can say how busy it was.
        if cpu.watcher_busy >= report::FULL && answered_s >= WATCHED_S_LEAST {
            warnings.push(format!(
                "The thread that watches for all viewers had its core to {:.0} %: how fresh screens were may be its own slowness. Watch with fewer, or from several machines.",
                cpu.watcher_busy.min(1.0) * 100.0
            ));
        }
        let limit = report::limit(&Circumstances {
            last_tap_s: self.habits.last_tap_at() as f64 / 1e6,
            last_accepted_s: answers.last_accepted_s,
            answered_s,
            from_tap: answers.from_tap,
            on_the_wire: answers.on_the_wire,
            attempts: answers.attempts,
            sheds: answers.sheds,
            troubles: answers.unknown + answers.connect_failures,
            connections: plan.connections,
            per_second: answers.per_second,
            cores: cpu.cores,
            server_seen: cpu.server_seen,
            storm: cpu.storm.clone(),
            generator_busy: cpu.generator_busy,
        });
        let verdict = report::verdict(&check, &answers, self.finished && self.has_evidence);
        let clean = verdict == Outcome::Kept;
        let stopped_early = answers.not_sent > 0 || joining.people < u64::from(plan.voters);
        let complete = clean && answers.people == joining.people;
        let fit = report::fit(&report::Audience {
            people: plan.voters.into(),
            over_s: plan.over.as_secs_f64(),
            answered: answers.people,
            from_tap: answers.from_tap,
            last_accepted_s: answers.last_accepted_s,
            per_second: answers.per_second,
            kept_up: limit.what == Bottleneck::Taps,
            complete,
            unchecked: verdict == Outcome::Unchecked,
            stopped: stopped_early,
        });
        let latencies = report::latencies(&shares);
        let end_s = last_counted_s.max(answers.last_accepted_s).max(plan.over.as_secs_f64());
        Report {
            report: report::REPORT_VERSION,
            groundswell: env!("CARGO_PKG_VERSION").into(),
            at: self.start_ms,
            url: plan.url.clone(),
            stopped_early,
            plan: report::PlanPart {
                voters: plan.voters.into(),
                over_s: plan.over.as_secs_f64(),
                shape: plan.shape,
                connections: plan.connections as u64,
                viewers: plan.viewers as u64,
                change: plan.change,
                repeat: plan.repeat,
                choices: plan.choices,
                seed: plan.seed,
            },
            joining,
            counting: report::Counting { last_counted_s, per_second: last_received as f64 / last_counted_s.max(1e-9), finished: self.finished },
            freshness: report::Freshness {
                viewers: self.seen.open.load(Ordering::Relaxed).saturating_sub(1),
                refused: self.seen.refused.load(Ordering::Relaxed),
                broken: self.seen.broken.load(Ordering::Relaxed),
                events: self.seen.events.load(Ordering::Relaxed),
                bytes: self.seen.bytes.load(Ordering::Relaxed),
                sampled: self.audience.len(),
                from_accepted,
            },
            answers,
            cpu,
            limit,
            fit,
            check,
            books,
            clean,
            verdict,
            warnings,
            timeline: report::timeline(self.habits, &shares, self.presenter, self.start_ms, end_s),
            curve: report::curve(&latencies),
            staleness,
            metrics,
        }
    }

    fn answers(&self) -> report::Answers {
        let shares: Vec<&Share> = self.sent.iter().map(|s| &s.share).collect();
        let latencies = report::latencies(&shares);
        let last_us = shares.iter().flat_map(|s| s.answered_at(self.habits)).max().unwrap_or(0);
        let sum = |of: fn(&Sent) -> u64| self.sent.iter().map(of).sum::<u64>();
        let mut statuses = std::collections::BTreeMap::new();
        self.sent.iter().flat_map(|s| &s.statuses).for_each(|(status, times)| *statuses.entry(*status).or_default() += times);
        let of_statuses = |wanted: fn(u16) -> bool| statuses.iter().filter(|(s, _)| wanted(**s)).map(|(_, times): (_, &u64)| *times).sum::<u64>();
        let (timeouts, resets) = (sum(|s| s.timeouts), sum(|s| s.resets));
        let mut wire = self.sent[0].wire.clone();
        self.sent[1..].iter().for_each(|s| wire.add(&s.wire).expect("same bounds"));
        let last_accepted_s = last_us as f64 / 1e6;
        report::Answers {
            accepted: latencies.len() as u64,
            people: shares.iter().map(|s| s.fates.iter().filter(|f| f.iter().any(|f| f.ok > 0)).count() as u64).sum(),
            attempts: of_statuses(|_| true) + timeouts + resets,
            sheds: of_statuses(|s| s == 503),
            refused: of_statuses(|s| (400..500).contains(&s)),
            unknown: of_statuses(|s| s >= 500 && s != 503) + timeouts + resets,
            timeouts,
            resets,
            connect_failures: sum(|s| s.connect_failures),
            given_up: sum(|s| s.abandoned),
            not_sent: sum(|s| s.not_sent),
            changes_not_sent: sum(|s| s.changes_not_sent),
            repeats: sum(|s| s.repeats_ok),
            contradicted: sum(|s| s.contradicted),
            from_tap: Percentiles::of_sorted(&latencies),
            on_the_wire: Percentiles::of(&wire, 1_000.0),
            per_second: report::pace(shares.iter().flat_map(|s| s.answered_at(self.habits)).collect()),
            last_accepted_s,
            statuses,
        }
    }

    /// `answered_s`: everybody had an answer. `whole_s`: everything was accepted and counted.
    fn cpu(&self, answered_s: f64, whole_s: f64, accepted: u64) -> report::Cpu {
        let before = &self.looks[0];
        // The first look after the moment: at most a second late, and it says its own time.
        let until = |s: f64| self.looks.iter().find(|look| look.at_s >= s).or(self.looks.last()).expect("there is one");
        let storm_until = until(answered_s);
        let scale = if storm_until.at_s > 0.0 { (answered_s / storm_until.at_s).min(1.0) } else { 1.0 };
        let storm: Spent = machine::between(&before.spent, &storm_until.spent).into_iter().map(|(name, s)| (name, s * scale)).collect();
        let whole = machine::between(&before.spent, &until(whole_s).spent);
        let busy = |s: &Sent| s.cpu_s / s.wall_s.max(1e-9);
        report::Cpu {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            server_seen: self.server_seen,
            us_per_vote: whole.iter().map(|(name, s)| (name.clone(), s * 1e6 / accepted.max(1) as f64)).collect(),
            storm,
            storm_s: answered_s,
            whole,
            generator_busy: self.sent.iter().map(busy).fold(0.0, f64::max),
            watcher_busy: (storm_until.watching_s - before.watching_s).max(0.0) / storm_until.at_s.max(1e-9),
            peak_memory_bytes: machine::own_peak_memory().unwrap_or(0),
        }
    }
}

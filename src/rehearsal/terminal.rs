//! A rehearsal on a terminal: how it goes, on standard error, one line that is written over, or a line a second where nobody looks;
//! and the report in words, on standard output.

use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::report::{Outcome, Report, count, ms, seconds};
use super::{Moment, Reading};

const ON_A_TERMINAL_EVERY: Duration = Duration::from_millis(200);
const ELSEWHERE_EVERY: Duration = Duration::from_secs(1);
const BAR_CELLS: usize = 24;

/// Writes progress to standard error.
pub struct Progress {
    terminal: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    written_at: Option<Instant>,
    /// Which kind of moment was written last: a new one is written at once.
    kind: Option<std::mem::Discriminant<Moment>>,
    accepted: u64,
    joined: u64,
    per_second: u64,
    /// A line stands there without its end.
    open: bool,
}

impl Progress {
    pub fn new(terminal: bool) -> Progress {
        Progress { terminal, state: Mutex::default() }
    }

    pub fn tell(&self, moment: &Moment) {
        let mut state = self.state.lock().expect("never poisoned");
        let every = if self.terminal { ON_A_TERMINAL_EVERY } else { ELSEWHERE_EVERY };
        let kind = std::mem::discriminant(moment);
        let since = state.written_at.map(|at| at.elapsed());
        if state.kind == Some(kind) && since.is_some_and(|s| s < every) {
            return;
        }
        let goes_on = state.kind == Some(kind);
        let rate = |now: u64, before: u64| if goes_on { (now.saturating_sub(before) as f64 / since.unwrap_or(every).as_secs_f64()) as u64 } else { 0 };
        let line = match moment {
            Moment::Joining { reading, .. } => {
                state.per_second = rate(reading.joined, state.joined);
                state.joined = reading.joined;
                line_of(moment, state.per_second)
            }
            Moment::Storm { reading, .. } => {
                state.per_second = rate(reading.accepted, state.accepted);
                state.accepted = reading.accepted;
                line_of(moment, state.per_second)
            }
            _ => line_of(moment, 0),
        };
        let lasts = matches!(moment, Moment::Joining { .. } | Moment::Storm { .. } | Moment::Counting { .. });
        let mut out = std::io::stderr().lock();
        // Progress is a courtesy: a closed standard error stops nothing.
        let _ = match (self.terminal, state.open) {
            (false, _) => writeln!(out, "{line}"),
            (true, open) => write!(out, "{}{line}\x1b[K{}", if open { "\r" } else { "" }, if lasts { "" } else { "\n" }),
        };
        let _ = out.flush();
        state.open = self.terminal && lasts;
        state.kind = Some(kind);
        state.written_at = Some(Instant::now());
    }
}

fn line_of(moment: &Moment, per_second: u64) -> String {
    match moment {
        Moment::Begun { code, join_url, .. } => format!("rehearsal {code}: watch it at {join_url}"),
        Moment::Joining { reading, wanted } => {
            format!("joining   {} {} of {}, {} a second", bar(reading.joined, *wanted), count(reading.joined), count(*wanted), count(per_second))
        }
        Moment::Joined { people, took } => format!("joined    {} people in {}", count(*people), seconds(took.as_secs_f64())),
        Moment::Watching { open, refused } => {
            let turned_away = if *refused > 0 { format!(", {} turned away", count(*refused)) } else { String::new() };
            // The first is the presenter.
            format!("watching  a presenter, and an audience of {}{turned_away}", count(open.saturating_sub(1)))
        }
        Moment::Storm { elapsed, reading, counted } => storm_line(*elapsed, reading, *counted, per_second),
        Moment::Answered { elapsed, reading } => format!("answered  {} ballots within {}", count(reading.accepted), seconds(elapsed.as_secs_f64())),
        Moment::Counting { elapsed, accepted, counted } => {
            format!("counting  {} {} of {} people, {}", bar(*counted, *accepted), count(*counted), count(*accepted), seconds(elapsed.as_secs_f64()))
        }
        Moment::Final { .. } => "final     the poll is closed and everything is counted".into(),
        Moment::Checking => "checking  every answer against the poll".into(),
        Moment::Removing { ballots } => format!("removing  the rehearsal and its {} ballots", count(*ballots)),
        Moment::HandedIn { url } => format!("report    in the back office: {url}"),
        Moment::Kept { event } => format!("kept      the rehearsal {event} stays until it is removed"),
    }
}

fn storm_line(elapsed: Duration, reading: &Reading, counted: u64, per_second: u64) -> String {
    let mut line = format!(
        "voting    {:>6}  accepted {} ({} a second)  counted {}  in flight {}  waiting {}",
        seconds(elapsed.as_secs_f64()),
        count(reading.accepted),
        count(per_second),
        count(counted),
        count(reading.in_flight),
        count(reading.queued)
    );
    if reading.refused + reading.unknown > 0 {
        line.push_str(&format!("  sent away {}  no answer {}", count(reading.refused), count(reading.unknown)));
    }
    line
}

fn bar(done: u64, whole: u64) -> String {
    let full = (done.min(whole) as usize * BAR_CELLS) / (whole.max(1) as usize);
    format!("[{}{}]", "#".repeat(full), "·".repeat(BAR_CELLS - full))
}

/// The report, as one page of text.
pub fn page(r: &Report) -> String {
    let mut lines = Vec::new();
    let mut line = |name: &str, text: String| lines.push(format!("  {name:<11} {text}"));
    let (a, tap, wire, fresh) = (&r.answers, &r.answers.from_tap, &r.answers.on_the_wire, &r.freshness);
    line("joined", format!("{} people in {} ({} a second)", count(r.joining.people), seconds(r.joining.seconds), count(r.joining.per_second as u64)));
    line(
        "accepted",
        format!(
            "{} ballots of {} people, the last after {} ({} a second)",
            count(a.accepted),
            count(a.people),
            seconds(a.last_accepted_s),
            count(a.per_second as u64)
        ),
    );
    line("counted", format!("the last after {}{}", seconds(r.counting.last_counted_s), if r.counting.finished { "" } else { "; COUNTING DID NOT END" }));
    line("from tap", format!("p50 {}   p99 {}   p99.9 {}   max {}", ms(tap.p50), ms(tap.p99), ms(tap.p999), ms(tap.max)));
    line("on the wire", format!("p50 {}   p99 {}   p99.9 {}   max {}", ms(wire.p50), ms(wire.p99), ms(wire.p999), ms(wire.max)));
    let f = &fresh.from_accepted;
    line(
        "freshness",
        format!(
            "p50 {}   p99 {}   p99.9 {}   max {}   (accepted vote to screen; {} watching, {} events)",
            ms(f.p50),
            ms(f.p99),
            ms(f.p999),
            ms(f.max),
            count(fresh.viewers),
            count(fresh.events)
        ),
    );
    line(
        "sent away",
        format!(
            "{} with 503, {} refused, {} without an answer, {} given up, {} not sent, nor {} changes of mind",
            count(a.sheds),
            count(a.refused),
            count(a.unknown),
            count(a.given_up),
            count(a.not_sent),
            count(a.changes_not_sent)
        ),
    );
    if fresh.refused + fresh.broken > 0 {
        line("viewers", format!("{} could not watch, {} streams broke off", count(fresh.refused), count(fresh.broken)));
    }
    let cpu: Vec<String> = r.cpu.us_per_vote.iter().map(|(name, us)| format!("{name} {us:.1}")).collect();
    line("CPU", format!("{} µs a vote; the rehearsal held {} MB at most", cpu.join(", "), r.cpu.peak_memory_bytes / 1_000_000));
    let c = &r.check;
    line(
        "check",
        format!(
            "lost {}   wrong {}   unexpected {}   phantom {}   doubled {}   books {}   recovered {}",
            c.lost, c.wrong, c.unexpected, c.phantom, c.doubled, c.books, c.recovered
        ),
    );
    let b = &r.books;
    line(
        "books",
        format!(
            "{} received = {} counted + {} superseded + {} duplicate + {} late",
            count_signed(b.received),
            count_signed(b.counted),
            count_signed(b.superseded),
            count_signed(b.duplicate),
            count_signed(b.late)
        ),
    );
    line("limit", format!("{}: {}", r.limit.what, r.limit.why));
    let mut text = format!("\n{}\n\n{}\n\n{}\n", heading(r), lines.join("\n"), r.fit.sentence);
    for example in &c.examples {
        text.push_str(&format!("  {example}\n"));
    }
    if a.contradicted > 0 {
        text.push_str(&format!("{} ballots had a success and were refused when they came again.\n", count(a.contradicted)));
    }
    for warning in &r.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    text.push_str(match r.verdict {
        Outcome::Kept => "Every answer was kept: nothing lost, nothing invented.\n",
        Outcome::Unchecked if r.answers.accepted == 0 => "NOTHING WAS PROVEN: not a single vote was accepted.\n",
        Outcome::Unchecked => "IT COULD NOT BE CHECKED whether every answer was kept: see the warnings above.\n",
        Outcome::Broken => "A PROMISE WAS BROKEN: see the check above.\n",
    });
    text
}

pub fn heading(r: &Report) -> String {
    format!(
        "{} people voting within {} ({}), {} connections, {} viewers",
        count(r.plan.voters),
        seconds(r.plan.over_s),
        r.plan.shape,
        count(r.plan.connections),
        count(r.plan.viewers)
    )
}

pub fn count_signed(number: i64) -> String {
    if number < 0 { format!("-{}", count(number.unsigned_abs())) } else { count(number.unsigned_abs()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_full_as_the_work_is_done() {
        assert_eq!(bar(0, 0), format!("[{}]", "·".repeat(BAR_CELLS)));
        assert_eq!(bar(5, 10), format!("[{}{}]", "#".repeat(BAR_CELLS / 2), "·".repeat(BAR_CELLS / 2)));
        assert_eq!(bar(12, 10), format!("[{}]", "#".repeat(BAR_CELLS)));
    }
}

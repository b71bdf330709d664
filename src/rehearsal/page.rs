//! The report as one HTML page that opens from a disk: no script, nothing loaded, plots drawn here as SVG. Colours and layout are in
//! templates/rehearsal.html.

use askama::Template;

use super::report::{self, Percentiles, Report, count, ms, seconds};
use super::terminal;

#[derive(Template)]
#[template(path = "rehearsal.html")]
struct Page<'a> {
    r: &'a Report,
    heading: String,
    at: String,
    race: Plot,
    answered: Plot,
    fresh: Plot,
    cpu: Vec<CpuBar>,
}

/// How the template writes numbers.
impl Page<'_> {
    fn count(&self, number: &u64) -> String {
        report::count(*number)
    }

    fn signed(&self, number: &i64) -> String {
        terminal::count_signed(*number)
    }

    fn ms(&self, value: &f64) -> String {
        report::ms(*value)
    }

    fn seconds(&self, value: &f64) -> String {
        report::seconds(*value)
    }
}

pub fn render(report: &Report) -> anyhow::Result<String> {
    let page = Page {
        r: report,
        heading: terminal::heading(report),
        at: jiff::Timestamp::from_millisecond(report.at)?.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        race: race(report),
        answered: answered(report),
        fresh: fresh(report),
        cpu: cpu_bars(report),
    };
    Ok(page.render()?)
}

/// The inside of every plot, in its own units, about a pixel each; text lies around it.
const WIDE: f64 = 980.0;
const NARROW: f64 = 450.0;
const HEIGHT: f64 = 220.0;

/// What a template needs to draw axes and lines.
struct Plot {
    width: f64,
    lines: Vec<Line>,
    /// Position along the axis, and what stands there.
    x: Vec<(f64, String)>,
    y: Vec<(f64, String)>,
    /// What the plot says, in words: its twin for those who do not see it.
    words: String,
}

struct Line {
    class: &'static str,
    points: String,
    /// The same down to the axis, for a soft area beneath.
    area: String,
}

impl Line {
    fn of(class: &'static str, points: &[(f64, f64)]) -> Line {
        let text = |points: &[(f64, f64)]| points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ");
        let (first, last) = (points.first().map_or(0.0, |p| p.0), points.last().map_or(0.0, |p| p.0));
        Line { class, points: text(points), area: format!("{first:.1},{HEIGHT} {} {last:.1},{HEIGHT}", text(points)) }
    }
}

/// Marks at round numbers, at most `most` and the zero.
fn marks(end: f64, most: usize) -> Vec<f64> {
    if end <= 0.0 {
        return vec![0.0];
    }
    let raw = end / most as f64;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|s| s * power).find(|s| *s >= raw).unwrap_or(10.0 * power);
    (0..).map(|n| f64::from(n) * step).take_while(|mark| *mark <= end * 1.000_1).collect()
}

fn short(number: f64) -> String {
    match number {
        n if n >= 1e6 => format!("{}M", trimmed(n / 1e6)),
        n if n >= 1e3 => format!("{}k", trimmed(n / 1e3)),
        n => trimmed(n),
    }
}

fn trimmed(number: f64) -> String {
    format!("{number:.2}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn race(r: &Report) -> Plot {
    let end = r.timeline.last().map_or(1.0, |p| p.s).max(0.001);
    let most = r.timeline.iter().map(|p| p.tapped.max(p.accepted).max(p.counted)).max().unwrap_or(1).max(1) as f64;
    let at = |s: f64, people: u64| (s / end * WIDE, HEIGHT - people as f64 / most * HEIGHT);
    let line = |class, of: fn(&super::report::Point) -> u64| Line::of(class, &r.timeline.iter().map(|p| at(p.s, of(p))).collect::<Vec<_>>());
    Plot {
        width: WIDE,
        // The thin line of what was accepted lies on the broad one of what was counted: where all goes well, they are one.
        lines: vec![line("tapped", |p| p.tapped), line("counted", |p| p.counted), line("accepted", |p| p.accepted)],
        x: marks(end, 8).into_iter().map(|s| (s / end * WIDE, format!("{} s", trimmed(s)))).collect(),
        y: marks(most, 4).into_iter().map(|n| (HEIGHT - n / most * HEIGHT, short(n))).collect(),
        words: format!(
            "All {} people had tapped after {}, the last was answered after {} and counted after {}.",
            count(r.plan.voters),
            seconds(r.plan.over_s),
            seconds(r.answers.last_accepted_s),
            seconds(r.counting.last_counted_s)
        ),
    }
}

/// How far along the axis a percentile stands: each further nine takes as much room as the one before.
fn nines(percent: f64, longest: f64) -> f64 {
    let left = (1.0 - percent / 100.0).max(10f64.powf(-longest));
    -left.log10() / longest * NARROW
}

fn answered(r: &Report) -> Plot {
    // The last point but one is the highest percentile with a ballot of its own; the last one is the slowest of all.
    let before_last = r.curve.iter().rev().nth(1).map_or(90.0, |p| p.0);
    let longest = (-(1.0 - before_last / 100.0).max(1e-9).log10()).max(1.0);
    let most = r.answers.from_tap.max.max(1.0);
    let points: Vec<(f64, f64)> = r.curve.iter().map(|(percent, ms)| (nines(*percent, longest), HEIGHT - ms / most * HEIGHT)).collect();
    let named = [50.0, 90.0, 99.0, 99.9, 99.99, 99.999].into_iter().filter(|p| *p <= before_last + 1e-9);
    let p = &r.answers.from_tap;
    Plot {
        width: NARROW,
        lines: vec![Line::of("accepted", &points)],
        x: named.map(|p| (nines(p, longest), format!("{}%", trimmed_percent(p)))).collect(),
        y: marks(most, 4).into_iter().map(|v| (HEIGHT - v / most * HEIGHT, if v == 0.0 { "0".into() } else { ms(v) })).collect(),
        words: format!("From tap to success: {}", in_words(p)),
    }
}

fn trimmed_percent(percent: f64) -> String {
    format!("{percent:.3}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn fresh(r: &Report) -> Plot {
    let end = r.staleness.last().map_or(1.0, |p| p.0).max(0.001);
    let most = r.staleness.iter().map(|p| p.1).fold(1.0, f64::max);
    let points: Vec<(f64, f64)> = r.staleness.iter().map(|(s, age)| (s.max(0.0) / end * NARROW, HEIGHT - age / most * HEIGHT)).collect();
    Plot {
        width: NARROW,
        lines: vec![Line::of("fresh", &points)],
        x: marks(end, 6).into_iter().map(|s| (s / end * NARROW, format!("{} s", trimmed(s)))).collect(),
        y: marks(most, 4).into_iter().map(|v| (HEIGHT - v / most * HEIGHT, if v == 0.0 { "0".into() } else { ms(v) })).collect(),
        words: format!("From accepted vote to a viewer's screen: {}", in_words(&r.freshness.from_accepted)),
    }
}

fn in_words(p: &Percentiles) -> String {
    format!("half within {}, 99 % within {}, 99.9 % within {}, the slowest {}.", ms(p.p50), ms(p.p99), ms(p.p999), ms(p.max))
}

/// One process's part of the processor time of a vote.
struct CpuBar {
    name: String,
    us: f64,
    /// As a part of all.
    part: f64,
}

fn cpu_bars(r: &Report) -> Vec<CpuBar> {
    let total: f64 = r.cpu.us_per_vote.values().sum::<f64>().max(1e-9);
    r.cpu.us_per_vote.iter().map(|(name, us)| CpuBar { name: name.clone(), us: *us, part: us / total }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_stand_at_round_numbers() {
        assert_eq!(marks(17.3, 8), [0.0, 5.0, 10.0, 15.0]);
        assert_eq!(marks(1_000_000.0, 4), [0.0, 500_000.0, 1_000_000.0]);
        assert_eq!(marks(0.9, 4).len(), 2);
        assert_eq!(marks(0.0, 4), [0.0]);
        assert_eq!((short(1_500_000.0), short(250_000.0), short(7.0)), ("1.5M".into(), "250k".into(), "7".into()));
    }

    #[test]
    fn each_nine_takes_as_much_room_as_the_one_before() {
        let (ninety, ninety_nine) = (nines(90.0, 4.0), nines(99.0, 4.0));
        assert!((ninety - NARROW / 4.0).abs() < 1e-6 && (ninety_nine - NARROW / 2.0).abs() < 1e-6 && nines(100.0, 4.0) == NARROW);
    }
}

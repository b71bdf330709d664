//! The server's own figures around a rehearsal, where `--metrics-url` says how to get them.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};

use super::client::{Client, Target};

/// A report is one page.
const NAMES_MAX: usize = 60;

pub type Metrics = BTreeMap<String, f64>;

/// Empty where no address was given.
pub async fn read(url: Option<&str>) -> anyhow::Result<Metrics> {
    let Some(url) = url else { return Ok(Metrics::new()) };
    let (host, path) = url
        .trim_end_matches('/')
        .strip_prefix("http://")
        .map(|rest| rest.split_once('/').unwrap_or((rest, "metrics")))
        .context("--metrics-url: give http://host:port/metrics")?;
    let target = Target::resolve(&format!("http://{host}")).await.context("--metrics-url")?;
    let (status, text) = Client::new(target, None).text("GET", &format!("/{path}"), None).await.context("--metrics-url")?;
    ensure!(status == 200, "--metrics-url: the server answers {status}");
    Ok(parse(&text))
}

/// Buckets left out: counts and sums tell enough on one page. Lanes are added up.
fn parse(text: &str) -> Metrics {
    let ours = |name: &str| (name.starts_with("groundswell_") || name.starts_with("process_")) && !name.contains("_bucket");
    let line = |line: &'_ str| line.rsplit_once(' ').and_then(|(name, value)| Some((without_lane(name), value.parse::<f64>().ok()?)));
    let mut metrics = Metrics::new();
    for (name, value) in text.lines().filter(|l| !l.starts_with('#')).filter_map(line).filter(|(name, _)| ours(name)) {
        *metrics.entry(name).or_default() += value;
    }
    metrics
}

/// A lane stands alone in its braces.
fn without_lane(name: &str) -> String {
    name.split_once("{lane=").map_or(name, |(name, _)| name).to_owned()
}

/// What moved: (before, after).
pub fn changes(before: &Metrics, after: &Metrics) -> BTreeMap<String, (f64, f64)> {
    let both = |(name, after): (&String, &f64)| (name.clone(), (before.get(name).copied().unwrap_or(0.0), *after));
    after.iter().map(both).filter(|(_, (before, after))| before != after).take(NAMES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_added_up() {
        let metrics = parse("groundswell_a_total{lane=\"0\"} 3\ngroundswell_a_total{lane=\"1\"} 4\ngroundswell_b_total{why=\"full\"} 1\n");
        assert_eq!(metrics, Metrics::from([("groundswell_a_total".into(), 7.0), ("groundswell_b_total{why=\"full\"}".into(), 1.0)]));
    }

    #[test]
    fn what_moved_is_told_with_its_labels() {
        let before = parse("# HELP x\ngroundswell_a_total{fate=\"counted\"} 3\ngroundswell_same 1\ngo_other 5\n");
        let after = parse("groundswell_a_total{fate=\"counted\"} 10\ngroundswell_same 1\ngroundswell_b_seconds_bucket{le=\"1\"} 5\n");
        assert_eq!(changes(&before, &after), BTreeMap::from([("groundswell_a_total{fate=\"counted\"}".to_owned(), (3.0, 10.0))]));
    }
}

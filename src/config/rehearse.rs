//! What to rehearse, from the command line.

use std::path::PathBuf;
use std::time::Duration;

use crate::rehearsal::{CONNECTIONS_MAX, Plan, Shape, VOTERS_MAX};

#[derive(clap::Args, Clone, Debug, PartialEq)]
pub struct Rehearse {
    /// The server, such as http://127.0.0.1:8080, or https://vote.example.org through the TLS of its edge
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// An owner's API token [default: GROUNDSWELL_API_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// People who vote
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(VOTERS_MAX)))]
    voters: u32,
    /// Time over which their taps spread: 1s, 500ms, 2m
    #[arg(long, default_value = "1s", value_parser = duration)]
    over: Duration,
    /// How they spread: step (evenly, from the first moment on), ramp (more and more), wave (rising and falling)
    #[arg(long, default_value = "step", value_parser = shape)]
    shape: Shape,
    /// People who watch the result meanwhile
    #[arg(long, default_value_t = 0)]
    viewers: usize,
    /// Connections that votes are sent over; a tap waits while all are busy
    #[arg(long, default_value_t = 1_024, value_parser = connections)]
    connections: usize,
    /// Threads that send [default: number of cores, at most 4]
    #[arg(long)]
    threads: Option<usize>,
    /// Share of people who change their mind
    #[arg(long, default_value = "10%", value_parser = percent)]
    change: f64,
    /// Share of people whose phone sends the same ballot again
    #[arg(long, default_value = "5%", value_parser = percent)]
    repeat: f64,
    /// Choices of the poll
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(2..=100))]
    choices: u16,
    /// Repeats a rehearsal: the same people do the same at the same time [default: a random one]
    #[arg(long)]
    seed: Option<u64>,
    /// Rehearses in this rehearsal instead of one of its own, so that a screen can be set up before
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// The server's /metrics, to be read before and after
    #[arg(long, value_name = "URL")]
    metrics_url: Option<String>,
    /// Where report.json and report.html go
    #[arg(long, value_name = "DIRECTORY")]
    report: Option<PathBuf>,
    /// Leaves the rehearsal and its ballots in place
    #[arg(long)]
    keep: bool,
    /// Says that a server elsewhere is yours to put under load
    #[arg(long)]
    i_operate_this_server: bool,
}

impl Rehearse {
    /// `token` is the one from the settings.
    pub(super) fn into_plan(self, token: Option<&str>) -> Result<(Plan, Option<PathBuf>), String> {
        let token = self.token.as_deref().or(token).ok_or("A rehearsal needs --token, or GROUNDSWELL_API_TOKEN: the API token of an owner.")?;
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let plan = Plan {
            url: self.url,
            token: token.to_owned(),
            voters: self.voters,
            over: self.over,
            shape: self.shape,
            viewers: self.viewers,
            connections: self.connections.min(self.voters as usize),
            threads: self.threads.unwrap_or(cores.min(4)).max(1),
            change: self.change,
            repeat: self.repeat,
            choices: self.choices,
            seed: self.seed.unwrap_or_else(|| fastrand::u64(..)),
            event: self.event,
            metrics_url: self.metrics_url,
            keep: self.keep,
            i_operate_this_server: self.i_operate_this_server,
        };
        Ok((plan, self.report))
    }
}

fn shape(text: &str) -> Result<Shape, String> {
    Shape::parse(text).ok_or_else(|| "step, ramp or wave".into())
}

fn connections(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| (1..=CONNECTIONS_MAX).contains(n)).ok_or_else(|| format!("a number from 1 to {CONNECTIONS_MAX}"))
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches('%').trim().parse::<f64>().ok();
    number.filter(|n| (0.0..=100.0).contains(n)).ok_or_else(|| "a share such as 10%".into())
}

/// An hour is a day's rehearsal of an evening; a tap every millisecond is as short as it makes sense.
const OVER: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3_600);

fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let factor = match unit {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" | "min" => 60.0,
        _ => return Err("a time such as 1s, 500ms or 2m".into()),
    };
    let seconds = number.trim().parse::<f64>().ok().map(|n| n * factor).filter(|s| s.is_finite() && *s > 0.0);
    let duration = seconds.and_then(|s| Duration::try_from_secs_f64(s).ok()).filter(|d| OVER.contains(d));
    duration.ok_or_else(|| "a time from 1ms to 60m".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_shares_are_read_as_people_write_them() {
        assert_eq!(
            (duration("1s"), duration("500ms"), duration("1.5 m")),
            (Ok(Duration::from_secs(1)), Ok(Duration::from_millis(500)), Ok(Duration::from_secs(90)))
        );
        for wrong in ["", "s", "1h", "-1s", "0s", "NaN", "infs", "100m", "1e400s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!((percent("10%"), percent("0.5"), percent(" 100 % ")), (Ok(10.0), Ok(0.5), Ok(100.0)));
        for wrong in ["", "%", "101%", "-1%", "NaN%"] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
        assert!(connections("0").is_err() && connections("20001").is_err() && connections("64") == Ok(64));
    }
}

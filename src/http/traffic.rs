//! Requests by route and status, and how long they took: counted by each thread for itself, and added up when somebody asks. The metrics crate
//! would look a name up for each request and keep each duration as a sample; here a vote pays with two readings of the clock and four stores.
//!
//! Whoever answers a request tells `answered`: `talk` for a vote taken on the line, `voting::votes_first` for everything that HTTP hears of.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use actix_web::http::{Method, StatusCode};

/// What a request is about. Labels are these and no more, whatever is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route {
    Ballots,
    Passes,
    Mine,
    Live,
    Stream,
    /// Results without JavaScript, pictures, posters.
    Results,
    /// The audience's page, and those that others frame.
    Page,
    Asset,
    /// Signing in and out, setting up.
    Session,
    /// The back office and the presenter, pages and calls.
    Office,
    Operations,
    Other,
}

impl Route {
    const NAMES: [&'static str; 12] = ["ballots", "passes", "mine", "live", "stream", "results", "page", "asset", "session", "office", "operations", "other"];

    pub fn of(method: &Method, path: &str) -> Route {
        if let Some(rest) = path.strip_prefix("/api/v1/") {
            let (first, rest) = rest.split_once('/').unwrap_or((rest, ""));
            let last = rest.split_once('/').map_or("", |(_, last)| last);
            return match (first, last) {
                ("polls", "ballots") if method == Method::POST => Route::Ballots,
                ("polls", "ballots/mine") => Route::Mine,
                ("live", "") => Route::Live,
                ("live", "stream") => Route::Stream,
                ("live", "passes") => Route::Passes,
                ("live", "qr.svg") => Route::Results,
                ("session" | "setup", _) => Route::Session,
                ("polls" | "events" | "rehearsals", _) => Route::Office,
                _ => Route::Other,
            };
        }
        let path = path.strip_prefix('/').unwrap_or(path);
        match path.split_once('/').map_or((path, ""), |(first, rest)| (first, rest)) {
            ("assets", _) => Route::Asset,
            ("results" | "poster" | "oembed", _) => Route::Results,
            ("admin" | "present", _) => Route::Office,
            ("livez" | "readyz" | "status", "") => Route::Operations,
            ("overlay" | "embed", _) | (_, "") => Route::Page,
            _ => Route::Other,
        }
    }

    pub fn name(self) -> &'static str {
        Route::NAMES[self as usize]
    }
}

/// Upper ends in microseconds: from a vote in memory to what a person gives up on.
const BUCKETS_US: [u64; 14] = [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000];
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// What one thread answered. On cache lines of its own; written by that thread alone.
#[derive(Default)]
#[repr(align(128))]
struct Meter {
    routes: [Line; Route::NAMES.len()],
}

#[derive(Default)]
struct Line {
    answers: [AtomicU64; CLASSES.len()],
    /// Not added up: each answer is in one. The last is for what took longer.
    buckets: [AtomicU64; BUCKETS_US.len() + 1],
    micros: AtomicU64,
}

/// Every thread's that ever answered: what was counted stays counted.
static METERS: Mutex<Vec<Arc<Meter>>> = Mutex::new(Vec::new());

thread_local! {
    static METER: Arc<Meter> = {
        let meter = Arc::<Meter>::default();
        METERS.lock().expect("never poisoned").push(meter.clone());
        meter
    };
}

/// Notes an answer.
pub fn answered(route: Route, status: StatusCode, began: Instant) {
    let micros = began.elapsed().as_micros() as u64;
    METER.with(|meter| {
        let line = &meter.routes[route as usize];
        let class = usize::from(status.as_u16() / 100).clamp(2, 5) - 2;
        add(&line.answers[class], 1);
        add(&line.buckets[BUCKETS_US.partition_point(|end| *end < micros)], 1);
        add(&line.micros, micros);
    });
}

/// Load and store instead of one locked instruction: only one thread writes.
fn add(cell: &AtomicU64, more: u64) {
    cell.store(cell.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}

/// As Prometheus reads it.
pub fn render() -> String {
    let meters = METERS.lock().expect("never poisoned").clone();
    let sum = |of: &dyn Fn(&Meter) -> &AtomicU64| meters.iter().map(|meter| of(meter).load(Ordering::Relaxed)).sum::<u64>();
    let mut text = String::from("# TYPE groundswell_http_requests_total counter\n");
    for (at, route) in Route::NAMES.iter().enumerate() {
        for (class, status) in CLASSES.iter().enumerate() {
            let answers = sum(&|meter| &meter.routes[at].answers[class]);
            writeln!(text, "groundswell_http_requests_total{{route=\"{route}\",status=\"{status}\"}} {answers}").expect("writing to a String cannot fail");
        }
    }
    text.push_str("\n# TYPE groundswell_http_request_seconds histogram\n");
    for (at, route) in Route::NAMES.iter().enumerate() {
        let mut below = 0;
        for bucket in 0..=BUCKETS_US.len() {
            below += sum(&|meter| &meter.routes[at].buckets[bucket]);
            let end = BUCKETS_US.get(bucket).map_or("+Inf".to_owned(), |end| (*end as f64 / 1e6).to_string());
            writeln!(text, "groundswell_http_request_seconds_bucket{{route=\"{route}\",le=\"{end}\"}} {below}").expect("writing to a String cannot fail");
        }
        let seconds = sum(&|meter| &meter.routes[at].micros) as f64 / 1e6;
        writeln!(text, "groundswell_http_request_seconds_sum{{route=\"{route}\"}} {seconds}").expect("writing to a String cannot fail");
        writeln!(text, "groundswell_http_request_seconds_count{{route=\"{route}\"}} {below}").expect("writing to a String cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_has_one_of_a_few_names() {
        for (method, path, route) in [
            ("POST", "/api/v1/polls/p1/ballots", "ballots"),
            ("GET", "/api/v1/polls/p1/ballots", "office"),
            ("GET", "/api/v1/polls/p1/ballots/mine", "mine"),
            ("GET", "/api/v1/live/482913", "live"),
            ("HEAD", "/api/v1/live/482913", "live"),
            ("GET", "/api/v1/live/482913/stream", "stream"),
            ("POST", "/api/v1/live/482913/passes", "passes"),
            ("GET", "/api/v1/live/482913/qr.svg", "results"),
            ("POST", "/api/v1/session", "session"),
            ("POST", "/api/v1/setup", "session"),
            ("GET", "/api/v1/polls/p1/results", "office"),
            ("GET", "/api/v1/events", "office"),
            ("GET", "/api/v1/events/e1/stream", "office"),
            ("GET", "/api/v1/rehearsals/r1", "office"),
            ("GET", "/api/v1/gotcha", "other"),
            ("GET", "/api/v1/", "other"),
            ("GET", "/assets/vote/x.js", "asset"),
            ("GET", "/results/482913/p1.svg", "results"),
            ("GET", "/", "page"),
            ("GET", "/482913", "page"),
            ("GET", "/embed/482913", "page"),
            ("GET", "/admin", "office"),
            ("GET", "/present/e1", "office"),
            ("GET", "/readyz", "operations"),
            ("GET", "/gotcha/gotcha", "other"),
            ("GET", "", "page"),
        ] {
            assert_eq!(Route::of(&method.parse().unwrap(), path).name(), route, "{method} {path}");
        }
    }

    #[test]
    fn an_answer_is_in_the_bucket_of_its_time_and_in_all_above() {
        let before = render();
        answered(Route::Other, StatusCode::IM_A_TEAPOT, Instant::now() - std::time::Duration::from_millis(30));
        let after = render();
        let figure = |text: &str, name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
            line.trim().parse().unwrap()
        };
        let grown = |name: &str| figure(&after, name) - figure(&before, name);
        assert_eq!(grown("groundswell_http_requests_total{route=\"other\",status=\"4xx\"}"), 1.0);
        assert_eq!(grown("groundswell_http_request_seconds_bucket{route=\"other\",le=\"0.025\"}"), 0.0);
        assert_eq!(grown("groundswell_http_request_seconds_bucket{route=\"other\",le=\"+Inf\"}"), 1.0);
        assert_eq!(grown("groundswell_http_request_seconds_count{route=\"other\"}"), 1.0);
        assert!(grown("groundswell_http_request_seconds_sum{route=\"other\"}") >= 0.03);
    }
}

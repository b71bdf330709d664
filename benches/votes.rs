//! Votes per second and CPU per vote, side by side in one run: a bare actix-web handler that answers 202 to the same POST, this server
//! embedded, and (where `GROUNDSWELL_TEST_DATABASE_URL` and `GROUNDSWELL_TEST_AMQP_URL` are set) distributed.
//!
//! `cargo bench --bench votes`. Settings: `BENCH_SECONDS` (5), `BENCH_ROUNDS` (3), `BENCH_CONNECTIONS` (64,1024). Each side is a process
//! of its own, with the same allocator; the generator runs beside them on the same cores. Medians over the rounds; a ratio is taken in each
//! round, as a machine that others share is not equally fast in all, and told with the least and the most it came to. Every other round
//! goes through the sides backwards.

/// As the server has it: the bare handler is to be nothing but bare.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::http::header::HeaderValue;
use actix_web::web::Bytes;
use actix_web::{App, HttpResponse, HttpServer, post};
use groundswell::rehearsal::load::fire;

use common::server::{Server, Side};
use common::{runtime, setting};

const GENERATOR_THREADS: usize = 2;

fn main() {
    if std::env::args().any(|a| a == "--bare-server") {
        return bare_server();
    }
    let seconds = setting("BENCH_SECONDS", 5);
    let rounds = setting("BENCH_ROUNDS", 3);
    let connections: Vec<usize> = std::env::var("BENCH_CONNECTIONS")
        .unwrap_or_else(|_| "64,1024".into())
        .split(',')
        .map(|c| c.trim().parse().expect("BENCH_CONNECTIONS is numbers with commas"))
        .collect();
    let mut sides = [vec![Side::Bare], Side::available()].concat();
    if sides.len() < 3 {
        println!("distributed: not run (GROUNDSWELL_TEST_DATABASE_URL and GROUNDSWELL_TEST_AMQP_URL are not set)");
    }
    // To profile one side: BENCH_SIDES=bare,embedded.
    if let Ok(wanted) = std::env::var("BENCH_SIDES") {
        sides.retain(|side| wanted.contains(&format!("{side:?}").to_lowercase()));
    }
    rlimit::increase_nofile_limit(u64::MAX).expect("the limit of open files can be raised to the hard one");
    for connections in connections {
        let mut runs: BTreeMap<Side, Vec<Run>> = BTreeMap::new();
        for round in 1..=rounds {
            let mut order = sides.clone();
            if round % 2 == 0 {
                order.reverse();
            }
            for side in order {
                let run = measure(side, connections, Duration::from_secs(seconds));
                eprintln!("{connections} connections, round {round}, {side:?}: {:.0} votes/s", run.rate);
                runs.entry(side).or_default().push(run);
            }
        }
        report(connections, &runs);
    }
}

struct Run {
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
    failed: u64,
    /// Microseconds of CPU per accepted vote, by process.
    cpu_us: BTreeMap<&'static str, f64>,
}

fn measure(side: Side, connections: usize, limit: Duration) -> Run {
    let server = Server::start(side);
    // Enough for any rate this machine reaches; each voter votes once.
    let wanted = 120_000 * limit.as_secs() as usize;
    let requests = server.requests(wanted);
    let before = server.cpu();
    let outcome = fire(server.address, requests, connections, GENERATOR_THREADS, limit);
    // Its CPU is in the figures.
    server.drain(outcome.accepted);
    let after = server.cpu();
    let votes = outcome.accepted.max(1) as f64;
    Run {
        rate: outcome.per_second(),
        p50_ms: outcome.latency.value_at_quantile(0.5) as f64 / 1_000.0,
        p99_ms: outcome.latency.value_at_quantile(0.99) as f64 / 1_000.0,
        failed: outcome.failed + outcome.refused,
        cpu_us: after.iter().map(|(name, s)| (*name, (s - before.get(name).copied().unwrap_or(0.0)) * 1e6 / votes)).collect(),
    }
}

fn report(connections: usize, runs: &BTreeMap<Side, Vec<Run>>) {
    let Some(bare) = runs.get(&Side::Bare).or_else(|| runs.values().next()) else { return };
    println!("\n{connections} connections, generator on the same {} cores", std::thread::available_parallelism().map_or(0, usize::from));
    println!(
        "{:<12} {:>9} {:>18} {:>8} {:>8} {:>7} {:>11} {:>18}  CPU µs/vote",
        "side", "votes/s", "ratio", "p50 ms", "p99 ms", "p99/b", "web µs/vote", "ratio"
    );
    for (side, runs) in runs {
        let (rate, web) = (median(runs, |r| r.rate), median(runs, |r| r.cpu_us["web"]));
        let names: Vec<&'static str> = runs[0].cpu_us.keys().copied().collect();
        let parts: Vec<String> = names.iter().map(|n| format!("{n} {:.1}", median(runs, |r| r.cpu_us[n]))).collect();
        let all: f64 = names.iter().map(|n| median(runs, |r| r.cpu_us[n])).sum();
        let p99 = median(runs, |r| r.p99_ms);
        println!(
            "{:<12} {rate:>9.0} {:>18} {:>8.2} {p99:>8.2} {:>7.2} {web:>11.1} {:>18}  {} = {all:.1}",
            format!("{side:?}"),
            ratios(runs, bare, |r| r.rate),
            median(runs, |r| r.p50_ms),
            p99 / median(bare, |r| r.p99_ms),
            ratios(runs, bare, |r| r.cpu_us["web"]),
            parts.join(" + ")
        );
        let failed: u64 = runs.iter().map(|r| r.failed).sum();
        if failed > 0 {
            println!("{:<12} {failed} requests were refused or failed", "");
        }
    }
}

fn median(runs: &[Run], of: impl Fn(&Run) -> f64) -> f64 {
    middle(runs.iter().map(of).collect())
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (below, above) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    (below + above) / 2.0
}

/// Round by round: the middle one, and from where to where they went.
fn ratios(runs: &[Run], bare: &[Run], of: impl Fn(&Run) -> f64) -> String {
    let each: Vec<f64> = runs.iter().zip(bare).map(|(run, bare)| of(run) / of(bare)).collect();
    let (least, most) = each.iter().fold((f64::MAX, f64::MIN), |(least, most), one| (least.min(*one), most.max(*one)));
    format!("{:.2} ({least:.2}-{most:.2})", middle(each.clone()))
}

/// What the ratios are taken against: reads the same body, answers as many bytes.
fn bare_server() {
    /// So many bytes of headers are ours alone: 586 bytes in all.
    const HEADERS: [u8; 330] = [b'x'; 330];
    #[post("/api/v1/polls/{poll}/ballots")]
    async fn cast(body: Bytes) -> HttpResponse {
        drop(body);
        HttpResponse::Accepted()
            .insert_header(("content-type", "application/json"))
            .insert_header(("cache-control", "no-store"))
            .insert_header(("x-headers", HeaderValue::from_static(std::str::from_utf8(&HEADERS).expect("ASCII"))))
            .body("{\"ballot\":\"00000000-0000-0000-0000-000000000000\",\"accepted_at\":1764000000000,\"status\":\"counted\"}")
    }
    rlimit::increase_nofile_limit(u64::MAX).expect("the limit of open files can be raised to the hard one");
    runtime().block_on(async {
        let server = HttpServer::new(|| App::new().service(cast)).backlog(8_192).bind("127.0.0.1:0").expect("a free port");
        println!("  join    http://{}/", server.addrs()[0]);
        server.run().await.expect("the bare server runs");
    });
}

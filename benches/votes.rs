//! Votes per second and CPU per vote, side by side in one run: a bare actix-web handler that answers 202 to the same POST, this server
//! embedded, and (where `GROUNDSWELL_TEST_DATABASE_URL` and `GROUNDSWELL_TEST_AMQP_URL` are set) distributed.
//!
//! `cargo bench --bench votes`. Settings: `BENCH_SECONDS` (5), `BENCH_ROUNDS` (3), `BENCH_CONNECTIONS` (64,1024). Each side is a process
//! of its own; the generator runs beside them on the same cores. Medians over the rounds.

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use actix_web::web::Bytes;
use actix_web::{App, HttpResponse, HttpServer, post};
use groundswell::clock::now_ms;
use groundswell::http::PassKey;
use groundswell::rehearsal::load::{Outcome, Request, fire, vote_request};
use groundswell::store::Store;
use uuid::Uuid;

use common::{cpu_of, cpu_of_all, execute, runtime, setting};

const TOKEN: &str = "a-token-for-benchmarks-of-32-characters";
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
    let mut sides = vec![Side::Bare, Side::Embedded];
    if std::env::var("GROUNDSWELL_TEST_DATABASE_URL").is_ok() && std::env::var("GROUNDSWELL_TEST_AMQP_URL").is_ok() {
        sides.push(Side::Distributed);
    } else {
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
            for side in &sides {
                let run = measure(*side, connections, Duration::from_secs(seconds));
                eprintln!("{connections} connections, round {round}, {side:?}: {:.0} votes/s", run.rate);
                runs.entry(*side).or_default().push(run);
            }
        }
        report(connections, &runs);
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Side {
    Bare,
    Embedded,
    Distributed,
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
    let place = Place::start(side);
    // Enough for any rate this machine reaches; each voter votes once.
    let wanted = 120_000 * limit.as_secs() as usize;
    let requests = place.requests(wanted);
    let before = place.cpu();
    let outcome = fire(place.address, requests, connections, GENERATOR_THREADS, limit);
    place.drain(&outcome);
    let after = place.cpu();
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
    let (bare_rate, bare_p99, bare_cpu) = (median(bare, |r| r.rate), median(bare, |r| r.p99_ms), median(bare, |r| r.cpu_us["web"]));
    println!("\n{connections} connections, generator on the same {} cores", std::thread::available_parallelism().map_or(0, usize::from));
    println!("{:<12} {:>9} {:>7} {:>8} {:>8} {:>7} {:>11} {:>7}  CPU µs/vote", "side", "votes/s", "ratio", "p50 ms", "p99 ms", "p99/b", "web µs/vote", "ratio");
    for (side, runs) in runs {
        let (rate, web) = (median(runs, |r| r.rate), median(runs, |r| r.cpu_us["web"]));
        let names: Vec<&'static str> = runs[0].cpu_us.keys().copied().collect();
        let parts: Vec<String> = names.iter().map(|n| format!("{n} {:.1}", median(runs, |r| r.cpu_us[n]))).collect();
        let all: f64 = names.iter().map(|n| median(runs, |r| r.cpu_us[n])).sum();
        let p99 = median(runs, |r| r.p99_ms);
        println!(
            "{:<12} {rate:>9.0} {:>7.2} {:>8.2} {p99:>8.2} {:>7.2} {web:>11.1} {:>7.2}  {} = {all:.1}",
            format!("{side:?}"),
            rate / bare_rate,
            median(runs, |r| r.p50_ms),
            p99 / bare_p99,
            web / bare_cpu,
            parts.join(" + ")
        );
        let failed: u64 = runs.iter().map(|r| r.failed).sum();
        if failed > 0 {
            println!("{:<12} {failed} requests were refused or failed", "");
        }
    }
}

fn median(runs: &[Run], of: impl Fn(&Run) -> f64) -> f64 {
    let mut values: Vec<f64> = runs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Processes of one side, and what they need.
struct Place {
    address: SocketAddr,
    children: Vec<(&'static str, Child)>,
    database: Option<(String, String)>,
    database_url: String,
    poll: String,
    code: String,
    pass_key: Option<PassKey>,
    event: i64,
    _directory: tempfile::TempDir,
}

impl Place {
    fn start(side: Side) -> Place {
        let directory = tempfile::TempDir::new().expect("a directory");
        let mut place = Place {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            children: Vec::new(),
            database: None,
            database_url: format!("sqlite://{}/groundswell.db", directory.path().display()),
            poll: "0000000000001".into(),
            code: String::new(),
            pass_key: None,
            event: 1,
            _directory: directory,
        };
        match side {
            Side::Bare => {
                let mut command = Command::new(std::env::current_exe().expect("this benchmark has a path"));
                command.arg("--bare-server");
                place.spawn("web", command);
                place.pass_key = Some(PassKey::new(b"bare"));
            }
            Side::Embedded => {
                let command = place.groundswell("serve", &[]);
                place.spawn("web", command);
                place.open_poll();
            }
            Side::Distributed => {
                let admin = std::env::var("GROUNDSWELL_TEST_DATABASE_URL").expect("checked");
                let name = format!("gs_bench_{}", Uuid::new_v4().simple());
                execute(&admin, format!("create database {name}"));
                place.database_url = format!("{}/{name}", admin.rsplit_once('/').expect("a database name").0);
                place.database = Some((admin, name.clone()));
                let amqp = std::env::var("GROUNDSWELL_TEST_AMQP_URL").expect("checked");
                for (process, command) in [("web", "web"), ("tally", "tally")] {
                    let command = place.groundswell(command, &["--amqp-url", &amqp, "--amqp-prefix", &name]);
                    place.spawn(process, command);
                }
                place.open_poll();
            }
        }
        place
    }

    fn groundswell(&self, role: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_groundswell"));
        command
            .args([role, "--host", "127.0.0.1", "--port", "0", "--metrics-port", "0", "--database-url", &self.database_url, "--api-token", TOKEN])
            .args(more);
        command.env_remove("DATABASE_URL").env_remove("AMQP_URL").env("RUST_LOG", "error");
        command
    }

    /// Starts a process and, for the web one, waits until it says where it listens.
    fn spawn(&mut self, name: &'static str, mut command: Command) {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the process starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let last_line = if name == "web" { "  join    http://" } else { "  metrics " };
        let line = lines.by_ref().map_while(Result::ok).find(|l| l.starts_with(last_line)).expect("the process says that it runs");
        if name == "web" {
            self.address = line.trim_start_matches(last_line).trim_end_matches('/').parse().expect("an address");
        }
        // Read on, or the child blocks on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        self.children.push((name, child));
        if name == "web" {
            let deadline = Instant::now() + Duration::from_secs(20);
            while self.http("GET", "/readyz", None).0 != 200 {
                assert!(Instant::now() < deadline, "the server is not ready within 20 s");
                std::thread::park_timeout(Duration::from_millis(20));
            }
        }
    }

    fn open_poll(&mut self) {
        let event = self.http("POST", "/api/v1/events", Some(r#"{"title":"Benchmark"}"#)).1;
        let id = event["id"].as_str().expect("an event").to_owned();
        self.code = event["code"].as_str().expect("a code").to_owned();
        let poll = self.http("POST", &format!("/api/v1/events/{id}/polls"), Some(r#"{"kind":"single","question":"?","choices":["A","B","C","D"]}"#)).1;
        self.poll = poll["id"].as_str().expect("a poll").to_owned();
        assert_eq!(self.http("PUT", &format!("/api/v1/polls/{}/state", self.poll), Some(r#"{"state":"open"}"#)).0, 200);
        self.event = id.parse::<groundswell::domain::EventId>().expect("an id").0;
        let url = self.database_url.clone();
        let key =
            runtime().block_on(async { Store::open(&url, 1).await.expect("the database opens").secret("pass_key", Vec::new()).await.expect("there is a key") });
        self.pass_key = Some(PassKey::new(&key));
    }

    fn requests(&self, count: usize) -> Vec<Request> {
        let key = self.pass_key.as_ref().expect("there is a key");
        let now = now_ms();
        let choices: Vec<String> = (1..=4).map(|n| format!("{}-{n}", self.poll)).collect();
        let event = groundswell::domain::EventId(self.event);
        (0..count)
            .map(|n| {
                let pass = key.mint_open(event, Uuid::new_v4(), now);
                vote_request(self.address, &self.poll, &pass, Uuid::new_v4(), 1, &choices[n % choices.len()])
            })
            .collect()
    }

    /// Waits until everything accepted is counted, so that its CPU is in the figures; and that nothing is lost.
    fn drain(&self, outcome: &Outcome) {
        if self.code.is_empty() {
            return;
        }
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let voters = self.http("GET", &format!("/api/v1/live/{}", self.code), None).1["polls"][0]["results"]["voters"].as_u64().unwrap_or(0);
            if voters >= outcome.accepted {
                return;
            }
            assert!(Instant::now() < deadline, "{} accepted, {voters} counted after two minutes", outcome.accepted);
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Seconds of CPU so far, by process.
    fn cpu(&self) -> BTreeMap<&'static str, f64> {
        let mut cpu: BTreeMap<&'static str, f64> = self.children.iter().map(|(name, child)| (*name, cpu_of(child.id()))).collect();
        if self.database.is_some() {
            cpu.insert("broker", cpu_of_all("beam.smp"));
            cpu.insert("postgres", cpu_of_all("postgres"));
        }
        cpu
    }

    fn http(&self, method: &str, path: &str, body: Option<&str>) -> (u16, serde_json::Value) {
        use std::io::{Read, Write};
        let Ok(mut stream) = std::net::TcpStream::connect(self.address) else { return (0, serde_json::Value::Null) };
        let body = body.unwrap_or_default();
        let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\nauthorization: Bearer {TOKEN}\r\n{kind}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut answer = String::new();
        if stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer)).is_err() {
            return (0, serde_json::Value::Null);
        }
        let status = answer.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0);
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, serde_json::from_str(body).unwrap_or_default())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for (_, child) in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some((admin, name)) = &self.database {
            execute(admin, format!("drop database if exists {name} with (force)"));
        }
    }
}

/// What the ratios are taken against: reads the same body, answers as many bytes.
fn bare_server() {
    #[post("/api/v1/polls/{poll}/ballots")]
    async fn cast(body: Bytes) -> HttpResponse {
        drop(body);
        HttpResponse::Accepted()
            .insert_header(("content-type", "application/json"))
            .insert_header(("cache-control", "no-store"))
            .body("{\"ballot\":\"00000000-0000-0000-0000-000000000000\",\"accepted_at\":1764000000000,\"status\":\"counted\"}")
    }
    #[actix_web::get("/readyz")]
    async fn ready() -> &'static str {
        "ready"
    }
    rlimit::increase_nofile_limit(u64::MAX).expect("the limit of open files can be raised to the hard one");
    runtime().block_on(async {
        let server = HttpServer::new(|| App::new().service(cast).service(ready)).backlog(8_192).bind("127.0.0.1:0").expect("a free port");
        println!("  join    http://{}/", server.addrs()[0]);
        server.run().await.expect("the bare server runs");
    });
}

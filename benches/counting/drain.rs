//! A backlog is worked off by processes as they run in earnest: one that counts, one that shows. Do the documents move meanwhile?

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use groundswell::clock::now_ms;
use groundswell::domain::{AccountId, Event, EventId, InstanceId, JoinCode, Kind, Limits, PollId, PollState, Question, Title, Visibility};
use groundswell::queue::Queue;
use groundswell::store::{EventDraft, PollDraft, Stamp, Store};
use uuid::Uuid;

use crate::common::cpu_of;
use crate::place::{Place, Side, cpu, cpu_since, numbers, runtime};
use crate::traffic::{LANES, connect, publish_all, votes_for};

const EVENTS: usize = 20;

pub fn run() {
    let place = Place::new(Side::Postgres);
    let prefix = format!("gs_bench_{}", Uuid::new_v4().simple());
    let amqp = std::env::var("GROUNDSWELL_TEST_AMQP_URL").expect("checked by the caller");
    let ballots = numbers("BENCH_BALLOTS", "1000000")[0];
    let runtime = runtime(2);
    let (store, queue, events) = runtime.block_on(async {
        let store = place.store(Side::Postgres).await;
        let mut events = Vec::new();
        for n in 0..EVENTS {
            events.push(open_event(&store, n).await);
        }
        (store, connect(&amqp, &prefix).await, events)
    });
    let polls: Vec<PollId> = events.iter().map(|e| e.polls[0].id).collect();
    let published = Instant::now();
    runtime.block_on(async {
        let instance = InstanceId(Uuid::new_v4());
        store.register_instance(instance, LANES, now_ms()).await.expect("registered");
        publish_all(&queue, votes_for(&polls, ballots, 4, instance)).await;
    });
    println!("\ndrain: {ballots} ballots over {EVENTS} events published in {:.1} s", published.elapsed().as_secs_f64());

    let web = Process::start(&place, &amqp, &prefix, "web", "  join    http://");
    let done = Arc::new(AtomicBool::new(false));
    let viewers: Vec<_> = events.iter().map(|e| watch(web.address, e.code.as_str().to_owned(), done.clone())).collect();
    let before = cpu();
    let tally = Process::start(&place, &amqp, &prefix, "tally", "  metrics http://");
    let started = Instant::now();
    let deadline = started + Duration::from_secs(300);
    let mut progress = Vec::new();
    let took = loop {
        let figures = metrics(tally.address);
        let counted: f64 = figures.iter().filter(|(name, _)| name.contains("tallied_total") && name.contains("received")).map(|(_, v)| v).sum();
        let waiting: f64 = figures.iter().filter(|(name, _)| name.starts_with("groundswell_tally_waiting_batches")).map(|(_, v)| v).sum();
        let lag = figures.iter().filter(|(name, _)| name.starts_with("groundswell_tally_lag_seconds")).map(|(_, v)| *v).fold(0.0, f64::max);
        progress.push((started.elapsed().as_secs_f64(), counted, waiting, lag));
        if counted >= ballots as f64 {
            break started.elapsed().as_secs_f64();
        }
        assert!(Instant::now() < deadline, "{counted} of {ballots} after five minutes");
        std::thread::park_timeout(Duration::from_millis(250));
    };
    let (rest, own) = (cpu_since(&before, ballots), tally.cpu() * 1e6 / ballots as f64);
    // One more redraw, and its time on the way.
    std::thread::park_timeout(Duration::from_millis(500));
    done.store(true, Ordering::Relaxed);
    let frames: Vec<Vec<f64>> =
        viewers.into_iter().map(|v| v.join().expect("no panic")).map(|times| times.iter().map(|t| t.duration_since(started).as_secs_f64()).collect()).collect();
    let during = |times: &Vec<f64>| times.iter().copied().filter(|t| *t > 0.0 && *t <= took).collect::<Vec<f64>>();
    let rates: Vec<f64> = frames.iter().map(|times| during(times).len() as f64 / took).collect();
    let gaps = frames.iter().flat_map(|times| during(times).windows(2).map(|w| w[1] - w[0]).collect::<Vec<_>>());
    println!(
        "drained in {took:.1} s: {:.0} ballots/s; CPU per ballot: tally {own:.2} + Postgres {:.2} + broker {:.2} µs",
        ballots as f64 / took,
        rest["postgres"],
        rest["broker"]
    );
    println!(
        "documents of {EVENTS} watched events meanwhile: {:.1} frames/s at least, {:.1} at most, longest pause {:.0} ms",
        rates.iter().copied().fold(f64::MAX, f64::min),
        rates.iter().copied().fold(0.0, f64::max),
        gaps.fold(0.0, f64::max) * 1_000.0
    );
    for (at, counted, waiting, lag) in progress.iter().step_by((progress.len() / 8).max(1)) {
        println!("  {at:>5.2} s  tallied {counted:>9.0}  waiting batches {waiting:>5.0}  lag {lag:>6.1} s");
    }
    drop((web, tally));
    runtime.block_on(async {
        let (rows, differences) = store.recount().await.expect("a recount");
        assert_eq!((rows, differences), (ballots as u64, vec![]), "every ballot counts once");
        crate::traffic::remove(&amqp, &prefix).await;
        close(store, queue).await;
    });
}

async fn close(store: Store, queue: Queue) {
    queue.close().await;
    store.close().await;
}

async fn open_event(store: &Store, n: usize) -> Event {
    let stamp = |audit_id| Stamp { actor: "a benchmark".into(), at: now_ms(), audit_id };
    let next = || AccountId::compose(now_ms(), fastrand::u32(..)).0;
    let poll = PollDraft {
        id: PollId::compose(now_ms(), fastrand::u32(..)),
        kind: Kind::Single,
        question: Question::parse("Which?").expect("a question"),
        choices: ["A", "B", "C", "D"].map(str::to_owned).to_vec(),
        limits: Limits { min: 1, max: 1 },
        change: true,
        visibility: Visibility::Live,
    };
    let id = poll.id;
    let draft = EventDraft {
        rehearsal: false,
        id: EventId::compose(now_ms(), fastrand::u32(..)),
        codes: vec![JoinCode::compose(n as u32)],
        slug: None,
        title: Title::parse("Benchmark").expect("a title"),
        accent: None,
        logo: None,
        copy_of: None,
        polls: vec![poll],
    };
    let event = store.create_event(draft, stamp(next())).await.expect("an event");
    store.set_poll_state(event.id, id, PollState::Open, stamp(next())).await.expect("opens")
}

/// A process of the product; killed when dropped.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start(place: &Place, amqp: &str, prefix: &str, role: &str, says: &str) -> Process {
        let mut child = Command::new(env!("CARGO_BIN_EXE_groundswell"))
            .args([role, "--host", "127.0.0.1", "--port", "0", "--metrics-port", "0", "--database-url", &place.url])
            .args(["--amqp-url", amqp, "--amqp-prefix", prefix])
            .env_remove("DATABASE_URL")
            .env_remove("AMQP_URL")
            .env("RUST_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the process starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let line = lines.by_ref().map_while(Result::ok).find(|l| l.starts_with(says)).expect("the process says that it runs");
        let address = line.trim_start_matches(says).trim_end_matches("/metrics").trim_end_matches('/').parse().expect("an address");
        // Read on, or the child blocks on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Process { child, address }
    }

    fn cpu(&self) -> f64 {
        cpu_of(self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// When each frame of an event's stream came.
fn watch(address: SocketAddr, code: String, done: Arc<AtomicBool>) -> std::thread::JoinHandle<Vec<Instant>> {
    std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout can be set");
        write!(stream, "GET /api/v1/live/{code}/stream HTTP/1.1\r\nhost: bench\r\n\r\n").expect("written");
        let (mut times, mut buffer) = (Vec::new(), [0; 64 * 1_024]);
        while !done.load(Ordering::Relaxed) {
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => times.extend(buffer[..read].windows(6).filter(|w| w == b"\ndata:").map(|_| Instant::now())),
                Err(_) => {}
            }
        }
        times
    })
}

/// Name with labels, and value.
fn metrics(address: SocketAddr) -> Vec<(String, f64)> {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let text = ask().unwrap_or_default();
    text.lines().filter_map(|line| line.rsplit_once(' ')).filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}

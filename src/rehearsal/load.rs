//! Voters in bulk: many connections, each sending one ballot after the other and timing the answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

pub use super::http1::exchange;
use super::http1::{ANSWER_BYTES_MAX, Head};

/// Latencies are kept from a microsecond to a minute with three digits.
const LATENCY_MAX_US: u64 = 60_000_000;

/// One request as it goes over the wire.
pub type Request = Arc<[u8]>;

#[derive(Clone, Debug)]
pub struct Outcome {
    pub accepted: u64,
    pub refused: u64,
    /// No answer, or one nobody can read.
    pub failed: u64,
    pub elapsed: Duration,
    /// Microseconds from sending to the whole answer.
    pub latency: Histogram<u64>,
}

impl Outcome {
    fn empty() -> Outcome {
        Outcome {
            accepted: 0,
            refused: 0,
            failed: 0,
            elapsed: Duration::ZERO,
            latency: Histogram::new_with_max(LATENCY_MAX_US, 3).expect("the bounds are right"),
        }
    }

    fn add(&mut self, other: &Outcome) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.failed += other.failed;
        self.elapsed = self.elapsed.max(other.elapsed);
        self.latency.add(&other.latency).expect("same bounds");
    }

    pub fn per_second(&self) -> f64 {
        self.accepted as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

/// The bytes of one vote.
pub fn vote_request(host: SocketAddr, poll: &str, pass: &str, ballot: uuid::Uuid, revision: u32, choice: &str) -> Request {
    let body = format!("{{\"ballot\":\"{ballot}\",\"revision\":{revision},\"picks\":[\"{choice}\"]}}");
    let head = format!(
        "POST /api/v1/polls/{poll}/ballots HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {pass}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat().into()
}

/// Sends the requests as fast as answers come back, over so many connections, for at most `limit`. Each request is sent once.
/// `threads` generator threads, each with a runtime of its own.
pub fn fire(address: SocketAddr, requests: Vec<Request>, connections: usize, threads: usize, limit: Duration) -> Outcome {
    let requests: Arc<[Request]> = requests.into();
    let next = Arc::new(AtomicUsize::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..threads)
        .map(|thread| {
            let (requests, next, stop) = (requests.clone(), next.clone(), stop.clone());
            let own = connections / threads + usize::from(thread < connections % threads);
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
                runtime.block_on(fire_on_thread(address, requests, next, stop, own, limit))
            })
        })
        .collect();
    let mut total = Outcome::empty();
    threads.into_iter().for_each(|t| total.add(&t.join().expect("the generator does not panic")));
    total
}

async fn fire_on_thread(
    address: SocketAddr,
    requests: Arc<[Request]>,
    next: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    connections: usize,
    limit: Duration,
) -> Outcome {
    let mut streams = Vec::with_capacity(connections);
    let mut total = Outcome::empty();
    for _ in 0..connections {
        match TcpStream::connect(address).await {
            Ok(stream) => streams.push(stream),
            Err(_) => total.failed += 1,
        }
    }
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for mut stream in streams {
        let (requests, next, stop) = (requests.clone(), next.clone(), stop.clone());
        tasks.spawn(async move {
            let mut outcome = Outcome::empty();
            let _ = stream.set_nodelay(true);
            let mut buffer = vec![0u8; ANSWER_BYTES_MAX];
            while !stop.load(Ordering::Relaxed) {
                let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                let sent = Instant::now();
                match exchange(&mut stream, request, &mut buffer).await {
                    Ok((Head { status, .. }, _)) => {
                        let _ = outcome.latency.record((sent.elapsed().as_micros() as u64).max(1));
                        if (200..300).contains(&status) { outcome.accepted += 1 } else { outcome.refused += 1 }
                    }
                    Err(_) => {
                        outcome.failed += 1;
                        let Ok(again) = TcpStream::connect(address).await else { break };
                        stream = again;
                    }
                }
            }
            outcome
        });
    }
    let all = async {
        let mut outcomes = Vec::new();
        while let Some(outcome) = tasks.join_next().await {
            outcomes.push(outcome.expect("the generator does not panic"));
        }
        outcomes
    };
    tokio::pin!(all);
    let outcomes = tokio::select! {
        outcomes = &mut all => outcomes,
        () = tokio::time::sleep(limit) => {
            stop.store(true, Ordering::Relaxed);
            all.await
        }
    };
    outcomes.iter().for_each(|o| total.add(o));
    total.elapsed = started.elapsed();
    total
}

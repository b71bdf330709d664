//! How old what a viewer sees is.

use std::net::SocketAddr;
use std::time::Duration;

use groundswell::rehearsal::load::{Request, exchange};
use tokio::net::TcpStream;

use crate::common::server::{Server, Side, now_us};
use crate::common::{runtime, setting};
use crate::viewers::Viewers;

/// From a vote's sending to the frame that counts it, at 10,000 votes a second.
pub fn fresh() {
    const RATE: usize = 10_000;
    let seconds = setting("BENCH_SECONDS", 5) as usize;
    println!(
        "\nfrom a vote to the frame that counts it, {RATE} votes/s\n{:<14} {:<10} {:>8} {:>8} {:>8} {:>8} {:>9}",
        "side", "screen", "p50 ms", "p90 ms", "p99 ms", "max ms", "frames/s"
    );
    for side in Side::available() {
        for screen in ["audience", "presenter"] {
            let server = Server::start(side);
            let stream = if screen == "presenter" { format!("/api/v1/events/{}/stream", server.poll.event) } else { server.poll.stream.clone() };
            let mut viewers = Viewers::start_at(server.address, &stream, 1);
            let sent = paced(server.address, &server.requests(RATE * seconds), RATE);
            let Waits { ms, frames } = Waits::of(&sent, &mut viewers);
            let at = |q| quantile(&ms, q);
            let frames = frames as f64 / seconds as f64;
            println!("{:<14} {screen:<10} {:>8.0} {:>8.0} {:>8.0} {:>8.0} {frames:>9.1}", format!("{side:?}"), at(0.5), at(0.9), at(0.99), at(1.0));
        }
    }
}

/// How long votes took to the frame that counts them.
pub struct Waits {
    /// Of each, shortest first.
    pub ms: Vec<f64>,
    /// That came while votes were being sent.
    pub frames: usize,
}

impl Waits {
    /// Of votes sent at these times, all there were, taken as counted in that order: true of those for one choice, which stand in one line, and
    /// nearly so where several lines are equally long. The first of the viewers watches their poll.
    pub fn of(sent: &[i64], viewers: &mut Viewers) -> Waits {
        viewers.counted(sent.len() as u64);
        let frames = viewers.frames();
        let shown = |at: usize| frames.iter().find(|(_, voters)| *voters > at as u64).expect("all are counted").0;
        let mut ms: Vec<f64> = sent.iter().enumerate().map(|(at, sent)| (shown(at) - sent) as f64 / 1e3).collect();
        ms.sort_by(f64::total_cmp);
        let during = frames.iter().filter(|(when, _)| (sent[0]..=sent[sent.len() - 1]).contains(when)).count();
        Waits { ms, frames: during }
    }
}

/// Of numbers in order.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * q) as usize]
}

/// Votes at their intended times; returns when each was sent, in microseconds, the first one first.
pub fn paced(address: SocketAddr, requests: &[Request], rate: usize) -> Vec<i64> {
    const CONNECTIONS_MAX: usize = 256;
    let connections = requests.len().min(CONNECTIONS_MAX);
    let gap = Duration::from_secs_f64(connections as f64 / rate as f64);
    runtime().block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        let begin = tokio::time::Instant::now() + Duration::from_millis(200);
        for connection in 0..connections {
            let own: Vec<Request> = requests.iter().skip(connection).step_by(connections).cloned().collect();
            let mut stream = TcpStream::connect(address).await.expect("the server listens");
            stream.set_nodelay(true).expect("it can be set");
            tasks.spawn(async move {
                let mut buffer = vec![0; 8_192];
                let mut sent = Vec::with_capacity(own.len());
                for (n, request) in own.iter().enumerate() {
                    tokio::time::sleep_until(begin + gap * n as u32 + gap * connection as u32 / connections as u32).await;
                    sent.push(now_us());
                    assert_eq!(exchange(&mut stream, request, &mut buffer).await.expect("an answer").0.status, 202);
                }
                sent
            });
        }
        let mut sent = tasks.join_all().await.concat();
        sent.sort_unstable();
        sent
    })
}

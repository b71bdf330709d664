//! How old what a viewer sees is.

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
    let mut sides = vec![Side::Embedded];
    if std::env::var("GROUNDSWELL_TEST_DATABASE_URL").is_ok() && std::env::var("GROUNDSWELL_TEST_AMQP_URL").is_ok() {
        sides.push(Side::Distributed);
    } else {
        println!("\ndistributed: not run (GROUNDSWELL_TEST_DATABASE_URL and GROUNDSWELL_TEST_AMQP_URL are not set)");
    }
    println!(
        "\nfrom a vote to the frame that counts it, {RATE} votes/s\n{:<14} {:>8} {:>8} {:>8} {:>8} {:>9}",
        "side", "p50 ms", "p90 ms", "p99 ms", "max ms", "frames/s"
    );
    for side in sides {
        let server = Server::start(side);
        let mut viewers = Viewers::start(&server, 1);
        let mut sent = paced(&server, RATE, seconds);
        sent.sort_unstable();
        viewers.counted(sent.len() as u64);
        let frames = viewers.frames();
        let mut waits: Vec<f64> = sent
            .iter()
            .enumerate()
            .map(|(at, sent)| {
                let shown = frames.iter().find(|(_, voters)| *voters > at as u64).expect("all are counted").0;
                (shown - sent) as f64 / 1e3
            })
            .collect();
        waits.sort_by(f64::total_cmp);
        let at = |q: f64| waits[((waits.len() - 1) as f64 * q) as usize];
        let during = frames.iter().filter(|(when, _)| (sent[0]..=sent[sent.len() - 1]).contains(when)).count();
        println!("{:<14} {:>8.0} {:>8.0} {:>8.0} {:>8.0} {:>9.1}", format!("{side:?}"), at(0.5), at(0.9), at(0.99), at(1.0), during as f64 / seconds as f64);
    }
}

/// Votes at their intended times; returns when each was sent, in microseconds.
fn paced(server: &Server, rate: usize, seconds: usize) -> Vec<i64> {
    const CONNECTIONS: usize = 256;
    let requests = server.requests(rate * seconds);
    let gap = Duration::from_secs_f64(CONNECTIONS as f64 / rate as f64);
    runtime().block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        let begin = tokio::time::Instant::now() + Duration::from_millis(200);
        for connection in 0..CONNECTIONS {
            let own: Vec<Request> = requests.iter().skip(connection).step_by(CONNECTIONS).cloned().collect();
            let mut stream = TcpStream::connect(server.address).await.expect("the server listens");
            stream.set_nodelay(true).expect("it can be set");
            tasks.spawn(async move {
                let mut buffer = vec![0; 8_192];
                let mut sent = Vec::with_capacity(own.len());
                for (n, request) in own.iter().enumerate() {
                    tokio::time::sleep_until(begin + gap * n as u32 + gap * connection as u32 / CONNECTIONS as u32).await;
                    sent.push(now_us());
                    assert_eq!(exchange(&mut stream, request, &mut buffer).await.expect("an answer").0.status, 202);
                }
                sent
            });
        }
        tasks.join_all().await.concat()
    })
}

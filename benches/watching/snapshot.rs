//! Live documents that are fetched, side by side with a plain GET of the same bytes.

use std::time::Duration;

use crate::common::server::{Server, Side};
use crate::common::setting;
use crate::rates::{median, read_rate};

/// Snapshots read per second, and answers that nothing changed.
pub fn snapshot() {
    const CONNECTIONS: usize = 64;
    let (seconds, rounds) = (setting("BENCH_SECONDS", 5), setting("BENCH_ROUNDS", 3));
    let (plain, server) = (Server::start(Side::Bare), Server::start(Side::Embedded));
    let tagged = || {
        let (head, body) = server.raw("GET", &server.poll.snapshot, "", None);
        (head.lines().find_map(|l| l.strip_prefix("etag: ")).expect("a tag").to_owned(), body)
    };
    // The document settles first: a tag that stays is asked for.
    let (tag, body) = loop {
        let before = tagged();
        std::thread::park_timeout(Duration::from_secs(3));
        let after = tagged();
        if before.0 == after.0 {
            break after;
        }
    };
    plain.raw("POST", "/same", "", Some(&body));
    println!("\nsnapshots of {} bytes, {CONNECTIONS} connections\n{:<14} {:>10} {:>10} {:>7}", body.len(), "answer", "plain/s", "ours/s", "ratio");
    for (what, more, status) in [("200", String::new(), 200), ("304", format!("if-none-match: {tag}\r\n"), 304)] {
        let (mut plains, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            for (side, rates) in [(&plain, &mut plains), (&server, &mut ours)] {
                rates.push(read_rate(side.address, format!("GET {} HTTP/1.1\r\nhost: bench\r\n{more}\r\n", side.poll.snapshot), status, CONNECTIONS, seconds));
            }
        }
        let (plain, ours) = (median(plains), median(ours));
        println!("{what:<14} {plain:>10.0} {ours:>10.0} {:>7.3}", ours / plain);
    }
}

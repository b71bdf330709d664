//! Files of the app, side by side with a plain GET of the same bytes.

use crate::common::server::{Server, Side};
use crate::common::setting;
use crate::plain::script;
use crate::rates::{median, read_rate};

/// The app's script, as a phone asks for it, and a bare answer of the same bytes.
pub fn files() {
    const CONNECTIONS: usize = 64;
    let (seconds, rounds) = (setting("BENCH_SECONDS", 5), setting("BENCH_ROUNDS", 3));
    let (plain, server) = (Server::start(Side::Bare), Server::start(Side::Embedded));
    let file = script();
    println!("\na file of {} bytes, {CONNECTIONS} connections\n{:<14} {:>10} {:>10} {:>7}", file.brotli.len(), "answer", "plain/s", "ours/s", "ratio");
    let coded = "accept-encoding: gzip, deflate, br\r\n";
    for (what, more, status) in [("200", coded.to_owned(), 200), ("304", format!("{coded}if-none-match: {}\r\n", file.etag), 304)] {
        let (mut plains, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            for (address, path, rates) in [(plain.address, "/file", &mut plains), (server.address, file.url, &mut ours)] {
                rates.push(read_rate(address, format!("GET {path} HTTP/1.1\r\nhost: bench\r\n{more}\r\n"), status, CONNECTIONS, seconds));
            }
        }
        let (plain, ours) = (median(plains), median(ours));
        println!("{what:<14} {plain:>10.0} {ours:>10.0} {:>7.3}", ours / plain);
    }
}

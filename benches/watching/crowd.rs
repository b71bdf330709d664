//! A whole crowd of viewers: memory for each, and how soon all have what is new.

use std::time::Instant;

use crate::common::server::{Server, Side, now_us};
use crate::viewers::{Viewers, wanted};

/// Memory for each viewer, time until all have the newest frame, and what those cost who stop reading.
pub fn crowd() {
    let count = wanted();
    println!(
        "\n{count} viewers\n{:<14} {:>11} {:>13} {:>10} {:>12} {:>12} {:>16}",
        "side", "KiB/viewer", "kernel KiB", "opened s", "all fresh s", "median s", "not reading KiB"
    );
    for side in [Side::Bare, Side::Embedded] {
        let server = Server::start(side);
        server.change();
        let (before, kernel) = (server.resident_kib(), kernel_kib());
        let started = Instant::now();
        let mut viewers = Viewers::start(&server, count);
        let opened = started.elapsed();
        // Every buffer has been used at least once.
        for _ in 0..3 {
            let version = server.change();
            viewers.all_at(version);
        }
        let each = server.resident_kib().saturating_sub(before) as f64 / count as f64;
        // The kernel holds both ends of each connection here.
        let kernel = kernel_kib().saturating_sub(kernel) as f64 / count as f64 / 2.0;
        let mut fresh: Vec<f64> = (0..5)
            .map(|_| {
                let changed = now_us();
                let version = server.change();
                (viewers.all_at(version) - changed) as f64 / 1e6
            })
            .collect();
        fresh.sort_by(f64::total_cmp);
        let reading = server.resident_kib();
        let stopped = (count / 4).max(1);
        viewers.stop_reading(stopped);
        for _ in 0..100 {
            let version = server.change();
            viewers.all_at(version);
        }
        let held = (server.resident_kib() as f64 - reading as f64) / stopped as f64;
        println!(
            "{:<14} {each:>11.2} {kernel:>13.2} {:>10.1} {:>12.3} {:>12.3} {held:>16.2}",
            format!("{side:?}"),
            opened.as_secs_f64(),
            fresh[fresh.len() - 1],
            fresh[fresh.len() / 2]
        );
    }
}

/// Memory of the kernel for sockets: slab and buffers, of the whole machine.
fn kernel_kib() -> u64 {
    const PAGE_KIB: u64 = 4;
    let number = |text: &str, name: &str| text.lines().find(|l| l.starts_with(name)).and_then(|l| l.split_whitespace().find_map(|w| w.parse::<u64>().ok()));
    let slab = number(&std::fs::read_to_string("/proc/meminfo").expect("Linux"), "Slab:").unwrap_or(0);
    let sockets = std::fs::read_to_string("/proc/net/sockstat").expect("Linux");
    let buffers = sockets.lines().find(|l| l.starts_with("TCP:")).and_then(|l| l.rsplit("mem ").next()?.trim().parse::<u64>().ok()).unwrap_or(0);
    slab + buffers * PAGE_KIB
}

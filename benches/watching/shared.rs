//! Viewers of several web processes.

use crate::common::server::{Server, Side, now_us};
use crate::rates::median;
use crate::viewers::{Viewers, wanted};

/// From a change to the last viewer's frame: all viewers on one web process, and the same number shared by several, side by side.
pub fn shared() {
    if !Side::available().contains(&Side::Distributed) {
        return;
    }
    let count = wanted();
    println!("\n{count} viewers of one event\n{:<15} {:>12} {:>12} {:>12}", "web processes", "each holds", "all fresh s", "median s");
    for processes in [1, 2, 4] {
        let mut server = Server::start(Side::Distributed);
        let mut addresses = vec![server.address];
        while addresses.len() < processes {
            addresses.push(server.another_web());
        }
        let mut crowds: Vec<Viewers> = addresses.iter().map(|address| Viewers::start_at(*address, &server.poll.stream, count / processes)).collect();
        let mut fresh: Vec<f64> = (0..10)
            .map(|_| {
                let changed = now_us();
                let version = server.change();
                let last = crowds.iter_mut().map(|crowd| crowd.all_at(version)).max().expect("there are viewers");
                (last - changed) as f64 / 1e6
            })
            .collect();
        fresh.sort_by(f64::total_cmp);
        let worst = fresh[fresh.len() - 1];
        println!("{processes:<15} {:>12} {worst:>12.3} {:>12.3}", count / processes, median(fresh));
    }
}

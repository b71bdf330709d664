//! What all benchmarks need: the CPU of processes, a database's orders, settings.
#![allow(dead_code, reason = "each benchmark takes what it needs")]

pub mod server;

use sqlx::{AssertSqlSafe, Connection};

pub fn cpu_of(pid: u32) -> f64 {
    /// `getconf CLK_TCK` on every Linux there is.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold spaces; fields count from behind it. utime and stime, with those of ended children.
    let fields: Vec<f64> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(4).filter_map(|f| f.parse().ok()).collect();
    fields.iter().sum::<f64>() / TICKS_PER_SECOND
}

/// Of all processes of this name: the machine is meant to be idle but for the benchmark.
pub fn cpu_of_all(name: &str) -> f64 {
    let Ok(entries) = std::fs::read_dir("/proc") else { return 0.0 };
    let pids = entries.flatten().filter_map(|e| e.file_name().to_string_lossy().parse::<u32>().ok());
    let named = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name);
    pids.filter(named).map(cpu_of).sum()
}

/// On a thread of its own, so that it works inside and outside of a runtime.
pub fn execute(url: &str, sql: String) {
    let url = url.to_owned();
    let work = move || {
        runtime().block_on(async {
            let mut connection = sqlx::PgConnection::connect(&url).await.expect("Postgres answers");
            sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.expect("Postgres obeys");
        });
    };
    std::thread::spawn(work).join().expect("no panic");
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |v| v.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// What a process holds in memory.
pub fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

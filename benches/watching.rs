//! What viewers cost and how fresh they are, side by side with a plain actix-web stream and a plain actix-web GET.
//!
//! `cargo bench --bench watching`. Server, viewers and voters are processes of their own on the same cores. Settings: `BENCH_ONLY`
//! (crowd,votes,snapshot,files,fresh,many,polls,shared), `BENCH_VIEWERS` (19500, or what the limit of open files allows), `BENCH_SECONDS` (5),
//! `BENCH_ROUNDS` (3), `BENCH_EVENTS` (1000, of many), `BENCH_POLLS` (10000, of polls). `fresh` and `polls` also run distributed, and `shared` only,
//! where `GROUNDSWELL_TEST_DATABASE_URL` and `GROUNDSWELL_TEST_AMQP_URL` are set.

/// As the server has it: what is plain beside it is to be nothing but plain.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod common;
#[path = "watching/crowd.rs"]
mod crowd;
#[path = "watching/files.rs"]
mod files;
#[path = "watching/fresh.rs"]
mod fresh;
#[path = "watching/many.rs"]
mod many;
#[path = "watching/plain.rs"]
mod plain;
#[path = "watching/polls.rs"]
mod polls;
#[path = "watching/rates.rs"]
mod rates;
#[path = "watching/shared.rs"]
mod shared;
#[path = "watching/snapshot.rs"]
mod snapshot;
#[path = "watching/viewers.rs"]
mod viewers;
#[path = "watching/votes.rs"]
mod votes;

use common::server::Side;

fn main() {
    rlimit::increase_nofile_limit(u64::MAX).expect("the limit of open files can be raised to the hard one");
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("--bare-server") => return plain::plain_server(),
        Some("--viewers") => return viewers::viewers(args[2].parse().expect("an address"), &args[3], args[4].parse().expect("a number")),
        _ => {}
    }
    if !Side::available().contains(&Side::Distributed) {
        println!("distributed: not run (GROUNDSWELL_TEST_DATABASE_URL and GROUNDSWELL_TEST_AMQP_URL are not set)");
    }
    let only = std::env::var("BENCH_ONLY").unwrap_or_else(|_| "crowd,votes,snapshot,files,fresh,many,polls,shared".into());
    for (name, part) in [
        ("crowd", crowd::crowd as fn()),
        ("votes", votes::votes),
        ("snapshot", snapshot::snapshot),
        ("files", files::files),
        ("fresh", fresh::fresh),
        ("many", many::many),
        ("polls", polls::polls),
        ("shared", shared::shared),
    ] {
        if only.contains(name) {
            part();
        }
    }
}

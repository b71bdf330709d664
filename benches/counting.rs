//! What counting costs, with full semantics: numbered batches, changes, books, marks, one commit after the other.
//!
//! `cargo bench --bench counting`. Parts: `rates` (ballots/s and CPU per ballot into SQLite and, where `GROUNDSWELL_TEST_DATABASE_URL` is set,
//! Postgres), `drain` and `crowd` (these two want `GROUNDSWELL_TEST_AMQP_URL` too). Settings: `BENCH_PARTS` (rates,drain,crowd), `BENCH_SIDES`
//! (sqlite,postgres), `BENCH_BALLOTS` (1000000), `BENCH_PER_COMMIT` (20000,512,64,8), `BENCH_ORDER` (random or sorted voters).
//! Times say something only on an otherwise idle machine.

mod common;
#[path = "counting/crowd.rs"]
mod crowd;
#[path = "counting/drain.rs"]
mod drain;
#[path = "counting/place.rs"]
mod place;
#[path = "counting/rates.rs"]
mod rates;
#[path = "counting/traffic.rs"]
mod traffic;

fn main() {
    let parts = place::words("BENCH_PARTS", "rates,drain,crowd");
    let mut sides = vec![place::Side::Sqlite];
    if std::env::var("GROUNDSWELL_TEST_DATABASE_URL").is_ok() {
        sides.push(place::Side::Postgres);
    } else {
        println!("Postgres: not run (GROUNDSWELL_TEST_DATABASE_URL is not set)");
    }
    let wanted = place::words("BENCH_SIDES", "sqlite,postgres");
    sides.retain(|side| wanted.contains(&format!("{side:?}").to_lowercase()));
    if parts.iter().any(|p| p == "rates") {
        rates::run(&sides);
    }
    let distributed = sides.contains(&place::Side::Postgres) && std::env::var("GROUNDSWELL_TEST_AMQP_URL").is_ok();
    for (part, run) in [("drain", drain::run as fn()), ("crowd", crowd::run)] {
        if parts.iter().any(|p| p == part) && distributed {
            run();
        }
    }
}

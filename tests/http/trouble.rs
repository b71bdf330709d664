//! When the database of an embedded server does not take what is counted.

use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::{Connection, Executor, SqliteConnection};

use crate::hall::{Hall, books};
use crate::support::{Backend, runtime, until};

#[test]
fn a_server_that_cannot_store_says_so_and_recovers_by_itself() {
    // One thread: the second vote would stand behind the first one's batch.
    let hall = Hall::open_with(Backend::Embedded, &["--web-threads", "1"]);
    let event = hall.event();
    let poll = event.poll(&hall, json!({}));
    let (first, second) = (event.voter(&hall), event.voter(&hall));
    let runtime = runtime();
    let mut holder = hold(&runtime, &hall.place.database_url);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| first.vote(&hall, &poll, 1, 1, &[1]));
        until("it says that it is not ready", || hall.get("/readyz").status == 503);
        let refused = second.vote(&hall, &poll, 2, 1, &[1]).expect(503);
        assert_eq!(refused.code(), "busy");
        assert!(refused.took < Duration::from_millis(250), "a refusal is quick: {:?}", refused.took);
        runtime.block_on(async { holder.execute("rollback").await.unwrap() });
        until("it is ready again", || hall.get("/readyz").status == 200);
        // Told "unknown" or "safe", it was on its way and is counted.
        let status = waiting.join().unwrap().status;
        assert!(matches!(status, 202 | 504), "{status}");
    });
    second.vote(&hall, &poll, 2, 1, &[1]).expect(202);
    until("both are counted", || books(&hall, &poll)[1] == 2);
}

/// A batch that nobody waits for any more still lies in its lane. The same vote again is not refused for certain: it will be counted.
#[test]
fn a_vote_that_is_still_in_its_lane_is_in_doubt_after_the_close() {
    let hall = Hall::open(Backend::Embedded);
    let event = hall.event();
    let poll = event.poll(&hall, json!({}));
    let voter = event.voter(&hall);
    let closes_at = groundswell::clock::now_ms() + 3_000;
    hall.office("PATCH", &format!("/api/v1/polls/{poll}"), json!({"closes_at": closes_at})).expect(200);
    until("the phones know when it closes", || event.live(&hall)["polls"][0]["closes_at"] == closes_at);
    let runtime = runtime();
    let mut holder = hold(&runtime, &hall.place.database_url);
    assert_eq!(voter.vote(&hall, &poll, 1, 1, &[1]).status, 504, "nobody knows what becomes of it");
    assert!(groundswell::clock::now_ms() > closes_at);
    assert_eq!(voter.vote(&hall, &poll, 1, 1, &[1]).status, 504, "it is in its lane still");
    runtime.block_on(async { holder.execute("rollback").await.unwrap() });
    until("it is counted", || books(&hall, &poll)[1] == 1);
    assert_eq!(voter.vote(&hall, &poll, 1, 1, &[1]).expect(202).json()["status"], "counted");
}

#[test]
fn a_stop_does_not_wait_for_a_database_that_is_away() {
    let hall = Hall::open(Backend::Embedded);
    let event = hall.event();
    let poll = event.poll(&hall, json!({}));
    let voter = event.voter(&hall);
    let runtime = runtime();
    let _holder = hold(&runtime, &hall.place.database_url);
    let Hall { server, place } = hall;
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| voter.vote(&server, &poll, 1, 1, &[1]));
        until("the vote is stuck", || server.get("/readyz").status == 503);
        assert_ne!(waiting.join().unwrap().status, 202, "nobody is told that it is safe");
    });
    let began = Instant::now();
    server.stop();
    assert!(began.elapsed() < Duration::from_secs(25), "it took {:?}", began.elapsed());
    drop(place);
}

/// Takes SQLite's one write lock, as a full disk or a stuck backup would.
fn hold(runtime: &tokio::runtime::Runtime, url: &str) -> SqliteConnection {
    runtime.block_on(async {
        let mut connection = SqliteConnection::connect(url).await.unwrap();
        connection.execute("begin immediate").await.unwrap();
        connection
    })
}

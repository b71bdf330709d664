//! When the disk of an embedded server does not take votes, or its database does not take what is counted.

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
    let mut holder = hold(&runtime, &journal(&hall));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| first.vote(&hall, &poll, 1, 1, &[1]));
        until("it says that it is not ready", || hall.get("/readyz").status == 503);
        let refused = second.vote(&hall, &poll, 2, 1, &[1]).expect(503);
        assert_eq!(refused.code(), "busy");
        assert!(refused.took < Duration::from_millis(250), "a refusal is quick: {:?}", refused.took);
        runtime.block_on(async { holder.execute("rollback").await.unwrap() });
        until("it is ready again", || hall.get("/readyz").status == 200);
        // Whatever it was told, the same ballot again settles it.
        let status = waiting.join().unwrap().status;
        assert!(matches!(status, 202 | 503 | 504), "{status}");
    });
    first.vote(&hall, &poll, 1, 1, &[1]).expect(202);
    second.vote(&hall, &poll, 2, 1, &[1]).expect(202);
    until("both are counted", || books(&hall, &poll)[1] == 2);
}

/// A vote that is accepted and not counted yet lies in its lane. The same vote again is not refused, whatever the clock says: it will be counted.
#[test]
fn a_vote_that_is_still_in_its_lane_is_in_doubt_after_the_close() {
    let hall = Hall::open(Backend::Embedded);
    let event = hall.event();
    let voter = event.voter(&hall);
    let (poll, closes_at) = event.poll_that_closes_in(&hall, 3_000);
    let runtime = runtime();
    let mut holder = hold(&runtime, &hall.place.database_url);
    assert_eq!(voter.vote(&hall, &poll, 1, 1, &[1]).expect(202).json()["status"], "received", "it is safe");
    until("the poll has closed", || groundswell::clock::now_ms() > closes_at);
    assert_eq!(voter.vote(&hall, &poll, 1, 1, &[1]).status, 504, "it is in its lane still");
    runtime.block_on(async { holder.execute("rollback").await.unwrap() });
    until("it is counted", || books(&hall, &poll)[1] == 1);
    assert_eq!(voter.vote(&hall, &poll, 1, 1, &[1]).expect(202).json()["status"], "counted");
}

#[test]
fn a_stop_does_not_wait_for_a_disk_that_takes_nothing() {
    let hall = Hall::open(Backend::Embedded);
    let event = hall.event();
    let poll = event.poll(&hall, json!({}));
    let voter = event.voter(&hall);
    let runtime = runtime();
    let _holders = [hold(&runtime, &journal(&hall)), hold(&runtime, &hall.place.database_url)];
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

/// The file in which a vote is safe before it is counted.
fn journal(hall: &Hall) -> String {
    hall.place.database_url.replace("groundswell.db", "groundswell.journal.db")
}

/// Takes SQLite's one write lock, as a full disk or a stuck backup would.
fn hold(runtime: &tokio::runtime::Runtime, url: &str) -> SqliteConnection {
    runtime.block_on(async {
        let mut connection = SqliteConnection::connect(url).await.unwrap();
        connection.execute("begin immediate").await.unwrap();
        connection
    })
}

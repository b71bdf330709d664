//! The main job: an admin prepares a poll, people vote and change their minds, the result moves.

use serde_json::json;

use crate::on_both;
use crate::support::{Backend, Place, Server, until};

on_both![a_vote_is_counted_changed_and_final];

fn a_vote_is_counted_changed_and_final(backend: Backend) {
    let place = Place::new(backend);
    let server = Server::start(&place);
    let event = server.office("POST", "/api/v1/events", json!({"title": "Friday"})).expect(201).json();
    let (id, code) = (event["id"].as_str().unwrap(), event["code"].as_str().unwrap());
    let poll =
        server.office("POST", &format!("/api/v1/events/{id}/polls"), json!({"kind": "single", "question": "Which?", "choices": ["A", "B"]})).expect(201).json();
    let poll = poll["id"].as_str().unwrap();
    server.office("PUT", &format!("/api/v1/polls/{poll}/state"), json!({"state": "open"})).expect(200);
    let pass = server.call("POST", &format!("/api/v1/live/{code}/passes"), &[], None).expect(201).json();
    let bearer = format!("Bearer {}", pass["pass"].as_str().unwrap());
    let vote = |ballot: u128, revision: u32, choice: u32| {
        let body = json!({"ballot": uuid::Uuid::from_u128(ballot), "revision": revision, "picks": [format!("{poll}-{choice}")]}).to_string();
        server.call("POST", &format!("/api/v1/polls/{poll}/ballots"), &[("authorization", &bearer), ("content-type", "application/json")], Some(&body))
    };
    let live = || server.get(&format!("/api/v1/live/{code}")).expect(200).json();

    vote(1, 1, 1).expect(202);
    until("the vote shows", || live()["polls"][0]["results"]["choices"][0]["votes"] == 1);
    let changed = vote(2, 2, 2).expect(202).json();
    until("the change shows", || live()["polls"][0]["results"]["choices"][1]["votes"] == 1);
    assert_eq!(live()["polls"][0]["results"]["choices"][0]["votes"], 0);
    until("the phone can tell it is counted", || live()["counted_through"].as_i64() >= changed["accepted_at"].as_i64());

    server.office("PUT", &format!("/api/v1/polls/{poll}/state"), json!({"state": "closed"})).expect(200);
    assert_eq!(vote(2, 2, 2).expect(202).json()["status"], "counted", "the same ballot again gets the same success");
    until("the result is final", || live()["polls"][0]["results"]["status"] == "final");
    assert_eq!(vote(3, 3, 1).expect(409).code(), "poll_closed");
    let books = server.office("GET", &format!("/api/v1/polls/{poll}/books"), json!(null)).expect(200).json();
    assert_eq!((&books["received"], &books["counted"], &books["superseded"]), (&json!(2), &json!(1), &json!(1)));
}

//! A vote belongs to the round that its voter saw: it counts in that one or in none, and is found again in that one.

use serde_json::{Value, json};

use crate::hall::{Hall, Voter, ballot_of, drained, set_state, votes};
use crate::on_both;
use crate::support::{Answer, Backend, until};

on_both![
    a_tap_for_a_round_that_is_over_does_not_count_in_the_next,
    the_same_ballot_gets_its_success_again_whatever_became_of_choices_and_rules,
    a_voter_is_told_of_the_ballot_of_the_round_that_was_asked_for,
    a_tap_for_a_round_that_is_only_beginning_is_taken_when_it_has_begun,
    a_result_says_how_the_last_round_in_which_anybody_voted_came_out,
];

fn a_tap_for_a_round_that_is_over_does_not_count_in_the_next(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    let poll = event.poll(&hall, json!({}));
    let (early, late) = (event.voter(&hall), event.voter(&hall));
    let tap = |ballot: u128| {
        let mut body = ballot_of(&poll, ballot, 1, &[1]);
        body["round"] = json!(1);
        body.to_string()
    };
    early.send(&hall, &poll, &tap(1)).expect(202);
    drained(&hall, &poll, 1);
    hall.office("POST", &format!("/api/v1/polls/{poll}/rounds"), json!(null)).expect(201);
    set_state(&hall, &poll, "open");
    until("the doubt about the old round is over", || late.send(&hall, &poll, &tap(2)).status == 409);
    assert_eq!(late.send(&hall, &poll, &tap(2)).code(), "round_over");
    assert_eq!(early.send(&hall, &poll, &tap(1)).expect(202).json()["status"], "counted", "the answer was lost, the vote was not");
    assert_eq!(votes(&hall, &poll), [0, 0, 0], "the new round is empty");
}

/// A run-off: what a phone sends again was accepted by the rules of its own round, and the next one has others.
fn the_same_ballot_gets_its_success_again_whatever_became_of_choices_and_rules(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    let poll = event.poll(&hall, json!({"kind": "multiple", "max": 3}));
    let (early, late) = (event.voter(&hall), event.voter(&hall));
    let tap = |ballot: u128, revision: u32, picks: &[u16]| {
        let mut body = ballot_of(&poll, ballot, revision, picks);
        body["round"] = json!(1);
        body.to_string()
    };
    early.send(&hall, &poll, &tap(1, 1, &[3])).expect(202);
    early.send(&hall, &poll, &tap(2, 2, &[3, 1, 2])).expect(202);
    drained(&hall, &poll, 2);
    hall.office("POST", &format!("/api/v1/polls/{poll}/rounds"), json!(null)).expect(201);
    let finalists = json!([{"id": format!("{poll}-1"), "text": "A"}, {"id": format!("{poll}-2"), "text": "B"}]);
    let rules = json!({"choices": finalists, "min": 1, "max": 1});
    until("the old round is settled", || hall.office("PATCH", &format!("/api/v1/polls/{poll}"), rules.clone()).status == 200);
    let otherwise = hall.office("PATCH", &format!("/api/v1/polls/{poll}"), json!({"change": false}));
    assert_eq!(otherwise.expect(409).code(), "change_fixed", "it would hold for votes of the first round that come late");
    set_state(&hall, &poll, "open");
    for again in [tap(2, 2, &[2, 3, 1]), tap(1, 1, &[3])] {
        assert_eq!(early.send(&hall, &poll, &again).expect(202).json()["status"], "counted", "{again}");
    }
    until("the doubt about the old round is over", || late.send(&hall, &poll, &tap(3, 1, &[3])).status == 409);
    assert_eq!(late.send(&hall, &poll, &tap(3, 1, &[3])).code(), "round_over");
    assert_eq!(early.send(&hall, &poll, &tap(2, 2, &[1])).code(), "round_over", "that one was another ballot");
    let next = json!({"ballot": format!("{}", uuid::Uuid::from_u128(9)), "revision": 1, "round": 2, "picks": [format!("{poll}-3")]});
    assert_eq!(late.send(&hall, &poll, &next.to_string()).code(), "picks_unknown", "in the new round its rules hold");
}

/// Of choices that are left; but a percent stays one of all who voted then.
fn a_result_says_how_the_last_round_in_which_anybody_voted_came_out(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    let poll = event.poll(&hall, json!({"visibility": "after_close"}));
    let next_round = || hall.office("POST", &format!("/api/v1/polls/{poll}/rounds"), json!(null)).expect(201);
    let before = |results: Value| results["results"]["before"].clone();
    let of_audience = || before(hall.get(&format!("/api/v1/live/{}", event.code)).expect(200).json()["polls"][0].clone());
    let of_owner = |round: u32| before(hall.office("GET", &format!("/api/v1/polls/{poll}/results?round={round}"), Value::Null).expect(200).json());
    let voters: Vec<Voter> = (0..4).map(|_| event.voter(&hall)).collect();
    for (voter, pick) in voters.iter().zip([1, 1, 2, 3]) {
        voter.vote(&hall, &poll, u128::from(pick) + 10, 1, &[pick]).expect(202);
    }
    drained(&hall, &poll, 4);
    assert_eq!(of_owner(1), json!(null), "there is none before the first");
    next_round();
    set_state(&hall, &poll, "open");
    next_round(); // one in which nobody voted is passed over
    let finalists = json!([{"id": format!("{poll}-1"), "text": "A"}, {"id": format!("{poll}-3"), "text": "C"}]);
    until("the old rounds are settled", || hall.office("PATCH", &format!("/api/v1/polls/{poll}"), json!({"choices": finalists})).status == 200);
    set_state(&hall, &poll, "open");
    let first = json!({"round": 1, "voters": 4, "choices": [{"id": format!("{poll}-1"), "votes": 2, "percent": 50}, {"id": format!("{poll}-3"), "votes": 1, "percent": 25}]});
    until("the change is known", || of_owner(3) == first);
    assert_eq!(of_audience(), json!(null), "what is held back is held back whole");
    set_state(&hall, &poll, "closed");
    until("the close has reached everybody", || of_audience() == first);
    let shown = |earlier: bool| hall.office("PATCH", &format!("/api/v1/events/{}/view", event.id), json!({"earlier": earlier})).expect(200);
    shown(false);
    until("it is taken off all screens", || of_audience() == json!(null));
    shown(true);
    until("it is there again", || of_audience() == first);
}

fn a_voter_is_told_of_the_ballot_of_the_round_that_was_asked_for(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    let poll = event.poll(&hall, json!({}));
    let (both, first) = (event.voter(&hall), event.voter(&hall));
    let of_round =
        |voter: &Voter, round: &str| hall.call("GET", &format!("/api/v1/polls/{poll}/ballots/mine{round}"), &[("authorization", &voter.bearer)], None);
    both.vote(&hall, &poll, 1, 1, &[1]).expect(202);
    first.vote(&hall, &poll, 2, 1, &[2]).expect(202);
    drained(&hall, &poll, 2);
    hall.office("POST", &format!("/api/v1/polls/{poll}/rounds"), json!(null)).expect(201);
    set_state(&hall, &poll, "open");
    until("the new round takes votes", || both.vote(&hall, &poll, 3, 1, &[3]).status == 202);
    until("it is counted", || of_round(&both, "").status == 200);
    let ballot = |answer: Answer| answer.expect(200).json()["picks"].clone();
    assert_eq!(ballot(of_round(&both, "?round=1")), json!([format!("{poll}-1")]));
    assert_eq!(ballot(of_round(&both, "?round=2")), json!([format!("{poll}-3")]));
    assert_eq!(ballot(of_round(&first, "?round=1")), json!([format!("{poll}-2")]));
    assert_eq!(of_round(&first, "?round=2").expect(404).code(), "no_ballot");
    until("nothing of the old round is on its way", || of_round(&event.voter(&hall), "?round=1").status == 404);
    for wrong in ["?round=0", "?round=3", "?round=4294967295"] {
        assert_eq!(of_round(&both, wrong).expect(422).code(), "round_invalid", "{wrong}");
    }
    for wrong in ["?round=x", "?rnd=1", "?round=-1"] {
        assert_eq!(of_round(&both, wrong).expect(422).code(), "query_invalid", "{wrong}");
    }
}

/// A phone may have heard of the round from a faster process than the one that its vote comes to.
fn a_tap_for_a_round_that_is_only_beginning_is_taken_when_it_has_begun(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    let poll = event.poll(&hall, json!({}));
    let voter = event.voter(&hall);
    let tap = |round: u32| {
        let mut body = ballot_of(&poll, 1, 1, &[1]);
        body["round"] = json!(round);
        voter.send(&hall, &poll, &body.to_string())
    };
    let early = tap(2).expect(503);
    assert_eq!((early.code().as_str(), early.header("retry-after").is_some()), ("busy", true));
    assert_eq!(tap(3).expect(422).code(), "round_invalid", "nobody can have heard of that one");
    hall.office("POST", &format!("/api/v1/polls/{poll}/rounds"), json!(null)).expect(201);
    set_state(&hall, &poll, "open");
    until("it has begun", || tap(2).status == 202);
    drained(&hall, &poll, 1);
    assert_eq!(votes(&hall, &poll), [1, 0, 0]);
}

//! An event of its own at a server in a process of its own, for tests of the process.

use serde_json::{Value, json};

use crate::client::Line;
use crate::hall::{ballot_of, text};
use crate::process::Process;
use crate::support::{Answer, TOKEN};

/// A figure of the process, by its whole name.
pub fn metric(process: &Process, name: &str) -> f64 {
    let text = Line::at(process.metrics()).ask("GET", "/metrics", &[], None).expect(200).body;
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or_else(|| panic!("no {name}"))
}

/// An event with an open poll and somebody who votes.
pub struct Show {
    pub event: String,
    pub code: String,
    pub poll: String,
    pub bearer: String,
    pub voter: String,
}

impl Show {
    pub fn prepare(process: &Process) -> Show {
        let bearer = format!("Bearer {TOKEN}");
        let mut line = Line::at(process.address);
        let mut office = |method: &str, path: &str, body: Value| {
            let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
            let answer = line.ask(method, path, &headers, Some(&body.to_string()));
            assert!(answer.status < 300, "{path}: {answer:?}");
            answer.json()
        };
        let event = office("POST", "/api/v1/events", json!({"title": "Friday"}));
        let (event, code) = (text(&event["id"]), text(&event["code"]));
        let poll =
            text(&office("POST", &format!("/api/v1/events/{event}/polls"), json!({"kind": "single", "question": "Which?", "choices": ["A", "B"]}))["id"]);
        office("PUT", &format!("/api/v1/polls/{poll}/state"), json!({"state": "open"}));
        let pass = office("POST", &format!("/api/v1/live/{code}/passes"), json!({}));
        Show { event, code, poll, bearer: format!("Bearer {}", text(&pass["pass"])), voter: text(&pass["voter"]) }
    }

    pub fn vote(&self, process: &Process, ballot: u128) -> Answer {
        self.vote_on(&mut Line::at(process.address), ballot)
    }

    pub fn vote_on(&self, line: &mut Line, ballot: u128) -> Answer {
        let headers = [("authorization", self.bearer.as_str()), ("content-type", "application/json")];
        let body = ballot_of(&self.poll, ballot, ballot as u32, &[1]).to_string();
        line.ask("POST", &format!("/api/v1/polls/{}/ballots", self.poll), &headers, Some(&body))
    }

    pub fn office(&self, process: &Process, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let bearer = format!("Bearer {TOKEN}");
        Line::at(process.address).ask(method, path, &[headers, &[("authorization", bearer.as_str())]].concat(), None)
    }
}

pub fn as_owner(process: &Process, method: &str, path: &str, body: Value) -> Answer {
    let bearer = format!("Bearer {TOKEN}");
    let body = (!body.is_null()).then(|| body.to_string());
    Line::at(process.address).ask(method, path, &[("authorization", &bearer), ("content-type", "application/json")], body.as_deref())
}

//! A server as its users see it, whatever process it runs in: an owner, a poll, voters.

use std::net::SocketAddr;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::Line;
use crate::support::{Answer, TOKEN, unless_shed, until};

#[derive(Clone)]
pub struct Door {
    pub address: SocketAddr,
    pub event: String,
    pub code: String,
    pub poll: String,
}

impl Door {
    /// No event, no poll, no server yet.
    pub fn nowhere() -> Door {
        Door { address: SocketAddr::from(([0, 0, 0, 0], 0)), event: String::new(), code: String::new(), poll: String::new() }
    }

    /// Makes an event with one open poll.
    pub fn open(address: SocketAddr) -> Door {
        let mut door = Door::nowhere().at(address);
        let event = door.owner("POST", "/api/v1/events", json!({"title": "Friday"})).expect(201).json();
        (door.event, door.code) = (text(&event["id"]), text(&event["code"]));
        let polls = format!("/api/v1/events/{}/polls", door.event);
        let poll = door.owner("POST", &polls, json!({"kind": "single", "question": "Which?", "choices": ["A", "B"]})).expect(201).json();
        door.poll = text(&poll["id"]);
        door.set_state("open");
        door
    }

    /// Waits until all lanes are counted up to now. (A broker that is slow is gone round: then the database was told that there is nothing.)
    pub fn settled(self) -> Door {
        let begun = groundswell::clock::now_ms();
        until("every lane is worked off", || self.live()["counted_through"].as_i64() > Some(begun));
        self
    }

    /// The same event at another server.
    pub fn at(&self, address: SocketAddr) -> Door {
        Door { address, ..self.clone() }
    }

    pub fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
        match Line::try_at(self.address) {
            Ok(mut line) => line.ask(method, path, headers, body),
            Err(_) => Answer::default(),
        }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], None)
    }

    pub fn owner(&self, method: &str, path: &str, body: Value) -> Answer {
        let bearer = format!("Bearer {TOKEN}");
        let body = (!body.is_null()).then(|| body.to_string());
        self.call(method, path, &[("authorization", &bearer), ("content-type", "application/json")], body.as_deref())
    }

    pub fn set_state(&self, state: &str) {
        self.owner("PUT", &format!("/api/v1/polls/{}/state", self.poll), json!({"state": state})).expect(200);
    }

    pub fn books(&self) -> Value {
        self.owner("GET", &format!("/api/v1/polls/{}/books", self.poll), Value::Null).expect(200).json()
    }

    pub fn counted(&self) -> i64 {
        self.books()["counted"].as_i64().expect("a number")
    }

    /// As the audience sees it.
    pub fn live(&self) -> Value {
        unless_shed(|| self.get(&format!("/api/v1/live/{}", self.code))).expect(200).json()
    }

    pub fn status(&self) -> String {
        text(&self.live()["polls"][0]["results"]["status"])
    }

    pub fn is_ready(&self) -> bool {
        self.get("/readyz").status == 200
    }

    pub fn voter(&self) -> Voter {
        self.try_voter().expect("a pass")
    }

    /// None when nobody is there.
    pub fn try_voter(&self) -> Option<Voter> {
        let answer = self.call("POST", &format!("/api/v1/live/{}/passes", self.code), &[], None);
        (answer.status == 201).then(|| Voter { bearer: format!("Bearer {}", text(&answer.json()["pass"])), ballot: Uuid::new_v4() })
    }

    /// Always the same ballot, as a phone does that is not sure.
    pub fn vote(&self, voter: &Voter) -> Answer {
        self.vote_on(
            &mut match Line::try_at(self.address) {
                Ok(line) => line,
                Err(_) => return Answer::default(),
            },
            voter,
        )
    }

    pub fn vote_on(&self, line: &mut Line, voter: &Voter) -> Answer {
        let request = self.request(line, voter);
        line.send(&request);
        line.read(false).unwrap_or_default().0
    }

    /// A vote, as bytes.
    pub fn request(&self, line: &Line, voter: &Voter) -> Vec<u8> {
        let body = json!({"ballot": voter.ballot, "revision": 1, "picks": [format!("{}-1", self.poll)]}).to_string();
        let headers = [("authorization", voter.bearer.as_str()), ("content-type", "application/json")];
        line.request("POST", &format!("/api/v1/polls/{}/ballots", self.poll), &headers, Some(&body))
    }
}

pub struct Voter {
    bearer: String,
    ballot: Uuid,
}

/// One figure of the metrics listener; labels are part of the name.
pub fn figure(metrics: SocketAddr, name: &str) -> f64 {
    let text = Line::at(metrics).ask("GET", "/metrics", &[], None).expect(200).body;
    let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' ')).unwrap_or_else(|| panic!("no {name} in {text}"));
    line.parse().expect("a number")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}")).to_owned()
}

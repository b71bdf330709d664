//! What most tests begin with: a server in a place of its own, an event with a poll, people with passes.

use groundswell::clock::now_ms;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, Backend, Place, Server, unless_shed, until};

/// A server and its place; the server stops before the place goes.
pub struct Hall {
    pub server: Server,
    pub place: Place,
}

impl Hall {
    pub fn open(backend: Backend) -> Hall {
        Hall::open_with(backend, &[])
    }

    pub fn open_with(backend: Backend, more: &[&str]) -> Hall {
        let place = Place::new(backend);
        Hall { server: Server::start_as(&place, "serve", more), place }
    }

    /// Stops the server in good order and starts another one in the same place.
    pub fn restart(self) -> Hall {
        let Hall { server, place } = self;
        server.stop();
        Hall { server: Server::start(&place), place }
    }

    pub fn event(&self) -> Event {
        Event::create(&self.server)
    }
}

impl std::ops::Deref for Hall {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

#[derive(Clone, Debug)]
pub struct Event {
    pub id: String,
    pub code: String,
}

impl Event {
    pub fn create(server: &Server) -> Event {
        let event = server.office("POST", "/api/v1/events", json!({"title": "Friday"})).expect(201).json();
        Event { id: text(&event["id"]), code: text(&event["code"]) }
    }

    pub fn draft(&self, server: &Server, more: Value) -> String {
        let mut body = json!({"kind": "single", "question": "Which?", "choices": ["A", "B", "C"]});
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        text(&server.office("POST", &format!("/api/v1/events/{}/polls", self.id), body).expect(201).json()["id"])
    }

    /// A poll that is open; `more` overrides its fields.
    pub fn poll(&self, server: &Server, more: Value) -> String {
        let poll = self.draft(server, more);
        set_state(server, &poll, "open");
        poll
    }

    /// An open poll that closes by the clock so many milliseconds from now, and when; at least half of them are left.
    pub fn poll_that_closes_in(&self, server: &Server, ms: i64) -> (String, i64) {
        let attempt = || {
            let poll = self.poll(server, json!({}));
            let closes_at = now_ms() + ms;
            server.office("PATCH", &format!("/api/v1/polls/{poll}"), json!({"closes_at": closes_at})).expect(200);
            let of = |live: Value| live["polls"].as_array().expect("polls").iter().find(|other| other["id"] == poll).cloned().unwrap_or_default();
            until("the phones know when it closes", || of(self.live(server))["closes_at"] == closes_at);
            (poll, closes_at)
        };
        // A disk that stands still may take longer than that.
        (0..5).map(|_| attempt()).find(|(_, closes_at)| now_ms() <= closes_at - ms / 2).expect("one is known in time")
    }

    pub fn voter(&self, server: &Server) -> Voter {
        let pass = server.call("POST", &format!("/api/v1/live/{}/passes", self.code), &[], None).expect(201).json();
        Voter { bearer: format!("Bearer {}", text(&pass["pass"])), id: text(&pass["voter"]) }
    }

    /// The public document.
    #[track_caller]
    pub fn live(&self, server: &Server) -> Value {
        unless_shed(|| server.get(&format!("/api/v1/live/{}", self.code))).expect(200).json()
    }

    #[track_caller]
    pub fn presenter(&self, server: &Server) -> Value {
        server.office("GET", &format!("/api/v1/events/{}/live", self.id), json!(null)).expect(200).json()
    }
}

#[derive(Clone, Debug)]
pub struct Voter {
    pub bearer: String,
    pub id: String,
}

impl Voter {
    pub fn vote(&self, server: &Server, poll: &str, ballot: u128, revision: u32, picks: &[u16]) -> Answer {
        self.send(server, poll, &ballot_of(poll, ballot, revision, picks).to_string())
    }

    /// Any body at all.
    pub fn send(&self, server: &Server, poll: &str, body: &str) -> Answer {
        server.call("POST", &format!("/api/v1/polls/{poll}/ballots"), &self.headers(), Some(body))
    }

    pub fn mine(&self, server: &Server, poll: &str) -> Answer {
        unless_shed(|| server.call("GET", &format!("/api/v1/polls/{poll}/ballots/mine"), &[("authorization", &self.bearer)], None))
    }

    pub fn headers(&self) -> [(&str, &str); 2] {
        [("authorization", &self.bearer), ("content-type", "application/json")]
    }
}

pub fn ballot_of(poll: &str, ballot: u128, revision: u32, picks: &[u16]) -> Value {
    let picks: Vec<String> = picks.iter().map(|n| format!("{poll}-{n}")).collect();
    json!({"ballot": Uuid::from_u128(ballot), "revision": revision, "picks": picks})
}

#[track_caller]
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}")).to_owned()
}

#[track_caller]
pub fn set_state(server: &Server, poll: &str, state: &str) -> Value {
    server.office("PUT", &format!("/api/v1/polls/{poll}/state"), json!({"state": state})).expect(200).json()
}

#[track_caller]
pub fn results(server: &Server, poll: &str) -> Value {
    server.office("GET", &format!("/api/v1/polls/{poll}/results"), json!(null)).expect(200).json()
}

/// Votes per choice as the back office tells them: past every cache and every redraw.
#[track_caller]
pub fn votes(server: &Server, poll: &str) -> Vec<u64> {
    votes_in(&results(server, poll)["results"])
}

pub fn votes_in(results: &Value) -> Vec<u64> {
    results["choices"].as_array().into_iter().flatten().map(|c| c["votes"].as_u64().expect("a number")).collect()
}

/// received, counted, superseded, duplicate, late
#[track_caller]
pub fn books(server: &Server, poll: &str) -> [i64; 5] {
    let books = server.office("GET", &format!("/api/v1/polls/{poll}/books"), json!(null)).expect(200).json();
    let books = ["received", "counted", "superseded", "duplicate", "late"].map(|key| books[key].as_i64().expect("a number"));
    assert_eq!(books[0], books[1..].iter().sum::<i64>(), "the books balance at every moment");
    books
}

/// Waits until everything that was answered 202 is in the books, and nothing is on its way.
#[track_caller]
pub fn drained(server: &Server, poll: &str, received: i64) -> [i64; 5] {
    until("every accepted ballot is in the books", || books(server, poll)[0] >= received);
    let books = books(server, poll);
    assert_eq!(books[0], received, "as many were received as were accepted");
    books
}

/// The document without what changes by itself.
pub fn at_rest(mut document: Value) -> Value {
    for key in ["now", "counted_through", "join_url"] {
        document.as_object_mut().expect("a document").remove(key);
    }
    document
}

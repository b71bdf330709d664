//! Too much at once: what is refused first and last, how soon, and how it ends.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use sqlx::{Connection, Executor, SqliteConnection};
use tokio::runtime::Runtime;

use crate::client::{Events, Line};
use crate::hall::{Hall, ballot_of, books};
use crate::support::{Answer, Backend, Place, median, runtime, until};

/// A vote that is not refused stands in line; nobody waits for it here.
const STANDS: Duration = Duration::from_millis(60);
/// A refusal, beside what it takes here and now to be answered anything.
const REFUSED_WITHIN: Duration = Duration::from_millis(10);

/// Of refusals and of bare answers (`/livez`) asked for in turn, on the same machine in the same moment: how long they took.
#[track_caller]
pub fn are_refused_at_once(refused: Vec<Duration>, bare: Vec<Duration>) {
    let (refused, bare) = (median(refused), median(bare));
    assert!(refused <= REFUSED_WITHIN + 2 * bare, "half of the refusals took {refused:?} and more, half of the bare answers {bare:?}");
}

/// Nobody can write down a vote until it is let go, as if the disk hung. (After five seconds the server stops trying, and refuses.)
pub struct Hung(Runtime, SqliteConnection);

impl Hung {
    pub fn at(place: &Place) -> Hung {
        let runtime = runtime();
        let journal = place.database_url.replace("groundswell.db", "groundswell.journal.db");
        let connection = runtime.block_on(async {
            let mut connection = SqliteConnection::connect(&journal).await.unwrap();
            for statement in ["pragma busy_timeout = 20000", "begin immediate"] {
                connection.execute(statement).await.unwrap();
            }
            connection
        });
        Hung(runtime, connection)
    }

    pub fn let_go(mut self) {
        self.0.block_on(async { self.1.execute("rollback").await.unwrap() });
    }
}

struct Probe<'h> {
    hall: &'h Hall,
    poll: String,
    code: String,
    bearer: String,
    ballots: u128,
}

impl Probe<'_> {
    /// `None` for one that stands in line.
    fn vote(&mut self) -> Option<Answer> {
        self.ballots += 1;
        let body = ballot_of(&self.poll, self.ballots, 1, &[1]).to_string();
        let headers = [("authorization", self.bearer.as_str()), ("content-type", "application/json")];
        let mut line = Line::to(self.hall);
        let request = line.request("POST", &format!("/api/v1/polls/{}/ballots", self.poll), &headers, Some(&body));
        line.patience(STANDS);
        line.send(&request);
        line.read(false).map(|(answer, _)| answer)
    }

    fn page(&self) -> Answer {
        self.hall.get("/")
    }

    fn read(&self) -> Answer {
        self.hall.get(&format!("/api/v1/live/{}", self.code))
    }

    fn stream(&self) -> Answer {
        Events::open(self.hall, &format!("/api/v1/live/{}/stream", self.code), &[]).head
    }
}

#[test]
fn streams_results_and_pages_give_way_before_a_vote_is_refused_and_come_back_after_it() {
    let hall = Hall::open_with(Backend::Embedded, &["--web-threads", "1"]);
    let event = hall.event();
    let poll = event.poll(&hall, json!({}));
    let (first, bearer) = (event.voter(&hall), event.voter(&hall).bearer);
    let mut probe = Probe { hall: &hall, poll: poll.clone(), code: event.code.clone(), bearer, ballots: 1_000 };
    let hung = Hung::at(&hall.place);
    std::thread::scope(|scope| {
        let stuck = scope.spawn(|| first.vote(&hall, &poll, 1, 1, &[1]));
        // Asked in this order while pressure rises: what gives way earlier was asked later.
        until("a vote is refused", || {
            let refused = [probe.vote().is_some_and(|a| a.status == 503), probe.page().status == 503, probe.read().status == 503, probe.stream().status == 503];
            assert!(refused.is_sorted(), "vote, page, result, stream: {refused:?}");
            refused[0]
        });
        let (mut votes, mut reads, mut bare) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..12 {
            votes.push(probe.vote());
            reads.push(probe.read());
            bare.push(hall.get("/livez").expect(200).took);
        }
        // One that stands in line after all was not refused within that time either.
        are_refused_at_once(votes.iter().map(|vote| vote.as_ref().map_or(STANDS, |a| a.took)).collect(), bare.clone());
        are_refused_at_once(reads.iter().map(|a| a.took).collect(), bare);
        let refusals: Vec<Answer> = votes.into_iter().flatten().chain(reads).collect();
        assert!(refusals.iter().all(|a| a.status == 503 && a.code() == "busy"), "{refusals:?}");
        let seconds: BTreeSet<u32> = refusals.iter().map(|a| a.header("retry-after").expect("when to come back").parse().expect("seconds")).collect();
        assert!(seconds.len() > 1, "not all at the same time: {seconds:?}");
        let stream = probe.stream();
        assert!(stream.header("retry-after").is_some_and(|s| s.parse::<u32>().unwrap() >= 5), "watching comes back later: {stream:?}");
        // Who runs the show goes on, and a pass is half a vote.
        hall.office("GET", "/api/v1/events", json!(null)).expect(200);
        event.presenter(&hall);
        event.voter(&hall);
        hall.get("/livez").expect(200);
        hall.get("/status").expect(200);

        hung.let_go();
        stuck.join().unwrap();
        // And in this order while it falls.
        until("everything is served again", || {
            let served = [probe.stream().status == 200, probe.read().status == 200, probe.page().status == 200];
            assert!(served.is_sorted(), "stream, result, page: {served:?}");
            served[0]
        });
    });
    until("votes are taken", || first.vote(&hall, &poll, 2, 2, &[1]).status == 202);
    let [received, counted, ..] = books(&hall, &poll);
    assert!(received >= 1 && counted <= 2, "who was refused is in no book");
}

//! The end of a run: heal, wait until the books drain, close, read every place that shows the result, and check all of it against what
//! voters were told. One line says what came of it; a run that failed leaves its history.

use std::collections::HashSet;
use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use groundswell::clock::now_ms;
use groundswell::rehearsal::checker::{self, Attempt, Outcome, Published, Row, Verdict};
use groundswell::rehearsal::{Client, Frame, Target, evidence, read_document};
use serde_json::Value;

use crate::client::Events;
use crate::cluster::{PATIENCE, until_within};
use crate::door::Door;
use crate::support::{TOKEN, runtime};
use crate::voters::{Addresses, Crowd};

/// A poll in which nothing has moved for so long will not come to rest any more.
const STANDS_STILL: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Sendings answered with 2xx, and all.
    pub acked: u64,
    pub sendings: u64,
    pub faults: usize,
    pub seed: u64,
    pub verdict: Verdict,
    /// Every number given out was counted, and the result is final.
    pub drained: bool,
    /// Of the faults that must cost nothing: sendings accepted meanwhile, and those that were not, but for 503 while the disk stood still.
    pub accepted_meanwhile: u64,
    pub turned_away: u64,
    /// Sendings that nobody answered, not even with a refusal: their process died.
    pub unanswered: u64,
    pub redelivered: u64,
    pub spilled: u64,
    /// Ballots that came twice and count once.
    pub absorbed: i64,
}

impl Report {
    pub fn is_clean(&self) -> bool {
        self.drained && self.verdict.is_clean()
    }

    /// Whatever fails, but for a process that dies and a disk that stands still: 99.9 % of the votes are accepted meanwhile.
    pub fn accepting_went_on(&self) {
        let Report { accepted_meanwhile: accepted, turned_away, .. } = self;
        assert!(turned_away * 1_000 <= *accepted, "accepting goes on, whatever fails: {accepted} accepted, {turned_away} were not");
    }

    pub fn add(&mut self, other: &Report) {
        let (mine, theirs) = (&mut self.verdict, &other.verdict);
        for (sum, more) in [
            (&mut self.acked, other.acked),
            (&mut self.sendings, other.sendings),
            (&mut self.unanswered, other.unanswered),
            (&mut self.accepted_meanwhile, other.accepted_meanwhile),
            (&mut self.turned_away, other.turned_away),
            (&mut mine.voters, theirs.voters),
            (&mut mine.answered, theirs.answered),
            (&mut mine.lost, theirs.lost),
            (&mut mine.wrong, theirs.wrong),
            (&mut mine.unexpected, theirs.unexpected),
            (&mut mine.phantom, theirs.phantom),
            (&mut mine.doubled, theirs.doubled),
            (&mut mine.recovered, theirs.recovered),
        ] {
            *sum += more;
        }
        mine.books += theirs.books;
        mine.examples.extend(theirs.examples.iter().cloned());
        self.absorbed += other.absorbed;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { acked, faults, seed, redelivered, spilled, absorbed, turned_away, .. } = self;
        let Verdict { lost, wrong, unexpected, phantom, doubled, books, recovered, .. } = &self.verdict;
        write!(out, "acked {acked}, faults {faults}, seed {seed}, lost {lost}, wrong {wrong}, unexpected {unexpected}, phantom {phantom}, ")?;
        write!(
            out,
            "doubled {doubled}, books {books}, recovered {recovered}, redelivered {redelivered}, spilled {spilled}, duplicates absorbed {absorbed}, turned away {turned_away}"
        )?;
        if self.drained { Ok(()) } else { write!(out, ", NEVER AT REST") }
    }
}

/// A viewer who watches from the beginning, and comes back whenever a stream ends.
pub struct Viewer {
    last: Arc<Mutex<Option<Frame>>>,
    stop: Arc<AtomicBool>,
}

impl Viewer {
    pub fn watch(door: &Door, addresses: Addresses) -> Viewer {
        let viewer = Viewer { last: Arc::default(), stop: Arc::default() };
        let (door, last, stop) = (door.clone(), viewer.last.clone(), viewer.stop.clone());
        std::thread::spawn(move || {
            let path = format!("/api/v1/live/{}/stream", door.code);
            for turn in 0.. {
                let address = *addresses[turn % addresses.len()].read().expect("never poisoned");
                let mut events = Events::try_at(address, &path, &[]);
                while let Some(event) = events.as_mut().and_then(Events::next) {
                    if let Some(frame) = read_document(event.data.as_bytes(), &door.poll, now_ms()) {
                        *last.lock().expect("never poisoned") = Some(frame);
                    }
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                }
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::park_timeout(Duration::from_millis(100));
            }
        });
        viewer
    }

    fn last(&self) -> Option<Frame> {
        self.last.lock().expect("never poisoned").clone()
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The poll is closed and everything is healed. Waits until nothing accepted can be on its way any more; false when numbers are missing
/// and nothing moves any longer.
fn drain(door: &Door) -> bool {
    let (mut before, mut moved) = (String::new(), Instant::now());
    let none = |books: &Value, key: &str| books[key].as_array().is_some_and(Vec::is_empty);
    let deadline = Instant::now() + PATIENCE * 2;
    let mut books = Value::Null;
    while Instant::now() < deadline {
        books = door.books();
        if door.status() == "final" && books["in_flight"] == 0 && none(&books, "missing") && none(&books, "unreported") {
            return true;
        }
        let now = ["received", "in_flight"].map(|key| books[key].to_string()).join(" ");
        if now != before {
            (before, moved) = (now, Instant::now());
        } else if moved.elapsed() > STANDS_STILL && !none(&books, "missing") && none(&books, "unreported") {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    say(format_args!("never at rest; status {}, what moved last did so {:.0} s ago: {books}", door.status(), moved.elapsed().as_secs_f64()));
    false
}

pub fn judge(door: &Door, crowd: &Crowd, viewer: &Viewer) -> Report {
    door.set_state("closed");
    let drained = drain(door);
    if drained {
        until_within("the viewer has seen it", || viewer.last().is_some_and(|frame| frame.is_final));
    }
    let (attempts, poll) = (crowd.attempts(), door.poll.parse().expect("an id"));
    let office = office(door);
    let (published, rows) = runtime().block_on(async {
        let published = evidence::published(&office, &door.code, poll, viewer.last()).await.expect("everything can be read");
        (published, evidence::rows(&office, poll, attempts.len()).await.expect("every row can be read"))
    });
    Report { drained, ..report(crowd, attempts, rows, &published) }
}

/// The same of a round that is over, and of those who voted in it: what is told of it now, which no screen shows any more.
pub fn judge_round(door: &Door, round: u32, crowd: &Crowd) -> Report {
    let (attempts, poll) = (crowd.attempts(), door.poll.parse().expect("an id"));
    let office = office(door);
    let path = format!("/api/v1/polls/{}/results?round={round}", door.poll);
    until_within("the round is final", || door.owner("GET", &path, Value::Null).expect(200).json()["results"]["status"] == "final");
    let (published, rows) = runtime().block_on(async {
        let published = evidence::published_of_round(&office, poll, round).await.expect("everything can be read");
        (published, evidence::rows_of_round(&office, poll, Some(round), attempts.len()).await.expect("every row can be read"))
    });
    Report { drained: true, ..report(crowd, attempts, rows, &published) }
}

fn office(door: &Door) -> Client {
    Client::new(Target { address: door.address, host: door.address.to_string(), tls: None }, Some(TOKEN.to_owned()))
}

fn report(crowd: &Crowd, attempts: Vec<Attempt>, rows: Vec<Row>, published: &Published) -> Report {
    let sure = |outcome: Outcome| attempts.iter().filter(move |a| a.outcome == outcome);
    let acked = sure(Outcome::Ok).count() as u64;
    let safe = sure(Outcome::Ok).map(|a: &Attempt| a.ballot).collect::<HashSet<_>>().len() as u64;
    let sendings = attempts.len() as u64;
    let not_refused = sendings - sure(Outcome::Refused).count() as u64;
    let books = published.books;
    let mut verdict = checker::check(attempts, rows, published);
    checker::received(&mut verdict, books.received, safe, Some(not_refused));
    Report { acked, sendings, verdict, unanswered: crowd.unanswered(), absorbed: books.duplicate, ..Report::default() }
}

/// Where a failing run leaves what it knows.
pub fn keep_history(seed: u64, crowd: &Crowd, logs: impl FnOnce(&std::path::Path)) -> PathBuf {
    let at = std::env::var_os("GROUNDSWELL_TEST_NEMESIS_DIR").map_or_else(std::env::temp_dir, PathBuf::from).join(format!("groundswell-nemesis-{seed}"));
    std::fs::create_dir_all(&at).expect("a directory");
    std::fs::write(at.join("history.csv"), crowd.history()).expect("it can be written");
    logs(&at);
    at
}

/// Past the test harness, which would keep it to itself when all is well.
pub fn say(line: impl fmt::Display) {
    let _ = writeln!(std::io::stderr(), "nemesis: {line}");
}

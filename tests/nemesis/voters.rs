//! The voters: an open loop of people who vote, change their mind, send the same ballot again, and send again what nobody answered, as
//! phones do. Each sending is written down with what was answered. They come when they mean to, whether or not earlier ones were answered.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use fastrand::Rng;
use groundswell::domain::{BallotId, Picks, VoterId};
use groundswell::rehearsal::checker::{Attempt, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use uuid::Uuid;

use crate::door::Door;
use crate::support::until;

/// Longer than a server lets a vote wait.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// More than this waiting for a connection, and the generator is the limit: what was meant to be sent then is counted as not sent.
const WAITING_MAX: usize = 20_000;
/// A phone goes on for hours; a test ends.
const TRIES_MAX: u8 = 12;
const REVISIONS_MAX: u16 = 40;
const JOINING_AT_ONCE: usize = 16;

#[derive(Clone, Copy, Debug)]
pub struct Habits {
    pub people: usize,
    pub per_second: u64,
    pub connections: usize,
    pub seed: u64,
    /// The round they saw, and say; without one they vote in whichever the server is in.
    pub round: Option<u32>,
}

/// Where the servers are at the moment; one that starts again has another port.
pub type Addresses = Arc<Vec<RwLock<SocketAddr>>>;

/// One ballot sent once.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub revision: u16,
    pub outcome: Outcome,
    pub status: u16,
    /// Milliseconds since the crowd began.
    pub sent: u32,
    pub answered: u32,
}

struct Person {
    voter: VoterId,
    bearer: String,
    /// The last revision given to a ballot.
    last: Mutex<u16>,
    history: Mutex<Vec<Sent>>,
}

#[derive(Clone, Copy)]
struct Job {
    person: usize,
    revision: u16,
    tries: u8,
}

pub struct Crowd {
    shared: Arc<Shared>,
    runtime: Runtime,
}

struct Shared {
    habits: Habits,
    poll: String,
    addresses: Addresses,
    began: Instant,
    people: Vec<Person>,
    again: Mutex<VecDeque<(Instant, Job)>>,
    stop: AtomicBool,
    /// Jobs on their way, retries that are due later included.
    pending: AtomicUsize,
    intended: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    unknown: AtomicU64,
    /// The generator could not send when it meant to.
    not_sent: AtomicU64,
    /// Ballots that were never called safe, however often they were sent.
    given_up: AtomicU64,
    /// So many times as many people come.
    surge: AtomicU64,
    /// From and until when, in milliseconds since the crowd began, voting was closed while they came.
    closed: Mutex<Vec<(u32, u32)>>,
}

/// What was answered so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Answers {
    pub accepted: u64,
    pub refused: u64,
    pub unknown: u64,
}

impl Crowd {
    /// Everybody joins; nobody votes yet.
    pub fn join(door: &Door, addresses: Addresses, habits: Habits) -> Crowd {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let share = habits.people.div_ceil(JOINING_AT_ONCE);
        let people: Vec<Person> = std::thread::scope(|scope| {
            let joining: Vec<_> = (0..JOINING_AT_ONCE)
                .map(|at| {
                    let count = share.min(habits.people.saturating_sub(at * share));
                    let address = *addresses[at % addresses.len()].read().expect("never poisoned");
                    let door = door.at(address);
                    scope.spawn(move || join(&door, count))
                })
                .collect();
            joining.into_iter().flat_map(|thread| thread.join().expect("everybody joins")).collect()
        });
        let shared = Arc::new(Shared {
            habits,
            poll: door.poll.clone(),
            addresses,
            began: Instant::now(),
            people,
            again: Mutex::default(),
            stop: AtomicBool::new(false),
            pending: AtomicUsize::new(0),
            intended: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            not_sent: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
            surge: AtomicU64::new(1),
            closed: Mutex::default(),
        });
        Crowd { shared, runtime }
    }

    /// They come, until told to stop.
    pub fn begin(&self) {
        let (sender, receiver) = unbounded_channel();
        let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
        for at in 0..self.shared.habits.connections {
            self.runtime.spawn(self.shared.clone().carry(receiver.clone(), at));
        }
        self.runtime.spawn(self.shared.clone().conduct(sender));
        until("votes are under way", || self.answers().accepted > 20);
    }

    /// Nobody begins anything new; what nobody answered is sent again until somebody does, within reason.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.shared.pending.load(Ordering::Relaxed) > 0 {
            assert!(Instant::now() < deadline, "the last votes are not answered");
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// Returns when people have come for so long.
    pub fn go_on_for(&self, seconds: f64) {
        let until_then = self.shared.intended.load(Ordering::Relaxed) + (seconds * self.shared.habits.per_second as f64) as u64;
        let deadline = Instant::now() + Duration::from_secs_f64(seconds + 60.0);
        while self.shared.intended.load(Ordering::Relaxed) < until_then {
            assert!(Instant::now() < deadline, "people keep coming");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    pub fn answers(&self) -> Answers {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Answers { accepted: read(&self.shared.accepted), refused: read(&self.shared.refused), unknown: read(&self.shared.unknown) }
    }

    pub fn not_sent(&self) -> u64 {
        self.shared.not_sent.load(Ordering::Relaxed)
    }

    /// What a person would have seen of a fault: a vote that did not get through by being sent again.
    pub fn given_up(&self) -> u64 {
        self.shared.given_up.load(Ordering::Relaxed)
    }

    /// From now on, so many times as many people come; all at once, as after a word on the screen.
    pub fn surge(&self, times: u64) {
        self.shared.surge.store(times, Ordering::Relaxed);
    }

    /// Voting is closed while this runs: who comes meanwhile is told so.
    pub fn while_closed(&self, run: impl FnOnce()) {
        /// Another server hears that it is open again a moment later.
        const HEARD_MS: u32 = 1_500;
        let now = || self.shared.began.elapsed().as_millis() as u32;
        let from = now();
        run();
        self.shared.closed.lock().expect("never poisoned").push((from, now() + HEARD_MS));
    }

    /// One ballot of one person to one server, and what is said to it: for what must happen in a certain order.
    pub fn vote(&self, person: usize, revision: u16, server: usize) -> Outcome {
        let job = Job { person, revision, tries: TRIES_MAX };
        self.runtime.block_on(async {
            let address = *self.shared.addresses[server].read().expect("never poisoned");
            let Ok(mut stream) = TcpStream::connect(address).await else { return Outcome::Unknown };
            *self.shared.people[person].last.lock().expect("never poisoned") = revision;
            self.shared.send(&mut stream, job).await.0.outcome
        })
    }

    /// Bearer, ballot and revision of what a person was last told is safe.
    pub fn last_safe(&self) -> Option<(String, BallotId, u16)> {
        let person = |p: &Person| p.history.lock().expect("never poisoned").iter().filter(|s| s.outcome == Outcome::Ok).map(|s| (s.answered, s.revision)).max();
        let (at, (_, _)) = self.shared.people.iter().enumerate().filter_map(|(at, p)| Some((at, person(p)?))).max_by_key(|(_, (answered, _))| *answered)?;
        let highest = self.shared.people[at].history.lock().expect("never poisoned").iter().filter(|s| s.outcome == Outcome::Ok).map(|s| s.revision).max()?;
        Some((format!("Bearer {}", self.shared.people[at].bearer), self.shared.ballot(at, highest), highest))
    }

    /// All that happened, as the checker wants it.
    pub fn attempts(&self) -> Vec<Attempt> {
        let mut attempts = Vec::new();
        for (at, person) in self.shared.people.iter().enumerate() {
            for sent in person.history.lock().expect("never poisoned").iter() {
                let picks = Picks::parse(&self.shared.pick(at, sent.revision).map(|p| p.to_string()).unwrap_or_default()).expect("a number");
                let (ballot, revision) = (self.shared.ballot(at, sent.revision), u32::from(sent.revision));
                attempts.push(Attempt { voter: person.voter, ballot, revision, picks, outcome: sent.outcome });
            }
        }
        attempts
    }

    /// The same as a table, for whoever looks into a run that failed.
    pub fn history(&self) -> String {
        let mut table = String::from("voter,poll,ballot,revision,picks,sent_ms,answered_ms,outcome,status\n");
        for (at, person) in self.shared.people.iter().enumerate() {
            for s in person.history.lock().expect("never poisoned").iter() {
                let pick = self.shared.pick(at, s.revision).map(|p| p.to_string()).unwrap_or_default();
                let (voter, poll, ballot) = (person.voter, &self.shared.poll, self.shared.ballot(at, s.revision));
                table.push_str(&format!("{voter},{poll},{ballot},{},{pick},{},{},{:?},{}\n", s.revision, s.sent, s.answered, s.outcome, s.status));
            }
        }
        table
    }

    fn statuses(&self) -> impl Iterator<Item = u16> {
        self.shared.people.iter().flat_map(|p| p.history.lock().expect("never poisoned").iter().map(|s| s.status).collect::<Vec<_>>())
    }

    /// What was sent, and no answer came, of whatever kind.
    pub fn unanswered(&self) -> u64 {
        self.statuses().filter(|status| *status == 0).count() as u64
    }

    /// Sendings since then that were not accepted: those for which there is no excuse, and those that `excused` knows one for, by when they were answered.
    pub fn turned_away_since(&self, then: Instant, excused: impl Fn(Instant, u16) -> bool) -> (u64, u64) {
        let from = then.duration_since(self.shared.began).as_millis() as u32;
        let (mut without, mut with) = (0, 0);
        for person in &self.shared.people {
            // In the order in which they were answered, nearly.
            for sent in person.history.lock().expect("never poisoned").iter().filter(|s| s.answered >= from && s.outcome != Outcome::Ok) {
                let at = self.shared.began + Duration::from_millis(sent.answered.into());
                *(if excused(at, sent.status) { &mut with } else { &mut without }) += 1;
            }
        }
        (without, with)
    }

    /// Answers that nobody should ever get here, by status.
    pub fn strange(&self) -> Vec<u16> {
        let closed = self.shared.closed.lock().expect("never poisoned").clone();
        let was_closed = |sent: &Sent| closed.iter().any(|(from, until)| sent.answered >= *from && sent.sent <= *until);
        let histories = self.shared.people.iter().flat_map(|p| p.history.lock().expect("never poisoned").clone());
        let is_known = |sent: &Sent| matches!(sent.status, 0 | 202 | 503 | 504) || sent.status == 409 && was_closed(sent);
        let mut strange: Vec<u16> = histories.filter(|sent| !is_known(sent)).map(|sent| sent.status).collect();
        strange.sort_unstable();
        strange.dedup();
        strange
    }
}

fn join(door: &Door, count: usize) -> Vec<Person> {
    let path = format!("/api/v1/live/{}/passes", door.code);
    let mut line = crate::client::Line::at(door.address);
    (0..count)
        .map(|_| {
            let said = line.ask("POST", &path, &[], None).expect(201).json();
            let text = |key: &str| said[key].as_str().expect("a string").to_owned();
            let voter = VoterId(Uuid::parse_str(&text("voter")).expect("an id"));
            Person { voter, bearer: text("pass"), last: Mutex::new(0), history: Mutex::default() }
        })
        .collect()
}

impl Shared {
    /// Sends people off when they mean to come, not when somebody has time for them.
    async fn conduct(self: Arc<Self>, jobs: UnboundedSender<Job>) {
        let mut rng = Rng::with_seed(self.habits.seed);
        let (mut looked, mut due, mut come) = (Instant::now(), 0.0, 0u64);
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        loop {
            tick.tick().await;
            let stopped = self.stop.load(Ordering::Relaxed);
            while let Some(job) = self.take_again(stopped) {
                let _ = jobs.send(job);
            }
            if stopped {
                if self.pending.load(Ordering::Relaxed) == 0 {
                    return;
                }
                continue;
            }
            let now = Instant::now();
            due += now.duration_since(looked).as_secs_f64() * (self.habits.per_second * self.surge.load(Ordering::Relaxed)) as f64;
            looked = now;
            while come < due as u64 {
                come += 1;
                self.intended.store(come, Ordering::Relaxed);
                if self.pending.load(Ordering::Relaxed) >= WAITING_MAX {
                    self.not_sent.fetch_add(1, Ordering::Relaxed);
                } else if let Some(job) = self.choose(&mut rng) {
                    self.pending.fetch_add(1, Ordering::Relaxed);
                    let _ = jobs.send(job);
                }
            }
        }
    }

    /// Half of the people vote once, and perhaps send it twice; the others change their mind, now and then before the answer came.
    fn choose(&self, rng: &mut Rng) -> Option<Job> {
        let person = rng.usize(..self.people.len());
        let mut last = self.people[person].last.lock().expect("never poisoned");
        let changes = *last == 0 || (person % 2 == 1 && *last < REVISIONS_MAX && rng.u8(..10) < 8);
        if !changes && rng.u8(..4) > 0 {
            // Most people who have voted leave it at that.
            return None;
        }
        *last += u16::from(changes);
        Some(Job { person, revision: *last, tries: 0 })
    }

    fn take_again(&self, at_once: bool) -> Option<Job> {
        let mut again = self.again.lock().expect("never poisoned");
        let (due, _) = again.front()?;
        if *due <= Instant::now() || at_once { again.pop_front().map(|(_, job)| job) } else { None }
    }

    /// One connection, to whichever server answers.
    async fn carry(self: Arc<Self>, jobs: Arc<tokio::sync::Mutex<UnboundedReceiver<Job>>>, at: usize) {
        let (mut line, mut server, mut rng) = (None::<TcpStream>, at, Rng::with_seed(self.habits.seed ^ at as u64));
        loop {
            let Some(job) = jobs.lock().await.recv().await else { return };
            if rng.u8(..64) == 0 {
                // As a load balancer spreads them.
                (line, server) = (None, rng.usize(..self.addresses.len()));
            }
            // One that the server has closed meanwhile is of no use, and nothing was sent on it.
            let open = line.take().filter(|stream: &TcpStream| stream.try_read(&mut [0]).is_err_and(|why| why.kind() == std::io::ErrorKind::WouldBlock));
            let mut stream = match open {
                Some(stream) => stream,
                None => {
                    let address = *self.addresses[server % self.addresses.len()].read().expect("never poisoned");
                    match tokio::time::timeout(Duration::from_secs(1), TcpStream::connect(address)).await {
                        Ok(Ok(stream)) => {
                            let _ = stream.set_nodelay(true);
                            stream
                        }
                        // Nothing was sent, so there is nothing to write down.
                        _ => {
                            server += 1;
                            self.once_more(job, rng.u64(20..100));
                            continue;
                        }
                    }
                }
            };
            let (sent, keeps) = self.send(&mut stream, job).await;
            if keeps {
                line = Some(stream);
            } else if sent.status == 0 {
                server += 1;
            }
            match sent.outcome {
                Outcome::Ok => self.done(),
                // A phone does not give up for a refusal either; but where time is over, it is.
                _ if job.tries < TRIES_MAX => self.once_more(Job { tries: job.tries + 1, ..job }, rng.u64(50..600)),
                _ => {
                    self.given_up.fetch_add(1, Ordering::Relaxed);
                    self.done();
                }
            }
        }
    }

    fn done(&self) {
        self.pending.fetch_sub(1, Ordering::Relaxed);
    }

    fn once_more(&self, job: Job, in_ms: u64) {
        self.again.lock().expect("never poisoned").push_back((Instant::now() + Duration::from_millis(in_ms), job));
    }

    /// Also says whether the connection may be used again.
    async fn send(&self, stream: &mut TcpStream, job: Job) -> (Sent, bool) {
        let person = &self.people[job.person];
        let picks = self.pick(job.person, job.revision).map(|choice| format!("\"{}-{choice}\"", self.poll)).unwrap_or_default();
        let round = self.habits.round.map(|round| format!(r#","round":{round}"#)).unwrap_or_default();
        let body = format!(r#"{{"ballot":"{}","revision":{},"picks":[{picks}]{round}}}"#, self.ballot(job.person, job.revision), job.revision);
        let head = format!("POST /api/v1/polls/{}/ballots HTTP/1.1\r\nhost: nemesis\r\nauthorization: Bearer {}\r\n", self.poll, person.bearer);
        let request = format!("{head}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let sent = self.began.elapsed().as_millis() as u32;
        let answer = tokio::time::timeout(ANSWER_WITHIN, exchange(stream, request.as_bytes())).await;
        let (status, keeps) = answer.ok().and_then(Result::ok).unwrap_or((0, false));
        let outcome = match status {
            200..300 => Outcome::Ok,
            400..500 | 503 => Outcome::Refused,
            _ => Outcome::Unknown,
        };
        let sent = Sent { revision: job.revision, outcome, status, sent, answered: self.began.elapsed().as_millis() as u32 };
        person.history.lock().expect("never poisoned").push(sent);
        let count = match outcome {
            Outcome::Ok => &self.accepted,
            Outcome::Refused => &self.refused,
            Outcome::Unknown => &self.unknown,
        };
        count.fetch_add(1, Ordering::Relaxed);
        (sent, keeps)
    }

    /// The same revision is always the same ballot.
    fn ballot(&self, person: usize, revision: u16) -> BallotId {
        BallotId(Uuid::from_u128(Rng::with_seed(self.mix(person, revision)).u128(..)))
    }

    /// One of three choices; now and then none.
    fn pick(&self, person: usize, revision: u16) -> Option<u8> {
        let mix = self.mix(person, revision);
        (!mix.is_multiple_of(20)).then_some((mix / 20 % 3) as u8 + 1)
    }

    fn mix(&self, person: usize, revision: u16) -> u64 {
        Rng::with_seed(self.habits.seed ^ (person as u64) << 16 ^ u64::from(revision)).u64(..)
    }
}

/// The status of the answer, once all of it has been read, and whether another may follow.
async fn exchange(stream: &mut TcpStream, request: &[u8]) -> std::io::Result<(u16, bool)> {
    stream.write_all(request).await?;
    let (mut buffer, mut filled) = ([0u8; 4_096], 0);
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        filled += read;
        let Some(end) = buffer[..filled].windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
        let length: usize = head.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
        if filled >= end + 4 + length {
            let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
            return status.map(|status| (status, !head.contains("\r\nconnection: close"))).ok_or_else(|| std::io::ErrorKind::InvalidData.into());
        }
    }
}

//! The storm: every tap at its intended time, whatever the server does meanwhile. Latency counts from the intended time, also while a
//! tap waits for a free connection, so that a server that stalls cannot hide it. Refusals and silence are met as phones meet them: the
//! same ballot again, later, at a time of one's own.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::io::Write;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::Notify;
use tokio::task::LocalSet;

use super::checker::Outcome;
use super::client::Target;
use super::crowd::{Habits, Share};
use super::http1::{ANSWER_BYTES_MAX, exchange, json_value};
use super::line::Line;
use super::machine;
use super::meter::Meter;
use crate::domain::Millis;

/// A phone gives an attempt up after this long and sends the same again.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Full jitter: up to this much longer after the first failure, doubled with each further one.
const BACKOFF_US: u64 = 500_000;
const BACKOFF_MAX_US: u64 = 8_000_000;
/// What has not been answered this long after the last tap is given up, and named.
const GIVE_UP_AFTER: Duration = Duration::from_secs(300);
/// A connection that was idle for longer may be about to be closed from the other side: what is sent into that is neither lost nor kept.
const IDLE_WITHIN: Duration = Duration::from_secs(5);
/// How often due taps are released; the clock of the runtime is no finer.
const TICK: Duration = Duration::from_millis(1);
/// Wire times are kept up to a minute with three digits.
const WIRE_MAX_US: u64 = 60_000_000;

/// What all threads of a storm share.
pub struct Storm {
    pub target: Target,
    pub poll: String,
    pub habits: Habits,
    /// `Fate::accepted` counts from here.
    pub epoch: Millis,
    pub stop: Arc<AtomicBool>,
    /// Threads that wait for the moment zero.
    pub ready: AtomicUsize,
    /// Set when all are ready: the moment zero.
    pub start: OnceLock<Instant>,
    /// Unix milliseconds of the moment zero, by our clock.
    pub start_ms: AtomicU64,
}

/// What one thread has to tell.
pub struct Sent {
    pub share: Share,
    /// Microseconds from sending to the whole answer, each attempt.
    pub wire: Histogram<u64>,
    pub statuses: BTreeMap<u16, u64>,
    pub timeouts: u64,
    pub resets: u64,
    pub connect_failures: u64,
    /// Ballots that were given up without a success.
    pub abandoned: u64,
    /// People who were not reached before the stop.
    pub not_sent: u64,
    /// Changes of mind that were due after the stop, or never got a turn.
    pub changes_not_sent: u64,
    /// The same ballot was answered 2xx and later 4xx: a broken promise.
    pub contradicted: u64,
    pub repeats_ok: u64,
    /// Processor time of this thread and how long it ran, until everybody in its share had an answer: then it mostly waits for second thoughts.
    pub cpu_s: f64,
    pub wall_s: f64,
    /// (server's clock - ours) lies between these, in milliseconds.
    pub clock: (Millis, Millis),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    First,
    Change,
    /// The first ballot once more.
    Repeat,
}

/// Something to send at its time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Task {
    due_us: u64,
    /// When the person meant it: before any refusal.
    intended_us: u64,
    person: u32,
    kind: Kind,
    tries: u8,
}

impl Storm {
    /// Runs one thread's share to its end. Blocks; for a thread of its own.
    pub fn run(self: &Arc<Storm>, share: Share, connections: usize, meter: Arc<Meter>) -> anyhow::Result<Sent> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, self.clone().run_here(share, connections, meter))
    }

    async fn run_here(self: Arc<Storm>, share: Share, connections: usize, meter: Arc<Meter>) -> anyhow::Result<Sent> {
        self.ready.fetch_add(1, Ordering::Release);
        let started = loop {
            match self.start.get() {
                Some(start) => break *start,
                None => tokio::time::sleep(TICK).await,
            }
        };
        let work = Rc::new(RefCell::new(Work::new(self.clone(), share, meter, started)));
        let bell = Rc::new(Notify::new());
        let tasks: Vec<_> = (0..connections).map(|_| tokio::task::spawn_local(one_connection(work.clone(), bell.clone()))).collect();
        loop {
            let (over, wake) = work.borrow_mut().release();
            if over {
                bell.notify_waiters();
                break;
            }
            // Who fell idle last has the freshest connection.
            (0..wake).for_each(|_| bell.notify_last());
            tokio::time::sleep(TICK).await;
        }
        for task in tasks {
            task.await?;
        }
        let mut work = Rc::into_inner(work).expect("all tasks ended").into_inner();
        if work.unanswered > 0 {
            work.note_effort();
        }
        Ok(work.sent)
    }
}

/// What the connections of one thread work on.
struct Work {
    storm: Arc<Storm>,
    sent: Sent,
    meter: Arc<Meter>,
    started: Instant,
    cpu_before: f64,
    /// People whose first ballot was not called safe yet.
    unanswered: usize,
    /// The next person who has not tapped yet.
    next: usize,
    later: BinaryHeap<Reverse<Task>>,
    ready: VecDeque<Task>,
    in_flight: usize,
    idle: usize,
    over: bool,
    /// The request's head up to the pass, and the beginning of every choice's name.
    head: Vec<u8>,
}

impl Work {
    fn new(storm: Arc<Storm>, share: Share, meter: Arc<Meter>, started: Instant) -> Work {
        let head = format!("POST /api/v1/polls/{}/ballots HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer ", storm.poll, storm.target.host).into_bytes();
        let sent = Sent {
            share,
            wire: Histogram::new_with_max(WIRE_MAX_US, 3).expect("the bounds are right"),
            statuses: BTreeMap::new(),
            timeouts: 0,
            resets: 0,
            connect_failures: 0,
            abandoned: 0,
            not_sent: 0,
            changes_not_sent: 0,
            contradicted: 0,
            repeats_ok: 0,
            cpu_s: 0.0,
            wall_s: 0.0,
            clock: (Millis::MIN, Millis::MAX),
        };
        let (later, ready) = (BinaryHeap::new(), VecDeque::new());
        let (cpu_before, unanswered) = (machine::own_thread_cpu_s(), sent.share.joined());
        Work { storm, sent, meter, started, cpu_before, unanswered, next: 0, later, ready, in_flight: 0, idle: 0, over: false, head }
    }

    fn now_us(&self) -> u64 {
        // The moment zero lies a little ahead when the threads are told of it.
        Instant::now().saturating_duration_since(self.started).as_micros() as u64
    }

    /// Moves what is due to where connections take it from. Says whether all is done, and how many idle connections to wake.
    fn release(&mut self) -> (bool, usize) {
        let habits = self.storm.habits;
        let now = self.now_us();
        let given_up = now > habits.over_us + GIVE_UP_AFTER.as_micros() as u64;
        if Instant::now() < self.started {
            return (false, 0);
        }
        if given_up || self.storm.stop.load(Ordering::Relaxed) {
            // Repeats are no ballots of their own.
            let dropped = self.ready.iter().chain(self.later.iter().map(|Reverse(task)| task)).filter(|task| task.kind != Kind::Repeat);
            let (tried, untried): (Vec<&Task>, Vec<&Task>) = dropped.partition(|task| task.tries > 0);
            self.sent.abandoned += tried.len() as u64;
            self.sent.not_sent += untried.iter().filter(|task| task.kind == Kind::First).count() as u64;
            self.sent.changes_not_sent += untried.iter().filter(|task| task.kind == Kind::Change).count() as u64;
            self.sent.not_sent += (self.sent.share.joined() - self.next) as u64;
            self.next = self.sent.share.joined();
            self.later.clear();
            self.ready.clear();
        }
        while self.next < self.sent.share.joined() {
            let n = self.sent.share.number(self.next);
            let due_us = habits.taps_at(n);
            if due_us > now {
                break;
            }
            let person = self.next as u32;
            self.ready.push_back(Task { due_us, intended_us: due_us, person, kind: Kind::First, tries: 0 });
            if habits.changes(n) {
                let changed = due_us + habits.thinks_us(n);
                self.later.push(Reverse(Task { due_us: changed, intended_us: changed, person, kind: Kind::Change, tries: 0 }));
            }
            self.next += 1;
        }
        while self.later.peek().is_some_and(|Reverse(task)| task.due_us <= now) {
            let Reverse(task) = self.later.pop().expect("peeked");
            self.ready.push_back(task);
        }
        self.meter.queued.store(self.ready.len() as u64, Ordering::Relaxed);
        self.meter.in_flight.store(self.in_flight as u64, Ordering::Relaxed);
        self.over = self.next == self.sent.share.joined() && self.later.is_empty() && self.ready.is_empty() && self.in_flight == 0;
        (self.over, self.idle.min(self.ready.len()))
    }

    /// Writes the request of a task.
    fn write(&self, task: Task, out: &mut Vec<u8>) {
        let habits = &self.storm.habits;
        let revision = revision_of(task.kind);
        let n = self.sent.share.number(task.person as usize);
        let choice = habits.choice(n, revision);
        let digits = if choice >= 100 { 3 } else { 1 + usize::from(choice >= 10) };
        const FIXED: usize = "{\"ballot\":\"\",\"revision\":1,\"picks\":[\"-\"]}".len() + uuid::fmt::Hyphenated::LENGTH;
        let length = FIXED + self.storm.poll.len() + digits;
        out.clear();
        out.extend_from_slice(&self.head);
        out.extend_from_slice(self.sent.share.pass(task.person as usize));
        let mut id = [0u8; uuid::fmt::Hyphenated::LENGTH];
        let id = habits.ballot(n, revision).hyphenated().encode_lower(&mut id);
        write!(
            out,
            "\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{{\"ballot\":\"{id}\",\"revision\":{revision},\"picks\":[\"{}-{choice}\"]}}",
            self.storm.poll
        )
        .expect("writing to memory cannot fail");
    }

    /// An attempt has ended, somehow.
    fn settle(&mut self, task: Task, sent_us: u64, answer: Answer) {
        let now = self.now_us();
        self.in_flight -= 1;
        let place = revision_of(task.kind) as usize - 1;
        let (outcome, again_after) = match answer {
            Answer::Status { status, final_if_refused, accepted_at, retry_after } => {
                *self.sent.statuses.entry(status).or_default() += 1;
                self.sent.wire.saturating_record((now - sent_us).max(1));
                match status {
                    200..=299 => {
                        self.accept(task, sent_us, now, accepted_at);
                        (Outcome::Ok, None)
                    }
                    429 | 503 => (Outcome::Refused, Some(retry_after.unwrap_or_default())),
                    400..=499 if final_if_refused => (Outcome::Refused, None),
                    _ => (Outcome::Unknown, Some(retry_after.unwrap_or_default())),
                }
            }
            Answer::Timeout => {
                self.sent.timeouts += 1;
                (Outcome::Unknown, Some(Duration::ZERO))
            }
            Answer::Reset => {
                self.sent.resets += 1;
                (Outcome::Unknown, Some(Duration::ZERO))
            }
        };
        let fate = &mut self.sent.share.fates[task.person as usize][place];
        let was_safe = fate.ok > 0;
        match outcome {
            Outcome::Ok if !was_safe => self.meter.accepted.fetch_add(1, Ordering::Relaxed),
            Outcome::Ok => 0,
            Outcome::Refused => self.meter.refused.fetch_add(1, Ordering::Relaxed),
            Outcome::Unknown => self.meter.unknown.fetch_add(1, Ordering::Relaxed),
        };
        fate.note(outcome);
        if outcome == Outcome::Refused && again_after.is_none() && was_safe {
            self.sent.contradicted += 1;
        }
        if let Some(after) = again_after {
            let most = (BACKOFF_US << task.tries.min(6)).min(BACKOFF_MAX_US);
            let due_us = now + after.as_micros() as u64 + fastrand::u64(..most);
            self.later.push(Reverse(Task { due_us, tries: task.tries.saturating_add(1), ..task }));
        }
    }

    fn note_effort(&mut self) {
        self.sent.cpu_s = machine::own_thread_cpu_s() - self.cpu_before;
        self.sent.wall_s = self.started.elapsed().as_secs_f64();
    }

    fn accept(&mut self, task: Task, sent_us: u64, now: u64, accepted_at: Option<Millis>) {
        let place = revision_of(task.kind) as usize - 1;
        let fate = &mut self.sent.share.fates[task.person as usize][place];
        self.sent.repeats_ok += u64::from(task.kind == Kind::Repeat);
        if fate.ok > 0 {
            return;
        }
        fate.latency = u32::try_from((now - task.intended_us.min(now)) / 10).unwrap_or(u32::MAX);
        if let Some(at) = accepted_at {
            fate.accepted = u32::try_from(at - self.storm.epoch).unwrap_or(0);
            let zero = self.storm.start_ms.load(Ordering::Relaxed) as Millis;
            self.sent.clock.0 = self.sent.clock.0.max(at - (zero + now as Millis / 1_000 + 1));
            self.sent.clock.1 = self.sent.clock.1.min(at - (zero + sent_us as Millis / 1_000));
        }
        let n = self.sent.share.number(task.person as usize);
        if task.kind == Kind::First && self.storm.habits.repeats(n) {
            let due_us = now + self.storm.habits.thinks_us(n);
            self.later.push(Reverse(Task { due_us, intended_us: due_us, person: task.person, kind: Kind::Repeat, tries: 0 }));
        }
        if task.kind == Kind::First {
            self.unanswered -= 1;
            if self.unanswered == 0 {
                self.note_effort();
            }
        }
    }
}

fn revision_of(kind: Kind) -> u32 {
    if kind == Kind::Change { 2 } else { 1 }
}

enum Answer {
    Status {
        status: u16,
        /// A 4xx is the application's own, a problem with a code, as opposed to one of the line or of something between: a phone believes only these.
        final_if_refused: bool,
        accepted_at: Option<Millis>,
        retry_after: Option<Duration>,
    },
    Timeout,
    Reset,
}

/// One connection of the pool: takes what is due, one after the other, as a browser does. Opened when there is something to send: a
/// server closes those that say nothing.
async fn one_connection(work: Rc<RefCell<Work>>, bell: Rc<Notify>) {
    let mut kept: Option<Line> = None;
    let mut used_at = Instant::now();
    let mut request = Vec::with_capacity(512);
    let mut buffer = vec![0u8; ANSWER_BYTES_MAX];
    let target = work.borrow().storm.target.clone();
    loop {
        let next = {
            let mut work = work.borrow_mut();
            if work.over {
                return;
            }
            let next = work.ready.pop_front();
            match next {
                Some(_) => work.in_flight += 1,
                None => work.idle += 1,
            }
            next
        };
        let Some(task) = next else {
            bell.notified().await;
            work.borrow_mut().idle -= 1;
            continue;
        };
        if used_at.elapsed() > IDLE_WITHIN {
            kept = None;
        }
        let stream = match &mut kept {
            Some(stream) => stream,
            None => match Line::open(&target).await {
                Ok(stream) => kept.insert(stream),
                Err(_) => {
                    // Nothing was sent, so this was no attempt.
                    let mut work = work.borrow_mut();
                    work.in_flight -= 1;
                    work.sent.connect_failures += 1;
                    let due_us = work.now_us() + fastrand::u64(..BACKOFF_US);
                    work.later.push(Reverse(Task { due_us, tries: task.tries.saturating_add(1), ..task }));
                    continue;
                }
            },
        };
        let sent_us = {
            let work = work.borrow();
            work.write(task, &mut request);
            work.meter.sent.fetch_add(1, Ordering::Relaxed);
            work.now_us()
        };
        let mut usable = false;
        let answer = match tokio::time::timeout(ANSWER_WITHIN, exchange(stream, &request, &mut buffer)).await {
            Ok(Ok((head, body))) => {
                let body = &buffer[body];
                // 408 is said to a connection, whose other end is closed by then.
                usable = !head.close && head.status != 408;
                let final_if_refused = head.status >= 400 && json_value(body, "code").is_some();
                let accepted_at = json_value(body, "accepted_at").and_then(|at| at.parse().ok());
                Answer::Status { status: head.status, final_if_refused, accepted_at, retry_after: head.retry_after }
            }
            Ok(Err(_)) => Answer::Reset,
            Err(_) => Answer::Timeout,
        };
        if !usable {
            kept = None;
        }
        used_at = Instant::now();
        work.borrow_mut().settle(task, sent_us, answer);
    }
}

//! The world of the simulator: a broker that persists and does not say so, refuses, returns and repeats; a disk that forgets what was not
//! synced; a database whose commits nobody hears of; a process that dies at any moment. These are models, and so are the group commit, replay
//! and the rows. Numbering, circuit, beats, marks and what is said of a doubt are the real code. What must hold is not said here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fastrand::Rng;
use groundswell::domain::{Beat, CLOSE_GRACE_MS, Mark};
use groundswell::intake::{Lane, worse};
use groundswell::queue::NotSafe;

const LANES: usize = 2;
const VOTERS: u32 = 12;
/// A process that is not cut off from the database knows of a close by then.
const LEARN_MS: i64 = 500;

/// Mistakes somebody could make; each must be caught, or the simulator proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Planted {
    /// The 202 before the sync.
    SpillWithoutSync,
    /// A batch that comes twice is applied twice.
    NoDedupe,
    /// An entry goes before its confirm.
    ReleaseBeforeConfirm,
    /// The number of a batch that lies in the spill is called void.
    VoidForSpilled,
    /// The heir closes the books while it still holds batches of the dead.
    BooksClosedEarly,
    /// Whatever arrives last counts.
    LastArrivalCounts,
    /// A confirm that does not come is taken for a refusal: nothing is spilled, and phones are told that it will not count.
    TimeoutIsRefusal,
    /// A new number for a batch whose fate is unknown.
    NewNumberForUnknown,
    /// A result is called final at the close, whoever has not heard of it.
    FinalAtClose,
    /// What was accepted long after the close counts.
    LateCounts,
}

pub const ALL_PLANTED: [Planted; 10] = [
    Planted::SpillWithoutSync,
    Planted::NoDedupe,
    Planted::ReleaseBeforeConfirm,
    Planted::VoidForSpilled,
    Planted::BooksClosedEarly,
    Planted::LastArrivalCounts,
    Planted::TimeoutIsRefusal,
    Planted::NewNumberForUnknown,
    Planted::FinalAtClose,
    Planted::LateCounts,
];

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Ballot {
    pub voter: u32,
    pub revision: u32,
}

#[derive(Clone, Debug)]
struct Message {
    instance: usize,
    lane: usize,
    number: u64,
    accepted_at: i64,
    ballots: Vec<Ballot>,
    beat: Option<Beat>,
}

impl Message {
    fn beat(instance: usize, lane: usize, beat: Beat) -> Message {
        Message { instance, lane, number: 0, accepted_at: beat.clock, ballots: Vec::new(), beat: Some(beat) }
    }
}

/// A batch on its way, or what has become of it.
#[derive(Clone, Debug)]
struct Course {
    message: Message,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Numbered {
        to_spill: bool,
    },
    /// With the broker; whether it stands there only the broker knows.
    Published {
        persisted: bool,
    },
    /// Written, not synced.
    Spilling {
        of_broker: NotSafe,
        entry: u64,
    },
}

struct Entry {
    id: u64,
    message: Message,
    synced: bool,
}

/// How the broker is at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Weather {
    Fair,
    Away,
    /// Takes or does not take, and says nothing.
    Silent,
    Returning,
    Nacking,
    /// Reads nothing: what was sent before it said so hangs on the way, and comes when it reads again.
    Blocked,
}

pub struct World {
    rng: Rng,
    planted: Option<Planted>,
    now: i64,
    weather: Weather,
    disk_full: bool,
    /// The instance at work; those before it died.
    pub instance: usize,
    lanes: Vec<Lane>,
    courses: Vec<Course>,
    queues: Vec<VecDeque<Message>>,
    /// On its way to a broker that reads nothing.
    hanging: Vec<Message>,
    disk: Vec<Entry>,
    entries: u64,
    /// Instances whose books are open, as the directory knows them.
    open_books: BTreeSet<usize>,
    marks: BTreeMap<(usize, usize), Mark>,
    /// Per voter, the revision that counts.
    pub rows: BTreeMap<u32, u32>,
    /// How often each ballot was applied.
    pub received: BTreeMap<Ballot, u32>,
    revisions: BTreeMap<u32, u32>,
    /// What was called safe, and when it was accepted.
    pub safe: BTreeMap<Ballot, i64>,
    pub refused: BTreeSet<Ballot>,
    /// When the poll is closed.
    pub closed_at: i64,
    /// The process at work cannot hear of it.
    cut_off: bool,
    pub superseded: u64,
    pub late: BTreeSet<Ballot>,
    /// The rows of a result that was called final.
    pub published: Option<BTreeMap<u32, u32>>,
}

impl World {
    pub fn new(seed: u64, planted: Option<Planted>) -> World {
        let mut rng = Rng::with_seed(seed);
        let (closed_at, cut_off) = (rng.i64(4_000..12_000), rng.u8(..3) == 0);
        let mut world = World {
            rng,
            planted,
            now: 1_000,
            weather: Weather::Fair,
            disk_full: false,
            instance: 0,
            lanes: Vec::new(),
            courses: Vec::new(),
            queues: (0..LANES).map(|_| VecDeque::new()).collect(),
            disk: Vec::new(),
            entries: 0,
            open_books: BTreeSet::new(),
            marks: BTreeMap::new(),
            rows: BTreeMap::new(),
            received: BTreeMap::new(),
            revisions: BTreeMap::new(),
            safe: BTreeMap::new(),
            refused: BTreeSet::new(),
            hanging: Vec::new(),
            closed_at,
            cut_off,
            superseded: 0,
            late: BTreeSet::new(),
            published: None,
        };
        world.start();
        world
    }

    fn has(&self, planted: Planted) -> bool {
        self.planted == Some(planted)
    }

    fn start(&mut self) {
        self.lanes = (0..LANES).map(|_| Lane::born(self.now - 1)).collect();
        self.open_books.insert(self.instance);
        for lane in 0..LANES {
            self.marks.insert((self.instance, lane), Mark::born(self.now - 1));
        }
    }

    fn crash(&mut self) {
        // Whoever waited hears nothing: those ballots are neither safe nor refused.
        self.courses.clear();
        // What was not synced may be there or not.
        let rng = &mut self.rng;
        self.disk.retain(|entry| entry.synced || rng.bool());
        self.disk.iter_mut().for_each(|entry| entry.synced = true);
        self.instance += 1;
        // Its connection is gone; whoever starts reads the database.
        self.lose_hanging();
        self.cut_off = false;
        self.start();
    }

    /// Something happens, whatever it is.
    pub fn step(&mut self) {
        // Clocks stand still, run, and now and then go back.
        self.now += if self.rng.u32(..50) == 0 { -self.rng.i64(0..40) } else { self.rng.i64(0..60) };
        match self.rng.u32(..100) {
            0..25 => self.accept(),
            25..55 => self.advance(),
            55..62 => self.beat(),
            62..68 => self.probe(),
            68..75 => self.replay(),
            75..94 => self.consume(),
            94..97 => {
                const ALL: [Weather; 7] =
                    [Weather::Fair, Weather::Fair, Weather::Away, Weather::Silent, Weather::Returning, Weather::Nacking, Weather::Blocked];
                let weather = ALL[self.rng.usize(..ALL.len())];
                self.change_weather(weather);
            }
            97 => self.disk_full = !self.disk_full && self.rng.bool(),
            98 => self.close_books(),
            _ => {
                if self.rng.u32(..4) == 0 {
                    self.crash();
                }
            }
        }
        self.publish_what_is_final();
    }

    /// All faults end.
    pub fn heal(&mut self) {
        self.change_weather(Weather::Fair);
        self.disk_full = false;
    }

    /// Everybody does what is theirs once.
    pub fn drain(&mut self) {
        self.now += 50;
        self.advance();
        self.probe();
        self.replay();
        for _ in 0..LANES * 2 {
            self.consume();
        }
        self.beat();
        self.close_books();
        self.publish_what_is_final();
    }

    pub fn is_at_rest(&mut self) -> bool {
        let drained = self.courses.is_empty() && self.disk.is_empty() && self.queues.iter().all(|q| q.len() <= 1) && self.open_books.len() == 1;
        drained
            && self.published.is_some()
            && self.marks.values().all(|mark| mark.missing().is_empty())
            && self.lanes.iter_mut().all(|lane| lane.circuit().is_closed())
    }

    /// What keeps it from coming to rest.
    pub fn left(&self) -> String {
        let missing: Vec<_> = self.marks.iter().map(|(key, mark)| (key, mark.missing())).filter(|(_, missing)| !missing.is_empty()).collect();
        let (courses, disk, open) = (self.courses.len(), self.disk.len(), &self.open_books);
        format!("{courses} on their way, {disk} on the disk, missing {missing:?}, open books {open:?}")
    }

    /// Everything accepted up to then is counted, as the marks say.
    pub fn settled(&self) -> i64 {
        self.marks.values().filter(|mark| !mark.ended()).map(Mark::counted_to).min().unwrap_or(0)
    }

    fn publish_what_is_final(&mut self) {
        let grace = if self.has(Planted::FinalAtClose) { 0 } else { CLOSE_GRACE_MS };
        if self.settled() > self.closed_at + grace && self.published.is_none() {
            self.published = Some(self.rows.clone());
        }
    }

    fn change_weather(&mut self, weather: Weather) {
        match weather {
            Weather::Blocked => {}
            // The connection breaks.
            Weather::Away => self.lose_hanging(),
            // It reads on: long after those batches were given up and kept elsewhere.
            _ => self.hanging.drain(..).for_each(|message| self.queues[message.lane].push_back(message)),
        }
        self.weather = weather;
    }

    /// Some of it had arrived.
    fn lose_hanging(&mut self) {
        for message in self.hanging.drain(..) {
            if self.rng.bool() {
                self.queues[message.lane].push_back(message);
            }
        }
    }

    fn accept(&mut self) {
        if self.now > self.closed_at + LEARN_MS && !self.cut_off {
            return;
        }
        let lane = self.rng.usize(..LANES);
        let ballots: Vec<Ballot> = (0..self.rng.usize(1..4))
            .map(|_| {
                let voter = self.rng.u32(..VOTERS);
                let revision = self.revisions.entry(voter).or_default();
                *revision += 1;
                Ballot { voter, revision: *revision }
            })
            .collect();
        // A confirm may be late, and then those behind do not wait for it.
        let with_broker = self.courses.iter().any(|course| course.message.lane == lane && matches!(course.stage, Stage::Published { .. }));
        self.lanes[lane].set_overdue(with_broker && self.rng.bool());
        let ticket = self.lanes[lane].begin(self.now, true);
        let message = Message { instance: self.instance, lane, number: ticket.number, accepted_at: ticket.accepted_at, ballots, beat: None };
        self.courses.push(Course { message, stage: Stage::Numbered { to_spill: ticket.to_spill } });
    }

    /// Any batch on its way goes one step further: nothing keeps them in order.
    fn advance(&mut self) {
        if self.courses.is_empty() {
            return;
        }
        let at = self.rng.usize(..self.courses.len());
        let mut course = self.courses.swap_remove(at);
        let lane = course.message.lane;
        match course.stage {
            Stage::Numbered { to_spill: true } => self.spill(course, NotSafe::Refused("away")),
            Stage::Numbered { to_spill: false } => match self.weather {
                Weather::Away | Weather::Returning => self.failed(course, NotSafe::Refused("away")),
                Weather::Blocked => {
                    self.hanging.push(course.message.clone());
                    course.stage = Stage::Published { persisted: false };
                    self.courses.push(course);
                }
                Weather::Fair | Weather::Silent | Weather::Nacking => {
                    let persisted = self.weather == Weather::Fair || self.rng.bool();
                    if persisted {
                        self.queues[lane].push_back(course.message.clone());
                    }
                    course.stage = Stage::Published { persisted };
                    self.courses.push(course);
                }
            },
            // The answer may be lost although it was fair.
            Stage::Published { persisted } => {
                if persisted && self.weather == Weather::Fair && self.rng.u32(..10) > 0 {
                    self.called_safe(&course);
                } else {
                    self.failed(course, NotSafe::Unknown("silent"));
                }
            }
            Stage::Spilling { of_broker, entry } => {
                // The sync; it may find the disk full after all.
                if self.disk_full && self.rng.bool() {
                    self.disk.retain(|e| e.id != entry);
                    self.give_up(&course, worse(of_broker, NotSafe::Refused("full")));
                    return;
                }
                if let Some(entry) = self.disk.iter_mut().find(|e| e.id == entry) {
                    entry.synced = true;
                }
                if self.has(Planted::VoidForSpilled) {
                    self.lanes[lane].give_up(course.message.number);
                }
                self.called_safe(&course);
            }
        }
    }

    fn failed(&mut self, mut course: Course, of_broker: NotSafe) {
        let (now, chance) = (self.now, self.rng.f64());
        let planted = self.planted;
        let lane = &mut self.lanes[course.message.lane];
        lane.circuit().fail(now, chance);
        if planted == Some(Planted::TimeoutIsRefusal) {
            self.give_up(&course, NotSafe::Refused("silent"));
            return;
        }
        if planted == Some(Planted::NewNumberForUnknown) && matches!(of_broker, NotSafe::Unknown(_)) {
            lane.give_up(course.message.number);
            course.message.number = lane.begin(now, true).number;
        }
        self.spill(course, of_broker);
    }

    fn spill(&mut self, mut course: Course, of_broker: NotSafe) {
        if self.disk_full {
            self.give_up(&course, worse(of_broker, NotSafe::Refused("full")));
            return;
        }
        self.entries += 1;
        self.disk.push(Entry { id: self.entries, message: course.message.clone(), synced: false });
        if self.has(Planted::SpillWithoutSync) {
            self.called_safe(&course);
        }
        course.stage = Stage::Spilling { of_broker, entry: self.entries };
        self.courses.push(course);
    }

    fn called_safe(&mut self, course: &Course) {
        for ballot in &course.message.ballots {
            self.safe.insert(*ballot, course.message.accepted_at);
        }
    }

    fn give_up(&mut self, course: &Course, why: NotSafe) {
        self.lanes[course.message.lane].give_up(course.message.number);
        if matches!(why, NotSafe::Refused(_)) {
            self.refused.extend(&course.message.ballots);
        }
    }

    /// Publishes what nobody waits for. True when it was confirmed; it may stand there all the same when not.
    fn publish(&mut self, message: Message) -> bool {
        let persisted = match self.weather {
            Weather::Fair => true,
            Weather::Silent | Weather::Nacking => self.rng.bool(),
            Weather::Away | Weather::Returning | Weather::Blocked => false,
        };
        if self.weather == Weather::Blocked {
            self.hanging.push(message);
        } else if persisted {
            self.queues[message.lane].push_back(message);
        }
        self.weather == Weather::Fair && self.rng.u32(..10) > 0
    }

    fn beat(&mut self) {
        for lane in 0..LANES {
            let beat = self.lanes[lane].beat(self.now, false);
            let confirmed = self.lanes[lane].circuit().is_closed() && self.publish(Message::beat(self.instance, lane, beat.clone()));
            if !confirmed {
                self.lanes[lane].beat_lost(&beat);
                // The database is told directly, if it is there: past everything that stands in the lane.
                if self.rng.bool() {
                    let mark = self.marks.get_mut(&(self.instance, lane)).expect("registered");
                    mark.sign(&Beat { void: Vec::new(), ..beat });
                }
            }
        }
    }

    fn probe(&mut self) {
        for lane in 0..LANES {
            if self.lanes[lane].circuit().take_probe(self.now) {
                let beat = self.lanes[lane].beat(self.now, false);
                let confirmed = self.publish(Message::beat(self.instance, lane, beat.clone()));
                let (now, chance) = (self.now, self.rng.f64());
                if !confirmed {
                    self.lanes[lane].beat_lost(&beat);
                }
                self.lanes[lane].circuit().probed(confirmed, now, chance);
            }
        }
    }

    fn replay(&mut self) {
        let most = self.rng.usize(1..5);
        let lanes = &mut self.lanes;
        let chunk: Vec<(u64, Message)> =
            self.disk.iter().filter(|e| e.synced && lanes[e.message.lane].circuit().is_closed()).take(most).map(|e| (e.id, e.message.clone())).collect();
        for (id, message) in chunk {
            let lane = message.lane;
            let confirmed = self.publish(message);
            // A process may die between confirm and release: it then comes once more.
            if confirmed && self.rng.u32(..8) > 0 || self.has(Planted::ReleaseBeforeConfirm) {
                self.disk.retain(|e| e.id != id);
            }
            if !confirmed {
                let (now, chance) = (self.now, self.rng.f64());
                self.lanes[lane].circuit().fail(now, chance);
            }
        }
    }

    fn close_books(&mut self) {
        for orphan in self.open_books.clone() {
            let holds = self.disk.iter().any(|e| e.message.instance == orphan);
            if orphan == self.instance || (holds && !self.has(Planted::BooksClosedEarly)) {
                continue;
            }
            let beat = Beat { clock: self.now, last: 0, void: Vec::new(), ended: true, abandoned: true };
            let heard: Vec<bool> = (0..LANES).map(|lane| self.publish(Message::beat(orphan, lane, beat.clone()))).collect();
            if heard.into_iter().all(|heard| heard) {
                self.open_books.remove(&orphan);
            }
        }
    }

    /// One transaction with the first few messages of a lane; its answer may be lost, and then they come again.
    fn consume(&mut self) {
        let lane = self.rng.usize(..LANES);
        let count = self.queues[lane].len().min(self.rng.usize(1..6));
        let taken: Vec<Message> = self.queues[lane].iter().take(count).cloned().collect();
        match self.rng.u32(..10) {
            0 => {}
            1 => taken.iter().for_each(|message| self.apply(message)),
            _ => {
                taken.iter().for_each(|message| self.apply(message));
                self.queues[lane].drain(..count);
            }
        }
    }

    fn apply(&mut self, message: &Message) {
        let planted = self.planted;
        let mark = self.marks.get_mut(&(message.instance, message.lane)).expect("registered");
        let is_new = message.number > 0 && mark.note(message.number);
        if let Some(beat) = &message.beat {
            mark.beat(beat);
        }
        if is_new || (planted == Some(Planted::NoDedupe) && message.number > 0) {
            let is_late = message.accepted_at > self.closed_at + CLOSE_GRACE_MS && planted != Some(Planted::LateCounts);
            for ballot in &message.ballots {
                *self.received.entry(*ballot).or_default() += 1;
                if is_late {
                    self.late.insert(*ballot);
                    continue;
                }
                let row = self.rows.entry(ballot.voter).or_default();
                // One of the two gives way.
                self.superseded += u64::from(*row > 0);
                if ballot.revision > *row || planted == Some(Planted::LastArrivalCounts) {
                    *row = ballot.revision;
                }
            }
        }
    }
}

//! The world of the simulator: a broker that persists and does not say so, refuses, returns and repeats; a disk that forgets what was not
//! synced; a database whose commits nobody hears of; a process that dies at any moment. These are models, and so are the group commit and the
//! voters' rows. The code that decides is the real one: who stands in line and makes up a batch (`Batcher`), numbers, beats and circuits
//! (`Lane`), what is said of a doubt (`worse`), what is replayed and whose books are closed (`Replay`), which batches are new, which ballots are
//! late, and which one of a voter counts (`domain::counting`), marks, books, and when a result is final (but for who counts as silent, which is SQL: here nobody does). What must hold is not said here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use fastrand::Rng;
use groundswell::domain::counting::{Marks, Rules, Tallies, highest_of_each, round_of, set_late_aside, take_new, take_unwritten, take_written};
use groundswell::domain::{
    Ballot, BallotId, Batch, Beat, Books, CLOSE_GRACE_MS, Collapsed, InstanceId, Mark, Picks, PollId, ResultStatus, Sign, SignedBallot, VoterId,
};
use groundswell::intake::{Batcher, LEARN_MS, Lane, Part, Replay, Replayed, worse};
use groundswell::queue::{Holding, LaneHolding, NotSafe};
use tokio::time::Instant;
use uuid::Uuid;

const LANES: u16 = 2;
const VOTERS: u32 = 12;
const POLL: PollId = PollId(1);

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
    /// Ballots are sent however long they have stood in line.
    NoLimitInLine,
    /// The successor of a dead process says in its name that it got as far as what lies here, up to now.
    SignedForTheDead,
    /// What was refused for standing in line is sent all the same.
    RefusedIsSent,
}

pub const ALL_PLANTED: [Planted; 13] = [
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
    Planted::NoLimitInLine,
    Planted::SignedForTheDead,
    Planted::RefusedIsSent,
];

/// A batch on its way, or what has become of it.
struct Course {
    batch: Batch,
    stage: Stage,
    /// Those behind it wait for it. Not any more, when it is left behind.
    is_waited_for: bool,
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

/// A row of the spill.
struct Entry {
    id: u64,
    batch: Batch,
    synced: bool,
}

/// The near end of a lane.
struct End {
    lane: Lane,
    batcher: Batcher<()>,
}

/// The row of a voter: the ballot that counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    pub revision: u32,
    ballot: BallotId,
    picks: Picks,
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
    /// As the clock on the wall says, which may be set back.
    now: i64,
    /// Milliseconds since the world began; never set back.
    since: u64,
    began: Instant,
    weather: Weather,
    disk_full: bool,
    /// How many processes died before the one at work.
    pub deaths: u128,
    ends: Vec<End>,
    replay: Replay,
    courses: Vec<Course>,
    queues: Vec<VecDeque<Batch>>,
    /// On its way to a broker that reads nothing.
    hanging: Vec<Batch>,
    disk: Vec<Entry>,
    entries: u64,
    /// As the spill keeps it: of each lane of a process that holds some.
    highest: BTreeMap<(InstanceId, u16), u64>,
    /// Instances whose books are open, as the directory knows them.
    open_books: BTreeSet<InstanceId>,
    marks: Marks,
    rules: Rules,
    /// Per voter, what counts.
    pub rows: BTreeMap<VoterId, Row>,
    pub books: Books,
    tallies: Tallies,
    /// Since somebody looked.
    pub has_applied: bool,
    /// How often each ballot was applied.
    pub received: BTreeMap<BallotId, u32>,
    revisions: BTreeMap<u32, u32>,
    /// All that were sent.
    pub sent: BTreeMap<BallotId, Ballot>,
    /// What was called safe, and when it was accepted.
    pub safe: BTreeMap<BallotId, i64>,
    pub refused: BTreeSet<BallotId>,
    /// When the poll is closed: on the wall, and since the world began.
    pub closed_at: i64,
    closed_since: Option<u64>,
    /// The process at work cannot hear of it.
    pub cut_off: bool,
    /// The clock of this world is sometimes set back.
    clock_is_set_back: bool,
    /// Processes die often here.
    restless: bool,
    /// Whoever counts is slow here.
    behind: bool,
    /// A process was cut off, or the clock set back, so that a vote may be late.
    pub may_be_late: bool,
    pub late: BTreeSet<BallotId>,
    /// The rows of a result that was called final.
    pub published: Option<BTreeMap<VoterId, Row>>,
}

impl World {
    pub fn new(seed: u64, planted: Option<Planted>) -> World {
        let mut rng = Rng::with_seed(seed);
        let (closed_at, cut_off, clock_is_set_back) = (rng.i64(4_000..12_000), rng.u8(..3) == 0, rng.bool());
        let (restless, behind) = (rng.u8(..4) == 0, rng.u8(..4) == 0);
        let mut rules = Rules::default();
        if planted != Some(Planted::LateCounts) {
            rules.closed.insert((POLL, 1), closed_at);
        }
        let mut world = World {
            rng,
            planted,
            now: 1_000,
            since: 0,
            began: Instant::now(),
            weather: Weather::Fair,
            disk_full: false,
            deaths: 0,
            ends: Vec::new(),
            replay: Replay::new(InstanceId(Uuid::nil())),
            courses: Vec::new(),
            queues: (0..LANES).map(|_| VecDeque::new()).collect(),
            hanging: Vec::new(),
            disk: Vec::new(),
            entries: 0,
            highest: BTreeMap::new(),
            open_books: BTreeSet::new(),
            marks: Marks::new(),
            rules,
            rows: BTreeMap::new(),
            books: Books::default(),
            tallies: Tallies::new(),
            has_applied: false,
            received: BTreeMap::new(),
            revisions: BTreeMap::new(),
            sent: BTreeMap::new(),
            safe: BTreeMap::new(),
            refused: BTreeSet::new(),
            closed_at,
            closed_since: None,
            cut_off,
            clock_is_set_back,
            restless,
            behind,
            may_be_late: cut_off,
            late: BTreeSet::new(),
            published: None,
        };
        world.start();
        world
    }

    fn has(&self, planted: Planted) -> bool {
        self.planted == Some(planted)
    }

    /// The instance at work.
    fn own(&self) -> InstanceId {
        InstanceId(Uuid::from_u128(self.deaths + 1))
    }

    fn instant(&self) -> Instant {
        self.began + Duration::from_millis(self.since)
    }

    fn start(&mut self) {
        let own = self.own();
        self.ends = (0..LANES).map(|_| End { lane: Lane::born(self.now - 1), batcher: Batcher::default() }).collect();
        self.replay = Replay::new(own);
        self.open_books.insert(own);
        for lane in 0..LANES {
            self.marks.insert((own, lane), Mark::born(self.now - 1));
        }
    }

    fn crash(&mut self) {
        // Whoever waited hears nothing: those ballots are neither safe nor refused.
        self.courses.clear();
        // What was not synced may be there or not.
        let rng = &mut self.rng;
        self.disk.retain(|entry| entry.synced || rng.bool());
        self.disk.iter_mut().for_each(|entry| entry.synced = true);
        // Read anew from the file.
        self.highest = BTreeMap::new();
        for Entry { batch, .. } in &self.disk {
            let highest = self.highest.entry((batch.instance, batch.lane)).or_default();
            *highest = batch.number.max(*highest);
        }
        self.deaths += 1;
        // Its connection is gone; whoever starts reads the database.
        self.lose_hanging();
        self.cut_off = false;
        self.start();
    }

    fn pass(&mut self, ms: u64) {
        self.since += ms;
        self.now += ms as i64;
        if self.closed_since.is_none() && self.now >= self.closed_at {
            self.closed_since = Some(self.since - (self.now - self.closed_at).max(0) as u64);
        }
    }

    /// Something happens, whatever it is.
    pub fn step(&mut self) {
        // Now and then everything stands still, or the clock is set back.
        let ms = if self.rng.u32(..120) == 0 { self.rng.u64(300..2_500) } else { self.rng.u64(0..60) };
        self.pass(ms);
        if self.clock_is_set_back && self.rng.u32(..50) == 0 {
            self.now -= self.rng.i64(0..40);
            self.may_be_late = true;
        }
        match self.rng.u32(..100) {
            0..25 => self.accept(),
            25..27 => self.look(),
            27..55 => self.advance(),
            55..62 => self.beat(),
            62..68 => self.probe(),
            68..75 => self.replay(),
            75..95 => {
                if !self.behind || self.rng.u32(..4) == 0 {
                    self.consume();
                }
            }
            95..97 => {
                const ALL: [Weather; 7] =
                    [Weather::Fair, Weather::Fair, Weather::Away, Weather::Silent, Weather::Returning, Weather::Nacking, Weather::Blocked];
                let weather = ALL[self.rng.usize(..ALL.len())];
                self.change_weather(weather);
            }
            97 => self.disk_full = !self.disk_full && self.rng.bool(),
            _ => {
                if self.restless || self.rng.u32(..4) == 0 {
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
        self.pass(50);
        self.advance();
        self.probe();
        self.replay();
        for _ in 0..LANES * 2 {
            self.consume();
        }
        self.beat();
        self.publish_what_is_final();
    }

    pub fn is_at_rest(&mut self) -> bool {
        let drained = self.courses.is_empty() && self.disk.is_empty() && self.queues.iter().all(|q| q.len() <= 1) && self.open_books.len() == 1;
        drained
            && self.published.is_some()
            && self.marks.values().all(|mark| mark.missing().is_empty())
            && self.ends.iter_mut().all(|end| end.lane.circuit().is_closed())
    }

    /// What keeps it from coming to rest.
    pub fn left(&self) -> String {
        let missing: Vec<_> = self.marks.iter().map(|(key, mark)| (key, mark.missing())).filter(|(_, missing)| !missing.is_empty()).collect();
        let (courses, disk, open) = (self.courses.len(), self.disk.len(), self.open_books.len());
        format!("{courses} on their way, {disk} on the disk, missing {missing:?}, the books of {open} open")
    }

    /// Everything accepted up to then is counted, as the marks say.
    pub fn settled(&self) -> i64 {
        self.marks.values().filter(|mark| !mark.ended()).map(Mark::counted_to).min().unwrap_or(0)
    }

    fn publish_what_is_final(&mut self) {
        let closed_at = self.closed_at - if self.has(Planted::FinalAtClose) { CLOSE_GRACE_MS } else { 0 };
        if self.published.is_none() && ResultStatus::of(Some(closed_at), self.settled()) == ResultStatus::Final {
            self.published = Some(self.rows.clone());
        }
    }

    fn change_weather(&mut self, weather: Weather) {
        match weather {
            Weather::Blocked => {}
            // The connection breaks.
            Weather::Away => self.lose_hanging(),
            // It reads on: long after those batches were given up and kept elsewhere.
            _ => self.hanging.drain(..).for_each(|batch| self.queues[usize::from(batch.lane)].push_back(batch)),
        }
        self.weather = weather;
    }

    /// Some of it had arrived.
    fn lose_hanging(&mut self) {
        for batch in self.hanging.drain(..) {
            if self.rng.bool() {
                self.queues[usize::from(batch.lane)].push_back(batch);
            }
        }
    }

    fn accept(&mut self) {
        let knows = self.closed_since.is_some_and(|closed| self.since >= closed + LEARN_MS as u64);
        if knows && !self.cut_off {
            return;
        }
        let lane = self.rng.u16(..LANES);
        let ballots: Vec<Ballot> = (0..self.rng.usize(1..4)).map(|_| self.ballot()).collect();
        self.sent.extend(ballots.iter().map(|ballot| (ballot.ballot, ballot.clone())));
        let part = Part { ballots, joined: self.instant(), waiting: () };
        if self.end(lane).batcher.join(part) {
            self.carry(lane);
        }
    }

    /// Of anybody, who may have voted before.
    fn ballot(&mut self) -> Ballot {
        let voter = self.rng.u32(..VOTERS);
        let revision = self.revisions.entry(voter).or_default();
        *revision += 1;
        let id = BallotId(Uuid::from_u128(u128::from(voter) << 32 | u128::from(*revision)));
        let picks = Picks::parse(["1", "2", "1,3", ""][self.rng.usize(..4)]).expect("picks");
        Ballot { poll: POLL, round: 1, voter: VoterId(Uuid::from_u128(voter.into())), ballot: id, revision: *revision, picks }
    }

    fn end(&mut self, lane: u16) -> &mut End {
        &mut self.ends[usize::from(lane)]
    }

    /// The batch before has come back, or is left behind.
    fn carry(&mut self, lane: u16) {
        let instant = self.instant();
        while let Some(mut leaving) = self.end(lane).batcher.next(instant) {
            if self.has(Planted::NoLimitInLine) {
                leaving.batch.append(&mut leaving.late);
            }
            self.refuse(&leaving.late);
            if self.has(Planted::RefusedIsSent) {
                leaving.batch.append(&mut leaving.late);
            }
            if leaving.batch.is_empty() {
                continue;
            }
            let ballots = leaving.batch.into_iter().flat_map(|part| part.ballots).collect();
            let (own, now) = (self.own(), self.now);
            let ticket = self.end(lane).lane.begin(now, true);
            let batch = Batch { instance: own, lane, number: ticket.number, accepted_at: ticket.accepted_at, ballots, beat: None };
            self.courses.push(Course { batch, stage: Stage::Numbered { to_spill: ticket.to_spill }, is_waited_for: true });
            return;
        }
    }

    fn refuse(&mut self, parts: &[Part<()>]) {
        self.refused.extend(parts.iter().flat_map(|part| &part.ballots).map(|ballot| ballot.ballot));
    }

    /// As a desk does several times a second.
    fn look(&mut self) {
        let instant = self.instant();
        for lane in 0..LANES {
            let (_, late) = self.end(lane).batcher.look(instant);
            self.refuse(&late);
        }
    }

    /// Nobody waits for a batch any more: the next one may go.
    fn is_over(&mut self, course: &Course) {
        let lane = course.batch.lane;
        if course.is_waited_for {
            self.carry(lane);
        } else {
            self.end(lane).lane.set_overdue(false);
        }
    }

    /// Any batch on its way goes one step further: nothing keeps those of several lanes, or those left behind, in order.
    fn advance(&mut self) {
        if self.courses.is_empty() {
            return;
        }
        let at = self.rng.usize(..self.courses.len());
        let mut course = self.courses.swap_remove(at);
        let lane = course.batch.lane;
        match course.stage {
            Stage::Numbered { to_spill: true } => self.spill(course, NotSafe::Refused("away")),
            Stage::Numbered { to_spill: false } => match self.weather {
                Weather::Away | Weather::Returning => self.failed(course, NotSafe::Refused("away")),
                Weather::Blocked => {
                    self.hanging.push(course.batch.clone());
                    course.stage = Stage::Published { persisted: false };
                    self.courses.push(course);
                }
                Weather::Fair | Weather::Silent | Weather::Nacking => {
                    let persisted = self.weather == Weather::Fair || self.rng.bool();
                    if persisted {
                        self.queues[usize::from(lane)].push_back(course.batch.clone());
                    }
                    course.stage = Stage::Published { persisted };
                    self.courses.push(course);
                }
            },
            // The confirm may be late, and then those behind do not wait for it.
            Stage::Published { .. } if course.is_waited_for && self.rng.u32(..4) == 0 => {
                course.is_waited_for = false;
                self.courses.push(course);
                self.end(lane).lane.set_overdue(true);
                self.carry(lane);
            }
            // The answer may be lost although it was fair.
            Stage::Published { persisted } => {
                if persisted && self.weather == Weather::Fair && self.rng.u32(..10) > 0 {
                    self.called_safe(&course);
                    self.is_over(&course);
                } else {
                    self.failed(course, NotSafe::Unknown("silent"));
                }
            }
            Stage::Spilling { of_broker, entry } => {
                // The sync; it may find the disk full after all.
                if self.disk_full && self.rng.bool() {
                    self.strike(entry);
                    self.give_up(&course, worse(of_broker, NotSafe::Refused("full")));
                    return;
                }
                if let Some(entry) = self.disk.iter_mut().find(|e| e.id == entry) {
                    entry.synced = true;
                }
                if self.has(Planted::VoidForSpilled) {
                    self.end(lane).lane.give_up(course.batch.number);
                }
                self.called_safe(&course);
                self.is_over(&course);
            }
        }
    }

    fn failed(&mut self, mut course: Course, of_broker: NotSafe) {
        let (now, chance, planted) = (self.now, self.rng.f64(), self.planted);
        let lane = &mut self.end(course.batch.lane).lane;
        lane.circuit().fail(now, chance);
        if planted == Some(Planted::TimeoutIsRefusal) {
            self.give_up(&course, NotSafe::Refused("silent"));
            return;
        }
        if planted == Some(Planted::NewNumberForUnknown) && matches!(of_broker, NotSafe::Unknown(_)) {
            lane.give_up(course.batch.number);
            course.batch.number = lane.begin(now, true).number;
        }
        self.spill(course, of_broker);
    }

    fn spill(&mut self, mut course: Course, of_broker: NotSafe) {
        if self.disk_full {
            self.give_up(&course, worse(of_broker, NotSafe::Refused("full")));
            return;
        }
        self.entries += 1;
        let Batch { instance, lane, number, .. } = course.batch;
        let highest = self.highest.entry((instance, lane)).or_default();
        *highest = number.max(*highest);
        self.disk.push(Entry { id: self.entries, batch: course.batch.clone(), synced: false });
        if self.has(Planted::SpillWithoutSync) {
            self.called_safe(&course);
        }
        course.stage = Stage::Spilling { of_broker, entry: self.entries };
        self.courses.push(course);
    }

    /// An entry leaves the disk.
    fn strike(&mut self, id: u64) {
        self.disk.retain(|entry| entry.id != id);
        let disk = &self.disk;
        self.highest.retain(|(instance, lane), _| disk.iter().any(|e| e.batch.instance == *instance && e.batch.lane == *lane));
    }

    fn called_safe(&mut self, course: &Course) {
        for ballot in &course.batch.ballots {
            self.safe.insert(ballot.ballot, course.batch.accepted_at);
        }
    }

    fn give_up(&mut self, course: &Course, why: NotSafe) {
        self.end(course.batch.lane).lane.give_up(course.batch.number);
        if matches!(why, NotSafe::Refused(_)) {
            self.refused.extend(course.batch.ballots.iter().map(|ballot| ballot.ballot));
        }
        self.is_over(course);
    }

    /// Publishes what nobody waits for. True when it was confirmed; it may stand there all the same when not.
    fn publish(&mut self, batch: Batch) -> bool {
        let persisted = match self.weather {
            Weather::Fair => true,
            Weather::Silent | Weather::Nacking => self.rng.bool(),
            Weather::Away | Weather::Returning | Weather::Blocked => false,
        };
        if self.weather == Weather::Blocked {
            self.hanging.push(batch);
        } else if persisted {
            self.queues[usize::from(batch.lane)].push_back(batch);
        }
        self.weather == Weather::Fair && self.rng.u32(..10) > 0
    }

    fn with_beat(&self, lane: u16, beat: Beat) -> Batch {
        Batch { instance: self.own(), lane, number: 0, accepted_at: beat.clock, ballots: Vec::new(), beat: Some(beat) }
    }

    fn beat(&mut self) {
        let (own, now) = (self.own(), self.now);
        for lane in 0..LANES {
            let beat = self.end(lane).lane.beat(now, false);
            let message = self.with_beat(lane, beat.clone());
            let is_closed = self.end(lane).lane.circuit().is_closed();
            let confirmed = is_closed && self.publish(message);
            if !confirmed {
                if is_closed {
                    let chance = self.rng.f64();
                    self.end(lane).lane.circuit().fail(now, chance);
                }
                self.end(lane).lane.beat_lost(&beat);
                // The database is told directly, if it is there: past everything that stands in the lane.
                if self.rng.bool() {
                    let mark = self.marks.get_mut(&(own, lane)).expect("registered");
                    mark.sign(&Sign::Beat(Beat { void: Vec::new(), ..beat }));
                }
            }
        }
        if self.rng.bool() {
            self.sign_for_the_dead();
        }
    }

    fn sign_for_the_dead(&mut self) {
        let (holding, planted, clock) = (self.holding(), self.planted, self.now);
        for (instance, lane, sign) in Replay::signs_for_the_dead(self.own(), &holding, clock) {
            let mark = self.marks.get_mut(&(instance, lane)).expect("registered");
            mark.sign(&match sign {
                Sign::Vouch { highest: last, .. } if planted == Some(Planted::SignedForTheDead) => {
                    Sign::Beat(Beat { clock, last, void: Vec::new(), ended: false, abandoned: false })
                }
                honest => honest,
            });
        }
    }

    fn probe(&mut self) {
        for lane in 0..LANES {
            let now = self.now;
            if self.end(lane).lane.circuit().take_probe(now) {
                let beat = self.end(lane).lane.beat(now, false);
                let message = self.with_beat(lane, beat.clone());
                let (confirmed, chance) = (self.publish(message), self.rng.f64());
                let lane = &mut self.end(lane).lane;
                if !confirmed {
                    lane.beat_lost(&beat);
                }
                lane.circuit().probed(confirmed, now, chance);
            }
        }
    }

    /// What the spill says of itself.
    fn holding(&self) -> Holding {
        let mut holding = Holding { batches: self.disk.len() as u64, ..Holding::default() };
        holding.by_instance.extend(self.open_books.iter().map(|instance| (*instance, 0)));
        for Entry { batch, .. } in &self.disk {
            if !self.has(Planted::BooksClosedEarly) {
                *holding.by_instance.entry(batch.instance).or_default() += 1;
            }
            let highest = self.highest[&(batch.instance, batch.lane)];
            let of_lane = holding.by_lane.entry((batch.instance, batch.lane)).or_insert(LaneHolding { batches: 0, highest });
            of_lane.batches += 1;
        }
        holding
    }

    fn replay(&mut self) {
        let open = (0..LANES).filter(|lane| !self.end(*lane).lane.circuit().is_closed()).collect();
        let Some(turn) = self.replay.turn(LANES, open, &self.holding()) else { return };
        for finished in turn.finished {
            let heard: Vec<bool> = (0..LANES).map(|lane| self.publish(Replay::last_word(finished, lane, self.now))).collect();
            if heard.into_iter().all(|heard| heard) {
                self.open_books.remove(&finished);
            }
        }
        // As many as one look into the file reads.
        let batches_max = turn.batches_max.min(self.rng.usize(1..5));
        let readable = self.disk.iter().filter(|entry| entry.synced && !turn.without.contains(&entry.batch.lane));
        let chunk: Vec<(u64, Batch)> = readable.take(batches_max).map(|entry| (entry.id, entry.batch.clone())).collect();
        let mut outcomes = Vec::new();
        for (id, batch) in chunk {
            let lane = batch.lane;
            let confirmed = self.publish(batch);
            if !confirmed {
                let (now, chance) = (self.now, self.rng.f64());
                self.end(lane).lane.circuit().fail(now, chance);
            }
            outcomes.push((id, confirmed || self.has(Planted::ReleaseBeforeConfirm)));
        }
        let Replayed { confirmed, .. } = self.replay.after(outcomes, Duration::from_millis(self.rng.u64(0..1_000)));
        // A process may die between confirm and release: what was confirmed then comes once more.
        if self.rng.u32(..8) > 0 {
            confirmed.into_iter().for_each(|id| self.strike(id));
        }
    }

    /// One transaction with the first few messages of a lane; its answer may be lost, and then they come again.
    fn consume(&mut self) {
        let lane = self.rng.usize(..usize::from(LANES));
        let count = self.queues[lane].len().min(self.rng.usize(1..6));
        let taken: Vec<Batch> = self.queues[lane].iter().take(count).cloned().collect();
        match self.rng.u32(..10) {
            0 => {}
            1 => self.apply(&taken),
            _ => {
                self.apply(&taken);
                self.queues[lane].drain(..count);
            }
        }
    }

    fn apply(&mut self, batches: &[Batch]) {
        let (mut applied, mut ballots) = take_new(batches, &mut self.marks);
        if self.has(Planted::NoDedupe) && applied.redelivered > 0 {
            ballots =
                batches.iter().flat_map(|batch| batch.ballots.iter().map(|b| SignedBallot { ballot: b.clone(), accepted_at: batch.accepted_at })).collect();
            applied.books.entry((POLL, 1)).or_default().received = ballots.len() as i64;
        }
        for ballot in &ballots {
            *self.received.entry(ballot.ballot.ballot).or_default() += 1;
        }
        let late = set_late_aside(&mut ballots, &self.rules, &mut applied);
        self.late.extend(late.into_iter().map(|late| late.ballot.ballot));
        for row in highest_of_each(ballots, &mut applied) {
            let (round, Ballot { voter, ballot, revision, picks, .. }) = (round_of(&row), row.ballot);
            let held = self.rows.get(&voter);
            let is_higher = held.is_none_or(|held| (revision, ballot) > (held.revision, held.ballot)) || self.planted == Some(Planted::LastArrivalCounts);
            if is_higher {
                take_written(round, &picks, held.map(|held| &held.picks), 1, &mut applied, &mut self.tallies);
                self.rows.insert(voter, Row { revision, ballot, picks });
            } else {
                let is_same = held.is_some_and(|held| held.ballot == ballot);
                take_unwritten(round, Collapsed { superseded: i64::from(!is_same), duplicate: i64::from(is_same) }, &mut applied);
            }
        }
        self.books.add(&applied.total());
        self.has_applied = true;
    }

    /// By how many votes the tally and the rows differ.
    pub fn doubled(&self) -> i64 {
        let mut off = self.tallies.get(&(POLL, 1)).cloned().unwrap_or_default();
        let all = self.rows.values().flat_map(|row| row.picks.iter());
        all.for_each(|pick| off.entry(pick.choice).or_default().votes -= 1);
        off.values().map(|count| count.votes.abs()).sum()
    }
}

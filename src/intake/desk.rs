//! One thread's desk: where its ballots and their waiters stand, lane by lane. A vote takes no lock here, and its waiter is told without
//! crossing to another core, all of a batch in one go. Once per turn of the event loop, what has gathered is handed over to the lane.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::batcher::is_full;
use super::figures::Refused;
use super::line::{Outcome, Receipt};
use super::{BATCH_BALLOTS_MAX, Condition, Intake, WAITING_MAX, Waiting};
use crate::domain::Ballot;
use crate::error::Error;

/// Cheap to clone; clones share the thread's desk.
#[derive(Clone)]
pub struct Desk {
    inner: Rc<Inner>,
}

struct Inner {
    intake: Intake,
    lanes: Vec<LaneDesk>,
    /// This desk's part of all who wait. Written by this thread alone: a counter shared by all would travel from core to core with each vote.
    waiting: Arc<Waiting>,
}

#[derive(Default)]
struct LaneDesk {
    /// While there is one, a task is about to hand it over.
    open: RefCell<Option<Rc<Gathering>>>,
    /// The line before this lane does not move: newcomers are refused. As of the last look.
    full: Cell<bool>,
}

/// Who wants to hear what became of a ballot, and needs no task to be woken for that: a wake-up would cost as much as writing the answer.
pub trait Listener {
    fn told(self: Rc<Self>, outcome: Result<Receipt, Error>);
}

/// Ballots of one turn, and afterwards what became of them.
#[derive(Default)]
struct Gathering {
    ballots: RefCell<Vec<Ballot>>,
    listeners: RefCell<Vec<Rc<dyn Listener>>>,
    waiters: RefCell<Vec<Waker>>,
    outcome: Cell<Option<Outcome>>,
}

/// Listeners told before other tasks of the thread get a turn; about half a millisecond.
const TOLD_AT_ONCE: usize = 64;

impl Desk {
    pub(super) fn new(intake: Intake) -> Desk {
        let lanes = (0..intake.lanes()).map(|_| LaneDesk::default()).collect();
        let waiting = intake.new_desk();
        Desk { inner: Rc::new(Inner { intake, lanes, waiting }) }
    }

    pub fn is_ready(&self) -> bool {
        self.inner.intake.could_make_safe()
    }

    /// How intake is, for people.
    pub fn condition(&self) -> Condition {
        self.inner.intake.condition()
    }

    /// May a ballot, of any process whose lanes these are, be accepted and not counted yet?
    pub fn may_hold_ballots(&self) -> bool {
        self.inner.intake.may_hold_ballots()
    }

    pub fn lanes(&self) -> u16 {
        self.inner.lanes.len() as u16
    }

    /// Joins the batch of the lane and waits until it is safe. The ballot goes on its way even if the caller is dropped.
    pub async fn accept(&self, lane: u16, ballot: Ballot) -> Result<Receipt, Error> {
        if let Err((reason, why)) = self.check_room(lane) {
            self.inner.intake.shared.figures.refuse(reason, 1);
            return Err(Error::Busy(why));
        }
        let gathering = self.join(lane, ballot);
        poll_fn(|context| match gathering.outcome.get() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                let mut waiters = gathering.waiters.borrow_mut();
                if !waiters.iter().rev().take(4).any(|w| w.will_wake(context.waker())) {
                    waiters.push(context.waker().clone());
                }
                Poll::Pending
            }
        })
        .await
        .into_result()
    }

    /// The same for a listener, who is told only if the ballot joins. If not, it is not refused yet: `accept` says why.
    pub fn accept_for(&self, lane: u16, ballot: Ballot, listener: Rc<dyn Listener>) -> Result<(), Error> {
        self.check_room(lane).map_err(|(_, why)| Error::Busy(why))?;
        self.join(lane, ballot).listeners.borrow_mut().push(listener);
        Ok(())
    }

    fn check_room(&self, lane: u16) -> Result<(), (Refused, &'static str)> {
        // At the door: behind a batch that cannot be made safe, a ballot would wait for that one's fate first.
        if !self.inner.intake.is_ready() {
            return Err((Refused::NotReady, "no vote can be made safe at the moment"));
        }
        // What stood before a line that does not move is answered first; whoever comes last is refused first, and at once.
        // It may have begun to move since the last look: only who would be refused looks again.
        if self.inner.lanes[usize::from(lane)].full.get() && self.look_at(lane).0 {
            return Err((Refused::LineFull, "the votes before this one take too long"));
        }
        // Each desk has an equal part of the room: it fills when batches stop coming back, which all desks feel alike.
        if self.inner.waiting.count() >= WAITING_MAX / self.inner.intake.desks() {
            return Err((Refused::RoomFull, "the waiting room is full"));
        }
        Ok(())
    }

    /// How long the oldest ballot of the process that is not safe yet has waited. To be asked a few times a second: it is also what decides
    /// whether newcomers may join a line, so that each vote pays for that with no more than a look into memory of its own thread.
    pub fn look(&self) -> Duration {
        let oldest = (0..self.lanes()).map(|lane| self.look_at(lane).1).max().unwrap_or_default();
        self.inner.intake.shared.figures.oldest.set(oldest.as_secs_f64());
        oldest
    }

    /// Is the lane's line full, and how long has its oldest waited?
    fn look_at(&self, lane: u16) -> (bool, Duration) {
        let (intake, desk) = (&self.inner.intake, &self.inner.lanes[usize::from(lane)]);
        let (waited, refused) = intake.line(lane).look();
        intake.shared.figures.refuse(Refused::Waited, refused);
        desk.full.set(is_full(desk.full.get(), waited));
        (desk.full.get(), waited)
    }

    fn join(&self, lane: u16, ballot: Ballot) -> Rc<Gathering> {
        let mut open = self.inner.lanes[usize::from(lane)].open.borrow_mut();
        let gathering = match &*open {
            Some(open) => open.clone(),
            None => {
                let gathering = open.insert(Rc::default()).clone();
                tokio::task::spawn_local(self.clone().hand_over(lane, gathering.clone()));
                gathering
            }
        };
        let mut ballots = gathering.ballots.borrow_mut();
        ballots.push(ballot);
        self.inner.waiting.add(1);
        if ballots.len() >= BATCH_BALLOTS_MAX {
            // A batch of its own; the next ballot begins another.
            *open = None;
        }
        drop(ballots);
        gathering
    }

    /// Runs after the requests that are ready in this turn of the event loop: they all join first.
    async fn hand_over(self, lane: u16, gathering: Rc<Gathering>) {
        tokio::task::yield_now().await;
        {
            let mut open = self.inner.lanes[usize::from(lane)].open.borrow_mut();
            open.take_if(|open| Rc::ptr_eq(open, &gathering));
        }
        let ballots = gathering.ballots.take();
        let count = ballots.len();
        let outcome = self.inner.intake.hand_over(lane, ballots).await;
        gathering.outcome.set(Some(outcome));
        self.inner.waiting.sub(count);
        gathering.waiters.take().into_iter().for_each(Waker::wake);
        for (number, listener) in gathering.listeners.take().into_iter().enumerate() {
            if number % TOLD_AT_ONCE == TOLD_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            listener.told(outcome.into_result());
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.intake.close_desk(&self.waiting);
    }
}

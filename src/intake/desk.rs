//! One thread's desk: where its ballots wait, lane by lane. Everything here stays on the thread, so a vote takes no lock and
//! its waiter is woken without crossing to another core.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};

use super::{BATCH_BALLOTS_MAX, Intake, WAITING_MAX};
use crate::domain::{Ballot, Millis};
use crate::error::Error;

/// When the batch was closed, and whether it is in the tally already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Receipt {
    pub accepted_at: Millis,
    pub counted: bool,
}

/// Batches of one lane and one thread that may be on their way at once. With one, a ballot waits up to two round trips; with many, batches
/// stay small and the broker pays for each.
const ON_THEIR_WAY_MAX: usize = 1;

/// Cheap to clone; clones share the thread's desk.
#[derive(Clone)]
pub struct Desk {
    inner: Rc<Inner>,
}

struct Inner {
    intake: Intake,
    lanes: Vec<RefCell<LaneDesk>>,
}

#[derive(Default)]
struct LaneDesk {
    open: Option<Rc<Gathering>>,
    on_their_way: usize,
    /// A task is about to close the open batch.
    closing: bool,
}

/// A batch while it forms, and afterwards what became of it.
#[derive(Default)]
struct Gathering {
    ballots: RefCell<Vec<Ballot>>,
    waiters: RefCell<Vec<Waker>>,
    outcome: Cell<Option<Outcome>>,
}

/// `Error` is not `Copy`; these are the only two it can be.
#[derive(Clone, Copy)]
enum Outcome {
    Safe(Receipt),
    Busy(&'static str),
    Unknown(&'static str),
}

impl Desk {
    pub(super) fn new(intake: Intake) -> Desk {
        let lanes = (0..intake.lanes()).map(|_| RefCell::default()).collect();
        Desk { inner: Rc::new(Inner { intake, lanes }) }
    }

    pub fn is_ready(&self) -> bool {
        self.inner.intake.is_ready()
    }

    /// Ballots of the whole process that wait to become safe.
    pub fn waiting(&self) -> usize {
        self.inner.intake.waiting()
    }

    pub fn lanes(&self) -> u16 {
        self.inner.lanes.len() as u16
    }

    /// Joins the batch of the lane and waits until it is safe. The ballot goes on its way even if the caller is dropped.
    pub async fn accept(&self, lane: u16, ballot: Ballot) -> Result<Receipt, Error> {
        // At the door: behind a batch that cannot be made safe, a ballot would wait for that one's fate first.
        if !self.inner.intake.is_ready() {
            return Err(Error::Busy("no vote can be made safe at the moment"));
        }
        let waiting = &self.inner.intake.shared.waiting;
        if waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
            waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::Busy("the waiting room is full"));
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

    fn join(&self, lane: u16, ballot: Ballot) -> Rc<Gathering> {
        let mut desk = self.inner.lanes[usize::from(lane)].borrow_mut();
        let gathering = desk.open.get_or_insert_with(Rc::default).clone();
        let full = {
            let mut ballots = gathering.ballots.borrow_mut();
            ballots.push(ballot);
            ballots.len() >= BATCH_BALLOTS_MAX
        };
        if full {
            // On its way at once, whatever else is: waiting would only make the next one wait too.
            desk.on_their_way += 1;
            desk.open = None;
            tokio::task::spawn_local(self.clone().carry(lane, gathering.clone()));
        } else if !desk.closing && desk.on_their_way < ON_THEIR_WAY_MAX {
            desk.closing = true;
            tokio::task::spawn_local(self.clone().close_when_polled(lane));
        }
        gathering
    }

    /// Runs after the requests that are ready in this turn of the event loop: they all join first.
    async fn close_when_polled(self, lane: u16) {
        tokio::task::yield_now().await;
        let next = {
            let mut desk = self.inner.lanes[usize::from(lane)].borrow_mut();
            desk.closing = false;
            let next = desk.open.take();
            desk.on_their_way += usize::from(next.is_some());
            next
        };
        if let Some(gathering) = next {
            self.carry(lane, gathering).await;
        }
    }

    /// Sends one batch and then, as long as ballots have gathered behind it, the next.
    async fn carry(self, lane: u16, mut gathering: Rc<Gathering>) {
        loop {
            let ballots = gathering.ballots.take();
            let count = ballots.len();
            let outcome = match self.inner.intake.send(lane, ballots).await {
                Ok(receipt) => Outcome::Safe(receipt),
                Err(Error::Unknown(why)) => Outcome::Unknown(why),
                Err(Error::Busy(why)) => Outcome::Busy(why),
                Err(_) => Outcome::Unknown("something went wrong on our side"),
            };
            gathering.outcome.set(Some(outcome));
            self.inner.intake.shared.waiting.fetch_sub(count, Ordering::Relaxed);
            gathering.waiters.take().into_iter().for_each(Waker::wake);
            let mut desk = self.inner.lanes[usize::from(lane)].borrow_mut();
            match desk.open.take() {
                Some(next) if desk.on_their_way <= ON_THEIR_WAY_MAX => gathering = next,
                open => {
                    desk.open = open;
                    desk.on_their_way -= 1;
                    return;
                }
            }
        }
    }
}

impl Outcome {
    fn into_result(self) -> Result<Receipt, Error> {
        match self {
            Outcome::Safe(receipt) => Ok(receipt),
            Outcome::Busy(why) => Err(Error::Busy(why)),
            Outcome::Unknown(why) => Err(Error::Unknown(why)),
        }
    }
}

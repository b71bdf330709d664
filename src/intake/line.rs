//! The line before a lane: what the desks of all threads hand over stands here until the batch before it has come back. So a lane has one batch
//! on its way at a time, whatever the number of threads: an idle system adds almost no delay, and a busy one forms large batches by itself.
//! Only a batch that the broker takes long to confirm is left behind: the disk takes the next ones meanwhile.

use std::pin::Pin;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::Intake;
use super::batcher::{Batcher, Part};
use super::figures::Refused;
use crate::domain::{Ballot, Millis};
use crate::error::Error;
use crate::queue::Spill;

/// A batch whose confirm takes longer does not hold up those behind it. Together with as long in line it stays below `FULL_AFTER`: a broker that
/// is slow costs time and disk, never a refusal.
const OVERDUE_AFTER: Duration = Duration::from_millis(500);

/// When the batch was closed, and whether it is in the tally already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Receipt {
    pub accepted_at: Millis,
    pub counted: bool,
}

/// What became of a batch. `Error` is not `Copy`; these are the only two it can be.
#[derive(Clone, Copy)]
pub(super) enum Outcome {
    Safe(Receipt),
    Busy(&'static str),
    Unknown(&'static str),
}

impl Outcome {
    pub fn into_result(self) -> Result<Receipt, Error> {
        match self {
            Outcome::Safe(receipt) => Ok(receipt),
            Outcome::Busy(why) => Err(Error::Busy(why)),
            Outcome::Unknown(why) => Err(Error::Unknown(why)),
        }
    }

    fn of(result: Result<Receipt, Error>) -> Outcome {
        match result {
            Ok(receipt) => Outcome::Safe(receipt),
            Err(Error::Busy(why)) => Outcome::Busy(why),
            Err(Error::Unknown(why)) => Outcome::Unknown(why),
            Err(_) => Outcome::Unknown("something went wrong on our side"),
        }
    }
}

/// Locked once per turn of a thread's event loop and once per batch, never per ballot.
#[derive(Default)]
pub(super) struct Line(Mutex<Batcher<oneshot::Sender<Outcome>>>);

/// Who stood in line for too long, and how many that were.
fn refuse(late: Vec<Part<oneshot::Sender<Outcome>>>) -> usize {
    let refused = late.iter().map(|part| part.ballots.len()).sum();
    tell(late.into_iter().map(|part| part.waiting), Outcome::Busy("the votes before this one take too long"));
    refused
}

impl Line {
    /// How long the oldest ballot has waited, and how many were refused because they stood here for too long.
    pub(super) fn look(&self) -> (Duration, usize) {
        let (waited, late) = self.lock().look(Instant::now());
        (waited, refuse(late))
    }

    /// None of those who stand here has a number yet, so a refusal is the truth.
    fn abandon(&self) {
        // While a panic unwinds, another one would end the process.
        let Ok(mut line) = self.0.lock() else { return };
        let parts = line.abandon();
        drop(line);
        tell(parts.map(|part| part.waiting), Outcome::Busy("something went wrong on our side"));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Batcher<oneshot::Sender<Outcome>>> {
        self.0.lock().expect("nothing panics while holding the line")
    }
}

impl Intake {
    /// Joins the lane's line and waits for what becomes of it. At most `BATCH_BALLOTS_MAX` ballots.
    pub(super) async fn hand_over(&self, lane: u16, ballots: Vec<Ballot>) -> Outcome {
        let (waiting, known) = oneshot::channel();
        let part = Part { ballots, joined: Instant::now(), waiting };
        let must_carry = self.line(lane).lock().join(part);
        if must_carry {
            // On the runtime of the process: this thread may be one of those that stop first.
            self.shared.runtime.spawn(self.clone().carry(lane));
        }
        known.await.unwrap_or(Outcome::Unknown("the server stopped"))
    }

    async fn carry(self, lane: u16) {
        let carrying = Carrying(self.line(lane));
        while let Some(leaving) = carrying.next() {
            if !leaving.late.is_empty() {
                self.shared.figures.refuse(Refused::Waited, refuse(leaving.late));
            }
            if leaving.batch.is_empty() {
                continue;
            }
            self.figures(lane).in_line.record(leaving.waited.as_secs_f64());
            let mut ballots = Vec::with_capacity(leaving.batch.iter().map(|part| part.ballots.len()).sum());
            let mut waiting = Vec::with_capacity(leaving.batch.len());
            for part in leaving.batch {
                ballots.extend(part.ballots);
                waiting.push(part.waiting);
            }
            let ticket = match self.begin(lane, ballots.len()) {
                Ok(ticket) => ticket,
                Err(why) => {
                    tell(waiting, Outcome::of(Err(why)));
                    continue;
                }
            };
            let intake = self.clone();
            let mut sending = Box::pin(async move { tell(waiting, Outcome::of(intake.send(lane, ticket, ballots).await)) });
            if ticket.to_spill || self.shared.spill.is_none() {
                sending.await;
            } else if timeout(OVERDUE_AFTER, &mut sending).await.is_err() {
                self.leave_behind(lane, sending).await;
            }
        }
        // The line is empty and knows that nobody carries; another may be carrying already.
        std::mem::forget(carrying);
    }

    /// The broker has a batch and does not answer yet: where the disk has room, those behind it go there, instead of standing in a line that
    /// the broker is too slow for. The batch itself is told when the broker confirms it, or the disk has it.
    async fn leave_behind(&self, lane: u16, sending: Pin<Box<impl Future<Output = ()> + Send + 'static>>) {
        if !self.shared.spill.as_ref().is_some_and(Spill::is_writable) {
            return sending.await;
        }
        let overdue = Overdue::new(self.clone(), lane);
        self.shared.figures.overdue.increment(1);
        self.shared.runtime.spawn(async move {
            sending.await;
            drop(overdue);
        });
    }
}

/// A thread that has stopped waits no more; its ballots are safe all the same.
fn tell(waiting: impl IntoIterator<Item = oneshot::Sender<Outcome>>, outcome: Outcome) {
    waiting.into_iter().for_each(|thread| _ = thread.send(outcome));
}

/// The confirm of a lane's batch is late, until this is dropped.
struct Overdue {
    intake: Intake,
    lane: u16,
}

impl Overdue {
    fn new(intake: Intake, lane: u16) -> Overdue {
        intake.lane(lane).set_overdue(true);
        Overdue { intake, lane }
    }
}

impl Drop for Overdue {
    fn drop(&mut self) {
        self.intake.lane(self.lane).set_overdue(false);
    }
}

/// Dropped only when the carrying breaks off: by a panic, or with the runtime.
struct Carrying<'l>(&'l Line);

impl Carrying<'_> {
    fn next(&self) -> Option<super::batcher::Leaving<oneshot::Sender<Outcome>>> {
        self.0.lock().next(Instant::now())
    }
}

impl Drop for Carrying<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::batcher::FULL_AFTER;

    #[test]
    fn a_slow_broker_fills_no_line_where_there_is_a_disk() {
        assert!(2 * OVERDUE_AFTER < FULL_AFTER);
    }
}

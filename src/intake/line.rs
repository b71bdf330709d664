//! The line before a lane: what the desks of all threads hand over stands here until the batch before it has come back. So a lane has one batch
//! on its way at a time, whatever the number of threads: an idle system adds almost no delay, and a busy one forms large batches by itself.
//! Only a batch that the broker takes long to confirm is left behind: the disk takes the next ones meanwhile.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::figures::Refused;
use super::{BATCH_BALLOTS_MAX, Intake};
use crate::domain::{Ballot, CLOSE_GRACE_MS, Millis};
use crate::error::Error;
use crate::queue::Spill;

/// How long a web process may take to learn of a close: see `store::edit::WAIT_COVERED` and the ticks of `live`.
const LEARN_MS: Millis = 500;
/// Ballots that stood in line for longer are refused instead of sent. Their poll was open when they joined; the batch is stamped when it
/// leaves, and must not turn out later than the grace after a close allows.
const IN_LINE_MAX: Duration = Duration::from_millis((CLOSE_GRACE_MS - LEARN_MS) as u64);
/// A batch whose confirm takes longer does not hold up those behind it. Together with as long in line it stays below `FULL_AFTER`: a broker that
/// is slow costs time and disk, never a refusal.
const OVERDUE_AFTER: Duration = Duration::from_millis(500);
/// Behind a ballot that has waited for this long, nobody joins: newcomers are refused at the door, at once, instead of standing in a line that
/// would refuse them later. Longer than a broker may take to confirm (1 s; then the disk takes what is in line, and the line moves).
const FULL_AFTER: Duration = Duration::from_millis(1_250);
/// Open again when the oldest has waited for less than this.
const OPEN_BELOW: Duration = Duration::from_millis(250);

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
pub(super) struct Line(Mutex<Standing>);

#[derive(Default)]
struct Standing {
    parts: VecDeque<Part>,
    /// A task carries batches to the queue, one after the other.
    carried: bool,
    /// Since when the oldest ballot of the batch on its way has waited.
    on_its_way_since: Option<Instant>,
}

/// What one thread handed over in one turn.
struct Part {
    ballots: Vec<Ballot>,
    joined: Instant,
    outcome: oneshot::Sender<Outcome>,
}

impl Part {
    fn refuse(self) {
        let _ = self.outcome.send(Outcome::Busy("the votes before this one take too long"));
    }
}

/// May somebody join? `was_full` is the last answer: a line that was full opens again only when it moves well.
pub(super) fn is_full(was_full: bool, waited: Duration) -> bool {
    waited >= if was_full { OPEN_BELOW } else { FULL_AFTER }
}

impl Line {
    /// True for the one who finds nobody carrying, and must.
    fn join(&self, part: Part) -> bool {
        let mut standing = self.lock();
        standing.parts.push_back(part);
        !std::mem::replace(&mut standing.carried, true)
    }

    /// As many parts as fit into one batch. None ends the carrying.
    fn next(&self) -> Option<Vec<Part>> {
        let mut standing = self.lock();
        let mut ballots = 0;
        let fitting = standing.parts.iter().take_while(|part| {
            ballots += part.ballots.len();
            ballots <= BATCH_BALLOTS_MAX
        });
        let count = fitting.count();
        standing.carried = count > 0;
        standing.on_its_way_since = standing.parts.front().map(|oldest| oldest.joined);
        (count > 0).then(|| standing.parts.drain(..count).collect())
    }

    /// How long the oldest ballot that is not safe yet has waited, on its way or in line (but not one left behind, for which nobody waits); and
    /// how many stood here for too long. They are refused now, rather than when the batch before them comes back: none of them has a number yet.
    pub(super) fn look(&self) -> (Duration, usize) {
        let (waited, late) = {
            let mut standing = self.lock();
            let late = standing.parts.iter().take_while(|part| part.joined.elapsed() > IN_LINE_MAX).count();
            let late: Vec<Part> = standing.parts.drain(..late).collect();
            let oldest = standing.on_its_way_since.into_iter().chain(standing.parts.front().map(|part| part.joined)).min();
            (oldest.map_or(Duration::ZERO, |since| since.elapsed()), late)
        };
        let refused = late.iter().map(|part| part.ballots.len()).sum();
        late.into_iter().for_each(Part::refuse);
        (waited, refused)
    }

    /// Nobody carries any more: who stands here would stand for ever. None of them has a number yet, so a refusal is the truth.
    fn abandon(&self) {
        // While a panic unwinds, another one would end the process.
        let Ok(mut standing) = self.0.lock() else { return };
        (standing.carried, standing.on_its_way_since) = (false, None);
        let parts = std::mem::take(&mut standing.parts);
        drop(standing);
        for part in parts {
            let _ = part.outcome.send(Outcome::Busy("something went wrong on our side"));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Standing> {
        self.0.lock().expect("nothing panics while holding the line")
    }
}

impl Intake {
    /// Joins the lane's line and waits for what becomes of it. At most `BATCH_BALLOTS_MAX` ballots.
    pub(super) async fn hand_over(&self, lane: u16, ballots: Vec<Ballot>) -> Outcome {
        let (outcome, known) = oneshot::channel();
        if self.line(lane).join(Part { ballots, joined: Instant::now(), outcome }) {
            // On the runtime of the process: this thread may be one of those that stop first.
            self.shared.runtime.spawn(self.clone().carry(lane));
        }
        known.await.unwrap_or(Outcome::Unknown("the server stopped"))
    }

    async fn carry(self, lane: u16) {
        let carrying = Carrying(self.line(lane));
        while let Some(parts) = carrying.0.next() {
            let mut ballots = Vec::with_capacity(parts.iter().map(|part| part.ballots.len()).sum());
            let mut waiting = Vec::with_capacity(parts.len());
            let oldest = parts.first().map(|part| part.joined.elapsed()).unwrap_or_default();
            for part in parts {
                if part.joined.elapsed() > IN_LINE_MAX {
                    self.shared.figures.refuse(Refused::Waited, part.ballots.len());
                    part.refuse();
                    continue;
                }
                ballots.extend(part.ballots);
                waiting.push(part.outcome);
            }
            if ballots.is_empty() {
                continue;
            }
            self.figures(lane).in_line.record(oldest.as_secs_f64());
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
fn tell(waiting: Vec<oneshot::Sender<Outcome>>, outcome: Outcome) {
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

impl Drop for Carrying<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_full_opens_only_when_it_moves_well() {
        let ms = Duration::from_millis;
        let mut full = false;
        for (waited, expected) in [(1_000, false), (1_249, false), (1_250, true), (1_000, true), (250, true), (249, false), (1_249, false)] {
            full = is_full(full, ms(waited));
            assert_eq!(full, expected, "{waited} ms");
        }
        assert!(2 * OVERDUE_AFTER < FULL_AFTER, "a slow broker fills no line where there is a disk");
        assert!(FULL_AFTER < IN_LINE_MAX, "refused at the door before anybody is refused in line");
    }
}

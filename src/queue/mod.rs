//! Lanes: single-file lines of batches, in this process or on RabbitMQ. A batch that `publish` called safe is delivered at least
//! once, in order within its lane, to exactly one consumer at a time. Beside them the spill, where batches lie that no broker takes at
//! the moment. No rules of voting, no database but the spill's own file.

mod memory;
mod rabbit;
mod spill;

pub use memory::Memory;
pub use rabbit::{Rabbit, RabbitSettings};
pub use spill::{Held, Holding, LaneHolding, Spill, SpillSettings};

use std::sync::Arc;
use std::time::Duration;

use crate::domain::Batch;
use crate::error::Result;
use crate::wire::batch::{decode, encode};

/// Why a batch is not safe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotSafe {
    /// It was never queued and never will be: say 503.
    Refused(&'static str),
    /// It may be queued or not: say 504, and never hand its number to other ballots.
    Unknown(&'static str),
}

/// What a batch that is safe already is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Safe {
    /// It stands in a durable queue.
    Queued,
    /// It is in the tally.
    Counted,
}

#[derive(Clone)]
pub enum Queue {
    Memory(Memory),
    Rabbit(Rabbit),
}

impl Queue {
    /// Resolves when the batch is durable: confirmed by the broker; or, of lanes in this process, in their journal, or committed by the tally.
    pub async fn publish(&self, batch: Arc<Batch>) -> Result<Safe, NotSafe> {
        match self {
            Queue::Memory(memory) => memory.publish(batch).await,
            Queue::Rabbit(rabbit) => rabbit.publish_message(batch.lane, &encode(&batch), rabbit::CONFIRM_TIMEOUT).await,
        }
    }

    /// The same for a message that was written down before: its bytes go as they are. Nobody waits for it, so it may take a while.
    pub async fn publish_message(&self, lane: u16, body: &[u8], patience: Duration) -> Result<Safe, NotSafe> {
        match self {
            Queue::Memory(_) => Err(NotSafe::Refused("lanes in this process need no spill")),
            Queue::Rabbit(rabbit) => rabbit.publish_message(lane, body, patience).await,
        }
    }

    /// Becomes the one consumer of these lanes, or waits in line for each that has one.
    pub fn consume(&self, lanes: Vec<u16>) -> Consumer {
        match self {
            Queue::Memory(memory) => Consumer::Memory(memory.consume(lanes)),
            Queue::Rabbit(rabbit) => Consumer::Rabbit(Box::new(rabbit.consume(lanes))),
        }
    }

    /// Could a batch be made safe now?
    pub fn is_ready(&self) -> bool {
        match self {
            Queue::Memory(memory) => memory.is_ready(),
            Queue::Rabbit(rabbit) => rabbit.is_ready(),
        }
    }

    /// May ballots be on their way to the tally? What a broker holds for all processes, nobody here can say.
    pub fn may_hold_ballots(&self) -> bool {
        match self {
            Queue::Memory(memory) => memory.holds_ballots(),
            Queue::Rabbit(_) => true,
        }
    }

    pub fn is_in_process(&self) -> bool {
        matches!(self, Queue::Memory(_))
    }

    /// Waits until a first connection stands; at once for lanes in this process.
    pub async fn until_ready(&self) {
        if let Queue::Rabbit(rabbit) = self {
            rabbit.until_ready().await;
        }
    }

    /// Whoever waits hears that the fate of its batch is unknown. What is in a journal stays held, and safe.
    pub fn give_up(&self) {
        if let Queue::Memory(memory) = self {
            memory.give_up();
        }
    }

    /// Publishes nothing more. What is queued stays queued.
    pub async fn close(&self) {
        match self {
            Queue::Memory(memory) => memory.close(),
            Queue::Rabbit(rabbit) => rabbit.close().await,
        }
    }
}

/// Where a batch is safe from its publishing until it is acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeptBy {
    Nobody,
    Journal,
    Broker,
}

pub enum Consumer {
    Memory(memory::Consumer),
    Rabbit(Box<rabbit::Consumer>),
}

impl Consumer {
    /// Waits for at least one delivery and takes what is there, one of each lane in turn and each lane in its order, up to about
    /// `ballots_max` ballots.
    /// `None` once the queue is closed and empty.
    pub async fn take(&mut self, ballots_max: usize) -> Option<Taken> {
        match self {
            Consumer::Memory(consumer) => consumer.take(ballots_max).await.map(Taken::Memory),
            Consumer::Rabbit(consumer) => consumer.take(ballots_max).await.map(Taken::Rabbit),
        }
    }

    /// Batches that wait to be taken, as far as this consumer knows.
    pub fn waiting(&self) -> u64 {
        match self {
            Consumer::Memory(consumer) => consumer.waiting(),
            Consumer::Rabbit(consumer) => consumer.waiting(),
        }
    }

    /// Who keeps what lies in these lanes. Where it is somebody, nobody waits for it to be taken.
    pub fn kept_by(&self) -> KeptBy {
        match self {
            Consumer::Memory(consumer) if consumer.has_journal() => KeptBy::Journal,
            Consumer::Memory(_) => KeptBy::Nobody,
            Consumer::Rabbit(_) => KeptBy::Broker,
        }
    }

    /// Says whether what is taken can be dealt with. In process and without a journal, a batch is safe only then, so nothing more is accepted
    /// meanwhile; a broker and a journal keep what they have.
    pub fn set_stuck(&self, stuck: bool) {
        if let Consumer::Memory(consumer) = self {
            consumer.set_stuck(stuck);
        }
    }

    /// Gives the lanes back. What was taken and not acknowledged is delivered again, to whoever is next.
    pub async fn close(self) {
        match self {
            Consumer::Memory(consumer) => drop(consumer),
            Consumer::Rabbit(consumer) => consumer.close().await,
        }
    }
}

/// What a consumer took. It stays the consumer's until acknowledged: dropped without, it is delivered again.
pub enum Taken {
    Memory(memory::Taken),
    Rabbit(rabbit::Taken),
}

impl Taken {
    pub fn deliveries(&self) -> &[Delivery] {
        match self {
            Taken::Memory(taken) => taken.deliveries(),
            Taken::Rabbit(taken) => taken.deliveries(),
        }
    }

    #[cfg(feature = "planted")]
    pub async fn acked_if_planted(mut self) -> Taken {
        if crate::planted::is(crate::planted::Planted::AckBeforeCommit) {
            match &mut self {
                Taken::Memory(taken) => {
                    taken.ack_all();
                    // A commit on a quick disk is over before anybody can kill anything.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Taken::Rabbit(taken) => taken.ack_all().await,
            }
        }
        self
    }

    /// All of it is dealt with. Failing to say so is no loss: it comes again and is skipped by its number.
    pub async fn ack(self) {
        match self {
            Taken::Memory(taken) => taken.ack(),
            Taken::Rabbit(taken) => taken.ack().await,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Delivery {
    pub lane: u16,
    pub redelivered: bool,
    pub content: Content,
}

#[derive(Clone, Debug)]
pub enum Content {
    Batch(Arc<Batch>),
    /// Nobody can read it.
    Poison {
        reason: String,
        body: Vec<u8>,
    },
}

impl Content {
    /// What a message says that lay in this lane.
    fn of(lane: u16, body: Vec<u8>) -> Content {
        match decode(&body) {
            Ok(batch) if batch.lane == lane => Content::Batch(Arc::new(batch)),
            Ok(_) => Content::Poison { reason: "a batch of another lane".into(), body },
            Err(error) => Content::Poison { reason: error.to_string(), body },
        }
    }
}

impl Delivery {
    pub fn ballots(&self) -> usize {
        match &self.content {
            Content::Batch(batch) => batch.ballots.len(),
            Content::Poison { .. } => 0,
        }
    }
}

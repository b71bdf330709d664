//! The consuming side: some lanes on a connection of their own, taken lane by lane in turn and acknowledged once they are counted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::SelectAll;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::{BACKOFF_FIRST, BACKOFF_MAX, Broker, NotSetUp, declare_lanes, farewell, jittered, set_up};
use crate::queue::{Content, Delivery};

/// Messages a lane may have in a worker's hands: enough to form one large statement out of small batches.
const PREFETCH_MESSAGES: u16 = 64;
/// How often the broker is asked how much waits.
const DEPTH_EVERY: Duration = Duration::from_secs(1);
/// RabbitMQ waits so long for a quorum queue to say what it holds, and then says that it holds nothing: a 0 that took longer is none.
const NOTHING_KNOWN_AFTER: Duration = Duration::from_millis(250);

/// The consuming side of some lanes, on a connection of their own.
pub struct Consumer {
    arrivals: mpsc::Receiver<Vec<Arrival>>,
    /// What came, lane by lane: a long lane must not stand in front of the others.
    ready: Vec<(u16, VecDeque<Arrival>)>,
    /// Where the next take begins, so that the first lane does not starve the last.
    next: usize,
    queued: Arc<Queued>,
    task: AbortHandle,
}

/// Messages of each lane that lay in the broker when it was last asked.
struct Queued(Vec<(u16, AtomicU64)>);

impl Queued {
    fn set(&self, lane: u16, messages: u64) {
        let (_, queued) = self.0.iter().find(|(known, _)| *known == lane).expect("only these lanes are consumed");
        queued.store(messages, Ordering::Relaxed);
    }

    fn sum(&self) -> u64 {
        self.0.iter().map(|(_, queued)| queued.load(Ordering::Relaxed)).sum()
    }
}

/// One message, and the channel that must acknowledge it.
struct Arrival {
    lane: u16,
    channel: Arc<LaneChannel>,
    delivery: lapin::message::Delivery,
}

/// Each lane has its own channel: tags rise in the order of the lane.
struct LaneChannel {
    channel: Channel,
    /// Something of it was dropped unacknowledged. An acknowledgement speaks for all before it, so there must be none any more: the channel is
    /// closed, and everything after the last acknowledgement comes again, in order.
    given_up: AtomicBool,
}

impl Consumer {
    pub(super) fn start(broker: Arc<Broker>, lanes: Vec<u16>) -> Consumer {
        // As many as can be on their way unacknowledged, so that all of them lie here when somebody takes: the broker's limit is the limit.
        let (sender, arrivals) = mpsc::channel(usize::from(PREFETCH_MESSAGES) * lanes.len().max(1));
        let queued = Arc::new(Queued(lanes.iter().map(|lane| (*lane, AtomicU64::new(0))).collect()));
        let ready = lanes.iter().map(|lane| (*lane, VecDeque::new())).collect();
        let task = tokio::spawn(consume_forever(broker, lanes, sender, queued.clone()));
        Consumer { arrivals, ready, next: 0, queued, task: task.abort_handle() }
    }

    pub(in crate::queue) async fn take(&mut self, ballots_max: usize) -> Option<Taken> {
        loop {
            // What came in the meantime goes into the same statement.
            while let Ok(more) = self.arrivals.try_recv() {
                self.sort_in(more);
            }
            for (_, lane) in &mut self.ready {
                lane.retain(|arrival| !arrival.channel.given_up.load(Ordering::Relaxed));
            }
            if self.ready.iter().any(|(_, lane)| !lane.is_empty()) {
                break;
            }
            let more = self.arrivals.recv().await?;
            self.sort_in(more);
        }
        let mut taken = Taken { deliveries: Vec::new(), last: Vec::new() };
        let mut ballots = 0;
        // One message of each lane in turn.
        while ballots < ballots_max && self.ready.iter().any(|(_, lane)| !lane.is_empty()) {
            self.next = (self.next + 1) % self.ready.len();
            if let Some(Arrival { lane, channel, delivery }) = self.ready[self.next].1.pop_front() {
                let tag = delivery.delivery_tag;
                let redelivered = delivery.redelivered;
                let delivery = Delivery { lane, redelivered, content: Content::of(lane, delivery.data) };
                ballots += delivery.ballots();
                taken.deliveries.push(delivery);
                match taken.last.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &channel)) {
                    Some((_, last)) => *last = (*last).max(tag),
                    None => taken.last.push((channel, tag)),
                }
            }
        }
        Some(taken)
    }

    fn sort_in(&mut self, arrivals: Vec<Arrival>) {
        for arrival in arrivals {
            let lane = self.ready.iter_mut().find(|(lane, _)| *lane == arrival.lane).expect("only these lanes are consumed");
            lane.1.push_back(arrival);
        }
    }

    /// Messages here and, as of a second ago, in the broker.
    pub(in crate::queue) fn waiting(&self) -> u64 {
        let here: usize = self.ready.iter().map(|(_, lane)| lane.len()).sum();
        here as u64 + self.queued.sum()
    }

    pub(in crate::queue) async fn close(mut self) {
        self.task.abort();
        self.arrivals.close();
        // The connection closes with the last handle on it; what was not acknowledged is delivered again.
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub struct Taken {
    deliveries: Vec<Delivery>,
    /// Per channel the highest tag taken: one acknowledgement speaks for all before it.
    last: Vec<(Arc<LaneChannel>, u64)>,
}

impl Taken {
    pub(in crate::queue) fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }

    pub(in crate::queue) async fn ack(mut self) {
        self.ack_all().await;
    }

    pub(in crate::queue) async fn ack_all(&mut self) {
        for (lane, tag) in std::mem::take(&mut self.last) {
            if lane.given_up.load(Ordering::Relaxed) {
                continue;
            }
            if let Err(error) = lane.channel.basic_ack(tag, BasicAckOptions { multiple: true }).await {
                tracing::debug!(%error, "an acknowledgement was lost; the batches come again and are skipped");
            }
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        for (lane, _) in self.last.drain(..) {
            let first = !lane.given_up.swap(true, Ordering::Relaxed);
            // Without a runtime the connection goes too, which does as well.
            if let (true, Ok(runtime)) = (first, tokio::runtime::Handle::try_current()) {
                runtime.spawn(async move { lane.channel.close(200, "not counted".into()).await });
            }
        }
    }
}

/// Keeps these lanes consumed. A lane whose queue is broken takes the connection down, or never answers, and nobody says which it was:
/// so lanes that cannot be consumed together are divided, half of them on a connection each, until the broken one is alone and the
/// others are counted. They stay divided for as long as the process lives, which costs a connection for each time.
async fn consume_forever(broker: Arc<Broker>, lanes: Vec<u16>, sender: mpsc::Sender<Vec<Arrival>>, queued: Arc<Queued>) {
    let mut backoff = BACKOFF_FIRST;
    loop {
        match set_up(broker.connect("consume"), async |connection| subscribe(connection, &broker, &lanes).await).await {
            Ok((connection, consumers)) => {
                let begun = Instant::now();
                let wanted = tokio::select! {
                    wanted = hand_over(consumers, &sender) => wanted,
                    never = watch_depth(&broker, &connection, &lanes, &queued) => never,
                };
                if !wanted {
                    return;
                }
                tracing::warn!(?lanes, "the consuming connection to the broker ended");
                farewell(&connection, "rebuilding").await;
                // One that ends as soon as it is made is not made again at once for ever.
                if begun.elapsed() > BACKOFF_MAX {
                    backoff = BACKOFF_FIRST;
                }
            }
            Err(NotSetUp::Refused(why)) if lanes.len() > 1 => {
                tracing::warn!(%why, ?lanes, "lanes cannot be consumed together; trying half of them on a connection each");
                let (some, others) = lanes.split_at(lanes.len() / 2);
                let half = |lanes: &[u16]| Box::pin(consume_forever(broker.clone(), lanes.to_vec(), sender.clone(), queued.clone()));
                tokio::join!(half(some), half(others));
                return;
            }
            Err(why) => tracing::warn!(%why, ?lanes, "lanes cannot be consumed"),
        }
        sleep(jittered(backoff)).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

/// Passes deliveries on until any lane fails or ends (its queue deleted, the connection gone). False when nobody takes them any more.
async fn hand_over(lanes: Vec<(u16, Channel, lapin::Consumer)>, sender: &mpsc::Sender<Vec<Arrival>>) -> bool {
    let most = usize::from(PREFETCH_MESSAGES) * lanes.len();
    let mut merged = SelectAll::new();
    for (lane, channel, consumer) in lanes {
        let channel = Arc::new(LaneChannel { channel, given_up: AtomicBool::new(false) });
        let arrivals = consumer.map(move |delivery| delivery.ok().map(|delivery| Arrival { lane, channel: channel.clone(), delivery }));
        // `None` is the end of this lane; without it, `SelectAll` would go on quietly with the others.
        merged.push(arrivals.chain(futures_util::stream::iter([None])).boxed());
    }
    let mut chunks = merged.ready_chunks(most);
    while let Some(chunk) = chunks.next().await {
        let ended = chunk.iter().any(Option::is_none);
        let good: Vec<Arrival> = chunk.into_iter().flatten().collect();
        if !good.is_empty() && sender.send(good).await.is_err() {
            return false;
        }
        if ended {
            break;
        }
    }
    true
}

/// Asks the broker once a second how much lies in these lanes, for whoever watches a backlog shrink. Never returns; without an answer the
/// last figure stays.
async fn watch_depth(broker: &Broker, connection: &Connection, lanes: &[u16], queued: &Queued) -> bool {
    let asked = async {
        let channel = connection.create_channel().await?;
        loop {
            for lane in lanes {
                let asked = Instant::now();
                let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
                let queue = channel.queue_declare(broker.names[usize::from(*lane)].clone(), options, FieldTable::default()).await?;
                if queue.message_count() > 0 || asked.elapsed() < NOTHING_KNOWN_AFTER {
                    queued.set(*lane, u64::from(queue.message_count()));
                }
            }
            sleep(DEPTH_EVERY).await;
        }
        #[allow(unreachable_code, reason = "gives the block its type")]
        Ok::<(), lapin::Error>(())
    };
    if let Err(error) = asked.await {
        tracing::debug!(%error, "the broker does not say how much waits");
    }
    std::future::pending().await
}

/// All lanes at once: over a slow line, one after the other would take longer than anybody waits for it.
async fn subscribe(connection: &Connection, broker: &Broker, lanes: &[u16]) -> lapin::Result<Vec<(u16, Channel, lapin::Consumer)>> {
    declare_lanes(connection, broker, lanes.iter().copied()).await?;
    let each = lanes.iter().map(async |lane| {
        let channel = connection.create_channel().await?;
        channel.basic_qos(PREFETCH_MESSAGES, BasicQosOptions::default()).await?;
        let name = broker.names[usize::from(*lane)].clone();
        let consumer = channel.basic_consume(name, format!("lane-{lane:02}").into(), BasicConsumeOptions::default(), FieldTable::default()).await?;
        Ok((*lane, channel, consumer))
    });
    futures_util::future::try_join_all(each).await
}

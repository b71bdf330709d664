//! Lanes on RabbitMQ: durable quorum queues with a single active consumer, declared before the load. All of lapin is in here.
//!
//! Two connections, because a blocked connection writes nothing, acknowledgements included. lapin's own recovery is off: a
//! supervisor drops everything, reconnects with jittered backoff and declares again.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::SelectAll;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::uri::AMQPUri;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Event};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Content, Delivery, NotSafe, Safe};
use crate::error::{Error, Result};
use crate::wire::batch::kind_of;

/// A confirm that takes longer is not waited for: the batch's fate is unknown. Phones wait meanwhile.
pub(super) const CONFIRM_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection on which nothing was confirmed for this long, though something was to be, is built anew. A broker that only is slow is
/// left its connection: it would be slower still with a new one, and with everything sent twice.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// For connecting, declaring and consuming.
const SETUP_TIMEOUT: Duration = Duration::from_secs(10);
/// For closing in good order what may not answer any more.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// The broker and we notice within two of these that the other is gone.
const HEARTBEAT_S: u16 = 5;
/// Messages a lane may have in a worker's hands: enough to form one large statement out of small batches.
const PREFETCH_MESSAGES: u16 = 64;
/// How often the broker is asked how much waits.
const DEPTH_EVERY: Duration = Duration::from_secs(1);
/// A lane that holds this much refuses (reject-publish) rather than fill the broker's disk.
const LANE_BYTES_MAX: i64 = 4 << 30;
/// A batch may come back as often as it likes: once a second, this is 68 years. Coming back out of order does no harm but to one message:
/// the `abandoned` beat, which takes for never sent whatever has not gone by before it.
const DELIVERIES_MAX: i32 = i32::MAX;

#[derive(Clone, Debug)]
pub struct RabbitSettings {
    pub url: String,
    /// Queues are named `<prefix>.lane.<nn>`.
    pub prefix: String,
    pub lanes: u16,
}

impl RabbitSettings {
    fn uri(&self) -> Result<AMQPUri> {
        let mut uri: AMQPUri = self.url.parse().map_err(|why| Error::Internal(anyhow::anyhow!("AMQP_URL cannot be read: {why}")))?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_S);
        Ok(uri)
    }

    pub fn queue_name(&self, lane: u16) -> String {
        format!("{}.lane.{lane:02}", self.prefix)
    }
}

/// The publishing side. Cheap to clone.
#[derive(Clone)]
pub struct Rabbit {
    shared: Arc<Shared>,
}

struct Shared {
    settings: RabbitSettings,
    uri: AMQPUri,
    /// Names of the queues, made once: a publish borrows them.
    names: Vec<ShortString>,
    /// `None` while there is no connection to publish on, or the broker blocks it.
    line: RwLock<Option<Line>>,
    /// The same as a flag, read for every vote.
    usable: AtomicBool,
    ready: watch::Sender<bool>,
    supervisor: RwLock<Option<AbortHandle>>,
}

/// What to publish on.
#[derive(Clone)]
struct Line {
    /// One for each lane: the broker works a channel off in order, and a queue that has lost its leader stops its channel for seconds.
    channels: Arc<[Channel]>,
    /// Somebody saw it fail. Of this connection alone: the last words of an old one must not take down the new one.
    broken: Arc<Notify>,
    /// It is no longer of use, or not for now: whoever waits for a confirm waits in vain.
    lost: CancellationToken,
    /// When the broker last confirmed anything on it, in milliseconds since it was opened.
    heard: Arc<Heard>,
}

struct Heard {
    opened: Instant,
    last_ms: AtomicU64,
}

impl Heard {
    fn note(&self) {
        self.last_ms.store(self.opened.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    fn silent_for(&self) -> Duration {
        self.opened.elapsed().saturating_sub(Duration::from_millis(self.last_ms.load(Ordering::Relaxed)))
    }
}

impl Shared {
    fn set_line(&self, line: Option<Line>) {
        let usable = line.is_some();
        let before = std::mem::replace(&mut *self.line.write().expect("never poisoned"), line);
        self.usable.store(usable, Ordering::Relaxed);
        self.ready.send_replace(usable);
        if let Some(before) = before {
            before.lost.cancel();
        }
    }
}

impl Rabbit {
    /// Begins to connect, and goes on trying for as long as it takes: a server starts without its broker. A process that only counts
    /// does not publish, and needs no connection for it.
    pub fn start(settings: RabbitSettings, publishes: bool) -> Result<Rabbit> {
        let uri = settings.uri()?;
        let names = (0..settings.lanes).map(|lane| settings.queue_name(lane).into()).collect();
        let shared = Arc::new(Shared {
            settings,
            uri,
            names,
            line: RwLock::new(None),
            usable: AtomicBool::new(false),
            ready: watch::Sender::new(false),
            supervisor: RwLock::new(None),
        });
        if publishes {
            let task = tokio::spawn(supervise(shared.clone()));
            *shared.supervisor.write().expect("never poisoned") = Some(task.abort_handle());
        }
        Ok(Rabbit { shared })
    }

    pub(super) async fn publish_message(&self, lane: u16, body: &[u8], patience: Duration) -> Result<Safe, NotSafe> {
        // The lock is held for a clone of a handle, never across an await.
        let Some(Line { channels, broken, lost, heard }) = self.shared.line.read().expect("never poisoned").clone() else {
            return Err(NotSafe::Refused("the broker is away"));
        };
        let name = self.shared.names[usize::from(lane)].clone();
        let outcome = tokio::select! {
            biased;
            outcome = timeout(patience, publish_confirmed(&channels[usize::from(lane)], name, body)) => outcome,
            // Another one saw it fail, or the broker blocks it: no use in waiting for one's own timeout.
            () = lost.cancelled() => return Err(NotSafe::Unknown("the broker went away")),
        };
        if matches!(outcome, Ok(Ok(_))) {
            heard.note();
        }
        match outcome {
            Ok(Ok(Confirmation::Ack(None))) => Ok(Safe::Queued),
            // An unroutable message is returned first and then *acknowledged*: without `mandatory` it would be gone.
            Ok(Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)))) => {
                tracing::warn!(lane, "the broker returned a batch: its queue is gone; declaring again");
                broken.notify_one();
                Err(NotSafe::Refused("the queue is gone"))
            }
            // The queue is full, or the broker failed inside: on some node the batch may stand all the same.
            Ok(Ok(Confirmation::Nack(None))) => Err(NotSafe::Unknown("the broker did not take it")),
            Ok(Ok(Confirmation::NotRequested)) => Err(NotSafe::Unknown("the channel does not confirm")),
            Ok(Err(error)) => {
                tracing::warn!(%error, "publishing failed");
                broken.notify_one();
                Err(NotSafe::Unknown("the broker went away"))
            }
            Err(_) => {
                tracing::warn!(lane, "no confirm within {patience:?}");
                if heard.silent_for() >= SILENCE_MAX {
                    broken.notify_one();
                }
                Err(NotSafe::Unknown("the broker is silent"))
            }
        }
    }

    pub(super) fn consume(&self, lanes: Vec<u16>) -> Consumer {
        // As many as can be on their way unacknowledged, so that all of them lie here when somebody takes: the broker's limit is the limit.
        let (sender, arrivals) = mpsc::channel(usize::from(PREFETCH_MESSAGES) * lanes.len().max(1));
        let queued = Arc::new(AtomicU64::new(0));
        let ready = lanes.iter().map(|lane| (*lane, VecDeque::new())).collect();
        let task = tokio::spawn(consume_forever(self.shared.clone(), lanes, sender, queued.clone()));
        Consumer { arrivals, ready, next: 0, queued, task: task.abort_handle() }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.shared.usable.load(Ordering::Relaxed)
    }

    pub(super) async fn until_ready(&self) {
        let mut ready = self.shared.ready.subscribe();
        // The sender lives as long as `self`.
        let _ = ready.wait_for(|ready| *ready).await;
    }

    pub(super) async fn close(&self) {
        if let Some(task) = self.shared.supervisor.write().expect("never poisoned").take() {
            task.abort();
        }
        let line = self.shared.line.read().expect("never poisoned").clone();
        self.shared.set_line(None);
        if let Some(Line { channels, .. }) = line {
            let all = futures_util::future::join_all(channels.iter().map(|channel| channel.close(200, "stopping".into())));
            let _ = timeout(FAREWELL_TIMEOUT, all).await;
        }
    }
}

async fn publish_confirmed(channel: &Channel, queue: ShortString, body: &[u8]) -> lapin::Result<Confirmation> {
    /// `delivery_mode`: to disk. Quorum queues do so anyway; other queues an operator may put in their place do not.
    const PERSISTENT: u8 = 2;
    let kind = kind_of(body);
    let properties = BasicProperties::default().with_content_type(kind.content_type.into()).with_type(kind.name.into()).with_delivery_mode(PERSISTENT);
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    #[cfg(feature = "planted")]
    let options = BasicPublishOptions { mandatory: !crate::planted::is(crate::planted::Planted::PublishWithoutMandatory), ..options };
    // The default exchange routes by queue name: one hop, nothing to bind.
    channel.basic_publish("".into(), queue, options, body, properties).await?.await
}

/// Keeps one publishing connection alive for as long as the process runs.
async fn supervise(shared: Arc<Shared>) {
    let mut backoff = BACKOFF_FIRST;
    loop {
        match timeout(SETUP_TIMEOUT, open(&shared, "publish")).await {
            Ok(Ok((connection, channels))) => {
                backoff = BACKOFF_FIRST;
                tracing::info!("publishing to the broker");
                watch_connection(&shared, &connection, channels).await;
                // Publishes in flight fail with it, and are told "unknown".
                shared.set_line(None);
                let _ = timeout(FAREWELL_TIMEOUT, connection.close(200, "rebuilding".into())).await;
            }
            Ok(Err(error)) => tracing::warn!(%error, "the broker cannot be reached"),
            Err(_) => tracing::warn!("the broker does not answer within {SETUP_TIMEOUT:?}"),
        }
        sleep(jittered(backoff)).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

/// Lets batches be published on it, but for while the broker blocks it. Returns when the connection is no longer of use.
async fn watch_connection(shared: &Shared, connection: &Connection, channels: Arc<[Channel]>) {
    let mut events = Box::pin(connection.events_listener());
    let broken = Arc::new(Notify::new());
    let heard = Arc::new(Heard { opened: Instant::now(), last_ms: AtomicU64::new(0) });
    let line = || Some(Line { channels: channels.clone(), broken: broken.clone(), lost: CancellationToken::new(), heard: heard.clone() });
    shared.set_line(line());
    loop {
        tokio::select! {
            () = broken.notified() => return,
            event = events.next() => match event {
                Some(Event::ConnectionBlocked(why)) => {
                    tracing::warn!(why, "the broker blocks publishing");
                    // Not given up: a new connection would look usable until it has swallowed a few batches more.
                    shared.set_line(None);
                }
                Some(Event::ConnectionUnblocked) => {
                    tracing::info!("the broker takes messages again");
                    heard.note();
                    shared.set_line(line());
                }
                Some(Event::Error(error)) => {
                    tracing::warn!(%error, "the connection to the broker failed");
                    return;
                }
                Some(_) => {}
                None => return,
            },
        }
    }
}

async fn connect(shared: &Shared, purpose: &str) -> lapin::Result<Connection> {
    let properties = ConnectionProperties::default().with_connection_name(format!("groundswell {purpose}").into());
    Connection::connect_uri(shared.uri.clone(), properties).await
}

async fn open(shared: &Shared, purpose: &str) -> lapin::Result<(Connection, Arc<[Channel]>)> {
    let connection = connect(shared, purpose).await?;
    declare_lanes(&connection, &shared.settings).await?;
    let mut channels = Vec::with_capacity(usize::from(shared.settings.lanes));
    for _ in 0..shared.settings.lanes {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        channels.push(channel);
    }
    Ok((connection, channels.into()))
}

/// Declares all lanes before the load. Idempotent.
async fn declare_lanes(connection: &Connection, settings: &RabbitSettings) -> lapin::Result<()> {
    let channel = connection.create_channel().await?;
    for lane in 0..settings.lanes {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        if let Err(error) = channel.queue_declare(settings.queue_name(lane).into(), options, lane_arguments()).await {
            tracing::warn!(lane, %error, "a lane cannot be declared; was its queue made with other arguments?");
            return Err(error);
        }
    }
    let _ = channel.close(200, "declared".into()).await;
    Ok(())
}

fn lane_arguments() -> FieldTable {
    let mut arguments = FieldTable::default();
    // Only quorum queues confirm after fsync on a majority; a classic v2 queue confirms without.
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    // One consumer at a time: the line is worked off in order, and its tally rows have one writer.
    arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    // Full means refused, never dropped from the head.
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    arguments.insert("x-max-length-bytes".into(), AMQPValue::LongLongInt(LANE_BYTES_MAX));
    // 4.x drops a message after 20 redeliveries unless told otherwise. Not -1, its word for "never": 3.10 takes that without a
    // murmur and then drops every message that comes back even once.
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(DELIVERIES_MAX));
    arguments
}

fn jittered(base: Duration) -> Duration {
    base.mul_f64(0.5 + fastrand::f64())
}

/// The consuming side of some lanes, on a connection of its own.
pub struct Consumer {
    arrivals: mpsc::Receiver<Vec<Arrival>>,
    /// What came, lane by lane: a long lane must not stand in front of the others.
    ready: Vec<(u16, VecDeque<Arrival>)>,
    /// Where the next take begins, so that the first lane does not starve the last.
    next: usize,
    /// Messages that lay in the broker when it was last asked.
    queued: Arc<AtomicU64>,
    task: AbortHandle,
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
    pub(super) async fn take(&mut self, ballots_max: usize) -> Option<Taken> {
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
    pub(super) fn waiting(&self) -> u64 {
        let here: usize = self.ready.iter().map(|(_, lane)| lane.len()).sum();
        here as u64 + self.queued.load(Ordering::Relaxed)
    }

    pub(super) async fn close(mut self) {
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
    pub(super) fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }

    pub(super) async fn ack(mut self) {
        self.ack_all().await;
    }

    pub(super) async fn ack_all(&mut self) {
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

async fn consume_forever(shared: Arc<Shared>, lanes: Vec<u16>, sender: mpsc::Sender<Vec<Arrival>>, queued: Arc<AtomicU64>) {
    let mut backoff = BACKOFF_FIRST;
    loop {
        match timeout(SETUP_TIMEOUT, subscribe(&shared, &lanes)).await {
            Ok(Ok((connection, consumers))) => {
                backoff = BACKOFF_FIRST;
                let wanted = tokio::select! {
                    wanted = hand_over(consumers, &sender) => wanted,
                    never = watch_depth(&shared, &connection, &lanes, &queued) => never,
                };
                if !wanted {
                    return;
                }
                tracing::warn!("the consuming connection to the broker ended");
                let _ = timeout(FAREWELL_TIMEOUT, connection.close(200, "rebuilding".into())).await;
            }
            Ok(Err(error)) => tracing::warn!(%error, "lanes cannot be consumed"),
            Err(_) => tracing::warn!("the broker does not answer within {SETUP_TIMEOUT:?}"),
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
async fn watch_depth(shared: &Shared, connection: &Connection, lanes: &[u16], queued: &AtomicU64) -> bool {
    let asked = async {
        let channel = connection.create_channel().await?;
        loop {
            let mut messages = 0;
            for lane in lanes {
                let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
                let queue = channel.queue_declare(shared.names[usize::from(*lane)].clone(), options, FieldTable::default()).await?;
                messages += u64::from(queue.message_count());
            }
            queued.store(messages, Ordering::Relaxed);
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

async fn subscribe(shared: &Shared, lanes: &[u16]) -> lapin::Result<(Connection, Vec<(u16, Channel, lapin::Consumer)>)> {
    let connection = connect(shared, "consume").await?;
    declare_lanes(&connection, &shared.settings).await?;
    let mut consumers = Vec::with_capacity(lanes.len());
    for lane in lanes {
        let channel = connection.create_channel().await?;
        channel.basic_qos(PREFETCH_MESSAGES, BasicQosOptions::default()).await?;
        let name = shared.names[usize::from(*lane)].clone();
        let consumer = channel.basic_consume(name, format!("lane-{lane:02}").into(), BasicConsumeOptions::default(), FieldTable::default()).await?;
        consumers.push((*lane, channel, consumer));
    }
    Ok((connection, consumers))
}

//! The publishing side: one connection with a channel for each lane, and what a confirm, a return, a refusal or silence means for a batch.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, Connection, Event};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{BACKOFF_FIRST, BACKOFF_MAX, Broker, FAREWELL_TIMEOUT, declare_lanes, farewell, jittered, set_up};
use crate::queue::{NotSafe, Safe};
use crate::wire::batch::kind_of;

/// A confirm that takes longer is not waited for: the batch's fate is unknown. Phones wait meanwhile.
pub(in crate::queue) const CONFIRM_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection on which nothing was confirmed for this long, though something was to be, is built anew. A broker that only is slow is
/// left its connection: it would be slower still with a new one, and with everything sent twice.
const SILENCE_MAX: Duration = Duration::from_secs(5);

pub struct Publisher {
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

impl Publisher {
    /// Publishes nothing until it is started.
    pub fn new() -> Arc<Publisher> {
        Arc::new(Publisher { line: RwLock::new(None), usable: AtomicBool::new(false), ready: watch::Sender::new(false), supervisor: RwLock::new(None) })
    }

    pub fn start(self: &Arc<Publisher>, broker: Arc<Broker>) {
        let task = tokio::spawn(supervise(broker, self.clone()));
        *self.supervisor.write().expect("never poisoned") = Some(task.abort_handle());
    }

    pub async fn publish(&self, lane: u16, queue: ShortString, body: &[u8], patience: Duration) -> Result<Safe, NotSafe> {
        // The lock is held for a clone of a handle, never across an await.
        let Some(Line { channels, broken, lost, heard }) = self.line.read().expect("never poisoned").clone() else {
            return Err(NotSafe::Refused("the broker is away"));
        };
        let outcome = tokio::select! {
            biased;
            outcome = timeout(patience, publish_confirmed(&channels[usize::from(lane)], queue, body)) => outcome,
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

    pub fn is_ready(&self) -> bool {
        self.usable.load(Ordering::Relaxed)
    }

    pub async fn until_ready(&self) {
        let mut ready = self.ready.subscribe();
        // The sender lives as long as `self`.
        let _ = ready.wait_for(|ready| *ready).await;
    }

    pub async fn close(&self) {
        if let Some(task) = self.supervisor.write().expect("never poisoned").take() {
            task.abort();
        }
        let line = self.line.read().expect("never poisoned").clone();
        self.set_line(None);
        if let Some(Line { channels, .. }) = line {
            let all = futures_util::future::join_all(channels.iter().map(|channel| channel.close(200, "stopping".into())));
            let _ = timeout(FAREWELL_TIMEOUT, all).await;
        }
    }

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
async fn supervise(broker: Arc<Broker>, publisher: Arc<Publisher>) {
    let mut backoff = BACKOFF_FIRST;
    loop {
        match set_up(broker.connect("publish"), async |connection| open(connection, &broker).await).await {
            Ok((connection, channels)) => {
                backoff = BACKOFF_FIRST;
                tracing::info!("publishing to the broker");
                watch_connection(&publisher, &connection, channels).await;
                // Publishes in flight fail with it, and are told "unknown".
                publisher.set_line(None);
                farewell(&connection, "rebuilding").await;
            }
            Err(why) => tracing::warn!(%why, "nothing can be published"),
        }
        sleep(jittered(backoff)).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

/// Lets batches be published on it, but for while the broker blocks it. Returns when the connection is no longer of use.
async fn watch_connection(publisher: &Publisher, connection: &Connection, channels: Arc<[Channel]>) {
    let mut events = Box::pin(connection.events_listener());
    let broken = Arc::new(Notify::new());
    let heard = Arc::new(Heard { opened: Instant::now(), last_ms: AtomicU64::new(0) });
    let line = || Some(Line { channels: channels.clone(), broken: broken.clone(), lost: CancellationToken::new(), heard: heard.clone() });
    publisher.set_line(line());
    loop {
        tokio::select! {
            () = broken.notified() => return,
            event = events.next() => match event {
                Some(Event::ConnectionBlocked(why)) => {
                    tracing::warn!(why, "the broker blocks publishing");
                    // Not given up: a new connection would look usable until it has swallowed a few batches more.
                    publisher.set_line(None);
                }
                Some(Event::ConnectionUnblocked) => {
                    tracing::info!("the broker takes messages again");
                    heard.note();
                    publisher.set_line(line());
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

/// All channels at once, as over a slow line.
async fn open(connection: &Connection, broker: &Broker) -> lapin::Result<Arc<[Channel]>> {
    declare_lanes(connection, broker, 0..broker.settings.lanes).await?;
    let each = (0..broker.settings.lanes).map(async |_| {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        lapin::Result::Ok(channel)
    });
    Ok(futures_util::future::try_join_all(each).await?.into())
}

//! Lanes on RabbitMQ: durable quorum queues with a single active consumer, declared before the load. All of lapin is in here.
//!
//! Connections of their own for publishing and for consuming, because a blocked connection writes nothing, acknowledgements included. lapin's own
//! recovery is off: whoever owns a connection drops everything, reconnects with jittered backoff and declares again.

mod consume;
mod publish;

pub use consume::{Consumer, Taken};
pub(super) use publish::CONFIRM_TIMEOUT;

use std::sync::Arc;
use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties, ErrorKind};
use tokio::time::timeout;

use self::publish::Publisher;
use super::{NotSafe, Safe};
use crate::error::{Error, Result};

/// For connecting, declaring and consuming.
const SETUP_TIMEOUT: Duration = Duration::from_secs(10);
/// For closing in good order what may not answer any more.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// The broker and we notice within two of these that the other is gone.
const HEARTBEAT_S: u16 = 5;
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

/// Both sides of it. Cheap to clone.
#[derive(Clone)]
pub struct Rabbit {
    broker: Arc<Broker>,
    publisher: Arc<Publisher>,
}

impl Rabbit {
    /// Begins to connect, and goes on trying for as long as it takes: a server starts without its broker. A process that only counts
    /// does not publish, and needs no connection for it.
    pub fn start(settings: RabbitSettings, publishes: bool) -> Result<Rabbit> {
        let uri = settings.uri()?;
        let names = (0..settings.lanes).map(|lane| settings.queue_name(lane).into()).collect();
        let broker = Arc::new(Broker { settings, uri, names });
        let publisher = Publisher::new();
        if publishes {
            publisher.start(broker.clone());
        }
        Ok(Rabbit { broker, publisher })
    }

    pub(super) async fn publish_message(&self, lane: u16, body: &[u8], patience: Duration) -> Result<Safe, NotSafe> {
        self.publisher.publish(lane, self.broker.names[usize::from(lane)].clone(), body, patience).await
    }

    pub(super) fn consume(&self, lanes: Vec<u16>) -> Consumer {
        Consumer::start(self.broker.clone(), lanes)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.publisher.is_ready()
    }

    pub(super) async fn until_ready(&self) {
        self.publisher.until_ready().await;
    }

    pub(super) async fn close(&self) {
        self.publisher.close().await;
    }
}

/// Where it is and what its queues are called.
struct Broker {
    settings: RabbitSettings,
    uri: AMQPUri,
    /// Names of the queues, made once: a publish borrows them.
    names: Vec<ShortString>,
}

impl Broker {
    async fn connect(&self, purpose: &str) -> lapin::Result<Connection> {
        let properties = ConnectionProperties::default().with_connection_name(format!("groundswell {purpose}").into());
        Connection::connect_uri(self.uri.clone(), properties).await
    }
}

/// A connection with what is wanted on it, or why there is none. One that is given up is closed: as long as the broker thinks that it lives,
/// what was asked for on it may come true, and a lane has one consumer at a time.
async fn set_up<T>(
    connecting: impl Future<Output = lapin::Result<Connection>>,
    wanted: impl AsyncFnOnce(&Connection) -> lapin::Result<T>,
) -> Result<(Connection, T), NotSetUp> {
    let given_up = || format!("the broker does not answer within {SETUP_TIMEOUT:?}");
    let connection = timeout(SETUP_TIMEOUT, connecting).await.map_err(|_| NotSetUp::Away(given_up()))?.map_err(|error| NotSetUp::Away(error.to_string()))?;
    let why = match timeout(SETUP_TIMEOUT, wanted(&connection)).await {
        Ok(Ok(wanted)) => return Ok((connection, wanted)),
        Ok(Err(error)) if is_refusal(&error) => NotSetUp::Refused(error.to_string()),
        Ok(Err(error)) => NotSetUp::Away(error.to_string()),
        Err(_) => NotSetUp::Refused(given_up()),
    };
    farewell(&connection, "given up").await;
    Err(why)
}

enum NotSetUp {
    /// No broker lets us in, or it went away in between.
    Away(String),
    /// One did, and some of what was wanted it does not give, in so many words or by saying nothing.
    Refused(String),
}

/// The broker's own word on what was asked, and not that it stops or that the line broke.
fn is_refusal(error: &lapin::Error) -> bool {
    const CONNECTION_FORCED: u16 = 320;
    matches!(error.kind(), ErrorKind::ProtocolError(why) if why.get_id() != CONNECTION_FORCED)
}

impl std::fmt::Display for NotSetUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (NotSetUp::Away(why) | NotSetUp::Refused(why)) = self;
        f.write_str(why)
    }
}

async fn farewell(connection: &Connection, why: &str) {
    let _ = timeout(FAREWELL_TIMEOUT, connection.close(200, why.into())).await;
}

/// Declares lanes before the load, at once. Idempotent.
async fn declare_lanes(connection: &Connection, broker: &Broker, lanes: impl Iterator<Item = u16>) -> lapin::Result<()> {
    let channel = connection.create_channel().await?;
    let each = lanes.map(async |lane| {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(broker.names[usize::from(lane)].clone(), options, lane_arguments()).await.inspect_err(|error| {
            tracing::warn!(lane, %error, "a lane cannot be declared; was its queue made with other arguments?");
        })
    });
    futures_util::future::try_join_all(each).await?;
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

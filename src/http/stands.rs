//! Everybody who watches, thread by thread: one task for each document and thread writes to all of that document's viewers here. A viewer is a
//! socket and where it stands in a frame that all share; there is no task, timer or queue of their own. Who is slow skips to the newest.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use actix_web::web::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::limits::Place;
use super::seat::Wire;
use crate::domain::{EventId, Millis};
use crate::live::Frame;

/// Proxies close what is silent; browsers notice a dead line by it.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
/// An event, as scripts hear nothing of comments: who watches knows a dead line by its silence.
static HEARTBEAT: &[u8] = b"event: beat\ndata: 0\n\n";
/// How often it is looked who has hung up.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often those who are in the middle of a frame are offered the rest.
const REST_EVERY: Duration = Duration::from_millis(20);
/// Who takes no byte for this long, in the middle of a frame, is hung up on. So only so many old frames are held.
const STUCK_MAX: Duration = Duration::from_secs(10);
/// Other work of the thread waits no longer than this for viewers.
const SLICE_MAX: Duration = Duration::from_micros(500);
/// Viewers get at most one part in so many of the thread's time, votes the rest; but a frame at least every
const REST_OF_TIME: u32 = 60;
const PAUSE_MAX: Duration = Duration::from_millis(400);
/// What the kernel takes from us for one viewer; it doubles this for its own needs. Otherwise it takes megabytes for who does not read.
const SEND_BUFFER_BYTES: usize = 64 * 1_024;
/// On a stop all come back at once: one more millisecond for so many of them.
const RETRY_FIRST_MS: usize = 500;
const RETRY_SPREAD_MIN_MS: usize = 2_500;
const RETRY_SPREAD_MAX_MS: usize = 15_000;

/// Which document.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Topic {
    Public(EventId),
    Presenter(EventId),
}

/// All stands of one thread. Cheap to clone.
#[derive(Clone)]
pub struct Stands {
    stands: Rc<RefCell<HashMap<Topic, Rc<Stand>>>>,
    stop: CancellationToken,
}

/// Who has just had the first event.
pub struct Newcomer {
    pub place: Place,
    /// What that first event was.
    pub seen: (u64, Millis, usize),
    /// Is the body in chunks, or until the end of the connection?
    pub chunked: bool,
}

#[derive(Default)]
struct Stand {
    arrivals: RefCell<Vec<(Wire, Newcomer)>>,
    arrived: Notify,
}

impl Stands {
    pub fn new(stop: CancellationToken) -> Stands {
        Stands { stands: Rc::default(), stop }
    }

    /// From now on, the connection is written to from here.
    pub fn admit(&self, topic: Topic, frames: watch::Receiver<Arc<Frame>>, wire: Wire, newcomer: Newcomer) {
        let mut stands = self.stands.borrow_mut();
        let stand = stands.entry(topic).or_insert_with(|| {
            let stand = Rc::<Stand>::default();
            actix_web::rt::spawn(run(self.clone(), topic, stand.clone(), frames));
            stand
        });
        stand.arrivals.borrow_mut().push((wire, newcomer));
        stand.arrived.notify_one();
    }
}

/// A document's viewers on this thread, until the last has gone.
async fn run(stands: Stands, topic: Topic, stand: Rc<Stand>, mut frames: watch::Receiver<Arc<Frame>>) {
    let mut crowd = Crowd { news: News::of(&frames.borrow_and_update(), 1), ready: Vec::new(), slow: Vec::new() };
    let (mut told_at, mut looked_at, mut next_news) = (Instant::now(), Instant::now(), Instant::now());
    loop {
        let now = Instant::now();
        let rest_at = if crowd.slow.is_empty() { now + LOOK_EVERY } else { now + REST_EVERY };
        let mut wake_at = rest_at.min(looked_at + LOOK_EVERY);
        if now < next_news {
            wake_at = wake_at.min(next_news);
        }
        tokio::select! {
            biased;
            () = stands.stop.cancelled() => {
                stands.stands.borrow_mut().remove(&topic);
                return crowd.farewell(&stand.arrivals.take(), true);
            }
            changed = frames.changed(), if now >= next_news => {
                // The event is gone.
                if changed.is_err() {
                    stands.stands.borrow_mut().remove(&topic);
                    return crowd.farewell(&stand.arrivals.take(), false);
                }
                crowd.news = News::of(&frames.borrow_and_update(), crowd.news.number + 1);
                let worked = crowd.tell(false).await;
                (told_at, looked_at) = (Instant::now(), Instant::now());
                next_news = told_at + (worked * REST_OF_TIME).min(PAUSE_MAX);
            }
            () = stand.arrived.notified() => {}
            () = sleep_until(wake_at) => {}
        }
        for (wire, newcomer) in stand.arrivals.take() {
            crowd.take_in(wire, newcomer);
        }
        crowd.offer_rest();
        let now = Instant::now();
        if now >= looked_at + LOOK_EVERY {
            let heartbeat = now >= told_at + HEARTBEAT_EVERY;
            crowd.tell(heartbeat).await;
            looked_at = now;
            if heartbeat {
                told_at = now;
            }
        }
        if crowd.is_empty() && stand.arrivals.borrow().is_empty() {
            stands.stands.borrow_mut().remove(&topic);
            return;
        }
    }
}

/// The newest frame in both framings, shared by all of a stand.
struct News {
    /// Counted by the stand; what each viewer was told last is compared with it.
    number: u64,
    order: (u64, Millis, usize),
    chunk: Bytes,
    plain: Bytes,
}

impl News {
    fn of(frame: &Frame, number: u64) -> News {
        News { number, order: frame.order(), chunk: chunk(&frame.event).into(), plain: frame.event.clone() }
    }
}

struct Crowd {
    news: News,
    ready: Vec<Viewer>,
    /// In the middle of a frame that the kernel did not take whole.
    slow: Vec<Viewer>,
}

struct Viewer {
    wire: Wire,
    /// What is still to be sent of a frame that was begun.
    rest: Bytes,
    told: u64,
    stuck_since: Option<Instant>,
    chunked: bool,
    place: Place,
}

#[derive(PartialEq, Eq)]
enum Fate {
    Ready,
    Slow,
    Gone,
}

impl Crowd {
    fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.slow.is_empty()
    }

    fn take_in(&mut self, mut wire: Wire, Newcomer { place, seen, chunked }: Newcomer) {
        if settle(&mut wire).is_err() {
            return;
        }
        let told = if seen == self.news.order { self.news.number } else { 0 };
        let mut viewer = Viewer { wire, rest: Bytes::new(), told, stuck_since: None, chunked, place };
        match viewer.tell(&self.news, false) {
            Fate::Ready => self.ready.push(viewer),
            Fate::Slow => self.slow.push(viewer),
            Fate::Gone => {}
        }
    }

    /// Looks at everybody, and tells the news to whom they are new. Returns how long that took, without what other tasks did between.
    async fn tell(&mut self, heartbeat: bool) -> Duration {
        let (mut worked, mut begun) = (Duration::ZERO, Instant::now());
        let mut at = 0;
        while at < self.ready.len() {
            match self.ready[at].tell(&self.news, heartbeat) {
                Fate::Ready => at += 1,
                Fate::Slow => self.slow.push(self.ready.swap_remove(at)),
                Fate::Gone => drop(self.ready.swap_remove(at)),
            }
            if begun.elapsed() >= SLICE_MAX {
                worked += begun.elapsed();
                tokio::task::yield_now().await;
                begun = Instant::now();
            }
        }
        // After a crowd has left, its room is given back.
        if self.ready.len() < self.ready.capacity() / 4 {
            self.ready.shrink_to(self.ready.len() * 2);
        }
        worked + begun.elapsed()
    }

    /// Those in the middle of a frame get the rest of it, and then the newest: what was between, they skip.
    fn offer_rest(&mut self) {
        let mut at = 0;
        while at < self.slow.len() {
            match self.slow[at].tell(&self.news, false) {
                Fate::Slow => at += 1,
                Fate::Ready => self.ready.push(self.slow.swap_remove(at)),
                Fate::Gone => drop(self.slow.swap_remove(at)),
            }
        }
    }

    /// Ends every stream in good order. On a stop, all are told to come back, each at a time of their own.
    fn farewell(self, arrivals: &[(Wire, Newcomer)], stopping: bool) {
        let arrivals = arrivals.iter().map(|(wire, newcomer)| (wire, newcomer.chunked));
        let here = self.ready.iter().map(|viewer| (&viewer.wire, viewer.chunked));
        let spread = (self.ready.len() / 2).clamp(RETRY_SPREAD_MIN_MS, RETRY_SPREAD_MAX_MS);
        for (wire, chunked) in here.chain(arrivals) {
            let mut last = Vec::new();
            if stopping {
                let retry = format!("retry: {}\n\n", RETRY_FIRST_MS + fastrand::usize(..spread));
                last = if chunked { chunk(retry.as_bytes()) } else { retry.into_bytes() };
            }
            if chunked {
                last.extend_from_slice(b"0\r\n\r\n");
            }
            // Who cannot take it now learns it from the end of the connection.
            let _ = wire.stream.try_write(&last);
        }
    }
}

impl Viewer {
    /// Sends what is due, as far as the kernel takes it.
    fn tell(&mut self, news: &News, heartbeat: bool) -> Fate {
        if !self.place.holds() || self.has_hung_up() {
            return Fate::Gone;
        }
        let rest = std::mem::take(&mut self.rest);
        let mut fate = self.send(&rest);
        if fate == Fate::Ready && self.told != news.number {
            self.told = news.number;
            fate = self.send(if self.chunked { &news.chunk } else { &news.plain });
        } else if fate == Fate::Ready && heartbeat {
            let bytes = if self.chunked { Bytes::from(chunk(HEARTBEAT)) } else { Bytes::from_static(HEARTBEAT) };
            fate = self.send(&bytes);
        }
        fate
    }

    fn send(&mut self, bytes: &Bytes) -> Fate {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.wire.stream.try_write(&bytes[sent..]) {
                Ok(n) => (sent, self.stuck_since) = (sent + n, None),
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => {
                    self.rest = bytes.slice(sent..);
                    let since = *self.stuck_since.get_or_insert_with(Instant::now);
                    if since.elapsed() < STUCK_MAX {
                        return Fate::Slow;
                    }
                    // What the kernel still holds for them goes too.
                    let _ = self.wire.stream.set_zero_linger();
                    return Fate::Gone;
                }
                Err(_) => return Fate::Gone,
            }
        }
        Fate::Ready
    }

    /// A viewer has nothing to say but that they leave. Without news from the kernel this asks nothing of it.
    fn has_hung_up(&self) -> bool {
        let mut heard = [0; 256];
        match self.wire.stream.try_read(&mut heard) {
            Ok(0) => true,
            Ok(_) => false,
            Err(why) => why.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

/// Makes a connection fit for watching.
fn settle(wire: &mut Wire) -> io::Result<()> {
    // Frames are written whole; waiting for more would only delay their ends.
    wire.stream.set_nodelay(true)?;
    socket2::SockRef::from(&wire.stream).set_send_buffer_size(SEND_BUFFER_BYTES)?;
    // The runtime remembers whom to wake for this connection: the HTTP task, which would stay in memory for that. Nobody is.
    let nobody = &mut Context::from_waker(Waker::noop());
    let _ = wire.stream.poll_write_ready(nobody)?;
    let mut heard = [0; 256];
    while wire.stream.poll_read_ready(nobody)?.is_ready() {
        match wire.stream.try_read(&mut heard) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => {}
            Err(why) => return Err(why),
        }
    }
    Ok(())
}

/// One chunk of an HTTP/1.1 body.
fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

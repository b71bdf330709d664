//! Those who only watch: streams that stay open. A few are read to the last byte, because freshness is in what they say; of the others
//! bytes and events are counted, and nothing is kept.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::sync::{Semaphore, watch};
use tokio::task::LocalSet;

use super::checker::Counts;
use super::client::Target;
use super::http1::{Chunks, Head};
use super::line::Line;
use super::machine;
use crate::clock::now_ms;
use crate::domain::{Books, ChoiceId, Millis};

/// Viewers of whom every event is read. Parsing a document costs as much as a vote.
pub const SAMPLED: usize = 8;

/// The presenter, and of the audience some from the first that came to the last: who came first is written to first.
fn is_sampled(place: usize, audience: usize) -> bool {
    place == 0 || audience <= SAMPLED || (0..SAMPLED).any(|n| place == 1 + n * (audience - 1) / (SAMPLED - 1))
}

/// Streams being opened at one time: a crowd that comes back, not an attack.
const OPENING_AT_ONCE: usize = 256;
const OPEN_WITHIN: Duration = Duration::from_secs(30);
/// A live document of a rehearsal is a few kilobytes.
const EVENT_BYTES_MAX: usize = 1_024 * 1_024;
/// Frames kept of one sampled viewer: an hour at seven a second.
const FRAMES_MAX: usize = 25_000;

/// One document as a viewer got it.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Unix milliseconds by our clock.
    pub at: Millis,
    pub counted_through: Millis,
    pub counts: Counts,
    pub is_final: bool,
    /// In the presenter's document only.
    pub books: Option<Books>,
}

#[derive(Deserialize)]
struct Document {
    counted_through: Millis,
    polls: Vec<PollPart>,
}

#[derive(Deserialize)]
struct PollPart {
    id: String,
    results: Option<ResultsPart>,
    books: Option<BooksPart>,
}

#[derive(Deserialize)]
struct ResultsPart {
    voters: i64,
    status: String,
    choices: Vec<ChoicePart>,
}

#[derive(Deserialize)]
struct ChoicePart {
    id: String,
    votes: i64,
}

#[derive(Deserialize)]
pub(super) struct BooksPart {
    received: i64,
    counted: i64,
    superseded: i64,
    duplicate: i64,
    late: i64,
}

impl BooksPart {
    pub fn into_books(self, voters: i64) -> Books {
        Books { received: self.received, counted: self.counted, superseded: self.superseded, duplicate: self.duplicate, late: self.late, voters }
    }
}

/// Reads a live document, the public or the presenter's. `None` where the poll or its results are not in it (yet).
pub fn read_document(json: &[u8], poll: &str, at: Millis) -> Option<Frame> {
    let document: Document = serde_json::from_slice(json).ok()?;
    let part = document.polls.into_iter().find(|p| p.id == poll)?;
    let results = part.results?;
    let votes = results.choices.iter().map(|c| Some((c.id.parse::<ChoiceId>().ok()?.number, c.votes))).collect::<Option<_>>()?;
    let counts = Counts { voters: results.voters, votes };
    let books = part.books.map(|b| b.into_books(results.voters));
    Some(Frame { at, counted_through: document.counted_through, is_final: results.status == "final", counts, books })
}

/// What all viewers saw, so far.
#[derive(Default, Debug)]
pub struct Seen {
    pub open: AtomicU64,
    pub refused: AtomicU64,
    /// Streams that ended before we did.
    pub broken: AtomicU64,
    /// Heartbeats included.
    pub events: AtomicU64,
    pub bytes: AtomicU64,
}

/// The viewers, on a thread of their own.
pub struct Viewers {
    pub seen: Arc<Seen>,
    /// The newest frame of the presenter's stream, and of the sampled viewers in the audience.
    pub presenter: watch::Receiver<Option<Frame>>,
    pub audience: watch::Receiver<Option<Frame>>,
    stop: Arc<AtomicBool>,
    bell: Arc<tokio::sync::Notify>,
    thread: Option<std::thread::JoinHandle<Vec<Vec<Frame>>>>,
    /// Set when the thread runs.
    id: Arc<OnceLock<u32>>,
}

/// Also of a rehearsal that failed: nobody stays in an empty hall.
impl Drop for Viewers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.bell.notify_waiters();
    }
}

/// What to watch.
#[derive(Clone)]
pub struct Watched {
    pub target: Target,
    pub token: String,
    pub event: String,
    pub code: String,
    pub poll: String,
}

impl Viewers {
    /// Opens the presenter's stream and so many of the audience's.
    pub fn open(watched: Watched, audience: usize) -> Viewers {
        let (seen, stop, bell) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)), Arc::new(tokio::sync::Notify::new()));
        let id = Arc::new(OnceLock::new());
        let (presenters, presenter) = watch::channel(None);
        let (audiences, audience_sees) = watch::channel(None);
        let thread = std::thread::spawn({
            let (seen, stop, bell, id) = (seen.clone(), stop.clone(), bell.clone(), id.clone());
            move || {
                if let Some(own) = machine::own_thread() {
                    let _ = id.set(own);
                }
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
                LocalSet::new().block_on(&runtime, watch_all(watched, audience, seen, [presenters, audiences], stop, bell))
            }
        });
        Viewers { seen, presenter, audience: audience_sees, stop, bell, thread: Some(thread), id }
    }

    /// Processor time of the thread so far, in seconds: one core watches for all.
    pub fn cpu_s(&self) -> f64 {
        self.id.get().and_then(|id| machine::thread_cpu_s(*id)).unwrap_or(0.0)
    }

    /// Waits until everybody has come, or could not.
    pub async fn all_there(&self, audience: usize) {
        let deadline = Instant::now() + OPEN_WITHIN + Duration::from_millis(audience as u64);
        let there = || self.seen.open.load(Ordering::Relaxed) + self.seen.refused.load(Ordering::Relaxed) > audience as u64;
        while !there() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends all streams: first the frames of the presenter, then those of the sampled viewers.
    pub async fn close(mut self) -> Vec<Vec<Frame>> {
        let thread = self.thread.take().expect("closed once");
        drop(self);
        tokio::task::spawn_blocking(|| thread.join().expect("the viewers do not panic")).await.expect("it is not aborted")
    }
}

async fn watch_all(
    watched: Watched,
    audience: usize,
    seen: Arc<Seen>,
    newest: [watch::Sender<Option<Frame>>; 2],
    stop: Arc<AtomicBool>,
    bell: Arc<tokio::sync::Notify>,
) -> Vec<Vec<Frame>> {
    let door = Rc::new(Semaphore::new(OPENING_AT_ONCE));
    let newest = newest.map(Newest::of);
    let scratch = Rc::new(RefCell::new(vec![0u8; 64 * 1_024]));
    let viewer = |place: usize| {
        let (watched, seen, door, newest, scratch, bell, stop) =
            (watched.clone(), seen.clone(), door.clone(), newest.clone(), scratch.clone(), bell.clone(), stop.clone());
        async move {
            let sampled = is_sampled(place, audience);
            let mut frames =
                Frames { poll: watched.poll.clone(), kept: sampled.then(Vec::new), newest: sampled.then(|| newest[usize::from(place > 0)].clone()) };
            let ended = async {
                // Created before the look at `stop`: a bell that rings in between is heard.
                let rung = bell.notified();
                if !stop.load(Ordering::Relaxed) {
                    rung.await;
                }
            };
            tokio::select! {
                biased;
                () = ended => {}
                () = one_viewer(&watched, place == 0, &seen, &door, &scratch, &mut frames) => {}
            }
            frames.kept.unwrap_or_default()
        }
    };
    let tasks: Vec<_> = (0..=audience).map(|place| tokio::task::spawn_local(viewer(place))).collect();
    let mut sampled = Vec::new();
    for (place, task) in tasks.into_iter().enumerate() {
        let frames = task.await.expect("the viewers do not panic");
        if is_sampled(place, audience) {
            sampled.push(frames);
        }
    }
    sampled
}

/// Ends when the stream does.
async fn one_viewer(watched: &Watched, presenter: bool, seen: &Seen, door: &Semaphore, scratch: &RefCell<Vec<u8>>, frames: &mut Frames) {
    let opened = async {
        let _permit = door.acquire().await.expect("never closed");
        let Watched { target, token, event, code, .. } = watched;
        let host = &target.host;
        let request = if presenter {
            format!("GET /api/v1/events/{event}/stream HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\r\n")
        } else {
            format!("GET /api/v1/live/{code}/stream HTTP/1.1\r\nhost: {host}\r\n\r\n")
        };
        tokio::time::timeout(OPEN_WITHIN, open(target, &request, seen, scratch, frames)).await?
    };
    let opened: anyhow::Result<(Line, Decoder)> = opened.await;
    let Ok((mut stream, mut decoder)) = opened else {
        seen.refused.fetch_add(1, Ordering::Relaxed);
        return;
    };
    seen.open.fetch_add(1, Ordering::Relaxed);
    let newest = frames.newest.clone();
    newest.iter().for_each(Newest::opened);
    loop {
        let more = read_some(&mut stream, scratch, |bytes| decoder.take(bytes, seen, frames)).await;
        if !more.unwrap_or(false) {
            // What it said last is not what it would say now. The presenter's is kept: it says how far counting is at least.
            newest.iter().for_each(|newest| newest.broke(presenter));
            seen.broken.fetch_add(1, Ordering::Relaxed);
            return;
        }
    }
}

async fn open(target: &Target, request: &str, seen: &Seen, scratch: &RefCell<Vec<u8>>, frames: &mut Frames) -> anyhow::Result<(Line, Decoder)> {
    let mut stream = Line::open(target).await?;
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut head = Vec::new();
    loop {
        let more = read_some(&mut stream, scratch, |bytes| {
            head.extend_from_slice(bytes);
            Ok(())
        });
        ensure!(more.await?, "closed");
        if let Some(found) = Head::parse(&head)? {
            ensure!(found.status == 200 && found.chunked, "not a stream");
            let mut decoder = Decoder::default();
            decoder.take(&head[found.bytes..], seen, frames)?;
            return Ok((stream, decoder));
        }
        ensure!(head.len() < 16 * 1_024, "an endless head");
    }
}

/// Hands on what is there; false at the end of the stream. All viewers share one buffer: it is borrowed when something has come, never while
/// waiting.
async fn read_some(stream: &mut Line, scratch: &RefCell<Vec<u8>>, take: impl FnOnce(&[u8]) -> io::Result<()>) -> io::Result<bool> {
    let mut take = Some(take);
    poll_fn(|context| {
        let mut scratch = scratch.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch);
        ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
        let read = buffer.filled();
        if read.is_empty() {
            return Poll::Ready(Ok(false));
        }
        take.take().expect("it is ready once")(read)?;
        Poll::Ready(Ok(true))
    })
    .await
}

/// Where a viewer's stream stands between two reads.
#[derive(Default)]
struct Decoder {
    chunks: Chunks,
    text: Vec<u8>,
    /// The last byte was a line break: of those who are only counted, this is all that is kept.
    broke: bool,
}

impl Decoder {
    fn take(&mut self, bytes: &[u8], seen: &Seen, frames: &mut Frames) -> io::Result<()> {
        seen.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if frames.kept.is_none() {
            let inside = memchr::memmem::find_iter(bytes, b"\n\n").count();
            let across = usize::from(self.broke && bytes.first() == Some(&b'\n'));
            self.broke = bytes.last() == Some(&b'\n');
            seen.events.fetch_add((inside + across) as u64, Ordering::Relaxed);
            return Ok(());
        }
        self.chunks.feed(bytes, &mut self.text)?;
        while let Some(end) = memchr::memmem::find(&self.text, b"\n\n") {
            seen.events.fetch_add(1, Ordering::Relaxed);
            if let Some(data) = memchr::memmem::find(&self.text[..end], b"data: ") {
                frames.take(&self.text[data + b"data: ".len()..end]);
            }
            self.text.drain(..end + 2);
        }
        if self.text.len() > EVENT_BYTES_MAX { Err(io::Error::other("an endless event")) } else { Ok(()) }
    }
}

/// Where others see the newest frame of one or several viewers. Cheap to clone.
#[derive(Clone)]
struct Newest {
    frame: Rc<watch::Sender<Option<Frame>>>,
    open: Rc<Cell<usize>>,
}

impl Newest {
    fn of(frame: watch::Sender<Option<Frame>>) -> Newest {
        Newest { frame: Rc::new(frame), open: Rc::default() }
    }

    fn opened(&self) {
        self.open.set(self.open.get() + 1);
    }

    /// Nobody is left who would say it otherwise: it is not known any more what they see.
    fn broke(&self, stays: bool) {
        self.open.set(self.open.get() - 1);
        if self.open.get() == 0 && !stays {
            self.frame.send_replace(None);
        }
    }
}

struct Frames {
    poll: String,
    kept: Option<Vec<Frame>>,
    newest: Option<Newest>,
}

impl Frames {
    fn take(&mut self, json: &[u8]) {
        let Some(frame) = read_document(json, &self.poll, now_ms()) else { return };
        if let Some(newest) = &self.newest {
            // Of several viewers: one that is behind does not hide what another one has seen.
            newest.frame.send_if_modified(|held| {
                let is_newer = held.as_ref().is_none_or(|held| held.counted_through <= frame.counted_through);
                if is_newer {
                    *held = Some(frame.clone());
                }
                is_newer
            });
        }
        let kept = self.kept.as_mut().expect("only frames that are kept are read");
        if kept.len() == FRAMES_MAX {
            // The newest is needed for the check; the one before it is missed least.
            kept.pop();
        }
        kept.push(frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLL: &str = "00000000000z9";

    fn event(voters: i64) -> String {
        format!(
            "event: live\nid: 7\ndata: {{\"counted_through\":5,\"other\":[1],\"polls\":[{{\"id\":\"{POLL}\",\"results\":{{\"voters\":{voters},\"status\":\"final\",\"choices\":[{{\"id\":\"{POLL}-2\",\"votes\":{voters}}}]}}}}]}}\n\n"
        )
    }

    #[test]
    fn who_came_last_is_among_those_who_are_read() {
        for audience in [1, 2, 8, 9, 20, 10_000, 19_500] {
            let sampled: Vec<usize> = (0..=audience).filter(|place| is_sampled(*place, audience)).collect();
            assert_eq!(sampled.len(), 1 + audience.min(SAMPLED), "{audience}");
            assert_eq!((sampled[..2].to_vec(), sampled.last()), (vec![0, 1], Some(&audience)));
        }
    }

    #[test]
    fn what_the_audience_sees_is_known_as_long_as_one_of_those_who_are_read_is_there() {
        let (sender, seen) = watch::channel(None);
        let newest = Newest::of(sender);
        [0, 0].iter().for_each(|_| newest.opened());
        let mut frames = Frames { poll: POLL.into(), kept: Some(Vec::new()), newest: Some(newest.clone()) };
        frames.take(event(7).split_once("data: ").unwrap().1.as_bytes());
        newest.broke(false);
        assert_eq!(seen.borrow().as_ref().map(|frame| frame.counts.voters), Some(7));
        newest.broke(false);
        assert!(seen.borrow().is_none());
    }

    #[test]
    fn events_are_read_however_they_arrive_and_counted_the_same_by_both_kinds_of_viewers() {
        let text: String = [event(1), "event: beat\ndata: 0\n\n".to_owned(), event(2)].iter().map(|e| format!("{:x}\r\n{e}\r\n", e.len())).collect();
        for cut in [1, 2, 3, 7, 50, 10_000] {
            for sampled in [true, false] {
                let seen = Seen::default();
                let mut frames = Frames { poll: POLL.into(), kept: sampled.then(Vec::new), newest: None };
                let mut decoder = Decoder::default();
                text.as_bytes().chunks(cut).for_each(|part| decoder.take(part, &seen, &mut frames).unwrap());
                assert_eq!(seen.events.load(Ordering::Relaxed), 3, "cut {cut}, sampled {sampled}");
                if let Some(kept) = frames.kept {
                    assert_eq!(kept.iter().map(|f| (f.counts.voters, f.counts.votes[&2], f.is_final)).collect::<Vec<_>>(), [(1, 1, true), (2, 2, true)]);
                }
            }
        }
    }
}

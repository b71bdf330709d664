//! Where a connection is, whose turn it is on it, and how long it may take: what was heard and is nobody's yet, how far HTTP is with an answer, and
//! to whom the connection is promised. Reading and writing for HTTP is `line`'s; what a client says is understood elsewhere.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::body::BodySize;
use actix_web::rt::net::TcpStream;
use memchr::memmem;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::heads::{self, BadHead};
use super::limits::Connection;

/// What was begun and not completed for this long is given up: half a head, or a body that nobody reads any more. HTTP itself measures only
/// the first head of a connection. Who says nothing at all after connecting gets no longer.
const UNANSWERED_MAX: Duration = Duration::from_secs(10);
/// Who was told that the rest of a body is not waited for is heard out for this long, so that the answer gets there.
const HEARD_OUT_MAX: Duration = Duration::from_secs(1);
/// A connection is kept this long for the next request.
pub const KEPT_MAX: Duration = Duration::from_secs(75);
/// Read at once. A vote fits in with all that browsers and proxies add; what does not fit is left to HTTP.
const READ_BYTES: usize = 16 * 1_024;

/// A connection and its place among all of the process.
pub struct Wire {
    pub stream: TcpStream,
    _place: Connection,
}

/// Where the connection is, and whose turn it is. Handlers find it with the request.
pub struct Seat {
    wire: RefCell<Option<Wire>>,
    turn: Cell<Turn>,
    /// Read from the connection, and nobody's yet.
    ahead: RefCell<Vec<u8>>,
    promised: RefCell<Option<Promise>>,
    /// Something was written since the promise: the head is on its way.
    begun: Cell<bool>,
    /// A handler is at work; it minds the time itself.
    busy: Cell<bool>,
    /// When the first bytes came that no handler has answered.
    unanswered_since: Cell<Option<Instant>>,
    /// The answer is made piece by piece, and between two it may be us who make the client wait.
    streams: Cell<bool>,
    /// When anything was written last.
    quiet_since: Cell<Instant>,
    /// Nothing was heard yet.
    fresh: Cell<bool>,
    /// Nothing more is wanted of the client.
    given_up: Cell<bool>,
    /// What HTTP was given last began as a question for a head, and no handler has it yet.
    asks_head: Cell<bool>,
    /// An answer ended as what HTTP says by itself does: here, nobody can tell them apart any more.
    ended_alike: Cell<bool>,
    /// HTTP could not read a head, and that was said.
    refused: Cell<bool>,
}

/// Who has the word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// The client: what it says is looked at before anybody gets it.
    Client,
    /// We: a vote waits to become safe, or an answer written here to be taken.
    Ours,
    /// HTTP has a request of which `rest` bytes are still to be handed over.
    Request { rest: usize, answer: Answer },
    /// HTTP, until the connection ends: it was given what only HTTP can read.
    Http,
    /// Nobody: the last word is said, and what still comes is not read any more.
    Over,
}

/// How far HTTP is with the answer to a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    Unknown,
    /// The handler has answered; its body is so long.
    Body(u64),
    /// So many bytes are still to be written.
    Left(u64),
    /// Its body is made piece by piece. Is its head written? Has HTTP its last piece?
    Stream {
        begun: bool,
        ended: bool,
    },
}

/// A handler at work. Whatever becomes of it, the request is answered when this is dropped.
pub struct AtWork(Rc<Seat>);

type Promise = Box<dyn FnOnce(Wire)>;

thread_local! {
    /// What was just read stands here until it is known what it is: so a connection that says nothing takes no memory for it.
    static DESK: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

impl Seat {
    pub fn new(stream: TcpStream, place: Connection) -> Rc<Seat> {
        Rc::new(Seat {
            wire: RefCell::new(Some(Wire { stream, _place: place })),
            turn: Cell::new(Turn::Client),
            ahead: RefCell::default(),
            promised: RefCell::default(),
            begun: Cell::new(false),
            busy: Cell::new(false),
            unanswered_since: Cell::new(None),
            streams: Cell::new(false),
            quiet_since: Cell::new(Instant::now()),
            fresh: Cell::new(true),
            given_up: Cell::new(false),
            asks_head: Cell::new(false),
            ended_alike: Cell::new(false),
            refused: Cell::new(false),
        })
    }

    pub fn turn(&self) -> Turn {
        self.turn.get()
    }

    pub fn give_turn(&self, turn: Turn) {
        self.turn.set(turn);
    }

    pub fn at_work(self: &Rc<Seat>) -> AtWork {
        self.busy.set(true);
        self.asks_head.set(false);
        AtWork(self.clone())
    }

    /// The handler has answered. HTTP writes its head, and then a body of this size.
    pub fn answers(&self, body: BodySize) {
        self.streams.set(body == BodySize::Stream);
        if let Turn::Request { rest, .. } = self.turn.get() {
            let turn = match body {
                BodySize::None => Turn::Request { rest, answer: Answer::Body(0) },
                BodySize::Sized(bytes) => Turn::Request { rest, answer: Answer::Body(bytes) },
                BodySize::Stream => Turn::Request { rest, answer: Answer::Stream { begun: false, ended: false } },
            };
            self.turn.set(turn);
        }
    }

    /// The client was too slow; HTTP would hear it out all the same.
    pub fn give_up(&self) {
        self.given_up.set(true);
    }

    /// Was it said here that HTTP could not read a head?
    pub fn has_refused(&self) -> bool {
        self.refused.get()
    }

    /// When the client's time is over; never while it is us who make it wait.
    pub fn due(&self) -> Option<Instant> {
        if self.busy.get() || self.turn.get() == Turn::Ours {
            return None;
        }
        if self.given_up.get() {
            return Some(self.quiet_since.get() + HEARD_OUT_MAX);
        }
        // HTTP alone knows where its requests end, so half of the next one may lie there unseen, come with one that is answered by now.
        let may_have_begun = self.turn.get() == Turn::Http && !self.streams.get();
        let patience = if self.fresh.get() || may_have_begun { UNANSWERED_MAX } else { KEPT_MAX };
        Some(self.unanswered_since.get().map_or_else(|| self.quiet_since.get() + patience, |since| since + UNANSWERED_MAX))
    }

    /// Hears what the client says, and gives all of it that is here to `listener`. Nothing at all means that the client has hung up.
    pub fn hear<T>(&self, cx: &mut Context<'_>, listener: impl FnOnce(&[u8]) -> T) -> Poll<io::Result<T>> {
        let ahead = self.ahead.take();
        if !ahead.is_empty() {
            // It came with what is answered by now. Its own time begins here.
            self.hears();
            return Poll::Ready(Ok(listener(&ahead)));
        }
        DESK.with_borrow_mut(|desk| {
            let heard = ready!(self.read(cx, desk))?;
            Poll::Ready(Ok(listener(&desk[..heard])))
        })
    }

    /// Is there more to be heard already? If not, the client is listened to from now on.
    pub fn has_more(&self, cx: &mut Context<'_>) -> bool {
        !self.ahead.borrow().is_empty() || self.with_stream(|stream| stream.poll_read_ready(cx).is_ready())
    }

    /// Puts aside what came too early.
    pub fn keep(&self, bytes: &[u8]) {
        self.ahead.borrow_mut().extend_from_slice(bytes);
    }

    /// Gives these bytes to HTTP: a request of this length, or of one that only HTTP can tell.
    pub fn hand_over(&self, bytes: &[u8], length: Option<usize>) {
        self.keep(bytes);
        self.asks_head.set(bytes.starts_with(b"HEAD "));
        self.turn.set(length.map_or(Turn::Http, |rest| Turn::Request { rest, answer: Answer::Unknown }));
    }

    /// Answered here, and the client's turn has come again.
    pub fn answered(&self) {
        // The clock was asked when the vote came; that is soon enough after.
        if let Some(since) = self.unanswered_since.take() {
            self.quiet_since.set(since);
        }
        self.turn.set(Turn::Client);
    }

    /// Writes what the kernel takes at once.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.with_stream(|stream| stream.try_write(bytes))
    }

    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self.wire.borrow_mut() {
            Some(wire) => Pin::new(&mut wire.stream).poll_write(cx, bytes),
            None => Poll::Ready(Ok(bytes.len())),
        }
    }

    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.wire.borrow_mut() {
            Some(wire) => Pin::new(&mut wire.stream).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// The connection goes to `taker` once the answer's beginning is written. If the client is gone before, `taker` is dropped.
    pub fn promise(&self, taker: impl FnOnce(Wire) + 'static) {
        self.begun.set(false);
        self.promised.replace(Some(Box::new(taker)));
    }

    /// Hands HTTP what it is due: one request at a time, if it is known where it ends.
    pub fn hand(&self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let due = match self.turn.get() {
            Turn::Request { rest, .. } => rest,
            Turn::Http => usize::MAX,
            Turn::Client | Turn::Ours | Turn::Over => 0,
        };
        if self.wire.borrow().is_none() {
            return Poll::Ready(Ok(()));
        }
        if due == 0 {
            return self.watch_for_the_end(cx);
        }
        let mut ahead = self.ahead.borrow_mut();
        let handed = if ahead.is_empty() {
            let room = buffer.remaining().min(due);
            let heard = ready!(self.read(cx, buffer.initialize_unfilled_to(room)))?;
            buffer.advance(heard);
            heard
        } else {
            let handed = ahead.len().min(buffer.remaining()).min(due);
            buffer.put_slice(&ahead[..handed]);
            ahead.drain(..handed);
            if ahead.is_empty() {
                // An idle connection keeps no room for it.
                *ahead = Vec::new();
            }
            handed
        };
        if let Turn::Request { rest, answer } = self.turn.get() {
            self.turn.set(Turn::Request { rest: rest - handed, answer });
        }
        Poll::Ready(Ok(()))
    }

    /// HTTP has written so much of this.
    pub fn wrote(&self, bytes: &[u8], written: usize) {
        self.begun.set(true);
        self.says();
        self.follow(bytes, written);
    }

    /// All that HTTP had to write is with the kernel. If the connection was promised to somebody, it goes there now.
    pub fn flushed(&self, cx: &mut Context<'_>) {
        if self.begun.get()
            && let Some(taker) = self.promised.take()
            && let Some(wire) = self.wire.take()
        {
            taker(wire);
            // So that HTTP looks, and sees the end.
            cx.waker().wake_by_ref();
        } else {
            self.rest();
        }
    }

    /// Is a head asked for by what HTTP was given last, as far as that is known?
    pub fn asks_head(&self) -> bool {
        self.asks_head.get()
    }

    /// What HTTP could not read was refused.
    pub fn refuses(&self) {
        self.says();
        self.refused.set(true);
    }

    /// A piece of an answer ends as what HTTP says by itself does.
    pub fn ends_alike(&self) {
        self.ended_alike.set(true);
    }

    /// HTTP has all of an answer's body. From here on it is the client who makes us wait.
    pub fn has_body(&self) {
        self.streams.set(false);
        if let Turn::Request { rest, answer: Answer::Stream { begun, .. } } = self.turn.get() {
            self.turn.set(Turn::Request { rest, answer: Answer::Stream { begun, ended: true } });
        }
    }

    fn with_stream<T>(&self, f: impl FnOnce(&TcpStream) -> T) -> T {
        f(&self.wire.borrow().as_ref().expect("only HTTP gives it away, and then it is HTTP's turn until the end").stream)
    }

    fn read(&self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        match &mut *self.wire.borrow_mut() {
            Some(wire) => {
                let mut buffer = ReadBuf::new(into);
                ready!(Pin::new(&mut wire.stream).poll_read(cx, &mut buffer))?;
                let heard = buffer.filled().len();
                if heard > 0 {
                    self.hears();
                }
                Poll::Ready(Ok(heard))
            }
            // Taken: to HTTP, the client has hung up.
            None => Poll::Ready(Ok(0)),
        }
    }

    /// While HTTP is at work, what comes early is kept for later; that the client hangs up, HTTP hears at once.
    fn watch_for_the_end(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.ahead.borrow().is_empty() {
            return Poll::Pending;
        }
        DESK.with_borrow_mut(|desk| {
            let heard = ready!(self.read(cx, desk))?;
            if heard == 0 {
                return Poll::Ready(Ok(()));
            }
            self.keep(&desk[..heard]);
            Poll::Pending
        })
    }

    fn hears(&self) {
        self.fresh.set(false);
        if !self.busy.get() && self.unanswered_since.get().is_none() {
            self.unanswered_since.set(Some(Instant::now()));
        }
    }

    /// An answer that goes on while more is asked already is no offence.
    fn says(&self) {
        let now = Instant::now();
        self.quiet_since.set(now);
        if self.unanswered_since.get().is_some() {
            self.unanswered_since.set(Some(now));
        }
    }

    /// HTTP speaks for itself only where no handler's answer is due: to what comes first, or where it alone knows what comes next.
    pub fn bad_head_in(&self, bytes: &[u8]) -> Option<(usize, &'static BadHead)> {
        let speaks = matches!(self.turn.get(), Turn::Http | Turn::Request { answer: Answer::Unknown, .. }) && !self.ended_alike.get();
        heads::bare(bytes).filter(|_| speaks)
    }

    /// Follows an answer through what HTTP writes, until all of it is written.
    fn follow(&self, bytes: &[u8], written: usize) {
        let Turn::Request { rest, answer } = self.turn.get() else { return };
        // A head that says goodbye has no request after it, and HTTP, not we, hears the client out.
        let head = || memmem::find(bytes, b"\r\n\r\n").filter(|end| memmem::find(&bytes[..*end], b"\r\nconnection: close").is_none());
        let less = |left: u64| left.checked_sub(written as u64).map(Answer::Left);
        let answer = match answer {
            Answer::Body(body) => head().and_then(|end| less(end as u64 + 4 + body)),
            Answer::Left(left) => less(left),
            Answer::Stream { begun: false, ended } => head().map(|_| Answer::Stream { begun: true, ended }),
            Answer::Stream { .. } => Some(answer),
            // Before any handler has answered, it is HTTP itself that does not understand.
            Answer::Unknown => None,
        };
        self.turn.set(answer.map_or(Turn::Http, |answer| Turn::Request { rest, answer }));
    }

    /// HTTP has done with a request if all of it was handed over and all of the answer is written.
    fn rest(&self) {
        if let Turn::Request { rest, answer: Answer::Left(0) | Answer::Stream { begun: true, ended: true } } = self.turn.get() {
            // Answered before it was heard out, what is left of it is HTTP's.
            self.turn.set(if rest == 0 { Turn::Client } else { Turn::Http });
        }
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.busy.set(false);
        self.0.unanswered_since.set(None);
    }
}

//! One connection as HTTP sees it, and how a stream takes it out of there: what HTTP keeps for a connection (two buffers, the request, the
//! parser) is twenty times what a viewer needs who will only ever be written to.
//!
//! A handler promises the connection to somebody and answers as usual. HTTP writes the head and what comes with it; once the kernel has all
//! of that, the connection goes to whom it was promised, and HTTP sees the end of the line.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::limits::Connection;

/// A client that takes no byte of its answer for this long is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// What was begun and not completed for this long is given up: half a head, or a body that nobody reads any more. HTTP itself measures only
/// the first head of a connection.
const UNANSWERED_MAX: Duration = Duration::from_secs(10);
/// A connection is kept this long for the next request.
const KEPT_MAX: Duration = Duration::from_secs(75);

/// A connection and its place among all of the process.
pub struct Wire {
    pub stream: TcpStream,
    _place: Connection,
}

/// What HTTP reads and writes.
pub struct Line {
    seat: Rc<Seat>,
    /// Runs while the client takes nothing.
    patience: Option<Pin<Box<Sleep>>>,
    /// Rings when the client's time is over. Seldom set: votes leave it as it is, and if there is time left when it rings, it is set for that.
    watch: Option<Pin<Box<Sleep>>>,
}

/// Where the connection is while HTTP has it. Handlers find it with the request.
pub struct Seat {
    wire: RefCell<Option<Wire>>,
    promised: RefCell<Option<Promise>>,
    /// Something was written since the promise: the head is on its way.
    begun: Cell<bool>,
    /// A handler is at work; it minds the time itself.
    busy: Cell<bool>,
    /// When the first bytes came that no handler has answered.
    unanswered_since: Cell<Option<Instant>>,
    /// When anything was written last.
    quiet_since: Cell<Instant>,
}

/// A handler at work. Whatever becomes of it, the request is answered when this is dropped.
pub struct AtWork(Rc<Seat>);

type Promise = Box<dyn FnOnce(Wire)>;

impl Line {
    pub fn new(stream: TcpStream, place: Connection) -> Line {
        let seat = Seat {
            wire: RefCell::new(Some(Wire { stream, _place: place })),
            promised: RefCell::default(),
            begun: Cell::new(false),
            busy: Cell::new(false),
            unanswered_since: Cell::new(None),
            quiet_since: Cell::new(Instant::now()),
        };
        Line { seat: Rc::new(seat), patience: None, watch: None }
    }

    pub fn seat(&self) -> Rc<Seat> {
        self.seat.clone()
    }

    fn give_up_in_time(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let patience = self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_TIMEOUT)));
        patience.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Fails once the client's time is over, and wakes HTTP for that.
    fn check_time(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(due) = self.seat.due() else { return Ok(()) };
        let watch = self.watch.get_or_insert_with(|| Box::pin(sleep_until(due)));
        loop {
            if due < watch.deadline() || watch.is_elapsed() {
                watch.as_mut().reset(due);
            }
            if watch.as_mut().poll(cx).is_pending() {
                return Ok(());
            }
            if due <= Instant::now() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

impl Seat {
    pub fn at_work(self: &Rc<Seat>) -> AtWork {
        self.busy.set(true);
        AtWork(self.clone())
    }

    /// When the client's time is over; never while it is us who make it wait.
    fn due(&self) -> Option<Instant> {
        if self.busy.get() {
            return None;
        }
        Some(self.unanswered_since.get().map_or_else(|| self.quiet_since.get() + KEPT_MAX, |since| since + UNANSWERED_MAX))
    }

    fn hears(&self) {
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

    /// The connection goes to `taker` once the answer's beginning is written. If the client is gone before, `taker` is dropped.
    pub fn promise(&self, taker: impl FnOnce(Wire) + 'static) {
        self.begun.set(false);
        self.promised.replace(Some(Box::new(taker)));
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.busy.set(false);
        self.0.unanswered_since.set(None);
    }
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let heard = match &mut *self.seat.wire.borrow_mut() {
            Some(wire) => Pin::new(&mut wire.stream).poll_read(cx, buffer),
            // Taken: to HTTP, the client has hung up.
            None => return Poll::Ready(Ok(())),
        };
        if heard.is_ready() {
            self.seat.hears();
        }
        heard
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = match &mut *self.seat.wire.borrow_mut() {
            Some(wire) => Pin::new(&mut wire.stream).poll_write(cx, bytes),
            None => return Poll::Ready(Ok(bytes.len())),
        };
        if written.is_pending() {
            return self.give_up_in_time(cx);
        }
        self.patience = None;
        self.seat.begun.set(true);
        self.seat.says();
        written
    }

    /// HTTP calls it at the end of each turn, when the kernel has taken all there was to write. Bytes that are unanswered then wait for their
    /// client, unless a handler is at work.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.seat.begun.get()
            && let Some(taker) = self.seat.promised.take()
            && let Some(wire) = self.seat.wire.take()
        {
            taker(wire);
            // So that HTTP looks, and sees the end.
            cx.waker().wake_by_ref();
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(self.check_time(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.seat.wire.borrow_mut() {
            Some(wire) => Pin::new(&mut wire.stream).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

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
use tokio::time::Sleep;

use super::limits::Connection;

/// A client that takes no byte of its answer for this long is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

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
}

/// Where the connection is while HTTP has it. Handlers find it with the request.
pub struct Seat {
    wire: RefCell<Option<Wire>>,
    promised: RefCell<Option<Promise>>,
    /// Something was written since the promise: the head is on its way.
    begun: Cell<bool>,
}

type Promise = Box<dyn FnOnce(Wire)>;

impl Line {
    pub fn new(stream: TcpStream, place: Connection) -> Line {
        let seat = Seat { wire: RefCell::new(Some(Wire { stream, _place: place })), promised: RefCell::default(), begun: Cell::new(false) };
        Line { seat: Rc::new(seat), patience: None }
    }

    pub fn seat(&self) -> Rc<Seat> {
        self.seat.clone()
    }

    fn give_up_in_time(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let patience = self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_TIMEOUT)));
        patience.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Seat {
    /// The connection goes to `taker` once the answer's beginning is written. If the client is gone before, `taker` is dropped.
    pub fn promise(&self, taker: impl FnOnce(Wire) + 'static) {
        self.begun.set(false);
        self.promised.replace(Some(Box::new(taker)));
    }
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self.seat.wire.borrow_mut() {
            Some(wire) => Pin::new(&mut wire.stream).poll_read(cx, buffer),
            // Taken: to HTTP, the client has hung up.
            None => Poll::Ready(Ok(())),
        }
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
        written
    }

    /// HTTP calls it when the kernel has taken all there was to write.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.seat.begun.get()
            && let Some(taker) = self.seat.promised.take()
            && let Some(wire) = self.seat.wire.take()
        {
            taker(wire);
            // So that HTTP looks, and sees the end.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.seat.wire.borrow_mut() {
            Some(wire) => Pin::new(&mut wire.stream).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

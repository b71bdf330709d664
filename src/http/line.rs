//! One connection as HTTP sees it: what HTTP is given to read, and what it writes. What HTTP keeps for a connection (two buffers, the request, the
//! parser) is twenty times what a viewer needs who will only ever be written to, so a stream takes the connection out of there.
//!
//! A handler promises the connection to somebody and answers as usual. HTTP writes the head and what comes with it; once the kernel has all
//! of that, the connection goes to whom it was promised, and HTTP sees the end of the line.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::heads::{self, BadHead};
use super::reply;
use super::seat::Seat;
use super::traffic::{Route, answered};

/// A client that takes no byte of its answer for this long is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// What HTTP reads and writes.
pub struct Line {
    seat: Rc<Seat>,
    patience: Patience,
    /// Of what is said in the place of HTTP's own words, what the kernel did not take yet.
    unsaid: Option<Vec<u8>>,
}

/// Runs while the client takes nothing.
#[derive(Default)]
pub struct Patience(Option<Pin<Box<Sleep>>>);

/// The body of an answer, on its way to HTTP.
pub struct Told<B> {
    body: B,
    seat: Rc<Seat>,
}

impl Line {
    pub fn new(seat: Rc<Seat>) -> Line {
        Line { seat, patience: Patience::default(), unsaid: None }
    }

    pub fn seat(&self) -> Rc<Seat> {
        self.seat.clone()
    }

    /// Says in our words what HTTP has said in its own, and HTTP takes its own for written.
    fn refuse(&mut self, cx: &mut Context<'_>, bad: &BadHead) -> Poll<io::Result<()>> {
        let seat = &self.seat;
        let unsaid = self.unsaid.get_or_insert_with(|| {
            let mut answer = Vec::new();
            reply::to_bad_head(&mut answer, bad, seat.asks_head());
            answered(Route::Other, bad.status, std::time::Instant::now());
            answer
        });
        while !unsaid.is_empty() {
            let Poll::Ready(written) = seat.poll_write(cx, unsaid) else { return self.patience.poll(cx) };
            self.patience.restore();
            unsaid.drain(..written?);
        }
        seat.refuses();
        Poll::Ready(Ok(()))
    }
}

impl Patience {
    /// Fails when the client has taken nothing for too long.
    pub fn poll<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let patience = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_TIMEOUT)));
        patience.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    pub fn restore(&mut self) {
        self.0 = None;
    }
}

impl<B> Told<B> {
    pub fn new(body: B, seat: Rc<Seat>) -> Told<B> {
        Told { body, seat }
    }
}

impl<B: MessageBody + Unpin> MessageBody for Told<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, B::Error>>> {
        let piece = Pin::new(&mut self.body).poll_next(cx);
        if let Poll::Ready(Some(Ok(piece))) = &piece
            && heads::ends_alike(piece)
        {
            self.seat.ends_alike();
        }
        piece
    }
}

impl<B> Drop for Told<B> {
    fn drop(&mut self) {
        self.seat.has_body();
    }
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.seat.hand(cx, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some((at, bad)) = self.seat.bad_head_in(bytes) {
            if at == 0 {
                return self.refuse(cx, bad).map_ok(|()| bytes.len());
            }
            bytes = &bytes[..at];
        }
        let written = self.seat.poll_write(cx, bytes);
        let Poll::Ready(written) = written else { return self.patience.poll(cx) };
        self.patience.restore();
        if let Ok(written) = written {
            self.seat.wrote(bytes, written);
        }
        Poll::Ready(written)
    }

    /// HTTP calls it at the end of each turn, when the kernel has taken all there was to write.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.seat.flushed(cx);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.seat.poll_shutdown(cx)
    }
}

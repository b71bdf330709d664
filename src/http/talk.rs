//! A connection from its first byte to its last. Votes in plain words, and live documents that are in memory, are answered right here, without
//! HTTP knowing of them; whatever else is asked, HTTP gets byte for byte as it came, and a connection that only votes and watches never meets
//! it.
//!
//! A vote costs one turn of this task: it is heard, joins its batch, and whoever tells the batch its fate writes the answer.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use actix_http::error::DispatchError;
use actix_service::Service;
use actix_web::ResponseError;
use actix_web::http::StatusCode;
use actix_web::rt::net::TcpStream;
use actix_web::web::Data;
use tokio::time::{Instant, Sleep, sleep_until};
use uuid::Uuid;

use super::limits::Connection;
use super::line::{Line, Patience};
use super::plain::{Look, Reading, look};
use super::seat::{KEPT_MAX, Seat, Turn};
use super::site::Site;
use super::traffic::{Route, answered};
use super::{audience, reply, voting};
use crate::error::{Error, Result};
use crate::intake::{Listener, Receipt};

/// What the connections of one thread share.
pub struct House {
    pub site: Data<Site>,
    /// The server stops: what is answered now is the last answer of its connection.
    leaving: Cell<bool>,
}

pub struct Talk<S: Service<(Line, Option<SocketAddr>)>> {
    voter: Rc<Voter>,
    peer: Option<SocketAddr>,
    service: Rc<S>,
    /// From when it is needed first.
    http: Option<Pin<Box<S::Future>>>,
    /// Ready when the server stops.
    stop: Pin<Box<dyn Future<Output = ()>>>,
    /// It knows whom to wake.
    hears_stop: bool,
    patience: Patience,
    /// Rings when the client's time is over. Seldom set: votes leave it as it is, and if there is time left when it rings, it is set for that.
    watch: Option<Pin<Box<Sleep>>>,
}

/// The connection as one that votes, and looks what came of it.
struct Voter {
    seat: Rc<Seat>,
    house: Rc<House>,
    /// The one that waits, and since when.
    ballot: Cell<Uuid>,
    began: Cell<std::time::Instant>,
    /// Of its answer, what the kernel did not take yet.
    unsent: RefCell<Vec<u8>>,
    /// Something came while the vote was waiting.
    missed: Cell<bool>,
    /// Nothing more is heard after this answer.
    over: Cell<bool>,
    task: RefCell<Option<Waker>>,
}

thread_local! {
    static PAPER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl House {
    pub fn new(site: Data<Site>) -> Rc<House> {
        Rc::new(House { site, leaving: Cell::new(false) })
    }
}

impl<S: Service<(Line, Option<SocketAddr>)>> Talk<S> {
    pub fn new(stream: TcpStream, place: Connection, house: Rc<House>, service: Rc<S>, stop: Pin<Box<dyn Future<Output = ()>>>) -> Talk<S> {
        let peer = stream.peer_addr().ok();
        let voter = Voter {
            seat: Seat::new(stream, place),
            house,
            ballot: Cell::default(),
            began: Cell::new(std::time::Instant::now()),
            unsent: RefCell::default(),
            missed: Cell::new(false),
            over: Cell::new(false),
            task: RefCell::default(),
        };
        Talk { voter: Rc::new(voter), peer, service, http: None, stop, hears_stop: false, patience: Patience::default(), watch: None }
    }

    /// False when the client has hung up.
    fn listen(&self, cx: &mut Context<'_>) -> Poll<std::io::Result<bool>> {
        self.voter.seat.hear(cx, |bytes| {
            if !bytes.is_empty() {
                self.voter.hears(bytes);
            }
            !bytes.is_empty()
        })
    }

    fn is_leaving(&mut self, cx: &mut Context<'_>) -> bool {
        self.hears_stop = true;
        // Once it was ready it must not be asked again.
        if !self.voter.house.leaving.get() && self.stop.as_mut().poll(cx).is_ready() {
            self.voter.house.leaving.set(true);
        }
        self.voter.house.leaving.get()
    }

    /// Ready once the client's time is over.
    fn mind_the_time(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DispatchError>> {
        let Some(due) = self.voter.seat.due() else { return Poll::Pending };
        let is_new = self.watch.is_none();
        let watch = self.watch.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if !is_new && watch.deadline() <= due && !watch.is_elapsed() {
            // It wakes this task, and then is soon enough.
            return Poll::Pending;
        }
        loop {
            if due < watch.deadline() || watch.is_elapsed() {
                watch.as_mut().reset(due);
            }
            ready!(watch.as_mut().poll(cx));
            if due <= Instant::now() {
                return Poll::Ready(Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()));
            }
        }
    }

    /// Closed while something comes that nobody reads, the client might never see what it was told.
    fn hear_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DispatchError>> {
        // Asked first: some never stop.
        while self.mind_the_time(cx).is_pending() {
            match ready!(self.voter.seat.hear(cx, <[u8]>::is_empty)) {
                Ok(false) => {}
                Ok(true) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// While a vote waits, time is ours. But whoever tells it its fate does not wake this task, so the bell must be set before: when it rings, the
    /// client's time is looked at.
    fn set_the_bell(&mut self, cx: &mut Context<'_>) {
        if self.watch.as_ref().is_some_and(|watch| !watch.is_elapsed()) {
            return;
        }
        let later = Instant::now() + KEPT_MAX;
        let watch = self.watch.get_or_insert_with(|| Box::pin(sleep_until(later)));
        watch.as_mut().reset(later);
        let _ = watch.as_mut().poll(cx);
    }

    fn poll_vote(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let voter = &self.voter;
        loop {
            let mut unsent = voter.unsent.borrow_mut();
            if unsent.is_empty() {
                break;
            }
            match voter.seat.poll_write(cx, &unsent) {
                Poll::Ready(written) => {
                    self.patience.restore();
                    unsent.drain(..written?);
                    if unsent.is_empty() {
                        *unsent = Vec::new();
                        voter.seat.answered();
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Pending => return self.patience.poll(cx),
            }
        }
        voter.wait(cx);
        Poll::Pending
    }
}

impl<S: Service<(Line, Option<SocketAddr>), Response = (), Error = DispatchError>> Future for Talk<S> {
    type Output = Result<(), DispatchError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let woken_while_waiting = this.voter.seat.turn() == Turn::Ours;
        loop {
            match this.voter.seat.turn() {
                Turn::Client if this.voter.over.get() => return this.voter.seat.poll_shutdown(cx).map_err(Into::into),
                Turn::Client => match this.listen(cx) {
                    Poll::Ready(Ok(true)) => {}
                    Poll::Ready(Ok(false)) => return Poll::Ready(Ok(())),
                    Poll::Ready(Err(why)) => return Poll::Ready(Err(why.into())),
                    Poll::Pending if this.is_leaving(cx) => return this.voter.seat.poll_shutdown(cx).map_err(Into::into),
                    Poll::Pending => return this.mind_the_time(cx),
                },
                Turn::Ours => match this.poll_vote(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(why)) => return Poll::Ready(Err(why.into())),
                    Poll::Pending => {
                        this.set_the_bell(cx);
                        // Asked once, and then only if it may be what woke us: each asking takes a lock.
                        if woken_while_waiting || !this.hears_stop {
                            this.is_leaving(cx);
                        }
                        return Poll::Pending;
                    }
                },
                Turn::Request { .. } | Turn::Http => {
                    let (seat, service, peer) = (&this.voter.seat, &this.service, this.peer);
                    let http = this.http.get_or_insert_with(|| Box::pin(service.call((Line::new(seat.clone()), peer))));
                    if let Poll::Ready(end) = http.as_mut().poll(cx) {
                        if !seat.has_refused() {
                            return Poll::Ready(end);
                        }
                        this.http = None;
                        seat.give_up();
                        seat.give_turn(Turn::Over);
                        ready!(seat.poll_shutdown(cx))?;
                        continue;
                    }
                    if this.voter.seat.turn() != Turn::Client {
                        return this.mind_the_time(cx);
                    }
                }
                Turn::Over => return this.hear_out(cx),
            }
        }
    }
}

impl Voter {
    fn hears(self: &Rc<Voter>, bytes: &[u8]) {
        let seat = &self.seat;
        match look(bytes) {
            Look::Vote(vote) => match voting::at_once(&self.house.site, &vote) {
                Some((lane, ballot)) => {
                    self.ballot.set(ballot.ballot.0);
                    self.began.set(std::time::Instant::now());
                    if self.house.site.desk.accept_for(lane, ballot, self.clone()).is_err() {
                        return seat.hand_over(bytes, Some(vote.bytes));
                    }
                    seat.give_turn(Turn::Ours);
                    if vote.bytes < bytes.len() {
                        seat.keep(&bytes[vote.bytes..]);
                    }
                }
                // HTTP says why, or looks further.
                None => seat.hand_over(bytes, Some(vote.bytes)),
            },
            Look::Reading(reading) if self.reads(&reading) => {
                if reading.bytes < bytes.len() {
                    seat.keep(&bytes[reading.bytes..]);
                }
            }
            Look::Reading(Reading { bytes: length, .. }) | Look::Request { bytes: length } => seat.hand_over(bytes, Some(length)),
            Look::Unclear => seat.hand_over(bytes, None),
        }
    }

    /// False when HTTP has to answer.
    fn reads(&self, reading: &Reading<'_>) -> bool {
        let began = std::time::Instant::now();
        let Some(frame) = audience::document_at_once(&self.house.site, reading.code) else { return false };
        let unchanged = reading.has.is_some_and(|tags| audience::matches_etag(tags, &frame.etag));
        answered(Route::Live, if unchanged { StatusCode::NOT_MODIFIED } else { StatusCode::OK }, began);
        self.seat.give_turn(Turn::Ours);
        self.say(|answer, last| reply::to_reading(answer, &frame, unchanged, last));
        true
    }

    /// Writes an answer, as far as the kernel takes it.
    fn say(&self, write: impl FnOnce(&mut Vec<u8>, bool)) {
        let last = self.house.leaving.get() || self.house.site.limits.places_are_few();
        self.over.set(last);
        PAPER.with_borrow_mut(|answer| {
            answer.clear();
            write(answer, last);
            let written = match self.seat.write(answer) {
                Err(why) if why.kind() == std::io::ErrorKind::WouldBlock => 0,
                Ok(written) => written,
                Err(_) => {
                    // The client is gone. Its vote is safe all the same.
                    self.over.set(true);
                    answer.len()
                }
            };
            if written == answer.len() {
                self.seat.answered();
            } else {
                *self.unsent.borrow_mut() = answer[written..].to_vec();
            }
        });
    }

    fn wait(&self, cx: &mut Context<'_>) {
        let mut task = self.task.borrow_mut();
        if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
        if self.seat.has_more(cx) {
            self.missed.set(true);
        }
    }

    fn wake(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }
}

impl Listener for Voter {
    /// Writes the answer, whoever's turn it is: the task of this connection sleeps on, unless there is more to do for it.
    fn told(self: Rc<Self>, outcome: Result<Receipt, Error>) {
        let status = outcome.as_ref().map_or_else(ResponseError::status_code, |_| StatusCode::ACCEPTED);
        answered(Route::Ballots, status, self.began.get());
        self.say(|answer, last| reply::to_vote(answer, self.ballot.get(), outcome, last));
        if self.missed.take() || self.over.get() || self.seat.turn() == Turn::Ours {
            self.wake();
        }
    }
}

//! The network between a process and a server, made bad: late, silent in one direction or both, torn, in slices of one byte, or cut
//! just when a commit has been sent, or a batch is. What TCP promises still holds: nothing is lost in the middle of a connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weather {
    Fair,
    /// Each piece comes so much later, give or take half.
    Late(Duration),
    /// A black hole: what is sent does not arrive, for now. `up` is towards the server.
    Held {
        up: bool,
        down: bool,
    },
    /// Connections are reset, new ones too.
    Torn,
    /// One byte at a time.
    Slices,
}

/// Bytes of a piece that come one by one; all of them would be a load test of this proxy.
const SLICES: usize = 64;
const PIECE_BYTES: usize = 64 * 1_024;

pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

struct Shared {
    target: String,
    weather: watch::Sender<Weather>,
    /// So many commits are still to be sent and not answered.
    unanswered: AtomicUsize,
    /// The next batch does not get through, and nothing after it.
    tears: AtomicBool,
}

impl Proxy {
    pub fn to(target: &str, runtime: &Handle) -> Proxy {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            target: target.to_owned(),
            weather: watch::Sender::new(Weather::Fair),
            unanswered: AtomicUsize::new(0),
            tears: AtomicBool::new(false),
        });
        let accepting = runtime.spawn(accept(listener, shared.clone())).abort_handle();
        Proxy { address, shared, accepting }
    }

    pub fn set(&self, weather: Weather) {
        self.shared.weather.send_replace(weather);
    }

    /// The next so many commits are sent on, and the connection ends instead of their answer.
    pub fn lose_answers(&self, commits: usize) {
        self.shared.unanswered.store(commits, Ordering::Relaxed);
    }

    /// All is well until somebody publishes ballots: beats get through, those do not.
    pub fn tear_at_ballots(&self) {
        self.shared.tears.store(true, Ordering::Relaxed);
        self.set(Weather::Fair);
    }

    pub fn is_torn(&self) -> bool {
        *self.shared.weather.borrow() == Weather::Torn
    }

    pub fn answers_to_lose(&self) -> usize {
        self.shared.unanswered.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.set(Weather::Torn);
    }
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).expect("inside a runtime");
    loop {
        let Ok((near, _)) = listener.accept().await else { continue };
        tokio::spawn(carry(near, shared.clone()));
    }
}

async fn carry(near: TcpStream, shared: Arc<Shared>) {
    let mut weather = shared.weather.subscribe();
    // Nobody learns that he is not heard.
    let _ = weather.wait_for(|now| !matches!(now, Weather::Held { .. })).await;
    if *weather.borrow() == Weather::Torn {
        return reset_on_close(&near);
    }
    let Ok(far) = TcpStream::connect(&shared.target).await else { return reset_on_close(&near) };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let Ok(ends) = [&near, &far].map(|end| socket2::SockRef::from(end).try_clone()).into_iter().collect::<Result<Vec<_>, _>>() else { return };
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let committed = Arc::new(AtomicBool::new(false));
    let torn = async {
        let _ = weather.wait_for(|now| *now == Weather::Torn).await;
    };
    let up = Way { up: true, shared: &shared, weather: shared.weather.subscribe(), committed: committed.clone() };
    let down = Way { up: false, shared: &shared, weather: shared.weather.subscribe(), committed };
    let in_order = tokio::select! {
        () = torn => false,
        in_order = up.pump(near_read, far_write) => in_order,
        in_order = down.pump(far_read, near_write) => in_order,
    };
    if !in_order {
        ends.iter().for_each(|end| _ = end.set_linger(Some(Duration::ZERO)));
    }
}

fn reset_on_close(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// One direction of a connection.
struct Way<'s> {
    up: bool,
    shared: &'s Shared,
    weather: watch::Receiver<Weather>,
    /// A commit went up whose answer must not come down.
    committed: Arc<AtomicBool>,
}

impl Way<'_> {
    /// Until either end is gone; false when it was not the end itself that said so.
    async fn pump(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> bool {
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let read = match from.read(&mut buffer).await {
                Ok(read) if read > 0 => read,
                end => return end.is_ok(),
            };
            if self.pass(&buffer[..read], &mut to).await.is_err() {
                return false;
            }
        }
    }

    async fn pass(&mut self, piece: &[u8], to: &mut OwnedWriteHalf) -> std::io::Result<()> {
        if self.up && piece.windows(7).any(|w| w == b"COMMIT\0") && self.take_unanswered() {
            self.committed.store(true, Ordering::Relaxed);
        }
        if !self.up && self.committed.load(Ordering::Relaxed) {
            return Err(std::io::ErrorKind::ConnectionReset.into());
        }
        // As a batch names them (wire/batch.rs); a beat has none.
        if self.up && piece.windows(8).any(|w| w == b"\xa7ballots") && self.shared.tears.swap(false, Ordering::Relaxed) {
            self.shared.weather.send_replace(Weather::Torn);
        }
        loop {
            let weather = *self.weather.borrow_and_update();
            match weather {
                Weather::Held { up, down } if if self.up { up } else { down } => {
                    let _ = self.weather.changed().await;
                }
                // What was held goes with its connection.
                Weather::Torn => return Err(std::io::ErrorKind::ConnectionReset.into()),
                Weather::Late(by) => {
                    tokio::time::sleep(by.mul_f64(0.5 + fastrand::f64())).await;
                    return to.write_all(piece).await;
                }
                Weather::Slices => {
                    let (slices, rest) = piece.split_at(SLICES.min(piece.len()));
                    for byte in slices {
                        to.write_all(&[*byte]).await?;
                        tokio::task::yield_now().await;
                    }
                    return to.write_all(rest).await;
                }
                _ => return to.write_all(piece).await,
            }
        }
    }

    fn take_unanswered(&self) -> bool {
        self.shared.unanswered.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

//! Stands between edge and origin and writes down what is asked: so the counting is done where it counts. It can also behave as origins do
//! that die in the middle.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Ends with the test's process: its thread waits for connections until then.
pub struct Relay {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    origin: SocketAddr,
    manners: AtomicU8,
    asked: Mutex<Vec<Asked>>,
}

#[derive(Clone, Debug)]
pub struct Asked {
    pub at: Instant,
    /// Method and path.
    pub line: String,
    /// The whole head.
    pub head: String,
}

#[derive(Clone, Copy, PartialEq, Debug)]
#[repr(u8)]
pub enum Manners {
    Relays,
    /// Takes a request and hangs up.
    Dies,
    /// Takes a request and says nothing.
    Hangs,
    /// Is ready for votes, and has too much to do for anything else.
    Refuses,
    /// Answers after [`LATE`].
    Late,
}

/// Longer than a crowd takes to ask, and shorter than an edge waits before it asks again (3 s).
pub const LATE: Duration = Duration::from_millis(1_500);

impl Relay {
    pub fn before(origin: SocketAddr) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared { origin, manners: AtomicU8::new(Manners::Relays as u8), asked: Mutex::default() });
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = accepting.clone();
                std::thread::spawn(move || shared.serve(client));
            }
        });
        Relay { address, shared }
    }

    pub fn behave(&self, manners: Manners) {
        self.shared.manners.store(manners as u8, Ordering::Relaxed);
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().expect("no panic").clone()
    }

    /// How often something was asked that begins like this.
    pub fn count(&self, line: &str) -> usize {
        self.asked().iter().filter(|asked| asked.line.starts_with(line)).count()
    }
}

impl Asked {
    /// Varnish looks for itself whether the origin is ready, once a second: nobody's question.
    fn is_probe(&self) -> bool {
        self.line == "GET /readyz" && self.head.contains("Host: 127.0.0.1\r\n")
    }
}

impl Shared {
    fn serve(&self, mut client: TcpStream) {
        let Ok(mut origin) = TcpStream::connect(self.origin) else { return };
        let (mut back, mut to_client) = (origin.try_clone().expect("a socket"), client.try_clone().expect("a socket"));
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut back, &mut to_client);
            let _ = to_client.shutdown(Shutdown::Both);
        });
        let (mut requests, mut piece) = (Requests::default(), vec![0; 16_384]);
        while let Ok(read @ 1..) = client.read(&mut piece) {
            let mut new = requests.take(&piece[..read]);
            let manners = self.manners.load(Ordering::Relaxed);
            let whole = !new.is_empty();
            new.retain(|asked| !asked.is_probe());
            let is_question = !new.is_empty();
            self.asked.lock().expect("no panic").extend(new);
            if manners == Manners::Dies as u8 && whole {
                break;
            }
            if manners == Manners::Refuses as u8 && is_question {
                const NO: &[u8] =
                    b"HTTP/1.1 503 Service Unavailable\r\ncache-control: no-store\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = client.write_all(NO);
                break;
            }
            if manners == Manners::Late as u8 && is_question {
                // Nobody unparks it; if it comes back early all the same, the answer is a little less late.
                std::thread::park_timeout(LATE);
            }
            if manners != Manners::Hangs as u8 && origin.write_all(&piece[..read]).is_err() {
                break;
            }
        }
        let _ = origin.shutdown(Shutdown::Both);
        let _ = client.shutdown(Shutdown::Both);
    }
}

/// What an edge sends is well-formed: heads, and bodies of a known length or in chunks.
#[derive(Default)]
struct Requests {
    bytes: Vec<u8>,
    body_left: usize,
    in_chunks: bool,
}

impl Requests {
    fn take(&mut self, piece: &[u8]) -> Vec<Asked> {
        self.bytes.extend_from_slice(piece);
        let mut found = Vec::new();
        loop {
            let skipped = self.body_left.min(self.bytes.len());
            self.bytes.drain(..skipped);
            self.body_left -= skipped;
            if self.in_chunks && self.body_left == 0 {
                let Some(end) = self.bytes.windows(2).position(|w| w == b"\r\n") else { return found };
                let size = std::str::from_utf8(&self.bytes[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok()).expect("a chunk's size");
                self.in_chunks = size > 0;
                self.body_left = end + 2 + size + 2;
                continue;
            }
            let Some(end) = self.bytes.windows(4).position(|w| w == b"\r\n\r\n").filter(|_| self.body_left == 0) else { return found };
            let head: Vec<u8> = self.bytes.drain(..end + 4).collect();
            let head = String::from_utf8_lossy(&head).into_owned();
            let length = head.lines().find_map(|l| l.to_lowercase().strip_prefix("content-length:").and_then(|v| v.trim().parse().ok()));
            self.body_left = length.unwrap_or(0);
            self.in_chunks = head.to_lowercase().contains("\r\ntransfer-encoding: chunked\r\n");
            let line = head.lines().next().unwrap_or_default().rsplit_once(' ').map_or("", |(line, _)| line).to_owned();
            found.push(Asked { at: Instant::now(), line, head });
        }
    }
}

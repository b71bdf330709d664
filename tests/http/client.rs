//! A plain HTTP/1.1 client on a socket, because these tests look at what a library would hide: bytes, connections that stay
//! open, streams that never end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::support::{Answer, Server};

const PATIENCE: Duration = Duration::from_secs(20);

/// One connection that is kept.
pub struct Line {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Line {
    pub fn to(server: &Server) -> Line {
        Line::at(server.address)
    }

    pub fn at(address: SocketAddr) -> Line {
        Line::try_at(address).expect("the server listens")
    }

    pub fn try_at(address: SocketAddr) -> std::io::Result<Line> {
        Line::on(TcpStream::connect(address)?)
    }

    /// On a connection that somebody else opened.
    pub fn on(stream: TcpStream) -> std::io::Result<Line> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let host = stream.peer_addr()?.to_string();
        Ok(Line { stream: BufReader::new(stream), host })
    }

    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Vec<u8> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.host);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = body {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        head.push_str(body.unwrap_or_default());
        head.into_bytes()
    }

    /// What the server closed on is no error here: the answer may have come before.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.get_mut().write_all(bytes).is_ok()
    }

    /// How long an answer is waited for.
    pub fn patience(&mut self, patience: Duration) {
        self.stream.get_ref().set_read_timeout(Some(patience)).expect("a timeout can be set");
    }

    /// Says that nothing more will be sent.
    pub fn finish(&mut self) {
        let _ = self.stream.get_mut().shutdown(std::net::Shutdown::Write);
    }

    /// Waits until the server hangs up, at most for so long.
    pub fn wait_for_the_end(&mut self, patience: Duration) {
        self.stream.get_mut().set_read_timeout(Some(patience)).expect("a timeout can be set");
        let _ = self.stream.read(&mut [0]);
    }

    pub fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
        self.ask_bytes(method, path, headers, body).0
    }

    /// The answer, and its body as it came.
    pub fn ask_bytes(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> (Answer, Vec<u8>) {
        let request = self.request(method, path, headers, body);
        self.send(&request);
        self.read(method == "HEAD").unwrap_or_default()
    }

    /// The next answer on this connection; `None` when it ends before one is complete.
    pub fn read(&mut self, bodiless: bool) -> Option<(Answer, Vec<u8>)> {
        let started = Instant::now();
        let (status, headers) = self.read_head()?;
        let mut answer = Answer { status, headers, ..Answer::default() };
        let mut body = Vec::new();
        let length = answer.header("content-length").and_then(|v| v.parse::<usize>().ok());
        if bodiless || matches!(status, 204 | 304) {
        } else if let Some(length) = length {
            body.resize(length, 0);
            self.stream.read_exact(&mut body).ok()?;
        } else if answer.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.read_chunk() {
                body.extend(chunk);
            }
        }
        answer.body = String::from_utf8_lossy(&body).into_owned();
        answer.took = started.elapsed();
        Some((answer, body))
    }

    fn read_head(&mut self) -> Option<(u16, Vec<(String, String)>)> {
        let first = self.read_line()?;
        let status = first.split(' ').nth(1)?.parse().ok()?;
        let mut headers = Vec::new();
        loop {
            let line = self.read_line()?;
            if line.is_empty() {
                return Some((status, headers));
            }
            let (name, value) = line.split_once(':')?;
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
    }

    fn read_line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).ok()?;
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// `None` at the last chunk, and when the connection ends.
    fn read_chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.read_line()?, 16).ok()?;
        let mut chunk = vec![0; size];
        self.stream.read_exact(&mut chunk).ok()?;
        self.read_line()?;
        (size > 0).then_some(chunk)
    }
}

/// A stream of server-sent events.
pub struct Events {
    line: Line,
    pub head: Answer,
    text: String,
}

#[derive(Clone, Debug, Default)]
pub struct Event {
    pub name: String,
    pub id: String,
    pub data: String,
    pub retry: String,
    /// Lines that begin with a colon.
    pub comment: String,
}

impl Event {
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.data).unwrap_or_else(|why| panic!("not JSON ({why}): {self:?}"))
    }
}

impl Events {
    pub fn open(server: &Server, path: &str, headers: &[(&str, &str)]) -> Events {
        Events::at(server.address, path, headers)
    }

    pub fn at(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Events {
        Events::try_at(address, path, headers).expect("a stream has a head")
    }

    /// `None` when nobody is there.
    pub fn try_at(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Option<Events> {
        let mut line = Line::try_at(address).ok()?;
        let request = line.request("GET", path, headers, None);
        line.send(&request);
        let (status, headers) = line.read_head()?;
        Some(Events { line, head: Answer { status, headers, ..Answer::default() }, text: String::new() })
    }

    /// The next block, event or comment; `None` when the stream has ended.
    pub fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let mut event = Event::default();
                for line in block.lines() {
                    match line.split_once(':') {
                        Some(("", comment)) => event.comment = comment.trim().to_owned(),
                        Some(("event", value)) => event.name = value.trim().to_owned(),
                        Some(("id", value)) => event.id = value.trim().to_owned(),
                        Some(("data", value)) => event.data.push_str(value.trim()),
                        Some(("retry", value)) => event.retry = value.trim().to_owned(),
                        _ => panic!("not a line of an event stream: {line}"),
                    }
                }
                self.text = rest.to_owned();
                return Some(event);
            }
            let chunk = self.line.read_chunk()?;
            self.text.push_str(std::str::from_utf8(&chunk).expect("events are UTF-8, each in one piece"));
        }
    }

    /// Reads on until an event fits.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut fits: impl FnMut(&serde_json::Value) -> bool) -> Event {
        let deadline = Instant::now() + PATIENCE;
        while let Some(event) = self.next() {
            if !event.data.is_empty() && fits(&event.json()) {
                return event;
            }
            assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        }
        panic!("the stream ended before: {what}");
    }
}

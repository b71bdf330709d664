//! As much HTTP/1.1 as voters from outside need: reading one answer off a kept connection, and undoing chunks. A real client library
//! would cost more processor time per vote than the server does.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// An answer to a vote is a few hundred bytes.
pub const ANSWER_BYTES_MAX: usize = 8 * 1_024;
/// Nobody is told to stay away for longer.
const RETRY_AFTER_MAX_S: u64 = 60;

/// The head of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    pub status: u16,
    /// Up to and with the empty line.
    pub bytes: usize,
    /// `None` where the body is chunked, or ends with the connection.
    pub length: Option<usize>,
    pub chunked: bool,
    pub retry_after: Option<Duration>,
    /// Nothing more may be sent on this connection.
    pub close: bool,
}

impl Head {
    /// `None` while the head is not complete.
    pub fn parse(bytes: &[u8]) -> io::Result<Option<Head>> {
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
        let head = &bytes[..end];
        let status = head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|digits| digits.parse().ok()).ok_or_else(broken)?;
        let length = field(head, "content-length").map(|value| value.parse().map_err(|_| broken())).transpose()?;
        // Only refusals carry it, and only they are worth the search.
        let retry_after = if status >= 400 { field(head, "retry-after").and_then(|value| value.parse::<u64>().ok()) } else { None };
        Ok(Some(Head {
            status,
            bytes: end + 4,
            length,
            chunked: length.is_none() && field(head, "transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")),
            retry_after: retry_after.map(|seconds| Duration::from_secs(seconds.min(RETRY_AFTER_MAX_S))),
            close: field(head, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close")),
        }))
    }
}

/// The value of a header; `name` in lower case.
fn field<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let mut rest = head;
    while let Some(at) = memchr::memchr(b'\n', rest) {
        rest = &rest[at + 1..];
        let line = &rest[..memchr::memchr(b'\r', rest).unwrap_or(rest.len())];
        if line.len() > name.len() && line[name.len()] == b':' && line[..name.len()].eq_ignore_ascii_case(name.as_bytes()) {
            return std::str::from_utf8(&line[name.len() + 1..]).ok().map(str::trim);
        }
    }
    None
}

/// One request, one answer whose head says its length; the body is `buffer[range]`.
pub async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, request: &[u8], buffer: &mut [u8]) -> io::Result<(Head, std::ops::Range<usize>)> {
    stream.write_all(request).await?;
    // TLS may hold back what the socket did not take at once.
    stream.flush().await?;
    let mut filled = 0;
    let mut head = None;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += read;
        if head.is_none() {
            head = Head::parse(&buffer[..filled])?;
        }
        let Some(found) = head else {
            if filled == buffer.len() {
                return Err(broken());
            }
            continue;
        };
        let end = found.bytes + found.length.ok_or_else(broken)?;
        if end > buffer.len() {
            return Err(broken());
        }
        if filled >= end {
            return Ok((found, found.bytes..end));
        }
    }
}

/// The text of a JSON string or number behind `"name":` in an answer that is known to be flat.
pub fn json_value<'a>(body: &'a [u8], name: &str) -> Option<&'a str> {
    // The name may also be a word in a text before it.
    let after = |at: usize| if body[..at].ends_with(b"\"") { body[at + name.len()..].strip_prefix(b"\":") } else { None };
    let rest = memchr::memmem::find_iter(body, name.as_bytes()).find_map(after)?;
    let (rest, quoted) = rest.strip_prefix(b"\"").map_or((rest, false), |rest| (rest, true));
    let end = if quoted { memchr::memchr(b'"', rest)? } else { rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len()) };
    std::str::from_utf8(&rest[..end]).ok()
}

/// Undoes `transfer-encoding: chunked`, however the bytes are cut.
#[derive(Default, Debug)]
pub struct Chunks {
    state: Chunk,
}

#[derive(Default, Debug)]
enum Chunk {
    #[default]
    Begin,
    /// In the line with the length.
    Length(usize),
    /// In an extension behind it.
    Extension(usize),
    Data(usize),
    /// The line break behind the data: so many bytes of it are left.
    Break(u8),
    End,
}

impl Chunks {
    /// Appends what the bytes mean.
    pub fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        while let Some(&byte) = bytes.first() {
            match self.state {
                Chunk::Data(left) => {
                    let taken = left.min(bytes.len());
                    out.extend_from_slice(&bytes[..taken]);
                    bytes = &bytes[taken..];
                    self.state = if taken == left { Chunk::Break(2) } else { Chunk::Data(left - taken) };
                    continue;
                }
                Chunk::Begin => self.state = Chunk::Length(digit(byte)?),
                Chunk::Length(length) if byte == b'\n' => self.state = if length == 0 { Chunk::End } else { Chunk::Data(length) },
                Chunk::Length(length) if byte == b'\r' => self.state = Chunk::Length(length),
                Chunk::Length(length) if byte == b';' || byte == b' ' => self.state = Chunk::Extension(length),
                Chunk::Length(length) => self.state = Chunk::Length(length.checked_mul(16).ok_or_else(broken)? + digit(byte)?),
                Chunk::Extension(length) if byte == b'\n' => self.state = if length == 0 { Chunk::End } else { Chunk::Data(length) },
                Chunk::Extension(_) => {}
                Chunk::Break(2) => self.state = Chunk::Break(1),
                Chunk::Break(_) => self.state = Chunk::Begin,
                Chunk::End => return Ok(()),
            }
            bytes = &bytes[1..];
        }
        Ok(())
    }

    /// The last, empty chunk has come: nothing is missing.
    pub fn ended(&self) -> bool {
        matches!(self.state, Chunk::End)
    }
}

fn digit(byte: u8) -> io::Result<usize> {
    char::from(byte).to_digit(16).map(|d| d as usize).ok_or_else(broken)
}

pub fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "this is not an answer of HTTP/1.1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_whole_or_not_at_all() {
        let text = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 12\r\nretry-after: 3\r\n\r\n";
        for cut in 0..text.len() {
            assert_eq!(Head::parse(&text[..cut]).unwrap(), None, "{cut}");
        }
        let head = Head::parse(text).unwrap().unwrap();
        assert_eq!((head.status, head.bytes, head.length, head.retry_after), (503, text.len(), Some(12), Some(Duration::from_secs(3))));
        assert!(Head::parse(b"HTTP/1.1 2x2 OK\r\n\r\n").is_err() && Head::parse(b"short\r\n\r\n").is_err());
        assert!(!head.close && Head::parse(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\ncontent-length: 0\r\n\r\n").unwrap().unwrap().close);
        let stream = Head::parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap().unwrap();
        assert!(stream.chunked && stream.length.is_none());
    }

    #[test]
    fn chunks_are_undone_however_they_are_cut() {
        let text = b"5\r\nhello\r\n1;x=y\r\n \r\n1A\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n";
        for cut in 1..text.len() {
            let (mut chunks, mut out) = (Chunks::default(), Vec::new());
            for part in text.chunks(cut) {
                chunks.feed(part, &mut out).unwrap();
            }
            assert_eq!(out, b"hello abcdefghijklmnopqrstuvwxyz", "{cut}");
            assert!(chunks.ended());
        }
        let (mut chunks, mut out) = (Chunks::default(), Vec::new());
        chunks.feed(b"5\r\nhel", &mut out).unwrap();
        assert!(!chunks.ended() && chunks.feed(b"lo\r\nzz", &mut out).is_err());
    }

    #[test]
    fn a_value_is_found_in_a_flat_answer() {
        let body = br#"{"ballot":"b","accepted_at":1764000000000,"status":"received"}"#;
        assert_eq!((json_value(body, "accepted_at"), json_value(body, "status"), json_value(body, "pass")), (Some("1764000000000"), Some("received"), None));
        let problem = br#"{"title":"This code is unknown","code":"event_unknown"}"#;
        assert_eq!(json_value(problem, "code"), Some("event_unknown"));
    }
}

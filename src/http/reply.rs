//! Answers to votes, and live documents, as the bytes that go over the line, the same that HTTP would write. Most of one is constant; what is
//! not is written by hand, as every vote gets one.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::LazyLock;

use actix_web::body::MessageBody;
use actix_web::{HttpResponse, ResponseError};
use jiff::Timestamp;
use uuid::Uuid;

use super::SECURITY_LINES;
use super::audience::{LIVE_CACHE, NO_STORE};
use super::heads::BadHead;
use crate::clock::now_ms;
use crate::domain::Millis;
use crate::error::Error;
use crate::intake::Receipt;
use crate::live::Frame;

static ACCEPTED: LazyLock<String> =
    LazyLock::new(|| format!("HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\ncache-control: {NO_STORE}\r\n{}", *SECURITY_LINES));
static LIVE: LazyLock<String> = LazyLock::new(|| format!("cache-control: {}\r\n", LIVE_CACHE.to_str().expect("ours are ASCII")));

/// 202, or why not. `closes` tells the client that the connection ends with it.
pub fn to_vote(out: &mut Vec<u8>, ballot: Uuid, outcome: Result<Receipt, Error>, closes: bool) {
    match outcome {
        Ok(receipt) => {
            out.extend_from_slice(ACCEPTED.as_bytes());
            // Written behind its head and then measured: the one number in the head that is not known before has the same width always.
            let mut body = Body::default();
            write_receipt(&mut body, ballot, receipt.accepted_at, receipt.counted);
            end(out, body.text(), closes);
        }
        Err(error) => problem(out, error.error_response(), closes, false),
    }
}

/// What HTTP cannot read, and the end of the connection. Who asked for a head gets no body.
pub fn to_bad_head(out: &mut Vec<u8>, bad: &BadHead, bodiless: bool) {
    problem(out, bad.answer(), true, bodiless);
}

/// A live document, or only that nothing has changed since what the client has.
pub fn to_reading(out: &mut Vec<u8>, frame: &Frame, unchanged: bool, closes: bool) {
    let start = if unchanged { "HTTP/1.1 304 Not Modified\r\n" } else { "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" };
    for part in [start, "etag: ", &frame.etag, "\r\n", &LIVE, &SECURITY_LINES] {
        out.extend_from_slice(part.as_bytes());
    }
    if unchanged {
        // Says nothing of a length: that would be the document's.
        end_head(out, closes);
    } else {
        end(out, &frame.json, closes);
    }
}

/// The body of a 202: three values in a constant frame.
pub fn write_receipt(body: &mut impl std::fmt::Write, ballot: Uuid, accepted_at: Millis, counted: bool) {
    let (mut buffer, status) = (Uuid::encode_buffer(), if counted { "counted" } else { "received" });
    let ballot = ballot.as_hyphenated().encode_lower(&mut buffer);
    write!(body, "{{\"ballot\":\"{ballot}\",\"accepted_at\":{accepted_at},\"status\":\"{status}\"}}").expect("there is room");
}

/// Seldom: in the words in which HTTP says it.
fn problem(out: &mut Vec<u8>, answer: HttpResponse, closes: bool, bodiless: bool) {
    let _ = write!(out, "HTTP/1.1 {}\r\n", answer.status());
    for (name, value) in answer.headers() {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(SECURITY_LINES.as_bytes());
    let body = answer.into_body().try_into_bytes().unwrap_or_default();
    end(out, &body, closes);
    if bodiless {
        out.truncate(out.len() - body.len());
    }
}

fn end(out: &mut Vec<u8>, body: &[u8], closes: bool) {
    let _ = write!(out, "content-length: {}\r\n", body.len());
    end_head(out, closes);
    out.extend_from_slice(body);
}

fn end_head(out: &mut Vec<u8>, closes: bool) {
    out.extend_from_slice(if closes { b"connection: close\r\n" } else { b"" });
    write_date(out, now_ms());
    out.extend_from_slice(b"\r\n");
}

fn write_date(out: &mut Vec<u8>, now: Millis) {
    thread_local! {
        /// Spelled once a second.
        static SPELLED: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    SPELLED.with_borrow_mut(|(second, text)| {
        if *second != now / 1_000 {
            *second = now / 1_000;
            text.clear();
            let time = Timestamp::from_second(*second).expect("a year of four digits").strftime("%a, %d %b %Y %H:%M:%S GMT");
            let _ = write!(text, "date: {time}\r\n");
        }
        out.extend_from_slice(text.as_bytes());
    });
}

/// On the stack.
struct Body {
    bytes: [u8; 128],
    length: usize,
}

impl Default for Body {
    fn default() -> Body {
        Body { bytes: [0; 128], length: 0 }
    }
}

impl Body {
    fn text(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl std::fmt::Write for Body {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let place = self.bytes.get_mut(self.length..self.length + text.len()).ok_or(std::fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads_and_body(outcome: Result<Receipt, Error>, closes: bool) -> (Vec<String>, String) {
        let mut out = Vec::new();
        to_vote(&mut out, Uuid::from_u128(7), outcome, closes);
        let text = String::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.split("\r\n").map(str::to_owned).collect(), body.to_owned())
    }

    #[test]
    fn a_receipt_has_room_for_the_longest_values() {
        for accepted_at in [0, 1_764_000_000_000, i64::MAX, i64::MIN] {
            let (head, body) = heads_and_body(Ok(Receipt { accepted_at, counted: false }), false);
            let json: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(
                (&json["ballot"], &json["accepted_at"], &json["status"]),
                (&"00000000-0000-0000-0000-000000000007".into(), &accepted_at.into(), &"received".into())
            );
            assert!(head.contains(&format!("content-length: {}", body.len())), "{head:?}");
        }
    }

    #[test]
    fn a_refusal_is_a_problem_and_says_when_to_come_back() {
        let (head, body) = heads_and_body(Err(Error::Busy("full")), true);
        assert_eq!(head[0], "HTTP/1.1 503 Service Unavailable");
        assert!(head.iter().any(|line| line.starts_with("retry-after: ")) && head.contains(&"connection: close".to_owned()), "{head:?}");
        assert!(body.contains("\"busy\""), "{body}");
    }

    #[test]
    fn the_date_is_spelled_as_http_wants_it() {
        let mut out = Vec::new();
        write_date(&mut out, 784_111_777_000);
        assert_eq!(out, b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
    }
}

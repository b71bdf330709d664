//! What HTTP says by itself when it cannot read a head: two or three bare lines, and the connection ends. Nobody else gets to see that, so it is
//! told by its bytes, on their way out, and said in the words and under the headers of every other refusal.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use memchr::memmem;

use super::body::BODY_SLOW;
use super::problem::answer;
use crate::error::{Reason, reason};

pub struct BadHead {
    pub status: StatusCode,
    /// As it stands in the first line.
    line: &'static [u8],
    reason: Reason,
}

/// All that HTTP says without being told; what is wrong with a body, whoever reads the body says. Codes and words are those of the edge.
static BAD_HEADS: [BadHead; 3] = [
    BadHead { status: StatusCode::BAD_REQUEST, line: b"400 Bad Request", reason: reason("request_invalid", "This is not a request that can be understood.") },
    BadHead {
        status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        line: b"431 Request Header Fields Too Large",
        reason: reason("too_large", "The head of the request is too large."),
    },
    BadHead { status: StatusCode::REQUEST_TIMEOUT, line: b"408 Request Timeout", reason: reason(BODY_SLOW, "The request took too long to arrive.") },
];
const NO_BODY: &[u8] = b"\r\ncontent-length: 0\r\n";
/// HTTP repeats what it last agreed on.
const CONNECTION: [&[u8]; 4] = [b"connection: close\r\n", b"connection: keep-alive\r\n", b"connection: upgrade\r\n", b""];
const END: &[u8] = b" GMT\r\n\r\n";
const DATE: &[u8] = b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";
/// More than any of them.
const BARE_BYTES_MAX: usize = 160;

impl BadHead {
    pub fn answer(&self) -> HttpResponse {
        answer(self.status, self.reason.code, self.reason.why)
    }
}

/// Where in what HTTP writes such an answer begins. It is the last thing that HTTP writes, and answers of ours have more lines in their heads.
pub fn bare(written: &[u8]) -> Option<(usize, &'static BadHead)> {
    if !written.ends_with(END) {
        return None;
    }
    let from = written.len().saturating_sub(BARE_BYTES_MAX);
    let at = from + memmem::rfind(&written[from..], b"HTTP/1.")?;
    let line = written.get(at + b"HTTP/1.1 ".len()..)?;
    let (bad, rest) = BAD_HEADS.iter().find_map(|bad| Some((bad, line.strip_prefix(bad.line)?)))?;
    let rest = rest.strip_prefix(NO_BODY)?;
    let rest = CONNECTION.iter().find_map(|line| rest.strip_prefix(*line))?;
    (rest.len() == DATE.len() && rest.starts_with(b"date: ")).then_some((at, bad))
}

/// A piece of a body that HTTP might write so that it looks like one of them: as it is, or as a chunk.
pub fn ends_alike(piece: &[u8]) -> bool {
    piece.ends_with(END) || piece.ends_with(&END[..END.len() - 2])
}

#[cfg(test)]
mod tests {
    use actix_web::body::MessageBody;

    use super::*;

    #[test]
    fn the_edge_says_the_same() {
        let edge = include_str!("../../deploy/nginx/site.conf");
        for bad in &BAD_HEADS {
            let body = bad.answer().into_body().try_into_bytes().unwrap();
            let line = format!("/edge/{0} {{ return {0} '{1}'; }}", bad.status.as_u16(), std::str::from_utf8(&body).unwrap());
            assert!(edge.contains(&line), "{line}");
        }
    }

    #[test]
    fn what_http_says_by_itself_is_told_from_all_that_it_is_told_to_say() {
        let date = std::str::from_utf8(DATE).unwrap();
        let is_bare = |written: &str| bare(written.as_bytes()).map(|(at, bad)| (at, bad.status.as_u16()));
        assert_eq!(is_bare(&format!("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n{date}")), Some((0, 400)));
        assert_eq!(is_bare(&format!("HTTP/1.0 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: keep-alive\r\n{date}")), Some((0, 431)));
        assert_eq!(is_bare(&format!("{}HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n{date}", "ok\n".repeat(99))), Some((297, 408)));
        for other in [
            format!("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n{date}"),
            format!("HTTP/1.1 400 Bad Request\r\ncontent-length: 9\r\n{date}"),
            format!("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nx-content-type-options: nosniff\r\n{date}"),
            format!("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n{date}ok\n"),
            format!("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n{date}\r\n"),
            format!("400 Bad Request\r\ncontent-length: 0\r\n{date}"),
            date.to_owned(),
            String::new(),
        ] {
            assert_eq!(is_bare(&other), None, "{other}");
        }
    }
}

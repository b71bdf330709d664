//! What the bytes at the beginning of a line are: a vote or the question for a live document in plain words, another request of which the end
//! is known, or something that only HTTP itself can read. Pure. It reads heads with the parser that HTTP reads them with, and where it is not sure, it says so: two opinions
//! on where a request ends would be a hole.

use std::mem::MaybeUninit;

use super::body::{BALLOT_BYTES_MAX, is_json};

/// A head with more lines than this is left to HTTP, which takes 96.
const HEADERS_MAX: usize = 48;
/// A longer body is left to HTTP; no address takes one. Seven digits at most, so that no sum can overflow.
const BODY_BYTES_MAX: usize = 9_999_999;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look<'a> {
    Vote(Vote<'a>),
    Reading(Reading<'a>),
    /// Another request. It is so many bytes long, of which not all may be here.
    Request {
        bytes: usize,
    },
    Unclear,
}

/// A request that can be nothing but a vote, whole. Whether it is a good one is seen later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vote<'a> {
    pub poll: &'a str,
    pub pass: &'a str,
    pub body: &'a [u8],
    /// Of the whole request.
    pub bytes: usize,
}

/// A request that can be nothing but the question for a live document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reading<'a> {
    pub code: &'a str,
    /// `If-None-Match`: what the client has.
    pub has: Option<&'a str>,
    pub bytes: usize,
}

/// Of `/api/v1/live/{code}`, the code, as nearly everybody writes it.
pub fn code_of(path: &str) -> Option<&str> {
    let code = path.strip_prefix("/api/v1/live/")?;
    (!code.is_empty() && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')).then_some(code)
}

/// Of `/api/v1/polls/{poll}/ballots`, the poll.
pub fn poll_of(path: &str) -> Option<&str> {
    let poll = path.strip_prefix("/api/v1/polls/")?.strip_suffix("/ballots")?;
    (!poll.is_empty() && poll.bytes().all(|b| b.is_ascii_alphanumeric())).then_some(poll)
}

/// Of `Bearer <token>`, the token.
pub fn token_of(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

pub fn look(bytes: &[u8]) -> Look<'_> {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let Ok(httparse::Status::Complete(head_bytes)) = request.parse_with_uninit_headers(bytes, &mut headers) else { return Look::Unclear };
    let (Some(method), Some(path), Some(1)) = (request.method, request.path, request.version) else { return Look::Unclear };
    if !matches!(method, "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") {
        return Look::Unclear;
    }
    let Some(head) = Head::of(request.headers) else { return Look::Unclear };
    let length = head.length.unwrap_or(0);
    let whole = head_bytes + length;
    let vote = || {
        let poll = poll_of(path).filter(|_| method == "POST" && !head.coded && (1..=BALLOT_BYTES_MAX).contains(&length))?;
        let pass = token_of(std::str::from_utf8(head.authorization?).ok()?)?;
        let body = bytes.get(head_bytes..whole).filter(|_| head.content_type.is_some_and(is_json))?;
        Some(Vote { poll, pass, body, bytes: whole })
    };
    let reading = || {
        let code = code_of(path).filter(|_| method == "GET" && length == 0)?;
        let has = head.if_none_match.map(std::str::from_utf8).transpose().ok()?;
        Some(Reading { code, has, bytes: whole })
    };
    vote().map(Look::Vote).or_else(|| reading().map(Look::Reading)).unwrap_or(Look::Request { bytes: whole })
}

/// What a head says of itself, if it says it once and in the plain way.
#[derive(Default)]
struct Head<'a> {
    length: Option<usize>,
    content_type: Option<&'a [u8]>,
    authorization: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
    if_none_match: Option<&'a [u8]>,
    /// The body is compressed, or said to be.
    coded: bool,
}

impl<'a> Head<'a> {
    fn of(headers: &[httparse::Header<'a>]) -> Option<Head<'a>> {
        let mut head = Head::default();
        for httparse::Header { name, value } in headers {
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            // By length first: of most lines nothing else is looked at.
            match name.len() {
                4 if is("host") => once(&mut head.host, value)?,
                12 if is("content-type") => once(&mut head.content_type, value)?,
                13 if is("authorization") => once(&mut head.authorization, value)?,
                13 if is("if-none-match") => once(&mut head.if_none_match, value)?,
                14 if is("content-length") => once(&mut head.length, length(value)?)?,
                16 if is("content-encoding") => head.coded = true,
                // These change what a request is, or what becomes of the connection.
                10 if is("connection") && !value.eq_ignore_ascii_case(b"keep-alive") => return None,
                6 if is("expect") => return None,
                7 if is("upgrade") || is("trailer") => return None,
                17 if is("transfer-encoding") => return None,
                _ => {}
            }
        }
        head.host.is_some().then_some(head)
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

fn length(value: &[u8]) -> Option<usize> {
    let digits = !value.is_empty() && value.len() <= 7 && value.iter().all(u8::is_ascii_digit);
    let length = std::str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()?;
    (length <= BODY_BYTES_MAX).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vote(headers: &str, body: &str) -> Vec<u8> {
        format!(
            "POST /api/v1/polls/0abc/ballots HTTP/1.1\r\nhost: x\r\nauthorization: Bearer p\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    #[test]
    fn a_plain_vote_is_seen_with_its_end_and_without_what_follows() {
        let plain = vote("Origin: http://x\r\nconnection: keep-alive\r\naccept-encoding: br\r\n", "{}");
        let followed = [&plain[..], b"GET / HTTP/1.1\r\n"].concat();
        for bytes in [&plain, &followed] {
            assert_eq!(look(bytes), Look::Vote(Vote { poll: "0abc", pass: "p", body: b"{}", bytes: plain.len() }));
        }
        let cut = plain.len() - 1;
        assert_eq!(look(&plain[..cut]), Look::Request { bytes: plain.len() }, "its end is known before it is there");
        assert_eq!(look(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\nGET"), Look::Request { bytes: 32 });
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_left_to_http() {
        for header in [
            "transfer-encoding: chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "content-length: 2\r\n",
            "expect: 100-continue\r\n",
            "upgrade: websocket\r\n",
            "connection: close\r\n",
            "connection: keep-alive, close\r\n",
            "connection: upgrade\r\n",
            "host: y\r\n",
            "authorization: Bearer q\r\n",
            "content-type: text/plain\r\n",
            "x : 1\r\n",
            "x: 1\r\n folded\r\n",
        ] {
            assert_eq!(look(&vote(header, "{}")), Look::Unclear, "{header}");
        }
        let plain = String::from_utf8(vote("", "{}")).unwrap();
        for (from, to) in [
            ("HTTP/1.1", "HTTP/1.0"),
            ("host: x\r\n", ""),
            ("content-length: 2", "content-length: +2"),
            ("content-length: 2", "content-length: 2, 2"),
            ("content-length: 2", "content-length: 0x2"),
            ("content-length: 2", "content-length: 99999999"),
            ("content-length: 2", "content-length:"),
            ("POST ", "BREW "),
            ("POST ", "CONNECT "),
        ] {
            assert_eq!(look(plain.replace(from, to).as_bytes()), Look::Unclear, "{to}");
        }
    }

    #[test]
    fn what_is_no_vote_is_a_request_like_any_other() {
        let plain = String::from_utf8(vote("", "{}")).unwrap();
        for (from, to) in [
            ("POST ", "PUT "),
            ("/0abc/", "/%30abc/"),
            ("/ballots ", "/ballots?x "),
            ("/ballots ", "/ballots/mine "),
            ("authorization: Bearer p\r\n", ""),
            ("Bearer p", "Basic p"),
            ("Bearer p", "Bearer"),
            ("application/json", "text/plain"),
            ("content-type", "content-encoding: gzip\r\ncontent-type"),
            ("content-length: 2", "content-length: 4097"),
            ("content-length: 2", "content-length: 0"),
        ] {
            let other = plain.replace(from, to);
            assert!(matches!(look(other.as_bytes()), Look::Request { .. }), "{to}: {:?}", look(other.as_bytes()));
        }
    }

    #[test]
    fn the_question_for_a_live_document_is_seen() {
        let ask = |line: &str, headers: &str| format!("{line} HTTP/1.1\r\nhost: x\r\n{headers}\r\n").into_bytes();
        let plain = ask("GET /api/v1/live/2345-ab", "accept-encoding: br\r\nif-none-match: W/\"1\"\r\n");
        assert_eq!(look(&[&plain[..], b"GET"].concat()), Look::Reading(Reading { code: "2345-ab", has: Some("W/\"1\""), bytes: plain.len() }));
        for line in ["HEAD /api/v1/live/234567", "GET /api/v1/live/", "GET /api/v1/live/234567?x", "GET /api/v1/live/%32", "GET /api/v1/live/234567/stream"] {
            assert!(matches!(look(&ask(line, "")), Look::Request { .. }), "{line}");
        }
        assert!(matches!(look(&ask("GET /api/v1/live/234567", "content-length: 2\r\n")), Look::Request { .. }), "a body");
        assert_eq!(look(&ask("GET /api/v1/live/234567", "if-none-match: a\r\nif-none-match: b\r\n")), Look::Unclear, "said twice");
    }

    proptest! {
        /// A request never ends before all of it was looked at, and never reaches into what nobody announced.
        #[test]
        fn a_vote_is_the_bytes_it_says_it_is(before in "[a-z]{1,9}", value in "[ -~]{0,40}", body in "[ -~]{1,200}", after: Vec<u8>) {
            let request = vote(&format!("x-{before}: {value}\r\n"), &body);
            let bytes = [&request[..], &after].concat();
            match look(&bytes) {
                Look::Vote(vote) => prop_assert_eq!((vote.bytes, vote.body), (request.len(), body.as_bytes())),
                other => prop_assert!(false, "{:?}", other),
            }
        }

        #[test]
        fn bytes_of_any_kind_are_looked_at_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..400) {
            let _ = look(&bytes);
            let mut plain = vote("", "{}");
            let at = cut % plain.len();
            plain.splice(at..at, bytes);
            match look(&plain) {
                Look::Vote(vote) => prop_assert!(vote.bytes <= plain.len()),
                Look::Reading(reading) => prop_assert!(reading.bytes <= plain.len()),
                Look::Request { bytes } => prop_assert!(bytes > 0),
                Look::Unclear => {}
            }
        }
    }
}

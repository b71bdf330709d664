//! Errors as `application/problem+json` with a stable code. The input is never echoed; causes of ours are logged once, here.

use actix_web::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use serde::Serialize;

use super::body::{BODY_BROKEN, BODY_SLOW, TooSlow};
use super::noted::RequestId;
use super::pages::{for_people, without_slash};
use crate::error::{Error, Reason, reason};

#[derive(Serialize)]
struct Problem {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'static str,
    /// Under which it stands in the log, where something went wrong on our side.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<RequestId>,
}

/// Everybody told to come back later comes back at a time of their own.
const RETRY_AFTER_S: std::ops::RangeInclusive<u32> = 1..=3;

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        match self {
            Error::NotFound(_) => StatusCode::NOT_FOUND,
            Error::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Error::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Error::Forbidden(_) => StatusCode::FORBIDDEN,
            Error::Conflict(_) => StatusCode::CONFLICT,
            Error::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Error::Unsupported(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Error::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Error::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
            Error::Unknown(_) | Error::Disk(_) => StatusCode::GATEWAY_TIMEOUT,
            Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let Reason { code, why } = match self {
            Error::NotFound(reason)
            | Error::Invalid(reason)
            | Error::Unauthorized(reason)
            | Error::Forbidden(reason)
            | Error::Conflict(reason)
            | Error::TooLarge(reason)
            | Error::Unsupported(reason) => *reason,
            Error::TooMany => reason("too_many_requests", "That was too often. Wait a moment and try again."),
            Error::Busy(_) => reason("busy", "Too much at once. Nothing was changed; it will work in a moment."),
            Error::Unknown(_) | Error::Disk(_) => reason("unknown", "It is not known yet whether this arrived. Send the same again."),
            Error::Internal(cause) => {
                // Whoever quotes the number finds the cause.
                let request = RequestId::current().unwrap_or_else(RequestId::new);
                tracing::error!(%request, ?cause, "a request failed");
                return answer_to(Some(request), self.status_code(), "internal", "Something went wrong on our side. It has been noted; please try again.");
            }
        };
        let mut response = answer(self.status_code(), code, why);
        if matches!(code, BODY_SLOW | BODY_BROKEN) {
            response.head_mut().set_connection_type(ConnectionType::Close);
        }
        if code == BODY_SLOW {
            response.extensions_mut().insert(TooSlow);
        }
        response
    }
}

pub fn answer(status: StatusCode, code: &'static str, detail: &'static str) -> HttpResponse {
    answer_to(RequestId::current().filter(|_| status.is_server_error()), status, code, detail)
}

fn answer_to(request: Option<RequestId>, status: StatusCode, code: &'static str, detail: &'static str) -> HttpResponse {
    let problem = Problem { r#type: "about:blank", title: status.canonical_reason().unwrap_or("Error"), status: status.as_u16(), code, detail, request };
    let mut response = HttpResponse::build(status);
    response.insert_header((CONTENT_TYPE, "application/problem+json")).insert_header((CACHE_CONTROL, "no-store"));
    if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS | StatusCode::GATEWAY_TIMEOUT) {
        response.insert_header((RETRY_AFTER, fastrand::u32(RETRY_AFTER_S)));
    }
    if status == StatusCode::UNAUTHORIZED {
        response.insert_header(("WWW-Authenticate", "Bearer"));
    }
    response.body(serde_json::to_vec(&problem).expect("strings can be written"))
}

/// For a connection there is no room for, whatever it would have asked: a whole answer as bytes.
pub fn no_room() -> Vec<u8> {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let problem = Problem {
        r#type: "about:blank",
        title: status.canonical_reason().unwrap_or("Error"),
        status: status.as_u16(),
        code: "busy",
        detail: "Too many connections at once. Nothing was changed; it will work in a moment.",
        request: None,
    };
    let body = serde_json::to_string(&problem).expect("strings can be written");
    let (length, retry, security) = (body.len(), fastrand::u32(RETRY_AFTER_S), &*super::SECURITY_LINES);
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\nretry-after: {retry}\r\n{security}connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Whatever no route knows. Never the app's HTML: a path that looks like an asset must not be cached as a page.
pub async fn unknown_address(request: HttpRequest) -> HttpResponse {
    let Some(pattern) = request.resource_map().match_pattern(request.path()) else {
        if let Some(elsewhere) = without_slash(&request) {
            return elsewhere;
        }
        let is_for_people = !request.path().starts_with("/api/");
        let why = Error::not_found("not_found", NOTHING_HERE);
        return if is_for_people { for_people(&request, why).unwrap_or_else(|why| why.error_response()) } else { why.error_response() };
    };
    let mut refusal = answer(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This address does not take this method.");
    if let Some((_, methods)) = METHODS.iter().find(|(of, _)| *of == pattern) {
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    }
    refusal
}

/// What an address takes, for those who asked it otherwise. actix keeps that to itself; a test compares this with all routes.
const METHODS: [(&str, &str); 49] = [
    ("/", READ),
    ("/admin", READ),
    ("/admin/{rest:.*}", READ),
    ("/present/{event}", READ),
    ("/{code:[0-9A-Za-z][0-9A-Za-z -]{2,39}}", READ),
    ("/assets/{path:.*}", READ),
    ("/assets/logos/{name}", READ),
    ("/sw.js", READ),
    ("/results/{code}", READ),
    ("/results/{code}/{poll}.svg", READ),
    ("/results/{code}/{poll}.csv", READ),
    ("/poster/{code}", READ),
    ("/overlay/{code}", READ),
    ("/embed/{code}", READ),
    ("/oembed", READ),
    ("/livez", READ),
    ("/readyz", READ),
    ("/status", READ),
    ("/api/v1/live/{code}", READ),
    ("/api/v1/live/{code}/stream", "GET"),
    ("/api/v1/live/{code}/qr.svg", READ),
    ("/api/v1/live/{code}/passes", "POST"),
    ("/api/v1/polls/{poll}/ballots", "POST"),
    ("/api/v1/polls/{poll}/ballots/mine", "GET"),
    ("/api/v1/setup", "GET, POST"),
    ("/api/v1/session", "GET, POST, DELETE"),
    ("/api/v1/password", "PUT"),
    ("/api/v1/events", "GET, POST"),
    ("/api/v1/events/{event}", "GET, PATCH, DELETE"),
    ("/api/v1/events/{event}/polls", "POST"),
    ("/api/v1/events/{event}/current", "PUT"),
    ("/api/v1/events/{event}/view", "PATCH"),
    ("/api/v1/events/{event}/logo", "PUT, DELETE"),
    ("/api/v1/events/{event}/remote.svg", "GET"),
    ("/api/v1/events/{event}/results.xlsx", "GET"),
    ("/api/v1/events/{event}/rehearsal", "PUT"),
    ("/api/v1/events/{event}/live", "GET"),
    ("/api/v1/events/{event}/stream", "GET"),
    ("/api/v1/rehearsals", "GET"),
    ("/api/v1/rehearsals/{report}", "GET"),
    ("/api/v1/polls/{poll}", "GET, PATCH, DELETE"),
    ("/api/v1/polls/{poll}/state", "PUT"),
    ("/api/v1/polls/{poll}/visibility", "PUT"),
    ("/api/v1/polls/{poll}/rounds", "POST"),
    ("/api/v1/polls/{poll}/results", "GET"),
    ("/api/v1/polls/{poll}/results.csv", "GET"),
    ("/api/v1/polls/{poll}/results.xlsx", "GET"),
    ("/api/v1/polls/{poll}/ballots.csv", "GET"),
    ("/api/v1/polls/{poll}/books", "GET"),
];
const READ: &str = "GET, HEAD";
const NOTHING_HERE: &str = "There is nothing under this address.";

pub fn nothing_here() -> HttpResponse {
    answer(StatusCode::NOT_FOUND, "not_found", NOTHING_HERE)
}

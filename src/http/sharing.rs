//! Pages under another name that ask this server: the exported app on a CDN. Exactly the sites that the operator lists, only the audience's
//! calls, and never with credentials.

use actix_web::HttpResponse;
use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL, HeaderMap, HeaderValue, ORIGIN, VARY,
};

use super::audience::NO_STORE;

/// What a browser may remember of a preflight: two hours, as much as any of them does.
const PREFLIGHT_KEPT_S: &str = "7200";

/// Sites whose pages may read our answers, as browsers write them in `Origin`.
#[derive(Clone, Debug, Default)]
pub struct AllowedOrigins(Vec<HeaderValue>);

impl AllowedOrigins {
    /// With commas between. What does not look as a browser writes it would never match.
    pub fn parse(text: &str) -> Result<AllowedOrigins, String> {
        let origin = |item: &str| {
            let host = item.strip_prefix("https://").or_else(|| item.strip_prefix("http://")).unwrap_or_default();
            let plain = host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:[]".contains(&b));
            let default_port = (item.starts_with("https://") && host.ends_with(":443")) || (item.starts_with("http://") && host.ends_with(":80"));
            if host.is_empty() || !plain || default_port { Err(item.to_owned()) } else { Ok(HeaderValue::from_str(item).expect("plain characters")) }
        };
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(origin).collect::<Result<_, _>>().map(AllowedOrigins)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What an answer to this request says about who may read it. Nearly always nothing, after one look.
    pub fn say(&self, request: &ServiceRequest) -> Sharing {
        if self.is_empty() || !is_of_the_audience(request.path()) {
            return Sharing::default();
        }
        // One site is named whoever asks, so that every cache is right without varying.
        if let [only] = self.0.as_slice() {
            return Sharing { site: Some(only.clone()), varies: false };
        }
        let asks = request.headers().get(ORIGIN);
        Sharing { site: self.0.iter().find(|site| Some(*site) == asks).cloned(), varies: true }
    }
}

/// For one answer.
#[derive(Default)]
pub struct Sharing {
    site: Option<HeaderValue>,
    varies: bool,
}

impl Sharing {
    pub fn mark(&self, headers: &mut HeaderMap) {
        if self.varies {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(site) = &self.site {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, site.clone());
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("ETag, Retry-After"));
        }
    }

    /// The answer to a browser that asks before it asks.
    pub fn preflight(&self, request: &ServiceRequest) -> Option<HttpResponse> {
        let asks = request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if !asks || self.site.is_none() {
            return None;
        }
        let mut answer = HttpResponse::NoContent();
        answer.insert_header((ACCESS_CONTROL_ALLOW_METHODS, "GET, POST")).insert_header((ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"));
        answer.insert_header((ACCESS_CONTROL_MAX_AGE, PREFLIGHT_KEPT_S)).insert_header((CACHE_CONTROL, NO_STORE));
        Some(answer.finish())
    }
}

/// Documents, passes, ballots: what works without a cookie and without an account.
fn is_of_the_audience(path: &str) -> bool {
    let ballots = |rest: &str| rest.ends_with("/ballots") || rest.ends_with("/ballots/mine");
    path.strip_prefix("/api/v1/").is_some_and(|call| call.starts_with("live/") || call.strip_prefix("polls/").is_some_and(ballots))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_listed_as_browsers_write_it_or_not_at_all() {
        let listed = AllowedOrigins::parse("https://vote.example.org, http://localhost:8080 ,").unwrap();
        assert_eq!(listed.0, ["https://vote.example.org", "http://localhost:8080"]);
        for wrong in [
            "*",
            "null",
            "vote.example.org",
            "https://vote.example.org/",
            "https://Vote.example.org",
            "https://",
            "https://a.example:443",
            "https://u@a.example",
            "ftp://a.example",
            "https://*.example.org",
        ] {
            assert_eq!(AllowedOrigins::parse(wrong).unwrap_err(), wrong);
        }
        assert!(AllowedOrigins::parse("").unwrap().0.is_empty());
    }

    #[test]
    fn the_back_office_is_never_shared() {
        for path in ["/api/v1/live/482913", "/api/v1/live/482913/stream", "/api/v1/live/x/passes", "/api/v1/polls/p/ballots", "/api/v1/polls/p/ballots/mine"] {
            assert!(is_of_the_audience(path), "{path}");
        }
        for path in [
            "/",
            "/api/v1/events",
            "/api/v1/session",
            "/api/v1/polls/p",
            "/api/v1/polls/p/results",
            "/api/v1/polls/p/ballots.csv",
            "/api/v1/polls/p/state",
            "/admin",
        ] {
            assert!(!is_of_the_audience(path), "{path}");
        }
    }
}

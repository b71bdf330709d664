//! Pages without JavaScript: results to read anywhere, a poster to print. And the two that other sites may frame. All of them say what the
//! public document says, never more.

use std::sync::LazyLock;

use actix_web::body::BoxBody;
use actix_web::http::header::{ACCEPT, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse, ResponseError, route};
use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::CSP;
use super::assets::{assets, page};
use super::audience::{LIVE_CACHE, QR_CACHE, find_event};
use super::phrases::{LANGUAGES, Phrases, phrases};
use super::picture::{HUES, letter};
use super::problem::answer;
use super::sessions::sha256;
use super::site::Site;
use crate::clock::now_ms;
use crate::domain::{Millis, RESERVED_PATHS};
use crate::error::{Error, Result};
use crate::wire::shown::{OembedAnswer, OembedQuery, Phase, Shown, ShownEvent, ShownPoll, Wishes};

#[derive(Template)]
#[template(path = "results.html")]
struct ResultsPage<'a> {
    words: &'static Phrases,
    tongues: &'static [Phrases],
    shown: &'a Shown,
    sections: Vec<Section<'a>>,
    has_results: bool,
    takes_votes: bool,
    card: String,
    oembed: String,
    dress: Option<String>,
    style: &'static str,
    icon: &'static str,
}

/// One question and its result.
struct Section<'a> {
    poll: &'a ShownPoll,
    /// Round, how many, and where it stands.
    line: String,
    /// Votes and percents; without, there may still be those of the round before.
    is_counted: bool,
    is_decided: bool,
    /// The head of a column for the round before.
    before: Option<String>,
    rows: Vec<Row<'a>>,
}

struct Row<'a> {
    letter: String,
    hue: usize,
    text: &'a str,
    leads: bool,
    votes: String,
    share: u32,
    percent: String,
    before: String,
}

impl<'a> Section<'a> {
    fn of(words: &Phrases, shown: &Shown, poll: &'a ShownPoll, now: &Millis) -> Section<'a> {
        let phase = shown.phase(poll, now);
        let results = poll.results();
        let counted = results.filter(|_| phase != Phase::NotAsked);
        let before = results.and_then(|r| r.before.as_ref());
        let said = match counted {
            Some(r) if r.voters == 0 => vec![words.how_many(poll.counts_votes(), 0, r.is_final()), words.of(phase).to_owned()],
            Some(r) => vec![words.how_many(poll.counts_votes(), r.voters, r.is_final()), words.of(phase).to_owned(), words.status(r.is_final()).to_owned()],
            None if phase == Phase::NotAsked => vec![words.of(phase).to_owned()],
            None => vec![words.of(phase).to_owned(), words.not_shown.to_owned()],
        };
        let rows = poll.choices.iter().enumerate().map(|(at, choice)| {
            let figures = counted.map(|r| r.of(&choice.id));
            Row {
                letter: letter(at),
                hue: at % HUES + 1,
                text: &choice.text,
                leads: counted.is_some_and(|r| r.leads(&choice.id)),
                votes: figures.map_or_else(String::new, |(votes, _)| words.number(votes)),
                share: figures.map_or(0, |(_, percent)| percent),
                percent: figures.map_or_else(String::new, |(_, percent)| words.percent(percent)),
                before: before.map_or_else(String::new, |b| words.percent(b.of(&choice.id).1)),
            }
        });
        let rows: Vec<Row> = rows.collect();
        Section {
            poll,
            line: words.round_before(poll.round) + &said.join(" · "),
            is_counted: counted.is_some(),
            is_decided: rows.iter().any(|row| row.leads),
            before: before.map(|b| words.round_head(b.round)),
            rows,
        }
    }
}

/// The results, as far as the audience may see them, for any browser there is.
#[route("/results/{code}", method = "GET", method = "HEAD")]
pub async fn results_page(request: HttpRequest, code: Path<String>, wishes: Query<Wishes>, site: Data<Site>) -> Result<HttpResponse> {
    let shown = match shown(&site, &request, &code).await {
        Ok(shown) => shown,
        Err(why) => return for_people(&request, why),
    };
    let (dress, style) = (dress(&shown.event), asset("shared/paper."));
    let (words, now) = (phrases(wishes.lang.as_deref()), now_ms());
    let page = ResultsPage {
        words,
        tongues: &LANGUAGES,
        shown: &shown,
        sections: shown.polls.iter().map(|poll| Section::of(words, &shown, poll, &now)).collect(),
        has_results: shown.has_results(&now),
        takes_votes: shown.takes_votes(&now),
        card: card_of(&site),
        oembed: oembed_of(&site, &shown.event.code),
        dress: dress.clone(),
        style,
        icon: asset("shared/favicon."),
    };
    html(page.render(), LIVE_CACHE.clone(), dress.as_deref())
}

#[derive(Template)]
#[template(path = "poster.html")]
struct Poster<'a> {
    words: &'static Phrases,
    shown: &'a Shown,
    /// With the short name behind it, where there is one.
    host: String,
    code: String,
    dress: Option<String>,
    style: &'static str,
    icon: &'static str,
}

/// How to join, on paper; of an event that has ended, that it has.
#[route("/poster/{code}", method = "GET", method = "HEAD")]
pub async fn poster_page(request: HttpRequest, code: Path<String>, wishes: Query<Wishes>, site: Data<Site>) -> Result<HttpResponse> {
    let shown = match shown(&site, &request, &code).await {
        Ok(shown) => shown,
        Err(why) => return for_people(&request, why),
    };
    let home = host_of(&site.settings.public_url);
    let host = shown.event.slug.as_ref().map_or_else(|| home.to_owned(), |slug| format!("{home}/{slug}"));
    let (code, dress) = (spaced(&shown.event.code), dress(&shown.event));
    let page = Poster {
        words: phrases(wishes.lang.as_deref()),
        shown: &shown,
        host,
        code,
        dress: dress.clone(),
        style: asset("shared/paper."),
        icon: asset("shared/favicon."),
    };
    html(page.render(), HeaderValue::from_static(QR_CACHE), dress.as_deref())
}

/// An event's own colour, as what paper.css asks for. Both shades are the server's own writing, never a stranger's.
fn dress(event: &ShownEvent) -> Option<String> {
    event.accent.as_ref().map(|accent| format!(":root{{--accent-light:{};--accent-dark:{}}}", accent.light, accent.dark))
}

/// The address as people type it.
pub fn host_of(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, host)| host)
}

/// 482913 as 482 913.
pub fn spaced(code: &str) -> String {
    format!("{}\u{a0}{}", &code[..3], &code[3..])
}

/// These two stand in other people's pages and pictures.
static FRAMED_CSP: LazyLock<HeaderValue> =
    LazyLock::new(|| HeaderValue::from_str(&CSP.replace("frame-ancestors 'none'", "frame-ancestors *")).expect("the policy is a header"));

#[route("/overlay/{code}", method = "GET", method = "HEAD")]
pub async fn overlay_page(request: HttpRequest) -> HttpResponse {
    framed(request).await
}

#[route("/embed/{code}", method = "GET", method = "HEAD")]
pub async fn embed_page(request: HttpRequest) -> HttpResponse {
    framed(request).await
}

async fn framed(request: HttpRequest) -> HttpResponse {
    let mut answer = page(request, "/overlay/index.html").await;
    answer.headers_mut().insert(CONTENT_SECURITY_POLICY, FRAMED_CSP.clone());
    answer
}

/// For sites that turn a pasted join link into a picture of the vote (oembed.com).
#[route("/oembed", method = "GET", method = "HEAD")]
pub async fn oembed_answer(request: HttpRequest, query: Query<OembedQuery>, site: Data<Site>) -> Result<HttpResponse> {
    // As oembed.com asks of those who have one form alone.
    if query.format.as_deref().is_some_and(|format| format != "json") {
        return Ok(answer(StatusCode::NOT_IMPLEMENTED, "format_unknown", "This is said in JSON alone."));
    }
    let unknown = || Error::not_found("event_unknown", "There is no event with this code.");
    // What goes on without a slash is another host, or another port.
    let ours = query.url.strip_prefix(&site.settings.public_url).filter(|rest| rest.is_empty() || rest.starts_with('/')).ok_or_else(unknown)?;
    let code = ours.trim_matches('/').rsplit('/').next().unwrap_or_default();
    let code: String = code.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let shown = shown(&site, &request, &code).await?;
    let (width, height) = (query.maxwidth.unwrap_or(800).min(1_920), query.maxheight.unwrap_or(450).min(1_080));
    // The code is letters, digits and dashes, and the address is our own setting: nothing here comes from a stranger as it is.
    let html = format!("<iframe src=\"{}/embed/{code}\" width=\"{width}\" height=\"{height}\" frameborder=\"0\"></iframe>", site.settings.public_url);
    let found = OembedAnswer { version: "1.0", r#type: "rich", provider_name: "Groundswell", title: shown.event.title, html, width, height };
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, QR_CACHE)).json(found))
}

pub async fn shown(site: &Site, request: &HttpRequest, code: &str) -> Result<Shown> {
    let event = find_event(site, request, code)?;
    let frame = site.live.newest(event).await?;
    Ok(Shown::read(&frame.json))
}

/// One of its polls.
pub fn shown_poll<'a>(shown: &'a Shown, id: &str) -> Result<&'a ShownPoll> {
    shown.polls.iter().find(|poll| poll.id == id).ok_or_else(|| Error::not_found("poll_unknown", "There is no such poll."))
}

/// Where sites find how to frame an event whose page they were given.
pub fn oembed_of(site: &Site, code: &str) -> String {
    let home = &site.settings.public_url;
    format!("{home}/oembed?url={home}/{code}")
}

/// The picture of a shared link, as other sites want it: with its host.
pub fn card_of(site: &Site) -> String {
    format!("{}{}", site.settings.public_url, asset("shared/card."))
}

/// The address of an embedded file whose name begins so.
pub fn asset(beginning: &str) -> &'static str {
    let is_it = |url: &str| url.strip_prefix("/assets/").is_some_and(|name| name.starts_with(beginning));
    assets().iter().find(|a| is_it(a.url)).map_or("", |a| a.url)
}

/// A page may have the style it was dressed with, and no other in it.
fn html(page: askama::Result<String>, cache: HeaderValue, dress: Option<&str>) -> Result<HttpResponse> {
    let page = page.map_err(|why| Error::internal(anyhow::anyhow!("a page: {why}")))?;
    let mut answer = HttpResponse::Ok();
    answer.content_type("text/html; charset=utf-8").insert_header((CACHE_CONTROL, cache));
    if let Some(style) = dress {
        let hash = STANDARD.encode(sha256(style.as_bytes()));
        answer.insert_header((CONTENT_SECURITY_POLICY, CSP.replace("style-src 'self'", &format!("style-src 'self' 'sha256-{hash}'"))));
    }
    Ok(answer.body(page))
}

/// Pages of an event, by code or short name.
const SHEETS: [&str; 5] = ["results", "poster", "overlay", "embed", "present"];

/// The address of a page to which somebody has put a slash, without it. Names of events are all that it has in it besides, so it leads nowhere else.
pub fn without_slash(request: &HttpRequest) -> Option<HttpResponse> {
    let named = |name: &str| (3..=40).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let path = request.path().strip_suffix('/').filter(|_| matches!(*request.method(), Method::GET | Method::HEAD))?;
    let is_ours = match path.strip_prefix('/')?.split_once('/') {
        Some((sheet, name)) => SHEETS.contains(&sheet) && named(name),
        None => named(&path[1..]) && !RESERVED_PATHS.iter().any(|ours| path[1..].eq_ignore_ascii_case(ours)),
    };
    let query = Some(request.query_string()).filter(|query| !query.is_empty()).map_or_else(String::new, |query| format!("?{query}"));
    is_ours.then(|| HttpResponse::PermanentRedirect().insert_header((LOCATION, format!("{path}{query}"))).insert_header((CACHE_CONTROL, QR_CACHE)).finish())
}

#[derive(Template)]
#[template(path = "nowhere.html")]
struct Nowhere {
    words: &'static Phrases,
    title: &'static str,
    note: &'static str,
    style: &'static str,
    icon: &'static str,
}

/// A refusal as a page, to a browser that wants one; as everywhere else to everybody else.
pub fn for_people(request: &HttpRequest, why: Error) -> Result<HttpResponse> {
    let header = |name: HeaderName| request.headers().get(name).and_then(|v| v.to_str().ok());
    if !header(ACCEPT).is_some_and(|accepted| accepted.contains("text/html")) {
        return Err(why);
    }
    let words = phrases(header(ACCEPT_LANGUAGE));
    let (title, note) = match why {
        Error::NotFound(_) => (words.nothing_here, words.nothing_here_note),
        _ => (words.not_now, words.not_now_note),
    };
    let page = Nowhere { words, title, note, style: asset("shared/paper."), icon: asset("shared/favicon.") };
    let page = page.render().map_err(|why| Error::internal(anyhow::anyhow!("a page: {why}")))?;
    // Status, when to come back and "keep nothing" stay as they are.
    let mut answer = why.error_response().set_body(BoxBody::new(page));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_we_do_not_have_is_english() {
        assert_eq!(phrases(Some("de-AT")).tag, "de");
        for other in [None, Some("xx"), Some(""), Some("ä"), Some("e")] {
            assert_eq!(phrases(other).tag, "en");
        }
    }
}

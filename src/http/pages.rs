//! Pages without JavaScript: results to read anywhere, a poster to print, a picture for the press. And the two that other sites may
//! frame. All of them say what the public document says, never more.

use std::sync::LazyLock;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse, route};
use askama::Template;

use super::CSP;
use super::assets::{assets, page};
use super::audience::{LIVE_CACHE, QR_CACHE, find_event};
use super::phrases::{Phrases, phrases};
use super::site::Site;
use crate::clock::now_ms;
use crate::domain::Millis;
use crate::error::{Error, Result};
use crate::wire::shown::{OembedAnswer, OembedQuery, Shown, ShownPoll, Wishes};

#[derive(Template)]
#[template(path = "results.html")]
struct ResultsPage<'a> {
    words: &'static Phrases,
    shown: &'a Shown,
    now: Millis,
    card: String,
    style: &'static str,
    icon: &'static str,
}

/// The results, as far as the audience may see them, for any browser there is.
#[route("/results/{code}", method = "GET", method = "HEAD")]
pub async fn results_page(request: HttpRequest, code: Path<String>, wishes: Query<Wishes>, site: Data<Site>) -> Result<HttpResponse> {
    let shown = shown(&site, &request, &code).await?;
    let style = asset("shared/paper.");
    let page =
        ResultsPage { words: phrases(wishes.lang.as_deref()), shown: &shown, now: now_ms(), card: card_of(&site), style, icon: asset("shared/favicon.") };
    html(page.render(), LIVE_CACHE.clone())
}

#[derive(Template)]
#[template(path = "poster.html")]
struct Poster<'a> {
    words: &'static Phrases,
    shown: &'a Shown,
    host: &'a str,
    code: String,
    style: &'static str,
    icon: &'static str,
}

/// How to join, on paper.
#[route("/poster/{code}", method = "GET", method = "HEAD")]
pub async fn poster_page(request: HttpRequest, code: Path<String>, wishes: Query<Wishes>, site: Data<Site>) -> Result<HttpResponse> {
    let shown = shown(&site, &request, &code).await?;
    let (host, code) = (host_of(&site.settings.public_url), spaced(&shown.event.code));
    let page = Poster { words: phrases(wishes.lang.as_deref()), shown: &shown, host, code, style: asset("shared/paper."), icon: asset("shared/favicon.") };
    html(page.render(), HeaderValue::from_static(QR_CACHE))
}

/// The address as people type it.
pub fn host_of(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, host)| host)
}

/// 482913 as 482 913.
pub fn spaced(code: &str) -> String {
    format!("{}\u{a0}{}", &code[..3], &code[3..])
}

#[derive(Template)]
#[template(path = "result.svg", escape = "html")]
struct Picture<'a> {
    words: &'static Phrases,
    title: &'a str,
    question: Vec<String>,
    rows: Vec<Row>,
    foot: String,
    height: usize,
}

struct Row {
    top: usize,
    letter: String,
    colour: &'static str,
    ink: &'static str,
    lines: Vec<String>,
    votes: u64,
    percent: u32,
    bar_top: usize,
    bar: u32,
}

/// The colours of choices in light, as in static/shared/tokens.css, with the letter on them; a test compares them.
pub const CHOICE_COLOURS: [(&str, &str); 8] = [
    ("#1492a0", "#0a161c"),
    ("#b44606", "#ffffff"),
    ("#5d2496", "#ffffff"),
    ("#c78007", "#0a161c"),
    ("#105ec6", "#ffffff"),
    ("#22480c", "#ffffff"),
    ("#740e62", "#ffffff"),
    ("#6b5b59", "#ffffff"),
];

/// The result of one poll as a picture that prints at any size.
#[route("/results/{code}/{poll}.svg", method = "GET", method = "HEAD")]
pub async fn result_picture(request: HttpRequest, path: Path<(String, String)>, wishes: Query<Wishes>, site: Data<Site>) -> Result<HttpResponse> {
    let (code, poll) = path.into_inner();
    let shown = shown(&site, &request, &code).await?;
    let unknown = || Error::not_found("poll_unknown", "There is no such poll.");
    let poll = shown.polls.iter().find(|p| p.id == poll).ok_or_else(unknown)?;
    let words = phrases(wishes.lang.as_deref());
    let svg = draw(words, &shown.event.title, poll).render().map_err(|why| Error::internal(anyhow::anyhow!("result.svg: {why}")))?;
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "image/svg+xml")).insert_header((CACHE_CONTROL, LIVE_CACHE.clone())).body(svg))
}

fn draw<'a>(words: &'static Phrases, title: &'a str, poll: &ShownPoll) -> Picture<'a> {
    const QUESTION_CHARS: usize = 42;
    const CHOICE_CHARS: usize = 72;
    const BAR_PX: u32 = 1_080;
    let question = wrapped(&poll.question, QUESTION_CHARS);
    let results = poll.results();
    let mut top = 130 + question.len() * 54;
    let rows = poll.choices.iter().enumerate().map(|(at, choice)| {
        let (votes, percent) = results.map_or((0, 0), |r| r.of(&choice.id));
        let lines = wrapped(&choice.text, CHOICE_CHARS);
        let (colour, ink) = CHOICE_COLOURS[at % CHOICE_COLOURS.len()];
        let row_top = top;
        let bar_top = row_top + lines.len() * 30 + 10;
        top = bar_top + 28 + 30;
        Row { top: row_top, letter: letter(at), colour, ink, lines, votes, percent, bar_top, bar: BAR_PX * percent.min(100) / 100 }
    });
    let rows: Vec<Row> = rows.collect();
    let foot = match results {
        None => words.not_shown.to_owned(),
        Some(r) if r.voters == 0 => words.no_votes.to_owned(),
        Some(r) => format!("{}: {} · {}", words.voters, r.voters, if r.status == "final" { words.last } else { words.provisional }),
    };
    Picture { words, title, question, rows, foot, height: top + 70 }
}

/// Lines of at most so many characters, broken between words where there are any.
fn wrapped(text: &str, chars: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let pieces: Vec<char> = word.chars().collect();
        for piece in pieces.chunks(chars) {
            let line = lines.last_mut().expect("there is always one");
            let used = line.chars().count();
            if used > 0 && used + 1 + piece.len() > chars {
                lines.push(piece.iter().collect());
            } else {
                if used > 0 {
                    line.push(' ');
                }
                line.extend(piece);
            }
        }
    }
    lines
}

/// A to Z, then AA.
fn letter(at: usize) -> String {
    let last = char::from(b'A' + (at % 26) as u8);
    if at < 26 { last.to_string() } else { format!("{}{last}", letter(at / 26 - 1)) }
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
    let unknown = || Error::not_found("event_unknown", "There is no event with this code.");
    // What goes on without a slash is another host, or another port.
    let ours = query.url.strip_prefix(&site.settings.public_url).filter(|rest| rest.is_empty() || rest.starts_with('/')).ok_or_else(unknown)?;
    let code = ours.trim_matches('/').rsplit('/').next().unwrap_or_default();
    let code: String = code.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let shown = shown(&site, &request, &code).await?;
    let (width, height) = (query.maxwidth.unwrap_or(800).min(1_920), query.maxheight.unwrap_or(450).min(1_080));
    // The code is letters, digits and dashes, and the address is our own setting: nothing here comes from a stranger as it is.
    let html = format!("<iframe src=\"{}/embed/{code}\" width=\"{width}\" height=\"{height}\" frameborder=\"0\"></iframe>", site.settings.public_url);
    let answer = OembedAnswer { version: "1.0", r#type: "rich", provider_name: "Groundswell", title: shown.event.title, html, width, height };
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, QR_CACHE)).json(answer))
}

pub async fn shown(site: &Site, request: &HttpRequest, code: &str) -> Result<Shown> {
    let event = find_event(site, request, code)?;
    let frame = site.live.newest(event).await?;
    Ok(Shown::read(&frame.json))
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

fn html(page: askama::Result<String>, cache: HeaderValue) -> Result<HttpResponse> {
    let page = page.map_err(|why| Error::internal(anyhow::anyhow!("a page: {why}")))?;
    Ok(HttpResponse::Ok().content_type("text/html; charset=utf-8").insert_header((CACHE_CONTROL, cache)).body(page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_broken_between_words_and_long_words_anywhere() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrapped("", 4), [""]);
    }

    #[test]
    fn a_language_we_do_not_have_is_english() {
        assert_eq!(phrases(Some("de-AT")).tag, "de");
        for other in [None, Some("xx"), Some(""), Some("ä"), Some("e")] {
            assert_eq!(phrases(other).tag, "en");
        }
    }

    #[test]
    fn after_z_letters_go_on() {
        assert_eq!((letter(0), letter(25), letter(26), letter(99)), ("A".into(), "Z".into(), "AA".into(), "CV".into()));
    }

    #[test]
    fn the_picture_has_the_colours_of_the_screens() {
        let tokens = include_str!("../../static/shared/tokens.css");
        for (at, (colour, ink)) in CHOICE_COLOURS.iter().enumerate() {
            assert!(tokens.contains(&format!("--raw-{}: {colour};", at + 1)) && tokens.contains(&format!("--raw-on-{}: {ink};", at + 1)), "{colour}");
        }
    }
}

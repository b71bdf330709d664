//! The result of one poll as a picture for the press and for slides: it prints at any size, stands on its own and says what the public
//! document says. No fonts of ours are in it, so texts are broken by what the widest usual font takes.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse, route};
use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::audience::LIVE_CACHE;
use super::logo;
use super::pages::{shown, shown_poll};
use super::phrases::{Phrases, phrases};
use super::site::Site;
use crate::clock::now_ms;
use crate::domain::Millis;
use crate::error::{Error, Result};
use crate::wire::shown::{Phase, Shown, ShownChoice, ShownPoll, Wishes};

#[derive(Template)]
#[template(path = "result.svg", escape = "html")]
struct Picture<'a> {
    words: &'static Phrases,
    accent: &'a str,
    /// Inside the picture: one that stands elsewhere is not loaded where pictures are.
    logo: Option<String>,
    title: Vec<String>,
    rehearsal_top: Option<usize>,
    question_top: usize,
    question: Vec<String>,
    rows: Vec<Row>,
    is_decided: bool,
    foot: String,
    foot_top: usize,
    /// What the notches in the bars are, and where their like stands before it.
    legend: Option<(String, usize)>,
    notch_left: usize,
    legend_start: usize,
    height: usize,
    // Where things stand, in reading order: Arabic is the mirror, but for digits, whose ends stand below each other.
    start: usize,
    end: usize,
    percents_end: usize,
    votes_end: usize,
    tile: usize,
    text: usize,
}

struct Row {
    top: usize,
    letter: String,
    colour: &'static str,
    ink: &'static str,
    lines: Vec<String>,
    votes: String,
    percent: String,
    bar_top: usize,
    bar: usize,
    bar_left: usize,
    leads: bool,
    /// Where the bar of the round before ended, and its percent.
    before: Option<(usize, String)>,
}

/// Colours of choices; then they begin again.
pub const HUES: usize = 8;
/// In light, as in static/shared/tokens.css, with the letter on them; a test compares them.
const CHOICE_COLOURS: [(&str, &str); HUES] = [
    ("#1492a0", "#0a161c"),
    ("#b44606", "#ffffff"),
    ("#5d2496", "#ffffff"),
    ("#c78007", "#0a161c"),
    ("#105ec6", "#ffffff"),
    ("#22480c", "#ffffff"),
    ("#740e62", "#ffffff"),
    ("#6b5b59", "#ffffff"),
];
/// Ours, for an event that has no colour of its own.
const ACCENT: &str = "#0a6b75";

const WIDTH: usize = 1_200;
const MARGIN: usize = 60;
const TILE: usize = 40;
const TITLE_LINE: usize = 34;
const QUESTION_LINE: usize = 56;
const CHOICE_LINE: usize = 34;
const BAR: usize = 30;
const ROW_GAP: usize = 36;
const FIGURES_GAP: usize = 16;
/// A star and a space, in ems of the percent behind it.
const STAR_EMS: f64 = 1.3;
const NOTCH: usize = 6;
const LEGEND_LINE: usize = 36;
const LOGO_WIDTH: usize = 260;
const LOGO_HEIGHT: usize = 80;

#[route("/results/{code}/{poll}.svg", method = "GET", method = "HEAD")]
pub async fn result_picture(request: HttpRequest, path: Path<(String, String)>, wishes: Query<Wishes>, site: Data<Site>) -> Result<HttpResponse> {
    let (code, poll) = path.into_inner();
    let shown = shown(&site, &request, &code).await?;
    let poll = shown_poll(&shown, &poll)?;
    let logo = match &shown.event.logo {
        Some(address) => logo::of_address(&site, address).await?.map(|(kind, bytes)| format!("data:{kind};base64,{}", STANDARD.encode(bytes))),
        None => None,
    };
    let svg =
        draw(phrases(wishes.lang.as_deref()), &shown, poll, &now_ms(), logo).render().map_err(|why| Error::internal(anyhow::anyhow!("result.svg: {why}")))?;
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "image/svg+xml")).insert_header((CACHE_CONTROL, LIVE_CACHE.clone())).body(svg))
}

fn draw<'a>(words: &'static Phrases, shown: &'a Shown, poll: &ShownPoll, now: &Millis, logo: Option<String>) -> Picture<'a> {
    let rtl = words.direction == "rtl";
    let whole = WIDTH - 2 * MARGIN;
    let was_asked = shown.phase(poll, now) != Phase::NotAsked;
    let results = poll.results().filter(|_| was_asked);
    let before = poll.results().and_then(|r| r.before.as_ref());
    let counted = |choice: &ShownChoice| results.map(|r| r.of(&choice.id));
    // The widest figures keep their room in every row: percents and votes are columns.
    let widest = |width: &dyn Fn((u64, u32)) -> f64| poll.choices.iter().filter_map(counted).map(width).fold(0.0, f64::max).ceil() as usize;
    let votes_width = widest(&|(votes, _)| ems(&words.number(votes)) * 22.0);
    let is_decided = results.is_some_and(|r| poll.choices.iter().any(|choice| r.leads(&choice.id)));
    let percents_width = widest(&|(_, percent)| (ems(&words.percent(percent)) + if is_decided { STAR_EMS } else { 0.0 }) * 30.0);
    let figures = percents_width + FIGURES_GAP + votes_width;

    // An event that is called as this question has it in the picture once.
    let title_width = (whole - if logo.is_some() { LOGO_WIDTH + 40 } else { 0 }) as f64 / 26.0;
    let title = if poll.names(&shown.event.title) { Vec::new() } else { wrapped(&shown.event.title, title_width) };
    let mut top = (58 + title.len() * TITLE_LINE).max(if logo.is_some() { 40 + LOGO_HEIGHT + 20 } else { 0 });
    let rehearsal_top = shown.event.rehearsal.then_some(top);
    top += if shown.event.rehearsal { 62 } else { 0 };
    let question = balanced(&poll.question, whole as f64 / 46.0);
    let question_top = top + 46;
    top = question_top + question.len() * QUESTION_LINE;
    let rows = poll.choices.iter().enumerate().map(|(at, choice)| {
        let counted = counted(choice);
        let lines = wrapped(&choice.text, (whole - TILE - 16 - figures - 30) as f64 / 26.0);
        let (colour, ink) = CHOICE_COLOURS[at % CHOICE_COLOURS.len()];
        let row_top = top;
        let bar_top = row_top + (lines.len() * CHOICE_LINE).max(TILE) + 12;
        top = bar_top + BAR + ROW_GAP;
        let long = |percent: u32| whole * percent.min(100) as usize / 100;
        let bar = counted.map_or(0, |(_, percent)| long(percent));
        let before = before.map(|b| b.of(&choice.id).1).map(|percent| {
            // At the very end of a track it would stand beside it.
            let at = long(percent).saturating_sub(NOTCH / 2).min(whole - NOTCH);
            (if rtl { WIDTH - MARGIN - at - NOTCH } else { MARGIN + at }, words.percent(percent))
        });
        Row {
            top: row_top,
            letter: letter(at),
            colour,
            ink,
            lines,
            votes: counted.map_or_else(String::new, |(votes, _)| words.number(votes)),
            percent: counted.map_or_else(String::new, |(_, percent)| words.percent(percent)),
            bar_top,
            bar,
            bar_left: if rtl { WIDTH - MARGIN - bar } else { MARGIN },
            leads: results.is_some_and(|r| r.leads(&choice.id)),
            before,
        }
    });
    let rows: Vec<Row> = rows.collect();
    let foot = match results {
        None if was_asked => words.not_shown.to_owned(),
        None => words.of(Phase::NotAsked).to_owned(),
        Some(r) if r.voters == 0 => words.how_many(poll.counts_votes(), 0, r.is_final()),
        Some(r) => format!("{} · {}", words.how_many(poll.counts_votes(), r.voters, r.is_final()), words.status(r.is_final())),
    };
    let foot = words.round_before(poll.round) + &foot;
    let legend = before.map(|b| (words.of_round(b.round, &words.how_many(poll.counts_votes(), b.voters, true)), top + 22));
    top += if legend.is_some() { LEGEND_LINE } else { 0 };
    let mirrored = |from_start: usize, width: usize| if rtl { WIDTH - from_start - width } else { from_start };
    Picture {
        words,
        accent: shown.event.accent.as_ref().map_or(ACCENT, |accent| &accent.light),
        logo,
        title,
        rehearsal_top,
        question_top,
        question,
        rows,
        is_decided,
        foot,
        foot_top: top + 22,
        legend,
        notch_left: mirrored(MARGIN, NOTCH),
        legend_start: mirrored(MARGIN + NOTCH + 12, 0),
        height: top + 66,
        start: mirrored(MARGIN, 0),
        end: mirrored(WIDTH - MARGIN, 0),
        percents_end: if rtl { MARGIN + figures } else { WIDTH - MARGIN - votes_width - FIGURES_GAP },
        votes_end: if rtl { MARGIN + votes_width } else { WIDTH - MARGIN },
        tile: mirrored(MARGIN, TILE),
        text: mirrored(MARGIN + TILE + 16, 0),
    }
}

/// Lines of at most so many ems, broken between words where there are any.
fn wrapped(text: &str, most: f64) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always one");
        if line.is_empty() || ems(line) + ems(" ") + ems(word) <= most {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
        while ems(lines.last().expect("there is always one")) > most {
            let long = lines.pop().expect("there is always one");
            let at = breaking_point(&long, most);
            lines.extend([long[..at].to_owned(), long[at..].to_owned()]);
        }
    }
    lines
}

/// As many lines as it takes, but of one length rather than with one word left over.
fn balanced(text: &str, most: f64) -> Vec<String> {
    let lines = wrapped(text, most);
    let narrower = (1..40).map(|step| wrapped(text, most * f64::from(step) / 40.0));
    narrower.into_iter().find(|other| other.len() == lines.len()).unwrap_or(lines)
}

/// After the last character that fits, and after the first in any case.
fn breaking_point(word: &str, most: f64) -> usize {
    let mut width = 0.0;
    let fits = word.char_indices().take_while(|(_, c)| {
        width += em(*c);
        width <= most
    });
    let first = word.chars().next().map_or(0, char::len_utf8);
    fits.last().map_or(first, |(at, c)| at + c.len_utf8())
}

fn ems(text: &str) -> f64 {
    text.chars().map(em).sum()
}

/// How wide a character is in bold, in a wide font such as DejaVu Sans or Verdana: in others there is room left.
fn em(c: char) -> f64 {
    match c {
        '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}' | '\u{300}'..='\u{36f}' | '\u{64b}'..='\u{65f}' => 0.0,
        ' ' | '\u{a0}' | '\u{202f}' | 'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '’' | '|' | '!' => 0.42,
        't' | 'f' | 'r' | '(' | ')' | '[' | ']' => 0.5,
        'Ж' | 'Ш' | 'Щ' | 'Ю' | 'Ы' | 'Љ' | 'Њ' | 'Җ' | 'Ӂ' | 'Ѡ' => 1.34,
        'm' | 'w' | 'M' | 'W' | 'Ŵ' | 'Æ' | 'æ' | 'Œ' | 'œ' | '@' | '%' | '…' | '—' => 1.14,
        'М' | 'Ф' | 'Ъ' | 'ж' | 'ш' | 'щ' | 'ю' | 'ы' | 'ф' | 'љ' | 'њ' | 'җ' | 'Μ' | 'Ή' | 'س'..='ض' => 1.14,
        'м' | 'т' | 'д' | 'ъ' | 'ω' | 'ώ' | 'ψ' | 'φ' | '+' | '<' | '=' | '>' | '~' | '&' | '#' => 0.92,
        '0'..='9' => 0.7,
        // "İ", "Ĳ" and the like are as any other: better a line too many than a letter under a number.
        c if c.is_uppercase() => 0.9,
        // Of Armenian, Georgian and scripts of which no usual font is known to be narrower.
        '\u{530}'..='\u{58f}' | '\u{900}'..='\u{10ff}' => 0.98,
        '\u{1e00}'..='\u{1fff}' => 0.74,
        '\u{1100}'.. => 1.08, // wide scripts and emoji
        _ => 0.7,
    }
}

/// A to Z, then AA.
pub fn letter(at: usize) -> String {
    let last = char::from(b'A' + (at % 26) as u8);
    if at < 26 { last.to_string() } else { format!("{}{last}", letter(at / 26 - 1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_broken_between_words_and_long_words_anywhere() {
        assert_eq!(wrapped("one two three", 5.0), ["one two", "three"]);
        assert_eq!(wrapped("abcdeghkno", 2.9), ["abcd", "eghk", "no"]);
        assert_eq!(wrapped("", 4.0), [""]);
        assert_eq!(wrapped("👩‍🚀🚀", 0.5).concat(), "👩‍🚀🚀", "narrower than a character, and nothing is lost");
    }

    #[test]
    fn no_word_is_left_alone_on_a_second_line() {
        assert_eq!(wrapped("what should we do about it", 15.5), ["what should we do about", "it"]);
        assert_eq!(balanced("what should we do about it", 15.5), ["what should", "we do about it"]);
        assert_eq!(balanced("short", 15.5), ["short"]);
    }

    #[test]
    fn capitals_of_any_script_have_the_room_they_take() {
        // In DejaVu Sans Bold, of one size.
        for (text, wide) in
            [("МЫ ПЕРЕНОСИМ ГОДОВОЕ", 17.6), ("ЖДЁМ ВСЕХ", 7.6), ("ΜΕΤΑΦΕΡΟΥΜΕ", 9.6), ("ÄÖÜÄÖÜ", 4.9), ("WWWW", 4.4), ("ЩЩЩ", 4.0), ("жшщю", 4.2)]
        {
            assert!(ems(text) >= wide, "{text}: {} of {wide}", ems(text));
        }
    }

    #[test]
    fn after_z_letters_go_on() {
        assert_eq!((letter(0), letter(25), letter(26), letter(99)), ("A".into(), "Z".into(), "AA".into(), "CV".into()));
    }

    #[test]
    fn the_picture_has_the_colours_of_the_screens() {
        let (tokens, paper) = (include_str!("../../static/shared/tokens.css"), include_str!("../../static/shared/paper.css"));
        for (at, (colour, ink)) in CHOICE_COLOURS.iter().enumerate() {
            assert!(tokens.contains(&format!("--raw-{}: {colour};", at + 1)) && tokens.contains(&format!("--raw-on-{}: {ink};", at + 1)), "{colour}");
        }
        let rows = tokens.lines().map(str::trim).filter(|line| line.starts_with("--raw-1:") || line.starts_with("--raw-on-1:"));
        let rows: Vec<&str> = rows.inspect(|row| assert!(paper.contains(row), "pages do not have {row}")).collect();
        assert_eq!(rows.len(), 4, "colours and their letters, in light and dark");
        assert!(tokens.contains(&format!("--raw-wave: var(--accent-light, {ACCENT});")));
    }
}

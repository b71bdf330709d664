//! The fence between rooms: reads the sources and names every place where a room knows what it may not, with the rule and its reason.
//! Tests inside the sources stand behind the same fence.

use std::path::{Path, PathBuf};

/// Each room and whom it may name. Itself always.
const ROOMS: [(&str, &[&str]); 18] = [
    ("error", &[]),
    ("clock", &["domain"]),
    ("domain", &["error"]),
    ("store", &["domain", "error"]),
    ("wire", &["domain", "error", "store"]),
    ("queue", &["domain", "wire", "error"]),
    ("intake", &["domain", "queue", "error", "clock", "traces"]),
    ("tally", &["domain", "queue", "store", "error", "clock", "traces"]),
    ("live", &["domain", "store", "wire", "error", "clock"]),
    ("http", &["domain", "wire", "intake", "live", "store", "error", "clock", "traces"]),
    // What a span may say is spelled there, and it knows nobody.
    ("traces", &[]),
    // It holds what to rehearse, as it holds everything else that was asked for.
    ("config", &["domain", "http", "rehearsal", "error", "traces"]),
    // Voters from outside: they know the server by its address, or they would prove nothing.
    ("rehearsal", &["domain", "wire", "error", "clock"]),
    // Compares rows with what a server shows, and sees that from outside.
    ("recount", &["domain", "store", "rehearsal"]),
    // Mistakes on purpose, in no release: hooks of one line in the rooms that hold the rules.
    ("planted", &[]),
    ("app", EVERYBODY),
    ("lib", &[]),
    ("main", EVERYBODY),
];
const EVERYBODY: &[&str] =
    &["app", "clock", "config", "domain", "error", "http", "intake", "live", "queue", "recount", "rehearsal", "store", "tally", "traces", "wire"];

/// What of other people's crates stays in one place: the beginning of a path, where it may stand, and why.
const FOREIGN: [(&str, &[&str], &str); 17] = [
    ("opentelemetry", &["traces/"], "what a span may say is decided in one room"),
    ("opentelemetry_sdk", &["traces/"], "what a span may say is decided in one room"),
    ("opentelemetry_otlp", &["traces/"], "what a span may say is decided in one room"),
    ("opentelemetry_http", &["traces/"], "what a span may say is decided in one room"),
    ("ureq", &["traces/"], "it blocks, and so belongs to the thread that sends traces"),
    ("sqlx", &["store/"], "all SQL is in store, so that what a database promises is read in one room"),
    ("libsqlite3_sys", &["store/"], "all SQL is in store"),
    ("rusqlite", &["store/", "queue/spill/file.rs"], "all SQL is in store, but for the spill's own file, which is no database to anybody else"),
    ("rustix", &["queue/spill/writer.rs"], "the disk is looked at where votes are kept on it"),
    ("lapin", &["queue/rabbit/"], "the broker's traps are dealt with in one place"),
    ("actix_web", &["http/", "app.rs"], "rooms behind the door do not know HTTP"),
    ("actix_http", &["http/", "app.rs"], "rooms behind the door do not know HTTP"),
    ("actix_rt", &["http/", "app.rs"], "rooms behind the door do not know HTTP"),
    ("askama", &["http/", "rehearsal/page.rs"], "pages are drawn at the door; a report is a page that needs none"),
    ("tokio_rustls", &["rehearsal/line.rs"], "TLS ends at the edge: only who comes from outside speaks it"),
    ("rustls_native_certs", &["rehearsal/line.rs"], "TLS ends at the edge: only who comes from outside speaks it"),
    ("clap", &["config.rs", "config/"], "settings are read once"),
];

/// The rules of voting are functions of their arguments: the same tomorrow, on another machine, in a recount.
const NOT_IN_DOMAIN: [&str; 12] =
    ["std::time", "std::fs", "std::net", "std::env", "std::process", "std::thread", "tokio", "rand", "fastrand", "getrandom", "jiff", "futures_util"];

/// Keys of JSON are spelled in wire alone. But for: the problem document, which is http's own; a query string; and the voters from outside.
const SPELLS_KEYS: [&str; 4] = ["wire/", "http/problem.rs", "http/export.rs", "rehearsal/"];

#[test]
fn no_room_names_one_it_may_not() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 40, "the sources are where this test looks for them");
    let broken: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let path = file.strip_prefix(&root).expect("below").to_str().expect("ASCII").replace('\\', "/");
            violations(&path, &std::fs::read_to_string(file).expect("readable"))
        })
        .collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn the_fence_catches_what_is_planted() {
    for (path, text) in [
        // A room it may not name, in every way there is to say it.
        ("domain/poll.rs", "use crate::store::Store;"),
        ("domain/poll.rs", "fn f() { let _ = crate::clock::now_ms(); }"),
        ("store/read.rs", "use crate::{domain::Poll, wire::batch::encode};"),
        ("store/read.rs", "use crate::{domain::{Poll, PollId}, error::Error, live};"),
        ("tally/mod.rs", "use super::http;"),
        ("intake/desk.rs", "use super::super::tally::Worker;"),
        ("intake/desk.rs", "pub(in crate::store) fn f() {}"),
        ("live/mod.rs", "mod tests { use super::super::queue::Queue; }"),
        ("queue/memory.rs", "#[cfg(test)] mod tests { use crate::tally::Worker; }"),
        ("http/mod.rs", "pub(crate) use crate::tally as counting;"),
        ("wire/vote.rs", "impl From<crate::http::Problem> for X {}"),
        ("store/mod.rs", "macro_rules! m { () => { $crate::queue::Queue } }"),
        ("queue/mod.rs", "use groundswell::store::Store;"),
        // The top of the house belongs to nobody.
        ("http/site.rs", "use crate::app::Application;"),
        ("config.rs", "use crate::app;"),
        ("clock.rs", "use crate::*;"),
        ("newroom/mod.rs", "fn f() {}"),
        // Other people's crates.
        ("tally/mod.rs", "fn f(e: sqlx::Error) {}"),
        ("queue/mod.rs", "use lapin::Channel;"),
        ("intake/lane.rs", "use rusqlite::Connection;"),
        ("queue/memory.rs", "use {std::fmt, lapin as broker};"),
        ("intake/mod.rs", "use ::actix_web::web;"),
        ("app.rs", "fn f() -> actix_web::HttpResponse { HttpResponse::Ok() }"),
        ("live/frame.rs", "type Answer = HttpResponse;"),
        // No clock, no chance, no IO in the rules.
        ("domain/poll.rs", "use std::time::SystemTime;"),
        ("domain/poll.rs", "use std::{collections::BTreeMap, time::{Duration, Instant}};"),
        ("domain/poll.rs", "fn f() -> u32 { fastrand::u32(..) }"),
        ("domain/poll.rs", "#[tokio::test] fn f() {}"),
        ("domain/poll.rs", "fn f() { std::fs::read(\"x\"); }"),
        // Keys.
        ("live/frame.rs", "#[derive(Clone, serde::Serialize)] struct A { key: u8 }"),
        ("http/office.rs", "#[derive(Deserialize)] struct A { key: u8 }"),
        ("http/office.rs", "fn f() { serde_json::json!({\"key\": 1}); }"),
        ("store/read.rs", "struct A { #[serde(rename = \"k\")] key: u8 }"),
    ] {
        let found = violations(path, text);
        assert!(!found.is_empty() && found.iter().all(|v| v.starts_with(&format!("{path}: "))), "{path}: {text}\n{found:?}");
    }
    for (path, text) in [
        ("domain/poll.rs", "use super::{Pick, tidy}; use crate::error::Error; use std::collections::BTreeMap;"),
        ("domain/poll.rs", "// use crate::store::Store;\n/* sqlx::query /* crate::app */ */ const A: &str = \"crate::http lapin::x\"; const B: char = '\"';"),
        ("domain/poll.rs", "const A: &str = r#\"use \"crate::store\" here\"#; fn f<'a>(a: &'a str) -> &'a str { a }"),
        ("domain/poll.rs", "mod tests { use super::super::Poll; use super::*; }"),
        ("store/mod.rs", "macro_rules! m { () => { $crate::store::Pool } } use self::read::x;"),
        ("store/read.rs", "use crate::{domain::{Poll, PollId}, error::Error}; fn f(x: &X) { x.live.http(); }"),
        ("queue/rabbit/consume.rs", "use lapin::Channel; use crate::wire::batch::{decode, encode};"),
        ("http/body.rs", "pub fn parse<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> HttpResponse { actix_web::x() }"),
        ("app.rs", "use crate::http::{self, Site}; use crate::tally::Worker; use actix_web::App;"),
        ("main.rs", "use groundswell::app::Application; use groundswell::store::Store;"),
        ("wire/vote.rs", "#[derive(Serialize)] #[serde(deny_unknown_fields)] struct A { key: u8 }"),
    ] {
        assert_eq!(violations(path, text), Vec::<String>::new(), "{path}: {text}");
    }
}

/// What is wrong with one file; `path` is relative to `src`.
fn violations(path: &str, text: &str) -> Vec<String> {
    let room = path.split(['/', '.']).next().expect("a path has a beginning");
    let Some((_, may)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return vec![format!("{path}: there is no room `{room}` in the design. Give it its neighbours in tests/contracts/fence.rs, with a reason.")];
    };
    let tokens = tokens(text);
    let mut found = Vec::new();
    for named in paths(path, &tokens) {
        let whole = named.join("::");
        let first = named[0].as_str();
        match (first, named.get(1).map(String::as_str)) {
            ("crate", Some("*")) => found.push(format!("{path}: `{whole}` names every room; name those that are meant")),
            ("crate", Some(other)) if EVERYBODY.contains(&other) && other != room && !may.contains(&other) => found.push(match other {
                "app" => format!("{path}: `{whole}`: nothing imports app but main, because app knows everybody"),
                _ => format!("{path}: `{whole}`: {room} may name {may:?} and not {other}; it belongs to a room that may name both, or in app"),
            }),
            _ => {}
        }
        for (foreign, places, why) in FOREIGN {
            if first == foreign && !stands_in(path, places) {
                found.push(format!("{path}: `{whole}`: {foreign} stays in {places:?}: {why}"));
            }
        }
        if named.iter().any(|part| part == "HttpResponse") && !stands_in(path, &["http/"]) {
            found.push(format!("{path}: `{whole}`: answers are made in http alone; elsewhere the house has one Error"));
        }
        if room == "domain" && NOT_IN_DOMAIN.iter().any(|never| whole == *never || whole.starts_with(&format!("{never}::"))) {
            found.push(format!("{path}: `{whole}`: the rules of voting are functions of their arguments, without clock, chance or IO"));
        }
    }
    if !stands_in(path, &SPELLS_KEYS) {
        found.extend(keys(&tokens).map(|what| format!("{path}: `{what}`: keys of JSON are spelled in wire alone, so that a shape is changed in one place")));
    }
    found
}

fn stands_in(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| path == *place || (place.ends_with('/') && path.starts_with(place)))
}

/// Places where JSON keys are spelled.
fn keys(tokens: &[String]) -> impl Iterator<Item = &'static str> + '_ {
    let word = |at: usize| tokens.get(at).map_or("", String::as_str);
    (0..tokens.len()).filter_map(move |at| match (word(at), word(at + 1)) {
        ("serde", "(") if at >= 2 && word(at - 1) == "[" => Some("#[serde(…)]"),
        ("json", "!") => Some("json!"),
        ("derive", "(") => {
            let names = tokens[at..].iter().take_while(|t| *t != ")");
            names.into_iter().any(|t| t == "Serialize" || t == "Deserialize").then_some("#[derive(Serialize or Deserialize)]")
        }
        _ => None,
    })
}

/// All paths a file names, braces written out and `super` resolved; `crate` first where they stay in the house.
fn paths(file: &str, tokens: &[String]) -> Vec<Vec<String>> {
    // The modules we are in: those of the file, and the depth of the brace that ends each inline one.
    let mut modules: Vec<String> = file.trim_end_matches(".rs").split('/').filter(|m| !["mod", "lib", "main"].contains(m)).map(str::to_owned).collect();
    let mut ends: Vec<usize> = Vec::new();
    let (mut depth, mut at, mut found) = (0, 0, Vec::new());
    while at < tokens.len() {
        let word = tokens[at].as_str();
        match word {
            "mod" if tokens.get(at + 2).is_some_and(|t| t == "{") => {
                modules.push(tokens[at + 1].clone());
                depth += 1;
                ends.push(depth);
                at += 3;
                continue;
            }
            "{" => depth += 1,
            "}" => {
                if ends.last() == Some(&depth) {
                    ends.pop();
                    modules.pop();
                }
                depth = depth.saturating_sub(1);
            }
            "use" => {
                let mut trees = Vec::new();
                at = tree(tokens, at + 1, &[], &mut trees);
                found.extend(trees.into_iter().map(|path| resolved(path, &modules)));
                continue;
            }
            // A field or method is not a path.
            _ if is_name(word) && (at == 0 || tokens[at - 1] != ".") => {
                let mut path = vec![word.to_owned()];
                while tokens.get(at + 1).is_some_and(|t| t == "::") && tokens.get(at + 2).is_some_and(|t| is_name(t)) {
                    path.push(tokens[at + 2].clone());
                    at += 2;
                }
                if path.len() > 1 || word == "HttpResponse" {
                    found.push(resolved(path, &modules));
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// One tree of a `use`, written out. Returns where it ends.
fn tree(tokens: &[String], mut at: usize, before: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut path = before.to_vec();
    while at < tokens.len() {
        match tokens[at].as_str() {
            "{" => {
                at += 1;
                while at < tokens.len() && tokens[at] != "}" {
                    at = tree(tokens, at, &path, found);
                    at += usize::from(tokens.get(at).is_some_and(|t| t == ","));
                }
                return at + 1;
            }
            "as" => at += 2,
            "::" => at += 1,
            ";" | "," | "}" => break,
            name => {
                path.push(name.to_owned());
                at += 1;
            }
        }
    }
    if path.len() > before.len() {
        found.push(path);
    }
    at
}

fn resolved(path: Vec<String>, modules: &[String]) -> Vec<String> {
    let mut here: Vec<String> = modules.to_vec();
    let mut rest = path.as_slice();
    let relative = matches!(rest[0].as_str(), "self" | "super");
    while let [first, after @ ..] = rest
        && (first == "self" || first == "super")
    {
        if first == "super" {
            here.pop();
        }
        rest = after;
    }
    match (relative, rest.first().map(String::as_str)) {
        (true, _) => [&["crate".to_owned()], here.as_slice(), rest].concat(),
        // What main sees of the house from outside.
        (_, Some("groundswell")) => [&["crate".to_owned()], &rest[1..]].concat(),
        _ => path,
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// Names, `::` and single signs; comments, strings, characters and lifetimes left out.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let name = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len();
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            comment(rest)
        } else if let Some(raw) = raw_string(rest) {
            raw
        } else if name > 0 {
            tokens.push(rest[..name].to_owned());
            name
        } else if c == '"' {
            quoted(rest, '"')
        } else if c == '\'' {
            // 'x' and '\n' are characters, 'a is a lifetime.
            let mut after = rest[1..].chars();
            if after.next() == Some('\\') || after.next() == Some('\'') { quoted(rest, '\'') } else { 1 }
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            if !c.is_whitespace() {
                tokens.push(c.to_string());
            }
            c.len_utf8()
        };
        rest = &rest[skip..];
    }
    tokens
}

/// Comments stand in comments.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        let (open, close) = (text[at..].find("/*"), text[at..].find("*/"));
        match (open, close) {
            (Some(open), Some(close)) if open < close => (depth, at) = (depth + 1, at + open + 2),
            (_, Some(close)) => (depth, at) = (depth - 1, at + close + 2),
            (_, None) => return text.len(),
        }
        if depth == 0 {
            return at;
        }
    }
}

/// `r"…"`, `r#"…"#`, `br"…"`; plain `b"…"` is a name and a string.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then(|| {
        let begin = text.len() - after.len() + hashes + 1;
        let end = format!("\"{}", "#".repeat(hashes));
        text[begin..].find(&end).map_or(text.len(), |at| begin + at + end.len())
    })
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

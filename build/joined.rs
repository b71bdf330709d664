//! Fewer requests from the same sources: a script with all that it imports, and a page with its style, as one file each. No parser: the
//! few forms that are understood are spelled here, and any other stops the build.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::str::Chars;

/// Puts what `entry` imports in front of it, each once, and takes those files out of `files`. As if everything had been written in one file, so
/// no two of them may use one name at the top. `import("…")` stays what it is: asked for when it is needed.
pub fn scripts(files: &mut BTreeMap<String, String>, entry: &str) {
    let (mut text, mut order) = (String::new(), Vec::new());
    join(files, entry, &mut order, &mut Vec::new(), &mut text);
    let mut names = BTreeSet::new();
    for name in text.lines().filter_map(declared) {
        assert!(names.insert(name), "two files joined into static/{entry} both declare `{name}` at the top");
    }
    for part in order {
        files.remove(&part);
    }
    files.insert(entry.to_owned(), text);
}

fn join(files: &BTreeMap<String, String>, name: &str, done: &mut Vec<String>, under_way: &mut Vec<String>, out: &mut String) {
    if done.iter().any(|d| d == name) {
        return;
    }
    assert!(!under_way.iter().any(|n| n == name), "these import each other in a circle: {under_way:?}");
    under_way.push(name.to_owned());
    let mut own = String::new();
    for line in files.get(name).unwrap_or_else(|| panic!("static/{name} is imported and is not there")).lines() {
        if line.starts_with("import ") {
            let other = line.strip_prefix("import { ").and_then(|l| l.split_once(" } from \"/assets/")?.1.strip_suffix("\";"));
            let other = other.filter(|_| !line.contains(" as ")).unwrap_or_else(|| panic!("static/{name}: an import that is not understood: {line}"));
            join(files, other, done, under_way, out);
        } else {
            let line = line.strip_prefix("export ").unwrap_or(line);
            assert!(!line.starts_with("default ") && !line.starts_with('{'), "static/{name}: an export that is not understood: {line}");
            own.push_str(line);
            own.push('\n');
        }
    }
    out.push_str(&own);
    under_way.pop();
    done.push(name.to_owned());
}

/// A script with fewer line ends: behind these marks one means nothing, as every statement of ours ends with its own. Nor does the last mark in a
/// block, but behind a loop that has none. Not where a text goes over several lines.
pub fn lines(text: &str) -> String {
    if text.lines().any(|line| line.matches('`').count() % 2 == 1) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut is_loop = false;
    for line in text.lines() {
        if line.starts_with('}') && out.ends_with(';') && !is_loop {
            out.pop();
        }
        out.push_str(line);
        if !line.ends_with(['{', '}', ';', ',', '(', '[']) {
            out.push('\n');
        }
        is_loop = line.starts_with("for ") || line.starts_with("while ");
    }
    out
}

/// A script in which all names are declared by the shorter word, and those of lines that follow each other by one. That some of them never change
/// was checked before (`npm run types`).
pub fn declarations(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut goes_on = false; // the line before declares, and that is all it does
    for line in text.lines() {
        let line = line.replace("for (const ", "for (let ");
        let declared = line.strip_prefix("const ").or_else(|| line.strip_prefix("let "));
        match declared {
            Some(rest) if goes_on => {
                out.truncate(out.len() - ";\n".len());
                out.push_str(", ");
                out.push_str(rest);
            }
            Some(rest) => {
                out.push_str("let ");
                out.push_str(rest);
            }
            None => out.push_str(&line),
        }
        out.push('\n');
        goes_on = declared.is_some_and(|rest| rest.ends_with(';') && rest.matches(';').count() == 1);
    }
    out
}

/// A script with fewer spaces: beside these marks one means nothing. Not in a text, nor in a line that ends inside of one; a pattern with a quote in
/// it would be taken for the beginning of a text.
pub fn spaces(text: &str) -> String {
    if text.lines().any(|line| line.matches('`').count() % 2 == 1) {
        return text.to_owned();
    }
    text.lines().map(|line| narrow(line).unwrap_or_else(|| line.to_owned())).collect::<Vec<_>>().join("\n")
}

fn narrow(line: &str) -> Option<String> {
    let is_mark = |c: Option<char>| c.is_some_and(|c| "=<>!?:&|{},;()".contains(c));
    let is_sign = |c: Option<char>| c.is_some_and(|c| "+-*/%".contains(c));
    let follows = |chars: &Peekable<Chars<'_>>, at: usize, any: &str| chars.clone().nth(at).is_some_and(|c| any.contains(c));
    let mut out = String::with_capacity(line.len());
    let (mut quote, mut depth) = (None, 0); // code inside a text is left as it is, too
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match quote {
            // Two signs beside each other would be another one.
            None if c == ' ' && is_sign(chars.peek().copied()) && follows(&chars, 1, " ") && !follows(&chars, 2, "+-/") => {
                out.extend(chars.next());
                chars.next();
                continue;
            }
            None if c == ' ' && out.ends_with(';') && chars.peek() == Some(&'}') => {
                out.pop();
                continue;
            }
            None if c == ' ' && (is_mark(out.chars().next_back()) || is_mark(chars.peek().copied())) => continue,
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            None => {}
            Some(_) if c == '\\' => {
                out.push(c);
                out.extend(chars.next());
                continue;
            }
            Some('`') if c == '{' && out.ends_with('$') => depth += 1,
            Some('`') if c == '}' && depth > 0 => depth -= 1,
            Some(end) if c == end && depth > 0 => return None, // a text in a text in a text
            Some(end) if c == end => quote = None,
            Some(_) => {}
        }
        out.push(c);
    }
    quote.is_none().then_some(out)
}

/// The name that a line declares at the top of its file.
fn declared(line: &str) -> Option<&str> {
    let line = line.strip_prefix("async ").unwrap_or(line);
    let rest = ["const ", "let ", "function ", "class "].iter().find_map(|word| line.strip_prefix(word))?;
    rest.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '$').next()
}

/// `<link rel="stylesheet" href="/assets/…" data-inline>` becomes the style itself: a page that cannot be there without it. Returns the
/// style of each such page, whose hash its content security policy has to name.
pub fn styles(files: &mut BTreeMap<String, String>) -> BTreeMap<String, String> {
    const LINK: (&str, &str) = ("<link rel=\"stylesheet\" href=\"/assets/", "\" data-inline>");
    let mut styles = BTreeMap::new();
    let pages: Vec<String> = files.keys().filter(|name| name.ends_with(".html")).cloned().collect();
    for page in pages {
        let Some((before, after)) = files[&page].split_once(LINK.1) else { continue };
        let (before, name) = before.rsplit_once(LINK.0).unwrap_or_else(|| panic!("static/{page}: data-inline stands at something else than a style"));
        let style = first_names(files.get(name).unwrap_or_else(|| panic!("static/{page} names static/{name}, which is not there")));
        assert!(!style.contains("</") && !style.contains("/assets/"), "static/{name} cannot stand inside a page");
        let (text, style, name) = (format!("{before}<style>{style}</style>{after}"), style, name.to_owned());
        files.insert(page.clone(), text);
        files.remove(&name);
        styles.insert(page, style);
    }
    styles
}

/// What a colour means is a second name for it, for whoever reads the source: a phone does with the first, and need not be told that it is raw.
fn first_names(style: &str) -> String {
    let names = style.split(['{', ';', '}']).filter_map(|definition| definition.split_once(':'));
    let second = names.filter(|(name, value)| name.starts_with("--color-") && value.starts_with("var(--raw-") && value.ends_with(')'));
    let first = second.fold(style.to_owned(), |style, (name, value)| {
        assert_eq!(style.matches(&format!("{name}:")).count(), 1, "{name} means one colour everywhere");
        style.replace(&format!("{name}:{value};"), "").replace(&format!("var({name})"), value)
    });
    assert!(!first.contains("--color-"), "a colour is another's second name, and is used without a fallback");
    first.replace("--raw-", "--")
}

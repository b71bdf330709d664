//! Fewer requests from the same sources: a script with all that it imports, and a page with its style, as one file each. No parser: the
//! few forms that are understood are spelled here, and any other stops the build.

use std::collections::{BTreeMap, BTreeSet};

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

//! Embeds `static/`: files get content-hashed names, references to them are rewritten, and every body is compressed once, here.
//!
//! Files name each other as "/assets/<path below static>". HTML files are pages: they keep their address and name hashed files. What a phone
//! in a full stadium asks for is put together first (`build/joined.rs`): fewer requests, the same sources.

#[path = "build/joined.rs"]
mod joined;
#[path = "build/shortened.rs"]
mod shortened;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use sha2::{Digest, Sha256};

/// The audience app: one script, and a page with its style in it.
const APP: &str = "vote/vote.js";
/// The service worker has an address of its own: only at the top may it answer for the pages there, and a browser looks for the next one under it.
const WORKER: (&str, &str) = ("vote/sw.js", "/sw.js");

/// What stands around an address, in a page or in a script.
const QUOTES: [char; 3] = ['"', '\'', '`'];

/// Enough to never meet twice among a few dozen files, short enough to read.
const HASH_CHARS: usize = 12;

fn main() {
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=static");
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-changed=templates");
    let mut files = BTreeMap::new();
    collect(Path::new("static"), Path::new("static"), &mut files);
    let (texts, binaries): (BTreeMap<_, _>, BTreeMap<_, _>) = files.into_iter().partition(|(name, _)| is_text(name));
    let mut texts: BTreeMap<String, String> = texts.into_iter().map(read).collect();
    joined::scripts(&mut texts, APP);
    for (name, text) in &mut texts {
        if name.ends_with(".js") {
            *text = shortened::script(name, text);
        } else if name.ends_with(".html") {
            *text = text.lines().map(str::trim_start).collect::<Vec<_>>().join("\n");
            if name.starts_with("vote/") {
                // Between blocks and in flex boxes it means nothing. Spans are words of one line.
                *text = text.replace(">\n<span", "> <span").replace(">\n<", "><");
            }
        } else if name.ends_with(".css") {
            *text = tight(text);
        }
    }
    let styles = joined::styles(&mut texts);
    let files = texts.into_iter().map(|(name, text)| (name, text.into_bytes())).chain(binaries).collect();
    let mut house = House { files, done: BTreeMap::new(), under_way: Vec::new() };
    let names: Vec<String> = house.files.keys().cloned().collect();
    for name in &names {
        house.finish(name);
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let mut table = String::from("pub static ASSETS: &[Asset] = &[\n");
    for (name, file) in &house.done {
        let stem = out.join(name.replace('/', "__"));
        let write = |ending: &str, bytes: &[u8]| {
            let path = PathBuf::from(format!("{}.{ending}", stem.display()));
            fs::write(&path, bytes).expect("OUT_DIR can be written");
            path.display().to_string()
        };
        let (plain, brotli, gzip) = (write("plain", &file.body), write("br", &brotli(&file.body)), write("gz", &gzip(&file.body)));
        writeln!(
            table,
            "    Asset {{ url: {:?}, named: {}, style: {:?}, content_type: {:?}, etag: {:?}, plain: include_bytes!({plain:?}), brotli: include_bytes!({brotli:?}), gzip: include_bytes!({gzip:?}) }},",
            file.url,
            keeps_its_name(name),
            styles.get(name).map(|style| format!("sha256-{}", base64(&Sha256::digest(style)))),
            content_type(name),
            format!("\"{}\"", file.hash),
        )
        .expect("writing to a String cannot fail");
    }
    table.push_str("];\n");
    fs::write(out.join("assets.rs"), table).expect("OUT_DIR can be written");
}

struct House {
    files: BTreeMap<String, Vec<u8>>,
    done: BTreeMap<String, Finished>,
    under_way: Vec<String>,
}

struct Finished {
    url: String,
    hash: String,
    body: Vec<u8>,
}

impl House {
    /// Rewrites what the file refers to, those files first, then names it by its own bytes.
    fn finish(&mut self, name: &str) {
        if self.done.contains_key(name) {
            return;
        }
        assert!(!self.under_way.iter().any(|n| n == name), "these files of static/ name each other in a circle: {:?}", self.under_way);
        self.under_way.push(name.to_owned());
        let mut body = self.files[name].clone();
        if is_text(name) {
            let mut text = String::from_utf8(body).expect("read as text");
            for other in self.files.keys().cloned().collect::<Vec<_>>() {
                for quote in QUOTES {
                    let reference = format!("{quote}/assets/{other}{quote}");
                    if other != name && text.contains(&reference) {
                        self.finish(&other);
                        text = text.replace(&reference, &format!("{quote}{}{quote}", self.done[&other].url));
                    }
                }
            }
            check_references(name, &text, &self.done);
            body = text.into_bytes();
        }
        let hash = hex::encode(Sha256::digest(&body))[..HASH_CHARS].to_owned();
        let url = match (keeps_its_name(name), name.rsplit_once('.')) {
            (true, _) if name == WORKER.0 => WORKER.1.to_owned(),
            (true, _) => format!("/{name}"),
            (false, Some((stem, ending))) => format!("/assets/{stem}.{hash}.{ending}"),
            (false, None) => format!("/assets/{name}.{hash}"),
        };
        self.done.insert(name.to_owned(), Finished { url, hash, body });
        self.under_way.pop();
    }
}

fn read((name, body): (String, Vec<u8>)) -> (String, String) {
    let text = String::from_utf8(body).unwrap_or_else(|_| panic!("static/{name} is not UTF-8"));
    (name, text)
}

/// Style without what only people need: comments, and spaces that mean nothing (between selectors and in values they do).
fn tight(css: &str) -> String {
    assert!(!css.contains("url("), "an address in a style may hold any of these");
    let mut bare = String::with_capacity(css.len());
    for (at, piece) in css.split("/*").enumerate() {
        bare.push_str(if at == 0 { piece } else { piece.split_once("*/").expect("a comment ends").1 });
    }
    let text = bare.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let spaces = [(" {", "{"), ("{ ", "{"), ("; ", ";"), (": ", ":"), (", ", ","), (" }", "}"), ("} ", "}"), (";}", "}"), (" > ", ">"), (" ~ ", "~")];
    let zeros = [(":0.", ":."), (",0.", ",."), (" 0.", " ."), ("(0.", "(."), ("-0.", "-.")];
    spaces.iter().chain(&zeros).fold(text, |text, (loose, tight)| text.replace(loose, tight))
}

/// A reference that was not rewritten names a file that is not there: a page that would break in front of an audience.
fn check_references(name: &str, text: &str, done: &BTreeMap<String, Finished>) {
    for quote in QUOTES {
        for piece in text.split(&format!("{quote}/assets/")).skip(1) {
            let url = format!("/assets/{}", piece.split(quote).next().unwrap_or_default());
            assert!(done.values().any(|f| f.url == url), "static/{name} names {url}, which does not exist");
        }
    }
}

fn collect(root: &Path, directory: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(root, &path, files);
        } else if !path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.')) {
            let name = path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
            files.insert(name, fs::read(&path).expect("a file that was just listed can be read"));
        }
    }
}

fn keeps_its_name(name: &str) -> bool {
    name.ends_with(".html") || name == WORKER.0
}

fn is_text(name: &str) -> bool {
    [".html", ".css", ".js", ".svg", ".json", ".webmanifest"].iter().any(|ending| name.ends_with(ending))
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("png") => "image/png",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// As a content security policy spells a hash.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().chain(&[0, 0]).take(3).fold(0u32, |group, byte| group << 8 | u32::from(*byte));
        for at in 0..4 {
            let sextet = (group >> (18 - 6 * at)) & 63;
            out.push(if at <= chunk.len() { char::from(ALPHABET[sextet as usize]) } else { '=' });
        }
    }
    out
}

fn brotli(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let parameters = brotli::enc::BrotliEncoderParams { quality: 11, lgwin: 22, ..Default::default() };
    brotli::BrotliCompress(&mut &body[..], &mut out, &parameters).expect("memory does not fail");
    out
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(body).expect("memory does not fail");
    encoder.finish().expect("memory does not fail")
}

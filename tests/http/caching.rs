//! Pages and their files: names that are their content, compressed once, and nothing a page asks for is missing.

use std::collections::{BTreeMap, BTreeSet};

use groundswell::http::{Asset, assets, sha256};

use crate::client::Line;
use crate::hall::Hall;
use crate::support::Backend;

const PAGES: [(&str, &str); 7] = [
    ("/", "vote"),
    ("/482913", "vote"),
    ("/admin", "admin"),
    ("/admin/events/x", "admin"),
    ("/present/x", "present"),
    ("/overlay/x", "overlay"),
    ("/embed/x", "overlay"),
];

#[test]
fn a_file_is_named_by_its_content_and_comes_in_every_coding() {
    let hall = Hall::open(Backend::Embedded);
    let mut line = Line::to(&hall);
    for Asset { url, etag, plain, brotli, gzip, content_type, page } in assets() {
        if *page {
            continue;
        }
        let hash = &hex::encode(sha256(plain))[..12];
        assert!(url.contains(&format!(".{hash}.")), "{url} is not named by its content, {hash}");
        for (accepted, coding, bytes) in [
            ("br", Some("br"), brotli),
            ("gzip, deflate, br, zstd", Some("br"), brotli),
            ("gzip", Some("gzip"), gzip),
            ("gzip;q=1.0, br;q=0", Some("gzip"), gzip),
            ("identity", None, plain),
            ("", None, plain),
            ("*;q=0", None, plain),
            ("gotcha", None, plain),
        ] {
            let (answer, body) = line.ask_bytes("GET", url, &[("accept-encoding", accepted)], None);
            assert_eq!((answer.status, answer.header("content-encoding")), (200, coding), "{url} {accepted}");
            assert!(body == *bytes, "{url} {accepted}: other bytes");
            assert_eq!(answer.header("vary").map(str::to_lowercase).as_deref(), Some("accept-encoding"), "{url}");
            assert_eq!((answer.header("etag"), answer.header("content-type")), (Some(*etag), Some(*content_type)), "{url}");
            let (head, nothing) = line.ask_bytes("HEAD", url, &[("accept-encoding", accepted)], None);
            assert_eq!((head.status, nothing.len(), head.header("content-encoding")), (200, 0, coding), "HEAD {url} {accepted}");
            assert_eq!(head.header("content-length"), answer.header("content-length"), "HEAD {url} {accepted}");
        }
        let (known, body) = line.ask_bytes("GET", url, &[("if-none-match", etag)], None);
        assert_eq!((known.status, body.len(), known.header("etag")), (304, 0, Some(*etag)), "{url}");
        assert!(known.header("cache-control").is_some_and(|c| c.contains("immutable")) && known.header("vary").is_some(), "{url}: {known:?}");
        // Another content is another name: the old name is gone, not answered with something else.
        let (gone, _) = line.ask_bytes("GET", &url.replace(hash, "000000000000"), &[], None);
        assert_eq!((gone.status, gone.header("cache-control")), (404, Some("no-store")), "{url}");
    }
}

#[test]
fn a_page_is_the_same_bytes_for_every_code() {
    let hall = Hall::open(Backend::Embedded);
    let event = hall.event();
    let page = hall.get("/").expect(200);
    for path in [
        format!("/{}", event.code),
        "/999999".into(),
        "/final".into(),
        "/FINAL-2026".into(),
        format!("/{}%20{}", &event.code[..3], &event.code[3..]),
        format!("/{}?x=gotcha", event.code),
    ] {
        let other = hall.get(&path).expect(200);
        assert_eq!(
            (other.body, other.headers.iter().find(|(n, _)| n == "etag")),
            (page.body.clone(), page.headers.iter().find(|(n, _)| n == "etag")),
            "{path}"
        );
    }
    let tag = page.header("etag").expect("a tag");
    let known = hall.call("GET", &format!("/{}", event.code), &[("if-none-match", tag)], None).expect(304);
    assert_eq!(known.body, "");
}

#[test]
fn everything_a_page_asks_for_exists_and_is_ours() {
    let hall = Hall::open(Backend::Embedded);
    let known: BTreeMap<&str, &Asset> = assets().iter().map(|a| (a.url, a)).collect();
    let event = hall.event();
    let drawn = [format!("/results/{}", event.code), format!("/poster/{}", event.code)];
    let paths = PAGES.iter().map(|(path, _)| (*path).to_owned()).chain(drawn);
    let mut wanted: Vec<(String, String)> = paths.map(|path| (path.clone(), hall.get(&path).expect(200).body)).collect();
    let mut seen = BTreeSet::new();
    while let Some((from, text)) = wanted.pop() {
        for outside in ["src=\"http", "src=\"//", "href=\"http", "href=\"//", "@import url(http", "url(http", "from \"http", "import(\"http"] {
            assert!(!text.contains(outside), "{from} asks another site: {outside}");
        }
        for piece in text.split("/assets/").skip(1) {
            let name = piece.split(['"', '\'', ')', '`', '\\', ' ', '\n', '?', '#']).next().unwrap();
            let url = format!("/assets/{name}");
            let asset = known.get(url.as_str()).unwrap_or_else(|| panic!("{from} names {url}, which does not exist"));
            if seen.insert(url.clone()) {
                let answer = hall.get(&url).expect(200);
                wanted.extend(std::str::from_utf8(asset.plain).map(|text| (url, text.to_owned())));
                assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            }
        }
        if from.starts_with('/') && !from.starts_with("/assets/") {
            // The policy allows none of these; they would be dead on arrival.
            for inline in ["<script>", "<style>", " style=\"", " onclick=\"", " onerror=\"", "javascript:"] {
                assert!(!text.contains(inline), "{from} has {inline}");
            }
        }
    }
    assert!(seen.len() >= 8, "{seen:?}");
    let unused: Vec<&str> = assets().iter().filter(|a| !a.page && !seen.contains(a.url)).map(|a| a.url).collect();
    assert!(unused.is_empty(), "embedded and asked for by nobody: {unused:?}");
}

#[test]
fn the_audience_app_is_small_in_every_language() {
    const BYTES_MAX: usize = 15_000;
    const REQUESTS_MAX: usize = 4;
    /// English is in the app itself; each other language is one more file, and a phone asks for one.
    const LANGUAGES: [&str; 4] = ["de", "fr", "es", "ar"];
    let hall = Hall::open(Backend::Embedded);
    let known: BTreeMap<&str, &Asset> = assets().iter().map(|a| (a.url, a)).collect();
    let mut files: BTreeSet<&str> = BTreeSet::from(["/vote/index.html"]);
    let mut wanted = vec![hall.get("/").expect(200).body];
    while let Some(text) = wanted.pop() {
        for (url, asset) in known.iter().filter(|(url, _)| url.starts_with("/assets/")) {
            if text.contains(url) && files.insert(*url) {
                wanted.push(String::from_utf8_lossy(asset.plain).into_owned());
            }
        }
    }
    let language_of = |url: &str| LANGUAGES.into_iter().find(|l| url.starts_with(&format!("/assets/vote/{l}.")));
    assert_eq!(files.iter().filter_map(|url| language_of(url)).collect::<BTreeSet<_>>(), BTreeSet::from(LANGUAGES), "all are there");
    for language in LANGUAGES {
        let asked: Vec<&str> = files.iter().copied().filter(|url| language_of(url).is_none_or(|l| l == language)).collect();
        let bytes: usize = asked.iter().map(|url| known[url].brotli.len()).sum();
        assert!(bytes <= BYTES_MAX && asked.len() <= REQUESTS_MAX, "{language}: {bytes} bytes in {asked:?}");
    }
}

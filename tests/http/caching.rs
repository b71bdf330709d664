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
    for Asset { url, etag, plain, brotli, gzip, content_type, named, .. } in assets() {
        if *named {
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
        for outside in
            ["src=\"http", "src=\"//", "href=\"http", "href=\"//", "@import url(http", "url(http", "from\"http", "from \"http", "import(\"http", "import(`http"]
        {
            // Named whole for other sites; no browser asks for it.
            let asked = text.replace("type=\"application/json+oembed\" href=\"http", "");
            assert!(!asked.contains(outside), "{from} asks another site: {outside}");
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
            for inline in ["<script>", " style=\"", " onclick=\"", " onerror=\"", "javascript:"] {
                assert!(!text.contains(inline), "{from} has {inline}");
            }
            let app = PAGES.iter().find(|(path, _)| *path == from).map(|(_, app)| *app);
            assert!(app == Some("vote") || !text.contains("<style>"), "{from} has a style that its policy does not name");
        }
    }
    assert!(seen.len() >= 8, "{seen:?}");
    // Pages that are exported for another origin ask for this one (sharing.rs).
    let exported = |url: &str| url.starts_with("/assets/vote/elsewhere.");
    let unused: Vec<&str> = assets().iter().filter(|a| !a.named && !seen.contains(a.url) && !exported(a.url)).map(|a| a.url).collect();
    assert!(unused.is_empty(), "embedded and asked for by nobody: {unused:?}");
}

/// In whatever quotes a page or a script has it.
fn names(text: &str, url: &str) -> bool {
    ['"', '\'', '`'].iter().any(|quote| text.contains(&format!("{quote}{url}{quote}")))
}

/// English is in the app itself; each other language is one more file, and a phone asks for one.
const LANGUAGES: [&str; 4] = ["de", "fr", "es", "ar"];

#[test]
fn the_audience_app_is_four_requests_and_15_kb_in_every_language() {
    const BYTES_MAX: usize = 15_000;
    const REQUESTS_MAX: usize = 4;
    let hall = Hall::open(Backend::Embedded);
    let known: BTreeMap<&str, &Asset> = assets().iter().map(|a| (a.url, a)).collect();
    // What a page or a script names, it may ask for; a script's `register` is a request like any other.
    let mut files: BTreeSet<&str> = BTreeSet::from(["/vote/index.html"]);
    let mut wanted = vec![hall.get("/").expect(200).body];
    while let Some(text) = wanted.pop() {
        for (url, asset) in known.iter().filter(|(url, _)| url.starts_with("/assets/") || **url == "/sw.js") {
            if names(&text, url) && files.insert(*url) {
                wanted.push(String::from_utf8_lossy(asset.plain).into_owned());
            }
        }
    }
    assert!(files.contains("/sw.js"), "the page asks for its service worker: {files:?}");
    let language_of = |url: &str| LANGUAGES.into_iter().find(|l| url.starts_with(&format!("/assets/vote/{l}.")));
    assert_eq!(files.iter().filter_map(|url| language_of(url)).collect::<BTreeSet<_>>(), BTreeSet::from(LANGUAGES), "all are there");
    for language in LANGUAGES {
        let asked: Vec<&str> = files.iter().copied().filter(|url| language_of(url).is_none_or(|l| l == language)).collect();
        let bytes: usize = asked.iter().map(|url| known[url].brotli.len()).sum();
        assert!(bytes <= BYTES_MAX && asked.len() <= REQUESTS_MAX, "{language}: {bytes} bytes in {asked:?}");
    }
    for (what, marks) in [("a font", ["@font-face", ".woff"]), ("a picture", ["<img src", ".png"]), ("another site", ["src=\"http", "url("])] {
        let found = files.iter().find(|url| marks.iter().any(|mark| String::from_utf8_lossy(known[*url].plain).contains(mark)));
        assert!(found.is_none(), "{found:?} asks for {what}");
    }
}

#[test]
fn the_audience_page_has_its_style_in_it_and_its_policy_allows_that_one_alone() {
    let hall = Hall::open(Backend::Embedded);
    let page = hall.get("/482913").expect(200);
    let style = page.body.split_once("<style>").and_then(|(_, rest)| rest.split_once("</style>")).expect("a style").0;
    assert!(!page.body.contains("rel=\"stylesheet\"") && style.contains("--paper"));
    let hash = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, sha256(style.as_bytes()));
    let policy = |answer: &crate::support::Answer| answer.header("content-security-policy").expect("a policy").to_owned();
    assert!(policy(&page).contains(&format!("style-src 'self' 'sha256-{hash}';")), "{}", policy(&page));
    // A browser takes the headers of a 304 for those of what it has.
    let known = hall.call("GET", "/482913", &[("if-none-match", page.header("etag").expect("a tag"))], None).expect(304);
    assert_eq!(policy(&known), policy(&page));
    for other in ["/admin", "/present/x", "/overlay/x"] {
        assert!(policy(&hall.get(other).expect(200)).contains("style-src 'self';"), "{other}");
    }
}

#[test]
fn the_service_worker_has_its_own_address_and_is_never_old() {
    let hall = Hall::open(Backend::Embedded);
    let worker = hall.get("/sw.js").expect(200);
    assert_eq!(worker.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(worker.header("cache-control"), Some("public, max-age=60, s-maxage=60, stale-if-error=86400"), "not immutable: its name is not its content");
    let known = hall.call("GET", "/sw.js", &[("if-none-match", worker.header("etag").expect("a tag"))], None).expect(304);
    assert_eq!(known.body, "");
    // It changes whenever one of its files does, so that a browser which looks for the next one finds it.
    let page = hall.get("/").expect(200).body;
    let app = page.split("\"/assets/vote/vote.").nth(1).and_then(|rest| rest.split('"').next()).expect("the page names its script");
    assert!(names(&worker.body, &format!("/assets/vote/vote.{app}")));
    for language in LANGUAGES {
        assert!(worker.body.contains(&format!("/assets/vote/{language}.")), "{language}");
    }
    // It answers for codes and short names; what is not one of those is the server's alone. One rule in two places, so they are compared.
    let others = worker.body.split_once("/^(").and_then(|(_, rest)| rest.split_once(")$/i")).expect("a list").0;
    assert_eq!(others.split('|').collect::<BTreeSet<_>>(), groundswell::domain::RESERVED_PATHS.into_iter().collect());
}

/// A piece of a file is never asked for by our own pages; who asks gets the whole, and never a wrong piece.
#[test]
fn a_range_is_not_taken_and_not_promised() {
    let hall = Hall::open(Backend::Embedded);
    let app = assets().iter().find(|a| a.url.starts_with("/assets/vote/vote.")).expect("the app").url;
    for path in ["/482913", "/sw.js", app] {
        let whole = hall.get(path).expect(200);
        assert_eq!(whole.header("accept-ranges"), None, "{path}");
        for range in ["bytes=0-9", "bytes=5-", "bytes=-5", "bytes=0-0,5-9", "bytes=999999-", "gotcha"] {
            let answer = hall.call("GET", path, &[("range", range), ("if-range", whole.header("etag").expect("a tag"))], None).expect(200);
            assert_eq!((&answer.body, answer.header("content-range")), (&whole.body, None), "{path} {range}");
        }
    }
}

//! Cache poisoning and cache deception: whatever a request has in it, the next one is answered as if it had not been; and what is private
//! is not kept, whatever its address is made to look like.

use serde_json::{Value, json};

use crate::client::Line;
use crate::edge::Kind;
use crate::hall::{Hall, at_rest};
use crate::on_each_edge;
use crate::relay::Relay;
use crate::support::{Answer, Backend, TOKEN};

on_each_edge![nothing_of_a_request_stays_behind_in_what_is_kept, what_is_private_is_kept_nowhere_whatever_its_address_looks_like];

/// Headers that some server somewhere lets decide what it answers. None is in the key, so none may matter.
const UNKEYED: &[(&str, &str)] = &[
    ("x-forwarded-host", "gotcha.example"),
    ("x-host", "gotcha.example"),
    ("x-forwarded-server", "gotcha.example"),
    ("x-http-host-override", "gotcha.example"),
    ("forwarded", "host=gotcha.example"),
    ("x-original-url", "/api/v1/events"),
    ("x-rewrite-url", "/api/v1/events"),
    ("x-original-host", "gotcha.example"),
    ("x-forwarded-proto", "gotcha"),
    ("x-forwarded-scheme", "http"),
    ("x-forwarded-port", "1"),
    ("x-forwarded-prefix", "/gotcha"),
    ("x-http-method-override", "POST"),
    ("x-method-override", "DELETE"),
    ("x-http-method", "PUT"),
    ("authorization", "Bearer gotcha"),
    ("cookie", "groundswell=gotcha; __Host-groundswell=gotcha"),
    ("origin", "https://gotcha.example"),
    ("referer", "https://gotcha.example/"),
    ("accept", "gotcha/gotcha"),
    ("accept-language", "ar"),
    ("user-agent", "gotcha"),
    ("range", "bytes=0-3"),
    ("if-none-match", "*"),
    ("if-modified-since", "Wed, 21 Oct 2099 07:28:00 GMT"),
    ("if-match", "\"gotcha\""),
    ("if-unmodified-since", "Wed, 21 Oct 1999 07:28:00 GMT"),
    ("expect", "gotcha"),
    ("cache-control", "no-cache"),
    ("pragma", "no-cache"),
    ("upgrade", "websocket"),
    ("transfer-encoding", "identity"),
    ("te", "trailers"),
    ("max-forwards", "0"),
    ("x-middleware-subrequest", "gotcha"),
    ("x-accel-redirect", "/edge/away"),
    ("x-accel-expires", "86400"),
    ("x-accel-buffering", "no"),
    ("accept-encoding", "gotcha"),
    ("x_forwarded_host", "gotcha.example"),
    ("x-large", LARGE),
    ("purge", "1"),
];

const LARGE: &str = "gotchagotchagotchagotchagotchagotchagotchagotchagotchagotchagotchagotchagotchagotchagotchagotchagotchagotchagotchagotcha";

fn nothing_of_a_request_stays_behind_in_what_is_kept(kind: Kind) {
    let hall = Hall::open(Backend::Embedded);
    let relay = Relay::before(hall.address);
    let event = hall.event();
    let poll = event.poll(&hall, json!({}));
    let asset = groundswell::http::assets().iter().find(|a| !a.named).expect("there are files").url;
    let live = format!("/api/v1/live/{}", event.code);
    let kept = [
        "/".to_owned(),
        format!("/{}", event.code),
        asset.to_owned(),
        live.clone(),
        format!("{live}/qr.svg"),
        format!("/results/{}", event.code),
        format!("/results/{}/{poll}.svg", event.code),
        format!("/results/{}/{poll}.csv", event.code),
        format!("/poster/{}", event.code),
        format!("/embed/{}", event.code),
    ];
    let clean: Vec<Answer> = kept.iter().map(|path| hall.get(path).expect(200)).collect();
    // An edge of its own for each trick, and so an empty cache, would take a minute: the tricks are shared out over a few.
    for (at, chunk) in UNKEYED.chunks(tricks_an_edge(kind)).enumerate() {
        let edge = kind.before(relay.address);
        for (path, clean) in kept.iter().zip(&clean) {
            for (nth, (name, value)) in chunk.iter().enumerate() {
                // The first of them finds the cache empty. Each is tried alone, with junk in the query, and as HEAD.
                let junk = format!("{path}?gotcha{nth}=gotcha&x[]=1;lang=gotcha&utm_content=x");
                let mut line = Line::at(edge.address);
                for (method, path) in [("HEAD", path.as_str()), ("GET", junk.as_str()), ("GET", path.as_str())] {
                    let (answer, _) = line.ask_bytes(method, path, &[(*name, *value)], None);
                    assert!(matches!(answer.status, 200 | 304 | 400 | 412 | 417 | 501), "{name} {method} {path}: {answer:?}");
                    if answer.status >= 400 || answer.header("connection") == Some("close") {
                        line = Line::at(edge.address);
                    }
                    assert!(!answer.body.contains("gotcha") && !answer.headers.iter().any(|(_, v)| v.contains("gotcha")), "{name} {path}: {answer:?}");
                }
                same(&format!("{path} after {name} ({at})"), &edge.get(path), clean);
            }
        }
    }
    for asked in relay.asked() {
        assert!(!asked.head.contains("gotcha") && !asked.head.contains('?'), "the origin never heard of it: {}", asked.head);
        assert!(asked.line.starts_with("GET "), "{}", asked.head);
        let names: Vec<String> = asked.head.lines().skip(1).filter_map(|l| l.split_once(':')).map(|(n, _)| n.to_lowercase()).collect();
        for name in names {
            let known = ["host", "accept-encoding", "x-forwarded-for", "if-none-match", "if-modified-since"].contains(&name.as_str());
            let known = known || kind == Kind::Varnish && OF_VARNISH.contains(&name.as_str());
            assert!(known, "{name} is not in the key and went to the origin: {}", asked.head);
        }
    }
}

/// An edge is started in a moment, but Varnish's file is compiled first.
fn tricks_an_edge(kind: Kind) -> usize {
    match kind {
        Kind::Nginx => 7,
        Kind::Varnish => 21,
    }
}

/// It takes away what it has been told of; what else a client sends goes on, to a server that does not listen to it.
const OF_VARNISH: [&str; 8] = ["x-varnish", "via", "x-accel-redirect", "x-accel-expires", "x-accel-buffering", "x_forwarded_host", "x-large", "purge"];

#[track_caller]
fn same(what: &str, answer: &Answer, clean: &Answer) {
    assert_eq!(answer.status, 200, "{what}: {answer:?}");
    assert!(answer.header("set-cookie").is_none(), "{what}");
    for name in ["content-type", "content-encoding", "cache-control", "location", "access-control-allow-origin", "content-security-policy", "vary"] {
        assert_eq!(answer.header(name), clean.header(name), "{what}: {name}");
    }
    if clean.header("content-type") == Some("application/json") {
        assert_eq!(at_rest(answer.json()), at_rest(clean.json()), "{what}");
    } else {
        // A page of results says when it was drawn.
        let times = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
        assert_eq!(times(&answer.body), times(&clean.body), "{what}");
    }
}

fn what_is_private_is_kept_nowhere_whatever_its_address_looks_like(kind: Kind) {
    let hall = Hall::open(Backend::Embedded);
    let edge = kind.before(hall.address);
    let event = hall.event();
    let poll = event.poll(&hall, json!({"question": "Who is the secret winner?", "visibility": "hidden"}));
    hall.office("PATCH", &format!("/api/v1/events/{}", event.id), json!({"title": "Secret"})).expect(200);
    let voter = event.voter(&hall);
    voter.vote(&hall, &poll, 1, 1, &[1]).expect(202);
    let owner = format!("Bearer {TOKEN}");
    let (id, code) = (&event.id, &event.code);
    let private = [
        format!("/api/v1/events/{id}"),
        format!("/api/v1/events/{id}/live"),
        "/api/v1/events".into(),
        "/api/v1/session".into(),
        format!("/api/v1/polls/{poll}"),
        format!("/api/v1/polls/{poll}/results"),
        format!("/api/v1/polls/{poll}/ballots.csv"),
        format!("/api/v1/polls/{poll}/ballots/mine"),
    ];
    let ends = [
        "",
        "/",
        "/x.css",
        "/x.js",
        "/qr.svg",
        ".css",
        ".svg",
        ";x.css",
        "%3bx.css",
        "%2fx.css",
        "%2f..%2fx.css",
        "?x.css",
        "?lang=de",
        "#x.css",
        "%23x.css",
        "%3fx.css",
        "%00.css",
        "%0ax.css",
        "/..%2f..%2f..%2fassets/x.css",
        "/%2e%2e/x.css",
        "%5cx.css",
        "$x.css",
        "\\x.css",
    ];
    let beginnings = [
        "/assets/..%2f..",
        "/assets/%2e%2e%2f",
        "/assets/..",
        "/%2e",
        "//",
        "/./",
        "/results/..%2f..",
        "/embed/..",
        &format!("/api/v1/live/{code}/..%2f..%2f..%2f.."),
        &format!("/api/v1/live/{code}%2f..%2f..%2f..%2f.."),
    ]
    .map(str::to_owned);
    let tricks = private.iter().flat_map(|path| ends.iter().map(move |end| format!("{path}{end}")));
    let tricks = tricks.chain(private.iter().flat_map(|path| beginnings.iter().map(move |beginning| format!("{beginning}{path}"))));
    for trick in tricks {
        for bearer in [owner.as_str(), voter.bearer.as_str()] {
            let theirs = edge.ask("GET", &trick, &[("authorization", bearer), ("cookie", "groundswell=gotcha")], None);
            let stranger = edge.get(&trick);
            for answer in [&theirs, &stranger] {
                let kept = answer.header("x-cache").is_some();
                let public = answer.header("cache-control").is_some_and(|c| c.contains("public"));
                assert!(!kept || !says_more(answer, &poll), "{trick}: private and kept: {answer:?}");
                assert!(!public || !says_more(answer, &poll), "{trick}: private and called public: {answer:?}");
                assert!(answer.header("set-cookie").is_none(), "{trick}: {answer:?}");
            }
            assert!(!says_more(&stranger, &poll), "{trick}: a stranger is shown what is private: {stranger:?}");
        }
    }
    // The other way round: what is public stays public, and is not replaced by what an owner sees at the same address.
    let live = format!("/api/v1/live/{code}");
    let theirs = edge.ask("GET", &live, &[("authorization", &owner)], None).expect(200).json();
    let stranger = edge.get(&live).expect(200).json();
    assert_eq!((at_rest(theirs)["polls"][0]["results"].clone(), &stranger["polls"][0]["results"]), (Value::Null, &Value::Null));
}

/// Has it something in it that only the back office, or one voter, may see?
fn says_more(answer: &Answer, poll: &str) -> bool {
    let body = &answer.body;
    answer.status == 200
        && (body.contains("join_url")
            || body.contains("books")
            || body.contains("rounds")
            || body.contains("\"edition\"")
            || body.contains("created_at")
            || body.contains("email")
            || body.contains("\"revision\"")
            || body.contains("voter,ballot")
            || body.contains("\"locked\"")
            || (body.contains(poll) && body.contains("\"votes\":1")))
}

//! How an event looks: its colour, its logo, the card of its link, and the mark on a rehearsal.

use std::io::Read;

use base64::Engine;
use groundswell::clock::now_ms;
use serde_json::{Value, json};

use crate::client::Line;
use crate::hall::{Event, Hall, drained, text};
use crate::on_both;
use crate::support::{Answer, Backend, TOKEN, until};

on_both![
    an_event_has_a_colour_that_everybody_gets_in_two_shades,
    pages_and_pictures_wear_the_colour_and_the_logo_of_their_event,
    a_logo_is_taken_in_given_out_for_ever_and_taken_away,
    a_copy_of_an_event_has_its_look_and_its_questions_and_none_of_its_votes,
    what_is_no_small_picture_is_no_logo,
    what_stands_behind_the_end_of_a_picture_is_not_kept,
    a_rehearsal_says_that_it_is_one,
    a_pasted_link_shows_the_title_and_people_get_the_page_of_all,
    a_workbook_has_numbers_and_no_formula,
];

/// As a server reads one, which never looks at pixels.
fn png(side: u32, pixels: &[u8]) -> Vec<u8> {
    let head = [b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".as_slice(), &side.to_be_bytes(), &side.to_be_bytes(), b"\x08\x06\0\0\0crc-"].concat();
    [&head, (pixels.len() as u32).to_be_bytes().as_slice(), b"IDAT", pixels, b"crc-", b"\0\0\0\0IEND\xae\x42\x60\x82"].concat()
}

/// Of 16 pixels each way.
fn webp() -> Vec<u8> {
    b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x0f\0\0\x0f\0\0".to_vec()
}

fn send(hall: &Hall, event: &Event, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut line = Line::to(hall);
    let length = body.len().to_string();
    let headers: Vec<(&str, &str)> = headers.iter().copied().chain([("content-length", length.as_str())]).collect();
    let head = line.request("PUT", &format!("/api/v1/events/{}/logo", event.id), &headers, None);
    line.send(&[head, body.to_vec()].concat());
    line.read(false).expect("an answer").0
}

fn set_logo(hall: &Hall, event: &Event, body: &[u8]) -> Answer {
    send(hall, event, &[("authorization", &format!("Bearer {TOKEN}")), ("content-type", "image/png")], body)
}

fn an_event_has_a_colour_that_everybody_gets_in_two_shades(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    let path = format!("/api/v1/events/{}", event.id);
    assert_eq!(event.live(&hall)["event"]["accent"], Value::Null);
    let changed = hall.office("PATCH", &path, json!({"accent": "#FFD400"})).expect(200).json();
    assert_eq!(changed["accent"], "#ffd400");
    for document in [event.live(&hall), event.presenter(&hall)] {
        let accent = &document["event"]["accent"];
        assert_eq!(accent["dark"], "#ffd400", "readable on dark as it is");
        assert!(accent["light"].as_str().is_some_and(|light| light.len() == 7 && light != "#ffd400"), "{accent}");
    }
    for bad in ["red", "#fff", "url(x)", ""] {
        assert_eq!(hall.office("PATCH", &path, json!({"accent": bad})).expect(422).code(), "accent_invalid", "{bad}");
    }
    assert_eq!(hall.office("PATCH", &path, json!({"title": "Other"})).expect(200).json()["accent"], "#ffd400", "what is left out stays");
    let hall = hall.restart();
    assert_eq!(event.live(&hall)["event"]["accent"]["dark"], "#ffd400");
    hall.office("PATCH", &path, json!({"accent": null})).expect(200);
    assert_eq!(event.live(&hall)["event"]["accent"], Value::Null);
}

fn pages_and_pictures_wear_the_colour_and_the_logo_of_their_event(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    let poll = event.poll(&hall, json!({}));
    let pages = [format!("/results/{}", event.code), format!("/poster/{}", event.code)];
    let picture = format!("/results/{}/{poll}.svg", event.code);
    for page in &pages {
        let plain = hall.get(page).expect(200);
        assert!(!plain.body.contains("<style>") && !plain.header("content-security-policy").unwrap().contains("sha256-"), "{page}");
    }
    hall.office("PATCH", &format!("/api/v1/events/{}", event.id), json!({"accent": "#ffd400"})).expect(200);
    let light = text(&event.live(&hall)["event"]["accent"]["light"]);
    for page in &pages {
        let dressed = hall.get(page).expect(200);
        let style = text_between(&dressed.body, "<style>", "</style>");
        assert_eq!(style, format!(":root{{--accent-light:{light};--accent-dark:#ffd400}}"), "{page}");
        let hash = base64::engine::general_purpose::STANDARD.encode(groundswell::http::sha256(style.as_bytes()));
        let policy = dressed.header("content-security-policy").expect("a policy");
        assert!(policy.contains(&format!("style-src 'self' 'sha256-{hash}';")), "that style and no other: {policy}");
    }
    let drawn = hall.get(&picture).expect(200).body;
    assert!(drawn.contains(&format!("fill=\"{light}\"")) && !drawn.contains("<image"), "{drawn}");
    let logo = png(64, &[0, 159, 146, 150]);
    set_logo(&hall, &event, &logo).expect(200);
    // Inside, not by its address: where pictures stand, nothing else is loaded. Also on a server that has never given it out.
    let hall = hall.restart();
    let inside = format!("<image href=\"data:image/png;base64,{}\"", base64::engine::general_purpose::STANDARD.encode(&logo));
    assert!(hall.get(&picture).expect(200).body.contains(&inside));
}

fn a_logo_is_taken_in_given_out_for_ever_and_taken_away(backend: Backend) {
    let hall = Hall::open(backend);
    let (event, other) = (hall.event(), hall.event());
    let picture = png(64, &[0, 159, 146, 150]);
    let url = text(&set_logo(&hall, &event, &picture).expect(200).json()["logo"]);
    assert_eq!(event.live(&hall)["event"]["logo"], json!(url));
    assert_eq!(set_logo(&hall, &other, &picture).expect(200).json()["logo"], json!(url), "the same picture has the same name");
    let fetched = Line::to(&hall).ask_bytes("GET", &url, &[], None);
    assert_eq!(fetched.1, picture);
    for (name, value) in [
        ("content-type", "image/png"),
        ("cache-control", "public, max-age=31536000, immutable"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox; frame-ancestors 'none'"),
    ] {
        assert_eq!(fetched.0.header(name), Some(value));
    }
    assert!(hall.get(&format!("/poster/{}", event.code)).expect(200).body.contains(&url));
    // A second server, and one that has forgotten: the picture is in the database.
    let hall = hall.restart();
    hall.get(&url).expect(200);
    hall.office("DELETE", &format!("/api/v1/events/{}/logo", event.id), Value::Null).expect(200);
    assert_eq!(event.live(&hall)["event"]["logo"], Value::Null);
    assert_eq!(other.live(&hall)["event"]["logo"], json!(url), "the other event keeps its own");
    assert_eq!(hall.place.number("select count(*) from logo"), 1);
    hall.office("DELETE", &format!("/api/v1/events/{}", other.id), Value::Null).expect(204);
    assert_eq!(hall.place.number("select count(*) from logo"), 0, "nobody uses it any more");
}

fn a_copy_of_an_event_has_its_look_and_its_questions_and_none_of_its_votes(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    let path = format!("/api/v1/events/{}", event.id);
    let asked = event.poll(&hall, json!({"kind": "multiple", "question": "Which two?", "choices": ["A", "B", "C"], "min": 2, "max": 2, "change": false}));
    event.poll(&hall, json!({"question": "And then?", "visibility": "after_close"}));
    hall.office("DELETE", &format!("/api/v1/polls/{}", event.poll(&hall, json!({"question": "Not this"}))), Value::Null).expect(204);
    hall.office("PATCH", &path, json!({"accent": "#8b1e3f", "slug": "friday"})).expect(200);
    let logo = set_logo(&hall, &event, &png(16, b"pixels")).expect(200).json()["logo"].clone();
    hall.office("PATCH", &format!("/api/v1/polls/{asked}"), json!({"closes_at": now_ms() + 3_600_000})).expect(200);
    hall.office("PUT", &format!("/api/v1/polls/{asked}/state"), json!({"state": "open"})).expect(200);
    event.voter(&hall).vote(&hall, &asked, 1, 1, &[1, 3]).expect(202);
    until("it is counted", || event.live(&hall)["polls"][0]["results"]["voters"] == 1);

    let made = hall.office("POST", "/api/v1/events", json!({"title": "Saturday", "copy_of": event.id})).expect(201).json();
    assert_eq!(
        (&made["title"], &made["slug"], &made["accent"], &made["logo"], &made["current"]),
        (&json!("Saturday"), &Value::Null, &json!("#8b1e3f"), &logo, &Value::Null)
    );
    let shape = |event: &Value| -> Vec<Value> {
        let each = |poll: &Value| {
            let choices: Vec<&Value> = poll["choices"].as_array().unwrap().iter().map(|choice| &choice["text"]).collect();
            json!([poll["kind"], poll["question"], choices, poll["rules"], poll["visibility"]])
        };
        event["polls"].as_array().unwrap().iter().map(each).collect()
    };
    assert_eq!(shape(&made), shape(&hall.office("GET", &path, Value::Null).expect(200).json()));
    for poll in made["polls"].as_array().unwrap() {
        assert_eq!((&poll["state"], &poll["round"], &poll["closes_at"], &poll["results"]), (&json!("draft"), &json!(1), &Value::Null, &Value::Null), "{poll}");
    }
    // Each is its own: with the first one gone, the picture stays for the other.
    hall.office("DELETE", &path, Value::Null).expect(204);
    hall.get(logo.as_str().unwrap()).expect(200);
    hall.office("POST", "/api/v1/events", json!({"title": "Sunday", "copy_of": event.id})).expect(404);
    hall.office("POST", "/api/v1/events", json!({"title": "Sunday", "copy_of": "nothing"})).expect(404);
}

fn what_is_no_small_picture_is_no_logo(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    for (body, code) in [
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>".to_vec(), "logo_invalid"),
        (b"<!doctype html><script>alert(1)</script>".to_vec(), "logo_invalid"),
        (Vec::new(), "logo_invalid"),
        (png(64, &[7; 99])[..90].to_vec(), "logo_invalid"),
        (webp()[..29].to_vec(), "logo_invalid"),
        (png(20_000, &[]), "logo_large"),
    ] {
        assert_eq!(set_logo(&hall, &event, &body).expect(422).code(), code);
    }
    assert_eq!(set_logo(&hall, &event, &png(64, &vec![0; 70_000])).expect(413).code(), "too_large");
    let token = format!("Bearer {TOKEN}");
    assert_eq!(send(&hall, &event, &[("authorization", &token), ("content-type", "text/plain")], &png(64, &[])).expect(415).code(), "not_picture");
    assert_eq!(send(&hall, &event, &[("content-type", "image/png")], &png(64, &[])).expect(401).code(), "not_signed_in");
    assert_eq!(event.live(&hall)["event"]["logo"], Value::Null);
    for path in ["/assets/logos/x.png", "/assets/logos/abababababababababababababababab.svg", "/assets/logos/abababababababababababababababab.png"] {
        hall.get(path).expect(404);
    }
    let guesses = (0..100).filter(|n| hall.get(&format!("/assets/logos/{n:032x}.png")).status == 429).count();
    assert!(guesses > 0, "guesses are limited");
}

fn what_stands_behind_the_end_of_a_picture_is_not_kept(backend: Backend) {
    let hall = Hall::open(backend);
    for picture in [png(64, &[0, 159, 146, 150]), webp()] {
        let (event, other) = (hall.event(), hall.event());
        let url = text(&set_logo(&hall, &event, &[&picture[..], b"PK\x03\x04<script>alert(1)</script>"].concat()).expect(200).json()["logo"]);
        assert!(Line::to(&hall).ask_bytes("GET", &url, &[], None).1 == picture, "{url}");
        assert_eq!(set_logo(&hall, &other, &picture).expect(200).json()["logo"], json!(url), "it is the same picture");
    }
}

fn a_rehearsal_says_that_it_is_one(backend: Backend) {
    let hall = Hall::open(backend);
    assert_eq!(hall.event().live(&hall)["event"]["rehearsal"], Value::Null, "other events do not mention it");
    let made = hall.office("POST", "/api/v1/events", json!({"title": "Dry run", "rehearsal": true})).expect(201).json();
    let event = Event { id: text(&made["id"]), code: text(&made["code"]) };
    assert_eq!((&event.live(&hall)["event"]["rehearsal"], &event.presenter(&hall)["event"]["rehearsal"]), (&json!(true), &json!(true)));
    let poll = event.poll(&hall, json!({}));
    for page in [format!("/results/{}", event.code), format!("/poster/{}", event.code), format!("/results/{}/{poll}.svg", event.code)] {
        assert!(hall.get(&page).expect(200).body.contains("No vote here is real"), "{page}");
    }
}

fn a_pasted_link_shows_the_title_and_people_get_the_page_of_all(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    hall.office("PATCH", &format!("/api/v1/events/{}", event.id), json!({"title": "\"Final\" <b>"})).expect(200);
    let path = format!("/{}", event.code);
    let page = hall.get(&path).expect(200);
    for name in [
        "facebookexternalhit/1.1",
        "Mozilla/5.0 (compatible; Twitterbot/1.0)",
        "Slackbot-LinkExpanding 1.0",
        "WhatsApp/2.23",
        "TelegramBot (like TwitterBot)",
        // Sites that look for an oEmbed address.
        "WordPress/6.8; https://example.org",
        "Discourse Forum Onebox v3.5.0",
        "Mozilla/5.0 (compatible; Embedly/0.2; +http://support.embed.ly/)",
        "NotionEmbedder",
        "MoodleBot/5.0 (+https://moodle.example.org)",
        "Iframely/1.3.1 (+https://iframely.com/docs/about) Atlassian",
    ] {
        let card = hall.call("GET", &path, &[("user-agent", name)], None).expect(200);
        assert!(card.body.contains("<meta property=\"og:title\" content=\"&#34;Final&#34; &#60;b&#62;\">"), "{name}: {}", card.body);
        assert!(card.body.contains("type=\"application/json+oembed\""), "{name}");
        assert!(card.body.contains("og:image\" content=\"http") && card.body.contains("/assets/shared/card."), "{name}");
        assert!(
            card.body.contains(&format!(" · {}\u{a0}{}\">", &event.code[..3], &event.code[3..])),
            "{name}: where and with which code, in no language: {}",
            card.body
        );
        assert!(!card.body.contains("one tap") && card.body.contains(">Results</a>"), "{name}: {}", card.body);
        // No cache may give it to people.
        assert_eq!(card.header("cache-control"), Some("no-store"), "{name}");
    }
    let german = hall.call("GET", &path, &[("user-agent", "Slackbot"), ("accept-language", "de-AT,de;q=0.8")], None).expect(200).body;
    assert!(german.contains("<html lang=\"de\"") && german.contains(">Ergebnisse</a>"), "in the robot's language: {german}");
    let picture = text_between(&hall.call("GET", &path, &[("user-agent", "WhatsApp/2")], None).body, "og:image\" content=\"", "\"");
    let file = picture.find("/assets/").map(|at| picture[at..].to_owned()).expect("an address of ours");
    assert_eq!(hall.get(&file).expect(200).header("content-type"), Some("image/png"));
    for name in ["Mozilla/5.0 (iPhone) Safari", "Mozilla/5.0 [FBAN/FBIOS]", "Mozilla/5.0 WhatsApp/2", ""] {
        assert_eq!(hall.call("GET", &path, &[("user-agent", name)], None).expect(200).body, page.body, "{name}");
    }
    assert_eq!(hall.call("GET", "/999999", &[("user-agent", "WhatsApp/2")], None).expect(200).body, page.body, "a code nobody has");
}

fn text_between(text: &str, before: &str, after: &str) -> String {
    let rest = text.split_once(before).expect("it is there").1;
    rest.split_once(after).expect("it ends").0.to_owned()
}

fn a_workbook_has_numbers_and_no_formula(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    let poll = event.poll(&hall, json!({"question": "=1+1 [really]?", "choices": ["=HYPERLINK(\"http://x\")", "Plain & simple", "-1"]}));
    event.draft(&hall, json!({"question": "A secret plan?"}));
    for voter in 1..=3 {
        event.voter(&hall).vote(&hall, &poll, voter, 1, &[2]).expect(202);
    }
    drained(&hall, &poll, 3);
    for path in [format!("/api/v1/polls/{poll}/results.xlsx?round=1&lang=de"), format!("/api/v1/events/{}/results.xlsx", event.id)] {
        let answer = hall.call("GET", &path, &[], None).expect(401);
        assert_eq!(answer.code(), "not_signed_in");
        let (head, bytes) = Line::to(&hall).ask_bytes("GET", &path, &[("authorization", &format!("Bearer {TOKEN}"))], None);
        let head = head.expect(200);
        assert_eq!(head.header("content-type"), Some("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"));
        assert_eq!(head.header("cache-control"), Some("no-store"));
        assert!(head.header("content-disposition").is_some_and(|d| d.starts_with("attachment; filename=\"") && d.ends_with(".xlsx\"")));
        let (sheet, texts, book) = (part(&bytes, "xl/worksheets/sheet1.xml"), part(&bytes, "xl/sharedStrings.xml"), part(&bytes, "xl/workbook.xml"));
        assert!(!sheet.contains("<f>") && !sheet.contains("<hyperlink"), "{sheet}");
        assert!(texts.contains("=1+1 [really]?") && texts.contains("=HYPERLINK") && texts.contains("Plain &amp; simple"), "{texts}");
        assert!(sheet.contains("<c r=\"B6\"><v>3</v></c>"), "three votes, as a number: {sheet}");
        assert_eq!(book.matches("<sheet ").count(), 1, "drafts are left out: {book}");
        for (english, german) in
            [("Votes", "Stimmen"), ("Received", "Empfangen"), ("Counted", "Gezählt"), ("Superseded", "Ersetzt"), ("Duplicate", "Doppelt"), ("Late", "Zu spät")]
        {
            let (said, other) = if path.contains("lang=de") { (german, english) } else { (english, german) };
            let has = |word: &str| texts.contains(&format!("<t>{word}</t>"));
            assert!(has(said) && !has(other), "{said}, in the language that was asked for: {texts}");
        }
    }
    let empty = hall.event();
    let path = format!("/api/v1/events/{}/results.xlsx", empty.id);
    let (head, bytes) = Line::to(&hall).ask_bytes("GET", &path, &[("authorization", &format!("Bearer {TOKEN}"))], None);
    assert_eq!((head.status, &bytes[..2]), (200, b"PK".as_slice()));
    assert_eq!(hall.office("GET", &format!("/api/v1/polls/{poll}/results.xlsx?round=9"), Value::Null).expect(404).code(), "round_unknown");
    until("the server still answers", || hall.get("/livez").status == 200);
}

/// One file of a zip archive, by what stands in its local headers.
fn part(archive: &[u8], name: &str) -> String {
    let number = |at: usize, bytes: usize| archive[at..at + bytes].iter().rev().fold(0usize, |n, b| (n << 8) | usize::from(*b));
    // From the directory at the end: sizes in local headers may come behind the data.
    let end = archive.windows(4).rposition(|w| w == b"PK\x05\x06").expect("a directory");
    let mut at = number(end + 16, 4);
    while archive[at..at + 4] == *b"PK\x01\x02" {
        let (method, size, name_length, extra, comment, local) =
            (number(at + 10, 2), number(at + 20, 4), number(at + 28, 2), number(at + 30, 2), number(at + 32, 2), number(at + 42, 4));
        if &archive[at + 46..at + 46 + name_length] == name.as_bytes() {
            let data = local + 30 + number(local + 26, 2) + number(local + 28, 2);
            let packed = &archive[data..data + size];
            let mut text = String::new();
            match method {
                0 => text = String::from_utf8(packed.to_vec()).expect("UTF-8"),
                _ => drop(flate2::read::DeflateDecoder::new(packed).read_to_string(&mut text).expect("deflated")),
            }
            return text;
        }
        at += 46 + name_length + extra + comment;
    }
    panic!("{name} is not in the archive");
}

//! Pages that the server draws, and those that other sites may frame: they say what the audience may see, and text stays text.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::hall::{Event, Hall, drained, set_state};
use crate::on_both;
use crate::support::{Backend, until};

on_both![
    results_are_readable_without_javascript,
    a_page_says_which_round_it_shows,
    what_is_hidden_is_on_no_page,
    a_page_is_in_the_language_that_was_asked_for,
    a_pasted_link_becomes_a_frame,
    an_event_that_is_called_as_its_question_says_it_once,
    a_page_of_nothing_is_not_found,
    a_person_who_goes_astray_gets_a_page_and_a_program_a_problem,
];

const NASTY: &str = "<img src=x onerror=alert(1)> & \"quotes\"";

fn results_are_readable_without_javascript(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    let poll = event.poll(&hall, json!({"question": NASTY, "choices": [NASTY, "Plain", "Other"]}));
    event.voter(&hall).vote(&hall, &poll, 1, 1, &[1]).expect(202);
    drained(&hall, &poll, 1);
    until("the page shows the vote", || hall.get(&format!("/results/{}", event.code)).expect(200).body.contains("value=\"100\""));
    let page = hall.get(&format!("/results/{}", event.code)).expect(200);
    let picture = hall.get(&format!("/results/{}/{poll}.svg", event.code)).expect(200);
    for (what, body) in [("page", &page.body), ("picture", &picture.body)] {
        assert!(body.contains("Plain") && body.contains("100%"), "{what}: {body}");
        for dangerous in ["<img src=x", "<script", "onerror=alert(1)>", "style=\"", "javascript:"] {
            assert!(!body.contains(dangerous), "{what} has {dangerous}");
        }
    }
    let table = hall.get(&format!("/results/{}/{poll}.csv", event.code)).expect(200);
    assert_eq!(table.header("content-type"), Some("text/csv; charset=utf-8"));
    assert!(table.body.lines().nth(1).is_some_and(|row| row.ends_with(",1,100,1")), "{}", table.body);
    assert!(page.body.contains("Anyone with the link could vote"), "it says what it proves");
    assert_eq!(picture.header("content-type"), Some("image/svg+xml"));
    assert!(picture.body.trim_end().ends_with("</svg>"));
    let poster = hall.get(&format!("/poster/{}", event.code)).expect(200).body;
    assert!(poster.contains(&format!("{}\u{a0}{}", &event.code[..3], &event.code[3..])) && poster.contains("/qr.svg"), "{poster}");
}

fn a_page_says_which_round_it_shows(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    let poll = event.poll(&hall, json!({}));
    let said = |path: &str| hall.get(&format!("/results/{}{path}", event.code)).expect(200).body;
    assert!(!said("").contains("round 1"), "of the only one there is nothing to say");
    set_state(&hall, &poll, "closed");
    hall.office("POST", &format!("/api/v1/polls/{poll}/rounds"), Value::Null).expect(201);
    let ready = said("?lang=de");
    assert!(ready.contains("Runde 2 · ") && ready.contains("Noch nicht offen"), "it was never open: {ready}");
    let vote_here = format!("href=\"/{}\"", event.code);
    assert!(!ready.contains(&vote_here), "nothing takes votes: {ready}");
    set_state(&hall, &poll, "open");
    event.voter(&hall).vote(&hall, &poll, 2, 1, &[1]).expect(202);
    drained(&hall, &poll, 1);
    assert!(said("").contains(&vote_here));
    until("the page shows the vote of round 2", || said("").contains("round 2 · Voters: 1"));
    assert!(said(&format!("/{poll}.svg")).contains("round 2 · Voters: 1"));
}

fn what_is_hidden_is_on_no_page(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    for visibility in ["hidden", "after_close", "after_vote"] {
        let poll = event.poll(&hall, json!({"visibility": visibility}));
        hall.office("PUT", &format!("/api/v1/polls/{poll}/visibility"), json!({"revealed": false})).expect(200);
        event.voter(&hall).vote(&hall, &poll, 1, 1, &[1]).expect(202);
        drained(&hall, &poll, 1);
        let page = hall.get(&format!("/results/{}", event.code)).expect(200).body;
        assert!(page.contains("not been shown") && !page.contains("100%"), "{visibility}: {page}");
        let picture = hall.get(&format!("/results/{}/{poll}.svg", event.code)).expect(200).body;
        let table = hall.get(&format!("/results/{}/{poll}.csv", event.code)).expect(200).body;
        assert!(table.lines().skip(1).all(|row| row.ends_with(",,,")), "{visibility}: {table}");
        assert!(!picture.contains("100%") && picture.contains("not been shown"), "{visibility}: {picture}");
        set_state(&hall, &poll, "closed");
        hall.office("DELETE", &format!("/api/v1/polls/{poll}"), Value::Null).expect(204);
    }
    let later = event.poll(&hall, json!({}));
    hall.office("PATCH", &format!("/api/v1/polls/{later}"), json!({"opens_at": 4_000_000_000_000i64})).expect(200);
    assert!(hall.get(&format!("/results/{}", event.code)).expect(200).body.contains("Not open yet"), "opened by the clock, but not yet");
    let draft = event.draft(&hall, json!({"question": "A secret plan?"}));
    assert!(!hall.get(&format!("/results/{}", event.code)).expect(200).body.contains("secret plan"));
    assert_eq!(hall.get(&format!("/results/{}/{draft}.svg", event.code)).expect(404).code(), "poll_unknown");
}

fn a_page_is_in_the_language_that_was_asked_for(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    for (query, opening) in
        [("", "<html lang=\"en\" dir=\"ltr\">"), ("?lang=ar", "<html lang=\"ar\" dir=\"rtl\">"), ("?lang=xx", "<html lang=\"en\" dir=\"ltr\">")]
    {
        for page in ["results", "poster"] {
            let body = hall.get(&format!("/{page}/{}{query}", event.code)).expect(200).body;
            assert!(body.contains(opening), "{page}{query}: {body}");
        }
    }
}

fn a_pasted_link_becomes_a_frame(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    let join = hall.office("GET", &format!("/api/v1/events/{}/live", event.id), Value::Null).expect(200).json()["join_url"].as_str().unwrap().to_owned();
    let answer = hall.get(&format!("/oembed?url={}&maxwidth=600", join.replace(':', "%3A").replace('/', "%2F"))).expect(200).json();
    assert_eq!((&answer["type"], &answer["version"], &answer["width"]), (&json!("rich"), &json!("1.0"), &json!(600)));
    assert!(answer["html"].as_str().is_some_and(|html| html.contains(&format!("/embed/{}\"", event.code))), "{answer}");
    // Sites that do not know ours find the address in the page they were given.
    let page = hall.get(&format!("/results/{}", event.code)).expect(200).body;
    let link = page.split("application/json+oembed\" href=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a link");
    let path = link.strip_prefix(join.strip_suffix(&format!("/{}", event.code)).expect("the link is the address and the code")).expect("it is ours");
    assert_eq!(hall.get(path).expect(200).json()["html"].as_str().map(|html| html.contains("/embed/")), Some(true), "{path}");
    for foreign in ["https%3A%2F%2Fexample.org%2F482913", "x", ""] {
        assert_eq!(hall.get(&format!("/oembed?url={foreign}")).expect(404).code(), "event_unknown", "{foreign}");
    }
    // What begins like our address is not ours for that.
    let ours = join.strip_suffix(&format!("/{}", event.code)).expect("the link is the address and the code");
    for more in [".example.org", "0", "@example.org"] {
        let foreign = format!("{ours}{more}/{}", event.code).replace(':', "%3A").replace('/', "%2F");
        assert_eq!(hall.get(&format!("/oembed?url={foreign}")).expect(404).code(), "event_unknown", "{foreign}");
    }
    // Never larger than the other page has room for.
    let small = hall.get(&format!("/oembed?url={}&maxwidth=120&maxheight=90", join.replace(':', "%3A").replace('/', "%2F"))).expect(200).json();
    assert_eq!((&small["width"], &small["height"]), (&json!(120), &json!(90)));
    let large = hall.get(&format!("/oembed?url={}&maxwidth=99999&maxheight=99999", join.replace(':', "%3A").replace('/', "%2F"))).expect(200).json();
    assert_eq!((&large["width"], &large["height"]), (&json!(1_920), &json!(1_080)));
}

fn an_event_that_is_called_as_its_question_says_it_once(backend: Backend) {
    let hall = Hall::open(backend);
    let long = "What should we do about the release that was planned for the end of the month, given everything we heard this week from customers?";
    // As the back office calls an event that was given no title, and as a program may.
    let called = format!("{}…", long.chars().take(119).collect::<String>().trim_end());
    let cut: String = long.chars().take(120).collect();
    for (title, question, said) in [
        ("Which ending?", "Which ending?", 1),
        (called.as_str(), long, 1),
        (cut.as_str(), long, 1),
        ("Which", "Which ending?", 2),
        ("Friday", "Which ending?", 2),
    ] {
        let event = hall.office("POST", "/api/v1/events", json!({"title": title})).expect(201).json();
        let event = Event { id: event["id"].as_str().unwrap().to_owned(), code: event["code"].as_str().unwrap().to_owned() };
        let poll = event.poll(&hall, json!({"question": question}));
        let page = hall.get(&format!("/results/{}", event.code)).expect(200).body;
        let headings = page.matches(&format!(">{title}</h1>")).count() + page.matches(&format!(">{question}</h2>")).count();
        assert_eq!((headings, page.matches("<h1").count()), (said, 1), "{title}: {page}");
        assert_eq!(page.contains("<h1>Results</h1>"), said == 1, "{title}: {page}");
        let picture = hall.get(&format!("/results/{}/{poll}.svg", event.code)).expect(200).body;
        let first_words: BTreeSet<_> = [title, question].map(|text| text.split_whitespace().next().unwrap()).into();
        let lines = first_words.iter().map(|word| picture.matches(&format!("\">{word}")).count());
        assert_eq!(lines.sum::<usize>(), said, "{title}: {picture}");
        // Another question beside it: still a question, and no name for both.
        event.poll(&hall, json!({"question": "Which snacks?"}));
        let page = hall.get(&format!("/results/{}", event.code)).expect(200).body;
        assert_eq!((page.contains("<h1>Results</h1>"), page.matches("</h2>").count()), (said == 1, 2), "{title}: {page}");
    }
}

fn a_page_of_nothing_is_not_found(backend: Backend) {
    let hall = Hall::open(backend);
    for path in ["/results/999999", "/poster/999999", "/results/999999/x.svg"] {
        assert_eq!(hall.get(path).expect(404).header("cache-control"), Some("no-store"), "{path}");
    }
}

fn a_person_who_goes_astray_gets_a_page_and_a_program_a_problem(backend: Backend) {
    let hall = Hall::open(backend);
    let browser = [("accept", "text/html,application/xhtml+xml,*/*;q=0.8"), ("accept-language", "fr-CH,fr;q=0.9")];
    for path in ["/results/999999", "/poster/999999", "/no/such/page"] {
        let page = hall.call("GET", path, &browser, None).expect(404);
        assert_eq!((page.header("content-type"), page.header("cache-control")), (Some("text/html; charset=utf-8"), Some("no-store")), "{path}");
        assert!(
            page.body.contains("<html lang=\"fr\"") && page.body.contains("Il n’y a rien ici.") && page.body.contains("href=\"/\""),
            "{path}: {}",
            page.body
        );
        let problem = hall.call("GET", path, &[("accept", "*/*")], None).expect(404);
        assert_eq!(problem.header("content-type"), Some("application/problem+json"), "{path}");
    }
    for path in ["/api/v1/nothing", "/api/v1/live/999999", "/assets/no.css"] {
        let problem = hall.call("GET", path, &browser, None).expect(404);
        assert_eq!(problem.header("content-type"), Some("application/problem+json"), "{path}");
    }
}

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
    the_poster_of_an_event_that_has_ended_invites_nobody,
    a_question_that_was_never_opened_was_not_asked_and_has_no_zeros,
    whoever_leads_is_marked_once_all_is_counted_and_a_tie_marks_all,
    what_is_counted_are_votes_where_each_has_one_and_else_people,
    a_second_round_says_where_the_first_one_stood,
    a_slash_at_the_end_of_a_link_leads_to_the_page_and_nowhere_else,
    a_page_offers_itself_in_every_language,
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
    until("the page shows the vote of round 2", || said("").contains("round 2 · 1 vote"));
    assert!(said(&format!("/{poll}.svg")).contains("round 2 · 1 vote"));
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
    // In the one form there is, and as oembed.com says it of the other.
    let asked = |format: &str| hall.get(&format!("/oembed?url={}&format={format}", join.replace(':', "%3A").replace('/', "%2F")));
    asked("json").expect(200);
    assert_eq!(asked("xml").expect(501).header("content-type"), Some("application/problem+json"));
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

fn ended(hall: &Hall, event: &Event) {
    hall.office("PATCH", &format!("/api/v1/events/{}", event.id), json!({"state": "ended"})).expect(200);
    until("the end is known", || event.live(hall)["event"]["state"] == "ended");
}

fn the_poster_of_an_event_that_has_ended_invites_nobody(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    ended(&hall, &event);
    let poster = hall.get(&format!("/poster/{}?lang=de", event.code)).expect(200).body;
    for invitation in ["qr.svg", "Scannen", "gib ein", &format!("{}\u{a0}{}", &event.code[..3], &event.code[3..])] {
        assert!(!poster.contains(invitation), "{invitation}: {poster}");
    }
    assert!(poster.contains(">Friday</h1>") && poster.contains("Diese Veranstaltung ist beendet."), "{poster}");
    assert!(poster.contains(&format!("href=\"/results/{}?lang=de\"", event.code)), "{poster}");
}

fn a_question_that_was_never_opened_was_not_asked_and_has_no_zeros(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    let asked = event.poll(&hall, json!({"question": "Was this asked?"}));
    event.voter(&hall).vote(&hall, &asked, 1, 1, &[1]).expect(202);
    drained(&hall, &asked, 1);
    let later = event.draft(&hall, json!({"question": "And this one?"}));
    hall.office("PATCH", &format!("/api/v1/polls/{later}"), json!({"opens_at": 4_000_000_000_000i64})).expect(200);
    set_state(&hall, &later, "open");
    let page = || hall.get(&format!("/results/{}", event.code)).expect(200).body;
    until("it is known to come later", || page().contains("Not open yet"));
    set_state(&hall, &later, "closed");
    until("it may still come", || event.live(&hall)["polls"][1]["state"] == "closed");
    assert!(page().contains("Not open yet") && !page().contains("Was not asked"), "{}", page());
    ended(&hall, &event);
    let page = page();
    let (before, after) = page.split_once("And this one?").expect("it is there, as a question that was prepared");
    assert!(after.contains("Was not asked") && !after.contains("<table") && !after.contains(".svg"), "{after}");
    assert!(!after.contains("No votes") && !after.contains("Closed"), "{after}");
    assert!(before.contains("<table") && before.contains(&format!("{asked}.svg")), "the one that was asked has its result: {before}");
    let picture = hall.get(&format!("/results/{}/{later}.svg", event.code)).expect(200).body;
    assert!(picture.contains("Was not asked") && !picture.contains("0%"), "{picture}");
}

fn whoever_leads_is_marked_once_all_is_counted_and_a_tie_marks_all(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    let poll = event.poll(&hall, json!({}));
    let votes = [1, 1, 2];
    for (ballot, pick) in (1..).zip(votes) {
        event.voter(&hall).vote(&hall, &poll, ballot, 1, &[pick]).expect(202);
    }
    drained(&hall, &poll, 3);
    let page = || hall.get(&format!("/results/{}", event.code)).expect(200).body;
    let picture = || hall.get(&format!("/results/{}/{poll}.svg", event.code)).expect(200).body;
    until("the votes are shown", || page().contains("3 votes"));
    assert!(!page().contains("★") && !picture().contains("★</tspan>"), "while people vote nobody has won");
    let tie = event.voter(&hall);
    tie.vote(&hall, &poll, 4, 1, &[2]).expect(202);
    drained(&hall, &poll, 4);
    set_state(&hall, &poll, "closed");
    until("it is final", || page().contains("Closed · final"));
    let page = page();
    assert_eq!((page.matches("class=\"is-leading\"").count(), page.matches("aria-label=\"Most votes\"").count()), (2, 2), "{page}");
    assert!(page.contains("<table class=\"is-decided\">"), "{page}");
    assert_eq!((picture().matches("★</tspan>").count(), picture().matches("★ Most votes").count()), (2, 2), "{}", picture());
    // What nobody voted on has no winner.
    let empty = event.poll(&hall, json!({}));
    set_state(&hall, &empty, "closed");
    let empty = || hall.get(&format!("/results/{}/{empty}.svg", event.code)).expect(200).body;
    until("that is final", || empty().contains(">No votes<"));
    assert!(!empty().contains("★"), "{}", empty());
}

fn what_is_counted_are_votes_where_each_has_one_and_else_people(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    let single = event.poll(&hall, json!({"question": "One of these?"}));
    let several = event.poll(&hall, json!({"question": "Some of these?", "kind": "multiple", "max": 3}));
    for ballot in 1..=2 {
        let voter = event.voter(&hall);
        voter.vote(&hall, &single, ballot, 1, &[1]).expect(202);
        voter.vote(&hall, &several, ballot + 10, 1, &[1, 2]).expect(202);
    }
    drained(&hall, &single, 2);
    drained(&hall, &several, 2);
    for (lang, votes, people) in [("en", "2 votes", "2 voters"), ("de", "2 Stimmen", "2 Personen"), ("ar", "صوتان", "مصوّتان")] {
        let page = || hall.get(&format!("/results/{}?lang={lang}", event.code)).expect(200).body;
        until("both are shown", || page().contains(&format!(">{votes} · ")) && page().contains(&format!(">{people} · ")));
        for (poll, said) in [(&single, votes), (&several, people)] {
            let picture = hall.get(&format!("/results/{}/{poll}.svg?lang={lang}", event.code)).expect(200).body;
            assert!(picture.contains(&format!(">{said} · ")), "{said}: {picture}");
        }
    }
}

fn a_second_round_says_where_the_first_one_stood(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    let poll = event.poll(&hall, json!({}));
    for (ballot, pick) in (1..).zip([1, 1, 2, 3]) {
        event.voter(&hall).vote(&hall, &poll, ballot, 1, &[pick]).expect(202);
    }
    drained(&hall, &poll, 4);
    let page = |lang: &str| hall.get(&format!("/results/{}?lang={lang}", event.code)).expect(200).body;
    let picture = |lang: &str| hall.get(&format!("/results/{}/{poll}.svg?lang={lang}", event.code)).expect(200).body;
    assert!(!page("en").contains("Round 1") && !picture("en").contains("round 1"), "there was none before it");
    hall.office("POST", &format!("/api/v1/polls/{poll}/rounds"), Value::Null).expect(201);
    set_state(&hall, &poll, "open");
    event.voter(&hall).vote(&hall, &poll, 9, 1, &[3]).expect(202);
    drained(&hall, &poll, 1);
    until("the second round is shown", || page("en").contains("round 2 · 1 vote"));
    until("the first round is final", || page("en").contains("<th scope=\"col\">Round 1</th>"));
    let shown = page("en");
    for percent in ["50%", "25%"] {
        assert!(shown.contains(&format!("<td class=\"before\">{percent}</td>")), "{percent}: {shown}");
    }
    for (lang, legend) in [("en", ">round 1: 4 votes<"), ("fr", ">tour 1\u{a0}: 4 votes<"), ("ar", ">الجولة 1: 4 أصوات<")] {
        let drawn = picture(lang);
        assert!(drawn.contains(legend), "{lang}: {drawn}");
        assert_eq!(drawn.matches("width=\"6\" height=\"30\"").count(), 3, "a notch in each bar: {drawn}");
    }
}

fn a_slash_at_the_end_of_a_link_leads_to_the_page_and_nowhere_else(backend: Backend) {
    let hall = Hall::open(backend);
    let code = &hall.event().code;
    for path in [
        format!("/{code}"),
        "/final-x".into(),
        format!("/results/{code}"),
        "/results/x-y".into(),
        format!("/poster/{code}"),
        format!("/embed/{code}"),
        format!("/overlay/{code}"),
    ] {
        for (method, query) in [("GET", ""), ("HEAD", ""), ("GET", "?lang=de")] {
            let moved = hall.call(method, &format!("{path}/{query}"), &[], None).expect(308);
            assert_eq!(moved.header("location"), Some(format!("{path}{query}").as_str()), "{method} {path}");
            assert_eq!(moved.header("cache-control"), Some("public, max-age=60"), "{path}");
        }
        assert_ne!(hall.call("POST", &format!("{path}/"), &[], None).status, 308, "{path}");
    }
    for path in [
        "//evil/",
        "//evil.example/",
        "/\\evil/",
        "/%2fevil/",
        "/results//evil/",
        "/results/x//",
        "/evil.example/",
        "/api/v1/",
        "/results/",
        "/api/",
        "/x/y/",
        "/482913//",
        "/%5cevil/",
    ] {
        let answer = hall.get(path);
        assert!(answer.status >= 400 && answer.header("location").is_none(), "{path}: {answer:?}");
    }
}

fn a_page_offers_itself_in_every_language(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    let page = hall.get(&format!("/results/{}?lang=fr", event.code)).expect(200).body;
    for (lang, name) in [("en", "English"), ("de", "Deutsch"), ("fr", "Français"), ("es", "Español"), ("ar", "العربية")] {
        let link = format!("<a href=\"/results/{}?lang={lang}\" lang=\"{lang}\" hreflang=\"{lang}\"", event.code);
        assert!(page.contains(&link) && page.contains(&format!(">{name}</a>")), "{lang}: {page}");
    }
    assert_eq!(page.matches("aria-current").count(), 1, "{page}");
}

//! The back office: preparing events and polls, running them, and taking the results home.

use groundswell::clock::now_ms;
use groundswell::domain::{Beat, InstanceId, Millis, Sign};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::hall::{Event, Hall, drained, set_state, text};
use crate::on_both;
use crate::support::{Answer, Backend, Server, runtime, until};

on_both![
    events_are_made_listed_changed_and_deleted,
    a_short_name_leads_to_its_event,
    polls_are_made_changed_moved_and_deleted,
    what_a_poll_cannot_be_is_refused,
    how_many_people_pick_can_be_changed_in_a_draft,
    after_the_first_vote_choices_are_locked,
    a_poll_is_opened_closed_and_put_on_stage,
    a_countdown_ends_the_voting_by_itself,
    a_demo_event_can_be_tried_at_once,
    text_is_kept_as_typed_and_never_dangerous,
    text_without_end_is_refused,
    a_table_is_safe_in_a_spreadsheet,
    the_books_list_what_was_numbered_and_not_counted_and_who_fell_silent,
];

fn office(server: &Server, method: &str, path: &str, body: Value) -> Answer {
    server.office(method, path, body)
}

fn choice_texts(poll: &Value) -> Vec<&str> {
    poll["choices"].as_array().unwrap().iter().map(|c| c["text"].as_str().unwrap()).collect()
}

fn events_are_made_listed_changed_and_deleted(backend: Backend) {
    let hall = Hall::open(backend);
    assert_eq!(office(&hall, "GET", "/api/v1/events", Value::Null).expect(200).json(), json!({"events": []}));
    let made = office(&hall, "POST", "/api/v1/events", json!({"title": "  Friday \t all-hands "})).expect(201).json();
    assert_eq!(
        (&made["title"], &made["state"], &made["slug"], &made["current"], &made["polls"]),
        (&json!("Friday all-hands"), &json!("live"), &json!(null), &json!(null), &json!([]))
    );
    let code = text(&made["code"]);
    assert!(code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit()) && !code.starts_with('0'), "{code}");
    let path = format!("/api/v1/events/{}", text(&made["id"]));
    assert_eq!(office(&hall, "GET", &path, Value::Null).expect(200).json(), made);
    let newer = Event::create(&hall);
    newer.draft(&hall, json!({}));
    let listed = office(&hall, "GET", "/api/v1/events", Value::Null).expect(200).json();
    let lines: Vec<(String, u64)> = listed["events"].as_array().unwrap().iter().map(|e| (text(&e["id"]), e["polls"].as_u64().unwrap())).collect();
    assert_eq!(lines, [(newer.id.clone(), 1), (text(&made["id"]), 0)], "newest first");
    let changed = office(&hall, "PATCH", &path, json!({"title": "Saturday", "slug": "Final"})).expect(200).json();
    assert_eq!((&changed["title"], &changed["slug"], &changed["code"]), (&json!("Saturday"), &json!("final"), &json!(code)));
    assert!(changed["updated_at"].as_i64() >= made["updated_at"].as_i64());
    assert_eq!(office(&hall, "PATCH", &path, json!({})).expect(200).json()["title"], "Saturday", "what is left out stays");
    for bad in
        [json!({"title": ""}), json!({"title": "\u{200b} \n"}), json!({"state": "gotcha"}), json!({"slug": "a b"}), json!({"slug": "api"}), json!({"title": 1})]
    {
        let answer = office(&hall, "PATCH", &path, bad.clone()).expect(422);
        assert!(!answer.body.contains("gotcha"), "{answer:?}");
    }
    assert_eq!(office(&hall, "POST", "/api/v1/events", json!({"title": " "})).expect(422).code(), "title_missing");
    assert_eq!(office(&hall, "POST", "/api/v1/events", json!({})).expect(422).code(), "json_invalid");
    office(&hall, "DELETE", &path, Value::Null).expect(204);
    for method in ["GET", "DELETE"] {
        assert_eq!(office(&hall, method, &path, Value::Null).status, 404, "{method}");
    }
    assert_eq!(office(&hall, "PATCH", &path, json!({"title": "x"})).status, 404);
    assert_eq!(hall.get(&format!("/api/v1/live/{code}")).expect(404).code(), "event_unknown");
    assert_eq!(office(&hall, "GET", "/api/v1/events", Value::Null).expect(200).json()["events"].as_array().map(Vec::len), Some(1));
}

fn a_short_name_leads_to_its_event(backend: Backend) {
    let hall = Hall::open(backend);
    let (one, two) = (hall.event(), hall.event());
    let name = |event: &Event, slug: Value| office(&hall, "PATCH", &format!("/api/v1/events/{}", event.id), json!({"slug": slug}));
    let leads_to = |slug: &str| hall.get(&format!("/api/v1/live/{slug}")).json()["event"]["code"].as_str().map(str::to_owned);
    name(&one, json!("final-2026")).expect(200);
    assert_eq!((leads_to("final-2026"), leads_to("FINAL-2026")), (Some(one.code.clone()), Some(one.code.clone())));
    assert!(one.presenter(&hall)["join_url"].as_str().is_some_and(|url| url.ends_with("/final-2026")));
    assert_eq!(name(&two, json!("Final-2026")).expect(409).code(), "slug_taken");
    for nothing in [json!(null), json!(""), json!(" ")] {
        name(&one, json!("final-2026")).expect(200);
        assert_eq!(name(&one, nothing.clone()).expect(200).json()["slug"], Value::Null, "{nothing}");
        assert_eq!(leads_to("final-2026"), None);
    }
    name(&two, json!("final-2026")).expect(200);
    assert_eq!(leads_to("final-2026"), Some(two.code.clone()));
    // What is printed outlives the name: the code is for ever.
    let printed = hall.get(&format!("/api/v1/live/{}/qr.svg", two.code)).expect(200).body;
    assert!(printed.contains(&format!("/{}</title>", two.code)) && !printed.contains("final"), "{}", &printed[..160]);
    let poster = hall.get(&format!("/poster/{}", two.code)).expect(200).body;
    assert!(poster.contains("/final-2026<") && poster.contains("or with code"), "{poster}");
    office(&hall, "DELETE", &format!("/api/v1/events/{}", two.id), Value::Null).expect(204);
    office(&hall, "POST", "/api/v1/events", json!({"title": "Friday", "slug": "final-2026"})).expect(201);
    for slug in ["ab", "admin", "123456", "-a-b", "a/b", "<b>", "\u{fc}n\u{ef}", &"a".repeat(41), "../x", "a%2fb"] {
        let answer = name(&one, json!(slug)).expect(422);
        assert!(answer.code().starts_with("slug_"), "{answer:?}");
    }
}

fn polls_are_made_changed_moved_and_deleted(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    let polls: Vec<String> = ["One?", "Two?", "Three?"].iter().map(|q| event.draft(&hall, json!({"question": q}))).collect();
    let show = |poll: &str| office(&hall, "GET", &format!("/api/v1/polls/{poll}"), Value::Null).expect(200).json();
    let edit = |poll: &str, body: Value| office(&hall, "PATCH", &format!("/api/v1/polls/{poll}"), body);
    let first = show(&polls[0]);
    assert_eq!((&first["event"], &first["state"], &first["locked"], &first["round"]), (&json!(event.id), &json!("draft"), &json!(false), &json!(1)));
    assert_eq!((&first["rules"], &first["visibility"]), (&json!({"min": 1, "max": 1, "change": true}), &json!("live")));
    let order = || {
        let event = office(&hall, "GET", &format!("/api/v1/events/{}", event.id), Value::Null).expect(200).json();
        let questions: Vec<String> = event["polls"].as_array().unwrap().iter().map(|p| text(&p["question"])).collect();
        questions.join(" ")
    };
    assert_eq!(order(), "One? Two? Three?");
    edit(&polls[2], json!({"position": 0})).expect(200);
    assert_eq!(order(), "Three? One? Two?");
    edit(&polls[2], json!({"position": 4_294_967_295u32})).expect(200);
    assert_eq!(order(), "One? Two? Three?");
    for position in [json!(-1), json!(4_294_967_296u64), json!(1.5), json!("1")] {
        edit(&polls[0], json!({"position": position})).expect(422);
    }
    let id = |n: u16| format!("{}-{n}", polls[0]);
    let edited =
        edit(&polls[0], json!({"question": "Uno?", "choices": [{"id": id(3), "text": "C"}, {"text": "D"}, {"id": id(1), "text": "a"}]})).expect(200).json();
    assert_eq!((edited["question"].as_str(), choice_texts(&edited)), (Some("Uno?"), vec!["C", "D", "a"]));
    assert_eq!(edited["choices"][1]["id"], id(4), "a number is never used twice");
    for bad in [
        json!([]),
        json!([{"text": "only"}]),
        json!([{"text": "A"}, {"text": "a "}]),
        json!([{"id": id(1), "text": "A"}, {"id": id(1), "text": "B"}]),
        json!([{"id": id(9), "text": "A"}, {"text": "B"}]),
        json!([{"id": format!("{}-1", polls[1]), "text": "A"}, {"text": "B"}]),
        json!([{"text": ""}, {"text": "B"}]),
        json!(["A", "B"]),
    ] {
        edit(&polls[0], json!({"choices": bad})).expect(422);
    }
    assert_eq!(choice_texts(&show(&polls[0])), ["C", "D", "a"]);
    office(&hall, "DELETE", &format!("/api/v1/polls/{}", polls[1]), Value::Null).expect(204);
    assert_eq!(order(), "Uno? Three?");
    for (method, path) in [("GET", ""), ("DELETE", ""), ("GET", "/results"), ("GET", "/results.csv"), ("GET", "/books")] {
        assert_eq!(office(&hall, method, &format!("/api/v1/polls/{}{path}", polls[1]), Value::Null).expect(404).code(), "poll_unknown", "{method} {path}");
    }
    let foreign = hall.event().draft(&hall, json!({}));
    assert_eq!(office(&hall, "PUT", &format!("/api/v1/events/{}/current", event.id), json!({"poll": foreign})).status, 404, "a poll of another event");
}

fn how_many_people_pick_can_be_changed_in_a_draft(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    let poll = event.draft(&hall, json!({"choices": ["A", "B", "C"]}));
    let patch = |body: Value| office(&hall, "PATCH", &format!("/api/v1/polls/{poll}"), body);
    let is = |answer: Value| (text(&answer["kind"]), answer["rules"]["min"].as_u64().unwrap(), answer["rules"]["max"].as_u64().unwrap());
    assert_eq!(is(patch(json!({"kind": "multiple"})).expect(200).json()), ("multiple".into(), 1, 3), "as many as there are");
    assert_eq!(is(patch(json!({"kind": "multiple", "min": 2})).expect(200).json()), ("multiple".into(), 2, 3));
    assert_eq!(patch(json!({"kind": "single", "max": 2})).expect(422).code(), "limits_single");
    assert_eq!(is(patch(json!({"kind": "single"})).expect(200).json()), ("single".into(), 1, 1));
    assert_eq!(is(patch(json!({"kind": "multiple", "min": 2, "max": 2})).expect(200).json()), ("multiple".into(), 2, 2));
    assert_eq!(patch(json!({"kind": "gotcha"})).expect(422).code(), "kind_unknown");
    set_state(&hall, &poll, "open");
    assert_eq!(patch(json!({"kind": "single"})).expect(409).code(), "kind_fixed");
    event.voter(&hall).vote(&hall, &poll, 1, 1, &[1]).expect(422);
    event.voter(&hall).vote(&hall, &poll, 1, 1, &[1, 3]).expect(202);
    until("it is counted", || event.live(&hall)["polls"][0]["results"]["voters"] == 1);
    set_state(&hall, &poll, "closed");
    assert_eq!(patch(json!({"kind": "single"})).expect(409).code(), "kind_fixed");
    hall.office("POST", &format!("/api/v1/polls/{poll}/rounds"), Value::Null).expect(201);
    assert_eq!(patch(json!({"kind": "single"})).expect(409).code(), "kind_fixed", "its first round is read by it");
    assert_eq!(is(patch(json!({"kind": "multiple", "question": "Which two?"})).expect(200).json()), ("multiple".into(), 2, 2), "as it is");
}

fn what_a_poll_cannot_be_is_refused(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    let many: Vec<String> = (0..101).map(|n| format!("c{n}")).collect();
    for (change, code) in [
        (json!({"kind": "gotcha"}), "kind_unknown"),
        (json!({"question": ""}), "question_missing"),
        (json!({"choices": []}), "choices_few"),
        (json!({"choices": ["A"]}), "choices_few"),
        (json!({"choices": ["A", " a"]}), "choice_twice"),
        (json!({"choices": many}), "choices_many"),
        (json!({"max": 2}), "limits_single"),
        (json!({"kind": "multiple", "min": 0}), "limits_invalid"),
        (json!({"kind": "multiple", "max": 4}), "limits_invalid"),
        (json!({"kind": "multiple", "min": 3, "max": 2}), "limits_invalid"),
        (json!({"min": 65_536}), "json_invalid"),
        (json!({"min": -1}), "json_invalid"),
        (json!({"visibility": "gotcha"}), "visibility_unknown"),
        (json!({"change": "yes"}), "json_invalid"),
        (json!({"choices": [1, 2]}), "json_invalid"),
        (json!({"choices": "A\nB"}), "json_invalid"),
    ] {
        let mut body = json!({"kind": "single", "question": "Which?", "choices": ["A", "B", "C"]});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let answer = office(&hall, "POST", &format!("/api/v1/events/{}/polls", event.id), body).expect(422);
        assert!(answer.code() == code && !answer.body.contains("gotcha"), "{change}: {answer:?}");
    }
    assert_eq!(event.presenter(&hall)["polls"], json!([]));
    let poll = event.draft(&hall, json!({}));
    let put = |what: &str, body: Value| office(&hall, "PUT", &format!("/api/v1/polls/{poll}/{what}"), body);
    assert_eq!(put("state", json!({"state": "gotcha"})).expect(422).code(), "state_invalid");
    assert_eq!(put("state", json!({"state": "draft"})).expect(422).code(), "state_invalid");
    assert_eq!(put("state", json!({"state": "closed"})).expect(409).code(), "poll_draft");
    assert_eq!(put("visibility", json!({"visibility": "gotcha"})).expect(422).code(), "visibility_unknown");
    assert_eq!(office(&hall, "POST", &format!("/api/v1/polls/{poll}/rounds"), Value::Null).expect(409).code(), "poll_draft");
    assert_eq!(office(&hall, "PUT", &format!("/api/v1/events/{}/current", event.id), json!({})).expect(422).code(), "json_invalid");
    for n in 1..100 {
        event.draft(&hall, json!({"question": format!("Number {n}?")}));
    }
    assert_eq!(
        office(&hall, "POST", &format!("/api/v1/events/{}/polls", event.id), json!({"kind": "single", "question": "Which?", "choices": ["A", "B"]}))
            .expect(409)
            .code(),
        "polls_many"
    );
}

fn after_the_first_vote_choices_are_locked(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    let poll = event.poll(&hall, json!({"kind": "multiple", "choices": ["A", "B"]}));
    let edit = |body: Value| office(&hall, "PATCH", &format!("/api/v1/polls/{poll}"), body);
    let id = |n: u16| format!("{poll}-{n}");
    let with_third = json!({"choices": [{"id": id(1), "text": "A"}, {"id": id(2), "text": "B"}, {"text": "C"}]});
    assert_eq!(edit(with_third.clone()).expect(409).code(), "poll_open", "a vote may be on its way");
    event.voter(&hall).vote(&hall, &poll, 1, 1, &[1]).expect(202);
    drained(&hall, &poll, 1);
    set_state(&hall, &poll, "closed");
    for body in [with_third.clone(), json!({"choices": [{"id": id(1), "text": "A"}, {"text": "X"}]}), json!({"max": 1}), json!({"change": false})] {
        assert_eq!(edit(body.clone()).expect(409).code(), "poll_locked", "{body}");
    }
    let corrected = edit(json!({"question": "Which one?", "choices": [{"id": id(2), "text": "Bee"}, {"id": id(1), "text": "Ay"}]})).expect(200).json();
    assert_eq!((choice_texts(&corrected), &corrected["locked"]), (vec!["Bee", "Ay"], &json!(true)), "texts and their order may be corrected");
    assert_eq!(crate::hall::votes(&hall, &poll), [0, 1], "a vote stays with its choice");
    office(&hall, "POST", &format!("/api/v1/polls/{poll}/rounds"), Value::Null).expect(201);
    edit(with_third).expect(200);
    let first = office(&hall, "GET", &format!("/api/v1/polls/{poll}/results?round=1"), Value::Null).expect(200).json();
    assert_eq!(first["results"]["voters"], 1, "the old round is as it was");
}

fn a_poll_is_opened_closed_and_put_on_stage(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    let (one, two) = (event.draft(&hall, json!({})), event.draft(&hall, json!({})));
    let current = || event.live(&hall)["current"].clone();
    set_state(&hall, &one, "open");
    assert_eq!(current(), json!(one), "the first opening puts it on stage");
    set_state(&hall, &two, "open");
    assert_eq!(current(), json!(two));
    let closed = set_state(&hall, &one, "closed");
    assert!(closed["closed_at"].is_i64() && closed["state"] == "closed", "{closed}");
    assert_eq!(set_state(&hall, &one, "closed")["closed_at"], closed["closed_at"], "closing twice closes once");
    assert_eq!(set_state(&hall, &one, "open")["closed_at"], json!(null));
    assert_eq!(current(), json!(two), "opening again leaves the stage alone");
    for poll in [json!(one), json!(null)] {
        let event_now = office(&hall, "PUT", &format!("/api/v1/events/{}/current", event.id), json!({"poll": poll})).expect(200).json();
        assert_eq!((&event_now["current"], current()), (&poll, poll.clone()));
    }
    office(&hall, "PUT", &format!("/api/v1/events/{}/current", event.id), json!({"poll": one})).expect(200);
    office(&hall, "DELETE", &format!("/api/v1/polls/{one}"), Value::Null).expect(204);
    assert_eq!(current(), json!(null), "what is deleted is not on stage");
    let qr = hall.get(&format!("/api/v1/live/{}/qr.svg", event.code)).expect(200);
    assert!(qr.header("content-type") == Some("image/svg+xml") && qr.body.starts_with("<svg") && !qr.body.contains("<script"), "{}", &qr.body[..80]);
    let link = event.presenter(&hall)["join_url"].as_str().expect("a link").to_owned();
    assert!(qr.body.contains(&format!("><title>{link}</title><")), "the link in words, for who says it: {}", &qr.body[..160]);
}

fn a_countdown_ends_the_voting_by_itself(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    let poll = event.poll(&hall, json!({}));
    let (early, late) = (event.voter(&hall), event.voter(&hall));
    early.vote(&hall, &poll, 1, 1, &[1]).expect(202);
    let patch = |body: Value| office(&hall, "PATCH", &format!("/api/v1/polls/{poll}"), body);
    assert_eq!(patch(json!({"closes_at": 1})).expect(422).code(), "closes_at_past");
    for (field, at) in [("closes_at", i64::MAX), ("opens_at", i64::MIN), ("opens_at", 253_402_300_800_000)] {
        assert_eq!(patch(json!({field: at})).expect(422).code(), "time_invalid", "{field} {at}");
    }
    let closes_at = event.live(&hall)["now"].as_i64().unwrap() + 1_000;
    assert_eq!(patch(json!({"closes_at": closes_at})).expect(200).json()["closes_at"], closes_at, "also after the first vote");
    assert_eq!(event.live(&hall)["polls"][0]["closes_at"], closes_at, "phones count down by it");
    until("the clock closes the poll", || event.live(&hall)["polls"][0]["state"] == "closed");
    assert_eq!(event.live(&hall)["polls"][0]["closed_at"], closes_at);
    // Until all that was accepted in time is counted, nobody can say that this one was not among it: 504 at first.
    until("it is certain that the late vote came too late", || late.vote(&hall, &poll, 2, 1, &[1]).status == 409);
    assert_eq!(late.vote(&hall, &poll, 2, 1, &[1]).expect(409).code(), "poll_closed");
    early.vote(&hall, &poll, 1, 1, &[1]).expect(202);
    let reopened = set_state(&hall, &poll, "open");
    assert_eq!((&reopened["state"], &reopened["closes_at"]), (&json!("open"), &json!(null)));
    assert_eq!(patch(json!({"closes_at": closes_at + 60_000, "opens_at": null})).expect(200).json()["state"], "open");
    assert_eq!(patch(json!({"closes_at": null})).expect(200).json()["closes_at"], json!(null));
}

fn a_demo_event_can_be_tried_at_once(backend: Backend) {
    let hall = Hall::open(backend);
    let made = office(&hall, "POST", "/api/v1/events", json!({"title": "Try it", "demo": true})).expect(201).json();
    let kinds: Vec<String> = made["polls"].as_array().unwrap().iter().map(|p| text(&p["kind"])).collect();
    assert_eq!(kinds, ["single", "multiple"]);
    let german = office(&hall, "POST", "/api/v1/events", json!({"title": "Probe", "demo": true, "lang": "de"})).expect(201).json();
    assert_eq!(
        (text(&made["polls"][0]["question"]).as_str(), text(&german["polls"][0]["question"]).as_str()),
        ("How should the film end?", "Wie soll der Film enden?")
    );
    let event = Event { id: text(&made["id"]), code: text(&made["code"]) };
    for poll in made["polls"].as_array().unwrap() {
        let poll = text(&poll["id"]);
        set_state(&hall, &poll, "open");
        event.voter(&hall).vote(&hall, &poll, 1, 1, &[1]).expect(202);
    }
    until("both count", || event.live(&hall)["polls"].as_array().unwrap().iter().all(|p| p["results"]["voters"] == 1));
}

fn text_is_kept_as_typed_and_never_dangerous(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    for (typed, kept) in [
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("\"><img src=x onerror=alert(1)>", "\"><img src=x onerror=alert(1)>"),
        ("javascript:alert(1)", "javascript:alert(1)"),
        ("{{7*7}} ${7*7} <%= 7*7 %>", "{{7*7}} ${7*7} <%= 7*7 %>"),
        ("'; drop table ballot; --", "'; drop table ballot; --"),
        ("%s %n \\x00 \\u0000", "%s %n \\x00 \\u0000"),
        ("right\u{202e}tfel\u{2066}x\u{2069}", "righttfelx"),
        ("zero\u{200b}width\u{feff}\u{2060}", "zerowidth"),
        ("CR\r\nLF\tTAB", "CR LF TAB"),
        ("NUL\0bell\u{7}", "NUL bell"),
        ("e\u{301}", "\u{e9}"),
        ("\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}", "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}"),
        ("</style></title>\u{2028}", "</style></title>"),
    ] {
        let poll = event.poll(&hall, json!({"question": typed, "choices": [typed, "other"]}));
        office(&hall, "PATCH", &format!("/api/v1/events/{}", event.id), json!({"title": typed})).expect(200);
        let public = hall.get(&format!("/api/v1/live/{}", event.code)).expect(200);
        assert_eq!(public.header("content-type"), Some("application/json"), "never anything a browser would run");
        let live = public.json();
        let shown = live["polls"].as_array().unwrap().last().unwrap();
        assert_eq!((shown["question"].as_str(), shown["choices"][0]["text"].as_str(), live["event"]["title"].as_str()), (Some(kept), Some(kept), Some(kept)));
        let stream = crate::client::Events::open(&hall, &format!("/api/v1/live/{}/stream", event.code), &[]).next().expect("an event");
        assert_eq!(stream.json()["event"]["title"], kept, "one event is one line");
        office(&hall, "DELETE", &format!("/api/v1/polls/{poll}"), Value::Null).expect(204);
    }
}

fn text_without_end_is_refused(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    let million = "x".repeat(1_000_000);
    let megabyte = "x".repeat(400_000);
    let bomb = format!("a{}", "\u{301}".repeat(20_000));
    let poll = |question: &str, choice: &str| {
        office(&hall, "POST", &format!("/api/v1/events/{}/polls", event.id), json!({"kind": "single", "question": question, "choices": [choice, "B"]}))
    };
    let started = std::time::Instant::now();
    assert_eq!(office(&hall, "POST", "/api/v1/events", json!({"title": million})).expect(413).code(), "too_large");
    for long in [megabyte.as_str(), &bomb, &"\u{1f468}\u{200d}".repeat(5_000), &"\u{fdfa}".repeat(9_000)] {
        assert_eq!(office(&hall, "POST", "/api/v1/events", json!({"title": long})).expect(422).code(), "title_long");
        assert_eq!(poll(long, "A").expect(422).code(), "question_long");
        assert_eq!(poll("Which?", long).expect(422).code(), "choice_long");
    }
    // Shrinking to nothing is not a title either.
    assert!(matches!(
        office(&hall, "POST", "/api/v1/events", json!({"title": "\u{200b}".repeat(500)})).expect(422).code().as_str(),
        "title_missing" | "title_long"
    ));
    assert!(started.elapsed() < std::time::Duration::from_secs(10), "{:?}", started.elapsed());
    poll(&"q".repeat(300), &"c".repeat(140)).expect(201);
    assert_eq!(poll(&"q".repeat(301), "A").expect(422).code(), "question_long");
    assert_eq!(poll("Which?", &"c".repeat(141)).expect(422).code(), "choice_long");
}

fn a_table_is_safe_in_a_spreadsheet(backend: Backend) {
    let hall = Hall::open(backend);
    let event = hall.event();
    let choices = ["=1+1", "+1", "-1", "@SUM(A1)", "plain, \"quoted\"", "=HYPERLINK(\"http://x\")", "a;b|c", "'already", "\u{e9}\u{1f389}"];
    let poll = event.poll(&hall, json!({"kind": "multiple", "question": "=cmd|' /C calc'!A0", "choices": choices}));
    event.voter(&hall).vote(&hall, &poll, 1, 1, &[1, 9]).expect(202);
    drained(&hall, &poll, 1);
    let answer = office(&hall, "GET", &format!("/api/v1/polls/{poll}/results.csv"), Value::Null).expect(200);
    assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8"));
    assert!(answer.header("content-disposition").is_some_and(|d| d.starts_with("attachment; filename=\"poll-") && d.ends_with(".csv\"")));
    let table = answer.body.strip_prefix('\u{feff}').expect("the mark that spreadsheets look for");
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    assert_eq!(reader.headers().unwrap().iter().collect::<Vec<_>>(), ["question", "round", "status", "choice", "votes", "percent", "voters"]);
    let rows: Vec<csv::StringRecord> = reader.records().map(|r| r.expect("a row reads back")).collect();
    assert_eq!(rows.len(), choices.len());
    for (row, choice) in rows.iter().zip(choices) {
        assert!(row.iter().all(|cell| !cell.starts_with(['=', '+', '-', '@', '\t', '\r'])), "{row:?}");
        assert_eq!((row[3].strip_prefix('\'').unwrap_or(&row[3]), &row[1], &row[6]), (choice.strip_prefix('\'').unwrap_or(choice), "1", "1"));
    }
    assert_eq!((&rows[0][4], &rows[0][5], &rows[1][4], &rows[8][4]), ("1", "100", "0", "1"));
}

/// Another process gave out nine numbers in lane 3 and took back two of them; the votes of the others lie on its disk.
fn the_books_list_what_was_numbered_and_not_counted_and_who_fell_silent(backend: Backend) {
    const A_MINUTE_MS: Millis = 60_000;
    let hall = Hall::open(backend);
    let event = hall.event();
    let poll = event.poll(&hall, json!({}));
    let path = format!("/api/v1/polls/{poll}/books");
    let books = || office(&hall, "GET", &path, Value::Null).expect(200).json();
    until("nothing is on its way", || books()["in_flight"] == 0);
    assert_eq!((&books()["missing"], &books()["unreported"]), (&json!([]), &json!([])));

    let (other, then) = (Uuid::new_v4(), now_ms() - A_MINUTE_MS);
    let says = |last, void: &[(u64, u64)]| {
        let beat = Beat { clock: then, last, void: void.to_vec(), ended: false, abandoned: false };
        runtime().block_on(hall.store.sign(&[(InstanceId(other), 3, Sign::Beat(beat))])).expect("it is written down");
    };
    says(9, &[(4, 5)]);
    let said = books();
    let part = |first: u64, last: u64| json!({"instance": other, "lane": 3, "first": first, "last": last});
    assert_eq!((&said["missing"], &said["in_flight"]), (&json!([part(1, 3), part(6, 9)]), &json!(7)));
    assert_eq!(said["unreported"], json!([{"instance": other, "last_sign": then}]));

    says(9, &[(1, 9)]);
    assert_eq!((&books()["missing"], &books()["in_flight"]), (&json!([]), &json!(0)));
}

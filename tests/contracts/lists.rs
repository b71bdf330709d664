//! What the back office lists: events as they are found, in pages; and what rehearsals came to.

use groundswell::domain::{EventId, JoinCode, Question, ReportId, Search, Slug, Title};
use groundswell::store::{EventDraft, Listing, PollDraft, REPORTS_KEPT_MAX, ReportDraft, ReportFigures, Store};

use crate::craft::{NOON, code, event_draft, event_id, number, poll_draft, refusal, stamp, stamp_at, with_store};
use crate::on_both;
use crate::support::Backend;

on_both![
    events_are_found_by_words_short_name_and_code,
    signs_that_databases_read_into_mean_themselves,
    an_event_is_found_by_its_questions,
    a_list_goes_on_where_it_ended,
    a_search_goes_through_all_events_there_are,
    a_renamed_event_is_found_by_its_new_name_alone,
    a_report_stays_when_its_rehearsal_is_removed,
    a_report_that_is_handed_in_again_takes_its_own_place,
    only_the_newest_reports_are_kept,
    an_event_that_is_no_rehearsal_keeps_no_report,
];

async fn event(store: &Store, n: u32, title: &str) -> EventId {
    let draft = EventDraft { title: Title::parse(title).unwrap(), ..event_draft(vec![code(n)]) };
    // A second apart, so that their order is known.
    store.create_event(draft, stamp_at(NOON + i64::from(n) * 1_000)).await.unwrap().id
}

fn looking_for(text: &str) -> Listing {
    Listing { search: Search::parse(text).unwrap(), ..Listing::of_people() }
}

async fn titles(store: &Store, listing: Listing) -> Vec<String> {
    store.events(listing).await.unwrap().events.into_iter().map(|e| e.title).collect()
}

fn events_are_found_by_words_short_name_and_code(backend: Backend) {
    with_store(backend, async |_, store| {
        for (n, title) in
            (1..).zip(["Friday all-hands", "Résumé workshop", "Lange Straße", "Ὀδυσσεύς", "Учёный СОВЕТ", "أمسية الفِيلم", "今夜の投票", "Film night 🎬"])
        {
            event(&store, n, title).await;
        }
        let slug = Some(Slug::parse("grand-final").unwrap());
        let named = EventDraft { slug, ..event_draft(vec![JoinCode::parse("482913").unwrap()]) };
        store.create_event(named, stamp_at(NOON)).await.unwrap();
        let rehearsal = EventDraft { rehearsal: true, title: Title::parse("Friday rehearsal").unwrap(), ..event_draft(vec![code(99)]) };
        store.create_event(rehearsal, stamp()).await.unwrap();
        for (text, found) in [
            ("hands FRIDAY", &["Friday all-hands"][..]),
            ("friday", &["Friday all-hands", "Friday"]),
            ("  resume ", &["Résumé workshop"]),
            ("RÉSUMÉ", &["Résumé workshop"]),
            ("STRASSE", &["Lange Straße"]),
            ("οδυσσευσ", &["Ὀδυσσεύς"]),
            ("ученый", &["Учёный СОВЕТ"]),
            ("الفيلم", &["أمسية الفِيلم"]),
            ("投票", &["今夜の投票"]),
            ("🎬 film", &["Film night 🎬"]),
            ("grand final", &["Friday"]),
            ("482 913", &["Friday"]),
            ("48291", &["Friday"]),
            ("saturday", &[]),
        ] {
            assert_eq!(titles(&store, looking_for(text)).await, found, "{text}");
        }
        assert_eq!(titles(&store, looking_for(" ")).await.len(), 9, "nothing in particular");
        assert_eq!(titles(&store, Listing { rehearsals: true, ..looking_for("friday") }).await, ["Friday rehearsal"]);
    });
}

fn signs_that_databases_read_into_mean_themselves(backend: Backend) {
    with_store(backend, async |_, store| {
        let odd = ["100 % sure", "snake_case", r"back\slash", "Ada's", "a*b", "50 $1 bills", "a--b"];
        for (n, title) in (1..).zip(odd) {
            event(&store, n, title).await;
        }
        for (text, title) in ["%", "_", r"\", "'", "*", "$1", "--"].into_iter().zip(odd) {
            assert_eq!(titles(&store, looking_for(text)).await, [title], "{text}");
        }
        for text in ["%%", "_case_", r"\\", "''", "' or 1=1"] {
            assert_eq!(titles(&store, looking_for(text)).await, [""; 0], "{text}");
        }
    });
}

fn an_event_is_found_by_its_questions(backend: Backend) {
    with_store(backend, async |_, store| {
        event(&store, 1, "Pizza friday").await;
        let polls: Vec<PollDraft> = ["Which film tonight?", "Wie heißt die Straße?", "Which pizza, then?"]
            .map(|text| PollDraft { question: Question::parse(text).unwrap(), ..poll_draft(&["A", "B"]) })
            .into();
        let film = polls[0].id;
        let many = EventDraft { title: Title::parse("Film night").unwrap(), polls, ..event_draft(vec![code(2)]) };
        let many = store.create_event(many, stamp_at(NOON + 9_000)).await.unwrap().id;
        let found = async |text: &str| {
            let events = store.events(looking_for(text)).await.unwrap().events;
            events.into_iter().map(|e| (e.title, e.question)).collect::<Vec<_>>()
        };
        let asks = |question: &str| ("Film night".to_owned(), Some(question.to_owned()));
        let named = |title: &str| (title.to_owned(), None);
        assert_eq!(found("pizza").await, [asks("Which pizza, then?"), named("Pizza friday")]);
        assert_eq!(found("night PIZZA").await, [asks("Which pizza, then?")], "a word of its name, another of its question");
        assert_eq!(found("which").await, [asks("Which film tonight?")], "the first of two");
        assert_eq!(found("strasse").await, [asks("Wie heißt die Straße?")]);
        assert_eq!(found("film").await, [named("Film night")], "its name is enough");
        assert_eq!(found("tonight straße").await, [], "of two questions, none has both");
        assert!(store.events(Listing::of_people()).await.unwrap().events.iter().all(|e| e.question.is_none()), "nothing was looked for");
        // What is not asked any more finds nothing.
        store.delete_poll(many, film, stamp()).await.unwrap();
        assert_eq!(found("tonight").await, []);
    });
}

fn a_list_goes_on_where_it_ended(backend: Backend) {
    with_store(backend, async |_, store| {
        for n in 0..9 {
            let draft = EventDraft { title: Title::parse(&format!("Class {n}")).unwrap(), ..event_draft(vec![code(n)]) };
            // Three share each moment: then ids decide.
            store.create_event(draft, stamp_at(NOON + i64::from(n / 3))).await.unwrap();
            event(&store, 100 + n, "Between").await;
        }
        let whole = titles(&store, looking_for("class")).await;
        assert_eq!(whole, ["Class 8", "Class 7", "Class 6", "Class 5", "Class 4", "Class 3", "Class 2", "Class 1", "Class 0"]);
        for limit in 1..=9 {
            let (mut pages, mut after) = (Vec::new(), None);
            loop {
                let page = store.events(Listing { limit, after, ..looking_for("class") }).await.unwrap();
                assert!(page.events.len() == limit || !page.more, "pages of {limit}");
                after = page.events.last().map(|e| e.id);
                pages.extend(page.events.into_iter().map(|e| e.title));
                if !page.more {
                    break;
                }
            }
            assert_eq!(pages, whole, "in pages of {limit}");
        }
        // Also when the last one shown is deleted before the next page is asked for; and nothing is behind the last.
        let first = store.events(Listing { limit: 2, ..looking_for("class") }).await.unwrap();
        let last = first.events[1].id;
        store.delete_event(last, stamp()).await.unwrap();
        let next = Listing { limit: 2, after: Some(last), ..looking_for("class") };
        assert_eq!(titles(&store, next).await, ["Class 6", "Class 5"]);
        assert_eq!(refusal(store.events(Listing { after: Some(event_id()), ..Listing::of_people() }).await), "event_unknown");
    });
}

fn a_search_goes_through_all_events_there_are(backend: Backend) {
    with_store(backend, async |place, store| {
        event(&store, 1, "The first of all").await;
        for n in 0..3 {
            let poll = PollDraft { question: Question::parse("Where is the needle?").unwrap(), ..poll_draft(&["A", "B"]) };
            let hay = EventDraft { title: Title::parse(&format!("Hay {n}")).unwrap(), polls: vec![poll], ..event_draft(vec![code(10 + n)]) };
            store.create_event(hay, stamp_at(NOON + 10_000 + i64::from(n))).await.unwrap();
        }
        // Many more than one step of looking.
        let numbers = match place.backend {
            Backend::Embedded => "(with recursive n(i) as (select 1 union all select i + 1 from n where i < 2500) select i from n) n",
            Backend::Distributed => "generate_series(1, 2500) n(i)",
        };
        let many = format!(
            "insert into event (id, code, title, state, edition, created_at, updated_at) select 1000 + i, 'x' || i, 'Class ' || i, 'live', 1, {NOON} + 60000 + i, 0 from {numbers}"
        );
        assert_eq!(crate::craft::execute(place, &many).await, 2_500);
        assert_eq!(titles(&store, looking_for("first of all")).await, ["The first of all"]);
        let all = store.events(Listing::of_people()).await.unwrap();
        assert!(all.events.len() == 500 && all.more && all.events[0].title == "Class 2500");
        let found = store.events(looking_for("class")).await.unwrap();
        assert!(found.events.len() == 500 && found.more);
        assert_eq!(titles(&store, looking_for("class 2499")).await, ["Class 2499"]);
        // By its question, behind all of them, in pages.
        let first = store.events(Listing { limit: 2, ..looking_for("needle") }).await.unwrap();
        assert!(first.more && first.events.iter().all(|e| e.question.as_deref() == Some("Where is the needle?")));
        let next = Listing { limit: 2, after: first.events.last().map(|e| e.id), ..looking_for("needle") };
        assert_eq!(titles(&store, next).await, ["Hay 0"]);
    });
}

fn a_renamed_event_is_found_by_its_new_name_alone(backend: Backend) {
    with_store(backend, async |_, store| {
        let id = event(&store, 1, "Friday").await;
        let rename = groundswell::store::EventEdit { title: Some(Title::parse("Montag").unwrap()), ..Default::default() };
        store.edit_event(id, rename, stamp()).await.unwrap();
        assert_eq!(titles(&store, looking_for("montag")).await, ["Montag"]);
        assert_eq!(titles(&store, looking_for("friday")).await, [""; 0]);
    });
}

async fn rehearsal(store: &Store, n: u32) -> EventId {
    let draft = EventDraft { rehearsal: true, title: Title::parse("Dry run").unwrap(), ..event_draft(vec![code(n)]) };
    store.create_event(draft, stamp()).await.unwrap().id
}

/// The report of the run that began at `at`.
fn report(at: i64, verdict: &str) -> ReportDraft {
    let figures = ReportFigures {
        at,
        groundswell: "0.1.0".into(),
        verdict: verdict.into(),
        fit: "fits".into(),
        voters: 100_000,
        over_ms: 1_000,
        counted_ms: 4_100,
        lost: 0,
    };
    ReportDraft { id: ReportId(event_id().0), figures, report: format!(r#"{{"at":{at},"verdict":"{verdict}"}}"#) }
}

fn a_report_stays_when_its_rehearsal_is_removed(backend: Backend) {
    with_store(backend, async |place, store| {
        let id = rehearsal(&store, 1).await;
        let draft = report(NOON, "kept");
        let kept = store.keep_report(id, draft.clone(), stamp_at(NOON + 9)).await.unwrap();
        assert_eq!(kept, draft.id);
        store.delete_event(id, stamp()).await.unwrap();
        let reports = store.reports().await.unwrap();
        let [line] = &reports[..] else { panic!("{reports:?}") };
        assert_eq!((line.id, line.event, line.title.as_str(), line.kept_at), (kept.0, id.0, "Dry run", NOON + 9));
        assert_eq!(line.figures, draft.figures);
        assert_eq!(store.report(kept).await.unwrap(), draft.report);
        assert_eq!(number(place, "select count(*) from audit where action = 'rehearsal.report' and actor = 'a test'").await, 1);
        assert_eq!(refusal(store.report(ReportId(7)).await), "report_unknown");
    });
}

fn a_report_that_is_handed_in_again_takes_its_own_place(backend: Backend) {
    with_store(backend, async |_, store| {
        let id = rehearsal(&store, 1).await;
        let first = store.keep_report(id, report(NOON, "unchecked"), stamp()).await.unwrap();
        let later = store.keep_report(id, report(NOON + 60_000, "kept"), stamp()).await.unwrap();
        let again = store.keep_report(id, report(NOON, "broken"), stamp()).await.unwrap();
        assert!(first == again && first != later);
        let lines: Vec<(i64, String)> = store.reports().await.unwrap().into_iter().map(|r| (r.figures.at, r.figures.verdict)).collect();
        assert_eq!(lines, [(NOON + 60_000, "kept".into()), (NOON, "broken".into())], "the last one first");
        assert!(store.report(first).await.unwrap().contains("broken"));
        // The same moment in another rehearsal is another run.
        store.keep_report(rehearsal(&store, 2).await, report(NOON, "kept"), stamp()).await.unwrap();
        assert_eq!(store.reports().await.unwrap().len(), 3);
    });
}

fn only_the_newest_reports_are_kept(backend: Backend) {
    with_store(backend, async |place, store| {
        let id = rehearsal(&store, 1).await;
        for n in 0..REPORTS_KEPT_MAX + 3 {
            store.keep_report(id, report(NOON + n, "kept"), stamp()).await.unwrap();
        }
        assert_eq!(number(place, "select count(*) from rehearsal_report").await, REPORTS_KEPT_MAX);
        assert_eq!(number(place, "select min(at) from rehearsal_report").await, NOON + 3, "the oldest went");
        assert_eq!(store.reports().await.unwrap().len() as i64, REPORTS_KEPT_MAX);
    });
}

fn an_event_that_is_no_rehearsal_keeps_no_report(backend: Backend) {
    with_store(backend, async |place, store| {
        let people = event(&store, 1, "Friday").await;
        let gone = rehearsal(&store, 2).await;
        store.delete_event(gone, stamp()).await.unwrap();
        assert_eq!(refusal(store.keep_report(people, report(NOON, "kept"), stamp()).await), "not_rehearsal");
        assert_eq!(refusal(store.keep_report(gone, report(NOON, "kept"), stamp()).await), "event_unknown");
        assert_eq!(refusal(store.keep_report(event_id(), report(NOON, "kept"), stamp()).await), "event_unknown");
        assert_eq!(number(place, "select count(*) from rehearsal_report").await, 0);
        assert_eq!(number(place, "select count(*) from audit where action = 'rehearsal.report'").await, 0);
    });
}

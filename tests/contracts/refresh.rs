//! What phones are told, and how often: to wait longer under pressure, and nothing that does not concern them.

use groundswell::clock::now_ms;
use groundswell::domain::{Numbers, PollState, StageView, Title, ViewEdit};
use groundswell::live::{Frame, Glance, Live};
use groundswell::store::EventEdit;
use serde_json::Value;

use crate::craft::{code, event_draft, event_with_poll, refusal, stamp, with_store};
use crate::on_both;
use crate::support::Backend;

on_both![under_pressure_phones_are_told_to_ask_less_often, what_the_presenters_screens_show_is_no_news_to_phones, who_closed_a_poll_knows_it_without_asking];

fn under_pressure_phones_are_told_to_ask_less_often(backend: Backend) {
    with_store(backend, async |_, store| {
        let event = store.create_event(event_draft(vec![code(1)]), stamp()).await.unwrap().id;
        let rename = async |title: &str| {
            let edit = EventEdit { title: Some(Title::parse(title).unwrap()), ..EventEdit::default() };
            store.edit_event(event, edit, stamp()).await.unwrap();
        };
        let live = Live::open(store.clone(), "http://localhost".into()).await.unwrap();
        let wait = |frame: &Frame| serde_json::from_slice::<Value>(&frame.json).unwrap()["refresh_ms"].as_u64().unwrap();
        let calm = live.newest(event).await.unwrap();
        assert_eq!(wait(&calm), 1_000);

        live.ask_less(2);
        live.tick().await.unwrap();
        rename("Friday, a moment later").await;
        live.tick().await.unwrap();
        let busy = live.newest(event).await.unwrap();
        assert_eq!(wait(&busy), 4_000, "with the next change");

        live.ask_less(0);
        live.tick().await.unwrap();
        let calm = live.newest(event).await.unwrap();
        assert_eq!(wait(&calm), 1_000, "nothing else changed");
        assert_eq!(calm.order(), busy.order(), "it is no newer than the other: viewers are not written to");
        assert_ne!(calm.etag, busy.etag, "or who has the other one would be told that nothing changed");

        live.ask_less(9);
        rename("Friday").await;
        live.tick().await.unwrap();
        assert_eq!(wait(&live.newest(event).await.unwrap()), 8_000, "never longer than that");
    });
}

fn what_the_presenters_screens_show_is_no_news_to_phones(backend: Backend) {
    with_store(backend, async |_, store| {
        let event = store.create_event(event_draft(vec![code(1)]), stamp()).await.unwrap();
        assert_eq!(event.view, StageView::default());
        let live = Live::open(store.clone(), "http://localhost".into()).await.unwrap();
        let (mut phones, mut screens) = (live.public(event.id).await.unwrap(), live.presenter(event.id).await.unwrap());
        // What it owes after the event was made.
        loop {
            live.tick().await.unwrap();
            if !phones.has_changed().unwrap() {
                break;
            }
            phones.mark_unchanged();
        }
        let before = (phones.borrow_and_update().etag.clone(), screens.borrow_and_update().version);
        let shown = |frame: &Frame| serde_json::from_slice::<Value>(&frame.json).unwrap()["view"].clone();

        let blank = store.set_view(event.id, ViewEdit { blank: Some(true), ..ViewEdit::default() }, stamp()).await.unwrap();
        live.tick().await.unwrap();
        assert!(!phones.has_changed().unwrap(), "a million phones were written to, because a projector went black");
        assert!(screens.has_changed().unwrap());
        let view = shown(&screens.borrow_and_update());
        assert_eq!(phones.borrow().version, screens.borrow().version, "under one version: whoever compares the two documents finds them of one edition");
        assert_eq!((&view["blank"], &view["edition"]), (&true.into(), &blank.edition.into()));

        // Two remotes change different things: each leaves alone what it does not name.
        let other = ViewEdit { sorted: Some(true), earlier: Some(false), numbers: Some(Numbers::Count), size: Some(6), ..ViewEdit::default() };
        let both = store.set_view(event.id, other, stamp()).await.unwrap().view;
        assert_eq!(both, StageView { edition: blank.edition + 1, blank: true, joining: false, sorted: true, earlier: false, numbers: Numbers::Count, size: 6 });
        assert_eq!(store.event(event.id).await.unwrap().view, both, "it is kept");
        let beyond = store.set_view(event.id, ViewEdit { size: Some(7), ..ViewEdit::default() }, stamp()).await;
        assert_eq!(refusal(beyond), "size_invalid");

        // The next thing that does concern them is newer than all they had.
        store.edit_event(event.id, EventEdit { title: Some(Title::parse("Saturday").unwrap()), ..EventEdit::default() }, stamp()).await.unwrap();
        live.tick().await.unwrap();
        let (now, screen) = (phones.borrow_and_update().clone(), screens.borrow_and_update().clone());
        assert!(now.etag != before.0 && now.version > before.1 && shown(&now).is_null(), "{}", String::from_utf8_lossy(&now.json));
        assert_eq!((shown(&screen)["size"].as_u64(), now.version), (Some(6), screen.version));
    });
}

/// The database may be gone by its next look, and what it took then would be late.
fn who_closed_a_poll_knows_it_without_asking(backend: Backend) {
    with_store(backend, async |_, store| {
        let (event, poll) = event_with_poll(&store).await;
        let live = Live::open(store.clone(), "http://localhost".into()).await.unwrap();
        let glance = Glance::new(live.clone());
        let is_open = async || glance.poll(event.id, poll, now_ms()).await.unwrap().expect("it is there").poll().check_open(now_ms()).is_ok();
        assert!(is_open().await);
        let closed = store.set_poll_state(event.id, poll, PollState::Closed, stamp()).await.unwrap();
        assert!(is_open().await, "nobody has told it");
        live.learn(&closed);
        assert!(!is_open().await);
        live.learn(&event);
        assert!(!is_open().await, "what is older is no news");
    });
}

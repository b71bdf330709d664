//! How long phones are told to wait between two looks: longer under pressure, and no longer than that.

use groundswell::domain::Title;
use groundswell::live::{Frame, Live};
use groundswell::store::EventEdit;
use serde_json::Value;

use crate::craft::{code, event_draft, stamp, with_store};
use crate::on_both;
use crate::support::Backend;

on_both![under_pressure_phones_are_told_to_ask_less_often];

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

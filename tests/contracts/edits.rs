//! What the back office changes: one edit, one edition; what votes rest on stays; deleting hides and keeps.

use groundswell::domain::{CLOSE_GRACE_MS, EventId, EventState, Kind, Limits, PollId, PollState, Question, Slug, Title, Visibility};
use groundswell::error::Error;
use groundswell::store::{ChoiceEdit, EventDraft, EventEdit, Listing, PollEdit, Store};

use crate::craft::{
    NOON, ballot, batch, beat, close_at_noon, closed_at, code, event_draft, event_id, event_with_draft, event_with_poll, instance, line, number, poll_draft,
    poll_id, refusal, stamp, stamp_at, tally, tally_of_round, votes, with_store,
};
use crate::on_both;
use crate::support::Backend;

on_both![
    every_edit_has_the_next_edition_and_a_line_in_the_log,
    editions_of_edits_made_at_once_are_all_different,
    the_log_says_what_was_before_and_what_is_a_copy,
    a_refused_edit_leaves_no_trace,
    the_index_tells_what_was_edited_since,
    the_pulse_tells_which_polls_were_counted_lately,
    a_join_code_that_is_taken_is_passed_over,
    a_short_name_belongs_to_one_event,
    a_deleted_event_gives_its_short_name_back_and_keeps_its_code,
    ending_an_event_closes_its_polls_and_opens_none,
    the_first_opening_puts_a_poll_on_stage,
    a_draft_is_neither_closed_nor_reset,
    closing_twice_keeps_the_first_time,
    the_clock_closes_a_poll_once_and_with_its_own_time,
    what_waits_for_the_clock_comes_on_stage_when_its_time_has_come,
    a_time_to_close_is_never_in_the_past,
    a_ballot_locks_choices_and_rules_but_not_texts,
    a_removed_choice_is_hidden_and_its_number_never_used_again,
    an_edit_cannot_take_a_choice_away_by_naming_another_twice,
    choices_neither_come_nor_go_while_a_poll_is_open,
    rules_stay_while_a_poll_is_open,
    rules_stay_until_the_last_votes_of_a_closed_poll_are_counted,
    limits_follow_the_choices,
    polls_stand_in_the_order_given,
    a_new_round_is_empty_and_keeps_the_old_one,
    a_deleted_poll_is_hidden_and_its_ballots_stay,
    a_poll_of_another_event_is_not_found,
];

async fn edition(store: &Store) -> u64 {
    store.index_since(0).await.unwrap().iter().map(|e| e.edition).max().unwrap_or(0)
}

fn texts(choices: &[(Option<u16>, &str)]) -> PollEdit {
    let choices = choices.iter().map(|(number, text)| ChoiceEdit { number: *number, text: (*text).to_owned() }).collect();
    PollEdit { choices: Some(choices), ..PollEdit::default() }
}

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn every_edit_has_the_next_edition_and_a_line_in_the_log(backend: Backend) {
    with_store(backend, async |place, store| {
        let (event, poll) = event_with_draft(&store).await;
        let (id, mut last) = (event.id, event.edition);
        assert_eq!(last, 1);
        let rename = EventEdit { title: Some(Title::parse("Monday").unwrap()), ..EventEdit::default() };
        let ask = PollEdit { question: Some(Question::parse("Why?").unwrap()), ..PollEdit::default() };
        let edits = [
            store.edit_event(id, rename, stamp_at(NOON + 5)).await.unwrap(),
            store.edit_poll(id, poll, ask, stamp()).await.unwrap(),
            store.set_poll_state(id, poll, PollState::Open, stamp()).await.unwrap(),
            store.set_visibility(id, poll, Some(Visibility::Hidden), Some(false), stamp()).await.unwrap(),
            store.set_current(id, None, stamp()).await.unwrap(),
            store.new_round(id, poll, stamp()).await.unwrap(),
            store.create_poll(id, poll_draft(&["X", "Y"]), stamp()).await.unwrap(),
        ];
        // The round that is reset was open: its close is written down twice.
        for (after, more) in edits.iter().zip([1, 1, 1, 1, 1, 2, 1]) {
            assert_eq!(after.edition, last + more);
            last = after.edition;
        }
        assert_eq!((edits[0].title.as_str(), edits[0].updated_at), ("Monday", NOON + 5));
        assert_eq!(edits[1].polls[0].question, "Why?");
        assert_eq!((edits[3].polls[0].visibility, edits[3].polls[0].revealed), (Visibility::Hidden, false));
        assert_eq!(edits[6].polls.len(), 2);
        assert_eq!(store.event(id).await.unwrap(), edits[6], "an edit answers with what is read later");
        assert_eq!(number(place, "select count(*) from audit where actor = 'a test'").await, 1 + edits.len() as i64);
    });
}

fn editions_of_edits_made_at_once_are_all_different(backend: Backend) {
    with_store(backend, async |_, store| {
        let events = futures_util::future::join_all((0..12).map(|n| store.create_event(event_draft(vec![code(n)]), stamp()))).await;
        let mut editions: Vec<u64> = events.into_iter().map(|e| e.unwrap().edition).collect();
        editions.sort_unstable();
        assert_eq!(editions, (1..=12).collect::<Vec<_>>());
    });
}

fn the_log_says_what_was_before_and_what_is_a_copy(backend: Backend) {
    with_store(backend, async |place, store| {
        let (event, poll) = event_with_draft(&store).await;
        let several = PollEdit { kind: Some(Kind::Multiple), max: Some(2), ..PollEdit::default() };
        store.edit_poll(event.id, poll, several, stamp()).await.unwrap();
        let before = "select count(*) from audit where action = 'poll.edit' and detail like 'Which ending?%| single 1 to 1'";
        assert_eq!(number(place, before).await, 1);
        store.create_event(EventDraft { copy_of: Some(event.id), ..event_draft(vec![code(2)]) }, stamp()).await.unwrap();
        let copied = format!("select count(*) from audit where action = 'event.create' and detail = 'Friday | copy of {}'", event.id);
        assert_eq!(number(place, &copied).await, 1);
    });
}

fn a_refused_edit_leaves_no_trace(backend: Backend) {
    with_store(backend, async |place, store| {
        let (event, poll) = event_with_draft(&store).await;
        let nobody = event_id();
        assert_eq!(refusal(store.edit_event(nobody, EventEdit::default(), stamp()).await), "event_unknown");
        assert_eq!(refusal(store.set_current(event.id, Some(poll_id()), stamp()).await), "poll_unknown");
        assert_eq!(refusal(store.set_poll_state(event.id, poll, PollState::Closed, stamp()).await), "poll_draft");
        assert_eq!(refusal(store.set_poll_state(event.id, poll, PollState::Draft, stamp()).await), "state_invalid");
        assert_eq!(refusal(store.delete_event(nobody, stamp()).await), "event_unknown");
        assert_eq!(store.event(event.id).await.unwrap(), event);
        assert_eq!(number(place, "select number from edition").await, 1);
        assert_eq!(number(place, "select count(*) from audit").await, 1);
    });
}

fn the_index_tells_what_was_edited_since(backend: Backend) {
    with_store(backend, async |_, store| {
        assert!(store.index_since(0).await.unwrap().is_empty());
        let (one, _) = event_with_draft(&store).await;
        let (two, _) = event_with_draft(&store).await;
        let all = store.index_since(0).await.unwrap();
        assert_eq!(all.iter().map(|e| (e.id, e.edition, e.deleted)).collect::<Vec<_>>(), [(one.id, 1, false), (two.id, 2, false)]);
        assert_eq!(all[0].code, one.code.as_str());

        store.edit_event(one.id, EventEdit { slug: Some(Some(slug("final"))), ..EventEdit::default() }, stamp()).await.unwrap();
        let since = store.index_since(2).await.unwrap();
        assert_eq!(since.iter().map(|e| (e.id, e.slug.as_deref())).collect::<Vec<_>>(), [(one.id, Some("final"))]);
        store.delete_event(two.id, stamp()).await.unwrap();
        let since = store.pulse(3, NOON).await.unwrap().edited;
        assert_eq!(since.iter().map(|e| (e.id, e.deleted)).collect::<Vec<_>>(), [(two.id, true)]);
        assert!(store.index_since(edition(&store).await).await.unwrap().is_empty());
    });
}

fn the_pulse_tells_which_polls_were_counted_lately(backend: Backend) {
    with_store(backend, async |_, store| {
        let (early, late) = (poll_id(), poll_id());
        store.apply(0, &line([vec![ballot(early, 1, 1, "1")]]), NOON).await.unwrap();
        store.apply(0, &line([vec![ballot(late, 1, 1, "1")]]), NOON + 100_000).await.unwrap();
        // Another lane, and a ballot that only repeats: it arrived all the same.
        store.apply(1, &line([vec![ballot(late, 1, 1, "1"), ballot(late, 2, 1, "1")]]), NOON + 100_000).await.unwrap();
        let lately = async |now| {
            let mut received = store.pulse(0, now).await.unwrap().received;
            received.sort_unstable();
            received
        };
        assert_eq!(lately(NOON + 1).await, [(early, 1), (late, 3)]);
        assert_eq!(lately(NOON + 101_000).await, [(late, 3)]);
        assert_eq!(lately(NOON + 200_000).await, []);
    });
}

fn a_join_code_that_is_taken_is_passed_over(backend: Backend) {
    with_store(backend, async |_, store| {
        let first = store.create_event(event_draft(vec![code(1)]), stamp()).await.unwrap();
        let second = store.create_event(event_draft(vec![code(1), code(2)]), stamp()).await.unwrap();
        assert_eq!((first.code, second.code), (code(1), code(2)));
        let none_left = store.create_event(event_draft(vec![code(2), code(1)]), stamp()).await;
        assert!(matches!(none_left, Err(Error::Busy(_))), "{none_left:?}");
        assert_eq!(store.events(Listing::of_people()).await.unwrap().events.len(), 2);
    });
}

fn a_short_name_belongs_to_one_event(backend: Backend) {
    with_store(backend, async |_, store| {
        let named = |n, name| EventDraft { slug: Some(slug(name)), ..event_draft(vec![code(n)]) };
        let final_one = store.create_event(named(1, "final"), stamp()).await.unwrap();
        assert_eq!(refusal(store.create_event(named(2, "final"), stamp()).await), "slug_taken");
        let other = store.create_event(named(2, "semi-final"), stamp()).await.unwrap();
        let take = |slug| EventEdit { slug: Some(slug), ..EventEdit::default() };
        assert_eq!(refusal(store.edit_event(other.id, take(Some(slug("final"))), stamp()).await), "slug_taken");
        assert_eq!(store.event(other.id).await.unwrap().slug, Some(slug("semi-final")));
        // To one's own name it may be set again; given away, it is free.
        store.edit_event(final_one.id, take(Some(slug("final"))), stamp()).await.unwrap();
        assert_eq!(store.edit_event(final_one.id, take(None), stamp()).await.unwrap().slug, None);
        assert_eq!(store.edit_event(other.id, take(Some(slug("final"))), stamp()).await.unwrap().slug, Some(slug("final")));
    });
}

fn a_deleted_event_gives_its_short_name_back_and_keeps_its_code(backend: Backend) {
    with_store(backend, async |_, store| {
        let draft = |codes| EventDraft { slug: Some(slug("final")), ..event_draft(codes) };
        let poll = poll_draft(&["A", "B"]);
        let id = poll.id;
        let event = store.create_event(EventDraft { polls: vec![poll], ..draft(vec![code(1)]) }, stamp()).await.unwrap();
        store.set_poll_state(event.id, id, PollState::Open, stamp()).await.unwrap();
        store.delete_event(event.id, stamp_at(NOON)).await.unwrap();

        assert_eq!(refusal(store.event(event.id).await), "event_unknown");
        assert!(store.events(Listing::of_people()).await.unwrap().events.is_empty());
        assert_eq!(store.history(id).await.unwrap().rounds[&1], Some(NOON), "its open poll was closed");
        assert_eq!(refusal(store.delete_event(event.id, stamp()).await), "event_unknown");
        let next = store.create_event(draft(vec![code(1), code(2)]), stamp()).await.unwrap();
        assert_eq!((next.code, next.slug), (code(2), Some(slug("final"))));
    });
}

fn ending_an_event_closes_its_polls_and_opens_none(backend: Backend) {
    with_store(backend, async |_, store| {
        let (event, open) = event_with_poll(&store).await;
        let draft = store.create_poll(event.id, poll_draft(&["X", "Y"]), stamp()).await.unwrap().polls[1].id;
        let end = EventEdit { state: Some(EventState::Ended), ..EventEdit::default() };
        let ended = store.edit_event(event.id, end, stamp_at(NOON)).await.unwrap();
        assert_eq!(ended.state, EventState::Ended);
        assert!(ended.polls[0].state == PollState::Closed && ended.polls[0].closed_at.is_some_and(is_about_noon), "{ended:?}");
        assert_eq!(ended.polls[1].state, PollState::Draft);
        for poll in [open, draft] {
            assert_eq!(refusal(store.set_poll_state(event.id, poll, PollState::Open, stamp()).await), "event_ended");
        }
        store.edit_event(event.id, EventEdit { state: Some(EventState::Live), ..EventEdit::default() }, stamp()).await.unwrap();
        assert_eq!(store.set_poll_state(event.id, open, PollState::Open, stamp()).await.unwrap().polls[0].closed_at, None);
    });
}

fn the_first_opening_puts_a_poll_on_stage(backend: Backend) {
    with_store(backend, async |_, store| {
        let (event, first) = event_with_draft(&store).await;
        assert_eq!(event.current, None);
        let second = store.create_poll(event.id, poll_draft(&["X", "Y"]), stamp()).await.unwrap().polls[1].id;
        let set = async |poll, state| store.set_poll_state(event.id, poll, state, stamp()).await.unwrap().current;
        assert_eq!(set(first, PollState::Open).await, Some(first));
        assert_eq!(set(second, PollState::Open).await, Some(second));
        assert_eq!(set(first, PollState::Closed).await, Some(second));
        assert_eq!(set(first, PollState::Open).await, Some(second), "reopening leaves the stage alone");
        store.delete_poll(event.id, second, stamp()).await.unwrap();
        assert_eq!(store.event(event.id).await.unwrap().current, None, "what is hidden is not on stage");
    });
}

fn a_draft_is_neither_closed_nor_reset(backend: Backend) {
    with_store(backend, async |_, store| {
        let (event, poll) = event_with_draft(&store).await;
        assert_eq!(refusal(store.set_poll_state(event.id, poll, PollState::Closed, stamp()).await), "poll_draft");
        assert_eq!(refusal(store.new_round(event.id, poll, stamp()).await), "poll_draft");
    });
}

fn closing_twice_keeps_the_first_time(backend: Backend) {
    with_store(backend, async |_, store| {
        let (event, poll) = event_with_poll(&store).await;
        let close = async |at| store.set_poll_state(event.id, poll, PollState::Closed, stamp_at(at)).await.unwrap().polls[0].closed_at.expect("it is closed");
        let first = close(NOON).await;
        assert!(is_about_noon(first), "{first}");
        assert_eq!(closed_at(&store, event.id, poll).await, first, "what was said is what is written down");
        assert_eq!(close(NOON + 60_000).await, first, "or late ballots would count after all");
    });
}

/// A close that took long bears a later time, but not the one that it bears until it is over.
fn is_about_noon(closed_at: i64) -> bool {
    (NOON..NOON + 30_000).contains(&closed_at)
}

fn closing_at(at: i64) -> PollEdit {
    PollEdit { closes_at: Some(Some(at)), ..PollEdit::default() }
}

fn the_clock_closes_a_poll_once_and_with_its_own_time(backend: Backend) {
    with_store(backend, async |_, store| {
        let (event, poll) = event_with_poll(&store).await;
        let (elsewhere, _) = event_with_poll(&store).await;
        let timed = store.edit_poll(event.id, poll, closing_at(NOON + 1_000), stamp_at(NOON)).await.unwrap();
        assert_eq!(timed.polls[0].closes_at, Some(NOON + 1_000));
        assert_eq!(store.close_by_clock(|| stamp_at(NOON + 999)).await.unwrap(), 0, "not yet");
        assert_eq!(store.close_by_clock(|| stamp_at(NOON + 5_000)).await.unwrap(), 1);
        let closed = store.event(event.id).await.unwrap();
        assert_eq!((closed.polls[0].state, closed.polls[0].closed_at), (PollState::Closed, Some(NOON + 1_000)), "its own time, not that of whoever noticed");
        let before = edition(&store).await;
        assert_eq!(store.close_by_clock(|| stamp_at(NOON + 9_000)).await.unwrap(), 0, "once");
        assert_eq!(edition(&store).await, before, "nothing to do is no edit");
        assert_eq!(store.event(elsewhere.id).await.unwrap().polls[0].state, PollState::Open, "a poll without a time stays open");
        let again = store.set_poll_state(event.id, poll, PollState::Open, stamp_at(NOON + 10_000)).await.unwrap();
        assert_eq!((again.polls[0].closes_at, again.polls[0].closed_at), (None, None), "or it would close again at once");
        assert_eq!(store.close_by_clock(|| stamp_at(NOON + 11_000)).await.unwrap(), 0);
    });
}

fn what_waits_for_the_clock_comes_on_stage_when_its_time_has_come(backend: Backend) {
    with_store(backend, async |_, store| {
        let (event, first) = event_with_poll(&store).await;
        let opening_at = |at| PollEdit { opens_at: Some(at), ..PollEdit::default() };
        let scheduled = async |at| {
            let poll = store.create_poll(event.id, poll_draft(&["X", "Y"]), stamp()).await.unwrap().polls.last().unwrap().id;
            store.edit_poll(event.id, poll, opening_at(Some(at)), stamp_at(NOON)).await.unwrap();
            let opened = store.set_poll_state(event.id, poll, PollState::Open, stamp_at(NOON)).await.unwrap();
            assert_eq!(opened.current, Some(first), "people vote on what is on stage");
            poll
        };
        let (second, third) = (scheduled(NOON + 1_000).await, scheduled(NOON + 60_000).await);
        assert_eq!(store.open_by_clock(|| stamp_at(NOON + 999)).await.unwrap(), 0, "not yet");
        assert_eq!(store.open_by_clock(|| stamp_at(NOON + 5_000)).await.unwrap(), 1);
        let now = store.event(event.id).await.unwrap();
        assert_eq!((now.current, now.poll(second).unwrap().opens_at), (Some(second), None), "nothing to wait for any more");
        store.set_current(event.id, Some(first), stamp()).await.unwrap();
        assert_eq!(store.open_by_clock(|| stamp_at(NOON + 9_000)).await.unwrap(), 0, "once: who presents may go back");
        let by_hand = store.edit_poll(event.id, third, opening_at(None), stamp_at(NOON + 10_000)).await.unwrap();
        assert_eq!(by_hand.current, Some(third), "opened by hand, as any other");
        // Where nothing is on stage, people see what they wait for.
        let empty = store.create_event(event_draft(vec![code(77)]), stamp()).await.unwrap();
        let only = store.create_poll(empty.id, poll_draft(&["X", "Y"]), stamp()).await.unwrap().polls[0].id;
        store.edit_poll(empty.id, only, opening_at(Some(NOON + 60_000)), stamp_at(NOON)).await.unwrap();
        assert_eq!(store.set_poll_state(empty.id, only, PollState::Open, stamp_at(NOON)).await.unwrap().current, Some(only));
    });
}

fn a_time_to_close_is_never_in_the_past(backend: Backend) {
    with_store(backend, async |_, store| {
        let (event, poll) = event_with_poll(&store).await;
        let refused = store.edit_poll(event.id, poll, closing_at(NOON), stamp_at(NOON)).await;
        assert_eq!(refusal(refused), "closes_at_past", "a vote counted in time would turn late");
        let backwards = PollEdit { opens_at: Some(Some(NOON + 2_000)), ..closing_at(NOON + 1_000) };
        assert_eq!(refusal(store.edit_poll(event.id, poll, backwards, stamp_at(NOON)).await), "closes_before_opens");
        store.edit_poll(event.id, poll, closing_at(NOON + 1_000), stamp_at(NOON)).await.unwrap();
        let texts_only = PollEdit { question: Some(Question::parse("Still?").unwrap()), ..PollEdit::default() };
        let edited = store.edit_poll(event.id, poll, texts_only, stamp_at(NOON + 3_000)).await.unwrap();
        assert_eq!(edited.polls[0].closes_at, Some(NOON + 1_000), "left out is left as it is");
        let taken_away = PollEdit { closes_at: Some(None), ..PollEdit::default() };
        assert_eq!(store.edit_poll(event.id, poll, taken_away, stamp_at(NOON + 3_000)).await.unwrap().polls[0].closes_at, None);
    });
}

fn a_ballot_locks_choices_and_rules_but_not_texts(backend: Backend) {
    with_store(backend, async |_, store| {
        let (event, poll) = event_with_poll(&store).await;
        assert!(!store.event(event.id).await.unwrap().polls[0].locked);
        store.apply(0, &line([vec![ballot(poll, 1, 1, "1")]]), NOON).await.unwrap();
        assert!(store.event(event.id).await.unwrap().polls[0].locked);

        let edit = async |edit| store.edit_poll(event.id, poll, edit, stamp()).await;
        assert_eq!(refusal(edit(texts(&[(Some(1), "A"), (Some(2), "B")])).await), "poll_locked");
        assert_eq!(refusal(edit(texts(&[(Some(1), "A"), (Some(2), "B"), (Some(3), "C"), (None, "D")])).await), "poll_locked");
        assert_eq!(refusal(edit(texts(&[(Some(1), "A"), (Some(2), "B"), (None, "C")])).await), "poll_locked");
        assert_eq!(refusal(edit(PollEdit { change: Some(false), ..PollEdit::default() }).await), "poll_locked");
        let corrected = edit(texts(&[(Some(3), "Sea"), (Some(1), "A!"), (Some(2), "B")])).await.unwrap();
        let choices: Vec<_> = corrected.polls[0].choices.iter().map(|c| (c.number, c.text.as_str())).collect();
        assert_eq!(choices, [(3, "Sea"), (1, "A!"), (2, "B")]);
    });
}

fn a_removed_choice_is_hidden_and_its_number_never_used_again(backend: Backend) {
    with_store(backend, async |_, store| {
        let (event, poll) = event_with_draft(&store).await;
        let numbers = async |edit| {
            let event = store.edit_poll(event.id, poll, edit, stamp()).await.unwrap();
            event.polls[0].choices.iter().map(|c| c.number).collect::<Vec<_>>()
        };
        assert_eq!(numbers(texts(&[(Some(1), "A"), (Some(2), "B")])).await, [1, 2]);
        assert_eq!(numbers(texts(&[(None, "D"), (Some(1), "A"), (Some(2), "B"), (None, "E")])).await, [4, 1, 2, 5]);
        let history = store.history(poll).await.unwrap().choices;
        assert_eq!(history.iter().map(|(c, removed)| (c.number, *removed)).collect::<Vec<_>>(), [(4, false), (1, false), (2, false), (5, false), (3, true)]);
        assert_eq!(refusal(store.edit_poll(event.id, poll, texts(&[(Some(1), "A"), (Some(3), "C")]), stamp()).await), "picks_unknown");
    });
}

fn an_edit_cannot_take_a_choice_away_by_naming_another_twice(backend: Backend) {
    with_store(backend, async |_, store| {
        let (event, poll) = event_with_poll(&store).await;
        store.apply(0, &line([vec![ballot(poll, 1, 1, "3")]]), NOON).await.unwrap();
        let refused = store.edit_poll(event.id, poll, texts(&[(Some(1), "A"), (Some(2), "B"), (Some(2), "B2")]), stamp()).await;
        assert_eq!(refusal(refused), "picks_unknown");
        assert_eq!(store.event(event.id).await.unwrap().polls[0].choices.len(), 3);
    });
}

fn choices_neither_come_nor_go_while_a_poll_is_open(backend: Backend) {
    with_store(backend, async |_, store| {
        let (event, poll) = event_with_poll(&store).await;
        let fewer = || texts(&[(Some(1), "A"), (Some(2), "B")]);
        assert_eq!(refusal(store.edit_poll(event.id, poll, fewer(), stamp()).await), "poll_open");
        store.set_poll_state(event.id, poll, PollState::Closed, stamp()).await.unwrap();
        assert_eq!(store.edit_poll(event.id, poll, fewer(), stamp()).await.unwrap().polls[0].choices.len(), 2);
    });
}

/// A vote may have been accepted and not counted yet: nothing is locked, and all the same it was cast under these rules.
fn rules_stay_while_a_poll_is_open(backend: Backend) {
    with_store(backend, async |_, store| {
        let (event, poll) = event_with_poll(&store).await;
        let edit = async |edit| store.edit_poll(event.id, poll, edit, stamp()).await;
        let change = |change| PollEdit { change: Some(change), ..PollEdit::default() };
        assert_eq!(refusal(edit(change(false)).await), "poll_open");
        edit(change(true)).await.expect("said again, nothing changes");
        store.set_poll_state(event.id, poll, PollState::Closed, stamp()).await.unwrap();
        assert!(!edit(change(false)).await.unwrap().polls[0].change);
    });
}

/// Closed is not counted: a vote accepted before the close may still be on its way, and was cast under these rules.
fn rules_stay_until_the_last_votes_of_a_closed_poll_are_counted(backend: Backend) {
    with_store(backend, async |_, store| {
        let (event, poll) = event_with_poll(&store).await;
        let process = instance();
        store.register_instance(process, 1, NOON - 1_000).await.unwrap();
        let closed = close_at_noon(&store, event.id, poll).await;
        let edit = async |edit| store.edit_poll(event.id, poll, edit, stamp_at(closed + 500)).await;
        let change = |change| PollEdit { change: Some(change), ..PollEdit::default() };
        let fewer = || texts(&[(Some(1), "A"), (Some(2), "B")]);
        assert_eq!((refusal(edit(change(false)).await), refusal(edit(fewer()).await)), ("poll_unsettled", "poll_unsettled"));
        edit(texts(&[(Some(1), "a"), (Some(2), "b"), (Some(3), "c")])).await.expect("a text may be corrected");
        let in_grace = closed + CLOSE_GRACE_MS - 1;
        store.apply(0, &[beat(process, 0, in_grace, 0)], in_grace).await.unwrap();
        assert_eq!(refusal(edit(change(false)).await), "poll_unsettled", "what is accepted in the grace counts too");
        store.apply(0, &[beat(process, 0, in_grace + 1, 0)], in_grace + 1).await.unwrap();
        assert!(!edit(change(false)).await.unwrap().polls[0].change);
        assert_eq!(edit(fewer()).await.unwrap().polls[0].choices.len(), 2);
        // Of a round that follows, choices may be others at once; whether votes may be changed is asked of the poll, whatever the round.
        store.set_poll_state(event.id, poll, PollState::Open, stamp_at(closed + 3_000)).await.unwrap();
        store.new_round(event.id, poll, stamp_at(closed + 4_000)).await.unwrap();
        edit(texts(&[(Some(1), "A"), (Some(2), "B"), (None, "D")])).await.expect("nothing was voted in this round");
        assert_eq!(refusal(edit(change(true)).await), "poll_unsettled");
    });
}

fn limits_follow_the_choices(backend: Backend) {
    with_store(backend, async |_, store| {
        let mut draft = poll_draft(&["A", "B", "C"]);
        (draft.kind, draft.limits) = (Kind::Multiple, Limits { min: 1, max: 3 });
        let poll = draft.id;
        let event = store.create_event(EventDraft { polls: vec![draft], ..event_draft(vec![code(1)]) }, stamp()).await.unwrap();
        let limits = async |edit| store.edit_poll(event.id, poll, edit, stamp()).await.map(|e| e.polls[0].limits);
        let max = |max| PollEdit { max: Some(max), ..PollEdit::default() };
        assert_eq!(limits(texts(&[(Some(1), "A"), (Some(2), "B"), (Some(3), "C"), (None, "D")])).await.unwrap(), Limits { min: 1, max: 4 }, "all of them");
        assert_eq!(limits(max(3)).await.unwrap(), Limits { min: 1, max: 3 });
        assert_eq!(limits(texts(&[(Some(1), "A"), (Some(2), "B")])).await.unwrap(), Limits { min: 1, max: 2 });
        assert_eq!(refusal(limits(max(3)).await), "limits_invalid");
        assert_eq!(refusal(limits(max(0)).await), "limits_invalid");
    });
}

fn polls_stand_in_the_order_given(backend: Backend) {
    with_store(backend, async |_, store| {
        let (event, a) = event_with_draft(&store).await;
        let b = store.create_poll(event.id, poll_draft(&["X", "Y"]), stamp()).await.unwrap().polls[1].id;
        let c = store.create_poll(event.id, poll_draft(&["X", "Y"]), stamp()).await.unwrap().polls[2].id;
        let order = async |poll, position| {
            let edit = PollEdit { position: Some(position), ..PollEdit::default() };
            store.edit_poll(event.id, poll, edit, stamp()).await.unwrap().polls.iter().map(|p| p.id).collect::<Vec<PollId>>()
        };
        assert_eq!(order(c, 0).await, [c, a, b]);
        assert_eq!(order(c, 1).await, [a, c, b]);
        assert_eq!(order(a, 999).await, [c, b, a]);
    });
}

fn a_new_round_is_empty_and_keeps_the_old_one(backend: Backend) {
    with_store(backend, async |_, store| {
        let (event, poll) = event_with_poll(&store).await;
        let from = instance();
        let mut sent = 0;
        let mut cast = |ballot| {
            sent += 1;
            [batch(from, 0, sent, vec![ballot])]
        };
        store.apply(0, &cast(ballot(poll, 1, 1, "1")), NOON).await.unwrap();
        let reset = store.new_round(event.id, poll, stamp_at(NOON)).await.unwrap();
        let now = &reset.polls[0];
        assert_eq!((now.round, now.state, now.closed_at, now.locked), (2, PollState::Closed, None, false));
        assert_eq!(store.history(poll).await.unwrap().rounds, [(1, Some(NOON))].into());

        // Choices may change now, and the same voter votes anew. A straggler of the old round is counted there.
        store.edit_poll(event.id, poll, texts(&[(Some(1), "A"), (Some(2), "B")]), stamp()).await.unwrap();
        store.set_poll_state(event.id, poll, PollState::Open, stamp()).await.unwrap();
        let mut again = ballot(poll, 1, 1, "2");
        again.round = 2;
        store.apply(0, &cast(again), NOON).await.unwrap();
        store.apply(0, &cast(ballot(poll, 2, 1, "3")), NOON).await.unwrap();
        assert_eq!(votes(&tally(&store, poll).await), [(1, 1), (3, 1)]);
        assert_eq!(votes(&tally_of_round(&store, poll, 2).await), [(2, 1)]);
        assert_eq!(store.history(poll).await.unwrap().rounds.keys().copied().collect::<Vec<_>>(), [1, 2]);
    });
}

fn a_deleted_poll_is_hidden_and_its_ballots_stay(backend: Backend) {
    with_store(backend, async |_, store| {
        let (event, poll) = event_with_poll(&store).await;
        store.apply(0, &line([vec![ballot(poll, 1, 1, "1")]]), NOON).await.unwrap();
        store.delete_poll(event.id, poll, stamp_at(NOON)).await.unwrap();
        let after = store.event(event.id).await.unwrap();
        assert_eq!((after.polls.len(), after.retired.as_slice(), after.current), (0, &[poll][..], None));
        assert!(after.all_polls().any(|p| p == poll), "its ballots still count towards the version");
        assert_eq!(store.event_of_poll(poll).await.unwrap(), None);
        assert_eq!(tally(&store, poll).await.books.counted, 1);
        assert_eq!(store.history(poll).await.unwrap().rounds[&1], Some(NOON));
        assert_eq!(refusal(store.set_poll_state(event.id, poll, PollState::Open, stamp()).await), "poll_unknown");
    });
}

fn a_poll_of_another_event_is_not_found(backend: Backend) {
    with_store(backend, async |_, store| {
        let (event, poll) = event_with_poll(&store).await;
        let (other, _) = event_with_poll(&store).await;
        assert_eq!(store.event_of_poll(poll).await.unwrap(), Some(event.id));
        let codes = async |wrong: EventId| {
            [
                refusal(store.edit_poll(wrong, poll, PollEdit::default(), stamp()).await),
                refusal(store.set_poll_state(wrong, poll, PollState::Closed, stamp()).await),
                refusal(store.delete_poll(wrong, poll, stamp()).await),
                refusal(store.set_current(wrong, Some(poll), stamp()).await),
                refusal(store.new_round(wrong, poll, stamp()).await),
            ]
        };
        assert_eq!(codes(other.id).await, ["poll_unknown"; 5]);
        assert_eq!(store.event(event.id).await.unwrap().polls[0].state, PollState::Open);
    });
}

//! The recount: it finds what does not follow from the ballots, and nothing else. A checker that never failed proves nothing.

use groundswell::domain::CLOSE_GRACE_MS;
use groundswell::store::Store;

use crate::craft::{NOON, assert_proven, ballot, close_at_noon, event_with_poll, execute, line, poll_id, with_store};
use crate::on_both;
use crate::support::{Backend, Place};

on_both![an_honest_count_is_borne_out, every_kind_of_planted_number_is_found, a_recount_while_votes_are_counted_finds_nothing];

async fn count_something(store: &Store) -> groundswell::domain::PollId {
    let (event, poll) = event_with_poll(store).await;
    let batches = line([
        vec![ballot(poll, 1, 1, "1:2"), ballot(poll, 2, 1, "1,2"), ballot(poll, 3, 1, "3")],
        vec![ballot(poll, 1, 2, "2:4"), ballot(poll, 3, 2, "")],
        vec![ballot(poll, 1, 1, "1:2"), ballot(poll, 2, 1, "1,2")],
    ]);
    store.apply(0, &batches[..1], NOON).await.unwrap();
    store.apply(3, &batches[1..], NOON).await.unwrap();
    let closed_at = close_at_noon(store, event.id, poll).await;
    let mut late = line([vec![ballot(poll, 4, 1, "1")]]);
    late[0].accepted_at = closed_at + CLOSE_GRACE_MS + 1;
    store.apply(0, &late, NOON).await.unwrap();
    poll
}

fn an_honest_count_is_borne_out(backend: Backend) {
    with_store(backend, async |_, store| {
        assert_eq!(store.recount().await.unwrap(), (0, vec![]), "of nothing");
        count_something(&store).await;
        let recount = store.recount().await.unwrap();
        assert_eq!(recount.0, 3, "a row for each voter");
        assert_proven(recount);
    });
}

fn every_kind_of_planted_number_is_found(backend: Backend) {
    with_store(backend, async |place: &Place, store| {
        let poll = count_something(&store).await;
        let nobody = poll_id();
        let ours = format!("poll = {}", poll.0);
        let planted = [
            (
                format!("update tally set votes = votes + 1 where {ours} and choice = 2 and lane = 3"),
                format!("update tally set votes = votes - 1 where {ours} and choice = 2 and lane = 3"),
                "votes for choice 2",
            ),
            (
                format!("update tally set weight = weight - 1 where {ours} and choice = 2 and lane = 3"),
                format!("update tally set weight = weight + 1 where {ours} and choice = 2 and lane = 3"),
                "weight of choice 2",
            ),
            (
                format!("insert into tally (poll, round, lane, choice, votes, weight) values ({}, 1, 0, 9, 1, 1)", nobody.0),
                format!("delete from tally where poll = {}", nobody.0),
                "votes for choice 9",
            ),
            (
                format!("update book set counted = counted + 1, received = received + 1 where {ours} and lane = 0"),
                format!("update book set counted = counted - 1, received = received - 1 where {ours} and lane = 0"),
                "counted",
            ),
            (
                format!("update book set voters = voters + 1 where {ours} and lane = 0"),
                format!("update book set voters = voters - 1 where {ours} and lane = 0"),
                "voters",
            ),
            (
                format!("update book set received = received + 1 where {ours} and lane = 0"),
                format!("update book set received = received - 1 where {ours} and lane = 0"),
                "imbalance of the books",
            ),
            (
                format!("update ballot set picks = '1' where {ours} and picks = ''"),
                format!("update ballot set picks = '' where {ours} and revision = 2 and picks = '1'"),
                "votes for choice 1",
            ),
        ];
        for (plant, heal, what) in planted {
            assert_eq!(execute(place, &plant).await, 1, "{plant}");
            let (_, found) = store.recount().await.unwrap();
            assert!(found.iter().any(|d| d.what == what), "{plant}: {found:?}");
            assert_eq!(execute(place, &heal).await, 1, "{heal}");
            assert_proven(store.recount().await.unwrap());
        }
        // A ballot that vanished, and one that nobody cast.
        execute(place, &format!("delete from ballot where {ours} and picks = '1,2'")).await;
        assert!(store.recount().await.unwrap().1.iter().any(|d| d.what == "counted" && d.published == d.recounted + 1));
    });
}

fn a_recount_while_votes_are_counted_finds_nothing(backend: Backend) {
    with_store(backend, async |_, store| {
        let poll = poll_id();
        let counting = {
            let store = store.clone();
            tokio::spawn(async move {
                for batch in line((0..150).map(|n| (0..20).map(|v| ballot(poll, (n % 3) * 20 + v, n + 1, &(n % 4 + 1).to_string())).collect())) {
                    store.apply(0, &[batch], NOON).await.unwrap();
                }
            })
        };
        let mut recounts = 0;
        while !counting.is_finished() {
            assert_proven(store.recount().await.unwrap());
            recounts += 1;
        }
        counting.await.unwrap();
        assert!(recounts > 1, "none while it was counted");
    });
}

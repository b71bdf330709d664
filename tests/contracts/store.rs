//! Counting: what `Store::apply` makes of batches. Each ballot ends as exactly one of counted, superseded, duplicate, late.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use groundswell::domain::{BallotId, Batch, CLOSE_GRACE_MS, Count, PollState};
use groundswell::store::Listing;
use uuid::Uuid;

use crate::craft::{
    NOON, assert_proven, ballot, batch, beat, books, close_at_noon, code, event_draft, event_with_poll, instance, line, number, poll_id, stamp, stamp_at,
    tally, tally_of_round, voter, votes, with_store,
};
use crate::on_both;
use crate::support::Backend;

on_both![
    a_ballot_is_counted_and_found_again,
    a_changed_vote_moves_and_counts_once,
    a_lower_revision_never_replaces_a_higher_one,
    of_equal_revisions_the_higher_ballot_id_wins_whatever_comes_first,
    the_same_ballot_in_another_batch_is_a_duplicate,
    a_voters_ballots_in_one_batch_collapse_to_the_highest,
    a_cleared_vote_keeps_its_row_and_takes_its_votes_off,
    a_batch_that_comes_again_is_skipped_whole,
    a_batch_that_comes_twice_in_one_call_is_applied_once,
    a_ballot_is_late_only_after_the_grace,
    a_late_ballot_changes_nothing_that_was_counted,
    a_reopened_poll_takes_ballots_again,
    weights_are_summed_and_taken_off,
    polls_and_rounds_in_one_batch_are_kept_apart,
    a_large_batch_is_counted_like_a_small_one,
    workers_with_different_homes_add_up,
    two_workers_may_hold_the_batches_of_an_instance_nobody_registered,
    a_call_dropped_half_way_leaves_no_transaction_open,
    a_ballot_is_kept_with_nothing_that_says_who_cast_it,
];

fn a_ballot_is_counted_and_found_again(backend: Backend) {
    with_store(backend, async |_, store| {
        let poll = poll_id();
        let cast = ballot(poll, 1, 1, "2");
        let applied = store.apply(0, &line([vec![cast.clone(), ballot(poll, 2, 1, "1,3")]]), NOON).await.unwrap();

        assert_eq!((applied.batches, applied.redelivered), (1, 0));
        assert_eq!(applied.total(), books(2, 2, 0, 0, 0, 2));
        let counted = tally(&store, poll).await;
        assert_eq!(votes(&counted), [(1, 1), (2, 1), (3, 1)]);
        assert_eq!(counted.books, applied.total());
        let found = store.ballot_of(poll, 1, voter(1)).await.unwrap().expect("a row");
        assert_eq!((found.ballot, found.accepted_at), (cast, NOON));
        assert!(store.ballot_of(poll, 2, voter(1)).await.unwrap().is_none(), "another round");
        assert!(store.ballot_of(poll, 1, voter(9)).await.unwrap().is_none(), "another voter");
        assert!(store.tallies(vec![poll_id()]).await.unwrap().is_empty(), "a poll nobody voted in");
    });
}

fn a_changed_vote_moves_and_counts_once(backend: Backend) {
    with_store(backend, async |_, store| {
        let poll = poll_id();
        for batch in line([vec![ballot(poll, 1, 1, "1"), ballot(poll, 2, 1, "1")], vec![ballot(poll, 1, 2, "2")]]) {
            store.apply(0, &[batch], NOON).await.unwrap();
        }
        let counted = tally(&store, poll).await;
        assert_eq!(votes(&counted), [(1, 1), (2, 1)]);
        assert_eq!(counted.books, books(3, 2, 1, 0, 0, 2));
        assert_proven(store.recount().await.unwrap());
    });
}

fn a_lower_revision_never_replaces_a_higher_one(backend: Backend) {
    with_store(backend, async |_, store| {
        let poll = poll_id();
        for batch in line([vec![ballot(poll, 1, 3, "2")], vec![ballot(poll, 1, 1, "1")], vec![ballot(poll, 1, 2, "")]]) {
            store.apply(0, &[batch], NOON).await.unwrap();
        }
        let counted = tally(&store, poll).await;
        assert_eq!(votes(&counted), [(2, 1)]);
        assert_eq!(counted.books, books(3, 1, 2, 0, 0, 1));
        assert_eq!(store.ballot_of(poll, 1, voter(1)).await.unwrap().unwrap().ballot.revision, 3);
    });
}

fn of_equal_revisions_the_higher_ballot_id_wins_whatever_comes_first(backend: Backend) {
    with_store(backend, async |_, store| {
        for low_first in [true, false] {
            let poll = poll_id();
            let mut low = ballot(poll, 1, 1, "1");
            // Two tabs of one voter. The ids differ in their first and last byte, and bytes above 0x7f are not negative.
            low.ballot = BallotId(Uuid::from_u128(0x7f << 120 | 0xff));
            let mut high = ballot(poll, 1, 1, "2");
            high.ballot = BallotId(Uuid::from_u128(0x80 << 120));
            let order = if low_first { [low, high] } else { [high, low] };
            for batch in line(order.map(|b| vec![b])) {
                store.apply(0, &[batch], NOON).await.unwrap();
            }
            assert_eq!(votes(&tally(&store, poll).await), [(2, 1)], "low first: {low_first}");
        }
    });
}

fn the_same_ballot_in_another_batch_is_a_duplicate(backend: Backend) {
    with_store(backend, async |_, store| {
        let poll = poll_id();
        let (one, two) = (ballot(poll, 1, 1, "1"), ballot(poll, 2, 1, "2"));
        // Resent alone, and beside a ballot that is new.
        for batch in line([vec![one.clone()], vec![one.clone()], vec![one, two]]) {
            store.apply(0, &[batch], NOON).await.unwrap();
        }
        let counted = tally(&store, poll).await;
        assert_eq!(votes(&counted), [(1, 1), (2, 1)]);
        assert_eq!(counted.books, books(4, 2, 0, 2, 0, 2));
    });
}

fn a_voters_ballots_in_one_batch_collapse_to_the_highest(backend: Backend) {
    with_store(backend, async |_, store| {
        let poll = poll_id();
        let ballots = vec![ballot(poll, 1, 2, "2"), ballot(poll, 1, 3, "3"), ballot(poll, 1, 1, "1"), ballot(poll, 1, 3, "3")];
        store.apply(0, &line([ballots]), NOON).await.unwrap();
        let counted = tally(&store, poll).await;
        assert_eq!(votes(&counted), [(3, 1)]);
        assert_eq!(counted.books, books(4, 1, 2, 1, 0, 1));
    });
}

fn a_cleared_vote_keeps_its_row_and_takes_its_votes_off(backend: Backend) {
    with_store(backend, async |_, store| {
        let poll = poll_id();
        let batches =
            line([vec![ballot(poll, 1, 1, "1"), ballot(poll, 2, 1, "")], vec![ballot(poll, 1, 2, "")], vec![ballot(poll, 1, 3, ""), ballot(poll, 2, 2, "3")]]);
        let voters_after = [1, 0, 1];
        for (batch, voters) in batches.into_iter().zip(voters_after) {
            store.apply(0, &[batch], NOON).await.unwrap();
            assert_eq!(tally(&store, poll).await.books.voters, voters);
        }
        let counted = tally(&store, poll).await;
        assert_eq!(votes(&counted), [(3, 1)]);
        assert_eq!(counted.books, books(5, 2, 3, 0, 0, 1));
        assert!(store.ballot_of(poll, 1, voter(1)).await.unwrap().unwrap().ballot.picks.is_empty());
        assert_proven(store.recount().await.unwrap());
    });
}

fn a_batch_that_comes_again_is_skipped_whole(backend: Backend) {
    with_store(backend, async |_, store| {
        let poll = poll_id();
        let batches = line([vec![ballot(poll, 1, 1, "1")], vec![ballot(poll, 2, 1, "1")], vec![ballot(poll, 3, 1, "1")]]);
        store.apply(0, &batches[..2], NOON).await.unwrap();
        let before = tally(&store, poll).await;
        let again = store.apply(0, &batches[..2], NOON).await.unwrap();
        assert_eq!((again.batches, again.redelivered, again.total()), (0, 2, books(0, 0, 0, 0, 0, 0)));
        assert_eq!(tally(&store, poll).await, before);

        // Out of order, with a new one between, to another worker: only the new one is applied.
        let mixed = store.apply(1, &[batches[1].clone(), batches[2].clone(), batches[0].clone()], NOON).await.unwrap();
        assert_eq!((mixed.batches, mixed.redelivered), (1, 2));
        assert_eq!(tally(&store, poll).await.books, books(3, 3, 0, 0, 0, 3));
    });
}

fn a_batch_that_comes_twice_in_one_call_is_applied_once(backend: Backend) {
    with_store(backend, async |_, store| {
        let poll = poll_id();
        let [one] = &line([vec![ballot(poll, 1, 1, "1")]])[..] else { unreachable!() };
        let applied = store.apply(0, &[one.clone(), one.clone()], NOON).await.unwrap();
        assert_eq!((applied.batches, applied.redelivered, applied.total()), (1, 1, books(1, 1, 0, 0, 0, 1)));
    });
}

fn a_ballot_is_late_only_after_the_grace(backend: Backend) {
    with_store(backend, async |place, store| {
        let (event, poll) = event_with_poll(&store).await;
        let closed_at = close_at_noon(&store, event.id, poll).await;
        let mut batches = line([vec![ballot(poll, 1, 1, "1")], vec![ballot(poll, 2, 1, "2")], vec![ballot(poll, 2, 1, "2"), ballot(poll, 3, 1, "3")]]);
        batches[0].accepted_at = closed_at + CLOSE_GRACE_MS;
        batches[1].accepted_at = closed_at + CLOSE_GRACE_MS + 1;
        batches[2].accepted_at = closed_at + CLOSE_GRACE_MS + 1;
        store.apply(0, &batches, NOON).await.unwrap();

        let counted = tally(&store, poll).await;
        assert_eq!(votes(&counted), [(1, 1)]);
        assert_eq!(counted.books, books(4, 1, 0, 0, 3, 1));
        assert_eq!(number(place, "select count(*) from late_ballot").await, 2, "kept, the same one once");
        assert_proven(store.recount().await.unwrap());
    });
}

fn a_late_ballot_changes_nothing_that_was_counted(backend: Backend) {
    with_store(backend, async |_, store| {
        let (event, poll) = event_with_poll(&store).await;
        let mut batches = line([vec![ballot(poll, 1, 1, "1")], vec![ballot(poll, 1, 2, "2")]]);
        store.apply(0, &batches[..1], NOON).await.unwrap();
        batches[1].accepted_at = close_at_noon(&store, event.id, poll).await + CLOSE_GRACE_MS + 1;
        store.apply(0, &batches[1..], NOON).await.unwrap();

        let counted = tally(&store, poll).await;
        assert_eq!(votes(&counted), [(1, 1)]);
        assert_eq!(counted.books, books(2, 1, 0, 0, 1, 1));
        assert_eq!(store.ballot_of(poll, 1, voter(1)).await.unwrap().unwrap().ballot.revision, 1);
    });
}

fn a_reopened_poll_takes_ballots_again(backend: Backend) {
    with_store(backend, async |_, store| {
        let (event, poll) = event_with_poll(&store).await;
        store.set_poll_state(event.id, poll, PollState::Closed, stamp_at(NOON)).await.unwrap();
        store.set_poll_state(event.id, poll, PollState::Open, stamp_at(NOON + 60_000)).await.unwrap();
        let mut batches = line([vec![ballot(poll, 1, 1, "1")]]);
        batches[0].accepted_at = NOON + 61_000;
        store.apply(0, &batches, NOON).await.unwrap();
        assert_eq!(tally(&store, poll).await.books, books(1, 1, 0, 0, 0, 1));
    });
}

fn weights_are_summed_and_taken_off(backend: Backend) {
    with_store(backend, async |_, store| {
        let poll = poll_id();
        let batches = line([vec![ballot(poll, 1, 1, "1:3,2:2"), ballot(poll, 2, 1, "2:5,1")], vec![ballot(poll, 1, 2, "2:10")]]);
        store.apply(0, &batches, NOON).await.unwrap();
        let counted = tally(&store, poll).await;
        assert_eq!((counted.counts[&1], counted.counts[&2]), (Count { votes: 1, weight: 1 }, Count { votes: 2, weight: 15 }));
        assert_proven(store.recount().await.unwrap());
    });
}

fn polls_and_rounds_in_one_batch_are_kept_apart(backend: Backend) {
    with_store(backend, async |_, store| {
        let (one, two) = (poll_id(), poll_id());
        let mut second_round = ballot(one, 1, 1, "2");
        second_round.round = 2;
        store.apply(0, &line([vec![ballot(one, 1, 1, "1"), second_round, ballot(two, 1, 1, "3"), ballot(two, 2, 1, "3")]]), NOON).await.unwrap();
        assert_eq!(votes(&tally(&store, one).await), [(1, 1)]);
        assert_eq!(votes(&tally_of_round(&store, one, 2).await), [(2, 1)]);
        assert_eq!(votes(&tally(&store, two).await), [(3, 2)]);
        assert_eq!(store.tallies(vec![one]).await.unwrap()[&one].received(), 2, "of all rounds");
    });
}

fn a_large_batch_is_counted_like_a_small_one(backend: Backend) {
    with_store(backend, async |_, store| {
        let poll = poll_id();
        // More than SQLite takes in one statement, and no multiple of any size it is cut into.
        let first: Vec<_> = (0..1_283).map(|n| ballot(poll, n, 1, if n % 2 == 0 { "1" } else { "2" })).collect();
        let second: Vec<_> = (0..1_283).filter(|n| n % 3 == 0).map(|n| ballot(poll, n, 2, "3")).collect();
        let changed = second.len() as i64;
        store.apply(0, &line([first]), NOON).await.unwrap();
        store.apply(0, &line([second]), NOON).await.unwrap();
        let counted = tally(&store, poll).await;
        assert_eq!(counted.books, books(1_283 + changed, 1_283, changed, 0, 0, 1_283));
        assert_eq!(counted.counts[&3].votes, changed);
        assert_proven(store.recount().await.unwrap());
    });
}

fn workers_with_different_homes_add_up(backend: Backend) {
    with_store(backend, async |place, store| {
        let poll = poll_id();
        store.apply(0, &line([vec![ballot(poll, 1, 1, "1")]]), NOON).await.unwrap();
        store.apply(1, &line([vec![ballot(poll, 1, 2, "2"), ballot(poll, 2, 1, "1")]]), NOON).await.unwrap();
        let counted = tally(&store, poll).await;
        assert_eq!(votes(&counted), [(1, 1), (2, 1)]);
        assert_eq!(counted.books, books(3, 2, 1, 0, 0, 2));
        // Each has written its own rows alone, or the two would wait for each other under load.
        assert_eq!(number(place, "select count(distinct lane) from tally").await, 2);
    });
}

fn two_workers_may_hold_the_batches_of_an_instance_nobody_registered(backend: Backend) {
    with_store(backend, async |_, store| {
        // A database restored from before the instance's birth, and a lane that fails over from one worker to the other.
        for _ in 0..20 {
            let (poll, from) = (poll_id(), instance());
            let batches: Vec<Batch> = (1..=4).map(|n| batch(from, 0, n, vec![ballot(poll, n as u32, 1, "1")])).collect();
            let (left, right) = (&batches[..3], &batches[1..]);
            let (one, two) = tokio::join!(store.apply(0, left, NOON), store.apply(1, right, NOON));
            for applied in [one, two] {
                applied.unwrap();
            }
            store.apply(0, &[beat(from, 0, NOON, 4)], NOON).await.unwrap();
            assert_eq!(tally(&store, poll).await.books, books(4, 4, 0, 0, 0, 4));
            assert_eq!(store.standing().await.unwrap().missing, []);
        }
    });
}

fn a_call_dropped_half_way_leaves_no_transaction_open(backend: Backend) {
    with_store(backend, async |place, store| {
        let mut context = Context::from_waker(Waker::noop());
        for n in 0..40 {
            // A request whose client has gone: polled once, then dropped.
            assert!(pin!(store.create_event(event_draft(vec![code(n)]), stamp())).poll(&mut context).is_pending());
            let _ = pin!(store.tallies(vec![poll_id()])).poll(&mut context);
        }
        // The edits went through whole, and every connection is as good as new.
        crate::craft::eventually("all edits are committed", async || number(place, "select count(*) from event").await == 40).await;
        assert_eq!(number(place, "select number from edition").await, 40);
        for _ in 0..20 {
            store.events(Listing::of_people()).await.unwrap();
            store.tallies(vec![poll_id()]).await.unwrap();
        }
    });
}

/// No address, no device, no name: whoever adds a column has to think of that here.
fn a_ballot_is_kept_with_nothing_that_says_who_cast_it(backend: Backend) {
    with_store(backend, async |place, _| {
        let columns = match backend {
            Backend::Embedded => "pragma_table_info('ballot')",
            Backend::Distributed => "(select column_name as name from information_schema.columns where table_name = 'ballot') c",
        };
        let known = "'poll', 'round', 'voter', 'ballot', 'revision', 'picks', 'prior', 'accepted_at'";
        let count = async |which: &str| number(place, &format!("select count(*) from {columns} where name {which} ({known})")).await;
        assert_eq!((count("in").await, count("not in").await), (8, 0));
    });
}

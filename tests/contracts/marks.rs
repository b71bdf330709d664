//! How far the lanes are worked off: what is missing, what is counted through, and who has not reported.

use std::sync::Arc;

use groundswell::clock::now_ms;
use groundswell::domain::Sign;
use groundswell::intake::{Intake, Replay};
use groundswell::queue::{Memory, Queue, Spill};
use groundswell::store::Forgetting;

use crate::craft::{NOON, ballot, batch, beat, instance, last_beat, poll_id, with_store};
use crate::on_both;
use crate::spill::settings;
use crate::support::Backend;

/// As the store has it: an instance silent for this long is named instead of waited for.
const SILENT_AFTER_MS: i64 = 30_000;

on_both![
    a_number_that_never_came_is_missing_until_it_comes,
    numbers_beyond_the_last_applied_are_in_flight,
    what_is_missing_is_listed_in_one_order_whatever_came_last,
    what_a_process_that_is_gone_never_made_safe_is_not_missing,
    counted_through_waits_for_the_slowest_lane,
    counted_through_waits_for_an_instance_that_has_only_registered,
    counted_through_waits_for_a_missing_batch,
    an_old_beat_changes_nothing,
    an_instance_that_falls_silent_is_named_and_no_longer_waited_for,
    a_lane_that_stands_still_holds_all_back,
    an_instance_that_comes_back_is_waited_for_again,
    an_instance_that_ended_is_neither_waited_for_nor_named,
    an_instance_that_ended_with_a_gap_still_shows_it,
    the_only_process_ends_those_before_it,
    a_result_waits_for_an_instance_that_may_hold_votes_until_it_is_forgotten,
    a_result_waits_a_day_at_most_for_an_instance_that_fell_silent,
    the_heir_of_a_dead_instance_closes_its_books,
    while_batches_of_a_dead_instance_lie_in_a_spill_nothing_is_counted_past_them,
    a_sign_that_no_lane_carried_proves_nothing_of_what_waits_there,
    who_is_vouched_for_is_waited_for_and_nobody_else_is,
];

fn a_number_that_never_came_is_missing_until_it_comes(backend: Backend) {
    with_store(backend, async |_, store| {
        let (poll, from) = (poll_id(), instance());
        let numbered = |n: u64| batch(from, 3, n, vec![ballot(poll, n as u32, 1, "1")]);
        store.register_instance(from, 4, NOON).await.unwrap();
        store.apply(0, &[numbered(1), numbered(3), numbered(6), beat(from, 3, NOON + 1, 6)], NOON).await.unwrap();
        let standing = store.standing().await.unwrap();
        assert_eq!(standing.missing, [(from, 3, 2, 2), (from, 3, 4, 5)]);
        assert_eq!(standing.in_flight(), 3);

        store.apply(0, &[numbered(5), numbered(2), numbered(4)], NOON).await.unwrap();
        assert_eq!(store.standing().await.unwrap().in_flight(), 0);
    });
}

fn what_is_missing_is_listed_in_one_order_whatever_came_last(backend: Backend) {
    with_store(backend, async |_, store| {
        let mut instances = [instance(), instance(), instance()];
        instances.sort();
        for from in instances {
            store.register_instance(from, 3, NOON).await.unwrap();
        }
        let expected: Vec<_> = instances.iter().flat_map(|from| (0..3).map(|lane| (*from, lane, 1, 2))).collect();
        for turn in 0..4 {
            // Each time another mark is the one that was written last.
            for at in (0..9).map(|n| (n * 2 + turn * 5) % 9) {
                let (from, lane) = (instances[at / 3], (at % 3) as u16);
                store.apply(0, &[beat(from, lane, NOON + 1 + turn as i64, 2)], NOON).await.unwrap();
            }
            assert_eq!(store.standing().await.unwrap().missing, expected);
        }
    });
}

fn numbers_beyond_the_last_applied_are_in_flight(backend: Backend) {
    with_store(backend, async |_, store| {
        let from = instance();
        store.register_instance(from, 1, NOON).await.unwrap();
        store.apply(0, &[beat(from, 0, NOON + 1, 7)], NOON).await.unwrap();
        assert_eq!(store.standing().await.unwrap().missing, [(from, 0, 1, 7)]);
    });
}

/// A batch that had its number and not yet its sync when its process was killed was never called safe, and is no loss for ever.
fn what_a_process_that_is_gone_never_made_safe_is_not_missing(backend: Backend) {
    with_store(backend, async |_, store| {
        let (poll, gone, next) = (poll_id(), instance(), instance());
        store.register_instance(gone, 1, NOON).await.unwrap();
        let numbered = |n: u64| batch(gone, 0, n, vec![ballot(poll, n as u32, 1, "1")]);
        store.apply(0, &[numbered(1), numbered(3), beat(gone, 0, NOON + 1, 5)], NOON).await.unwrap();
        assert_eq!(store.standing().await.unwrap().in_flight(), 3);
        store.end_other_instances(next).await.unwrap();
        let standing = store.standing().await.unwrap();
        assert_eq!((standing.in_flight(), standing.missing), (0, vec![]));
    });
}

fn counted_through_waits_for_the_slowest_lane(backend: Backend) {
    with_store(backend, async |_, store| {
        let (one, two) = (instance(), instance());
        for from in [one, two] {
            store.register_instance(from, 2, NOON).await.unwrap();
        }
        let clocks = [(one, 0, 40), (one, 1, 30), (two, 0, 20), (two, 1, 10)];
        for (from, lane, after) in clocks {
            store.apply(0, &[beat(from, lane, NOON + after, 0)], NOON).await.unwrap();
        }
        assert_eq!(store.standing().await.unwrap().counted_through, NOON + 10);
        assert_eq!(store.pulse(0, NOON).await.unwrap().counted_through, NOON + 10);
        store.apply(0, &[beat(two, 1, NOON + 50, 0)], NOON).await.unwrap();
        assert_eq!(store.standing().await.unwrap().counted_through, NOON + 20);
    });
}

fn counted_through_waits_for_an_instance_that_has_only_registered(backend: Backend) {
    with_store(backend, async |_, store| {
        assert_eq!(store.standing().await.unwrap().counted_through, 0, "nobody has said anything yet");
        let (old, new) = (instance(), instance());
        store.register_instance(old, 1, NOON).await.unwrap();
        store.register_instance(new, 1, NOON + 5).await.unwrap();
        store.apply(0, &[beat(old, 0, NOON + 1_000, 0)], NOON).await.unwrap();
        assert_eq!(store.standing().await.unwrap().counted_through, NOON + 5);
    });
}

fn counted_through_waits_for_a_missing_batch(backend: Backend) {
    with_store(backend, async |_, store| {
        let (poll, from) = (poll_id(), instance());
        store.register_instance(from, 1, NOON).await.unwrap();
        let numbered = |n: u64| batch(from, 0, n, vec![ballot(poll, n as u32, 1, "1")]);
        store.apply(0, &[numbered(2), beat(from, 0, NOON + 10, 2)], NOON).await.unwrap();
        assert_eq!(store.standing().await.unwrap().counted_through, NOON);
        store.apply(0, &[numbered(1)], NOON).await.unwrap();
        assert_eq!(store.standing().await.unwrap().counted_through, NOON + 10);
    });
}

fn an_old_beat_changes_nothing(backend: Backend) {
    with_store(backend, async |_, store| {
        let from = instance();
        store.register_instance(from, 1, NOON).await.unwrap();
        store.apply(0, &[batch(from, 0, 1, vec![]), beat(from, 0, NOON + 20, 1)], NOON).await.unwrap();
        store.apply(0, &[beat(from, 0, NOON + 10, 0), last_beat(from, 0, NOON + 10, 9)], NOON).await.unwrap();
        let standing = store.standing().await.unwrap();
        assert_eq!((standing.counted_through, standing.in_flight()), (NOON + 20, 0));
    });
}

fn an_instance_that_falls_silent_is_named_and_no_longer_waited_for(backend: Backend) {
    with_store(backend, async |_, store| {
        let (silent, alive) = (instance(), instance());
        for from in [silent, alive] {
            store.register_instance(from, 2, NOON).await.unwrap();
        }
        let alive_at = |clock| [beat(alive, 0, clock, 0), beat(alive, 1, clock, 0)];
        // One of the lanes a little later: the last sign is the latest.
        store.apply(0, &[beat(silent, 1, NOON + 7, 0)], NOON).await.unwrap();
        store.apply(0, &alive_at(NOON + SILENT_AFTER_MS - 1), NOON).await.unwrap();
        let standing = store.standing().await.unwrap();
        assert_eq!((standing.counted_through, standing.unreported.len()), (NOON, 0), "not silent for long enough");

        store.apply(0, &alive_at(NOON + SILENT_AFTER_MS + 7), NOON).await.unwrap();
        let standing = store.standing().await.unwrap();
        assert_eq!(standing.counted_through, NOON + SILENT_AFTER_MS + 7);
        assert_eq!(standing.unreported, [(silent, NOON + 7)]);
    });
}

fn a_lane_that_stands_still_holds_all_back(backend: Backend) {
    with_store(backend, async |_, store| {
        let (one, two) = (instance(), instance());
        for from in [one, two] {
            store.register_instance(from, 2, NOON).await.unwrap();
        }
        // The worker of lane 1 is stuck: nobody there is silent, their batches wait in line.
        let later = NOON + 3 * SILENT_AFTER_MS;
        store.apply(0, &[beat(one, 0, later, 0), beat(two, 0, later, 0)], NOON).await.unwrap();
        assert_eq!(store.standing().await.unwrap().counted_through, NOON);
    });
}

fn an_instance_that_comes_back_is_waited_for_again(backend: Backend) {
    with_store(backend, async |_, store| {
        let (away, alive) = (instance(), instance());
        for from in [away, alive] {
            store.register_instance(from, 1, NOON).await.unwrap();
        }
        store.apply(0, &[beat(alive, 0, NOON + 60_000, 0)], NOON).await.unwrap();
        assert_eq!(store.standing().await.unwrap().unreported.len(), 1);
        store.apply(0, &[beat(away, 0, NOON + 59_000, 1)], NOON).await.unwrap();
        let standing = store.standing().await.unwrap();
        assert_eq!((standing.counted_through, standing.unreported.len(), standing.in_flight()), (NOON, 0, 1));
    });
}

fn an_instance_that_ended_is_neither_waited_for_nor_named(backend: Backend) {
    with_store(backend, async |_, store| {
        let (ended, alive) = (instance(), instance());
        for from in [ended, alive] {
            store.register_instance(from, 1, NOON).await.unwrap();
        }
        store.apply(0, &[last_beat(ended, 0, NOON + 1, 0), beat(alive, 0, NOON + 90_000, 0)], NOON).await.unwrap();
        let standing = store.standing().await.unwrap();
        assert_eq!((standing.counted_through, standing.unreported.len()), (NOON + 90_000, 0));
    });
}

fn an_instance_that_ended_with_a_gap_still_shows_it(backend: Backend) {
    with_store(backend, async |_, store| {
        let (ended, alive) = (instance(), instance());
        for from in [ended, alive] {
            store.register_instance(from, 1, NOON).await.unwrap();
        }
        store.apply(0, &[last_beat(ended, 0, NOON + 1, 2), beat(alive, 0, NOON + 90_000, 0)], NOON).await.unwrap();
        assert_eq!(store.standing().await.unwrap().missing, [(ended, 0, 1, 2)]);
    });
}

fn the_only_process_ends_those_before_it(backend: Backend) {
    with_store(backend, async |_, store| {
        let (before, now) = (instance(), instance());
        store.register_instance(before, 2, NOON).await.unwrap();
        store.end_other_instances(now).await.unwrap();
        store.register_instance(now, 2, NOON + 100).await.unwrap();
        let standing = store.standing().await.unwrap();
        assert_eq!((standing.counted_through, standing.unreported.len()), (NOON + 100, 0));
    });
}

fn a_result_waits_for_an_instance_that_may_hold_votes_until_it_is_forgotten(backend: Backend) {
    with_store(backend, async |_, store| {
        let (silent, other) = (instance(), instance());
        for from in [silent, other] {
            store.register_instance(from, 1, NOON).await.unwrap();
        }
        let later = NOON + SILENT_AFTER_MS + 1;
        assert_eq!(store.forget_instance(silent, NOON + SILENT_AFTER_MS - 1).await.unwrap(), Forgetting::Alive, "nobody else has spoken, and it has just now");
        store.apply(0, &[beat(other, 0, later, 0)], NOON).await.unwrap();
        let standing = store.standing().await.unwrap();
        assert_eq!((standing.counted_through, standing.settled_through), (later, NOON), "nobody waits for it, but results stay provisional");
        assert_eq!(standing.unreported, [(silent, NOON)]);
        assert_eq!(store.pulse(0, NOON).await.unwrap().settled_through, NOON);

        assert_eq!(store.forget_instance(other, later).await.unwrap(), Forgetting::Alive, "a mistyped name, or one that was only cut off");
        assert_eq!(store.forget_instance(silent, later).await.unwrap(), Forgetting::Forgotten);
        assert_eq!(store.standing().await.unwrap().settled_through, later);
        assert_eq!(store.forget_instance(silent, later).await.unwrap(), Forgetting::Unknown, "nobody of that name is waited for any more");

        // It was only cut off, and goes on taking votes: no result is final without them.
        store.apply(0, &[beat(silent, 0, NOON, 0)], NOON).await.unwrap();
        assert_eq!(store.standing().await.unwrap().settled_through, later, "what it said before says nothing");
        store.apply(0, &[beat(silent, 0, later + 1, 3), beat(other, 0, later + 9, 0)], NOON).await.unwrap();
        let standing = store.standing().await.unwrap();
        assert_eq!((standing.counted_through, standing.settled_through), (NOON, NOON), "three batches of it are on their way");
        assert_eq!(standing.missing, [(silent, 0, 1, 3)]);
    });
}

fn a_result_waits_a_day_at_most_for_an_instance_that_fell_silent(backend: Backend) {
    const DAY_MS: i64 = 24 * 3_600 * 1_000;
    with_store(backend, async |_, store| {
        let (silent, other) = (instance(), instance());
        for from in [silent, other] {
            store.register_instance(from, 1, NOON).await.unwrap();
        }
        for (after, settled) in [(DAY_MS - 1, NOON), (DAY_MS, NOON + DAY_MS)] {
            store.apply(0, &[beat(other, 0, NOON + after, 0)], NOON).await.unwrap();
            assert_eq!(store.standing().await.unwrap().settled_through, settled);
        }
    });
}

fn the_heir_of_a_dead_instance_closes_its_books(backend: Backend) {
    with_store(backend, async |_, store| {
        let (poll, dead) = (poll_id(), instance());
        let numbered = |n: u64| batch(dead, 0, n, vec![ballot(poll, n as u32, 1, "1")]);
        store.register_instance(dead, 1, NOON).await.unwrap();
        // 2 and 4 were never called safe; 3 comes out of the spill.
        store.apply(0, &[numbered(1), beat(dead, 0, NOON + 1, 4)], NOON).await.unwrap();
        store.apply(0, &[numbered(3)], NOON).await.unwrap();
        assert_eq!(store.standing().await.unwrap().in_flight(), 2);
        let mut farewell = last_beat(dead, 0, NOON, 0);
        farewell.beat.as_mut().unwrap().abandoned = true;
        store.apply(0, &[farewell], NOON).await.unwrap();
        let standing = store.standing().await.unwrap();
        assert_eq!((standing.in_flight(), standing.unreported.len()), (0, 0));
        // Should it have said one safe after all, it would be skipped now: that is why the heir speaks last.
        assert_eq!(store.apply(0, &[numbered(2)], NOON).await.unwrap().redelivered, 1);
    });
}

fn while_batches_of_a_dead_instance_lie_in_a_spill_nothing_is_counted_past_them(backend: Backend) {
    with_store(backend, async |place, store| {
        let (poll, dead, heir) = (poll_id(), instance(), instance());
        let numbered = |n: u64| batch(dead, 0, n, vec![ballot(poll, n as u32, 1, "1")]);
        let died = now_ms() - SILENT_AFTER_MS - 1_000;
        store.register_instance(dead, 2, died - 1).await.unwrap();
        store.apply(0, &[numbered(1), numbered(2), numbered(3), beat(dead, 0, died, 5), beat(dead, 1, died, 0)], died).await.unwrap();
        let spill = Spill::open(settings(place.directory.path()), dead).unwrap();
        for n in [4, 5] {
            spill.keep(Arc::new(numbered(n))).await.unwrap();
        }
        spill.close().await;

        let spill = Spill::open(settings(place.directory.path()), heir).unwrap();
        let born = now_ms() - 1;
        store.register_instance(heir, 2, born).await.unwrap();
        // A broker that takes nothing: the database is told directly.
        let queue = Queue::Memory(Memory::new(2));
        queue.close().await;
        let intake = Intake::with_spill(queue, Some(spill.clone()), heir, 2, born);
        store.sign(&intake.beat().await).await.unwrap();
        // Through the lanes, later by as much as makes a process silent.
        let now = now_ms();
        store.apply(0, &[beat(heir, 0, now, 0), beat(heir, 1, now, 0)], now).await.unwrap();
        let standing = store.standing().await.unwrap();
        assert_eq!(standing.counted_through, died - 1, "votes accepted after this lie in the spill");
        assert_eq!((standing.missing, standing.unreported), (vec![(dead, 0, 4, 5)], vec![]), "somebody answers for them");
        assert_eq!(store.forget_instance(dead, now_ms()).await.unwrap(), Forgetting::Vouched);

        // Passed on. What it gave the broker after the last it was heard of may stand in line behind that, accepted long before the heir spoke.
        store.apply(0, &[numbered(4), numbered(5)], now_ms()).await.unwrap();
        spill.release(Arc::new(spill.oldest(vec![], 10).await.unwrap())).await.unwrap();
        let signs = intake.beat().await;
        assert!(signs.iter().all(|(instance, ..)| *instance == heir));
        store.sign(&signs).await.unwrap();
        assert_eq!(store.standing().await.unwrap().counted_through, died, "as far as it said itself that it got");
        store.apply(0, &[numbered(6), Replay::last_word(dead, 0, now_ms()), Replay::last_word(dead, 1, now_ms())], now_ms()).await.unwrap();
        // Behind it all, nothing of it holds anybody back.
        assert!(store.standing().await.unwrap().counted_through >= born);
    });
}

/// Long after a process that died is taken for silent, or for gone, or not known at all: while somebody vouches for it, it is waited for.
fn who_is_vouched_for_is_waited_for_and_nobody_else_is(backend: Backend) {
    const DAY_MS: i64 = 24 * 3_600 * 1_000;
    with_store(backend, async |_, store| {
        let (dead, alive) = (instance(), instance());
        for from in [dead, alive] {
            store.register_instance(from, 1, NOON).await.unwrap();
        }
        let through = async |at: i64, vouched: bool| {
            if vouched {
                store.sign(&[(dead, 0, Sign::Vouch { at, highest: 3 })]).await.unwrap();
            }
            store.apply(0, &[beat(alive, 0, at, 0)], at).await.unwrap();
            let standing = store.standing().await.unwrap();
            (standing.counted_through, standing.settled_through)
        };
        let silent = NOON + SILENT_AFTER_MS + 1;
        assert_eq!(through(silent, true).await, (NOON, NOON));
        assert_eq!(through(2 * silent - NOON, false).await, (2 * silent - NOON, NOON), "nobody vouches any more; its disk may come back");
        let gone = NOON + 2 * DAY_MS;
        assert_eq!(through(gone, true).await, (NOON, NOON));
        // A process that starts a month later clears away what nobody speaks for.
        let later = NOON + 31 * DAY_MS;
        assert_eq!(through(later, true).await, (NOON, NOON));
        store.register_instance(instance(), 1, later).await.unwrap();
        assert_eq!(store.standing().await.unwrap().counted_through, NOON);
        let last = later + SILENT_AFTER_MS + DAY_MS;
        assert_eq!(through(last, false).await, (last, last), "for a day and more nobody has spoken for either of them");
    });
}

fn a_sign_that_no_lane_carried_proves_nothing_of_what_waits_there(backend: Backend) {
    with_store(backend, async |_, store| {
        let (dead, alive) = (instance(), instance());
        for from in [dead, alive] {
            store.register_instance(from, 1, NOON).await.unwrap();
        }
        store.apply(0, &[beat(dead, 0, NOON + 10, 0), beat(alive, 0, NOON + 10, 0)], NOON).await.unwrap();
        // A batch of the dead stands in a lane that nobody reads; what is signed or registered meanwhile goes past it.
        let later = NOON + SILENT_AFTER_MS + 1_000;
        store.sign(&[(alive, 0, Sign::Beat(beat(alive, 0, later, 0).beat.unwrap()))]).await.unwrap();
        store.register_instance(instance(), 1, later).await.unwrap();
        assert_eq!(store.standing().await.unwrap().counted_through, NOON + 10);

        store.apply(0, &[batch(dead, 0, 1, vec![ballot(poll_id(), 1, 1, "1")]), beat(alive, 0, later, 0)], later).await.unwrap();
        assert_eq!(store.standing().await.unwrap().counted_through, later);
    });
}

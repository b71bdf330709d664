//! Counting in bulk and in trouble: commits large enough for the short way, and a line to the database that swallows everything.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use groundswell::domain::{Ballot, BallotId, Batch, CLOSE_GRACE_MS, PollId, PollState};
use groundswell::queue::{Memory, Queue, Safe};
use groundswell::store::Store;
use groundswell::tally::Worker;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::craft::{
    NOON, PATIENCE, assert_proven, ballot, batch, books, code, event_draft, instance, line, poll_draft, poll_id, soon, stamp, tally, votes, with_store,
};
use crate::on_both;
use crate::support::{Backend, Place, runtime, services_are_there, until};

on_both![
    many_first_votes_are_counted_like_few,
    among_many_first_votes_one_is_known,
    workers_with_the_same_first_votes_count_each_once,
    workers_with_the_same_voters_do_not_lock_each_other_out,
    a_final_vote_stays_whatever_comes,
    many_late_ballots_are_kept,
];

/// Enough for every short way there is.
const MANY: u32 = 1_000;

fn first_votes(poll: PollId, voters: std::ops::Range<u32>, pick: &str) -> Vec<Ballot> {
    voters.map(|n| ballot(poll, n, 1, pick)).collect()
}

/// The same vote from another tab of the voter: a ballot of its own, the higher the later the tab.
fn from_tab(tab: u16, mut ballot: Ballot) -> Ballot {
    ballot.ballot = BallotId(Uuid::from_u128(ballot.ballot.0.as_u128() | u128::from(tab) << 112));
    ballot
}

fn many_first_votes_are_counted_like_few(backend: Backend) {
    with_store(backend, async |_, store| {
        let (one, two) = (poll_id(), poll_id());
        let mut ballots = first_votes(one, 0..MANY, "2");
        ballots.extend(first_votes(one, MANY..MANY + 10, ""));
        ballots.extend(first_votes(two, 0..MANY, "1:3,4"));
        // The same voter twice in one commit: one of the two is left out before.
        ballots.push(ballot(one, 0, 1, "2"));
        let applied = store.apply(0, &line([ballots]), NOON).await.unwrap();
        let many = i64::from(MANY);
        assert_eq!(applied.total(), books(2 * many + 11, 2 * many + 10, 0, 1, 0, 2 * many));
        assert_eq!(tally(&store, one).await.books, books(many + 11, many + 10, 0, 1, 0, many));
        assert_eq!(votes(&tally(&store, one).await), [(2, many)]);
        assert_eq!(tally(&store, two).await.counts[&1].weight, 3 * many);
        assert_proven(store.recount().await.unwrap());
    });
}

fn among_many_first_votes_one_is_known(backend: Backend) {
    with_store(backend, async |_, store| {
        let poll = poll_id();
        let mut higher = ballot(poll, 3, 1, "3");
        higher.ballot = BallotId(Uuid::from_u128(u128::MAX));
        let known = vec![ballot(poll, 1, 1, "1"), ballot(poll, 2, 2, "2"), higher];
        store.apply(0, &line([known]), NOON).await.unwrap();
        // Resent, lower, and beaten by its id; and a commit later all of it again, under other numbers.
        for round in 0..3 {
            store.apply(0, &line([first_votes(poll, 1..MANY, "1")]), NOON).await.unwrap();
            let many = i64::from(MANY);
            // Two of each round meet a higher one; one has been there before, and from the second round on all the others.
            let expected = books(3 + (round + 1) * (many - 1), many - 1, 2 * (round + 1), 1 + round * (many - 3), 0, many - 1);
            let counted = tally(&store, poll).await;
            assert_eq!(counted.books, expected);
            assert_eq!(votes(&counted), [(1, many - 3), (2, 1), (3, 1)]);
        }
        // And those that come after are counted as well as ever.
        store.apply(0, &line([first_votes(poll, MANY..2 * MANY, "4")]), NOON).await.unwrap();
        assert_eq!(tally(&store, poll).await.counts[&4].votes, i64::from(MANY));
        assert_proven(store.recount().await.unwrap());
    });
}

/// It once read the whole poll for each commit with a repeat in it: four times the work in a crowd of 300,000, and more with each voter.
#[test]
fn a_repeat_among_many_costs_what_it_looks_up_and_not_the_whole_poll() {
    if !services_are_there() {
        return;
    }
    const VOTERS: u32 = 40_000;
    with_store(Backend::Distributed, async |place, store| {
        let poll = poll_id();
        store.apply(0, &line([first_votes(poll, 0..VOTERS, "1")]), NOON).await.unwrap();
        let again = store.apply(0, &line([first_votes(poll, VOTERS - 1..VOTERS + MANY, "1")]), NOON).await.unwrap();
        assert_eq!(again.total(), books(i64::from(MANY) + 1, i64::from(MANY), 0, 1, 0, i64::from(MANY)));
        // A server process says what it did when it ends.
        store.close().await;
        let fetched = || place.number("select coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) from pg_stat_user_tables where relname = 'ballot'");
        until("the server tells its statistics", || fetched() > 0);
        let rows = fetched();
        assert!(rows < i64::from(10 * MANY), "{rows} rows of {VOTERS} were read");
    });
}

fn workers_with_the_same_first_votes_count_each_once(backend: Backend) {
    with_store(backend, async |_, store| {
        for _ in 0..5 {
            let poll = poll_id();
            // Two tabs of each voter, each in the hands of another worker, at once.
            let left = line([first_votes(poll, 0..MANY, "1")]);
            let right = line([first_votes(poll, 0..MANY, "2").into_iter().map(|b| from_tab(1, b)).collect()]);
            tokio::join!(apply_until_done(&store, 0, left), apply_until_done(&store, 1, right));
            let many = i64::from(MANY);
            assert_eq!(votes(&tally(&store, poll).await), [(2, many)], "the higher id");
            assert_eq!(tally(&store, poll).await.books, books(2 * many, many, many, 0, 0, many));
        }
        assert_proven(store.recount().await.unwrap());
    });
}

/// A commit that has to be tried again because of another's locks costs a second on Postgres.
fn workers_with_the_same_voters_do_not_lock_each_other_out(backend: Backend) {
    const COMMITS: u32 = 25;
    const STEP: u32 = MANY / 10;
    with_store(backend, async |_, store| {
        let poll = poll_id();
        let works = async |home: u16, pick: &str| {
            // The last tenth of a commit votes for the first time, wherever their keys are; all others change their minds, and the other worker has
            // them in hand, too.
            for (at, commit) in (1..).zip(0..COMMITS) {
                let known = (commit * STEP..(commit + 9) * STEP).map(|n| (n, at + 1));
                let new = ((commit + 9) * STEP..(commit + 10) * STEP).map(|n| (n, 1));
                let ballots = known.chain(new).map(|(n, revision)| from_tab(home, ballot(poll, n.reverse_bits(), revision, pick))).collect();
                store.apply(home, &line([ballots]), NOON).await.expect("nobody is in the way");
            }
        };
        tokio::join!(works(0, "1"), works(1, "2"));
        let counted = tally(&store, poll).await;
        let (voters, sent) = (i64::from(STEP * (COMMITS + 9)), i64::from(2 * COMMITS * MANY));
        assert_eq!((counted.books.received, counted.books.counted), (sent, voters));
        assert_eq!(votes(&counted).iter().map(|(_, votes)| votes).sum::<i64>(), voters);
        assert_proven(store.recount().await.unwrap());
    });
}

/// As a worker does.
async fn apply_until_done(store: &Store, home: u16, batches: Vec<Batch>) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = store.apply(home, &batches, NOON).await {
        assert!(Instant::now() < deadline, "{error}");
    }
}

fn a_final_vote_stays_whatever_comes(backend: Backend) {
    with_store(backend, async |_, store| {
        let mut quiz = poll_draft(&["A", "B"]);
        quiz.change = false;
        let poll = quiz.id;
        let event = store.create_event(groundswell::store::EventDraft { polls: vec![quiz], ..event_draft(vec![code(4_711)]) }, stamp()).await.unwrap();
        store.set_poll_state(event.id, poll, PollState::Open, stamp()).await.unwrap();
        for batch in line([vec![ballot(poll, 1, 1, "1")], vec![ballot(poll, 1, 2, "2"), ballot(poll, 2, 1, "2")], first_votes(poll, 1..MANY, "1")]) {
            store.apply(0, &[batch], NOON).await.unwrap();
        }
        let (counted, many) = (tally(&store, poll).await, i64::from(MANY));
        assert_eq!(votes(&counted), [(1, many - 2), (2, 1)]);
        assert_eq!(counted.books, books(2 + many, many - 1, 1, 2, 0, many - 1));
        assert_proven(store.recount().await.unwrap());
    });
}

fn many_late_ballots_are_kept(backend: Backend) {
    with_store(backend, async |place, store| {
        let (event, poll) = crate::craft::event_with_poll(&store).await;
        let closed_at = crate::craft::close_at_noon(&store, event.id, poll).await;
        let mut batches = line([first_votes(poll, 0..MANY, "1"), first_votes(poll, 0..MANY, "1")]);
        batches.iter_mut().for_each(|b| b.accepted_at = closed_at + CLOSE_GRACE_MS + 1);
        store.apply(0, &batches, NOON).await.unwrap();
        let many = i64::from(MANY);
        assert_eq!(tally(&store, poll).await.books, books(2 * many, 0, 0, 0, 2 * many, 0));
        assert_eq!(crate::craft::number(place, "select count(*) from late_ballot").await, many, "each once");
    });
}

// --- A line that swallows ---------------------------------------------------------------------------------------------

/// Between us and Postgres. From some moment on it forwards nothing of the connections that stand, as a firewall that forgot them does; those
/// that come later are served.
struct Line {
    address: SocketAddr,
    shared: Arc<Swallows>,
}

#[derive(Default)]
struct Swallows {
    /// Connections numbered up to here are mute.
    mute: AtomicU32,
    connections: AtomicU32,
    /// The next commit goes through; its answer does not.
    next_commit: AtomicBool,
    /// So that the other ends stay open.
    kept: Mutex<Vec<TcpStream>>,
}

impl Line {
    fn to(server: String) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let (address, shared) = (listener.local_addr().expect("bound"), Arc::new(Swallows::default()));
        let lines = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let number = lines.connections.fetch_add(1, Ordering::SeqCst) + 1;
                let server = TcpStream::connect(&server).expect("Postgres listens");
                lines.kept.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                for (from, to, asks) in [(client.try_clone().unwrap(), server.try_clone().unwrap(), true), (server, client, false)] {
                    let lines = lines.clone();
                    std::thread::spawn(move || lines.pump(from, to, number, asks));
                }
            }
        });
        Line { address, shared }
    }

    fn swallow_what_stands(&self) {
        self.shared.mute.store(self.shared.connections.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    fn swallow_the_answer_to_a_commit(&self) {
        self.shared.next_commit.store(true, Ordering::SeqCst);
    }

    fn is_mute(&self) -> bool {
        self.shared.mute.load(Ordering::SeqCst) > 0
    }
}

impl Swallows {
    fn pump(&self, mut from: TcpStream, mut to: TcpStream, number: u32, asks: bool) {
        let mut buffer = [0; 64 * 1_024];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let mute = number <= self.mute.load(Ordering::SeqCst);
            let commits =
                asks && !mute && buffer[..read].windows(6).any(|w| w.eq_ignore_ascii_case(b"commit")) && self.next_commit.swap(false, Ordering::SeqCst);
            if commits {
                // This goes through; nothing comes back.
                self.mute.store(self.connections.load(Ordering::SeqCst), Ordering::SeqCst);
            }
            if (!mute || commits) && to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        // What is mute says nothing of its end either.
        if number > self.mute.load(Ordering::SeqCst) {
            let _ = to.shutdown(Shutdown::Both);
        }
    }
}

fn counted_over_a_line(breaks: fn(&Line)) {
    if !services_are_there() {
        return;
    }
    let mut place = Place::new(Backend::Distributed);
    place.amqp_url = None;
    let server = place.database_url.rsplit_once('@').and_then(|(_, rest)| rest.split('/').next()).expect("host and port").to_owned();
    let line = Line::to(server.clone());
    let through_it = place.database_url.replace(&server, &line.address.to_string());
    runtime().block_on(async {
        let patience = Duration::from_secs(2);
        let store = Store::open_patiently(&through_it, 3, patience).await.expect("it opens");
        let queue = Queue::Memory(Memory::new(1));
        let stop = CancellationToken::new();
        let worker = tokio::spawn(Worker::new(store.clone(), queue.consume(vec![0]), 0).run(stop.clone(), || {}));
        let (poll, from) = (poll_id(), instance());
        let publish = async |number: u64, voter: u32| soon("counted", queue.publish(Arc::new(batch(from, 0, number, vec![ballot(poll, voter, 1, "1")])))).await;
        assert_eq!(publish(1, 1).await, Ok(Safe::Counted));

        breaks(&line);
        let begun = Instant::now();
        assert_eq!(publish(2, 2).await, Ok(Safe::Counted));
        assert!(line.is_mute() && begun.elapsed() >= patience, "the line was not mute: {:?}", begun.elapsed());
        // And with no further delay.
        let begun = Instant::now();
        assert_eq!(publish(3, 3).await, Ok(Safe::Counted));
        assert!(begun.elapsed() < patience);

        stop.cancel();
        soon("the worker ends", worker).await.unwrap().expect("the disk is well");
        // Through a door of our own: what was mute stays so.
        let direct = place.store().await;
        assert_eq!(tally(&direct, poll).await.books, books(3, 3, 0, 0, 0, 3), "each once");
        assert_eq!(direct.standing().await.unwrap().missing, []);
        direct.close().await;
    });
}

#[test]
fn a_database_that_falls_silent_holds_no_worker() {
    counted_over_a_line(Line::swallow_what_stands);
}

#[test]
fn a_commit_whose_answer_is_lost_counts_once() {
    counted_over_a_line(Line::swallow_the_answer_to_a_commit);
}

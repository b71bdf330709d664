//! Several web processes on one DATA_DIR, as containers with one volume are: each with a spill of its own, none of them orphaned.

use std::fs::File;
use std::path::Path;

use tempfile::TempDir;

use crate::client::Line;
use crate::door::{Door, figure};
use crate::outage::{all_in, place_at, server, start, stays_provisional, until_within};
use crate::process::Process;
use crate::support::until;
use crate::trouble::{RESTART, with_own_broker};

fn has_spill(directory: &Path, place: &str) -> bool {
    directory.join(place).join("spill.db").exists()
}

#[track_caller]
fn vote(door: &Door, votes: usize) {
    for _ in 0..votes {
        door.vote(&door.voter()).expect(202);
    }
}

#[test]
fn processes_that_share_a_directory_keep_their_votes_apart_and_all_of_them_count() {
    with_own_broker(|broker| {
        let place = place_at(broker);
        let servers: Vec<Process> = (0..3).map(|_| start(&place)).collect();
        // One that only counts keeps nothing, and takes no place.
        let tally = Process::of(&mut server(&place, place.directory.path(), &["tally"]));
        let first = Door::open(servers[0].address).settled();
        let doors: Vec<Door> = servers.iter().map(|server| first.at(server.address)).collect();
        doors.iter().for_each(|door| until("it knows the poll", || door.vote(&door.voter()).status == 202));
        broker.crash();
        doors.iter().for_each(|door| vote(door, 20));
        for (server, place_of) in servers.iter().zip(["spill-01", "spill-02", "spill-03"]) {
            assert!(has_spill(place.directory.path(), place_of), "{place_of}");
            until("its votes lie in its own spill", || figure(server.metrics(), "groundswell_spill_ballots") >= 20.0);
        }
        assert!(!has_spill(place.directory.path(), "spill-04") && !has_spill(place.directory.path(), ""));
        broker.control(&["restart", "rabbitmq"]);
        all_in(&first, 63);
        assert_eq!(tally.stop(), Some(0));
        servers.into_iter().for_each(|server| assert_eq!(server.stop(), Some(0)));
    });
}

#[test]
fn what_a_killed_process_spilled_is_passed_on_by_one_that_lives_beside_it() {
    with_own_broker(|broker| {
        let place = place_at(broker);
        let living = start(&place);
        let mut dying = start(&place);
        let door = Door::open(living.address).settled();
        let there = door.at(dying.address);
        until("it knows the poll", || there.vote(&there.voter()).status == 202);
        until("that one is counted", || door.counted() == 1);
        broker.crash();
        let mut accepted = 0;
        std::thread::scope(|scope| {
            let voting = scope.spawn(|| {
                let mut line = Line::at(there.address);
                (0..).take_while(|_| there.try_voter().is_some_and(|voter| there.vote_on(&mut line, &voter).status == 202)).count()
            });
            until("votes lie in its spill", || figure(dying.metrics(), "groundswell_spill_ballots") > 200.0);
            dying.kill();
            accepted = 1 + voting.join().unwrap();
        });
        until("they are adopted, with the broker away", || figure(living.metrics(), "groundswell_spill_adopted_ballots") > 200.0);
        vote(&door, 5);
        door.set_state("closed");
        stays_provisional(&door);
        // Who comes meanwhile takes a place that nobody works in.
        let third = start(&place);
        assert!(has_spill(place.directory.path(), "spill-03"));
        broker.control(&["restart", "rabbitmq"]);
        // One more may have been written whose answer was lost with the process.
        until_within(RESTART, "all that was accepted is counted", || door.counted() >= accepted as i64 + 5);
        assert!(door.counted() <= accepted as i64 + 6, "{accepted} + 5 accepted, {} counted", door.counted());
        until_within(RESTART, "the books of the dead are closed", || {
            let books = door.books();
            books["in_flight"] == 0 && books["unreported"].as_array().is_some_and(Vec::is_empty)
        });
        until_within(RESTART, "the result is final", || door.status() == "final");
        until("nothing is left to look after", || figure(living.metrics(), "groundswell_spill_adopted_ballots") == 0.0);
        let lock = place.directory.path().join("spill-02/groundswell.lock");
        until("its place is free again", || File::options().write(true).open(&lock).unwrap().try_lock().is_ok());
        let fourth = start(&place);
        assert!(!has_spill(place.directory.path(), "spill-04"));
        [living, third, fourth].into_iter().for_each(|server| assert_eq!(server.stop(), Some(0)));
    });
}

#[test]
fn votes_left_in_data_dir_itself_before_there_were_places_are_passed_on() {
    with_own_broker(|broker| {
        let (place, before) = (place_at(broker), TempDir::new().unwrap());
        let process = start(&place);
        let door = Door::open(process.address).settled();
        broker.crash();
        vote(&door, 10);
        assert_eq!(process.stop(), Some(0));
        // As an earlier version left it.
        for file in std::fs::read_dir(place.directory.path().join("spill-01")).unwrap().map(Result::unwrap) {
            std::fs::rename(file.path(), before.path().join(file.file_name())).unwrap();
        }
        broker.control(&["restart", "rabbitmq"]);
        let process = Process::of(&mut server(&place, before.path(), &[]));
        let door = door.at(process.address);
        all_in(&door, 10);
        until_within(RESTART, "the books of those before are closed", || door.books()["unreported"].as_array().is_some_and(Vec::is_empty));
        assert!(!has_spill(before.path(), "spill-01"), "it works where it found them");
        assert_eq!(process.stop(), Some(0));
    });
}

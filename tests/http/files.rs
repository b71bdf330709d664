//! Each connection is an open file, and the operating system grants so many.

use std::net::TcpStream;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::client::Line;
use crate::process::{Process, command_of};
use crate::show::{Show, metric};
use crate::support::{TOKEN, until};

/// What `ulimit` says where nothing was set up: the soft limit is what a program gets, up to the hard one it may take.
const SOFT: usize = 128;

#[test]
fn the_limit_of_open_files_is_raised_to_what_is_allowed_and_said_to_be_low() {
    const HARD: usize = 2_000;
    let directory = TempDir::new().unwrap();
    let (process, log) = start_with(directory.path(), HARD);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
    let files: Vec<&str> = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("it is among them").split_whitespace().collect();
    assert_eq!(files[..2], [HARD.to_string(), HARD.to_string()], "soft and hard");
    let said = std::fs::read_to_string(log).unwrap();
    for words in [&format!("only {HARD} files may be open"), "ulimit -n", "LimitNOFILE"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

/// More people than there are files. The newest hear that it is full; who was there before votes, the vote is made safe and counted, and the
/// desk goes on: disk and database have their files.
#[test]
fn when_no_more_connections_fit_votes_and_database_still_have_their_files() {
    const HARD: usize = 400;
    let directory = TempDir::new().unwrap();
    let (process, _) = start_with(directory.path(), HARD);
    let show = Show::prepare(&process);
    let (mut voter, mut desk) = (Line::at(process.address), Line::at(process.address));
    let crowd: Vec<_> = (0..HARD).map(|_| TcpStream::connect(process.address).expect("the system takes it")).collect();
    // A quarter of so few is kept back.
    until("the newest are told", || metric(&process, "groundswell_connections_refused_total") as usize >= HARD / 4);
    show.vote_on(&mut voter, 1).expect(202);
    until("it is counted", || metric(&process, "groundswell_ballots_tallied_total{fate=\"counted\"}") == 1.0);
    let bearer = format!("Bearer {TOKEN}");
    desk.ask("POST", "/api/v1/events", &[("authorization", &bearer), ("content-type", "application/json")], Some(&json!({"title": "Next"}).to_string()))
        .expect(201);
    drop(crowd);
}

/// A server that may open so many files, and where its log goes.
fn start_with(directory: &Path, hard: usize) -> (Process, std::path::PathBuf) {
    let log = directory.join("log");
    let limited = format!("ulimit -Sn {SOFT} && ulimit -Hn {hard} && exec \"$0\"");
    let mut command = command_of(Path::new("/bin/sh"), directory, &["-c", &limited, env!("CARGO_BIN_EXE_groundswell")]);
    let process = Process::logging(&mut command, std::fs::File::create(&log).unwrap().into());
    (process, log)
}

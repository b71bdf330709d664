//! Disks that are full, and disks that fail: what the real binary says meanwhile, and what it has afterwards.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::door::{Door, Voter};
use crate::outage::until_within;
use crate::process::{Process, command, run};
use crate::support::{Place, until};
use crate::trouble::{Broker, RESTART, with_own_broker};

/// A small disk of its own. `None` where this user may not mount one.
pub struct SmallDisk {
    directory: TempDir,
}

const DISK_BYTES: usize = 16 << 20;

impl SmallDisk {
    pub fn mount() -> Option<SmallDisk> {
        let directory = TempDir::new().unwrap();
        let options = format!("size={DISK_BYTES}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "groundswell-test"]).arg(directory.path()).stderr(Stdio::null()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(SmallDisk { directory });
        }
        eprintln!("not run: no small disk may be mounted here");
        None
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Leaves nothing.
    fn fill(&self) -> Ballast {
        let path = self.path().join("ballast");
        let mut file = File::create(&path).unwrap();
        for size in [1 << 20, 4_096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        Ballast(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

struct Ballast(PathBuf);

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn beside_the_broker(broker: &Broker, place: &Place, directory: &Path) -> Command {
    let mut command = command(directory, &[]);
    command.env("DATABASE_URL", &place.database_url).env("AMQP_URL", &broker.amqp_url).env("AMQP_PREFIX", &place.amqp_prefix);
    command.env("SPILL_FREE_BYTES_MIN", "0").env("RUST_LOG", "warn");
    command
}

/// Votes until one is not accepted; who was, what was said of the other, and who that is.
fn vote_until_refused(door: &Door) -> (Vec<Voter>, u16, Voter) {
    let mut accepted = Vec::new();
    loop {
        let voter = door.voter();
        match door.vote(&voter).status {
            202 => accepted.push(voter),
            other => return (accepted, other, voter),
        }
        assert!(accepted.len() < 100_000, "a full disk is full");
    }
}

#[test]
fn a_full_disk_under_the_database_is_said_at_the_door_and_forgotten_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else { return };
    let process = Process::start(disk.path());
    let door = Door::open(process.address);
    let before = door.voter();
    door.vote(&before).expect(202);
    let ballast = disk.fill();
    let (accepted, said, _) = vote_until_refused(&door);
    // The one that met it waits for as long as it may; those behind it are refused at once.
    assert!(matches!(said, 503 | 504), "{said}");
    until("it says that it is not ready", || door.get("/readyz").status == 503);
    let refused = door.vote(&door.voter());
    assert_eq!((refused.status, refused.code().as_str()), (503, "busy"));
    drop(ballast);
    until("it is ready again", || door.is_ready());
    door.vote(&before).expect(202);
    let last = door.voter();
    door.vote(&last).expect(202);
    // The one whose fate was unknown may have been counted.
    let least = accepted.len() as i64 + 2;
    until("all are counted", || (least..=least + 1).contains(&door.counted()));
    assert_eq!(process.stop(), Some(0));
    assert!(run(&mut command(disk.path(), &["recount"])).status.success());
}

#[test]
fn a_full_disk_under_the_spill_is_said_at_the_door_and_forgotten_when_there_is_room() {
    with_own_broker(|broker| {
        let Some(disk) = SmallDisk::mount() else { return };
        let place = Place::at(Some((broker.database_url.clone(), broker.amqp_url.clone())));
        let process = Process::of(&mut beside_the_broker(broker, &place, disk.path()));
        let door = Door::open(process.address).settled();
        let ballast = disk.fill();
        // With a broker, nobody needs the disk.
        let first = door.voter();
        until("the broker takes it", || door.vote(&first).status == 202);
        assert!(door.is_ready());

        broker.control(&["kill", "rabbitmq"]);
        let (accepted, said, _) = vote_until_refused(&door);
        // Neither with the broker nor on the disk; of the first one, the broker may know more.
        assert!(matches!(said, 503 | 504), "{said}");
        until("it says that it is not ready", || door.get("/readyz").status == 503);
        door.vote(&door.voter()).expect(503);
        drop(ballast);
        until("it is ready again", || door.is_ready());
        let more: Vec<Voter> = (0..10).map(|_| door.voter()).collect();
        for voter in &more {
            door.vote(voter).expect(202);
        }
        broker.control(&["restart", "rabbitmq"]);
        let least = (1 + accepted.len() + more.len()) as i64;
        until_within(RESTART, "all are counted", || (least..=least + 1).contains(&door.counted()) && door.books()["in_flight"] == 0);
        assert_eq!(process.stop(), Some(0));
    });
}

/// Makes every further sync of a process fail. `None` where strace is not installed or may not attach.
fn fail_syncs(process: &Process) -> Option<Child> {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-q", "-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync,fsync:error=EIO", "-p", &process.id().to_string()]);
    let mut child = strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().ok()?;
    let said = BufReader::new(child.stderr.take().expect("piped"));
    let (attached, is_attached) = std::sync::mpsc::channel();
    // Read to its end: a full pipe would stop strace, and with it the process.
    std::thread::spawn(move || {
        for line in said.lines().map_while(Result::ok) {
            let _ = attached.send(line);
        }
    });
    let traced = || {
        std::fs::read_to_string(format!("/proc/{}/status", process.id())).is_ok_and(|s| s.lines().any(|l| l.starts_with("TracerPid:") && !l.ends_with("\t0")))
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !traced() {
        if child.try_wait().ok()?.is_some() || std::time::Instant::now() > deadline {
            eprintln!("not run: strace may not attach here: {:?}", is_attached.try_iter().collect::<Vec<_>>());
            return None;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
    Some(child)
}

/// What the process wrote to its log.
fn log_of(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn a_disk_that_fails_under_the_database_ends_the_process_and_the_next_one_starts_clean() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        eprintln!("not run: strace is not installed");
        return;
    }
    let directory = TempDir::new().unwrap();
    let log = directory.path().join("log");
    let process = Process::logging(&mut command(directory.path(), &[]), File::create(&log).unwrap().into());
    let door = Door::open(process.address).settled();
    let voters: Vec<Voter> = (0..20).map(|_| door.voter()).collect();
    for voter in &voters {
        door.vote(voter).expect(202);
    }
    // One after the other, so that one is on its way when the first sync fails, whichever file that is of.
    let (accepted, Some(mut strace)) = std::thread::scope(|scope| {
        let voting = scope.spawn(|| vote_until_refused(&door));
        let strace = fail_syncs(&process);
        if strace.is_none() {
            process.tell_to_stop();
        }
        (voting.join().unwrap(), strace)
    }) else {
        return;
    };
    let (accepted, said, doubtful) = accepted;
    assert_eq!(said, 504, "nobody may say whether it is on the disk");
    assert!(process.wait().is_some_and(|code| code != 0), "it ends, and not as if all were well");
    let _ = strace.wait();
    let said = log_of(&log);
    assert!(said.lines().any(|l| l.starts_with("groundswell: ") && l.contains("disk")), "{said}");

    let again = Process::start(directory.path());
    let door = door.at(again.address);
    let least = (voters.len() + accepted.len()) as i64;
    assert!((least..=least + 1).contains(&door.counted()), "what was accepted is counted before it answers");
    for voter in voters.iter().chain(&accepted) {
        door.vote(voter).expect(202);
    }
    // The same ballot settles it, whatever it came to.
    door.vote(&doubtful).expect(202);
    until("the doubtful one is counted, once", || door.counted() == least + 1);
    assert_eq!(again.stop(), Some(0));
    assert!(run(&mut command(directory.path(), &["recount"])).status.success());
}

#[test]
fn a_disk_that_fails_under_the_spill_ends_the_process_and_what_was_kept_before_is_counted() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        eprintln!("not run: strace is not installed");
        return;
    }
    with_own_broker(|broker| {
        let directory = TempDir::new().unwrap();
        let log = directory.path().join("log");
        let place = Place::at(Some((broker.database_url.clone(), broker.amqp_url.clone())));
        let process = Process::logging(&mut beside_the_broker(broker, &place, directory.path()), File::create(&log).unwrap().into());
        let door = Door::open(process.address).settled();
        broker.control(&["kill", "rabbitmq"]);
        let voters: Vec<Voter> = (0..20).map(|_| door.voter()).collect();
        for voter in &voters {
            door.vote(voter).expect(202);
        }
        let doubtful = door.voter();
        let Some(mut strace) = fail_syncs(&process) else { return };
        assert_eq!(door.vote(&doubtful).status, 504);
        assert!(process.wait().is_some_and(|code| code != 0));
        let _ = strace.wait();
        let said = log_of(&log);
        assert!(said.lines().any(|l| l.starts_with("groundswell: ") && l.contains("DATA_DIR")), "{said}");

        broker.control(&["restart", "rabbitmq"]);
        let again = Process::of(&mut beside_the_broker(broker, &place, directory.path()));
        let door = door.at(again.address);
        until_within(RESTART, "what was kept is counted", || door.counted() >= 20);
        door.vote(&doubtful).expect(202);
        until("and the doubtful one, once", || door.counted() == 21);
        assert_eq!(again.stop(), Some(0));
    });
}

//! The servers: web and tally processes of the real binary, each behind proxies of its own, on the nemesis's broker and database.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::client::Line;
use crate::door::Door;
use crate::process::{Process, command_of, run};
use crate::proxy::{Proxy, Weather};
use crate::services::{Services, address_in, by_way_of};
use crate::support::until;
use crate::voters::Addresses;

pub const REDELIVERED: &str = "groundswell_batches_redelivered_total";
pub const SPILLED: &str = "groundswell_spill_ballots_written_total";
/// Sums that end with their process, and are wanted at the end of all.
const SUMS: [&str; 2] = [REDELIVERED, SPILLED];
/// A process that died is ready again after so long.
pub const READY_WITHIN: Duration = Duration::from_secs(2);
/// Restarts of services on two cores that also vote.
pub const PATIENCE: Duration = Duration::from_secs(90);

pub struct Plan {
    pub binary: PathBuf,
    /// One of the mistakes of `groundswell::planted`.
    pub planted: Option<&'static str>,
    pub webs: usize,
    pub tallies: usize,
}

pub struct Cluster {
    pub services: &'static Services,
    pub database: String,
    pub prefix: String,
    pub webs: Vec<Web>,
    pub tallies: Vec<Option<Process>>,
    pub tally_broker: Proxy,
    pub tally_database: Proxy,
    pub addresses: Addresses,
    /// How long web processes took to be ready.
    pub starts: Vec<Duration>,
    plan: Plan,
    directory: TempDir,
    /// What the dead had counted.
    sums: [f64; SUMS.len()],
    _runtime: Runtime,
}

pub struct Web {
    pub process: Option<Process>,
    pub broker: Proxy,
    pub database: Proxy,
    pub data: PathBuf,
}

impl Cluster {
    pub fn start(services: &'static Services, plan: Plan) -> Cluster {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let database = services.new_database();
        let database_at = address_in(&services.database_url(&database)).to_owned();
        let directory = TempDir::new().expect("a directory");
        let to_broker = || Proxy::to(address_in(services.amqp_url()), runtime.handle());
        let to_database = || Proxy::to(&database_at, runtime.handle());
        let web = |at| {
            let data = directory.path().join(format!("web-{at}"));
            std::fs::create_dir(&data).expect("an empty directory");
            Web { process: None, broker: to_broker(), database: to_database(), data }
        };
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
        let mut cluster = Cluster {
            services,
            prefix: database.clone(),
            webs: (0..plan.webs).map(web).collect(),
            tallies: (0..plan.tallies).map(|_| None).collect(),
            tally_broker: to_broker(),
            tally_database: to_database(),
            addresses: Arc::new((0..plan.webs).map(|_| RwLock::new(nowhere)).collect()),
            starts: Vec::new(),
            plan,
            sums: Default::default(),
            database,
            directory,
            _runtime: runtime,
        };
        (0..cluster.webs.len()).for_each(|at| cluster.start_web(at));
        (0..cluster.tallies.len()).for_each(|at| cluster.start_tally(at));
        cluster
    }

    fn command(&self, role: &str, data: &Path, broker: &Proxy, database: &Proxy) -> Command {
        let mut command = command_of(&self.plan.binary, data, &[role]);
        command.env("DATABASE_URL", by_way_of(&self.services.database_url(&self.database), database.address));
        command.env("AMQP_URL", by_way_of(self.services.amqp_url(), broker.address)).env("AMQP_PREFIX", &self.prefix);
        // The machine of a test may have less than an operator would want.
        command.env("SPILL_FREE_BYTES_MIN", "0");
        if let Some(planted) = self.plan.planted {
            command.env("GROUNDSWELL_TEST_MISTAKE", planted);
        }
        command
    }

    pub fn start_web(&mut self, at: usize) {
        let web = &self.webs[at];
        let began = Instant::now();
        let process = self.supervised(&mut self.command("web", &web.data, &web.broker, &web.database), &format!("web-{at}"));
        let door = Door::nowhere().at(process.address);
        until("a web process is ready", || door.is_ready());
        self.starts.push(began.elapsed());
        *self.addresses[at].write().expect("never poisoned") = process.address;
        self.webs[at].process = Some(process);
    }

    pub fn start_tally(&mut self, at: usize) {
        let mut command = self.command("tally", self.directory.path(), &self.tally_broker, &self.tally_database);
        self.tallies[at] = Some(self.supervised(&mut command, &format!("tally-{at}")));
    }

    /// As systemd and compose do: a process whose database does not answer at its start ends with a sentence, and is started again.
    fn supervised(&self, command: &mut Command, name: &str) -> Process {
        const STARTS_MAX: usize = 5;
        let mut starts = (0..STARTS_MAX).map(|_| Process::try_logging(command, self.log(name).into()));
        starts.find_map(Result::ok).unwrap_or_else(|| panic!("{name} ended at its start {STARTS_MAX} times; its log says why"))
    }

    /// kill -9.
    pub fn kill_web(&mut self, at: usize) {
        let sums = sums_of(self.webs[at].process.as_ref());
        self.keep(sums);
        if let Some(mut process) = self.webs[at].process.take() {
            process.kill();
        }
    }

    pub fn kill_tally(&mut self, at: usize) {
        let sums = sums_of(self.tallies[at].as_ref());
        self.keep(sums);
        if let Some(mut process) = self.tallies[at].take() {
            process.kill();
        }
    }

    /// SIGTERM; it ends in good order.
    pub fn stop_web(&mut self, at: usize) {
        let sums = sums_of(self.webs[at].process.as_ref());
        self.keep(sums);
        let process = self.webs[at].process.take().expect("it runs");
        assert_eq!(process.stop(), Some(0), "a web process stops in good order");
    }

    pub fn stop_tally(&mut self, at: usize) {
        let sums = sums_of(self.tallies[at].as_ref());
        self.keep(sums);
        let process = self.tallies[at].take().expect("it runs");
        assert_eq!(process.stop(), Some(0), "a tally process stops in good order");
    }

    /// An event with one open poll of three choices, known to every web process.
    pub fn open_poll(&self) -> Door {
        let mut door = Door::nowhere().at(self.address());
        let event = door.owner("POST", "/api/v1/events", json!({"title": "Nemesis", "rehearsal": true})).expect(201).json();
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        (door.event, door.code) = (text(&event["id"]), text(&event["code"]));
        let choices: Vec<String> = (1..=3).map(groundswell::rehearsal::evidence::choice_text).collect();
        let polls = format!("/api/v1/events/{}/polls", door.event);
        door.poll = text(&door.owner("POST", &polls, json!({"kind": "single", "question": "Which?", "choices": choices})).expect(201).json()["id"]);
        door.set_state("open");
        for address in self.addresses.iter() {
            let there = door.at(*address.read().expect("never poisoned"));
            until("every process knows the poll", || there.get(&format!("/api/v1/live/{}", there.code)).body.contains(r#""state":"open""#));
        }
        door.settled()
    }

    /// Where some web process is.
    pub fn address(&self) -> SocketAddr {
        let alive = self.webs.iter().position(|web| web.process.is_some()).expect("one lives");
        *self.addresses[alive].read().expect("never poisoned")
    }

    pub fn all_proxies(&self) -> Vec<&Proxy> {
        [&self.broker_proxies()[..], &self.database_proxies()[..]].concat()
    }

    pub fn broker_proxies(&self) -> Vec<&Proxy> {
        self.webs.iter().map(|web| &web.broker).chain([&self.tally_broker]).collect()
    }

    pub fn database_proxies(&self) -> Vec<&Proxy> {
        self.webs.iter().map(|web| &web.database).chain([&self.tally_database]).collect()
    }

    /// Everything runs, and nothing is in anybody's way.
    pub fn heal(&mut self) {
        self.all_proxies().into_iter().for_each(|proxy| proxy.set(Weather::Fair));
        for at in 0..self.webs.len() {
            if self.webs[at].process.is_none() {
                self.start_web(at);
            }
        }
        for at in 0..self.tallies.len() {
            if self.tallies[at].is_none() {
                self.start_tally(at);
            }
        }
    }

    /// Every vote goes to the broker again, and nothing lies on a disk.
    pub fn until_flowing(&self) {
        until_within("all circuits are closed and the spill is empty", || {
            self.of_webs("groundswell_circuit_open_lanes") == Some(0.0) && self.of_webs("groundswell_spill_batches") == Some(0.0)
        });
    }

    /// A figure summed over the web processes; `None` while one does not say.
    pub fn of_webs(&self, name: &str) -> Option<f64> {
        self.webs.iter().map(|web| figure(web.process.as_ref()?, name)).sum()
    }

    /// How many ballots the living web processes refused, by the reasons they give.
    pub fn refused_by_reason(&self) -> Vec<(&'static str, f64)> {
        const REASONS: [&str; 5] = ["not_ready", "line_full", "room_full", "waited", "queue"];
        let sum = |why: &str| self.of_webs(&format!("groundswell_ballots_refused_total{{why=\"{why}\"}}")).unwrap_or_default();
        REASONS.map(|why| (why, sum(why))).into()
    }

    /// One of `SUMS`, over the living and the dead.
    pub fn sum(&self, name: &str) -> u64 {
        let at = SUMS.iter().position(|known| *known == name).expect("a known sum");
        let living = self.webs.iter().filter_map(|web| web.process.as_ref()).chain(self.tallies.iter().flatten());
        (self.sums[at] + living.map(|process| figure(process, name).unwrap_or(0.0)).sum::<f64>()) as u64
    }

    fn keep(&mut self, sums: [f64; SUMS.len()]) {
        self.sums.iter_mut().zip(sums).for_each(|(sum, more)| *sum += more);
    }

    fn log(&self, name: &str) -> File {
        let path = self.directory.path().join(format!("{name}.log"));
        File::options().create(true).append(true).open(path).expect("a log can be written")
    }

    /// Nothing is published that the ballots do not say.
    pub fn recount(&self) {
        let direct = self.services.database_url(&self.database);
        let mut command = command_of(&self.plan.binary, self.directory.path(), &["recount"]);
        let done = run(command.env("DATABASE_URL", direct).env("AMQP_URL", self.services.amqp_url()));
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    }

    /// For whoever looks into a run that failed.
    pub fn keep_logs(&self, at: &Path) {
        for entry in std::fs::read_dir(self.directory.path()).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|e| e == "log") {
                let _ = std::fs::copy(entry.path(), at.join(entry.file_name()));
            }
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.tallies.clear();
        self.webs.iter_mut().for_each(|web| drop(web.process.take()));
        // Best effort: the database goes away with the test run.
        if !std::thread::panicking() {
            self.services.sql("postgres", &format!("drop database if exists {} with (force)", self.database));
        }
    }
}

/// The longest. The machine of a test has other work, too: it fails if not even the quickest was ready in time.
#[track_caller]
pub fn are_soon_ready(starts: &[Duration]) -> Duration {
    let quickest = starts.iter().min().expect("one was started");
    assert!(*quickest < READY_WITHIN, "the quickest took {quickest:?}");
    *starts.iter().max().expect("the same")
}

#[track_caller]
pub fn until_within(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

fn sums_of(process: Option<&Process>) -> [f64; SUMS.len()] {
    SUMS.map(|name| process.and_then(|p| figure(p, name)).unwrap_or(0.0))
}

/// 0 for what has not happened yet; `None` when nobody answers.
pub fn figure(process: &Process, name: &str) -> Option<f64> {
    let answer = Line::try_at(process.metrics()).ok()?.ask("GET", "/metrics", &[], None);
    if answer.status != 200 {
        return None;
    }
    let found = answer.body.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    Some(found.unwrap_or(0.0))
}

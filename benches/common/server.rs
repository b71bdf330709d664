//! A server of one side, with an event that people vote in and watch; started for a benchmark, gone with it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use groundswell::clock::now_ms;
use groundswell::http::PassKey;
use groundswell::rehearsal::load::{Request, vote_request};
use groundswell::store::Store;
use serde_json::json;
use uuid::Uuid;

use super::{cpu_of, cpu_of_all, execute, resident_kib, runtime};

pub const PATIENCE: Duration = Duration::from_secs(60);
const DRAIN_PATIENCE: Duration = Duration::from_secs(120);
/// Of the bare server, which does not look.
const NOWHERE: &str = "0000000000001";
pub const CHOICES: [&str; 4] = ["They ride into the sunset", "The dog saves everyone", "It was all a dream", "To be continued"];
pub const TOKEN: &str = "a-token-for-benchmarks-of-32-characters";

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Side {
    /// Bare actix-web: this benchmark itself, called with `--bare-server`.
    Bare,
    Embedded,
    Distributed,
}

impl Side {
    /// The product's, as far as the services it needs are there: `GROUNDSWELL_TEST_DATABASE_URL` and `GROUNDSWELL_TEST_AMQP_URL`.
    pub fn available() -> Vec<Side> {
        if ["GROUNDSWELL_TEST_DATABASE_URL", "GROUNDSWELL_TEST_AMQP_URL"].iter().all(|name| std::env::var(name).is_ok()) {
            return vec![Side::Embedded, Side::Distributed];
        }
        vec![Side::Embedded]
    }
}

/// A poll that is open, and where its event is watched.
#[derive(Clone)]
pub struct OpenPoll {
    pub event: String,
    pub id: String,
    /// How many are voted for, from the first on, in turn.
    pub choices: usize,
    pub snapshot: String,
    pub stream: String,
}

/// Processes of one side.
pub struct Server {
    side: Side,
    pub address: SocketAddr,
    children: Vec<(&'static str, Child)>,
    database_url: String,
    database: Option<(String, String)>,
    /// What `open_poll` opened last.
    pub poll: OpenPoll,
    arguments: Vec<String>,
    _directory: tempfile::TempDir,
}

impl Server {
    pub fn start(side: Side) -> Server {
        let directory = tempfile::TempDir::new().expect("a directory");
        let mut server = Server {
            side,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            children: Vec::new(),
            database_url: format!("sqlite://{}/groundswell.db", directory.path().display()),
            database: None,
            poll: OpenPoll { event: NOWHERE.into(), id: NOWHERE.into(), choices: CHOICES.len(), snapshot: "/same".into(), stream: "/stream".into() },
            arguments: Vec::new(),
            _directory: directory,
        };
        match side {
            Side::Bare => {
                let mut command = Command::new(std::env::current_exe().expect("this benchmark has a path"));
                command.arg("--bare-server");
                server.spawn_web(command);
            }
            Side::Embedded => {
                let command = server.groundswell("serve");
                server.spawn_web(command);
            }
            Side::Distributed => {
                let admin = std::env::var("GROUNDSWELL_TEST_DATABASE_URL").expect("checked");
                let name = format!("gs_bench_{}", Uuid::new_v4().simple());
                execute(&admin, format!("create database {name}"));
                server.database_url = format!("{}/{name}", admin.rsplit_once('/').expect("a database name").0);
                server.database = Some((admin, name.clone()));
                let amqp = std::env::var("GROUNDSWELL_TEST_AMQP_URL").expect("checked");
                server.arguments = ["--amqp-url", &amqp, "--amqp-prefix", &name].map(String::from).to_vec();
                let command = server.groundswell("web");
                server.spawn_web(command);
                let command = server.groundswell("tally");
                server.spawn("tally", "  metrics ", command);
            }
        }
        if side != Side::Bare {
            server.open_poll();
        }
        server
    }

    pub fn side(&self) -> Side {
        self.side
    }

    /// One more web process of a distributed installation; where it listens.
    pub fn another_web(&mut self) -> SocketAddr {
        assert_eq!(self.side, Side::Distributed, "embedded is one process");
        let first = self.address;
        let command = self.groundswell("web");
        self.spawn_web(command);
        std::mem::replace(&mut self.address, first)
    }

    fn groundswell(&self, role: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_groundswell"));
        command
            .args([role, "--host", "127.0.0.1", "--port", "0", "--metrics-port", "0", "--database-url", &self.database_url, "--api-token", TOKEN])
            .args(&self.arguments);
        command.env_remove("DATABASE_URL").env_remove("AMQP_URL").env("RUST_LOG", "error");
        command
    }

    /// Starts a web process, reads where it listens, and waits until it is ready.
    fn spawn_web(&mut self, command: Command) {
        const JOIN: &str = "  join    http://";
        let line = self.spawn("web", JOIN, command);
        self.address = line.trim_start_matches(JOIN).trim_end_matches('/').parse().expect("an address");
        let deadline = Instant::now() + PATIENCE;
        while self.side != Side::Bare && !self.raw("GET", "/readyz", "", None).0.contains(" 200 ") {
            assert!(Instant::now() < deadline, "the server is not ready");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Starts a process and waits until it says that it runs, with a line that starts like this; that line.
    fn spawn(&mut self, role: &'static str, last_line: &str, mut command: Command) -> String {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the process starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let line = lines.by_ref().map_while(Result::ok).find(|l| l.starts_with(last_line)).expect("the process says that it runs");
        // Read on, or the child blocks on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        self.children.push((role, child));
        line
    }

    /// Opens a poll in an event of its own.
    pub fn open_poll(&mut self) {
        self.poll = self.open_polls(1, &CHOICES.map(String::from)).remove(0);
    }

    /// Opens so many polls, all in one new event.
    pub fn open_polls(&self, count: usize, choices: &[String]) -> Vec<OpenPoll> {
        let event = self.office("POST", "/api/v1/events", r#"{"title":"Benchmark"}"#);
        let (event, code) = (event["id"].as_str().expect("an event"), event["code"].as_str().expect("a code"));
        let draft = json!({ "kind": "single", "question": "How should the film end?", "choices": choices }).to_string();
        let open = |_| {
            let poll = self.office("POST", &format!("/api/v1/events/{event}/polls"), &draft);
            let id = poll["id"].as_str().expect("a poll").to_owned();
            self.office("PUT", &format!("/api/v1/polls/{id}/state"), r#"{"state":"open"}"#);
            let snapshot = format!("/api/v1/live/{code}");
            OpenPoll { event: event.to_owned(), id, choices: choices.len(), stream: format!("{snapshot}/stream"), snapshot }
        };
        (0..count).map(open).collect()
    }

    /// Changes the document; its version afterwards.
    pub fn change(&self) -> u64 {
        match self.side {
            Side::Bare => self.raw("POST", "/change", "", Some("")).1.parse().expect("a number"),
            _ => {
                self.office("PATCH", &format!("/api/v1/events/{}", self.poll.event), &format!("{{\"title\":\"Benchmark {}\"}}", now_us()));
                let live: serde_json::Value = serde_json::from_str(&self.raw("GET", &self.poll.snapshot, "", None).1).expect("JSON");
                live["version"].as_u64().expect("a version")
            }
        }
    }

    pub fn requests(&self, count: usize) -> Vec<Request> {
        self.requests_for(std::slice::from_ref(&self.poll), count)
    }

    /// Votes for these polls in turn, each from a voter of its own.
    pub fn requests_for(&self, polls: &[OpenPoll], count: usize) -> Vec<Request> {
        let key = PassKey::new(&match self.side {
            Side::Bare => b"bare".to_vec(),
            _ => runtime().block_on(async {
                let store = Store::open(&self.database_url, 1).await.expect("the database opens");
                store.secret("pass_key", Vec::new()).await.expect("there is a key")
            }),
        });
        let now = now_ms();
        let vote = |n: usize| {
            let OpenPoll { event, id, choices, .. } = &polls[n % polls.len()];
            let pass = key.mint_open(event.parse().expect("an id"), Uuid::new_v4(), now);
            vote_request(self.address, id, &pass, Uuid::new_v4(), 1, &format!("{id}-{}", n / polls.len() % choices + 1))
        };
        (0..count).map(vote).collect()
    }

    /// Waits until this many votes are counted: nothing is lost, and nothing is still to be done.
    pub fn drain(&self, accepted: u64) {
        self.drain_all(std::slice::from_ref(&self.poll.snapshot), accepted);
    }

    /// The same, of all polls of these events together.
    pub fn drain_all(&self, snapshots: &[String], accepted: u64) {
        if self.side == Side::Bare {
            return;
        }
        let deadline = Instant::now() + DRAIN_PATIENCE;
        loop {
            let voters = self.voters_of(snapshots);
            if voters >= accepted {
                return;
            }
            assert!(Instant::now() < deadline, "{accepted} accepted, {voters} counted after {DRAIN_PATIENCE:?}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Over all polls of these events.
    pub fn voters_of(&self, snapshots: &[String]) -> u64 {
        snapshots.iter().map(|snapshot| self.voters(snapshot)).sum()
    }

    fn voters(&self, snapshot: &str) -> u64 {
        let live: serde_json::Value = serde_json::from_str(&self.raw("GET", snapshot, "", None).1).unwrap_or_default();
        live["polls"].as_array().into_iter().flatten().filter_map(|poll| poll["results"]["voters"].as_u64()).sum()
    }

    /// Seconds of CPU so far, by role.
    pub fn cpu(&self) -> BTreeMap<&'static str, f64> {
        let mut cpu: BTreeMap<&'static str, f64> = BTreeMap::new();
        for (role, child) in &self.children {
            *cpu.entry(role).or_default() += cpu_of(child.id());
        }
        if self.database.is_some() {
            cpu.insert("broker", cpu_of_all("beam.smp"));
            cpu.insert("postgres", cpu_of_all("postgres"));
        }
        cpu
    }

    pub fn resident_kib(&self) -> u64 {
        resident_kib(self.children[0].1.id())
    }

    fn office(&self, method: &str, path: &str, body: &str) -> serde_json::Value {
        let (head, body) = self.raw(method, path, &format!("authorization: Bearer {TOKEN}\r\n"), Some(body));
        assert!(head.starts_with("HTTP/1.1 20"), "{method} {path}: {head} {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    pub fn raw(&self, method: &str, path: &str, more: &str, body: Option<&str>) -> (String, String) {
        use std::io::Read;
        let Ok(mut stream) = std::net::TcpStream::connect(self.address) else { return Default::default() };
        let length = body.map_or(String::new(), |b| format!("content-type: application/json\r\ncontent-length: {}\r\n", b.len()));
        let request = format!("{method} {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n{more}{length}\r\n{}", body.unwrap_or_default());
        let mut answer = String::new();
        if stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer)).is_err() {
            return Default::default();
        }
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        (head.to_owned(), body.to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for (_, child) in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some((admin, name)) = &self.database {
            execute(admin, format!("drop database if exists {name} with (force)"));
        }
    }
}

pub fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros() as i64
}

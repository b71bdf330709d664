//! Places for tests to run in: a fresh database (and broker lanes) each, on the embedded default and on real services.
//! `scripts/test` sets the two URLs; without them only the embedded half runs. Here alone is decided what becomes of a test whose needs are
//! not met: not run on a laptop, failed where all of them are wanted.
#![allow(dead_code)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use groundswell::app::Application;
use groundswell::config::Config;
use groundswell::store::Store;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

pub mod stalls;
pub mod syncs;

pub const TOKEN: &str = "a-token-for-tests-of-32-characters-or-more";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backend {
    /// SQLite and lanes in the process.
    Embedded,
    /// Postgres and RabbitMQ.
    Distributed,
}

/// Makes one test per backend out of a function that takes a `Backend`.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod embedded {
            $(#[test] fn $name() { super::$name($crate::support::Backend::Embedded) })*
        }
        mod distributed {
            $(#[test] fn $name() {
                if $crate::support::services_are_there() {
                    super::$name($crate::support::Backend::Distributed)
                }
            })*
        }
    };
}

pub fn services_are_there() -> bool {
    setting("GROUNDSWELL_TEST_DATABASE_URL").is_some() && setting("GROUNDSWELL_TEST_AMQP_URL").is_some()
}

/// What whoever runs the tests has to say about a thing that not every machine has.
#[track_caller]
pub fn setting(name: &str) -> Option<String> {
    let value = std::env::var(name).ok();
    if value.is_none() {
        not_run(&format!("{name} is not set"));
    }
    value
}

/// Says what a test lacks here. `scripts/test` means all of them to run: there, a test that passed without having run would be a lie.
#[track_caller]
pub fn not_run(why: &str) {
    assert!(std::env::var_os("GROUNDSWELL_TEST_ALL").is_none(), "all tests are to be run, and this one cannot be: {why}");
    eprintln!("not run: {why}");
}

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// A database and lanes of one's own; gone when dropped.
pub struct Place {
    pub backend: Backend,
    pub database_url: String,
    pub amqp_url: Option<String>,
    pub amqp_prefix: String,
    pub directory: TempDir,
    /// The server it is on, and its name there.
    database: Option<(String, String)>,
}

impl Place {
    pub fn new(backend: Backend) -> Place {
        let services = match backend {
            Backend::Embedded => None,
            Backend::Distributed => {
                let url = |name: &str| std::env::var(name).expect("checked by the caller");
                Some((url("GROUNDSWELL_TEST_DATABASE_URL"), url("GROUNDSWELL_TEST_AMQP_URL")))
            }
        };
        Place::at(services)
    }

    /// On these services: a database URL that may create databases, and a broker's.
    pub fn at(services: Option<(String, String)>) -> Place {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("gs_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = TempDir::new().expect("a directory");
        match services {
            None => Place {
                backend: Backend::Embedded,
                database_url: format!("sqlite://{}/groundswell.db", directory.path().display()),
                amqp_url: None,
                amqp_prefix: name,
                directory,
                database: None,
            },
            Some((admin, amqp_url)) => {
                execute(&admin, format!("create database {name}"));
                let (server, _) = admin.rsplit_once('/').expect("a URL with a database name");
                Place {
                    backend: Backend::Distributed,
                    database_url: format!("{server}/{name}"),
                    amqp_url: Some(amqp_url),
                    amqp_prefix: name.clone(),
                    directory,
                    database: Some((admin, name)),
                }
            }
        }
    }

    /// Lanes without a database, for tests of the queue alone.
    pub fn lanes_only(backend: Backend) -> Place {
        let mut place = Place::new(Backend::Embedded);
        if backend == Backend::Distributed {
            place.backend = backend;
            place.amqp_url = Some(std::env::var("GROUNDSWELL_TEST_AMQP_URL").expect("checked by the caller"));
        }
        place
    }

    /// Arguments that make a server run here, on free ports.
    pub fn args(&self, command: &str) -> Vec<String> {
        let data = self.directory.path().display().to_string();
        let mut args: Vec<String> =
            ["groundswell", command, "--host", "127.0.0.1", "--port", "0", "--metrics-port", "0", "--data-dir", &data, "--database-url", &self.database_url]
                .map(str::to_owned)
                .to_vec();
        args.extend(["--api-token", TOKEN, "--amqp-prefix", &self.amqp_prefix].map(str::to_owned));
        if let Some(url) = &self.amqp_url {
            args.extend(["--amqp-url".to_owned(), url.clone()]);
        }
        args
    }

    /// Behind the server's back; how many rows it touched.
    pub fn execute(&self, sql: &str) -> u64 {
        let (url, sql) = (self.database_url.clone(), sql.to_owned());
        apart(async move {
            if url.starts_with("sqlite") {
                let mut db = SqliteConnection::connect(&url).await.expect("the file opens");
                sqlx::query(AssertSqlSafe(sql)).execute(&mut db).await.expect("SQLite obeys").rows_affected()
            } else {
                let mut db = PgConnection::connect(&url).await.expect("the test Postgres answers");
                sqlx::query(AssertSqlSafe(sql)).execute(&mut db).await.expect("the test Postgres obeys").rows_affected()
            }
        })
    }

    /// One number behind the server's back.
    pub fn number(&self, sql: &str) -> i64 {
        let (url, sql) = (self.database_url.clone(), sql.to_owned());
        apart(async move {
            if url.starts_with("sqlite") {
                let mut db = SqliteConnection::connect(&url).await.expect("the file opens");
                sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut db).await.expect("SQLite answers")
            } else {
                let mut db = PgConnection::connect(&url).await.expect("the test Postgres answers");
                sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut db).await.expect("the test Postgres answers")
            }
        })
    }

    pub async fn store(&self) -> Store {
        Store::open(&self.database_url, 4).await.expect("the test's database opens")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((admin, name)) = &self.database {
            execute(admin, format!("drop database if exists {name} with (force)"));
        }
        if let Some(url) = &self.amqp_url {
            let (url, prefix) = (url.clone(), self.amqp_prefix.clone());
            // Best effort: the broker goes away with the test run.
            std::thread::spawn(move || runtime().block_on(delete_lanes(&url, &prefix))).join().ok();
        }
    }
}

async fn delete_lanes(url: &str, prefix: &str) {
    let Ok(connection) = lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await else { return };
    let Ok(channel) = connection.create_channel().await else { return };
    for lane in 0..groundswell::domain::DEFAULT_LANES {
        let _ = channel.queue_delete(format!("{prefix}.lane.{lane:02}").into(), lapin::options::QueueDeleteOptions::default()).await;
    }
    let _ = connection.close(200, "done".into()).await;
}

fn execute(url: &str, sql: String) {
    let url = url.to_owned();
    apart(async move {
        let mut connection = PgConnection::connect(&url).await.expect("the test Postgres answers");
        sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.expect("the test Postgres obeys");
    });
}

/// On a thread of its own, so that it works inside and outside of a runtime.
fn apart<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    std::thread::spawn(move || runtime().block_on(work)).join().expect("no panic")
}

/// A real server on a free port, on a thread and runtime of its own.
pub struct Server {
    pub address: SocketAddr,
    pub metrics: SocketAddr,
    pub setup_link: String,
    pub store: Store,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    pub fn start(place: &Place) -> Server {
        Server::start_as(place, "serve", &[])
    }

    /// `command` is serve, web or tally; `more` are further arguments. A tally has no address: it is 0.0.0.0:0.
    pub fn start_as(place: &Place, command: &str, more: &[&str]) -> Server {
        let server = Server::launch(place, command, more);
        if server.address.port() != 0 {
            until("the server is ready", || server.get("/readyz").status == 200);
        }
        server
    }

    /// The same without waiting until it is ready: its broker may be away.
    pub fn launch(place: &Place, command: &str, more: &[&str]) -> Server {
        let mut args = place.args(command);
        if more.contains(&"--data-dir") {
            let at = args.iter().position(|arg| arg == "--data-dir").expect("it is there");
            args.drain(at..at + 2);
        }
        args.extend(more.iter().map(|s| (*s).to_owned()));
        let config = Config::from_args(args).expect("the test's settings are right");
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            runtime().block_on(async {
                let application = Application::build(&config).await.expect("the server starts");
                let address = application.address().unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
                sender
                    .send((address, application.metrics_address(), application.announcement().admin_url.clone(), application.store(), application.stop_token()))
                    .expect("the test waits");
                application.run_until_stopped().await.expect("the server stops in good order");
            });
        });
        let (address, metrics, setup_link, store, stop) = receiver.recv_timeout(Duration::from_secs(30)).expect("the server starts within 30 s");
        Server { address, metrics, setup_link, store, stop, thread: Some(thread) }
    }

    /// Stops in good order and waits for it.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.expect("the server did not panic");
            }
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], None)
    }

    /// As an owner, with the API token.
    pub fn office(&self, method: &str, path: &str, body: serde_json::Value) -> Answer {
        let bearer = format!("Bearer {TOKEN}");
        let body = if body.is_null() { None } else { Some(body.to_string()) };
        self.call(method, path, &[("authorization", &bearer), ("content-type", "application/json")], body.as_deref())
    }

    /// One request over a connection of its own.
    pub fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = body {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        head.push_str(body.unwrap_or_default());
        self.raw(head.as_bytes())
    }

    /// Bytes as they are; the answer is read until the server closes or 10 s have passed.
    pub fn raw(&self, bytes: &[u8]) -> Answer {
        use std::io::{Read, Write};
        let started = Instant::now();
        let mut stream = std::net::TcpStream::connect(self.address).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout can be set");
        // The server may close before it has read everything; what it said still counts.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        Answer::parse(&answer, started.elapsed())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// 0 when the server closed without a word.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub took: Duration,
}

/// Results, pages and streams give way while a vote waits for the disk, and for a moment after it: asked again, as screens do.
#[track_caller]
pub fn unless_shed(mut ask: impl FnMut() -> Answer) -> Answer {
    let mut answer = Answer::default();
    until("the disk takes votes, so that others are served too", || {
        answer = ask();
        answer.status != 503 || !answer.body.contains("votes come first")
    });
    answer
}

impl Answer {
    /// Of bytes as they came.
    pub fn of(bytes: &[u8]) -> Answer {
        Answer::parse(bytes, Duration::ZERO)
    }

    fn parse(bytes: &[u8], took: Duration) -> Answer {
        let split = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(bytes.len());
        let head = String::from_utf8_lossy(&bytes[..split]).into_owned();
        let mut lines = head.lines();
        let status = lines.next().and_then(|l| l.split(' ').nth(1)).and_then(|s| s.parse().ok()).unwrap_or(0);
        let headers: Vec<(String, String)> = lines.filter_map(|l| l.split_once(':')).map(|(n, v)| (n.to_lowercase(), v.trim().to_owned())).collect();
        let body = String::from_utf8_lossy(bytes.get(split + 4..).unwrap_or_default()).into_owned();
        Answer { status, headers, body, took }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|why| panic!("not JSON ({why}): {self:?}"))
    }

    /// The `code` of a problem.
    #[track_caller]
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_else(|| panic!("no code: {self:?}")).to_owned()
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

/// Of some.
pub fn median(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took[took.len() / 2]
}

/// Waits for a condition, by asking; fails after 20 s.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

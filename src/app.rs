//! Wiring: which rooms stand in this process, which tasks run, and in what order they stop. The only place that knows all rooms.

mod chores;
mod listen;
mod places;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::{App, HttpServer};
use anyhow::{Context, bail};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::clock::now_ms;
use crate::config::{Command, Config};
use crate::domain::{AccountId, InstanceId};
use crate::error::Error;
use crate::http::{self, Budget, Limits, PassKey, Shared, Site, SiteSettings};
use crate::intake::Intake;
use crate::live::Live;
use crate::queue::{Memory, Queue, Rabbit, RabbitSettings, Spill, SpillSettings};
use crate::store::Store;
use crate::tally::{self, Worker};
use crate::traces::Traces;
use chores::{beat_until, end_old_sessions_until, every, obey_the_clock};
use listen::{listen, local, reachable};
use places::Place;

/// Viewers get this long to hear that the server stops.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);
/// For the last beats.
const LAST_BEAT_TIMEOUT: Duration = Duration::from_secs(2);
/// What is in the lanes of this process gets this long to be counted; then its workers this long to let go.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);
const LET_GO_TIMEOUT: Duration = Duration::from_secs(1);
/// Database and spill, one after the other, get this long to close their files. All of a stop, ten seconds for the last requests and one for the
/// queue's farewell among it, stays below the 25 s that a supervisor gives it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Votes are not accepted into the last of a disk: counting them takes some room, too.
const JOURNAL_FREE_BYTES_MIN: u64 = 1 << 20;
/// For sending the last traces, whatever the collector does.
const LAST_TRACES_TIMEOUT: Duration = Duration::from_secs(2);
/// Histograms of the metrics grow until somebody asks them to settle.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// A process that is ready to run.
pub struct Application {
    store: Store,
    queue: Queue,
    /// Of lanes on a broker; or the journal of lanes in this process.
    spill: Option<Spill>,
    intake: Option<Intake>,
    web: Option<Web>,
    metrics: Server,
    metrics_address: SocketAddr,
    workers: JoinSet<Result<(), Error>>,
    tasks: JoinSet<()>,
    /// Somebody wants this process to end.
    leaving: CancellationToken,
    /// After the delay that was asked for: everything ends.
    stop: CancellationToken,
    tally_stop: CancellationToken,
    shutdown_delay: Duration,
    shared: Option<Arc<Shared>>,
    announcement: Announcement,
    traces: Option<Traces>,
    /// Held while the process lives: nobody else works there.
    place: Option<Place>,
}

struct Web {
    server: Server,
    address: SocketAddr,
}

/// What a person needs to know when the server has started.
#[derive(Clone, Debug)]
pub struct Announcement {
    pub join_url: String,
    /// The setup link while there is no account, else the way to sign in.
    pub admin_url: String,
    pub setup_needed: bool,
    pub data: String,
}

impl Application {
    pub async fn build(config: &Config) -> anyhow::Result<Application> {
        let (runs_web, runs_tally) = match config.command {
            Command::Web => (true, false),
            Command::Tally => (false, true),
            _ => (true, true),
        };
        let place = take_place(config, runs_web)?;
        let metrics_handle = recorder();
        let traces = Traces::start(config.traces.as_ref()).map_err(anyhow::Error::msg)?;
        let store = Store::open(&config.database_url, u32::from(config.tally_workers) + 1).await.map_err(in_its_own_words)?;
        let lanes = agreed_lanes(&store, config).await?;
        let instance = InstanceId(Uuid::now_v7());
        let mut spill = None;
        let queue = match &config.amqp_url {
            None => match journal(config, &store, instance).await? {
                Some(journal) => {
                    spill = Some(journal.clone());
                    Queue::Memory(Memory::with_journal(lanes, journal))
                }
                None => Queue::Memory(Memory::new(lanes)),
            },
            Some(url) => Queue::Rabbit(Rabbit::start(RabbitSettings { url: url.clone(), prefix: config.amqp_prefix.clone(), lanes }, runs_web)?),
        };
        let stop = CancellationToken::new();
        let tally_stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (metrics, metrics_address) = metrics_server(config, metrics_handle.clone())?;
        let mut application = Application {
            announcement: Announcement { join_url: String::new(), admin_url: String::new(), setup_needed: false, data: data_place(config) },
            metrics,
            metrics_address,
            store: store.clone(),
            queue: queue.clone(),
            spill,
            intake: None,
            web: None,
            workers: JoinSet::new(),
            leaving: CancellationToken::new(),
            stop: stop.clone(),
            tally_stop: tally_stop.clone(),
            shutdown_delay: config.shutdown_delay,
            shared: None,
            tasks: JoinSet::new(),
            traces,
            place,
        };
        tasks.spawn(every(UPKEEP_EVERY, stop.clone(), move || metrics_handle.run_upkeep()));

        let mut live = None;
        if runs_web {
            live = Some(application.build_web(config, lanes, instance, &mut tasks).await?);
        }
        if runs_tally {
            for worker in 0..config.tally_workers.min(lanes) {
                let own: Vec<u16> = (0..lanes).filter(|lane| lane % config.tally_workers == worker).collect();
                let worker = Worker::new(store.clone(), queue.consume(own), worker);
                let live = live.clone();
                application.workers.spawn(worker.run(tally_stop.clone(), move || {
                    if let Some(live) = &live {
                        live.nudge();
                    }
                }));
            }
        }
        application.tasks = tasks;
        Ok(application)
    }

    async fn build_web(&mut self, config: &Config, lanes: u16, instance: InstanceId, tasks: &mut JoinSet<()>) -> anyhow::Result<Live> {
        let (store, stop) = (self.store.clone(), self.stop.clone());
        let budget = Budget::of_this_process(config.limits).map_err(anyhow::Error::msg)?;
        if let Some(sentence) = budget.warning() {
            tracing::warn!("{sentence}");
        }
        let limits = Limits::new(budget);
        let mut adopts = None;
        if self.queue.is_in_process() {
            store.end_other_instances(instance).await?;
        } else {
            // Before the database knows the instance: who dies in between is known to whoever comes next in this directory.
            let directory = self.place.as_ref().expect("taken before").directory.clone();
            let settings = SpillSettings::spill(directory, config.spill_bytes_max, config.spill_free_bytes_min);
            self.spill = Some(Spill::open(settings.clone(), instance)?);
            adopts = Some(settings);
        }
        // Before the first vote: what is counted is only said of instances that are known.
        // Nothing is accepted yet; what will be, later in this very millisecond, is not counted yet.
        let born = now_ms() - 1;
        store.register_instance(instance, lanes, born).await?;
        // A journal is the queue's own affair.
        let spill = self.spill.clone().filter(|_| !self.queue.is_in_process());
        let intake = Intake::with_spill(self.queue.clone(), spill, instance, lanes, born);

        let listener = listen(config.host, config.port, "PORT")?;
        let address = listener.local_addr()?;
        let public_url = config.public_url.clone().unwrap_or_else(|| format!("http://{}", SocketAddr::new(reachable(config.host), address.port())));
        let live = Live::open(store.clone(), public_url.clone()).await?;
        let passes = PassKey::new(&store.secret("pass_key", http::secret_bytes::<32>().to_vec()).await?);
        let setup_token = hex::encode(store.secret("setup_token", http::secret_bytes::<20>().to_vec()).await?);
        create_owner(&store, config).await?;
        let setup_needed = !store.has_account().await?;
        let local = config.public_url.clone().unwrap_or_else(|| format!("http://{}", SocketAddr::new(local(config.host), address.port())));
        self.announcement.join_url = format!("{public_url}/");
        self.announcement.admin_url = if setup_needed { format!("{local}/admin#setup={setup_token}") } else { format!("{local}/admin") };
        self.announcement.setup_needed = setup_needed;

        let settings = SiteSettings {
            public_url,
            public_url_is_set: config.public_url.is_some(),
            trusted_proxies: config.trusted_proxies.clone(),
            allowed_origins: config.allowed_origins.clone(),
            api_token_hash: config.api_token.as_ref().map(|t| http::sha256(t.as_bytes())),
            setup_token,
        };
        let shared = Shared::new(settings, store.clone(), live.clone(), passes, limits.clone(), self.leaving.clone(), stop.clone());
        let (for_workers, for_desks) = (shared.clone(), intake.clone());
        // Runs once on each web thread: the desk stays on it.
        let site = move || Site::new(for_workers.clone(), for_desks.desk());
        let server = http::serve(listener, config.web_threads, limits, site).context("PORT")?;
        self.web = Some(Web { server, address });

        tasks.spawn(live.clone().run(stop.clone()));
        tasks.spawn(obey_the_clock(self.store.clone(), live.clone(), stop.clone()));
        let (probing, replaying) = (intake.clone(), intake.clone());
        let (no_more_probes, no_more_replay) = (stop.clone(), stop.clone());
        tasks.spawn(async move { probing.probe_until(no_more_probes).await });
        tasks.spawn(async move { replaying.replay_until(no_more_replay).await });
        if let Some(settings) = adopts {
            tasks.spawn(places::adopt_until(intake.clone(), config.data_dir.clone(), settings, stop.clone()));
        }
        let signs = (!self.queue.is_in_process()).then_some(store);
        tasks.spawn(beat_until(intake.clone(), signs, stop.clone()));
        let guarded = shared.clone();
        tasks.spawn(every(http::SWEEP_EVERY, stop.clone(), move || guarded.guard.sweep()));
        tasks.spawn(http::watch_health(shared.clone(), stop.clone()));
        tasks.spawn(end_old_sessions_until(shared.clone(), stop));
        self.intake = Some(intake);
        self.shared = Some(shared);
        Ok(live)
    }

    /// Where the server listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.web.as_ref().map(|w| w.address)
    }

    pub fn metrics_address(&self) -> SocketAddr {
        self.metrics_address
    }

    pub fn announcement(&self) -> &Announcement {
        &self.announcement
    }

    /// For tests that look behind the front door.
    pub fn store(&self) -> Store {
        self.store.clone()
    }

    /// Ends the run in good order.
    pub fn stop_token(&self) -> CancellationToken {
        self.leaving.clone()
    }

    /// Runs until the stop token, then stops from the front to the back: requests, batches, counting, database.
    pub async fn run_until_stopped(mut self) -> anyhow::Result<()> {
        let metrics = Running::start(self.metrics);
        let web = self.web.take().map(|w| Running::start(w.server));
        let counts = !self.workers.is_empty();
        let delay = async {
            self.leaving.cancelled().await;
            // A load balancer takes a while to see that this process is not ready; until then it sends people here.
            tracing::info!(delay = ?self.shutdown_delay, "told to stop");
            tokio::time::sleep(self.shutdown_delay).await;
        };
        let spill = self.spill.clone();
        let disk_failed = async {
            match &spill {
                Some(spill) => spill.until_failed().await,
                None => std::future::pending().await,
            }
        };
        let end = tokio::select! {
            () = delay => End::Wanted,
            () = disk_failed => End::SpillFailed,
            () = self.store.until_disk_fails() => End::DatabaseFailed,
            // Workers end when told to; one that ends by itself has met a bug or a disk that fails, and its lanes would stand still unseen.
            ended = self.workers.join_next(), if counts => match ended {
                Some(Ok(Err(why))) => End::CountingFailed(why),
                _ => End::WorkerLost,
            },
        };
        if matches!(end, End::CountingFailed(_) | End::DatabaseFailed) {
            // Nobody else may go on writing to a file of which it is not known what is on the disk.
            self.tally_stop.cancel();
        }
        self.leaving.cancel();
        self.stop.cancel();
        tracing::info!("stopping");
        if !matches!(end, End::Wanted) {
            // Whoever waits for a vote to be safe hears now that its fate is unknown.
            self.queue.give_up();
        }
        if let Some(shared) = &self.shared {
            shared.limits.viewers_gone(FAREWELL_TIMEOUT).await;
        }
        if let Some(web) = web {
            web.stop().await;
        }
        if let Some(intake) = &self.intake {
            // Nothing more will come from this instance: the books need not wait for it.
            let _ = tokio::time::timeout(LAST_BEAT_TIMEOUT, intake.end()).await;
        }
        self.queue.close().await;
        if !self.queue.is_in_process() {
            self.tally_stop.cancel();
        }
        let counted = async { while self.workers.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_TIMEOUT, counted).await.is_err() {
            // The database is away. Nobody was told that these votes are safe, or they are in the journal and counted at the next start.
            tracing::warn!("what is still in the lanes could not be counted in time");
            self.tally_stop.cancel();
            let _ = tokio::time::timeout(LET_GO_TIMEOUT, self.workers.shutdown()).await;
        }
        self.tasks.shutdown().await;
        // It blocks; what holds votes is closed meanwhile.
        let last_traces = self.traces.take().map(|traces| tokio::task::spawn_blocking(move || traces.end(LAST_TRACES_TIMEOUT)));
        metrics.stop().await;
        if tokio::time::timeout(CLOSE_TIMEOUT, self.store.close()).await.is_err() {
            tracing::warn!("the database did not say goodbye in time");
        }
        if let Some(spill) = &self.spill
            && tokio::time::timeout(CLOSE_TIMEOUT, spill.close()).await.is_err()
        {
            tracing::warn!("the disk that keeps votes did not say goodbye in time; all that was called safe is on it");
        }
        if let Some(last_traces) = last_traces {
            let _ = last_traces.await;
        }
        match end {
            End::Wanted => Ok(()),
            End::WorkerLost => bail!("a counting worker ended by itself; what it had not acknowledged is delivered again at the next start"),
            End::CountingFailed(why) => {
                bail!("the disk of the database failed ({why}); nothing that was not on it was called safe. Look at the disk, then start again.")
            }
            End::DatabaseFailed => {
                bail!("the disk of the database failed; nothing that was not on it was called safe or saved. Look at the disk, then start again.")
            }
            End::SpillFailed => bail!(
                "DATA_DIR: the disk that keeps votes until they are counted, or the broker takes them, failed; nothing that was not on it was called safe. Look at the disk, then start again."
            ),
        }
    }
}

/// Why a run ends.
enum End {
    Wanted,
    WorkerLost,
    CountingFailed(Error),
    /// Met by an edit, not by counting.
    DatabaseFailed,
    SpillFailed,
}

/// A server on its way, and how to stop it.
struct Running {
    handle: ServerHandle,
    task: JoinHandle<std::io::Result<()>>,
}

impl Running {
    fn start(server: Server) -> Running {
        Running { handle: server.handle(), task: tokio::spawn(server) }
    }

    async fn stop(self) {
        self.handle.stop(true).await;
        let _ = self.task.await;
    }
}

/// One recorder for the process, however many applications a test starts in it.
fn recorder() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    const SECONDS: [f64; 10] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0];
    const BALLOTS: [f64; 8] = [1.0, 4.0, 16.0, 64.0, 256.0, 1_024.0, 4_096.0, 16_384.0];
    use metrics_exporter_prometheus::Matcher::Suffix;
    let build = || {
        let builder = PrometheusBuilder::new().set_buckets_for_metric(Suffix("_seconds".into()), &SECONDS).expect("there are buckets");
        let recorder = builder.set_buckets_for_metric(Suffix("_ballots".into()), &BALLOTS).expect("there are buckets").build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).expect("set once");
        handle
    };
    HANDLE.get_or_init(build).clone()
}

fn metrics_server(config: &Config, handle: PrometheusHandle) -> anyhow::Result<(Server, SocketAddr)> {
    let listener = listen(config.metrics_host, config.metrics_port, "METRICS_PORT")?;
    let address = listener.local_addr()?;
    let server = HttpServer::new(move || {
        let handle = handle.clone();
        App::new().configure(move |config| http::metrics_routes(config, handle))
    })
    .workers(1)
    .shutdown_timeout(1)
    .disable_signals()
    .listen(listener)?
    .run();
    Ok((server, address))
}

fn take_place(config: &Config, runs_web: bool) -> anyhow::Result<Option<Place>> {
    if let Some(database) = Store::sqlite_path(&config.database_url) {
        let directory = database.parent().filter(|d| !d.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), PathBuf::from);
        return places::take_whole(directory).map(Some);
    }
    // One that only counts, or has no broker, keeps nothing.
    if runs_web && config.amqp_url.is_some() { places::take_one(&config.data_dir).map(Some) } else { Ok(None) }
}

/// Beside a SQLite database, lanes in this process have a journal. What an earlier process left in it is counted here: before anything new is
/// accepted, and before that one's books are closed.
async fn journal(config: &Config, store: &Store, instance: InstanceId) -> anyhow::Result<Option<Spill>> {
    let Some(database) = Store::sqlite_path(&config.database_url) else { return Ok(None) };
    let journal = Spill::open(SpillSettings::journal(&database, config.spill_bytes_max, JOURNAL_FREE_BYTES_MIN), instance)?;
    let ballots =
        tally::recover(store, &journal, instance).await.map_err(in_its_own_words).context("the votes that an earlier process left cannot be counted")?;
    if ballots > 0 {
        tracing::info!(ballots, "votes of an earlier process were counted");
    }
    Ok(Some(journal))
}

/// The number of lanes is written down at the first start: with another one, votes would stand in lines nobody works off.
async fn agreed_lanes(store: &Store, config: &Config) -> anyhow::Result<u16> {
    let agreed = store.secret("lanes", config.default_lanes().to_string().into_bytes()).await?;
    let agreed: u16 = String::from_utf8(agreed)?.parse().context("the number of lanes in the database cannot be read")?;
    match config.lanes {
        Some(wanted) if wanted != agreed => bail!("LANES: this database was set up with {agreed} lanes; leave the setting out, or set it to {agreed}."),
        _ => Ok(agreed),
    }
}

async fn create_owner(store: &Store, config: &Config) -> anyhow::Result<()> {
    let Some((email, password)) = config.owner.clone() else { return Ok(()) };
    if store.has_account().await? {
        return Ok(());
    }
    let hash = tokio::task::spawn_blocking(move || http::hash_password_now(&password)).await??;
    // Another process may be faster; then there is an owner, which is what was asked for.
    match store.create_owner(AccountId::compose(now_ms(), http::chance()), email, hash, now_ms()).await {
        Ok(_) | Err(Error::Conflict(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whoever starts a server is the one to see what is wrong inside.
pub fn in_its_own_words(error: Error) -> anyhow::Error {
    match error {
        Error::Internal(cause) => cause,
        other => other.into(),
    }
}

fn data_place(config: &Config) -> String {
    match Store::sqlite_path(&config.database_url) {
        Some(path) => std::path::absolute(&path).unwrap_or(path).display().to_string(),
        None => "the database of DATABASE_URL".into(),
    }
}

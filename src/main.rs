//! Entry: reads the settings, starts what they ask for, and stops on a signal.

/// A vote allocates a dozen small things; glibc's allocator was a sixth of the web process (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::io::{BufRead, IsTerminal, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use groundswell::app::{Application, in_its_own_words};
use groundswell::config::{Command, Config, Export};
use groundswell::domain::{Email, InstanceId};
use groundswell::http::write_bundle;
use groundswell::rehearsal::served::Office;
use groundswell::rehearsal::{self, Moment, terminal};
use groundswell::store::{Forgetting, Store};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// What comes through a pipe: more than a password has, however its characters are written.
const PASSWORD_BYTES_MAX: u64 = 8_192;

/// Public for the server with its planted mistakes, which is this one (tests/nemesis/planted_server.rs).
pub fn main() -> ExitCode {
    let config = match Config::from_process() {
        Ok(config) => config,
        Err(sentence) => {
            eprintln!("groundswell: {sentence}");
            return ExitCode::from(2);
        }
    };
    start_log();
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be built");
    match runtime.block_on(run(config)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("groundswell: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> anyhow::Result<ExitCode> {
    match config.command {
        Command::Healthcheck => return Ok(healthcheck(config.host, config.port)),
        Command::Migrate => {
            Store::open(&config.database_url, 1).await.map_err(in_its_own_words)?.close().await;
            println!("The database is at the newest version.");
        }
        Command::Recount { ref url } => return recount(&config, url.clone()).await,
        Command::Rehearse(_) => return rehearse(config).await,
        Command::Export { what: Export::Static { directory, origin } } => {
            let bundle =
                write_bundle(&directory, origin.as_deref()).with_context(|| format!("what was asked for cannot be written to {}", directory.display()))?;
            println!(
                "{} files of {} KB in all are in {}; headers.json there says how each is to be sent.",
                bundle.files,
                bundle.bytes / 1_000,
                directory.display()
            );
            if let Some(origin) = origin {
                println!("The server {origin} has to allow the site that shows them: ALLOWED_ORIGINS=https://… there.");
            }
        }
        Command::Forget { instance } => return forget(&config, InstanceId(instance)).await,
        Command::Password { ref email } => set_password(&config, email).await?,
        Command::Serve | Command::Web | Command::Tally => serve(config).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let application = Application::build(&config).await?;
    let stop = application.stop_token();
    // Listening before it is announced: a stop that comes at once must find somebody.
    let told_to_stop = listen_for_stop();
    tokio::spawn(async move {
        told_to_stop.await;
        stop.cancel();
    });
    announce(&config, &application);
    application.run_until_stopped().await
}

fn announce(config: &Config, application: &Application) {
    let said = application.announcement();
    let mut out = std::io::stdout().lock();
    // A closed standard output is no reason not to serve.
    let _ = writeln!(out, "\nGroundswell {} is running.\n", env!("CARGO_PKG_VERSION"));
    if application.address().is_some() {
        let _ = writeln!(out, "  join    {}", said.join_url);
        let _ = writeln!(out, "  admin   {}{}", said.admin_url, if said.setup_needed { "   (one-time setup link)" } else { "" });
    }
    let _ = writeln!(out, "  data    {}", said.data);
    let _ = writeln!(out, "  metrics http://{}/metrics", application.metrics_address());
    if config.command == Command::Tally {
        let _ = writeln!(out, "  counting with {} workers", config.tally_workers);
    }
    let _ = writeln!(out);
    let _ = out.flush();
}

async fn recount(config: &Config, url: Option<String>) -> anyhow::Result<ExitCode> {
    there_is_a_database(config)?;
    let store = Store::open(&config.database_url, 1).await.map_err(in_its_own_words)?;
    let server = match url {
        Some(url) => {
            let token = config.api_token.as_deref().context("--url needs GROUNDSWELL_API_TOKEN: results and ballots are shown to owners only")?;
            Some(Office::at(&url, token).await?)
        }
        None => None,
    };
    let outcome = groundswell::recount::recount(&store, server.as_ref()).await?;
    store.close().await;
    groundswell::recount::told(&outcome).iter().for_each(|line| println!("{line}"));
    Ok(if outcome.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Ends with a failure when a promise was broken. A stop ends the voting; what was sent is checked all the same.
async fn rehearse(config: Config) -> anyhow::Result<ExitCode> {
    let (plan, directory) = config.rehearsal.expect("given with this command");
    if let Some(directory) = &directory {
        // Before: an hour of rehearsing has no second chance to be written down.
        std::fs::create_dir_all(directory).with_context(|| format!("--report {}", directory.display()))?;
    }
    let stop = CancellationToken::new();
    let told_to_stop = listen_for_stop();
    tokio::spawn({
        let stop = stop.clone();
        async move {
            told_to_stop.await;
            eprintln!("\nstopping: what was sent is checked; once more ends at once and leaves the rehearsal behind");
            stop.cancel();
            listen_for_stop().await;
            std::process::exit(130);
        }
    });
    let progress = terminal::Progress::new(std::io::stderr().is_terminal());
    let tell = |moment: Moment| progress.tell(&moment);
    let mut held = rehearsal::hold(&plan, stop, &tell).await?;
    print!("{}", terminal::page(&held.report));
    // Whatever becomes of the files, what was made is removed.
    let written = directory.as_deref().map_or(Ok(()), |directory| held.report.write(directory));
    let told = held.report.warnings.len();
    held.hand_in(&tell).await;
    let report = held.leave(&tell).await;
    let new = &report.warnings[told..];
    new.iter().for_each(|warning| eprintln!("warning: {warning}"));
    written?;
    if let Some(directory) = directory {
        if !new.is_empty() {
            report.write(&directory)?;
        }
        println!("{}", directory.join("report.html").display());
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Opening would make an empty one, and find nothing in it.
fn there_is_a_database(config: &Config) -> anyhow::Result<()> {
    let path = Store::sqlite_path(&config.database_url).filter(|path| !path.exists());
    path.map_or(Ok(()), |path| Err(anyhow::anyhow!("there is no database at {}; is DATA_DIR right?", path.display())))
}

/// From the terminal without showing it, or from a pipe.
async fn set_password(config: &Config, email: &str) -> anyhow::Result<()> {
    let email = Email::parse(email).map_err(in_its_own_words)?;
    there_is_a_database(config)?;
    let password = if std::io::stdin().is_terminal() {
        let password = rpassword::prompt_password("New password: ")?;
        anyhow::ensure!(rpassword::prompt_password("The same again: ")? == password, "the two are not the same; nothing was changed");
        password
    } else {
        let mut line = Vec::new();
        std::io::stdin().lock().take(PASSWORD_BYTES_MAX).read_until(b'\n', &mut line)?;
        String::from_utf8(line).context("the password that came is no text (UTF-8); nothing was changed")?.trim_end_matches(['\n', '\r']).to_owned()
    };
    let store = Store::open(&config.database_url, 1).await.map_err(in_its_own_words)?;
    let changed = groundswell::http::set_password(&store, email, &password).await.map_err(in_its_own_words);
    store.close().await;
    changed?;
    println!("The password is set. Whoever was signed in to this account is signed out.");
    Ok(())
}

async fn forget(config: &Config, instance: InstanceId) -> anyhow::Result<ExitCode> {
    there_is_a_database(config)?;
    let store = Store::open(&config.database_url, 1).await.map_err(in_its_own_words)?;
    let forgetting = store.forget_instance(instance, groundswell::clock::now_ms()).await?;
    store.close().await;
    match forgetting {
        Forgetting::Forgotten => {
            println!("Results no longer wait for votes that {} may hold. Should it come back with any, they are counted all the same.", instance.0);
            return Ok(ExitCode::SUCCESS);
        }
        Forgetting::Unknown => eprintln!("No process of that name is waited for."),
        Forgetting::Alive => eprintln!("{} is alive and takes votes. Stop it first; when it has not been heard of for a while, ask again.", instance.0),
        Forgetting::Vouched => eprintln!(
            "Another process holds votes of {} and passes them on as soon as the broker takes them. Nothing is missing: wait until it has.",
            instance.0
        ),
    }
    Ok(ExitCode::FAILURE)
}

fn listen_for_stop() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be listened to");
    let mut interrupt = signal(SignalKind::interrupt()).expect("signals can be listened to");
    async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}

/// Text for people on a terminal, JSON for machines elsewhere.
fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,lapin=error,sqlx=warn,actix_server=warn,actix_http::h1=off"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() { log.init() } else { log.json().flatten_event(true).with_span_list(false).init() }
}

/// Each viewer and each phone is a file; the usual soft limit of 1,024 is reached in a lecture hall. What the hard one is good for, the
/// server says where it shares it out.
fn raise_file_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}

/// Is a server on this machine alive? Plain HTTP over a socket: the image needs no curl.
fn healthcheck(host: IpAddr, port: u16) -> ExitCode {
    const PATIENCE: Duration = Duration::from_secs(3);
    let host = if host.is_unspecified() { IpAddr::from([127, 0, 0, 1]) } else { host };
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::new(host, port), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200"))
    };
    match ask() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("the server answers, but is not well");
            ExitCode::FAILURE
        }
        Err(why) => {
            eprintln!("no server answers on {host}:{port}: {why}");
            ExitCode::FAILURE
        }
    }
}

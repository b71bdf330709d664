//! Settings: flags or environment, checked before anything starts. An impossible or unknown one stops the start with a sentence
//! that names it.

mod otel;
mod rehearse;

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::domain::{DEFAULT_LANES, Email};
use crate::http::{AllowedOrigins, TrustedProxies, Wanted};
use crate::rehearsal::Plan;
use crate::traces;

/// Live polls for crowds that arrive all at once.
#[derive(Parser)]
#[command(name = "groundswell", version, about, after_help = "Without a command, everything runs in one process (serve).")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: Settings,
}

pub use rehearse::Rehearse;

#[derive(Subcommand, Clone, Debug, PartialEq)]
pub enum Command {
    /// Everything in one process: accepts votes, counts them, serves pages and results (the default)
    Serve,
    /// Accepts votes, serves pages and results; needs DATABASE_URL=postgres://… and AMQP_URL
    Web,
    /// Counts: takes lanes, writes the database; needs DATABASE_URL=postgres://… and AMQP_URL
    Tally,
    /// Brings the database to the newest version and stops
    Migrate,
    /// Recomputes every published count from the ballots, compares, and stops; people may vote meanwhile
    Recount {
        /// A running server whose documents, results and tables are compared too, such as http://127.0.0.1:8080; needs GROUNDSWELL_API_TOKEN
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
    /// Votes as an audience would, up to millions within a second, and checks that every answer was kept
    Rehearse(Box<Rehearse>),
    /// Says that a web process will not come back, nor its disk: results wait no longer for votes it may hold
    Forget {
        /// As the books of a poll list it under "unreported"
        instance: uuid::Uuid,
    },
    /// Sets a new password for an account whose password is forgotten, and signs out everybody who was signed in to it
    Password {
        /// As it was given when the account was made
        email: String,
    },
    /// Writes what a CDN or a bucket needs to serve it by itself
    Export {
        #[command(subcommand)]
        what: Export,
    },
    /// Asks a running server on this machine whether it lives (for containers)
    Healthcheck,
}

#[derive(Subcommand, Clone, PartialEq, Eq, Debug)]
pub enum Export {
    /// The app's pages and files, compressed forms beside them, and headers.json, which says how each is to be sent
    Static {
        /// Is made where it is not there; what is in it already stays, but for files of the same names
        directory: PathBuf,
        /// The server that the pages ask, where it has another name than they have (https://api.example.org); then only the audience's
        /// pages are written, and the server needs ALLOWED_ORIGINS
        #[arg(long, value_name = "URL")]
        origin: Option<String>,
    },
}

#[derive(clap::Args, Clone)]
struct Settings {
    /// Where the data lies: sqlite://path or postgres://user:password@host/name [default: sqlite://<DATA_DIR>/groundswell.db]
    #[arg(long, env = "DATABASE_URL", global = true, hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// A file that holds DATABASE_URL
    #[arg(long, env = "DATABASE_URL_FILE", global = true, value_name = "FILE")]
    database_url_file: Option<PathBuf>,
    /// The broker, amqp://user:password@host/vhost; without it, votes stay in this process
    #[arg(long, env = "AMQP_URL", global = true, hide_env_values = true, value_name = "URL")]
    amqp_url: Option<String>,
    /// A file that holds AMQP_URL
    #[arg(long, env = "AMQP_URL_FILE", global = true, value_name = "FILE")]
    amqp_url_file: Option<PathBuf>,
    /// Queues on the broker are named <prefix>.lane.<nn>
    #[arg(long, env = "AMQP_PREFIX", global = true, default_value = "groundswell")]
    amqp_prefix: String,
    /// Number of lanes; fixed at the first start, the same for every process [default: 16]
    #[arg(long, env = "LANES", global = true, value_parser = clap::value_parser!(u16).range(1..=256))]
    lanes: Option<u16>,
    /// Address to listen on
    #[arg(long, env = "HOST", global = true, default_value = "0.0.0.0")]
    host: IpAddr,
    /// Port to listen on; 0 takes any free one
    #[arg(long, env = "PORT", global = true, default_value_t = 8080)]
    port: u16,
    /// Port for /metrics (Prometheus), on its own listener
    #[arg(long, env = "METRICS_PORT", global = true, default_value_t = 9090)]
    metrics_port: u16,
    /// Address for /metrics
    #[arg(long, env = "METRICS_HOST", global = true, default_value = "127.0.0.1")]
    metrics_host: IpAddr,
    /// Directory for the embedded database, or for votes that the broker cannot take at the moment; up to 64 web processes share it, each in a place of its own
    #[arg(long, env = "DATA_DIR", global = true, default_value = "./data")]
    data_dir: PathBuf,
    /// Most bytes of votes kept on the disk while the broker is away, or until they are counted into SQLite; beyond, votes are refused
    #[arg(long, env = "SPILL_BYTES_MAX", global = true, default_value_t = 4 << 30, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1 << 16..))]
    spill_bytes_max: u64,
    /// Nothing is kept for a broker that would leave less than this free on the disk of DATA_DIR
    #[arg(long, env = "SPILL_FREE_BYTES_MIN", global = true, default_value_t = 512 << 20, value_name = "BYTES")]
    spill_free_bytes_min: u64,
    /// Seconds to go on serving after SIGTERM while /readyz says no; about 10 behind a load balancer
    #[arg(long, env = "SHUTDOWN_DELAY", global = true, default_value_t = 0, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=300))]
    shutdown_delay: u64,
    /// The address people type, e.g. https://vote.example.org [default: this machine's address and PORT]
    #[arg(long, env = "PUBLIC_URL", global = true, value_name = "URL")]
    public_url: Option<String>,
    /// Proxies whose X-Forwarded-For is believed: addresses or CIDR blocks, comma between
    #[arg(long, env = "TRUSTED_PROXIES", global = true, default_value = "")]
    trusted_proxies: String,
    /// Sites under another name whose pages may read the audience's documents and cast votes, as browsers write them
    /// (https://vote.example.org), comma between
    #[arg(long, env = "ALLOWED_ORIGINS", global = true, default_value = "")]
    allowed_origins: String,
    /// Connections at once, viewers among them; each is an open file [default: what the limit of open files leaves room for, at most 250000]
    #[arg(long, env = "CONNECTIONS_MAX", global = true, value_name = "N")]
    connections_max: Option<usize>,
    /// Viewers (event streams) at once; more are told to come back later [default: all connections but 300, which are for votes and presenters]
    #[arg(long, env = "VIEWERS_MAX", global = true, value_name = "N")]
    viewers_max: Option<usize>,
    /// Viewers at once from one client address, which may be a whole hall [default: half of VIEWERS_MAX; not limited from this machine itself]
    #[arg(long, env = "VIEWERS_PER_ADDRESS_MAX", global = true, value_name = "N")]
    viewers_per_address_max: Option<usize>,
    /// Threads that serve HTTP [default: number of cores]
    #[arg(long, env = "WEB_THREADS", global = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    web_threads: Option<u16>,
    /// Workers that count, each with its share of the lanes [default: 1 on SQLite, 2 on Postgres]
    #[arg(long, env = "TALLY_WORKERS", global = true, value_parser = clap::value_parser!(u16).range(1..=64))]
    tally_workers: Option<u16>,
    /// With the password: creates the owner at the first start, without a browser
    #[arg(long, env = "GROUNDSWELL_OWNER_EMAIL", global = true, value_name = "EMAIL")]
    owner_email: Option<String>,
    /// At least 12 characters
    #[arg(long, env = "GROUNDSWELL_OWNER_PASSWORD", global = true, hide_env_values = true, value_name = "PASSWORD")]
    owner_password: Option<String>,
    /// A file that holds GROUNDSWELL_OWNER_PASSWORD
    #[arg(long, env = "GROUNDSWELL_OWNER_PASSWORD_FILE", global = true, value_name = "FILE")]
    owner_password_file: Option<PathBuf>,
    /// A token that acts as an owner, for scripts; at least 32 characters
    #[arg(long, env = "GROUNDSWELL_API_TOKEN", global = true, hide_env_values = true, value_name = "TOKEN")]
    api_token: Option<String>,
    /// A file that holds GROUNDSWELL_API_TOKEN
    #[arg(long, env = "GROUNDSWELL_API_TOKEN_FILE", global = true, value_name = "FILE")]
    api_token_file: Option<PathBuf>,
    #[command(flatten)]
    otel: otel::Otel,
}

/// Settings that have been checked.
#[derive(Clone)]
pub struct Config {
    pub command: Command,
    pub database_url: String,
    pub amqp_url: Option<String>,
    pub amqp_prefix: String,
    pub lanes: Option<u16>,
    pub host: IpAddr,
    pub port: u16,
    pub metrics_host: IpAddr,
    pub metrics_port: u16,
    pub data_dir: PathBuf,
    pub spill_bytes_max: u64,
    pub spill_free_bytes_min: u64,
    pub shutdown_delay: Duration,
    pub public_url: Option<String>,
    pub trusted_proxies: TrustedProxies,
    pub allowed_origins: AllowedOrigins,
    pub limits: Wanted,
    pub web_threads: usize,
    pub tally_workers: u16,
    pub owner: Option<(Email, String)>,
    pub api_token: Option<String>,
    /// Where traces go, if they are sent.
    pub traces: Option<traces::Settings>,
    /// With `rehearse`: what, and where the report goes.
    pub rehearsal: Option<(Plan, Option<PathBuf>)>,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // URLs hold passwords.
        f.debug_struct("Config").field("command", &self.command).field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

const OWN_PREFIX: &str = "GROUNDSWELL_";
/// Read by the tests, not by the server.
const TEST_PREFIX: &str = "GROUNDSWELL_TEST_";
const API_TOKEN_CHARS_MIN: usize = 32;
const DEFAULT_POSTGRES_WORKERS: u16 = 2;

impl Config {
    /// From the command line and the environment. Prints help or version and exits where that was asked for.
    pub fn from_process() -> Result<Config, String> {
        let known = names_in_environment();
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with(OWN_PREFIX) && !name.starts_with(TEST_PREFIX) && !known.iter().any(|k| *k == *name) {
                return Err(format!("There is no setting {name}. `groundswell --help` lists them."));
            }
        }
        Config::of(Cli::parse())
    }

    /// From arguments alone, as tests do.
    pub fn from_args<A: Into<OsString> + Clone>(args: impl IntoIterator<Item = A>) -> Result<Config, String> {
        // Without this, the environment of the test run would leak in.
        let command = Cli::command().mut_args(|arg| arg.env(None::<&str>));
        let matches = command.try_get_matches_from(args).map_err(|e| e.to_string())?;
        Config::of(Cli::from_arg_matches(&matches).map_err(|e| e.to_string())?)
    }

    fn of(cli: Cli) -> Result<Config, String> {
        let s = cli.settings;
        let command = cli.command.unwrap_or(Command::Serve);
        let default_url = format!("sqlite://{}/groundswell.db", s.data_dir.display());
        let database_url = from_file("DATABASE_URL", s.database_url, s.database_url_file)?.unwrap_or(default_url);
        let amqp_url = from_file("AMQP_URL", s.amqp_url, s.amqp_url_file)?;
        let postgres = database_url.starts_with("postgres://") || database_url.starts_with("postgresql://");
        if !postgres && !database_url.starts_with("sqlite:") {
            return Err("DATABASE_URL must begin with sqlite:// or postgres://.".into());
        }
        if let Some(url) = &amqp_url {
            if !url.starts_with("amqp://") && !url.starts_with("amqps://") {
                return Err("AMQP_URL must begin with amqp:// or amqps://.".into());
            }
            if !postgres {
                return Err("AMQP_URL needs DATABASE_URL=postgres://…: a broker serves many processes, and SQLite serves one.".into());
            }
        }
        if matches!(command, Command::Web | Command::Tally) && amqp_url.is_none() {
            return Err("web and tally meet over a broker: set DATABASE_URL=postgres://… and AMQP_URL, or run `groundswell serve`.".into());
        }
        if let Command::Export { what: Export::Static { origin: Some(origin), .. } } = &command
            && (origin.contains(',') || AllowedOrigins::parse(origin).is_err())
        {
            return Err("--origin must be http:// or https:// and a host in small letters, with nothing behind it.".into());
        }
        let owner = owner(s.owner_email, from_file("GROUNDSWELL_OWNER_PASSWORD", s.owner_password, s.owner_password_file)?)?;
        let api_token = from_file("GROUNDSWELL_API_TOKEN", s.api_token, s.api_token_file)?;
        if api_token.as_ref().is_some_and(|t| t.chars().count() < API_TOKEN_CHARS_MIN) {
            return Err(format!("GROUNDSWELL_API_TOKEN needs at least {API_TOKEN_CHARS_MIN} characters; `openssl rand -hex 32` makes a good one."));
        }
        let rehearsal = match &command {
            Command::Rehearse(asked) => Some(asked.as_ref().clone().into_plan(api_token.as_deref())?),
            _ => None,
        };
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Ok(Config {
            command,
            amqp_url,
            amqp_prefix: s.amqp_prefix,
            lanes: s.lanes,
            host: s.host,
            port: s.port,
            metrics_host: s.metrics_host,
            metrics_port: s.metrics_port,
            data_dir: s.data_dir,
            spill_bytes_max: s.spill_bytes_max,
            spill_free_bytes_min: s.spill_free_bytes_min,
            shutdown_delay: Duration::from_secs(s.shutdown_delay),
            public_url: s.public_url.map(|url| public_url(&url)).transpose()?,
            trusted_proxies: TrustedProxies::parse(&s.trusted_proxies)
                .map_err(|item| format!("TRUSTED_PROXIES: {item} is neither an address nor a CIDR block."))?,
            allowed_origins: AllowedOrigins::parse(&s.allowed_origins).map_err(|item| {
                format!("ALLOWED_ORIGINS: {item} is not what a browser writes; it is https:// and a host in small letters, with a port where it is not the usual one, and nothing behind.")
            })?,
            limits: Wanted { connections_max: s.connections_max, viewers_max: s.viewers_max, viewers_per_address_max: s.viewers_per_address_max },
            web_threads: s.web_threads.map_or(cores, usize::from),
            tally_workers: s.tally_workers.unwrap_or(if postgres { DEFAULT_POSTGRES_WORKERS } else { 1 }),
            database_url,
            owner,
            api_token,
            traces: s.otel.into_settings()?,
            rehearsal,
        })
    }

    pub fn default_lanes(&self) -> u16 {
        self.lanes.unwrap_or(DEFAULT_LANES)
    }
}

fn names_in_environment() -> Vec<String> {
    Cli::command().get_arguments().filter_map(|a| a.get_env()).map(|name| name.to_string_lossy().into_owned()).collect()
}

fn from_file(name: &str, value: Option<String>, file: Option<PathBuf>) -> Result<Option<String>, String> {
    match (value, file) {
        (Some(_), Some(_)) => Err(format!("{name} and {name}_FILE are both set; leave one out.")),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(&path).map_err(|why| format!("{name}_FILE: {} cannot be read: {why}", path.display()))?;
            Ok(Some(text.trim().to_owned()))
        }
        // An empty variable, as compose files leave behind, is no setting.
        (value, None) => Ok(value.filter(|v| !v.is_empty())),
    }
}

fn owner(email: Option<String>, password: Option<String>) -> Result<Option<(Email, String)>, String> {
    match (email.filter(|e| !e.is_empty()), password) {
        (None, None) => Ok(None),
        (Some(_), None) => Err("GROUNDSWELL_OWNER_EMAIL is set without GROUNDSWELL_OWNER_PASSWORD; set both or neither.".into()),
        (None, Some(_)) => Err("GROUNDSWELL_OWNER_PASSWORD is set without GROUNDSWELL_OWNER_EMAIL; set both or neither.".into()),
        (Some(email), Some(password)) => {
            let email = Email::parse(&email).map_err(|_| "GROUNDSWELL_OWNER_EMAIL does not look like an e-mail address.".to_owned())?;
            if password.chars().count() < crate::http::PASSWORD_CHARS_MIN {
                return Err("GROUNDSWELL_OWNER_PASSWORD needs at least 12 characters.".into());
            }
            if password.chars().count() > crate::http::PASSWORD_CHARS_MAX {
                return Err("GROUNDSWELL_OWNER_PASSWORD is too long: at most 1,024 characters.".into());
            }
            Ok(Some((email, password)))
        }
    }
}

fn public_url(url: &str) -> Result<String, String> {
    let url = url.trim_end_matches('/');
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match rest {
        // It is written into pages and pictures as it is.
        Some(host) if !host.is_empty() && host.chars().all(|c| c.is_alphanumeric() || "-_.:[]".contains(c)) => Ok(url.to_owned()),
        _ => Err("PUBLIC_URL must be http:// or https:// and a host, with nothing behind it.".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(args: &[&str]) -> Result<Config, String> {
        Config::from_args(std::iter::once("groundswell").chain(args.iter().copied()))
    }

    #[test]
    fn nothing_set_is_the_embedded_server() {
        let config = config(&[]).unwrap();
        assert_eq!((config.command, config.port, config.amqp_url), (Command::Serve, 8080, None));
        assert_eq!(config.database_url, "sqlite://./data/groundswell.db");
    }

    #[test]
    fn an_impossible_setting_is_refused_with_its_name() {
        for (args, name) in [
            (&["--amqp-url", "amqp://x"][..], "AMQP_URL"),
            (&["--database-url", "mysql://x"], "DATABASE_URL"),
            (&["web"], "AMQP_URL"),
            (&["--api-token", "short"], "GROUNDSWELL_API_TOKEN"),
            (&["--owner-email", "a@b"], "GROUNDSWELL_OWNER_PASSWORD"),
            (&["--owner-email", "a@b", "--owner-password", "short"], "GROUNDSWELL_OWNER_PASSWORD"),
            (&["--owner-email", "a@b", "--owner-password", &"x".repeat(1_025)], "GROUNDSWELL_OWNER_PASSWORD"),
            (&["--public-url", "ftp://x"], "PUBLIC_URL"),
            (&["--public-url", "https://a&b"], "PUBLIC_URL"),
            (&["--trusted-proxies", "nonsense"], "TRUSTED_PROXIES"),
            (&["--allowed-origins", "*"], "ALLOWED_ORIGINS"),
            (&["--allowed-origins", "https://vote.example.org/"], "ALLOWED_ORIGINS"),
            (&["export", "static", "x", "--origin", "api.example.org"], "--origin"),
            (&["export", "static"], "DIRECTORY"),
            (&["--port", "70000"], "port"),
            (&["--lanes", "0"], "lanes"),
            (&["--colour", "red"], "--colour"),
        ] {
            let refused = config(args).unwrap_err();
            assert!(refused.contains(name), "{args:?}: {refused}");
        }
    }
}

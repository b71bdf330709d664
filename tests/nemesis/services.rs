//! A broker and a database of the nemesis's own, to be killed, silenced, blocked and filled up. They end with the test process.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

pub struct Services {
    directory: String,
    amqp_url: String,
    database_url: String,
    /// Tables lie here, so that a disk can be full; `None` where none may be mounted.
    disk: Option<PathBuf>,
    /// Ends both when this process ends, however it does: its standard input is then closed.
    _keeper: Child,
}

/// A tenth of a percent of it is used: memory that is not written costs nothing.
const DISK_BYTES: u64 = 4 << 30;

impl Services {
    /// Started by the first who asks. `None` without the programs.
    pub fn shared() -> Option<&'static Services> {
        static SERVICES: OnceLock<Services> = OnceLock::new();
        crate::support::setting("GROUNDSWELL_TEST_SERVICES")?;
        Some(SERVICES.get_or_init(Services::start))
    }

    fn start() -> Services {
        let directory = TempDir::new().expect("a directory").keep().to_str().expect("a name in ASCII").to_owned();
        let disk = format!("{directory}/disk");
        let mut keeper = Command::new("bash");
        keeper.args(["-c", r#"read -r _; "$0" stop "$1"; umount -l "$2"; rmdir "$2" "$1""#, &script(), &directory, &disk]);
        // A group of its own: an interrupt that ends the tests must not end the one who cleans up.
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let keeper = keeper.spawn().expect("bash");
        control(&directory, &["start"]);
        let environment = control(&directory, &["env"]);
        let url = |name: &str| {
            let begin = format!("export GROUNDSWELL_TEST_{name}_URL=");
            environment.lines().find_map(|l| l.strip_prefix(begin.as_str())).expect("an address").to_owned()
        };
        let mut services = Services { amqp_url: url("AMQP"), database_url: url("DATABASE"), directory, disk: None, _keeper: keeper };
        services.disk = services.mount(Path::new(&disk));
        services
    }

    fn mount(&self, at: &Path) -> Option<PathBuf> {
        std::fs::create_dir(at).ok()?;
        let options = format!("size={DISK_BYTES}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "groundswell-test"]).arg(at).stderr(Stdio::null()).status();
        if !mounted.is_ok_and(|status| status.success()) {
            crate::support::not_run("no small disk may be mounted here: the database's is never full");
            return None;
        }
        let tables = at.join("tables");
        std::fs::create_dir(&tables).expect("it is empty");
        assert!(Command::new("chown").arg("postgres").arg(&tables).status().is_ok_and(|s| s.success()), "who may mount may give away");
        self.sql("postgres", &format!("create tablespace small location '{}'", tables.display()));
        Some(at.to_owned())
    }

    pub fn control(&self, args: &[&str]) -> String {
        control(&self.directory, args)
    }

    pub fn rabbitmqctl(&self, args: &[&str]) {
        control(&self.directory, &[&["rabbitmqctl", "-q"], args].concat());
    }

    pub fn sql(&self, database: &str, sql: &str) -> String {
        self.control(&["psql", "-d", database, "-Atqc", sql]).trim().to_owned()
    }

    /// A new database; its name.
    pub fn new_database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("nemesis_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let place = if self.disk.is_some() { "tablespace small" } else { "" };
        self.sql("postgres", &format!("create database {name} {place}"));
        name
    }

    pub fn database_url(&self, name: &str) -> String {
        let (server, _) = self.database_url.rsplit_once('/').expect("a URL with a database name");
        format!("{server}/{name}")
    }

    pub fn amqp_url(&self) -> &str {
        &self.amqp_url
    }

    /// Leaves nothing on the database's disk, until dropped.
    pub fn fill_disk(&self) -> Option<Ballast> {
        let path = self.disk.as_ref()?.join("ballast");
        let file = File::create(&path).expect("it may be written");
        // Not written but taken: gigabytes of zeros are no load worth having.
        let mut left = rustix_free(&path);
        while left > 0
            && Command::new("fallocate").args(["-o", "0", "-l", &left.to_string()]).arg(&path).stderr(Stdio::null()).status().is_ok_and(|s| !s.success())
        {
            left -= left.min(1 << 20);
        }
        let mut rest = File::options().append(true).open(&path).expect("it may be written");
        for size in [1 << 16, 4_096] {
            while rest.write_all(&vec![0; size]).is_ok() {}
        }
        drop(file);
        Some(Ballast(path))
    }
}

fn rustix_free(path: &Path) -> u64 {
    let found = rustix::fs::statvfs(path).expect("a mounted disk");
    found.f_bavail * found.f_frsize
}

pub struct Ballast(PathBuf);

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The address in a URL, and the URL with another one.
pub fn address_in(url: &str) -> &str {
    let after = url.rsplit_once('@').expect("a user stands in it").1;
    after.split('/').next().expect("an address")
}

pub fn by_way_of(url: &str, other: std::net::SocketAddr) -> String {
    url.replacen(address_in(url), &other.to_string(), 1)
}

fn script() -> String {
    std::env::var("GROUNDSWELL_TEST_SERVICES").expect("checked by the caller")
}

fn control(directory: &str, args: &[&str]) -> String {
    let output = Command::new(script()).arg(args[0]).arg(directory).args(&args[1..]).output().expect("scripts/services runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

//! Where a benchmark runs, and what it reads off the machine.

use std::collections::BTreeMap;

use groundswell::store::Store;
use uuid::Uuid;

use crate::common::{cpu_of, cpu_of_all, execute};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Sqlite,
    Postgres,
}

impl Side {
    /// As many as a process runs when nothing else is said.
    pub fn workers(self) -> u16 {
        match self {
            Side::Sqlite => 1,
            Side::Postgres => 2,
        }
    }
}

/// A database of one's own; gone when dropped.
pub struct Place {
    pub url: String,
    admin: Option<(String, String)>,
    _directory: tempfile::TempDir,
}

impl Place {
    pub fn new(side: Side) -> Place {
        let directory = tempfile::TempDir::new().expect("a directory");
        match side {
            Side::Sqlite => Place { url: format!("sqlite://{}/groundswell.db", directory.path().display()), admin: None, _directory: directory },
            Side::Postgres => {
                let admin = std::env::var("GROUNDSWELL_TEST_DATABASE_URL").expect("checked by the caller");
                let name = format!("gs_bench_{}", Uuid::new_v4().simple());
                execute(&admin, format!("create database {name}"));
                let url = format!("{}/{name}", admin.rsplit_once('/').expect("a URL with a database name").0);
                Place { url, admin: Some((admin, name)), _directory: directory }
            }
        }
    }

    pub async fn store(&self, side: Side) -> Store {
        Store::open(&self.url, u32::from(side.workers()) + 1).await.expect("the database opens")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((admin, name)) = &self.admin {
            execute(admin, format!("drop database if exists {name} with (force)"));
        }
    }
}

/// On a thread of its own, so that it works inside and outside of a runtime.
pub fn runtime(threads: usize) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build().expect("a runtime")
}

pub fn words(name: &str, default: &str) -> Vec<String> {
    std::env::var(name).unwrap_or_else(|_| default.to_owned()).split(',').map(|w| w.trim().to_owned()).collect()
}

pub fn numbers(name: &str, default: &str) -> Vec<usize> {
    words(name, default).iter().map(|w| w.parse().unwrap_or_else(|_| panic!("{name} is numbers with commas"))).collect()
}

/// Seconds of CPU so far: this process, Postgres, the broker.
pub fn cpu() -> BTreeMap<&'static str, f64> {
    BTreeMap::from([("own", cpu_of(std::process::id())), ("postgres", cpu_of_all("postgres")), ("broker", cpu_of_all("beam.smp"))])
}

/// Microseconds of CPU per thing since `before`, by process.
pub fn cpu_since(before: &BTreeMap<&'static str, f64>, things: usize) -> BTreeMap<&'static str, f64> {
    cpu().into_iter().map(|(name, s)| (name, (s - before[name]) * 1e6 / things.max(1) as f64)).collect()
}

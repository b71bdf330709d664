//! A rehearsal: the audience of tonight, this afternoon. People join, vote in the same second, change their minds and send twice;
//! viewers watch; then every answer is checked against what the poll holds and shows. All of it from outside, over HTTP, with an
//! address and a token: it knows nothing of how a server counts, or it would prove nothing.
//!
//! `load` is the closed-loop generator of the benchmarks; everything else is the rehearsal.

mod acts;
pub mod checker;
mod client;
mod crowd;
pub mod evidence;
mod http1;
mod join;
mod line;
pub mod load;
mod machine;
mod measured;
mod meter;
mod metrics;
mod page;
pub mod report;
pub mod served;
mod stage;
mod storm;
pub mod terminal;
mod viewers;

pub use client::{Client, Target};
pub use crowd::Shape;
pub use meter::Reading;
pub use report::Report;
pub use viewers::{Frame, read_document};

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio_util::sync::CancellationToken;

use stage::Stage;

/// What to rehearse.
#[derive(Clone, Debug)]
pub struct Plan {
    pub url: String,
    pub token: String,
    pub voters: u32,
    pub over: Duration,
    pub shape: Shape,
    pub viewers: usize,
    pub connections: usize,
    /// Generator threads.
    pub threads: usize,
    /// Percent of people who change their mind, and who send the same ballot again.
    pub change: f64,
    pub repeat: f64,
    pub choices: u16,
    pub seed: u64,
    /// A rehearsal that exists already, instead of one of our own.
    pub event: Option<String>,
    pub metrics_url: Option<String>,
    /// Leaves the event and its ballots in place.
    pub keep: bool,
    pub i_operate_this_server: bool,
}

/// Most people of one rehearsal: beyond, memory and the range of ports end before the server does.
pub const VOTERS_MAX: u32 = 20_000_000;
/// Each is a file and a port; one address has some 28,000 ports.
pub const CONNECTIONS_MAX: usize = 20_000;
/// Files besides connections and viewers.
const FILES_FOR_OURSELVES: u64 = 64;
/// A report is small; a server that takes longer over it than this is busy with something else.
const HANDED_IN_WITHIN: Duration = Duration::from_secs(15);

/// What happens, for whoever watches: a terminal, a test.
#[derive(Clone, Debug)]
pub enum Moment {
    Begun {
        event: String,
        code: String,
        join_url: String,
    },
    Joining {
        reading: Reading,
        wanted: u64,
    },
    Joined {
        people: u64,
        took: Duration,
    },
    Watching {
        open: u64,
        refused: u64,
    },
    Storm {
        elapsed: Duration,
        reading: Reading,
        counted: u64,
    },
    /// Everybody has their answer.
    Answered {
        elapsed: Duration,
        reading: Reading,
    },
    Counting {
        elapsed: Duration,
        accepted: u64,
        counted: u64,
    },
    /// All is counted and final; nothing has been checked yet.
    Final {
        poll: String,
    },
    Checking,
    Removing {
        ballots: u64,
    },
    Kept {
        event: String,
    },
    /// The server keeps the report.
    HandedIn {
        url: String,
    },
}

/// Runs to its end, or to the stop, after which what was sent is still checked; and removes what it made.
pub async fn run(plan: &Plan, stop: CancellationToken, tell: &(dyn Fn(Moment) + Sync)) -> anyhow::Result<Report> {
    let mut held = hold(plan, stop, tell).await?;
    held.hand_in(tell).await;
    Ok(held.leave(tell).await)
}

/// A rehearsal that is over, and still there: the report is worth keeping before anything else may fail.
pub struct Held {
    pub report: Report,
    stage: Stage,
    office: Client,
    keep: bool,
}

impl Held {
    /// Gives the report to the server, whose back office shows it when the rehearsal is long gone. That it could not be given is no
    /// failure of the rehearsal: the report says so.
    pub async fn hand_in(&mut self, tell: &(dyn Fn(Moment) + Sync)) {
        let path = format!("/api/v1/events/{}/rehearsal", self.stage.event);
        let handed_in = async {
            let body = serde_json::to_value(self.report.bounded())?;
            let (status, said) = tokio::time::timeout(HANDED_IN_WITHIN, self.office.text("PUT", &path, Some(body))).await.context("it does not answer")??;
            let said: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
            match (status, said["id"].as_str(), said["detail"].as_str()) {
                // Where people join, the back office is, too.
                (200, Some(id), _) => Ok(format!("{}/admin/rehearsals/{id}", self.stage.join_url.rsplit_once('/').map_or("", |(home, _)| home))),
                // An address it does not know.
                (404 | 405, ..) if said["code"] != "event_unknown" => bail!("it is older than this command, and keeps none"),
                (status, _, why) => bail!("it answers {status}: {}", why.unwrap_or("it does not say why")),
            }
        };
        match handed_in.await {
            Ok(url) => tell(Moment::HandedIn { url }),
            Err(why) => self.report.warnings.push(format!("The server does not show this report in its back office: {why:#}")),
        }
    }

    /// Removes the rehearsal, if it is ours to remove. Where that fails, the report says so.
    pub async fn leave(self, tell: &(dyn Fn(Moment) + Sync)) -> Report {
        let Held { mut report, stage, office, keep } = self;
        let ballots = report.books.counted.max(0) as u64;
        if let Err(why) = stage.leave(&office, keep, ballots, tell).await {
            report.warnings.push(format!("{why:#}"));
        }
        report
    }
}

/// Without the removal. One that could not be held to its end is removed all the same.
pub async fn hold(plan: &Plan, stop: CancellationToken, tell: &(dyn Fn(Moment) + Sync)) -> anyhow::Result<Held> {
    let target = Target::resolve(&plan.url).await?;
    ensure!(
        target.is_loopback() || plan.i_operate_this_server,
        "{} is another machine. A rehearsal is as heavy as an attack: say --i-operate-this-server if it is yours, or if you were asked to.",
        plan.url
    );
    let (soft_limit, _) = rlimit::getrlimit(rlimit::Resource::NOFILE)?;
    let files = plan.connections as u64 + plan.viewers as u64 + FILES_FOR_OURSELVES;
    ensure!(
        files <= soft_limit,
        "{files} open files are needed for --connections and --viewers, and {soft_limit} are allowed: raise `ulimit -n`, or ask for fewer"
    );
    let office = Client::new(target.clone(), Some(plan.token.clone()));
    let stage = Stage::prepare(&office, plan).await?;
    tell(Moment::Begun { event: stage.event.clone(), code: stage.code.clone(), join_url: stage.join_url.clone() });
    match acts::play(plan, &stage, &office, target, stop, tell).await {
        Ok(report) => Ok(Held { report, stage, office, keep: plan.keep }),
        Err(why) => Err(match stage.leave(&office, plan.keep, 0, tell).await {
            Ok(()) => why,
            // What went wrong first stands first.
            Err(also) => anyhow::anyhow!("{why:#}; also, {also:#}"),
        }),
    }
}

impl Report {
    /// Nothing to be ashamed of; what `groundswell rehearse` exits with.
    pub fn is_clean(&self) -> bool {
        self.clean
    }

    /// Writes `report.json` and `report.html`.
    pub fn write(&self, directory: &std::path::Path) -> anyhow::Result<()> {
        let place = || format!("--report {}", directory.display());
        std::fs::create_dir_all(directory).with_context(place)?;
        std::fs::write(directory.join("report.json"), serde_json::to_vec_pretty(self)?).with_context(place)?;
        std::fs::write(directory.join("report.html"), page::render(self)?).with_context(place)?;
        Ok(())
    }
}

//! A rehearsal: the audience of tonight, this afternoon. People join, vote in the same second, change their minds and send twice;
//! viewers watch; then every answer is checked against what the poll holds and shows. All of it from outside, over HTTP, with an
//! address and a token: it knows nothing of how a server counts, or it would prove nothing.
//!
//! `load` is the closed-loop generator of the benchmarks; everything else is the rehearsal.

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

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::clock::now_ms;
use crate::domain::{Millis, VoterId};
use checker::Attempt;
use crowd::{Habits, Share};
use machine::{Machine, Spent};
use measured::Measured;
use meter::Meter;
use stage::Stage;
use storm::{Sent, Storm};
use viewers::{Viewers, Watched};

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
/// How often we look how it goes.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Threads are told of the moment zero this long before it.
const LEAD: Duration = Duration::from_millis(30);
/// Counting that makes no progress for this long has stopped.
const COUNTING_STANDS_STILL: Duration = Duration::from_secs(60);
/// Where the presenter's stream says nothing for so long, the document is asked for, and again each time.
const STREAM_SILENT: Duration = Duration::from_secs(2);
const DOCUMENT_WITHIN: Duration = Duration::from_secs(5);
/// The last document reaches viewers within this time after the results are final, or it does not.
const LAST_EVENT_WITHIN: Duration = Duration::from_secs(5);
/// A report is small; a server that takes longer over it than this is busy with something else.
const HANDED_IN_WITHIN: Duration = Duration::from_secs(15);
/// A server's clock may be behind ours by at most this.
const CLOCKS_APART_MS: Millis = 24 * 3_600 * 1_000;

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
    match on_stage(plan, &stage, &office, target, stop, tell).await {
        Ok(report) => Ok(Held { report, stage, office, keep: plan.keep }),
        Err(why) => Err(match stage.leave(&office, plan.keep, 0, tell).await {
            Ok(()) => why,
            // What went wrong first stands first.
            Err(also) => anyhow::anyhow!("{why:#}; also, {also:#}"),
        }),
    }
}

async fn on_stage(
    plan: &Plan,
    stage: &Stage,
    office: &Client,
    target: Target,
    stop: CancellationToken,
    tell: &(dyn Fn(Moment) + Sync),
) -> anyhow::Result<Report> {
    let threads = plan.threads.min(plan.connections).max(1);
    let habits = Habits {
        people: plan.voters,
        over_us: plan.over.as_micros() as u64,
        shape: plan.shape,
        change: (plan.change * 100.0).round() as u32,
        repeat: (plan.repeat * 100.0).round() as u32,
        choices: plan.choices,
        seed: plan.seed,
    };
    let metrics_before = metrics::read(plan.metrics_url.as_deref()).await?;
    let meters: Vec<Arc<Meter>> = (0..threads).map(|_| Arc::default()).collect();
    let halt = Arc::new(AtomicBool::new(false));
    let _halter = tokio::spawn({
        let halt = halt.clone();
        async move {
            stop.cancelled().await;
            halt.store(true, Ordering::Relaxed);
        }
    });

    // --- joining
    let began = Instant::now();
    let shares: Vec<Share> = (0..threads).map(|t| Share::empty(t as u32, threads as u32, plan.voters)).collect();
    let joining = {
        let (target, code, meters, halt, connections) = (target.clone(), stage.code.clone(), meters.clone(), halt.clone(), plan.connections);
        std::thread::spawn(move || join::join(&target, &code, shares, connections, &meters, &halt))
    };
    while !joining.is_finished() {
        tell(Moment::Joining { reading: meter::read(&meters), wanted: plan.voters.into() });
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let shares = joining.join().expect("the generator does not panic")?;
    let joining = joining_part(&shares, began.elapsed());
    tell(Moment::Joined { people: joining.people, took: began.elapsed() });

    // --- viewers take their seats
    let audience = plan.viewers.max(1);
    let watched =
        Watched { target: target.clone(), token: plan.token.clone(), event: stage.event.clone(), code: stage.code.clone(), poll: stage.poll.to_string() };
    let viewers = Viewers::open(watched, audience);
    viewers.all_there(audience).await;
    tell(Moment::Watching { open: viewers.seen.open.load(Ordering::Relaxed), refused: viewers.seen.refused.load(Ordering::Relaxed) });

    // --- the storm
    let machine = Machine::look(target.is_loopback().then_some(target.address));
    let storm = Arc::new(Storm {
        target: target.clone(),
        poll: stage.poll.to_string(),
        habits,
        epoch: now_ms() - CLOCKS_APART_MS,
        stop: halt.clone(),
        ready: AtomicUsize::new(0),
        start: OnceLock::new(),
        start_ms: AtomicU64::new(0),
    });
    let running: Vec<_> = shares
        .into_iter()
        .zip(&meters)
        .map(|(share, meter)| {
            let (storm, meter) = (storm.clone(), meter.clone());
            let own = plan.connections / threads + usize::from((share.thread as usize) < plan.connections % threads);
            std::thread::spawn(move || storm.run(share, own, meter))
        })
        .collect();
    while storm.ready.load(Ordering::Acquire) < threads && !running.iter().any(|t| t.is_finished()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let start_ms = now_ms() + LEAD.as_millis() as Millis;
    storm.start_ms.store(start_ms as u64, Ordering::Relaxed);
    let start = Instant::now() + LEAD;
    storm.start.set(start).expect("only set here");
    let mut spent: Vec<(f64, Spent)> = vec![(0.0, machine.spent())];
    let counted_now = || viewers.presenter.borrow().as_ref().and_then(|f| f.books).map_or(0, |b| b.counted.max(0) as u64);
    while running.iter().any(|t| !t.is_finished()) {
        tokio::time::sleep(LOOK_EVERY).await;
        let elapsed = start.elapsed();
        // Looking at all processes costs some milliseconds; once a second is often enough.
        if elapsed.as_secs_f64() >= spent.last().expect("there is one").0 + 1.0 {
            spent.push((elapsed.as_secs_f64(), machine.spent()));
        }
        tell(Moment::Storm { elapsed, reading: meter::read(&meters), counted: counted_now() });
    }
    spent.push((start.elapsed().as_secs_f64(), machine.spent()));
    let mut sent: Vec<Sent> = Vec::with_capacity(threads);
    for thread in running {
        sent.push(thread.join().expect("the generator does not panic")?);
    }
    sent.iter_mut().for_each(|s| s.share.forget_passes());
    tell(Moment::Answered { elapsed: start.elapsed(), reading: meter::read(&meters) });

    // --- counting to the end
    let mut warnings = Vec::new();
    let offset = clock_offset(&sent, &target);
    let mut accepted: Vec<Millis> = sent.iter().flat_map(|s| s.share.accepted_at(storm.epoch)).collect();
    accepted.sort_unstable();
    let last_accepted_at = sent.iter().flat_map(|s| s.share.fates.iter().flatten()).filter(|f| f.ok > 0).map(|f| storm.epoch + Millis::from(f.accepted)).max();
    let presenter = viewers.presenter.clone();
    let counting = |what: &Frame| {
        tell(Moment::Counting { elapsed: start.elapsed(), accepted: accepted.len() as u64, counted: what.books.map_or(0, |b| b.counted.max(0) as u64) })
    };
    let mut asked = Vec::new();
    let counted = wait_for(&presenter, (office, stage), &mut asked, |f| last_accepted_at.is_none_or(|at| f.counted_through >= at), counting).await;
    spent.push((start.elapsed().as_secs_f64(), machine.spent()));
    let closed = office.call("PUT", &format!("/api/v1/polls/{}/state", stage.poll), Some(json!({"state": "closed"}))).await;
    let is_final = match closed {
        Ok(_) => wait_for(&presenter, (office, stage), &mut asked, |f| f.is_final, counting).await,
        Err(why) => {
            warnings.push(format!("The poll could not be closed: {why:#}"));
            false
        }
    };
    if !(counted && is_final) {
        warnings.push(format!(
            "Counting made no progress for {}: what is not counted yet cannot be told from what is lost.",
            report::seconds(COUNTING_STANDS_STILL.as_secs_f64())
        ));
    }
    let mut audience_sees = viewers.audience.clone();
    let last_event = tokio::time::timeout(LAST_EVENT_WITHIN, audience_sees.wait_for(|f| f.as_ref().is_some_and(|f| f.is_final))).await;
    let last_event = last_event.ok().and_then(Result::ok).and_then(|f| f.clone()).or_else(|| viewers.audience.borrow().clone());
    tell(Moment::Final { poll: stage.poll.to_string() });

    // --- checking
    tell(Moment::Checking);
    if last_event.is_none() {
        warnings.push("The first viewer's stream was not open at the end, so what it said last was not compared.".into());
    }
    let evidence = async {
        let published = evidence::published(office, &stage.code, stage.poll, last_event).await?;
        anyhow::Ok((published, evidence::rows(office, stage.poll, accepted.len()).await?))
    };
    let evidence = evidence.await;
    let has_evidence = evidence.is_ok();
    let attempts: Vec<Attempt> = sent.iter().flat_map(|s| s.share.attempts(&habits)).collect();
    let safe = sent.iter().flat_map(|s| s.share.fates.iter().flatten()).filter(|f| f.ok > 0).count() as u64;
    let joined: Vec<VoterId> = sent.iter().flat_map(|s| s.share.voters()).collect();
    let (check, books) = match evidence {
        Ok((published, rows)) => {
            let look = move || {
                let mut verdict = checker::check(attempts, rows, &published);
                checker::people(&mut verdict, joined);
                // An edge may send a vote again: how often one may come is not known here.
                checker::received(&mut verdict, published.books.received, safe, None);
                (verdict, published.books)
            };
            tokio::task::spawn_blocking(look).await?
        }
        Err(why) => {
            warnings.push(format!("What the poll holds could not be read: {why:#}"));
            Default::default()
        }
    };
    let seen = viewers.seen.clone();
    let mut frames = viewers.close().await;
    ensure!(!frames.is_empty(), "nobody watched");
    let mut presenter_frames = frames.remove(0);
    presenter_frames.append(&mut asked);
    presenter_frames.sort_by_key(|frame| frame.at);
    let measured = Measured {
        habits: &habits,
        sent: &sent,
        accepted: &accepted,
        presenter: &presenter_frames,
        audience: &frames,
        seen: &seen,
        spent: &spent,
        start_ms,
        offset,
        finished: counted && is_final,
        has_evidence,
        server_seen: machine.sees_the_server(),
    };
    let metrics = match metrics::read(plan.metrics_url.as_deref()).await {
        Ok(after) => metrics::changes(&metrics_before, &after),
        Err(why) => {
            warnings.push(format!("The server's figures could not be read at the end: {why:#}"));
            Default::default()
        }
    };
    Ok(measured.into_report(plan, joining, check, report::BooksPart::from(&books), metrics, warnings))
}

/// Waits until a frame is as wanted. False: counting made no progress for too long. A stream that broke off, or has nothing new to say,
/// is no reason: the document is asked for instead, and what came so is put aside.
async fn wait_for(
    frames: &tokio::sync::watch::Receiver<Option<Frame>>,
    (office, stage): (&Client, &Stage),
    asked: &mut Vec<Frame>,
    wanted: impl Fn(&Frame) -> bool,
    look: impl Fn(&Frame),
) -> bool {
    let (mut received, mut progress_at, mut asked_at) = (-1, Instant::now(), Instant::now());
    loop {
        let streamed = frames.borrow().clone();
        let silent = streamed.as_ref().is_none_or(|frame| now_ms() - frame.at > STREAM_SILENT.as_millis() as Millis);
        if silent && asked_at.elapsed() > STREAM_SILENT {
            let path = format!("/api/v1/events/{}/live", stage.event);
            if let Ok(Ok(document)) = tokio::time::timeout(DOCUMENT_WITHIN, office.call("GET", &path, None)).await {
                asked.extend(viewers::read_document(document.to_string().as_bytes(), &stage.poll.to_string(), now_ms()));
            }
            asked_at = Instant::now();
        }
        let newest = asked.last().filter(|asked| streamed.as_ref().is_none_or(|s| s.at < asked.at)).or(streamed.as_ref());
        if let Some(frame) = newest {
            look(frame);
            if wanted(frame) {
                return true;
            }
            let now = frame.books.map_or(0, |b| b.received);
            if now != received {
                (received, progress_at) = (now, Instant::now());
            }
        }
        if progress_at.elapsed() > COUNTING_STANDS_STILL {
            return false;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// How far the server's clock is ahead of ours, from the times in its answers.
fn clock_offset(sent: &[Sent], target: &Target) -> Millis {
    let least = sent.iter().map(|s| s.clock.0).max().unwrap_or(Millis::MIN);
    let most = sent.iter().map(|s| s.clock.1).min().unwrap_or(Millis::MAX);
    // One machine has one clock.
    if target.is_loopback() || least == Millis::MIN || most == Millis::MAX { 0 } else { (least + most) / 2 }
}

fn joining_part(shares: &[Share], took: Duration) -> report::Joining {
    let people: u64 = shares.iter().map(|s| s.joined() as u64).sum();
    report::Joining { people, seconds: took.as_secs_f64(), per_second: people as f64 / took.as_secs_f64().max(1e-9) }
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

//! The acts of a rehearsal, one after the other: people join, viewers take their seats, everybody votes, all is counted, all is checked.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::checker::{self, Attempt, Verdict};
use super::crowd::{Fate, Habits, Share};
use super::machine::{Look, Machine};
use super::measured::Measured;
use super::meter::{self, Meter};
use super::stage::Stage;
use super::storm::{Sent, Storm};
use super::viewers::{Frame, Viewers, Watched, read_document};
use super::{Client, Moment, Plan, Report, Target, evidence, join, metrics, report};
use crate::clock::now_ms;
use crate::domain::{Books, Millis, VoterId};

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
/// A server's clock may be behind ours by at most this.
const CLOCKS_APART_MS: Millis = 24 * 3_600 * 1_000;

/// To its end, or to the stop, after which what was sent is still checked.
pub(super) async fn play(
    plan: &Plan,
    stage: &Stage,
    office: &Client,
    target: Target,
    stop: CancellationToken,
    tell: &(dyn Fn(Moment) + Sync),
) -> anyhow::Result<Report> {
    let show = Show::new(plan, stage, office, target, stop, tell);
    let metrics_before = metrics::read(plan.metrics_url.as_deref()).await?;
    let (shares, joining) = show.join().await?;
    let viewers = show.seat().await;
    let mut stormed = show.storm(shares, &viewers).await?;
    let mut counted = show.count(&mut stormed, &viewers).await;
    let checked = show.check(&stormed, &mut counted).await?;

    let seen = viewers.seen.clone();
    let mut frames = viewers.close().await;
    ensure!(!frames.is_empty(), "nobody watched");
    let mut presenter_frames = frames.remove(0);
    presenter_frames.append(&mut counted.asked);
    presenter_frames.sort_by_key(|frame| frame.at);
    let measured = Measured {
        habits: &show.habits,
        sent: &stormed.sent,
        accepted: &stormed.accepted,
        presenter: &presenter_frames,
        audience: &frames,
        seen: &seen,
        looks: &stormed.looks,
        start_ms: stormed.start_ms,
        offset: clock_offset(&stormed.sent, &show.target),
        finished: counted.finished,
        has_evidence: checked.has_evidence,
        server_seen: stormed.machine.sees_the_server(),
    };
    let metrics = match metrics::read(plan.metrics_url.as_deref()).await {
        Ok(after) => metrics::changes(&metrics_before, &after),
        Err(why) => {
            counted.warnings.push(format!("The server's figures could not be read at the end: {why:#}"));
            Default::default()
        }
    };
    Ok(measured.into_report(plan, joining, checked.verdict, report::BooksPart::from(&checked.books), metrics, counted.warnings))
}

/// What all acts need.
struct Show<'s> {
    plan: &'s Plan,
    stage: &'s Stage,
    office: &'s Client,
    target: Target,
    tell: &'s (dyn Fn(Moment) + Sync),
    habits: Habits,
    /// Generator threads, and a meter for each.
    threads: usize,
    meters: Vec<Arc<Meter>>,
    halt: Arc<AtomicBool>,
}

/// What became of the votes.
struct Stormed {
    sent: Vec<Sent>,
    /// When each person's vote was accepted, in order.
    accepted: Vec<Millis>,
    /// What fates count their times from.
    epoch: Millis,
    start: Instant,
    start_ms: Millis,
    machine: Machine,
    looks: Vec<Look>,
}

/// How the counting ended.
struct Counted {
    /// Everything accepted is counted, and the result is final.
    finished: bool,
    /// Documents that were asked for where the stream was silent.
    asked: Vec<Frame>,
    last_event: Option<Frame>,
    warnings: Vec<String>,
}

#[derive(Default)]
struct Checked {
    verdict: Verdict,
    books: Books,
    has_evidence: bool,
}

impl<'s> Show<'s> {
    fn new(plan: &'s Plan, stage: &'s Stage, office: &'s Client, target: Target, stop: CancellationToken, tell: &'s (dyn Fn(Moment) + Sync)) -> Show<'s> {
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
        let halt = Arc::new(AtomicBool::new(false));
        tokio::spawn({
            let halt = halt.clone();
            async move {
                stop.cancelled().await;
                halt.store(true, Ordering::Relaxed);
            }
        });
        let meters = (0..threads).map(|_| Arc::default()).collect();
        Show { plan, stage, office, target, tell, habits, threads, meters, halt }
    }

    fn tell(&self, moment: Moment) {
        (self.tell)(moment);
    }

    async fn join(&self) -> anyhow::Result<(Vec<Share>, report::Joining)> {
        let began = Instant::now();
        let shares: Vec<Share> = (0..self.threads).map(|t| Share::empty(t as u32, self.threads as u32, self.plan.voters)).collect();
        let joining = {
            let (target, code, meters, halt) = (self.target.clone(), self.stage.code.clone(), self.meters.clone(), self.halt.clone());
            let connections = self.plan.connections;
            std::thread::spawn(move || join::join(&target, &code, shares, connections, &meters, &halt))
        };
        while !joining.is_finished() {
            self.tell(Moment::Joining { reading: meter::read(&self.meters), wanted: self.plan.voters.into() });
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let shares = joining.join().expect("the generator does not panic")?;
        let joining = joining_part(&shares, began.elapsed());
        self.tell(Moment::Joined { people: joining.people, took: began.elapsed() });
        Ok((shares, joining))
    }

    async fn seat(&self) -> Viewers {
        let audience = self.plan.viewers.max(1);
        let viewers = Viewers::open(
            Watched {
                target: self.target.clone(),
                token: self.plan.token.clone(),
                event: self.stage.event.clone(),
                code: self.stage.code.clone(),
                poll: self.stage.poll.to_string(),
            },
            audience,
        );
        viewers.all_there(audience).await;
        self.tell(Moment::Watching { open: viewers.seen.open.load(Ordering::Relaxed), refused: viewers.seen.refused.load(Ordering::Relaxed) });
        viewers
    }

    async fn storm(&self, shares: Vec<Share>, viewers: &Viewers) -> anyhow::Result<Stormed> {
        let machine = Machine::look(self.target.is_loopback().then_some(self.target.address));
        let storm = Arc::new(Storm {
            target: self.target.clone(),
            poll: self.stage.poll.to_string(),
            habits: self.habits,
            epoch: now_ms() - CLOCKS_APART_MS,
            stop: self.halt.clone(),
            ready: AtomicUsize::new(0),
            start: OnceLock::new(),
            start_ms: AtomicU64::new(0),
        });
        let running: Vec<_> = shares
            .into_iter()
            .zip(&self.meters)
            .map(|(share, meter)| {
                let (storm, meter) = (storm.clone(), meter.clone());
                let own = self.plan.connections / self.threads + usize::from((share.thread as usize) < self.plan.connections % self.threads);
                std::thread::spawn(move || storm.run(share, own, meter))
            })
            .collect();
        while storm.ready.load(Ordering::Acquire) < self.threads && !running.iter().any(|t| t.is_finished()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let start_ms = now_ms() + LEAD.as_millis() as Millis;
        storm.start_ms.store(start_ms as u64, Ordering::Relaxed);
        let start = Instant::now() + LEAD;
        storm.start.set(start).expect("only set here");
        let look = |at_s: f64| Look { at_s, spent: machine.spent(), watching_s: viewers.cpu_s() };
        let mut looks = vec![look(0.0)];
        let counted_now = || viewers.presenter.borrow().as_ref().and_then(|f| f.books).map_or(0, |b| b.counted.max(0) as u64);
        while running.iter().any(|t| !t.is_finished()) {
            tokio::time::sleep(LOOK_EVERY).await;
            let elapsed = start.elapsed();
            // Looking at all processes costs some milliseconds; once a second is often enough.
            if elapsed.as_secs_f64() >= looks.last().expect("there is one").at_s + 1.0 {
                looks.push(look(elapsed.as_secs_f64()));
            }
            self.tell(Moment::Storm { elapsed, reading: meter::read(&self.meters), counted: counted_now() });
        }
        let mut stormed = Stormed { sent: Vec::with_capacity(self.threads), accepted: Vec::new(), epoch: storm.epoch, start, start_ms, machine, looks };
        stormed.look(viewers);
        for thread in running {
            stormed.sent.push(thread.join().expect("the generator does not panic")?);
        }
        stormed.sent.iter_mut().for_each(|s| s.share.forget_passes());
        self.tell(Moment::Answered { elapsed: start.elapsed(), reading: meter::read(&self.meters) });
        stormed.accepted = stormed.sent.iter().flat_map(|s| s.share.accepted_at(stormed.epoch)).collect();
        stormed.accepted.sort_unstable();
        Ok(stormed)
    }

    /// Until all that was accepted is counted and the result is final, or nothing moves any more.
    async fn count(&self, stormed: &mut Stormed, viewers: &Viewers) -> Counted {
        let (mut asked, mut warnings) = (Vec::new(), Vec::new());
        let (start, accepted, last_accepted_at) = (stormed.start, stormed.accepted.len() as u64, stormed.last_accepted_at());
        let look = |what: &Frame| {
            self.tell(Moment::Counting { elapsed: start.elapsed(), accepted, counted: what.books.map_or(0, |b| b.counted.max(0) as u64) });
        };
        let presenter = &viewers.presenter;
        let counted = self.wait_for(presenter, &mut asked, |f| last_accepted_at.is_none_or(|at| f.counted_through >= at), look).await;
        stormed.look(viewers);
        let closed = self.office.call("PUT", &format!("/api/v1/polls/{}/state", self.stage.poll), Some(json!({"state": "closed"}))).await;
        let is_final = match closed {
            Ok(_) => self.wait_for(presenter, &mut asked, |f| f.is_final, look).await,
            Err(why) => {
                warnings.push(format!("The poll could not be closed: {why:#}"));
                false
            }
        };
        let finished = counted && is_final;
        if !finished {
            warnings.push(format!(
                "Counting made no progress for {}: what is not counted yet cannot be told from what is lost.",
                report::seconds(COUNTING_STANDS_STILL.as_secs_f64())
            ));
        }
        let mut audience_sees = viewers.audience.clone();
        let last_event = tokio::time::timeout(LAST_EVENT_WITHIN, audience_sees.wait_for(|f| f.as_ref().is_some_and(|f| f.is_final))).await;
        let last_event = last_event.ok().and_then(Result::ok).and_then(|f| f.clone()).or_else(|| viewers.audience.borrow().clone());
        self.tell(Moment::Final { poll: self.stage.poll.to_string() });
        Counted { finished, asked, last_event, warnings }
    }

    /// Every answer against what the poll holds and shows.
    async fn check(&self, stormed: &Stormed, counted: &mut Counted) -> anyhow::Result<Checked> {
        self.tell(Moment::Checking);
        if counted.last_event.is_none() {
            counted.warnings.push("None of the viewers that are read was connected at the end, so what they were told last was not compared.".into());
        }
        let evidence = async {
            let published = evidence::published(self.office, &self.stage.code, self.stage.poll, counted.last_event.take()).await?;
            anyhow::Ok((published, evidence::rows(self.office, self.stage.poll, stormed.accepted.len()).await?))
        };
        let (published, rows) = match evidence.await {
            Ok(evidence) => evidence,
            Err(why) => {
                counted.warnings.push(format!("What the poll holds could not be read: {why:#}"));
                return Ok(Checked::default());
            }
        };
        let attempts: Vec<Attempt> = stormed.sent.iter().flat_map(|s| s.share.attempts(&self.habits)).collect();
        let joined: Vec<VoterId> = stormed.sent.iter().flat_map(|s| s.share.voters()).collect();
        let safe = stormed.safe().count() as u64;
        let look = move || {
            let mut verdict = checker::check(attempts, rows, &published);
            checker::people(&mut verdict, joined);
            // An edge may send a vote again: how often one may come is not known here.
            checker::received(&mut verdict, published.books.received, safe, None);
            Checked { verdict, books: published.books, has_evidence: true }
        };
        Ok(tokio::task::spawn_blocking(look).await?)
    }

    /// Waits until a frame is as wanted. False: counting made no progress for too long. A stream that broke off, or has nothing new to say,
    /// is no reason: the document is asked for instead, and what came so is put aside.
    async fn wait_for(
        &self,
        frames: &tokio::sync::watch::Receiver<Option<Frame>>,
        asked: &mut Vec<Frame>,
        wanted: impl Fn(&Frame) -> bool,
        look: impl Fn(&Frame),
    ) -> bool {
        let (mut received, mut progress_at, mut asked_at) = (-1, Instant::now(), Instant::now());
        loop {
            let streamed = frames.borrow().clone();
            let silent = streamed.as_ref().is_none_or(|frame| now_ms() - frame.at > STREAM_SILENT.as_millis() as Millis);
            if silent && asked_at.elapsed() > STREAM_SILENT {
                let path = format!("/api/v1/events/{}/live", self.stage.event);
                if let Ok(Ok(document)) = tokio::time::timeout(DOCUMENT_WITHIN, self.office.call("GET", &path, None)).await {
                    asked.extend(read_document(document.to_string().as_bytes(), &self.stage.poll.to_string(), now_ms()));
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
}

impl Stormed {
    fn look(&mut self, viewers: &Viewers) {
        self.looks.push(Look { at_s: self.start.elapsed().as_secs_f64(), spent: self.machine.spent(), watching_s: viewers.cpu_s() });
    }

    /// What became of each ballot that was called safe.
    fn safe(&self) -> impl Iterator<Item = &Fate> {
        self.sent.iter().flat_map(|s| s.share.fates.iter().flatten()).filter(|fate| fate.ok > 0)
    }

    fn last_accepted_at(&self) -> Option<Millis> {
        self.safe().map(|fate| self.epoch + Millis::from(fate.accepted)).max()
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

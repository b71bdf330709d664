//! Joining before the vote: everybody gets a pass, as fast as the server hands them out.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tokio::task::LocalSet;
use uuid::Uuid;

use super::client::Target;
use super::crowd::Share;
use super::http1::{ANSWER_BYTES_MAX, exchange, json_value};
use super::line::Line;
use super::meter::Meter;

/// Without a single pass for this long, the server is not there.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries after a failure; spread, so that not all connections come back at once.
const PAUSE_MS: std::ops::Range<u64> = 100..500;

/// Fills the shares, a thread for each. `connections` are all connections together.
pub fn join(target: &Target, code: &str, shares: Vec<Share>, connections: usize, meters: &[Arc<Meter>], stop: &Arc<AtomicBool>) -> anyhow::Result<Vec<Share>> {
    let request: Arc<[u8]> = format!("POST /api/v1/live/{code}/passes HTTP/1.1\r\nhost: {}\r\ncontent-length: 0\r\n\r\n", target.host).into_bytes().into();
    let own = connections.div_ceil(shares.len());
    let threads: Vec<_> = shares
        .into_iter()
        .zip(meters)
        .map(|(share, meter)| {
            let (target, request, meter, stop) = (target.clone(), request.clone(), meter.clone(), stop.clone());
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
                LocalSet::new().block_on(&runtime, fill(target, request, share, own, meter, stop))
            })
        })
        .collect();
    threads.into_iter().map(|t| t.join().expect("the generator does not panic")).collect()
}

struct Joining {
    share: Share,
    /// Passes asked for and not yet here.
    asked: usize,
    progress_at: Instant,
    failure: Option<String>,
}

async fn fill(target: Target, request: Arc<[u8]>, share: Share, connections: usize, meter: Arc<Meter>, stop: Arc<AtomicBool>) -> anyhow::Result<Share> {
    let connections = connections.min(share.wanted());
    let joining = Rc::new(RefCell::new(Joining { share, asked: 0, progress_at: Instant::now(), failure: None }));
    let tasks: Vec<_> = (0..connections)
        .map(|_| tokio::task::spawn_local(one_connection(target.clone(), request.clone(), joining.clone(), meter.clone(), stop.clone())))
        .collect();
    for task in tasks {
        task.await.expect("the generator does not panic");
    }
    let joining = Rc::into_inner(joining).expect("all tasks ended").into_inner();
    if let Some(failure) = joining.failure {
        bail!("nobody can join: {failure}");
    }
    Ok(joining.share)
}

async fn one_connection(target: Target, request: Arc<[u8]>, joining: Rc<RefCell<Joining>>, meter: Arc<Meter>, stop: Arc<AtomicBool>) {
    let mut stream = None;
    let mut buffer = vec![0u8; ANSWER_BYTES_MAX];
    loop {
        {
            let mut joining = joining.borrow_mut();
            if joining.failure.is_some() || stop.load(Ordering::Relaxed) || joining.share.joined() + joining.asked >= joining.share.wanted() {
                return;
            }
            joining.asked += 1;
        }
        let answer = ask(&target, &request, &mut stream, &mut buffer).await;
        let joined = answer.and_then(|(voter, pass)| {
            let fits = joining.borrow_mut().share.join(voter, pass);
            ensure!(fits, "passes of different lengths");
            Ok(())
        });
        joining.borrow_mut().settle(&joined);
        match joined {
            Ok(()) => drop(meter.joined.fetch_add(1, Ordering::Relaxed)),
            Err(_) => {
                stream = None;
                tokio::time::sleep(Duration::from_millis(fastrand::u64(PAUSE_MS))).await;
            }
        }
    }
}

impl Joining {
    fn settle(&mut self, joined: &anyhow::Result<()>) {
        self.asked -= 1;
        match joined {
            Ok(()) => self.progress_at = Instant::now(),
            Err(why) if self.progress_at.elapsed() > PATIENCE => self.failure = Some(format!("{why:#}")),
            Err(_) => {}
        }
    }
}

async fn ask<'a>(target: &Target, request: &[u8], kept: &mut Option<Line>, buffer: &'a mut [u8]) -> anyhow::Result<(Uuid, &'a str)> {
    let stream = match kept {
        Some(stream) => stream,
        None => kept.insert(Line::open(target).await?),
    };
    let (head, body) = tokio::time::timeout(PATIENCE, exchange(stream, request, buffer)).await??;
    ensure!(head.status == 201, "the server answers {} to whoever wants to join", head.status);
    let body = &buffer[body];
    let pass = json_value(body, "pass").context("an answer without a pass")?;
    let voter = json_value(body, "voter").context("an answer without a voter")?.parse().context("a voter that is no uuid")?;
    Ok((voter, pass))
}

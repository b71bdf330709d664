//! What goes wrong: each fault begins, lasts while people vote, and ends. After each, the way of a vote is whole again, or nearly so.

use std::time::{Duration, Instant};

use fastrand::Rng;
use lapin::options::{BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};

use crate::cluster::{Cluster, PATIENCE, SPILLED, until_within};
use crate::door::Door;
use crate::proxy::{Proxy, Weather};
use crate::support::runtime;
use crate::support::syncs::{Syncs, strace_is_there};
use crate::voters::Crowd;

/// Where faults happen.
pub struct Ground<'g> {
    pub cluster: &'g mut Cluster,
    pub crowd: &'g Crowd,
    pub door: &'g Door,
    pub rng: &'g mut Rng,
    /// How long a fault lasts.
    pub seconds: f64,
    /// Messages that nobody can read, put into lanes by hand.
    pub poisons: &'g mut u64,
    /// Why this fault cannot happen here, if so.
    pub not_done: Option<&'static str>,
}

/// What may be expected of the answers meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Costs {
    /// Not one refusal and not one doubt.
    Nothing,
    /// A process died: what was on its way is unknown.
    Doubts,
    /// Somebody said that voting is closed.
    Refusals,
}

pub struct Fault {
    pub name: &'static str,
    pub costs: Costs,
    pub inflict: fn(&mut Ground<'_>),
}

const fn fault(name: &'static str, costs: Costs, inflict: fn(&mut Ground<'_>)) -> Fault {
    Fault { name, costs, inflict }
}

pub const ALL: [Fault; 27] = [
    fault("broker killed and away", Costs::Nothing, broker_killed),
    fault("memory alarm", Costs::Nothing, memory_alarm),
    fault("disk alarm", Costs::Nothing, disk_alarm),
    fault("broker silent", Costs::Nothing, broker_silent),
    fault("broker late", Costs::Nothing, |g| on(g, Cluster::broker_proxies, Weather::Late(Duration::from_millis(200)))),
    fault("broker hears nothing", Costs::Nothing, |g| on(g, Cluster::broker_proxies, Weather::Held { up: true, down: false })),
    fault("broker is not heard", Costs::Nothing, |g| on(g, Cluster::broker_proxies, Weather::Held { up: false, down: true })),
    fault("broker resets", Costs::Nothing, |g| on(g, Cluster::broker_proxies, Weather::Torn)),
    fault("broker in slices", Costs::Nothing, |g| on(g, Cluster::broker_proxies, Weather::Slices)),
    fault("queues deleted", Costs::Nothing, queues_deleted),
    fault("queues full", Costs::Nothing, queues_full),
    fault("spill on a slow disk", Costs::Nothing, slow_disk),
    fault("poison", Costs::Nothing, poison),
    fault("tally killed between commit and ack", Costs::Nothing, tally_killed),
    fault("tally stopped", Costs::Nothing, tally_stopped),
    fault("database killed", Costs::Nothing, database_killed),
    fault("answer to a commit lost", Costs::Nothing, answers_lost),
    fault("database late", Costs::Nothing, |g| on(g, Cluster::database_proxies, Weather::Late(Duration::from_millis(150)))),
    fault("database in slices", Costs::Nothing, |g| on(g, Cluster::database_proxies, Weather::Slices)),
    fault("database unreachable", Costs::Nothing, |g| on(g, Cluster::database_proxies, Weather::Held { up: true, down: true })),
    fault("table locked", Costs::Nothing, table_locked),
    fault("database's disk full", Costs::Nothing, database_full),
    fault("web killed", Costs::Doubts, web_killed),
    fault("web killed between confirm and reply", Costs::Doubts, web_killed_before_its_reply),
    fault("web killed while it spills", Costs::Doubts, web_killed_while_it_spills),
    fault("webs restarted one by one", Costs::Doubts, webs_restarted),
    fault("voting closed and opened again", Costs::Refusals, closed_and_opened_again),
];

fn on(ground: &mut Ground<'_>, proxies: fn(&Cluster) -> Vec<&Proxy>, weather: Weather) {
    proxies(ground.cluster).into_iter().for_each(|proxy| proxy.set(weather));
    ground.crowd.go_on_for(ground.seconds);
    proxies(ground.cluster).into_iter().for_each(|proxy| proxy.set(Weather::Fair));
}

/// A confirm is waited for so long, and then the circuit opens. A machine that does much else may be late, but not by much.
const AWAY_AFTER: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_secs(2);

/// The broker went away a moment ago, and `kept` ballots had been written to the disks before. For as long as the fault lasts.
fn goes_to_disk(ground: &Ground<'_>, kept: f64) {
    let away = Instant::now();
    until_within("votes go to the disk", || ground.cluster.of_webs(SPILLED) > Some(kept));
    let took = away.elapsed();
    assert!(took < AWAY_AFTER + LATE, "votes went to the disk only {took:?} after the broker had gone");
    ground.crowd.go_on_for(ground.seconds);
    // A figure that is set once a second.
    until_within("a circuit is open, and says so", || ground.cluster.of_webs("groundswell_circuit_open_lanes") > Some(0.0));
}

fn kept(cluster: &Cluster) -> f64 {
    let mut kept = None;
    until_within("every web process tells its figures", || {
        kept = cluster.of_webs(SPILLED);
        kept.is_some()
    });
    kept.expect("just seen")
}

fn broker_killed(ground: &mut Ground<'_>) {
    let services = ground.cluster.services;
    let before = kept(ground.cluster);
    services.control(&["kill", "rabbitmq"]);
    goes_to_disk(ground, before);
    services.control(&["restart", "rabbitmq"]);
}

fn memory_alarm(ground: &mut Ground<'_>) {
    alarm(ground, &["set_vm_memory_high_watermark", "0.00001"], &["set_vm_memory_high_watermark", "0.4"]);
}

fn disk_alarm(ground: &mut Ground<'_>) {
    alarm(ground, &["set_disk_free_limit", "1000000000000000"], &["set_disk_free_limit", "50000000"]);
}

/// Nothing more comes in; what is in the queues is counted all the same.
fn alarm(ground: &mut Ground<'_>, begin: &[&str], end: &[&str]) {
    /// Of votes that are nowhere but in the queues when it begins.
    const WAITING_S: f64 = 0.2;
    let received = || ground.door.books()["received"].as_i64().expect("a number");
    ground.cluster.tally_broker.set(Weather::Held { up: true, down: true });
    ground.crowd.go_on_for(WAITING_S);
    let before = kept(ground.cluster);
    ground.cluster.services.rabbitmqctl(begin);
    let counted = received();
    ground.cluster.tally_broker.set(Weather::Fair);
    goes_to_disk(ground, before);
    until_within("counting goes on during the alarm", || received() > counted);
    ground.cluster.services.rabbitmqctl(end);
}

fn broker_silent(ground: &mut Ground<'_>) {
    let before = kept(ground.cluster);
    ground.cluster.services.control(&["pause", "rabbitmq"]);
    goes_to_disk(ground, before);
    ground.cluster.services.control(&["resume", "rabbitmq"]);
}

/// Only empty ones: what an operator deletes with a queue is beyond any promise. So nothing new gets through first, then what is there is
/// counted, and what comes afterwards finds no queue.
fn queues_deleted(ground: &mut Ground<'_>) {
    delete_queues(ground.cluster);
    ground.crowd.go_on_for(ground.seconds);
    start_tallies(ground.cluster);
}

pub fn delete_queues(cluster: &mut Cluster) {
    // All queues are there.
    cluster.until_flowing();
    let hold = |cluster: &Cluster, up: bool| {
        cluster.webs.iter().for_each(|web| web.broker.set(if up { Weather::Held { up: true, down: false } } else { Weather::Fair }))
    };
    hold(cluster, true);
    loop {
        with_broker(cluster, async |channel, prefix| {
            until_lanes(channel, prefix, "all lanes are empty", |left| left.messages == 0).await;
        });
        // Whoever counts gives back what it had in hand, which is there again when the broker knows that it is gone, and not before.
        (0..cluster.tallies.len()).filter(|at| cluster.tallies[*at].is_some()).collect::<Vec<_>>().into_iter().for_each(|at| cluster.stop_tally(at));
        let mut empty = false;
        with_broker(cluster, async |channel, prefix| {
            empty = until_lanes(channel, prefix, "nobody takes any more", |left| left.consumers == 0).await.messages == 0;
        });
        if empty {
            break;
        }
        start_tallies(cluster);
    }
    with_broker(cluster, async |channel, prefix| {
        for lane in 0..groundswell::domain::DEFAULT_LANES {
            let left = channel.queue_purge(queue(prefix, lane).into(), QueuePurgeOptions::default()).await.expect("a queue that is there");
            assert_eq!(left, 0, "messages that we, and nobody else, lose with lane {lane}");
            channel.queue_delete(queue(prefix, lane).into(), QueueDeleteOptions::default()).await.expect("a queue that is there");
        }
    });
    hold(cluster, false);
}

pub fn start_tallies(cluster: &mut Cluster) {
    (0..cluster.tallies.len()).filter(|at| cluster.tallies[*at].is_none()).collect::<Vec<_>>().into_iter().for_each(|at| cluster.start_tally(at));
}

fn queue(prefix: &str, lane: u16) -> String {
    format!("{prefix}.lane.{lane:02}")
}

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What is in all lanes together.
#[derive(Default)]
struct InLanes {
    /// In nobody's hands.
    messages: u32,
    consumers: u32,
}

async fn until_lanes(channel: &Channel, prefix: &str, what: &str, wanted: impl Fn(&InLanes) -> bool) -> InLanes {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(left) = in_lanes(channel, prefix).await.filter(&wanted) {
            return left;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// `None` where a lane takes long to answer: as `queue/rabbit/consume.rs` knows, it then says that it holds nothing.
async fn in_lanes(channel: &Channel, prefix: &str) -> Option<InLanes> {
    const KNOWN_WITHIN: Duration = Duration::from_millis(200);
    let mut all = InLanes::default();
    for lane in 0..groundswell::domain::DEFAULT_LANES {
        let asked = Instant::now();
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let said = channel.queue_declare(queue(prefix, lane).into(), options, FieldTable::default()).await.expect("a queue that is there");
        if asked.elapsed() > KNOWN_WITHIN {
            return None;
        }
        all.messages += said.message_count();
        all.consumers += said.consumer_count();
    }
    Some(all)
}

fn with_broker(cluster: &Cluster, work: impl AsyncFnOnce(&Channel, &str)) {
    runtime().block_on(async {
        let connection = Connection::connect(cluster.services.amqp_url(), ConnectionProperties::default()).await.expect("the broker answers");
        let channel = connection.create_channel().await.expect("a channel");
        work(&channel, &cluster.prefix).await;
        let _ = connection.close(200, "done".into()).await;
    });
}

/// Nobody counts, and a queue that holds one message is full.
fn queues_full(ground: &mut Ground<'_>) {
    let lanes = format!("^{}\\.lane", ground.cluster.prefix);
    ground.cluster.services.rabbitmqctl(&["set_policy", "full", &lanes, r#"{"max-length":1}"#, "--apply-to", "queues"]);
    (0..ground.cluster.tallies.len()).for_each(|at| ground.cluster.stop_tally(at));
    ground.crowd.go_on_for(ground.seconds);
    ground.cluster.services.rabbitmqctl(&["clear_policy", "full"]);
    start_tallies(ground.cluster);
}

/// No broker, and each sync of the spill takes long.
fn slow_disk(ground: &mut Ground<'_>) {
    let longer = Duration::from_millis(ground.rng.u64(30..150));
    let web = &ground.cluster.webs[ground.rng.usize(..ground.cluster.webs.len())];
    let process = web.process.as_ref().expect("it runs").id();
    let Some(strace) = strace_is_there().then(|| Syncs::Take(longer).of(process)).flatten() else {
        ground.not_done = Some("strace is not there, or may not attach");
        return;
    };
    web.broker.set(Weather::Torn);
    ground.crowd.go_on_for(ground.seconds);
    web.broker.set(Weather::Fair);
    drop(strace);
}

fn poison(ground: &mut Ground<'_>) {
    const LARGE_BYTES: usize = 10 << 20;
    let version = br#"{"v":99,"instance":"00000000-0000-0000-0000-000000000001","lane":0,"number":1,"accepted_at":0}"#;
    let salt = ground.rng.u64(..).to_be_bytes();
    let bodies: [Vec<u8>; 3] =
        [[b"\xff\x00{]".as_slice(), &salt].concat(), [version.as_slice(), &salt].concat(), [&salt, vec![b'x'; LARGE_BYTES].as_slice()].concat()];
    ground.cluster.until_flowing();
    *ground.poisons += bodies.len() as u64;
    with_broker(ground.cluster, async |channel, prefix| {
        for (lane, body) in bodies.iter().enumerate() {
            let publish = channel.basic_publish("".into(), queue(prefix, lane as u16).into(), BasicPublishOptions::default(), body, BasicProperties::default());
            publish.await.expect("the broker takes anything").await.expect("and says so");
        }
    });
    ground.crowd.go_on_for(ground.seconds);
    let (services, database, poisons) = (ground.cluster.services, ground.cluster.database.clone(), *ground.poisons);
    until_within("what nobody can read is in quarantine", || services.sql(&database, "select count(*) from quarantine") == poisons.to_string());
}

/// Its acknowledgements do not get through while it commits; then it dies, and another one gets the same batches.
fn tally_killed(ground: &mut Ground<'_>) {
    kill_tallies_before_ack(ground.cluster, ground.door, || ground.crowd.go_on_for(ground.seconds / 2.0));
    ground.crowd.go_on_for(ground.seconds / 2.0);
}

pub fn kill_tallies_before_ack(cluster: &mut Cluster, door: &Door, votes: impl FnOnce()) {
    let before = door.books()["received"].as_i64();
    cluster.tally_broker.set(Weather::Held { up: true, down: false });
    votes();
    until_within("something is committed", || door.books()["received"].as_i64() > before);
    (0..cluster.tallies.len()).for_each(|at| cluster.kill_tally(at));
    // What it had said and nobody had heard is gone with it.
    cluster.tally_broker.set(Weather::Torn);
    start_tallies(cluster);
    cluster.tally_broker.set(Weather::Fair);
}

fn tally_stopped(ground: &mut Ground<'_>) {
    let at = ground.rng.usize(..ground.cluster.tallies.len());
    ground.cluster.stop_tally(at);
    ground.crowd.go_on_for(ground.seconds);
    ground.cluster.start_tally(at);
}

fn database_killed(ground: &mut Ground<'_>) {
    ground.cluster.services.control(&["kill", "postgres"]);
    ground.crowd.go_on_for(ground.seconds);
    ground.cluster.services.control(&["restart", "postgres"]);
}

fn answers_lost(ground: &mut Ground<'_>) {
    ground.cluster.tally_database.lose_answers(4);
    ground.crowd.go_on_for(ground.seconds);
    until_within("commits were sent and not answered", || ground.cluster.tally_database.answers_to_lose() == 0);
}

fn table_locked(ground: &mut Ground<'_>) {
    let (services, database, seconds) = (ground.cluster.services, ground.cluster.database.clone(), ground.seconds);
    std::thread::scope(|scope| {
        scope.spawn(|| services.sql(&database, &format!("begin; lock table ballot, tally in access exclusive mode; select pg_sleep({seconds}); commit")));
        ground.crowd.go_on_for(seconds);
    });
}

fn database_full(ground: &mut Ground<'_>) {
    let Some(ballast) = ground.cluster.services.fill_disk() else {
        ground.not_done = Some("no small disk may be mounted");
        return;
    };
    ground.crowd.go_on_for(ground.seconds);
    drop(ballast);
}

fn web_killed(ground: &mut Ground<'_>) {
    let at = ground.rng.usize(..ground.cluster.webs.len());
    ground.cluster.kill_web(at);
    ground.crowd.go_on_for(ground.seconds / 2.0);
    ground.cluster.start_web(at);
    ground.crowd.go_on_for(ground.seconds / 2.0);
}

/// The broker has confirmed, and nobody hears it: what was on its way counts, and the phones do not know.
fn web_killed_before_its_reply(ground: &mut Ground<'_>) {
    /// Less than a server waits for a confirm.
    const NOT_HEARD_S: f64 = 0.4;
    let at = ground.rng.usize(..ground.cluster.webs.len());
    ground.cluster.webs[at].broker.set(Weather::Held { up: false, down: true });
    ground.crowd.go_on_for(NOT_HEARD_S);
    ground.cluster.kill_web(at);
    ground.cluster.webs[at].broker.set(Weather::Fair);
    ground.cluster.start_web(at);
    ground.crowd.go_on_for(ground.seconds / 2.0);
}

fn web_killed_while_it_spills(ground: &mut Ground<'_>) {
    let at = ground.rng.usize(..ground.cluster.webs.len());
    ground.cluster.webs[at].broker.set(Weather::Torn);
    ground.crowd.go_on_for(ground.seconds / 2.0);
    ground.cluster.kill_web(at);
    ground.cluster.start_web(at);
    ground.crowd.go_on_for(ground.seconds / 2.0);
    ground.cluster.webs[at].broker.set(Weather::Fair);
}

fn webs_restarted(ground: &mut Ground<'_>) {
    for at in 0..ground.cluster.webs.len() {
        ground.cluster.stop_web(at);
        ground.cluster.start_web(at);
        ground.crowd.go_on_for(ground.seconds / 2.0);
    }
}

/// What was accepted before lies on the disks meanwhile, as the broker is gone, too. So nobody can be told for sure that a vote which is sent
/// again does not count: it may be one of those.
fn closed_and_opened_again(ground: &mut Ground<'_>) {
    let Ground { cluster, crowd, door, seconds, .. } = ground;
    let hang_up = |weather: Weather| cluster.broker_proxies().into_iter().for_each(|proxy| proxy.set(weather));
    hang_up(Weather::Torn);
    crowd.while_closed(|| {
        door.set_state("closed");
        let before = crowd.answers();
        until_within("votes are not taken any more", || {
            let now = crowd.answers();
            now.refused + now.unknown > before.refused + before.unknown
        });
        crowd.go_on_for(*seconds / 2.0);
        door.set_state("open");
    });
    crowd.go_on_for(*seconds / 2.0);
    hang_up(Weather::Fair);
}

//! Processor time by process, read from /proc: which part of a rehearsal on one machine was the server's, and which our own. Elsewhere,
//! and for servers that are not on this machine, nothing is known and nothing is guessed.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::SocketAddr;

/// `getconf CLK_TCK` on every Linux there is.
const TICKS_PER_SECOND: f64 = 100.0;
/// What a distributed installation consists of, besides whoever listens: (name of the process, what it is called in a report).
const COMPANIONS: [(&str, &str); 2] = [("beam.smp", "broker"), ("postgres", "postgres")];
/// Another process of the same installation.
const OF_OURS: &str = "groundswell";

/// What a report calls this very process, and all that is neither this nor the server's: a proxy before it, a neighbour.
pub const OURSELVES: &str = "rehearsal";
pub const OTHERS: &str = "others";

/// Seconds of processor time so far, by what a report calls the process.
pub type Spent = BTreeMap<String, f64>;

/// One look at who spent how much so far.
pub struct Look {
    /// Since the moment zero.
    pub at_s: f64,
    pub spent: Spent,
    /// Of ourselves, the thread that watches.
    pub watching_s: f64,
}

/// Where the server runs, as seen from here.
pub struct Machine {
    listener: Option<u32>,
    /// On this machine, and connected with the server: (process, what it is called). A broker that runs beside and is nobody's is not among them.
    companions: Vec<(u32, &'static str)>,
}

impl Machine {
    /// `server` is given where it is on this machine.
    pub fn look(server: Option<SocketAddr>) -> Machine {
        let listener = server.and_then(|server| listener(server.port())).filter(|pid| *pid != std::process::id());
        Machine { listener, companions: listener.map(companions).unwrap_or_default() }
    }

    pub fn sees_the_server(&self) -> bool {
        self.listener.is_some()
    }

    pub fn spent(&self) -> Spent {
        let mut spent = Spent::from([(OURSELVES.to_owned(), of_process(std::process::id()).unwrap_or(0.0))]);
        if let Some(pid) = self.listener {
            spent.insert("server".into(), of_process(pid).unwrap_or(0.0));
        }
        for pid in pids().filter(|_| !self.companions.is_empty()) {
            // A database has a process for each connection, which is a child of the one that listens.
            let is_of = |companion: u32| companion == pid || (parent(pid) == Some(companion) && name(pid) == name(companion));
            if let Some((_, called)) = self.companions.iter().find(|(companion, _)| is_of(*companion)) {
                *spent.entry((*called).to_owned()).or_default() += of_process(pid).unwrap_or(0.0);
            }
        }
        if let Some(all) = of_machine().filter(|_| self.listener.is_some()) {
            let known: f64 = spent.values().sum();
            spent.insert(OTHERS.into(), (all - known).max(0.0));
        }
        spent
    }
}

/// Broker and database that the server is connected with, and other processes that are connected with the same.
fn companions(server: u32) -> Vec<(u32, &'static str)> {
    let table = connections();
    let asked = ports_asked(server, &table);
    let listens = |pid: u32| table.iter().any(|one| one.listens && asked.contains(&one.port) && sockets(pid).contains(&one.inode));
    let mut found = Vec::new();
    for pid in pids().filter(|pid| *pid != server && *pid != std::process::id() && !asked.is_empty()) {
        let Some(comm) = name(pid) else { continue };
        if comm == OF_OURS && !ports_asked(pid, &table).is_disjoint(&asked) {
            found.push((pid, OF_OURS));
        }
        found.extend(COMPANIONS.iter().filter(|(comm_of, _)| *comm_of == comm && listens(pid)).map(|(_, called)| (pid, *called)));
    }
    found
}

/// Ports on this machine that the process is connected to.
fn ports_asked(pid: u32, table: &[Connection]) -> BTreeSet<u16> {
    let sockets = sockets(pid);
    table.iter().filter(|one| !one.listens && sockets.contains(&one.inode)).filter_map(|one| one.asked_here).collect()
}

/// What was spent between two looks. Who spent next to nothing is left out: a database that runs beside, and has no part in this.
pub fn between(before: &Spent, after: &Spent) -> Spent {
    const PART_LEAST: f64 = 0.02;
    let difference = |(name, seconds): (&String, &f64)| (name.clone(), (seconds - before.get(name).copied().unwrap_or(0.0)).max(0.0));
    let mut spent: Spent = after.iter().map(difference).collect();
    let all: f64 = spent.values().sum();
    spent.retain(|_, seconds| *seconds > all * PART_LEAST);
    spent
}

pub fn own_thread_cpu_s() -> f64 {
    std::fs::read_to_string("/proc/thread-self/stat").ok().and_then(|stat| ticks(&stat)).unwrap_or(0.0)
}

/// By which another thread of this process finds the calling one.
pub fn own_thread() -> Option<u32> {
    std::fs::read_link("/proc/thread-self").ok()?.file_name()?.to_str()?.parse().ok()
}

pub fn thread_cpu_s(thread: u32) -> Option<f64> {
    ticks(&std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).ok()?)
}

/// Most memory this process ever held, in bytes.
pub fn own_peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1_024)
}

fn of_process(pid: u32) -> Option<f64> {
    ticks(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Of all processes and the kernel, since the machine began: user, nice, system, then idle and waiting for a disk, which are none, then
/// interrupts.
fn of_machine() -> Option<f64> {
    busy_of_all(&std::fs::read_to_string("/proc/stat").ok()?)
}

fn busy_of_all(stat: &str) -> Option<f64> {
    let fields: Vec<f64> = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().map_while(|f| f.parse().ok()).collect();
    let [user, nice, system, _idle, _disk, hard, soft, ..] = fields[..] else { return None };
    Some((user + nice + system + hard + soft) / TICKS_PER_SECOND)
}

/// The name in parentheses may hold spaces: fields count from behind it. User and system time, with those of ended children.
fn ticks(stat: &str) -> Option<f64> {
    let fields = stat.rsplit(')').next()?.split_whitespace().skip(11).take(4).map(|f| f.parse::<f64>());
    Some(fields.sum::<Result<f64, _>>().ok()? / TICKS_PER_SECOND)
}

fn pids() -> impl Iterator<Item = u32> {
    std::fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn name(pid: u32) -> Option<String> {
    Some(std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned())
}

fn parent(pid: u32) -> Option<u32> {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

/// The process that listens there, as far as we may look.
fn listener(port: u16) -> Option<u32> {
    let inodes: HashSet<u64> = connections().into_iter().filter(|one| one.listens && one.port == port).map(|one| one.inode).collect();
    pids().find(|pid| !inodes.is_empty() && !sockets(*pid).is_disjoint(&inodes))
}

/// The sockets of a process, by inode, as far as we may look.
fn sockets(pid: u32) -> HashSet<u64> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let inode = |link: std::path::PathBuf| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    files.filter_map(|file| std::fs::read_link(file.path()).ok()).filter_map(inode).collect()
}

struct Connection {
    listens: bool,
    /// Our end.
    port: u16,
    /// The other end's, where that is this machine, too.
    asked_here: Option<u16>,
    inode: u64,
}

/// All of TCP on this machine.
fn connections() -> Vec<Connection> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].iter().filter_map(|path| std::fs::read_to_string(path).ok());
    tables.flat_map(|table| table.lines().filter_map(connection).collect::<Vec<_>>()).collect()
}

/// `  0: 0100007F:1F90 00000000:0000 0A …`: address:port in hexadecimal, of both ends; state 0A listens, 01 is connected; the tenth field is the
/// inode.
fn connection(line: &str) -> Option<Connection> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let end = |at: usize| fields.get(at)?.rsplit_once(':').and_then(|(address, port)| Some((address, u16::from_str_radix(port, 16).ok()?)));
    let ((address, port), (other, asked), state) = (end(1)?, end(2)?, *fields.get(3)?);
    let is_here = state == "01" && address == other;
    (state == "0A" || is_here).then_some(())?;
    Some(Connection { listens: state == "0A", port, asked_here: is_here.then_some(asked), inode: fields.get(9)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_listener_is_found_by_its_port() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert_eq!(listener(port), Some(std::process::id()));
        let _line = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let asked = ports_asked(std::process::id(), &connections());
        assert!(asked.contains(&port), "{asked:?}");
    }

    #[test]
    fn a_database_that_nobody_asks_is_not_part_of_it() {
        // One by its name, running beside.
        let directory = tempfile::TempDir::new().unwrap();
        let stranger = directory.path().join("postgres");
        std::fs::copy("/bin/sleep", &stranger).unwrap();
        let mut stranger = std::process::Command::new(stranger).arg("60").spawn().unwrap();
        let (ours, theirs) = (std::process::id(), stranger.id());
        // For a moment a new process has the name of the one it was born of.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while name(theirs).as_deref() != Some("postgres") && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        let (called, found) = (name(theirs), companions(ours));
        let spent = Machine { listener: Some(ours), companions: found }.spent();
        stranger.kill().and_then(|()| stranger.wait()).unwrap();
        assert_eq!(called.as_deref(), Some("postgres"));
        assert_eq!(spent.into_keys().collect::<Vec<_>>(), ["others", "rehearsal", "server"]);
    }

    #[test]
    fn what_nobody_of_ours_spent_is_told_as_well() {
        assert_eq!(busy_of_all("cpu  100 20 30 9000 800 4 6 50 0 0\ncpu0 1 1 1 1 1 1 1 0 0 0\n"), Some(1.6));
        assert_eq!(busy_of_all("cpu  100 20\n"), None);
        let before = of_machine().unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while of_machine().unwrap() <= before && std::time::Instant::now() < deadline {
            std::hint::spin_loop();
        }
        assert!(of_machine().unwrap() > before);
    }

    #[test]
    fn a_thread_is_found_by_another_one() {
        let (told, who) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            told.send(own_thread()).unwrap();
            let _ = ended.recv();
        });
        let other = who.recv().unwrap().unwrap();
        assert!(other != own_thread().unwrap() && thread_cpu_s(other).is_some());
        drop(end);
        thread.join().unwrap();
    }

    #[test]
    fn processor_time_is_read_behind_any_name() {
        assert_eq!(ticks("7 (a b) c) S 1 1 1 0 -1 4194560 1 0 0 0 150 50 10 5 20 0 1 0 1"), Some(2.15));
        assert!(of_process(std::process::id()).is_some() && of_process(u32::MAX).is_none());
    }

    #[test]
    fn only_what_was_spent_is_told() {
        let before = Spent::from([("server".into(), 1.0), ("broker".into(), 2.0)]);
        let after = Spent::from([("server".into(), 3.5), ("broker".into(), 2.01), ("postgres".into(), 1.0)]);
        assert_eq!(between(&before, &after), Spent::from([("server".into(), 2.5), ("postgres".into(), 1.0)]));
    }
}

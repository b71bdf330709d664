//! Processor time by process, read from /proc: which part of a rehearsal on one machine was the server's, and which our own. Elsewhere,
//! and for servers that are not on this machine, nothing is known and nothing is guessed.

use std::collections::BTreeMap;
use std::net::SocketAddr;

/// `getconf CLK_TCK` on every Linux there is.
const TICKS_PER_SECOND: f64 = 100.0;
/// What a distributed installation consists of, besides whoever listens: (name of the process, what it is called in a report).
const COMPANIONS: [(&str, &str); 3] = [("groundswell", "groundswell"), ("beam.smp", "broker"), ("postgres", "postgres")];

/// What a report calls this very process.
pub const OURSELVES: &str = "rehearsal";

/// Seconds of processor time so far, by what a report calls the process.
pub type Spent = BTreeMap<String, f64>;

/// Where the server runs, as seen from here.
pub struct Machine {
    listener: Option<u32>,
    /// The server is on this machine, and so, perhaps, are its companions.
    here: bool,
}

impl Machine {
    /// `server` is given where it is on this machine.
    pub fn look(server: Option<SocketAddr>) -> Machine {
        Machine { listener: server.and_then(listener).filter(|pid| *pid != std::process::id()), here: server.is_some() }
    }

    pub fn sees_the_server(&self) -> bool {
        self.listener.is_some()
    }

    pub fn spent(&self) -> Spent {
        let mut spent = Spent::from([(OURSELVES.to_owned(), of_process(std::process::id()).unwrap_or(0.0))]);
        if let Some(pid) = self.listener {
            spent.insert("server".into(), of_process(pid).unwrap_or(0.0));
        }
        for pid in pids().filter(|pid| self.here && Some(*pid) != self.listener && *pid != std::process::id()) {
            let Ok(comm) = std::fs::read_to_string(format!("/proc/{pid}/comm")) else { continue };
            if let Some((_, name)) = COMPANIONS.iter().find(|(comm_of, _)| *comm_of == comm.trim()) {
                *spent.entry((*name).to_owned()).or_default() += of_process(pid).unwrap_or(0.0);
            }
        }
        spent
    }
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

/// Most memory this process ever held, in bytes.
pub fn own_peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1_024)
}

fn of_process(pid: u32) -> Option<f64> {
    ticks(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name in parentheses may hold spaces: fields count from behind it. User and system time, with those of ended children.
fn ticks(stat: &str) -> Option<f64> {
    let fields = stat.rsplit(')').next()?.split_whitespace().skip(11).take(4).map(|f| f.parse::<f64>());
    Some(fields.sum::<Result<f64, _>>().ok()? / TICKS_PER_SECOND)
}

fn pids() -> impl Iterator<Item = u32> {
    std::fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The process that listens there, as far as we may look.
fn listener(server: SocketAddr) -> Option<u32> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .flat_map(|table| table.lines().filter_map(|line| listening_inode(line, server.port())).collect::<Vec<_>>())
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let sockets: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    pids().find(|pid| {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files.filter_map(|file| std::fs::read_link(file.path()).ok()).any(|link| link.to_str().is_some_and(|link| sockets.iter().any(|s| s == link)))
    })
}

/// `  0: 0100007F:1F90 00000000:0000 0A …`: address:port in hexadecimal, state 0A listens, the tenth field is the inode.
fn listening_inode(line: &str, port: u16) -> Option<String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    let listens = *state == "0A" && u16::from_str_radix(local.rsplit(':').next()?, 16).ok()? == port;
    listens.then(|| (*inode).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_listener_is_found_by_its_port() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(listener(socket.local_addr().unwrap()), Some(std::process::id()));
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

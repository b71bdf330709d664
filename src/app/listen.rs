//! Where this process listens, and under which address it is reached.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use anyhow::Context;
use tokio::net::TcpSocket;

/// Connections the kernel holds for us while a crowd arrives; it may hold fewer (`net.core.somaxconn`).
const BACKLOG: u32 = 8_192;

pub fn listen(host: IpAddr, port: u16, setting: &str) -> anyhow::Result<std::net::TcpListener> {
    let address = SocketAddr::new(host, port);
    let open = || {
        let socket = if host.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A restart need not wait for the connections of the process before it.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        // Not the standard library's listener: it holds 128 connections while a crowd arrives, whatever actix is told.
        socket.listen(BACKLOG)?.into_std()
    };
    open().with_context(|| format!("{setting}: cannot listen on {address}; is it in use?"))
}

/// An address that other machines reach, for the join link: the one this machine would use towards the outside. Nothing is sent.
pub fn reachable(host: IpAddr) -> IpAddr {
    if !host.is_unspecified() {
        return host;
    }
    let outward = || {
        let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
        // TEST-NET-1: never routed. Connecting a UDP socket only asks the routing table.
        socket.connect("192.0.2.1:9").ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    outward().unwrap_or(local(host))
}

pub fn local(host: IpAddr) -> IpAddr {
    if host.is_unspecified() { IpAddr::from([127, 0, 0, 1]) } else { host }
}

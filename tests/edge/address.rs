//! Whose address is it? The one that the edge sees, whatever the client writes.

use std::net::SocketAddr;

use crate::client::Line;
use crate::edge::{Edge, Kind};
use crate::hall::Hall;
use crate::relay::Relay;
use crate::support::Backend;
use crate::{on_each_edge, with_nginx};

on_each_edge![an_address_that_a_client_makes_up_does_not_pass_the_edge];
with_nginx![a_neighbour_does_not_pay_for_another];

/// Of wrong codes, one address has 60 a minute.
const TRIES: usize = 75;

fn an_address_that_a_client_makes_up_does_not_pass_the_edge(kind: Kind) {
    let hall = Hall::open_with(Backend::Embedded, &["--trusted-proxies", "127.0.0.1"]);
    let relay = Relay::before(hall.address);
    let edge = kind.before(relay.address);
    let mut line = Line::at(edge.address);
    let limited = (0..TRIES).any(|n| {
        let (one, another) = (format!("10.0.{n}.1"), format!("for=10.1.{n}.1;proto=https;host=gotcha"));
        let headers = [
            ("x-forwarded-for", one.as_str()),
            ("X-FORWARDED-FOR", "10.9.9.9, 127.0.0.1"),
            ("forwarded", another.as_str()),
            ("x-real-ip", one.as_str()),
            ("x_forwarded_for", one.as_str()),
            ("true-client-ip", one.as_str()),
            ("cf-connecting-ip", one.as_str()),
        ];
        // In both ways through: kept documents and what is passed on.
        let path = if n % 2 == 0 { format!("/api/v1/live/{}", 100_000 + n) } else { format!("/api/v1/live/{}/stream", 100_000 + n) };
        let answer = line.ask("GET", &path, &headers, None);
        if answer.header("connection") == Some("close") {
            line = Line::at(edge.address);
        }
        answer.status == 429
    });
    assert!(limited, "who makes up addresses is one client all the same");
    for asked in relay.asked() {
        let said: Vec<&str> = asked.head.lines().filter(|l| l.to_lowercase().contains("forwarded-for")).collect();
        assert_eq!(said, ["X-Forwarded-For: 127.0.0.1"], "{}", asked.head);
        assert!(!asked.head.contains("gotcha") && !asked.head.to_lowercase().contains("x-real-ip"), "{}", asked.head);
    }
}

fn a_neighbour_does_not_pay_for_another() {
    let hall = Hall::open_with(Backend::Embedded, &["--trusted-proxies", "127.0.0.1"]);
    let edge = Edge::before(&[hall.address]);
    let wrong = |from: &str, n: usize| {
        // On Linux, this machine is all of 127.0.0.0/8.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&from.parse::<SocketAddr>().expect("an address").into()).expect("it is ours");
        socket.connect(&edge.address.into()).expect("the edge takes it");
        Line::on(socket.into()).expect("a connection").ask("GET", &format!("/api/v1/live/{}", 200_000 + n), &[], None).status
    };
    assert!((0..TRIES).any(|n| wrong("127.0.0.2:0", n) == 429), "the origin counts by the address that the edge saw");
    assert_eq!(wrong("127.0.0.3:0", 0), 404, "the neighbour has tries of their own");
}

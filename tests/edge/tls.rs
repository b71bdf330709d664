//! TLS at the edge: whoever comes without is led to where it is.

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::edge::Edge;
use crate::support::services_are_there;
use crate::with_nginx;

with_nginx![without_tls_people_are_led_to_the_port_where_it_is];

fn without_tls_people_are_led_to_the_port_where_it_is() {
    let Some(certificate) = certificate() else { return };
    let led_to = |port: Option<&str>| {
        let edge = Edge::set_up(&[free()], &|command| {
            command.env("EDGE_TLS", certificate.path()).env("LISTEN_TLS", free().to_string());
            match port {
                Some(port) => command.env("TLS_PORT", port),
                None => command.env_remove("TLS_PORT"),
            };
        });
        edge.get("/482913?lang=de").expect(308).header("location").expect("where to").to_owned()
    };
    assert_eq!(led_to(None), "https://127.0.0.1/482913?lang=de");
    assert_eq!(led_to(Some("443")), "https://127.0.0.1/482913?lang=de");
    assert_eq!(led_to(Some("8443")), "https://127.0.0.1:8443/482913?lang=de");
    // As compose takes it, with the address that it is bound to.
    assert_eq!(led_to(Some("10.0.0.5:8443")), "https://127.0.0.1:8443/482913?lang=de");
}

/// Where all tests are run, there is an openssl too.
fn certificate() -> Option<TempDir> {
    let directory = TempDir::new().expect("a directory");
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-subj", "/CN=localhost"])
        .args(["-keyout", "privkey.pem", "-out", "fullchain.pem"])
        .current_dir(directory.path())
        .stderr(Stdio::null())
        .status();
    if made.is_err() {
        assert!(!services_are_there(), "services are there for all tests, and openssl is not");
        eprintln!("not run: there is no openssl");
        return None;
    }
    assert!(made.is_ok_and(|end| end.success()), "openssl makes a certificate");
    Some(directory)
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

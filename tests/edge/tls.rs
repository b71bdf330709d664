//! TLS at the edge: whoever comes without is led to where it is, and a rehearsal comes through it as phones do.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::edge::Edge;
use crate::hall::Hall;
use crate::process::{command, run};
use crate::support::{Backend, not_run};
use crate::with_nginx;

with_nginx![without_tls_people_are_led_to_the_port_where_it_is, a_port_alone_is_open_to_both_families, a_rehearsal_comes_through_tls_and_trusts_no_stranger];

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

fn a_port_alone_is_open_to_both_families() {
    if TcpListener::bind("[::1]:0").is_err() {
        // The kernel's choice, and nothing that could be installed: no reason to fail where all tests are run.
        eprintln!("not run: this machine does not speak IPv6");
        return;
    }
    let Some(certificate) = certificate() else { return };
    let port = free().port();
    let edge = Edge::set_up(&[free()], &|command| {
        command.env("EDGE_TLS", certificate.path()).env("LISTEN_TLS", port.to_string());
    });
    for family in ["127.0.0.1", "::1"] {
        TcpStream::connect((family, port)).expect(family);
    }
    assert!(TcpStream::connect(("::1", edge.address.port())).is_err(), "an address is itself alone");
}

fn a_rehearsal_comes_through_tls_and_trusts_no_stranger() {
    let Some(certificate) = certificate() else { return };
    let hall = Hall::open_with(Backend::Embedded, &["--trusted-proxies", "127.0.0.1"]);
    let port = free();
    let _edge = Edge::set_up(&[hall.address], &|command| {
        command.env("EDGE_TLS", certificate.path()).env("LISTEN_TLS", port.to_string());
    });
    let url = format!("https://{port}");
    let rehearse = |trusted: &str| {
        let args = ["rehearse", "--url", &url, "--voters", "200", "--over", "300ms", "--viewers", "5", "--connections", "20", "--report", "report"];
        run(command(certificate.path(), &args).env("SSL_CERT_FILE", certificate.path().join(trusted)))
    };
    let done = rehearse("fullchain.pem");
    let said = [done.stdout, done.stderr].map(|text| String::from_utf8(text).expect("text"));
    assert!(done.status.success(), "{said:?}");
    assert!(said[0].contains("accepted    2") && said[0].contains("lost 0 "), "{said:?}");
    assert!(said[0].contains(" 5 watching"), "{said:?}");

    let stranger = self::certificate().expect("there was one before");
    let refused = rehearse(stranger.path().join("fullchain.pem").to_str().expect("text"));
    let said = String::from_utf8(refused.stderr).expect("text");
    assert!(!refused.status.success() && said.contains("invalid peer certificate") && said.contains("SSL_CERT_FILE"), "{said}");
}

/// Where all tests are run, there is an openssl too.
fn certificate() -> Option<TempDir> {
    let directory = TempDir::new().expect("a directory");
    // Of a server, not of an authority, which openssl makes by default: who checks names and purposes takes no other.
    std::fs::write(
        directory.path().join("its.conf"),
        "[req]\ndistinguished_name=name\nx509_extensions=end\n[name]\n[end]\nbasicConstraints=critical,CA:FALSE\nsubjectAltName=IP:127.0.0.1\n",
    )
    .expect("it is ours");
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=localhost",
            "-config",
            "its.conf",
        ])
        .args(["-keyout", "privkey.pem", "-out", "fullchain.pem"])
        .current_dir(directory.path())
        .stderr(Stdio::null())
        .status();
    if made.is_err() {
        not_run("there is no openssl");
        return None;
    }
    assert!(made.is_ok_and(|end| end.success()), "openssl makes a certificate");
    Some(directory)
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

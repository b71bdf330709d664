//! A connection to the server under load: plain, or through the TLS of the edge before it, as a phone comes. HTTP/1.1 inside either way.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::ensure;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::client::Target;

/// With the handshake: a phone would have given up by then.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

pub enum Line {
    Plain(TcpStream),
    /// Boxed: it is a hundred times as large, and the thousands of a rehearsal are mostly plain.
    Tls(Box<TlsStream<TcpStream>>),
}

/// How to come in where the address says https.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tls({:?})", self.name)
    }
}

impl Tls {
    /// For a host as it stands in an address.
    pub fn to(host: &str) -> anyhow::Result<Tls> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        ensure!(
            !roots.is_empty(),
            "this machine trusts no authority, so no certificate can be checked: install ca-certificates, or name a file of them in SSL_CERT_FILE"
        );
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Each phone is new to the edge: a handshake costs it what it will cost that evening.
        config.resumption = Resumption::disabled();
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
        Ok(Tls { connector: TlsConnector::from(Arc::new(config)), name })
    }
}

impl Line {
    pub async fn open(target: &Target) -> io::Result<Line> {
        tokio::time::timeout(CONNECT_WITHIN, Line::open_in_time(target)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn open_in_time(target: &Target) -> io::Result<Line> {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &target.tls else { return Ok(Line::Plain(stream)) };
        let opened = tls.connector.connect(tls.name.clone(), stream).await;
        opened.map(|stream| Line::Tls(Box::new(stream))).map_err(|why| match why.kind() {
            io::ErrorKind::InvalidData => {
                io::Error::new(why.kind(), format!("no TLS with {}: {why}; an authority of your own is named with SSL_CERT_FILE", target.host))
            }
            _ => why,
        })
    }
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Line::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Line::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Line::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Line::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Line::Plain(stream) => Pin::new(stream).poll_flush(context),
            Line::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Line::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Line::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

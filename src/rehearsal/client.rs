//! The back office as seen from outside: one request per connection, for the few calls around a rehearsal.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::http1::{Chunks, Head, broken};
use super::line::{Line, Tls};

/// Removing a million ballots takes its time; everything else is answered at once.
const ANSWER_WITHIN: Duration = Duration::from_secs(300);
/// Of an answer that is held in memory. Tables are read as a stream.
const BODY_BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// A server under load, by the address that was typed.
#[derive(Clone, Debug)]
pub struct Target {
    pub address: SocketAddr,
    /// For the Host line.
    pub host: String,
    /// Where the address says https.
    pub tls: Option<Tls>,
}

impl Target {
    /// `http://host[:port]`, or `https://…` through the edge's TLS.
    pub async fn resolve(url: &str) -> anyhow::Result<Target> {
        let (scheme, rest) = url.trim_end_matches('/').split_once("://").unwrap_or_default();
        let port = match scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        let told = port.zip(Some(rest).filter(|h| !h.is_empty() && !h.contains(['/', '?', '#', '@', ' '])));
        let (port, host) = told.with_context(|| format!("--url {url}: give http:// or https:// and a host, such as http://127.0.0.1:8080"))?;
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) && !host.ends_with(']');
        let with_port = if has_port { host.to_owned() } else { format!("{host}:{port}") };
        let mut found = tokio::net::lookup_host(&with_port).await.with_context(|| format!("--url {url}: the host is not known"))?;
        // One address for all voters; IPv4 first, because that is what `localhost` listens on by default.
        let addresses: Vec<SocketAddr> = found.by_ref().collect();
        let address = addresses.iter().find(|a| a.is_ipv4()).or(addresses.first()).with_context(|| format!("--url {url}: the host has no address"))?;
        let name = if has_port { host.rsplit_once(':').expect("it has a port").0 } else { host };
        let tls = if scheme == "https" { Some(Tls::to(name).with_context(|| format!("--url {url}"))?) } else { None };
        Ok(Target { address: *address, host: host.to_owned(), tls })
    }

    pub fn is_loopback(&self) -> bool {
        match self.address.ip() {
            IpAddr::V4(ip) => ip.is_loopback(),
            IpAddr::V6(ip) => ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback()),
        }
    }
}

/// The back office with a token.
#[derive(Clone)]
pub struct Client {
    pub target: Target,
    /// `None` for what needs none.
    token: Option<String>,
}

impl Client {
    pub fn new(target: Target, token: Option<String>) -> Client {
        Client { target, token }
    }

    /// A call that must succeed with JSON (or with nothing, which is `null`).
    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let (status, text) = self.text(method, path, body).await?;
        let said: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if !(200..300).contains(&status) {
            let why = said["detail"].as_str().unwrap_or("it does not say why");
            bail!("{method} {path}: the server answers {status}: {why}");
        }
        Ok(said)
    }

    /// Status and whole body.
    pub async fn text(&self, method: &str, path: &str, body: Option<Value>) -> anyhow::Result<(u16, String)> {
        let mut all = Vec::new();
        let status = self
            .stream(method, path, body, |bytes| {
                all.extend_from_slice(bytes);
                if all.len() <= BODY_BYTES_MAX { Ok(()) } else { Err(io::Error::other("the answer is longer than 16 MiB")) }
            })
            .await?;
        Ok((status, String::from_utf8(all).context("the answer is not text")?))
    }

    /// Hands the body on as it comes, and fails if its end is missing.
    pub async fn stream(&self, method: &str, path: &str, body: Option<Value>, take: impl FnMut(&[u8]) -> io::Result<()>) -> anyhow::Result<u16> {
        let asked = self.ask(method, path, body, take);
        tokio::time::timeout(ANSWER_WITHIN, asked)
            .await
            .with_context(|| format!("{method} {path}: no answer within {ANSWER_WITHIN:?}"))?
            .with_context(|| format!("{method} {path}"))
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> anyhow::Result<u16> {
        let mut stream = Line::open(&self.target).await?;
        let body = body.map(|b| b.to_string()).unwrap_or_default();
        let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
        let (host, length) = (&self.target.host, body.len());
        let token = self.token.as_ref().map(|t| format!("authorization: Bearer {t}\r\n")).unwrap_or_default();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{token}{kind}content-length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        let mut buffer = vec![0u8; 64 * 1_024];
        let (mut filled, head) = (0usize, &mut None::<Head>);
        while head.is_none() {
            let read = stream.read(&mut buffer[filled..]).await?;
            ensure!(read > 0, "the server closed the connection without an answer");
            filled += read;
            *head = Head::parse(&buffer[..filled])?;
        }
        let head = head.expect("the loop ended");
        let mut body = Body { chunks: head.chunked.then(Chunks::default), left: head.length, decoded: Vec::new() };
        body.take(&buffer[head.bytes..filled], &mut take)?;
        while !body.ended() {
            let read = stream.read(&mut buffer).await?;
            if read == 0 {
                ensure!(body.chunks.is_none() && body.left.is_none(), "the answer broke off before its end");
                break;
            }
            body.take(&buffer[..read], &mut take)?;
        }
        Ok(head.status)
    }
}

/// A body on its way in.
struct Body {
    chunks: Option<Chunks>,
    left: Option<usize>,
    decoded: Vec<u8>,
}

impl Body {
    fn take(&mut self, bytes: &[u8], take: &mut impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        if let Some(chunks) = &mut self.chunks {
            self.decoded.clear();
            chunks.feed(bytes, &mut self.decoded)?;
            return take(&self.decoded);
        }
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(bytes.len()).ok_or_else(broken)?;
        }
        take(bytes)
    }

    fn ended(&self) -> bool {
        self.chunks.as_ref().map_or(self.left == Some(0), Chunks::ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_is_understood_or_named() {
        let target = Target::resolve("http://127.0.0.1:8080/").await.unwrap();
        assert_eq!((target.address.to_string(), target.is_loopback()), ("127.0.0.1:8080".to_owned(), true));
        assert!(Target::resolve("http://[::1]:8080").await.unwrap().is_loopback());
        assert!(!Target::resolve("http://192.0.2.1").await.unwrap().is_loopback());
        for wrong in ["", "127.0.0.1:8080", "ftp://127.0.0.1", "https://", "http://", "http://a/b", "http://u@h"] {
            let refused = Target::resolve(wrong).await.unwrap_err().to_string();
            assert!(refused.contains("--url"), "{wrong}: {refused}");
        }
    }
}

//! `headers.json` of the exported app: which file is which address, and the headers it must be sent with.

use std::collections::BTreeMap;

use serde::Serialize;

#[derive(Serialize)]
pub struct Manifest<'a> {
    pub version: &'static str,
    /// Where the pages ask; `null` is the host they come from.
    pub origin: Option<&'a str>,
    pub files: Vec<File>,
    /// Which addresses go to the servers, tried before all others; `*` is anything.
    pub servers: &'a [&'static str],
    /// In this order; `*` is anything.
    pub rewrites: Vec<Rewrite>,
}

#[derive(Serialize)]
pub struct File {
    pub address: String,
    pub file: String,
    /// The same compressed with brotli, to be sent with `Content-Encoding: br`.
    pub br: String,
    pub gzip: String,
    pub headers: BTreeMap<String, String>,
}

#[derive(Serialize)]
pub struct Rewrite {
    pub from: &'static str,
    pub to: String,
}

//! The app as files, for a CDN or a bucket: what this server would answer, byte for byte, with the headers it would send written down beside.
//! With another origin for the calls, the audience's pages alone, since the back office works by cookie.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use super::SECURITY_HEADERS;
use super::assets::{ASSET_CACHE, Asset, PAGE_CACHE, WORKER, WORKER_CACHE, assets, policy_of};
use crate::wire::bundle::{File, Manifest, Rewrite};

/// Which page is which file, and for which addresses it stands.
struct Page {
    asset: &'static str,
    file: &'static str,
    from: &'static [&'static str],
    /// Other people's pages may frame it.
    framed: bool,
    /// Works without a cookie.
    audience: bool,
}

/// Where people vote.
const AUDIENCE: &str = "/vote/index.html";

/// In the order in which addresses are to be tried; `*` is anything.
const PAGES: [Page; 5] = [
    Page { asset: "/overlay/index.html", file: "overlay/index.html", from: &["/overlay/*"], framed: true, audience: true },
    Page { asset: "/overlay/index.html", file: "embed/index.html", from: &["/embed/*"], framed: true, audience: true },
    Page { asset: "/admin/index.html", file: "admin/index.html", from: &["/admin", "/admin/*"], framed: false, audience: false },
    Page { asset: "/present/index.html", file: "present/index.html", from: &["/present/*"], framed: false, audience: false },
    // A code or a short name: whatever is left.
    Page { asset: AUDIENCE, file: "index.html", from: &["/", "/*"], framed: false, audience: true },
];

/// What no file can answer. A logo is one of them although its address begins as those of files do: it is in the store.
const OF_SERVERS: [&str; 8] = ["/api/*", "/assets/logos/*", "/results/*", "/poster/*", "/oembed", "/status", "/livez", "/readyz"];

pub const MANIFEST: &str = "headers.json";

/// What was written.
pub struct Bundle {
    pub files: usize,
    pub bytes: u64,
}

/// Writes over what is there and removes nothing: a page that somebody still has open finds its files.
pub fn write(directory: &Path, origin: Option<&str>) -> io::Result<Bundle> {
    let mut written = Writer { directory, files: Vec::new(), count: 0, bytes: 0 };
    for asset in assets().iter().filter(|a| !a.named || a.url == WORKER) {
        let file = asset.url.trim_start_matches('/');
        let cache = if asset.named { WORKER_CACHE } else { ASSET_CACHE };
        written.add(file, asset.url, &Bodies::of(asset), headers(asset, cache, &policy(asset, false, None)))?;
    }
    let mut rewrites = Vec::new();
    for page in PAGES.iter().filter(|page| page.audience || origin.is_none()) {
        let asset = assets().iter().find(|a| a.url == page.asset).expect("all pages are embedded");
        let bodies = origin.map_or_else(|| Ok(Bodies::of(asset)), |origin| Bodies::asking(asset, origin))?;
        let address = format!("/{}", page.file);
        written.add(page.file, &address, &bodies, headers(asset, PAGE_CACHE, &policy(asset, page.framed, origin)))?;
        rewrites.extend(page.from.iter().map(|from| Rewrite { from, to: address.clone() }));
    }
    // With another origin for the calls, nothing has to be passed on.
    let servers: &[&str] = if origin.is_none() { &OF_SERVERS } else { &[] };
    let manifest = Manifest { version: env!("CARGO_PKG_VERSION"), origin, files: std::mem::take(&mut written.files), servers, rewrites };
    let text = serde_json::to_vec_pretty(&manifest).expect("strings can be written");
    written.put(MANIFEST, &text)?;
    Ok(Bundle { files: written.count, bytes: written.bytes })
}

/// One file in its three forms.
struct Bodies {
    plain: Cow<'static, [u8]>,
    brotli: Cow<'static, [u8]>,
    gzip: Cow<'static, [u8]>,
}

impl Bodies {
    fn of(asset: &'static Asset) -> Bodies {
        Bodies { plain: asset.plain.into(), brotli: asset.brotli.into(), gzip: asset.gzip.into() }
    }

    /// A page whose scripts ask this origin: they read it from the page (`meta name="api"`). The audience's has one script more, which says so
    /// where that origin does not know the site.
    fn asking(asset: &Asset, origin: &str) -> io::Result<Bodies> {
        const BEGINNING: &str = "<meta charset=\"utf-8\">";
        const END: &str = "</head>";
        let page = std::str::from_utf8(asset.plain).expect("pages are UTF-8");
        assert!(page.contains(BEGINNING), "{} does not begin as pages do", asset.url);
        // An origin is letters, digits and a few marks: nothing that could end the attribute.
        let mut page = page.replacen(BEGINNING, &format!("{BEGINNING}\n<meta name=\"api\" content=\"{origin}\">"), 1);
        if asset.url == AUDIENCE {
            let script = assets().iter().find(|a| a.url.starts_with("/assets/vote/elsewhere.")).expect("it is embedded").url;
            page = page.replacen(END, &format!("<script type=\"module\" src=\"{script}\"></script>\n{END}"), 1);
        }
        let page = page.into_bytes();
        let mut brotli = Vec::new();
        let parameters = brotli::enc::BrotliEncoderParams { quality: 11, lgwin: 22, ..Default::default() };
        brotli::BrotliCompress(&mut page.as_slice(), &mut brotli, &parameters)?;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&page)?;
        Ok(Bodies { gzip: gzip.finish()?.into(), brotli: brotli.into(), plain: page.into() })
    }
}

fn policy(asset: &Asset, framed: bool, origin: Option<&str>) -> String {
    let policy = policy_of(asset);
    let policy = if framed { policy.replace("frame-ancestors 'none'", "frame-ancestors *") } else { policy };
    // Calls, and the event's logo.
    origin.into_iter().fold(policy, |policy, origin| {
        ["connect-src 'self'", "img-src 'self'"].iter().fold(policy, |policy, own| policy.replace(own, &format!("{own} {origin}")))
    })
}

fn headers(asset: &Asset, cache: &str, policy: &str) -> BTreeMap<String, String> {
    let own = [("content-type", asset.content_type), ("cache-control", cache), ("vary", "Accept-Encoding")];
    let mut headers: BTreeMap<String, String> = own.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    for (name, value) in &SECURITY_HEADERS {
        headers.insert(name.to_string(), value.to_str().expect("ours are ASCII").to_owned());
    }
    headers.insert("content-security-policy".into(), policy.to_owned());
    headers
}

struct Writer<'a> {
    directory: &'a Path,
    files: Vec<File>,
    count: usize,
    bytes: u64,
}

impl Writer<'_> {
    fn add(&mut self, file: &str, address: &str, bodies: &Bodies, headers: BTreeMap<String, String>) -> io::Result<()> {
        let (brotli, gzip) = (format!("{file}.br"), format!("{file}.gz"));
        self.put(file, &bodies.plain)?;
        self.put(&brotli, &bodies.brotli)?;
        self.put(&gzip, &bodies.gzip)?;
        self.files.push(File { address: address.to_owned(), file: file.to_owned(), br: brotli, gzip, headers });
        Ok(())
    }

    fn put(&mut self, file: &str, body: &[u8]) -> io::Result<()> {
        let path = self.directory.join(file);
        std::fs::create_dir_all(path.parent().expect("below the directory"))?;
        std::fs::write(&path, body).map_err(|why| io::Error::new(why.kind(), format!("{}: {why}", path.display())))?;
        self.count += 1;
        self.bytes += body.len() as u64;
        Ok(())
    }
}

//! Routes, extractors, pages, problem+json. A handler parses, decides, acts and answers. No SQL, no lapin, no rules of voting.

mod address;
mod assets;
mod audience;
mod body;
mod bundle;
mod card;
mod door;
mod export;
mod guard;
mod heads;
mod health;
mod limits;
mod line;
mod logo;
mod noted;
mod office;
mod ops;
mod pages;
mod pass;
mod phrases;
mod picture;
mod plain;
mod pressure;
mod problem;
mod recent;
mod rehearsals;
mod reply;
mod seat;
mod sessions;
mod sharing;
mod site;
mod stands;
mod stream;
mod talk;
mod traffic;
mod voting;
mod workbook;

pub use address::TrustedProxies;
pub use assets::{Asset, assets};
pub use bundle::{Bundle, write as write_bundle};
pub use door::serve;
pub use guard::SWEEP_EVERY;
pub use health::watch_health;
pub use limits::{Budget, Limits, SESSIONS_EVERY, Wanted};
pub use ops::metrics_routes;
pub use pass::PassKey;
pub use sessions::{PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN, hash_password_now, set_password, sha256};
pub use sharing::AllowedOrigins;
pub use site::{Shared, Site, SiteSettings, chance, secret_bytes};
use voting::votes_first;

use std::sync::LazyLock;

use actix_web::http::header::{CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, PERMISSIONS_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use actix_web::middleware::DefaultHeaders;
use actix_web::web::{self, QueryConfig, ServiceConfig};

use crate::error::Error;

/// Pages load nothing that is not ours.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; manifest-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Sent with every answer, errors included.
static SECURITY_HEADERS: [(HeaderName, HeaderValue); 4] = [
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static(CSP)),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (PERMISSIONS_POLICY, HeaderValue::from_static("camera=(), microphone=(), geolocation=()")),
];

/// The same as lines, for answers that are written by hand.
static SECURITY_LINES: LazyLock<String> =
    LazyLock::new(|| SECURITY_HEADERS.iter().map(|(name, value)| format!("{name}: {}\r\n", value.to_str().expect("ours are ASCII"))).collect());

fn security_headers() -> DefaultHeaders {
    SECURITY_HEADERS.iter().cloned().fold(DefaultHeaders::new(), DefaultHeaders::add)
}

/// All routes of the public listener.
fn routes(config: &mut ServiceConfig) {
    let query_invalid = || Error::invalid("query_invalid", "What stands behind the question mark is not what this address takes.");
    config
        .app_data(QueryConfig::default().error_handler(move |_, _| query_invalid().into()))
        .service(voting::routed)
        .service(audience::mine)
        .service(audience::document)
        .service(audience::document_stream)
        .service(audience::qr)
        .service(audience::mint)
        .configure(office::routes)
        .service(export::results_csv)
        .service(workbook::of_poll)
        .service(workbook::of_event)
        .service(rehearsals::keep)
        .service(rehearsals::list)
        .service(rehearsals::show)
        .service(logo::set)
        .service(logo::take_away)
        .service(logo::show)
        .service(ops::livez)
        .service(ops::readyz)
        .service(ops::status)
        .service(assets::embedded_file)
        .service(assets::service_worker)
        .service(pages::results_page)
        .service(picture::result_picture)
        .service(export::shown_csv)
        .service(pages::poster_page)
        .service(pages::overlay_page)
        .service(pages::embed_page)
        .service(pages::oembed_answer)
        .configure(assets::pages)
        .default_service(web::to(problem::unknown_address));
}

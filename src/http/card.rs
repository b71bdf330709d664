//! What a messenger shows when somebody pastes a join link: the event's title and a picture. The page people get is the same for every
//! code, so that caches and phones keep one; who only makes previews gets this instead, and nothing keeps it.

use actix_web::http::header::{ACCEPT_LANGUAGE, CACHE_CONTROL, USER_AGENT};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::audience::NO_STORE;
use super::pages::{asset, card_of, host_of, oembed_of, shown, spaced};
use super::phrases::{Phrases, phrases};
use super::site::Site;
use crate::error::{Error, Result};
use crate::wire::shown::Shown;

#[derive(Template)]
#[template(path = "card.html")]
struct Card<'a> {
    words: &'static Phrases,
    shown: &'a Shown,
    /// No words: who pastes a link speaks another language than the robot that fetches it, and few robots say any.
    line: String,
    url: String,
    image: String,
    oembed: String,
    style: &'static str,
    icon: &'static str,
}

/// As they call themselves, in lower case. Browsers inside the same apps have other names.
const PREVIEWERS: [&str; 23] = [
    "facebookexternalhit",
    "twitterbot",
    "slackbot",
    "slack-imgproxy",
    "telegrambot",
    "linkedinbot",
    "discordbot",
    "skypeuripreview",
    "redditbot",
    "pinterestbot",
    "mastodon/",
    "pleroma",
    "misskey",
    "bluesky cardyb",
    "synapse",
    "zulipurlpreview",
    "mattermost",
    // For Confluence and Jira, too.
    "iframely",
    // Sites that look for an oEmbed address.
    "wordpress/",
    "discourse forum onebox",
    "embedly",
    "notionembedder",
    "moodlebot",
];

pub fn is_previewer(request: &HttpRequest) -> bool {
    let Some(name) = request.headers().get(USER_AGENT).and_then(|v| v.to_str().ok()).map(str::to_ascii_lowercase) else { return false };
    // Signal says that it is WhatsApp, too.
    name.starts_with("whatsapp/") || PREVIEWERS.iter().any(|one| name.contains(one))
}

pub async fn card(request: &HttpRequest, site: &Site, code: &str) -> Result<HttpResponse> {
    let shown = shown(site, request, code).await?;
    let home = &site.settings.public_url;
    let code = shown.event.slug.as_ref().unwrap_or(&shown.event.code);
    let card = Card {
        words: phrases(request.headers().get(ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok())),
        line: format!("{} · {}", host_of(home), spaced(&shown.event.code)),
        url: format!("{home}/{code}"),
        image: card_of(site),
        oembed: oembed_of(site, &shown.event.code),
        style: asset("shared/paper."),
        icon: asset("shared/favicon."),
        shown: &shown,
    };
    let page = card.render().map_err(|why| Error::internal(anyhow::anyhow!("a card: {why}")))?;
    Ok(HttpResponse::Ok().content_type("text/html; charset=utf-8").insert_header((CACHE_CONTROL, NO_STORE)).body(page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_edge_passes_on_whom_we_know() {
        for (place, rules) in [
            ("deploy/nginx", include_str!("../../deploy/nginx/nginx.conf")),
            ("deploy/varnish", include_str!("../../deploy/varnish/groundswell.vcl")),
            ("a CDN, by docs/cdn.md", include_str!("../../docs/cdn.md")),
        ] {
            assert!(rules.contains("WhatsApp/"), "{place}");
            for name in PREVIEWERS {
                assert!(rules.contains(name), "{name} gets the page for people from {place}");
            }
        }
    }
}

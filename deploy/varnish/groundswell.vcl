vcl 4.1;
# The same rules as deploy/nginx for Varnish 7, which adds an Age to what it has kept. TLS ends in front of it (hitch, HAProxy, a balancer).
#   varnishd -a :8080 -f /etc/varnish/groundswell.vcl -s malloc,256m -p http_gzip_support=off -p http_req_hdr_len=8k -p timeout_idle=75
# (Without that, Varnish asks for gzip alone and undoes it for those who take none; the origin has brotli.)
# Several web processes: a backend each and a director (vmod directors), or one name of a balancer.
# tests/edge runs this file with these very settings. What nginx does and Varnish cannot: drop all headers of a request for something kept (those
# that our server or a framework might listen to are taken away, one by one), and word a refusal of bytes that are no HTTP.

import std;

backend web {
    .host = "web";
    .port = "8080";
    .connect_timeout = 2s;
    # Less than a phone waits: it hears "unknown" rather than nothing.
    .first_byte_timeout = 9s;
    .between_bytes_timeout = 60s;
    .probe = { .url = "/readyz"; .interval = 1s; .timeout = 1s; .window = 2; .threshold = 1; .initial = 1; }
}

sub vcl_recv {
    if (req.proto == "HTTP/0.9") { return (synth(400)); }
    if (req.method !~ "^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)$") { return (synth(405)); }
    # The address we see, not what the client wrote there. Varnish adds it itself, behind what came: so that goes first.
    set req.http.X-Forwarded-For = client.ip;
    # Nothing behind us asks for these; whoever does one day must not believe a client.
    unset req.http.Forwarded;
    unset req.http.X-Real-Ip;
    unset req.http.X-Forwarded-Host;
    unset req.http.X-Forwarded-Server;
    unset req.http.X-Forwarded-Port;
    unset req.http.X-Original-Url;
    unset req.http.X-Rewrite-Url;
    unset req.http.Proxy;

    set req.http.X-Kept = "";
    # The service worker has one name for good.
    if (req.url ~ "^/sw\.js(\?|$)" || req.url ~ "^/api/v1/live/([0-9]{6}|[0-9a-z][0-9a-z-]{1,38}[0-9a-z])(/qr\.svg)?(\?|$)" || req.url ~ "^/assets/[0-9A-Za-z_./-]+(\?|$)" && req.url !~ "\.\.") {
        set req.http.X-Kept = regsub(req.url, "\?.*$", "");
    } elsif (req.url ~ "(?i)^/(admin|api|assets|present|overlay|embed|poster|status|livez|readyz|metrics|setup|login|static|results|help|oembed)(\?|$)") {
        return (pass);
    } elsif (req.url ~ "^/([0-9A-Za-z]([0-9A-Za-z -]|%20){2,39})?(\?|$)") {
        # Who makes previews of links gets a card from the origin (src/http/card.rs has the same names); people get the kept page.
        if (req.http.User-Agent ~ "(?i)^WhatsApp/|facebookexternalhit|twitterbot|slackbot|slack-imgproxy|telegrambot|linkedinbot|discordbot|skypeuripreview|redditbot|pinterestbot|mastodon/|pleroma|misskey|bluesky cardyb|synapse|zulipurlpreview|mattermost|iframely|wordpress/|discourse forum onebox|embedly|notionembedder|moodlebot") { return (pass); }
        # The same bytes for every code: one page is kept, not one for each.
        set req.http.X-Kept = "/";
    } elsif (req.url ~ "^/(overlay|embed)/[0-9A-Za-z-]{1,40}(\?|$)") {
        set req.http.X-Kept = regsub(req.url, "^/(overlay|embed)/.*$", "/\1/0");
    } elsif (req.url ~ "^/results/([0-9]{6}|[0-9a-z][0-9a-z-]{1,38}[0-9a-z])(/[0-9a-z]{1,40}\.(svg|csv))?(\?|$)" || req.url ~ "^/poster/([0-9]{6}|[0-9a-z][0-9a-z-]{1,38}[0-9a-z])(\?|$)") {
        set req.http.X-Kept = regsub(req.url, "\?.*$", "");
        if (req.url !~ "\.csv(\?|$)" && req.url ~ "[?&]lang=(de|en|es|fr|ar)(&|$)") {
            set req.http.X-Kept = req.http.X-Kept + "?lang=" + regsub(req.url, "^.*[?&]lang=(de|en|es|fr|ar)(&.*)?$", "\1");
        }
    }
    # Streams too: `pipe` would hand the connection over, and what a client writes behind its request would reach the origin as it came.
    if (req.http.X-Kept == "") { return (pass); }
    if (req.method != "GET" && req.method != "HEAD") { return (synth(405)); }
    # For changes, not for reading.
    if (req.http.If-Match || req.http.If-Unmodified-Since) { return (synth(412)); }
    # Of an audience one asks, and the others have the last document meanwhile. Pages are fresh or a few seconds old; but where asking for
    # them failed (see vcl_deliver), or the origin is known to be away, as old as need be.
    if (req.restarts == 0 && req.url !~ "^/api/v1/live/" && std.healthy(req.backend_hint)) { set req.grace = 10s; } else { set req.grace = 24h; }
    # What is asked of the origin is what the key says. What else of the request it or something in front of it may listen to:
    set req.url = req.http.X-Kept;
    set req.http.Host = "web";
    unset req.http.Cookie;
    unset req.http.Authorization;
    unset req.http.Range;
    # Several sites (ALLOWED_ORIGINS): the answers vary by Origin then, so leave it where it is one of them, and only there.
    unset req.http.Origin;
    unset req.http.Accept;
    unset req.http.Accept-Language;
    unset req.http.User-Agent;
    unset req.http.Referer;
    unset req.http.Cache-Control;
    unset req.http.Pragma;
    unset req.http.X-Request-Id;
    unset req.http.X-Host;
    unset req.http.X-Original-Host;
    unset req.http.X-HTTP-Host-Override;
    unset req.http.X-HTTP-Method;
    unset req.http.X-HTTP-Method-Override;
    unset req.http.X-Method-Override;
    unset req.http.X-Forwarded-Proto;
    unset req.http.X-Forwarded-Scheme;
    unset req.http.X-Forwarded-Prefix;
    unset req.http.X-Middleware-Subrequest;
    if (req.http.Accept-Encoding ~ "(?i)(^|,)\s*br\s*(;\s*q=(1|0\.[0-9]*[1-9])[0-9.]*\s*)?(,|$)") {
        set req.http.Accept-Encoding = "br";
    } elsif (req.http.Accept-Encoding ~ "(?i)(^|,)\s*gzip\s*(;\s*q=(1|0\.[0-9]*[1-9])[0-9.]*\s*)?(,|$)") {
        set req.http.Accept-Encoding = "gzip";
    } else {
        unset req.http.Accept-Encoding;
    }
    return (hash);
}

sub vcl_hash {
    hash_data(req.url);
    # The coding is in the key by `Vary: Accept-Encoding`, which has three values by now.
    return (lookup);
}

sub vcl_backend_fetch {
    unset bereq.http.X-Kept;
    # Only here it is certain that nothing of a request was sent. How the origin is when it has failed says nothing: with a vote in its hands
    # it may be known to be away by then, and the vote be safe with it.
    if (!std.healthy(bereq.backend)) { return (error(503, "Away")); }
}

sub vcl_backend_response {
    if (bereq.uncacheable) { return (deliver); }
    unset beresp.http.Set-Cookie;
    # What is kept is better than that; where nothing is, it is passed on and not kept.
    if (beresp.status >= 500 || beresp.status == 429) {
        if (bereq.is_bgfetch) { return (abandon); }
        set beresp.ttl = 0s;
        set beresp.grace = 0s;
        return (deliver);
    }
    if (beresp.http.Cache-Control ~ "no-store") {
        set beresp.uncacheable = true;
        set beresp.ttl = 1s;
        return (deliver);
    }
    # How long it is fresh, the origin says. The last one is there for a day, while the origin is away; that there is none, is not.
    set beresp.grace = 24h;
    if (beresp.status >= 400) { set beresp.grace = 0s; }
    return (deliver);
}

sub vcl_deliver {
    # The origin could not say: what is kept, then, whatever its age. Asked again is only where nothing is.
    if (req.http.X-Kept != "" && resp.status >= 500 && req.restarts == 0) { return (restart); }
    unset resp.http.Via;
    unset resp.http.X-Varnish;
    if (req.http.X-Kept != "") {
        if (obj.hits == 0) { set resp.http.X-Cache = "MISS"; } elsif (obj.ttl > 0s) { set resp.http.X-Cache = "HIT"; } else { set resp.http.X-Cache = "STALE"; }
    }
    if (resp.http.X-Own) { call own; }
}

# The headers of every answer, for those that the edge gives by itself.
sub own {
    unset resp.http.X-Own;
    set resp.http.Cache-Control = "no-store";
    set resp.http.Content-Security-Policy = "default-src 'none'; frame-ancestors 'none'";
    set resp.http.X-Content-Type-Options = "nosniff";
    set resp.http.Referrer-Policy = "no-referrer";
    set resp.http.Permissions-Policy = "camera=(), microphone=(), geolocation=()";
    # Everybody told to come back comes back at a time of their own.
    if (resp.status >= 500) { set resp.http.Retry-After = std.real2integer(std.random(0.5, 3.5), 2); }
}

sub vcl_backend_error {
    set beresp.http.X-Own = "1";
    # 503 is "not accepted": nothing was sent. Otherwise nobody knows what became of it; what only asks has changed nothing either way.
    if (beresp.reason != "Away" && bereq.uncacheable) { set beresp.status = 504; } else { set beresp.status = 503; }
    if (!bereq.uncacheable && bereq.url ~ "^/((overlay|embed|results|poster)/[^/]+)?$") {
        # Only a cold edge says this: one that has shown the page within a day still has it. Refresh is known to every browser, and no script.
        set beresp.http.Content-Type = "text/html; charset=utf-8";
        set beresp.http.Refresh = "3";
        set beresp.body = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>One moment</title><h1>One moment</h1><p>The servers cannot be reached just now. This page tries again by itself.</p></html>
""";
        return (deliver);
    }
    set beresp.http.Content-Type = "application/problem+json";
    if (beresp.status == 503) {
        set beresp.body = """{"type":"about:blank","title":"Service Unavailable","status":503,"code":"busy","detail":"The servers cannot be reached. Nothing was changed; it will work in a moment."}""";
    } else {
        set beresp.body = """{"type":"about:blank","title":"Gateway Timeout","status":504,"code":"unknown","detail":"It is not known yet whether this arrived. Send the same again."}""";
    }
    return (deliver);
}

sub vcl_synth {
    call own;
    set resp.http.Content-Type = "application/problem+json";
    if (resp.status == 405) {
        set resp.body = """{"type":"about:blank","title":"Method Not Allowed","status":405,"code":"method_not_allowed","detail":"This address does not take this method."}""";
    } elsif (resp.status == 412) {
        set resp.body = """{"type":"about:blank","title":"Precondition Failed","status":412,"code":"precondition_failed","detail":"What is here is not what the request expects."}""";
    } elsif (resp.status >= 500) {
        # Of our own making only where what was asked changes nothing.
        set resp.body = """{"type":"about:blank","title":"Service Unavailable","status":""" + resp.status + ""","code":"busy","detail":"The servers cannot be reached. It will work in a moment."}""";
    } else {
        set resp.body = """{"type":"about:blank","title":"Bad Request","status":""" + resp.status + ""","code":"request_invalid","detail":"This is not a request that can be understood."}""";
    }
    return (deliver);
}

vcl 4.1;
# The same rules as deploy/nginx for Varnish 7, which adds an Age to what it has kept. TLS ends in front of it (hitch, HAProxy, a balancer).
#   varnishd -a :8080 -f /etc/varnish/groundswell.vcl -s malloc,256m -p http_gzip_support=off -p http_req_hdr_len=8k -p timeout_idle=75
# (Without that, Varnish asks for gzip alone and undoes it for those who take none; the origin has brotli.)
# Several web processes: a backend each and a director (vmod directors), or one name of a balancer.

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
    unset req.http.Forwarded;
    unset req.http.X-Forwarded-Host;
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
        if (req.http.User-Agent ~ "(?i)^WhatsApp/|facebookexternalhit|twitterbot|slackbot|slack-imgproxy|telegrambot|linkedinbot|discordbot|skypeuripreview|redditbot|pinterestbot|mastodon/|pleroma|misskey|bluesky cardyb|synapse|zulipurlpreview|mattermost|iframely") { return (pass); }
        # The same bytes for every code: one page is kept, not one for each.
        set req.http.X-Kept = "/";
    } elsif (req.url ~ "^/(overlay|embed)/[0-9A-Za-z-]{1,40}(\?|$)") {
        set req.http.X-Kept = regsub(req.url, "^/(overlay|embed)/.*$", "/\1/0");
    } elsif (req.url ~ "^/(results|poster)/([0-9]{6}|[0-9a-z][0-9a-z-]{1,38}[0-9a-z])(/[0-9a-z]{1,40}\.svg)?(\?|$)") {
        set req.http.X-Kept = regsub(req.url, "\?.*$", "");
        if (req.url ~ "[?&]lang=(de|en|es|fr|ar)(&|$)") {
            set req.http.X-Kept = req.http.X-Kept + "?lang=" + regsub(req.url, "^.*[?&]lang=(de|en|es|fr|ar)(&.*)?$", "\1");
        }
    }
    if (req.http.X-Kept == "") {
        if (req.url ~ "/stream(\?|$)") { return (pipe); }
        return (pass);
    }
    if (req.method != "GET" && req.method != "HEAD") { return (synth(405)); }
    # Of an audience one asks, and the others have the last document meanwhile. Pages are fresh or a few seconds old, unless the origin is away.
    if (req.url !~ "^/api/v1/live/" && std.healthy(req.backend_hint)) { set req.grace = 10s; }
    # What is asked of the origin is what the key says, and nothing else of the request gets there.
    set req.url = req.http.X-Kept;
    set req.http.Host = "web";
    unset req.http.Cookie;
    unset req.http.Authorization;
    unset req.http.Range;
    unset req.http.Origin;
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
}

sub vcl_backend_response {
    if (bereq.uncacheable) { return (deliver); }
    unset beresp.http.Set-Cookie;
    # How long it is fresh, the origin says. The last one is there for a day, while the origin is away.
    set beresp.grace = 24h;
    if (beresp.status >= 500 && bereq.is_bgfetch) { return (abandon); }
    if (beresp.http.Cache-Control ~ "no-store") {
        set beresp.uncacheable = true;
        set beresp.ttl = 1s;
        return (deliver);
    }
    return (deliver);
}

sub vcl_deliver {
    unset resp.http.Via;
    unset resp.http.X-Varnish;
    if (obj.hits > 0) { set resp.http.X-Cache = "HIT"; } else { set resp.http.X-Cache = "MISS"; }
}

sub vcl_backend_error {
    # Nothing of a request was sent to a backend that is known to be away (503); otherwise nobody knows what became of it (504).
    set beresp.status = 504;
    if (!std.healthy(bereq.backend)) { set beresp.status = 503; }
    set beresp.http.Content-Type = "application/problem+json";
    set beresp.http.Cache-Control = "no-store";
    set beresp.http.X-Content-Type-Options = "nosniff";
    set beresp.http.Retry-After = "2";
    if (beresp.status == 503) {
        set beresp.body = """{"type":"about:blank","title":"Service Unavailable","status":503,"code":"busy","detail":"The servers cannot be reached. Nothing was changed; it will work in a moment."}""";
    } else {
        set beresp.body = """{"type":"about:blank","title":"Gateway Timeout","status":504,"code":"unknown","detail":"It is not known yet whether this arrived. Send the same again."}""";
    }
    return (deliver);
}

sub vcl_synth {
    set resp.http.Content-Type = "application/problem+json";
    set resp.http.Cache-Control = "no-store";
    set resp.http.X-Content-Type-Options = "nosniff";
    set resp.body = {"{"type":"about:blank","title":""} + resp.reason + {"","status":"} + resp.status + ""","code":"request_invalid","detail":"This address does not take that."}""";
    return (deliver);
}

//! What this process does, as spans for a collector (OTLP): requests that are routed, and batches on their way. Nothing of it where no endpoint
//! is set, and never one span for a vote: a vote is answered before anything here is asked. What a span may say is spelled in this room alone:
//! no ballot, no pass, no address, no code, nothing that a client wrote but the ids of its trace.

mod limit;
mod send;

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::trace::{
    Span, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer, TracerProvider,
};
use opentelemetry::{Context, KeyValue, StringValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, Span as SdkSpan};

use limit::Limited;
use send::Outbox;

/// Where spans go, and which; what stands in the environment variables that OpenTelemetry has for it.
#[derive(Clone, PartialEq)]
pub struct Settings {
    /// With its path.
    pub endpoint: String,
    /// Names in small letters; values may be secret.
    pub headers: Vec<(String, String)>,
    /// What is said of this process, `service.name` among it.
    pub resource: Vec<(String, String)>,
    pub sampling: Sampling,
    /// For one attempt and those after it.
    pub timeout: Duration,
}

impl fmt::Debug for Settings {
    /// Without the values of headers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        let Settings { endpoint, resource, sampling, timeout, .. } = self;
        f.debug_struct("Settings")
            .field("endpoint", endpoint)
            .field("headers", &headers)
            .field("resource", resource)
            .field("sampling", sampling)
            .field("timeout", timeout)
            .finish()
    }
}

/// Which traces that begin here are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Of those that begin here.
    pub ratio: f64,
    /// A trace that began elsewhere is sent where it is sent there.
    pub parent_based: bool,
}

/// Once for a process, and only where spans are sent: asked for each request that is routed.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Sends until it is ended.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// With figures for the metrics either way.
    pub fn start(settings: Option<&Settings>) -> Result<Option<Traces>, String> {
        let figures = send::Figures::new();
        let Some(settings) = settings else { return Ok(None) };
        let resource = settings.resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        let own = [("service.version", env!("CARGO_PKG_VERSION")), ("telemetry.sdk.name", "opentelemetry"), ("telemetry.sdk.language", "rust")];
        let resource = Resource::builder_empty().with_attributes(own.map(|(key, value)| KeyValue::new(key, value))).with_attributes(resource).build();
        let provider = SdkTracerProvider::builder()
            .with_sampler(Limited::new(sampler(settings.sampling), figures.clone()))
            .with_span_processor(Outbox::open(settings, figures)?)
            .with_resource(resource)
            .build();
        let _ = TRACER.set(provider.tracer("groundswell"));
        Ok(Some(Traces(provider)))
    }

    /// What is waiting is sent, for so long at most. Blocks.
    pub fn end(&self, within: Duration) {
        if self.0.shutdown_with_timeout(within).is_err() {
            tracing::warn!("the last traces could not be sent within {within:?}");
        }
    }
}

fn sampler(Sampling { ratio, parent_based }: Sampling) -> Sampler {
    let root = match ratio {
        1.0.. => Sampler::AlwaysOn,
        ratio if ratio > 0.0 => Sampler::TraceIdRatioBased(ratio),
        _ => Sampler::AlwaysOff,
    };
    if parent_based { Sampler::ParentBased(Box::new(root)) } else { root }
}

/// Something under way. Ends when dropped; nothing at all where spans are not sent, or this one is not among them.
#[must_use]
pub struct Work(Option<Box<SdkSpan>>);

/// What a span says beside its name. Numbers, and words of our own.
pub type Note = (&'static str, i64);

/// Work of the server's own: a trace of its own. What is said of it is asked for only where somebody hears it.
pub fn work<const N: usize>(name: &'static str, notes: impl FnOnce() -> [Note; N]) -> Work {
    let Some(tracer) = TRACER.get() else { return Work(None) };
    let span = tracer.build_with_context(SpanBuilder::from_name(name).with_kind(SpanKind::Internal), &Context::new());
    let mut work = Work::of(span);
    if work.0.is_some() {
        for (key, value) in notes() {
            work.note(key, value);
        }
    }
    work
}

/// A request; `traceparent` as it came, if it did.
pub fn request<'a>(method: &str, traceparent: impl FnOnce() -> Option<&'a str>) -> Work {
    let Some(tracer) = TRACER.get() else { return Work(None) };
    let known = known(method);
    let parent = traceparent().and_then(parent).map_or_else(Context::new, |parent| Context::new().with_remote_span_context(parent));
    let mut work = Work::of(tracer.build_with_context(SpanBuilder::from_name(known.unwrap_or("HTTP")).with_kind(SpanKind::Server), &parent));
    work.note("http.request.method", known.unwrap_or("_OTHER"));
    work
}

/// Any other word is the client's own.
fn known(method: &str) -> Option<&'static str> {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].into_iter().find(|known| *known == method)
}

impl Work {
    /// Not worth a span.
    pub fn none() -> Work {
        Work(None)
    }

    fn of(span: SdkSpan) -> Work {
        Work(span.is_recording().then(|| Box::new(span)))
    }

    pub fn note(&mut self, key: &'static str, value: impl Into<Said>) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(key, value.into().0));
        }
    }

    /// In a few words that are always the same.
    pub fn failed(&mut self, why: &'static str) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new("error.type", why));
            span.set_status(Status::error(""));
        }
    }

    /// A request, with what became of it; what it was is asked for only where somebody hears it.
    pub fn answered<'a>(&mut self, status: u16, asked: impl FnOnce() -> Asked<'a>) {
        let Some(span) = &mut self.0 else { return };
        let Asked { method, pattern, number } = asked();
        if let Some(pattern) = pattern {
            span.update_name(format!("{} {pattern}", known(method).unwrap_or("HTTP")));
            span.set_attribute(KeyValue::new("http.route", pattern));
        }
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        if let Some(number) = number {
            span.set_attribute(KeyValue::new("groundswell.request_id", number.to_owned()));
        }
        if status >= 500 {
            span.set_attribute(KeyValue::new("error.type", status.to_string()));
            span.set_status(Status::error(""));
        }
    }
}

/// What is said of a request when it is answered.
#[derive(Default)]
pub struct Asked<'a> {
    pub method: &'a str,
    /// Of its address, never the address.
    pub pattern: Option<String>,
    /// Under which the log has it.
    pub number: Option<&'a str>,
}

/// A number or a word of our own.
pub struct Said(Value);

impl From<i64> for Said {
    fn from(number: i64) -> Said {
        Said(Value::I64(number))
    }
}

impl From<&'static str> for Said {
    fn from(word: &'static str) -> Said {
        Said(Value::String(StringValue::from(word)))
    }
}

/// W3C Trace Context, as of version 00; what a later one adds behind it is left alone. `tracestate` is somebody else's and not passed on.
fn parent(text: &str) -> Option<SpanContext> {
    let mut parts = text.split('-');
    let hex = |part: Option<&str>, chars: usize| {
        part.filter(|p| p.len() == chars && p.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))).map(str::to_owned)
    };
    let version = hex(parts.next(), 2)?;
    let (trace, span, flags) = (hex(parts.next(), 32)?, hex(parts.next(), 16)?, hex(parts.next(), 2)?);
    if version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(&flags, 16).ok()? & TraceFlags::SAMPLED.to_u8());
    let parent = SpanContext::new(TraceId::from_hex(&trace).ok()?, SpanId::from_hex(&span).ok()?, flags, true, TraceState::default());
    parent.is_valid().then_some(parent)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{SpanData, SpanProcessor};

    use super::*;

    #[test]
    fn a_parent_is_what_w3c_says_or_none() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let context = parent(good).unwrap();
        assert_eq!((context.trace_id().to_string(), context.is_sampled(), context.is_remote()), (good[3..35].into(), true, true));
        assert!(!parent(&good.replace("-01", "-00")).unwrap().is_sampled());
        assert!(parent(&format!("{}-later", good.replace("00-", "01-"))).is_some(), "a later version may have more");
        for wrong in [
            "",
            "gotcha",
            &good[..54],
            &good.replace("00-", "ff-"),
            &format!("{good}-more"),
            &good.to_uppercase(),
            &good.replace("0af7651916cd43dd8448eb211c80319c", "00000000000000000000000000000000"),
            &good.replace("b7ad6b7169203331", "0000000000000000"),
            &good.replace("b7ad6b7169203331", "+7ad6b7169203331"),
        ] {
            assert!(parent(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn what_failed_says_why_and_a_server_error_is_one() {
        let ended = Ended::default();
        let provider = SdkTracerProvider::builder().with_span_processor(ended.clone()).build();
        let span = || Work::of(provider.tracer("test").build(SpanBuilder::from_name("HTTP")));
        span().failed("refused");
        for status in [404, 503] {
            span().answered(status, || Asked { method: "GET", pattern: Some("/join/{code}".into()), number: Some("abcd") });
        }
        let said = |span: &SpanData, key: &str| span.attributes.iter().find(|said| said.key.as_str() == key).map(|said| said.value.to_string());
        let ended = ended.0.lock().unwrap();
        let told: Vec<_> = ended.iter().map(|span| (&*span.name, said(span, "error.type"), span.status == Status::error(""))).collect();
        let route = "GET /join/{code}";
        assert_eq!(told, [("HTTP", Some("refused".into()), true), (route, None, false), (route, Some("503".into()), true)]);
        assert_eq!(said(&ended[1], "groundswell.request_id").as_deref(), Some("abcd"));
    }

    /// What has ended.
    #[derive(Clone, Debug, Default)]
    struct Ended(Arc<Mutex<Vec<SpanData>>>);

    impl SpanProcessor for Ended {
        fn on_start(&self, _: &mut SdkSpan, _: &Context) {}

        fn on_end(&self, span: SpanData) {
            self.0.lock().unwrap().push(span);
        }

        fn force_flush(&self) -> OTelSdkResult {
            Ok(())
        }

        fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
            Ok(())
        }
    }

    #[test]
    fn a_secret_for_the_collector_is_not_shown() {
        let settings = Settings {
            endpoint: "http://c:4318/v1/traces".into(),
            headers: vec![("authorization".into(), "gotcha".into())],
            resource: Vec::new(),
            sampling: Sampling { ratio: 1.0, parent_based: true },
            timeout: Duration::from_secs(1),
        };
        let shown = format!("{settings:?}");
        assert!(shown.contains("authorization") && !shown.contains("gotcha"), "{shown}");
    }

    #[test]
    fn where_nothing_is_sent_nothing_is_said() {
        let work = work("batch publish", || -> [Note; 1] { panic!("asked, and nobody hears it") });
        assert!(work.0.is_none());
        assert!(request("GET", || panic!("asked, and nobody hears it")).0.is_none());
    }
}

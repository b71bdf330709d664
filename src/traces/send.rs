//! From here to the collector: a bounded queue, and one thread that nobody waits for. What finds no room, or cannot be sent, is dropped and
//! counted. An endpoint that does not answer is worth one line in the log, and one more when it does again.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use metrics::Counter;
use opentelemetry::Context;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter as _, SpanProcessor};

use super::Settings;

/// About a kilobyte each.
const QUEUE_SPANS_MAX: usize = 4_096;
/// As OpenTelemetry has it.
const BATCH_SPANS_MAX: usize = 512;
const SEND_EVERY: Duration = Duration::from_secs(1);
/// What a collector answers is a few bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Known from the start, not only when it has happened.
#[derive(Clone)]
pub struct Figures {
    sent: Counter,
    queue_full: Counter,
    pub too_many: Counter,
    not_sent: Counter,
}

impl Figures {
    pub fn new() -> Figures {
        let dropped = |why: &'static str| metrics::counter!("groundswell_spans_dropped_total", "why" => why);
        let (sent, queue_full, too_many, not_sent) =
            (metrics::counter!("groundswell_spans_sent_total"), dropped("queue_full"), dropped("too_many"), dropped("not_sent"));
        [&sent, &queue_full, &too_many, &not_sent].iter().for_each(|counter| counter.increment(0));
        Figures { sent, queue_full, too_many, not_sent }
    }
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Figures")
    }
}

/// Where spans go when they have ended. Never waits.
pub struct Outbox {
    /// Until the end.
    queue: RwLock<Option<SyncSender<Box<SpanData>>>>,
    figures: Figures,
    /// Until it is known of which process they are.
    sender: Mutex<Option<(Sender, Receiver<Box<SpanData>>)>>,
    /// Nothing is said there; it closes when the last has been sent.
    ended: Mutex<Receiver<Infallible>>,
}

impl fmt::Debug for Outbox {
    /// The headers in it may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outbox")
    }
}

impl Outbox {
    pub fn open(settings: &Settings, figures: Figures) -> Result<Outbox, String> {
        let trouble = Trouble::default();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new(settings.timeout, trouble.clone()))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&settings.endpoint)
            .with_headers(settings.headers.iter().cloned().collect::<HashMap<_, _>>())
            .with_timeout(settings.timeout)
            .build()
            // Its words may have what was set in them, and a header may be a secret.
            .map_err(|_| {
                "Traces cannot be sent as OTEL_EXPORTER_OTLP_ENDPOINT, _HEADERS or another variable of that name says; a _COMPRESSION is not spoken here."
                    .to_owned()
            })?;
        let (queue, waiting) = sync_channel(QUEUE_SPANS_MAX);
        // What stands behind the question mark may be a secret.
        let endpoint = settings.endpoint.split('?').next().unwrap_or_default().to_owned();
        let (under_way, ended) = sync_channel(0);
        let sender = Sender { exporter, endpoint, trouble, figures: figures.clone(), fails: false, _under_way: under_way };
        Ok(Outbox { queue: RwLock::new(Some(queue)), figures, sender: Mutex::new(Some((sender, waiting))), ended: Mutex::new(ended) })
    }
}

impl SpanProcessor for Outbox {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        // Nobody holds it for longer than it takes to put something there.
        let queue = self.queue.read().expect("never poisoned");
        if queue.as_ref().is_none_or(|queue| queue.try_send(Box::new(span)).is_err()) {
            self.figures.queue_full.increment(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, within: Duration) -> OTelSdkResult {
        // Without it, the thread that sends ends with what is waiting. It may be at an endpoint that does not answer: the process ends without it.
        drop(self.queue.write().expect("never poisoned").take().ok_or(OTelSdkError::AlreadyShutdown)?);
        match self.ended.lock().expect("never poisoned").recv_timeout(within) {
            Err(RecvTimeoutError::Disconnected) => Ok(()),
            _ => Err(OTelSdkError::Timeout(within)),
        }
    }

    fn set_resource(&mut self, resource: &Resource) {
        let Some((mut sender, waiting)) = self.sender.get_mut().expect("never poisoned").take() else { return };
        sender.exporter.set_resource(resource);
        std::thread::Builder::new().name("traces".into()).spawn(move || sender.run(&waiting)).expect("a thread can be started");
    }
}

struct Sender {
    exporter: SpanExporter,
    endpoint: String,
    trouble: Trouble,
    figures: Figures,
    /// The last attempt did.
    fails: bool,
    _under_way: SyncSender<Infallible>,
}

impl Sender {
    /// Until nothing more can come.
    fn run(mut self, waiting: &Receiver<Box<SpanData>>) {
        while let Ok(first) = waiting.recv() {
            let (mut batch, until) = (vec![*first], Instant::now() + SEND_EVERY);
            while batch.len() < BATCH_SPANS_MAX {
                let Ok(span) = waiting.recv_timeout(until.saturating_duration_since(Instant::now())) else { break };
                batch.push(*span);
            }
            self.send(batch);
        }
    }

    fn send(&mut self, batch: Vec<SpanData>) {
        let spans = batch.len() as u64;
        let outcome = futures_util::FutureExt::now_or_never(self.exporter.export(batch)).expect("the client blocks, so nothing is waited for");
        match &outcome {
            Ok(()) => self.figures.sent.increment(spans),
            Err(_) => self.figures.not_sent.increment(spans),
        }
        match (outcome, self.fails) {
            (Ok(()), true) => tracing::info!(endpoint = self.endpoint, "traces are taken again"),
            (Err(why), false) => {
                // The exporter says no more of it than that it is the network.
                let why = self.trouble.lock().expect("never poisoned").take().unwrap_or_else(|| why.to_string());
                tracing::warn!(endpoint = self.endpoint, %why, "traces cannot be sent; those of the meantime are dropped, and nothing else is touched by it");
            }
            _ => return,
        }
        self.fails = !self.fails;
    }
}

/// Why the last request had no answer.
type Trouble = Arc<Mutex<Option<String>>>;

/// HTTP for the exporter's own thread: it may block.
#[derive(Debug)]
struct Client {
    agent: ureq::Agent,
    trouble: Trouble,
}

impl Client {
    fn new(timeout: Duration, trouble: Trouble) -> Client {
        let config = ureq::Agent::config_builder().timeout_global(Some(timeout)).http_status_as_error(false).max_redirects(0);
        let agent = config.user_agent(concat!("groundswell/", env!("CARGO_PKG_VERSION"))).build().new_agent();
        Client { agent, trouble }
    }

    fn ask(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, mut body) = self.agent.run(request.map(|body| body.to_vec()))?.into_parts();
        let body = body.with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
        Ok(Response::from_parts(head, body.into()))
    }
}

impl HttpClient for Client {
    fn send_bytes<'life0, 'async_trait>(
        &'life0 self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        let answer = self.ask(request);
        *self.trouble.lock().expect("never poisoned") = answer.as_ref().err().map(ToString::to_string);
        Box::pin(std::future::ready(answer))
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicU64, Ordering};

    use opentelemetry::trace::{Tracer, TracerProvider};
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::super::Sampling;
    use super::*;

    #[test]
    fn whoever_ends_a_span_never_waits_for_a_collector_that_hangs_and_neither_does_the_end() {
        const MORE: u64 = 1_000;
        const COLLECTOR_TIMEOUT: Duration = Duration::from_secs(60);
        // The kernel takes the connection, and nobody ever answers.
        let hangs = TcpListener::bind("127.0.0.1:0").unwrap();
        let settings = Settings {
            endpoint: format!("http://{}/v1/traces", hangs.local_addr().unwrap()),
            headers: Vec::new(),
            resource: Vec::new(),
            sampling: Sampling { ratio: 1.0, parent_based: false },
            timeout: COLLECTOR_TIMEOUT,
        };
        let dropped = Arc::new(AtomicU64::new(0));
        let figures = Figures { sent: Counter::noop(), queue_full: Counter::from_arc(dropped.clone()), too_many: Counter::noop(), not_sent: Counter::noop() };
        let provider = SdkTracerProvider::builder().with_span_processor(Outbox::open(&settings, figures).unwrap()).build();
        let tracer = provider.tracer("test");
        let began = Instant::now();
        // One batch is on its way, so many wait, and the rest finds no room.
        for _ in 0..(BATCH_SPANS_MAX + QUEUE_SPANS_MAX) as u64 + MORE {
            drop(tracer.start("HTTP"));
        }
        let dropped = dropped.load(Ordering::Relaxed);
        assert!((MORE..=MORE + BATCH_SPANS_MAX as u64).contains(&dropped), "{dropped} were dropped");
        assert!(provider.shutdown_with_timeout(Duration::from_millis(100)).is_err(), "it says that something is left");
        assert!(began.elapsed() < COLLECTOR_TIMEOUT / 2, "it took {:?}", began.elapsed());
    }
}

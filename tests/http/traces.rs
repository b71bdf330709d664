//! Traces for a collector, as the binary sends them: what they say, what they never say, and that a collector which is away, or hangs, costs
//! nobody anything.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Said;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use tempfile::TempDir;

use crate::client::Line;
use crate::hall::{ballot_of, text};
use crate::process::{Process, command};
use crate::show::{Show, metric};
use crate::support::{TOKEN, until};

/// Of a client's own trace.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const UNSAMPLED: &str = "1af7651916cd43dd8448eb211c80319c";

#[test]
fn requests_and_batches_are_told_to_a_collector_and_nothing_of_who_voted_how() {
    const BALLOTS: u128 = 12;
    let directory = TempDir::new().unwrap();
    let collector = Collector::start(Manners::Answers);
    let process = Process::of(
        traced(directory.path(), collector.address)
            .env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20for-the-collector")
            .env("OTEL_SERVICE_NAME", "polls of the show")
            .env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=rehearsal"),
    );
    let show = Show::prepare(&process);
    for ballot in 1..=BALLOTS {
        show.vote(&process, ballot).expect(202);
    }
    let known = format!("00-{TRACE}-{PARENT}-01");
    let headers = [("traceparent", known.as_str()), ("tracestate", "gotcha=1"), ("user-agent", "gotcha"), ("x-gotcha", "gotcha")];
    let asked = show.office(&process, "GET", &format!("/api/v1/events/{}?gotcha=1", show.event), &headers).status;
    assert!(asked == 200 || asked == 422, "{asked}");
    let answer = show.office(&process, "GET", &format!("/api/v1/events/{}", show.event), &headers).expect(200);
    let number = answer.header("x-request-id").expect("it is noted").to_owned();
    let not_sampled = format!("00-{UNSAMPLED}-{PARENT}-00");
    show.office(&process, "GET", "/api/v1/events", &[("traceparent", &not_sampled)]).expect(200);
    show.office(&process, "GET", "/api/v1/events/gotcha", &[("traceparent", "gotcha")]).expect(404);
    // A method that nobody knows is the client's own word.
    Line::at(process.address).ask("GOTCHA", "/gotcha", &[], None);

    until("all of it has come", || {
        let spans = collector.spans();
        let ballots = |name: &str| spans.iter().filter(|span| span.name == name).filter_map(|span| number_of(span, "groundswell.ballots")).sum::<i64>();
        ballots("batch publish") == BALLOTS as i64
            && ballots("batch commit") == BALLOTS as i64
            && spans.iter().any(|span| word_of(span, "groundswell.request_id") == number)
    });
    let spans = collector.spans();
    let route = "/api/v1/events/{event}";
    let request = spans.iter().find(|span| word_of(span, "groundswell.request_id") == number).expect("it has come");
    assert_eq!((request.name.as_str(), word_of(request, "http.route"), request.kind), (&*format!("GET {route}"), route.into(), SpanKind::Server as i32));
    assert_eq!((word_of(request, "http.request.method"), number_of(request, "http.response.status_code")), ("GET".into(), Some(200)));
    assert_eq!((hex::encode(&request.trace_id), hex::encode(&request.parent_span_id)), (TRACE.into(), PARENT.into()), "the client's own trace goes on");
    assert!(request.end_time_unix_nano > request.start_time_unix_nano && request.trace_state.is_empty(), "{request:?}");
    assert!(spans.iter().all(|span| hex::encode(&span.trace_id) != UNSAMPLED), "who asked is not followed, so neither is the answer");
    let publish = spans.iter().find(|span| span.name == "batch publish").expect("there are some");
    assert!(number_of(publish, "groundswell.lane").is_some_and(|lane| (0..16).contains(&lane)) && publish.parent_span_id.is_empty(), "{publish:?}");
    assert!(spans.iter().any(|span| span.name == "POST /api/v1/live/{code}/passes"), "a pass is a request like any other: {:?}", names(&spans));
    // A vote has its batch and no span of its own.
    assert!(spans.iter().all(|span| !span.name.contains("ballots")), "{:?}", names(&spans));
    assert!(spans.iter().any(|span| word_of(span, "http.request.method") == "_OTHER"), "{:?}", names(&spans));

    let heard = collector.heard();
    for (head, body) in &heard {
        assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n") && head.contains("content-type: application/x-protobuf\r\n"), "{head}");
        assert!(head.contains("authorization: Bearer for-the-collector\r\n"), "{head}");
        for resource in ExportTraceServiceRequest::decode(body.as_slice()).expect("protobuf").resource_spans {
            let said = |key| word(&resource.resource.as_ref().expect("it says who it is").attributes, key);
            assert_eq!((said("service.name"), said("deployment.environment.name")), ("polls of the show".into(), "rehearsal".into()));
            assert_eq!(said("service.version"), env!("CARGO_PKG_VERSION"));
        }
        let pass = show.bearer.trim_start_matches("Bearer ");
        let ballot = text(&ballot_of(&show.poll, 1, 1, &[1])["ballot"]);
        for secret in ["gotcha", "127.0.0.1", TOKEN, pass, &ballot, &show.voter, &show.code, &show.poll, &show.event, "Friday"] {
            assert!(!body.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret} was sent");
        }
    }
    assert!(metric(&process, "groundswell_spans_sent_total") >= spans.len() as f64);

    // What is under way at the stop is sent before the end.
    let last = format!("00-{}-{PARENT}-01", TRACE.replace('0', "f"));
    show.office(&process, "GET", "/api/v1/events", &[("traceparent", &last)]).expect(200);
    assert_eq!(process.stop(), Some(0));
    assert!(collector.spans().iter().any(|span| hex::encode(&span.trace_id) == TRACE.replace('0', "f")), "the last one has come");
}

#[test]
fn of_none_that_begin_here_only_those_that_are_followed_elsewhere_are_sent() {
    let directory = TempDir::new().unwrap();
    let collector = Collector::start(Manners::Answers);
    let mut sampled = traced(directory.path(), collector.address);
    sampled.env("OTEL_TRACES_SAMPLER", "parentbased_traceidratio").env("OTEL_TRACES_SAMPLER_ARG", "0");
    let process = Process::of(&mut sampled);
    let show = Show::prepare(&process);
    show.vote(&process, 1).expect(202);
    let known = format!("00-{TRACE}-{PARENT}-01");
    show.office(&process, "GET", "/api/v1/events", &[("traceparent", &known)]).expect(200);
    assert_eq!(process.stop(), Some(0));
    let spans = collector.spans();
    assert_eq!(names(&spans), ["GET /api/v1/events"], "none that began here, and the one that is followed elsewhere");
}

#[test]
fn a_collector_that_is_away_is_one_line_in_the_log_and_one_when_it_is_back() {
    let directory = TempDir::new().unwrap();
    let (log, file) = (directory.path().join("log"), std::fs::File::create(directory.path().join("log")).unwrap());
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
    let process = Process::logging(traced(directory.path(), nobody).env("RUST_LOG", "info").env("OTEL_EXPORTER_OTLP_TIMEOUT", "500"), file.into());
    let show = Show::prepare(&process);
    let mut dropped = 0.0;
    for round in 1..=2 {
        until("spans could not be sent", || {
            show.vote(&process, round).expect(202);
            metric(&process, "groundswell_spans_dropped_total{why=\"not_sent\"}") > dropped
        });
        dropped = metric(&process, "groundswell_spans_dropped_total{why=\"not_sent\"}");
    }
    let said = |what: &str| std::fs::read_to_string(&log).unwrap().lines().filter(|line| line.contains(what)).count();
    assert_eq!((said("traces cannot be sent"), said("refused")), (1, 1), "once, and why: {}", std::fs::read_to_string(&log).unwrap());
    let collector = Collector::at(nobody, Manners::Answers);
    until("they are sent again", || {
        show.vote(&process, 3).expect(202);
        !collector.spans().is_empty()
    });
    until("it says so", || said("traces are taken again") == 1);
    assert_eq!(process.stop(), Some(0));
    assert_eq!(said("traces cannot be sent"), 1);
}

#[test]
fn a_collector_that_hangs_slows_no_vote_and_no_stop() {
    const STOPS_WITHIN: Duration = Duration::from_secs(6);
    const COLLECTOR_TIMEOUT: Duration = Duration::from_secs(30);
    let directory = TempDir::new().unwrap();
    let collector = Collector::start(Manners::Hangs);
    let process = Process::of(traced(directory.path(), collector.address).env("OTEL_EXPORTER_OTLP_TIMEOUT", COLLECTOR_TIMEOUT.as_millis().to_string()));
    let show = Show::prepare(&process);
    until("it hangs with the first spans", || !collector.heard().is_empty());
    let slowest = (2..30).map(|ballot| show.vote(&process, ballot).expect(202).took).max().expect("some");
    assert!(slowest < COLLECTOR_TIMEOUT / 2, "{slowest:?}");
    let began = Instant::now();
    assert_eq!(process.stop(), Some(0));
    // Two seconds for the last traces; the collector would have had half a minute.
    assert!(began.elapsed() < STOPS_WITHIN, "it took {:?}", began.elapsed());
}

#[test]
fn a_server_that_cannot_speak_to_the_collector_as_it_is_told_does_not_start() {
    let directory = TempDir::new().unwrap();
    let mut wrong = command(directory.path(), &[]);
    let refused = crate::process::run(wrong.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317").env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("OTEL_EXPORTER_OTLP_PROTOCOL") && said.contains("4318"), "{said}");
}

fn traced(directory: &Path, collector: SocketAddr) -> Command {
    let mut command = command(directory, &[]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}/"));
    command
}

#[derive(Clone, Copy, PartialEq)]
enum Manners {
    Answers,
    /// Takes what is sent and says nothing.
    Hangs,
}

type Heard = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A receiver of OTLP over HTTP. Ends with the test's process.
struct Collector {
    address: SocketAddr,
    heard: Heard,
}

impl Collector {
    fn start(manners: Manners) -> Collector {
        Collector::at("127.0.0.1:0".parse().unwrap(), manners)
    }

    fn at(address: SocketAddr, manners: Manners) -> Collector {
        let listener = TcpListener::bind(address).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let heard = Heard::default();
        let hears = heard.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let hears = hears.clone();
                std::thread::spawn(move || listen(stream, manners, &hears));
            }
        });
        Collector { address, heard }
    }

    /// Heads, in which names are in small letters, and bodies.
    fn heard(&self) -> Vec<(String, Vec<u8>)> {
        self.heard.lock().unwrap().clone()
    }

    fn spans(&self) -> Vec<Span> {
        let requests = self.heard().into_iter().map(|(_, body)| ExportTraceServiceRequest::decode(body.as_slice()).expect("protobuf"));
        let scopes = requests.flat_map(|request| request.resource_spans).flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }
}

fn listen(stream: TcpStream, manners: Manners, heard: &Heard) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = line.split_once(':').map_or(line.clone(), |(name, value)| format!("{}:{value}", name.to_lowercase()));
            length = line.strip_prefix("content-length:").map_or(length, |value| value.trim().parse().expect("a number"));
            head.push_str(&line);
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        heard.lock().unwrap().push((head, body));
        if manners == Manners::Answers {
            let body = ExportTraceServiceResponse::default().encode_to_vec();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n", body.len());
            if reader.get_mut().write_all(&[answer.as_bytes(), &body].concat()).is_err() {
                return;
            }
        }
    }
}

fn names(spans: &[Span]) -> Vec<&str> {
    spans.iter().map(|span| span.name.as_str()).collect()
}

fn value<'a>(said: &'a [KeyValue], key: &str) -> Option<&'a Said> {
    said.iter().find(|one| one.key == key)?.value.as_ref().and_then(|AnyValue { value }| value.as_ref())
}

fn word(said: &[KeyValue], key: &str) -> String {
    value(said, key).map_or_else(String::new, |said| if let Said::StringValue(word) = said { word.clone() } else { String::new() })
}

fn word_of(span: &Span, key: &str) -> String {
    word(&span.attributes, key)
}

fn number_of(span: &Span, key: &str) -> Option<i64> {
    value(&span.attributes, key).and_then(|said| if let Said::IntValue(number) = said { Some(*number) } else { None })
}

//! So many spans a second and no more, whoever asks for them: a client may write "sampled" into its `traceparent`, and a crowd is many requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use opentelemetry::trace::{Link, SpanKind, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

use super::send::Figures;

/// Of a process. A few microseconds of a core each, and 200 KB/s for the collector in all.
const SPANS_PER_S_MAX: u64 = 500;

#[derive(Clone, Debug)]
pub struct Limited {
    inner: Sampler,
    pace: Arc<Pace>,
    figures: Figures,
}

impl Limited {
    pub fn new(inner: Sampler, figures: Figures) -> Limited {
        Limited { inner, pace: Arc::new(Pace { began: Instant::now(), second: AtomicU64::new(0) }), figures }
    }
}

impl ShouldSample for Limited {
    fn should_sample(&self, parent: Option<&Context>, trace: TraceId, name: &str, kind: &SpanKind, attributes: &[KeyValue], links: &[Link]) -> SamplingResult {
        let result = self.inner.should_sample(parent, trace, name, kind, attributes, links);
        if result.decision == SamplingDecision::Drop || self.pace.has_room(self.pace.began.elapsed().as_secs()) {
            return result;
        }
        self.figures.too_many.increment(1);
        SamplingResult { decision: SamplingDecision::Drop, attributes: Vec::new(), trace_state: TraceState::default() }
    }
}

/// The second, and how many there were in it, in one number: so that no lock is needed.
#[derive(Debug)]
struct Pace {
    began: Instant,
    second: AtomicU64,
}

impl Pace {
    fn has_room(&self, second: u64) -> bool {
        const COUNT_BITS: u32 = 32;
        let take = |now: u64| {
            let count = if now >> COUNT_BITS == second { now & u64::from(u32::MAX) } else { 0 };
            (count < SPANS_PER_S_MAX).then_some((second << COUNT_BITS) | (count + 1))
        };
        self.second.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_room_for_as_many_and_no_more() {
        let pace = Pace { began: Instant::now(), second: AtomicU64::new(0) };
        for second in [0, 1, 7] {
            let kept = (0..SPANS_PER_S_MAX * 2).filter(|_| pace.has_room(second)).count() as u64;
            assert_eq!(kept, SPANS_PER_S_MAX, "second {second}");
        }
    }
}

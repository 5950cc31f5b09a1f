//! Observes the backends of an exchange: which attempts failed, and how long the answer took. Feeds the backend statistics.
//!
//! Also gives the statistics to a decision. It does not decide what the statistics make of an observation.

use super::request_kind::find;
use super::routed::Routed;
use super::{Effect, Header, Worker};
use crate::api::Capabilities;
use crate::api::request::Request;
use crate::api::usage::AnswerError;
use crate::fleet::clusters;
use crate::fleet::clusters::Failover;
use crate::fleet::{Backend, BackendId, Model};
use crate::policy::Policy;
use crate::routing::decision::Decision;
use crate::state::backend_stats::{
    AnswerTimes, AttemptOutcome, BackendStats, Delivery, Expected, ExpectedLength, InFlightId,
    Observed, RequestSize,
};
use crate::telemetry::Metric;

/// Observes one decided request.
#[derive(Debug)]
pub(super) struct BackendObserver {
    in_flight: InFlightId,
    expected: Expected,
    sent_ns: u64,
    /// When the first content of the answer came.
    first_ns: Option<u64>,
    /// When bytes of the answer came last.
    last_ns: Option<u64>,
    /// The status of the response; 0 before there is one.
    status: u16,
    /// Bytes of the response have come.
    is_heard: bool,
    /// The statistics know that bytes have come.
    is_reported: bool,
    ended: bool,
}

/// The outcome of an answer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct AnswerOutcome {
    /// An error in the answer although its status says that there is none.
    pub(super) error: Option<AnswerError>,
    /// Tokens of the answer, if they are known.
    pub(super) output_tokens: Option<u64>,
    /// The model reasoned for longer than the stream shows: the time of its first byte is not that of the first token.
    pub(super) hides_reasoning: bool,
}

/// The end of an exchange.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    /// The time, in nanoseconds since 1970.
    pub(super) now_ns: u64,
    /// The number of attempts.
    pub(super) attempts: u64,
    /// The backend broke off its answer.
    pub(super) is_truncated: bool,
    /// The outcome of the answer.
    pub(super) answer: AnswerOutcome,
}

/// The request that a view of the backends is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct StatsQuery {
    /// How its answer is to come.
    pub(super) delivery: Delivery,
    /// Whether the request will be sent after the decision.
    pub(super) decides: bool,
    /// Whether its body is complete: Envoy cannot send a second time what it cannot hold.
    pub(super) complete: bool,
}

/// The statistics of the policy's backends, in their order; none if the policy does not use them.
pub(super) fn observe(
    worker: &mut Worker<'_>,
    policy: &Policy,
    now_ns: u64,
    query: StatsQuery,
) -> Vec<Observed> {
    let backends = &policy.registry.backends;
    let keys = backends
        .iter()
        .map(|backend| clusters::backend_key(&backend.name));
    let Some(stats) = worker.stats.as_mut().filter(|_| policy.observes) else {
        return Vec::new();
    };
    let delivery = query.delivery;
    let mut observed: Vec<Observed> = match query.decides {
        true => {
            // A probe needs a request that can fail over. If no request can, any may probe.
            let may_probe = query.complete || worker.failover == Failover::Off;
            stats.observe_for_decision(keys, delivery, may_probe, now_ns)
        }
        false => keys
            .map(|key| stats.observe(key, delivery, now_ns))
            .collect(),
    };
    for (view, backend) in observed.iter_mut().zip(backends) {
        if let Some(cold) = &backend.cold {
            view.cold_start_ms =
                stats.cold_start_ms(clusters::backend_key(&backend.name), cold, now_ns);
        }
    }
    observed
}

/// Notes that a backend that scales to zero is in use: a decision wants it, or it has answered.
pub(super) fn keep_warm(
    worker: &mut Worker<'_>,
    policy: &Policy,
    id: BackendId,
    now_ns: u64,
    wanted: bool,
) {
    let backend = policy.registry.backend(id);
    if let Some(stats) = &mut worker.stats
        && let Some(backend) = backend.filter(|backend| backend.cold.is_some())
    {
        let key = clusters::backend_key(&backend.name);
        match wanted {
            true => stats.scale_to_zero.on_decision(key, now_ns),
            false => stats.scale_to_zero.on_answer(key, now_ns),
        }
    }
}

impl BackendObserver {
    /// Begins to observe a request that is being sent to its chosen backend; `None` if nothing is to be learned of it.
    #[inline(never)]
    pub(super) fn start(
        worker: &mut Worker<'_>,
        routed: &Routed,
        request: &Request<'_>,
        now_ns: u64,
    ) -> Option<BackendObserver> {
        let policy = &routed.policy;
        let stats = worker.stats.as_mut().filter(|_| policy.observes)?;
        let chosen = routed.decision.backend;
        let backend = policy.registry.backend(chosen)?;
        let key = clusters::backend_key(&backend.name);
        let expected = expect(routed, backend, request);
        Some(BackendObserver {
            in_flight: stats.on_sent(key, now_ns, &expected)?,
            expected,
            sent_ns: now_ns,
            first_ns: None,
            last_ns: None,
            status: 0,
            is_heard: false,
            is_reported: false,
            ended: false,
        })
    }

    /// The response's headers have arrived.
    pub(super) fn on_headers(&mut self, headers: &[Header<'_>]) {
        let status = find(headers, ":status").unwrap_or_default();
        let status = std::str::from_utf8(status).ok();
        self.status = status.and_then(|text| text.parse().ok()).unwrap_or(0);
    }

    /// A chunk of the response has arrived. The first one is reported at once: the backend is not silent.
    pub(super) fn on_body(
        &mut self,
        size: usize,
        end_of_stream: bool,
        stats: Option<&mut BackendStats>,
    ) {
        self.ended |= end_of_stream;
        self.is_heard |= size > 0;
        if let Some(stats) = stats
            && self.is_heard
            && !std::mem::replace(&mut self.is_reported, true)
        {
            stats.on_first_byte(self.in_flight, self.expected.delivery);
        }
    }

    /// The chunk was read; `has_content` is whether the stream has had content by now.
    pub(super) fn on_bytes(&mut self, now_ns: u64, has_content: bool) {
        self.last_ns = Some(now_ns);
        if has_content {
            self.first_ns.get_or_insert(now_ns);
        }
    }

    /// Records the outcome of every attempt of the exchange.
    #[inline(never)]
    pub(super) fn finish(
        self,
        end: &End,
        routed: &Routed,
        stats: &mut BackendStats,
        effects: &mut Vec<Effect>,
    ) {
        let last = self.last_outcome(end);
        let is_guessed = routed.decision.foreign.is_guessed;
        let attempts = usize::try_from(end.attempts.max(1)).unwrap_or(usize::MAX);
        let (chain, first) = (&routed.chain, routed.chain.first().copied());
        let answering = routed.fallback.or(first);
        let mut record = Record {
            observer: &self,
            routed,
            stats,
            now_ns: end.now_ns,
            effects,
        };
        if attempts == 1 && answering == first {
            return record.first(last);
        }
        if routed.failover == Failover::Off {
            return record.first(match last {
                AttemptOutcome::Answered(_) => AttemptOutcome::AnsweredLate,
                other => other,
            });
        }
        // The first attempt failed, unless Envoy skipped its cluster. If the maker of the request's state was guessed, a refusal
        // is not the backend's fault.
        let has_failed = attempts > 1 && !is_guessed;
        record.first(match has_failed {
            true => AttemptOutcome::Failed,
            false => AttemptOutcome::Unknown,
        });
        if routed.failover == Failover::PerAttempt && !is_guessed {
            for turn in 1..attempts.saturating_sub(1).min(chain.len() * 2) {
                let place = turn.checked_rem(chain.len());
                let id = place.and_then(|place| chain.get(place).copied());
                record.later(id, AttemptOutcome::Failed);
            }
        }
        record.later(answering, last);
    }

    /// The outcome of the last attempt.
    fn last_outcome(&self, end: &End) -> AttemptOutcome {
        let ms = |until: u64| until.saturating_sub(self.sent_ns) as f32 / 1e6;
        let left = match self.is_heard {
            true => AttemptOutcome::Unknown,
            false => AttemptOutcome::Left {
                after_ms: ms(end.now_ns),
            },
        };
        match self.status {
            429 | 500.. => AttemptOutcome::Failed,
            _ if end.is_truncated => AttemptOutcome::Failed,
            0 => left,
            200..=299 => match end.answer.error {
                Some(AnswerError::Reported | AnswerError::Empty) => AttemptOutcome::Failed,
                _ if !self.ended => left,
                Some(AnswerError::ClientError) => AttemptOutcome::AnsweredLate,
                None => AttemptOutcome::Answered(AnswerTimes {
                    first_token_ms: self
                        .first_ns
                        .filter(|_| !end.answer.hides_reasoning)
                        .map(ms),
                    last_ms: ms(self.last_ns.unwrap_or(end.now_ns)),
                    output_tokens: end.answer.output_tokens,
                }),
            },
            _ if !self.ended => AttemptOutcome::Unknown,
            _ => AttemptOutcome::AnsweredLate,
        }
    }
}

/// Writes outcomes of attempts into the statistics, and counts those that failed.
struct Record<'a> {
    observer: &'a BackendObserver,
    routed: &'a Routed,
    stats: &'a mut BackendStats,
    now_ns: u64,
    effects: &'a mut Vec<Effect>,
}

impl<'a> Record<'a> {
    /// The first attempt, at the chosen backend, which is in flight.
    fn first(&mut self, outcome: AttemptOutcome) {
        let observer = self.observer;
        let (id, expected) = (observer.in_flight, &observer.expected);
        if self.stats.on_end(id, expected, outcome, self.now_ns) {
            self.count_failed(self.routed.chain.first().copied());
        }
    }

    /// An attempt after the first.
    fn later(&mut self, id: Option<BackendId>, outcome: AttemptOutcome) {
        let failed = outcome == AttemptOutcome::Failed;
        if failed {
            self.count_failed(id);
        }
        let is_known = !matches!(
            outcome,
            AttemptOutcome::Unknown | AttemptOutcome::Left { .. }
        );
        if is_known && let Some(backend) = self.backend(id) {
            let (key, delivery) = (
                clusters::backend_key(&backend.name),
                self.observer.expected.delivery,
            );
            self.stats.on_attempt(key, delivery, failed, self.now_ns);
        }
    }

    fn count_failed(&mut self, id: Option<BackendId>) {
        if let Some(backend) = self.backend(id) {
            let metric = Metric::attempt_failures(&backend.name);
            self.effects.push(Effect::Count(metric));
        }
    }

    fn backend(&self, id: Option<BackendId>) -> Option<&'a Backend> {
        let routed = self.routed;
        routed.policy.registry.backend(id?)
    }
}

/// The expected length of the answer, before anything was learned of its backend. The usage of several answers is a sum, so
/// nothing is learned of them.
fn expect_length(
    model: Option<&Model>,
    decision: &Decision,
    request: &Request<'_>,
    most_tokens: u32,
) -> Option<ExpectedLength> {
    let classification = decision.classification.as_ref()?;
    let factor = model.map_or(1.0, |model| model.reasoning_tokens_factor);
    (request.choices == 1).then(|| ExpectedLength {
        task: classification.task,
        tokens: classification.output_tokens * factor,
        most_tokens: request.max_tokens.unwrap_or(u32::MAX).min(most_tokens),
    })
}

/// The answer that is expected of `backend`, by what the policy declares.
fn expect(routed: &Routed, backend: &Backend, request: &Request<'_>) -> Expected {
    let model = routed.policy.registry.model(routed.decision.model);
    let most = model.map_or(u32::MAX, |model| model.max_output_tokens);
    let reasons = model.is_some_and(|model| model.capabilities.contains(Capabilities::REASONING));
    let size = RequestSize {
        input_tokens: routed.decision.input_tokens,
        max_output_tokens: request.max_tokens.unwrap_or(u32::MAX).min(most),
        reasons,
        length: expect_length(model, &routed.decision, request, most),
    };
    let delivery = Delivery::from_stream(request.stream);
    let cold_start_ms = routed.decision.cold_start_ms;
    Expected::new(delivery, &backend.latency, cold_start_ms, size)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::api::Api;
    use crate::exchange::testing::POLICY;
    use crate::routing::decision::Outcome;
    use crate::routing::router::Router;
    use crate::state::backend_stats::{DOWN_AFTER, LatencyRatio};
    use crate::telemetry::state::FilterState;

    const SECOND: u64 = 1_000_000_000;

    /// A request that is routed along `chain`.
    fn routed(failover: Failover, chain: &[u32]) -> Routed {
        let policy = Policy::compile(POLICY).unwrap();
        let body = br#"{"model": "huge", "messages": [{"role": "user", "content": "hi"}]}"#;
        let mut router = Router::with_features_only();
        let Outcome::Routed(decision) = router.route(&policy, Api::OpenAiChat, body, true) else {
            panic!("the request is not routed");
        };
        Routed {
            policy: Rc::new(policy),
            decision: Decision {
                backend: BackendId(chain[0]),
                ..*decision
            },
            chain: chain.iter().copied().map(BackendId).collect(),
            failover,
            filter_state: FilterState::All,
            fallback: None,
            judge_usd: 0.0,
            grading: None,
            receipt: None,
            is_sealed: false,
        }
    }

    fn observer(stats: &mut BackendStats, routed: &Routed) -> BackendObserver {
        let chosen = routed.policy.registry.backend(routed.chain[0]).unwrap();
        let key = clusters::backend_key(&chosen.name);
        BackendObserver {
            in_flight: stats.on_sent(key, SECOND, &EXPECTED).unwrap(),
            expected: EXPECTED,
            sent_ns: SECOND,
            first_ns: None,
            last_ns: None,
            status: 0,
            is_heard: false,
            is_reported: false,
            ended: false,
        }
    }

    /// 100 ms to the first token, 10 ms for each.
    const EXPECTED: Expected = Expected {
        delivery: Delivery::Streamed,
        first_token_ms: 100.0,
        first_token_p99_ms: 300.0,
        token_ms: 10.0,
        reading_ms: 0.0,
        silence_limit_ms: 5_000.0,
        usual_ms: 5_000.0,
        length: None,
    };

    fn look(stats: &BackendStats, name: &str) -> Observed {
        stats.observe(clusters::backend_key(name), Delivery::Streamed, 2 * SECOND)
    }

    fn end(now_ns: u64, attempts: u64, answer: AnswerOutcome) -> End {
        End {
            now_ns,
            attempts,
            is_truncated: false,
            answer,
        }
    }

    #[test]
    fn failed_attempts_are_charged_to_whom_they_were_made_at() {
        let mut stats = BackendStats::new();
        let mut effects = Vec::new();
        let mut routed = routed(Failover::PerAttempt, &[1, 0, 2]);
        routed.fallback = Some(BackendId(2));
        let mut observer = observer(&mut stats, &routed);
        observer.on_headers(&[(b":status", b"200")]);
        observer.on_body(0, true, None);
        let end = end(2 * SECOND, 3, AnswerOutcome::default());
        observer.finish(&end, &routed, &mut stats, &mut effects);
        let rate = |name| look(&stats, name).error_rate;
        assert!(rate("gpu-1") > 0.0 && rate("cpu-1") > 0.0);
        assert_eq!(rate("lpu-1"), 0.0);
        assert_eq!(effects.len(), 2);
        assert_eq!(look(&stats, "gpu-1").in_flight, 0);
    }

    /// Whether a backend is down after so many answers of this status and outcome.
    fn is_down_after(status: &[u8], outcome: AnswerOutcome) -> bool {
        let mut stats = BackendStats::new();
        let routed = routed(Failover::Off, &[1]);
        for _ in 0..DOWN_AFTER {
            let mut observer = observer(&mut stats, &routed);
            observer.on_headers(&[(b":status", status)]);
            observer.on_body(1, true, None);
            let end = end(2 * SECOND, 1, outcome);
            observer.finish(&end, &routed, &mut stats, &mut Vec::new());
        }
        look(&stats, "gpu-1").down
    }

    #[test]
    fn errors_of_the_backend_count_and_those_of_the_client_do_not() {
        for (status, failed) in [
            (500, true),
            (429, true),
            (503, true),
            (400, false),
            (404, false),
        ] {
            let text = status.to_string();
            let down = is_down_after(text.as_bytes(), AnswerOutcome::default());
            assert_eq!(down, failed, "{status}");
        }
        for (error, failed) in [
            (AnswerError::Reported, true),
            (AnswerError::Empty, true),
            (AnswerError::ClientError, false),
        ] {
            let outcome = AnswerOutcome {
                error: Some(error),
                ..AnswerOutcome::default()
            };
            assert_eq!(is_down_after(b"200", outcome), failed, "{error:?}");
        }
    }

    /// Statistics after 20 streams whose first token comes at `first` and whose last at `last`, in milliseconds.
    fn after_streams(first: u64, last: u64, tokens: Option<u64>) -> Observed {
        let mut stats = BackendStats::new();
        let routed = routed(Failover::PerAttempt, &[1, 2]);
        for _ in 0..20 {
            let mut observer = observer(&mut stats, &routed);
            observer.on_headers(&[(b":status", b"200")]);
            observer.on_bytes(SECOND + first * 1_000_000, true);
            observer.on_bytes(SECOND + last * 1_000_000, true);
            observer.on_body(0, true, None);
            let outcome = AnswerOutcome {
                output_tokens: tokens,
                ..AnswerOutcome::default()
            };
            let end = end(SECOND + last * 1_000_000, 1, outcome);
            observer.finish(&end, &routed, &mut stats, &mut Vec::new());
        }
        look(&stats, "gpu-1")
    }

    #[test]
    fn first_token_and_speed_are_learned_each_of_its_own() {
        let slow = |ratio: LatencyRatio| (2.4..3.6).contains(&ratio.median);
        let late = after_streams(300, 1300, Some(100));
        assert!(slow(late.first_token), "{late:?}");
        assert_eq!(late.token_time.median, 1.0);
        let slowly = after_streams(100, 3100, Some(100));
        assert!(slow(slowly.token_time), "{slowly:?}");
        assert_eq!(slowly.first_token.median, 1.0);
        // However long the answer is, and however much longer than anybody expected.
        let long = after_streams(100, 80_100, Some(8000));
        assert_eq!(long.latency_ratio(), 1.0);
        // Without a token count, nothing is learned of the speed.
        let unknown = after_streams(100, 80_100, None);
        assert_eq!(unknown.latency_ratio(), 1.0);
    }

    #[test]
    fn who_leaves_after_a_long_silence_was_failed_and_who_leaves_early_was_not() {
        for (after_s, headers, down) in [(1, false, false), (6, false, true), (6, true, true)] {
            let mut stats = BackendStats::new();
            let routed = routed(Failover::Off, &[1]);
            for _ in 0..DOWN_AFTER {
                let mut observer = observer(&mut stats, &routed);
                if headers {
                    observer.on_headers(&[(b":status", b"200")]);
                }
                let end = end((1 + after_s) * SECOND, 1, AnswerOutcome::default());
                observer.finish(&end, &routed, &mut stats, &mut Vec::new());
            }
            assert_eq!(look(&stats, "gpu-1").down, down, "{after_s} s");
        }
    }
}

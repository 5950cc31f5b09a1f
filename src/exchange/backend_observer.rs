//! What an exchange teaches of the backends it was tried at: which of them failed, and how long the one that answered took.

use std::rc::Rc;

use super::decision_annotations::DecisionAnnotations;
use super::usage_recorder::UsageRecorder;
use super::{Effect, Worker};
use crate::api::Capabilities;
use crate::api::request::Request;
use crate::api::usage::AnswerError;
use crate::fleet::clusters;
use crate::fleet::clusters::Failover;
use crate::fleet::{Backend, BackendId};
use crate::policy::Policy;
use crate::routing::decision::Decision;
use crate::state::backend_stats::{
    AnswerTimes, AttemptOutcome, BackendStats, Delivery, Expected, InFlightId, Observed,
    RequestSize,
};
use crate::telemetry::Metric;

/// A decided request under way.
#[derive(Debug)]
pub struct BackendObserver {
    policy: Rc<Policy>,
    /// The backends of its chain, the chosen one first.
    chain: Vec<BackendId>,
    failover: Failover,
    ticket: InFlightId,
    expected: Expected,
    sent_ns: u64,
    /// When the first of the answer's content came, and when bytes of it came last.
    first_ns: Option<u64>,
    last_ns: Option<u64>,
    /// Of the answer; 0 before there is one.
    status: u16,
    /// Something of it came, and whether that was told.
    heard: bool,
    told: bool,
    ended: bool,
    /// Some of its chain may refuse what others can read: that is no fault of theirs.
    is_guessed: bool,
    /// The backend did not end what it had begun.
    broken_off: bool,
}

/// What an answer was, once it is over.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outcome {
    /// What is wrong with it though its status says that nothing is.
    pub fault: Option<AnswerError>,
    /// Its tokens, where they are known.
    pub output_tokens: Option<u64>,
    /// It was thought about for longer than it shows: what was seen of its beginning says nothing of the first token.
    pub hides_reasoning: bool,
}

/// Who asks what is known of the backends.
#[derive(Debug, Clone, Copy)]
pub struct Asking {
    /// How its answer is to come.
    pub delivery: Delivery,
    /// Whether it will be sent, and not only decided on.
    pub decides: bool,
    /// Whether its body is all there: what Envoy cannot hold, it cannot send a second time.
    pub complete: bool,
}

/// What is known of the policy's backends now, in their order: nothing if the policy goes by what it states.
pub fn observe(
    worker: &mut Worker<'_>,
    policy: &Policy,
    now_ns: u64,
    asking: Asking,
) -> Vec<Observed> {
    let backends = &policy.registry.backends;
    let links = backends
        .iter()
        .map(|backend| clusters::backend_key(&backend.name));
    let Some(live) = worker.live.as_mut().filter(|_| policy.observes) else {
        return Vec::new();
    };
    let delivery = asking.delivery;
    let mut observed: Vec<Observed> = match asking.decides {
        true => {
            // Where attempts fail over, those that cannot try nobody. Where none can, somebody has to.
            let may_probe = asking.complete || worker.failover == Failover::Off;
            live.observe_for_decision(links, delivery, may_probe, now_ns)
        }
        false => links
            .map(|link| live.observe(link, delivery, now_ns))
            .collect(),
    };
    for (one, backend) in observed.iter_mut().zip(backends) {
        if let Some(cold) = &backend.cold {
            one.cold_start_ms =
                live.cold_start_ms(clusters::backend_key(&backend.name), cold, now_ns);
        }
    }
    observed
}

/// Tells others that something of the answer came, once.
pub fn hear(account: Option<&mut Box<UsageRecorder>>, worker: &mut Worker<'_>) {
    if let Some(watch) = account.and_then(|account| account.watch.as_mut())
        && let Some(live) = worker.live.as_mut()
        && watch.heard
        && !std::mem::replace(&mut watch.told, true)
    {
        live.on_first_byte(watch.ticket, watch.expected.delivery);
    }
}

/// A backend that scales to zero is in use: a decision wants it, or it has answered.
pub fn keep_warm(
    worker: &mut Worker<'_>,
    policy: &Policy,
    id: BackendId,
    now_ns: u64,
    wanted: bool,
) {
    let backend = policy.registry.backend(id);
    if let Some(live) = &mut worker.live
        && let Some(backend) = backend.filter(|one| one.cold.is_some())
    {
        let link = clusters::backend_key(&backend.name);
        match wanted {
            true => live.scale_to_zero.on_decision(link, now_ns),
            false => live.scale_to_zero.on_answer(link, now_ns),
        }
    }
}

/// How Envoy calls it when an upstream breaks off what it has begun. It tells no filter before the exchange is over, so
/// nothing can be added to the stream; but then it says who it was.
const BROKEN_OFF: &[u8] = b"upstream_reset_after_response_started";

/// The exchange of `account` is over; `details` say how, where its answer was cut off.
pub fn close(
    account: Option<&mut Box<UsageRecorder>>,
    details: Option<&[u8]>,
    now_ns: u64,
    trace: &DecisionAnnotations,
    worker: &mut Worker<'_>,
    effects: &mut Vec<Effect>,
) {
    let Some(account) = account else { return };
    if account.is_answered() {
        let answered = trace.answered().unwrap_or(account.chosen());
        keep_warm(worker, account.policy(), answered, now_ns, false);
        let was_reset = details.is_some_and(|text| text.starts_with(BROKEN_OFF));
        let broken_off = was_reset || account.is_cut_short;
        if broken_off && let Some(backend) = account.policy().registry.backend(answered) {
            effects.push(Effect::Count(Metric::responses_truncated(&backend.name)));
            if let Some(watch) = &mut account.watch {
                watch.broken_off = true;
            }
        }
    }
    let outcome = account.outcome();
    if let Some(watch) = account.watch.take()
        && let Some(live) = &mut worker.live
    {
        let came = Came {
            now_ns,
            attempts: trace.tries(),
            answered: trace.answered(),
            outcome,
        };
        watch.close(&came, live, effects);
    }
}

/// What is known of an exchange once it is over.
#[derive(Debug, Clone, Copy)]
struct Came {
    now_ns: u64,
    /// How many attempts it took.
    attempts: u64,
    /// The backend that answered, where it is another one than was chosen.
    answered: Option<BackendId>,
    outcome: Outcome,
}

impl BackendObserver {
    /// The request of `decision` goes its way.
    pub fn open(
        worker: &mut Worker<'_>,
        policy: &Rc<Policy>,
        decision: &Decision,
        request: &Request<'_>,
        trace: &DecisionAnnotations,
        now_ns: u64,
    ) -> Option<BackendObserver> {
        let live = worker.live.as_mut().filter(|_| policy.observes)?;
        let backend = policy.registry.backend(decision.backend)?;
        let link = clusters::backend_key(&backend.name);
        let (failover, chain) = trace.chain()?;
        let expected = expect(policy, backend, decision, request);
        Some(BackendObserver {
            policy: Rc::clone(policy),
            chain: chain.to_vec(),
            failover,
            ticket: live.on_sent(link, now_ns, &expected)?,
            expected,
            sent_ns: now_ns,
            first_ns: None,
            last_ns: None,
            status: 0,
            heard: false,
            told: false,
            ended: false,
            is_guessed: decision.foreign.is_guessed,
            broken_off: false,
        })
    }

    /// The response's headers are there, with this status.
    pub fn head(&mut self, status: &[u8]) {
        let status = std::str::from_utf8(status).ok();
        self.status = status.and_then(|text| text.parse().ok()).unwrap_or(0);
    }

    /// The end of the response was seen.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Bytes of the response came.
    pub fn heard(&mut self) {
        self.heard = true;
    }

    /// Bytes of the response were read; `has_content` is whether there was anything in it by now.
    pub fn came(&mut self, now_ns: u64, has_content: bool) {
        self.last_ns = Some(now_ns);
        if has_content {
            self.first_ns.get_or_insert(now_ns);
        }
    }

    /// The exchange is over.
    fn close(self, came: &Came, live: &mut BackendStats, effects: &mut Vec<Effect>) {
        let now_ns = came.now_ns;
        let last = self.ending(came);
        let attempts = usize::try_from(came.attempts.max(1)).unwrap_or(usize::MAX);
        let first = self.chain.first().copied();
        let answered = came.answered.or(first);
        if attempts == 1 && answered == first {
            return self.ended(last, now_ns, live, effects);
        }
        // The first attempt failed, unless Envoy passed its cluster over.
        let begun = if attempts > 1 && !self.is_guessed {
            AttemptOutcome::Failed
        } else {
            AttemptOutcome::Unknown
        };
        if self.failover == Failover::Off {
            let ending = match last {
                AttemptOutcome::Answered(_) => AttemptOutcome::AnsweredLate,
                other => other,
            };
            return self.ended(ending, now_ns, live, effects);
        }
        self.ended(begun, now_ns, live, effects);
        if self.failover == Failover::PerAttempt && !self.is_guessed {
            for turn in 1..attempts.saturating_sub(1).min(self.chain.len() * 2) {
                let id = turn
                    .checked_rem(self.chain.len())
                    .and_then(|place| self.chain.get(place).copied());
                self.attempted(id, AttemptOutcome::Failed, now_ns, live, effects);
            }
        }
        self.attempted(answered, last, now_ns, live, effects);
    }

    /// The request that was sent to the chosen backend has ended so.
    fn ended(
        &self,
        ending: AttemptOutcome,
        now_ns: u64,
        live: &mut BackendStats,
        effects: &mut Vec<Effect>,
    ) {
        if live.on_end(self.ticket, &self.expected, ending, now_ns) {
            self.tell(self.chain.first().copied(), effects);
        }
    }

    fn attempted(
        &self,
        id: Option<BackendId>,
        ending: AttemptOutcome,
        now_ns: u64,
        live: &mut BackendStats,
        effects: &mut Vec<Effect>,
    ) {
        let failed = ending == AttemptOutcome::Failed;
        if failed {
            self.tell(id, effects);
        }
        if let Some(link) = id.and_then(|id| link(&self.policy, id))
            && !matches!(
                ending,
                AttemptOutcome::Unknown | AttemptOutcome::Left { .. }
            )
        {
            live.on_attempt(link, self.expected.delivery, failed, now_ns);
        }
    }

    /// Counts an attempt that failed.
    fn tell(&self, id: Option<BackendId>, effects: &mut Vec<Effect>) {
        if let Some(backend) = id.and_then(|id| self.policy.registry.backend(id)) {
            effects.push(Effect::Count(Metric::attempt_failures(&backend.name)));
        }
    }

    /// How the last attempt ended.
    fn ending(&self, came: &Came) -> AttemptOutcome {
        let ms = |until: u64| until.saturating_sub(self.sent_ns) as f32 / 1e6;
        let left = match self.heard {
            true => AttemptOutcome::Unknown,
            false => AttemptOutcome::Left {
                after_ms: ms(came.now_ns),
            },
        };
        match self.status {
            429 | 500.. => AttemptOutcome::Failed,
            _ if self.broken_off => AttemptOutcome::Failed,
            0 => left,
            200..=299 => match came.outcome.fault {
                Some(AnswerError::Reported | AnswerError::Empty) => AttemptOutcome::Failed,
                _ if !self.ended => left,
                Some(AnswerError::ClientError) => AttemptOutcome::AnsweredLate,
                None => AttemptOutcome::Answered(AnswerTimes {
                    first_token_ms: self
                        .first_ns
                        .filter(|_| !came.outcome.hides_reasoning)
                        .map(ms),
                    last_ms: ms(self.last_ns.unwrap_or(came.now_ns)),
                    output_tokens: came.outcome.output_tokens,
                }),
            },
            _ if !self.ended => AttemptOutcome::Unknown,
            _ => AttemptOutcome::AnsweredLate,
        }
    }
}

/// What `backend` states of the answer to `request`.
fn expect(
    policy: &Policy,
    backend: &Backend,
    decision: &Decision,
    request: &Request<'_>,
) -> Expected {
    let model = policy.registry.model(decision.model);
    let most = model.map_or(u32::MAX, |model| model.max_output_tokens);
    let reasons = model.is_some_and(|model| model.capabilities.contains(Capabilities::REASONING));
    let size = RequestSize {
        input_tokens: decision.input_tokens,
        max_output_tokens: request.max_tokens.unwrap_or(u32::MAX).min(most),
        reasons,
    };
    let delivery = Delivery::from_stream(request.stream);
    Expected::new(delivery, &backend.latency, decision.cold_start_ms, size)
}

fn link(policy: &Policy, id: BackendId) -> Option<u32> {
    Some(clusters::backend_key(&policy.registry.backend(id)?.name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::exchange::testing::POLICY;
    use crate::state::backend_stats::{DOWN_AFTER, LatencyRatio};

    const SECOND: u64 = 1_000_000_000;

    fn watch(live: &mut BackendStats, failover: Failover, chain: &[u32]) -> BackendObserver {
        let policy = Rc::new(Policy::compile(POLICY).unwrap());
        let link = link(&policy, BackendId(chain[0])).unwrap();
        BackendObserver {
            policy,
            chain: chain.iter().copied().map(BackendId).collect(),
            failover,
            ticket: live.on_sent(link, SECOND, &EXPECTED).unwrap(),
            expected: EXPECTED,
            sent_ns: SECOND,
            first_ns: None,
            last_ns: None,
            status: 0,
            heard: false,
            told: false,
            ended: false,
            is_guessed: false,
            broken_off: false,
        }
    }

    /// 100 ms to the first token, 10 ms for each.
    const EXPECTED: Expected = Expected {
        delivery: Delivery::Streamed,
        first_token_ms: 100.0,
        first_token_p99_ms: 300.0,
        token_ms: 10.0,
        reading_ms: 0.0,
        patience_ms: 5_000.0,
        usual_ms: 5_000.0,
    };

    fn look(live: &BackendStats, name: &str) -> Observed {
        live.observe(clusters::backend_key(name), Delivery::Streamed, 2 * SECOND)
    }

    fn came(at_ns: u64, attempts: u64, answered: Option<u32>, outcome: Outcome) -> Came {
        Came {
            now_ns: at_ns,
            attempts,
            answered: answered.map(BackendId),
            outcome,
        }
    }

    #[test]
    fn failed_attempts_are_charged_to_whom_they_were_made_at() {
        let mut live = BackendStats::new();
        let mut effects = Vec::new();
        let mut one = watch(&mut live, Failover::PerAttempt, &[1, 0, 2]);
        one.head(b"200");
        one.end();
        let over = came(2 * SECOND, 3, Some(2), Outcome::default());
        one.close(&over, &mut live, &mut effects);
        let rate = |name| look(&live, name).error_rate;
        assert!(rate("gpu-1") > 0.0 && rate("cpu-1") > 0.0);
        assert_eq!(rate("lpu-1"), 0.0);
        assert_eq!(effects.len(), 2);
        assert_eq!(look(&live, "gpu-1").in_flight, 0);
    }

    /// Whether a backend is down after so many answers of this status and outcome.
    fn is_down_after(status: &[u8], outcome: Outcome) -> bool {
        let mut live = BackendStats::new();
        for _ in 0..DOWN_AFTER {
            let mut one = watch(&mut live, Failover::Off, &[1]);
            one.head(status);
            one.heard();
            one.end();
            let over = came(2 * SECOND, 1, None, outcome);
            one.close(&over, &mut live, &mut Vec::new());
        }
        look(&live, "gpu-1").down
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
            let down = is_down_after(text.as_bytes(), Outcome::default());
            assert_eq!(down, failed, "{status}");
        }
        for (fault, failed) in [
            (AnswerError::Reported, true),
            (AnswerError::Empty, true),
            (AnswerError::ClientError, false),
        ] {
            let outcome = Outcome {
                fault: Some(fault),
                ..Outcome::default()
            };
            assert_eq!(is_down_after(b"200", outcome), failed, "{fault:?}");
        }
    }

    /// What is known after 20 streams whose first token comes at `first` and whose last at `last`, in milliseconds.
    fn after_streams(first: u64, last: u64, tokens: Option<u64>) -> Observed {
        let mut live = BackendStats::new();
        for _ in 0..20 {
            let mut one = watch(&mut live, Failover::PerAttempt, &[1, 2]);
            one.head(b"200");
            one.came(SECOND + first * 1_000_000, true);
            one.came(SECOND + last * 1_000_000, true);
            one.end();
            let outcome = Outcome {
                output_tokens: tokens,
                ..Outcome::default()
            };
            let over = came(SECOND + last * 1_000_000, 1, None, outcome);
            one.close(&over, &mut live, &mut Vec::new());
        }
        look(&live, "gpu-1")
    }

    #[test]
    fn first_token_and_speed_are_learned_each_of_its_own() {
        let slow = |seen: LatencyRatio| (2.4..3.6).contains(&seen.median);
        let late = after_streams(300, 1300, Some(100));
        assert!(slow(late.first_token), "{late:?}");
        assert_eq!(late.token_time.median, 1.0);
        let slowly = after_streams(100, 3100, Some(100));
        assert!(slow(slowly.token_time), "{slowly:?}");
        assert_eq!(slowly.first_token.median, 1.0);
        // However long the answer is, and however much longer than anybody expected.
        let long = after_streams(100, 80_100, Some(8000));
        assert_eq!(long.latency_ratio(), 1.0);
        // Where nobody counts, nothing is learned of the speed.
        let unknown = after_streams(100, 80_100, None);
        assert_eq!(unknown.latency_ratio(), 1.0);
    }

    #[test]
    fn who_leaves_after_a_long_silence_was_failed_and_who_leaves_early_was_not() {
        for (after_s, headers, down) in [(1, false, false), (6, false, true), (6, true, true)] {
            let mut live = BackendStats::new();
            for _ in 0..DOWN_AFTER {
                let mut one = watch(&mut live, Failover::Off, &[1]);
                if headers {
                    one.head(b"200");
                }
                let over = came((1 + after_s) * SECOND, 1, None, Outcome::default());
                one.close(&over, &mut live, &mut Vec::new());
            }
            assert_eq!(look(&live, "gpu-1").down, down, "{after_s} s");
        }
    }
}

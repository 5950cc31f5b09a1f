//! How a decided request is told to Envoy with its chain of backends, and which of them answered in the end.

use std::rc::Rc;

use super::decision_annotations::printable;
use super::{Effect, Header, Worker, find};
use crate::api::request::Request;
use crate::fleet::clusters::{Failover, aggregate_name};
use crate::fleet::{AnswerBound, Backend, BackendId, Registry, Timeouts};
use crate::policy::Policy;
use crate::routing::decision::Decision;
use crate::routing::fallback_chain::{FallbackChain, Patience, PolicyRef};
use crate::telemetry::{header, state};

/// How often a request is tried again at most: each time costs the client an answer's worth of waiting.
const MOST_RETRIES: usize = 5;
/// How long a client waits that does not say so, in milliseconds: what the SDKs of OpenAI and Anthropic do.
const USUAL_PATIENCE_MS: u64 = 600_000;
/// How many tokens an answer is taken to have where nothing tells.
const USUAL_TOKENS: f32 = 256.0;
/// How often Envoy tries again; read by its router alone.
const MAX_RETRIES: &str = "x-envoy-max-retries";
/// How long Envoy waits for the first byte of an attempt, in milliseconds; read by its router alone.
const FIRST_BYTE: &str = "x-envoy-upstream-rq-per-try-timeout-ms";

/// The request header by which Envoy is told of statuses to try again, beside those of its route.
const RETRIABLE: &str = "x-envoy-retriable-status-codes";

/// How backends answer who sends them state that they cannot read.
const REFUSALS: &str = "400,404,422";

/// The backends that a request may have been tried at.
#[derive(Debug)]
pub struct AttemptPlan {
    policy: Rc<Policy>,
    /// In the order of the chain; never empty.
    backends: Vec<BackendId>,
    /// How Envoy follows the chain.
    pub failover: Failover,
}

impl AttemptPlan {
    /// The backend that answered, and its policy. `host` is its name where an aggregate's host says so: an aggregate passes
    /// over clusters that it takes for dead, so the number of attempts does not tell.
    pub fn answered(&self, attempts: u64, host: Option<&str>) -> Option<(&Policy, BackendId)> {
        let registry = &self.policy.registry;
        let named = host.and_then(|name| {
            let mut ids = self.backends.iter().copied();
            ids.find(|id| registry.backend(*id).is_some_and(|one| one.name == name))
        });
        let turn = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let by_turn = match self.failover {
            Failover::PerAttempt => turn.checked_rem(self.backends.len()),
            Failover::Aggregate { .. } => Some(turn.min(self.backends.len().saturating_sub(1))),
            Failover::Off => Some(0),
        };
        let id = named.or_else(|| self.backends.get(by_turn?).copied())?;
        Some((self.policy.as_ref(), id))
    }

    /// All of them, in the order of the chain.
    pub fn backends(&self) -> &[BackendId] {
        &self.backends
    }

    /// The backend that was to be tried first.
    pub fn chosen(&self) -> Option<BackendId> {
        self.backends.first().copied()
    }

    /// Whether another one than the first may have answered.
    pub fn is_open(&self) -> bool {
        self.backends.len() > 1
    }
}

/// How many milliseconds a client waits for its answer, or for the next part of it: the SDKs of OpenAI and Anthropic say it
/// in seconds, an Envoy before this one in milliseconds.
pub fn patience_ms(headers: &[Header<'_>]) -> u64 {
    let stated = |name, unit_ms: f64| {
        let text = std::str::from_utf8(find(headers, name)?).ok()?;
        let number: f64 = text.trim().parse().ok()?;
        let ms = number * unit_ms;
        (1.0..=86_400_000.0).contains(&ms).then_some(ms as u64)
    };
    stated("x-stainless-timeout", 1000.0)
        .or_else(|| stated("x-stainless-read-timeout", 1000.0))
        .or_else(|| stated("x-envoy-expected-rq-timeout-ms", 1.0))
        .unwrap_or(USUAL_PATIENCE_MS)
}

/// What is told of a request besides its decision.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The request.
    pub request: &'a Request<'a>,
    /// Its length as the decision leaves it.
    pub content_length: Option<u64>,
    /// How long its client waits.
    pub patience_ms: u64,
    /// When that was asked, in nanoseconds since 1970.
    pub now_ns: u64,
}

/// Names the cluster of the decision, and where attempts can fail over, the chain.
pub fn name(
    worker: &Worker<'_>,
    policy: &Rc<Policy>,
    decision: &Decision,
    asked: &Asked<'_>,
    effects: &mut Vec<Effect>,
) -> AttemptPlan {
    let registry = &policy.registry;
    let most = match worker.failover {
        Failover::Off => 1,
        Failover::Aggregate { max_chain_length } => max_chain_length,
        Failover::PerAttempt => usize::MAX,
    };
    let mut backends = vec![decision.backend];
    backends.extend(decision.fallbacks.iter().copied());
    backends.truncate(most.clamp(1, MOST_RETRIES + 1));
    let cluster = match worker.failover {
        Failover::Aggregate { .. } => aggregate_name(clusters(registry, &backends)),
        _ => clusters(registry, &backends)
            .next()
            .unwrap_or_default()
            .to_owned(),
    };
    set_cluster(worker.cluster_header, &cluster, effects);
    if worker.failover != Failover::Off {
        let origin = PolicyRef {
            policy: policy.mark(),
            plugin: worker.plugin,
        };
        let patience = Patience {
            until_ns: asked.now_ns.saturating_add(asked.patience_ms * 1_000_000),
            tokens: tokens_before_first_byte(decision, asked.request),
        };
        let length = asked.content_length;
        let mut chain = FallbackChain::new(registry, origin, &backends, length, patience);
        chain.answer = cut_down(policy, decision);
        effects.push(Effect::SetState {
            key: state::CHAIN,
            value: chain.to_text(),
        });
        set(header::CHAIN, backends.len().to_string(), effects);
        let tried = backends.iter().filter_map(|id| registry.backend(*id));
        set_timers(tried, backends.len(), asked, effects);
        if decision.foreign.is_guessed && backends.len() > 1 {
            // Envoy's own header, which it takes out again: who cannot read the state that was guessed to be theirs answers so.
            set(RETRIABLE, REFUSALS.to_owned(), effects);
        }
    }
    AttemptPlan {
        policy: Rc::clone(policy),
        backends,
        failover: worker.failover,
    }
}

/// How long an answer the body asks for as it stands now: cut down to what the decision's model can write.
fn cut_down(policy: &Policy, decision: &Decision) -> Option<AnswerBound> {
    let answer = decision.answer?;
    let model = policy.registry.model(decision.model);
    let less = model.and_then(|model| answer.less_of(model));
    Some(AnswerBound {
        most_tokens: less.unwrap_or(answer.most_tokens),
        ..answer
    })
}

/// Tells Envoy how often to try, and how long to wait for the first byte. Its timer is the same for every attempt of a
/// request, so it is the longest of the chain's, and never so long that nothing of the client's time is left for the next.
/// Who is alone has all of that time.
fn set_timers<'a>(
    tried: impl Iterator<Item = &'a Backend>,
    count: usize,
    asked: &Asked<'_>,
    effects: &mut Vec<Effect>,
) {
    let request = asked.request;
    let tokens = request.max_tokens.unwrap_or(Timeouts::LONG_ANSWER_TOKENS);
    let (mut first_byte, mut pause) = (1.0_f32, 1.0_f32);
    for backend in tried {
        let limits = &backend.timeouts;
        pause = pause.max(limits.idle_ms);
        first_byte = first_byte.max(match request.stream {
            true => limits.first_token_ms,
            false => limits.whole_ms(&backend.latency, tokens),
        });
    }
    if request.stream {
        set(header::STREAM, (pause as u64).to_string(), effects);
    }
    if count > 1 {
        let most = (asked.patience_ms / 2).max(1);
        let limit = (first_byte as u64).clamp(1, most);
        set(MAX_RETRIES, (count - 1).to_string(), effects);
        set(FIRST_BYTE, limit.to_string(), effects);
    }
}

/// How many tokens are written before the first byte is sent.
fn tokens_before_first_byte(decision: &Decision, request: &Request<'_>) -> u32 {
    if request.stream {
        return 0;
    }
    let classification = decision.classification.as_ref();
    let expected = classification.map_or(USUAL_TOKENS, |one| one.output_tokens);
    (expected as u32).min(request.max_tokens.unwrap_or(u32::MAX))
}

fn clusters<'a>(
    registry: &'a Registry,
    backends: &'a [BackendId],
) -> impl Iterator<Item = &'a str> {
    backends
        .iter()
        .filter_map(|id| Some(registry.backend(*id)?.cluster.as_str()))
}

fn set(name: &str, value: String, effects: &mut Vec<Effect>) {
    effects.push(Effect::SetRequestHeader {
        name: name.to_owned(),
        value,
    });
}

/// Names the cluster that the request goes to.
pub fn set_cluster(cluster_header: &str, cluster: &str, effects: &mut Vec<Effect>) {
    set(cluster_header, printable(cluster), effects);
}

//! Tells Envoy where a decided request goes: its cluster, its fallback chain, and how long to wait for each attempt.

use smol_str::SmolStr;

use super::decision_annotations::{printable, set_state};
use super::effect::set_request_header;
use super::{Effect, Worker};
use crate::api::request::Request;
use crate::decimal::decimal;
use crate::fleet::clusters::{Failover, aggregate_name};
use crate::fleet::{AnswerBound, Backend, BackendId, Registry, Timeouts};
use crate::policy::Policy;
use crate::routing::decision::Decision;
use crate::routing::fallback_chain::{FallbackChain, FirstByteDeadline, PolicyRef};
use crate::telemetry::{header, state};

/// The most retries of a request: each costs the client as much waiting as an answer.
const MOST_RETRIES: usize = 5;
/// The expected length of an answer if nothing is known, in tokens.
const USUAL_TOKENS: f32 = 256.0;
/// The number of retries; read by Envoy's router alone.
const MAX_RETRIES: &str = "x-envoy-max-retries";
/// How long Envoy waits for the first byte of an attempt, in milliseconds; read by its router alone.
const FIRST_BYTE: &str = "x-envoy-upstream-rq-per-try-timeout-ms";

/// Statuses that Envoy retries, in addition to those of its route; read by its router alone.
const RETRIABLE: &str = "x-envoy-retriable-status-codes";

/// The statuses of backends that refuse state which they cannot read.
const REFUSALS: &str = "400,404,422";

/// A request as it is sent.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The request.
    pub request: &'a Request<'a>,
    /// The length of the body after the decision's edits.
    pub content_length: Option<u64>,
    /// How long the client waits.
    pub client_timeout_ms: u64,
    /// When the body was read, in nanoseconds since 1970.
    pub now_ns: u64,
}

/// Sets the cluster of the decision and, if attempts can fail over, the fallback chain. Gives the backends that may be tried,
/// in their order.
pub fn set_upstream(
    worker: &Worker<'_>,
    policy: &Policy,
    decision: &Decision,
    outgoing: &Outgoing<'_>,
    effects: &mut Vec<Effect>,
) -> Vec<BackendId> {
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
            policy: policy.fingerprint32(),
            plugin: worker.plugin,
        };
        let deadline = FirstByteDeadline {
            until_ns: outgoing
                .now_ns
                .saturating_add(outgoing.client_timeout_ms * 1_000_000),
            tokens: tokens_before_first_byte(decision, outgoing.request),
        };
        let length = outgoing.content_length;
        let mut chain = FallbackChain::new(registry, origin, &backends, length, deadline);
        chain.answer = cut_down(policy, decision);
        set_state(effects, state::CHAIN, &chain.to_text());
        set_request_header(header::CHAIN, decimal(backends.len() as u64), effects);
        let tried = backends.iter().filter_map(|id| registry.backend(*id));
        set_timers(tried, backends.len(), outgoing, effects);
        if decision.foreign.is_guessed && backends.len() > 1 {
            // The maker of the state is a guess. A backend that cannot read the state refuses with one of these.
            set_request_header(RETRIABLE, SmolStr::new_static(REFUSALS), effects);
        }
    }
    backends
}

/// The bound of the answer that the body states now, cut down to what the decision's model can write.
fn cut_down(policy: &Policy, decision: &Decision) -> Option<AnswerBound> {
    let answer = decision.answer?;
    let model = policy.registry.model(decision.model);
    let less = model.and_then(|model| answer.less_of(model));
    Some(AnswerBound {
        most_tokens: less.unwrap_or(answer.most_tokens),
        ..answer
    })
}

/// Tells Envoy the number of retries and the time to the first byte. One timer serves all attempts of a request: the longest
/// of the chain's, but never so long that none of the client's time is left for the next attempt. A single backend has all of
/// that time.
fn set_timers<'a>(
    tried: impl Iterator<Item = &'a Backend>,
    count: usize,
    outgoing: &Outgoing<'_>,
    effects: &mut Vec<Effect>,
) {
    let request = outgoing.request;
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
        set_request_header(header::STREAM, decimal(pause as u64), effects);
    }
    if count > 1 {
        let most = (outgoing.client_timeout_ms / 2).max(1);
        let limit = (first_byte as u64).clamp(1, most);
        set_request_header(MAX_RETRIES, decimal(count as u64 - 1), effects);
        set_request_header(FIRST_BYTE, decimal(limit), effects);
    }
}

/// Tokens that are generated before the first byte is sent.
fn tokens_before_first_byte(decision: &Decision, request: &Request<'_>) -> u32 {
    if request.stream {
        return 0;
    }
    let classification = decision.classification.as_ref();
    let expected = classification.map_or(USUAL_TOKENS, |found| found.output_tokens);
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

/// Sets the cluster of the request.
pub fn set_cluster(cluster_header: &str, cluster: &str, effects: &mut Vec<Effect>) {
    set_request_header(cluster_header, printable(cluster), effects);
}

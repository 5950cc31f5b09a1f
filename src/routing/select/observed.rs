//! The effect of observed state on a choice: first token and writing take as many times longer as observed, and a cold start adds
//! to that. Backends that are down, or whose ramp excludes the conversation, are passed over as long as there are others.

use crate::fleet::{BackendId, Latency};
use crate::routing::decision::{Candidate, Ineligible};
use crate::state::backend_stats::{NOTICED, Observed};

/// The time from first to last token at the 99th percentile, as a multiple of the median: answers are longer than expected and
/// batches fuller. An assumption: policies declare nothing about it.
const GENERATION_P99_SPREAD: f32 = 1.5;

/// The observed state of `backend`.
pub(in crate::routing) fn find(observed: &[Observed], backend: BackendId) -> Observed {
    observed
        .get(backend.0 as usize)
        .copied()
        .unwrap_or(Observed::UNOBSERVED)
}

/// The latencies of an answer, in milliseconds.
pub(super) struct Latencies {
    pub(super) first_token_p50_ms: f32,
    pub(super) first_token_p99_ms: f32,
    pub(super) p50_ms: f32,
    pub(super) p99_ms: f32,
}

/// The latencies of an answer of so many tokens: the declared ones, corrected by the observed state.
pub(super) fn latencies(declared: &Latency, output_tokens: f32, observed: &Observed) -> Latencies {
    let (first, token) = (observed.first_token, observed.token_time);
    let writing = 1000.0 * output_tokens / declared.tokens_per_second;
    // A tail counts, as a median does, only if it is clearly worse than declared.
    let tail = |seen: f32, declared: f32| match seen >= NOTICED * declared {
        true => seen,
        false => 0.0,
    };
    let first_tail = tail(
        first.p99 * declared.first_token_p50_ms,
        declared.first_token_p99_ms,
    );
    let writing_tail = tail(token.p99 * writing, GENERATION_P99_SPREAD * writing);
    let cold = observed.cold_start_ms;
    let first_token_p50_ms = declared.first_token_p50_ms * first.median + cold;
    let first_token_p99_ms = (declared.first_token_p99_ms * first.median).max(first_tail) + cold;
    Latencies {
        first_token_p50_ms,
        first_token_p99_ms,
        p50_ms: first_token_p50_ms + writing * token.median,
        p99_ms: first_token_p99_ms
            + (writing * token.median * GENERATION_P99_SPREAD).max(writing_tail),
    }
}

/// The relaxation depths of the candidates to choose from: if any of them is `wanted`, only the wanted ones have one.
pub(super) fn narrow(
    candidates: &[Candidate],
    depths: &[Option<usize>],
    wanted: impl Fn(&Candidate) -> bool,
) -> Vec<Option<usize>> {
    let mut pairs = candidates.iter().zip(depths);
    if !pairs.any(|(candidate, depth)| depth.is_some() && wanted(candidate)) {
        return depths.to_vec();
    }
    let pairs = candidates.iter().zip(depths);
    pairs
        .map(|(candidate, depth)| depth.filter(|_| wanted(candidate)))
        .collect()
}

/// Marks each candidate that was left out between `before` and `after` with the reason.
pub(super) fn mark_left_out(
    candidates: &mut [Candidate],
    before: &[Option<usize>],
    after: &[Option<usize>],
    why: &Ineligible,
) {
    for ((candidate, before), after) in candidates.iter_mut().zip(before).zip(after) {
        if before.is_some() && after.is_none() && candidate.ineligible.is_none() {
            candidate.ineligible = Some(why.clone());
        }
    }
}

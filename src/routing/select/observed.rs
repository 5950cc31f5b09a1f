//! The effect of observed state on a choice: first token and writing take as many times longer as observed, and a cold start adds
//! to that. Backends that are down, or whose ramp excludes the conversation, are passed over as long as there are others.

use crate::analysis::answer_length::AnswerLength;
use crate::fleet::{BackendId, Latency};
use crate::routing::decision::{Candidate, Ineligible};
use crate::state::backend_stats::{NOTICED, Observed};

/// The time per token at its 99th percentile, as a multiple of its median: batches are fuller. An assumption: policies declare
/// nothing about it.
const TOKEN_TIME_P99_SPREAD: f32 = 1.5;

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

/// The latencies of an answer of this length that ends at `most_tokens` at the latest: the
/// declared ones, corrected by the observed state.
///
/// The median is that of the first token plus that of the writing. Length and time per token are log-normal and independent, so
/// the 99th percentile of their product adds the squares of their spreads; the bound holds it. How much later than the median
/// first token and writing are at their 99th percentiles adds up by squares too: both are seldom late together.
pub(super) fn latencies(
    declared: &Latency,
    length: &AnswerLength,
    most_tokens: f32,
    observed: &Observed,
) -> Latencies {
    let (first, token) = (observed.first_token, observed.token_time);
    let token_ms = 1000.0 / declared.tokens_per_second;
    // A tail counts, as a median does, only if it is clearly worse than declared.
    let tail = |seen: f32, declared: f32| match seen >= NOTICED * declared {
        true => seen,
        false => 0.0,
    };
    let first_tail = tail(
        first.p99 * declared.first_token_p50_ms,
        declared.first_token_p99_ms,
    );
    let token_p99 =
        (token.median * TOKEN_TIME_P99_SPREAD).max(tail(token.p99, TOKEN_TIME_P99_SPREAD));
    let cold = observed.cold_start_ms;
    let first_token_p50_ms = declared.first_token_p50_ms * first.median + cold;
    let first_token_p99_ms = (declared.first_token_p99_ms * first.median).max(first_tail) + cold;
    let writing_ms = token_ms * token.median * length.median.min(most_tokens);
    let longest_ms = token_ms * token_p99 * most_tokens;
    let unbounded_ms = token_ms * token.median * length.median;
    let writing_p99_ms =
        (unbounded_ms * length.p99_ratio(token_p99 / token.median)).min(longest_ms);
    let late = (first_token_p99_ms - first_token_p50_ms).hypot(writing_p99_ms - writing_ms);
    Latencies {
        first_token_p50_ms,
        first_token_p99_ms,
        p50_ms: first_token_p50_ms + writing_ms,
        p99_ms: first_token_p50_ms + writing_ms + late,
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

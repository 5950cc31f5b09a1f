//! What was observed of the backends, as it bears on a choice: the first token and the writing of the answer each take as many
//! times longer as they were seen to, a cold start comes on top, and who
//! is down is passed over as long as there is anybody else; so is who is not this conversation's.

use crate::fleet::{BackendId, Latency};
use crate::routing::decision::{Candidate, Ineligible};
use crate::state::backend_stats::{NOTICED, Observed};

/// By how much the time from first to last token grows at the 99th percentile: answers are longer than expected and
/// batches fuller. An assumption: nothing is stated of it.
const GENERATION_P99_SPREAD: f32 = 1.5;

/// What was observed of `backend`; what is stated counts where nothing was.
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

/// What `stated` comes to now, for an answer of so many tokens.
pub(super) fn latencies(stated: &Latency, output_tokens: f32, observed: &Observed) -> Latencies {
    let (first, token) = (observed.first_token, observed.token_time);
    let writing = 1000.0 * output_tokens / stated.tokens_per_second;
    // Of a tail counts as of a median only what is clearly worse than stated.
    let tail = |seen: f32, stated: f32| match seen >= NOTICED * stated {
        true => seen,
        false => 0.0,
    };
    let first_tail = tail(
        first.p99 * stated.first_token_p50_ms,
        stated.first_token_p99_ms,
    );
    let writing_tail = tail(token.p99 * writing, GENERATION_P99_SPREAD * writing);
    let cold = observed.cold_start_ms;
    let first_token_p50_ms = stated.first_token_p50_ms * first.median + cold;
    let first_token_p99_ms = (stated.first_token_p99_ms * first.median).max(first_tail) + cold;
    Latencies {
        first_token_p50_ms,
        first_token_p99_ms,
        p50_ms: first_token_p50_ms + writing * token.median,
        p99_ms: first_token_p99_ms
            + (writing * token.median * GENERATION_P99_SPREAD).max(writing_tail),
    }
}

/// The depths of those that are to be chosen from: where anybody is `wanted`, none of the others.
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

/// Writes into each candidate that was left out between `before` and `after` why.
pub(super) fn mark(
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

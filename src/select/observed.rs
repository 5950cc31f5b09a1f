//! What was observed of the backends, as it bears on a choice: estimates grow with the slowdown and with a cold start, and who
//! is down is passed over as long as there is anybody else; so is who is not this conversation's.

use crate::decision::{Candidate, Estimate, Ineligible};
use crate::live::Observed;
use crate::registry::BackendId;

/// What was observed of `backend`; what is stated counts where nothing was.
pub(super) fn find(observed: &[Observed], backend: BackendId) -> Observed {
    observed
        .get(backend.0 as usize)
        .copied()
        .unwrap_or(Observed::NOTHING)
}

/// `estimate`, made of what is stated, as it is now.
pub(super) fn adapt(estimate: Estimate, observed: &Observed) -> Estimate {
    let cold = observed.cold_start_ms;
    let first_token_p99_ms = estimate.first_token_p99_ms * observed.slowdown;
    Estimate {
        latency_p50_ms: estimate.latency_p50_ms * observed.slowdown + cold,
        latency_p99_ms: (estimate.latency_p99_ms * observed.slowdown)
            .max(estimate.latency_p50_ms * observed.slowdown_p99)
            + cold,
        first_token_p99_ms: observed
            .first_token_p99_ms
            .map_or(first_token_p99_ms, |seen| seen.max(first_token_p99_ms))
            + cold,
        ..estimate
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

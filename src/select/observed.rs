//! What was observed of the backends, as it bears on a choice: estimates grow with the slowdown, and who is down is passed
//! over as long as there is anybody else.

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
    let first_token_p99_ms = estimate.first_token_p99_ms * observed.slowdown;
    Estimate {
        latency_p50_ms: estimate.latency_p50_ms * observed.slowdown,
        latency_p99_ms: (estimate.latency_p99_ms * observed.slowdown)
            .max(estimate.latency_p50_ms * observed.slowdown_p99),
        first_token_p99_ms: observed
            .first_token_p99_ms
            .map_or(first_token_p99_ms, |seen| seen.max(first_token_p99_ms)),
        ..estimate
    }
}

/// The depths of those that are to be chosen from: where anybody is up, none of those that are down.
pub(super) fn up_only(
    candidates: &[Candidate],
    depths: &[Option<usize>],
    observed: &[Observed],
) -> Vec<Option<usize>> {
    let is_up = |candidate: &Candidate| !find(observed, candidate.backend).down;
    let mut pairs = candidates.iter().zip(depths);
    if !pairs.any(|(candidate, depth)| depth.is_some() && is_up(candidate)) {
        return depths.to_vec();
    }
    let pairs = candidates.iter().zip(depths);
    pairs
        .map(|(candidate, depth)| depth.filter(|_| is_up(candidate)))
        .collect()
}

/// Writes into each candidate that is passed over why.
pub(super) fn mark(
    candidates: &mut [Candidate],
    depths: &[Option<usize>],
    choosable: &[Option<usize>],
) {
    for ((candidate, depth), chosen_from) in candidates.iter_mut().zip(depths).zip(choosable) {
        if depth.is_some() && chosen_from.is_none() && candidate.ineligible.is_none() {
            candidate.ineligible = Some(Ineligible::Down);
        }
    }
}

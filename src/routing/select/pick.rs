//! Picks one of the candidates that keep the limits: the best, unless a rule prefers others, the request explores, a model is
//! behind its share, or the conversation is better kept where it is.

use super::{SelectionRequest, compare};
use crate::fleet::{BackendId, Registry};
use crate::policy::draw::mix;
use crate::routing::decision::{Candidate, Reason};

/// The picked candidate.
pub(super) struct Picked {
    pub(super) candidate: Candidate,
    /// Why it is not the best; `None` if it is.
    pub(super) reason: Option<Reason>,
    /// The probability of this choice.
    pub(super) propensity: f32,
}

/// Picks a candidate; `None` if none is eligible.
pub(super) fn pick(
    registry: &Registry,
    query: &SelectionRequest<'_>,
    candidates: &[Candidate],
) -> Option<Picked> {
    let able = candidates
        .iter()
        .filter(|candidate| candidate.ineligible.is_none());
    let all: Vec<&Candidate> = able.collect();
    let eligible = preferred(registry, query, &all).unwrap_or_else(|| all.clone());
    let (chosen, special, propensity) = pick_of(query, &eligible)?;
    let best = least(&all)?;
    let yields = eligible.len() < all.len() && best.backend != chosen.backend;
    Some(Picked {
        candidate: chosen.clone(),
        reason: special.or(yields.then_some(Reason::Preferred)),
        propensity,
    })
}

/// The candidates that the first satisfiable preference of a rule leaves; `None` if there is none.
fn preferred<'c>(
    registry: &Registry,
    query: &SelectionRequest<'_>,
    all: &[&'c Candidate],
) -> Option<Vec<&'c Candidate>> {
    let mut met = query.prefers.iter().map(|preference| {
        let meets = |candidate: &&&Candidate| {
            registry
                .backend(candidate.backend)
                .is_some_and(|backend| preference.is_met_by(backend))
        };
        all.iter().filter(meets).copied().collect::<Vec<_>>()
    });
    met.find(|candidates| !candidates.is_empty())
}

fn least<'c>(candidates: &[&'c Candidate]) -> Option<&'c Candidate> {
    candidates
        .iter()
        .copied()
        .min_by(|left, right| compare(left, right))
}

/// The candidate, why it is not the best, and the probability of the choice.
fn pick_of<'c>(
    query: &SelectionRequest<'_>,
    eligible: &[&'c Candidate],
) -> Option<(&'c Candidate, Option<Reason>, f32)> {
    let best = least(eligible)?;
    let all = || eligible.iter().copied();
    let mut propensity = 1.0;
    let rate = query.exploration.rate as f32;
    if query.pinned.is_none() && query.exploration.rate > 0.0 {
        let tried: Vec<&Candidate> = all()
            .filter(|candidate| candidate.backend != best.backend && teaches(candidate, best))
            .collect();
        if !tried.is_empty() {
            propensity = 1.0 - rate;
            if let Some(tried) = explored(query, &tried) {
                return Some((tried.0, Some(Reason::Explored), rate / tried.1 as f32));
            }
        }
    }
    if query.pinned.is_none() {
        let behind = all()
            .filter(|candidate| Some(candidate.model) == query.preferred)
            .min_by(|left, right| compare(left, right));
        if let Some(behind) = behind.filter(|behind| behind.model != best.model) {
            return Some((behind, Some(Reason::MinShare), propensity));
        }
    }
    let incumbent = query
        .incumbent
        .and_then(|incumbent| all().find(|candidate| candidate.backend == incumbent.backend));
    match incumbent {
        Some(incumbent)
            if incumbent.backend != best.backend
                && incumbent.objective - best.objective < query.stickiness =>
        {
            Some((incumbent, Some(Reason::Kept), propensity))
        }
        _ => Some((best, None, propensity)),
    }
}

/// Whether an outcome of `candidate` could change which of the two is better: if what was learned of both overlaps, or nothing
/// was learned.
fn teaches(candidate: &Candidate, best: &Candidate) -> bool {
    match (&candidate.estimate.learned, &best.estimate.learned) {
        (Some(own), Some(other)) => own.overlaps(other),
        _ => true,
    }
}

/// The candidate that an exploring conversation tries, and among how many; `None` if the conversation does not explore.
///
/// If something was learned, each candidate draws a number for the conversation, and the greatest wins: so a conversation keeps
/// its candidate when others drop out because enough is known of them.
fn explored<'c>(
    query: &SelectionRequest<'_>,
    tried: &[&'c Candidate],
) -> Option<(&'c Candidate, usize)> {
    let pick = query.exploration.pick?;
    let count = tried.len();
    let learns = tried
        .iter()
        .any(|candidate| candidate.estimate.learned.is_some());
    let chosen = match learns {
        true => tried
            .iter()
            .max_by_key(|candidate| drawn(pick, candidate.backend)),
        false => tried.get((pick % count as u64) as usize),
    };
    Some((chosen?, count))
}

/// The number that a backend draws for a conversation.
const fn drawn(pick: u64, backend: BackendId) -> u64 {
    mix(pick ^ (backend.0 as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

//! Picks one of the candidates that keep the limits: the best, unless a rule prefers others, the request explores, a model is
//! behind its share, or the conversation is better kept where it is.

use super::{SelectionRequest, compare};
use crate::fleet::Registry;
use crate::routing::decision::{Candidate, Reason};

/// The picked candidate.
pub(super) struct Picked {
    pub(super) candidate: Candidate,
    /// Why it was picked, if it is not the best.
    pub(super) special: Option<Reason>,
    /// The number of other candidates that exploration picks one of.
    pub(super) explorable: usize,
}

/// The picked candidate; `None` if no candidate is eligible.
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
    let (chosen, special) = pick_of(query, &eligible)?;
    let best = least(&all)?;
    let yields = eligible.len() < all.len() && best.backend != chosen.backend;
    let special = special.or(yields.then_some(Reason::Preferred));
    let explorable = match query.pinned {
        Some(_) => 0,
        None => eligible.len() - 1,
    };
    Some(Picked {
        candidate: chosen.clone(),
        special,
        explorable,
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

fn pick_of<'c>(
    query: &SelectionRequest<'_>,
    eligible: &[&'c Candidate],
) -> Option<(&'c Candidate, Option<Reason>)> {
    let best = least(eligible)?;
    let all = || eligible.iter().copied();
    if query.pinned.is_none() {
        let others = || all().filter(|candidate| candidate.backend != best.backend);
        let count = others().count() as u64;
        let tried = query.explore.and_then(|number| {
            let index = number.checked_rem(count)?;
            others().nth(usize::try_from(index).ok()?)
        });
        if let Some(tried) = tried {
            return Some((tried, Some(Reason::Explored)));
        }
        let behind = all()
            .filter(|candidate| Some(candidate.model) == query.preferred)
            .min_by(|left, right| compare(left, right));
        if let Some(behind) = behind.filter(|behind| behind.model != best.model) {
            return Some((behind, Some(Reason::MinShare)));
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
            Some((incumbent, Some(Reason::Kept)))
        }
        _ => Some((best, None)),
    }
}

//! Among the candidates that keep the limits: the best, unless the conversation is better kept where it is, a rule prefers
//! others, a model is behind its share, or another is to be tried.

use super::{SelectionRequest, compare};
use crate::fleet::Registry;
use crate::routing::decision::{Candidate, Reason};

/// The candidate that is taken and, where it is not simply the best, why; `None` where none is eligible.
pub(super) fn pick(
    registry: &Registry,
    ask: &SelectionRequest<'_>,
    candidates: &[Candidate],
) -> Option<(Candidate, Option<Reason>)> {
    let able = candidates.iter().filter(|one| one.ineligible.is_none());
    let all: Vec<&Candidate> = able.collect();
    let eligible = preferred(registry, ask, &all).unwrap_or_else(|| all.clone());
    let (chosen, special) = pick_of(ask, &eligible)?;
    let best = least(&all)?;
    let yields = eligible.len() < all.len() && best.backend != chosen.backend;
    let special = special.or(yields.then_some(Reason::Preferred));
    Some((chosen.clone(), special))
}

/// Those that a rule prefers; `None` where no rule does, or none is such.
fn preferred<'c>(
    registry: &Registry,
    ask: &SelectionRequest<'_>,
    all: &[&'c Candidate],
) -> Option<Vec<&'c Candidate>> {
    let mut followed = ask.prefers.iter().map(|preference| {
        let meets = |one: &&&Candidate| {
            registry
                .backend(one.backend)
                .is_some_and(|backend| preference.is_met_by(backend))
        };
        all.iter().filter(meets).copied().collect::<Vec<_>>()
    });
    followed.find(|some| !some.is_empty())
}

fn least<'c>(some: &[&'c Candidate]) -> Option<&'c Candidate> {
    some.iter()
        .copied()
        .min_by(|left, right| compare(left, right))
}

fn pick_of<'c>(
    ask: &SelectionRequest<'_>,
    eligible: &[&'c Candidate],
) -> Option<(&'c Candidate, Option<Reason>)> {
    let best = least(eligible)?;
    let all = || eligible.iter().copied();
    if ask.pinned.is_none() {
        let others = || all().filter(|one| one.backend != best.backend);
        let count = others().count() as u64;
        let tried = ask.explore.and_then(|number| {
            let index = number.checked_rem(count)?;
            others().nth(usize::try_from(index).ok()?)
        });
        if let Some(tried) = tried {
            return Some((tried, Some(Reason::Explored)));
        }
        let behind = all()
            .filter(|one| Some(one.model) == ask.preferred)
            .min_by(|left, right| compare(left, right));
        if let Some(behind) = behind.filter(|one| one.model != best.model) {
            return Some((behind, Some(Reason::MinShare)));
        }
    }
    let incumbent = ask
        .incumbent
        .and_then(|incumbent| all().find(|one| one.backend == incumbent.backend));
    match incumbent {
        Some(incumbent)
            if incumbent.backend != best.backend
                && incumbent.objective - best.objective < ask.stickiness =>
        {
            Some((incumbent, Some(Reason::Kept)))
        }
        _ => Some((best, None)),
    }
}

//! Among the candidates that keep the limits: the best, unless the conversation is better kept where it is, a model is behind
//! its share, or another is to be tried.

use super::{Ask, compare};
use crate::decision::{Candidate, Reason};

/// The candidate that is taken and, where it is not simply the best, why; `None` where none is eligible.
pub(super) fn pick(ask: &Ask<'_>, candidates: &[Candidate]) -> Option<(Candidate, Option<Reason>)> {
    let eligible = || candidates.iter().filter(|one| one.ineligible.is_none());
    let best = eligible().min_by(|left, right| compare(left, right))?;
    if ask.pinned.is_none() {
        let others = || eligible().filter(|one| one.backend != best.backend);
        let count = others().count() as u64;
        let tried = ask.explore.and_then(|number| {
            let index = number.checked_rem(count)?;
            others().nth(usize::try_from(index).ok()?)
        });
        if let Some(tried) = tried {
            return Some((tried.clone(), Some(Reason::Explored)));
        }
        let behind = eligible()
            .filter(|one| Some(one.model) == ask.preferred)
            .min_by(|left, right| compare(left, right));
        if let Some(behind) = behind.filter(|one| one.model != best.model) {
            return Some((behind.clone(), Some(Reason::MinShare)));
        }
    }
    let incumbent = ask.incumbent.and_then(|incumbent| {
        let mut eligible = eligible();
        eligible.find(|one| one.backend == incumbent.backend)
    });
    match incumbent {
        Some(incumbent)
            if incumbent.backend != best.backend
                && incumbent.objective - best.objective < ask.stickiness =>
        {
            Some((incumbent.clone(), Some(Reason::Kept)))
        }
        _ => Some((best.clone(), None)),
    }
}

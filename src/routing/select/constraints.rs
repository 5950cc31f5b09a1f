//! The limits of a choice: which candidates keep them, and how far they are relaxed if none does.

use super::SelectionRequest;
use crate::policy::profiles::{LIMIT_COUNT, Limit, Profile};
use crate::routing::decision::{Candidate, Ineligible};

/// The limits in force, as bounds on [`Limit::measure`].
pub(super) struct Constraints<'a> {
    bounds: [Option<f64>; LIMIT_COUNT],
    relax: &'a [Limit],
    best_quality: f32,
}

impl<'a> Constraints<'a> {
    pub(super) fn new(
        profile: &'a Profile,
        query: &SelectionRequest<'_>,
        best_quality: f32,
    ) -> Constraints<'a> {
        let mut bounds = [None; LIMIT_COUNT];
        for (limit, written) in profile.limits.and(&query.limits).stated() {
            let unknown =
                limit.is_of_quality() && (query.classification.is_none() || query.pinned.is_some());
            if let Some(slot) = bounds.get_mut(limit as usize)
                && !unknown
            {
                *slot = Some(limit.bound(written));
            }
        }
        Constraints {
            bounds,
            relax: if query.pinned.is_some() {
                &Limit::ALL
            } else {
                &profile.relax
            },
            best_quality,
        }
    }

    fn bound(&self, limit: Limit) -> Option<f64> {
        self.bounds.get(limit as usize).copied().flatten()
    }

    fn measure(&self, limit: Limit, candidate: &Candidate) -> f64 {
        limit.measure(&candidate.estimate, self.best_quality)
    }

    fn keeps(&self, limit: Limit, candidate: &Candidate) -> bool {
        self.bound(limit)
            .is_none_or(|bound| self.measure(limit, candidate) <= bound)
    }

    /// How many limits, from the start of the profile's order, must be relaxed for `candidate` to be chosen; `None` if it cannot
    /// take the request or breaks a limit that is never relaxed.
    pub(super) fn relaxation_depth(&self, candidate: &Candidate) -> Option<usize> {
        match candidate.ineligible {
            None => self.depth_if_eligible(candidate),
            Some(_) => None,
        }
    }

    /// The relaxation depth of a candidate, whether or not it can take the request.
    pub(super) fn depth_if_eligible(&self, candidate: &Candidate) -> Option<usize> {
        let broken = Limit::ALL
            .into_iter()
            .filter(|limit| !self.keeps(*limit, candidate));
        broken
            .map(|limit| self.rank(limit))
            .try_fold(0, |most, rank| rank.map(|rank| most.max(rank + 1)))
    }

    fn rank(&self, limit: Limit) -> Option<usize> {
        self.relax.iter().position(|relaxed| *relaxed == limit)
    }

    /// Relaxes the first `depth` limits of the order, each no further than needed: the last of them, which matters most, moves to
    /// the best value of any remaining candidate, then the one before it to the best value among those that reach that.
    pub(super) fn relax(
        mut self,
        depth: usize,
        candidates: &[Candidate],
        depths: &[Option<usize>],
    ) -> (Constraints<'a>, Vec<Limit>) {
        let mut relaxed = Vec::new();
        let within = |at: &Option<usize>| at.is_some_and(|at| at <= depth);
        for limit in self.relax.iter().copied().take(depth).rev() {
            let Some(bound) = self.bound(limit) else {
                continue;
            };
            let tighter = |other: Limit| {
                self.rank(other)
                    .is_some_and(|rank| Some(rank) > self.rank(limit))
            };
            let nearest = candidates
                .iter()
                .zip(depths)
                .filter(|(_, at)| within(at))
                .map(|(candidate, _)| candidate)
                .filter(|candidate| {
                    Limit::ALL
                        .into_iter()
                        .filter(|other| tighter(*other))
                        .all(|other| self.keeps(other, candidate))
                })
                .map(|candidate| self.measure(limit, candidate))
                .fold(f64::INFINITY, f64::min);
            if nearest > bound {
                if let Some(slot) = self.bounds.get_mut(limit as usize) {
                    *slot = Some(nearest);
                }
                relaxed.insert(0, limit);
            }
        }
        (self, relaxed)
    }

    /// Marks each candidate that can take the request with the first limit that it breaks.
    pub(super) fn mark_broken(&self, candidates: &mut [Candidate]) {
        for candidate in candidates
            .iter_mut()
            .filter(|candidate| candidate.ineligible.is_none())
        {
            candidate.ineligible = Limit::ALL
                .into_iter()
                .filter(|limit| !self.keeps(*limit, candidate))
                .find_map(|limit| Some(self.ineligible_by(limit, self.bound(limit)?)));
        }
    }

    fn ineligible_by(&self, limit: Limit, bound: f64) -> Ineligible {
        let over_latency = |which| Ineligible::OverLatency {
            which,
            limit_ms: bound as f32,
        };
        match limit {
            Limit::MaxFirstTokenP99Ms => over_latency("first_token_p99"),
            Limit::MaxFirstTokenP50Ms => over_latency("first_token_p50"),
            Limit::MaxP50Ms => over_latency("p50"),
            Limit::MaxP99Ms => over_latency("p99"),
            Limit::MaxCostUsd => Ineligible::OverCost { limit_usd: bound },
            Limit::MaxQualityLoss => Ineligible::BelowQuality {
                limit: self.best_quality * (1.0 - bound) as f32,
            },
            Limit::MinQuality => Ineligible::BelowQuality {
                limit: -bound as f32,
            },
        }
    }
}

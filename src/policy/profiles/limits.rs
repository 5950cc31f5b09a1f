//! Limits of profiles: fields, compilation, and how a candidate is measured against them.

use crate::fleet::Estimate;
use crate::schema::document::Node;
use crate::schema::problems::Problems;
use crate::schema::shape::{AT_LEAST_ZERO, FRACTION, MILLISECONDS, Shape, optional};

/// A limit that a profile can state, in the order in which they give way unless the profile says otherwise: speed
/// first, then cost, quality last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// 99th percentile of the time to the first token.
    MaxFirstTokenP99Ms,
    /// Median time to the first token.
    MaxFirstTokenP50Ms,
    /// Median time to the whole answer.
    MaxP50Ms,
    /// 99th percentile of the time to the whole answer.
    MaxP99Ms,
    /// Cost of the request.
    MaxCostUsd,
    /// Quality relative to the best candidate.
    MaxQualityLoss,
    /// Absolute quality.
    MinQuality,
}

/// How many limits there are.
pub const LIMIT_COUNT: usize = 7;

impl Limit {
    /// All of them, the first to give way first.
    pub const ALL: [Limit; LIMIT_COUNT] = [
        Limit::MaxFirstTokenP99Ms,
        Limit::MaxFirstTokenP50Ms,
        Limit::MaxP50Ms,
        Limit::MaxP99Ms,
        Limit::MaxCostUsd,
        Limit::MaxQualityLoss,
        Limit::MinQuality,
    ];

    /// The name that policies, headers and metrics use.
    pub const fn name(self) -> &'static str {
        match self {
            Limit::MaxFirstTokenP99Ms => "max_first_token_p99_ms",
            Limit::MaxFirstTokenP50Ms => "max_first_token_p50_ms",
            Limit::MaxP50Ms => "max_p50_ms",
            Limit::MaxP99Ms => "max_p99_ms",
            Limit::MaxCostUsd => "max_cost_usd",
            Limit::MaxQualityLoss => "max_quality_loss",
            Limit::MinQuality => "min_quality",
        }
    }

    /// Whether it limits quality, which is unknown where the classifier is not asked.
    pub const fn is_of_quality(self) -> bool {
        matches!(self, Limit::MaxQualityLoss | Limit::MinQuality)
    }

    /// The measure of a candidate, turned so that less is better: a candidate keeps the limit if its measure is at most
    /// the bound. `best_quality` is that of the best candidate.
    pub fn measure(self, estimate: &Estimate, best_quality: f32) -> f64 {
        let quality = f64::from(estimate.quality.unwrap_or(1.0));
        match self {
            Limit::MaxFirstTokenP99Ms => f64::from(estimate.first_token_p99_ms),
            Limit::MaxFirstTokenP50Ms => f64::from(estimate.first_token_p50_ms),
            Limit::MaxP50Ms => f64::from(estimate.latency_p50_ms),
            Limit::MaxP99Ms => f64::from(estimate.latency_p99_ms),
            Limit::MaxCostUsd => estimate.cost_usd,
            Limit::MaxQualityLoss => 1.0 - quality / f64::from(best_quality).max(1e-6),
            // Learning never loosens a floor: a candidate keeps it by its scores too.
            Limit::MinQuality => -quality.min(estimate.stated_quality.map_or(1.0, f64::from)),
        }
    }

    /// The bound on [`Limit::measure`] that a number written in a policy stands for, and back.
    pub fn bound(self, written: f64) -> f64 {
        if self == Limit::MinQuality {
            -written
        } else {
            written
        }
    }
}

/// The limits of a profile: a number as written in the policy for each of [`Limit::ALL`] that is stated.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits([Option<f64>; LIMIT_COUNT]);

impl Limits {
    /// No limit at all.
    pub const NONE: Limits = Limits([None; LIMIT_COUNT]);

    /// The number stated for `limit`.
    pub fn get(&self, limit: Limit) -> Option<f64> {
        self.0.get(limit as usize).copied().flatten()
    }

    /// These limits with another number for `limit`.
    #[must_use]
    pub fn with(mut self, limit: Limit, written: f64) -> Limits {
        if let Some(slot) = self.0.get_mut(limit as usize) {
            *slot = Some(written);
        }
        self
    }

    /// Both: of two numbers for one limit the tighter one.
    #[must_use]
    pub fn and(&self, other: &Limits) -> Limits {
        let stated = other.stated();
        stated.fold(*self, |all, (limit, written)| {
            let tighter = |own: f64| {
                if limit.bound(own) < limit.bound(written) {
                    own
                } else {
                    written
                }
            };
            all.with(limit, all.get(limit).map_or(written, tighter))
        })
    }

    /// The limits that are stated, in the order of [`Limit::ALL`].
    pub fn stated(&self) -> impl Iterator<Item = (Limit, f64)> + '_ {
        Limit::ALL
            .into_iter()
            .filter_map(|limit| Some((limit, self.get(limit)?)))
    }
}

/// The names of [`Limit`].
pub(crate) const LIMIT_NAMES: &[&str] = &[
    "max_first_token_p99_ms",
    "max_first_token_p50_ms",
    "max_p50_ms",
    "max_p99_ms",
    "max_cost_usd",
    "max_quality_loss",
    "min_quality",
];

/// `limits` of a profile.
pub const LIMITS: Shape = Shape {
    name: "limits",
    doc: "The chosen candidate keeps every limit, unless no candidate keeps them all.",
    fields: &[
        optional(
            "max_first_token_p99_ms",
            MILLISECONDS,
            "no limit",
            "The maximum 99th percentile of the time to the first token, in milliseconds.",
        ),
        optional(
            "max_first_token_p50_ms",
            MILLISECONDS,
            "no limit",
            "The maximum median time to the first token, in milliseconds.",
        ),
        optional(
            "max_p50_ms",
            MILLISECONDS,
            "no limit",
            "The maximum median time to the whole answer, in milliseconds.",
        ),
        optional(
            "max_p99_ms",
            MILLISECONDS,
            "no limit",
            "The maximum 99th percentile of the time to the whole answer, in milliseconds.",
        ),
        optional(
            "max_cost_usd",
            AT_LEAST_ZERO,
            "no limit",
            "The maximum expected cost of a request, in USD.",
        ),
        optional(
            "max_quality_loss",
            FRACTION,
            "no limit",
            "The maximum loss of P(correct) against the best candidate, as a fraction of the best: 0.05 gives up one correct answer in twenty.",
        ).formerly(&["within_of_best"]),
        optional(
            "min_quality",
            FRACTION,
            "no limit",
            "The minimum probability of a correct answer.",
        ),
    ],
};

/// Adds a problem for each entry of `relax` that repeats another or names a limit that the profile does not have.
pub(crate) fn check_relax(list: &Node, limits: &Limits, path: &str, problems: &mut Problems<'_>) {
    for (index, item) in list.items().iter().enumerate() {
        let Some(limit) = item
            .text()
            .and_then(|name| Limit::ALL.into_iter().find(|limit| limit.name() == name))
        else {
            continue;
        };
        let at = format!("{path}.relax[{index}]");
        if list
            .items()
            .iter()
            .take(index)
            .any(|earlier| earlier.text() == item.text())
        {
            problems.add(item.at, at, "appears twice");
        } else if limits.get(limit).is_none() {
            let message = format!("the profile has no limit `{}`", limit.name());
            problems.add(item.at, at, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_types() {
        let limits: Vec<&str> = Limit::ALL.iter().map(|limit| limit.name()).collect();
        assert_eq!(LIMIT_NAMES, limits);
        let fields: Vec<&str> = LIMITS.fields.iter().map(|field| field.name).collect();
        assert_eq!(LIMIT_NAMES, fields);
    }
}

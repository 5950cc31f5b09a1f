//! Profiles: what counts when a candidate is chosen, and what a candidate must keep. Data and the built-in ones.

use crate::fleet::Estimate;
use crate::fleet::ramp::Ramp;

/// How much cost, latency and quality count against each other. INVARIANT: non-negative and summing to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// Of the estimated cost.
    pub cost: f64,
    /// Of the estimated median time to the whole answer.
    pub latency: f64,
    /// Of the probability of a correct answer.
    pub quality: f64,
}

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

    /// What the limit bounds, turned so that less is better and a candidate keeps the limit if its measure is at most
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
            Limit::MinQuality => -quality,
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

/// A named objective.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// What clients ask for.
    pub name: String,
    /// What counts.
    pub weights: Weights,
    /// What must be kept.
    pub limits: Limits,
    /// Which limits give way where no candidate keeps them all, first one first; the others never do.
    pub relax: Vec<Limit>,
    /// Tags that a backend must have, sorted.
    pub tags: Vec<String>,
    /// Which share of the conversations it holds for, and the name of the profile for the others; `None` where it holds for
    /// all.
    pub ramp: Option<(Ramp, String)>,
}

impl Profile {
    fn built_in(name: &str, [cost, latency, quality]: [f64; 3], max_quality_loss: f64) -> Profile {
        Profile {
            name: name.into(),
            weights: Weights {
                cost,
                latency,
                quality,
            },
            limits: Limits::NONE.with(Limit::MaxQualityLoss, max_quality_loss),
            relax: Limit::ALL.to_vec(),
            tags: Vec::new(),
            ramp: None,
        }
    }

    /// The profiles that every policy has unless it overrides them.
    pub fn built_ins() -> [Profile; 4] {
        [
            Profile::built_in("auto", [0.40, 0.12, 0.48], 0.08),
            Profile::built_in("auto:cheap", [0.75, 0.05, 0.20], 0.30),
            Profile::built_in("auto:fast", [0.10, 0.75, 0.15], 0.20),
            Profile::built_in("auto:best", [0.05, 0.05, 0.90], 0.02),
        ]
    }
}

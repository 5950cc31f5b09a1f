//! Chooses among the backends: candidates → filters → limits → the least objective, and the chain behind it.
//!
//! Exact: every backend is looked at. Pure and cheap: one pass to estimate, one to judge, one sort of the chain.
//!
//! The objective is a weighted sum of logarithms, `cost · lg(USD) + latency · lg(ms) − quality · 20 · lg(P(correct))`,
//! taken relative to the cheapest, fastest and best candidate. Ratios make it free of scale, and which of two candidates
//! is better does not depend on what else is in the fleet. And the harder a prompt, the larger the ratio between a strong
//! and a weak model's P(correct), so difficulty alone never moves a request to a weaker model.

mod observed;
mod pick;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

pub(super) use observed::find as observed_of;

use crate::analysis::classifier::Classification;
use crate::api::{Api, Capabilities};
use crate::fleet::Estimate;
use crate::fleet::{Backend, BackendId, Model, ModelId, Registry};
use crate::policy::profile::{LIMIT_COUNT, Limit, Limits, Profile, Weights};
use crate::policy::rules::Preference;
use crate::routing::decision::{Candidate, Ineligible, Reason};
use crate::state::backend_stats::Observed;

/// The most entries of a fallback chain. Envoy's retries are bounded far below it.
pub const MAX_FALLBACKS: usize = 8;

/// The factor on lg P(correct): it makes the loss of a tenth of the correct answers weigh 0.92, about as much as ten
/// times the cost.
const QUALITY_SCALE: f64 = 20.0;

/// The answer's length where nothing tells it, in tokens.
const USUAL_OUTPUT_TOKENS: f32 = 256.0;

/// What a request asks of the fleet.
#[derive(Debug, Clone, Copy)]
pub struct SelectionRequest<'a> {
    /// The only model that will do, if the client named one. The profile then only orders its backends: its tags are not
    /// required, quality is not limited and every other limit may give way.
    pub pinned: Option<ModelId>,
    /// The API that the request speaks.
    pub api: Api,
    /// Only these models may answer, if not empty.
    pub allowed: &'a [ModelId],
    /// Tags that a backend must have, beside those of the profile.
    pub tags: &'a [&'a str],
    /// Models that have had their share of the decisions: none of them is chosen.
    pub barred: &'a [ModelId],
    /// The key of the only state scope that can read what the request carries, if that matters.
    pub scope: Option<u32>,
    /// Limits beside those of the profile: the tighter of two counts.
    pub limits: Limits,
    /// What the model must be able to do.
    pub needs: Capabilities,
    /// Tokens of the input, estimated.
    pub input_tokens: u32,
    /// What of it has to fit into a context window together, in tokens.
    pub window_tokens: u32,
    /// The most tokens of the answer, if the client said so.
    pub max_tokens: Option<u32>,
    /// How many answers are wanted.
    pub choices: u32,
    /// What the classifier said; without it quality is unknown and plays no part.
    pub classification: Option<&'a Classification>,
    /// What was observed of the backends, in the order of the registry; of those behind its end nothing was.
    pub observed: &'a [Observed],
    /// The backend that answers the conversation so far.
    pub incumbent: Option<Incumbent>,
    /// By how much another backend's objective must be less than the incumbent's for it to lose the conversation.
    pub stickiness: f64,
    /// A model that is behind its least share: it is taken where it keeps every limit.
    pub preferred: Option<ModelId>,
    /// What rules prefer: only those are chosen from that are such, of the first of these for which there is any.
    pub prefers: &'a [&'a Preference],
    /// A number that picks one of those which are not the best but keep every limit, where one is to be tried.
    pub explore: Option<u64>,
    /// The conversation as a number from 0 up to but without 1: on which side of ramps it is.
    pub draw: f64,
    /// The time, in nanoseconds since 1970: how far ramps are.
    pub now_ns: u64,
}

/// A chat request of no length that asks for nothing in particular: what a tool starts from.
impl Default for SelectionRequest<'_> {
    fn default() -> Self {
        SelectionRequest {
            pinned: None,
            api: Api::OpenAiChat,
            allowed: &[],
            tags: &[],
            barred: &[],
            scope: None,
            limits: Limits::NONE,
            needs: Capabilities::NONE,
            input_tokens: 0,
            window_tokens: 0,
            max_tokens: None,
            choices: 1,
            classification: None,
            incumbent: None,
            stickiness: 0.0,
            preferred: None,
            prefers: &[],
            explore: None,
            observed: &[],
            draw: 0.0,
            now_ns: 0,
        }
    }
}

/// The backend that answers a conversation so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Incumbent {
    /// Which it is.
    pub backend: BackendId,
    /// Tokens of the input that it has in its prompt cache, as it was sent them before.
    pub cached_tokens: u32,
}

/// What was chosen among the candidates.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// The chosen candidate.
    pub chosen: Candidate,
    /// Why.
    pub reason: Reason,
    /// The limits that had to give way, in the order of the profile.
    pub relaxed: Vec<Limit>,
    /// Where to go when it fails; see [`crate::routing::decision::Decision::fallbacks`].
    pub fallbacks: Vec<BackendId>,
    /// Every backend in the order of the registry, with why it was not eligible.
    pub candidates: Vec<Candidate>,
}

/// No backend can take the request. Holds every candidate with its reason.
#[derive(Debug, Clone, PartialEq)]
pub struct NoCandidate {
    /// Every backend in the order of the registry.
    pub candidates: Vec<Candidate>,
}

/// Chooses the backend for `ask` under `profile`.
///
/// # Errors
/// [`NoCandidate`] where none can take it, or none keeps the limits that never give way.
pub fn select(
    registry: &Registry,
    profile: &Profile,
    ask: &SelectionRequest<'_>,
) -> Result<Selection, NoCandidate> {
    let mut candidates = estimate_all(registry, profile, ask);
    let Some(best) = Best::of(&candidates) else {
        return Err(NoCandidate { candidates });
    };
    for candidate in candidates.iter_mut().filter(|one| can_follow(one)) {
        candidate.objective = objective(&candidate.estimate, &profile.weights, &best);
    }
    let judge = Constraints::new(profile, ask, best.quality);
    let able = candidates
        .iter()
        .filter(|one| one.ineligible.is_none())
        .count();
    let depths: Vec<Option<usize>> = candidates.iter().map(|one| judge.depth(one)).collect();
    let up = observed::narrow(&candidates, &depths, |one| {
        !observed::find(ask.observed, one.backend).down
    });
    let choosable = observed::narrow(&candidates, &up, |one| {
        let ramp = registry.backend(one.backend).and_then(|one| one.ramp);
        ramp.is_none_or(|ramp| ramp.holds(ask.draw, ask.now_ns))
    });
    let Some(depth) = choosable.iter().flatten().min().copied() else {
        judge.mark(&mut candidates);
        return Err(NoCandidate { candidates });
    };
    let (judge, relaxed) = judge.relax(depth, &candidates, &choosable);
    let follows = |one: &Candidate| can_follow(one) && judge.steps(one).is_some();
    let chain: Vec<bool> = candidates.iter().map(follows).collect();
    judge.mark(&mut candidates);
    observed::mark(&mut candidates, &depths, &up, &Ineligible::Down);
    observed::mark(&mut candidates, &up, &choosable, &Ineligible::Ramp);
    let Some((chosen, special)) = pick::pick(registry, ask, &candidates) else {
        return Err(NoCandidate { candidates });
    };
    let reason = match (ask.pinned, able) {
        (Some(_), _) => Reason::Pinned,
        (None, 1) => Reason::OnlyCandidate,
        _ if special.is_some() => special.unwrap_or(Reason::Best),
        _ if !relaxed.is_empty() => Reason::Relaxed,
        _ => Reason::Best,
    };
    Ok(Selection {
        fallbacks: fallbacks(&chosen, &candidates, &chain),
        chosen,
        reason,
        relaxed,
        candidates,
    })
}

/// Which of two eligible candidates is the better one; the only place that breaks ties.
///
/// The lesser objective wins; objectives are rounded to six decimals, so that every platform decides alike. Then the lower
/// cost, the lower median latency and at last the earlier backend of the policy wins.
pub fn compare(left: &Candidate, right: &Candidate) -> Ordering {
    left.objective
        .total_cmp(&right.objective)
        .then_with(|| left.estimate.cost_usd.total_cmp(&right.estimate.cost_usd))
        .then_with(|| {
            let latency = |candidate: &Candidate| candidate.estimate.latency_p50_ms;
            latency(left).total_cmp(&latency(right))
        })
        .then_with(|| left.backend.cmp(&right.backend))
}

fn estimate_all(
    registry: &Registry,
    profile: &Profile,
    ask: &SelectionRequest<'_>,
) -> Vec<Candidate> {
    let expected = ask
        .classification
        .map_or(USUAL_OUTPUT_TOKENS, |said| said.output_tokens)
        .max(1.0);
    let mut candidates = Vec::with_capacity(registry.backends.len());
    for (index, backend) in registry.backends.iter().enumerate() {
        let Some(model) = registry.model(backend.model) else {
            continue;
        };
        candidates.push(Candidate {
            backend: BackendId(index as u32),
            model: backend.model,
            estimate: estimate(BackendId(index as u32), backend, model, ask, expected),
            objective: f64::INFINITY,
            ineligible: find_obstacle(backend, model, profile, ask, expected as u32),
        });
    }
    // A request fits where its expected answer fits. Where it fits nowhere so, the expectation may be wrong: then one token
    // of room is enough.
    if candidates.iter().all(|one| one.ineligible.is_some()) {
        for candidate in &mut candidates {
            if let (Some(backend), Some(model)) = (
                registry.backend(candidate.backend),
                registry.model(candidate.model),
            ) {
                candidate.ineligible = find_obstacle(backend, model, profile, ask, 1);
            }
        }
    }
    candidates
}

/// Why `backend` cannot take the request at all, whatever the limits. The cheapest tests come first.
fn find_obstacle(
    backend: &Backend,
    model: &Model,
    profile: &Profile,
    ask: &SelectionRequest<'_>,
    expected_tokens: u32,
) -> Option<Ineligible> {
    if ask.pinned.is_some_and(|pinned| pinned != backend.model) {
        return Some(Ineligible::ModelMismatch);
    }
    if !backend.apis.contains(ask.api) {
        return Some(Ineligible::UnsupportedApi(ask.api));
    }
    if !ask.allowed.is_empty() && !ask.allowed.contains(&backend.model) {
        return Some(Ineligible::NotAllowed);
    }
    let lacks = |tag: &&str| !backend.tags.iter().any(|own| own == tag);
    if let Some(tag) = ask.tags.iter().copied().find(|tag| lacks(tag)) {
        return Some(Ineligible::LacksTag(tag.to_owned()));
    }
    let missing = profile.tags.iter().find(|tag| !backend.tags.contains(tag));
    if let Some(tag) = missing.filter(|_| ask.pinned.is_none()) {
        return Some(Ineligible::LacksTag(tag.clone()));
    }
    let lacking = ask.needs.without(model.capabilities);
    if !lacking.is_empty() {
        return Some(Ineligible::LacksCapability(lacking));
    }
    // What the client allows beyond what there is room for is cut down for this model; one that it named judges itself.
    let answer = match (ask.pinned, ask.max_tokens) {
        (Some(_), Some(_)) => 1,
        (_, most) => most.unwrap_or(u32::MAX).min(expected_tokens).max(1),
    };
    let needed = ask.window_tokens.saturating_add(answer);
    if needed > model.context_window {
        return Some(Ineligible::ContextWindow {
            needed,
            window: model.context_window,
        });
    }
    if ask
        .scope
        .is_some_and(|scope| scope != backend.state_scope.key)
    {
        return Some(Ineligible::ForeignState);
    }
    // Last, so that who is over its share can take the request otherwise: then it still follows in the chain.
    if ask.pinned.is_none() && ask.barred.contains(&backend.model) {
        return Some(Ineligible::ShareExceeded);
    }
    None
}

fn estimate(
    id: BackendId,
    backend: &Backend,
    model: &Model,
    ask: &SelectionRequest<'_>,
    expected_tokens: f32,
) -> Estimate {
    // Whatever a client states, a model writes no more than it can, nor more than its window has left.
    let room = model.context_window.saturating_sub(ask.window_tokens);
    let most = ask
        .max_tokens
        .unwrap_or(u32::MAX)
        .min(model.max_output_tokens)
        .min(room);
    let output_tokens = (expected_tokens * model.reasoning_tokens_factor).min(most as f32);
    let observed = observed::find(ask.observed, id);
    let latencies = observed::latencies(&backend.latency, output_tokens, &observed);
    // Several answers to one input are generated side by side: they cost more but take no longer.
    let written = f64::from(output_tokens) * f64::from(ask.choices.max(1));
    let price = &backend.price;
    let incumbent = ask.incumbent.filter(|one| one.backend == id);
    let cached = incumbent.map_or(0, |one| one.cached_tokens.min(ask.input_tokens));
    let read =
        f64::from(ask.input_tokens - cached) * price.input + f64::from(cached) * price.cached_input;
    Estimate {
        quality: ask.classification.map(|said| model.ability.p_correct(said)),
        cost_usd: (read + written * price.output) / 1e6,
        latency_p50_ms: latencies.p50_ms,
        latency_p99_ms: latencies.p99_ms,
        first_token_p50_ms: latencies.first_token_p50_ms,
        first_token_p99_ms: latencies.first_token_p99_ms,
    }
}

/// The least cost and latency and the highest quality of the candidates that can take the request: the zero points of
/// the objective's terms.
struct Best {
    cost_usd: f64,
    latency_p50_ms: f64,
    quality: f32,
}

impl Best {
    fn of(candidates: &[Candidate]) -> Option<Best> {
        candidates
            .iter()
            .filter(|one| one.ineligible.is_none())
            .map(|one| Best {
                cost_usd: cost_floor(one.estimate.cost_usd),
                latency_p50_ms: latency_floor(one.estimate.latency_p50_ms),
                quality: quality_floor(one.estimate.quality),
            })
            .reduce(|left, right| Best {
                cost_usd: left.cost_usd.min(right.cost_usd),
                latency_p50_ms: left.latency_p50_ms.min(right.latency_p50_ms),
                quality: left.quality.max(right.quality),
            })
    }
}

/// What costs less than a ten-millionth of a USD is free: a logarithm needs an end.
fn cost_floor(cost_usd: f64) -> f64 {
    cost_usd.max(1e-7)
}

fn latency_floor(latency_ms: f32) -> f64 {
    f64::from(latency_ms).max(1.0)
}

fn quality_floor(quality: Option<f32>) -> f32 {
    quality.unwrap_or(1.0).max(1e-6)
}

fn objective(estimate: &Estimate, weights: &Weights, best: &Best) -> f64 {
    let cost = (cost_floor(estimate.cost_usd) / best.cost_usd).log10();
    let latency = (latency_floor(estimate.latency_p50_ms) / best.latency_p50_ms).log10();
    let lost = f64::from(best.quality) / f64::from(quality_floor(estimate.quality));
    let sum = weights.cost * cost
        + weights.latency * latency
        + weights.quality * QUALITY_SCALE * lost.log10();
    (sum * 1e6).round() / 1e6
}

/// The limits in force, as bounds on what [`Limit::measure`] says.
struct Constraints<'a> {
    bounds: [Option<f64>; LIMIT_COUNT],
    relax: &'a [Limit],
    best_quality: f32,
}

impl<'a> Constraints<'a> {
    fn new(profile: &'a Profile, ask: &SelectionRequest<'_>, best_quality: f32) -> Constraints<'a> {
        let mut bounds = [None; LIMIT_COUNT];
        for (limit, written) in profile.limits.and(&ask.limits).stated() {
            let unknown =
                limit.is_of_quality() && (ask.classification.is_none() || ask.pinned.is_some());
            if let Some(slot) = bounds.get_mut(limit as usize)
                && !unknown
            {
                *slot = Some(limit.bound(written));
            }
        }
        Constraints {
            bounds,
            relax: if ask.pinned.is_some() {
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

    /// How many limits, from the start of the profile's order, must give way for `candidate` to be chosen; `None` where
    /// it cannot take the request or breaks a limit that never gives way.
    fn depth(&self, candidate: &Candidate) -> Option<usize> {
        match candidate.ineligible {
            None => self.steps(candidate),
            Some(_) => None,
        }
    }

    /// The same of one that can take the request.
    fn steps(&self, candidate: &Candidate) -> Option<usize> {
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

    /// Lets the first `depth` limits of the order give way, each no further than needed: the last of them, which matters
    /// most, moves to the best value that any remaining candidate has, then the one before it among those that reach that.
    fn relax(
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

    /// Writes into each candidate that could take the request the first limit that it breaks.
    fn mark(&self, candidates: &mut [Candidate]) {
        for candidate in candidates.iter_mut().filter(|one| one.ineligible.is_none()) {
            candidate.ineligible = Limit::ALL
                .into_iter()
                .filter(|limit| !self.keeps(*limit, candidate))
                .find_map(|limit| Some(self.broken(limit, self.bound(limit)?)));
        }
    }

    fn broken(&self, limit: Limit, bound: f64) -> Ineligible {
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

/// Whether `candidate` can take the request, be it only when another one fails.
fn can_follow(candidate: &Candidate) -> bool {
    matches!(candidate.ineligible, None | Some(Ineligible::ShareExceeded))
}

/// The chain behind `chosen`, out of those that `follow`; see [`crate::routing::decision::Decision::fallbacks`].
fn fallbacks(chosen: &Candidate, candidates: &[Candidate], follow: &[bool]) -> Vec<BackendId> {
    let mut chain: Vec<&Candidate> = candidates
        .iter()
        .zip(follow)
        .filter(|(candidate, follows)| **follows && candidate.backend != chosen.backend)
        .map(|(candidate, _)| candidate)
        .collect();
    let class = |one: &Candidate| {
        let rank = match one.ineligible {
            None => 0,
            Some(Ineligible::ShareExceeded) => 2,
            Some(_) => 1,
        };
        (rank, one.model != chosen.model)
    };
    let order = |left: &&Candidate, right: &&Candidate| {
        class(left)
            .cmp(&class(right))
            .then_with(|| compare(left, right))
    };
    if chain.len() > MAX_FALLBACKS {
        chain.select_nth_unstable_by(MAX_FALLBACKS, order);
        chain.truncate(MAX_FALLBACKS);
    }
    chain.sort_unstable_by(order);
    chain.iter().map(|candidate| candidate.backend).collect()
}

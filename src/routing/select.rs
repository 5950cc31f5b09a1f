//! Chooses among the backends: candidates → filters → limits → the least objective, and the fallback chain.
//!
//! The choice is exact: it considers every backend. It is pure and cheap: one pass to estimate, one to check limits, one sort of
//! the chain.
//!
//! The objective is a weighted sum of logarithms, `cost · lg(USD) + latency · lg(ms) − quality · 20 · lg(P(correct))`,
//! taken relative to the cheapest, fastest and best candidate. Ratios make it free of scale, and which of two candidates
//! is better does not depend on what else is in the fleet. And the harder a prompt, the larger the ratio between a strong
//! and a weak model's P(correct), so difficulty alone never moves a request to a weaker model.

mod constraints;
mod observed;
mod pick;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use constraints::Constraints;
pub(super) use observed::find as observed_of;

use crate::analysis::answer_length::AnswerLength;
use crate::analysis::classifier::Classification;
use crate::api::{Api, Capabilities};
use crate::fleet::Estimate;
use crate::fleet::{Backend, BackendId, LearnedEstimate, Model, ModelId, Registry};
use crate::policy::profiles::{Limit, Limits, Profile, QUALITY_SCALE, Weights};

use crate::policy::rules::Preference;
use crate::routing::decision::{Candidate, Ineligible, Reason};
use crate::state::backend_stats::Observed;
use crate::state::learned_quality::Learned;

/// The most entries of a fallback chain, far above the number of Envoy's retries.
pub const MAX_FALLBACKS: usize = 8;

/// The properties of a request that the choice of its backend depends on.
#[derive(Debug, Clone, Copy)]
pub struct SelectionRequest<'a> {
    /// The model that the client named, if it named one: no other will do. The profile then only orders the model's backends: its
    /// tags are not required, its quality limits do not apply, and every other limit may be relaxed.
    pub pinned: Option<ModelId>,
    /// The API of the request.
    pub api: Api,
    /// The models that may answer; all if empty.
    pub allowed: &'a [ModelId],
    /// Tags that a backend must have, besides those of the profile.
    pub tags: &'a [&'a str],
    /// Models that have reached their share of the decisions: none of them is chosen.
    pub over_share: &'a [ModelId],
    /// The key of the only state scope that can read the request's state, if that matters.
    pub scope: Option<u32>,
    /// Limits besides those of the profile: the tighter of two counts.
    pub limits: Limits,
    /// The capabilities that the model must have.
    pub needs: Capabilities,
    /// Estimated tokens of the input.
    pub input_tokens: u32,
    /// Tokens of the input that must fit into one context window.
    pub window_tokens: u32,
    /// The most tokens of the answer, if the client limits them.
    pub max_tokens: Option<u32>,
    /// The number of answers.
    pub choices: u32,
    /// The classification; without it quality is unknown and plays no part.
    pub classification: Option<&'a Classification>,
    /// The observed state of the backends, in the order of the registry; backends behind its end are unobserved.
    pub observed: &'a [Observed],
    /// The backend that has answered the conversation so far.
    pub incumbent: Option<Incumbent>,
    /// The incumbent keeps the conversation unless another backend's objective is less by this much.
    pub stickiness: f64,
    /// A model that is behind its least share: it is chosen if it keeps every limit.
    pub preferred: Option<ModelId>,
    /// Preferences of rules: the first that any eligible candidate meets leaves only the candidates that meet it.
    pub prefers: &'a [&'a Preference],
    /// Whether, and how, conversations explore.
    pub exploration: Exploration,
    /// The learned quality of each model, in the order of the registry; empty if nothing was learned.
    pub learned: &'a [Learned],
    /// Whether the choice depends on what was learned, or only reports it.
    pub applies_learned: bool,
    /// The conversation as a number in [0, 1): tells on which side of ramps it is.
    pub draw: f64,
    /// The time, in nanoseconds since 1970, for ramps.
    pub now_ns: u64,
}

/// An empty chat request without constraints, for tools to start from.
impl Default for SelectionRequest<'_> {
    fn default() -> Self {
        SelectionRequest {
            pinned: None,
            api: Api::OpenAiChat,
            allowed: &[],
            tags: &[],
            over_share: &[],
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
            exploration: Exploration::NONE,
            learned: &[],
            applies_learned: false,
            observed: &[],
            draw: 0.0,
            now_ns: 0,
        }
    }
}

/// The exploration of a conversation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exploration {
    /// The share of conversations that explore, 0 to 1.
    pub rate: f64,
    /// A number that picks a candidate other than the best, if this conversation explores.
    pub pick: Option<u64>,
}

impl Exploration {
    /// No conversation explores.
    pub const NONE: Exploration = Exploration {
        rate: 0.0,
        pick: None,
    };
}

/// The backend that has answered a conversation so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Incumbent {
    /// The backend.
    pub backend: BackendId,
    /// Tokens of the input that it was sent before, and so has in its prompt cache.
    pub cached_tokens: u32,
}

/// The choice among the candidates.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// The chosen candidate.
    pub chosen: Candidate,
    /// Why it was chosen.
    pub reason: Reason,
    /// The probability, 0 to 1, of this choice for such a request: less than 1 only where exploration could choose otherwise.
    pub propensity: f32,
    /// The relaxed limits, in the order of the profile.
    pub relaxed: Vec<Limit>,
    /// The backends to try after a failure; see [`crate::routing::decision::Decision::fallbacks`].
    pub fallbacks: Vec<BackendId>,
    /// Every backend in the order of the registry, with the reason if it is not eligible.
    pub candidates: Vec<Candidate>,
}

/// No backend can take the request.
#[derive(Debug, Clone, PartialEq)]
pub struct NoCandidate {
    /// Every backend in the order of the registry, each with its reason.
    pub candidates: Vec<Candidate>,
}

/// Chooses the backend for `query` under `profile`.
///
/// # Errors
/// [`NoCandidate`] if no backend can take the request, or none keeps the limits that are never relaxed.
pub fn select(
    registry: &Registry,
    profile: &Profile,
    query: &SelectionRequest<'_>,
) -> Result<Selection, NoCandidate> {
    let mut candidates = estimate_all(registry, profile, query);
    let Some(best) = Best::of(&candidates) else {
        return Err(NoCandidate { candidates });
    };
    for candidate in candidates
        .iter_mut()
        .filter(|candidate| can_follow(candidate))
    {
        candidate.objective = objective(&candidate.estimate, &profile.weights, &best);
    }
    let constraints = Constraints::new(profile, query, best.quality);
    let able = candidates.iter().filter(is_eligible).count();
    let depths: Vec<Option<usize>> = candidates
        .iter()
        .map(|candidate| constraints.relaxation_depth(candidate))
        .collect();
    let up = observed::narrow(&candidates, &depths, |candidate| {
        !observed::find(query.observed, candidate.backend).down
    });
    let choosable = observed::narrow(&candidates, &up, |candidate| {
        let backend = registry.backend(candidate.backend);
        let ramp = backend.and_then(|backend| backend.ramp);
        ramp.is_none_or(|ramp| ramp.holds(query.draw, query.now_ns))
    });
    let Some(depth) = choosable.iter().flatten().min().copied() else {
        constraints.mark_broken(&mut candidates);
        return Err(NoCandidate { candidates });
    };
    let (constraints, relaxed) = constraints.relax(depth, &candidates, &choosable);
    let follows = |candidate: &Candidate| {
        can_follow(candidate) && constraints.depth_if_eligible(candidate).is_some()
    };
    let chain: Vec<bool> = candidates.iter().map(follows).collect();
    constraints.mark_broken(&mut candidates);
    observed::mark_left_out(&mut candidates, &depths, &up, &Ineligible::Down);
    observed::mark_left_out(&mut candidates, &up, &choosable, &Ineligible::Ramp);
    let Some(picked) = pick::pick(registry, query, &candidates) else {
        return Err(NoCandidate { candidates });
    };
    Ok(Selection {
        fallbacks: fallbacks(&picked.candidate, &candidates, &chain),
        chosen: picked.candidate,
        reason: match picked.reason {
            _ if query.pinned.is_some() => Reason::Pinned,
            _ if able == 1 => Reason::OnlyCandidate,
            Some(special) => special,
            None if !relaxed.is_empty() => Reason::Relaxed,
            None => Reason::Best,
        },
        propensity: picked.propensity,
        relaxed,
        candidates,
    })
}

/// Orders two eligible candidates, the better one first; the only place that breaks ties.
///
/// The lesser objective wins; objectives are rounded to six decimals, so every platform decides alike. Then the lower cost wins,
/// then the lower median latency, at last the earlier backend of the policy.
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

#[inline(never)]
fn estimate_all(
    registry: &Registry,
    profile: &Profile,
    query: &SelectionRequest<'_>,
) -> Vec<Candidate> {
    let length = query
        .classification
        .map_or(AnswerLength::UNKNOWN, AnswerLength::from_classification);
    let expected = length.median as u32;
    let stated = query
        .classification
        .map(|classification| registry.p_correct_by_model(classification));
    let mut candidates = Vec::with_capacity(registry.backends.len());
    for (index, backend) in registry.backends.iter().enumerate() {
        let Some(model) = registry.model(backend.model) else {
            continue;
        };
        let stated_quality = stated.as_ref().map(|all| of_model(all, backend.model));
        let learned = learned_quality(registry, backend.model, query, stated_quality);
        let applied = learned.filter(|_| query.applies_learned);
        candidates.push(Candidate {
            backend: BackendId(index as u32),
            model: backend.model,
            estimate: Estimate {
                quality: applied.map(|learned| learned.quality).or(stated_quality),
                stated_quality,
                learned,
                ..estimate(BackendId(index as u32), backend, model, query, length)
            },
            objective: f64::INFINITY,
            ineligible: find_obstacle(backend, model, profile, query, expected),
        });
    }
    // A request fits if its expected answer fits. If that is true nowhere, the expectation may be wrong: then room for one token
    // is enough.
    if candidates
        .iter()
        .all(|candidate| candidate.ineligible.is_some())
    {
        for candidate in &mut candidates {
            if let (Some(backend), Some(model)) = (
                registry.backend(candidate.backend),
                registry.model(candidate.model),
            ) {
                candidate.ineligible = find_obstacle(backend, model, profile, query, 1);
            }
        }
    }
    candidates
}

/// Why `backend` cannot take the request, whatever the limits. The cheapest checks come first.
fn find_obstacle(
    backend: &Backend,
    model: &Model,
    profile: &Profile,
    query: &SelectionRequest<'_>,
    expected_tokens: u32,
) -> Option<Ineligible> {
    if query.pinned.is_some_and(|pinned| pinned != backend.model) {
        return Some(Ineligible::ModelMismatch);
    }
    if !backend.apis.contains(query.api) {
        return Some(Ineligible::UnsupportedApi(query.api));
    }
    if !query.allowed.is_empty() && !query.allowed.contains(&backend.model) {
        return Some(Ineligible::NotAllowed);
    }
    let lacks = |tag: &&str| !backend.tags.iter().any(|own| own == tag);
    if let Some(tag) = query.tags.iter().copied().find(|tag| lacks(tag)) {
        return Some(Ineligible::LacksTag(tag.to_owned()));
    }
    let missing = profile.tags.iter().find(|tag| !backend.tags.contains(tag));
    if let Some(tag) = missing.filter(|_| query.pinned.is_none()) {
        return Some(Ineligible::LacksTag(tag.clone()));
    }
    let lacking = query.needs.without(model.capabilities);
    if !lacking.is_empty() {
        return Some(Ineligible::LacksCapability(lacking));
    }
    // A longer answer than there is room for is cut down for this model; a model that the client named judges itself.
    let answer = match (query.pinned, query.max_tokens) {
        (Some(_), Some(_)) => 1,
        (_, most) => most.unwrap_or(u32::MAX).min(expected_tokens).max(1),
    };
    let needed = query.window_tokens.saturating_add(answer);
    if needed > model.context_window {
        return Some(Ineligible::ContextWindow {
            needed,
            window: model.context_window,
        });
    }
    if query
        .scope
        .is_some_and(|scope| scope != backend.state_scope.key)
    {
        return Some(Ineligible::ForeignState);
    }
    // The last check: a model over its share can take the request otherwise, so it may still stand in the chain.
    if query.pinned.is_none() && query.over_share.contains(&backend.model) {
        return Some(Ineligible::ShareExceeded);
    }
    None
}

fn estimate(
    id: BackendId,
    backend: &Backend,
    model: &Model,
    query: &SelectionRequest<'_>,
    length: AnswerLength,
) -> Estimate {
    // Whatever the client allows, a model writes no more than it can, nor more than its window has room for.
    let room = model.context_window.saturating_sub(query.window_tokens);
    let most = query
        .max_tokens
        .unwrap_or(u32::MAX)
        .min(model.max_output_tokens)
        .min(room);
    let most = most as f32;
    let observed = observed::find(query.observed, id);
    let learned = query.classification.map_or(1.0, |classification| {
        observed.length_ratio(classification.task)
    });
    let length = length.times(model.reasoning_tokens_factor * learned);
    let latencies = observed::latencies(&backend.latency, &length, most, &observed);
    // Several answers to one input are generated in parallel: they cost more but take no longer.
    let written = f64::from(length.mean_within(most)) * f64::from(query.choices.max(1));
    let price = &backend.price;
    let incumbent = query.incumbent.filter(|incumbent| incumbent.backend == id);
    let cached = incumbent.map_or(0, |incumbent| {
        incumbent.cached_tokens.min(query.input_tokens)
    });
    let read = f64::from(query.input_tokens - cached) * price.input
        + f64::from(cached) * price.cached_input;
    Estimate {
        quality: None,
        stated_quality: None,
        learned: None,
        output_tokens_p50: length.median.min(most),
        output_tokens_p90: length.p90().min(most),
        cost_usd: (read + written * price.output) / 1e6,
        latency_p50_ms: latencies.p50_ms,
        latency_p99_ms: latencies.p99_ms,
        first_token_p50_ms: latencies.first_token_p50_ms,
        first_token_p99_ms: latencies.first_token_p99_ms,
    }
}

/// The number of a model in a list in the order of the registry; 0 if there is none.
fn of_model(all: &[f32], id: ModelId) -> f32 {
    all.get(id.0 as usize).copied().unwrap_or_default()
}

/// The probability of a correct answer by what was learned, on top of the one that scores state.
fn learned_quality(
    registry: &Registry,
    id: ModelId,
    query: &SelectionRequest<'_>,
    stated: Option<f32>,
) -> Option<LearnedEstimate> {
    let (classification, stated) = (query.classification?, stated?);
    let learned = query.learned.get(id.0 as usize)?;
    let logit = registry.logit_with(id, classification, || stated);
    let deviation = learned.deviations.get(classification.task as usize);
    let moved = learned.calibration.apply(logit, classification);
    Some(LearnedEstimate::from_logit(
        moved,
        deviation.copied().unwrap_or_default(),
    ))
}

/// The least cost, the least latency and the highest quality of the candidates that can take the request: the zero points of the
/// objective's terms.
struct Best {
    cost_usd: f64,
    latency_p50_ms: f64,
    quality: f32,
}

impl Best {
    fn of(candidates: &[Candidate]) -> Option<Best> {
        candidates
            .iter()
            .filter(|candidate| candidate.ineligible.is_none())
            .map(|candidate| Best {
                cost_usd: cost_floor(candidate.estimate.cost_usd),
                latency_p50_ms: latency_floor(candidate.estimate.latency_p50_ms),
                quality: quality_floor(candidate.estimate.quality),
            })
            .reduce(|left, right| Best {
                cost_usd: left.cost_usd.min(right.cost_usd),
                latency_p50_ms: left.latency_p50_ms.min(right.latency_p50_ms),
                quality: left.quality.max(right.quality),
            })
    }
}

/// Costs below a ten-millionth of a USD count as that: the logarithm needs a bound.
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

fn is_eligible(candidate: &&Candidate) -> bool {
    candidate.ineligible.is_none()
}

/// Whether `candidate` can take the request, even if only after a failure of another.
fn can_follow(candidate: &Candidate) -> bool {
    matches!(candidate.ineligible, None | Some(Ineligible::ShareExceeded))
}

/// The chain behind `chosen`, of the candidates that `follow`; see [`crate::routing::decision::Decision::fallbacks`].
#[inline(never)]
fn fallbacks(chosen: &Candidate, candidates: &[Candidate], follow: &[bool]) -> Vec<BackendId> {
    let class = |candidate: &Candidate| {
        let rank = match candidate.ineligible {
            None => 0,
            Some(Ineligible::ShareExceeded) => 2,
            Some(_) => 1,
        };
        (rank, candidate.model != chosen.model)
    };
    let order = |left: &&Candidate, right: &&Candidate| {
        class(left)
            .cmp(&class(right))
            .then_with(|| compare(left, right))
    };
    // The best so far, in order: a sort of all would be cut down to these.
    let mut chain: Vec<&Candidate> = Vec::with_capacity(MAX_FALLBACKS + 1);
    for (candidate, follows) in candidates.iter().zip(follow) {
        if !*follows || candidate.backend == chosen.backend {
            continue;
        }
        let place = chain.partition_point(|other| order(other, &candidate).is_le());
        if place < MAX_FALLBACKS {
            chain.insert(place, candidate);
            chain.truncate(MAX_FALLBACKS);
        }
    }
    chain.iter().map(|candidate| candidate.backend).collect()
}

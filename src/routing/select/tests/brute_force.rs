//! The definition, written as naively as can be: who can take the request at all, then one limit more gives way until
//! somebody is left, each no further than needed, then every pair is compared, and at last shares, exploration and the
//! conversation are looked at.

use super::*;
use crate::policy::profiles::LIMIT_COUNT;
use crate::state::backend_stats::LatencyRatio;
use proptest::prelude::*;

const TAGS: [&str; 2] = ["on-prem", "eu"];

fn measure(limit: Limit, candidate: &Candidate, best: f32) -> f64 {
    let estimate = &candidate.estimate;
    match limit {
        Limit::MinQuality => -f64::from(estimate.quality.unwrap()),
        Limit::MaxQualityLoss => {
            1.0 - f64::from(estimate.quality.unwrap()) / f64::from(best).max(1e-6)
        }
        Limit::MaxCostUsd => estimate.cost_usd,
        Limit::MaxP50Ms => f64::from(estimate.latency_p50_ms),
        Limit::MaxP99Ms => f64::from(estimate.latency_p99_ms),
        Limit::MaxFirstTokenP50Ms => f64::from(estimate.first_token_p50_ms),
        Limit::MaxFirstTokenP99Ms => f64::from(estimate.first_token_p99_ms),
    }
}

/// Whether `backend` can take the request at all.
fn is_able(
    registry: &Registry,
    profile: &Profile,
    query: &SelectionRequest<'_>,
    backend: &Backend,
) -> bool {
    let model = &registry.models[backend.model.0 as usize];
    let expected = query.classification.unwrap().output_tokens as u32;
    let answer = match (query.pinned, query.max_tokens) {
        (Some(_), Some(_)) => 1,
        (_, most) => most.map_or(expected, |most| most.min(expected)).max(1),
    };
    let tagged = |tag: &str| backend.tags.iter().any(|own| own == tag);
    let chosen_from = match query.pinned {
        Some(pinned) => pinned == backend.model,
        None => {
            !query.over_share.contains(&backend.model) && profile.tags.iter().all(|tag| tagged(tag))
        }
    };
    chosen_from
        && backend.apis.contains(query.api)
        && (query.allowed.is_empty() || query.allowed.contains(&backend.model))
        && query.tags.iter().all(|tag| tagged(tag))
        && model.capabilities.contains(query.needs)
        && query.window_tokens + answer <= model.context_window
}

/// The sum that [`objective`] documents, of estimates alone.
fn sum(profile: &Profile, able: &[&Candidate], one: &Candidate) -> f64 {
    let least = |of: &dyn Fn(&Candidate) -> f64| {
        able.iter().map(|one| of(one)).fold(f64::INFINITY, f64::min)
    };
    let cost = |one: &Candidate| one.estimate.cost_usd.max(1e-7);
    let latency = |one: &Candidate| f64::from(one.estimate.latency_p50_ms).max(1.0);
    let lost = |one: &Candidate| 1.0 / f64::from(one.estimate.quality.unwrap().max(1e-6));
    let term = |of: &dyn Fn(&Candidate) -> f64| (of(one) / least(of)).log10();
    profile.weights.cost * term(&cost)
        + profile.weights.latency * term(&latency)
        + profile.weights.quality * 20.0 * term(&lost)
}

/// The backend that wins and the limits that gave way.
fn solve(
    candidates: &[Candidate],
    able: &[&Candidate],
    profile: &Profile,
    query: &SelectionRequest<'_>,
) -> Option<(BackendId, Vec<Limit>)> {
    let best = able
        .iter()
        .map(|one| one.estimate.quality.unwrap())
        .fold(0.0, f32::max);
    let bound = |limit: Limit| {
        let both = [profile.limits.get(limit), query.limits.get(limit)];
        let bounds = both.into_iter().flatten().map(|written| match limit {
            Limit::MinQuality => -written,
            _ => written,
        });
        bounds
            .reduce(f64::min)
            .filter(|_| query.pinned.is_none() || !limit.is_of_quality())
    };
    let relax: &[Limit] = match query.pinned {
        Some(_) => &Limit::ALL,
        None => &profile.relax,
    };
    // A backend that is down is left out as long as another keeps the limits that are never relaxed.
    let firm = |one: &&Candidate| {
        let hard = Limit::ALL
            .into_iter()
            .filter(|limit| !relax.contains(limit));
        hard.into_iter()
            .all(|limit| bound(limit).is_none_or(|b| measure(limit, one, best) <= b))
    };
    let is_up = |one: &&Candidate| !query.observed[one.backend.0 as usize].down;
    let mut able = able.to_vec();
    if able.iter().any(|one| firm(one) && is_up(one)) {
        able.retain(is_up);
    }
    for given in 0..=relax.len() {
        let (soft, _) = relax.split_at(given);
        let mut left = able.clone();
        for limit in Limit::ALL.into_iter().filter(|limit| !soft.contains(limit)) {
            left.retain(|one| bound(limit).is_none_or(|b| measure(limit, one, best) <= b));
        }
        if left.is_empty() {
            continue;
        }
        let mut gave = Vec::new();
        for limit in soft.iter().rev() {
            let Some(stated) = bound(*limit) else {
                continue;
            };
            let nearest = left
                .iter()
                .map(|one| measure(*limit, one, best))
                .fold(f64::INFINITY, f64::min);
            if nearest > stated {
                gave.insert(0, *limit);
            }
            left.retain(|one| measure(*limit, one, best) <= nearest.max(stated));
        }
        return Some((choose(candidates, &left, query)?, gave));
    }
    None
}

/// The candidate that exploration, a share or the conversation prefers to the best one left.
fn choose(
    candidates: &[Candidate],
    left: &[&Candidate],
    query: &SelectionRequest<'_>,
) -> Option<BackendId> {
    let best_of = |these: &[&Candidate]| {
        let best = these
            .iter()
            .find(|one| these.iter().all(|other| compare(one, other).is_le()));
        best.map(|one| one.backend)
    };
    let best = best_of(left)?;
    let at = |id: BackendId| &candidates[id.0 as usize];
    if query.pinned.is_none() {
        let others: Vec<&&Candidate> = left.iter().filter(|one| one.backend != best).collect();
        if let (Some(number), false) = (query.exploration.pick, others.is_empty()) {
            return Some(others[number as usize % others.len()].backend);
        }
        let behind: Vec<&Candidate> = left
            .iter()
            .copied()
            .filter(|one| Some(one.model) == query.preferred)
            .collect();
        if let Some(behind) = best_of(&behind).filter(|_| Some(at(best).model) != query.preferred) {
            return Some(behind);
        }
    }
    let kept = query.incumbent.map(|incumbent| incumbent.backend);
    let kept = kept.filter(|id| left.iter().any(|one| one.backend == *id));
    Some(match kept {
        Some(id) if at(id).objective - at(best).objective < query.stickiness => id,
        _ => best,
    })
}

prop_compose! {
    fn any_backend(models: u32)(
        model in 0..models,
        // Few distinct values, so that ties and limits met exactly happen.
        input in prop::sample::select(vec![0.0, 0.05, 0.5, 3.0]),
        cached in 0.0_f64..1.0,
        output in prop::sample::select(vec![0.0, 0.1, 0.5, 12.0]),
        first in prop::sample::select(vec![50.0_f32, 200.0, 900.0]),
        speed in prop::sample::select(vec![20.0_f32, 100.0, 800.0]),
        tags in prop::sample::subsequence(TAGS.to_vec(), 0..=2),
        speaks in prop::bool::weighted(0.9),
    ) -> Backend {
        let mut made = backend("any", model, input, speed);
        made.price.output = output;
        made.price.cached_input = input * cached;
        made.latency.first_token_p50_ms = first;
        made.latency.first_token_p99_ms = first * 3.0;
        made.tags = tags.into_iter().map(str::to_owned).collect();
        made.apis = if speaks { Apis::only(Api::OpenAiChat) } else { Apis::only(Api::AnthropicMessages) };
        made
    }
}

prop_compose! {
    fn any_limits()(
        cost in prop::option::of(prop::sample::select(vec![0.0, 1e-5, 1e-4, 1e-3])),
        p50 in prop::option::of(200.0_f64..5000.0),
        p99 in prop::option::of(200.0_f64..8000.0),
        first in prop::option::of(prop::sample::select(vec![100.0, 150.0, 600.0])),
        median in prop::option::of(prop::sample::select(vec![50.0, 100.0, 250.0])),
        within in prop::option::of(0.0_f64..0.5),
        floor in prop::option::of(0.0_f64..1.0),
    ) -> Vec<(Limit, f64)> {
        [
            (Limit::MaxCostUsd, cost),
            (Limit::MaxP50Ms, p50),
            (Limit::MaxP99Ms, p99),
            (Limit::MaxFirstTokenP99Ms, first),
            (Limit::MaxFirstTokenP50Ms, median),
            (Limit::MaxQualityLoss, within),
            (Limit::MinQuality, floor),
        ]
        .into_iter()
        .filter_map(|(limit, written)| Some((limit, written?)))
        .collect()
    }
}

prop_compose! {
    fn any_profile()(
        weights in prop::array::uniform3(0.01_f64..1.0),
        limits in any_limits(),
        order in Just(Limit::ALL.to_vec()).prop_shuffle(),
        kept in 0..=LIMIT_COUNT,
        tags in prop::sample::subsequence(vec!["on-prem"], 0..=1),
    ) -> Profile {
        let mut made = profile(weights, &limits, &order[..kept]);
        made.tags = tags.into_iter().map(str::to_owned).collect();
        made
    }
}

/// Random parts that a [`SelectionRequest`] borrows and holds.
#[derive(Debug, Clone)]
struct Wish {
    pinned: Option<u32>,
    allowed: Vec<ModelId>,
    over_share: Vec<ModelId>,
    tags: Vec<&'static str>,
    limits: Vec<(Limit, f64)>,
    needs: bool,
    tokens: u32,
    max_tokens: Option<u32>,
    preferred: Option<u32>,
    explore: Option<u64>,
    incumbent: Option<(u32, u32)>,
    stickiness: f64,
    down: Vec<bool>,
    slow: Vec<bool>,
}

fn few(models: u32) -> impl Strategy<Value = Vec<ModelId>> {
    let ids: Vec<ModelId> = (0..models).map(ModelId).collect();
    prop_oneof![3 => Just(Vec::new()), 1 => prop::sample::subsequence(ids, 0..3)]
}

fn seldom<T: Strategy + 'static>(value: T) -> impl Strategy<Value = Option<T::Value>>
where
    T::Value: Clone + std::fmt::Debug,
{
    prop::option::weighted(0.25, value)
}

fn any_wish() -> impl Strategy<Value = Wish> {
    let whose = (
        seldom(0..4_u32),
        few(4),
        few(4),
        seldom(0..4_u32),
        seldom(0..100_u64),
    );
    let what = (
        prop::sample::subsequence(TAGS.to_vec(), 0..=1),
        any_limits(),
        prop::bool::weighted(0.3),
        prop::sample::select(vec![100_u32, 900, 3000]),
        seldom(prop::sample::select(vec![10_u32, 500, 3000])),
    );
    let known = (
        seldom((0..20_u32, 0..4000_u32)),
        prop::sample::select(vec![0.0, 0.1, 1.0]),
        prop::collection::vec(prop::bool::weighted(0.2), 20),
        prop::collection::vec(prop::bool::weighted(0.2), 20),
    );
    (whose, what, known).prop_map(|(whose, what, known)| {
        let (pinned, allowed, over_share, preferred, explore) = whose;
        let (tags, limits, needs, tokens, max_tokens) = what;
        let (incumbent, stickiness, down, slow) = known;
        Wish {
            pinned,
            allowed,
            over_share,
            tags,
            limits: limits.into_iter().take(1).collect(),
            needs,
            tokens,
            max_tokens,
            preferred,
            explore,
            incumbent,
            stickiness,
            down,
            slow,
        }
    })
}

fn explored(pick: Option<u64>) -> Exploration {
    Exploration { rate: 0.5, pick }
}

fn slower(median: f32) -> LatencyRatio {
    LatencyRatio { median, p99: 0.0 }
}

fn observed(wish: &Wish, backends: usize) -> Vec<Observed> {
    let known = wish.down.iter().zip(&wish.slow).take(backends);
    let one = |(down, slow): (&bool, &bool)| Observed {
        down: *down,
        first_token: if *slow {
            slower(4.0)
        } else {
            LatencyRatio::DECLARED
        },
        token_time: if *slow && *down {
            slower(3.0)
        } else {
            LatencyRatio::DECLARED
        },
        ..Observed::UNOBSERVED
    };
    known.map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8000))]

    #[test]
    fn agrees(
        skills in prop::collection::vec(-2.0_f32..3.0, 1..5),
        mut backends in prop::collection::vec(any_backend(4), 1..20),
        profile in any_profile(),
        difficulty in -3.0_f32..3.0,
        wish in any_wish(),
    ) {
        let mut models: Vec<Model> = skills.iter().map(|skill| model("any", *skill)).collect();
        models[0].capabilities = Capabilities::NONE;
        models[0].context_window = 2048;
        models[0].max_output_tokens = 1024;
        let known = models.len() as u32;
        for backend in &mut backends {
            backend.model = ModelId(backend.model.0 % known);
        }
        let count = backends.len() as u32;
        let registry = Registry { models, backends };
        let classification = classified(difficulty);
        let observed = observed(&wish, registry.backends.len());
        let mut query = query(Some(&classification));
        query.pinned = wish.pinned.map(|id| ModelId(id % known));
        query.allowed = &wish.allowed;
        query.over_share = &wish.over_share;
        query.tags = &wish.tags;
        query.limits = wish.limits.iter().fold(Limits::NONE, |all, (limit, n)| all.with(*limit, *n));
        query.needs = if wish.needs { Capabilities::TOOLS } else { Capabilities::NONE };
        query.input_tokens = wish.tokens;
        query.window_tokens = wish.tokens;
        query.max_tokens = wish.max_tokens;
        query.preferred = wish.preferred.map(ModelId);
        query.exploration = explored(wish.explore);
        query.incumbent = wish.incumbent.map(|(id, cached_tokens)| Incumbent { backend: BackendId(id % count), cached_tokens });
        query.stickiness = wish.stickiness;
        query.observed = &observed;
        let found = select(&registry, &profile, &query);
        let candidates = match &found {
            Ok(selection) => selection.candidates.clone(),
            Err(refused) => refused.candidates.clone(),
        };
        let able: Vec<&Candidate> = candidates
            .iter()
            .filter(|one| is_able(&registry, &profile, &query, registry.backend(one.backend).unwrap()))
            .collect();
        for one in &able {
            prop_assert!((one.objective - sum(&profile, &able, one)).abs() < 1e-5);
        }
        let expected = solve(&candidates, &able, &profile, &query);
        match found {
            Ok(selection) => {
                let (winner, gave) = expected.expect("brute force finds one too");
                prop_assert_eq!(selection.chosen.backend, winner);
                prop_assert_eq!(&selection.relaxed, &gave);
                prop_assert!(selection.chosen.ineligible.is_none());
                prop_assert!(!selection.fallbacks.contains(&winner));
                // Limits that are never relaxed hold for the chain too.
                for id in &selection.fallbacks {
                    let backend = registry.backend(*id).unwrap();
                    let mut unbarred = query;
                    unbarred.over_share = &[];
                    prop_assert!(is_able(&registry, &profile, &unbarred, backend));
                }
            }
            Err(_) => prop_assert_eq!(expected, None),
        }
    }
}

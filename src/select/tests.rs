//! What is chosen and why, and that it is exactly what brute force finds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use super::*;
use crate::ability::Ability;
use crate::classifier::{Domain, SKILL_COUNT, Task};
use crate::ramp::Ramp;
use crate::registry::{Accelerator, Latency, Price};

fn model(name: &str, skill: f32) -> Model {
    Model {
        name: name.into(),
        capabilities: Capabilities::TOOLS,
        context_window: 8192,
        max_output_tokens: 4096,
        ability: Ability {
            skills: [skill; SKILL_COUNT],
            ..Ability::default()
        },
    }
}

/// A backend whose tokens all cost `usd` per million and which writes `speed` tokens a second.
fn backend(name: &str, model: u32, usd: f64, speed: f32) -> Backend {
    Backend {
        apis: Apis::OPENAI_CHAT,
        name: name.into(),
        cluster: name.into(),
        model: ModelId(model),
        served_model: name.into(),
        accelerator: Accelerator::Gpu,
        price: Price {
            input: usd,
            cached_input: usd,
            cache_write: usd,
            output: usd,
        },
        latency: Latency {
            first_token_p50_ms: 100.0,
            first_token_p99_ms: 300.0,
            tokens_per_second: speed,
        },
        tags: Vec::new(),
        endpoint: None,
        health: None,
        credentials: None,
        cold: None,
        ramp: None,
    }
}

/// A small model on two kinds of hardware and a large one on two.
fn fleet() -> Registry {
    Registry {
        models: vec![model("small", 0.0), model("large", 2.0)],
        backends: vec![
            backend("small-gpu", 0, 0.05, 100.0),
            backend("small-lpu", 0, 0.10, 800.0),
            backend("large-gpu", 1, 0.50, 40.0),
            backend("large-lpu", 1, 0.90, 400.0),
        ],
    }
}

fn said(difficulty: f32) -> Classification {
    Classification {
        task: Task::Chat,
        task_probability: 1.0,
        domain: Domain::General,
        domain_probability: 1.0,
        difficulty,
        demand: [1.0 / SKILL_COUNT as f32; SKILL_COUNT],
        output_tokens: 200.0,
        uncertainty: 0.0,
        from_model: true,
        ..Classification::default()
    }
}

fn ask(classification: Option<&Classification>) -> Ask<'_> {
    Ask {
        pinned: None,
        allowed: &[],
        tags: &[],
        barred: &[],
        limits: Limits::NONE,
        needs: Capabilities::NONE,
        input_tokens: 100,
        window_tokens: 100,
        api: Apis::OPENAI_CHAT,
        max_tokens: None,
        choices: 1,
        classification,
        observed: &[],
        incumbent: None,
        stickiness: 0.0,
        preferred: None,
        explore: None,
        draw: 0.0,
        now_ns: 0,
    }
}

fn profile(weights: [f64; 3], limits: &[(Limit, f64)], relax: &[Limit]) -> Profile {
    let [cost, latency, quality] = weights;
    Profile {
        name: "test".into(),
        weights: Weights {
            cost,
            latency,
            quality,
        },
        limits: limits.iter().fold(Limits::NONE, |all, (limit, written)| {
            all.with(*limit, *written)
        }),
        relax: relax.to_vec(),
        tags: Vec::new(),
        ramp: None,
    }
}

fn name(registry: &Registry, id: BackendId) -> &str {
    &registry.backend(id).unwrap().name
}

fn chosen(selection: &Selection) -> &'static str {
    ["small-gpu", "small-lpu", "large-gpu", "large-lpu"][selection.chosen.backend.0 as usize]
}

#[test]
fn each_built_in_profile_does_what_its_name_says() {
    let registry = fleet();
    let [auto, cheap, fast, best] = Profile::built_ins();
    let easy = said(-4.0);
    let hard = said(2.0);
    let choose = |profile: &Profile, said: &Classification| {
        chosen(&select(&registry, profile, &ask(Some(said))).unwrap())
    };
    assert_eq!(choose(&auto, &easy), "small-gpu");
    assert_eq!(choose(&auto, &hard), "large-lpu");
    assert_eq!(choose(&cheap, &easy), "small-gpu");
    assert_eq!(choose(&cheap, &hard), "large-gpu");
    assert_eq!(choose(&fast, &easy), "small-lpu");
    assert_eq!(choose(&fast, &hard), "large-lpu");
    assert_eq!(choose(&best, &hard), "large-lpu");
}

#[test]
fn estimates_are_what_the_policy_states() {
    let registry = fleet();
    let said = said(0.0);
    let mut ask = ask(Some(&said));
    ask.choices = 2;
    ask.max_tokens = Some(150);
    let profile = profile([1.0, 0.0, 0.0], &[], &[]);
    let selection = select(&registry, &profile, &ask).unwrap();
    let estimate = selection.candidates[2].estimate;
    // 100 tokens in and twice 150 out at 0.50 USD per million; 150 tokens at 40 a second.
    assert!((estimate.cost_usd - 0.0002).abs() < 1e-12);
    assert_eq!(estimate.latency_p50_ms, 100.0 + 3750.0);
    assert_eq!(estimate.latency_p99_ms, 300.0 + 3750.0 * 1.5);
    assert_eq!(estimate.first_token_p99_ms, 300.0);
    assert!((estimate.quality.unwrap() - 0.8808).abs() < 1e-3);
}

#[test]
fn the_objective_is_the_documented_sum() {
    let registry = fleet();
    let said = said(0.0);
    let profile = profile([0.5, 0.2, 0.3], &[], &[]);
    let candidates = select(&registry, &profile, &ask(Some(&said)))
        .unwrap()
        .candidates;
    let best_quality = 1.0 / (1.0 + (-2.0_f64).exp());
    for candidate in candidates {
        let estimate = candidate.estimate;
        // small-gpu is the cheapest with 300 tokens at 0.05 USD per million, small-lpu the fastest with 350 ms.
        let expected = 0.5 * (estimate.cost_usd / 1.5e-5).log10()
            + 0.2 * (f64::from(estimate.latency_p50_ms) / 350.0).log10()
            + 0.3 * 20.0 * (best_quality / f64::from(estimate.quality.unwrap())).log10();
        assert!((candidate.objective - expected).abs() < 1e-5);
    }
}

#[test]
fn every_obstacle_is_named() {
    let mut registry = fleet();
    registry.models[1].capabilities = Capabilities::TOOLS.union(Capabilities::VISION);
    registry.models[1].context_window = 1000;
    registry.backends[3].tags = vec!["eu".into()];
    let said = said(0.0);
    let mut profile = profile([1.0, 0.0, 0.0], &[], &[]);
    let why = |profile: &Profile, ask: &Ask<'_>| -> Vec<Option<Ineligible>> {
        let candidates = match select(&registry, profile, ask) {
            Ok(selection) => selection.candidates,
            Err(refused) => refused.candidates,
        };
        candidates.into_iter().map(|one| one.ineligible).collect()
    };

    let mut vision = ask(Some(&said));
    vision.needs = Capabilities::VISION;
    let lacks = Some(Ineligible::LacksCapability(Capabilities::VISION));
    assert_eq!(why(&profile, &vision), [lacks.clone(), lacks, None, None]);

    let mut long = ask(Some(&said));
    long.input_tokens = 900;
    long.window_tokens = 900;
    let window = Some(Ineligible::ContextWindow {
        needed: 1100,
        window: 1000,
    });
    assert_eq!(why(&profile, &long), [None, None, window.clone(), window]);

    long.input_tokens = 100;
    long.window_tokens = 100;
    long.max_tokens = Some(5000);
    registry_output(&registry, &long, &profile);

    let mut pinned = ask(None);
    pinned.pinned = Some(ModelId(0));
    let other = Some(Ineligible::NotTheModel);
    assert_eq!(why(&profile, &pinned), [None, None, other.clone(), other]);

    profile.tags = vec!["eu".into()];
    let tag = Some(Ineligible::LacksTag("eu".into()));
    assert_eq!(
        why(&profile, &ask(Some(&said))),
        [tag.clone(), tag.clone(), tag, None]
    );
}

/// Asking for more than a model writes rules it out although the window has room.
fn registry_output(registry: &Registry, ask: &Ask<'_>, profile: &Profile) {
    let refused = select(registry, profile, ask).unwrap_err();
    assert_eq!(
        refused.candidates[0].ineligible,
        Some(Ineligible::OutputTokens {
            needed: 5000,
            most: 4096
        })
    );
}

#[test]
fn an_expected_answer_that_fits_nowhere_refuses_nothing() {
    let registry = fleet();
    let mut said = said(0.0);
    said.output_tokens = 4000.0;
    let mut ask = ask(Some(&said));
    ask.input_tokens = 8000;
    ask.window_tokens = 8000;
    let profile = profile([1.0, 0.0, 0.0], &[], &[]);
    assert!(select(&registry, &profile, &ask).is_ok());
    ask.input_tokens = 8192;
    ask.window_tokens = 8192;
    assert!(select(&registry, &profile, &ask).is_err());
}

#[test]
fn a_pinned_model_gets_the_best_of_its_backends() {
    let registry = fleet();
    let mut ask = ask(None);
    ask.pinned = Some(ModelId(1));
    // A quality floor and a limit that nothing keeps: neither stops a pinned model.
    let limits = [(Limit::MinQuality, 1.0), (Limit::MaxP50Ms, 1.0)];
    let fast = profile([0.0, 1.0, 0.0], &limits, &[]);
    let selection = select(&registry, &fast, &ask).unwrap();
    assert_eq!(chosen(&selection), "large-lpu");
    assert_eq!(selection.reason, Reason::Pinned);
    assert_eq!(selection.relaxed, [Limit::MaxP50Ms]);
    assert_eq!(selection.chosen.estimate.quality, None);
    assert_eq!(selection.fallbacks, [BackendId(2)]);
}

#[test]
fn limits_give_way_in_order_and_no_further_than_needed() {
    let registry = fleet();
    let hard = said(2.0);
    // Large models answer half of such prompts, small ones an eighth; the floor is out of reach for both.
    let limits = [(Limit::MinQuality, 0.9), (Limit::MaxP50Ms, 1000.0)];
    let both = profile(
        [1.0, 0.0, 0.0],
        &limits,
        &[Limit::MaxP50Ms, Limit::MinQuality],
    );
    let selection = select(&registry, &both, &ask(Some(&hard))).unwrap();
    // The floor falls to the best there is, not to nothing; of the large models one keeps the latency limit, but cost is
    // all that counts and the latency limit gives way first, no further than the best remaining candidate needs.
    assert_eq!(chosen(&selection), "large-lpu");
    assert_eq!(selection.reason, Reason::Relaxed);
    assert_eq!(selection.relaxed, [Limit::MinQuality]);
    assert!(matches!(
        selection.candidates[1].ineligible,
        Some(Ineligible::BelowQuality { limit }) if (limit - 0.5).abs() < 1e-6
    ));
    assert!(matches!(
        selection.candidates[2].ineligible,
        Some(Ineligible::OverLatency { which: "p50", limit_ms }) if limit_ms == 1000.0
    ));

    let hard_floor = profile([1.0, 0.0, 0.0], &limits, &[Limit::MaxP50Ms]);
    let refused = select(&registry, &hard_floor, &ask(Some(&hard))).unwrap_err();
    assert!(
        refused
            .candidates
            .iter()
            .all(|one| one.ineligible.is_some())
    );
}

#[test]
fn the_chain_prefers_the_same_model_and_keeps_hard_limits() {
    let registry = fleet();
    let easy = said(-4.0);
    let cost = profile([1.0, 0.0, 0.0], &[], &[]);
    let selection = select(&registry, &cost, &ask(Some(&easy))).unwrap();
    let names: Vec<&str> = selection
        .fallbacks
        .iter()
        .map(|id| name(&registry, *id))
        .collect();
    assert_eq!(names, ["small-lpu", "large-gpu", "large-lpu"]);

    // A limit that may give way puts its breakers last; one that may not leaves them out.
    let limits = [(Limit::MaxP50Ms, 1000.0)];
    for (relax, expected) in [
        (
            &[Limit::MaxP50Ms][..],
            &["large-lpu", "small-gpu", "large-gpu"][..],
        ),
        (&[], &["large-lpu"]),
    ] {
        let profile = profile([1.0, 0.0, 0.0], &limits, relax);
        let selection = select(&registry, &profile, &ask(Some(&easy))).unwrap();
        assert_eq!(chosen(&selection), "small-lpu");
        let names: Vec<&str> = selection
            .fallbacks
            .iter()
            .map(|id| name(&registry, *id))
            .collect();
        assert_eq!(names, expected);
    }
}

#[test]
fn what_a_rule_demands_narrows_the_choice() {
    let mut registry = fleet();
    registry.backends[3].tags = vec!["on-prem".into()];
    let easy = said(-4.0);
    let cheap = profile([1.0, 0.0, 0.0], &[(Limit::MinQuality, 0.2)], &[]);
    let mut ask = ask(Some(&easy));
    ask.allowed = &[ModelId(1)];
    let selection = select(&registry, &cheap, &ask).unwrap();
    assert_eq!(chosen(&selection), "large-gpu");
    assert_eq!(
        selection.candidates[0].ineligible,
        Some(Ineligible::NotAllowed)
    );
    ask.tags = &["on-prem"];
    let selection = select(&registry, &cheap, &ask).unwrap();
    assert_eq!(chosen(&selection), "large-lpu");
    assert_eq!(selection.reason, Reason::OnlyCandidate);
    assert_eq!(selection.fallbacks, []);

    // The higher of two floors counts: the small models answer 0.88 of such prompts.
    let middling = said(-2.0);
    let mut ask = super::tests::ask(Some(&middling));
    assert_eq!(
        chosen(&select(&registry, &cheap, &ask).unwrap()),
        "small-gpu"
    );
    ask.limits = Limits::NONE.with(Limit::MinQuality, 0.9);
    assert_eq!(
        chosen(&select(&registry, &cheap, &ask).unwrap()),
        "large-gpu"
    );
    ask.limits = Limits::NONE.with(Limit::MinQuality, 0.1);
    assert_eq!(
        chosen(&select(&registry, &cheap, &ask).unwrap()),
        "small-gpu"
    );
}

#[test]
fn who_is_over_its_share_comes_last_in_the_chain_and_keeps_what_never_gives_way() {
    let registry = fleet();
    let easy = said(-4.0);
    let mut ask = ask(Some(&easy));
    ask.barred = &[ModelId(0)];
    let names = |profile: &Profile| {
        let selection = select(&registry, profile, &ask).unwrap();
        let chain = selection.fallbacks.iter().map(|id| name(&registry, *id));
        let all: Vec<&str> = std::iter::once(chosen(&selection)).chain(chain).collect();
        all.join(" ")
    };
    let cost = profile([1.0, 0.0, 0.0], &[], &[]);
    assert_eq!(names(&cost), "large-gpu large-lpu small-gpu small-lpu");
    let fast = profile([1.0, 0.0, 0.0], &[(Limit::MaxP50Ms, 1000.0)], &[]);
    assert_eq!(names(&fast), "large-lpu small-lpu");
}

#[test]
fn ties_fall_to_cost_then_latency_then_order() {
    let mut registry = fleet();
    let easy = said(-4.0);
    let quality = profile([0.0, 0.0, 1.0], &[], &[]);
    registry.models[1] = registry.models[0].clone();
    let selection = select(&registry, &quality, &ask(Some(&easy))).unwrap();
    assert_eq!(chosen(&selection), "small-gpu");
    for backend in &mut registry.backends {
        backend.price.input = 1.0;
        backend.price.output = 1.0;
    }
    let selection = select(&registry, &quality, &ask(Some(&easy))).unwrap();
    assert_eq!(chosen(&selection), "small-lpu");
    for backend in &mut registry.backends {
        backend.latency.tokens_per_second = 9.0;
    }
    let selection = select(&registry, &quality, &ask(Some(&easy))).unwrap();
    assert_eq!(chosen(&selection), "small-gpu");
}

#[test]
fn nothing_free_or_hopeless_breaks_the_arithmetic() {
    let mut registry = fleet();
    for backend in &mut registry.backends {
        backend.price.input = 0.0;
        backend.price.output = 0.0;
    }
    let impossible = said(1000.0);
    for profile in Profile::built_ins() {
        let selection = select(&registry, &profile, &ask(Some(&impossible))).unwrap();
        assert!(selection.chosen.objective.is_finite());
    }
    let empty = Registry::default();
    let [auto, ..] = Profile::built_ins();
    assert!(select(&empty, &auto, &ask(Some(&impossible))).is_err());
}

/// Difficulty alone never moves a request to a weaker model, under any built-in profile.
#[test]
fn harder_is_never_weaker() {
    let registry = fleet();
    for profile in Profile::built_ins() {
        let mut last = 0.0_f32;
        for step in -60..60 {
            let said = said(step as f32 / 10.0);
            let selection = select(&registry, &profile, &ask(Some(&said))).unwrap();
            let model = registry.model(selection.chosen.model).unwrap();
            let skill = model.ability.skills[0];
            assert!(skill >= last, "{} at {step}", profile.name);
            last = skill;
        }
    }
}

mod brute_force {
    //! The definition, written as naively as can be: who can take the request at all, then one limit more gives way until
    //! somebody is left, each no further than needed, then every pair is compared, and at last shares, exploration and the
    //! conversation are looked at.

    use super::*;
    use proptest::prelude::*;

    const TAGS: [&str; 2] = ["on-prem", "eu"];

    fn measure(limit: Limit, candidate: &Candidate, best: f32) -> f64 {
        let estimate = &candidate.estimate;
        match limit {
            Limit::MinQuality => -f64::from(estimate.quality.unwrap()),
            Limit::WithinOfBest => {
                1.0 - f64::from(estimate.quality.unwrap()) / f64::from(best).max(1e-6)
            }
            Limit::MaxCostUsd => estimate.cost_usd,
            Limit::MaxP50Ms => f64::from(estimate.latency_p50_ms),
            Limit::MaxP99Ms => f64::from(estimate.latency_p99_ms),
            Limit::MaxFirstTokenP99Ms => f64::from(estimate.first_token_p99_ms),
        }
    }

    /// Whether `backend` can take the request at all.
    fn is_able(registry: &Registry, profile: &Profile, ask: &Ask<'_>, backend: &Backend) -> bool {
        let model = &registry.models[backend.model.0 as usize];
        let expected = ask.classification.unwrap().output_tokens as u32;
        let answer = ask.max_tokens.unwrap_or(expected).max(1);
        let tagged = |tag: &str| backend.tags.iter().any(|own| own == tag);
        let chosen_from = match ask.pinned {
            Some(pinned) => pinned == backend.model,
            None => {
                !ask.barred.contains(&backend.model) && profile.tags.iter().all(|tag| tagged(tag))
            }
        };
        chosen_from
            && backend.apis.contains(ask.api)
            && (ask.allowed.is_empty() || ask.allowed.contains(&backend.model))
            && ask.tags.iter().all(|tag| tagged(tag))
            && model.capabilities.contains(ask.needs)
            && ask.window_tokens + answer <= model.context_window
            && ask
                .max_tokens
                .is_none_or(|most| most <= model.max_output_tokens)
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
        ask: &Ask<'_>,
    ) -> Option<(BackendId, Vec<Limit>)> {
        let best = able
            .iter()
            .map(|one| one.estimate.quality.unwrap())
            .fold(0.0, f32::max);
        let bound = |limit: Limit| {
            let both = [profile.limits.get(limit), ask.limits.get(limit)];
            let bounds = both.into_iter().flatten().map(|written| match limit {
                Limit::MinQuality => -written,
                _ => written,
            });
            bounds
                .reduce(f64::min)
                .filter(|_| ask.pinned.is_none() || !limit.is_of_quality())
        };
        let relax: &[Limit] = match ask.pinned {
            Some(_) => &Limit::ALL,
            None => &profile.relax,
        };
        // Who is down is nobody as long as anybody else keeps what never gives way.
        let firm = |one: &&Candidate| {
            let hard = Limit::ALL
                .into_iter()
                .filter(|limit| !relax.contains(limit));
            hard.into_iter()
                .all(|limit| bound(limit).is_none_or(|b| measure(limit, one, best) <= b))
        };
        let is_up = |one: &&Candidate| !ask.observed[one.backend.0 as usize].down;
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
            return Some((choose(candidates, &left, ask)?, gave));
        }
        None
    }

    /// Whom exploration, a share or the conversation prefer to the best of those that are left.
    fn choose(candidates: &[Candidate], left: &[&Candidate], ask: &Ask<'_>) -> Option<BackendId> {
        let best_of = |these: &[&Candidate]| {
            let best = these
                .iter()
                .find(|one| these.iter().all(|other| compare(one, other).is_le()));
            best.map(|one| one.backend)
        };
        let best = best_of(left)?;
        let at = |id: BackendId| &candidates[id.0 as usize];
        if ask.pinned.is_none() {
            let others: Vec<&&Candidate> = left.iter().filter(|one| one.backend != best).collect();
            if let (Some(number), false) = (ask.explore, others.is_empty()) {
                return Some(others[number as usize % others.len()].backend);
            }
            let behind: Vec<&Candidate> = left
                .iter()
                .copied()
                .filter(|one| Some(one.model) == ask.preferred)
                .collect();
            if let Some(behind) = best_of(&behind).filter(|_| Some(at(best).model) != ask.preferred)
            {
                return Some(behind);
            }
        }
        let kept = ask.incumbent.map(|incumbent| incumbent.backend);
        let kept = kept.filter(|id| left.iter().any(|one| one.backend == *id));
        Some(match kept {
            Some(id) if at(id).objective - at(best).objective < ask.stickiness => id,
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
            made.apis = if speaks { Apis::OPENAI_CHAT } else { Apis::ANTHROPIC_MESSAGES };
            made
        }
    }

    prop_compose! {
        fn any_limits()(
            cost in prop::option::of(prop::sample::select(vec![0.0, 1e-5, 1e-4, 1e-3])),
            p50 in prop::option::of(200.0_f64..5000.0),
            p99 in prop::option::of(200.0_f64..8000.0),
            first in prop::option::of(prop::sample::select(vec![100.0, 150.0, 600.0])),
            within in prop::option::of(0.0_f64..0.5),
            floor in prop::option::of(0.0_f64..1.0),
        ) -> Vec<(Limit, f64)> {
            [
                (Limit::MaxCostUsd, cost),
                (Limit::MaxP50Ms, p50),
                (Limit::MaxP99Ms, p99),
                (Limit::MaxFirstTokenP99Ms, first),
                (Limit::WithinOfBest, within),
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

    /// What an [`Ask`] borrows and holds, drawn.
    #[derive(Debug, Clone)]
    struct Wish {
        pinned: Option<u32>,
        allowed: Vec<ModelId>,
        barred: Vec<ModelId>,
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
            let (pinned, allowed, barred, preferred, explore) = whose;
            let (tags, limits, needs, tokens, max_tokens) = what;
            let (incumbent, stickiness, down, slow) = known;
            Wish {
                pinned,
                allowed,
                barred,
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

    fn observed(wish: &Wish, backends: usize) -> Vec<Observed> {
        let known = wish.down.iter().zip(&wish.slow).take(backends);
        let one = |(down, slow): (&bool, &bool)| Observed {
            down: *down,
            slowdown: if *slow { 4.0 } else { 1.0 },
            ..Observed::NOTHING
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
            let said = said(difficulty);
            let observed = observed(&wish, registry.backends.len());
            let mut ask = ask(Some(&said));
            ask.pinned = wish.pinned.map(|id| ModelId(id % known));
            ask.allowed = &wish.allowed;
            ask.barred = &wish.barred;
            ask.tags = &wish.tags;
            ask.limits = wish.limits.iter().fold(Limits::NONE, |all, (limit, n)| all.with(*limit, *n));
            ask.needs = if wish.needs { Capabilities::TOOLS } else { Capabilities::NONE };
            ask.input_tokens = wish.tokens;
            ask.window_tokens = wish.tokens;
            ask.max_tokens = wish.max_tokens;
            ask.preferred = wish.preferred.map(ModelId);
            ask.explore = wish.explore;
            ask.incumbent = wish.incumbent.map(|(id, cached_tokens)| Incumbent { backend: BackendId(id % count), cached_tokens });
            ask.stickiness = wish.stickiness;
            ask.observed = &observed;
            let found = select(&registry, &profile, &ask);
            let candidates = match &found {
                Ok(selection) => selection.candidates.clone(),
                Err(refused) => refused.candidates.clone(),
            };
            let able: Vec<&Candidate> = candidates
                .iter()
                .filter(|one| is_able(&registry, &profile, &ask, registry.backend(one.backend).unwrap()))
                .collect();
            for one in &able {
                prop_assert!((one.objective - sum(&profile, &able, one)).abs() < 1e-5);
            }
            let expected = solve(&candidates, &able, &profile, &ask);
            match found {
                Ok(selection) => {
                    let (winner, gave) = expected.expect("brute force finds one too");
                    prop_assert_eq!(selection.chosen.backend, winner);
                    prop_assert_eq!(&selection.relaxed, &gave);
                    prop_assert!(selection.chosen.ineligible.is_none());
                    prop_assert!(!selection.fallbacks.contains(&winner));
                    // What may never give way holds for the chain too.
                    for id in &selection.fallbacks {
                        let backend = registry.backend(*id).unwrap();
                        let mut unbarred = ask;
                        unbarred.barred = &[];
                        prop_assert!(is_able(&registry, &profile, &unbarred, backend));
                    }
                }
                Err(_) => prop_assert_eq!(expected, None),
            }
        }
    }
}

#[test]
fn conversations_move_from_one_backend_to_another_and_back() {
    const S: u64 = 1_000_000_000;
    let mut registry = fleet();
    let up = Ramp {
        start_s: 100,
        over_s: 100.0,
        from: 0.0,
        to: 1.0,
    };
    let down = Ramp {
        from: 1.0,
        to: 0.0,
        ..up
    };
    // Dearer and slower, so that nothing but the ramp leads there.
    registry.backends[1].ramp = Some(up);
    registry.backends[1].price.output = 0.5;
    registry.backends[1].latency.tokens_per_second = 10.0;
    registry.backends[0].ramp = Some(down);
    let cheap = profile([1.0, 0.0, 0.0], &[], &Limit::ALL);
    let choose = |registry: &Registry, draw: f64, now_s: u64| {
        let mut ask = ask(None);
        ask.draw = draw;
        ask.now_ns = now_s * S;
        // Pinned: the client names the model, as whoever ramps hardware expects it.
        ask.pinned = Some(ModelId(0));
        select(registry, &cheap, &ask).unwrap()
    };
    let moved = |now_s: u64| {
        let draws = (0..100).map(|step| f64::from(step) / 100.0);
        draws
            .filter(|draw| choose(&registry, *draw, now_s).chosen.backend == BackendId(1))
            .count()
    };
    assert_eq!(
        [50, 100, 125, 175, 200, 900].map(moved),
        [0, 0, 25, 75, 100, 100]
    );
    let selection = choose(&registry, 0.9, 150);
    assert_eq!(selection.chosen.backend, BackendId(0));
    assert_eq!(selection.candidates[1].ineligible, Some(Ineligible::Ramp));
    // It is still where the request goes when the other one fails.
    assert_eq!(selection.fallbacks, [BackendId(1)]);
    // And where nobody else can take it: no ramp refuses a request.
    let mut observed = [Observed::NOTHING; 4];
    observed[0].down = true;
    let mut ask = ask(None);
    ask.pinned = Some(ModelId(0));
    ask.draw = 0.9;
    ask.observed = &observed;
    let selection = select(&registry, &cheap, &ask).unwrap();
    assert_eq!(selection.chosen.backend, BackendId(1));
}

#[test]
fn a_cold_start_counts_in_every_latency() {
    let registry = fleet();
    let fast = profile([0.0, 1.0, 0.0], &[], &Limit::ALL);
    let mut observed = [Observed::NOTHING; 4];
    let warm = select(&registry, &fast, &ask(None)).unwrap();
    assert_eq!(warm.chosen.backend, BackendId(1));
    observed[1].cold_start_ms = 8000.0;
    let mut ask = ask(None);
    ask.observed = &observed;
    let cold = select(&registry, &fast, &ask).unwrap();
    assert_ne!(cold.chosen.backend, BackendId(1));
    let (before, after) = (warm.candidates[1].estimate, cold.candidates[1].estimate);
    assert_eq!(after.latency_p50_ms, before.latency_p50_ms + 8000.0);
    assert_eq!(after.latency_p99_ms, before.latency_p99_ms + 8000.0);
    assert_eq!(after.first_token_p99_ms, before.first_token_p99_ms + 8000.0);
}

/// Run by hand, in release: `cargo test --release -p pointsman --lib -- --ignored --nocapture select_takes`.
#[test]
#[ignore = "measures time"]
fn select_takes_at_most_20_microseconds_for_100_candidates() {
    let mut registry = fleet();
    registry.models = (0..25).map(|n| model("m", n as f32 / 10.0)).collect();
    registry.backends = (0..100)
        .map(|n| backend("b", n % 25, 0.01 * f64::from(n + 1), 20.0 + n as f32))
        .collect();
    let said = said(0.5);
    let limits = [(Limit::MaxP99Ms, 100.0), (Limit::MinQuality, 0.99)];
    let profile = profile([0.5, 0.2, 0.3], &limits, &Limit::ALL);
    // The fastest of many short batches: what it takes when nobody else wants the processor.
    let each = (0..400)
        .map(|_| {
            let start = std::time::Instant::now();
            for _ in 0..50 {
                std::hint::black_box(select(&registry, &profile, &ask(Some(&said))).is_ok());
            }
            start.elapsed().as_secs_f64() * 1e6 / 50.0
        })
        .fold(f64::INFINITY, f64::min);
    println!("{each:.2} µs");
    assert!(each <= 20.0, "{each} µs");
}

//! The choice and its reasons; it is exactly the choice that brute force finds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod brute_force;

use super::*;
use crate::analysis::classifier::{Domain, SKILL_COUNT, Task};
use crate::api::Apis;
use crate::fleet::ability::Ability;
use crate::fleet::ramp::Ramp;
use crate::fleet::{Accelerator, Latency, Price, StateScope, Timeouts};

fn model(name: &str, skill: f32) -> Model {
    Model {
        name: name.into(),
        capabilities: Capabilities::TOOLS,
        context_window: 8192,
        max_output_tokens: 4096,
        reasoning_tokens_factor: 1.0,
        ability: Ability {
            skills: [skill; SKILL_COUNT],
            ..Ability::default()
        },
        smaller_siblings: Vec::new(),
    }
}

/// A backend whose tokens all cost `usd` per million and which writes `speed` tokens a second.
fn backend(name: &str, model: u32, usd: f64, speed: f32) -> Backend {
    Backend {
        apis: Apis::only(Api::OpenAiChat),
        name: name.into(),
        cluster: name.into(),
        model: ModelId(model),
        served_model: name.into(),
        accelerator: Accelerator::Gpu,
        price: Price {
            input: usd,
            cached_input: usd,
            cache_write: usd,
            cache_write_1h: usd,
            output: usd,
        },
        timeouts: Timeouts {
            first_token_ms: 10_000.0,
            response_ms: None,
            idle_ms: Timeouts::IDLE_MS,
            total_ms: None,
        },
        latency: Latency {
            first_token_p50_ms: 100.0,
            first_token_p99_ms: 300.0,
            tokens_per_second: speed,
        },
        tags: Vec::new(),
        provider: "openai".into(),
        endpoint: None,
        health: None,
        credentials: None,
        client: crate::fleet::ClientHeaders::default(),
        cold: None,
        state_scope: StateScope::new(String::new()),
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

fn classified(difficulty: f32) -> Classification {
    Classification {
        task: Task::Chat,
        task_probability: 1.0,
        domain: Domain::General,
        domain_probability: 1.0,
        difficulty,
        skill_weights: [1.0 / SKILL_COUNT as f32; SKILL_COUNT],
        output_tokens: 200.0,
        uncertainty: 0.0,
        from_model: true,
        model_failed: false,
        ..Classification::default()
    }
}

fn query(classification: Option<&Classification>) -> SelectionRequest<'_> {
    SelectionRequest {
        pinned: None,
        allowed: &[],
        tags: &[],
        over_share: &[],
        scope: None,
        limits: Limits::NONE,
        needs: Capabilities::NONE,
        input_tokens: 100,
        window_tokens: 100,
        api: Api::OpenAiChat,
        max_tokens: None,
        choices: 1,
        classification,
        observed: &[],
        incumbent: None,
        stickiness: 0.0,
        preferred: None,
        prefers: &[],
        exploration: Exploration::NONE,
        learned: &[],
        applies_learned: false,
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
    let easy = classified(-4.0);
    let hard = classified(2.0);
    let choose = |profile: &Profile, classification: &Classification| {
        chosen(&select(&registry, profile, &query(Some(classification))).unwrap())
    };
    assert_eq!(choose(&auto, &easy), "small-lpu");
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
    let classification = classified(0.0);
    let mut query = query(Some(&classification));
    query.choices = 2;
    query.max_tokens = Some(150);
    let profile = profile([1.0, 0.0, 0.0], &[], &[]);
    let selection = select(&registry, &profile, &query).unwrap();
    let estimate = selection.candidates[2].estimate;
    // 100 tokens in and twice what is written of a length around 200 that ends at 150, at 0.50 USD per million.
    let written = AnswerLength::from_classification(&classification).mean_within(150.0);
    assert!((100.0..150.0).contains(&written), "{written}");
    let cost_usd = (100.0 + 2.0 * f64::from(written)) * 0.5e-6;
    assert!((estimate.cost_usd - cost_usd).abs() < 1e-12);
    // Half of the answers have all 150 tokens, at 40 a second; the slowest take 1.5 times as long for each.
    assert_eq!(estimate.output_tokens_p50, 150.0);
    assert_eq!(estimate.latency_p50_ms, 100.0 + 3750.0);
    let late = 200.0_f32.hypot(3750.0 * 0.5);
    assert_eq!(estimate.latency_p99_ms, 100.0 + 3750.0 + late);
    assert_eq!(estimate.first_token_p99_ms, 300.0);
    assert!((estimate.quality.unwrap() - 0.8808).abs() < 1e-3);
}

#[test]
fn the_objective_is_the_documented_sum() {
    let registry = fleet();
    let classification = classified(0.0);
    let profile = profile([0.5, 0.2, 0.3], &[], &[]);
    let candidates = select(&registry, &profile, &query(Some(&classification)))
        .unwrap()
        .candidates;
    let best_quality = 1.0 / (1.0 + (-2.0_f64).exp());
    let written = AnswerLength::from_classification(&classification).mean_within(4096.0);
    let least_usd = (100.0 + f64::from(written)) * 0.05e-6;
    for candidate in candidates {
        let estimate = candidate.estimate;
        // small-gpu is the cheapest at 0.05 USD per million, small-lpu the fastest with 350 ms.
        let expected = 0.5 * (estimate.cost_usd / least_usd).log10()
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
    let classification = classified(0.0);
    let mut profile = profile([1.0, 0.0, 0.0], &[], &[]);
    let why = |profile: &Profile, query: &SelectionRequest<'_>| -> Vec<Option<Ineligible>> {
        let candidates = match select(&registry, profile, query) {
            Ok(selection) => selection.candidates,
            Err(refused) => refused.candidates,
        };
        candidates
            .into_iter()
            .map(|candidate| candidate.ineligible)
            .collect()
    };

    let mut vision = query(Some(&classification));
    vision.needs = Capabilities::VISION;
    let lacks = Some(Ineligible::LacksCapability(Capabilities::VISION));
    assert_eq!(why(&profile, &vision), [lacks.clone(), lacks, None, None]);

    let mut long = query(Some(&classification));
    long.input_tokens = 900;
    long.window_tokens = 900;
    let window = Some(Ineligible::ContextWindow {
        needed: 1100,
        window: 1000,
    });
    assert_eq!(why(&profile, &long), [None, None, window.clone(), window]);

    // More than any model writes, or the smaller window has room for: it is cut down.
    long.input_tokens = 100;
    long.window_tokens = 100;
    long.max_tokens = Some(5000);
    assert_eq!(why(&profile, &long), [None, None, None, None]);

    let mut pinned = query(None);
    pinned.pinned = Some(ModelId(0));
    let other = Some(Ineligible::ModelMismatch);
    assert_eq!(why(&profile, &pinned), [None, None, other.clone(), other]);

    profile.tags = vec!["eu".into()];
    let tag = Some(Ineligible::LacksTag("eu".into()));
    assert_eq!(
        why(&profile, &query(Some(&classification))),
        [tag.clone(), tag.clone(), tag, None]
    );
}

#[test]
fn an_expected_answer_that_fits_nowhere_refuses_nothing() {
    let registry = fleet();
    let mut classification = classified(0.0);
    classification.output_tokens = 4000.0;
    let mut query = query(Some(&classification));
    query.input_tokens = 8000;
    query.window_tokens = 8000;
    let profile = profile([1.0, 0.0, 0.0], &[], &[]);
    assert!(select(&registry, &profile, &query).is_ok());
    query.input_tokens = 8192;
    query.window_tokens = 8192;
    assert!(select(&registry, &profile, &query).is_err());
}

#[test]
fn cost_is_of_the_mean_and_the_99th_percentile_of_length_and_speed_together() {
    let registry = fleet();
    let profile = profile([1.0, 0.0, 0.0], &[], &[]);
    let estimate = |sigma: f32, most: Option<u32>| {
        let mut classification = classified(0.0);
        classification.output_tokens_sigma = sigma;
        let mut query = query(Some(&classification));
        query.max_tokens = most;
        let selection = select(&registry, &profile, &query).unwrap();
        selection.candidates[2].estimate
    };
    let (sure, unsure) = (estimate(0.3, None), estimate(1.0, None));
    assert_eq!(sure.latency_p50_ms, unsure.latency_p50_ms);
    assert!(unsure.cost_usd > 1.3 * sure.cost_usd);
    assert!(unsure.output_tokens_p90 > 2.0 * sure.output_tokens_p90);
    // 200 tokens at 40 a second take 5 s; at the 99th percentile e^(2.33 * 1.02) times as long, as speed varies too.
    assert!(
        (10.0..11.5).contains(&((unsure.latency_p99_ms - 100.0) / 5000.0)),
        "{unsure:?}"
    );
    let bounded = estimate(1.0, Some(400));
    assert!(bounded.cost_usd < unsure.cost_usd);
    assert!(bounded.latency_p99_ms < 100.0 + 15_000.0 + 200.0);
    assert_eq!(bounded.output_tokens_p90, 400.0);
}

#[test]
fn hidden_reasoning_costs_and_takes_time_at_its_model_alone() {
    let plain = fleet();
    let mut reasoning = fleet();
    reasoning.models[1].reasoning_tokens_factor = 5.0;
    let (classification, profile) = (classified(0.0), profile([1.0, 0.0, 0.0], &[], &[]));
    let estimates = |registry: &Registry| -> Vec<Estimate> {
        let selection = select(registry, &profile, &query(Some(&classification))).unwrap();
        selection
            .candidates
            .iter()
            .map(|candidate| candidate.estimate)
            .collect()
    };
    for (index, (before, after)) in estimates(&plain)
        .into_iter()
        .zip(estimates(&reasoning))
        .enumerate()
    {
        if plain.backends[index].model == ModelId(0) {
            assert_eq!(before, after);
        } else {
            assert!(
                after.cost_usd > 2.0 * before.cost_usd,
                "{before:?} {after:?}"
            );
            assert!(after.latency_p50_ms > 2.0 * before.latency_p50_ms);
            assert_eq!(after.first_token_p50_ms, before.first_token_p50_ms);
        }
    }
}

#[test]
fn a_pinned_model_gets_the_best_of_its_backends() {
    let registry = fleet();
    let mut query = query(None);
    query.pinned = Some(ModelId(1));
    // A quality floor and a limit that nothing keeps: neither stops a pinned model.
    let limits = [(Limit::MinQuality, 1.0), (Limit::MaxP50Ms, 1.0)];
    let fast = profile([0.0, 1.0, 0.0], &limits, &[]);
    let selection = select(&registry, &fast, &query).unwrap();
    assert_eq!(chosen(&selection), "large-lpu");
    assert_eq!(selection.reason, Reason::Pinned);
    assert_eq!(selection.relaxed, [Limit::MaxP50Ms]);
    assert_eq!(selection.chosen.estimate.quality, None);
    assert_eq!(selection.fallbacks, [BackendId(2)]);
}

#[test]
fn limits_give_way_in_order_and_no_further_than_needed() {
    let registry = fleet();
    let hard = classified(2.0);
    // Large models answer half of such prompts, small ones an eighth; the floor is out of reach for both.
    let limits = [(Limit::MinQuality, 0.9), (Limit::MaxP50Ms, 1000.0)];
    let both = profile(
        [1.0, 0.0, 0.0],
        &limits,
        &[Limit::MaxP50Ms, Limit::MinQuality],
    );
    let selection = select(&registry, &both, &query(Some(&hard))).unwrap();
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
    let refused = select(&registry, &hard_floor, &query(Some(&hard))).unwrap_err();
    assert!(
        refused
            .candidates
            .iter()
            .all(|candidate| candidate.ineligible.is_some())
    );
}

#[test]
fn the_chain_prefers_the_same_model_and_keeps_hard_limits() {
    let registry = fleet();
    let easy = classified(-4.0);
    let cost = profile([1.0, 0.0, 0.0], &[], &[]);
    let selection = select(&registry, &cost, &query(Some(&easy))).unwrap();
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
        let selection = select(&registry, &profile, &query(Some(&easy))).unwrap();
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
    let easy = classified(-4.0);
    let cheap = profile([1.0, 0.0, 0.0], &[(Limit::MinQuality, 0.2)], &[]);
    let mut query = query(Some(&easy));
    query.allowed = &[ModelId(1)];
    let selection = select(&registry, &cheap, &query).unwrap();
    assert_eq!(chosen(&selection), "large-gpu");
    assert_eq!(
        selection.candidates[0].ineligible,
        Some(Ineligible::NotAllowed)
    );
    query.tags = &["on-prem"];
    let selection = select(&registry, &cheap, &query).unwrap();
    assert_eq!(chosen(&selection), "large-lpu");
    assert_eq!(selection.reason, Reason::OnlyCandidate);
    assert_eq!(selection.fallbacks, []);

    // The higher of two floors counts: the small models answer 0.88 of such prompts.
    let middling = classified(-2.0);
    let mut query = super::tests::query(Some(&middling));
    assert_eq!(
        chosen(&select(&registry, &cheap, &query).unwrap()),
        "small-gpu"
    );
    query.limits = Limits::NONE.with(Limit::MinQuality, 0.9);
    assert_eq!(
        chosen(&select(&registry, &cheap, &query).unwrap()),
        "large-gpu"
    );
    query.limits = Limits::NONE.with(Limit::MinQuality, 0.1);
    assert_eq!(
        chosen(&select(&registry, &cheap, &query).unwrap()),
        "small-gpu"
    );
}

#[test]
fn who_is_over_its_share_comes_last_in_the_chain_and_keeps_what_never_gives_way() {
    let registry = fleet();
    let easy = classified(-4.0);
    let mut query = query(Some(&easy));
    query.over_share = &[ModelId(0)];
    let names = |profile: &Profile| {
        let selection = select(&registry, profile, &query).unwrap();
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
    let easy = classified(-4.0);
    let quality = profile([0.0, 0.0, 1.0], &[], &[]);
    registry.models[1] = registry.models[0].clone();
    let selection = select(&registry, &quality, &query(Some(&easy))).unwrap();
    assert_eq!(chosen(&selection), "small-gpu");
    for backend in &mut registry.backends {
        backend.price.input = 1.0;
        backend.price.output = 1.0;
    }
    let selection = select(&registry, &quality, &query(Some(&easy))).unwrap();
    assert_eq!(chosen(&selection), "small-lpu");
    for backend in &mut registry.backends {
        backend.latency.tokens_per_second = 9.0;
    }
    let selection = select(&registry, &quality, &query(Some(&easy))).unwrap();
    assert_eq!(chosen(&selection), "small-gpu");
}

#[test]
fn nothing_free_or_hopeless_breaks_the_arithmetic() {
    let mut registry = fleet();
    for backend in &mut registry.backends {
        backend.price.input = 0.0;
        backend.price.output = 0.0;
    }
    let impossible = classified(1000.0);
    for profile in Profile::built_ins() {
        let selection = select(&registry, &profile, &query(Some(&impossible))).unwrap();
        assert!(selection.chosen.objective.is_finite());
    }
    let empty = Registry::default();
    let [auto, ..] = Profile::built_ins();
    assert!(select(&empty, &auto, &query(Some(&impossible))).is_err());
}

/// Difficulty alone never moves a request to a weaker model, under any built-in profile.
#[test]
fn harder_is_never_weaker() {
    let registry = fleet();
    for profile in Profile::built_ins() {
        let mut last = 0.0_f32;
        for step in -60..60 {
            let classification = classified(step as f32 / 10.0);
            let selection = select(&registry, &profile, &query(Some(&classification))).unwrap();
            let model = registry.model(selection.chosen.model).unwrap();
            let skill = model.ability.skills[0];
            assert!(skill >= last, "{} at {step}", profile.name);
            last = skill;
        }
    }
}

#[test]
fn conversations_move_from_one_backend_to_another_and_back() {
    const S: u64 = 1_000_000_000;
    let mut registry = fleet();
    let up = Ramp {
        start_s: 100,
        duration_s: 100.0,
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
        let mut query = query(None);
        query.draw = draw;
        query.now_ns = now_s * S;
        // Pinned: the client names the model, as whoever ramps hardware expects it.
        query.pinned = Some(ModelId(0));
        select(registry, &cheap, &query).unwrap()
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
    // The request still goes there after a failure of the other.
    assert_eq!(selection.fallbacks, [BackendId(1)]);
    // And where nobody else can take it: no ramp refuses a request.
    let mut observed = [Observed::UNOBSERVED; 4];
    observed[0].down = true;
    let mut query = query(None);
    query.pinned = Some(ModelId(0));
    query.draw = 0.9;
    query.observed = &observed;
    let selection = select(&registry, &cheap, &query).unwrap();
    assert_eq!(selection.chosen.backend, BackendId(1));
}

/// "First token P50 under 200 ms": by what is stated, and by what was seen.
#[test]
fn the_median_first_token_can_be_limited() {
    let mut registry = fleet();
    registry.backends[1].latency.first_token_p50_ms = 300.0;
    let limits = [(Limit::MaxFirstTokenP50Ms, 200.0)];
    let fast = profile([0.0, 1.0, 0.0], &limits, &[]);
    let chosen = select(&registry, &fast, &query(None)).unwrap();
    assert_ne!(chosen.chosen.backend, BackendId(1));
    let over = Ineligible::OverLatency {
        which: "first_token_p50",
        limit_ms: 200.0,
    };
    assert_eq!(chosen.candidates[1].ineligible, Some(over));
    // A backend that begins late breaks it too; one that only writes slowly does not.
    let mut observed = [Observed::UNOBSERVED; 4];
    for one in &mut observed {
        one.token_time.median = 9.0;
    }
    let mut query = query(None);
    query.observed = &observed;
    assert!(select(&registry, &fast, &query).is_ok());
    for one in &mut observed {
        one.first_token.median = 2.5;
    }
    let mut query = super::tests::query(None);
    query.observed = &observed;
    assert!(select(&registry, &fast, &query).is_err());
}

#[test]
fn slow_writing_is_not_put_on_the_first_token_nor_the_reverse() {
    let registry = fleet();
    let fast = profile([0.0, 1.0, 0.0], &[], &Limit::ALL);
    let estimate = |first: f32, token: f32| {
        let mut observed = [Observed::UNOBSERVED; 4];
        observed[0].first_token.median = first;
        observed[0].token_time.median = token;
        let mut query = query(None);
        query.observed = &observed;
        select(&registry, &fast, &query).unwrap().candidates[0].estimate
    };
    let stated = estimate(1.0, 1.0);
    let writing = stated.latency_p50_ms - stated.first_token_p50_ms;
    let slow = estimate(1.0, 4.0);
    assert_eq!(slow.first_token_p99_ms, stated.first_token_p99_ms);
    assert_eq!(
        slow.latency_p50_ms,
        stated.first_token_p50_ms + 4.0 * writing
    );
    let late = estimate(4.0, 1.0);
    assert_eq!(late.first_token_p99_ms, 4.0 * stated.first_token_p99_ms);
    assert_eq!(
        late.latency_p50_ms,
        4.0 * stated.first_token_p50_ms + writing
    );
}

#[test]
fn a_cold_start_counts_in_every_latency() {
    let registry = fleet();
    let fast = profile([0.0, 1.0, 0.0], &[], &Limit::ALL);
    let mut observed = [Observed::UNOBSERVED; 4];
    let warm = select(&registry, &fast, &query(None)).unwrap();
    assert_eq!(warm.chosen.backend, BackendId(1));
    observed[1].cold_start_ms = 8000.0;
    let mut query = query(None);
    query.observed = &observed;
    let cold = select(&registry, &fast, &query).unwrap();
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
    let classification = classified(0.5);
    let limits = [(Limit::MaxP99Ms, 100.0), (Limit::MinQuality, 0.99)];
    let profile = profile([0.5, 0.2, 0.3], &limits, &Limit::ALL);
    // The fastest of many short batches: what it takes when nobody else wants the processor.
    let each = (0..400)
        .map(|_| {
            let start = std::time::Instant::now();
            for _ in 0..50 {
                std::hint::black_box(
                    select(&registry, &profile, &query(Some(&classification))).is_ok(),
                );
            }
            start.elapsed().as_secs_f64() * 1e6 / 50.0
        })
        .fold(f64::INFINITY, f64::min);
    println!("{each:.2} µs");
    assert!(each <= 20.0, "{each} µs");
}

/// Run by hand as the test above: `learning_adds`.
#[test]
#[ignore = "measures time"]
fn learning_adds_at_most_3_microseconds_for_20_candidates() {
    let mut registry = fleet();
    registry.models = (0..20).map(|n| model("m", n as f32 / 10.0)).collect();
    registry.backends = (0..20).map(|n| backend("b", n, 0.01, 20.0)).collect();
    let classification = classified(0.5);
    let nothing = crate::state::learned_quality::sums::ModelSums::default();
    let learned = crate::state::learned_quality::posterior::fit(&[&nothing; 20], 14.0);
    let profile = profile([0.5, 0.2, 0.3], &[], &Limit::ALL);
    let fastest = |learned: &[Learned]| {
        let query = SelectionRequest {
            learned,
            applies_learned: true,
            ..query(Some(&classification))
        };
        let time = || {
            let start = std::time::Instant::now();
            for _ in 0..50 {
                std::hint::black_box(select(&registry, &profile, &query).is_ok());
            }
            start.elapsed().as_secs_f64() * 1e6 / 50.0
        };
        (0..400).map(|_| time()).fold(f64::INFINITY, f64::min)
    };
    let (without, with) = (fastest(&[]), fastest(&learned));
    println!("{without:.2} µs without, {with:.2} µs with what was learned");
    assert!(with - without <= 3.0, "{without} to {with} µs");
}

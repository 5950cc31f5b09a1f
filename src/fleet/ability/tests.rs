//! Placing models by their scores, and P(correct) for given skill weights.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::analysis::classifier::{Domain, Task};

fn classified(difficulty: f32, skill_weights: [f32; SKILL_COUNT]) -> Classification {
    Classification {
        task: Task::Math,
        task_probability: 1.0,
        domain: Domain::Mathematics,
        domain_probability: 1.0,
        difficulty,
        skill_weights,
        output_tokens: 100.0,
        uncertainty: 0.0,
        from_model: true,
        model_failed: false,
        ..Classification::default()
    }
}

/// The scores of every model of models/benchmarks.json that has any.
fn published() -> Vec<(String, Vec<(String, f32)>)> {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("../../../models/benchmarks.json")).unwrap();
    let models = file
        .get("models")
        .and_then(|models| models.as_array())
        .unwrap();
    let scores = |model: &serde_json::Value| {
        let scores = model
            .get("scores")
            .and_then(|scores| scores.as_object())
            .unwrap();
        scores
            .iter()
            .map(|(name, score)| (name.clone(), score.as_f64().unwrap() as f32))
            .collect::<Vec<_>>()
    };
    let name = |model: &serde_json::Value| model.get("name").unwrap().as_str().unwrap().to_owned();
    models
        .iter()
        .map(|model| (name(model), scores(model)))
        .collect()
}

fn place(scores: &[(String, f32)]) -> Ability {
    Ability::from_benchmarks(scores.iter().map(|(name, score)| (name.as_str(), *score)))
}

fn named(name: &str) -> Ability {
    let models = published();
    place(&models.iter().find(|(known, _)| known == name).unwrap().1)
}

fn mean(ability: Ability) -> f32 {
    ability.skills.iter().sum::<f32>() / SKILL_COUNT as f32
}

#[test]
fn models_come_in_the_order_that_everybody_knows() {
    let order = [
        "smollm2-135m-instruct",
        "llama-3.2-3b-instruct",
        "llama-3.1-8b-instruct",
        "llama-3.1-70b-instruct",
        "gpt-4o",
        "gpt-5",
    ];
    let means: Vec<f32> = order.iter().map(|name| mean(named(name))).collect();
    assert!(means.is_sorted(), "{means:?}");
}

#[test]
fn every_published_score_is_a_share_of_a_known_benchmark_and_places_its_model() {
    for (model, scores) in published() {
        for (name, score) in &scores {
            assert!(BENCHMARKS.contains(&name.as_str()), "{model}: {name}");
            assert!((0.0..=1.0).contains(score), "{model}: {name} = {score}");
        }
        let ability = place(&scores);
        assert!(
            ability.skills.iter().all(|skill| skill.abs() < 8.0),
            "{model}: {ability:?}"
        );
    }
}

#[test]
fn one_score_is_enough_and_better_is_never_worse() {
    for benchmark in BENCHMARKS {
        let at = |score| mean(Ability::from_benchmarks([(*benchmark, score)]));
        let means: Vec<f32> = [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0].map(at).to_vec();
        assert!(means.is_sorted(), "{benchmark}: {means:?}");
    }
}

#[test]
fn no_skill_falls_where_a_score_rises() {
    let at = |moved: &str, score: f32| {
        let others = BENCHMARKS.iter().map(|name| (*name, 0.6));
        Ability::from_benchmarks(others.chain([(moved, score)]))
    };
    for benchmark in BENCHMARKS {
        for (skill, name) in SKILLS.iter().enumerate() {
            let alone = |score| Ability::from_benchmarks([(*benchmark, score)]);
            let scores = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0];
            let of = |ability: Ability| ability.skills.get(skill).copied().unwrap();
            let among = scores.map(|score| of(at(benchmark, score)));
            assert!(among.is_sorted(), "{name} by {benchmark}: {among:?}");
            let only = scores.map(|score| of(alone(score)));
            assert!(only.is_sorted(), "{name} by {benchmark} alone: {only:?}");
        }
    }
}

#[test]
fn nothing_known_is_an_average_model_and_nonsense_is_nothing_known() {
    let average = Ability::from_benchmarks([]);
    assert_eq!(Ability::from_benchmarks([("unheard_of", 0.9)]), average);
    assert_eq!(Ability::from_benchmarks([("mmlu", f32::NAN)]), average);
}

#[test]
fn p_correct_falls_with_difficulty_and_rises_with_the_skill_that_is_asked_for() {
    let mut strong_at_math = Ability::default();
    let at = SKILLS.iter().position(|skill| *skill == "math").unwrap();
    *strong_at_math.skills.get_mut(at).unwrap() = 2.0;
    let mut skill_weights = [0.0; SKILL_COUNT];
    *skill_weights.get_mut(at).unwrap() = 1.0;
    let p = |difficulty| strong_at_math.p_correct(&classified(difficulty, skill_weights));
    assert!((p(2.0) - 0.5).abs() < 1e-6);
    assert!(p(0.0) > p(1.0) && p(1.0) > p(3.0));
    assert!(p(0.0) > Ability::default().p_correct(&classified(0.0, skill_weights)));
}

#[test]
fn known_models_have_the_abilities_of_the_file() {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("../../../models/abilities.json")).unwrap();
    let models = file["models"].as_object().unwrap();
    assert!(models.len() > 40);
    let numbers = |value: &serde_json::Value| -> Vec<f32> {
        let list = value.as_array().unwrap().iter();
        list.map(|number| number.as_f64().unwrap() as f32).collect()
    };
    for (name, fitted) in models {
        let known = Ability::fitted(name).unwrap();
        assert_eq!(known.skills.to_vec(), numbers(&fitted["skills"]), "{name}");
        assert_eq!(
            known.latent_factors.to_vec(),
            numbers(&fitted["latent_factors"]),
            "{name}"
        );
    }
    assert_eq!(
        Ability::fitted("mistralai/Mixtral-8x7B-Instruct-v0.1"),
        Ability::fitted("mixtral-8x7b-instruct-v0.1")
    );
    assert_eq!(Ability::fitted("unheard-of"), None);
}

#[test]
fn latent_factors_count_if_the_model_is_fitted() {
    let mut prompt = classified(0.0, [0.2; SKILL_COUNT]);
    prompt.latent_factors[0] = 1.0;
    let mut ability = Ability::default();
    let without = ability.p_correct(&prompt);
    ability.latent_factors[0] = 2.0;
    let expected = 1.0 / (1.0 + (-2.0_f32).exp());
    assert!((without - 0.5).abs() < 1e-6 && (ability.p_correct(&prompt) - expected).abs() < 1e-6);
}

#[test]
fn a_model_has_the_latent_factors_of_fitted_ones_near_it() {
    let (scores, traits) = neighbours::NEIGHBOURS.first().unwrap();
    let at = nearby_latent_factors(scores);
    let along: f32 = at.iter().zip(traits).map(|(at, own)| at * own).sum();
    assert!(along > 0.0, "{at:?} against {traits:?}");
    let far = nearby_latent_factors(&[9.0; COUNT]);
    assert!(far.iter().all(|trait_| trait_.abs() < 1e-6), "{far:?}");
    assert_eq!(
        Ability::from_benchmarks([]).latent_factors,
        [0.0; LATENT_COUNT]
    );
    assert_ne!(
        Ability::from_benchmarks([("mmlu", 0.7)]).latent_factors,
        [0.0; LATENT_COUNT]
    );
}

#[test]
fn a_neutral_calibration_changes_nothing() {
    assert_eq!(Calibration::NEUTRAL.apply(0.7, &of_task(Task::Math)), 0.7);
}

#[test]
fn offset_scale_and_task_of_a_calibration_add_up() {
    let mut learned = Calibration {
        scale: 0.5,
        offset: 0.25,
        ..Calibration::NEUTRAL
    };
    if let Some(math) = learned.tasks.get_mut(Task::Math as usize) {
        *math = -1.0;
    }
    assert_eq!(learned.apply(2.0, &of_task(Task::Math)), 0.25);
    assert_eq!(learned.apply(2.0, &of_task(Task::Chat)), 1.25);
}

fn of_task(task: Task) -> Classification {
    Classification {
        task,
        ..Classification::default()
    }
}

#[test]
fn two_calibrations_are_one() {
    let mut first = Calibration {
        scale: 0.5,
        offset: 0.25,
        ..Calibration::NEUTRAL
    };
    first.tasks[Task::Math as usize] = -1.0;
    first.factors[3] = 0.5;
    let mut second = Calibration {
        scale: 2.0,
        offset: -0.5,
        ..Calibration::NEUTRAL
    };
    second.factors[3] = 0.25;
    let mut prompt = of_task(Task::Math);
    prompt.raw_factors[3] = 32;
    let once = first.then(&second).apply(1.5, &prompt);
    assert_eq!(once, second.apply(first.apply(1.5, &prompt), &prompt));
    // 0.5 · 1.5 + 0.25 for the level, −1 for the task; half of 32 steps of a sixteenth for the factor.
    let (level, task, factor) = (1.0, -1.0, 1.0);
    assert_eq!(first.apply(1.5, &prompt), level + task + factor);
}

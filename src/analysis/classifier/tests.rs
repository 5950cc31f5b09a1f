//! The constants of the code agree with the manifest, and classification behaves on known prompts.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::Value;

use super::*;

fn manifest() -> Value {
    serde_json::from_str(include_str!("../../../models/manifest.json")).unwrap()
}

fn names(value: &Value) -> Vec<&str> {
    let list = value.as_array().unwrap();
    list.iter().map(|name| name.as_str().unwrap()).collect()
}

fn numbers(value: &Value) -> Vec<f32> {
    match value {
        Value::Array(list) => list.iter().flat_map(numbers).collect(),
        number => vec![number.as_f64().unwrap() as f32],
    }
}

fn turn(text: &str) -> Turn<'_> {
    Turn::new(text)
}

#[test]
fn the_manifest_says_what_the_code_says() {
    let manifest = manifest();
    assert_eq!(names(&manifest["features"]), features::NAMES);
    assert_eq!(names(&manifest["skills"]), crate::fleet::ability::SKILLS);
    assert_eq!(
        names(&manifest["benchmarks"]),
        crate::fleet::ability::BENCHMARKS
    );
    assert_eq!(manifest["inputs"][0]["shape"][0], tokenizer::TOKENS);
    assert_eq!(manifest["inputs"][4]["shape"][1], features::FEATURES);
    assert_eq!(manifest["outputs"][0]["shape"][1], fitted::OUTPUTS);
    let task: Vec<&str> = Task::ALL.iter().map(|task| task.name()).collect();
    let domain: Vec<&str> = Domain::ALL.iter().map(|domain| domain.name()).collect();
    let skills = crate::fleet::ability::SKILLS[..SKILL_COUNT - 1].to_vec();
    let expected = [
        ("task", fitted::TASK, task.clone()),
        ("domain", fitted::DOMAIN, domain.clone()),
        ("skill_weights", fitted::SKILL_WEIGHTS, skills),
        ("difficulty", fitted::DIFFICULTY, vec![]),
        ("gain", fitted::GAIN, vec![]),
        ("weak_failure", fitted::WEAK_FAILURE, vec![]),
        ("log_output_tokens", fitted::LOG_OUTPUT_TOKENS, vec![]),
        ("novelty", fitted::NOVELTY, vec![]),
        ("latent_factors", fitted::LATENT_FACTORS, vec![]),
        ("measured", fitted::MEASURED, vec![]),
        ("everyday_difficulty", fitted::EVERYDAY_DIFFICULTY, vec![]),
        ("everyday_slope", fitted::EVERYDAY_SLOPE, vec![]),
        ("everyday_log_tokens", fitted::EVERYDAY_LOG_TOKENS, vec![]),
        ("everyday_log_sigma", fitted::EVERYDAY_LOG_SIGMA, vec![]),
        ("everyday_task", fitted::EVERYDAY_TASK, task),
        ("everyday_domain", fitted::EVERYDAY_DOMAIN, domain),
    ];
    let ranges = manifest["outputs"][0]["ranges"].as_array().unwrap();
    assert_eq!(ranges.len(), expected.len());
    for (name, (start, len), labels) in expected {
        let range = ranges.iter().find(|range| range["name"] == name).unwrap();
        assert_eq!(
            (&range["start"], &range["len"]),
            (&start.into(), &len.into()),
            "{name}"
        );
        if !labels.is_empty() {
            assert_eq!(names(&range["labels"]), labels);
        }
    }
}

#[test]
fn the_fitted_constants_are_those_of_the_manifest() {
    let manifest = manifest();
    let calibration = |name: &str| numbers(&manifest["calibration"][name]);
    assert_eq!(calibration("difficulty_mean"), [fitted::DIFFICULTY_MEAN]);
    assert_eq!(calibration("novelty_low"), [fitted::NOVELTY_LOW]);
    assert_eq!(calibration("novelty_high"), [fitted::NOVELTY_HIGH]);
    assert_eq!(calibration("benchmark_mean"), fitted::BENCHMARK_MEAN);
    assert_eq!(calibration("benchmark_spread"), fitted::BENCHMARK_SPREAD);
    assert_eq!(
        calibration("benchmark_correlation"),
        fitted::BENCHMARK_CORRELATION.concat()
    );
    assert_eq!(calibration("everyday_mean"), [fitted::EVERYDAY_MEAN]);
    assert_eq!(calibration("skill_map"), fitted::SKILL_MAP.concat());
    assert_eq!(calibration("fallback"), fitted::FALLBACK.concat());
}

#[test]
fn heads_become_a_classification() {
    let mut heads = [0.0_f32; fitted::OUTPUTS];
    heads[fitted::MEASURED.0] = 40.0;
    heads[fitted::TASK.0 + 4] = 3.0;
    heads[fitted::DOMAIN.0 + 5] = 20.0;
    heads[fitted::DIFFICULTY.0] = 2.5;
    heads[fitted::LOG_OUTPUT_TOKENS.0] = 100.0_f32.ln();
    heads[fitted::GAIN.0] = -1.5;
    let classification = decode_heads(&heads);
    assert_eq!(
        (classification.task, classification.domain),
        (Task::ALL[4], Domain::ALL[5])
    );
    let expected = 3.0_f32.exp() / (3.0_f32.exp() + (fitted::TASK.1 - 1) as f32);
    assert!((classification.task_probability - expected).abs() < 1e-5);
    assert!(classification.domain_probability > 0.999);
    assert!(
        (classification.difficulty - 2.5).abs() < 1e-5,
        "nothing novel, nothing shrunk"
    );
    assert!((classification.output_tokens - 100.0).abs() < 0.01);
    assert_eq!(
        (classification.gain, classification.uncertainty),
        (-1.5, 0.0)
    );
    assert!((classification.skill_weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
}

#[test]
fn everyday_prompts_are_decoded_by_their_own_heads() {
    let mut heads = [0.0_f32; fitted::OUTPUTS];
    heads[fitted::MEASURED.0] = -40.0;
    heads[fitted::TASK.0] = 30.0;
    heads[fitted::EVERYDAY_TASK.0 + 2] = 30.0;
    heads[fitted::EVERYDAY_DOMAIN.0 + 1] = 30.0;
    heads[fitted::DIFFICULTY.0] = 5.0;
    heads[fitted::EVERYDAY_DIFFICULTY.0] = -1.5;
    heads[fitted::EVERYDAY_SLOPE.0] = 1.2;
    heads[fitted::EVERYDAY_LOG_TOKENS.0] = 300.0_f32.ln();
    heads[fitted::EVERYDAY_LOG_SIGMA.0] = 0.7_f32.ln();
    heads[fitted::LATENT_FACTORS.0] = 9.0;
    let classification = decode_heads(&heads);
    assert_eq!(
        (classification.task, classification.domain),
        (Task::ALL[2], Domain::ALL[1])
    );
    assert!(classification.measured < 1e-6 && (classification.difficulty + 1.5).abs() < 1e-5);
    assert!((classification.output_tokens - 300.0).abs() < 0.1);
    assert!((classification.output_tokens_sigma - 0.7).abs() < 1e-4);
    assert!((classification.skill_weights[SKILL_COUNT - 1] - 1.2).abs() < 1e-5);
    assert!(
        classification.skill_weights[..SKILL_COUNT - 1]
            .iter()
            .all(|weight| *weight < 1e-6)
    );
    assert!(
        classification
            .latent_factors
            .iter()
            .all(|factor| factor.abs() < 1e-5)
    );
}

#[test]
fn what_is_unlike_the_training_data_is_uncertain_and_of_mean_difficulty() {
    let mut heads = [0.0_f32; fitted::OUTPUTS];
    heads[fitted::MEASURED.0] = 40.0;
    heads[fitted::DIFFICULTY.0] = fitted::DIFFICULTY_MEAN + 4.0;
    for at in 0..fitted::NOVELTY.1 {
        heads[fitted::NOVELTY.0 + at] = 100.0;
    }
    let classification = decode_heads(&heads);
    assert_eq!(classification.uncertainty, 1.0);
    assert!((classification.difficulty - fitted::DIFFICULTY_MEAN - 1.0).abs() < 1e-4);
}

#[test]
fn heads_that_are_no_numbers_do_no_harm() {
    for value in [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        f32::MIN,
    ] {
        let classification = decode_heads(&[value; fitted::OUTPUTS]);
        assert!(
            (0.0..=1.0).contains(&classification.uncertainty)
                || classification.uncertainty.is_nan()
        );
        assert!(
            classification.output_tokens.is_nan()
                || (1.0..=16_384.0).contains(&classification.output_tokens)
        );
    }
}

#[test]
fn the_features_alone_classify_the_plain_cases() {
    let cases = [
        (
            "def f(x):\n    return x == 1\n\nWhy does this function raise an exception in Python?",
            Task::Code,
        ),
        (
            "Solve 3x^2 + 4x = 12 and compute the sum of the roots",
            Task::Math,
        ),
        ("set a reminder to pay my bill", Task::Chat),
    ];
    for (text, task) in cases {
        let classification = from_features(&turn(text));
        assert_eq!(classification.task, task, "`{text}`");
        assert!(!classification.from_model && classification.uncertainty == 1.0);
        assert!(classification.output_tokens >= 1.0 && classification.difficulty.is_finite());
    }
}

#[test]
fn the_embedded_model_classifies_tasks() {
    let mut classifier = Classifier::embedded().unwrap();
    let cases = [
        (
            "Translate the following sentence into German: The bridge is closed until October.",
            Task::Translation,
        ),
        (
            "Write a Python function that merges two sorted lists",
            Task::Code,
        ),
        ("Write a short poem about the sea", Task::CreativeWriting),
        ("Solve for x: 3x^2 - 12x + 9 = 0", Task::Math),
        ("hello there, how are you?", Task::Chat),
        ("Who wrote the novel Middlemarch?", Task::KnowledgeQa),
        (
            "Summarize the following article in two sentences:\nThe museum reopened on Monday after three years of works. It has a new roof.",
            Task::Summarization,
        ),
    ];
    for (text, task) in cases {
        let classification = classifier.classify(&turn(text)).unwrap();
        assert_eq!(classification.task, task, "`{text}`: {classification:?}");
        assert!(classification.from_model && classification.task_probability > 0.3);
        assert_eq!(
            classifier.classify(&turn(text)).unwrap(),
            classification,
            "the same again"
        );
    }
}

#[test]
fn any_text_is_classified_into_sane_numbers() {
    let mut classifier = Classifier::embedded().unwrap();
    let long = "a long story ".repeat(10_000);
    for text in [
        "",
        " ",
        "?",
        "你好",
        "🦀🦀🦀",
        "\u{0}\u{1}",
        &"x".repeat(100_000),
        &long,
    ] {
        let classification = classifier.classify(&turn(text)).unwrap();
        assert!(
            (0.0..=1.0).contains(&classification.uncertainty)
                && classification.difficulty.abs() < 20.0,
            "{classification:?}"
        );
        assert!(
            classification
                .skill_weights
                .iter()
                .all(|weight| (0.0..=2.0).contains(weight))
        );
        assert!((1.0..=16_384.0).contains(&classification.output_tokens));
    }
}

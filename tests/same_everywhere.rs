//! The demo's prompts give the same numbers and the same decisions on every platform: this file runs natively and, by
//! `make test-wasm`, as WebAssembly under Node, both against one golden file.
//!
//! The golden file is made natively: `POINTSMAN_BLESS=1 cargo test --test same_everywhere`, after the classifier was
//! trained again or the decision was changed on purpose. It says nothing about whether the numbers are good.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fmt::Write as _;

use pointsman::analysis::classifier::Classification;
use pointsman::api::Api;
use pointsman::policy::Policy;
use pointsman::routing::decision::{Decision, Outcome};
use pointsman::routing::router::Router;
use serde_json::{Value, json};
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

const PROMPTS: &str = include_str!("data/prompts.jsonl");
const POLICY: &str = include_str!("../envoy/policies/demo.json");
const GOLDEN: &str = include_str!("data/same_everywhere.jsonl");

/// By how much a number may differ, of itself where it is larger than 1: kernels add in another order elsewhere.
const TOLERANCE: f64 = 1e-5;

/// The compared values of one prompt, as a line of the golden file.
fn line(id: &str, policy: &Policy, decision: &Decision) -> Value {
    let backend = policy.registry.backend(decision.backend).unwrap();
    let classification = decision.classification.as_ref().unwrap();
    assert!(
        classification.from_model,
        "{id}: the classifier did not answer"
    );
    json!({
        "id": id,
        "task": classification.task.name(),
        "domain": classification.domain.name(),
        "backend": backend.name,
        "reason": decision.reason.name(),
        "numbers": numbers(classification, decision),
    })
}

fn numbers(classification: &Classification, decision: &Decision) -> Vec<f64> {
    let mut numbers: Vec<f64> = [
        classification.task_probability,
        classification.domain_probability,
        classification.difficulty,
        classification.gain,
        classification.output_tokens,
        classification.uncertainty,
        decision.estimate.quality.unwrap(),
    ]
    .map(f64::from)
    .to_vec();
    numbers.extend(classification.skill_weights.map(f64::from));
    // Seven digits: more than the tolerance asks for, and the same text from the same number.
    let seven_digits = |number: f64| format!("{number:.6e}").parse().unwrap();
    numbers.into_iter().map(seven_digits).collect()
}

fn lines() -> Vec<Value> {
    let policy = Policy::compile(POLICY).unwrap();
    let (mut router, error) = Router::new();
    assert_eq!(error, None);
    let prompts = PROMPTS
        .lines()
        .map(|prompt| serde_json::from_str::<Value>(prompt).unwrap());
    prompts
        .map(|prompt| {
            let id = prompt["id"].as_str().unwrap();
            // A line has a whole request, or the text of its only message.
            let mut body = match &prompt["request"] {
                Value::Null => json!({"messages": [{"role": "user", "content": prompt["prompt"]}]}),
                request => request.clone(),
            };
            body["model"] = "auto".into();
            match router.route(&policy, Api::OpenAiChat, body.to_string().as_bytes(), true) {
                Outcome::Routed(decision) => line(id, &policy, &decision),
                other => panic!("{id}: {other:?}"),
            }
        })
        .collect()
}

#[test]
fn prompts_get_the_same_numbers_and_decisions() {
    let found = lines();
    #[cfg(not(target_family = "wasm"))]
    if std::env::var_os("POINTSMAN_BLESS").is_some() {
        let text: String = found.iter().map(|line| format!("{line}\n")).collect();
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/data/same_everywhere.jsonl"
        );
        return std::fs::write(file, text).unwrap();
    }
    let golden: Vec<Value> = GOLDEN
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        found.len(),
        golden.len(),
        "other prompts: run `POINTSMAN_BLESS=1 cargo test --test same_everywhere`"
    );
    let mut differences = String::new();
    for (found, golden) in found.iter().zip(&golden) {
        for field in ["id", "task", "domain", "backend", "reason"] {
            if found[field] != golden[field] {
                writeln!(
                    differences,
                    "{}: {field} {} was {}",
                    golden["id"], found[field], golden[field]
                )
                .unwrap();
            }
        }
        let (ours, theirs) = (
            found["numbers"].as_array().unwrap(),
            golden["numbers"].as_array().unwrap(),
        );
        assert_eq!(ours.len(), theirs.len());
        for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
            let (ours, theirs) = (ours.as_f64().unwrap(), theirs.as_f64().unwrap());
            if (ours - theirs).abs() > TOLERANCE * theirs.abs().max(1.0) {
                writeln!(
                    differences,
                    "{}: number {index} is {ours}, was {theirs}",
                    golden["id"]
                )
                .unwrap();
            }
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
}

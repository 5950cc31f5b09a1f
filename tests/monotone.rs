//! A bigger sibling is nowhere expected to do worse: on no prompt does P(correct) fall by more than 0.02 from a model to a bigger one of
//! its family, whether the prompt is one of every day or like the exams on which some of them were measured.

#![cfg(not(target_family = "wasm"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use pointsman::api::Api;
use pointsman::policy::Policy;
use pointsman::routing::decision::Outcome;
use pointsman::routing::router::Router;
use serde_json::{Value, json};

const PROMPTS: &str = include_str!("data/prompts.jsonl");

/// Families, each from the smallest model to the biggest.
const FAMILIES: &[&[&str]] = &[
    &[
        "llama-3.2-1b-instruct",
        "llama-3.2-3b-instruct",
        "llama-3.1-8b-instruct",
        "llama-3.1-70b-instruct",
        "llama-3.3-70b-instruct",
    ],
    &["Meta-Llama-3_1-8B", "Meta-Llama-3_1-70B"],
    &["Llama-2-7b-hf", "Llama-2-13b-hf", "Llama-2-70b-hf"],
    &[
        "qwen2.5-0.5b-instruct",
        "qwen2.5-7b-instruct",
        "qwen2.5-72b-instruct",
    ],
    &["gpt-4o-mini", "gpt-4o"],
    &["gpt-4.1-nano", "gpt-4.1-mini", "gpt-4.1"],
    &["gemma-3-1b-it", "gemma-3-4b-it", "gemma-3-27b-it"],
    &["mistral-7b-instruct-v0.3", "mistral-small-3.1-24b-instruct"],
    &["Yi-6B", "Yi-34B"],
    &["claude-3-haiku", "claude-3-opus"],
    &["llama-4-scout", "llama-4-maverick"],
];

/// Prompts in the form of exams, puzzles and bare trivia, which fitted abilities speak of.
const EXAMS: &[&str] = &[
    "A gas expands from 2.0 L to 5.0 L at a constant pressure of 150 kPa. How much work does it do?\nA. 150 J\nB. 300 J\nC. 450 J\nD. 750 J\nE. 1050 J\nF. 45 J\nG. 4500 J\nH. 900 J\nI. 600 J\nJ. 225 J\nAnswer:",
    "Which of the following is a public good?\nA. A concert\nB. National defence\nC. A taxi ride\nD. A library card\nAnswer:",
    "A 54-year-old man has crushing chest pain that radiates to the left arm. Which enzyme rises first?\nA. Amylase\nB. Troponin I\nC. Lipase\nD. Alkaline phosphatase\nAnswer:",
    "Let G be a group of order 15. How many elements of order 5 does it have?\nA. 1\nB. 4\nC. 5\nD. 10",
    "Sort these words in descending order of their ASCII values and give the result as a comma-separated list: plum, Apple, zebra, Kiwi",
    "Rearrange the 4x4 board so that each row and column holds 1 to 4 once:\n1 _ _ 4\n_ 4 1 _\n_ 1 4 _\n4 _ _ 1",
    "who sang the theme of the spy film of 1964",
    "Write a sentence that uses these concepts: dog, frisbee, throw, catch",
    "Natalia sold clips to 48 friends in April and half as many in May. How many did she sell altogether?",
    "def has_close_elements(numbers, threshold):\n    \"\"\" Whether any two numbers are nearer than the threshold.\n    >>> has_close_elements([1.0, 2.0, 3.0], 0.5)\n    False\n    \"\"\"",
    "Simplify: (7 - (3 - 9)) * 4 + 18 / 3",
    "In contract law, an offer lapses\nA. when it is accepted\nB. after a reasonable time\nC. never\nD. on the death of a stranger",
    "What is the determinant of [[2, 1], [5, 3]]? Give the final answer only.",
    "Where would you put a plate after washing it?\nA. cupboard B. floor C. garden D. bathtub E. mailbox",
];

fn policy() -> Policy {
    let names: Vec<&str> = FAMILIES.concat();
    let models: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
    let backends: Vec<Value> = names
        .iter()
        .map(|name| {
            json!({"name": format!("at-{name}"), "model": name, "cluster": "c", "price": {"input": 1.0, "output": 1.0}})
        })
        .collect();
    let policy =
        json!({"version": "1", "default_cluster": "c", "models": models, "backends": backends});
    Policy::compile(&policy.to_string()).unwrap()
}

#[test]
fn no_bigger_sibling_is_expected_to_do_worse() {
    let policy = policy();
    let (mut router, error) = Router::new();
    assert_eq!(error, None);
    let everyday: Vec<Value> = PROMPTS
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let everyday = everyday.iter().filter_map(|row| row["prompt"].as_str());
    let mut most_measured = 0.0_f32;
    for prompt in everyday.chain(EXAMS.iter().copied()) {
        let body = json!({"model": "auto", "messages": [{"role": "user", "content": prompt}]});
        let Outcome::Routed(decision) =
            router.route(&policy, Api::OpenAiChat, body.to_string().as_bytes(), true)
        else {
            panic!("`{prompt}` is not routed");
        };
        most_measured = most_measured.max(decision.classification.as_ref().unwrap().measured);
        let p: BTreeMap<&str, f32> = decision
            .candidates
            .iter()
            .map(|candidate| {
                let model = policy.registry.model(candidate.model).unwrap();
                (model.name.as_str(), candidate.estimate.quality.unwrap())
            })
            .collect();
        for family in FAMILIES {
            for (at, small) in family.iter().enumerate() {
                for big in &family[at + 1..] {
                    assert!(
                        p[big] >= p[small] - 0.02,
                        "{big} {} below {small} {} on `{prompt}`",
                        p[big],
                        p[small]
                    );
                }
            }
        }
    }
    assert!(
        most_measured > 0.9,
        "no prompt is taken for an exam: {most_measured}"
    );
}

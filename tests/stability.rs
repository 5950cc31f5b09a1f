//! The same question, the same model: with an application's instructions of 3 kB, with retrieved passages before or after it, with a
//! log prefix, with courtesy, and in the form of each API.
//!
//! The texts around the question are this test's own (`tests/data/stability.json`); training has others.
//! `cargo test --test stability -- --nocapture` shows the shares.

#![cfg(not(target_family = "wasm"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

mod decider;

use std::collections::BTreeMap;

use decider::Decider;
use pointsman::api::Api;
use serde_json::{Value, json};

const POLICY: &str = include_str!("../envoy/policies/demo.json");
const PROMPTS: &str = include_str!("data/prompts.jsonl");
const FRAMES: &str = include_str!("data/stability.json");

/// A question in one form: the API, and the body of the request.
type Form = (&'static str, Api, Value);

fn chat(prompt: &str) -> Value {
    json!({"model": "auto", "messages": [{"role": "user", "content": prompt}]})
}

/// The question with something around it that asks for nothing.
fn framed(prompt: &str, frames: &Value) -> Vec<Form> {
    let system = frames["system"].as_str().unwrap();
    let passages: Vec<&str> = frames["passages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|passage| passage.as_str().unwrap())
        .collect();
    let listed = |form: fn(usize, &str) -> String| {
        let listed = passages.iter().enumerate();
        let listed: Vec<String> = listed.map(|(at, text)| form(at + 1, text)).collect();
        listed.join("\n\n")
    };
    let named = listed(|number, text| format!("Passage {number}: {text}"));
    let numbered = listed(|number, text| format!("[{number}] {text}"));
    let bare = passages.join("\n\n");
    let texts = [
        (
            "passages before",
            format!("These passages were found in the archive.\n\n{named}\n\nQuestion: {prompt}"),
        ),
        ("passages after", format!("{prompt}\n\n{numbered}")),
        ("bare passages before", format!("{bare}\n\n{prompt}")),
        (
            "log prefix",
            format!(
                "2027-03-04T09:15:42.871Z INFO webchat[3391]: session=c9d2 visitor says: {prompt}"
            ),
        ),
        ("please", format!("please {prompt}")),
        (
            "greeting",
            format!("Good evening, could you please help me out? {prompt}"),
        ),
        ("thanks", format!("{prompt} Thank you so much!")),
    ];
    let mut forms: Vec<Form> = texts
        .into_iter()
        .map(|(name, text)| (name, Api::OpenAiChat, chat(&text)))
        .collect();
    forms.push((
        "instructions of 3 kB",
        Api::OpenAiChat,
        json!({"model": "auto", "messages": [{"role": "system", "content": system}, {"role": "user", "content": prompt}]}),
    ));
    forms
}

/// The bare question in the form of each API.
fn forms(prompt: &str) -> Vec<Form> {
    vec![
        (
            "Responses",
            Api::OpenAiResponses,
            json!({"model": "auto", "input": prompt}),
        ),
        (
            "Responses, parts",
            Api::OpenAiResponses,
            json!({"model": "auto", "input": [{"role": "user", "content": [{"type": "input_text", "text": prompt}]}]}),
        ),
        (
            "Completions",
            Api::OpenAiCompletions,
            json!({"model": "auto", "prompt": prompt}),
        ),
        (
            "Messages",
            Api::AnthropicMessages,
            json!({"model": "auto", "max_tokens": 4096, "messages": [{"role": "user", "content": prompt}]}),
        ),
    ]
}

/// The demo's policy, its backends speaking every API: what is asked here is the model, not what a backend speaks.
fn decider() -> Decider {
    let mut policy: Value = serde_json::from_str(POLICY).unwrap();
    for backend in policy["backends"].as_array_mut().unwrap() {
        let apis: Vec<&str> = Api::ALL.iter().map(|api| api.name()).collect();
        backend["apis"] = json!(apis);
    }
    Decider::new(&policy.to_string())
}

#[test]
fn the_same_question_goes_to_the_same_model_whatever_stands_around_it() {
    let mut decider = decider();
    let frames: Value = serde_json::from_str(FRAMES).unwrap();
    let mut kept: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut chosen: BTreeMap<u32, usize> = BTreeMap::new();
    for line in PROMPTS.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let Some(prompt) = row["prompt"].as_str() else {
            continue;
        };
        let bare = decider.decide(Api::OpenAiChat, &chat(prompt));
        *chosen.entry(bare.model.0).or_default() += 1;
        for (name, api, body) in framed(prompt, &frames).into_iter().chain(forms(prompt)) {
            let decision = decider.decide(api, &body);
            let (stayed, all) = kept.entry(name).or_default();
            *stayed += usize::from(decision.model == bare.model);
            *all += 1;
        }
    }
    println!("models chosen for the bare questions: {chosen:?}");
    let share = |(stayed, all): (usize, usize)| stayed as f64 / all as f64;
    for (name, counts) in &kept {
        println!("{name}: {:.3}", share(*counts));
    }
    let bare: usize = chosen.values().sum();
    assert!(bare > 200, "{bare} questions");
    assert!(
        *chosen.values().max().unwrap() < bare * 9 / 10,
        "one model gets nearly all, so that nothing could change"
    );
    let sum = kept
        .values()
        .fold((0, 0), |(stayed, all), one| (stayed + one.0, all + one.1));
    assert!(share(sum) >= 0.95, "{:.3} of all: {kept:?}", share(sum));
    for (name, counts) in &kept {
        let (_, least) = BELOW
            .into_iter()
            .find(|(known, _)| known == name)
            .unwrap_or(("", 0.95));
        assert!(share(*counts) >= least, "{name}: {:.3}", share(*counts));
    }
}

/// Forms that do not reach 95 %, and what they reach at least.
const BELOW: [(&str, f64); 4] = [
    ("instructions of 3 kB", 0.80),
    ("passages before", 0.92),
    ("passages after", 0.88),
    ("bare passages before", 0.75),
];

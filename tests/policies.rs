//! Each example policy with the embedded classifier: at least one request that shows its point.

#![cfg(not(target_family = "wasm"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use pointsman::api::Api;
use pointsman::policy::Policy;
use pointsman::routing::decision::{Decision, Outcome};
use pointsman::routing::router::Router;

fn compile(name: &str) -> Policy {
    let path = format!("{}/envoy/policies/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let (policy, warnings) = Policy::check(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(warnings, [], "{name}");
    policy
}

fn route(policy: &Policy, model: &str, prompt: &str) -> Outcome {
    let body = serde_json::json!({
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
    });
    let (mut router, error) = Router::new();
    assert_eq!(error, None, "the classifier loads");
    router.route(policy, Api::OpenAiChat, body.to_string().as_bytes(), true)
}

fn decide(policy: &Policy, model: &str, prompt: &str) -> Decision {
    match route(policy, model, prompt) {
        Outcome::Routed(decision) => *decision,
        other => panic!("{other:?}"),
    }
}

fn model<'p>(policy: &'p Policy, decision: &Decision) -> &'p str {
    &policy.registry.model(decision.model).unwrap().name
}

#[test]
fn every_example_is_beyond_doubt() {
    let folder = format!("{}/envoy/policies", env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            compile(path.file_stem().unwrap().to_str().unwrap());
            count += 1;
        }
    }
    assert!(count >= 7);
}

#[test]
fn cost_first_takes_the_cheapest_above_the_floor() {
    let policy = compile("cost-first");
    let decision = decide(&policy, "thrifty", "What is the capital of France?");
    let chosen = decision.estimate;
    let cheaper = decision
        .candidates
        .iter()
        .filter(|candidate| candidate.estimate.cost_usd < chosen.cost_usd);
    for candidate in cheaper {
        assert!(candidate.ineligible.is_some(), "{candidate:?}");
    }
    assert!(chosen.quality.unwrap() >= 0.6 || decision.relaxed.contains(&"min_quality"));
}

#[test]
fn per_task_sends_code_to_its_model() {
    let policy = compile("per-task");
    let code = decide(
        &policy,
        "auto",
        "Write a Python function that merges two sorted lists, and unit tests for it.",
    );
    assert_eq!(code.rules, ["code"], "{:?}", code.classification);
    assert_eq!(model(&policy, &code), "llama-3.3-70b");
    let story = decide(
        &policy,
        "auto",
        "Write a short story about a lighthouse keeper who befriends a storm.",
    );
    assert_eq!(story.rules, ["writing"], "{:?}", story.classification);
    assert_eq!(model(&policy, &story), "gpt-4.1");
}

#[test]
fn latency_first_never_gives_way_on_the_first_token() {
    let policy = compile("latency-first");
    let prompt = "Prove that there are infinitely many primes.";
    let decision = decide(&policy, "live", prompt);
    assert!(decision.estimate.first_token_p99_ms <= 1000.0);
    for id in &decision.fallbacks {
        let latency = policy.registry.backend(*id).unwrap().latency;
        assert!(latency.first_token_p99_ms <= 1000.0);
    }
}

/// One prompt by the length that its answer may get: the CPU while it answers in time, then the GPU.
#[test]
fn a_cpu_takes_what_it_answers_in_time() {
    let policy = compile("gpu-cpu");
    let (mut router, _) = Router::new();
    let mut backend = |tokens: u32| {
        let body = serde_json::json!({
            "model": "llama-3.1-8b", "max_tokens": tokens,
            "messages": [{"role": "user", "content": "Write a long essay about the history of the printing press."}],
        });
        let outcome = router.route(&policy, Api::OpenAiChat, body.to_string().as_bytes(), true);
        let Outcome::Routed(decision) = outcome else {
            panic!("{outcome:?}");
        };
        policy
            .registry
            .backend(decision.backend)
            .unwrap()
            .name
            .clone()
    };
    // 15 tokens a second after 900 ms: 60 tokens take 4.9 s.
    assert_eq!(backend(60), "cpu-small");
    assert_eq!(backend(70), "gpu-small");
}

#[test]
fn personal_data_stays_on_premises() {
    let policy = compile("on-prem");
    let prompt = "Write to jane.doe@example.org that her card 4111 1111 1111 1111 has expired.";
    for asked in ["auto", "auto:fast", "llama-3.3-70b"] {
        let decision = decide(&policy, asked, prompt);
        assert_eq!(decision.rules, ["personal data stays here"]);
        for id in decision.fallbacks.iter().chain([&decision.backend]) {
            let tags = &policy.registry.backend(*id).unwrap().tags;
            assert!(tags.iter().any(|tag| tag == "on-prem"), "{asked}");
        }
    }
    assert!(matches!(
        route(&policy, "gpt-4.1", prompt),
        Outcome::Rejected(_)
    ));
}

/// The stakes count, not the most probable domain; and some names do whatever the classifier says.
#[test]
fn high_stakes_holds_medicine_and_law_to_the_best_model() {
    let policy = compile("high-stakes");
    for prompt in [
        "What are the interactions of warfarin with ibuprofen?",
        "How many units of insulin should I inject before a meal of 60 g of carbohydrates?",
        "Can my landlord keep my deposit if I broke the lease early?",
    ] {
        let decision = decide(&policy, "auto:cheap", prompt);
        assert!(
            !decision.rules.is_empty(),
            "{prompt}: {:?}",
            decision.classification
        );
        assert_eq!(decision.profile, "auto:best", "{prompt}");
    }
}

//! The effect of what was learned on decisions, and what it never changes.

use super::*;
use crate::fleet::BackendId;
use crate::state::learned_quality::Observation;

/// A cheap and a dear model whose scores say that the dear one is far better.
fn policy(members: &str) -> Policy {
    let text = format!(
        r#"{{{members}
        "default_profile": "good", "profiles": {{"good": {{"weights": {{"cost": 0.2, "quality": 1}}}}}},
        "models": [{{"name": "cheap", "benchmarks": {{"mmlu": 0.5}}}}, {{"name": "dear", "benchmarks": {{"mmlu": 0.9}}}}],
        "backends": [{{"name": "cheap", "model": "cheap", "price": {{"input": 1, "output": 1}}}},
                     {{"name": "dear", "model": "dear", "price": {{"input": 3, "output": 3}}}}]}}"#
    );
    Policy::compile(&text).unwrap()
}

fn decide(router: &mut Router, policy: &Policy, number: usize) -> Decision {
    let body = format!(r#"{{"messages":[{{"role":"user","content":"question {number}"}}]}}"#);
    match router.route(policy, Api::OpenAiChat, body.as_bytes(), true) {
        Outcome::Routed(decision) => *decision,
        other => panic!("{other:?}"),
    }
}

/// A router that has learned from `count` outcomes of each model: the cheap one is right, the dear one wrong.
fn taught(policy: &Policy, count: usize) -> Router {
    taught_scores(policy, count, [1.0, 0.0])
}

/// A router that has learned from `count` outcomes of each model with these scores.
fn taught_scores(policy: &Policy, count: usize, scores: [f32; 2]) -> Router {
    let mut router = Router::with_features_only();
    let classification = decide(&mut router, policy, 0).classification.unwrap();
    let quality = router.learned_quality();
    for at in 0..count {
        for (model, score) in (0..).zip(scores) {
            let seen = Observation {
                model: ModelId(model),
                classification: &classification,
                score,
                weight: 1.0,
                tenant: at as u64,
                together: false,
            };
            quality.observe(policy, &seen, 0);
        }
    }
    let record = quality.merge(&[], policy);
    quality.on_merged(policy);
    quality.adopt(&record, policy);
    router
}

#[test]
fn what_was_learned_decides_if_it_is_applied() {
    let applies = policy(r#""learning": {"mode": "apply"},"#);
    assert_eq!(
        decide(&mut taught(&applies, 0), &applies, 1).backend,
        BackendId(1)
    );
    let decision = decide(&mut taught(&applies, 200), &applies, 1);
    assert_eq!(decision.backend, BackendId(0));
    assert_eq!(decision.learned_choice, None);
    let estimate = decision.estimate;
    assert!(estimate.quality > estimate.stated_quality);
    assert_eq!(estimate.learned.unwrap().quality, estimate.quality.unwrap());
}

#[test]
fn what_was_learned_is_only_reported_if_it_is_observed() {
    let observes = policy(r#""learning": {"mode": "observe"},"#);
    let decision = decide(&mut taught(&observes, 200), &observes, 1);
    assert_eq!(decision.backend, BackendId(1));
    assert_eq!(decision.learned_choice, Some(BackendId(0)));
    assert_eq!(decision.estimate.quality, decision.estimate.stated_quality);
    assert!(decision.estimate.learned.unwrap().quality < 0.3);
    let off = policy("");
    let decision = decide(&mut taught(&off, 200), &off, 1);
    assert_eq!(
        (decision.backend, decision.learned_choice),
        (BackendId(1), None)
    );
    assert_eq!(decision.estimate.learned, None);
}

#[test]
fn a_floor_is_never_loosened() {
    let rule =
        r#""rules": [{"name": "floor", "when": {"share": 1}, "then": {"min_quality": 0.5}}],"#;
    let members = format!(r#""learning": {{"mode": "apply"}}, {rule}"#);
    let floor = policy(&members);
    let mut router = taught_scores(&floor, 200, [1.0, 1.0]);
    let decision = decide(&mut router, &floor, 1);
    assert_eq!(decision.backend, BackendId(1));
    let cheap = &decision.candidates[0];
    assert!(cheap.estimate.quality.unwrap() > 0.9, "{cheap:?}");
    assert!(cheap.estimate.stated_quality.unwrap() < 0.5, "{cheap:?}");
    assert!(cheap.ineligible.is_some(), "{cheap:?}");
}

#[test]
fn exploration_tries_only_what_could_be_as_good() {
    let explores = policy(r#""learning": {"mode": "apply"}, "exploration_rate": 0.2,"#);
    let explored = |router: &mut Router| {
        (0..500)
            .map(|number| decide(router, &explores, number))
            .filter(|decision| {
                let is_explored = decision.reason == Reason::Explored;
                assert!((decision.propensity < 1.0) || !is_explored);
                is_explored
            })
            .count()
    };
    assert!((60..140).contains(&explored(&mut taught(&explores, 0))));
    assert_eq!(explored(&mut taught(&explores, 300)), 0);
    let decision = decide(&mut taught(&explores, 300), &explores, 1);
    assert_eq!(decision.propensity, 1.0);
}

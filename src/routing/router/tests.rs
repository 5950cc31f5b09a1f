//! Outcomes of requests: pinned, open, refused, passed by.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod carried_state;
mod judging;
mod learning;
mod traffic;

use super::*;
use crate::analysis::classifier;
use crate::analysis::prompt::Turn;
use crate::analysis::sensitivity::Sensitivity;
use crate::policy::rules::RuleInput;
use crate::routing::decision::Bypass;

const DEMO: &str = include_str!("../../../envoy/policies/demo.json");

fn demo() -> Policy {
    Policy::compile(DEMO).unwrap()
}

fn route(policy: &Policy, body: &str) -> Outcome {
    Router::with_features_only().route(policy, Api::OpenAiChat, body.as_bytes(), true)
}

/// The outcome of a request, without any effect.
fn look_at(policy: &Policy, request: &Request<'_>, info: &RequestInfo<'_>) -> Outcome {
    Router::with_features_only().decide(policy, request, info, Commit::DryRun)
}

/// The decision on a request with these fields besides its one message.
fn decision(policy: &Policy, fields: &str) -> Decision {
    match route(policy, &body(fields)) {
        Outcome::Routed(decision) => *decision,
        other => panic!("{other:?}"),
    }
}

fn rejection(policy: &Policy, fields: &str) -> Rejection {
    match route(policy, &body(fields)) {
        Outcome::Rejected(rejection) => rejection,
        other => panic!("{other:?}"),
    }
}

fn body(fields: &str) -> String {
    format!(
        r#"{{{fields} "messages": [{{"role": "user", "content": "What is the capital of France?"}}]}}"#
    )
}

fn model_name<'p>(policy: &'p Policy, decision: &Decision) -> &'p str {
    &policy.registry.model(decision.model).unwrap().name
}

#[test]
fn a_model_is_pinned_and_the_classifier_is_not_asked() {
    let policy = demo();
    let decision = decision(&policy, r#""model": "llama-3.3-70b","#);
    assert_eq!(model_name(&policy, &decision), "llama-3.3-70b");
    assert_eq!(decision.reason, Reason::Pinned);
    assert_eq!(decision.profile, "auto");
    assert_eq!(decision.classification, None);
    assert_eq!(decision.estimate.quality, None);
    // Only the other backend of the model may step in.
    assert_eq!(decision.fallbacks.len(), 1);
    let other = policy.registry.backend(decision.fallbacks[0]).unwrap();
    assert_eq!(other.model, decision.model);
}

#[test]
fn a_profile_or_no_model_opens_the_choice() {
    let policy = demo();
    let fast = decision(&policy, r#""model": "auto:fast","#);
    assert_eq!(fast.profile, "auto:fast");
    assert!(fast.classification.is_some());
    assert!(fast.estimate.quality.is_some());
    assert_eq!(fast.candidates.len(), policy.registry.backends.len());
    let missing = decision(&policy, "");
    assert_eq!(missing.profile, "auto");
    assert_ne!(missing.reason, Reason::Pinned);
}

#[test]
fn an_unknown_model_is_not_found_and_the_answer_says_what_is_there() {
    let policy = demo();
    let rejection = rejection(&policy, r#""model": "gpt-9\n`x`","#);
    assert_eq!(rejection.status, 404);
    assert_eq!(rejection.code, "model_not_found");
    assert_eq!(
        rejection.message,
        "the model `gpt-9\u{fffd}\u{fffd}x\u{fffd}` does not exist; available: smollm2-135m, llama-3.1-8b, \
         llama-3.3-70b, gpt-4.1, auto, auto:best, auto:cheap, auto:fast"
    );
}

#[test]
fn what_no_model_can_do_is_refused() {
    let policy = demo();
    let audio = rejection(&policy, r#""modalities": ["audio"], "model": "auto","#);
    assert_eq!((audio.status, audio.code), (400, "unsupported_capability"));
    assert_eq!(
        audio.message,
        "every model lacks what the request needs: audio"
    );

    let pinned = rejection(
        &policy,
        r#""model": "smollm2-135m", "tools": [{"type": "function", "function": {"name": "f"}}],"#,
    );
    assert_eq!(pinned.code, "unsupported_capability");
    assert_eq!(
        pinned.message,
        "the model `smollm2-135m` lacks what the request needs: tools"
    );
}

#[test]
fn what_fits_nowhere_is_refused() {
    let policy = Policy::compile(crate::exchange::testing::POLICY).unwrap();
    let long = "word ".repeat(120_000);
    let system = format!(r#"{{"role": "system", "content": "{long}"}}"#);
    let body = body("").replace("\"messages\": [", &format!("\"messages\": [{system}, "));
    let Outcome::Rejected(window) = route(&policy, &body) else {
        panic!("routed");
    };
    assert_eq!(
        (window.status, window.code),
        (400, "context_length_exceeded")
    );
    assert!(
        window
            .message
            .ends_with("tokens; the context window of every model has at most 100000"),
        "{}",
        window.message
    );
}

#[test]
fn a_bound_beyond_every_model_is_cut_down_and_reported() {
    let policy = Policy::compile(crate::exchange::testing::POLICY).unwrap();
    let decided = |fields: &str| match route(&policy, &body(fields)) {
        Outcome::Routed(decision) => decision,
        other => panic!("{other:?}"),
    };
    let decision = decided(r#""model": "auto:cheap", "max_tokens": 2000000,"#);
    let bound = decision.answer.unwrap();
    assert_eq!(bound.most_tokens, 2_000_000);
    let tiny = policy.registry.find_model("tiny").unwrap();
    let tiny = policy.registry.model(tiny).unwrap();
    // The smaller of what it writes and what the input leaves of its window.
    assert_eq!(bound.less_of(tiny), Some(400 - bound.window_tokens));
    let huge = policy.registry.find_model("huge").unwrap();
    assert_eq!(
        bound.less_of(policy.registry.model(huge).unwrap()),
        Some(1000)
    );
    // A model that the client named is its own judge, and a bound that fits is none to cut.
    assert_eq!(
        decided(r#""model": "huge", "max_tokens": 2000000,"#).answer,
        None
    );
    let fits = decided(r#""model": "auto", "max_tokens": 5,"#)
        .answer
        .unwrap();
    assert_eq!(fits.less_of(tiny), None);
    assert_eq!(decided(r#""model": "auto","#).answer, None);
}

#[test]
fn limits_that_never_give_way_refuse() {
    let text = DEMO.replacen(
        '{',
        r#"{"profiles": {"strict": {"limits": {"max_p50_ms": 1, "min_quality": 0.99}, "relax": ["min_quality"]}},"#,
        1,
    );
    let policy = Policy::compile(&text).unwrap();
    let rejection = rejection(&policy, r#""model": "strict","#);
    assert_eq!((rejection.status, rejection.code), (400, "limits_not_met"));
    assert_eq!(
        rejection.message,
        "no backend keeps the limits of the profile `strict`: p50 latency is over 1 ms"
    );
}

#[test]
fn a_model_without_a_backend_is_not_found() {
    let text = DEMO.replacen(r#""models": ["#, r#""models": [{"name": "planned"},"#, 1);
    let policy = Policy::compile(&text).unwrap();
    let rejection = rejection(&policy, r#""model": "planned","#);
    assert_eq!((rejection.status, rejection.code), (404, "model_not_found"));
    assert_eq!(rejection.message, "the model `planned` has no backend");
}

/// A client's numbers cost at most as many answers as the API allows, each as long as the model can write.
#[test]
fn no_number_of_a_client_costs_more_than_the_api_and_the_model_allow() {
    let policy = demo();
    let cost = |fields: &str| decision(&policy, fields).estimate.cost_usd;
    let most = cost(r#""model": "gpt-4.1", "n": 128,"#);
    for n in [
        "4000000000",
        "4e9",
        "\"4000000000\"",
        "99999999999999999999",
        "1e300",
    ] {
        let fields = format!(r#""model": "gpt-4.1", "n": {n},"#);
        assert_eq!(cost(&fields), most, "{n}");
    }
    assert_eq!(
        cost(r#""model": "gpt-4.1", "n": -1,"#),
        cost(r#""model": "gpt-4.1","#)
    );
    assert_eq!(
        cost(r#""model": "gpt-4.1", "n": 0,"#),
        cost(r#""model": "gpt-4.1","#)
    );
    let prompts = format!(
        r#"{{"model": "gpt-4.1", "n": 4000000000, "best_of": 4000000000, "prompt": [{}"a"]}}"#,
        r#""a","#.repeat(100_000)
    );
    let request = crate::api::request::parse(Api::OpenAiCompletions, prompts.as_bytes(), true);
    assert_eq!(request.map(|request| request.choices), Ok(2048));
}

#[test]
fn a_body_that_is_no_request_goes_by_or_is_refused_as_the_policy_says() {
    let bypass = demo();
    let reject = Policy::compile(&DEMO.replacen('{', r#"{"on_undecided": "reject","#, 1));
    let reject = reject.unwrap();
    for body in ["", "{", "[]", "\u{0}\u{1}", r#"{"messages": 1]"#] {
        let is_bypassed = matches!(
            route(&bypass, body),
            Outcome::Bypassed(Bypass::InvalidRequest(_))
        );
        // A model that is not a text may name a profile.
        assert_eq!(is_bypassed, !body.contains('\u{0}'), "{body}");
        let Outcome::Rejected(rejection) = route(&reject, body) else {
            panic!("{body}");
        };
        assert_eq!(rejection.status, 400);
        assert!(matches!(rejection.code, "invalid_json" | "invalid_request"));
    }
}

#[test]
fn nobody_asking_anything_is_the_easiest_prompt() {
    let policy = demo();
    for body in [
        r#"{"model": "auto", "messages": []}"#,
        r#"{"model": "auto", "messages": [{"role": "system", "content": "Be brief."}]}"#,
        r#"{"model": "auto", "messages": [{"role": "user", "content": ""}]}"#,
    ] {
        match route(&policy, body) {
            Outcome::Routed(decision) => assert!(decision.classification.is_some()),
            // If the API itself does not allow it, the body is invalid, and a profile's name stays.
            Outcome::Rejected(rejection) => assert_eq!(rejection.code, "invalid_request"),
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[test]
fn explaining_a_refusal_names_every_candidate() {
    let policy = demo();
    let body = body(
        r#""model": "auto", "logprobs": true, "modalities": ["text", "audio"], "audio": {"voice": "v", "format": "wav"},"#,
    );
    let request = request::parse(Api::OpenAiChat, body.as_bytes(), true).unwrap();
    let outcome = look_at(
        &policy,
        &request,
        &RequestInfo::new(&RequestAttributes::default(), 0),
    );
    assert!(matches!(outcome, Outcome::Rejected(_)));
    let candidates = outcome.candidates();
    assert_eq!(candidates.len(), policy.registry.backends.len());
    assert!(
        candidates
            .iter()
            .all(|candidate| candidate.ineligible.is_some())
    );
}

/// The demo's policy with these rules.
fn ruled(rules: &str) -> Policy {
    Policy::compile(&DEMO.replacen('{', &format!("{{\"rules\": [{rules}],"), 1)).unwrap()
}

#[test]
fn a_rule_narrows_an_open_choice_and_is_named() {
    let policy = ruled(
        r#"{"name": "vip", "when": {"user": ["ada"]}, "then": {"models": ["gpt-4.1"], "profile": "auto:best"}}"#,
    );
    let vip = decision(&policy, r#""model": "auto", "user": "ada","#);
    assert_eq!(model_name(&policy, &vip), "gpt-4.1");
    assert_eq!(vip.profile, "auto:best");
    assert_eq!(vip.rules, ["vip"]);
    let other = decision(&policy, r#""model": "auto", "user": "bob","#);
    assert!(other.rules.is_empty());
    assert_eq!(other.profile, "auto");
    // A client that names a model gets it.
    let pinned = decision(&policy, r#""model": "llama-3.1-8b", "user": "ada","#);
    assert_eq!(model_name(&policy, &pinned), "llama-3.1-8b");
    assert!(pinned.rules.is_empty());
}

#[test]
fn rules_that_leave_nothing_together_are_both_named() {
    let policy = ruled(
        r#"{"name": "pii", "when": {"sensitive": ["email"]}, "then": {"tags": ["on-prem"]}},
           {"name": "ada", "when": {"user": ["ada"]}, "then": {"models": ["gpt-4.1"]}}"#,
    );
    let body = r#"{"model": "auto", "user": "ada", "messages": [{"role": "user", "content": "Reply to jane@example.org"}]}"#;
    let Outcome::Rejected(refused) = route(&policy, body) else {
        panic!("routed");
    };
    assert_eq!((refused.status, refused.code), (400, "no_eligible_backend"));
    assert_eq!(
        refused.message,
        "no backend that may take the request meets the policy's rules together: `pii` (tag `on-prem`) and `ada` (model `gpt-4.1`)"
    );
    assert_eq!(refused.rules, ["pii", "ada"]);
}

#[test]
fn a_preference_gives_way_where_a_constraint_would_refuse() {
    let policy = ruled(
        r#"{"name": "pii", "when": {"sensitive": ["email"]}, "then": {"tags": ["on-prem"]}},
           {"name": "ada", "when": {"user": ["ada"]}, "then": {"prefer": {"models": ["gpt-4.1"]}}},
           {"name": "late", "when": {"user": ["ada"]}, "then": {"prefer": {"tags": ["on-prem"]}}}"#,
    );
    let query = |text: &str| {
        let body = format!(
            r#"{{"model": "auto:cheap", "user": "ada", "messages": [{{"role": "user", "content": "{text}"}}]}}"#
        );
        match route(&policy, &body) {
            Outcome::Routed(decision) => decision,
            other => panic!("{other:?}"),
        }
    };
    let followed = query("Hello");
    assert_eq!(model_name(&policy, &followed), "gpt-4.1");
    assert_eq!(followed.reason, Reason::Preferred);
    assert_eq!(followed.rules, ["ada", "late"]);
    let given_way = query("Reply to jane@example.org");
    let tags = &policy.registry.backend(given_way.backend).unwrap().tags;
    assert!(tags.iter().any(|tag| tag == "on-prem"));
    // A client that names a model gets it.
    let pinned = decision(&policy, r#""model": "llama-3.1-8b", "user": "ada","#);
    assert_eq!(model_name(&policy, &pinned), "llama-3.1-8b");
}

#[test]
fn sensitive_prompts_stay_at_home_even_when_pinned_and_in_the_chain() {
    let policy = ruled(
        r#"{"name": "at home", "when": {"sensitive": ["email", "card"]}, "then": {"tags": ["on-prem"]}}"#,
    );
    let at_home = |id| {
        let tags = &policy.registry.backend(id).unwrap().tags;
        tags.iter().any(|tag| tag == "on-prem")
    };
    let body = |model: &str| {
        format!(
            r#"{{"model": "{model}", "messages": [{{"role": "system", "content": "Reply to jane@example.org"}}, {{"role": "user", "content": "Hello"}}]}}"#
        )
    };
    for model in ["auto", "auto:fast", "llama-3.1-8b"] {
        let Outcome::Routed(decision) = route(&policy, &body(model)) else {
            panic!("{model}");
        };
        assert_eq!(decision.rules, ["at home"]);
        assert!(at_home(decision.backend), "{model}");
        assert!(decision.fallbacks.iter().all(|id| at_home(*id)), "{model}");
    }
    let Outcome::Rejected(rejection) = route(&policy, &body("gpt-4.1")) else {
        panic!("gpt-4.1 is nowhere at home");
    };
    assert_eq!(
        (rejection.status, rejection.code),
        (400, "no_eligible_backend")
    );
    let harmless = decision(&policy, r#""model": "gpt-4.1","#);
    assert!(harmless.rules.is_empty());
}

#[test]
fn a_rule_can_refuse() {
    let policy = ruled(
        r#"{"when": {"requested_model": ["auto:best", "gpt-4.1"]}, "then": {"reject": "not before noon"}}"#,
    );
    for model in ["auto:best", "gpt-4.1"] {
        let rejection = rejection(&policy, &format!(r#""model": "{model}","#));
        assert_eq!(
            (rejection.status, rejection.code),
            (403, "rejected_by_policy")
        );
        assert_eq!(rejection.message, "not before noon");
    }
    assert!(decision(&policy, "").rules.is_empty());
}

#[test]
fn rules_by_task_domain_and_difficulty_follow_the_classifier() {
    let classification = Classification {
        task: classifier::Task::Code,
        task_probability: 0.7,
        domain: classifier::Domain::Legal,
        domain_probability: 0.4,
        domain_probabilities: [0.1, 0.15, 0.4, 0.35, 0.0, 0.0, 0.0, 0.0],
        difficulty: 1.0,
        ..classifier::from_features(&Turn::new("x"))
    };
    for (when, holds) in [
        (r#"{"task": ["math", "code"]}"#, true),
        (r#"{"task": ["math"]}"#, false),
        (r#"{"task": ["code"], "min_confidence": 0.8}"#, false),
        (r#"{"task": ["code"], "domain": ["legal"]}"#, true),
        (
            r#"{"task": ["code"], "domain": ["legal"], "min_confidence": 0.5}"#,
            false,
        ),
        // Not the most probable one, but probable enough; and two that are together.
        (r#"{"domain": ["finance"]}"#, true),
        (r#"{"domain": ["medical"]}"#, false),
        (r#"{"domain": ["medical", "general"]}"#, true),
        (r#"{"min_difficulty": 0.5, "max_difficulty": 1}"#, true),
        (r#"{"min_difficulty": 1.5}"#, false),
        (r#"{"max_difficulty": 0.5}"#, false),
        ("{}", true),
    ] {
        let policy = ruled(&format!(
            r#"{{"when": {when}, "then": {{"tags": ["on-prem"]}}}}"#
        ));
        let facts = RuleInput {
            classification: Some(&classification),
            user: None,
            other_users: &[],
            other_asked: &[],
            asides: &[],
            asked: "auto",
            sensitive: Sensitivity::NONE,
            pinned: false,
            attributes: &RequestAttributes::default(),
            words: &policy.words,
            turns: &[],
            language: None,
            conversation: 0,
        };
        assert_eq!(
            !evaluate_rules(&policy.rules, &facts).names.is_empty(),
            holds,
            "{when}"
        );
        assert_eq!(
            classifies_pinned(&policy),
            when != "{}",
            "a tag binds pinned models too"
        );
    }
}

#[test]
fn rules_add_up_and_the_earlier_wins() {
    let policy = ruled(
        r#"{"name": "one", "then": {"models": ["gpt-4.1"], "min_quality": 0.3, "tags": ["on-prem"]}},
           {"name": "two", "then": {"models": ["llama-3.1-8b"], "min_quality": 0.2}},
           {"name": "three", "then": {"min_quality": 0.6, "profile": "auto:fast", "tags": ["on-prem"]}},
           {"name": "four", "then": {"profile": "auto:best"}}"#,
    );
    let facts = RuleInput {
        classification: None,
        user: None,
        other_users: &[],
        other_asked: &[],
        asides: &[],
        asked: "auto",
        sensitive: Sensitivity::NONE,
        pinned: false,
        attributes: &RequestAttributes::default(),
        words: &policy.words,
        turns: &[],
        language: None,
        conversation: 0,
    };
    let rule_outcome = evaluate_rules(&policy.rules, &facts);
    assert_eq!(rule_outcome.models, [ModelId(3)]);
    assert_eq!(rule_outcome.min_quality, Some(0.6));
    assert_eq!(rule_outcome.profile, Some("auto:fast"));
    assert_eq!(rule_outcome.tags, ["on-prem", "on-prem"]);
    assert_eq!(rule_outcome.names, ["one", "three"]);
    let pinned = evaluate_rules(
        &policy.rules,
        &RuleInput {
            pinned: true,
            ..facts
        },
    );
    assert!(pinned.models.is_empty() && pinned.profile.is_none() && pinned.min_quality.is_none());
    assert_eq!(pinned.names, ["one", "three"]);
}

/// A prompt whose turns say how hard they are, and a classifier that believes them.
fn hardest(difficulties: &[f32]) -> f32 {
    let turns = difficulties
        .iter()
        .map(|difficulty| Turn::new(difficulty.to_string()))
        .collect();
    let prompt = Prompt {
        turns,
        window_tokens: 0,
        input_tokens: 0,
    };
    let mut asked = 0;
    let turns = conversation::classify(&prompt, |_, turn| {
        asked += 1;
        Classification {
            difficulty: turn.text.parse().unwrap(),
            ..classifier::from_features(turn)
        }
    });
    assert!(asked <= MAX_TURNS);
    let mut steps = conversation::combine(&turns);
    steps.pop().unwrap().classification.difficulty
}

#[test]
fn the_hardest_turn_rules_and_demand_never_falls() {
    let turns = [0.5, -1.0, 2.0, 0.0, 1.5, -3.0];
    let mut last = f32::MIN;
    for count in 1..=turns.len() {
        let now = hardest(&turns[..count]);
        assert!(now >= last);
        last = now;
    }
    assert_eq!(last, 2.0);
}

#[test]
fn of_a_long_conversation_the_ends_count() {
    let mut turns = vec![0.0; 100];
    turns[3] = 1.0;
    assert_eq!(hardest(&turns), 1.0);
    turns[99] = 2.0;
    assert_eq!(hardest(&turns), 2.0);
    turns[50] = 3.0;
    assert_eq!(hardest(&turns), 2.0);
}

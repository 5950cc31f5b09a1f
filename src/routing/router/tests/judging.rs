//! The judge's part in decisions: which requests are worth asking about, what a grade changes, and what it never changes.

use super::*;
use crate::api::judge::Grade;
use crate::routing::judge::{Graded, Judging, NotAsked, Question};

/// A cheap and a dear model, both as good for the prompt as the classifier sees it: a grade decides.
fn policy(members: &str, judge: &str) -> Policy {
    weighted(balance(), members, judge)
}

/// The weight of cost at which both models are as good.
fn balance() -> f64 {
    let first = weighted(1.0, "", "");
    let decision = decide(&first, &chat(PROMPT), GradeSource::NONE);
    let quality = |at: usize| f64::from(decision.candidates[at].estimate.quality.unwrap());
    // The dear model costs ten times as much, a difference of 1 in the objective's logarithm.
    20.0 * (quality(1) / quality(0)).log10()
}

fn weighted(cost: f64, members: &str, judge: &str) -> Policy {
    let text = format!(
        r#"{{{members}
        "default_profile": "good",
        "profiles": {{"good": {{"weights": {{"cost": {cost}, "quality": 1}}}}}},
        "models": [{{"name": "cheap", "benchmarks": {{"mmlu": 0.68}}}}, {{"name": "dear", "benchmarks": {{"mmlu": 0.86}}}}],
        "backends": [{{"name": "cheap", "model": "cheap", "price": {{"input": 1, "output": 1}}}},
                     {{"name": "dear", "model": "dear", "price": {{"input": 10, "output": 10}}, "tags": ["eu"]}}],
        "judge": {{"cluster": "judge", "model": "j", "max_share": 1,
                   "evidence": {{"slope": 1, "intercept": 1.8, "variance": 0.3}} {judge}}}}}"#
    );
    Policy::compile(&text).unwrap()
}

fn grade(mean: f32) -> Grade {
    Grade { mean, spread: 0.1 }
}

fn chat(text: &str) -> String {
    format!(r#"{{"messages": [{{"role": "user", "content": "{text}"}}]}}"#)
}

fn decide(policy: &Policy, body: &str, grades: GradeSource<'_>) -> Decision {
    let request = request::parse(Api::OpenAiChat, body.as_bytes(), true).unwrap();
    let attributes = RequestAttributes::default();
    let info = RequestInfo {
        grades,
        ..RequestInfo::new(&attributes, 0)
    };
    match look_at(policy, &request, &info) {
        Outcome::Routed(decision) => *decision,
        other => panic!("{other:?}"),
    }
}

fn replied(policy: &Policy, body: &str, mean: f32) -> Decision {
    let reply = Some(grade(mean));
    decide(
        policy,
        body,
        GradeSource {
            reply,
            ..GradeSource::NONE
        },
    )
}

fn graded(decision: &Decision) -> Graded {
    match &decision.judging {
        Some(Judging::Graded(graded)) => *graded,
        other => panic!("{other:?}"),
    }
}

fn question(decision: &Decision) -> &Question {
    match &decision.judging {
        Some(Judging::Ask(question)) => question,
        other => panic!("{other:?}"),
    }
}

fn not_asked(decision: &Decision) -> NotAsked {
    match &decision.judging {
        Some(Judging::NotAsked(reason)) => *reason,
        other => panic!("{other:?}"),
    }
}

const PROMPT: &str = "Tell me about the causes of the French revolution.";

#[test]
fn a_grade_decides_between_a_cheap_and_a_dear_model() {
    let policy = policy("", "");
    let body = chat(PROMPT);
    let first = decide(&policy, &body, GradeSource::NONE);
    assert!(question(&first).gain_usd > 0.0);
    assert_eq!(question(&first).turn, PROMPT);
    let (easy, hard) = (replied(&policy, &body, 0.97), replied(&policy, &body, 0.03));
    assert_eq!(model_name(&policy, &easy), "cheap");
    assert_eq!(model_name(&policy, &hard), "dear");
    let of = |decision: &Decision| graded(decision);
    assert!(of(&easy).difficulty_after < of(&easy).difficulty_before);
    assert!(of(&hard).difficulty_after > of(&hard).difficulty_before);
    assert!(of(&easy).changes() != of(&hard).changes());
    assert_eq!(of(&easy).without, first.backend);
    let difficulty = |decision: &Decision| decision.classification.as_ref().unwrap().difficulty;
    assert_eq!(difficulty(&hard), of(&hard).difficulty_after);
}

/// A question about a prompt that goes to the cheap model is worth as much as one that might bring it there.
#[test]
fn a_better_answer_is_worth_as_much_as_the_cost_that_pays_it() {
    let [cheap, dear] = [1.001, 0.999].map(|part| {
        let policy = weighted(balance() * part, "", "");
        let decision = decide(&policy, &chat(PROMPT), GradeSource::NONE);
        let gain_usd = question(&decision).gain_usd;
        (model_name(&policy, &decision).to_owned(), gain_usd)
    });
    assert_eq!((cheap.0.as_str(), dear.0.as_str()), ("cheap", "dear"));
    let ratio = cheap.1 / dear.1;
    // Not ten times, as their costs: the gap between the models grows as a prompt gets harder, and cost does not.
    assert!((0.4..=2.5).contains(&ratio), "{cheap:?} {dear:?}");
}

#[test]
fn requests_teach_what_they_cost() {
    let policy = policy("", "");
    let mut router = Router::with_features_only();
    assert_eq!(router.judge_state().cost_scale(&policy), None);
    router.route(&policy, Api::OpenAiChat, chat(PROMPT).as_bytes(), true);
    let short = router.judge_state().cost_scale(&policy).unwrap();
    assert!(short > 0.0);
    let long = chat(&PROMPT.repeat(50));
    router.route(&policy, Api::OpenAiChat, long.as_bytes(), true);
    assert!(router.judge_state().cost_scale(&policy).unwrap() > short);
}

#[test]
fn in_shadow_mode_a_grade_is_reported_and_changes_nothing() {
    let policy = policy("", r#", "mode": "shadow""#);
    let body = chat(PROMPT);
    let first = decide(&policy, &body, GradeSource::NONE);
    let backends = [0.97, 0.03].map(|mean| {
        let decision = replied(&policy, &body, mean);
        assert_eq!(decision.backend, first.backend);
        assert_eq!(decision.classification, first.classification);
        graded(&decision).with
    });
    assert_ne!(backends[0], backends[1]);
}

#[test]
fn a_kept_answer_is_used_instead_of_a_question() {
    let policy = policy("", "");
    let body = chat(PROMPT);
    let source = GradeSource::NONE;
    let key = question(&decide(&policy, &body, source)).key;
    let find = |wanted: u64| (wanted == key).then_some(grade(0.03));
    let kept = GradeSource {
        find: Some(&find),
        ..source
    };
    let decision = decide(&policy, &body, kept);
    assert!(graded(&decision).is_kept);
    assert_eq!(model_name(&policy, &decision), "dear");
    // Another prompt has another key.
    let other = decide(&policy, &chat("Tell me about roses."), kept);
    assert!(!matches!(other.judging, Some(Judging::Graded(_))));
}

#[test]
fn a_conversation_goes_on_where_its_grade_led_it() {
    let policy = policy("", "");
    let first = question(&decide(&policy, &chat(PROMPT), GradeSource::NONE)).key;
    let find = |wanted: u64| (wanted == first).then_some(grade(0.03));
    let kept = GradeSource {
        find: Some(&find),
        ..GradeSource::NONE
    };
    let later = format!(
        r#"{{"messages": [{{"role": "user", "content": "{PROMPT}"}},
            {{"role": "assistant", "content": "There were several."}},
            {{"role": "user", "content": "Thanks."}}]}}"#
    );
    let decision = decide(&policy, &later, kept);
    assert_eq!(model_name(&policy, &decision), "dear");
}

#[test]
fn what_need_not_or_must_not_be_asked_is_not() {
    let plain = policy("", "");
    let of = |policy: &Policy, body: &str| not_asked(&decide(policy, body, GradeSource::NONE));
    let pinned = chat(PROMPT).replacen('{', r#"{"model": "dear", "#, 1);
    assert_eq!(of(&plain, &pinned), NotAsked::Pinned);
    let tools = format!(
        r#"{{"messages": [{{"role": "user", "content": "{PROMPT}"}},
            {{"role": "assistant", "content": null, "tool_calls": [{{"id": "1", "type": "function", "function": {{"name": "f", "arguments": "{{}}"}}}}]}},
            {{"role": "tool", "tool_call_id": "1", "content": "42"}}]}}"#
    );
    assert_eq!(of(&plain, &tools), NotAsked::ToolLoop);
    let only = policy(r#""rules": [{"then": {"models": ["dear"]}}],"#, "");
    assert_eq!(of(&only, &chat(PROMPT)), NotAsked::OneCandidate);
    let noise = policy("", "");
    let noise = Policy {
        judge: noise.judge.clone().map(|mut judge| {
            judge.evidence.slope = 0.0;
            judge
        }),
        ..noise
    };
    assert_eq!(of(&noise, &chat(PROMPT)), NotAsked::Noise);
    let dear = policy("", r#", "min_gain_usd": 1000"#);
    assert_eq!(of(&dear, &chat(PROMPT)), NotAsked::GainTooSmall);
    let dear = policy("", r#", "price": {"input": 1000000}"#);
    assert_eq!(of(&dear, &chat(PROMPT)), NotAsked::GainTooSmall);
}

#[test]
fn sensitive_text_goes_only_to_a_judge_with_the_tags_of_the_rule() {
    let card = chat("My card is 4111 1111 1111 1111. What are the causes of the revolution?");
    let tagged = r#""rules": [{"when": {"sensitive": ["card"]}, "then": {"tags": ["eu"]}}],
                    "models": [], "#;
    let rule = tagged.replace(r#""models": [], "#, "");
    // Two candidates keep the tag, so that there is something to ask about.
    let both = |judge: &str| {
        let mut policy = policy(&rule, judge);
        for backend in &mut policy.registry.backends {
            backend.tags = vec!["eu".to_owned()];
        }
        policy
    };
    let of = |policy: &Policy| decide(policy, &card, GradeSource::NONE).judging.unwrap();
    assert_eq!(of(&both("")), Judging::NotAsked(NotAsked::Sensitive));
    assert_ne!(
        of(&both(r#", "tags": ["eu"]"#)),
        Judging::NotAsked(NotAsked::Sensitive)
    );
    // A rule that restricts sensitive text without tags says of nobody else that it may see it.
    let preferred = policy(
        r#""rules": [{"when": {"sensitive": ["card"]}, "then": {"prefer": {"models": ["dear"]}}}],"#,
        r#", "tags": ["eu"]"#,
    );
    assert_eq!(of(&preferred), Judging::NotAsked(NotAsked::Sensitive));
}

#[test]
fn no_grade_lets_a_request_past_a_rule() {
    let policy = policy(
        r#""rules": [{"when": {"min_difficulty": -9}, "then": {"min_quality": 0.0, "tags": ["eu"]}}],"#,
        r#", "tags": ["eu"]"#,
    );
    // However easy the judge says that it is, the rule looked at the classifier's difficulty.
    let decision = replied(&policy, &chat(PROMPT), 1.0);
    assert_eq!(model_name(&policy, &decision), "dear");
    assert_eq!(decision.rules, ["rules[0]"]);
}

#[test]
fn requests_that_are_not_asked_about_count_for_the_share() {
    let policy = policy("", r#", "min_gain_usd": 1000"#);
    let mut router = Router::with_features_only();
    for _ in 0..100 {
        router.route(&policy, Api::OpenAiChat, chat(PROMPT).as_bytes(), true);
    }
    let state = router.judge_state();
    assert_eq!(state.admit(&policy, 1.0, 0.0, 0), Ok(()));
}

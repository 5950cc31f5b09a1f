//! Grading of answers: whose text is kept, and what becomes of a grade.

use serde_json::Value;

use super::receipts::keys;
use super::*;
use crate::exchange::grader::{MAX_UNDER_WAY, MAX_WAITING, TIMEOUT_MS};
use crate::state::outcome::read_grade_line;
use crate::state::receipt::Receipt;

const JSON: &[(&str, &str)] = &[(":status", "200"), ("content-type", "application/json")];
const STREAM: &[(&str, &str)] = &[(":status", "200"), ("content-type", "text/event-stream")];
const PROMPT: &str = "What is the capital of France?";
const NOW_NS: u64 = 1_764_000_000_000_000_000;

fn body(text: &str, reason: &str) -> String {
    serde_json::json!({
        "choices": [{"index": 0, "message": {"content": text}, "finish_reason": reason}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3},
    })
    .to_string()
}

/// A policy that learns, and has all answers graded.
fn policy(members: &str, judge: &str) -> String {
    policy_with(&format!(
        r#"{members} "receipts": {{"mode": "log"}}, "learning": {{"mode": "observe"}},
        "judge": {{"cluster": "judge", "model": "j", "max_share": 0, "grade_share": 1, "price": {{"input": 1}} {judge}}}"#
    ))
}

fn begin(policy: &str, request: &str) -> Host {
    let mut host = Host::new(policy);
    host.keys = keys();
    host.clock_ns = NOW_NS;
    host.begin("POST", "/v1/chat/completions");
    host.send_headers(false);
    host.send_chunk(request.as_bytes(), true);
    host
}

/// The answer that is handed over for grading.
fn graded(host: &Host) -> Option<Box<AnswerToGrade>> {
    host.effects.iter().find_map(|effect| match effect {
        Effect::GradeAnswer(answer) => Some(answer.clone()),
        _ => None,
    })
}

/// What is handed over after a request and its answer.
fn after(policy: &str, request: &str, answer: &str) -> Option<Box<AnswerToGrade>> {
    let mut host = begin(policy, request);
    assert_eq!(host.answer_with(JSON, &[answer]), answer);
    host.done();
    graded(&host)
}

/// An answer of a model that the client named, like all such answers.
fn answer() -> Box<AnswerToGrade> {
    let paris = body("Paris.", "stop");
    after(&policy("", ""), &ask("tiny", PROMPT), &paris).unwrap()
}

#[test]
fn the_start_of_prompt_and_answer_is_kept_until_the_answer_is_delivered() {
    let answer = answer();
    assert_eq!(answer.prompt.text(), PROMPT);
    assert_eq!(
        (answer.answer.text().as_ref(), answer.before.text().as_ref()),
        ("Paris.", "")
    );
    let chunks = [
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Pa\"}}]}\n\nda",
        "ta: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"r\\u00e9s.\"},\"finish_reason\":\"stop\"}]}\n\n",
        "data: [DONE]\n\n",
    ];
    let request = r#"{"model": "tiny", "stream": true, "messages": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where?"}]}"#;
    let mut host = begin(&policy("", ""), request);
    assert_eq!(host.answer_with(STREAM, &chunks), chunks.concat());
    assert_eq!(graded(&host), None, "not before it is over");
    host.done();
    let answer = graded(&host).unwrap();
    assert_eq!(answer.answer.text(), "Parés.");
    assert_eq!(
        (answer.prompt.text().as_ref(), answer.before.text().as_ref()),
        ("Where?", "Be brief.")
    );
}

#[test]
fn long_texts_are_cut() {
    let long = "é".repeat(9000);
    let policy = policy("", "").replace(r#""max_body_bytes": 4096"#, r#""max_body_bytes": 65536"#);
    let answer = after(
        &policy,
        &ask("huge", &long),
        &body(&format!("a{long}"), "stop"),
    );
    let answer = answer.unwrap();
    for (text, kept) in [(&answer.prompt, 8192), (&answer.answer, 8191)] {
        assert_eq!((text.text().len(), text.is_cut()), (kept, true));
    }
}

#[test]
fn what_is_no_whole_text_is_not_graded() {
    let policy = policy("", "");
    let plain = ask("tiny", PROMPT);
    for answer in [
        body("", "stop"),
        body(" \n", "stop"),
        body("Par", "length"),
        body("No.", "content_filter"),
        body("I look it up.", "tool_calls"),
        r#"{"error": {"message": "no"}}"#.to_owned(),
        r#"{"choices": [{"message": {"content": "Paris."#.to_owned(),
    ] {
        assert_eq!(after(&policy, &plain, &answer), None, "{answer}");
    }
    let paris = body("Paris.", "stop");
    for request in [
        r#"{"model": "tiny", "n": 2, "messages": [{"role": "user", "content": "Where?"}]}"#,
        r#"{"model": "tiny", "messages": [{"role": "user", "content": "Where?"},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "done"}]}"#,
    ] {
        assert_eq!(after(&policy, request, &paris), None, "{request}");
    }
    // An error, and an answer that the client did not wait for.
    let mut host = begin(&policy, &plain);
    host.answer_with(&[(":status", "500"), JSON[1]], &[&paris]);
    host.done();
    assert_eq!(graded(&host), None);
    let mut host = begin(&policy, &plain);
    host.answer_with(
        STREAM,
        &["data: {\"choices\":[{\"delta\":{\"content\":\"Pa\"}}]}\n\n"],
    );
    host.done();
    assert_eq!(graded(&host), None);
}

#[test]
fn the_judges_own_calls_are_not_graded() {
    let mut host = Host::new(&policy("", ""));
    host.keys = keys();
    host.clock_ns = NOW_NS;
    host.begin("POST", "/v1/chat/completions");
    host.set("user-agent", JUDGE_USER_AGENT);
    host.send_headers(false);
    host.send_chunk(ask("tiny", PROMPT).as_bytes(), true);
    host.answer_with(JSON, &[&body("Paris.", "stop")]);
    host.done();
    assert_eq!(graded(&host), None);
}

#[test]
fn what_rules_keep_from_the_judge_is_not_sent() {
    let paris = body("Paris.", "stop");
    let sent = |rules: &str, judge: &str, request: &str, answer: &str| {
        let rules = format!(r#""rules": [{rules}],"#);
        after(&policy(&rules, judge), request, answer).is_some()
    };
    let cards =
        r#"{"name": "cards", "when": {"sensitive": ["card"]}, "then": {"tags": ["local"]}}"#;
    let untagged =
        r#"{"name": "cards", "when": {"sensitive": ["card"]}, "then": {"min_quality": 0.1}}"#;
    let local = r#", "tags": ["local"]"#;
    let (plain, card) = (
        ask("tiny", PROMPT),
        ask("tiny", "My card is 4111 1111 1111 1111."),
    );
    assert!(sent(cards, "", &plain, &paris));
    assert!(!sent(cards, "", &card, &paris));
    assert!(sent(cards, local, &card, &paris));
    assert!(!sent(untagged, local, &card, &paris));
    // The answer alone holds it.
    let answer = body("It is 4111 1111 1111 1111.", "stop");
    assert!(!sent(cards, "", &plain, &answer));
    assert!(sent(cards, local, &plain, &answer));
    let everybody = r#"{"name": "all", "when": {}, "then": {"tags": ["local"]}}"#;
    assert!(!sent(everybody, "", &plain, &paris));
    let mut host = begin(&policy(&format!(r#""rules": [{cards}],"#), ""), &plain);
    host.answer_with(JSON, &[&answer]);
    host.done();
    assert!(
        host.counts()
            .contains(&"pointsman.judge_gradings.result.sensitive")
    );
}

#[test]
fn the_share_is_drawn_by_the_prompt() {
    let paris = body("Paris.", "stop");
    let off = policy("", r#", "mode": "off""#);
    assert_eq!(after(&off, &ask("tiny", PROMPT), &paris), None);
    let policy = policy("", "").replace(r#""grade_share": 1"#, r#""grade_share": 0.25"#);
    let drawn = (0..400).filter(|number| {
        let request = ask("tiny", &format!("Question {number}: where?"));
        let first = after(&policy, &request, &paris).is_some();
        assert_eq!(after(&policy, &request, &paris).is_some(), first);
        first
    });
    let drawn = drawn.count();
    assert!((70..130).contains(&drawn), "{drawn}");
}

fn reply(text: &str) -> String {
    format!(
        r#"{{"choices": [{{"message": {{"content": "{text}"}}}}], "usage": {{"prompt_tokens": 300, "completion_tokens": 1}}}}"#
    )
}

fn replied(body: &str) -> JudgeReplyContent<'_> {
    JudgeReplyContent::Response {
        status: 200,
        body: Some(body.as_bytes()),
    }
}

fn names(effects: &[Effect]) -> Vec<String> {
    let names = effects.iter().filter_map(|effect| match effect {
        Effect::Count(metric) | Effect::Add(metric, _) => Some(metric.name.to_string()),
        _ => None,
    });
    names.collect()
}

#[test]
fn a_grade_becomes_an_outcome() {
    let mut router = Router::with_features_only();
    let mut grader = Grader::default();
    let answer = answer();
    assert_eq!(grader.add(answer.clone()), []);
    let (call, effects) = grader.next(Some(&mut router), NOW_NS);
    let call = call.unwrap();
    assert_eq!(effects, []);
    assert_eq!(
        (call.cluster.as_str(), call.timeout_ms),
        ("judge", TIMEOUT_MS)
    );
    let asked: Value = serde_json::from_str(&call.body).unwrap();
    let material = asked["messages"][1]["content"].as_str().unwrap();
    assert_eq!(
        material,
        format!("<request>\n{PROMPT}\n</request>\n<answer>\nParis.\n</answer>")
    );
    assert_eq!(grader.next(Some(&mut router), NOW_NS), (None, vec![]));

    let good = reply("9");
    let effects = grader.on_reply(call.token, replied(&good), Some(&mut router), NOW_NS + 1);
    assert_eq!(
        names(&effects),
        [
            "pointsman.judge_cost_nano_usd",
            "pointsman.judge_gradings.result.graded",
            "pointsman.outcomes.model.tiny.verdict.good.source.judge",
        ]
    );
    assert!(effects.contains(&Effect::Add(Metric::judge_cost_nano_usd(), 300_000)));
    let logged = effects.iter().find_map(|effect| match effect {
        Effect::Log(Level::Info, line) => read_grade_line(line.as_bytes()),
        _ => None,
    });
    let (receipt, score) = logged.unwrap();
    assert!((score - 1.0).abs() < 1e-6);
    assert_eq!(
        Receipt::decode(receipt, &keys()).unwrap().nonce,
        answer.receipt.nonce
    );
    let policy = &answer.policy;
    assert!(router.learned_quality().has_news(policy));
    assert!((router.judge_state().spent_usd(policy, NOW_NS) - 0.0003).abs() < 1e-9);
    // It has ended.
    assert_eq!(
        grader.on_reply(call.token, replied(&good), Some(&mut router), NOW_NS),
        []
    );
}

#[test]
fn a_judge_that_fails_gives_no_outcome_and_is_left_alone() {
    let mut router = Router::with_features_only();
    let mut grader = Grader::default();
    let nonsense = reply("I cannot say.");
    let failures = [
        (JudgeReplyContent::NotSent, "not_sent"),
        (
            JudgeReplyContent::Response {
                status: 504,
                body: None,
            },
            "timeout",
        ),
        (
            JudgeReplyContent::Response {
                status: 500,
                body: None,
            },
            "error_status",
        ),
        (
            JudgeReplyContent::Response {
                status: 0,
                body: None,
            },
            "reset",
        ),
        (replied(&nonsense), "no_grade"),
    ];
    for (content, result) in failures {
        grader.add(answer());
        let (call, _) = grader.next(Some(&mut router), NOW_NS);
        let effects = grader.on_reply(call.unwrap().token, content, Some(&mut router), NOW_NS);
        let counted = names(&effects);
        assert_eq!(
            counted.last(),
            Some(&format!("pointsman.judge_gradings.result.{result}"))
        );
    }
    grader.add(answer());
    let (call, effects) = grader.next(Some(&mut router), NOW_NS);
    assert_eq!(call, None);
    assert_eq!(
        names(&effects),
        ["pointsman.judge_gradings.result.breaker_open"]
    );
    assert!(!router.learned_quality().has_news(&answer().policy));
}

#[test]
fn the_queue_and_the_calls_are_bounded() {
    let mut router = Router::with_features_only();
    let mut grader = Grader::default();
    let answer = answer();
    for _ in 0..MAX_WAITING {
        assert_eq!(grader.add(answer.clone()), []);
    }
    let effects = grader.add(answer.clone());
    assert_eq!(names(&effects), ["pointsman.judge_gradings.result.dropped"]);
    // Without a router nothing is lost.
    assert_eq!(grader.next(None, NOW_NS), (None, vec![]));
    let mut calls = Vec::new();
    while let (Some(call), _) = grader.next(Some(&mut router), NOW_NS) {
        calls.push(call.token);
    }
    assert_eq!(calls.len(), MAX_UNDER_WAY);
    // Each reply makes room for one call, in the order in which the answers came.
    let good = reply("5");
    let mut ended = 0;
    while let Some(token) = calls.pop() {
        grader.on_reply(token, replied(&good), Some(&mut router), NOW_NS);
        ended += 1;
        if let (Some(call), _) = grader.next(Some(&mut router), NOW_NS) {
            calls.push(call.token);
        }
    }
    assert_eq!(ended, MAX_WAITING);
}

#[test]
fn the_budget_of_grading_ends_it() {
    let mut router = Router::with_features_only();
    let mut grader = Grader::default();
    let paris = body("Paris.", "stop");
    let policy = policy("", r#", "max_usd_per_hour": 0.000001"#);
    let answer = after(&policy, &ask("tiny", PROMPT), &paris).unwrap();
    grader.add(answer);
    let (call, effects) = grader.next(Some(&mut router), NOW_NS);
    assert_eq!(call, None);
    assert_eq!(names(&effects), ["pointsman.judge_gradings.result.budget"]);
}

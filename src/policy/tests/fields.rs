//! Every declared field of the policy is read: another value of it gives another policy.

use serde_json::{Value, json};

use crate::policy::{POLICY, Policy};
use crate::schema::shape::{Kind, Shape};

/// A policy in which every declared field stands. Nothing refers to its first model, so that it can be renamed.
const EXAMPLE: &str = r#"{
    "version": "v1", "revision": 3, "default_cluster": "elsewhere", "default_profile": "p",
    "on_undecided": "reject", "on_unknown_model": "bypass", "on_missing_model": "decide",
    "decision_headers": "minimal", "latency_source": "declared", "max_body_bytes": 2048,
    "max_scan_bytes": 4096, "baseline": "m1", "stream_usage": "always", "mode": "shadow",
    "exploration_rate": 0.1, "stickiness": 0.1, "foreign_state": "drop", "route_endpoint": "on",
    "models_endpoint": "off",
    "models": [
        {"name": "m0", "context_window": 4000, "max_output_tokens": 1000, "capabilities": ["tools"],
         "reasoning_tokens_factor": 2, "benchmarks": {"mmlu": 0.5}, "aliases": ["alias"],
         "max_share": 0.5, "min_share": 0.1,
         "calibration": {"scale": 0.5, "offset": 0.5, "tasks": {"code": 0.5},
          "factors": [0.5, 0.25], "classifier": "CLASSIFIER"}},
        {"name": "m1"}
    ],
    "backends": [
        {"name": "b0", "cluster": "c0", "model": "m1", "served_model": "org/m1", "accelerator": "cpu",
         "price": {"input": 1, "cached_input": 0.5, "cache_write": 2, "cache_write_1h": 3, "output": 4},
         "latency": {"first_token_ms": {"p50": 100, "p99": 200}, "tokens_per_second": 20},
         "timeouts": {"first_token_ms": 2000, "response_ms": 3000, "idle_ms": 4000, "total_ms": 5000},
         "apis": ["openai_chat", "openai_responses"], "tags": ["eu"],
         "endpoint": "https://host.example/v1", "provider": "vllm", "health": "/health",
         "credentials": {"header": "x-key", "prefix": "Key ", "env": "KEY", "other_paths": ["/files"]},
         "client_credentials": "pass", "client_address": "pass", "state_scope": "scope",
         "scale_to_zero_after_s": 60, "cold_start_ms": 500,
         "prewarm": {"max_usd_per_hour": 1, "request_usd": 0.1, "probability": 0.25},
         "ramp": {"from": 0.25, "to": 0.75, "start": "2026-03-01T09:00:00Z", "duration_s": 60}},
        {"name": "b1", "model": "m1", "price": {"input": 1, "output": 1}, "tags": ["eu", "us"]}
    ],
    "profiles": {
        "p": {"weights": {"cost": 1, "latency": 2, "quality": 3},
              "limits": {"max_first_token_p99_ms": 1, "max_first_token_p50_ms": 1, "max_p50_ms": 1,
                         "max_p99_ms": 1, "max_cost_usd": 1, "max_quality_loss": 0.5, "min_quality": 0.5},
              "relax": ["max_p50_ms"], "tags": ["eu"],
              "ramp": {"from": "q", "start": "2026-03-01T09:00:00Z", "duration_s": 60}},
        "q": {}
    },
    "rules": [{
        "name": "r",
        "when": {"task": ["code"], "domain": ["legal"], "min_confidence": 0.5, "min_difficulty": -1,
                 "max_difficulty": 1, "user": ["u"], "requested_model": ["m1"], "sensitive": ["card"],
                 "tenant": ["t"], "header": {"x-h": ["v"]}, "path": ["/v1/*"], "words": ["w"],
                 "language": ["de"], "share": 0.5, "share_by": ["user"]},
        "then": {"models": ["m1"], "tags": ["eu"], "prefer": {"models": ["m1"], "tags": ["eu"]},
                 "min_quality": 0.5, "profile": "q", "reject": "no"}
    }],
    "tenant": {"header": "x-tenant", "claim": "org", "shown": "all"},
    "steering": {"allow": ["min_quality"], "on_invalid": "reject"},
    "budgets": [{"name": "b", "usd": 1, "per": "day", "tenant": ["t"], "max_request_share": 0.5,
                 "profile": "q"}],
    "receipts": {"mode": "on", "max_age_s": 3600},
    "learning": {"mode": "observe", "half_life": 100, "prior_mass": 5, "max_per_tenant_hour": 7,
                 "max_per_hour": 70,
                 "outcomes": {"empty": 0.5, "truncated": 0.5, "invalid_json": 0.5,
                              "invalid_tool_arguments": 0.5, "judge": 0.5}},
    "judge": {"mode": "shadow", "cluster": "judge", "endpoint": "http://host.example", "authority": "judge.example",
              "path": "/grade", "api": "classify", "model": "judge", "ask": "How hard?", "deadline_ms": 100,
              "max_share": 0.5, "max_usd_per_hour": 2, "min_gain_usd": 0.5, "price": {"input": 1, "output": 2},
              "tags": ["eu"], "cache": {"entries": 10, "ttl_s": 60},
              "credentials": {"header": "x-key", "prefix": "Key ", "env": "JUDGE_KEY"},
              "grade_share": 0.5, "grade_ask": "How good?", "grade_model": "grader",
              "evidence": {"slope": 0.5, "intercept": 0.5, "variance": 0.5}}
}"#;

fn example() -> Value {
    let own = crate::analysis::classifier::identity();
    serde_json::from_str(&EXAMPLE.replace("CLASSIFIER", &own)).unwrap()
}

/// Texts of which at least one is another valid value of any field of text.
const TEXTS: &[&str] = &[
    "other",
    "m0",
    "m1",
    "us",
    "auto",
    "/other",
    "https://other.example",
    "2027-01-01T00:00:00Z",
];

/// Other values for a place where `value` stands, some of them perhaps not valid there.
fn others(kind: &Kind, value: &Value) -> Vec<Value> {
    match kind {
        Kind::Text => TEXTS.iter().map(|text| json!(text)).collect(),
        Kind::Choice(known) => known.iter().map(|name| json!(name)).collect(),
        Kind::Number { .. } | Kind::Integer { .. } => {
            let number = value.as_f64().unwrap_or_default();
            [number * 2.0, (number / 2.0).ceil(), number / 2.0, 0.0, 1.0]
                .map(|other| json!(other))
                .to_vec()
        }
        Kind::List { of, .. } => {
            let first = value.get(0).unwrap_or(&Value::Null);
            others(of, first)
                .into_iter()
                .map(|item| json!([item]))
                .collect()
        }
        Kind::Map { of, .. } => value
            .as_object()
            .into_iter()
            .flatten()
            .flat_map(|(name, inner)| {
                others(of, inner)
                    .into_iter()
                    .map(move |other| json!({name: other}))
            })
            .collect(),
        Kind::Object(_) | Kind::Document(_) => Vec::new(),
    }
}

/// The shape of the objects in a place, if objects stand there, and where the first of them is.
fn inner<'a>(kind: &'a Kind, value: &Value, at: &str) -> Option<(&'a Shape, String)> {
    match kind {
        Kind::Object(shape) => Some((shape, at.to_owned())),
        Kind::List { of, .. } => inner(of, value.get(0)?, &format!("{at}/0")),
        Kind::Map { of, .. } => {
            let (name, first) = value.as_object()?.iter().next()?;
            inner(of, first, &format!("{at}/{name}"))
        }
        _ => None,
    }
}

/// The policy that `document` compiles to, apart from the hash of its text; `None` if it has problems.
fn compile(document: &Value) -> Option<Policy> {
    let mut policy = Policy::compile(&document.to_string()).ok()?;
    policy.traffic.fingerprint = 0;
    Some(policy)
}

/// Adds every field of `shape`, whose object stands at the pointer `at`, that the example lacks or compilation does not read.
fn check(shape: &Shape, at: &str, unread: &mut Vec<String>) {
    let example = example();
    let compiled = compile(&example).unwrap();
    for field in shape.fields {
        let place = format!("{at}/{}", field.name);
        let Some(value) = example.pointer(&place) else {
            unread.push(format!("{place} does not stand in the example"));
            continue;
        };
        if let Some((shape, at)) = inner(&field.kind, value, &place) {
            check(shape, &at, unread);
            continue;
        }
        let mut changed: Vec<Value> = Vec::new();
        for other in others(&field.kind, value) {
            let mut document = example.clone();
            *document.pointer_mut(&place).unwrap() = other;
            changed.push(document);
        }
        let mut without = example.clone();
        without
            .pointer_mut(at)
            .unwrap()
            .as_object_mut()
            .unwrap()
            .remove(field.name);
        changed.push(without);
        let is_read = changed
            .iter()
            .filter_map(compile)
            .any(|policy| policy != compiled);
        if !is_read {
            unread.push(format!("{place} is declared but not read"));
        }
    }
}

#[test]
fn every_declared_field_is_read() {
    let problems = Policy::compile(&example().to_string()).err();
    assert!(problems.is_none(), "{}", problems.unwrap());
    let mut unread = Vec::new();
    check(&POLICY, "", &mut unread);
    assert!(unread.is_empty(), "{unread:#?}");
}

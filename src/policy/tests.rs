//! Meaning of policies, and the text of every problem.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod fields;
mod traffic;

use super::profiles::{Limit, Profile};
use super::*;
use crate::analysis::classifier::Task;
use crate::api::Capabilities;
use crate::fleet::{Accelerator, ModelId};

const MINIMAL: &str = include_str!("../../envoy/policies/minimal.json");
const DEMO: &str = include_str!("../../envoy/policies/demo.json");

/// The problems of `text`, each as `line:column path: message`.
fn problems(text: &str) -> Vec<String> {
    let invalid = Policy::compile(text).unwrap_err();
    let show = |problem: &Problem| format!("{}:{} {problem}", problem.line, problem.column);
    invalid.problems.iter().map(show).collect()
}

/// A policy with one good model and backend, and `change` made to its text.
fn problems_after(from: &str, to: &str) -> Vec<String> {
    let text = r#"{"models": [{"name": "m"}],
"backends": [{"name": "b", "model": "m", "price": {"input": 1, "output": 2}}],
"profiles": {"p": {"weights": {"cost": 1}, "limits": {"min_quality": 0.5}, "relax": []}}}"#;
    assert!(Policy::compile(text).is_ok());
    assert!(text.contains(from), "{from}");
    problems(&text.replacen(from, to, 1))
}

#[test]
fn five_lines_are_enough() {
    assert_eq!(MINIMAL.lines().count(), 5);
    let policy = Policy::compile(MINIMAL).unwrap();
    assert_eq!(policy.version.len(), 16);
    assert_eq!(policy.default_cluster, "small");
    assert_eq!(policy.default_profile, "auto");
    assert_eq!(policy.undecided().0, Undecided::Bypass);
    assert_eq!(policy.decision_headers, DecisionHeaders::Full);
    assert_eq!(policy.max_body_bytes, 1_048_576);
    let names: Vec<&str> = policy
        .profiles
        .iter()
        .map(|profile| profile.name.as_str())
        .collect();
    assert_eq!(names, ["auto", "auto:best", "auto:cheap", "auto:fast"]);
    let large = &policy.registry.backends[1];
    assert_eq!(large.cluster, "large");
    assert_eq!(large.served_model, "large");
    assert_eq!(large.model, ModelId(1));
    assert_eq!(large.accelerator, Accelerator::Gpu);
    assert_eq!(large.price.cached_input, 0.23);
    assert_eq!(large.latency.first_token_p99_ms, 1500.0);
    let model = &policy.registry.models[1];
    assert_eq!(model.context_window, 8192);
    assert_eq!(model.max_output_tokens, 8192);
    assert_eq!(model.reasoning_tokens_factor, 1.0);
    assert!(model.capabilities.contains(Capabilities::TOOLS));
}

#[test]
fn the_demo_compiles() {
    let policy = Policy::compile(DEMO).unwrap();
    assert_eq!(policy.version, "demo-1");
    assert_eq!(policy.registry.backends.len(), 6);
    for backend in &policy.registry.backends {
        assert_eq!(backend.name, backend.cluster);
    }
    assert_eq!(policy.registry.models[0].capabilities, Capabilities::NONE);
}

#[test]
fn a_version_names_its_text() {
    let other = MINIMAL.replace("0.40", "0.41");
    let version = |text: &str| Policy::compile(text).unwrap().version;
    assert_eq!(version(MINIMAL), version(MINIMAL));
    assert_ne!(version(MINIMAL), version(&other));
}

#[test]
fn numbers_may_be_written_as_protobuf_writes_them() {
    let text = MINIMAL.replace("{\"models\"", "{\"max_body_bytes\": 2.097152e6, \"models\"");
    assert_eq!(Policy::compile(&text).unwrap().max_body_bytes, 2_097_152);
}

#[test]
fn profiles_start_from_the_built_in_ones() {
    let text = MINIMAL.replacen(
        '{',
        r#"{"profiles": {
            "auto": {"limits": {"max_cost_usd": 0.01}},
            "mine": {"weights": {"cost": 1, "latency": 3}, "limits": {"max_p99_ms": 900, "min_quality": 0.4}, "relax": ["max_p99_ms"]},
            "auto:best": {"weights": {"quality": 7}}},"#,
        1,
    );
    let policy = Policy::compile(&text).unwrap();
    let [auto, ..] = Profile::built_ins();
    let changed = policy.find_profile("auto").unwrap();
    assert_eq!(changed.weights, auto.weights);
    let stated: Vec<_> = changed.limits.stated().collect();
    assert_eq!(stated, [(Limit::MaxCostUsd, 0.01)]);
    assert_eq!(changed.relax, Limit::ALL);
    let mine = policy.find_profile("mine").unwrap();
    assert_eq!(mine.weights.latency, 0.75);
    assert_eq!(mine.relax, [Limit::MaxP99Ms]);
    let best = policy.find_profile("auto:best").unwrap();
    assert_eq!(best.weights.quality, 1.0);
    assert_eq!(best.limits.get(Limit::MaxQualityLoss), Some(0.02));
}

#[test]
fn every_problem_is_reported_at_once_with_its_place() {
    let text = r#"{
  "versoin": "1",
  "default_profile": "autoo",
  "on_undecided": "ignore",
  "max_body_bytes": 10.5,
  "models": [
    {"name": "llama", "context_window": 0, "capabilities": ["tool", 3], "benchmarks": {"mmlu": 73, "mmul": 0.5}},
    {"name": "llama", "max_output_tokens": 9000},
    {"name": "auto:fast"}
  ],
  "backends": [
    {"name": "gpu", "modle": "llama", "accelerator": "GPUs", "price": {"input": -1}},
    {"name": "lpu", "model": "lama", "price": {"input": 1, "output": "2"}, "latency": {"first_token_ms": {"p50": 100, "p99": 50}}},
    7
  ],
  "profiles": {
    "x": {"weights": {"cost": 0}, "limits": {"min_quality": 1.5}, "relax": ["max_p99_ms", "min_quality", "min_quality"], "tags": ["eu"]}
  }
}"#;
    let expected = [
        "2:3 versoin: unknown field `versoin`; did you mean `version`?",
        "3:22 default_profile: unknown profile `autoo`; did you mean `auto`?",
        "4:19 on_undecided: unknown value `ignore`; known: bypass, reject",
        "5:21 max_body_bytes: expected a whole number, found `10.5`",
        "7:41 models[0].context_window: `0` is out of range: expected 1 to 100000000",
        "7:61 models[0].capabilities[0]: unknown value `tool`; did you mean `tools`?",
        "7:69 models[0].capabilities[1]: expected a string, found a number",
        "7:96 models[0].benchmarks.mmlu: `73` is out of range: expected 0 to 1; did you mean `0.73`?",
        "7:100 models[0].benchmarks.mmul: unknown name `mmul`; did you mean `mmlu`?",
        "8:14 models[1].name: `llama` is already the name of models[0]",
        "8:44 models[1].max_output_tokens: `9000` is more than the context window of `8192`",
        "9:14 models[2].name: `auto:fast` is also the name of a profile: clients could not choose between them",
        "12:5 backends[0]: missing field `model`",
        "12:21 backends[0].modle: unknown field `modle`; did you mean `model`?",
        "12:54 backends[0].accelerator: unknown value `GPUs`; did you mean `gpu`?",
        "12:71 backends[0].price: missing field `output`",
        "12:81 backends[0].price.input: `-1` is out of range: expected 0 or more",
        "13:30 backends[1].model: unknown model `lama`; did you mean `llama`?",
        "13:70 backends[1].price.output: expected a number, found a string",
        "13:126 backends[1].latency.first_token_ms.p99: `50` is less than the median of `100`",
        "14:5 backends[2]: expected an object, found a number",
        "17:22 profiles.x.weights: at least one weight must be more than 0",
        "17:61 profiles.x.limits.min_quality: `1.5` is out of range: expected 0 to 1; did you mean `0.015`?",
        "17:77 profiles.x.relax[0]: the profile has no limit `max_p99_ms`",
        "17:106 profiles.x.relax[2]: appears twice",
        "17:131 profiles.x.tags[0]: no backend has the tag `eu`",
    ];
    let found = problems(text);
    for (index, line) in expected.iter().enumerate() {
        assert_eq!(found.get(index).map(String::as_str), Some(*line));
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn each_problem_alone() {
    for (from, to, expected) in [
        (
            r#"[{"name": "m"}]"#,
            "[]",
            &[
                "1:12 models: is empty: at least one is needed",
                "2:37 backends[0].model: unknown model `m`",
            ][..],
        ),
        (
            r#""name": "b""#,
            r#""name": """#,
            &["2:23 backends[0].name: is empty"],
        ),
        (
            r#""price""#,
            r#""name": "c", "price""#,
            &["2:42 backends[0].name: appears twice"],
        ),
        (
            r#"{"weights": {"cost": 1}, "limits": {"min_quality": 0.5}, "relax": []}"#,
            "null",
            &["3:19 profiles.p: expected an object, found null"],
        ),
        (r#""p": {"#, r#""": {"#, &["3:14 profiles: a name is empty"]),
        (
            r#""cost": 1}"#,
            r#""cost": 1e308, "quality": 1e308}"#,
            &["3:31 profiles.p.weights: at least one weight must be more than 0"],
        ),
        (
            r#""model": "m""#,
            r#""model": "x\ny`""#,
            &["2:37 backends[0].model: unknown model `x\u{fffd}y\u{fffd}`; known: m"],
        ),
    ] {
        assert_eq!(problems_after(from, to), expected);
    }
}

#[test]
fn what_is_no_policy_at_all() {
    assert_eq!(problems(""), ["1:1 not JSON: EOF while parsing a value"]);
    assert_eq!(problems("[]"), ["1:1 expected an object, found a list"]);
    assert_eq!(
        problems("{}"),
        ["1:1 missing field `models`", "1:1 missing field `backends`"]
    );
    let invalid = Policy::compile("{}").unwrap_err();
    assert_eq!(
        invalid.to_string(),
        "missing field `models`; missing field `backends`"
    );
}

/// The demo's policy with these rules.
fn with_rules(rules: &str) -> String {
    DEMO.replacen('{', &format!("{{\"rules\": [{rules}],\n"), 1)
}

#[test]
fn rules_compile() {
    let text = with_rules(
        r#"{"name": "code", "when": {"task": ["code"], "min_confidence": 0.6, "min_difficulty": -1, "max_difficulty": 2, "user": ["u"], "requested_model": ["auto"], "sensitive": ["email", "card"]},
            "then": {"models": ["llama-3.3-70b"], "tags": ["on-prem"], "min_quality": 0.5, "profile": "auto:best"}},
           {"then": {"reject": "closed"}}"#,
    );
    let policy = Policy::compile(&text).unwrap();
    let [code, closed] = &policy.rules[..] else {
        unreachable!("two rules");
    };
    assert_eq!(code.when.tasks, [Task::Code]);
    assert_eq!(code.when.min_confidence, Some(0.6));
    assert_eq!(
        code.when.sensitive.names().collect::<Vec<_>>(),
        ["email", "card"]
    );
    assert_eq!(code.then.models, [ModelId(2)]);
    assert_eq!(code.then.profile.as_deref(), Some("auto:best"));
    assert_eq!(closed.name, "rules[1]");
    assert_eq!(closed.when, rules::When::default());
    assert_eq!(closed.then.reject.as_deref(), Some("closed"));
}

#[test]
fn wrong_rules_are_all_reported() {
    let text = with_rules(
        r#"{"name": "a", "when": {"task": ["coding"], "domain": [], "min_difficulty": 3, "max_difficulty": 1, "requested_model": ["autoo"]}, "then": {}},
{"name": "a", "when": {"sensitive": ["mail"]}, "then": {"models": ["llama-3.3-7b"], "tags": ["on-perm"], "profile": "auto:bst", "min_quality": 2}},
{"wen": {}}"#,
    );
    let expected = [
        "1:34 rules[0].when: never holds: `min_difficulty` 3 is more than `max_difficulty` 1",
        "1:44 rules[0].when.task[0]: unknown value `coding`; known: chat, knowledge_qa, math, reasoning, code, creative_writing, summarization, translation, rewriting, extraction, classification",
        "1:65 rules[0].when.domain: is empty: at least one is needed",
        "1:131 rules[0].when.requested_model[0]: unknown model or profile `autoo`; did you mean `auto`?",
        "1:150 rules[0].then: has no effect: state at least one consequence",
        "2:10 rules[1].name: `a` is already the name of rules[0]",
        "2:38 rules[1].when.sensitive[0]: unknown value `mail`; did you mean `email`?",
        "2:68 rules[1].then.models[0]: unknown model `llama-3.3-7b`; did you mean `llama-3.3-70b`?",
        "2:94 rules[1].then.tags[0]: unknown tag `on-perm`; did you mean `on-prem`?",
        "2:117 rules[1].then.profile: unknown profile `auto:bst`; did you mean `auto:best`?",
        "2:144 rules[1].then.min_quality: `2` is out of range: expected 0 to 1; did you mean `0.02`?",
        "3:1 rules[2]: missing field `then`",
        "3:2 rules[2].wen: unknown field `wen`; did you mean `when`?",
    ];
    assert_eq!(problems(&text), expected);
}

#[test]
fn rules_that_never_count_are_a_warning() {
    let text = with_rules(
        r#"{"name": "all code", "when": {"task": ["code", "math"]}, "then": {"models": ["gpt-4.1"]}},
{"name": "my code", "when": {"task": ["code"], "user": ["u"]}, "then": {"models": ["llama-3.3-70b"], "tags": ["on-prem"]}},
{"name": "no cards", "when": {"sensitive": ["card", "iban"]}, "then": {"reject": "no"}},
{"name": "cards at home", "when": {"sensitive": ["card"], "user": ["u"]}, "then": {"tags": ["on-prem"]}},
{"name": "chat", "when": {"task": ["chat"]}, "then": {"models": ["gpt-4.1"]}}"#,
    );
    let (_, warnings) = Policy::check(&text).unwrap();
    let found: Vec<String> = warnings.iter().map(Problem::to_string).collect();
    let expected = [
        "rules[1].then: contradicts `all code`: no backend meets both, so that requests that match both are refused; use `prefer` for what may give way",
        "rules[1].then.models: never counts: `all code` comes first and matches whenever this rule does",
        "rules[3]: never counts: `no cards` comes first and refuses every such request",
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_is_doubtful_is_a_warning() {
    let text = r#"{
  "default_cluster": "smal",
  "models": [
    {"name": "small", "benchmarks": {"mmlu": 0.5}},
    {"name": "large", "context_window": 9000, "benchmarks": {"mmlu": 0.8}},
    {"name": "ghost"}
  ],
  "backends": [
    {"name": "small", "model": "small", "price": {"input": 1, "output": 1}, "tags": ["eu"]},
    {"name": "slow", "model": "large", "price": {"input": 2, "output": 1}, "latency": {"tokens_per_second": 10}, "tags": ["us"]},
    {"name": "fast", "model": "large", "price": {"input": 1, "output": 1}, "tags": ["us"]},
    {"name": "same", "model": "large", "price": {"input": 1, "output": 1}}
  ],
  "profiles": {
    "x": {"weights": {"cost": 1}, "limits": {"max_p50_ms": 400, "max_cost_usd": 0, "min_quality": 1}, "relax": ["max_p50_ms"], "tags": ["eu", "us"]}
  }
}"#;
    let (_, warnings) = Policy::check(text).unwrap();
    let found: Vec<String> = warnings
        .iter()
        .map(|problem| format!("{}:{} {problem}", problem.line, problem.column))
        .collect();
    let expected = [
        "2:22 default_cluster: no backend has the cluster `smal`; did you mean `small`?",
        "6:5 models[2]: no backend serves `ghost`: it can never be chosen",
        "6:5 models[2]: `ghost` has no benchmark scores, and none are published for that name: it counts as an average model",
        "10:5 backends[1]: `slow` is never the first choice under any profile: `fast` is at least as good, as fast and as cheap",
        "12:5 backends[3]: `same` is never the first choice under any profile: `fast` is at least as good, as fast and as cheap",
        "15:60 profiles.x.limits.max_p50_ms: no backend can keep it: it gives way in every request",
        "15:81 profiles.x.limits.max_cost_usd: no backend can keep it: every request is refused",
        "15:99 profiles.x.limits.min_quality: no backend can keep it: every request is refused",
        "15:136 profiles.x.tags: no backend has all of these tags: every request is refused",
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_examples_are_beyond_doubt() {
    let (_, warnings) = Policy::check(DEMO).unwrap();
    assert_eq!(warnings, []);
}

#[test]
fn the_schema_says_what_the_checks_check() {
    let schema = schema_docs::schema();
    assert_eq!(
        schema["required"],
        serde_json::json!(["models", "backends"])
    );
    assert_eq!(schema["additionalProperties"], false);
    let price = &schema["properties"]["backends"]["items"]["properties"]["price"];
    assert_eq!(price["properties"]["input"]["minimum"], 0.0);
    assert_eq!(price["required"], serde_json::json!(["input", "output"]));
    let profiles = &schema["properties"]["profiles"]["additionalProperties"];
    let relax = &profiles["properties"]["relax"]["items"]["enum"];
    assert_eq!(relax[0], "max_first_token_p99_ms");
}

#[test]
#[cfg(not(target_family = "wasm"))]
fn the_reference_is_up_to_date() {
    crate::schema::testing::assert_written("docs/policy.md", &schema_docs::markdown());
}

#[test]
fn no_text_panics() {
    // Each cut and each byte replaced: a cheap stand-in for fuzzing.
    for cut in (0..DEMO.len()).step_by(7) {
        if let (Some(head), Some(tail)) = (DEMO.get(..cut), DEMO.get(cut + 1..)) {
            let _ = Policy::compile(head);
            for wrong in ["", "\"", "}", "1e400", "-"] {
                let _ = Policy::compile(&format!("{head}{wrong}{tail}"));
            }
        }
    }
}

#[test]
fn what_cannot_be_decided_on_is_refused_where_requests_are_restricted() {
    use crate::api::request::unparsed::NamedModel::{Other, Profile, Unknown};
    let policy = |members: &str| {
        let text = DEMO.replacen('{', &["{", members].concat(), 1);
        Policy::check(&text).unwrap()
    };
    let rule = |then: &str| format!(r#""rules": [{{"name": "r", "then": {then}}}],"#);
    let budget = r#""budgets": [{"name": "b", "usd": 1, "per": "day"}],"#;
    let demo_restricts = DEMO.contains("\"rules\"") || DEMO.contains("\"budgets\"");
    assert!(!demo_restricts);
    for (members, refused, because) in [
        (
            String::new(),
            [false, true, true],
            "no rule or budget restricts requests",
        ),
        (
            rule(r#"{"profile": "auto"}"#),
            [false, true, true],
            "no rule or budget restricts requests",
        ),
        (
            rule(r#"{"min_quality": 0.5}"#),
            [false, true, true],
            "no rule or budget restricts requests",
        ),
        (
            rule(r#"{"reject": "no"}"#),
            [true; 3],
            "the rule `r` restricts requests",
        ),
        (
            rule(r#"{"models": ["gpt-4.1"]}"#),
            [true; 3],
            "the rule `r` restricts requests",
        ),
        (
            budget.to_owned(),
            [true; 3],
            "the budget `b` limits requests",
        ),
        (
            r#""on_undecided": "reject","#.to_owned(),
            [true; 3],
            "the policy states it",
        ),
        (
            r#""on_undecided": "bypass","#.to_owned(),
            [false, false, true],
            "the policy states it",
        ),
        (
            format!(r#"{budget}"mode": "shadow","#),
            [false; 3],
            "`mode` is `shadow`",
        ),
    ] {
        let (policy, _) = policy(&members);
        let found = [Other, Unknown, Profile].map(|named| policy.refuses_undecided(named));
        assert_eq!(found, refused, "{members}");
        assert_eq!(policy.undecided_because(), because, "{members}");
    }
    let (_, warnings) = policy(&format!(r#"{budget}"on_undecided": "bypass","#));
    let listed: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    let wanted = "on_undecided: the budget `b` limits requests, and what cannot be decided on goes past that";
    assert!(listed.iter().any(|warning| warning == wanted), "{listed:?}");
}

#[test]
fn former_names_are_answered_with_the_present_ones() {
    let backend = |member: &str| {
        let price = r#""price": {"input": 1, "output": 1}"#;
        format!(
            r#"{{"models": [{{"name": "m"}}], "backends": [{{"name": "b", "model": "m", {price}, {member}}}]}}"#
        )
    };
    let policy = |member: &str| MINIMAL.replacen('{', &format!("{{{member}, "), 1);
    let ramp = r#""start": "2026-03-01T09:00:00Z""#;
    for (text, at, expected) in [
        (
            policy(r#""on_invalid_request": "reject""#),
            "on_invalid_request",
            "`on_invalid_request` is called `on_undecided` now",
        ),
        (
            policy(r#""undecided": "reject""#),
            "undecided",
            "`undecided` is called `on_undecided` now",
        ),
        (
            policy(r#""latencies": "stated""#),
            "latencies",
            "`latencies` is called `latency_source` now",
        ),
        (
            policy(r#""latency_source": "stated""#),
            "latency_source",
            "`stated` is called `declared` now",
        ),
        (
            policy(r#""stream_usage": "as_asked""#),
            "stream_usage",
            "`as_asked` is called `on_request` now",
        ),
        (
            policy(r#""mode": "act""#),
            "mode",
            "`act` is called `enforce` now",
        ),
        (
            policy(r#""explore": 0.1"#),
            "explore",
            "`explore` is called `exploration_rate` now",
        ),
        (
            policy(r#""on_unseen_model": "decide""#),
            "on_unseen_model",
            "`on_unseen_model` is called `on_missing_model` now",
        ),
        (
            policy(r#""profiles": {"p": {"limits": {"within_of_best": 0.1}}}"#),
            "profiles.p.limits.within_of_best",
            "`within_of_best` is called `max_quality_loss` now",
        ),
        (
            policy(r#""profiles": {"p": {"relax": ["within_of_best"]}}"#),
            "profiles.p.relax[0]",
            "`within_of_best` is called `max_quality_loss` now",
        ),
        (
            policy(r#""rules": [{"when": {"asked": ["auto"]}, "then": {"reject": "no"}}]"#),
            "rules[0].when.asked",
            "`asked` is called `requested_model` now",
        ),
        (
            backend(r#""serves": "x""#),
            "backends[0].serves",
            "`serves` is called `served_model` now",
        ),
        (
            backend(r#""cold_after": 60"#),
            "backends[0].cold_after",
            "`cold_after` is called `scale_to_zero_after_s` now",
        ),
        (
            backend(r#""timeouts": {"answer_ms": 60}"#),
            "backends[0].timeouts.answer_ms",
            "`answer_ms` is called `response_ms` now",
        ),
        (
            backend(r#""timeouts": {"pause_ms": 60}"#),
            "backends[0].timeouts.pause_ms",
            "`pause_ms` is called `idle_ms` now",
        ),
        (
            backend(&format!(
                r#""ramp": {{{ramp}, "over_s": 60, "duration_s": 60}}"#
            )),
            "backends[0].ramp.over_s",
            "`over_s` is called `duration_s` now",
        ),
    ] {
        let invalid = Policy::compile(&text).unwrap_err();
        let found: Vec<String> = invalid.problems.iter().map(Problem::to_string).collect();
        assert_eq!(found, [format!("{at}: {expected}")]);
    }
}

//! Observability: response headers that tell the truth, metrics with labels, access-log fields, both workers at work.

use std::collections::{BTreeMap, BTreeSet};

use pointsman::telemetry::{STATS_TAGS, header};
use pointsman_harness::config::Config;
use pointsman_harness::envoy::Envoy;
use pointsman_harness::http1::Request;
use pointsman_harness::metrics;
use serde_json::{Value, json};

use crate::Test;
use crate::receipts;
use crate::world::{CHAT, Case, ask};

pub const TESTS: &[Test] = &[
    (
        "observed::decisions_are_carried_out",
        decisions_are_carried_out,
    ),
    (
        "observed::both_workers_decide_alike",
        both_workers_decide_alike,
    ),
    (
        "observed::every_documented_header_is_shown",
        every_documented_header_is_shown,
    ),
    ("observed::metrics_have_labels", metrics_have_labels),
    (
        "observed::access_log_knows_the_decision",
        access_log_knows_the_decision,
    ),
    (
        "observed::without_values_all_else_is_the_same",
        without_values_all_else_is_the_same,
    ),
    ("observed::dry_run_agrees", dry_run_agrees),
    ("observed::streams_pass", streams_pass),
];

const PROMPTS: [&str; 6] = [
    "hi",
    "What is the capital of Australia?",
    "Write a haiku about autumn.",
    "Prove that there are infinitely many primes p with p mod 4 = 3, and generalise the argument as far as it goes.",
    "def f(xs): return sorted(xs)[len(xs)//2]\n\nExplain what this returns for an empty list and fix it.",
    "Summarise the following text in one sentence: The quick brown fox jumps over the lazy dog.",
];

/// Whatever is decided: what the headers say is where it went, under the name that is served there.
fn decisions_are_carried_out(case: &Case) {
    for profile in ["auto", "auto:cheap", "auto:fast", "auto:best"] {
        for prompt in PROMPTS {
            let body = ask(profile, prompt);
            let done = case.chat(&body);
            assert_eq!(done.status(), 200, "{}", done.response.text());
            let (arrived_at, received) = done.only();
            let backend = case.backends().get(arrived_at).unwrap().clone();
            done.assert_rewritten(arrived_at, &body, profile, &backend.model);
            assert_eq!(done.reported("backend"), Some(arrived_at));
            assert_eq!(done.reported("profile"), Some(profile));
            assert_eq!(done.reported("schema-version"), Some("1"));
            assert_eq!(done.reported("attempts"), Some("1"));
            assert_eq!(
                received.json()["model"].as_str(),
                Some(backend.model.as_str())
            );
            for number in ["difficulty", "quality", "estimated-cost-usd", "decision-us"] {
                let value = done
                    .reported(number)
                    .unwrap_or_else(|| panic!("no {number}"));
                assert!(
                    value.parse::<f64>().is_ok_and(f64::is_finite),
                    "{number}: {value}"
                );
            }
            let quality: f64 = done.reported("quality").unwrap().parse().unwrap();
            assert!((0.0..=1.0).contains(&quality), "{quality}");
        }
    }
}

fn both_workers_decide_alike(case: &Case) {
    let body = ask("auto", PROMPTS[3]);
    let decide = || {
        let done = case.chat(&body);
        let reported = |name| done.reported(name).map(str::to_owned);
        (
            reported("backend"),
            reported("difficulty"),
            reported("quality"),
        )
    };
    let first = decide();
    for _ in 0..30 {
        assert_eq!(decide(), first);
    }
    assert!(both_workers_served(case), "a worker served nobody");
}

fn both_workers_served(case: &Case) -> bool {
    let port = case.address().port();
    (0..2).all(|worker| {
        let name = format!("listener.127.0.0.1_0.worker_{worker}.downstream_cx_total");
        let bound = format!("listener.127.0.0.1_{port}.worker_{worker}.downstream_cx_total");
        case.envoy().stat(&name) + case.envoy().stat(&bound) > 0
    })
}

/// The table of the operators' page, which is made of [`header::RESPONSE`]: no header less, and none that is not in it.
fn every_documented_header_is_shown(case: &Case) {
    let config = case
        .config()
        .set_policy(
            "rules",
            json!([{"name": "proofs", "when": {"words": ["prove"]}, "then": {"min_quality": 0.1}}]),
        )
        .set_policy("steering", json!({"allow": ["min_quality"]}));
    let config = receipts::with_receipts(config, &[receipts::NEW]);
    let mut replaced = case.replaceable(&config);
    let body = ask("auto", "Prove that 7 is prime.");
    let mut shown = BTreeSet::new();
    for mode in ["enforce", "shadow"] {
        replaced.push(&config.clone().set_policy("mode", json!(mode)));
        let request = Request::post(CHAT, &body).header("x-pointsman-min-quality", b"0.2");
        let response = request.send(replaced.envoy.address()).unwrap();
        // In shadow mode the default backend gets what it does not serve.
        let wanted = if mode == "enforce" { 200 } else { 404 };
        assert_eq!(response.status, wanted, "{}", response.text());
        let names = response.headers.into_iter().map(|(name, _)| name);
        shown.extend(names.filter(|name| name.starts_with(header::PREFIX)));
    }
    // The tests of the judge see its own.
    let of_judge = [header::STAGE, header::JUDGE];
    let documented = header::RESPONSE.iter().map(|(name, _)| *name);
    let others = documented.filter(|name| !of_judge.contains(name));
    assert_eq!(shown, others.map(str::to_owned).collect());
}

fn metrics_have_labels(case: &Case) {
    let config = Config::shipped(&case.module()).unwrap();
    let shipped: Vec<(String, String)> = config
        .get("/stats_config/stats_tags")
        .and_then(Value::as_array)
        .unwrap()
        .iter()
        .map(|tag| {
            let text = |name: &str| tag[name].as_str().unwrap().to_owned();
            (text("tag_name"), text("regex"))
        })
        .collect();
    let documented: Vec<(String, String)> = STATS_TAGS
        .iter()
        .map(|(name, regex)| ((*name).to_owned(), (*regex).to_owned()))
        .collect();
    assert_eq!(
        shipped, documented,
        "envoy.yaml and telemetry.rs say different things"
    );

    let labels = [
        ("model", "llama-3.1-8b"),
        ("backend", "lpu"),
        ("accelerator", "lpu"),
        ("profile", "auto"),
        ("reason", "pinned"),
    ];
    let count = |name: &str, labels: &[(&str, &str)]| {
        metrics::sum(
            &case.envoy().metrics(),
            &format!("pointsman_{name}"),
            labels,
        )
    };
    let before = (
        count("decisions", &labels),
        count("request_bypasses", &[("cause", "invalid_request")]),
        count("rejections", &[("code", "model_not_found")]),
    );
    for _ in 0..3 {
        case.chat(&ask("llama-3.1-8b", "hi"));
        case.chat(b"{");
        case.chat(&ask("nobody", "hi"));
    }
    // Others use this Envoy as well: at least ours.
    assert!(
        count("decisions", &labels) >= before.0 + 3.0,
        "{}",
        names(case)
    );
    assert!(count("request_bypasses", &[("cause", "invalid_request")]) >= before.1 + 3.0);
    assert!(count("rejections", &[("code", "model_not_found")]) >= before.2 + 3.0);
    assert!(count("policy_active", &[("version", "1")]) >= 1.0);
    assert_eq!(count("policy_errors", &[]), 0.0);
    assert_eq!(count("host_call_errors", &[]), 0.0);
}

fn names(case: &Case) -> String {
    let metrics = case.envoy().metrics();
    let ours = metrics
        .iter()
        .filter(|sample| sample.name.contains("pointsman"));
    ours.map(|sample| format!("{} {:?}\n", sample.name, sample.labels))
        .collect()
}

fn access_log_knows_the_decision(case: &Case) {
    let id = case.id();
    let body = ask("llama-3.1-8b", "a secret in the prompt");
    let path = format!("{CHAT}?test={id}");
    let response = Request::post(&path, &body)
        .header("x-request-id", id.as_bytes())
        .send(case.address())
        .unwrap();
    assert_eq!(response.status, 200);
    let mut found = None;
    let there = case.envoy().wait_for(|envoy| {
        envoy.access_log().iter().any(|line| {
            line["backend"] == "lpu" && line["reason"] == "pinned" && line["status"] == 200
        })
    });
    if there {
        let log = case.envoy().access_log();
        found = log.into_iter().find(|line| line["backend"] == "lpu");
    }
    let line = found.unwrap_or_else(|| panic!("no such line: {:?}", case.envoy().access_log()));
    assert_eq!(line["model"], "llama-3.1-8b");
    assert_eq!(line["cluster"], "lpu");
    assert!(
        line["estimated_cost_usd"]
            .as_str()
            .unwrap()
            .parse::<f64>()
            .unwrap()
            > 0.0
    );
    let log = case.envoy().log();
    assert!(
        !log.contains("a secret in the prompt"),
        "a prompt is in Envoy's log"
    );
}

/// Responses, metrics and access-log lines of an Envoy with this configuration, for each kind of request.
struct Observed {
    answers: Vec<(u16, Vec<(String, String)>)>,
    counts: BTreeMap<String, f64>,
    values: Vec<Value>,
}

fn observe(case: &Case, config: &Config) -> Observed {
    let envoy = case.start(config);
    let bodies = [
        ask("auto", PROMPTS[1]),
        ask("llama-3.1-8b", "hi"),
        b"{".to_vec(),
        ask("nobody", "hi"),
    ];
    let mut answers = Vec::new();
    for body in &bodies {
        let response = case
            .send_to(envoy.address(), Request::post(CHAT, body))
            .response;
        let ours = response
            .headers
            .into_iter()
            .filter(|(name, _)| name.starts_with(header::PREFIX) && name != header::DECISION_US);
        answers.push((response.status, ours.collect()));
    }
    let is_written = |envoy: &Envoy| envoy.access_log().len() == bodies.len();
    assert!(envoy.wait_for(is_written), "{:?}", envoy.access_log());
    let is_count = |name: &str| {
        const COUNTS: [&str; 9] = [
            "decisions",
            "request_bypasses",
            "rejections",
            "requests_by_task",
            "input_tokens",
            "output_tokens",
            "cost_nano_usd",
            "estimated_cost_nano_usd",
            "host_call_errors",
        ];
        COUNTS
            .iter()
            .any(|known| name.strip_prefix("pointsman_") == Some(known))
    };
    let samples = envoy.metrics();
    let counted = samples.iter().filter(|sample| is_count(&sample.name));
    let named = counted.map(|sample| {
        let name = format!("{} {:?}", sample.name, sample.labels);
        (name, sample.value)
    });
    let log = envoy.access_log();
    Observed {
        answers,
        counts: named.collect(),
        values: log.iter().map(|line| line["probe"].clone()).collect(),
    }
}

/// An access log that reads the filter's values has nothing to print, and nothing else is different.
fn without_values_all_else_is_the_same(case: &Case) {
    let probe =
        "%FILTER_STATE(wasm.pointsman.reason:PLAIN)% %FILTER_STATE(wasm.pointsman.model:PLAIN)%";
    let format = "access_log/0/typed_config/log_format/json_format/probe";
    let config = case.config().set_manager(format, json!(probe));
    let mut plugin = config.plugin_configuration();
    plugin["filter_state"] = json!("none");
    let none = observe(case, &config.clone().with_plugin_configuration(&plugin));
    let all = observe(case, &config);
    assert_eq!(all.answers, none.answers);
    assert_eq!(all.counts, none.counts);
    assert!(all.counts.len() > 8, "{:?}", all.counts);
    assert!(
        all.values.contains(&json!("pinned llama-3.1-8b")),
        "{:?}",
        all.values
    );
    assert_eq!(none.values, ["- -"; 4]);
}

/// `/v1/route` says what is then done.
fn dry_run_agrees(case: &Case) {
    for prompt in PROMPTS {
        let body = ask("auto", prompt);
        let dry = case.send(Request::post("/v1/route", &body));
        assert_eq!(dry.status(), 200, "{}", dry.response.text());
        assert!(dry.received.is_empty(), "a dry run sends nothing");
        let done = case.chat(&body);
        let message = dry.response.json();
        let text = message.to_string();
        let backend = done.reported("backend").unwrap();
        assert!(
            text.contains(&format!("\"backend\":\"{backend}\"")),
            "{text}"
        );
        assert_eq!(
            message["candidates"].as_array().map(Vec::len),
            Some(4),
            "{text}"
        );
    }
}

fn streams_pass(case: &Case) {
    let body = br#"{"model":"llama-3.1-8b","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hi"}],"max_tokens":40}"#;
    let done = case.chat(body);
    done.assert_rewritten("lpu", body, "llama-3.1-8b", "llama-3.1-8b-instant");
    assert_eq!(
        done.response.header("content-type"),
        Some("text/event-stream")
    );
    let text = done.response.text();
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    assert!(text.contains("\"usage\":{"), "{text}");
    assert_eq!(done.reported("backend"), Some("lpu"));
}

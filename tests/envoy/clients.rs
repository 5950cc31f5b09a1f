//! The official `openai` and `anthropic` Python clients, as applications use them.
//!
//! The scripts next to this file check what a client sees; here is checked where it went, and that what was counted is what
//! the clients were told, to the token.

use std::collections::BTreeSet;
use std::process::Command;

use pointsman_harness::backends::Backends;
use pointsman_harness::config::Config;
use pointsman_harness::{files, metrics};
use serde_json::{Value, json};

use crate::Test;
use crate::world::Case;

pub const TESTS: &[Test] = &[
    ("clients::openai_python", openai_python),
    ("clients::openai_apis", openai_apis),
    ("clients::anthropic_python", anthropic_python),
];

/// Runs a script and gives what it printed.
fn run(script: &str, arguments: &[&str]) -> String {
    let python = files::python().unwrap_or_else(|error| panic!("{error}"));
    let output = Command::new(python)
        .arg(files::root().join("tests/envoy").join(script))
        .args(arguments)
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy")
        .env("NO_PROXY", "127.0.0.1")
        .output()
        .expect("the interpreter starts");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    printed
}

fn openai_python(case: &Case) {
    run(
        "openai_client.py",
        &[&format!("http://{}/v1", case.address())],
    );
}

fn openai_apis(case: &Case) {
    every_call(case, "openai_apis.py", "/v1");
}

fn anthropic_python(case: &Case) {
    every_call(case, "anthropic_client.py", "");
}

/// Runs a script in front of backends that speak different APIs.
fn every_call(case: &Case, script: &str, base: &str) {
    let file = files::root().join("tests/data/clients.json");
    let policy: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let backends = Backends::start(&file).unwrap();
    let test = case.id();
    for (fault, name) in [
        (
            json!({"kind": "status", "status": 429, "retry_after": 7}),
            "429",
        ),
        (json!({"kind": "reset_before_headers"}), "reset"),
    ] {
        for backend in backends.all() {
            let mut fault = fault.clone();
            fault["test"] = json!(format!("{test}-{name}"));
            backend.fault(&fault).unwrap();
        }
    }
    let limit = json!(65_536);
    let config = Config::shipped(&case.module())
        .unwrap()
        .with_clusters(backends.clusters())
        .with_policy(policy.clone())
        .set_listener("per_connection_buffer_limit_bytes", limit.clone())
        .set_manager(
            "route_config/virtual_hosts/0/request_body_buffer_limit",
            limit,
        )
        // The default route leads where count_tokens is understood.
        .set_manager(
            "route_config/virtual_hosts/0/routes/0/route/cluster",
            policy["default_cluster"].clone(),
        )
        .set_manager(
            "route_config/virtual_hosts/0/routes/2/route/cluster",
            policy["default_cluster"].clone(),
        );
    let envoy = case.start(&config);
    let url = format!("http://{}{base}", envoy.address());
    let reported: Value = serde_json::from_str(&run(script, &[&url, &test])).unwrap();

    let wanted = ["input", "output"].map(|kind| reported[kind].as_u64().unwrap());
    let counted = || {
        let samples = envoy.metrics();
        ["pointsman_input_tokens", "pointsman_output_tokens"]
            .map(|name| metrics::sum(&samples, name, &[]) as u64)
    };
    assert!(
        envoy.wait_for(|_| counted() == wanted),
        "the clients were reported of {wanted:?} tokens, and {:?} were counted",
        counted()
    );
    let counts = metrics::sum(&envoy.metrics(), "pointsman_count_tokens_requests", &[]);
    let requests = reported["token_counts"].as_f64().unwrap_or(0.0);
    assert!((counts - requests).abs() < f64::EPSILON, "{counts}");
    let unknown = metrics::sum(&envoy.metrics(), "pointsman_usage_missing", &[]);
    assert!(
        unknown.abs() < f64::EPSILON,
        "{unknown} answers were not read"
    );
    only_what_they_speak(&backends, &policy, &test);
}

/// Every backend was sent only what it speaks, and every API was spoken to somebody.
fn only_what_they_speak(backends: &Backends, policy: &Value, test: &str) {
    let mut spoken = BTreeSet::new();
    for (index, backend) in backends.all().iter().enumerate() {
        let chat = json!(["openai_chat"]);
        let stated = policy["backends"][index].get("apis").unwrap_or(&chat);
        let apis: Vec<&str> = stated
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let mut arrived = Vec::new();
        for id in [
            test.to_owned(),
            format!("{test}-429"),
            format!("{test}-poor"),
            format!("{test}-count"),
        ] {
            arrived.extend(backend.received(&id).unwrap());
        }
        for received in arrived {
            let path = received.record["path"].as_str().unwrap();
            let api = match path {
                "/v1/chat/completions" => "openai_chat",
                "/v1/responses" => "openai_responses",
                "/v1/completions" => "openai_completions",
                "/v1/embeddings" => "openai_embeddings",
                _ if path.starts_with("/v1/messages") => "anthropic_messages",
                other => panic!("`{}` was sent {other}", backend.name),
            };
            assert!(apis.contains(&api), "`{}` was sent {path}", backend.name);
            assert_eq!(received.json()["model"], backend.model, "{path}");
            spoken.insert(api);
        }
    }
    let wanted: &[&str] = if spoken.contains("anthropic_messages") {
        &["anthropic_messages"]
    } else {
        &[
            "openai_chat",
            "openai_completions",
            "openai_embeddings",
            "openai_responses",
        ]
    };
    assert_eq!(spoken.into_iter().collect::<Vec<_>>(), wanted);
}

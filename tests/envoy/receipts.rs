//! Receipts and feedback over two proxies: one takes the other's, all its workers remember it, and no fault of a key or of a receipt
//! touches another request.

use pointsman::state::receipt::TEXT_CHARS;
use pointsman_harness::config::Config;
use pointsman_harness::envoy::Envoy;
use pointsman_harness::http1::{Pieces, Request};
use pointsman_harness::metrics;
use serde_json::{Value, json};

use crate::Test;
use crate::world::{CHAT, Case, ask};

pub const TESTS: &[Test] = &[
    (
        "receipts::one_proxy_takes_the_others",
        one_proxy_takes_the_others,
    ),
    (
        "receipts::keys_rotate_and_may_be_missing",
        keys_rotate_and_may_be_missing,
    ),
    ("receipts::answers_are_checked", answers_are_checked),
    (
        "receipts::all_workers_learn_from_feedback",
        all_workers_learn_from_feedback,
    ),
    (
        "receipts::access_logs_are_replayed",
        access_logs_are_replayed,
    ),
];

const FEEDBACK: &str = "/v1/feedback";

/// The shipped configuration with receipts, and with these keys in these variables.
fn config(case: &Case, keys: &[(&str, &str)]) -> Config {
    with_receipts(case.config(), keys)
}

/// `config` with receipts, and with these keys in these variables.
pub fn with_receipts(config: Config, keys: &[(&str, &str)]) -> Config {
    let config = config.set_policy("receipts", json!({"mode": "on"}));
    let mut plugin = config.plugin_configuration();
    plugin["receipt_keys"] = keys.iter().map(|(name, _)| json!(name)).collect();
    let set = keys.iter().filter(|(_, key)| !key.is_empty());
    let variables: Value = set
        .map(|(name, key)| ((*name).to_owned(), json!(key)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    // Envoy tells virtual machines apart by their configuration, not by their variables.
    let machine = json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": variables.to_string()});
    config
        .with_plugin_configuration(&plugin)
        .set_plugin("vm_config/configuration", machine)
        .set_plugin(
            "vm_config/environment_variables",
            json!({"key_values": variables}),
        )
}

pub const NEW: (&str, &str) = ("RECEIPT_KEY", "the key that signs now, 32 bytes");
const OLD: (&str, &str) = ("RECEIPT_KEY_BEFORE", "the key of last month");

/// An answer's receipt.
fn receipt(case: &Case, envoy: &Envoy) -> String {
    let body = ask("llama-3.1-8b", "What is the capital of France?");
    let done = case.send_to(envoy.address(), Request::post(CHAT, &body));
    assert_eq!(done.status(), 200, "{}", done.response.text());
    done.reported("receipt").unwrap().to_owned()
}

/// Sends feedback; the status and the answer.
fn send(case: &Case, envoy: &Envoy, body: &Value, pieces: Pieces) -> (u16, Value) {
    let body = body.to_string().into_bytes();
    let request = Request::post(FEEDBACK, &body).pieces(pieces);
    let done = case.send_to(envoy.address(), request);
    assert!(done.received.is_empty(), "feedback reached a backend");
    (done.status(), done.response.json())
}

fn one_proxy_takes_the_others(case: &Case) {
    let config = config(case, &[NEW]);
    let (first, second) = (case.start(&config), case.start(&config));
    let receipt = receipt(case, &first);
    assert_eq!(receipt.len(), TEXT_CHARS);
    let scored = json!({"receipt": receipt, "score": 0.9});
    let (status, answer) = send(case, &second, &scored, Pieces::Chunked(40));
    assert_eq!((status, &answer["accepted"]), (202, &json!(1)), "{answer}");
    // Connections are spread over both workers: each knows what the other took.
    for _ in 0..8 {
        let (status, answer) = send(case, &second, &scored, Pieces::One);
        assert_eq!(status, 409, "{answer}");
        assert_eq!(answer["error"]["code"], "receipt_used");
    }
    let mut forged = receipt.clone().into_bytes();
    forged[60] = if forged[60] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    for (body, expected) in [
        (json!({"receipt": forged, "score": 1}), 403),
        (
            json!({"receipt": receipt.get(..99).unwrap(), "score": 1}),
            400,
        ),
        (json!({"receipt": receipt}), 400),
        (json!([{"receipt": "x".repeat(66_000), "score": 1}]), 413),
    ] {
        for pieces in [Pieces::One, Pieces::Chunked(1_000)] {
            let (status, answer) = send(case, &second, &body, pieces);
            assert_eq!(status, expected, "{answer}");
        }
    }
    let samples = second.metrics();
    let counted = |name: &str, labels: &[(&str, &str)]| metrics::sum(&samples, name, labels);
    let labels = [
        ("model", "llama-3.1-8b"),
        ("verdict", "good"),
        ("source", "feedback"),
    ];
    assert_eq!(counted("pointsman_outcomes", &labels), 1.0);
    let replayed = [("cause", "receipt_used")];
    assert_eq!(counted("pointsman_feedback_rejected", &replayed), 8.0);
    let has_line = |envoy: &Envoy, key: &str, text: &str| {
        let is_written = |envoy: &Envoy| envoy.access_log().iter().any(|line| line[key] == text);
        assert!(envoy.wait_for(is_written), "{key} {:?}", envoy.access_log());
    };
    has_line(&first, "receipt", &receipt);
    has_line(&second, "feedback", &format!("{receipt}=0.9"));
}

fn keys_rotate_and_may_be_missing(case: &Case) {
    let before = case.start(&config(case, &[OLD]));
    let receipt = receipt(case, &before);
    let scored = json!({"receipt": receipt, "verdict": "good"});
    for (keys, expected) in [
        (&[NEW, OLD][..], 202),
        (&[NEW], 403),
        (&[(NEW.0, "")], 503),
        (&[(NEW.0, "short")], 503),
    ] {
        let envoy = case.start(&config(case, keys));
        let (status, answer) = send(case, &envoy, &scored, Pieces::One);
        assert_eq!(status, expected, "{keys:?} {answer}");
        let body = ask("llama-3.1-8b", "hi");
        let done = case.send_to(envoy.address(), Request::post(CHAT, &body));
        assert_eq!(done.status(), 200);
        assert_eq!(done.reported("receipt").is_some(), expected != 503);
        let log = envoy.log();
        assert!(
            !log.contains(NEW.1) && !log.contains(OLD.1),
            "a key is in the log"
        );
        assert_eq!(
            log.contains("a key of receipts is missing or too short"),
            expected == 503
        );
    }
    // Without receipts there is no feedback, and chat is what it was.
    let (status, answer) = send(case, case.envoy(), &scored, Pieces::One);
    assert_eq!(
        (status, &answer["error"]["code"]),
        (404, &json!("receipts_off"))
    );
}

/// The simulated backends answer with what the schema describes, and so never with a member that is required and not described.
fn answers_are_checked(case: &Case) {
    let config = config(case, &[NEW]).set_policy("learning", json!({"mode": "observe"}));
    let envoy = case.start(&config);
    for stream in [false, true] {
        let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["nowhere"]});
        let format = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}});
        for format in [json!({"type": "json_object"}), format] {
            let body = json!({
                "model": "llama-3.1-8b", "stream": stream, "response_format": format,
                "messages": [{"role": "user", "content": "hi"}],
            });
            let body = body.to_string().into_bytes();
            let done = case.send_to(envoy.address(), Request::post(CHAT, &body));
            assert_eq!(done.status(), 200, "{}", done.response.text());
        }
    }
    let counted = |envoy: &Envoy, verdict: &str, source: &str| {
        let labels = [
            ("model", "llama-3.1-8b"),
            ("verdict", verdict),
            ("source", source),
        ];
        metrics::sum(&envoy.metrics(), "pointsman_outcomes", &labels)
    };
    let both = |envoy: &Envoy| {
        counted(envoy, "passed", "passed") == 2.0 && counted(envoy, "bad", "invalid_json") == 2.0
    };
    let samples = |envoy: &Envoy| -> Vec<_> {
        let all = envoy.metrics().into_iter();
        all.filter(|sample| sample.name == "pointsman_outcomes")
            .collect()
    };
    assert!(envoy.wait_for(both), "{:?}", samples(&envoy));
}

/// Thirty answers of a model are useless: within two ticks every worker expects less of it, and says so before it decides by it.
fn all_workers_learn_from_feedback(case: &Case) {
    const COUNT: usize = 30;
    let config = config(case, &[NEW])
        .set_policy("learning", json!({"mode": "observe"}))
        .set_policy("route_endpoint", json!("on"));
    let envoy = case.start(&config);
    for _ in 0..COUNT {
        let scored = json!({"receipt": receipt(case, &envoy), "score": 0});
        let (status, answer) = send(case, &envoy, &scored, Pieces::One);
        assert_eq!(status, 202, "{answer}");
    }
    let of_model = [("model", "llama-3.1-8b")];
    let gauge = |envoy: &Envoy, name: &str| metrics::sum(&envoy.metrics(), name, &of_model);
    // Answers that pass the checks count a quarter besides.
    let is_learned = |envoy: &Envoy| gauge(envoy, "pointsman_learned_outcomes") >= COUNT as f64;
    assert!(envoy.wait_for(is_learned), "nothing was learned");
    let stated = gauge(&envoy, "pointsman_stated_quality_percent");
    let learned = gauge(&envoy, "pointsman_learned_quality_percent");
    assert!(learned + 20.0 < stated, "{learned} of {stated}");
    // Connections are spread over both workers.
    let every_worker_knows = |envoy: &Envoy| {
        (0..8).all(|_| {
            let body = ask("auto", "What is the capital of France?");
            let done = case.send_to(envoy.address(), Request::post("/v1/route", &body));
            let document: Value = done.response.json();
            let candidates = document["candidates"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let own = |candidate: &&Value| candidate["model"] == "llama-3.1-8b";
            candidates.iter().filter(own).any(|candidate| {
                let estimate = &candidate["estimate"];
                let learned = estimate["learned"]["quality"].as_f64();
                let decides = estimate["quality"].as_f64();
                learned.is_some_and(|learned| decides.is_some_and(|p| learned + 0.2 < p))
            })
        })
    };
    assert!(
        envoy.wait_for(every_worker_knows),
        "a worker has not learned"
    );
}

/// The access log of a proxy, as it stands, replayed under its own policy and under one with a single model.
fn access_logs_are_replayed(case: &Case) {
    let config = config(case, &[NEW]);
    let envoy = case.start(&config);
    let prompts = [
        "What is the capital of France?",
        "Prove that the square root of 2 is irrational.",
        "Write a haiku about rain.",
    ];
    for prompt in prompts {
        for model in ["auto", "auto:cheap", "auto:best", "llama-3.1-8b"] {
            let done = case.send_to(envoy.address(), Request::post(CHAT, &ask(model, prompt)));
            assert_eq!(done.status(), 200, "{}", done.response.text());
        }
    }
    let scored = json!({"receipt": receipt(case, &envoy), "score": 1});
    assert_eq!(send(case, &envoy, &scored, Pieces::One).0, 202);
    let count = prompts.len() * 4 + 1;
    let is_written = |envoy: &Envoy| envoy.access_log().len() > count;
    assert!(envoy.wait_for(is_written), "{:?}", envoy.access_log());

    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let lines = envoy
        .access_log()
        .iter()
        .map(Value::to_string)
        .fold(String::from("not a line of a log\n{\n"), |text, line| {
            text + &line + "\n"
        });
    let log = write("access.log", lines);
    let mut policy = config.plugin_configuration()["policy"].clone();
    let same = write("policy.json", policy.to_string());
    policy["rules"] = json!([{"when": {"task": ["chat", "knowledge_qa", "math", "reasoning", "code", "creative_writing"]},
        "then": {"models": ["llama-3.1-8b"]}}]);
    let cheap = write("cheap.json", policy.to_string());
    let replay = |policy: &std::path::Path| -> Value {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_pointsman"))
            .args(["replay", "--format", "json", "--log"])
            .args([&log, std::path::Path::new("--policy"), policy])
            .args([std::path::Path::new("--against"), &same])
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let own = replay(&same);
    assert_eq!(own["receipts"]["compared"], count, "{own:#}");
    assert_eq!(own["receipts"]["changed"], 0, "{own:#}");
    assert_eq!(own["agreement"]["receipts"], count, "{own:#}");
    assert_eq!(own["lines"]["unreadable"], 1, "{own:#}");
    let other = replay(&cheap);
    let after = |model: &str| {
        let mut models = other["models"].as_array().unwrap().iter();
        let found = models.find(|entry| entry["name"] == model).unwrap();
        found["after"]["receipts"].as_u64().unwrap()
    };
    assert_eq!(after("llama-3.1-8b"), count as u64, "{other:#}");
    let cost = |side: &str| other["total"][side]["cost_usd"].as_f64().unwrap();
    assert!(cost("after") < cost("before"), "{other:#}");
}

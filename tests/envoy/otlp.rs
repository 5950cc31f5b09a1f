//! The records that an OpenTelemetry collector receives of a request, as `pointsman render --otlp` writes the configuration.

use std::collections::BTreeSet;
use std::process::Command;

use pointsman::telemetry::state;
use pointsman_harness::config::Config;
use pointsman_harness::envoy::Envoy;
use pointsman_harness::http1::Request;
use pointsman_harness::otlp::{Collector, Record};
use serde_json::{Value, json};

use crate::Test;
use crate::world::{CHAT, Case};

pub const TESTS: &[Test] = &[("otlp::a_collector_gets_logs_and_spans", gets_logs_and_spans)];

/// The quickstart's policy in front of the backends of this run.
fn render(case: &Case, version: &str, collector: &Collector) -> Config {
    let mut policy = case.config().plugin_configuration()["policy"].clone();
    for backend in policy["backends"].as_array_mut().unwrap() {
        let running = case.backends().get(backend["name"].as_str().unwrap());
        backend["endpoint"] = json!(format!("http://{}", running.unwrap().address));
    }
    for backend in policy["backends"].as_array_mut().unwrap() {
        backend["provider"] = json!("vllm");
    }
    policy["tenant"] = json!({"header": "x-tenant"});
    let closed = json!({"name": "closed", "when": {"tenant": ["evil"]}, "then": {"reject": "no"}});
    policy["rules"] = json!([closed]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.json");
    std::fs::write(&file, policy.to_string()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(["render", "envoy"])
        .arg(&file)
        .args(["--envoy-version", version, "--failover", "off"])
        .args(["--listen", "127.0.0.1:0", "--admin-port", "0"])
        .args(["--otlp", &collector.address().to_string(), "--module"])
        .arg(case.module())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let config = Config::parse(&String::from_utf8(output.stdout).unwrap()).unwrap();
    // Spans are sent one by one, not after five seconds.
    let at_once = json!({"tracing.opentelemetry.min_flush_spans": 1});
    let layers =
        json!([{"name": "test", "static_layer": at_once}, {"name": "admin", "admin_layer": {}}]);
    config.set("/layered_runtime", json!({"layers": layers}))
}

/// Sends a request, and gives the log record and the span that the collector got of it.
fn send(envoy: &Envoy, collector: &Collector, body: &Value, status: u16) -> [Record; 2] {
    send_as(envoy, collector, "wallaby", body, status)
}

fn send_as(
    envoy: &Envoy,
    collector: &Collector,
    tenant: &str,
    body: &Value,
    status: u16,
) -> [Record; 2] {
    let before = KINDS.map(|kind| collector.received(kind).len());
    let answer = Request::post(&format!("{CHAT}?key=wombat"), body.to_string().as_bytes())
        .header("authorization", b"Bearer numbat")
        .header("accept-encoding", b"gzip, deflate")
        .header("x-tenant", tenant.as_bytes())
        .send(envoy.address())
        .unwrap();
    assert_eq!(answer.status, status, "{}", answer.text());
    let exports = || {
        let kinds = KINDS.iter().zip(before);
        kinds
            .filter_map(|(kind, before)| collector.received(kind).get(before).cloned())
            .collect::<Vec<_>>()
    };
    let there = envoy.wait_for(|_| exports().len() == 2);
    assert!(there, "{:?}\n{}", collector.received(""), envoy.log());
    exports().try_into().unwrap()
}

/// How a tenant is shown that the policy does not name.
const HASHED: &str = "hash:ab62d03c952f1b72";

const KINDS: [&str; 2] = ["LogsService", "TraceService"];

fn ask(model: &str, stream: bool) -> Value {
    let mut body = json!({
        "model": model, "max_tokens": 16,
        "messages": [{"role": "user", "content": "quokka"}],
    });
    if stream {
        body["stream"] = json!(true);
        body["stream_options"] = json!({"include_usage": true});
    }
    body
}

fn check(record: &Record, wanted: &[(&str, &str)], positive: &[&str]) {
    for (key, value) in wanted {
        assert_eq!(record.attribute(key), Some(*value), "{key} in {record:?}");
    }
    for key in positive {
        let number = record.attribute(key).and_then(|text| text.parse().ok());
        assert!(number > Some(0.0), "{key} in {record:?}");
    }
}

/// Whether an attribute is there, and says something.
fn is_known(record: &Record, key: &str) -> bool {
    let value = record.attribute(key);
    value.is_some_and(|value| !["", "-"].contains(&value))
}

fn gets_logs_and_spans(case: &Case) {
    // A configuration for the oldest Envoy has to run on all of them.
    for version in BTreeSet::from(["1.36.2", case.version]) {
        as_rendered_for(case, version);
    }
}

fn as_rendered_for(case: &Case, version: &str) {
    let collector = Collector::start().unwrap();
    let envoy = case.start(&render(case, version, &collector));
    // Every documented key has a value, but those of what did not happen.
    let absent = [
        state::MODE,
        state::RULE,
        state::ERROR_TYPE,
        state::CACHE_WRITE_TOKENS,
        state::REASONING_TOKENS,
        // The quickstart's policy makes no receipts and learns nothing.
        state::RECEIPT,
        state::OUTCOME,
        state::FEEDBACK,
        // Nor does it name a judge.
        state::STAGE,
        state::JUDGE_GRADE,
        state::JUDGE_RESULT,
        state::JUDGE_MS,
        state::JUDGE_COST_USD,
    ];
    for stream in [true, false] {
        for record in send(&envoy, &collector, &ask("auto", stream), 200) {
            for (key, _) in state::ALL {
                let wanted =
                    !absent.contains(key) && (stream || *key != state::TIME_TO_FIRST_TOKEN_MS);
                assert_eq!(is_known(&record, key), wanted, "{key} in {record:?}");
            }
        }
    }

    let [log, span] = send(&envoy, &collector, &ask("llama-3.1-8b", true), 200);
    let reported = [
        (state::MODEL, "llama-3.1-8b"),
        (state::BACKEND, "lpu"),
        (state::PROFILE, "auto"),
        (state::REASON, "pinned"),
        (state::OPERATION, "chat"),
        (state::PROVIDER, "vllm"),
        (state::SERVER_ADDRESS, "127.0.0.1"),
        (state::TENANT, HASHED),
        (state::REQUEST_MODEL, "llama-3.1-8b"),
        (state::RESPONSE_MODEL, "llama-3.1-8b-instant"),
    ];
    let counts = [
        state::INPUT_TOKENS,
        state::OUTPUT_TOKENS,
        state::COST_USD,
        state::ESTIMATED_COST_USD,
    ];
    for record in [&log, &span] {
        check(record, &reported, &counts);
    }
    for key in counts {
        assert_eq!(log.attribute(key), span.attribute(key), "{key}");
    }
    check(
        &log,
        &[("url.path", CHAT), ("http.response.status_code", "200")],
        &[],
    );
    check(&span, &[("http.url", CHAT)], &[]);
    assert!(!span.trace.is_empty());
    assert_eq!(log.trace, span.trace);

    for record in send_as(&envoy, &collector, "evil", &ask("auto", true), 403) {
        let reported = [
            (state::TENANT, "evil"),
            (state::RULE, "closed"),
            (state::ERROR_TYPE, "rejected_by_policy"),
        ];
        check(&record, &reported, &[]);
    }

    let refused = [
        (state::REASON, "model_not_found"),
        (state::ERROR_TYPE, "model_not_found"),
        (state::OPERATION, "chat"),
    ];
    for record in send(&envoy, &collector, &ask("bandicoot", true), 404) {
        check(&record, &refused, &[]);
        // A name that the policy does not hold is a client's text: it may be anything.
        for key in [state::MODEL, state::REQUEST_MODEL] {
            assert!(!is_known(&record, key), "{key} in {record:?}");
        }
    }
    for record in collector.received("") {
        let text = String::from_utf8_lossy(&record.bytes);
        for secret in ["quokka", "wombat", "numbat", "bandicoot", "wallaby"] {
            assert!(
                !text.contains(secret),
                "`{secret}` reached {}: {text}",
                record.service
            );
        }
    }
}

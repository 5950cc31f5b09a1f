//! What an OpenTelemetry collector gets of a request, as `pointsman render --otlp` writes the configuration.

use std::process::Command;

use pointsman::telemetry::state;
use pointsman_testkit::config::Config;
use pointsman_testkit::http1::Request;
use pointsman_testkit::otlp::{Collector, Record};
use serde_json::json;

use crate::Test;
use crate::world::{CHAT, Case};

pub const TESTS: &[Test] = &[("otlp::a_collector_gets_logs_and_spans", gets_logs_and_spans)];

/// The quickstart's policy in front of the backends of this run.
fn render(case: &Case, collector: &Collector) -> Config {
    let mut policy = case.config().plugin_configuration()["policy"].clone();
    for backend in policy["backends"].as_array_mut().unwrap() {
        let running = case.backends().get(backend["name"].as_str().unwrap());
        backend["endpoint"] = json!(format!("http://{}", running.unwrap().address));
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.json");
    std::fs::write(&file, policy.to_string()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(["render", "envoy"])
        .arg(&file)
        .args(["--envoy-version", case.version, "--failover", "off"])
        .args(["--listen", "127.0.0.1:0", "--admin-port", "0"])
        .args(["--otlp", &collector.address().to_string(), "--module"])
        .arg(case.module())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    Config::parse(&String::from_utf8(output.stdout).unwrap()).unwrap()
}

fn gets_logs_and_spans(case: &Case) {
    let collector = Collector::start().unwrap();
    let envoy = case.start(&render(case, &collector));
    let send = |model: &str| {
        let body = json!({
            "model": model, "stream": true, "stream_options": {"include_usage": true}, "max_tokens": 16,
            "messages": [{"role": "user", "content": "quokka"}],
        })
        .to_string();
        let answer = Request::post(&format!("{CHAT}?key=wombat"), body.as_bytes())
            .header("authorization", b"Bearer numbat")
            .send(envoy.address())
            .unwrap();
        assert_eq!(answer.status, 200);
    };
    send("auto");
    let there = envoy.wait_for(|_| {
        !collector.received("LogsService").is_empty()
            && !collector.received("TraceService").is_empty()
    });
    assert!(there, "{:?}\n{}", collector.received(""), envoy.log());
    // Every documented key has a value, but the one of shadow mode.
    for (key, _) in state::ALL {
        let log = &collector.received("LogsService")[0];
        let is_known = log.attribute(key).is_some_and(|value| value != "-");
        assert_eq!(is_known, *key != state::MODE, "{key} in {log:?}");
    }

    send("llama-3.1-8b");
    let both = |collector: &Collector| {
        let found = ["LogsService", "TraceService"].map(|service| collector.received(service));
        found.map(|records| records.into_iter().skip(1).collect::<Vec<_>>())
    };
    assert!(envoy.wait_for(|_| both(&collector).iter().all(|one| !one.is_empty())));
    let [logs, spans] = both(&collector);

    let decided = [
        (state::MODEL, "llama-3.1-8b"),
        (state::BACKEND, "lpu"),
        (state::PROFILE, "auto"),
        (state::REASON, "pinned"),
    ];
    let ended = [
        (state::OPERATION, "chat"),
        (state::REQUEST_MODEL, "llama-3.1-8b"),
        (state::RESPONSE_MODEL, "llama-3.1-8b-instant"),
        ("url.path", CHAT),
        ("http.response.status_code", "200"),
    ];
    let check = |record: &Record, wanted: &[(&str, &str)], positive: &[&str]| {
        for (key, value) in wanted {
            assert_eq!(record.attribute(key), Some(*value), "{key} in {record:?}");
        }
        for key in positive {
            let number = record.attribute(key).and_then(|text| text.parse().ok());
            assert!(number > Some(0.0), "{key} in {record:?}");
        }
    };
    check(&logs[0], &decided, &[state::ESTIMATED_COST_USD]);
    let counts = [state::INPUT_TOKENS, state::OUTPUT_TOKENS, state::COST_USD];
    check(&logs[0], &ended, &counts);
    assert!(!spans[0].trace.is_empty());
    assert_eq!(logs[0].trace, spans[0].trace);
    // Envoy 1.36 has no tags that a filter could fill.
    if case.version != "1.36.2" {
        check(&spans[0], &decided, &[state::ESTIMATED_COST_USD]);
        assert_eq!(spans[0].attribute("http.url"), Some(CHAT));
    }
    for record in collector.received("") {
        let text = String::from_utf8_lossy(&record.bytes);
        for secret in ["quokka", "wombat", "numbat"] {
            assert!(
                !text.contains(secret),
                "`{secret}` reached {}: {text}",
                record.service
            );
        }
    }
}

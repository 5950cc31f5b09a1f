//! Learning from backends' answers: long ones make no backend slow, silence and errors with status 200 are failures,
//! and streams and answers in one piece fail apart.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use pointsman_harness::backends::Backend;
use pointsman_harness::envoy::Envoy;
use pointsman_harness::http1::Response;
use pointsman_harness::metrics;
use serde_json::{Value, json};

use crate::Test;
use crate::failover::{Host, model, render, send, ways};
use crate::world::Case;

pub const TESTS: &[Test] = &[
    ("learning::long_answers", long_answers_make_nobody_slow),
    (
        "learning::silent_streams",
        silent_streams_leave_and_the_rest_stays,
    ),
    (
        "learning::errors_with_status_200",
        errors_with_status_200_count,
    ),
];

/// Two backends of one model that do as they state, `one` the cheaper; a limit on the first token that never gives way.
fn fleet(answer_tokens: f64, time_scale: f64) -> ([Host; 2], Value) {
    let host = |name: &'static str, price: f64| {
        let backend = json!({
            "name": name, "model": "small", "served_model": name, "price": {"input": price, "output": price},
            "latency": {"first_token_ms": {"p50": 50}, "tokens_per_second": 1000},
            "simulate": {"slots": 1000, "answer_tokens": {"p50": answer_tokens, "p99": answer_tokens}},
        });
        Host::of(name, backend, time_scale)
    };
    let hosts = [host("one", 0.1), host("two", 0.2)];
    let policy = json!({
        "models": [model("small", 0.6)],
        "backends": hosts.iter().map(|host| host.policy.clone()).collect::<Vec<_>>(),
        "profiles": {"live": {
            "weights": {"cost": 1}, "limits": {"max_first_token_p99_ms": 1000}, "relax": [],
        }},
    });
    (hosts, policy)
}

fn start(case: &Case, policy: &Value) -> Envoy {
    let way = ways(case).last().unwrap();
    case.start(&render(case, policy, way))
}

fn asks(address: SocketAddr, stream: bool) -> Response {
    let body = json!({
        "model": "live", "stream": stream,
        "messages": [{"role": "user", "content": "Tell me a story."}],
    });
    send(address, "-", body.to_string().as_bytes())
}

/// The backends of so many requests, one after the other, the last first.
fn answered_by(address: SocketAddr, stream: bool, count: usize) -> BTreeMap<String, usize> {
    let mut by = BTreeMap::new();
    for _ in 0..count {
        let response = asks(address, stream);
        assert_eq!(response.status, 200, "{}", response.text());
        let backend = response.header("x-pointsman-backend").unwrap().to_owned();
        *by.entry(backend).or_default() += 1;
    }
    by
}

fn only(backend: &str, count: usize) -> BTreeMap<String, usize> {
    [(backend.to_owned(), count)].into()
}

fn backend(host: &Host) -> Backend {
    host.process.as_ref().unwrap().all()[0].clone()
}

/// Sends requests until so many in a row were answered by `wanted` at their first attempt, for at most two minutes: each worker
/// has to learn of it.
fn until(address: SocketAddr, stream: bool, wanted: &str, count: usize) {
    let start = Instant::now();
    let mut row = 0;
    while start.elapsed() < Duration::from_secs(120) {
        let response = asks(address, stream);
        let by = response.header("x-pointsman-backend");
        let first = response.header("x-pointsman-attempts") == Some("1");
        row = if by == Some(wanted) && first {
            row + 1
        } else {
            0
        };
        if row == count {
            return;
        }
    }
    panic!("never answered by `{wanted}` (stream: {stream})");
}

/// Answers of 800 tokens, many times longer than is expected of them.
fn long_answers_make_nobody_slow(case: &Case) {
    let (_hosts, policy) = fleet(800.0, 1.0);
    let envoy = start(case, &policy);
    let address = envoy.address();
    std::thread::scope(|scope| {
        for lane in 0..8 {
            scope.spawn(move || {
                for turn in 0..5 {
                    let response = asks(address, (lane + turn) % 2 == 0);
                    assert_eq!(response.status, 200, "{}", response.text());
                }
            });
        }
    });
    let rejections = metrics::sum(&envoy.metrics(), "pointsman_rejections", &[]);
    assert_eq!(rejections, 0.0);
}

fn silent_streams_leave_and_the_rest_stays(case: &Case) {
    let (hosts, policy) = fleet(40.0, 0.0);
    let envoy = start(case, &policy);
    let address = envoy.address();
    assert_eq!(answered_by(address, true, 6), only("one", 6));
    let failing = backend(&hosts[0]);
    failing
        .fault(&json!({"kind": "hang", "stream": true}))
        .unwrap();
    // Each of the first ones waits for its attempt to be given up; nobody meets an error.
    until(address, true, "two", 8);
    // If attempts go by aggregate clusters, Envoy's own outlier detection may pass the cluster over for all.
    if ways(case).contains(&"per-attempt") {
        assert_eq!(answered_by(address, false, 20), only("one", 20));
    }
    failing.recover().unwrap();
    until(address, true, "one", 1);
}

fn errors_with_status_200_count(case: &Case) {
    let (hosts, policy) = fleet(40.0, 0.0);
    let envoy = start(case, &policy);
    let address = envoy.address();
    let failing = backend(&hosts[0]);
    for (kind, stream) in [("error_in_answer", true), ("empty_answer", false)] {
        failing
            .fault(&json!({"kind": kind, "stream": stream}))
            .unwrap();
        until(address, stream, "two", 8);
        failing.recover().unwrap();
        until(address, stream, "one", 1);
    }
    let labels = [("backend", "one")];
    let failed = metrics::sum(&envoy.metrics(), "pointsman_attempt_failures", &labels);
    assert!(failed >= 6.0, "{failed}");
}

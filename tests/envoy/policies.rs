//! Policies at start and on update: a wrong one at start is refused with all of its problems, on update the old one stays,
//! a right one reaches every worker.

use pointsman_harness::config::Config;
use pointsman_harness::envoy::Envoy;
use pointsman_harness::http1::Request;
use pointsman_harness::metrics;
use serde_json::json;

use crate::Test;
use crate::world::{CHAT, Case, ask, padded};

pub const TESTS: &[Test] = &[
    ("policies::invalid_at_start", invalid_at_start),
    (
        "policies::update_reaches_every_worker",
        update_reaches_every_worker,
    ),
    (
        "policies::invalid_update_changes_nothing",
        invalid_update_changes_nothing,
    ),
    (
        "policies::invalid_requests_can_be_refused",
        invalid_requests_can_be_refused,
    ),
    ("policies::headers_can_be_off", headers_can_be_off),
    (
        "policies::held_bodies_over_envoys_limit",
        held_bodies_over_envoys_limit,
    ),
];

/// Three mistakes in three places.
fn spoilt(config: Config) -> Config {
    config
        .set_policy("backends/1/model", json!("llama-3.1-9b"))
        .set_policy("backends/2/price", json!({"input": -1, "output": 1}))
        .set_policy("max_body_byts", json!(5))
}

const PROBLEMS: [&str; 3] = [
    "policy.backends[1].model",
    "policy.backends[2].price.input",
    "policy.max_body_byts",
];

fn invalid_at_start(case: &Case) {
    let refused = Envoy::refuse(case.version, &spoilt(case.config())).unwrap();
    assert_ne!(refused.status, Some(0));
    for place in PROBLEMS {
        assert!(
            refused.log.contains(place),
            "{place} is not in the log:\n{}",
            refused.log
        );
    }
    assert!(
        refused.log.contains("max_body_bytes"),
        "what was meant is not message"
    );
    assert!(!refused.log.contains("panicked"), "{}", refused.log);
}

/// The backend that a pinned model is sent to, by 24 connections: that both workers answer some is checked.
fn everywhere(case: &Case, envoy: &Envoy) -> Vec<String> {
    let mut backends = Vec::new();
    for _ in 0..24 {
        let done = case.send_to(
            envoy.address(),
            Request::post(CHAT, &ask("llama-3.1-8b", "hi")),
        );
        backends.push(done.only().0.to_owned());
    }
    backends.sort_unstable();
    backends.dedup();
    backends
}

/// Both workers took connections since they were last counted.
fn worker_connections(envoy: &Envoy) -> [u64; 2] {
    let text = envoy.admin("/stats").map(|r| r.text()).unwrap_or_default();
    [0, 1].map(|worker| {
        let suffix = format!(".worker_{worker}.downstream_cx_total");
        text.lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(name, _)| name.starts_with("listener.") && name.ends_with(&suffix))
            .filter_map(|(_, value)| value.parse::<u64>().ok())
            .sum()
    })
}

fn update_reaches_every_worker(case: &Case) {
    let before = case.config().set_policy("version", json!("before"));
    let mut replaced = case.replaceable(&before);
    assert_eq!(everywhere(case, &replaced.envoy), ["lpu"]);
    // The model moves to another cluster, so that a worker with the old policy is seen.
    let after = case
        .config()
        .set_policy("version", json!("after"))
        .set_policy("backends/1/cluster", json!("cpu"));
    replaced.push(&after);
    let counted = worker_connections(&replaced.envoy);
    assert_eq!(everywhere(case, &replaced.envoy), ["cpu"]);
    let now = worker_connections(&replaced.envoy);
    assert!(
        now.iter().zip(counted).all(|(now, before)| *now > before),
        "one worker got no connection: {counted:?} {now:?}"
    );
    let active = |envoy: &Envoy, version: &str| {
        let labels = [("version", version)];
        metrics::sum(&envoy.metrics(), "pointsman_policy_active", &labels)
    };
    let moved = |envoy: &Envoy| (active(envoy, "before"), active(envoy, "after")) == (0.0, 1.0);
    assert!(replaced.envoy.wait_for(moved), "the old version stays");
}

fn invalid_update_changes_nothing(case: &Case) {
    let mut replaced = case.replaceable(&case.config().set_policy("version", json!("good")));
    let rejected = |envoy: &Envoy| envoy.stat("listener_manager.lds.update_rejected");
    let before = rejected(&replaced.envoy);
    replaced.push_text(&spoilt(case.config()));
    assert!(replaced.envoy.wait_for(|envoy| rejected(envoy) > before));
    let log = replaced.envoy.log();
    for place in PROBLEMS {
        assert!(log.contains(place), "{place} is not in the log");
    }
    assert_eq!(everywhere(case, &replaced.envoy), ["lpu"]);
    // And the way back is open.
    let good = case
        .config()
        .set_policy("version", json!("better"))
        .set_policy("backends/1/cluster", json!("cpu"));
    replaced.push(&good);
    assert_eq!(everywhere(case, &replaced.envoy), ["cpu"]);
}

fn invalid_requests_can_be_refused(case: &Case) {
    let config = case.config().set_policy("on_undecided", json!("reject"));
    let replaced = case.replaceable(&config);
    for body in [&b"{"[..], b"", b"[]"] {
        let done = case.send_to(replaced.envoy.address(), Request::post(CHAT, body));
        assert_eq!(done.status(), 400);
        assert!(done.received.is_empty());
        assert_eq!(
            done.response.json()["error"]["type"],
            "invalid_request_error"
        );
    }
}

fn headers_can_be_off(case: &Case) {
    for (mode, expected) in [
        ("off", &[][..]),
        ("minimal", &["x-pointsman-backend", "x-pointsman-model"][..]),
    ] {
        let config = case.config().set_policy("decision_headers", json!(mode));
        let replaced = case.replaceable(&config);
        let done = case.send_to(
            replaced.envoy.address(),
            Request::post(CHAT, &ask("auto", "hi")),
        );
        assert_eq!(done.status(), 200);
        let mut ours: Vec<&str> = done
            .response
            .headers
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| name.starts_with("x-pointsman"))
            .collect();
        ours.sort_unstable();
        assert_eq!(ours, expected);
    }
}

/// A policy that holds more than Envoy lets it: Envoy's own 413, as JSON.
fn held_bodies_over_envoys_limit(case: &Case) {
    let config = case
        .config()
        .set_policy("max_body_bytes", json!(16 << 20))
        .set_manager(
            "route_config/virtual_hosts/0/request_body_buffer_limit",
            json!(1 << 20),
        )
        .set_listener("per_connection_buffer_limit_bytes", json!(1 << 20));
    let replaced = case.replaceable(&config);
    let body = padded("llama-3.1-8b", 5 << 20);
    let done = case.send_to(replaced.envoy.address(), Request::post(CHAT, &body));
    assert_eq!(done.status(), 413);
    let error = done.response.json();
    assert_eq!(
        error["error"]["type"],
        "invalid_request_error",
        "{}",
        done.response.text()
    );
    assert_eq!(error["error"]["code"], "request_payload_too_large");
    let body = padded("llama-3.1-8b", 600 << 10);
    let done = case.send_to(replaced.envoy.address(), Request::post(CHAT, &body));
    done.assert_rewritten("lpu", &body, "llama-3.1-8b", "llama-3.1-8b-instant");
}

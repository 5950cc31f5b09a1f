//! Requests whose tokens are only counted: decided on as they would be, and no use of anything.

use super::*;
use crate::fleet::clusters::backend_key;
use crate::state::backend_stats::Delivery;

const COUNT: &str = "/v1/messages/count_tokens";

/// A policy whose backends speak Anthropic's API, with a budget that one answer spends.
fn policy() -> String {
    let spoken = POLICY.replace(
        "\"accelerator\":",
        "\"apis\": [\"anthropic_messages\"], \"accelerator\":",
    );
    let budget = r#"{"budgets": [{"name": "tiny", "usd": 0.000000001, "per": "month"}], "#;
    spoken.replacen('{', budget, 1)
}

/// A request to `path` for `model`; what became of the one before is forgotten.
fn post(host: &mut Host, path: &str, model: &str) {
    host.stream = Stream::new();
    host.effects.clear();
    host.headers.clear();
    host.body.clear();
    host.begin("POST", path);
    host.send_headers(false);
    host.send_chunk(ask(model, "hi").as_bytes(), true);
}

fn answered(host: &mut Host, status: &str) {
    let headers = [(":status", status), ("content-type", "application/json")];
    host.answer_with(
        &headers,
        &[r#"{"usage":{"input_tokens":9,"output_tokens":9}}"#],
    );
    host.done();
}

#[test]
fn it_goes_where_the_request_would_and_uses_nothing() {
    let mut host = Host::new(&policy());
    host.stats = Some(BackendStats::new());
    for status in ["200", "500", "500", "500", "500"] {
        post(&mut host, COUNT, "huge");
        assert_eq!(host.header("x-to"), Some("cluster-gpu"));
        assert!(String::from_utf8_lossy(&host.body).contains("\"org/huge\""));
        assert_eq!(host.state(state::OPERATION), Some("count_tokens"));
        assert_eq!(host.state(state::ESTIMATED_COST_USD), None);
        assert_eq!(
            host.counts(),
            ["pointsman.count_tokens_requests.model.huge.backend.gpu-1"]
        );
        answered(&mut host, status);
        assert_eq!(host.counts(), [""; 0]);
        assert_eq!(host.added("pointsman."), None);
        assert_eq!(host.state(state::COST_USD), None);
        let observed = host.stats.as_ref().unwrap().observe(
            backend_key("gpu-1"),
            Delivery::Whole,
            host.clock_ns,
        );
        assert!(!observed.down && observed.in_flight == 0 && observed.error_rate == 0.0);
    }
    // The budget is as it was; one answer spends it, and then nobody is told where requests would go.
    post(&mut host, "/v1/messages", "huge");
    assert!(host.reply().is_none());
    answered(&mut host, "200");
    post(&mut host, COUNT, "huge");
    assert_eq!(host.reply().unwrap().status, 429);
}

#[test]
fn a_client_sees_what_was_decided_and_no_price() {
    let mut host = Host::new(&policy());
    post(&mut host, COUNT, "auto");
    let sent = host.response();
    let names: Vec<&str> = sent.iter().map(|(name, _)| *name).collect();
    assert!(names.contains(&header::MODEL) && names.contains(&header::QUALITY));
    assert!(!names.contains(&header::ESTIMATED_COST_USD), "{names:?}");
}

#[test]
fn another_backend_that_counts_is_no_fallback() {
    let mut host = Host::new(&policy());
    host.failover = Failover::PerAttempt;
    post(&mut host, COUNT, "huge");
    assert!(host.header(header::CHAIN).is_some());
    // The host says that it took two attempts.
    let sent = host.response();
    assert!(
        sent.contains(&(header::BACKEND, "lpu-1".to_owned())),
        "{sent:?}"
    );
    assert_eq!(host.counts(), [""; 0]);
}

#[test]
fn what_the_policy_does_not_know_is_left_to_the_default_cluster() {
    let mut host = Host::new(&policy());
    post(&mut host, COUNT, "claude-elsewhere");
    assert_eq!(host.header("x-to"), Some("fallback"));
    assert_eq!(host.body, ask("claude-elsewhere", "hi").as_bytes());
    assert_eq!(
        host.counts(),
        ["pointsman.request_bypasses.cause.unknown_model"]
    );
}

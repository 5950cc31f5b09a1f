//! Backends that fail: clients get what they can parse, and the next request is fine.

use serde_json::json;

use pointsman_harness::http1::{Request, Response};

use crate::Test;
use crate::world::{CHAT, Case, ask};

pub const TESTS: &[Test] = &[
    (
        "faults::rate_limit_reaches_the_client",
        rate_limit_reaches_the_client,
    ),
    ("faults::reset_before_headers", reset_before_headers),
    ("faults::reset_mid_stream", reset_mid_stream),
    ("faults::missing_cluster", missing_cluster),
    ("faults::dead_backend", dead_backend),
];

/// Sends a request of its own id, with a fault commanded for exactly that id.
fn with_fault(case: &Case, mut fault: serde_json::Value, body: &[u8]) -> Response {
    let id = case.id();
    fault["test"] = json!(id);
    case.backends().get("lpu").unwrap().fault(&fault).unwrap();
    Request::post(CHAT, body)
        .header("x-test-id", id.as_bytes())
        .send(case.address())
        .unwrap()
}

fn assert_json_error(response: &Response, kind: &str) {
    let error = response.json();
    assert_eq!(error["error"]["type"], kind, "{}", response.text());
    assert!(error["error"]["message"].is_string());
    assert!(
        response
            .header("content-type")
            .is_some_and(|t| t.starts_with("application/json")),
        "{:?}",
        response.headers
    );
}

fn rate_limit_reaches_the_client(case: &Case) {
    let fault = json!({"kind": "status", "status": 429, "retry_after": 7});
    let response = with_fault(case, fault, &ask("llama-3.1-8b", "hi"));
    assert_eq!(response.status, 429);
    assert_eq!(response.header("retry-after"), Some("7"));
    assert_json_error(&response, "rate_limit_error");
    assert_eq!(response.header("x-pointsman-backend"), Some("lpu"));
}

fn reset_before_headers(case: &Case) {
    let fault = json!({"kind": "reset_before_headers"});
    let response = with_fault(case, fault, &ask("llama-3.1-8b", "hi"));
    assert_eq!(response.status, 503);
    assert_json_error(&response, "server_error");
}

fn reset_mid_stream(case: &Case) {
    let body = br#"{"model":"llama-3.1-8b","stream":true,"messages":[{"role":"user","content":"hi"}],"max_tokens":60}"#;
    let fault = json!({"kind": "reset_mid_stream", "after_tokens": 5});
    let response = with_fault(case, fault, body);
    assert_eq!(response.status, 200);
    assert!(
        !response.complete,
        "a broken stream must not look like a whole one"
    );
    assert!(!response.text().contains("[DONE]"));
    let done = case.chat(&ask("llama-3.1-8b", "hi"));
    assert_eq!(done.status(), 200);
}

/// A backend of the policy whose cluster Envoy does not have.
fn missing_cluster(case: &Case) {
    let config = case
        .config()
        .set_policy("backends/1/cluster", json!("nowhere"));
    let envoy = case.replaceable(&config);
    let done = case.send_to(
        envoy.envoy.address(),
        Request::post(CHAT, &ask("llama-3.1-8b", "hi")),
    );
    assert_eq!(done.status(), 503);
    assert_json_error(&done.response, "server_error");
    assert_eq!(done.response.json()["error"]["code"], "cluster_not_found");
    let other = case.send_to(
        envoy.envoy.address(),
        Request::post(CHAT, &ask("gpt-4o", "hi")),
    );
    assert_eq!(other.status(), 200);
}

fn dead_backend(case: &Case) {
    // Bound and closed again: nobody listens there.
    let dead = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let clusters = case
        .backends()
        .clusters()
        .map(|(name, address)| (name, if name == "lpu" { dead } else { address }));
    let envoy = case.start(&case.config().with_clusters(clusters));
    let done = case.send_to(
        envoy.address(),
        Request::post(CHAT, &ask("llama-3.1-8b", "hi")),
    );
    assert_eq!(done.status(), 503);
    assert_json_error(&done.response, "server_error");
    // The retries of the route are counted and told.
    assert_eq!(done.reported("attempts"), Some("3"));
}

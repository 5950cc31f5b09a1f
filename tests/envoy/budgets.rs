//! Budgets over two workers: what one of them has spent, the other one knows a moment later.

use std::time::Duration;

use pointsman_testkit::http1::Request;
use serde_json::json;

use crate::Test;
use crate::world::{CHAT, Case, ask};

pub const TESTS: &[Test] = &[("budgets::known_to_every_worker", known_to_every_worker)];

/// One request spends a tenant's budget, on whichever worker; then every connection must find it spent. How long that takes
/// is the machine's affair, so another tenant tries again where it was too slow.
fn known_to_every_worker(case: &Case) {
    let config = case
        .config()
        .set_policy("tenant", json!({"header": "x-tenant"}))
        .set_policy(
            "budgets",
            json!([{"name": "tiny", "usd": 0.000_000_000_1, "per": "month"}]),
        );
    let replaced = case.replaceable(&config);
    let body = ask("llama-3.1-8b", "hi");
    let status = |tenant: &str| {
        let request = Request::post(CHAT, &body).header("x-tenant", tenant.as_bytes());
        let done = case.send_to(replaced.envoy.address(), request);
        if done.status() == 429 {
            let error = &done.response.json()["error"];
            assert_eq!(error["code"], "insufficient_quota");
            assert_eq!(done.told("rule"), Some("budget:tiny"));
            assert!(done.received.is_empty());
        }
        done.status()
    };
    let mut seen = Vec::new();
    for attempt in 1..=8 {
        let tenant = format!("tenant-{attempt}");
        assert_eq!(status(&tenant), 200, "nothing is spent yet");
        std::thread::sleep(Duration::from_millis(2500 * attempt));
        // Connections are spread over both workers: one that did not know would let its first request through.
        seen = (0..16).map(|_| status(&tenant)).collect();
        if seen.iter().all(|status| *status == 429) {
            return;
        }
    }
    panic!("some worker never heard what was spent: {seen:?}");
}

//! Requests whose tokens are only counted fail over as the requests themselves do.

use pointsman_harness::http1::Request;
use pointsman_harness::metrics;
use serde_json::json;

use crate::Test;
use crate::failover::{Host, model, render, ways};
use crate::world::Case;

pub const TESTS: &[Test] = &[(
    "counting::a_dead_backend_costs_a_retry",
    a_dead_backend_costs_a_retry,
)];

fn a_dead_backend_costs_a_retry(case: &Case) {
    for way in ways(case) {
        let mut hosts = [
            Host::start("gpu-a", "small", 0.1),
            Host::start("gpu-b", "small", 0.2),
        ];
        let policy = json!({
            "models": [model("small", 0.6)],
            "backends": hosts.iter().map(|host| host.policy.clone()).collect::<Vec<_>>(),
        });
        let envoy = case.start(&render(case, &policy, way));
        let test = case.id();
        let body = json!({"model": "auto:cheap", "messages": [{"role": "user", "content": "hi"}]});
        let count = || {
            Request::post("/v1/messages/count_tokens", body.to_string().as_bytes())
                .header("x-test-id", test.as_bytes())
                .send(envoy.address())
                .unwrap()
        };
        let first = count();
        assert_eq!(first.status, 200, "{way}: {}", first.text());
        assert_eq!(first.header("x-pointsman-backend"), Some("gpu-a"), "{way}");

        hosts[0].process = None;
        let second = count();
        assert_eq!(second.status, 200, "{way}: {}", second.text());
        assert_eq!(second.header("x-pointsman-backend"), Some("gpu-b"), "{way}");
        assert_eq!(second.json()["input_tokens"], first.json()["input_tokens"]);
        let arrived = hosts[1].process.as_ref().unwrap().all()[0]
            .received(&test)
            .unwrap();
        assert_eq!(arrived.len(), 1, "{way}");
        assert_eq!(arrived[0].json()["model"], "small@gpu-b", "{way}");

        let samples = envoy.metrics();
        let sum = |name: &str| metrics::sum(&samples, name, &[]) as u64;
        assert_eq!(sum("pointsman_count_tokens_requests"), 2, "{way}");
        for none in [
            "decisions",
            "fallbacks",
            "request_failures",
            "cost_nano_usd",
        ] {
            assert_eq!(sum(&format!("pointsman_{none}")), 0, "{way}: {none}");
        }
    }
}

//! Backends that scale to zero are kept warm by a request of ours, sent once and by one worker; and traffic moves from one
//! backend to another share by share.

use pointsman_harness::envoy::Envoy;
use pointsman_harness::http1::Request;
use pointsman_harness::metrics;
use serde_json::{Value, json};

use crate::Test;
use crate::failover::{Host, model, render, ways};
use crate::world::{CHAT, Case, ask};

pub const TESTS: &[Test] = &[
    ("warmth::kept_warm_at_the_stated_cost", kept_warm),
    ("warmth::ramps_move_conversations", ramps),
];

const SECRET: &str = "the user's own words";
/// A variable that every test process has: no secret is needed to see where one goes.
const KEY: &str = "CARGO_PKG_NAME";

fn kept_warm(case: &Case) {
    for way in ways(case) {
        let zero = |name: &'static str, price: f64| {
            Host::of(
                name,
                json!({
                    "name": name, "model": "small", "served_model": format!("small@{name}"), "accelerator": "serverless",
                    "price": {"input": price, "output": price},
                    "credentials": {"header": "x-key", "env": KEY},
                    "scale_to_zero_after_s": 1, "cold_start_ms": 5000,
                    // Two an hour: the second would come half an hour after the first.
                    "prewarm": {"max_usd_per_hour": 2, "request_usd": 1, "probability": 0.0001},
                    "simulate": {"slots": 1000, "cold_start_ms": 0},
                }),
                0.0,
            )
        };
        let hosts = [zero("wanted", 0.1), zero("unwanted", 9.0)];
        let policy = json!({
            "route_endpoint": "on",
            "models": [model("small", 0.6)],
            "backends": hosts.iter().map(|host| host.policy.clone()).collect::<Vec<_>>(),
        });
        let envoy = case.start(&render(case, &policy, way));
        let body = ask("auto:cheap", SECRET);
        for _ in 0..8 {
            let response = Request::post(CHAT, &body).send(envoy.address()).unwrap();
            assert_eq!(response.status, 200, "{way}: {}", response.text());
            assert_eq!(
                response.header("x-pointsman-backend"),
                Some("wanted"),
                "{way}"
            );
        }
        let sent = |name| count(&envoy, "pointsman_prewarms", name);
        assert!(
            envoy.wait_for(|_| sent("wanted") == 1.0 && !ours(&hosts[0]).is_empty()),
            "{way}: {} sent, {} failed, {} arrived:\n{}",
            sent("wanted"),
            count(&envoy, "pointsman_prewarm_failures", "wanted"),
            ours(&hosts[0]).len(),
            pointsman_harness::envoy::tail(&envoy.log())
        );
        // The backend is cold again a second later, and all three that tick find it so; but the money is spent.
        let estimate = || {
            let dry = Request::post("/v1/route", &body)
                .send(envoy.address())
                .unwrap();
            dry.json()["candidates"][0]["estimate"]["latency_p50_ms"]
                .as_f64()
                .unwrap_or_default()
        };
        assert!(
            envoy.wait_for(|_| estimate() > 5000.0),
            "{way}: {}",
            estimate()
        );
        std::thread::sleep(std::time::Duration::from_secs(3));
        let [request] = <[Value; 1]>::try_from(ours(&hosts[0])).unwrap();
        let headers = request["headers"].to_string();
        assert!(
            headers.contains(r#"["x-key","pointsman-cli"]"#),
            "{way}: {headers}"
        );
        assert_eq!(request["path"], CHAT, "{way}");
        let id = request["id"].as_u64().unwrap();
        let path = format!("/control/requests/{id}/body");
        let sent_body = Request::get(&path).send(hosts[0].address).unwrap();
        assert!(!sent_body.text().contains(SECRET), "{way}");
        assert_eq!(sent_body.json()["model"], "small@wanted", "{way}");
        assert_eq!(sent_body.json()["max_tokens"], 1, "{way}");
        // Nobody ever wanted the other one.
        assert!(
            ours(&hosts[1]).is_empty() && sent("unwanted") == 0.0,
            "{way}"
        );
        assert_eq!(sent("wanted"), 1.0, "{way}");
        assert_eq!(
            count(&envoy, "pointsman_prewarm_failures", "wanted"),
            0.0,
            "{way}"
        );
        assert_eq!(
            count(&envoy, "pointsman_prewarm_cost_nano_usd", "wanted"),
            1e9,
            "{way}"
        );
    }
}

/// The minimal requests that arrived at a backend.
fn ours(host: &Host) -> Vec<Value> {
    let all = Request::get("/control/requests")
        .send(host.address)
        .unwrap()
        .json();
    let is_ours = |request: &&Value| request["headers"].to_string().contains("pointsman-prewarm");
    all.as_array()
        .into_iter()
        .flatten()
        .filter(is_ours)
        .cloned()
        .collect()
}

fn count(envoy: &Envoy, name: &str, backend: &str) -> f64 {
    metrics::sum(&envoy.metrics(), name, &[("backend", backend)])
}

/// The ramps are over since long, and stand at the share that each step names: what time does to it is tested natively.
fn ramps(case: &Case) {
    let policy = |share: f64, from: f64| {
        let backend = |name: &str, price: f64, from: f64, to: f64| {
            json!({
                "name": name, "model": "small", "served_model": case.backends().get(name).unwrap().model,
                "price": {"input": price, "output": price},
                "ramp": {"from": from, "to": to, "start": "2020-01-01T00:00:00Z", "duration_s": 60},
            })
        };
        json!({
            "latency_source": "declared",
            "version": format!("{share} from {from}"),
            "models": [model("small", 0.6)],
            "backends": [backend("gpu", 0.1, 1.0 - from, 1.0 - share), backend("lpu", 5.0, from, share)],
        })
    };
    let config = |share: f64, from: f64| case.config().with_policy(policy(share, from));
    let mut replaced = case.replaceable(&config(0.0, 0.0));
    let moved = |envoy: &Envoy| -> Vec<bool> {
        (0..60)
            .map(|number| {
                let body = ask("small", &format!("conversation {number}"));
                // Twice, whichever worker it meets.
                let goes_to_lpu = || {
                    let done = case.send_to(envoy.address(), Request::post(CHAT, &body));
                    assert_eq!(done.status(), 200, "{}", done.response.text());
                    done.only().0 == "lpu"
                };
                let moved = goes_to_lpu();
                assert_eq!(moved, goes_to_lpu(), "conversation {number} flaps");
                moved
            })
            .collect()
    };
    let share = |moved: &[bool]| moved.iter().filter(|moved| **moved).count();
    let mut before = moved(&replaced.envoy);
    assert_eq!(share(&before), 0);
    for (step, from, least, most) in [(0.3, 0.0, 8, 30), (0.7, 0.0, 31, 53), (1.0, 0.0, 60, 60)] {
        replaced.push(&config(step, from));
        let now = moved(&replaced.envoy);
        assert!(
            (least..=most).contains(&share(&now)),
            "{} at {step}",
            share(&now)
        );
        assert!(
            before.iter().zip(&now).all(|(then, now)| *now || !then),
            "{step}: some went back"
        );
        before = now;
    }
    // And back.
    replaced.push(&config(0.0, 1.0));
    assert_eq!(share(&moved(&replaced.envoy)), 0);
}

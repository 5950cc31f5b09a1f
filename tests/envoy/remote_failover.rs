//! Policies from an HTTP source where requests fail over: each attempt is made as the policy says that decided on its request.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pointsman_harness::config::Config;
use pointsman_harness::envoy::Envoy;
use pointsman_harness::http1::Request;
use pointsman_harness::metrics;
use pointsman_harness::policy_source::{Document, PolicySource};
use serde_json::{Value, json};

use crate::Test;
use crate::credentials::{self, NAMES};
use crate::failover::{SHORT_TIMEOUTS, model, render_text, ways};
use crate::world::{CHAT, Case, ask};

pub const TESTS: &[Test] = &[(
    "remote_failover::attempts_follow_the_policy",
    attempts_follow_the_policy,
)];

const CHANGES: u64 = 40;

/// Three backends of one model, of which the first two fail, and as many policies as wanted: each knows the model under
/// other names. Every second one says nothing of credentials and places.
struct Fleet {
    sinks: credentials::Fleet,
    source: PolicySource,
}

impl Fleet {
    fn start() -> Fleet {
        Fleet {
            sinks: credentials::Fleet::start(),
            source: PolicySource::start().unwrap(),
        }
    }

    fn policy(&self, revision: u64) -> Value {
        let mut policy = self.sinks.policy();
        policy["models"] = json!([model("small", 0.6)]);
        policy["version"] = json!(format!("v{revision}"));
        policy["revision"] = json!(revision);
        for (index, backend) in policy["backends"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .enumerate()
        {
            let usd = [0.1, 0.2, 0.3][index];
            backend["model"] = json!("small");
            backend["served_model"] = json!(format!("{}-r{revision}", NAMES[index]));
            backend["price"] = json!({"input": usd, "output": usd});
            if revision % 2 == 1 {
                let fields = backend.as_object_mut().unwrap();
                fields.retain(|name, _| !["credentials", "endpoint"].contains(&name.as_str()));
            }
        }
        policy
    }

    fn serve(&self, policy: &Value) {
        self.source.serve(Document {
            body: policy.to_string().into_bytes(),
            signature: None,
            etag: None,
        });
    }

    /// As it is rendered, but for how often the source is asked.
    fn config(&self, case: &Case, way: &str) -> Config {
        let url = format!("http://{}/policy.json", self.source.address());
        let options = [&["--policy-source", url.as_str()][..], &SHORT_TIMEOUTS].concat();
        let text = render_text(case, &self.policy(0), way, &options);
        let often = "\"policy_source\": {\"interval_ms\": 100, ";
        Config::parse(&text.replace("\"policy_source\": {", often)).unwrap()
    }

    /// One request, which fails over; the revision that decided on it, after checking that all attempts were made as it says.
    fn send(&self, case: &Case, envoy: &Envoy, way: &str) -> u64 {
        let id = case.id();
        let body = ask("auto:cheap", "hi");
        let response = credentials::send(envoy, &id, "a,b", Request::post(CHAT, &body));
        assert_eq!(response.status, 200, "{way}: {}", response.text());
        let version = response.header("x-pointsman-policy-version").unwrap();
        let revision: u64 = version.strip_prefix('v').unwrap().parse().unwrap();
        assert_eq!(response.header("x-pointsman-backend"), Some("c"));
        let counts = self.sinks.check(&id, version);
        assert_eq!(counts[2], 1, "{way}: {counts:?}");
        for (name, sink) in NAMES.iter().zip(&self.sinks.sinks) {
            for received in sink.received(&id) {
                assert_eq!(received.path, CHAT, "{way}");
                assert_eq!(received.model(), format!("{name}-r{revision}"), "{way}");
            }
        }
        revision
    }
}

fn attempts_follow_the_policy(case: &Case) {
    for way in ways(case) {
        let fleet = Fleet::start();
        fleet.serve(&fleet.policy(0));
        let envoy = case.start(&fleet.config(case, way));
        change_under_load(case, &fleet, &envoy, way);
        stranger_is_refused(case, &fleet, &envoy, way);
        let sum = |name: &str| metrics::sum(&envoy.metrics(), name, &[]);
        assert_eq!(sum("pointsman_attempts_unresolved"), 0.0, "{way}");
        assert_eq!(sum("pointsman_host_call_errors"), 0.0, "{way}");
        assert_eq!(fleet.source.most_at_once(), 1, "{way}");
    }
}

fn change_under_load(case: &Case, fleet: &Fleet, envoy: &Envoy, way: &str) {
    let (newest, count) = (AtomicU64::new(0), AtomicU64::new(0));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load = || {
            while !done.load(Ordering::SeqCst) {
                let revision = fleet.send(case, envoy, way);
                newest.fetch_max(revision, Ordering::SeqCst);
                count.fetch_add(1, Ordering::SeqCst);
            }
        };
        let workers = [scope.spawn(load), scope.spawn(load), scope.spawn(load)];
        for revision in 1..=CHANGES {
            fleet.serve(&fleet.policy(revision));
            let changed = Instant::now();
            while newest.load(Ordering::SeqCst) < revision {
                let alive = workers.iter().all(|worker| !worker.is_finished());
                if !alive || changed.elapsed() > Duration::from_secs(30) {
                    done.store(true, Ordering::SeqCst);
                    panic!("{way}: revision {revision} never took effect");
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        done.store(true, Ordering::SeqCst);
    });
    let count = count.load(Ordering::SeqCst);
    eprintln!(
        "Envoy {}, {way}: {CHANGES} changes, {count} requests failed over",
        case.version
    );
}

/// Envoy's configuration was written for these backends with these credentials: a policy with others stays out.
fn stranger_is_refused(case: &Case, fleet: &Fleet, envoy: &Envoy, way: &str) {
    let mut renamed = fleet.policy(CHANGES + 1);
    renamed["backends"][0]["name"] = json!("z");
    let line = "the policy has the backend `z` in the cluster `sink-a`, for which failover was not rendered: \
                render again, or leave it out; the policy in force stays";
    let mut paired = fleet.policy(CHANGES + 2);
    paired["backends"][2]["credentials"] = json!({"env": credentials::KEYS[0]});
    let mut swapped = fleet.policy(CHANGES + 2);
    swapped["backends"][0]["credentials"]["env"] = json!(credentials::KEYS[1]);
    let mut moved = fleet.policy(CHANGES + 2);
    moved["backends"][0]["endpoint"] = json!("http://127.0.0.1:9/elsewhere");
    let other = |backend: &str, field: &str| {
        format!(
            "the policy gives the backend `{backend}` another `{field}` than was rendered for it: render again, or leave the field out; the policy in force stays"
        )
    };
    for (policy, result, line) in [
        (renamed, "backend_not_rendered", line.to_owned()),
        (paired, "pair_not_rendered", other("c", "credentials")),
        (swapped, "pair_not_rendered", other("a", "credentials.env")),
        (moved, "pair_not_rendered", other("a", "endpoint")),
    ] {
        let count = |envoy: &Envoy| {
            metrics::sum(
                &envoy.metrics(),
                "pointsman_policy_polls",
                &[("result", result)],
            )
        };
        let before = count(envoy);
        fleet.serve(&policy);
        assert!(
            envoy.wait_for(|envoy| count(envoy) > before),
            "{way}: {result}"
        );
        assert!(
            envoy.wait_for(|envoy| envoy.log().contains(&line)),
            "{way}: {line}: {}",
            envoy.log()
        );
        assert_eq!(fleet.send(case, envoy, way), CHANGES);
    }
}

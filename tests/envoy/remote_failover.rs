//! Policies from an HTTP source where requests fail over: each attempt is made as the policy says that decided on its request.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pointsman_testkit::config::Config;
use pointsman_testkit::envoy::Envoy;
use pointsman_testkit::metrics;
use pointsman_testkit::policy_source::{Document, PolicySource};
use serde_json::{Value, json};

use crate::Test;
use crate::failover::{Host, model, render_text, send, ways};
use crate::world::{Case, ask};

pub const TESTS: &[Test] = &[(
    "remote_failover::attempts_follow_the_policy",
    attempts_follow_the_policy,
)];

const CHANGES: u64 = 40;

/// Two backends of one model, and as many policies as wanted: each reaches them at a path of its own.
struct Fleet {
    hosts: [Host; 2],
    source: PolicySource,
}

impl Fleet {
    fn start() -> Fleet {
        Fleet {
            hosts: [
                Host::start("gpu-a", "small", 0.1),
                Host::start("gpu-b", "small", 0.2),
            ],
            source: PolicySource::start().unwrap(),
        }
    }

    fn policy(&self, revision: u64) -> Value {
        let backends = self.hosts.iter().map(|host| {
            let mut backend = host.policy.clone();
            backend["endpoint"] = json!(format!("http://{}/r{revision}", host.address));
            backend
        });
        json!({
            "version": format!("v{revision}"), "revision": revision,
            // The first backend fails each time, and is tried all the same.
            "latencies": "stated",
            "models": [model("small", 0.6)],
            "backends": backends.collect::<Vec<_>>(),
        })
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
        let text = render_text(case, &self.policy(0), way, &["--policy-source", &url]);
        let often = "\"policy_source\": {\"interval_ms\": 100, ";
        Config::parse(&text.replace("\"policy_source\": {", often)).unwrap()
    }

    /// One request, which fails over; the revision that decided on it, after checking that both attempts were made as it says.
    fn send(&self, case: &Case, envoy: &Envoy, way: &str) -> u64 {
        let id = case.id();
        let first = &self.hosts[0].process.as_ref().unwrap().all()[0];
        first
            .fault(&json!({"kind": "status", "status": 500, "test": id}))
            .unwrap();
        let response = send(envoy.address(), &id, &ask("auto:cheap", "hi"));
        assert_eq!(response.status, 200, "{way}: {}", response.text());
        let version = response.header("x-pointsman-policy-version").unwrap();
        let revision: u64 = version.strip_prefix('v').unwrap().parse().unwrap();
        assert_eq!(response.header("x-pointsman-backend"), Some("gpu-b"));
        for host in &self.hosts {
            let backend = &host.process.as_ref().unwrap().all()[0];
            for received in backend.received(&id).unwrap() {
                let path = received.record["path"].as_str().unwrap();
                let expected = format!("/r{revision}/v1/chat/completions");
                assert_eq!(path, expected, "{way}: decided by {version}");
                assert_eq!(received.json()["model"], backend.model.as_str(), "{way}");
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
        assert_eq!(sum("pointsman_attempts_unknown"), 0.0, "{way}");
        assert_eq!(sum("pointsman_host_faults"), 0.0, "{way}");
        assert_eq!(fleet.source.most_at_once(), 1, "{way}");
    }
}

fn change_under_load(case: &Case, fleet: &Fleet, envoy: &Envoy, way: &str) {
    let (seen, count) = (AtomicU64::new(0), AtomicU64::new(0));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load = || {
            while !done.load(Ordering::SeqCst) {
                let revision = fleet.send(case, envoy, way);
                seen.fetch_max(revision, Ordering::SeqCst);
                count.fetch_add(1, Ordering::SeqCst);
            }
        };
        let workers = [scope.spawn(load), scope.spawn(load), scope.spawn(load)];
        for revision in 1..=CHANGES {
            fleet.serve(&fleet.policy(revision));
            let changed = Instant::now();
            while seen.load(Ordering::SeqCst) < revision {
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

/// Envoy's configuration was written for the backends by name: a policy with another one stays out.
fn stranger_is_refused(case: &Case, fleet: &Fleet, envoy: &Envoy, way: &str) {
    let mut policy = fleet.policy(CHANGES + 1);
    policy["backends"][0]["name"] = json!("gpu-z");
    policy["backends"][0]["cluster"] = json!("gpu-a");
    fleet.serve(&policy);
    let refused = |envoy: &Envoy| {
        let labels = [("result", "backend_not_rendered")];
        metrics::sum(&envoy.metrics(), "pointsman_policy_polls", &labels) > 0.0
    };
    assert!(envoy.wait_for(refused), "{way}");
    let line = "the policy has the backend `gpu-z` in the cluster `gpu-a`, for which failover was not rendered: \
                render anew, or leave it out; the policy in force stays";
    assert!(envoy.log().contains(line), "{way}: {}", envoy.log());
    assert_eq!(fleet.send(case, envoy, way), CHANGES);
}

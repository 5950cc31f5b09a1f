//! The headers that reach a backend: its own credentials or the client's, and nothing that identifies anybody. And
//! what reaches a client under our names: what we say.

use pointsman_harness::config::Config;
use pointsman_harness::envoy::Envoy;
use pointsman_harness::http1::{Request, Response};
use pointsman_harness::metrics;
use serde_json::{Value, json};

use crate::Test;
use crate::failover::{model, render, ways};
use crate::sink::{FAIL, Sink, SinkRequest};
use crate::world::{CHAT, Case, ask};

pub const TESTS: &[Test] = &[
    (
        "credentials::each_attempt_has_exactly_its_own",
        each_attempt_has_exactly_its_own,
    ),
    ("credentials::without_failover_too", without_failover_too),
    (
        "credentials::what_is_not_decided_has_them_too",
        what_is_not_decided_has_them_too,
    ),
    (
        "credentials::backends_cannot_speak_for_us",
        backends_cannot_speak_for_us,
    ),
];

/// Variables that Cargo sets for tests, and Envoy gets from them: secrets must come from somewhere.
pub const KEYS: [&str; 2] = ["CARGO_PKG_NAME", "CARGO_PKG_VERSION"];

pub fn secret(index: usize) -> String {
    std::env::var(KEYS[index]).unwrap()
}

/// Headers of the client, all of which hold a secret or an address.
pub const CLIENT: [(&str, &str); 6] = [
    ("authorization", "Bearer client-1"),
    ("x-api-key", "client-2"),
    ("api-key", "client-3"),
    ("cookie", "client=4"),
    ("openai-organization", "client-5"),
    ("x-real-ip", "192.0.2.7"),
];

/// Those of what arrived that say who or where anybody is, sorted.
pub fn guarded(received: &SinkRequest) -> Vec<(String, String)> {
    let own = ["x-real-ip", "via", "forwarded"];
    let mut found: Vec<(String, String)> = received
        .headers
        .iter()
        .filter(|(name, _)| {
            CLIENT.iter().any(|(known, _)| known == name)
                || own.contains(&name.as_str())
                || name.starts_with("x-envoy-")
                || name.starts_with("x-forwarded-")
                || name.starts_with("x-pointsman-")
        })
        .cloned()
        .collect();
    found.sort();
    found
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mut owned: Vec<_> = owned.collect();
    owned.sort();
    owned
}

/// The requests that arrive at the sink of this name.
pub fn expected(sink: &str) -> Vec<(String, String)> {
    match sink {
        "a" => pairs(&[("x-api-key", &secret(0))]),
        "b" => pairs(&[("authorization", &format!("Bearer {}", secret(1)))]),
        _ => pairs(&CLIENT[..5]),
    }
}

pub const NAMES: [&str; 3] = ["a", "b", "c"];

/// Three sinks: two with credentials of their own, one that takes the client's.
pub struct Fleet {
    pub sinks: [Sink; 3],
}

impl Fleet {
    pub fn start() -> Fleet {
        Fleet {
            sinks: NAMES.map(Sink::start),
        }
    }

    pub fn policy(&self) -> Value {
        let backends = NAMES.iter().zip(&self.sinks).map(|(name, sink)| {
            json!({
                "name": name, "cluster": format!("sink-{name}"), "model": format!("model-{name}"),
                "served_model": format!("served-{name}"), "price": {"input": 1, "output": 1},
                "endpoint": format!("http://{}", sink.address),
            })
        });
        let mut backends: Vec<Value> = backends.collect();
        backends[0]["credentials"] =
            json!({"header": "x-api-key", "env": KEYS[0], "other_paths": ["/v1/audio/"]});
        backends[1]["credentials"] = json!({"env": KEYS[1]});
        json!({
            "latency_source": "declared", "default_cluster": "sink-a",
            "models": NAMES.map(|name| model(&format!("model-{name}"), 0.6)),
            "backends": backends,
        })
    }

    /// Checks every attempt under this id; how many there were at each sink.
    pub fn check(&self, id: &str, what: &str) -> [usize; 3] {
        let mut counts = [0; 3];
        for ((name, sink), count) in NAMES.iter().zip(&self.sinks).zip(&mut counts) {
            for received in sink.received(id) {
                let mut found = guarded(&received);
                // By it Envoy finds its routes: where attempts have no filter of their own, it stays.
                found.retain(|(name, _)| what != "off" || name != "x-forwarded-proto");
                assert_eq!(found, expected(name), "{what}, at {name}");
                *count += 1;
            }
        }
        counts
    }
}

pub fn send<'a>(envoy: &Envoy, id: &'a str, fail: &'a str, request: Request<'a>) -> Response {
    let mut request = request
        .header("x-test-id", id.as_bytes())
        .header(FAIL, fail.as_bytes());
    for (name, value) in CLIENT {
        request = request.header(name, value.as_bytes());
    }
    request.send(envoy.address()).unwrap()
}

/// A policy whose first choice is one backend, then another, then the third.
fn ordered(fleet: &Fleet, order: [usize; 3]) -> Value {
    let mut policy = fleet.policy();
    for (place, index) in order.into_iter().enumerate() {
        let usd = [0.1, 1.0, 10.0][place];
        policy["backends"][index]["price"] = json!({"input": usd, "output": usd});
    }
    policy
}

fn each_attempt_has_exactly_its_own(case: &Case) {
    let fleet = Fleet::start();
    for way in ways(case) {
        for order in [[0, 1, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let envoy = case.start(&render(case, &ordered(&fleet, order), way));
            let names = order.map(|index| NAMES[index]);
            for failing in 0..3 {
                let fail = names[..failing].join(",");
                let what = format!("{way}, {names:?}, {failing} fail");
                let id = case.id();
                let body = ask("auto:cheap", "hi");
                let response = send(&envoy, &id, &fail, Request::post(CHAT, &body));
                assert_eq!(response.status, 200, "{what}: {}", response.text());
                let counts = fleet.check(&id, &what);
                for (place, index) in order.into_iter().enumerate() {
                    assert_eq!(counts[index] > 0, place <= failing, "{what}: {counts:?}");
                    for received in fleet.sinks[index].received(&id) {
                        assert_eq!(
                            received.model(),
                            format!("served-{}", NAMES[index]),
                            "{what}"
                        );
                    }
                }
            }
            assert_sound(&envoy, way);
        }
    }
}

fn assert_sound(envoy: &Envoy, way: &str) {
    for name in ["attempts_unresolved", "secrets_missing", "host_call_errors"] {
        let name = format!("pointsman_{name}");
        assert_eq!(
            metrics::sum(&envoy.metrics(), &name, &[]),
            0.0,
            "{way}: {name}"
        );
    }
}

/// A configuration of one's own: `render` writes none without failover where backends have credentials.
fn plain(case: &Case, policy: &Value) -> Config {
    let mut bare = policy.clone();
    for backend in bare["backends"].as_array_mut().unwrap() {
        let fields = backend.as_object_mut().unwrap();
        fields.remove("credentials");
        let host = fields["endpoint"].as_str().unwrap();
        let host = host.trim_end_matches("/below").to_owned();
        fields["endpoint"] = json!(host);
    }
    let variables = json!({"host_env_keys": KEYS});
    render(case, &bare, "off")
        .set_plugin("vm_config/environment_variables", variables)
        .with_policy(policy.clone())
}

fn config(case: &Case, policy: &Value, way: &str) -> Config {
    match way {
        "off" => plain(case, policy),
        _ => render(case, policy, way),
    }
}

fn without_failover_too(case: &Case) {
    let fleet = Fleet::start();
    let mut policy = fleet.policy();
    policy["backends"][1]["endpoint"] = json!(format!("http://{}/below", fleet.sinks[1].address));
    let envoy = case.start(&plain(case, &policy));
    for (name, sink) in NAMES.iter().zip(&fleet.sinks) {
        let id = case.id();
        let body = ask(&format!("model-{name}"), "hi");
        let response = send(&envoy, &id, "", Request::post(CHAT, &body));
        assert_eq!(response.status, 200, "{}", response.text());
        fleet.check(&id, "off");
        let received = sink.received(&id);
        assert_eq!(received.len(), 1);
        let prefix = if *name == "b" { "/below" } else { "" };
        assert_eq!(received[0].path, format!("{prefix}{CHAT}"));
    }
    assert_sound(&envoy, "off");
}

fn what_is_not_decided_has_them_too(case: &Case) {
    let fleet = Fleet::start();
    let none: Vec<(String, String)> = Vec::new();
    for way in ["off"].iter().chain(ways(case)) {
        let envoy = case.start(&config(case, &fleet.policy(), way));
        // A body that is not a request: it goes to the default cluster, whose backend has a key.
        let id = case.id();
        send(
            &envoy,
            &id,
            "",
            Request::post(CHAT, b"{\"model\": \"model-c\", \"messages\": ["),
        );
        let counts = fleet.check(&id, way);
        assert_eq!(counts, [1, 0, 0], "{way}");
        let mut shadow = fleet.policy();
        shadow["mode"] = json!("shadow");
        if *way == "off" {
            continue;
        }
        // No API that is routed: the key is for what the policy opens.
        for (path, keys) in [
            ("/v1/files", &none),
            ("/v1/audio/../files", &none),
            ("/v1/audio/speech", &expected("a")),
        ] {
            let id = case.id();
            send(&envoy, &id, "", Request::post(path, b"{}"));
            let received = fleet.sinks[0].received(&id);
            assert_eq!(received.len(), 1, "{way}, {path}");
            assert_eq!(&guarded(&received[0]), keys, "{way}, {path}");
        }
        let envoy = case.start(&render(case, &shadow, way));
        let id = case.id();
        let body = ask("model-c", "hi");
        send(&envoy, &id, "", Request::post(CHAT, &body));
        assert_eq!(fleet.check(&id, "shadow"), [1, 0, 0], "{way}");
        assert_sound(&envoy, way);
    }
}

fn backends_cannot_speak_for_us(case: &Case) {
    let fleet = Fleet::start();
    for way in ["off"].iter().chain(ways(case)) {
        let envoy = case.start(&config(case, &fleet.policy(), way));
        for (path, body) in [
            (CHAT, ask("auto", "hi")),
            (CHAT, ask("model-b", "hi")),
            (CHAT, b"{\"messages\": 5}".to_vec()),
            ("/v1/other", b"{}".to_vec()),
        ] {
            let id = case.id();
            let response = send(&envoy, &id, "", Request::post(path, &body));
            for (name, value) in &response.headers {
                let is_ours = name.to_ascii_lowercase().starts_with("x-pointsman-");
                assert!(
                    !is_ours || !value.contains("forged"),
                    "{way}, {path}: {name}"
                );
                assert_ne!(name, "x-pointsman-forged", "{way}, {path}");
            }
        }
    }
}

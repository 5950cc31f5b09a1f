//! Policies from an HTTP source: changed a hundred times under load, refused for every reason there is, kept when the source
//! or a worker dies.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ed25519_compact::{KeyPair, Seed};
use pointsman::base64;
use pointsman::control::signature::PublicKey;
use pointsman_harness::config::Config;
use pointsman_harness::envoy::Envoy;
use pointsman_harness::files;
use pointsman_harness::http1::Request;
use pointsman_harness::metrics;
use pointsman_harness::policy_source::{Behaviour, Document, PolicySource};
use serde_json::{Value, json};

use crate::Test;
use crate::world::{CHAT, Case, ask};

pub const TESTS: &[Test] = &[
    (
        "remote::hundred_changes_under_load",
        hundred_changes_under_load,
    ),
    ("remote::refusals_change_nothing", refusals_change_nothing),
    ("remote::last_good_is_kept", last_good_is_kept),
    (
        "remote::dead_workers_hold_nobody_up",
        dead_workers_hold_nobody_up,
    ),
    (
        "remote::an_update_of_the_listener_keeps_it",
        an_update_of_the_listener_keeps_it,
    ),
    (
        "remote::unknown_cluster_is_survived",
        unknown_cluster_is_survived,
    ),
    (
        "remote::receipts_without_a_place_are_warned_of",
        receipts_without_a_place_are_warned_of,
    ),
];

const CHANGES: u64 = 100;

fn keys() -> KeyPair {
    KeyPair::from_seed(Seed::new([9; 32]))
}

/// The shipped policy as its author's number `revision`: the 8B model moves between two clusters, each of which takes only
/// its own name for it, so that a mixture of two policies would be an error.
fn policy(case: &Case, revision: u64) -> Value {
    let mut policy = case.config().plugin_configuration()["policy"].clone();
    policy["version"] = json!(format!("v{revision}"));
    policy["revision"] = json!(revision);
    let (cluster, serves) = place(revision);
    policy["backends"][1]["cluster"] = json!(cluster);
    policy["backends"][1]["served_model"] = json!(serves);
    policy
}

/// The 8B model under this revision: its cluster, and the name that is served there.
fn place(revision: u64) -> (&'static str, &'static str) {
    match revision % 2 {
        0 => ("lpu", "llama-3.1-8b-instant"),
        _ => ("cpu", "llama-3.2-1b"),
    }
}

/// A policy, signed, with a tag of its own.
fn document(policy: &Value) -> Document {
    let body = policy.to_string().into_bytes();
    Document {
        signature: Some(base64::encode(keys().sk.sign(&body, None).as_ref())),
        etag: Some(format!("\"{}\"", policy["version"])).map(|etag| etag.replace("\"\"", "\"")),
        body,
    }
}

/// The shipped configuration with a source that is asked ten times a second, and the policy of revision 0 inline.
fn config(case: &Case, source: &PolicySource, shipped: Config) -> Config {
    let key = PublicKey::from_bytes(*keys().pk).to_string();
    let mut plugin = shipped.plugin_configuration();
    plugin["policy"] = policy(case, 0);
    plugin["policy_source"] = json!({
        "cluster": "policies", "path": "/policy.json?for=tests", "interval_ms": 100, "timeout_ms": 300,
        "max_bytes": 20_000, "public_keys": [key],
    });
    plugin["allowed_clusters"] = json!(["cpu", "lpu", "gpu", "serverless"]);
    let clusters = case.backends().clusters();
    shipped
        .with_clusters(clusters.chain([("policies", source.address())]))
        .with_plugin_configuration(&plugin)
}

/// The revision that a response names, after checking that it went where that one says.
fn revision_of(response: &pointsman_harness::http1::Response) -> u64 {
    assert_eq!(response.status, 200, "{}", response.text());
    let version = response.header("x-pointsman-policy-version").unwrap();
    let revision = version.strip_prefix('v').unwrap().parse().unwrap();
    let went_to = response.header("x-demo-backend").unwrap();
    assert_eq!(went_to, place(revision).0, "misrouted under {version}");
    revision
}

fn send(envoy: &Envoy) -> u64 {
    let response = Request::post(CHAT, &ask("llama-3.1-8b", "hi")).send(envoy.address());
    revision_of(&response.unwrap())
}

fn polls(envoy: &Envoy, result: &str) -> f64 {
    let labels = [("result", result)];
    metrics::sum(&envoy.metrics(), "pointsman_policy_polls", &labels)
}

fn gauge(envoy: &Envoy, name: &str) -> f64 {
    metrics::sum(&envoy.metrics(), &format!("pointsman_{name}"), &[])
}

/// One version is shown as the one in force, and it is that of this revision.
fn only_version(envoy: &Envoy, revision: u64) {
    let version = format!("v{revision}");
    let active = |envoy: &Envoy| -> Vec<String> {
        let samples = envoy.metrics();
        let all = samples
            .iter()
            .filter(|sample| sample.name == "pointsman_policy_active");
        let active = all.filter(|item| item.value > 0.0);
        active
            .filter_map(|item| Some(item.label("version")?.to_owned()))
            .collect()
    };
    let alone = envoy.wait_for(|envoy| active(envoy) == [version.as_str()]);
    assert!(alone, "{:?} instead of {version}", active(envoy));
}

fn hundred_changes_under_load(case: &Case) {
    let source = PolicySource::start().unwrap();
    source.serve(document(&policy(case, 0)));
    let envoy = case.start(&config(case, &source, case.config()));
    let published = AtomicU64::new(0);
    let newest = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    let count = AtomicU64::new(0);
    let slowest = Mutex::new(Duration::ZERO);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let load = || {
            while !done.load(Ordering::SeqCst) {
                // A client that has seen a policy in force is never served by an older one, whichever worker serves.
                let floor = newest.load(Ordering::SeqCst);
                let begun = Instant::now();
                let revision = send(&envoy);
                let took = begun.elapsed();
                assert!(revision >= floor, "{revision} after {floor} was in force");
                assert!(revision <= published.load(Ordering::SeqCst));
                newest.fetch_max(revision, Ordering::SeqCst);
                count.fetch_add(1, Ordering::SeqCst);
                let mut slowest = slowest.lock().unwrap();
                *slowest = (*slowest).max(took);
            }
        };
        let workers = [scope.spawn(load), scope.spawn(load), scope.spawn(load)];
        for revision in 1..=CHANGES {
            published.store(revision, Ordering::SeqCst);
            source.serve(document(&policy(case, revision)));
            let changed = Instant::now();
            while newest.load(Ordering::SeqCst) < revision {
                let alive = workers.iter().all(|worker| !worker.is_finished());
                if !alive || changed.elapsed() > Duration::from_secs(30) {
                    done.store(true, Ordering::SeqCst);
                    panic!(
                        "revision {revision} never took effect:\n{}",
                        pointsman_harness::envoy::tail(&envoy.log())
                    );
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        done.store(true, Ordering::SeqCst);
    });
    eprintln!(
        "Envoy {}: {CHANGES} changes in {:.1?}, {} requests, slowest {:.1?}",
        case.version,
        start.elapsed(),
        count.load(Ordering::SeqCst),
        slowest.lock().unwrap()
    );
    assert_eq!(polls(&envoy, "accepted"), CHANGES as f64);
    assert_eq!(gauge(&envoy, "policy_revision"), CHANGES as f64);
    assert_eq!(gauge(&envoy, "host_call_errors"), 0.0);
    assert_eq!(gauge(&envoy, "policy_errors"), 0.0);
    only_version(&envoy, CHANGES);
    // And where no request comes after the change.
    source.serve(document(&policy(case, CHANGES + 1)));
    only_version(&envoy, CHANGES + 1);
    assert_eq!(source.most_at_once(), 1, "more than one worker asked");
    let asked = source.asked();
    assert!(
        asked[0].starts_with("GET /policy.json?for=tests HTTP/1.1"),
        "{}",
        asked[0]
    );
}

fn refusals_change_nothing(case: &Case) {
    let source = PolicySource::start().unwrap();
    source.serve(document(&policy(case, 2)));
    let envoy = case.start(&config(case, &source, case.config()));
    assert!(envoy.wait_for(|envoy| send(envoy) == 2));

    let good = || policy(case, 3);
    let change = |edit: &dyn Fn(&mut Value)| {
        let mut policy = good();
        edit(&mut policy);
        document(&policy)
    };
    let cases: [(&str, &str, Document); 8] = [
        (
            "unsigned",
            "the policy is not signed",
            Document {
                signature: None,
                ..document(&good())
            },
        ),
        (
            "bad_signature",
            "the policy has a signature that no configured key made",
            Document {
                signature: document(&policy(case, 4)).signature,
                ..document(&good())
            },
        ),
        (
            "bad_signature",
            "the policy has a signature that is not 64 bytes in base64",
            Document {
                signature: Some("c2hvcnQ=".into()),
                ..document(&good())
            },
        ),
        (
            "invalid",
            ": max_body_byts: unknown field `max_body_byts`; did you mean `max_body_bytes`?",
            change(&|policy| policy["max_body_byts"] = json!(5)),
        ),
        (
            "cluster_not_allowed",
            "the policy names the cluster `elsewhere`, which is not allowed; allowed: `cpu`, `lpu`, `gpu`, `serverless`",
            change(&|policy| policy["backends"][2]["cluster"] = json!("elsewhere")),
        ),
        (
            "outdated",
            "the policy has the revision `1`, but `2` is in force",
            document(&policy(case, 1)),
        ),
        (
            "outdated",
            "the policy has no revision, but `2` is in force",
            change(&|policy| {
                policy.as_object_mut().unwrap().remove("revision");
            }),
        ),
        (
            "too_large",
            "bytes where 20000 are allowed",
            change(&|policy| policy["version"] = json!("x".repeat(30_000))),
        ),
    ];
    for (code, message, document) in cases {
        let before = polls(&envoy, code);
        source.serve(document);
        assert!(
            envoy.wait_for(|envoy| polls(envoy, code) > before + 1.0),
            "{code}: {message}"
        );
        let log = envoy.log();
        let line = format!("{message}; the policy in force stays");
        let expected: Vec<&str> = log.lines().filter(|text| text.contains(&line)).collect();
        assert_eq!(expected.len(), 1, "{line}\n{}", refusals(&log));
        assert!(expected[0].contains("policy source `policies`: "));
        for _ in 0..6 {
            assert_eq!(send(&envoy), 2, "{code}");
        }
    }
    assert_eq!(polls(&envoy, "accepted"), 1.0);
    source.serve(document(&good()));
    assert!(envoy.wait_for(|envoy| send(envoy) == 3));
    // Back with one push: what was there before, under a new revision.
    let mut back = policy(case, 2);
    back["revision"] = json!(4);
    source.serve(document(&back));
    assert!(envoy.wait_for(|envoy| send(envoy) == 2));
    assert_eq!(gauge(&envoy, "policy_revision"), 4.0);
    assert!(!envoy.log().contains("panicked"));
}

fn refusals(log: &str) -> String {
    let lines = log.lines().filter(|line| line.contains("policy source"));
    lines.collect::<Vec<_>>().join("\n")
}

fn last_good_is_kept(case: &Case) {
    let source = PolicySource::start().unwrap();
    source.behave(Behaviour::HangUp);
    let envoy = case.start(&config(case, &source, case.config()));
    assert!(envoy.wait_for(|envoy| polls(envoy, "unreachable") > 0.0));
    assert_eq!(send(&envoy), 0, "the inline policy is the first");

    source.serve(document(&policy(case, 1)));
    assert!(envoy.wait_for(|envoy| send(envoy) == 1));
    let confirmed = gauge(&envoy, "policy_confirmed_timestamp_seconds");
    assert!(confirmed > 1.7e9 && gauge(&envoy, "policy_published_timestamp_seconds") <= confirmed);
    assert!(envoy.wait_for(|envoy| polls(envoy, "unchanged") > 2.0));
    assert!(
        source
            .asked()
            .iter()
            .any(|head| head.contains("if-none-match: \"v1\""))
    );

    for (behaviour, code) in [
        (Behaviour::HangUp, "unreachable"),
        (Behaviour::Status(500), "status"),
        (Behaviour::Status(301), "status"),
        (Behaviour::Silence, "timeout"),
    ] {
        let before = polls(&envoy, code);
        source.behave(behaviour.clone());
        assert!(
            envoy.wait_for(|envoy| polls(envoy, code) > before),
            "{behaviour:?}: {}",
            refusals(&envoy.log())
        );
        assert_eq!(send(&envoy), 1, "{behaviour:?}");
    }
    source.serve(document(&policy(case, 2)));
    assert!(envoy.wait_for(|envoy| send(envoy) == 2));
}

/// Both workers' virtual machines end in a trap, also while one of them may wait for the source: others, and what is loaded
/// anew, go on with the policy in force and take the next one.
fn dead_workers_hold_nobody_up(case: &Case) {
    let module = files::require("target/pointsman-test-trap.wasm", "make wasm-test-trap");
    let module = module.unwrap_or_else(|error| panic!("{error}"));
    let source = PolicySource::start().unwrap();
    source.serve(document(&policy(case, 0)));
    let envoy = case.start(&config(case, &source, case.config_with(&module)));
    for revision in 1..=3 {
        let asked = source.asked().len();
        source.behave(Behaviour::Silence);
        assert!(envoy.wait_for(|_| source.asked().len() > asked));
        let body = ask("llama-3.1-8b", "hi");
        for _ in 0..12 {
            let trap = Request::post(CHAT, &body).header("x-test-trap", b"1");
            assert_eq!(trap.send(envoy.address()).unwrap().status, 503);
        }
        let alive = || Request::post(CHAT, &body).send(envoy.address()).unwrap();
        assert!(envoy.wait_for(|_| alive().status == 200));
        source.serve(document(&policy(case, revision)));
        let takes_effect = |envoy: &Envoy| {
            let response = alive();
            response.status == 200 && revision_of(&response) == revision || !is_up(envoy)
        };
        assert!(envoy.wait_for(takes_effect), "{}", refusals(&envoy.log()));
    }
    // In both workers.
    assert!(envoy.wait_for(|envoy| (0..20).all(|_| send(envoy) == 3)));
}

fn is_up(envoy: &Envoy) -> bool {
    envoy.admin("/ready").is_ok()
}

fn an_update_of_the_listener_keeps_it(case: &Case) {
    let source = PolicySource::start().unwrap();
    source.serve(document(&policy(case, 1)));
    let config = config(case, &source, case.config());
    let mut envoy = Envoy::start_with_lds(case.version, &config).unwrap();
    assert!(envoy.wait_for(|envoy| send(envoy) == 1));
    source.behave(Behaviour::HangUp);
    let updates = envoy.stat("listener_manager.lds.update_success");
    let marked = config.set_listener(
        "metadata",
        json!({"filter_metadata": {"test": {"push": 1}}}),
    );
    envoy.push_listener(&marked).unwrap();
    assert!(envoy.wait_for(|envoy| {
        envoy.stat("listener_manager.lds.update_success") > updates
            && envoy.stat("listener_manager.total_listeners_warming") == 0
            && envoy.stat("listener_manager.workers_started") == 1
    }));
    envoy.find_listener();
    // The source is down and the inline policy is older: what was published under this configuration still holds.
    for _ in 0..10 {
        assert_eq!(send(&envoy), 1);
    }
}

fn unknown_cluster_is_survived(case: &Case) {
    let source = PolicySource::start().unwrap();
    let config = config(case, &source, case.config()).with_clusters(case.backends().clusters());
    let envoy = case.start(&config);
    assert!(envoy.wait_for(|envoy| polls(envoy, "not_called") > 1.0));
    assert_eq!(send(&envoy), 0);
    let line = "policy source `policies`: the proxy has no such cluster; the policy in force stays";
    assert_eq!(envoy.log().matches(line).count(), 1);
}

/// Receipts for access logs alone cannot be made where nothing is set for these. The policy is in force all the same, and the log
/// says so once for each version, however often the source is asked and whichever workers serve.
fn receipts_without_a_place_are_warned_of(case: &Case) {
    let source = PolicySource::start().unwrap();
    source.serve(document(&policy(case, 0)));
    let config = config(case, &source, case.config());
    let mut plugin = config.plugin_configuration();
    plugin["filter_state"] = json!("none");
    let envoy = case.start(&config.with_plugin_configuration(&plugin));
    let line = "policy source `policies`: filter_state: `none` leaves no place for the policy's `receipts`, \
        which are for access logs alone (`\"mode\": \"log\"`)";
    for (revision, mode, warned) in [(1, "log", 1), (2, "log", 2), (3, "on", 2)] {
        let mut policy = policy(case, revision);
        policy["receipts"] = json!({"mode": mode});
        source.serve(document(&policy));
        assert!(envoy.wait_for(|envoy| (0..10).all(|_| send(envoy) == revision)));
        let before = polls(&envoy, "unchanged");
        assert!(envoy.wait_for(|envoy| polls(envoy, "unchanged") > before + 1.0));
        let log = envoy.log();
        assert_eq!(log.matches(line).count(), warned, "{}", refusals(&log));
    }
}

//! `pointsman doctor` asks a running Envoy: nothing to fix as it is shipped, and what is taken out is found.

use std::path::Path;
use std::process::Command;

use pointsman_harness::closed_port::ClosedPort;
use pointsman_harness::envoy::Envoy;
use serde_json::{Value, json};

use crate::Test;
use crate::world::Case;

pub const TESTS: &[Test] = &[
    ("doctor::shipped_is_healthy", shipped_is_healthy),
    ("doctor::faults_are_found", faults_are_found),
    ("doctor::a_dead_backend_is_found", a_dead_backend_is_found),
];

/// The exit status, and the names of the checks that found an error.
fn examine(case: &Case, envoy: &Envoy) -> (Option<i32>, Vec<String>) {
    let output = Command::new(Path::new(env!("CARGO_BIN_EXE_pointsman")))
        .args([
            "doctor",
            "--json",
            "--admin",
            &envoy.admin_address().to_string(),
        ])
        .arg("--module")
        .arg(case.module())
        .output()
        .unwrap();
    let reported: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let findings = reported["findings"].as_array().unwrap();
    let errors = findings
        .iter()
        .filter(|finding| finding["level"] == "error");
    let names = errors.map(|name| name["check"].as_str().unwrap().to_owned());
    (output.status.code(), names.collect())
}

fn shipped_is_healthy(case: &Case) {
    let envoy = case.start(&case.config());
    assert_eq!(examine(case, &envoy), (Some(0), Vec::new()));
}

fn faults_are_found(case: &Case) {
    let config = case
        .config()
        .set_plugin("failure_policy", json!("FAIL_CLOSED"))
        .set_manager("early_header_mutation_extensions", json!([]))
        .set_policy("default_cluster", json!("nowhere"));
    let envoy = case.start(&config);
    let (status, mut found) = examine(case, &envoy);
    found.sort_unstable();
    assert_eq!(found, ["clusters", "failure_policy", "hygiene"]);
    assert_eq!(status, Some(1));
}

/// Nobody listens where the cluster says; no request has told Envoy so yet.
fn a_dead_backend_is_found(case: &Case) {
    let dead = ClosedPort::new().unwrap();
    let address = dead.address().unwrap();
    let backends = case.backends().clusters();
    let clusters = backends.map(|(name, own)| (name, if name == "lpu" { address } else { own }));
    let envoy = case.start(&case.config().with_clusters(clusters));
    assert_eq!(
        examine(case, &envoy),
        (Some(1), vec!["backends".to_owned()])
    );
}

//! A trap, which must never happen, and what the shipped configuration makes of it: one request lost, the next one served.

use std::time::{Duration, Instant};

use pointsman_harness::files;
use pointsman_harness::http1::Request;
use serde_json::json;

use crate::Test;
use crate::world::{CHAT, Case, ask};

pub const TESTS: &[Test] = &[
    ("traps::trap_and_recovery", trap_and_recovery),
    (
        "traps::skipped_filter_obeys_nobody",
        skipped_filter_obeys_nobody,
    ),
    (
        "traps::shipped_module_has_no_trap",
        shipped_module_has_no_trap,
    ),
];

/// The module with a trap on demand, never shipped.
fn trapping(case: &Case) -> pointsman_harness::config::Config {
    let module = files::require("target/pointsman-test-trap.wasm", "make wasm-test-trap");
    case.config_with(&module.unwrap_or_else(|error| panic!("{error}")))
}

fn trap(case: &Case, address: std::net::SocketAddr) -> u16 {
    let body = ask("llama-3.1-8b", "hi");
    let request = Request::post(CHAT, &body).header("x-test-trap", b"1");
    case.send_to(address, request).status()
}

fn trap_and_recovery(case: &Case) {
    let envoy = case.start(&trapping(case));
    let body = ask("llama-3.1-8b", "hi");
    for _ in 0..3 {
        assert_eq!(trap(case, envoy.address()), 503);
        let trapped = Instant::now();
        let recovered = (0..200).find_map(|_| {
            let done = case.send_to(envoy.address(), Request::post(CHAT, &body));
            (done.status() == 200).then_some(done)
        });
        let done = recovered.expect("it never came back");
        done.assert_rewritten("lpu", &body, "llama-3.1-8b", "llama-3.1-8b-instant");
        assert!(
            trapped.elapsed() < Duration::from_secs(10),
            "{:?}",
            trapped.elapsed()
        );
    }
    // Both workers, and for good.
    for _ in 0..20 {
        let done = case.send_to(envoy.address(), Request::post(CHAT, &body));
        done.assert_rewritten("lpu", &body, "llama-3.1-8b", "llama-3.1-8b-instant");
    }
    assert!(
        envoy.stat("wasm.pointsman.vm_reload_success") >= 1,
        "{}",
        envoy.log()
    );
}

/// With `failure_policy: FAIL_OPEN`, which we do not ship, a trapped worker skips the filter for ever: a forged cluster
/// must be worth nothing even then.
fn skipped_filter_obeys_nobody(case: &Case) {
    let config = trapping(case)
        .set_plugin("failure_policy", json!("FAIL_OPEN"))
        .set_plugin("reload_config", json!(null));
    let envoy = case.start(&config);
    for _ in 0..40 {
        trap(case, envoy.address());
    }
    let body = ask("meta-llama/Llama-3.1-70B-Instruct", "hi");
    let mut skipped = 0;
    for _ in 0..20 {
        let request = Request::post(CHAT, &body).header("x-pointsman-cluster", b"serverless");
        let done = case.send_to(envoy.address(), request);
        // A worker that still has its filter refuses the name, as it is none of the policy's models.
        if done.status() == 200 {
            done.assert_untouched("gpu", &body);
            skipped += 1;
        } else {
            assert_eq!(done.status(), 404);
        }
    }
    assert!(skipped > 0, "no worker skipped the filter");
}

fn shipped_module_has_no_trap(case: &Case) {
    assert_eq!(trap(case, case.address()), 200);
}

//! Everything that only a real Envoy can prove, on the oldest and the newest supported one, with two workers each.
//!
//! The tests run the shipped `envoy/envoy.yaml` and `target/pointsman.wasm`. Each test is named `VERSION::name`; so
//! `cargo test -p pointsman-cli --test envoy 1.40.0` runs those of one version. What is decided is tested natively; here it
//! counts what arrives at the backends and at the client. A missing Envoy or module is a failure that names its command.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by a panic"
)]

mod bodies;
mod budgets;
mod clients;
mod corpus;
mod counting;
mod credentials;
mod doctor;
mod examples;
mod failover;
mod faults;
mod foreign_state;
mod grading;
mod hygiene;
mod judge;
mod learning;
mod mesh;
mod observed;
mod otlp;
mod policies;
mod receipts;
mod remote;
mod remote_failover;
mod sealed;
mod sink;
mod timers;
mod traps;
mod warmth;
mod world;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use pointsman_harness::files::ENVOY_VERSIONS;

use world::{Case, World};

/// A test: its name and what it does.
type Test = (&'static str, fn(&Case));

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let world = Arc::new(World::new());
    let mut trials = Vec::new();
    for version in ENVOY_VERSIONS {
        let mut add = |name: &str, test: Box<dyn FnOnce(&Case) + Send>| {
            let case = Case::new(version, name, Arc::clone(&world));
            trials.push(Trial::test(format!("{version}::{name}"), move || {
                test(&case);
                Ok(())
            }));
        };
        for (name, test) in all() {
            add(name, Box::new(test));
        }
        for file in corpus::files_of_cases() {
            let name = format!("corpus::{file}");
            add(&name, Box::new(move |case| corpus::file(case, &file)));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if conclusion.has_failed() {
        world.keep_files();
    }
    // Ends every Envoy and the backends: statics would outlive the process's end.
    drop(world);
    conclusion.exit_code()
}

fn all() -> impl Iterator<Item = Test> {
    [
        bodies::TESTS,
        clients::TESTS,
        counting::TESTS,
        credentials::TESTS,
        doctor::TESTS,
        examples::TESTS,
        failover::TESTS,
        foreign_state::TESTS,
        faults::TESTS,
        grading::TESTS,
        hygiene::TESTS,
        judge::TESTS,
        learning::TESTS,
        mesh::TESTS,
        observed::TESTS,
        otlp::TESTS,
        budgets::TESTS,
        policies::TESTS,
        receipts::TESTS,
        remote::TESTS,
        remote_failover::TESTS,
        sealed::TESTS,
        timers::TESTS,
        traps::TESTS,
        warmth::TESTS,
    ]
    .into_iter()
    .flatten()
    .copied()
}

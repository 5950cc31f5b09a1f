//! The corpus of cases by the command line: what `pointsman explain` says of a body is what the filter does with it.
//!
//! Cases that are about the way through Envoy (other methods and paths, bodies cut at a limit, replies of the filter) have
//! no counterpart here.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "../../../tests/corpus/loader.rs"]
mod loader;

use std::fs;
use std::path::Path;
use std::process::Command;

use loader::{Case, Outcome};
use pointsman::api::Api;
use pointsman_harness::files;
use serde_json::Value;

fn cases() -> Vec<Case> {
    let folder = files::root().join("tests/corpus");
    let policy = |name: &str| {
        let text = fs::read_to_string(folder.join(format!("policies/{name}.json"))).ok()?;
        Some(&*text.leak())
    };
    let mut all = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "json") {
            let name = path.file_stem().unwrap().to_str().unwrap();
            all.extend(loader::load(name, &fs::read_to_string(&path).unwrap(), policy).unwrap());
        }
    }
    all
}

/// Whether the case is about a decision on a whole body.
fn is_decision(case: &Case) -> bool {
    let request = &case.request;
    let limit = case.policy["max_body_bytes"].as_u64().unwrap_or(u64::MAX);
    let encoded = request
        .headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-encoding"));
    request.method == "POST"
        && Api::of_path(&request.path).is_some()
        && !request.path.starts_with("/v1/route")
        && !encoded
        && request
            .body()
            .is_some_and(|body| (body.len() as u64) < limit)
}

fn explain(case: &Case, folder: &Path) -> (Option<i32>, Value) {
    let (policy, body) = (folder.join("policy.json"), folder.join("body.json"));
    fs::write(&policy, case.policy.to_string()).unwrap();
    fs::write(&body, case.request.body().unwrap()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command
        .arg("explain")
        .args([Path::new("--policy"), &policy, &body])
        .args(["--json", "--path", &case.request.path]);
    for (name, value) in &case.request.headers {
        command.arg("--header").arg(format!("{name}: {value}"));
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let reported = serde_json::from_str(&text).unwrap_or_else(|error| {
        let stderr = String::from_utf8_lossy(&output.stderr);
        panic!("{}: {error}: {text}{stderr}", case.name)
    });
    (output.status.code(), reported)
}

/// The problem, if there is one.
fn check(case: &Case, folder: &Path) -> Result<(), String> {
    let (status, reported) = explain(case, folder);
    let same = |what: &str, found: &Value, wanted: Option<&str>| match wanted {
        Some(wanted) if found.as_str() != Some(wanted) => {
            Err(format!("{what} is {found} where `{wanted}` is expected"))
        }
        _ => Ok(()),
    };
    let expect = &case.expect;
    let (outcome, wanted_status) = match expect.outcome {
        Outcome::Routed => ("routed", 0),
        Outcome::Bypassed => ("bypassed", 1),
        _ => ("rejected", 1),
    };
    same("outcome", &reported["outcome"], Some(outcome))?;
    if status != Some(wanted_status) {
        return Err(format!("exit status {status:?}"));
    }
    same("model", &reported["model"], expect.model.as_deref())?;
    same("backend", &reported["backend"], expect.backend.as_deref())?;
    same("profile", &reported["profile"], expect.profile.as_deref())?;
    same("reason", &reported["reason"], expect.reason.as_deref())
}

#[test]
fn explain_says_what_the_filter_does() {
    let folder = tempfile::tempdir().unwrap();
    let cases: Vec<Case> = cases().into_iter().filter(is_decision).collect();
    assert!(cases.len() > 60, "{} cases", cases.len());
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let problem = check(case, folder.path()).err()?;
            Some(format!("{}: {problem}", case.name))
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

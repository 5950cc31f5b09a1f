//! `pointsman check` as people run it: the shipped policies with their test cases, YAML, exit statuses.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pointsman_harness::files;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(arguments)
        .current_dir(files::root())
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(both).unwrap()
}

fn examples() -> Vec<PathBuf> {
    let folder = files::root().join("envoy/policies");
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .collect()
}

#[test]
fn every_example_holds_its_cases() {
    let paths: Vec<String> = examples()
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    assert!(paths.len() >= 8, "{paths:?}");
    let mut arguments = vec!["check", "--cases", "--strict"];
    arguments.extend(paths.iter().map(String::as_str));
    let output = run(&arguments);
    let reported = text(&output);
    assert_eq!(output.status.code(), Some(0), "{reported}");
    assert_eq!(
        reported.matches(" cases hold").count(),
        paths.len(),
        "{reported}"
    );
    assert!(!reported.contains(" 0 of 0 cases"), "{reported}");
}

fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

const YAML: &str = "# two models
models:
  - {name: small, benchmarks: {mmlu: 0.69}}
  - name: large
    benchmarks:
      mmlu: 0.86
backends:
  - name: small
    model: small
    price: {input: 0.03, output: 0.05}
  - name: large
    model: large
    price: {input: 0.23, output: 0.40}
";

#[test]
fn yaml_is_read_and_its_places_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let good = file(folder.path(), "good.yaml", YAML);
    let output = run(&["check", &good]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let spoilt = YAML.replace("model: large", "model: lage");
    let bad = file(folder.path(), "bad.yml", &spoilt.replace("0.69", "69"));
    let output = run(&["check", &bad]);
    assert_eq!(output.status.code(), Some(1));
    let reported = text(&output);
    assert!(
        reported.contains(":3:38: error: models[0].benchmarks.mmlu: `69` is out of range"),
        "{reported}"
    );
    assert!(
        reported.contains(
            ":12:12: error: backends[1].model: unknown model `lage`; did you mean `large`?"
        ),
        "{reported}"
    );
    assert!(
        reported.contains("12 |     model: lage\n   |            ^^^^\n"),
        "{reported}"
    );
    let broken = file(folder.path(), "broken.yaml", "models: [1\nbackends: 2");
    let output = run(&["check", &broken]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("not YAML"), "{}", text(&output));
}

#[test]
fn a_case_that_fails_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let policy = file(folder.path(), "p.yaml", YAML);
    let cases = concat!(
        "{\"name\": \"right\", \"model\": \"small\", \"prompt\": \"Hi\", \"expect\": {\"model\": \"small\"}}\n\n",
        "{\"name\": \"wrong\", \"model\": \"small\", \"prompt\": \"Hi\", \"expect\": {\"model\": \"large\"}}\n",
        "{\"name\": \"unknown\", \"model\": \"huge\", \"prompt\": \"Hi\", \"expect\": {\"code\": \"model_not_found\"}}\n",
    );
    file(folder.path(), "p.cases.jsonl", cases);
    let output = run(&["check", "--cases", &policy]);
    let reported = text(&output);
    assert_eq!(output.status.code(), Some(1), "{reported}");
    assert!(
        reported.contains("case in line 3 fails: wrong: model is `small`, not `large`"),
        "{reported}"
    );
    assert!(reported.contains("2 of 3 cases hold"), "{reported}");
    assert!(reported.contains("error: 1 case fails"), "{reported}");
    let json = run(&["check", "--cases", "--json", &policy]);
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(report[0]["cases"]["count"], 3);
    assert_eq!(report[0]["cases"]["failed"][0]["line"], 3);

    let typo = file(
        folder.path(),
        "typo.jsonl",
        "{\"name\": \"x\", \"promt\": \"Hi\", \"expect\": {}}",
    );
    let output = run(&["check", &format!("--cases={typo}"), &policy]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(
        text(&output).contains("typo.jsonl:1: unknown field `promt`"),
        "{}",
        text(&output)
    );
}

#[test]
fn warnings_fail_only_where_that_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    // An equal model under another name, and cheaper.
    let doubtful = YAML
        .replace("mmlu: 0.69", "mmlu: 0.86")
        .replace("input: 0.23", "input: 0.01")
        .replace("output: 0.40", "output: 0.01");
    let path = file(folder.path(), "p.yaml", &doubtful);
    assert_eq!(run(&["check", &path]).status.code(), Some(0));
    let output = run(&["check", "--strict", &path]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("warning: backends[0]"),
        "{}",
        text(&output)
    );
}

#[test]
fn headers_reach_the_decision() {
    let folder = tempfile::tempdir().unwrap();
    let body = file(
        folder.path(),
        "body.json",
        r#"{"model":"auto:best","messages":[{"role":"user","content":"Hi"}]}"#,
    );
    let policy = "envoy/policies/multi-tenant.json";
    let output = run(&[
        "explain",
        "--json",
        "--policy",
        policy,
        "--header",
        "x-priority: batch-1",
        &body,
    ]);
    let reported: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(reported["profile"], "auto:cheap", "{reported}");
    let output = run(&["route", "--policy", policy, "--header", "nonsense", &body]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
}

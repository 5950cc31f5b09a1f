//! The corpus, run on the core itself: natively, and as WebAssembly under Node.
//!
//! Every case goes through the state machine as it would in Envoy, three times: its body in one piece, in many, and
//! followed by trailers; what comes of it must be the same. Real Envoy runs the same cases elsewhere.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test fails by a panic"
)]

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
#[macro_use]
extern crate pointsman_wasmtest;

#[path = "corpus/host.rs"]
mod host;
#[path = "corpus/loader.rs"]
mod loader;

use std::collections::BTreeMap;

use host::{Delivery, Host};
use loader::{Case, HeaderValue, Outcome};
use serde_json::Value;

macro_rules! texts {
    ($($name:literal,)+) => { &[$(($name, include_str!(concat!("corpus/", $name, ".json"))),)+] };
}

/// The files, embedded: WebAssembly reads none.
const FILES: &[(&str, &str)] = texts![
    "apis",
    "bad_input",
    "capabilities",
    "context_window",
    "exchange",
    "feedback",
    "foreign_state",
    "intake",
    "lenient",
    "names",
    "pinned",
    "profiles",
    "rewrite",
    "rules",
    "sensitive",
];
const POLICIES: &[(&str, &str)] = texts!["policies/apis", "policies/fleet", "policies/state",];

fn cases() -> Vec<Case> {
    let policy = |name: &str| {
        let path = format!("policies/{name}");
        POLICIES
            .iter()
            .find(|(one, _)| **one == *path)
            .map(|(_, text)| *text)
    };
    let files = FILES.iter();
    files
        .flat_map(|(name, text)| loader::load(name, text, policy).unwrap())
        .collect()
}

#[test]
fn every_case_comes_out_as_expected() {
    let cases = cases();
    let mut wrong = Vec::new();
    for case in &cases {
        for delivery in [
            Delivery::Whole,
            Delivery::Pieces(997),
            Delivery::WithTrailers,
        ] {
            let found = Host::run(case, delivery);
            if let Err(problem) = check(case, &found) {
                wrong.push(format!("{} ({delivery:?}): {problem}", case.name));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} cases:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

#[cfg(not(target_family = "wasm"))]
#[test]
fn every_file_is_run() {
    for (folder, known) in [("", FILES), ("policies", POLICIES)] {
        let path = format!("{}/tests/corpus/{folder}", env!("CARGO_MANIFEST_DIR"));
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                let name = path.file_stem().unwrap().to_str().unwrap();
                let known = known
                    .iter()
                    .any(|(one, _)| one.trim_start_matches("policies/") == name);
                assert!(known, "{name} is not in the list");
            }
        }
    }
}

/// Compares the outcome with the case's expectation; an error names the first difference.
fn check(case: &Case, found: &Host) -> Result<(), String> {
    let expect = &case.expect;
    same(
        "cluster",
        &found.header("x-pointsman-cluster"),
        &expect.cluster,
    )?;
    // The rules that had a part and the fate of state are counted besides the outcome.
    let mut counted = found.counted.clone();
    let others = [
        "pointsman.rule_matches.",
        "pointsman.foreign_state_dropped.",
        "pointsman.state_origins_guessed.",
    ];
    counted.retain(|name| !others.iter().any(|start| name.starts_with(start)));
    same("counted", &counted, &case.counted().into_iter().collect())?;
    let forged = found
        .request_headers
        .iter()
        .find(|(name, _)| name.starts_with("x-pointsman-") && name != "x-pointsman-cluster");
    same("header that was let through", &forged, &None)?;
    match expect.outcome {
        Outcome::Routed | Outcome::Bypassed | Outcome::Passed => {
            same(
                "reply",
                &found.reply.as_ref().map(|reply| reply.status),
                &None,
            )?;
            if found.held {
                return Err("it is held for ever".into());
            }
            check_body(case, found)?;
            check_response_headers(case, found)
        }
        Outcome::Rejected | Outcome::Answered => check_reply(case, found),
    }
}

fn check_body(case: &Case, found: &Host) -> Result<(), String> {
    let before = case.request.body().unwrap_or_default();
    let length = case.request.body().map(|_| found.body.len().to_string());
    same("content-length", &found.header("content-length"), &length)?;
    if let Some(sent) = &case.expect.sent_body {
        same(
            "body",
            &String::from_utf8_lossy(&found.body).into_owned(),
            sent,
        )?;
    }
    match (&case.expect.sent_model, json(&before), json(&found.body)) {
        (None, ..) => same("body", &found.body, &before),
        // Checked above, to the byte.
        _ if case.expect.sent_body.is_some() => Ok(()),
        (Some(model), Some(mut before), Some(after)) => {
            same("model", &after["model"].as_str(), &Some(model))?;
            for (key, value) in before.as_object_mut().unwrap() {
                if key.eq_ignore_ascii_case("model") {
                    *value = Value::from(model.as_str());
                }
            }
            before["model"] = Value::from(model.as_str());
            same("body as JSON", &after, &before)
        }
        // Not JSON as a whole: wrong behind the limit, or with a mark that serde_json does not take.
        (Some(model), ..) => {
            let sent = String::from_utf8_lossy(&found.body);
            let name = format!("\"model\":{}", Value::from(model.as_str()));
            if sent.contains(&name) {
                Ok(())
            } else {
                Err(format!("the body lacks {name}"))
            }
        }
    }
}

fn check_response_headers(case: &Case, found: &Host) -> Result<(), String> {
    let wanted = case.response_headers();
    let sent: BTreeMap<&str, &str> = found
        .response_headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .filter(|(name, _)| !matches!(*name, "x-pointsman-decision-us" | "x-pointsman-attempts"))
        .collect();
    let names: Vec<&&str> = sent.keys().collect();
    same(
        "names of response headers",
        &names,
        &wanted.keys().collect::<Vec<_>>(),
    )?;
    for (name, wanted) in wanted {
        match wanted {
            HeaderValue::Exactly(value) => same(name, &sent[name], &value.as_str())?,
            HeaderValue::Number => {
                sent[name]
                    .parse::<f64>()
                    .map_err(|_| format!("{name} is {}", sent[name]))?;
            }
        }
    }
    Ok(())
}

fn check_reply(case: &Case, found: &Host) -> Result<(), String> {
    let Some(reply) = &found.reply else {
        return Err("no reply".into());
    };
    same("status", &Some(reply.status), &case.expect.status)?;
    let body = json(&reply.body).ok_or("the reply is not JSON")?;
    for (key, value) in case.expect.error.iter().flatten() {
        same(&format!("error.{key}"), &body["error"][key], value)?;
    }
    match &case.expect.answer {
        Some(answer) if !loader::holds(&body, answer) => Err(format!("answer is {body}")),
        _ => Ok(()),
    }
}

fn json(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok()
}

fn same<T: PartialEq<U> + std::fmt::Debug, U: std::fmt::Debug>(
    what: &str,
    found: &T,
    wanted: &U,
) -> Result<(), String> {
    if found == wanted {
        return Ok(());
    }
    let cut = |text: String| text.chars().take(300).collect::<String>();
    Err(format!(
        "{what} is {}, not {}",
        cut(format!("{found:?}")),
        cut(format!("{wanted:?}"))
    ))
}

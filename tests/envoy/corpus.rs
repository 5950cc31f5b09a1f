//! The corpus of cases in a real Envoy: what runs natively (`tests/corpus.rs`) has to come out the same here, whatever way
//! the body arrives.

#[path = "../corpus/loader.rs"]
mod loader;

use std::collections::BTreeMap;

use pointsman_harness::envoy::Envoy;
use pointsman_harness::files;
use pointsman_harness::http1::{Pieces, Request};
use pointsman_harness::http2;
use serde_json::Value;

use crate::world::{Case as Run, Exchange};
use loader::{Case, HeaderValue, Outcome};

/// The files of the corpus, by name: each is a test.
pub fn files_of_cases() -> Vec<String> {
    let entries = std::fs::read_dir(files::root().join("tests/corpus")).unwrap();
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            Some(name.strip_suffix(".json")?.to_owned())
        })
        .collect();
    names.sort();
    names
}

/// How a body is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delivery {
    Whole,
    Chunked,
    Http2WithTrailers,
}

fn read(path: &str) -> Option<&'static str> {
    let text = std::fs::read_to_string(files::root().join("tests/corpus").join(path)).ok()?;
    Some(text.leak())
}

fn cases(name: &str) -> Vec<Case> {
    let text = read(&format!("{name}.json")).unwrap();
    loader::load(name, text, |policy| {
        read(&format!("policies/{policy}.json"))
    })
    .unwrap()
}

/// Runs a file's cases, those of one policy together: each policy is a listener that Envoy takes anew.
pub fn file(run: &Run, name: &str) {
    let mut by_policy: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for case in cases(name) {
        by_policy
            .entry(case.policy.to_string())
            .or_default()
            .push(case);
    }
    let mut wrong = Vec::new();
    let mut count = 0;
    for cases in by_policy.values() {
        let config = run.config().with_policy(cases[0].policy.clone());
        let replaced = run.replaceable(&config);
        for case in cases {
            for delivery in [
                Delivery::Whole,
                Delivery::Chunked,
                Delivery::Http2WithTrailers,
            ] {
                if case.request.body().is_none_or(|body| body.is_empty())
                    && delivery == Delivery::Http2WithTrailers
                {
                    continue;
                }
                count += 1;
                if let Err(problem) = check(run, &replaced.envoy, case, delivery) {
                    wrong.push(format!("{} ({delivery:?}): {problem}", case.name));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn check(run: &Run, envoy: &Envoy, case: &Case, delivery: Delivery) -> Result<(), String> {
    let before = counters(envoy);
    let found = send(run, envoy, case, delivery)?;
    let after = counters(envoy);
    let counted: Vec<String> = after
        .iter()
        .filter(|(name, value)| before.get(*name).copied().unwrap_or(0) != **value)
        .map(|(name, value)| format!("{name} {}", value - before.get(name).copied().unwrap_or(0)))
        .collect();
    let wanted: Vec<String> = case
        .counted()
        .into_iter()
        .map(|name| format!("{name} 1"))
        .collect();
    same("counted", &counted, &wanted)?;
    match case.expect.outcome {
        Outcome::Routed | Outcome::Bypassed | Outcome::Passed => {
            if let Some(envoys) = &case.expect.in_envoy {
                same("status", &found.status(), &envoys.status)?;
                return same("arrivals", &found.received.len(), &0);
            }
            check_arrival(case, &found)?;
            check_response_headers(case, &found)
        }
        Outcome::Rejected | Outcome::Answered => check_reply(case, &found),
    }
}

/// One of these metrics counts each request.
const COUNTERS: [&str; 7] = [
    "decisions",
    "count_tokens_requests",
    "shadow_decisions",
    "request_bypasses",
    "unrecognized_requests",
    "rejections",
    "feedback_rejected",
];

/// The module's counts of requests, by name without `wasmcustom.`.
fn counters(envoy: &Envoy) -> BTreeMap<String, u64> {
    let text = envoy.admin("/stats?filter=pointsman").unwrap().text();
    text.lines()
        .filter_map(|line| line.split_once(": "))
        .filter_map(|(name, value)| {
            let name = name.strip_prefix("wasmcustom.")?;
            let kind = name.split('.').nth(1)?;
            COUNTERS
                .contains(&kind)
                .then_some((name.to_owned(), value.parse().ok()?))
        })
        .collect()
}

fn send(run: &Run, envoy: &Envoy, case: &Case, delivery: Delivery) -> Result<Exchange, String> {
    let id = run.id();
    let body = case.request.body();
    let mut headers: Vec<(&str, &[u8])> = case
        .request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    headers.push(("x-test-id", id.as_bytes()));
    let response = if delivery == Delivery::Http2WithTrailers {
        let body = body.unwrap_or_default();
        let pieces: Vec<&[u8]> = body.chunks(body.len() / 2 + 1).collect();
        let trailers = [("x-checksum", "1")];
        http2::exchange(
            envoy.address(),
            (&case.request.method, &case.request.path),
            &headers,
            &pieces,
            &trailers,
        )?
    } else {
        let pieces = match (&body, delivery) {
            (Some(body), Delivery::Chunked) => Pieces::Chunked(body.len() / 3 + 1),
            _ => Pieces::One,
        };
        let request = Request {
            method: &case.request.method,
            path: &case.request.path,
            headers,
            body: body.as_deref(),
            pieces,
        };
        request
            .send(envoy.address())
            .map_err(|error| error.to_string())?
    };
    Ok(run.exchange(&id, response))
}

fn check_arrival(case: &Case, found: &Exchange) -> Result<(), String> {
    let [(cluster, received)] = found.received.as_slice() else {
        let count = found.received.len();
        return Err(format!(
            "{count} arrivals, status {}: {}",
            found.status(),
            found.response.text()
        ));
    };
    // Without a cluster, the default route counts.
    let wanted = case.expect.cluster.as_deref().unwrap_or("gpu");
    same("cluster", &cluster.as_str(), &wanted)?;
    let ours = received
        .headers()
        .find(|(name, _)| name.starts_with("x-pointsman-"));
    same("header that was let through", &ours, &None)?;
    if let Some(length) = received.header("content-length") {
        same(
            "content-length",
            &length,
            &received.body.len().to_string().as_str(),
        )?;
    }
    if let Some(sent) = &case.expect.sent_body {
        same(
            "body",
            &String::from_utf8_lossy(&received.body).into_owned(),
            sent,
        )?;
    }
    let before = case.request.body().unwrap_or_default();
    let Some(model) = &case.expect.sent_model else {
        return same("body is untouched", &(received.body == before), &true);
    };
    let named = format!("\"model\":{}", Value::from(model.as_str()));
    match received.json().get("model") {
        Some(sent) => same("model", &sent.as_str(), &Some(model.as_str())),
        // Not JSON as a whole: what is wrong came after the decision.
        None if String::from_utf8_lossy(&received.body).contains(&named) => Ok(()),
        None => Err(format!("the body lacks {named}")),
    }
}

fn check_response_headers(case: &Case, found: &Exchange) -> Result<(), String> {
    let wanted = case.response_headers();
    let reported: BTreeMap<&str, &str> = found
        .response
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| name.starts_with("x-pointsman-"))
        .filter(|(name, _)| !matches!(*name, "x-pointsman-decision-us" | "x-pointsman-attempts"))
        .collect();
    let names: Vec<&str> = reported.keys().copied().collect();
    same(
        "names of response headers",
        &names,
        &wanted.keys().copied().collect(),
    )?;
    for (name, wanted) in wanted {
        match wanted {
            HeaderValue::Exactly(value) => same(name, &reported[name], &value.as_str())?,
            HeaderValue::Number => {
                let number = reported[name].parse::<f64>();
                number.map_err(|_| format!("{name} is {}", reported[name]))?;
            }
        }
    }
    Ok(())
}

fn check_reply(case: &Case, found: &Exchange) -> Result<(), String> {
    same("arrivals", &found.received.len(), &0)?;
    same("status", &Some(found.status()), &case.expect.status)?;
    let body = found.response.json();
    for (key, value) in case.expect.error.iter().flatten() {
        same(&format!("error.{key}"), &body["error"][key], value)?;
    }
    match &case.expect.answer {
        Some(answer) if !loader::holds(&body, answer) => Err(format!("answer is {body}")),
        _ => Ok(()),
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, wanted: &T) -> Result<(), String> {
    if found == wanted {
        return Ok(());
    }
    let cut = |value: &T| format!("{value:?}").chars().take(300).collect::<String>();
    Err(format!("{what} is {}, not {}", cut(found), cut(wanted)))
}

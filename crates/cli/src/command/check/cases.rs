//! Test cases of a policy: one JSON object a line, a request and what shall become of it.

use std::collections::BTreeMap;
use std::path::Path;

use pointsman::api::Api;
use pointsman::api::request;
use pointsman::policy::Policy;
use pointsman::routing::decision::{Decision, Outcome};
use pointsman::routing::router::{Commit, RequestInfo, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::io::{input, request_args};

/// One line of a file of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// The name of the case.
    name: String,
    /// The user's prompt; a request is made of it and of `model`.
    prompt: Option<String>,
    /// The model or profile that the client names; the default profile if it is left out.
    model: Option<String>,
    /// The body of a request, in place of `prompt` and `model`.
    body: Option<Value>,
    /// Request headers, by name.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The request's path.
    #[serde(default = "chat")]
    path: String,
    /// The expected outcome.
    expect: Expect,
}

/// The expected outcome of a request; omitted fields may be anything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    /// `routed`, `bypassed` or `rejected`.
    outcome: Option<String>,
    model: Option<String>,
    backend: Option<String>,
    profile: Option<String>,
    reason: Option<String>,
    /// The rules that apply, in the order of the policy.
    rules: Option<Vec<String>>,
    /// Tags that the backend and every fallback have.
    tags: Option<Vec<String>>,
    /// The code of a refusal.
    code: Option<String>,
    /// The least probability of a correct answer.
    min_quality: Option<f64>,
    /// The most that the request is expected to cost.
    max_cost_usd: Option<f64>,
}

fn chat() -> String {
    "/v1/chat/completions".to_owned()
}

/// The results of a file of cases.
pub struct Report {
    /// How many there were.
    pub count: usize,
    /// Each that failed: its line, from 1, and what is wrong.
    pub failed: Vec<(usize, String)>,
}

/// Runs the cases of the file at `path` against `policy`.
pub fn run(policy: &Policy, path: &Path) -> Result<Report, Failure> {
    let text = input::read_text(path)?;
    let mut report = Report {
        count: 0,
        failed: Vec::new(),
    };
    let (mut router, error) = Router::new();
    if let Some(error) = error {
        eprintln!("warning: the classifier does not load, going on with features alone: {error}");
    }
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let case: Case = serde_json::from_str(line).map_err(|error| {
            Failure::Input(format!("{}:{}: {error}", path.display(), index + 1))
        })?;
        report.count += 1;
        if let Err(wrong) = check(&mut router, policy, &case) {
            report
                .failed
                .push((index + 1, format!("{}: {wrong}", case.name)));
        }
    }
    Ok(report)
}

fn check(router: &mut Router, policy: &Policy, case: &Case) -> Result<(), String> {
    let body = match (&case.body, &case.prompt) {
        (Some(body), None) if case.model.is_none() => body.clone(),
        (None, Some(prompt)) => {
            let mut body = json!({"messages": [{"role": "user", "content": prompt}]});
            if let (Some(fields), Some(model)) = (body.as_object_mut(), &case.model) {
                fields.insert("model".into(), model.as_str().into());
            }
            body
        }
        _ => return Err("states neither `prompt` nor `body`, or both".to_owned()),
    };
    let api = Api::of_body_at(&case.path).unwrap_or(Api::OpenAiChat);
    let headers: Vec<(&str, &str)> = case
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let attributes = request_args::read(policy, &headers, &case.path);
    let info = RequestInfo::new(&attributes, 0);
    let body = body.to_string();
    let outcome = match request::parse_with_state(api, body.as_bytes(), true) {
        Ok(request) => router.decide(policy, &request, &info, Commit::DryRun),
        Err(error) => router.unreadable_in(policy, &error, (body.as_bytes(), true), &info),
    };
    compare(policy, &case.expect, &outcome)
}

fn compare(policy: &Policy, expect: &Expect, outcome: &Outcome) -> Result<(), String> {
    let name = match outcome {
        Outcome::Routed(_) => "routed",
        Outcome::Bypassed(_) => "bypassed",
        Outcome::Rejected(_) => "rejected",
    };
    let about = match outcome {
        Outcome::Rejected(rejection) => format!(" ({})", rejection.message),
        _ => String::new(),
    };
    let wanted = expect.outcome.as_deref().unwrap_or(match expect.code {
        Some(_) => "rejected",
        None => "routed",
    });
    if name != wanted {
        return Err(format!("is {name}{about}, not {wanted}"));
    }
    match outcome {
        Outcome::Routed(decision) => compare_decision(policy, expect, decision),
        Outcome::Rejected(rejection) => same("code", rejection.code, &expect.code),
        Outcome::Bypassed(_) => Ok(()),
    }
}

fn compare_decision(policy: &Policy, expect: &Expect, decision: &Decision) -> Result<(), String> {
    let registry = &policy.registry;
    let model = registry.model(decision.model).map_or("", |item| &item.name);
    let backend = registry
        .backend(decision.backend)
        .map_or("", |item| &item.name);
    same("model", model, &expect.model)?;
    same("backend", backend, &expect.backend)?;
    same("profile", &decision.profile, &expect.profile)?;
    same("reason", decision.reason.name(), &expect.reason)?;
    if let Some(rules) = expect
        .rules
        .as_ref()
        .filter(|rules| **rules != decision.rules)
    {
        return Err(format!("rules are {:?}, not {rules:?}", decision.rules));
    }
    for tag in expect.tags.iter().flatten() {
        for id in decision.fallbacks.iter().chain([&decision.backend]) {
            if let Some(backend) = registry
                .backend(*id)
                .filter(|item| !item.tags.contains(tag))
            {
                return Err(format!(
                    "may go to `{}`, which has no tag `{tag}`",
                    backend.name
                ));
            }
        }
    }
    let quality = f64::from(decision.estimate.quality.unwrap_or(1.0));
    match (expect.min_quality, expect.max_cost_usd) {
        (Some(least), _) if quality < least => {
            Err(format!("quality is {quality:.3}, under {least}"))
        }
        (_, Some(most)) if decision.estimate.cost_usd > most => {
            let cost = decision.estimate.cost_usd;
            Err(format!("cost is {cost:.9} USD, over {most}"))
        }
        _ => Ok(()),
    }
}

fn same(what: &str, found: &str, wanted: &Option<String>) -> Result<(), String> {
    match wanted {
        Some(wanted) if wanted != found => Err(format!("{what} is `{found}`, not `{wanted}`")),
        _ => Ok(()),
    }
}

//! An outcome as JSON, for `pointsman explain --json`, `pointsman route` and `POST /v1/route`.
//!
//! An explanation holds names instead of indices, and never text of the prompt.

use serde_json::{Value, json};

use crate::analysis::answer_length::AnswerLength;
use crate::analysis::classifier::{Classification, Domain};
use crate::fleet::Estimate;
use crate::fleet::{BackendId, ModelId};
use crate::policy::Policy;
use crate::routing::decision::{Bypass, Candidate, Decision, Outcome};
use crate::routing::judge::Judging;

/// The outcome without its candidates; its member `outcome` is `routed`, `bypassed` or `rejected`.
pub fn outcome(policy: &Policy, outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Routed(decision) => routed(policy, decision),
        Outcome::Bypassed(bypass) => {
            let (reason, detail) = match bypass {
                Bypass::InvalidRequest(detail) => ("invalid_request", detail),
                Bypass::UnknownModel(detail) => ("unknown_model", detail),
                Bypass::RouterFault(detail) => ("router_error", detail),
            };
            json!({
                "outcome": "bypassed",
                "policy_version": policy.version,
                "cluster": policy.default_cluster,
                "reason": reason,
                "detail": detail,
            })
        }
        Outcome::Rejected(rejection) => json!({
            "outcome": "rejected",
            "policy_version": policy.version,
            "status": rejection.status,
            "code": rejection.code,
            "message": rejection.message,
            "param": rejection.param,
            "rules": rejection.rules,
        }),
    }
}

/// The outcome with all of its candidates.
pub fn with_candidates(policy: &Policy, decided: &Outcome) -> Value {
    let mut document = outcome(policy, decided);
    if let Some(members) = document.as_object_mut() {
        let candidates = candidates(policy, decided.candidates());
        members.insert("candidates".to_owned(), candidates);
    }
    document
}

/// Every candidate with its estimate and, if it is not eligible, the reason.
#[inline(never)]
fn candidates(policy: &Policy, candidates: &[Candidate]) -> Value {
    let candidate = |candidate: &Candidate| {
        json!({
            "backend": backend_name(policy, candidate.backend),
            "model": model_name(policy, candidate.model),
            "accelerator": policy
                .registry
                .backend(candidate.backend)
                .map(|backend| backend.accelerator.name()),
            "eligible": candidate.ineligible.is_none(),
            "objective": candidate.objective.is_finite().then(|| round(candidate.objective, 6)),
            "estimate": estimate(&candidate.estimate),
            "why_not": candidate.ineligible.as_ref().map(|reason| json!({
                "code": reason.name(),
                "message": reason.to_string(),
            })),
        })
    };
    candidates.iter().map(candidate).collect()
}

fn routed(policy: &Policy, decision: &Decision) -> Value {
    let backend = policy.registry.backend(decision.backend);
    let mut document = json!({
        "outcome": "routed",
        "policy_version": policy.version,
        "backend": backend_name(policy, decision.backend),
        "cluster": backend.map(|backend| backend.cluster.as_str()),
        "model": model_name(policy, decision.model),
        "served_model": backend.map(|backend| backend.served_model.as_str()),
        "accelerator": backend.map(|backend| backend.accelerator.name()),
        "profile": decision.profile,
        "rules": decision.rules,
        "reason": decision.reason.name(),
        "relaxed": decision.relaxed,
        "steering": decision.steering,
        "estimate": estimate(&decision.estimate),
        "fallbacks": decision
            .fallbacks
            .iter()
            .map(|id| backend_name(policy, *id))
            .collect::<Vec<_>>(),
        "input_tokens": decision.input_tokens,
        "classification": decision.classification.as_ref().map(describe),
    });
    if let Some(members) = document.as_object_mut() {
        if decision.propensity < 1.0 {
            let propensity = json!(round(decision.propensity.into(), 6));
            members.insert("propensity".to_owned(), propensity);
        }
        if let Some(judging) = &decision.judging {
            members.insert("judge".to_owned(), describe_judging(policy, judging));
        }
        if let Some(id) = decision.learned_choice {
            let name = json!(backend_name(policy, id));
            members.insert("learned_choice".to_owned(), name);
        }
    }
    document
}

/// What the judge has to do with a decision: the grade that counted, or whether asking is worth its price.
#[inline(never)]
fn describe_judging(policy: &Policy, judging: &Judging) -> Value {
    match judging {
        Judging::Ask(question) => json!({
            "asks": true,
            "gain_usd": round(question.gain_usd, 9),
            "cost_usd": round(question.cost_usd, 9),
        }),
        Judging::NotAsked(reason) => json!({
            "asks": false,
            "why_not": {"code": reason.name(), "message": reason.to_string()},
        }),
        Judging::Graded(graded) => json!({
            "grade": round(graded.grade.mean.into(), 4),
            "spread": round(graded.grade.spread.into(), 4),
            "from_cache": graded.is_kept,
            "difficulty_before": round(graded.difficulty_before.into(), 4),
            "difficulty_after": round(graded.difficulty_after.into(), 4),
            "backend_before": backend_name(policy, graded.without),
            "backend_after": backend_name(policy, graded.with),
        }),
    }
}

/// The learned part of the expected quality: the quality by scores alone, and the learned one with the bounds between which it
/// lies with nine chances in ten.
#[inline(never)]
fn add_learned(document: &mut Value, estimate: &Estimate) {
    let (Some(members), Some(learned)) = (document.as_object_mut(), &estimate.learned) else {
        return;
    };
    let stated = estimate.stated_quality;
    let learned = json!({
        "stated_quality": stated.map(|quality| round(quality.into(), 4)),
        "quality": round(learned.quality.into(), 4),
        "range90": learned.range.map(|bound| round(bound.into(), 4)),
    });
    members.insert("learned".to_owned(), learned);
}

fn estimate(estimate: &Estimate) -> Value {
    let mut document = json!({
        "quality": estimate.quality.map(|quality| round(quality.into(), 4)),
        "output_tokens_p50": round(estimate.output_tokens_p50.into(), 0),
        "output_tokens_p90": round(estimate.output_tokens_p90.into(), 0),
        "cost_usd": round(estimate.cost_usd, 9),
        "latency_p50_ms": round(estimate.latency_p50_ms.into(), 1),
        "latency_p99_ms": round(estimate.latency_p99_ms.into(), 1),
        "first_token_p50_ms": round(estimate.first_token_p50_ms.into(), 1),
        "first_token_p99_ms": round(estimate.first_token_p99_ms.into(), 1),
    });
    add_learned(&mut document, estimate);
    document
}

#[inline(never)]
fn describe(classification: &Classification) -> Value {
    json!({
        "task": classification.task.name(),
        "task_probability": round(classification.task_probability.into(), 4),
        "domain": classification.domain.name(),
        "domain_probability": round(classification.domain_probability.into(), 4),
        "domain_probabilities": domains(classification),
        "difficulty": round(classification.difficulty.into(), 4),
        "gain": round(classification.gain.into(), 4),
        "weak_failure": round(classification.weak_failure.into(), 4),
        "output_tokens": round(classification.output_tokens.into(), 0),
        "output_tokens_p90": round(AnswerLength::from_classification(classification).p90().into(), 0),
        "uncertainty": round(classification.uncertainty.into(), 4),
        "from_model": classification.from_model,
    })
}

/// The probability of each domain: rules may match one that is not the most probable.
fn domains(classification: &Classification) -> Value {
    let probability =
        |domain: &Domain| round(classification.probability_of_domain(*domain).into(), 4);
    let pairs = Domain::ALL
        .iter()
        .map(|domain| (domain.name().to_owned(), probability(domain).into()));
    Value::Object(pairs.collect())
}

fn backend_name(policy: &Policy, id: BackendId) -> Option<&str> {
    policy
        .registry
        .backend(id)
        .map(|backend| backend.name.as_str())
}

fn model_name(policy: &Policy, id: ModelId) -> Option<&str> {
    policy.registry.model(id).map(|model| model.name.as_str())
}

/// `number` rounded to so many decimals: estimates are not exact to the last bit of a float.
fn round(number: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (number * scale).round() / scale
}

//! What the filter answers by itself: errors in the words of the API, the model list, the dry run. JSON texts only.

use super::json::Json;
use crate::decision::{Bypass, Candidate, Decision, Ineligible, Outcome, Rejection};
use crate::policy::Policy;
use crate::registry::Model;

/// An answer to the client in the upstream's stead; its content type is `application/json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// What access logs show as response code details.
    pub details: &'static str,
    /// The body, JSON.
    pub body: String,
}

/// An error as OpenAI writes it.
pub fn error(rejection: &Rejection) -> Reply {
    let mut json = Json::new();
    json.open('{').key("error");
    error_object(&mut json, rejection);
    json.close('}');
    Reply {
        status: rejection.status,
        details: rejection.code,
        body: json.into_text(),
    }
}

fn error_object(json: &mut Json, rejection: &Rejection) {
    let kind = match rejection.status {
        429 => rejection.code,
        401 => "authentication_error",
        403 => "permission_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    };
    json.open('{')
        .text_member("message", &rejection.message)
        .text_member("type", kind)
        .key("param");
    match rejection.code {
        "model_not_found" => json.string("model"),
        "context_length_exceeded" => json.string("messages"),
        _ => json.literal("null"),
    };
    json.text_member("code", rejection.code).close('}');
}

/// `GET /v1/models`: what a client may ask for as `model`, as OpenAI lists it.
pub fn model_list(policy: &Policy) -> Reply {
    let mut json = Json::new();
    json.open('{')
        .text_member("object", "list")
        .key("data")
        .open('[');
    for model in &policy.registry.models {
        model_object(&mut json, model);
    }
    json.close(']').close('}');
    ok("pointsman_models", json)
}

/// `GET /v1/models/NAME`: one of them, or `model_not_found`.
pub fn model(policy: &Policy, name: &str) -> Reply {
    match policy
        .registry
        .models
        .iter()
        .find(|model| model.name == name)
    {
        Some(model) => {
            let mut json = Json::new();
            model_object(&mut json, model);
            ok("pointsman_models", json)
        }
        None => {
            let mut message = String::from("The model `");
            message.push_str(name);
            message.push_str("` does not exist");
            error(&Rejection {
                status: 404,
                code: "model_not_found",
                message,
            })
        }
    }
}

fn model_object(json: &mut Json, model: &Model) {
    json.open('{')
        .text_member("id", &model.name)
        .text_member("object", "model")
        .number_member("created", 0.0, 0)
        .text_member("owned_by", "pointsman")
        .number_member("context_window", f64::from(model.context_window), 0)
        .close('}');
}

/// `POST /v1/route`: the decision that a request would get, and every candidate with its reason.
pub fn dry_run(policy: &Policy, outcome: &Outcome) -> Reply {
    let mut json = Json::new();
    json.open('{').text_member("object", "pointsman.route");
    match outcome {
        Outcome::Routed(decision) => routed(&mut json, policy, decision),
        Outcome::Bypassed(bypass) => {
            json.text_member("outcome", "bypassed");
            let (cause, message) = match bypass {
                Bypass::InvalidRequest(message) => ("invalid_request", message),
                Bypass::RouterFault(message) => ("router_fault", message),
            };
            json.text_member("cause", cause)
                .text_member("message", message);
        }
        Outcome::Rejected(rejection) => {
            json.text_member("outcome", "rejected")
                .number_member("status", f64::from(rejection.status), 0)
                .key("error");
            error_object(&mut json, rejection);
        }
    }
    json.close('}');
    ok("pointsman_route", json)
}

fn routed(json: &mut Json, policy: &Policy, decision: &Decision) {
    let backend = policy.registry.backend(decision.backend);
    let name = |id| {
        policy
            .registry
            .backend(id)
            .map_or("", |one| one.name.as_str())
    };
    json.text_member("outcome", "routed")
        .text_member(
            "model",
            policy
                .registry
                .model(decision.model)
                .map_or("", |one| one.name.as_str()),
        )
        .text_member("backend", name(decision.backend))
        .text_member(
            "accelerator",
            backend.map_or("", |one| one.accelerator.name()),
        )
        .text_member("profile", &decision.profile)
        .text_member("reason", decision.reason.name())
        .key("relaxed")
        .open('[');
    for limit in &decision.relaxed {
        json.string(limit);
    }
    json.close(']').key("fallbacks").open('[');
    for fallback in &decision.fallbacks {
        json.string(name(*fallback));
    }
    json.close(']')
        .number_member("input_tokens", f64::from(decision.input_tokens), 0);
    classification(json, decision);
    json.key("candidates").open('[');
    for one in &decision.candidates {
        candidate(json, policy, one);
    }
    json.close(']');
}

fn classification(json: &mut Json, decision: &Decision) {
    json.key("classification");
    let Some(one) = &decision.classification else {
        json.literal("null");
        return;
    };
    json.open('{')
        .text_member("task", one.task.name())
        .number_member("task_probability", f64::from(one.task_probability), 3)
        .text_member("domain", one.domain.name())
        .number_member("domain_probability", f64::from(one.domain_probability), 3)
        .number_member("difficulty", f64::from(one.difficulty), 3)
        .number_member("gain", f64::from(one.gain), 3)
        .number_member("output_tokens", f64::from(one.output_tokens), 0)
        .number_member("uncertainty", f64::from(one.uncertainty), 3)
        .key("from_model")
        .literal(if one.from_model { "true" } else { "false" })
        .close('}');
}

fn candidate(json: &mut Json, policy: &Policy, candidate: &Candidate) {
    let backend = policy.registry.backend(candidate.backend);
    let model = policy.registry.model(candidate.model);
    let estimate = &candidate.estimate;
    json.open('{')
        .text_member("model", model.map_or("", |one| one.name.as_str()))
        .text_member("backend", backend.map_or("", |one| one.name.as_str()))
        .text_member(
            "accelerator",
            backend.map_or("", |one| one.accelerator.name()),
        )
        .number_member("quality", f64::from(estimate.quality), 4)
        .number_member("cost_usd", estimate.cost_usd, 9)
        .number_member("latency_p50_ms", f64::from(estimate.latency_p50_ms), 1)
        .number_member("latency_p99_ms", f64::from(estimate.latency_p99_ms), 1)
        .number_member(
            "first_token_p99_ms",
            f64::from(estimate.first_token_p99_ms),
            1,
        )
        .number_member("objective", candidate.objective, 6)
        .key("ineligible");
    match &candidate.ineligible {
        None => json.literal("null"),
        Some(reason) => ineligible(json, reason),
    };
    json.close('}');
}

fn ineligible<'a>(json: &'a mut Json, reason: &Ineligible) -> &'a mut Json {
    json.open('{').key("reason");
    match reason {
        Ineligible::NotTheModel => json.string("not_the_model"),
        Ineligible::LacksCapability(lacking) => {
            json.string("lacks_capability")
                .key("capabilities")
                .open('[');
            for name in lacking.names() {
                json.string(name);
            }
            json.close(']')
        }
        Ineligible::ContextWindow { needed, window } => json
            .string("context_window")
            .number_member("needed_tokens", f64::from(*needed), 0)
            .number_member("window_tokens", f64::from(*window), 0),
        Ineligible::LacksTag(tag) => json.string("lacks_tag").text_member("tag", tag),
        Ineligible::BelowQuality { limit } => {
            json.string("below_quality")
                .number_member("limit", f64::from(*limit), 4)
        }
        Ineligible::OverCost { limit_usd } => {
            json.string("over_cost")
                .number_member("limit_usd", *limit_usd, 9)
        }
        Ineligible::OverLatency { which, limit_ms } => json
            .string("over_latency")
            .text_member("which", which)
            .number_member("limit_ms", f64::from(*limit_ms), 1),
    };
    json.close('}')
}

fn ok(details: &'static str, json: Json) -> Reply {
    Reply {
        status: 200,
        details,
        body: json.into_text(),
    }
}

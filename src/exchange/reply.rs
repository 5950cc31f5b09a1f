//! The answers that Pointsman gives itself: errors in the form of the API, the list of models, the dry run.

use serde_json::{Value, json};

use super::request_kind::find;
use super::{Header, Reply};
use crate::api::Api;
use crate::api::error_body::error_body;
use crate::api::path;
use crate::policy::Policy;
use crate::routing::decision::{Outcome, Rejection};
use crate::routing::explain;
use crate::routing::router;

impl Reply {
    /// The answer to a request whose body could not be edited by the host, and so must not go on.
    pub fn broken_body() -> Reply {
        let message = "the body could not be edited";
        let code = "internal_error";
        Reply {
            status: 500,
            details: code,
            headers: Vec::new(),
            body: error_body(Api::OpenAiChat, 500, code, None, message),
        }
    }
}

/// An error in the form of the API.
#[inline(never)]
pub fn error(api: Api, rejection: &Rejection) -> Reply {
    let param = match rejection.code {
        "context_length_exceeded" => Some(api.prompt_field()),
        _ => rejection.param.as_deref(),
    };
    let (status, code) = (rejection.status, rejection.code);
    Reply {
        status,
        details: code,
        headers: Vec::new(),
        body: error_body(api, status, code, param, &rejection.message),
    }
}

/// `GET /v1/models`: every name that a client can put into `model`, models first, then profiles, without aliases. A client of
/// Anthropic's API, recognised by `anthropic-version`, gets its form, page by page; any other client gets OpenAI's and
/// Anthropic's fields in one document.
#[inline(never)]
pub fn model_list(policy: &Policy, headers: &[Header<'_>], path: &str) -> Reply {
    let names: Vec<(&str, &str)> = names(policy).collect();
    if is_anthropic(headers) {
        return ok("pointsman_models", &page(&names, path));
    }
    let data: Vec<Value> = names.iter().map(|(name, kind)| entry(name, kind)).collect();
    let id = |entry: Option<&(&str, &str)>| entry.map(|(name, _)| (*name).to_owned());
    let list = json!({
        "object": "list",
        "first_id": id(names.first()),
        "last_id": id(names.last()),
        "has_more": false,
        "data": data,
    });
    ok("pointsman_models", &list)
}

/// A page of the list in the form of Anthropic's API: <https://docs.anthropic.com/en/api/models-list>.
fn page(names: &[(&str, &str)], path: &str) -> Value {
    let query = path.split_once('?').map_or("", |(_, query)| query);
    let value = |wanted: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let found = pairs.find(|(name, _)| *name == wanted)?.1;
        Some(path::normalise(found).trim_start_matches('/').to_owned())
    };
    let place = |id: String| names.iter().position(|(name, _)| *name == id);
    let limit = value("limit").and_then(|limit| limit.parse::<usize>().ok());
    let limit = limit.unwrap_or(20).clamp(1, 1000);
    let after = value("after_id").and_then(place).map_or(0, |at| at + 1);
    let before = value("before_id").and_then(place).unwrap_or(names.len());
    let all = names.get(after..before).unwrap_or_default();
    // The page before an id consists of the last names before it.
    let shown = if before < names.len() {
        all.get(all.len().saturating_sub(limit)..)
    } else {
        all.get(..limit.min(all.len()))
    };
    let shown = shown.unwrap_or_default();
    let data: Vec<Value> = shown.iter().map(|(name, _)| anthropic(name)).collect();
    json!({
        "data": data,
        "first_id": shown.first().map(|(name, _)| name),
        "last_id": shown.last().map(|(name, _)| name),
        "has_more": shown.len() < all.len(),
    })
}

/// `GET /v1/models/NAME`: the model or profile of that name or alias, or `model_not_found`.
#[inline(never)]
pub fn model(policy: &Policy, wanted: &str, headers: &[Header<'_>]) -> Reply {
    let is_anthropic = is_anthropic(headers);
    let meant = policy.resolve_name(wanted);
    match names(policy).find(|(name, _)| Some(*name) == meant) {
        Some((name, _)) if is_anthropic => ok("pointsman_models", &anthropic(name)),
        Some((name, kind)) => ok("pointsman_models", &entry(name, kind)),
        None => {
            let api = match is_anthropic {
                true => Api::AnthropicMessages,
                false => Api::OpenAiChat,
            };
            error(api, &router::unknown(policy, wanted))
        }
    }
}

fn is_anthropic(headers: &[Header<'_>]) -> bool {
    find(headers, "anthropic-version").is_some()
}

fn anthropic(name: &str) -> Value {
    json!({
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": "1970-01-01T00:00:00Z",
    })
}

/// `POST /v1/route`: the decision for a request, and every candidate with its reason.
#[inline(never)]
pub fn dry_run(policy: &Policy, outcome: &Outcome) -> Reply {
    let answer = explain::with_candidates(policy, outcome);
    ok("pointsman_route", &answer)
}

fn names(policy: &Policy) -> impl Iterator<Item = (&str, &'static str)> {
    let models = policy.registry.models.iter();
    let profiles = policy.profiles.iter();
    models
        .map(|model| (model.name.as_str(), "model"))
        .chain(profiles.map(|profile| (profile.name.as_str(), "profile")))
}

/// The types of clients require the times; they mean nothing here.
fn entry(name: &str, kind: &str) -> Value {
    json!({
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": "pointsman",
        "type": "model",
        "display_name": name,
        "created_at": "1970-01-01T00:00:00Z",
        "kind": kind,
    })
}

fn ok(details: &'static str, body: &Value) -> Reply {
    Reply {
        status: 200,
        details,
        headers: Vec::new(),
        body: serde_json::to_vec(&body).unwrap_or_default(),
    }
}

//! What the filter answers by itself: errors in the words of the API, the model list, the dry run. JSON texts only.

use serde_json::{Value, json};

use crate::decision::{Candidate, Outcome, Rejection};
use crate::explain;
use crate::policy::Policy;
use crate::policy::suggest::quote;
use crate::request::Format;
use crate::request::error_body::error_body;

/// An answer to the client in the upstream's stead; its content type is `application/json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// What access logs show as response code details.
    pub details: &'static str,
    /// Headers beside `content-type`.
    pub headers: Vec<(&'static str, String)>,
    /// The body, JSON.
    pub body: Vec<u8>,
}

impl Reply {
    /// The answer to a request whose body was being edited when the host failed, so that it must not go on.
    pub fn broken_body() -> Reply {
        let message = "the body could not be edited";
        let code = "internal_error";
        Reply {
            status: 500,
            details: code,
            headers: Vec::new(),
            body: error_body(Format::OpenAiChat, 500, code, None, message),
        }
    }
}

/// An error in the words of the API that was called.
pub fn error(format: Format, rejection: &Rejection) -> Reply {
    let param = match rejection.code {
        "context_length_exceeded" => Some(format.prompt_field()),
        _ => rejection.param.as_deref(),
    };
    let (status, code) = (rejection.status, rejection.code);
    Reply {
        status,
        details: code,
        headers: Vec::new(),
        body: error_body(format, status, code, param, &rejection.message),
    }
}

/// `GET /v1/models`: every name that a client can ask for as `model`, models first, then profiles; OpenAI's fields and
/// Anthropic's in one document, whose clients ask the same path.
pub fn model_list(policy: &Policy) -> Reply {
    let data: Vec<Value> = names(policy).map(|(name, kind)| one(name, kind)).collect();
    let id = |one: Option<&Value>| one.and_then(|one| one.get("id").cloned());
    let list = json!({
        "object": "list",
        "first_id": id(data.first()),
        "last_id": id(data.last()),
        "has_more": false,
        "data": data,
    });
    ok("pointsman_models", &list)
}

/// `GET /v1/models/NAME`: one of them, or `model_not_found`.
pub fn model(policy: &Policy, wanted: &str) -> Reply {
    match names(policy).find(|(name, _)| *name == wanted) {
        Some((name, kind)) => ok("pointsman_models", &one(name, kind)),
        None => error(
            Format::OpenAiChat,
            &Rejection {
                status: 404,
                code: "model_not_found",
                message: format!("the model {} does not exist", quote(wanted)),
                param: Some("model".to_owned()),
                rules: Vec::new(),
            },
        ),
    }
}

/// `POST /v1/route`: the decision that a request would get, and every candidate with its reason.
pub fn dry_run(policy: &Policy, outcome: &Outcome, candidates: &[Candidate]) -> Reply {
    let mut answer = explain::outcome(policy, outcome);
    if let Value::Object(members) = &mut answer {
        let candidates = explain::candidates(policy, candidates);
        members.insert("candidates".to_owned(), candidates);
    }
    ok("pointsman_route", &answer)
}

fn names(policy: &Policy) -> impl Iterator<Item = (&str, &'static str)> {
    let models = policy.registry.models.iter();
    let profiles = policy.profiles.iter();
    models
        .map(|model| (model.name.as_str(), "model"))
        .chain(profiles.map(|profile| (profile.name.as_str(), "profile")))
}

/// The times are required by clients' types and mean nothing here.
fn one(name: &str, kind: &str) -> Value {
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
        body: body.to_string().into_bytes(),
    }
}

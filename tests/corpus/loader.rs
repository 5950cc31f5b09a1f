//! The corpus of cases as values: what `tests/corpus/*.json` say, and what follows from it for headers and counts.
//!
//! Pure text to values, so that every runner (native, WebAssembly, command line, Envoy) can include it. What a case
//! expects is written by hand from the definition of the behaviour, never copied from what a program printed.

#![allow(dead_code)] // each runner takes what it needs

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

/// One file: cases that show one thing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// The subject of the cases.
    about: String,
    /// Name of the policy that they start from: `policies/NAME.json`.
    policy: String,
    cases: Vec<Case>,
}

/// One case.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Its name, `file.case` once it is loaded.
    pub name: String,
    /// Why this is what should happen.
    #[serde(default)]
    pub about: String,
    /// The policy: a merge patch (RFC 7396) on the file's one in the file, the whole policy once it is loaded.
    #[serde(default)]
    pub policy: Value,
    /// The client's request.
    pub request: Request,
    /// The expected outcome.
    pub expect: Expect,
}

/// A client's request.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// `POST` if not said.
    #[serde(default = "post")]
    pub method: String,
    /// `/v1/chat/completions` if not said.
    #[serde(default = "chat_completions")]
    pub path: String,
    /// Headers besides `content-length`.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The body; none if not said.
    #[serde(default)]
    body: Body,
}

/// A body, in the form in which it is best read.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
enum Body {
    #[default]
    None,
    /// A JSON value, written without white space, keys in the order of the alphabet.
    Json(Value),
    /// The text itself.
    Text(String),
    /// Bytes that are no text.
    Base64(String),
    /// Texts one after the other, each so many times.
    Pieces(Vec<(String, usize)>),
}

/// The outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// A decision routes the request.
    Routed,
    /// The request goes to the default cluster as it is, and is counted.
    Bypassed,
    /// The request is answered with an error, and counted.
    Rejected,
    /// Not a request to an LLM API: it goes on without forged headers, and nothing is counted.
    Passed,
    /// The filter itself answers the request.
    Answered,
}

/// The response headers of a decision that a client sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum ExpectedHeaders {
    Off,
    Minimal,
    #[default]
    Full,
}

/// The expected outcome of a request.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    pub outcome: Outcome,
    /// The Envoy cluster that it goes to; none where Envoy's own routes lead it, or where it goes nowhere.
    pub cluster: Option<String>,
    pub backend: Option<String>,
    pub model: Option<String>,
    pub profile: Option<String>,
    pub reason: Option<String>,
    /// The rules that applied, joined by commas.
    pub rule: Option<String>,
    /// How the client's steering was taken.
    pub steering: Option<String>,
    /// Whether it goes to a backend only to have its tokens counted.
    #[serde(default)]
    pub counts_tokens: bool,
    /// Whether the policy only reports.
    #[serde(default)]
    pub shadow: bool,
    /// How it nearly is a request of an LLM API.
    pub near_miss: Option<String>,
    /// Why it was bypassed.
    pub cause: Option<String>,
    /// The `model` of the body that arrives upstream; all else in it is as it was.
    pub sent_model: Option<String>,
    /// The body that arrives upstream, to the byte, where the case is about that.
    pub sent_body: Option<String>,
    /// The HTTP status, where we answer.
    pub status: Option<u16>,
    /// The code under which a refusal is counted, where the API's error does not hold it.
    pub code: Option<String>,
    /// Members of the answer's `error`.
    pub error: Option<BTreeMap<String, Value>>,
    /// The expected content of the answer: members that are listed, and the first items of lists.
    pub answer: Option<Value>,
    /// The expected response headers.
    #[serde(default)]
    pub decision_headers: ExpectedHeaders,
    /// Whether it takes the trained classifier, abilities or token estimates, not only features.
    #[serde(default)]
    pub classifier: bool,
    /// The part that only Envoy adds.
    pub in_envoy: Option<InEnvoy>,
}

/// Expectations that only a real Envoy can meet.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InEnvoy {
    /// The status that the client gets from Envoy.
    pub status: u16,
}

fn post() -> String {
    "POST".into()
}

fn chat_completions() -> String {
    "/v1/chat/completions".into()
}

/// The cases of the file `name` with this text; `policy` gives the text of `policies/NAME.json`.
///
/// # Errors
/// A line about the fault of the file.
pub fn load(
    name: &str,
    text: &str,
    policy: impl Fn(&str) -> Option<&'static str>,
) -> Result<Vec<Case>, String> {
    let file: File = serde_json::from_str(text).map_err(|error| format!("{name}: {error}"))?;
    if file.about.is_empty() || file.cases.is_empty() {
        return Err(format!("{name}: says nothing"));
    }
    let base =
        policy(&file.policy).ok_or_else(|| format!("{name}: no policy `{}`", file.policy))?;
    let base: Value =
        serde_json::from_str(base).map_err(|error| format!("{}: {error}", file.policy))?;
    let mut names = BTreeSet::new();
    file.cases
        .into_iter()
        .map(|mut case| {
            if !names.insert(case.name.clone()) {
                return Err(format!("{name}: two cases `{}`", case.name));
            }
            case.name = format!("{name}.{}", case.name);
            let patch = std::mem::replace(&mut case.policy, base.clone());
            if !patch.is_null() {
                merge(&mut case.policy, patch);
            }
            Ok(case)
        })
        .collect()
}

/// RFC 7396: members replace members, `null` removes one, anything else replaces the whole.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(members) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    if let Value::Object(object) = target {
        for (key, value) in members {
            if value.is_null() {
                object.remove(&key);
            } else {
                merge(object.entry(key).or_insert(Value::Null), value);
            }
        }
    }
}

impl Request {
    /// The bytes of the body; `None` where there is no body.
    pub fn body(&self) -> Option<Vec<u8>> {
        match &self.body {
            Body::None => None,
            Body::Json(value) => Some(value.to_string().into_bytes()),
            Body::Text(text) => Some(text.clone().into_bytes()),
            Body::Base64(text) => Some(base64(text)),
            Body::Pieces(pieces) => Some(
                pieces
                    .iter()
                    .map(|(text, times)| text.repeat(*times))
                    .collect::<String>()
                    .into_bytes(),
            ),
        }
    }
}

/// RFC 4648, without checks: the corpus is ours.
fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for digit in text
        .bytes()
        .filter_map(|byte| ALPHABET.iter().position(|&letter| letter == byte))
    {
        bits = bits << 6 | digit as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

/// The expected value of a response header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderValue {
    /// This value.
    Exactly(String),
    /// Some decimal number.
    Number,
}

impl Case {
    /// The response headers of ours that the client should see, and no others.
    pub fn response_headers(&self) -> BTreeMap<&'static str, HeaderValue> {
        let expect = &self.expect;
        let mut headers = BTreeMap::new();
        let mut tell = |name, value: &Option<String>| {
            if let Some(value) = value {
                headers.insert(name, HeaderValue::Exactly(value.clone()));
            }
        };
        let full = expect.decision_headers == ExpectedHeaders::Full;
        let reason = match expect.outcome {
            Outcome::Routed => expect.reason.clone(),
            Outcome::Bypassed => expect.cause.as_ref().map(|cause| format!("bypass_{cause}")),
            _ => return headers,
        };
        if expect.decision_headers != ExpectedHeaders::Off {
            tell("x-pointsman-model", &expect.model);
            tell("x-pointsman-backend", &expect.backend);
            tell("x-pointsman-mode", &expect.shadow.then(|| "shadow".into()));
        }
        if full {
            tell("x-pointsman-schema-version", &Some("1".into()));
            let version = self.policy.get("version").and_then(Value::as_str);
            tell("x-pointsman-policy-version", &version.map(str::to_owned));
            tell("x-pointsman-profile", &expect.profile);
            tell("x-pointsman-reason", &reason);
            tell("x-pointsman-rule", &expect.rule);
            tell("x-pointsman-steering", &expect.steering);
        }
        if full && expect.outcome == Outcome::Routed {
            if !expect.counts_tokens {
                headers.insert("x-pointsman-estimated-cost-usd", HeaderValue::Number);
            }
            if expect.reason.as_deref() != Some("pinned") {
                headers.insert("x-pointsman-difficulty", HeaderValue::Number);
                headers.insert("x-pointsman-quality", HeaderValue::Number);
            }
        }
        headers
    }

    /// The counters that should be one higher, by their names without Envoy's `wasmcustom.`, sorted.
    pub fn counted(&self) -> Vec<String> {
        let near_miss = self.expect.near_miss.as_ref();
        let near_miss =
            near_miss.map(|cause| format!("pointsman.unrecognized_requests.cause.{cause}"));
        let mut counted: Vec<String> = near_miss
            .into_iter()
            .chain(self.outcome_counted())
            .collect();
        counted.sort();
        counted
    }

    /// The one that tells what became of it; `None` where nothing is counted.
    fn outcome_counted(&self) -> Option<String> {
        let expect = &self.expect;
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        match expect.outcome {
            Outcome::Routed if expect.counts_tokens => Some(format!(
                "pointsman.count_tokens_requests.model.{}.backend.{}",
                text(&expect.model),
                text(&expect.backend),
            )),
            Outcome::Routed => Some(format!(
                "pointsman.{}decisions.model.{}.backend.{}.accelerator.{}.profile.{}.reason.{}",
                if expect.shadow { "shadow_" } else { "" },
                text(&expect.model),
                text(&expect.backend),
                self.accelerator(),
                text(&expect.profile),
                text(&expect.reason),
            )),
            Outcome::Bypassed => Some(format!(
                "pointsman.request_bypasses.cause.{}",
                text(&expect.cause)
            )),
            Outcome::Rejected => {
                let code = expect.error.as_ref().and_then(|error| error.get("code"));
                let code = code.and_then(Value::as_str).or(expect.code.as_deref());
                let code = code.unwrap_or_default();
                Some(format!("pointsman.rejections.code.{code}"))
            }
            // Feedback that is not taken is counted by its code.
            Outcome::Answered => {
                let code = expect.code.as_ref()?;
                Some(format!("pointsman.feedback_rejected.cause.{code}"))
            }
            Outcome::Passed => None,
        }
    }

    /// The expected backend's accelerator, as the policy says.
    fn accelerator(&self) -> &str {
        let backends = self.policy.get("backends").and_then(Value::as_array);
        backends
            .into_iter()
            .flatten()
            .find(|backend| {
                backend.get("name").and_then(Value::as_str) == self.expect.backend.as_deref()
            })
            .and_then(|backend| backend.get("accelerator"))
            .and_then(Value::as_str)
            .unwrap_or("gpu")
    }
}

/// Whether `found` holds `wanted`: the members that it lists, and the items that its lists begin with.
pub fn holds(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, value)| found.get(key).is_some_and(|found| holds(found, value))),
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() >= wanted.len()
                && found
                    .iter()
                    .zip(wanted)
                    .all(|(found, wanted)| holds(found, wanted))
        }
        _ => found == wanted,
    }
}

//! Reads the simulated backends from the `backends` of a policy, or of any document of that shape.
//!
//! Reading is lenient, since `pointsman check` checks policies; values that are not stated come from
//! the accelerator.

use std::collections::HashSet;
use std::path::Path;

use pointsman::api::{Api, Apis};
use pointsman::fleet::Accelerator;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The fleet of a demo that is given none: one backend of each accelerator.
const DEFAULT_FLEET: &str = include_str!("fleet.json");

#[derive(Debug, Deserialize)]
struct BackendSource {
    name: String,
    model: String,
    served_model: Option<String>,
    #[serde(default = "chat_only", deserialize_with = "apis")]
    apis: Apis,
    #[serde(default = "gpu", deserialize_with = "accelerator")]
    accelerator: Accelerator,
    endpoint: Option<String>,
    price: Option<PriceSource>,
    latency: Option<LatencySource>,
    simulate: Option<SimulateSource>,
}

#[derive(Debug, Default, Deserialize)]
struct PriceSource {
    #[serde(default)]
    input: f64,
    #[serde(default)]
    output: f64,
}

#[derive(Debug, Default, Deserialize)]
struct LatencySource {
    first_token_ms: Option<FirstTokenSource>,
    tokens_per_second: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct FirstTokenSource {
    p50: f64,
    p99: Option<f64>,
}

/// The APIs of a backend that states none.
const fn chat_only() -> Apis {
    Apis::only(Api::OpenAiChat)
}

fn apis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Apis, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    names.iter().try_fold(Apis::NONE, |all, name| {
        let found = Api::find(name);
        let found = found.ok_or_else(|| D::Error::custom(format!("unknown API `{name}`")))?;
        Ok(all.with(found))
    })
}

const fn gpu() -> Accelerator {
    Accelerator::Gpu
}

fn accelerator<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Accelerator, D::Error> {
    let name = String::deserialize(deserializer)?;
    let found = Accelerator::ALL
        .into_iter()
        .find(|item| item.name() == name);
    found.ok_or_else(|| D::Error::custom(format!("unknown accelerator `{name}`")))
}

/// Behaviour that no policy states, since no router could know it.
#[derive(Debug, Default, Deserialize)]
struct SimulateSource {
    slots: Option<usize>,
    when_full: Option<WhenFull>,
    cold_start_ms: Option<f64>,
    idle_ms: Option<f64>,
    error_rate: Option<f64>,
    answer_tokens: Option<AnswerTokens>,
}

/// How long answers are, in tokens, if nothing limits them: log-normal, as answers of models are.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerTokens {
    /// The median.
    pub p50: f64,
    /// The 99th percentile.
    pub p99: f64,
}

/// As chat assistants answer: some hundred tokens, and now and then a page or two.
const USUAL_ANSWER: AnswerTokens = AnswerTokens {
    p50: 220.0,
    p99: 1_600.0,
};

/// How a backend treats a request while all its slots are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// The request waits for a slot.
    Queue,
    /// The request is refused with 429 and `retry-after`.
    Reject,
}

/// One backend to simulate, every value settled.
#[derive(Debug, Clone, PartialEq)]
pub struct BackendSpec {
    /// Its name in the policy.
    pub name: String,
    /// The only `model` that it takes.
    pub served_model: String,
    /// The port on this machine where the policy looks for it; `None` where it looks elsewhere, or nowhere.
    pub port: Option<u16>,
    /// Its APIs.
    pub apis: Apis,
    /// The hardware that it plays.
    pub accelerator: Accelerator,
    /// USD per 1,000,000 input tokens.
    pub input_price: f64,
    /// USD per 1,000,000 output tokens.
    pub output_price: f64,
    /// Median time to the first token, in milliseconds.
    pub first_token_p50_ms: f64,
    /// 99th percentile of the time to the first token, in milliseconds.
    pub first_token_p99_ms: f64,
    /// Output tokens per second after the first.
    pub tokens_per_second: f64,
    /// How many answers it writes at a time.
    pub slots: usize,
    /// Treatment of requests when no slot is left.
    pub when_full: WhenFull,
    /// Milliseconds added to the first request after `idle_ms` without one; 0 if nothing scales to zero.
    pub cold_start_ms: f64,
    /// Milliseconds without a request after which it is cold.
    pub idle_ms: f64,
    /// Share of requests that it answers with 500, 0 to 1.
    pub error_rate: f64,
    /// How long its answers are.
    pub answer_tokens: AnswerTokens,
}

/// Defaults of an accelerator.
struct AcceleratorDefaults {
    first_token_p50_ms: f64,
    first_token_p99_ms: f64,
    tokens_per_second: f64,
    slots: usize,
    when_full: WhenFull,
    cold_start_ms: f64,
}

const fn defaults(accelerator: Accelerator) -> AcceleratorDefaults {
    match accelerator {
        // Batches many answers; under load requests wait.
        Accelerator::Gpu => AcceleratorDefaults {
            first_token_p50_ms: 180.0,
            first_token_p99_ms: 700.0,
            tokens_per_second: 70.0,
            slots: 64,
            when_full: WhenFull::Queue,
            cold_start_ms: 0.0,
        },
        // Few answers at a time, each slow.
        Accelerator::Cpu => AcceleratorDefaults {
            first_token_p50_ms: 250.0,
            first_token_p99_ms: 1_200.0,
            tokens_per_second: 18.0,
            slots: 4,
            when_full: WhenFull::Queue,
            cold_start_ms: 0.0,
        },
        // Compiled ahead of time: hardly any spread; sold with rate limits.
        Accelerator::Lpu => AcceleratorDefaults {
            first_token_p50_ms: 60.0,
            first_token_p99_ms: 90.0,
            tokens_per_second: 450.0,
            slots: 16,
            when_full: WhenFull::Reject,
            cold_start_ms: 0.0,
        },
        // Scales to zero.
        Accelerator::Serverless => AcceleratorDefaults {
            first_token_p50_ms: 350.0,
            first_token_p99_ms: 2_500.0,
            tokens_per_second: 60.0,
            slots: 256,
            when_full: WhenFull::Reject,
            cold_start_ms: 3_000.0,
        },
    }
}

impl BackendSource {
    fn into_spec(self) -> BackendSpec {
        let defaults = defaults(self.accelerator);
        let price = self.price.unwrap_or_default();
        let latency = self.latency.unwrap_or_default();
        let simulate = self.simulate.unwrap_or_default();
        let (p50, p99) = match latency.first_token_ms {
            Some(stated) => (stated.p50, stated.p99.unwrap_or(3.0 * stated.p50)),
            None => (defaults.first_token_p50_ms, defaults.first_token_p99_ms),
        };
        BackendSpec {
            served_model: self.served_model.unwrap_or(self.model),
            port: self.endpoint.as_deref().and_then(port_here),
            name: self.name,
            apis: self.apis,
            accelerator: self.accelerator,
            input_price: price.input,
            output_price: price.output,
            first_token_p50_ms: p50,
            first_token_p99_ms: p99.max(p50),
            tokens_per_second: latency
                .tokens_per_second
                .unwrap_or(defaults.tokens_per_second)
                .max(0.001),
            slots: simulate.slots.unwrap_or(defaults.slots).max(1),
            when_full: simulate.when_full.unwrap_or(defaults.when_full),
            cold_start_ms: simulate.cold_start_ms.unwrap_or(defaults.cold_start_ms),
            idle_ms: simulate.idle_ms.unwrap_or(60_000.0),
            error_rate: simulate.error_rate.unwrap_or(0.0),
            answer_tokens: simulate.answer_tokens.unwrap_or(USUAL_ANSWER),
        }
    }
}

/// The port of an endpoint on this machine.
fn port_here(endpoint: &str) -> Option<u16> {
    let (host, port) = endpoint.strip_prefix("http://")?.rsplit_once(':')?;
    let is_here = ["127.0.0.1", "localhost", "[::1]"].contains(&host);
    let port = port.split('/').next()?.parse().ok()?;
    is_here.then_some(port)
}

/// The backends of a JSON or YAML document: those of the first object in it that has any: a policy, a plugin
/// configuration or a whole Envoy configuration.
///
/// # Errors
/// One line that says what is wrong: not a document of that shape, no backend in it, or two of one name.
pub fn parse(text: &str) -> Result<Vec<BackendSpec>, String> {
    let document: Value =
        serde_yaml_ng::from_str(text).map_err(|error| format!("neither JSON nor YAML: {error}"))?;
    let found = find_backends(&document).ok_or("it has no `backends`")?;
    let backends: Vec<BackendSource> =
        serde_json::from_value(found).map_err(|error| format!("`backends`: {error}"))?;
    if backends.is_empty() {
        return Err("`backends` is empty".into());
    }
    let mut names = HashSet::new();
    for backend in &backends {
        if !names.insert(backend.name.as_str()) {
            return Err(format!("two backends are called `{}`", backend.name));
        }
    }
    Ok(backends.into_iter().map(BackendSource::into_spec).collect())
}

fn find_backends(value: &Value) -> Option<Value> {
    match value {
        Value::Object(members) => match members.get("backends") {
            Some(backends @ Value::Array(_)) => Some(backends.clone()),
            _ => members.values().find_map(find_backends),
        },
        Value::Array(items) => items.iter().find_map(find_backends),
        // A plugin configuration as text, in an Envoy configuration.
        Value::String(text) if text.trim_start().starts_with('{') => {
            find_backends(&serde_json::from_str(text).ok()?)
        }
        _ => None,
    }
}

/// The backends of the document in this file; see [`parse`].
///
/// # Errors
/// As [`parse`], with the file's name.
pub fn read(file: &Path) -> Result<Vec<BackendSpec>, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string());
    text.and_then(|text| parse(&text))
        .map_err(|error| format!("`{}`: {error}", file.display()))
}

/// The fleet that is used if none is given.
///
/// # Errors
/// Never in practice: a test parses it.
pub fn default_fleet() -> Result<Vec<BackendSpec>, String> {
    parse(DEFAULT_FLEET)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn the_default_fleet_has_every_accelerator() {
        let fleet = default_fleet().unwrap();
        let mut accelerators: Vec<_> = fleet.iter().map(|b| b.accelerator.name()).collect();
        accelerators.sort_unstable();
        assert_eq!(accelerators, ["cpu", "gpu", "lpu", "serverless"]);
    }

    #[test]
    fn what_is_not_stated_comes_from_the_accelerator() {
        let fleet = parse(
            "backends:\n- {name: a, model: m, accelerator: serverless}\n- {name: b, model: m, served_model: m-q4, \
             accelerator: cpu, latency: {first_token_ms: {p50: 9}, tokens_per_second: 5}}",
        )
        .unwrap();
        assert_eq!(fleet[0].served_model, "m");
        assert!(fleet[0].cold_start_ms > 0.0);
        assert_eq!(fleet[1].served_model, "m-q4");
        assert_eq!(fleet[1].first_token_p50_ms, 9.0);
        assert_eq!(fleet[1].first_token_p99_ms, 27.0);
        assert_eq!(fleet[1].tokens_per_second, 5.0);
        assert_eq!(fleet[1].port, None);
    }

    #[test]
    fn the_shipped_envoy_configuration_is_a_fleet() {
        let fleet = parse(include_str!("../../../../envoy/envoy.yaml")).unwrap();
        assert_eq!(fleet.len(), 4);
        assert_eq!(fleet[1].served_model, "llama-3.1-8b-instant");
        assert_eq!(fleet[1].port, Some(8002));
        assert_eq!(port_here("http://10.0.0.7:8000"), None);
        assert_eq!(port_here("http://localhost:8000/v1"), Some(8000));
        let text = r#"{"configuration": {"value": "{\"policy\": {\"backends\": [{\"name\": \"a\", \"model\": \"m\"}]}}"}}"#;
        assert_eq!(parse(text).unwrap()[0].name, "a");
        assert_eq!(parse("{}").unwrap_err(), "it has no `backends`");
    }

    #[test]
    fn names_are_unique_and_there_is_at_least_one() {
        assert_eq!(
            parse(r#"{"backends":[]}"#).unwrap_err(),
            "`backends` is empty"
        );
        let twice = r#"{"backends":[{"name":"a","model":"m","accelerator":"gpu"},{"name":"a","model":"m","accelerator":"cpu"}]}"#;
        assert_eq!(parse(twice).unwrap_err(), "two backends are called `a`");
    }
}

//! The shape of LiteLLM's `model_prices_and_context_window.json`: one object, by name; prices in USD per token.

use pointsman::api::Capabilities;
use serde_json::{Map, Value};

use super::{Catalogue, Entry, per_million};

/// Entries of other modes (images, embeddings, speech, …) are not chat models.
const MODES: [&str; 3] = ["chat", "completion", "responses"];

const FLAGS: [(&str, Capabilities); 6] = [
    ("supports_function_calling", Capabilities::TOOLS),
    ("supports_vision", Capabilities::VISION),
    ("supports_audio_input", Capabilities::AUDIO),
    (
        "supports_response_schema",
        Capabilities::JSON_MODE.union(Capabilities::JSON_SCHEMA),
    ),
    ("supports_reasoning", Capabilities::REASONING),
    ("supports_pdf_input", Capabilities::FILES),
];

const KNOWN: [&str; 9] = [
    "litellm_provider",
    "mode",
    "max_tokens",
    "max_input_tokens",
    "max_output_tokens",
    "input_cost_per_token",
    "output_cost_per_token",
    "cache_read_input_token_cost",
    "cache_creation_input_token_cost",
];

/// Reads every entry.
pub(super) fn read(members: &Map<String, Value>, catalogue: &mut Catalogue) {
    for (name, value) in members {
        let Value::Object(fields) = value else {
            let line = format!("`{name}`: expected an object");
            catalogue.mistakes.push(line);
            continue;
        };
        // This entry documents the fields, with texts for numbers.
        if name == "sample_spec" {
            continue;
        }
        let mode = fields.get("mode").and_then(Value::as_str);
        let priced = ["input_cost_per_token", "output_cost_per_token"];
        let is_model = mode.is_some_and(|mode| MODES.contains(&mode))
            && priced.iter().all(|field| fields.contains_key(*field));
        if !is_model {
            catalogue.skipped += 1;
            continue;
        }
        let is_flag = |field: &str| FLAGS.iter().any(|(flag, _)| *flag == field);
        let unknown = fields
            .keys()
            .filter(|field| !KNOWN.contains(&field.as_str()) && !is_flag(field));
        catalogue.ignored_fields += unknown.count();
        match entry(fields) {
            Ok(entry) => drop(catalogue.entries.insert(name.clone(), entry)),
            Err(error) => catalogue.mistakes.push(format!("`{name}`: {error}")),
        }
    }
}

fn entry(fields: &Map<String, Value>) -> Result<Entry, String> {
    let price = |field| Ok::<_, String>(number(fields, field)?.map(per_million));
    let tokens = |field| Ok::<_, String>(number(fields, field)?.map(|number| number as u64));
    let mut capabilities = Capabilities::NONE;
    for (flag, one) in FLAGS {
        if fields.get(flag).and_then(Value::as_bool) == Some(true) {
            capabilities = capabilities.union(one);
        }
    }
    // `max_tokens` is the output's if both are known, else whatever the provider states.
    let most = tokens("max_tokens")?;
    Ok(Entry {
        provider: fields
            .get("litellm_provider")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        context_window: tokens("max_input_tokens")?.or(most),
        max_output_tokens: tokens("max_output_tokens")?,
        capabilities,
        input: price("input_cost_per_token")?,
        cached_input: price("cache_read_input_token_cost")?,
        cache_write: price("cache_creation_input_token_cost")?,
        output: price("output_cost_per_token")?,
    })
}

/// A number that is 0 or more; `null` is as good as nothing.
pub(super) fn number(fields: &Map<String, Value>, field: &str) -> Result<Option<f64>, String> {
    match fields.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => match number.as_f64() {
            Some(number) if number >= 0.0 => Ok(Some(number)),
            _ => Err(format!("{field}: `{number}` is less than 0")),
        },
        Some(other) => Err(format!("{field}: expected a number, found `{other:.40}`")),
    }
}

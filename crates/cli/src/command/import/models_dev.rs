//! The shape of models.dev's `api.json`: providers by id, each with its `models` by id; prices in USD per 1,000,000 tokens.

use pointsman::api::Capabilities;
use serde_json::{Map, Value};

use super::litellm::number;
use super::{Catalogue, Entry};

const KNOWN: [&str; 9] = [
    "id",
    "name",
    "cost",
    "limit",
    "modalities",
    "tool_call",
    "structured_output",
    "reasoning",
    "attachment",
];
const COSTS: [&str; 4] = ["input", "output", "cache_read", "cache_write"];
const LIMITS: [&str; 2] = ["context", "output"];

/// Reads every provider's entries, as `PROVIDER/MODEL`.
pub(super) fn read(providers: &Map<String, Value>, catalogue: &mut Catalogue) {
    for (provider, value) in providers {
        let Some(models) = value.get("models").and_then(Value::as_object) else {
            let line = format!("`{provider}`: expected a provider with `models`");
            catalogue.mistakes.push(line);
            continue;
        };
        for (model, value) in models {
            let name = format!("{provider}/{model}");
            let Value::Object(fields) = value else {
                catalogue
                    .mistakes
                    .push(format!("`{name}`: expected an object"));
                continue;
            };
            if fields.get("cost").is_none_or(Value::is_null) || !writes_text(fields) {
                catalogue.skipped += 1;
                continue;
            }
            catalogue.ignored_fields += unknown(fields, &KNOWN)
                + inner(fields, "cost").map_or(0, |cost| unknown(cost, &COSTS))
                + inner(fields, "limit").map_or(0, |limit| unknown(limit, &LIMITS));
            match entry(provider, fields) {
                Ok(entry) => drop(catalogue.entries.insert(name, entry)),
                Err(error) => catalogue.mistakes.push(format!("`{name}`: {error}")),
            }
        }
    }
}

fn inner<'f>(fields: &'f Map<String, Value>, name: &str) -> Option<&'f Map<String, Value>> {
    fields.get(name)?.as_object()
}

fn unknown(fields: &Map<String, Value>, known: &[&str]) -> usize {
    let names = fields.keys().filter(|name| !known.contains(&name.as_str()));
    names.count()
}

fn has(fields: &Map<String, Value>, direction: &str, modality: &str) -> Option<bool> {
    let list = inner(fields, "modalities")?.get(direction)?.as_array()?;
    Some(list.iter().any(|item| item == modality))
}

fn writes_text(fields: &Map<String, Value>) -> bool {
    has(fields, "output", "text").unwrap_or(true)
}

fn entry(provider: &str, fields: &Map<String, Value>) -> Result<Entry, String> {
    let cost = inner(fields, "cost").ok_or("cost: expected an object")?;
    let none = Map::new();
    let limit = inner(fields, "limit").unwrap_or(&none);
    let price = |name| number(cost, name).map_err(|error| format!("cost.{error}"));
    let tokens = |name| {
        let number = number(limit, name).map_err(|error| format!("limit.{error}"))?;
        // 0 stands for what nobody knows.
        Ok::<_, String>(
            number
                .filter(|number| *number > 0.0)
                .map(|number| number as u64),
        )
    };
    let flag = |name: &str| fields.get(name).and_then(Value::as_bool) == Some(true);
    let reads = |modality| has(fields, "input", modality) == Some(true);
    let message = [
        (flag("tool_call"), Capabilities::TOOLS),
        (
            flag("structured_output"),
            Capabilities::JSON_MODE.union(Capabilities::JSON_SCHEMA),
        ),
        (flag("reasoning"), Capabilities::REASONING),
        (reads("image"), Capabilities::VISION),
        (reads("audio"), Capabilities::AUDIO),
        (reads("pdf"), Capabilities::FILES),
    ];
    let capabilities = message.into_iter().filter(|(message, _)| *message);
    Ok(Entry {
        provider: provider.to_owned(),
        context_window: tokens("context")?,
        max_output_tokens: tokens("output")?,
        capabilities: capabilities.fold(Capabilities::NONE, |all, (_, one)| all.union(one)),
        input: price("input")?,
        cached_input: price("cache_read")?,
        cache_write: price("cache_write")?,
        output: price("output")?,
    })
}

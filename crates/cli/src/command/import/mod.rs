//! `pointsman import`: prices, context windows and capabilities out of public catalogues, into a policy or as pieces of one.
//!
//! A catalogue's values replace the policy's, except capabilities: these are only added, since a catalogue is silent
//! on many. Backends whose names no entry has are left alone, so that hardware of one's own keeps its own price. The policy's
//! text keeps its order and its lines; only values change.

mod litellm;
mod models_dev;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use pointsman::api::Capabilities;
use pointsman::fleet::Backend;
use pointsman::policy::Policy;
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::io::document::{Document, Step, equal};
use crate::io::input;

/// Arguments of `pointsman import`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without --into, prints the named entries as `models` and `backends` of a policy. With it, prints the policy with what the \
catalogue knows of its backends; a backend is known by the name that it serves, or its model's, unless --backend says otherwise.\n\
Exit status: 0 done; 1 nothing in the policy has an entry; 2 bad usage, catalogue, policy or file."
)]
pub struct Args {
    /// Whose catalogue it is: LiteLLM's model_prices_and_context_window.json, or the api.json of models.dev
    #[arg(value_name = "CATALOGUE")]
    form: Form,
    /// The catalogue's file; `-` is standard input
    file: PathBuf,
    /// Entries to print, such as `gpt-4o` or `groq/llama-3.1-8b-instant`
    #[arg(conflicts_with = "into", required_unless_present = "into")]
    entries: Vec<String>,
    /// A policy to bring up to date
    #[arg(long, value_name = "POLICY")]
    into: Option<PathBuf>,
    /// Look for names among this provider's entries first
    #[arg(long)]
    provider: Option<String>,
    /// The entry of a backend; several may be given
    #[arg(long = "backend", value_name = "BACKEND=ENTRY", value_parser = parse_pair)]
    backends: Vec<(String, String)>,
    /// Replace the policy's file instead of printing it
    #[arg(long, requires = "into")]
    write: bool,
}

/// Whose catalogue it is.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Form {
    /// LiteLLM's model_prices_and_context_window.json
    #[value(name = "litellm")]
    LiteLlm,
    /// The api.json of models.dev
    #[value(name = "models.dev")]
    ModelsDev,
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (name, entry) = text.split_once('=').ok_or("expected BACKEND=ENTRY")?;
    Ok((name.to_owned(), entry.to_owned()))
}

/// A catalogue's entry of one model at one provider. Prices in USD per 1,000,000 tokens.
#[derive(Debug, Clone, Default, PartialEq)]
struct Entry {
    provider: String,
    context_window: Option<u64>,
    max_output_tokens: Option<u64>,
    capabilities: Capabilities,
    input: Option<f64>,
    cached_input: Option<f64>,
    cache_write: Option<f64>,
    output: Option<f64>,
}

/// A catalogue, read.
#[derive(Debug, Default)]
struct Catalogue {
    /// By name: as it stands there, or for models.dev `PROVIDER/MODEL`.
    entries: BTreeMap<String, Entry>,
    /// The number of omitted entries: those that are not language models or have no prices by token.
    skipped: usize,
    /// Fields that nobody here knows.
    ignored_fields: usize,
    /// Entries with mistakes, one line each; they are left out as well.
    mistakes: Vec<String>,
}

impl Catalogue {
    fn read(form: Form, text: &str) -> Result<Catalogue, String> {
        let document: Value =
            serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        let Value::Object(members) = document else {
            return Err("expected an object of entries".into());
        };
        let mut catalogue = Catalogue::default();
        match form {
            Form::LiteLlm => litellm::read(&members, &mut catalogue),
            Form::ModelsDev => models_dev::read(&members, &mut catalogue),
        }
        if catalogue.entries.is_empty() && catalogue.mistakes.is_empty() {
            return Err("has no entry of a language model with prices by token: is it another catalogue's file?".into());
        }
        Ok(catalogue)
    }

    /// The entry of this name: the provider's, else the one that is called exactly so.
    fn find(&self, provider: Option<&str>, name: &str) -> Option<(&str, &Entry)> {
        let of_provider = |provider: &str| {
            let full = format!("{provider}/{name}");
            let known = |(key, entry): &(&String, &Entry)| {
                **key == full || (*key == name && entry.provider == provider)
            };
            self.entries.iter().find(known)
        };
        provider
            .and_then(of_provider)
            .or_else(|| self.entries.get_key_value(name))
            .map(|(key, entry)| (key.as_str(), entry))
    }

    fn say(&self) {
        for mistake in &self.mistakes {
            eprintln!("warning: {mistake}; the entry is left out");
        }
        eprintln!(
            "{} entries read, {} skipped that have no token prices of a language model, {} unknown fields ignored",
            self.entries.len(),
            self.skipped,
            self.ignored_fields
        );
    }
}

/// Reads the catalogue and does what was asked with it.
pub fn run(args: &Args) -> Result<(), Failure> {
    let name = args.file.display();
    let text = input::read_text(&args.file)?;
    let catalogue = Catalogue::read(args.form, &text)
        .map_err(|error| Failure::Input(format!("`{name}`: {error}")))?;
    catalogue.say();
    let Some(path) = &args.into else {
        println!("{:#}", fragments(&catalogue, args)?);
        return Ok(());
    };
    let (policy, document) = input::read_policy_document(path)?;
    let (changed, report) = update(&catalogue, args, &policy, &document)?;
    for line in &report {
        eprintln!("{line}");
    }
    // A policy that we broke must not be written.
    Policy::compile(&changed.json)
        .map_err(|invalid| Failure::Failed(format!("the policy would not compile: {invalid}")))?;
    let target = args.write.then_some(path.as_path());
    input::write(target, &changed.text)
}

/// The named entries as `models` and `backends` of a policy, to be put into one by hand.
fn fragments(catalogue: &Catalogue, args: &Args) -> Result<Value, Failure> {
    let (mut models, mut backends) = (Vec::new(), Vec::new());
    for name in &args.entries {
        let (key, entry) = catalogue
            .find(args.provider.as_deref(), name)
            .ok_or_else(|| unknown(catalogue, name))?;
        let serves = key.rsplit('/').next().unwrap_or(key);
        let mut model = Map::new();
        model.insert("name".into(), serves.into());
        for (field, value) in model_facts(entry, Capabilities::NONE) {
            model.insert(field.into(), value);
        }
        let price: Map<String, Value> = prices(entry)
            .map(|(field, value)| (field.into(), value))
            .collect();
        models.push(Value::Object(model));
        backends.push(json!({
            "name": key.replace('/', "-"), "model": serves, "accelerator": "serverless", "price": price,
        }));
    }
    Ok(json!({"models": models, "backends": backends}))
}

fn unknown(catalogue: &Catalogue, name: &str) -> Failure {
    let ending = format!("/{name}");
    let near: Vec<&str> = catalogue
        .entries
        .keys()
        .filter(|key| key.ends_with(&ending) || key.contains(name))
        .take(5)
        .map(String::as_str)
        .collect();
    let hint = match near.as_slice() {
        [] => String::new(),
        near => format!("; there are: {}", near.join(", ")),
    };
    Failure::Input(format!("the catalogue has no entry `{name}`{hint}"))
}

/// The policy's text with what the catalogue knows, and one line for each change.
fn update(
    catalogue: &Catalogue,
    args: &Args,
    policy: &Policy,
    document: &Document,
) -> Result<(Document, Vec<String>), Failure> {
    let (mut document, mut report, mut found) = (document.clone(), Vec::new(), 0);
    for (name, entry) in &args.backends {
        if !policy
            .registry
            .backends
            .iter()
            .any(|backend| backend.name == *name)
        {
            return Err(Failure::Input(format!(
                "the policy has no backend `{name}`"
            )));
        }
        if !catalogue.entries.contains_key(entry) {
            return Err(unknown(catalogue, entry));
        }
    }
    for (index, backend) in policy.registry.backends.iter().enumerate() {
        let Some((key, entry)) = entry_of(catalogue, args, policy, backend) else {
            report.push(format!("{}: no entry, left as it is", backend.name));
            continue;
        };
        found += 1;
        report.push(format!("{}: {key}", backend.name));
        let backend_at = [Step::Key("backends"), Step::Item(index), Step::Key("price")];
        let mut changes: Vec<(Vec<Step<'_>>, Value)> = Vec::new();
        for (field, value) in prices(entry) {
            changes.push(([&backend_at[..], &[Step::Key(field)]].concat(), value));
        }
        let model = backend.model.0 as usize;
        let known = policy
            .registry
            .models
            .get(model)
            .map(|model| model.capabilities);
        for (field, value) in model_facts(entry, known.unwrap_or_default()) {
            let path = vec![Step::Key("models"), Step::Item(model), Step::Key(field)];
            changes.push((path, value));
        }
        for (path, value) in changes {
            if let Some(change) = change(&mut document, &path, &value)? {
                report.push(format!("  {}: {change}", written(&path)));
            }
        }
    }
    match found {
        0 => Err(Failure::Failed(
            "no backend of the policy has an entry: name one with --backend BACKEND=ENTRY, or a --provider".into(),
        )),
        _ => Ok((document, report)),
    }
}

/// Sets the value at `path` and says what changed, as `OLD -> NEW`; `None` if it is that value already.
fn change(
    document: &mut Document,
    path: &[Step<'_>],
    value: &Value,
) -> Result<Option<String>, Failure> {
    let old = document.get(path);
    if old.as_ref().is_some_and(|old| same(old, value)) {
        return Ok(None);
    }
    let changed = document.set(path, value).ok_or_else(|| {
        Failure::Failed(format!(
            "the policy has no place of its own for `{}`: behind an alias, write it out",
            written(path)
        ))
    })?;
    *document = changed;
    let old = old.map_or("-".to_owned(), |old| old.to_string());
    Ok(Some(format!("{old} -> {value}")))
}

/// Whether nothing changes: lists may be in any order.
fn same(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::Array(old), Value::Array(new)) => {
            old.len() == new.len() && old.iter().all(|item| new.contains(item))
        }
        _ => equal(old, new),
    }
}

/// A path as problems name it: `backends[0].price.input`.
fn written(path: &[Step<'_>]) -> String {
    path.iter().fold(String::new(), |mut text, step| {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => text.extend([".", key]),
            Step::Item(number) => text.push_str(&format!("[{number}]")),
        }
        text
    })
}

/// The entry that was named for a backend, or that has the name which it serves.
fn entry_of<'c>(
    catalogue: &'c Catalogue,
    args: &Args,
    policy: &Policy,
    backend: &Backend,
) -> Option<(&'c str, &'c Entry)> {
    let named = args.backends.iter().find(|(name, _)| *name == backend.name);
    if let Some((_, entry)) = named {
        return catalogue.find(None, entry);
    }
    let model = policy.registry.model(backend.model)?;
    let provider = args.provider.as_deref();
    catalogue
        .find(provider, &backend.served_model)
        .or_else(|| catalogue.find(provider, &model.name))
}

/// Fields of `price` and their values.
fn prices(entry: &Entry) -> impl Iterator<Item = (&'static str, Value)> {
    [
        ("input", entry.input),
        ("cached_input", entry.cached_input),
        ("cache_write", entry.cache_write),
        ("output", entry.output),
    ]
    .into_iter()
    .filter_map(|(field, price)| Some((field, json!(price?))))
}

/// Fields of a model and their values; `known` is what it can do already.
fn model_facts(entry: &Entry, known: Capabilities) -> Vec<(&'static str, Value)> {
    let mut facts = Vec::new();
    if let Some(window) = entry.context_window {
        facts.push(("context_window", json!(window)));
    }
    if let Some(most) = entry.max_output_tokens {
        let most = most.min(entry.context_window.unwrap_or(most));
        facts.push(("max_output_tokens", json!(most)));
    }
    if !known.contains(entry.capabilities) || known.is_empty() {
        let names: Vec<&str> = known.union(entry.capabilities).names().collect();
        facts.push(("capabilities", json!(names)));
    }
    facts
}

/// A price per token as one per 1,000,000, without what binary fractions add to it.
fn per_million(price: f64) -> f64 {
    (price * 1e15).round() / 1e9
}

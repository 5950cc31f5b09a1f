//! From the document to the [`Policy`]: names become ids, numbers their types, defaults are filled in.
//!
//! `shape` has already reported what is wrong with the form. Here a value of the wrong form is passed over in silence and
//! the rest goes on, so that one pass finds every problem; a policy comes out only if there was none.

use super::compile_ability::compile_ability;
use super::compile_rules::{Known, compile_rules};
use super::compile_traffic::compile_traffic;
use super::intake::{compile_on_unknown_model, compile_undecided};
use super::names::ModelNames;
use super::profile::{Limit, Limits, Profile, Weights};
use super::provider::compile_provider;
use super::reach::{
    check_cluster, compile_client, compile_credentials, compile_endpoint, compile_health,
    compile_state_scope, fill_in_client_headers,
};
use super::source;
use super::timeouts::compile_timeouts;
use super::validate::validate;
use super::warming::{check_profile_ramps, compile_cold, compile_profile_ramp, compile_ramp};
use super::{DecisionHeaders, InvalidDocument, Policy, Problem};
use crate::api::{Api, Apis, Capabilities};
use crate::fleet::{Accelerator, Backend, BackendId, Latency, Model, ModelId, Price, Registry};
use crate::fnv;
use crate::schema::document::{self, Node};
use crate::schema::shape::{Kind, Problems, check, join};
use crate::schema::suggest::{hint, quote};

const DEFAULT_CONTEXT_WINDOW: u32 = 8192;
const DEFAULT_MAX_BODY_BYTES: usize = 1_048_576;
/// The listener's limit in every configuration that is shipped.
const DEFAULT_MAX_SCAN_BYTES: usize = 8 << 20;
const DEFAULT_FIRST_TOKEN_MS: f32 = 500.0;
const DEFAULT_FIRST_TOKEN_SPREAD: f32 = 3.0;
const DEFAULT_TOKENS_PER_SECOND: f32 = 50.0;
/// What a text model can do through any current serving engine (constrained decoding, tool-call templates).
const DEFAULT_CAPABILITIES: Capabilities = Capabilities::TOOLS
    .union(Capabilities::JSON_MODE)
    .union(Capabilities::JSON_SCHEMA);

/// Compiles `text`; see [`Policy::compile`].
pub(super) fn compile(text: &str) -> Result<Policy, InvalidDocument> {
    resolve(text, &read(text)?)
}

/// Compiles `text` and looks for what is doubtful; see [`Policy::check`].
pub(super) fn check_all(text: &str) -> Result<(Policy, Vec<Problem>), InvalidDocument> {
    let root = read(text)?;
    let policy = resolve(text, &root)?;
    let mut warnings = Problems::of(text);
    validate(&policy, &root, &mut warnings);
    Ok((policy, warnings.into_list()))
}

fn read(text: &str) -> Result<Node, InvalidDocument> {
    document::read(text).map_err(|problem| InvalidDocument {
        problems: vec![problem],
    })
}

fn resolve(text: &str, root: &Node) -> Result<Policy, InvalidDocument> {
    let mut problems = Problems::of(text);
    check(&Kind::Object(&source::POLICY), root, "", &mut problems);
    let models = compile_models(root, &mut problems);
    let backends = compile_backends(root, &models, &mut problems);
    let profiles = compile_profiles(root, &models, &backends, &mut problems);
    let names = ModelNames::compile(root, &models, &backends, &profiles, &mut problems);
    let known = Known {
        models: &models,
        backends: &backends,
        profiles: &profiles,
    };
    let (rules, words) = compile_rules(root, &known, &mut problems);
    check_unique(items_of(root, "rules"), "rules", &mut problems);
    check_unique(items_of(root, "budgets"), "budgets", &mut problems);
    let traffic = compile_traffic(text, root, &known, &rules, &mut problems);
    let default_profile = text_of(root, "default_profile").unwrap_or("auto");
    if !profiles
        .iter()
        .any(|profile| profile.name == default_profile)
    {
        let known: Vec<&str> = profiles
            .iter()
            .map(|profile| profile.name.as_str())
            .collect();
        let message = unknown("profile", default_profile, &known);
        problems.add(at_of(root, "default_profile"), "default_profile", message);
    }
    let baseline = compile_baseline(root, &models, &backends, &mut problems);
    problems.into_result()?;
    let default_cluster = text_of(root, "default_cluster")
        .or_else(|| backends.first().map(|backend| backend.cluster.as_str()))
        .unwrap_or_default()
        .to_owned();
    Ok(Policy {
        version: text_of(root, "version")
            .map_or_else(|| format!("{:016x}", fingerprint(text)), str::to_owned),
        revision: number_of(root, "revision").map(|number| number as u64),
        default_cluster,
        undecided: compile_undecided(root),
        on_unknown_model: compile_on_unknown_model(root),
        names,
        decision_headers: match text_of(root, "decision_headers") {
            Some("off") => DecisionHeaders::Off,
            Some("minimal") => DecisionHeaders::Minimal,
            _ => DecisionHeaders::Full,
        },
        baseline,
        always_stream_usage: text_of(root, "stream_usage") == Some("always"),
        observes: text_of(root, "latency_source") != Some("declared"),
        max_body_bytes: bytes_of(root, "max_body_bytes", DEFAULT_MAX_BODY_BYTES),
        max_scan_bytes: bytes_of(root, "max_scan_bytes", DEFAULT_MAX_SCAN_BYTES),
        registry: Registry { models, backends },
        profiles,
        rules,
        words,
        default_profile: default_profile.to_owned(),
        traffic,
    })
}

/// The first backend of the model that requests would go to without a router.
fn compile_baseline(
    root: &Node,
    models: &[Model],
    backends: &[Backend],
    problems: &mut Problems<'_>,
) -> Option<BackendId> {
    let name = text_of(root, "baseline")?;
    let at = at_of(root, "baseline");
    let Some(model) = models.iter().position(|model| model.name == name) else {
        let known: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
        problems.add(at, "baseline", unknown("model", name, &known));
        return None;
    };
    let model = ModelId(model as u32);
    let first = backends.iter().position(|backend| backend.model == model);
    if first.is_none() {
        let message = format!("no backend serves {}, so it has no price", quote(name));
        problems.add(at, "baseline", message);
    }
    first.map(|index| BackendId(index as u32))
}

fn compile_models(root: &Node, problems: &mut Problems<'_>) -> Vec<Model> {
    let nodes = items_of(root, "models");
    check_unique(nodes, "models", problems);
    let models = nodes.iter().enumerate().map(|(index, node)| {
        let context_window = number_of(node, "context_window")
            .map_or(DEFAULT_CONTEXT_WINDOW, |number| number as u32);
        let max_output_tokens =
            number_of(node, "max_output_tokens").map_or(context_window, |number| number as u32);
        if max_output_tokens > context_window {
            problems.add(
                at_of(node, "max_output_tokens"),
                format!("models[{index}].max_output_tokens"),
                format!(
                    "`{max_output_tokens}` is more than the context window of `{context_window}`"
                ),
            );
        }
        let capabilities = node
            .get("capabilities")
            .map_or(DEFAULT_CAPABILITIES, |list| {
                list.items()
                    .iter()
                    .filter_map(|item| Capabilities::find(item.text()?))
                    .fold(Capabilities::NONE, Capabilities::union)
            });
        Model {
            name: text_of(node, "name").unwrap_or_default().to_owned(),
            capabilities,
            context_window,
            max_output_tokens,
            reasoning_tokens_factor: number_of(node, "reasoning_tokens_factor")
                .map_or(1.0, |number| number as f32),
            ability: compile_ability(node),
        }
    });
    models.collect()
}

fn compile_backends(root: &Node, models: &[Model], problems: &mut Problems<'_>) -> Vec<Backend> {
    let nodes = items_of(root, "backends");
    check_unique(nodes, "backends", problems);
    let backends = nodes.iter().enumerate().map(|(index, node)| {
        let name = text_of(node, "name").unwrap_or_default();
        let model_name = text_of(node, "model").unwrap_or_default();
        let model = models.iter().position(|model| model.name == model_name);
        if model.is_none() && !model_name.is_empty() {
            let known: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
            let path = format!("backends[{index}].model");
            problems.add(
                at_of(node, "model"),
                path,
                unknown("model", model_name, &known),
            );
        }
        let latency = compile_latency(node.get("latency"), index, problems);
        let named = if node.get("cluster").is_some() {
            "cluster"
        } else {
            "name"
        };
        if let Some(node) = node.get(named) {
            let name = node.text().unwrap_or_default();
            check_cluster(node, name, &format!("backends[{index}].{named}"), problems);
        }
        let apis = compile_apis(node);
        let cluster = text_of(node, "cluster").unwrap_or(name);
        let endpoint = compile_endpoint(node, index, problems);
        let credentials = compile_credentials(node, index, problems);
        let (at, account) = (endpoint.as_ref(), credentials.as_ref());
        Backend {
            state_scope: compile_state_scope(node, cluster, at, account),
            name: name.to_owned(),
            cluster: cluster.to_owned(),
            model: ModelId(model.unwrap_or_default() as u32),
            served_model: text_of(node, "served_model")
                .unwrap_or(model_name)
                .to_owned(),
            accelerator: text_of(node, "accelerator")
                .and_then(Accelerator::find)
                .unwrap_or(Accelerator::Gpu),
            price: compile_price(node.get("price")),
            timeouts: compile_timeouts(node, &latency, index, problems),
            latency,
            provider: compile_provider(node, endpoint.as_ref(), apis),
            apis,
            tags: compile_tags(node),
            endpoint,
            health: compile_health(node, index, problems),
            credentials,
            client: compile_client(node),
            cold: compile_cold(node, index, problems),
            ramp: compile_ramp(node, index, problems),
        }
    });
    let mut backends: Vec<Backend> = backends.collect();
    fill_in_client_headers(&mut backends);
    backends
}

fn compile_price(node: Option<&Node>) -> Price {
    let number = |name| node.and_then(|node| number_of(node, name));
    let input = number("input").unwrap_or_default();
    let cache_write = number("cache_write").unwrap_or(input);
    Price {
        input,
        cached_input: number("cached_input").unwrap_or(input),
        cache_write,
        cache_write_1h: number("cache_write_1h").unwrap_or(cache_write),
        output: number("output").unwrap_or_default(),
    }
}

fn compile_apis(node: &Node) -> Apis {
    node.get("apis")
        .map_or(Apis::only(Api::OpenAiChat), |list| {
            list.items()
                .iter()
                .filter_map(|item| Api::find(item.text()?))
                .fold(Apis::NONE, Apis::with)
        })
}

fn compile_latency(node: Option<&Node>, backend: usize, problems: &mut Problems<'_>) -> Latency {
    let first_token = node.and_then(|node| node.get("first_token_ms"));
    let number = |name| first_token.and_then(|node| number_of(node, name));
    let p50 = number("p50").map_or(DEFAULT_FIRST_TOKEN_MS, |number| number as f32);
    let p99 = number("p99").map_or(p50 * DEFAULT_FIRST_TOKEN_SPREAD, |number| number as f32);
    if let Some(first_token) = first_token
        && p99 < p50
    {
        problems.add(
            at_of(first_token, "p99"),
            format!("backends[{backend}].latency.first_token_ms.p99"),
            format!("`{p99}` is less than the median of `{p50}`"),
        );
    }
    Latency {
        first_token_p50_ms: p50,
        first_token_p99_ms: p99,
        tokens_per_second: node
            .and_then(|node| number_of(node, "tokens_per_second"))
            .map_or(DEFAULT_TOKENS_PER_SECOND, |number| number as f32),
    }
}

fn compile_profiles(
    root: &Node,
    models: &[Model],
    backends: &[Backend],
    problems: &mut Problems<'_>,
) -> Vec<Profile> {
    let mut profiles: Vec<Profile> = Profile::built_ins().into();
    for member in root.get("profiles").into_iter().flat_map(Node::members) {
        let path = join("profiles", &member.name);
        let profile = compile_profile(&member.name, &member.value, &path, problems);
        check_tags(&profile, &member.value, &path, backends, problems);
        match profiles.iter_mut().find(|known| known.name == profile.name) {
            Some(known) => *known = profile,
            None => profiles.push(profile),
        }
    }
    for (index, model) in models.iter().enumerate() {
        if profiles.iter().any(|profile| profile.name == model.name) {
            let at = items_of(root, "models")
                .get(index)
                .map_or(0, |node| at_of(node, "name"));
            let message = format!(
                "{} is also the name of a profile: a client could not say which it means",
                quote(&model.name)
            );
            problems.add(at, format!("models[{index}].name"), message);
        }
    }
    profiles.sort_by(|left, right| left.name.cmp(&right.name));
    check_profile_ramps(&profiles, root, problems);
    profiles
}

fn compile_profile(name: &str, node: &Node, path: &str, problems: &mut Problems<'_>) -> Profile {
    let [auto, ..] = Profile::built_ins();
    let built_in = Profile::built_ins()
        .into_iter()
        .find(|profile| profile.name == name);
    let weights = match node.get("weights") {
        Some(weights) => compile_weights(weights, path, problems),
        None => built_in
            .as_ref()
            .map_or(auto.weights, |built_in| built_in.weights),
    };
    let limits =
        match node.get("limits") {
            Some(limits) => Limit::ALL.into_iter().fold(Limits::NONE, |stated, limit| {
                match number_of(limits, limit.name()) {
                    Some(number) => stated.with(limit, number),
                    None => stated,
                }
            }),
            None => built_in.map_or(Limits::NONE, |built_in| built_in.limits),
        };
    let relax = node.get("relax").map_or(Limit::ALL.to_vec(), |list| {
        list.items()
            .iter()
            .filter_map(|item| {
                let name = item.text()?;
                Limit::ALL.into_iter().find(|limit| limit.name() == name)
            })
            .collect()
    });
    if let Some(list) = node.get("relax") {
        check_relax(list, &limits, path, problems);
    }
    Profile {
        name: name.to_owned(),
        weights,
        limits,
        relax,
        tags: compile_tags(node),
        ramp: compile_profile_ramp(node, path, problems),
    }
}

fn compile_weights(node: &Node, path: &str, problems: &mut Problems<'_>) -> Weights {
    let number = |name| number_of(node, name).unwrap_or_default();
    let (cost, latency, quality) = (number("cost"), number("latency"), number("quality"));
    let sum = cost + latency + quality;
    if sum <= 0.0 || !sum.is_finite() {
        problems.add(
            node.at,
            format!("{path}.weights"),
            "at least one weight must be more than 0",
        );
    }
    Weights {
        cost: cost / sum,
        latency: latency / sum,
        quality: quality / sum,
    }
}

/// Adds a problem for each entry of `relax` that repeats another or names a limit that the profile does not have.
fn check_relax(list: &Node, limits: &Limits, path: &str, problems: &mut Problems<'_>) {
    for (index, item) in list.items().iter().enumerate() {
        let Some(limit) = item
            .text()
            .and_then(|name| Limit::ALL.into_iter().find(|limit| limit.name() == name))
        else {
            continue;
        };
        let at = format!("{path}.relax[{index}]");
        if list
            .items()
            .iter()
            .take(index)
            .any(|earlier| earlier.text() == item.text())
        {
            problems.add(item.at, at, "stands here twice");
        } else if limits.get(limit).is_none() {
            let message = format!("the profile has no limit `{}`", limit.name());
            problems.add(item.at, at, message);
        }
    }
}

/// Adds a problem for each tag that a profile requires and no backend has.
fn check_tags(
    profile: &Profile,
    node: &Node,
    path: &str,
    backends: &[Backend],
    problems: &mut Problems<'_>,
) {
    let mut known: Vec<&str> = backends
        .iter()
        .flat_map(|backend| backend.tags.iter().map(String::as_str))
        .collect();
    known.sort_unstable();
    known.dedup();
    for (index, item) in items_of(node, "tags").iter().enumerate() {
        let Some(tag) = item.text() else { continue };
        if !profile.tags.iter().any(|own| own == tag) || known.contains(&tag) {
            continue;
        }
        let message = format!("no backend has the tag {}{}", quote(tag), hint(tag, &known));
        problems.add(item.at, format!("{path}.tags[{index}]"), message);
    }
}

/// Adds a problem for each item whose `name` an earlier item has too.
fn check_unique(nodes: &[Node], path: &str, problems: &mut Problems<'_>) {
    for (index, node) in nodes.iter().enumerate() {
        let Some(name) = text_of(node, "name").filter(|name| !name.is_empty()) else {
            continue;
        };
        let first = nodes
            .iter()
            .take(index)
            .position(|earlier| text_of(earlier, "name") == Some(name));
        if let Some(first) = first {
            problems.add(
                at_of(node, "name"),
                format!("{path}[{index}].name"),
                format!("{} is already the name of {path}[{first}]", quote(name)),
            );
        }
    }
}

fn compile_tags(node: &Node) -> Vec<String> {
    let mut tags: Vec<String> = items_of(node, "tags")
        .iter()
        .filter_map(|item| item.text().map(str::to_owned))
        .collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

pub(super) fn unknown(what: &str, written: &str, known: &[&str]) -> String {
    format!("unknown {what} {}{}", quote(written), hint(written, known))
}

pub(super) fn items_of<'a>(node: &'a Node, name: &str) -> &'a [Node] {
    node.get(name).map_or(&[], Node::items)
}

pub(super) fn text_of<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    node.get(name).and_then(Node::text)
}

/// A number of bytes, `usual` where it is not stated.
fn bytes_of(node: &Node, name: &str, usual: usize) -> usize {
    number_of(node, name).map_or(usual, |number| number as usize)
}

pub(super) fn number_of(node: &Node, name: &str) -> Option<f64> {
    node.get(name).and_then(Node::number)
}

/// Where the member `name` of `node` stands, or `node` itself where there is none.
pub(super) fn at_of(node: &Node, name: &str) -> usize {
    node.get(name).map_or(node.at, |value| value.at)
}

/// Tells texts apart: FNV-1a, 64 bits, of all of it.
pub(super) fn fingerprint(text: &str) -> u64 {
    fnv::hash64(text.bytes())
}

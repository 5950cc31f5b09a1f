//! What is allowed in a policy but probably not meant: warnings, each with its place.
//!
//! For people who write policies; the filter does not run it. It looks only at the policy: whether the clusters exist is
//! Envoy's to say.

use super::Policy;
use super::compile_ability::find_published;
use super::document::Node;
use super::profile::{Limit, Profile};
use super::rules::{Rule, Then};
use super::shape::{Problems, join};
use super::suggest::{nearest, quote};
use super::validate_traffic::validate_traffic;
use crate::registry::{Backend, Model, ModelId, Registry};

/// Adds every warning about `policy`, which `root` compiled to.
pub(super) fn validate(policy: &Policy, root: &Node, warnings: &mut Problems<'_>) {
    check_models(policy, root, warnings);
    check_backends(&policy.registry, root, warnings);
    for member in root.get("profiles").into_iter().flat_map(Node::members) {
        if let Some(profile) = policy.find_profile(&member.name) {
            let path = join("profiles", &member.name);
            check_limits(&policy.registry, profile, &member.value, &path, warnings);
            check_tags(&policy.registry, profile, &member.value, &path, warnings);
        }
    }
    check_default_cluster(policy, root, warnings);
    check_rules(policy, root, warnings);
    validate_traffic(policy, root, warnings);
}

/// Warns of consequences that an earlier rule takes away whenever they would count, and of hard work sent to weak models.
fn check_rules(policy: &Policy, root: &Node, warnings: &mut Problems<'_>) {
    let nodes = root.get("rules").map_or(&[][..], Node::items);
    for (index, (rule, node)) in policy.rules.iter().zip(nodes).enumerate() {
        let path = format!("rules[{index}]");
        let earlier = || {
            policy
                .rules
                .iter()
                .take(index)
                .filter(|earlier| earlier.when.covers(&rule.when))
        };
        if let Some(first) = earlier().find(|earlier| earlier.then.reject.is_some()) {
            let message = format!(
                "never counts: {} comes first and refuses every such request",
                quote(&first.name)
            );
            warnings.add(node.at, path.as_str(), message);
            continue;
        }
        let taken = |states: fn(&Then) -> bool| {
            states(&rule.then)
                .then(|| earlier().find(|earlier| states(&earlier.then)))
                .flatten()
        };
        let then = node.get("then").unwrap_or(node);
        for (field, by) in [
            ("models", taken(|then| !then.models.is_empty())),
            ("profile", taken(|then| then.profile.is_some())),
        ] {
            if let Some(by) = by {
                let message = format!(
                    "never counts: {} comes first and matches whenever this rule does",
                    quote(&by.name)
                );
                let at = then.get(field).map_or(then.at, |value| value.at);
                warnings.add(at, format!("{path}.then.{field}"), message);
            }
        }
        check_strength(policy, rule, then, &path, warnings);
    }
}

/// Warns where a rule for hard prompts leaves only models that another one beats in every skill.
fn check_strength(
    policy: &Policy,
    rule: &Rule,
    then: &Node,
    path: &str,
    warnings: &mut Problems<'_>,
) {
    if rule.when.min_difficulty.is_none_or(|least| least < 0.0) {
        return;
    }
    let registry = &policy.registry;
    let allowed: Vec<&Model> = rule
        .then
        .models
        .iter()
        .filter_map(|id| registry.model(*id))
        .collect();
    let beats_all = |other: &&Model| {
        allowed.iter().all(|model| {
            let skills = other.ability.skills.iter().zip(&model.ability.skills);
            skills.clone().all(|(left, right)| left > right)
        })
    };
    if let Some(stronger) = registry.models.iter().find(beats_all)
        && !allowed.is_empty()
    {
        let message = format!(
            "sends hard prompts to weak models: {} is stronger in every skill",
            quote(&stronger.name)
        );
        let at = then.get("models").map_or(then.at, |value| value.at);
        warnings.add(at, format!("{path}.then.models"), message);
    }
}

fn check_models(policy: &Policy, root: &Node, warnings: &mut Problems<'_>) {
    let nodes = root.get("models").map_or(&[][..], Node::items);
    for (index, (model, node)) in policy.registry.models.iter().zip(nodes).enumerate() {
        let path = format!("models[{index}]");
        let id = ModelId(index as u32);
        if policy.registry.backends.iter().all(|one| one.model != id) {
            let message = format!(
                "no backend serves {}: it can never be chosen",
                quote(&model.name)
            );
            warnings.add(node.at, path.as_str(), message);
        }
        if node
            .get("benchmarks")
            .is_none_or(|scores| scores.members().is_empty())
        {
            let name = quote(&model.name);
            let message = match find_published(node) {
                Some(known) => format!(
                    "{name} has no benchmark scores: those published of `{}` count (models/benchmarks.json)",
                    known.name
                ),
                None => format!(
                    "{name} has no benchmark scores, and none are known of that name: it counts as an average model"
                ),
            };
            warnings.add(node.at, path, message);
        }
    }
}

/// Warns of each backend that some other one beats in everything: only a failure of that one ever brings it requests.
fn check_backends(registry: &Registry, root: &Node, warnings: &mut Problems<'_>) {
    let nodes = root.get("backends").map_or(&[][..], Node::items);
    for (index, (backend, node)) in registry.backends.iter().zip(nodes).enumerate() {
        let better = registry.backends.iter().find(|other| {
            dominates(registry, other, backend) && !dominates(registry, backend, other)
        });
        if let Some(better) = better {
            let message = format!(
                "{} is never the first choice under any profile: {} is at least as good, as fast and as cheap",
                quote(&backend.name),
                quote(&better.name)
            );
            warnings.add(node.at, format!("backends[{index}]"), message);
        }
    }
}

/// Whether `one` is at least as good as `other` for every request under every profile. (A client that pins the model of
/// `other` can still need it.)
fn dominates(registry: &Registry, one: &Backend, other: &Backend) -> bool {
    let (Some(left), Some(right)) = (registry.model(one.model), registry.model(other.model)) else {
        return false;
    };
    (one.model == other.model || stands_in(left, right))
        && one.price.input <= other.price.input
        && one.price.output <= other.price.output
        && one.latency.first_token_p50_ms <= other.latency.first_token_p50_ms
        && one.latency.first_token_p99_ms <= other.latency.first_token_p99_ms
        && one.latency.tokens_per_second >= other.latency.tokens_per_second
        && other.tags.iter().all(|tag| one.tags.contains(tag))
}

/// Whether `one` can do all that `other` can, as well or better.
fn stands_in(one: &Model, other: &Model) -> bool {
    let skills = one.ability.skills.iter().zip(&other.ability.skills);
    skills.clone().all(|(left, right)| left >= right)
        && one.capabilities.contains(other.capabilities)
        && one.context_window >= other.context_window
        && one.max_output_tokens >= other.max_output_tokens
}

/// Warns of each limit that no backend keeps, whatever the request.
fn check_limits(
    registry: &Registry,
    profile: &Profile,
    node: &Node,
    path: &str,
    warnings: &mut Problems<'_>,
) {
    let Some(limits) = node.get("limits") else {
        return;
    };
    let least = |measure: fn(&Backend) -> f64| {
        registry
            .backends
            .iter()
            .map(measure)
            .fold(f64::INFINITY, f64::min)
    };
    for (limit, written) in profile.limits.stated() {
        let reachable = match limit {
            Limit::MaxFirstTokenP99Ms | Limit::MaxP99Ms => {
                least(|one| f64::from(one.latency.first_token_p99_ms))
            }
            Limit::MaxP50Ms => least(|one| f64::from(one.latency.first_token_p50_ms)),
            // Any request has a token of each kind.
            Limit::MaxCostUsd => least(|one| (one.price.input + one.price.output) / 1e6),
            // No answer is certain to be right.
            Limit::MinQuality if written >= 1.0 => f64::INFINITY,
            Limit::MinQuality | Limit::WithinOfBest => continue,
        };
        if reachable <= written {
            continue;
        }
        let then = if profile.relax.contains(&limit) {
            "it gives way in every request"
        } else {
            "every request is refused"
        };
        let message = format!("no backend can keep it: {then}");
        let at = limits.get(limit.name()).map_or(limits.at, |value| value.at);
        warnings.add(at, format!("{path}.limits.{}", limit.name()), message);
    }
}

fn check_tags(
    registry: &Registry,
    profile: &Profile,
    node: &Node,
    path: &str,
    warnings: &mut Problems<'_>,
) {
    let has_all = |one: &Backend| profile.tags.iter().all(|tag| one.tags.contains(tag));
    if let Some(tags) = node.get("tags")
        && !registry.backends.iter().any(has_all)
    {
        let message = "no backend has all of these tags: every request is refused";
        warnings.add(tags.at, format!("{path}.tags"), message);
    }
}

/// Warns of a default cluster that looks like a misspelt one.
fn check_default_cluster(policy: &Policy, root: &Node, warnings: &mut Problems<'_>) {
    let clusters = || {
        policy
            .registry
            .backends
            .iter()
            .map(|backend| backend.cluster.as_str())
    };
    let written = policy.default_cluster.as_str();
    if clusters().any(|cluster| cluster == written) {
        return;
    }
    if let Some(name) = nearest(written, clusters())
        && let Some(node) = root.get("default_cluster")
    {
        let message = format!(
            "no backend has the cluster {}; did you mean `{name}`?",
            quote(written)
        );
        warnings.add(node.at, "default_cluster", message);
    }
}

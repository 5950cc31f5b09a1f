//! What is allowed in a policy but probably not meant: warnings, each with its place.
//!
//! For people who write policies; the filter does not run it. It looks only at the policy: whether the clusters exist is
//! Envoy's to say.

use super::Policy;
use super::compile_ability::find_published;
use super::intake::check_undecided;
use super::profile::{Limit, Profile};
use super::reach::party;
use super::validate_prices::validate_prices;
use super::validate_reach::check_reach;
use super::validate_rules::check_rules;
use super::validate_traffic::validate_traffic;
use crate::fleet::{Backend, Model, ModelId, Registry};
use crate::schema::document::Node;
use crate::schema::shape::{Problems, join};
use crate::schema::suggest::{nearest, quote};

/// Adds every warning about `policy`, which `root` compiled to.
pub(super) fn validate(policy: &Policy, root: &Node, warnings: &mut Problems<'_>) {
    check_models(policy, root, warnings);
    check_backends(policy, root, warnings);
    check_reach(policy, root, warnings);
    validate_prices(policy, root, warnings);
    check_client_credentials(policy, root, warnings);
    for member in root.get("profiles").into_iter().flat_map(Node::members) {
        if let Some(profile) = policy.find_profile(&member.name) {
            let path = join("profiles", &member.name);
            check_limits(&policy.registry, profile, &member.value, &path, warnings);
            check_tags(&policy.registry, profile, &member.value, &path, warnings);
        }
    }
    check_default_cluster(policy, root, warnings);
    check_undecided(policy, root, warnings);
    check_rules(policy, root, warnings);
    validate_traffic(policy, root, warnings);
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
fn check_backends(policy: &Policy, root: &Node, warnings: &mut Problems<'_>) {
    let registry = &policy.registry;
    let nodes = root.get("backends").map_or(&[][..], Node::items);
    for (index, (backend, node)) in registry.backends.iter().zip(nodes).enumerate() {
        let better = registry
            .backends
            .iter()
            .find(|other| dominates(policy, other, backend) && !dominates(policy, backend, other));
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

/// Warns where clients' own credentials could be meant for several parties, and so go to none.
fn check_client_credentials(policy: &Policy, root: &Node, warnings: &mut Problems<'_>) {
    let is_open = |one: &Backend| one.credentials.is_none();
    let backends = &policy.registry.backends;
    let nodes = root.get("backends").map_or(&[][..], Node::items);
    let is_withheld =
        |one: &Backend| is_open(one) && !one.client.credentials && !one.client.credentials_stated;
    let mut parties: Vec<&str> = Vec::new();
    for backend in backends.iter().filter(|one| is_open(one)) {
        let party = party(backend).unwrap_or("the operator's own hosts");
        if !parties.contains(&party) {
            parties.push(party);
        }
    }
    let withheld = backends.iter().zip(nodes).enumerate();
    if let Some((index, (backend, node))) =
        withheld.into_iter().find(|(_, (one, _))| is_withheld(one))
    {
        let message = format!(
            "{} has no `credentials`, and the client's own are not sent to it, since backends without `credentials` are at {}: \
             say `client_credentials: pass` where clients' keys belong, `strip` elsewhere",
            quote(&backend.name),
            parties.join(", "),
        );
        warnings.add(node.at, format!("backends[{index}]"), message);
    }
}

/// Whether `one` is at least as good as `other` for every request under every profile. (A client that pins the model of
/// `other` can still need it.)
fn dominates(policy: &Policy, one: &Backend, other: &Backend) -> bool {
    let registry = &policy.registry;
    let (Some(left), Some(right)) = (registry.model(one.model), registry.model(other.model)) else {
        return false;
    };
    (one.model == other.model
        || (stands_in(left, right) && !is_singled_out(policy, one.model, other.model)))
        && one.apis.contains_all(other.apis)
        && one.price.input <= other.price.input
        && one.price.cached_input <= other.price.cached_input
        && one.price.output <= other.price.output
        && one.latency.first_token_p50_ms <= other.latency.first_token_p50_ms
        && one.latency.first_token_p99_ms <= other.latency.first_token_p99_ms
        && one.latency.tokens_per_second >= other.latency.tokens_per_second
        && other.tags.iter().all(|tag| one.tags.contains(tag))
}

/// Whether `one` can do all that `other` can, as well or better, for every prompt.
fn stands_in(one: &Model, other: &Model) -> bool {
    let skills = one.ability.skills.iter().zip(&other.ability.skills);
    // What outcomes say beside skills bears on each prompt otherwise, so only the same says nothing.
    skills.clone().all(|(left, right)| left >= right)
        && one.ability.calibration == other.ability.calibration
        && one.ability.latent_factors == other.ability.latent_factors
        && one.capabilities.contains(other.capabilities)
        && one.context_window >= other.context_window
        && one.max_output_tokens >= other.max_output_tokens
        && one.reasoning_tokens_factor <= other.reasoning_tokens_factor
}

/// Whether the policy keeps some request from `better` that it leaves to `model`: by a rule, or by a share.
fn is_singled_out(policy: &Policy, better: ModelId, model: ModelId) -> bool {
    let leaves = |models: &[ModelId]| models.contains(&model) && !models.contains(&better);
    let mut rules = policy.rules.iter();
    let mut shares = policy.traffic.shares.iter();
    rules.any(|rule| leaves(&rule.then.models))
        || shares.any(|share| {
            (share.model == better && share.most < 1.0)
                || (share.model == model && share.least > 0.0)
        })
}

/// The least that a limit measures at a backend, over all requests; `None` where that depends on the prompt.
fn least(limit: Limit, backend: &Backend) -> Option<f64> {
    match limit {
        Limit::MaxFirstTokenP99Ms | Limit::MaxP99Ms => {
            Some(f64::from(backend.latency.first_token_p99_ms))
        }
        Limit::MaxFirstTokenP50Ms | Limit::MaxP50Ms => {
            Some(f64::from(backend.latency.first_token_p50_ms))
        }
        // Any request has a token of each kind.
        Limit::MaxCostUsd => {
            let input = backend.price.input.min(backend.price.cached_input);
            Some((input + backend.price.output) / 1e6)
        }
        Limit::MinQuality | Limit::MaxQualityLoss => None,
    }
}

/// Whether `backend` may keep a limit of `written`, for some request.
fn may_keep(backend: &Backend, limit: Limit, written: f64) -> bool {
    // No answer is certain to be right.
    let hopeless = limit == Limit::MinQuality && written >= 1.0;
    !hopeless && least(limit, backend).is_none_or(|least| least <= written)
}

/// Warns of each limit that no backend keeps whatever the request, and of limits that none keeps together.
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
    let has_all = |one: &Backend| profile.tags.iter().all(|tag| one.tags.contains(tag));
    // Where nobody has the tags, that is said of the tags.
    let nobody = !registry.backends.iter().any(has_all);
    let tagged = || {
        registry
            .backends
            .iter()
            .filter(|one| nobody || has_all(one))
    };
    let breaks = |one: &Backend| -> Vec<Limit> {
        let stated = profile.limits.stated();
        let broken = stated.filter(|(limit, written)| !may_keep(one, *limit, *written));
        broken.map(|(limit, _)| limit).collect()
    };
    let broken: Vec<Vec<Limit>> = tagged().map(breaks).collect();
    let mut alone = false;
    for (limit, _) in profile.limits.stated() {
        if !broken.iter().all(|limits| limits.contains(&limit)) {
            continue;
        }
        alone = true;
        let then = if profile.relax.contains(&limit) {
            "it gives way in every request"
        } else {
            "every request is refused"
        };
        let message = format!("no backend can keep it: {then}");
        let at = limits.get(limit.name()).map_or(limits.at, |value| value.at);
        warnings.add(at, format!("{path}.limits.{}", limit.name()), message);
    }
    if !alone && broken.iter().all(|limits| !limits.is_empty()) {
        let gives_way = |limits: &Vec<Limit>| limits.iter().all(|one| profile.relax.contains(one));
        let then = if broken.iter().any(gives_way) {
            "one gives way in every request"
        } else {
            "every request is refused"
        };
        let message = format!("no backend can keep all of them: {then}");
        warnings.add(limits.at, format!("{path}.limits"), message);
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

//! Warnings about profiles: limits and tags that no backend meets.

use crate::fleet::{Backend, Registry};
use crate::policy::profiles::Profile;
use crate::policy::profiles::limits::Limit;
use crate::schema::document::Node;
use crate::schema::problems::{Problems, join};

/// Adds every warning about the profiles that the document states.
pub(crate) fn lint_profiles(
    registry: &Registry,
    profiles: &[Profile],
    root: &Node,
    warnings: &mut Problems<'_>,
) {
    for member in root.get("profiles").into_iter().flat_map(Node::members) {
        let mut profiles = profiles.iter();
        if let Some(profile) = profiles.find(|profile| profile.name == member.name) {
            let path = join("profiles", &member.name);
            lint_limits(registry, profile, &member.value, &path, warnings);
            lint_tags(registry, profile, &member.value, &path, warnings);
        }
    }
}

/// The least that a limit measures at a backend, over all requests; `None` where that depends on the prompt.
fn lower_bound(limit: Limit, backend: &Backend) -> Option<f64> {
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
    !hopeless && lower_bound(limit, backend).is_none_or(|bound| bound <= written)
}

/// Warns of each limit that no backend keeps whatever the request, and of limits that none keeps together.
fn lint_limits(
    registry: &Registry,
    profile: &Profile,
    node: &Node,
    path: &str,
    warnings: &mut Problems<'_>,
) {
    let Some(limits) = node.get("limits") else {
        return;
    };
    let has_all = |backend: &Backend| profile.tags.iter().all(|tag| backend.tags.contains(tag));
    // If no backend has the tags, another warning says so.
    let nobody = !registry.backends.iter().any(has_all);
    let tagged = || {
        registry
            .backends
            .iter()
            .filter(|backend| nobody || has_all(backend))
    };
    let breaks = |backend: &Backend| -> Vec<Limit> {
        let stated = profile.limits.stated();
        let broken = stated.filter(|(limit, written)| !may_keep(backend, *limit, *written));
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
        let gives_way =
            |limits: &Vec<Limit>| limits.iter().all(|limit| profile.relax.contains(limit));
        let then = if broken.iter().any(gives_way) {
            "one gives way in every request"
        } else {
            "every request is refused"
        };
        let message = format!("no backend can keep all of them: {then}");
        warnings.add(limits.at, format!("{path}.limits"), message);
    }
}

fn lint_tags(
    registry: &Registry,
    profile: &Profile,
    node: &Node,
    path: &str,
    warnings: &mut Problems<'_>,
) {
    let has_all = |backend: &Backend| profile.tags.iter().all(|tag| backend.tags.contains(tag));
    if let Some(tags) = node.get("tags")
        && !registry.backends.iter().any(has_all)
    {
        let message = "no backend has all of these tags: every request is refused";
        warnings.add(tags.at, format!("{path}.tags"), message);
    }
}

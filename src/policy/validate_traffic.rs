//! What is allowed but probably not meant in rules' conditions and consequences, shares and budgets. Beside `validate`.

use super::Policy;
use super::rules::Rule;
use super::traffic::Budget;
use crate::fleet::Backend;
use crate::schema::document::Node;
use crate::schema::shape::Problems;
use crate::schema::suggest::quote;

/// Adds every warning about rules that match nothing or leave nobody, shares and budgets.
pub(super) fn validate_traffic(policy: &Policy, root: &Node, warnings: &mut Problems<'_>) {
    let nodes = root.get("rules").map_or(&[][..], Node::items);
    for (index, (rule, node)) in policy.rules.iter().zip(nodes).enumerate() {
        let path = format!("rules[{index}]");
        check_when(rule, node, &path, warnings);
        check_then(policy, rule, node, &path, warnings);
    }
    check_shares(policy, root, warnings);
    check_budgets(policy, root, warnings);
}

/// Warns of conditions that no request meets.
fn check_when(rule: &Rule, node: &Node, path: &str, warnings: &mut Problems<'_>) {
    let Some(when) = node.get("when") else {
        return;
    };
    if rule
        .when
        .share
        .as_ref()
        .is_some_and(|share| share.share <= 0.0)
    {
        let at = when.get("share").map_or(when.at, |value| value.at);
        warnings.add(
            at,
            format!("{path}.when.share"),
            "no request is in a share of 0",
        );
    }
    if let Some(node) = when.get("min_confidence")
        && rule.when.tasks.is_empty()
        && rule.when.domains.is_empty()
    {
        let message = "says nothing without `task` or `domain`";
        warnings.add(node.at, format!("{path}.when.min_confidence"), message);
    }
    let paths = when.get("path").map_or(&[][..], Node::items);
    for (index, item) in paths.iter().enumerate() {
        let text = item.text().unwrap_or_default();
        if !text.starts_with(['/', '*']) {
            let message = format!("{} matches no path: paths begin with `/`", quote(text));
            warnings.add(item.at, format!("{path}.when.path[{index}]"), message);
        }
    }
}

/// Warns of consequences that no backend can meet.
fn check_then(policy: &Policy, rule: &Rule, node: &Node, path: &str, warnings: &mut Problems<'_>) {
    let Some(then) = node.get("then") else {
        return;
    };
    let named = rule.then.profile.as_deref();
    let profile = named.and_then(|name| policy.find_profile(name));
    let required = profile.map_or(&[][..], |profile| &profile.tags);
    let serves = |one: &Backend| {
        required.iter().all(|tag| one.tags.contains(tag))
            && (rule.then.models.is_empty() || rule.then.models.contains(&one.model))
            && rule.then.tags.iter().all(|tag| one.tags.contains(tag))
    };
    let states = !rule.then.models.is_empty() || !rule.then.tags.is_empty();
    if let (Some(floor), Some(node)) = (rule.then.min_quality, then.get("min_quality"))
        && floor >= 1.0
    {
        let message = "no model can keep it: it gives way in every request, or none is served";
        warnings.add(node.at, format!("{path}.then.min_quality"), message);
    }
    if states && rule.then.reject.is_none() && !policy.registry.backends.iter().any(serves) {
        let message = "no backend has all that it asks for: every such request is refused";
        warnings.add(then.at, format!("{path}.then"), message);
    }
}

/// Warns where the models may not take all requests between them.
fn check_shares(policy: &Policy, root: &Node, warnings: &mut Problems<'_>) {
    let shares = &policy.traffic.shares;
    let most: f64 = shares.iter().map(|share| share.most).sum();
    if shares.len() == policy.registry.models.len() && most < 1.0 {
        let at = root.get("models").map_or(root.at, |models| models.at);
        let message = format!(
            "the most shares of all models together are `{most}`: the rest of the requests goes over them"
        );
        warnings.add(at, "models", message);
    }
}

/// Warns of budgets that nothing can be spent of, and of those that an earlier one makes needless.
fn check_budgets(policy: &Policy, root: &Node, warnings: &mut Problems<'_>) {
    let nodes = root.get("budgets").map_or(&[][..], Node::items);
    for (index, (budget, node)) in policy.traffic.budgets.iter().zip(nodes).enumerate() {
        if budget.usd <= 0.0 {
            let at = node.get("usd").map_or(node.at, |value| value.at);
            let then = match budget.profile {
                Some(_) => "every request gets its profile",
                None => "every request is refused",
            };
            let message = format!("nothing can be spent of it: {then}");
            warnings.add(at, format!("budgets[{index}].usd"), message);
            continue;
        }
        let others = policy.traffic.budgets.iter().enumerate();
        let mut others = others.filter(|(other, _)| *other != index);
        let spares = others.find(|(other, by)| makes_needless(by, budget, *other < index));
        if let Some((_, by)) = spares {
            let message = format!(
                "never counts: {} is spent no later, for all whom this one limits",
                quote(&by.name)
            );
            warnings.add(node.at, format!("budgets[{index}]"), message);
        }
    }
}

/// Whether `one`, which comes `first` or not, has done all that `other` could before that is spent.
fn makes_needless(one: &Budget, other: &Budget, first: bool) -> bool {
    let covers = one.tenants.is_empty()
        || (!other.tenants.is_empty()
            && other
                .tenants
                .iter()
                .all(|tenant| one.tenants.iter().any(|wide| wide.covers(tenant))));
    let acts_first = match (&one.profile, &other.profile) {
        (None, _) => true,
        (Some(_), Some(_)) => first,
        (Some(_), None) => false,
    };
    covers
        && acts_first
        && one.seconds == other.seconds
        && (one.usd < other.usd || (one.usd <= other.usd && first))
}

//! Warnings: what is allowed in a policy but probably not meant, each with its place.
//!
//! For people who write policies; the filter does not run it. It reads only the policy: whether the clusters exist, Envoy alone
//! knows.

use crate::policy::backends::credentials::lint_client_credentials;
use crate::policy::backends::lint::{Comparison, lint_dominated, lint_reach};
use crate::policy::backends::price::lint_prices;
use crate::policy::compiled::Policy;
use crate::policy::judge::lint::{Surroundings, lint_judge};
use crate::policy::models::lint_models;
use crate::policy::profiles::lint::lint_profiles;
use crate::policy::rules::lint::{RuleSet, lint_rules};
use crate::policy::traffic::Traffic;
use crate::policy::traffic::budgets::lint_budgets;
use crate::policy::traffic::shares::lint_shares;
use crate::policy::traffic::undecided::{Undecided, UndecidedReason};
use crate::schema::document::Node;
use crate::schema::problems::Problems;
use crate::schema::suggest::{nearest, quote};

/// Adds every warning about `policy`, which `root` compiled to.
pub(crate) fn lint(policy: &Policy, root: &Node, warnings: &mut Problems<'_>) {
    lint_models(&policy.registry, root, warnings);
    let comparison = Comparison {
        registry: &policy.registry,
        rules: &policy.rules,
        shares: &policy.traffic.shares,
    };
    lint_dominated(&comparison, root, warnings);
    lint_reach(&policy.registry.backends, root, warnings);
    lint_prices(&policy.registry.backends, root, warnings);
    lint_client_credentials(&policy.registry.backends, root, warnings);
    lint_profiles(&policy.registry, &policy.profiles, root, warnings);
    lint_default_cluster(policy, root, warnings);
    lint_undecided(policy, root, warnings);
    let rules = RuleSet {
        registry: &policy.registry,
        profiles: &policy.profiles,
        rules: &policy.rules,
        shadow: policy.traffic.shadow,
    };
    lint_rules(&rules, root, warnings);
    let Traffic {
        shares, budgets, ..
    } = &policy.traffic;
    lint_shares(shares, &policy.registry.models, root, warnings);
    lint_budgets(budgets, root, warnings);
    lint_receipts(policy, root, warnings);
    if let Some(judge) = &policy.judge {
        let around = Surroundings {
            backends: &policy.registry.backends,
            profiles: &policy.profiles,
            rules: &policy.rules,
            receipts: &policy.receipts,
            learning: &policy.learning,
            shadow: policy.traffic.shadow,
        };
        lint_judge(judge, &around, root, warnings);
    }
}

/// Warns of receipts that nobody gets, and of learning that no feedback reaches.
fn lint_receipts(policy: &Policy, root: &Node, warnings: &mut Problems<'_>) {
    if let Some(node) = root.get("receipts")
        && policy.receipts.is_on()
        && policy.traffic.shadow
    {
        let message = "no receipts are made while `mode` is `shadow`";
        warnings.add(node.at, "receipts", message);
    }
    if let Some(node) = root.get("learning")
        && policy.learning.is_on()
        && !policy.receipts.is_on()
    {
        let grades = policy
            .judge
            .as_ref()
            .is_some_and(|judge| judge.grade_share > 0.0);
        let message = match grades {
            true => {
                "only the checks and the judge's grades of answers teach: feedback needs `receipts`"
            }
            false => "only the checks of answers teach: feedback needs `receipts`",
        };
        warnings.add(node.at, "learning", message);
    }
}

/// Warns of a default cluster that looks like a misspelt one.
fn lint_default_cluster(policy: &Policy, root: &Node, warnings: &mut Problems<'_>) {
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

/// Adds a warning if what cannot be decided on is passed on past a rule or a budget.
pub(crate) fn lint_undecided(policy: &Policy, root: &Node, warnings: &mut Problems<'_>) {
    let by_itself = Policy {
        undecided: None,
        ..policy.clone()
    };
    let (stated, reason) = policy.undecided();
    if let (Some(node), Undecided::Bypass, UndecidedReason::Stated) =
        (root.get("on_undecided"), stated, reason)
        && by_itself.undecided().0 == Undecided::Reject
    {
        let message = format!(
            "{}, and what cannot be decided on goes past that",
            by_itself.undecided_because()
        );
        warnings.add(node.at, "on_undecided", message);
    }
}

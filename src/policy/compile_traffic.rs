//! What the document says of all its traffic → [`Traffic`]. As `compile`, it passes over what `shape` has already reported.

use super::compile::{fingerprint, items_of, number_of, text_of, unknown};
use super::compile_rules::{Known, compile_patterns};
use super::envelope::{RequestMatchers, Steer, TenantSource};
use super::rules::Rule;
use super::source_traffic::WINDOWS;
use super::traffic::{Budget, ModelShare, OnInvalidSteering, Traffic};
use crate::fleet::ModelId;
use crate::schema::document::Node;
use crate::schema::shape::Problems;
use crate::schema::suggest::quote;

/// How much of a budget one request may hold where the policy does not say.
const DEFAULT_MAX_REQUEST_SHARE: f64 = 0.1;

pub(super) fn compile_traffic(
    text: &str,
    root: &Node,
    known: &Known<'_>,
    rules: &[Rule],
    problems: &mut Problems<'_>,
) -> Traffic {
    let tenant = root
        .get("tenant")
        .and_then(|node| compile_tenant(node, problems));
    let steering = root.get("steering");
    let allowed = steering.map_or(&[][..], |node| items_of(node, "allow"));
    let mut headers: Vec<String> = rules
        .iter()
        .flat_map(|rule| rule.when.headers.iter().map(|(name, _)| name.clone()))
        .collect();
    headers.sort_unstable();
    headers.dedup();
    let looks = RequestMatchers {
        path: rules.iter().any(|rule| !rule.when.paths.is_empty()),
        headers,
        tenant,
        steering: Steer::ALL
            .into_iter()
            .filter(|steer| allowed.iter().any(|item| item.text() == Some(steer.name())))
            .collect(),
    };
    check_tenant_is_known(root, &looks, problems);
    let is_reject = |node: &Node| text_of(node, "on_invalid") == Some("reject");
    Traffic {
        looks,
        named_tenants: named_tenants(root),
        shows_tenants: root
            .get("tenant")
            .is_some_and(|node| text_of(node, "shown") == Some("all")),
        on_invalid_steering: if steering.is_some_and(is_reject) {
            OnInvalidSteering::Reject
        } else {
            OnInvalidSteering::Ignore
        },
        shadow: text_of(root, "mode") == Some("shadow"),
        exploration_rate: number_of(root, "exploration_rate").unwrap_or_default(),
        stickiness: number_of(root, "stickiness").unwrap_or_default(),
        drops_foreign_state: text_of(root, "foreign_state") == Some("drop"),
        shares: compile_shares(root, problems),
        budgets: compile_budgets(root, known, problems),
        route_endpoint: text_of(root, "route_endpoint") == Some("on"),
        models_endpoint: text_of(root, "models_endpoint") != Some("off"),
        decide_missing_model: text_of(root, "on_missing_model") == Some("decide"),
        fingerprint: fingerprint(text),
    }
}

/// The tenants that rules and budgets name.
fn named_tenants(root: &Node) -> Vec<String> {
    let rules = items_of(root, "rules")
        .iter()
        .filter_map(|rule| rule.get("when"));
    let holders = rules.chain(items_of(root, "budgets"));
    let names = holders
        .flat_map(|one| items_of(one, "tenant"))
        .filter_map(Node::text);
    let mut names: Vec<String> = names
        .filter(|name| !name.ends_with('*'))
        .map(str::to_owned)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn compile_tenant(node: &Node, problems: &mut Problems<'_>) -> Option<TenantSource> {
    let header = text_of(node, "header")?;
    let at = node.get("header").map_or(node.at, |value| value.at);
    check_header_name(header, at, "tenant.header", problems);
    Some(TenantSource {
        header: header.to_owned(),
        claim: text_of(node, "claim").map(str::to_owned),
    })
}

/// Adds a problem where `name` is no header's name as Envoy has it.
pub(super) fn check_header_name(name: &str, at: usize, path: &str, problems: &mut Problems<'_>) {
    let is_token = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_|~".contains(&byte)
    };
    if !name.is_empty() && !name.bytes().all(is_token) {
        let message = format!("{} is not a lower-case header name", quote(name));
        problems.add(at, path, message);
    }
}

/// Adds a problem for each condition and budget that names tenants where nothing says who the tenant is.
fn check_tenant_is_known(root: &Node, looks: &RequestMatchers, problems: &mut Problems<'_>) {
    if looks.tenant.is_some() || root.get("tenant").is_some() {
        return;
    }
    let message = "the policy does not say where the tenant stands: state `tenant`";
    for (index, rule) in items_of(root, "rules").iter().enumerate() {
        if let Some(node) = rule.get("when").and_then(|when| when.get("tenant")) {
            problems.add(node.at, format!("rules[{index}].when.tenant"), message);
        }
    }
    for (index, budget) in items_of(root, "budgets").iter().enumerate() {
        if let Some(node) = budget.get("tenant") {
            problems.add(node.at, format!("budgets[{index}].tenant"), message);
        }
    }
}

fn compile_shares(root: &Node, problems: &mut Problems<'_>) -> Vec<ModelShare> {
    let mut shares = Vec::new();
    let mut least_of_all = 0.0;
    for (index, node) in items_of(root, "models").iter().enumerate() {
        let most = number_of(node, "max_share");
        let least = number_of(node, "min_share");
        let Some(written) = least.or(most) else {
            continue;
        };
        let share = ModelShare {
            model: ModelId(index as u32),
            most: most.unwrap_or(1.0),
            least: least.unwrap_or(0.0),
        };
        least_of_all += share.least;
        let at = node.get("min_share").map_or(node.at, |value| value.at);
        let path = format!("models[{index}].min_share");
        if share.least > share.most {
            let message = format!("`{written}` is more than `max_share` of `{}`", share.most);
            problems.add(at, path, message);
        } else if least_of_all > 1.0 + 1e-9 && share.least > 0.0 {
            problems.add(
                at,
                path,
                "the least shares of all models together are more than 1",
            );
        }
        shares.push(share);
    }
    shares
}

fn compile_budgets(root: &Node, known: &Known<'_>, problems: &mut Problems<'_>) -> Vec<Budget> {
    let profiles: Vec<&str> = known.profiles.iter().map(|one| one.name.as_str()).collect();
    let nodes = items_of(root, "budgets");
    let budgets = nodes.iter().enumerate().map(|(index, node)| {
        let profile = text_of(node, "profile");
        if let Some(name) = profile.filter(|name| !name.is_empty() && !profiles.contains(name)) {
            let at = node.get("profile").map_or(node.at, |value| value.at);
            let message = unknown("profile", name, &profiles);
            problems.add(at, format!("budgets[{index}].profile"), message);
        }
        let per = text_of(node, "per");
        let window = WINDOWS.iter().find(|(name, _)| Some(*name) == per);
        let usd = number_of(node, "usd").unwrap_or_default();
        let share = number_of(node, "max_request_share").unwrap_or(DEFAULT_MAX_REQUEST_SHARE);
        let path = format!("budgets[{index}].tenant");
        Budget {
            name: text_of(node, "name").unwrap_or_default().to_owned(),
            usd,
            most_held_usd: usd * share,
            seconds: window.map_or(86_400, |(_, seconds)| *seconds),
            tenants: compile_patterns(items_of(node, "tenant"), &path, problems),
            profile: profile.map(str::to_owned),
        }
    });
    budgets.collect()
}

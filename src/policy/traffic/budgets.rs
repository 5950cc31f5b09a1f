//! Budgets: fields, compilation and warnings. Spending is counted elsewhere.

use crate::policy::pattern::{Pattern, compile_patterns};
use crate::policy::rules::then::Known;
use crate::schema::document::Node;
use crate::schema::problems::Problems;
use crate::schema::shape::{AT_LEAST_ZERO, FRACTION, Field, Kind, Shape, optional, required};
use crate::schema::suggest::{quote, unknown};

/// Windows of budgets, and their seconds.
pub(crate) const WINDOWS: &[(&str, u64)] = &[
    ("minute", 60),
    ("hour", 3600),
    ("day", 86_400),
    ("week", 604_800),
    ("month", 2_592_000),
];

const WINDOW_NAMES: &[&str] = &["minute", "hour", "day", "week", "month"];

pub(crate) const BUDGETS_FIELD: Field = optional(
    "budgets",
    Kind::List {
        of: &Kind::Object(&BUDGET),
        min: 0,
    },
    "no limit",
    "Spending limits per window of time.",
);

/// One of `budgets`.
pub const BUDGET: Shape = Shape {
    name: "budget",
    doc: "A limit on the cost of requests. From its decision to its end a request reserves its expected cost, at most `max_request_share`. Its actual cost then replaces the reservation: by the usage that the answer reports, else by an estimate from the bytes sent and delivered. A request that is answered with an error costs nothing. A worker knows its own spending at once and that of other workers within two ticks (two seconds). So N workers can exceed the budget by the spending of N - 1 workers in two seconds, and by what running requests cost beyond their reservations. Reservations of a worker that fails are released after ten seconds. All counts are lost when Envoy restarts.",
    fields: &[
        required(
            "name",
            Kind::Text,
            "The budget's name. Once it is spent, headers and metrics list `budget:` and this name among the rules.",
        ),
        required("usd", AT_LEAST_ZERO, "The limit per window, in USD."),
        required(
            "per",
            Kind::Choice(WINDOW_NAMES),
            "The window. Windows begin at multiples of their length since 1970, in UTC; a month has 30 days.",
        ),
        optional(
            "tenant",
            Kind::List {
                of: &Kind::Text,
                min: 1,
            },
            "all requests together",
            "The tenants that it limits; each has the whole sum for itself. A final `*` matches anything: `[\"*\"]` is every tenant, and requests without one are not limited.",
        ),
        optional(
            "max_request_share",
            FRACTION,
            "`0.1`",
            "The largest part of the sum that one request may reserve. With a smaller share more expensive requests run at once, and together they can exceed the sum by more.",
        ),
        optional(
            "profile",
            Kind::Text,
            "the request is refused with 429 `insufficient_quota`",
            "The profile that applies once the budget is spent; requests that name a model are not affected.",
        ),
    ],
};

/// How much of a budget one request may hold if the policy does not say.
const DEFAULT_MAX_REQUEST_SHARE: f64 = 0.1;

/// A spending limit per window of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    /// Its name.
    pub name: String,
    /// The limit per window, in USD.
    pub usd: f64,
    /// The length of a window, in seconds.
    pub seconds: u64,
    /// The tenants that it limits, each by itself; all requests together if empty.
    pub tenants: Vec<Pattern>,
    /// The largest reservation of one request, in USD.
    pub most_held_usd: f64,
    /// The profile that applies once it is spent; `None` if requests are then refused.
    pub profile: Option<String>,
}

impl Budget {
    /// Whether it limits this tenant.
    pub fn limits(&self, tenant: Option<&str>) -> bool {
        self.tenants.is_empty() || self.place_of(tenant).is_some()
    }

    /// The index of this tenant in its list.
    pub fn place_of(&self, tenant: Option<&str>) -> Option<usize> {
        let tenant = tenant?;
        self.tenants
            .iter()
            .position(|pattern| pattern.matches(tenant))
    }
}

#[inline(never)]
pub(crate) fn compile_budgets(
    root: &Node,
    known: &Known<'_>,
    problems: &mut Problems<'_>,
) -> Vec<Budget> {
    let profiles = known.profile_names();
    let nodes = root.items_of("budgets");
    let budgets = nodes.iter().enumerate().map(|(index, node)| {
        let profile = node.text_of("profile");
        if let Some(name) = profile.filter(|name| !name.is_empty() && !profiles.contains(name)) {
            let at = node.get("profile").map_or(node.at, |value| value.at);
            let message = unknown("profile", name, &profiles);
            problems.add(at, format!("budgets[{index}].profile"), message);
        }
        let per = node.text_of("per");
        let window = WINDOWS.iter().find(|(name, _)| Some(*name) == per);
        let usd = node.number_of("usd").unwrap_or_default();
        let share = node
            .number_of("max_request_share")
            .unwrap_or(DEFAULT_MAX_REQUEST_SHARE);
        let path = format!("budgets[{index}].tenant");
        Budget {
            name: node.text_of("name").unwrap_or_default().to_owned(),
            usd,
            most_held_usd: usd * share,
            seconds: window.map_or(86_400, |(_, seconds)| *seconds),
            tenants: compile_patterns(node.items_of("tenant"), &path, problems),
            profile: profile.map(str::to_owned),
        }
    });
    budgets.collect()
}

/// Warns of budgets that nothing can be spent of, and of those that an earlier one makes needless.
pub(crate) fn lint_budgets(budgets: &[Budget], root: &Node, warnings: &mut Problems<'_>) {
    let nodes = root.get("budgets").map_or(&[][..], Node::items);
    for (index, (budget, node)) in budgets.iter().zip(nodes).enumerate() {
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
        let others = budgets.iter().enumerate();
        let mut others = others.filter(|(other, _)| *other != index);
        let spares = others.find(|(other, by)| makes_needless(by, budget, *other < index));
        if let Some((_, by)) = spares {
            let message = format!(
                "never counts: {} is spent no later, for every tenant that this one limits",
                quote(&by.name)
            );
            warnings.add(node.at, format!("budgets[{index}]"), message);
        }
    }
}

/// Whether `budget`, which comes `first` or not, has done all that `other` could before that is spent.
fn makes_needless(budget: &Budget, other: &Budget, first: bool) -> bool {
    let covers = budget.tenants.is_empty()
        || (!other.tenants.is_empty()
            && other
                .tenants
                .iter()
                .all(|tenant| budget.tenants.iter().any(|wide| wide.covers(tenant))));
    let acts_first = match (&budget.profile, &other.profile) {
        (None, _) => true,
        (Some(_), Some(_)) => first,
        (Some(_), None) => false,
    };
    covers
        && acts_first
        && budget.seconds == other.seconds
        && (budget.usd < other.usd || (budget.usd <= other.usd && first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_table() {
        let windows: Vec<&str> = WINDOWS.iter().map(|(name, _)| *name).collect();
        assert_eq!(WINDOW_NAMES, windows);
    }
}

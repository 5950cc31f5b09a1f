//! Traffic: what a policy states of all requests, such as shadow mode, exploration, stickiness, shares and budgets. Fields and
//! compilation.
//!
//! Nothing is counted or chosen here.

pub(crate) mod budgets;
pub(crate) mod shares;
pub(crate) mod undecided;

use crate::sort;
use std::borrow::Cow;

use crate::policy::draw::{fingerprint, hash};
use crate::policy::request_attributes::RequestMatchers;
use crate::policy::request_attributes::client_preferences::{
    OnInvalidPreference, compile_preferences,
};
use crate::policy::request_attributes::tenant::compile_tenant;
use crate::policy::rules::Rule;
use crate::policy::rules::then::Known;
use crate::policy::traffic::budgets::compile_budgets;
use crate::policy::traffic::shares::compile_shares;
use crate::schema::document::Node;
use crate::schema::problems::Problems;
use crate::schema::shape::{FRACTION, Field, Kind, optional};

pub use budgets::Budget;
pub use shares::ModelShare;
pub use undecided::{OnUnknownModel, Undecided, UndecidedReason};

const ON_OFF: &[&str] = &["on", "off"];

pub(crate) const MODE_FIELD: Field = optional(
    "mode",
    Kind::Choice(&["enforce", "shadow"]),
    "`enforce`",
    "`enforce` routes requests. `shadow` decides and reports (headers, metrics, access logs) but leaves requests alone: they go to the default cluster untouched. In shadow mode a request that names a model is decided as if it had named the default profile, so that the report shows what would change.",
).formerly_with(&[("act", "enforce")]);

pub(crate) const EXPLORATION_RATE_FIELD: Field = optional(
    "exploration_rate",
    FRACTION,
    "`0`",
    "The share of conversations that try another candidate within all limits, so that Pointsman learns about it. A stable hash picks the conversations.",
).formerly(&["explore"]);

pub(crate) const STICKINESS_FIELD: Field = optional(
    "stickiness",
    Kind::Number {
        min: 0.0,
        max: 10.0,
    },
    "`0`",
    "How much better another backend must be before a conversation moves to it, in units of the objective: 0.1 with the weight of cost at 1 is a quarter of the cost. Regardless of this number, tokens in the prompt cache of the conversation's backend are priced at `cached_input`.",
);

pub(crate) const FOREIGN_STATE_FIELD: Field = optional(
    "foreign_state",
    Kind::Choice(&["keep", "drop"]),
    "`keep`",
    "The treatment of a conversation that carries state which only its provider can read (signed thinking, encrypted reasoning, thought signatures). `keep` restricts it to backends of the same `state_scope`. `drop` also allows other backends and removes the state for them, if the API permits that.",
);

pub(crate) const ROUTE_ENDPOINT_FIELD: Field = optional(
    "route_endpoint",
    Kind::Choice(ON_OFF),
    "`off`",
    "Whether `POST /v1/route` is answered. It shows every candidate with prices and reasons to any client that reaches the listener.",
);

pub(crate) const MODELS_ENDPOINT_FIELD: Field = optional(
    "models_endpoint",
    Kind::Choice(ON_OFF),
    "`on`",
    "Whether `GET /v1/models` is answered, with the names of models and profiles.",
);

pub(crate) const MISSING_MODEL_FIELD: Field = optional(
    "on_missing_model",
    Kind::Choice(&["bypass", "decide"]),
    "`bypass`",
    "The treatment of a body whose `model` was not found within `max_scan_bytes`. `bypass` sends it to the default cluster. `decide` chooses by the default profile; `model` is then not rewritten, so every backend must accept any name.",
).formerly(&["on_unseen_model"]);

/// The settings of all traffic.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Traffic {
    /// The parts of requests, besides bodies, that are read.
    pub matchers: RequestMatchers,
    /// Names of tenants that rules and budgets have, each once.
    pub named_tenants: Vec<String>,
    /// Access logs and spans show tenants as they are.
    pub shows_tenants: bool,
    /// The treatment of invalid preferences.
    pub on_invalid_preference: OnInvalidPreference,
    /// Decides and reports, but leaves requests alone.
    pub shadow: bool,
    /// The share of conversations that try another candidate, 0 to 1.
    pub exploration_rate: f64,
    /// How much smaller another backend's objective must be for a conversation to move.
    pub stickiness: f64,
    /// Whether state that only its maker can read is taken out of bodies for others.
    pub drops_foreign_state: bool,
    /// Models whose share is bounded.
    pub shares: Vec<ModelShare>,
    /// Spending limits.
    pub budgets: Vec<Budget>,
    /// Whether `POST /v1/route` is answered.
    pub route_endpoint: bool,
    /// Whether `GET /v1/models` is answered.
    pub models_endpoint: bool,
    /// Whether a request whose `model` was not seen is decided on.
    pub decide_missing_model: bool,
    /// Tells policies apart, so that what was counted under one does not count under another.
    pub fingerprint: u64,
}

impl Traffic {
    /// How access logs and spans show a tenant: by name where the policy names it or wants all of them shown, else as a hash,
    /// because it is a header's value.
    pub fn show_tenant<'a>(&self, tenant: &'a str) -> Cow<'a, str> {
        if self.shows_tenants || self.named_tenants.iter().any(|known| known == tenant) {
            return Cow::Borrowed(tenant);
        }
        let number = hash([tenant]);
        let digits = (0..16)
            .rev()
            .map(|place| (number >> (place * 4)) as u32 & 15);
        let digits = digits.filter_map(|digit| char::from_digit(digit, 16));
        Cow::Owned("hash:".chars().chain(digits).collect())
    }
}

#[inline(never)]
pub(crate) fn compile_traffic(
    text: &str,
    root: &Node,
    known: &Known<'_>,
    rules: &[Rule],
    problems: &mut Problems<'_>,
) -> Traffic {
    let tenant = root
        .get("tenant")
        .and_then(|node| compile_tenant(node, problems));
    let mut headers: Vec<String> = rules
        .iter()
        .flat_map(|rule| rule.when.headers.iter().map(|(name, _)| name.clone()))
        .collect();
    sort::sort(&mut headers);
    headers.dedup();
    let matchers = RequestMatchers {
        path: rules.iter().any(|rule| !rule.when.paths.is_empty()),
        headers,
        tenant,
        preferences: compile_preferences(root),
    };
    check_tenant_is_known(root, &matchers, problems);
    Traffic {
        matchers,
        named_tenants: named_tenants(root),
        shows_tenants: root
            .get("tenant")
            .is_some_and(|node| node.text_of("shown") == Some("all")),
        on_invalid_preference: OnInvalidPreference::compile(root),
        shadow: root.text_of("mode") == Some("shadow"),
        exploration_rate: root.number_of("exploration_rate").unwrap_or_default(),
        stickiness: root.number_of("stickiness").unwrap_or_default(),
        drops_foreign_state: root.text_of("foreign_state") == Some("drop"),
        shares: compile_shares(root, problems),
        budgets: compile_budgets(root, known, problems),
        route_endpoint: root.text_of("route_endpoint") == Some("on"),
        models_endpoint: root.text_of("models_endpoint") != Some("off"),
        decide_missing_model: root.text_of("on_missing_model") == Some("decide"),
        fingerprint: fingerprint(text),
    }
}

/// The tenants that rules and budgets name.
fn named_tenants(root: &Node) -> Vec<String> {
    let rules = root
        .items_of("rules")
        .iter()
        .filter_map(|rule| rule.get("when"));
    let holders = rules.chain(root.items_of("budgets"));
    let names = holders
        .flat_map(|holder| holder.items_of("tenant"))
        .filter_map(Node::text);
    let mut names: Vec<String> = names
        .filter(|name| !name.ends_with('*'))
        .map(str::to_owned)
        .collect();
    sort::sort(&mut names);
    names.dedup();
    names
}

/// Adds a problem for each condition and budget that names tenants if nothing says who the tenant is.
fn check_tenant_is_known(root: &Node, matchers: &RequestMatchers, problems: &mut Problems<'_>) {
    if matchers.tenant.is_some() || root.get("tenant").is_some() {
        return;
    }
    let message = "the policy does not define the tenant: add `tenant`";
    for (index, rule) in root.items_of("rules").iter().enumerate() {
        if let Some(node) = rule.get("when").and_then(|when| when.get("tenant")) {
            problems.add(node.at, format!("rules[{index}].when.tenant"), message);
        }
    }
    for (index, budget) in root.items_of("budgets").iter().enumerate() {
        if let Some(node) = budget.get("tenant") {
            problems.add(node.at, format!("budgets[{index}].tenant"), message);
        }
    }
}

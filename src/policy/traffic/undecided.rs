//! The treatment of requests that cannot be decided on, and of those for models that the policy does not have: fields and
//! compilation.
//!
//! One rule: a request that looks like one of an LLM API and cannot be decided on is not passed on as if it had been. An operator
//! who states `on_undecided: bypass` has it passed on nevertheless; even then no profile's name leaves the proxy.

use crate::schema::document::Node;
use crate::schema::shape::{Field, Kind, optional};

pub(crate) const UNDECIDED_FIELD: Field = optional(
    "on_undecided",
    Kind::Choice(&["bypass", "reject"]),
    "`reject` if a rule refuses requests or restricts their models or tags, or if there is a budget; else `bypass`, except for bodies that may name a profile",
    "The treatment of an LLM API request that cannot be decided on: a compressed or unreadable body, a path or method that is nearly right, an internal error. `bypass` sends it to the default cluster untouched. `reject` answers with an error in the format of the API. A body that names a profile is refused even with `bypass`. `mode: shadow` always passes the request on. `pointsman check` shows which of them applies.",
).formerly(&["undecided", "on_invalid_request"]);

pub(crate) const UNKNOWN_MODEL_FIELD: Field = optional(
    "on_unknown_model",
    Kind::Choice(&["reject", "bypass", "default_profile"]),
    "`reject`",
    "The treatment of a request whose model is not a name, an alias or a usual spelling of a model of the policy. `reject` answers 404 with the nearest names. `bypass` sends it to the default cluster untouched, unless a rule or a budget limits it. `default_profile` decides as if the client had asked for the default profile.",
);

/// The treatment of an LLM API request that cannot be decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undecided {
    /// Sends it to the default cluster untouched, and counts it, unless its body names a profile.
    Bypass,
    /// Refuses it with an error in the format of its API.
    Reject,
}

/// The treatment of a request for a model that the policy does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUnknownModel {
    /// Refuses it with 404.
    #[default]
    Reject,
    /// Sends it to the default cluster untouched, unless a rule or a budget limits it.
    Bypass,
    /// Decides as if the client had asked for the default profile.
    DefaultProfile,
}

/// The reason for the treatment of requests that cannot be decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UndecidedReason {
    /// The policy states it.
    Stated,
    /// The policy only reports.
    Shadow,
    /// This rule, by its index, restricts requests.
    Rule(usize),
    /// This budget, by its index, limits requests.
    Budget(usize),
    /// Nothing restricts requests.
    Unrestricted,
}

/// Compiles `on_undecided`.
pub(crate) fn compile_on_undecided(root: &Node) -> Option<Undecided> {
    match root.text_of("on_undecided")? {
        "bypass" => Some(Undecided::Bypass),
        "reject" => Some(Undecided::Reject),
        _ => None,
    }
}

/// Compiles `on_unknown_model`.
pub(crate) fn compile_on_unknown_model(root: &Node) -> OnUnknownModel {
    match root.text_of("on_unknown_model") {
        Some("bypass") => OnUnknownModel::Bypass,
        Some("default_profile") => OnUnknownModel::DefaultProfile,
        _ => OnUnknownModel::Reject,
    }
}

//! What becomes of requests that the policy cannot decide on, and of those for models that it does not have.
//!
//! One rule: what looks like a request of an LLM API and cannot be decided on is not passed on as if it had been. Who says
//! `on_undecided: bypass` wants it passed on all the same, and even then no profile's name leaves the house.

use super::compile::text_of;
use super::rules::Rule;
use super::{Policy, traffic::Traffic};
use crate::api::request::unparsed::NamedModel;
use crate::schema::document::Node;
use crate::schema::shape::Problems;
use crate::schema::suggest::quote;

/// What becomes of a request of an LLM API that cannot be decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undecided {
    /// It goes to the default cluster untouched, and is counted, unless its body names a profile.
    Bypass,
    /// It is refused, in the words of its API.
    Reject,
}

/// What becomes of a request for a model that the policy does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUnknownModel {
    /// It is refused with 404.
    #[default]
    Reject,
    /// It goes to the default cluster untouched, unless a rule or a budget limits it.
    Bypass,
    /// It is decided on as if it had asked for the default profile.
    DefaultProfile,
}

/// Why requests that cannot be decided on are treated as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UndecidedReason {
    /// The policy says so.
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

/// What `on_undecided` says.
pub(super) fn compile_undecided(root: &Node) -> Option<Undecided> {
    match text_of(root, "on_undecided")? {
        "bypass" => Some(Undecided::Bypass),
        "reject" => Some(Undecided::Reject),
        _ => None,
    }
}

/// What `on_unknown_model` says.
pub(super) fn compile_on_unknown_model(root: &Node) -> OnUnknownModel {
    match text_of(root, "on_unknown_model") {
        Some("bypass") => OnUnknownModel::Bypass,
        Some("default_profile") => OnUnknownModel::DefaultProfile,
        _ => OnUnknownModel::Reject,
    }
}

/// Adds a warning where what cannot be decided on is passed on past a rule or a budget.
pub(super) fn check_undecided(policy: &Policy, root: &Node, warnings: &mut Problems<'_>) {
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

impl Policy {
    /// Why requests that cannot be decided on are treated as they are, in words.
    pub fn undecided_because(&self) -> String {
        match self.undecided().1 {
            UndecidedReason::Stated => "the policy states it".to_owned(),
            UndecidedReason::Shadow => "`mode` is `shadow`".to_owned(),
            UndecidedReason::Rule(index) => {
                let name = self.rules.get(index).map_or("", |rule| &rule.name);
                format!("the rule {} restricts requests", quote(name))
            }
            UndecidedReason::Budget(index) => {
                let budget = self.traffic.budgets.get(index);
                let name = budget.map_or("", |budget| &budget.name);
                format!("the budget {} limits requests", quote(name))
            }
            UndecidedReason::Unrestricted => "no rule or budget restricts requests".to_owned(),
        }
    }

    /// What becomes of requests that cannot be decided on and name no profile, and why.
    pub fn undecided(&self) -> (Undecided, UndecidedReason) {
        let Traffic {
            shadow, budgets, ..
        } = &self.traffic;
        let restricts = |rule: &Rule| {
            let then = &rule.then;
            then.reject.is_some() || !then.tags.is_empty() || !then.models.is_empty()
        };
        match self.undecided {
            _ if *shadow => (Undecided::Bypass, UndecidedReason::Shadow),
            Some(stated) => (stated, UndecidedReason::Stated),
            None => match self.rules.iter().position(restricts) {
                Some(rule) => (Undecided::Reject, UndecidedReason::Rule(rule)),
                None if !budgets.is_empty() => (Undecided::Reject, UndecidedReason::Budget(0)),
                None => (Undecided::Bypass, UndecidedReason::Unrestricted),
            },
        }
    }

    /// Whether a request is refused that cannot be decided on and names such a model.
    pub fn refuses_undecided(&self, named: NamedModel) -> bool {
        match (self.undecided(), named) {
            ((_, UndecidedReason::Shadow), _) => false,
            ((Undecided::Reject, _), _) | (_, NamedModel::Profile) => true,
            // What cannot be seen may be a profile; who states it accepts that.
            ((Undecided::Bypass, reason), NamedModel::Unknown) => reason != UndecidedReason::Stated,
            ((Undecided::Bypass, _), NamedModel::Other) => false,
        }
    }
}

//! The outcome of a request of an LLM API that could not be decided on.

use super::refuse::reject;
use super::{RequestInfo, Router, bounds, requested_model};
use crate::api::request::InvalidRequest;
use crate::api::request::unparsed::{NamedModel, UnparsedBody};
use crate::policy::Policy;
use crate::policy::rules::Rule;
use crate::routing::decision::{Bypass, Outcome, Rejection};
use crate::schema::suggest::quote;

/// The outcome of a body that cannot be read, as the policy wants it. `complete` is false if `body` is only its first part.
pub fn unreadable(policy: &Policy, error: &InvalidRequest, body: &[u8], complete: bool) -> Outcome {
    let unread = UnparsedBody::scan(body, complete, |name| policy.names_profile(name));
    let rejection = refuse_unreadable(error);
    if policy.refuses_undecided(unread.named) {
        Outcome::Rejected(rejection)
    } else {
        Outcome::Bypassed(Bypass::InvalidRequest(rejection.message))
    }
}

/// The refusal of a body that cannot be read.
fn refuse_unreadable(error: &InvalidRequest) -> Rejection {
    let mut rejection = reject(400, error.code(), error.to_string());
    rejection.param = error.param().map(str::to_owned);
    rejection
}

/// The meaning of a name in a request that is not decided on.
pub fn named(policy: &Policy, name: Option<&str>) -> NamedModel {
    match name {
        Some(name) if policy.names_profile(name) => NamedModel::Profile,
        _ => NamedModel::Other,
    }
}

impl Router {
    /// The outcome of a body that cannot be read: as [`unreadable`] says, but refused if path, headers or tenant suffice to
    /// refuse it.
    pub fn unreadable_in(
        &self,
        policy: &Policy,
        error: &InvalidRequest,
        (body, complete): (&[u8], bool),
        info: &RequestInfo<'_>,
    ) -> Outcome {
        let outcome = unreadable(policy, error, body, complete);
        if matches!(outcome, Outcome::Bypassed(_))
            && !policy.traffic.shadow
            && let Some(rejection) = self.refuse_unread(policy, info)
        {
            return Outcome::Rejected(rejection);
        }
        outcome
    }

    /// The refusal of a request of unknown body by its path, headers and tenant: a rule on these refuses it or demands tags that
    /// the default cluster lacks, or its budget is spent. Rules on more than these are passed over.
    pub fn refuse_unread(&self, policy: &Policy, info: &RequestInfo<'_>) -> Option<Rejection> {
        let attributes = info.attributes;
        let mut rules = policy.rules.iter().filter(|rule| {
            let when = &rule.when;
            !when.asks_body() && when.holds_without_body(attributes)
        });
        let refusal = |rule: &Rule| {
            let lacking = rule.then.tags.iter();
            let mut lacking = lacking.filter(|tag| !requested_model::default_has(policy, tag));
            let mut rejection = match (&rule.then.reject, lacking.next()) {
                (Some(message), _) => reject(403, "rejected_by_policy", message.clone()),
                (None, Some(tag)) => {
                    let tag = quote(tag);
                    let message = format!(
                        "the request could not be decided on, and the default cluster lacks the tag {tag}"
                    );
                    reject(400, "no_eligible_backend", message)
                }
                (None, None) => return None,
            };
            rejection.rules = vec![rule.name.clone()];
            Some(rejection)
        };
        if let Some(rejection) = rules.find_map(refusal) {
            return Some(rejection);
        }
        let now = info.now_ns / 1_000_000_000;
        let budget_status = bounds::budgets(policy, attributes, &self.budget_accounts, now);
        budget_status.refusing.map(bounds::refuse_spent)
    }
}

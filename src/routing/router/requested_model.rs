//! The meaning of a client's `model`, and the outcome of a name without one.

use crate::api::Api;
use crate::api::request::Request;
use crate::fleet::ModelId;
use crate::policy::profiles::Profile;
use crate::policy::request_attributes::RequestAttributes;
use crate::policy::resolve;
use crate::policy::rules::RuleOutcome;
use crate::policy::{OnUnknownModel, Policy};
use crate::routing::decision::{Bypass, MODEL_NOT_FOUND, Outcome, Rejection};
use crate::schema::suggest::quote;

use super::bounds::BudgetStatus;
use super::refuse::reject;

/// The meaning of a client's `model`.
pub enum RequestedModel<'p> {
    /// A model: the default profile only chooses its backend.
    Pinned(ModelId, &'p Profile),
    /// A profile; the default profile if the client names none.
    Open(&'p Profile),
    /// A model that the policy does not have; the default cluster may have it.
    Foreign(&'p Profile),
}

impl<'p> RequestedModel<'p> {
    /// The only model that may answer.
    pub const fn pinned(&self) -> Option<ModelId> {
        match self {
            RequestedModel::Pinned(model, _) => Some(*model),
            RequestedModel::Open(_) | RequestedModel::Foreign(_) => None,
        }
    }

    /// Whether the client named a model: then it gets that model.
    pub const fn names_model(&self) -> bool {
        !matches!(self, RequestedModel::Open(_))
    }

    /// The profile in effect: of a spent budget, else of the rules, else of the client.
    pub fn ruled_profile(
        &self,
        policy: &'p Policy,
        rule_outcome: &RuleOutcome<'_>,
        budget_status: &BudgetStatus<'_>,
    ) -> &'p Profile {
        let (RequestedModel::Pinned(_, own)
        | RequestedModel::Open(own)
        | RequestedModel::Foreign(own)) = self;
        let downgraded = budget_status.profile.filter(|_| self.pinned().is_none());
        let ruled = downgraded.or(rule_outcome.profile);
        let ruled = ruled.and_then(|name| policy.find_profile(name));
        ruled.unwrap_or(own)
    }
}

/// The requested name: the body's `model`, else the deployment in the path.
pub fn name<'a>(request: &'a Request<'_>, attributes: &'a RequestAttributes) -> Option<&'a str> {
    let named = request.model.as_deref();
    named.or(attributes.deployment.as_deref())
}

/// The meaning of the requested name. If `counts`, the request's tokens are only counted, by any backend that has the model.
#[inline(never)]
pub fn find<'p>(
    policy: &'p Policy,
    request: &Request<'_>,
    attributes: &RequestAttributes,
    counts: bool,
) -> Result<RequestedModel<'p>, Outcome> {
    let Some(default) = policy.find_profile(&policy.default_profile) else {
        let fault = "the policy lacks its default profile".to_owned();
        return Err(Outcome::Bypassed(Bypass::RouterFault(fault)));
    };
    let open = |profile| open(policy, request.api, profile);
    let Some(name) = name(request, attributes) else {
        return Ok(open(default));
    };
    match policy.resolve(name) {
        Some(resolve::RequestedName::Profile(profile)) => Ok(open(profile)),
        // Shadow mode reports the choice that a profile would make.
        _ if policy.traffic.shadow => Ok(open(default)),
        Some(resolve::RequestedName::Model(model)) => Ok(RequestedModel::Pinned(model, default)),
        None => match policy.on_unknown_model {
            OnUnknownModel::DefaultProfile => Ok(open(default)),
            OnUnknownModel::Bypass => Ok(RequestedModel::Foreign(default)),
            OnUnknownModel::Reject if counts => Ok(RequestedModel::Foreign(default)),
            OnUnknownModel::Reject => Err(Outcome::Rejected(unknown(policy, name))),
        },
    }
}

/// A choice by `profile`. Embeddings of different models cannot be compared, so for these every profile means one model: the
/// model of the policy's first backend that embeds.
fn open<'p>(policy: &Policy, api: Api, profile: &'p Profile) -> RequestedModel<'p> {
    let mut backends = policy.registry.backends.iter();
    let first = backends.find(|backend| backend.apis.contains(api));
    match first {
        Some(backend) if api == Api::OpenAiEmbeddings => {
            RequestedModel::Pinned(backend.model, profile)
        }
        _ => RequestedModel::Open(profile),
    }
}

/// The refusal of an unknown name.
#[inline(never)]
pub fn unknown(policy: &Policy, name: &str) -> Rejection {
    let suggestion = policy.suggest(name);
    let message = format!("the model {} does not exist{suggestion}", quote(name));
    reject(404, MODEL_NOT_FOUND, message)
}

/// The outcome of a request for a model that the policy does not have: it goes to the default cluster, unless rules or budgets
/// would not hold there.
#[inline(never)]
pub fn pass_on(
    policy: &Policy,
    name: &str,
    rule_outcome: &RuleOutcome<'_>,
    budget_status: &BudgetStatus<'_>,
    counts: bool,
) -> Outcome {
    let why = match rule_outcome
        .tags
        .iter()
        .find(|tag| !default_has(policy, tag))
    {
        Some(tag) => Some(format!("the default cluster lacks the tag {}", quote(tag))),
        // Its cost there is unknown, so a budget could not count it.
        None if !counts && !budget_status.postings.is_empty() => {
            Some("a budget limits the request".to_owned())
        }
        None => None,
    };
    match why {
        None => Outcome::Bypassed(Bypass::UnknownModel(format!(
            "the model {} is not in the policy",
            quote(name)
        ))),
        Some(why) => {
            let mut rejection = unknown(policy, name);
            rejection.message =
                format!("{}; it is not passed on, because {why}", rejection.message);
            rejection.rules = super::owned(&rule_outcome.names);
            Outcome::Rejected(rejection)
        }
    }
}

/// Whether every backend of the default cluster has a tag; false if the policy has no backend there.
pub fn default_has(policy: &Policy, tag: &str) -> bool {
    let cluster = &policy.default_cluster;
    let behind = || {
        let backends = policy.registry.backends.iter();
        backends.filter(|backend| backend.cluster == *cluster)
    };
    let has = |tags: &[String]| tags.iter().any(|own| own == tag);
    behind().next().is_some() && behind().all(|backend| has(&backend.tags))
}

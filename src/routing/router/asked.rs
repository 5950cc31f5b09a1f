//! What a client's `model` stands for, and what becomes of a name that stands for nothing.

use crate::api::Api;
use crate::api::request::Request;
use crate::fleet::ModelId;
use crate::policy::envelope::RequestAttributes;
use crate::policy::names;
use crate::policy::profile::Profile;
use crate::policy::rules::RuleOutcome;
use crate::policy::{OnUnknownModel, Policy};
use crate::routing::decision::{Bypass, MODEL_NOT_FOUND, Outcome, Rejection};
use crate::schema::suggest::quote;

use super::bounds::BudgetStatus;
use super::refuse::reject;

/// What a client's `model` stands for.
pub enum Asked<'p> {
    /// A model: only the backend is chosen, by the default profile.
    Pinned(ModelId, &'p Profile),
    /// A profile, or nothing and so the default profile.
    Open(&'p Profile),
    /// A model that the policy does not have, which the default cluster may have.
    Foreign(&'p Profile),
}

impl<'p> Asked<'p> {
    /// The model that alone may answer.
    pub const fn pinned(&self) -> Option<ModelId> {
        match self {
            Asked::Pinned(model, _) => Some(*model),
            Asked::Open(_) | Asked::Foreign(_) => None,
        }
    }

    /// Whether the client named a model: then it gets no other.
    pub const fn names_model(&self) -> bool {
        !matches!(self, Asked::Open(_))
    }

    /// The profile that counts: that of a spent budget, else of the rules, else the client's.
    pub fn ruled_profile(
        &self,
        policy: &'p Policy,
        ruling: &RuleOutcome<'_>,
        standing: &BudgetStatus<'_>,
    ) -> &'p Profile {
        let (Asked::Pinned(_, own) | Asked::Open(own) | Asked::Foreign(own)) = self;
        let downgraded = standing.profile.filter(|_| self.pinned().is_none());
        let ruled = downgraded.or(ruling.profile);
        let ruled = ruled.and_then(|name| policy.find_profile(name));
        ruled.unwrap_or(own)
    }
}

/// The name that a request asks for: that of its body, else the deployment in its path.
pub fn name<'a>(request: &'a Request<'_>, envelope: &'a RequestAttributes) -> Option<&'a str> {
    let named = request.model.as_deref();
    named.or(envelope.deployment.as_deref())
}

/// What the request asks for. `counts`: only its tokens are counted, by whoever has the model.
pub fn find<'p>(
    policy: &'p Policy,
    request: &Request<'_>,
    envelope: &RequestAttributes,
    counts: bool,
) -> Result<Asked<'p>, Outcome> {
    let Some(default) = policy.find_profile(&policy.default_profile) else {
        let fault = "the policy lacks its own default profile".to_owned();
        return Err(Outcome::Bypassed(Bypass::RouterFault(fault)));
    };
    let open = |profile| open(policy, request.api, profile);
    let Some(name) = name(request, envelope) else {
        return Ok(open(default));
    };
    match policy.resolve(name) {
        Some(names::Asked::Profile(profile)) => Ok(open(profile)),
        // What is only reported shall say what an open choice would have been.
        _ if policy.traffic.shadow => Ok(open(default)),
        Some(names::Asked::Model(model)) => Ok(Asked::Pinned(model, default)),
        None => match policy.on_unknown_model {
            OnUnknownModel::DefaultProfile => Ok(open(default)),
            OnUnknownModel::Bypass => Ok(Asked::Foreign(default)),
            OnUnknownModel::Reject if counts => Ok(Asked::Foreign(default)),
            OnUnknownModel::Reject => Err(Outcome::Rejected(unknown(policy, name))),
        },
    }
}

/// A choice by `profile`. Vectors of different models cannot be compared, so for embeddings every profile means one model:
/// that of the policy's first backend that embeds.
fn open<'p>(policy: &Policy, api: Api, profile: &'p Profile) -> Asked<'p> {
    let mut backends = policy.registry.backends.iter();
    let first = backends.find(|backend| backend.apis.contains(api));
    match first {
        Some(backend) if api == Api::OpenAiEmbeddings => Asked::Pinned(backend.model, profile),
        _ => Asked::Open(profile),
    }
}

/// The refusal of a name that means nothing.
pub fn unknown(policy: &Policy, name: &str) -> Rejection {
    let suggestion = policy.suggest(name);
    let message = format!("the model {} does not exist{suggestion}", quote(name));
    reject(404, MODEL_NOT_FOUND, message)
}

/// A request for a foreign model goes to the default cluster, unless what the rules and budgets say of it would not hold
/// there.
pub fn pass_on(
    policy: &Policy,
    name: &str,
    ruling: &RuleOutcome<'_>,
    standing: &BudgetStatus<'_>,
    counts: bool,
) -> Outcome {
    let why = match ruling.tags.iter().find(|tag| !default_has(policy, tag)) {
        Some(tag) => Some(format!("the default cluster lacks the tag {}", quote(tag))),
        // What it costs there is not known, so it could not be counted.
        None if !counts && !standing.postings.is_empty() => {
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
            rejection.rules = super::owned(&ruling.names);
            Outcome::Rejected(rejection)
        }
    }
}

/// Whether all that stands behind the default cluster has a tag; where no backend stands there, nothing is known of it.
pub fn default_has(policy: &Policy, tag: &str) -> bool {
    let cluster = &policy.default_cluster;
    let behind = || {
        let backends = policy.registry.backends.iter();
        backends.filter(|backend| backend.cluster == *cluster)
    };
    let has = |tags: &[String]| tags.iter().any(|own| own == tag);
    behind().next().is_some() && behind().all(|backend| has(&backend.tags))
}

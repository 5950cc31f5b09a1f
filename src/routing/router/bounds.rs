//! What bounds a request beside its rules: how the client steers, budgets, and the shares of models.

use crate::fleet::ModelId;
use crate::policy::Policy;
use crate::policy::conditions::hash;
use crate::policy::envelope::{RequestAttributes, Steer};
use crate::policy::traffic::{ModelShare, OnInvalidSteering};
use crate::routing::decision::Rejection;
use crate::state::budgets::{Charge, Posting, Spending, end_of_window};
use crate::state::shares::Shares;

use super::refuse::reject;

/// The refusal of a wish that makes no sense, where the policy wants one.
pub fn refuse_steering(policy: &Policy, envelope: &RequestAttributes) -> Option<Rejection> {
    if policy.traffic.on_invalid_steering == OnInvalidSteering::Ignore {
        return None;
    }
    let steer = envelope.steering.ignored.first()?;
    let expected = match steer {
        Steer::MinQuality => "a number from 0 to 1",
        Steer::MaxCostUsd | Steer::MaxLatencyMs => "a number, 0 or more",
        Steer::AllowModels => "names of models, joined by commas",
    };
    let message = format!("the header `{}` must be {expected}", steer.header());
    let mut rejection = reject(400, "invalid_value", message);
    rejection.param = Some(steer.header().to_owned());
    Some(rejection)
}

/// How the client's steering was taken, one word each. `ruled` are the models that the rules leave.
pub fn steering(envelope: &RequestAttributes, pinned: bool, ruled: &[ModelId]) -> Vec<String> {
    let steering = &envelope.steering;
    // Who names a model gets it, whatever it is expected to answer; and rules are the operator's.
    let is_heeded = |steer: Steer| match steer {
        Steer::MinQuality => !pinned,
        Steer::AllowModels => !pinned && allowed(ruled, &steering.models).is_ok(),
        Steer::MaxCostUsd | Steer::MaxLatencyMs => true,
    };
    let followed = steering
        .followed
        .iter()
        .map(|steer| (steer, is_heeded(*steer)));
    let ignored = steering.ignored.iter().map(|steer| (steer, false));
    followed
        .chain(ignored)
        .map(|(steer, heeded)| {
            let name = steer.name();
            if heeded {
                name.to_owned()
            } else {
                format!("{name}=ignored")
            }
        })
        .collect()
}

/// The models that may answer: those of the rules that the client wants too. `Err` where none is left.
pub fn allowed(ruled: &[ModelId], wished: &[ModelId]) -> Result<Vec<ModelId>, ()> {
    if ruled.is_empty() || wished.is_empty() {
        return Ok([ruled, wished].concat());
    }
    let both: Vec<ModelId> = ruled
        .iter()
        .copied()
        .filter(|id| wished.contains(id))
        .collect();
    if both.is_empty() { Err(()) } else { Ok(both) }
}

/// How the budgets that limit a request stand.
#[derive(Debug, Default)]
pub struct BudgetStatus<'p> {
    /// Where what the request costs is put.
    pub postings: Vec<Posting>,
    /// The budgets that are spent.
    pub spent: Vec<&'p str>,
    /// The profile that is used instead.
    pub profile: Option<&'p str>,
    /// The first spent budget that refuses requests.
    pub refusing: Option<&'p str>,
}

/// How the budgets stand for a request; `now` in seconds since 1970.
pub fn budgets<'p>(
    policy: &'p Policy,
    envelope: &RequestAttributes,
    spending: &Spending,
    now: u64,
) -> BudgetStatus<'p> {
    let mut standing = BudgetStatus::default();
    let budgets = policy.traffic.budgets.iter().enumerate();
    // A request of two tenants is one of each.
    let readings = |nobody: bool| {
        let nobody = nobody.then_some(None);
        envelope.tenants().map(Some).chain(nobody)
    };
    let accounts = budgets.flat_map(|(place, budget)| {
        let accounts = readings(envelope.tenant.is_none());
        accounts.map(move |tenant| (place, budget, tenant))
    });
    for (place, budget, tenant) in accounts.filter(|(_, one, tenant)| one.limits(*tenant)) {
        let key = hash([budget.name.as_str(), tenant.unwrap_or_default()]);
        let end = end_of_window(now, budget.seconds);
        standing.postings.push(Posting {
            key,
            end,
            budget: place,
            tenant: budget.place_of(tenant),
            held: budget.most_held_usd,
        });
        if spending.spent(key, end) < budget.usd {
            continue;
        }
        standing.spent.push(&budget.name);
        match &budget.profile {
            Some(profile) => standing.profile = standing.profile.or(Some(profile)),
            None => standing.refusing = standing.refusing.or(Some(&budget.name)),
        }
    }
    standing
}

/// The refusal of a request whose budget is spent.
pub fn refuse_spent(budget: &str) -> Rejection {
    let message = format!("the budget `{budget}` is spent; try again in its next window");
    let mut rejection = reject(429, "insufficient_quota", message);
    rejection.rules = vec![named(budget)];
    rejection
}

/// How a budget stands among the names of rules.
pub fn named(budget: &str) -> String {
    format!("budget:{budget}")
}

/// The charge for a request that is expected to cost so much.
pub fn charge(standing: &BudgetStatus<'_>, usd: f64) -> Charge {
    let usd = if usd.is_finite() { usd.max(0.0) } else { 0.0 };
    let postings = standing.postings.iter().map(|posting| Posting {
        held: posting.held.min(usd),
        ..*posting
    });
    Charge {
        postings: postings.collect(),
        usd,
    }
}

/// The models that have had their share.
pub fn barred(policy: &Policy, shares: &Shares) -> Vec<ModelId> {
    let traffic = &policy.traffic;
    let exhausted =
        |one: &&ModelShare| shares.is_exhausted(traffic.fingerprint, one.model, one.most);
    let barred = traffic.shares.iter().filter(exhausted);
    barred.map(|one| one.model).collect()
}

/// The model that is furthest behind its least share.
pub fn preferred(policy: &Policy, shares: &Shares) -> Option<ModelId> {
    let traffic = &policy.traffic;
    let deficits = traffic
        .shares
        .iter()
        .filter(|one| one.least > 0.0)
        .map(|one| {
            let deficit = shares.deficit(traffic.fingerprint, one.model, one.least);
            (deficit, one.model)
        });
    let most = deficits.max_by(|left, right| left.0.total_cmp(&right.0))?;
    (most.0 > 0.0).then_some(most.1)
}

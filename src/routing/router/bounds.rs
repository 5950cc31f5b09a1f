//! Bounds of a request besides its rules: the client's preferences, budgets, and the shares of models.

use crate::fleet::ModelId;
use crate::policy::Policy;
use crate::policy::draw::hash;
use crate::policy::request_attributes::{ClientPreference, RequestAttributes};
use crate::policy::{request_attributes::OnInvalidPreference, traffic::ModelShare};
use crate::routing::decision::Rejection;
use crate::state::budgets::{BudgetAccounts, Charge, Posting, end_of_window};
use crate::state::shares::Shares;

use super::refuse::reject;

/// The refusal of an invalid preference, if the policy refuses these.
#[inline(never)]
pub fn refuse_steering(policy: &Policy, attributes: &RequestAttributes) -> Option<Rejection> {
    if policy.traffic.on_invalid_preference == OnInvalidPreference::Ignore {
        return None;
    }
    let steer = attributes.preferences.ignored.first()?;
    let expected = match steer {
        ClientPreference::MinQuality => "a number from 0 to 1",
        ClientPreference::MaxCostUsd | ClientPreference::MaxLatencyMs => "a number, 0 or more",
        ClientPreference::AllowModels => "names of models, joined by commas",
    };
    let message = format!("the header `{}` must be {expected}", steer.header());
    let mut rejection = reject(400, "invalid_value", message);
    rejection.param = Some(steer.header().to_owned());
    Some(rejection)
}

/// The client's preferences as reported, one word each: its name, or its name and `=ignored`. `ruled` are the models that the
/// rules leave.
#[inline(never)]
pub fn steering(attributes: &RequestAttributes, pinned: bool, ruled: &[ModelId]) -> Vec<String> {
    let preferences = &attributes.preferences;
    // A client that names a model gets it, even if its expected quality is lower. Rules are the operator's.
    let is_honoured = |steer: ClientPreference| match steer {
        ClientPreference::MinQuality => !pinned,
        ClientPreference::AllowModels => !pinned && allowed(ruled, &preferences.models).is_ok(),
        ClientPreference::MaxCostUsd | ClientPreference::MaxLatencyMs => true,
    };
    let followed = preferences
        .honoured
        .iter()
        .map(|steer| (steer, is_honoured(*steer)));
    let ignored = preferences.ignored.iter().map(|steer| (steer, false));
    followed
        .chain(ignored)
        .map(|(steer, honoured)| {
            let name = steer.name();
            if honoured {
                name.to_owned()
            } else {
                format!("{name}=ignored")
            }
        })
        .collect()
}

/// The models that may answer: those of the rules that the client prefers too. `Err` if none is left.
pub fn allowed(ruled: &[ModelId], preferred: &[ModelId]) -> Result<Vec<ModelId>, ()> {
    if ruled.is_empty() || preferred.is_empty() {
        return Ok([ruled, preferred].concat());
    }
    let both: Vec<ModelId> = ruled
        .iter()
        .copied()
        .filter(|id| preferred.contains(id))
        .collect();
    if both.is_empty() { Err(()) } else { Ok(both) }
}

/// The status of the budgets that limit a request.
#[derive(Debug, Default)]
pub struct BudgetStatus<'p> {
    /// The accounts that its cost goes to.
    pub postings: Vec<Posting>,
    /// The spent budgets.
    pub spent: Vec<&'p str>,
    /// The profile that a spent budget demands.
    pub profile: Option<&'p str>,
    /// The first spent budget that refuses the request.
    pub refusing: Option<&'p str>,
}

/// The status of the budgets for a request; `now` in seconds since 1970.
#[inline(never)]
pub fn budgets<'p>(
    policy: &'p Policy,
    attributes: &RequestAttributes,
    budget_accounts: &BudgetAccounts,
    now: u64,
) -> BudgetStatus<'p> {
    let mut budget_status = BudgetStatus::default();
    let budgets = policy.traffic.budgets.iter().enumerate();
    // A request of two tenants counts for each.
    let readings = |nobody: bool| {
        let nobody = nobody.then_some(None);
        attributes.tenants().map(Some).chain(nobody)
    };
    let accounts = budgets.flat_map(|(place, budget)| {
        let accounts = readings(attributes.tenant.is_none());
        accounts.map(move |tenant| (place, budget, tenant))
    });
    for (place, budget, tenant) in accounts.filter(|(_, budget, tenant)| budget.limits(*tenant)) {
        let key = hash([budget.name.as_str(), tenant.unwrap_or_default()]);
        let end = end_of_window(now, budget.seconds);
        budget_status.postings.push(Posting {
            key,
            end,
            budget: place,
            tenant: budget.place_of(tenant),
            held: budget.most_held_usd,
        });
        if budget_accounts.used_usd(key, end) < budget.usd {
            continue;
        }
        budget_status.spent.push(&budget.name);
        match &budget.profile {
            Some(profile) => budget_status.profile = budget_status.profile.or(Some(profile)),
            None => budget_status.refusing = budget_status.refusing.or(Some(&budget.name)),
        }
    }
    budget_status
}

/// The refusal because of a spent budget.
pub fn refuse_spent(budget: &str) -> Rejection {
    let message = format!("the budget `{budget}` is spent; try again in its next window");
    let mut rejection = reject(429, "insufficient_quota", message);
    rejection.rules = vec![named(budget)];
    rejection
}

/// The name of a budget among the names of rules.
pub fn named(budget: &str) -> String {
    format!("budget:{budget}")
}

/// The charge for a request of this expected cost.
pub fn charge(budget_status: &BudgetStatus<'_>, usd: f64) -> Charge {
    let usd = if usd.is_finite() { usd.max(0.0) } else { 0.0 };
    let postings = budget_status.postings.iter().map(|posting| Posting {
        held: posting.held.min(usd),
        ..*posting
    });
    Charge {
        postings: postings.collect(),
        usd,
    }
}

/// The models that have reached their greatest share.
pub fn over_share(policy: &Policy, shares: &Shares) -> Vec<ModelId> {
    let traffic = &policy.traffic;
    let exhausted =
        |share: &&ModelShare| shares.is_exhausted(traffic.fingerprint, share.model, share.most);
    let over_share = traffic.shares.iter().filter(exhausted);
    over_share.map(|share| share.model).collect()
}

/// The model that is furthest behind its least share.
pub fn preferred(policy: &Policy, shares: &Shares) -> Option<ModelId> {
    let traffic = &policy.traffic;
    let deficits = traffic
        .shares
        .iter()
        .filter(|share| share.least > 0.0)
        .map(|share| {
            let deficit = shares.deficit(traffic.fingerprint, share.model, share.least);
            (deficit, share.model)
        });
    let most = deficits.max_by(|left, right| left.0.total_cmp(&right.0))?;
    (most.0 > 0.0).then_some(most.1)
}

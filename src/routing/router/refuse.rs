//! The texts of refusals, for the client's developer. `router` decides what is refused.

use crate::api::Capabilities;
use crate::fleet::ModelId;
use crate::policy::Policy;
use crate::policy::profiles::Profile;
use crate::policy::rules::RuleOutcome;
use crate::routing::decision::{Candidate, Ineligible, MODEL_NOT_FOUND, Rejection};
use crate::schema::suggest::quote;

/// The refusal of a request that no candidate can take, by the obstacle of the candidate that came furthest.
#[inline(never)]
pub fn refuse(
    policy: &Policy,
    profile: &Profile,
    pinned: Option<ModelId>,
    bond: Option<(&'static str, Option<u32>)>,
    candidates: &[Candidate],
) -> Rejection {
    let models = match pinned.and_then(|id| policy.registry.model(id)) {
        Some(model) => format!("the model {}", quote(&model.name)),
        None => "every model".to_owned(),
    };
    let obstacles = || {
        candidates
            .iter()
            .filter_map(|candidate| candidate.ineligible.as_ref())
    };
    let furthest = obstacles().max_by_key(|obstacle| progress(obstacle));
    match furthest {
        Some(Ineligible::ContextWindow { needed, window }) => reject(
            400,
            "context_length_exceeded",
            format!(
                "the request needs about {needed} tokens; the context window of {models} has at most {window}"
            ),
        ),
        Some(Ineligible::LacksCapability(_)) => lacks_capability(&models, candidates),
        Some(Ineligible::LacksTag(tag)) => reject(
            400,
            "no_eligible_backend",
            format!("no backend that may take the request has the tag `{tag}`"),
        ),
        Some(Ineligible::UnsupportedApi(api)) => reject(
            400,
            "unsupported_api",
            format!("no backend of {models} speaks `{}`", api.name()),
        ),
        Some(Ineligible::NotAllowed | Ineligible::ShareExceeded) => {
            let message = "the policy's rules leave no model for this request".to_owned();
            reject(400, "no_eligible_backend", message)
        }
        Some(Ineligible::ForeignState) => bound(policy, bond, candidates),
        Some(Ineligible::ModelMismatch) | None => {
            reject(404, MODEL_NOT_FOUND, format!("{models} has no backend"))
        }
        Some(limit) => reject(
            400,
            "limits_not_met",
            format!(
                "no backend keeps the limits of the profile {}: {limit}",
                quote(&profile.name)
            ),
        ),
    }
}

/// Names the rules that together leave no candidate, if they do.
#[inline(never)]
pub fn name_rules(policy: &Policy, rule_outcome: &RuleOutcome<'_>, rejection: &mut Rejection) {
    if rejection.code != "no_eligible_backend" || rule_outcome.demanding.len() < 2 {
        return;
    }
    let demands = rule_outcome.demanding.iter().map(|rule| {
        let mut input = quote(&rule.name);
        let models = rule.then.models.iter();
        let models = models.filter_map(|id| policy.registry.model(*id));
        let models = models.map(|model| ("model", model.name.as_str()));
        let tags = rule.then.tags.iter().map(|tag| ("tag", tag.as_str()));
        // If several rules name models, those of the first count.
        let is_first = rule.then.models == rule_outcome.models;
        let all: Vec<String> = models
            .filter(|_| is_first)
            .chain(tags)
            .map(|(what, name)| format!("{what} {}", quote(name)))
            .collect();
        input.push_str(&format!(" ({})", all.join(", ")));
        input
    });
    let demands: Vec<String> = demands.collect();
    rejection.message = format!(
        "no backend that may take the request meets the policy's rules together: {}",
        demands.join(" and ")
    );
}

/// The refusal of a conversation with state that no eligible backend can read.
fn bound(
    policy: &Policy,
    bond: Option<(&'static str, Option<u32>)>,
    candidates: &[Candidate],
) -> Rejection {
    let (what, scope) = bond.unwrap_or(("state", None));
    let registry = &policy.registry;
    let mine = || {
        let ids = candidates
            .iter()
            .map(|candidate| (candidate, registry.backend(candidate.backend)));
        ids.filter_map(|(candidate, backend)| Some((candidate, backend?)))
            .filter(|(_, backend)| Some(backend.state_scope.key) == scope)
    };
    let name = mine()
        .next()
        .map(|(_, backend)| backend.state_scope.name.as_str());
    let why = mine().filter_map(|(candidate, _)| candidate.ineligible.as_ref());
    let why = why.max_by_key(|obstacle| progress(obstacle));
    let message = match (name, why) {
        (Some(name), Some(why)) => format!(
            "the conversation carries {what} that only the state scope {} can read, and no backend of it can take the request: {why}",
            quote(name)
        ),
        _ => format!(
            "the conversation carries {what} that no backend of the policy can read; send it without that, or start a new conversation"
        ),
    };
    reject(400, "foreign_state", message)
}

/// The refusal because of capabilities, naming the fewest that any candidate lacks.
fn lacks_capability(models: &str, candidates: &[Candidate]) -> Rejection {
    let lacking = candidates
        .iter()
        .filter_map(|candidate| match candidate.ineligible {
            Some(Ineligible::LacksCapability(lacking)) => Some(lacking),
            _ => None,
        });
    let least = lacking
        .min_by_key(|lacking| lacking.names().count())
        .unwrap_or(Capabilities::NONE);
    let names: Vec<&str> = least.names().collect();
    let message = format!(
        "{models} lacks what the request needs: {}",
        names.join(", ")
    );
    reject(400, "unsupported_capability", message)
}

/// How far a candidate came before `obstacle`; of two context windows, the larger came further.
fn progress(obstacle: &Ineligible) -> (u8, u32) {
    match obstacle {
        Ineligible::ModelMismatch => (0, 0),
        Ineligible::UnsupportedApi(_) => (1, 0),
        Ineligible::NotAllowed | Ineligible::ShareExceeded => (2, 0),
        Ineligible::LacksTag(_) => (3, 0),
        Ineligible::LacksCapability(_) => (4, 0),
        Ineligible::ContextWindow { window, .. } => (5, *window),
        Ineligible::Down
        | Ineligible::Ramp
        | Ineligible::BelowQuality { .. }
        | Ineligible::OverCost { .. }
        | Ineligible::OverLatency { .. } => (7, 0),
        Ineligible::ForeignState => (8, 0),
    }
}

/// A refusal; some codes imply the wrong field.
pub fn reject(status: u16, code: &'static str, message: String) -> Rejection {
    let param = match code {
        "model_not_found" => Some("model"),
        "context_length_exceeded" => Some("messages"),
        _ => None,
    };
    Rejection {
        status,
        code,
        message,
        param: param.map(str::to_owned),
        rules: Vec::new(),
        candidates: Vec::new(),
    }
}

//! Ties the steps together: request → prompt → classification → decision. Owns the fail-soft ladder.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::classifier::{self, Classification, Classifier, ClassifierError, DOMAIN_COUNT};
use crate::decision::{Bypass, Candidate, Decision, Ineligible, Outcome, Rejection};
use crate::policy::profile::Profile;
use crate::policy::rules::{Facts, rule};
use crate::policy::suggest::quote;
use crate::policy::{OnInvalidRequest, Policy};
use crate::prompt::{Prompt, Turn};
use crate::registry::{Capabilities, ModelId};
use crate::request::{self, Format, InvalidRequest, Request};
use crate::select::{Ask, NoCandidate, Selection, select};
use crate::sensitivity::{self, Sensitivity};

/// The most turns of a conversation that are classified. Of a longer one the first and the last half of this number
/// count, so only there can a hard turn in the middle be missed. Each costs what a request of one turn costs, and the budget
/// for a body of 100 kB is a millisecond.
pub const MAX_TURNS: usize = 8;

/// Routes requests. One per worker.
pub struct Router {
    classifier: Option<Classifier>,
}

/// What a client's `model` stands for.
enum Asked<'p> {
    /// A model: only the backend is chosen, by the default profile.
    Pinned(ModelId, &'p Profile),
    /// A profile, or nothing and so the default profile.
    Open(&'p Profile),
}

impl Router {
    /// A router with the embedded classifier; where that does not load it goes on with features alone, and the error is
    /// returned beside it so that the caller can say so.
    pub fn new() -> (Router, Option<ClassifierError>) {
        match Classifier::embedded() {
            Ok(classifier) => (
                Router {
                    classifier: Some(classifier),
                },
                None,
            ),
            Err(error) => (Router::with_features_only(), Some(error)),
        }
    }

    /// A router that never asks the classifier: the rung of the ladder below it.
    pub fn with_features_only() -> Router {
        Router { classifier: None }
    }

    /// Decides on one request body. `complete` is false where `body` is only the first part of it.
    pub fn route(
        &mut self,
        policy: &Policy,
        format: Format,
        body: &[u8],
        complete: bool,
    ) -> Outcome {
        match request::parse(format, body, complete) {
            Ok(request) => self.decide(policy, &request),
            Err(error) => unreadable(policy, &error),
        }
    }

    /// Decides on a request that has been read.
    pub fn decide(&mut self, policy: &Policy, request: &Request<'_>) -> Outcome {
        self.decide_or_refuse(policy, request).0
    }

    /// Decides on a request that has been read, and gives every candidate with its reason, where it is refused too.
    pub fn explain(&mut self, policy: &Policy, request: &Request<'_>) -> (Outcome, Vec<Candidate>) {
        let (outcome, refused) = self.decide_or_refuse(policy, request);
        match &outcome {
            Outcome::Routed(decision) => {
                let candidates = decision.candidates.clone();
                (outcome, candidates)
            }
            _ => (outcome, refused),
        }
    }

    /// The outcome and, where no candidate could take the request, all of them.
    fn decide_or_refuse(
        &mut self,
        policy: &Policy,
        request: &Request<'_>,
    ) -> (Outcome, Vec<Candidate>) {
        let asked = match find_asked(policy, request) {
            Ok(asked) => asked,
            Err(outcome) => return (outcome, Vec::new()),
        };
        let (pinned, profile) = match asked {
            Asked::Pinned(model, profile) => (Some(model), profile),
            Asked::Open(profile) => (None, profile),
        };
        let prompt = Prompt::of(request);
        let embeds = request.format == Format::OpenAiEmbeddings;
        let classifies = !embeds && (pinned.is_none() || classifies_pinned(policy));
        let classification =
            classifies.then(|| classify_hardest(&prompt, |turn| self.classify_turn(turn)));
        let ruling = rule(
            &policy.rules,
            &Facts {
                classification: classification.as_ref(),
                user: request.user.as_deref(),
                asked: request.model.as_deref().unwrap_or(&policy.default_profile),
                sensitive: find_sensitive(policy, request),
                pinned: pinned.is_some(),
            },
        );
        if let Some(message) = ruling.reject {
            let rejection = reject(403, "rejected_by_policy", message.to_owned());
            return (Outcome::Rejected(rejection), Vec::new());
        }
        let ruled = ruling.profile.and_then(|name| policy.find_profile(name));
        let profile = ruled.unwrap_or(profile);
        let ask = Ask {
            pinned,
            allowed: ruling.models,
            tags: &ruling.tags,
            min_quality: ruling.min_quality,
            needs: request.needs,
            api: request.format.api(),
            input_tokens: prompt.input_tokens,
            window_tokens: prompt.window_tokens,
            max_tokens: request.max_tokens,
            choices: request.choices,
            classification: classification.as_ref(),
        };
        match select(&policy.registry, profile, &ask) {
            Ok(selection) => {
                let mut decision = decided(selection, profile, &prompt, classification);
                decision.rules = ruling.names.iter().map(|name| (*name).to_owned()).collect();
                (Outcome::Routed(Box::new(decision)), Vec::new())
            }
            Err(NoCandidate { candidates }) => {
                let rejection = refuse(policy, profile, pinned, &candidates);
                (Outcome::Rejected(rejection), candidates)
            }
        }
    }

    fn classify_turn(&mut self, turn: &Turn<'_>) -> Classification {
        self.classifier
            .as_mut()
            .and_then(|classifier| classifier.classify(turn).ok())
            .unwrap_or_else(|| classifier::from_features(turn))
    }
}

/// What becomes of a body that cannot be read, as the policy wants it.
pub fn unreadable(policy: &Policy, error: &InvalidRequest) -> Outcome {
    match policy.on_invalid_request {
        OnInvalidRequest::Bypass => Outcome::Bypassed(Bypass::InvalidRequest(error.to_string())),
        OnInvalidRequest::Reject => Outcome::Rejected(reject(400, error.code(), error.to_string())),
    }
}

/// What the conversation demands: that of its hardest turn, by [`Classification::difficulty`]; of two equally hard ones
/// that of the later. A conversation's demand so never falls as it grows, and no subject that it was about is forgotten.
fn classify_hardest(
    prompt: &Prompt<'_>,
    mut classify: impl FnMut(&Turn<'_>) -> Classification,
) -> Classification {
    let count = prompt.turns.len();
    let half = MAX_TURNS / 2;
    let mut hardest: Option<Classification> = None;
    let mut subjects = [0.0; DOMAIN_COUNT];
    for (index, turn) in prompt.turns.iter().enumerate() {
        if index >= half && index + half < count {
            continue;
        }
        let said = classify(turn);
        for (greatest, one) in subjects.iter_mut().zip(&said.domain_probabilities) {
            *greatest = one.max(*greatest);
        }
        let harder = hardest
            .as_ref()
            .is_none_or(|hardest| said.difficulty >= hardest.difficulty);
        if harder {
            hardest = Some(said);
        }
    }
    let nothing = Turn {
        text: Cow::Borrowed(""),
    };
    let hardest = hardest.unwrap_or_else(|| classifier::from_features(&nothing));
    Classification {
        domain_probabilities: subjects,
        ..hardest
    }
}

/// Whether a rule that holds for pinned models too needs the classifier's answer.
fn classifies_pinned(policy: &Policy) -> bool {
    let mut rules = policy.rules.iter();
    rules.any(|rule| rule.then.binds_pinned() && rule.when.asks_classifier())
}

/// What sensitive text the messages hold, whoever wrote them. Looked for only where a rule asks.
fn find_sensitive(policy: &Policy, request: &Request<'_>) -> Sensitivity {
    if policy
        .rules
        .iter()
        .all(|rule| rule.when.sensitive.is_empty())
    {
        return Sensitivity::NONE;
    }
    request
        .messages
        .iter()
        .flat_map(|message| &message.texts)
        .map(|text| sensitivity::find(text))
        .fold(Sensitivity::NONE, Sensitivity::union)
}

/// What `model`, as the client wrote it, stands for.
fn find_asked<'p>(policy: &'p Policy, request: &Request<'_>) -> Result<Asked<'p>, Outcome> {
    let Some(default) = policy.find_profile(&policy.default_profile) else {
        let fault = "the policy lacks its own default profile".to_owned();
        return Err(Outcome::Bypassed(Bypass::RouterFault(fault)));
    };
    let Some(name) = request.model.as_deref() else {
        return Ok(open(policy, request.format, default));
    };
    if let Some(profile) = policy.find_profile(name) {
        return Ok(open(policy, request.format, profile));
    }
    match policy.registry.find_model(name) {
        Some(model) => Ok(Asked::Pinned(model, default)),
        None => Err(Outcome::Rejected(reject(
            404,
            "model_not_found",
            format!(
                "the model {} does not exist; available: {}",
                quote(name),
                available(policy)
            ),
        ))),
    }
}

/// A choice by `profile`. Vectors of different models cannot be compared, so for embeddings every profile means one model:
/// that of the policy's first backend that embeds.
fn open<'p>(policy: &Policy, format: Format, profile: &'p Profile) -> Asked<'p> {
    let mut backends = policy.registry.backends.iter();
    let first = backends.find(|backend| backend.apis.contains(format.api()));
    match first {
        Some(backend) if format == Format::OpenAiEmbeddings => {
            Asked::Pinned(backend.model, profile)
        }
        _ => Asked::Open(profile),
    }
}

/// The names that a client can ask for.
fn available(policy: &Policy) -> String {
    let models = policy.registry.models.iter().map(|model| &model.name);
    let profiles = policy.profiles.iter().map(|profile| &profile.name);
    let names: Vec<&str> = models.chain(profiles).map(String::as_str).collect();
    names.join(", ")
}

fn decided(
    selection: Selection,
    profile: &Profile,
    prompt: &Prompt<'_>,
    classification: Option<Classification>,
) -> Decision {
    Decision {
        backend: selection.chosen.backend,
        model: selection.chosen.model,
        profile: profile.name.clone(),
        rules: Vec::new(),
        reason: selection.reason,
        relaxed: selection.relaxed.iter().map(|limit| limit.name()).collect(),
        estimate: selection.chosen.estimate,
        fallbacks: selection.fallbacks,
        classification,
        input_tokens: prompt.input_tokens,
        candidates: selection.candidates,
    }
}

/// Why nobody can take the request: what the candidate that came furthest failed at.
fn refuse(
    policy: &Policy,
    profile: &Profile,
    pinned: Option<ModelId>,
    candidates: &[Candidate],
) -> Rejection {
    let who = match pinned.and_then(|id| policy.registry.model(id)) {
        Some(model) => format!("the model {}", quote(&model.name)),
        None => "every model".to_owned(),
    };
    let obstacles = || candidates.iter().filter_map(|one| one.ineligible.as_ref());
    let furthest = obstacles().max_by_key(|obstacle| progress(obstacle));
    match furthest {
        Some(Ineligible::ContextWindow { needed, window }) => reject(
            400,
            "context_length_exceeded",
            format!(
                "the request needs about {needed} tokens; the context window of {who} has at most {window}"
            ),
        ),
        Some(Ineligible::OutputTokens { needed, most }) => reject(
            400,
            "invalid_value",
            format!("max_tokens is {needed}; {who} writes at most {most}"),
        ),
        Some(Ineligible::LacksCapability(_)) => lacks_capability(&who, candidates),
        Some(Ineligible::LacksTag(tag)) => reject(
            400,
            "no_eligible_backend",
            format!("no backend that may take the request has the tag `{tag}`"),
        ),
        Some(Ineligible::LacksApi(api)) => reject(
            400,
            "unsupported_api",
            format!("no backend of {who} speaks `{}`", api.name()),
        ),
        Some(Ineligible::NotAllowed) => {
            let message = "the policy's rules leave no model for this request".to_owned();
            reject(400, "no_eligible_backend", message)
        }
        Some(Ineligible::NotTheModel) | None => {
            reject(404, "model_not_found", format!("{who} has no backend"))
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

/// The least that is lacking somewhere.
fn lacks_capability(who: &str, candidates: &[Candidate]) -> Rejection {
    let lacking = candidates.iter().filter_map(|one| match one.ineligible {
        Some(Ineligible::LacksCapability(lacking)) => Some(lacking),
        _ => None,
    });
    let least = lacking
        .min_by_key(|lacking| lacking.names().count())
        .unwrap_or(Capabilities::NONE);
    let names: Vec<&str> = least.names().collect();
    let message = format!("{who} lacks what the request needs: {}", names.join(", "));
    reject(400, "unsupported_capability", message)
}

/// How far a candidate came before `obstacle` stopped it; of two windows the larger is further.
fn progress(obstacle: &Ineligible) -> (u8, u32) {
    match obstacle {
        Ineligible::NotTheModel => (0, 0),
        Ineligible::LacksApi(_) => (1, 0),
        Ineligible::NotAllowed => (2, 0),
        Ineligible::LacksTag(_) => (3, 0),
        Ineligible::LacksCapability(_) => (4, 0),
        Ineligible::ContextWindow { window, .. } => (5, *window),
        Ineligible::OutputTokens { most, .. } => (6, *most),
        Ineligible::BelowQuality { .. }
        | Ineligible::OverCost { .. }
        | Ineligible::OverLatency { .. } => (7, 0),
    }
}

fn reject(status: u16, code: &'static str, message: String) -> Rejection {
    Rejection {
        status,
        code,
        message,
    }
}

//! The properties of a request that rules match, besides its classification. Costly ones are computed only if a rule uses them.

use super::RequestInfo;
use crate::analysis::language::{self, Language};
use crate::analysis::prompt::Prompt;
use crate::analysis::sensitivity::{self, Sensitivity};
use crate::api::request::{Request, Role};
use crate::policy::draw::hash;
use crate::policy::request_attributes::RequestAttributes;
use crate::policy::rules::{Rule, RuleInput};
use crate::policy::{OnUnknownModel, Policy};

fn asks(policy: &Policy, asks: impl Fn(&Rule) -> bool) -> bool {
    policy.rules.iter().any(asks)
}

/// Collects the properties; the caller fills in the classification and whether the model is pinned.
#[inline(never)]
pub fn collect<'a>(
    policy: &'a Policy,
    request: &'a Request<'_>,
    prompt: &'a Prompt<'_>,
    info: &RequestInfo<'a>,
) -> RuleInput<'a> {
    let attributes = info.attributes;
    RuleInput {
        classification: None,
        user: request.user.as_deref(),
        other_users: &request.other_users,
        other_asked: &request.other_models,
        asides: &request.asides,
        asked: find_asked(policy, request, attributes),
        sensitive: find_sensitive(policy, request),
        pinned: false,
        attributes,
        words: &policy.words,
        turns: &prompt.turns,
        language: find_language(policy, prompt),
        conversation: match info.recorded {
            Some(recorded) => recorded.conversation(),
            None => find_conversation(policy, request),
        },
    }
}

/// The policy's own name of the requested model or profile, however the client writes it; the client's name if the policy has
/// none.
fn find_asked<'a>(
    policy: &'a Policy,
    request: &'a Request<'_>,
    attributes: &'a RequestAttributes,
) -> &'a str {
    let Some(name) = super::requested_model::name(request, attributes) else {
        return &policy.default_profile;
    };
    match policy.resolve_name(name) {
        Some(own) => own,
        None if policy.on_unknown_model == OnUnknownModel::DefaultProfile => {
            &policy.default_profile
        }
        None => name,
    }
}

/// The kinds of sensitive text in all that a model would read, as far as rules match them. The parts of a message are read as
/// one text.
fn find_sensitive(policy: &Policy, request: &Request<'_>) -> Sensitivity {
    let rules = policy.rules.iter().map(|rule| rule.when.sensitive);
    let wanted = rules.fold(Sensitivity::NONE, Sensitivity::union);
    let mut found = Sensitivity::NONE;
    for message in request.messages.iter().chain(&request.asides) {
        if found.contains(wanted) {
            return found;
        }
        let parts = message.texts.iter().map(AsRef::as_ref);
        found = found.union(sensitivity::find_in_parts(parts));
    }
    for text in request.raw_texts() {
        if found.contains(wanted) {
            return found;
        }
        found = found.union(sensitivity::find(&text));
    }
    found
}

/// The most turns whose language is tried, from the last one: a conversation has no bound.
const TURNS_WITH_LANGUAGE: usize = 16;

/// The language of the last user turn that has a clear one.
fn find_language(policy: &Policy, prompt: &Prompt<'_>) -> Option<Language> {
    if !asks(policy, |rule| !rule.when.languages.is_empty()) {
        return None;
    }
    let mut turns = prompt.turns.iter().rev().take(TURNS_WITH_LANGUAGE);
    turns.find_map(|turn| language::find(&turn.text))
}

/// A hash of the conversation up to its first user message: it stays as the conversation grows.
fn find_conversation(policy: &Policy, request: &Request<'_>) -> u64 {
    let draws = policy.traffic.exploration_rate > 0.0 || policy.has_ramps();
    if !draws && !asks(policy, |rule| rule.when.asks_conversation()) {
        return 0;
    }
    let messages = &request.messages;
    let first = messages
        .iter()
        .position(|message| message.role == Role::User);
    let begin = messages.iter().take(first.map_or(1, |index| index + 1));
    hash(begin.flat_map(|message| &message.texts).map(AsRef::as_ref))
}

//! Rules: conditions on a request and their consequences. Fields, compilation, and evaluation for one request.
//!
//! Every rule that matches applies. If two contradict, the earlier one counts: for the models, the profile and the refusal. Tags
//! add up, and of several floors the highest counts.

pub(crate) mod conditions;
pub(crate) mod lint;
mod marks;
pub mod share;
pub(crate) mod then;
pub mod unrecorded;
pub(crate) mod when;
pub mod words;

use std::cell::OnceCell;

use crate::analysis::sensitivity::Sensitivity;
use crate::fleet::ModelId;
use crate::policy::rules::share::compile_share;
use crate::policy::rules::then::{Known, THEN, compile_then};
use crate::policy::rules::when::{WHEN, compile_when};
use crate::policy::rules::words::WordMatcher;
use crate::schema::document::Node;
use crate::schema::problems::Problems;
use crate::schema::shape::{Kind, Shape, optional, required};

pub use conditions::{LEAST_DOMAIN, RuleInput, When};
pub use then::{Preference, Then};

/// A rule of a policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its name in headers, logs and metrics.
    pub name: String,
    /// Its conditions.
    pub when: When,
    /// Its consequences.
    pub then: Then,
}

/// The combined consequences of the rules that match a request.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RuleOutcome<'p> {
    /// Only these models may answer, if not empty.
    pub models: &'p [ModelId],
    /// Tags that a backend must have.
    pub tags: Vec<&'p str>,
    /// Preferences, in the order of the rules.
    pub prefers: Vec<&'p Preference>,
    /// The rules that leave only some backends: each demands tags, or is the one whose models count.
    pub demanding: Vec<&'p Rule>,
    /// The minimum probability of a correct answer.
    pub min_quality: Option<f32>,
    /// Name of the profile that is used instead of the one asked for.
    pub profile: Option<&'p str>,
    /// The request is refused with this message.
    pub reject: Option<&'p str>,
    /// A rule that looks for sensitive text matches and demands no tags, so nothing says who else may see the prompt.
    pub hides_sensitive: bool,
    /// Names of the rules that apply and change something.
    pub names: Vec<&'p str>,
}

/// One of `rules`.
pub const RULE: Shape = Shape {
    name: "rule",
    doc: "Every rule that matches applies. If two contradict, the earlier one counts; tags add up, and of several floors the highest counts. If a request names a model, only `tags` and `reject` apply.",
    fields: &[
        optional(
            "name",
            Kind::Text,
            "its place, such as `rules[0]`",
            "Its name in headers, logs and metrics.",
        ),
        optional(
            "when",
            Kind::Object(&WHEN),
            "every request matches",
            "The conditions.",
        ),
        required("then", Kind::Object(&THEN), "The consequences."),
    ],
};

/// The rules, and the words of all of them in one automaton.
pub(crate) fn compile_rules(
    root: &Node,
    known: &Known<'_>,
    problems: &mut Problems<'_>,
) -> (Vec<Rule>, WordMatcher) {
    let mut rules: Vec<Rule> = root
        .items_of("rules")
        .iter()
        .enumerate()
        .map(|(index, node)| {
            let name = node
                .text_of("name")
                .map_or_else(|| format!("rules[{index}]"), str::to_owned);
            Rule {
                when: node.get("when").map_or_else(When::default, |when| {
                    let path = format!("rules[{index}].when");
                    let mut compiled = compile_when(when, &path, known, problems);
                    compiled.share = compile_share(&name, when, &path, problems);
                    compiled
                }),
                then: node.get("then").map_or_else(Then::default, |then| {
                    compile_then(then, &format!("rules[{index}].then"), known, problems)
                }),
                name,
            }
        })
        .collect();
    let (words, ids) = WordMatcher::compile(rules.iter().map(|rule| rule.when.words.as_slice()));
    for (rule, ids) in rules.iter_mut().zip(ids) {
        rule.when.word_ids = ids;
    }
    (rules, words)
}

/// Combines the consequences of all rules that match a request.
pub fn evaluate_rules<'p>(rules: &'p [Rule], facts: &RuleInput<'_>) -> RuleOutcome<'p> {
    let mut outcome = RuleOutcome::default();
    let words = OnceCell::new();
    for rule in rules.iter().filter(|rule| rule.when.holds(facts, &words)) {
        let then = &rule.then;
        outcome.hides_sensitive |= rule.when.sensitive != Sensitivity::NONE && then.tags.is_empty();
        let mut counts = !then.tags.is_empty();
        outcome.tags.extend(then.tags.iter().map(String::as_str));
        if let (None, Some(message)) = (outcome.reject, &then.reject) {
            outcome.reject = Some(message);
            counts = true;
        }
        let (before, tagged) = (outcome.models.len(), !then.tags.is_empty());
        if !facts.pinned {
            counts |= apply_to_choice(then, &mut outcome);
        }
        if tagged || outcome.models.len() > before {
            outcome.demanding.push(rule);
        }
        if counts {
            outcome.names.push(&rule.name);
        }
    }
    outcome
}

/// Applies what only an open choice feels; tells whether it changes something.
fn apply_to_choice<'p>(then: &'p Then, outcome: &mut RuleOutcome<'p>) -> bool {
    let mut counts = false;
    if outcome.models.is_empty() && !then.models.is_empty() {
        outcome.models = &then.models;
        counts = true;
    }
    if let Some(preference) = &then.prefer {
        outcome.prefers.push(preference);
        counts = true;
    }
    if let (None, Some(profile)) = (outcome.profile, &then.profile) {
        outcome.profile = Some(profile);
        counts = true;
    }
    if let Some(floor) = then.min_quality
        && outcome.min_quality.is_none_or(|highest| floor > highest)
    {
        outcome.min_quality = Some(floor);
        counts = true;
    }
    counts
}

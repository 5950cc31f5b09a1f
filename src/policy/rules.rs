//! Rules: when a request is such, then it goes so. Data, and which rules apply to a request.
//!
//! Every rule that matches applies. Where two say different things the earlier one counts: for the models, the profile and
//! the refusal. Tags add up, and of several floors the highest counts.

use crate::classifier::{Classification, Domain, Task};
use crate::registry::ModelId;
use crate::sensitivity::Sensitivity;

/// A rule of a policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its name in headers, logs and metrics.
    pub name: String,
    /// When it applies.
    pub when: When,
    /// What holds then.
    pub then: Then,
}

/// Conditions; all that are stated must hold.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct When {
    /// The task is one of these, if not empty.
    pub tasks: Vec<Task>,
    /// The domain is one of these, if not empty.
    pub domains: Vec<Domain>,
    /// The least probability that the task and the domain must have for their conditions to hold.
    pub min_confidence: f32,
    /// The least difficulty, in logits.
    pub min_difficulty: Option<f32>,
    /// The most difficulty, in logits.
    pub max_difficulty: Option<f32>,
    /// The end user is one of these, if not empty.
    pub users: Vec<String>,
    /// The client asked for one of these models or profiles, if not empty.
    pub asked: Vec<String>,
    /// The request holds text of one of these kinds, if not empty.
    pub sensitive: Sensitivity,
}

/// Consequences; those that are not stated change nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Then {
    /// Only these models may answer, if not empty.
    pub models: Vec<ModelId>,
    /// Tags that a backend must have.
    pub tags: Vec<String>,
    /// The least probability of a correct answer.
    pub min_quality: Option<f32>,
    /// Name of the profile that is used.
    pub profile: Option<String>,
    /// The request is refused with this message.
    pub reject: Option<String>,
}

/// What rules look at in a request.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// What the classifier said; `None` where it was not asked.
    pub classification: Option<&'a Classification>,
    /// The end user that the client names.
    pub user: Option<&'a str>,
    /// The model or profile that the client asked for, or the default profile where it named none.
    pub asked: &'a str,
    /// What was found in its text.
    pub sensitive: Sensitivity,
    /// Whether the client pinned a model: then only tags and refusals apply.
    pub pinned: bool,
}

/// What the rules that apply to a request come to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ruling<'p> {
    /// Only these models may answer, if not empty.
    pub models: &'p [ModelId],
    /// Tags that a backend must have.
    pub tags: Vec<&'p str>,
    /// The least probability of a correct answer.
    pub min_quality: Option<f32>,
    /// Name of the profile that is used instead of the one asked for.
    pub profile: Option<&'p str>,
    /// The request is refused with this message.
    pub reject: Option<&'p str>,
    /// Names of the rules that apply and change something.
    pub names: Vec<&'p str>,
}

impl When {
    /// Whether the rule needs the classifier's answer.
    pub fn asks_classifier(&self) -> bool {
        !self.tasks.is_empty()
            || !self.domains.is_empty()
            || self.min_difficulty.is_some()
            || self.max_difficulty.is_some()
    }

    fn holds(&self, facts: &Facts<'_>) -> bool {
        let user_holds = self.users.is_empty()
            || facts
                .user
                .is_some_and(|user| self.users.iter().any(|one| one == user));
        user_holds
            && (self.asked.is_empty() || self.asked.iter().any(|one| one == facts.asked))
            && (self.sensitive.is_empty() || self.sensitive.meets(facts.sensitive))
            && (!self.asks_classifier() || facts.classification.is_some_and(|said| self.fits(said)))
    }

    fn fits(&self, said: &Classification) -> bool {
        let task = self.tasks.is_empty()
            || (self.tasks.contains(&said.task) && said.task_probability >= self.min_confidence);
        let domain = self.domains.is_empty()
            || (self.domains.contains(&said.domain)
                && said.domain_probability >= self.min_confidence);
        task && domain
            && self
                .min_difficulty
                .is_none_or(|least| said.difficulty >= least)
            && self
                .max_difficulty
                .is_none_or(|most| said.difficulty <= most)
    }

    /// Whether this holds whenever `other` does.
    pub fn covers(&self, other: &When) -> bool {
        fn within<T: PartialEq>(wide: &[T], narrow: &[T]) -> bool {
            wide.is_empty() || (!narrow.is_empty() && narrow.iter().all(|one| wide.contains(one)))
        }
        let labels = within(&self.tasks, &other.tasks) && within(&self.domains, &other.domains);
        let unsure = self.tasks.is_empty() && self.domains.is_empty();
        let least = |one: &When| one.min_difficulty.unwrap_or(f32::NEG_INFINITY);
        let most = |one: &When| one.max_difficulty.unwrap_or(f32::INFINITY);
        labels
            && (unsure || self.min_confidence <= other.min_confidence)
            && least(self) <= least(other)
            && most(self) >= most(other)
            && within(&self.users, &other.users)
            && within(&self.asked, &other.asked)
            && (self.sensitive.is_empty()
                || (!other.sensitive.is_empty()
                    && self.sensitive.union(other.sensitive) == self.sensitive))
    }
}

impl Then {
    /// Whether it says anything that holds for a pinned model too.
    pub fn binds_pinned(&self) -> bool {
        !self.tags.is_empty() || self.reject.is_some()
    }
}

/// What `rules` come to for a request.
pub fn rule<'p>(rules: &'p [Rule], facts: &Facts<'_>) -> Ruling<'p> {
    let mut ruling = Ruling::default();
    for rule in rules.iter().filter(|rule| rule.when.holds(facts)) {
        let then = &rule.then;
        let mut counts = !then.tags.is_empty();
        ruling.tags.extend(then.tags.iter().map(String::as_str));
        if let (None, Some(message)) = (ruling.reject, &then.reject) {
            ruling.reject = Some(message);
            counts = true;
        }
        if !facts.pinned {
            counts |= apply_to_choice(then, &mut ruling);
        }
        if counts {
            ruling.names.push(&rule.name);
        }
    }
    ruling
}

/// Applies what only an open choice feels; tells whether it changes something.
fn apply_to_choice<'p>(then: &'p Then, ruling: &mut Ruling<'p>) -> bool {
    let mut counts = false;
    if ruling.models.is_empty() && !then.models.is_empty() {
        ruling.models = &then.models;
        counts = true;
    }
    if let (None, Some(profile)) = (ruling.profile, &then.profile) {
        ruling.profile = Some(profile);
        counts = true;
    }
    if let Some(floor) = then.min_quality
        && ruling.min_quality.is_none_or(|highest| floor > highest)
    {
        ruling.min_quality = Some(floor);
        counts = true;
    }
    counts
}

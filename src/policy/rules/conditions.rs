//! Compiled conditions of a rule, and whether a request meets them.

use std::borrow::Cow;
use std::cell::OnceCell;

use crate::analysis::classifier::{Classification, Domain, Task};
use crate::analysis::language::Language;
use crate::analysis::prompt::Turn;
use crate::analysis::sensitivity::Sensitivity;
use crate::api::request::{Message, Role};
use crate::policy::pattern::Pattern;
use crate::policy::request_attributes::RequestAttributes;
use crate::policy::rules::share::{Share, ShareUnit};
use crate::policy::rules::words::{FoundWords, WordMatcher};

/// Conditions; all that are stated must hold.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct When {
    /// The task is one of these, if not empty.
    pub tasks: Vec<Task>,
    /// The domain is probably one of these, if not empty.
    pub domains: Vec<Domain>,
    /// The least probability that the task must have; see [`When::least_domain`] for the domain.
    pub min_confidence: Option<f32>,
    /// The least difficulty, in logits.
    pub min_difficulty: Option<f32>,
    /// The maximum difficulty, in logits.
    pub max_difficulty: Option<f32>,
    /// The end user is one of these, if not empty.
    pub users: Vec<Pattern>,
    /// The client asked for one of these models or profiles, if not empty.
    pub asked: Vec<String>,
    /// The request holds text of one of these kinds, if not empty.
    pub sensitive: Sensitivity,
    /// The tenant is one of these, if not empty.
    pub tenants: Vec<Pattern>,
    /// Each of these headers is such, by its lower-case name.
    pub headers: Vec<(String, Vec<Pattern>)>,
    /// The path is such, if not empty.
    pub paths: Vec<Pattern>,
    /// The user's turns hold one of these words, if not empty; lower case.
    pub words: Vec<Pattern>,
    /// The numbers of `words` in the policy's [`WordMatcher`].
    pub word_ids: Vec<u32>,
    /// The last user turn whose language can be told is in one of these, if not empty.
    pub languages: Vec<Language>,
    /// The request is in this part of the traffic.
    pub share: Option<Share>,
}

/// The properties of a request that rules look at.
#[derive(Debug, Clone, Copy)]
pub struct RuleInput<'a> {
    /// The classifier's output; `None` if it was not run.
    pub classification: Option<&'a Classification>,
    /// The end user that the client names.
    pub user: Option<&'a str>,
    /// Other end users that it names: a rule for one of them holds too.
    pub other_users: &'a [Cow<'a, str>],
    /// The model or profile that the client asked for, or the default profile if it named none.
    pub asked: &'a str,
    /// Other models or profiles that it names: a rule for one of them holds too.
    pub other_asked: &'a [Cow<'a, str>],
    /// Kinds of sensitive text in the request.
    pub sensitive: Sensitivity,
    /// Whether the client pinned a model: then only tags and refusals apply.
    pub pinned: bool,
    /// Path, headers, tenant and preferences.
    pub attributes: &'a RequestAttributes,
    /// The words that rules look for.
    pub words: &'a WordMatcher,
    /// The user's turns.
    pub turns: &'a [Turn<'a>],
    /// Texts that stand elsewhere in the body; see [`Request::asides`](crate::api::request::Request::asides).
    pub asides: &'a [Message<'a>],
    /// The language of its last turn; `None` if it cannot be told, or no rule asks.
    pub language: Option<Language>,
    /// A hash of how the conversation begins; 0 if no rule asks.
    pub conversation: u64,
}

/// How probable one of a rule's domains must be if the rule does not say: what is at stake is seldom the most probable
/// one. Chosen for recall: a question about a drug's interactions is as much science as medicine.
pub const LEAST_DOMAIN: f32 = 0.2;

impl RuleInput<'_> {
    /// The words of rules that users say, in their turns or elsewhere in the body.
    fn find_words(&self) -> FoundWords {
        let users = self
            .asides
            .iter()
            .filter(|message| message.role == Role::User);
        let asides = users.flat_map(|message| &message.texts).map(AsRef::as_ref);
        let turns = self.turns.iter().map(|turn| turn.text.as_ref());
        self.words.find(turns.chain(asides))
    }
}

impl When {
    /// The least probability, together, of the domains of a rule.
    pub fn least_domain(&self) -> f32 {
        self.min_confidence.unwrap_or(LEAST_DOMAIN)
    }

    /// Whether it takes how the conversation begins.
    pub fn asks_conversation(&self) -> bool {
        let by = self.share.as_ref().map_or(&[][..], |share| &share.by);
        by.contains(&ShareUnit::Conversation)
    }

    /// Whether the rule needs the classifier's answer.
    pub fn asks_classifier(&self) -> bool {
        !self.tasks.is_empty()
            || !self.domains.is_empty()
            || self.min_difficulty.is_some()
            || self.max_difficulty.is_some()
    }

    pub(crate) fn holds(&self, input: &RuleInput<'_>, words: &OnceCell<FoundWords>) -> bool {
        fn one_of(list: &[String], text: Option<&str>, others: &[Cow<'_, str>]) -> bool {
            let others = others.iter().map(AsRef::as_ref);
            list.is_empty()
                || text
                    .into_iter()
                    .chain(others)
                    .any(|text| list.iter().any(|known| known == text))
        }
        let others = input.other_users.iter().map(AsRef::as_ref);
        let mut users = input.user.into_iter().chain(others);
        (self.users.is_empty() || users.any(|user| self.users.iter().any(|pattern| pattern.matches(user))))
            && one_of(&self.asked, Some(input.asked), input.other_asked)
            && self.fits_tenant(input.attributes)
            && (self.sensitive.is_empty() || self.sensitive.meets(input.sensitive))
            && self.fits_path_and_headers(input.attributes)
            && (self.languages.is_empty()
                || input
                    .language
                    .is_some_and(|language| self.languages.contains(&language)))
            && self
                .share
                .as_ref()
                .is_none_or(|share| share.holds(input.user, input.attributes, input.conversation))
            && (!self.asks_classifier() || input.classification.is_some_and(|classification| self.fits(classification)))
            // The turns are read last, once for all rules, and not at all if no rule comes to this.
            && (self.words.is_empty()
                || words
                    .get_or_init(|| input.find_words())
                    .has_any(&self.word_ids))
    }

    /// Whether the conditions on everything but the body hold; the whole answer only if [`When::asks_body`] is false.
    pub fn holds_without_body(&self, attributes: &RequestAttributes) -> bool {
        let share = self.share.as_ref();
        self.fits_tenant(attributes)
            && self.fits_path_and_headers(attributes)
            && share.is_none_or(|share| share.holds(None, attributes, 0))
    }

    /// Whether it takes something of the body to tell whether it holds.
    pub fn asks_body(&self) -> bool {
        let by = self.share.as_ref().map_or(&[][..], |share| &share.by);
        self.asks_classifier()
            || !self.users.is_empty()
            || !self.asked.is_empty()
            || !self.sensitive.is_empty()
            || !self.words.is_empty()
            || !self.languages.is_empty()
            || by.iter().any(|by| *by != ShareUnit::Tenant)
    }

    /// Whether one of the readings of the tenant is meant.
    fn fits_tenant(&self, attributes: &RequestAttributes) -> bool {
        self.tenants.is_empty()
            || attributes
                .tenants()
                .any(|tenant| self.tenants.iter().any(|pattern| pattern.matches(tenant)))
    }

    fn fits_path_and_headers(&self, attributes: &RequestAttributes) -> bool {
        let matches =
            |patterns: &[Pattern], text: &str| patterns.iter().any(|pattern| pattern.matches(text));
        let headers = self.headers.iter().all(|(name, patterns)| {
            attributes
                .header_readings(name)
                .any(|value| matches(patterns, value))
        });
        let paths = [attributes.path.as_str(), attributes.api_path];
        headers && (self.paths.is_empty() || paths.iter().any(|path| matches(&self.paths, path)))
    }

    fn fits(&self, classification: &Classification) -> bool {
        let task = self.tasks.is_empty()
            || (self.tasks.contains(&classification.task)
                && classification.task_probability >= self.min_confidence.unwrap_or_default());
        task && (self.domains.is_empty() || self.fits_domain(classification))
            && self
                .min_difficulty
                .is_none_or(|least| classification.difficulty >= least)
            && self
                .max_difficulty
                .is_none_or(|most| classification.difficulty <= most)
    }

    /// Whether the prompt is probably enough about one of the domains.
    fn fits_domain(&self, classification: &Classification) -> bool {
        let known = Domain::ALL.iter().zip(&classification.domain_probabilities);
        let sum: f32 = known
            .filter(|(domain, _)| self.domains.contains(domain))
            .map(|(_, probability)| probability)
            .sum();
        sum >= self.least_domain()
    }

    /// Whether a request can be such that this and `other` hold: `false` only if that is certain.
    pub fn can_meet(&self, other: &When) -> bool {
        fn meet<T: PartialEq>(left: &[T], right: &[T]) -> bool {
            left.is_empty() || right.is_empty() || left.iter().any(|item| right.contains(item))
        }
        let least = |when: &When| when.min_difficulty.unwrap_or(f32::NEG_INFINITY);
        let most = |when: &When| when.max_difficulty.unwrap_or(f32::INFINITY);
        meet(&self.tasks, &other.tasks)
            && meet(&self.users, &other.users)
            && meet(&self.asked, &other.asked)
            && meet(&self.tenants, &other.tenants)
            && meet(&self.languages, &other.languages)
            && least(self) <= most(other)
            && least(other) <= most(self)
    }

    /// Whether this holds whenever `other` does.
    pub fn covers(&self, other: &When) -> bool {
        fn within<T: PartialEq>(wide: &[T], narrow: &[T]) -> bool {
            wide.is_empty() || (!narrow.is_empty() && narrow.iter().all(|item| wide.contains(item)))
        }
        let labels = within(&self.tasks, &other.tasks) && within(&self.domains, &other.domains);
        let task = |when: &When| when.min_confidence.unwrap_or_default();
        let sure = (self.tasks.is_empty() || task(self) <= task(other))
            && (self.domains.is_empty() || self.least_domain() <= other.least_domain());
        let least = |when: &When| when.min_difficulty.unwrap_or(f32::NEG_INFINITY);
        let most = |when: &When| when.max_difficulty.unwrap_or(f32::INFINITY);
        labels
            && sure
            && least(self) <= least(other)
            && most(self) >= most(other)
            && (self.users.is_empty() || all_covered(&self.users, &other.users))
            && within(&self.asked, &other.asked)
            && (self.tenants.is_empty() || all_covered(&self.tenants, &other.tenants))
            && within(&self.languages, &other.languages)
            && self.share.as_ref().is_none_or(|own| {
                own.share >= 1.0
                    || other.share.as_ref().is_some_and(|narrow| {
                        (own.salt, &own.by) == (narrow.salt, &narrow.by)
                            && own.share >= narrow.share
                    })
            })
            && (self.words.is_empty() || all_covered(&self.words, &other.words))
            && (self.paths.is_empty() || all_covered(&self.paths, &other.paths))
            && self.headers.iter().all(|(name, wide)| {
                let mut narrow = other.headers.iter().filter(|(own, _)| own == name);
                narrow.any(|(_, narrow)| all_covered(wide, narrow))
            })
            && (self.sensitive.is_empty()
                || (!other.sensitive.is_empty()
                    && self.sensitive.union(other.sensitive) == self.sensitive))
    }
}

/// Whether each of `narrow`, of which there is at least one, is covered by one of `wide`.
fn all_covered(wide: &[Pattern], narrow: &[Pattern]) -> bool {
    let covered = |specific: &Pattern| wide.iter().any(|pattern| pattern.covers(specific));
    !narrow.is_empty() && narrow.iter().all(covered)
}

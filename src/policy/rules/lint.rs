//! Warnings about rules: conditions that hold never or too seldom, consequences that never count, and hard prompts sent to weak models.

use crate::analysis::classifier::domain_rules::DomainRule;
use crate::fleet::{Backend, Model, Registry};
use crate::policy::profiles::Profile;
use crate::policy::profiles::limits::Limit;
use crate::policy::rules::Rule;
use crate::policy::rules::then::Then;
use crate::schema::document::Node;
use crate::schema::problems::Problems;
use crate::schema::suggest::quote;

/// The parts of a policy that warnings about its rules look at.
pub(crate) struct RuleSet<'a> {
    /// Models and backends.
    pub registry: &'a Registry,
    /// The profiles.
    pub profiles: &'a [Profile],
    /// The rules.
    pub rules: &'a [Rule],
    /// Whether the policy only reports.
    pub shadow: bool,
}

impl RuleSet<'_> {
    fn find_profile(&self, name: &str) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.name == name)
    }
}

/// Adds every warning about rules.
pub(crate) fn lint_rules(policy: &RuleSet<'_>, root: &Node, warnings: &mut Problems<'_>) {
    lint_shadowing(policy, root, warnings);
    for (index, (rule, node)) in policy.rules.iter().zip(root.items_of("rules")).enumerate() {
        let path = format!("rules[{index}]");
        lint_when(rule, node, &path, warnings);
        lint_then(policy, rule, node, &path, warnings);
    }
}

/// A prompt that is at least so hard is hard: an average model fails at every second one.
const HARD: f32 = 0.0;

/// Adds every warning about rules that an earlier rule makes idle, about pinned models, and about weak ones.
pub(crate) fn lint_shadowing(policy: &RuleSet<'_>, root: &Node, warnings: &mut Problems<'_>) {
    let nodes = root.get("rules").map_or(&[][..], Node::items);
    // Those before that are not refused away.
    let mut counting: Vec<&Rule> = Vec::new();
    for (index, (rule, node)) in policy.rules.iter().zip(nodes).enumerate() {
        let path = format!("rules[{index}]");
        let earlier = || {
            policy
                .rules
                .iter()
                .take(index)
                .filter(|earlier| earlier.when.covers(&rule.when))
        };
        if let Some(first) = earlier().find(|earlier| earlier.then.reject.is_some()) {
            let message = format!(
                "never counts: {} comes first and refuses every such request",
                quote(&first.name)
            );
            warnings.add(node.at, path.as_str(), message);
            continue;
        }
        lint_words(node, &path, warnings);
        let then = node.get("then").unwrap_or(node);
        let earlier: Vec<&Rule> = earlier().collect();
        lint_shadowed(rule, &earlier, then, &path, warnings);
        lint_pinned(policy, rule, then, &path, warnings);
        lint_strength(policy, rule, then, &path, warnings);
        lint_together(policy, rule, &counting, then, &path, warnings);
        counting.push(rule);
    }
}

/// Warns of words in scripts that are written without blanks, where a word seldom stands by itself.
fn lint_words(rule: &Node, path: &str, warnings: &mut Problems<'_>) {
    let words = rule.get("when").and_then(|when| when.get("words"));
    for (index, item) in words.map_or(&[][..], Node::items).iter().enumerate() {
        let Some(word) = item.text() else { continue };
        if word.chars().any(is_without_blanks) {
            let message = format!(
                "{} is rarely found: its script has no spaces between words, and only whole words are found",
                quote(word)
            );
            warnings.add(item.at, format!("{path}.when.words[{index}]"), message);
        }
    }
}

/// Warns of conditions that no request meets.
fn lint_when(rule: &Rule, node: &Node, path: &str, warnings: &mut Problems<'_>) {
    let Some(when) = node.get("when") else {
        return;
    };
    if rule
        .when
        .share
        .as_ref()
        .is_some_and(|share| share.share <= 0.0)
    {
        let at = when.get("share").map_or(when.at, |value| value.at);
        warnings.add(
            at,
            format!("{path}.when.share"),
            "no request is in a share of 0",
        );
    }
    if let Some(node) = when.get("min_confidence")
        && rule.when.tasks.is_empty()
        && rule.when.domains.is_empty()
    {
        let message = "has no effect without `task` or `domain`";
        warnings.add(node.at, format!("{path}.when.min_confidence"), message);
    }
    lint_domains(rule, when, path, warnings);
    let paths = when.get("path").map_or(&[][..], Node::items);
    for (index, item) in paths.iter().enumerate() {
        let text = item.text().unwrap_or_default();
        if !text.starts_with(['/', '*']) {
            let message = format!("{} matches no path: paths begin with `/`", quote(text));
            warnings.add(item.at, format!("{path}.when.path[{index}]"), message);
        }
    }
}

/// The share of the prompts of its domains that a rule should find.
const LEAST_RECALL: f32 = 0.9;

/// Warns of a confidence at which a rule misses too many prompts of its domains, with what was measured on validation.
fn lint_domains(rule: &Rule, when: &Node, path: &str, warnings: &mut Problems<'_>) {
    let Some(measured) = DomainRule::of(&rule.when.domains) else {
        return;
    };
    let stated = rule.when.least_domain();
    if let Some(found) = measured.at(stated)
        && found.recall < LEAST_RECALL
        && let Some(enough) = measured.reaching(LEAST_RECALL)
    {
        let names: Vec<&str> = rule
            .when
            .domains
            .iter()
            .map(|domain| domain.name())
            .collect();
        let named = names.join(" or ");
        let message = format!(
            "finds {:.2} of {named} prompts at a confidence of {stated}, and {:.2} of what it holds is {named}; \
             {LEAST_RECALL} needs `min_confidence` {} ({:.2} {named})",
            found.recall, found.precision, enough.confidence, enough.precision
        );
        let field = match when.get("min_confidence") {
            Some(_) => "min_confidence",
            None => "domain",
        };
        let at = when.get(field).map_or(when.at, |node| node.at);
        warnings.add(at, format!("{path}.when.{field}"), message);
    }
}

/// Warns of consequences that no backend can meet.
fn lint_then(
    policy: &RuleSet<'_>,
    rule: &Rule,
    node: &Node,
    path: &str,
    warnings: &mut Problems<'_>,
) {
    let Some(then) = node.get("then") else {
        return;
    };
    let named = rule.then.profile.as_deref();
    let profile = named.and_then(|name| policy.find_profile(name));
    let required = profile.map_or(&[][..], |profile| &profile.tags);
    let serves = |backend: &Backend| {
        required.iter().all(|tag| backend.tags.contains(tag))
            && (rule.then.models.is_empty() || rule.then.models.contains(&backend.model))
            && rule.then.tags.iter().all(|tag| backend.tags.contains(tag))
    };
    let states = !rule.then.models.is_empty() || !rule.then.tags.is_empty();
    if let (Some(floor), Some(node)) = (rule.then.min_quality, then.get("min_quality"))
        && floor >= 1.0
    {
        let message = "no model can keep it: it gives way in every request, or none is served";
        warnings.add(node.at, format!("{path}.then.min_quality"), message);
    }
    if states && rule.then.reject.is_none() && !policy.registry.backends.iter().any(serves) {
        let message = "no backend meets all consequences: every matching request is refused";
        warnings.add(then.at, format!("{path}.then"), message);
    }
}

/// Warns if no backend meets this rule and an earlier one that can match the same request: both never give way, so that
/// such requests are refused for ever. (That nobody meets this one alone is another warning.)
fn lint_together(
    policy: &RuleSet<'_>,
    rule: &Rule,
    before: &[&Rule],
    then: &Node,
    path: &str,
    warnings: &mut Problems<'_>,
) {
    let demands =
        |candidate: &Rule| candidate.then.reject.is_none() && is_possible(policy, &[candidate]);
    if !demands(rule) {
        return;
    }
    for earlier in before.iter().filter(|candidate| demands(candidate)) {
        if earlier.when.can_meet(&rule.when) && !is_possible(policy, &[earlier, rule]) {
            let message = format!(
                "contradicts {}: no backend meets both, so that requests that match both are refused; \
                 use `prefer` for what may give way",
                quote(&earlier.name)
            );
            warnings.add(then.at, format!("{path}.then"), message);
        }
    }
}

/// Whether a letter is of a script without blanks: Thai, Lao, Burmese, Khmer, Japanese, Chinese.
const fn is_without_blanks(letter: char) -> bool {
    matches!(
        letter,
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}'
            | '\u{3400}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}'
    )
}

/// Whether any backend is what these rules demand; the models and the profile of the first that has some count.
fn is_possible(policy: &RuleSet<'_>, rules: &[&Rule]) -> bool {
    let mut models = rules.iter().map(|rule| &rule.then.models);
    let models = models.find(|models| !models.is_empty());
    let profile = rules.iter().find_map(|rule| rule.then.profile.as_deref());
    let profile = profile.and_then(|name| policy.find_profile(name));
    let tags = rules.iter().map(|rule| &rule.then.tags);
    let tags: Vec<&String> = tags
        .chain(profile.map(|profile| &profile.tags))
        .flatten()
        .collect();
    policy.registry.backends.iter().any(|backend| {
        models.is_none_or(|models| models.contains(&backend.model))
            && tags.iter().all(|tag| backend.tags.contains(tag))
    })
}

/// Warns of consequences that one of `earlier`, which match whenever `rule` does, takes away.
fn lint_shadowed(
    rule: &Rule,
    earlier: &[&Rule],
    then: &Node,
    path: &str,
    warnings: &mut Problems<'_>,
) {
    let first = |takes: &dyn Fn(&Then) -> bool| earlier.iter().find(|rule| takes(&rule.then));
    let own = &rule.then;
    let floor = |then: &Then| {
        then.min_quality
            .is_some_and(|floor| own.min_quality <= Some(floor))
    };
    let tags = |then: &Then| own.tags.iter().all(|tag| then.tags.contains(tag));
    let matches = "comes first and matches whenever this rule does";
    for (field, stated, takes, why) in [
        (
            "models",
            !own.models.is_empty(),
            &(|then: &Then| !then.models.is_empty()) as &dyn Fn(&Then) -> bool,
            matches,
        ),
        (
            "profile",
            own.profile.is_some(),
            &|then| then.profile.is_some(),
            matches,
        ),
        (
            "min_quality",
            own.min_quality.is_some(),
            &floor,
            "has no lower floor and matches whenever this rule does",
        ),
        (
            "tags",
            !own.tags.is_empty(),
            &tags,
            "requires them too and matches whenever this rule does",
        ),
    ] {
        if let Some(by) = first(takes).filter(|_| stated) {
            let message = format!("never counts: {} {why}", quote(&by.name));
            let at = then.get(field).map_or(then.at, |value| value.at);
            warnings.add(at, format!("{path}.then.{field}"), message);
        }
    }
}

/// Warns of consequences for an open choice in a rule for those who leave none.
fn lint_pinned(
    policy: &RuleSet<'_>,
    rule: &Rule,
    then: &Node,
    path: &str,
    warnings: &mut Problems<'_>,
) {
    let asked = &rule.when.asked;
    let pins = |name: &String| policy.find_profile(name).is_none();
    if asked.is_empty() || policy.shadow || !asked.iter().all(pins) {
        return;
    }
    for field in ["models", "min_quality", "profile"] {
        if let Some(value) = then.get(field) {
            let message = "never counts: a client that names a model gets that model; only `tags` and `reject` apply then";
            warnings.add(value.at, format!("{path}.then.{field}"), message);
        }
    }
}

/// Warns if a rule for hard prompts leaves only models that another one beats, or a profile to which it is
/// all the same how good they are.
fn lint_strength(
    policy: &RuleSet<'_>,
    rule: &Rule,
    then: &Node,
    path: &str,
    warnings: &mut Problems<'_>,
) {
    if rule.when.min_difficulty.is_none_or(|least| least < HARD) {
        return;
    }
    let registry = policy.registry;
    let allowed: Vec<&Model> = rule
        .then
        .models
        .iter()
        .filter_map(|id| registry.model(*id))
        .collect();
    let beats_all = |other: &&Model| {
        allowed.iter().all(|model| {
            let skills = other.ability.skills.iter().zip(&model.ability.skills);
            // Scores need not tell of every skill: in some all models may be alike.
            skills.clone().all(|(left, right)| left >= right)
                && skills.clone().any(|(left, right)| left > right)
        })
    };
    if let Some(stronger) = registry.models.iter().find(beats_all)
        && !allowed.is_empty()
    {
        let message = format!(
            "sends hard prompts to weak models: {} is stronger, and weaker in no skill",
            quote(&stronger.name)
        );
        let at = then.get("models").map_or(then.at, |value| value.at);
        warnings.add(at, format!("{path}.then.models"), message);
    }
    let named = rule.then.profile.as_deref();
    let profile = named.and_then(|name| policy.find_profile(name));
    if let Some(profile) = profile.filter(|profile| is_blind(profile))
        && allowed.is_empty()
        && rule.then.min_quality.is_none()
    {
        let message = format!(
            "sends hard prompts to weak models: {} neither weighs quality nor limits it",
            quote(&profile.name)
        );
        let at = then.get("profile").map_or(then.at, |value| value.at);
        warnings.add(at, format!("{path}.then.profile"), message);
    }
}

/// Whether it is all the same to a profile how good a model is.
fn is_blind(profile: &Profile) -> bool {
    let limited = [Limit::MaxQualityLoss, Limit::MinQuality];
    profile.weights.quality <= 0.0
        && limited
            .iter()
            .all(|limit| profile.limits.get(*limit).is_none())
}

//! Rules that look at something that no receipt keeps: headers, paths, words, sensitive text. Whether such a rule held for a request
//! cannot be told from its receipt, but often that it did not.

use super::{Rule, RuleInput, When};
use std::cell::OnceCell;

/// A rule with conditions that a receipt cannot decide.
#[derive(Debug, Clone)]
pub struct UnrecordedRule<'p> {
    /// The rule.
    pub rule: &'p Rule,
    /// The names of these conditions, as policies write them.
    pub conditions: Vec<&'static str>,
    /// The other conditions, if the tenant is known.
    rest: When,
    /// The other conditions, if only a hash of the tenant is known: then no pattern of tenants can be told either.
    rest_without_tenant: When,
}

impl<'p> UnrecordedRule<'p> {
    /// The rule as one that a receipt cannot decide; `None` if it always can.
    pub fn new(rule: &'p Rule) -> Option<UnrecordedRule<'p>> {
        let when = &rule.when;
        let mut patterns = when.tenants.iter();
        // A bare `*` is any tenant.
        let has_patterns =
            patterns.any(|pattern| pattern.is_prefix() && !pattern.text().is_empty());
        let all = [
            ("user", !when.users.is_empty()),
            ("sensitive", !when.sensitive.is_empty()),
            ("tenant", has_patterns),
            ("headers", !when.headers.is_empty()),
            ("path", !when.paths.is_empty()),
            ("words", !when.words.is_empty()),
            ("language", !when.languages.is_empty()),
        ];
        let stated = all.iter().filter(|(_, is_stated)| *is_stated);
        let conditions: Vec<&'static str> = stated.map(|(name, _)| *name).collect();
        if conditions.is_empty() {
            return None;
        }
        let rest = When {
            users: Vec::new(),
            sensitive: Default::default(),
            headers: Vec::new(),
            paths: Vec::new(),
            words: Vec::new(),
            word_ids: Vec::new(),
            languages: Vec::new(),
            ..when.clone()
        };
        let mut rest_without_tenant = rest.clone();
        if has_patterns {
            rest_without_tenant.tenants.clear();
        }
        Some(UnrecordedRule {
            rule,
            conditions,
            rest,
            rest_without_tenant,
        })
    }

    /// Whether the rule may have held for the request, and would have mattered: all that is recorded fits, and the rest decided.
    /// `knows_tenant` is false if `input` has a stand-in for the tenant's name.
    pub fn may_hold(&self, input: &RuleInput<'_>, knows_tenant: bool) -> bool {
        let (rest, words) = match knows_tenant {
            true => (&self.rest, OnceCell::new()),
            false => (&self.rest_without_tenant, OnceCell::new()),
        };
        (!input.pinned || self.rule.then.binds_pinned())
            && rest.holds(input, &words)
            && !self.rule.when.holds(input, &words)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::analysis::classifier::{Classification, Task};
    use crate::analysis::sensitivity::Sensitivity;
    use crate::policy::Policy;
    use crate::policy::request_attributes::RequestAttributes;

    fn policy(rules: &str) -> Policy {
        let text = format!(
            r#"{{"models": [{{"name": "m"}}], "tenant": {{"header": "x-tenant"}}, "rules": [{rules}],
              "backends": [{{"name": "b", "model": "m", "price": {{"input": 1, "output": 1}}}}]}}"#
        );
        Policy::compile(&text).unwrap()
    }

    /// For the task code: whether the first rule may hold.
    fn may_hold(policy: &Policy, tenant: Option<&str>, knows_tenant: bool, pinned: bool) -> bool {
        let classification = Classification {
            task: Task::Code,
            task_probability: 1.0,
            ..Classification::default()
        };
        let attributes = RequestAttributes {
            tenant: tenant.map(str::to_owned),
            ..RequestAttributes::default()
        };
        let input = RuleInput {
            classification: Some(&classification),
            user: None,
            other_users: &[],
            asked: "auto",
            other_asked: &[],
            sensitive: Sensitivity::NONE,
            pinned,
            attributes: &attributes,
            words: &policy.words,
            turns: &[],
            asides: &[],
            language: None,
            conversation: 1,
        };
        let rule = UnrecordedRule::new(policy.rules.first().unwrap()).unwrap();
        rule.may_hold(&input, knows_tenant)
    }

    #[test]
    fn a_rule_on_what_is_recorded_is_decided() {
        let policy = policy(
            r#"{"when": {"task": ["code"], "tenant": ["acme", "*"], "share": 0.5}, "then": {"profile": "auto"}}"#,
        );
        assert!(UnrecordedRule::new(policy.rules.first().unwrap()).is_none());
    }

    #[test]
    fn a_rule_may_hold_only_if_all_that_is_recorded_fits() {
        let policy_of = |task: &str, then: &str| {
            policy(&format!(
                r#"{{"when": {{"task": ["{task}"], "sensitive": ["card"]}}, "then": {then}}}"#
            ))
        };
        let code = policy_of("code", r#"{"profile": "auto"}"#);
        assert!(may_hold(&code, None, true, false));
        assert!(!may_hold(&code, None, true, true));
        let refusing = policy_of("code", r#"{"reject": "no"}"#);
        assert!(may_hold(&refusing, None, true, true));
        let math = policy_of("math", r#"{"profile": "auto"}"#);
        assert!(!may_hold(&math, None, true, false));
    }

    #[test]
    fn a_pattern_of_tenants_is_decided_where_the_tenant_is_known() {
        let policy = policy(r#"{"when": {"tenant": ["trial-*"]}, "then": {"profile": "auto"}}"#);
        assert!(may_hold(&policy, Some("\0"), false, false));
        // It does not hold, or it does: in both cases that is known.
        assert!(!may_hold(&policy, Some("acme"), true, false));
        assert!(!may_hold(&policy, Some("trial-7"), true, false));
    }
}

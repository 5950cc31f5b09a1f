//! The result of a replay: data only, for text, JSON and HTML.

use pointsman::policy::Policy;

use super::changes::Changes;
use super::figures::{Figures, Pair, Timeline};
use super::side::Side;
use super::{Agreement, Counts, Shares};

/// A policy in a report.
#[derive(Debug, Clone)]
pub struct PolicyName {
    /// The operator's name of its version.
    pub version: String,
    /// The number by which receipts name it.
    pub fingerprint: u32,
}

impl PolicyName {
    pub(super) fn new(policy: &Policy) -> PolicyName {
        PolicyName {
            version: policy.version.clone(),
            fingerprint: policy.fingerprint32(),
        }
    }
}

/// Something that receipts do not tell.
#[derive(Debug, Clone)]
pub struct Unknown {
    /// The policy that it matters to: `new` or `old`.
    pub policy: &'static str,
    /// The cause, in a word.
    pub cause: &'static str,
    /// The rule, if a rule is the cause, and its conditions that receipts cannot decide.
    pub rule: Option<(String, Vec<&'static str>)>,
    /// Receipts that it may have mattered to.
    pub receipts: u64,
    /// The meaning, in words.
    pub meaning: String,
}

/// The causes of one side for which its replay is less than exact.
pub(super) fn unknown_of<'s>(
    name: &'static str,
    side: &'s Side<'_>,
) -> impl Iterator<Item = Unknown> + 's {
    let rules = side.rules.iter().filter(|(_, count)| *count > 0);
    let rules = rules.map(move |(rule, count)| Unknown {
        policy: name,
        cause: "rule",
        rule: Some((rule.rule.name.clone(), rule.conditions.clone())),
        receipts: *count,
        meaning: format!(
            "the rule `{}` looks at `{}`: it counts as not matching",
            rule.rule.name,
            rule.conditions.join("`, `")
        ),
    });
    let mut causes: Vec<_> = side.causes.iter().collect();
    causes.sort_unstable();
    let causes = causes.into_iter().map(move |(cause, count)| Unknown {
        policy: name,
        cause: cause.name(),
        rule: None,
        receipts: *count,
        meaning: cause.meaning().to_owned(),
    });
    rules.chain(causes)
}

/// The result of a replay.
#[derive(Debug)]
pub struct Report {
    /// The new policy.
    pub new: PolicyName,
    /// The old one, if it was compared with one.
    pub old: Option<PolicyName>,
    /// Counts of lines and receipts.
    pub counts: Counts,
    /// The first and the last time of a decision, in seconds since 1970.
    pub times: Option<(u32, u32)>,
    /// The policies that decided, by their numbers, and how many receipts each did.
    pub policies: Vec<(u32, u64)>,
    /// How well a replay of the policy that decided agrees with what was decided.
    pub agreement: Agreement,
    /// All compared receipts.
    pub total: Pair,
    /// Figures of the backends that really answered, at the old policy's prices; `None` without an old policy.
    pub answered: Option<Figures>,
    /// By task, the most frequent first.
    pub tasks: Vec<(String, Pair)>,
    /// By tenant, the most expensive first.
    pub tenants: Vec<(String, Pair)>,
    /// By model.
    pub models: Vec<(String, Shares)>,
    /// By backend.
    pub backends: Vec<(String, Shares)>,
    /// Costs over time.
    pub timeline: Timeline,
    /// The decisions that change.
    pub changes: Changes,
    /// Their number.
    pub changed: u64,
    /// What receipts do not tell.
    pub unknown: Vec<Unknown>,
}

//! Warnings about a judge: what is allowed and probably not meant.

use super::{Judge, JudgeMode, JudgePrice};
use crate::fleet::Backend;
use crate::policy::learning::Learning;
use crate::policy::profiles::Profile;
use crate::policy::receipts::ReceiptSettings;
use crate::policy::rules::Rule;
use crate::schema::document::Node;
use crate::schema::problems::Problems;
use crate::schema::suggest::quote;

/// The parts of a policy that warnings about its judge look at.
pub(crate) struct Surroundings<'a> {
    pub backends: &'a [Backend],
    pub profiles: &'a [Profile],
    pub rules: &'a [Rule],
    pub receipts: &'a ReceiptSettings,
    pub learning: &'a Learning,
    /// The policy is in shadow mode.
    pub shadow: bool,
}

/// Warns of a judge that is never asked, that makes requests wait longer than their answers take, and of tags that no request
/// demands.
pub(crate) fn lint_judge(
    judge: &Judge,
    around: &Surroundings<'_>,
    root: &Node,
    warnings: &mut Problems<'_>,
) {
    let Some(node) = root.get("judge") else {
        return;
    };
    let mut warn = |field: &str, message: String| {
        let (at, path) = match node.get(field) {
            Some(value) => (value.at, format!("judge.{field}")),
            None => (node.at, "judge".to_owned()),
        };
        warnings.add(at, path, message);
    };
    let never = "the judge is never asked";
    let grades = judge.grade_share > 0.0;
    if !judge.is_evidence() && !grades {
        warn(
            "evidence",
            format!("{never}: a slope of 0 says that it is noise"),
        );
    }
    if judge.max_share <= 0.0 && !grades {
        warn("max_share", format!("{never}: its share is 0"));
    }
    let backends = around.backends;
    let first = backends.first().map(|backend| backend.model);
    let is_asked = judge.asks_about_prompts() || !grades;
    if is_asked && backends.iter().all(|backend| Some(backend.model) == first) {
        let message = "all backends serve one model: no grade can change the choice";
        warn("cluster", format!("{never}: {message}"));
    }
    let half = |backend: &Backend| f64::from(backend.latency.first_token_p50_ms);
    let slowest = backends.iter().map(half).fold(0.0, f64::max);
    if is_asked && judge.mode == JudgeMode::Enforce && f64::from(judge.deadline_ms) > slowest {
        let message = format!(
            "a request may wait for the judge longer ({} ms) than for the first token of any backend ({slowest:.0} ms)",
            judge.deadline_ms
        );
        warn("deadline_ms", message);
    }
    if judge.price == JudgePrice::default() && judge.max_usd_per_hour.is_finite() {
        let message = "has no effect: the judge has no `price`";
        warn("max_usd_per_hour", message.to_owned());
    }
    if let Some(message) = around.idle_grading(judge) {
        warn("grade_share", message.to_owned());
    }
    for field in ["grade_ask", "grade_model"] {
        if !grades && node.get(field).is_some() {
            warn(field, "has no effect: `grade_share` is 0".to_owned());
        }
    }
    for tag in judge.tags.iter().filter(|tag| !around.demand(tag)) {
        let message = format!("no rule or profile demands the tag {}", quote(tag));
        warn("tags", message);
    }
}

impl Surroundings<'_> {
    /// Why grades of answers are of no use, if they are wanted.
    fn idle_grading(&self, judge: &Judge) -> Option<&'static str> {
        let (learns, gives) = (self.learning.is_on(), self.receipts.is_on());
        if judge.grade_share <= 0.0 {
            None
        } else if self.shadow {
            Some("no answer is graded while the policy's `mode` is `shadow`")
        } else if !learns && !gives {
            Some(
                "no answer is graded: without `learning` and `receipts` there is nothing to do with a grade",
            )
        } else if !learns {
            Some("grades are counted and logged, and teach nothing: `learning` is off")
        } else if self.learning.weights.judge <= 0.0 {
            Some("grades teach nothing: `learning.outcomes.judge` is 0")
        } else {
            None
        }
    }

    /// Whether a rule or profile demands the tag.
    fn demand(&self, tag: &str) -> bool {
        let rules = self.rules.iter().flat_map(|rule| &rule.then.tags);
        let profiles = self.profiles.iter().flat_map(|profile| &profile.tags);
        rules.chain(profiles).any(|own| own == tag)
    }
}

//! The outcome of asking the judge about a request, as headers, access logs and metrics name it.

use crate::api::judge::Grade;
use crate::decimal::{decimal, fixed};
use crate::policy::Policy;
use crate::policy::judge::JudgeMode;
use crate::routing::decision::Decision;
use crate::routing::judge::Judging;
use crate::state::judge::NotAsked;

/// The outcome of asking the judge about a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Verdict {
    /// The grade, if there is one.
    pub(super) grade: Option<Grade>,
    /// The end of the question as metrics name it, or why it was not asked.
    pub(super) result: &'static str,
    /// Whether the judge was asked, or had been before.
    pub(super) was_asked: bool,
    /// How long the reply took, in milliseconds; `None` if none was awaited.
    pub(super) took_ms: Option<u64>,
    /// The price of the question, in USD.
    pub(super) cost_usd: f64,
}

impl Verdict {
    /// The end of a question whose answer was known.
    pub(super) const CACHED: &str = "cached";

    /// The judge was not asked.
    pub(super) const fn not_asked(reason: NotAsked) -> Verdict {
        Verdict {
            grade: None,
            result: reason.name(),
            was_asked: false,
            took_ms: None,
            cost_usd: 0.0,
        }
    }

    /// The grade was known.
    pub(super) const fn kept(grade: Grade) -> Verdict {
        Verdict {
            grade: Some(grade),
            result: Verdict::CACHED,
            was_asked: true,
            took_ms: None,
            cost_usd: 0.0,
        }
    }

    /// The text of the response header.
    pub(super) fn to_text(self) -> String {
        if !self.was_asked {
            return ["not_asked;reason=", self.result].concat();
        }
        let mut text = String::new();
        match self.grade {
            Some(grade) => text.push_str(&fixed(grade.mean.into(), 3)),
            None => text.push_str(self.result),
        }
        match self.took_ms {
            Some(ms) => text.push_str(&[";ms=", &decimal(ms)].concat()),
            None => text.push_str(";cached"),
        }
        text
    }
}

/// The grade that counted in a decision; `None` if the classifier alone decided.
pub(super) fn counted(policy: &Policy, decision: &Decision) -> Option<Grade> {
    let judge = policy.judge.as_ref()?;
    match &decision.judging {
        Some(Judging::Graded(graded)) if judge.mode == JudgeMode::Enforce => Some(graded.grade),
        _ => None,
    }
}

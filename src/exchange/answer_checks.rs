//! The checks of an answer that need no opinion: empty, cut off by its model, no JSON where JSON was asked for.
//!
//! They look at what the usage parser has seen of a complete answer. Errors and time-outs are no business of theirs: they teach which
//! backends are available, not how good a model is.

use super::routed::Routed;
use crate::api::Capabilities;
use crate::api::request::Request;
use crate::api::usage::{AnswerError, Expectation, UsageParser};
use crate::policy::Policy;
use crate::policy::learning::CheckWeights;
use crate::state::outcome::{Check, Outcome, Source};

/// Finish reasons of answers that a limit of tokens cut off.
const LIMITS: [&str; 4] = [
    "length",
    "max_tokens",
    "max_output_tokens",
    "model_context_window_exceeded",
];

/// Finish reasons of answers that were withheld, or that are not over.
const WITHHELD: [&str; 4] = ["content_filter", "refusal", "pause_turn", "error"];

/// Finish reasons of answers that call tools.
const CALLS: [&str; 3] = ["tool_calls", "function_call", "tool_use"];

/// Whether a complete answer is text that its model has finished: no error, nothing withheld or cut off, no call of a tool.
pub(super) fn is_whole_text(parser: &UsageParser) -> bool {
    let reasons = parser.finish_reasons();
    let is_other = [&WITHHELD[..], &LIMITS, &CALLS]
        .iter()
        .any(|names| reasons.has_any(names));
    !is_other && parser.error(true).is_none() && parser.are_arguments_json().is_none()
}

/// The form that the content of the answer has to have; `None` if the policy does not learn, or if the answer has several choices.
pub(super) fn expectation(policy: &Policy, request: &Request<'_>) -> Option<Expectation> {
    let json = Capabilities::JSON_MODE.union(Capabilities::JSON_SCHEMA);
    let is_checked = policy.learning.is_on() && request.choices == 1;
    is_checked.then(|| Expectation {
        is_json: json.without(request.needs) != json,
        required: request.required_members.clone(),
    })
}

/// The result of the checks of one answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Checked {
    /// The first check that found something wrong, or [`Source::Passed`].
    pub(super) source: Source,
    /// Whether it has text that had to be JSON.
    has_json: bool,
    /// Whether it has calls whose arguments had to be JSON.
    has_calls: bool,
}

/// Checks a complete answer. `max_tokens` is the client's bound, `output_tokens` what the answer says it took. `None` if the answer
/// cannot be judged: it is an error, or was withheld, or is as long as the client wanted.
pub(super) fn check(
    parser: &UsageParser,
    max_tokens: Option<u32>,
    output_tokens: Option<u64>,
) -> Option<Checked> {
    let is_empty = match parser.error(true) {
        None => false,
        Some(AnswerError::Empty) => true,
        Some(AnswerError::Reported | AnswerError::ClientError) => return None,
    };
    let reasons = parser.finish_reasons();
    if reasons.has_any(&WITHHELD) {
        return None;
    }
    let is_cut = reasons.has_any(&LIMITS);
    let is_own_limit = match (max_tokens, output_tokens) {
        (None, _) => true,
        (Some(wanted), Some(tokens)) => tokens < u64::from(wanted),
        (Some(_), None) => false,
    };
    if is_cut && !is_own_limit {
        return None;
    }
    let (json, calls) = (parser.is_expected_json(), parser.are_arguments_json());
    let found = Check::ALL.into_iter().find(|check| match check {
        Check::Empty => is_empty,
        Check::Truncated => is_cut,
        Check::InvalidJson => json == Some(false),
        Check::InvalidToolArguments => calls == Some(false),
    });
    Some(Checked {
        source: found.map_or(Source::Passed, Source::Check),
        has_json: json.is_some(),
        has_calls: calls.is_some(),
    })
}

impl Checked {
    /// The outcome of the answer to a decided request; `None` if the policy gives it no weight, or nothing was classified.
    pub(super) fn outcome(self, routed: &Routed) -> Option<Outcome> {
        let weight = self.weight(&routed.policy.learning.weights);
        let receipt = routed.receipt.as_deref().filter(|_| weight > 0.0)?;
        Some(Outcome {
            score: match self.source {
                Source::Passed => receipt.p,
                _ => 0.0,
            },
            receipt: receipt.clone(),
            worse: None,
            weight,
            source: self.source,
        })
    }

    /// The weight of what was found; if nothing was, the greatest of what could have been.
    fn weight(self, weights: &CheckWeights) -> f32 {
        let of = |check: Check| match check {
            Check::Empty => weights.empty,
            Check::Truncated => weights.truncated,
            Check::InvalidJson => weights.invalid_json,
            Check::InvalidToolArguments => weights.invalid_tool_arguments,
        };
        match self.source {
            Source::Check(check) => of(check),
            _ => {
                let applied = Check::ALL.into_iter().filter(|check| match check {
                    Check::Empty | Check::Truncated => true,
                    Check::InvalidJson => self.has_json,
                    Check::InvalidToolArguments => self.has_calls,
                });
                applied.map(of).fold(0.0, f32::max)
            }
        }
    }
}

//! The data of grading an answer: what is kept of a request until its answer has passed, and what is handed on then.

use std::rc::Rc;

use crate::api::held_text::HeldText;
use crate::policy::Policy;
use crate::state::receipt::Receipt;

/// The part of a request that its answer is graded by.
#[derive(Debug)]
pub(super) struct GradingDraft {
    /// The end of what was said before the prompt.
    pub(super) before: HeldText,
    /// The start of the user's turn.
    pub(super) prompt: HeldText,
}

/// A delivered answer to be graded: the texts that the judge reads, and the receipt under which the grade is recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerToGrade {
    /// The policy that decided, whose judge is asked.
    pub(super) policy: Rc<Policy>,
    /// The decision, and who answered.
    pub(super) receipt: Receipt,
    /// The receipt as a text, for the log; `None` if nobody gets receipts.
    pub(super) logged: Option<String>,
    /// The end of what was said before the prompt.
    pub(super) before: HeldText,
    /// The start of the user's turn.
    pub(super) prompt: HeldText,
    /// The start of the answer.
    pub(super) answer: HeldText,
}

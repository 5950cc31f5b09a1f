//! Keeps what the judge needs to grade an answer, from the decision to the end of the exchange: the start of the prompt, and that of
//! the answer as it passes.
//!
//! Only for requests that are drawn. [`super::grader`] asks once the answer is delivered.

use std::rc::Rc;

use super::answer_to_grade::{AnswerToGrade, GradingDraft};
use super::routed::Routed;
use super::usage_recorder::UsageRecorder;
use super::{Effect, Plan, Worker};
use crate::analysis::prompt::Prompt;
use crate::analysis::sensitivity;
use crate::api::Capabilities;
use crate::api::held_text::{HeldText, wipe};
use crate::api::judge::grading::{MAX_BEFORE_BYTES, MAX_PROMPT_BYTES};
use crate::api::request::Request;
use crate::policy::Policy;
use crate::policy::draw::{draw, hash};
use crate::policy::judge::Judge;
use crate::routing::decision::Decision;
use crate::routing::judge::QuestionText;
use crate::routing::router::conversation;
use crate::telemetry::Metric;

/// Makes the draw of answers to grade independent of the draws of rules, exploration and ramps.
const GRADE_SALT: u64 = 0x8cb9_2ba7_2f3d_8dd7;

/// Keeps the start of the prompt of a decided request, if its answer is drawn and the judge may see it.
pub(super) fn draft(
    plan: &Plan,
    decision: &Decision,
    request: &Request<'_>,
) -> Option<Box<GradingDraft>> {
    let judge = plan.policy.judge.as_ref()?;
    // Of what is no text the judge would see nothing.
    let media = Capabilities::VISION
        .union(Capabilities::AUDIO)
        .union(Capabilities::FILES);
    let is_gradable = decision.judge_may_see
        && !plan.is_own_call
        && request.complete
        && request.choices == 1
        && media.without(request.needs) == media
        && conversation::answered_at(request).is_none();
    if !is_gradable || !is_drawn(request, judge) {
        return None;
    }
    let prompt = Prompt::new(request);
    let last = prompt.turns.len().checked_sub(1)?;
    let turn = prompt.turns.get(last)?;
    let QuestionText {
        before,
        turn: question,
    } = QuestionText::new(&prompt, last)?;
    let start = before.ceil_char_boundary(before.len().saturating_sub(MAX_BEFORE_BYTES));
    let end = before.get(start..).unwrap_or_default();
    let draft = GradingDraft {
        before: HeldText::start_of(end, MAX_BEFORE_BYTES),
        prompt: HeldText::start_of(turn.text.trim(), MAX_PROMPT_BYTES),
    };
    wipe(before);
    wipe(question);
    Some(Box::new(draft))
}

/// Whether the answer to this request is graded: drawn by its last two messages.
fn is_drawn(request: &Request<'_>, judge: &Judge) -> bool {
    if judge.grade_share <= 0.0 {
        return false;
    }
    let last = request.messages.iter().rev().take(2);
    let texts = last.flat_map(|message| message.texts.iter().map(AsRef::as_ref));
    draw(GRADE_SALT, hash(texts)) < judge.grade_share
}

/// Hands the answer of an exchange that is over to the judge, if it was drawn and can be graded.
pub(super) fn finish(
    routed: &mut Routed,
    usage: &mut UsageRecorder,
    worker: &Worker<'_>,
    effects: &mut Vec<Effect>,
) {
    let Some(draft) = routed.grading.take() else {
        return;
    };
    let (Some(answer), Some(receipt)) = (usage.take_gradable(), routed.receipt.as_deref()) else {
        return;
    };
    let policy = &routed.policy;
    if is_kept_back(policy, &answer) {
        return effects.push(Effect::Count(Metric::judge_gradings("sensitive")));
    }
    let key = worker.receipts.keys.signing();
    let key = key.filter(|_| policy.receipts.is_on());
    effects.push(Effect::GradeAnswer(Box::new(AnswerToGrade {
        policy: Rc::clone(policy),
        receipt: receipt.clone(),
        logged: key.map(|key| receipt.encode(key)),
        before: draft.before,
        prompt: draft.prompt,
        answer,
    })));
}

/// Whether the answer holds sensitive text that a rule keeps from the judge, whatever else the rule looks at.
fn is_kept_back(policy: &Policy, answer: &HeldText) -> bool {
    let Some(judge) = &policy.judge else {
        return true;
    };
    let mut restricting = policy.rules.iter().filter(|rule| {
        let tags = &rule.then.tags;
        !rule.when.sensitive.is_empty()
            && (tags.is_empty() || !judge.carries(tags.iter().map(String::as_str)))
    });
    let Some(first) = restricting.next() else {
        return false;
    };
    let kinds = restricting.fold(first.when.sensitive, |kinds, rule| {
        kinds.union(rule.when.sensitive)
    });
    sensitivity::find(&answer.text()).meets(kinds)
}

//! The second stage of a decision: what a grade of the judge is worth, and the choice that follows from a grade.
//!
//! Rules look at the classifier's word alone, so that no grade lets a request past a rule; a grade moves the choice among what
//! rules and limits leave.

use super::conversation::{self, TurnDemand, combine};
use super::{Router, RoutingInput};
use crate::analysis::prompt::text_tokens;
use crate::api::judge::{Grade, INSTRUCTIONS, MAX_BEFORE_CHARS, MAX_TURN_CHARS};
use crate::policy::Policy;
use crate::policy::judge::{Judge, JudgeMode};
use crate::routing::decision::{Candidate, Decision, Foreign, Ineligible};
use crate::routing::judge::{
    Circumstances, Expected, GradeSource, Graded, Judging, NotAsked, Question, QuestionText,
    ShadowPrices, cost_scale, made_easier, should_ask, value_of_asking,
};
use crate::routing::select::{NoCandidate, Selection};

/// A choice, and how it came about.
pub(super) struct Judged {
    pub(super) selection: Selection,
    pub(super) foreign: Foreign,
    /// The conversation's demand with the grades that counted; `None` if none did.
    pub(super) steps: Option<Vec<TurnDemand>>,
    pub(super) judging: Option<Judging>,
}

impl Judged {
    /// A choice without a judge.
    pub(super) fn by_classifier((selection, foreign): (Selection, Foreign)) -> Judged {
        Judged {
            selection,
            foreign,
            steps: None,
            judging: None,
        }
    }
}

/// Text of a question besides turn and instructions, in tokens.
const FRAME_TOKENS: f32 = 20.0;

impl Router {
    /// Counts a decision for the scale of costs, and one that asks nothing for the judge's share. One that wants to ask was counted
    /// for the share when it was admitted.
    pub(super) fn count_for_judge(&mut self, policy: &Policy, decision: &Decision) {
        if decision.judging.is_none() {
            return;
        }
        if let Some(scale_usd) = scale_of(&decision.candidates) {
            self.judge_state.count_cost(policy, scale_usd);
        }
        if let Some(Judging::NotAsked(_) | Judging::Graded(Graded { is_kept: true, .. })) =
            &decision.judging
        {
            self.judge_state.pass_by(policy);
        }
    }

    /// Chooses a backend with what is known of grades, and finds out what another grade is worth. `turns` are the turns by
    /// themselves.
    #[inline(never)]
    pub(super) fn choose_judged(
        &self,
        judge: &Judge,
        input: &RoutingInput<'_>,
        turns: &[TurnDemand],
        grades: &GradeSource<'_>,
    ) -> Result<Judged, NoCandidate> {
        let acts = judge.mode == JudgeMode::Enforce;
        let mut turns = turns.to_vec();
        let mut steps = None;
        if acts && shift_earlier(judge, input, &mut turns, grades) {
            steps = Some(combine(&turns));
        }
        let before = RoutingInput {
            steps: steps.as_deref().unwrap_or(input.steps),
            ..*input
        };
        let first = Judged::by_classifier(self.choose(&before)?);
        let (grade, is_kept) = match self.find_grade(judge, &before, &turns, &first, grades) {
            Ok(found) => found,
            Err(judging) => {
                return Ok(Judged {
                    steps,
                    judging: Some(judging),
                    ..first
                });
            }
        };
        let difficulty_before = demand(before.steps);
        if let Some(last) = turns.last_mut() {
            last.classification = judge.evidence.shift(&last.classification, grade);
        }
        let graded_steps = combine(&turns);
        let after = RoutingInput {
            steps: &graded_steps,
            ..*input
        };
        let second = self.choose(&after).map(Judged::by_classifier);
        let backend = |judged: &Judged| judged.selection.chosen.backend;
        let judging = Some(Judging::Graded(Graded {
            grade,
            is_kept,
            difficulty_before,
            difficulty_after: demand(&graded_steps),
            without: backend(&first),
            with: second.as_ref().map_or(backend(&first), backend),
        }));
        Ok(match second {
            Ok(second) if acts => Judged {
                steps: Some(graded_steps),
                judging,
                ..second
            },
            _ => Judged {
                steps,
                judging,
                ..first
            },
        })
    }

    /// The grade of the last turn, and whether it was kept; else what is to be done about it.
    fn find_grade(
        &self,
        judge: &Judge,
        input: &RoutingInput<'_>,
        turns: &[TurnDemand],
        first: &Judged,
        grades: &GradeSource<'_>,
    ) -> Result<(Grade, bool), Judging> {
        if let Some(grade) = grades.reply {
            return Ok((grade, false));
        }
        let question = self
            .is_worth_asking(judge, input, turns, &first.selection, grades)
            .map_err(Judging::NotAsked)?;
        match grades.kept(question.key) {
            Some(grade) => Ok((grade, true)),
            None => Err(Judging::Ask(question)),
        }
    }

    /// The question about the last turn, if a grade is worth more than it costs.
    fn is_worth_asking(
        &self,
        judge: &Judge,
        input: &RoutingInput<'_>,
        turns: &[TurnDemand],
        first: &Selection,
        grades: &GradeSource<'_>,
    ) -> Result<Box<Question>, NotAsked> {
        should_ask(&circumstances(input, first), &judge.evidence)?;
        let Some(last) = turns.last() else {
            return Err(NotAsked::NoPrompt);
        };
        let weights = &input.profile.weights;
        let scale_usd = self.judge_state.cost_scale(input.policy);
        let scale_usd = scale_usd.or_else(|| scale_of(&first.candidates));
        let prices = ShadowPrices::new(weights, scale_usd.unwrap_or(0.0));
        let deviation = judge.evidence.expected_shift(&last.classification);
        let mut changes = false;
        let value_usd = value_of_asking(deviation, |easier| {
            let gain = self.gain_if_easier(input, turns, first, &prices, easier);
            changes |= gain.is_some();
            gain.unwrap_or(0.0)
        });
        if !changes {
            return Err(NotAsked::Unchanged);
        }
        let text = QuestionText::new(input.prompt, last.turn).ok_or(NotAsked::NoPrompt)?;
        let wait_ms = match judge.mode {
            JudgeMode::Enforce => self.judge_state.expected_ms(input.policy),
            _ => 0.0,
        };
        let latency_ms = first.chosen.estimate.latency_p50_ms;
        let wait_usd = prices.wait_usd(wait_ms, latency_ms.into());
        let cost_usd = expected_cost(judge, &text);
        let gain_usd = value_usd - wait_usd - cost_usd;
        if gain_usd <= judge.min_gain_usd || gain_usd.is_nan() {
            return Err(NotAsked::GainTooSmall);
        }
        Ok(Box::new(Question {
            key: text.key(grades.secret),
            turn: text.turn,
            before: text.before,
            gain_usd,
            cost_usd,
        }))
    }

    /// How much better another choice would be than `first` if the last turn were easier by so many logits, in USD; `None` if the
    /// choice stays.
    fn gain_if_easier(
        &self,
        input: &RoutingInput<'_>,
        turns: &[TurnDemand],
        first: &Selection,
        prices: &ShadowPrices,
        easier: f64,
    ) -> Option<f64> {
        let mut turns = turns.to_vec();
        if let Some(last) = turns.last_mut() {
            last.classification = made_easier(&last.classification, easier);
        }
        let again = RoutingInput {
            steps: &combine(&turns),
            ..*input
        };
        let (second, _) = self.choose(&again).ok()?;
        if second.chosen.backend == first.chosen.backend {
            return None;
        }
        let mut candidates = second.candidates.iter();
        let kept = candidates.find(|candidate| candidate.backend == first.chosen.backend)?;
        let [kept, chosen] = [&kept.estimate, &second.chosen.estimate].map(Expected::from);
        Some(prices.gain_usd(&kept, &chosen))
    }
}

/// Whether a candidate can take the request: if its quality alone is against it, a grade may change that.
fn can(candidate: &Candidate) -> bool {
    matches!(
        candidate.ineligible,
        None | Some(Ineligible::BelowQuality { .. })
    )
}

/// The scale of what a request costs, in USD.
fn scale_of(candidates: &[Candidate]) -> Option<f64> {
    let able = candidates.iter().filter(|candidate| can(candidate));
    cost_scale(able.map(|candidate| candidate.estimate.cost_usd))
}

/// The present difficulty of a conversation.
fn demand(steps: &[TurnDemand]) -> f32 {
    let last = steps.last();
    last.map_or(0.0, |step| step.classification.difficulty)
}

/// Moves the difficulty of earlier turns whose grades were kept, so that a conversation goes on where its grades led it; tells
/// whether there were any.
fn shift_earlier(
    judge: &Judge,
    input: &RoutingInput<'_>,
    turns: &mut [TurnDemand],
    grades: &GradeSource<'_>,
) -> bool {
    let Some((_, earlier)) = turns.split_last_mut() else {
        return false;
    };
    let mut any = false;
    if input.pinned.is_some() || grades.find.is_none() || !judge.is_evidence() {
        return false;
    }
    for turn in earlier {
        let text = QuestionText::new(input.prompt, turn.turn);
        let grade = text.and_then(|text| grades.kept(text.key(grades.secret)));
        if let Some(grade) = grade {
            turn.classification = judge.evidence.shift(&turn.classification, grade);
            any = true;
        }
    }
    any
}

/// Whether rules and profile let the policy's judge see the prompt.
pub(super) fn may_see(input: &RoutingInput<'_>) -> bool {
    let rules = input.rule_outcome;
    let profile = input.profile.tags.iter().map(String::as_str);
    let mut demanded = rules.tags.iter().copied().chain(profile);
    let judge = input.policy.judge.as_ref();
    !rules.hides_sensitive && judge.is_some_and(|judge| judge.carries(&mut demanded))
}

fn circumstances(input: &RoutingInput<'_>, first: &Selection) -> Circumstances {
    let mut able = first.candidates.iter();
    Circumstances {
        is_pinned: input.pinned.is_some(),
        is_tool_loop: conversation::answered_at(input.request).is_some(),
        has_prompt: !input.prompt.turns.is_empty() && !input.steps.is_empty() && !input.counts,
        has_alternatives: able.any(|other| can(other) && other.model != first.chosen.model),
        may_see: may_see(input),
    }
}

/// What a question costs, in USD: the tokens of its text as they are estimated, and one of the answer.
fn expected_cost(judge: &Judge, text: &QuestionText) -> f64 {
    let part = |text: &str, most: usize| {
        let tokens = text_tokens(text);
        let share = most as f32 / text.len().max(1) as f32;
        tokens * share.min(1.0)
    };
    let instructions = judge.ask.as_deref().unwrap_or(INSTRUCTIONS);
    let tokens = part(&text.turn, MAX_TURN_CHARS)
        + part(&text.before, MAX_BEFORE_CHARS)
        + text_tokens(instructions)
        + FRAME_TOKENS;
    judge.price.cost_usd(tokens as u32, 1)
}

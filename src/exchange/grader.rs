//! Has answers graded by the judge after they were delivered: a bounded queue, a few calls at a time, and an outcome of each grade.
//!
//! One [`Grader`] for each plugin configuration in a worker. It belongs to no exchange: the host makes its calls on behalf of
//! the configuration, so that they outlive the exchanges. Decides nothing about requests.

use std::collections::VecDeque;
use std::rc::Rc;

use super::answer_to_grade::AnswerToGrade;
use super::judging::{ABANDONED, GRADED, count_cost, price, read};
use super::{Effect, JudgeCall, JudgeReplyContent, Level, feedback};
use crate::analysis::prompt::text_tokens;
use crate::api::judge::Asking;
use crate::api::judge::grading::{Answered, GRADING_INSTRUCTIONS, read_grading, write_grading};
use crate::policy::Policy;
use crate::policy::judge::Judge;
use crate::routing::router::Router;
use crate::state::judge as state;
use crate::state::outcome::{Outcome, Source, grade_line};
use crate::state::receipt::Receipt;
use crate::telemetry::Metric;

/// The most answers that wait in a worker, of at most 18 kB each. Further ones are not graded.
pub const MAX_WAITING: usize = 32;
/// The most calls at a time: grading is in nobody's way, and a slow judge is not flooded.
pub const MAX_UNDER_WAY: usize = 8;
/// How long the judge may take for a grade, in milliseconds.
pub const TIMEOUT_MS: u32 = 10_000;

/// Text of a question besides prompt, answer and instructions, in tokens.
const FRAME_TOKENS: f32 = 30.0;

/// An answer that the judge is grading.
#[derive(Debug)]
struct UnderWay {
    token: u64,
    policy: Rc<Policy>,
    receipt: Receipt,
    logged: Option<String>,
    asked_ns: u64,
    /// The price that it was admitted with, in USD.
    cost_usd: f64,
}

/// The answers that wait for the judge, and those that it is grading.
#[derive(Debug, Default)]
pub struct Grader {
    waiting: VecDeque<Box<AnswerToGrade>>,
    under_way: Vec<UnderWay>,
    /// Calls so far.
    calls: u64,
}

impl Grader {
    /// Adds an answer. If too many wait, it is dropped and counted.
    pub fn add(&mut self, answer: Box<AnswerToGrade>) -> Vec<Effect> {
        if self.waiting.len() >= MAX_WAITING {
            return vec![count("dropped")];
        }
        self.waiting.push_back(answer);
        Vec::new()
    }

    /// The next call, if one may be made now, and what is to be counted. Its end has to be reported to [`Grader::on_reply`]. Called
    /// until there is none.
    pub fn next(
        &mut self,
        mut router: Option<&mut Router>,
        now_ns: u64,
    ) -> (Option<JudgeCall>, Vec<Effect>) {
        let mut effects = Vec::new();
        while self.under_way.len() < MAX_UNDER_WAY
            && let Some(router) = router.as_deref_mut()
            && let Some(answer) = self.waiting.pop_front()
        {
            let Some(judge) = &answer.policy.judge else {
                continue;
            };
            let cost_usd = expected_cost(judge, &answer);
            let policy = &answer.policy;
            let admitted = router.judge_state().admit_grading(policy, cost_usd, now_ns);
            if let Err(reason) = admitted {
                effects.push(count(reason.name()));
                continue;
            }
            self.calls = self.calls.wrapping_add(1);
            let call = call(judge, &answer, self.calls);
            let AnswerToGrade {
                policy,
                receipt,
                logged,
                ..
            } = *answer;
            self.under_way.push(UnderWay {
                token: call.token,
                policy,
                receipt,
                logged,
                asked_ns: now_ns,
                cost_usd,
            });
            return (Some(call), effects);
        }
        (None, effects)
    }

    /// The judge has replied to the call with this number, or will not: the grade becomes an outcome.
    pub fn on_reply(
        &mut self,
        token: u64,
        content: JudgeReplyContent<'_>,
        mut router: Option<&mut Router>,
        now_ns: u64,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        let place = self.under_way.iter().position(|one| one.token == token);
        let Some(graded) = place.map(|place| self.under_way.swap_remove(place)) else {
            return effects;
        };
        let policy = &graded.policy;
        let Some(judge) = &policy.judge else {
            return effects;
        };
        let took_ns = now_ns.saturating_sub(graded.asked_ns);
        let parse = |body: &[u8]| read_grading(judge.api, body);
        let reply = read(content, took_ns, TIMEOUT_MS, parse);
        let answered = match reply {
            Ok(_) => state::Answered::Graded {
                ms: took_ns as f64 / 1e6,
            },
            Err(ABANDONED) => state::Answered::Abandoned,
            Err(_) => state::Answered::Failed,
        };
        let cost_usd = price(judge, content, graded.cost_usd);
        count_cost(cost_usd, &mut effects);
        effects.push(count(reply.map_or_else(|result| result, |_| GRADED)));
        if let Some(router) = router.as_deref_mut() {
            let difference = cost_usd - graded.cost_usd;
            let state = router.judge_state();
            state.finish_grading(policy, answered, difference, now_ns);
        }
        if let Ok(grade) = reply {
            graded.record(grade.mean, router, now_ns, &mut effects);
        }
        effects
    }
}

impl UnderWay {
    /// Counts the grade, has it learned from, and logs it.
    fn record(
        self,
        score: f32,
        router: Option<&mut Router>,
        now_ns: u64,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(receipt) = &self.logged {
            effects.push(Effect::Log(Level::Info, grade_line(receipt, score)));
        }
        let outcome = Outcome {
            receipt: self.receipt,
            worse: None,
            score,
            weight: self.policy.learning.weights.judge,
            source: Source::Judge,
        };
        feedback::record(&outcome, &self.policy, now_ns, router, effects);
    }
}

fn count(result: &str) -> Effect {
    Effect::Count(Metric::judge_gradings(result))
}

fn call(judge: &Judge, answer: &AnswerToGrade, token: u64) -> JudgeCall {
    let asking = Asking {
        api: judge.api,
        model: judge.grading_model(),
        instructions: judge.grade_ask.as_deref(),
    };
    let (before, prompt) = (answer.before.text(), answer.prompt.text());
    let text = answer.answer.text();
    let answered = Answered {
        before: &before,
        prompt: (&prompt, answer.prompt.is_cut()),
        answer: (&text, answer.answer.is_cut()),
    };
    JudgeCall::new(judge, token, write_grading(&asking, &answered), TIMEOUT_MS)
}

/// What a grade is expected to cost, in USD.
fn expected_cost(judge: &Judge, answer: &AnswerToGrade) -> f64 {
    let instructions = judge.grade_ask.as_deref().unwrap_or(GRADING_INSTRUCTIONS);
    let held = [&answer.before, &answer.prompt, &answer.answer];
    let tokens: f32 = held.iter().map(|text| text_tokens(&text.text())).sum();
    let tokens = tokens + text_tokens(instructions) + FRAME_TOKENS;
    judge.price.cost_usd(tokens as u32, 1)
}

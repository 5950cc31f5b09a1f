//! Asks the judge about a request, between its first decision and the one that is carried out.
//!
//! The router says whether a grade is worth its price. Here the question is sent, and the request held until the reply has come or
//! the deadline is over, which the host keeps. Then the request is decided once more, with the grade or without it. In shadow mode
//! nothing is held, and the reply only shows what it would have changed.

use std::rc::Rc;

use super::deciding::with_state;
use super::plan::Body;
use super::request_kind::Intent;
use super::verdict::Verdict;
use super::{
    Effect, JudgeCall, JudgeReply, JudgeReplyContent, KeptGrade, Phase, Plan, Stream, Worker,
};
use crate::api::judge::{self, Asking, Grade, JudgeReplyError};
use crate::fnv;
use crate::policy::Policy;
use crate::policy::judge::{Judge, JudgeMode};
use crate::routing::decision::{Decision, Outcome};
use crate::routing::judge::{GradeSource, Judging, Question};
use crate::state::backend_stats::Observed;
use crate::state::judge::{Answered, NotAsked, PromptSecret};
use crate::telemetry::{Metric, nano_usd};

/// The means by which a worker finds grades that are known.
#[derive(Clone, Copy)]
pub struct KnownGrades<'a> {
    /// Gives the secret under which all workers of this proxy hash prompts.
    pub secret: &'a dyn Fn() -> PromptSecret,
    /// Finds the grade of the prompt with this hash, at this time in seconds since 1970.
    pub find: &'a dyn Fn(u64, u64) -> Option<Grade>,
}

impl KnownGrades<'_> {
    /// A worker that knows none.
    pub const NONE: KnownGrades<'static> = KnownGrades {
        secret: &|| PromptSecret([0; 2]),
        find: &|_, _| None,
    };
}

/// The state of one exchange towards the judge.
#[derive(Debug, Default)]
pub(super) struct JudgeDesk {
    open: Option<Box<OpenQuestion>>,
    /// The outcome of asking, once it is known.
    verdict: Option<Verdict>,
    /// The backends as the first decision saw them: the second sees the same.
    observed: Option<Vec<Observed>>,
}

/// A question whose reply is awaited.
#[derive(Debug)]
struct OpenQuestion {
    policy: Rc<Policy>,
    token: u64,
    asked_ns: u64,
    /// The price that it was admitted with, in USD.
    cost_usd: f64,
    /// The request, if it is not held: the reply shows what it would have changed.
    unheld: Option<(Plan, Vec<u8>)>,
}

/// Names of ends that are not errors in a reply.
pub(super) const GRADED: &str = "graded";
const JOINED: &str = "joined";
pub(super) const ABANDONED: &str = "abandoned";
const TIMEOUT: &str = "timeout";

impl JudgeDesk {
    /// What the question cost, in USD.
    pub(super) fn cost_usd(&self) -> f64 {
        self.verdict.map_or(0.0, |verdict| verdict.cost_usd)
    }

    /// The backends as the first decision saw them, if this is the second.
    pub(super) fn take_observed(&mut self) -> Option<Vec<Observed>> {
        self.observed.take()
    }

    /// What is known of grades for a decision of `plan`. `find` gives those that are kept.
    pub(super) fn source<'a>(
        &self,
        plan: &Plan,
        known: &KnownGrades<'_>,
        find: &'a dyn Fn(u64) -> Option<Grade>,
    ) -> GradeSource<'a> {
        let judge = plan.policy.judge.as_ref();
        let Some(judge) = judge.filter(|_| plan.intent != Intent::TokenCount) else {
            return GradeSource::NONE;
        };
        GradeSource {
            reply: self.verdict.and_then(|verdict| verdict.grade),
            find: Some(find),
            secret: secret_of(judge, (known.secret)()),
        }
    }
}

impl Plan {
    /// Whether the request waits for the judge: what only reports makes nobody wait.
    fn waits_for_judge(&self) -> bool {
        let judge = self.policy.judge.as_ref();
        let enforces = judge.is_some_and(|judge| judge.mode == JudgeMode::Enforce);
        enforces && !self.policy.traffic.shadow
    }
}

/// The secret of one judge: another model, or the same one asked otherwise, has other grades.
fn secret_of(judge: &Judge, PromptSecret([first, second]): PromptSecret) -> PromptSecret {
    let texts = [
        judge.cluster.as_str(),
        judge.path.as_str(),
        judge.model.as_str(),
        judge.ask.as_deref().unwrap_or_default(),
    ];
    // No name holds a NUL, so no two lists of names are one text.
    let bytes = texts.into_iter().flat_map(|text| text.bytes().chain([0]));
    PromptSecret([first ^ fnv::hash64(bytes), second])
}

impl Stream {
    /// Asks the judge about a request that was decided once, if that is worth it. Whether the request has to be held.
    #[inline(never)]
    pub(super) fn consult(
        &mut self,
        plan: &Plan,
        outcome: &Outcome,
        complete: bool,
        (observed, now_ns): (&[Observed], u64),
        worker: &mut Worker<'_>,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let Outcome::Routed(decision) = outcome else {
            return false;
        };
        count_change(decision, &plan.policy, effects);
        if let Some(verdict) = self.judging.verdict {
            self.annotations.judged(verdict, effects);
            return false;
        }
        let verdict = match &decision.judging {
            None => return false,
            Some(_) if plan.intent != Intent::Answer || plan.is_own_call => return false,
            Some(Judging::NotAsked(reason)) => Verdict::not_asked(*reason),
            Some(Judging::Graded(graded)) => {
                effects.push(Effect::Count(Metric::judge_questions(Verdict::CACHED)));
                Verdict::kept(graded.grade)
            }
            // What else comes of a long body could not be held for so long.
            Some(Judging::Ask(_)) if !complete => Verdict::not_asked(NotAsked::LongBody),
            Some(Judging::Ask(question)) => {
                match self.ask_judge(plan, question, now_ns, worker, effects) {
                    Ok(()) if plan.waits_for_judge() => {
                        self.judging.observed = Some(observed.to_vec());
                        return true;
                    }
                    Ok(()) => return false,
                    Err(reason) => Verdict::not_asked(reason),
                }
            }
        };
        if !verdict.was_asked {
            effects.push(Effect::Count(Metric::judge_not_asked(verdict.result)));
        }
        self.judging.verdict = Some(verdict);
        self.annotations.judged(verdict, effects);
        false
    }

    #[inline(never)]
    fn ask_judge(
        &mut self,
        plan: &Plan,
        question: &Question,
        now_ns: u64,
        worker: &mut Worker<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), NotAsked> {
        let policy = &plan.policy;
        let (Some(judge), Some(router)) = (&policy.judge, &mut worker.router) else {
            return Err(NotAsked::NoPrompt);
        };
        let (gain, cost) = (question.gain_usd, question.cost_usd);
        router.judge_state().admit(policy, gain, cost, now_ns)?;
        let asking = Asking {
            api: judge.api,
            model: &judge.model,
            instructions: judge.ask.as_deref(),
        };
        let body = judge::write_question(&asking, &question.turn, &question.before);
        let call = JudgeCall::new(judge, question.key, body, judge.deadline_ms);
        effects.push(Effect::AskJudge(call));
        self.judging.open = Some(Box::new(OpenQuestion {
            policy: Rc::clone(policy),
            token: question.key,
            asked_ns: now_ns,
            cost_usd: cost,
            unheld: None,
        }));
        Ok(())
    }

    /// Keeps a request that was let go while its question is open, to see what the reply would have changed.
    pub(super) fn keep_unheld(&mut self, plan: Plan, body: &[u8]) {
        if let Some(open) = &mut self.judging.open {
            open.unheld = Some((plan, body.to_vec()));
        }
    }

    /// The judge has replied, or will not.
    #[inline(never)]
    pub(super) fn on_judge_reply(
        &mut self,
        reply: &JudgeReply<'_>,
        worker: &mut Worker<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let open = self.judging.open.take_if(|open| open.token == reply.token);
        let Some(open) = open else {
            return;
        };
        let verdict = open.close(reply, worker, effects);
        self.judging.verdict = Some(verdict);
        match self.take_phase() {
            Phase::Judging { plan, held } => self.read(plan, held, true, effects),
            phase => {
                self.phase = phase;
                self.annotations.judged_late(verdict, effects);
                if let Some(routed) = &mut self.routed {
                    routed.judge_usd += verdict.cost_usd;
                }
                if let (Some((plan, body)), Some(_)) = (open.unheld, verdict.grade) {
                    self.compare(&plan, &body, reply.now_ns, worker, effects);
                }
            }
        }
    }

    /// Counts what the grade would have changed of a request that was let go without it.
    fn compare(
        &mut self,
        plan: &Plan,
        bytes: &[u8],
        now_ns: u64,
        worker: &mut Worker<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let body = Body {
            bytes,
            held: bytes.len(),
            complete: true,
        };
        let request = with_state(plan, bytes, plan.parse(body, None));
        let observed = self.judging.take_observed().unwrap_or_default();
        let outcome = self.decide(plan, &request, body, (&observed, now_ns), worker);
        if let Outcome::Routed(decision) = &outcome {
            count_change(decision, &plan.policy, effects);
        }
    }

    /// The exchange is over: an open question has nobody left to reply to.
    pub(super) fn leave_judge(
        &mut self,
        now_ns: u64,
        worker: &mut Worker<'_>,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(open) = self.judging.open.take() {
            let reply = JudgeReply {
                token: open.token,
                content: JudgeReplyContent::Abandoned,
                is_shared: false,
                now_ns,
            };
            open.close(&reply, worker, effects);
        }
    }
}

impl OpenQuestion {
    /// Counts the end of the question.
    #[inline(never)]
    fn close(
        &self,
        reply: &JudgeReply<'_>,
        worker: &mut Worker<'_>,
        effects: &mut Vec<Effect>,
    ) -> Verdict {
        let took_ns = reply.now_ns.saturating_sub(self.asked_ns);
        let mut verdict = Verdict {
            grade: None,
            result: ABANDONED,
            was_asked: true,
            took_ms: Some(took_ns / 1_000_000),
            cost_usd: 0.0,
        };
        let Some(judge) = &self.policy.judge else {
            return verdict;
        };
        let parse = |body: &[u8]| judge::read_reply(judge.api, body);
        match read(reply.content, took_ns, judge.deadline_ms, parse) {
            Ok(grade) => (verdict.grade, verdict.result) = (Some(grade), GRADED),
            Err(result) => verdict.result = result,
        }
        let answered = match (reply.is_shared, verdict.grade) {
            (true, _) => Answered::Abandoned,
            (false, Some(_)) => Answered::Graded {
                ms: took_ns as f64 / 1e6,
            },
            (false, None) if verdict.result == ABANDONED => Answered::Abandoned,
            (false, None) => Answered::Failed,
        };
        if reply.is_shared {
            // Whoever sent the question has counted its end.
            verdict.result = verdict.grade.map_or(verdict.result, |_| JOINED);
        } else {
            verdict.cost_usd = price(judge, reply.content, self.cost_usd);
            self.count(judge, &verdict, reply.now_ns, effects);
        }
        effects.push(Effect::Count(Metric::judge_questions(verdict.result)));
        if let Some(router) = &mut worker.router {
            let difference = verdict.cost_usd - self.cost_usd;
            let state = router.judge_state();
            state.finish(&self.policy, answered, difference, reply.now_ns);
        }
        verdict
    }

    fn count(&self, judge: &Judge, verdict: &Verdict, now_ns: u64, effects: &mut Vec<Effect>) {
        count_cost(verdict.cost_usd, effects);
        let Some(grade) = verdict.grade else {
            return;
        };
        let took_ms = verdict.took_ms.unwrap_or_default();
        effects.push(Effect::Observe(Metric::judge_duration_ms(), took_ms));
        if judge.cache.entries > 0 {
            effects.push(Effect::KeepGrade(KeptGrade {
                prompt: self.token,
                grade,
                now_s: now_ns / 1_000_000_000,
                bounds: judge.cache,
            }));
        }
    }
}

/// The price of a call, in USD: by the tokens that the judge counted, else as it was admitted. A call that was not answered is free.
pub(super) fn price(judge: &Judge, content: JudgeReplyContent<'_>, admitted_usd: f64) -> f64 {
    match content {
        JudgeReplyContent::Response {
            status: 200,
            body: Some(body),
        } => judge::read_tokens(body).map_or(admitted_usd, |tokens| {
            judge.price.cost_usd(tokens.input, tokens.output)
        }),
        JudgeReplyContent::Response {
            status: 200 | 504, ..
        }
        | JudgeReplyContent::Abandoned => admitted_usd,
        JudgeReplyContent::Response { .. } | JudgeReplyContent::NotSent => 0.0,
    }
}

/// Counts the price of a call, in USD.
pub(super) fn count_cost(usd: f64, effects: &mut Vec<Effect>) {
    let cost = nano_usd(usd);
    if cost > 0 {
        effects.push(Effect::Add(Metric::judge_cost_nano_usd(), cost));
    }
}

/// Whether a call that took `took_ns` was ended by its deadline. Envoy's timer goes by another clock, and may have begun before the
/// time from which `took_ns` is counted, so a tenth less than the deadline counts, too.
fn reached_deadline(took_ns: u64, deadline_ms: u32) -> bool {
    took_ns / 900_000 >= u64::from(deadline_ms)
}

/// The grade of a reply, which `parse` finds in its body. The reply came after `took_ns`, of `deadline_ms` that it had.
///
/// # Errors
/// The name of the reason in metrics, if it has none.
pub(super) fn read(
    content: JudgeReplyContent<'_>,
    took_ns: u64,
    deadline_ms: u32,
    parse: impl Fn(&[u8]) -> Result<Grade, JudgeReplyError>,
) -> Result<Grade, &'static str> {
    match content {
        JudgeReplyContent::Response {
            status: 200,
            body: Some(body),
        } => parse(body).map_err(JudgeReplyError::name),
        JudgeReplyContent::Response { status: 200, .. } => Err(JudgeReplyError::TooLong.name()),
        // Envoy's own answer for a call that took too long.
        JudgeReplyContent::Response { status: 504, .. } => Err(TIMEOUT),
        // Once the reply has begun, Envoy ends a call at its deadline by a reset.
        JudgeReplyContent::Response { status: 0, .. } if reached_deadline(took_ns, deadline_ms) => {
            Err(TIMEOUT)
        }
        JudgeReplyContent::Response { status: 0, .. } => Err("reset"),
        JudgeReplyContent::Response { .. } => Err("error_status"),
        JudgeReplyContent::NotSent => Err("not_sent"),
        JudgeReplyContent::Abandoned => Err(ABANDONED),
    }
}

/// Counts a decision that a grade has changed, or would have.
fn count_change(decision: &Decision, policy: &Policy, effects: &mut Vec<Effect>) {
    let Some(Judging::Graded(graded)) = &decision.judging else {
        return;
    };
    let registry = &policy.registry;
    let model = |id| Some(registry.backend(id)?.model);
    let (without, with) = (model(graded.without), model(graded.with));
    if without != with
        && let Some(model) = with.and_then(|id| registry.model(id))
    {
        effects.push(Effect::Count(Metric::judge_changes(&model.name)));
    }
}

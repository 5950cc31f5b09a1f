//! The life of one HTTP exchange as a state machine: [`Event`]s in, [`Effect`]s out. Pure.
//!
//! The host (`crates/filter`, or a test) reports events and applies the effects in their order. When the machine needs
//! something of the host (the held body, the clock, the number of attempts), it asks by [`Effect::Ask`], and the host answers
//! by [`Event::Answer`]; nothing is read in vain.
//!
//! This room uses every room below it. It does not decide where a request goes (`routing` does), knows no host call, and keeps
//! no state beyond its exchange: what workers learn lives in `state`.

mod answer_checks;
mod answer_to_grade;
pub mod attempt;
mod backend_observer;
mod deciding;
mod decision_annotations;
mod edits;
mod effect;
mod estimated_usage;
mod event;
mod failover;
mod feedback;
mod forwarding;
pub mod grader;
mod grading;
mod judging;
mod log_rate_limiter;
mod outbound;
mod plan;
pub mod prewarm;
mod question;
mod receipts;
mod reply;
mod request_kind;
mod routed;
mod scan;
mod undecided;
mod upstream;
mod usage_recorder;
mod verdict;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;

use std::rc::Rc;

pub use answer_to_grade::AnswerToGrade;
pub use decision_annotations::printable;
pub use effect::{Effect, JUDGE_USER_AGENT, JudgeCall, KeptGrade, Level, Reply};
pub use event::{Event, JudgeReply, JudgeReplyContent};
pub use grader::Grader;
pub use judging::KnownGrades;
pub use log_rate_limiter::LogRateLimiter;
pub use question::{Answer, Question};
pub use receipts::ReceiptAuthority;

use crate::api::path::ApiPath;
use crate::api::request::top_level::TopLevelFields;
use crate::api::request::unparsed::UnparsedBody;
use crate::fleet::clusters::Failover;
use crate::policy::Policy;
use crate::routing::decision::{Bypass, Outcome};
use crate::routing::router::{RequestInfo, Router};
use crate::state::backend_stats::BackendStats;
use crate::telemetry::Metric;
use crate::telemetry::state::{self, FilterState};
use backend_observer::BackendObserver;
use deciding::{observe, record, with_state};
use decision_annotations::DecisionAnnotations;
use feedback::FeedbackRequest;
use judging::JudgeDesk;
use outbound::Outbound;
use plan::{Body, ParsedBody, Plan};
use request_kind::{Intent, RequestKind, find, find_kind, remove_our_headers};
use routed::Routed;
use scan::Scan;
use undecided::Cause;
use usage_recorder::UsageRecorder;

/// A header: its lower-case name, and its value, which need not be UTF-8.
pub type Header<'a> = (&'a [u8], &'a [u8]);

/// Worker-local state available to a request.
pub struct Worker<'a> {
    /// The request header that names the upstream cluster.
    pub cluster_header: &'a str,
    /// How requests get to another backend when an attempt fails.
    pub failover: Failover,
    /// The fingerprint of the plugin configuration, under which attempts find the policy.
    pub plugin: u64,
    /// The values that are set for access logs and spans.
    pub filter_state: FilterState,
    /// The policy in force; `None` if there is none yet. Read when a request begins: a later policy does not change that
    /// request.
    pub policy: Option<&'a Rc<Policy>>,
    /// The router; `None` if it is not available, which is an error like any other.
    pub router: Option<&'a mut Router>,
    /// The statistics of the backends; `None` if none are to be kept.
    pub stats: Option<&'a mut BackendStats>,
    /// Finds the key of the state scope that made the state with this mark; `None` if nobody remembers.
    pub find_maker: &'a dyn Fn(u64) -> Option<u32>,
    /// How receipts are made and taken.
    pub receipts: ReceiptAuthority<'a>,
    /// How grades of the judge are found.
    pub grades: KnownGrades<'a>,
}

/// One HTTP exchange.
#[derive(Debug)]
pub struct Stream {
    phase: Phase,
    outbound: Outbound,
    annotations: DecisionAnnotations,
    /// The request after its decision; `None` if nothing was decided.
    routed: Option<Box<Routed>>,
    /// Records what the answer takes and costs.
    usage: Option<Box<UsageRecorder>>,
    /// Observes the backends of the answer; `None` if the policy does not use statistics.
    backend: Option<BackendObserver>,
    judging: JudgeDesk,
}

/// The phase of an exchange.
#[derive(Debug)]
enum Phase {
    /// No event has come.
    Begun,
    /// The request is held until enough of its body has come.
    Holding { plan: Plan, held: usize },
    /// The host was asked for the body, or for its first part. `fields` are the short fields behind that part, if they were
    /// searched.
    Reading {
        plan: Plan,
        held: usize,
        ended: bool,
        fields: Option<Box<TopLevelFields>>,
    },
    /// The first part is not enough: the rest is searched for short fields as it comes.
    Scanning(Box<Scan>),
    /// A request with feedback is held until its body has come, or its body was asked for.
    Feedback(FeedbackRequest),
    /// The request is held until the judge has replied.
    Judging { plan: Plan, held: usize },
    /// The request is decided, and the host was asked for the time.
    Timing { started_ns: u64 },
    /// The request has been let go.
    Passed,
    /// The client has its answer.
    Answered,
}

impl Default for Stream {
    fn default() -> Stream {
        Stream::new()
    }
}

impl Stream {
    /// An exchange before its first event.
    pub fn new() -> Stream {
        Stream {
            phase: Phase::Begun,
            outbound: Outbound::default(),
            annotations: DecisionAnnotations::default(),
            routed: None,
            usage: None,
            backend: None,
            judging: JudgeDesk::default(),
        }
    }

    /// Gives the effects of `event`.
    pub fn on(&mut self, event: Event<'_>, worker: &mut Worker<'_>) -> Vec<Effect> {
        // Room for what a decision and the end of an exchange usually have, so that the list does not grow step by step.
        let mut effects = Vec::with_capacity(match event {
            Event::Answer(Answer::RequestBody { .. }) => 32,
            Event::Done(_) => 16,
            _ => 0,
        });
        match event {
            Event::RequestHeaders {
                headers,
                end_of_stream,
            } => self.on_request_headers(headers, end_of_stream, worker, &mut effects),
            Event::RequestBody {
                held,
                end_of_stream,
            } => self.on_request_body(held, end_of_stream, &mut effects),
            Event::RequestTrailers => self.on_request_trailers(&mut effects),
            Event::ResponseHeaders => self.on_response_headers(&mut effects),
            Event::ResponseBody {
                size,
                end_of_stream,
            } => self.on_response_body(size, end_of_stream, worker, &mut effects),
            Event::Answer(answer) => self.on_answer(answer, worker, &mut effects),
            Event::JudgeReply(reply) => self.on_judge_reply(&reply, worker, &mut effects),
            Event::Done(now_ns) => self.on_done(now_ns, worker, &mut effects),
        }
        effects
    }

    /// The host has answered a question.
    fn on_answer(
        &mut self,
        answer: Answer<'_>,
        worker: &mut Worker<'_>,
        effects: &mut Vec<Effect>,
    ) {
        match answer {
            Answer::RequestBody { bytes, now_ns } => self.on_body(bytes, now_ns, worker, effects),
            Answer::Clock(now_ns) => self.on_clock(now_ns, effects),
            Answer::ResponseHeaders(headers) => {
                self.on_response_head(headers, effects);
                self.seal_receipt(worker, effects);
            }
            Answer::ResponseBody { bytes, now_ns } => {
                self.on_response_bytes(bytes, now_ns, effects);
            }
            Answer::ResponseDetails { text, now_ns } => self.finish(text, now_ns, worker, effects),
            Answer::AttemptCount(attempts) => {
                let routed = self.routed.as_deref_mut();
                self.annotations.attempts(attempts, routed, effects);
                self.seal_receipt(worker, effects);
            }
            Answer::UpstreamHost(host) => {
                let routed = self.routed.as_deref_mut();
                self.annotations.host(host, routed, effects);
                self.seal_receipt(worker, effects);
            }
        }
    }

    fn on_request_headers(
        &mut self,
        headers: &[Header<'_>],
        end_of_stream: bool,
        worker: &Worker<'_>,
        effects: &mut Vec<Effect>,
    ) {
        self.annotations.filter_state = worker.filter_state;
        remove_our_headers(headers, worker.cluster_header, effects);
        let sent = String::from_utf8_lossy(find(headers, ":path").unwrap_or_default());
        let path = ApiPath::read(&sent);
        let policy = worker.policy.map(Rc::as_ref);
        let kind = find_kind(headers, &path, &sent, !end_of_stream, policy);
        if let Some(policy) = worker.policy {
            self.outbound = Outbound::new(headers, worker, policy);
        }
        let (api, intent, unsupported) = match (kind, worker.policy) {
            (RequestKind::Llm(api, intent), _) => (api, intent, None),
            (RequestKind::NearMiss(api, unsupported), Some(_)) => {
                (api, Intent::Answer, Some(unsupported))
            }
            (RequestKind::ModelList, Some(policy)) => {
                return self.answer(reply::model_list(policy, headers, &sent), effects);
            }
            (RequestKind::Model(name), Some(policy)) => {
                return self.answer(reply::model(policy, &name, headers), effects);
            }
            (RequestKind::Feedback, Some(policy)) => {
                return self.on_feedback(policy, headers, end_of_stream, worker, effects);
            }
            (_, policy) => {
                if let Some(policy) = policy {
                    self.outbound.pass(headers, policy, effects);
                }
                return self.pass(effects);
            }
        };
        let Some(policy) = worker.policy else {
            return self.bypass("no_policy", None, worker.cluster_header, effects);
        };
        let filter_state = worker.filter_state;
        filter_state.set(effects, state::POLICY_VERSION, &policy.version);
        let plan = Plan::new(policy, (api, intent, unsupported), headers, (&path, &sent));
        if plan.unsupported.is_some() {
            return self.on_unsupported(plan, end_of_stream, effects);
        }
        if end_of_stream {
            self.read(plan, 0, true, effects);
        } else {
            self.phase = Phase::Holding { plan, held: 0 };
            effects.push(Effect::Pause);
        }
    }

    fn on_request_body(&mut self, held: usize, end_of_stream: bool, effects: &mut Vec<Effect>) {
        match self.take_phase() {
            Phase::Holding { plan, .. } if end_of_stream || held >= plan.policy.max_body_bytes => {
                self.read(plan, held, end_of_stream, effects);
            }
            Phase::Holding { plan, .. } => {
                self.phase = Phase::Holding { plan, held };
                effects.push(Effect::Pause);
            }
            Phase::Scanning(scan) => self.scan_more(scan, held, end_of_stream, effects),
            Phase::Feedback(request) => {
                self.on_feedback_body(request, held, end_of_stream, effects);
            }
            phase => self.keep(phase, effects),
        }
    }

    fn on_request_trailers(&mut self, effects: &mut Vec<Effect>) {
        match self.take_phase() {
            Phase::Holding { plan, held } => self.read(plan, held, true, effects),
            Phase::Scanning(scan) => {
                let held = scan.held;
                self.scan_more(scan, held, true, effects);
            }
            Phase::Feedback(request) => self.read_feedback(request, effects),
            phase => self.keep(phase, effects),
        }
    }

    fn on_body(
        &mut self,
        bytes: Option<&[u8]>,
        now_ns: u64,
        worker: &mut Worker<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let (plan, held, ended, fields) = match self.take_phase() {
            Phase::Reading {
                plan,
                held,
                ended,
                fields,
            } => (plan, held, ended, fields),
            Phase::Scanning(scan) => return self.on_piece(scan, bytes, now_ns, worker, effects),
            Phase::Feedback(request) => {
                return self.on_feedback_bytes(&request, bytes, now_ns, worker, effects);
            }
            phase => {
                self.phase = phase;
                return;
            }
        };
        let Some(bytes) = bytes else {
            return self.unreadable(&plan, now_ns, worker, effects);
        };
        let body = Body {
            bytes,
            held,
            complete: ended && bytes.len() == held,
        };
        if plan.unsupported.is_some() {
            return self.finish_unsupported(&plan, body, now_ns, worker, effects);
        }
        let plan = match fields {
            None if !body.complete => self.scan(plan, (held, ended), bytes, effects),
            _ => Some(plan),
        };
        if let Some(plan) = plan {
            self.phase = Phase::Timing { started_ns: now_ns };
            let request = plan.parse(body, fields.as_deref());
            let request = with_state(&plan, bytes, request);
            self.on_request((plan, request), body, now_ns, worker, effects);
        }
    }

    /// The body is parsed, or cannot be parsed.
    fn on_request(
        &mut self,
        (plan, request): (Plan, ParsedBody<'_>),
        body: Body<'_>,
        now_ns: u64,
        worker: &mut Worker<'_>,
        effects: &mut Vec<Effect>,
    ) {
        if plan.intent == Intent::DryRun {
            return self.dry_run(worker, &plan, body, &request, now_ns, effects);
        }
        if plan.is_foreign(&request) {
            effects.push(Effect::Count(Metric::unrecognized_requests("body")));
            return self.pass(effects);
        }
        if worker.filter_state.is_on() {
            decision_annotations::set_requested(&plan, &request, effects);
        }
        let info = plan.request_info(now_ns);
        // The model may be named behind the limit: then it is unknown, and a decision could not be written into the body.
        let unseen = matches!(&request, Ok(request) if request.may_name_another_model());
        if unseen && !plan.policy.traffic.decide_missing_model {
            let (cause, named) = (
                Cause::model_missing(&plan.policy),
                UnparsedBody::UNKNOWN.named,
            );
            return self.undecided(&plan, &cause, named, &info, worker, effects);
        }
        let observed = self.judging.take_observed();
        let observed = observed.unwrap_or_else(|| observe(worker, &plan, &request, now_ns));
        let outcome = self.decide(&plan, &request, body, (&observed, now_ns), worker);
        let is_held = self.consult(
            &plan,
            &outcome,
            body.complete,
            (&observed, now_ns),
            worker,
            effects,
        );
        if is_held {
            let held = body.held;
            self.phase = Phase::Judging { plan, held };
            return effects.push(Effect::Pause);
        }
        record(worker, &plan, &outcome);
        match plan.policy.traffic.shadow {
            true => self.shadow(&plan, &outcome, worker.cluster_header, effects),
            false => self.act(&plan, outcome, (body, &request), &info, worker, effects),
        }
        self.keep_unheld(plan, body.bytes);
    }

    /// Carries out a decision.
    fn act(
        &mut self,
        plan: &Plan,
        outcome: Outcome,
        (body, request): (Body<'_>, &ParsedBody<'_>),
        info: &RequestInfo<'_>,
        worker: &mut Worker<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let header = worker.cluster_header;
        match (outcome, request) {
            (Outcome::Routed(decision), Ok(request)) => {
                let asked = (request, info.now_ns);
                let routed = self.route(plan, *decision, body, asked, worker, effects);
                if routed.is_none() {
                    self.fault(plan, Some(request), info, worker, effects);
                }
            }
            (Outcome::Rejected(rejection), _) => {
                self.refuse(&plan.policy, plan.api, &rejection, effects);
            }
            (Outcome::Bypassed(Bypass::UnknownModel(_)), _) => {
                self.bypass("unknown_model", Some(&plan.policy), header, effects);
            }
            (Outcome::Bypassed(Bypass::InvalidRequest(_)), _) => {
                self.bypass("invalid_request", Some(&plan.policy), header, effects);
            }
            (Outcome::Bypassed(Bypass::RouterFault(fault)), _) => {
                effects.push(Effect::Log(Level::Warn, fault));
                self.fault(plan, request.as_ref().ok(), info, worker, effects);
            }
            // INVARIANT: a request that cannot be parsed is never routed.
            (Outcome::Routed(_), Err(_)) => self.fault(plan, None, info, worker, effects),
        }
    }

    /// A piece of a long body has been read.
    #[inline(never)]
    fn on_piece(
        &mut self,
        scan: Box<Scan>,
        piece: Option<&[u8]>,
        now_ns: u64,
        worker: &Worker<'_>,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(plan) = self.scan_piece(scan, piece, effects) {
            self.unreadable(&plan, now_ns, worker, effects);
        }
    }

    /// Tells the client what would be decided, with every candidate.
    #[inline(never)]
    fn dry_run(
        &mut self,
        worker: &mut Worker<'_>,
        plan: &Plan,
        body: Body<'_>,
        request: &ParsedBody<'_>,
        now_ns: u64,
        effects: &mut Vec<Effect>,
    ) {
        let observed = observe(worker, plan, request, now_ns);
        let whole = Body {
            complete: true,
            ..body
        };
        let outcome = self.decide(plan, request, whole, (&observed, now_ns), worker);
        self.answer(reply::dry_run(&plan.policy, &outcome), effects);
    }

    fn on_clock(&mut self, now_ns: u64, effects: &mut Vec<Effect>) {
        if let Phase::Timing { started_ns } = self.phase {
            let micros = now_ns.saturating_sub(started_ns).div_ceil(1000);
            self.annotations.decision_us(micros);
            effects.push(Effect::Observe(Metric::decision_us(), micros));
            self.phase = Phase::Passed;
        }
        effects.push(Effect::Continue);
    }

    fn answer(&mut self, reply: Reply, effects: &mut Vec<Effect>) {
        self.phase = Phase::Answered;
        effects.push(Effect::Reply(reply));
        effects.push(Effect::Pause);
    }

    fn pass(&mut self, effects: &mut Vec<Effect>) {
        self.phase = Phase::Passed;
        effects.push(Effect::Continue);
    }

    /// Asks for the part of the body that is to be parsed.
    fn read(&mut self, plan: Plan, held: usize, ended: bool, effects: &mut Vec<Effect>) {
        let size = held.min(plan.policy.max_body_bytes);
        self.phase = Phase::Reading {
            plan,
            held,
            ended,
            fields: None,
        };
        effects.push(Effect::Ask(Question::RequestBody { start: 0, size }));
    }

    /// Puts the phase back. The request is held only if the client has its answer already, or the judge is asked.
    fn keep(&mut self, phase: Phase, effects: &mut Vec<Effect>) {
        effects.push(match phase {
            Phase::Answered | Phase::Judging { .. } => Effect::Pause,
            _ => Effect::Continue,
        });
        self.phase = phase;
    }

    fn take_phase(&mut self) -> Phase {
        std::mem::replace(&mut self.phase, Phase::Passed)
    }
}

//! The way of a decided request to its backend and back: sends it, has its response observed, and finishes the exchange.

use std::rc::Rc;

use super::backend_observer::{self, BackendObserver, End};
use super::edits::edits;
use super::effect::set_request_header;
use super::failover::{self, Outgoing};
use super::feedback;
use super::grading;
use super::plan::Body;
use super::receipts;
use super::request_kind::{Intent, remove_forged};
use super::routed::Routed;
use super::usage_recorder::{self, UsageRecorder};
use super::{Effect, Header, Phase, Plan, Question, Stream, Worker};
use crate::api::request::Request;
use crate::routing::decision::Decision;
use crate::telemetry::Metric;

impl Stream {
    /// Sends the request to the backend of `decision`, its body naming the model as this backend knows it; `None` if there is
    /// no such backend.
    pub(super) fn route(
        &mut self,
        plan: &Plan,
        decision: Decision,
        body: Body<'_>,
        (request, now_ns): (&Request<'_>, u64),
        worker: &mut Worker<'_>,
        effects: &mut Vec<Effect>,
    ) -> Option<()> {
        let policy = &plan.policy;
        // INVARIANT: a decision names backends of the policy that it was made with.
        let backend = policy.registry.backend(decision.backend)?;
        set_headers(plan, effects);
        let mut content_length = plan.content_length;
        let usage = usage_recorder::asks_for_usage(plan, request);
        let Body { bytes, held, .. } = body;
        let splices = edits(plan, &decision, backend, bytes, (request, usage), effects);
        if !splices.is_empty() {
            let (edit, length) = Effect::edit_body(splices, bytes, held, content_length);
            effects.push(edit);
            content_length = length;
        }
        let outgoing = Outgoing {
            request,
            content_length,
            client_timeout_ms: plan.client_timeout_ms,
            now_ns,
        };
        let chain = failover::set_upstream(worker, policy, &decision, &outgoing, effects);
        self.outbound
            .fit(backend, plan.path.as_deref(), policy, effects);
        effects.push(Effect::ClearRouteCache);
        match plan.intent {
            Intent::TokenCount => self.annotations.counting(policy, &decision, effects),
            Intent::Answer | Intent::DryRun => self.annotations.routed(policy, &decision, effects),
        }
        effects.push(Effect::Ask(Question::Clock));
        let mut routed = Routed {
            receipt: receipts::draft(plan, &decision, request, now_ns, worker),
            grading: None,
            policy: Rc::clone(policy),
            decision,
            chain,
            failover: worker.failover,
            filter_state: worker.filter_state,
            fallback: None,
            judge_usd: self.judging.cost_usd(),
            is_sealed: false,
        };
        if routed.receipt.is_some() {
            routed.grading = grading::draft(plan, &routed.decision, request);
        }
        self.observe(plan, &routed, request, now_ns, worker);
        routed.decision.candidates = Vec::new();
        // Holds the prompt, if no grade came.
        routed.decision.judging = None;
        self.routed = Some(Box::new(routed));
        Some(())
    }

    /// Begins to observe the answer, if one is asked for.
    fn observe(
        &mut self,
        plan: &Plan,
        routed: &Routed,
        request: &Request<'_>,
        now_ns: u64,
        worker: &mut Worker<'_>,
    ) {
        if plan.intent != Intent::Answer {
            return;
        }
        let chosen = routed.decision.backend;
        backend_observer::keep_warm(worker, &routed.policy, chosen, now_ns, true);
        self.backend = BackendObserver::start(worker, routed, request, now_ns);
        self.usage = Some(Box::new(UsageRecorder::new(plan, request, now_ns)));
    }

    pub(super) fn on_response_headers(&mut self, effects: &mut Vec<Effect>) {
        effects.push(Effect::Continue);
        match self.phase {
            // Envoy answers in the backend's place, so nothing waits for the judge any more.
            Phase::Judging { .. } => {
                self.phase = Phase::Passed;
                effects.push(Effect::Ask(Question::ResponseHeaders));
            }
            // The answer is Pointsman's own, and so are its headers.
            Phase::Answered => {
                let routed = self.routed.as_deref();
                self.annotations.response_headers(routed, effects);
            }
            // The headers are cleared of any that pretend to be Pointsman's.
            _ => effects.push(Effect::Ask(Question::ResponseHeaders)),
        }
    }

    pub(super) fn on_response_head(&mut self, headers: &[Header<'_>], effects: &mut Vec<Effect>) {
        remove_forged(headers, effects);
        if let (Some(usage), Some(routed)) = (&mut self.usage, &self.routed) {
            usage.on_headers(headers, routed, effects);
        }
        if let Some(backend) = &mut self.backend {
            backend.on_headers(headers);
        }
        let routed = self.routed.as_deref_mut();
        self.annotations.response_head(headers, routed, effects);
    }

    /// Completes the receipt, once it is known which backend has answered, and that it is no error.
    pub(super) fn seal_receipt(&mut self, worker: &Worker<'_>, effects: &mut Vec<Effect>) {
        let is_answered = self.usage.as_ref().is_some_and(|usage| usage.is_answered());
        if is_answered
            && !self.annotations.is_open(self.routed.as_deref())
            && let Some(routed) = self.routed.as_deref_mut()
        {
            receipts::seal(routed, worker, effects);
        }
    }

    pub(super) fn on_response_body(
        &mut self,
        size: usize,
        end_of_stream: bool,
        worker: &mut Worker<'_>,
        effects: &mut Vec<Effect>,
    ) {
        effects.push(Effect::Continue);
        if let (Some(usage), Some(routed)) = (&mut self.usage, &self.routed) {
            usage.on_body(size, end_of_stream, routed, effects);
        }
        if let Some(backend) = &mut self.backend {
            let stats = worker.stats.as_deref_mut();
            backend.on_body(size, end_of_stream, stats);
        }
    }

    pub(super) fn on_response_bytes(
        &mut self,
        bytes: Option<&[u8]>,
        now_ns: u64,
        effects: &mut Vec<Effect>,
    ) {
        let (Some(usage), Some(routed)) = (&mut self.usage, &self.routed) else {
            return;
        };
        usage.on_bytes(bytes, now_ns, routed, effects);
        if let (Some(backend), Some(has_content)) = (&mut self.backend, usage.has_content()) {
            backend.on_bytes(now_ns, has_content);
        }
    }

    /// The exchange is over. An answer whose end was not seen is finished once Envoy has said what ended it.
    pub(super) fn on_done(
        &mut self,
        now_ns: u64,
        worker: &mut Worker<'_>,
        effects: &mut Vec<Effect>,
    ) {
        self.leave_judge(now_ns, worker, effects);
        match &self.usage {
            Some(usage) if usage.is_cut_off() => {
                effects.push(Effect::Ask(Question::ResponseDetails));
            }
            _ => self.finish(None, now_ns, worker, effects),
        }
    }

    /// Finishes the exchange: its outcome goes into the statistics of its backends, its usage into metrics and budgets.
    /// `details` are Envoy's response code details, if the answer was cut off.
    pub(super) fn finish(
        &mut self,
        details: Option<&[u8]>,
        now_ns: u64,
        worker: &mut Worker<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let (Some(mut usage), Some(mut routed)) = (self.usage.take(), self.routed.take()) else {
            return;
        };
        let is_truncated = usage.is_truncated(details);
        if usage.is_answered() {
            let (policy, answering) = (&routed.policy, routed.answering());
            backend_observer::keep_warm(worker, policy, answering, now_ns, false);
            if is_truncated && let Some(backend) = policy.registry.backend(answering) {
                effects.push(Effect::Count(Metric::responses_truncated(&backend.name)));
            }
        }
        if let (Some(backend), Some(stats)) = (self.backend.take(), &mut worker.stats) {
            let end = End {
                now_ns,
                attempts: self.annotations.attempt_count(),
                is_truncated,
                answer: usage.answer_outcome(),
            };
            backend.finish(&end, &routed, stats, effects);
        }
        if let Some(checked) = usage.checked()
            && let Some(outcome) = checked.outcome(&routed)
        {
            let router = worker.router.as_deref_mut();
            feedback::record(&outcome, &routed.policy, now_ns, router, effects);
        }
        grading::finish(&mut routed, &mut usage, worker, effects);
        let usd = usage.finish(&routed, now_ns, effects);
        if let Some(router) = &mut worker.router {
            router.settle(&routed.decision.charge, usd);
        }
    }
}

/// Sets the path in its normal form, and asks for an answer that can be read.
fn set_headers(plan: &Plan, effects: &mut Vec<Effect>) {
    if let Some(path) = &plan.path {
        set_request_header(":path", path.into(), effects);
    }
    if plan.intent == Intent::Answer {
        // Usage can be read from an uncompressed answer only, and SDKs ask for compression by themselves.
        effects.push(Effect::RemoveRequestHeader(b"accept-encoding".to_vec()));
    }
}

//! Requests that look like those of an LLM API but cannot be decided: which are rejected, with which error, and which go on.

use std::rc::Rc;

use smol_str::SmolStr;

use super::failover::set_cluster;
use super::plan::Body;
use super::request_kind::Unsupported;
use super::{Effect, Phase, Plan, Question, Stream, Worker, decision_annotations, reply};
use crate::api::Api;
use crate::api::request::Request;
use crate::api::request::unparsed::{NamedModel, UnparsedBody};
use crate::policy::{Policy, Undecided};
use crate::routing::decision::{Outcome, Rejection};
use crate::routing::router::{self, RequestInfo};
use crate::schema::suggest::quote;
use crate::telemetry::Metric;

/// Why a request cannot be decided.
pub(super) struct Cause {
    /// The name in metrics and headers, if the request goes on.
    pub(super) name: &'static str,
    /// The error for the client, if it does not.
    pub(super) rejection: Rejection,
}

impl Cause {
    /// The router failed, or there is none.
    pub(super) fn router_error() -> Cause {
        Cause::ours("router_error", "the router failed; try again")
    }

    /// The host could not read the body.
    pub(super) fn body_unreadable() -> Cause {
        Cause::ours(
            "body_unreadable",
            "the request could not be read; try again",
        )
    }

    /// A fault in Pointsman or Envoy: trying again may help.
    fn ours(name: &'static str, message: &str) -> Cause {
        Cause {
            name,
            rejection: router::reject(503, name, message.to_owned()),
        }
    }

    /// `model` was not found in the part of a long body that is read.
    pub(super) fn model_missing(policy: &Policy) -> Cause {
        let message = format!(
            "`model` was not found in what is read of the body, {} bytes at most; state it before what is long",
            policy.max_scan_bytes.max(policy.max_body_bytes)
        );
        let mut rejection = router::reject(400, "model_missing", message);
        rejection.param = Some("model".to_owned());
        Cause {
            name: "model_missing",
            rejection,
        }
    }

    /// The headers make a decision impossible; `detail` is the path, method or encoding.
    pub(super) fn unsupported(unsupported: Unsupported, detail: &str) -> Cause {
        let detail = quote(detail);
        let (name, status, code, message) = match unsupported {
            Unsupported::Path => (
                "path",
                404,
                "unknown_url",
                format!("{detail} is not the path of an API that is routed"),
            ),
            Unsupported::Method => (
                "method",
                405,
                "method_not_allowed",
                format!("the method {detail} is not allowed here; use `POST`"),
            ),
            Unsupported::WebSocket => (
                "websocket",
                426,
                "websocket_unsupported",
                "WebSockets are not supported here; send the request by `POST`".to_owned(),
            ),
            Unsupported::Encoding => (
                "content_encoding",
                415,
                "unsupported_content_encoding",
                format!(
                    "the content-encoding {detail} is not read; send the body uncompressed, or have Envoy decompress it first (`envoy.filters.http.decompressor` before this filter)"
                ),
            ),
        };
        Cause {
            name,
            rejection: router::reject(status, code, message),
        }
    }
}

impl Stream {
    /// The headers make a decision impossible, whatever the body is. Rejects the request at once, lets it go on, or reads its
    /// body first, if the policy protects certain content.
    #[inline(never)]
    pub(super) fn on_unsupported(&mut self, plan: Plan, ended: bool, effects: &mut Vec<Effect>) {
        let Some((unsupported, detail)) = &plan.unsupported else {
            return;
        };
        let (unsupported, cause) = (*unsupported, Cause::unsupported(*unsupported, detail));
        let is_near_miss = unsupported != Unsupported::Encoding;
        if is_near_miss {
            effects.push(Effect::Count(Metric::unrecognized_requests(cause.name)));
        }
        let traffic = &plan.policy.traffic;
        // No body comes before the WebSocket is open; plain HTTP may do as well.
        if unsupported == Unsupported::WebSocket {
            let goes_on = traffic.shadow || plan.policy.undecided == Some(Undecided::Bypass);
            return match goes_on {
                true => self.pass(effects),
                false => self.refuse(&plan.policy, plan.api, &cause.rejection, effects),
            };
        }
        if traffic.shadow && is_near_miss {
            return self.pass(effects);
        }
        // The body of a near miss shows its purpose: it may belong to another application.
        let (undecided, _) = plan.policy.undecided();
        if undecided == Undecided::Reject && !is_near_miss {
            return self.refuse(&plan.policy, plan.api, &cause.rejection, effects);
        }
        // Without its body nothing tells whose request this is.
        if !plan.is_certain {
            effects.push(Effect::Count(Metric::unrecognized_requests("body")));
            return self.pass(effects);
        }
        if ended {
            self.read(plan, 0, true, effects);
        } else {
            self.phase = Phase::Holding { plan, held: 0 };
            effects.push(Effect::Pause);
        }
    }

    /// The body of a request that cannot be decided has come.
    #[inline(never)]
    pub(super) fn finish_unsupported(
        &mut self,
        plan: &Plan,
        body: Body<'_>,
        now_ns: u64,
        worker: &Worker<'_>,
        effects: &mut Vec<Effect>,
    ) {
        self.phase = Phase::Timing { started_ns: now_ns };
        let Some((unsupported, detail)) = &plan.unsupported else {
            return;
        };
        let unparsed = scan_unparsed(&plan.policy, body.bytes, body.complete);
        let cause = Cause::unsupported(*unsupported, detail);
        if *unsupported == Unsupported::Encoding {
            let info = plan.request_info(now_ns);
            return self.undecided(plan, &cause, unparsed.named, &info, worker, effects);
        }
        if unparsed.may_be_request && plan.policy.refuses_undecided(unparsed.named) {
            return self.refuse(&plan.policy, plan.api, &cause.rejection, effects);
        }
        // Not a request of an LLM API: its own route applies.
        self.pass(effects);
    }

    /// Rejects an undecided request of an LLM API, or sends it to the default cluster.
    #[inline(never)]
    pub(super) fn undecided(
        &mut self,
        plan: &Plan,
        cause: &Cause,
        named: NamedModel,
        info: &RequestInfo<'_>,
        worker: &Worker<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let policy = &plan.policy;
        if policy.refuses_undecided(named) {
            return self.refuse(policy, plan.api, &cause.rejection, effects);
        }
        let router = worker.router.as_ref().filter(|_| !policy.traffic.shadow);
        if let Some(rejection) = router.and_then(|router| router.refuse_unread(policy, info)) {
            return self.refuse(policy, plan.api, &rejection, effects);
        }
        self.bypass(cause.name, Some(policy), worker.cluster_header, effects);
    }

    /// The host could not read the body.
    #[inline(never)]
    pub(super) fn unreadable(
        &mut self,
        plan: &Plan,
        now_ns: u64,
        worker: &Worker<'_>,
        effects: &mut Vec<Effect>,
    ) {
        self.phase = Phase::Timing { started_ns: now_ns };
        effects.push(Effect::Count(Metric::host_call_errors()));
        let info = plan.request_info(now_ns);
        let (cause, named) = (Cause::body_unreadable(), UnparsedBody::UNKNOWN.named);
        self.undecided(plan, &cause, named, &info, worker, effects);
    }

    /// The router failed: the request goes on, unless the policy forbids it.
    #[inline(never)]
    pub(super) fn fault(
        &mut self,
        plan: &Plan,
        request: Option<&Request<'_>>,
        info: &RequestInfo<'_>,
        worker: &Worker<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let name = request.and_then(|request| request.model.as_deref());
        let named = router::named(&plan.policy, name);
        self.undecided(plan, &Cause::router_error(), named, info, worker, effects);
    }

    /// Lets the request go on undecided and untouched, to the policy's default cluster or by the default route.
    #[inline(never)]
    pub(super) fn bypass(
        &mut self,
        cause: &'static str,
        policy: Option<&Rc<Policy>>,
        cluster_header: &str,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(policy) = policy.filter(|policy| !policy.default_cluster.is_empty()) {
            set_cluster(cluster_header, &policy.default_cluster, effects);
            self.outbound.fit_default(policy, effects);
            effects.push(Effect::ClearRouteCache);
        }
        self.annotations
            .bypassed(cause, policy.map(Rc::as_ref), effects);
        match self.phase {
            Phase::Timing { .. } => effects.push(Effect::Ask(Question::Clock)),
            _ => self.pass(effects),
        }
    }

    /// Annotates what the decision would have been; the request goes on as if it were undecided.
    #[inline(never)]
    pub(super) fn shadow(
        &mut self,
        plan: &Plan,
        outcome: &Outcome,
        cluster_header: &str,
        effects: &mut Vec<Effect>,
    ) {
        set_cluster(cluster_header, &plan.policy.default_cluster, effects);
        self.outbound.fit_default(&plan.policy, effects);
        effects.push(Effect::ClearRouteCache);
        self.annotations.shadowed(&plan.policy, outcome, effects);
        effects.push(Effect::Ask(Question::Clock));
    }

    /// Answers with the error of a rejection.
    #[inline(never)]
    pub(super) fn refuse(
        &mut self,
        policy: &Policy,
        api: Api,
        rejection: &Rejection,
        effects: &mut Vec<Effect>,
    ) {
        self.annotations.rejected(api, rejection, effects);
        let rules = rejection.rules.iter();
        effects.extend(rules.map(|rule| Effect::Count(Metric::rule_matches(rule))));
        let mut reply = reply::error(api, rejection);
        reply.headers = decision_annotations::refused(policy, rejection);
        let helping = match rejection.status {
            405 => Some(("allow", "POST")),
            415 => Some(("accept-encoding", "identity")),
            503 => Some(("retry-after", "1")),
            _ => None,
        };
        let helping = helping.map(|(name, value)| (name, SmolStr::new_static(value)));
        reply.headers.extend(helping);
        self.answer(reply, effects);
    }
}

/// Searches a body that was not parsed as a request.
pub(super) fn scan_unparsed(policy: &Policy, body: &[u8], complete: bool) -> UnparsedBody {
    UnparsedBody::scan(body, complete, |name| policy.names_profile(name))
}

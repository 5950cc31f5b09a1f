//! Requests that look like those of an LLM API and cannot be decided on: which are refused, in what words, and which go on.

use std::rc::Rc;

use super::failover::{patience_ms, set_cluster};
use super::request_kind::{Hurdle, Intent, content_length, find, find_encoding};
use super::{Effect, Header, Phase, Plan, Stream, Worker, decision_annotations, reply};
use crate::api::Api;
use crate::api::path::{ApiPath, Target};
use crate::api::request::Request;
use crate::api::request::unparsed::{NamedModel, UnparsedBody};
use crate::policy::{Policy, Undecided};
use crate::routing::decision::{Outcome, Rejection};
use crate::routing::router::{self, RequestInfo};
use crate::schema::suggest::quote;
use crate::telemetry::Metric;

/// Why a request could not be decided on.
pub(super) struct Cause {
    /// As metrics and headers name it where the request goes on.
    pub(super) name: &'static str,
    /// What the client is told where it does not.
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

    /// A fault of ours, so that trying again may help.
    fn ours(name: &'static str, message: &str) -> Cause {
        Cause {
            name,
            rejection: router::reject(503, name, message.to_owned()),
        }
    }

    /// `model` was not in what was read of a longer body.
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

    /// What stands in the way whatever the body is; `detail` is the path, method or encoding.
    pub(super) fn hurdle(hurdle: Hurdle, detail: &str) -> Cause {
        let detail = quote(detail);
        let (name, status, code, message) = match hurdle {
            Hurdle::Path => (
                "path",
                404,
                "unknown_url",
                format!("{detail} is not the path of an API that is routed"),
            ),
            Hurdle::Method => (
                "method",
                405,
                "method_not_allowed",
                format!("the method {detail} is not allowed here; use `POST`"),
            ),
            Hurdle::WebSocket => (
                "websocket",
                426,
                "websocket_unsupported",
                "WebSockets are not supported here; send the request by `POST`".to_owned(),
            ),
            Hurdle::Encoding => (
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
    /// A request of which its headers say that nothing can be decided on it, whatever its body is: it is refused at once, or
    /// its body is looked at for what must not leave the house, or it goes on.
    pub(super) fn meet_hurdle(&mut self, plan: Plan, ended: bool, effects: &mut Vec<Effect>) {
        let Some((hurdle, detail)) = &plan.hurdle else {
            return;
        };
        let (hurdle, cause) = (*hurdle, Cause::hurdle(*hurdle, detail));
        let is_near_miss = hurdle != Hurdle::Encoding;
        if is_near_miss {
            effects.push(Effect::Count(Metric::unrecognized_requests(cause.name)));
        }
        let traffic = &plan.policy.traffic;
        // No body comes before the client has its WebSocket; and nothing says that HTTP would not do as well.
        if hurdle == Hurdle::WebSocket {
            let goes_on = traffic.shadow || plan.policy.undecided == Some(Undecided::Bypass);
            return match goes_on {
                true => self.pass(effects),
                false => self.refuse(&plan.policy, plan.api, &cause.rejection, effects),
            };
        }
        if traffic.shadow && is_near_miss {
            return self.pass(effects);
        }
        // What a near miss is for is seen in its body alone: it may be another application's.
        let (undecided, _) = plan.policy.undecided();
        if undecided == Undecided::Reject && !is_near_miss {
            return self.refuse(&plan.policy, plan.api, &cause.rejection, effects);
        }
        // Only the body could tell whose request it is.
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

    /// What becomes of a request with a hurdle whose body is there.
    pub(super) fn past_hurdle(
        &mut self,
        plan: &Plan,
        (body, complete): (&[u8], bool),
        now_ns: u64,
        worker: &Worker<'_>,
        effects: &mut Vec<Effect>,
    ) {
        self.phase = Phase::Timing { started_ns: now_ns };
        let Some((hurdle, detail)) = &plan.hurdle else {
            return;
        };
        let unread = look(&plan.policy, body, complete);
        let cause = Cause::hurdle(*hurdle, detail);
        if *hurdle == Hurdle::Encoding {
            let around = plan.circumstances(now_ns);
            return self.undecided(plan, &cause, unread.named, &around, worker, effects);
        }
        if unread.may_be_request && plan.policy.refuses_undecided(unread.named) {
            return self.refuse(&plan.policy, plan.api, &cause.rejection, effects);
        }
        // It never was ours: it goes where its own route leads.
        self.pass(effects);
    }

    /// Nothing could be decided on a request of an LLM API: it is refused, or goes to the default cluster.
    pub(super) fn undecided(
        &mut self,
        plan: &Plan,
        cause: &Cause,
        named: NamedModel,
        around: &RequestInfo<'_>,
        worker: &Worker<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let policy = &plan.policy;
        if policy.refuses_undecided(named) {
            return self.refuse(policy, plan.api, &cause.rejection, effects);
        }
        let router = worker.router.as_ref().filter(|_| !policy.traffic.shadow);
        if let Some(rejection) = router.and_then(|one| one.refuse_unread(policy, around)) {
            return self.refuse(policy, plan.api, &rejection, effects);
        }
        self.bypass(cause.name, Some(policy), worker.cluster_header, effects);
    }

    /// The host could not read the body.
    pub(super) fn unreadable(
        &mut self,
        plan: &Plan,
        now_ns: u64,
        worker: &Worker<'_>,
        effects: &mut Vec<Effect>,
    ) {
        self.phase = Phase::Timing { started_ns: now_ns };
        effects.push(Effect::Count(Metric::host_call_errors()));
        let around = plan.circumstances(now_ns);
        let (cause, named) = (Cause::body_unreadable(), UnparsedBody::UNKNOWN.named);
        self.undecided(plan, &cause, named, &around, worker, effects);
    }

    /// The router failed a request: it goes on, unless it must not.
    pub(super) fn fault(
        &mut self,
        plan: &Plan,
        request: Option<&Request<'_>>,
        around: &RequestInfo<'_>,
        worker: &Worker<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let name = request.and_then(|one| one.model.as_deref());
        let named = router::named(&plan.policy, name);
        self.undecided(plan, &Cause::router_error(), named, around, worker, effects);
    }

    /// The request goes on undecided and untouched: to the policy's default cluster, or where the default route leads.
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
        self.trace.bypassed(cause, policy.map(Rc::as_ref), effects);
        match self.phase {
            Phase::Timing { .. } => effects.push(Effect::ReadClock),
            _ => self.pass(effects),
        }
    }

    /// Nothing is done but to say what would have been: the request goes on as if it had not been decided on.
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
        self.trace.shadowed(&plan.policy, outcome, effects);
        effects.push(Effect::ReadClock);
    }

    /// The client is told why its request is refused.
    pub(super) fn refuse(
        &mut self,
        policy: &Policy,
        api: Api,
        rejection: &Rejection,
        effects: &mut Vec<Effect>,
    ) {
        self.trace.rejected(rejection.code, effects);
        decision_annotations::set_api(api, effects);
        decision_annotations::set_rules(&rejection.rules, effects);
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
        let helping = helping.map(|(name, value)| (name, value.to_owned()));
        reply.headers.extend(helping);
        self.answer(reply, effects);
    }
}

/// What can be told of a body that was not read as a request.
pub(super) fn look(policy: &Policy, body: &[u8], complete: bool) -> UnparsedBody {
    UnparsedBody::scan(body, complete, |name| policy.names_profile(name))
}

impl Plan {
    /// What is to be done about a request with these headers. `path` is how `sent`, its path, is read.
    pub(super) fn new(
        policy: &Rc<Policy>,
        (api, aim, hurdle): (Api, Intent, Option<Hurdle>),
        headers: &[Header<'_>],
        (path, sent): (&ApiPath<'_>, &str),
    ) -> Plan {
        let mut envelope = policy.traffic.looks.read(headers, &policy.registry);
        let mut is_named_certainly = true;
        if let Target::Call {
            deployment,
            is_certain,
            ..
        } = &path.target
        {
            envelope.deployment.clone_from(deployment);
            is_named_certainly = *is_certain;
        }
        let encoding = find_encoding(headers).filter(|_| aim != Intent::DryRun);
        let hurdle = match (hurdle, encoding) {
            (Some(Hurdle::Method), _) => {
                let method = find(headers, ":method").unwrap_or_default();
                Some((Hurdle::Method, String::from_utf8_lossy(method).into_owned()))
            }
            (Some(hurdle), _) => Some((hurdle, path.text.clone().into_owned())),
            (None, encoding) => encoding.map(|encoding| (Hurdle::Encoding, encoding)),
        };
        Plan {
            policy: Rc::clone(policy),
            api,
            aim,
            content_length: content_length(headers),
            patience_ms: patience_ms(headers),
            envelope,
            hurdle,
            is_certain: is_named_certainly,
            path: path.to_send(sent),
        }
    }

    /// What a decision depends on beside policy and body.
    pub(super) fn circumstances(&self, now_ns: u64) -> RequestInfo<'_> {
        RequestInfo::new(&self.envelope, now_ns)
    }

    /// Whether the body showed that the request is another application's, whose path only looks like an API's.
    pub(super) fn is_foreign(&self, request: &super::Read<'_>) -> bool {
        let is_named = |one: &crate::api::request::Request<'_>| {
            one.model.is_some() || self.envelope.deployment.is_some()
        };
        !self.is_certain && self.aim != Intent::DryRun && !request.as_ref().is_ok_and(is_named)
    }
}

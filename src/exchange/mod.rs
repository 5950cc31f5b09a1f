//! The life of one HTTP exchange as a state machine: [`Event`]s in, [`Effect`]s out. Pure.
//!
//! The host (`crates/filter`, or a test) tells what happened and carries out what comes back, in order. Where the machine
//! needs something of the host (the held body, the clock, the number of attempts) it asks by an effect, and the host
//! answers with the event of the same name; so nothing is read that is not needed. What is decided is `router`'s.

pub mod attempt;
mod backend_observer;
mod deciding;
mod decision_annotations;
mod edits;
mod effect;
mod estimated_usage;
mod event;
mod failover;
mod forwarding;
mod log_rate_limiter;
mod number;
mod outbound;
pub mod prewarm;
mod reply;
mod request_kind;
mod scan;
mod undecided;
mod usage_recorder;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;

use std::rc::Rc;

pub use decision_annotations::printable;
pub use effect::{Effect, Level};
pub use event::{Event, Header};
pub use log_rate_limiter::LogRateLimiter;
pub use number::{decimal, parse_whole};
pub use reply::Reply;

use crate::api::Api;
use crate::api::edit::{self, PrefixEdit};
use crate::api::path::ApiPath;
use crate::api::request::top_level::TopLevelFields;
use crate::api::request::unparsed::UnparsedBody;
use crate::api::request::{self, InvalidRequest, Request};
use crate::fleet::clusters::Failover;
use crate::policy::Policy;
use crate::policy::envelope::RequestAttributes;
use crate::routing::decision::{Bypass, Decision, Outcome};
use crate::routing::router::{Makers, RequestInfo, Router};
use crate::state::backend_stats::BackendStats;
use crate::telemetry::{Metric, state};
use backend_observer::BackendObserver;
use deciding::{decide, find_makers, with_state};
use decision_annotations::DecisionAnnotations;
use edits::edits;
use failover::Asked;
use outbound::Outbound;
use request_kind::{
    Hurdle, Intent, RequestKind, find, find_purpose, remove_forged, remove_our_headers,
};
use scan::Scan;
use undecided::Cause;
use usage_recorder::UsageRecorder;

/// What a request meets in its worker.
pub struct Worker<'a> {
    /// The request header that names the upstream cluster.
    pub cluster_header: &'a str,
    /// How requests get to another backend when an attempt fails.
    pub failover: Failover,
    /// The fingerprint of the plugin configuration: under it attempts find the policy.
    pub plugin: u64,
    /// The policy in force; `None` where there is none yet. Looked at when a request begins: a policy that changes under
    /// way does not change what it gets.
    pub policy: Option<&'a Rc<Policy>>,
    /// Decides; `None` where it cannot be had, which is a fault like any other.
    pub router: Option<&'a mut Router>,
    /// What was learned of the backends; `None` where nothing is to be.
    pub live: Option<&'a mut BackendStats>,
    /// The key of the state scope that made state of this mark; `None` where nobody remembers.
    pub makers: &'a dyn Fn(u64) -> Option<u32>,
}

/// One HTTP exchange.
#[derive(Debug)]
pub struct Stream {
    phase: Phase,
    outbound: Outbound,
    trace: DecisionAnnotations,
    /// What was decided and is answered now; `None` where nothing was.
    account: Option<Box<UsageRecorder>>,
}

/// Where the exchange stands.
#[derive(Debug)]
enum Phase {
    /// Nothing was seen yet.
    Begun,
    /// The request is held back until there is enough of its body.
    Holding { plan: Plan, held: usize },
    /// The body was asked for, or its first part; of the rest its short fields may be known.
    Reading {
        plan: Plan,
        held: usize,
        ended: bool,
        seen: Option<Box<TopLevelFields>>,
    },
    /// The first part does not do: the rest is looked through as it comes, for its short fields.
    Scanning(Box<Scan>),
    /// It was decided, and the clock was asked for.
    Timing { started_ns: u64 },
    /// The request goes its way.
    Passed,
    /// The client has its answer.
    Answered,
}

/// What is going to happen to a request whose body is awaited.
#[derive(Debug)]
struct Plan {
    policy: Rc<Policy>,
    api: Api,
    aim: Intent,
    content_length: Option<u64>,
    /// How long the client waits.
    patience_ms: u64,
    envelope: RequestAttributes,
    /// Why nothing can be decided on it whatever its body is, and what stands there: the path, the method, the encoding.
    hurdle: Option<(Hurdle, String)>,
    /// Whether the path can only be an LLM API's.
    is_certain: bool,
    /// The path that its backend gets, where that is another one.
    path: Option<String>,
}

/// A body, if it could be read.
type Read<'a> = Result<Request<'a>, InvalidRequest>;

/// Reads a body, or its first part with what is known of the rest.
fn read<'a>(
    plan: &Plan,
    bytes: &'a [u8],
    complete: bool,
    seen: Option<&'a TopLevelFields>,
) -> Read<'a> {
    let mut request = request::parse(plan.api, bytes, complete)?;
    if let Some(tail) = seen {
        request.join(tail)?;
    }
    Ok(request)
}

impl Default for Stream {
    fn default() -> Stream {
        Stream::new()
    }
}

impl Stream {
    /// An exchange of which nothing was seen yet.
    pub fn new() -> Stream {
        Stream {
            phase: Phase::Begun,
            outbound: Outbound::default(),
            trace: DecisionAnnotations::default(),
            account: None,
        }
    }

    /// What is to be done about `event`.
    pub fn on(&mut self, event: Event<'_>, worker: &mut Worker<'_>) -> Vec<Effect> {
        let mut effects = Vec::new();
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
            Event::Body { bytes, now_ns } => self.on_body(bytes, now_ns, worker, &mut effects),
            Event::Clock(now_ns) => self.on_clock(now_ns, &mut effects),
            Event::ResponseHeaders => self.on_response_headers(&mut effects),
            Event::ResponseHead(headers) => {
                remove_forged(headers, &mut effects);
                if let Some(account) = &mut self.account {
                    account.head(headers, &mut effects);
                }
                self.trace.response_head(headers, &mut effects);
            }
            Event::ResponseBody {
                size,
                end_of_stream,
            } => {
                effects.push(Effect::Continue);
                if let Some(account) = &mut self.account {
                    account.body(size, end_of_stream, self.trace.answered(), &mut effects);
                }
                backend_observer::hear(self.account.as_mut(), worker);
            }
            Event::Chunk { bytes, now_ns } => {
                if let Some(account) = &mut self.account {
                    account.chunk(bytes, now_ns, self.trace.answered(), &mut effects);
                }
            }
            Event::Done(now_ns) => match &self.account {
                Some(account) if account.is_cut_off() => effects.push(Effect::ReadDetails),
                _ => self.close(None, now_ns, worker, &mut effects),
            },
            Event::Details { text, now_ns } => self.close(text, now_ns, worker, &mut effects),
            Event::Attempts(attempts) => self.trace.attempts(attempts, &mut effects),
            Event::Host(host) => self.trace.host(host, &mut effects),
        }
        effects
    }

    /// The exchange is over; `details` say how, where its answer was cut off.
    fn close(
        &mut self,
        details: Option<&[u8]>,
        now_ns: u64,
        worker: &mut Worker<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let mut account = self.account.take();
        let answered = self.trace.answered();
        backend_observer::close(
            account.as_mut(),
            details,
            now_ns,
            &self.trace,
            worker,
            effects,
        );
        let paid = account.map(|one| one.close(now_ns, answered, effects));
        if let (Some((charge, usd)), Some(router)) = (paid, &mut worker.router) {
            router.settle(&charge, usd);
        }
    }

    fn on_request_headers(
        &mut self,
        headers: &[Header<'_>],
        end_of_stream: bool,
        worker: &Worker<'_>,
        effects: &mut Vec<Effect>,
    ) {
        remove_our_headers(headers, worker.cluster_header, effects);
        let sent = String::from_utf8_lossy(find(headers, ":path").unwrap_or_default());
        let path = ApiPath::read(&sent);
        let policy = worker.policy.map(Rc::as_ref);
        let purpose = find_purpose(headers, &path, &sent, !end_of_stream, policy);
        if let Some(policy) = worker.policy {
            self.outbound = Outbound::new(headers, worker, policy);
        }
        let (api, aim, hurdle) = match (purpose, worker.policy) {
            (RequestKind::Llm(api, aim), _) => (api, aim, None),
            (RequestKind::NearMiss(api, hurdle), Some(_)) => (api, Intent::Answer, Some(hurdle)),
            (RequestKind::ModelList, Some(policy)) => {
                return self.answer(reply::model_list(policy, headers, &sent), effects);
            }
            (RequestKind::Model(name), Some(policy)) => {
                return self.answer(reply::model(policy, &name, headers), effects);
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
        decision_annotations::set_state(effects, state::POLICY_VERSION, &policy.version);
        let plan = Plan::new(policy, (api, aim, hurdle), headers, (&path, &sent));
        if plan.hurdle.is_some() {
            return self.meet_hurdle(plan, end_of_stream, effects);
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
        let (plan, held, ended, seen) = match self.take_phase() {
            Phase::Reading {
                plan,
                held,
                ended,
                seen,
            } => (plan, held, ended, seen),
            Phase::Scanning(scan) => return self.on_piece(scan, bytes, now_ns, worker, effects),
            phase => {
                self.phase = phase;
                return;
            }
        };
        let Some(bytes) = bytes else {
            return self.unreadable(&plan, now_ns, worker, effects);
        };
        let complete = ended && bytes.len() == held;
        if plan.hurdle.is_some() {
            return self.past_hurdle(&plan, (bytes, complete), now_ns, worker, effects);
        }
        let plan = match seen {
            None if !complete => self.scan(plan, (held, ended), bytes, effects),
            _ => Some(plan),
        };
        if let Some(plan) = plan {
            self.phase = Phase::Timing { started_ns: now_ns };
            let request = read(&plan, bytes, complete, seen.as_deref());
            let request = with_state(&plan, bytes, request);
            let body = (bytes, held, complete);
            self.on_request((plan, request), body, now_ns, worker, effects);
        }
    }

    /// The request was read, or could not be.
    fn on_request(
        &mut self,
        (plan, request): (Plan, Read<'_>),
        (bytes, held, complete): (&[u8], usize, bool),
        now_ns: u64,
        worker: &mut Worker<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let header = worker.cluster_header;
        let known = find_makers(worker, &plan.policy, &request);
        let makers = Makers {
            known: &known,
            can_retry: worker.failover != Failover::Off,
        };
        let around = RequestInfo {
            makers,
            ..plan.circumstances(now_ns)
        };
        if plan.aim == Intent::DryRun {
            return self.dry_run(worker, &plan, bytes, &request, &around, effects);
        }
        if plan.is_foreign(&request) {
            effects.push(Effect::Count(Metric::unrecognized_requests("body")));
            return self.pass(effects);
        }
        decision_annotations::asked(&plan, &request, effects);
        // What was asked for may stand behind the limit: it cannot be known, and a decision could not be written over it.
        let unseen = matches!(&request, Ok(one) if one.may_name_another_model());
        if unseen && !plan.policy.traffic.decide_missing_model {
            let (cause, named) = (
                Cause::model_missing(&plan.policy),
                UnparsedBody::UNKNOWN.named,
            );
            return self.undecided(&plan, &cause, named, &around, worker, effects);
        }
        let outcome = decide(worker, &plan, &request, (bytes, complete), &around);
        if plan.policy.traffic.shadow {
            return self.shadow(&plan, &outcome, header, effects);
        }
        let body = (bytes, held);
        self.act(&plan, outcome, (body, &request), &around, worker, effects);
    }

    /// Does what was decided.
    fn act(
        &mut self,
        plan: &Plan,
        outcome: Outcome,
        (body, request): ((&[u8], usize), &Read<'_>),
        around: &RequestInfo<'_>,
        worker: &mut Worker<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let header = worker.cluster_header;
        match (outcome, request) {
            (Outcome::Routed(decision), Ok(request)) => {
                let asked = (request, around.now_ns);
                match self.route(plan, &decision, body, asked, worker, effects) {
                    Some(()) if plan.aim == Intent::Answer => {
                        self.follow(plan, *decision, request, around.now_ns, worker);
                    }
                    Some(()) => {}
                    None => self.fault(plan, Some(request), around, worker, effects),
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
                self.fault(plan, request.as_ref().ok(), around, worker, effects);
            }
            // INVARIANT: nobody decides on a request that could not be read.
            (Outcome::Routed(_), Err(_)) => self.fault(plan, None, around, worker, effects),
        }
    }

    /// A piece of a long body is here.
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

    /// The client is told what would be decided, with every candidate.
    fn dry_run(
        &mut self,
        worker: &mut Worker<'_>,
        plan: &Plan,
        body: &[u8],
        request: &Read<'_>,
        around: &RequestInfo<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let outcome = decide(worker, plan, request, (body, true), around);
        self.answer(reply::dry_run(&plan.policy, &outcome), effects);
    }

    /// A decided request is on its way: what comes of it is accounted for, and teaches of its backends.
    fn follow(
        &mut self,
        plan: &Plan,
        decision: Decision,
        request: &Request<'_>,
        now_ns: u64,
        worker: &mut Worker<'_>,
    ) {
        backend_observer::keep_warm(worker, &plan.policy, decision.backend, now_ns, true);
        let watch = BackendObserver::open(
            worker,
            &plan.policy,
            &decision,
            request,
            &self.trace,
            now_ns,
        );
        let account = UsageRecorder::open(plan, decision, request, now_ns).watched(watch);
        self.account = Some(Box::new(account));
    }

    fn on_clock(&mut self, now_ns: u64, effects: &mut Vec<Effect>) {
        if let Phase::Timing { started_ns } = self.phase {
            let micros = now_ns.saturating_sub(started_ns).div_ceil(1000);
            self.trace.decision_us(micros);
            effects.push(Effect::Observe(Metric::decision_us(), micros));
            self.phase = Phase::Passed;
        }
        effects.push(Effect::Continue);
    }

    fn on_response_headers(&mut self, effects: &mut Vec<Effect>) {
        effects.push(Effect::Continue);
        match self.phase {
            // The answer is ours, its headers too.
            Phase::Answered => self.trace.response_headers(effects),
            // Whoever answers does not say what was decided.
            _ => effects.push(Effect::ReadResponseHead),
        }
    }

    /// The request goes to the backend of the decision, its body naming the model that this backend serves; `None` where
    /// there is no such backend.
    fn route(
        &mut self,
        plan: &Plan,
        decision: &Decision,
        (body, held): (&[u8], usize),
        (request, now_ns): (&Request<'_>, u64),
        worker: &Worker<'_>,
        effects: &mut Vec<Effect>,
    ) -> Option<()> {
        // INVARIANT: decisions name backends of the policy they were made with.
        let backend = plan.policy.registry.backend(decision.backend)?;
        if let Some(path) = &plan.path {
            effects.push(Effect::SetRequestHeader {
                name: ":path".to_owned(),
                value: path.clone(),
            });
        }
        let mut content_length = plan.content_length;
        let ask_usage = usage_recorder::asks_for_usage(plan, request);
        if plan.aim == Intent::Answer {
            // What an answer took can only be read where it is not compressed, and SDKs ask for that without being told to.
            effects.push(Effect::RemoveRequestHeader(b"accept-encoding".to_vec()));
        }
        let read = (request, ask_usage);
        let splices = edits(plan, decision, backend, body, read, effects);
        if !splices.is_empty() {
            let grown = edit::growth(&splices);
            content_length = content_length.and_then(|length| length.checked_add_signed(grown));
            effects.push(match PrefixEdit::from_splices(body, &splices) {
                Some(edit) => Effect::RewriteBody {
                    edit,
                    content_length,
                },
                None => Effect::SpliceBody {
                    splices,
                    held,
                    content_length,
                },
            });
        }
        let asked = Asked {
            request,
            content_length,
            patience_ms: plan.patience_ms,
            now_ns,
        };
        let tried = failover::name(worker, &plan.policy, decision, &asked, effects);
        self.outbound
            .fit(backend, plan.path.as_deref(), &plan.policy, effects);
        effects.push(Effect::ClearRouteCache);
        self.trace.tried(tried);
        match plan.aim {
            Intent::TokenCount => self.trace.counting(&plan.policy, decision, effects),
            Intent::Answer | Intent::DryRun => self.trace.routed(&plan.policy, decision, effects),
        }
        effects.push(Effect::ReadClock);
        Some(())
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

    /// Asks for as much of the body as is to be looked at.
    fn read(&mut self, plan: Plan, held: usize, ended: bool, effects: &mut Vec<Effect>) {
        let size = held.min(plan.policy.max_body_bytes);
        self.phase = Phase::Reading {
            plan,
            held,
            ended,
            seen: None,
        };
        effects.push(Effect::ReadBody { start: 0, size });
    }

    /// Goes on as before: the phase is put back, and the request is held only where the client has its answer already.
    fn keep(&mut self, phase: Phase, effects: &mut Vec<Effect>) {
        effects.push(match phase {
            Phase::Answered => Effect::Pause,
            _ => Effect::Continue,
        });
        self.phase = phase;
    }

    fn take_phase(&mut self) -> Phase {
        std::mem::replace(&mut self.phase, Phase::Passed)
    }
}

//! Asks the worker's router for a decision, with what it needs to know of the exchange.

use super::backend_observer::StatsQuery;
use super::plan::Body;
use super::request_kind::Intent;
use super::{ParsedBody, Plan, Stream, Worker, backend_observer};
use crate::fleet::clusters::Failover;
use crate::policy::Policy;
use crate::routing::decision::{Bypass, Outcome};
use crate::routing::router::{self, Commit, RequestInfo, StateOrigin};
use crate::state::backend_stats::{Delivery, Observed};

/// The statistics of the backends as a decision on `request` is to see them.
pub(super) fn observe(
    worker: &mut Worker<'_>,
    plan: &Plan,
    request: &ParsedBody<'_>,
    now_ns: u64,
) -> Vec<Observed> {
    let query = stats_query(request, plan.intent == Intent::Answer);
    backend_observer::observe(worker, &plan.policy, now_ns, query)
}

impl Stream {
    /// Decides on a request; nothing is recorded.
    pub(super) fn decide(
        &self,
        plan: &Plan,
        request: &ParsedBody<'_>,
        body: Body<'_>,
        (observed, now_ns): (&[Observed], u64),
        worker: &mut Worker<'_>,
    ) -> Outcome {
        let policy = &plan.policy;
        let makers = find_makers(worker, policy, request);
        let (known, now_s) = (worker.grades, now_ns / 1_000_000_000);
        let find = |prompt| (known.find)(prompt, now_s);
        let info = RequestInfo {
            state_origin: StateOrigin {
                makers: &makers,
                can_retry: worker.failover != Failover::Off,
            },
            observed,
            counts_tokens: plan.intent == Intent::TokenCount,
            grades: self.judging.source(plan, &known, &find),
            ..plan.request_info(now_ns)
        };
        match (&mut worker.router, request) {
            (Some(router), Ok(request)) => router.decide(policy, request, &info, Commit::DryRun),
            (None, Ok(_)) => Outcome::Bypassed(no_router()),
            (Some(router), Err(error)) => {
                router.unreadable_in(policy, error, (body.bytes, body.complete), &info)
            }
            (None, Err(error)) => router::unreadable(policy, error, body.bytes, body.complete),
        }
    }
}

/// Records the decision on a request for an answer.
pub(super) fn record(worker: &mut Worker<'_>, plan: &Plan, outcome: &Outcome) {
    if let (Some(router), Outcome::Routed(decision)) = (&mut worker.router, outcome)
        && plan.intent == Intent::Answer
    {
        router.record(&plan.policy, decision);
    }
}

fn stats_query(request: &ParsedBody<'_>, decides: bool) -> StatsQuery {
    let request = request.as_ref();
    StatsQuery {
        delivery: Delivery::from_stream(request.is_ok_and(|request| request.stream)),
        decides,
        complete: request.is_ok_and(|request| request.complete),
    }
}

fn no_router() -> Bypass {
    Bypass::RouterFault("the router is busy".to_owned())
}

/// Finds the provider state in the body, if the policy has several scopes of it.
pub(super) fn with_state<'a>(
    plan: &Plan,
    body: &'a [u8],
    request: ParsedBody<'a>,
) -> ParsedBody<'a> {
    let mut request = request?;
    if plan.policy.registry.has_scopes(plan.api) {
        request.find_state(body);
    }
    Ok(request)
}

/// How many pieces of state are looked up to find one whose maker is known.
const MOST_LOOKED_UP: usize = 8;

/// The maker of each piece of state in the request, if it matters and is remembered.
pub(super) fn find_makers(
    worker: &Worker<'_>,
    policy: &Policy,
    request: &ParsedBody<'_>,
) -> Vec<Option<u32>> {
    let Ok(request) = request else {
        return Vec::new();
    };
    let items = &request.state.items;
    if items.is_empty() || !policy.registry.has_scopes(request.api) {
        return Vec::new();
    }
    let mut makers = vec![None; items.len()];
    let mut looked_up = 0;
    for (item, maker) in items.iter().zip(&mut makers).rev() {
        *maker = item.mark.and_then(worker.find_maker);
        looked_up += 1;
        // The newest piece whose maker is known tells where the conversation is. To drop foreign state, every piece has to be
        // looked up.
        let settles = maker.is_some() || looked_up >= MOST_LOOKED_UP;
        if settles && !policy.traffic.drops_foreign_state {
            break;
        }
    }
    makers
}

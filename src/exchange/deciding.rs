//! Asks the worker's router for a decision, with what it needs to know of the exchange.

use super::backend_observer::StatsQuery;
use super::request_kind::Intent;
use super::{ParsedBody, Plan, Worker, backend_observer};
use crate::policy::Policy;
use crate::routing::decision::{Bypass, Outcome};
use crate::routing::router::{self, Commit, RequestInfo};
use crate::state::backend_stats::Delivery;

/// Decides on a request as its intent wants: only the decision on a request for an answer is recorded.
pub(super) fn decide(
    worker: &mut Worker<'_>,
    plan: &Plan,
    request: &ParsedBody<'_>,
    (body, complete): (&[u8], bool),
    info: &RequestInfo<'_>,
) -> Outcome {
    let policy = &plan.policy;
    let commit = match plan.intent {
        Intent::Answer => Commit::Record,
        Intent::TokenCount | Intent::DryRun => Commit::DryRun,
    };
    let observed =
        backend_observer::observe(worker, policy, info.now_ns, stats_query(request, commit));
    let info = RequestInfo {
        observed: &observed,
        counts_tokens: plan.intent == Intent::TokenCount,
        ..*info
    };
    match (&mut worker.router, request) {
        (Some(router), Ok(request)) => router.decide(policy, request, &info, commit),
        (None, Ok(_)) => Outcome::Bypassed(no_router()),
        (Some(router), Err(error)) => router.unreadable_in(policy, error, (body, complete), &info),
        (None, Err(error)) => router::unreadable(policy, error, body, complete),
    }
}

fn stats_query(request: &ParsedBody<'_>, commit: Commit) -> StatsQuery {
    let request = request.as_ref();
    StatsQuery {
        delivery: Delivery::from_stream(request.is_ok_and(|request| request.stream)),
        decides: commit == Commit::Record,
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

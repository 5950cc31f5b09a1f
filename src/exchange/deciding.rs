//! Asks the worker's router, where there is one.

use super::backend_observer::Asking;
use super::request_kind::Intent;
use super::{Plan, Read, Worker, backend_observer};
use crate::policy::Policy;
use crate::routing::decision::{Bypass, Outcome};
use crate::routing::router::{self, Commit, RequestInfo};
use crate::state::backend_stats::Delivery;

/// Decides on a request as its intent wants: only the decision on a request for an answer is recorded.
pub(super) fn decide(
    worker: &mut Worker<'_>,
    plan: &Plan,
    request: &Read<'_>,
    (body, complete): (&[u8], bool),
    info: &RequestInfo<'_>,
) -> Outcome {
    let policy = &plan.policy;
    let commit = match plan.aim {
        Intent::Answer => Commit::Record,
        Intent::TokenCount | Intent::DryRun => Commit::DryRun,
    };
    let observed = backend_observer::observe(worker, policy, info.now_ns, asking(request, commit));
    let info = RequestInfo {
        observed: &observed,
        counts_tokens: plan.aim == Intent::TokenCount,
        ..*info
    };
    match (&mut worker.router, request) {
        (Some(router), Ok(request)) => router.decide(policy, request, &info, commit),
        (None, Ok(_)) => Outcome::Bypassed(no_router()),
        (Some(router), Err(error)) => router.unreadable_in(policy, error, (body, complete), &info),
        (None, Err(error)) => router::unreadable(policy, error, body, complete),
    }
}

fn asking(request: &Read<'_>, commit: Commit) -> Asking {
    let request = request.as_ref();
    Asking {
        delivery: Delivery::from_stream(request.is_ok_and(|one| one.stream)),
        decides: commit == Commit::Record,
        complete: request.is_ok_and(|one| one.complete),
    }
}

fn no_router() -> Bypass {
    Bypass::RouterFault("the router is busy".to_owned())
}

/// A request with what state its body carries, if the policy has several scopes of it.
pub(super) fn with_state<'a>(plan: &Plan, body: &'a [u8], request: Read<'a>) -> Read<'a> {
    let mut request = request?;
    if plan.policy.registry.has_scopes(plan.api) {
        request.find_state(body);
    }
    Ok(request)
}

/// How many pieces of state are looked up to find one that is known.
const MOST_LOOKED_UP: usize = 8;

/// Who made each piece of the state that a request carries, where that can matter and is remembered.
pub(super) fn find_makers(
    worker: &Worker<'_>,
    policy: &Policy,
    request: &Read<'_>,
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
        *maker = item.mark.and_then(worker.makers);
        looked_up += 1;
        // The newest that is known tells where the conversation is; what is to be dropped, each has to tell for itself.
        let settles = maker.is_some() || looked_up >= MOST_LOOKED_UP;
        if settles && !policy.traffic.drops_foreign_state {
            break;
        }
    }
    makers
}

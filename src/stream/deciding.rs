//! Asks the worker's router, where there is one.

use super::purpose::Aim;
use super::watch::Asking;
use super::{Plan, Read, Worker, watch};
use crate::decision::{Bypass, Candidate, Outcome};
use crate::live::Delivery;
use crate::policy::Policy;
use crate::router::{self, Circumstances};

pub(super) fn decide(
    worker: &mut Worker<'_>,
    plan: &Plan,
    request: &Read<'_>,
    body: &[u8],
    complete: bool,
    around: &Circumstances<'_>,
) -> Outcome {
    let policy = &plan.policy;
    let is_use = plan.aim == Aim::Answer;
    watch::observe(worker, policy, around.now_ns, asking(request, is_use));
    match (&mut worker.router, request) {
        (Some(router), Ok(request)) if is_use => router.decide_in(policy, request, around),
        (Some(router), Ok(request)) => router.find_in(policy, request, around),
        (None, Ok(_)) => Outcome::Bypassed(no_router()),
        (Some(router), Err(error)) => router.unreadable_in(policy, error, (body, complete), around),
        (None, Err(error)) => router::unreadable(policy, error, body, complete),
    }
}

/// The same for a dry run, with every candidate.
pub(super) fn explain(
    worker: &mut Worker<'_>,
    policy: &Policy,
    request: &Read<'_>,
    body: &[u8],
    around: &Circumstances<'_>,
) -> (Outcome, Vec<Candidate>) {
    watch::observe(worker, policy, around.now_ns, asking(request, false));
    match (&mut worker.router, request) {
        (Some(router), Ok(request)) => router.explain_in(policy, request, around),
        (None, Ok(_)) => (Outcome::Bypassed(no_router()), Vec::new()),
        (Some(router), Err(error)) => {
            let outcome = router.unreadable_in(policy, error, (body, true), around);
            (outcome, Vec::new())
        }
        (None, Err(error)) => (router::unreadable(policy, error, body, true), Vec::new()),
    }
}

fn asking(request: &Read<'_>, decides: bool) -> Asking {
    let request = request.as_ref();
    Asking {
        delivery: Delivery::of(request.is_ok_and(|one| one.stream)),
        decides,
        complete: request.is_ok_and(|one| one.complete),
    }
}

fn no_router() -> Bypass {
    Bypass::RouterFault("the router is busy".to_owned())
}

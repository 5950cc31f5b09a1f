//! Asks the worker's router, where there is one.

use super::{Read, Worker, watch};
use crate::decision::{Bypass, Candidate, Outcome};
use crate::policy::Policy;
use crate::router::{self, Circumstances};

pub(super) fn decide(
    worker: &mut Worker<'_>,
    policy: &Policy,
    request: &Read<'_>,
    around: &Circumstances<'_>,
) -> Outcome {
    watch::observe(worker, policy, around.now_ns, true);
    match (&mut worker.router, request) {
        (Some(router), Ok(request)) => router.decide_in(policy, request, around),
        (None, Ok(_)) => Outcome::Bypassed(no_router()),
        (_, Err(error)) => router::unreadable(policy, error),
    }
}

/// The same for a dry run, with every candidate.
pub(super) fn explain(
    worker: &mut Worker<'_>,
    policy: &Policy,
    request: &Read<'_>,
    around: &Circumstances<'_>,
) -> (Outcome, Vec<Candidate>) {
    watch::observe(worker, policy, around.now_ns, false);
    match (&mut worker.router, request) {
        (Some(router), Ok(request)) => router.explain_in(policy, request, around),
        (None, Ok(_)) => (Outcome::Bypassed(no_router()), Vec::new()),
        (_, Err(error)) => (router::unreadable(policy, error), Vec::new()),
    }
}

fn no_router() -> Bypass {
    Bypass::RouterFault("the router is busy".to_owned())
}

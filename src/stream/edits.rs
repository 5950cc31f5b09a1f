//! What is changed in a body for the backend that it goes to first.

use super::Plan;
use crate::decision::Decision;
use crate::registry::Backend;
use crate::request::Request;
use crate::request::rewrite::{self, Splice};

/// What `backend` is sent in another form than it came: its own name of the model, and no more tokens than that can write.
pub(super) fn edits(
    plan: &Plan,
    decision: &Decision,
    backend: &Backend,
    body: &[u8],
    (request, ask_usage): (&Request<'_>, bool),
) -> Vec<Splice> {
    // Where `model` was not seen it may still come: a second one would contradict it.
    let mut splices = match request.may_name_another_model() {
        false => rewrite::splices(body, request, &backend.served_model, ask_usage),
        true => Vec::new(),
    };
    let model = plan.policy.registry.model(backend.model);
    let answer = decision.answer.zip(model);
    if let Some(most) = answer.and_then(|(answer, model)| answer.less_of(model)) {
        rewrite::cut_down(body, request, most, &mut splices);
    }
    splices
}

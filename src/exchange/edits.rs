//! Edits the body for the backend that it goes to first.

use super::{Effect, Plan};
use crate::api::edit::Splice;
use crate::api::request::Request;
use crate::api::rewrite;
use crate::fleet::Backend;
use crate::routing::decision::Decision;
use crate::sort;
use crate::telemetry::Metric;

/// The edits for `backend`: its own name of the model, no more tokens than the model can write, and no state that it cannot
/// read.
pub(super) fn edits(
    plan: &Plan,
    decision: &Decision,
    backend: &Backend,
    body: &[u8],
    (request, ask_usage): (&Request<'_>, bool),
    effects: &mut Vec<Effect>,
) -> Vec<Splice> {
    // A `model` that was not seen may still come: a second one would contradict it.
    let mut splices = Vec::new();
    if !request.may_name_another_model() {
        splices = rewrite::splices(body, request, &backend.served_model, ask_usage);
        let foreign = |index| decision.foreign.dropped.get(index).copied() == Some(true);
        let cuts = request
            .state
            .cuts(body, foreign, backend.insists_on_signatures());
        if !cuts.is_empty() {
            effects.push(Effect::Count(Metric::foreign_state_dropped(&backend.name)));
            splices.extend(cuts);
            sort::sort_by_key(&mut splices, |splice| splice.span.start);
        }
    }
    if decision.foreign.is_guessed {
        effects.push(Effect::Count(Metric::state_origins_guessed(&backend.name)));
    }
    let model = plan.policy.registry.model(backend.model);
    let answer = decision.answer.zip(model);
    if let Some(most) = answer.and_then(|(answer, model)| answer.less_of(model)) {
        rewrite::cut_down(body, request, most, &mut splices);
    }
    splices
}

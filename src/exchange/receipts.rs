//! Makes the receipt of a decision, and seals it once it is known which backend answered.
//!
//! `state::receipt` says what a receipt is. Keys, numbers and the memory of receipts that were used belong to the host.

use super::request_kind::Intent;
use super::routed::Routed;
use super::{Effect, Plan, Worker, verdict};
use crate::api::judge::Grade;
use crate::api::request::Request;
use crate::fleet::{BackendId, ModelId};
use crate::policy::Policy;
use crate::policy::receipts::ReceiptMode;
use crate::routing::decision::{Decision, Reason};
use crate::routing::select::compare;
use crate::state::receipt::{Flags, Keys, MAX_GRADE, Receipt, RequestTraits, name_key};
use crate::telemetry::{Metric, header, state};

/// The means by which a worker makes and takes receipts.
#[derive(Clone, Copy)]
pub struct ReceiptAuthority<'a> {
    /// The keys of receipts; none if the plugin configuration names none, or their variables are not set.
    pub keys: &'a Keys,
    /// Gives a number that no other receipt has.
    pub nonce: &'a dyn Fn() -> u64,
    /// Claims a number of [`crate::state::claims`] for feedback; `false` if it was claimed before.
    pub claim: &'a dyn Fn(u64) -> bool,
}

impl ReceiptAuthority<'_> {
    /// A worker without keys: it makes and takes no receipts.
    pub const NONE: ReceiptAuthority<'static> = ReceiptAuthority {
        keys: &Keys::NONE,
        nonce: &|| 0,
        claim: &|_| true,
    };
}

/// The receipt of a decision before its answer; `None` if the policy wants none, if nothing was classified, or if no answer is
/// asked for.
#[inline(never)]
pub(super) fn draft(
    plan: &Plan,
    decision: &Decision,
    request: &Request<'_>,
    now_ns: u64,
    worker: &Worker<'_>,
) -> Option<Box<Receipt>> {
    let policy = &plan.policy;
    if !policy.keeps_receipts() || plan.intent != Intent::Answer {
        return None;
    }
    let classification = decision.classification.clone()?;
    let runner_up = runner_up(decision);
    let mut receipt = Box::new(Receipt {
        policy: policy.fingerprint32(),
        time_s: u32::try_from(now_ns / 1_000_000_000).unwrap_or(u32::MAX),
        nonce: (worker.receipts.nonce)(),
        model: 0,
        backend: 0,
        runner_up: runner_up.and_then(|id| model_key(policy, id)),
        profile: name_key(&decision.profile),
        p: 0.0,
        runner_up_p: 0.0,
        propensity: decision.propensity,
        flags: Flags {
            is_pinned: decision.reason == Reason::Pinned,
            is_explored: decision.reason == Reason::Explored,
            is_fallback: false,
            streams: request.stream,
            begins: decision.begins,
            grade: verdict::counted(policy, decision).map(in_steps),
        },
        request: RequestTraits {
            api: plan.api,
            needs: request.needs,
            input_tokens: decision.input_tokens,
            window_tokens: decision.window_tokens,
            max_tokens: request.max_tokens,
            choices: request.choices,
        },
        tenant: plan.attributes.tenant.as_deref().map(name_key),
        classifier: crate::analysis::classifier::FINGERPRINT,
        classification,
    });
    receipt.runner_up_p = runner_up.map_or(0.0, |id| {
        policy.registry.p_correct(id, receipt.classification())
    });
    name_answering(&mut receipt, policy, decision.backend);
    Some(receipt)
}

/// A grade in the steps of a receipt.
fn in_steps(grade: Grade) -> u8 {
    (grade.mean * f32::from(MAX_GRADE)).round() as u8
}

/// The best eligible candidate of another model than the chosen one.
fn runner_up(decision: &Decision) -> Option<ModelId> {
    let candidates = decision.candidates.iter();
    let others =
        candidates.filter(|other| other.ineligible.is_none() && other.model != decision.model);
    others
        .min_by(|left, right| compare(left, right))
        .map(|best| best.model)
}

fn model_key(policy: &Policy, id: ModelId) -> Option<u32> {
    let model = policy.registry.model(id)?;
    Some(name_key(&model.name))
}

/// Names the backend that answered, and says how probably its model is right.
fn name_answering(receipt: &mut Receipt, policy: &Policy, id: BackendId) {
    if let Some(backend) = policy.registry.backend(id) {
        receipt.backend = name_key(&backend.name);
        receipt.model = model_key(policy, backend.model).unwrap_or(0);
        receipt.p = policy
            .registry
            .p_correct(backend.model, receipt.classification());
    }
}

/// Completes the receipt of an answer that has begun, and gives it to clients and access logs as the policy wants.
#[inline(never)]
pub(super) fn seal(routed: &mut Routed, worker: &Worker<'_>, effects: &mut Vec<Effect>) {
    let (policy, answering) = (&routed.policy, routed.answering());
    let was_sealed = std::mem::replace(&mut routed.is_sealed, true);
    let Some(receipt) = routed.receipt.as_mut().filter(|_| !was_sealed) else {
        return;
    };
    if answering != routed.decision.backend {
        receipt.flags.is_fallback = true;
        name_answering(receipt, policy, answering);
    }
    if !policy.receipts.is_on() {
        return;
    }
    let Some(key) = worker.receipts.keys.signing() else {
        return effects.push(Effect::Count(Metric::receipts_unsigned()));
    };
    let is_sent = policy.receipts.mode == ReceiptMode::On;
    if !is_sent && !worker.filter_state.is_on() {
        return;
    }
    let text = receipt.encode(key);
    worker.filter_state.set(effects, state::RECEIPT, &text);
    if is_sent {
        effects.push(Effect::SetResponseHeader {
            name: header::RECEIPT,
            value: text.into(),
        });
    }
}

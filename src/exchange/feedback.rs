//! `POST /v1/feedback`: reads a body of feedback, checks its receipts, and records the outcomes.
//!
//! Needs nothing but the receipts: which proxy of the fleet decided, and when, makes no difference. Never touches another
//! request.

use std::rc::Rc;

use serde_json::json;

use super::request_kind::{content_length, find_encoding};
use super::{Effect, Header, Phase, Question, Reply, Stream, Worker, decision_annotations, reply};
use crate::api::Api;
use crate::api::feedback::{self, Batch, Feedback, MAX_BODY_BYTES, Opinion};
use crate::policy::Policy;
use crate::routing::decision::Rejection;
use crate::routing::router::{Router, reject};
use crate::state::claims;
use crate::state::outcome::{Logged, Outcome, Source, push_log};
use crate::state::receipt::{Receipt, ReceiptError, find_model};
use crate::telemetry::{Metric, state};

/// A request with feedback whose body is awaited.
#[derive(Debug)]
pub(super) struct FeedbackRequest {
    policy: Rc<Policy>,
    /// Bytes of the body that are held.
    held: usize,
}

/// The model in metrics if the policy in force does not have it.
const UNKNOWN_MODEL: &str = "unknown";

impl Stream {
    /// The headers of a request with feedback.
    #[inline(never)]
    pub(super) fn on_feedback(
        &mut self,
        policy: &Rc<Policy>,
        headers: &[Header<'_>],
        end_of_stream: bool,
        worker: &Worker<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let refusal = if !policy.receipts.is_on() {
            Some(refusal(
                404,
                "receipts_off",
                "there is no feedback: the policy makes no receipts",
            ))
        } else if worker.receipts.keys.is_empty() {
            let message = "feedback cannot be checked: this proxy has no key for receipts";
            Some(refusal(503, "receipt_key_missing", message))
        } else if find_encoding(headers).is_some() {
            let message = "the content-encoding is not read: send the body uncompressed";
            Some(refusal(415, "unsupported_content_encoding", message))
        } else {
            let is_long =
                content_length(headers).is_some_and(|length| length > MAX_BODY_BYTES as u64);
            is_long.then(too_large)
        };
        if let Some(refusal) = refusal {
            return self.refuse_feedback(&refusal, effects);
        }
        let request = FeedbackRequest {
            policy: Rc::clone(policy),
            held: 0,
        };
        self.on_feedback_body(request, 0, end_of_stream, effects);
    }

    /// More of the body has come: it is held until its end, within its bound.
    #[inline(never)]
    pub(super) fn on_feedback_body(
        &mut self,
        mut request: FeedbackRequest,
        held: usize,
        ended: bool,
        effects: &mut Vec<Effect>,
    ) {
        request.held = held;
        if held > MAX_BODY_BYTES {
            return self.refuse_feedback(&too_large(), effects);
        }
        match ended {
            true => self.read_feedback(request, effects),
            false => {
                self.phase = Phase::Feedback(request);
                effects.push(Effect::Pause);
            }
        }
    }

    /// The body has ended: asks the host for it.
    #[inline(never)]
    pub(super) fn read_feedback(&mut self, request: FeedbackRequest, effects: &mut Vec<Effect>) {
        let size = request.held;
        self.phase = Phase::Feedback(request);
        effects.push(Effect::Ask(Question::RequestBody { start: 0, size }));
    }

    /// The host has read the body.
    pub(super) fn on_feedback_bytes(
        &mut self,
        request: &FeedbackRequest,
        bytes: Option<&[u8]>,
        now_ns: u64,
        worker: &mut Worker<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(bytes) = bytes else {
            effects.push(Effect::Count(Metric::host_call_errors()));
            let message = "the request could not be read; try again";
            return self.refuse_feedback(&refusal(503, "body_unreadable", message), effects);
        };
        match feedback::parse(bytes) {
            Ok(batch) => self.take_feedback(request, &batch, now_ns, worker, effects),
            Err(invalid) => {
                let mut refusal = refusal(400, "invalid_feedback", invalid.to_string());
                refusal.param = Some(invalid.at);
                self.refuse_feedback(&refusal, effects);
            }
        }
    }

    /// Records what can be taken, and answers.
    #[inline(never)]
    fn take_feedback(
        &mut self,
        request: &FeedbackRequest,
        batch: &Batch,
        now_ns: u64,
        worker: &mut Worker<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let is_logged = worker.filter_state.is_on();
        let (mut logged, mut accepted) = (String::new(), 0);
        let mut refused = Vec::new();
        for (index, item) in batch.items.iter().enumerate() {
            let place = match batch.is_list {
                true => format!("[{index}]"),
                false => String::new(),
            };
            match check(item, &place, &request.policy, now_ns, worker) {
                Ok(outcome) => {
                    accepted += 1;
                    if !item.is_dry_run {
                        if is_logged && let Some(item) = log_of(&item.opinion) {
                            push_log(&mut logged, item);
                        }
                        let policy = &request.policy;
                        match item.opinion {
                            Opinion::Scored { score: None, .. } => {
                                count(policy, outcome.receipt.model, "failed", "feedback", effects);
                            }
                            _ => {
                                let router = worker.router.as_deref_mut();
                                record(&outcome, policy, now_ns, router, effects);
                            }
                        }
                    }
                }
                Err(refusal) => refused.push((index, refusal)),
            }
        }
        if !logged.is_empty() {
            decision_annotations::set_state(effects, state::FEEDBACK, &logged);
        }
        match refused.first() {
            Some((_, first)) if accepted == 0 => {
                let others = refused.iter().skip(1);
                effects.extend(others.map(|(_, other)| rejected(other.code)));
                self.refuse_feedback(first, effects);
            }
            _ => {
                effects.extend(refused.iter().map(|(_, refusal)| rejected(refusal.code)));
                self.answer(accept(accepted, &refused), effects);
            }
        }
    }

    fn refuse_feedback(&mut self, refusal: &Rejection, effects: &mut Vec<Effect>) {
        effects.push(rejected(refusal.code));
        let filter_state = self.annotations.filter_state;
        filter_state.set(effects, state::ERROR_TYPE, refusal.code);
        self.answer(reply::error(Api::OpenAiChat, refusal), effects);
    }
}

fn refusal(status: u16, code: &'static str, message: impl Into<String>) -> Rejection {
    reject(status, code, message.into())
}

fn too_large() -> Rejection {
    let message =
        format!("the body is longer than {MAX_BODY_BYTES} bytes: send fewer items at a time");
    refusal(413, "request_too_large", message)
}

fn rejected(code: &str) -> Effect {
    Effect::Count(Metric::feedback_rejected(code))
}

fn accept(accepted: usize, refused: &[(usize, Rejection)]) -> Reply {
    let rejected: Vec<_> = refused
        .iter()
        .map(|(index, refusal)| {
            json!({
                "index": index,
                "status": refusal.status,
                "code": refusal.code,
                "message": refusal.message,
            })
        })
        .collect();
    let body = json!({"accepted": accepted, "rejected": rejected});
    Reply {
        status: 202,
        details: "pointsman_feedback",
        headers: Vec::new(),
        body: serde_json::to_vec(&body).unwrap_or_default(),
    }
}

/// Checks the receipts of one item, and claims them last.
#[inline(never)]
fn check(
    item: &Feedback,
    place: &str,
    policy: &Policy,
    now_ns: u64,
    worker: &Worker<'_>,
) -> Result<Outcome, Rejection> {
    let read = |text: &str, name: &str| {
        let at = match place {
            "" => name.to_owned(),
            place => [place, ".", name].concat(),
        };
        read_receipt(text, &at, policy, now_ns, worker)
    };
    let (outcome, number) = match &item.opinion {
        Opinion::Scored { receipt, score } => {
            let receipt = read(receipt, "receipt")?;
            let number = receipt.nonce;
            let outcome = Outcome {
                receipt,
                worse: None,
                score: score.unwrap_or(0.0),
                weight: if score.is_some() { 1.0 } else { 0.0 },
                source: Source::Feedback,
            };
            (outcome, number)
        }
        Opinion::Compared { better, worse } => {
            let (better, worse) = (read(better, "better")?, read(worse, "worse")?);
            if better.nonce == worse.nonce {
                let message = "an answer cannot be better than itself";
                return Err(refusal(400, "invalid_feedback", message));
            }
            let number = claims::pair(better.nonce, worse.nonce);
            let outcome = Outcome {
                receipt: better,
                worse: Some(Box::new(worse)),
                score: 1.0,
                weight: 1.0,
                source: Source::Feedback,
            };
            (outcome, number)
        }
    };
    if !item.is_dry_run && !(worker.receipts.claim)(number) {
        let message = "feedback was given for this receipt before";
        return Err(refusal(409, "receipt_used", message));
    }
    Ok(outcome)
}

fn read_receipt(
    text: &str,
    at: &str,
    policy: &Policy,
    now_ns: u64,
    worker: &Worker<'_>,
) -> Result<Receipt, Rejection> {
    let failed = |error: ReceiptError| {
        let (status, code) = match error {
            ReceiptError::Malformed { .. } | ReceiptError::Version(_) => (400, "invalid_receipt"),
            ReceiptError::BadMac => (403, "receipt_not_ours"),
        };
        let mut refusal = refusal(status, code, [at, ": ", &error.to_string()].concat());
        refusal.param = Some(at.to_owned());
        refusal
    };
    let receipt = Receipt::decode(text, worker.receipts.keys).map_err(failed)?;
    let max_age_s = policy.receipts.max_age_s;
    if receipt.is_older_than(max_age_s, now_ns) {
        let message = format!("{at}: the receipt is older than {max_age_s} seconds");
        return Err(refusal(410, "receipt_expired", message));
    }
    Ok(receipt)
}

/// An opinion as access logs hold it; `None` if it says nothing of quality.
fn log_of(opinion: &Opinion) -> Option<Logged<'_>> {
    match opinion {
        Opinion::Scored { receipt, score } => Some(Logged::Scored {
            receipt,
            score: (*score)?,
        }),
        Opinion::Compared { better, worse } => Some(Logged::Compared { better, worse }),
    }
}

/// Counts an outcome, and has it learned from.
#[inline(never)]
pub(super) fn record(
    outcome: &Outcome,
    policy: &Policy,
    now_ns: u64,
    router: Option<&mut Router>,
    effects: &mut Vec<Effect>,
) {
    if let Some(router) = router {
        let now_s = now_ns / 1_000_000_000;
        let recorded = router.learned_quality().record(policy, outcome, now_s);
        if let Some(cause) = recorded.cause() {
            effects.push(Effect::Count(Metric::outcomes_ignored(cause)));
        }
    }
    let source = outcome.source.name();
    let model = outcome.receipt.model;
    match &outcome.worse {
        Some(worse) => {
            count(policy, model, "better", source, effects);
            count(policy, worse.model, "worse", source, effects);
        }
        None => count(policy, model, outcome.verdict(), source, effects),
    }
}

/// Counts an outcome of the model with this key.
fn count(policy: &Policy, key: u32, verdict: &str, source: &str, effects: &mut Vec<Effect>) {
    let registry = &policy.registry;
    let found = find_model(registry, key).and_then(|id| registry.model(id));
    let name = found.map_or(UNKNOWN_MODEL, |model| model.name.as_str());
    effects.push(Effect::Count(Metric::outcomes(name, verdict, source)));
}

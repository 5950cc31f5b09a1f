//! Calls of judges that grade answers: keeps the [`Grader`] of one plugin configuration, and makes its calls on behalf of the root
//! context.
//!
//! An exchange only hands its answer over. Envoy drops the calls of a context together with it, and the exchange is over when its
//! answer is graded; the root context stays. Decides nothing.

use std::cell::RefCell;

use log::Level;
use pointsman::api::held_text::wipe;
use pointsman::exchange::{AnswerToGrade, Effect, Grader, JudgeCall, JudgeReplyContent};
use proxy_wasm::types::Action;

use crate::effects::{self, now_ns};
use crate::hostcalls::HostError;
use crate::sync::policy_store::PolicyStore;
use crate::{judge_calls, logger, vm};

/// The answers that a configuration has graded in this VM.
#[derive(Default)]
pub struct GradingCalls {
    grader: RefCell<Grader>,
    /// Calls without a reply: the host's number and the grader's.
    under_way: RefCell<Vec<(u32, u64)>>,
}

impl GradingCalls {
    /// Takes an answer that was delivered. Nothing is called here.
    pub fn add(&self, answer: Box<AnswerToGrade>) {
        if let Ok(mut grader) = self.grader.try_borrow_mut() {
            apply(grader.add(answer));
        }
    }

    /// Makes the calls that may be made now. Only in callbacks of the root context, which gets the replies.
    pub fn send_due(&self, store: &PolicyStore) {
        loop {
            let Some((call, effects)) = self.with(|grader, router| grader.next(router, now_ns()))
            else {
                return;
            };
            apply(effects);
            let Some(call) = call else {
                return;
            };
            let token = call.token;
            let sent = send(&call, store);
            wipe(call.body);
            match (sent, self.under_way.try_borrow_mut()) {
                (Ok(number), Ok(mut under_way)) => under_way.push((number, token)),
                _ => self.end(token, JudgeReplyContent::NotSent),
            }
        }
    }

    /// Takes the response to the call with this number; `false` if the call is not one of these.
    pub fn on_response(&self, number: u32, body_size: usize, store: &PolicyStore) -> bool {
        let Some(token) = self.take(number) else {
            return false;
        };
        judge_calls::with_response(body_size, |content| self.end(token, content));
        self.send_due(store);
        true
    }

    fn take(&self, number: u32) -> Option<u64> {
        let mut under_way = self.under_way.try_borrow_mut().ok()?;
        let place = under_way.iter().position(|(call, _)| *call == number)?;
        Some(under_way.swap_remove(place).1)
    }

    fn end(&self, token: u64, content: JudgeReplyContent<'_>) {
        let effects = self.with(|grader, router| grader.on_reply(token, content, router, now_ns()));
        apply(effects.unwrap_or_default());
    }

    fn with<T>(
        &self,
        with: impl FnOnce(&mut Grader, Option<&mut pointsman::routing::router::Router>) -> T,
    ) -> Option<T> {
        let mut grader = self.grader.try_borrow_mut().ok()?;
        Some(vm::with_router(|router| with(&mut grader, router)))
    }
}

fn send(call: &JudgeCall, store: &PolicyStore) -> Result<u32, HostError> {
    // The attempt filter of a backend's cluster would begin inside this callback, which the SDK answers with a trap.
    let policy = store.peek();
    let mut backends = policy.iter().flat_map(|policy| &policy.registry.backends);
    if vm::has_attempts() && backends.any(|backend| backend.cluster == call.cluster) {
        let text = "no answer is graded: the judge's cluster is a backend's, and the attempt filter runs in the same virtual machine";
        logger::line(Level::Debug, text);
        return Err(HostError::NOT_FOUND);
    }
    judge_calls::send(call)
}

/// Counts and logs; these effects ask for nothing and hold nothing.
fn apply(effects: Vec<Effect>) {
    effects::apply(effects, &mut Action::Continue);
}

//! The downstream filter: turns the callbacks of one HTTP exchange into events of the core, and its effects into host calls.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use pointsman::exchange::{
    Answer, Effect, Event, JudgeCall, JudgeReply, JudgeReplyContent, KnownGrades, ReceiptAuthority,
    Stream, Worker,
};
use pointsman::policy::Policy;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::effects::{self, count_failure, now_ns};
use crate::grading_calls::GradingCalls;
use crate::hostcalls::{self, Map};
use crate::judge_calls::{self, Asker};
use crate::sync::policy_store::PolicyStore;
use crate::sync::{claims, judge_cache, state_makers};
use crate::{header_map, vm};

/// Drives one [`Stream`] on behalf of one context of the host.
pub struct Exchange {
    /// The host's number of the context.
    id: u32,
    driver: Rc<RefCell<Driver>>,
}

/// A machine with its policy.
struct Driver {
    /// The host's number of the context.
    id: u32,
    /// The driver itself, for others that reply to it.
    own: Weak<RefCell<Driver>>,
    stream: Stream,
    store: Rc<PolicyStore>,
    grading: Rc<GradingCalls>,
    policy: Option<Rc<Policy>>,
    /// A judge was asked on behalf of this stream.
    has_called: bool,
}

impl Exchange {
    /// An exchange of the context with this number, under the policy that `store` has when the request comes. Answers to be graded go
    /// to `grading`.
    pub fn new(id: u32, store: Rc<PolicyStore>, grading: Rc<GradingCalls>) -> Exchange {
        let driver = Rc::new_cyclic(|own| {
            RefCell::new(Driver {
                id,
                own: Weak::clone(own),
                stream: Stream::new(),
                store,
                grading,
                policy: None,
                has_called: false,
            })
        });
        Exchange { id, driver }
    }

    /// Hands `event` to the driver. It is never in use: no callback begins inside another.
    fn drive(&self, event: Event<'_>) -> Action {
        match self.driver.try_borrow_mut() {
            Ok(mut driver) => driver.drive(event, Action::Continue),
            Err(_) => Action::Continue,
        }
    }
}

impl Driver {
    /// Hands `event` to the machine, applies its effects and answers its questions, until it asks no more. `action` is the
    /// one if the machine says nothing.
    fn drive(&mut self, event: Event<'_>, mut action: Action) -> Action {
        let mut asked = effects::apply(self.dispatch(event), &mut action);
        let mut call = asked.judge.take();
        loop {
            if let Some(answer) = asked.grading.take() {
                self.grading.add(answer);
            }
            let effects = if let Some(question) = asked.question {
                let dispatch = &mut |answer: Answer<'_>| self.dispatch(Event::Answer(answer));
                effects::answer(question, dispatch)
            } else if let Some(call) = call.take()
                && self.ask(&call).is_none()
            {
                self.dispatch(Event::JudgeReply(JudgeReply {
                    token: call.token,
                    content: JudgeReplyContent::NotSent,
                    is_shared: false,
                    now_ns: now_ns(),
                }))
            } else {
                return action;
            };
            asked = effects::apply(effects, &mut action);
            call = asked.judge.take().or(call);
        }
    }

    /// Asks a judge; `None` if no reply will come.
    fn ask(&mut self, call: &JudgeCall) -> Option<()> {
        // The attempt filter of a backend's cluster would begin inside this callback, which the SDK answers with a trap.
        let policy = self.policy.as_ref()?;
        let mut backends = policy.registry.backends.iter();
        if vm::has_attempts() && backends.any(|backend| backend.cluster == call.cluster) {
            return None;
        }
        let (context, own) = (self.id, Weak::clone(&self.own));
        // Does not keep the stream: it may end while it waits.
        let tell = move |reply: JudgeReply<'_>| {
            if let Some(driver) = own.upgrade()
                && let Ok(mut driver) = driver.try_borrow_mut()
                && hostcalls::act_for(context).is_ok()
            {
                driver.on_reply(reply);
            }
        };
        let tell = Box::new(tell);
        self.has_called = true;
        judge_calls::ask(Asker { context, tell }, self.store.fingerprint(), call).ok()
    }

    /// Takes the reply of a judge. It comes outside the callbacks of the request, so a request that is let go is told to.
    fn on_reply(&mut self, reply: JudgeReply<'_>) {
        if let Action::Continue = self.drive(Event::JudgeReply(reply), Action::Pause) {
            count_failure(hostcalls::continue_request());
        }
    }

    /// Hands one event to the machine.
    fn dispatch(&mut self, event: Event<'_>) -> Vec<Effect> {
        let cluster_header = self.store.cluster_header();
        let failover = self.store.failover();
        let plugin = self.store.fingerprint();
        let filter_state = self.store.filter_state();
        let policy = self.policy.as_ref();
        let stream = &mut self.stream;
        let stats = self.store.stats();
        if let (Event::Answer(Answer::RequestBody { now_ns, .. }), Some(policy)) = (&event, policy)
        {
            stats.merge(policy, *now_ns);
        }
        vm::with_router(|router| {
            stats.with(|stats| {
                let mut worker = Worker {
                    cluster_header,
                    failover,
                    plugin,
                    filter_state,
                    policy,
                    router,
                    stats,
                    find_maker: &state_makers::find,
                    receipts: ReceiptAuthority {
                        keys: self.store.receipt_keys(),
                        nonce: &vm::nonce,
                        claim: &claims::claim,
                    },
                    grades: KnownGrades {
                        secret: &judge_cache::secret,
                        find: &judge_cache::find,
                    },
                };
                stream.on(event, &mut worker)
            })
        })
    }
}

impl Context for Exchange {
    fn on_http_call_response(&mut self, number: u32, _: usize, body_size: usize, _: usize) {
        judge_calls::on_response(number, body_size, |reply| {
            if let Ok(mut driver) = self.driver.try_borrow_mut() {
                driver.on_reply(reply);
            }
        });
    }
}

impl HttpContext for Exchange {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        if let Ok(mut driver) = self.driver.try_borrow_mut() {
            driver.policy = driver.store.current();
        }
        let bytes = count_failure(hostcalls::headers(Map::RequestHeaders)).unwrap_or_default();
        let headers = header_map::decode(&bytes);
        #[cfg(feature = "test-trap")]
        if let Ok(driver) = self.driver.try_borrow() {
            crate::test_trap::on(&headers, &driver.store);
        }
        self.drive(Event::RequestHeaders {
            headers: &headers,
            end_of_stream,
        })
    }

    fn on_http_request_body(&mut self, held: usize, end_of_stream: bool) -> Action {
        self.drive(Event::RequestBody {
            held,
            end_of_stream,
        })
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        self.drive(Event::RequestTrailers)
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.drive(Event::ResponseHeaders)
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.drive(Event::ResponseBody {
            size,
            end_of_stream,
        })
    }

    /// The last callback: after the response or a reset, before the access log is written.
    fn on_log(&mut self) {
        self.drive(Event::Done(now_ns()));
        let has_called = self
            .driver
            .try_borrow()
            .is_ok_and(|driver| driver.has_called);
        if has_called {
            judge_calls::on_gone(self.id);
        }
    }
}

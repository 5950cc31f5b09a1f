//! The downstream filter: turns the callbacks of one HTTP exchange into events of the core, and its effects into host calls.

use std::rc::Rc;

use pointsman::exchange::{Answer, Effect, Event, ReceiptAuthority, Stream, Worker};
use pointsman::policy::Policy;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::effects::{self, count_failure, now_ns};
use crate::hostcalls::{self, Map};
use crate::sync::policy_store::PolicyStore;
use crate::sync::{claims, state_makers};
use crate::{header_map, vm};

/// Drives one [`Stream`].
pub struct Exchange {
    stream: Stream,
    store: Rc<PolicyStore>,
    policy: Option<Rc<Policy>>,
}

impl Exchange {
    /// An exchange under the policy that `store` has when the request comes.
    pub fn new(store: Rc<PolicyStore>) -> Exchange {
        Exchange {
            stream: Stream::new(),
            store,
            policy: None,
        }
    }

    /// Hands `event` to the machine, applies its effects and answers its questions, until it asks no more.
    fn drive(&mut self, event: Event<'_>) -> Action {
        let mut action = Action::Continue;
        let mut asked = effects::apply(self.dispatch(event), &mut action);
        while let Some(question) = asked {
            let dispatch = &mut |answer: Answer<'_>| self.dispatch(Event::Answer(answer));
            let effects = effects::answer(question, dispatch);
            asked = effects::apply(effects, &mut action);
        }
        action
    }

    /// Hands one event to the machine.
    fn dispatch(&mut self, event: Event<'_>) -> Vec<Effect> {
        let cluster_header = self.store.cluster_header();
        let failover = self.store.failover();
        let plugin = self.store.fingerprint();
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
                    policy,
                    router,
                    stats,
                    find_maker: &state_makers::find,
                    receipts: ReceiptAuthority {
                        keys: self.store.receipt_keys(),
                        nonce: &vm::nonce,
                        claim: &claims::claim,
                    },
                };
                stream.on(event, &mut worker)
            })
        })
    }
}

impl Context for Exchange {}

impl HttpContext for Exchange {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        self.policy = self.store.current();
        let bytes = count_failure(hostcalls::headers(Map::RequestHeaders)).unwrap_or_default();
        let headers = header_map::decode(&bytes);
        #[cfg(feature = "test-trap")]
        crate::test_trap::on(&headers, &self.store);
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
    }
}

//! The upstream filter: turns the callbacks of one attempt into events of the core, and its effects into host calls.

use std::rc::Rc;

use pointsman::exchange::attempt::{self, Attempt, AttemptContext, AttemptEvent};
use pointsman::exchange::{Answer, Effect, Header};
use pointsman::fleet::clusters::Failover;
use pointsman::policy::Policy;
use pointsman::routing::fallback_chain::FallbackChain;
use pointsman::telemetry::{header, state};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::effects::{self, HOST, count_failure};
use crate::header_map;
use crate::hostcalls::{self, Map};
use crate::sync::policy_cache::PolicyCache;

/// State that the attempts of one plugin configuration share.
#[derive(Debug)]
pub struct AttemptConfig {
    /// How Envoy follows chains here.
    pub failover: Failover,
    /// The policies that decided the requests.
    pub policies: PolicyCache,
}

/// Drives one [`Attempt`].
pub struct AttemptFilter {
    /// Boxed so that the filter is aligned as [`crate::exchange::Exchange`] is. The SDK has some 90 default methods for each context, and
    /// the compiler merges those that are equal to their attributes: alignment, and whether a `Cell` is inside.
    attempt: Box<Attempt>,
    config: Rc<AttemptConfig>,
    /// The policy that decided the request; `None` before its headers have arrived.
    policy: Option<Rc<Policy>>,
}

impl AttemptFilter {
    /// A filter for one attempt.
    pub fn new(config: Rc<AttemptConfig>) -> AttemptFilter {
        AttemptFilter {
            attempt: Box::new(Attempt::new()),
            config,
            policy: None,
        }
    }

    /// Hands `event` to the machine, applies its effects and answers its questions, until it asks no more.
    fn drive(&mut self, event: AttemptEvent<'_>) -> Action {
        let Some(policy) = &self.policy else {
            return Action::Continue;
        };
        let context = AttemptContext {
            failover: self.config.failover,
            policy,
        };
        let attempt = &mut self.attempt;
        let mut action = Action::Continue;
        let mut asked = effects::apply(attempt.on(event, &context), &mut action).question;
        while let Some(question) = asked {
            let dispatch =
                &mut |answer: Answer<'_>| attempt.on(AttemptEvent::Answer(answer), &context);
            let effects = effects::answer(question, dispatch);
            asked = effects::apply(effects, &mut action).question;
        }
        action
    }
}

/// Applies effects that ask nothing.
fn apply(effects: Vec<Effect>) -> Action {
    let mut action = Action::Continue;
    effects::apply(effects, &mut action);
    action
}

/// The chain of the request. The router puts it into the filter state, or into a header of a prewarm, which has no such state.
/// A client's header of that name is removed.
fn chain_of(headers: &[Header<'_>]) -> Option<FallbackChain> {
    let state = hostcalls::property(state::CHAIN.as_bytes()).ok();
    let chain = state.and_then(|text| FallbackChain::parse(&text));
    chain.or_else(|| {
        let mut named = headers.iter();
        let found = named.find(|(name, _)| *name == header::CHAIN.as_bytes());
        found.and_then(|(_, value)| FallbackChain::parse(value))
    })
}

impl Context for AttemptFilter {}

impl HttpContext for AttemptFilter {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let bytes = count_failure(hostcalls::headers(Map::RequestHeaders)).unwrap_or_default();
        let headers = header_map::decode(&bytes);
        let chain = chain_of(&headers);
        let origin = chain.as_ref().map(|chain| chain.origin);
        self.policy = origin.and_then(|origin| self.config.policies.find(origin));
        let Some(chain) = chain else {
            return apply(attempt::undecided(&headers));
        };
        if self.policy.is_none() {
            return apply(attempt::unknown(&headers));
        }
        let host = match self.config.failover {
            Failover::Aggregate { .. } => hostcalls::property(HOST).ok(),
            _ => None,
        };
        let host = host
            .as_deref()
            .and_then(|name| std::str::from_utf8(name).ok());
        let withheld = match chain.withholds {
            true => hostcalls::property(state::WITHHELD.as_bytes()).ok(),
            false => None,
        };
        self.drive(AttemptEvent::Headers {
            headers: &headers,
            end_of_stream,
            chain: &chain,
            withheld: withheld.as_deref(),
            host,
            now_ns: effects::now_ns(),
        })
    }

    fn on_http_request_body(&mut self, held: usize, end_of_stream: bool) -> Action {
        self.drive(AttemptEvent::Body {
            held,
            end_of_stream,
        })
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        self.drive(AttemptEvent::Trailers)
    }

    fn on_http_response_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let status = match self.attempt.may_move_on() {
            true => hostcalls::header(Map::ResponseHeaders, b":status").ok(),
            false => None,
        };
        self.drive(AttemptEvent::ResponseHeaders {
            end_of_stream,
            status: status.as_deref(),
        })
    }

    fn on_http_response_body(&mut self, _: usize, _: bool) -> Action {
        self.drive(AttemptEvent::ResponseBody)
    }
}

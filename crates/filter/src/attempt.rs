//! One attempt at one upstream host: turns the upstream filter's callbacks into events, and effects into host calls.

use std::rc::Rc;

use pointsman::exchange::attempt::{self, Attempt, AttemptEvent, Site};
use pointsman::exchange::{Effect, Header};
use pointsman::fleet::clusters::Failover;
use pointsman::policy::Policy;
use pointsman::routing::fallback_chain::FallbackChain;
use pointsman::telemetry::{header, state};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::exchange::{self, Answer};
use crate::header_map;
use crate::hostcalls::{self, Map};
use crate::sync::policy_cache::Decided;

/// The path of the property that names the backend of the host that is tried.
pub const HOST: &[u8] = b"xds\0upstream_host_metadata\0filter_metadata\0pointsman\0backend";

/// What the attempts of one plugin configuration have in common.
#[derive(Debug)]
pub struct Attempts {
    /// How chains are followed here.
    pub failover: Failover,
    /// By what requests were decided on.
    pub decided: Decided,
}

/// The host's side of an [`Attempt`].
pub struct Upstream {
    attempt: Attempt,
    attempts: Rc<Attempts>,
    /// The policy that decided on the request; `None` before its headers are there.
    policy: Option<Rc<Policy>>,
}

impl Upstream {
    /// An attempt among `attempts`.
    pub fn new(attempts: Rc<Attempts>) -> Upstream {
        Upstream {
            attempt: Attempt::new(),
            attempts,
            policy: None,
        }
    }

    fn drive(&mut self, event: AttemptEvent<'_>) -> Action {
        let Some(policy) = &self.policy else {
            return Action::Continue;
        };
        let site = Site {
            failover: self.attempts.failover,
            policy,
        };
        let mut action = Action::Continue;
        let effects: Vec<Effect> = self.attempt.on(event, &site);
        let mut answer = exchange::perform(effects, &mut action);
        while let Some(Answer::Body { bytes, .. }) = answer {
            let effects = self.attempt.on(AttemptEvent::Read(bytes.as_deref()), &site);
            answer = exchange::perform(effects, &mut action);
        }
        action
    }
}

fn apply(effects: Vec<Effect>) -> Action {
    let mut action = Action::Continue;
    exchange::perform(effects, &mut action);
    action
}

/// The chain of the request: in the filter state, where the router has put it, or in the header of a call of the router's
/// own (to keep a backend warm), which has no such state. A client's header of that name never comes so far.
fn chain_of(headers: &[Header<'_>]) -> Option<FallbackChain> {
    let state = hostcalls::property(state::CHAIN.as_bytes()).ok();
    let chain = state.and_then(|text| FallbackChain::parse(&text));
    chain.or_else(|| {
        let mut named = headers.iter();
        let found = named.find(|(name, _)| *name == header::CHAIN.as_bytes());
        found.and_then(|(_, value)| FallbackChain::parse(value))
    })
}

impl Context for Upstream {}

impl HttpContext for Upstream {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let bytes = exchange::told(hostcalls::headers(Map::RequestHeaders)).unwrap_or_default();
        let headers = header_map::decode(&bytes);
        let chain = chain_of(&headers);
        let origin = chain.as_ref().map(|chain| chain.origin);
        self.policy = origin.and_then(|origin| self.attempts.decided.by(origin));
        let Some(chain) = chain else {
            return apply(attempt::undecided(&headers));
        };
        if self.policy.is_none() {
            return apply(attempt::unknown(&headers));
        }
        let host = match self.attempts.failover {
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
            now_ns: exchange::now_ns(),
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

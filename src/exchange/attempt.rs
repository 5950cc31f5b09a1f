//! One attempt of a decided request at one backend, as a state machine: [`AttemptEvent`]s in, [`Effect`]s out. Pure.
//!
//! The decision leaves the request fit for its first backend. Another backend knows the model under another name, or has
//! another path or other credentials: each attempt fits the request to the backend that is tried, and moves the chain on for
//! the next attempt. Changes to headers stay for later attempts. Changes to the body do not: Envoy starts each attempt with
//! the body that the decision left.

pub(super) mod path;

use super::decision_annotations::set_state;
use super::effect::set_request_header;
use super::forwarding::{self, WithheldHeaders};
use super::request_kind::has_our_prefix;
use super::scan::PIECE;
use super::{Answer, Effect, Header, Question, Reply, find};
use crate::api::Api;
use crate::api::edit::Splice;
use crate::api::request::top_level::TopLevelScanner;
use crate::api::request::{self, Request};
use crate::api::rewrite;
use crate::decimal::decimal;
use crate::fleet::clusters::Failover;
use crate::fleet::{Backend, Registry};
use crate::policy::Policy;
use crate::routing::fallback_chain::FallbackChain;
use crate::sort;
use crate::telemetry::{Metric, state};

/// The headers of an attempt, and what else is known of it.
struct AttemptHeaders<'a> {
    headers: &'a [Header<'a>],
    end_of_stream: bool,
    withheld: Option<&'a [u8]>,
    host: Option<&'a str>,
    now_ns: u64,
}

/// Something that happened to an attempt.
#[derive(Debug, Clone, Copy)]
pub enum AttemptEvent<'a> {
    /// The request's headers have arrived.
    Headers {
        /// All of them.
        headers: &'a [Header<'a>],
        /// The request has no body and no trailers.
        end_of_stream: bool,
        /// The fallback chain of the request.
        chain: &'a FallbackChain,
        /// The value of [`state::WITHHELD`], if the chain says that there is one.
        withheld: Option<&'a [u8]>,
        /// The name of the tried backend in the host's metadata, if it is there.
        host: Option<&'a str>,
        /// The time, in nanoseconds since 1970.
        now_ns: u64,
    },
    /// More of the request's body has arrived.
    Body {
        /// Bytes held so far, in total.
        held: usize,
        /// The body is complete.
        end_of_stream: bool,
    },
    /// The request's trailers have arrived, so its body is complete.
    Trailers,
    /// The response's headers have arrived.
    ResponseHeaders {
        /// The response has no body and no trailers.
        end_of_stream: bool,
        /// The `:status` of the response; `None` if it was not read.
        status: Option<&'a [u8]>,
    },
    /// More of the response has arrived.
    ResponseBody,
    /// The host answers the question that was asked last.
    Answer(Answer<'a>),
}

/// State available to an attempt.
pub struct AttemptContext<'a> {
    /// How Envoy follows chains here.
    pub failover: Failover,
    /// The policy that decided the request.
    pub policy: &'a Policy,
}

/// One attempt.
#[derive(Debug, Default)]
pub struct Attempt {
    phase: Phase,
    /// Whether another backend is tried if this one stays silent.
    may_move_on: bool,
}

#[derive(Debug, Default)]
enum Phase {
    /// Nothing is left to do.
    #[default]
    Passed,
    /// The body is held until it can be edited.
    Holding { edit: Edit, held: usize },
    /// The host was asked for the body.
    Reading {
        edit: Edit,
        held: usize,
        ended: bool,
    },
    /// A long body is searched as it comes.
    Scanning {
        edit: Edit,
        scanner: Box<TopLevelScanner>,
        held: usize,
        ended: bool,
    },
}

/// The edit of a body.
#[derive(Debug)]
struct Edit {
    model: String,
    /// The bound that higher token limits are cut down to.
    most_tokens: Option<u32>,
    api: Api,
    content_length: Option<u64>,
    /// Whether foreign state is removed, and if so, whether the backend insists on signatures in its place.
    drops: Option<bool>,
}

impl AttemptContext<'_> {
    /// Whether a body written for one backend carries state that another backend cannot read.
    fn drops_state(&self, written_for: Option<&Backend>, backend: &Backend) -> bool {
        self.policy.traffic.drops_foreign_state
            && written_for.is_some_and(|writer| writer.state_scope.key != backend.state_scope.key)
    }
}

impl Edit {
    /// The changes to a body that begins with `start`.
    fn splices(&self, start: &[u8], request: &mut Request<'_>) -> Vec<Splice> {
        let mut splices = rewrite::splices(start, request, &self.model, false);
        // The decision sends no other backend a request that needs its state, or that was not seen as a whole.
        if let Some(stands_in) = self.drops.filter(|_| request.complete) {
            request.find_state(start);
            splices.extend(request.state.cuts(start, |_| true, stands_in));
            sort::sort_by_key(&mut splices, |splice| splice.span.start);
        }
        if let Some(most) = self.most_tokens {
            rewrite::cut_down(start, request, most, &mut splices);
        }
        splices
    }
}

impl Attempt {
    /// An attempt before its first event.
    pub fn new() -> Attempt {
        Attempt::default()
    }

    /// Whether another backend is tried if this one stays silent: then the status of the response matters.
    pub fn may_move_on(&self) -> bool {
        self.may_move_on
    }

    /// Gives the effects of `event`.
    pub fn on(&mut self, event: AttemptEvent<'_>, context: &AttemptContext<'_>) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            AttemptEvent::Headers {
                headers,
                end_of_stream,
                chain,
                withheld,
                host,
                now_ns,
            } => {
                hide(headers, &mut effects);
                let attempt = AttemptHeaders {
                    headers,
                    end_of_stream,
                    withheld,
                    host,
                    now_ns,
                };
                self.on_headers(&attempt, chain.clone(), context, &mut effects);
            }
            AttemptEvent::Body {
                held,
                end_of_stream,
            } => self.on_body(held, end_of_stream, context, &mut effects),
            AttemptEvent::Trailers => match std::mem::take(&mut self.phase) {
                Phase::Holding { edit, held } => self.read(edit, held, true, context, &mut effects),
                Phase::Scanning {
                    edit,
                    scanner,
                    held,
                    ..
                } => self.scan(edit, scanner, (held, true), context, &mut effects),
                _ => effects.push(Effect::Continue),
            },
            AttemptEvent::Answer(Answer::RequestBody { bytes, .. }) => {
                self.on_read(bytes, context, &mut effects);
            }
            // An attempt asks for its body and nothing else.
            AttemptEvent::Answer(_) => {}
            // Many servers send the head of a stream long before its first byte. Once Envoy's router has seen the head, no
            // other backend can be tried, so that it is held until the first bytes of the answer come. The head of an error is
            // not held: Envoy 1.36 crashes if a retry begins while a held head is let go.
            AttemptEvent::ResponseHeaders {
                end_of_stream,
                status,
            } => {
                let is_well = status.is_some_and(|status| status.starts_with(b"2"));
                effects.push(match self.may_move_on && is_well && !end_of_stream {
                    true => Effect::Pause,
                    false => Effect::Continue,
                });
            }
            AttemptEvent::ResponseBody => effects.push(Effect::Continue),
        }
        effects
    }

    fn on_headers(
        &mut self,
        attempt: &AttemptHeaders<'_>,
        mut chain: FallbackChain,
        context: &AttemptContext<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let registry = &context.policy.registry;
        let Some(backend) = find_tried(&chain, attempt.host, context) else {
            effects.push(Effect::Count(Metric::attempts_unresolved()));
            forwarding::strip(attempt.headers, registry, effects);
            restate_length(chain.content_length, effects);
            return effects.push(Effect::Continue);
        };
        if chain.attempts > 0 && !chain.deadline.allows(backend, attempt.now_ns) {
            return effects.extend([Effect::Reply(no_time_left()), Effect::Pause]);
        }
        fit_headers(backend, &mut chain, attempt, context, effects);
        let asked = asked_path(attempt.headers, &chain);
        if let Some(asked) = &asked {
            fit_path(backend, asked, &mut chain, effects);
        }
        let first = chain.attempts == 0;
        let written_for = find_backend(&registry.backends, Some(chain.written_for));
        let drops = context.drops_state(written_for, backend);
        let less = less_answer(backend, &chain, registry);
        let fits = !drops
            && less.is_none()
            && written_for.is_some_and(|writer| writer.served_model == backend.served_model);
        let api = asked.as_deref().and_then(Api::of_body_at);
        if fits && !first {
            // The attempt before may have stated the length of another body.
            restate_length(chain.content_length, effects);
        }
        let edit = match api {
            Some(api) if !fits && !attempt.end_of_stream => Some(Edit {
                model: backend.served_model.clone(),
                most_tokens: less,
                api,
                content_length: chain.content_length,
                drops: drops.then(|| backend.insists_on_signatures()),
            }),
            _ => None,
        };
        chain.attempts = chain.attempts.saturating_add(1);
        self.may_move_on = (chain.attempts as usize) < chain.backends.len();
        if context.failover == Failover::PerAttempt {
            chain.rotate();
        }
        set_state(effects, state::CHAIN, &chain.to_text());
        match edit {
            Some(edit) => {
                self.phase = Phase::Holding { edit, held: 0 };
                effects.push(Effect::Pause);
            }
            None => effects.push(Effect::Continue),
        }
    }

    fn on_body(
        &mut self,
        held: usize,
        end_of_stream: bool,
        context: &AttemptContext<'_>,
        effects: &mut Vec<Effect>,
    ) {
        match std::mem::take(&mut self.phase) {
            Phase::Holding { edit, .. }
                if end_of_stream || held >= context.policy.max_body_bytes =>
            {
                self.read(edit, held, end_of_stream, context, effects);
            }
            Phase::Scanning { edit, scanner, .. } => {
                self.scan(edit, scanner, (held, end_of_stream), context, effects);
            }
            Phase::Holding { edit, .. } => {
                self.phase = Phase::Holding { edit, held };
                effects.push(Effect::Pause);
            }
            _ => effects.push(Effect::Continue),
        }
    }

    /// Reads the body, or begins to search a long one.
    fn read(
        &mut self,
        edit: Edit,
        held: usize,
        ended: bool,
        context: &AttemptContext<'_>,
        effects: &mut Vec<Effect>,
    ) {
        if held > context.policy.max_body_bytes || !ended {
            return self.scan(edit, Box::default(), (held, ended), context, effects);
        }
        self.phase = Phase::Reading { edit, held, ended };
        let whole = Question::RequestBody {
            start: 0,
            size: held,
        };
        effects.push(Effect::Ask(whole));
    }

    /// Reads the next piece of a long body, waits for more, or edits the body by the fields that were found.
    fn scan(
        &mut self,
        edit: Edit,
        scanner: Box<TopLevelScanner>,
        (held, ended): (usize, bool),
        context: &AttemptContext<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let (start, is_done) = (scanner.fed(), scanner.is_done());
        if start < held && !is_done {
            let size = (held - start).min(PIECE);
            effects.push(Effect::Ask(Question::RequestBody { start, size }));
        } else if ended || is_done || held >= context.policy.max_scan_bytes {
            let tail = scanner.finish();
            let mut request = Request::empty(edit.api);
            let splices = match request.join(&tail) {
                Ok(()) => edit.splices(b"{", &mut request),
                Err(_) => Vec::new(),
            };
            write(&edit, splices, &[], held, effects);
            return effects.push(Effect::Continue);
        } else {
            effects.push(Effect::Pause);
        }
        self.phase = Phase::Scanning {
            edit,
            scanner,
            held,
            ended,
        };
    }

    fn on_read(
        &mut self,
        bytes: Option<&[u8]>,
        context: &AttemptContext<'_>,
        effects: &mut Vec<Effect>,
    ) {
        match std::mem::take(&mut self.phase) {
            Phase::Reading { edit, held, ended } => {
                let body = bytes.unwrap_or_default();
                let splices = match request::parse(edit.api, body, ended) {
                    Ok(mut request) => edit.splices(body, &mut request),
                    Err(_) => Vec::new(),
                };
                write(&edit, splices, body, held, effects);
            }
            Phase::Scanning {
                edit,
                mut scanner,
                held,
                ended,
            } => match bytes.unwrap_or_default() {
                [] => write(&edit, Vec::new(), &[], held, effects),
                piece => {
                    scanner.feed(piece);
                    return self.scan(edit, scanner, (held, ended), context, effects);
                }
            },
            _ => {}
        }
        effects.push(Effect::Continue);
    }
}

/// Edits the body of `held` bytes, whose first bytes are `start`.
fn write(edit: &Edit, splices: Vec<Splice>, start: &[u8], held: usize, effects: &mut Vec<Effect>) {
    if splices.is_empty() {
        effects.push(Effect::Count(Metric::attempts_unresolved()));
        return restate_length(edit.content_length, effects);
    }
    let (edit, _) = Effect::edit_body(splices, start, held, edit.content_length);
    effects.push(edit);
}

/// The backend that is tried.
fn find_tried<'a>(
    chain: &FallbackChain,
    host: Option<&str>,
    context: &AttemptContext<'a>,
) -> Option<&'a Backend> {
    let backends = &context.policy.registry.backends;
    match (context.failover, host) {
        (Failover::Aggregate { .. }, Some(name)) => {
            backends.iter().find(|backend| backend.name == name)
        }
        _ => find_backend(backends, chain.backends.first().copied()),
    }
}

/// The most tokens that the model of `backend` can write, if that is less than the body allows.
fn less_answer(backend: &Backend, chain: &FallbackChain, registry: &Registry) -> Option<u32> {
    chain.answer?.less_of(registry.model(backend.model)?)
}

/// Puts the path of the backend's endpoint before the client's path.
fn fit_path(backend: &Backend, asked: &str, chain: &mut FallbackChain, effects: &mut Vec<Effect>) {
    let start = path::start(backend.endpoint.as_ref(), asked);
    if !start.put.is_empty() || chain.path_prefix > 0 {
        set_request_header(":path", path::join(asked, &start).into(), effects);
    }
    chain.path_prefix = start.put.len();
    chain.replaces_version = start.replaces_version;
}

/// The client's path.
fn asked_path(headers: &[Header<'_>], chain: &FallbackChain) -> Option<String> {
    let path = std::str::from_utf8(find(headers, ":path")?).ok()?;
    path::asked(path, chain.path_prefix, chain.replaces_version)
}

/// Removes headers between Envoy and Pointsman: Envoy's router has read them, and no backend may see them.
fn hide(headers: &[Header<'_>], effects: &mut Vec<Effect>) {
    for (name, _) in headers {
        if has_our_prefix(name) || name.starts_with(b"x-envoy-") {
            effects.push(Effect::RemoveRequestHeader(name.to_vec()));
        }
    }
}

/// The response if a backend failed and another would answer too late. Plain text: Envoy makes it an error of the API, as it
/// does with its own.
fn no_time_left() -> Reply {
    let text = "the backend failed, and too little of the client's time is left to ask another one";
    Reply {
        status: 504,
        details: "no_time_left",
        headers: Vec::new(),
        body: text.as_bytes().to_vec(),
    }
}

/// Fits the headers to `backend`, and keeps what was removed for backends that may see it.
fn fit_headers(
    backend: &Backend,
    chain: &mut FallbackChain,
    attempt: &AttemptHeaders<'_>,
    context: &AttemptContext<'_>,
    effects: &mut Vec<Effect>,
) {
    let registry = &context.policy.registry;
    let mut withheld = match (chain.withholds, attempt.withheld) {
        (true, None) => {
            // The headers may hold values of another backend, and nothing tells which.
            forwarding::strip(attempt.headers, registry, effects);
            let own = chain.own_credentials;
            return forwarding::fit(
                backend,
                own,
                registry,
                &[],
                &mut WithheldHeaders::default(),
                effects,
            );
        }
        (true, Some(text)) => WithheldHeaders::parse(text),
        (false, _) => WithheldHeaders::default(),
    };
    let own = chain.own_credentials;
    forwarding::fit(
        backend,
        own,
        registry,
        attempt.headers,
        &mut withheld,
        effects,
    );
    let sees_some = |key: &u32| {
        find_backend(&registry.backends, Some(*key))
            .is_some_and(|backend| backend.client.credentials || backend.client.address)
    };
    if withheld.is_changed() && chain.backends.len() > 1 && chain.backends.iter().any(sees_some) {
        chain.withholds = true;
        set_state(effects, state::WITHHELD, &withheld.to_text());
    }
}

/// The attempt of a request that the router did not see.
pub fn undecided(headers: &[Header<'_>]) -> Vec<Effect> {
    let mut effects = Vec::new();
    hide(headers, &mut effects);
    effects.push(Effect::Continue);
    effects
}

/// The attempt of a request whose policy is gone: it goes without the headers that not every backend may see.
pub fn unknown(headers: &[Header<'_>]) -> Vec<Effect> {
    let mut effects = vec![Effect::Count(Metric::attempts_unresolved())];
    hide(headers, &mut effects);
    forwarding::strip(headers, &Registry::default(), &mut effects);
    effects.push(Effect::Continue);
    effects
}

/// States the length of the body that the decision left, whatever the attempt before had to state: a wrong length is request
/// smuggling.
fn restate_length(content_length: Option<u64>, effects: &mut Vec<Effect>) {
    match content_length {
        Some(length) => set_request_header("content-length", decimal(length), effects),
        None => effects.push(Effect::RemoveRequestHeader(b"content-length".to_vec())),
    }
}

fn find_backend(backends: &[Backend], key: Option<u32>) -> Option<&Backend> {
    let key = key?;
    backends
        .iter()
        .find(|backend| crate::fleet::clusters::backend_key(&backend.name) == key)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;

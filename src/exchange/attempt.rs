//! One attempt of a decided request at one backend, as a state machine: [`AttemptEvent`]s in, [`Effect`]s out. Pure.
//!
//! The decision left the request as its first backend wants it. Another one knows the model under another name, has another
//! path or other credentials: each attempt puts in what belongs to the backend that is actually tried, and moves the chain
//! on for the attempt after it. Changes to headers stay for later attempts, those to the body do not: Envoy tries each time
//! with the body that the decision left.

pub(super) mod path;

use super::forwarding::{self, Withheld};
use super::request_kind::has_our_prefix;
use super::scan::PIECE;
use super::{Effect, Header, Reply, decimal, find};
use crate::api::Api;
use crate::api::edit::{self, PrefixEdit, Splice};
use crate::api::request::top_level::TopLevelScanner;
use crate::api::request::{self, Request};
use crate::api::rewrite;
use crate::fleet::clusters::Failover;
use crate::fleet::{Backend, Registry};
use crate::policy::Policy;
use crate::routing::fallback_chain::FallbackChain;
use crate::telemetry::{Metric, state};

/// What an attempt's headers say, and what is known beside them.
struct Seen<'a> {
    headers: &'a [Header<'a>],
    end_of_stream: bool,
    withheld: Option<&'a [u8]>,
    host: Option<&'a str>,
    now_ns: u64,
}

/// What happened to an attempt.
#[derive(Debug, Clone, Copy)]
pub enum AttemptEvent<'a> {
    /// The request's headers are there.
    Headers {
        /// All of them.
        headers: &'a [Header<'a>],
        /// Nothing follows them.
        end_of_stream: bool,
        /// Where the request stands in its chain.
        chain: &'a FallbackChain,
        /// What [`state::WITHHELD`] holds, where the chain says that there is something.
        withheld: Option<&'a [u8]>,
        /// Name of the backend that is tried, where the host's metadata say so.
        host: Option<&'a str>,
        /// Nanoseconds since 1970.
        now_ns: u64,
    },
    /// More of its body is there: how many bytes in all, and whether nothing follows them.
    Body {
        /// Bytes that are held by now.
        held: usize,
        /// Nothing follows them.
        end_of_stream: bool,
    },
    /// Its trailers are there, so its body is complete.
    Trailers,
    /// The head of the answer is there.
    ResponseHeaders {
        /// Nothing follows it.
        end_of_stream: bool,
        /// Its `:status`; `None` where nobody asked for it.
        status: Option<&'a [u8]>,
    },
    /// More of the answer is there.
    ResponseBody,
    /// The answer to [`Effect::ReadBody`]; `None` where it could not be read.
    Read(Option<&'a [u8]>),
}

/// What an attempt meets in its worker.
pub struct Site<'a> {
    /// How chains are followed here.
    pub failover: Failover,
    /// The backends.
    pub policy: &'a Policy,
}

/// One attempt.
#[derive(Debug, Default)]
pub struct Attempt {
    phase: Phase,
    /// Whether another backend would be asked if this one kept silent.
    may_move_on: bool,
}

#[derive(Debug, Default)]
enum Phase {
    /// Nothing is left to do.
    #[default]
    Passed,
    /// The body is held until it can be written anew.
    Holding { edit: Edit, held: usize },
    /// It was asked for.
    Reading {
        edit: Edit,
        held: usize,
        ended: bool,
    },
    /// It is long, and looked through as it comes.
    Scanning {
        edit: Edit,
        scanner: Box<TopLevelScanner>,
        held: usize,
        ended: bool,
    },
}

/// What the body is to become.
#[derive(Debug)]
struct Edit {
    model: String,
    /// What bounds of the answer that are more are cut down to.
    most_tokens: Option<u32>,
    api: Api,
    content_length: Option<u64>,
    /// What it carries of another state scope is taken out; whether the backend then wants stand-ins for signatures.
    drops: Option<bool>,
}

impl Site<'_> {
    /// Whether a body that was written for one backend carries state that another one cannot read.
    fn drops_state(&self, written_for: Option<&Backend>, backend: &Backend) -> bool {
        self.policy.traffic.drops_foreign_state
            && written_for.is_some_and(|one| one.state_scope.key != backend.state_scope.key)
    }
}

impl Edit {
    /// What is changed in a body that begins with `start`.
    fn splices(&self, start: &[u8], request: &mut Request<'_>) -> Vec<Splice> {
        let mut splices = rewrite::splices(start, request, &self.model, false);
        // The decision sends nobody else what cannot do without its state, nor what was not seen whole.
        if let Some(stands_in) = self.drops.filter(|_| request.complete) {
            request.find_state(start);
            splices.extend(request.state.cuts(start, |_| true, stands_in));
            splices.sort_by_key(|one| one.span.start);
        }
        if let Some(most) = self.most_tokens {
            rewrite::cut_down(start, request, most, &mut splices);
        }
        splices
    }
}

impl Attempt {
    /// An attempt of which nothing was seen yet.
    pub fn new() -> Attempt {
        Attempt::default()
    }

    /// Whether another backend would be asked if this one kept silent: then the answer's status is of interest.
    pub fn may_move_on(&self) -> bool {
        self.may_move_on
    }

    /// What is to be done about `event`.
    pub fn on(&mut self, event: AttemptEvent<'_>, site: &Site<'_>) -> Vec<Effect> {
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
                let seen = Seen {
                    headers,
                    end_of_stream,
                    withheld,
                    host,
                    now_ns,
                };
                self.on_headers(&seen, chain.clone(), site, &mut effects);
            }
            AttemptEvent::Body {
                held,
                end_of_stream,
            } => self.on_body(held, end_of_stream, site, &mut effects),
            AttemptEvent::Trailers => match std::mem::take(&mut self.phase) {
                Phase::Holding { edit, held } => self.read(edit, held, true, site, &mut effects),
                Phase::Scanning {
                    edit,
                    scanner,
                    held,
                    ..
                } => self.scan(edit, scanner, (held, true), site, &mut effects),
                _ => effects.push(Effect::Continue),
            },
            AttemptEvent::Read(bytes) => self.on_read(bytes, site, &mut effects),
            // Many servers send the head of a stream long before they have anything to say. Once Envoy's router has seen it,
            // nobody else can be asked; so it is kept back until the first bytes of the answer are there. That of an error is
            // not: Envoy 1.36 crashes where a retry begins while a held head is let go.
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
        seen: &Seen<'_>,
        mut chain: FallbackChain,
        site: &Site<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let registry = &site.policy.registry;
        let Some(backend) = find_tried(&chain, seen.host, site) else {
            effects.push(Effect::Count(Metric::attempts_unresolved()));
            forwarding::strip(seen.headers, registry, effects);
            restate_length(chain.content_length, effects);
            return effects.push(Effect::Continue);
        };
        if chain.attempts > 0 && !chain.patience.lasts(backend, seen.now_ns) {
            return effects.extend([Effect::Reply(no_time_left()), Effect::Pause]);
        }
        fit_headers(backend, &mut chain, seen, site, effects);
        let asked = asked_path(seen.headers, &chain);
        if let Some(asked) = &asked {
            fit_path(backend, asked, &mut chain, effects);
        }
        let first = chain.attempts == 0;
        let written_for = find_link(&registry.backends, Some(chain.written_for));
        let drops = site.drops_state(written_for, backend);
        let less = less_answer(backend, &chain, registry);
        let fits = !drops
            && less.is_none()
            && written_for.is_some_and(|one| one.served_model == backend.served_model);
        let api = asked.as_deref().and_then(Api::of_body_at);
        if fits && !first {
            // The attempt before may have stated the length of another body.
            restate_length(chain.content_length, effects);
        }
        let edit = match api {
            Some(api) if !fits && !seen.end_of_stream => Some(Edit {
                model: backend.served_model.clone(),
                most_tokens: less,
                api,
                content_length: chain.content_length,
                drops: drops.then(|| backend.insists_on_signatures()),
            }),
            _ => None,
        };
        chain.attempts = chain.attempts.saturating_add(1);
        self.may_move_on = (chain.attempts as usize) < chain.links.len();
        if site.failover == Failover::PerAttempt {
            chain.rotate();
        }
        keep(state::CHAIN, chain.to_text(), effects);
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
        site: &Site<'_>,
        effects: &mut Vec<Effect>,
    ) {
        match std::mem::take(&mut self.phase) {
            Phase::Holding { edit, .. } if end_of_stream || held >= site.policy.max_body_bytes => {
                self.read(edit, held, end_of_stream, site, effects);
            }
            Phase::Scanning { edit, scanner, .. } => {
                self.scan(edit, scanner, (held, end_of_stream), site, effects);
            }
            Phase::Holding { edit, .. } => {
                self.phase = Phase::Holding { edit, held };
                effects.push(Effect::Pause);
            }
            _ => effects.push(Effect::Continue),
        }
    }

    /// Reads the body, or begins to look through a long one.
    fn read(
        &mut self,
        edit: Edit,
        held: usize,
        ended: bool,
        site: &Site<'_>,
        effects: &mut Vec<Effect>,
    ) {
        if held > site.policy.max_body_bytes || !ended {
            return self.scan(edit, Box::default(), (held, ended), site, effects);
        }
        self.phase = Phase::Reading { edit, held, ended };
        effects.push(Effect::ReadBody {
            start: 0,
            size: held,
        });
    }

    /// Reads the next piece of a long body, waits for more, or writes it anew by what was found.
    fn scan(
        &mut self,
        edit: Edit,
        scanner: Box<TopLevelScanner>,
        (held, ended): (usize, bool),
        site: &Site<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let (start, is_done) = (scanner.fed(), scanner.is_done());
        if start < held && !is_done {
            let size = (held - start).min(PIECE);
            effects.push(Effect::ReadBody { start, size });
        } else if ended || is_done || held >= site.policy.max_scan_bytes {
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

    fn on_read(&mut self, bytes: Option<&[u8]>, site: &Site<'_>, effects: &mut Vec<Effect>) {
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
                    return self.scan(edit, scanner, (held, ended), site, effects);
                }
            },
            _ => {}
        }
        effects.push(Effect::Continue);
    }
}

/// Writes the body anew, of which `start` is at hand and `held` bytes are held.
fn write(edit: &Edit, splices: Vec<Splice>, start: &[u8], held: usize, effects: &mut Vec<Effect>) {
    if splices.is_empty() {
        effects.push(Effect::Count(Metric::attempts_unresolved()));
        return restate_length(edit.content_length, effects);
    }
    let grown = edit::growth(&splices);
    let length = edit.content_length;
    let content_length = length.and_then(|length| length.checked_add_signed(grown));
    effects.push(match PrefixEdit::from_splices(start, &splices) {
        Some(edit) => Effect::RewriteBody {
            edit,
            content_length,
        },
        None => Effect::SpliceBody {
            splices,
            held,
            content_length,
        },
    });
}

/// The backend that is tried.
fn find_tried<'a>(
    chain: &FallbackChain,
    host: Option<&str>,
    site: &Site<'a>,
) -> Option<&'a Backend> {
    let backends = &site.policy.registry.backends;
    match (site.failover, host) {
        (Failover::Aggregate { .. }, Some(name)) => {
            backends.iter().find(|backend| backend.name == name)
        }
        _ => find_link(backends, chain.links.first().copied()),
    }
}

/// The most tokens that the model of `backend` can write, where that is less than the body allows.
fn less_answer(backend: &Backend, chain: &FallbackChain, registry: &Registry) -> Option<u32> {
    chain.answer?.less_of(registry.model(backend.model)?)
}

/// Puts what the backend's endpoint says before the path that the client asked for.
fn fit_path(backend: &Backend, asked: &str, chain: &mut FallbackChain, effects: &mut Vec<Effect>) {
    let start = path::start(backend.endpoint.as_ref(), asked);
    if !start.put.is_empty() || chain.path_prefix > 0 {
        set(":path", path::join(asked, &start), effects);
    }
    chain.path_prefix = start.put.len();
    chain.replaces_version = start.replaces_version;
}

/// The path that the client asked for.
fn asked_path(headers: &[Header<'_>], chain: &FallbackChain) -> Option<String> {
    let path = std::str::from_utf8(find(headers, ":path")?).ok()?;
    path::asked(path, chain.path_prefix, chain.replaces_version)
}

/// Takes out what is between Envoy and us: Envoy's router has read its headers, and no backend is to see them.
fn hide(headers: &[Header<'_>], effects: &mut Vec<Effect>) {
    for (name, _) in headers {
        if has_our_prefix(name) || name.starts_with(b"x-envoy-") {
            effects.push(Effect::RemoveRequestHeader(name.to_vec()));
        }
    }
}

/// The answer where a backend failed and another would answer too late. Plain text: Envoy puts it into the API's form, as its
/// own.
fn no_time_left() -> Reply {
    let text = "the backend failed, and too little of the client's time is left to ask another one";
    Reply {
        status: 504,
        details: "no_time_left",
        headers: Vec::new(),
        body: text.as_bytes().to_vec(),
    }
}

/// Makes the headers those that `backend` is to see, and keeps what others may see of what was taken out.
fn fit_headers(
    backend: &Backend,
    chain: &mut FallbackChain,
    seen: &Seen<'_>,
    site: &Site<'_>,
    effects: &mut Vec<Effect>,
) {
    let registry = &site.policy.registry;
    let mut withheld = match (chain.withholds, seen.withheld) {
        (true, None) => {
            // What stands in the headers may be another backend's: nobody can tell any more.
            forwarding::strip(seen.headers, registry, effects);
            let own = chain.own_credentials;
            return forwarding::fit(
                backend,
                own,
                registry,
                &[],
                &mut Withheld::default(),
                effects,
            );
        }
        (true, Some(text)) => Withheld::parse(text),
        (false, _) => Withheld::default(),
    };
    let own = chain.own_credentials;
    forwarding::fit(backend, own, registry, seen.headers, &mut withheld, effects);
    let sees_some = |link: &u32| {
        find_link(&registry.backends, Some(*link))
            .is_some_and(|one| one.client.credentials || one.client.address)
    };
    if withheld.is_changed() && chain.links.len() > 1 && chain.links.iter().any(sees_some) {
        chain.withholds = true;
        keep(state::WITHHELD, withheld.to_text(), effects);
    }
}

/// The attempt of a request that the router did not see: it is none of ours.
pub fn undecided(headers: &[Header<'_>]) -> Vec<Effect> {
    let mut effects = Vec::new();
    hide(headers, &mut effects);
    effects.push(Effect::Continue);
    effects
}

/// The attempt of a request whose policy is not to be had: it goes without what is not every backend's to see.
pub fn unknown(headers: &[Header<'_>]) -> Vec<Effect> {
    let mut effects = vec![Effect::Count(Metric::attempts_unresolved())];
    hide(headers, &mut effects);
    forwarding::strip(headers, &Registry::default(), &mut effects);
    effects.push(Effect::Continue);
    effects
}

/// The body goes as the decision left it, whatever length the attempt before had to state: a wrong one is request smuggling.
fn restate_length(content_length: Option<u64>, effects: &mut Vec<Effect>) {
    match content_length {
        Some(length) => set("content-length", decimal(length), effects),
        None => effects.push(Effect::RemoveRequestHeader(b"content-length".to_vec())),
    }
}

fn find_link(backends: &[Backend], link: Option<u32>) -> Option<&Backend> {
    let link = link?;
    backends
        .iter()
        .find(|backend| crate::fleet::clusters::backend_key(&backend.name) == link)
}

fn keep(key: &'static str, value: String, effects: &mut Vec<Effect>) {
    effects.push(Effect::SetState { key, value });
}

fn set(name: &str, value: String, effects: &mut Vec<Effect>) {
    effects.push(Effect::SetRequestHeader {
        name: name.to_owned(),
        value,
    });
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;

//! One HTTP exchange: turns host callbacks into events of the state machine, and its effects into host calls.

use std::rc::Rc;

use log::Level;
use pointsman::api::edit::{PrefixEdit, Splice};
use pointsman::exchange::{self, Effect, Event, Reply, Stream, Worker};
use pointsman::policy::Policy;
use pointsman::telemetry::{self, Metric};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::attempt::HOST;
use crate::hostcalls::{self, Buffer, HostError, Map};
use crate::sync::policy_store::Published;
use crate::{header_map, logger, metrics, sync::state_makers, vm};

/// The path of the property that holds the number of upstream attempts.
const ATTEMPTS: &[u8] = b"upstream\0request_attempt_count";

/// The path of the property that says how a response came to its end.
const DETAILS: &[u8] = b"response\0code_details";

/// The host's side of a [`Stream`].
pub struct Exchange {
    stream: Stream,
    published: Rc<Published>,
    policy: Option<Rc<Policy>>,
}

/// What the machine asked for, on its way back.
pub enum Answer {
    /// What stands in the held body, and when it was read.
    Body {
        /// `None` where it could not be read.
        bytes: Option<Vec<u8>>,
        /// Nanoseconds since 1970.
        now_ns: u64,
    },
    /// Nanoseconds since 1970.
    Clock(u64),
    /// The response's headers, as the host serialises them.
    ResponseHead(Vec<u8>),
    /// What came of the response's body, and when it was read.
    Chunk {
        /// `None` where it could not be read.
        bytes: Option<Vec<u8>>,
        /// Nanoseconds since 1970.
        now_ns: u64,
    },
    /// The number of attempts, where the host knows it.
    Attempts(Option<u64>),
    /// The backend that the answering host's metadata name.
    Host(Option<Vec<u8>>),
    /// How the response came to its end, where the host says so.
    Details(Option<Vec<u8>>),
}

impl Exchange {
    /// An exchange under the policy that `published` has when the request comes.
    pub fn new(published: Rc<Published>) -> Exchange {
        Exchange {
            stream: Stream::new(),
            published,
            policy: None,
        }
    }

    /// Tells the machine, does what it says, answers what it asks, until it asks no more.
    fn drive(&mut self, event: Event<'_>) -> Action {
        let mut action = Action::Continue;
        let mut answer = perform(self.tell(event), &mut action);
        while let Some(question) = answer {
            let effects = match &question {
                Answer::Body { bytes, now_ns } => self.tell(Event::Body {
                    bytes: bytes.as_deref(),
                    now_ns: *now_ns,
                }),
                Answer::Clock(now_ns) => self.tell(Event::Clock(*now_ns)),
                Answer::ResponseHead(bytes) => {
                    let headers = header_map::decode(bytes);
                    self.tell(Event::ResponseHead(&headers))
                }
                Answer::Chunk { bytes, now_ns } => self.tell(Event::Chunk {
                    bytes: bytes.as_deref(),
                    now_ns: *now_ns,
                }),
                Answer::Attempts(attempts) => self.tell(Event::Attempts(*attempts)),
                Answer::Host(name) => {
                    let name = name
                        .as_deref()
                        .and_then(|name| std::str::from_utf8(name).ok());
                    self.tell(Event::Host(name))
                }
                Answer::Details(text) => self.tell(Event::Details {
                    text: text.as_deref(),
                    now_ns: now_ns(),
                }),
            };
            answer = perform(effects, &mut action);
        }
        action
    }

    fn tell(&mut self, event: Event<'_>) -> Vec<Effect> {
        let cluster_header = self.published.cluster_header();
        let failover = self.published.failover();
        let plugin = self.published.fingerprint();
        let policy = self.policy.as_ref();
        let stream = &mut self.stream;
        let observations = self.published.observations();
        if let (Event::Body { now_ns, .. }, Some(policy)) = (&event, policy) {
            observations.merge(policy, *now_ns);
        }
        vm::with_router(|router| {
            observations.with(|live| {
                let mut worker = Worker {
                    cluster_header,
                    failover,
                    plugin,
                    policy,
                    router,
                    live,
                    makers: &state_makers::find,
                };
                stream.on(event, &mut worker)
            })
        })
    }
}

impl Context for Exchange {}

impl HttpContext for Exchange {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        self.policy = self.published.current();
        let bytes = told(hostcalls::headers(Map::RequestHeaders)).unwrap_or_default();
        let headers = header_map::decode(&bytes);
        #[cfg(feature = "test-trap")]
        crate::test_trap::on(&headers, &self.published);
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

    /// The last callback, after the answer went out, or after a reset; before the access log is written.
    fn on_log(&mut self) {
        self.drive(Event::Done(now_ns()));
    }
}

/// Carries out effects in their order. The answer is the one to the last question; the machine asks one at a time.
pub fn perform(effects: Vec<Effect>, action: &mut Action) -> Option<Answer> {
    let mut answer = None;
    for effect in effects {
        match effect {
            Effect::Pause => *action = Action::Pause,
            Effect::Continue => *action = Action::Continue,
            Effect::ReadBody { .. }
            | Effect::ReadClock
            | Effect::ReadResponseHead
            | Effect::ReadChunk { .. }
            | Effect::ReadAttempts
            | Effect::ReadDetails
            | Effect::ReadHost => answer = find_out(&effect),
            Effect::RemoveRequestHeader(name) => remove_header(Map::RequestHeaders, &name),
            Effect::SetRequestHeader { name, value } => {
                set_header(Map::RequestHeaders, &name, &value);
            }
            Effect::SetCredentials {
                header,
                prefix,
                env,
            } => set_credentials(&header, prefix, &env),
            Effect::RewriteBody {
                edit,
                content_length,
            } => {
                told(rewrite_body(&edit, content_length));
            }
            Effect::SpliceBody {
                splices,
                held,
                content_length,
            } if told(splice_body(&splices, held, content_length)).is_none() => {
                return stop(action);
            }
            Effect::SpliceBody { .. } => {}
            Effect::ClearRouteCache => clear_route_cache(),
            Effect::Reply(reply) => send(&reply),
            Effect::SetResponseHeader { name, value } => {
                set_header(Map::ResponseHeaders, name, &value);
            }
            Effect::RemoveResponseHeader(name) => {
                remove_header(Map::ResponseHeaders, name.as_bytes());
            }
            Effect::ReplaceChunk(bytes) => {
                told(hostcalls::replace(Buffer::ResponseBody, &bytes));
            }
            Effect::SetState { key, value } => {
                told(hostcalls::set_state(key, &value));
            }
            Effect::Count(metric) => metrics::count(&metric),
            Effect::Add(metric, amount) => metrics::add(&metric, amount),
            Effect::Observe(metric, value) => metrics::record(&metric, value),
            Effect::Remember { scope, marks } => state_makers::remember(scope, &marks),
            Effect::Log(exchange::Level::Debug, text) => logger::line(Level::Debug, &text),
            Effect::Log(exchange::Level::Warn, text) => logger::fault(&text),
        }
    }
    answer
}

fn remove_header(map: Map, name: &[u8]) {
    told(hostcalls::remove_header(map, name));
}

fn set_header(map: Map, name: &str, value: &str) {
    told(hostcalls::set_header(
        map,
        name.as_bytes(),
        value.as_bytes(),
    ));
}

/// What the machine asks for; `None` where it asks nothing.
fn find_out(question: &Effect) -> Option<Answer> {
    Some(match question {
        Effect::ReadBody { start, size } => read_body(*start, *size),
        Effect::ReadClock => Answer::Clock(now_ns()),
        Effect::ReadResponseHead => {
            let bytes = told(hostcalls::headers(Map::ResponseHeaders));
            Answer::ResponseHead(bytes.unwrap_or_default())
        }
        Effect::ReadChunk { size } => Answer::Chunk {
            bytes: hostcalls::buffer(Buffer::ResponseBody, *size).ok(),
            now_ns: now_ns(),
        },
        Effect::ReadAttempts => Answer::Attempts(attempts()),
        Effect::ReadHost => Answer::Host(hostcalls::property(HOST).ok()),
        Effect::ReadDetails => Answer::Details(hostcalls::property(DETAILS).ok()),
        _ => return None,
    })
}

fn read_body(start: usize, size: usize) -> Answer {
    let now_ns = now_ns();
    let bytes = match size {
        0 => Some(Vec::new()),
        _ => hostcalls::buffer_part(Buffer::RequestBody, start, size).ok(),
    };
    Answer::Body { bytes, now_ns }
}

/// Edits the held body. Whatever fails, the request never states a length that is not its body's: see
/// [`Effect::RewriteBody`].
fn rewrite_body(edit: &PrefixEdit, content_length: Option<u64>) -> Result<(), HostError> {
    hostcalls::remove_header(Map::RequestHeaders, b"content-length")?;
    hostcalls::replace_prefix(Buffer::RequestBody, edit.replace, &edit.with)?;
    match content_length {
        Some(length) => hostcalls::set_header(
            Map::RequestHeaders,
            b"content-length",
            exchange::decimal(length).as_bytes(),
        ),
        None => Ok(()),
    }
}

/// Keeps back a request whose body is out of order.
fn stop(action: &mut Action) -> Option<Answer> {
    send(&Reply::broken_body());
    *action = Action::Pause;
    None
}

/// How many bytes of a body are moved at a time.
const PIECE: usize = 1 << 16;

/// Edits the held body in its midst, which Envoy has no call for: the body is turned in pieces, from its front to its end,
/// until it stands as before. So no more than a piece of it is held in the module, and Envoy never holds more than the body.
///
/// Where a call fails on the way, the body is out of order and must not go on.
fn splice_body(
    splices: &[Splice],
    held: usize,
    content_length: Option<u64>,
) -> Result<(), HostError> {
    hostcalls::remove_header(Map::RequestHeaders, b"content-length")?;
    let mut at = 0;
    for Splice { span, with } in splices {
        turn(span.start.saturating_sub(at))?;
        if !span.is_empty() {
            hostcalls::replace_prefix(Buffer::RequestBody, span.len(), &[])?;
        }
        hostcalls::append(Buffer::RequestBody, with)?;
        at = span.end;
    }
    turn(held.saturating_sub(at))?;
    match content_length {
        Some(length) => hostcalls::set_header(
            Map::RequestHeaders,
            b"content-length",
            exchange::decimal(length).as_bytes(),
        ),
        None => Ok(()),
    }
}

/// Moves so many bytes of the held body from its front to its end.
fn turn(count: usize) -> Result<(), HostError> {
    let mut left = count;
    while left > 0 {
        let piece = hostcalls::buffer(Buffer::RequestBody, left.min(PIECE))?;
        if piece.is_empty() {
            return Err(HostError::NOT_FOUND);
        }
        hostcalls::replace_prefix(Buffer::RequestBody, piece.len(), &[])?;
        hostcalls::append(Buffer::RequestBody, &piece)?;
        left = left.saturating_sub(piece.len());
    }
    Ok(())
}

/// Puts a secret into a request header: Envoy hands the variables that the configuration lists to the module.
fn set_credentials(header: &str, prefix: String, env: &str) {
    let is_fit =
        |value: &String| !value.is_empty() && value.bytes().all(|byte| !byte.is_ascii_control());
    match std::env::var(env).ok().filter(is_fit) {
        Some(secret) => {
            let value = prefix + &secret;
            let (name, value) = (header.as_bytes(), value.as_bytes());
            told(hostcalls::set_header(Map::RequestHeaders, name, value));
        }
        // Never the client's key, nor another backend's: this one has its own.
        None => {
            metrics::count(&Metric::secrets_missing());
            told(hostcalls::remove_header(
                Map::RequestHeaders,
                header.as_bytes(),
            ));
        }
    }
}

/// Setting a header clears the route by itself with the ABI of today, and will not with the next.
fn clear_route_cache() {
    match hostcalls::call_foreign("clear_route_cache") {
        Ok(()) | Err(HostError::NOT_FOUND) => {}
        Err(error) => {
            told::<()>(Err(error));
        }
    }
}

fn send(reply: &Reply) {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(
        reply
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str())),
    );
    let headers = header_map::encode(&headers);
    told(hostcalls::reply(
        reply.status,
        reply.details,
        &headers,
        &reply.body,
    ));
}

/// The number of upstream attempts: from the header that Envoy's router adds where the virtual host has
/// `include_attempt_count_in_response`, because a property costs as much as ten headers.
fn attempts() -> Option<u64> {
    let name = telemetry::header::ENVOY_ATTEMPTS.as_bytes();
    if let Ok(digits) = hostcalls::header(Map::ResponseHeaders, name)
        && let Some(count) = exchange::parse_whole(&digits)
    {
        return Some(count);
    }
    let bytes = hostcalls::property(ATTEMPTS).ok()?;
    bytes
        .first_chunk::<8>()
        .map(|eight| u64::from_le_bytes(*eight))
}

pub fn now_ns() -> u64 {
    told(hostcalls::now_ns()).unwrap_or(0)
}

/// Counts a host call that failed where it should not; the request goes on.
pub fn told<T>(result: Result<T, HostError>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(_) => {
            metrics::count(&Metric::host_call_errors());
            None
        }
    }
}

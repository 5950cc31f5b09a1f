//! Applies the effects of the state machines through host calls, and answers their questions.
//!
//! Decides nothing. A host call that fails is counted; the request goes on, unless its body is out of order.

use log::Level;
use pointsman::api::edit::{PrefixEdit, Splice};
use pointsman::decimal::{decimal, parse_whole};
use pointsman::exchange::{self, Answer, AnswerToGrade, Effect, JudgeCall, Question, Reply};
use pointsman::telemetry::{self, Metric};
use proxy_wasm::types::Action;

use crate::hostcalls::{self, Buffer, HostError, Map};
use crate::sync::{judge_cache, state_makers};
use crate::{header_map, logger, metrics};

/// The property with the number of upstream attempts.
const ATTEMPTS: &[u8] = b"upstream\0request_attempt_count";

/// The property with the response code details.
const DETAILS: &[u8] = b"response\0code_details";

/// The property with the backend in the metadata of the upstream host.
pub const HOST: &[u8] = b"xds\0upstream_host_metadata\0filter_metadata\0pointsman\0backend";

/// How many bytes of a body are moved at a time.
const PIECE: usize = 1 << 16;

/// Requests of a machine among its effects, at most one of each kind.
#[derive(Debug, Default)]
pub struct Asked {
    /// The question to the host.
    pub question: Option<Question>,
    /// The question to a judge.
    pub judge: Option<JudgeCall>,
    /// The answer that is to be graded.
    pub grading: Option<Box<AnswerToGrade>>,
}

/// Applies `effects` in their order and gives the questions among them.
pub fn apply(effects: Vec<Effect>, action: &mut Action) -> Asked {
    let mut asked = Asked::default();
    for effect in effects {
        match effect {
            Effect::Pause => *action = Action::Pause,
            Effect::Continue => *action = Action::Continue,
            Effect::Ask(question) => asked.question = Some(question),
            Effect::AskJudge(call) => asked.judge = Some(call),
            Effect::GradeAnswer(answer) => asked.grading = Some(answer),
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
                count_failure(rewrite_body(&edit, content_length));
            }
            Effect::SpliceBody {
                splices,
                held,
                content_length,
            } if count_failure(splice_body(&splices, held, content_length)).is_none() => {
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
                count_failure(hostcalls::replace(Buffer::ResponseBody, &bytes));
            }
            Effect::SetState { key, value } => {
                count_failure(hostcalls::set_state(key, &value));
            }
            Effect::Count(metric) => metrics::count(&metric),
            Effect::Add(metric, amount) => metrics::add(&metric, amount),
            Effect::Observe(metric, value) => metrics::record(&metric, value),
            Effect::Remember { scope, marks } => state_makers::remember(scope, &marks),
            Effect::KeepGrade(kept) => judge_cache::keep(&kept),
            Effect::Log(exchange::Level::Info, text) => logger::line(Level::Info, &text),
            Effect::Log(exchange::Level::Debug, text) => logger::line(Level::Debug, &text),
            Effect::Log(exchange::Level::Warn, text) => logger::fault(&text),
        }
    }
    asked
}

/// Finds the answer to `question` and hands it to the machine; gives the effects that follow.
pub fn answer(
    question: Question,
    dispatch: &mut dyn FnMut(Answer<'_>) -> Vec<Effect>,
) -> Vec<Effect> {
    match question {
        Question::RequestBody { start, size } => {
            let now_ns = now_ns();
            let bytes = match size {
                0 => Some(Vec::new()),
                _ => hostcalls::buffer_part(Buffer::RequestBody, start, size).ok(),
            };
            let bytes = bytes.as_deref();
            dispatch(Answer::RequestBody { bytes, now_ns })
        }
        Question::Clock => dispatch(Answer::Clock(now_ns())),
        Question::ResponseHeaders => {
            let bytes = count_failure(hostcalls::headers(Map::ResponseHeaders));
            let bytes = bytes.unwrap_or_default();
            dispatch(Answer::ResponseHeaders(&header_map::decode(&bytes)))
        }
        Question::ResponseBody { size } => {
            let bytes = hostcalls::buffer(Buffer::ResponseBody, size).ok();
            dispatch(Answer::ResponseBody {
                bytes: bytes.as_deref(),
                now_ns: now_ns(),
            })
        }
        Question::ResponseDetails => {
            let text = hostcalls::property(DETAILS).ok();
            dispatch(Answer::ResponseDetails {
                text: text.as_deref(),
                now_ns: now_ns(),
            })
        }
        Question::AttemptCount => dispatch(Answer::AttemptCount(attempts())),
        Question::UpstreamHost => {
            let name = hostcalls::property(HOST).ok();
            let name = name.as_deref().map(std::str::from_utf8);
            dispatch(Answer::UpstreamHost(name.and_then(Result::ok)))
        }
    }
}

fn remove_header(map: Map, name: &[u8]) {
    count_failure(hostcalls::remove_header(map, name));
}

fn set_header(map: Map, name: &str, value: &str) {
    let (name, value) = (name.as_bytes(), value.as_bytes());
    count_failure(hostcalls::set_header(map, name, value));
}

/// Edits the start of the held body. A failure leaves no `content-length` that is not the body's; see
/// [`Effect::RewriteBody`].
fn rewrite_body(edit: &PrefixEdit, content_length: Option<u64>) -> Result<(), HostError> {
    hostcalls::remove_header(Map::RequestHeaders, b"content-length")?;
    hostcalls::replace_prefix(Buffer::RequestBody, edit.replace, &edit.with)?;
    set_content_length(content_length)
}

/// Edits the held body in its midst, which Envoy has no call for: rotates it in pieces, from its front to its end, until it
/// is in order again. The module holds one piece at a time, and Envoy never holds more than the body.
///
/// If a call fails on the way, the body is out of order and must not go on.
fn splice_body(
    splices: &[Splice],
    held: usize,
    content_length: Option<u64>,
) -> Result<(), HostError> {
    hostcalls::remove_header(Map::RequestHeaders, b"content-length")?;
    let mut at = 0;
    for Splice { span, with } in splices {
        rotate(span.start.saturating_sub(at))?;
        if !span.is_empty() {
            hostcalls::replace_prefix(Buffer::RequestBody, span.len(), &[])?;
        }
        hostcalls::append(Buffer::RequestBody, with)?;
        at = span.end;
    }
    rotate(held.saturating_sub(at))?;
    set_content_length(content_length)
}

/// Moves `count` bytes of the held body from its front to its end.
fn rotate(count: usize) -> Result<(), HostError> {
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

fn set_content_length(length: Option<u64>) -> Result<(), HostError> {
    let Some(length) = length else {
        return Ok(());
    };
    let length = decimal(length);
    hostcalls::set_header(Map::RequestHeaders, b"content-length", length.as_bytes())
}

/// Answers a request whose body is out of order with an error, and keeps it back.
fn stop(action: &mut Action) -> Asked {
    send(&Reply::broken_body());
    *action = Action::Pause;
    Asked::default()
}

/// Puts a secret into a request header. Envoy hands the environment variables that its configuration lists to the module.
fn set_credentials(header: &str, prefix: String, env: &str) {
    let is_fit =
        |value: &String| !value.is_empty() && value.bytes().all(|byte| !byte.is_ascii_control());
    match std::env::var(env).ok().filter(is_fit) {
        Some(secret) => set_header(Map::RequestHeaders, header, &(prefix + &secret)),
        // The header may hold the client's key or that of another backend, and this backend has its own.
        None => {
            metrics::count(&Metric::secrets_missing());
            remove_header(Map::RequestHeaders, header.as_bytes());
        }
    }
}

/// Setting a header clears the route by itself in today's ABI, and no longer in the next one.
fn clear_route_cache() {
    match hostcalls::call_foreign("clear_route_cache") {
        Ok(()) | Err(HostError::NOT_FOUND) => {}
        Err(error) => {
            count_failure::<()>(Err(error));
        }
    }
}

fn send(reply: &Reply) {
    let mut headers = vec![("content-type", "application/json")];
    let own = reply.headers.iter();
    headers.extend(own.map(|(name, value)| (*name, value.as_str())));
    let headers = header_map::encode(&headers);
    let (status, details) = (reply.status, reply.details);
    count_failure(hostcalls::reply(status, details, &headers, &reply.body));
}

/// The number of upstream attempts. Read from the header that Envoy's router adds if the virtual host has
/// `include_attempt_count_in_response`, because a property costs as much as ten headers.
fn attempts() -> Option<u64> {
    let name = telemetry::header::ENVOY_ATTEMPTS.as_bytes();
    if let Ok(digits) = hostcalls::header(Map::ResponseHeaders, name)
        && let Some(count) = parse_whole(&digits)
    {
        return Some(count);
    }
    let bytes = hostcalls::property(ATTEMPTS).ok()?;
    let number = bytes.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*number))
}

/// Nanoseconds since 1970; 0 if the host has no clock.
pub fn now_ns() -> u64 {
    count_failure(hostcalls::now_ns()).unwrap_or(0)
}

/// Counts a host call that failed and gives its value if it did not.
pub fn count_failure<T>(result: Result<T, HostError>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(_) => {
            metrics::count(&Metric::host_call_errors());
            None
        }
    }
}

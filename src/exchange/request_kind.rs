//! Tells the kind of a request by its method and path: one to route, one that Pointsman answers itself, or any other.

use super::{Effect, Header};
use crate::api::Api;
use crate::api::path::{ApiPath, Call, Target};
use crate::decimal::parse_whole;
use crate::policy::Policy;
use crate::telemetry::header;

/// The kind of a request, by its method and path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RequestKind {
    /// Not a request for Pointsman.
    Other,
    /// A request of an LLM API, to be decided.
    Llm(Api, Intent),
    /// Almost a request of an LLM API: it is not decided, but a backend may still take it for one.
    NearMiss(Api, Unsupported),
    /// A request for the list of models.
    ModelList,
    /// A request for one model.
    Model(String),
    /// Feedback on answers.
    Feedback,
}

/// The purpose of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    /// An answer of a model.
    Answer,
    /// The number of tokens of the request. A backend counts them, which costs nothing and says nothing about its speed.
    TokenCount,
    /// The decision itself.
    DryRun,
}

/// Why a request cannot be decided, whatever its body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsupported {
    /// The path is close to that of an API.
    Path,
    /// The API does not have this method.
    Method,
    /// The request asks for a WebSocket.
    WebSocket,
    /// The body is compressed.
    Encoding,
}

/// The kind of a request, whatever the policy offers.
fn kind_of(headers: &[Header<'_>], path: &ApiPath<'_>, query: &str, has_body: bool) -> RequestKind {
    let method = find(headers, ":method").unwrap_or_default();
    match (&path.target, method) {
        (Target::Route, b"POST") => RequestKind::Llm(dry_run_api(query), Intent::DryRun),
        (Target::Call { api, call, .. }, b"POST") => RequestKind::Llm(
            *api,
            match call {
                Call::Answer => Intent::Answer,
                Call::TokenCount => Intent::TokenCount,
            },
        ),
        (Target::Call { api, .. } | Target::NearMiss(api), b"GET" | b"CONNECT")
            if asks_websocket(headers) =>
        {
            RequestKind::NearMiss(*api, Unsupported::WebSocket)
        }
        (
            Target::Call {
                api,
                is_certain: true,
                ..
            },
            _,
        ) if has_body => RequestKind::NearMiss(*api, Unsupported::Method),
        (Target::NearMiss(api), _) if has_body => RequestKind::NearMiss(*api, Unsupported::Path),
        (Target::Feedback, b"POST") => RequestKind::Feedback,
        (Target::Models, b"GET") => RequestKind::ModelList,
        (Target::Model(name), b"GET") => RequestKind::Model(name.clone()),
        _ => RequestKind::Other,
    }
}

/// The kind of a request, as far as the policy offers it. `sent` is its path as it came.
pub(super) fn find_kind(
    headers: &[Header<'_>],
    path: &ApiPath<'_>,
    sent: &str,
    has_body: bool,
    policy: Option<&Policy>,
) -> RequestKind {
    let query = sent.split_once('?').map_or("", |(_, query)| query);
    let kind = kind_of(headers, path, query, has_body);
    let is_offered = policy.is_none_or(|policy| match kind {
        RequestKind::Llm(_, Intent::DryRun) => policy.traffic.route_endpoint,
        // Shadow mode reports decisions, and a token count is not one.
        RequestKind::Llm(_, Intent::TokenCount) => !policy.traffic.shadow,
        // It makes no receipts either: requests go by.
        RequestKind::Feedback => !policy.traffic.shadow,
        RequestKind::ModelList | RequestKind::Model(_) => policy.traffic.models_endpoint,
        RequestKind::Llm(_, Intent::Answer) | RequestKind::NearMiss(..) | RequestKind::Other => {
            true
        }
    });
    if is_offered { kind } else { RequestKind::Other }
}

/// Whether the client asks for the WebSocket protocol.
fn asks_websocket(headers: &[Header<'_>]) -> bool {
    let is_websocket = |value: &[u8]| {
        let mut names = value.split(|byte| *byte == b',');
        names.any(|name| name.trim_ascii().eq_ignore_ascii_case(b"websocket"))
    };
    let mut asking = headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"upgrade") || *name == b":protocol");
    asking.any(|(_, value)| is_websocket(value))
}

/// The API of a dry run's body: `api=NAME` in its query, by the policy's name of the API; else chat completions.
fn dry_run_api(query: &str) -> Api {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let named = pairs.find(|(name, _)| *name == "api");
    let api = named.and_then(|(_, value)| Api::find(value));
    api.unwrap_or(Api::OpenAiChat)
}

/// The encoding of the body, if it cannot be read.
pub(super) fn find_encoding(headers: &[Header<'_>]) -> Option<String> {
    let encodings = headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"content-encoding"))
        .flat_map(|(_, value)| value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii);
    let mut unread = encodings
        .filter(|encoding| !encoding.is_empty() && !encoding.eq_ignore_ascii_case(b"identity"));
    let first = unread.next()?;
    Some(String::from_utf8_lossy(first).into_owned())
}

/// The stated length of the body; `None` if there is none that can be parsed.
pub(super) fn content_length(headers: &[Header<'_>]) -> Option<u64> {
    parse_whole(find(headers, "content-length")?)
}

/// The first value of a header.
pub(super) fn find<'a>(headers: &[Header<'a>], wanted: &str) -> Option<&'a [u8]> {
    headers
        .iter()
        .find(|(name, _)| *name == wanted.as_bytes())
        .map(|(_, value)| *value)
}

/// Removes every response header with Pointsman's prefix, each name once: a backend that sends one forges it.
pub(super) fn remove_forged(headers: &[Header<'_>], effects: &mut Vec<Effect>) {
    for (index, (name, _)) in headers.iter().enumerate() {
        let is_repeated = headers.iter().take(index).any(|(before, _)| before == name);
        if has_our_prefix(name)
            && !is_repeated
            && let Ok(name) = std::str::from_utf8(name)
        {
            effects.push(Effect::RemoveResponseHeader(name.to_owned()));
        }
    }
}

pub(super) fn has_our_prefix(name: &[u8]) -> bool {
    name.get(..header::PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(header::PREFIX.as_bytes()))
}

/// Removes the cluster header and every request header with Pointsman's prefix, each name once.
pub(super) fn remove_our_headers(
    headers: &[Header<'_>],
    cluster_header: &str,
    effects: &mut Vec<Effect>,
) {
    let is_ours =
        |name: &[u8]| name.eq_ignore_ascii_case(cluster_header.as_bytes()) || has_our_prefix(name);
    for (index, (name, _)) in headers.iter().enumerate() {
        let is_repeated = headers.iter().take(index).any(|(before, _)| before == name);
        if is_ours(name) && !is_repeated {
            effects.push(Effect::RemoveRequestHeader(name.to_vec()));
        }
    }
    if !effects.is_empty() {
        effects.push(Effect::ClearRouteCache);
    }
}

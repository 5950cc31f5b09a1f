//! What a request is to us, by its method and path: to be routed, a question that we answer, or nothing of ours.

use super::number::parse_whole;
use super::{Effect, Header};
use crate::policy::Policy;
use crate::registry::Apis;
use crate::request::Format;
use crate::telemetry::header;

/// What a request is to us, by its method and path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose<'a> {
    /// Nothing of ours.
    Other,
    /// A request of an LLM API, to be decided on.
    Llm(Format, Aim),
    /// Asks for the models.
    ModelList,
    /// Asks for one model.
    Model(&'a str),
}

/// What a decision is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// A model's answer.
    Answer,
    /// How many tokens the request has: a backend counts them, which costs nothing and teaches nothing.
    TokenCount,
    /// The decision itself.
    DryRun,
}

/// What a request is to us, whatever the policy offers.
fn purpose<'a>(headers: &[Header<'a>]) -> Purpose<'a> {
    let Some(path) = find(headers, ":path").and_then(|path| std::str::from_utf8(path).ok()) else {
        return Purpose::Other;
    };
    let (path, query) = path.split_once(['?', '#']).unwrap_or((path, ""));
    match find(headers, ":method") {
        Some(b"POST") if path == "/v1/route" => Purpose::Llm(dry_run_format(query), Aim::DryRun),
        Some(b"POST") => match (Format::of_path(path), Format::counted_at(path)) {
            (Some(format), _) => Purpose::Llm(format, Aim::Answer),
            (None, Some(format)) => Purpose::Llm(format, Aim::TokenCount),
            (None, None) => Purpose::Other,
        },
        Some(b"GET") if path == "/v1/models" => Purpose::ModelList,
        Some(b"GET") => path
            .strip_prefix("/v1/models/")
            .map_or(Purpose::Other, Purpose::Model),
        _ => Purpose::Other,
    }
}

/// What a request is to us, as far as the policy offers it.
pub(super) fn find_purpose<'a>(headers: &[Header<'a>], policy: Option<&Policy>) -> Purpose<'a> {
    let purpose = purpose(headers);
    let is_offered = policy.is_none_or(|policy| match purpose {
        Purpose::Llm(_, Aim::DryRun) => policy.traffic.route_endpoint,
        // What is only reported are decisions, and this is none.
        Purpose::Llm(_, Aim::TokenCount) => !policy.traffic.shadow,
        Purpose::ModelList | Purpose::Model(_) => policy.traffic.models_endpoint,
        Purpose::Llm(_, Aim::Answer) | Purpose::Other => true,
    });
    if is_offered { purpose } else { Purpose::Other }
}

/// What a dry run's body is: `api=NAME` in its query says, by the policy's name of the API; else chat completions.
fn dry_run_format(query: &str) -> Format {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let named = pairs.find(|(name, _)| *name == "api");
    let api = named.and_then(|(_, value)| Apis::find(value));
    let mut formats = Format::ALL.into_iter();
    formats
        .find(|format| Some(format.api()) == api)
        .unwrap_or(Format::OpenAiChat)
}

/// Whether the body is compressed, so that we cannot read it.
pub(super) fn is_encoded(headers: &[Header<'_>]) -> bool {
    find(headers, "content-encoding").is_some_and(|encoding| {
        let encoding = encoding.trim_ascii();
        !encoding.is_empty() && !encoding.eq_ignore_ascii_case(b"identity")
    })
}

/// The stated length of the body; `None` where there is none, or none that can be read.
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

/// Removes the cluster header and every header under our prefix, each name once.
pub(super) fn remove_our_headers(
    headers: &[Header<'_>],
    cluster_header: &str,
    effects: &mut Vec<Effect>,
) {
    let is_ours = |name: &[u8]| {
        name.eq_ignore_ascii_case(cluster_header.as_bytes())
            || name
                .get(..header::PREFIX.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(header::PREFIX.as_bytes()))
    };
    for (index, (name, _)) in headers.iter().enumerate() {
        let seen = headers.iter().take(index).any(|(before, _)| before == name);
        if is_ours(name) && !seen {
            effects.push(Effect::RemoveRequestHeader(name.to_vec()));
        }
    }
    if !effects.is_empty() {
        effects.push(Effect::ClearRouteCache);
    }
}

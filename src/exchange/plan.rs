//! The plan for a request whose body is awaited: what its headers say, and the policy by which it will be decided.
//!
//! Made once from the headers, and kept unchanged while the body is held, read and searched. Decides nothing.

use std::rc::Rc;

use super::request_kind::{Intent, Unsupported, content_length, find, find_encoding};
use super::{Header, JUDGE_USER_AGENT};
use crate::api::Api;
use crate::api::path::{ApiPath, Target};
use crate::api::request::top_level::TopLevelFields;
use crate::api::request::{self, InvalidRequest, Request};
use crate::policy::Policy;
use crate::policy::request_attributes::RequestAttributes;
use crate::routing::router::RequestInfo;

/// How long a client waits that does not state it, in milliseconds: the default of the SDKs of OpenAI and Anthropic.
const DEFAULT_CLIENT_TIMEOUT_MS: u64 = 600_000;

/// A request body, as far as it is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Body<'a> {
    /// The bytes that were read, from the first one.
    pub(super) bytes: &'a [u8],
    /// Number of bytes that Envoy holds, read or not.
    pub(super) held: usize,
    /// `bytes` are the whole body.
    pub(super) complete: bool,
}

/// A parsed body, or why it cannot be parsed.
pub(super) type ParsedBody<'a> = Result<Request<'a>, InvalidRequest>;

/// A request whose body is awaited, and the plan for it.
#[derive(Debug)]
pub(super) struct Plan {
    /// The policy in force when the request began.
    pub(super) policy: Rc<Policy>,
    /// The API that the client speaks.
    pub(super) api: Api,
    /// The purpose of the decision.
    pub(super) intent: Intent,
    /// The stated length of the body; `None` if there is none that can be parsed.
    pub(super) content_length: Option<u64>,
    /// How long the client waits, in milliseconds.
    pub(super) client_timeout_ms: u64,
    /// The attributes of the request besides its body.
    pub(super) attributes: RequestAttributes,
    /// Why the request cannot be decided whatever its body is, with the path, method or encoding that stands in the way.
    pub(super) unsupported: Option<(Unsupported, String)>,
    /// The request is a call of the judge whose cluster leads back here: nothing is asked about it.
    pub(super) is_own_call: bool,
    /// `false` if the path is that of a call, but another application may have it, too (`/forms/responses`), so that only the
    /// body tells whose request this is.
    pub(super) is_certain: bool,
    /// The path for the backend, if it differs from the client's.
    pub(super) path: Option<String>,
}

impl Plan {
    /// The plan for a request with these headers; `path` is the parsed form of `sent`, its path.
    pub(super) fn new(
        policy: &Rc<Policy>,
        (api, intent, unsupported): (Api, Intent, Option<Unsupported>),
        headers: &[Header<'_>],
        (path, sent): (&ApiPath<'_>, &str),
    ) -> Plan {
        let mut attributes = policy.traffic.matchers.read(headers, &policy.registry);
        let is_certain = match &path.target {
            Target::Call {
                deployment,
                is_certain,
                ..
            } => {
                attributes.deployment.clone_from(deployment);
                *is_certain
            }
            _ => true,
        };
        let encoding = find_encoding(headers).filter(|_| intent != Intent::DryRun);
        let unsupported = match (unsupported, encoding) {
            (Some(Unsupported::Method), _) => {
                let method = find(headers, ":method").unwrap_or_default();
                Some((
                    Unsupported::Method,
                    String::from_utf8_lossy(method).into_owned(),
                ))
            }
            (Some(unsupported), _) => Some((unsupported, path.text.clone().into_owned())),
            (None, encoding) => encoding.map(|encoding| (Unsupported::Encoding, encoding)),
        };
        Plan {
            policy: Rc::clone(policy),
            api,
            intent,
            content_length: content_length(headers),
            client_timeout_ms: client_timeout_ms(headers),
            attributes,
            unsupported,
            is_own_call: find(headers, "user-agent") == Some(JUDGE_USER_AGENT.as_bytes()),
            is_certain,
            path: path.to_send(sent),
        }
    }

    /// Parses the body, or its first part together with the short fields behind it.
    pub(super) fn parse<'a>(
        &self,
        body: Body<'a>,
        fields: Option<&'a TopLevelFields>,
    ) -> ParsedBody<'a> {
        let mut request = request::parse(self.api, body.bytes, body.complete)?;
        if let Some(fields) = fields {
            request.join(fields)?;
        }
        Ok(request)
    }

    /// The input of a decision besides the policy and the body.
    pub(super) fn request_info(&self, now_ns: u64) -> RequestInfo<'_> {
        RequestInfo::new(&self.attributes, now_ns)
    }

    /// Whether the body shows that the request belongs to another application, whose path only looks like that of an API.
    pub(super) fn is_foreign(&self, request: &ParsedBody<'_>) -> bool {
        let is_named =
            |request: &Request<'_>| request.model.is_some() || self.attributes.deployment.is_some();
        !self.is_certain && self.intent != Intent::DryRun && !request.as_ref().is_ok_and(is_named)
    }
}

/// How many milliseconds a client waits for its answer, or for the next part of it. The SDKs of OpenAI and Anthropic state it
/// in seconds, an upstream Envoy in milliseconds.
fn client_timeout_ms(headers: &[Header<'_>]) -> u64 {
    let stated = |name, unit_ms: f64| {
        let text = std::str::from_utf8(find(headers, name)?).ok()?;
        let number: f64 = text.trim().parse().ok()?;
        let ms = number * unit_ms;
        (1.0..=86_400_000.0).contains(&ms).then_some(ms as u64)
    };
    stated("x-stainless-timeout", 1000.0)
        .or_else(|| stated("x-stainless-read-timeout", 1000.0))
        .or_else(|| stated("x-envoy-expected-rq-timeout-ms", 1.0))
        .unwrap_or(DEFAULT_CLIENT_TIMEOUT_MS)
}

//! The tenant of a request: fields, compilation, and reading it out of a header or a JWT's payload.

use crate::base64;
use crate::policy::request_attributes::headers::{RawHeader, values};
use crate::schema::document::Node;
use crate::schema::problems::Problems;
use crate::schema::shape::{Field, Kind, Shape, optional, required};
use crate::schema::suggest::quote;

pub(crate) const TENANT_FIELD: Field = optional(
    "tenant",
    Kind::Object(&TENANT),
    "requests have no tenant",
    "Where the tenant of a request is found.",
);

/// `tenant` of the policy.
pub const TENANT: Shape = Shape {
    name: "tenant",
    doc: "Use a header that Envoy itself sets or verifies, such as one of `claim_to_headers` or `forward_payload_header` of its JWT filter. A client can forge any header that it can write.",
    fields: &[
        required("header", Kind::Text, "The request header, in lower case."),
        optional(
            "claim",
            Kind::Text,
            "the header's value is the tenant",
            "The claim with the tenant, if the header is the payload of a JWT (base64url of JSON): its name, or a path such as `org.id`.",
        ),
        optional(
            "shown",
            Kind::Choice(&["named", "all"]),
            "`named`",
            "The tenants that access logs and spans show in plain text: those that a rule or a budget names, or `all`. Others appear as `hash:` and a hash, so that they can be counted but not read.",
        ),
    ],
};

/// The place of the tenant in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantSource {
    /// The header, lower case.
    pub header: String,
    /// The claim, where the header is the payload of a JWT that Envoy has checked (base64url of JSON).
    pub claim: Option<String>,
}

#[inline(never)]
pub(crate) fn compile_tenant(node: &Node, problems: &mut Problems<'_>) -> Option<TenantSource> {
    let header = node.text_of("header")?;
    let at = node.get("header").map_or(node.at, |value| value.at);
    check_header_name(header, at, "tenant.header", problems);
    Some(TenantSource {
        header: header.to_owned(),
        claim: node.text_of("claim").map(str::to_owned),
    })
}

/// Adds a problem where `name` is no header's name as Envoy has it.
pub(crate) fn check_header_name(name: &str, at: usize, path: &str, problems: &mut Problems<'_>) {
    let is_token = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_|~".contains(&byte)
    };
    if !name.is_empty() && !name.bytes().all(is_token) {
        let message = format!("{} is not a lower-case header name", quote(name));
        problems.add(at, path, message);
    }
}

/// The tenant by every reading, each once: the header's value, and where it comes more than once or is a list each value.
pub(crate) fn read_tenants(headers: &[RawHeader<'_>], source: &TenantSource) -> Vec<String> {
    let mut tenants: Vec<String> = Vec::new();
    let mut add = |tenant: Option<String>| {
        if let Some(tenant) =
            tenant.filter(|tenant| !tenant.is_empty() && !tenants.contains(tenant))
        {
            tenants.push(tenant);
        }
    };
    for value in values(headers, &source.header) {
        let parts = value.contains(',').then(|| value.split(',').map(str::trim));
        for reading in std::iter::once(value).chain(parts.into_iter().flatten()) {
            add(match &source.claim {
                None => Some(reading.to_owned()),
                Some(claim) => find_claim(reading, claim),
            });
        }
    }
    tenants
}

/// A claim of a JWT's payload: its name as it is, or a path of names joined by dots. Texts and numbers.
fn find_claim(payload: &str, claim: &str) -> Option<String> {
    let json: serde_json::Value =
        serde_json::from_slice(&base64::decode_url(payload.as_bytes()).ok()?).ok()?;
    let value = match json.get(claim) {
        Some(value) => value,
        None => claim
            .split('.')
            .try_fold(&json, |value, name| value.get(name))?,
    };
    match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

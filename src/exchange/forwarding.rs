//! Headers of the client that not every backend may see: credentials, and the identity and address of the client.
//!
//! A backend gets exactly its own credentials, or the client's if the policy says so. Headers stay changed from one attempt to
//! the next, so what an attempt removes or overwrites is kept alongside the request ([`WithheldHeaders`]), for an attempt at
//! a backend that may see it. Pure: the host puts in the secrets.

use super::effect::set_request_header;
use super::{Effect, Header};
use crate::fleet::{Backend, Registry};

/// Why not every backend may see a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Proves who the client is, or names its account.
    Credential,
    /// Says who or where the client or Envoy is: of no use to a model.
    Address,
}

/// Credentials by whole name: those of OpenAI, Anthropic, Google, Azure, AWS and gateways that follow no pattern.
const CREDENTIALS: &[&str] = &[
    "anthropic-organization-id",
    "anthropic-workspace-id",
    "cookie",
    "cookie2",
    "dpop",
    "modal-key",
    "openai-organization",
    "openai-project",
    "x-goog-user-project",
];

/// Credentials by the start of their names.
const CREDENTIAL_STARTS: &[&str] = &[
    "cf-access-",
    "x-amzn-oidc-",
    "x-auth-",
    "x-forwarded-access-",
    "x-goog-authenticated-",
    "x-ms-client-principal",
    "x-ms-token-",
];

/// Credentials by the end of their names: `x-api-key`, `proxy-authorization`, `x-amz-security-token`, `helicone-auth`. Not
/// `-key` alone: `idempotency-key` is not a credential.
const CREDENTIAL_ENDS: &[&str] = &[
    "-access-key",
    "-assertion",
    "-auth",
    "-auth-key",
    "-credential",
    "-credentials",
    "-function-key",
    "-functions-key",
    "-jwt",
    "-secret",
    "-secret-key",
    "-subscription-key",
    "-token",
    "api-key",
    "apikey",
    "authorization",
];

/// Identity and address of the client, by whole name.
const ADDRESSES: &[&str] = &[
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-ipcountry",
    "cf-pseudo-ipv4",
    "fastly-client-ip",
    "fly-client-ip",
    "forwarded",
    "true-client-ip",
    "via",
    // Envoy's own, for a filter without attempt filters: those remove all of `x-envoy-*`.
    "x-envoy-external-address",
    "x-envoy-internal",
    "x-appengine-user-ip",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-forwarded-for",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-ip",
];

/// Identity and address of the client, by the start of the name. (No backend may ever see Envoy's own, `x-envoy-*`.)
const ADDRESS_STARTS: &[&str] = &["x-forwarded-"];

/// Why not every backend may see a header of this name; `None` if every backend may.
fn class_of(name: &str, registry: &Registry) -> Option<Class> {
    let begins = |with: &&str| name.starts_with(with);
    let ends = |with: &&str| name.ends_with(with);
    let mut backends = registry.backends.iter();
    let is_own = |backend: &Backend| {
        backend
            .credentials
            .as_ref()
            .is_some_and(|own| own.header == name)
    };
    if CREDENTIALS.contains(&name)
        || CREDENTIAL_STARTS.iter().any(begins)
        || CREDENTIAL_ENDS.iter().any(ends)
        || backends.any(is_own)
    {
        Some(Class::Credential)
    } else if ADDRESSES.contains(&name) || ADDRESS_STARTS.iter().any(begins) {
        Some(Class::Address)
    } else {
        None
    }
}

const fn passes(backend: &Backend, class: Class) -> bool {
    match class {
        Class::Credential => backend.client.credentials,
        Class::Address => backend.client.address,
    }
}

/// The headers of the client that attempts removed or overwrote, with the client's values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WithheldHeaders {
    /// Each name once; `None` if the client sent none and an attempt put one in.
    headers: Vec<(String, Option<String>)>,
    changed: bool,
}

impl WithheldHeaders {
    /// Parses the text of [`WithheldHeaders::to_text`].
    pub fn parse(text: &[u8]) -> WithheldHeaders {
        let lines = std::str::from_utf8(text).unwrap_or_default().lines();
        let headers = lines.map(|line| match line.split_once(':') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (line.to_owned(), None),
        });
        WithheldHeaders {
            headers: headers.collect(),
            changed: false,
        }
    }

    /// The text kept between attempts: a line for each header. Neither names nor values can hold a line break.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.headers {
            text.push_str(name);
            if let Some(value) = value {
                text.push(':');
                text.push_str(value);
            }
            text.push('\n');
        }
        text
    }

    /// Whether it holds more than was parsed.
    pub const fn is_changed(&self) -> bool {
        self.changed
    }

    fn find(&self, name: &str) -> Option<Option<&str>> {
        let found = self.headers.iter().find(|(known, _)| known == name)?;
        Some(found.1.as_deref())
    }

    fn note(&mut self, name: &str, value: Option<String>) {
        if self.find(name).is_none() {
            self.headers.push((name.to_owned(), value));
            self.changed = true;
        }
    }
}

/// Fits the request's headers to `backend`. Puts in its own credentials if `own` says so.
#[inline(never)]
pub fn fit(
    backend: &Backend,
    own: bool,
    registry: &Registry,
    headers: &[Header<'_>],
    withheld: &mut WithheldHeaders,
    effects: &mut Vec<Effect>,
) {
    let own = backend.credentials.as_ref().filter(|_| own);
    let is_own = |name: &str| own.is_some_and(|own| own.header == name);
    for (name, class) in classed(headers, registry) {
        if is_own(name) {
            withheld.note(name, value_of(headers, name));
            continue;
        }
        let passes = passes(backend, class);
        match withheld.find(name) {
            // The value may be that of another backend.
            Some(Some(original)) if passes => restore(name, original, headers, effects),
            None if passes => {}
            known => {
                if known.is_none() {
                    withheld.note(name, value_of(headers, name));
                }
                effects.push(Effect::RemoveRequestHeader(name.as_bytes().to_vec()));
            }
        }
    }
    for (name, original) in &withheld.headers {
        let is_absent = super::find(headers, name).is_none();
        if let (true, Some(original)) = (is_absent && !is_own(name), original)
            && class_of(name, registry).is_some_and(|class| passes(backend, class))
        {
            restore(name, original, headers, effects);
        }
    }
    if let Some(own) = own {
        withheld.note(&own.header, None);
        effects.push(Effect::SetCredentials {
            header: own.header.clone(),
            prefix: own.prefix.clone(),
            env: own.env.clone(),
        });
    }
}

/// Removes every header that not every backend may see: it is unknown which backend this is.
#[inline(never)]
pub fn strip(headers: &[Header<'_>], registry: &Registry, effects: &mut Vec<Effect>) {
    for (name, _) in classed(headers, registry) {
        effects.push(Effect::RemoveRequestHeader(name.as_bytes().to_vec()));
    }
}

/// Names of the headers that not every backend may see, each once.
pub fn guarded<'h>(
    headers: &'h [Header<'h>],
    registry: &'h Registry,
) -> impl Iterator<Item = &'h str> {
    classed(headers, registry).map(|(name, _)| name)
}

fn classed<'h>(
    headers: &'h [Header<'h>],
    registry: &'h Registry,
) -> impl Iterator<Item = (&'h str, Class)> {
    let named = headers.iter().enumerate();
    named.filter_map(move |(index, (name, _))| {
        let class = class_of(std::str::from_utf8(name).ok()?, registry)?;
        let mut before = headers.iter().take(index);
        let is_first = !before.any(|(other, _)| other == name);
        is_first.then_some((std::str::from_utf8(name).ok()?, class))
    })
}

/// All values of a header as one; `None` if it is not text.
fn value_of(headers: &[Header<'_>], wanted: &str) -> Option<String> {
    let between = if wanted == "cookie" { "; " } else { ", " };
    let mut whole = String::new();
    let values = headers
        .iter()
        .filter(|(name, _)| *name == wanted.as_bytes());
    for (index, (_, value)) in values.enumerate() {
        if index > 0 {
            whole.push_str(between);
        }
        whole.push_str(std::str::from_utf8(value).ok()?);
    }
    Some(whole)
}

fn restore(name: &str, original: &str, headers: &[Header<'_>], effects: &mut Vec<Effect>) {
    if value_of(headers, name).as_deref() != Some(original) || super::find(headers, name).is_none()
    {
        set_request_header(name, original.into(), effects);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_addresses_are_not_forwarded() {
        let class = |name| class_of(name, &Registry::default());
        for name in [
            "authorization",
            "proxy-authorization",
            "x-api-key",
            "api-key",
            "x-goog-api-key",
            "openai-organization",
            "openai-project",
            "cookie",
            "ocp-apim-subscription-key",
            "x-amz-security-token",
            "x-litellm-api-key",
            "cf-access-client-secret",
            "cf-access-jwt-assertion",
            "helicone-auth",
            "apikey",
            "x-forwarded-access-token",
        ] {
            assert_eq!(class(name), Some(Class::Credential), "{name}");
        }
        for name in [
            "x-forwarded-for",
            "x-forwarded-client-cert",
            "forwarded",
            "x-real-ip",
        ] {
            assert_eq!(class(name), Some(Class::Address), "{name}");
        }
        for name in [
            "anthropic-version",
            "anthropic-beta",
            "openai-beta",
            "idempotency-key",
            "content-type",
            "accept",
            "user-agent",
            "x-stainless-lang",
            "traceparent",
            "x-request-id",
            "authority",
        ] {
            assert_eq!(class(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_withheld_is_read_as_it_was_written() {
        let mut withheld = WithheldHeaders::default();
        withheld.note("authorization", Some("Bearer a:b".to_owned()));
        withheld.note("x-api-key", None);
        withheld.note("cookie", Some(String::new()));
        withheld.note("cookie", Some("later".to_owned()));
        let read = WithheldHeaders::parse(withheld.to_text().as_bytes());
        assert_eq!(read.headers, withheld.headers);
        assert!(withheld.is_changed() && !read.is_changed());
        assert_eq!(WithheldHeaders::parse(b"\xff"), WithheldHeaders::default());
    }
}

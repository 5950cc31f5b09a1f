//! Request attributes: what a policy reads of a request besides its body, such as path, headers, tenant and the client's
//! preferences.
//!
//! [`RequestMatchers`] states what a policy reads; a policy that reads nothing costs nothing. Whether a header can be trusted is
//! not judged here: a tenant must come from a header that Envoy itself sets.

pub(crate) mod client_preferences;
pub(crate) mod headers;
pub(crate) mod tenant;

use crate::api::path::ApiPath;
use crate::fleet::Registry;
use crate::policy::request_attributes::headers::find;
use crate::policy::request_attributes::tenant::read_tenants;

pub use client_preferences::{ClientPreference, ClientPreferences, OnInvalidPreference};
pub use headers::RawHeader;
pub use tenant::TenantSource;

/// The parts of a request, besides the body, that a policy reads.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RequestMatchers {
    /// Whether any rule looks at the path.
    pub path: bool,
    /// Names of the headers that rules look at, lower case, each once.
    pub headers: Vec<String>,
    /// The place of the tenant in a request.
    pub tenant: Option<TenantSource>,
    /// The preferences that clients may state.
    pub preferences: Vec<ClientPreference>,
}

/// The attributes of a request besides its body.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RequestAttributes {
    /// The path, normalised and in lower case; empty if no rule reads it.
    pub path: String,
    /// The API's own path without any prefix: `/v1/chat/completions`; empty if no rule reads it, or the path is not one of an
    /// API.
    pub api_path: &'static str,
    /// The deployment in the path: the requested model if the body names none.
    pub deployment: Option<String>,
    /// The headers that rules look at and the request has. One that comes more than once, or is a list, stands here as a
    /// whole and then with each of its values, so that none of them hides another.
    pub headers: Vec<(String, String)>,
    /// The tenant.
    pub tenant: Option<String>,
    /// Other readings of the tenant, if its header is repeated or a list: a rule for one of them applies to the request.
    pub other_tenants: Vec<String>,
    /// The client's preferences.
    pub preferences: ClientPreferences,
}

impl RequestAttributes {
    /// The value of a header that rules look at; several values are joined by `,`.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_readings(name).next()
    }

    /// The value of a header that rules look at, and then each of its values if it has several.
    pub fn header_readings(&self, name: &str) -> impl Iterator<Item = &str> {
        let own = self.headers.iter().filter(move |(own, _)| own == name);
        own.map(|(_, value)| value.as_str())
    }

    /// Every reading of the tenant.
    pub fn tenants(&self) -> impl Iterator<Item = &str> {
        let others = self.other_tenants.iter();
        self.tenant.iter().chain(others).map(String::as_str)
    }
}

impl RequestMatchers {
    /// Whether there is nothing to look at.
    pub fn is_empty(&self) -> bool {
        !self.path
            && self.headers.is_empty()
            && self.tenant.is_none()
            && self.preferences.is_empty()
    }

    /// Takes what the policy looks at out of a request's headers, pseudo-headers included. What is not UTF-8 counts as absent.
    pub fn read(&self, headers: &[RawHeader<'_>], registry: &Registry) -> RequestAttributes {
        if self.is_empty() {
            return RequestAttributes::default();
        }
        let mut attributes = RequestAttributes {
            preferences: ClientPreferences::read(&self.preferences, headers, registry),
            ..RequestAttributes::default()
        };
        if let Some(path) = self.path.then(|| find(headers, ":path")).flatten() {
            let path = ApiPath::read(&path);
            attributes.path = path.text.to_ascii_lowercase();
            attributes.api_path = path.own();
        }
        for name in &self.headers {
            let Some(value) = find(headers, name) else {
                continue;
            };
            let parts = value.contains(',').then(|| value.split(',').map(str::trim));
            let parts: Vec<String> = parts.into_iter().flatten().map(str::to_owned).collect();
            let all = std::iter::once(value.into_owned()).chain(parts);
            attributes
                .headers
                .extend(all.map(|value| (name.clone(), value)));
        }
        if let Some(source) = &self.tenant {
            let mut tenants = read_tenants(headers, source).into_iter();
            attributes.tenant = tenants.next();
            attributes.other_tenants = tenants.collect();
        }
        attributes
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::policy::profiles::{Limit, Limits};

    fn looks(claim: Option<&str>) -> RequestMatchers {
        RequestMatchers {
            path: true,
            headers: vec!["x-team".into()],
            tenant: Some(TenantSource {
                header: "x-jwt-payload".into(),
                claim: claim.map(str::to_owned),
            }),
            preferences: ClientPreference::ALL.to_vec(),
        }
    }

    #[test]
    fn only_what_is_looked_at_is_taken() {
        let headers: &[RawHeader<'_>] = &[
            (b":path", b"/v1/chat/completions?x=1"),
            (b"x-team", b"red"),
            (b"x-team", b"blue"),
            (b"x-other", b"1"),
            (b"x-jwt-payload", b"acme"),
        ];
        let registry = Registry::default();
        let read = looks(None).read(headers, &registry);
        assert_eq!(read.path, "/v1/chat/completions");
        let readings: Vec<&str> = read.header_readings("x-team").collect();
        assert_eq!(readings, ["red,blue", "red", "blue"]);
        assert_eq!(read.tenant.as_deref(), Some("acme"));
        assert_eq!(
            RequestMatchers::default().read(headers, &registry),
            RequestAttributes::default()
        );
        let odd: &[RawHeader<'_>] = &[(b"x-team", b"\xff\xfe")];
        assert_eq!(looks(None).read(odd, &registry).header("x-team"), None);
    }

    #[test]
    fn no_value_of_a_header_hides_another() {
        let read = |headers: &[RawHeader<'_>]| {
            let read = looks(None).read(headers, &Registry::default());
            read.tenants().map(str::to_owned).collect::<Vec<_>>()
        };
        let (one, two): (RawHeader<'_>, RawHeader<'_>) =
            ((b"x-jwt-payload", b"acme"), (b"X-JWT-Payload", b"barred"));
        assert_eq!(read(&[one]), ["acme"]);
        assert_eq!(read(&[one, two]), ["acme", "barred"]);
        assert_eq!(read(&[one, one]), ["acme"]);
        let list: RawHeader<'_> = (b"x-jwt-payload", b"acme, barred");
        assert_eq!(read(&[list]), ["acme, barred", "acme", "barred"]);
        let odd: RawHeader<'_> = (b"x-jwt-payload", b"\xff");
        assert_eq!(read(&[odd, two]), ["barred"]);
        let quality: &[RawHeader<'_>] = &[
            (b"x-pointsman-min-quality", b"0.2"),
            (b"x-pointsman-min-quality", b"0.9"),
        ];
        let preferences = looks(None).read(quality, &Registry::default()).preferences;
        assert_eq!(preferences.limits.get(Limit::MinQuality), Some(0.9));
    }

    #[test]
    fn a_claim_is_found_by_name_or_path() {
        // {"sub":"ann","org":{"id":7},"https://acme.example/tenant":"acme"}
        let payload: &[u8] =
            b"eyJzdWIiOiJhbm4iLCJvcmciOnsiaWQiOjd9LCJodHRwczovL2FjbWUuZXhhbXBsZS90ZW5hbnQiOiJhY21lIn0";
        let tenant = |claim: &str, payload: &[u8]| {
            let headers: &[RawHeader<'_>] = &[(b"x-jwt-payload", payload)];
            looks(Some(claim))
                .read(headers, &Registry::default())
                .tenant
        };
        assert_eq!(tenant("sub", payload).as_deref(), Some("ann"));
        assert_eq!(tenant("org.id", payload).as_deref(), Some("7"));
        assert_eq!(
            tenant("https://acme.example/tenant", payload).as_deref(),
            Some("acme")
        );
        assert_eq!(tenant("org", payload), None);
        assert_eq!(tenant("nobody", payload), None);
        for broken in [&b"***"[..], b"", b"AAAA", b"e30", b"\xff"] {
            assert_eq!(tenant("sub", broken), None);
        }
    }

    #[test]
    fn invalid_preferences_are_ignored() {
        let steer = |header: &'static str, value: &'static str| {
            let headers: &[RawHeader<'_>] = &[(header.as_bytes(), value.as_bytes())];
            looks(None).read(headers, &Registry::default()).preferences
        };
        let read = steer("x-pointsman-min-quality", " 0.7 ");
        assert_eq!(read.honoured, [ClientPreference::MinQuality]);
        assert_eq!(read.limits.get(Limit::MinQuality), Some(0.7));
        for (header, value) in [
            ("x-pointsman-min-quality", "1.2"),
            ("x-pointsman-min-quality", "NaN"),
            ("x-pointsman-max-cost-usd", "-1"),
            ("x-pointsman-max-latency-ms", "soon"),
            ("x-pointsman-max-latency-ms", "inf"),
            ("x-pointsman-allow-models", "nobody, , nothing"),
        ] {
            let read = steer(header, value);
            assert!(read.honoured.is_empty(), "{header}: {value}");
            assert_eq!(read.ignored.len(), 1, "{header}: {value}");
            assert_eq!(read.limits, Limits::NONE);
        }
        let mut disallowed = looks(None);
        disallowed.preferences.clear();
        let headers: &[RawHeader<'_>] = &[(b"x-pointsman-min-quality", b"0.7")];
        let read = disallowed.read(headers, &Registry::default()).preferences;
        assert_eq!(read, ClientPreferences::default());
    }
}

//! What a request brings beside its body, as far as the policy looks at it: path, headers, tenant, and how the client steers.
//!
//! [`Looks`] says what a policy looks at; a policy that looks at nothing costs nothing. Whether a header can be trusted is not
//! judged here: a tenant must come from a header that Envoy itself sets.

use std::borrow::Cow;

use super::profile::{Limit, Limits};
use crate::registry::{ModelId, Registry};

/// A header as the host gives it.
pub type RawHeader<'a> = (&'a [u8], &'a [u8]);

/// Where the tenant stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantSource {
    /// The header, lower case.
    pub header: String,
    /// The claim, where the header is the payload of a JWT that Envoy has checked (base64url of JSON).
    pub claim: Option<String>,
}

/// How clients may steer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steer {
    /// A floor of quality.
    MinQuality,
    /// The most that the request may be expected to cost.
    MaxCostUsd,
    /// The most that the expected median time to the whole answer may be.
    MaxLatencyMs,
    /// The models that may answer.
    AllowModels,
}

impl Steer {
    /// All of them.
    pub const ALL: [Steer; 4] = [
        Steer::MinQuality,
        Steer::MaxCostUsd,
        Steer::MaxLatencyMs,
        Steer::AllowModels,
    ];

    /// The name that policies use.
    pub const fn name(self) -> &'static str {
        match self {
            Steer::MinQuality => "min_quality",
            Steer::MaxCostUsd => "max_cost_usd",
            Steer::MaxLatencyMs => "max_latency_ms",
            Steer::AllowModels => "allow_models",
        }
    }

    /// The request header that clients use.
    pub const fn header(self) -> &'static str {
        match self {
            Steer::MinQuality => "x-pointsman-min-quality",
            Steer::MaxCostUsd => "x-pointsman-max-cost-usd",
            Steer::MaxLatencyMs => "x-pointsman-max-latency-ms",
            Steer::AllowModels => "x-pointsman-allow-models",
        }
    }
}

/// What a policy looks at beside bodies.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Looks {
    /// Whether any rule looks at the path.
    pub path: bool,
    /// Names of the headers that rules look at, lower case, each once.
    pub headers: Vec<String>,
    /// Where the tenant stands.
    pub tenant: Option<TenantSource>,
    /// How clients may steer.
    pub steering: Vec<Steer>,
}

/// How a client steers, within what it may.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Steering {
    /// Limits beside those of the profile: the tighter of two counts.
    pub limits: Limits,
    /// Only these models may answer, if not empty.
    pub models: Vec<ModelId>,
    /// What was followed.
    pub followed: Vec<Steer>,
    /// What was not, because its value makes no sense.
    pub ignored: Vec<Steer>,
}

/// What came beside a body.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Envelope {
    /// The path without its query; empty where nobody looks at it.
    pub path: String,
    /// The headers that rules look at and the request has; several values of one name are joined by `,`.
    pub headers: Vec<(String, String)>,
    /// The tenant.
    pub tenant: Option<String>,
    /// How the client steers.
    pub steering: Steering,
}

impl Envelope {
    /// The value of a header that rules look at.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    }
}

impl Looks {
    /// Whether there is nothing to look at.
    pub fn is_empty(&self) -> bool {
        !self.path && self.headers.is_empty() && self.tenant.is_none() && self.steering.is_empty()
    }

    /// Takes what the policy looks at out of a request's headers, pseudo-headers included. What is not UTF-8 counts as absent.
    pub fn read(&self, headers: &[RawHeader<'_>], registry: &Registry) -> Envelope {
        if self.is_empty() {
            return Envelope::default();
        }
        let path = self.path.then(|| find(headers, ":path")).flatten();
        let path = path.as_deref().unwrap_or_default();
        let named = self.headers.iter();
        Envelope {
            path: path.split(['?', '#']).next().unwrap_or(path).to_owned(),
            headers: named
                .filter_map(|name| Some((name.clone(), find(headers, name)?.into_owned())))
                .collect(),
            tenant: self.tenant.as_ref().and_then(|source| {
                let value = find(headers, &source.header)?;
                match &source.claim {
                    None => Some(value.into_owned()),
                    Some(claim) => find_claim(&value, claim),
                }
                .filter(|tenant| !tenant.is_empty())
            }),
            steering: self.read_steering(headers, registry),
        }
    }

    fn read_steering(&self, headers: &[RawHeader<'_>], registry: &Registry) -> Steering {
        let mut steering = Steering::default();
        for steer in self.steering.iter().copied() {
            let Some(value) = find(headers, steer.header()) else {
                continue;
            };
            if follow(steer, value.trim(), registry, &mut steering) {
                steering.followed.push(steer);
            } else {
                steering.ignored.push(steer);
            }
        }
        steering
    }
}

/// Takes one wish into `steering`; `false` where its value makes no sense.
fn follow(steer: Steer, value: &str, registry: &Registry, steering: &mut Steering) -> bool {
    let number = value.parse::<f64>().ok();
    let number = number.filter(|number| number.is_finite() && *number >= 0.0);
    let limit = match steer {
        Steer::MinQuality => number
            .filter(|one| *one <= 1.0)
            .map(|n| (Limit::MinQuality, n)),
        Steer::MaxCostUsd => number.map(|n| (Limit::MaxCostUsd, n)),
        Steer::MaxLatencyMs => number.map(|n| (Limit::MaxP50Ms, n)),
        Steer::AllowModels => {
            let names = value
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty());
            steering.models = names.filter_map(|name| registry.find_model(name)).collect();
            return !steering.models.is_empty();
        }
    };
    let Some((limit, written)) = limit else {
        return false;
    };
    steering.limits = steering.limits.with(limit, written);
    true
}

/// The value of a header; several values are joined by `,`.
fn find<'a>(headers: &[RawHeader<'a>], name: &str) -> Option<Cow<'a, str>> {
    let mut values = headers
        .iter()
        .filter(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()))
        .filter_map(|(_, value)| std::str::from_utf8(value).ok());
    let first = Cow::Borrowed(values.next()?);
    Some(values.fold(first, |all, value| {
        let mut all = all.into_owned();
        all.push(',');
        all.push_str(value);
        Cow::Owned(all)
    }))
}

/// A claim of a JWT's payload: its name as it is, or a path of names joined by dots. Texts and numbers.
fn find_claim(payload: &str, claim: &str) -> Option<String> {
    let json: serde_json::Value = serde_json::from_slice(&decode_base64url(payload)?).ok()?;
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

/// RFC 4648, both alphabets, with or without padding; `None` where another byte stands in it.
fn decode_base64url(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for byte in text.trim_end_matches('=').bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' | b'+' => 62,
            b'_' | b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn looks(claim: Option<&str>) -> Looks {
        Looks {
            path: true,
            headers: vec!["x-team".into()],
            tenant: Some(TenantSource {
                header: "x-jwt-payload".into(),
                claim: claim.map(str::to_owned),
            }),
            steering: Steer::ALL.to_vec(),
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
        assert_eq!(read.headers, [("x-team".into(), "red,blue".into())]);
        assert_eq!(read.tenant.as_deref(), Some("acme"));
        assert_eq!(
            Looks::default().read(headers, &registry),
            Envelope::default()
        );
        let odd: &[RawHeader<'_>] = &[(b"x-team", b"\xff\xfe")];
        assert_eq!(looks(None).read(odd, &registry).header("x-team"), None);
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
    fn wishes_that_make_no_sense_are_ignored() {
        let steer = |header: &'static str, value: &'static str| {
            let headers: &[RawHeader<'_>] = &[(header.as_bytes(), value.as_bytes())];
            looks(None).read(headers, &Registry::default()).steering
        };
        let read = steer("x-pointsman-min-quality", " 0.7 ");
        assert_eq!(read.followed, [Steer::MinQuality]);
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
            assert!(read.followed.is_empty(), "{header}: {value}");
            assert_eq!(read.ignored.len(), 1, "{header}: {value}");
            assert_eq!(read.limits, Limits::NONE);
        }
        let mut disallowed = looks(None);
        disallowed.steering.clear();
        let headers: &[RawHeader<'_>] = &[(b"x-pointsman-min-quality", b"0.7")];
        let read = disallowed.read(headers, &Registry::default()).steering;
        assert_eq!(read, Steering::default());
    }
}

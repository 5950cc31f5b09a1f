//! What a request brings beside its body, as far as the policy looks at it: path, headers, tenant, and how the client steers.
//!
//! [`RequestMatchers`] says what a policy looks at; a policy that looks at nothing costs nothing. Whether a header can be trusted is not
//! judged here: a tenant must come from a header that Envoy itself sets.

use std::borrow::Cow;

use super::profile::{Limit, Limits};
use crate::api::path::ApiPath;
use crate::fleet::{ModelId, Registry};

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
pub struct RequestMatchers {
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
pub struct RequestAttributes {
    /// The path, normalised and in lower case; empty where nobody looks at it.
    pub path: String,
    /// The API's own path, whatever is mounted before it: `/v1/chat/completions`; empty where nobody looks at it, or the path
    /// is none of an API.
    pub api_path: &'static str,
    /// The deployment that the path names: the model that is asked for where the body names none.
    pub deployment: Option<String>,
    /// The headers that rules look at and the request has. One that comes more than once, or is a list, stands here as a
    /// whole and then with each of its values, so that none of them hides another.
    pub headers: Vec<(String, String)>,
    /// The tenant.
    pub tenant: Option<String>,
    /// What the tenant is by other readings, where its header comes more than once or is a list: what holds for one of them
    /// holds for the request.
    pub other_tenants: Vec<String>,
    /// How the client steers.
    pub steering: Steering,
}

impl RequestAttributes {
    /// The value of a header that rules look at; several values are joined by `,`.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_readings(name).next()
    }

    /// The value of a header that rules look at, and then each of its values where it has several.
    pub fn header_readings(&self, name: &str) -> impl Iterator<Item = &str> {
        let own = self.headers.iter().filter(move |(own, _)| own == name);
        own.map(|(_, value)| value.as_str())
    }

    /// The tenant by every reading.
    pub fn tenants(&self) -> impl Iterator<Item = &str> {
        let others = self.other_tenants.iter();
        self.tenant.iter().chain(others).map(String::as_str)
    }
}

impl RequestMatchers {
    /// Whether there is nothing to look at.
    pub fn is_empty(&self) -> bool {
        !self.path && self.headers.is_empty() && self.tenant.is_none() && self.steering.is_empty()
    }

    /// Takes what the policy looks at out of a request's headers, pseudo-headers included. What is not UTF-8 counts as absent.
    pub fn read(&self, headers: &[RawHeader<'_>], registry: &Registry) -> RequestAttributes {
        if self.is_empty() {
            return RequestAttributes::default();
        }
        let mut envelope = RequestAttributes {
            steering: self.read_steering(headers, registry),
            ..RequestAttributes::default()
        };
        if let Some(path) = self.path.then(|| find(headers, ":path")).flatten() {
            let path = ApiPath::read(&path);
            envelope.path = path.text.to_ascii_lowercase();
            envelope.api_path = path.own();
        }
        for name in &self.headers {
            let Some(value) = find(headers, name) else {
                continue;
            };
            let parts = value.contains(',').then(|| value.split(',').map(str::trim));
            let parts: Vec<String> = parts.into_iter().flatten().map(str::to_owned).collect();
            let all = std::iter::once(value.into_owned()).chain(parts);
            envelope
                .headers
                .extend(all.map(|value| (name.clone(), value)));
        }
        if let Some(source) = &self.tenant {
            let mut tenants = read_tenants(headers, source).into_iter();
            envelope.tenant = tenants.next();
            envelope.other_tenants = tenants.collect();
        }
        envelope
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

/// The tenant by every reading, each once: the header's value, and where it comes more than once or is a list each value.
fn read_tenants(headers: &[RawHeader<'_>], source: &TenantSource) -> Vec<String> {
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

/// Takes one wish into `steering`; `false` where its value makes no sense. Of several numbers the tightest counts.
fn follow(steer: Steer, value: &str, registry: &Registry, steering: &mut Steering) -> bool {
    let numbers = value.split(',').map(|part| part.trim().parse::<f64>().ok());
    let numbers: Option<Vec<f64>> = numbers.collect();
    let numbers = numbers.into_iter().flatten();
    let number = match steer {
        Steer::MinQuality => numbers.reduce(f64::max),
        _ => numbers.reduce(f64::min),
    };
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

/// The values of a header, in order; what is not UTF-8 is left out.
fn values<'a>(headers: &[RawHeader<'a>], name: &str) -> impl Iterator<Item = &'a str> {
    headers
        .iter()
        .filter(move |(other, _)| other.eq_ignore_ascii_case(name.as_bytes()))
        .filter_map(|(_, value)| std::str::from_utf8(value).ok())
}

/// The value of a header; several values are joined by `,`.
fn find<'a>(headers: &[RawHeader<'a>], name: &str) -> Option<Cow<'a, str>> {
    let mut values = values(headers, name);
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

    fn looks(claim: Option<&str>) -> RequestMatchers {
        RequestMatchers {
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
        let steering = looks(None).read(quality, &Registry::default()).steering;
        assert_eq!(steering.limits.get(Limit::MinQuality), Some(0.9));
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

//! Headers and path of a request, as arguments of the commands that decide.

use pointsman::api::Api;
use pointsman::api::path::{ApiPath, Target};
use pointsman::policy::Policy;
use pointsman::policy::request_attributes::{RawHeader, RequestAttributes};

use crate::failure::Failure;

/// Headers and path of the request.
#[derive(Debug, Default, clap::Args)]
pub struct RequestArgs {
    /// A request header that rules, tenants or steering look at; may be given more than once
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The request's path: it says of which API the body is
    #[arg(long, default_value = "/v1/chat/completions")]
    path: String,
}

impl RequestArgs {
    /// The API that the path is of.
    pub fn api(&self) -> Result<Api, Failure> {
        Api::of_body_at(&self.path).ok_or_else(|| {
            Failure::Input(format!(
                "`{}` is the path of no API that is routed",
                self.path
            ))
        })
    }

    /// The attributes of the request that the policy matches.
    pub fn read(&self, policy: &Policy) -> Result<RequestAttributes, Failure> {
        let mut headers = Vec::new();
        for header in &self.headers {
            let Some((name, value)) = header.split_once(':') else {
                let problem = format!("`{header}` is not a header: write `NAME: VALUE`");
                return Err(Failure::Input(problem));
            };
            headers.push((name.trim(), value.trim()));
        }
        Ok(read(policy, &headers, &self.path))
    }
}

/// The time, in nanoseconds since 1970: how far ramps are, and which windows of budgets it is.
pub fn now_ns() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}

/// The attributes of these headers and this path that the policy matches.
pub fn read(policy: &Policy, headers: &[(&str, &str)], path: &str) -> RequestAttributes {
    let raw: Vec<RawHeader<'_>> = headers
        .iter()
        .copied()
        .chain([(":path", path)])
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .collect();
    let mut attributes = policy.traffic.matchers.read(&raw, &policy.registry);
    if let Target::Call { deployment, .. } = ApiPath::read(path).target {
        attributes.deployment = deployment;
    }
    attributes
}

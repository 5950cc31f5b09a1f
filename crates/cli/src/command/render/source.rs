//! The source of policies that replace the rendered one: the module's configuration for it, and the cluster that is asked.

use std::net::IpAddr;

use pointsman::policy::Policy;
use serde_json::json;

use super::Plan;
use super::text::{address, scalar};
use crate::failure::Failure;

/// The cluster's name.
const CLUSTER: &str = "pointsman-policies";

/// The parts of a URL.
struct Url<'u> {
    host: &'u str,
    port: u16,
    path: &'u str,
}

/// Fields of the module's configuration; nothing without `--policy-source`.
pub fn members(plan: &Plan<'_>) -> Result<String, Failure> {
    let Some(url) = url(plan)? else {
        return Ok(String::new());
    };
    let mut source = json!({
        "cluster": CLUSTER, "path": url.path, "authority": format!("{}:{}", url.host, url.port),
    });
    let keys: Vec<String> = plan
        .args
        .public_keys
        .iter()
        .map(ToString::to_string)
        .collect();
    if let (false, Some(fields)) = (keys.is_empty(), source.as_object_mut()) {
        fields.insert("public_keys".into(), json!(keys));
    }
    Ok(format!(
        "\"policy_source\": {source},\n\"allowed_clusters\": {},\n",
        json!(clusters(plan.policy))
    ))
}

/// The clusters that any policy of the source may name: those that are rendered.
fn clusters(policy: &Policy) -> Vec<&str> {
    let mut names: Vec<&str> = policy.called_clusters().collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The source's cluster as a YAML list item; nothing without `--policy-source`.
pub fn cluster(plan: &Plan<'_>) -> Result<String, Failure> {
    let Some(Url { host, port, .. }) = url(plan)? else {
        return Ok(String::new());
    };
    let kind = match host.parse::<IpAddr>() {
        Ok(_) => "STATIC",
        Err(_) => "STRICT_DNS",
    };
    let (name, host) = (scalar(CLUSTER), address(host));
    Ok(format!(
        "# The policy source. It is not a backend, and no policy can send requests there.\n\
         - name: {name}\n  type: {kind}\n  connect_timeout: 1s\n  load_assignment:\n    cluster_name: {name}\n    \
         endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: {host}, port_value: {port}}}}}}}}}]}}]\n"
    ))
}

fn url<'p>(plan: &'p Plan<'_>) -> Result<Option<Url<'p>>, Failure> {
    let Some(text) = plan.args.policy_source.as_deref() else {
        return Ok(None);
    };
    let wrong = || {
        let example = "http://127.0.0.1:8100/policy.json";
        Failure::Input(format!(
            "`{text}` is not a URL of a policy, such as `{example}`"
        ))
    };
    let rest = text.strip_prefix("http://").ok_or_else(wrong)?;
    let slash = rest.find('/').ok_or_else(wrong)?;
    let (authority, path) = rest.split_at_checked(slash).ok_or_else(wrong)?;
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
    if host.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong());
    }
    let port = port.parse().map_err(|_| wrong())?;
    Ok(Some(Url { host, port, path }))
}

//! Checks of failover: the filters of the clusters, and whether they fit the deciding filter.

use pointsman::control::plugin::{Plugin, Role};
use pointsman::fleet::clusters::Failover;
use serde_json::Value;

use super::checks::{DEFAULT_BUFFER, failure_policy, stop_iteration};
use super::envoy_config::{Attempt, EnvoyConfig, FilterInstance};
use super::finding::{Finding, error};

/// The fix for clusters and filters that do not fit each other.
const RENDER: &str = "render clusters and filters together: `pointsman render`";
/// The first version that picks the cluster of each attempt.
const PER_ATTEMPT_SINCE: [u64; 3] = [1, 39, 0];

impl Attempt {
    fn place(&self) -> String {
        format!("cluster `{}`, upstream filter", self.cluster)
    }
}

/// Whether a filter that decides finds in the clusters what its configuration counts on.
pub fn check_filter(filter: &FilterInstance, envoy: &EnvoyConfig, findings: &mut Vec<Finding>) {
    let Some(plugin) = filter.compiled() else {
        return;
    };
    if let Some(source) = &plugin.source
        && !envoy.clusters.contains(&source.cluster)
    {
        findings.push(error(
            "clusters",
            filter.place(&format!("cluster `{}`", source.cluster)),
            "`policy_source` asks it and Envoy does not have it: the policy is never replaced",
            "add the cluster, or fix `cluster` of `policy_source`",
        ));
    }
    if plugin.failover == Failover::Off {
        return;
    }
    let place = filter.place("failover");
    let is_old = envoy
        .version
        .is_some_and(|version| version < PER_ATTEMPT_SINCE);
    if plugin.failover == Failover::PerAttempt && is_old {
        findings.push(error(
            "failover",
            place.clone(),
            "`per_attempt` needs Envoy 1.39: attempts stay with the first backend",
            "render the configuration for this version: `pointsman render` with `--envoy-version`",
        ));
    }
    if envoy.attempts.is_empty() {
        let problem = "no cluster has the filter of attempts: an attempt at another backend asks it for a model that it does not have";
        findings.push(error("failover", place, problem, RENDER));
        return;
    }
    for attempt in &envoy.attempts {
        fits(attempt, filter, plugin, findings);
    }
    let mut clusters: Vec<&str> = plugin.policy.clusters().collect();
    clusters.sort_unstable();
    clusters.dedup();
    for cluster in clusters {
        let is_known = envoy.clusters.iter().any(|item| item == cluster);
        if is_known
            && !envoy
                .attempts
                .iter()
                .any(|attempt| attempt.cluster == cluster)
        {
            let problem = format!(
                "the cluster `{cluster}` has no filter of attempts: what is sent there keeps another backend's model name"
            );
            findings.push(error("failover", place.clone(), &problem, RENDER));
        }
    }
}

/// Whether a cluster's filter takes what this one decides.
fn fits(attempt: &Attempt, filter: &FilterInstance, plugin: &Plugin, findings: &mut Vec<Finding>) {
    let place = attempt.place();
    if let Some(Ok(Role::Attempt(failover))) = &attempt.plugin
        && *failover != plugin.failover
    {
        let problem = "it follows chains in another way than the filter that decides";
        findings.push(error("failover", place.clone(), problem, RENDER));
    }
    let id = |config: &Value| {
        config
            .pointer("/vm_config/vm_id")
            .cloned()
            .unwrap_or_default()
    };
    if id(&attempt.plugin_config) != id(&filter.plugin_config) {
        let problem = "its `vm_id` is not that of the filter that decides, which publishes the policy there: attempts keep the first backend's model name, path and key";
        findings.push(error("failover", place.clone(), problem, RENDER));
    }
    let wanted = plugin.policy.max_body_bytes as u64;
    let limit = attempt.connection_buffer.unwrap_or(DEFAULT_BUFFER);
    if limit < wanted {
        let problem = format!(
            "the cluster holds {limit} bytes of a body, where the policy takes {wanted}: longer ones are answered with 413"
        );
        let fix =
            "set `per_connection_buffer_limit_bytes` of the cluster to more than `max_body_bytes`";
        findings.push(error("buffers", place, &problem, fix));
    }
}

/// The upstream filters by themselves.
pub fn check_clusters(envoy: &EnvoyConfig, findings: &mut Vec<Finding>) {
    for attempt in &envoy.attempts {
        let place = attempt.place();
        stop_iteration(&place, &attempt.plugin_config, findings);
        failure_policy(&place, &attempt.plugin_config, findings);
        match &attempt.plugin {
            Some(Err(invalid)) => {
                for problem in &invalid.problems {
                    findings.push(error(
                        "configuration",
                        place.clone(),
                        &problem.to_string(),
                        "fix the configuration, or render it again",
                    ));
                }
            }
            Some(Ok(Role::Router(_))) => findings.push(error(
                "configuration",
                place,
                "it is a router's: before an upstream nothing is left to decide",
                "give it the role `attempt`, or render it again",
            )),
            _ => {}
        }
    }
}

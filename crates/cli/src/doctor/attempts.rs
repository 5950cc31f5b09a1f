//! What is looked for where requests fail over: the filters of the clusters, and whether they fit what decides.

use pointsman::chain::Failover;

use super::Finding;
use super::checks::{DEFAULT_BUFFER, error, failure_policy, stop_iteration};
use super::subject::{Attempt, Site, Subject};

/// The first version that picks the cluster of each attempt.
const PER_ATTEMPT_SINCE: [u64; 3] = [1, 39, 0];

impl Attempt {
    fn place(&self) -> String {
        format!("cluster `{}`, upstream filter", self.cluster)
    }
}

/// Whether a filter that decides finds in the clusters what its configuration counts on.
pub fn of_site(site: &Site, subject: &Subject, findings: &mut Vec<Finding>) {
    let Some(plugin) = site.compiled() else {
        return;
    };
    if let Some(source) = &plugin.source
        && !subject.clusters.contains(&source.cluster)
    {
        findings.push(error(
            "clusters",
            site.place(&format!("cluster `{}`", source.cluster)),
            "`policy_source` asks it and Envoy does not have it: the policy is never replaced",
            "add the cluster, or mend `cluster` of `policy_source`",
        ));
    }
    if plugin.failover == Failover::Off {
        return;
    }
    let place = site.place("failover");
    let is_old = subject
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
    let mend = "render clusters and filters together: `pointsman render`";
    if subject.attempts.is_empty() {
        let problem = "no cluster has the filter of attempts: an attempt at another backend asks it for a model that it does not have";
        findings.push(error("failover", place, problem, mend));
        return;
    }
    let follows = |attempt: &Attempt| match &attempt.plugin {
        Some(Ok(other)) => other.fingerprint == plugin.fingerprint,
        _ => false,
    };
    if plugin.source.is_some() && !subject.attempts.iter().any(follows) {
        let problem = "no filter of attempts has the same `policy`, `policy_source` and `allowed_clusters`: attempts keep the names of the first policy when another takes effect";
        findings.push(error("failover", place.clone(), problem, mend));
    }
    for backend in &plugin.policy.registry.backends {
        let knows = |attempt: &Attempt| match &attempt.plugin {
            Some(Ok(plugin)) => {
                let mut known = plugin.policy.registry.backends.iter();
                known.any(|one| one.name == backend.name && one.cluster == backend.cluster)
            }
            _ => false,
        };
        if !subject.attempts.iter().any(knows) {
            let problem = format!(
                "no filter of attempts knows the backend `{}`: what is sent there keeps another backend's model name",
                backend.name
            );
            findings.push(error("failover", place.clone(), &problem, mend));
        }
    }
}

/// The upstream filters by themselves.
pub fn of_clusters(subject: &Subject, findings: &mut Vec<Finding>) {
    for attempt in &subject.attempts {
        let place = attempt.place();
        stop_iteration(&place, &attempt.plugin_config, findings);
        failure_policy(&place, &attempt.plugin_config, findings);
        let plugin = match &attempt.plugin {
            Some(Ok(plugin)) => plugin,
            Some(Err(invalid)) => {
                for problem in &invalid.problems {
                    findings.push(error(
                        "configuration",
                        place.clone(),
                        &problem.to_string(),
                        "mend the configuration, or render it again",
                    ));
                }
                continue;
            }
            None => continue,
        };
        let wanted = plugin.policy.max_body_bytes as u64;
        let limit = attempt.connection_buffer.unwrap_or(DEFAULT_BUFFER);
        if limit < wanted {
            let problem = format!(
                "the cluster holds {limit} bytes of a body, where the policy takes {wanted}: longer ones are answered with 413"
            );
            let mend = "set `per_connection_buffer_limit_bytes` of the cluster to more than `max_body_bytes`";
            findings.push(error("buffers", place, &problem, mend));
        }
    }
}

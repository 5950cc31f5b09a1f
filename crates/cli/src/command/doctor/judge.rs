//! The judge's cluster: whether Envoy has it, whether its deadline can be met, and whether it leads back to the filter.

use std::net::IpAddr;

use super::envoy_config::{EnvoyConfig, FilterInstance, socket_of};
use super::finding::{Finding, error, warning};
use super::json::{list, text_of};

/// Deadlines below this, in milliseconds, are hardly ever met.
const MIN_DEADLINE_MS: u32 = 10;

/// Adds what is wrong with the judge of a filter's policy.
pub fn check(filter: &FilterInstance, envoy: &EnvoyConfig, findings: &mut Vec<Finding>) {
    let Some(judge) = filter.policy().and_then(|policy| policy.judge.as_ref()) else {
        return;
    };
    let name = judge.cluster.as_str();
    let place = filter.place(&format!("judge, cluster `{name}`"));
    if judge.deadline_ms < MIN_DEADLINE_MS {
        let problem = format!(
            "a deadline of {} ms: hardly any model answers in that time, and after five failures the judge is left alone",
            judge.deadline_ms
        );
        findings.push(warning(
            "judge",
            place.clone(),
            &problem,
            "raise `deadline_ms`",
        ));
    }
    if !envoy.clusters.iter().any(|cluster| cluster == name) {
        let problem =
            "Envoy does not have it: the judge is never reached, and the classifier decides alone";
        let fix = "add the cluster, or fix `cluster` of the judge";
        let is_unsure = envoy.has_cluster_discovery && envoy.counters.is_empty();
        findings.push(match is_unsure {
            true => warning("judge", place, problem, fix),
            false => error("judge", place, problem, fix),
        });
        return;
    }
    for target in addresses(envoy, name) {
        let leads_back = |other: &&FilterInstance| {
            let own = other.address.as_ref();
            own.is_some_and(|own| leads_to(&target, own))
        };
        if let Some(back) = envoy.filters.iter().find(leads_back) {
            let problem = format!(
                "it leads to listener `{}`: the filter would judge its own questions",
                back.listener
            );
            let fix = "let the judge's cluster lead to the judge itself";
            findings.push(error("judge", place.clone(), &problem, fix));
        }
    }
}

/// Addresses and ports of a cluster's hosts, as far as the configuration states them.
fn addresses(envoy: &EnvoyConfig, name: &str) -> Vec<(String, u64)> {
    let mut clusters = envoy.cluster_values.iter();
    let cluster = clusters.find(|cluster| text_of(cluster, "name") == Some(name));
    let groups = cluster
        .into_iter()
        .flat_map(|cluster| list(cluster, "/load_assignment/endpoints"));
    let hosts = groups.flat_map(|group| list(group, "/lb_endpoints"));
    hosts
        .filter_map(|host| socket_of(host.get("endpoint")?))
        .collect()
}

/// Whether a connection to `target` reaches a listener at `own`.
fn leads_to((target, target_port): &(String, u64), (own, own_port): &(String, u64)) -> bool {
    let address = |host: &str| host.parse::<IpAddr>().ok();
    let is_local =
        |host: &str| host == "localhost" || address(host).is_some_and(|ip| ip.is_loopback());
    let is_any = address(own).is_some_and(|ip| ip.is_unspecified());
    let reaches = target == own || (is_local(target) && (is_any || is_local(own)));
    target_port == own_port && reaches
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::super::find_all;
    use super::*;

    /// Findings about the judge in a bootstrap with one listener on port 10000.
    fn found(judge: &Value, clusters: &[Value]) -> Vec<String> {
        let policy = json!({
            "models": [{"name": "m"}, {"name": "n"}],
            "backends": [{"name": "a", "model": "m", "price": {"input": 1, "output": 1}},
                         {"name": "b", "model": "n", "price": {"input": 9, "output": 9}}],
            "judge": judge,
        });
        let configuration = json!({"@type": "type.googleapis.com/google.protobuf.StringValue",
            "value": json!({"policy": policy}).to_string()});
        let wasm = json!({"name": "pointsman", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {"configuration": configuration}}});
        let manager = json!({"http_filters": [wasm], "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"});
        let document = json!({"static_resources": {
            "clusters": clusters,
            "listeners": [{"name": "llm",
                "address": {"socket_address": {"address": "0.0.0.0", "port_value": 10_000}},
                "filter_chains": [{"filters": [{"typed_config": manager}]}]}],
        }});
        let findings = find_all(&EnvoyConfig::from_document(&document), None);
        let ours = findings.iter().filter(|one| one.check == "judge");
        ours.map(|one| one.problem.clone()).collect()
    }

    fn cluster(address: &str, port: u16) -> Value {
        let socket = json!({"socket_address": {"address": address, "port_value": port}});
        json!({"name": "judge", "load_assignment": {"endpoints": [
            {"lb_endpoints": [{"endpoint": {"address": socket}}]}]}})
    }

    #[test]
    fn a_judge_that_is_there_is_fine() {
        let judge = json!({"cluster": "judge", "model": "j"});
        assert_eq!(found(&judge, &[cluster("127.0.0.1", 9000)]), [""; 0]);
        assert_eq!(found(&judge, &[cluster("10.0.0.1", 10_000)]), [""; 0]);
    }

    #[test]
    fn a_missing_cluster_a_loop_and_a_short_deadline_are_found() {
        let judge = json!({"cluster": "judge", "model": "j", "deadline_ms": 5});
        let all = found(&judge, &[]);
        assert!(
            all.iter().any(|one| one.contains("never reached")),
            "{all:?}"
        );
        assert!(all.iter().any(|one| one.contains("5 ms")), "{all:?}");
        for host in ["127.0.0.1", "localhost", "0.0.0.0"] {
            let all = found(&judge, &[cluster(host, 10_000)]);
            assert!(
                all.iter()
                    .any(|one| one.contains("leads to listener `llm`")),
                "{all:?}"
            );
        }
    }
}

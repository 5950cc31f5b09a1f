//! What is allowed of how backends are reached, but probably not meant: warnings, each with its place.

use std::net::IpAddr;

use super::Policy;
use super::compile::at_of;
use crate::fleet::clusters::aggregate_collision;
use crate::fleet::{Backend, Endpoint};
use crate::schema::document::Node;
use crate::schema::shape::Problems;
use crate::schema::suggest::quote;

/// How many clusters of a chain are looked at: as many as fit into a name that people still read.
const LINKS: usize = 3;

/// Adds every warning about how the backends of `policy` are reached.
pub(super) fn check_reach(policy: &Policy, root: &Node, warnings: &mut Problems<'_>) {
    let backends = &policy.registry.backends;
    let nodes = root.get("backends").map_or(&[][..], Node::items);
    for (index, (backend, node)) in backends.iter().zip(nodes).enumerate() {
        let path = format!("backends[{index}]");
        check_credentials(backend, node, &path, warnings);
        check_timeouts(backend, node, &path, warnings);
        let earlier = backends.iter().take(index);
        let mut twins = earlier.filter(|other| other.cluster == backend.cluster);
        if let Some(twin) = twins.find(|other| other.endpoint != backend.endpoint) {
            let message = format!(
                "{} has the same cluster and is elsewhere: a cluster is in one place",
                quote(&twin.name)
            );
            warnings.add(at_of(node, "cluster"), format!("{path}.cluster"), message);
        }
    }
    check_names(backends, nodes, warnings);
}

fn check_credentials(backend: &Backend, node: &Node, path: &str, warnings: &mut Problems<'_>) {
    if backend.credentials.is_none() {
        return;
    }
    let message = match &backend.endpoint {
        None => {
            "its cluster is defined elsewhere: `credentials` are put in only where attempts have their filter, which `pointsman render` \
             writes with failover"
        }
        Some(endpoint) if !endpoint.tls && is_far(endpoint) => {
            "the secret goes over the network as it is: let `endpoint` begin with `https://`"
        }
        Some(_) => return,
    };
    let at = at_of(node, "credentials");
    warnings.add(at, format!("{path}.credentials"), message);
}

/// Whether an endpoint looks as if it were outside: no private address, and no name of a network of one's own.
fn is_far(endpoint: &Endpoint) -> bool {
    match endpoint.host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => !(address.is_loopback() || address.is_private()),
        Ok(IpAddr::V6(address)) => !(address.is_loopback() || address.is_unique_local()),
        Err(_) => {
            let own = [".local", ".internal", ".svc", ".lan", ".localhost"];
            endpoint.host.contains('.') && !own.iter().any(|end| endpoint.host.ends_with(end))
        }
    }
}

fn check_timeouts(backend: &Backend, node: &Node, path: &str, warnings: &mut Problems<'_>) {
    let limits = node.get("timeouts");
    let stated = limits.and_then(|limits| limits.get("first_token_ms"));
    let usual = backend.latency.first_token_p99_ms;
    if let Some(stated) = stated
        && backend.timeouts.first_token_ms < usual
    {
        let message = format!(
            "one request in a hundred takes longer, as `latency` states it ({usual} ms): it is given up then"
        );
        let at = format!("{path}.timeouts.first_token_ms");
        warnings.add(stated.at, at, message);
    }
}

/// Warns of clusters that could not stand beside the aggregates that Envoy before 1.39 needs.
fn check_names(backends: &[Backend], nodes: &[Node], warnings: &mut Problems<'_>) {
    let clusters: Vec<&str> = backends.iter().map(|one| one.cluster.as_str()).collect();
    // With more there are no aggregates.
    if clusters.len() > 13 {
        return;
    }
    let Some((name, chain)) = aggregate_collision(&clusters, LINKS.min(clusters.len())) else {
        return;
    };
    let odd = backends.iter().position(|one| one.cluster.contains('+'));
    let Some((index, node)) = odd.and_then(|index| Some((index, nodes.get(index)?))) else {
        return;
    };
    let chain: Vec<String> = chain.iter().map(|one| quote(one)).collect();
    let message = format!(
        "for Envoy before 1.39 the aggregate of {} is called {} as well, and Envoy refuses two clusters of one name",
        chain.join(" and "),
        quote(&name)
    );
    let at = if node.get("cluster").is_some() {
        "cluster"
    } else {
        "name"
    };
    warnings.add(at_of(node, at), format!("backends[{index}].{at}"), message);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::policy::Policy;

    fn warnings(backends: &str) -> Vec<String> {
        let text = format!(
            r#"{{"models": [{{"name": "m", "benchmarks": {{"mmlu": 0.5}}}}], "backends": [{backends}]}}"#
        );
        let (_, warnings) = Policy::check(&text).unwrap();
        warnings.iter().map(ToString::to_string).collect()
    }

    fn backend(name: &str, members: &str) -> String {
        format!(
            r#"{{"name": "{name}", "model": "m", "price": {{"input": 1, "output": 1}}, {members}}}"#
        )
    }

    #[test]
    fn secrets_that_go_nowhere_or_too_far_are_told() {
        let keyed = |endpoint: &str| {
            warnings(&backend(
                "b",
                &format!(r#""credentials": {{"env": "K"}}{endpoint}"#),
            ))
        };
        assert!(
            keyed("")[0].starts_with("backends[0].credentials: its cluster is defined elsewhere")
        );
        for far in ["http://api.example.com/v1", "http://203.0.113.7"] {
            let told = keyed(&format!(r#", "endpoint": "{far}""#));
            assert!(
                told[0].contains("goes over the network as it is"),
                "{told:?}"
            );
        }
        for near in [
            "https://api.example.com",
            "http://10.0.0.7:80",
            "http://vllm:8000",
            "http://v.llm.svc",
            "http://[::1]:80",
        ] {
            assert_eq!(
                keyed(&format!(r#", "endpoint": "{near}""#)),
                [""; 0],
                "{near}"
            );
        }
    }

    #[test]
    fn limits_and_places_that_contradict_are_told() {
        let hasty = r#""latency": {"first_token_ms": {"p50": 500, "p99": 2000}}, "timeouts": {"first_token_ms": 1000}"#;
        let told = warnings(&backend("b", hasty));
        assert!(
            told[0].starts_with("backends[0].timeouts.first_token_ms: one request in a hundred")
        );
        let at = |name: &str, port: u16| {
            backend(
                name,
                &format!(r#""cluster": "c", "endpoint": "http://10.0.0.7:{port}""#),
            )
        };
        let told = warnings(&[at("a", 1), at("b", 2)].join(", "));
        assert!(told.iter().any(|one| one == "backends[1].cluster: `a` has the same cluster and is elsewhere: a cluster is in one place"), "{told:?}");
        let told = warnings(&[at("a", 1), at("b", 1)].join(", "));
        assert!(
            !told.iter().any(|one| one.contains("elsewhere")),
            "{told:?}"
        );
    }

    #[test]
    fn limits_that_cannot_be_reached_are_errors() {
        let text = format!(
            r#"{{"models": [{{"name": "m"}}], "backends": [{}]}}"#,
            backend(
                "b",
                r#""timeouts": {"first_token_ms": 2000, "total_ms": 1000}"#
            )
        );
        let problems = Policy::compile(&text).unwrap_err().problems;
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "backends[0].timeouts.first_token_ms: `2000` is more than `total_ms`, which is `1000`"
            ]
        );
        let odd = text.replace("\"b\"", "\"b\", \"cluster\": \"ü\"");
        let problems = Policy::compile(&odd).unwrap_err().problems;
        assert!(problems.iter().any(|one| one.at == "backends[0].cluster"));
    }
}

//! Endpoints of backends: fields, compilation and warnings of address, cluster, health check and state scope.
//!
//! Nothing is connected to here.

use crate::fleet::clusters::aggregate_collision;
use crate::fleet::{Backend, Credentials, Endpoint, StateScope};
use crate::schema::document::Node;
use crate::schema::problems::Problems;
use crate::schema::shape::{Field, Kind, optional};
use crate::schema::suggest::quote;

/// `state_scope` of a backend.
pub(crate) const STATE_SCOPE_FIELD: Field = optional(
    "state_scope",
    Kind::Text,
    "host, port and `credentials.env` of the backend's endpoint, or its cluster if it states no endpoint",
    "Backends of one scope can read each other's provider state: signed thinking, encrypted reasoning, stored responses. A conversation with such state goes only to backends of the scope that made it.",
);

/// Compiles `endpoint` of the backend at `index`.
#[inline(never)]
pub(crate) fn compile_endpoint(
    node: &Node,
    index: usize,
    problems: &mut Problems<'_>,
) -> Option<Endpoint> {
    let written = node.text_of("endpoint")?;
    match parse_endpoint(written) {
        Ok(endpoint) => Some(endpoint),
        Err(problem) => {
            let message = format!("{} {problem}", quote(written));
            let at = format!("backends[{index}].endpoint");
            problems.add(node.offset_of("endpoint"), at, message);
            None
        }
    }
}

/// Reads `http://HOST:PORT` or `https://HOST`, with an optional path.
///
/// # Errors
/// The problem, to stand behind the quoted text.
pub(crate) fn parse_endpoint(written: &str) -> Result<Endpoint, &'static str> {
    let (tls, rest) = if let Some(rest) = written.strip_prefix("https://") {
        (true, rest)
    } else if let Some(rest) = written.strip_prefix("http://") {
        (false, rest)
    } else {
        return Err("does not begin with `http://` or `https://`");
    };
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, path.trim_end_matches('/')),
        None => (rest, ""),
    };
    if path.contains(['?', '#']) || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("has a query or a fragment after its path");
    }
    let usual = if tls { 443 } else { 80 };
    // An IPv6 address stands in brackets.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let port = port.parse().ok().filter(|port: &u16| *port > 0);
            (host, port.ok_or("has no port from 1 to 65535")?)
        }
        _ => (authority, usual),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_host) {
        return Err("names no host");
    }
    // The path of each request is appended.
    let apis = [
        "/chat/completions",
        "/completions",
        "/responses",
        "/embeddings",
        "/messages",
    ];
    if apis.iter().any(|api| ["/", path].concat().ends_with(api)) {
        return Err("ends with the path of an API: remove it, requests bring their own");
    }
    let path = if path.is_empty() {
        String::new()
    } else {
        ["/", path].concat()
    };
    Ok(Endpoint {
        tls,
        host: host.to_owned(),
        port,
        path,
    })
}

/// Refuses a cluster whose name a header cannot carry as it is: the cluster that was meant would never be found.
pub(crate) fn check_cluster(node: &Node, name: &str, path: &str, problems: &mut Problems<'_>) {
    let fits = name
        .bytes()
        .all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if !fits || name != name.trim() {
        let message = format!("{} is not a valid header value", quote(name));
        problems.add(node.at, path, message);
    }
}

/// Compiles `state_scope` of a backend: as it is stated, else the account that it is reached with.
pub(crate) fn compile_state_scope(
    node: &Node,
    cluster: &str,
    endpoint: Option<&Endpoint>,
    credentials: Option<&Credentials>,
) -> StateScope {
    if let Some(written) = node.text_of("state_scope") {
        return StateScope {
            is_stated: true,
            ..StateScope::new(written.to_owned())
        };
    }
    let mut name = endpoint.map_or(cluster.to_owned(), |endpoint| {
        format!("{}:{}", endpoint.host, endpoint.port)
    });
    if let Some(account) = credentials {
        name.push('/');
        name.push_str(&account.env);
    }
    StateScope::new(name)
}

/// Compiles `health` of the backend at `index`.
pub(crate) fn compile_health(
    node: &Node,
    index: usize,
    problems: &mut Problems<'_>,
) -> Option<String> {
    let path = node.text_of("health")?;
    if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = format!("{} is not a path", quote(path));
        problems.add(
            node.offset_of("health"),
            format!("backends[{index}].health"),
            message,
        );
    }
    Some(path.to_owned())
}

/// How many clusters of a chain are looked at: as many as fit into a name that people still read.
const LINKS: usize = 3;

/// Warns of clusters that could not stand next to the aggregates that Envoy before 1.39 needs.
pub(crate) fn lint_aggregate_names(
    backends: &[Backend],
    nodes: &[Node],
    warnings: &mut Problems<'_>,
) {
    let clusters: Vec<&str> = backends
        .iter()
        .map(|backend| backend.cluster.as_str())
        .collect();
    // With more there are no aggregates.
    if clusters.len() > 13 {
        return;
    }
    let Some((name, chain)) = aggregate_collision(&clusters, LINKS.min(clusters.len())) else {
        return;
    };
    let odd = backends
        .iter()
        .position(|backend| backend.cluster.contains('+'));
    let Some((index, node)) = odd.and_then(|index| Some((index, nodes.get(index)?))) else {
        return;
    };
    let chain: Vec<String> = chain.iter().map(|cluster| quote(cluster)).collect();
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
    warnings.add(
        node.offset_of(at),
        format!("backends[{index}].{at}"),
        message,
    );
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read() {
        let endpoint = |text| parse_endpoint(text).unwrap();
        let read = endpoint("https://api.example.com/openai/");
        assert!(read.tls);
        assert_eq!((read.host.as_str(), read.port), ("api.example.com", 443));
        assert_eq!(read.path, "/openai");
        let read = endpoint("http://10.0.0.7:8000");
        assert_eq!(
            (read.tls, read.host.as_str(), read.port, read.path.as_str()),
            (false, "10.0.0.7", 8000, "")
        );
        assert_eq!(endpoint("http://[::1]:80").host, "::1");
        assert_eq!(endpoint("http://[::1]").port, 80);
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in [
            "gpu:8000",
            "ftp://gpu",
            "http://",
            "http://gpu:0",
            "http://gpu:x",
            "http://g pu",
            "http://gpu/a?b",
            "https://api.example.com/v1/chat/completions",
            "https://api.example.com/v1/messages/",
        ] {
            assert!(parse_endpoint(text).is_err(), "{text}");
        }
    }
}

//! The hosts of clusters in Envoy's admin interface, each with the problem that keeps it from answering.

use std::net::SocketAddr;

use serde_json::Value;

use super::json::{list, text_of};

/// A host of a cluster, as Envoy and the network see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its cluster.
    pub cluster: String,
    /// Address and port.
    pub address: String,
    /// Why nobody can be answered there; `None` if nothing says so.
    pub problem: Option<String>,
}

/// The hosts of clusters as `/clusters?format=json` tells of them, and for those that Envoy thinks well of, what `connect`
/// says.
pub fn hosts(
    document: &Value,
    clusters: &[String],
    connect: &dyn Fn(SocketAddr) -> Option<String>,
) -> Vec<Host> {
    let mut found = Vec::new();
    for status in list(document, "/cluster_statuses") {
        let name = text_of(status, "name").unwrap_or_default();
        if !clusters.iter().any(|cluster| cluster == name) {
            continue;
        }
        for host in list(status, "/host_statuses") {
            let socket = host.pointer("/address/socket_address");
            let part = |name: &str| socket.and_then(|socket| socket.get(name));
            let (Some(ip), Some(port)) = (
                part("address").and_then(Value::as_str),
                part("port_value").and_then(Value::as_u64),
            ) else {
                continue;
            };
            let health = host.get("health_status");
            let failed = |flag: &str| {
                health
                    .and_then(|health| health.get(flag))
                    .is_some_and(|value| value == true)
            };
            let address = format!("{ip}:{port}");
            let problem = match () {
                () if failed("failed_active_health_check") => {
                    Some("its health check fails".to_owned())
                }
                () if failed("failed_outlier_check") => {
                    Some("Envoy has ejected it after failures".to_owned())
                }
                () => address.parse().ok().and_then(connect),
            };
            found.push(Host {
                cluster: name.to_owned(),
                address,
                problem,
            });
        }
    }
    found
}

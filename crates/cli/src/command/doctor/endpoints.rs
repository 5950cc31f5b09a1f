//! Checks between the filter and the backends: whether each is there, is addressed by its own name, and proves its identity;
//! and what else than backends is in reach.

use std::net::IpAddr;
use std::path::Path;

use pointsman::control::plugin::Plugin;
use pointsman::fleet::clusters::Failover;
use pointsman::fleet::{Backend, Endpoint};
use serde_json::Value;

use super::envoy_config::{EnvoyConfig, FilterInstance};
use super::finding::{Finding, error, warning};
use super::json::{list, text_of};

/// Filters that say who a client is.
const AUTHENTICATORS: [&str; 6] = [
    "jwt_authn",
    "ext_authz",
    "oauth2",
    "basic_auth",
    "api_key_auth",
    "gcp_authn",
];

/// Whether anybody who reaches the machine reaches Envoy's admin interface.
pub fn admin(envoy: &EnvoyConfig, findings: &mut Vec<Finding>) {
    let socket = envoy.admin.pointer("/address/socket_address/address");
    let Some(address) = socket.and_then(Value::as_str) else {
        return;
    };
    let is_own = address
        .parse::<IpAddr>()
        .map_or(address == "localhost", |ip| ip.is_loopback());
    if !is_own {
        findings.push(error(
            "admin",
            format!("admin interface at {address}"),
            "whoever reaches that address can end Envoy, and read its configuration and every header rule",
            "let it listen on 127.0.0.1",
        ));
    }
}

/// Everything about the backends of a filter that decides.
pub fn check_filter(filter: &FilterInstance, envoy: &EnvoyConfig, findings: &mut Vec<Finding>) {
    authentication(filter, findings);
    followed(filter, findings);
    let Some(plugin) = filter.compiled() else {
        return;
    };
    for backend in &plugin.policy.registry.backends {
        let place = filter.place(&format!("backend `{}`", backend.name));
        unwritten(backend, plugin, &place, findings);
        let clusters = envoy.cluster_values.iter();
        let mut named = clusters.filter(|item| text_of(item, "name") == Some(&backend.cluster));
        if let (Some(endpoint), Some(cluster)) = (&backend.endpoint, named.next()) {
            tls(endpoint, cluster, &place, findings);
            called(filter, endpoint, &place, findings);
        }
    }
    dead(filter, plugin, envoy, findings);
}

/// Settings that only the filter of attempts writes, if there is none.
fn unwritten(backend: &Backend, plugin: &Plugin, place: &str, findings: &mut Vec<Finding>) {
    if plugin.failover != Failover::Off {
        return;
    }
    let fix = "render the configuration with failover: `pointsman render` without `--failover off`";
    if backend.credentials.is_some() {
        let problem = "its `credentials` are put in by the filter of attempts, and there is none: it is asked without them";
        findings.push(error("credentials", place.to_owned(), problem, fix));
    }
    let path = backend
        .endpoint
        .as_ref()
        .map_or("", |item| item.path.as_str());
    if !path.is_empty() && path != "/v1" {
        let problem = format!(
            "the path `{path}` of its endpoint is put in by the filter of attempts, and there is none: it is left out"
        );
        findings.push(error("endpoint", place.to_owned(), &problem, fix));
    }
}

/// Whether a backend with TLS is reached so, and held to a certificate.
fn tls(endpoint: &Endpoint, cluster: &Value, place: &str, findings: &mut Vec<Finding>) {
    if !endpoint.tls {
        return;
    }
    let socket = cluster.pointer("/transport_socket/typed_config");
    let matched = list(cluster, "/transport_socket_matches").next();
    let Some(socket) = socket else {
        if matched.is_none() {
            let problem = "its endpoint begins with `https://` and its cluster has no TLS: what is sent there can be read on the way";
            let fix = "give the cluster a `transport_socket` with TLS, or render it";
            findings.push(error("tls", place.to_owned(), problem, fix));
        }
        return;
    };
    let common = "/common_tls_context";
    let direct = socket.pointer(&format!("{common}/validation_context"));
    let combined = socket.pointer(&format!(
        "{common}/combined_validation_context/default_validation_context"
    ));
    let discovered = [
        "validation_context_sds_secret_config",
        "combined_validation_context",
    ];
    let is_discovered = discovered
        .iter()
        .any(|name| socket.pointer(&format!("{common}/{name}")).is_some());
    let authorities = direct.or(combined).and_then(|item| item.get("trusted_ca"));
    let system = direct
        .or(combined)
        .and_then(|item| item.get("system_root_certs"));
    let file = authorities.and_then(|item| text_of(item, "filename"));
    if authorities.is_none() && system.is_none() && !is_discovered {
        findings.push(error(
            "ca",
            place.to_owned(),
            "its cluster trusts any certificate: whoever answers at that address gets prompts and keys",
            "set `trusted_ca` of its `validation_context`, and `match_typed_subject_alt_names`",
        ));
    } else if let Some(file) = file.filter(|file| !Path::new(file).exists()) {
        findings.push(error(
            "ca",
            place.to_owned(),
            &format!("`{file}`, the authorities that its certificate is held against, is not here: Envoy refuses the cluster"),
            "install the certificates (Debian: `ca-certificates`), or say where they are: `pointsman render --ca FILE`",
        ));
    }
}

/// Whether a backend that has a name is called by it.
fn called(filter: &FilterInstance, endpoint: &Endpoint, place: &str, findings: &mut Vec<Finding>) {
    if !endpoint.tls || endpoint.host.parse::<IpAddr>().is_ok() {
        return;
    }
    let name = filter.cluster_header();
    let by_header = filter
        .virtual_hosts()
        .flat_map(|host| list(host, "/routes"))
        .filter_map(|route| route.get("route"))
        .filter(|route| follows(route, name));
    let rewrites = |route: &&Value| {
        let names = [
            "auto_host_rewrite",
            "host_rewrite_literal",
            "host_rewrite_header",
        ];
        names.iter().any(|name| route.get(name).is_some())
    };
    let (mut all, mut written) = (0, 0);
    for route in by_header {
        all += 1;
        written += usize::from(rewrites(&route));
    }
    if written < all {
        findings.push(error(
            "host",
            place.to_owned(),
            "requests name the host that the client called, not the provider's: it answers 404 or 421, or as somebody else",
            "set `auto_host_rewrite: true` on the routes that go by the cluster header",
        ));
    }
}

/// Whether a route goes where the filter says.
fn follows(route: &Value, name: &str) -> bool {
    text_of(route, "cluster_header") == Some(name)
        || route.get("inline_cluster_specifier_plugin").is_some()
        || route.get("cluster_specifier_plugin").is_some()
}

/// Whether clients are known before a decision is made for them.
fn authentication(filter: &FilterInstance, findings: &mut Vec<Finding>) {
    let after = list(&filter.manager, "/http_filters").skip(filter.position + 1);
    let has_tenants = filter
        .compiled()
        .is_some_and(|plugin| plugin.policy.traffic.matchers.tenant.is_some());
    for other in after {
        let name = text_of(other, "name").unwrap_or_default();
        if !AUTHENTICATORS.iter().any(|known| name.contains(known)) {
            continue;
        }
        let place = filter.place(&format!("filter `{name}`"));
        let fix = "put it before the filter: in Envoy Gateway and Istio, insert the filter before the router";
        findings.push(match has_tenants {
            true => error(
                "order",
                place,
                "it says who a client is, but after the decision: a client can name its tenant itself",
                fix,
            ),
            false => warning(
                "order",
                place,
                "requests are read and decided before it has let them in",
                fix,
            ),
        });
    }
}

/// Whether every virtual host follows decisions: the filter makes them on all.
fn followed(filter: &FilterInstance, findings: &mut Vec<Finding>) {
    let name = filter.cluster_header();
    let routes = |host: &Value| -> Vec<Value> {
        let routes = list(host, "/routes");
        routes
            .filter_map(|route| route.get("route"))
            .cloned()
            .collect()
    };
    let hosts: Vec<(&Value, Vec<Value>)> = filter
        .virtual_hosts()
        .map(|host| (host, routes(host)))
        .collect();
    let is_followed = |routes: &[Value]| routes.iter().any(|route| follows(route, name));
    if !hosts.iter().any(|(_, routes)| is_followed(routes)) {
        // Another check covers the routes as a whole.
        return;
    }
    for (host, routes) in hosts {
        // One that answers by itself sends nothing anywhere.
        if !routes.is_empty() && !is_followed(&routes) {
            let host = text_of(host, "name").unwrap_or_default();
            findings.push(warning(
                "routes",
                filter.place(&format!("virtual host `{host}`")),
                &format!("no route of it goes by `{name}`: what is decided for its requests is not followed"),
                "give it the same routes, or keep the filter off its paths",
            ));
        }
    }
}

/// Backends at which nobody answers.
fn dead(
    filter: &FilterInstance,
    plugin: &Plugin,
    envoy: &EnvoyConfig,
    findings: &mut Vec<Finding>,
) {
    let backends = &plugin.policy.registry.backends;
    let problem_of = |backend: &Backend| {
        let hosts = envoy.hosts.iter();
        let own: Vec<_> = hosts
            .filter(|host| host.cluster == backend.cluster)
            .collect();
        let alive = own.iter().any(|host| host.problem.is_none());
        let first = own.first().filter(|_| !alive)?;
        Some((first.address.clone(), first.problem.clone()?))
    };
    let found: Vec<_> = backends
        .iter()
        .filter_map(|backend| Some((backend, problem_of(backend)?)))
        .collect();
    let all = found.len() == backends.len();
    for (backend, (address, problem)) in found {
        let place = filter.place(&format!("backend `{}`", backend.name));
        let fix = "start it, or fix `endpoint` and render the configuration again";
        let is_default = backend.cluster == plugin.policy.default_cluster;
        let hurts = all || is_default || plugin.failover == Failover::Off;
        let text = format!("nobody answers at {address}: {problem}");
        findings.push(match hurts {
            true => error("backends", place, &text, fix),
            false => warning("backends", place, &text, fix),
        });
    }
}

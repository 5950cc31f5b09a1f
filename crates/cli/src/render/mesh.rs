//! What a mesh needs: the parts of the static configuration as patches of the configuration that the mesh makes.
//!
//! Istio's `WasmPlugin` and Envoy Gateway's `EnvoyExtensionPolicy` cannot say `allow_on_headers_stop_iteration`, without which
//! requests hang; so it is an `EnvoyFilter` and an `EnvoyPatchPolicy`. Names of gateways are examples, marked CHANGE.

use pointsman::chain::Failover;
use serde_json::{Value, json};

use super::{Plan, envoy};
use crate::failure::Failure;

const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

/// The static configuration's parts, anchors resolved.
struct Parts {
    /// The filter's entry in the chain.
    filter: Value,
    /// The routes of decided requests, in order.
    routes: Vec<Value>,
    clusters: Vec<Value>,
    /// What the connection manager has beside filters and routes.
    manager: Value,
    buffer: Value,
}

fn parts(plan: &Plan<'_>) -> Result<Parts, Failure> {
    let text = envoy::render(plan)?;
    let document: Value = serde_yaml_ng::from_str(&text)
        .map_err(|error| Failure::Unmet(format!("what was rendered is no YAML: {error}")))?;
    let at = |pointer: &str| document.pointer(pointer).cloned().unwrap_or_default();
    let list = |value: Value| match value {
        Value::Array(items) => items,
        _ => Vec::new(),
    };
    let mut routes = list(at(&format!(
        "{MANAGER}/route_config/virtual_hosts/0/routes"
    )));
    // The default route is the mesh's own.
    routes.pop();
    Ok(Parts {
        filter: at(&format!("{MANAGER}/http_filters/0")),
        routes,
        clusters: list(at("/static_resources/clusters")),
        manager: json!({
            "@type": at(&format!("{MANAGER}/@type")),
            "early_header_mutation_extensions": at(&format!("{MANAGER}/early_header_mutation_extensions")),
            "local_reply_config": at(&format!("{MANAGER}/local_reply_config")),
        }),
        buffer: at("/static_resources/listeners/0/per_connection_buffer_limit_bytes"),
    })
}

/// An `EnvoyFilter` for an ingress gateway.
///
/// # Errors
/// As [`envoy::render`].
pub fn istio(plan: &Plan<'_>) -> Result<String, Failure> {
    let parts = parts(plan)?;
    let chain = json!({"filter": {"name": "envoy.filters.network.http_connection_manager"}});
    let router = json!({"filter": {
        "name": "envoy.filters.network.http_connection_manager",
        "subFilter": {"name": "envoy.filters.http.router"},
    }});
    let on = |filter: &Value| json!({"context": "GATEWAY", "listener": {"filterChain": filter}});
    let patch = |to: &str, matched: Value, operation: &str, value: &Value| json!({"applyTo": to, "match": matched, "patch": {"operation": operation, "value": value}});
    let gateway = || json!({"context": "GATEWAY"});
    let limit = json!({"per_connection_buffer_limit_bytes": parts.buffer});
    let manager = json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": parts.manager,
    });
    let mut patches = vec![
        patch("LISTENER", gateway(), "MERGE", &limit),
        patch("NETWORK_FILTER", on(&chain), "MERGE", &manager),
        patch("HTTP_FILTER", on(&router), "INSERT_BEFORE", &parts.filter),
    ];
    // Each goes before those that stand there already.
    for route in parts.routes.iter().rev() {
        patches.push(patch("HTTP_ROUTE", gateway(), "INSERT_FIRST", route));
    }
    for cluster in &parts.clusters {
        if is_known(cluster) {
            let matched = json!({"context": "GATEWAY", "cluster": {"name": cluster["name"]}});
            patches.push(patch("CLUSTER", matched, "MERGE", cluster));
        } else {
            patches.push(patch("CLUSTER", gateway(), "ADD", cluster));
        }
    }
    let document = json!({
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": "pointsman", "namespace": "istio-system"},
        "spec": {
            "workloadSelector": {"labels": {"istio": "ingressgateway"}},
            "configPatches": patches,
        },
    });
    let notes = "# For an ingress gateway of Istio 1.28 or newer. CHANGE namespace and workloadSelector to your gateway's.\n\
                 # Clusters of the mesh are named as Istio names them: \"outbound|PORT||HOST\".\n";
    text(plan, "istio", notes, &document)
}

/// An `EnvoyPatchPolicy` for a gateway of Envoy Gateway.
///
/// # Errors
/// As [`envoy::render`].
pub fn gateway(plan: &Plan<'_>) -> Result<String, Failure> {
    let document = json!({
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "EnvoyPatchPolicy",
        "metadata": {"name": "pointsman", "namespace": "default"},
        "spec": {
            "targetRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "llm"},
            "type": "JSONPatch",
            "jsonPatches": json_patches(&parts(plan)?),
        },
    });
    let notes = "# For Envoy Gateway with EnvoyPatchPolicy enabled. CHANGE `default/llm/http` to NAMESPACE/GATEWAY/LISTENER of yours,\n\
                 # and `targetRef` and namespace with it.\n";
    text(plan, "envoy-gateway", notes, &document)
}

fn json_patches(parts: &Parts) -> Vec<Value> {
    const LISTENER: &str = "default/llm/http";
    const ON_LISTENER: &str = "listener.v3.Listener";
    const ON_CLUSTER: &str = "cluster.v3.Cluster";
    const MANAGER: &str = "/default_filter_chain/filters/0/typed_config";
    let add = |kind: &str, name: &str, path: &str, value: &Value| {
        json!({
            "type": format!("type.googleapis.com/envoy.config.{kind}"),
            "name": name,
            "operation": {"op": "add", "path": path, "value": value},
        })
    };
    let on_listener = |path: &str, value: &Value| add(ON_LISTENER, LISTENER, path, value);
    let mut patches = vec![
        on_listener("/per_connection_buffer_limit_bytes", &parts.buffer),
        on_listener(&format!("{MANAGER}/http_filters/0"), &parts.filter),
    ];
    for name in ["early_header_mutation_extensions", "local_reply_config"] {
        let value = parts.manager.get(name).cloned().unwrap_or_default();
        patches.push(on_listener(&format!("{MANAGER}/{name}"), &value));
    }
    for route in parts.routes.iter().rev() {
        let kind = "route.v3.RouteConfiguration";
        patches.push(add(kind, LISTENER, "/virtual_hosts/0/routes/0", route));
    }
    for cluster in &parts.clusters {
        let name = cluster.get("name").and_then(Value::as_str);
        let name = name.unwrap_or_default();
        if !is_known(cluster) {
            patches.push(add(ON_CLUSTER, name, "", cluster));
            continue;
        }
        let fields = cluster.as_object().into_iter().flatten();
        for (field, value) in fields.filter(|(field, _)| *field != "name") {
            patches.push(add(ON_CLUSTER, name, &format!("/{field}"), value));
        }
    }
    patches
}

/// Whether the cluster is the mesh's own: nothing says where it is.
fn is_known(cluster: &Value) -> bool {
    cluster.get("load_assignment").is_none() && cluster.get("cluster_type").is_none()
}

fn text(plan: &Plan<'_>, form: &str, notes: &str, document: &Value) -> Result<String, Failure> {
    let yaml = serde_yaml_ng::to_string(document)
        .map_err(|error| Failure::Unmet(format!("cannot write YAML: {error}")))?;
    let failover = match plan.failover {
        Failover::Off => " --failover off",
        _ => "",
    };
    Ok(format!(
        "# Written by\n#\n#   pointsman render {form} {} --envoy-version {}{failover} --module {}\n#\n{notes}{yaml}",
        plan.file, plan.args.envoy_version, plan.args.module
    ))
}

//! An `EnvoyPatchPolicy` for a gateway of Envoy Gateway, and the `EnvoyProxy` that brings its proxies the module.

use serde_json::{Value, json};

use super::{MODULE, Parts, is_known, parts, text};
use crate::failure::Failure;
use crate::render::Plan;

const GROUP: &str = "gateway.envoyproxy.io/v1alpha1";

/// Both documents.
///
/// # Errors
/// As [`parts`].
pub fn render(plan: &Plan<'_>) -> Result<String, Failure> {
    let names = &plan.args.names;
    let namespace = names.namespace.as_deref().unwrap_or("default");
    let metadata = json!({"name": "pointsman", "namespace": namespace});
    let parts = parts(plan)?;
    let tags = json!({"stats_config": parts.stats_tags});
    let tags = serde_yaml_ng::to_string(&tags)
        .map_err(|error| Failure::Unmet(format!("cannot write YAML: {error}")))?;
    let mut spec = json!({"bootstrap": {"type": "Merge", "value": tags}});
    if let Some(fields) = spec.as_object_mut()
        && plan.module == MODULE
    {
        let volume = json!({"name": "pointsman", "image": {"reference": names.image, "pullPolicy": "IfNotPresent"}});
        let mount =
            json!({"name": "pointsman", "mountPath": "/var/lib/pointsman", "readOnly": true});
        let deployment = json!({
            "pod": {"volumes": [volume]},
            "container": {"volumeMounts": [mount]},
        });
        let provider = json!({"type": "Kubernetes", "kubernetes": {"envoyDeployment": deployment}});
        fields.insert("provider".to_owned(), provider);
    }
    let proxy = json!({
        "apiVersion": GROUP, "kind": "EnvoyProxy", "metadata": metadata, "spec": spec,
    });
    let policy = json!({
        "apiVersion": GROUP, "kind": "EnvoyPatchPolicy", "metadata": metadata,
        "spec": {
            "targetRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": names.gateway},
            "type": "JSONPatch",
            "jsonPatches": patches(&parts, &names.listener),
        },
    });
    let mut options = Vec::new();
    if let Some(namespace) = &names.namespace {
        options.push(("namespace", namespace.as_str()));
    }
    for (name, value, usual) in [
        ("gateway", &names.gateway, "llm"),
        ("listener", &names.listener, "tcp-80"),
        ("image", &names.image, "registry.example/pointsman:0.1.0"),
    ] {
        if value != usual {
            options.push((name, value.as_str()));
        }
    }
    let notes = "# For Envoy Gateway with `extensionApis.enableEnvoyPatchPolicy`. The Gateway names the EnvoyProxy under\n\
                 # `infrastructure.parametersRef`; the module comes as an image volume (Kubernetes 1.33 or newer).\n";
    text(plan, "envoy-gateway", &options, notes, &[proxy, policy])
}

/// Under which name Envoy Gateway keeps the routes of a listener.
fn routes_of(listener: &str) -> String {
    match listener.strip_prefix("tcp-") {
        Some(port) if port.parse::<u16>().is_ok() => format!("http-{port}"),
        _ => listener.to_owned(),
    }
}

fn patches(parts: &Parts, listener: &str) -> Vec<Value> {
    const ON_LISTENER: &str = "listener.v3.Listener";
    const ON_ROUTES: &str = "route.v3.RouteConfiguration";
    const ON_CLUSTER: &str = "cluster.v3.Cluster";
    const MANAGER: &str = "/default_filter_chain/filters/0/typed_config";
    let add = |kind: &str, name: &str, path: &str, value: &Value| {
        json!({
            "type": format!("type.googleapis.com/envoy.config.{kind}"),
            "name": name,
            "operation": {"op": "add", "path": path, "value": value},
        })
    };
    let on_listener = |path: &str, value: &Value| add(ON_LISTENER, listener, path, value);
    let mut patches = vec![
        on_listener("/per_connection_buffer_limit_bytes", &parts.buffer),
        on_listener(&format!("{MANAGER}/http_filters/0"), &parts.filter),
    ];
    let fields = parts.manager.as_object().into_iter().flatten();
    for (name, value) in fields.filter(|(name, _)| *name != "@type") {
        patches.push(on_listener(&format!("{MANAGER}/{name}"), value));
    }
    let routes = routes_of(listener);
    let on_routes = |path: &str, value: &Value| add(ON_ROUTES, &routes, path, value);
    for (name, value) in parts.host.as_object().into_iter().flatten() {
        patches.push(on_routes(&format!("/virtual_hosts/0/{name}"), value));
    }
    for route in parts.routes.iter().rev() {
        patches.push(on_routes("/virtual_hosts/0/routes/0", route));
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

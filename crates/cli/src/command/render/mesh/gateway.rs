//! An `EnvoyPatchPolicy` for a gateway of Envoy Gateway, and the `EnvoyProxy` that brings its proxies the module.

use serde_json::{Value, json};

use super::{MODULE, Names, Parts, is_known, parts, text};
use crate::command::render::Plan;
use crate::failure::Failure;

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
        .map_err(|error| Failure::Failed(format!("cannot write YAML: {error}")))?;
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
            "jsonPatches": patches(&parts, &names.listener, names.virtual_host.as_deref()),
        },
    });
    let options = options(names)?;
    let notes = "# For Envoy Gateway 1.2 or newer with `extensionApis.enableEnvoyPatchPolicy`. The Gateway names the EnvoyProxy under\n\
                 # `infrastructure.parametersRef`; the module comes as an image volume (Kubernetes 1.33 or newer).\n";
    text(plan, "envoy-gateway", &options, notes, &[proxy, policy])
}

/// The options of the command line that are not the usual ones.
fn options(names: &Names) -> Result<Vec<(&str, &str)>, Failure> {
    if let Some(host) = names
        .virtual_host
        .as_deref()
        .filter(|host| host.contains('\''))
    {
        return Err(Failure::Input(format!(
            "`{host}` is not the name of a virtual host"
        )));
    }
    let mut options = Vec::new();
    for (name, given) in [
        ("namespace", &names.namespace),
        ("virtual-host", &names.virtual_host),
    ] {
        if let Some(given) = given {
            options.push((name, given.as_str()));
        }
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
    Ok(options)
}

/// Under which name Envoy Gateway keeps the routes of a listener.
fn routes_of(listener: &str) -> String {
    match listener.strip_prefix("tcp-") {
        Some(port) if port.parse::<u16>().is_ok() => format!("http-{port}"),
        _ => listener.to_owned(),
    }
}

/// Every connection manager of a listener, with TLS or without.
const MANAGERS: &str = "$..filters[?(@.name == 'envoy.filters.network.http_connection_manager')]";
/// The place of its router: filters that are added there go before it, behind whatever authenticates clients.
const ROUTERS: &str = "$..http_filters[?(@.name == 'envoy.filters.http.router')]";

fn patches(parts: &Parts, listener: &str, host: Option<&str>) -> Vec<Value> {
    const ON_LISTENER: &str = "listener.v3.Listener";
    const ON_ROUTES: &str = "route.v3.RouteConfiguration";
    let add_at = |places: &str, path: &str, value: &Value| {
        let mut operation = json!({"op": "add", "jsonPath": places, "value": value});
        if let (false, Some(fields)) = (path.is_empty(), operation.as_object_mut()) {
            fields.insert("path".to_owned(), path.into());
        }
        operation
    };
    let on_listener = |operation| patch(ON_LISTENER, listener, operation);
    let mut patches = vec![on_listener(add(
        "/per_connection_buffer_limit_bytes",
        &parts.buffer,
    ))];
    // In the order in which requests meet them.
    for filter in parts
        .before
        .iter()
        .chain([&parts.filter])
        .chain(&parts.after)
    {
        patches.push(on_listener(add_at(ROUTERS, "", filter)));
    }
    let fields = parts.manager.as_object().into_iter().flatten();
    for (name, value) in fields.filter(|(name, _)| *name != "@type") {
        let path = format!("/typed_config/{name}");
        patches.push(on_listener(add_at(MANAGERS, &path, value)));
    }
    let hosts = match host {
        Some(name) => format!("$.virtual_hosts[?(@.name == '{name}')]"),
        None => "$.virtual_hosts[*]".to_owned(),
    };
    let routes = routes_of(listener);
    let on_routes =
        |path: &str, value: &Value| patch(ON_ROUTES, &routes, add_at(&hosts, path, value));
    for (name, value) in parts.host.as_object().into_iter().flatten() {
        patches.push(on_routes(&format!("/{name}"), value));
    }
    for route in parts.routes.iter().rev() {
        patches.push(on_routes("/routes/0", route));
    }
    patches.extend(on_clusters(&parts.clusters));
    patches
}

fn patch(kind: &str, name: &str, operation: Value) -> Value {
    json!({
        "type": format!("type.googleapis.com/envoy.config.{kind}"),
        "name": name,
        "operation": operation,
    })
}

fn add(path: &str, value: &Value) -> Value {
    json!({"op": "add", "path": path, "value": value})
}

/// Clusters of ours as they are, and what is added to those that the mesh has.
fn on_clusters(clusters: &[Value]) -> Vec<Value> {
    const ON_CLUSTER: &str = "cluster.v3.Cluster";
    let mut patches = Vec::new();
    for cluster in clusters {
        let name = cluster.get("name").and_then(Value::as_str);
        let name = name.unwrap_or_default();
        if !is_known(cluster) {
            patches.push(patch(ON_CLUSTER, name, add("", cluster)));
            continue;
        }
        let fields = cluster.as_object().into_iter().flatten();
        for (field, value) in fields.filter(|(field, _)| *field != "name") {
            patches.push(patch(ON_CLUSTER, name, add(&format!("/{field}"), value)));
        }
    }
    patches
}

//! An `EnvoyFilter` of Istio: for an ingress gateway, or for the sidecars of the applications that ask.

use serde_json::{Map, Value, json};

use super::{Context, Parts, is_known, parts, text};
use crate::command::render::Plan;
use crate::failure::Failure;

const HTTP_MANAGER: &str = "envoy.filters.network.http_connection_manager";
const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";

/// The patched proxies, with their listeners and virtual hosts.
struct Scope<'a> {
    context: &'static str,
    virtual_host: Option<&'a str>,
    /// The listener's port; sidecars have one listener for each.
    port: Option<u64>,
}

/// The `EnvoyFilter`.
///
/// # Errors
/// As [`parts`], and [`Failure::Input`] if no argument names what sidecars are to route.
pub fn render(plan: &Plan<'_>) -> Result<String, Failure> {
    let names = &plan.args.names;
    let virtual_host = names.virtual_host.as_deref();
    let port = virtual_host
        .and_then(|name| name.rsplit_once(':'))
        .and_then(|(_, port)| port.parse().ok());
    let is_sidecar = names.context == Context::Sidecar;
    if port.is_none() && (virtual_host.is_some() || is_sidecar) {
        return Err(Failure::Input(
            "say by `--virtual-host`, such as `llm.llm.svc.cluster.local:8090`, which host is routed"
                .into(),
        ));
    }
    let scope = Scope {
        context: if is_sidecar {
            "SIDECAR_OUTBOUND"
        } else {
            "GATEWAY"
        },
        virtual_host,
        port: port.filter(|_| is_sidecar),
    };
    let usual = if is_sidecar {
        ("default", "app=client")
    } else {
        ("istio-system", "istio=ingressgateway")
    };
    let namespace = names.namespace.as_deref().unwrap_or(usual.0);
    let selector = names.selector.as_deref().unwrap_or(usual.1);
    let Some((label, value)) = selector.split_once('=') else {
        let problem = format!("`{selector}` is not a label, such as `istio=ingressgateway`");
        return Err(Failure::Input(problem));
    };
    let document = json!({
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": "pointsman", "namespace": namespace},
        "spec": {
            "workloadSelector": {"labels": {label: value}},
            "configPatches": patches(&parts(plan)?, &scope, &plan.module),
        },
    });
    let mut options = Vec::new();
    if is_sidecar {
        options.push(("context", "sidecar"));
    }
    for (name, given) in [
        ("namespace", &names.namespace),
        ("selector", &names.selector),
        ("virtual-host", &names.virtual_host),
    ] {
        if let Some(given) = given {
            options.push((name, given.as_str()));
        }
    }
    let notes = "# For Istio 1.28 or newer. Clusters of the mesh have Istio's names: \"outbound|PORT||HOST\".\n\
                 # The stats tags are part of the bootstrap: proxies have them after their next start.\n";
    text(plan, "istio", &options, notes, &[document])
}

impl Scope<'_> {
    fn matched(&self, more: Value) -> Value {
        let mut matched = json!({"context": self.context});
        if let (Some(members), Value::Object(more)) = (matched.as_object_mut(), more) {
            members.extend(more);
        }
        matched
    }

    /// A listener, or a filter in it.
    fn listener(&self, chain: Value) -> Value {
        let mut listener = Map::new();
        if let Some(port) = self.port {
            listener.insert("portNumber".to_owned(), port.into());
        }
        if !chain.is_null() {
            listener.insert("filterChain".to_owned(), json!({"filter": chain}));
        }
        if listener.is_empty() {
            self.matched(json!({}))
        } else {
            self.matched(json!({"listener": listener}))
        }
    }

    /// The virtual host.
    fn host(&self) -> Value {
        match self.virtual_host {
            Some(name) => self.matched(json!({"routeConfiguration": {"vhost": {"name": name}}})),
            None => self.matched(json!({})),
        }
    }
}

fn patch(to: &str, matched: Value, operation: &str, value: &Value) -> Value {
    json!({"applyTo": to, "match": matched, "patch": {"operation": operation, "value": value}})
}

fn patches(parts: &Parts, scope: &Scope<'_>, module: &str) -> Vec<Value> {
    let chain = json!({"name": HTTP_MANAGER});
    let router = json!({"name": HTTP_MANAGER, "subFilter": {"name": "envoy.filters.http.router"}});
    let limit = json!({"per_connection_buffer_limit_bytes": parts.buffer});
    let manager = json!({"name": HTTP_MANAGER, "typed_config": parts.manager});
    let (filter, resource) = filter(&parts.filter, module);
    let mut patches = vec![
        patch("LISTENER", scope.listener(Value::Null), "MERGE", &limit),
        patch("NETWORK_FILTER", scope.listener(chain), "MERGE", &manager),
    ];
    // In the order in which requests meet them.
    for filter in parts.before.iter().chain([&filter]).chain(&parts.after) {
        let place = scope.listener(router.clone());
        patches.push(patch("HTTP_FILTER", place, "INSERT_BEFORE", filter));
    }
    patches.push(patch("VIRTUAL_HOST", scope.host(), "MERGE", &parts.host));
    if let Some(resource) = resource {
        patches.push(patch(
            "EXTENSION_CONFIG",
            scope.matched(json!({})),
            "ADD",
            &resource,
        ));
    }
    // Each goes before those that stand there already.
    for route in parts.routes.iter().rev() {
        patches.push(patch("HTTP_ROUTE", scope.host(), "INSERT_FIRST", route));
    }
    for cluster in &parts.clusters {
        if !is_known(cluster) {
            patches.push(patch("CLUSTER", scope.matched(json!({})), "ADD", cluster));
        } else if cluster.as_object().is_some_and(|fields| fields.len() > 1) {
            let matched = scope.matched(json!({"cluster": {"name": cluster["name"]}}));
            patches.push(patch("CLUSTER", matched, "MERGE", cluster));
        }
    }
    let tags = json!({"stats_config": parts.stats_tags});
    patches.push(patch(
        "BOOTSTRAP",
        json!({"context": "ANY"}),
        "MERGE",
        &tags,
    ));
    patches
}

/// The filter as it stands in the chain, and the resource that it is found by where Istio fetches the module: its agent
/// does so for extension configurations alone.
fn filter(filter: &Value, module: &str) -> (Value, Option<Value>) {
    if !module.contains("://") {
        return (filter.clone(), None);
    }
    let mut resource = filter.clone();
    if let Some(vm) = resource.pointer_mut("/typed_config/config/vm_config") {
        // The agent puts a file in place of it; Envoy itself never asks the cluster.
        vm["code"] =
            json!({"remote": {"http_uri": {"uri": module, "cluster": "_", "timeout": "30s"}}});
    }
    let discovered = json!({
        "name": filter["name"],
        "config_discovery": {
            "config_source": {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"},
            "type_urls": [WASM],
        },
    });
    (discovered, Some(resource))
}

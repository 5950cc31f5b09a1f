//! Configuration for a mesh: the parts of the static configuration as patches of the configuration that the mesh makes.
//!
//! Istio's `WasmPlugin` and Envoy Gateway's `EnvoyExtensionPolicy` cannot say `allow_on_headers_stop_iteration`, without which
//! requests hang; so it is an `EnvoyFilter` and an `EnvoyPatchPolicy`.

mod gateway;
mod istio;

pub use gateway::render as gateway;
pub use istio::render as istio;

use pointsman::fleet::clusters::Failover;
use serde_json::Value;

use super::{Form, Plan, envoy, otlp};
use crate::failure::Failure;

const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

/// Arguments of `pointsman render istio` and `envoy-gateway`: names of the mesh.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "For Istio and Envoy Gateway")]
pub struct Names {
    /// Which proxies of Istio
    #[arg(long, value_enum, default_value = "gateway")]
    context: Context,
    /// Where the patch belongs [default: istio-system for a gateway of Istio, else default]
    #[arg(long)]
    namespace: Option<String>,
    /// The label of the pods that Istio patches [default: istio=ingressgateway for a gateway, app=client for sidecars]
    #[arg(long, value_name = "LABEL=VALUE")]
    selector: Option<String>,
    /// The virtual host that is routed, as the mesh names it; all of a gateway if it is not given
    #[arg(long, value_name = "HOST:PORT")]
    virtual_host: Option<String>,
    /// The `Gateway` that Envoy Gateway patches
    #[arg(long, value_name = "NAME", default_value = "llm")]
    gateway: String,
    /// Its listener as Envoy Gateway names it: `tcp-PORT` since 1.10, `NAMESPACE/GATEWAY/LISTENER` before
    #[arg(long, value_name = "NAME", default_value = "tcp-80")]
    listener: String,
    /// The image with the module that Envoy Gateway's proxies mount
    #[arg(
        long,
        value_name = "IMAGE",
        default_value = "registry.example/pointsman:0.1.0"
    )]
    image: String,
}

/// Which proxies of Istio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Context {
    /// An ingress gateway: for clients from outside
    Gateway,
    /// The sidecars of the applications that ask: for their outbound requests
    Sidecar,
}

/// Our patches of the mesh's connection managers.
const OF_MANAGER: [&str; 6] = [
    "@type",
    "early_header_mutation_extensions",
    "local_reply_config",
    "normalize_path",
    "merge_slashes",
    "path_with_escaped_slashes_action",
];
/// Our patches of its virtual hosts.
const OF_HOST: [&str; 4] = [
    "request_body_buffer_limit",
    "include_attempt_count_in_response",
    "request_headers_to_remove",
    "response_headers_to_remove",
];

/// The module's default path for Envoy.
pub const MODULE: &str = "/var/lib/pointsman/plugin.wasm";

/// The static configuration's parts, anchors resolved.
struct Parts {
    /// The filter's entry in the chain.
    filter: Value,
    /// Those that go before it: they read compressed bodies, and carry over what spans need.
    before: Vec<Value>,
    /// Those that go behind it.
    after: Vec<Value>,
    /// The routes of decided requests, in order.
    routes: Vec<Value>,
    clusters: Vec<Value>,
    /// Members of the connection manager other than filters and routes.
    manager: Value,
    /// Members of the virtual host other than routes.
    host: Value,
    stats_tags: Value,
    buffer: Value,
}

/// Whether the mesh can bring the module.
fn check_module(plan: &Plan<'_>) -> Result<(), Failure> {
    if plan.module.contains("://")
        && (plan.args.form != Form::Istio || plan.failover != Failover::Off)
    {
        return Err(Failure::Input(format!(
            "`{}` is not a file: only Istio fetches a module, and only with `--failover off`",
            plan.module
        )));
    }
    Ok(())
}

/// The parts that belong into the configuration that the mesh makes.
///
/// # Errors
/// As [`envoy::render`], and [`Failure::Input`] for a module that the mesh cannot bring.
fn parts(plan: &Plan<'_>) -> Result<Parts, Failure> {
    check_module(plan)?;
    let text = envoy::render(plan)?;
    let document: Value = serde_yaml_ng::from_str(&text)
        .map_err(|error| Failure::Failed(format!("the rendered text is not YAML: {error}")))?;
    let at = |pointer: &str| document.pointer(pointer).cloned().unwrap_or_default();
    let list = |value: Value| match value {
        Value::Array(items) => items,
        _ => Vec::new(),
    };
    let of_manager = |name: &str| at(&format!("{MANAGER}/{name}"));
    let host = "route_config/virtual_hosts/0";
    let mut routes = list(of_manager(&format!("{host}/routes")));
    // The default route is the mesh's own.
    routes.pop();
    for route in &mut routes {
        // An endpoint that was found by its name is called by that name, as outside providers insist.
        if let Some(action) = route.get_mut("route").and_then(Value::as_object_mut) {
            action.insert("auto_host_rewrite".to_owned(), true.into());
        }
    }
    let picked = |below: &str, names: &[&str]| -> Value {
        let of_one = |name: &&str| ((*name).to_owned(), of_manager(&format!("{below}{name}")));
        Value::Object(names.iter().map(of_one).collect())
    };
    let mut manager = picked("", &OF_MANAGER);
    if let Some(fields) = manager.as_object_mut()
        && plan.args.otlp.is_some()
    {
        fields.extend(telemetry(&at(MANAGER)));
    }
    let filters = list(of_manager("http_filters"));
    let (before, rest) = split(&filters, "pointsman");
    let (filter, after) = match rest {
        [filter, after @ .., _router] => (filter.clone(), after.to_vec()),
        _ => (Value::Null, Vec::new()),
    };
    let of_host = picked(&format!("{host}/"), &OF_HOST);
    Ok(Parts {
        filter,
        before: before.to_vec(),
        after,
        routes,
        clusters: list(at("/static_resources/clusters")),
        manager,
        host: of_host,
        stats_tags: at("/stats_config"),
        buffer: at("/static_resources/listeners/0/per_connection_buffer_limit_bytes"),
    })
}

/// The position of the filter of this name.
fn split<'f>(filters: &'f [Value], name: &str) -> (&'f [Value], &'f [Value]) {
    let is_named = |filter: &Value| filter.get("name").is_some_and(|found| found == name);
    let at = filters.iter().position(is_named).unwrap_or(filters.len());
    filters.split_at(at)
}

/// The parts of a connection manager that report requests to a collector: tracing, and the one log that the mesh lacks.
fn telemetry(manager: &Value) -> [(String, Value); 2] {
    let logs = manager.get("access_log").and_then(Value::as_array);
    let logs = logs.into_iter().flatten();
    let ours = logs.filter(|log| log.get("name").is_some_and(|name| name == otlp::LOG));
    let tracing = manager.get("tracing").cloned().unwrap_or_default();
    [
        ("access_log".to_owned(), ours.cloned().collect()),
        ("tracing".to_owned(), tracing),
    ]
}

/// Whether the cluster is the mesh's own: nothing says where it is.
fn is_known(cluster: &Value) -> bool {
    cluster.get("load_assignment").is_none() && cluster.get("cluster_type").is_none()
}

/// The documents under the command that writes them; `options` are those of the mesh.
fn text(
    plan: &Plan<'_>,
    form: &str,
    options: &[(&str, &str)],
    notes: &str,
    documents: &[Value],
) -> Result<String, Failure> {
    let mut out = format!("# Written by\n#\n#   pointsman render {form} {}", plan.file);
    let version = ("envoy-version", plan.args.envoy_version.as_str());
    let module = ("module", plan.module.as_str());
    let usual = [("envoy-version", "1.36"), ("module", MODULE)];
    for (name, value) in [version, module].iter().chain(options) {
        if !usual.contains(&(*name, *value)) {
            out.push_str(&format!(" --{name} {value}"));
        }
    }
    if plan.failover == Failover::Off {
        out.push_str(" --failover off");
    }
    if plan.args.keep_client_address {
        out.push_str(" --keep-client-address");
    }
    if let Some(url) = &plan.args.policy_source {
        out.push_str(&format!(" --policy-source {url}"));
    }
    for key in &plan.args.public_keys {
        out.push_str(&format!(" --public-key {key}"));
    }
    for name in &plan.args.receipt_keys {
        out.push_str(&format!(" --receipt-key {name}"));
    }
    out.push_str(&otlp::options(plan));
    out.push_str("\n#\n");
    out.push_str(notes);
    for document in documents {
        let yaml = serde_yaml_ng::to_string(document)
            .map_err(|error| Failure::Failed(format!("cannot write YAML: {error}")))?;
        if documents.len() > 1 {
            out.push_str("---\n");
        }
        out.push_str(&yaml);
    }
    Ok(out)
}

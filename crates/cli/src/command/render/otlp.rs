//! OpenTelemetry: a log record and a span of each request, both with the attributes of `gen_ai.*` and ours.
//!
//! From Envoy 1.37 on a span's tags can be what the filter has set (filter state); on 1.36 only what stands in the request's
//! metadata, which wasm cannot write: a Lua filter carries it over.
//!
//! Both by OTLP over gRPC, to a collector in the cluster that is written with them. Prompts are in neither, and the path
//! without its query, in which clients may put keys.

use std::net::IpAddr;

use pointsman::telemetry::state;

use super::text::{address, scalar};
use super::{AccessLog, Form, Plan};
use crate::failure::Failure;

/// The cluster's name.
const CLUSTER: &str = "pointsman-otlp";
/// The name of the access log.
pub const LOG: &str = "envoy.access_loggers.open_telemetry";
/// The name of [`filter`].
pub const FILTER: &str = "pointsman-spans";
/// The namespace of metadata that tags are taken from.
const METADATA: &str = "pointsman";
/// The first Envoy that can put what a filter knows into a span's tags.
const TAGS_SINCE: (u32, u32) = (1, 37);

/// Attributes of a log record that Envoy knows itself.
const OF_ENVOY: [(&str, &str); 8] = [
    ("http.request.method", "REQ(:METHOD)"),
    ("url.path", "PATH(NQ)"),
    ("http.response.status_code", "RESPONSE_CODE"),
    ("envoy.response_code_details", "RESPONSE_CODE_DETAILS"),
    ("envoy.response_flags", "RESPONSE_FLAGS"),
    ("envoy.duration_ms", "DURATION"),
    ("envoy.upstream_cluster", "UPSTREAM_CLUSTER"),
    ("envoy.attempts", "UPSTREAM_REQUEST_ATTEMPT_COUNT"),
];

/// The arguments of what is reported of requests, where they are not the usual ones.
pub fn options(plan: &Plan<'_>) -> String {
    let mut options = String::new();
    if plan.args.access_log == AccessLog::None {
        options.push_str(" --access-log none");
    }
    if let Some(collector) = &plan.args.otlp {
        options.push_str(&format!(" --otlp {collector}"));
    }
    options
}

/// The access log as a YAML list item; nothing without `--otlp`.
pub fn log(plan: &Plan<'_>) -> String {
    if plan.args.otlp.is_none() {
        return String::new();
    }
    let mut out = format!(
        "# The access log by OTLP: one log record for each request.\n\
         - name: {LOG}\n  \
         typed_config:\n    \
         \"@type\": type.googleapis.com/envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig\n    \
         common_config:\n      \
         log_name: pointsman\n      \
         transport_api_version: V3\n      \
         grpc_service: {{envoy_grpc: {{cluster_name: {CLUSTER}}}, timeout: 2s}}\n    \
         body: {{string_value: \"%REQ(:METHOD)% %PATH(NQ)% %RESPONSE_CODE%\"}}\n    \
         attributes:\n      \
         values:\n"
    );
    let ours = state::ALL.iter().map(|(key, _)| (*key, filter_state(key)));
    let all = OF_ENVOY
        .iter()
        .map(|(key, command)| (*key, format!("%{command}%")))
        .chain(ours);
    for (key, value) in all {
        // The conventions want a list; Envoy knows texts, lists and objects of texts, and no numbers.
        let value = match key == state::FINISH_REASONS {
            true => format!("array_value: {{values: [{{string_value: \"{value}\"}}]}}"),
            false => format!("string_value: \"{value}\""),
        };
        out.push_str(&format!("      - {{key: {key}, value: {{{value}}}}}\n"));
    }
    out
}

/// The tracing of the connection manager; nothing without `--otlp`.
pub fn tracing(plan: &Plan<'_>) -> String {
    if plan.args.otlp.is_none() {
        return String::new();
    }
    // Envoy's own `http.url` has the query, in which clients may put keys.
    let url = ("http.url", "%PATH(NQ)%".to_owned());
    let ours = state::ALL.iter().map(|(key, _)| (*key, filter_state(key)));
    let mut tags = String::new();
    for (key, command) in std::iter::once(url).chain(ours) {
        let value = match fills_tags(plan) {
            true => format!("value: \"{command}\""),
            false => format!(
                "metadata: {{kind: {{request: {{}}}}, metadata_key: {{key: {METADATA}, path: [{{key: {key}}}]}}}}"
            ),
        };
        tags.push_str(&format!("  - {{tag: {key}, {value}}}\n"));
    }
    format!(
        "# One span for each request, in the client's trace if there is one; `random_sampling` makes fewer.\n\
         tracing:\n  \
         provider:\n    \
         name: envoy.tracers.opentelemetry\n    \
         typed_config:\n      \
         \"@type\": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig\n      \
         service_name: pointsman\n      \
         grpc_service: {{envoy_grpc: {{cluster_name: {CLUSTER}}}, timeout: 2s}}\n  \
         random_sampling: {{value: 100}}\n  \
         custom_tags:\n{tags}"
    )
}

/// The filter that fills the tags if Envoy cannot, as a YAML list item; nothing without `--otlp`.
///
/// The filter goes before the module, so that it sees answers after the module; an answer's usage is known once its last piece came.
pub fn filter(plan: &Plan<'_>) -> String {
    if plan.args.otlp.is_none() || fills_tags(plan) {
        return String::new();
    }
    let keys: String = state::ALL
        .iter()
        .map(|(key, _)| format!("          \"{key}\",\n"))
        .collect();
    format!(
        "# Spans of Envoy 1.36 show metadata, but not a filter's values: this copies them, without holding anything back.\n\
         # Newer versions do not need it: see `--envoy-version`.\n\
         - name: {FILTER}\n  \
         typed_config:\n    \
         \"@type\": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua\n    \
         default_source_code:\n      \
         inline_string: |\n        \
         local keys = {{\n{keys}        }}\n        \
         local function tell(handle)\n          \
         local info = handle:streamInfo()\n          \
         for _, key in ipairs(keys) do\n            \
         local value = info:filterState():get(\"wasm.\" .. key)\n            \
         if value then info:dynamicMetadata():set(\"{METADATA}\", key, value) end\n          \
         end\n        \
         end\n        \
         function envoy_on_request(handle)\n          \
         local path = handle:headers():get(\":path\") or \"\"\n          \
         handle:streamInfo():dynamicMetadata():set(\"{METADATA}\", \"http.url\", (path:gsub(\"[?#].*\", \"\")))\n        \
         end\n        \
         function envoy_on_response(handle)\n          \
         tell(handle)\n          \
         for _ in handle:bodyChunks() do end\n          \
         tell(handle)\n        \
         end\n"
    )
}

/// Whether a span's tags can be what a filter has set.
fn fills_tags(plan: &Plan<'_>) -> bool {
    plan.version >= TAGS_SINCE
}

/// The collector's cluster as a YAML list item; nothing without `--otlp`.
///
/// # Errors
/// [`Failure::Input`] if the collector is not an address, or Envoy Gateway is rendered for: its patches replace lists as a
/// whole, the gateway's own access logs among them.
pub fn cluster(plan: &Plan<'_>) -> Result<String, Failure> {
    let Some(collector) = &plan.args.otlp else {
        return Ok(String::new());
    };
    if plan.args.form == Form::EnvoyGateway {
        return Err(Failure::Input(
            "`--otlp` is for `render envoy` and `istio`: Envoy Gateway takes telemetry from its `EnvoyProxy` alone".into(),
        ));
    }
    let parts = collector.rsplit_once(':');
    let parts = parts.and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let Some((host, port)) = parts.filter(|(host, _)| !host.is_empty()) else {
        return Err(Failure::Input(format!(
            "`{collector}` is not an address of a collector, such as `127.0.0.1:4317`"
        )));
    };
    let kind = match host.parse::<IpAddr>() {
        Ok(_) => "STATIC",
        Err(_) => "STRICT_DNS",
    };
    let (name, host) = (scalar(CLUSTER), address(host));
    Ok(format!(
        "# The OpenTelemetry collector. It is not a backend, and no policy can send requests there.\n\
         - name: {name}\n  type: {kind}\n  connect_timeout: 1s\n  \
         typed_extension_protocol_options:\n    \
         envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n      \
         \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n      \
         explicit_http_config: {{http2_protocol_options: {{}}}}\n  \
         load_assignment:\n    cluster_name: {name}\n    \
         endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: {host}, port_value: {port}}}}}}}}}]}}]\n"
    ))
}

fn filter_state(key: &str) -> String {
    format!("%FILTER_STATE(wasm.{key}:PLAIN)%")
}

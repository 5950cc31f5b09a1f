//! What OpenTelemetry gets: a log record of each request with the attributes of `gen_ai.*` and ours, and a span with what was
//! decided. Envoy ends the span before the filter has the last word, so that what an answer took is in the log record alone.
//!
//! Both by OTLP over gRPC, to a collector in the cluster that is written with them. Prompts are in neither, and the path
//! without its query, where clients may put keys.

use std::net::IpAddr;

use pointsman::telemetry::state;

use super::text::{address, scalar};
use super::{Form, Plan};
use crate::failure::Failure;

/// The cluster's name.
const CLUSTER: &str = "pointsman-otlp";
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

/// The access log as a YAML list item; nothing without `--otlp`.
pub fn log(plan: &Plan<'_>) -> String {
    if plan.args.otlp.is_none() {
        return String::new();
    }
    let mut out = format!(
        "# The same by OTLP: one log record of each request.\n\
         - name: envoy.access_loggers.open_telemetry\n  \
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
        out.push_str(&format!(
            "      - {{key: {key}, value: {{string_value: \"{value}\"}}}}\n"
        ));
    }
    out
}

/// The tracing of the connection manager; nothing without `--otlp`.
pub fn tracing(plan: &Plan<'_>) -> String {
    if plan.args.otlp.is_none() {
        return String::new();
    }
    let mut tags = String::new();
    // Envoy's own `http.url` has the query, where clients may put keys.
    let url = match plan.version >= TAGS_SINCE {
        true => "value: \"%PATH(NQ)%\"",
        false => "literal: {value: \"-\"}",
    };
    tags.push_str(&format!("  - {{tag: http.url, {url}}}\n"));
    if plan.version >= TAGS_SINCE {
        for key in state::DECIDED {
            tags.push_str(&format!(
                "  - {{tag: {key}, value: \"{}\"}}\n",
                filter_state(key)
            ));
        }
    }
    format!(
        "# One span of each request, those of the client's trace as it says; fewer by `random_sampling`.\n\
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

/// The collector's cluster as a YAML list item; nothing without `--otlp`.
///
/// # Errors
/// [`Failure::Input`] where the collector is no address, or a mesh is rendered for.
pub fn cluster(plan: &Plan<'_>) -> Result<String, Failure> {
    let Some(collector) = &plan.args.otlp else {
        return Ok(String::new());
    };
    if plan.args.form != Form::Envoy {
        return Err(Failure::Input(
            "`--otlp` is for `render envoy`: a mesh has telemetry of its own".into(),
        ));
    }
    let parts = collector.rsplit_once(':');
    let parts = parts.and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let Some((host, port)) = parts.filter(|(host, _)| !host.is_empty()) else {
        return Err(Failure::Input(format!(
            "`{collector}` is no address of a collector, such as `127.0.0.1:4317`"
        )));
    };
    let kind = match host.parse::<IpAddr>() {
        Ok(_) => "STATIC",
        Err(_) => "STRICT_DNS",
    };
    let (name, host) = (scalar(CLUSTER), address(host));
    Ok(format!(
        "# The OpenTelemetry collector: no backend, and no policy can send requests there.\n\
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

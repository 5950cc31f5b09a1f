//! The complete static configuration, from a template whose other parts are the same for every policy.

use pointsman::fleet::clusters::Failover;
use pointsman::telemetry::{STATS_TAGS, state};

use super::text::{address, fill};
use super::vm::{failover_members, receipt_members, state_members, vm};
use super::{AccessLog, Plan, clusters, otlp, routes, source};
use crate::failure::Failure;

const TEMPLATE: &str = include_str!("envoy.yaml");
const ACCESS_LOG: &str = include_str!("access_log.yaml");

/// The whole file.
pub fn render(plan: &Plan<'_>) -> Result<String, Failure> {
    let Some((host, port)) = plan.args.listen.rsplit_once(':') else {
        return Err(Failure::Input(format!(
            "`{}` is not an address, such as `127.0.0.1:10000`",
            plan.args.listen
        )));
    };
    let port: u16 = port
        .parse()
        .map_err(|_| Failure::Input(format!("`{}` has no port", plan.args.listen)))?;
    Ok(fill(
        TEMPLATE,
        &[
            ("head", &head(plan)),
            ("admin_port", &plan.args.admin_port.to_string()),
            ("listen_host", &address(host)),
            ("listen_port", &port.to_string()),
            ("stats_tags", &stats_tags()),
            ("access_log", &access_log(plan)),
            ("tracing", &otlp::tracing(plan)),
            ("span_filter", &otlp::filter(plan)),
            ("routes", &routes::render(plan)),
            ("removed_headers", &routes::removed_headers(plan)),
            ("forged_headers", &routes::forged_headers()),
            ("timers", &timers(plan)),
            ("decompressors", &decompressors()),
            ("vm", &vm(plan)),
            ("failover_members", &failover_members(plan.failover)),
            ("policy_source", &source::members(plan)?),
            ("receipt_keys", &receipt_members(plan)),
            ("filter_state", state_members(plan)),
            ("policy", &plan.source),
            ("clusters", &clusters::render(plan)?),
        ],
    ))
}

fn head(plan: &Plan<'_>) -> String {
    let mut options = String::new();
    for (name, value, usual) in [
        ("envoy-version", plan.args.envoy_version.as_str(), "1.36"),
        ("module", plan.module.as_str(), super::MODULE),
        ("listen", plan.args.listen.as_str(), "127.0.0.1:10000"),
    ] {
        if value != usual {
            options.push_str(&format!(" --{name} {value}"));
        }
    }
    if plan.failover == Failover::Off {
        options.push_str(" --failover off");
    }
    if plan.args.keep_client_address {
        options.push_str(" --keep-client-address");
    }
    if let Some(url) = &plan.args.policy_source {
        options.push_str(&format!(" --policy-source {url}"));
    }
    for key in &plan.args.public_keys {
        options.push_str(&format!(" --public-key {key}"));
    }
    for name in &plan.args.receipt_keys {
        options.push_str(&format!(" --receipt-key {name}"));
    }
    options.push_str(&otlp::options(plan));
    let (major, minor) = plan.version;
    format!(
        "# Pointsman in an Envoy of your own: a complete static configuration. Envoy {major}.{minor} to 1.40, the official binaries.\n\
         # Written by\n\
         #\n\
         #   pointsman render envoy {}{options}\n\
         #\n\
         # Change the policy, the clusters and the ports. Leave everything marked KEEP: without it requests hang,\n\
         # clients choose the cluster themselves, or a fault of the router becomes an outage. The tests run such files with other\n\
         # ports and other endpoints.",
        plan.file
    )
}

pub fn stats_tags() -> String {
    STATS_TAGS
        .iter()
        .map(|(name, regex)| format!("- {{tag_name: {name}, regex: '{regex}'}}\n"))
        .collect()
}

/// The access logs; nothing if there are none.
fn access_log(plan: &Plan<'_>) -> String {
    let own = match plan.args.access_log {
        AccessLog::Json => fill(ACCESS_LOG, &[("states", &states())]),
        AccessLog::None => String::new(),
    };
    let all = own + &otlp::log(plan);
    match all.is_empty() {
        true => all,
        false => format!("access_log:\n{all}"),
    }
}

/// The access log's fields that the filter sets.
pub fn states() -> String {
    state::ALL
        .iter()
        .map(|(key, _)| {
            let name = key.trim_start_matches("pointsman.");
            format!("{name}: \"%FILTER_STATE(wasm.{key}:PLAIN)%\"\n")
        })
        .collect()
}

/// How bodies may be compressed, as `content-encoding` names it, and what the libraries are called.
const ENCODINGS: [(&str, &str, &str); 3] = [
    ("gzip", "gzip", "Gzip"),
    ("br", "brotli", "Brotli"),
    ("zstd", "zstd", "Zstd"),
];

/// The filters that read compressed bodies, as YAML list items. Answers are left as they are, and no client is asked to compress.
fn decompressors() -> String {
    let decompressor = |(encoding, library, message): &(&str, &str, &str)| {
        format!(
            "- name: pointsman-read-{encoding}\n  \
             typed_config:\n    \
             \"@type\": type.googleapis.com/envoy.extensions.filters.http.decompressor.v3.Decompressor\n    \
             decompressor_library: {{name: {encoding}, typed_config: {{\"@type\": \
             type.googleapis.com/envoy.extensions.compression.{library}.decompressor.v3.{message}}}}}\n    \
             request_direction_config: {{advertise_accept_encoding: false}}\n    \
             response_direction_config: {{common_config: {{enabled: {{default_value: false, runtime_key: pointsman.unused}}}}}}\n"
        )
    };
    ENCODINGS.iter().map(decompressor).collect()
}

/// The filter that puts the command line's limits, if there are any, before the filter's own. As a YAML list item.
fn timers(plan: &Plan<'_>) -> String {
    if plan.limits.is_none() || plan.failover == Failover::Off {
        return String::new();
    }
    "# `--first-token-timeout` and `--answer-timeout` stand in the routes; what the filter states would count before them.\n\
     - name: pointsman-timers\n  \
     typed_config:\n    \
     \"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation\n    \
     mutations: {request_mutations: [{remove: x-envoy-upstream-rq-per-try-timeout-ms}]}\n"
        .to_owned()
}

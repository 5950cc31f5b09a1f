//! The routes: where a decided request goes, what is tried again, and what happens if nothing was decided.
//!
//! Envoy has three timers, and each does what one limit of the policy says. `per_try_timeout` ends with the first byte of an
//! answer; the filter states it for each request, by a header that only Envoy's router reads. `idle_timeout` ends a pause
//! (Envoy deletes `per_try_idle_timeout` once `per_try_timeout` has run out, so that one is of no use here), and it goes on
//! through the attempts before the first byte. `max_stream_duration` of a cluster ends an answer that takes too long.

use std::collections::BTreeSet;
use std::net::IpAddr;

use pointsman::fleet::Timeouts;
use pointsman::fleet::clusters;
use pointsman::fleet::clusters::Failover;
use pointsman::policy::request_attributes::ClientPreference;
use pointsman::telemetry::{header, state};

use super::Plan;
use super::text::{indent, scalar, seconds};

const DEFAULT_RETRY: &str = r#"retry_policy: {retry_on: "connect-failure,refused-stream,reset-before-request", num_retries: 2}"#;
/// How long clients wait that do not say so, in seconds: what the SDKs of OpenAI and Anthropic do.
const CLIENT_TIMEOUT_S: f64 = 600.0;
/// How long an answer in one piece may take whose client says that it waits longer, in seconds.
const LONGEST_S: f64 = 3600.0;
/// The most retries that the filter asks for.
const MOST_RETRIES: usize = 5;

/// Paths, as a regular expression, whose APIs are also spoken by WebSocket.
const WEB_SOCKET_PATHS: &str = "(?i)/(.*/)?(responses|realtime)/?";

/// Headers that tell a hosted provider about the client and the network between.
const OF_CLIENTS: [&str; 14] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-client-cert",
    "x-real-ip",
    "x-envoy-external-address",
    "x-envoy-internal",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-original-host",
    "x-envoy-original-path",
    "x-envoy-peer-metadata",
    "x-envoy-peer-metadata-id",
    "x-envoy-decorator-operation",
];

/// A kind of decided requests, which one route takes.
struct Kind {
    /// The longest pause within its answers, in milliseconds; `None` if they come in one piece.
    idle_ms: Option<u64>,
    /// Whether one backend alone can take them.
    alone: bool,
}

/// The routes of the virtual host, as YAML list items.
pub fn render(plan: &Plan<'_>) -> String {
    let default = scalar(&plan.policy.default_cluster);
    let mut out = web_sockets(&default);
    if plan.failover != Failover::Off {
        out.push_str(
            "# If an attempt fails, the next backend of the chain is asked, each once; a backend without another has all of the client's time.\n\
             # The filter states the number of attempts, the time to wait for a first byte, and the longest pause of a stream.\n",
        );
        let mut named = false;
        for kind in kinds(plan) {
            out.push_str(&decided(plan, &kind, &mut named));
        }
    }
    out.push_str(
        "# KEEP both, in this order: if the filter decided, its cluster; else (filter skipped, reloading, a path that is\n\
         # not an LLM's) the default one, so that a fault of the router is never an outage.\n",
    );
    let idle = seconds(pauses(plan).into_iter().fold(CLIENT_TIMEOUT_S, f64::max));
    for (matched, target) in [
        (
            format!(
                "{{prefix: /, headers: [{{name: {}, present_match: true}}]}}",
                header::CLUSTER
            ),
            format!("cluster_header: {}", header::CLUSTER),
        ),
        ("{prefix: /}".to_owned(), format!("cluster: {default}")),
    ] {
        out.push_str(&format!("- match: {matched}\n  route:\n    {target}\n"));
        if target.starts_with("cluster_header") {
            out.push_str("    # Long answers are normal: only silence ends a request.\n");
        }
        out.push_str(&format!("    timeout: 0s\n    idle_timeout: {idle}\n"));
        if has_names(plan) {
            out.push_str("    auto_host_rewrite: true\n");
        }
        out.push_str(&format!("    {DEFAULT_RETRY}\n"));
    }
    out
}

/// The route that lets WebSockets of LLM APIs through to the filter, which answers 426: only then do clients such as Codex go
/// on by POST at once. Without it Envoy answers 403 before any filter.
fn web_sockets(default: &str) -> String {
    format!(
        "# WebSockets of an LLM API: the filter tells the client to use POST.\n\
         - match:\n    safe_regex: {{regex: \"{WEB_SOCKET_PATHS}\"}}\n    \
         headers: [{{name: upgrade, string_match: {{exact: websocket, ignore_case: true}}}}]\n  \
         route: {{cluster: {default}, upgrade_configs: [{{upgrade_type: websocket}}]}}\n"
    )
}

/// The request headers that no backend is to see, as items of a list: what was decided, how a client steers a filter that is
/// not there, and where a backend is somebody else's, who the client is.
pub fn removed_headers(plan: &Plan<'_>) -> String {
    let decided: &[&str] = match plan.failover {
        Failover::Off => &[header::CLUSTER],
        _ => &[header::CLUSTER, header::CHAIN, header::STREAM],
    };
    let steering = ClientPreference::ALL.iter().map(|steer| steer.header());
    let all = decided.iter().copied().chain(steering);
    let mut out: String = all.map(|name| format!("- {name}\n")).collect();
    if has_strangers(plan) && !plan.args.keep_client_address {
        out.push_str("# Providers outside do not see who the client is.\n");
        out.extend(OF_CLIENTS.iter().map(|name| format!("- {name}\n")));
    }
    out
}

/// The response headers that are the filter's alone, as items of a list.
pub fn forged_headers() -> String {
    let names = header::RESPONSE.iter().map(|(name, _)| *name);
    let requests = [header::CLUSTER, header::CHAIN, header::STREAM];
    let all = names.chain(requests);
    all.map(|name| format!("- {name}\n")).collect()
}

/// Whether a backend may be somebody else's: it is reached by TLS, or nothing says where it is.
fn has_strangers(plan: &Plan<'_>) -> bool {
    let mut backends = plan.policy.registry.backends.iter();
    backends.any(|backend| {
        backend
            .endpoint
            .as_ref()
            .is_none_or(|endpoint| endpoint.tls)
    })
}

/// Whether a backend has a name, by which it wants to be called.
fn has_names(plan: &Plan<'_>) -> bool {
    let mut endpoints = plan.policy.registry.backends.iter();
    endpoints.any(|item| {
        let endpoint = item.endpoint.as_ref();
        endpoint.is_some_and(|endpoint| endpoint.host.parse::<IpAddr>().is_err())
    })
}

/// The pauses that the backends may make, in seconds.
fn pauses(plan: &Plan<'_>) -> Vec<f64> {
    let backends = plan.policy.registry.backends.iter();
    backends
        .map(|backend| f64::from(backend.timeouts.idle_ms) / 1000.0)
        .collect()
}

fn kinds(plan: &Plan<'_>) -> Vec<Kind> {
    let backends = plan.policy.registry.backends.iter();
    let pauses: BTreeSet<u64> = backends
        .map(|backend| backend.timeouts.idle_ms as u64)
        .collect();
    let streams = pauses.into_iter().map(Some);
    streams
        .chain([None])
        .flat_map(|idle_ms| [true, false].map(|alone| Kind { idle_ms, alone }))
        .collect()
}

/// The longest silence of such a request, in seconds.
fn idle(plan: &Plan<'_>, kind: &Kind) -> f64 {
    let backends = &plan.policy.registry.backends;
    let limits = backends
        .iter()
        .map(|backend| backend.timeouts.first_token_ms);
    let stated = f64::from(limits.fold(1.0, f32::max)) / 1000.0;
    let first_byte = plan.limits.map_or(stated, |(streams, _)| streams);
    let Some(idle_ms) = kind.idle_ms else {
        return LONGEST_S;
    };
    let pause = idle_ms as f64 / 1000.0;
    if !kind.alone {
        return pause + first_byte * retries(plan) as f64;
    }
    // A stated pause is the operator's own limit; without one the client's timeout is.
    let usual = idle_ms == Timeouts::IDLE_MS as u64;
    pause.max(if usual { CLIENT_TIMEOUT_S } else { first_byte })
}

fn retries(plan: &Plan<'_>) -> usize {
    let others = plan.policy.registry.backends.len().saturating_sub(1);
    others.clamp(1, MOST_RETRIES)
}

/// The route of one kind of decided requests; `named` says whether the first of them has given the others their specifier.
fn decided(plan: &Plan<'_>, kind: &Kind, named: &mut bool) -> String {
    let chain = match kind.alone {
        true => format!(
            "{{name: {}, string_match: {{exact: \"1\"}}}}",
            header::CHAIN
        ),
        false => format!("{{name: {}, present_match: true}}", header::CHAIN),
    };
    let streams = kind.idle_ms.map_or(String::new(), |idle_ms| {
        let name = header::STREAM;
        format!(", {{name: {name}, string_match: {{exact: \"{idle_ms}\"}}}}")
    });
    let mut route = String::new();
    match plan.failover {
        Failover::PerAttempt => {
            route.push_str(&specifier(plan, !*named));
            *named = true;
        }
        _ => route.push_str(&format!("cluster_header: {}\n", header::CLUSTER)),
    }
    let idle = seconds(idle(plan, kind));
    route.push_str(&format!("timeout: 0s\nidle_timeout: {idle}\n"));
    if has_names(plan) {
        route.push_str("auto_host_rewrite: true\n");
    }
    route.push_str("retry_policy:\n");
    let policy = match kind.alone {
        true => alone(),
        false => others(plan, kind),
    };
    route.push_str(&indent(&policy, 2));
    format!(
        "- match: {{prefix: /, headers: [{chain}{streams}]}}\n  route:\n{}",
        indent(&route, 4)
    )
}

/// If nobody else can take a request, its backend is not asked again after an error: only if it cannot have begun, or if
/// it says itself that waiting a second helps.
fn alone() -> String {
    "retry_on: \"connect-failure,refused-stream,reset-before-request,retriable-headers\"\n\
     num_retries: 1\n\
     # A backend that is busy for a second is waited for, once.\n\
     retriable_headers: [{name: retry-after, string_match: {safe_regex: {regex: \"[01]\"}}}]\n\
     retry_back_off: {base_interval: 0.010s, max_interval: 0.100s}\n\
     rate_limited_retry_back_off: {reset_headers: [{name: retry-after, format: SECONDS}], max_interval: 1s}\n"
        .to_owned()
}

fn others(plan: &Plan<'_>, kind: &Kind) -> String {
    let way = match plan.failover {
        Failover::PerAttempt => "refresh_cluster_on_retry: true\n".to_owned(),
        _ => "retry_priority:\n  \
              name: envoy.retry_priorities.previous_priorities\n  \
              typed_config:\n    \
              \"@type\": type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig\n    \
              update_frequency: 1\n"
            .to_owned(),
    };
    let first_byte = plan.limits.map_or(String::new(), |(streams, answers)| {
        let limit = kind.idle_ms.map_or(answers, |_| streams);
        format!("per_try_timeout: {}\n", seconds(limit))
    });
    format!(
        "retry_on: \"5xx,reset,connect-failure,refused-stream,retriable-status-codes\"\n\
         # A backend over its rate limit is skipped at once, whatever its retry-after says: another one may have capacity.\n\
         retriable_status_codes: [429]\n\
         num_retries: {}\n\
         {first_byte}\
         retry_back_off: {{base_interval: 0.010s, max_interval: 0.100s}}\n\
         {way}",
        retries(plan),
    )
}

/// Picks the cluster of each attempt by the first link of the chain, which the filters keep in the request's filter state:
/// what stands in a header would reach the backends.
fn specifier(plan: &Plan<'_>, first: bool) -> String {
    if !first {
        return "inline_cluster_specifier_plugin: *chain\n".to_owned();
    }
    let action = |cluster: &str| {
        format!(
            "{{action: {{name: cluster, typed_config: {{\"@type\": {TYPE}.ClusterAction, cluster: {}}}}}}}",
            scalar(cluster)
        )
    };
    let mut map = String::new();
    for backend in &plan.policy.registry.backends {
        let key = clusters::key_text(clusters::backend_key(&backend.name));
        map.push_str(&format!(
            "                \"{key}\": {}\n",
            action(&backend.cluster)
        ));
    }
    format!(
        "inline_cluster_specifier_plugin: &chain\n  \
         extension:\n    \
         name: envoy.router.cluster_specifier_plugin.matcher\n    \
         typed_config:\n      \
         \"@type\": {TYPE}.MatcherClusterSpecifier\n      \
         cluster_matcher:\n        \
         matcher_tree:\n          \
         input: {{name: chain, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.FilterStateInput, key: wasm.{}}}}}\n          \
         prefix_match_map:\n            \
         map:\n{map}        \
         on_no_match: {}\n",
        state::CHAIN,
        action(&plan.policy.default_cluster)
    )
}

const TYPE: &str = "type.googleapis.com/envoy.extensions.router.cluster_specifiers.matcher.v3";

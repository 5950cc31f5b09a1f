//! The routes: where a decided request goes, what is tried again, and what happens where nothing was decided.

use pointsman::chain::{self, Failover};
use pointsman::policy::envelope::Steer;
use pointsman::telemetry::header;

use super::Plan;
use super::text::{indent, scalar, seconds};

const DEFAULT_RETRY: &str = r#"retry_policy: {retry_on: "connect-failure,refused-stream,reset-before-request", num_retries: 2}"#;

/// The routes of the virtual host, as YAML list items.
pub fn render(plan: &Plan<'_>) -> String {
    let default = scalar(&plan.policy.default_cluster);
    let mut out = String::new();
    if plan.failover != Failover::Off {
        out.push_str(
            "# An attempt that is silent for too long is given up, and the next backend of the chain tried: before the first token\n\
             # of a stream, sooner than before an answer that comes in one piece.\n",
        );
        out.push_str(&decided(plan, true));
        out.push_str(&decided(plan, false));
    }
    out.push_str(
        "# KEEP both, in this order: where the filter decided, its cluster; else (filter skipped, reloading, path that is\n\
         # no LLM's) the default one, so that a fault of the router never is an outage.\n",
    );
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
            out.push_str("    # Long answers are normal: what ends a request is silence.\n");
        }
        out.push_str(&format!(
            "    timeout: 0s\n    idle_timeout: 120s\n    {DEFAULT_RETRY}\n"
        ));
    }
    out
}

/// The request headers that no backend is to see, as items of a list: what was decided, and how a client steers a filter
/// that is not there.
pub fn removed_headers(failover: Failover) -> String {
    let decided: &[&str] = match failover {
        Failover::Off => &[header::CLUSTER],
        _ => &[header::CLUSTER, header::STREAM],
    };
    let steering = Steer::ALL.iter().map(|steer| steer.header());
    let all = decided.iter().copied().chain(steering);
    all.map(|name| format!("- {name}\n")).collect()
}

/// The route of decided requests that may be tried at several backends.
fn decided(plan: &Plan<'_>, streams: bool) -> String {
    let mut headers = format!("{{name: {}, present_match: true}}", header::CHAIN);
    if streams {
        headers.push_str(&format!(
            ", {{name: {}, present_match: true}}",
            header::STREAM
        ));
    }
    let silence = if streams {
        plan.first_token_timeout
    } else {
        plan.answer_timeout
    };
    let mut route = String::new();
    match plan.failover {
        Failover::PerAttempt => route.push_str(&specifier(plan, streams)),
        _ => route.push_str(&format!("cluster_header: {}\n", header::CLUSTER)),
    }
    // What ends a request is silence: of the whole stream a little later than of an attempt.
    let idle = seconds(silence.max(60.0) * 2.0);
    route.push_str(&format!("timeout: 0s\nidle_timeout: {idle}\n"));
    if plan
        .policy
        .registry
        .backends
        .iter()
        .any(|one| one.endpoint.as_ref().is_some_and(|e| e.tls))
    {
        route.push_str("auto_host_rewrite: true\n");
    }
    route.push_str("retry_policy:\n");
    route.push_str(&indent(&retries(plan, silence), 2));
    format!(
        "- match: {{prefix: /, headers: [{headers}]}}\n  route:\n{}",
        indent(&route, 4)
    )
}

fn retries(plan: &Plan<'_>, silence: f64) -> String {
    let others = plan.policy.registry.backends.len().saturating_sub(1);
    let way = match plan.failover {
        Failover::PerAttempt => "refresh_cluster_on_retry: true\n".to_owned(),
        _ => "retry_priority:\n  \
              name: envoy.retry_priorities.previous_priorities\n  \
              typed_config:\n    \
              \"@type\": type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig\n    \
              update_frequency: 1\n"
            .to_owned(),
    };
    format!(
        "retry_on: \"5xx,reset,connect-failure,refused-stream,retriable-status-codes\"\n\
         retriable_status_codes: [429]\n\
         num_retries: {}\n\
         per_try_idle_timeout: {}\n\
         retry_back_off: {{base_interval: 0.010s, max_interval: 0.100s}}\n\
         # A backend that asks for up to a second's patience gets it; one that asks for more is passed over at once.\n\
         rate_limited_retry_back_off: {{reset_headers: [{{name: retry-after, format: SECONDS}}], max_interval: 1s}}\n\
         {way}",
        others.clamp(2, 5),
        seconds(silence),
    )
}

/// Picks the cluster of each attempt by the first link of the chain.
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
        let link = chain::written(chain::link(&backend.name));
        map.push_str(&format!(
            "                \"{link}\": {}\n",
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
         input: {{name: chain, typed_config: {{\"@type\": type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput, header_name: {}}}}}\n          \
         prefix_match_map:\n            \
         map:\n{map}        \
         on_no_match: {}\n",
        header::CHAIN,
        action(&plan.policy.default_cluster)
    )
}

const TYPE: &str = "type.googleapis.com/envoy.extensions.router.cluster_specifiers.matcher.v3";

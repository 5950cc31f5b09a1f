//! The checks, one function each. Each says what is wrong, what it leads to, and how to fix it.

use std::path::Path;

use pointsman::control::plugin::Plugin;
use pointsman::telemetry::STATS_TAGS;
use pointsman::telemetry::state::{self, FilterState};
use serde_json::Value;

use super::envoy_config::{EnvoyConfig, FilterInstance};
use super::finding::{Finding, error, warning};
use super::json::{list, text_of};
use super::module;

/// The oldest version that works, and the newest that is tested.
const VERSIONS: [[u64; 2]; 2] = [[1, 36], [1, 40]];

/// The limit if neither listener nor route states one.
pub const DEFAULT_BUFFER: u64 = 1 << 20;

/// Counters that say that something fails: the end of their names, and what that means.
const FAULTS: &[(&str, &str, &str)] = &[
    (
        "pointsman.policy_errors",
        "policies were refused since the start",
        "read what Envoy logs under `invalid configuration`",
    ),
    (
        "pointsman.host_call_errors",
        "calls of the filter to Envoy failed",
        "report it with Envoy's log",
    ),
    (
        "pointsman.classifier_errors",
        "prompts were classified by features alone",
        "report it with Envoy's log",
    ),
    (
        "pointsman.secrets_missing",
        "attempts were made without the credentials that their backend needs",
        "set the environment variable that the backend's `credentials` name, where Envoy is started",
    ),
    (
        "pointsman.receipts_unsigned",
        "answers went out without the receipts that the policy wants",
        "name one or two variables with keys of at least 16 bytes in `receipt_keys`, and set them where Envoy is started",
    ),
    (
        "pointsman.attempts_unresolved",
        "attempts went on as they were: their backend or their body was not known",
        "render clusters and filters again from the policy that the router has",
    ),
    (
        "pointsman.metrics_dropped",
        "there are more metric names than a worker defines",
        "use fewer models, backends and profiles in one policy",
    ),
    (
        "pointsman.vm_reload_failure",
        "the filter could not be loaded again after a fault",
        "report it with Envoy's log",
    ),
];

pub fn version(envoy: &EnvoyConfig, findings: &mut Vec<Finding>) {
    let Some([major, minor, patch]) = envoy.version else {
        return;
    };
    let place = format!("Envoy {major}.{minor}.{patch}");
    let [oldest, newest] = VERSIONS;
    if [major, minor] < oldest {
        let problem = "it does not show bodies to a filter that waits for them, or lacks imports of the module";
        findings.push(error("version", place, problem, "run Envoy 1.36 or newer"));
    } else if [major, minor] > newest {
        let problem = "newer than the newest that is tested, 1.40";
        findings.push(warning(
            "version",
            place,
            problem,
            "look for a newer Pointsman",
        ));
    }
}

pub fn presence(envoy: &EnvoyConfig, findings: &mut Vec<Finding>) {
    if envoy.filters.is_empty() {
        findings.push(error(
            "filter",
            "listeners".into(),
            "no HTTP connection manager has the filter: nothing is routed",
            "add the filter before `envoy.filters.http.router`, as in envoy/envoy.yaml",
        ));
    }
}

pub fn stop_iteration(place: &str, config: &Value, findings: &mut Vec<Finding>) {
    let field = config.get("allow_on_headers_stop_iteration");
    if field != Some(&Value::Bool(true)) {
        findings.push(error(
            "stop_iteration",
            place.to_owned(),
            "`allow_on_headers_stop_iteration` is not set: Envoy never shows a body to the filter, and every LLM request hangs",
            "set `allow_on_headers_stop_iteration: true` in the filter's `config`",
        ));
    }
}

pub fn failure_policy(place: &str, config: &Value, findings: &mut Vec<Finding>) {
    let fix = "set `failure_policy: FAIL_RELOAD` and `reload_config: {backoff: {base_interval: 0.010s}}`, and no `fail_open`";
    let place = place.to_owned();
    if config.get("fail_open") == Some(&Value::Bool(true)) {
        let problem =
            "`fail_open`: after one fault the filter is skipped for ever, and nothing says so";
        findings.push(error("failure_policy", place, problem, fix));
        return;
    }
    match text_of(config, "failure_policy") {
        Some("FAIL_RELOAD") => {}
        Some("FAIL_OPEN") => findings.push(error(
            "failure_policy",
            place.clone(),
            "`FAIL_OPEN`: after one fault the filter is skipped on that worker for ever",
            fix,
        )),
        _ => findings.push(error(
            "failure_policy",
            place.clone(),
            "no `FAIL_RELOAD`: after one fault the worker answers 503 for ever",
            fix,
        )),
    }
    let interval = config.pointer("/reload_config/backoff/base_interval");
    let seconds = interval.and_then(Value::as_str).and_then(seconds);
    if seconds.is_some_and(|seconds| seconds < 0.002) {
        findings.push(error(
            "failure_policy",
            place,
            "a `base_interval` of less than 2 ms crashes Envoy at the first fault",
            "set `base_interval: 0.010s`",
        ));
    }
}

/// Seconds of a duration such as `0.010s`.
fn seconds(text: &str) -> Option<f64> {
    text.strip_suffix('s')?.parse().ok()
}

pub fn configuration(filter: &FilterInstance, findings: &mut Vec<Finding>) {
    let place = filter.place("filter's configuration");
    match &filter.plugin {
        None => findings.push(error(
            "configuration",
            place,
            "there is none: the filter lets every request pass",
            "give it `configuration` with a policy, as in envoy/envoy.yaml",
        )),
        Some(Err(invalid)) => {
            for problem in &invalid.problems {
                let place = format!("{place}, {}:{}", problem.line, problem.column);
                findings.push(error(
                    "configuration",
                    place,
                    &problem.to_string(),
                    "fix the policy; `pointsman check` tells more",
                ));
            }
        }
        Some(Ok(_)) => {}
    }
}

pub fn order(filter: &FilterInstance, findings: &mut Vec<Finding>) {
    let last = list(&filter.manager, "/http_filters").last();
    let kind = last.and_then(|filter| filter.pointer("/typed_config/@type"));
    let is_router = kind
        .and_then(Value::as_str)
        .is_some_and(|kind| kind.ends_with("filters.http.router.v3.Router"));
    if !is_router {
        findings.push(error(
            "order",
            filter.place("http_filters"),
            "the last filter is not Envoy's router: decisions lead nowhere",
            "put `envoy.filters.http.router` last",
        ));
    }
    let before = list(&filter.manager, "/http_filters").take(filter.position);
    for other in before {
        let name = text_of(other, "name").unwrap_or_default();
        if name.contains("buffer") || name.contains("jwt") || name.contains("ext_authz") {
            continue;
        }
        // One that unfolds bodies belongs there.
        let compresses = name.contains("compressor") && !name.contains("decompressor");
        if name.contains("cache") || compresses {
            findings.push(warning(
                "order",
                filter.place(&format!("filter `{name}`")),
                "it sees requests before they are decided",
                "put it behind the filter, unless that is meant",
            ));
        }
    }
}

/// Whether a mutation takes the header out.
fn removes(mutation: &Value, name: &str) -> bool {
    if text_of(mutation, "remove") == Some(name) {
        return true;
    }
    let Some(matcher) = mutation.pointer("/remove_on_match/key_matcher") else {
        return false;
    };
    let prefix = text_of(matcher, "prefix");
    let regex = matcher.pointer("/safe_regex/regex").and_then(Value::as_str);
    text_of(matcher, "exact") == Some(name)
        || prefix.is_some_and(|prefix| name.starts_with(prefix))
        // Read as what it begins with: enough to see whether somebody thought of it.
        || regex.is_some_and(|regex| regex.starts_with("x-pointsman-") && name.starts_with("x-pointsman-"))
}

pub fn hygiene(filter: &FilterInstance, findings: &mut Vec<Finding>) {
    let name = filter.cluster_header();
    let mutations: Vec<&Value> = list(&filter.manager, "/early_header_mutation_extensions")
        .flat_map(|extension| list(extension, "/typed_config/mutations"))
        .collect();
    if !mutations.iter().any(|mutation| removes(mutation, name)) {
        findings.push(error(
            "hygiene",
            filter.place("early_header_mutation_extensions"),
            &format!("`{name}` is not removed before the filters: while the filter is loaded again, a client can name its cluster itself"),
            "remove the headers under `x-pointsman-` there, as in envoy/envoy.yaml",
        ));
    }
    let removed = filter.virtual_hosts().flat_map(|host| {
        let of_host = list(host, "/request_headers_to_remove");
        of_host.chain(
            list(host, "/routes").flat_map(|route| list(route, "/request_headers_to_remove")),
        )
    });
    let of_all = filter
        .routes
        .iter()
        .flat_map(|routes| list(routes, "/request_headers_to_remove"));
    if filter.routes.is_some() && !removed.chain(of_all).any(|removed| removed == name) {
        findings.push(warning(
            "hygiene",
            filter.place("virtual hosts"),
            &format!("backends see `{name}`: which cluster was chosen"),
            &format!("add `request_headers_to_remove: [{name}]`"),
        ));
    }
}

pub fn routes(filter: &FilterInstance, findings: &mut Vec<Finding>) {
    if filter.routes.is_none() {
        findings.push(warning(
            "routes",
            filter.place("routes"),
            "they come from elsewhere and were not looked at",
            "look at the dump of the running Envoy",
        ));
        return;
    }
    let all: Vec<&Value> = filter
        .virtual_hosts()
        .flat_map(|host| list(host, "/routes"))
        .filter_map(|route| route.get("route"))
        .collect();
    let name = filter.cluster_header();
    let by_header = all.iter().any(|route| {
        text_of(route, "cluster_header") == Some(name)
            || route.get("inline_cluster_specifier_plugin").is_some()
            || route.get("cluster_specifier_plugin").is_some()
    });
    if !by_header {
        findings.push(error(
            "routes",
            filter.place("routes"),
            &format!("none goes by `{name}`: decisions are made and not followed"),
            &format!(
                "add a route that matches requests with `{name}` and has `cluster_header: {name}`"
            ),
        ));
    }
    let by_default = all
        .iter()
        .any(|route| route.get("cluster").is_some() || route.get("weighted_clusters").is_some());
    if by_header && !by_default {
        findings.push(error(
            "routes",
            filter.place("routes"),
            "there is no route for requests without a decision: a fault of the filter becomes an outage",
            "add a route to the default cluster behind the one by header",
        ));
    }
}

pub fn buffers(filter: &FilterInstance, envoy: &EnvoyConfig, findings: &mut Vec<Finding>) {
    let Some(policy) = filter.policy() else {
        return;
    };
    let wanted = policy.max_body_bytes as u64;
    let fix = format!(
        "set `per_connection_buffer_limit_bytes` of the listener, and `request_body_buffer_limit` of the virtual host, to more than `max_body_bytes` ({wanted})"
    );
    let of_hosts = filter
        .virtual_hosts()
        .filter_map(|host| host.get("request_body_buffer_limit"))
        .filter_map(Value::as_u64)
        .min();
    let of_listener = filter.connection_buffer.unwrap_or(DEFAULT_BUFFER);
    // Before 1.37 only the listener's limit counts for a filter that waits.
    let is_old = envoy.version.is_some_and(|version| version < [1, 37, 0]);
    let limit = match of_hosts {
        Some(of_hosts) if !is_old => of_hosts.max(of_listener),
        _ => of_listener,
    };
    if limit < wanted {
        let problem = format!(
            "Envoy holds {limit} bytes of a body and answers 413 beyond, where the policy takes {wanted}"
        );
        findings.push(error(
            "buffers",
            filter.place("buffer limits"),
            &problem,
            &fix,
        ));
    }
}

pub fn clusters(filter: &FilterInstance, envoy: &EnvoyConfig, findings: &mut Vec<Finding>) {
    let Some(policy) = filter.policy() else {
        return;
    };
    let backends = policy.registry.backends.iter();
    let mut named: Vec<&str> = backends.map(|backend| &*backend.cluster).collect();
    named.push(&policy.default_cluster);
    named.sort_unstable();
    named.dedup();
    for name in named {
        if name.is_empty() || envoy.clusters.iter().any(|cluster| cluster == name) {
            continue;
        }
        let place = filter.place(&format!("cluster `{name}`"));
        let problem =
            "the policy names it and Envoy does not have it: requests for it are answered with 503";
        let fix = "add the cluster, or fix `cluster` of the backend";
        findings.push(
            if envoy.has_cluster_discovery && envoy.counters.is_empty() {
                warning("clusters", place, problem, fix)
            } else {
                error("clusters", place, problem, fix)
            },
        );
    }
}

pub fn local_replies(filter: &FilterInstance, findings: &mut Vec<Finding>) {
    if list(&filter.manager, "/local_reply_config/mappers")
        .next()
        .is_none()
    {
        findings.push(warning(
            "local_replies",
            filter.place("local_reply_config"),
            "Envoy's own errors (413, 503, 504) are plain text, which clients' SDKs cannot read",
            "map them to JSON, as in envoy/envoy.yaml",
        ));
    }
}

/// A log or span that prints values which the plugin does not set.
pub fn filter_state(filter: &FilterInstance, findings: &mut Vec<Finding>) {
    let sets_none = |plugin: &Plugin| plugin.filter_state == FilterState::None;
    if !filter.compiled().is_some_and(sets_none) {
        return;
    }
    let manager = filter.manager.to_string();
    let mut keys = state::ALL.iter().map(|(key, _)| *key);
    if let Some(key) = keys.find(|key| manager.contains(&format!("FILTER_STATE(wasm.{key}:"))) {
        findings.push(warning(
            "filter_state",
            filter.place("filter"),
            &format!("it sets no values (`filter_state` is `none`), and an access log or a span prints `{key}`"),
            "leave out `filter_state`, or the fields that print what it does not set",
        ));
    }
}

pub fn stats_tags(envoy: &EnvoyConfig, findings: &mut Vec<Finding>) {
    let has = |name: &str, regex: &str| {
        let mut tags = envoy.stats_tags.iter();
        tags.any(|tag| {
            text_of(tag, "tag_name").is_some_and(|item| item.ends_with(name))
                && text_of(tag, "regex") == Some(regex)
        })
    };
    let missing: Vec<&str> = STATS_TAGS
        .iter()
        .filter(|(name, regex)| !has(name, regex))
        .map(|(name, _)| *name)
        .collect();
    if !missing.is_empty() {
        findings.push(warning(
            "stats_tags",
            "stats_config".into(),
            &format!("metrics do not get their labels: {}", missing.join(", ")),
            "copy `stats_tags` from envoy/envoy.yaml",
        ));
    }
}

pub fn counters(envoy: &EnvoyConfig, findings: &mut Vec<Finding>) {
    for (ending, problem, fix) in FAULTS {
        let of_this = envoy
            .counters
            .iter()
            .filter(|(name, _)| name.ends_with(ending));
        let sum: u64 = of_this.map(|(_, value)| value).sum();
        if sum > 0 {
            let place = format!("`{ending}` is {sum}");
            findings.push(warning("counters", place, problem, fix));
        }
    }
}

pub fn imports(
    filter: &FilterInstance,
    envoy: &EnvoyConfig,
    given: Option<&Path>,
    findings: &mut Vec<Finding>,
) {
    let named = filter
        .plugin_config
        .pointer("/vm_config/code/local/filename")
        .and_then(Value::as_str)
        .map(Path::new);
    let Some(file) = given.or(named) else {
        return;
    };
    let place = format!("module `{}`", file.display());
    let info = match module::read(file) {
        Ok(info) => info,
        Err(problem) => {
            let fix = "name the file with --module";
            findings.push(warning(
                "module",
                place,
                &format!("cannot be looked at: {problem}"),
                fix,
            ));
            return;
        }
    };
    let is_old = envoy.version.is_none_or(|version| version < [1, 39, 0]);
    if is_old && !info.too_new.is_empty() {
        let problem = format!(
            "it imports what Envoy before 1.39 does not have: {}",
            info.too_new.join(", ")
        );
        findings.push(error(
            "module",
            place.clone(),
            &problem,
            "build it by `make wasm`",
        ));
    }
    if !info.has_abi {
        let problem = "it does not say that it is of the proxy-wasm ABI 0.2";
        findings.push(error("module", place, problem, "build it by `make wasm`"));
    }
}

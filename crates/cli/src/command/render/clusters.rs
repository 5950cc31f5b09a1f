//! The clusters: one for each backend, and, where Envoy cannot pick one for each attempt, one for each chain of them.

use std::net::IpAddr;

use pointsman::fleet::clusters;
use pointsman::fleet::clusters::{Failover, aggregate_name};
use pointsman::fleet::{Backend, Credentials, Endpoint};
use pointsman::policy::Policy;
use serde_json::json;

use super::text::{address, indent, scalar, seconds};
use super::vm::{attempt_vm, failover_members};
use super::{Form, Plan, otlp, source};
use crate::failure::Failure;

/// Every cluster as YAML list items.
///
/// # Errors
/// [`Failure::Input`] if a backend has no endpoint.
pub fn render(plan: &Plan<'_>) -> Result<String, Failure> {
    let mut out = String::new();
    let mut seen: Vec<&str> = Vec::new();
    for backend in &plan.policy.registry.backends {
        if seen.contains(&backend.cluster.as_str()) {
            continue;
        }
        match &backend.endpoint {
            Some(endpoint) => out.push_str(&cluster(plan, backend, endpoint, seen.is_empty())),
            None if plan.args.form != Form::Envoy => {
                out.push_str(&of_mesh(plan, backend, seen.is_empty())?);
            }
            None => {
                return Err(Failure::Input(format!(
                    "backend `{}` has no `endpoint`, such as `http://10.0.0.7:8000`: nothing says where its cluster is",
                    backend.name
                )));
            }
        }
        seen.push(&backend.cluster);
    }
    if plan.args.form == Form::Envoy && !seen.contains(&plan.policy.default_cluster.as_str()) {
        return Err(Failure::Input(format!(
            "the default cluster `{}` belongs to no backend",
            plan.policy.default_cluster
        )));
    }
    if let Failover::Aggregate { max_chain_length } = plan.failover {
        out.push_str(&aggregates(plan.policy, max_chain_length));
    }
    out.push_str(&judge(plan, &seen)?);
    out.push_str(&source::cluster(plan)?);
    out.push_str(&otlp::cluster(plan)?);
    Ok(out)
}

/// The judge's cluster; nothing if there is no judge, if it is a backend's cluster, or if the mesh has it.
fn judge(plan: &Plan<'_>, backends: &[&str]) -> Result<String, Failure> {
    let Some(judge) = &plan.policy.judge else {
        return Ok(String::new());
    };
    let elsewhere = |problem: &str| match judge.credentials {
        Some(_) => Err(Failure::Input(format!(
            "the judge has `credentials`, but {problem}: they would not be sent"
        ))),
        None => Ok(String::new()),
    };
    if backends.contains(&judge.cluster.as_str()) {
        return elsewhere("its cluster is that of a backend");
    }
    let Some(endpoint) = &judge.endpoint else {
        return match plan.args.form {
            Form::Envoy => Err(Failure::Input(format!(
                "the judge has no `endpoint`, such as `http://10.0.0.9:8000`: nothing says where its cluster `{}` is",
                judge.cluster
            ))),
            Form::Istio | Form::EnvoyGateway => {
                elsewhere("no `endpoint`, so that its cluster is the mesh's own")
            }
        };
    };
    let name = scalar(&judge.cluster);
    let kind = match endpoint.host.parse::<IpAddr>() {
        Ok(_) => "STATIC",
        Err(_) => "STRICT_DNS",
    };
    let mut out = format!(
        "# The judge. The filter asks it; it is not a backend, and no request is sent there.\n\
         - name: {name}\n  type: {kind}\n  connect_timeout: 1s\n  load_assignment:\n    cluster_name: {name}\n    \
         endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: {}, port_value: {}}}}}}}}}]}}]\n",
        address(&endpoint.host),
        endpoint.port
    );
    if endpoint.tls {
        out.push_str(&tls(endpoint, &plan.args.ca));
    }
    if let Some(credentials) = &judge.credentials {
        out.push_str(&indent(&injected(credentials), 2));
    }
    Ok(out)
}

/// The options of a cluster that adds credentials to each request, from Envoy's environment when it starts.
fn injected(credentials: &Credentials) -> String {
    // In Envoy's format strings a per cent sign stands twice.
    let prefix = credentials.prefix.replace('%', "%%");
    let value = format!("{prefix}%ENVIRONMENT({})%", credentials.env);
    format!(
        "typed_extension_protocol_options:\n  \
         envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n    \
         \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n    \
         explicit_http_config: {{http_protocol_options: {{}}}}\n    \
         http_filters:\n    \
         - name: pointsman-judge-credentials\n      \
         typed_config:\n        \
         \"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation\n        \
         mutations: {{request_mutations: [{{append: {{header: {{key: {}, value: {}}}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}}}]}}\n    \
         - name: envoy.filters.http.upstream_codec\n      \
         typed_config:\n        \
         \"@type\": type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec\n",
        scalar(&credentials.header),
        scalar(&value)
    )
}

fn cluster(plan: &Plan<'_>, backend: &Backend, endpoint: &Endpoint, first: bool) -> String {
    let name = scalar(&backend.cluster);
    let kind = match endpoint.host.parse::<IpAddr>() {
        Ok(_) => "STATIC",
        Err(_) => "STRICT_DNS",
    };
    let host = match plan.failover {
        Failover::Aggregate { .. } => format!(
            ",\n        metadata: {{filter_metadata: {{pointsman: {{backend: {}}}}}}}",
            scalar(&backend.name)
        ),
        _ => String::new(),
    };
    let address = address(&endpoint.host);
    let mut out = format!(
        "- name: {name}\n  type: {kind}\n  connect_timeout: 1s\n  \
         load_assignment:\n    cluster_name: {name}\n    \
         endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: {address}, port_value: {}}}}}}}{host}}}]}}]\n",
        endpoint.port
    );
    if endpoint.tls {
        out.push_str(&tls(endpoint, &plan.args.ca));
    }
    if plan.failover == Failover::Off {
        if backend.timeouts.total_ms.is_some() {
            out.push_str(&indent(&options(backend, ""), 2));
        }
        return out;
    }
    if let Some(path) = &backend.health {
        out.push_str(&format!(
            "  health_checks:\n  - {{timeout: 2s, interval: 5s, unhealthy_threshold: 2, healthy_threshold: 1, \
             no_traffic_interval: 5s, http_health_check: {{path: {}}}}}\n",
            scalar(path)
        ));
    }
    out.push_str(&indent(&shared(plan, backend, first), 2));
    out
}

/// A cluster that the mesh has already: only what failover adds to it.
fn of_mesh(plan: &Plan<'_>, backend: &Backend, first: bool) -> Result<String, Failure> {
    if matches!(plan.failover, Failover::Aggregate { .. }) {
        return Err(Failure::Input(format!(
            "backend `{}` has no `endpoint`: an aggregate cannot tell which backend an endpoint of the mesh belongs to; say where \
             it is, or `--envoy-version 1.39`, or `--failover off`",
            backend.name
        )));
    }
    let mut out = format!("- name: {}\n", scalar(&backend.cluster));
    if plan.failover != Failover::Off {
        out.push_str(&indent(&shared(plan, backend, first), 2));
    }
    Ok(out)
}

fn tls(endpoint: &Endpoint, ca: &str) -> String {
    let host = json!(endpoint.host).to_string();
    // An address is not a name: it is not sent as one, and stands in certificates in a place of its own.
    let (sni, kind) = match endpoint.host.parse::<IpAddr>() {
        Ok(_) => (String::new(), "IP_ADDRESS"),
        Err(_) => (format!("      sni: {host}\n"), "DNS"),
    };
    format!(
        "  transport_socket:\n    name: envoy.transport_sockets.tls\n    typed_config:\n      \
         \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext\n\
         {sni}      \
         common_tls_context:\n        validation_context:\n          trusted_ca: {{filename: {}}}\n          \
         match_typed_subject_alt_names: [{{san_type: {kind}, matcher: {{exact: {host}}}}}]\n",
        scalar(ca)
    )
}

/// Members of every cluster of a chain: written once, referred to afterwards.
fn shared(plan: &Plan<'_>, backend: &Backend, first: bool) -> String {
    if !first {
        let shared = "per_connection_buffer_limit_bytes: 16777216\noutlier_detection: *outliers\ncircuit_breakers: *limits\n";
        return [shared, &options(backend, "http_filters: *attempts\n")].concat();
    }
    format!(
        "# The attempt filter rewrites the body, so this is as far above the policy's max_body_bytes as the listener's limit.\n\
         per_connection_buffer_limit_bytes: 16777216\n\
         outlier_detection: &outliers\n  \
         consecutive_5xx: 5\n  consecutive_gateway_failure: 3\n  enforcing_consecutive_gateway_failure: 100\n  \
         interval: 2s\n  base_ejection_time: 5s\n  max_ejection_time: 60s\n  \
         # A cluster of one host can only be ejected as a whole.\n  \
         max_ejection_percent: 100\n\
         # Envoy's default is 3 retries at a time; a backend that dies under load needs one for each request in flight.\n\
         circuit_breakers: &limits\n  \
         thresholds: [{{max_connections: 65536, max_pending_requests: 65536, max_requests: 65536, max_retries: 65536}}]\n\
         {}",
        options(backend, &attempts(plan))
    )
}

/// HTTP options of one backend: the longest time of an answer, and the filters of attempts.
fn options(backend: &Backend, filters: &str) -> String {
    let total = backend.timeouts.total_ms.map_or(String::new(), |limit| {
        let limit = seconds(f64::from(limit) / 1000.0);
        format!("common_http_protocol_options: {{max_stream_duration: {limit}}}\n")
    });
    format!(
        "typed_extension_protocol_options:\n  \
         envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n    \
         \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n    \
         explicit_http_config: {{http_protocol_options: {{}}}}\n{}",
        indent(&[total.as_str(), filters].concat(), 4)
    )
}

/// The upstream filters.
fn attempts(plan: &Plan<'_>) -> String {
    let configuration = indent(&configuration(plan), 6);
    format!(
        "# Runs once for each attempt, and puts in the model name, path and credentials of the backend that is tried.\n\
         http_filters: &attempts\n\
         - name: pointsman\n  \
         typed_config:\n    \
         \"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm\n    \
         config:\n      \
         name: pointsman_attempt\n      \
         root_id: pointsman\n      \
         allow_on_headers_stop_iteration: true\n      \
         failure_policy: FAIL_RELOAD\n      \
         reload_config: {{backoff: {{base_interval: 0.010s}}}}\n\
         {}\
         {configuration}\
         # A backend must not set the router's headers.\n\
         - name: pointsman-hygiene\n  \
         typed_config:\n    \
         \"@type\": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation\n    \
         mutations: {{response_mutations: [{{remove_on_match: {{key_matcher: {{prefix: x-pointsman-}}}}}}]}}\n\
         - name: envoy.filters.http.upstream_codec\n  \
         typed_config:\n    \
         \"@type\": type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec\n",
        indent(&attempt_vm(plan), 6)
    )
}

/// The module's configuration in its role `attempt`: the policy, the router publishes.
fn configuration(plan: &Plan<'_>) -> String {
    let failover = failover_members(plan.failover);
    format!(
        "configuration:\n  \"@type\": type.googleapis.com/google.protobuf.StringValue\n  value: |\n    \
         {{\n      \"role\": \"attempt\",\n{}\n    }}\n",
        indent(&failover, 6).trim_end().trim_end_matches(','),
    )
}

/// Every chain of two to `max_chain_length` backends, each as the clusters in order.
pub fn chains(policy: &Policy, max_chain_length: usize) -> Vec<Vec<&str>> {
    let backends = policy.registry.backends.iter();
    let clusters: Vec<&str> = backends.map(|backend| backend.cluster.as_str()).collect();
    clusters::aggregates(&clusters, max_chain_length)
}

fn aggregates(policy: &Policy, max_chain_length: usize) -> String {
    let mut out = String::from(
        "# One cluster for each chain of backends that a decision may name: Envoy 1.36 to 1.38 cannot pick the cluster of an\n\
         # attempt. The member clusters' filters run.\n",
    );
    for chain in chains(policy, max_chain_length) {
        let names: Vec<String> = chain.iter().map(|cluster| scalar(cluster)).collect();
        out.push_str(&format!(
            "- {{name: {}, connect_timeout: 1s, lb_policy: CLUSTER_PROVIDED, per_connection_buffer_limit_bytes: 16777216, \
             cluster_type: {{name: envoy.clusters.aggregate, typed_config: {{\"@type\": \
             type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig, clusters: [{}]}}}}, \
             circuit_breakers: *limits, typed_extension_protocol_options: {{envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {{\"@type\": \
             type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, \
             explicit_http_config: {{http_protocol_options: {{}}}}, http_filters: *attempts}}}}}}\n",
            scalar(&aggregate_name(chain.iter().copied())),
            names.join(", ")
        ));
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::Value;

    fn policy(judge: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
        let text = format!(
            r#"{{"models": [{{"name": "m"}}, {{"name": "n"}}],
            "backends": [{{"name": "a", "model": "m", "endpoint": "http://127.0.0.1:1", "price": {{"input": 1, "output": 1}}}},
                         {{"name": "b", "model": "n", "endpoint": "http://127.0.0.1:2", "price": {{"input": 9, "output": 9}}}}],
            "judge": {{"model": "j", {judge}}}}}"#
        );
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn clusters(judge: &str) -> Vec<Value> {
        let file = policy(judge);
        let text = super::super::rendered(&["envoy", file.path().to_str().unwrap()]);
        let document: Value = serde_yaml_ng::from_str(&text).unwrap();
        let all = document.pointer("/static_resources/clusters").unwrap();
        all.as_array().unwrap().clone()
    }

    #[test]
    fn the_judge_has_a_cluster_of_its_own_unless_it_is_a_backend() {
        let all = clusters(r#""cluster": "judge", "endpoint": "https://judge.example""#);
        let mut named = all.iter().filter(|cluster| cluster["name"] == "judge");
        let judge = named.next().unwrap();
        assert_eq!(judge["type"], "STRICT_DNS");
        assert!(judge.get("transport_socket").is_some());
        assert!(named.next().is_none());
        // It sees questions as they are: no filter rewrites them.
        assert!(judge.get("typed_extension_protocol_options").is_none());
        let all = clusters(r#""cluster": "a""#);
        assert_eq!(
            all.iter().filter(|cluster| cluster["name"] == "a").count(),
            1
        );
    }

    #[test]
    fn envoy_adds_the_credentials_of_the_judge() {
        let named = |judge: &str| {
            let all = clusters(judge);
            let found = all.into_iter().find(|cluster| cluster["name"] == "judge");
            found.unwrap()
        };
        let filters = "/typed_extension_protocol_options/envoy.extensions.upstreams.http.v3.HttpProtocolOptions/http_filters";
        let header = |judge: &Value| {
            let at =
                format!("{filters}/0/typed_config/mutations/request_mutations/0/append/header");
            let header = judge.pointer(&at).unwrap();
            [&header["key"], &header["value"]].map(|text| text.as_str().unwrap().to_owned())
        };
        let at = r#""cluster": "judge", "endpoint": "https://judge.example/v1""#;
        let judge = named(&format!(r#"{at}, "credentials": {{"env": "JUDGE_KEY"}}"#));
        assert_eq!(
            header(&judge),
            ["authorization", "Bearer %ENVIRONMENT(JUDGE_KEY)%"]
        );
        let last = judge.pointer(&format!("{filters}/1/name")).unwrap();
        assert_eq!(last, "envoy.filters.http.upstream_codec");
        let credentials = r#"{"env": "K", "header": "x-api-key", "prefix": "5% "}"#;
        let judge = named(&format!(r#"{at}, "credentials": {credentials}"#));
        assert_eq!(header(&judge), ["x-api-key", "5%% %ENVIRONMENT(K)%"]);
    }

    #[test]
    fn credentials_that_would_not_be_sent_are_an_error() {
        let file = policy(r#""cluster": "a", "credentials": {"env": "K"}"#);
        let arguments = ["envoy", file.path().to_str().unwrap()];
        let error = super::super::parsed(&arguments).and_then(|args| super::super::render(&args));
        let error = error.err().unwrap().to_string();
        assert!(
            error.contains("its cluster is that of a backend"),
            "{error}"
        );
    }

    #[test]
    fn a_judge_without_an_address_cannot_be_rendered() {
        let file = policy(r#""cluster": "judge""#);
        let arguments = ["envoy", file.path().to_str().unwrap()];
        let error = super::super::parsed(&arguments).and_then(|args| super::super::render(&args));
        let error = error.err().unwrap().to_string();
        assert!(error.contains("the judge has no `endpoint`"), "{error}");
    }
}

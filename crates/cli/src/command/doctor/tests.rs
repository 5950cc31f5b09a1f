use std::path::Path;

use serde_json::{Value, json};

use super::envoy_config::EnvoyConfig;
use super::{Level, find_all};

fn shipped() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../envoy/envoy.yaml");
    serde_yaml_ng::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

/// Names of the checks that find an error in the shipped configuration after `change`.
fn errors(change: impl FnOnce(&mut Value)) -> Vec<&'static str> {
    let mut document = shipped();
    change(&mut document);
    let findings = find_all(&EnvoyConfig::from_document(&document), None);
    let errors = findings
        .iter()
        .filter(|finding| finding.level == Level::Error);
    errors.map(|item| item.check).collect()
}

fn at<'d>(document: &'d mut Value, pointer: &str) -> &'d mut Value {
    let whole = format!("{MANAGER}{pointer}");
    document
        .pointer_mut(&whole)
        .unwrap_or_else(|| panic!("no {whole}"))
}

/// The filter's position in its chain.
fn ours(document: &Value) -> String {
    let filters = document.pointer(&format!("{MANAGER}/http_filters"));
    let mut filters = filters.unwrap().as_array().unwrap().iter();
    let at = filters
        .position(|filter| filter["name"] == "pointsman")
        .unwrap();
    format!("/http_filters/{at}")
}

fn remove(document: &mut Value, pointer: &str, name: &str) {
    at(document, pointer)
        .as_object_mut()
        .unwrap()
        .remove(name)
        .unwrap();
}

#[test]
fn the_shipped_configuration_has_nothing_to_fix() {
    let envoy = EnvoyConfig::from_document(&shipped());
    assert_eq!(envoy.filters.len(), 1);
    let findings = find_all(&envoy, None);
    let found: Vec<_> = findings
        .iter()
        .filter(|finding| finding.check != "module")
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn each_fault_is_found() {
    let ours = ours(&shipped());
    let config = &format!("{ours}/typed_config/config");
    let host = "/route_config/virtual_hosts/0";
    assert_eq!(
        errors(|all| remove(all, config, "allow_on_headers_stop_iteration")),
        ["stop_iteration"]
    );
    assert_eq!(
        errors(|all| remove(all, config, "failure_policy")),
        ["failure_policy"]
    );
    assert_eq!(
        errors(
            |all| at(all, config)["reload_config"]["backoff"]["base_interval"] = json!("0.001s")
        ),
        ["failure_policy"]
    );
    assert_eq!(
        errors(|all| at(all, config)["configuration"]["value"] = json!("{}")).first(),
        Some(&"configuration")
    );
    assert_eq!(
        errors(|all| remove(all, "", "early_header_mutation_extensions")),
        ["hygiene"]
    );
    assert_eq!(
        errors(|all| {
            at(all, "/http_filters").as_array_mut().unwrap().pop();
        }),
        ["order"]
    );
    assert_eq!(
        errors(|all| {
            let filters = at(all, "/http_filters").as_array_mut().unwrap();
            filters.retain(|filter| filter["name"] != "pointsman");
        }),
        ["filter"]
    );
    assert_eq!(
        errors(|all| at(all, host)["routes"] =
            json!([{"match": {"prefix": "/"}, "route": {"cluster": "gpu"}}])),
        ["routes"]
    );
    assert_eq!(
        errors(
            |all| at(all, host)["routes"] = json!([{"match": {"prefix": "/"}, "route": {"cluster_header": "x-pointsman-cluster"}}])
        ),
        ["routes"]
    );
    assert_eq!(
        errors(|all| {
            all["static_resources"]["clusters"]
                .as_array_mut()
                .unwrap()
                .remove(0);
        }),
        ["clusters"]
    );
}

#[test]
fn limits_below_the_policys_are_found() {
    let small = |all: &mut Value| {
        remove(
            all,
            "/route_config/virtual_hosts/0",
            "request_body_buffer_limit",
        );
        let listener = all.pointer_mut("/static_resources/listeners/0").unwrap();
        listener["per_connection_buffer_limit_bytes"] = json!(32_768);
    };
    assert_eq!(errors(small), ["buffers"]);
}

#[test]
fn labels_that_are_missing_are_a_warning() {
    let mut document = shipped();
    document["stats_config"] = json!({});
    let findings = find_all(&EnvoyConfig::from_document(&document), None);
    let found: Vec<_> = findings
        .iter()
        .filter(|finding| finding.check == "stats_tags")
        .collect();
    assert!(
        matches!(found.as_slice(), [one] if one.level == Level::Warning),
        "{findings:#?}"
    );
}

#[test]
fn a_dump_says_the_same_as_the_bootstrap() {
    let document = shipped();
    let wrapped = |name: &str, member: &str| -> Vec<Value> {
        let items = document["static_resources"][name].as_array().unwrap();
        items.iter().map(|item| json!({member: item})).collect()
    };
    let dump = json!({"configs": [
        {"bootstrap": {
            "stats_config": document["stats_config"],
            "node": {"user_agent_build_version": {"version": {"major_number": 1, "minor_number": 30}}},
        }},
        {"static_clusters": wrapped("clusters", "cluster")},
        {"static_listeners": wrapped("listeners", "listener")},
    ]});
    let envoy = EnvoyConfig::from_document(&dump);
    assert_eq!(envoy.version, Some([1, 30, 0]));
    let findings = find_all(&envoy, None);
    let errors: Vec<_> = findings
        .iter()
        .filter(|finding| finding.level == Level::Error)
        .collect();
    assert!(
        matches!(errors.as_slice(), [one] if one.check == "version"),
        "{errors:#?}"
    );
}

/// The shipped policy rendered with failover, and what is found in it after `change`.
fn with_failover(version: &str, change: impl FnOnce(&mut Value)) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let policy = root.join("envoy/policies/quickstart.json");
    let text = crate::command::render::rendered(&[
        "envoy",
        policy.to_str().unwrap(),
        "--envoy-version",
        version,
    ]);
    let mut document: Value = serde_yaml_ng::from_str(&text).unwrap();
    // YAML's anchors are resolved: each cluster can be changed by itself.
    change(&mut document);
    let findings = find_all(&EnvoyConfig::from_document(&document), None);
    let errors = findings
        .iter()
        .filter(|finding| finding.level == Level::Error);
    errors
        .map(|item| format!("{}: {}", item.check, item.place))
        .collect()
}

#[test]
fn what_is_rendered_with_failover_has_nothing_to_fix() {
    for version in ["1.36", "1.40"] {
        assert_eq!(with_failover(version, |_| ()), [""; 0], "{version}");
    }
}

const ROUTER: &str = r#"{"models": [{"name": "m", "benchmarks": {"mmlu": 0.5}}], "backends": [{"name": "b", "model": "m", "price": {"input": 1, "output": 1}}]}"#;

#[test]
fn faults_of_failover_are_found() {
    let filter = "/typed_extension_protocol_options/envoy.extensions.upstreams.http.v3.HttpProtocolOptions/http_filters/0/typed_config/config";
    let cluster = |all: &mut Value, pointer: &str, name: &str| {
        let cluster = &mut all["static_resources"]["clusters"][1];
        let place = cluster.pointer_mut(pointer).unwrap();
        place.as_object_mut().unwrap().remove(name).unwrap();
    };
    assert_eq!(
        with_failover("1.40", |all| cluster(all, filter, "failure_policy")),
        ["failure_policy: cluster `lpu`, upstream filter"]
    );
    assert_eq!(
        with_failover("1.40", |all| cluster(
            all,
            filter,
            "allow_on_headers_stop_iteration"
        )),
        ["stop_iteration: cluster `lpu`, upstream filter"]
    );
    // 1 MiB, Envoy's default, is what the policy takes; a little less is not enough.
    assert_eq!(
        with_failover("1.40", |all| {
            all["static_resources"]["clusters"][1]["per_connection_buffer_limit_bytes"] =
                json!(65_536);
        }),
        ["buffers: cluster `lpu`, upstream filter"]
    );
    assert_eq!(
        with_failover("1.40", |all| {
            for cluster in all["static_resources"]["clusters"].as_array_mut().unwrap() {
                let fields = cluster.as_object_mut().unwrap();
                fields.remove("typed_extension_protocol_options");
            }
        }),
        ["failover: listener `llm`, failover"]
    );
    let part = |all: &mut Value, pointer: &str, value: Value| {
        let cluster = &mut all["static_resources"]["clusters"][1];
        *cluster.pointer_mut(&format!("{filter}{pointer}")).unwrap() = value;
    };
    assert_eq!(
        with_failover("1.40", |all| part(all, "/vm_config/vm_id", json!("other"))),
        ["failover: cluster `lpu`, upstream filter"]
    );
    let configured = |text: &str| {
        let text = text.to_owned();
        with_failover("1.40", move |all| {
            part(all, "/configuration/value", json!(text))
        })
    };
    // The filter follows no chain, has a policy of its own, and is not an attempt's filter.
    assert_eq!(
        configured(r#"{"role": "attempt"}"#),
        ["failover: cluster `lpu`, upstream filter"]
    );
    assert_eq!(
        configured(r#"{"role": "attempt", "failover": "per_attempt", "policy": {}}"#),
        ["configuration: cluster `lpu`, upstream filter"]
    );
    assert_eq!(
        configured(&format!(r#"{{"policy": {ROUTER}}}"#)),
        ["configuration: cluster `lpu`, upstream filter"]
    );
    let old =
        json!({"user_agent_build_version": {"version": {"major_number": 1, "minor_number": 38}}});
    assert_eq!(
        with_failover("1.40", |all| all["node"] = old),
        ["failover: listener `llm`, failover"]
    );
}

#[test]
fn a_filter_that_is_found_by_name_is_looked_at() {
    let mut document = shipped();
    let ours = ours(&document);
    let filter = at(&mut document, &ours).clone();
    let mut config = filter["typed_config"].clone();
    config["config"]
        .as_object_mut()
        .unwrap()
        .remove("failure_policy");
    *at(&mut document, &ours) = json!({
        "name": "pointsman", "config_discovery": {"config_source": {"ads": {}}},
    });
    let dump = json!({"configs": [
        {"bootstrap": {"stats_config": document["stats_config"]}},
        {"ecds_filters": [{"ecds_filter": {"name": "pointsman", "typed_config": config}}]},
        {"static_clusters": document["static_resources"]["clusters"].as_array().unwrap().iter().map(|item| json!({"cluster": item})).collect::<Vec<_>>()},
        {"static_listeners": [{"listener": document["static_resources"]["listeners"][0]}]},
    ]});
    let findings = find_all(&EnvoyConfig::from_document(&dump), None);
    let errors: Vec<_> = findings
        .iter()
        .filter(|finding| finding.level == Level::Error)
        .map(|finding| finding.check)
        .collect();
    assert_eq!(errors, ["failure_policy"]);
}

#[test]
fn a_source_of_policies_without_its_cluster_is_found() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../envoy/remote-policy.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    let mut document: Value = serde_yaml_ng::from_str(&text).unwrap();
    let clusters = document["static_resources"]["clusters"]
        .as_array_mut()
        .unwrap();
    clusters.retain(|cluster| cluster["name"] != "pointsman-policies");
    let findings = find_all(&EnvoyConfig::from_document(&document), None);
    let errors: Vec<_> = findings
        .iter()
        .filter(|finding| finding.level == Level::Error)
        .map(|finding| finding.place.as_str())
        .collect();
    assert_eq!(errors, ["listener `llm`, cluster `pointsman-policies`"]);
}

/// The findings in a configuration that is rendered for this policy, after `change`: check, level and place.
fn found_for(policy: &Value, options: &[&str], change: impl FnOnce(&mut Value)) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.json");
    std::fs::write(&file, policy.to_string()).unwrap();
    let authorities = directory.path().join("ca.crt");
    std::fs::write(&authorities, "").unwrap();
    let arguments = [
        &[
            "envoy",
            file.to_str().unwrap(),
            "--ca",
            authorities.to_str().unwrap(),
        ],
        options,
    ];
    let text = crate::command::render::rendered(&arguments.concat());
    let mut document: Value = serde_yaml_ng::from_str(&text).unwrap();
    change(&mut document);
    let findings = find_all(&EnvoyConfig::from_document(&document), None);
    let findings = findings.iter().filter(|finding| finding.check != "module");
    findings
        .map(|finding| {
            let level = match finding.level {
                Level::Error => "error",
                Level::Warning => "warning",
            };
            format!("{level}[{}] {}", finding.check, finding.place)
        })
        .collect()
}

fn hosted() -> Value {
    json!({
        "models": [{"name": "m", "benchmarks": {"mmlu": 0.5}}],
        "backends": [{
            "name": "hosted", "model": "m", "endpoint": "https://api.example.com/openai/v1",
            "credentials": {"env": "KEY"}, "price": {"input": 1, "output": 1},
        }],
    })
}

#[test]
fn hosted_backends_are_asked_as_themselves_and_held_to_who_they_are() {
    let policy = hosted();
    assert_eq!(found_for(&policy, &[], |_| ()), [""; 0]);
    let place = "listener `llm`, backend `hosted`";
    let context = "/static_resources/clusters/0/transport_socket/typed_config/common_tls_context/validation_context";
    let untrusting = |all: &mut Value| {
        let context = all.pointer_mut(context).unwrap().as_object_mut().unwrap();
        context.remove("trusted_ca").unwrap();
    };
    assert_eq!(
        found_for(&policy, &[], untrusting),
        [format!("error[ca] {place}")]
    );
    let gone = |all: &mut Value| {
        all.pointer_mut(context).unwrap()["trusted_ca"]["filename"] = json!("/nowhere/ca.crt");
    };
    assert_eq!(
        found_for(&policy, &[], gone),
        [format!("error[ca] {place}")]
    );
    let open = |all: &mut Value| {
        let cluster = all.pointer_mut("/static_resources/clusters/0").unwrap();
        cluster
            .as_object_mut()
            .unwrap()
            .remove("transport_socket")
            .unwrap();
    };
    assert_eq!(
        found_for(&policy, &[], open),
        [format!("error[tls] {place}")]
    );
    let misnamed = |all: &mut Value| {
        let routes = format!("{MANAGER}/route_config/virtual_hosts/0/routes");
        for route in all.pointer_mut(&routes).unwrap().as_array_mut().unwrap() {
            route["route"]
                .as_object_mut()
                .unwrap()
                .remove("auto_host_rewrite");
        }
    };
    assert_eq!(
        found_for(&policy, &[], misnamed),
        [format!("error[host] {place}")]
    );
    // Without the filter of attempts both would be left out.
    let without = |all: &mut Value| {
        let cluster = all.pointer_mut("/static_resources/clusters/0").unwrap();
        cluster
            .as_object_mut()
            .unwrap()
            .remove("typed_extension_protocol_options");
        let ours = format!("{}/typed_config/config/configuration/value", ours(all));
        let text = at(all, &ours);
        let changed = text.as_str().unwrap().replace("\"aggregate\"", "\"off\"");
        *text = json!(changed);
    };
    assert_eq!(
        found_for(&policy, &[], without),
        [
            format!("error[credentials] {place}"),
            format!("error[endpoint] {place}")
        ]
    );
}

#[test]
fn what_else_is_in_reach_is_found() {
    let mut policy = hosted();
    let open = |all: &mut Value| {
        all["admin"]["address"]["socket_address"]["address"] = json!("0.0.0.0");
    };
    assert_eq!(
        found_for(&policy, &[], open),
        ["error[admin] admin interface at 0.0.0.0"]
    );
    let late = |all: &mut Value| {
        let filters = at(all, "/http_filters").as_array_mut().unwrap();
        let router = filters.len() - 1;
        filters.insert(router, json!({"name": "envoy.filters.http.jwt_authn"}));
    };
    let place = "listener `llm`, filter `envoy.filters.http.jwt_authn`";
    assert_eq!(
        found_for(&policy, &[], late),
        [format!("warning[order] {place}")]
    );
    policy["tenant"] = json!({"header": "x-tenant"});
    assert_eq!(
        found_for(&policy, &[], late),
        [format!("error[order] {place}")]
    );
    let second = |all: &mut Value| {
        let hosts = at(all, "/route_config/virtual_hosts")
            .as_array_mut()
            .unwrap();
        hosts.push(json!({"name": "other", "domains": ["other"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": "hosted"}},
        ]}));
        hosts.push(json!({"name": "quiet", "domains": ["quiet"], "routes": [
            {"match": {"prefix": "/"}, "direct_response": {"status": 204}},
        ]}));
    };
    assert_eq!(
        found_for(&policy, &[], second),
        ["warning[routes] listener `llm`, virtual host `other`"]
    );
}

#[test]
fn hosts_at_which_nobody_answers_are_reported() {
    let host = |port: u16, health: Value| json!({"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}, "health_status": health});
    let document = json!({"cluster_statuses": [
        {"name": "a", "host_statuses": [
            host(1, json!({"eds_health_status": "HEALTHY"})),
            host(2, json!({"failed_active_health_check": true})),
            host(3, json!({"failed_outlier_check": true})),
        ]},
        {"name": "elsewhere", "host_statuses": [host(4, json!({}))]},
    ]});
    let connect =
        |address: std::net::SocketAddr| (address.port() == 1).then(|| "refused".to_owned());
    let hosts = super::hosts::hosts(&document, &["a".to_owned()], &connect);
    let reported: Vec<_> = hosts
        .iter()
        .filter_map(|host| host.problem.as_deref())
        .collect();
    assert_eq!(
        reported,
        [
            "refused",
            "its health check fails",
            "Envoy has ejected it after failures"
        ]
    );
    assert_eq!(hosts[0].address, "127.0.0.1:1");
}

#[test]
fn a_log_of_values_that_are_not_set_is_found() {
    let mut document = shipped();
    let place = format!(
        "{}/typed_config/config/configuration/value",
        ours(&document)
    );
    let value = at(&mut document, &place);
    let text = value.as_str().unwrap();
    *value = json!(text.replacen('{', "{\"filter_state\": \"none\",", 1));
    let checks = |document: &Value| -> Vec<&str> {
        let findings = find_all(&EnvoyConfig::from_document(document), None);
        let checks = findings.iter().map(|finding| finding.check);
        checks.filter(|check| *check != "module").collect()
    };
    assert_eq!(checks(&document), ["filter_state"]);
    remove(&mut document, "", "access_log");
    assert_eq!(checks(&document), [""; 0]);
}

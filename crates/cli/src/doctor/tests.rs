use std::path::Path;

use serde_json::{Value, json};

use super::subject::Subject;
use super::{Level, checks};

fn shipped() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../envoy/envoy.yaml");
    serde_yaml_ng::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

/// Names of the checks that find an error in the shipped configuration after `change`.
fn errors(change: impl FnOnce(&mut Value)) -> Vec<&'static str> {
    let mut document = shipped();
    change(&mut document);
    let findings = checks::all(&Subject::of_document(&document), None);
    let errors = findings.iter().filter(|one| one.level == Level::Error);
    errors.map(|one| one.check).collect()
}

fn at<'d>(document: &'d mut Value, pointer: &str) -> &'d mut Value {
    let whole = format!("{MANAGER}{pointer}");
    document
        .pointer_mut(&whole)
        .unwrap_or_else(|| panic!("no {whole}"))
}

fn remove(document: &mut Value, pointer: &str, name: &str) {
    at(document, pointer)
        .as_object_mut()
        .unwrap()
        .remove(name)
        .unwrap();
}

#[test]
fn the_shipped_configuration_has_nothing_to_mend() {
    let subject = Subject::of_document(&shipped());
    assert_eq!(subject.sites.len(), 1);
    let findings = checks::all(&subject, None);
    let found: Vec<_> = findings
        .iter()
        .filter(|one| one.check != "module")
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn each_fault_is_found() {
    let config = "/http_filters/0/typed_config/config";
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
            at(all, "/http_filters").as_array_mut().unwrap().remove(0);
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
    let findings = checks::all(&Subject::of_document(&document), None);
    let found: Vec<_> = findings
        .iter()
        .filter(|one| one.check == "stats_tags")
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
    let subject = Subject::of_document(&dump);
    assert_eq!(subject.version, Some([1, 30, 0]));
    let findings = checks::all(&subject, None);
    let errors: Vec<_> = findings
        .iter()
        .filter(|one| one.level == Level::Error)
        .collect();
    assert!(
        matches!(errors.as_slice(), [one] if one.check == "version"),
        "{errors:#?}"
    );
}

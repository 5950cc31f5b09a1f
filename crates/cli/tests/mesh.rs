//! `envoy/istio` and `envoy/gateway`: what is shipped is what `pointsman render` writes, every object has the shape that its
//! kind allows, and the names in one file are those in the others. That patched Envoys decide is shown in `tests/envoy/mesh.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod repository;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use pointsman::policy::Policy;
use pointsman_harness::files;
use serde::Deserialize as _;
use serde_json::{Value, json};

use pointsman_harness::files::read;
use repository::{assert_rendered, pointsman, printed, written_by};

fn documents(path: &str) -> Vec<Value> {
    serde_yaml_ng::Deserializer::from_str(&read(path))
        .map(|document| {
            Value::deserialize(document).unwrap_or_else(|error| panic!("{path}: {error}"))
        })
        .collect()
}

/// The files of both folders, by path.
fn shipped() -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["envoy/istio", "envoy/gateway"] {
        for entry in fs::read_dir(files::root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".yaml") {
                found.push(format!("{folder}/{name}"));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn patches_are_what_render_writes() {
    for path in [
        "envoy/istio/gateway.yaml",
        "envoy/istio/sidecar.yaml",
        "envoy/gateway/patch.yaml",
    ] {
        assert_rendered(path);
    }
}

/// The shapes of every kind that is known, by version and kind.
fn kinds() -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for file in ["istio", "envoy-gateway", "gateway-api", "kubernetes"] {
        let document: Value =
            serde_json::from_str(&read(&format!("tests/data/crds/{file}.json"))).unwrap();
        assert!(document["source"].is_string());
        let Value::Object(kinds) = document["kinds"].clone() else {
            panic!("{file}");
        };
        all.extend(kinds);
    }
    all
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the shapes have no type `{other}`"),
    }
}

/// The problems of a value, each with its place.
fn problems(shape: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    let kinds: Vec<&str> = match &shape["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !kinds.is_empty() && !kinds.iter().any(|kind| is_of(kind, value)) {
        let article = if kinds
            .first()
            .is_some_and(|kind| kind.starts_with(['a', 'e', 'i', 'o']))
        {
            "an"
        } else {
            "a"
        };
        found.push(format!("{place} is not {article} {}", kinds.join(" or ")));
        return;
    }
    if let Some(allowed) = shape["enum"].as_array()
        && !allowed.contains(value)
    {
        found.push(format!("{place} cannot be {value}"));
    }
    if shape["any"] == json!(true) {
        return;
    }
    match value {
        Value::Object(members) => {
            for name in shape["required"].as_array().into_iter().flatten() {
                if !members.contains_key(name.as_str().unwrap()) {
                    found.push(format!("{place} lacks {name}"));
                }
            }
            let some = shape["at_most_one"].as_array().into_iter().flatten();
            if some
                .filter(|name| members.contains_key(name.as_str().unwrap()))
                .count()
                > 1
            {
                found.push(format!(
                    "{place} has more than one of {}",
                    shape["at_most_one"]
                ));
            }
            for (name, member) in members {
                let place = format!("{place}.{name}");
                match (
                    shape["properties"].get(name),
                    shape.get("additionalProperties"),
                ) {
                    (Some(shape), _) | (None, Some(shape)) => {
                        problems(shape, member, &place, found)
                    }
                    (None, None) => found.push(format!("{place} is unknown")),
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                problems(&shape["items"], item, &format!("{place}[{index}]"), found);
            }
        }
        _ => {}
    }
}

/// The problems of a Kubernetes object.
fn wrong(kinds: &BTreeMap<String, Value>, object: &Value) -> Vec<String> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let (Some(version), Some(kind)) = (text("/apiVersion"), text("/kind")) else {
        return vec!["it is not an object of Kubernetes".into()];
    };
    let mut found = Vec::new();
    let name = text("/metadata/name").unwrap_or_default();
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    if name.is_empty() || !name.bytes().all(plain) {
        found.push(format!("{kind} has no name, or one that is not allowed"));
    }
    match kinds.get(&format!("{version} {kind}")) {
        Some(shape) => problems(shape, &object["spec"], "spec", &mut found),
        None => found.push(format!("{version} {kind} is not a kind that is known")),
    }
    found
}

#[test]
fn every_object_has_the_shape_of_its_kind() {
    let kinds = kinds();
    let mut seen = BTreeSet::new();
    for path in shipped() {
        for object in documents(&path) {
            if object["kind"] == "Kustomization" {
                continue;
            }
            let found = wrong(&kinds, &object);
            assert!(found.is_empty(), "{path}: {found:#?}");
            let part = |name: &str| object[name].as_str().unwrap().to_owned();
            seen.insert(format!("{} {}", part("apiVersion"), part("kind")));
        }
    }
    let unused: Vec<_> = kinds.keys().filter(|kind| !seen.contains(*kind)).collect();
    assert!(unused.is_empty(), "no file has a {unused:?}");
}

#[test]
fn mistakes_in_objects_are_found() {
    let kinds = kinds();
    let filter = &documents("envoy/istio/gateway.yaml")[0];
    let spoilt = |pointer: &str, value: Value| {
        let mut object = filter.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[name] = value;
        wrong(&kinds, &object).join("; ")
    };
    assert_eq!(
        spoilt("/spec/configPatches/0/applyTo", json!("LISTENERS")),
        "spec.configPatches[0].applyTo cannot be \"LISTENERS\""
    );
    assert_eq!(
        spoilt("/spec/configPatches/0/match/contxt", json!("GATEWAY")),
        "spec.configPatches[0].match.contxt is unknown"
    );
    assert_eq!(
        spoilt(
            "/spec/configPatches/0/match/listener",
            json!({"portNumber": "80"})
        ),
        "spec.configPatches[0].match.listener.portNumber is not an integer"
    );
    assert_eq!(
        spoilt("/spec/workloadSelector", json!(["istio"])),
        "spec.workloadSelector is not an object"
    );
    assert!(
        spoilt(
            "/spec/configPatches/0/match",
            json!({"listener": {}, "cluster": {}})
        )
        .contains("more than one")
    );
    let policy = &documents("envoy/gateway/patch.yaml")[1];
    let mut policy = policy.clone();
    policy["spec"].as_object_mut().unwrap().remove("targetRef");
    assert_eq!(wrong(&kinds, &policy), ["spec lacks \"targetRef\""]);
}

/// `outbound|PORT||HOST` for every port of every service and entry.
fn clusters_of_istio() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for object in documents("envoy/istio/backends.yaml") {
        let hosts = match object["kind"].as_str().unwrap() {
            "Service" => {
                let part = |name: &str| object["metadata"][name].as_str().unwrap();
                vec![format!(
                    "{}.{}.svc.cluster.local",
                    part("name"),
                    part("namespace")
                )]
            }
            "ServiceEntry" => serde_json::from_value(object["spec"]["hosts"].clone()).unwrap(),
            _ => continue,
        };
        for port in object["spec"]["ports"].as_array().unwrap() {
            let number = port.get("number").or(port.get("port")).unwrap();
            found.extend(
                hosts
                    .iter()
                    .map(|host| format!("outbound|{number}||{host}")),
            );
        }
    }
    found
}

#[test]
fn the_names_agree() {
    let clusters = clusters_of_istio();
    let policy = Policy::compile(&read("envoy/istio/policy.json")).unwrap();
    for name in policy.clusters() {
        assert!(
            clusters.contains(name),
            "nothing makes the cluster `{name}`"
        );
    }
    // The hosts that are patched are those that requests are sent to.
    let host = |path: &str| {
        let command = written_by(path);
        let mut words = command
            .split(' ')
            .skip_while(|word| *word != "--virtual-host");
        words.nth(1).unwrap().to_owned()
    };
    let (called, port) = host("envoy/istio/sidecar.yaml")
        .rsplit_once(':')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    assert!(clusters.contains(&format!("outbound|{port}||{called}")));
    let objects = documents("envoy/istio/backends.yaml");
    let spec = |kind: &str| &objects.iter().find(|item| item["kind"] == kind).unwrap()["spec"];
    let outside = spec("VirtualService")["hosts"][0].as_str().unwrap();
    assert_eq!(spec("Gateway")["servers"][0]["hosts"][0], outside);
    let port = &spec("Gateway")["servers"][0]["port"]["number"];
    assert_eq!(
        host("envoy/istio/gateway.yaml"),
        format!("{outside}:{port}")
    );

    // The gateway, and what patches it and brings it the module.
    let patch = documents("envoy/gateway/patch.yaml");
    let gateway = documents("envoy/gateway/gateway.yaml");
    let gateway = gateway
        .iter()
        .find(|item| item["kind"] == "Gateway")
        .unwrap();
    assert_eq!(
        patch[1]["spec"]["targetRef"]["name"],
        gateway["metadata"]["name"]
    );
    let parameters = &gateway["spec"]["infrastructure"]["parametersRef"];
    assert_eq!(
        (&parameters["kind"], &parameters["name"]),
        (&patch[0]["kind"], &patch[0]["metadata"]["name"])
    );
    let port = &gateway["spec"]["listeners"][0]["port"];
    let patches = patch[1]["spec"]["jsonPatches"].as_array().unwrap();
    assert_eq!(patches[0]["name"], format!("tcp-{port}"));
    // Behind whatever authenticates clients, on every virtual host.
    for patch in patches {
        let operation = patch["operation"].to_string();
        assert!(!operation.contains("http_filters/0"), "{operation}");
        assert!(!operation.contains("virtual_hosts/0"), "{operation}");
    }

    // Every file that kustomize puts together exists.
    let kustomization = &documents("envoy/istio/kustomization.yaml")[0];
    let names = kustomization["resources"].as_array().unwrap().iter();
    let names = names.chain(
        kustomization["configMapGenerator"][0]["files"]
            .as_array()
            .unwrap(),
    );
    for name in names {
        assert!(
            files::root()
                .join("envoy/istio")
                .join(name.as_str().unwrap())
                .exists(),
            "{name}"
        );
    }
}

/// The logs of a mesh are its own: only its operator knows whether they print what the filter sets.
#[test]
fn values_that_the_logs_of_a_mesh_do_not_print_are_not_set() {
    const NO_VALUES: &str = "\"filter_state\": \"none\"";
    const OPTION: &str = " --access-log none";
    let otlp = ["--otlp", "collector.example:4317"];
    for path in ["envoy/istio/gateway.yaml", "envoy/gateway/patch.yaml"] {
        let command = written_by(path);
        let words: Vec<&str> = command.split(' ').collect();
        assert!(!read(path).contains(NO_VALUES), "{path}");
        let none = printed(&[&words[..], &["--access-log", "none"]].concat());
        assert!(none.contains(NO_VALUES) && none.contains(OPTION), "{path}");
        if path.starts_with("envoy/istio") {
            let options = [&words[..], &["--access-log", "none"], &otlp].concat();
            assert!(!printed(&options).contains(NO_VALUES));
        }
    }
}

#[test]
fn what_a_mesh_cannot_do_is_refused() {
    let message = |arguments: &[&str]| {
        let output = pointsman(&files::root(), &[&["render"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let policy = "envoy/istio/policy.json";
    let remote = ["--module", "oci://registry.example/pointsman:1"];
    let reported = message(&[
        "envoy-gateway",
        "envoy/gateway/policy.json",
        "--failover",
        "off",
        remote[0],
        remote[1],
    ]);
    assert_eq!(
        reported,
        "error: `oci://registry.example/pointsman:1` is not a file: only Istio fetches a module, and only with `--failover off`\n"
    );
    let reported = message(&[
        "istio",
        policy,
        "--envoy-version",
        "1.40",
        remote[0],
        remote[1],
    ]);
    assert!(
        reported.contains("only with `--failover off`"),
        "{reported}"
    );
    let reported = message(&["istio", policy, "--failover", "off", "--context", "sidecar"]);
    assert!(
        reported.starts_with("error: say by `--virtual-host`"),
        "{reported}"
    );
    let reported = message(&[
        "istio",
        policy,
        "--failover",
        "off",
        "--selector",
        "gateway",
    ]);
    assert_eq!(
        reported,
        "error: `gateway` is not a label, such as `istio=ingressgateway`\n"
    );
    // Settings that need the filter of attempts are not dropped silently.
    let directory = tempfile::tempdir().unwrap();
    let changed = |backend: Value| {
        let mut document: Value = serde_json::from_str(&read(policy)).unwrap();
        let fields = document["backends"][3].as_object_mut().unwrap();
        fields.extend(backend.as_object().unwrap().clone());
        let file = directory.path().join("policy.json");
        fs::write(&file, document.to_string()).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let keyed = changed(json!({"credentials": {"env": "KEY"}}));
    for form in ["istio", "envoy-gateway"] {
        let reported = message(&[form, &keyed, "--failover", "off"]);
        assert!(
            reported.contains(
                "backend `serverless` has `credentials`, which the filter of attempts puts in"
            ),
            "{reported}"
        );
        assert!(reported.contains("`--envoy-version 1.39`"), "{reported}");
    }
    let pathed =
        changed(json!({"credentials": null, "endpoint": "https://api.provider.example/openai/v1"}));
    let text = fs::read_to_string(&pathed)
        .unwrap()
        .replace("\"credentials\":null,", "");
    fs::write(&pathed, text).unwrap();
    let reported = message(&["istio", &pathed, "--failover", "off"]);
    assert!(
        reported.contains("an endpoint with the path `/openai/v1`"),
        "{reported}"
    );
    let limited = changed(json!({"timeouts": {"total_ms": 60_000}}));
    let reported = message(&["istio", &limited, "--failover", "off"]);
    assert!(
        reported.contains("`timeouts.total_ms`, and its cluster is the mesh's"),
        "{reported}"
    );
    // Endpoints of the mesh have no names that a chain could know them by.
    let reported = message(&["istio", policy]);
    assert!(
        reported.contains("an aggregate cannot tell which backend"),
        "{reported}"
    );
    let reported = message(&[
        "envoy-gateway",
        "envoy/gateway/policy.json",
        "--otlp",
        "127.0.0.1:4317",
    ]);
    assert_eq!(
        reported,
        "error: `--otlp` is for `render envoy` and `istio`: Envoy Gateway takes telemetry from its `EnvoyProxy` alone\n"
    );
}

/// Names that Envoy would refuse are refused here, with the clusters that they are made of.
#[test]
fn clusters_of_one_name_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.json");
    let policy = |clusters: [&str; 3]| {
        let backends = clusters.iter().enumerate().map(|(index, cluster)| {
            json!({"name": format!("n{index}"), "cluster": cluster, "model": "m",
                   "endpoint": format!("http://10.0.0.{index}:80"), "price": {"input": 1, "output": 1}})
        });
        let backends: Vec<Value> = backends.collect();
        let text =
            json!({"models": [{"name": "m", "benchmarks": {"mmlu": 0.5}}], "backends": backends});
        fs::write(&file, text.to_string()).unwrap();
    };
    let path = file.to_str().unwrap();
    let render =
        |more: &[&str]| pointsman(&files::root(), &[&["render", "envoy", path], more].concat());
    policy(["a", "b", "a+b"]);
    let refused = render(&[]);
    assert_eq!(refused.status.code(), Some(2));
    let reported = String::from_utf8(refused.stderr).unwrap();
    assert!(
        reported.starts_with(
            "error: two clusters would be called `a+b`: one is an aggregate of `a` and `b`"
        ),
        "{reported}"
    );
    // Newer Envoys need no aggregates.
    assert!(render(&["--envoy-version", "1.40"]).status.success());
    let checked = pointsman(&files::root(), &["check", path]);
    let reported = String::from_utf8(checked.stdout).unwrap();
    assert!(reported.contains("backends[2].cluster: for Envoy before 1.39 the aggregate of `a` and `b` is called `a+b` as well"), "{reported}");
    policy(["a", "b", "pointsman-otlp"]);
    let reported = String::from_utf8(render(&[]).stderr).unwrap();
    assert!(reported.contains("is one of Pointsman's own"), "{reported}");
    policy(["a", "b", " c"]);
    let checked = pointsman(&files::root(), &["check", path]);
    assert_eq!(checked.status.code(), Some(1));
}

//! The patches for Istio and Envoy Gateway as they are shipped, applied to configurations of the kind that these two
//! generate, in real Envoys. No mesh is run: what is shown is that the outcome is an Envoy that decides and is healthy.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use pointsman::telemetry::state;
use pointsman_harness::config::Config;
use pointsman_harness::envoy::Envoy;
use pointsman_harness::http1::Request;
use pointsman_harness::otlp::Collector;
use pointsman_harness::{files, mesh, metrics};
use serde_json::{Value, json};

use crate::Test;
use crate::world::{CHAT, Case, ask};

pub const TESTS: &[Test] = &[
    ("mesh::istio_gateway", istio_gateway),
    (
        "mesh::istio_reports_to_a_collector",
        istio_reports_to_a_collector,
    ),
    ("mesh::istio_sidecar", istio_sidecar),
    ("mesh::envoy_gateway", envoy_gateway),
    ("mesh::envoy_gateway_fails_over", envoy_gateway_fails_over),
];

/// The documents of a shipped file.
fn shipped(path: &str) -> Vec<Value> {
    documents(&std::fs::read_to_string(files::root().join(path)).unwrap())
}

fn documents(text: &str) -> Vec<Value> {
    use serde::Deserialize as _;
    serde_yaml_ng::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).unwrap())
        .collect()
}

fn of_kind<'d>(documents: &'d [Value], kind: &str) -> &'d Value {
    let mut found = documents.iter().filter(|document| document["kind"] == kind);
    found.next().unwrap_or_else(|| panic!("there is no {kind}"))
}

fn policy(path: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(files::root().join(path)).unwrap()).unwrap()
}

fn socket(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

fn cluster(name: &str, address: SocketAddr) -> Value {
    json!({
        "name": name, "type": "STATIC", "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [
            {"lb_endpoints": [{"endpoint": {"address": socket(address)}}]},
        ]},
    })
}

/// A connection manager as a mesh makes it: its own filters, its own access log, one default route.
fn manager(routes: &str, host: &str, default: &str) -> Value {
    json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "mesh",
            "use_remote_address": true,
            "route_config": {"name": routes, "virtual_hosts": [
                {"name": "elsewhere.example:80", "domains": ["elsewhere.example"],
                 "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 204}}]},
                {"name": host, "domains": ["*"],
                 "routes": [{"match": {"prefix": "/"}, "route": {"cluster": default, "timeout": "0s"}}]},
            ]},
            "http_filters": [
                {"name": "istio.alpn", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"}},
                {"name": "envoy.filters.http.router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}},
            ],
        },
    })
}

/// The bootstrap with these listeners and clusters.
fn bootstrap(listener: &Value, clusters: &[Value]) -> Value {
    json!({
        "node": {"id": "test", "cluster": "test"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "static_resources": {"listeners": [listener], "clusters": clusters},
    })
}

/// A configuration as Istio generates it: a cluster for each service, the policy's among them.
fn of_istio(case: &Case, port: u16, routes: &str, host: &str) -> Value {
    let policy = policy("envoy/istio/policy.json");
    let backends = policy["backends"].as_array().unwrap();
    let clusters: Vec<Value> = backends
        .iter()
        .map(|backend| {
            let address = case.backends().get(backend["name"].as_str().unwrap());
            cluster(
                backend["cluster"].as_str().unwrap(),
                address.unwrap().address,
            )
        })
        .collect();
    let default = policy["default_cluster"].as_str().unwrap();
    let listener = json!({
        "name": format!("0.0.0.0_{port}"),
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [manager(routes, host, default)]}],
    });
    bootstrap(&listener, &clusters)
}

/// Starts what was patched, on a port of the system's, with the module where it was built.
fn start(case: &Case, mut patched: Value) -> Envoy {
    let listener = &mut patched["static_resources"]["listeners"][0];
    listener["address"]["socket_address"]["port_value"] = json!(0);
    let mut modules = 0;
    set_modules(&mut patched, &json!(case.module()), &mut modules);
    assert!(modules > 0, "nothing runs the module");
    case.start(&Config::parse(&patched.to_string()).unwrap())
}

fn set_modules(value: &mut Value, module: &Value, count: &mut usize) {
    match value {
        Value::Object(members) => {
            if let Some(vm) = members.get_mut("vm_config") {
                vm["code"] = json!({"local": {"filename": module}});
                *count += 1;
            }
            members
                .values_mut()
                .for_each(|member| set_modules(member, module, count));
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| set_modules(item, module, count)),
        _ => {}
    }
}

/// The filter decides, follows its decisions, keeps clients from deciding, falls back, counts with labels; and doctor finds nothing.
fn assert_routes(case: &Case, envoy: &Envoy) {
    for (asked, backend, served) in [
        ("llama-3.1-8b", "lpu", "llama-3.1-8b-instant"),
        ("gpt-4o", "serverless", "gpt-4o"),
    ] {
        let body = ask(asked, "hi");
        let request = Request::post(CHAT, &body).header("x-pointsman-cluster", b"cpu");
        let done = case.send_to(envoy.address(), request);
        assert_eq!(done.status(), 200, "{}", done.response.text());
        let (arrived_at, received) = done.only();
        assert_eq!(arrived_at, backend);
        assert_eq!(received.json()["model"], served);
        assert_eq!(done.reported("backend"), Some(backend));
        assert_eq!(done.reported("attempts"), Some("1"));
        assert_eq!(received.header("x-pointsman-cluster"), None);
    }
    let done = case.send_to(envoy.address(), Request::post(CHAT, &ask("auto", "hi")));
    assert_eq!(done.status(), 200);
    assert_eq!(done.reported("profile"), Some("auto"));
    // Other requests take the mesh's own route.
    let done = case.send_to(envoy.address(), Request::get("/health"));
    assert_eq!((done.status(), done.only().0), (200, "gpu"));

    let labels = [("model", "llama-3.1-8b"), ("backend", "lpu")];
    let decisions = || metrics::sum(&envoy.metrics(), "pointsman_decisions", &labels);
    assert!(
        envoy.wait_for(|_| decisions() >= 1.0),
        "metrics have no labels"
    );

    let output = Command::new(Path::new(env!("CARGO_BIN_EXE_pointsman")))
        .args(["doctor", "--strict", "--admin"])
        .arg(envoy.admin_address().to_string())
        .output()
        .unwrap();
    let reported = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{reported}");
}

fn istio_gateway(case: &Case) {
    let mut patched = of_istio(case, 8080, "http.8080", "llm.example.com:80");
    let filter = &shipped("envoy/istio/gateway.yaml")[0];
    mesh::apply_envoy_filter(&mut patched, filter, "GATEWAY").unwrap();
    assert_routes(case, &start(case, patched));
}

/// Rendered with a collector, it gets a log record and a span of each request, and the mesh keeps what it has.
fn istio_reports_to_a_collector(case: &Case) {
    let collector = Collector::start().unwrap();
    let output = Command::new(Path::new(env!("CARGO_BIN_EXE_pointsman")))
        .args(["render", "istio", "envoy/istio/policy.json"])
        .args(["--envoy-version", case.version, "--failover", "off"])
        .args(["--otlp", &collector.address().to_string()])
        .current_dir(files::root())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let filter = &documents(&String::from_utf8(output.stdout).unwrap())[0];
    let mut patched = of_istio(case, 8080, "http.8080", "llm.example.com:80");
    mesh::apply_envoy_filter(&mut patched, filter, "GATEWAY").unwrap();
    let envoy = start(case, patched);
    let done = case.send_to(
        envoy.address(),
        Request::post(CHAT, &ask("llama-3.1-8b", "hi")),
    );
    assert_eq!(done.status(), 200);
    for service in ["LogsService", "TraceService"] {
        assert!(envoy.wait_for(|_| !collector.received(service).is_empty()));
        let record = &collector.received(service)[0];
        assert_eq!(record.attribute(state::BACKEND), Some("lpu"), "{record:?}");
        let served = record.attribute(state::RESPONSE_MODEL);
        assert_eq!(served, Some("llama-3.1-8b-instant"), "{record:?}");
        let tokens = record.attribute(state::OUTPUT_TOKENS);
        let tokens: Option<u64> = tokens.and_then(|text| text.parse().ok());
        assert!(tokens > Some(0), "{record:?}");
    }
}

fn istio_sidecar(case: &Case) {
    let mut patched = of_istio(case, 8090, "8090", "llm.llm.svc.cluster.local:8090");
    let filter = &shipped("envoy/istio/sidecar.yaml")[0];
    mesh::apply_envoy_filter(&mut patched, filter, "SIDECAR_OUTBOUND").unwrap();
    // Other ports of the same sidecar are left alone.
    let mut other = of_istio(case, 80, "80", "llm.llm.svc.cluster.local:8090");
    assert!(mesh::apply_envoy_filter(&mut other, filter, "SIDECAR_OUTBOUND").is_err());
    assert_routes(case, &start(case, patched));
}

/// The configuration that Envoy Gateway generates from `envoy/gateway/gateway.yaml`, patched by `documents`, with the tests' backends as clusters.
fn of_envoy_gateway(case: &Case, documents: &[Value]) -> Value {
    let route = "httproute/default/llm/rule/0";
    let listener = json!({
        "name": "tcp-80",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 10080}},
        "default_filter_chain": {"filters": [manager("http-80", "http-80/*", route)]},
    });
    let gpu = case.backends().get("gpu").unwrap().address;
    let mut patched = bootstrap(&listener, &[cluster(route, gpu)]);
    // The filter that authenticates clients stands before the router, as Envoy Gateway puts it there.
    let manager = "/static_resources/listeners/0/default_filter_chain/filters/0/typed_config";
    let filters = format!("{manager}/http_filters");
    let authenticates = json!({
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"},
    });
    let list = patched
        .pointer_mut(&filters)
        .unwrap()
        .as_array_mut()
        .unwrap();
    list.insert(1, authenticates);
    mesh::apply_patch_policy(&mut patched, of_kind(documents, "EnvoyPatchPolicy")).unwrap();
    let list = patched.pointer(&filters).unwrap().as_array().unwrap();
    let place = |name: &str| list.iter().position(|item| item["name"] == name).unwrap();
    assert!(place("envoy.filters.http.jwt_authn") < place("pointsman"));
    assert!(place("pointsman") < place("envoy.filters.http.router"));
    // Every virtual host follows decisions, not only the first.
    let hosts = patched.pointer(&format!("{manager}/route_config/virtual_hosts"));
    for host in hosts.unwrap().as_array().unwrap() {
        let routes = host["routes"].as_array().unwrap().iter();
        let followed = routes.filter(|route| {
            let way = &route["route"];
            way.get("cluster_header").is_some()
                || way.get("inline_cluster_specifier_plugin").is_some()
        });
        assert!(followed.count() > 0, "{}", host["name"]);
        assert!(
            host["request_headers_to_remove"].is_array(),
            "{}",
            host["name"]
        );
    }
    let proxy = of_kind(documents, "EnvoyProxy");
    let more = proxy["spec"]["bootstrap"]["value"].as_str().unwrap();
    mesh::merge(&mut patched, &serde_yaml_ng::from_str(more).unwrap());
    for cluster in patched["static_resources"]["clusters"]
        .as_array_mut()
        .unwrap()
    {
        let name = cluster["name"].as_str().unwrap_or_default().to_owned();
        let Some(backend) = case.backends().get(&name) else {
            continue;
        };
        let endpoint = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address";
        *cluster.pointer_mut(endpoint).unwrap() = socket(backend.address);
        cluster["type"] = json!("STATIC");
        // The tests' backends speak plain HTTP.
        cluster.as_object_mut().unwrap().remove("transport_socket");
    }
    let text = patched.to_string().replace("https://", "http://");
    serde_json::from_str(&text).unwrap()
}

fn envoy_gateway(case: &Case) {
    let documents = shipped("envoy/gateway/patch.yaml");
    let patched = of_envoy_gateway(case, &documents);
    assert_routes(case, &start(case, patched));
}

/// Rendered with failover, the same policy survives a dead backend.
fn envoy_gateway_fails_over(case: &Case) {
    let version = case.version.rsplit_once('.').unwrap().0;
    let output = Command::new(Path::new(env!("CARGO_BIN_EXE_pointsman")))
        .args([
            "render",
            "envoy-gateway",
            "envoy/gateway/policy.json",
            "--envoy-version",
            version,
        ])
        .current_dir(files::root())
        .output()
        .unwrap();
    let documents = documents(&String::from_utf8(output.stdout).unwrap());
    let envoy = start(case, of_envoy_gateway(case, &documents));
    let body = ask("auto:cheap", "Which planet is the largest?");
    let id = case.id();
    let send = || {
        let request = Request::post(CHAT, &body).header("x-test-id", id.as_bytes());
        request.send(envoy.address()).unwrap()
    };
    let first = send();
    assert_eq!(first.status, 200, "{}", first.text());
    let backend = first.header("x-pointsman-backend").unwrap().to_owned();
    let fault = json!({"kind": "status", "status": 503, "test": id});
    case.backends()
        .get(&backend)
        .unwrap()
        .fault(&fault)
        .unwrap();
    let second = send();
    assert_eq!(second.status, 200, "{}", second.text());
    assert_eq!(second.header("x-pointsman-attempts"), Some("2"));
    assert!(!second.text().contains(&format!("demo backend {backend} ")));
}

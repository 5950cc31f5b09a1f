//! The Compose file: every command line in it is run natively with the same files, and everything else that it says is held
//! against what it has to agree with. `compose_engine.rs` runs the file itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use pointsman::control::plugin::Plugin;
use pointsman_harness::child::Child;
use pointsman_harness::files::{self, read, yaml};
use pointsman_harness::http1::Request;
use pointsman_harness::prometheus::Prometheus;
use serde_json::Value;

/// The services, and the Envoy configuration that they have to agree with.
struct Compose {
    services: serde_json::Map<String, Value>,
    bootstrap: Value,
}

impl Compose {
    fn read() -> Compose {
        let document = yaml("docker-compose.yml");
        assert!(document.get("volumes").is_none(), "a volume would stay");
        let services = document["services"].as_object().unwrap().clone();
        let compose = Compose {
            services,
            bootstrap: Value::Null,
        };
        let (configuration, _) = compose.mounts("envoy").swap_remove(0);
        let text = fs::read_to_string(configuration).unwrap();
        Compose {
            bootstrap: serde_yaml_ng::from_str(&text).unwrap(),
            ..compose
        }
    }

    /// A list of texts in a service.
    fn texts(&self, service: &str, field: &str) -> Vec<String> {
        let list = self.services[service][field].as_array();
        let texts = list.into_iter().flatten();
        texts
            .map(|text| text.as_str().unwrap().to_owned())
            .collect()
    }

    /// Files on this side and in the container, of a service's mounts. What is not there is an error: an engine would make a
    /// folder of it, which no container could use and no build replace.
    fn mounts(&self, service: &str) -> Vec<(PathBuf, PathBuf)> {
        let list = self.services[service]["volumes"].as_array();
        let split = |mount: &Value| {
            let part = |name: &str| mount[name].as_str().unwrap_or_default();
            assert_eq!(part("type"), "bind", "{service}: {mount}");
            let source = part("source");
            assert!(source.starts_with("./"), "{service}: {mount} is a volume");
            assert_eq!(mount["read_only"], true, "{service}: {mount}");
            assert_eq!(
                mount["bind"]["create_host_path"], false,
                "{service}: {mount}"
            );
            (files::root().join(source), PathBuf::from(part("target")))
        };
        list.into_iter().flatten().map(split).collect()
    }

    /// The path on this side of a path in a container.
    fn outside(&self, service: &str, path: &str) -> PathBuf {
        let mounts = self.mounts(service);
        let found = mounts.iter().find_map(|(source, target)| {
            let rest = Path::new(path).strip_prefix(target).ok()?;
            // `join("")` would make a folder of a file.
            Some(match rest.as_os_str().is_empty() {
                true => source.clone(),
                false => source.join(rest),
            })
        });
        found.unwrap_or_else(|| panic!("{service}: nothing is mounted at {path}"))
    }

    /// The address of Envoy's cluster of this name, which has to be the loopback address.
    fn port_of(&self, cluster: &str) -> u64 {
        let clusters = self.bootstrap["static_resources"]["clusters"].as_array();
        let found = clusters
            .unwrap()
            .iter()
            .find(|item| item["name"] == cluster);
        let socket = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address";
        let socket = found.unwrap().pointer(socket).unwrap();
        assert_eq!(socket["address"], "127.0.0.1");
        socket["port_value"].as_u64().unwrap()
    }

    fn plugin(&self) -> Plugin {
        let filters =
            "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";
        let mut filters = self
            .bootstrap
            .pointer(filters)
            .unwrap()
            .as_array()
            .unwrap()
            .iter();
        let ours = filters
            .find(|filter| filter["name"] == "pointsman")
            .unwrap();
        let text = ours.pointer("/typed_config/config/configuration/value");
        let text = text.unwrap().as_str().unwrap();
        Plugin::compile(text.as_bytes()).unwrap()
    }
}

#[test]
fn images_are_pinned_mounts_are_there_and_nothing_stays() {
    let compose = Compose::read();
    let mut images = BTreeSet::new();
    for (name, service) in &compose.services {
        let image = service["image"].as_str().unwrap();
        images.insert(image);
        let (_, tag) = image.rsplit_once(':').unwrap_or((image, "latest"));
        assert!(
            tag.split('.').count() == 3,
            "{name}: `{image}` is not pinned"
        );
        for (source, _) in compose.mounts(name) {
            let hint = "it is neither in the repository nor made by `make wasm`";
            assert!(
                source.exists(),
                "{name}: {} is missing: {hint}",
                source.display()
            );
        }
        if let Some(file) = service["build"]["dockerfile"].as_str() {
            for line in read(file).lines().filter(|line| line.starts_with("FROM ")) {
                assert!(line.contains(':'), "{file}: `{line}` is not pinned");
            }
            let words = compose.texts(name, "command");
            assert!(read(file).contains(&format!("/source/target/release/{} ", words[0])));
        }
        if name != "envoy" {
            assert_eq!(service["network_mode"], "service:envoy", "{name}");
            assert!(
                service.get("ports").is_none(),
                "{name}: Envoy's container has the ports"
            );
        }
        let first = service["depends_on"].as_array().into_iter().flatten();
        for other in first {
            assert!(compose.services.contains_key(other.as_str().unwrap()));
        }
    }
    let newest = files::ENVOY_VERSIONS[1];
    assert_eq!(
        compose.services["envoy"]["image"],
        format!("envoyproxy/envoy:v{newest}")
    );
    let built = &compose.services["backends"];
    assert_eq!(compose.services["policy-server"]["image"], built["image"]);
    assert_eq!(
        built["image"],
        concat!("pointsman/demo-backends:", env!("CARGO_PKG_VERSION"))
    );
    // Both images write there; what they declare as a volume would stay.
    assert_eq!(compose.texts("prometheus", "tmpfs"), ["/prometheus"]);
    assert_eq!(compose.texts("grafana", "tmpfs"), ["/var/lib/grafana"]);
}

#[test]
fn ports_and_health_checks_are_those_that_are_listened_on() {
    let compose = Compose::read();
    let listener = "/static_resources/listeners/0/address/socket_address/port_value";
    let listener = compose.bootstrap.pointer(listener).unwrap();
    let words = compose.texts("prometheus", "command");
    let prometheus = words
        .iter()
        .find_map(|word| word.strip_prefix("--web.listen-address=:"));
    let url =
        yaml("envoy/grafana/provisioning/datasources/prometheus.yml")["datasources"][0]["url"]
            .clone();
    assert_eq!(url, format!("http://127.0.0.1:{}", prometheus.unwrap()));
    // Grafana's own default, in whose health check it stands.
    let ports = [
        listener.to_string(),
        prometheus.unwrap().to_owned(),
        "3000".to_owned(),
    ];
    let published: Vec<String> = ports
        .iter()
        .map(|port| format!("127.0.0.1:{port}:{port}"))
        .collect();
    assert_eq!(compose.texts("envoy", "ports"), published);
    for (service, port, path) in [
        ("envoy", &ports[0], format!("/dev/tcp/127.0.0.1/{listener}")),
        ("prometheus", &ports[1], "/-/healthy".to_owned()),
        ("grafana", &ports[2], "/api/health".to_owned()),
    ] {
        let check = compose.services[service]["healthcheck"]["test"].to_string();
        assert!(
            check.contains(port) && check.contains(&path),
            "{service}: {check}"
        );
    }
}

/// Envoy's own command line, with the files where the mounts put them, but `--mode validate`: the shell runs as written,
/// and a real Envoy loads what it makes.
#[test]
fn envoys_command_opens_the_listener_and_nothing_else() {
    let compose = Compose::read();
    let container = tempfile::tempdir().unwrap();
    for (source, target) in compose.mounts("envoy") {
        let target = container.path().join(target.strip_prefix("/").unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(source, target).unwrap();
    }
    let bin = container.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let envoy = files::envoy(files::ENVOY_VERSIONS[1]).unwrap();
    let script = format!(
        "#!/bin/sh\nexec '{}' --mode validate --use-dynamic-base-id \"$@\"\n",
        envoy.display()
    );
    fs::write(bin.join("envoy"), script).unwrap();
    let chmod = Command::new("chmod")
        .arg("+x")
        .arg(bin.join("envoy"))
        .status();
    assert!(chmod.unwrap().success());

    let made = container.path().join("made.yaml");
    let mut words = compose.texts("envoy", "entrypoint");
    words.extend(compose.texts("envoy", "command"));
    // The container's own /tmp.
    for word in &mut words {
        *word = word.replace("/tmp/envoy.yaml", made.to_str().unwrap());
    }
    let directory = compose.services["envoy"]["working_dir"].as_str().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let output = Command::new(&words[0])
        .args(&words[1..])
        .current_dir(container.path().join(directory.trim_start_matches('/')))
        .env("PATH", path)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let made: Value = serde_yaml_ng::from_str(&fs::read_to_string(made).unwrap()).unwrap();
    let mut wanted = compose.bootstrap;
    let address = "/static_resources/listeners/0/address/socket_address/address";
    *wanted.pointer_mut(address).unwrap() = "0.0.0.0".into();
    assert_eq!(made, wanted, "more than the listener's address has changed");
}

/// A program of this repository, built together with this test.
fn program(name: &str) -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_pointsman-lab")).with_file_name(name);
    assert!(
        program.is_file(),
        "`{name}` is missing: run `cargo build --workspace`"
    );
    program
}

/// A subcommand of a service on free ports, in a folder that is laid out as its container.
struct Running {
    child: Child,
    _container: tempfile::TempDir,
}

impl Running {
    fn start(compose: &Compose, service: &str, words: &[String]) -> Running {
        let container = tempfile::tempdir().unwrap();
        for (source, target) in compose.mounts(service) {
            // The working directory of the image.
            let target = container
                .path()
                .join(target.strip_prefix("/pointsman").unwrap());
            std::os::unix::fs::symlink(source, target).unwrap();
        }
        Running {
            child: Child::start(&program(&words[0]), container.path(), &words[1..]).unwrap(),
            _container: container,
        }
    }
}

#[test]
fn backends_listen_where_envoys_clusters_point() {
    let compose = Compose::read();
    let words = compose.texts("backends", "command");
    let ports = words.windows(2).filter(|pair| pair[0] == "--port");
    let given: BTreeSet<(String, u64)> = ports
        .map(|pair| pair[1].split_once('=').unwrap())
        .map(|(name, port)| (name.to_owned(), port.parse().unwrap()))
        .collect();
    let policy = compose.plugin().policy;
    let accelerators: BTreeSet<&str> = policy
        .registry
        .backends
        .iter()
        .map(|backend| backend.accelerator.name())
        .collect();
    assert_eq!(accelerators, ["cpu", "gpu", "lpu", "serverless"].into());
    let wanted = policy
        .registry
        .backends
        .iter()
        .map(|backend| (backend.name.clone(), compose.port_of(&backend.cluster)));
    assert_eq!(given, wanted.collect());

    let free: Vec<String> = words
        .iter()
        .map(|word| match word.split_once('=') {
            Some((name, _)) => format!("{name}=0"),
            None => word.clone(),
        })
        .collect();
    let running = Running::start(&compose, "backends", &free);
    let started = running.child.announced["backends"]
        .as_array()
        .unwrap()
        .iter();
    let started: BTreeSet<&str> = started
        .map(|backend| backend["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        started,
        given.iter().map(|(name, _)| name.as_str()).collect()
    );
}

#[test]
fn the_policy_server_has_what_envoy_asks_for() {
    let compose = Compose::read();
    let plugin = compose.plugin();
    let source = plugin.source.unwrap();
    let words = compose.texts("policy-server", "command");
    let port = &words.windows(2).find(|pair| pair[0] == "--port").unwrap()[1];
    assert_eq!(source.authority, format!("127.0.0.1:{port}"));
    assert_eq!(compose.port_of(&source.cluster).to_string(), *port);

    let free: Vec<String> = words
        .iter()
        .map(|word| {
            if word == port {
                "0".to_owned()
            } else {
                word.clone()
            }
        })
        .collect();
    let running = Running::start(&compose, "policy-server", &free);
    let address: SocketAddr = running.child.announced["address"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let answer = Request::get(&source.path).send(address).unwrap();
    assert_eq!(answer.status, 200);
    let inline: Value = serde_json::from_str(&plugin.policy_text).unwrap();
    assert_eq!(
        answer.json(),
        inline,
        "the first policy and the served one differ"
    );
}

/// Prometheus' own command line with the folder that is mounted: it loads, is well, and asks Envoy's admin interface.
#[test]
fn prometheus_asks_the_admin_interface_of_envoy() {
    let compose = Compose::read();
    let words = compose.texts("prometheus", "command");
    let file = words
        .iter()
        .find_map(|word| word.strip_prefix("--config.file="))
        .unwrap();
    let file = compose.outside("prometheus", file);
    let document: Value = serde_yaml_ng::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let admin = &compose.bootstrap["admin"]["address"]["socket_address"];
    let wanted = format!(
        "{}:{}",
        admin["address"].as_str().unwrap(),
        admin["port_value"]
    );
    assert_eq!(
        document["scrape_configs"][0]["static_configs"][0]["targets"],
        serde_json::json!([wanted])
    );

    // Nobody is asked here: the other test does.
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let prometheus = Prometheus::start(file.parent().unwrap(), &words, nobody);
    let prometheus = prometheus.unwrap_or_else(|error| panic!("{error}"));
    let check = compose.services["prometheus"]["healthcheck"]["test"]
        .as_array()
        .unwrap();
    let path = check
        .last()
        .unwrap()
        .as_str()
        .unwrap()
        .splitn(4, '/')
        .nth(3)
        .unwrap();
    let answer = Request::get(&format!("/{path}"))
        .send(prometheus.address())
        .unwrap();
    assert_eq!(answer.status, 200);
    let rules = prometheus.get("/api/v1/rules").unwrap();
    assert!(!rules["groups"].as_array().unwrap().is_empty());
}

/// Grafana is not run: that what is provisioned lies where its configuration says.
#[test]
fn grafana_finds_its_dashboard() {
    let compose = Compose::read();
    let providers = compose.outside(
        "grafana",
        "/etc/grafana/provisioning/dashboards/pointsman.yml",
    );
    let providers: Value =
        serde_yaml_ng::from_str(&fs::read_to_string(providers).unwrap()).unwrap();
    let folder = providers["providers"][0]["options"]["path"]
        .as_str()
        .unwrap();
    let home =
        &compose.services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"];
    let home = home.as_str().unwrap();
    assert_eq!(Path::new(home).parent().unwrap(), Path::new(folder));
    assert!(compose.outside("grafana", home).is_file());
    assert!(
        compose
            .outside(
                "grafana",
                "/etc/grafana/provisioning/datasources/prometheus.yml"
            )
            .is_file()
    );
}

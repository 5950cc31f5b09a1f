//! Runs the Compose file where a container engine answers: with the images that are there, and in place of those that are
//! not with stand-ins made from nothing but this machine's files, under the same names and gone afterwards.
//!
//! Without an engine the test is listed as not run. In place of Grafana, which is nowhere to be had but as an image, stands an Envoy that
//! answers its health check.

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
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Trial};
use pointsman_harness::files;
use pointsman_harness::http1::Request;
use pointsman_harness::prometheus;
use serde_json::json;

/// The output of a command that succeeds.
fn run(program: &str, words: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(words)
        .current_dir(files::root())
        .output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(format!("{program} {words:?}: {}", text(&output.stderr))),
    }
}

fn docker(words: &[&str]) -> String {
    run("docker", words).unwrap_or_else(|error| panic!("{error}"))
}

/// An image from nothing: programs with what they are linked to, and `files`, as (path inside, path here).
fn stand_in(image: &str, programs: &[&Path], files: &[(&str, PathBuf)], entrypoint: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let put = |inside: &str, here: &Path| {
        let place = root.join(inside.trim_start_matches('/'));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(here, place).unwrap_or_else(|error| panic!("{}: {error}", here.display()));
    };
    fs::create_dir_all(root.join("tmp")).unwrap();
    for program in programs {
        let name = program.file_name().unwrap().to_str().unwrap();
        put(&format!("/bin/{name}"), program);
        // Not linked to anything: `ldd` says so by failing.
        let linked = run("ldd", &[program.to_str().unwrap()]).unwrap_or_default();
        for word in linked
            .split_whitespace()
            .filter(|word| word.starts_with('/'))
        {
            put(word, Path::new(word));
        }
    }
    for (inside, here) in files {
        put(inside, here);
    }
    let text = format!(
        "FROM scratch\nCOPY root /\nENV PATH=/bin\nWORKDIR /pointsman\n{}",
        match entrypoint {
            [] => String::new(),
            words => format!("ENTRYPOINT {}\n", json!(words)),
        }
    );
    fs::write(folder.path().join("Dockerfile"), text).unwrap();
    docker(&[
        "build",
        "--quiet",
        "--tag",
        image,
        folder.path().to_str().unwrap(),
    ]);
}

/// The program that a shell finds under this name.
fn found(name: &str) -> PathBuf {
    let path = run("sh", &["-c", &format!("command -v {name}")]);
    fs::canonicalize(
        path.unwrap_or_else(|_| panic!("found no {name}: install it"))
            .trim(),
    )
    .unwrap()
}

fn make(image: &str) {
    let envoy = fs::canonicalize(files::envoy(files::ENVOY_VERSIONS[1]).unwrap()).unwrap();
    match image.split(['/', ':']).nth(1).unwrap() {
        "envoy" => {
            let (sh, bash, sed) = (found("sh"), found("bash"), found("sed"));
            let also = [("/bin/sh", sh.clone())];
            stand_in(image, &[&envoy, &sh, &bash, &sed], &also, &["envoy"]);
        }
        "demo-backends" => {
            let lab = Path::new(env!("CARGO_BIN_EXE_pointsman-lab"));
            let pointsman = lab.with_file_name("pointsman");
            stand_in(image, &[lab, &pointsman], &[], &[]);
        }
        "prometheus" => {
            let server = prometheus::binary("prometheus").unwrap_or_else(|error| panic!("{error}"));
            stand_in(image, &[&server, &found("wget")], &[], &["prometheus"]);
        }
        "grafana" => {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("envoy.json");
            fs::write(&file, health("/api/health", 3000)).unwrap();
            let words = ["envoy", "--use-dynamic-base-id", "-c", "/envoy.json"];
            stand_in(
                image,
                &[&envoy, &found("wget")],
                &[("/envoy.json", file)],
                &words,
            );
        }
        _ => panic!("{image}: a new image needs a stand-in here"),
    }
}

/// An Envoy that answers 200 at one path and 404 elsewhere.
fn health(path: &str, port: u16) -> String {
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "health",
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config":
            {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"path": path}, "direct_response": {"status": 200}},
        ]}]},
    });
    let address = json!({"socket_address": {"address": "0.0.0.0", "port_value": port}});
    json!({"static_resources": {"listeners": [{"name": "health", "address": address, "filter_chains": [{"filters": [
        {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager},
    ]}]}]}})
    .to_string()
}

/// Ends what was started, however the test ends.
struct Cleanup {
    project: String,
    made: Vec<String>,
}

impl Cleanup {
    fn compose(&self, words: &[&str]) -> Result<String, String> {
        run(
            "docker",
            &[&["compose", "--project-name", &self.project], words].concat(),
        )
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        let _ = self.compose(&["down", "--volumes", "--timeout", "10"]);
        for image in &self.made {
            let _ = run("docker", &["image", "rm", image]);
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let without_engine = run("docker", &["info"]).is_err();
    if without_engine && !arguments.list {
        eprintln!("no container engine answers here: the Compose file is not run");
    }
    let trial = Trial::test("the_compose_file_runs_in_a_container_engine", || {
        the_compose_file_runs();
        Ok(())
    });
    let trial = trial.with_ignored_flag(without_engine);
    libtest_mimic::run(&arguments, vec![trial]).exit_code()
}

fn the_compose_file_runs() {
    docker(&["compose", "version"]);
    let mut cleanup = Cleanup {
        project: format!("pointsman-test-{}", std::process::id()),
        made: Vec::new(),
    };
    let images = cleanup.compose(&["config", "--images"]).unwrap();
    let images: BTreeSet<&str> = images.lines().collect();
    for image in images {
        if run("docker", &["image", "inspect", image]).is_err() {
            make(image);
            cleanup.made.push(image.to_owned());
        }
    }
    let volumes = docker(&["volume", "ls", "--quiet"]);
    let up = cleanup.compose(&["up", "--no-build", "--wait", "--wait-timeout", "180"]);
    let logs = || cleanup.compose(&["logs", "--no-color"]).unwrap_or_default();
    up.unwrap_or_else(|error| panic!("{error}\n{}", logs()));

    let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let body = br#"{"model": "auto", "messages": [{"role": "user", "content": "hi"}]}"#;
    let answer = Request::post("/v1/chat/completions", body)
        .send(at(10000))
        .unwrap();
    assert_eq!(answer.status, 200, "{}", logs());
    assert!(answer.header("x-pointsman-backend").is_some());
    let scraped = || {
        let targets = Request::get("/api/v1/targets")
            .send(at(9090))
            .unwrap()
            .json();
        targets["data"]["activeTargets"][0]["health"] == "up"
    };
    assert!(
        (0..60).any(|_| scraped() || {
            std::thread::sleep(std::time::Duration::from_millis(500));
            false
        }),
        "{}",
        logs()
    );
    assert_eq!(
        Request::get("/api/health").send(at(3000)).unwrap().status,
        200
    );

    cleanup.compose(&["down", "--timeout", "10"]).unwrap();
    let filter = format!("label=com.docker.compose.project={}", cleanup.project);
    for kind in [&["ps", "--all"][..], &["network", "ls"], &["volume", "ls"]] {
        let left = docker(&[kind, &["--quiet", "--filter", &filter]].concat());
        assert_eq!(left, "", "{kind:?}");
    }
    assert_eq!(
        docker(&["volume", "ls", "--quiet"]),
        volumes,
        "an unnamed volume stays"
    );
}

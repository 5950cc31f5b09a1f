//! Every example policy runs as it stands: `pointsman-lab demo-backends` plays its backends, `pointsman render` writes the rest.

use std::path::Path;
use std::process::Command;

use pointsman_harness::backends::Backends;
use pointsman_harness::config::Config;
use pointsman_harness::files;
use pointsman_harness::http1::Request;
use serde_json::Value;

use crate::Test;
use crate::world::{CHAT, Case, ask};

pub const TESTS: &[Test] = &[("examples::each_policy_runs", each_policy_runs)];

fn each_policy_runs(case: &Case) {
    let folder = files::root().join("envoy/policies");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|ending| ending == "json") {
            runs(case, &file);
            count += 1;
        }
    }
    assert!(count >= 11, "{count}");
}

fn runs(case: &Case, file: &Path) {
    let name = file.file_name().unwrap().to_string_lossy();
    let backends = Backends::start(file).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(["render", "envoy"])
        .arg(file)
        .args(["--envoy-version", case.version, "--listen", "127.0.0.1:0"])
        .args(["--admin-port", "0", "--module"])
        .arg(case.module())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {stderr}");
    let mut text = String::from_utf8(output.stdout).unwrap();
    // Other tests may have the ports: then the backends are at others.
    let policy: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    for backend in policy["backends"].as_array().unwrap() {
        let usual = backend["endpoint"]
            .as_str()
            .unwrap()
            .rsplit(':')
            .next()
            .unwrap();
        let started = backends.get(backend["name"].as_str().unwrap()).unwrap();
        let port = started.address.port();
        text = text.replace(
            &format!("port_value: {usual}}}"),
            &format!("port_value: {port}}}"),
        );
    }
    let envoy = case.start(&Config::parse(&text).unwrap());
    let models = policy["models"].as_array().unwrap();
    let models = models.iter().filter_map(|model| model["name"].as_str());
    for asked in models.chain(["auto"]) {
        let response = Request::post(CHAT, &ask(asked, "Which planet is the largest?"))
            .send(envoy.address())
            .unwrap();
        assert_eq!(response.status, 200, "{name}, {asked}: {}", response.text());
        assert!(
            response.text().contains("demo backend"),
            "{name}: {}",
            response.text()
        );
    }
}

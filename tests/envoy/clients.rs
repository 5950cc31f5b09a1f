//! The official `openai` Python client, as applications use it.

use std::process::Command;

use pointsman_testkit::files;

use crate::Test;
use crate::world::Case;

pub const TESTS: &[Test] = &[("clients::openai_python", openai_python)];

fn openai_python(case: &Case) {
    let python = files::python().unwrap_or_else(|error| panic!("{error}"));
    let output = Command::new(python)
        .arg(files::root().join("tests/envoy/openai_client.py"))
        .arg(format!("http://{}/v1", case.address()))
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy")
        .env("NO_PROXY", "127.0.0.1")
        .output()
        .expect("the interpreter starts");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

//! Paths in the repository, and the commands that make the built ones.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The oldest and the newest supported Envoy.
pub const ENVOY_VERSIONS: [&str; 2] = ["1.36.2", "1.40.0"];

/// The root of the repository.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// The path of a file that has to be there; `command` makes it.
///
/// # Errors
/// One line that names the file and the command.
pub fn require(path: &str, command: &str) -> Result<PathBuf, String> {
    let file = root().join(path);
    if file.exists() {
        Ok(file)
    } else {
        Err(format!("`{path}` is missing: run `{command}`"))
    }
}

/// The text of a file of the repository, by its path from the root.
///
/// # Panics
/// If it cannot be read: a test names a file that is gone.
#[expect(clippy::panic, reason = "a test of a file that is gone must fail")]
pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The one document of a YAML file of the repository.
///
/// # Panics
/// If it is not such a document.
#[expect(clippy::panic, reason = "a test of a file that is gone must fail")]
pub fn yaml(path: &str) -> Value {
    serde_yaml_ng::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The binary of an Envoy version.
///
/// # Errors
/// Names the command that installs it.
pub fn envoy(version: &str) -> Result<PathBuf, String> {
    require(&format!("target/envoy/envoy-{version}"), "make setup")
}

/// The module as it is shipped.
///
/// # Errors
/// Names the command that builds it.
pub fn module() -> Result<PathBuf, String> {
    require("target/pointsman.wasm", "make wasm")
}

/// The interpreter of the Python environment for tests.
///
/// # Errors
/// Names the command that installs it.
pub fn python() -> Result<PathBuf, String> {
    require("target/venv/bin/python", "make setup")
}

//! Where things are in the repository, and by which command they get there.

use std::path::{Path, PathBuf};

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

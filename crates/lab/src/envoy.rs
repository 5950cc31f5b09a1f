//! The harness's Envoy as the lab starts it, and its errors as failures of a subcommand.

use std::path::Path;

pub use pointsman_harness::config::Config;
pub use pointsman_harness::envoy::Envoy;

pub use pointsman_cli::command::render::AccessLog;
use pointsman_cli::failure::Failure;
use pointsman_harness::envoy::{self, Launch, StartError};
use serde_json::Value;

/// Makes sure that a file is there.
///
/// # Errors
/// [`Failure::Input`] that names the command which makes it.
pub fn require(path: &Path, command: &str) -> Result<(), Failure> {
    if path.is_file() {
        return Ok(());
    }
    Err(Failure::Input(format!(
        "`{}` is missing: run `{command}`",
        path.display()
    )))
}

/// The version of a binary, such as `1.40.0`.
///
/// # Errors
/// [`Failure::Input`] if it does not tell.
pub fn version(binary: &Path) -> Result<String, Failure> {
    envoy::version(binary).map_err(Failure::Input)
}

/// Starts `binary` with `config` and `workers` worker threads, and waits until it takes requests.
///
/// # Errors
/// [`Failure::Failed`] if it does not start; the text ends with the last that Envoy logged.
pub fn start(binary: &Path, config: &Config, workers: usize) -> Result<Envoy, Failure> {
    let launch = Launch {
        binary: binary.to_owned(),
        workers,
        log_level: "warn",
    };
    Envoy::launch(&launch, config).map_err(|error| match error {
        StartError::Machine(text) => Failure::Failed(text),
        StartError::Refused(refused) => Failure::Failed(format!(
            "envoy ended instead of starting: {}",
            refused.last_words()
        )),
    })
}

/// Reads a bootstrap file, YAML or JSON.
///
/// # Errors
/// [`Failure::Input`] if the file cannot be read or is not YAML.
pub fn read(path: &Path) -> Result<Config, Failure> {
    Config::read(path).map_err(Failure::Input)
}

/// The configuration that `pointsman render` writes for a policy and an Envoy of this version, its ports from the operating
/// system.
///
/// # Errors
/// As [`pointsman_cli::command::render::local`].
pub fn rendered(
    policy: &Value,
    version: &str,
    module: &Path,
    patient: bool,
    access_log: AccessLog,
) -> Result<Config, Failure> {
    let text = pointsman_cli::command::render::local(policy, version, module, patient, access_log)?;
    let config = Config::parse(&text).map_err(|error| {
        Failure::Failed(format!("the rendered configuration is not YAML: {error}"))
    })?;
    Ok(config.with_ports_from_os())
}

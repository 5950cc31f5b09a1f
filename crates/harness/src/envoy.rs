//! One real Envoy as a child process: its own directory, ports from the operating system, an end by its own process id.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::config::Config;
use crate::files;
use crate::http1::{Request, Response};
use crate::metrics::{self, Sample};
use crate::process::Process;

/// V8 compiles the module for every worker, on a machine that other tests keep busy.
const START: Duration = Duration::from_secs(120);
/// How often it is looked at while it starts: the benchmark measures that time.
const POLL: Duration = Duration::from_millis(5);
/// How long it may take to end before it is killed.
const END: Duration = Duration::from_secs(5);
/// How many worker threads every Envoy has: what is right on one worker may be wrong on two.
pub const WORKERS: usize = 2;

/// A running Envoy; dropping it ends it.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    directory: TempDir,
    admin: SocketAddr,
    address: SocketAddr,
    /// When its process was started.
    spawned: Instant,
}

/// How an Envoy is started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The Envoy binary.
    pub binary: PathBuf,
    /// How many worker threads it has.
    pub workers: usize,
    /// The least level that it logs, such as `info`.
    pub log_level: &'static str,
}

impl Launch {
    /// An installed version, as tests start it.
    ///
    /// # Errors
    /// Names the command that installs it.
    pub fn for_version(version: &str) -> Result<Launch, String> {
        Ok(Launch {
            binary: files::envoy(version)?,
            workers: WORKERS,
            log_level: "info",
        })
    }
}

/// Why no Envoy runs.
#[derive(Debug)]
pub enum StartError {
    /// Nothing to do with the configuration.
    Machine(String),
    /// Envoy ended by itself.
    Refused(Refused),
}

impl From<String> for StartError {
    fn from(text: String) -> StartError {
        StartError::Machine(text)
    }
}

/// An Envoy that ended by itself while it started, as it should with a wrong configuration.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Its exit status, if it had one.
    pub status: Option<i32>,
    /// Everything it logged.
    pub log: String,
}

impl Refused {
    /// The module's last log line if there is one, else the last line. Envoy's own last line only names the plugin that failed;
    /// the module logged the reason before.
    pub fn last_words(&self) -> &str {
        let lines = || self.log.lines().rev().map(str::trim);
        let of_module = lines().find_map(|line| Some(line.split_once(" wasm log ")?.1));
        let last = of_module.or_else(|| lines().find(|line| !line.is_empty()));
        last.unwrap_or("it logged nothing")
    }
}

impl Envoy {
    /// Starts a version with this configuration and waits until it takes requests.
    ///
    /// # Errors
    /// One text with the end of its log.
    pub fn start(version: &str, config: &Config) -> Result<Envoy, String> {
        Envoy::launch(&Launch::for_version(version)?, config).map_err(|error| match error {
            StartError::Machine(error) => error,
            StartError::Refused(refused) => format!(
                "Envoy {version} ended with {:?} instead of starting:\n{}",
                refused.status,
                tail(&refused.log)
            ),
        })
    }

    /// Starts an Envoy with the listener in the file `lds.json` of its directory, where [`Envoy::push_listener`] replaces it.
    ///
    /// # Errors
    /// One text with the end of its log.
    pub fn start_with_lds(version: &str, config: &Config) -> Result<Envoy, String> {
        let directory = directory()?;
        let (config, listener) = config
            .clone()
            .with_listener_file(directory.path(), "lds.json");
        std::fs::write(directory.path().join("lds.json"), listener).map_err(cannot_write)?;
        let launch = Launch::for_version(version)?;
        Envoy::launch_in(&launch, &config, directory).map_err(|error| match error {
            StartError::Machine(error) => error,
            StartError::Refused(refused) => tail(&refused.log),
        })
    }

    /// Starts an Envoy that is expected to refuse its configuration.
    ///
    /// # Errors
    /// If it starts after all.
    pub fn refuse(version: &str, config: &Config) -> Result<Refused, String> {
        match Envoy::launch(&Launch::for_version(version)?, config) {
            Ok(_) => Err(format!("Envoy {version} took the configuration")),
            Err(StartError::Machine(error)) => Err(error),
            Err(StartError::Refused(refused)) => Ok(refused),
        }
    }

    /// Runs `--mode validate`: the exit status and everything it logged.
    ///
    /// # Errors
    /// If it cannot be run.
    pub fn validate(version: &str, file: &Path) -> Result<(bool, String), String> {
        let output = Command::new(files::envoy(version)?)
            .args(["--mode", "validate", "--use-dynamic-base-id", "-c"])
            .arg(file)
            .current_dir(files::root())
            .output()
            .map_err(|error| error.to_string())?;
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok((output.status.success(), log))
    }

    /// Starts an Envoy and waits until it takes requests.
    ///
    /// # Errors
    /// Why it does not.
    pub fn launch(launch: &Launch, config: &Config) -> Result<Envoy, StartError> {
        Envoy::launch_in(launch, config, directory()?)
    }

    fn launch_in(
        launch: &Launch,
        config: &Config,
        directory: TempDir,
    ) -> Result<Envoy, StartError> {
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("envoy.json"), config.to_json()).map_err(cannot_write)?;
        let log = File::create(path("envoy.log")).map_err(cannot_write)?;
        let access = File::create(path("access.log")).map_err(cannot_write)?;
        let mut command = Command::new(&launch.binary);
        command
            .arg("-c")
            .arg(path("envoy.json"))
            .arg("--admin-address-path")
            .arg(path("admin"))
            .arg("--concurrency")
            .arg(launch.workers.to_string())
            .args(["--use-dynamic-base-id", "--log-level", launch.log_level])
            .args(["--file-flush-interval-msec", "100"])
            // So that LDS need not be waited for longer than a moment, and dropped Envoys end at once.
            .args(["--drain-time-s", "1", "--parent-shutdown-time-s", "2"])
            .stdin(Stdio::null())
            .stdout(access)
            .stderr(log);
        let spawned = Instant::now();
        let process = Process::start(command).map_err(|error| {
            let binary = launch.binary.display();
            format!("cannot start Envoy `{binary}`: {error}")
        })?;
        let unbound = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut envoy = Envoy {
            process,
            directory,
            admin: unbound,
            address: unbound,
            spawned,
        };
        envoy.wait_until_ready()?;
        Ok(envoy)
    }

    fn wait_until_ready(&mut self) -> Result<(), StartError> {
        let end = Instant::now() + START;
        let admin_file = self.directory.path().join("admin");
        while Instant::now() < end {
            if let Some(status) = self.process.exit_status() {
                return Err(StartError::Refused(Refused {
                    status: status.code(),
                    log: self.log(),
                }));
            }
            // Envoy goes on without a listener that it refused.
            if self.directory.path().join("lds.json").exists() && self.log().contains(" rejected: ")
            {
                return Err(StartError::Refused(Refused {
                    status: None,
                    log: self.log(),
                }));
            }
            let admin = std::fs::read_to_string(&admin_file).unwrap_or_default();
            if let Ok(admin) = admin.trim().parse() {
                self.admin = admin;
                if let Some(address) = self.listening() {
                    self.address = address;
                    return Ok(());
                }
            }
            sleep(POLL);
        }
        let text = format!("Envoy was not ready in {START:?}:\n{}", tail(&self.log()));
        Err(StartError::Machine(text))
    }

    /// Its address, once it is ready and its counters can be read.
    fn listening(&self) -> Option<SocketAddr> {
        let ready = self.admin("/ready").ok()?;
        if ready.status != 200 || self.admin("/stats/prometheus").ok()?.status != 200 {
            return None;
        }
        let listeners = self.admin("/listeners?format=json").ok()?.json();
        let socket = listeners.pointer("/listener_statuses/0/local_address/socket_address")?;
        let port = socket.get("port_value")?.as_u64()?;
        Some(SocketAddr::from((
            [127, 0, 0, 1],
            u16::try_from(port).ok()?,
        )))
    }

    /// Looks up again where it takes requests: a listener that was replaced may have another port.
    pub fn find_listener(&mut self) {
        if let Some(address) = self.listening() {
            self.address = address;
        }
    }

    /// The address that takes requests.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of its admin interface.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// A GET of its admin interface.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn admin(&self, path: &str) -> io::Result<Response> {
        Request::get(path).send(self.admin)
    }

    /// All of its metrics, as Prometheus sees them.
    pub fn metrics(&self) -> Vec<Sample> {
        self.admin("/stats/prometheus")
            .map(|response| metrics::parse(&response.text()))
            .unwrap_or_default()
    }

    /// One of its counters or gauges by Envoy's own name; 0 while it is not there.
    pub fn stat(&self, name: &str) -> u64 {
        let text = self.admin("/stats").map(|r| r.text()).unwrap_or_default();
        text.lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(found, _)| *found == name)
            .and_then(|(_, value)| value.parse().ok())
            .unwrap_or(0)
    }

    /// Replaces the listener of an Envoy that takes it from a file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn push_listener(&self, config: &Config) -> Result<(), String> {
        let path = |name: &str| self.directory.path().join(name);
        std::fs::write(path("lds.new"), config.listener_resource()).map_err(cannot_write)?;
        std::fs::rename(path("lds.new"), path("lds.json")).map_err(cannot_write)
    }

    /// Waits until `condition` holds; false if it does not within 30 seconds.
    pub fn wait_for(&self, condition: impl Fn(&Envoy) -> bool) -> bool {
        let end = Instant::now() + Duration::from_secs(30);
        while Instant::now() < end {
            if condition(self) {
                return true;
            }
            sleep(Duration::from_millis(50));
        }
        false
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.directory.path().join("envoy.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Its access log so far, one JSON object a line. Envoy writes it with a delay of up to ten seconds.
    pub fn access_log(&self) -> Vec<Value> {
        let bytes = std::fs::read(self.directory.path().join("access.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes)
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Whether the process is still there.
    pub fn is_running(&mut self) -> bool {
        self.process.exit_status().is_none()
    }

    /// When its process was started.
    pub fn spawned(&self) -> Instant {
        self.spawned
    }

    /// Its resident memory in bytes; `None` where the system does not tell.
    pub fn resident_bytes(&self) -> Option<u64> {
        self.process.resident_bytes()
    }

    /// Ends it in order.
    pub fn stop(self) {
        self.process.stop(END);
    }

    /// Keeps its directory (configuration, log, access log) after its end, and says where.
    pub fn keep_files(&mut self) -> String {
        self.directory.disable_cleanup(true);
        self.directory.path().display().to_string()
    }
}

fn directory() -> Result<TempDir, String> {
    tempfile::Builder::new()
        .prefix("pointsman-e2e-")
        .tempdir()
        .map_err(cannot_write)
}

fn cannot_write(error: io::Error) -> String {
    format!("cannot write Envoy's files: {error}")
}

/// The last lines of a log; not the very long ones, with which Envoy lists its extensions.
pub fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| line.len() < 600).collect();
    let start = lines.len().saturating_sub(20);
    lines.get(start..).unwrap_or_default().join("\n")
}

/// The version of a binary, such as `1.40.0`.
///
/// # Errors
/// If it does not tell.
pub fn version(binary: &Path) -> Result<String, String> {
    let output = Command::new(binary).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    // `envoy  version: HASH/1.40.0/Clean/RELEASE/BoringSSL`
    let is_version = |part: &&str| part.split('.').all(|number| number.parse::<u32>().is_ok());
    let version = text
        .ok()
        .and_then(|text| text.split('/').rev().find(is_version).map(str::to_owned));
    version.ok_or_else(|| {
        let binary = binary.display();
        format!("`{binary} --version` does not say which Envoy it is")
    })
}

#[cfg(test)]
mod tests {
    use super::Refused;

    #[test]
    fn the_module_says_why() {
        let refused = |log: &str| Refused {
            status: Some(1),
            log: log.to_owned(),
        };
        let log = "[1][error][wasm] [context.cc:1] wasm log pointsman: policy: no model\n[1][critical] Unable to create\n\n";
        assert_eq!(refused(log).last_words(), "pointsman: policy: no model");
        let log = "[1][critical] cannot bind\n";
        assert_eq!(refused(log).last_words(), "[1][critical] cannot bind");
        assert_eq!(refused("").last_words(), "it logged nothing");
    }
}

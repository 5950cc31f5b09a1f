//! One real Envoy as a child process: its own directory, ports from the operating system, an end by its own process id.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::config::Config;
use crate::files;
use crate::http1::{Request, Response};
use crate::metrics::{self, Sample};
use crate::spawn::spawn;

/// V8 compiles the module for every worker, on a machine that other tests keep busy.
const START: Duration = Duration::from_secs(120);
/// How many worker threads every Envoy has: what is right on one worker may be wrong on two.
pub const WORKERS: usize = 2;

/// A running Envoy; dropping it ends it.
#[derive(Debug)]
pub struct Envoy {
    child: Child,
    guard: Child,
    directory: TempDir,
    admin: SocketAddr,
    address: SocketAddr,
}

/// An Envoy that ended by itself while it started, as it should with a wrong configuration.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Its exit status, if it had one.
    pub status: Option<i32>,
    /// Everything it logged.
    pub log: String,
}

impl Envoy {
    /// Starts a version with this configuration and waits until it takes requests.
    ///
    /// # Errors
    /// One text with the end of its log.
    pub fn start(version: &str, config: &Config) -> Result<Envoy, String> {
        Envoy::try_start(version, config, directory()?).map_err(|error| match error {
            Failed::Machine(error) => error,
            Failed::Refused(refused) => format!(
                "Envoy {version} ended with {:?} instead of starting:\n{}",
                refused.status,
                tail(&refused.log)
            ),
        })
    }

    /// The same with the listener in the file `lds.json` of its directory, where [`Envoy::push_listener`] replaces it.
    ///
    /// # Errors
    /// One text with the end of its log.
    pub fn start_with_lds(version: &str, config: &Config) -> Result<Envoy, String> {
        let directory = directory()?;
        let (config, listener) = config
            .clone()
            .with_listener_file(directory.path(), "lds.json");
        std::fs::write(directory.path().join("lds.json"), listener).map_err(cannot_write)?;
        Envoy::try_start(version, &config, directory).map_err(|error| match error {
            Failed::Machine(error) => error,
            Failed::Refused(refused) => tail(&refused.log),
        })
    }

    /// Starts an Envoy that is expected to refuse its configuration.
    ///
    /// # Errors
    /// Where it starts after all.
    pub fn refuse(version: &str, config: &Config) -> Result<Refused, String> {
        match Envoy::try_start(version, config, directory()?) {
            Ok(_) => Err(format!("Envoy {version} took the configuration")),
            Err(Failed::Machine(error)) => Err(error),
            Err(Failed::Refused(refused)) => Ok(refused),
        }
    }

    /// What `--mode validate` says: the exit status and everything it logged.
    ///
    /// # Errors
    /// Where it cannot be run.
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

    fn try_start(version: &str, config: &Config, directory: TempDir) -> Result<Envoy, Failed> {
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("envoy.json"), config.to_json()).map_err(cannot_write)?;
        let log = File::create(path("envoy.log")).map_err(cannot_write)?;
        let access = File::create(path("access.log")).map_err(cannot_write)?;
        let mut command = Command::new(files::envoy(version)?);
        command
            .arg("-c")
            .arg(path("envoy.json"))
            .arg("--admin-address-path")
            .arg(path("admin"))
            .arg("--concurrency")
            .arg(WORKERS.to_string())
            .args(["--use-dynamic-base-id", "--log-level", "info"])
            .args(["--file-flush-interval-msec", "100"])
            // So that LDS need not be waited for longer than a moment, and dropped Envoys end at once.
            .args(["--drain-time-s", "1", "--parent-shutdown-time-s", "2"])
            .stdin(Stdio::null())
            .stdout(access)
            .stderr(log);
        let child = spawn(command).map_err(|error| error.to_string())?;
        let guard = guard(&child).map_err(|error| error.to_string())?;
        let unbound = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut envoy = Envoy {
            child,
            guard,
            directory,
            admin: unbound,
            address: unbound,
        };
        envoy.wait_until_ready()?;
        Ok(envoy)
    }

    fn wait_until_ready(&mut self) -> Result<(), Failed> {
        let end = Instant::now() + START;
        let admin_file = self.directory.path().join("admin");
        while Instant::now() < end {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(Failed::Refused(Refused {
                    status: status.code(),
                    log: self.log(),
                }));
            }
            // Envoy goes on without a listener that it refused.
            if self.directory.path().join("lds.json").exists() && self.log().contains(" rejected: ")
            {
                return Err(Failed::Refused(Refused {
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
            sleep(Duration::from_millis(20));
        }
        let text = format!("Envoy was not ready in {START:?}:\n{}", tail(&self.log()));
        Err(Failed::Machine(text))
    }

    /// Where it listens, once it is ready and its counters can be read.
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

    /// Where it takes requests.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its admin interface is.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// A GET of its admin interface.
    ///
    /// # Errors
    /// Where it does not answer.
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
    /// Where the file cannot be written.
    pub fn push_listener(&self, config: &Config) -> Result<(), String> {
        let path = |name: &str| self.directory.path().join(name);
        std::fs::write(path("lds.new"), config.listener_resource()).map_err(cannot_write)?;
        std::fs::rename(path("lds.new"), path("lds.json")).map_err(cannot_write)
    }

    /// Waits until `condition` holds; false where it does not within 30 seconds.
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

    /// What it logged so far.
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
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Keeps its directory (configuration, log, access log) after its end, and says where.
    pub fn keep_files(&mut self) -> String {
        self.directory.disable_cleanup(true);
        self.directory.path().display().to_string()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // The guard first: it must not outlive the id that it would end.
        let _ = self.guard.kill();
        let _ = self.guard.wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

enum Failed {
    Machine(String),
    Refused(Refused),
}

impl From<String> for Failed {
    fn from(text: String) -> Failed {
        Failed::Machine(text)
    }
}

/// Ends Envoy when this process ends without dropping it: then the guard's standard input closes.
fn guard(envoy: &Child) -> io::Result<Child> {
    Command::new("sh")
        .args(["-c", "read -r _; kill -9 \"$0\" 2>/dev/null"])
        .arg(envoy.id().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
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

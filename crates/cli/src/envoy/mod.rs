//! Runs one real Envoy as a child: its own directory, ports from the OS, an end by its own process id.
//!
//! Used by `demo` and `bench`. What the configuration says is `config`'s; what is sent through it, its callers'.

pub mod config;

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

pub use config::Config;

use crate::failure::Failure;
use crate::http::Connection;

/// How long an Envoy may take until it answers: a big module compiles for seconds, more on a busy machine.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long an Envoy may take to end before it is killed.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// How often its state is looked at while it starts.
const POLL: Duration = Duration::from_millis(2);

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

/// Which version a binary is, such as `1.40.0`.
///
/// # Errors
/// [`Failure::Input`] where it does not say so.
pub async fn version(binary: &Path) -> Result<String, Failure> {
    let told = Command::new(binary).arg("--version").output().await;
    let told = told.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    // `envoy  version: HASH/1.40.0/Clean/RELEASE/BoringSSL`
    let is_version = |part: &&str| part.split('.').all(|number| number.parse::<u32>().is_ok());
    let version = told
        .ok()
        .and_then(|text| text.split('/').rev().find(is_version).map(str::to_owned));
    version.ok_or_else(|| {
        Failure::Input(format!(
            "`{} --version` does not say which Envoy it is",
            binary.display()
        ))
    })
}

/// A running Envoy. [`Envoy::stop`] ends it in order; dropping it kills it.
#[derive(Debug)]
pub struct Envoy {
    child: Child,
    directory: TempDir,
    /// Where it takes requests.
    pub listener: SocketAddr,
    /// Its admin interface.
    pub admin: SocketAddr,
    /// When its process was started.
    pub spawned: Instant,
}

impl Envoy {
    /// Starts `binary` with `config` and `workers` worker threads, and waits until its listener is open.
    ///
    /// # Errors
    /// [`Failure::Unmet`] where it does not start; the text ends with what Envoy logged last.
    pub async fn start(binary: &Path, config: &Config, workers: u32) -> Result<Envoy, Failure> {
        let directory = tempfile::Builder::new()
            .prefix("pointsman-envoy-")
            .tempdir()
            .map_err(|error| {
                Failure::Unmet(format!("cannot make a temporary directory: {error}"))
            })?;
        let path = |name: &str| directory.path().join(name);
        let write_error = |error| Failure::Unmet(format!("cannot write Envoy's files: {error}"));
        std::fs::write(path("envoy.json"), config.to_json()).map_err(write_error)?;
        let log = File::create(path("envoy.log")).map_err(write_error)?;

        let spawned = Instant::now();
        let child = Command::new(binary)
            .arg("-c")
            .arg(path("envoy.json"))
            .arg("--admin-address-path")
            .arg(path("admin"))
            .arg("--concurrency")
            .arg(workers.to_string())
            // No shared memory and no domain socket: any number of Envoys side by side, and nothing left behind.
            .args(["--disable-hot-restart", "--log-level", "warn"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(write_error)?)
            .stderr(log)
            // Its own group: Ctrl-C on a terminal reaches only us, and we end it in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                Failure::Input(format!(
                    "cannot start Envoy `{}`: {error}",
                    binary.display()
                ))
            })?;

        let unset = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut envoy = Envoy {
            child,
            directory,
            listener: unset,
            admin: unset,
            spawned,
        };
        envoy.wait_until_open().await?;
        Ok(envoy)
    }

    async fn wait_until_open(&mut self) -> Result<(), Failure> {
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(Failure::Unmet(format!(
                    "envoy ended with {status}: {}",
                    self.last_words()
                )));
            }
            if let Some((admin, listener)) = self.addresses().await {
                self.admin = admin;
                self.listener = listener;
                return Ok(());
            }
            if self.spawned.elapsed() > READY_TIMEOUT {
                return Err(Failure::Unmet(format!(
                    "envoy took no requests within {} s: {}",
                    READY_TIMEOUT.as_secs(),
                    self.last_words()
                )));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The admin's and the first listener's address, once Envoy is ready.
    async fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        let text = std::fs::read_to_string(self.directory.path().join("admin")).ok()?;
        let admin: SocketAddr = text.trim().parse().ok()?;
        let mut connection = Connection::open(admin).await.ok()?;
        if connection.get("/ready").await.ok()?.status != 200 {
            return None;
        }
        let listeners = connection.get("/listeners?format=json").await.ok()?;
        let listeners: serde_json::Value = serde_json::from_slice(&listeners.body).ok()?;
        let address = listeners.pointer("/listener_statuses/0/local_address/socket_address")?;
        let port = u16::try_from(address.get("port_value")?.as_u64()?).ok()?;
        Some((admin, SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
    }

    /// Its resident memory in bytes; `None` where the system does not tell (only Linux does).
    pub fn resident_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(kilobytes * 1024)
    }

    /// Where its log is, as long as it runs.
    pub fn log_path(&self) -> PathBuf {
        self.directory.path().join("envoy.log")
    }

    /// What its log says of its end: the module's last word where there is one, else the last line.
    fn last_words(&self) -> String {
        let log = std::fs::read(self.log_path()).unwrap_or_default();
        last_words(&String::from_utf8_lossy(&log))
    }

    /// Ends it: SIGTERM by its id, and a kill where that does not help.
    pub async fn stop(mut self) {
        end(&mut self.child, END_TIMEOUT).await;
    }
}

/// Asks a child to end and kills it where it has not within `patience`. Only ever this child: by its id.
pub async fn end(child: &mut Child, patience: Duration) {
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // An error means that it has ended already.
        let _ = kill_process(pid, Signal::TERM);
    }
    if tokio::time::timeout(patience, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

/// Envoy's last line only names the plugin that failed; why it failed, the module logged before.
fn last_words(log: &str) -> String {
    let lines = || log.lines().rev().map(str::trim);
    let of_module = lines().find_map(|line| Some(line.split_once(" wasm log ")?.1));
    let last = of_module.or_else(|| lines().find(|line| !line.is_empty()));
    last.unwrap_or("it logged nothing").to_owned()
}

#[cfg(test)]
mod tests {
    use super::last_words;

    #[test]
    fn the_module_says_why() {
        let log = "[1][error][wasm] [context.cc:1] wasm log pointsman: policy: no model\n[1][critical] Unable to create\n\n";
        assert_eq!(last_words(log), "pointsman: policy: no model");
        assert_eq!(
            last_words("[1][critical] cannot bind\n"),
            "[1][critical] cannot bind"
        );
        assert_eq!(last_words(""), "it logged nothing");
    }
}

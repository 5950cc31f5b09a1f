//! One real Prometheus as a child process, with the configuration we ship: only whom it asks, and how often, is changed.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::files;
use crate::http1::Request;
use crate::process::Process;

/// How long it may take to start on a machine that other tests keep busy.
const START: Duration = Duration::from_secs(60);

/// A running Prometheus; dropping it ends it.
#[derive(Debug)]
pub struct Prometheus {
    process: Process,
    directory: TempDir,
    address: SocketAddr,
}

/// One series of a result: its labels, and the last value.
#[derive(Debug, Clone)]
pub struct Series {
    /// The labels, `__name__` among them if there is one.
    pub labels: Value,
    /// The value; may be NaN.
    pub value: f64,
}

/// The path of `prometheus` or `promtool`.
///
/// # Errors
/// Names the command that installs it.
pub fn binary(name: &str) -> Result<PathBuf, String> {
    files::require(&format!("target/prometheus/{name}"), "make setup")
}

impl Prometheus {
    /// Starts it with the command line `arguments` of a folder of configuration: what they say of files and addresses is
    /// replaced by a folder of its own and a port of the operating system's choice. It asks `target` twice a second.
    ///
    /// # Errors
    /// One text with the end of its log.
    pub fn start(
        configuration: &Path,
        arguments: &[String],
        target: SocketAddr,
    ) -> Result<Prometheus, String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let shown = |error: std::io::Error| error.to_string();
        let file = copy(configuration, directory.path(), target)?;
        let log = fs::File::create(directory.path().join("log")).map_err(shown)?;
        let own = |argument: &String| {
            let (name, _) = argument.split_once('=').unwrap_or((argument, ""));
            match name {
                "--config.file" => format!("{name}={}", file.display()),
                "--storage.tsdb.path" => format!("{name}={}/data", directory.path().display()),
                "--web.listen-address" => format!("{name}=127.0.0.1:0"),
                _ => argument.clone(),
            }
        };
        let mut command = Command::new(binary("prometheus")?);
        command
            .args(arguments.iter().map(own))
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let mut prometheus = Prometheus {
            process: Process::start(command).map_err(shown)?,
            directory,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        prometheus.wait_until_ready()?;
        Ok(prometheus)
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let end = Instant::now() + START;
        while Instant::now() < end {
            let log = self.log();
            let reported = log
                .lines()
                .find_map(|line| line.split_once("msg=\"Listening on\" address="));
            if let Some(address) = reported.and_then(|(_, address)| address.trim().parse().ok()) {
                self.address = address;
                let ready = Request::get("/-/ready").send(address);
                if ready.is_ok_and(|response| response.status == 200) {
                    return Ok(());
                }
            }
            if let Some(status) = self.process.exit_status() {
                return Err(format!("Prometheus ended with {status}:\n{log}"));
            }
            sleep(Duration::from_millis(50));
        }
        Err(format!(
            "Prometheus was not ready in {START:?}:\n{}",
            self.log()
        ))
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// The `data` of an answer of its API.
    ///
    /// # Errors
    /// The error that Prometheus states.
    pub fn get(&self, path: &str) -> Result<Value, String> {
        let response = Request::get(path)
            .send(self.address)
            .map_err(|error| error.to_string())?;
        let answer = response.json();
        let text = |name: &str| answer.get(name).and_then(Value::as_str);
        match text("status") {
            Some("success") => Ok(answer.get("data").cloned().unwrap_or_default()),
            _ => Err(text("error").unwrap_or("no answer").to_owned()),
        }
    }

    /// The present value of an expression.
    ///
    /// # Errors
    /// If it is none.
    pub fn query(&self, expression: &str) -> Result<Vec<Series>, String> {
        let data = self.get(&format!("/api/v1/query?query={}", encoded(expression)))?;
        let number = |value: Option<&Value>| {
            let text = value.and_then(Value::as_str);
            text.and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
        };
        let result = data.get("result").and_then(Value::as_array);
        let result = result.map(Vec::as_slice).unwrap_or_default();
        if data.get("resultType").and_then(Value::as_str) == Some("scalar") {
            // A pair of time and value.
            return Ok(vec![Series {
                labels: json!({}),
                value: number(result.get(1)),
            }]);
        }
        let series = result.iter().map(|series| Series {
            labels: series.get("metric").cloned().unwrap_or_default(),
            value: number(series.pointer("/value/1")),
        });
        Ok(series.collect())
    }

    /// The sum of what an expression says now; 0 where it says nothing.
    pub fn sum(&self, expression: &str) -> f64 {
        let series = self.query(expression).unwrap_or_default();
        series.iter().map(|series| series.value).sum()
    }

    /// Waits until `condition` holds; false if it does not within 30 seconds.
    pub fn wait_for(&self, condition: impl Fn(&Prometheus) -> bool) -> bool {
        let end = Instant::now() + Duration::from_secs(30);
        while Instant::now() < end {
            if condition(self) {
                return true;
            }
            sleep(Duration::from_millis(100));
        }
        false
    }
}

/// Copies the folder's files, the configuration with `target` in place of whom it would ask.
fn copy(configuration: &Path, folder: &Path, target: SocketAddr) -> Result<PathBuf, String> {
    let shown = |error: std::io::Error| error.to_string();
    for entry in fs::read_dir(configuration).map_err(shown)? {
        let entry = entry.map_err(shown)?;
        fs::copy(entry.path(), folder.join(entry.file_name())).map_err(shown)?;
    }
    let file = folder.join("prometheus.yml");
    let text = fs::read_to_string(&file).map_err(shown)?;
    let mut document: Value = serde_yaml_ng::from_str(&text).map_err(|error| error.to_string())?;
    for (pointer, value) in [
        ("/global/scrape_interval", json!("500ms")),
        ("/global/evaluation_interval", json!("500ms")),
        (
            "/scrape_configs/0/static_configs/0/targets",
            json!([target.to_string()]),
        ),
    ] {
        let place = document
            .pointer_mut(pointer)
            .ok_or_else(|| format!("prometheus.yml has no `{pointer}`"))?;
        *place = value;
    }
    fs::write(&file, document.to_string()).map_err(shown)?;
    Ok(file)
}

fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

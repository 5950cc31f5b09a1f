//! `pointsman demo-backends` as a child process, and its `/control/` interface.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::http1::Request;

/// Running backends; dropping them ends them.
#[derive(Debug)]
pub struct Backends {
    child: Child,
    backends: Vec<Backend>,
}

/// One of them.
#[derive(Debug, Clone)]
pub struct Backend {
    /// Its name in the policy.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// The only model name that it takes.
    pub model: String,
}

/// What a backend was sent.
#[derive(Debug, Clone)]
pub struct Received {
    /// The whole record: method, path, headers, whether it was complete.
    pub record: Value,
    /// The body's bytes.
    pub body: Vec<u8>,
}

impl Received {
    /// A request header, the first of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers()
            .find(|(header, _)| *header == name)
            .map(|(_, value)| value)
    }

    /// Every request header.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let headers = self.record.get("headers").and_then(Value::as_array);
        headers
            .into_iter()
            .flatten()
            .filter_map(|pair| Some((pair.get(0)?.as_str()?, pair.get(1)?.as_str()?)))
    }

    /// The body as JSON, `null` where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Backends {
    /// Starts the backends of `policy` without any delay, from the `pointsman` binary at `command`.
    ///
    /// # Errors
    /// Where they do not start.
    pub fn start(command: &Path, policy: &Path) -> Result<Backends, String> {
        Backends::start_at(command, policy, "0")
    }

    /// The same, a second of theirs taking `scale` seconds.
    ///
    /// # Errors
    /// Where they do not start.
    pub fn start_at(command: &Path, policy: &Path, scale: &str) -> Result<Backends, String> {
        let mut child = Command::new(command)
            .args(["demo-backends", "--time-scale", scale, "--until-stdin-ends"])
            .arg("--from")
            .arg(policy)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("`{}`: {error}", command.display()))?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            let _ = BufReader::new(out).read_line(&mut line);
        }
        let listed: Value = serde_json::from_str(&line).unwrap_or_default();
        let backends = listed
            .get("backends")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|backend| {
                let text = |name| Some(backend.get(name)?.as_str()?.to_owned());
                Some(Backend {
                    name: text("name")?,
                    address: text("address")?.parse().ok()?,
                    model: text("model")?,
                })
            })
            .collect();
        let running = Backends { child, backends };
        if running.backends.is_empty() {
            return Err("the backends did not say where they listen".into());
        }
        Ok(running)
    }

    /// All of them, in the order of the policy.
    pub fn all(&self) -> &[Backend] {
        &self.backends
    }

    /// Name and address of each, as clusters.
    pub fn clusters(&self) -> impl Iterator<Item = (&str, SocketAddr)> {
        self.backends
            .iter()
            .map(|backend| (backend.name.as_str(), backend.address))
    }

    /// The one of this name.
    pub fn get(&self, name: &str) -> Option<&Backend> {
        self.backends.iter().find(|backend| backend.name == name)
    }

    /// What each was sent with `x-test-id: test`, with the backend's name.
    ///
    /// # Errors
    /// Where a backend does not answer.
    pub fn received(&self, test: &str) -> Result<Vec<(String, Received)>, String> {
        let mut all = Vec::new();
        for backend in &self.backends {
            for received in backend.received(test)? {
                all.push((backend.name.clone(), received));
            }
        }
        Ok(all)
    }
}

impl Backend {
    /// Commands a fault, as `demo-backends` describes it.
    ///
    /// # Errors
    /// Where it is not understood.
    pub fn fault(&self, command: &Value) -> Result<(), String> {
        let body = command.to_string();
        let response = Request::post("/control/faults", body.as_bytes())
            .send(self.address)
            .map_err(|error| error.to_string())?;
        match response.status {
            200 => Ok(()),
            _ => Err(response.text()),
        }
    }

    /// Ends every fault.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn mend(&self) -> Result<(), String> {
        let mut request = Request::get("/control/faults");
        request.method = "DELETE";
        let response = request.send(self.address);
        response.map(drop).map_err(|error| error.to_string())
    }

    /// What it was sent with `x-test-id: test`.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn received(&self, test: &str) -> Result<Vec<Received>, String> {
        let get = |path: String| {
            Request::get(&path)
                .send(self.address)
                .map_err(|error| format!("backend `{}`: {error}", self.name))
        };
        let listed = get(format!("/control/requests?test={test}"))?.json();
        let mut received = Vec::new();
        for record in listed.as_array().into_iter().flatten() {
            let id = record.get("id").and_then(Value::as_u64).unwrap_or_default();
            received.push(Received {
                body: get(format!("/control/requests/{id}/body"))?.body,
                record: record.clone(),
            });
        }
        Ok(received)
    }
}

impl Drop for Backends {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! Running backends as tests hold them: their addresses, and their `/control/` interface.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use serde_json::Value;
use tokio::sync::oneshot;

use super::Options;
use super::fleet::{self, BackendSpec};
use crate::http1::Request;

/// Running backends; dropping them ends them.
#[derive(Debug)]
pub struct Backends {
    backends: Vec<Backend>,
    /// Ends the thread on which they run, once it is dropped.
    _stop: oneshot::Sender<()>,
}

/// One of them.
#[derive(Debug, Clone)]
pub struct Backend {
    /// Its name in the policy.
    pub name: String,
    /// Its address.
    pub address: SocketAddr,
    /// The only model name that it takes.
    pub model: String,
}

/// A request that a backend received.
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

    /// The body as JSON, `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Backends {
    /// Starts the backends of the policy in the file `policy` without any delay.
    ///
    /// # Errors
    /// If they do not start.
    pub fn start(policy: &Path) -> Result<Backends, String> {
        Backends::start_at(policy, 0.0)
    }

    /// Starts the backends, a second of theirs taking `time_scale` seconds.
    ///
    /// # Errors
    /// If they do not start.
    pub fn start_at(policy: &Path, time_scale: f64) -> Result<Backends, String> {
        let options = Options {
            time_scale,
            seed: 1,
            ..Options::default()
        };
        Backends::serve(&fleet::read(policy)?, &options)
    }

    /// Starts `fleet` on a thread of its own and waits until every backend listens.
    ///
    /// # Errors
    /// Names the backend whose port is taken.
    pub fn serve(fleet: &[BackendSpec], options: &Options) -> Result<Backends, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("cannot start the event loop: {error}"))?;
        let (stop, stopped) = oneshot::channel();
        let (listening, started) = mpsc::channel();
        let (owned, options) = (fleet.to_vec(), options.clone());
        thread::spawn(move || {
            runtime.block_on(async {
                let _ = listening.send(super::start(&owned, &options).await);
                // Ends by an error, which is the drop of the other half.
                let _ = stopped.await;
            });
        });
        let addresses = started
            .recv()
            .map_err(|_| "the thread of the backends ended".to_owned())??;
        let backends = fleet.iter().zip(addresses).map(|(spec, address)| Backend {
            name: spec.name.clone(),
            address,
            model: spec.served_model.clone(),
        });
        Ok(Backends {
            backends: backends.collect(),
            _stop: stop,
        })
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

    /// The requests with `x-test-id: test` that each backend received, with the backend's name.
    ///
    /// # Errors
    /// If a backend does not answer.
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
    /// If it is not understood.
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
    /// If it does not answer.
    pub fn recover(&self) -> Result<(), String> {
        let mut request = Request::get("/control/faults");
        request.method = "DELETE";
        let response = request.send(self.address);
        response.map(drop).map_err(|error| error.to_string())
    }

    /// The requests with `x-test-id: test` that it received.
    ///
    /// # Errors
    /// If it does not answer.
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

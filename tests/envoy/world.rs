//! State that the tests share: one set of backends, one Envoy a version with the shipped configuration, one more whose listener
//! tests replace. Each starts when the first test asks for it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use pointsman_harness::backends::{Backends, Received};
use pointsman_harness::config::Config;
use pointsman_harness::envoy::Envoy;
use pointsman_harness::files::{self, ENVOY_VERSIONS};
use pointsman_harness::http1::{Request, Response};
use serde_json::{Value, json};

/// The path that LLM clients use.
pub const CHAT: &str = "/v1/chat/completions";

pub struct World {
    backends: OnceLock<Result<Backends, String>>,
    shipped: BTreeMap<&'static str, OnceLock<Result<Envoy, String>>>,
    replaceable: BTreeMap<&'static str, Mutex<Option<Replaceable>>>,
    count: AtomicU32,
}

impl World {
    pub fn new() -> World {
        World {
            backends: OnceLock::new(),
            shipped: ENVOY_VERSIONS.map(|v| (v, OnceLock::new())).into(),
            replaceable: ENVOY_VERSIONS.map(|v| (v, Mutex::new(None))).into(),
            count: AtomicU32::new(0),
        }
    }

    /// Says where the files of the shared Envoys are, and keeps them.
    pub fn keep_files(&self) {
        for (version, envoy) in &self.shipped {
            if let Some(Ok(envoy)) = envoy.get() {
                let log = std::env::temp_dir().join(format!("pointsman-e2e-{version}.log"));
                let _ = std::fs::write(&log, envoy.log());
                eprintln!("log of Envoy {version}: {}", log.display());
            }
        }
    }
}

/// An Envoy whose listener is replaced by tests, one at a time.
pub struct Replaceable {
    pub envoy: Envoy,
    pushes: u64,
}

impl Replaceable {
    /// Replaces the listener and waits until Envoy has taken it.
    pub fn push(&mut self, config: &Config) {
        let updates = self.envoy.stat("listener_manager.lds.update_success");
        self.push_text(config);
        assert!(
            self.envoy.wait_for(|envoy| {
                envoy.stat("listener_manager.lds.update_success") > updates
                    && envoy.stat("listener_manager.total_listeners_warming") == 0
                    && envoy.stat("listener_manager.workers_started") == 1
            }),
            "Envoy did not take the listener:\n{}",
            pointsman_harness::envoy::tail(&self.envoy.log())
        );
        self.envoy.find_listener();
    }

    /// Replaces the listener's file, and no more.
    pub fn push_text(&mut self, config: &Config) {
        self.pushes += 1;
        // Envoy remembers what it has refused: every push is another text.
        let marked = config.clone().set_listener(
            "metadata",
            json!({"filter_metadata": {"test": {"push": self.pushes}}}),
        );
        self.envoy.push_listener(&marked).unwrap();
    }
}

/// The context of a test.
pub struct Case {
    pub version: &'static str,
    name: String,
    world: Arc<World>,
}

impl Case {
    pub fn new(version: &'static str, name: &str, world: Arc<World>) -> Case {
        Case {
            version,
            name: name.to_owned(),
            world,
        }
    }

    /// An id that no other request of this run carries.
    pub fn id(&self) -> String {
        let count = self.world.count.fetch_add(1, Ordering::Relaxed);
        format!("{}-{}-{count}", self.version, self.name.replace("::", "-"))
    }

    pub fn backends(&self) -> &Backends {
        let started = self
            .world
            .backends
            .get_or_init(|| Backends::start(&files::root().join("envoy/envoy.yaml")));
        started.as_ref().unwrap_or_else(|error| panic!("{error}"))
    }

    pub fn module(&self) -> PathBuf {
        files::module().unwrap_or_else(|error| panic!("{error}"))
    }

    /// The shipped configuration in front of the backends.
    pub fn config(&self) -> Config {
        self.config_with(&self.module())
    }

    /// The shipped configuration with another module.
    pub fn config_with(&self, module: &Path) -> Config {
        Config::shipped(module)
            .unwrap_or_else(|error| panic!("{error}"))
            .with_clusters(self.backends().clusters())
            // Tests share backends and command faults: what one of them does to a backend must not move another's decisions.
            .set_policy("latency_source", json!("declared"))
    }

    /// The Envoy with the shipped configuration that all tests of this version share.
    pub fn envoy(&self) -> &Envoy {
        let started = self.world.shipped[self.version]
            .get_or_init(|| Envoy::start(self.version, &self.config()));
        started.as_ref().unwrap_or_else(|error| panic!("{error}"))
    }

    /// An Envoy of this test's own.
    pub fn start(&self, config: &Config) -> Envoy {
        Envoy::start(self.version, config).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The Envoy whose listener this test may replace; other tests wait for it. It has `config` when it is handed over.
    pub fn replaceable(&self, config: &Config) -> Replaced<'_> {
        let mut slot = self.world.replaceable[self.version]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match slot.as_mut() {
            Some(replaceable) => replaceable.push(config),
            None => {
                let envoy = Envoy::start_with_lds(self.version, config)
                    .unwrap_or_else(|error| panic!("{error}"));
                *slot = Some(Replaceable { envoy, pushes: 0 });
            }
        }
        Replaced(slot)
    }

    pub fn address(&self) -> SocketAddr {
        self.envoy().address()
    }

    /// Sends `body` to the shared Envoy as a chat request and says what came back and what arrived where.
    pub fn chat(&self, body: &[u8]) -> Exchange {
        self.send(Request::post(CHAT, body))
    }

    /// Sends a request to the shared Envoy.
    pub fn send(&self, request: Request<'_>) -> Exchange {
        self.send_to(self.address(), request)
    }

    /// Sends a request to any Envoy.
    pub fn send_to(&self, address: SocketAddr, request: Request<'_>) -> Exchange {
        let id = self.id();
        let response = request
            .header("x-test-id", id.as_bytes())
            .send(address)
            .unwrap_or_else(|error| panic!("no response: {error}"));
        self.exchange(&id, response)
    }

    /// The requests that arrived under this id.
    pub fn exchange(&self, id: &str, response: Response) -> Exchange {
        Exchange {
            response,
            received: self.backends().received(id).unwrap(),
        }
    }
}

/// A lock on the Envoy whose listener can be replaced.
pub struct Replaced<'a>(MutexGuard<'a, Option<Replaceable>>);

impl std::ops::Deref for Replaced<'_> {
    type Target = Replaceable;

    fn deref(&self) -> &Replaceable {
        self.0.as_ref().unwrap()
    }
}

impl std::ops::DerefMut for Replaced<'_> {
    fn deref_mut(&mut self) -> &mut Replaceable {
        self.0.as_mut().unwrap()
    }
}

/// One request, from both ends.
pub struct Exchange {
    pub response: Response,
    /// Backend and what it was sent.
    pub received: Vec<(String, Received)>,
}

impl Exchange {
    /// The one thing that arrived, and where.
    pub fn only(&self) -> (&str, &Received) {
        match self.received.as_slice() {
            [(backend, received)] => (backend, received),
            other => panic!(
                "{} requests arrived instead of 1; the client got {} {}",
                other.len(),
                self.response.status,
                self.response.text()
            ),
        }
    }

    pub fn status(&self) -> u16 {
        self.response.status
    }

    /// A response header of ours, `x-pointsman-NAME`.
    pub fn reported(&self, name: &str) -> Option<&str> {
        self.response.header(&format!("x-pointsman-{name}"))
    }

    /// The backend got `body` with `model` in place of `asked`, every other byte as it was, and the right length; the
    /// client got its answer.
    pub fn assert_rewritten(&self, backend: &str, body: &[u8], asked: &str, served: &str) {
        let (arrived_at, received) = self.only();
        assert_eq!(self.status(), 200, "{}", self.response.text());
        assert_eq!(arrived_at, backend);
        let text = String::from_utf8(body.to_vec()).unwrap();
        let expected = text.replacen(&format!("\"{asked}\""), &format!("\"{served}\""), 1);
        assert_ne!(text, expected, "the test's body has no such model");
        assert!(
            received.body == expected.as_bytes(),
            "the body that arrived is another one: {} bytes instead of {}: {:.200}",
            received.body.len(),
            expected.len(),
            String::from_utf8_lossy(&received.body)
        );
        self.assert_framed();
    }

    /// Asserts that `body` arrived untouched at `backend`.
    pub fn assert_untouched(&self, backend: &str, body: &[u8]) {
        let (arrived_at, received) = self.only();
        assert_eq!(arrived_at, backend);
        assert!(received.body == body, "{:?}", received.record);
        self.assert_framed();
    }

    fn assert_framed(&self) {
        let (_, received) = self.only();
        assert_eq!(received.record["complete"], Value::Bool(true));
        match received.header("content-length") {
            Some(length) => assert_eq!(length, received.body.len().to_string()),
            None => assert_eq!(received.header("transfer-encoding"), Some("chunked")),
        }
    }
}

/// A chat request for `model`.
pub fn ask(model: &str, prompt: &str) -> Vec<u8> {
    let body = json!({"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": 16});
    body.to_string().into_bytes()
}

/// A chat request of about so many bytes: a field that nobody knows, since so long a prompt would fit no context window.
pub fn padded(model: &str, bytes: usize) -> Vec<u8> {
    let padding = "pad ".repeat(bytes / 4);
    let head =
        format!("{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}]");
    format!("{head},\"padding\":\"{padding}\"}}").into_bytes()
}

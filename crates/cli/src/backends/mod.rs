//! `pointsman demo-backends`: several LLM backends in one process, each on its own port, each speaking the APIs that the
//! policy says it does: OpenAI's and Anthropic's.
//!
//! They have the latency, price and failure behaviour of GPU, CPU, LPU and serverless hardware, and honestly synthetic
//! answers. The demo, the benchmark and the tests in a real Envoy send their requests to them; nothing of this is for
//! production. For tests, `/control/` commands faults and shows what arrived (`control.rs`).

mod answer;
mod asked;
mod control;
mod faults;
pub mod fleet;
mod instance;
mod record;
mod server;
mod timing;
mod wire;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::failure::Failure;
use fleet::Backend;
use server::Server;

/// Arguments of `pointsman demo-backends`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A policy, or a document that holds one, such as envoy/envoy.yaml; a small built-in fleet if absent
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// A backend's port; others have that of their endpoint, if it is on this machine and free, else any
    #[arg(long = "port", value_name = "BACKEND=PORT", value_parser = parse_port)]
    ports: Vec<(String, u16)>,
    /// How long a simulated second takes, in seconds: 0.01 is a hundred times as fast, 0 without any delay
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    time_scale: f64,
    /// Fixes the delays and failures that are drawn
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// End when standard input does, so that no backend outlives who started it
    #[arg(long)]
    until_stdin_ends: bool,
}

fn parse_port(text: &str) -> Result<(String, u16), String> {
    let (name, port) = text.rsplit_once('=').ok_or("expected BACKEND=PORT")?;
    let port = port.parse().map_err(|_| format!("`{port}` is no port"))?;
    Ok((name.to_owned(), port))
}

/// How a fleet is run.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Ports by name of backend; others have the port of their endpoint, if that is on this machine and free, else one that the
    /// operating system chooses.
    pub ports: BTreeMap<String, u16>,
    /// Simulated time to real time: 1 real time, 0 no delay.
    pub time_scale: f64,
    /// Fixes what is drawn.
    pub seed: u64,
}

/// Starts every backend on the present tokio runtime and returns where each listens, in the order of `fleet`. They run
/// until the runtime ends.
///
/// # Errors
/// [`Failure::Input`] for a port of a backend that is not in the fleet; [`Failure::Unmet`] where a port is taken.
pub async fn start(
    fleet: &[Backend],
    options: &Options,
) -> Result<Vec<(String, SocketAddr)>, Failure> {
    for name in options.ports.keys() {
        if !fleet.iter().any(|backend| &backend.name == name) {
            return Err(Failure::Input(format!(
                "no backend is called `{name}`, so it gets no port"
            )));
        }
    }
    let mut addresses = Vec::new();
    for (index, backend) in fleet.iter().enumerate() {
        let asked = options.ports.get(&backend.name).copied();
        let port = asked.unwrap_or(0);
        let cannot =
            |error| Failure::Unmet(format!("backend `{}`: port {port}: {error}", backend.name));
        let listener = match (asked, backend.port) {
            (None, Some(usual)) => bind_or_any(usual, &backend.name).await,
            _ => TcpListener::bind(("127.0.0.1", port)).await,
        };
        let listener = listener.map_err(cannot)?;
        addresses.push((backend.name.clone(), listener.local_addr().map_err(cannot)?));
        let seed = options
            .seed
            .wrapping_mul(1_000_003)
            .wrapping_add(index as u64);
        let server = Server::new(backend.clone(), options.time_scale, seed);
        tokio::spawn(server.serve(listener));
    }
    Ok(addresses)
}

/// A listener on this port, or where somebody else has it, on any.
async fn bind_or_any(port: u16, backend: &str) -> std::io::Result<TcpListener> {
    match TcpListener::bind(("127.0.0.1", port)).await {
        Err(error) => {
            eprintln!("note: backend `{backend}` is not at its endpoint: port {port}: {error}");
            TcpListener::bind(("127.0.0.1", 0)).await
        }
        bound => bound,
    }
}

/// Runs the backends until Ctrl-C, or until standard input ends.
///
/// # Errors
/// [`Failure::Input`] for a document that cannot be read; [`Failure::Unmet`] where a port is taken.
pub fn run(args: Args) -> Result<(), Failure> {
    let fleet = match &args.from {
        None => fleet::default_fleet(),
        Some(file) => {
            let name = file.display();
            std::fs::read_to_string(file)
                .map_err(|error| format!("`{name}`: {error}"))
                .and_then(|text| fleet::parse(&text).map_err(|error| format!("`{name}`: {error}")))
        }
    }
    .map_err(Failure::Input)?;
    if !(args.time_scale >= 0.0 && args.time_scale.is_finite()) {
        return Err(Failure::Input(format!(
            "time scale `{}` is not 0 or more",
            args.time_scale
        )));
    }
    let options = Options {
        ports: args.ports.into_iter().collect(),
        time_scale: args.time_scale,
        seed: args.seed,
    };
    crate::runtime()?.block_on(serve(&fleet, &options, args.until_stdin_ends))
}

async fn serve(
    fleet: &[Backend],
    options: &Options,
    until_stdin_ends: bool,
) -> Result<(), Failure> {
    let addresses = start(fleet, options).await?;
    let backends: Vec<_> = fleet
        .iter()
        .zip(&addresses)
        .map(|(backend, (name, address))| {
            json!({
                "name": name, "address": address.to_string(), "port": address.port(),
                "model": backend.served_model, "accelerator": backend.accelerator.name(),
            })
        })
        .collect();
    let mut out = std::io::stdout();
    writeln!(out, "{}", json!({"backends": backends}))
        .and_then(|()| out.flush())
        .map_err(|error| Failure::Unmet(error.to_string()))?;
    if until_stdin_ends {
        let (mut stdin, mut sink) = (tokio::io::stdin(), Vec::new());
        tokio::select! {
            _ = stdin.read_to_end(&mut sink) => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        // The read of standard input blocks a thread that would otherwise keep the runtime from ending.
        std::process::exit(0);
    }
    tokio::signal::ctrl_c()
        .await
        .map_err(|error| Failure::Unmet(error.to_string()))
}

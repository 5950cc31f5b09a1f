//! Simulated LLM backends: each on its own port, each speaking the APIs that the policy says it does, OpenAI's and Anthropic's.
//!
//! They have the latency, price and failure behaviour of GPU, CPU, LPU and serverless hardware. Their answers
//! are synthetic and say so. The demo and the tests in a real Envoy send their requests to them; nothing of this is for production. They run
//! in this process, on a thread of their own. For tests, `/control/` commands faults and shows what arrived (`control.rs`).

mod answer;
mod api_error;
mod control;
mod faults;
pub mod fleet;
mod handle;
mod instance;
mod record;
mod request;
mod response;
mod server;
mod timing;
mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use fleet::BackendSpec;
pub use handle::{Backend, Backends, Received};
pub use server::ANSWER_TOKENS;
use server::Server;

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
/// Names the backend whose port is taken.
async fn start(fleet: &[BackendSpec], options: &Options) -> Result<Vec<SocketAddr>, String> {
    let mut addresses = Vec::new();
    for (index, backend) in fleet.iter().enumerate() {
        let wanted = options.ports.get(&backend.name).copied();
        let port = wanted.unwrap_or(0);
        let cannot = |error| format!("backend `{}`: port {port}: {error}", backend.name);
        let listener = match (wanted, backend.port) {
            (None, Some(usual)) => bind_or_any(usual, &backend.name).await,
            _ => TcpListener::bind(("127.0.0.1", port)).await,
        };
        let listener = listener.map_err(cannot)?;
        addresses.push(listener.local_addr().map_err(cannot)?);
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

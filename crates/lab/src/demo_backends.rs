//! `pointsman-lab demo-backends`: the simulated backends of the harness as a command, for the demo by Compose and by hand.

use std::io::Write as _;
use std::path::PathBuf;

use pointsman_cli::failure::Failure;
use pointsman_cli::wait_for_end;
use pointsman_harness::backends::fleet::{self, BackendSpec};
use pointsman_harness::backends::{Backends, Options};
use serde_json::json;

/// Arguments of `pointsman-lab demo-backends`.
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
    let port = port
        .parse()
        .map_err(|_| format!("`{port}` is not a port"))?;
    Ok((name.to_owned(), port))
}

/// Runs the backends until Ctrl-C, or until standard input ends.
///
/// # Errors
/// [`Failure::Input`] for a document that cannot be read, and for a port of a backend that is not in it; [`Failure::Failed`]
/// if a port is taken.
pub fn run(args: Args) -> Result<(), Failure> {
    let fleet = match &args.from {
        None => fleet::default_fleet(),
        Some(file) => fleet::read(file),
    }
    .map_err(Failure::Input)?;
    if !(args.time_scale >= 0.0 && args.time_scale.is_finite()) {
        return Err(Failure::Input(format!(
            "time scale `{}` is not 0 or more",
            args.time_scale
        )));
    }
    let is_known = |name: &String| fleet.iter().any(|backend| backend.name == *name);
    if let Some((name, _)) = args.ports.iter().find(|(name, _)| !is_known(name)) {
        return Err(Failure::Input(format!(
            "no backend is called `{name}`, so it gets no port"
        )));
    }
    let options = Options {
        ports: args.ports.into_iter().collect(),
        time_scale: args.time_scale,
        seed: args.seed,
    };
    let running = Backends::serve(&fleet, &options).map_err(Failure::Failed)?;
    announce(&fleet, &running)?;
    pointsman_cli::runtime()?.block_on(wait_for_end(args.until_stdin_ends))
}

/// Prints where each backend listens, as one line of JSON.
fn announce(fleet: &[BackendSpec], running: &Backends) -> Result<(), Failure> {
    let backends: Vec<_> = fleet
        .iter()
        .zip(running.all())
        .map(|(spec, backend)| {
            json!({
                "name": backend.name, "address": backend.address.to_string(), "port": backend.address.port(),
                "model": backend.model, "accelerator": spec.accelerator.name(),
            })
        })
        .collect();
    let mut out = std::io::stdout();
    writeln!(out, "{}", json!({"backends": backends}))
        .and_then(|()| out.flush())
        .map_err(|error| Failure::Failed(error.to_string()))
}

//! `pointsman-lab bench`: what the filter costs. The same Envoy with and without it, in one run, in alternation.
//!
//! Both arms run the shipped configuration; all clusters lead to one server on the loopback address that answers at once,
//! so that the difference is the filter's. Arms take turns in short blocks, so that a machine that gets slower gets
//! slower for both. It never fails because of time: budgets are printed, `met` or `missed`.

pub mod body;
mod budget;
pub mod judged;
mod load;
mod report;
mod start;
pub mod upstream;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::demo::fleet::Fleet;
use crate::envoy::{self, Config, Envoy};
use pointsman_cli::failure::Failure;
use pointsman_eval::progress::Progress;

/// Sizes of request bodies, in bytes.
const SIZES: [usize; 5] = [200, 1_000, 10_000, 100_000, 1_000_000];
/// Numbers of worker threads for time to ready and memory.
const WORKERS: [usize; 3] = [1, 2, 4];
/// How many connections send at the same time.
const CONNECTIONS: [usize; 2] = [1, 16];
/// How long one arm is loaded before the other takes its turn.
const BLOCK: Duration = Duration::from_millis(400);

/// Arguments of `pointsman-lab bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The Envoy binary
    #[arg(long, value_name = "FILE", default_value = "target/envoy/envoy-1.40.0")]
    envoy: PathBuf,
    /// The configuration to run; the bare arm runs it without the filter
    #[arg(long, value_name = "FILE", default_value = "envoy/envoy.yaml")]
    config: PathBuf,
    /// The policy in place of the configuration's own: a body of 1 MB needs a model that takes 250,000 tokens
    #[arg(long, value_name = "FILE", default_value = "envoy/policies/demo.json")]
    policy: PathBuf,
    /// The filter
    #[arg(long, value_name = "FILE", default_value = "target/pointsman.wasm")]
    module: PathBuf,
    /// Seconds of load in all, starts and memory apart
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    seconds: u64,
    /// Sizes of request bodies in bytes
    #[arg(long, value_name = "BYTES", value_delimiter = ',', default_values_t = SIZES)]
    sizes: Vec<usize>,
    /// How many connections send at the same time
    #[arg(long, value_name = "COUNT", value_delimiter = ',', default_values_t = CONNECTIONS)]
    connections: Vec<usize>,
    /// Starts of each arm for time to ready and memory
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    starts: u32,
    /// Where the figures go as JSON
    #[arg(long, value_name = "FILE", default_value = "target/bench.json")]
    output: PathBuf,
}

/// One of the two Envoys under comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arm {
    /// Without the filter.
    Bare,
    /// With it.
    Filter,
}

/// State that both parts of the benchmark share.
pub struct Setup {
    envoy: PathBuf,
    bare: Config,
    filter: Config,
}

impl Setup {
    fn new(args: &Args, upstream: SocketAddr) -> Result<Setup, Failure> {
        let fleet = Fleet::read(Some(&args.config), Some(&args.policy))?;
        let clusters = fleet.clusters();
        let config = envoy::read(&args.config)?
            .with_policy(fleet.source)
            .with_clusters(clusters.iter().map(|name| (name.as_str(), upstream)))
            .with_default_cluster(&fleet.policy.default_cluster)
            .with_ports_from_os();
        Ok(Setup {
            envoy: args.envoy.clone(),
            bare: config.clone().without_module(),
            filter: config.with_module(&args.module),
        })
    }

    /// Starts one arm's Envoy.
    fn start(&self, arm: Arm, workers: usize) -> Result<Envoy, Failure> {
        let config = match arm {
            Arm::Bare => &self.bare,
            Arm::Filter => &self.filter,
        };
        envoy::start(&self.envoy, config, workers)
    }
}

/// Measures, prints the table and writes the JSON.
///
/// # Errors
/// [`Failure::Input`] if Envoy, the configuration or the module is missing; [`Failure::Failed`] if Envoy does not start,
/// a request is not answered with 200, or the JSON cannot be written. Never because of a figure.
pub fn run(args: &Args) -> Result<(), Failure> {
    envoy::require(&args.envoy, "make setup")?;
    envoy::require(&args.module, "make wasm")?;
    let module = budget::Module::read(&args.module)?;
    let upstream = upstream::start()?;
    let setup = Setup::new(args, upstream)?;
    let runtime = pointsman_cli::runtime()?;
    let figures = runtime.block_on(measure(args, &setup, module))?;
    print!("{}", report::table(&figures));
    std::fs::write(&args.output, report::json(&figures)).map_err(|error| {
        Failure::Failed(format!("cannot write `{}`: {error}", args.output.display()))
    })?;
    println!("\nwritten to {}", args.output.display());
    Ok(())
}

async fn measure(
    args: &Args,
    setup: &Setup,
    module: budget::Module,
) -> Result<report::Figures, Failure> {
    let mut starts = Vec::new();
    let count = u64::from(args.starts) * 2 * WORKERS.len() as u64;
    let mut progress = Progress::new("starts and memory", count);
    for workers in WORKERS {
        starts.push(start::measure(setup, workers, args.starts, &mut progress).await?);
    }
    progress.finish();

    let cells = (args.sizes.len() * args.connections.len()).max(1);
    let pairs = (args.seconds * 1000 / (cells as u64 * 2 * BLOCK.as_millis() as u64)).max(2);
    let bare = setup.start(Arm::Bare, 1)?;
    let filter = setup.start(Arm::Filter, 1)?;
    let arms = load::Arms {
        bare: bare.address(),
        filter: filter.address(),
    };
    let mut progress = Progress::new("latency and throughput", cells as u64 * pairs);
    let mut loads = Vec::new();
    for connections in args.connections.iter().copied() {
        for bytes in args.sizes.iter().copied() {
            loads.push(load::measure(arms, bytes, connections, pairs, BLOCK, &mut progress).await?);
        }
    }
    progress.finish();
    let after_load = (bare.resident_bytes(), filter.resident_bytes());
    bare.stop();
    filter.stop();
    Ok(report::Figures {
        module,
        starts,
        loads,
        after_load,
    })
}

//! The `pointsman-lab` command: what this repository runs, and no operator. One file per subcommand.
//!
//! Exit statuses and errors are those of `pointsman`.

mod bench;
mod demo;
mod demo_backends;
mod envoy;
mod features;
mod package;
mod raw;
mod soak;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use pointsman_cli::failure::Failure;

/// Commands that Pointsman's repository runs: demo, measurements, training features, packaging.
#[derive(Debug, Parser)]
#[command(
    name = "pointsman-lab",
    version,
    about,
    after_help = "Exit status: 0 done; 1 failed or not met; 2 bad usage or input."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure what the filter costs: the same Envoy with and without it
    Bench(bench::Args),
    /// Measure what a judge costs: the same Envoy with and without it
    BenchJudge(bench::judged::Args),
    /// Send real prompts through a real Envoy and show what each one costs
    Demo(demo::Args),
    /// Serve simulated backends of OpenAI's and Anthropic's APIs: GPU, CPU, LPU, serverless
    DemoBackends(demo_backends::Args),
    /// Write the token ids and features of prompts, for training
    Features(features::Args),
    /// Send requests and tell how long answers take, with next to no cost of its own
    Load(raw::load::Args),
    /// Answer every request at once with the same chat completion
    Mock(raw::mock::Args),
    /// Pack the module for a registry
    Package(package::Args),
    /// Send many requests to many backends and watch what grows
    Soak(soak::Args),
}

fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Bench(args) => bench::run(&args),
        Command::BenchJudge(args) => bench::judged::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::DemoBackends(args) => demo_backends::run(args),
        Command::Features(args) => features::run(&args),
        Command::Load(args) => raw::load::run(&args),
        Command::Mock(args) => raw::mock::run(&args),
        Command::Package(args) => package::run(&args),
        Command::Soak(args) => soak::run(&args),
    }
}

fn main() -> ExitCode {
    pointsman_cli::main_of(|| run(Cli::parse()))
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests;

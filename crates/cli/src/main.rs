//! The `pointsman` command: one file per subcommand, found by the subcommand's name.
//!
//! Exit status of every subcommand: 0 it did what was asked; 1 it ran, but failed or what was asked is not met;
//! 2 bad usage or input. An error is one line on standard error. To add a subcommand: a `mod`, a variant with its `Args`,
//! a line in `run`.
//!
//! It decides nothing itself: what a request's way is, the core says.

mod backends;
mod bench;
mod benchmarks;
mod calibrate;
mod check;
mod convert;
mod demo;
mod doctor;
mod document;
mod envelope;
mod envoy;
mod eval;
mod explain;
mod failure;
mod features;
mod http;
mod import;
mod input;
mod key;
mod outcomes;
mod package;
mod progress;
mod quantile;
mod render;
mod route;
mod schema;
mod sensitive;
mod serve_policy;
mod sign;
mod soak;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Failure;

/// LLM routing inside Envoy: what runs beside the proxy.
#[derive(Debug, Parser)]
#[command(
    name = "pointsman",
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
    /// Fit a policy to labelled prompts: what models are expected to answer right, or the floor of a profile
    Calibrate(calibrate::Args),
    /// Report every error and warning of policies, with line and column
    Check(check::Args),
    /// Turn a policy from JSON into YAML, or from YAML into JSON
    Convert(convert::Args),
    /// Send real prompts through a real Envoy and show what each one costs
    Demo(demo::Args),
    /// Serve simulated backends of OpenAI's and Anthropic's APIs: GPU, CPU, LPU, serverless
    DemoBackends(backends::Args),
    /// Measure the router on outcomes of real models: quality, cost, calibration
    Eval(eval::Args),
    /// Look for what is wrong in an Envoy's configuration, and say how to mend it
    Doctor(doctor::Args),
    /// Show why a request goes where it goes: every candidate with why not
    Explain(explain::Args),
    /// Write the token ids and features of prompts, for training
    #[command(hide = true)]
    Features(features::Args),
    /// Bring prices, context windows and capabilities of public catalogues into a policy
    Import(import::Args),
    /// Make a key that signs policies, and print its public half
    Keygen(sign::KeygenArgs),
    /// Pack the module for a registry
    Package(package::Args),
    /// Write the configuration that a policy needs: for Envoy, Istio or Envoy Gateway
    Render(render::Args),
    /// Print the decision on request bodies as JSON lines
    Route(route::Args),
    /// Print the JSON Schema of policies
    Schema(schema::Args),
    /// Count the prompts that hold what rules call sensitive: addresses, numbers, keys
    Sensitive(sensitive::Args),
    /// Serve a policy over HTTP, for the `policy_source` of running proxies
    ServePolicy(serve_policy::Args),
    /// Sign policies, so that proxies with the public key take them
    Sign(sign::Args),
    /// Send many requests to many backends and watch what grows
    Soak(soak::Args),
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Bench(args) => bench::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::DemoBackends(args) => backends::run(args),
        Command::Eval(args) => eval::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Features(args) => features::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Keygen(args) => sign::keygen(&args),
        Command::Package(args) => package::run(&args),
        Command::Render(args) => render::run(&args),
        Command::Route(args) => route::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Sensitive(args) => sensitive::run(&args),
        Command::ServePolicy(args) => serve_policy::run(args),
        Command::Sign(args) => sign::run(&args),
        Command::Soak(args) => soak::run(&args),
    }
}

/// A runtime on the calling thread, for subcommands that talk to sockets and children.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    built.map_err(|error| Failure::Unmet(format!("cannot start the event loop: {error}")))
}

/// What a shell says of a program that a closed pipe has ended.
const CLOSED_PIPE: i32 = 128 + 13;

/// Whoever reads what is printed may go, as behind `| head`: no fault, and nothing to print a trace of.
fn end_quietly_on_closed_output() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or_default();
        if text.starts_with("failed printing to stdout") && text.contains("Broken pipe") {
            std::process::exit(CLOSED_PIPE);
        }
        usual(panic);
    }));
}

fn main() -> ExitCode {
    end_quietly_on_closed_output();
    // clap answers `--help` and `--version` with 0 and bad usage with 2 by itself.
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.exit_code()
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests;

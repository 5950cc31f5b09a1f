//! The subcommands of `pointsman`: one file each, found by the subcommand's name.
//!
//! To add a subcommand: a `mod`, a variant with its `Args`, a line in [`run`].

mod calibrate;
mod check;
mod convert;
mod doctor;
mod eval;
mod explain;
mod import;
pub mod judge;
mod learn;
pub mod render;
mod replay;
mod route;
mod schema;
mod sensitive;
mod serve_policy;
pub mod sign;

use clap::{Parser, Subcommand};

use crate::failure::Failure;

/// LLM routing inside Envoy: the tools that run alongside the proxy.
#[derive(Debug, Parser)]
#[command(
    name = "pointsman",
    version,
    about,
    after_help = "Exit status: 0 done; 1 failed or not met; 2 bad usage or input."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fit a policy to labelled prompts: what models are expected to answer right, or the floor of a profile
    Calibrate(calibrate::Args),
    /// Report every error and warning of policies, with line and column
    Check(check::Args),
    /// Turn a policy from JSON into YAML, or from YAML into JSON
    Convert(convert::Args),
    /// Measure the router on outcomes of real models: quality, cost, calibration
    Eval(eval::Args),
    /// Look for what is wrong in an Envoy's configuration, and say how to fix it
    Doctor(doctor::Args),
    /// Show why a request goes where it goes: every candidate with why not
    Explain(explain::Args),
    /// Bring prices, context windows and capabilities of public catalogues into a policy
    Import(import::Args),
    /// Ask the policy's judge about prompts or answers, and add its grades to their rows
    Judge(judge::Args),
    /// Make a key that signs policies, and print its public half
    Keygen(sign::KeygenArgs),
    /// Fit a policy to feedback, access logs and labelled prompts, as the filter learns from them
    Learn(learn::Args),
    /// Write the configuration that a policy needs: for Envoy, Istio or Envoy Gateway
    Render(Box<render::Args>),
    /// Replay the receipts of access logs under another policy: cost, speed, quality, and which decisions change
    Replay(replay::Args),
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
}

/// Runs the subcommand that was asked for.
///
/// # Errors
/// Its failure; the exit status goes with it.
pub fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Judge(args) => judge::run(&args),
        Command::Keygen(args) => sign::keygen(&args),
        Command::Learn(args) => learn::run(&args),
        Command::Render(args) => render::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Route(args) => route::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Sensitive(args) => sensitive::run(&args),
        Command::ServePolicy(args) => serve_policy::run(args),
        Command::Sign(args) => sign::run(&args),
    }
}

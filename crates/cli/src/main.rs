//! The `pointsman` program.

use std::process::ExitCode;

use clap::Parser as _;
use pointsman_cli::command::{Cli, run};

fn main() -> ExitCode {
    // clap answers `--help` and `--version` with 0 and bad usage with 2 by itself.
    pointsman_cli::main_of(|| run(Cli::parse()))
}

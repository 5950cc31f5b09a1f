//! The `pointsman` command as a library: its subcommands, and how they read, write and fail.
//!
//! Exit status of every subcommand: 0 it did what was asked; 1 it ran, but failed or what was asked is not met;
//! 2 bad usage or input. An error is one line on standard error. `pointsman-lab` renders configurations and fails by the same code.
//!
//! It decides nothing itself: what a request's way is, the core says.

pub mod command;
pub mod failure;
pub mod io;

use std::process::ExitCode;

use crate::failure::Failure;

/// A runtime on the calling thread, for subcommands that talk to sockets and children.
///
/// # Errors
/// [`Failure::Failed`] where the system gives it nothing to wait with.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    built.map_err(|error| Failure::Failed(format!("cannot start the event loop: {error}")))
}

/// Runs a program and turns its failure into one line on standard error and an exit status.
pub fn main_of(run: impl FnOnce() -> Result<(), Failure>) -> ExitCode {
    end_quietly_on_closed_output();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.exit_code()
        }
    }
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

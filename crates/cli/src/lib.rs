//! The `pointsman` command as a library: its subcommands, and how they read, write and fail.
//!
//! Exit status of every subcommand: 0 it did what was asked; 1 it ran, but failed or what was asked is not met;
//! 2 bad usage or input. An error is one line on standard error. `pointsman-lab` renders configurations and fails by the same code.
//!
//! The library decides nothing itself: the core routes requests.

pub mod command;
pub mod failure;
pub mod io;

use std::process::ExitCode;

use tokio::io::AsyncReadExt as _;

use crate::failure::Failure;

/// A runtime on the calling thread, for subcommands that talk to sockets and children.
///
/// # Errors
/// [`Failure::Failed`] if the system gives it nothing to wait with.
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

/// Waits until the program is to end: for an interrupt or, with `until_stdin_ends`, for the end of standard input too, so that no
/// server outlives its starter.
///
/// # Errors
/// [`Failure::Failed`] if the interrupt cannot be awaited.
pub async fn wait_for_end(until_stdin_ends: bool) -> Result<(), Failure> {
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
        .map_err(|error| Failure::Failed(error.to_string()))
}

/// The exit status of a program that a closed pipe has ended.
const CLOSED_PIPE: i32 = 128 + 13;

/// Ends without a trace if the reader of standard output is gone, as with `| head`.
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

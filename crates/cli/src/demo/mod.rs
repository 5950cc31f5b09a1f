//! `pointsman demo`: real prompts through a real Envoy.

use crate::failure::Failure;

/// Arguments of `pointsman demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// End by itself: 0 when every request was answered, 1 otherwise
    #[arg(long)]
    pub once: bool,
}

/// Runs the demo.
///
/// # Errors
/// [`Failure::Unmet`]: it is not built yet.
pub fn run(_args: &Args) -> Result<(), Failure> {
    Err(Failure::Unmet("the demo is not built yet".into()))
}

//! `pointsman replay`: what the traffic of an access log would have cost, how fast and how good it would have been, under another
//! policy, and which decisions change.
//!
//! Needs receipts and no prompt. The report is `pointsman_eval::replay`'s; docs/learning.md describes it.

use std::path::PathBuf;

use clap::ValueEnum;
use pointsman_eval::replay::{Lines, Replay, html, json, text};

use crate::failure::Failure;
use crate::io::input;
use crate::io::receipts::{self, LoggedDecision};

/// Arguments of `pointsman replay`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0 replayed; 1 no receipt could be compared; 2 bad usage, policy or file."
)]
pub struct Args {
    /// Access logs with receipts, JSON objects or any text, a line each, plain or gzip; `-` is standard input
    #[arg(long, required = true, value_name = "ACCESS_LOG")]
    log: Vec<PathBuf>,
    /// The policy that the traffic is replayed under, JSON or YAML
    #[arg(long, value_name = "NEW")]
    policy: PathBuf,
    /// Compare with what this policy decides, instead of with the backends that answered
    #[arg(long, value_name = "OLD")]
    against: Option<PathBuf>,
    /// The form of the report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Where to write the report; without it standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// The form of a report.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
    Html,
}

/// Replays and reports.
pub fn run(args: &Args) -> Result<(), Failure> {
    let new = input::read_policy(&args.policy)?;
    let old = args
        .against
        .as_deref()
        .map(input::read_policy)
        .transpose()?;
    let mut replay = Replay::new(&new, old.as_ref());
    for path in &args.log {
        let mut lines = Lines::default();
        receipts::each_line(path, |line| {
            lines.all += 1;
            match receipts::read_decision(line) {
                LoggedDecision::Receipt(receipt) => replay.add(&receipt),
                LoggedDecision::None => lines.without += 1,
                LoggedDecision::Unreadable => lines.unreadable += 1,
            }
        })?;
        replay.add_lines(lines);
    }
    let report = replay.finish();
    let text = match args.format {
        Format::Text => text::text(&report),
        Format::Json => format!("{:#}\n", json::document(&report)),
        Format::Html => html::page(&report),
    };
    input::write(args.out.as_deref(), &text)?;
    if report.counts.compared == 0 {
        return Err(Failure::Failed(
            "no receipt could be compared: the log has none, or none that both sides answer".into(),
        ));
    }
    Ok(())
}

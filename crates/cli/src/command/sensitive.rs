//! `pointsman sensitive`: which prompts of one's own hold what rules call sensitive, and how many; how docs/sensitivity.md was
//! measured.
//!
//! Whether what was found is rightly found, only who reads it can say: it tells where each one stands, never the text.

use std::io::BufRead;
use std::path::PathBuf;

use pointsman::analysis::sensitivity::{self, Sensitivity};
use serde_json::json;

use crate::failure::Failure;
use crate::io::input::open;

/// Exit status: 0 whatever is found; 2 bad usage or input.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0 whatever is found; 2 bad usage, or a file that cannot be read."
)]
pub struct Args {
    /// Prompts: one JSON object a line with a field `prompt`; gzip if the name ends in .gz
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Print one JSON document instead of lines for people
    #[arg(long)]
    json: bool,
}

#[derive(serde::Deserialize)]
struct Row {
    prompt: String,
}

/// The findings and their places.
#[derive(Default)]
struct Report {
    prompts: u64,
    found: Vec<(String, Sensitivity)>,
}

/// Looks through every prompt and prints where something is found, then how much of what.
pub fn run(args: &Args) -> Result<(), Failure> {
    let mut report = Report::default();
    for path in &args.files {
        for (number, line) in open(path)?.lines().enumerate() {
            let place = format!("{}:{}", path.display(), number + 1);
            let wrong = |problem: String| Failure::Input(format!("{place}: {problem}"));
            let line = line.map_err(|error| wrong(error.to_string()))?;
            if line.trim().is_empty() {
                continue;
            }
            let row: Row = serde_json::from_str(&line).map_err(|error| wrong(error.to_string()))?;
            report.prompts += 1;
            let found = sensitivity::find(&row.prompt);
            if !found.is_empty() {
                report.found.push((place, found));
            }
        }
    }
    if args.json {
        println!("{:#}", report.to_json());
    } else {
        report.print();
    }
    Ok(())
}

impl Report {
    fn count(&self, kind: Sensitivity) -> usize {
        self.found
            .iter()
            .filter(|(_, found)| found.meets(kind))
            .count()
    }

    fn print(&self) {
        for (place, found) in &self.found {
            println!("{place}: {}", found.names().collect::<Vec<_>>().join(", "));
        }
        for (name, kind) in Sensitivity::NAMES {
            println!("{name:12}{:>9}", self.count(kind));
        }
        let share = 100.0 * self.found.len() as f64 / (self.prompts.max(1) as f64);
        println!(
            "found in {} of {} prompts ({share:.3} %)",
            self.found.len(),
            self.prompts
        );
    }

    fn to_json(&self) -> serde_json::Value {
        let kinds = Sensitivity::NAMES
            .iter()
            .map(|(name, kind)| ((*name).to_owned(), json!(self.count(*kind))));
        let found = self
            .found
            .iter()
            .map(|(place, found)| json!({"at": place, "kinds": found.names().collect::<Vec<_>>()}));
        json!({
            "prompts": self.prompts,
            "sensitive": self.found.len(),
            "kinds": kinds.collect::<serde_json::Map<_, _>>(),
            "found": found.collect::<Vec<_>>(),
        })
    }
}

//! `pointsman-lab features`: the token ids and numeric features of prompts, as the filter computes them, for `models/train`.
//!
//! Input: JSON objects, one a line, optionally gzip, each with a string `prompt`. Output, little-endian: the four bytes `PMF1`,
//! the number of token ids T and of features F as u32, then for each row T ids as u16, the number of real ones as u16, F features
//! as f32. Training reads nothing else, so that there is one implementation of both. It trains nothing itself.

use std::fs::File;
use std::io::{BufRead, BufWriter, Write};
use std::path::{Path, PathBuf};

use pointsman::analysis::classifier::features::{self, FEATURES};
use pointsman::analysis::classifier::tokenizer::{TOKENS, Tokenizer};

use pointsman_cli::failure::Failure;
use pointsman_cli::io::input::open;

/// Arguments of `pointsman-lab features`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Prompts: one JSON object a line with a field `prompt`; gzip if the name ends in .gz
    #[arg(long)]
    input: PathBuf,
    /// Where to write the ids and features
    #[arg(long)]
    output: PathBuf,
}

#[derive(serde::Deserialize)]
struct Row {
    prompt: String,
}

/// Writes the features of every row of the input.
pub fn run(args: &Args) -> Result<(), Failure> {
    let input = open(&args.input)?;
    let mut output = BufWriter::new(
        File::create(&args.output)
            .map_err(|error| Failure::Input(format!("`{}`: {error}", args.output.display())))?,
    );
    let written = write_rows(input, &mut output, &args.input);
    written?;
    output
        .flush()
        .map_err(|error| Failure::Failed(format!("`{}`: {error}", args.output.display())))
}

fn write_rows(input: impl BufRead, output: &mut impl Write, path: &Path) -> Result<(), Failure> {
    let unwritten = |error: std::io::Error| Failure::Failed(format!("features: {error}"));
    output.write_all(b"PMF1").map_err(unwritten)?;
    for size in [TOKENS as u32, FEATURES as u32] {
        output.write_all(&size.to_le_bytes()).map_err(unwritten)?;
    }
    let tokenizer = Tokenizer::new();
    for (number, line) in input.lines().enumerate() {
        let at = |problem: String| {
            Failure::Input(format!(
                "`{}` line {}: {problem}",
                path.display(),
                number + 1
            ))
        };
        let line = line.map_err(|error| at(error.to_string()))?;
        let row: Row = serde_json::from_str(&line).map_err(|error| at(error.to_string()))?;
        let tokens = tokenizer.tokenize(&row.prompt);
        let features = features::extract(&row.prompt, &tokens);
        let ids = tokens.ids.iter().flat_map(|id| id.to_le_bytes());
        let len = (tokens.len as u16).to_le_bytes();
        let numbers = features.iter().flat_map(|value| value.to_le_bytes());
        let bytes: Vec<u8> = ids.chain(len).chain(numbers).collect();
        output.write_all(&bytes).map_err(unwritten)?;
    }
    Ok(())
}

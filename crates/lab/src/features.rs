//! `pointsman-lab features`: the token ids and numeric features of prompts, as the filter computes them, for `models/train`.
//!
//! Input: JSON objects, one a line, optionally gzip, each with a string `prompt`, and if something came before it `system` (a
//! string) and `turns` (strings, oldest first). Output, little-endian: the four bytes `PMF2`, the number of features F as u32,
//! then for each row the token ids, F features as f32, and the n-gram hashes of words, letters and context. A list is its length as
//! u16 and its values, u16 for ids and u32 for hashes. Training reads nothing else, so that there is one implementation of
//! them. It trains nothing itself.

use std::fs::File;
use std::io::{BufRead, BufWriter, Write};
use std::path::{Path, PathBuf};

use pointsman::analysis::classifier::features::{self, FEATURES};
use pointsman::analysis::classifier::ngrams::Ngrams;
use pointsman::analysis::classifier::tokenizer::Tokenizer;
use pointsman::analysis::prompt::{Context, Turn, TwoTexts};

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
    #[serde(default)]
    system: String,
    #[serde(default)]
    turns: Vec<String>,
}

impl Row {
    fn turn(&self) -> Turn<'_> {
        Turn {
            text: self.prompt.as_str().into(),
            context: Context {
                instructions: present(std::iter::once(&self.system)),
                conversation: present(self.turns.iter().rev().take(2)),
            },
        }
    }
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
    output.write_all(b"PMF2").map_err(unwritten)?;
    let size = FEATURES as u32;
    output.write_all(&size.to_le_bytes()).map_err(unwritten)?;
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
        let bytes = encode(&row.turn(), &tokenizer);
        output.write_all(&bytes).map_err(unwritten)?;
    }
    Ok(())
}

/// The texts that are not empty.
fn present<'a>(texts: impl Iterator<Item = &'a String>) -> TwoTexts<'a> {
    let texts = texts.map(String::as_str);
    texts.filter(|text| !text.trim_ascii().is_empty()).collect()
}

/// One row of the output.
fn encode(turn: &Turn<'_>, tokenizer: &Tokenizer) -> Vec<u8> {
    let turn = &turn.question();
    let tokens = tokenizer.tokenize(&turn.text);
    let used = tokens.ids.get(..tokens.len).unwrap_or(&[]);
    let mut bytes = (used.len() as u16).to_le_bytes().to_vec();
    bytes.extend(used.iter().flat_map(|id| id.to_le_bytes()));
    let features = features::extract(turn, &tokens);
    bytes.extend(features.iter().flat_map(|value| value.to_le_bytes()));
    let ngrams = Ngrams::extract(turn);
    for hashes in [
        ngrams.words.as_slice(),
        ngrams.letters.as_slice(),
        ngrams.context.as_slice(),
    ] {
        bytes.extend((hashes.len() as u16).to_le_bytes());
        bytes.extend(hashes.iter().flat_map(|hash| hash.to_le_bytes()));
    }
    bytes
}

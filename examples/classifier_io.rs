//! Inputs and outputs of the embedded classifier, for comparing it with another runtime: reads prompts from standard input,
//! one JSON string a line, and writes for each a line `{"tokens":[…],"ngrams":[…],"ngram_weights":[…],"features":[…],"heads":[…]}`.
//!
//! `tools/parity/parity.py` feeds it the validation split and runs onnxruntime on the same tokens and features.

use std::error::Error;
use std::io::{BufRead, Write};

use pointsman::analysis::classifier::features;
use pointsman::analysis::classifier::ngrams::{Ngrams, Rows};
use pointsman::analysis::classifier::onnx::{Inputs, OUTPUTS, OnnxModel};
use pointsman::analysis::classifier::tokenizer::Tokenizer;
use pointsman::analysis::prompt::Turn;

fn main() -> Result<(), Box<dyn Error>> {
    let tokenizer = Tokenizer::new();
    let mut model = OnnxModel::embedded()?;
    let mut heads = [0.0; OUTPUTS];
    let mut output = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let text: String = serde_json::from_str(&line?)?;
        let tokens = tokenizer.tokenize(&text);
        let real = tokens.ids.get(..tokens.len).unwrap_or_default();
        let turn = Turn::new(text.as_str());
        let numbers = features::extract(&turn, &tokens);
        let rows = Rows::new(&Ngrams::extract(&turn));
        let (ngram_rows, ngram_weights) = rows.as_slices();
        let inputs = Inputs {
            tokens: real,
            ngram_rows,
            ngram_weights,
            features: &numbers,
        };
        model.run(inputs, &mut heads)?;
        let row = serde_json::json!({
            "tokens": real,
            "ngrams": ngram_rows,
            "ngram_weights": ngram_weights,
            "features": numbers.as_slice(),
            "heads": heads.as_slice(),
        });
        writeln!(output, "{row}")?;
    }
    Ok(output.flush()?)
}

//! Inputs and outputs of the embedded classifier, for comparing it with another runtime: reads prompts from standard input,
//! one JSON string a line, and writes for each a line `{"tokens":[…],"features":[…],"heads":[…]}`.
//!
//! `tools/parity/parity.py` feeds it the validation split and runs onnxruntime on the same tokens and features.

use std::error::Error;
use std::io::{BufRead, Write};

use pointsman::analysis::classifier::features;
use pointsman::analysis::classifier::onnx::{OUTPUTS, OnnxModel};
use pointsman::analysis::classifier::tokenizer::Tokenizer;

fn main() -> Result<(), Box<dyn Error>> {
    let tokenizer = Tokenizer::new();
    let mut model = OnnxModel::embedded()?;
    let mut heads = [0.0; OUTPUTS];
    let mut output = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let text: String = serde_json::from_str(&line?)?;
        let tokens = tokenizer.tokenize(&text);
        let real = tokens.ids.get(..tokens.len).unwrap_or_default();
        let numbers = features::extract(&text, &tokens);
        model.run(real, &numbers, &mut heads)?;
        let row = serde_json::json!({
            "tokens": real,
            "features": numbers.as_slice(),
            "heads": heads.as_slice(),
        });
        writeln!(output, "{row}")?;
    }
    Ok(output.flush()?)
}

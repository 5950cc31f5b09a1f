//! `models/benchmarks.json` → the table of `src/fleet/ability/published_scores.rs`: names in their plain form and scores in ten-thousandths.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde::Deserialize;

use crate::names::canonical;

/// The benchmarks of the table's columns; `ability::BENCHMARKS` has the same, which its tests hold.
const BENCHMARKS: [&str; 7] = [
    "gpqa",
    "gsm8k",
    "humaneval",
    "ifeval",
    "math",
    "mmlu",
    "mmlu_pro",
];

#[derive(Deserialize)]
struct File {
    models: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    name: String,
    #[serde(default)]
    aliases: Vec<String>,
    scores: BTreeMap<String, f64>,
}

/// Writes the table as Rust source; models without any score are left out.
pub fn pack(models: &Path, out_dir: &Path) -> Result<(), String> {
    let at = |error: String| format!("models/benchmarks.json: {error}");
    let text =
        std::fs::read(models.join("benchmarks.json")).map_err(|error| at(error.to_string()))?;
    let file: File = serde_json::from_slice(&text).map_err(|error| at(error.to_string()))?;
    let mut rows = String::new();
    let mut names = BTreeMap::new();
    let scored = file.models.iter().filter(|model| !model.scores.is_empty());
    for (index, model) in scored.enumerate() {
        let scores = columns(model).map_err(at)?;
        // Writing to a string cannot fail.
        let _ = writeln!(rows, "    ({:?}, {scores:?}),", model.name);
        for name in std::iter::once(&model.name).chain(&model.aliases) {
            names.entry(canonical(name)).or_insert(index);
        }
    }
    let count = rows.lines().count();
    let mut source = format!("pub static MODELS: [(&str, [u16; 7]); {count}] = [\n{rows}];\n");
    let _ = writeln!(
        source,
        "pub static NAMES: [(&str, u16); {}] = [",
        names.len()
    );
    for (name, index) in &names {
        let _ = writeln!(source, "    ({name:?}, {index}),");
    }
    source.push_str("];\n");
    std::fs::write(out_dir.join("known_models.rs"), source)
        .map_err(|error| format!("cannot write known_models.rs: {error}"))
}

fn columns(model: &Model) -> Result<[u16; 7], String> {
    let mut columns = [u16::MAX; 7];
    for (name, score) in &model.scores {
        let column = BENCHMARKS.iter().position(|known| known == name);
        match column.and_then(|column| columns.get_mut(column)) {
            Some(place) if (0.0..=1.0).contains(score) => {
                *place = (score * 10_000.0).round() as u16
            }
            Some(_) => {
                return Err(format!(
                    "`{}`: the score of `{name}` is not 0 to 1",
                    model.name
                ));
            }
            None => return Err(format!("`{}`: unknown benchmark `{name}`", model.name)),
        }
    }
    Ok(columns)
}

//! Checks `models/` against its manifest and packs the classifier for embedding.
//!
//! A wrong hash, shape, label or operator fails the build with one line that names it, so that nothing of it has to be
//! checked inside Envoy. `POINTSMAN_MODELS` names another folder, to try a model before it is committed.

#[path = "build/domain_rules.rs"]
mod domain_rules;
#[path = "build/graph.rs"]
mod graph;
#[path = "build/known.rs"]
mod known;
#[path = "src/analysis/classifier/labels.rs"]
#[allow(dead_code, missing_docs)]
mod labels;
#[path = "build/manifest.rs"]
mod manifest;
#[path = "src/fleet/ability/names.rs"]
mod names;
#[path = "build/ngrams.rs"]
mod ngrams;
#[path = "src/analysis/classifier/short_word.rs"]
#[allow(dead_code, missing_docs)]
mod short_word;
#[path = "build/vocabulary.rs"]
mod vocabulary;
#[path = "build/wire.rs"]
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    println!("cargo:rerun-if-changed=models");
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-changed=src/analysis/classifier/labels.rs");
    println!("cargo:rerun-if-changed=src/analysis/classifier/short_word.rs");
    println!("cargo:rerun-if-changed=src/fleet/ability/names.rs");
    println!("cargo:rerun-if-env-changed=POINTSMAN_MODELS");
    match pack_models() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={error}");
            ExitCode::FAILURE
        }
    }
}

fn pack_models() -> Result<(), String> {
    let variable =
        |name: &str| std::env::var_os(name).ok_or_else(|| format!("cargo did not set {name}"));
    let models = match std::env::var_os("POINTSMAN_MODELS") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("models"),
    };
    println!("cargo:rerun-if-changed={}", models.display());
    let out_dir = PathBuf::from(variable("OUT_DIR")?);
    known::pack(&models, &out_dir)?;
    let source = manifest::pack(&models, &out_dir)?;
    std::fs::write(out_dir.join("classifier_graph.rs"), source)
        .map_err(|error| format!("cannot write classifier_graph.rs: {error}"))
}

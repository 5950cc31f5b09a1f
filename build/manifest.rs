//! `models/manifest.json`: what each model file has to be. Reads it, checks every file against it, and packs the classifier.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::domain_rules::{self, DomainRules};
use crate::labels::{Domain, Task};
use crate::wire::Result;
use crate::{graph, ngrams, vocabulary, wire};

#[derive(Deserialize)]
struct Manifest {
    files: BTreeMap<String, File>,
    inputs: Vec<Value>,
    outputs: Vec<Value>,
    vocabulary: Vocabulary,
    ngrams: Ngrams,
    // A model that is only tried may have none: then `check` has nothing to warn by.
    #[serde(default)]
    domain_rules: DomainRules,
}

#[derive(Deserialize)]
struct File {
    sha256: String,
}

#[derive(Deserialize)]
struct Value {
    name: String,
    r#type: String,
    shape: Vec<usize>,
    #[serde(default)]
    ranges: Vec<Head>,
}

/// A consecutive range of the output.
#[derive(Deserialize)]
struct Head {
    name: String,
    start: usize,
    len: usize,
    labels: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Vocabulary {
    entries: usize,
}

#[derive(Deserialize)]
struct Ngrams {
    bucket_bits: u32,
    rows: usize,
}

const INPUTS: [&str; 5] = [
    "token_ids",
    "token_weights",
    "ngram_ids",
    "ngram_weights",
    "features",
];
const NGRAMS: &str = "ngrams.bin";
const CLASSIFIER: &str = "classifier.onnx";
const VOCABULARY: &str = "vocabulary.txt";

/// Checks the files of the folder `models` and writes the packed constants to `out_dir`; the generated Rust source.
pub fn pack(models: &Path, out_dir: &Path) -> Result<String> {
    let text = read(models, "manifest.json")?;
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|error| format!("models/manifest.json: {error}"))?;

    let bytes = read_checked(models, CLASSIFIER, &manifest)?;
    let entries = read_checked(models, VOCABULARY, &manifest)?;
    let at = |error: String| format!("models/{CLASSIFIER}: {error}");
    let model = wire::read_model(&bytes).map_err(at)?;
    graph::check_values("inputs", &listed(&manifest.inputs), &model.inputs).map_err(at)?;
    graph::check_values("outputs", &listed(&manifest.outputs), &model.outputs).map_err(at)?;
    let packed = graph::pack(&model, out_dir).map_err(at)?;

    let entries = std::str::from_utf8(&entries)
        .map_err(|_| format!("models/{VOCABULARY}: it is not UTF-8"))?;
    let tokens = entries.lines().filter(|line| !line.is_empty()).count();
    let [token_rows, ngram_rows] = packed.table_rows.as_slice() else {
        return Err(format!("models/{CLASSIFIER}: it has to have two tables"));
    };
    if tokens != manifest.vocabulary.entries || tokens != *token_rows {
        return Err(format!(
            "models: the manifest says {} vocabulary entries, {VOCABULARY} has {tokens} lines, the classifier's table {token_rows} rows",
            manifest.vocabulary.entries
        ));
    }
    let index = read_checked(models, NGRAMS, &manifest)?;
    check_ngrams(&index, &manifest.ngrams, *ngram_rows)?;
    let at = |error: String| format!("models/{NGRAMS}: {error}");
    ngrams::pack(&index, *ngram_rows, out_dir).map_err(at)?;
    domain_rules::pack(&manifest.domain_rules, out_dir)?;
    let at = |error: String| format!("models/{VOCABULARY}: {error}");
    let source = vocabulary::pack(entries, out_dir).map_err(at)?;
    std::fs::write(out_dir.join("vocabulary.rs"), source)
        .map_err(|error| format!("cannot write vocabulary.rs: {error}"))?;
    let mut source = packed.source;
    write_sizes(&mut source, &manifest)?;
    Ok(source)
}

/// The manifest has to say of the index what it is.
fn check_ngrams(index: &[u8], ngrams: &Ngrams, table_rows: usize) -> Result<()> {
    let buckets = index.len() / 2;
    if buckets == 1 << ngrams.bucket_bits && ngrams.rows == table_rows {
        return Ok(());
    }
    Err(format!(
        "models/{NGRAMS}: {buckets} buckets; the manifest says 2^{} buckets and {} rows, the classifier's table has {table_rows}",
        ngrams.bucket_bits, ngrams.rows
    ))
}

fn listed(values: &[Value]) -> Vec<(String, String, Vec<usize>)> {
    values
        .iter()
        .map(|value| {
            (
                value.name.clone(),
                value.r#type.clone(),
                value.shape.clone(),
            )
        })
        .collect()
}

fn write_sizes(source: &mut String, manifest: &Manifest) -> Result<()> {
    let size = |values: &[Value], name: &str| {
        let found = values.iter().find(|value| value.name == name);
        found
            .map(|value| value.shape.iter().product::<usize>())
            .ok_or_else(|| format!("models/manifest.json: there is no input or output `{name}`"))
    };
    let order: Vec<&str> = manifest
        .inputs
        .iter()
        .map(|value| value.name.as_str())
        .collect();
    if order != INPUTS {
        return Err(format!(
            "models/manifest.json: the inputs have to be {INPUTS:?}, in this order"
        ));
    }
    let tokens = size(&manifest.inputs, "token_ids")?;
    let ngrams = size(&manifest.inputs, "ngram_ids")?;
    let features = size(&manifest.inputs, "features")?;
    let outputs = size(&manifest.outputs, "heads")?;
    let heads = manifest.outputs.iter().flat_map(|output| &output.ranges);
    check_heads(heads, outputs)?;
    let sizes = [
        (
            "TOKENS",
            "Token ids that one run takes, padding included.",
            tokens,
        ),
        (
            "NGRAMS",
            "Rows of the n-gram table that one run takes, padding included.",
            ngrams,
        ),
        (
            "NGRAM_ROWS",
            "Rows of the n-gram table.",
            manifest.ngrams.rows,
        ),
        ("FEATURES", "Numeric features that one run takes.", features),
        (
            "OUTPUTS",
            "Numbers that one run gives, all heads together.",
            outputs,
        ),
    ];
    for (name, doc, size) in sizes {
        writeln!(source, "/// {doc}\npub const {name}: usize = {size};")
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The heads have to cover the output without a gap, and to name the classes that the code knows.
fn check_heads<'a>(heads: impl Iterator<Item = &'a Head>, outputs: usize) -> Result<()> {
    let (mut next, mut labelled) = (0, 0);
    for head in heads {
        if head.start != next {
            return Err(format!(
                "models/manifest.json: head `{}` starts at {} where {next} follows",
                head.name, head.start
            ));
        }
        next += head.len;
        let known: Vec<&str> = match head.name.as_str() {
            "task" | "everyday_task" => Task::ALL.iter().map(|label| label.name()).collect(),
            "domain" | "everyday_domain" => Domain::ALL.iter().map(|label| label.name()).collect(),
            _ => continue,
        };
        labelled += 1;
        let listed = head.labels.as_deref().unwrap_or_default();
        if listed != known || head.len != known.len() {
            return Err(format!(
                "models/manifest.json: the {} labels are {listed:?}, src/analysis/classifier/labels.rs has {known:?}",
                head.name
            ));
        }
    }
    if next != outputs || labelled != 4 {
        return Err(format!(
            "models/manifest.json: the heads cover {next} of {outputs} outputs, {labelled} of the four with labels among them"
        ));
    }
    Ok(())
}

fn read(models: &Path, file: &str) -> Result<Vec<u8>> {
    std::fs::read(models.join(file)).map_err(|error| format!("cannot read models/{file}: {error}"))
}

fn read_checked(models: &Path, file: &str, manifest: &Manifest) -> Result<Vec<u8>> {
    let bytes = read(models, file)?;
    let listed = manifest.files.get(file);
    let sha256 = &listed
        .ok_or_else(|| format!("models/manifest.json: `files` does not list `{file}`"))?
        .sha256;
    let found: String = Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if found == *sha256 {
        return Ok(bytes);
    }
    Err(format!(
        "models/{file}: its sha256 is {found}, models/manifest.json says {sha256}"
    ))
}

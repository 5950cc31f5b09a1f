//! `models/classifier.onnx`, read and optimised by tract-onnx, says what the embedded graph says.
//!
//! build.rs packs the graph with a reader of its own, and the module runs it without tract's optimiser. This holds both
//! against tract as it comes: its reader, its optimiser, its kernels. The numbers of onnxruntime are held in
//! `src/classifier/onnx/tests.rs` for the cases of `tests/data/classifier-parity.json`, and here for every prompt of the validation
//! split where `POINTSMAN_DATA` names the folder of the outcome data, which is no part of the project:
//!
//! ```sh
//! POINTSMAN_DATA=folder cargo test --package pointsman-harness --test onnx_parity -- --nocapture
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::print_stdout
)]

use pointsman::analysis::classifier::onnx::{FEATURES, Inputs, NGRAMS, OUTPUTS, OnnxModel, TOKENS};
use tract_onnx::prelude::*;

/// The difference that the model card allows between any two runtimes.
const TOLERANCE: f32 = 1e-4;

#[derive(serde::Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    tokens: Vec<u16>,
    ngrams: Vec<u16>,
    ngram_weights: Vec<f32>,
    features: Vec<f32>,
}

fn by_tract_onnx(model: &Arc<TypedRunnableModel>, case: &Case) -> Vec<f32> {
    let mut ids = vec![0_i64; TOKENS];
    let mut weights = vec![0.0_f32; TOKENS];
    for (at, token) in case.tokens.iter().enumerate() {
        ids[at] = i64::from(*token);
        weights[at] = 1.0 / case.tokens.len() as f32;
    }
    let mut ngrams = vec![0_i64; NGRAMS];
    let mut ngram_weights = vec![0.0_f32; NGRAMS];
    for (at, (row, weight)) in case.ngrams.iter().zip(&case.ngram_weights).enumerate() {
        (ngrams[at], ngram_weights[at]) = (i64::from(*row), *weight);
    }
    let inputs = tvec![
        Tensor::from_shape(&[TOKENS], &ids).unwrap().into_tvalue(),
        Tensor::from_shape(&[1, TOKENS], &weights)
            .unwrap()
            .into_tvalue(),
        Tensor::from_shape(&[NGRAMS], &ngrams)
            .unwrap()
            .into_tvalue(),
        Tensor::from_shape(&[1, NGRAMS], &ngram_weights)
            .unwrap()
            .into_tvalue(),
        Tensor::from_shape(&[1, FEATURES], &case.features)
            .unwrap()
            .into_tvalue(),
    ];
    let outputs = model.run(inputs).unwrap();
    let output = outputs[0].try_as_plain_ram().unwrap();
    output.as_slice::<f32>().unwrap().to_vec()
}

#[test]
fn tract_onnx_and_the_embedded_graph_agree() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let golden = std::fs::read(format!("{root}/tests/data/classifier-parity.json")).unwrap();
    let golden: Golden = serde_json::from_slice(&golden).unwrap();
    assert!(golden.cases.len() >= 24);
    let model = tract_onnx::onnx()
        .model_for_path(format!("{root}/models/classifier.onnx"))
        .unwrap()
        .into_optimized()
        .unwrap()
        .into_runnable()
        .unwrap();
    let mut embedded = OnnxModel::embedded().unwrap();
    let mut heads = [0.0; OUTPUTS];
    for (number, case) in golden.cases.iter().enumerate() {
        let features = <[f32; FEATURES]>::try_from(case.features.as_slice()).unwrap();
        let inputs = Inputs {
            tokens: &case.tokens,
            ngram_rows: &case.ngrams,
            ngram_weights: &case.ngram_weights,
            features: &features,
        };
        embedded.run(inputs, &mut heads).unwrap();
        let theirs = by_tract_onnx(&model, case);
        assert_eq!(theirs.len(), OUTPUTS);
        for (output, (ours, theirs)) in heads.iter().zip(&theirs).enumerate() {
            let allowed = TOLERANCE * theirs.abs().max(1.0);
            assert!(
                (ours - theirs).abs() <= allowed,
                "case {number}, output {output}: {ours} embedded, {theirs} by tract-onnx"
            );
        }
    }
}

/// A Python that has onnxruntime: the one that `POINTSMAN_PYTHON` names, that of `make train`, or the system's.
fn python(root: &str) -> std::ffi::OsString {
    let named = std::env::var_os("POINTSMAN_PYTHON").into_iter();
    let trained = format!("{root}/target/train/venv/bin/python").into();
    let mut all = named.chain([trained, "python3".into()]);
    let able = |python: &std::ffi::OsString| {
        let mut command = std::process::Command::new(python);
        let done = command.args(["-c", "import numpy, onnxruntime"]).output();
        done.is_ok_and(|output| output.status.success())
    };
    all.find(able)
        .expect("no Python with onnxruntime: pip install -r tools/parity/requirements.txt, and name it by POINTSMAN_PYTHON")
}

#[test]
fn onnxruntime_and_the_embedded_graph_agree_on_the_whole_validation_split() {
    let Some(data) = std::env::var_os("POINTSMAN_DATA") else {
        println!(
            "POINTSMAN_DATA is not set: the cases of classifier-parity.json stand for the validation split"
        );
        return;
    };
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let files = std::fs::read_dir(data)
        .unwrap()
        .map(|file| file.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|path| path.to_string_lossy().ends_with(".val.jsonl.gz"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "POINTSMAN_DATA has no *.val.jsonl.gz");
    let output = std::process::Command::new(python(root))
        .arg(format!("{root}/tools/parity/parity.py"))
        .args(files)
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stdout);
    println!("{message}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}{errors}");
}

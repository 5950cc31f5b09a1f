//! `cargo bench`: what each step of a decision costs natively. One group a step; bodies of the sizes that clients send.
//!
//! What it does not do: measure the filter in Envoy, which `make bench` does.

#![allow(missing_docs)] // criterion's macros make public functions
#![allow(clippy::unwrap_used, clippy::string_slice)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pointsman::request::{Format, parse, rewrite::set_model};
use serde_json::{Value, json};

/// A conversation of about `bytes` bytes: prose with the escapes that prose has, as an agent's history.
fn conversation(bytes: usize) -> Vec<u8> {
    let turn = "Here is \"chapter two\" of the report:\n\n- sales grew by 4 % in the north\n- costs did not.\n\nWhat should we do next?\n";
    let long = turn.repeat(bytes / turn.len() / 4 + 1);
    let mut messages = vec![json!({"role": "system", "content": "You answer briefly."})];
    let mut left = bytes.saturating_sub(120);
    while left > 0 {
        let length = long.len().min(left);
        messages.push(json!({"role": "user", "content": long[..length]}));
        left -= length;
    }
    body(json!(messages))
}

/// One question about an image of about `bytes` bytes.
fn image(bytes: usize) -> Vec<u8> {
    let url = format!(
        "data:image/png;base64,{}",
        "iVBORw0KGgoAAAAN".repeat(bytes / 16)
    );
    body(json!([{"role": "user", "content": [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": url}},
    ]}]))
}

/// Fields in the order of the official Python client: `model` stands behind the messages.
fn body(messages: Value) -> Vec<u8> {
    format!(r#"{{"messages":{messages},"model":"auto","max_completion_tokens":256,"stream":true}}"#)
        .into_bytes()
}

fn bodies() -> Vec<(String, Vec<u8>)> {
    let mut bodies = Vec::new();
    for (size, name) in [(1_000, "1KB"), (100_000, "100KB"), (1_000_000, "1MB")] {
        bodies.push((format!("text/{name}"), conversation(size)));
        bodies.push((format!("image/{name}"), image(size)));
    }
    bodies
}

fn parsing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    for (name, body) in bodies() {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), &body, |bencher, body| {
            bencher.iter(|| parse(Format::OpenAiChat, black_box(body), true).unwrap());
        });
    }
}

fn rewriting(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rewrite");
    for (name, body) in bodies() {
        let request = parse(Format::OpenAiChat, &body, true).unwrap();
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), &body, |bencher, body| {
            bencher.iter(|| set_model(black_box(body), &request, "llama-3.1-8b-instruct").unwrap());
        });
    }
}

criterion_group!(benches, parsing, rewriting);
criterion_main!(benches);

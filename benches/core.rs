//! `cargo bench`: what each step of a decision costs natively. One group a step; bodies of the sizes that clients send.
//!
//! The filter in Envoy is not measured here: `make bench` does that.

#![allow(missing_docs)] // criterion's macros make public functions
#![allow(clippy::unwrap_used, clippy::string_slice, clippy::indexing_slicing)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pointsman::analysis::classifier::tokenizer::Tokenizer;
use pointsman::analysis::classifier::{Classification, Classifier, Task};
use pointsman::analysis::prompt::Prompt;
use pointsman::analysis::sensitivity::{self, Sensitivity};
use pointsman::api::Api;
use pointsman::api::Capabilities;
use pointsman::api::request::parse;
use pointsman::api::rewrite::set_model;
use pointsman::api::usage::{Media, UsageEventFilter, UsageParser};
use pointsman::policy::Policy;
use pointsman::policy::pattern::Pattern;
use pointsman::policy::profiles::Limits;
use pointsman::policy::rules::words::WordMatcher;
use pointsman::policy::rules::{RuleInput, evaluate_rules};
use pointsman::routing::router::Router;
use pointsman::routing::select::{Exploration, SelectionRequest, select};
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
            bencher.iter(|| parse(Api::OpenAiChat, black_box(body), true).unwrap());
        });
    }
}

fn rewriting(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rewrite");
    for (name, body) in bodies() {
        let request = parse(Api::OpenAiChat, &body, true).unwrap();
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), &body, |bencher, body| {
            bencher.iter(|| set_model(black_box(body), &request, "llama-3.1-8b-instruct").unwrap());
        });
    }
}

/// One turn: a short question, and as much text as the classifier looks at of a long one.
fn turns() -> Vec<(&'static str, String)> {
    let question =
        "A shop raises a price by 20 % and lowers it by 20 %. By how much has it changed?";
    vec![("80B", question.to_owned()), ("8KB", question.repeat(100))]
}

fn tokenising(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tokenise");
    let tokenizer = Tokenizer::new();
    for (name, text) in turns() {
        group.bench_with_input(BenchmarkId::from_parameter(name), &text, |bencher, text| {
            bencher.iter(|| tokenizer.tokenize(black_box(text)));
        });
    }
}

/// Tokens, features and the model's run, as for each turn of a request.
fn classifying(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("classify");
    let mut classifier = Classifier::embedded().unwrap();
    for (name, text) in turns() {
        let request = body(json!([{"role": "user", "content": text}]));
        let request = parse(Api::OpenAiChat, &request, true).unwrap();
        let prompt = Prompt::new(&request);
        let turn = prompt.turns.first().unwrap();
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| classifier.classify(black_box(turn)).unwrap());
        });
    }
}

/// From the bytes of a body to the decision, by the demo's policy.
fn deciding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    let policy = Policy::compile(include_str!("../envoy/policies/demo.json")).unwrap();
    let (mut router, _) = Router::new();
    for (name, body) in bodies() {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), &body, |bencher, body| {
            bencher.iter(|| router.route(&policy, Api::OpenAiChat, black_box(body), true));
        });
    }
}

/// Usage parsing of a response that streams by: one event of a stream, a whole JSON answer, many embeddings.
fn metering(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("usage");
    let event = br#"data: {"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion.chunk","created":1741569952,"model":"gpt-4.1","service_tier":"default","system_fingerprint":"fp_44709d6fcb","choices":[{"index":0,"delta":{"content":" planet"},"logprobs":null,"finish_reason":null}],"usage":null}

"#;
    let answer = json!({"choices": [{"message": {"content": "word \"x\" ".repeat(200)}}],
        "usage": {"prompt_tokens": 19, "completion_tokens": 400}})
    .to_string();
    let vectors =
        json!({"data": [{"embedding": vec![-0.009_327_292; 1536]}], "usage": {"prompt_tokens": 8}})
            .to_string();
    let delta = b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" planet\"}}\n\n";
    for (name, api, media, chunk) in [
        (
            "event",
            Api::OpenAiChat,
            Media::EventStream,
            event.as_slice(),
        ),
        (
            "event of anthropic",
            Api::AnthropicMessages,
            Media::EventStream,
            delta.as_slice(),
        ),
        (
            "answer/2KB",
            Api::OpenAiChat,
            Media::Json,
            answer.as_bytes(),
        ),
        (
            "vectors/20KB",
            Api::OpenAiEmbeddings,
            Media::Json,
            vectors.as_bytes(),
        ),
    ] {
        group.throughput(Throughput::Bytes(chunk.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            let mut meter = UsageParser::new(api, media);
            bencher.iter(|| meter.feed(black_box(chunk)));
        });
    }
    group.bench_function(BenchmarkId::from_parameter("event, hiding"), |bencher| {
        let mut meter = UsageParser::new(Api::OpenAiChat, Media::EventStream);
        let mut hide = UsageEventFilter::default();
        bencher.iter(|| hide.feed(&mut meter, black_box(event)));
    });
}

/// A policy of so many models, each on one backend, and so many rules, the last of which matches.
fn large_policy(models: usize, rules: usize) -> String {
    let accelerators = ["gpu", "cpu", "lpu", "serverless"];
    let names = (0..models).map(|n| {
        json!({"name": format!("model-{n}"), "context_window": 131072, "max_output_tokens": 16384,
               "benchmarks": {"mmlu": 0.4 + 0.5 * n as f64 / models as f64, "gsm8k": 0.7, "humaneval": 0.6}})
    });
    let backends = (0..models).map(|n| {
        json!({"name": format!("backend-{n}"), "model": format!("model-{n}"), "accelerator": accelerators[n % 4],
               "price": {"input": 0.01 * (n + 1) as f64, "cached_input": 0.005, "output": 0.03 * (n + 1) as f64},
               "latency": {"first_token_ms": {"p50": 50 + n, "p99": 200 + n}, "tokens_per_second": 20 + n},
               "tags": ["all", format!("tag-{}", n % 10)]})
    });
    let listed = (0..rules).map(|n| {
        json!({"name": format!("rule-{n}"),
               "when": {"task": ["code", "math"], "user": [format!("user-{n}")], "tenant": [format!("tenant-{n}")],
                        "header": {"x-team": [format!("team-{n}*")]}, "path": ["/v1/*"]},
               "then": {"tags": ["all"]}})
    });
    json!({
        "version": "large",
        "tenant": {"header": "x-tenant"},
        "profiles": {"auto": {"weights": {"cost": 0.5, "latency": 0.2, "quality": 0.3},
                              "limits": {"max_p99_ms": 4000, "min_quality": 0.6}}},
        "models": names.collect::<Vec<_>>(),
        "backends": backends.collect::<Vec<_>>(),
        "rules": listed.collect::<Vec<_>>(),
    })
    .to_string()
}

/// Fifty rules and a hundred candidates: the cost of a decision apart from reading and classifying.
fn selecting(criterion: &mut Criterion) {
    let policy = Policy::compile(&large_policy(100, 50)).unwrap();
    let headers: [(&[u8], &[u8]); 3] = [
        (b":path", b"/v1/chat/completions"),
        (b"x-tenant", b"tenant-49"),
        (b"x-team", b"team-49-a"),
    ];
    let classification = Classification {
        task: Task::Code,
        task_probability: 0.9,
        output_tokens: 200.0,
        ..Classification::default()
    };
    criterion.bench_function("select/100 candidates, 50 rules", |bencher| {
        bencher.iter(|| {
            let attributes = policy.traffic.matchers.read(&headers, &policy.registry);
            let facts = RuleInput {
                classification: Some(&classification),
                user: Some("user-49"),
                other_users: &[],
                asked: "auto",
                other_asked: &[],
                sensitive: Sensitivity::NONE,
                pinned: false,
                attributes: &attributes,
                words: &policy.words,
                turns: &[],
                asides: &[],
                language: None,
                conversation: 0,
            };
            let outcome = evaluate_rules(&policy.rules, black_box(&facts));
            assert_eq!(outcome.names.len(), 1);
            let ask = SelectionRequest {
                pinned: None,
                api: Api::OpenAiChat,
                allowed: &[],
                tags: &outcome.tags,
                over_share: &[],
                scope: None,
                limits: Limits::NONE,
                needs: Capabilities::NONE,
                input_tokens: 100,
                window_tokens: 100,
                max_tokens: None,
                choices: 1,
                classification: Some(&classification),
                incumbent: None,
                stickiness: 0.0,
                preferred: None,
                prefers: &[],
                exploration: Exploration::NONE,
                learned: &[],
                applies_learned: false,
                observed: &[],
                draw: 0.0,
                now_ns: 0,
            };
            select(&policy.registry, &policy.profiles[0], black_box(&ask)).unwrap()
        });
    });
}

/// About a megabyte of each kind of text that a scan may meet.
fn texts() -> Vec<(&'static str, String)> {
    let prose = "The patient asked, on 12 May 2024, whether the 40 mg dose (twice a day) may be taken with milk. ";
    let code = "let total = items.iter().map(|item| item.price * f64::from(item.count)).sum::<f64>(); // 3.5 %\n";
    let russian =
        "Пациент спросил, можно ли принимать лекарство два раза в день вместе с молоком. ";
    let chinese = "病人问这种药每天两次是否可以和牛奶一起服用。";
    [
        ("prose", prose),
        ("code", code),
        ("russian", russian),
        ("chinese", chinese),
        ("DE89", "DE89 "),
        ("ES91", "ES91 "),
        ("digits", "1"),
        ("digits in groups", "4444 "),
        ("digits apart", "1 "),
        ("@", "@"),
        ("a@b.", "a@b."),
        ("eyJ.", "eyJ."),
        ("sk-", "sk-"),
        ("dashes", "-"),
        ("brackets", "[(1) {"),
        ("zero width", "1\u{200b}"),
        ("full width", "１２３ "),
    ]
    .map(|(name, piece)| (name, piece.repeat(1_000_000 / piece.len())))
    .into()
}

/// How long a scan for sensitive text takes.
fn finding_sensitive(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sensitive/1MB");
    for (name, text) in texts() {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), &text, |bencher, text| {
            bencher.iter(|| sensitivity::find(black_box(text)));
        });
    }
}

/// How long a search takes for a thousand words, half of which are beginnings, that share letters with the texts.
fn finding_words(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("words/1MB");
    let stems = [
        "pat", "dos", "mil", "war", "to", "le", "пац", "лек", "de", "sk",
    ];
    let words: Vec<Pattern> = (0..1000)
        .map(|number| {
            let letter = char::from(b'a' + (number % 26) as u8);
            let star = if number % 2 == 0 { "*" } else { "" };
            let word = format!(
                "{}{letter}{}{star}",
                stems[number % stems.len()],
                number / 10
            );
            Pattern::parse(&word).unwrap()
        })
        .collect();
    let (matcher, _) = WordMatcher::compile([words.as_slice()]);
    for (name, text) in texts() {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), &text, |bencher, text| {
            bencher.iter(|| matcher.find([black_box(text.as_str())]));
        });
    }
}

fn compiling(criterion: &mut Criterion) {
    let text = large_policy(200, 50);
    criterion.bench_function("compile/200 models, 50 rules", |bencher| {
        bencher.iter(|| Policy::compile(black_box(&text)).unwrap());
    });
}

criterion_group!(
    benches,
    metering,
    selecting,
    compiling,
    parsing,
    rewriting,
    tokenising,
    classifying,
    deciding,
    finding_sensitive,
    finding_words
);
criterion_main!(benches);

//! Runs one step of a request a number of times, for counting instructions: `instructions CASE COUNT`. Without arguments it prints
//! the cases.
//!
//! `tools/count.py` runs it under valgrind with two counts: the difference is the step alone, the same from run to run.

#![allow(clippy::indexing_slicing, clippy::string_slice)] // a program for developers

use std::error::Error;
use std::hint::black_box;

use pointsman::api::Api;
use pointsman::api::request::parse;
use pointsman::api::rewrite::set_model;
use pointsman::api::usage::{Media, UsageParser};
use pointsman::policy::Policy;
use pointsman::routing::router::Router;
use serde_json::{Value, json};

/// The cases: name, model that is asked for, and bytes of the body.
const DECISIONS: [(&str, &str, usize); 6] = [
    ("decide auto 0.2 KB", "auto", 200),
    ("decide auto 1 KB", "auto", 1_000),
    ("decide auto 10 KB", "auto", 10_000),
    ("decide auto 100 KB", "auto", 100_000),
    ("decide auto 1 MB", "auto", 1_000_000),
    ("decide pinned 1 KB", "llama-3.1-8b", 1_000),
];
const ANSWERS: [(&str, Media); 2] = [
    ("read an answer", Media::Json),
    ("read a streamed answer", Media::EventStream),
];
/// Different bodies of each size.
const BODIES: usize = 8;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(case), Some(count)) = (args.next(), args.next()) else {
        let names = DECISIONS.iter().map(|(name, ..)| *name);
        for name in names.chain(ANSWERS.iter().map(|(name, _)| *name)) {
            println!("{name}");
        }
        return Ok(());
    };
    let count: usize = count.parse()?;
    if let Some((_, model, bytes)) = DECISIONS.iter().find(|(name, ..)| *name == case) {
        decide(model, *bytes, count)
    } else if let Some((_, media)) = ANSWERS.iter().find(|(name, _)| *name == case) {
        read(*media, count);
        Ok(())
    } else {
        Err(format!("there is no case `{case}`").into())
    }
}

/// Parses and decides on bodies in turn, and names the chosen model in them.
fn decide(model: &str, bytes: usize, count: usize) -> Result<(), Box<dyn Error>> {
    let policy = Policy::compile(include_str!("../envoy/policies/demo.json"))
        .map_err(|problems| format!("{problems:?}"))?;
    let (mut router, _) = Router::new();
    let bodies = bodies(model, bytes)?;
    for body in bodies.iter().cycle().take(count) {
        black_box(router.route(&policy, Api::OpenAiChat, black_box(body), true));
        let request = parse(Api::OpenAiChat, body, true).map_err(|error| format!("{error:?}"))?;
        black_box(set_model(body, &request, "llama-3.1-8b-instruct"));
    }
    Ok(())
}

/// Bodies of about `bytes` bytes: a system text, and one user turn of as many of the demo's prompts as fit.
fn bodies(model: &str, bytes: usize) -> Result<Vec<Vec<u8>>, serde_json::Error> {
    let prompts = include_str!("../tests/data/prompts.jsonl")
        .lines()
        .map(|line| {
            Ok(serde_json::from_str::<Value>(line)?["prompt"]
                .as_str()
                .unwrap_or_default()
                .to_owned())
        })
        .collect::<Result<Vec<String>, serde_json::Error>>()?;
    let body = |index: usize| {
        let mut content = String::new();
        for prompt in prompts.iter().cycle().skip(index * 7) {
            content.push_str(prompt);
            content.push('\n');
            if content.len() + 150 >= bytes {
                break;
            }
        }
        content.truncate(content.floor_char_boundary(bytes.saturating_sub(150).max(20)));
        let messages = json!([
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": content},
        ]);
        json!({"model": model, "messages": messages, "max_tokens": 512})
            .to_string()
            .into_bytes()
    };
    Ok((0..BODIES).map(body).collect())
}

/// Reads what an answer says of its tokens, in the pieces in which it comes.
fn read(media: Media, count: usize) {
    let usage = json!({"prompt_tokens": 210, "completion_tokens": 180, "total_tokens": 390});
    let pieces: Vec<String> = match media {
        Media::Json => {
            let text = "It depends on the price of the parts. ".repeat(20);
            vec![json!({
                "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                "usage": usage,
            })
            .to_string()]
        }
        Media::EventStream => {
            let event = |choices: Value, usage: &Value| {
                let event = json!({
                    "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, "usage": usage,
                });
                format!("data: {event}\n\n")
            };
            let token = event(
                json!([{"index": 0, "delta": {"content": " parts"}, "finish_reason": null}]),
                &Value::Null,
            );
            let mut pieces = vec![token.repeat(3); 60];
            pieces.push(event(json!([]), &usage) + "data: [DONE]\n\n");
            pieces
        }
    };
    for _ in 0..count {
        let mut parser = UsageParser::new(Api::OpenAiChat, media);
        for piece in &pieces {
            parser.feed(black_box(piece.as_bytes()));
        }
        black_box(parser.finish(true)).ok();
    }
}

//! Anthropic's Messages.

use serde_json::{Value, json};

use super::Events;
use crate::backends::answer::Answer;

fn usage(answer: &Answer, output_tokens: usize) -> Value {
    json!({
        "input_tokens": answer.prompt_tokens, "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0, "output_tokens": output_tokens, "service_tier": "standard",
    })
}

fn stop_reason(answer: &Answer) -> &'static str {
    match (&answer.tool, answer.cut) {
        (Some(_), _) => "tool_use",
        (None, true) => "max_tokens",
        (None, false) => "end_turn",
    }
}

fn block(answer: &Answer, text: &str, input: Value) -> Value {
    match &answer.tool {
        None => json!({"type": "text", "text": text}),
        Some(tool) => {
            json!({"type": "tool_use", "id": format!("toolu_{}", answer.id), "name": tool, "input": input})
        }
    }
}

fn message(answer: &Answer, content: Vec<Value>, stop_reason: Option<&str>, usage: Value) -> Value {
    json!({
        "id": format!("msg_{}", answer.id), "type": "message", "role": "assistant", "model": answer.model,
        "content": content, "stop_reason": stop_reason, "stop_sequence": null, "usage": usage,
    })
}

pub(super) fn whole(answer: &Answer) -> Value {
    let text = answer.text();
    let input = serde_json::from_str(&text).unwrap_or_default();
    let content = vec![block(answer, &text, input)];
    let usage = usage(answer, answer.tokens.len());
    message(answer, content, Some(stop_reason(answer)), usage)
}

pub(super) fn opening(answer: &Answer, to: &mut Events) {
    let begun = message(answer, Vec::new(), None, usage(answer, 1));
    to.named("message_start", json!({"message": begun}));
    let block = block(answer, "", json!({}));
    to.named(
        "content_block_start",
        json!({"index": 0, "content_block": block}),
    );
    to.named("ping", json!({}));
}

pub(super) fn part(answer: &Answer, text: &str, to: &mut Events) {
    let delta = match answer.tool {
        None => json!({"type": "text_delta", "text": text}),
        Some(_) => json!({"type": "input_json_delta", "partial_json": text}),
    };
    to.named("content_block_delta", json!({"index": 0, "delta": delta}));
}

pub(super) fn closing(answer: &Answer, to: &mut Events) {
    to.named("content_block_stop", json!({"index": 0}));
    to.named(
        "message_delta",
        json!({
            "delta": {"stop_reason": stop_reason(answer), "stop_sequence": null},
            "usage": {"output_tokens": answer.tokens.len()},
        }),
    );
    to.named("message_stop", json!({}));
}

//! OpenAI's Chat Completions and Completions, as their servers and those that copy them answer.

use pointsman::api::Api;
use serde_json::{Value, json};

use super::Events;
use crate::backends::answer::Answer;

fn is_chat(answer: &Answer) -> bool {
    answer.call.api() == Api::OpenAiChat
}

fn usage(answer: &Answer) -> Value {
    json!({
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.output_tokens(),
        "total_tokens": answer.prompt_tokens + answer.output_tokens(),
        "prompt_tokens_details": {"cached_tokens": 0},
    })
}

fn finish_reason(answer: &Answer) -> &'static str {
    match (&answer.tool, answer.cut) {
        (Some(_), _) => "tool_calls",
        (None, true) => "length",
        (None, false) => "stop",
    }
}

/// Members of every document and every event.
fn document(answer: &Answer, chunk: bool, choices: Vec<Value>) -> Value {
    let (prefix, object) = match (is_chat(answer), chunk) {
        (true, false) => ("chatcmpl", "chat.completion"),
        (true, true) => ("chatcmpl", "chat.completion.chunk"),
        (false, _) => ("cmpl", "text_completion"),
    };
    json!({
        "id": format!("{prefix}-{}", answer.id), "object": object, "created": answer.created,
        "model": answer.model, "choices": choices,
    })
}

fn call_id(answer: &Answer, index: usize) -> String {
    format!("call_{index}_{}", answer.id)
}

pub(super) fn whole(answer: &Answer) -> Value {
    let choice = |index: usize| {
        let mut choice =
            json!({"index": index, "logprobs": null, "finish_reason": finish_reason(answer)});
        let (name, message) = match &answer.tool {
            _ if !is_chat(answer) => ("text", json!(answer.text())),
            None => (
                "message",
                json!({"role": "assistant", "content": answer.text(), "refusal": null}),
            ),
            Some(tool) => (
                "message",
                json!({"role": "assistant", "content": null, "refusal": null, "tool_calls": [{
                    "id": call_id(answer, index), "type": "function",
                    "function": {"name": tool, "arguments": answer.text()},
                }]}),
            ),
        };
        if let Some(members) = choice.as_object_mut() {
            members.insert(name.into(), message);
        }
        choice
    };
    let mut whole = document(answer, false, (0..answer.choices).map(choice).collect());
    if let Some(members) = whole.as_object_mut() {
        members.insert("usage".into(), usage(answer));
    }
    whole
}

/// An event for each choice.
fn event(answer: &Answer, delta: impl Fn(usize) -> Value, finish: Option<&str>, to: &mut Events) {
    for index in 0..answer.choices {
        let name = if is_chat(answer) { "delta" } else { "text" };
        let choice =
            json!({"index": index, name: delta(index), "logprobs": null, "finish_reason": finish});
        to.data(&document(answer, true, vec![choice]));
    }
}

pub(super) fn opening(answer: &Answer, to: &mut Events) {
    if !is_chat(answer) {
        return;
    }
    let delta = |index: usize| match &answer.tool {
        None => json!({"role": "assistant", "content": ""}),
        Some(tool) => json!({"role": "assistant", "content": null, "tool_calls": [{
            "index": 0, "id": call_id(answer, index), "type": "function",
            "function": {"name": tool, "arguments": ""},
        }]}),
    };
    event(answer, delta, None, to);
}

pub(super) fn part(answer: &Answer, text: &str, to: &mut Events) {
    let delta = |_| match &answer.tool {
        _ if !is_chat(answer) => json!(text),
        None => json!({"content": text}),
        Some(_) => json!({"tool_calls": [{"index": 0, "function": {"arguments": text}}]}),
    };
    event(answer, delta, None, to);
}

/// The reason, the usage if it was asked for, and `[DONE]`.
pub(super) fn closing(answer: &Answer, to: &mut Events) {
    let nothing = |_| {
        if is_chat(answer) {
            json!({})
        } else {
            json!("")
        }
    };
    event(answer, nothing, Some(finish_reason(answer)), to);
    if answer.include_usage {
        let mut last = document(answer, true, Vec::new());
        if let Some(members) = last.as_object_mut() {
            members.insert("usage".into(), usage(answer));
        }
        to.data(&last);
    }
    to.text += "data: [DONE]\n\n";
}

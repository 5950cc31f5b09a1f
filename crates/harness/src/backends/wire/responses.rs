//! OpenAI's Responses.

use serde_json::{Value, json};

use super::Events;
use crate::backends::answer::Answer;

/// The one item of the output, with `text` written so far.
fn item(answer: &Answer, text: &str, status: &str) -> Value {
    match &answer.tool {
        None => {
            let content = if status == "in_progress" {
                json!([])
            } else {
                json!([part_of(text)])
            };
            json!({"id": item_id(answer), "type": "message", "role": "assistant", "status": status, "content": content})
        }
        Some(tool) => json!({
            "id": item_id(answer), "type": "function_call", "status": status,
            "call_id": format!("call_{}", answer.id), "name": tool, "arguments": text,
        }),
    }
}

fn item_id(answer: &Answer) -> String {
    let prefix = if answer.tool.is_some() { "fc" } else { "msg" };
    format!("{prefix}_{}", answer.id)
}

fn part_of(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

const fn status(answer: &Answer) -> &'static str {
    if answer.cut {
        "incomplete"
    } else {
        "completed"
    }
}

fn response(answer: &Answer, status: &str, output: Vec<Value>, usage: Value) -> Value {
    let incomplete = match status {
        "incomplete" => json!({"reason": "max_output_tokens"}),
        _ => Value::Null,
    };
    json!({
        "id": format!("resp_{}", answer.id), "object": "response", "created_at": answer.created,
        "status": status, "background": false, "error": null, "incomplete_details": incomplete,
        "instructions": null, "max_output_tokens": null, "metadata": {}, "model": answer.model,
        "output": output, "parallel_tool_calls": true, "previous_response_id": null,
        "reasoning": {"effort": null, "summary": null}, "store": false, "temperature": 1.0,
        "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [], "top_p": 1.0,
        "truncation": "disabled", "usage": usage, "user": null,
    })
}

pub(super) fn whole(answer: &Answer) -> Value {
    let usage = json!({
        "input_tokens": answer.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": answer.tokens.len(),
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": answer.prompt_tokens + answer.tokens.len(),
    });
    let status = status(answer);
    let item = item(answer, &answer.text(), status);
    response(answer, status, vec![item], usage)
}

/// An event of the item, with what else it says.
fn of_item(answer: &Answer, name: &str, more: Value, to: &mut Events) {
    let mut data = json!({
        "sequence_number": to.count, "item_id": item_id(answer), "output_index": 0,
    });
    if let (Some(members), Value::Object(more)) = (data.as_object_mut(), more) {
        if answer.tool.is_none() {
            members.insert("content_index".into(), 0.into());
        }
        members.extend(more);
    }
    to.named(name, data);
}

fn item_event(answer: &Answer, name: &str, text: &str, status: &str, to: &mut Events) {
    let item = item(answer, text, status);
    to.named(
        name,
        json!({"sequence_number": to.count, "output_index": 0, "item": item}),
    );
}

pub(super) fn opening(answer: &Answer, to: &mut Events) {
    for name in ["response.created", "response.in_progress"] {
        let begun = response(answer, "in_progress", Vec::new(), Value::Null);
        to.named(
            name,
            json!({"sequence_number": to.count, "response": begun}),
        );
    }
    item_event(answer, "response.output_item.added", "", "in_progress", to);
    if answer.tool.is_none() {
        let empty = json!({"part": part_of("")});
        of_item(answer, "response.content_part.added", empty, to);
    }
}

pub(super) fn part(answer: &Answer, text: &str, to: &mut Events) {
    match answer.tool {
        None => {
            let delta = json!({"delta": text, "logprobs": []});
            of_item(answer, "response.output_text.delta", delta, to);
        }
        Some(_) => {
            let name = "response.function_call_arguments.delta";
            of_item(answer, name, json!({"delta": text}), to);
        }
    }
}

pub(super) fn closing(answer: &Answer, to: &mut Events) {
    let text = answer.text();
    match &answer.tool {
        None => {
            let done = json!({"text": text, "logprobs": []});
            of_item(answer, "response.output_text.done", done, to);
            let done = json!({"part": part_of(&text)});
            of_item(answer, "response.content_part.done", done, to);
        }
        Some(tool) => {
            let done = json!({"arguments": text, "name": tool});
            of_item(answer, "response.function_call_arguments.done", done, to);
        }
    }
    let status = status(answer);
    item_event(answer, "response.output_item.done", &text, status, to);
    let name = format!("response.{status}");
    let data = json!({"sequence_number": to.count, "response": whole(answer)});
    to.named(&name, data);
}

//! Providers that refuse what another one made, and the conversations of their clients.

use std::collections::HashMap;

use serde_json::{Value, json};

/// How a client talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    Anthropic,
    /// Sends the whole conversation each time, encrypted reasoning included.
    StatelessResponses,
    /// Sends `previous_response_id`.
    StoredResponses,
    Chat,
}

impl Api {
    pub const ALL: [Api; 4] = [
        Api::Anthropic,
        Api::StatelessResponses,
        Api::StoredResponses,
        Api::Chat,
    ];

    pub const fn path(self) -> &'static str {
        match self {
            Api::Anthropic => "/v1/messages",
            Api::StatelessResponses | Api::StoredResponses => "/v1/responses",
            Api::Chat => "/v1/chat/completions",
        }
    }
}

/// A client's conversation.
pub struct Conversation {
    pub api: Api,
    pub streams: bool,
    model: &'static str,
    budgeted: bool,
    history: Vec<Value>,
    previous: Option<String>,
    /// The tool call that waits for its result.
    call: Option<String>,
    pub turns: usize,
    pub scope: Option<String>,
}

impl Conversation {
    pub fn new(api: Api, number: u64) -> Conversation {
        let model = match (api, number % 5) {
            // Several providers have a named model.
            (Api::Anthropic, 0) => "opus",
            (Api::Anthropic, 1) => "haiku",
            (Api::Chat, 0) => "gemini",
            (_, 0) if api != Api::Chat => "gpt",
            _ => "auto",
        };
        Conversation {
            api,
            streams: number.is_multiple_of(2),
            model,
            budgeted: number.is_multiple_of(3),
            history: Vec::new(),
            previous: None,
            call: None,
            turns: 0,
            scope: None,
        }
    }

    /// Whether the API wants the state of the round of tool calls that is under way.
    pub fn is_bound(&self) -> bool {
        let results = self
            .history
            .last()
            .map(|message| message["content"][0]["type"].clone());
        self.api == Api::Anthropic
            && self.budgeted
            && results.is_some_and(|kind| kind == "tool_result")
    }

    /// The next request's body.
    pub fn ask(&mut self, number: u64) -> Vec<u8> {
        let text = format!("Question {number} of conversation.");
        let next = match (self.api, self.call.take()) {
            (Api::Anthropic, Some(id)) => {
                json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "4"}]})
            }
            (Api::Chat, Some(id)) => json!({"role": "tool", "tool_call_id": id, "content": "4"}),
            (Api::StatelessResponses | Api::StoredResponses, Some(id)) => {
                json!({"type": "function_call_output", "call_id": id, "output": "4"})
            }
            (_, None) => json!({"role": "user", "content": text}),
        };
        if self.api == Api::StoredResponses {
            self.history.clear();
        }
        self.history.push(next);
        let mut body = json!({"model": self.model, "stream": self.streams, "max_tokens": 100});
        match self.api {
            Api::Anthropic => {
                body["messages"] = self.history.clone().into();
                body["thinking"] = match self.budgeted {
                    true => json!({"type": "enabled", "budget_tokens": 1024}),
                    false => json!({"type": "adaptive"}),
                };
            }
            Api::Chat => body["messages"] = self.history.clone().into(),
            Api::StatelessResponses => {
                body["input"] = self.history.clone().into();
                body["store"] = false.into();
            }
            Api::StoredResponses => {
                body["input"] = self.history.clone().into();
                body["previous_response_id"] = self.previous.clone().into();
            }
        }
        body.to_string().into_bytes()
    }

    pub fn take(&mut self, answer: &Value) {
        self.turns += 1;
        self.previous = answer["id"].as_str().map(str::to_owned);
        match self.api {
            Api::Anthropic => {
                self.call = id_of(&answer["content"], "tool_use", "id");
                self.history
                    .push(json!({"role": "assistant", "content": answer["content"]}));
            }
            Api::Chat => {
                let message = &answer["choices"][0]["message"];
                self.call = message["tool_calls"][0]["id"].as_str().map(str::to_owned);
                self.history.push(message.clone());
            }
            Api::StatelessResponses | Api::StoredResponses => {
                self.call = id_of(&answer["output"], "function_call", "call_id");
                self.history
                    .extend(answer["output"].as_array().unwrap().clone());
            }
        }
    }
}

fn id_of(list: &Value, kind: &str, id: &str) -> Option<String> {
    let mut items = list.as_array()?.iter();
    items.find(|item| item["type"] == kind)?[id]
        .as_str()
        .map(str::to_owned)
}

/// All providers: each knows what it has issued.
#[derive(Default)]
pub struct Providers {
    /// State and the scope that issued it.
    issued: HashMap<String, String>,
    count: u64,
}

/// A provider's answer.
pub struct Answered {
    pub status: u16,
    pub value: Value,
}

impl Providers {
    fn issue(&mut self, scope: &str, start: &str) -> String {
        self.count += 1;
        let random = self.count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let end: String = (0..5)
            .map(|n| format!("{:016x}/", random.rotate_left(n * 13)))
            .collect();
        let state = format!("{start}AAAAABo+{end}{:08x}", self.count);
        self.issued.insert(state.clone(), scope.to_owned());
        state
    }

    fn id(&mut self, scope: &str, start: &str) -> String {
        self.count += 1;
        let id = format!("{start}_{:040x}", u128::from(self.count) * 0x1_0001_0001);
        self.issued.insert(id.clone(), scope.to_owned());
        id
    }

    /// Answers `body` as the provider of this scope, or refuses it.
    pub fn answer(&mut self, scope: &str, api: Api, body: &[u8], calls: bool) -> Answered {
        let body: Value = serde_json::from_slice(body).expect("the body is JSON");
        if let Some(problem) = self.refuses(scope, api, &body) {
            let status = if problem.contains("not found") {
                404
            } else {
                400
            };
            return Answered {
                status,
                value: json!({"error": {"message": problem}}),
            };
        }
        let value = match api {
            Api::Anthropic => self.message(scope, calls),
            Api::Chat => self.completion(scope, calls),
            Api::StatelessResponses | Api::StoredResponses => self.response(scope, calls),
        };
        Answered { status: 200, value }
    }

    fn message(&mut self, scope: &str, calls: bool) -> Value {
        let signature = self.issue(scope, "Eq");
        let mut content = vec![match self.count % 4 {
            0 => json!({"type": "redacted_thinking", "data": signature}),
            _ => json!({"type": "thinking", "thinking": "hm", "signature": signature}),
        }];
        content.push(match calls {
            true => json!({"type": "tool_use", "id": format!("toolu_{}", self.count), "name": "f", "input": {}}),
            false => json!({"type": "text", "text": "An answer."}),
        });
        json!({"id": format!("msg_{}", self.count), "type": "message", "role": "assistant", "content": content,
               "stop_reason": if calls { "tool_use" } else { "end_turn" }, "usage": {"input_tokens": 9, "output_tokens": 9}})
    }

    fn completion(&mut self, scope: &str, calls: bool) -> Value {
        let signature = self.issue(scope, "Ci");
        let extra = json!({"google": {"thought_signature": signature}});
        let message = match calls {
            true => {
                json!({"role": "assistant", "content": null, "tool_calls": [{"id": format!("call_{}", self.count),
                "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": extra}]})
            }
            false => json!({"role": "assistant", "content": "An answer.", "extra_content": extra}),
        };
        json!({"id": format!("chatcmpl-{}", self.count), "object": "chat.completion",
               "choices": [{"index": 0, "message": message, "finish_reason": if calls { "tool_calls" } else { "stop" }}],
               "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}})
    }

    fn response(&mut self, scope: &str, calls: bool) -> Value {
        let sealed = self.issue(scope, "gA");
        let reasoning = json!({"type": "reasoning", "id": self.id(scope, "rs"), "summary": [], "encrypted_content": sealed});
        let item = match calls {
            true => {
                json!({"type": "function_call", "id": self.id(scope, "fc"), "call_id": format!("call_{}", self.count), "name": "f", "arguments": "{}"})
            }
            false => json!({"type": "message", "id": self.id(scope, "msg"), "role": "assistant",
                            "content": [{"type": "output_text", "text": "An answer.", "annotations": []}]}),
        };
        json!({"id": self.id(scope, "resp"), "object": "response", "status": "completed", "output": [reasoning, item],
               "usage": {"input_tokens": 9, "output_tokens": 9, "total_tokens": 18}})
    }

    /// Why the provider of `scope` refuses a body.
    fn refuses(&self, scope: &str, api: Api, body: &Value) -> Option<String> {
        if let Some(previous) = body["previous_response_id"].as_str()
            && self.issued.get(previous).map(String::as_str) != Some(scope)
        {
            return Some(format!("Previous response with id '{previous}' not found."));
        }
        let mut wrong = None;
        walk(body, &mut |key, value| {
            let is_state = matches!(
                key,
                "signature" | "data" | "encrypted_content" | "thought_signature"
            ) || (key == "id"
                && ["rs_", "fc_", "msg_"]
                    .iter()
                    .any(|start| value.starts_with(start))
                && api != Api::Anthropic);
            let is_own = self.issued.get(value).map(String::as_str) == Some(scope);
            if is_state && !is_own && value != "skip_thought_signature_validator" {
                wrong = Some(format!("Invalid `{key}`: {value}"));
            }
        });
        wrong.or_else(|| match api {
            Api::Anthropic => Self::wrong_messages(body),
            Api::Chat => Self::wrong_calls(body),
            _ => None,
        })
    }

    fn wrong_messages(body: &Value) -> Option<String> {
        let messages = body["messages"].as_array()?;
        if messages
            .iter()
            .any(|message| message["content"].as_array().is_some_and(Vec::is_empty))
        {
            return Some("messages: content must not be empty".into());
        }
        let results = messages.last()?["content"][0]["type"] == "tool_result";
        let before = messages
            .len()
            .checked_sub(2)
            .and_then(|at| messages.get(at));
        let begins = before.map(|message| message["content"][0]["type"].clone());
        let thinks = begins.is_some_and(|kind| kind == "thinking" || kind == "redacted_thinking");
        (body["thinking"]["type"] == "enabled" && results && !thinks)
            .then(|| "Expected `thinking` or `redacted_thinking`, but found `tool_use`".into())
    }

    /// Gemini wants a signature with each call of the turn.
    fn wrong_calls(body: &Value) -> Option<String> {
        let messages = body["messages"].as_array()?;
        let turn = messages
            .iter()
            .rposition(|message| message["role"] == "user")?;
        let mut calls = messages
            .iter()
            .skip(turn)
            .map(|message| &message["tool_calls"][0]);
        let unsigned = |call: &Value| {
            call.is_object() && !call["extra_content"]["google"]["thought_signature"].is_string()
        };
        calls
            .any(unsigned)
            .then(|| "Function call is missing a thought_signature".into())
    }
}

/// Every string in `value` with its key.
fn walk(value: &Value, each: &mut dyn FnMut(&str, &str)) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                match value {
                    Value::String(text) => each(key, text),
                    _ => walk(value, each),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, each)),
        _ => {}
    }
}

/// The answer as it goes over the wire: whole, or as events in the words of its API.
pub fn wire(api: Api, value: &Value, streams: bool) -> Vec<u8> {
    if !streams || value.get("error").is_some() {
        return value.to_string().into_bytes();
    }
    let mut events = Vec::new();
    match api {
        Api::Anthropic => {
            events.push(json!({"type": "message_start", "message": {"id": value["id"], "content": [], "usage": value["usage"]}}));
            for (index, block) in value["content"].as_array().unwrap().iter().enumerate() {
                let mut opening = block.clone();
                if block["type"] == "thinking" {
                    opening["signature"] = "".into();
                }
                events.push(json!({"type": "content_block_start", "index": index, "content_block": opening}));
                if block["type"] == "thinking" {
                    events.push(json!({"type": "content_block_delta", "index": index, "delta": {"type": "signature_delta", "signature": block["signature"]}}));
                }
                events.push(json!({"type": "content_block_stop", "index": index}));
            }
            events.push(json!({"type": "message_delta", "delta": {"stop_reason": value["stop_reason"]}, "usage": value["usage"]}));
            events.push(json!({"type": "message_stop"}));
        }
        Api::Chat => {
            let choice = &value["choices"][0];
            events.push(json!({"id": value["id"], "choices": [{"index": 0, "delta": choice["message"], "finish_reason": null}]}));
            events.push(json!({"id": value["id"], "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}], "usage": value["usage"]}));
        }
        Api::StatelessResponses | Api::StoredResponses => {
            events.push(
                json!({"type": "response.created", "response": {"id": value["id"], "output": []}}),
            );
            for item in value["output"].as_array().unwrap() {
                events.push(json!({"type": "response.output_item.done", "item": item}));
            }
            events.push(json!({"type": "response.completed", "response": value}));
        }
    }
    let mut text = String::new();
    for event in &events {
        let name = event["type"]
            .as_str()
            .map(|name| format!("event: {name}\n"));
        text += &format!("{}data: {event}\n\n", name.unwrap_or_default());
    }
    if api == Api::Chat {
        text += "data: [DONE]\n\n";
    }
    text.into_bytes()
}

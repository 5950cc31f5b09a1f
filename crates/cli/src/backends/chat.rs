//! Answers of a simulated model: what a request asks for, and the JSON and SSE that OpenAI's API answers with.
//!
//! The text says what it is: synthetic, from which backend, under which model name. Nothing here pretends to think.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::fleet::Backend;
use super::timing::{Draws, seed_of};

/// Longest synthetic answer in tokens, unless the request allows less.
const MAX_TOKENS: usize = 2_048;

#[derive(Debug, Deserialize)]
struct Body {
    model: Option<String>,
    messages: Option<Vec<Value>>,
    #[serde(default)]
    stream: bool,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<usize>,
    max_completion_tokens: Option<usize>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

/// An error as OpenAI-compatible servers answer it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// OpenAI's `code`.
    pub code: &'static str,
    /// For the developer.
    pub message: String,
}

impl ApiError {
    /// The response body.
    pub fn to_json(&self) -> Bytes {
        let kind = match self.status {
            429 => "rate_limit_error",
            400..500 => "invalid_request_error",
            _ => "server_error",
        };
        to_bytes(&json!({"error": {
            "message": self.message, "type": kind, "param": null, "code": self.code,
        }}))
    }
}

/// A request that is accepted, and the answer that it gets.
#[derive(Debug)]
pub struct Answer {
    id: String,
    model: String,
    /// The answer's tokens, each with the space before it.
    pub tokens: Vec<String>,
    /// Whether it is to be streamed.
    pub stream: bool,
    include_usage: bool,
    prompt_tokens: usize,
    cut: bool,
}

impl Answer {
    /// Reads `body` as `backend` does: it takes only the model name that it serves, as vLLM does.
    ///
    /// # Errors
    /// 400 for a body that is not a chat request, 404 for another model's name.
    pub fn to(backend: &Backend, body: &[u8], created: u64) -> Result<Answer, ApiError> {
        let request: Body = serde_json::from_slice(body).map_err(|error| ApiError {
            status: 400,
            code: "invalid_json",
            message: format!("the body is no chat request: {error}"),
        })?;
        let missing = |name: &str| ApiError {
            status: 400,
            code: "missing_required_parameter",
            message: format!("`{name}` is missing"),
        };
        let model = request.model.ok_or_else(|| missing("model"))?;
        if model != backend.served_model {
            return Err(ApiError {
                status: 404,
                code: "model_not_found",
                message: format!("the model `{model}` does not exist"),
            });
        }
        let messages = request.messages.ok_or_else(|| missing("messages"))?;
        if messages.is_empty() {
            return Err(missing("messages[0]"));
        }
        // The length depends on the prompt alone, so that fleets can be compared over the same questions.
        let seed = seed_of(&serde_json::to_vec(&messages).unwrap_or_default());
        let wanted = Draws::new(seed).log_normal(90.0, 600.0).round() as usize;
        let limit = request.max_completion_tokens.or(request.max_tokens);
        let count = wanted.clamp(8, MAX_TOKENS).min(limit.unwrap_or(MAX_TOKENS));
        Ok(Answer {
            id: format!("chatcmpl-{created}-{seed:016x}"),
            tokens: synthetic(backend, count),
            cut: count < wanted,
            model,
            stream: request.stream,
            include_usage: request.stream_options.is_some_and(|o| o.include_usage),
            prompt_tokens: prompt_tokens(&messages),
        })
    }

    /// What the exchange costs at this backend's prices, in USD.
    pub fn cost_usd(&self, backend: &Backend) -> f64 {
        (self.prompt_tokens as f64 * backend.input_price
            + self.tokens.len() as f64 * backend.output_price)
            / 1e6
    }

    fn usage(&self) -> Value {
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.tokens.len(),
            "total_tokens": self.prompt_tokens + self.tokens.len(),
            "prompt_tokens_details": {"cached_tokens": 0},
        })
    }

    fn finish_reason(&self) -> &'static str {
        if self.cut { "length" } else { "stop" }
    }

    /// The whole answer as one JSON document.
    pub fn whole(&self, created: u64) -> Bytes {
        to_bytes(&json!({
            "id": self.id, "object": "chat.completion", "created": created, "model": self.model,
            "choices": [{
                "index": 0,
                "message": {"role": "assistant", "content": self.tokens.concat(), "refusal": null},
                "logprobs": null,
                "finish_reason": self.finish_reason(),
            }],
            "usage": self.usage(),
        }))
    }

    /// The event that opens a stream.
    pub fn opening(&self, created: u64) -> Bytes {
        self.event(created, &json!({"role": "assistant", "content": ""}), None)
    }

    /// The event of some tokens that are ready together.
    pub fn part(&self, created: u64, tokens: &[String]) -> Bytes {
        self.event(created, &json!({"content": tokens.concat()}), None)
    }

    /// The events that end a stream: the reason, the usage if it was asked for, and `[DONE]`.
    pub fn closing(&self, created: u64) -> Bytes {
        let mut end = self
            .event(created, &json!({}), Some(self.finish_reason()))
            .to_vec();
        if self.include_usage {
            let usage = json!({
                "id": self.id, "object": "chat.completion.chunk", "created": created, "model": self.model,
                "choices": [], "usage": self.usage(),
            });
            end.extend_from_slice(format!("data: {usage}\n\n").as_bytes());
        }
        end.extend_from_slice(b"data: [DONE]\n\n");
        end.into()
    }

    fn event(&self, created: u64, delta: &Value, finish_reason: Option<&str>) -> Bytes {
        let chunk = json!({
            "id": self.id, "object": "chat.completion.chunk", "created": created, "model": self.model,
            "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason}],
        });
        format!("data: {chunk}\n\n").into()
    }
}

/// A body out of JSON.
pub fn to_bytes(value: &Value) -> Bytes {
    value.to_string().into()
}

fn synthetic(backend: &Backend, count: usize) -> Vec<String> {
    let text = format!(
        "This is a synthetic answer of the demo backend {} ({}), which serves the name {}. No language model wrote it.",
        backend.name,
        backend.accelerator.name(),
        backend.served_model,
    );
    let filler = "These words only take the time and the tokens that an answer would take.";
    let words = text
        .split(' ')
        .chain(std::iter::repeat_n(filler, MAX_TOKENS).flat_map(|f| f.split(' ')));
    words
        .take(count)
        .enumerate()
        .map(|(index, word)| {
            if index == 0 {
                word.to_owned()
            } else {
                format!(" {word}")
            }
        })
        .collect()
}

/// About four bytes a token, over the text of all messages, and a few for each message's frame.
fn prompt_tokens(messages: &[Value]) -> usize {
    let text: usize = messages
        .iter()
        .map(|message| match message.get("content") {
            Some(Value::String(text)) => text.len(),
            Some(Value::Array(parts)) => parts
                .iter()
                .filter_map(|part| part.get("text")?.as_str())
                .map(str::len)
                .sum(),
            _ => 0,
        })
        .sum();
    text.div_ceil(4) + 4 * messages.len()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::backends::fleet::default_fleet;

    fn gpu() -> Backend {
        default_fleet().unwrap().remove(0)
    }

    #[test]
    fn only_the_served_name_is_taken() {
        let body = br#"{"model":"auto","messages":[{"role":"user","content":"hi"}]}"#;
        let error = Answer::to(&gpu(), body, 0).unwrap_err();
        assert_eq!((error.status, error.code), (404, "model_not_found"));
        let error = Answer::to(&gpu(), b"{", 0).unwrap_err();
        assert_eq!((error.status, error.code), (400, "invalid_json"));
    }

    #[test]
    fn the_answer_says_who_it_is_from_and_counts_its_tokens() {
        let body = br#"{"model":"llama-3.1-70b","messages":[{"role":"user","content":"12345678"}],"max_tokens":30}"#;
        let answer = Answer::to(&gpu(), body, 5).unwrap();
        let whole: Value = serde_json::from_slice(&answer.whole(5)).unwrap();
        let text = whole["choices"][0]["message"]["content"].as_str().unwrap();
        assert!(text.contains("demo backend gpu (gpu)"), "{text}");
        assert_eq!(whole["usage"]["prompt_tokens"], 6);
        assert_eq!(
            whole["usage"]["completion_tokens"].as_u64().unwrap() as usize,
            text.split(' ').count()
        );
        assert!(answer.tokens.len() <= 30);
    }

    #[test]
    fn usage_ends_a_stream_that_asks_for_it() {
        let body = br#"{"model":"llama-3.1-70b","messages":[{"role":"user","content":"x"}],"stream":true,"stream_options":{"include_usage":true}}"#;
        let answer = Answer::to(&gpu(), body, 5).unwrap();
        assert!(answer.stream);
        let end = String::from_utf8(answer.closing(5).to_vec()).unwrap();
        assert!(
            end.contains("\"choices\":[]") && end.contains("\"usage\":{"),
            "{end}"
        );
        assert!(end.ends_with("data: [DONE]\n\n"));
    }
}

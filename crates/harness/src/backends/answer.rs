//! Answers of a simulated model: what it says, and how long it is. The words of each API are in `wire/`.
//!
//! The text says what it is: synthetic, from which backend, under which model name. Nothing here pretends to think.

use pointsman::api::Api;
use serde_json::{Value, json};

use super::api_error::ApiError;
use super::fleet::BackendSpec;
use super::instance::instance;
use super::request::{Call, Embed, LlmRequest};
use super::timing::Draws;

/// Longest synthetic answer in tokens, unless the request allows less.
const MAX_TOKENS: usize = 2_048;

/// A request that is accepted, and the answer that it gets.
#[derive(Debug)]
pub struct Answer {
    /// The call.
    pub call: Call,
    /// Seconds since 1970.
    pub created: u64,
    /// The unique part of this exchange's ids.
    pub id: String,
    /// The name that was asked for.
    pub model: String,
    /// The answer's tokens, each with the space before it; of a tool call, pieces of its arguments.
    pub tokens: Vec<String>,
    /// Whether it is to be streamed.
    pub stream: bool,
    /// Whether a stream is to end with its usage.
    pub include_usage: bool,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Whether the limit cut it off.
    pub cut: bool,
    /// How many times it is given.
    pub choices: usize,
    /// The tool that is called instead of saying anything.
    pub tool: Option<String>,
    /// How inputs are embedded.
    pub embed: Embed,
}

impl Answer {
    /// Reads `body` as `backend` does: it takes only the model name that it serves, as vLLM does. The answer has `tokens` tokens
    /// if the client says how long such an answer is; else a number of them that is drawn.
    ///
    /// # Errors
    /// 400 for a body that is not a request of the API, 404 for another model's name.
    pub fn to(
        backend: &BackendSpec,
        call: Call,
        body: &[u8],
        created: u64,
        tokens: Option<usize>,
    ) -> Result<Answer, ApiError> {
        let request = LlmRequest::read(call, &backend.served_model, body)?;
        let length = backend.answer_tokens;
        let drawn = || Draws::new(request.seed).log_normal(length.p50, length.p99);
        let least = if tokens.is_some() { 1 } else { 8 };
        let mut wanted = tokens.unwrap_or_else(|| drawn().round() as usize);
        let mut count = wanted
            .clamp(least, MAX_TOKENS)
            .min(request.limit.unwrap_or(MAX_TOKENS));
        let speaks = call != Call::CountTokens && call.api() != Api::OpenAiEmbeddings;
        let tokens = match (&request.schema, &request.tool, speaks) {
            (_, _, false) => Vec::new(),
            (Some(schema), None, true) => {
                // An answer whose limit cuts it off is not JSON any more, as from a model.
                let value = match schema {
                    Value::Bool(_) => json!({"answer": sentence(backend)}),
                    schema => instance(schema),
                };
                let mut pieces = pieces(&value.to_string());
                wanted = pieces.len();
                count = wanted.min(request.limit.unwrap_or(wanted));
                pieces.truncate(count);
                pieces
            }
            (Some(schema), Some(_), true) if names_members(schema) => {
                pieces(&instance(schema).to_string())
            }
            (_, Some(_), true) => arguments(backend),
            (None, None, true) => synthetic(backend, count),
        };
        Ok(Answer {
            call,
            created,
            id: format!("{created}-{:016x}", request.seed),
            tokens,
            cut: speaks && request.tool.is_none() && count < wanted,
            model: request.model,
            stream: request.stream && speaks,
            include_usage: request.include_usage,
            prompt_tokens: request.prompt_tokens,
            choices: request.choices,
            tool: request.tool,
            embed: request.embed,
        })
    }

    /// Tokens of all answers together.
    pub fn output_tokens(&self) -> usize {
        self.tokens.len() * self.choices
    }

    /// The cost of the exchange at this backend's prices, in USD.
    pub fn cost_usd(&self, backend: &BackendSpec) -> f64 {
        (self.prompt_tokens as f64 * backend.input_price
            + self.output_tokens() as f64 * backend.output_price)
            / 1e6
    }

    /// The text, or the arguments of the tool call.
    pub fn text(&self) -> String {
        self.tokens.concat()
    }
}

/// States the answering backend, and that the answer is synthetic.
fn sentence(backend: &BackendSpec) -> String {
    format!(
        "This is a synthetic answer of the demo backend {} ({}), which serves the name {}. No language model wrote it.",
        backend.name,
        backend.accelerator.name(),
        backend.served_model,
    )
}

fn synthetic(backend: &BackendSpec, count: usize) -> Vec<String> {
    let text = sentence(backend);
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

/// Whether a tool says what its arguments are.
fn names_members(schema: &Value) -> bool {
    let members = schema.get("properties").and_then(Value::as_object);
    members.is_some_and(|members| !members.is_empty())
}

/// A JSON text in pieces of about a token each.
fn pieces(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    letters
        .chunks(4)
        .map(|piece| piece.iter().collect())
        .collect()
}

/// Arguments of a tool call, in pieces: they say who made them up, whatever the tool takes.
fn arguments(backend: &BackendSpec) -> Vec<String> {
    let name = Value::from(backend.name.as_str());
    ["{\"synthetic\"", ": true", ", \"backend\": "]
        .map(str::to_owned)
        .into_iter()
        .chain([name.to_string(), "}".to_owned()])
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::backends::fleet::default_fleet;
    use crate::backends::wire::{self, Events};

    const CHAT: Call = Call::Answer(Api::OpenAiChat);

    fn gpu() -> BackendSpec {
        let gpu = default_fleet().unwrap().remove(0);
        BackendSpec {
            served_model: "llama-3.1-70b".to_owned(),
            ..gpu
        }
    }

    fn answer(call: Call, body: Value) -> Answer {
        let mut body = body;
        body["model"] = "llama-3.1-70b".into();
        Answer::to(&gpu(), call, body.to_string().as_bytes(), 5, None).unwrap()
    }

    /// The stream of an answer, as text.
    fn streamed(answer: &Answer) -> String {
        let mut events = Events::default();
        let mut text = String::from_utf8(events.opening(answer).to_vec()).unwrap();
        for tokens in answer.tokens.chunks(3) {
            text += std::str::from_utf8(&events.part(answer, tokens)).unwrap();
        }
        text + std::str::from_utf8(&events.closing(answer)).unwrap()
    }

    #[test]
    fn only_the_served_name_is_taken() {
        let body = br#"{"model":"auto","messages":[{"role":"user","content":"hi"}]}"#;
        let error = Answer::to(&gpu(), CHAT, body, 0, None).unwrap_err();
        assert_eq!((error.status, error.code), (404, "model_not_found"));
        let error = Answer::to(&gpu(), CHAT, b"{", 0, None).unwrap_err();
        assert_eq!((error.status, error.code), (400, "invalid_json"));
    }

    #[test]
    fn the_answer_says_who_it_is_from_and_counts_its_tokens() {
        let answer = answer(
            CHAT,
            serde_json::json!({"messages": [{"role": "user", "content": "12345678"}], "max_tokens": 30}),
        );
        let whole: Value = wire::whole(&answer);
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
    fn a_stated_length_is_kept_within_the_limit() {
        let body = |limit: u32| {
            json!({"model": "llama-3.1-70b", "max_tokens": limit, "messages": [{"role": "user", "content": "x"}]}).to_string()
        };
        for (tokens, limit, expected) in [(3, 2000, 3), (700, 2000, 700), (700, 50, 50)] {
            let body = body(limit);
            let answer = Answer::to(&gpu(), CHAT, body.as_bytes(), 5, Some(tokens)).unwrap();
            assert_eq!(answer.tokens.len(), expected);
            assert_eq!(answer.cut, expected < tokens);
        }
    }

    #[test]
    fn usage_ends_a_stream_that_asks_for_it() {
        let answer = answer(
            CHAT,
            serde_json::json!({"messages": [{"role": "user", "content": "x"}], "stream": true,
                               "stream_options": {"include_usage": true}}),
        );
        assert!(answer.stream);
        let text = streamed(&answer);
        assert!(
            text.contains("\"choices\":[]") && text.contains("\"usage\":{"),
            "{text}"
        );
        assert!(text.ends_with("data: [DONE]\n\n"));
    }

    #[test]
    fn what_is_streamed_is_the_whole_answer_in_every_api() {
        use pointsman::api::usage::{Media, UsageParser};
        let user = serde_json::json!([{"role": "user", "content": "What is larger, 9.9 or 9.11?"}]);
        for (api, body) in [
            (
                Api::OpenAiChat,
                serde_json::json!({"messages": user, "stream_options": {"include_usage": true}}),
            ),
            (Api::OpenAiResponses, serde_json::json!({"input": user})),
            (
                Api::OpenAiCompletions,
                serde_json::json!({"prompt": ["a", "b"], "stream_options": {"include_usage": true}}),
            ),
            (
                Api::AnthropicMessages,
                serde_json::json!({"messages": user, "max_tokens": 40}),
            ),
        ] {
            let mut body = body;
            body["stream"] = true.into();
            let answer = answer(Call::Answer(api), body);
            let mut measured = [Media::Json, Media::EventStream].map(|media| {
                let mut parser = UsageParser::new(api, media);
                match media {
                    Media::Json => parser.feed(wire::whole(&answer).to_string().as_bytes()),
                    Media::EventStream => parser.feed(streamed(&answer).as_bytes()),
                }
                parser.finish(true).unwrap()
            });
            let [whole, streamed] = &mut measured;
            assert_eq!(whole, streamed, "{api:?}");
            assert_eq!(whole.input_tokens as usize, answer.prompt_tokens);
            assert_eq!(whole.output_tokens as usize, answer.output_tokens());
        }
    }

    #[test]
    fn a_tool_that_is_insisted_on_is_called() {
        let tools = serde_json::json!([{"name": "look", "input_schema": {"type": "object"}}]);
        let answer = answer(
            Call::Answer(Api::AnthropicMessages),
            serde_json::json!({"messages": [{"role": "user", "content": "x"}], "max_tokens": 4,
                               "tools": tools, "tool_choice": {"type": "any"}}),
        );
        let whole: Value = wire::whole(&answer);
        assert_eq!(whole["stop_reason"], "tool_use");
        assert_eq!(whole["content"][0]["name"], "look");
        assert_eq!(whole["content"][0]["input"]["backend"], "gpu");
        assert!(streamed(&answer).contains("input_json_delta"));
    }

    #[test]
    fn an_answer_keeps_the_schema_that_is_asked_for() {
        let schema =
            serde_json::json!({"type": "object", "properties": {"city": {"type": "string"}}});
        let user = serde_json::json!([{"role": "user", "content": "x"}]);
        let form = serde_json::json!({"type": "json_schema", "name": "City", "schema": schema});
        for (api, body) in [
            (
                Api::OpenAiChat,
                serde_json::json!({"messages": user, "response_format": {"type": "json_schema", "json_schema": form}}),
            ),
            (
                Api::OpenAiResponses,
                serde_json::json!({"input": user, "text": {"format": form}}),
            ),
            (
                Api::AnthropicMessages,
                serde_json::json!({"messages": user, "max_tokens": 100, "output_config": {"format": form}}),
            ),
        ] {
            let text = answer(Call::Answer(api), body).text();
            assert_eq!(text, "{\"city\":\"synthetic city\"}", "{api:?}");
        }
        let tools = serde_json::json!([{"type": "function", "function": {"name": "look", "parameters": schema}}]);
        let body = serde_json::json!({"messages": user, "tools": tools, "tool_choice": "required"});
        assert_eq!(answer(CHAT, body).text(), "{\"city\":\"synthetic city\"}");
        let body = serde_json::json!({"messages": user, "response_format": {"type": "json_object"}, "max_tokens": 3});
        let cut = answer(CHAT, body);
        assert!(cut.cut && cut.tokens.len() == 3);
    }

    #[test]
    fn tokens_are_counted_and_limits_required_as_anthropic_does() {
        let body = serde_json::json!({"system": "1234", "messages": [{"role": "user", "content": "12345678"}]});
        let counted = wire::whole(&answer(Call::CountTokens, body.clone()));
        assert_eq!(counted, serde_json::json!({"input_tokens": 7}));
        let mut body = body;
        body["model"] = "llama-3.1-70b".into();
        let call = Call::Answer(Api::AnthropicMessages);
        let error = Answer::to(&gpu(), call, body.to_string().as_bytes(), 0, None).unwrap_err();
        assert_eq!(error.message, "`max_tokens` is missing");
        let reported: Value = serde_json::from_slice(&error.to_json(call.api())).unwrap();
        assert_eq!(reported["type"], "error");
    }

    #[test]
    fn embeddings_are_unit_vectors_the_same_for_the_same_text() {
        let call = Call::Answer(Api::OpenAiEmbeddings);
        let body = serde_json::json!({"input": ["a", "b", "a"], "dimensions": 8, "stream": true});
        let answer = answer(call, body);
        assert!(!answer.stream);
        let whole: Value = wire::whole(&answer);
        let vectors: Vec<Vec<f64>> = (0..3)
            .map(|index| serde_json::from_value(whole["data"][index]["embedding"].clone()).unwrap())
            .collect();
        assert_eq!(vectors[0], vectors[2]);
        assert_ne!(vectors[0], vectors[1]);
        let length: f64 = vectors[0].iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
        assert_eq!(whole["usage"]["total_tokens"], 1);
    }
}

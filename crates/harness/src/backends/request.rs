//! The demands of a request, whatever API it speaks: read leniently, as servers do.
//!
//! Text is counted at about four bytes a token, and a few tokens for each message's frame. Images and tools count nothing.

use pointsman::api::Api;
use serde_json::Value;

use super::api_error::ApiError;
use super::timing::seed_of;

/// A call of an LLM API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// An answer of a model.
    Answer(Api),
    /// `POST /v1/messages/count_tokens`: only how long the prompt is.
    CountTokens,
}

impl Call {
    /// The call of `path`, without its query; `None` if it is not a path of an LLM API.
    pub fn from_path(path: &str) -> Option<Call> {
        if path.ends_with("/v1/messages/count_tokens") {
            return Some(Call::CountTokens);
        }
        Api::of_path(path).map(Call::Answer)
    }

    /// The API whose words are used.
    pub const fn api(self) -> Api {
        match self {
            Call::Answer(api) => api,
            Call::CountTokens => Api::AnthropicMessages,
        }
    }
}

/// The demands of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct LlmRequest {
    /// The model's name.
    pub model: String,
    /// Equal for equal prompts.
    pub seed: u64,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// The most tokens of an answer.
    pub limit: Option<usize>,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Whether a stream is to end with its usage.
    pub include_usage: bool,
    /// How many answers are wanted.
    pub choices: usize,
    /// The tool that has to be called.
    pub tool: Option<String>,
    /// The JSON Schema of the answer, or of the tool's arguments.
    pub schema: Option<Value>,
    /// How inputs are to be embedded.
    pub embed: Embed,
}

/// How inputs are to be embedded.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Embed {
    /// A seed for each input.
    pub seeds: Vec<u64>,
    /// The length of a vector.
    pub dimensions: usize,
    /// Whether vectors are wanted as base64 of little-endian floats.
    pub base64: bool,
}

/// A parameter that must be there and is not.
fn missing(name: &str) -> ApiError {
    ApiError {
        status: 400,
        code: "missing_required_parameter",
        message: format!("`{name}` is missing"),
    }
}

impl LlmRequest {
    /// Reads `body` as a server does that knows the model `served` and no other.
    ///
    /// # Errors
    /// 400 for a body that is not such request, 404 for another model's name.
    pub fn read(call: Call, served: &str, body: &[u8]) -> Result<LlmRequest, ApiError> {
        let body: Value = serde_json::from_slice(body).map_err(|error| ApiError {
            status: 400,
            code: "invalid_json",
            message: format!("the body is not a request: {error}"),
        })?;
        let model = body.get("model").and_then(Value::as_str);
        let model = model.ok_or_else(|| missing("model"))?;
        if model != served {
            return Err(ApiError {
                status: 404,
                code: "model_not_found",
                message: format!("the model `{model}` does not exist"),
            });
        }
        let api = call.api();
        let field = api.prompt_field();
        let prompt = body.get(field).filter(|prompt| !prompt.is_null());
        let prompt = prompt.ok_or_else(|| missing(field))?;
        if prompt.as_array().is_some_and(Vec::is_empty) {
            return Err(missing(&format!("{field}[0]")));
        }
        let limit = limit(&body, api);
        if call == Call::Answer(Api::AnthropicMessages) && limit.is_none() {
            return Err(missing("max_tokens"));
        }
        let flag = |pointer: &str| body.pointer(pointer).and_then(Value::as_bool);
        let inputs = inputs(prompt, api);
        let tool = forced_tool(&body, api);
        let schema = match &tool {
            Some((_, arguments)) => arguments.clone(),
            None => wanted_schema(&body, api),
        };
        let choices = body.get("n").and_then(count).unwrap_or(1).clamp(1, 16);
        Ok(LlmRequest {
            model: model.to_owned(),
            // The length depends on the prompt alone, so that fleets can be compared over the same questions.
            seed: seed_of(&serde_json::to_vec(prompt).unwrap_or_default()),
            prompt_tokens: prompt_tokens(&body, prompt, api),
            limit,
            stream: flag("/stream").unwrap_or(false),
            include_usage: flag("/stream_options/include_usage").unwrap_or(false),
            choices: match api {
                Api::OpenAiChat => choices,
                Api::OpenAiCompletions => choices * inputs.len(),
                _ => 1,
            },
            tool: tool.map(|(name, _)| name),
            schema,
            embed: Embed {
                seeds: inputs.iter().map(|input| seed_of(input)).collect(),
                dimensions: body.get("dimensions").and_then(count).unwrap_or(384),
                base64: body.get("encoding_format").and_then(Value::as_str) == Some("base64"),
            },
        })
    }
}

fn count(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

fn limit(body: &Value, api: Api) -> Option<usize> {
    let names: &[&str] = match api {
        Api::OpenAiChat => &["max_completion_tokens", "max_tokens"],
        Api::OpenAiResponses => &["max_output_tokens"],
        _ => &["max_tokens"],
    };
    names.iter().find_map(|name| body.get(name).and_then(count))
}

/// Each input of a request that has several, as bytes that stand for it.
fn inputs(prompt: &Value, api: Api) -> Vec<Vec<u8>> {
    let whole = || vec![prompt.to_string().into_bytes()];
    let has_many = matches!(api, Api::OpenAiCompletions | Api::OpenAiEmbeddings);
    match prompt.as_array() {
        // A list of numbers is one input, as token ids.
        Some(items) if has_many && !items.iter().all(Value::is_number) => items
            .iter()
            .map(|item| item.to_string().into_bytes())
            .collect(),
        _ => whole(),
    }
}

/// Which tool a request insists on, the first one or the one that it names, and the schema of its arguments.
fn forced_tool(body: &Value, api: Api) -> Option<(String, Option<Value>)> {
    let choice = body.get("tool_choice")?;
    let (any, name_at, schema_at) = match api {
        Api::OpenAiChat => (
            choice == "required",
            "/function/name",
            "/function/parameters",
        ),
        Api::OpenAiResponses => (choice == "required", "/name", "/parameters"),
        Api::AnthropicMessages => (
            choice.get("type").is_some_and(|kind| kind == "any"),
            "/name",
            "/input_schema",
        ),
        _ => return None,
    };
    let tools = body.get("tools").and_then(Value::as_array);
    let name_of = |tool: &Value| Some(tool.pointer(name_at)?.as_str()?.to_owned());
    let name = match any {
        true => name_of(tools?.first()?)?,
        false => name_of(choice)?,
    };
    let mut tools = tools.into_iter().flatten();
    let tool = tools.find(|tool| name_of(tool).as_ref() == Some(&name));
    let schema = tool.and_then(|tool| tool.pointer(schema_at));
    Some((name, schema.cloned()))
}

/// The schema that an answer has to keep; `true`, which all values keep, if it only has to be an object.
fn wanted_schema(body: &Value, api: Api) -> Option<Value> {
    let (form_at, schema_at) = match api {
        Api::OpenAiChat => ("/response_format", "/json_schema/schema"),
        Api::OpenAiResponses => ("/text/format", "/schema"),
        Api::AnthropicMessages => ("/output_config/format", "/schema"),
        _ => return None,
    };
    // Anthropic's parameter had another name while it was a beta.
    let form = body
        .pointer(form_at)
        .or_else(|| body.get("output_format"))?;
    match form.get("type")?.as_str()? {
        "json_schema" => form.pointer(schema_at).cloned(),
        "json_object" => Some(Value::Bool(true)),
        _ => None,
    }
}

fn prompt_tokens(body: &Value, prompt: &Value, api: Api) -> usize {
    let system = match api {
        Api::AnthropicMessages => body.get("system"),
        Api::OpenAiResponses => body.get("instructions"),
        _ => None,
    };
    let frames = match api {
        Api::OpenAiCompletions | Api::OpenAiEmbeddings => 0,
        _ => prompt.as_array().map_or(1, Vec::len),
    };
    let bytes = text_bytes(prompt) + system.map_or(0, text_bytes);
    bytes.div_ceil(4) + 4 * frames
}

/// Bytes of the text in messages, parts and inputs; a token id counts as four.
fn text_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(text_bytes).sum(),
        Value::Object(_) => ["content", "text", "output"]
            .iter()
            .filter_map(|name| value.get(name))
            .map(text_bytes)
            .sum(),
        Value::Number(_) => 4,
        Value::Null | Value::Bool(_) => 0,
    }
}

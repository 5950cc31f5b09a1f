//! Keys of interest in responses, and their places.

/// Maximum length of a key of interest, in bytes.
pub(super) const LONGEST_KEY: usize = 32;

/// Meaning of an object or list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Place {
    /// Of no interest.
    #[default]
    Other,
    /// A list of documents, the form of errors from APIs like Gemini's.
    List,
    /// The document itself.
    Top,
    /// An object that holds usage one level down.
    Wrap,
    Choices,
    Choice,
    /// Content of a choice or event: `message` or `delta`.
    Part,
    /// Tool calls of a `Part`.
    Calls,
    Call,
    /// The function that a tool call calls.
    Function,
    /// Output items of OpenAI's Responses.
    Items,
    Item,
    /// Pieces of content.
    Blocks,
    Block,
    Error,
    /// Reason why an answer of OpenAI's Responses is incomplete.
    Incomplete,
    TopUsage,
    Usage,
    InputDetails,
    OutputDetails,
    /// Anthropic's tokens written to a cache, by lifetime.
    CacheCreation,
    /// Steps of an answer; its total may leave some out.
    Steps,
    Step,
    /// Gemini's own usage.
    Metadata,
    /// llama.cpp's timings.
    Timings,
    /// Bedrock's own counts, besides Anthropic's.
    Metrics,
}

/// A key of interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Key {
    #[default]
    Other,
    /// Metadata of a document, no part of its content.
    Envelope,
    Model,
    Wrap,
    Groq,
    Choices,
    Usage,
    Metadata,
    Timings,
    InputDetails,
    OutputDetails,
    CacheCreation,
    Steps,
    Metrics,
    Input,
    Output,
    Total,
    Cached,
    CacheRead,
    BedrockCache,
    CacheWrite,
    Write5m,
    Write1h,
    Reasoning,
    Thoughts,
    ToolInput,
    TimedInput,
    TimedOutput,
    TimedCache,
    FinishReason,
    StopReason,
    Incomplete,
    Reason,
    Type,
    Error,
    Index,
    Code,
    Status,
    Object,
    Delta,
    Content,
    Text,
    /// Text besides the answer's, such as reasoning.
    OtherText,
    /// A piece of the arguments of Anthropic's tool calls.
    PartialJson,
    Function,
    Arguments,
    Name,
    Calls,
    Call,
    Items,
    Item,
    Block,
}

/// Final events of an answer: Anthropic's, and those of OpenAI's Responses.
pub(super) const LAST: [&[u8]; 6] = [
    b"message_stop",
    b"error",
    b"response.completed",
    b"response.incomplete",
    b"response.failed",
    b"response.cancelled",
];

/// The key with this name.
pub(super) fn key(name: &[u8]) -> Key {
    match name {
        b"id"
        | b"created"
        | b"service_tier"
        | b"system_fingerprint"
        | b"provider"
        | b"obfuscation"
        | b"usage_breakdown"
        | b"extra_properties" => Key::Envelope,
        b"model" => Key::Model,
        b"message" | b"response" => Key::Wrap,
        b"x_groq" => Key::Groq,
        b"choices" => Key::Choices,
        b"usage" => Key::Usage,
        b"usageMetadata" | b"usage_metadata" => Key::Metadata,
        b"timings" => Key::Timings,
        b"prompt_tokens_details"
        | b"input_tokens_details"
        | b"prompt_token_details"
        | b"input_token_details" => Key::InputDetails,
        b"completion_tokens_details"
        | b"output_tokens_details"
        | b"completion_token_details"
        | b"output_token_details" => Key::OutputDetails,
        b"cache_creation" => Key::CacheCreation,
        b"iterations" => Key::Steps,
        b"amazon-bedrock-invocationMetrics" => Key::Metrics,
        b"finish_reason" => Key::FinishReason,
        b"stop_reason" => Key::StopReason,
        b"incomplete_details" => Key::Incomplete,
        b"reason" => Key::Reason,
        b"type" => Key::Type,
        b"error" => Key::Error,
        b"index" => Key::Index,
        b"code" => Key::Code,
        b"status" => Key::Status,
        b"object" => Key::Object,
        b"delta" => Key::Delta,
        b"content" => Key::Content,
        b"text" => Key::Text,
        b"reasoning_content" | b"reasoning" | b"thinking" | b"refusal" => Key::OtherText,
        b"partial_json" => Key::PartialJson,
        b"function" => Key::Function,
        b"arguments" => Key::Arguments,
        b"name" => Key::Name,
        b"tool_calls" | b"images" => Key::Calls,
        b"function_call" | b"audio" => Key::Call,
        b"output" => Key::Items,
        b"item" => Key::Item,
        b"content_block" => Key::Block,
        _ => count(name),
    }
}

/// The key of a token count.
fn count(name: &[u8]) -> Key {
    match name {
        b"prompt_tokens" | b"input_tokens" | b"inputTokens" | b"inputTokenCount"
        | b"promptTokenCount" => Key::Input,
        b"completion_tokens"
        | b"output_tokens"
        | b"outputTokens"
        | b"outputTokenCount"
        | b"candidatesTokenCount" => Key::Output,
        b"total_tokens" | b"totalTokens" | b"totalTokenCount" => Key::Total,
        b"cached_tokens"
        | b"prompt_cache_hit_tokens"
        | b"num_cached_tokens"
        | b"cached_input_tokens"
        | b"cached_prompt_tokens"
        | b"cachedContentTokenCount" => Key::Cached,
        b"cache_read_input_tokens" | b"cache_read_tokens" => Key::CacheRead,
        b"cacheReadInputTokens" | b"cacheReadInputTokenCount" => Key::BedrockCache,
        b"cache_creation_input_tokens"
        | b"cache_write_input_tokens"
        | b"cache_creation_tokens"
        | b"cache_write_tokens"
        | b"cacheWriteInputTokens"
        | b"cacheWriteInputTokenCount" => Key::CacheWrite,
        b"ephemeral_5m_input_tokens" => Key::Write5m,
        b"ephemeral_1h_input_tokens" => Key::Write1h,
        b"reasoning_tokens" | b"thinking_tokens" => Key::Reasoning,
        b"thoughtsTokenCount" => Key::Thoughts,
        b"toolUsePromptTokenCount" => Key::ToolInput,
        b"prompt_n" => Key::TimedInput,
        b"predicted_n" => Key::TimedOutput,
        b"cache_n" => Key::TimedCache,
        _ => Key::Other,
    }
}

/// Meaning of the object or list under `key` of `outer`.
pub(super) const fn inside(outer: Place, key: Key) -> Place {
    match (outer, key) {
        (Place::Top, Key::Usage) => Place::TopUsage,
        (Place::Top, Key::Wrap | Key::Groq) => Place::Wrap,
        (Place::Top, Key::Choices) => Place::Choices,
        (Place::Top, Key::Metrics) => Place::Metrics,
        (Place::Top, Key::Timings) => Place::Timings,
        (Place::List, _) => Place::Top,
        (Place::Top | Place::Wrap | Place::Choice, Key::Error) => Place::Error,
        (Place::Top | Place::Wrap, Key::Metadata) => Place::Metadata,
        (Place::Top | Place::Wrap, Key::Incomplete) => Place::Incomplete,
        (Place::Choices, _) => Place::Choice,
        (Place::Wrap | Place::Choice, Key::Usage) => Place::Usage,
        (Place::Choice, Key::Wrap | Key::Delta) | (Place::Top, Key::Delta) => Place::Part,
        (Place::Part, Key::Calls) => Place::Calls,
        (Place::Calls, _) => Place::Call,
        (Place::Call, Key::Function) | (Place::Part, Key::Call) => Place::Function,
        (Place::Part | Place::Item | Place::Top, Key::Content) => Place::Blocks,
        (Place::Blocks, _) | (Place::Top, Key::Block) => Place::Block,
        (Place::Top | Place::Wrap, Key::Items) => Place::Items,
        (Place::Items, _) | (Place::Top, Key::Item) => Place::Item,
        (Place::Usage | Place::TopUsage, Key::InputDetails) => Place::InputDetails,
        (Place::Usage | Place::TopUsage, Key::OutputDetails) => Place::OutputDetails,
        (Place::Usage | Place::TopUsage | Place::InputDetails, Key::CacheCreation) => {
            Place::CacheCreation
        }
        (Place::Usage | Place::TopUsage, Key::Steps) => Place::Steps,
        (Place::Steps, _) => Place::Step,
        _ => Place::Other,
    }
}

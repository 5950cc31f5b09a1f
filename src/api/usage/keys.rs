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

/// The names of the keys, sorted by length, then by their bytes: as a table, since a `match` of them is fourteen kilobytes of code.
const NAMES: [(&[u8], Key); 94] = [
    (b"id", Key::Envelope),
    (b"code", Key::Code),
    (b"item", Key::Item),
    (b"name", Key::Name),
    (b"text", Key::Text),
    (b"type", Key::Type),
    (b"audio", Key::Call),
    (b"delta", Key::Delta),
    (b"error", Key::Error),
    (b"index", Key::Index),
    (b"model", Key::Model),
    (b"usage", Key::Usage),
    (b"images", Key::Calls),
    (b"object", Key::Object),
    (b"output", Key::Items),
    (b"reason", Key::Reason),
    (b"status", Key::Status),
    (b"x_groq", Key::Groq),
    (b"cache_n", Key::TimedCache),
    (b"choices", Key::Choices),
    (b"content", Key::Content),
    (b"created", Key::Envelope),
    (b"message", Key::Wrap),
    (b"refusal", Key::OtherText),
    (b"timings", Key::Timings),
    (b"function", Key::Function),
    (b"prompt_n", Key::TimedInput),
    (b"provider", Key::Envelope),
    (b"response", Key::Wrap),
    (b"thinking", Key::OtherText),
    (b"arguments", Key::Arguments),
    (b"reasoning", Key::OtherText),
    (b"iterations", Key::Steps),
    (b"tool_calls", Key::Calls),
    (b"inputTokens", Key::Input),
    (b"obfuscation", Key::Envelope),
    (b"predicted_n", Key::TimedOutput),
    (b"stop_reason", Key::StopReason),
    (b"totalTokens", Key::Total),
    (b"input_tokens", Key::Input),
    (b"outputTokens", Key::Output),
    (b"partial_json", Key::PartialJson),
    (b"service_tier", Key::Envelope),
    (b"total_tokens", Key::Total),
    (b"cached_tokens", Key::Cached),
    (b"content_block", Key::Block),
    (b"finish_reason", Key::FinishReason),
    (b"function_call", Key::Call),
    (b"output_tokens", Key::Output),
    (b"prompt_tokens", Key::Input),
    (b"usageMetadata", Key::Metadata),
    (b"cache_creation", Key::CacheCreation),
    (b"usage_metadata", Key::Metadata),
    (b"inputTokenCount", Key::Input),
    (b"thinking_tokens", Key::Reasoning),
    (b"totalTokenCount", Key::Total),
    (b"usage_breakdown", Key::Envelope),
    (b"extra_properties", Key::Envelope),
    (b"outputTokenCount", Key::Output),
    (b"promptTokenCount", Key::Input),
    (b"reasoning_tokens", Key::Reasoning),
    (b"cache_read_tokens", Key::CacheRead),
    (b"completion_tokens", Key::Output),
    (b"num_cached_tokens", Key::Cached),
    (b"reasoning_content", Key::OtherText),
    (b"cache_write_tokens", Key::CacheWrite),
    (b"incomplete_details", Key::Incomplete),
    (b"system_fingerprint", Key::Envelope),
    (b"thoughtsTokenCount", Key::Thoughts),
    (b"cached_input_tokens", Key::Cached),
    (b"input_token_details", Key::InputDetails),
    (b"cacheReadInputTokens", Key::BedrockCache),
    (b"cached_prompt_tokens", Key::Cached),
    (b"candidatesTokenCount", Key::Output),
    (b"input_tokens_details", Key::InputDetails),
    (b"output_token_details", Key::OutputDetails),
    (b"prompt_token_details", Key::InputDetails),
    (b"cacheWriteInputTokens", Key::CacheWrite),
    (b"cache_creation_tokens", Key::CacheWrite),
    (b"output_tokens_details", Key::OutputDetails),
    (b"prompt_tokens_details", Key::InputDetails),
    (b"cache_read_input_tokens", Key::CacheRead),
    (b"cachedContentTokenCount", Key::Cached),
    (b"prompt_cache_hit_tokens", Key::Cached),
    (b"toolUsePromptTokenCount", Key::ToolInput),
    (b"cacheReadInputTokenCount", Key::BedrockCache),
    (b"cache_write_input_tokens", Key::CacheWrite),
    (b"completion_token_details", Key::OutputDetails),
    (b"cacheWriteInputTokenCount", Key::CacheWrite),
    (b"completion_tokens_details", Key::OutputDetails),
    (b"ephemeral_1h_input_tokens", Key::Write1h),
    (b"ephemeral_5m_input_tokens", Key::Write5m),
    (b"cache_creation_input_tokens", Key::CacheWrite),
    (b"amazon-bedrock-invocationMetrics", Key::Metrics),
];

/// For each length of a key of interest, the place in [`NAMES`] of the first one that is at least as long.
#[expect(
    clippy::indexing_slicing,
    reason = "the compiler evaluates it, and refuses an index beyond the end"
)]
const STARTS: [u8; LONGEST_KEY + 3] = {
    let mut starts = [0; LONGEST_KEY + 3];
    let mut length = 0;
    while length < starts.len() {
        let mut place = 0;
        while place < NAMES.len() && NAMES[place].0.len() < length {
            place += 1;
        }
        starts[length] = place as u8;
        length += 1;
    }
    starts
};

/// The key with this name.
pub(super) fn key(name: &[u8]) -> Key {
    let Some([start, end]) = STARTS.get(name.len()..name.len() + 2) else {
        return Key::Other;
    };
    let alike = NAMES.get(usize::from(*start)..usize::from(*end));
    let mut alike = alike.unwrap_or_default().iter();
    let found = alike.find(|(known, _)| *known == name);
    found.map_or(Key::Other, |(_, key)| *key)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_found() {
        assert!(NAMES.is_sorted_by_key(|(name, _)| (name.len(), *name)));
        for (name, expected) in NAMES {
            assert_eq!(key(name), expected);
            assert!(name.len() <= LONGEST_KEY || expected == Key::Metrics);
        }
        assert_eq!(key(b"finish_reasons"), Key::Other);
        assert_eq!(key(b""), Key::Other);
    }
}

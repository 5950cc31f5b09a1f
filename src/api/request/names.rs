//! Names of fields: known names, the spellings that servers accept for them, and the fields that hold settings.
//!
//! Servers may read names more loosely than the API defines them: Go's `encoding/json` ignores case, protocol buffers write
//! `maxTokens`. A key that a server could take for a field counts as that field.

/// Names of the fields that the readers know. `model` is not among them, because its spelling matters to the rewrite.
const KNOWN: &[&str] = &[
    "messages",
    "content",
    "role",
    "type",
    "text",
    "refusal",
    "input",
    "prompt",
    "suffix",
    "system",
    "instructions",
    "tools",
    "functions",
    "tool_calls",
    "function_call",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "n",
    "best_of",
    "stream",
    "stream_options",
    "include_usage",
    "user",
    "safety_identifier",
    "metadata",
    "response_format",
    "json_schema",
    "schema",
    "format",
    "output_format",
    "output_config",
    "reasoning_effort",
    "reasoning",
    "effort",
    "thinking",
    "modalities",
    "output",
    "source",
    "data",
];

/// Fields of requests with settings and without text for a model, in the APIs and in vLLM's and llama.cpp's extensions.
const SETTINGS: &[&str] = &[
    "audio",
    "background",
    "betas",
    "cache_control",
    "cache_prompt",
    "chat_template",
    "container",
    "context_management",
    "conversation",
    "dimensions",
    "echo",
    "encoding_format",
    "fallbacks",
    "frequency_penalty",
    "grammar",
    "guided_choice",
    "guided_grammar",
    "guided_json",
    "guided_regex",
    "ignore_eos",
    "include",
    "inference_geo",
    "logit_bias",
    "logprobs",
    "max_tool_calls",
    "mcp_servers",
    "min_p",
    "min_tokens",
    "moderation",
    "parallel_tool_calls",
    "presence_penalty",
    "previous_response_id",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "repetition_penalty",
    "seed",
    "service_tier",
    "speed",
    "stop",
    "stop_sequences",
    "stop_token_ids",
    "store",
    "temperature",
    "tool_choice",
    "top_k",
    "top_logprobs",
    "top_p",
    "truncation",
    "user_profile_id",
    "verbosity",
    "web_search_options",
];

/// Fields of messages, items and parts that hold names, states and signatures, and no text of a conversation.
const LABELS: &[&str] = &[
    "id",
    "call_id",
    "tool_use_id",
    "tool_call_id",
    "caller",
    "status",
    "index",
    "phase",
    "cache_control",
    "detail",
    "media_type",
    "file_id",
    "signature",
    "fingerprint",
    "encrypted_content",
    "encrypted_index",
    "encrypted_stdout",
    "logprobs",
    "stop_reason",
];

/// The known name that a server could take `key` for, if it differs.
pub(super) fn folded(key: &str) -> Option<&'static str> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    if key.bytes().all(is_plain) {
        return None;
    }
    KNOWN.iter().copied().find(|name| is_folded(key, name))
}

/// Whether the two differ only in case and underscores, by Go's case folding: the long s is an s, the Kelvin sign a k.
pub(super) fn is_folded(key: &str, name: &str) -> bool {
    let letters = key.chars().filter(|letter| *letter != '_');
    let folded = letters.map(|letter| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    });
    folded.eq(name.chars().filter(|letter| *letter != '_'))
}

/// Whether the field of a request holds a setting.
pub(super) fn is_setting(key: &str) -> bool {
    SETTINGS.binary_search(&key).is_ok()
}

/// Whether the field of a message, item or part is a label.
pub(super) fn is_label(key: &str) -> bool {
    LABELS.contains(&key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_in_order() {
        assert!(SETTINGS.is_sorted());
    }

    #[test]
    fn names_are_taken_in_any_case() {
        for (key, name) in [
            ("Messages", "messages"),
            ("mE\u{17f}sages", "messages"),
            ("maxTokens", "max_tokens"),
            ("MaxCompletionToKens", "max_completion_tokens"),
            ("max_to\u{212a}ens", "max_tokens"),
            ("N", "n"),
            ("ROLE", "role"),
        ] {
            assert_eq!(folded(key), Some(name), "{key}");
        }
        for key in [
            "model",
            "mod\u{435}l",
            "Models",
            "MODEL",
            "",
            "X",
            "_",
            "\u{131}nput",
        ] {
            assert_eq!(folded(key), None, "{key}");
        }
    }
}

//! Filter state keys; an access log prints one with `%FILTER_STATE(wasm.KEY:PLAIN)%`.

/// The chosen model.
pub const MODEL: &str = "pointsman.model";
/// The chosen backend.
pub const BACKEND: &str = "pointsman.backend";
/// The profile whose objective was used.
pub const PROFILE: &str = "pointsman.profile";
/// Why: a decision's reason, a rejection's code, or `bypass_` with the cause.
pub const REASON: &str = "pointsman.reason";
/// What the classifier says of the prompt, in logits.
pub const DIFFICULTY: &str = "pointsman.difficulty";
/// Expected price of the exchange in USD.
pub const ESTIMATED_COST_USD: &str = "pointsman.estimated_cost_usd";
/// What the exchange cost in USD, by the tokens that it took; absent where the answer does not say.
pub const COST_USD: &str = "pointsman.cost_usd";
/// How much less that is than at the baseline, in USD; absent where none is declared.
pub const SAVED_USD: &str = "pointsman.saved_usd";
/// Milliseconds from reading the body to the first bytes of a streamed answer.
pub const FIRST_TOKEN_MS: &str = "pointsman.first_token_ms";
/// The version of the policy that was in force.
pub const POLICY_VERSION: &str = "pointsman.policy_version";
/// What is asked for, in OpenTelemetry's words: `chat`, `text_completion` or `embeddings`; and `count_tokens`, for which it has none.
pub const OPERATION: &str = "gen_ai.operation.name";
/// Whose API the client speaks, in OpenTelemetry's words: `openai` or `anthropic`.
pub const PROVIDER: &str = "gen_ai.provider.name";
/// The model or profile that the client asked for; absent where the policy has no such name.
pub const REQUEST_MODEL: &str = "gen_ai.request.model";
/// The name under which the backend that answered serves the model.
pub const RESPONSE_MODEL: &str = "gen_ai.response.model";
/// Tokens of the request, the cached ones included.
pub const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
/// Those of them that the backend had cached.
pub const CACHED_INPUT_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";
/// Tokens of the answer.
pub const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
/// `shadow` where the decision was only reported.
pub const MODE: &str = "pointsman.mode";
/// The chain of a request, for its attempts; see [`crate::chain`]. Nobody else has a use for it.
pub const CHAIN: &str = "pointsman.chain";
/// All of them and what they say, in the order of the documentation. Each is set before Envoy ends the request's span, if its
/// answer came to its end.
pub const ALL: &[(&str, &str)] = &[
    (MODEL, "The chosen model."),
    (BACKEND, "The chosen backend."),
    (PROFILE, "The profile whose objective was used."),
    (
        REASON,
        "Why: a decision's reason, a rejection's code, or `bypass_` with the cause.",
    ),
    (DIFFICULTY, "Difficulty of the prompt, in logits."),
    (ESTIMATED_COST_USD, "Expected price of the exchange in USD."),
    (
        COST_USD,
        "What it cost in USD by the tokens that it took; absent where the answer does not say.",
    ),
    (
        SAVED_USD,
        "How much less that is than at the policy's `baseline`, in USD; negative where it is more.",
    ),
    (
        FIRST_TOKEN_MS,
        "Milliseconds from reading the request to the first bytes of a streamed answer.",
    ),
    (
        POLICY_VERSION,
        "Version of the policy that was in force for this request.",
    ),
    (
        OPERATION,
        "What is asked for: `chat`, `text_completion`, `embeddings` or `count_tokens`.",
    ),
    (
        PROVIDER,
        "Whose API the client speaks, which need not be who runs the model: `openai` or `anthropic`.",
    ),
    (
        REQUEST_MODEL,
        "The model or profile that the client asked for, if the policy has it.",
    ),
    (
        RESPONSE_MODEL,
        "The name under which the backend that answered serves the model.",
    ),
    (
        INPUT_TOKENS,
        "Tokens of the request, the cached ones included.",
    ),
    (
        CACHED_INPUT_TOKENS,
        "Those of them that the backend had cached.",
    ),
    (
        OUTPUT_TOKENS,
        "Tokens of the answer, those of reasoning included.",
    ),
    (MODE, "`shadow` where the decision was only reported."),
];

//! Filter state keys; an access log prints one with `%FILTER_STATE(wasm.KEY:PLAIN)%`.

/// The chosen model.
pub const MODEL: &str = "pointsman.model";
/// The chosen backend.
pub const BACKEND: &str = "pointsman.backend";
/// The profile whose objective was used.
pub const PROFILE: &str = "pointsman.profile";
/// The most probable task; absent where nobody had to know.
pub const TASK: &str = "pointsman.task";
/// The rules that applied, joined by commas; absent where none did.
pub const RULE: &str = "pointsman.rule";
/// The tenant: by name where the policy names it, else a hash; absent where the policy knows none.
pub const TENANT: &str = "pointsman.tenant";
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
pub const TIME_TO_FIRST_TOKEN_MS: &str = "pointsman.time_to_first_token_ms";
/// The version of the policy that was in force.
pub const POLICY_VERSION: &str = "pointsman.policy_version";
/// What is asked for, in OpenTelemetry's words: `chat`, `text_completion` or `embeddings`; and `count_tokens`, for which it has none.
pub const OPERATION: &str = "gen_ai.operation.name";
/// Who runs the backend that answered, in OpenTelemetry's words; where there is none, whose API the client speaks.
pub const PROVIDER: &str = "gen_ai.provider.name";
/// The model or profile that the client asked for; absent where the policy has no such name.
pub const REQUEST_MODEL: &str = "gen_ai.request.model";
/// The name under which the backend that answered serves the model.
pub const RESPONSE_MODEL: &str = "gen_ai.response.model";
/// Tokens of the request, the cached ones included.
pub const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
/// Those of them that the backend had cached.
pub const CACHED_INPUT_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";
/// Those of them that the backend put into its cache; absent where there are none.
pub const CACHE_WRITE_TOKENS: &str = "gen_ai.usage.cache_creation.input_tokens";
/// Tokens of the answer.
pub const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
/// Those of them that were reasoning; absent where there are none.
pub const REASONING_TOKENS: &str = "gen_ai.usage.reasoning.output_tokens";
/// Why the answer ended, joined by commas where it has several choices.
pub const FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
/// What went wrong; absent where nothing did.
pub const ERROR_TYPE: &str = "error.type";
/// The host of the backend that answered; absent where the policy does not state its `endpoint`.
pub const SERVER_ADDRESS: &str = "server.address";
/// Its port.
pub const SERVER_PORT: &str = "server.port";
/// `shadow` where the decision was only reported.
pub const MODE: &str = "pointsman.mode";
/// Where a decided request stands in its chain of backends. Here and in no header, so that no backend sees it; access logs
/// have no use for it.
pub const CHAIN: &str = "pointsman.chain";
/// The client's headers that attempts took out, for an attempt at a backend that may see them. Never to be logged.
pub const WITHHELD: &str = "pointsman.withheld";
/// Those that are numbers. Envoy writes them as texts, by OTLP too.
pub const NUMBERS: &[&str] = &[
    DIFFICULTY,
    ESTIMATED_COST_USD,
    COST_USD,
    SAVED_USD,
    TIME_TO_FIRST_TOKEN_MS,
    INPUT_TOKENS,
    CACHED_INPUT_TOKENS,
    CACHE_WRITE_TOKENS,
    OUTPUT_TOKENS,
    REASONING_TOKENS,
    SERVER_PORT,
];
/// All of them and what they say, in the order of the documentation. Each is set before Envoy ends the request's span, if its
/// answer came to its end.
pub const ALL: &[(&str, &str)] = &[
    (MODEL, "The chosen model."),
    (BACKEND, "The chosen backend."),
    (PROFILE, "The profile whose objective was used."),
    (
        REASON,
        "Why: a decision's reason, `fallback` where another backend answered than the one decided on, a rejection's code, or `bypass_` with the cause.",
    ),
    (
        TASK,
        "The most probable task; absent where nobody had to know, as of a model that the client names.",
    ),
    (
        RULE,
        "The rules that applied, joined by commas, spent budgets among them; absent where none did.",
    ),
    (
        TENANT,
        "The tenant, if the policy says where it stands: by name where a rule or a budget names it, else `hash:` and a hash; see `shown` of [tenant](policy.md#tenant).",
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
        TIME_TO_FIRST_TOKEN_MS,
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
        "Who runs the backend that answered, as its `provider` says; of a refusal, whose API the client speaks.",
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
        CACHE_WRITE_TOKENS,
        "Those of them that the backend put into its cache; absent where there are none.",
    ),
    (
        OUTPUT_TOKENS,
        "Tokens of the answer, those of reasoning included.",
    ),
    (
        REASONING_TOKENS,
        "Those of them that were reasoning; absent where there are none.",
    ),
    (
        FINISH_REASONS,
        "Why the answer ended, in the API's words, joined by commas where it has several choices; `other` for a word that no API has.",
    ),
    (
        ERROR_TYPE,
        "What went wrong; absent where nothing did. The code of a refusal; the status of an error; `no_response` where none came before the client left, `response_incomplete` where it left later or the backend broke off; `stream_truncated` where the backend ended the stream too early; `error_in_response` where the answer says that it is one.",
    ),
    (
        SERVER_ADDRESS,
        "The host of the backend that answered; absent where the policy does not state its `endpoint`.",
    ),
    (SERVER_PORT, "Its port."),
    (MODE, "`shadow` where the decision was only reported."),
];

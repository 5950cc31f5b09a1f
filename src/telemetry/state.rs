//! Filter state keys. An access log prints one with `%FILTER_STATE(wasm.KEY:PLAIN)%`. Keys that OpenTelemetry defines have
//! its names.

/// Position of a decided request in its fallback chain. It is in no header, so that no backend sees it, and access logs have
/// no use for it.
pub const CHAIN: &str = "pointsman.chain";
/// The client's headers that attempts removed, for an attempt at a backend that may see them. Never to be logged.
pub const WITHHELD: &str = "pointsman.withheld";

/// The values that a router sets for access logs and spans: every one that is known, or none. [`CHAIN`] and [`WITHHELD`] are
/// not among them: attempts need these, and they are always set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FilterState {
    /// Those of [`ALL`].
    #[default]
    All,
    /// None: nothing prints them, so that no request pays for them.
    None,
}

impl FilterState {
    /// Whether values are set.
    pub fn is_on(self) -> bool {
        self == FilterState::All
    }
}

super::names! {
    /// Every key for access logs and its meaning. Each is set before Envoy ends the request's span, if the answer came to
    /// its end.
    ALL:
    MODEL = "pointsman.model", "The chosen model.";
    BACKEND = "pointsman.backend", "The chosen backend.";
    PROFILE = "pointsman.profile", "The profile whose objective was used.";
    REASON = "pointsman.reason",
        "The reason of the decision; `fallback` if another backend answered than the chosen one; the code of a rejection; or `bypass_` with the cause.";
    TASK = "pointsman.task",
        "The most probable task; absent if the decision did not depend on it, as for a model that the client names.";
    RULE = "pointsman.rule",
        "The rules that applied, joined by commas, spent budgets among them; absent if none did.";
    TENANT = "pointsman.tenant",
        "The tenant, if the policy says where to find it: by name if a rule or a budget names it, else `hash:` and a hash; see `shown` of [tenant](policy.md#tenant).";
    DIFFICULTY = "pointsman.difficulty", "Difficulty of the prompt, in logits.";
    STAGE = "pointsman.stage",
        "The stage that decided: `classifier`, or `judge` if its grade counted; absent unless the policy has a judge.";
    JUDGE_GRADE = "pointsman.judge_grade",
        "The judge's grade from 0 (hardest) to 1 (easiest); absent if there is none.";
    JUDGE_RESULT = "pointsman.judge_result",
        "The end of the question to the judge, as `judge_questions` counts it, or the reason why it was not asked; absent unless the policy has a judge.";
    JUDGE_MS = "pointsman.judge_ms",
        "Milliseconds from the question to the judge to its reply; absent if it was not asked.";
    JUDGE_COST_USD = "pointsman.judge_cost_usd",
        "Price of the question to the judge, in USD; absent if it was not asked.";
    ESTIMATED_COST_USD = "pointsman.estimated_cost_usd", "Expected price of the exchange in USD.";
    COST_USD = "pointsman.cost_usd",
        "Price of the tokens that the exchange took, in USD; absent if the answer does not report them.";
    SAVED_USD = "pointsman.saved_usd",
        "Saving against the policy's `baseline`, in USD; negative if the baseline would have cost less.";
    TIME_TO_FIRST_TOKEN_MS = "pointsman.time_to_first_token_ms",
        "Milliseconds from reading the request to the first bytes of a streamed answer.";
    POLICY_VERSION = "pointsman.policy_version",
        "Version of the policy that was in force for this request.";
    OPERATION = "gen_ai.operation.name",
        "The operation: `chat`, `text_completion`, `embeddings` or `count_tokens`.";
    PROVIDER = "gen_ai.provider.name",
        "The provider of the backend that answered, as its `provider` says; of a rejection, the provider whose API the client speaks.";
    REQUEST_MODEL = "gen_ai.request.model",
        "The model or profile that the client asked for, if the policy has it.";
    RESPONSE_MODEL = "gen_ai.response.model",
        "The name under which the backend that answered serves the model.";
    INPUT_TOKENS = "gen_ai.usage.input_tokens", "Input tokens, cached ones included.";
    CACHED_INPUT_TOKENS = "gen_ai.usage.cache_read.input_tokens",
        "Input tokens that the backend read from its cache.";
    CACHE_WRITE_TOKENS = "gen_ai.usage.cache_creation.input_tokens",
        "Input tokens that the backend wrote to its cache; absent if there are none.";
    OUTPUT_TOKENS = "gen_ai.usage.output_tokens", "Output tokens, those of reasoning included.";
    REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens",
        "Output tokens that were reasoning; absent if there are none.";
    FINISH_REASONS = "gen_ai.response.finish_reasons",
        "The reasons why the answer ended, in the API's words, joined by commas if it has several choices; `other` for a word that no API has.";
    ERROR_TYPE = "error.type",
        "The error; absent if there was none. The code of a rejection; the status of an error; `no_response` if none came before the client left; `response_incomplete` if the client left later or the backend broke off; `stream_truncated` if the backend ended the stream too early; `error_in_response` if the answer itself reports an error.";
    SERVER_ADDRESS = "server.address",
        "The host of the backend that answered; absent if the policy does not state its `endpoint`.";
    SERVER_PORT = "server.port", "The port of that host.";
    RECEIPT = "pointsman.receipt",
        "The receipt of the decision, whichever backend answered; absent if the policy makes none, or there was no answer.";
    OUTCOME = "pointsman.outcome",
        "The result of the checks of the answer: `passed`, or `empty`, `truncated`, `invalid_json` or `invalid_tool_arguments`; absent unless the policy learns, and of answers that cannot be judged.";
    FEEDBACK = "pointsman.feedback",
        "Of a request with feedback the items that were taken, separated by spaces: `RECEIPT=SCORE`, or `RECEIPT>RECEIPT` with the better answer first.";
    MODE = "pointsman.mode", "`shadow` if the decision was only reported.";
}

/// Keys whose values are numbers. Envoy writes them as texts, by OTLP too.
pub const NUMBERS: &[&str] = &[
    DIFFICULTY,
    JUDGE_GRADE,
    JUDGE_MS,
    JUDGE_COST_USD,
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

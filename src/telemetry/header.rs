//! Header names. A client's own headers under [`PREFIX`] are removed.

/// Prefix of every header that Pointsman sets.
pub const PREFIX: &str = "x-pointsman-";
/// Request header that names the upstream cluster, unless the plugin configuration names another.
pub const CLUSTER: &str = "x-pointsman-cluster";
/// Request header with the number of backends in the fallback chain, for routes that state what follows a failed attempt.
pub const CHAIN: &str = "x-pointsman-chain";
/// Request header of a streamed answer: the longest pause within it in milliseconds, for routes that must allow it.
pub const STREAM: &str = "x-pointsman-stream";
/// Value of [`SCHEMA_VERSION`] that this module writes.
pub const SCHEMA: &str = "1";
/// Envoy's own count of attempts, which its router adds to responses if it is configured to.
pub const ENVOY_ATTEMPTS: &str = "x-envoy-attempt-count";

super::names! {
    /// Every response header and its meaning. `minimal` shows the first two.
    RESPONSE:
    MODEL = "x-pointsman-model", "The chosen model.";
    BACKEND = "x-pointsman-backend", "The chosen backend.";
    SCHEMA_VERSION = "x-pointsman-schema-version", "Version of this list of headers.";
    POLICY_VERSION = "x-pointsman-policy-version",
        "Version of the policy that was in force for this request.";
    PROFILE = "x-pointsman-profile", "The profile whose objective was used.";
    RULE = "x-pointsman-rule",
        "The rules that applied, joined by commas, `budget:` and the name of each spent budget among them; absent if none did.";
    REASON = "x-pointsman-reason",
        "The reason for this candidate; `fallback` if another backend answered than the chosen one; `bypass_` with the cause if nothing was decided; or the code of a rejection.";
    STEERING = "x-pointsman-steering",
        "The client's preferences that were honoured, by name, and with `=ignored` those that are invalid or have no effect here, such as the models of a client that pins one, or models of which the rules leave none; absent if there were none.";
    DIFFICULTY = "x-pointsman-difficulty",
        "Difficulty of the prompt in logits; absent if the model was pinned.";
    STAGE = "x-pointsman-stage",
        "The stage that decided: `classifier`, or `judge` if its grade counted; absent unless the policy has a judge.";
    JUDGE = "x-pointsman-judge",
        "The judge's grade from 0 (hardest) to 1 (easiest), or why there is none, and how long it took: `0.625;ms=84`, `0.625;cached`, `timeout;ms=150`; `not_asked;reason=share` if it was not asked; absent unless the policy has a judge.";
    QUALITY = "x-pointsman-quality",
        "Expected probability of a correct answer; absent if the model was pinned.";
    ESTIMATED_COST_USD = "x-pointsman-estimated-cost-usd",
        "Expected price of the exchange in USD.";
    DECISION_US = "x-pointsman-decision-us",
        "Microseconds from reading the body to having written the decision.";
    ATTEMPTS = "x-pointsman-attempts", "Upstream attempts that the answer took.";
    RECEIPT = "x-pointsman-receipt",
        "The receipt of the decision, for `POST /v1/feedback`; absent unless `receipts` of the policy is `on`, and of errors, token counts and embeddings.";
    MODE = "x-pointsman-mode",
        "`shadow` if all this was only reported and the request went to the default cluster; absent otherwise.";
}

//! The policy as it is written: which fields there are, what may stand in them, what they mean and what holds without them.
//!
//! These tables are the only place that says so. `shape` checks documents against them; the JSON Schema and the
//! documentation are made from them.

mod fleet;

pub use fleet::{BACKEND, FIRST_TOKEN, LATENCY, PRICE};

use super::source_calibration;
use super::source_rules::RULE;
use super::source_traffic as traffic;
use crate::fleet::ability::BENCHMARKS;
use crate::schema::shape::{Kind, Shape, optional, required};

const POSITIVE_TOKENS: Kind = Kind::Integer {
    min: 1.0,
    max: 100_000_000.0,
};
/// A model that thinks writes some times its answer, never less than it.
const REASONING_TOKENS_FACTOR: Kind = Kind::Number {
    min: 1.0,
    max: 100.0,
};
pub(super) const FRACTION: Kind = Kind::Number { min: 0.0, max: 1.0 };
pub(super) const AT_LEAST_ZERO: Kind = Kind::Number {
    min: 0.0,
    max: f64::INFINITY,
};
/// Up to 24 hours: beyond it a limit is surely in the wrong unit.
pub(super) const MILLISECONDS: Kind = Kind::Number {
    min: 0.0,
    max: 86_400_000.0,
};

/// The names of [`crate::api::Capabilities`].
const CAPABILITIES: &[&str] = &[
    "tools",
    "vision",
    "audio",
    "json_mode",
    "json_schema",
    "reasoning",
    "files",
];

/// The names of [`super::profile::Limit`].
pub(super) const LIMIT_NAMES: &[&str] = &[
    "max_first_token_p99_ms",
    "max_first_token_p50_ms",
    "max_p50_ms",
    "max_p99_ms",
    "max_cost_usd",
    "max_quality_loss",
    "min_quality",
];

/// The names of [`crate::analysis::classifier::Task`].
pub(super) const TASKS: &[&str] = &[
    "chat",
    "knowledge_qa",
    "math",
    "reasoning",
    "code",
    "creative_writing",
    "summarization",
    "translation",
    "rewriting",
    "extraction",
    "classification",
];

/// The names of [`crate::analysis::classifier::Domain`].
pub(super) const DOMAINS: &[&str] = &[
    "general",
    "medical",
    "legal",
    "finance",
    "science",
    "technology",
    "mathematics",
    "humanities",
];

/// The names of [`crate::analysis::sensitivity::Sensitivity`].
pub(super) const SENSITIVE: &[&str] = &["email", "phone", "card", "iban", "national_id", "secret"];

/// Logits beyond these are surely in another unit.
pub(super) const DIFFICULTY: Kind = Kind::Number {
    min: -20.0,
    max: 20.0,
};

/// The whole document.
pub const POLICY: Shape = Shape {
    name: "policy",
    doc: "What the operator wants: which models there are, where they run, and what counts when one is chosen.",
    fields: &[
        optional(
            "version",
            Kind::Text,
            "a hash of the text",
            "The operator's name for this version, shown in logs, metrics and headers.",
        ),
        super::revision::FIELD,
        optional(
            "default_cluster",
            Kind::Text,
            "the cluster of the first backend",
            "The Envoy cluster for requests that no decision is made on.",
        ),
        optional(
            "default_profile",
            Kind::Text,
            "`auto`",
            "The profile for requests that name no model.",
        ),
        traffic::UNDECIDED_FIELD,
        traffic::UNKNOWN_MODEL_FIELD,
        optional(
            "decision_headers",
            Kind::Choice(&["off", "minimal", "full"]),
            "`full`",
            "How much of a decision clients see in response headers.",
        ),
        optional(
            "latency_source",
            Kind::Choice(&["observed", "declared"]),
            "`observed`",
            "What decisions go by: `observed` corrects the stated latencies by what the backends' answers take, and passes over backends that fail; `declared` does neither.",
        ).formerly(&["latencies"]).formerly_with(&[("stated", "declared")]),
        optional(
            "max_body_bytes",
            Kind::Integer {
                min: 1024.0,
                max: 67_108_864.0,
            },
            "`1048576`",
            "The most bytes of a body that are read as a whole; of a longer one the first part decides, and its short fields (`model`, `max_tokens`, `user`) wherever they stand.",
        ),
        optional(
            "max_scan_bytes",
            Kind::Integer {
                min: 1024.0,
                max: 67_108_864.0,
            },
            "`8388608`",
            "The most bytes of a body that Envoy holds back while its `model` and other short fields are looked for. Not more than Envoy's own buffer limits (listener and virtual host), beyond which it answers 413 to a body that is held. A body that states a longer `content-length` is decided on by its first part alone.",
        ),
        optional(
            "baseline",
            Kind::Text,
            "no savings are counted",
            "The model that requests would go to without a router: what they cost is held against what they would have cost at the first backend of this model.",
        ),
        optional(
            "stream_usage",
            Kind::Choice(&["on_request", "always"]),
            "`on_request`",
            "Whether streams of OpenAI's chat and completions APIs tell their usage: only where the client asks by `stream_options.include_usage`, or always, so that each is priced; who did not ask is not shown the event that tells it.",
        ).formerly_with(&[("as_asked", "on_request")]),
        required(
            "models",
            Kind::List {
                of: &Kind::Object(&MODEL),
                min: 1,
            },
            "The logical models that clients can ask for.",
        ),
        required(
            "backends",
            Kind::List {
                of: &Kind::Object(&BACKEND),
                min: 1,
            },
            "The deployments of the models.",
        ),
        optional(
            "profiles",
            Kind::Map {
                of: &Kind::Object(&PROFILE),
                keys: &[],
            },
            "`auto`, `auto:cheap`, `auto:fast` and `auto:best`, which are always there",
            "Named objectives that clients ask for as their `model`.",
        ),
        optional(
            "rules",
            Kind::List {
                of: &Kind::Object(&RULE),
                min: 0,
            },
            "none",
            "What holds for some requests only.",
        ),
        traffic::TENANT_FIELD,
        traffic::STEERING_FIELD,
        traffic::MODE_FIELD,
        traffic::EXPLORE_FIELD,
        traffic::STICKINESS_FIELD,
        traffic::FOREIGN_STATE_FIELD,
        traffic::BUDGETS_FIELD,
        traffic::ROUTE_ENDPOINT_FIELD,
        traffic::MODELS_ENDPOINT_FIELD,
        traffic::UNSEEN_MODEL_FIELD,
    ],
};

/// One of `models`.
pub const MODEL: Shape = Shape {
    name: "model",
    doc: "A logical LLM.",
    fields: &[
        required(
            "name",
            Kind::Text,
            "What clients ask for to get this model and no other.",
        ),
        optional(
            "context_window",
            POSITIVE_TOKENS,
            "`8192`",
            "The most tokens of input and output together.",
        ),
        optional(
            "max_output_tokens",
            POSITIVE_TOKENS,
            "the context window",
            "The most tokens of one answer.",
        ),
        optional(
            "reasoning_tokens_factor",
            REASONING_TOKENS_FACTOR,
            "`1`",
            "Output tokens that the model writes per token of the answer that the client sees: above 1 for a model that reasons in hidden tokens. They are paid for, take time and count towards `max_tokens`.",
        ),
        optional(
            "capabilities",
            Kind::List {
                of: &Kind::Choice(CAPABILITIES),
                min: 0,
            },
            "`[\"tools\", \"json_mode\", \"json_schema\"]`",
            "What the model can do besides answering text with text.",
        ),
        optional(
            "benchmarks",
            Kind::Map {
                of: &FRACTION,
                keys: BENCHMARKS,
            },
            "those of `models/benchmarks.json` where the name is known there, else those of an average model",
            "Public benchmark scores, 0 to 1, which place the model among the others; what is missing is inferred.",
        ),
        optional(
            "calibration",
            Kind::Object(&source_calibration::CALIBRATION),
            "none",
            "What labelled prompts of one's own say beside the benchmark scores; `pointsman calibrate` writes it.",
        ),
        traffic::ALIASES_FIELD,
        traffic::MAX_SHARE_FIELD,
        traffic::MIN_SHARE_FIELD,
    ],
};

/// One of `profiles`.
pub const PROFILE: Shape = Shape {
    name: "profile",
    doc: "A named objective. Among the candidates that keep its limits the one with the least weighted sum of cost, latency and lost quality is chosen.",
    fields: &[
        optional(
            "weights",
            Kind::Object(&WEIGHTS),
            "those of the built-in profile of this name, else of `auto`",
            "How much cost, latency and quality count against each other.",
        ),
        optional(
            "limits",
            Kind::Object(&LIMITS),
            "those of the built-in profile of this name, else none",
            "What a candidate must keep to be chosen.",
        ),
        optional(
            "relax",
            Kind::List {
                of: &Kind::Choice(LIMIT_NAMES),
                min: 0,
            },
            "every limit, in the order of the table of limits",
            "Which limits give way, first one first, where no candidate keeps all of them, each no further than needed. A limit that is not listed never gives way: the request is refused.",
        ).formerly_with(&[("within_of_best", "max_quality_loss")]),
        optional(
            "tags",
            Kind::List {
                of: &Kind::Text,
                min: 0,
            },
            "none",
            "Tags that a backend must have to be considered.",
        ),
        super::warming::PROFILE_RAMP_FIELD,
    ],
};

/// `weights` of a profile.
pub const WEIGHTS: Shape = Shape {
    name: "weights",
    doc: "Only their ratio counts. With equal weights ten times the cost, ten times the latency and the loss of a tenth of the correct answers weigh about the same.",
    fields: &[
        optional(
            "cost",
            AT_LEAST_ZERO,
            "`0`",
            "Weight of the estimated cost.",
        ),
        optional(
            "latency",
            AT_LEAST_ZERO,
            "`0`",
            "Weight of the estimated median time to the whole answer.",
        ),
        optional(
            "quality",
            AT_LEAST_ZERO,
            "`0`",
            "Weight of the probability of a correct answer.",
        ),
    ],
};

/// `limits` of a profile.
pub const LIMITS: Shape = Shape {
    name: "limits",
    doc: "Each is kept by every candidate that is chosen, unless no candidate keeps them all.",
    fields: &[
        optional(
            "max_first_token_p99_ms",
            MILLISECONDS,
            "no limit",
            "The most that the 99th percentile of the time to the first token may be, in milliseconds.",
        ),
        optional(
            "max_first_token_p50_ms",
            MILLISECONDS,
            "no limit",
            "The most that the median time to the first token may be, in milliseconds.",
        ),
        optional(
            "max_p50_ms",
            MILLISECONDS,
            "no limit",
            "The most that the median time to the whole answer may be, in milliseconds.",
        ),
        optional(
            "max_p99_ms",
            MILLISECONDS,
            "no limit",
            "The most that the 99th percentile of the time to the whole answer may be, in milliseconds.",
        ),
        optional(
            "max_cost_usd",
            AT_LEAST_ZERO,
            "no limit",
            "The most that a request may be expected to cost, in USD.",
        ),
        optional(
            "max_quality_loss",
            FRACTION,
            "no limit",
            "How much less probable a correct answer may be than from the best candidate, as a fraction of the best: 0.05 gives up one correct answer in twenty.",
        ).formerly(&["within_of_best"]),
        optional(
            "min_quality",
            FRACTION,
            "no limit",
            "The least probability of a correct answer.",
        ),
    ],
};

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::analysis::classifier::{Domain, Task};
    use crate::analysis::sensitivity::Sensitivity;
    use crate::api::Capabilities;
    use crate::policy::profile::Limit;

    #[test]
    fn the_names_are_those_of_the_types() {
        let capabilities: Vec<&str> = Capabilities::NAMES.iter().map(|(name, _)| *name).collect();
        assert_eq!(CAPABILITIES, capabilities);
        let limits: Vec<&str> = Limit::ALL.iter().map(|limit| limit.name()).collect();
        assert_eq!(LIMIT_NAMES, limits);
        let fields: Vec<&str> = LIMITS.fields.iter().map(|field| field.name).collect();
        assert_eq!(LIMIT_NAMES, fields);
        let tasks: Vec<&str> = Task::ALL.iter().map(|task| task.name()).collect();
        assert_eq!(TASKS, tasks);
        let domains: Vec<&str> = Domain::ALL.iter().map(|domain| domain.name()).collect();
        assert_eq!(DOMAINS, domains);
        let kinds: Vec<&str> = Sensitivity::NAMES.iter().map(|(name, _)| *name).collect();
        assert_eq!(SENSITIVE, kinds);
    }
}

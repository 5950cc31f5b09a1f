//! Backends as they are written: what they speak, what they cost, how fast they are.

use super::{AT_LEAST_ZERO, MILLISECONDS};
use crate::policy::reach::{self, CLIENT_ADDRESS_FIELD, CLIENT_CREDENTIALS_FIELD, CREDENTIALS};
use crate::policy::timeouts::TIMEOUTS;
use crate::policy::warming;
use crate::schema::shape::{Kind, Shape, optional, required};

/// The names of [`crate::fleet::Accelerator`].
const ACCELERATORS: &[&str] = &["gpu", "cpu", "lpu", "serverless"];

/// The names of [`crate::api::Api`].
const APIS: &[&str] = &[
    "openai_chat",
    "openai_responses",
    "openai_completions",
    "openai_embeddings",
    "anthropic_messages",
];

/// One of `backends`.
pub const BACKEND: Shape = Shape {
    name: "backend",
    doc: "One deployment of a model: an Envoy cluster.",
    fields: &[
        required("name", Kind::Text, "Its name in metrics, headers and logs."),
        optional(
            "cluster",
            Kind::Text,
            "the backend's name",
            "The Envoy cluster that its requests go to.",
        ),
        required("model", Kind::Text, "The name of the model that it serves."),
        optional(
            "served_model",
            Kind::Text,
            "the model's name",
            "The name under which this deployment knows the model; written into the request.",
        )
        .formerly(&["serves"]),
        optional(
            "accelerator",
            Kind::Choice(ACCELERATORS),
            "`gpu`",
            "What it runs on.",
        ),
        required("price", Kind::Object(&PRICE), "What its tokens cost."),
        optional(
            "latency",
            Kind::Object(&LATENCY),
            "a first token in 500 ms (p99 1500 ms), then 50 tokens per second",
            "How fast it answers.",
        ),
        optional(
            "timeouts",
            Kind::Object(&TIMEOUTS),
            "limits that follow from `latency`, and 5 minutes for a pause",
            "How long it may keep silent before it is given up.",
        ),
        optional(
            "apis",
            Kind::List {
                of: &Kind::Choice(APIS),
                min: 1,
            },
            "`[\"openai_chat\"]`",
            "The APIs that it speaks. Requests of other APIs are never sent to it; nothing is translated.",
        ),
        optional(
            "tags",
            Kind::List {
                of: &Kind::Text,
                min: 0,
            },
            "none",
            "The operator's own labels, such as `on-prem` or `eu`, which profiles can require.",
        ),
        optional(
            "endpoint",
            Kind::Text,
            "the cluster is defined elsewhere",
            "Where `pointsman render` finds it: `http://HOST:PORT` or `https://HOST`, with a path that goes before each request's own where it needs one.",
        ),
        optional(
            "provider",
            Kind::Text,
            "that of a known `endpoint`, else whose API it speaks: `openai` or `anthropic`",
            "Who runs it, as `gen_ai.provider.name` of access logs and spans says, in OpenTelemetry's words where it has one: `openai`, `anthropic`, `aws.bedrock`, `azure.ai.openai`, `gcp.gemini`, `gcp.vertex_ai`, `groq`, `mistral_ai`, …; for one's own, such as `vllm`.",
        ),
        optional(
            "health",
            Kind::Text,
            "it is judged by its answers alone",
            "A path that answers 200 while it is well, such as `/health`: `pointsman render` has Envoy ask it.",
        ),
        optional(
            "credentials",
            Kind::Object(&CREDENTIALS),
            "none of its own; see `client_credentials`",
            "What proves to it who is asking.",
        ),
        CLIENT_CREDENTIALS_FIELD,
        CLIENT_ADDRESS_FIELD,
        reach::STATE_SCOPE_FIELD,
        warming::COLD_AFTER_FIELD,
        warming::COLD_START_FIELD,
        warming::PREWARM_FIELD,
        warming::RAMP_FIELD,
    ],
};

/// `price` of a backend.
pub const PRICE: Shape = Shape {
    name: "price",
    doc: "What tokens cost, in USD per 1,000,000 tokens. For hardware of one's own: its cost per hour divided by what it serves.",
    fields: &[
        required("input", AT_LEAST_ZERO, "Tokens of the request."),
        optional(
            "cached_input",
            AT_LEAST_ZERO,
            "the price of `input`",
            "Tokens of the request that the backend had cached.",
        ),
        optional(
            "cache_write",
            AT_LEAST_ZERO,
            "the price of `input`",
            "Tokens of the request that the backend put into its cache, where it says so.",
        ),
        optional(
            "cache_write_1h",
            AT_LEAST_ZERO,
            "the price of `cache_write`",
            "Those of them that it keeps for an hour, where it tells them apart, as Anthropic does.",
        ),
        required("output", AT_LEAST_ZERO, "Tokens of the answer."),
    ],
};

/// `latency` of a backend.
pub const LATENCY: Shape = Shape {
    name: "latency",
    doc: "How fast a backend answers under its usual load.",
    fields: &[
        optional(
            "first_token_ms",
            Kind::Object(&FIRST_TOKEN),
            "`{\"p50\": 500}`",
            "Time to the first token of the answer.",
        ),
        optional(
            "tokens_per_second",
            Kind::Number {
                min: 0.1,
                max: 100_000.0,
            },
            "`50`",
            "Tokens of the answer per second after the first.",
        ),
    ],
};

/// `first_token_ms` of a backend's latency.
pub const FIRST_TOKEN: Shape = Shape {
    name: "first token",
    doc: "Time to the first token, in milliseconds.",
    fields: &[
        required("p50", MILLISECONDS, "The median."),
        optional(
            "p99",
            MILLISECONDS,
            "three times the median",
            "The 99th percentile.",
        ),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Api;
    use crate::fleet::Accelerator;

    #[test]
    fn the_names_are_those_of_the_types() {
        let accelerators: Vec<&str> = Accelerator::ALL.iter().map(|one| one.name()).collect();
        assert_eq!(ACCELERATORS, accelerators);
        let apis: Vec<&str> = Api::ALL.iter().map(|api| api.name()).collect();
        assert_eq!(APIS, apis);
    }
}

//! Backends: their fields and compilation. One file per subject: endpoint, credentials, price, provider, timeouts.

pub(crate) mod credentials;
pub(crate) mod endpoint;
pub(crate) mod lint;
pub(crate) mod price;
pub(crate) mod provider;
pub(crate) mod timeouts;

use crate::api::{Api, Apis};
use crate::decimal::shortest;
use crate::fleet::{Accelerator, Backend, Latency, Model, ModelId};
use crate::policy::backends::credentials::{
    CLIENT_ADDRESS_FIELD, CLIENT_CREDENTIALS_FIELD, CREDENTIALS, compile_client_headers,
    compile_credentials, fill_in_client_headers,
};
use crate::policy::backends::endpoint::{
    STATE_SCOPE_FIELD, check_cluster, compile_endpoint, compile_health, compile_state_scope,
};
use crate::policy::backends::price::{PRICE, compile_price};
use crate::policy::backends::provider::compile_provider;
use crate::policy::backends::timeouts::{TIMEOUTS, compile_timeouts};
use crate::policy::scaling::{
    COLD_START_FIELD, PREWARM_FIELD, RAMP_FIELD, SCALE_TO_ZERO_FIELD, compile_ramp,
    compile_scale_to_zero,
};
use crate::schema::document::Node;
use crate::schema::problems::{Problems, check_unique};
use crate::schema::shape::{Kind, MILLISECONDS, Shape, optional, required};
use crate::schema::suggest::unknown;

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

const DEFAULT_FIRST_TOKEN_MS: f32 = 500.0;

const DEFAULT_FIRST_TOKEN_SPREAD: f32 = 3.0;

const DEFAULT_TOKENS_PER_SECOND: f32 = 50.0;

/// One of `backends`.
pub const BACKEND: Shape = Shape {
    name: "backend",
    doc: "One deployment of a model: an Envoy cluster.",
    fields: &[
        required(
            "name",
            Kind::Text,
            "The backend's name in metrics, headers and logs.",
        ),
        optional(
            "cluster",
            Kind::Text,
            "the backend's name",
            "The Envoy cluster for its requests.",
        ),
        required("model", Kind::Text, "The name of its model."),
        optional(
            "served_model",
            Kind::Text,
            "the model's name",
            "The deployment's own name for the model. Pointsman writes it into the request.",
        )
        .formerly(&["serves"]),
        optional(
            "accelerator",
            Kind::Choice(ACCELERATORS),
            "`gpu`",
            "The hardware.",
        ),
        required("price", Kind::Object(&PRICE), "The prices of its tokens."),
        optional(
            "latency",
            Kind::Object(&LATENCY),
            "a first token in 500 ms (p99 1500 ms), then 50 tokens per second",
            "Its speed under the usual load.",
        ),
        optional(
            "timeouts",
            Kind::Object(&TIMEOUTS),
            "limits that follow from `latency`, and 5 minutes for a pause",
            "How long the backend may stay silent before the attempt ends.",
        ),
        optional(
            "apis",
            Kind::List {
                of: &Kind::Choice(APIS),
                min: 1,
            },
            "`[\"openai_chat\"]`",
            "The APIs that it supports. It never gets requests of other APIs; nothing is translated.",
        ),
        optional(
            "tags",
            Kind::List {
                of: &Kind::Text,
                min: 0,
            },
            "none",
            "Your own labels, such as `on-prem` or `eu`. Profiles and rules can require them.",
        ),
        optional(
            "endpoint",
            Kind::Text,
            "the cluster is defined elsewhere",
            "The address, for `pointsman render`: `http://HOST:PORT` or `https://HOST`, with an optional path that is put before the path of each request.",
        ),
        optional(
            "provider",
            Kind::Text,
            "that of a known `endpoint`, else the family of its APIs: `openai` or `anthropic`",
            "The provider, for `gen_ai.provider.name` of access logs and spans, preferably in OpenTelemetry's words: `openai`, `anthropic`, `aws.bedrock`, `azure.ai.openai`, `gcp.gemini`, `gcp.vertex_ai`, `groq`, `mistral_ai`, …; for your own servers a name such as `vllm`.",
        ),
        optional(
            "health",
            Kind::Text,
            "its answers alone show its health",
            "A path that answers 200 while the backend is healthy, such as `/health`. `pointsman render` adds a health check for it.",
        ),
        optional(
            "credentials",
            Kind::Object(&CREDENTIALS),
            "none of its own; see `client_credentials`",
            "The credentials that Pointsman presents to the backend.",
        ),
        CLIENT_CREDENTIALS_FIELD,
        CLIENT_ADDRESS_FIELD,
        STATE_SCOPE_FIELD,
        SCALE_TO_ZERO_FIELD,
        COLD_START_FIELD,
        PREWARM_FIELD,
        RAMP_FIELD,
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

#[inline(never)]
pub(crate) fn compile_backends(
    root: &Node,
    models: &[Model],
    problems: &mut Problems<'_>,
) -> Vec<Backend> {
    let nodes = root.items_of("backends");
    check_unique(nodes, "backends", problems);
    let backends = nodes.iter().enumerate().map(|(index, node)| {
        let name = node.text_of("name").unwrap_or_default();
        let model_name = node.text_of("model").unwrap_or_default();
        let model = find_model(node, index, models, problems);
        let latency = compile_latency(node.get("latency"), index, problems);
        let named = if node.get("cluster").is_some() {
            "cluster"
        } else {
            "name"
        };
        if let Some(node) = node.get(named) {
            let name = node.text().unwrap_or_default();
            check_cluster(node, name, &format!("backends[{index}].{named}"), problems);
        }
        let apis = compile_apis(node);
        let cluster = node.text_of("cluster").unwrap_or(name);
        let endpoint = compile_endpoint(node, index, problems);
        let credentials = compile_credentials(node, &format!("backends[{index}]"), problems);
        let (at, account) = (endpoint.as_ref(), credentials.as_ref());
        Backend {
            state_scope: compile_state_scope(node, cluster, at, account),
            name: name.to_owned(),
            cluster: cluster.to_owned(),
            model: model.unwrap_or(ModelId(0)),
            served_model: node
                .text_of("served_model")
                .unwrap_or(model_name)
                .to_owned(),
            accelerator: node
                .text_of("accelerator")
                .and_then(Accelerator::find)
                .unwrap_or(Accelerator::Gpu),
            price: compile_price(node.get("price")),
            timeouts: compile_timeouts(node, &latency, index, problems),
            latency,
            provider: compile_provider(node, endpoint.as_ref(), apis),
            apis,
            tags: node.sorted_texts_of("tags"),
            endpoint,
            health: compile_health(node, index, problems),
            credentials,
            client: compile_client_headers(node),
            cold: compile_scale_to_zero(node, index, problems),
            ramp: compile_ramp(node, index, problems),
        }
    });
    let mut backends: Vec<Backend> = backends.collect();
    fill_in_client_headers(&mut backends);
    backends
}

/// The model of the backend at `index`; adds a problem if the policy has no such model.
fn find_model(
    node: &Node,
    index: usize,
    models: &[Model],
    problems: &mut Problems<'_>,
) -> Option<ModelId> {
    let name = node.text_of("model").filter(|name| !name.is_empty())?;
    let model = models.iter().position(|model| model.name == name);
    if model.is_none() {
        let known: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
        let path = format!("backends[{index}].model");
        problems.add(
            node.offset_of("model"),
            path,
            unknown("model", name, &known),
        );
    }
    model.map(|index| ModelId(index as u32))
}

fn compile_apis(node: &Node) -> Apis {
    node.get("apis")
        .map_or(Apis::only(Api::OpenAiChat), |list| {
            list.items()
                .iter()
                .filter_map(|item| Api::find(item.text()?))
                .fold(Apis::NONE, Apis::with)
        })
}

fn compile_latency(node: Option<&Node>, backend: usize, problems: &mut Problems<'_>) -> Latency {
    let first_token = node.and_then(|node| node.get("first_token_ms"));
    let number = |name| first_token.and_then(|node| node.number_of(name));
    let p50 = number("p50").map_or(DEFAULT_FIRST_TOKEN_MS, |number| number as f32);
    let p99 = number("p99").map_or(p50 * DEFAULT_FIRST_TOKEN_SPREAD, |number| number as f32);
    if let Some(first_token) = first_token
        && p99 < p50
    {
        let written = |name, value: f32| number(name).unwrap_or(value.into());
        problems.add(
            first_token.offset_of("p99"),
            format!("backends[{backend}].latency.first_token_ms.p99"),
            format!(
                "`{}` is less than the median of `{}`",
                shortest(written("p99", p99)),
                shortest(written("p50", p50)),
            ),
        );
    }
    Latency {
        first_token_p50_ms: p50,
        first_token_p99_ms: p99,
        tokens_per_second: node
            .and_then(|node| node.number_of("tokens_per_second"))
            .map_or(DEFAULT_TOKENS_PER_SECOND, |number| number as f32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Api;
    use crate::fleet::Accelerator;

    #[test]
    fn the_names_are_those_of_the_types() {
        let accelerators: Vec<&str> = Accelerator::ALL
            .iter()
            .map(|accelerator| accelerator.name())
            .collect();
        assert_eq!(ACCELERATORS, accelerators);
        let apis: Vec<&str> = Api::ALL.iter().map(|api| api.name()).collect();
        assert_eq!(APIS, apis);
    }
}

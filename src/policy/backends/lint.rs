//! Warnings about backends that concern more than one of them: a backend that another one beats, clusters in two places.

use crate::fleet::{Backend, Model, ModelId, Registry};
use crate::policy::backends::credentials::lint_credentials;
use crate::policy::backends::endpoint::lint_aggregate_names;
use crate::policy::backends::timeouts::lint_timeouts;
use crate::policy::rules::Rule;
use crate::policy::traffic::shares::ModelShare;
use crate::schema::document::Node;
use crate::schema::problems::Problems;
use crate::schema::suggest::quote;

/// The parts of a policy by which backends are compared.
pub(crate) struct Comparison<'a> {
    /// Models and backends.
    pub registry: &'a Registry,
    /// The rules.
    pub rules: &'a [Rule],
    /// The shares of models.
    pub shares: &'a [ModelShare],
}

/// Warns of each backend that some other one beats in everything: only a failure of that one ever brings it requests.
pub(crate) fn lint_dominated(policy: &Comparison<'_>, root: &Node, warnings: &mut Problems<'_>) {
    let registry = policy.registry;
    let nodes = root.get("backends").map_or(&[][..], Node::items);
    for (index, (backend, node)) in registry.backends.iter().zip(nodes).enumerate() {
        let better = registry
            .backends
            .iter()
            .find(|other| dominates(policy, other, backend) && !dominates(policy, backend, other));
        if let Some(better) = better {
            let message = format!(
                "{} is never the first choice under any profile: {} is at least as good, as fast and as cheap",
                quote(&backend.name),
                quote(&better.name)
            );
            warnings.add(node.at, format!("backends[{index}]"), message);
        }
    }
}

/// Whether `better` is at least as good as `other` for every request under every profile. (A client that pins the model of
/// `other` can still need it.)
fn dominates(policy: &Comparison<'_>, better: &Backend, other: &Backend) -> bool {
    let registry = policy.registry;
    let (Some(left), Some(right)) = (registry.model(better.model), registry.model(other.model))
    else {
        return false;
    };
    (better.model == other.model
        || (stands_in(left, right) && !is_singled_out(policy, better.model, other.model)))
        && better.apis.contains_all(other.apis)
        && better.price.input <= other.price.input
        && better.price.cached_input <= other.price.cached_input
        && better.price.output <= other.price.output
        && better.latency.first_token_p50_ms <= other.latency.first_token_p50_ms
        && better.latency.first_token_p99_ms <= other.latency.first_token_p99_ms
        && better.latency.tokens_per_second >= other.latency.tokens_per_second
        && other.tags.iter().all(|tag| better.tags.contains(tag))
}

/// Whether `better` can do all that `other` can, as well or better, for every prompt.
fn stands_in(better: &Model, other: &Model) -> bool {
    let skills = better.ability.skills.iter().zip(&other.ability.skills);
    // Fitted outcomes affect each prompt differently, so only equal ones can be compared.
    skills.clone().all(|(left, right)| left >= right)
        && better.ability.calibration == other.ability.calibration
        && better.ability.latent_factors == other.ability.latent_factors
        && better.capabilities.contains(other.capabilities)
        && better.context_window >= other.context_window
        && better.max_output_tokens >= other.max_output_tokens
        && better.reasoning_tokens_factor <= other.reasoning_tokens_factor
}

/// Whether the policy keeps some request from `better` that it leaves to `model`: by a rule, or by a share.
fn is_singled_out(policy: &Comparison<'_>, better: ModelId, model: ModelId) -> bool {
    let leaves = |models: &[ModelId]| models.contains(&model) && !models.contains(&better);
    let mut rules = policy.rules.iter();
    let mut shares = policy.shares.iter();
    rules.any(|rule| leaves(&rule.then.models))
        || shares.any(|share| {
            (share.model == better && share.most < 1.0)
                || (share.model == model && share.least > 0.0)
        })
}

/// Adds every warning about how backends are reached.
pub(crate) fn lint_reach(backends: &[Backend], root: &Node, warnings: &mut Problems<'_>) {
    let nodes = root.get("backends").map_or(&[][..], Node::items);
    for (index, (backend, node)) in backends.iter().zip(nodes).enumerate() {
        let path = format!("backends[{index}]");
        lint_credentials(backend, node, &path, warnings);
        lint_timeouts(backend, node, &path, warnings);
        let earlier = backends.iter().take(index);
        let mut twins = earlier.filter(|other| other.cluster == backend.cluster);
        if let Some(twin) = twins.find(|other| other.endpoint != backend.endpoint) {
            let message = format!(
                "{} has the same cluster and another endpoint: a cluster has one endpoint",
                quote(&twin.name)
            );
            warnings.add(
                node.offset_of("cluster"),
                format!("{path}.cluster"),
                message,
            );
        }
    }
    lint_aggregate_names(backends, nodes, warnings);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::policy::Policy;

    fn warnings(backends: &str) -> Vec<String> {
        let text = format!(
            r#"{{"models": [{{"name": "m", "benchmarks": {{"mmlu": 0.5}}}}], "backends": [{backends}]}}"#
        );
        let (_, warnings) = Policy::check(&text).unwrap();
        warnings.iter().map(ToString::to_string).collect()
    }

    fn backend(name: &str, members: &str) -> String {
        format!(
            r#"{{"name": "{name}", "model": "m", "price": {{"input": 1, "output": 1}}, {members}}}"#
        )
    }

    #[test]
    fn secrets_that_go_nowhere_or_too_far_are_reported() {
        let keyed = |endpoint: &str| {
            warnings(&backend(
                "b",
                &format!(r#""credentials": {{"env": "K"}}{endpoint}"#),
            ))
        };
        assert!(
            keyed("")[0].starts_with("backends[0].credentials: its cluster is defined elsewhere")
        );
        for far in ["http://api.example.com/v1", "http://203.0.113.7"] {
            let found = keyed(&format!(r#", "endpoint": "{far}""#));
            assert!(found[0].contains("is sent unencrypted"), "{found:?}");
        }
        for near in [
            "https://api.example.com",
            "http://10.0.0.7:80",
            "http://vllm:8000",
            "http://v.llm.svc",
            "http://[::1]:80",
        ] {
            assert_eq!(
                keyed(&format!(r#", "endpoint": "{near}""#)),
                [""; 0],
                "{near}"
            );
        }
    }

    #[test]
    fn limits_and_places_that_contradict_are_reported() {
        let hasty = r#""latency": {"first_token_ms": {"p50": 500, "p99": 2000}}, "timeouts": {"first_token_ms": 1000}"#;
        let found = warnings(&backend("b", hasty));
        assert!(
            found[0].starts_with("backends[0].timeouts.first_token_ms: one request in a hundred")
        );
        let at = |name: &str, port: u16| {
            backend(
                name,
                &format!(r#""cluster": "c", "endpoint": "http://10.0.0.7:{port}""#),
            )
        };
        let found = warnings(&[at("a", 1), at("b", 2)].join(", "));
        assert!(found.iter().any(|text| text == "backends[1].cluster: `a` has the same cluster and another endpoint: a cluster has one endpoint"), "{found:?}");
        let found = warnings(&[at("a", 1), at("b", 1)].join(", "));
        assert!(
            !found.iter().any(|text| text.contains("elsewhere")),
            "{found:?}"
        );
    }

    #[test]
    fn limits_that_cannot_be_reached_are_errors() {
        let text = format!(
            r#"{{"models": [{{"name": "m"}}], "backends": [{}]}}"#,
            backend(
                "b",
                r#""timeouts": {"first_token_ms": 2000, "total_ms": 1000}"#
            )
        );
        let problems = Policy::compile(&text).unwrap_err().problems;
        let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "backends[0].timeouts.first_token_ms: `2000` is more than `total_ms`, which is `1000`"
            ]
        );
        let odd = text.replace("\"b\"", "\"b\", \"cluster\": \"ü\"");
        let problems = Policy::compile(&odd).unwrap_err().problems;
        assert!(problems.iter().any(|text| text.at == "backends[0].cluster"));
    }
}

//! Names of the metrics that tell what became of decided requests.

use super::{Metric, MetricKind};

/// Who answered a request, in the words of tags.
#[derive(Debug, Clone, Copy)]
pub struct Served<'a> {
    /// The model.
    pub model: &'a str,
    /// The backend.
    pub backend: &'a str,
    /// What it runs on.
    pub accelerator: &'a str,
    /// The profile that it was chosen by.
    pub profile: &'a str,
}

impl Metric {
    /// Decided requests that were answered with an error, or not at all.
    pub fn request_failures(served: &Served<'_>) -> Metric {
        Metric::served("pointsman.request_failures", served)
    }

    /// Tokens of requests, the cached ones included, as the answers state them.
    pub fn input_tokens(served: &Served<'_>) -> Metric {
        Metric::served("pointsman.input_tokens", served)
    }

    /// Those of them that the backend had cached.
    pub fn cached_input_tokens(served: &Served<'_>) -> Metric {
        Metric::served("pointsman.cached_input_tokens", served)
    }

    /// Those of them that the backend put into its cache.
    pub fn cache_write_tokens(served: &Served<'_>) -> Metric {
        Metric::served("pointsman.cache_write_tokens", served)
    }

    /// Tokens of answers, those of reasoning included.
    pub fn output_tokens(served: &Served<'_>) -> Metric {
        Metric::served("pointsman.output_tokens", served)
    }

    /// What answered requests cost, in billionths of a USD.
    pub fn cost(served: &Served<'_>) -> Metric {
        Metric::served("pointsman.cost_nano_usd", served)
    }

    /// What the same requests were expected to cost, in billionths of a USD.
    pub fn estimated_cost(served: &Served<'_>) -> Metric {
        Metric::served("pointsman.estimated_cost_nano_usd", served)
    }

    /// What the same requests would have cost at the policy's `baseline`, in billionths of a USD; the difference is what was saved.
    pub fn baseline_cost(served: &Served<'_>) -> Metric {
        Metric::served("pointsman.baseline_cost_nano_usd", served)
    }

    /// Time to the first bytes of a streamed answer, in milliseconds.
    pub fn time_to_first_token_ms(served: &Served<'_>) -> Metric {
        Metric::timed("pointsman.time_to_first_token_ms", served)
    }

    /// Time to the end of the answer, in milliseconds.
    pub fn request_duration_ms(served: &Served<'_>) -> Metric {
        Metric::timed("pointsman.request_duration_ms", served)
    }

    /// Answers of a backend that do not say what they took.
    pub fn usage_missing(backend: &str, cause: &str) -> Metric {
        let tags = [("backend", backend), ("cause", cause)];
        Metric::tagged(MetricKind::Counter, "pointsman.usage_missing", &tags)
    }

    /// Classified requests, by task and by the model that answered.
    pub fn requests_by_task(task: &str, model: &str) -> Metric {
        let tags = [("task", task), ("model", model)];
        Metric::tagged(MetricKind::Counter, "pointsman.requests_by_task", &tags)
    }

    /// Decisions and refusals that a rule had a part in, or a spent budget.
    pub fn rule_matches(rule: &str) -> Metric {
        Metric::tagged(
            MetricKind::Counter,
            "pointsman.rule_matches",
            &[("rule", rule)],
        )
    }

    /// What ended requests have put on a budget, in billionths of a USD: what they cost where that is known, else an estimate of
    /// what was sent and delivered. `tenant` is one that the budget names.
    pub fn budget_spent(budget: &str, tenant: Option<&str>) -> Metric {
        Metric::tagged(
            MetricKind::Counter,
            "pointsman.budget_spent_nano_usd",
            &[("budget", budget), ("tenant", tenant.unwrap_or("all"))],
        )
    }

    fn served(family: &str, served: &Served<'_>) -> Metric {
        Metric::tagged(
            MetricKind::Counter,
            family,
            &[
                ("model", served.model),
                ("backend", served.backend),
                ("accelerator", served.accelerator),
                ("profile", served.profile),
            ],
        )
    }

    fn timed(family: &str, served: &Served<'_>) -> Metric {
        Metric::tagged(
            MetricKind::Histogram,
            family,
            &[
                ("model", served.model),
                ("backend", served.backend),
                ("accelerator", served.accelerator),
            ],
        )
    }
}

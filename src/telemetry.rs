//! Every name by which operators and clients see Pointsman: headers, metrics, filter state. Data only.
//!
//! Envoy's wasm metrics carry no labels, so tags stand in the metric's name (`pointsman.request_bypasses.cause.no_policy`) and
//! [`STATS_TAGS`] holds the regular expressions with which Envoy takes them out again. Nothing here counts or sends.

mod backends;
pub mod faults;
mod served;
pub mod state;

use std::borrow::Cow;

pub use served::Served;

/// Header names. All of them are ours alone: what a client sends under [`header::PREFIX`] is removed.
pub mod header {
    /// What every header of ours starts with.
    pub const PREFIX: &str = "x-pointsman-";
    /// The header that names the upstream cluster, unless the plugin configuration names another.
    pub const CLUSTER: &str = "x-pointsman-cluster";
    /// At how many backends the request may be tried, so that a route can say what follows an attempt that fails.
    pub const CHAIN: &str = "x-pointsman-chain";
    /// Set where the answer is to be streamed: the longest pause within it, in milliseconds, so that a route can allow it.
    pub const STREAM: &str = "x-pointsman-stream";
    /// Version of this list of response headers.
    pub const SCHEMA_VERSION: &str = "x-pointsman-schema-version";
    /// The value of [`SCHEMA_VERSION`] that this module writes.
    pub const SCHEMA: &str = "1";
    /// The version of the policy that was in force.
    pub const POLICY_VERSION: &str = "x-pointsman-policy-version";
    /// The chosen model.
    pub const MODEL: &str = "x-pointsman-model";
    /// The chosen backend.
    pub const BACKEND: &str = "x-pointsman-backend";
    /// The profile whose objective was used.
    pub const PROFILE: &str = "x-pointsman-profile";
    /// The names of the rules that applied, in the policy's order, joined by commas.
    pub const RULE: &str = "x-pointsman-rule";
    /// Why: a decision's reason, or `bypass_` with the cause.
    pub const REASON: &str = "x-pointsman-reason";
    /// How the client's steering headers were taken.
    pub const STEERING: &str = "x-pointsman-steering";
    /// `shadow` where the decision was only reported.
    pub const MODE: &str = "x-pointsman-mode";
    /// What the classifier says of the prompt, in logits.
    pub const DIFFICULTY: &str = "x-pointsman-difficulty";
    /// Expected probability of a correct answer, 0 to 1.
    pub const QUALITY: &str = "x-pointsman-quality";
    /// Expected price of the exchange in USD.
    pub const ESTIMATED_COST_USD: &str = "x-pointsman-estimated-cost-usd";
    /// How many upstream attempts the answer took.
    pub const ATTEMPTS: &str = "x-pointsman-attempts";
    /// Envoy's own count of attempts, which its router adds to responses where it is told to.
    pub const ENVOY_ATTEMPTS: &str = "x-envoy-attempt-count";
    /// Time from reading the body to having written the decision, in microseconds.
    pub const DECISION_US: &str = "x-pointsman-decision-us";

    /// Every response header and what it says, in one sentence each; the first two are all that `minimal` shows.
    pub const RESPONSE: &[(&str, &str)] = &[
        (MODEL, "The chosen model."),
        (BACKEND, "The chosen backend."),
        (SCHEMA_VERSION, "Version of this list of headers."),
        (
            POLICY_VERSION,
            "Version of the policy that was in force for this request.",
        ),
        (PROFILE, "The profile whose objective was used."),
        (
            RULE,
            "The rules that applied, joined by commas, `budget:` and the name of each spent budget among them; absent where none did.",
        ),
        (
            REASON,
            "Why this candidate, `fallback` where another backend answered than the one decided on, `bypass_` with the cause where nothing was decided, or the code of a refusal.",
        ),
        (
            STEERING,
            "The client's wishes that were followed, by name, and with `=ignored` those that make no sense or mean nothing here, as the models of a client that asks for one, or none that the rules leave; absent where there were none.",
        ),
        (
            DIFFICULTY,
            "Difficulty of the prompt in logits; absent where the model was pinned.",
        ),
        (
            QUALITY,
            "Expected probability of a correct answer; absent where the model was pinned.",
        ),
        (ESTIMATED_COST_USD, "Expected price of the exchange in USD."),
        (
            DECISION_US,
            "Microseconds from reading the body to having written the decision.",
        ),
        (ATTEMPTS, "Upstream attempts that the answer took."),
        (
            MODE,
            "`shadow` where all this was only reported, and the request went to the default cluster; absent otherwise.",
        ),
    ];
}

/// What kind of number a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Is set.
    Gauge,
    /// Values are recorded one by one.
    Histogram,
}

/// One metric, its tags encoded in the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    /// What kind of number it is.
    pub kind: MetricKind,
    /// Its name without Envoy's `wasmcustom.` in front.
    pub name: Cow<'static, str>,
}

/// What is documented of a metric family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// Name without tags, as Envoy has it; Prometheus shows dots as underscores.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: MetricKind,
    /// Its tags, in the order in which they stand in the name.
    pub tags: &'static [&'static str],
    /// What it counts, in one sentence.
    pub help: &'static str,
}

/// Every metric family that this module defines.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "pointsman.decisions",
        kind: MetricKind::Counter,
        tags: &["model", "backend", "accelerator", "profile", "reason"],
        help: "Requests that were routed by a decision.",
    },
    Family {
        name: "pointsman.count_tokens_requests",
        kind: MetricKind::Counter,
        tags: &["model", "backend"],
        help: "Requests to count tokens that went to a backend; they are no decisions, and no metric of cost has them.",
    },
    Family {
        name: "pointsman.request_bypasses",
        kind: MetricKind::Counter,
        tags: &["cause"],
        help: "Requests on an LLM path that went to the default cluster undecided.",
    },
    Family {
        name: "pointsman.unrecognized_requests",
        kind: MetricKind::Counter,
        tags: &["cause"],
        help: "Requests that are nearly those of an LLM API (`path`, `method`, `websocket`), or whose body is none on a path that could be one's (`body`); what became of them is counted apart, or they went on as they were.",
    },
    Family {
        name: "pointsman.rejections",
        kind: MetricKind::Counter,
        tags: &["code"],
        help: "Requests that were answered with an error.",
    },
    Family {
        name: "pointsman.shadow_decisions",
        kind: MetricKind::Counter,
        tags: &["model", "backend", "accelerator", "profile", "reason"],
        help: "Requests that a policy in shadow mode would have routed so.",
    },
    Family {
        name: "pointsman.shadow_rejections",
        kind: MetricKind::Counter,
        tags: &["code"],
        help: "Requests that a policy in shadow mode would have answered with an error.",
    },
    Family {
        name: "pointsman.fallbacks",
        kind: MetricKind::Counter,
        tags: &["model", "backend"],
        help: "Requests that another backend answered than the one decided on; the labels name the one that did.",
    },
    Family {
        name: "pointsman.attempt_failures",
        kind: MetricKind::Counter,
        tags: &["backend"],
        help: "Attempts at a backend that got no answer, one that says that it is unwell (429, 5xx, or an error with status 200), or one with nothing in it.",
    },
    Family {
        name: "pointsman.responses_truncated",
        kind: MetricKind::Counter,
        tags: &["backend"],
        help: "Answers that the backend had begun and did not end: the client's stream is cut off, or ends with an error.",
    },
    Family {
        name: "pointsman.foreign_state_dropped",
        kind: MetricKind::Counter,
        tags: &["backend"],
        help: "Requests out of which state was taken that the backend could not have read (`foreign_state: drop`).",
    },
    Family {
        name: "pointsman.state_origins_guessed",
        kind: MetricKind::Counter,
        tags: &["backend"],
        help: "Requests that carry state of a maker which this proxy does not know, by the backend that was guessed to read it.",
    },
    Family {
        name: "pointsman.prewarms",
        kind: MetricKind::Counter,
        tags: &["backend"],
        help: "Minimal requests that were sent to a backend to keep it warm.",
    },
    Family {
        name: "pointsman.prewarm_failures",
        kind: MetricKind::Counter,
        tags: &["backend"],
        help: "Those of them that got no answer, or an error.",
    },
    Family {
        name: "pointsman.prewarm_cost_nano_usd",
        kind: MetricKind::Counter,
        tags: &["backend"],
        help: "What they cost as the policy states it, in billionths of a USD; no other metric of cost has it.",
    },
    Family {
        name: "pointsman.backend_latency_percent",
        kind: MetricKind::Gauge,
        tags: &["backend"],
        help: "The median of a backend's last answers in per cent of what is stated, of the time to the first token or of that per token, whichever is worse; 100 where that makes no difference, 0 while streams or answers in one piece of it are down.",
    },
    Family {
        name: "pointsman.decision_us",
        kind: MetricKind::Histogram,
        tags: &[],
        help: "Time from reading the body to having written the decision, in microseconds.",
    },
    Family {
        name: "pointsman.requests_by_task",
        kind: MetricKind::Counter,
        tags: &["task", "model"],
        help: "Classified requests, by the most probable task and the model that answered.",
    },
    Family {
        name: "pointsman.difficulty_percent",
        kind: MetricKind::Histogram,
        tags: &[],
        help: "Difficulty of classified requests, as how often an average model would fail, in per cent.",
    },
    Family {
        name: "pointsman.rule_matches",
        kind: MetricKind::Counter,
        tags: &["rule"],
        help: "Decisions and refusals that a rule of the policy had a part in, or a spent budget (`budget:` and its name).",
    },
    Family {
        name: "pointsman.request_failures",
        kind: MetricKind::Counter,
        tags: &["model", "backend", "accelerator", "profile"],
        help: "Decided requests that were answered with an error, or not at all.",
    },
    Family {
        name: "pointsman.time_to_first_token_ms",
        kind: MetricKind::Histogram,
        tags: &["model", "backend", "accelerator"],
        help: "Time from reading the request to the first bytes of a streamed answer, in milliseconds.",
    },
    Family {
        name: "pointsman.request_duration_ms",
        kind: MetricKind::Histogram,
        tags: &["model", "backend", "accelerator"],
        help: "Time from reading the request to the end of the answer, in milliseconds.",
    },
    Family {
        name: "pointsman.input_tokens",
        kind: MetricKind::Counter,
        tags: &["model", "backend", "accelerator", "profile"],
        help: "Tokens of requests, the cached ones included, as the answers state them.",
    },
    Family {
        name: "pointsman.cached_input_tokens",
        kind: MetricKind::Counter,
        tags: &["model", "backend", "accelerator", "profile"],
        help: "Those of them that the backend had cached.",
    },
    Family {
        name: "pointsman.cache_write_tokens",
        kind: MetricKind::Counter,
        tags: &["model", "backend", "accelerator", "profile"],
        help: "Those of them that the backend put into its cache.",
    },
    Family {
        name: "pointsman.output_tokens",
        kind: MetricKind::Counter,
        tags: &["model", "backend", "accelerator", "profile"],
        help: "Tokens of answers, those of reasoning included.",
    },
    Family {
        name: "pointsman.cost_nano_usd",
        kind: MetricKind::Counter,
        tags: &["model", "backend", "accelerator", "profile"],
        help: "What answered requests cost, in billionths of a USD.",
    },
    Family {
        name: "pointsman.estimated_cost_nano_usd",
        kind: MetricKind::Counter,
        tags: &["model", "backend", "accelerator", "profile"],
        help: "What the same requests were expected to cost, in billionths of a USD.",
    },
    Family {
        name: "pointsman.baseline_cost_nano_usd",
        kind: MetricKind::Counter,
        tags: &["model", "backend", "accelerator", "profile"],
        help: "What the same requests would have cost at the policy's `baseline`, in billionths of a USD; the difference is what was saved.",
    },
    Family {
        name: "pointsman.budget_spent_nano_usd",
        kind: MetricKind::Counter,
        tags: &["budget", "tenant"],
        help: "What ended requests have put on a budget, in billionths of a USD, exact over all workers: what they cost, or an estimate of what was sent and delivered where the answer does not say; `tenant` is what the budget names, `*` included, and `all` where it names none.",
    },
    Family {
        name: "pointsman.usage_missing",
        kind: MetricKind::Counter,
        tags: &["backend", "cause"],
        help: "Answers that do not say what they took: compressed, of another media type, not stated, cut off.",
    },
    Family {
        name: "pointsman.classifier_errors",
        kind: MetricKind::Counter,
        tags: &[],
        help: "Decisions made on features alone because the classifier failed; requests without text are none.",
    },
    Family {
        name: "pointsman.policy_active",
        kind: MetricKind::Gauge,
        tags: &["version"],
        help: "1 for the policy version in force, 0 for those before it. After an update of the plugin configuration the one before stays at 1 until Envoy has drained its listener.",
    },
    Family {
        name: "pointsman.policy_errors",
        kind: MetricKind::Counter,
        tags: &[],
        help: "Policies that did not compile, counted once per worker that saw them.",
    },
    Family {
        name: "pointsman.policy_polls",
        kind: MetricKind::Counter,
        tags: &["result"],
        help: "Answers of the policy source: `accepted`, `unchanged`, or why the policy in force stays.",
    },
    Family {
        name: "pointsman.policy_revision",
        kind: MetricKind::Gauge,
        tags: &[],
        help: "Revision of the policy that the source published last; 0 where it has none.",
    },
    Family {
        name: "pointsman.policy_published_timestamp_seconds",
        kind: MetricKind::Gauge,
        tags: &[],
        help: "When the source last published a policy, in seconds since 1970.",
    },
    Family {
        name: "pointsman.policy_confirmed_timestamp_seconds",
        kind: MetricKind::Gauge,
        tags: &[],
        help: "When the source last said what is in force, in seconds since 1970: the time since then is the policy's age.",
    },
    Family {
        name: "pointsman.host_call_errors",
        kind: MetricKind::Counter,
        tags: &[],
        help: "Host calls that failed where they should not.",
    },
    Family {
        name: "pointsman.attempts_unresolved",
        kind: MetricKind::Counter,
        tags: &[],
        help: "Attempts whose backend or body the attempt filter did not know, so that they went on as they were.",
    },
    Family {
        name: "pointsman.secrets_missing",
        kind: MetricKind::Counter,
        tags: &[],
        help: "Attempts without the credentials that their backend needs, because the environment variable is not set.",
    },
    Family {
        name: "pointsman.shared_stats_bytes",
        kind: MetricKind::Gauge,
        tags: &[],
        help: "Size of the record by which workers share what they observe of the backends.",
    },
    Family {
        name: "pointsman.linear_memory_bytes",
        kind: MetricKind::Gauge,
        tags: &[],
        help: "Memory of the module's virtual machines that serve requests, all together; a part of what Envoy has resident.",
    },
    Family {
        name: "pointsman.metrics_dropped",
        kind: MetricKind::Counter,
        tags: &[],
        help: "Counts that had no metric left to go to, because a worker defines a bounded number of them.",
    },
];

/// How Envoy takes the tags out of the names: tag name and regular expression for `stats_config.stats_tags`.
///
/// The first group is cut out of the name, the second is the value. A value may hold dots; it ends where the next tag of
/// its family begins.
pub const STATS_TAGS: &[(&str, &str)] = &[
    (
        "model",
        r"^wasmcustom\.pointsman\..*?(\.model\.(.+?))(?:\.backend\.|$)",
    ),
    (
        "backend",
        r"^wasmcustom\.pointsman\..*?(\.backend\.(.+?))(?:\.accelerator\.|\.cause\.|$)",
    ),
    (
        "accelerator",
        r"^wasmcustom\.pointsman\..*?(\.accelerator\.(.+?))(?:\.profile\.|$)",
    ),
    (
        "profile",
        r"^wasmcustom\.pointsman\..*?(\.profile\.(.+?))(?:\.reason\.|$)",
    ),
    (
        "task",
        r"^wasmcustom\.pointsman\..*?(\.task\.(.+?))(?:\.model\.|$)",
    ),
    ("rule", r"^wasmcustom\.pointsman\..*?(\.rule\.(.+?))$"),
    ("reason", r"^wasmcustom\.pointsman\..*?(\.reason\.(.+?))$"),
    ("cause", r"^wasmcustom\.pointsman\..*?(\.cause\.(.+?))$"),
    ("result", r"^wasmcustom\.pointsman\..*?(\.result\.(.+?))$"),
    (
        "budget",
        r"^wasmcustom\.pointsman\..*?(\.budget\.(.+?))(?:\.tenant\.|$)",
    ),
    ("tenant", r"^wasmcustom\.pointsman\..*?(\.tenant\.(.+?))$"),
    ("code", r"^wasmcustom\.pointsman\..*?(\.code\.(.+?))$"),
    ("version", r"^wasmcustom\.pointsman\..*?(\.version\.(.+?))$"),
];

/// The most metrics that one worker defines; a worker's memory must not grow with the names that policies bring.
pub const MAX_METRICS: usize = 2048;

/// Time from reading the body to having written the decision, in microseconds.
pub const DECISION_US: Metric = plain(MetricKind::Histogram, "pointsman.decision_us");
/// Decisions made on features alone because the classifier failed.
pub const CLASSIFIER_ERRORS: Metric = plain(MetricKind::Counter, "pointsman.classifier_errors");
/// Policies that did not compile.
pub const POLICY_ERRORS: Metric = plain(MetricKind::Counter, "pointsman.policy_errors");
/// Revision of the policy that the source published last.
pub const POLICY_REVISION: Metric = plain(MetricKind::Gauge, "pointsman.policy_revision");
/// When the source last published a policy.
pub const POLICY_PUBLISHED_TIMESTAMP: Metric = plain(
    MetricKind::Gauge,
    "pointsman.policy_published_timestamp_seconds",
);
/// When the source last said what is in force.
pub const POLICY_CONFIRMED_TIMESTAMP: Metric = plain(
    MetricKind::Gauge,
    "pointsman.policy_confirmed_timestamp_seconds",
);
/// Host calls that failed where they should not.
pub const HOST_CALL_ERRORS: Metric = plain(MetricKind::Counter, "pointsman.host_call_errors");
/// Attempts that went on as they were.
pub const ATTEMPTS_UNRESOLVED: Metric = plain(MetricKind::Counter, "pointsman.attempts_unresolved");
/// Attempts without the credentials that their backend needs.
pub const SECRETS_MISSING: Metric = plain(MetricKind::Counter, "pointsman.secrets_missing");
/// Size of the record by which workers share what they observe.
pub const SHARED_STATS_BYTES: Metric = plain(MetricKind::Gauge, "pointsman.shared_stats_bytes");
/// Memory of the virtual machines that serve requests.
pub const LINEAR_MEMORY_BYTES: Metric = plain(MetricKind::Gauge, "pointsman.linear_memory_bytes");
/// Counts that had no metric left to go to.
pub const METRICS_DROPPED: Metric = plain(MetricKind::Counter, "pointsman.metrics_dropped");

/// Difficulty of classified requests, as how often an average model would fail, in per cent.
pub const DIFFICULTY_PERCENT: Metric = plain(MetricKind::Histogram, "pointsman.difficulty_percent");

const fn plain(kind: MetricKind, name: &'static str) -> Metric {
    Metric {
        kind,
        name: Cow::Borrowed(name),
    }
}

impl Metric {
    /// Requests routed by a decision; the values are in the order of the family's tags.
    pub fn decisions(
        model: &str,
        backend: &str,
        accelerator: &str,
        profile: &str,
        reason: &str,
    ) -> Metric {
        Metric::tagged(
            MetricKind::Counter,
            "pointsman.decisions",
            &[
                ("model", model),
                ("backend", backend),
                ("accelerator", accelerator),
                ("profile", profile),
                ("reason", reason),
            ],
        )
    }

    /// Requests to count tokens that went to a backend.
    pub fn count_tokens_requests(model: &str, backend: &str) -> Metric {
        let tags = [("model", model), ("backend", backend)];
        Metric::tagged(
            MetricKind::Counter,
            "pointsman.count_tokens_requests",
            &tags,
        )
    }

    /// What [`Metric::decisions`] would have counted; the values are in the order of the family's tags.
    pub fn shadow_decisions(values: [&str; 5]) -> Metric {
        let names = ["model", "backend", "accelerator", "profile", "reason"];
        let mut tags = [("", ""); 5];
        for (tag, pair) in tags.iter_mut().zip(names.into_iter().zip(values)) {
            *tag = pair;
        }
        Metric::tagged(MetricKind::Counter, "pointsman.shadow_decisions", &tags)
    }

    /// What [`Metric::rejections`] would have counted.
    pub fn shadow_rejections(code: &str) -> Metric {
        let name = "pointsman.shadow_rejections";
        Metric::tagged(MetricKind::Counter, name, &[("code", code)])
    }

    /// Requests that another backend answered than the one decided on.
    pub fn fallbacks(model: &str, backend: &str) -> Metric {
        Metric::tagged(
            MetricKind::Counter,
            "pointsman.fallbacks",
            &[("model", model), ("backend", backend)],
        )
    }

    /// Requests that went to the default cluster undecided.
    pub fn request_bypasses(cause: &'static str) -> Metric {
        Metric::tagged(
            MetricKind::Counter,
            "pointsman.request_bypasses",
            &[("cause", cause)],
        )
    }

    /// Requests that are nearly those of an LLM API.
    pub fn unrecognized_requests(cause: &'static str) -> Metric {
        let tags = [("cause", cause)];
        Metric::tagged(
            MetricKind::Counter,
            "pointsman.unrecognized_requests",
            &tags,
        )
    }

    /// Requests answered with an error.
    pub fn rejections(code: &str) -> Metric {
        Metric::tagged(
            MetricKind::Counter,
            "pointsman.rejections",
            &[("code", code)],
        )
    }

    /// Whether a policy version is in force.
    pub fn policy_active(version: &str) -> Metric {
        Metric::tagged(
            MetricKind::Gauge,
            "pointsman.policy_active",
            &[("version", version)],
        )
    }

    /// Answers of the policy source; `result` is `accepted`, `unchanged` or a refusal's code.
    pub fn policy_polls(result: &'static str) -> Metric {
        Metric::tagged(
            MetricKind::Counter,
            "pointsman.policy_polls",
            &[("result", result)],
        )
    }

    fn tagged(kind: MetricKind, family: &str, tags: &[(&str, &str)]) -> Metric {
        let mut name = String::with_capacity(family.len() + tags.len() * 28);
        name.push_str(family);
        for (tag, value) in tags {
            name.push('.');
            name.push_str(tag);
            name.push('.');
            name.push_str(if value.is_empty() { "none" } else { value });
        }
        Metric {
            kind,
            name: Cow::Owned(name),
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests;

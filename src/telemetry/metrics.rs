//! Metrics, each declared once: kind, name, labels and help text. The macro makes a constructor of [`Metric`] and an entry
//! of [`FAMILIES`] out of each declaration.

use super::{Family, Metric, MetricKind, Served};

/// Label names of a declaration.
macro_rules! label_names {
    (served: $($label:ident),+) => { &[$(stringify!($label)),+] };
    ($($label:ident),*) => { &[$(stringify!($label)),*] };
}

/// Constructor of a declaration: a constant without labels, else a function of the labels' values in their order, which
/// [`Served`] holds where the declaration says `served`.
macro_rules! constructor {
    ($kind:ident $name:ident () $help:literal) => {
        #[doc = $help]
        pub const fn $name() -> Metric {
            Metric::plain(MetricKind::$kind, concat!("pointsman.", stringify!($name)))
        }
    };
    ($kind:ident $name:ident (served: $($label:ident),+) $help:literal) => {
        #[doc = $help]
        pub fn $name(served: &Served<'_>) -> Metric {
            let labels = [$((stringify!($label), served.$label)),+];
            Metric::labelled(MetricKind::$kind, concat!("pointsman.", stringify!($name)), &labels)
        }
    };
    ($kind:ident $name:ident ($($label:ident),+) $help:literal) => {
        #[doc = $help]
        pub fn $name($($label: &str),+) -> Metric {
            let labels = [$((stringify!($label), $label)),+];
            Metric::labelled(MetricKind::$kind, concat!("pointsman.", stringify!($name)), &labels)
        }
    };
}

macro_rules! metrics {
    ($($kind:ident $name:ident ($($labels:tt)*) $help:literal;)+) => {
        /// Every metric family of this module, in the order of the documentation.
        pub const FAMILIES: &[Family] = &[$(Family {
            name: concat!("pointsman.", stringify!($name)),
            kind: MetricKind::$kind,
            labels: label_names!($($labels)*),
            help: $help,
        }),+];

        impl Metric {
            $(constructor! { $kind $name ($($labels)*) $help })+
        }
    };
}

metrics! {
    Counter decisions(model, backend, accelerator, profile, reason)
        "Requests routed by a decision.";
    Counter count_tokens_requests(model, backend)
        "Requests to count tokens that went to a backend. They are not decisions, and no cost metric includes them.";
    Counter request_bypasses(cause)
        "Requests on an LLM path that went to the default cluster undecided.";
    Counter unrecognized_requests(cause)
        "Requests that almost match an LLM API (`path`, `method`, `websocket`), or whose body does not match on a path that could be one (`body`). Their outcome is counted separately, or they passed unchanged.";
    Counter rejections(code)
        "Requests answered with an error instead of being routed.";
    Counter shadow_decisions(model, backend, accelerator, profile, reason)
        "Requests that a policy in shadow mode would have routed.";
    Counter shadow_rejections(code)
        "Requests that a policy in shadow mode would have answered with an error.";
    Counter fallbacks(model, backend)
        "Requests answered by another backend than the chosen one; the labels name the one that answered.";
    Counter attempt_failures(backend)
        "Attempts at a backend that got no answer, an empty one, or one that reports trouble (429, 5xx, or an error with status 200).";
    Counter responses_truncated(backend)
        "Responses that the backend began and did not finish: the client's stream is cut off, or ends with an error.";
    Counter foreign_state_dropped(backend)
        "Requests from which provider state was removed that the backend could not have read (`foreign_state: drop`).";
    Counter state_origins_guessed(backend)
        "Requests with provider state whose origin this proxy does not know, by the backend that was guessed to read it.";
    Counter prewarms(backend)
        "Minimal requests sent to a backend to keep it warm.";
    Counter prewarm_failures(backend)
        "Prewarm requests that got no answer, or an error.";
    Counter prewarm_cost_nano_usd(backend)
        "Cost of prewarm requests as the policy declares it, in billionths of a USD; no other cost metric includes it.";
    Gauge backend_latency_percent(backend)
        "Median latency of a backend's recent answers in percent of the declared latency: of the time to the first token or of the time per token, whichever is worse. 100 if the difference does not matter, 0 while the backend is down for streams or for answers in one piece.";
    Gauge answer_length_percent(backend, task)
        "Length of a backend's recent answers in percent of the expected length, as learned from reported usage; expected costs and latencies are multiplied by it. Shown once it is not 100.";
    Histogram decision_us()
        "Time from reading the body to having written the decision, in microseconds.";
    Counter requests_by_task(task, model)
        "Classified requests, by the most probable task and the model that answered.";
    Histogram difficulty_percent()
        "Difficulty of classified requests: how often an average model would fail, in percent.";
    Counter rule_matches(rule)
        "Decisions and rejections in which a rule of the policy took part, or a spent budget (`budget:` and its name).";
    Counter request_failures(served: model, backend, accelerator, profile)
        "Decided requests that were answered with an error, or not at all.";
    Histogram time_to_first_token_ms(served: model, backend, accelerator)
        "Time from reading the request to the first bytes of a streamed answer, in milliseconds.";
    Histogram request_duration_ms(served: model, backend, accelerator)
        "Time from reading the request to the end of the answer, in milliseconds.";
    Counter input_tokens(served: model, backend, accelerator, profile)
        "Input tokens as the answers report them, cached ones included.";
    Counter cached_input_tokens(served: model, backend, accelerator, profile)
        "Input tokens that the backend read from its cache.";
    Counter cache_write_tokens(served: model, backend, accelerator, profile)
        "Input tokens that the backend wrote to its cache.";
    Counter output_tokens(served: model, backend, accelerator, profile)
        "Output tokens, those of reasoning included.";
    Counter cost_nano_usd(served: model, backend, accelerator, profile)
        "Cost of answered requests, in billionths of a USD.";
    Counter estimated_cost_nano_usd(served: model, backend, accelerator, profile)
        "Expected cost of the same requests, in billionths of a USD.";
    Counter baseline_cost_nano_usd(served: model, backend, accelerator, profile)
        "Cost of the same requests at the policy's `baseline`, in billionths of a USD; the difference is the saving.";
    Counter budget_spent_nano_usd(budget, tenant)
        "Spending that ended requests have charged to a budget, in billionths of a USD, exact over all workers: their cost, or an estimate from what was sent and delivered if the answer does not report its usage. `tenant` is the tenant that the budget names, `*` included, and `all` if it names none.";
    Counter usage_missing(backend, cause)
        "Answers that do not report their usage: compressed, of another media type, not reported, truncated.";
    Counter outcomes(model, verdict, source)
        "Outcomes of answers. `source` is `feedback`, the check that found something wrong (`empty`, `truncated`, `invalid_json`, `invalid_tool_arguments`), `passed` if none did, or `judge` for its grades of answers. `verdict` is `good`, `bad`, `better`, `worse`, `passed`, or `failed` for feedback that says nothing of quality. `model` is `unknown` if the policy in force does not have it.";
    Counter feedback_rejected(cause)
        "Items of feedback that were not taken, by error code: `receipt_not_ours` (forged, or of a key that is not valid any more), `receipt_used`, `receipt_expired`, `invalid_receipt`, `invalid_feedback` and others.";
    Counter judge_questions(result)
        "Questions to the judge by their end: `graded`; `cached`, because the grade was known; `joined`, because another request had just asked the same; `timeout`, `error_status`, `reset` or `not_sent` if no reply came; `too_long`, `not_json`, `wrong_shape`, `no_grade` or `refused` if the reply holds no grade; `abandoned` if the client left.";
    Counter judge_not_asked(reason)
        "Requests that the judge was not asked about, by reason; see [the judge](judge.md).";
    Histogram judge_duration_ms()
        "Time from the question to the judge to its grade, in milliseconds.";
    Counter judge_changes(model)
        "Decisions that the judge's grade changed, by the model that was chosen with it; with `mode` `shadow`, decisions that it would have changed.";
    Counter judge_gradings(result)
        "Answers that were drawn for the judge to grade, by their end: `graded`; `dropped` if too many waited; `budget` or `breaker_open` if it was not asked; `sensitive` if the answer holds text that rules keep from it; else as `judge_questions`.";
    Counter judge_cost_nano_usd()
        "Cost of the judge's calls as the policy declares it, in billionths of a USD; no other cost metric includes it. Budgets are charged with the part that questions about prompts cost, not with that of grading answers.";
    Counter receipts_unsigned()
        "Answers without a receipt although the policy wants one, because no key is set: see `receipt_keys` of the plugin configuration.";
    Counter classifier_errors()
        "Decisions made on features alone because the classifier failed; requests without text do not count.";
    Gauge policy_active(version)
        "1 for the policy version in force, 0 for earlier ones. After an update of the plugin configuration the earlier one stays at 1 until Envoy has drained its listener.";
    Counter policy_errors()
        "Policies that did not compile, counted once per worker that saw them.";
    Counter policy_polls(result)
        "Answers of the policy source: `accepted`, `unchanged`, or the reason why the policy in force stays.";
    Gauge policy_revision()
        "Revision of the policy that the source published last; 0 if it has none.";
    Gauge policy_published_timestamp_seconds()
        "Time at which the source last published a policy, in seconds since 1970.";
    Gauge policy_confirmed_timestamp_seconds()
        "Time at which the source last confirmed the policy in force, in seconds since 1970; the time since then is the policy's age.";
    Counter host_call_errors()
        "Calls to Envoy that failed unexpectedly.";
    Counter attempts_unresolved()
        "Attempts that passed unchanged because the attempt filter did not know their backend or their body.";
    Counter secrets_missing()
        "Attempts without the credentials that their backend needs, because the environment variable is not set.";
    Gauge shared_stats_bytes()
        "Size of the record in which workers share their observations of the backends.";
    Counter outcomes_ignored(cause)
        "Outcomes that teach nothing: `capped` (the tenant or the hour has had its share), `unknown_model`, `other_classifier`, `void`.";
    Counter learned_changes(model)
        "Decisions that would be otherwise if what was learned were applied, by the model that would be chosen (`learning` with mode `observe`).";
    Gauge shared_learning_bytes()
        "Size of the record in which workers share what outcomes teach of the models.";
    Gauge learned_outcomes(model)
        "Outcomes of the model that count, those forgotten in part in part.";
    Gauge learned_quality_percent(model)
        "Mean quality of the model's answers that is expected after its outcomes, over the prompts of these outcomes.";
    Gauge stated_quality_percent(model)
        "The same by benchmark scores alone.";
    Gauge learned_interval_percent(model)
        "Half of the interval that holds the learned quality with nine chances in ten.";
    Gauge linear_memory_bytes()
        "Memory of the module's virtual machines that serve requests, all together; part of Envoy's resident memory.";
    Counter metrics_dropped()
        "Counts that were lost because the worker had already defined its maximum number of metrics.";
}

/// Error counters of the router, defined at 0 when it starts.
///
/// Prometheus' `increase` sees a change and not a beginning: a counter that appears with its first error would hide it.
pub const ROUTER_ERRORS: &[Metric] = &[
    Metric::classifier_errors(),
    Metric::host_call_errors(),
    Metric::metrics_dropped(),
    Metric::policy_errors(),
    Metric::receipts_unsigned(),
];

/// Error counters of the attempt filter, defined at 0 when it starts.
pub const ATTEMPT_ERRORS: &[Metric] = &[Metric::attempts_unresolved(), Metric::secrets_missing()];

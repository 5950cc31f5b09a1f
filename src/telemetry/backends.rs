//! Names of the metrics that tell how each backend is doing.

use super::{Metric, MetricKind};

impl Metric {
    /// Attempts at a backend that failed.
    pub fn attempt_failures(backend: &str) -> Metric {
        Metric::of_backend(MetricKind::Counter, "pointsman.attempt_failures", backend)
    }

    /// Answers that the backend had begun and did not end.
    pub fn responses_truncated(backend: &str) -> Metric {
        Metric::of_backend(
            MetricKind::Counter,
            "pointsman.responses_truncated",
            backend,
        )
    }

    /// Requests out of which state was taken.
    pub fn foreign_state_dropped(backend: &str) -> Metric {
        let family = "pointsman.foreign_state_dropped";
        Metric::of_backend(MetricKind::Counter, family, backend)
    }

    /// Requests that carry state whose maker was guessed.
    pub fn state_origins_guessed(backend: &str) -> Metric {
        let family = "pointsman.state_origins_guessed";
        Metric::of_backend(MetricKind::Counter, family, backend)
    }

    /// Minimal requests that were sent to keep a backend warm.
    pub fn prewarms(backend: &str) -> Metric {
        Metric::of_backend(MetricKind::Counter, "pointsman.prewarms", backend)
    }

    /// Those of them that failed.
    pub fn prewarm_failures(backend: &str) -> Metric {
        Metric::of_backend(MetricKind::Counter, "pointsman.prewarm_failures", backend)
    }

    /// What they cost.
    pub fn prewarm_cost(backend: &str) -> Metric {
        let family = "pointsman.prewarm_cost_nano_usd";
        Metric::of_backend(MetricKind::Counter, family, backend)
    }

    /// How slow a backend is.
    pub fn backend_latency_percent(backend: &str) -> Metric {
        let family = "pointsman.backend_latency_percent";
        Metric::of_backend(MetricKind::Gauge, family, backend)
    }

    fn of_backend(kind: MetricKind, family: &str, backend: &str) -> Metric {
        Metric::tagged(kind, family, &[("backend", backend)])
    }
}

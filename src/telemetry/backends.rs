//! Names of the metrics that tell how each backend is doing.

use super::{Metric, MetricKind};

impl Metric {
    /// Attempts at a backend that failed.
    pub fn attempts_failed(backend: &str) -> Metric {
        Metric::of_backend(MetricKind::Counter, "pointsman.attempts_failed", backend)
    }

    /// Answers that the backend had begun and did not end.
    pub fn answers_broken_off(backend: &str) -> Metric {
        Metric::of_backend(MetricKind::Counter, "pointsman.answers_broken_off", backend)
    }

    /// Requests out of which state was taken.
    pub fn foreign_state_dropped(backend: &str) -> Metric {
        let family = "pointsman.foreign_state_dropped";
        Metric::of_backend(MetricKind::Counter, family, backend)
    }

    /// Requests that carry state whose maker was guessed.
    pub fn state_makers_guessed(backend: &str) -> Metric {
        let family = "pointsman.state_makers_guessed";
        Metric::of_backend(MetricKind::Counter, family, backend)
    }

    /// Minimal requests that were sent to keep a backend warm.
    pub fn prewarms(backend: &str) -> Metric {
        Metric::of_backend(MetricKind::Counter, "pointsman.prewarms", backend)
    }

    /// Those of them that failed.
    pub fn prewarms_failed(backend: &str) -> Metric {
        Metric::of_backend(MetricKind::Counter, "pointsman.prewarms_failed", backend)
    }

    /// What they cost.
    pub fn prewarm_cost(backend: &str) -> Metric {
        let family = "pointsman.prewarm_cost_nano_usd";
        Metric::of_backend(MetricKind::Counter, family, backend)
    }

    /// How slow a backend is.
    pub fn backend_slowdown_percent(backend: &str) -> Metric {
        let family = "pointsman.backend_slowdown_percent";
        Metric::of_backend(MetricKind::Gauge, family, backend)
    }

    fn of_backend(kind: MetricKind, family: &str, backend: &str) -> Metric {
        Metric::tagged(kind, family, &[("backend", backend)])
    }
}

//! Telemetry: every name by which operators and clients see Pointsman.
//!
//! | file | declares |
//! |---|---|
//! | [`metrics`] | metrics: name, kind, labels and help text of each, once |
//! | [`header`] | request and response headers |
//! | [`state`] | filter state keys, which access logs and spans print |
//!
//! Data only: nothing here counts, sends or decides, and this room uses no other. The tables of `docs/operations.md` are
//! tested against it.
//!
//! Envoy's wasm metrics have no labels. The labels are part of the metric's name
//! (`pointsman.request_bypasses.cause.no_policy`), and [`STATS_TAGS`] holds the regular expressions by which Envoy extracts
//! them again.

pub mod header;
pub mod metrics;
pub mod state;

use std::borrow::Cow;

pub use metrics::FAMILIES;

/// Kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Is set.
    Gauge,
    /// Records each value.
    Histogram,
}

/// One metric with the values of its labels.
///
/// ```
/// use pointsman::telemetry::Metric;
///
/// let metric = Metric::fallbacks("llama-3.1-8b", "gpu-1");
/// assert_eq!(metric.name, "pointsman.fallbacks.model.llama-3.1-8b.backend.gpu-1");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    /// Kind of the metric.
    pub kind: MetricKind,
    /// Name with its labels, without Envoy's `wasmcustom.` in front.
    pub name: Cow<'static, str>,
}

/// Declaration of a metric: all metrics that differ only in the values of their labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// Name without labels, as Envoy has it; Prometheus shows dots as underscores.
    pub name: &'static str,
    /// Kind of its metrics.
    pub kind: MetricKind,
    /// Names of its labels, in the order in which they stand in a metric's name.
    pub labels: &'static [&'static str],
    /// Meaning of the value, in a sentence or two.
    pub help: &'static str,
}

/// Model, backend, accelerator and profile that served a request, as label values.
#[derive(Debug, Clone, Copy)]
pub struct Served<'a> {
    /// Name of the model.
    pub model: &'a str,
    /// Name of the backend.
    pub backend: &'a str,
    /// Accelerator of the backend.
    pub accelerator: &'a str,
    /// Profile that chose the backend.
    pub profile: &'a str,
}

/// Label names and their regular expressions, for Envoy's `stats_config.stats_tags`.
///
/// Envoy cuts the first group out of the name and takes the second as the label's value. A value may hold dots; it ends
/// where the next label of its family begins.
pub const STATS_TAGS: &[(&str, &str)] = &[
    (
        "model",
        r"^wasmcustom\.pointsman\..*?(\.model\.(.+?))(?:\.backend\.|\.verdict\.|$)",
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
    (
        "verdict",
        r"^wasmcustom\.pointsman\..*?(\.verdict\.(.+?))(?:\.source\.|$)",
    ),
    ("source", r"^wasmcustom\.pointsman\..*?(\.source\.(.+?))$"),
    ("code", r"^wasmcustom\.pointsman\..*?(\.code\.(.+?))$"),
    ("version", r"^wasmcustom\.pointsman\..*?(\.version\.(.+?))$"),
];

/// USD in the unit of the metrics whose names say `nano_usd`: a whole number of billionths, never below 0.
pub fn nano_usd(usd: f64) -> u64 {
    (usd * 1e9).round() as u64
}

/// Maximum number of metrics that one worker defines, so that its memory does not grow with the names in policies.
pub const MAX_METRICS: usize = 2048;

impl Metric {
    const fn plain(kind: MetricKind, name: &'static str) -> Metric {
        Metric {
            kind,
            name: Cow::Borrowed(name),
        }
    }

    fn labelled(kind: MetricKind, family: &str, labels: &[(&str, &str)]) -> Metric {
        let mut name = String::with_capacity(family.len() + labels.len() * 28);
        name.push_str(family);
        for (label, value) in labels {
            name.push('.');
            name.push_str(label);
            name.push('.');
            name.push_str(if value.is_empty() { "none" } else { value });
        }
        Metric {
            kind,
            name: Cow::Owned(name),
        }
    }
}

/// Declares names as constants and lists them with their help texts, in the order of the documentation.
macro_rules! names {
    ($(#[$about:meta])* $list:ident: $($constant:ident = $name:literal, $help:literal;)+) => {
        $(#[doc = $help] pub const $constant: &str = $name;)+
        $(#[$about])*
        pub const $list: &[(&str, &str)] = &[$(($constant, $help),)+];
    };
}
use names;

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests;

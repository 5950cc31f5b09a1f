//! The counters that stand at 0 until something is wrong, and are there from the start.
//!
//! Prometheus' `increase` sees a change, not a beginning: a counter that came into being with its first fault would hide it.

use super::{
    ATTEMPTS_UNKNOWN, CLASSIFIER_FAULTS, HOST_FAULTS, METRICS_DROPPED, Metric, POLICY_ERRORS,
    SECRETS_MISSING,
};

/// Those that the router counts.
pub const ROUTER: &[Metric] = &[
    CLASSIFIER_FAULTS,
    HOST_FAULTS,
    METRICS_DROPPED,
    POLICY_ERRORS,
];

/// Those that the filter of each attempt counts.
pub const ATTEMPT: &[Metric] = &[ATTEMPTS_UNKNOWN, SECRETS_MISSING];

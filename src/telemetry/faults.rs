//! The counters that stand at 0 until something is wrong, and are there from the start.
//!
//! Prometheus' `increase` sees a change, not a beginning: a counter that came into being with its first fault would hide it.

use super::{
    ATTEMPTS_UNRESOLVED, CLASSIFIER_ERRORS, HOST_CALL_ERRORS, METRICS_DROPPED, Metric,
    POLICY_ERRORS, SECRETS_MISSING,
};

/// Those that the router counts.
pub const ROUTER: &[Metric] = &[
    CLASSIFIER_ERRORS,
    HOST_CALL_ERRORS,
    METRICS_DROPPED,
    POLICY_ERRORS,
];

/// Those that the filter of each attempt counts.
pub const ATTEMPT: &[Metric] = &[ATTEMPTS_UNRESOLVED, SECRETS_MISSING];

//! A finding of a check: how bad, where, what is wrong, and how to fix it.

use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Works, but not as well as it could, or cannot be looked at from here.
    Warning,
    /// Requests are or will be lost, held, sent astray, or routed by nobody.
    Error,
}

/// Something to fix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// The check that found it.
    pub check: &'static str,
    /// Its place in the configuration.
    pub place: String,
    /// The problem, and its consequence.
    pub problem: String,
    /// How to fix it.
    pub fix: String,
}

/// A finding of level [`Level::Error`].
pub fn error(check: &'static str, place: String, problem: &str, fix: &str) -> Finding {
    Finding {
        level: Level::Error,
        check,
        place,
        problem: problem.to_owned(),
        fix: fix.to_owned(),
    }
}

/// A finding of level [`Level::Warning`].
pub fn warning(check: &'static str, place: String, problem: &str, fix: &str) -> Finding {
    Finding {
        level: Level::Warning,
        ..error(check, place, problem, fix)
    }
}

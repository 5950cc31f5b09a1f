//! Traps on demand, to test what Envoy does about it. Never in a module that is shipped.

use crate::pairs::Pair;

/// Traps where the request has the header `x-test-trap`.
pub fn on(headers: &[Pair<'_>]) {
    if headers.iter().any(|(name, _)| *name == b"x-test-trap") {
        std::process::abort();
    }
}

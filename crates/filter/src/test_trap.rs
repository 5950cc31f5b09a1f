//! Traps and publishes policies on demand, to test what Envoy and the other workers do about it. Never in a module that is
//! shipped.

use crate::pairs::Pair;
use crate::published::Published;

/// Traps where the request has the header `x-test-trap`; publishes the policy of the header `x-test-policy`.
pub fn on(headers: &[Pair<'_>], published: &Published) {
    for (name, value) in headers {
        if *name == b"x-test-trap" {
            std::process::abort();
        }
        if *name == b"x-test-policy"
            && let Ok(text) = std::str::from_utf8(value)
        {
            let _ = published.replace(text);
        }
    }
}

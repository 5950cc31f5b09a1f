//! Traps and publishes policies on demand, to test what Envoy and the other workers do about it. Never in a module that is
//! shipped.

use pointsman::policy::Policy;

use crate::header_map::Pair;
use crate::sync::policy_store::Published;

/// Traps where the request has the header `x-test-trap`; publishes the policy of the header `x-test-policy`.
pub fn on(headers: &[Pair<'_>], published: &Published) {
    for (name, value) in headers {
        if *name == b"x-test-trap" {
            std::process::abort();
        }
        if *name == b"x-test-policy"
            && let Ok(text) = std::str::from_utf8(value)
        {
            replace(published, text);
        }
    }
}

fn replace(published: &Published, text: &str) {
    match Policy::compile(text) {
        Ok(policy) => {
            if let Ok(latest) = published.latest() {
                let _ = published.replace(&latest, text.as_bytes(), policy);
            }
        }
        Err(invalid) => crate::sync::policy_store::report(&invalid.problems),
    }
}

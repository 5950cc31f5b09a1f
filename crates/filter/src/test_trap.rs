//! Traps and publishes policies on demand, to test how Envoy and the other workers react. Never in a shipped module.

use pointsman::policy::Policy;

use crate::header_map::Pair;
use crate::sync::policy_store::PolicyStore;

/// Traps if the request has the header `x-test-trap`; publishes the policy of the header `x-test-policy`.
pub fn on(headers: &[Pair<'_>], store: &PolicyStore) {
    for (name, value) in headers {
        if *name == b"x-test-trap" {
            std::process::abort();
        }
        if *name == b"x-test-policy"
            && let Ok(text) = std::str::from_utf8(value)
        {
            replace(store, text);
        }
    }
}

fn replace(store: &PolicyStore, text: &str) {
    match Policy::compile(text) {
        Ok(policy) => {
            if let Ok(latest) = store.latest() {
                let _ = store.replace(&latest, text.as_bytes(), policy);
            }
        }
        Err(invalid) => crate::policy_store::report(&invalid.problems),
    }
}

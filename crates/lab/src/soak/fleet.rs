//! The fleet that is soaked: models that differ in price, ten backends of each, and prompts of which no two are the same.

use std::net::SocketAddr;

use serde_json::{Value, json};

/// Backends of one model.
const PER_MODEL: u32 = 10;

/// The names of the backends, and so of the clusters.
pub fn names(backends: u32) -> Vec<String> {
    (0..backends)
        .map(|number| format!("backend-{number}"))
        .collect()
}

/// The number of models that so many backends have.
pub fn models(backends: u32) -> u64 {
    u64::from(backends.div_ceil(PER_MODEL).max(1))
}

/// A policy that sends requests everywhere: nine of ten conversations try what is not the best. A part of the backends scales to
/// zero and is kept warm. All are at one address.
pub fn policy(backends: u32, address: SocketAddr) -> Value {
    let models = backends.div_ceil(PER_MODEL).max(1);
    let model = |number: u32| format!("model-{number}");
    let all_models: Vec<Value> = (0..models)
        .map(|number| json!({"name": model(number), "context_window": 32_768, "benchmarks": {"mmlu": 0.7}}))
        .collect();
    let all_backends: Vec<Value> = names(backends)
        .into_iter()
        .zip(0..)
        .map(|(name, number)| {
            let mut backend = json!({
                "name": name, "model": model(number / PER_MODEL), "endpoint": format!("http://{address}"),
                "price": {"input": 0.1 + f64::from(number % 7) / 10.0, "output": 0.3},
                "latency": {"first_token_ms": {"p50": 200}, "tokens_per_second": 60 + number % 11},
            });
            if let Some(fields) = backend.as_object_mut().filter(|_| number % 10 == 0) {
                fields.insert("scale_to_zero_after_s".into(), json!(60));
                fields.insert("cold_start_ms".into(), json!(3000));
                fields.insert("prewarm".into(), json!({"max_usd_per_hour": 0.001}));
            }
            backend
        })
        .collect();
    json!({
        "version": "soak", "exploration_rate": 0.9,
        "profiles": {"auto": {"weights": {"cost": 1}, "limits": {}}},
        "models": all_models, "backends": all_backends,
    })
}

/// The body of the request with this number.
pub fn body(number: u64) -> String {
    json!({
        "model": "auto", "max_tokens": 16,
        "messages": [{"role": "user", "content": format!("Question {number}: which branch of the library keeps the old maps?")}],
    })
    .to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use pointsman::policy::Policy;

    #[test]
    fn it_compiles() {
        let policy = policy(1000, ([127, 0, 0, 1], 80).into());
        let policy = Policy::compile(&policy.to_string()).unwrap();
        assert_eq!(policy.registry.backends.len(), 1000);
        assert_eq!(policy.registry.models.len(), 100);
        assert_ne!(body(1), body(2));
    }
}

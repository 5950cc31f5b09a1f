//! The fleet that is soaked: models that differ in price, ten backends of each, and prompts of which no two are the same.

use std::net::SocketAddr;

use pointsman::api::Api;
use pointsman::policy::Policy;
use pointsman::routing::decision::Outcome;
use pointsman::routing::judge::Judging;
use pointsman::routing::router::Router;
use pointsman_cli::failure::Failure;
use pointsman_harness::judge::SUBJECTS;
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

/// `policy` with a judge at this address that is asked about prompts of [`judged_body`], and grades a tenth of the answers: every
/// other model is better and dearer, and the weight of cost is one at which a grade can change the choice.
///
/// # Errors
/// [`Failure::Failed`] if no weight has the judge asked, or the policy does not compile.
pub fn judged(mut policy: Value, judge: SocketAddr) -> Result<Value, Failure> {
    for (number, model) in list(&mut policy, "models").enumerate() {
        let score = if number % 2 == 0 { 0.68 } else { 0.86 };
        set(model, "benchmarks", json!({"mmlu": score}));
    }
    for (number, backend) in list(&mut policy, "backends").enumerate() {
        let is_dear = number / PER_MODEL as usize % 2 == 1;
        let price = if is_dear { 10.0 } else { 1.0 } + (number % 7) as f64 / 100.0;
        set(backend, "price", json!({"input": price, "output": price}));
    }
    set(&mut policy, "exploration_rate", json!(0));
    set(&mut policy, "learning", json!({"mode": "observe"}));
    let field = json!({
        "cluster": "judge", "endpoint": format!("http://{judge}"), "model": "j", "max_share": 1, "deadline_ms": 1000,
        "cache": {"entries": 0}, "price": {"input": 0.01}, "grade_share": 0.1,
        "evidence": {"slope": 1, "intercept": 1.8, "variance": 0.3},
    });
    set(&mut policy, "judge", field);
    let (mut router, _) = Router::new();
    let mut best = (0, policy.clone());
    for step in 1..40 {
        let weights = json!({"quality": 1, "cost": f64::from(step) * 0.025});
        set(
            &mut policy,
            "profiles",
            json!({"auto": {"weights": weights, "limits": {}}}),
        );
        let compiled = Policy::compile(&policy.to_string())
            .map_err(|error| Failure::Failed(format!("the soak's policy: {error}")))?;
        let asked = (0..24).filter(|number| {
            let body = judged_body(*number);
            let outcome = router.route(&compiled, Api::OpenAiChat, body.as_bytes(), true);
            matches!(outcome, Outcome::Routed(decision) if matches!(decision.judging, Some(Judging::Ask(_))))
        });
        let asked = asked.count();
        if asked > best.0 {
            best = (asked, policy.clone());
        }
    }
    match best {
        (0, _) => Err(Failure::Failed("the judge would never be asked".into())),
        (_, policy) => Ok(policy),
    }
}

fn list<'v>(document: &'v mut Value, name: &str) -> impl Iterator<Item = &'v mut Value> {
    let list = document.get_mut(name).and_then(Value::as_array_mut);
    list.into_iter().flatten()
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

/// The body of the request with this number, about which a judge may be asked.
pub fn judged_body(number: u64) -> String {
    let thing = SUBJECTS
        .get((number % 8) as usize)
        .copied()
        .unwrap_or_default();
    json!({
        "model": "auto",
        "messages": [{"role": "user", "content": format!("Tell me about the causes of {thing}, for reader {number}.")}],
    })
    .to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn it_compiles() {
        let policy = policy(1000, ([127, 0, 0, 1], 80).into());
        let policy = Policy::compile(&policy.to_string()).unwrap();
        assert_eq!(policy.registry.backends.len(), 1000);
        assert_eq!(policy.registry.models.len(), 100);
        assert_ne!(body(1), body(2));
    }

    #[test]
    fn a_judge_is_asked_about_prompts() {
        let policy = policy(20, ([127, 0, 0, 1], 80).into());
        let policy = judged(policy, ([127, 0, 0, 1], 81).into()).unwrap();
        let policy = Policy::compile(&policy.to_string()).unwrap();
        let (mut router, _) = Router::new();
        let asked = (100..124).filter(|number| {
            let body = judged_body(*number);
            let outcome = router.route(&policy, Api::OpenAiChat, body.as_bytes(), true);
            matches!(outcome, Outcome::Routed(decision) if matches!(decision.judging, Some(Judging::Ask(_))))
        });
        let asked = asked.count();
        assert!(asked > 0, "none of 24");
    }
}

//! Feedback in masses, among the requests of a soak: lists of receipts, at a pace, each receipt a new one that the proxy's key
//! signed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use hyper::body::Bytes;
use pointsman::analysis::classifier::{Classification, FINGERPRINT, Task};
use pointsman::api::{Api, Capabilities};
use pointsman::policy::draw::mix;
use pointsman::state::receipt::{Flags, Key, Receipt, RequestTraits, name_key};
use pointsman_cli::failure::Failure;
use pointsman_cli::io::http::{Answer, Connection};
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;

use crate::envoy::Config;

/// The key of a soak's receipts. It opens nothing else.
const KEY: &str = "the key of a soak, for nothing else";
const VARIABLE: &str = "POINTSMAN_RECEIPT_KEY";
/// Items of one list: as many as fit into the 65,536 bytes that feedback may have.
const ITEMS: u64 = 320;
/// Tenants that give feedback.
const TENANTS: u64 = 1000;

/// The feedback of a soak.
#[derive(Debug, Default)]
pub struct Feedback {
    /// Receipts that were taken.
    pub taken: AtomicU64,
    /// Receipts of lists that were taken in part, which were not.
    pub refused: AtomicU64,
    begun: AtomicU64,
}

impl Feedback {
    /// Receipts that were taken, and those that were refused.
    pub fn counts(&self) -> [u64; 2] {
        [&self.taken, &self.refused].map(|count| count.load(Ordering::Relaxed))
    }
}

/// `policy` with receipts, learning from all of them.
pub fn learning(mut policy: Value) -> Value {
    if let Some(members) = policy.as_object_mut() {
        members.insert("receipts".into(), json!({"mode": "on"}));
        let learning = json!({"mode": "apply", "max_per_hour": 0, "max_per_tenant_hour": 0});
        members.insert("learning".into(), learning);
    }
    policy
}

/// `config` with the key of receipts.
pub fn with_key(config: Config) -> Config {
    let mut plugin = config.plugin_configuration();
    if let Some(members) = plugin.as_object_mut() {
        members.insert("receipt_keys".into(), json!([VARIABLE]));
    }
    config.with_plugin_configuration(&plugin).set_plugin(
        "vm_config/environment_variables",
        json!({"key_values": {VARIABLE: KEY}}),
    )
}

/// Sends feedback over `connection` until it is stopped: `per_second` receipts a second. Late lists are sent at once.
///
/// # Errors
/// [`Failure::Failed`] if a list is not answered with 202.
pub async fn send(
    mut connection: Connection,
    per_second: f64,
    models: u64,
    feedback: Arc<Feedback>,
    stop: impl AsRef<AtomicBool>,
) -> Result<(), Failure> {
    let Some(key) = Key::new(KEY.as_bytes()) else {
        return Err(Failure::Failed("the key of receipts is too short".into()));
    };
    let mut pace = tokio::time::interval(Duration::from_secs_f64(ITEMS as f64 / per_second));
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while !stop.as_ref().load(Ordering::Relaxed) {
        pace.tick().await;
        let first = feedback.begun.fetch_add(ITEMS, Ordering::Relaxed);
        let body = list(&key, first, models);
        let accepted = match connection.post("/v1/feedback", Bytes::from(body)).await {
            Ok(answer) if answer.status == 202 => accepted(&answer.body),
            Ok(Answer { status, body, .. }) => {
                let text = String::from_utf8_lossy(&body).into_owned();
                let text: String = text.chars().take(300).collect();
                return Err(Failure::Failed(format!(
                    "feedback was answered with {status}: {text}"
                )));
            }
            Err(error) => return Err(Failure::Failed(format!("feedback failed: {error}"))),
        };
        feedback.taken.fetch_add(accepted, Ordering::Relaxed);
        let refused = ITEMS.saturating_sub(accepted);
        feedback.refused.fetch_add(refused, Ordering::Relaxed);
    }
    Ok(())
}

/// How many items of a list were taken, by the answer to it.
fn accepted(answer: &[u8]) -> u64 {
    let document: Value = serde_json::from_slice(answer).unwrap_or_default();
    let accepted = document.get("accepted").and_then(Value::as_u64);
    accepted.unwrap_or_default()
}

/// A list of feedback: the receipts from number `first` on.
fn list(key: &Key, first: u64, models: u64) -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now_s = since.map_or(0, |since| since.as_secs() as u32);
    let items = (first..first + ITEMS).map(|number| {
        let receipt = receipt(number, models, now_s).encode(key);
        format!(r#"{{"receipt":"{receipt}","score":{}}}"#, number % 2)
    });
    let items: Vec<String> = items.collect();
    format!("[{}]", items.join(","))
}

fn receipt(number: u64, models: u64, now_s: u32) -> Receipt {
    let draw = mix(number);
    let model = format!("model-{}", draw % models.max(1));
    let tasks = Task::ALL.len() as u64;
    Receipt {
        policy: 0,
        time_s: now_s,
        nonce: draw,
        model: name_key(&model),
        backend: name_key("backend-0"),
        runner_up: None,
        profile: name_key("auto"),
        p: 0.7,
        runner_up_p: 0.0,
        propensity: 1.0,
        flags: Flags::default(),
        request: RequestTraits {
            api: Api::OpenAiChat,
            needs: Capabilities::NONE,
            input_tokens: 100,
            window_tokens: 100,
            max_tokens: None,
            choices: 1,
        },
        tenant: Some((draw >> 32 & 0xffff) as u32 % TENANTS as u32 + 1),
        classifier: FINGERPRINT,
        classification: Classification {
            task: usize::try_from(draw % tasks)
                .ok()
                .and_then(|place| Task::ALL.get(place).copied())
                .unwrap_or(Task::Chat),
            difficulty: (draw % 400) as f32 / 100.0 - 2.0,
            ..Classification::default()
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_read_from_the_answer() {
        assert_eq!(accepted(br#"{"accepted": 318, "rejected": [{}, {}]}"#), 318);
        assert_eq!(accepted(b"no"), 0);
    }

    #[test]
    fn a_list_fits_and_its_receipts_are_all_new() {
        let key = Key::new(KEY.as_bytes()).unwrap();
        let text = list(&key, 640, 10);
        assert!((60_000..=65_536).contains(&text.len()), "{}", text.len());
        let items: Vec<Value> = serde_json::from_str(&text).unwrap();
        let mut numbers: Vec<u64> = items
            .iter()
            .map(|item| {
                let text = item.get("receipt").and_then(Value::as_str).unwrap();
                Receipt::decode_trusted(text).unwrap().nonce
            })
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len() as u64, ITEMS);
    }
}

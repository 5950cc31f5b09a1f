//! Shares what outcomes teach of the models between the workers, once a tick. The core says what that is.

use std::cell::Cell;

use pointsman::policy::Policy;
use pointsman::state::learned_quality::Learned;
use pointsman::telemetry::Metric;

use super::shared_data::update;
use crate::{hostcalls, metrics, vm};

/// How often a lost race is tried again before it is left to the next tick.
const TRIES: u32 = 8;

/// The shared record of one plugin configuration.
pub struct LearningSync {
    key: String,
    /// The record's number and the policy when this worker read it last.
    adopted: Cell<(u32, u64)>,
}

impl LearningSync {
    /// Shares under this key; not at all if it is empty.
    pub const fn new(key: String) -> LearningSync {
        LearningSync {
            key,
            adopted: Cell::new((0, 0)),
        }
    }

    /// Adds this worker's news to the shared record, and takes over the record if it has changed.
    #[inline(never)]
    pub fn sync(&self, policy: &Policy) {
        if self.key.is_empty() || !policy.learning.is_on() {
            return;
        }
        let done = vm::with_router(|router| {
            let Some(router) = router else {
                return Ok(());
            };
            let quality = router.learned_quality();
            if quality.has_news(policy) {
                update(&self.key, TRIES, &mut |record| {
                    Some(quality.merge(record, policy))
                })?;
                quality.on_merged(policy);
            }
            let Some((record, number)) = hostcalls::shared(&self.key)? else {
                return Ok(());
            };
            let seen = (number, policy.traffic.fingerprint);
            if self.adopted.replace(seen) != seen {
                quality.adopt(&record, policy);
                metrics::record(&Metric::shared_learning_bytes(), record.len() as u64);
                show(policy, quality.learned(policy));
            }
            Ok::<(), hostcalls::HostError>(())
        });
        if done.is_err() {
            metrics::count(&Metric::host_call_errors());
        }
    }
}

/// Shows what is believed of each model that has outcomes as metrics.
#[inline(never)]
fn show(policy: &Policy, learned: &[Learned]) {
    let percent = |share: f32| (share * 100.0).round() as u64;
    for (model, learned) in policy.registry.models.iter().zip(learned) {
        let name = model.name.as_str();
        let Some(quality) = learned.quality else {
            continue;
        };
        let count = learned.count.round() as u64;
        metrics::record(&Metric::learned_outcomes(name), count);
        let [low, high] = quality.range;
        for (metric, share) in [
            (Metric::learned_quality_percent(name), quality.learned),
            (Metric::stated_quality_percent(name), quality.stated),
            (Metric::learned_interval_percent(name), (high - low) / 2.0),
        ] {
            metrics::record(&metric, percent(share));
        }
    }
}

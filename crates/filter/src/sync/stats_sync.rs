//! What this worker has learned of the backends, and the record in shared data by which workers learn from each other.
//!
//! Merged at most twice a second, before a decision: no timer, and one read of a small record. A write that loses the race
//! is tried again at the next merge; nothing is lost by that.

use std::cell::{Cell, RefCell};

use pointsman::fleet::clusters;
use pointsman::policy::Policy;
use pointsman::state::backend_stats::{BackendStats, Delivery};
use pointsman::telemetry::Metric;

use crate::sync::policy_store::ABSENT;
use crate::{hostcalls, metrics};

/// Nanoseconds between two merges.
const PERIOD_NS: u64 = 500_000_000;

/// The worker's own view, and where the workers meet.
pub struct Observations {
    key: String,
    /// The same for when those that scale to zero were used.
    warmth_key: String,
    live: RefCell<BackendStats>,
    merged_ns: Cell<u64>,
    /// What the metrics say, where it is not 100 per cent.
    told: RefCell<Vec<(u32, u64)>>,
}

impl Observations {
    /// Knows nothing yet; shares what it learns under these keys, or with nobody where they are empty.
    pub fn new(key: String, warmth_key: String) -> Observations {
        Observations {
            key,
            warmth_key,
            live: RefCell::new(BackendStats::new()),
            merged_ns: Cell::new(0),
            told: RefCell::new(Vec::new()),
        }
    }

    /// Calls `with` with what was learned, or with `None` where it is in use, which cannot be.
    pub fn with<T>(&self, with: impl FnOnce(Option<&mut BackendStats>) -> T) -> T {
        match self.live.try_borrow_mut() {
            Ok(mut live) => with(Some(&mut live)),
            Err(_) => with(None),
        }
    }

    /// Where the workers tell each other when backends were used.
    pub fn warmth_key(&self) -> &str {
        &self.warmth_key
    }

    /// Merges with the other workers, where it is time.
    pub fn merge(&self, policy: &Policy, now_ns: u64) {
        if self.key.is_empty()
            || !policy.observes
            || now_ns.saturating_sub(self.merged_ns.get()) < PERIOD_NS
        {
            return;
        }
        self.merged_ns.set(now_ns);
        let Ok(mut live) = self.live.try_borrow_mut() else {
            return;
        };
        let (record, cas) = hostcalls::shared(&self.key)
            .ok()
            .flatten()
            .unwrap_or_default();
        let has_news = live.has_news();
        let merged = live.merge(&record);
        // The host creates an absent key whatever the number is, and 0 would not compare.
        let cas = if cas == 0 { ABSENT } else { cas };
        if has_news && hostcalls::set_shared(&self.key, &merged, cas).is_ok() {
            live.on_merged();
            metrics::record(&Metric::shared_stats_bytes(), merged.len() as u64);
        }
        self.tell(policy, &live, now_ns);
    }

    /// Shows as metrics how slow the backends are, where that has changed.
    fn tell(&self, policy: &Policy, live: &BackendStats, now_ns: u64) {
        let Ok(mut told) = self.told.try_borrow_mut() else {
            return;
        };
        for backend in &policy.registry.backends {
            let link = clusters::backend_key(&backend.name);
            let state = live.observe(link, Delivery::Streamed, now_ns);
            let percent = match live.is_down(link) {
                true => 0,
                false => (state.latency_ratio() * 100.0).round() as u64,
            };
            let place = told.iter().position(|(known, _)| *known == link);
            let known = place.and_then(|place| told.get_mut(place));
            match known {
                Some((_, value)) if *value == percent => continue,
                Some((_, value)) => *value = percent,
                None if percent == 100 => continue,
                None => told.push((link, percent)),
            }
            metrics::record(&Metric::backend_latency_percent(&backend.name), percent);
        }
    }
}

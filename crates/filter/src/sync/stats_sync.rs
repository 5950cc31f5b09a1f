//! Holds this worker's statistics of the backends, and merges them with those of the other workers through a shared record.
//!
//! Merges at most twice a second, before a decision: no timer, and one read of a small record. A write that loses the race waits
//! for the next merge; nothing is lost.

use std::cell::{Cell, RefCell};

use pointsman::analysis::classifier::Task;
use pointsman::fleet::clusters;
use pointsman::policy::Policy;
use pointsman::state::backend_stats::{BackendStats, Delivery};
use pointsman::telemetry::Metric;

use super::shared_data::update;
use crate::metrics;

/// Nanoseconds between two merges.
const PERIOD_NS: u64 = 500_000_000;

/// A learned ratio that a metric shows, of the backend with this key.
#[derive(Clone, Copy, PartialEq)]
enum Ratio {
    Latency(u32),
    AnswerLength(u32, Task),
}

/// The statistics of one worker, and the keys of the shared records.
pub struct StatsSync {
    key: String,
    /// The key of the record of when backends that scale to zero were used.
    warmth_key: String,
    stats: RefCell<BackendStats>,
    merged_ns: Cell<u64>,
    /// The learned ratios that the metrics show, in percent; 100 if there is none.
    shown: RefCell<Vec<(Ratio, u64)>>,
}

impl StatsSync {
    /// Empty statistics, shared under these keys; not shared if the keys are empty.
    pub fn new(key: String, warmth_key: String) -> StatsSync {
        StatsSync {
            key,
            warmth_key,
            stats: RefCell::new(BackendStats::new()),
            merged_ns: Cell::new(0),
            shown: RefCell::new(Vec::new()),
        }
    }

    /// Calls `with` with the statistics, or with `None` if they are in use, which cannot happen.
    pub fn with<T>(&self, with: impl FnOnce(Option<&mut BackendStats>) -> T) -> T {
        match self.stats.try_borrow_mut() {
            Ok(mut stats) => with(Some(&mut stats)),
            Err(_) => with(None),
        }
    }

    /// The key of the record of when backends that scale to zero were used.
    pub fn warmth_key(&self) -> &str {
        &self.warmth_key
    }

    /// Merges with the other workers, if it is time.
    pub fn merge(&self, policy: &Policy, now_ns: u64) {
        if self.key.is_empty()
            || !policy.observes
            || now_ns.saturating_sub(self.merged_ns.get()) < PERIOD_NS
        {
            return;
        }
        self.merged_ns.set(now_ns);
        let Ok(mut stats) = self.stats.try_borrow_mut() else {
            return;
        };
        let mut size = 0;
        let change = &mut |record: &[u8]| {
            let has_news = stats.has_news();
            let merged = stats.merge(record);
            size = merged.len() as u64;
            has_news.then_some(merged)
        };
        if update(&self.key, 1, change) == Ok(true) {
            stats.on_merged();
            metrics::record(&Metric::shared_stats_bytes(), size);
        }
        self.show(policy, &stats, now_ns);
    }

    /// Shows the learned ratios that have changed as metrics.
    #[inline(never)]
    fn show(&self, policy: &Policy, stats: &BackendStats, now_ns: u64) {
        let Ok(mut shown) = self.shown.try_borrow_mut() else {
            return;
        };
        for backend in &policy.registry.backends {
            let key = clusters::backend_key(&backend.name);
            let state = stats.observe(key, Delivery::Streamed, now_ns);
            let latency = match stats.is_down(key) {
                true => 0,
                false => percent(state.latency_ratio()),
            };
            if changes(&mut shown, Ratio::Latency(key), latency) {
                metrics::record(&Metric::backend_latency_percent(&backend.name), latency);
            }
            for &task in Task::ALL {
                let length = percent(state.length_ratio(task));
                if changes(&mut shown, Ratio::AnswerLength(key, task), length) {
                    metrics::record(
                        &Metric::answer_length_percent(&backend.name, task.name()),
                        length,
                    );
                }
            }
        }
    }
}

fn percent(ratio: f32) -> u64 {
    (ratio * 100.0).round() as u64
}

/// Whether a metric shows another value of `ratio` than `value`, which it shows from now on.
fn changes(shown: &mut Vec<(Ratio, u64)>, ratio: Ratio, value: u64) -> bool {
    let known = shown.iter_mut().find(|(other, _)| *other == ratio);
    match known {
        Some((_, before)) => std::mem::replace(before, value) != value,
        None if value == 100 => false,
        None => {
            shown.push((ratio, value));
            true
        }
    }
}

//! Metric ids, defined once per VM: the host knows a metric by its number, the core by its name.

use std::cell::RefCell;

use pointsman::telemetry::{MAX_METRICS, Metric, MetricKind};

use crate::hostcalls;

thread_local! {
    /// Sorted by [`order`]. A module has one thread, so this is the VM's.
    static IDS: RefCell<Vec<(String, u32)>> = const { RefCell::new(Vec::new()) };
}

/// Adds 1 to a counter.
pub fn count(metric: &Metric) {
    add(metric, 1);
}

/// Adds to a counter, or to a gauge that all workers add to.
pub fn add(metric: &Metric, amount: u64) {
    let amount = i64::try_from(amount).unwrap_or(i64::MAX);
    let _ = match id(metric) {
        Some(id) => hostcalls::increment_metric(id, amount),
        None => dropped(),
    };
}

/// Sets a gauge, or records a value in a histogram.
pub fn record(metric: &Metric, value: u64) {
    let _ = match id(metric) {
        Some(id) => hostcalls::record_metric(id, value),
        None => dropped(),
    };
}

/// Defines metrics without counting anything.
pub fn define(all: &[Metric]) {
    for metric in all {
        let _ = id(metric);
    }
}

fn dropped() -> Result<(), hostcalls::HostError> {
    id(&Metric::metrics_dropped()).map_or(Ok(()), |id| hostcalls::increment_metric(id, 1))
}

/// The number of a metric; `None` if the host refuses it or the VM has as many as it may.
fn id(metric: &Metric) -> Option<u32> {
    IDS.with(|ids| {
        let mut ids = ids.try_borrow_mut().ok()?;
        let place = match ids.binary_search_by(|(name, _)| order(name).cmp(&order(&metric.name))) {
            Ok(index) => return ids.get(index).map(|(_, id)| *id),
            Err(place) => place,
        };
        // The last place belongs to the metric of dropped metrics.
        let is_last_resort = *metric == Metric::metrics_dropped();
        if ids.len() + 1 >= MAX_METRICS && !is_last_resort {
            return None;
        }
        let id = hostcalls::define_metric(kind(metric.kind), &metric.name).ok()?;
        ids.insert(place, (metric.name.to_string(), id));
        Some(id)
    })
}

/// Names have long beginnings in common: their lengths tell most apart.
fn order(name: &str) -> (usize, &str) {
    (name.len(), name)
}

fn kind(kind: MetricKind) -> u32 {
    match kind {
        MetricKind::Counter => 0,
        MetricKind::Gauge => 1,
        MetricKind::Histogram => 2,
    }
}

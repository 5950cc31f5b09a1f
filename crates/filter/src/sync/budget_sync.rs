//! Shares the spending of budgets between the workers, once a tick. The core counts it.

use std::cell::Cell;

use pointsman::telemetry::Metric;

use super::shared_data::update;
use crate::{hostcalls, metrics, vm};

/// Milliseconds between two ticks: how long a worker does not know what the others spend.
pub const TICK_MS: u32 = 1000;

/// The record that all workers share. It names accounts by budget and tenant, so that one serves all configurations.
const KEY: &str = "pointsman.spending.2";

/// How many workers have been given a number; a record of eight bytes.
const WORKERS_KEY: &str = "pointsman.workers";

/// How often a lost race is tried again before it is left to the next tick.
const TRIES: u32 = 8;

thread_local! {
    /// The number of this worker among those that share the record; 0 before it has one.
    static NUMBER: Cell<u64> = const { Cell::new(0) };
}

/// The number of this worker; `None` if it cannot be had now. A VM that replaces a failed one gets another number: what the
/// failed one held belongs to nobody.
fn number() -> Option<u64> {
    if NUMBER.get() == 0 {
        let mut next = 0;
        let change = &mut |record: &[u8]| {
            let given = record.first_chunk().copied().map_or(0, u64::from_le_bytes);
            next = given.saturating_add(1);
            Some(next.to_le_bytes().to_vec())
        };
        update(WORKERS_KEY, TRIES, change).ok()?;
        NUMBER.set(next);
    }
    Some(NUMBER.get())
}

/// Adds this worker's spending to the shared record and takes over that of the others.
#[inline(never)]
pub fn sync() {
    let Ok(now_ns) = hostcalls::now_ns() else {
        return;
    };
    let now = now_ns / 1_000_000_000;
    vm::with_router(|router| {
        let Some(router) = router else {
            return;
        };
        let accounts = router.budget_accounts();
        let Some(worker) = number() else {
            return metrics::count(&Metric::host_call_errors());
        };
        let mut merged = None;
        let change = &mut |record: &[u8]| {
            if record.is_empty() && accounts.is_empty() {
                return None;
            }
            let after = accounts.merge(record, now, worker);
            let changed = (after != record).then(|| after.clone());
            merged = Some(after);
            changed
        };
        let result = update(KEY, TRIES, change);
        match (result, merged) {
            (Ok(_), Some(merged)) => accounts.adopt(&merged, now, worker),
            (Ok(_), None) => {}
            (Err(_), _) => metrics::count(&Metric::host_call_errors()),
        }
    });
}

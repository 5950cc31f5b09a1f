//! What was spent of budgets, told to the other workers once a tick and heard from them. What is counted is the core's.

use std::cell::Cell;

use pointsman::telemetry::Metric;

use crate::hostcalls::{self, HostError};
use crate::{metrics, vm};

/// Milliseconds between two ticks: how long a worker does not know what the others spend.
pub const TICK_MS: u32 = 1000;

/// The record that all workers share. Accounts are named by budget and tenant, so one serves all configurations.
const KEY: &str = "pointsman.spending.2";

/// How many workers have been given a number; a record of eight bytes.
const WORKERS_KEY: &str = "pointsman.workers";

/// Another worker may write at the same time; after so many tries the next tick does it.
const TRIES: u32 = 8;

thread_local! {
    /// The number of this worker among those that share the record; 0 before it has one.
    static NUMBER: Cell<u64> = const { Cell::new(0) };
}

/// The number of this worker. A virtual machine that takes the place of a failed one gets another one, so that what that one
/// held is nobody's. `None` where it cannot be had now.
fn number() -> Option<u64> {
    if NUMBER.get() > 0 {
        return Some(NUMBER.get());
    }
    for _ in 0..TRIES {
        let (given, cas) = match hostcalls::shared(WORKERS_KEY).ok()? {
            Some((bytes, cas)) => (
                bytes.first_chunk().copied().map_or(0, u64::from_le_bytes),
                cas,
            ),
            // A number that no record has: written only if there still is none.
            None => (0, u32::MAX),
        };
        let next = given.saturating_add(1);
        match hostcalls::set_shared(WORKERS_KEY, &next.to_le_bytes(), cas) {
            Ok(()) => {
                NUMBER.set(next);
                return Some(next);
            }
            Err(HostError::CAS_MISMATCH) => {}
            Err(_) => return None,
        }
    }
    None
}

/// Exchanges what was spent with the other workers.
pub fn exchange() {
    let Ok(now_ns) = hostcalls::now_ns() else {
        return;
    };
    let now = now_ns / 1_000_000_000;
    vm::with_router(|router| {
        let Some(router) = router else {
            return;
        };
        let spending = router.budget_accounts();
        let Some(worker) = number() else {
            return metrics::count(&Metric::host_call_errors());
        };
        for _ in 0..TRIES {
            let (record, cas) = match hostcalls::shared(KEY) {
                Ok(Some((record, cas))) => (record, cas),
                Ok(None) if spending.is_empty() => return,
                // A number that no record has: written only if there still is none.
                Ok(None) => (Vec::new(), u32::MAX),
                Err(_) => break,
            };
            let told = spending.merge(&record, now, worker);
            if told == record {
                return spending.adopt(&record, now, worker);
            }
            match hostcalls::set_shared(KEY, &told, cas) {
                Ok(()) => return spending.adopt(&told, now, worker),
                Err(HostError::CAS_MISMATCH) => {}
                Err(_) => break,
            }
        }
        metrics::count(&Metric::host_call_errors());
    });
}

//! What was spent of budgets, told to the other workers once a tick and heard from them. What is counted is the core's.

use pointsman::telemetry;

use crate::hostcalls::{self, HostError};
use crate::{metrics, vm};

/// Milliseconds between two ticks: how long a worker does not know what the others spend.
pub const TICK_MS: u32 = 1000;

/// The record that all workers share. Accounts are named by budget and tenant, so one serves all configurations.
const KEY: &str = "pointsman.spending";

/// Another worker may write at the same time; after so many tries the next tick does it.
const TRIES: u32 = 8;

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
        let spending = router.spending();
        for _ in 0..TRIES {
            let (record, cas) = match hostcalls::shared(KEY) {
                Ok(Some((record, cas))) => (record, cas),
                Ok(None) if spending.is_empty() => return,
                // A number that no record has: written only if there still is none.
                Ok(None) => (Vec::new(), u32::MAX),
                Err(_) => break,
            };
            let told = spending.tell(&record, now);
            if told == record {
                return spending.told(&record, now);
            }
            match hostcalls::set_shared(KEY, &told, cas) {
                Ok(()) => return spending.told(&told, now),
                Err(HostError::CAS_MISMATCH) => {}
                Err(_) => break,
            }
        }
        metrics::count(&telemetry::HOST_FAULTS);
    });
}

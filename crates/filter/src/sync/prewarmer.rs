//! Keeps backends warm that scale to zero: shares when each was used, and sends the minimal requests that are due.
//!
//! Every VM of a configuration ticks, the main thread's too, and plans on one shared record. The VM that writes by
//! compare-and-swap that a request is due sends it, so that exactly one does. `pointsman::state::scale_to_zero` decides when a
//! request is due, `pointsman::exchange::prewarm` what it holds.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use log::Level;
use pointsman::exchange::prewarm;
use pointsman::fleet::{Backend, BackendId};
use pointsman::policy::Policy;
use pointsman::routing::fallback_chain::PolicyRef;
use pointsman::telemetry::{Metric, nano_usd};

use super::policy_store::PolicyStore;
use super::shared_data::update;
use crate::hostcalls::{self, HostError, Map};
use crate::{header_map, logger, metrics, vm};

/// How often a lost race is tried again before it is left to the next tick.
const TRIES: u32 = 8;

/// The minimal requests of one VM.
#[derive(Default)]
pub struct Prewarmer {
    /// Requests without an answer: the host's number and the name of the backend.
    under_way: RefCell<Vec<(u32, String)>>,
    /// The log says that none can be sent.
    complained: Cell<bool>,
}

impl Prewarmer {
    /// Shares when backends were used, and sends the requests that are due.
    #[inline(never)]
    pub fn tick(&self, store: &PolicyStore) {
        let Some(policy) = store.peek() else {
            return;
        };
        if policy
            .registry
            .backends
            .iter()
            .all(|backend| backend.cold.is_none())
        {
            return;
        }
        let Ok(now_ns) = hostcalls::now_ns() else {
            return;
        };
        let prewarms = |backend: &Backend| {
            backend
                .cold
                .as_ref()
                .is_some_and(|cold| cold.prewarm.is_some())
        };
        if vm::has_attempts()
            && policy.registry.backends.iter().any(prewarms)
            && !self.complained.replace(true)
        {
            let text = "no backend is kept warm: the attempt filter runs in the same virtual machine; give its `vm_config` another `configuration`, as `pointsman render` does";
            logger::line(Level::Error, text);
        }
        match plan(store, &policy, now_ns) {
            Ok(due) => {
                let due = due.into_iter().filter_map(|id| policy.registry.backend(id));
                due.for_each(|backend| self.send(backend, &policy, store));
            }
            Err(_) => metrics::count(&Metric::host_call_errors()),
        }
    }

    fn send(&self, backend: &Backend, policy: &Policy, store: &PolicyStore) {
        let origin = PolicyRef {
            policy: policy.fingerprint32(),
            plugin: store.fingerprint(),
        };
        let call = prewarm::call(backend, store.failover(), origin);
        let headers = call.headers.iter();
        let headers = headers
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let timeout = Duration::from_millis(u64::from(call.timeout_ms));
        match hostcalls::call(&call.cluster, headers, Some(&call.body), timeout) {
            Ok(number) => {
                metrics::count(&Metric::prewarms(&backend.name));
                // Defined from the start, so that a change is seen.
                metrics::add(&Metric::prewarm_failures(&backend.name), 0);
                let prewarm = backend.cold.as_ref().and_then(|cold| cold.prewarm.as_ref());
                let usd = prewarm.map_or(0.0, |prewarm| prewarm.request_usd);
                let metric = Metric::prewarm_cost_nano_usd(&backend.name);
                metrics::add(&metric, nano_usd(usd));
                if let Ok(mut under_way) = self.under_way.try_borrow_mut() {
                    under_way.push((number, backend.name.clone()));
                }
            }
            // There is no such cluster.
            Err(_) => metrics::count(&Metric::prewarm_failures(&backend.name)),
        }
    }

    /// Takes the response to the call with this number; `false` if the call is not a prewarm.
    #[inline(never)]
    pub fn on_response(&self, number: u32) -> bool {
        let Ok(mut under_way) = self.under_way.try_borrow_mut() else {
            return false;
        };
        let Some(place) = under_way.iter().position(|(call, _)| *call == number) else {
            return false;
        };
        let (_, backend) = under_way.swap_remove(place);
        let bytes = hostcalls::headers(Map::CallResponse).unwrap_or_default();
        let headers = header_map::decode(&bytes);
        let status = headers.iter().find(|(name, _)| *name == b":status");
        if status.is_none_or(|(_, status)| !status.starts_with(b"2")) {
            metrics::count(&Metric::prewarm_failures(&backend));
        }
        true
    }
}

/// Shares when backends were used, and gives those that this VM has to send a request to.
#[inline(never)]
fn plan(store: &PolicyStore, policy: &Policy, now_ns: u64) -> Result<Vec<BackendId>, HostError> {
    let sync = store.stats();
    let may =
        |backend: &Backend| !vm::has_attempts() && prewarm::may_call(backend, store.failover());
    sync.with(|stats| {
        let Some(stats) = stats else {
            return Ok(Vec::new());
        };
        let (mut shared, mut due) = (Vec::new(), Vec::new());
        let change = &mut |record: &[u8]| {
            let plan = stats
                .scale_to_zero
                .plan(record, &policy.registry, may, now_ns);
            let changed = (plan.record != record).then(|| plan.record.clone());
            (shared, due) = (plan.record, plan.due);
            changed
        };
        match update(sync.warmth_key(), TRIES, change) {
            Ok(_) => {
                stats.scale_to_zero.adopt(&shared);
                Ok(due)
            }
            // Left to the next tick.
            Err(HostError::CAS_MISMATCH) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    })
}

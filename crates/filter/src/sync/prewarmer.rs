//! Keeps backends warm that scale to zero: tells the other workers when each was used, and sends the minimal requests that are
//! due. When they are, `pointsman::state::scale_to_zero` says; what they hold, `pointsman::exchange::prewarm`.
//!
//! Every VM of a configuration ticks, the main thread's too, and plans on one shared record: who writes by compare-and-swap
//! that a request is due sends it, so that one does.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use log::Level;
use pointsman::exchange::prewarm;
use pointsman::fleet::{Backend, BackendId};
use pointsman::policy::Policy;
use pointsman::routing::fallback_chain::PolicyRef;
use pointsman::telemetry::Metric;

use crate::hostcalls::{self, HostError, Map};
use crate::sync::policy_store::{ABSENT, Published};
use crate::{header_map, logger, metrics, vm};

/// Another worker may write at the same time; after so many tries the next tick does it.
const TRIES: u32 = 8;

/// The minimal requests of one VM.
#[derive(Default)]
pub struct Warmer {
    /// Those without an answer: the host's number and the backend's name.
    under_way: RefCell<Vec<(u32, String)>>,
    /// It was said that none can be sent.
    complained: Cell<bool>,
}

impl Warmer {
    /// Tells and hears when backends were used, and sends what is due.
    pub fn tick(&self, published: &Published) {
        let Some(policy) = published.look() else {
            return;
        };
        if policy
            .registry
            .backends
            .iter()
            .all(|one| one.cold.is_none())
        {
            return;
        }
        let Ok(now_ns) = hostcalls::now_ns() else {
            return;
        };
        let prewarms = |one: &Backend| one.cold.as_ref().is_some_and(|cold| cold.prewarm.is_some());
        if vm::has_attempts()
            && policy.registry.backends.iter().any(prewarms)
            && !self.complained.replace(true)
        {
            let text = "no backend is kept warm: the filter of attempts runs in the same virtual machine, where `pointsman render` gives it another `configuration`";
            logger::line(Level::Error, text);
        }
        match plan(published, &policy, now_ns) {
            Ok(due) => {
                let due = due.into_iter().filter_map(|id| policy.registry.backend(id));
                due.for_each(|backend| self.send(backend, &policy, published));
            }
            Err(_) => metrics::count(&Metric::host_call_errors()),
        }
    }

    fn send(&self, backend: &Backend, policy: &Policy, published: &Published) {
        let origin = PolicyRef {
            policy: policy.mark(),
            plugin: published.fingerprint(),
        };
        let call = prewarm::call(backend, published.failover(), origin);
        let headers = call.headers.iter();
        let headers = headers
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let timeout = Duration::from_millis(u64::from(call.timeout_ms));
        match hostcalls::call(&call.cluster, headers, Some(&call.body), timeout) {
            Ok(number) => {
                metrics::count(&Metric::prewarms(&backend.name));
                // There from the start, so that a change is seen.
                metrics::add(&Metric::prewarm_failures(&backend.name), 0);
                let prewarm = backend.cold.as_ref().and_then(|cold| cold.prewarm.as_ref());
                let usd = prewarm.map_or(0.0, |prewarm| prewarm.request_usd);
                let nano_usd = (usd * 1e9).round() as u64;
                metrics::add(&Metric::prewarm_cost_nano_usd(&backend.name), nano_usd);
                if let Ok(mut under_way) = self.under_way.try_borrow_mut() {
                    under_way.push((number, backend.name.clone()));
                }
            }
            // No such cluster.
            Err(_) => metrics::count(&Metric::prewarm_failures(&backend.name)),
        }
    }

    /// The answer to a call of this number; whether it is one of ours.
    pub fn answered(&self, number: u32) -> bool {
        let Ok(mut under_way) = self.under_way.try_borrow_mut() else {
            return false;
        };
        let Some(place) = under_way.iter().position(|(one, _)| *one == number) else {
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

/// Tells the other workers, and gives who is due: to be sent a request by this VM and no other.
fn plan(published: &Published, policy: &Policy, now_ns: u64) -> Result<Vec<BackendId>, HostError> {
    let observations = published.observations();
    let key = observations.warmth_key();
    let may =
        |backend: &Backend| !vm::has_attempts() && prewarm::may_call(backend, published.failover());
    observations.with(|live| {
        let Some(live) = live else {
            return Ok(Vec::new());
        };
        for _ in 0..TRIES {
            let (record, cas) = hostcalls::shared(key)?.unwrap_or((Vec::new(), ABSENT));
            let plan = live
                .scale_to_zero
                .plan(&record, &policy.registry, may, now_ns);
            let written = match plan.record == record {
                true => Ok(()),
                false => hostcalls::set_shared(key, &plan.record, cas),
            };
            match written {
                Ok(()) => {
                    live.scale_to_zero.adopt(&plan.record);
                    return Ok(plan.due);
                }
                Err(HostError::CAS_MISMATCH) => {}
                Err(error) => return Err(error),
            }
        }
        // The next tick tells it.
        Ok(Vec::new())
    })
}

//! The proxy-wasm module: translates between Envoy and the core, and decides nothing.
//!
//! `exchange` and `attempt` turn callbacks into events of the core's state machines; `effects` turns their effects into host
//! calls; `hostcalls` declares these calls, and is the only file with `unsafe` code; `judge_calls` keeps the calls of judges that are under way, `grading_calls` those that grade answers; `sync` holds what workers share. The core
//! (`pointsman`) knows no host. Nothing here may panic, whatever the host says: a trap is a 503 for every stream of its worker.

mod attempt;
mod effects;
mod exchange;
mod grading_calls;
mod header_map;
mod hostcalls;
mod judge_calls;
mod logger;
mod metrics;
mod sync;
#[cfg(feature = "test-trap")]
mod test_trap;
mod vm;

use std::rc::Rc;

use log::Level;
use pointsman::control::plugin::Role;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use attempt::{AttemptConfig, AttemptFilter};
use exchange::Exchange;
use grading_calls::GradingCalls;
use hostcalls::Buffer;
use sync::budget_sync;
use sync::policy_cache::PolicyCache;
use sync::policy_store::{self, PolicyStore};
use sync::poller::Poller;
use sync::prewarmer::Prewarmer;

/// The module's entry, in a module of its own: the macro writes a public function without documentation.
mod entry {
    use super::Root;

    proxy_wasm::main! {{
        proxy_wasm::set_root_context(|_| Box::new(Root::new()));
    }}
}

/// One plugin configuration in one VM.
struct Root {
    /// Set if the configuration is that of an attempt filter.
    attempts: Option<Rc<AttemptConfig>>,
    store: Rc<PolicyStore>,
    /// Boxed, as the prewarmer is, for the SDK's default methods: see [`AttemptFilter`].
    poller: Option<Box<Poller>>,
    prewarmer: Box<Prewarmer>,
    grading: Rc<GradingCalls>,
    /// Milliseconds since the last exchange with the other workers.
    unsynced_ms: u32,
}

impl Root {
    fn new() -> Root {
        Root {
            attempts: None,
            store: Rc::new(PolicyStore::empty()),
            poller: None,
            prewarmer: Box::default(),
            grading: Rc::default(),
            unsynced_ms: 0,
        }
    }

    /// Takes a configuration. `false` only if its bytes are wrong, so that every VM says the same: a single worker that refuses
    /// loses the filter without a word, and every later update.
    fn configure(&mut self, size: usize) -> bool {
        let Ok(bytes) = hostcalls::buffer(Buffer::PluginConfiguration, size) else {
            logger::line(
                Level::Error,
                "the plugin configuration cannot be read: nothing is routed",
            );
            return true;
        };
        let role = match Role::compile(&bytes) {
            Ok(role) => role,
            Err(invalid) => {
                policy_store::report(&invalid.problems);
                return false;
            }
        };
        metrics::define(role.faults());
        match role {
            Role::Router(plugin) => {
                // Without ticks each worker has budgets of its own.
                let _ = hostcalls::set_tick_period(budget_sync::TICK_MS);
                self.poller = Poller::start(&plugin).map(Box::new);
                self.store = Rc::new(PolicyStore::publish(*plugin));
            }
            Role::Attempt(failover) => {
                vm::note_attempts();
                self.attempts = Some(Rc::new(AttemptConfig {
                    failover,
                    policies: PolicyCache::default(),
                }));
            }
        }
        true
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, number: u32, _: usize, body_size: usize, _: usize) {
        if !self.prewarmer.on_response(number)
            && !self.grading.on_response(number, body_size, &self.store)
            && let Some(poller) = &self.poller
        {
            poller.on_response(&self.store, body_size);
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        logger::install();
        self.configure(size)
    }

    fn on_tick(&mut self) {
        let poller = self.poller.as_mut();
        let passed_ms = poller.map_or(budget_sync::TICK_MS, |poller| poller.tick());
        self.unsynced_ms = self.unsynced_ms.saturating_add(passed_ms);
        if self.unsynced_ms >= budget_sync::TICK_MS {
            self.unsynced_ms = 0;
            budget_sync::sync();
            vm::report_memory();
            self.store.tick();
            self.store.sync_learning();
            self.prewarmer.tick(&self.store);
            self.grading.send_due(&self.store);
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        if let Some(attempts) = &self.attempts {
            return Some(Box::new(AttemptFilter::new(Rc::clone(attempts))));
        }
        vm::load_router();
        let (store, grading) = (Rc::clone(&self.store), Rc::clone(&self.grading));
        Some(Box::new(Exchange::new(id, store, grading)))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

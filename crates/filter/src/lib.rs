//! The proxy-wasm module: translates host calls, and nothing else.
//!
//! What happens to a request is decided in the core (`pointsman::exchange`); how a callback becomes an event and an effect a
//! host call is in `exchange`; what is called is in `hostcalls`. No panic, whatever the host says: a trap is a 503 for
//! every stream of its worker.

mod attempt;
mod exchange;
mod header_map;
mod hostcalls;
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

use attempt::{Attempts, Upstream};
use exchange::Exchange;
use hostcalls::Buffer;
use sync::budget_sync;
use sync::policy_cache::Decided;
use sync::policy_store::{self, Published};
use sync::poller::Poller;
use sync::prewarmer::Warmer;

/// The module's entry; a room of its own because the macro writes a public function without a word on it.
mod entry {
    use super::Root;

    proxy_wasm::main! {{
        proxy_wasm::set_root_context(|_| Box::new(Root::new()));
    }}
}

/// One plugin configuration in one VM.
struct Root {
    /// Set where it is the configuration of attempts.
    attempts: Option<Rc<Attempts>>,
    published: Rc<Published>,
    poller: Option<Poller>,
    warmer: Warmer,
    /// Milliseconds since the other workers were told what was spent.
    untold_ms: u32,
}

impl Root {
    fn new() -> Root {
        Root {
            attempts: None,
            published: Rc::new(Published::nothing()),
            poller: None,
            warmer: Warmer::default(),
            untold_ms: 0,
        }
    }

    /// Takes a configuration; `false` only where its bytes are wrong, so that every VM says the same of it: a worker that
    /// alone says no loses the filter silently, and every later update.
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
                // Without ticks budgets are each worker's own.
                let _ = hostcalls::set_tick_period(budget_sync::TICK_MS);
                self.poller = Poller::start(&plugin);
                self.published = Rc::new(Published::publish(*plugin));
            }
            Role::Attempt(failover) => {
                vm::note_attempts();
                self.attempts = Some(Rc::new(Attempts {
                    failover,
                    decided: Decided::default(),
                }));
            }
        }
        true
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, number: u32, _: usize, body_size: usize, _: usize) {
        if !self.warmer.answered(number)
            && let Some(poller) = &self.poller
        {
            poller.answered(&self.published, body_size);
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        logger::install();
        self.configure(size)
    }

    fn on_tick(&mut self) {
        let passed_ms = self
            .poller
            .as_mut()
            .map_or(budget_sync::TICK_MS, Poller::tick);
        self.untold_ms = self.untold_ms.saturating_add(passed_ms);
        if self.untold_ms >= budget_sync::TICK_MS {
            self.untold_ms = 0;
            budget_sync::exchange();
            vm::tell_memory();
            self.published.tick();
            self.warmer.tick(&self.published);
        }
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        if let Some(attempts) = &self.attempts {
            return Some(Box::new(Upstream::new(Rc::clone(attempts))));
        }
        vm::warm();
        Some(Box::new(Exchange::new(Rc::clone(&self.published))))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

//! State that a VM has once, whatever the number of its plugin configurations: the router with its classifier.

use std::cell::{Cell, RefCell};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use log::Level;
use pointsman::policy::draw;
use pointsman::routing::router::Router;
use pointsman::telemetry::Metric;

use crate::{logger, metrics};

thread_local! {
    /// A module has one thread, so this is the VM's.
    static ROUTER: RefCell<Option<Router>> = const { RefCell::new(None) };
    /// Whether an attempt filter runs in this VM as well.
    static HAS_ATTEMPTS: Cell<bool> = const { Cell::new(false) };
    /// The number of receipts that this VM has made, from a random start.
    static RECEIPTS: Cell<Option<u64>> = const { Cell::new(None) };
    /// Bytes of this VM's memory that the metric counts.
    static REPORTED_BYTES: Cell<usize> = const { Cell::new(0) };
}

/// Notes that an attempt filter runs in this VM.
pub fn note_attempts() {
    HAS_ATTEMPTS.set(true);
}

/// Whether an attempt filter runs in this VM. If so, no callback may call a backend: the attempt filter would begin inside the
/// callback, which the SDK answers with a trap.
pub fn has_attempts() -> bool {
    HAS_ATTEMPTS.get()
}

/// A number that no other receipt has: a random one, then the next ones, spread over all numbers. Two VMs meet on one number as
/// rarely as random numbers of 64 bits do.
pub fn nonce() -> u64 {
    let next = RECEIPTS.get().unwrap_or_else(random).wrapping_add(1);
    RECEIPTS.set(Some(next));
    draw::mix(next)
}

/// A random number of the host: the standard library seeds its hash maps with it.
pub fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Adds the growth of this VM's memory to the metric, if the VM serves requests.
pub fn report_memory() {
    let serves = ROUTER.with(|router| router.try_borrow().is_ok_and(|router| router.is_some()));
    if serves {
        let bytes = memory_bytes();
        let grown = bytes.saturating_sub(REPORTED_BYTES.replace(bytes));
        if grown > 0 {
            metrics::add(&Metric::linear_memory_bytes(), grown as u64);
        }
    }
}

/// All memory of this VM, used or not: wasm never gives any back.
fn memory_bytes() -> usize {
    #[cfg(target_arch = "wasm32")]
    let pages = core::arch::wasm32::memory_size::<0>();
    #[cfg(not(target_arch = "wasm32"))]
    let pages = 0;
    pages * 65_536
}

/// Loads the router, once. Called when a stream begins, not when the VM starts: the two VMs of the main thread never see a
/// stream, and so never pay for a model in memory.
pub fn load_router() {
    ROUTER.with(|router| {
        if let Ok(mut router) = router.try_borrow_mut()
            && router.is_none()
        {
            *router = Some(load());
        }
    });
}

/// Calls `with` with the router, or with `None` if it is in use, which cannot happen: it makes no callbacks.
pub fn with_router<T>(with: impl FnOnce(Option<&mut Router>) -> T) -> T {
    ROUTER.with(|router| match router.try_borrow_mut() {
        Ok(mut router) => with(router.as_mut()),
        Err(_) => with(None),
    })
}

fn load() -> Router {
    let (mut router, error) = Router::new();
    router.remember_turns(RandomState::new());
    if let Some(error) = error {
        let mut line = String::from("the classifier does not load, features alone decide: ");
        line.push_str(&error.0);
        logger::line(Level::Error, &line);
        metrics::count(&Metric::classifier_errors());
    }
    router
}

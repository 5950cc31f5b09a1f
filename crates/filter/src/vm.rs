//! What a VM has once, whatever the number of plugin configurations in it: the router with its classifier.

use std::cell::{Cell, RefCell};

use log::Level;
use pointsman::routing::router::Router;
use pointsman::telemetry::Metric;

use crate::{logger, metrics};

thread_local! {
    /// A module has one thread, so this is the VM's.
    static ROUTER: RefCell<Option<Router>> = const { RefCell::new(None) };
    /// Whether attempts are filtered in this VM too.
    static HAS_ATTEMPTS: Cell<bool> = const { Cell::new(false) };
    /// Bytes of this VM's memory that the metric has.
    static TOLD_BYTES: Cell<usize> = const { Cell::new(0) };
}

/// Attempts are filtered in this VM from now on.
pub fn note_attempts() {
    HAS_ATTEMPTS.set(true);
}

/// Whether attempts are filtered in this VM. Then no callback may call a backend: the attempt's filter would begin inside of
/// it, which the SDK answers with a trap.
pub fn has_attempts() -> bool {
    HAS_ATTEMPTS.get()
}

/// Adds what this VM's memory has grown by to the metric, where it serves requests.
pub fn tell_memory() {
    let serves = ROUTER.with(|router| router.try_borrow().is_ok_and(|router| router.is_some()));
    if serves {
        let bytes = memory_bytes();
        let grown = bytes.saturating_sub(TOLD_BYTES.replace(bytes));
        if grown > 0 {
            metrics::add(&Metric::linear_memory_bytes(), grown as u64);
        }
    }
}

/// All that this VM has, used or not: it never gives any back.
fn memory_bytes() -> usize {
    #[cfg(target_arch = "wasm32")]
    let pages = core::arch::wasm32::memory_size::<0>();
    #[cfg(not(target_arch = "wasm32"))]
    let pages = 0;
    pages * 65_536
}

/// Loads the router where that was not done. Called when a stream begins, not when the VM starts: the main thread's two VMs
/// never see a stream, and so never pay for a model in memory.
pub fn warm() {
    ROUTER.with(|router| {
        if let Ok(mut router) = router.try_borrow_mut()
            && router.is_none()
        {
            *router = Some(load());
        }
    });
}

/// Calls `with` with the router, or with `None` where it is in use, which cannot be: it calls nobody back.
pub fn with_router<T>(with: impl FnOnce(Option<&mut Router>) -> T) -> T {
    ROUTER.with(|router| match router.try_borrow_mut() {
        Ok(mut router) => with(router.as_mut()),
        Err(_) => with(None),
    })
}

fn load() -> Router {
    let (router, error) = Router::new();
    if let Some(error) = error {
        let mut line = String::from("the classifier does not load, features alone decide: ");
        line.push_str(&error.0);
        logger::line(Level::Error, &line);
        metrics::count(&Metric::classifier_errors());
    }
    router
}

//! What a VM has once, whatever the number of plugin configurations in it: the router with its classifier.

use std::cell::RefCell;

use log::Level;
use pointsman::router::Router;
use pointsman::telemetry;

use crate::{logger, metrics};

thread_local! {
    /// A module has one thread, so this is the VM's.
    static ROUTER: RefCell<Option<Router>> = const { RefCell::new(None) };
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
        metrics::count(&telemetry::CLASSIFIER_FAULTS);
    }
    router
}

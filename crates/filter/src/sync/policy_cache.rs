//! Compiled policies for attempts, by the policy that decided the request; read from shared data, where the router publishes.
//!
//! A request names the policy that decided it, because another one may be in force by the time of an attempt.

use std::cell::RefCell;
use std::rc::Rc;

use pointsman::control::policy_source::Bounds;
use pointsman::policy::Policy;
use pointsman::routing::fallback_chain::PolicyRef;

use super::shared_data::{Entry, decode, key_of};
use crate::hostcalls;

/// The size of the cache: the last policies of a few routers. A request is retried for minutes at most, policies change less
/// often.
const CAPACITY: usize = 8;

/// Compiled policies, the newest first.
#[derive(Debug, Default)]
pub struct PolicyCache {
    cached: RefCell<Vec<(PolicyRef, Rc<Policy>)>>,
}

impl PolicyCache {
    /// The policy that `origin` names; if it is gone, the one that has replaced it. `None` if none was ever published: then no
    /// router of this configuration has seen the request.
    pub fn find(&self, origin: PolicyRef) -> Option<Rc<Policy>> {
        let found = self.cached.try_borrow().ok().and_then(|cached| {
            let found = cached.iter().find(|(known, _)| *known == origin);
            found.map(|(_, policy)| Rc::clone(policy))
        });
        if found.is_some() {
            return found;
        }
        let policy = load(origin)?;
        if let Ok(mut cached) = self.cached.try_borrow_mut() {
            cached.insert(0, (origin, Rc::clone(&policy)));
            cached.truncate(CAPACITY);
        }
        Some(policy)
    }
}

/// Compiles the published policy.
fn load(origin: PolicyRef) -> Option<Rc<Policy>> {
    let bounds = load_bounds(origin);
    let read = |entry| {
        let (record, _) = hostcalls::shared(&key_of(entry, origin.plugin)).ok()??;
        let (_, text) = decode(&record)?;
        let mut policy = Policy::compile(std::str::from_utf8(text).ok()?).ok()?;
        bounds.bind(&mut policy).ok()?;
        Some(policy)
    };
    let newest = read(Entry::Policy)?;
    let policy = match newest.fingerprint32() == origin.policy {
        true => newest,
        false => read(Entry::Before)
            .filter(|before| before.fingerprint32() == origin.policy)
            .unwrap_or(newest),
    };
    Some(Rc::new(policy))
}

/// The bounds of policies from a source; none if there is no source.
fn load_bounds(origin: PolicyRef) -> Bounds {
    let read = || {
        let (text, _) = hostcalls::shared(&key_of(Entry::Rendered, origin.plugin)).ok()??;
        let policy = Policy::compile(std::str::from_utf8(&text).ok()?).ok()?;
        Some(Bounds::rendered(&policy, true))
    };
    read().unwrap_or_default()
}

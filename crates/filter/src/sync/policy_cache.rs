//! The policies that decided on requests, for their attempts: taken from shared data, where the router has published them.
//!
//! A request says by which policy it was decided on, though another one may be in force by now. What was compiled is kept for
//! the attempts to come.

use std::cell::RefCell;
use std::rc::Rc;

use pointsman::control::policy_source::Bounds;
use pointsman::policy::Policy;
use pointsman::routing::fallback_chain::PolicyRef;

use crate::hostcalls;
use crate::sync::shared_data::{Kept, decode, key_of};

/// How many are kept: a few routers, and of each the last ones. A request is tried again for minutes, policies change slower.
const MOST: usize = 8;

/// What is known of policies, the newest first.
#[derive(Debug, Default)]
pub struct Decided {
    known: RefCell<Vec<(PolicyRef, Rc<Policy>)>>,
}

impl Decided {
    /// The policy that decided; where it is not to be had any more, the one that has replaced it. `None` where there never was
    /// one: then the request is none of ours.
    pub fn by(&self, origin: PolicyRef) -> Option<Rc<Policy>> {
        let found = self.known.try_borrow().ok().and_then(|known| {
            let mut known = known.iter();
            known
                .find(|(one, _)| *one == origin)
                .map(|(_, policy)| Rc::clone(policy))
        });
        if found.is_some() {
            return found;
        }
        let policy = published(origin)?;
        if let Ok(mut known) = self.known.try_borrow_mut() {
            known.insert(0, (origin, Rc::clone(&policy)));
            known.truncate(MOST);
        }
        Some(policy)
    }
}

fn published(origin: PolicyRef) -> Option<Rc<Policy>> {
    let bounds = rendered(origin);
    let read = |kept| {
        let (record, _) = hostcalls::shared(&key_of(kept, origin.plugin)).ok()??;
        let (_, text) = decode(&record)?;
        let mut policy = Policy::compile(std::str::from_utf8(text).ok()?).ok()?;
        bounds.bind(&mut policy).ok()?;
        Some(policy)
    };
    let newest = read(Kept::Policy)?;
    let policy = match newest.mark() == origin.policy {
        true => newest,
        false => read(Kept::Before)
            .filter(|before| before.mark() == origin.policy)
            .unwrap_or(newest),
    };
    Some(Rc::new(policy))
}

/// What policies are held to, where they come from a source.
fn rendered(origin: PolicyRef) -> Bounds {
    let read = || {
        let (text, _) = hostcalls::shared(&key_of(Kept::Rendered, origin.plugin)).ok()??;
        let policy = Policy::compile(std::str::from_utf8(&text).ok()?).ok()?;
        Some(Bounds::rendered(&policy, true))
    };
    read().unwrap_or_default()
}

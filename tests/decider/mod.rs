//! A policy and a router that decide on request bodies, for the tests of decisions.

use pointsman::api::Api;
use pointsman::policy::Policy;
use pointsman::routing::decision::{Decision, Outcome};
use pointsman::routing::router::Router;
use serde_json::Value;

pub struct Decider {
    policy: Policy,
    router: Router,
}

impl Decider {
    pub fn new(policy: &str) -> Decider {
        let (router, error) = Router::new();
        assert_eq!(error, None);
        Decider {
            policy: Policy::compile(policy).unwrap(),
            router,
        }
    }

    /// The decision on `body`, which is routed.
    pub fn decide(&mut self, api: Api, body: &Value) -> Decision {
        let text = body.to_string();
        match self.router.route(&self.policy, api, text.as_bytes(), true) {
            Outcome::Routed(decision) => *decision,
            other => panic!("`{body}`: {other:?}"),
        }
    }
}

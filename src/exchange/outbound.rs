//! Fits the headers of a request to its backend. The attempt filter does that, as the filter state tells it to; without an
//! attempt filter it is done here, at once.

use super::attempt::path;
use super::decision_annotations::set_state;
use super::effect::set_request_header;
use super::forwarding::{self, WithheldHeaders};
use super::request_kind::{content_length, find};
use super::{Effect, Header, Worker};
use crate::api::Api;
use crate::fleet::clusters::Failover;
use crate::fleet::{Backend, BackendId};
use crate::policy::Policy;
use crate::routing::fallback_chain::{FallbackChain, FirstByteDeadline, PolicyRef};
use crate::telemetry::state;

/// Data of the request's headers that is kept until the decision.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    failover: Failover,
    plugin: u64,
    content_length: Option<u64>,
    path: String,
    /// Names of the headers that not every backend may see. Empty if there is an attempt filter, which reads the headers
    /// itself.
    guarded: Vec<String>,
}

impl Outbound {
    pub(super) fn new(headers: &[Header<'_>], worker: &Worker<'_>, policy: &Policy) -> Outbound {
        let mut outbound = Outbound {
            failover: worker.failover,
            plugin: worker.plugin,
            content_length: content_length(headers),
            ..Outbound::default()
        };
        if worker.failover == Failover::Off {
            let path = find(headers, ":path").unwrap_or_default();
            outbound.path = std::str::from_utf8(path).unwrap_or_default().to_owned();
            let guarded = forwarding::guarded(headers, &policy.registry);
            let free = guarded.filter(|name| *name != ROUTED_BY);
            outbound.guarded = free.map(str::to_owned).collect();
        }
        outbound
    }

    /// Fits the headers to `backend`, which is the only one tried. `path` is the path for the backend, if it differs from the
    /// client's.
    pub(super) fn fit(
        &self,
        backend: &Backend,
        path: Option<&str>,
        policy: &Policy,
        effects: &mut Vec<Effect>,
    ) {
        if self.failover != Failover::Off {
            return;
        }
        let names = self.guarded.iter();
        let headers: Vec<Header<'_>> = names.map(|name| (name.as_bytes(), &b""[..])).collect();
        let mut withheld = WithheldHeaders::default();
        let registry = &policy.registry;
        forwarding::fit(backend, true, registry, &headers, &mut withheld, effects);
        let asked = path.unwrap_or(&self.path);
        let start = path::start(backend.endpoint.as_ref(), asked);
        if !start.put.is_empty() {
            set_request_header(":path", path::join(asked, &start).into(), effects);
        }
    }

    /// Sends the request undecided to the default cluster.
    pub(super) fn fit_default(&self, policy: &Policy, effects: &mut Vec<Effect>) {
        match policy.default_backend() {
            Some((_, backend)) if self.failover == Failover::Off => {
                self.fit(backend, None, policy, effects);
            }
            Some((id, _)) => self.set_attempt_headers(id, true, policy, effects),
            None => {}
        }
    }

    /// Lets a request pass that is not routed. Attempts at the default cluster still get a chain; in other clusters there is
    /// no attempt filter, and requests to them stay as they are.
    pub(super) fn pass(&self, headers: &[Header<'_>], policy: &Policy, effects: &mut Vec<Effect>) {
        if self.failover != Failover::Off
            && let Some((id, backend)) = policy.default_backend()
        {
            let own = gets_credentials(headers, backend);
            self.set_attempt_headers(id, own, policy, effects);
        }
    }

    fn set_attempt_headers(
        &self,
        backend: BackendId,
        own_credentials: bool,
        policy: &Policy,
        effects: &mut Vec<Effect>,
    ) {
        let origin = PolicyRef {
            policy: policy.fingerprint32(),
            plugin: self.plugin,
        };
        let length = self.content_length;
        let deadline = FirstByteDeadline::default();
        let mut chain = FallbackChain::new(&policy.registry, origin, &[backend], length, deadline);
        chain.own_credentials = own_credentials;
        set_state(effects, state::CHAIN, &chain.to_text());
    }
}

/// Envoy routes by this header behind this filter, and finds no route without it.
const ROUTED_BY: &str = "x-forwarded-proto";

/// Whether a request that is not routed gets the credentials of `backend`. The operator's key opens more there than the APIs
/// of models (files, batches, keys), so only the policy opens other paths.
fn gets_credentials(headers: &[Header<'_>], backend: &Backend) -> bool {
    let path = find(headers, ":path").unwrap_or_default();
    let path = std::str::from_utf8(path).unwrap_or_default();
    let bare = path.split(['?', '#']).next().unwrap_or_default();
    let is_known = match find(headers, ":method") {
        Some(b"POST") => Api::of_body_at(path).is_some(),
        Some(b"GET") => bare == "/v1/models" || bare.starts_with("/v1/models/"),
        _ => false,
    };
    let credentials = backend.credentials.as_ref();
    is_known || credentials.is_some_and(|own| own.open_path(path))
}

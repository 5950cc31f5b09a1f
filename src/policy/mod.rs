//! The policy: what the operator wants. Three forms: as written (`source`), compiled ([`Policy`]), per request (`select`).
//!
//! A document is read into a tree that knows its places (`document`), checked against the tables of `source` by `shape`,
//! and resolved by `compile`. Every problem is reported, not only the first. `validate` finds what is allowed but doubtful;
//! `publish` makes the schema and the documentation; `verify` and `revision` say whether a document that came from
//! elsewhere is its owner's, and newer than the one in force.

mod compile;
mod compile_ability;
mod compile_rules;
mod compile_traffic;
pub mod conditions;
pub mod envelope;
mod intake;
pub mod names;
pub mod profile;
mod provider;
pub mod publish;
pub mod reach;
pub mod revision;
pub mod rules;
pub mod source;
mod source_calibration;
pub mod source_rules;
pub mod source_traffic;
#[cfg(test)]
mod tests;
mod timeouts;
pub mod traffic;
mod validate;
mod validate_prices;
mod validate_reach;
mod validate_rules;
mod validate_traffic;
mod warming;
pub mod words;

use crate::fleet::{Backend, BackendId, Registry};
pub use crate::schema::{InvalidDocument, Problem};
pub use intake::{OnUnknownModel, Undecided, UndecidedReason};
use names::ModelNames;
use profile::Profile;
use rules::Rule;
use traffic::Traffic;
use words::WordMatcher;

/// How much of a decision clients see in response headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DecisionHeaders {
    /// Nothing.
    Off,
    /// Model and backend.
    Minimal,
    /// Everything that design.md lists.
    #[default]
    Full,
}

/// A compiled policy: every name resolved, every number checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The operator's own name for this version.
    pub version: String,
    /// Where it stands among its author's policies; a source never takes a lower one than the one in force.
    pub revision: Option<u64>,
    /// Models and backends.
    pub registry: Registry,
    /// The cluster for requests that are not decided on.
    pub default_cluster: String,
    /// What becomes of requests that cannot be decided on, where the policy states it; see [`Policy::refuses_undecided`].
    pub undecided: Option<Undecided>,
    /// What becomes of requests for models that the policy does not have.
    pub on_unknown_model: OnUnknownModel,
    /// Every name by which clients may ask for a model beside its own.
    pub names: ModelNames,
    /// How much clients see.
    pub decision_headers: DecisionHeaders,
    /// The backend whose prices requests would have cost without a router; `None` where no baseline is declared.
    pub baseline: Option<BackendId>,
    /// Whether streams tell their usage where the client did not ask for it; the client is not shown it.
    pub always_stream_usage: bool,
    /// Whether decisions go by what is observed of the backends, or by what is stated alone.
    pub observes: bool,
    /// The most bytes of a body to hold before the decision is made on what is there.
    pub max_body_bytes: usize,
    /// The most bytes of a body that are held while its `model` is looked for.
    pub max_scan_bytes: usize,
    /// The objectives that clients can ask for, the built-in ones included, sorted by name.
    pub profiles: Vec<Profile>,
    /// What holds for some requests only, in the order of the policy.
    pub rules: Vec<Rule>,
    /// The words of all rules.
    pub words: WordMatcher,
    /// Name of the profile for requests that name no model; one of [`Policy::profiles`].
    pub default_profile: String,
    /// What concerns all traffic: tenants, steering, shares, budgets.
    pub traffic: Traffic,
}

impl Policy {
    /// Compiles a policy from its JSON text.
    ///
    /// # Errors
    /// [`InvalidDocument`] with every problem of the document, each naming its place.
    pub fn compile(json: &str) -> Result<Policy, InvalidDocument> {
        compile::compile(json)
    }

    /// Compiles a policy and gives, beside it, everything in it that is allowed but probably not meant, in the order of
    /// the document. Slower than [`Policy::compile`]: for people who write policies.
    ///
    /// # Errors
    /// As [`Policy::compile`].
    pub fn check(json: &str) -> Result<(Policy, Vec<Problem>), InvalidDocument> {
        compile::check_all(json)
    }

    /// Every cluster that requests can be sent to under this policy; some more than once.
    pub fn clusters(&self) -> impl Iterator<Item = &str> {
        let backends = self.registry.backends.iter();
        backends
            .map(|backend| backend.cluster.as_str())
            .chain([self.default_cluster.as_str()])
    }

    /// Tells it apart from those before and after it, where a few bytes have to do.
    pub fn mark(&self) -> u32 {
        self.traffic.fingerprint as u32
    }

    /// Whether traffic moves gradually anywhere, so that conversations have to be told apart.
    pub fn has_ramps(&self) -> bool {
        let mut backends = self.registry.backends.iter();
        backends.any(|one| one.ramp.is_some()) || self.profiles.iter().any(|one| one.ramp.is_some())
    }

    /// The backend of the default cluster; `None` where that is no backend's, or belongs to several that are not sent
    /// the same.
    pub fn default_backend(&self) -> Option<(BackendId, &Backend)> {
        let backends = self.registry.backends.iter().enumerate();
        let mut all = backends.filter(|(_, one)| one.cluster == self.default_cluster);
        let (index, first) = all.next()?;
        let is_alike = |(_, other): (usize, &Backend)| {
            other.credentials == first.credentials
                && other.client == first.client
                && other.endpoint == first.endpoint
        };
        all.all(is_alike)
            .then_some((BackendId(index as u32), first))
    }

    /// The profile with this name.
    pub fn find_profile(&self, name: &str) -> Option<&Profile> {
        self.profiles
            .binary_search_by(|profile| profile.name.as_str().cmp(name))
            .ok()
            .and_then(|index| self.profiles.get(index))
    }
}

//! The compiled policy: every name resolved, every number checked.

use crate::api::request::unparsed::NamedModel;
use crate::fleet::{Backend, BackendId, Registry};
use crate::policy::judge::Judge;
use crate::policy::learning::Learning;
use crate::policy::names::ModelNames;
use crate::policy::profiles::Profile;
use crate::policy::receipts::ReceiptSettings;
use crate::policy::rules::Rule;
use crate::policy::rules::words::WordMatcher;
use crate::policy::traffic::Traffic;
use crate::policy::traffic::undecided::{OnUnknownModel, Undecided, UndecidedReason};
use crate::schema::suggest::quote;

/// The amount of detail about a decision in response headers.
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
    /// Its position among its author's policies; a source never accepts a lower one than the one in force.
    pub revision: Option<u64>,
    /// Models and backends.
    pub registry: Registry,
    /// The cluster for requests that are not decided on.
    pub default_cluster: String,
    /// The treatment of requests that cannot be decided on, if the policy states it; see [`Policy::refuses_undecided`].
    pub undecided: Option<Undecided>,
    /// The treatment of requests for models that the policy does not have.
    pub on_unknown_model: OnUnknownModel,
    /// Every name by which clients may ask for a model besides its own.
    pub names: ModelNames,
    /// How much clients see.
    pub decision_headers: DecisionHeaders,
    /// The backend for the cost of requests without a router; `None` if no baseline is declared.
    pub baseline: Option<BackendId>,
    /// Whether streams report their usage even if the client did not ask; the client does not see it.
    pub always_stream_usage: bool,
    /// Whether decisions use observed latencies, or the declared ones alone.
    pub observes: bool,
    /// The maximum number of body bytes that are read in full.
    pub max_body_bytes: usize,
    /// The maximum number of body bytes that are held while `model` is looked for.
    pub max_scan_bytes: usize,
    /// The objectives that clients can ask for, the built-in ones included, sorted by name.
    pub profiles: Vec<Profile>,
    /// The rules, in the order of the policy.
    pub rules: Vec<Rule>,
    /// The words of all rules.
    pub words: WordMatcher,
    /// Name of the profile for requests that name no model; one of [`Policy::profiles`].
    pub default_profile: String,
    /// Settings of all traffic: tenants, preferences, shares, budgets.
    pub traffic: Traffic,
    /// Whether answers carry receipts.
    pub receipts: ReceiptSettings,
    /// Whether and how outcomes are learned from.
    pub learning: Learning,
    /// The judge; `None` if there is none, or it is off.
    pub judge: Option<Judge>,
}

impl Policy {
    /// Every cluster that requests can be sent to under this policy; some more than once.
    pub fn clusters(&self) -> impl Iterator<Item = &str> {
        let backends = self.registry.backends.iter();
        backends
            .map(|backend| backend.cluster.as_str())
            .chain([self.default_cluster.as_str()])
    }

    /// Every cluster that text of requests may be sent to: those of [`Policy::clusters`], and the judge's.
    pub fn called_clusters(&self) -> impl Iterator<Item = &str> {
        let judge = self.judge.iter().map(|judge| judge.cluster.as_str());
        self.clusters().chain(judge)
    }

    /// Tells it apart from those before and after it, where a few bytes have to do.
    pub fn fingerprint32(&self) -> u32 {
        self.traffic.fingerprint as u32
    }

    /// Whether receipts are made of decisions, for clients, logs or learning. Then prompts are classified even if the client names
    /// the model.
    pub fn keeps_receipts(&self) -> bool {
        self.receipts.is_on() || self.learning.is_on()
    }

    /// Whether traffic moves gradually anywhere, so that conversations have to be told apart.
    pub fn has_ramps(&self) -> bool {
        let mut backends = self.registry.backends.iter();
        backends.any(|backend| backend.ramp.is_some())
            || self.profiles.iter().any(|profile| profile.ramp.is_some())
    }

    /// The backend of the default cluster; `None` if that is no backend's, or belongs to several that are not sent
    /// the same.
    pub fn default_backend(&self) -> Option<(BackendId, &Backend)> {
        let backends = self.registry.backends.iter().enumerate();
        let mut all = backends.filter(|(_, backend)| backend.cluster == self.default_cluster);
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

impl Policy {
    /// The reason for the treatment of requests that cannot be decided on, in words.
    pub fn undecided_because(&self) -> String {
        match self.undecided().1 {
            UndecidedReason::Stated => "the policy states it".to_owned(),
            UndecidedReason::Shadow => "`mode` is `shadow`".to_owned(),
            UndecidedReason::Rule(index) => {
                let name = self.rules.get(index).map_or("", |rule| &rule.name);
                format!("the rule {} restricts requests", quote(name))
            }
            UndecidedReason::Budget(index) => {
                let budget = self.traffic.budgets.get(index);
                let name = budget.map_or("", |budget| &budget.name);
                format!("the budget {} limits requests", quote(name))
            }
            UndecidedReason::Unrestricted => "no rule or budget restricts requests".to_owned(),
        }
    }

    /// The treatment of requests that cannot be decided on and name no profile, and its reason.
    pub fn undecided(&self) -> (Undecided, UndecidedReason) {
        let Traffic {
            shadow, budgets, ..
        } = &self.traffic;
        let restricts = |rule: &Rule| {
            let then = &rule.then;
            then.reject.is_some() || !then.tags.is_empty() || !then.models.is_empty()
        };
        match self.undecided {
            _ if *shadow => (Undecided::Bypass, UndecidedReason::Shadow),
            Some(stated) => (stated, UndecidedReason::Stated),
            None => match self.rules.iter().position(restricts) {
                Some(rule) => (Undecided::Reject, UndecidedReason::Rule(rule)),
                None if !budgets.is_empty() => (Undecided::Reject, UndecidedReason::Budget(0)),
                None => (Undecided::Bypass, UndecidedReason::Unrestricted),
            },
        }
    }

    /// Whether a request is refused that cannot be decided on and names such a model.
    pub fn refuses_undecided(&self, named: NamedModel) -> bool {
        match (self.undecided(), named) {
            ((_, UndecidedReason::Shadow), _) => false,
            ((Undecided::Reject, _), _) | (_, NamedModel::Profile) => true,
            // An unseen name may be a profile; an operator who states `bypass` accepts that.
            ((Undecided::Bypass, reason), NamedModel::Unknown) => reason != UndecidedReason::Stated,
            ((Undecided::Bypass, _), NamedModel::Other) => false,
        }
    }
}

//! One policy of a comparison: where it sends the request of a receipt, and what it cannot know of it.

use std::collections::HashMap;

use pointsman::analysis::sensitivity::Sensitivity;
use pointsman::fleet::{BackendId, Estimate};
use pointsman::policy::Policy;
use pointsman::policy::learning::LearningMode;
use pointsman::policy::request_attributes::RequestAttributes;
use pointsman::policy::rules::unrecorded::UnrecordedRule;
use pointsman::policy::rules::{RuleInput, evaluate_rules};
use pointsman::routing::decision::{Candidate, Decision, Ineligible, Outcome, Reason};
use pointsman::routing::router::{Commit, RecordedPrompt, RequestInfo, Router, recorded_request};
use pointsman::routing::select::{SelectionRequest, select};
use pointsman::state::receipt::{Receipt, name_key};

/// A time after the end of every ramp, in nanoseconds since 1970.
const AFTER_RAMPS_NS: u64 = u64::MAX;

/// The tenant of a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenant<'n> {
    /// It has none.
    None,
    /// Its name, which a policy has.
    Named(&'n str),
    /// The hash of a name that no policy has.
    Unnamed(u32),
}

impl Tenant<'_> {
    /// Its name, or its hash for people; `None` if there is none.
    pub fn shown(&self) -> Option<String> {
        match self {
            Tenant::None => None,
            Tenant::Named(name) => Some((*name).to_owned()),
            Tenant::Unnamed(key) => Some(format!("key {key:08x}")),
        }
    }

    /// Its name for rules. A header's value never begins with a NUL, so a stand-in matches no name and no beginning of one, but any
    /// two of its requests are of one tenant.
    fn attributes(&self) -> RequestAttributes {
        RequestAttributes {
            tenant: match self {
                Tenant::None => None,
                Tenant::Named(name) => Some((*name).to_owned()),
                Tenant::Unnamed(key) => Some(format!("\0{key:08x}")),
            },
            ..RequestAttributes::default()
        }
    }
}

/// Causes for which a replayed decision may differ from one on the request itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The policy lacks the profile that decided; the default profile is taken.
    ProfileMissing,
    /// A rule chose the profile, so it is unknown which one the client asked for; the default profile is taken.
    ProfileImposed,
    /// A spent budget may have chosen the profile; it counts as the one that the client asked for.
    ProfileOfBudget,
    /// The client named a model that the policy lacks.
    ModelMissing,
    /// Clients may state preferences in headers.
    Preferences,
    /// A budget limits the request; none counts as spent.
    Budget,
    /// Models have bounded shares; none counts as exhausted or behind.
    Shares,
    /// A rule is for a share of the traffic; it gets that share of the receipts, but not the same ones.
    RuleShares,
    /// Conversations explore; none does in a replay.
    Exploration,
    /// The request goes on with a conversation, whose backend has an advantage.
    Conversation,
    /// The request goes on with a conversation, which may carry state that only its maker can read.
    ForeignState,
    /// A backend or a profile ramps up or down; ramps count as finished.
    Ramp,
    /// What was learned is applied; a replay goes by benchmark scores and calibration.
    Learned,
    /// A judge may be asked. A grade that counted is in what the receipt says of the prompt; a replay asks for no other.
    Judge,
    /// Latencies and failures are observed; a replay goes by declared latencies, and every backend is up.
    Observed,
    /// The policy is in shadow mode; it is replayed as if it were enforced, and a named model counts as the default profile.
    Shadow,
}

impl Cause {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Cause::ProfileMissing => "profile_missing",
            Cause::ProfileImposed => "profile_imposed",
            Cause::ProfileOfBudget => "profile_of_budget",
            Cause::ModelMissing => "model_missing",
            Cause::Preferences => "preferences",
            Cause::Budget => "budgets",
            Cause::Shares => "shares",
            Cause::RuleShares => "rule_shares",
            Cause::Exploration => "exploration",
            Cause::Conversation => "conversation",
            Cause::ForeignState => "foreign_state",
            Cause::Ramp => "ramps",
            Cause::Learned => "learned",
            Cause::Judge => "judge",
            Cause::Observed => "observed",
            Cause::Shadow => "shadow",
        }
    }

    /// The meaning, as a clause.
    pub const fn meaning(self) -> &'static str {
        match self {
            Cause::ProfileMissing => {
                "the policy lacks the profile that decided: the default profile is taken"
            }
            Cause::ProfileImposed => {
                "a rule chose the profile, so what the client asked for is unknown: the default profile is taken"
            }
            Cause::ProfileOfBudget => {
                "a spent budget may have chosen the profile: it counts as the one that the client asked for"
            }
            Cause::ModelMissing => "the client named a model that the policy lacks",
            Cause::Preferences => {
                "clients may state preferences in headers: none is taken into account"
            }
            Cause::Budget => "a budget limits the request: none counts as spent",
            Cause::Shares => {
                "models have bounded shares: none counts as exhausted or behind its share"
            }
            Cause::RuleShares => {
                "a rule is for a share of the traffic: it gets that share of the receipts, but not the same ones"
            }
            Cause::Exploration => "a share of conversations explores: none does in a replay",
            Cause::Conversation => {
                "the request goes on with a conversation: that its backend is kept, or has it in its prompt cache, is not taken into account"
            }
            Cause::ForeignState => {
                "the request goes on with a conversation that may carry state of one provider: that is not taken into account"
            }
            Cause::Ramp => "a backend or a profile ramps: ramps count as finished",
            Cause::Learned => {
                "what was learned since the policy was written is not known: benchmark scores and calibration decide (`pointsman learn` writes it into the policy)"
            }
            Cause::Judge => {
                "a judge may be asked: a grade that counted is in what the receipt says of the prompt, also for rules, and a replay asks for no other"
            }
            Cause::Observed => {
                "latencies and failures are observed: declared latencies count, and every backend is up"
            }
            Cause::Shadow => {
                "the policy is in shadow mode: it is replayed as if it were enforced, and a named model counts as the default profile"
            }
        }
    }
}

/// The result of one policy for one receipt.
#[derive(Debug)]
pub struct Placement {
    /// The outcome of the router.
    pub outcome: Outcome,
    /// Every backend with its estimate, in the order of the policy; also if the outcome has none.
    pub candidates: Vec<Candidate>,
}

impl Placement {
    /// The decision; `None` if the request is refused or passed by.
    pub fn decision(&self) -> Option<&Decision> {
        match &self.outcome {
            Outcome::Routed(decision) => Some(decision),
            Outcome::Bypassed(_) | Outcome::Rejected(_) => None,
        }
    }

    /// The estimate of a backend.
    pub fn estimate(&self, backend: BackendId) -> Option<&Estimate> {
        let mut candidates = self.candidates.iter();
        let found = candidates.find(|candidate| candidate.backend == backend)?;
        Some(&found.estimate)
    }

    /// Why `backend` does not answer: in a word, and in words for people.
    pub fn why_not(&self, backend: Option<BackendId>) -> (&'static str, String) {
        let rules = |decision: &Decision| match decision.rules.as_slice() {
            [] => String::new(),
            names => format!(" (rules: {})", names.join(", ")),
        };
        let Some(decision) = self.decision() else {
            return match &self.outcome {
                Outcome::Rejected(rejection) => (rejection.code, rejection.message.clone()),
                _ => ("passed_by", "the request is passed by".to_owned()),
            };
        };
        let Some(backend) = backend else {
            return (
                "not_in_policy",
                "the policy does not have the backend".into(),
            );
        };
        let mut candidates = decision.candidates.iter();
        let found = candidates.find(|candidate| candidate.backend == backend);
        match found.map(|candidate| (candidate, &candidate.ineligible)) {
            Some((_, Some(obstacle))) => {
                (obstacle.name(), format!("{obstacle}{}", rules(decision)))
            }
            Some((candidate, None)) if decision.reason == Reason::Preferred => (
                "preferred",
                format!(
                    "a rule prefers another (objective {:.4}){}",
                    candidate.objective,
                    rules(decision)
                ),
            ),
            Some((candidate, None)) => {
                let chosen = decision
                    .candidates
                    .iter()
                    .find(|other| other.backend == decision.backend);
                let least = chosen.map_or(f64::NAN, |chosen| chosen.objective);
                let text = format!(
                    "a larger objective ({:.4}, not {least:.4})",
                    candidate.objective
                );
                ("larger_objective", text)
            }
            None => (
                "not_in_policy",
                "the policy does not have the backend".into(),
            ),
        }
    }
}

/// A policy that receipts are replayed under.
pub struct Side<'p> {
    /// The policy.
    pub policy: &'p Policy,
    /// Receipts for which a cause made the replay less than exact.
    pub causes: HashMap<Cause, u64>,
    /// Rules that receipts cannot decide, and for how many they may have held.
    pub rules: Vec<(UnrecordedRule<'p>, u64)>,
    router: Router,
    backends: HashMap<u32, BackendId>,
    profiles: HashMap<u32, &'p str>,
    imposes_profiles: bool,
    caches: bool,
    shares: bool,
}

impl<'p> Side<'p> {
    /// The side of a policy.
    pub fn new(policy: &'p Policy) -> Side<'p> {
        let backends = policy.registry.backends.iter().enumerate();
        let keyed =
            backends.map(|(place, backend)| (name_key(&backend.name), BackendId(place as u32)));
        let profiles = policy.profiles.iter();
        let rules = policy.rules.iter().filter_map(UnrecordedRule::new);
        let mut prices = policy
            .registry
            .backends
            .iter()
            .map(|backend| &backend.price);
        Side {
            policy,
            causes: HashMap::new(),
            rules: rules.map(|rule| (rule, 0)).collect(),
            router: Router::with_features_only(),
            backends: keyed.collect(),
            profiles: profiles
                .map(|profile| (name_key(&profile.name), profile.name.as_str()))
                .collect(),
            imposes_profiles: policy.rules.iter().any(|rule| rule.then.profile.is_some()),
            shares: policy.rules.iter().any(|rule| rule.when.share.is_some()),
            caches: policy.traffic.stickiness > 0.0
                || prices.any(|price| price.cached_input < price.input),
        }
    }

    /// The backend with this key.
    pub fn find_backend(&self, key: u32) -> Option<BackendId> {
        self.backends.get(&key).copied()
    }

    /// The name of a backend.
    pub fn backend_name(&self, id: BackendId) -> &'p str {
        let backend = self.policy.registry.backend(id);
        backend.map_or("?", |backend| backend.name.as_str())
    }

    /// Whether a rule of this policy, which decided the receipt, chose its profile, whatever the client asked for.
    pub fn imposes(&self, receipt: &Receipt, tenant: Tenant<'_>) -> bool {
        if !self.imposes_profiles || receipt.policy != self.policy.fingerprint32() {
            return false;
        }
        let (attributes, asked) = (tenant.attributes(), self.policy.default_profile.as_str());
        let input = rule_input(self.policy, receipt, &attributes, asked);
        evaluate_rules(&self.policy.rules, &input)
            .profile
            .is_some_and(|name| name_key(name) == receipt.profile)
    }

    /// Whether a spent budget of this policy, which decided the receipt, may have chosen its profile.
    fn may_downgrade(&self, receipt: &Receipt) -> bool {
        let budgets = &self.policy.traffic.budgets;
        let mut names = budgets
            .iter()
            .filter_map(|budget| budget.profile.as_deref());
        !receipt.flags.is_pinned
            && receipt.policy == self.policy.fingerprint32()
            && names.any(|name| name_key(name) == receipt.profile)
    }

    /// Decides on a receipt. `pinned` is the name of the model that the client asked for, if it named one and the name is known;
    /// `imposed` says that the profile of the receipt need not be the one that the client asked for.
    pub fn place(
        &mut self,
        receipt: &Receipt,
        tenant: Tenant<'_>,
        pinned: Option<&str>,
        imposed: bool,
    ) -> Placement {
        let policy = self.policy;
        let unknown;
        let asked = if receipt.flags.is_pinned {
            match pinned {
                Some(name) => Some(name),
                None => {
                    unknown = format!("\0{:08x}", receipt.model);
                    Some(unknown.as_str())
                }
            }
        } else if imposed {
            self.count(Cause::ProfileImposed, true);
            None
        } else {
            let profile = self.profiles.get(&receipt.profile).copied();
            self.count(Cause::ProfileMissing, profile.is_none());
            profile
        };
        let lacks_model =
            receipt.flags.is_pinned && asked.is_none_or(|name| policy.resolve(name).is_none());
        self.count(Cause::ModelMissing, lacks_model);
        let attributes = tenant.attributes();
        let input = rule_input(
            policy,
            receipt,
            &attributes,
            asked.unwrap_or(&policy.default_profile),
        );
        let knows_tenant = !matches!(tenant, Tenant::Unnamed(_));
        for (rule, count) in &mut self.rules {
            *count += u64::from(rule.may_hold(&input, knows_tenant));
        }
        let recorded = RecordedPrompt::new(receipt);
        let info = RequestInfo {
            recorded: Some(&recorded),
            ..RequestInfo::new(&attributes, AFTER_RAMPS_NS)
        };
        let request = recorded_request(receipt, asked);
        let outcome = self.router.decide(policy, &request, &info, Commit::DryRun);
        self.count_causes(receipt, &outcome);
        let candidates = match outcome.candidates() {
            [] => estimates(policy, receipt),
            all => all.to_vec(),
        };
        Placement {
            outcome,
            candidates,
        }
    }

    fn count_causes(&mut self, receipt: &Receipt, outcome: &Outcome) {
        let policy = self.policy;
        let traffic = &policy.traffic;
        let is_open = !receipt.flags.is_pinned;
        let goes_on = !receipt.flags.begins;
        let limited =
            matches!(outcome, Outcome::Routed(decision) if !decision.charge.postings.is_empty());
        let scopes = policy.registry.has_scopes(receipt.request.api);
        for (cause, counts) in [
            (Cause::ProfileOfBudget, self.may_downgrade(receipt)),
            (Cause::Preferences, !traffic.matchers.preferences.is_empty()),
            (Cause::Budget, limited),
            (Cause::Shares, is_open && !traffic.shares.is_empty()),
            (Cause::RuleShares, self.shares),
            (
                Cause::Exploration,
                is_open && traffic.exploration_rate > 0.0,
            ),
            (Cause::Conversation, goes_on && self.caches),
            (Cause::ForeignState, goes_on && scopes),
            (Cause::Ramp, policy.has_ramps()),
            (Cause::Learned, policy.learning.mode == LearningMode::Apply),
            (Cause::Judge, policy.judge.is_some()),
            (Cause::Observed, policy.observes),
            (Cause::Shadow, traffic.shadow),
        ] {
            self.count(cause, counts);
        }
    }

    fn count(&mut self, cause: Cause, counts: bool) {
        if counts {
            *self.causes.entry(cause).or_default() += 1;
        }
    }
}

/// Every backend with its estimate, whatever rules and limits say.
fn estimates(policy: &Policy, receipt: &Receipt) -> Vec<Candidate> {
    let Some(profile) = policy.find_profile(&policy.default_profile) else {
        return Vec::new();
    };
    let traits = &receipt.request;
    let query = SelectionRequest {
        api: traits.api,
        needs: traits.needs,
        input_tokens: traits.input_tokens,
        window_tokens: traits.window_tokens,
        max_tokens: traits.max_tokens,
        choices: traits.choices,
        classification: Some(&receipt.classification),
        ..SelectionRequest::default()
    };
    match select(&policy.registry, profile, &query) {
        Ok(selection) => selection.candidates,
        Err(none) => none.candidates,
    }
}

/// Whether a candidate could take such a request at all, whatever limits and rules say.
pub fn is_able(candidate: &Candidate) -> bool {
    !matches!(
        candidate.ineligible,
        Some(
            Ineligible::UnsupportedApi(_)
                | Ineligible::LacksCapability(_)
                | Ineligible::ContextWindow { .. }
        )
    )
}

fn rule_input<'a>(
    policy: &'a Policy,
    receipt: &'a Receipt,
    attributes: &'a RequestAttributes,
    asked: &'a str,
) -> RuleInput<'a> {
    RuleInput {
        classification: Some(&receipt.classification),
        user: None,
        other_users: &[],
        asked: policy.resolve_name(asked).unwrap_or(asked),
        other_asked: &[],
        sensitive: Sensitivity::NONE,
        pinned: receipt.flags.is_pinned,
        attributes,
        words: &policy.words,
        turns: &[],
        asides: &[],
        language: None,
        conversation: RecordedPrompt::new(receipt).conversation(),
    }
}

//! Ties the steps together: request → prompt → classification → rules and budgets → selection → decision.
//!
//! If the classifier fails, features alone decide; nothing here fails because of it.

mod bounds;
mod carried_state;
pub mod conversation;
mod judging;
mod recorded;
mod refuse;
mod requested_model;
mod rule_input;
#[cfg(test)]
mod tests;
mod turn_memory;
mod undecided;

use crate::analysis::classifier::{Classification, Classifier, ClassifierError};
use crate::analysis::prompt::Prompt;
use crate::api::Api;
use crate::api::request::{self, Request};
use crate::fleet::{AnswerBound, Backend, BackendId, ModelId};
use crate::policy::Policy;
use crate::policy::draw::draw;
use crate::policy::learning::LearningMode;
use crate::policy::profiles::{Limit, Limits, Profile};
use crate::policy::request_attributes::RequestAttributes;
use crate::policy::rules::{RuleOutcome, evaluate_rules};
use crate::routing::decision::{Candidate, Decision, Foreign, Outcome, Reason, Rejection};
use crate::routing::judge::GradeSource;
use crate::routing::select::{
    Exploration, Incumbent, NoCandidate, Selection, SelectionRequest, observed_of, select,
};
use crate::state::backend_stats::Observed;
use crate::state::budgets::{BudgetAccounts, Charge};
use crate::state::judge::JudgeState;
use crate::state::learned_quality::{Learned, LearnedQuality};
use crate::state::shares::Shares;

use bounds::BudgetStatus;
use carried_state::CarriedState;
pub use carried_state::StateOrigin;
pub use conversation::MAX_TURNS;
use conversation::TurnDemand;
use judging::Judged;
pub use recorded::{RecordedPrompt, recorded_request};
pub use refuse::reject;
use refuse::{name_rules, refuse};
use requested_model::RequestedModel;
pub use requested_model::unknown;
use turn_memory::TurnMemory;
pub use undecided::{named, unreadable};

/// Routes requests; one per worker. It holds the classifier and what the worker itself counts: shares of models, and budgets.
pub struct Router {
    classifier: Option<Classifier>,
    turn_memory: TurnMemory,
    shares: Shares,
    budget_accounts: BudgetAccounts,
    learned_quality: LearnedQuality,
    judge_state: JudgeState,
}

/// Whether a decision is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// Nothing changes: dry runs, explanations, and requests whose tokens are only counted.
    DryRun,
    /// The decision counts for shares and budgets, unless the policy is in shadow mode.
    Record,
}

/// Information that a decision depends on besides the policy and the request's body.
#[derive(Debug, Clone, Copy)]
pub struct RequestInfo<'a> {
    /// Path, headers and tenant of the request.
    pub attributes: &'a RequestAttributes,
    /// The time, in nanoseconds since 1970.
    pub now_ns: u64,
    /// The makers of the state that the request carries, as far as they are known.
    pub state_origin: StateOrigin<'a>,
    /// The observed state of the backends, in the order of the policy; backends behind its end are unobserved.
    pub observed: &'a [Observed],
    /// The request's tokens are only counted. Any backend that has the model may count them, so a model that the policy does
    /// not have is left to the default cluster, if no rule forbids it.
    pub counts_tokens: bool,
    /// What is known of the judge's grades.
    pub grades: GradeSource<'a>,
    /// The prompt as a receipt has it, if there is no text of it: then the request's messages are not looked at.
    pub recorded: Option<&'a RecordedPrompt<'a>>,
}

impl<'a> RequestInfo<'a> {
    /// The information about a request of which nothing else is known.
    pub const fn new(attributes: &'a RequestAttributes, now_ns: u64) -> RequestInfo<'a> {
        RequestInfo {
            attributes,
            now_ns,
            state_origin: StateOrigin::UNKNOWN,
            observed: &[],
            counts_tokens: false,
            grades: GradeSource::NONE,
            recorded: None,
        }
    }
}

/// Makes the draw of exploration independent of the draws of rules.
const EXPLORE_SALT: u64 = 0x9e37_79b9_7f4a_7c15;
/// Makes the draw of ramps independent of the others. All ramps share it, so that two opposite ramps add up to all requests.
const RAMP_SALT: u64 = 0xd1b5_4a32_d192_ed03;

/// Everything that the choice of a backend depends on.
struct RoutingInput<'a> {
    policy: &'a Policy,
    request: &'a Request<'a>,
    prompt: &'a Prompt<'a>,
    profile: &'a Profile,
    pinned: Option<ModelId>,
    rule_outcome: &'a RuleOutcome<'a>,
    attributes: &'a RequestAttributes,
    steps: &'a [TurnDemand],
    conversation: u64,
    now_ns: u64,
    state_origin: StateOrigin<'a>,
    observed: &'a [Observed],
    learned: &'a [Learned],
    applies_learned: bool,
    /// The request's tokens are only counted.
    counts: bool,
    is_recorded: bool,
}

impl RoutingInput<'_> {
    /// Whether the request begins its conversation. One that was recorded is no new one.
    fn begins(&self) -> bool {
        !self.is_recorded
            && self.prompt.turns.len() < 2
            && conversation::answered_at(self.request).is_none()
    }

    /// The backend that answered last: the turns are decided again in their order, each with the incumbent of the one before.
    /// The result is computed only if it can matter, or if `matters` says so.
    fn find_incumbent(&self, last: &SelectionRequest<'_>, matters: bool) -> Option<Incumbent> {
        let backends = &self.policy.registry.backends;
        let caches = |backend: &Backend| backend.price.cached_input < backend.price.input;
        let answered = conversation::answered_at(self.request);
        let now = self.prompt.turns.len().checked_sub(1)?;
        if (now == 0 && answered.is_none())
            || (!matters && last.stickiness <= 0.0 && !backends.iter().any(caches))
        {
            return None;
        }
        let tokens = conversation::tokens_by_turn(self.request, self.prompt.input_tokens);
        let at = |turn: usize| tokens.get(turn).copied().unwrap_or_default();
        let mut steps: Vec<(u32, Option<&Classification>)> = Vec::new();
        for step in self.steps.iter().filter(|step| step.turn < now) {
            steps.push((at(step.turn), Some(&step.classification)));
        }
        // Without classifications all turns ask for the same: the one before the last stands for all.
        if let (true, Some(before)) = (self.steps.is_empty(), now.checked_sub(1)) {
            steps.push((at(before), None));
        }
        // If a model has called tools since the last user turn, it was asked at that turn, and then with each result.
        if let Some(answered) = answered {
            let before =
                conversation::tokens_before(self.request, self.prompt.input_tokens, answered);
            steps.extend([at(now), before].map(|tokens| (tokens, last.classification)));
        }
        let mut incumbent = None;
        for (input_tokens, classification) in steps {
            let query = SelectionRequest {
                input_tokens,
                classification,
                incumbent,
                ..*last
            };
            let selection = select(&self.policy.registry, self.profile, &query).ok();
            incumbent = selection.map(|selection| Incumbent {
                backend: selection.chosen.backend,
                cached_tokens: input_tokens,
            });
        }
        incumbent
    }
}

impl Router {
    /// A router with the embedded classifier. If the classifier does not load, the router decides by features alone and the
    /// error is returned as well, for the caller to report.
    pub fn new() -> (Router, Option<ClassifierError>) {
        match Classifier::embedded() {
            Ok(classifier) => (Router::with(Some(classifier)), None),
            Err(error) => (Router::with_features_only(), Some(error)),
        }
    }

    fn with(classifier: Option<Classifier>) -> Router {
        Router {
            classifier,
            turn_memory: TurnMemory::default(),
            shares: Shares::default(),
            budget_accounts: BudgetAccounts::default(),
            learned_quality: LearnedQuality::default(),
            judge_state: JudgeState::default(),
        }
    }

    /// A router that decides by features alone, without the classifier.
    pub fn with_features_only() -> Router {
        Router::with(None)
    }

    /// Reads a request body of which nothing else is known, decides on it and records the decision. `complete` is false if
    /// `body` is only the first part of the request's.
    pub fn route(&mut self, policy: &Policy, api: Api, body: &[u8], complete: bool) -> Outcome {
        let attributes = RequestAttributes::default();
        let info = RequestInfo::new(&attributes, 0);
        match request::parse(api, body, complete) {
            Ok(request) => self.decide(policy, &request, &info, Commit::Record),
            Err(error) => unreadable(policy, &error, body, complete),
        }
    }

    /// Decides on a request. The outcome holds every candidate with its reason, also if the request is refused.
    pub fn decide(
        &mut self,
        policy: &Policy,
        request: &Request<'_>,
        info: &RequestInfo<'_>,
        commit: Commit,
    ) -> Outcome {
        let outcome = self.find_outcome(policy, request, info);
        if let (Outcome::Routed(decision), Commit::Record) = (&outcome, commit) {
            self.record(policy, decision);
        }
        outcome
    }

    /// Counts a decision for shares and budgets, unless the policy is in shadow mode: for one that was made as a dry run, because
    /// the judge had to be asked first.
    pub fn record(&mut self, policy: &Policy, decision: &Decision) {
        if !policy.traffic.shadow {
            if decision.reason != Reason::Pinned && !policy.traffic.shares.is_empty() {
                self.shares.add(policy.traffic.fingerprint, decision.model);
            }
            self.budget_accounts.hold(&decision.charge);
        }
        self.count_for_judge(policy, decision);
    }

    /// Counts the true cost of a request, in USD, and frees the amounts that its decision held of budgets.
    pub fn settle(&mut self, charge: &Charge, actual_usd: f64) {
        self.budget_accounts.settle(charge, actual_usd);
    }

    /// The accounts of budgets, to be exchanged with the other workers once a tick.
    pub fn budget_accounts(&mut self) -> &mut BudgetAccounts {
        &mut self.budget_accounts
    }

    /// The quality of the models as this worker has learned it, to be exchanged with the other workers once a tick.
    pub fn learned_quality(&mut self) -> &mut LearnedQuality {
        &mut self.learned_quality
    }

    /// What this worker knows of the judge.
    pub fn judge_state(&mut self) -> &mut JudgeState {
        &mut self.judge_state
    }

    /// The outcome of a request; nothing is recorded.
    fn find_outcome(
        &mut self,
        policy: &Policy,
        request: &Request<'_>,
        info: &RequestInfo<'_>,
    ) -> Outcome {
        let (attributes, counts) = (info.attributes, info.counts_tokens);
        if let Some(rejection) = bounds::refuse_steering(policy, attributes) {
            return Outcome::Rejected(rejection);
        }
        let requested = match requested_model::find(policy, request, attributes, counts) {
            Ok(requested) => requested,
            Err(outcome) => return outcome,
        };
        let pinned = requested.pinned();
        let prompt = read_prompt(request, info);
        let turns = match info.recorded {
            Some(recorded) => vec![recorded.demand()],
            None => self.classify(policy, request, &prompt, requested.names_model()),
        };
        let steps = conversation::combine(&turns);
        let mut rule_input = rule_input::collect(policy, request, &prompt, info);
        rule_input.classification = steps.last().map(|step| &step.classification);
        rule_input.pinned = requested.names_model();
        let conversation = rule_input.conversation;
        let rule_outcome = evaluate_rules(&policy.rules, &rule_input);
        let budget_status = match self.check_bounds(policy, &rule_outcome, info) {
            Ok(budget_status) => budget_status,
            Err(rejection) => return Outcome::Rejected(rejection),
        };
        if let RequestedModel::Foreign(_) = requested {
            let name = requested_model::name(request, attributes).unwrap_or_default();
            return requested_model::pass_on(policy, name, &rule_outcome, &budget_status, counts);
        }
        let profile = requested.ruled_profile(policy, &rule_outcome, &budget_status);
        let input = RoutingInput {
            policy,
            request,
            prompt: &prompt,
            profile: ramped(policy, profile, conversation, info.now_ns),
            pinned,
            rule_outcome: &rule_outcome,
            attributes,
            steps: &steps,
            conversation,
            now_ns: info.now_ns,
            state_origin: info.state_origin,
            observed: info.observed,
            learned: self.learned_quality.learned(policy),
            applies_learned: policy.learning.mode == LearningMode::Apply,
            counts,
            is_recorded: info.recorded.is_some(),
        };
        self.conclude(&input, &turns, info, &budget_status)
    }

    /// The outcome of a request that rules and budgets let pass. `turns` are its turns by themselves.
    #[inline(never)]
    fn conclude(
        &self,
        input: &RoutingInput<'_>,
        turns: &[TurnDemand],
        info: &RequestInfo<'_>,
        budget_status: &BudgetStatus<'_>,
    ) -> Outcome {
        let judged = match &input.policy.judge {
            // What a judge said of the prompt is in what was recorded of it.
            Some(judge) if !input.is_recorded => {
                self.choose_judged(judge, input, turns, &info.grades)
            }
            _ => self.choose(input).map(Judged::by_classifier),
        };
        let judged = match judged {
            Ok(judged) => judged,
            Err(NoCandidate { candidates }) => return refuse_all(input, candidates),
        };
        let input = RoutingInput {
            steps: judged.steps.as_deref().unwrap_or(input.steps),
            ..*input
        };
        let chosen = (judged.selection, judged.foreign);
        let mut decision = decided(chosen, &input, budget_status);
        decision.learned_choice = self.learned_choice(&input);
        decision.judging = judged.judging;
        Outcome::Routed(Box::new(decision))
    }

    /// The choice that would be made if what was learned were applied; `None` if it is, or nothing was learned.
    #[inline(never)]
    fn learned_choice(&self, input: &RoutingInput<'_>) -> Option<BackendId> {
        if input.applies_learned || input.learned.is_empty() {
            return None;
        }
        let applied = RoutingInput {
            applies_learned: true,
            ..*input
        };
        let (selection, _) = self.choose(&applied).ok()?;
        Some(selection.chosen.backend)
    }

    /// The status of the budgets that limit a request; its refusal if a rule or a spent budget refuses it.
    #[inline(never)]
    fn check_bounds<'p>(
        &self,
        policy: &'p Policy,
        rule_outcome: &RuleOutcome<'_>,
        info: &RequestInfo<'_>,
    ) -> Result<BudgetStatus<'p>, Rejection> {
        if let Some(message) = rule_outcome.reject {
            let mut rejection = reject(403, "rejected_by_policy", message.to_owned());
            rejection.rules = owned(&rule_outcome.names);
            return Err(rejection);
        }
        let now = info.now_ns / 1_000_000_000;
        let budget_status = bounds::budgets(policy, info.attributes, &self.budget_accounts, now);
        match budget_status.refusing {
            Some(budget) => Err(bounds::refuse_spent(budget)),
            None => Ok(budget_status),
        }
    }

    /// Chooses a backend for the last turn, given the backends that answered the turns before.
    fn choose(&self, input: &RoutingInput<'_>) -> Result<(Selection, Foreign), NoCandidate> {
        let (policy, rule_outcome, request) = (input.policy, input.rule_outcome, input.request);
        let preferences = &input.attributes.preferences;
        let preferred: &[ModelId] = if input.pinned.is_some() {
            &[]
        } else {
            &preferences.models
        };
        // A preference that leaves none of the rules' models is ignored: rules are the operator's.
        let allowed =
            bounds::allowed(rule_outcome.models, preferred).unwrap_or(rule_outcome.models.to_vec());
        let over_share = bounds::over_share(policy, &self.shares);
        let floor = rule_outcome
            .min_quality
            .map(|floor| (Limit::MinQuality, f64::from(floor)));
        let limits = floor.map_or(preferences.limits, |(limit, written)| {
            preferences.limits.and(&Limits::NONE.with(limit, written))
        });
        // A model that is behind its share gets new conversations, not turns of existing ones.
        let begins = input.begins();
        let mut query = SelectionRequest {
            pinned: input.pinned,
            allowed: &allowed,
            tags: &rule_outcome.tags,
            over_share: &over_share,
            scope: None,
            limits,
            needs: request.needs,
            api: request.api,
            input_tokens: input.prompt.input_tokens,
            window_tokens: input.prompt.window_tokens,
            max_tokens: request.max_tokens,
            choices: request.choices,
            classification: input.steps.last().map(|step| &step.classification),
            incumbent: None,
            stickiness: policy.traffic.stickiness,
            prefers: &rule_outcome.prefers,
            preferred: begins
                .then(|| bounds::preferred(policy, &self.shares))
                .flatten(),
            exploration: exploration(input),
            learned: input.learned,
            applies_learned: input.applies_learned,
            observed: input.observed,
            draw: draw(RAMP_SALT, input.conversation),
            now_ns: input.now_ns,
        };
        let is_down =
            |selection: &Selection| observed_of(input.observed, selection.chosen.backend).down;
        let choose = |query: &mut SelectionRequest<'_>| {
            carried_state::select_within_shares(input, query, is_down)
        };
        match CarriedState::of(input) {
            Some(carried) => carried.choose(input, &mut query, choose),
            None => carried_state::choose_freely(input, &mut query, choose),
        }
    }
}

/// The prompt of a request: as it was recorded, if that is all there is of it.
fn read_prompt<'a>(request: &'a Request<'a>, info: &RequestInfo<'_>) -> Prompt<'a> {
    match info.recorded {
        Some(recorded) => recorded.prompt(),
        None => Prompt::new(request),
    }
}

/// Whether the conversation explores.
fn exploration(input: &RoutingInput<'_>) -> Exploration {
    if input.is_recorded {
        return Exploration::NONE;
    }
    let rate = input.policy.traffic.exploration_rate;
    let explores = draw(EXPLORE_SALT, input.conversation) < rate;
    Exploration {
        rate,
        pick: explores.then_some(input.conversation),
    }
}

/// Whether a rule that also binds pinned models depends on the classification.
fn classifies_pinned(policy: &Policy) -> bool {
    let mut rules = policy.rules.iter();
    rules.any(|rule| rule.then.binds_pinned() && rule.when.asks_classifier())
}

/// `profile`, or its predecessor if the profile ramps up and this conversation is not in its share yet.
fn ramped<'p>(
    policy: &'p Policy,
    profile: &'p Profile,
    conversation: u64,
    now_ns: u64,
) -> &'p Profile {
    match &profile.ramp {
        Some((ramp, from)) if !ramp.holds(draw(RAMP_SALT, conversation), now_ns) => {
            policy.find_profile(from).unwrap_or(profile)
        }
        _ => profile,
    }
}

/// The refusal of a request that no candidate can take.
fn refuse_all(input: &RoutingInput<'_>, candidates: Vec<Candidate>) -> Outcome {
    let bond = CarriedState::of(input).and_then(|carried| carried.bond());
    let (policy, profile) = (input.policy, input.profile);
    let mut rejection = refuse(policy, profile, input.pinned, bond, &candidates);
    name_rules(policy, input.rule_outcome, &mut rejection);
    rejection.rules = owned(&input.rule_outcome.names);
    rejection.candidates = candidates;
    Outcome::Rejected(rejection)
}

#[inline(never)]
fn decided(
    (selection, foreign): (Selection, Foreign),
    input: &RoutingInput<'_>,
    budget_status: &BudgetStatus<'_>,
) -> Decision {
    let mut rules = owned(&input.rule_outcome.names);
    if input.pinned.is_none() {
        rules.extend(budget_status.spent.iter().map(|name| bounds::named(name)));
    }
    Decision {
        begins: input.begins(),
        window_tokens: input.prompt.window_tokens,
        backend: selection.chosen.backend,
        model: selection.chosen.model,
        profile: input.profile.name.clone(),
        rules,
        reason: selection.reason,
        propensity: selection.propensity,
        learned_choice: None,
        judging: None,
        judge_may_see: judging::may_see(input),
        relaxed: selection.relaxed.iter().map(|limit| limit.name()).collect(),
        foreign,
        charge: bounds::charge(budget_status, selection.chosen.estimate.cost_usd),
        cold_start_ms: observed_of(input.observed, selection.chosen.backend).cold_start_ms,
        estimate: selection.chosen.estimate,
        fallbacks: selection.fallbacks,
        classification: input.steps.last().map(|step| step.classification.clone()),
        input_tokens: input.prompt.input_tokens,
        answer: input
            .request
            .max_tokens
            .filter(|_| input.pinned.is_none())
            .map(|most_tokens| AnswerBound {
                most_tokens,
                window_tokens: input.prompt.window_tokens,
            }),
        steering: bounds::steering(
            input.attributes,
            input.pinned.is_some(),
            input.rule_outcome.models,
        ),
        candidates: selection.candidates,
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

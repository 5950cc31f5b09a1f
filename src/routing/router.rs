//! Ties the steps together: request → prompt → classification → decision. Owns the fail-soft ladder.

mod asked;
mod bounds;
mod carried;
pub mod conversation;
mod facts;
mod refuse;
#[cfg(test)]
mod tests;
mod undecided;

use crate::analysis::classifier::{self, Classification, Classifier, ClassifierError};
use crate::analysis::prompt::{Prompt, Turn};
use crate::api::Api;
use crate::api::request::{self, Request};
use crate::fleet::{AnswerBound, Backend, ModelId};
use crate::policy::Policy;
use crate::policy::conditions::draw;
use crate::policy::envelope::RequestAttributes;
use crate::policy::profile::{Limit, Limits, Profile};
use crate::policy::rules::{RuleOutcome, rule};
use crate::routing::decision::{Candidate, Decision, Foreign, Outcome, Reason, Rejection};
use crate::routing::select::{
    Incumbent, NoCandidate, Selection, SelectionRequest, observed_of, select,
};
use crate::state::backend_stats::Observed;
use crate::state::budgets::{Charge, Spending};
use crate::state::shares::Shares;

use asked::Asked;
pub use asked::unknown;
use bounds::BudgetStatus;
use carried::Carried;
pub use carried::Makers;
pub use conversation::MAX_TURNS;
use conversation::Step;
pub use refuse::reject;
use refuse::{name_rules, refuse};
pub use undecided::{named, unreadable};

/// Routes requests. One per worker.
pub struct Router {
    classifier: Option<Classifier>,
    shares: Shares,
    spending: Spending,
}

/// Whether a decision is only looked at, or carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// Nothing changes: dry runs, explanations, and requests whose tokens are only counted.
    DryRun,
    /// The decision counts for shares and budgets, unless the policy is in shadow mode.
    Record,
}

/// What a decision depends on besides the policy and the request's body.
#[derive(Debug, Clone, Copy)]
pub struct RequestInfo<'a> {
    /// What came beside the body.
    pub envelope: &'a RequestAttributes,
    /// The time, in nanoseconds since 1970: which windows of budgets it is.
    pub now_ns: u64,
    /// Who made the state that the request carries, as far as that is known.
    pub makers: Makers<'a>,
    /// What was observed of the backends, in the order of the policy; nothing of those behind its end.
    pub observed: &'a [Observed],
    /// The request's tokens are only counted. Any backend that has the model may count them, so a model that the policy does
    /// not have is left to the default cluster, if no rule forbids it.
    pub counts_tokens: bool,
}

impl<'a> RequestInfo<'a> {
    /// The information about a request of which nothing else is known.
    pub const fn new(envelope: &'a RequestAttributes, now_ns: u64) -> RequestInfo<'a> {
        RequestInfo {
            envelope,
            now_ns,
            makers: Makers::NONE,
            observed: &[],
            counts_tokens: false,
        }
    }
}

/// Makes the draw of exploration independent of those of rules.
const EXPLORE_SALT: u64 = 0x9e37_79b9_7f4a_7c15;
/// The same for ramps. One for all of them, so that two opposite ones add up.
const RAMP_SALT: u64 = 0xd1b5_4a32_d192_ed03;

/// What is asked of the fleet, and what it follows from.
struct RoutingInput<'a> {
    policy: &'a Policy,
    request: &'a Request<'a>,
    prompt: &'a Prompt<'a>,
    profile: &'a Profile,
    pinned: Option<ModelId>,
    ruling: &'a RuleOutcome<'a>,
    envelope: &'a RequestAttributes,
    steps: &'a [Step],
    conversation: u64,
    now_ns: u64,
    makers: Makers<'a>,
    observed: &'a [Observed],
}

impl RoutingInput<'_> {
    /// The backend that answered last: what is decided for each turn in its order, each knowing the one before. Looked for
    /// only where it can matter, or where it `matters` anyway.
    fn find_incumbent(&self, last: &SelectionRequest<'_>, matters: bool) -> Option<Incumbent> {
        let backends = &self.policy.registry.backends;
        let caches = |one: &Backend| one.price.cached_input < one.price.input;
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
            steps.push((at(step.turn), Some(&step.said)));
        }
        // Without a classification every turn asks the same: the one before the last stands for all.
        if let (true, Some(before)) = (self.steps.is_empty(), now.checked_sub(1)) {
            steps.push((at(before), None));
        }
        // Where a model has called tools since the user spoke, it was asked when the user did, and then with each result.
        if let Some(answered) = answered {
            let before =
                conversation::tokens_before(self.request, self.prompt.input_tokens, answered);
            steps.extend([at(now), before].map(|tokens| (tokens, last.classification)));
        }
        let mut incumbent = None;
        for (input_tokens, classification) in steps {
            let ask = SelectionRequest {
                input_tokens,
                classification,
                incumbent,
                ..*last
            };
            let selection = select(&self.policy.registry, self.profile, &ask).ok();
            incumbent = selection.map(|selection| Incumbent {
                backend: selection.chosen.backend,
                cached_tokens: input_tokens,
            });
        }
        incumbent
    }
}

impl Router {
    /// A router with the embedded classifier; where that does not load it goes on with features alone, and the error is
    /// returned beside it so that the caller can say so.
    pub fn new() -> (Router, Option<ClassifierError>) {
        match Classifier::embedded() {
            Ok(classifier) => (Router::with(Some(classifier)), None),
            Err(error) => (Router::with_features_only(), Some(error)),
        }
    }

    fn with(classifier: Option<Classifier>) -> Router {
        Router {
            classifier,
            shares: Shares::default(),
            spending: Spending::default(),
        }
    }

    /// A router that never asks the classifier: the rung of the ladder below it.
    pub fn with_features_only() -> Router {
        Router::with(None)
    }

    /// Reads a request body of which nothing else is known, decides on it and records the decision. `complete` is false if
    /// `body` is only the first part of the request's.
    pub fn route(&mut self, policy: &Policy, api: Api, body: &[u8], complete: bool) -> Outcome {
        let envelope = RequestAttributes::default();
        let info = RequestInfo::new(&envelope, 0);
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
        if let Outcome::Routed(decision) = &outcome
            && commit == Commit::Record
            && !policy.traffic.shadow
        {
            if decision.reason != Reason::Pinned && !policy.traffic.shares.is_empty() {
                self.shares.add(policy.traffic.fingerprint, decision.model);
            }
            self.spending.charge(&decision.charge);
        }
        outcome
    }

    /// Corrects what a decision has put on the accounts of budgets by what its request did cost, in USD.
    pub fn credit(&mut self, charge: &Charge, actual_usd: f64) {
        self.spending.credit(charge, actual_usd);
    }

    /// What was spent of the budgets; to be told to the other workers once a tick.
    pub fn spending(&mut self) -> &mut Spending {
        &mut self.spending
    }

    /// What becomes of a request; nothing is recorded.
    fn find_outcome(
        &mut self,
        policy: &Policy,
        request: &Request<'_>,
        info: &RequestInfo<'_>,
    ) -> Outcome {
        let (envelope, counts) = (info.envelope, info.counts_tokens);
        if let Some(rejection) = bounds::refuse_steering(policy, envelope) {
            return Outcome::Rejected(rejection);
        }
        let asked = match asked::find(policy, request, envelope, counts) {
            Ok(asked) => asked,
            Err(outcome) => return outcome,
        };
        let pinned = asked.pinned();
        let prompt = Prompt::of(request);
        let steps = self.classify(policy, request, &prompt, asked.names_model());
        let mut facts = facts::gather(policy, request, &prompt, envelope);
        facts.classification = steps.last().map(|step| &step.said);
        facts.pinned = asked.names_model();
        let conversation = facts.conversation;
        let ruling = rule(&policy.rules, &facts);
        let standing = match self.check_bounds(policy, &ruling, info) {
            Ok(standing) => standing,
            Err(rejection) => return Outcome::Rejected(rejection),
        };
        if let Asked::Foreign(_) = asked {
            let name = asked::name(request, envelope).unwrap_or_default();
            return asked::pass_on(policy, name, &ruling, &standing, counts);
        }
        let profile = asked.ruled_profile(policy, &ruling, &standing);
        let demand = RoutingInput {
            policy,
            request,
            prompt: &prompt,
            profile: ramped(policy, profile, conversation, info.now_ns),
            pinned,
            ruling: &ruling,
            envelope,
            steps: &steps,
            conversation,
            now_ns: info.now_ns,
            makers: info.makers,
            observed: info.observed,
        };
        match self.choose(&demand) {
            Ok((selection, foreign)) => {
                let decision = decided(selection, foreign, &demand, &standing);
                Outcome::Routed(Box::new(decision))
            }
            Err(NoCandidate { candidates }) => refuse_all(&demand, candidates),
        }
    }

    /// How the budgets stand; the refusal where a rule or a spent budget refuses the request.
    fn check_bounds<'p>(
        &self,
        policy: &'p Policy,
        ruling: &RuleOutcome<'_>,
        info: &RequestInfo<'_>,
    ) -> Result<BudgetStatus<'p>, Rejection> {
        if let Some(message) = ruling.reject {
            let mut rejection = reject(403, "rejected_by_policy", message.to_owned());
            rejection.rules = owned(&ruling.names);
            return Err(rejection);
        }
        let now = info.now_ns / 1_000_000_000;
        let standing = bounds::budgets(policy, info.envelope, &self.spending, now);
        match standing.refusing {
            Some(budget) => Err(bounds::refuse_spent(budget)),
            None => Ok(standing),
        }
    }

    /// Chooses a backend for the last turn, knowing which ones answered those before it.
    fn choose(&self, demand: &RoutingInput<'_>) -> Result<(Selection, Foreign), NoCandidate> {
        let (policy, ruling, request) = (demand.policy, demand.ruling, demand.request);
        let steering = &demand.envelope.steering;
        let wished: &[ModelId] = if demand.pinned.is_some() {
            &[]
        } else {
            &steering.models
        };
        // A wish that leaves none of the rules' models is no wish: rules are the operator's.
        let allowed = bounds::allowed(ruling.models, wished).unwrap_or(ruling.models.to_vec());
        let barred = bounds::barred(policy, &self.shares);
        let floor = ruling
            .min_quality
            .map(|floor| (Limit::MinQuality, f64::from(floor)));
        let limits = floor.map_or(steering.limits, |(limit, written)| {
            steering.limits.and(&Limits::NONE.with(limit, written))
        });
        let explores = draw(EXPLORE_SALT, demand.conversation) < policy.traffic.exploration_rate;
        // A model that is behind its share gets conversations that begin, not turns of others.
        let begins = demand.prompt.turns.len() < 2 && conversation::answered_at(request).is_none();
        let mut ask = SelectionRequest {
            pinned: demand.pinned,
            allowed: &allowed,
            tags: &ruling.tags,
            barred: &barred,
            scope: None,
            limits,
            needs: request.needs,
            api: request.api,
            input_tokens: demand.prompt.input_tokens,
            window_tokens: demand.prompt.window_tokens,
            max_tokens: request.max_tokens,
            choices: request.choices,
            classification: demand.steps.last().map(|step| &step.said),
            incumbent: None,
            stickiness: policy.traffic.stickiness,
            prefers: &ruling.prefers,
            preferred: begins
                .then(|| bounds::preferred(policy, &self.shares))
                .flatten(),
            explore: explores.then_some(demand.conversation),
            observed: demand.observed,
            draw: draw(RAMP_SALT, demand.conversation),
            now_ns: demand.now_ns,
        };
        let is_down = |one: &Selection| observed_of(demand.observed, one.chosen.backend).down;
        let choose =
            |ask: &mut SelectionRequest<'_>| carried::select_within_shares(demand, ask, is_down);
        match Carried::of(demand) {
            Some(carried) => carried.choose(demand, &mut ask, choose),
            None => carried::choose_freely(demand, &mut ask, choose),
        }
    }

    /// What each turn demands; empty where nobody needs to know.
    fn classify(
        &mut self,
        policy: &Policy,
        request: &Request<'_>,
        prompt: &Prompt<'_>,
        pinned: bool,
    ) -> Vec<Step> {
        let embeds = request.api == Api::OpenAiEmbeddings;
        if embeds || (pinned && !classifies_pinned(policy)) {
            return Vec::new();
        }
        conversation::classify(prompt, |turn| self.classify_turn(turn))
    }

    fn classify_turn(&mut self, turn: &Turn<'_>) -> Classification {
        self.classifier
            .as_mut()
            .and_then(|classifier| classifier.classify(turn).ok())
            .unwrap_or_else(|| Classification {
                model_failed: true,
                ..classifier::from_features(turn)
            })
    }
}

/// Whether a rule that holds for pinned models too needs the classifier's answer.
fn classifies_pinned(policy: &Policy) -> bool {
    let mut rules = policy.rules.iter();
    rules.any(|rule| rule.then.binds_pinned() && rule.when.asks_classifier())
}

/// `profile`, or the one before it where it takes over gradually and the conversation's turn has not come.
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

/// The refusal of what no candidate can take.
fn refuse_all(demand: &RoutingInput<'_>, candidates: Vec<Candidate>) -> Outcome {
    let bond = Carried::of(demand).and_then(|one| one.bond());
    let (policy, profile) = (demand.policy, demand.profile);
    let mut rejection = refuse(policy, profile, demand.pinned, bond, &candidates);
    name_rules(policy, demand.ruling, &mut rejection);
    rejection.rules = owned(&demand.ruling.names);
    rejection.candidates = candidates;
    Outcome::Rejected(rejection)
}

fn decided(
    selection: Selection,
    foreign: Foreign,
    demand: &RoutingInput<'_>,
    standing: &BudgetStatus<'_>,
) -> Decision {
    let mut rules = owned(&demand.ruling.names);
    if demand.pinned.is_none() {
        rules.extend(standing.spent.iter().map(|name| bounds::named(name)));
    }
    Decision {
        backend: selection.chosen.backend,
        model: selection.chosen.model,
        profile: demand.profile.name.clone(),
        rules,
        reason: selection.reason,
        relaxed: selection.relaxed.iter().map(|limit| limit.name()).collect(),
        foreign,
        charge: bounds::charge(standing, selection.chosen.estimate.cost_usd),
        cold_start_ms: observed_of(demand.observed, selection.chosen.backend).cold_start_ms,
        estimate: selection.chosen.estimate,
        fallbacks: selection.fallbacks,
        classification: demand.steps.last().map(|step| step.said.clone()),
        input_tokens: demand.prompt.input_tokens,
        answer: demand
            .request
            .max_tokens
            .filter(|_| demand.pinned.is_none())
            .map(|most_tokens| AnswerBound {
                most_tokens,
                window_tokens: demand.prompt.window_tokens,
            }),
        steering: bounds::steering(
            demand.envelope,
            demand.pinned.is_some(),
            demand.ruling.models,
        ),
        candidates: selection.candidates,
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

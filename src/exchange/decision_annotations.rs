//! What an exchange leaves behind for clients and operators: response headers, filter state, counts.
//!
//! The texts are made when the decision is, because the response comes when the policy may have changed already.

use super::failover::AttemptPlan;
use super::number::{parse_whole, push_fixed, push_integer};
use super::request_kind::{Intent, find};
use super::{Effect, Header, Plan, Read};
use crate::api::Api;
use crate::fleet::clusters::Failover;
use crate::fleet::{Backend, BackendId};
use crate::policy::{DecisionHeaders, Policy};
use crate::routing::decision::{Decision, Outcome, Rejection};
use crate::telemetry::{Metric, header, state};

/// The reason of a request that another backend answered than the one decided on.
const FALLBACK: &str = "fallback";

/// The response headers to come.
#[derive(Debug, Default)]
pub struct DecisionAnnotations {
    headers: Vec<(&'static str, String)>,
    full: bool,
    /// It goes to a backend only to have its tokens counted.
    counts_tokens: bool,
    tried: Option<AttemptPlan>,
    attempts: Option<u64>,
    answered: Option<BackendId>,
}

/// What is asked for, in OpenTelemetry's words, as access logs and spans print it.
pub fn asked(plan: &Plan, request: &Read<'_>, effects: &mut Vec<Effect>) {
    let operation = match plan.api {
        _ if plan.aim == Intent::TokenCount => "count_tokens",
        Api::OpenAiChat | Api::OpenAiResponses | Api::AnthropicMessages => "chat",
        Api::OpenAiCompletions => "text_completion",
        Api::OpenAiEmbeddings => "embeddings",
    };
    set_state(effects, state::OPERATION, operation);
    if let Some(tenant) = &plan.envelope.tenant {
        let shown = plan.policy.traffic.show_tenant(tenant);
        set_state(effects, state::TENANT, &printable(&shown));
    }
    let model = request.as_ref().ok().and_then(|one| one.model.as_deref());
    let model = model.or(plan.envelope.deployment.as_deref());
    // Only what the policy has, as it has it: anything else is the client's text, which may be a prompt.
    if let Some(model) = model.and_then(|name| plan.policy.resolve_name(name)) {
        set_state(effects, state::REQUEST_MODEL, model);
    }
}

impl DecisionAnnotations {
    /// The request goes where `decision` says.
    pub fn routed(&mut self, policy: &Policy, decision: &Decision, effects: &mut Vec<Effect>) {
        let (model, backend) = names(policy, decision);
        let accelerator = policy.registry.backend(decision.backend);
        let accelerator = accelerator.map_or("", |one| one.accelerator.name());
        let reason = decision.reason.name();
        let metric = match policy.traffic.shadow {
            true => Metric::shadow_decisions,
            false => Metric::decisions,
        };
        let metric = metric(model, backend, accelerator, &decision.profile, reason);
        effects.push(Effect::Count(metric));
        self.decided(policy, decision, effects);
        let cost = fixed(decision.estimate.cost_usd, 9);
        set_state(effects, state::ESTIMATED_COST_USD, &cost);
        if self.full {
            self.header(header::ESTIMATED_COST_USD, cost);
        }
    }

    /// The request goes where `decision` says, to have its tokens counted.
    pub fn counting(&mut self, policy: &Policy, decision: &Decision, effects: &mut Vec<Effect>) {
        let (model, backend) = names(policy, decision);
        effects.push(Effect::Count(Metric::count_tokens_requests(model, backend)));
        self.counts_tokens = true;
        self.decided(policy, decision, effects);
    }

    /// What was decided, whatever for.
    fn decided(&mut self, policy: &Policy, decision: &Decision, effects: &mut Vec<Effect>) {
        let (model, backend) = names(policy, decision);
        let reason = decision.reason.name();
        let asked = decision.classification.as_ref();
        if asked.is_some_and(|one| one.model_failed) {
            effects.push(Effect::Count(Metric::classifier_errors()));
        }
        let difficulty = asked.map(|one| fixed(f64::from(one.difficulty), 3));
        set_state(effects, state::MODEL, model);
        set_state(effects, state::BACKEND, backend);
        set_state(effects, state::PROFILE, &decision.profile);
        set_state(effects, state::REASON, reason);
        if let Some(difficulty) = &difficulty {
            set_state(effects, state::DIFFICULTY, difficulty);
        }
        if let Some(asked) = asked {
            set_state(effects, state::TASK, asked.task.name());
        }
        set_rules(&decision.rules, effects);
        if let Some(backend) = policy.registry.backend(decision.backend) {
            set_server(backend, effects);
        }

        if policy.decision_headers == DecisionHeaders::Off {
            return;
        }
        self.header(header::MODEL, printable(model));
        self.header(header::BACKEND, printable(backend));
        if policy.decision_headers == DecisionHeaders::Minimal {
            return;
        }
        self.full = true;
        self.versions(policy);
        self.header(header::PROFILE, printable(&decision.profile));
        if !decision.rules.is_empty() {
            self.header(header::RULE, printable(&decision.rules.join(",")));
        }
        self.header(header::REASON, reason.to_owned());
        if !decision.steering.is_empty() {
            self.header(header::STEERING, decision.steering.join(","));
        }
        if let Some(difficulty) = difficulty {
            self.header(header::DIFFICULTY, difficulty);
        }
        if let Some(quality) = decision.estimate.quality {
            self.header(header::QUALITY, fixed(f64::from(quality), 4));
        }
    }

    /// The request goes on undecided.
    pub fn bypassed(
        &mut self,
        cause: &'static str,
        policy: Option<&Policy>,
        effects: &mut Vec<Effect>,
    ) {
        let mut reason = String::from("bypass_");
        reason.push_str(cause);
        effects.push(Effect::Count(Metric::request_bypasses(cause)));
        set_state(effects, state::REASON, &reason);
        if let Some(policy) =
            policy.filter(|policy| policy.decision_headers == DecisionHeaders::Full)
        {
            self.full = true;
            self.versions(policy);
            self.header(header::REASON, reason);
        }
    }

    /// The request goes on untouched, and this is what would have been.
    pub fn shadowed(&mut self, policy: &Policy, outcome: &Outcome, effects: &mut Vec<Effect>) {
        set_state(effects, state::MODE, "shadow");
        match outcome {
            Outcome::Routed(decision) => self.routed(policy, decision, effects),
            Outcome::Bypassed(_) => self.bypassed("shadow", Some(policy), effects),
            Outcome::Rejected(rejection) => {
                effects.push(Effect::Count(Metric::shadow_rejections(rejection.code)));
                set_state(effects, state::REASON, rejection.code);
                let headers = refused(policy, rejection);
                self.full = !headers.is_empty();
                self.headers.extend(headers);
            }
        }
        if policy.decision_headers != DecisionHeaders::Off {
            self.header(header::MODE, "shadow".to_owned());
        }
    }

    /// The request is answered with an error.
    pub fn rejected(&mut self, code: &'static str, effects: &mut Vec<Effect>) {
        effects.push(Effect::Count(Metric::rejections(code)));
        set_state(effects, state::REASON, code);
        set_state(effects, state::ERROR_TYPE, code);
    }

    /// How long the decision took, in microseconds.
    pub fn decision_us(&mut self, micros: u64) {
        if self.full {
            let mut text = String::new();
            push_integer(&mut text, micros);
            self.header(header::DECISION_US, text);
        }
    }

    /// The backends that the request may be tried at.
    pub fn tried(&mut self, tried: AttemptPlan) {
        self.tried = Some(tried);
    }

    /// Writes the headers, or asks first for what they depend on.
    pub fn response_headers(&mut self, effects: &mut Vec<Effect>) {
        if self.is_open() {
            effects.push(Effect::ReadAttempts);
            return;
        }
        self.write(effects);
        if self.full {
            effects.push(Effect::ReadAttempts);
        }
    }

    /// The same where the response's headers are known: mostly they say how many attempts it took, and nobody is asked.
    pub fn response_head(&mut self, headers: &[Header<'_>], effects: &mut Vec<Effect>) {
        match find(headers, header::ENVOY_ATTEMPTS).and_then(parse_whole) {
            Some(attempts) => self.attempts(Some(attempts), effects),
            None => self.response_headers(effects),
        }
    }

    /// How many attempts the answer took.
    pub fn attempts(&mut self, attempts: Option<u64>, effects: &mut Vec<Effect>) {
        self.attempts = attempts;
        let aggregate = |tried: &AttemptPlan| matches!(tried.failover, Failover::Aggregate { .. });
        if self.is_open() && self.tried.as_ref().is_some_and(aggregate) {
            effects.push(Effect::ReadHost);
        } else {
            self.finish(None, effects);
        }
    }

    /// Which backend the answering host belongs to.
    pub fn host(&mut self, host: Option<&str>, effects: &mut Vec<Effect>) {
        self.finish(host, effects);
    }

    /// The backend that answered, where it is another one than was chosen.
    pub const fn answered(&self) -> Option<BackendId> {
        self.answered
    }

    /// How many attempts it took, as far as that is known; at least 1.
    pub fn tries(&self) -> u64 {
        self.attempts.unwrap_or(1).max(1)
    }

    /// The backends that the request may be tried at, the chosen one first, and how.
    pub fn chain(&self) -> Option<(Failover, &[BackendId])> {
        let tried = self.tried.as_ref()?;
        Some((tried.failover, tried.backends()))
    }

    fn is_open(&self) -> bool {
        self.tried.as_ref().is_some_and(AttemptPlan::is_open)
    }

    /// Writes what depends on which backend answered, and how many attempts that took.
    fn finish(&mut self, host: Option<&str>, effects: &mut Vec<Effect>) {
        if let Some(tried) = self.tried.take_if(|tried| tried.is_open())
            && let Some((policy, answered)) = tried.answered(self.attempts.unwrap_or(1), host)
            && tried.chosen() != Some(answered)
            && let Some(backend) = policy.registry.backend(answered)
            && let Some(model) = policy.registry.model(backend.model)
        {
            self.answered = Some(answered);
            if !self.counts_tokens {
                effects.push(Effect::Count(Metric::fallbacks(&model.name, &backend.name)));
            }
            set_state(effects, state::MODEL, &model.name);
            set_state(effects, state::BACKEND, &backend.name);
            set_state(effects, state::REASON, FALLBACK);
            set_server(backend, effects);
            for (name, value) in &mut self.headers {
                match *name {
                    header::MODEL => *value = printable(&model.name),
                    header::BACKEND => *value = printable(&backend.name),
                    header::REASON => *value = FALLBACK.to_owned(),
                    _ => {}
                }
            }
        }
        self.write(effects);
        if self.full
            && let Some(attempts) = self.attempts
        {
            let mut value = String::new();
            push_integer(&mut value, attempts);
            effects.push(Effect::SetResponseHeader {
                name: header::ATTEMPTS,
                value,
            });
        }
    }

    fn write(&mut self, effects: &mut Vec<Effect>) {
        for (name, value) in self.headers.drain(..) {
            effects.push(Effect::SetResponseHeader { name, value });
        }
    }

    /// That of the list of headers, and that of the policy.
    fn versions(&mut self, policy: &Policy) {
        self.header(header::SCHEMA_VERSION, header::SCHEMA.to_owned());
        self.header(header::POLICY_VERSION, printable(&policy.version));
    }

    fn header(&mut self, name: &'static str, value: String) {
        self.headers.push((name, value));
    }
}

/// Sets who runs the backend that a request goes to, and where that is.
fn set_server(backend: &Backend, effects: &mut Vec<Effect>) {
    set_state(effects, state::PROVIDER, &backend.provider);
    if let Some(endpoint) = &backend.endpoint {
        let mut port = String::new();
        push_integer(&mut port, u64::from(endpoint.port));
        set_state(effects, state::SERVER_ADDRESS, &endpoint.host);
        set_state(effects, state::SERVER_PORT, &port);
    }
}

/// Sets whose API a request speaks, which nobody runs a backend for.
pub(super) fn set_api(api: Api, effects: &mut Vec<Effect>) {
    let provider = match api {
        Api::AnthropicMessages => "anthropic",
        _ => "openai",
    };
    set_state(effects, state::PROVIDER, provider);
}

/// Sets the rules that had a part in what becomes of a request.
pub(super) fn set_rules(rules: &[String], effects: &mut Vec<Effect>) {
    if !rules.is_empty() {
        set_state(effects, state::RULE, &printable(&rules.join(",")));
    }
}

/// The chosen model and backend, by name.
fn names<'a>(policy: &'a Policy, decision: &Decision) -> (&'a str, &'a str) {
    let model = policy.registry.model(decision.model);
    let backend = policy.registry.backend(decision.backend);
    (
        model.map_or("", |one| one.name.as_str()),
        backend.map_or("", |one| one.name.as_str()),
    )
}

/// What a client sees of a refusal beside its error.
pub fn refused(policy: &Policy, rejection: &Rejection) -> Vec<(&'static str, String)> {
    if policy.decision_headers != DecisionHeaders::Full {
        return Vec::new();
    }
    let mut headers = vec![
        (header::SCHEMA_VERSION, header::SCHEMA.to_owned()),
        (header::POLICY_VERSION, printable(&policy.version)),
        (header::REASON, rejection.code.to_owned()),
    ];
    if !rejection.rules.is_empty() {
        headers.push((header::RULE, printable(&rejection.rules.join(","))));
    }
    headers
}

/// `text` fit for a header's value: control characters, which would end it, become `?`.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_ascii_control() { '?' } else { c })
        .collect()
}

pub(super) fn fixed(value: f64, decimals: u32) -> String {
    let mut text = String::new();
    push_fixed(&mut text, value, decimals);
    text
}

pub(super) fn set_state(effects: &mut Vec<Effect>, key: &'static str, value: &str) {
    effects.push(Effect::SetState {
        key,
        value: value.to_owned(),
    });
}

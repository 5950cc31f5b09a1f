//! Annotates an exchange with its decision, for clients and operators: response headers, filter state, counters.
//!
//! The texts are made with the decision, because the policy may have changed when the response comes.

use smol_str::SmolStr;

use super::request_kind::{Intent, find};
use super::routed::Routed;
use super::verdict::{self, Verdict};
use super::{Effect, Header, ParsedBody, Plan, Question};
use crate::api::Api;
use crate::decimal::{decimal, fixed, parse_whole};
use crate::fleet::Backend;
use crate::fleet::clusters::Failover;
use crate::policy::{DecisionHeaders, Policy};
use crate::routing::decision::{Decision, Outcome, Rejection};
use crate::telemetry::state::{self, FilterState};
use crate::telemetry::{Metric, header};

/// The reason shown if a backend other than the chosen one has answered.
const FALLBACK: &str = "fallback";

/// The annotations of one exchange: counters and filter state when the request is decided, headers when the response comes.
///
/// The headers name the backend that answered. Each step writes them, or asks the host for what the next step needs:
/// 1. [`response_head`](Self::response_head) looks for Envoy's number of attempts among the response's own headers. If it is
///    there, [`attempts`](Self::attempts) follows at once, else [`response_headers`](Self::response_headers). An answer by
///    Pointsman has no headers to look at and begins with the latter.
/// 2. [`response_headers`](Self::response_headers) writes if only one backend can have answered. It asks for the number of
///    attempts if several can have, or if the number itself is to be shown.
/// 3. [`attempts`](Self::attempts) takes that number. It asks for the answering host if the number does not tell the backend,
///    as with an aggregate cluster; else it writes what is not written yet.
/// 4. [`host`](Self::host) takes the name of the host's backend, and writes.
#[derive(Debug, Default)]
pub struct DecisionAnnotations {
    /// The values that are set for access logs and spans. Without them their texts are not made either.
    pub filter_state: FilterState,
    headers: Vec<(&'static str, SmolStr)>,
    full: bool,
    /// The request goes to a backend only to have its tokens counted.
    counts_tokens: bool,
    /// The outcome of asking the judge, once it is known.
    verdict: Option<Verdict>,
    attempts: Option<u64>,
    /// Whether the backend that answered is known.
    is_resolved: bool,
}

/// Sets what the client asks for, in OpenTelemetry's terms, for access logs and spans.
#[inline(never)]
pub fn set_requested(plan: &Plan, request: &ParsedBody<'_>, effects: &mut Vec<Effect>) {
    let operation = match plan.api {
        _ if plan.intent == Intent::TokenCount => "count_tokens",
        Api::OpenAiChat | Api::OpenAiResponses | Api::AnthropicMessages => "chat",
        Api::OpenAiCompletions => "text_completion",
        Api::OpenAiEmbeddings => "embeddings",
    };
    set_state(effects, state::OPERATION, operation);
    if let Some(tenant) = &plan.attributes.tenant {
        let shown = plan.policy.traffic.show_tenant(tenant);
        set_state(effects, state::TENANT, &printable(&shown));
    }
    let model = request
        .as_ref()
        .ok()
        .and_then(|request| request.model.as_deref());
    let model = model.or(plan.attributes.deployment.as_deref());
    // Only names of the policy, in its spelling: any other text is the client's and may be a prompt.
    if let Some(model) = model.and_then(|name| plan.policy.resolve_name(name)) {
        set_state(effects, state::REQUEST_MODEL, model);
    }
}

impl DecisionAnnotations {
    /// The request is routed by `decision`.
    #[inline(never)]
    pub fn routed(&mut self, policy: &Policy, decision: &Decision, effects: &mut Vec<Effect>) {
        let (model, backend) = names(policy, decision);
        let accelerator = policy.registry.backend(decision.backend);
        let accelerator = accelerator.map_or("", |backend| backend.accelerator.name());
        let reason = decision.reason.name();
        let metric = match policy.traffic.shadow {
            true => Metric::shadow_decisions,
            false => Metric::decisions,
        };
        let metric = metric(model, backend, accelerator, &decision.profile, reason);
        effects.push(Effect::Count(metric));
        let other = decision.learned_choice.filter(|id| *id != decision.backend);
        if let Some(backend) = other.and_then(|id| policy.registry.backend(id))
            && let Some(model) = policy.registry.model(backend.model)
        {
            effects.push(Effect::Count(Metric::learned_changes(&model.name)));
        }
        self.decided(policy, decision, effects);
        if !self.filter_state.is_on() && !self.full {
            return;
        }
        let cost = fixed(decision.estimate.cost_usd, 9);
        self.filter_state
            .set(effects, state::ESTIMATED_COST_USD, &cost);
        if self.full {
            self.header(header::ESTIMATED_COST_USD, cost);
        }
    }

    /// The request is routed by `decision`, to have its tokens counted.
    pub fn counting(&mut self, policy: &Policy, decision: &Decision, effects: &mut Vec<Effect>) {
        let (model, backend) = names(policy, decision);
        effects.push(Effect::Count(Metric::count_tokens_requests(model, backend)));
        self.counts_tokens = true;
        self.decided(policy, decision, effects);
    }

    /// Annotates a decision, whatever it is for.
    #[inline(never)]
    fn decided(&mut self, policy: &Policy, decision: &Decision, effects: &mut Vec<Effect>) {
        let (model, backend) = names(policy, decision);
        let reason = decision.reason.name();
        let classification = decision.classification.as_ref();
        if classification.is_some_and(|found| found.model_failed) {
            effects.push(Effect::Count(Metric::classifier_errors()));
        }
        let is_full = policy.decision_headers == DecisionHeaders::Full;
        let difficulty = classification
            .filter(|_| is_full || self.filter_state.is_on())
            .map(|found| fixed(f64::from(found.difficulty), 3));
        let stage = stage(policy, decision);
        if self.filter_state.is_on() {
            set_decision(policy, decision, (difficulty.as_deref(), stage), effects);
        }

        if policy.decision_headers == DecisionHeaders::Off {
            return;
        }
        self.headers.reserve(12);
        self.header(header::MODEL, printable(model));
        self.header(header::BACKEND, printable(backend));
        if !is_full {
            return;
        }
        self.full = true;
        self.versions(policy);
        self.header(header::PROFILE, printable(&decision.profile));
        if !decision.rules.is_empty() {
            self.header(header::RULE, printable(&decision.rules.join(",")));
        }
        self.header(header::REASON, SmolStr::new_static(reason));
        if !decision.steering.is_empty() {
            self.header(header::STEERING, decision.steering.join(",").into());
        }
        if let Some(difficulty) = difficulty {
            self.header(header::DIFFICULTY, difficulty);
        }
        if let Some(stage) = stage {
            self.header(header::STAGE, SmolStr::new_static(stage));
        }
        if let Some(verdict) = self.verdict {
            self.header(header::JUDGE, verdict.to_text().into());
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
        effects.push(Effect::Count(Metric::request_bypasses(cause)));
        let policy = policy.filter(|policy| policy.decision_headers == DecisionHeaders::Full);
        if !self.filter_state.is_on() && policy.is_none() {
            return;
        }
        let mut reason = String::from("bypass_");
        reason.push_str(cause);
        self.filter_state.set(effects, state::REASON, &reason);
        if let Some(policy) = policy {
            self.full = true;
            self.versions(policy);
            self.header(header::REASON, reason.into());
        }
    }

    /// The request goes on untouched; annotates what the decision would have been.
    pub fn shadowed(&mut self, policy: &Policy, outcome: &Outcome, effects: &mut Vec<Effect>) {
        self.filter_state.set(effects, state::MODE, "shadow");
        match outcome {
            Outcome::Routed(decision) => self.routed(policy, decision, effects),
            Outcome::Bypassed(_) => self.bypassed("shadow", Some(policy), effects),
            Outcome::Rejected(rejection) => {
                effects.push(Effect::Count(Metric::shadow_rejections(rejection.code)));
                self.filter_state
                    .set(effects, state::REASON, rejection.code);
                let headers = refused(policy, rejection);
                self.full = !headers.is_empty();
                self.headers.extend(headers);
            }
        }
        if policy.decision_headers != DecisionHeaders::Off {
            self.header(header::MODE, SmolStr::new_static("shadow"));
        }
    }

    /// The request, of a client that speaks `api`, is answered with an error.
    pub fn rejected(&self, api: Api, rejection: &Rejection, effects: &mut Vec<Effect>) {
        effects.push(Effect::Count(Metric::rejections(rejection.code)));
        if self.filter_state.is_on() {
            set_state(effects, state::REASON, rejection.code);
            set_state(effects, state::ERROR_TYPE, rejection.code);
            set_api(api, effects);
            set_rules(&rejection.rules, effects);
        }
    }

    /// Annotates what became of asking the judge, if that is known before the decision is annotated.
    pub(super) fn judged(&mut self, verdict: Verdict, effects: &mut Vec<Effect>) {
        if self.filter_state.is_on() {
            set_verdict(verdict, effects);
        }
        self.verdict = Some(verdict);
    }

    /// Annotates the reply of a judge that nobody waited for.
    pub(super) fn judged_late(&mut self, verdict: Verdict, effects: &mut Vec<Effect>) {
        self.judged(verdict, effects);
        if self.full {
            self.header(header::JUDGE, verdict.to_text().into());
        }
    }

    /// The decision took this many microseconds.
    pub fn decision_us(&mut self, micros: u64) {
        if self.full {
            self.header(header::DECISION_US, decimal(micros));
        }
    }

    /// Writes the headers, or asks first for what they depend on.
    #[inline(never)]
    pub fn response_headers(&mut self, routed: Option<&Routed>, effects: &mut Vec<Effect>) {
        if self.is_open(routed) {
            effects.push(Effect::Ask(Question::AttemptCount));
            return;
        }
        self.write(effects);
        if self.full {
            effects.push(Effect::Ask(Question::AttemptCount));
        }
    }

    /// Writes the headers of a response whose own headers are known. Most often these hold the number of attempts, and the
    /// host need not be asked.
    #[inline(never)]
    pub fn response_head(
        &mut self,
        headers: &[Header<'_>],
        routed: Option<&mut Routed>,
        effects: &mut Vec<Effect>,
    ) {
        match find(headers, header::ENVOY_ATTEMPTS).and_then(parse_whole) {
            Some(attempts) => self.attempts(Some(attempts), routed, effects),
            None => self.response_headers(routed.as_deref(), effects),
        }
    }

    /// Takes the number of attempts that the answer took.
    pub fn attempts(
        &mut self,
        attempts: Option<u64>,
        routed: Option<&mut Routed>,
        effects: &mut Vec<Effect>,
    ) {
        self.attempts = attempts;
        let is_aggregate =
            |routed: &&mut Routed| matches!(routed.failover, Failover::Aggregate { .. });
        if self.is_open(routed.as_deref()) && routed.as_ref().is_some_and(is_aggregate) {
            effects.push(Effect::Ask(Question::UpstreamHost));
        } else {
            self.finish(None, routed, effects);
        }
    }

    /// Takes the name of the backend that the answering host belongs to.
    pub fn host(
        &mut self,
        host: Option<&str>,
        routed: Option<&mut Routed>,
        effects: &mut Vec<Effect>,
    ) {
        self.finish(host, routed, effects);
    }

    /// The number of attempts, as far as it is known; at least 1.
    pub fn attempt_count(&self) -> u64 {
        self.attempts.unwrap_or(1).max(1)
    }

    /// Whether it is not yet known which backend has answered.
    pub fn is_open(&self, routed: Option<&Routed>) -> bool {
        !self.is_resolved && routed.is_some_and(Routed::has_fallbacks)
    }

    /// Writes the headers that depend on the backend that answered and on the number of attempts.
    fn finish(
        &mut self,
        host: Option<&str>,
        routed: Option<&mut Routed>,
        effects: &mut Vec<Effect>,
    ) {
        let is_open = self.is_open(routed.as_deref());
        self.is_resolved |= is_open;
        if let Some(routed) = routed.filter(|_| is_open)
            && let Some(answering) = routed.find_answering(self.attempts.unwrap_or(1), host)
            && answering != routed.decision.backend
            && let Some(backend) = routed.policy.registry.backend(answering)
            && let Some(model) = routed.policy.registry.model(backend.model)
        {
            routed.fallback = Some(answering);
            if !self.counts_tokens {
                effects.push(Effect::Count(Metric::fallbacks(&model.name, &backend.name)));
            }
            if self.filter_state.is_on() {
                set_state(effects, state::MODEL, &model.name);
                set_state(effects, state::BACKEND, &backend.name);
                set_state(effects, state::REASON, FALLBACK);
                set_server(backend, effects);
            }
            for (name, value) in &mut self.headers {
                match *name {
                    header::MODEL => *value = printable(&model.name),
                    header::BACKEND => *value = printable(&backend.name),
                    header::REASON => *value = SmolStr::new_static(FALLBACK),
                    _ => {}
                }
            }
        }
        self.write(effects);
        if self.full
            && let Some(attempts) = self.attempts
        {
            effects.push(Effect::SetResponseHeader {
                name: header::ATTEMPTS,
                value: decimal(attempts),
            });
        }
    }

    fn write(&mut self, effects: &mut Vec<Effect>) {
        effects.reserve(self.headers.len() + 1);
        for (name, value) in self.headers.drain(..) {
            effects.push(Effect::SetResponseHeader { name, value });
        }
    }

    /// Adds the versions of the headers and of the policy.
    fn versions(&mut self, policy: &Policy) {
        self.header(header::SCHEMA_VERSION, SmolStr::new_static(header::SCHEMA));
        self.header(header::POLICY_VERSION, printable(&policy.version));
    }

    fn header(&mut self, name: &'static str, value: SmolStr) {
        self.headers.push((name, value));
    }
}

/// The stage that made a decision; `None` if the policy has no judge.
fn stage(policy: &Policy, decision: &Decision) -> Option<&'static str> {
    policy.judge.as_ref()?;
    Some(match verdict::counted(policy, decision) {
        Some(_) => "judge",
        None => "classifier",
    })
}

/// Sets a decision, with the texts of its difficulty and its stage.
#[inline(never)]
fn set_decision(
    policy: &Policy,
    decision: &Decision,
    (difficulty, stage): (Option<&str>, Option<&str>),
    effects: &mut Vec<Effect>,
) {
    let (model, backend) = names(policy, decision);
    set_state(effects, state::MODEL, model);
    set_state(effects, state::BACKEND, backend);
    set_state(effects, state::PROFILE, &decision.profile);
    set_state(effects, state::REASON, decision.reason.name());
    if let Some(difficulty) = difficulty {
        set_state(effects, state::DIFFICULTY, difficulty);
    }
    if let Some(classification) = &decision.classification {
        set_state(effects, state::TASK, classification.task.name());
    }
    set_rules(&decision.rules, effects);
    if let Some(backend) = policy.registry.backend(decision.backend) {
        set_server(backend, effects);
    }
    if let Some(stage) = stage {
        set_state(effects, state::STAGE, stage);
    }
}

/// Sets what became of asking the judge.
#[inline(never)]
fn set_verdict(verdict: Verdict, effects: &mut Vec<Effect>) {
    set_state(effects, state::JUDGE_RESULT, verdict.result);
    if let Some(grade) = verdict.grade {
        let grade = fixed(f64::from(grade.mean), 3);
        set_state(effects, state::JUDGE_GRADE, &grade);
    }
    if let Some(ms) = verdict.took_ms {
        set_state(effects, state::JUDGE_MS, &decimal(ms));
    }
    if verdict.cost_usd > 0.0 {
        let cost = fixed(verdict.cost_usd, 9);
        set_state(effects, state::JUDGE_COST_USD, &cost);
    }
}

/// Sets the provider and the address of the backend.
fn set_server(backend: &Backend, effects: &mut Vec<Effect>) {
    set_state(effects, state::PROVIDER, &backend.provider);
    if let Some(endpoint) = &backend.endpoint {
        let port = decimal(u64::from(endpoint.port));
        set_state(effects, state::SERVER_ADDRESS, &endpoint.host);
        set_state(effects, state::SERVER_PORT, &port);
    }
}

/// Sets the provider of an API, for a request that no backend serves.
fn set_api(api: Api, effects: &mut Vec<Effect>) {
    let provider = match api {
        Api::AnthropicMessages => "anthropic",
        _ => "openai",
    };
    set_state(effects, state::PROVIDER, provider);
}

/// Sets the rules that matched.
fn set_rules(rules: &[String], effects: &mut Vec<Effect>) {
    if !rules.is_empty() {
        set_state(effects, state::RULE, &printable(&rules.join(",")));
    }
}

/// Names of the chosen model and backend.
fn names<'a>(policy: &'a Policy, decision: &Decision) -> (&'a str, &'a str) {
    let model = policy.registry.model(decision.model);
    let backend = policy.registry.backend(decision.backend);
    (
        model.map_or("", |model| model.name.as_str()),
        backend.map_or("", |backend| backend.name.as_str()),
    )
}

/// The headers of a rejection, besides its error.
pub fn refused(policy: &Policy, rejection: &Rejection) -> Vec<(&'static str, SmolStr)> {
    if policy.decision_headers != DecisionHeaders::Full {
        return Vec::new();
    }
    let mut headers = vec![
        (header::SCHEMA_VERSION, SmolStr::new_static(header::SCHEMA)),
        (header::POLICY_VERSION, printable(&policy.version)),
        (header::REASON, SmolStr::new_static(rejection.code)),
    ];
    if !rejection.rules.is_empty() {
        headers.push((header::RULE, printable(&rejection.rules.join(","))));
    }
    headers
}

/// `text` made fit for a header value: each control character becomes `?`.
#[inline(never)]
pub fn printable(text: &str) -> SmolStr {
    if !text.bytes().any(|byte| byte.is_ascii_control()) {
        return text.into();
    }
    text.replace(|c: char| c.is_ascii_control(), "?").into()
}

impl FilterState {
    /// Sets a value, if values are set. Where its text has to be made first, ask [`FilterState::is_on`] before.
    pub(super) fn set(self, effects: &mut Vec<Effect>, key: &'static str, value: &str) {
        if self.is_on() {
            set_state(effects, key, value);
        }
    }
}

/// Apart, as making a text is code that every caller would have.
#[inline(never)]
pub(super) fn set_state(effects: &mut Vec<Effect>, key: &'static str, value: &str) {
    let value = value.into();
    effects.push(Effect::SetState { key, value });
}

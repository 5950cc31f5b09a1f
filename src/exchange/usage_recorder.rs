//! What became of a decided request: when it was answered, in how many tokens, at what cost.
//!
//! The bytes of the response are looked at as they pass and never kept; what they took is counted once the exchange is
//! over, off the way of the answer. Errors and answers that do not say what they took are counted as such; only budgets are
//! charged with an estimate of what was sent and delivered.

use std::rc::Rc;

use super::backend_observer::{BackendObserver, Outcome};
use super::decision_annotations::{fixed, set_state};
use super::estimated_usage::Unstated;
use super::number::push_integer;
use super::request_kind::find;
use super::{Effect, Header, Plan};
use crate::api::Api;
use crate::api::error_body::error_event;
use crate::api::request::Request;
use crate::api::usage::{AnswerError, Media, MissingUsage, Usage, UsageEventFilter, UsageParser};
use crate::fleet::{Backend, BackendId};
use crate::policy::Policy;
use crate::policy::conditions::Pattern;
use crate::routing::decision::Decision;
use crate::state::budgets::Charge;
use crate::telemetry::{Metric, Served, state};

/// Code and message for a client whose answer ends before it is over.
const CUT_SHORT: (&str, &str) = (
    "stream_truncated",
    "the backend ended the stream before the answer was over; what came before is all there is",
);

/// A decided request on its way, and its answer.
#[derive(Debug)]
pub struct UsageRecorder {
    policy: Rc<Policy>,
    decision: Decision,
    api: Api,
    /// How many answers are wanted.
    choices: u32,
    /// The client did not ask for the usage of its stream.
    hides: bool,
    started_ns: u64,
    first_token_ns: Option<u64>,
    answer: Answer,
    hide: Option<UsageEventFilter>,
    ended: bool,
    /// The response says how long it is: nothing can be put behind it.
    is_sized: bool,
    /// It is a page for people, as proxies answer in the place of a backend.
    is_page: bool,
    /// The backend ended the stream before its answer was over.
    pub(super) is_cut_short: bool,
    /// What access logs and spans print of the answer was set.
    told: bool,
    /// Bytes of the response that came last.
    came: usize,
    /// What it teaches of the backends.
    pub(super) watch: Option<BackendObserver>,
}

/// The response.
#[derive(Debug)]
enum Answer {
    /// It did not come.
    None,
    /// It is an error.
    Error,
    /// It does not let itself be read.
    Unread(MissingUsage),
    /// It is being read.
    Read {
        meter: Box<UsageParser>,
        streams: bool,
    },
}

/// Whether the stream that is asked for is to tell its usage though the client did not say so.
pub(super) fn asks_for_usage(plan: &Plan, request: &Request<'_>) -> bool {
    plan.policy.always_stream_usage
        && request.stream
        && request.complete
        && !request.include_usage
        && plan.api.has_stream_options()
}

impl UsageRecorder {
    /// An account for a request that goes where `decision` says; `now_ns` is when its body was read.
    pub(super) fn open(
        plan: &Plan,
        mut decision: Decision,
        request: &Request<'_>,
        now_ns: u64,
    ) -> UsageRecorder {
        decision.candidates = Vec::new();
        UsageRecorder {
            policy: Rc::clone(&plan.policy),
            decision,
            api: plan.api,
            choices: request.choices,
            hides: asks_for_usage(plan, request),
            started_ns: now_ns,
            first_token_ns: None,
            answer: Answer::None,
            hide: None,
            ended: false,
            is_sized: false,
            is_page: false,
            is_cut_short: false,
            told: false,
            came: 0,
            watch: None,
        }
    }

    /// The same, teaching what it meets.
    pub(super) fn watched(self, watch: Option<BackendObserver>) -> UsageRecorder {
        UsageRecorder { watch, ..self }
    }

    /// What the answer was, for what is learned of its backend.
    pub(super) fn outcome(&self) -> Outcome {
        let Answer::Read { meter, .. } = &self.answer else {
            return Outcome {
                fault: self.is_page.then_some(AnswerError::Reported),
                ..Outcome::default()
            };
        };
        let usage = self.usage().and_then(Result::ok);
        let streamed = meter.streamed_tokens();
        let stated = usage.map(|usage| usage.output_tokens);
        Outcome {
            fault: meter.error(self.ended && !self.is_cut_short),
            output_tokens: stated.filter(|tokens| *tokens > 0).or(streamed),
            hides_reasoning: usage
                .is_some_and(|usage| usage.reasoning_tokens > streamed.unwrap_or_default()),
        }
    }

    /// The policy that it was decided under.
    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The backend that was chosen.
    pub(super) const fn chosen(&self) -> BackendId {
        self.decision.backend
    }

    /// Whether there was an answer that is no error.
    pub(super) const fn is_answered(&self) -> bool {
        matches!(self.answer, Answer::Unread(_) | Answer::Read { .. })
    }

    /// Whether an answer began and its end was not seen.
    pub(super) const fn is_cut_off(&self) -> bool {
        self.is_answered() && !self.ended
    }

    /// The response's headers are there.
    pub fn head(&mut self, headers: &[Header<'_>], effects: &mut Vec<Effect>) {
        let status = find(headers, ":status").unwrap_or_default();
        if let Some(watch) = &mut self.watch {
            watch.head(status);
        }
        if !status.starts_with(b"2") {
            self.answer = Answer::Error;
            let status = std::str::from_utf8(status).unwrap_or_default();
            return set_state(effects, state::ERROR_TYPE, status);
        }
        let kind = find(headers, "content-type").unwrap_or_default();
        self.answer = match Media::from_headers(kind, find(headers, "content-encoding")) {
            Err(unknown) => Answer::Unread(unknown),
            Ok(media) => Answer::Read {
                meter: self.meter(media),
                streams: media == Media::EventStream,
            },
        };
        self.is_page = kind.trim_ascii_start().starts_with(b"text/html");
        self.is_sized = find(headers, "content-length").is_some();
        if self.hides && matches!(self.answer, Answer::Read { streams: true, .. }) {
            self.hide = Some(UsageEventFilter::default());
            if self.is_sized {
                effects.push(Effect::RemoveResponseHeader("content-length".to_owned()));
                self.is_sized = false;
            }
        }
    }

    /// Whether the chosen backend is one of Google's, whose counts have a habit of their own.
    fn is_google(&self) -> bool {
        let backend = self.policy.registry.backend(self.decision.backend);
        backend.is_some_and(|one| one.provider.starts_with("gcp."))
    }

    fn meter(&self, media: Media) -> Box<UsageParser> {
        let meter = UsageParser::new(self.api, media)
            .with_choices(self.choices)
            .with_hidden_reasoning(self.is_google());
        let has_scopes = self.policy.registry.has_scopes(self.api);
        Box::new(match has_scopes {
            true => meter.with_state(),
            false => meter,
        })
    }

    /// More of the response is there; `answered` is the backend that it is of, where that is another one than was chosen.
    pub fn body(
        &mut self,
        size: usize,
        end_of_stream: bool,
        answered: Option<BackendId>,
        effects: &mut Vec<Effect>,
    ) {
        self.ended |= end_of_stream;
        if let Some(watch) = &mut self.watch
            && end_of_stream
        {
            watch.end();
        }
        self.came = size;
        if let Some(watch) = self.watch.as_mut().filter(|_| size > 0) {
            watch.heard();
        }
        if size > 0 && matches!(self.answer, Answer::Read { .. }) {
            return effects.push(Effect::ReadChunk { size });
        }
        if end_of_stream {
            self.end(&[], None, effects);
            self.tell_answer(answered, effects);
        }
    }

    /// These are the bytes that came.
    pub fn chunk(
        &mut self,
        bytes: Option<&[u8]>,
        now_ns: u64,
        answered: Option<BackendId>,
        effects: &mut Vec<Effect>,
    ) {
        self.read(bytes, now_ns, effects);
        self.remember(answered, effects);
        if self.ended {
            self.tell_answer(answered, effects);
        }
    }

    /// State that came is known as its maker's before the client has it.
    fn remember(&mut self, answered: Option<BackendId>, effects: &mut Vec<Effect>) {
        let Answer::Read { meter, .. } = &mut self.answer else {
            return;
        };
        let marks = meter.take_marks();
        let maker = answered.unwrap_or(self.decision.backend);
        if let Some(scope) = self.policy.registry.scope_of(maker)
            && !marks.is_empty()
        {
            effects.push(Effect::Remember { scope, marks });
        }
    }

    fn read(&mut self, bytes: Option<&[u8]>, now_ns: u64, effects: &mut Vec<Effect>) {
        let Answer::Read { meter, streams } = &mut self.answer else {
            return;
        };
        let Some(bytes) = bytes else {
            // Bytes that were not seen may have said anything.
            effects.push(Effect::Count(Metric::host_call_errors()));
            self.answer = Answer::Unread(MissingUsage::Truncated);
            return;
        };
        if *streams {
            self.first_token_ns.get_or_insert(now_ns);
        }
        let instead = match &mut self.hide {
            Some(hide) => hide.feed(meter, bytes),
            None => {
                meter.feed(bytes);
                None
            }
        };
        if let Some(watch) = &mut self.watch {
            watch.came(now_ns, *streams && meter.has_content());
        }
        match instead {
            _ if self.ended => self.end(bytes, instead, effects),
            Some(instead) => effects.push(Effect::ReplaceChunk(instead)),
            None => {}
        }
    }

    /// The response has ended with `chunk`, of which the client gets `instead` where that is something else: what is held back
    /// follows, and an error where the answer was not over.
    fn end(&mut self, chunk: &[u8], mut instead: Option<Vec<u8>>, effects: &mut Vec<Effect>) {
        let held = self
            .hide
            .as_mut()
            .map(UsageEventFilter::finish)
            .unwrap_or_default();
        if !held.is_empty() {
            instead.get_or_insert_with(|| chunk.to_vec()).extend(held);
        }
        if let Answer::Read { meter, .. } = &self.answer
            && meter.is_underway()
        {
            self.is_cut_short = true;
            if !self.is_sized {
                let event = error_event(self.api, CUT_SHORT.0, CUT_SHORT.1);
                instead.get_or_insert_with(|| chunk.to_vec()).extend(event);
            }
        }
        if let Some(instead) = instead {
            effects.push(Effect::ReplaceChunk(instead));
        }
    }

    /// Sets what access logs and spans print of the answer, once. Called as soon as its end is seen, because Envoy ends the
    /// request's span before it says that the exchange is over; and then, for an answer whose end was not seen.
    fn tell_answer(&mut self, answered: Option<BackendId>, effects: &mut Vec<Effect>) {
        if self.told || !self.is_answered() {
            return;
        }
        self.told = true;
        let id = answered.unwrap_or(self.decision.backend);
        let Some(backend) = self.policy.registry.backend(id) else {
            return;
        };
        set_state(effects, state::RESPONSE_MODEL, &backend.served_model);
        if let Some(first) = self.first_token_ns {
            let took = integer(self.took_ms(first));
            set_state(effects, state::TIME_TO_FIRST_TOKEN_MS, &took);
        }
        self.tell_ending(effects);
        let Some(Ok(usage)) = self.usage() else {
            return;
        };
        let cost = backend.price.cost_usd(&usage);
        set_state(effects, state::COST_USD, &fixed(cost, 9));
        if let Some(baseline) = self.baseline_usd(&usage) {
            set_state(effects, state::SAVED_USD, &fixed(baseline - cost, 9));
        }
        for (key, tokens) in [
            (state::INPUT_TOKENS, usage.input_tokens),
            (state::CACHED_INPUT_TOKENS, usage.cached_input_tokens),
            (state::OUTPUT_TOKENS, usage.output_tokens),
        ] {
            set_state(effects, key, &integer(tokens));
        }
        for (key, tokens) in [
            (state::CACHE_WRITE_TOKENS, usage.cache_write_tokens),
            (state::REASONING_TOKENS, usage.reasoning_tokens),
        ] {
            if tokens > 0 {
                set_state(effects, key, &integer(tokens));
            }
        }
    }

    /// Says why the answer ended, and whether that was well.
    fn tell_ending(&self, effects: &mut Vec<Effect>) {
        let Answer::Read { meter, .. } = &self.answer else {
            return;
        };
        if let Some(reasons) = meter.finish_reasons().to_text() {
            set_state(effects, state::FINISH_REASONS, &reasons);
        }
        if self.is_cut_short {
            set_state(effects, state::ERROR_TYPE, CUT_SHORT.0);
        } else if meter
            .error(self.ended)
            .is_some_and(|one| one != AnswerError::Empty)
        {
            set_state(effects, state::ERROR_TYPE, "error_in_response");
        } else if !self.ended {
            set_state(effects, state::ERROR_TYPE, "response_incomplete");
        }
    }

    /// What the answer took; `None` where there is none to ask.
    fn usage(&self) -> Option<Result<Usage, MissingUsage>> {
        match &self.answer {
            Answer::None | Answer::Error => None,
            Answer::Unread(unknown) => Some(Err(*unknown)),
            Answer::Read { meter, .. } => Some(meter.finish(self.ended && !self.is_cut_short)),
        }
    }

    /// What `usage` would have cost at the policy's baseline, in USD; `None` where it names none.
    fn baseline_usd(&self, usage: &Usage) -> Option<f64> {
        let backend = self.policy.registry.backend(self.policy.baseline?)?;
        Some(backend.price.cost_usd(&usage))
    }

    /// Milliseconds from reading the request's body to `until`.
    const fn took_ms(&self, until: u64) -> u64 {
        until.saturating_sub(self.started_ns) / 1_000_000
    }

    /// The exchange is over. `answered` is the backend that answered where it is another one than was chosen. Gives what
    /// budgets were charged when it was decided, and what it cost in USD, by an estimate where the answer does not say.
    pub fn close(
        mut self,
        now_ns: u64,
        answered: Option<BackendId>,
        effects: &mut Vec<Effect>,
    ) -> (Charge, f64) {
        self.tell_answer(answered, effects);
        let paid = self.settle(now_ns, answered, effects).unwrap_or(0.0);
        self.tell_budgets(paid, effects);
        (self.decision.charge, paid)
    }

    /// Tells what became of the exchange, and gives what it cost in USD; `None` where there is no such backend.
    fn settle(
        &self,
        now_ns: u64,
        answered: Option<BackendId>,
        effects: &mut Vec<Effect>,
    ) -> Option<f64> {
        let policy = Rc::clone(&self.policy);
        let registry = &policy.registry;
        let backend = registry.backend(answered.unwrap_or(self.decision.backend))?;
        let model = registry.model(backend.model)?;
        let served = Served {
            model: model.name.as_str(),
            backend: &backend.name,
            accelerator: backend.accelerator.name(),
            profile: &self.decision.profile,
        };
        self.tell_decision(served.model, effects);
        let estimate = || self.unstated(now_ns).usd(backend, model);
        let Some(usage) = self.usage() else {
            effects.push(Effect::Count(Metric::request_failures(&served)));
            // Nobody is paid for an error.
            if matches!(self.answer, Answer::Error) {
                return Some(0.0);
            }
            set_state(effects, state::ERROR_TYPE, "no_response");
            return Some(estimate());
        };
        if let Some(first) = self.first_token_ns {
            let took = self.took_ms(first);
            effects.push(Effect::Observe(
                Metric::time_to_first_token_ms(&served),
                took,
            ));
        }
        if self.ended {
            let took = self.took_ms(now_ns);
            effects.push(Effect::Observe(Metric::request_duration_ms(&served), took));
        }
        let unknown = match usage {
            Ok(usage) => return Some(self.pay(&usage, backend, &served, effects)),
            Err(unknown) => unknown,
        };
        let cause = unknown.name();
        effects.push(Effect::Count(Metric::usage_missing(served.backend, cause)));
        Some(if self.is_refusal() { 0.0 } else { estimate() })
    }

    /// What is known of an exchange that does not say what it took.
    fn unstated(&self, now_ns: u64) -> Unstated {
        Unstated {
            input_tokens: self.decision.input_tokens,
            answers: self.choices,
            expected_usd: self.decision.charge.usd,
            delivered: match &self.answer {
                Answer::Read {
                    meter,
                    streams: true,
                } => Some(meter.streamed_tokens().unwrap_or(0)),
                _ => None,
            },
            elapsed_ms: self.took_ms(now_ns),
        }
    }

    /// Whether the answer is an error and nothing else, whatever its status.
    fn is_refusal(&self) -> bool {
        let Answer::Read { meter, .. } = &self.answer else {
            return false;
        };
        let failed = matches!(
            meter.error(self.ended),
            Some(AnswerError::Reported | AnswerError::ClientError)
        );
        failed && !meter.has_content()
    }

    /// What is put on the budgets for good.
    fn tell_budgets(&self, usd: f64, effects: &mut Vec<Effect>) {
        if usd <= 0.0 {
            return;
        }
        let budgets = &self.policy.traffic.budgets;
        for to in &self.decision.charge.postings {
            let Some(budget) = budgets.get(to.budget) else {
                continue;
            };
            let tenant = to.tenant.and_then(|place| budget.tenants.get(place));
            let tenant = tenant.map(Pattern::written);
            let metric =
                Metric::budget_spent_nano_usd(&budget.name, tenant.as_deref().unwrap_or("all"));
            effects.push(Effect::Add(metric, nano(usd)));
        }
    }

    /// What the decision was about, beside what was told when it was made; `model` is the one that answered.
    fn tell_decision(&self, model: &str, effects: &mut Vec<Effect>) {
        if let Some(said) = &self.decision.classification {
            effects.push(Effect::Count(Metric::requests_by_task(
                said.task.name(),
                model,
            )));
            // Logits have no place in a histogram: as how often an average model fails, in per cent.
            let fails = 100.0 / (1.0 + (-said.difficulty).exp());
            effects.push(Effect::Observe(
                Metric::difficulty_percent(),
                fails.round() as u64,
            ));
        }
        for rule in &self.decision.rules {
            effects.push(Effect::Count(Metric::rule_matches(rule)));
        }
    }

    /// Counts what the exchange took, and gives what it cost in USD.
    fn pay(
        &self,
        usage: &Usage,
        backend: &Backend,
        served: &Served<'_>,
        effects: &mut Vec<Effect>,
    ) -> f64 {
        let cost = backend.price.cost_usd(&usage);
        let mut add = |metric: Metric, amount: u64| {
            if amount > 0 {
                effects.push(Effect::Add(metric, amount));
            }
        };
        add(Metric::input_tokens(served), usage.input_tokens);
        add(
            Metric::cached_input_tokens(served),
            usage.cached_input_tokens,
        );
        add(Metric::cache_write_tokens(served), usage.cache_write_tokens);
        add(Metric::output_tokens(served), usage.output_tokens);
        add(Metric::cost_nano_usd(served), nano(cost));
        add(
            Metric::estimated_cost_nano_usd(served),
            nano(self.decision.estimate.cost_usd),
        );
        if let Some(baseline) = self.baseline_usd(usage) {
            add(Metric::baseline_cost_nano_usd(served), nano(baseline));
        }
        cost
    }
}

/// USD as a whole number of billionths; never below 0.
fn nano(usd: f64) -> u64 {
    (usd * 1e9).round() as u64
}

fn integer(value: u64) -> String {
    let mut text = String::new();
    push_integer(&mut text, value);
    text
}

//! Records what the answer to a decided request took: its times, its tokens, its cost.
//!
//! Looks at the bytes of the response as they pass and keeps none. Counts once the exchange is over, off the path of the
//! answer. An error and an answer without usage are counted as such; only budgets are charged with an estimate of what was sent
//! and delivered.

use super::answer_checks::{self, Checked};
use super::backend_observer::AnswerOutcome;
use super::decision_annotations::set_state;
use super::estimated_usage::EstimatedUsage;
use super::request_kind::find;
use super::routed::Routed;
use super::{Effect, Header, Plan, Question};
use crate::api::Api;
use crate::api::error_body::error_event;
use crate::api::held_text::HeldText;
use crate::api::judge::grading::MAX_ANSWER_BYTES;
use crate::api::request::Request;
use crate::api::usage::{
    AnswerError, Expectation, Media, MissingUsage, Usage, UsageEventFilter, UsageParser,
};
use crate::decimal::{decimal, fixed};
use crate::fleet::Backend;
use crate::policy::pattern::Pattern;
use crate::telemetry::{Metric, Served, nano_usd, state};

/// Code and message for a client whose answer ends before it is complete.
const CUT_SHORT: (&str, &str) = (
    "stream_truncated",
    "the backend ended the stream before the answer was over; what came before is all there is",
);

/// How Envoy names a response that the upstream broke off. It tells no filter before the exchange is over, so that nothing can
/// be added to the stream.
const UPSTREAM_RESET: &[u8] = b"upstream_reset_after_response_started";

/// Records one answer.
#[derive(Debug)]
pub(super) struct UsageRecorder {
    api: Api,
    /// How many choices the client asked for.
    choices: u32,
    /// The client's bound on the answer, in tokens.
    max_tokens: Option<u32>,
    /// The form that the content has to have; `None` if it is not checked.
    expected: Option<Expectation>,
    /// The client did not ask for the usage that its stream has: it must not see it.
    hides: bool,
    started_ns: u64,
    first_token_ns: Option<u64>,
    answer: Answer,
    filter: Option<UsageEventFilter>,
    ended: bool,
    /// The response states its length: nothing can be appended.
    is_sized: bool,
    /// The response is an HTML page, as proxies answer in place of a backend.
    is_page: bool,
    /// The backend ended the stream before its answer was complete.
    is_cut_short: bool,
    /// The values for access logs and spans were set.
    is_annotated: bool,
}

/// The response.
#[derive(Debug)]
enum Answer {
    /// None has come.
    None,
    /// An error.
    Error,
    /// An answer that cannot be parsed.
    Unread(MissingUsage),
    /// An answer that is being parsed.
    Read {
        parser: Box<UsageParser>,
        streams: bool,
    },
}

/// Whether the backend is asked for the usage of a stream although the client did not ask.
pub(super) fn asks_for_usage(plan: &Plan, request: &Request<'_>) -> bool {
    plan.policy.always_stream_usage
        && request.stream
        && request.complete
        && !request.include_usage
        && plan.api.has_stream_options()
}

impl UsageRecorder {
    /// A recorder for the answer to `request`, whose body was read at `now_ns`.
    pub(super) fn new(plan: &Plan, request: &Request<'_>, now_ns: u64) -> UsageRecorder {
        UsageRecorder {
            api: plan.api,
            choices: request.choices,
            max_tokens: request.max_tokens,
            expected: answer_checks::expectation(&plan.policy, request),
            hides: asks_for_usage(plan, request),
            started_ns: now_ns,
            first_token_ns: None,
            answer: Answer::None,
            filter: None,
            ended: false,
            is_sized: false,
            is_page: false,
            is_cut_short: false,
            is_annotated: false,
        }
    }

    /// The outcome of the answer, for the statistics of its backend.
    pub(super) fn answer_outcome(&self) -> AnswerOutcome {
        let Answer::Read { parser, .. } = &self.answer else {
            return AnswerOutcome {
                error: self.is_page.then_some(AnswerError::Reported),
                ..AnswerOutcome::default()
            };
        };
        let usage = self.usage().and_then(Result::ok);
        let streamed = parser.streamed_tokens();
        let stated = usage.map(|usage| usage.output_tokens);
        AnswerOutcome {
            error: parser.error(self.ended && !self.is_cut_short),
            output_tokens: stated.filter(|tokens| *tokens > 0).or(streamed),
            hides_reasoning: usage
                .is_some_and(|usage| usage.reasoning_tokens > streamed.unwrap_or_default()),
        }
    }

    /// Whether there was an answer that is not an error.
    pub(super) const fn is_answered(&self) -> bool {
        matches!(self.answer, Answer::Unread(_) | Answer::Read { .. })
    }

    /// Whether an answer began and its end was not seen.
    pub(super) const fn is_cut_off(&self) -> bool {
        self.is_answered() && !self.ended
    }

    /// Whether the backend broke off its answer. `details` are Envoy's response code details, if they are known.
    pub(super) fn is_truncated(&self, details: Option<&[u8]>) -> bool {
        let was_reset = details.is_some_and(|text| text.starts_with(UPSTREAM_RESET));
        self.is_answered() && (was_reset || self.is_cut_short)
    }

    /// Whether the stream has had content by now; `None` if the response is not parsed.
    pub(super) fn has_content(&self) -> Option<bool> {
        match &self.answer {
            Answer::Read { parser, streams } => Some(*streams && parser.has_content()),
            _ => None,
        }
    }

    /// The response's headers have arrived.
    #[inline(never)]
    pub(super) fn on_headers(
        &mut self,
        headers: &[Header<'_>],
        routed: &Routed,
        effects: &mut Vec<Effect>,
    ) {
        let status = find(headers, ":status").unwrap_or_default();
        if !status.starts_with(b"2") {
            self.answer = Answer::Error;
            let status = std::str::from_utf8(status).unwrap_or_default();
            return routed.filter_state.set(effects, state::ERROR_TYPE, status);
        }
        let kind = find(headers, "content-type").unwrap_or_default();
        self.answer = match Media::from_headers(kind, find(headers, "content-encoding")) {
            Err(unknown) => Answer::Unread(unknown),
            Ok(media) => Answer::Read {
                parser: self.parser(media, routed),
                streams: media == Media::EventStream,
            },
        };
        self.is_page = kind.trim_ascii_start().starts_with(b"text/html");
        self.is_sized = find(headers, "content-length").is_some();
        if self.hides && matches!(self.answer, Answer::Read { streams: true, .. }) {
            self.filter = Some(UsageEventFilter::default());
            if self.is_sized {
                effects.push(Effect::RemoveResponseHeader("content-length".to_owned()));
                self.is_sized = false;
            }
        }
    }

    fn parser(&self, media: Media, routed: &Routed) -> Box<UsageParser> {
        let registry = &routed.policy.registry;
        let chosen = registry.backend(routed.decision.backend);
        // Google may count thoughts in the total alone.
        let is_google = chosen.is_some_and(|backend| backend.provider.starts_with("gcp."));
        let parser = UsageParser::new(self.api, media)
            .with_choices(self.choices)
            .with_hidden_reasoning(is_google);
        let parser = match &self.expected {
            Some(expected) => parser.with_checks(expected.clone()),
            None => parser,
        };
        let parser = match &routed.grading {
            Some(_) => parser.with_text(MAX_ANSWER_BYTES),
            None => parser,
        };
        Box::new(match registry.has_scopes(self.api) {
            true => parser.with_state(),
            false => parser,
        })
    }

    /// A chunk of the response has arrived.
    pub(super) fn on_body(
        &mut self,
        size: usize,
        end_of_stream: bool,
        routed: &Routed,
        effects: &mut Vec<Effect>,
    ) {
        self.ended |= end_of_stream;
        if size > 0 && matches!(self.answer, Answer::Read { .. }) {
            return effects.push(Effect::Ask(Question::ResponseBody { size }));
        }
        if end_of_stream {
            self.end(&[], None, effects);
            self.annotate(routed, effects);
        }
    }

    /// The host has read the chunk.
    pub(super) fn on_bytes(
        &mut self,
        bytes: Option<&[u8]>,
        now_ns: u64,
        routed: &Routed,
        effects: &mut Vec<Effect>,
    ) {
        self.read(bytes, now_ns, effects);
        self.remember(routed, effects);
        if self.ended {
            self.annotate(routed, effects);
        }
    }

    /// Remembers who made the state in the answer, before the client has it.
    fn remember(&mut self, routed: &Routed, effects: &mut Vec<Effect>) {
        let Answer::Read { parser, .. } = &mut self.answer else {
            return;
        };
        let marks = parser.take_marks();
        if let Some(scope) = routed.policy.registry.scope_of(routed.answering())
            && !marks.is_empty()
        {
            effects.push(Effect::Remember { scope, marks });
        }
    }

    fn read(&mut self, bytes: Option<&[u8]>, now_ns: u64, effects: &mut Vec<Effect>) {
        let Answer::Read { parser, streams } = &mut self.answer else {
            return;
        };
        let Some(bytes) = bytes else {
            // The lost bytes may have held anything.
            effects.push(Effect::Count(Metric::host_call_errors()));
            self.answer = Answer::Unread(MissingUsage::Truncated);
            return;
        };
        if *streams {
            self.first_token_ns.get_or_insert(now_ns);
        }
        let instead = match &mut self.filter {
            Some(filter) => filter.feed(parser, bytes),
            None => {
                parser.feed(bytes);
                None
            }
        };
        match instead {
            _ if self.ended => self.end(bytes, instead, effects),
            Some(instead) => effects.push(Effect::ReplaceChunk(instead)),
            None => {}
        }
    }

    /// The response has ended with `chunk`; the client gets `instead`, if that is something else. Appends the bytes that the
    /// filter holds back, and an error if the answer was not complete.
    fn end(&mut self, chunk: &[u8], mut instead: Option<Vec<u8>>, effects: &mut Vec<Effect>) {
        let held = self.filter.as_mut().map(UsageEventFilter::finish);
        let held = held.unwrap_or_default();
        if !held.is_empty() {
            instead.get_or_insert_with(|| chunk.to_vec()).extend(held);
        }
        if let Answer::Read { parser, .. } = &self.answer
            && parser.is_underway()
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

    /// Sets the values of access logs and spans, once. Called when the end of the answer is seen, because Envoy ends the
    /// request's span before it says that the exchange is over; and at that moment for an answer without an end.
    fn annotate(&mut self, routed: &Routed, effects: &mut Vec<Effect>) {
        if routed.filter_state.is_on() && !self.is_annotated && self.is_answered() {
            self.is_annotated = true;
            self.set_answer(routed, effects);
        }
    }

    #[inline(never)]
    fn set_answer(&self, routed: &Routed, effects: &mut Vec<Effect>) {
        let registry = &routed.policy.registry;
        let Some(backend) = registry.backend(routed.answering()) else {
            return;
        };
        effects.reserve(12);
        set_state(effects, state::RESPONSE_MODEL, &backend.served_model);
        if let Some(first) = self.first_token_ns {
            let took = decimal(self.took_ms(first));
            set_state(effects, state::TIME_TO_FIRST_TOKEN_MS, &took);
        }
        self.set_ending(effects);
        if let Some(checked) = self.checked() {
            set_state(effects, state::OUTCOME, checked.source.name());
        }
        let Some(Ok(usage)) = self.usage() else {
            return;
        };
        let cost = backend.price.cost_usd(&usage);
        set_state(effects, state::COST_USD, &fixed(cost, 9));
        if let Some(baseline) = baseline_usd(routed, &usage) {
            let saved = baseline - cost - routed.judge_usd;
            set_state(effects, state::SAVED_USD, &fixed(saved, 9));
        }
        for (key, tokens) in [
            (state::INPUT_TOKENS, usage.input_tokens),
            (state::CACHED_INPUT_TOKENS, usage.cached_input_tokens),
            (state::OUTPUT_TOKENS, usage.output_tokens),
        ] {
            set_state(effects, key, &decimal(tokens));
        }
        for (key, tokens) in [
            (state::CACHE_WRITE_TOKENS, usage.cache_write_tokens),
            (state::REASONING_TOKENS, usage.reasoning_tokens),
        ] {
            if tokens > 0 {
                set_state(effects, key, &decimal(tokens));
            }
        }
    }

    /// The result of the checks of a complete answer; `None` if it is not checked, or cannot be judged.
    pub(super) fn checked(&self) -> Option<Checked> {
        let Answer::Read { parser, .. } = &self.answer else {
            return None;
        };
        let is_complete = self.ended && !self.is_cut_short && self.expected.is_some();
        let stated = self.usage().and_then(Result::ok);
        let output_tokens = stated.map(|usage| usage.output_tokens);
        is_complete
            .then(|| answer_checks::check(parser, self.max_tokens, output_tokens))
            .flatten()
    }

    /// The start of the text of a complete answer, if it was kept and the answer is one that can be graded.
    pub(super) fn take_gradable(&mut self) -> Option<HeldText> {
        let Answer::Read { parser, .. } = &mut self.answer else {
            return None;
        };
        let text = parser.take_text().filter(|text| !text.is_blank())?;
        let is_complete = self.ended && !self.is_cut_short;
        (is_complete && parser.is_whole() && answer_checks::is_whole_text(parser)).then_some(text)
    }

    /// Sets why the answer ended, and its error if it did not end well.
    fn set_ending(&self, effects: &mut Vec<Effect>) {
        let Answer::Read { parser, .. } = &self.answer else {
            return;
        };
        if let Some(reasons) = parser.finish_reasons().to_text() {
            set_state(effects, state::FINISH_REASONS, &reasons);
        }
        let error = parser.error(self.ended);
        if self.is_cut_short {
            set_state(effects, state::ERROR_TYPE, CUT_SHORT.0);
        } else if error.is_some_and(|error| error != AnswerError::Empty) {
            set_state(effects, state::ERROR_TYPE, "error_in_response");
        } else if !self.ended {
            set_state(effects, state::ERROR_TYPE, "response_incomplete");
        }
    }

    /// The usage that the answer states; `None` if there is no answer.
    fn usage(&self) -> Option<Result<Usage, MissingUsage>> {
        match &self.answer {
            Answer::None | Answer::Error => None,
            Answer::Unread(unknown) => Some(Err(*unknown)),
            Answer::Read { parser, .. } => Some(parser.finish(self.ended && !self.is_cut_short)),
        }
    }

    /// Milliseconds from reading the request's body to `until`.
    const fn took_ms(&self, until: u64) -> u64 {
        until.saturating_sub(self.started_ns) / 1_000_000
    }

    /// Counts the exchange, which is over. Gives its cost in USD, the judge's included, by an estimate if the answer states no usage.
    #[inline(never)]
    pub(super) fn finish(mut self, routed: &Routed, now_ns: u64, effects: &mut Vec<Effect>) -> f64 {
        self.annotate(routed, effects);
        let answer = self.count(routed, now_ns, effects).unwrap_or(0.0);
        let paid = answer + routed.judge_usd;
        count_budgets(routed, paid, effects);
        paid
    }

    /// Counts the exchange and gives its cost in USD; `None` if its backend does not exist.
    fn count(&self, routed: &Routed, now_ns: u64, effects: &mut Vec<Effect>) -> Option<f64> {
        let registry = &routed.policy.registry;
        let backend = registry.backend(routed.answering())?;
        let model = registry.model(backend.model)?;
        let served = Served {
            model: model.name.as_str(),
            backend: &backend.name,
            accelerator: backend.accelerator.name(),
            profile: &routed.decision.profile,
        };
        count_decision(routed, served.model, effects);
        let estimate = || self.estimated(routed, now_ns).usd(backend, model);
        let Some(usage) = self.usage() else {
            effects.push(Effect::Count(Metric::request_failures(&served)));
            // An error costs nothing.
            if matches!(self.answer, Answer::Error) {
                return Some(0.0);
            }
            let filter_state = routed.filter_state;
            filter_state.set(effects, state::ERROR_TYPE, "no_response");
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
            Ok(usage) => return Some(count_usage(routed, &usage, backend, &served, effects)),
            Err(unknown) => unknown,
        };
        let cause = unknown.name();
        effects.push(Effect::Count(Metric::usage_missing(served.backend, cause)));
        Some(if self.is_refusal() { 0.0 } else { estimate() })
    }

    /// An estimate for an exchange whose answer states no usage.
    fn estimated(&self, routed: &Routed, now_ns: u64) -> EstimatedUsage {
        EstimatedUsage {
            input_tokens: routed.decision.input_tokens,
            answers: self.choices,
            expected_usd: routed.decision.charge.usd,
            delivered: match &self.answer {
                Answer::Read {
                    parser,
                    streams: true,
                } => Some(parser.streamed_tokens().unwrap_or(0)),
                _ => None,
            },
            elapsed_ms: self.took_ms(now_ns),
        }
    }

    /// Whether the answer is an error and nothing else, whatever its status.
    fn is_refusal(&self) -> bool {
        let Answer::Read { parser, .. } = &self.answer else {
            return false;
        };
        let error = parser.error(self.ended);
        let failed = matches!(
            error,
            Some(AnswerError::Reported | AnswerError::ClientError)
        );
        failed && !parser.has_content()
    }
}

/// The cost of `usage` at the policy's baseline, in USD; `None` if the policy names none.
fn baseline_usd(routed: &Routed, usage: &Usage) -> Option<f64> {
    let policy = &routed.policy;
    let backend = policy.registry.backend(policy.baseline?)?;
    Some(backend.price.cost_usd(usage))
}

/// Counts the final cost on the budgets that were charged by the decision.
fn count_budgets(routed: &Routed, usd: f64, effects: &mut Vec<Effect>) {
    if usd <= 0.0 {
        return;
    }
    let budgets = &routed.policy.traffic.budgets;
    for to in &routed.decision.charge.postings {
        let Some(budget) = budgets.get(to.budget) else {
            continue;
        };
        let tenant = to.tenant.and_then(|place| budget.tenants.get(place));
        let tenant = tenant.map(Pattern::written);
        let metric =
            Metric::budget_spent_nano_usd(&budget.name, tenant.as_deref().unwrap_or("all"));
        effects.push(Effect::Add(metric, nano_usd(usd)));
    }
}

/// Counts the task, the difficulty and the rules of the decision; `model` is the one that answered.
fn count_decision(routed: &Routed, model: &str, effects: &mut Vec<Effect>) {
    if let Some(classification) = &routed.decision.classification {
        let task = classification.task.name();
        effects.push(Effect::Count(Metric::requests_by_task(task, model)));
        // A histogram has no place for logits: counted is how often an average model fails, in per cent.
        let fails = 100.0 / (1.0 + (-classification.difficulty).exp());
        let percent = fails.round() as u64;
        effects.push(Effect::Observe(Metric::difficulty_percent(), percent));
    }
    for rule in &routed.decision.rules {
        effects.push(Effect::Count(Metric::rule_matches(rule)));
    }
}

/// Counts the tokens and the cost of an exchange, and gives the cost in USD.
fn count_usage(
    routed: &Routed,
    usage: &Usage,
    backend: &Backend,
    served: &Served<'_>,
    effects: &mut Vec<Effect>,
) -> f64 {
    let cost = backend.price.cost_usd(usage);
    let estimated = routed.decision.estimate.cost_usd;
    let mut add = |metric: Metric, amount: u64| {
        if amount > 0 {
            effects.push(Effect::Add(metric, amount));
        }
    };
    add(Metric::input_tokens(served), usage.input_tokens);
    let cached = usage.cached_input_tokens;
    add(Metric::cached_input_tokens(served), cached);
    add(Metric::cache_write_tokens(served), usage.cache_write_tokens);
    add(Metric::output_tokens(served), usage.output_tokens);
    add(Metric::cost_nano_usd(served), nano_usd(cost));
    add(Metric::estimated_cost_nano_usd(served), nano_usd(estimated));
    if let Some(baseline) = baseline_usd(routed, usage) {
        add(Metric::baseline_cost_nano_usd(served), nano_usd(baseline));
    }
    cost
}
